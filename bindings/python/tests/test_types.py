"""What type checkers see is what is there: the stub, the package, and what the types of results are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import ROOT

HERE = ROOT / "bindings" / "python"


def check(*command: str) -> None:
    checked = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_package_is_typed_strictly_for_mypy() -> None:
    check(sys.executable, "-m", "mypy", "--strict", "--no-incremental", "-p", "kwaainet")
    assert (HERE / "kwaainet" / "py.typed").exists()


def test_the_stub_is_what_the_native_module_has() -> None:
    check(sys.executable, "-m", "mypy.stubtest", "kwaainet._native")


def test_results_have_the_types_that_users_rely_on_for_mypy() -> None:
    check(sys.executable, "-m", "mypy", "--strict", "--no-incremental", "type_tests")


def test_the_package_and_its_use_are_clean_for_pyright() -> None:
    check(str(Path(sys.executable).parent / "basedpyright"), "--level", "error")
