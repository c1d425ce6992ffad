"""What an app brings: embedders, models, readers and signers in Python, asynchronous and plain, and their failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from conftest import live, python, run, until

import kwaainet
from kwaainet import Done, GenerateRequest, Rag, Token, TrustGraph, Usage, sync, testing

TEXT = b"The canteen serves dumplings on Fridays.\n\nThe key is kept in a drawer."
QUESTION = "What does the canteen serve on Fridays?"


def counts(text: str) -> list[float]:
    return [float(text.lower().count(chr(97 + place))) + 0.01 for place in range(26)]


class Letters:
    """A plain embedder. It remembers which thread it was called on."""

    id, dimension = "letters", 26

    def __init__(self, shape: Callable[[list[list[float]]], Any] = list) -> None:
        self.shape = shape
        self.threads: set[int] = set()
        self.queries: list[bool] = []

    def embed(self, texts: list[str], query: bool) -> Any:
        self.threads.add(threading.get_ident())
        self.queries.append(query)
        return self.shape([counts(text) for text in texts])


class AsyncLetters(Letters):
    async def embed(self, texts: list[str], query: bool) -> Any:
        await asyncio.sleep(0)
        return super().embed(texts, query)


def forms() -> dict[str, Callable[[list[list[float]]], Any]]:
    import array

    return {
        "lists": list,
        "float32": lambda rows: numpy.array(rows, dtype=numpy.float32),
        "float64": lambda rows: numpy.array(rows),
        "columns first": lambda rows: numpy.asfortranarray(numpy.array(rows, dtype=numpy.float32)),
        "every other": lambda rows: numpy.repeat(numpy.array(rows, dtype=numpy.float32), 2, axis=1)[:, ::2],
        "list of arrays": lambda rows: [numpy.array(row, dtype=numpy.float32) for row in rows],
        "flat": lambda rows: array.array("f", [number for row in rows for number in row]),
        "memoryview": lambda rows: memoryview(numpy.array(rows, dtype=numpy.float32)),
        "integers": lambda rows: numpy.array(rows).astype(int) + 1,
        "like a tensor": lambda rows: SimpleNamespace(__array__=lambda: numpy.array(rows, dtype=numpy.float32)),
    }


@pytest.mark.parametrize("form", forms())
def test_vectors_come_in_any_form_that_numbers_have(tmp_path: Path, form: str) -> None:
    embedder = Letters(forms()[form])
    with sync.Rag.open(tmp_path, embedder=embedder) as rag:
        rag.ingest(TEXT, name="a.txt").done()
        (hit, *_) = rag.search("dumplings on Fridays", mode="dense", k=1).hits
        assert "dumplings" in hit.text
        if form != "integers":
            words = numpy.array(counts(hit.text)), numpy.array(counts("dumplings on Fridays"))
            cosine = words[0] @ words[1] / numpy.linalg.norm(words[0]) / numpy.linalg.norm(words[1])
            assert hit.dense is not None and hit.dense.score == pytest.approx(cosine, abs=1e-3)
        assert (rag.stats().embedder, embedder.queries[-1]) == (kwaainet.EmbedderInfo("letters", 26), True)


@pytest.mark.parametrize(
    "given",
    [
        lambda rows: [row[:-1] for row in rows],
        lambda rows: numpy.array(rows, dtype=numpy.float32).T,
        lambda rows: numpy.array([rows], dtype=numpy.float32),
        lambda rows: rows + rows,
        lambda rows: [[float("nan")] * 26 for _ in rows],
        lambda rows: [["x"] * 26 for _ in rows],
        lambda rows: None,
        lambda rows: 3,
        lambda rows: "text",
        lambda rows: b"bytes",
        lambda rows: [[1e300] * 26 for _ in rows],
    ],
)
def test_vectors_that_cannot_be_are_invalid_arguments(tmp_path: Path, given: Callable[[Any], Any]) -> None:
    with sync.Rag.open(tmp_path, embedder=Letters(given)) as rag, pytest.raises(kwaainet.InvalidArgumentError):
        rag.search("x", mode="dense")


def test_an_asynchronous_embedder_runs_on_the_loop_that_opened_the_knowledge_base(tmp_path: Path) -> None:
    async def main() -> None:
        embedder = AsyncLetters()
        async with Rag.open(tmp_path, embedder=embedder) as rag:
            await rag.ingest(TEXT, name="a.txt").done()
        assert embedder.threads == {threading.get_ident()}

    run(main())


def test_a_plain_embedder_holds_up_no_event_loop(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Letters):
        def embed(self, texts: list[str], query: bool) -> Any:
            entered.set()
            assert leave.wait(30)
            return super().embed(texts, query)

    async def main() -> None:
        embedder = Slow()
        async with Rag.open(tmp_path, embedder=embedder) as rag:
            searching = asyncio.ensure_future(rag.search("x", mode="dense"))
            while not entered.is_set():
                await asyncio.sleep(0)
            leave.set()
            await searching
        assert threading.get_ident() not in embedder.threads

    run(main())


def test_without_a_loop_asynchronous_code_runs_on_one_of_the_package(tmp_path: Path) -> None:
    embedder = AsyncLetters()
    with sync.Rag.open(tmp_path, embedder=embedder) as rag:
        rag.search("x", mode="dense")
    assert threading.get_ident() not in embedder.threads


class OwnError(Exception):
    pass


@pytest.mark.parametrize("base", [Letters, AsyncLetters])
def test_an_exception_of_the_app_is_the_cause_of_an_internal_error(tmp_path: Path, base: type[Letters]) -> None:
    thrown = OwnError("the disk is on fire ☂")

    def give(rows: object) -> Any:
        raise thrown

    async def main() -> None:
        async with Rag.open(tmp_path, embedder=base(give)) as rag:
            with pytest.raises(kwaainet.InternalError, match="embedder of the app failed: OwnError: the disk is on") as raised:
                await rag.search("x", mode="dense")
            assert raised.value.__cause__ is thrown
            assert raised.value.context["provider"] == "embedder"

    run(main())


def test_an_error_of_ours_keeps_its_code(tmp_path: Path) -> None:
    thrown = kwaainet.UnreachableError("the service is down")

    def give(rows: object) -> Any:
        raise thrown

    with sync.Rag.open(tmp_path, embedder=Letters(give)) as rag:
        with pytest.raises(kwaainet.UnreachableError, match="the service is down") as raised:
            rag.search("x", mode="dense")
        assert raised.value.retryable and raised.value.__cause__ is thrown


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [Unspeakable(), ValueError("\ud800"), ValueError(), SystemExit(3), KeyboardInterrupt()])
def test_strange_exceptions_are_internal_errors_too(tmp_path: Path, error: BaseException) -> None:
    def give(rows: object) -> Any:
        raise error

    with sync.Rag.open(tmp_path, embedder=Letters(give)) as rag, pytest.raises(kwaainet.InternalError):
        rag.search("x", mode="dense")


def test_cancelling_the_search_cancels_the_apps_task(tmp_path: Path) -> None:
    async def main() -> None:
        entered, cancelled = asyncio.Event(), asyncio.Event()

        class Hanging(Letters):
            async def embed(self, texts: list[str], query: bool) -> Any:
                entered.set()
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    cancelled.set()
                    raise

        async with Rag.open(tmp_path, embedder=Hanging()) as rag:
            searching = asyncio.ensure_future(rag.search("x", mode="dense"))
            await entered.wait()
            searching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await searching
            await cancelled.wait()

    run(main())


def test_the_app_is_given_up_after_its_deadline_and_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        class Hanging(Letters):
            deadline = timedelta(milliseconds=20)

            async def embed(self, texts: list[str], query: bool) -> Any:
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    cancelled.set()

        async with Rag.open(tmp_path, embedder=Hanging()) as rag:
            with pytest.raises(TimeoutError) as raised:
                await rag.search("x", mode="dense")
            assert isinstance(raised.value, kwaainet.KwaaiTimeoutError)
            await cancelled.wait()

    run(main())


def test_a_loop_that_was_closed_is_an_error_and_no_hang(tmp_path: Path) -> None:
    async def opened() -> Rag:
        return await Rag.open(tmp_path, embedder=AsyncLetters())

    rag = run(opened())

    async def search() -> None:
        with pytest.raises(kwaainet.ClosedError, match="event loop"):
            await rag.search("x", mode="dense")
        await rag.shutdown()

    run(search())


def test_calls_into_the_library_from_the_apps_code_work(tmp_path: Path) -> None:
    class Nested(Letters):
        async def embed(self, texts: list[str], query: bool) -> Any:
            async with TrustGraph.open() as graph:
                assert (await graph.score(graph.did)).tier == "unknown"
            return super().embed(texts, query)

    class NestedBlocking(Letters):
        def embed(self, texts: list[str], query: bool) -> Any:
            with sync.TrustGraph.open() as graph:
                graph.score(graph.did)
            return super().embed(texts, query)

    async def main() -> None:
        for place, embedder in enumerate((Nested(), NestedBlocking())):
            async with Rag.open(tmp_path / str(place), embedder=embedder) as rag:
                await rag.search("x", mode="dense")

    run(main())


def test_an_embedder_is_forgotten_with_its_knowledge_base(tmp_path: Path) -> None:
    import weakref

    embedder = Letters()
    gone = weakref.ref(embedder)
    with sync.Rag.open(tmp_path, embedder=embedder) as rag:
        rag.search("x", mode="dense")
    del embedder, rag
    until(lambda: live() == {} and gone() is None, "the end of the embedder")


# ---- language models


def speaks(*pieces: object) -> list[Any]:
    """The same answer in every way that a model may give it."""

    def whole(request: GenerateRequest) -> str:
        return "".join(str(piece) for piece in pieces)

    async def later(request: GenerateRequest) -> str:
        return whole(request)

    def piecewise(request: GenerateRequest) -> Iterator[Any]:
        yield from pieces

    async def stream(request: GenerateRequest) -> AsyncIterator[Any]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece

    async def later_stream(request: GenerateRequest) -> Any:
        return stream(request)

    def list_of(request: GenerateRequest) -> Any:
        return list(pieces)

    return [whole, later, piecewise, stream, later_stream, list_of]


@pytest.mark.parametrize("generate", speaks("They serve ", "dumplings", " [1]."))
def test_a_model_answers_whole_or_in_pieces(tmp_path: Path, generate: Any) -> None:
    asked: list[GenerateRequest] = []

    def listening(request: GenerateRequest) -> Any:
        asked.append(request)
        return generate(request)

    with sync.Rag.open(tmp_path, embedder="none", model=SimpleNamespace(name="mine", generate=listening)) as rag:
        rag.ingest(TEXT, name="a.txt").done()
        answer = rag.ask(QUESTION, max_tokens=77).done()
        assert (answer.text, answer.model, answer.refused) == ("They serve dumplings [1].", "mine", False)
    (request,) = asked
    assert request.max_tokens == 77
    assert QUESTION in request.messages[-1].content and request.messages[0].role == "system"


def test_a_model_may_say_why_it_ended_and_pass_on_tokens(tmp_path: Path) -> None:
    model = SimpleNamespace(
        name="mine",
        generate=lambda request: [Token("Dumplings [1]"), Done("length", Usage(5, 2), ()), "."],
    )
    with sync.Rag.open(tmp_path, embedder="none", model=model) as rag:
        rag.ingest(TEXT, name="a.txt").done()
        assert rag.ask(QUESTION).done().text == "Dumplings [1]."


@pytest.mark.parametrize("piece", [b"bytes", 3, None, "\ud800"])
def test_pieces_that_are_no_text_fail_the_model_and_quotes_answer_instead(tmp_path: Path, piece: object) -> None:
    model = SimpleNamespace(name="mine", generate=lambda request: ["x ", piece])
    with sync.Rag.open(tmp_path, embedder="none", model=model) as rag:
        rag.ingest(TEXT, name="a.txt").done()
        answer = rag.ask(QUESTION).done()
    assert answer.model is None and "dumplings on Fridays" in answer.text
    assert answer.why is not None and "language model of the app failed: a piece of the answer" in answer.why


def test_an_answer_that_nobody_reads_closes_the_models_generator(tmp_path: Path) -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def endless(request: GenerateRequest) -> AsyncIterator[str]:
            try:
                while True:
                    yield "word "
                    await asyncio.sleep(0.001)
            finally:
                closed.set()

        async with Rag.open(tmp_path, embedder="none", model=SimpleNamespace(name="mine", generate=endless)) as rag:
            await rag.ingest(TEXT, name="a.txt").done()
            async with rag.ask(QUESTION) as answer:
                await anext(answer)
            await closed.wait()

    run(main())


# ---- readers


def lines(name: str, data: bytes) -> list[tuple[str | None, str]]:
    return [(label, text) for label, _, text in (line.partition(": ") for line in data.decode().splitlines())]


async def lines_later(name: str, data: bytes) -> list[tuple[str | None, str]]:
    return lines(name, data)


@pytest.mark.parametrize("readers", [[SimpleNamespace(extensions=["fax"], read=lines_later)], {"fax": lines}])
def test_a_reader_reads_what_the_library_does_not(tmp_path: Path, readers: Any) -> None:
    with sync.Rag.open(tmp_path, embedder="none", readers=readers) as rag:
        rag.ingest(b"page 7: The canteen serves dumplings on Fridays.", name="a.fax").done()
        (hit, *_) = rag.search("dumplings").hits
        assert (hit.section, hit.text) == ("page 7", "The canteen serves dumplings on Fridays.")


def test_a_reader_that_fails_fails_its_document_and_no_other(tmp_path: Path) -> None:
    def read(name: str, data: bytes) -> str:
        if b"bad" in data:
            raise kwaainet.CorruptDataError("the fax is torn")
        return data.decode()

    folder = tmp_path / "faxes"
    folder.mkdir()
    (folder / "one.fax").write_bytes(b"bad")
    (folder / "two.fax").write_bytes(b"Dumplings are served.")
    with sync.Rag.open(tmp_path / "kb", embedder="none", readers={"fax": read}) as rag:
        events = list(rag.ingest(folder))
    (failed,) = (event for event in events if isinstance(event, kwaainet.IngestDocumentFailed))
    assert (failed.name, failed.code) == ("one.fax", "corrupt_data") and "the fax is torn" in failed.message
    assert isinstance(events[-1], kwaainet.IngestFinished) and events[-1].ingested == 1


# ---- signers


def test_a_signer_signs_credentials_that_others_verify() -> None:
    async def main() -> None:
        async def sign(message: bytes) -> bytes:
            return await testing.seed_sign(5, message)

        signer = SimpleNamespace(did=testing.seed_did(5), sign=sign)
        async with TrustGraph.open(signer=signer) as issuer, TrustGraph.open() as other:
            assert issuer.did == testing.seed_did(5)
            credential = await issuer.issue("UptimeVC", other.did)
            assert (await other.verify(credential.json)).issuer == issuer.did

    run(main())
    plain = SimpleNamespace(did=testing.seed_did(5), sign=lambda message: testing.seed_sign(5, message).wait())
    with sync.TrustGraph.open(signer=plain) as issuer:
        assert issuer.verify(issuer.issue("UptimeVC", issuer.did).json).issuer == issuer.did


@pytest.mark.parametrize("signature", [b"short", bytes(64), "text", None])
def test_a_signature_that_cannot_be_is_refused(signature: Any) -> None:
    signer = SimpleNamespace(did=testing.seed_did(5), sign=lambda message: signature)
    with sync.TrustGraph.open(signer=signer) as issuer, pytest.raises(kwaainet.KwaaiError) as raised:
        issuer.verify(issuer.issue("UptimeVC", issuer.did).json)
    assert raised.value.code in ("invalid_argument", "corrupt_data")


@pytest.mark.parametrize(
    ("brought", "says"),
    [
        ({"embedder": SimpleNamespace(id="x", dimension=2, embed=lambda *_: 3)}, "must give a vector of 2 numbers for each text, not int"),
        ({"embedder": SimpleNamespace(id="x", dimension=2, embed=lambda *_: ["ab"])}, "must give a vector of 2 numbers for each text, not str"),
        ({"embedder": "none", "readers": {"fax": lambda *_: 3}}, "document reader must be a str or a list of parts, not int"),
        ({"embedder": "none", "readers": {"fax": lambda *_: [3]}}, "must give a text or its parts, each a text or a label and a text, not list"),
    ],
)
def test_an_answer_that_cannot_be_is_told_in_words_of_this_library(
    tmp_path: Path, brought: dict[str, Any], says: str
) -> None:
    with sync.Rag.open(tmp_path, **brought) as rag:
        events = list(rag.ingest(b"A text.", name="a.txt" if "readers" not in brought else "a.fax"))
    (failed,) = (event for event in events if isinstance(event, kwaainet.IngestDocumentFailed))
    assert failed.code == "invalid_argument" and says in failed.message, failed


def test_a_signature_of_a_wrong_type_is_told_in_words_of_this_library() -> None:
    signer = SimpleNamespace(did=testing.seed_did(5), sign=lambda message: "text")
    with sync.TrustGraph.open(signer=signer) as issuer:
        with pytest.raises(kwaainet.InvalidArgumentError, match="the signer must give 64 bytes, not str") as raised:
            issuer.issue("UptimeVC", issuer.did)
        assert "extract" not in str(raised.value) and "Vec" not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"embedder": object()},
        {"embedder": SimpleNamespace(id="", dimension=3, embed=print)},
        {"embedder": SimpleNamespace(id="x", dimension=0, embed=print)},
        {"embedder": SimpleNamespace(id="x", dimension=1 << 40, embed=print)},
        {"embedder": SimpleNamespace(id="x", dimension=-1, embed=print)},
        {"embedder": SimpleNamespace(id="\ud800", dimension=3, embed=print)},
        {"embedder": SimpleNamespace(id="x", dimension=3, embed="no function")},
        {"embedder": SimpleNamespace(id="x", dimension=3, embed=print, deadline=3)},
        {"embedder": 3},
        {"model": object()},
        {"model": SimpleNamespace(name="", generate=print)},
        {"readers": [object()]},
        {"readers": {"": print}},
        {"readers": {"a.b": print}},
        {"readers": {"fax": 3}},
        {"readers": 3},
        {"readers": "fax"},
        {"readers": [SimpleNamespace(extensions="fax", read=print)]},
    ],
)
def test_what_is_no_provider_is_refused_at_the_door(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(kwaainet.InvalidArgumentError):
        sync.Rag.open(tmp_path, **options)


def test_the_interpreter_exits_while_the_apps_code_works() -> None:
    ended = python(
        """
import asyncio, tempfile, threading, time
from types import SimpleNamespace
from kwaainet import sync
entered = threading.Semaphore(0)
def plain(texts, query):
    entered.release()
    time.sleep(3600)
async def later(texts, query):
    entered.release()
    await asyncio.sleep(3600)
folder = tempfile.mkdtemp()
for name, embed in (("a", plain), ("b", later)):
    rag = sync.Rag.open(f"{folder}/{name}", embedder=SimpleNamespace(id="x", dimension=3, embed=embed))
    def search(rag=rag):
        try: rag.search("x", mode="dense")
        except Exception: pass
    threading.Thread(target=search, daemon=True).start()
    entered.acquire()
print("leaving")
"""
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "leaving"), ended.stderr
