"""Much at once, with figures: nothing is left, memory stays flat, nothing hangs at the end."""

from __future__ import annotations

from conftest import python

HELD = """
import gc, os, resource, time
from kwaainet import testing
def memory():
    gc.collect()
    with open("/proc/self/statm") as file: pages = int(file.read().split()[1])
    return pages * resource.getpagesize() // 1024
def gone():
    deadline = time.monotonic() + 30
    while True:
        gc.collect()
        if not testing.live_handles(): return
        assert time.monotonic() < deadline, testing.live_handles()
        time.sleep(0.002)
"""


def show(program: str) -> None:
    ended = python(HELD + program)
    print(ended.stdout.strip())
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr


def test_ten_thousand_objects_made_and_dropped_leave_no_handle_and_no_memory() -> None:
    show(
        """
from kwaainet import sync
def make(count):
    for _ in range(count):
        sync.TrustGraph.open()
make(1000)
gone()
before, began = memory(), time.perf_counter()
make(10_000)
seconds = time.perf_counter() - began
gone()
grown = memory() - before
print(f"10,000 trust graphs in {seconds:.1f} s, {seconds * 100:.0f} us each; memory grew by {grown} KiB")
assert grown < 8192, grown
"""
    )


def test_a_thousand_calls_cancelled_at_random_points_leave_nothing() -> None:
    show(
        """
import asyncio, random, tempfile
from types import SimpleNamespace
from kwaainet import Rag, ShardEngine, TrustGraph, KwaaiError
async def embed(texts, query):
    await asyncio.sleep(0.0005)
    return [[1.0, float(len(text))] for text in texts]
async def main():
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        embedder = SimpleNamespace(id="x", dimension=2, embed=embed)
        async with Rag.open(folder, embedder=embedder) as rag, TrustGraph.open() as graph:
            await rag.ingest(b"The canteen serves dumplings.", name="a.txt").done()
            calls = (
                lambda: rag.search("dumplings"),
                lambda: rag.stats(),
                lambda: graph.issue("UptimeVC", graph.did),
                lambda: graph.score(graph.did),
                lambda: rag.ask("What does the canteen serve?").done(),
                lambda: hang(),
            )
            ended = {"cancelled": 0, "done": 0, "failed": 0}
            for number in range(1000):
                task = asyncio.ensure_future(chance.choice(calls)())
                for _ in range(chance.randrange(12)): await asyncio.sleep(0)
                if chance.random() < 0.3: await asyncio.sleep(chance.random() * 0.002)
                task.cancel()
                try: await task
                except asyncio.CancelledError: ended["cancelled"] += 1
                except KwaaiError: ended["failed"] += 1
                else: ended["done"] += 1
            assert ended["cancelled"] > 300, ended
            assert (await rag.search("dumplings")).hits and (await graph.score(graph.did)).value == 0
            print("1,000 calls cancelled at random points:", ended)
async def hang(): await testing.hang()
asyncio.run(main(), debug=False)
gone()
"""
    )


def test_a_hundred_nodes_started_and_shut_down_leave_no_thread_file_or_memory() -> None:
    show(
        """
import threading
from kwaainet import sync
def cycle(count):
    for _ in range(count):
        with sync.Node.start(preset="ephemeral", listen=[]): pass
def held(): return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), threading.active_count()
cycle(10)
gone()
before, held_before, began = memory(), held(), time.perf_counter()
cycle(100)
seconds = time.perf_counter() - began
gone()
deadline = time.monotonic() + 30
while any(now > then for now, then in zip(held(), held_before)):
    assert time.monotonic() < deadline, (held_before, held())
    time.sleep(0.01)
grown = memory() - before
print(f"100 nodes in {seconds:.1f} s, {seconds * 10:.1f} ms each; memory grew by {grown} KiB")
assert grown < 16384, grown
"""
    )


def test_two_hundred_thousand_numbers_stream_through_without_growing() -> None:
    show(
        """
import asyncio
async def main():
    # The first stream brings pages of the library in, which are no growth.
    async for _ in testing.numbers(10_000, capacity=10_000): pass
    before, began, total = memory(), time.perf_counter(), 0
    for _ in range(20):
        async for _ in testing.numbers(10_000, capacity=10_000): total += 1
    seconds = time.perf_counter() - began
    print(f"{total} numbers, {seconds / total * 1e6:.2f} us each; memory grew by {memory() - before} KiB")
    assert total == 200_000 and memory() - before < 16384
asyncio.run(main(), debug=False)
gone()
"""
    )
