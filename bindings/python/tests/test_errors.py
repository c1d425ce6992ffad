"""Errors: every code, its class, its builtin, its cause."""

from __future__ import annotations

import builtins
import pickle
import tomllib
from typing import Any

import pytest
from conftest import ROOT, run

import kwaainet
from kwaainet import _native, errors
from kwaainet._bridge import finished

LISTED: dict[str, dict[str, Any]] = tomllib.loads((ROOT / "tests" / "errors.toml").read_text())


def test_the_list_of_codes_is_what_the_package_has_both_ways() -> None:
    native = {code: (number, retryable) for code, number, retryable in _native.error_codes()}
    assert native == {code: (entry["number"], entry["retryable"]) for code, entry in LISTED.items()}
    assert set(errors.BY_CODE) == set(LISTED)
    public = {name for name in errors.__all__ if name.endswith("Error") and name != "KwaaiError"}
    assert public == {entry["python"][0] for entry in LISTED.values()}
    for name in public | {"KwaaiError"}:
        assert getattr(kwaainet, name) is getattr(errors, name)


@pytest.mark.parametrize("code", LISTED)
def test_each_code_raises_its_class_which_is_also_the_builtin(code: str) -> None:
    entry = LISTED[code]
    with pytest.raises(errors.KwaaiError, match=f"a {code} error on demand") as raised:
        run(finished(_native.raise_error(entry["number"])))
    error = raised.value
    name, *natural = entry["python"]
    assert type(error) is getattr(errors, name)
    assert all(isinstance(error, getattr(builtins, other)) for other in natural)
    assert (error.code, error.retryable) == (code, entry["retryable"])
    assert error.context["detail"] == "on demand"
    assert str(error.__cause__) == "the cause beneath"


def test_blocking_calls_raise_the_same() -> None:
    with pytest.raises(kwaainet.NotFoundError) as raised:
        _native.raise_error(2).wait()
    assert isinstance(raised.value, FileNotFoundError)
    assert raised.value.context == {"detail": "on demand"}


def test_a_panic_is_an_internal_error_and_not_the_end() -> None:
    with pytest.raises(kwaainet.InternalError, match="defect") as raised:
        _native.panic().wait()
    assert raised.value.context["panic"] == "a panic on demand"
    with pytest.raises(kwaainet.InternalError):
        run(finished(_native.panic()))


def test_errors_travel_between_processes() -> None:
    error = kwaainet.NotFoundError("gone", {"file": "x"})
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kwaainet.NotFoundError
    assert (str(again), dict(again.context)) == ("gone", {"file": "x"})
