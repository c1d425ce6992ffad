"""Values that come over time: messages, events, progress, tokens.

The library never waits for a reader. One that falls too far behind loses the oldest values; ``missed`` counts them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from . import _native
from ._bridge import begun, finished

if TYPE_CHECKING:
    from ._native import _Batch, Operation

T = TypeVar("T")

#: At most so many values cross from the native module at once.
BATCH = 256


class Source(Generic[T]):
    """A native stream, opened at its first use, with the values that were read from it and not yet taken."""

    def __init__(self, stream: Operation[_native.Stream] | _native.Stream, read: Callable[[Any], T]) -> None:
        self.missed = 0
        self.ended = False
        self.native: _native.Stream | None = None
        self.opening: Operation[_native.Stream] | None = None
        if isinstance(stream, _native.Stream):
            self.native = stream
        else:
            self.opening = stream
        self._read = read
        self._values: deque[T] = deque()

    def add(self, batch: _Batch) -> None:
        self.ended = not batch
        for item in batch:
            if isinstance(item, int):
                self.missed += item
            else:
                self._values.append(self._read(item[0]))

    def take(self) -> T | None:
        return self._values.popleft() if self._values else None

    def close(self) -> None:
        self.ended = True
        self._values.clear()
        if self.opening is not None:
            self.opening.cancel()
        if self.native is not None:
            self.native.cancel()


class EventStream(AsyncIterator[T]):
    """An asynchronous iterator. ``aclose()``, or the end of ``async with``, stops the work behind it.

    A task that is cancelled while it waits for a value loses none: whoever asks next gets it.
    """

    def __init__(self, stream: Operation[_native.Stream] | _native.Stream, read: Callable[[Any], T]) -> None:
        self._source = Source(stream, read)
        self._batch: asyncio.Future[_Batch] | None = None

    @property
    def missed(self) -> int:
        """How many values were dropped because nobody read them in time."""
        return self._source.missed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while (value := self._source.take()) is None:
            if self._source.ended:
                raise StopAsyncIteration
            await self._fill()
        return value

    async def _fill(self) -> None:
        source = self._source
        if source.native is None:
            assert source.opening is not None
            source.native = await finished(source.opening)
        if self._batch is None or self._batch.get_loop() is not asyncio.get_running_loop():
            self._batch = begun(source.native.next_batch(BATCH))
            self._batch.add_done_callback(_seen)
        batch = self._batch
        # Not awaited itself: cancelling the task must not cancel the batch that is on its way.
        await asyncio.wait([batch])
        if self._batch is batch:
            self._batch = None
            try:
                source.add(batch.result())
            except BaseException:
                source.ended = True
                raise

    async def aclose(self) -> None:
        """Stops the work behind the stream. What is durable already stays."""
        self._source.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _seen(batch: asyncio.Future[_Batch]) -> None:
    """A stream that nobody reads on may end with an error that nobody asks for."""
    if not batch.cancelled():
        batch.exception()
