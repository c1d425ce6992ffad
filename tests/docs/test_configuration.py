"""docs/configuration.md names the keys, variables, presets and limits that the library has, and no others."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"
CORE = ROOT / "kwaai-core" / "src"


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def fields(source: str, name: str) -> set[str]:
    body = re.search(rf"pub struct {name} \{{\n(.*?)\n\}}", source, re.S).group(1)
    return set(re.findall(r"^    pub (\w+):", body, re.M))


def cells(table: str, column: int) -> set[str]:
    found = set()
    for line in table.splitlines():
        parts = [part.strip() for part in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if len(parts) > column and not set(line) <= set("|-: "):
            found |= set(re.findall(r"`(\w+)`", parts[column]))
    return found


def test_the_fields_of_config_are_the_ones_in_the_code():
    keys = section(PAGE.read_text(encoding="utf-8"), "Keys")
    assert cells(keys, 0) - {"Config"} == fields((CORE / "config.rs").read_text(encoding="utf-8"), "Config")


def test_the_keys_and_variables_are_the_ones_that_are_read():
    keys = section(PAGE.read_text(encoding="utf-8"), "Keys")
    table = re.search(r"const KEYS.*?= \[(.*?)\];", (CORE / "config" / "file.rs").read_text(encoding="utf-8"), re.S).group(1)
    read = re.findall(r'\("(\w+)", (?:None|Some\("(\w+)"\)), "(\w+)"\)', table)
    assert cells(keys, 1) - {"yaml", "config"} == {key for key, _, _ in read}
    assert cells(keys, 2) == {kwaainet for _, kwaainet, _ in read if kwaainet}
    assert cells(keys, 3) == {variable for _, _, variable in read} | {"KWAAINET_HOME"}


def test_the_presets_are_the_ones_in_the_code():
    presets = cells(section(PAGE.read_text(encoding="utf-8"), "Presets"), 0)
    assert presets == set(re.findall(r'Preset::\w+ => "(\w+)"', (CORE / "config.rs").read_text(encoding="utf-8")))


def test_the_limits_are_the_ones_in_the_code():
    limits = cells(section(PAGE.read_text(encoding="utf-8"), "Limits"), 0) - {"Limits"}
    assert limits == fields((CORE / "net" / "limits.rs").read_text(encoding="utf-8"), "Limits")


def test_the_variables_of_a_hub_are_the_ones_that_are_read():
    page = section(PAGE.read_text(encoding="utf-8"), "Models of a hub")
    read = re.findall(r'(?:set|text|folder)\("(\w+)"\)', (CORE / "llm" / "hub.rs").read_text(encoding="utf-8"))
    named = set(re.findall(r"`([A-Z_]+)`", page)) - {"KWAAINET_MODELS"}
    assert named == set(read) - {"HOME", "USERPROFILE"}
