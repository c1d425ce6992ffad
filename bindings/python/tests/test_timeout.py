"""``with sync.timeout(...)``: what takes longer is cancelled, and the error is a `TimeoutError`."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, until
from test_surface import CLASSES, listed

import kwaainet
from kwaainet import sync, testing

MODEL = ROOT / "examples" / "models" / "tiny-kwaai"
#: What does not wait: it reads what is known, hands out a part of a node, or lets go.
AT_ONCE = {
    "Node": {"trust", "shards", "vpk", "messages", "events", "advance_clock"},
    "TrustGraph": {"advance_clock", "shutdown"},
    "ShardEngine": {"shutdown"},
    "Model": {"shutdown"},
    "Rag": set[str](),
    "Vpk": set[str](),
    "VectorCollection": {"shutdown"},
    "SharedKnowledge": set[str](),
    "Federation": set[str](),
    "HostConsole": {"shutdown"},
    "HttpServer": set[str](),
}


def overdue(call: Callable[[], object]) -> kwaainet.KwaaiTimeoutError:
    with pytest.raises(TimeoutError) as raised:
        call()
    assert isinstance(raised.value, kwaainet.KwaaiTimeoutError)
    assert (raised.value.code, raised.value.retryable) == ("timeout", True)
    return raised.value


def test_a_call_that_is_overdue_is_cancelled_in_the_library() -> None:
    with sync.timeout(0.02):
        error = overdue(testing.hang().wait)
    assert int(error.context["limit_ms"]) <= 20
    until(lambda: "hang" not in testing.live_handles(), "the end of the call")


def test_every_verb_that_waits_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    with (
        sync.Node.start(preset="ephemeral", listen=[]) as node,
        sync.TrustGraph.open() as graph,
        sync.ShardEngine.open() as engine,
        engine.load(MODEL) as model,
        sync.Rag.open(tmp_path / "kb", embedder="none") as rag,
        sync.Node.start(preset="ephemeral", listen=[]) as keeper,
    ):
        keeper.vpk().host(1 << 24)
        vectors = keeper.vpk().create("vectors", 2, "plain", ["here"])
        console = keeper.vpk().console(port=0)
        server = keeper.serve_http(port=0)
        base = keeper.rag("kb", embedder="none")
        capability = keeper.share_knowledge(base, node.did, name="kb", valid_for=timedelta(days=1))
        shared = node.shared_knowledge(keeper.peer_id, capability.text)
        federation = keeper.federation({"kb": base}, embedder="none")
        handles: dict[str, Any] = {
            "Node": node, "TrustGraph": graph, "ShardEngine": engine, "Model": model, "Rag": rag, "Vpk": keeper.vpk(),
            "VectorCollection": vectors, "HostConsole": console, "HttpServer": server,
            "SharedKnowledge": shared, "Federation": federation,
        }  # fmt: skip
        given: dict[str, Any] = {
            "address": "/ip4/127.0.0.1/tcp/1", "peer": node.did, "text": "x", "name": "kb", "type": "UptimeVC",
            "subject": node.did, "credential": "{}", "id": "x", "did": node.did, "types": ["UptimeVC"], "policy": {},
            "purpose": "open", "start_block": 0, "end_block": 1, "model_id": "x", "messages": "hi", "tokens": [1],
            "texts": ["x"], "source": b"text", "question": "why?", "dir": tmp_path / "other", "folder": str(tmp_path),
            "credential_id": "x", "list": "{}", "bundle": "{}", "passphrase": "x", "issuer": node.did, "disclosures": {},
            "url": f"urn:kwaai:status:{node.did.removeprefix('did:key:')}:revocation:0",
            "request": "{}", "withdrawal": "{}", "about": node.did, "thresholds": kwaainet.Thresholds(), "outcome": "good",
            "audience": "x", "challenge": "x", "presentation": "{}", "link_type": "node", "recommender": node.did, "peers": [node.did], "good": 1.0,
            "bad": 0.0, "capacity_bytes": 1, "owner": node.did, "dimension": 2, "privacy": "plain", "hosts": ["here"],
            "ids": [1], "vectors": [[1.0, 2.0]], "vector": [1.0, 2.0], "up": True, "period": timedelta(hours=1),
            "collection": vectors, "collection_id": "0" * 32, "exported": "{}", "device": "{}",
            "questions": [], "embedder": SimpleNamespace(id="ones", dimension=2, embed=lambda texts, query: [[1.0, 1.0] for _ in texts]),
            "rag": rag, "holder": node.did, "valid_for": timedelta(days=1), "capability": "{}", "hits": [], "capability_id": "0" * 32,
        }  # fmt: skip
        tried = 0
        for owner in CLASSES:
            for verb, entry in listed(owner).items():
                if entry.get("property") or verb in AT_ONCE[owner]:
                    continue
                function = getattr(handles[owner], verb)
                parameters = inspect.signature(function).parameters.values()
                path_to_model = owner == "ShardEngine" and verb in ("load", "download", "serve", "calibrate")
                needed = {p.name: given.get(p.name, model) for p in parameters if p.default is p.empty}
                if path_to_model:
                    needed["model"] = MODEL
                if verb == "remove_download":
                    needed["model"] = "nobody/nothing"
                if verb == "recover":
                    needed["passphrase"] = "x"
                with sync.timeout(0):
                    if entry.get("stream"):
                        stream = function(**needed)
                        overdue(lambda: next(stream))  # noqa: B023
                        stream.close()
                    else:
                        overdue(lambda: function(**needed))  # noqa: B023
                tried += 1
        assert tried > 40
        # Only the wait for a shutdown was given up.
        until(lambda: repr(node).endswith("ended>"), "the end of the node")
        assert graph.issuers() == [] and rag.documents() == []


def test_a_read_that_is_overdue_takes_nothing_from_the_stream() -> None:
    with sync.Node.start(preset="ephemeral") as alice, sync.Node.start(preset="ephemeral") as bob:
        alice.connect(bob.info().addresses[0])
        with bob.messages() as inbox:
            for number in range(5):
                with sync.timeout(0.001):
                    overdue(lambda: next(inbox))
                alice.send_message(bob.peer_id, str(number))
                assert next(inbox).text == str(number)


def test_the_limit_is_for_the_whole_block_and_the_shorter_one_counts() -> None:
    began = time.monotonic()
    with sync.timeout(timedelta(seconds=60)), sync.timeout(0.02), sync.timeout(60):
        overdue(testing.hang().wait)
        overdue(testing.hang().wait)
    assert time.monotonic() - began < 30
    with sync.TrustGraph.open() as graph:
        assert graph.issuers() == []


def test_what_with_opened_is_closed_also_when_the_time_is_up() -> None:
    with pytest.raises(TimeoutError), sync.timeout(30) as _, sync.Node.start(preset="ephemeral", listen=[]) as node:
        with sync.timeout(0):
            node.info()
    with pytest.raises(kwaainet.ClosedError):
        node.info()
    with sync.timeout(0.05):
        try:
            with sync.TrustGraph.open() as graph:
                testing.hang().wait()
        except TimeoutError:
            pass
    with pytest.raises(kwaainet.ClosedError):
        graph.issuers()


def test_a_limit_counts_for_its_thread_alone() -> None:
    seen: list[object] = []

    def other() -> None:
        with sync.TrustGraph.open() as graph:
            seen.append(graph.issuers())

    with sync.timeout(0):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == [[]]


def test_an_app_that_is_slow_is_no_longer_waited_for(tmp_path: Path) -> None:
    leave = threading.Event()

    def embed(texts: list[str], query: bool) -> list[list[float]]:
        leave.wait()
        return [[1.0, 0.0] for _ in texts]

    with sync.Rag.open(tmp_path / "kb", embedder=SimpleNamespace(id="slow", dimension=2, embed=embed)) as rag:
        with sync.timeout(0.05):
            overdue(rag.ingest(b"A text.", name="a.txt").done)
        leave.set()


@pytest.mark.parametrize("limit", [-1, -0.5, timedelta(seconds=-1), float("nan"), float("inf"), "3", None, True])
def test_a_limit_that_cannot_be_is_refused(limit: Any) -> None:
    with pytest.raises(kwaainet.InvalidArgumentError, match="limit must"), sync.timeout(limit):
        pass
