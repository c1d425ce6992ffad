"""How a call of the native module becomes something that asyncio awaits.

The work runs on the library's own threads. When it is done, one thread of the native module asks the event loop to
settle a future. Cancelling the task cancels the work. A loop that was closed in the meantime is left alone.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Coroutine, Generator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from . import _native

if TYPE_CHECKING:
    from ._native import Operation

T = TypeVar("T")


def begun(operation: Operation[T]) -> asyncio.Future[T]:
    """Makes the call; the future of the running event loop gets its result."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    operation.start(partial(_deliver, loop, future))
    return future


async def finished(operation: Operation[T]) -> T:
    """Makes the call and waits for its result without blocking the event loop."""
    future = begun(operation)
    try:
        return await future
    except BaseException:
        # The task was cancelled, or its coroutine thrown away: nobody waits for the work any more.
        operation.cancel()
        raise


def _deliver(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], value: T, error: BaseException | None) -> None:
    try:
        loop.call_soon_threadsafe(_settle, future, value, error)
    except RuntimeError:
        pass  # The loop was closed: nobody waits any more.


def _settle(future: asyncio.Future[T], value: T, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


class Closeable(Protocol):
    """Something that ``async with`` shuts down."""

    async def shutdown(self) -> Any: ...


C = TypeVar("C", bound=Closeable)


class Opening(Generic[C]):
    """What ``Node.start(...)`` and its like return: await it, or use it with ``async with``.

    It opens once. Awaited again, it gives the same object, or raises the same error.
    """

    def __init__(self, opened: Coroutine[Any, Any, C]) -> None:
        self._opened = opened
        self._begun = False
        self._waiting: list[asyncio.Future[None]] = []
        self._object: C | None = None
        self._error: BaseException | None = None

    def __await__(self) -> Generator[Any, None, C]:
        return self._get().__await__()

    async def _get(self) -> C:
        if not self._begun:
            self._begun = True
            try:
                self._object = await self._opened
            except BaseException as error:
                self._error = error
                raise
            finally:
                for waiter in self._waiting:
                    if not waiter.done():
                        waiter.set_result(None)
        while self._object is None and self._error is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        if self._object is None:
            assert self._error is not None
            raise self._error
        return self._object

    async def __aenter__(self) -> C:
        return await self._get()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._object is not None:
            await self._object.shutdown()


atexit.register(_native.shutdown)
