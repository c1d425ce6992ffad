"""`kwaainet.testing`: swarms, and failures on demand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import python, run, until

import kwaainet
from kwaainet import testing


def test_a_swarm_is_connected_each_with_each_and_ends() -> None:
    async def main() -> None:
        async with testing.Swarm(4) as nodes:
            everyone = {node.peer_id for node in nodes}
            assert len(everyone) == 4
            for place, node in enumerate(nodes):
                assert {peer.peer_id for peer in await node.peers()} == everyone - {node.peer_id}
                assert node.name == f"node-{place}"
            await nodes[0].send_message(nodes[3].peer_id, "hello")
        with pytest.raises(kwaainet.ClosedError):
            await nodes[0].info()

    run(main())
    with testing.Swarm(3) as blocking:
        assert [len(node.peers()) for node in blocking] == [2, 2, 2]


def test_a_swarm_that_cannot_start_leaves_nothing() -> None:
    async def main() -> None:
        with pytest.raises(kwaainet.InvalidArgumentError):
            async with testing.Swarm(3, listen=["nonsense"]):
                pass

    run(main())
    with pytest.raises(kwaainet.InvalidArgumentError, match="listen must name an address"), testing.Swarm(2, listen=[]):
        pass
    with testing.Swarm(1, listen=[]) as (alone,):
        assert alone.info().addresses == ()


@pytest.mark.parametrize("size", [0, -1, 65, 1 << 40, 1.5, "3", None])
def test_a_swarm_has_one_to_sixty_four_nodes(size: Any) -> None:
    with pytest.raises(kwaainet.InvalidArgumentError, match="size must be a whole number"):
        testing.Swarm(size)


@pytest.mark.parametrize("option", ["preset", "name", "data_dir", "identity_key", "seed", "lissten"])
def test_a_swarm_refuses_what_each_node_has_for_itself(option: str) -> None:
    with pytest.raises(kwaainet.InvalidArgumentError, match=f"there is no {option}; there are bootstrap, clock, "):
        testing.Swarm(2, **{option: "x"})


def test_failures_come_on_demand_awaited_or_waited_for() -> None:
    async def main() -> None:
        with pytest.raises(kwaainet.UntrustedPeerError):
            await testing.raise_error(5)
        with pytest.raises(kwaainet.InternalError):
            await testing.panic()
        hanging = asyncio.ensure_future(_awaited(testing.hang()))
        while testing.live_handles().get("hang") != 1:
            await asyncio.sleep(0)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert [number async for number in testing.numbers(3)] == [0, 1, 2]
        slow = testing.numbers(10, capacity=4)
        assert ([number async for number in slow], slow.missed) == ([6, 7, 8, 9], 6)

    run(main())
    with pytest.raises(TimeoutError):
        testing.raise_error(7).wait()
    for number in (0, 17, 1 << 31):
        with pytest.raises(kwaainet.InvalidArgumentError):
            testing.raise_error(number).wait()
    until(lambda: "hang" not in testing.live_handles(), "the end of the hanging call")


async def _awaited(call: testing.Call[None]) -> None:
    await call


def test_a_library_without_failures_on_demand_says_so() -> None:
    ended = python(
        """
import kwaainet
from kwaainet import _native, testing
for name in ("raise_error", "hang", "panic", "numbers", "live_handles", "norms", "seed_did", "seed_sign"):
    delattr(_native, name)
calls = (lambda: testing.raise_error(1), testing.hang, testing.panic, lambda: testing.numbers(3), testing.live_handles,
         lambda: testing.norms([]), lambda: testing.seed_did(1), lambda: testing.seed_sign(1, b""))
for call in calls:
    try: call()
    except kwaainet.UnsupportedError: print("unsupported")
with testing.Swarm(2) as nodes: print(len(nodes))
"""
    )
    assert (ended.returncode, ended.stdout.split()) == (0, ["unsupported"] * 8 + ["2"]), ended.stderr
