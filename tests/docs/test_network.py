"""docs/network.md lists the measurements that a node makes, and no others."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "kwaai-core" / "src"
FILES = ["net/meter.rs", "net/metrics.rs", "node/metrics.rs"]


def test_the_measurements_are_the_ones_in_the_code():
    page = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")
    section = page.split("\n## What a node measures\n")[1].split("\n## ")[0]
    named = set(re.findall(r"^\| `([\w.]+)` \|", section, re.M))
    code = "".join((CORE / name).read_text(encoding="utf-8").split("#[cfg(test)]")[0] for name in FILES)
    attributes = set(re.findall(r'\.with\("([\w.]+)"', code))
    assert named == set(re.findall(r'"((?:kwaainet|rpc)(?:\.[a-z]+)+)"', code)) - attributes
