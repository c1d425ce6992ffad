"""Records of the native module, which are plain dicts, as the frozen dataclasses that users see."""

from __future__ import annotations

import dataclasses
import types
from base64 import b64decode
from collections.abc import Callable, Hashable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

R = TypeVar("R")

if TYPE_CHECKING:
    #: 32-bit floats, of one or two dimensions.
    Floats: TypeAlias = memoryview[float]
else:
    # It takes no parameter when it runs before Python 3.14.
    Floats = memoryview


def record(cls: type[R], data: dict[str, Any]) -> R:
    """The dataclass ``cls`` from a dict with its fields; fields that it does not know are left out."""
    return cls(**{name: convert(data[name]) for name, convert in _fields(cast(Hashable, cls)).items()})


def maybe_record(cls: type[R], data: dict[str, Any] | None) -> R | None:
    return None if data is None else record(cls, data)


def records(cls: type[R], data: list[dict[str, Any]]) -> list[R]:
    return [record(cls, item) for item in data]


def tagged(classes: dict[str, type[Any]], data: dict[str, Any]) -> Any:
    """The dataclass that ``data["kind"]`` names."""
    return record(classes[data["kind"]], data)


@cache
def _fields(cls: Any) -> dict[str, Callable[[Any], Any]]:
    hints = get_type_hints(cls)
    return {field.name: _converter(hints[field.name]) for field in dataclasses.fields(cls)}


def _converter(hint: Any) -> Callable[[Any], Any]:
    if dataclasses.is_dataclass(hint):
        return lambda data: record(cast(type[Any], hint), data)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType) and type(None) in arguments:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        convert = _converter(inner)
        return lambda data: None if data is None else convert(data)
    if origin is tuple and arguments[1:] == (...,):
        convert = _converter(arguments[0])
        return lambda data: tuple(convert(item) for item in data)
    if origin is dict and dataclasses.is_dataclass(arguments[1]):
        convert = _converter(arguments[1])
        return lambda data: {name: convert(item) for name, item in data.items()}
    if hint is bytes:
        return lambda data: b64decode(data)
    if hint is datetime:
        return lambda data: datetime.fromisoformat(data)
    return lambda data: data
