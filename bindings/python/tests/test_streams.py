"""Streams: asynchronous and blocking iterators over the same source."""

from __future__ import annotations

import asyncio

import pytest
from conftest import run, until

from kwaainet import _native, sync
from kwaainet.streams import EventStream


def numbers(count: int, capacity: int = 10_000, open: bool = False) -> EventStream[int]:
    return EventStream(_native.numbers(count, capacity, open), int)


def test_every_value_comes_in_order() -> None:
    async def main() -> list[int]:
        return [number async for number in numbers(5000)]

    assert run(main()) == list(range(5000))
    assert list(sync.EventStream(_native.numbers(5000, 10_000, False), int)) == list(range(5000))


def test_a_slow_reader_is_told_how_much_it_missed() -> None:
    async def main() -> tuple[list[int], int]:
        stream = numbers(100, capacity=10)
        return [number async for number in stream], stream.missed

    assert run(main()) == (list(range(90, 100)), 90)
    blocking = sync.EventStream(_native.numbers(100, 10, False), int)
    assert (list(blocking), blocking.missed) == (list(range(90, 100)), 90)


def test_a_cancelled_wait_loses_no_value() -> None:
    async def main() -> None:
        async with numbers(3, open=True) as stream:
            assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.02)
            batch = stream._batch
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.02)
            assert stream._batch is batch, "the second wait took up the first"

    run(main())


def test_closing_ends_the_iteration_and_the_work() -> None:
    async def main() -> None:
        stream = numbers(1, open=True)
        assert await anext(stream) == 0
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await waiting
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main())


def test_leaving_a_loop_early_lets_go_of_the_stream() -> None:
    async def main() -> None:
        async for number in numbers(10, open=True):
            if number == 3:
                break

    run(main())
    until(lambda: "stream" not in _native.live_handles(), "the end of the stream")
