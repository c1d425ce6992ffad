"""Models of a hub, from one on this machine that gives parts of files."""

import asyncio
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

import kwaainet
from kwaainet import sync

MODEL = ROOT / "examples/models/tiny-kwaai"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ID = "kwaai/tiny-kwaai"


class Hub(http.server.ThreadingHTTPServer):
    """A hub with one model; it counts the bytes of weights that it gives."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {file.name: file.read_bytes() for file in MODEL.iterdir()}
        self.given = 0


class Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, with_body: bool) -> None:
        name = self.path.rsplit("/", 1)[-1]
        if self.path.startswith("/api/models/"):
            files = [{"rfilename": name} for name in self.server.files]
            return self.reply(200, json.dumps({"sha": COMMIT, "siblings": files}).encode(), {}, with_body)
        content = self.server.files[name]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        status = 200
        if (asked := self.headers.get("Range")) and with_body:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(content)
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            status, content = 206, content[int(first) : end]
        if with_body and name.endswith(".safetensors"):
            self.server.given += len(content)
        return self.reply(status, content, headers, with_body)

    def reply(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_address[1]}")
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        yield hub
        hub.shutdown()


def test_some_blocks_of_a_model_are_downloaded_with_progress_listed_and_removed(hub: Hub) -> None:
    async def main() -> None:
        async with kwaainet.ShardEngine.open() as engine:
            events = [event async for event in engine.download(ID, blocks=(1, 3))]
            found, *progress, last = events
            assert isinstance(found, kwaainet.DownloadFound) and found.bytes is not None
            assert progress[-1] == kwaainet.DownloadProgress(bytes=found.bytes, total=found.bytes)
            assert isinstance(last, kwaainet.DownloadFinished)
            whole = len(hub.files["model.safetensors"])
            assert found.bytes < hub.given < whole, "the header, two of four blocks and the ends"
            (model,) = await engine.downloaded()
            assert (model.id, model.revision, model.whole) == (ID, COMMIT, False)
            assert model.path == last.path and hub.given <= model.bytes < whole
            part = await engine.load(ID, blocks=(1, 3))
            assert part.id == (await engine.load(MODEL, blocks="none")).id
            assert part.info.held_blocks == kwaainet.Span(1, 3)
            given = hub.given
            assert await engine.download(ID, blocks=(2, 3)).done() == last
            assert hub.given == given
            at = await engine.download(ID).done()
            (model,) = await engine.downloaded()
            assert model.whole and model.path == at.path and model.bytes >= whole
            assert await engine.remove_download(ID) >= whole
            assert await engine.downloaded() == []

    asyncio.run(main())


def test_what_can_be_done_with_downloads_can_be_done_without_asyncio(hub: Hub) -> None:
    with sync.ShardEngine.open() as engine:
        events = list(engine.download(f"{ID}@{COMMIT}", blocks="none"))
        assert isinstance(events[0], kwaainet.DownloadFound)
        assert engine.download(ID, blocks="none").done() == events[-1]
        assert [model.whole for model in engine.downloaded()] == [False]
        with pytest.raises(kwaainet.InvalidArgumentError, match="quantisation"):
            engine.remove_download(f"{ID}:Q8_0")
        assert engine.remove_download(ID) > 0


def test_a_download_that_is_left_stops_and_one_that_is_wrong_says_why(hub: Hub) -> None:
    async def main() -> None:
        async with kwaainet.ShardEngine.open() as engine:
            async for _event in engine.download(ID):
                break
            assert all(not model.whole for model in await engine.downloaded())
            with pytest.raises(kwaainet.InvalidArgumentError, match="blocks 3..9"):
                await engine.download(ID, blocks=(3, 9)).done()
            with pytest.raises(kwaainet.InvalidArgumentError):
                await engine.download("not an id").done()

    asyncio.run(main())
