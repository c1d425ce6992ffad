"""What crossing into the library costs from Python. `tests/bench/ffi.py` runs it and says what the numbers mean.

Needs the native module of a checkout, and numpy. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from datetime import timedelta

import numpy

from kwaainet import sync, testing

ROWS, COLUMNS = 50_000, 384
VALUES = 10_000
CALLS = 200_000


async def stream_us() -> float:
    stream = testing.numbers(VALUES, capacity=VALUES)
    began, count = time.perf_counter(), 0
    async for _ in stream:
        count += 1
    assert count == VALUES
    return (time.perf_counter() - began) / VALUES * 1e6


def call_ns() -> float:
    with sync.TrustGraph.open() as graph:
        began = time.perf_counter()
        for _ in range(CALLS):
            graph.did
        return (time.perf_counter() - began) / CALLS * 1e9


def handover_ms() -> float:
    array = ((numpy.arange(ROWS * COLUMNS) % 1009) / 1009 + 0.5).astype(numpy.float32).reshape(ROWS, COLUMNS)
    testing.norms(array)
    began = time.perf_counter()
    testing.norms(array)
    return (time.perf_counter() - began) * 1e3


def cycle_ms() -> float:
    began = time.perf_counter()
    sync.Node.start(preset="ephemeral").shutdown(grace=timedelta(0))
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    found = {
        "call_ns": call_ns(),
        "handover_ms": handover_ms(),
        "stream_us": asyncio.run(stream_us()),
        "cycle_ms": cycle_ms(),
    }
    gc.collect()
    print(json.dumps(found | {"left": sum(testing.live_handles().values())}))


if __name__ == "__main__":
    main()
