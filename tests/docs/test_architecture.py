"""docs/architecture.md names the rooms, protocols and methods that the code has, and no others."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
CORE = ROOT / "kwaai-core" / "src"


def section(title: str) -> str:
    return PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def shipped() -> str:
    """The library's code without comments and unit tests."""
    out = []
    for path in sorted(CORE.rglob("*.rs")):
        code = path.read_text(encoding="utf-8").split("#[cfg(test)]\nmod tests {")[0]
        out.append(re.sub(r"^\s*//.*$", "", code, flags=re.M))
    return "\n".join(out)


def first_cells(text: str) -> set[str]:
    return {name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_the_rooms_are_the_modules_of_the_core():
    modules = set(re.findall(r"^(?:pub )?mod (\w+);", (CORE / "lib.rs").read_text(encoding="utf-8"), re.M))
    assert first_cells(section("Rooms")) == modules


def test_the_protocols_are_the_ones_in_the_code():
    named = {name for name in first_cells(section("On the wire")) if name.startswith("/kwaainet/")}
    assert named == set(re.findall(r'"(/kwaainet/(?:\w+/)?\d+\.\d+\.\d+)"', shipped()))


def test_the_methods_are_the_ones_in_the_code():
    named = {name for name in first_cells(section("On the wire")) if name.startswith("kwaainet.")}
    used = set(re.findall(r'const \w+: &str = "(kwaainet(?:\.[a-z]+)+)";', shipped())) - {"kwaainet.redb"}
    assert named == used
