"""The types of what calls return. Checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

import kwaainet
from kwaainet import (
    Answer,
    AskEvent,
    Completion,
    Coverage,
    Credential,
    GenerateEvent,
    GenerateRequest,
    IngestFinished,
    Message,
    Node,
    NodeInfo,
    Offer,
    Opening,
    PeerInfo,
    Progress,
    Rag,
    Score,
    ShardEngine,
    TrustGraph,
    sync,
    testing,
)


async def nodes() -> None:
    assert_type(Node.start(), Opening[Node])
    assert_type(await Node.start(preset="ephemeral"), Node)
    async with Node.start() as node:
        assert_type(node, Node)
        assert_type(node.did, str)
        assert_type(await node.info(), NodeInfo)
        assert_type(await node.peers(), list[PeerInfo])
        assert_type((await node.info()).reachability.relays, tuple[str, ...])
        assert_type(await node.diagnose(), list[kwaainet.Diagnosis])
        assert_type((await node.metrics()).metrics[0].buckets, tuple[kwaainet.MeasurementBucket, ...])
        async for message in node.messages():
            assert_type(message, Message)
        async for event in node.events():
            if isinstance(event, kwaainet.PeerConnected):
                assert_type(event.peer, str)
        assert_type(node.trust(), TrustGraph)
        statement = await node.ask_trust(node.did, node.did, at_least="known")
        assert_type(statement, kwaainet.TrustStatement)
        assert_type(statement.holds, bool | None)
        assert_type(await node.ask_word(node.did), kwaainet.TakenWord)
        assert_type(await node.vpk().hosted(), kwaainet.HostedVectors | None)
        notes = await node.vpk().create("notes", 3, "seal", [node.peer_id], metric="dot")
        assert_type(notes, kwaainet.VectorCollection)
        assert_type((await notes.search([1, 2, 3])).hits, tuple[kwaainet.FoundVector, ...])
        assert_type(await notes.verify(), list[kwaainet.HostReport])
        assert_type(await notes.repair(), kwaainet.Repair)
        assert_type(await node.vpk().discover(free_bytes=1), list[kwaainet.HostOffer])
        assert_type(await node.vpk().audit("notes"), kwaainet.AuditReport)
        assert_type(node.vpk().benchmark(sizes=[10]), kwaainet.EventStream[kwaainet.BenchmarkStep])
        assert_type(await node.vpk().recover("notes", "{}", passphrase="x"), kwaainet.VectorCollection)
        assert_type(await node.vpk().resolve("0" * 32), list[str])
        async with await node.vpk().console(port=0) as console:
            assert_type(console, kwaainet.HostConsole)
        async with node.serve_http(models={"far": kwaainet.Endpoint("http://127.0.0.1:1/v1", "m")}, port=0) as server:
            assert_type(server, kwaainet.HttpServer)
            assert_type(server.port, int)
        await node.serve_http(models={"far": 3})  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
        await node.vpk().create("notes", 3, "masked", [])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        assert_type((await node.refresh_status_lists()).missing, tuple[kwaainet.WantedStatusList, ...])
        model = await node.shards().load("model", blocks="none")
        assert_type(await node.sight(node.peer_id), bool)
        assert_type(await node.issue_throughput(node.peer_id, model, runs=1, valid_for=timedelta(days=1)), Credential)
        test = await node.test_credential("urn:kwaai:vc:0", model=model, tolerance=0.1, tokens=16, seed=7)
        assert_type(test, kwaainet.ClaimTest)
        assert_type(test.verdict, kwaainet.Verdict)
        await node.test_credential("urn:kwaai:vc:0", model="model")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        assert_type(await node.contribute(blocks=[kwaainet.BlockShare("model", 0, 2)]), list[Offer])
    Node.start(preset="huge")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Node.start("ephemeral")  # type: ignore[misc] # pyright: ignore[reportCallIssue]


async def trust(graph: TrustGraph) -> None:
    assert_type(await graph.issue("UptimeVC", graph.did, valid_for=timedelta(days=1)), Credential)
    score = await graph.score(graph.did)
    assert_type(score, Score)
    assert_type(score.tier, kwaainet.Tier)
    assert_type(await graph.status("{}"), kwaainet.Status)
    assert_type(await graph.wallet_state(), kwaainet.WalletState)
    assert_type((await graph.import_credentials("{}")).kept, tuple[kwaainet.CredentialSummary, ...])
    assert_type((await graph.policy())["open"], kwaainet.Tier | float)
    await graph.set_policy({"open": "known", "message": 0.55})
    await graph.set_disclosures({"known": "threshold"})
    assert_type(await graph.thresholds(), kwaainet.Thresholds)
    await graph.set_thresholds(kwaainet.Thresholds(uptime_min_days=30))
    await graph.record(graph.did, "good", latency=timedelta(milliseconds=20))
    await graph.record(graph.did, "late")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert_type(await graph.reputation(graph.did), kwaainet.Reputation | None)
    assert_type(await graph.reputations(), list[kwaainet.Reputation])
    assert_type(await graph.scores([graph.did]), list[kwaainet.Score])
    assert_type(await graph.propagate(pretrusted=[graph.did], alpha=0.2), list[kwaainet.GlobalTrust])
    await graph.add_recommendation(graph.did, graph.did, 3, 0.5)
    assert_type(await graph.tests("urn:kwaai:vc:0"), list[kwaainet.ClaimTest])
    assert_type(await graph.sightings(graph.did), kwaainet.Sightings | None)
    assert_type(await graph.issue_uptime(graph.did, valid_for=timedelta(days=1)), Credential)
    assert_type(await graph.issue_binding(graph.did, "person", valid_for=timedelta(days=1)), Credential)
    await graph.issue_binding(graph.did, "PersonBinding")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    (link,) = await graph.bindings(graph.did)
    assert_type(link.link_type, kwaainet.LinkType)
    assert_type(await graph.withdrawals(), list[kwaainet.PledgeWithdrawal])
    assert_type(await graph.pledge_to_revoke("{}"), Credential)
    assert_type((await graph.read_legacy("{}")).signer, str | None)
    read = await graph.read_dtg("{}")
    assert_type(read, kwaainet.DtgCredential | None)
    assert read is not None
    assert_type(read.shape, kwaainet.DtgShape)
    shown = await graph.present(graph.did, "challenge", type="UptimeVC")
    assert_type(shown, str)
    verified = await graph.verify_presentation(shown, graph.did, "challenge")
    assert_type(verified.credentials, tuple[Credential, ...])
    await graph.set_disclosures({"known": "all"})  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]


async def models(engine: ShardEngine) -> None:
    model = await engine.load("model", blocks=(0, 2))
    assert_type(await engine.coverage(model), Coverage)
    assert_type(await engine.calibrate("model", memory_bytes=1 << 30), kwaainet.BlockCalibration)
    assert_type(await engine.benchmark(model, steps=2, route="local"), kwaainet.ModelBenchmark)
    async for event in engine.chat(model, "hello"):
        assert_type(event, GenerateEvent)
    assert_type(await engine.chat(model, [{"role": "user", "content": "hello"}]).done(), Completion)
    assert_type((await engine.logits(model, [1]))[0, 0], float)
    assert_type(await engine.embed(["hello"]), "memoryview[float]")


@dataclass
class Letters:
    """What an app brings needs no base class of this package."""

    id: str = "letters"
    dimension: int = 26

    def embed(self, texts: list[str], query: bool) -> list[list[float]]:
        return [[float(text.count(chr(97 + place))) for place in range(26)] for text in texts]


@dataclass
class Echo:
    name: str = "echo"

    async def generate(self, request: GenerateRequest) -> AsyncIterator[str]:
        assert_type(request.messages[-1].content, str)
        yield request.messages[-1].content


class Notes:
    extensions = ["note"]

    async def read(self, name: str, data: bytes) -> list[tuple[str | None, str]]:
        return [(name, data.decode())]


@dataclass
class Vault:
    did: str

    async def sign(self, message: bytes) -> bytes:
        return message


class Nothing:
    pass


async def bring_your_own() -> None:
    embedder: kwaainet.Embedder = Letters()
    reader: kwaainet.DocumentReader = Notes()
    signer: kwaainet.Signer = Vault("did:key:…")
    assert_type(await Rag.open("kb", embedder=embedder, readers=[reader]), Rag)
    await Rag.open("kb", model=Echo())
    await Rag.open("kb", readers={"note": lambda name, data: data.decode()})
    await TrustGraph.open(signer=signer)
    await TrustGraph.open(signer=Nothing())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await Rag.open("kb", embedder=Nothing())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def knowledge(rag: Rag) -> None:
    ingestion = rag.ingest("docs")
    assert_type(ingestion.progress, Progress)
    assert_type(await ingestion.done(), IngestFinished)
    async for event in rag.ask("why?"):
        assert_type(event, AskEvent)
    assert_type(await rag.ask("why?").done(), Answer)
    assert_type(await rag.ask("why not?", max_unsupported=0.1, history=[{"role": "user", "content": "why?"}]).done(), Answer)
    rag.ask("why not?", history=[kwaainet.ChatMessage("user", "why?"), {"role": "assistant", "content": "so"}])
    found = await rag.search("why", links=True, since=datetime.now(UTC), diversity=0.5, dense_weight=0)
    assert_type(found.hits[0].via, str | None)
    await rag.search("why", before="now")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    calibration = await rag.calibrate([kwaainet.CalibrationQuestion("why?", ["id"])], mode="lexical")
    assert_type(calibration, kwaainet.Calibration)
    assert_type(calibration.threshold(0.1), float | None)
    assert_type(calibration.answered(0.1), float)
    assert_type(calibration.auroc, float | None)
    (fault,) = kwaainet.check_citations("So [1].", ["Why."])
    assert_type(fault.kind, kwaainet.FaultKind)


async def federations(node: Node, rag: Rag) -> None:
    capability = await node.share_knowledge(rag, node.did, name="notes", valid_for=timedelta(days=1))
    assert_type(capability, kwaainet.KnowledgeCapability)
    shared = await node.shared_knowledge(node.did, capability.text)
    assert_type(await shared.search("why"), list[kwaainet.ProvenHit])
    found = await (await node.federation({"notes": rag}, [shared])).search("why", timeout=timedelta(seconds=1))
    assert_type(found, kwaainet.FederatedResult)
    assert_type(kwaainet.check_provenance(found.hits[0].hit, found.hits[0].provenance), kwaainet.Proven)
    await node.share_knowledge(rag, node.did, name="notes", valid_for=1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def swarms() -> None:
    async with testing.Swarm(2) as nodes:
        assert_type(nodes, list[Node])
    with testing.Swarm(2) as blocking:
        assert_type(blocking, list[sync.Node])


def without_a_loop() -> None:
    with sync.timeout(5), sync.timeout(timedelta(minutes=1)):
        assert_type(sync.TrustGraph.open().issuers(), list[kwaainet.TrustedIssuer])
    with sync.Node.start() as node:
        assert_type(node, sync.Node)
        assert_type(node.info(), NodeInfo)
    with sync.Rag.open("kb") as rag:
        assert_type(rag.ask("why?").done(), Answer)
        for event in rag.ingest("docs"):
            assert_type(event, kwaainet.IngestEvent)


def errors() -> None:
    try:
        sync.Node.start()
    except kwaainet.KwaaiError as error:
        assert_type(error.code, str)
        assert_type(error.retryable, bool)


def logs() -> None:
    def sink(record: kwaainet.LogRecord) -> None:
        assert_type(record.fields, dict[str, str])

    kwaainet.init_logging("info", sink)
    value: Any = kwaainet.version
    assert_type(kwaainet.version, str)
    del value
