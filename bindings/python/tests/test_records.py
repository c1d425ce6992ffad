"""The fields of every record are what the object layer writes, no more and no fewer.

Real calls are made, and each record is compared with the plain data that came from the native module. A field that is
renamed, added or removed on either side goes red, and so does a record that no call brings about.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, run
from local_hub import ID, Hub

import kwaainet
from kwaainet import BlockShare, Node, Rag, ShardEngine, TrustGraph, _records, provide

MODEL = ROOT / "examples" / "models" / "tiny-kwaai"

#: Records that are made in Python, never read from the object layer.
MADE_HERE = {
    "AnswerCache", "BlockShare", "CalibrationQuestion", "EvaluationQuestion", "NumericAnswer", "ModelWriter", "Endpoint", "EmbeddingEndpoint",
    "Completion", "Progress",
}  # fmt: skip
#: Records whose data is named otherwise on its way: `AnswerDone` has its answer inside.
SPECIAL = {"AnswerDone", "MessageReceived"}
#: Names that the native data has and the record spells differently.
RENAMED = {"Answer": {"answer": "text"}}
#: What the scene below cannot bring about, and why.
RARE = {
    "PeerDirect": "comes when two nodes that met at a relay got through to each other",
    "ReachabilityChanged": "comes when a node on the internet tried to dial this one",
    "OtherEvent": "stands for events of later versions",
    "ListeningStopped": "comes when an interface of the machine goes away",
    "Listening": "a node listens before anybody can ask for its events",
    "LogRecord": "compared by test_logging, in a process of its own",
}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, set[str]]]:
    """For each record that is read, the keys of the data that it was read from."""
    keys: dict[str, set[str]] = {}
    original = _records.record

    def spy(cls: Any, data: Any) -> Any:
        keys.setdefault(cls.__name__, set()).update(data)
        return original(cls, data)

    monkeypatch.setattr(_records, "record", spy)
    for module in (kwaainet.federation, kwaainet.identity, kwaainet.node, kwaainet.rag, kwaainet.shard, kwaainet.trust, kwaainet.vpk, provide):
        if hasattr(module, "record"):
            monkeypatch.setattr(module, "record", spy)
    yield keys


def test_every_field_of_every_record_is_what_the_object_layer_writes(
    tmp_path: Path, seen: dict[str, set[str]], hub: Hub
) -> None:
    run(scene(tmp_path))
    records = {
        name: cls
        for name in kwaainet.__all__
        if inspect.isclass(cls := getattr(kwaainet, name)) and dataclasses.is_dataclass(cls)
    }
    missing = set(records) - set(seen) - MADE_HERE - SPECIAL - set(RARE)
    assert not missing, f"no call brought about {sorted(missing)}"
    for name, keys in seen.items():
        renamed = RENAMED.get(name, {})
        fields = {field.name for field in dataclasses.fields(records[name])}
        # The kind of an event tells its class; that of a fault is a field.
        assert {renamed.get(key, key) for key in keys} - ({"kind"} - fields) == fields, name


def test_a_field_that_drifts_is_noticed(seen: dict[str, set[str]]) -> None:
    _records.record(kwaainet.Hop, {"peer": None, "start_block": 0, "end_block": 1, "ms": 1.0, "new": 1})
    assert seen["Hop"] - {field.name for field in dataclasses.fields(kwaainet.Hop)} == {"new"}
    with pytest.raises(KeyError):
        _records.record(kwaainet.Span, {"start": 1})


def written_by_others(verb: str) -> str:
    """The first credential that the scenario about credentials of other makes gives to a verb."""
    scenario = json.loads((ROOT / "tests" / "conformance" / "44-what-others-wrote-is-read.json").read_text())
    return next(step["args"]["credential"] for step in scenario["steps"] if step["call"] == verb)


async def synchronised(rag: Rag, folder: Path) -> None:
    """Everything that can become of a file."""
    folder.mkdir()
    for name in ("changes", "moves", "goes"):
        (folder / f"{name}.txt").write_text(f"The file {name}.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 this is none")
    await rag.sync(folder).done()
    (folder / "changes.txt").write_text("The file has changed.")
    (folder / "moves.txt").rename(folder / "moved.txt")
    (folder / "goes.txt").unlink()
    await rag.sync(folder).done()
    async for event in rag.sync(folder, delete=True, watch=True, polling=True):
        if isinstance(event, kwaainet.SyncWatching):
            break


async def scene(tmp_path: Path) -> None:
    """Calls that bring about every record."""
    issuer = await TrustGraph.open()
    kwaainet.resolve_did(issuer.did)
    async with TrustGraph.open() as holder:
        revocable = await issuer.issue("VerifiedNodeVC", holder.did, revocable=True)
        bundle = {"format": "kwaainet-credentials", "version": 1, "credentials": [revocable.json, "{}"]}
        await holder.import_credentials(json.dumps(bundle))
        (wanted, _) = await holder.wanted_status_lists()
        await holder.keep_status_list(await issuer.status_list(wanted.url))
        await holder.status(revocable.json)
        await holder.thresholds()
        await holder.record(issuer.did, "good")
        await holder.reputation(issuer.did)
        await holder.sight(issuer.did, True)
        await holder.sightings(issuer.did)
        await holder.import_credential((await issuer.issue_binding(holder.did, "person")).json)
        await holder.import_credential((await holder.issue_binding(issuer.did, "node")).json)
        await holder.bindings(holder.did)
        await issuer.verify_presentation(await holder.present("app", "1"), "app", "1")
        pledge = await issuer.issue_pledge(await holder.request_pledge(issuer.did, "x"), "x")
        await holder.accept_pledge(pledge.json, "x")
        await holder.withdraw_pledge(pledge.id)
        await holder.withdrawals()
        await holder.read_legacy(written_by_others("TrustGraph.read_legacy"))
        await holder.read_dtg(written_by_others("TrustGraph.read_dtg"))
    async with Node.start(preset="ephemeral") as one, Node.start(preset="ephemeral", listen=[]) as other:
        events = one.events()
        inbox = one.messages()
        for node in (one, other):
            credential = await issuer.issue("VerifiedNodeVC", node.did, {"level": 1})
            await node.trust().import_credential(credential.json)
            await node.trust().trust_issuer(issuer.did, ["VerifiedNodeVC"])
            await node.trust().issuers()
            await node.trust().score(node.did)
        assert await other.diagnose()
        await other.connect((await one.info()).addresses[0])
        await other.send_message(one.peer_id, "hello")
        await anext(inbox)
        assert (await other.metrics()).prometheus.startswith("# HELP ")
        await one.peers()
        base = await one.rag("kb", embedder="none")
        await base.ingest(b"Tomatoes want sun.", name="tomatoes.md").done()
        shared = await other.shared_knowledge(
            one.peer_id, (await one.share_knowledge(base, other.did, name="kb", valid_for=timedelta(days=1))).text
        )
        (proven,) = await shared.search("tomatoes")
        assert kwaainet.check_provenance(proven.hit, proven.provenance).owner == one.did
        federation = await one.federation({"own": base}, [await one.shared_knowledge(one.peer_id, shared.capability.text)], embedder="none")
        assert len((await federation.search("tomatoes")).failures) == 1
        await other.ask_trust(one.did, issuer.did)
        await other.ask_word(one.did)
        await other.trust().propagate()
        await other.refresh_status_lists()
        observed = {"observedFrom": "2026-01-01T00:00:00Z", "observedUntil": "2026-01-31T00:00:00Z", "samples": 30}
        uptime = await issuer.issue("UptimeVC", one.did, {"upShare": 0.9} | observed)
        await other.trust().import_credential(uptime.json)
        await other.test_credential(uptime.id)
        await one.vpk().host(1 << 24, min_tier="unknown")
        vectors = await other.vpk().create("vectors", 2, "plain", [one.peer_id])
        await vectors.upsert(list(range(128)), [[1.0, float(i)] for i in range(128)], payloads=[b"x"] * 128)
        await vectors.flush()
        await vectors.search([1.0, 0.0])
        await vectors.stats()
        await vectors.verify()
        assert (await vectors.repair()).lost == ()
        await other.vpk().audit("vectors")
        assert [step async for step in other.vpk().benchmark(sizes=[10], dimension=2, questions=1)][-1].row is not None
        while not await other.vpk().discover(min_tier="unknown"):
            await asyncio.sleep(0.05)
        assert vectors.config.dimension == 2 and vectors.leakage.vectors
        await one.vpk().hosted()
        await one.contribute(blocks=[BlockShare(MODEL, 0, 4)], min_tier="unknown")
        model = await other.shards().load(MODEL, blocks="none")
        await other.shards().coverage(model)
        await other.shards().chat(model, "What is kwaainet?", max_tokens=4).done()
        await other.shutdown()
        kinds: set[type] = set()
        wanted = {kwaainet.PeerConnected, kwaainet.PeerIdentified, kwaainet.PeerDisconnected, kwaainet.MessageReceived}
        async for event in events:
            kinds.add(type(event))
            if kinds >= wanted:
                break
    async with ShardEngine.open() as engine:
        await engine.download(ID, blocks=(0, 1)).done()
        await engine.downloaded()
        await engine.calibrate(MODEL, memory_bytes=1 << 32)
        whole = await engine.load(MODEL)
        await engine.benchmark(whole, prompt_tokens=4, steps=1, warm_up=0)
        await whole.shutdown()
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.txt").write_text("The canteen serves dumplings on Fridays.")
    (folder / "b.pdf").write_bytes(b"%PDF-1.7 this is none")
    model = SimpleNamespace(name="mine", generate=lambda request: "Dumplings [1].")
    embedder = SimpleNamespace(id="ones", dimension=2, embed=lambda texts, query: [[1.0, 1.0] for _ in texts])
    async with Rag.open(tmp_path / "kb", embedder=embedder, model=model) as rag:
        async for _ in rag.ingest(folder):
            pass
        await rag.ingest(folder).done()
        await synchronised(rag, tmp_path / "kept")
        await rag.search("dumplings", neighbours=1, timed=True)
        known = [kwaainet.EvaluationQuestion("What does the canteen serve on Fridays?", documents=["a.txt"])]
        evaluation = await rag.evaluate(known)
        assert evaluation.compare(evaluation)["mrr"].mean.count == 1
        await rag.cache_stats()
        async for _ in rag.ask("What does the canteen serve on Fridays?"):
            pass
        await rag.calibrate([kwaainet.CalibrationQuestion("What does the canteen serve on Fridays?")])
        assert kwaainet.check_citations("Soup is served [9].", ["Soup is served."])
        await rag.documents()
        await rag.stats()
        other = SimpleNamespace(id="twos", dimension=2, embed=lambda texts, query: [[2.0, 1.0] for _ in texts])
        await rag.reembed(other).done()
        async with Node.start(preset="ephemeral", listen=[]) as keeper:
            await keeper.vpk().host(1 << 24)
            await rag.outsource(await keeper.vpk().create("kb", 2, "plain", ["here"])).done()
            await rag.stats()
    bad = SimpleNamespace(name="bad", generate=lambda request: "Soup [9].")
    async with Rag.open(tmp_path / "other", embedder="none", model=bad) as rag:
        await rag.ingest(folder / "a.txt").done()
        async for _ in rag.ask("What does the canteen serve on Fridays?"):
            pass
    await issuer.shutdown()
