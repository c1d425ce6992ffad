"""Every scenario of `tests/conformance`, asynchronous and blocking."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT, run
from scenarios import Failed, Scenario, Skipped, mismatch

import kwaainet
from kwaainet import sync

FILES = sorted(Path(os.environ.get("KWAAI_SCENARIOS", ROOT / "tests" / "conformance")).glob("*.json"))


@pytest.mark.parametrize("module", [kwaainet, sync], ids=["asynchronous", "blocking"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenario(file: Path, module: ModuleType, tmp_path: Path) -> None:
    async def perform() -> None:
        scenario = Scenario(module, tmp_path)
        if module is kwaainet:
            await scenario.run(file)
        else:
            # A blocking call would hold up the loop that it is made on.
            await asyncio.to_thread(lambda: asyncio.run(scenario.run(file)))

    try:
        run(perform())
    except Skipped as skipped:
        pytest.skip(f"skipped: {skipped}")


def test_there_are_scenarios() -> None:
    assert FILES


@pytest.mark.parametrize(
    ("value", "pattern", "matches"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [1], False),
        (1, 1.0, True),
        (1, True, False),
        (None, {"$exists": False}, True),
        (None, {"$exists": True}, False),
        (3, {"$gte": 3}, True),
        (3, {"$lte": 2}, False),
        ("3", {"$gte": 1}, False),
        (0.5, {"$approx": [0.49, 0.02]}, True),
        ("abc", {"$len": 3}, True),
        ("abc", {"$min_len": 4}, False),
        ("did:key:z", {"$matches": "^did:key:"}, True),
        (["a", {"b": 1}], {"$contains": {"b": 1}}, True),
        ("abc", {"$contains": "d"}, False),
        (1, {"$not": 1}, False),
        (3, {"$all": [{"$gte": 1}, {"$lte": 2}]}, False),
    ],
)
def test_the_matchers_match_what_they_should(value: Any, pattern: Any, matches: bool) -> None:
    assert (mismatch(value, pattern) is None) == matches


@pytest.mark.parametrize(
    "change",
    [
        lambda steps: steps[0].update(error="busy"),
        lambda steps: steps[0].pop("error", None) or steps[0].update(expect={"$len": 3}),
        lambda steps: steps[0].update(call="Testing.raise", args={"number": 2}),
    ],
)
def test_a_scenario_that_does_not_hold_is_red(tmp_path: Path, change: Callable[[Any], object]) -> None:
    steps = [{"call": "Library.version"}]
    change(steps)
    file = tmp_path / "01-wrong.json"
    file.write_text(json.dumps({"title": "wrong", "steps": steps}))
    with pytest.raises(Failed):
        run(Scenario(kwaainet, tmp_path).run(file))
