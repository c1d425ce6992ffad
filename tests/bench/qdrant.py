"""A Qdrant that runs somewhere, asked over its REST interface as the other indexes are asked on standard input.

What it takes includes the way there and back, and JSON. It is not closed and opened: it is somebody else's.
"""

from __future__ import annotations

import array
import http.client
import json
import statistics
import time
import urllib.parse
from pathlib import Path
from typing import Any

COLLECTION = "kwaainet-bench"
#: Points of one call, whose JSON stays below the server's limit of 32 MiB.
BATCH = 1000
HITS = 10
#: As in `peers`.
BREADTHS = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512]


def read(path: Path, dimension: int) -> list[list[float]]:
    numbers = array.array("f", path.read_bytes())
    return [numbers[at : at + dimension].tolist() for at in range(0, len(numbers), dimension)]


class Qdrant:
    """The server at a URL, with one collection of the benchmark's own."""

    def __init__(self, url: str, vectors: Path, questions: Path, dimension: int) -> None:
        where = urllib.parse.urlsplit(url)
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(where.hostname or "localhost", where.port or 6333, timeout=600)
        self.base = where.path.rstrip("/")
        self.dimension = dimension
        self.vectors, self.questions = read(vectors, dimension), read(questions, dimension)
        self.name = f"qdrant {self.call('GET', '/')['version']} by URL"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        self.connection.request(method, self.base + path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")
        return json.loads(text)

    def ask(self, command: str) -> dict[str, Any]:
        verb, *rest = command.split()
        return {"upload": self.upload, "settle": self.settle, "search": self.search}[verb](*map(int, rest))

    def upload(self) -> dict[str, Any]:
        path = f"/collections/{COLLECTION}"
        self.call("DELETE", path)
        self.call("PUT", path, {"vectors": {"size": self.dimension, "distance": "Cosine"}})
        began = time.perf_counter()
        for first in range(0, len(self.vectors), BATCH):
            vectors = self.vectors[first : first + BATCH]
            ids = list(range(first, first + len(vectors)))
            self.call("PUT", f"{path}/points?wait=true", {"batch": {"ids": ids, "vectors": vectors}})
        return {"seconds": time.perf_counter() - began}

    def settle(self) -> dict[str, Any]:
        began = time.perf_counter()
        while self.call("GET", f"/collections/{COLLECTION}")["result"]["status"] != "green":
            time.sleep(0.2)
        return {"seconds": time.perf_counter() - began}

    def search(self, effort: int) -> dict[str, Any]:
        times, found = [], []
        for question in self.questions:
            asked = {"query": question, "limit": HITS, "params": {"hnsw_ef": BREADTHS[effort]}}
            began = time.perf_counter()
            points = self.call("POST", f"/collections/{COLLECTION}/points/query", asked)["result"]["points"]
            times.append(1000 * (time.perf_counter() - began))
            found.append([point["id"] for point in points])
        return {"p50_ms": statistics.median(times), "p99_ms": sorted(times)[len(times) * 99 // 100], "found": found}

    def __exit__(self, *_: object) -> None:
        self.call("DELETE", f"/collections/{COLLECTION}")
        self.connection.close()
