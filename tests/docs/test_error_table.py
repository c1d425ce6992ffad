"""The table of error codes is the one that the library and every language have."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "errors.md"
CORE = ROOT / "kwaai-core" / "src" / "error.rs"
LIST = ROOT / "tests" / "errors.toml"

Code = tuple[int, str, bool]


def documented(text: str) -> list[Code]:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (yes|no) \| [^|]+ \| [^|]+ \|$", text, re.M)
    return [(int(number), name, retryable == "yes") for number, name, retryable in rows]


def in_core(text: str) -> list[Code]:
    rows = re.findall(r'^\s*\w+ = (\d+), "(\w+)", \w+, retryable: (true|false);', text, re.M)
    return [(int(number), name, retryable == "true") for number, name, retryable in rows]


def listed(value, names: set[str], key: str = "") -> set[Code]:
    """Every entry with a retryable flag, named by its key or by one of its texts."""
    if isinstance(value, list):
        return set().union(*(listed(item, names, key) for item in value))
    if not isinstance(value, dict):
        return set()
    found = set().union(*(listed(item, names, inner) for inner, item in value.items()))
    if "retryable" in value:
        name = next((text for text in (key, *value.values()) if isinstance(text, str) and text in names), key)
        number = next((n for n in value.values() if isinstance(n, int) and not isinstance(n, bool)), 0)
        found.add((number, name, value["retryable"]))
    return found


def test_the_table_is_the_one_of_the_core():
    codes = documented(PAGE.read_text(encoding="utf-8"))
    assert len(codes) == 16
    assert codes == in_core(CORE.read_text(encoding="utf-8"))


def test_the_table_is_the_one_that_every_language_is_compared_with():
    codes = documented(PAGE.read_text(encoding="utf-8"))
    names = {name for _, name, _ in codes}
    assert set(codes) == listed(tomllib.loads(LIST.read_text(encoding="utf-8")), names)


def test_a_changed_number_string_or_flag_is_found():
    text = PAGE.read_text(encoding="utf-8")
    core = in_core(CORE.read_text(encoding="utf-8"))
    for before, after in (("| 7 | `timeout`", "| 8 | `timeout`"), ("`busy`", "`bussy`"), ("| `io` | no", "| `io` | yes")):
        assert before in text
        assert documented(text.replace(before, after)) != core


def test_the_list_is_read_in_either_form():
    names = {"timeout"}
    by_name = tomllib.loads('[timeout]\nnumber = 7\nretryable = true\npython = "KwaaiTimeoutError"')
    in_rows = tomllib.loads('[[error]]\npython = "KwaaiTimeoutError"\ncode = "timeout"\nretryable = true\nnumber = 7')
    assert listed(by_name, names) == listed(in_rows, names) == {(7, "timeout", True)}
