"""Knowledge bases from Python."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
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


class _Letters:
    """Counts letters: vector ``i`` those that are ``i`` places after ``a``."""

    def __init__(self, dimension: int) -> None:
        self.id, self.dimension = f"letters-{dimension}", dimension

    def embed(self, texts: list[str], query: bool) -> list[list[float]]:
        return [[float(sum(ord(letter) % self.dimension == at for letter in text)) for at in range(self.dimension)] for text in texts]


def test_a_knowledge_base_gets_another_embedder(tmp_path: Path, documents: Path) -> None:
    async def main() -> None:
        async with Rag.open(tmp_path / "kb", embedder=_Letters(8)) as rag:
            await rag.ingest(documents).done()
            chunks = (await rag.stats()).chunks
            events = [event async for event in rag.reembed(_Letters(16))]
            assert events[0] == kwaainet.ReembedFound(passages=chunks, done=0)
            assert kwaainet.ReembedEmbedded(done=chunks, total=chunks) in events
            assert events[-1] == kwaainet.ReembedFinished(passages=chunks, embedded=chunks)
            assert (await rag.stats()).embedder == kwaainet.EmbedderInfo("letters-16", 16)
            with pytest.raises(kwaainet.InvalidArgumentError):
                await rag.reembed("none").done()
        with pytest.raises(kwaainet.ConflictError, match="letters-16"):
            await Rag.open(tmp_path / "kb", embedder=_Letters(8))

    run(main())
    with sync.Rag.open(tmp_path / "kb", embedder=_Letters(16)) as rag:
        assert rag.reembed(_Letters(16)).done().embedded == 0
        endpoint = kwaainet.EmbeddingEndpoint("http://127.0.0.1:9", "tiny", api_key="sk-secret", dimension=4)
        assert "sk-secret" not in repr(endpoint)
        with pytest.raises(kwaainet.InvalidArgumentError, match="dimension"):
            rag.reembed(replace(endpoint, dimension=0)).done()


def test_the_vectors_of_a_knowledge_base_are_kept_elsewhere(tmp_path: Path, documents: Path) -> None:
    async def main() -> None:
        async with (
            kwaainet.Node.start(preset="ephemeral", listen=[]) as node,
            Rag.open(tmp_path / "kb", embedder=_Letters(8)) as rag,
        ):
            await rag.ingest(documents).done()
            chunks = (await rag.stats()).chunks
            before = await rag.search("dumplings", mode="dense")
            await node.vpk().host(1 << 24)
            collection = await node.vpk().create("kb", 8, "plain", ["here"])
            with pytest.raises(kwaainet.InvalidArgumentError, match="dimensions"):
                await rag.outsource(await node.vpk().create("short", 4, "plain", ["here"])).done()
            events = [event async for event in rag.outsource(collection)]
            assert events[0] == kwaainet.OutsourceFound(passages=chunks, done=0)
            assert kwaainet.OutsourceBrought(done=chunks, total=chunks) in events
            assert events[-1] == kwaainet.OutsourceFinished(passages=chunks, brought=chunks)
            stands = kwaainet.Outsourced(collection=collection.id, attached=True, complete=True, waiting=0)
            assert (await rag.stats()).outsourced == stands
            assert (await collection.stats()).vectors == chunks
            after = await rag.search("dumplings", mode="dense")
            assert [hit.chunk_id for hit in after.hits[:1]] == [hit.chunk_id for hit in before.hits[:1]]

    run(main())
    with sync.Rag.open(tmp_path / "kb", embedder=_Letters(8)) as rag:
        with pytest.raises(kwaainet.ConflictError, match="outsource"):
            rag.search("dumplings", mode="dense")
        assert rag.search("dumplings", mode="lexical").hits
        with sync.Node.start(preset="ephemeral", listen=[]) as node:
            node.vpk().host(1 << 24)
            with node.vpk().create("kb", 8, "plain", ["here"]) as other, pytest.raises(kwaainet.ConflictError):
                rag.outsource(other).done()
        assert rag.reembed(_Letters(8)).done().embedded > 0
        assert rag.stats().outsourced is None


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


def test_a_calibrated_knowledge_base_answers_as_many_questions_as_are_tolerated(tmp_path: Path, documents: Path) -> None:
    question = "What does the canteen serve on Fridays?"
    with sync.Rag.open(tmp_path / "kb", embedder="none") as rag:
        rag.ingest(documents).done()
        with pytest.raises(kwaainet.ConflictError):
            rag.ask(question, max_unsupported=0.2).done()
        (handbook, _) = rag.documents()
        asked = [kwaainet.CalibrationQuestion(question, [handbook.id])]
        asked += [kwaainet.CalibrationQuestion(f"Who wrote {book}?") for book in ("Faust", "Emma", "Ulysses", "Dracula")]
        calibration = rag.calibrate(asked)
        assert (len(calibration.answerable), len(calibration.unanswerable)) == (1, 5)
        assert not calibration.from_passages and calibration.generation == rag.stats().generation
        assert calibration.threshold(0.1) is None and calibration.answered(0.1) == 0
        assert calibration.threshold(0.2) == max(calibration.unanswerable)
        assert (calibration.answered(0.2), calibration.auroc) == (1, 1)
        assert not rag.ask(question, max_unsupported=0.2).done().refused
        assert rag.ask(question, max_unsupported=0.1).done().refused
        assert rag.calibrate(mode="lexical").from_passages
    again = kwaainet.Calibration((0.9, 0.2), (0.5, 0.1, 0.2), False, 0)
    assert (again.threshold(0.5), again.answered(0.5), again.auroc) == (0.2, 0.5, 4.5 / 6)


def test_a_search_looks_where_and_when_it_was_told(tmp_path: Path, documents: Path) -> None:
    async def main() -> None:
        async with Rag.open(tmp_path / "kb", embedder="none") as rag:
            began = datetime.now(UTC)
            await rag.ingest(documents).done()
            (handbook, notes) = await rag.documents()
            everything = {hit.document for hit in (await rag.search("file budget", links=True, diversity=0.5)).hits}
            assert everything == {"handbook.md", "notes.txt"}
            (hit,) = (await rag.search("file budget", documents=[notes.id])).hits
            assert (hit.document, hit.via) == ("notes.txt", None)
            assert (await rag.search("file", since=began - timedelta(seconds=1))).hits
            assert not (await rag.search("file", before=began - timedelta(seconds=1))).hits
            elsewhere = began.astimezone(timezone(timedelta(hours=-7))) + timedelta(hours=1)
            assert not (await rag.search("file", since=elsewhere)).hits
            assert (await rag.search("file", before=elsewhere)).hits
            turns = [kwaainet.ChatMessage("user", "What does the canteen serve on Tuesdays?"), {"role": "assistant", "content": "Soup [1]."}]
            assert (await rag.ask("How often?").done()).refused
            answer = await rag.ask("How often?", history=turns, documents=[handbook.id], links=False).done()
            assert not answer.refused and "dumplings" in answer.text
            with pytest.raises(kwaainet.NotFoundError):
                await rag.search("file", documents=["0" * 32])

    run(main())


def test_citations_that_do_not_hold_are_told_by_their_bytes() -> None:
    sources = ["Die Brücke öffnet um sechs Uhr morgens.", "Sie ist grün."]
    assert kwaainet.check_citations("Die Brücke öffnet um sechs Uhr morgens [1].", sources) == []
    text = "Fünf! Die Brücke öffnet um sechs Uhr morgens [2]."
    (fault,) = kwaainet.check_citations(text, sources)
    assert (fault.kind, fault.cited, fault.found_in) == ("misattributed", (2,), 1)
    assert text.encode()[fault.span.start : fault.span.end].decode().startswith("Die Brücke")


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


def test_an_evaluation_takes_what_search_and_ask_take_and_is_compared_and_reported(tmp_path: Path, documents: Path) -> None:
    questions = [
        kwaainet.EvaluationQuestion(
            "In which file is the key of a node kept?", id="key", documents=["handbook.md"], expected_keywords=["identity.key", ("file", "folder")]
        ),
        {"question": "What is the capital of Mongolia?", "unanswerable": True},
    ]

    async def main() -> None:
        cache = kwaainet.AnswerCache(answers=3, ttl=timedelta(hours=1), similarity=1)
        async with Rag.open(tmp_path / "kb", embedder="none", cache=cache) as rag:
            await rag.ingest(documents, metadata={"camelCase": "kept"}).done()
            assert {document.metadata["camelCase"] for document in await rag.documents()} == {"kept"}
            plain = await rag.evaluate(questions, name="plain")
            assert plain.means["mrr"].count == 1 and "refusal" not in plain.means and plain.questions[1].id == "2"
            later = datetime.now(UTC) + timedelta(hours=1)
            none = await rag.evaluate(questions, search={"since": later, "names": ["*"]}, ask={"k": 4, "before": later})
            assert (none.means["mrr"].value, none.means["refusal"].value) == (0, 1)
            assert none.compare(plain)["mrr"].mean.value == -1
            assert "| mrr | 0.000 |" in none.to_markdown() and "Against plain" in none.to_html(plain)
            assert json.loads(plain.to_json())["means"]["mrr"]["value"] == 1
            assert (await rag.cache_stats()).answers == 2
            for wrong in ({"since": "now"}, {"names": "x"}, {"metadata": {"a": 1}}, {"k": 3}, {"links": 7}):
                with pytest.raises(kwaainet.InvalidArgumentError):
                    await rag.evaluate(questions, search=wrong)
            with pytest.raises(kwaainet.UnsupportedError):
                await rag.search("key", wordings=1)
            hit = (await rag.search("key", k=1, neighbours=1, names=["hand*"], metadata={"camelCase": "kept"})).hits[0]
            assert hit.around is not None and hit.text in hit.around.text

    run(main())
