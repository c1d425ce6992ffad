"""The bridge between the library's threads and Python: cancellation, closed loops, fork, exit, Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest
from conftest import live, python, run, until

import kwaainet
from kwaainet import _native
from kwaainet._bridge import finished


def hanging() -> int:
    return _native.live_handles().get("hang", 0)


def test_cancelling_a_task_stops_the_work_in_rust() -> None:
    async def main() -> None:
        task = asyncio.create_task(finished(_native.hang()))
        while hanging() == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while hanging() > 0:
            await asyncio.sleep(0)

    run(main())


def test_a_timeout_of_asyncio_stops_the_work_in_rust() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await finished(_native.hang())

    run(main())
    until(lambda: hanging() == 0, "the end of the work")


def test_a_loop_that_closes_first_is_left_alone() -> None:
    loop = asyncio.new_event_loop()
    coroutine = finished(_native.hang())

    async def begin() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0.05)

    task = loop.create_task(coroutine)
    loop.run_until_complete(begin())
    operation_is_running = hanging()
    assert operation_is_running == 1
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    coroutine.close()
    del task
    until(lambda: hanging() == 0, "the end of the work")


def test_many_calls_at_once_all_come_back() -> None:
    async def main() -> None:
        results = await asyncio.gather(
            *(finished(_native.raise_error(1 + number % 16)) for number in range(2000)), return_exceptions=True
        )
        assert all(isinstance(result, kwaainet.KwaaiError) for result in results)
        numbers = {code: number for code, number, _ in _native.error_codes()}
        assert [numbers[result.code] for result in results if isinstance(result, kwaainet.KwaaiError)] == [
            1 + number % 16 for number in range(2000)
        ]

    run(main())


def test_a_call_is_made_once() -> None:
    operation = _native.raise_error(1)
    with pytest.raises(kwaainet.InvalidArgumentError):
        operation.wait()
    with pytest.raises(RuntimeError, match="made already"):
        operation.wait()


def test_a_blocking_call_lets_other_threads_run() -> None:
    operation = _native.hang()

    def wait() -> None:
        with pytest.raises(kwaainet.CancelledError):
            operation.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: hanging() == 1, "the start of the work")
    operation.cancel()
    thread.join(30)
    assert not thread.is_alive()


def test_ctrl_c_ends_a_blocking_call() -> None:
    ended = python(
        """
import threading
from kwaainet import _native
def tell():
    while not _native.live_handles().get("hang"): pass
    print("waiting")
threading.Thread(target=tell).start()
try:
    _native.hang().wait()
except KeyboardInterrupt:
    print("interrupted")
""",
        interrupt_after="waiting",
    )
    assert (ended.returncode, ended.stdout.split()[-1], ended.stderr) == (0, "interrupted", "")


def test_ctrl_c_ends_a_program_that_awaits() -> None:
    ended = python(
        """
import asyncio
from kwaainet import _native
from kwaainet._bridge import finished
async def main():
    task = asyncio.ensure_future(finished(_native.hang()))
    while not _native.live_handles().get("hang"): await asyncio.sleep(0)
    print("waiting")
    await task
asyncio.run(main())
""",
        interrupt_after="waiting",
    )
    assert ended.returncode in (-signal.SIGINT, 130, 1)
    assert ended.stderr.strip().endswith("KeyboardInterrupt")


def test_the_interpreter_exits_with_calls_under_way() -> None:
    ended = python(
        """
import asyncio, threading
from kwaainet import _native
from kwaainet._bridge import begun
loop = asyncio.new_event_loop()
async def main():
    for _ in range(100): begun(_native.hang())
    while _native.live_handles().get("hang") != 100: await asyncio.sleep(0)
loop.run_until_complete(main())
for _ in range(10):
    threading.Thread(target=lambda: _native.hang().wait(), daemon=True).start()
while _native.live_handles().get("hang") != 110: pass
loop.close()
import sys
sys.unraisablehook = lambda args: None
threading.excepthook = lambda args: None
print("leaving")
"""
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "leaving"), ended.stderr


def test_the_interpreter_exits_while_results_pour_in() -> None:
    ended = python(
        """
import asyncio
from kwaainet import _native
from kwaainet._bridge import begun
async def main():
    for _ in range(5000): begun(_native.raise_error(4)).add_done_callback(lambda f: f.exception())
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
print("leaving")
"""
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "leaving"), ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_has_a_runtime_of_its_own_and_no_share_in_the_parents() -> None:
    ended = python(
        """
import asyncio, os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import kwaainet
from kwaainet import _native, sync
parents = sync.TrustGraph.open()
async def before():
    try: await kwaainet._bridge.finished(_native.raise_error(5))
    except kwaainet.UntrustedPeerError: pass
asyncio.run(before())
child = os.fork()
if child == 0:
    try: parents.score(parents.did)
    except kwaainet.ClosedError as error: print("closed:", error)
    else: os._exit(1)
    assert _native.live_handles() == {}
    graph = sync.TrustGraph.open()
    print("own:", graph.score(graph.did).tier)
    asyncio.run(before())
    graph.shutdown()
    raise SystemExit(0)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
print("parent:", parents.score(parents.did).tier)
parents.shutdown()
"""
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("closed: this trust graph belongs to the process")
    assert lines[1:] == ["own: unknown", "parent: unknown"]


def test_many_forks_with_busy_threads_never_hang() -> None:
    ended = python(
        """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from kwaainet import sync
graph = sync.TrustGraph.open()
stop = threading.Event()
def busy():
    while not stop.is_set(): graph.score(graph.did)
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        own = sync.TrustGraph.open()
        own.score(own.did)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
stop.set()
for thread in threads: thread.join()
graph.shutdown()
print("done")
"""
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "done"), ended.stderr


def test_after_the_shutdown_calls_answer_closed() -> None:
    ended = python(
        """
import kwaainet
from kwaainet import _native
_native.shutdown()
_native.shutdown()
try: _native.raise_error(1).wait()
except kwaainet.ClosedError: print("closed")
"""
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "closed"), ended.stderr


def test_no_handle_is_alive_here() -> None:
    assert live() == {}
