"""Arguments are checked where they enter, by their annotations, so that an error names the argument and what it allows.

Every verb of every class goes through here, and so does every option that has a name.
"""

from __future__ import annotations

import collections.abc
import inspect
import json
import math
import operator
import os
import types
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from . import _native
from .errors import InvalidArgumentError, WrongTypeError

C = TypeVar("C", bound=type)
Rule = Callable[[str, Any], None]

_U32 = 2**32 - 1
_I64 = 2**63 - 1
#: Whole numbers that the library keeps in 32 bits.
_NARROW = {"k", "start_block", "end_block", "max_tokens", "top_k", "tokens", "blocks", "number", "count"}


def checked(cls: C) -> C:
    """Checks the arguments of every public function of a class."""
    for name, thing in list(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(thing, staticmethod):
            setattr(cls, name, staticmethod(checked_function(thing.__func__)))
        elif inspect.isfunction(thing):
            setattr(cls, name, checked_function(thing))
    return cls


F = TypeVar("F", bound=Callable[..., Any])


def checked_function(function: F) -> F:
    """Checks the arguments of a function."""

    @cache
    def rules() -> tuple[list[Rule | None], dict[str, Rule], list[str]]:
        hints = get_type_hints(function)
        names = list(inspect.signature(function).parameters)
        by_name = {name: rule(hints[name]) for name in names if name in hints}
        return [by_name.get(name) for name in names], by_name, names

    def check(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        in_order, by_name, names = rules()
        for place, value in enumerate(arguments[: len(in_order)]):
            if (test := in_order[place]) is not None:
                test(names[place], value)
        for name, value in named.items():
            if name in by_name:
                by_name[name](name, value)

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def waiting(*arguments: Any, **named: Any) -> Any:
            check(arguments, named)
            return await function(*arguments, **named)

        return cast(F, waiting)

    @wraps(function)
    def calling(*arguments: Any, **named: Any) -> Any:
        check(arguments, named)
        return function(*arguments, **named)

    return cast(F, calling)


@cache
def rule(hint: Any) -> Rule:
    """The rule that an annotation stands for."""
    if isinstance(hint, str):
        raise TypeError(f"{hint!r} was not resolved")
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _any_of([rule(argument) for argument in arguments])
    if origin is Literal:
        return _one_of(arguments)
    if origin is tuple:
        return _tuple([rule(argument) for argument in arguments])
    if origin is collections.abc.Sequence:
        return _sequence(rule(arguments[0]))
    if origin is collections.abc.Mapping:
        return _mapping(rule(arguments[0]), rule(arguments[1]))
    if origin is os.PathLike or hint is os.PathLike:
        return _path
    if origin is collections.abc.Callable:
        return _callable
    if hint is types.NoneType:
        return _none
    return _SIMPLE.get(hint) or _instance(hint)


def to_json(what: str, value: Any) -> str:
    """JSON for the native module."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"the {what} cannot be written as JSON: {error}") from error


def home(handle: object) -> str:
    """The package that users know a class from."""
    return "kwaainet.sync" if type(handle).__module__ == "kwaainet.sync" else "kwaainet"


def milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def epoch_milliseconds(instant: datetime) -> int:
    return milliseconds(instant - datetime(1970, 1, 1, tzinfo=UTC))


def wrong_type(name: str, expected: str, value: Any) -> WrongTypeError:
    return WrongTypeError(f"{name} must be {expected}, not {type(value).__name__}")


def real_milliseconds(span: timedelta | None) -> float | None:
    """A measured span, with its fractions."""
    return None if span is None else span / timedelta(milliseconds=1)


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise wrong_type(name, "a str", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(
                f"{name} holds a lone surrogate at place {error.start}, which is no character"
            ) from error


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise wrong_type(name, "a whole number", value)
    most = _U32 if name.partition("[")[0] in _NARROW else _I64
    if not 0 <= operator.index(value) <= most:
        raise InvalidArgumentError(f"{name} must be a whole number from 0 to {most}")


def _number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise wrong_type(name, "a number", value)
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise InvalidArgumentError(f"{name} must be a finite number")


def _truth(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise wrong_type(name, "True or False", value)


def _span(name: str, value: Any) -> None:
    if not isinstance(value, timedelta):
        raise wrong_type(name, "a timedelta", value)
    if value < timedelta(0):
        raise InvalidArgumentError(f"{name} must not be negative")


def _instant(name: str, value: Any) -> None:
    if not isinstance(value, datetime):
        raise wrong_type(name, "a datetime", value)
    if value.tzinfo is None:
        raise InvalidArgumentError(f"{name} must have a time zone, for example datetime(..., tzinfo=timezone.utc)")


def _bytes(name: str, value: Any) -> None:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong_type(name, "bytes", value)


def _path(name: str, value: Any) -> None:
    if not isinstance(value, os.PathLike):
        raise wrong_type(name, "a path", value)
    _text(name, os.fspath(value))


def _callable(name: str, value: Any) -> None:
    if not callable(value):
        raise wrong_type(name, "callable", value)


def _none(name: str, value: Any) -> None:
    if value is not None:
        raise wrong_type(name, "None", value)


def _anything(name: str, value: Any) -> None:
    pass


def _one_of(allowed: tuple[Any, ...]) -> Rule:
    listed = ", ".join(f'"{choice}"' for choice in allowed)

    def test(name: str, value: Any) -> None:
        if not isinstance(value, str):
            raise wrong_type(name, f"one of {listed}", value)
        if value not in allowed:
            raise InvalidArgumentError(f"{name} must be one of {listed}, not {ascii(value[:60])}")

    return test


def _any_of(rules: list[Rule]) -> Rule:
    def test(name: str, value: Any) -> None:
        refused: InvalidArgumentError | None = None
        for one in rules:
            try:
                return one(name, value)
            except InvalidArgumentError as error:
                # What has the right type and a wrong value says more than what has the wrong type.
                if refused is None or (isinstance(refused, WrongTypeError) and not isinstance(error, WrongTypeError)):
                    refused = error
        if refused is not None:
            raise refused

    return test


def _sequence(inner: Rule) -> Rule:
    def test(name: str, value: Any) -> None:
        if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__getitem__") or not hasattr(value, "__len__"):
            raise wrong_type(name, "a list", value)
        for place, item in enumerate(value):
            inner(f"{name}[{place}]", item)

    return test


def _tuple(inner: list[Rule]) -> Rule:
    def test(name: str, value: Any) -> None:
        if not isinstance(value, (tuple, list)) or len(value) != len(inner):
            raise wrong_type(name, f"{len(inner)} values", value)
        for place, (one, item) in enumerate(zip(inner, value, strict=True)):
            one(f"{name}[{place}]", item)

    return test


def _mapping(key: Rule, inner: Rule) -> Rule:
    def test(name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise wrong_type(name, "a mapping", value)
        for word, item in value.items():
            key(f"the keys of {name}", word)
            inner(f"{name}[{word!r}]", item)

    return test


def _instance(hint: Any) -> Rule:
    if not isinstance(hint, type) or getattr(hint, "_is_protocol", False):
        return _anything
    native = getattr(_native, hint.__name__, None)

    def test(name: str, value: Any) -> None:
        # A handle of `kwaainet` and the same of `kwaainet.sync` are one thing.
        if not isinstance(value, hint) and (native is None or not isinstance(getattr(value, "_native", None), native)):
            raise wrong_type(name, f"a {hint.__name__}", value)

    return test


_SIMPLE: dict[Any, Rule] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _truth,
    bytes: _bytes,
    timedelta: _span,
    datetime: _instant,
    Any: _anything,
    object: _anything,
}
