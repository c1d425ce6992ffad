"""What decides whether the tests passed does not wait for what hangs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / "run.py"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KWAAINET_TEST_SILENCE", "1")
    spec = importlib.util.spec_from_file_location("run_of_the_tests", RUN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "run_of_the_tests", module)
    spec.loader.exec_module(module)
    return module


def test_what_hangs_is_ended_with_all_that_it_started(run) -> None:
    status, text = run.stream(["bash", "-c", "echo begun; sleep 600 & sleep 600"], re.compile("begun"))
    assert status < 0
    assert text.startswith("begun\n") and "nothing was heard for 1 s" in text


def test_what_ends_by_itself_is_told_as_it_ended(run) -> None:
    assert run.stream(["bash", "-c", "echo said; exit 3"], re.compile("said")) == (3, "said\n")
