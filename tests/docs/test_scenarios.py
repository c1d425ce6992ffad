"""The scenarios of `tests/conformance` are well formed and show every verb of `tests/surface.toml`, succeeding and failing."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests" / "conformance").glob("*.json"))
SURFACE: dict[str, Any] = tomllib.loads((ROOT / "tests" / "surface.toml").read_text())
ERRORS = set(tomllib.loads((ROOT / "tests" / "errors.toml").read_text()))
VERBS = {
    f"{cls}.{verb}": entry
    for cls, about in SURFACE.items()
    for verb, entry in about.get("verbs", {}).items()
    if "only" not in entry
}
KEYS = {"call", "on", "args", "save", "expect", "error", "or_error", "cancel", "eventually", "skip_on"}


def steps() -> list[dict[str, Any]]:
    return [step for path in FILES for step in json.loads(path.read_text())["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_scenario_uses_only_what_the_contract_names(path: Path) -> None:
    assert re.fullmatch(r"\d\d-[a-z0-9-]+", path.stem)
    scenario = json.loads(path.read_text())
    assert set(scenario) == {"title", "steps"}
    contract = (ROOT / "tests" / "conformance" / "README.md").read_text()
    for step in scenario["steps"]:
        assert set(step) <= KEYS, step
        assert step["call"] in VERBS or f"`{step['call']}`" in contract, step
        assert {step.get("error"), step.get("or_error")} - {None} <= ERRORS, step
        entry = VERBS.get(step["call"], {})
        if "args" in entry:
            assert set(step.get("args", {})) <= {name.rstrip("?") for name in entry["args"]}, step
        takes_no_object = entry.get("make") or step["call"].startswith(("Library.", "Testing.")) or (
            step["call"].startswith("Provide.") and step["call"] != "Provide.logged"
        )
        assert ("on" in step) != bool(takes_no_object), step


def test_every_verb_has_a_value_and_an_error_in_a_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    asserted, failed = set(), set()
    for at, step in enumerate(made := steps()):
        # An object is asserted by what is done with it, a stream by what it yields.
        if "expect" in step or ("save" in step and any(s.get("on") == f"${step['save']}" for s in made[at + 1 :])):
            asserted.add(step["call"])
        if "error" in step:
            failed.add(step["call"])
        for part in re.findall(r'"\$(\w+)\.(\w+)', json.dumps(step)):
            asserted |= {verb for verb, entry in VERBS.items() if entry.get("property") and verb.endswith(f".{part[1]}")}
    fallible = {verb for verb, entry in VERBS.items() if not (entry.get("infallible") or entry.get("property"))}
    with capsys.disabled():
        shown = 100 * len(asserted & set(VERBS)) / len(VERBS)
        refused = 100 * len(failed & fallible) / len(fallible)
        print(f"\nscenarios: {len(FILES)}; verbs shown {shown:.0f} %, verbs shown failing {refused:.0f} %")
    elsewhere = {verb for verb, entry in VERBS.items() if entry.get("beyond_scenarios")}
    assert set(VERBS) - elsewhere <= asserted, sorted(set(VERBS) - elsewhere - asserted)
    assert fallible <= failed, sorted(fallible - failed)


def test_every_error_code_is_raised_in_a_scenario() -> None:
    assert ERRORS <= {step.get("error") for step in steps()}
