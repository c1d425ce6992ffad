#!/usr/bin/env bash
# qdrant-edge 0.9.0 uses an assertion of the standard library that Rust 1.95 has behind a feature; it is turned on for that crate alone.
set -euo pipefail
rustc=$1; shift
case " $* " in
  *" --crate-name qdrant_edge "*"--crate-type lib"*) RUSTC_BOOTSTRAP=1 exec "$rustc" "$@" -Zcrate-attr='feature(assert_matches)' ;;
esac
exec "$rustc" "$@"
