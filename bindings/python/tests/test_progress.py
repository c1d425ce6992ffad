"""Progress plugs into tqdm and rich."""

from __future__ import annotations

import io
from pathlib import Path

from conftest import run
from rich.console import Console
from rich.progress import Progress as Bars
from tqdm import tqdm

import kwaainet
from kwaainet import Rag, sync

FILES = 5


def folder(tmp_path: Path) -> Path:
    documents = tmp_path / "documents"
    documents.mkdir()
    for number in range(FILES):
        (documents / f"{number}.txt").write_text(f"Document {number} is about the number {number}.")
    (documents / "0.txt").write_bytes(b"\x00\xff\xfe broken")
    return documents


def test_tqdm_goes_over_an_ingestion_and_a_generation(tmp_path: Path) -> None:
    async def main() -> None:
        shown = io.StringIO()
        async with Rag.open(tmp_path / "kb", embedder="none") as rag:
            ingestion = rag.ingest(folder(tmp_path))
            from tqdm.asyncio import tqdm as over

            events = [event async for event in over(ingestion, file=shown)]
            assert isinstance(events[-1], kwaainet.IngestFinished)
            assert f"{len(events)}it" in shown.getvalue()
            assert (ingestion.progress.done, ingestion.progress.total) == (FILES, FILES)

    run(main())


def test_a_bar_of_tqdm_counts_documents(tmp_path: Path) -> None:
    shown = io.StringIO()
    with sync.Rag.open(tmp_path / "kb", embedder="none") as rag, tqdm(file=shown, mininterval=0) as bar:
        ingestion = rag.ingest(folder(tmp_path))
        for _ in ingestion:
            bar.total = ingestion.progress.total
            bar.update(ingestion.progress.done - bar.n)
        assert bar.n == FILES
    assert f"{FILES}/{FILES}" in shown.getvalue()


def test_a_bar_of_rich_follows_an_ingestion(tmp_path: Path) -> None:
    async def main() -> None:
        console = Console(file=io.StringIO(), force_terminal=True)
        with Bars(console=console) as bars:
            task = bars.add_task("reading", total=None)
            async with Rag.open(tmp_path / "kb", embedder="none") as rag:
                ingestion = rag.ingest(folder(tmp_path))
                seen = []
                async for _ in ingestion:
                    progress = ingestion.progress
                    bars.update(task, total=progress.total, completed=progress.done, description=progress.name or "done")
                    seen.append(progress.done)
            assert seen == sorted(seen) and bars.tasks[0].finished
            assert bars.tasks[0].completed == FILES

    run(main())


def test_progress_within_a_document_grows_to_its_end() -> None:
    progress = kwaainet.Progress()
    shares = []
    for event in (
        kwaainet.IngestFound(1),
        kwaainet.IngestReading("a"),
        kwaainet.IngestEmbedded("a", 1, 4),
        kwaainet.IngestEmbedded("a", 4, 4),
        kwaainet.IngestDocumentDone("a", "id", 4, 1, ()),
        kwaainet.IngestFinished(1, 0, 0, 4),
    ):
        progress = progress.after(event)
        shares.append((progress.done, progress.total, progress.name, progress.share))
    assert shares == [(0, 1, None, 0), (0, 1, "a", 0), (0, 1, "a", 0.25), (0, 1, "a", 1), (1, 1, "a", 0), (1, 1, None, 0)]
