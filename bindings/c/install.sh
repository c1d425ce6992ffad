#!/bin/sh
# Installs the C library: header, shared library, pkg-config file, CMake package.
#
#   PREFIX=/usr/local [DESTDIR=...] bindings/c/install.sh <library>
#
# <library> is the shared library that `cargo build` made. It goes to $DESTDIR$PREFIX; the files that say where it lies
# name $PREFIX alone.
set -eu

library=${1:?which library is to be installed}
prefix=${PREFIX:-/usr/local}
target=${DESTDIR:-}$prefix
root=$(cd "$(dirname "$0")/../.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
abi=$(sed -n 's/^#define KWAAI_ABI_VERSION \([0-9]*\)$/\1/p' "$root/include/kwaainet.h")

case $(uname -s) in
Darwin)
    soname=libkwaainet.$abi.dylib
    link=libkwaainet.dylib
    file=$soname
    private="-framework Security -framework CoreFoundation -framework SystemConfiguration"
    ;;
*)
    soname=libkwaainet.so.$abi
    link=libkwaainet.so
    file=libkwaainet.so.$version
    private="-lpthread -ldl -lm"
    ;;
esac

mkdir -p "$target/include" "$target/lib/pkgconfig" "$target/lib/cmake/kwaainet" "$target/share/doc/kwaainet"
install -m 644 "$root/include/kwaainet.h" "$target/include/kwaainet.h"
install -m 755 "$library" "$target/lib/$file"
case $(uname -s) in
Darwin) install_name_tool -id "$prefix/lib/$soname" "$target/lib/$file" ;;
*) [ "$soname" = "$file" ] || ln -sf "$file" "$target/lib/$soname" ;;
esac
ln -sf "$soname" "$target/lib/$link"
install -m 644 "$root/LICENSE" "$target/share/doc/kwaainet/LICENSE"

fill() {
    sed -e "s|@prefix@|$prefix|g" -e "s|@version@|$version|g" -e "s|@series@|${version%.*}|g" \
        -e "s|@library@|$file|g" -e "s|@soname@|$soname|g" -e "s|@private@|$private|g" "$root/bindings/c/$1.in" >"$2"
    chmod 644 "$2"
}
fill kwaainet.pc "$target/lib/pkgconfig/kwaainet.pc"
fill kwaainetConfig.cmake "$target/lib/cmake/kwaainet/kwaainetConfig.cmake"
fill kwaainetConfigVersion.cmake "$target/lib/cmake/kwaainet/kwaainetConfigVersion.cmake"
