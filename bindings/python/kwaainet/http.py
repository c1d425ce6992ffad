"""OpenAI's HTTP API, for programs that know no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Self, TypeAlias

from . import _native
from ._bridge import finished
from ._checks import checked, home, milliseconds, to_json
from .provide import Host, native_embedder, native_model
from .rag import Endpoint, supplies


@checked
class HttpServer:
    """Answers programs that speak OpenAI's HTTP API, until it is shut down. See ``docs/http.md`` for what it answers."""

    def __init__(self, native: _native.HttpServer) -> None:
        self._native = native

    @property
    def address(self) -> str:
        """Where it listens, such as ``127.0.0.1:11435``."""
        return self._native.address

    @property
    def port(self) -> int:
        """The port of that address."""
        return self._native.port

    @property
    def base_url(self) -> str:
        """What clients take for their base address, such as ``http://127.0.0.1:11435/v1``."""
        return self._native.base_url

    async def shutdown(self, *, grace: timedelta | None = None) -> None:
        """Takes no further request, lets what is under way finish within ``grace``, five seconds unless set, and ends the rest.

        When it returns, every connection is closed and the port is free. Idempotent.
        """
        await finished(self._native.shutdown(None if grace is None else milliseconds(grace)))

    def __repr__(self) -> str:
        return shown_server(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()


def shown_server(server: Any) -> str:
    state = "open" if server._native.is_open() else "closed"
    return f"<{home(server)}.HttpServer {server.base_url} {state}>"


def server_options(
    host: str | None, port: int | None, token: str | None, max_requests: int | None, max_body_bytes: int | None
) -> str:
    """The options as the native module reads them."""
    options = {
        "host": host,
        "port": port,
        "token": token,
        "max_requests": max_requests,
        "max_body_bytes": max_body_bytes,
    }
    return to_json("options", options)


Served: TypeAlias = tuple[list[tuple[str, _native.Writer | str]], list[tuple[str, _native.Embedder | str]]]


def served(models: Mapping[str, Any] | None, embedders: Mapping[str, Any] | None, host: Host) -> Served:
    """What a server answers with, for the native module. Models may be of ``kwaainet`` or of ``kwaainet.sync``."""
    return (
        [(name, _model(model, host)) for name, model in (models or {}).items()],
        [(name, _embedder(embedder, host)) for name, embedder in (embedders or {}).items()],
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
