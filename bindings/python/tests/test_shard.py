"""Models from Python, whole and in blocks over peers, with the model of this repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, run, until

import kwaainet
from kwaainet import BlockShare, Node, ShardEngine, TrustGraph, sync

MODEL = ROOT / "examples" / "models" / "tiny-kwaai"
QUESTION = "What is kwaainet?"


def test_a_model_is_loaded_by_its_id_from_the_cache_of_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--kwaai--tiny"
    shutil.copytree(MODEL, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with sync.ShardEngine.open() as engine:
        with engine.load("kwaai/tiny") as fetched, engine.load(MODEL) as own:
            assert (fetched.info.id, fetched.info.name) == (own.info.id, "tiny")
        with pytest.raises(kwaainet.NotFoundError, match="HF_HUB_OFFLINE"):
            engine.load("kwaai/other")


def test_a_model_runs_whole_without_a_network() -> None:
    async def main() -> None:
        async with ShardEngine.open() as engine:
            model = await engine.load(MODEL)
            assert model.info.held_blocks == kwaainet.Span(0, model.blocks)
            events = [event async for event in engine.chat(model, QUESTION, max_tokens=16)]
            done = events[-1]
            assert isinstance(done, kwaainet.Done)
            text = "".join(event.text for event in events if isinstance(event, kwaainet.Token))
            again = await engine.chat(model, [kwaainet.ChatMessage("user", QUESTION)], max_tokens=16).done()
            assert (again.text, again.usage) == (text, done.usage)
            logits = await engine.logits(model, [1, 2, 3])
            assert (logits.format, logits.shape) == ("f", (3, model.info.vocab_size))
            await model.shutdown()
            with pytest.raises(kwaainet.ClosedError):
                await engine.logits(model, [1])

    run(main())


def test_two_trusted_hosts_compute_what_one_machine_computes_and_a_stranger_is_refused() -> None:
    async def main() -> None:
        issuer = await TrustGraph.open()
        async with (
            Node.start(preset="ephemeral", name="app") as app,
            Node.start(preset="ephemeral", name="one") as one,
            Node.start(preset="ephemeral", name="two") as two,
            Node.start(preset="ephemeral", name="stranger") as stranger,
        ):
            for node in (app, one, two):
                await node.trust().trust_issuer(issuer.did, ["VerifiedNodeVC"])
                credential = await issuer.issue("VerifiedNodeVC", node.did)
                await node.trust().import_credential(credential.json)
            address = (await app.info()).addresses[0]
            for node in (one, two, stranger):
                await node.connect(address)
            shards = app.shards()
            model = await shards.load(MODEL, blocks="none")
            half = model.blocks // 2
            (offer,) = await one.contribute(blocks=[BlockShare(MODEL, 0, half)], min_tier="known")
            assert (offer.model, offer.start_block, offer.end_block) == (model.id, 0, half)
            await two.contribute(blocks=[BlockShare(MODEL, half, model.blocks)], min_tier="known")
            await stranger.contribute(blocks=[BlockShare(MODEL, 0, model.blocks)])
            coverage = await shards.coverage(model)
            assert {host.peer: host.usable for host in coverage} == {
                one.peer_id: True,
                two.peer_id: True,
                stranger.peer_id: False,
            }
            over_peers = await shards.chat(model, QUESTION, max_tokens=12).done()
            assert [(hop.peer, hop.start_block, hop.end_block) for hop in over_peers.path] == [
                (one.peer_id, 0, half),
                (two.peer_id, half, model.blocks),
            ]
            async with ShardEngine.open() as alone:
                whole = await alone.load(MODEL)
                assert (await alone.chat(whole, QUESTION, max_tokens=12).done()).text == over_peers.text
                ours = await shards.logits(model, [5, 6, 7])
                assert ours.tobytes() == (await alone.logits(whole, [5, 6, 7])).tobytes()
            strangers = await stranger.shards().load(MODEL, blocks="none")
            with pytest.raises(kwaainet.KwaaiError) as raised:
                await stranger.shards().chat(strangers, QUESTION, max_tokens=4).done()
            assert raised.value.code in ("permission_denied", "untrusted_peer", "unreachable")

    run(main())


def test_leaving_a_generation_early_stops_it() -> None:
    async def main() -> None:
        async with ShardEngine.open() as engine:
            model = await engine.load(MODEL)
            async with engine.chat(model, QUESTION, max_tokens=200) as generation:
                await anext(generation)
            with pytest.raises(StopAsyncIteration):
                await anext(generation)

    run(main())
    until(lambda: "stream" not in kwaainet._native.live_handles(), "the end of the generation")


def test_a_model_that_is_not_there_and_requests_that_cannot_be(tmp_path: Path) -> None:
    with sync.ShardEngine.open() as engine:
        with pytest.raises(kwaainet.NotFoundError) as raised:
            engine.load(tmp_path)
        assert "config.json" in raised.value.context["file"]
        with engine.load(MODEL) as model:
            with pytest.raises(kwaainet.InvalidArgumentError):
                engine.chat(model, QUESTION, max_tokens=0).done()
            with pytest.raises(kwaainet.InvalidArgumentError):
                engine.chat(model, [{"role": "wizard", "content": "x"}]).done()
            with pytest.raises(kwaainet.UnsupportedError):
                engine.coverage(model)
            with pytest.raises(kwaainet.UnsupportedError):
                engine.serve(MODEL, 0, 1)
            with pytest.raises(kwaainet.InvalidArgumentError):
                engine.logits(model, [])


def test_a_model_writes_the_answers_of_a_knowledge_base(tmp_path: Path) -> None:
    with sync.ShardEngine.open() as engine, engine.load(MODEL) as model:
        writer = sync.ModelWriter(engine, model)
        with sync.Rag.open(tmp_path, embedder="none", model=writer) as rag:
            rag.ingest(b"The canteen serves dumplings on Fridays.", name="food.txt").done()
            assert rag.stats().language_model
            answer = rag.ask("What does the canteen serve on Fridays?").done()
            assert not answer.refused and "dumplings" in answer.text
