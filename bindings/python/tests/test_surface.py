"""The package exports what `tests/surface.toml` lists, verbs and arguments, both ways, asynchronous and blocking."""

from __future__ import annotations

import inspect
import tomllib
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT

import kwaainet
from kwaainet import sync

SURFACE: dict[str, Any] = tomllib.loads((ROOT / "tests" / "surface.toml").read_text())
CLASSES = sorted(name for name, entry in SURFACE.items() if "verbs" in entry and name != "Library")

#: What is listed as needed and may still be left out, and why.
OPTIONAL_HERE = {
    ("Library", "init_logging", "filter"): "Python's logging has levels of its own, so all of `info` is a good start",
    ("Library", "init_logging", "sink"): "Python has logging, which is where records go unless told otherwise",
}


def verbs(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def listed(name: str) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = SURFACE[name]["verbs"]
    return {verb: entry for verb, entry in entries.items() if "python" in entry.get("only", ["python"])}


def spelled(owner: str, verb: str, argument: str) -> tuple[str, bool]:
    """Name and whether it may be left out. Spans of time are a timedelta here, and lose their unit."""
    optional = argument.endswith("?")
    name = argument.rstrip("?").removesuffix("_ms")
    return name, optional or (owner, verb, name) in OPTIONAL_HERE


def taken(function: Any) -> list[tuple[str, bool]]:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    return [(parameter.name, parameter.default is not parameter.empty) for parameter in parameters]


@pytest.mark.parametrize("module", [kwaainet, sync], ids=["asynchronous", "blocking"])
@pytest.mark.parametrize("name", CLASSES)
def test_each_class_has_exactly_the_listed_verbs_with_their_arguments(module: ModuleType, name: str) -> None:
    cls = getattr(module, name)
    assert verbs(cls) == set(listed(name))
    for verb, entry in listed(name).items():
        found = inspect.getattr_static(cls, verb)
        assert isinstance(found, property) == entry.get("property", False), verb
        assert isinstance(found, staticmethod) == entry.get("make", False), verb
        if not isinstance(found, property):
            assert taken(getattr(cls, verb)) == [spelled(name, verb, argument) for argument in entry["args"]], verb
            returned = inspect.signature(getattr(cls, verb)).return_annotation
            streams = {"EventStream", *(stream.__name__ for stream in module.EventStream.__subclasses__())}
            assert (returned.partition("[")[0] in streams) == entry.get("stream", False), verb


def test_the_functions_of_the_package_are_the_listed_ones() -> None:
    functions = {
        name for name in kwaainet.__all__ if inspect.isfunction(getattr(kwaainet, name)) or name in ("version",)
    }
    assert functions == set(listed("Library"))
    assert kwaainet.version == kwaainet.__version__
    for name in functions - {"version"}:
        arguments = [spelled("Library", name, argument) for argument in listed("Library")[name]["args"]]
        assert taken(getattr(kwaainet, name)) == arguments, name


def test_no_class_with_verbs_is_missing_from_the_list() -> None:
    handles = {
        name
        for name in kwaainet.__all__
        if inspect.isclass(cls := getattr(kwaainet, name)) and "self._native" in inspect.getsource(cls)
    }
    assert handles == set(CLASSES)


def test_a_stream_has_the_spelling_of_the_language() -> None:
    assert verbs(kwaainet.EventStream) == set(SURFACE["Stream"]["spelled"]["python"])
    assert verbs(sync.EventStream) == {"close", "missed"}


@pytest.mark.parametrize("name", CLASSES)
def test_blocking_and_asynchronous_verbs_have_the_same_defaults(name: str) -> None:
    asynchronous, blocking = getattr(kwaainet, name), getattr(sync, name)
    for verb in verbs(asynchronous):
        if isinstance(inspect.getattr_static(asynchronous, verb), property):
            continue
        one, other = (inspect.signature(getattr(cls, verb)) for cls in (asynchronous, blocking))
        assert [str(p) for p in one.parameters.values()] == [str(p) for p in other.parameters.values()], verb


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
