"""What the tests share."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from local_hub import hub as hub

from kwaainet import _native

ROOT = Path(__file__).resolve().parents[3]
T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine in a loop of its own, in debug mode; a test that hangs fails."""

    async def limited() -> T:
        return await asyncio.wait_for(coroutine, 120)

    return asyncio.run(limited(), debug=True)


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for something that another thread is about to do."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.002)


def live() -> dict[str, int]:
    gc.collect()
    return _native.live_handles()


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Every test gives back what it took: no handle stays alive."""
    before = live()
    yield
    until(lambda: live() == before, f"the handle count of before, {before}, where now {live()} are left,")


def heed_interrupts() -> None:
    """A shell that runs the tests in the background has Ctrl-C ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def python(program: str, *, interrupt_after: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a program in an interpreter of its own. After it printed the line `interrupt_after`, it gets Ctrl-C."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "bindings" / "python"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    assert process.stdout is not None
    head = ""
    if interrupt_after is not None:
        for line in process.stdout:
            head += line
            if line.strip() == interrupt_after:
                process.send_signal(2)
                break
    try:
        output, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        pytest.fail(f"the program did not end\n{head}{output}\n{errors}")
    return subprocess.CompletedProcess(command, process.returncode, head + output, errors)
