"""What an HTTP server answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike, fspath
from typing import Any, TypeAlias

from . import _native
from ._checks import to_json
from .provide import Host, native_embedder, native_model
from .rag import Endpoint, supplies

Served: TypeAlias = tuple[
    list[tuple[str, _native.Writer | str]], list[tuple[str, _native.Embedder | str]], list[tuple[str, _native.Rag]]
]


def served(
    models: Mapping[str, Any] | None, embedders: Mapping[str, Any] | None, knowledge: Mapping[str, Any] | None, host: Host
) -> Served:
    """What a server answers with, for the native module. All of it may be of ``kwaainet`` or of ``kwaainet.sync``."""
    return (
        [(name, _model(model, host)) for name, model in (models or {}).items()],
        [(name, _embedder(embedder, host)) for name, embedder in (embedders or {}).items()],
        [(name, rag._native) for name, rag in (knowledge or {}).items()],
    )


def _model(model: Any, host: Host) -> _native.Writer | str:
    if isinstance(model, Endpoint):
        return to_json("endpoint", asdict(model))
    _, writer, _ = supplies(None, model, (), host)
    return writer or native_model(model, host)


def _embedder(embedder: Any, host: Host) -> _native.Embedder | str:
    if isinstance(embedder, (str, PathLike)):
        return fspath(embedder)
    own, _, _ = supplies(embedder, None, (), host)
    return own or native_embedder(embedder, host)
