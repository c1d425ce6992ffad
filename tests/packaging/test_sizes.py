"""What is shipped stays small."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sizes import BUDGETS, MEGABYTE, ROOT, packages, stripped

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"


@pytest.mark.parametrize("library, budget", BUDGETS["checkout"].items())
def test_a_library_stays_within_its_budget(library: str, budget: float) -> None:
    assert stripped(TARGET / library) <= budget * MEGABYTE


def test_a_package_above_its_budget_is_found(tmp_path: Path) -> None:
    (tmp_path / "kwaainet-9.9.9.tgz").write_bytes(bytes(int(BUDGETS["package"]["kwaainet-[0-9]*.tgz"] * MEGABYTE) + 1))
    (name, size, budget), = packages(tmp_path)
    assert budget is not None and size > budget * MEGABYTE, name
