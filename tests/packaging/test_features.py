"""What is shipped is built with features of its own, and not with those that only tests turn on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("package", ["kwaai-core", "kwaai-ffi", "kwaainet-python", "kwaainet-node"])
def test_numbers_are_read_exactly_in_what_is_shipped(package: str) -> None:
    """Without ``float_roundtrip`` serde_json reads nearly half of all shares as a number next to them, and correct signatures
    do not hold then."""
    command = ["cargo", "tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p} {f}"]
    tree = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {line for line in tree.splitlines() if line.startswith("serde_json v")}
    assert found and all("float_roundtrip" in line for line in found), found
