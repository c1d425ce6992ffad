"""The package exports what `tests/surface.toml` lists, and its types hold."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT

import kwaainet
from kwaainet import _native, sync

SURFACE: dict[str, Any] = tomllib.loads((ROOT / "tests" / "surface.toml").read_text())
CLASSES = sorted(name for name, entry in SURFACE.items() if any("python" in found for found in entry["verbs"].values()))


def verbs(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize("module", [kwaainet, sync], ids=["asynchronous", "blocking"])
@pytest.mark.parametrize("name", CLASSES)
def test_each_class_has_exactly_the_listed_verbs(module: ModuleType, name: str) -> None:
    listed = {verb for verb, languages in SURFACE[name]["verbs"].items() if "python" in languages}
    assert verbs(getattr(module, name)) == listed


def test_no_class_with_verbs_is_missing_from_the_list() -> None:
    handles = {
        name
        for name in kwaainet.__all__
        if inspect.isclass(cls := getattr(kwaainet, name)) and "_native" in inspect.getsource(cls)
    }
    assert handles - {"EventStream"} == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_blocking_and_asynchronous_verbs_take_the_same_arguments(name: str) -> None:
    asynchronous, blocking = getattr(kwaainet, name), getattr(sync, name)
    for verb in verbs(asynchronous):
        one, other = (inspect.getattr_static(cls, verb) for cls in (asynchronous, blocking))
        assert type(one) is type(other), verb
        if isinstance(one, property):
            continue
        one, other = (inspect.signature(getattr(cls, verb)) for cls in (asynchronous, blocking))
        assert [str(p.replace(annotation=p.empty)) for p in one.parameters.values()] == [
            str(p.replace(annotation=p.empty)) for p in other.parameters.values()
        ], verb


def test_everything_public_says_what_it_is() -> None:
    for name in kwaainet.__all__:
        thing = getattr(kwaainet, name)
        if inspect.isclass(thing):
            assert thing.__doc__, name
    for name in CLASSES:
        for verb in verbs(getattr(kwaainet, name)):
            assert inspect.getattr_static(getattr(kwaainet, name), verb).__doc__ or getattr(
                getattr(kwaainet, name), verb
            ).__doc__, f"{name}.{verb}"


def test_the_stub_declares_what_the_native_module_has_both_ways() -> None:
    stub = (ROOT / "bindings" / "python" / "kwaainet" / "_native.pyi").read_text()
    declared = set(re.findall(r"^(?:class|def) (\w+)", stub, re.MULTILINE)) | {"VERSION"}
    assert declared == {name for name in dir(_native) if not name.startswith("_")}
    for name, body in re.findall(r"^class (\w+).*?:\n((?:    .*\n|\n)+)", stub, re.MULTILINE):
        methods = set(re.findall(r"^    def (\w+)", body, re.MULTILINE))
        assert methods == verbs(getattr(_native, name)), name


def test_the_package_is_typed_strictly() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "-p", "kwaainet"],
        cwd=ROOT / "bindings" / "python",
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert (ROOT / "bindings" / "python" / "kwaainet" / "py.typed").exists()
