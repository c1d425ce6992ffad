"""A hub on this machine with one model, which gives parts of files."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[3] / "examples" / "models" / "tiny-kwaai"
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
