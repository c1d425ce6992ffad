"""Each piece of the guide does what the guide says. `plug_in` is run where its frameworks are, by tests/judges/adapters."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT, python, run

import kwaainet
from kwaainet import Node, Rag, TrustGraph, testing

GUIDE = ROOT / "examples" / "python" / "guide.py"
MODEL = ROOT / "examples" / "models" / "tiny-kwaai"
PIECES = "start messages trust policy share_blocks chat documents ask errors bring_your_own ask_others keep_vectors serve_openai serve_knowledge plug_in search_together".split()


@pytest.fixture(scope="module")
def guide() -> ModuleType:
    spec = importlib.util.spec_from_file_location("guide", GUIDE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_piece_stands_between_its_marks() -> None:
    text = GUIDE.read_text()
    for piece in PIECES:
        (begin,) = [at for at, line in enumerate(text.splitlines()) if line == f"# anchor: {piece}"]
        (end,) = [at for at, line in enumerate(text.splitlines()) if line == f"# end: {piece}"]
        assert begin < end


def test_start(guide: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    run(guide.start())
    name, peer_id, did = capsys.readouterr().out.split()
    assert (name, peer_id[:8], did[:12]) == ("alice", "12D3KooW", "did:key:z6Mk")


def test_messages(guide: ModuleType) -> None:
    async def main() -> None:
        async with Node.start(preset="ephemeral") as alice, Node.start(preset="ephemeral") as bob:
            assert await guide.messages(alice, bob) == "hello"

    run(main())


def test_trust_and_policy(guide: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with Node.start(preset="ephemeral") as node, TrustGraph.open() as issuer, TrustGraph.open() as peer:
            score = await guide.trust(node, issuer, peer.did)
            assert (score.value, score.tier) == (0.2, "known")
            assert "VerifiedNodeVC 0.2 x 1.0 = 0.2" in capsys.readouterr().out
            assert await guide.policy(node, peer.did) is False
            assert capsys.readouterr().out == "known is not verified\n"

    run(main())


def test_share_blocks_and_chat(guide: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with testing.Swarm(2) as (app, host), TrustGraph.open() as issuer:
            for node in (app, host):
                await guide.trust(node, issuer, host.did)
                await guide.trust(node, issuer, app.did)
            (offer,) = await guide.share_blocks(host, MODEL)
            assert (offer.start_block, offer.end_block) == (0, 4)
            capsys.readouterr()
            done = await guide.chat(app, MODEL)
            assert [(hop.peer, hop.start_block, hop.end_block) for hop in done.path] == [(host.peer_id, 0, 4)]
            assert "kwaainet" in capsys.readouterr().out.lower()

    run(main())


def test_documents_and_ask(guide: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with Rag.open(tmp_path, embedder="none") as rag:
            await guide.documents(rag, ROOT / "examples" / "data")
            assert "2/2" in capsys.readouterr().out
            answer = await guide.ask(rag, "What does the library pay for each lent computer?")
            assert not answer.refused and "4 euros" in answer.text
            assert "[1] charter.docx" in capsys.readouterr().out
            assert (await guide.ask(rag, "Who won the football world cup in 1998?")).refused
            assert capsys.readouterr().out.startswith("This is not in the documents: ")

    run(main())


def test_ask_others(guide: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with Node.start(preset="ephemeral") as app, Node.start(preset="ephemeral") as host, TrustGraph.open() as subject:
            assert (await guide.ask_others(app, host, subject.did)).state == "revoked"
            said = capsys.readouterr().out.splitlines()
            assert said == ["the host says known", "the credential is revoked and the host says unknown"]

    run(main())


def test_errors(guide: ModuleType) -> None:
    async def main() -> None:
        async with Node.start(preset="ephemeral") as node:
            assert await guide.errors(node) == "unreachable"

    run(main())


def test_bring_your_own_and_logging() -> None:
    """In a process of its own, which has no log sink yet."""
    ended = python(
        f"""
import asyncio, importlib.util, tempfile
spec = importlib.util.spec_from_file_location("guide", {str(GUIDE)!r})
guide = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guide)
async def encode(texts): return [[float(len(text) + place) for place in range(384)] for text in texts]
with tempfile.TemporaryDirectory() as folder:
    found = asyncio.run(guide.bring_your_own(folder, encode))
print(found.mode, found.hits[0].document)
"""
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "dense canteen.txt"), ended.stderr
    assert kwaainet.version


def test_keep_vectors(guide: ModuleType) -> None:
    async def kept() -> None:
        async with (
            Node.start(preset="ephemeral") as owner,
            Node.start(preset="ephemeral") as host,
            Node.start(preset="ephemeral") as other,
        ):
            (hit,) = (await guide.keep_vectors(owner, host, other)).hits
            assert (hit.payload, hit.metadata) == (b"dumplings", {"day": "Friday"})
            assert await other.vpk().collections() == ["notes"]

    run(kept())


def test_serve_openai(guide: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def asked(base_url: str) -> str:
        question = {"model": "tiny", "messages": [{"role": "user", "content": "What is KwaaiNet?"}], "temperature": 0}
        request = urllib.request.Request(f"{base_url}/chat/completions", json.dumps(question).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as reply:
            return str(json.load(reply)["choices"][0]["message"]["content"])

    async def main() -> None:
        async with Node.start(preset="ephemeral") as node, await guide.serve_openai(node, MODEL) as server:
            assert capsys.readouterr().out == f"OPENAI_BASE_URL={server.base_url}\n"
            assert "kwaainet" in (await asyncio.to_thread(asked, server.base_url)).lower()

    run(main())


def test_serve_knowledge(guide: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def asked(base_url: str) -> str:
        messages = [{"role": "user", "content": "What does the canteen serve on Fridays?"}]
        body = json.dumps({"model": "kwaainet-knowledge", "messages": messages}).encode()
        request = urllib.request.Request(f"{base_url}/chat/completions", body)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as reply:
            return str(json.load(reply)["kwaainet"]["sources"][0]["document"])

    async def main() -> None:
        async with Rag.open(tmp_path, embedder="none") as rag, await guide.serve_knowledge(rag) as server:
            assert f"open http://{server.address} in a browser" in capsys.readouterr().out
            assert await asyncio.to_thread(asked, server.base_url) == "food.txt"

    run(main())


def test_search_together(guide: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> str:
        async with testing.Swarm(2) as (bob, alice):
            gardens, kitchen = await bob.rag("gardens", embedder="none"), await alice.rag("kitchen", embedder="none")
            await gardens.ingest(b"Tomatoes want sun and a stake.", name="tomatoes.md").done()
            await kitchen.ingest(b"Tomatoes, garlic and basil make a sauce.", name="sauce.md").done()
            found = await guide.search_together(bob, gardens, alice, kitchen)
            assert {hit.member for hit in found.hits} == {"Bob's gardens", "kitchen"}
            return bob.did

    assert f"Bob's gardens: 'Tomatoes want sun and a stake.', signed by {run(main())}" in capsys.readouterr().out
