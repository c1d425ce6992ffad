"""The package inside other programs: uvloop, a web service, a notebook, a thread pool."""

from __future__ import annotations

import asyncio
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nbclient
import nbformat
import pytest
import uvicorn
from conftest import ROOT, python, run

from kwaainet import sync


def test_everything_runs_on_uvloop() -> None:
    ended = python(
        """
import asyncio, tempfile, uvloop
from types import SimpleNamespace
import kwaainet
from kwaainet import Rag, testing
async def embed(texts, query):
    await asyncio.sleep(0)
    return [[1.0, float(len(text))] for text in texts]
async def main():
    assert type(asyncio.get_running_loop()).__module__ == "uvloop"
    async with testing.Swarm(2) as (one, other):
        await one.send_message(other.peer_id, "hello")
        async for message in other.messages():
            assert message.text == "hello"
            break
    with tempfile.TemporaryDirectory() as folder:
        async with Rag.open(folder, embedder=SimpleNamespace(id="x", dimension=2, embed=embed)) as rag:
            await rag.search("x", mode="dense")
    try:
        async with asyncio.timeout(0.05): await testing.hang()
    except TimeoutError: pass
    while testing.live_handles(): await asyncio.sleep(0.001)
    print("done")
uvloop.run(main())
"""
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "done", "")


def service() -> Any:
    spec = importlib.util.spec_from_file_location("fastapi_app", ROOT / "examples" / "python" / "fastapi_app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def test_a_web_service_answers_from_its_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDER", "none")

    async def main() -> None:
        server = uvicorn.Server(uvicorn.Config(service(), port=0, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.001)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/node")).json()["name"] == "web"
            document = "The canteen serves dumplings on Fridays."
            assert (await client.put("/documents/food.txt", content=document)).json()["ingested"] == 1
            question = {"question": "What does the canteen serve on Fridays?"}
            answer = (await client.get("/ask", params=question)).json()
            assert "dumplings" in answer["text"] and answer["citations"][0]["document"] == "food.txt"
            streamed = (await client.get("/ask/stream", params=question)).text
            assert streamed == answer["text"]
            missing = await client.get("/documents/nothing/text")
            assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
            assert (await client.get("/ask", params={"question": " "})).status_code == 422
        server.should_exit = True
        await serving

    run(main())


def test_a_notebook_awaits_at_its_top_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "bindings" / "python"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    cells = [
        "from kwaainet import Node, sync, testing\nnode = await Node.start(preset='ephemeral', name='notebook')\nnode",
        "print((await node.info()).name)\nawait node.shutdown()",
        "with sync.Node.start(preset='ephemeral') as other: print(other.info().connected_peers)",
        "print(testing.live_handles())",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    first, *others = ["".join(out.get("text", "") or out["data"]["text/plain"] for out in cell.outputs) for cell in notebook.cells]
    assert first.startswith("<kwaainet.Node 'notebook' 12D3KooW") and first.endswith("running>")
    assert others[:2] == ["notebook\n", "0\n"]


def test_threads_share_a_handle() -> None:
    with sync.TrustGraph.open() as graph, ThreadPoolExecutor(8) as pool:
        tiers = {score.tier for score in pool.map(lambda _: graph.score(graph.did), range(400))}
        assert tiers == {"unknown"}


def test_each_thread_may_have_an_event_loop_of_its_own() -> None:
    async def main(graph: Any) -> str:
        from kwaainet import TrustGraph

        async with TrustGraph.open() as own:
            return (await own.score(graph.did)).tier

    with sync.TrustGraph.open() as graph, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: asyncio.run(main(graph)), range(16))) == {"unknown"}
