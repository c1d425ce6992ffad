#!/bin/sh
# Packs what install.sh installs, with the examples, as target/package/kwaainet-c-<version>-<system>-<processor>.tar.gz.
#
#   bindings/c/package.sh <library>
set -eu

library=${1:?which library is to be packed}
root=$(cd "$(dirname "$0")/../.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
name=kwaainet-c-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
package=${PACKAGE_DIR:-$root/target/package}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
PREFIX=/ DESTDIR=$stage/$name "$root/bindings/c/install.sh" "$library"
# Wherever it is unpacked, the file finds its own place.
sed 's|^prefix=.*|prefix=${pcfiledir}/../..|' "$stage/$name/lib/pkgconfig/kwaainet.pc" >"$stage/kwaainet.pc"
mv "$stage/kwaainet.pc" "$stage/$name/lib/pkgconfig/kwaainet.pc"
mkdir -p "$stage/$name/share/doc/kwaainet/examples" "$package"
cp "$root"/examples/c/* "$stage/$name/share/doc/kwaainet/examples/"
cp "$root/docs/ffi-rules.md" "$stage/$name/share/doc/kwaainet/"
for notices in "$package"/THIRD-PARTY-NOTICES.txt; do
  [ ! -f "$notices" ] || cp "$notices" "$stage/$name/share/doc/kwaainet/"
done
tar -C "$stage" -czf "$package/$name.tar.gz" "$name"
echo "$package/$name.tar.gz"
