"""OpenAI's HTTP API for programs that know no other, and a page for people."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from . import _native
from ._bridge import finished
from ._checks import checked, home, milliseconds, to_json


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
    host: str | None,
    port: int | None,
    token: str | None,
    max_requests: int | None,
    max_body_bytes: int | None,
    max_upload_bytes: int | None,
) -> str:
    """The options as the native module reads them."""
    options = {
        "host": host,
        "port": port,
        "token": token,
        "max_requests": max_requests,
        "max_body_bytes": max_body_bytes,
        "max_upload_bytes": max_upload_bytes,
    }
    return to_json("options", options)
