"""Node from Python: first contact, messages, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import live, python, run, until

import kwaainet
from kwaainet import Node, sync


def test_two_nodes_connect_and_talk() -> None:
    async def main() -> None:
        async with Node.start(preset="ephemeral", name="alice") as alice, Node.start(preset="ephemeral") as bob:
            assert alice.name == "alice" and alice.did.startswith("did:key:z6Mk")
            info = await bob.info()
            assert (info.peer_id, info.did, info.data_dir) == (bob.peer_id, bob.did, None)
            events = alice.events()
            assert await alice.connect(info.addresses[0]) == bob.peer_id
            async for event in events:
                if isinstance(event, kwaainet.PeerConnected):
                    assert (event.peer, event.direction) == (bob.peer_id, "outbound")
                    break
            inbox = bob.messages()
            await alice.send_message(bob.did, "hello ☂")
            message = await anext(inbox)
            assert (message.sender, message.text) == (alice.peer_id, "hello ☂")
            (peer,) = await bob.peers()
            assert (peer.peer_id, peer.did, peer.tier, peer.score) == (alice.peer_id, alice.did, "unknown", 0.0)
            assert bob.peer_id in (await alice.find_peer(bob.peer_id))[0]
            await alice.disconnect(bob.peer_id)
            assert await alice.peers() == []
            await inbox.aclose()
            await events.aclose()

    run(main())


def test_the_same_without_an_event_loop() -> None:
    with sync.Node.start(preset="ephemeral") as alice, sync.Node.start(preset="ephemeral") as bob:
        alice.connect(bob.info().addresses[0])
        inbox = bob.messages()
        for number in range(100):
            alice.send_message(bob.peer_id, str(number))
        assert [next(inbox).text for _ in range(100)] == [str(number) for number in range(100)]
        bob.shutdown()
        assert list(inbox) == []
        inbox.close()


def test_after_the_shutdown_everything_answers_closed_and_the_directory_is_free(tmp_path: Path) -> None:
    async def main() -> None:
        node = await Node.start(preset="desktop", data_dir=tmp_path)
        trust, shards, did = node.trust(), node.shards(), node.did
        with pytest.raises(kwaainet.BusyError):
            await Node.start(preset="desktop", data_dir=tmp_path)
        await asyncio.gather(node.shutdown(), node.shutdown(grace=timedelta(0)))
        await node.shutdown()
        assert (node.did, trust.did) == (did, did)
        for call in (node.info(), node.peers(), node.connect("/ip4/127.0.0.1/tcp/1"), trust.issuers(), shards.served()):
            with pytest.raises(kwaainet.ClosedError):
                await call
        with pytest.raises(kwaainet.ClosedError):
            node.messages()
        async with Node.start(preset="desktop", data_dir=tmp_path) as again:
            assert again.did == did

    run(main())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"preset": "huge"}, kwaainet.InvalidArgumentError),
        ({"listen": ["nonsense"]}, kwaainet.InvalidArgumentError),
        ({"limits": {"max_conections": 1}}, kwaainet.InvalidArgumentError),
        ({"limits": {"max_streams": -1}}, kwaainet.InvalidArgumentError),
        ({"limits": {"gate_timeout_ms": 1 << 40}}, kwaainet.InvalidArgumentError),
        ({"identity_key": "/nowhere/identity.key"}, kwaainet.NotFoundError),
        ({"data_dir": ""}, kwaainet.InvalidArgumentError),
    ],
)
def test_a_node_that_cannot_start_says_why_and_leaves_nothing(
    options: dict[str, object], error: type[kwaainet.KwaaiError]
) -> None:
    with pytest.raises(error):
        run(_started({"preset": "ephemeral"} | options))


async def _started(options: dict[str, object]) -> None:
    async with Node.start(**options):  # type: ignore[arg-type]
        pass


def test_an_occupied_port_is_busy() -> None:
    with sync.Node.start(preset="ephemeral", listen=["/ip4/127.0.0.1/tcp/0"]) as node:
        address = node.info().addresses[0].split("/p2p/")[0]
        with pytest.raises(kwaainet.BusyError):
            sync.Node.start(preset="ephemeral", listen=[address])


def test_unreachable_peers_and_foolish_arguments_are_errors() -> None:
    with sync.Node.start(preset="ephemeral") as node:
        with pytest.raises(kwaainet.UnreachableError) as raised:
            node.connect("/ip4/127.0.0.1/tcp/1")
        assert isinstance(raised.value, ConnectionError) and raised.value.retryable
        with pytest.raises(kwaainet.InvalidArgumentError):
            node.send_message("nobody", "x")
        with pytest.raises(kwaainet.InvalidArgumentError):
            node.send_message(node.peer_id, "x" * 70_000)


def test_a_cancelled_start_leaves_nothing() -> None:
    async def main() -> None:
        for turns in range(0, 2000, 100):
            task = asyncio.ensure_future(_started({"preset": "ephemeral"}))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass

    run(main())
    until(lambda: live() == {}, "the end of every node")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not list a process's threads and files")
def test_a_hundred_nodes_leave_no_thread_socket_task_or_handle() -> None:
    ended = python(
        """
import asyncio, os, threading, time
from kwaainet import Node, _native

def held():
    files = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    sockets = sum(os.path.exists(file) and os.readlink(file).startswith("socket:") for file in files)
    return sockets, len(os.listdir("/proc/self/task")), threading.active_count()

async def cycle():
    async with Node.start(preset="ephemeral") as one, Node.start(preset="ephemeral") as other:
        await one.connect((await other.info()).addresses[0])
        await one.send_message(other.peer_id, "x")

async def main():
    await cycle()
    before = held()
    for _ in range(50): await cycle()
    assert len(asyncio.all_tasks()) == 1
    assert _native.live_handles() == {}
    deadline = time.monotonic() + 30
    while any(now > then for now, then in zip(held(), before)):
        assert time.monotonic() < deadline, (before, held())
        await asyncio.sleep(0.01)

asyncio.run(main())
print("done")
"""
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "done", "")


def test_a_hundred_nodes_at_once() -> None:
    async def main() -> None:
        nodes = await asyncio.gather(*(_node() for _ in range(100)))
        assert len({node.peer_id for node in nodes}) == 100
        await asyncio.gather(*(node.shutdown() for node in nodes))

    run(main())


async def _node() -> Node:
    return await Node.start(preset="ephemeral", listen=["/ip4/127.0.0.1/tcp/0"])


def test_a_forgotten_node_ends() -> None:
    async def main() -> None:
        await Node.start(preset="ephemeral")

    run(main())
    until(lambda: live() == {}, "the end of the node")


def test_the_interpreter_exits_with_a_node_running() -> None:
    ended = python(
        """
import asyncio, kwaainet
async def main():
    global node, inbox
    node = await kwaainet.Node.start(preset="ephemeral")
    inbox = node.messages()
asyncio.run(main())
print("leaving")
"""
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "leaving", "")


def test_ctrl_c_shuts_a_node_down() -> None:
    ended = python(
        """
import asyncio, kwaainet
async def main():
    async with kwaainet.Node.start(preset="ephemeral") as node:
        print("waiting")
        async for message in node.messages(): pass
    print("down")
try: asyncio.run(main())
except KeyboardInterrupt: print("interrupted", kwaainet._native.live_handles())
""",
        interrupt_after="waiting",
    )
    assert ended.stdout.splitlines()[-1].startswith("interrupted"), ended.stderr
    assert ended.returncode == 0


def test_a_forked_child_cannot_harm_its_parents_node() -> None:
    ended = python(
        """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import kwaainet
from kwaainet import sync
with sync.Node.start(preset="ephemeral") as node, sync.Node.start(preset="ephemeral") as other:
    child = os.fork()
    if child == 0:
        for call in (node.info, node.shutdown, node.trust().issuers):
            try: call()
            except kwaainet.ClosedError: pass
            else: os._exit(1)
        try: sync.Node.start(preset="ephemeral")
        except kwaainet.UnsupportedError as error: assert "spawn" in error.context["remedy"]
        else: os._exit(2)
        with sync.TrustGraph.open() as own: own.issuers()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    node.connect(other.info().addresses[0])
    print(len(node.peers()))
"""
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "1"), ended.stderr


def test_a_server_ends_with_its_node_also_with_one_that_is_forgotten() -> None:
    with sync.Node.start(preset="ephemeral", listen=[]) as node:
        server = node.serve_http(port=0)
        assert repr(server) == f"<kwaainet.sync.HttpServer http://127.0.0.1:{server.port}/v1 open>"
        assert live()["HTTP server"] == 1
    assert repr(server).endswith("closed>") and server.address == f"127.0.0.1:{server.port}"
    assert "HTTP server" not in live()
    server.shutdown()

    node = sync.Node.start(preset="ephemeral", listen=[])
    server = node.serve_http(port=0)
    del node
    assert "node" not in live() and repr(server).endswith("closed>")
    with sync.Node.start(preset="ephemeral", listen=[]) as other:
        until(lambda: _port_is_free(other, server.port), "the end of the server")


def _port_is_free(node: sync.Node, port: int) -> bool:
    try:
        node.serve_http(port=port).shutdown()
    except kwaainet.BusyError:
        return False
    return True


def test_processes_forked_before_the_first_node_have_nodes_of_their_own() -> None:
    ended = python(
        """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from kwaainet import sync
sync.TrustGraph.open().shutdown()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        with sync.Node.start(preset="ephemeral") as one, sync.Node.start(preset="ephemeral") as other:
            one.connect(other.info().addresses[0])
            one.send_message(other.peer_id, "x")
        os._exit(0)
    children.append(child)
with sync.Node.start(preset="ephemeral") as node: node.info()
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
print("done")
"""
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "done"), ended.stderr
