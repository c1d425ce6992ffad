"""What the library says, for Python's ``logging`` or any function."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from . import _native
from ._checks import checked_function
from ._records import record

_LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG, "trace": 5}


@dataclass(frozen=True)
class LogRecord:
    """Something that happened inside the library. Never holds a prompt, a document, a vector or a key."""

    at_ms: int
    """Milliseconds since 1970."""
    level: Literal["error", "warn", "info", "debug", "trace"]
    target: str
    """The part of the library, for example ``kwaai_core::net``."""
    message: str
    fields: dict[str, str]
    """Details by name."""
    dropped: int
    """How many records before this one were dropped because the sink was too slow."""


Sink: TypeAlias = Callable[[LogRecord], Awaitable[None] | None]


@checked_function
def init_logging(filter: str = "info", sink: Sink | None = None) -> None:
    """Brings what the library says from now on to a sink; once in a process. Without this it says nothing.

    ``filter`` is a level, or levels by part, such as ``warn,kwaai_core::net=debug``. ``sink`` is called with each
    ``LogRecord`` on a thread of its own, or awaited on the running event loop when it is asynchronous; what it raises is
    dropped. Without one, records go to the loggers ``kwaainet.*`` of ``logging``, for example ``kwaainet.net``, with
    the details in ``extra`` as ``fields``.
    """
    loop: asyncio.AbstractEventLoop | None = None
    with suppress(RuntimeError):
        loop = asyncio.get_running_loop()
    queue = _native.init_logging(filter)
    take = to_logging if sink is None else sink
    reader = threading.Thread(target=_read, args=(queue, take, loop), name="kwaainet-log", daemon=True)
    reader.start()

    def end() -> None:
        queue.close()
        reader.join(2)

    atexit.register(end)


def _read(queue: _native.LogQueue, sink: Sink, loop: asyncio.AbstractEventLoop | None) -> None:
    while batch := queue.next_batch():
        for data in batch:
            with suppress(Exception):
                told = sink(record(LogRecord, data))
                if inspect.isawaitable(told):
                    _await(told, loop)


def _await(told: Awaitable[None], loop: asyncio.AbstractEventLoop | None) -> None:
    async def listen() -> None:
        with suppress(Exception):
            await told

    if loop is None:
        asyncio.run(listen())
        return
    coroutine = listen()
    try:
        asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:  # The loop was closed.
        coroutine.close()
        if isinstance(told, Coroutine):
            told.close()


def to_logging(said: LogRecord) -> None:
    """Gives a record to the logger of its part."""
    parts = said.target.split("::")
    name = ".".join(["kwaainet", *(parts[1:] if parts[0].startswith("kwaai") else parts)])
    logger = logging.getLogger(name)
    level = _LEVELS[said.level]
    if not logger.isEnabledFor(level):
        return
    text = said.message + "".join(f" {key}={value}" for key, value in said.fields.items())
    if said.dropped:
        text += f" ({said.dropped} records before this one were dropped)"
    extra: dict[str, Any] = {"fields": said.fields, "target": said.target, "dropped": said.dropped}
    kept = logger.makeRecord(name, level, "(kwaainet)", 0, text, (), None, extra=extra)
    kept.created, kept.msecs = said.at_ms / 1000, float(said.at_ms % 1000)
    logger.handle(kept)
