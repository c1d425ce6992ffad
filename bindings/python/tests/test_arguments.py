"""Bad arguments are `InvalidArgumentError` everywhere, and say which argument and what it allows."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_type_hints

import numpy
import pytest
from conftest import ROOT, run

import kwaainet
from kwaainet import Node, ShardEngine, TrustGraph, _native, sync, testing
from kwaainet._checks import rule

MODEL = ROOT / "examples" / "models" / "tiny-kwaai"
NONSENSE = [None, 3, -1, 1 << 70, 0.5, float("nan"), "", "\ud800", "x" * 5000, b"\xff", [], {}, [None], {"x": object()}, object()]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sync.Node.start(preset="huge"), r'preset must be one of "ephemeral", "desktop", "mobile", "server", not'),
        (lambda: sync.Node.start(limits={"max_streams": -1}), "limits.'max_streams'. must not be negative"),
        (lambda: sync.Node.start(limits={"max_streams": 1.5}), "limits.max_streams must be a whole number from 0 to .*, not 1.5"),
        (lambda: sync.Node.start(limits={"max_conections": 1}), "there is no limits.max_conections; there are max_connections, "),
        (lambda: sync.Node.start(limits={"max_memory_share": float("nan")}), "must be a finite number"),
        (lambda: _of_vectors(lambda notes: notes.upsert([1], [[1.0]])), "a vector has 1 numbers; the collection has 2 dimensions"),
        (lambda: _of_vectors(lambda notes: notes.upsert([1, 2], [[1.0, 2.0], [1.0]])), "vectors must be of one length; number 1 has another"),
        (lambda: _of_vectors(lambda notes: notes.upsert([1], numpy.ones(2))), "vectors must be an array of two dimensions"),
        (lambda: _of_vectors(lambda notes: notes.upsert([1, 2], [[1.0, 2.0]])), "there are 2 ids and 1 vectors"),
        (lambda: _of_vectors(lambda notes: notes.upsert([1], [[1.0, 2.0]], payloads=["x"])), r"payloads\[0\] must be bytes"),
        (lambda: _of_vectors(lambda notes: notes.upsert([1], [["x", 2.0]])), "vectors must be an array of floats, or a list of lists"),
        (lambda: _of_vectors(lambda notes: notes.search("x")), "vector must be an array of floats or a list of numbers"),
        (lambda: _of_vectors(lambda notes: notes.search([1.0, 2.0], filter={"a": object()})), "cannot be written as JSON"),
        (lambda: sync.Node.start(preset="ephemeral", relay_limits={"max_circuits": 1}), "this node is none"),
        (lambda: sync.Node.start(relay=True, relay_limits={"max_circuit": 1}), "there is no relay_limits.max_circuit; there are "),
        (lambda: sync.Node.start(relay_limits={"max_circuits": -1}), "relay_limits.'max_circuits'. must be a whole number from 0"),
        (lambda: sync.Node.start(public_port=1 << 16), "public_port must be a whole number from 0 to 65535"),
        (lambda: sync.Node.start(identify_timeout=timedelta(-1)), "identify_timeout must not be negative"),
        (lambda: sync.Rag.open("x", embedder="none", chunking={"strategy": "lines"}), 'chunking.strategy must be one of "sentence", '),
        (lambda: sync.Rag.open("x", embedder="none", chunking={"sise": 3}), "there is no chunking.sise; there are strategy, size, "),
        (lambda: sync.Rag.open("x", embedder="none", language="klingon"), "language must be one of "),
        (lambda: sync.Rag.open("x", model=kwaainet.Endpoint(3, "m")), "endpoint.base_url must be a string, not 3"),  # type: ignore[arg-type]
        (lambda: _of_node(lambda node: node.serve_http(port=1 << 16)), "a port is at most 65535, not 65536"),
        (lambda: _of_node(lambda node: node.serve_http(host="nowhere")), '"nowhere" is no IP address'),
        (lambda: _of_node(lambda node: node.serve_http(host="0.0.0.0", port=0)), "would answer everybody"),
        (lambda: _of_node(lambda node: node.serve_http(models={"x": 3})), "this int is no language model"),
        (lambda: _of_node(lambda node: node.serve_http(embedders={"x": 3})), "this int is no embedder"),
        (lambda: _of_node(lambda node: node.federation({"x": 3})), r"own\['x'\] must be a Rag, not int"),
        (lambda: _of_node(lambda node: node.federation(shared=[3])), r"shared\[0\] must be a SharedKnowledge, not int"),
        (lambda: kwaainet.check_provenance({}, {}), "hit.document_id is missing"),
        (lambda: sync.Node.start(listen="/ip4/127.0.0.1/tcp/0"), "listen must be a list, not str"),
        (lambda: sync.Node.start(listen=["\ud800"]), r"listen\[0\] holds a lone surrogate"),
        (lambda: sync.Node.start(preset="ephemeral", seed=-1), "seed must be a whole number from 0"),
        (lambda: sync.Node.start(preset="ephemeral", clock=datetime(2026, 1, 1)), "clock must have a time zone"),
        (lambda: sync.Node.start(preset="ephemeral", clock="noon"), "is no instant"),
        (lambda: sync.TrustGraph.open(3), "dir must be a str, not int"),
        (lambda: sync.TrustGraph.open(b"x"), "dir must be"),
        (lambda: _of_graph(lambda graph: graph.set_policy({"open": "royal"})), 'policy.*open.* must be one of "unknown", '),
        (lambda: _of_graph(lambda graph: graph.set_policy({"open": 1.5})), "score"),
        (lambda: _of_graph(lambda graph: graph.set_disclosures({"known": "all"})), 'must be one of "nothing", "threshold", '),
        (lambda: _of_graph(lambda graph: graph.issue("UptimeVC", graph.did, revocable=1)), "revocable must be True or False"),
        (lambda: _of_graph(lambda graph: graph.record(graph.did, "late")), 'outcome must be one of "good", "bad", "transport_fault"'),
        (
            lambda: _of_graph(lambda graph: graph.set_thresholds(kwaainet.Thresholds(uptime_min_days=-1))),
            "thresholds.uptime_min_days must be a whole number from 0 to 4294967295, not -1",
        ),
        (
            lambda: _of_graph(lambda graph: graph.issue_binding(testing.seed_did(2), "NodeBinding")),
            'link_type must be one of "person", "organisation", "passkey", "node"',
        ),
        (lambda: _of_graph(lambda graph: graph.set_thresholds({})), "thresholds must be a Thresholds, not dict"),
        (lambda: kwaainet.resolve_did(3), "did must be a str, not int"),  # type: ignore[arg-type]
        (lambda: kwaainet.check_citations("x", "y"), "sources must be a list, not str"),
        (lambda: kwaainet.check_citations("x", ["\ud800"]), r"sources\[0\] holds a lone surrogate"),
        (lambda: kwaainet.Calibration((2.0,), (), False, 0).auroc, "a support is between 0 and 1"),
        (lambda: kwaainet.Calibration((), (), False, 0).threshold(1.5), "share of unsupported answers is between 0 and 1"),
        (lambda: _of_rag(lambda rag: rag.search("x", since=datetime(2026, 1, 1))), "since must have a time zone"),
        (lambda: _of_rag(lambda rag: rag.search("x", before="now")), "before must be a datetime, not str"),
        (lambda: _of_rag(lambda rag: rag.search("x", diversity=2.0)), "diversity must be between 0 and 1"),
        (lambda: _of_rag(lambda rag: rag.search("x", dense_weight=-0.5)), "dense_weight must be between 0 and 1"),
        (lambda: _of_rag(lambda rag: rag.calibrate([{"question": "x"}])), r"questions\[0\] must be a CalibrationQuestion, not dict"),
        (
            lambda: _of_rag(lambda rag: rag.calibrate([kwaainet.CalibrationQuestion("x", "y")])),
            r"questions\[0\].documents must be a list, not str",
        ),
        (lambda: _of_rag(lambda rag: next(rag.ask("x", history=[{"role": "wizard", "content": "y"}]))), "history"),
    ],
)
def test_messages_name_the_argument_and_what_it_allows(call: Callable[[], object], message: str) -> None:
    with pytest.raises(kwaainet.InvalidArgumentError, match=message) as raised:
        call()
    for word in (" line ", " column ", "usize", "u64", "variant", "expected"):
        assert word not in str(raised.value)


def test_a_wrong_type_is_a_type_error_and_an_error_of_ours() -> None:
    with pytest.raises(TypeError, match="text must be a str, not int") as raised, sync.Node.start(preset="ephemeral") as node:
        node.send_message(node.peer_id, 3)  # type: ignore[arg-type]
    assert isinstance(raised.value, kwaainet.InvalidArgumentError) and raised.value.code == "invalid_argument"


def test_every_verb_survives_nonsense_in_every_argument(tmp_path: Path) -> None:
    """Whatever comes in, an error of ours comes out, or the call works."""
    with (
        sync.Node.start(preset="ephemeral", listen=[]) as node,
        sync.ShardEngine.open() as engine,
        engine.load(MODEL) as model,
        sync.Rag.open(tmp_path / "kb", embedder="none") as rag,
    ):
        node.vpk().host(1 << 24)
        vectors = node.vpk().create("vectors", 2, "plain", ["here"])
        console = node.vpk().console(port=0)
        server = node.serve_http(port=0)
        capability = node.share_knowledge(rag, node.did, name="kb", valid_for=timedelta(days=1))
        shared = node.shared_knowledge(node.peer_id, capability.text)
        federation = node.federation({"kb": rag}, embedder="none")
        handles: dict[str, Any] = {
            "Node": node, "TrustGraph": node.trust(), "ShardEngine": engine, "Rag": rag, "Model": model, "Vpk": node.vpk(),
            "VectorCollection": vectors, "HostConsole": console, "HttpServer": server,
            "SharedKnowledge": shared, "Federation": federation,
        }  # fmt: skip
        good: dict[str, Any] = {
            "model": model, "tokens": [1], "messages": "hi", "texts": ["hi"], "source": b"text", "peer": node.did,
            "did": node.did, "types": ["UptimeVC"], "type": "UptimeVC", "subject": node.did, "text": "x", "question": "x",
            "id": "x", "credential": "{}", "model_id": "x", "address": "/ip4/127.0.0.1/tcp/1", "name": "kb",
            "policy": {}, "disclosures": {}, "purpose": "open", "credential_id": "x", "url": "x", "list": "{}",
            "bundle": "{}", "passphrase": "x", "issuer": node.did, "request": "{}", "withdrawal": "{}", "about": node.did,
            "by": timedelta(0), "start_block": 0, "end_block": 1, "max_tokens": 1, "thresholds": kwaainet.Thresholds(),
            "questions": [{"question": "Why?"}], "collection": vectors, "outcome": "good", "audience": "x", "challenge": "x", "presentation": "{}", "link_type": "node",
            "recommender": node.did, "peers": [node.did], "good": 1.0, "bad": 0.0,
            "capacity_bytes": 1 << 24, "owner": node.did, "dimension": 2, "privacy": "plain", "hosts": ["here"], "ids": [1],
            "vectors": [[1.0, 0.0]], "vector": [1.0, 0.0], "up": True, "period": timedelta(hours=1),
            "collection_id": "0" * 32, "exported": "{}", "device": "{}", "folder": str(tmp_path / "none"), "embedder": "none",
            "rag": rag, "holder": node.did, "valid_for": timedelta(days=1), "capability": "{}", "hits": [], "capability_id": "0" * 32,
        }  # fmt: skip
        tried = 0
        for owner, handle in handles.items():
            for verb, function in inspect.getmembers(handle, inspect.ismethod):
                if verb.startswith("_") or verb in ("shutdown", "destroy"):
                    continue
                parameters = list(inspect.signature(function).parameters.values())
                needed = {p.name: good[p.name] for p in parameters if p.default is p.empty}
                for parameter in parameters:
                    for value in NONSENSE:
                        arguments = needed | {parameter.name: value}
                        if parameter.name == "model" and owner == "ShardEngine" and verb == "embed":
                            continue  # A name of a model would be looked for on the network.
                        tried += 1
                        try:
                            outcome = function(**arguments)
                            if isinstance(outcome, sync.EventStream):
                                list(outcome) if verb in ("chat", "ask", "ingest", "sync") else outcome.close()
                            if isinstance(outcome, (sync.Rag, sync.HttpServer)):
                                outcome.shutdown()
                        except kwaainet.KwaaiError:
                            pass
        assert tried > 500


@pytest.mark.parametrize("options", list(get_type_hints(sync.Node.start)) + ["dir", "signer"])
def test_every_way_to_open_survives_nonsense(options: str) -> None:
    if options == "return":
        return
    for value in NONSENSE:
        if options == "data_dir" and isinstance(value, str):
            continue  # A folder of that name would be made.
        try:
            if options in ("dir", "signer"):
                if options == "signer" or not isinstance(value, str):
                    sync.TrustGraph.open(**{options: value}).shutdown()
            else:
                sync.Node.start(**({"preset": "ephemeral", "listen": []} | {options: value})).shutdown()  # type: ignore[arg-type]
        except kwaainet.KwaaiError:
            pass


def test_handles_of_another_kind_are_refused() -> None:
    with sync.ShardEngine.open() as engine, sync.TrustGraph.open() as graph:
        for other in (graph, engine, None, "x"):
            with pytest.raises(kwaainet.InvalidArgumentError, match="model must be a Model"):
                engine.coverage(other)  # type: ignore[arg-type]


def test_a_handle_of_either_module_does_for_both() -> None:
    async def main() -> None:
        with sync.ShardEngine.open() as blocking:
            async with ShardEngine.open() as engine:
                model = blocking.load(MODEL)
                logits = await engine.logits(model, [1])  # type: ignore[arg-type]
                assert logits.shape == (1, model.info.vocab_size)
                model.shutdown()

    run(main())


def test_an_error_of_an_asynchronous_verb_comes_when_it_is_awaited() -> None:
    async def main() -> None:
        async with Node.start(preset="ephemeral", listen=[]) as node:
            call = node.send_message(node.peer_id, 3)  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                await call

    run(main())


def test_opening_twice_gives_the_same_object_or_the_same_error() -> None:
    async def main() -> None:
        opening = TrustGraph.open()
        first, second = await asyncio.gather(_opened(opening), _opened(opening))
        assert first is second is await opening
        await first.shutdown()
        failing = TrustGraph.open(clock="noon")
        with pytest.raises(kwaainet.InvalidArgumentError) as one:
            await failing
        with pytest.raises(kwaainet.InvalidArgumentError) as other:
            await failing
        assert one.value is other.value

    run(main())


def _of_node(call: Callable[[sync.Node], object]) -> None:
    with sync.Node.start(preset="ephemeral", listen=[]) as node:
        call(node)


def _of_vectors(call: Callable[[sync.VectorCollection], object]) -> None:
    with sync.Node.start(preset="ephemeral", listen=[]) as node:
        node.vpk().host(1 << 24)
        with node.vpk().create("notes", 2, "plain", ["here"]) as notes:
            call(notes)


def _of_rag(use: Callable[[Any], object]) -> object:
    with TemporaryDirectory() as folder, sync.Rag.open(Path(folder) / "kb", embedder="none") as rag:
        return use(rag)


def _of_graph(use: Callable[[Any], object]) -> object:
    with sync.TrustGraph.open() as graph:
        return use(graph)


async def _opened(opening: kwaainet.Opening[TrustGraph]) -> TrustGraph:
    return await opening


def test_a_handle_shows_what_it_is_and_whether_it_is_open(tmp_path: Path) -> None:
    with sync.Node.start(preset="ephemeral", name="alice", listen=[]) as node:
        trust, shards = node.trust(), node.shards()
        assert repr(node) == f"<kwaainet.sync.Node 'alice' {node.peer_id[:12]}…{node.peer_id[-6:]} running>"
        assert repr(trust).startswith("<kwaainet.sync.TrustGraph did:key:z6Mk…") and repr(trust).endswith(" open>")
        model = shards.load(MODEL, blocks=(0, 2))
        assert repr(model) == "<kwaainet.sync.Model 'tiny-kwaai' 4 blocks, 0 to 2 here, loaded>"
        model.shutdown()
        assert repr(model).endswith("let go>")
    assert repr(node).endswith("ended>") and repr(trust).endswith("closed>") and trust.did == node.did
    assert repr(shards) == "<kwaainet.sync.ShardEngine closed>"
    with sync.Rag.open(tmp_path, embedder="none") as rag:
        assert repr(rag) == "<kwaainet.sync.Rag open>"
    assert repr(rag) == "<kwaainet.sync.Rag closed>"

    async def main() -> None:
        async with Node.start(preset="ephemeral", name="bob", listen=[]) as bob:
            assert repr(bob).startswith("<kwaainet.Node 'bob' 12D3KooW")

    run(main())


def test_clocks_and_seeds_make_tests_repeatable() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)

    async def main() -> None:
        async with TrustGraph.open(seed=7, clock=noon) as graph, TrustGraph.open(seed=7) as same:
            assert graph.did == same.did == testing.seed_did(7)
            peer = testing.seed_did(8)
            issued = await graph.issue("UptimeVC", peer, valid_for=timedelta(hours=1))
            assert (issued.valid_from, issued.valid_until) == (noon, noon + timedelta(hours=1))
            await graph.import_credential(issued.json)
            await graph.trust_issuer(graph.did, ["UptimeVC"])
            before = (await graph.score(peer)).value
            await graph.advance_clock(timedelta(hours=2))
            assert before > (await graph.score(peer)).value == 0
            with pytest.raises(kwaainet.InvalidArgumentError, match="by must not be negative"):
                await graph.advance_clock(timedelta(seconds=-1))
            with pytest.raises(kwaainet.UnsupportedError):
                await same.advance_clock(timedelta(1))
        async with Node.start(preset="ephemeral", seed=7, clock="2026-01-31T12:00:00Z", listen=[]) as node:
            assert node.did == testing.seed_did(7)
            await node.advance_clock(timedelta(days=1))
            assert (await node.trust().issue("UptimeVC", node.did)).valid_from == noon + timedelta(days=1)

    run(main())


def test_every_annotation_of_a_verb_has_a_rule() -> None:
    for module in (kwaainet, sync):
        for name in ("Node", "TrustGraph", "ShardEngine", "Model", "Rag"):
            for verb, function in inspect.getmembers(getattr(module, name), inspect.isfunction):
                if not verb.startswith("_"):
                    for hint in (value for key, value in get_type_hints(function).items() if key != "return"):
                        rule(hint)
    assert _native.VERSION == kwaainet.version
