"""Stands in for PyTorch, which hivemind imports everywhere and its DHT never uses.

Every attribute of the stub is a class that can be called, indexed, iterated and calculated with, since that happens while
hivemind's modules are imported. Import this before hivemind.
"""

from __future__ import annotations

# They look for the real torch when they are imported later.
import multiprocessing.connection  # noqa: F401
import multiprocessing.queues  # noqa: F401
import multiprocessing.synchronize  # noqa: F401
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Anything(type):
    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing

    def __or__(cls, _other: object) -> type:
        return cls

    __ror__ = __or__


class Nothing(metaclass=Anything):
    def __init__(self, *_args: object, **_named: object) -> None:
        pass

    def __class_getitem__(cls, _item: object) -> type:
        return cls

    def __call__(self, *args: Any, **_named: object) -> Any:
        # A decorator gives back what it decorates.
        return args[0] if args and callable(args[0]) else Nothing()

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()

    def __iter__(self) -> Any:
        return iter(())

    def __index__(self) -> int:
        return 1

    def __float__(self) -> float:
        return 1.0

    def _number(self, *_other: object) -> int:
        return 1

    __int__ = __add__ = __sub__ = __mul__ = __rmul__ = __floordiv__ = __truediv__ = _number
    __hash__ = object.__hash__


class Stub(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = sys.modules.get(f"{self.__name__}.{name}") or type(name, (Nothing,), {})
        setattr(self, name, value)
        return value


class Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] == "torch" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = Stub(spec.name)
        module.__path__ = []
        module.__version__ = "2.4.0"
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


sys.meta_path.insert(0, Finder())
