"""Runs nodes of PyPI's hivemind, and does with them what it is told.

Reads JSON objects from standard input, one a line, and answers each with one line: `{"ok": …}`, or `{"error": …}`. Every
command has `do`, and `node`, a name: `start` with `initial_peers`, `host`, `client_mode`, and
arguments of `P2P.create` in `daemon`; `store` with `key`, `value`,
`ttl`, `subkey`; `get` with `key`; `read` with `keys`; `ping` with `peer`; `time` measures stores and gets of `count` keys; `protect` stores a
record under an owner's sub-key; `stop`; `kill`, which ends the node's daemon without a word.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from typing import Any

import torch_stub  # noqa: F401
from hivemind.dht.crypto import RSASignatureValidator
from hivemind.dht.node import DHTNode
from hivemind.p2p import PeerID
from hivemind.utils import get_dht_time
from hivemind.utils.crypto import RSAPrivateKey

NODES: dict[str, DHTNode] = {}
OWNER = RSASignatureValidator(RSAPrivateKey())


def plain(value: Any) -> Any:
    """What hivemind returned, as JSON can say it."""
    if hasattr(value, "expiration_time"):
        return plain(value.value)
    if isinstance(value, bytes):
        return {"length": len(value), "start": base64.b64encode(value[:16]).decode()}
    if isinstance(value, dict):
        return {str(key): plain(of) for key, of in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def parsed(value: Any) -> Any:
    """`{"zeros": n}` stands for so many bytes, `{"tuple": […]}` for a tuple."""
    if isinstance(value, dict) and "zeros" in value:
        return bytes(value["zeros"])
    if isinstance(value, dict) and "tuple" in value:
        return tuple(value["tuple"])
    return value


async def start(command: dict[str, Any]) -> Any:
    validator = OWNER if command.get("validate") else None
    node = await DHTNode.create(
        initial_peers=command.get("initial_peers", []),
        host_maddrs=[command.get("host", "/ip4/127.0.0.1/tcp/0")],
        client_mode=command.get("client_mode", False),
        record_validator=validator,
        cache_locally=False,
        **command.get("daemon", {}),
    )
    NODES[command["node"]] = node
    addresses = [str(address) for address in await node.protocol.p2p.get_visible_maddrs()]
    return {"peer": node.peer_id.to_base58(), "addresses": addresses}


async def measure(node: DHTNode, count: int) -> Any:
    stores, gets = [], []
    for i in range(count):
        began = time.perf_counter()
        assert await node.store(f"measured-{i}", i, get_dht_time() + 60)
        stores.append((time.perf_counter() - began) * 1000)
    for i in range(count):
        began = time.perf_counter()
        assert (await node.get(f"measured-{i}", latest=True)).value == i
        gets.append((time.perf_counter() - began) * 1000)
    medians = {"store_ms": sorted(stores)[count // 2], "get_ms": sorted(gets)[count // 2]}
    return {**medians, "stores": stores, "gets": gets}


async def read(node: DHTNode, keys: list[str]) -> Any:
    """The values of many keys, some of them asked for at the same time."""
    turns = asyncio.Semaphore(16)

    async def one(key: str) -> Any:
        async with turns:
            return plain(await node.get(key, latest=True))

    return await asyncio.gather(*map(one, keys))


async def do(command: dict[str, Any]) -> Any:
    if command["do"] == "start":
        return await start(command)
    node = NODES[command["node"]]
    match command["do"]:
        case "store":
            expiration = get_dht_time() + command.get("ttl", 60)
            subkey = {"subkey": command["subkey"]} if "subkey" in command else {}
            return await node.store(command["key"], parsed(command["value"]), expiration, **subkey)
        case "protect":
            subkey = b"owned" + OWNER.local_public_key
            return await node.store(command["key"], command["value"], get_dht_time() + 60, subkey=subkey)
        case "get":
            return plain(await node.get(command["key"], latest=True))
        case "read":
            return await read(node, command["keys"])
        case "ping":
            peer = PeerID.from_base58(command["peer"])
            return await node.protocol.call_ping(peer, validate=command.get("validate", False)) is not None
        case "table":
            return len(node.protocol.routing_table.uid_to_peer_id)
        case "time":
            return await measure(node, command["count"])
        case "kill":
            NODES.pop(command["node"]).protocol.p2p._child.kill()
            return None
        case "stop":
            await NODES.pop(command["node"]).shutdown()
            return None
    raise ValueError(command["do"])


async def main() -> None:
    loop = asyncio.get_running_loop()
    answers = sys.stdout
    # What hivemind prints is no answer.
    sys.stdout = sys.stderr
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            answer = {"ok": await do(json.loads(line))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    await asyncio.gather(*(node.shutdown() for node in NODES.values()))


asyncio.run(main())
