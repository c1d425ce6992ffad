"""What the Python module exports is its own, and not that of a crate it is made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"


@pytest.mark.skipif(sys.platform != "linux", reason="other linkers are not told so")
def test_no_crate_shows_through() -> None:
    listed = ["nm", "--dynamic", "--defined-only", "--format=posix", TARGET / "lib_native.so"]
    names = [line.split()[0] for line in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.splitlines()]
    own = ("kwaai_", "uniffi_", "UNIFFI_", "ffi_kwaai_", "PyInit__native")
    assert names and [name for name in names if not name.startswith(own)] == []
