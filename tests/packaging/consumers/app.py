"""An app of somebody else: the guide's tasks, a FastAPI service, asyncio and threads, over an installed wheel."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import guide
import httpx
import uvicorn
from fastapi_app import app

import kwaainet
from kwaainet import Node, Rag, TrustGraph, sync, testing


async def tasks(documents: Path, model: Path) -> None:
    await guide.start()
    async with testing.Swarm(2) as (alice, bob), TrustGraph.open() as issuer:
        assert await guide.messages(alice, bob) == "hello"
        for node in (alice, bob):
            for peer in (alice, bob):
                score = await guide.trust(node, issuer, peer.did)
                assert (score.value, score.tier) == (0.2, "known")
        assert await guide.policy(alice, bob.did) is False
        await guide.share_blocks(bob, model)
        await alice.trust().set_policy({"use_blocks": "known"})
        done = await guide.chat(alice, model)
        assert [hop.peer for hop in done.path] == [bob.peer_id]
    with tempfile.TemporaryDirectory() as folder:
        async with Rag.open(folder, embedder="none") as rag:
            await guide.documents(rag, documents)
            answer = await guide.ask(rag, "What does the library pay for each lent computer?")
            assert "4 euros" in answer.text and answer.citations, answer
            assert (await guide.ask(rag, "Who won the football world cup in 1998?")).refused
    async with Node.start(preset="ephemeral") as node:
        assert await guide.errors(node) == "unreachable"
    async with TrustGraph.open() as issuer:
        for share in (10 / 11, 28 / 29, 0.1 + 0.2):
            credential = await issuer.issue("SummitAttendeeVC", issuer.did, claims={"share": share})
            assert credential.claims["share"] == share
            await issuer.verify(credential.json)

    async def encode(texts: list[str]) -> list[list[float]]:
        return [[float(len(text) + place) for place in range(384)] for text in texts]

    with tempfile.TemporaryDirectory() as folder:
        found = await guide.bring_your_own(folder, encode)
        assert found.hits[0].document == "canteen.txt"


async def service() -> None:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.001)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await client.put("/documents/food.txt", content="The canteen serves dumplings on Fridays.")
        answers = await asyncio.gather(
            *(client.get("/ask", params={"question": "What does the canteen serve on Fridays?"}) for _ in range(20))
        )
        assert all("dumplings" in answer.json()["text"] for answer in answers)
    server.should_exit = True
    await serving


def threads() -> None:
    with sync.TrustGraph.open() as graph, ThreadPoolExecutor(8) as pool:
        assert {score.tier for score in pool.map(lambda _: graph.score(graph.did), range(200))} == {"unknown"}


if __name__ == "__main__":
    assert "site-packages" in kwaainet.__file__, kwaainet.__file__
    asyncio.run(tasks(Path(sys.argv[1]), Path(sys.argv[2])))
    asyncio.run(service())
    threads()
    print("done")
