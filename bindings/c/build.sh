#!/bin/sh
# Builds the library that is shipped, which exports the C interface and nothing else, and prints where it lies.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
case $(uname -s) in
Darwin) file=libkwaai_ffi.dylib ;;
*) file=libkwaai_ffi.so ;;
esac
cd "$root"
cargo build -p kwaai-ffi --release --locked --no-default-features --features capi >&2
echo "${CARGO_TARGET_DIR:-$root/target}/release/$file"
