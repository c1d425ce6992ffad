"""What the library says reaches `logging`, or any function; each in a process of its own, which has one sink."""

from __future__ import annotations

from conftest import python


def test_records_reach_the_loggers_of_their_parts() -> None:
    ended = python(
        """
import logging, threading
import kwaainet
from kwaainet import sync
got, heard = [], threading.Event()
class Keep(logging.Handler):
    def emit(self, record):
        got.append(record)
        heard.set()
logging.getLogger("kwaainet").addHandler(Keep())
logging.getLogger("kwaainet").setLevel(logging.DEBUG)
kwaainet.init_logging("info")
with sync.Node.start(preset="ephemeral"): pass
assert heard.wait(30)
record = got[0]
assert record.name.startswith("kwaainet."), record.name
assert "kwaai_core" not in record.name
assert record.levelno >= logging.INFO and record.getMessage() and isinstance(record.fields, dict)
assert abs(record.created - __import__("time").time()) < 60
try: kwaainet.init_logging("info")
except kwaainet.AlreadyExistsError: print("once")
"""
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "once", "")


def test_a_function_gets_every_field_and_its_exceptions_are_dropped() -> None:
    ended = python(
        """
import threading
import kwaainet
from kwaainet import sync
got, enough = [], threading.Event()
def sink(record):
    got.append(record)
    if len(got) >= 3: enough.set()
    raise ValueError("a broken sink")
kwaainet.init_logging("debug", sink)
with sync.Node.start(preset="ephemeral"): pass
assert enough.wait(30)
record = got[0]
assert record.at_ms > 1.6e12 and record.level in ("error", "warn", "info", "debug"), record
assert "::" in record.target or record.target, record
assert record.dropped == 0 and isinstance(record.fields, dict)
print("heard")
"""
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "heard", "")


def test_an_asynchronous_sink_runs_on_the_event_loop() -> None:
    ended = python(
        """
import asyncio, threading
import kwaainet
async def main():
    heard = asyncio.Event()
    async def sink(record):
        assert threading.current_thread() is threading.main_thread()
        heard.set()
    kwaainet.init_logging("info", sink)
    async with kwaainet.Node.start(preset="ephemeral"):
        await asyncio.wait_for(heard.wait(), 30)
    print("heard")
asyncio.run(main())
"""
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "heard", "")


def test_a_slow_sink_is_told_how_many_records_it_lost_and_holds_up_nobody() -> None:
    ended = python(
        """
import threading
import kwaainet
from kwaainet import sync
entered, leave, lost = threading.Event(), threading.Event(), threading.Event()
def sink(record):
    entered.set()
    leave.wait(60)
    if record.dropped: lost.set()
kwaainet.init_logging("trace", sink)
with sync.Node.start(preset="ephemeral") as one, sync.Node.start(preset="ephemeral") as other:
    other.connect(one.info().addresses[0])
    assert entered.wait(30)
    for number in range(400): other.send_message(one.peer_id, "x")
    leave.set()
    while not lost.is_set(): other.send_message(one.peer_id, "x")
print("done")
"""
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "done", "")


def test_filters_that_cannot_be_are_refused() -> None:
    ended = python(
        """
import kwaainet
for filter in ("kwaai_core=loud", "\\ud800", 3, None):
    try: kwaainet.init_logging(filter)
    except kwaainet.InvalidArgumentError: print("refused")
for sink in (3, "text"):
    try: kwaainet.init_logging("info", sink)
    except kwaainet.InvalidArgumentError: print("refused")
"""
    )
    assert (ended.returncode, ended.stdout.split()) == (0, ["refused"] * 6), ended.stderr


def test_a_record_has_the_fields_that_the_object_layer_writes() -> None:
    ended = python(
        """
import dataclasses
import kwaainet
from kwaainet import _native, sync
queue = _native.init_logging("info")
with sync.Node.start(preset="ephemeral"): pass
(first, *_) = queue.next_batch()
assert set(first) == {field.name for field in dataclasses.fields(kwaainet.LogRecord)}, first
queue.close()
while queue.next_batch(): pass
print("same")
"""
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "same", "")
