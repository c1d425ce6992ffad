"""Knowledge bases from Python."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from conftest import run

import kwaainet
from kwaainet import Node, Rag, sync

HANDBOOK = """# Keys

The key of a node is kept in the file identity.key. Nobody else can read it.

# Food

The canteen serves soup on Tuesdays and dumplings on Fridays.
"""


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "handbook.md").write_text(HANDBOOK)
    (folder / "notes.txt").write_text("The meeting about the budget was moved to Thursday at nine.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 this is none")
    return folder


def test_a_folder_is_read_searched_and_cited(tmp_path: Path, documents: Path) -> None:
    async def main() -> None:
        async with Rag.open(tmp_path / "kb", embedder="none") as rag:
            events = [event async for event in rag.ingest(documents)]
            assert events[0] == kwaainet.IngestFound(files=3)
            (failed,) = (event for event in events if isinstance(event, kwaainet.IngestDocumentFailed))
            assert failed.name == "broken.pdf" and failed.code
            assert events[-1] == kwaainet.IngestFinished(ingested=2, unchanged=0, failed=1, chunks=2)
            stats = await rag.stats()
            assert (stats.documents, stats.mode, stats.embedder) == (2, "lexical", None)
            assert stats.note
            assert [document.name for document in await rag.documents()] == ["handbook.md", "notes.txt"]

            found = await rag.search("dumplings", k=1)
            (hit,) = found.hits
            text = await rag.document_text(hit.document_id)
            assert text.encode()[hit.span.start : hit.span.end].decode() == hit.text
            assert "dumplings" in hit.text

            answer = await rag.ask("What does the canteen serve on Fridays?").done()
            assert not answer.refused and "dumplings" in answer.text and "[1]" in answer.text
            assert answer.citations[0].document == "handbook.md"
            refusal = await rag.ask("Who invented the telescope?").done()
            assert refusal.refused and refusal.why and not refusal.citations

            await rag.delete_document(hit.document_id)
            assert (await rag.stats()).documents == 1
            with pytest.raises(kwaainet.NotFoundError):
                await rag.document_text(hit.document_id)

    run(main())


def test_a_folder_is_followed_until_the_stream_is_closed(tmp_path: Path, documents: Path) -> None:
    async def main() -> None:
        async with Rag.open(tmp_path / "kb", embedder="none") as rag:
            totals = await rag.sync(documents, extensions=["md", "txt"]).done()
            assert totals == kwaainet.SyncFinished(added=2, changed=0, moved=0, deleted=0, missing=0, unchanged=0, failed=0)
            async with rag.sync(documents, extensions=["md", "txt"], delete=True, watch=True) as following:
                async for event in following:
                    match event:
                        case kwaainet.SyncWatching():
                            (documents / "notes.txt").rename(documents / "minutes.txt")
                        case kwaainet.SyncMoved(before="notes.txt", name="minutes.txt"):
                            (documents / "handbook.md").unlink()
                        case kwaainet.SyncDeleted(name="handbook.md"):
                            break
            assert [document.name for document in await rag.documents()] == ["minutes.txt"]
            with pytest.raises(kwaainet.InvalidArgumentError, match="interval"):
                await rag.sync(documents, watch=True, interval=timedelta(0)).done()
            with pytest.raises(kwaainet.InvalidArgumentError, match="exe"):
                await rag.sync(documents, extensions=["exe"]).done()

    run(main())
    with sync.Rag.open(tmp_path / "kb", embedder="none") as rag:
        (documents / "minutes.txt").unlink()
        assert rag.sync(documents, extensions=["txt"]).done().missing == 1
        assert rag.sync(documents, extensions=["txt"], delete=True).done().deleted == 1
        assert rag.documents() == []


def test_a_document_from_memory_and_the_end(tmp_path: Path) -> None:
    with sync.Rag.open(tmp_path / "kb", embedder="none") as rag:
        assert rag.ingest(HANDBOOK.encode(), name="handbook.md").done().ingested == 1
        assert rag.ingest(HANDBOOK.encode(), name="handbook.md").done().unchanged == 1
        pieces = [event for event in rag.ask("In which file is the key of a node kept?") if isinstance(event, kwaainet.AnswerText)]
        assert "identity.key" in "".join(piece.text for piece in pieces)
        with pytest.raises(kwaainet.BusyError):
            sync.Rag.open(tmp_path / "kb", embedder="none")
        rag.shutdown()
        with pytest.raises(kwaainet.ClosedError):
            rag.stats()
    again = sync.Rag.open(tmp_path / "kb", embedder="none")
    assert again.stats().documents == 1
    again.destroy()
    assert not (tmp_path / "kb").exists()


def test_foolish_arguments_are_errors(tmp_path: Path) -> None:
    with sync.Rag.open(tmp_path / "kb", embedder="none") as rag:
        with pytest.raises(kwaainet.NotFoundError):
            rag.ingest(tmp_path / "nowhere").done()
        with pytest.raises(kwaainet.InvalidArgumentError):
            rag.ask("").done()
        with pytest.raises(kwaainet.InvalidArgumentError):
            rag.search("x", mode="psychic")  # type: ignore[arg-type]
        with pytest.raises(kwaainet.UnsupportedError):
            rag.search("x", mode="dense")
    with pytest.raises(kwaainet.NotFoundError):
        sync.Rag.open(tmp_path / "other", embedder=tmp_path / "nowhere")
    with pytest.raises(kwaainet.InvalidArgumentError):
        sync.Rag.open(tmp_path / "other", embedder="none", chunking={"sise": 3})


def test_a_node_has_knowledge_bases_under_their_names(documents: Path) -> None:
    async def main() -> None:
        async with Node.start(preset="ephemeral") as node:
            rag = await node.rag("handbook", embedder="none")
            await rag.ingest(documents / "handbook.md").done()
            assert (await (await node.rag("handbook", embedder="none")).stats()).documents == 1
            assert (await (await node.rag("other", embedder="none")).stats()).documents == 0
            with pytest.raises(kwaainet.InvalidArgumentError):
                await node.rag("../escape", embedder="none")
        with pytest.raises(kwaainet.ClosedError):
            await rag.stats()

    run(main())
