"""What the tests of the adapters share. They run in an environment of their own, which has LangChain and LlamaIndex."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings" / "python"))

import models  # noqa: E402

from kwaainet import sync, testing  # noqa: E402

DOCUMENTS = {
    "food.md": "# Canteen\n\nThe canteen serves dumplings on Fridays.\n\n# Prices\n\nA plate of soup costs four euros.",
    "birds.txt": "A heron waits at the pond. The heron eats fish.",
    "pond.txt": "The pond freezes in January.",
}


def live() -> dict[str, int]:
    gc.collect()
    return testing.live_handles()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """No adapter keeps a handle alive once its program is through with it."""
    yield
    until(lambda: not live(), f"no handle, where {live()} are left,")


@pytest.fixture(scope="session")
def engine() -> Iterator[sync.ShardEngine]:
    with sync.ShardEngine.open() as engine:
        yield engine


@pytest.fixture(scope="session")
def parrot(engine: sync.ShardEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sync.Model]:
    """A model that says what `models.ANSWERS` has."""
    with engine.load(models.parrot(tmp_path_factory.mktemp("parrot"))) as model:
        yield model


@pytest.fixture(scope="session")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.embedder(tmp_path_factory.mktemp("embedder"))


@pytest.fixture(scope="session")
def rag(embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sync.Rag]:
    """A knowledge base of `DOCUMENTS`, a passage for each sentence of which there are several."""
    folder = tmp_path_factory.mktemp("rag")
    with sync.Rag.open(folder, embedder=embedder, chunking={"strategy": "heading", "min": 1}) as rag:
        for name, text in DOCUMENTS.items():
            rag.ingest(text.encode(), name=name).done()
        yield rag


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sync.Rag]:
    """The same, found by words alone."""
    with sync.Rag.open(tmp_path_factory.mktemp("words"), embedder="none") as rag:
        for name, text in DOCUMENTS.items():
            rag.ingest(text.encode(), name=name).done()
        yield rag


@pytest.fixture(scope="session")
def vpk() -> Iterator[sync.Vpk]:
    """Of a node that keeps its own vectors."""
    with sync.Node.start(preset="ephemeral") as node:
        vpk = node.vpk()
        vpk.host(64 << 20, min_tier="unknown")
        yield vpk


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for something that another thread is about to do."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.002)


def program(text: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in an interpreter of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "bindings" / "python")}
    return subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=120)
