"""A private knowledge base over documents: cited answers, or an honest refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias

from . import _native
from ._bridge import Opening, finished
from ._records import record, records, tagged
from .shard import Model, Route, ShardEngine, Span
from .streams import EventStream

Path: TypeAlias = str | PathLike[str]
Mode: TypeAlias = Literal["hybrid", "lexical", "dense"]


@dataclass(frozen=True)
class ModelWriter:
    """A model in blocks that writes the answers."""

    engine: ShardEngine
    model: Model
    route: Route | None = None


@dataclass(frozen=True)
class Endpoint:
    """A model behind an OpenAI-compatible endpoint that writes the answers, such as ``http://localhost:11434/v1``."""

    base_url: str
    model: str
    api_key: str | None = None

    def __repr__(self) -> str:
        return f"Endpoint(base_url={self.base_url!r}, model={self.model!r})"


@dataclass(frozen=True)
class Rank:
    """The place of a passage in one of the two searches, from 1, and its BM25 score or cosine."""

    rank: int
    score: float


@dataclass(frozen=True)
class Hit:
    """A passage found."""

    document_id: str
    document: str
    chunk_id: str
    text: str
    span: Span
    """The bytes of the document's text, in UTF-8, that it covers."""
    section: str | None
    """Where it stands, for people: ``page 3``, or a heading."""
    score: float
    lexical: Rank | None
    dense: Rank | None


@dataclass(frozen=True)
class SearchResult:
    """What a search found, best first, and how it searched."""

    hits: tuple[Hit, ...]
    mode: Mode
    note: str | None
    """Why it is not the mode that was asked for."""


@dataclass(frozen=True)
class Citation:
    """What ``[n]`` in an answer stands for."""

    number: int
    document_id: str
    document: str
    chunk_id: str
    section: str | None
    span: Span
    quote: str


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against an answer being in the documents. Shares are between 0 and 1."""

    nearest_passage: float | None
    nearest_sentence: float | None
    passage_coverage: float
    joint_coverage: float
    matched: float
    sentence_coverage: float
    unknown: float
    lexical_lead: float
    agreement: bool


@dataclass(frozen=True)
class Answer:
    """An answer with its sources, or the refusal of one."""

    text: str
    """With ``[n]`` after what a source supports."""
    citations: tuple[Citation, ...]
    refused: bool
    why: str | None
    """Why it was refused, or why it is not the answer of the language model."""
    support: float
    evidence: Evidence
    mode: Mode
    note: str | None
    model: str | None
    """The language model that wrote the text; ``None`` for quotes and refusals."""


@dataclass(frozen=True)
class AnswerText:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class AnswerRetracted:
    """What came so far does not count: the model cited no source that exists. The answer follows anew."""

    why: str


@dataclass(frozen=True)
class AnswerDone:
    """The whole answer and its sources."""

    answer: Answer


AskEvent: TypeAlias = AnswerText | AnswerRetracted | AnswerDone


@dataclass(frozen=True)
class IngestFound:
    """First of all: how many files there are."""

    files: int


@dataclass(frozen=True)
class IngestReading:
    """A file is being read and cut."""

    name: str


@dataclass(frozen=True)
class IngestEmbedded:
    """Passages of a document were embedded."""

    name: str
    done: int
    total: int


@dataclass(frozen=True)
class IngestDocumentDone:
    """A document is durable and can be found."""

    name: str
    document_id: str
    chunks: int
    ms: int
    warnings: tuple[str, ...]
    """What of it could not be read."""


@dataclass(frozen=True)
class IngestDocumentUnchanged:
    """A document is stored already, as it is."""

    name: str


@dataclass(frozen=True)
class IngestDocumentFailed:
    """A document could not be ingested; what was stored under its name stays, and the others go on."""

    name: str
    code: str
    message: str


@dataclass(frozen=True)
class IngestFinished:
    """Last of all."""

    ingested: int
    unchanged: int
    failed: int
    chunks: int


IngestEvent: TypeAlias = (
    IngestFound
    | IngestReading
    | IngestEmbedded
    | IngestDocumentDone
    | IngestDocumentUnchanged
    | IngestDocumentFailed
    | IngestFinished
)


@dataclass(frozen=True)
class DocumentInfo:
    """A document of a knowledge base."""

    id: str
    name: str
    source: str | None
    format: str
    content_hash: str
    bytes: int
    chunks: int
    warnings: tuple[str, ...]
    """What of it could not be read."""
    ingested_at_ms: int
    """Milliseconds since 1970."""


@dataclass(frozen=True)
class EmbedderInfo:
    """The embedder whose vectors a knowledge base holds."""

    id: str
    dimension: int


@dataclass(frozen=True)
class Stats:
    """What a knowledge base holds and how it searches."""

    documents: int
    chunks: int
    vectors: int
    indexed: int
    sealed_vectors: int
    generation: int
    embedder: EmbedderInfo | None
    language_model: str | None
    mode: Mode
    note: str | None
    """Why the mode is not hybrid."""


class Ingestion(EventStream[IngestEvent]):
    """The progress of an ingestion. Leaving it early stops between documents."""

    async def done(self) -> IngestFinished:
        """Reads to the end and returns the totals."""
        last: IngestEvent | None = None
        async for last in self:
            pass
        assert isinstance(last, IngestFinished), "an ingestion ends with its totals or an error"
        return last


class Asking(EventStream[AskEvent]):
    """An answer as it is written."""

    async def done(self) -> Answer:
        """Reads to the end and returns the whole answer."""
        last: AskEvent | None = None
        async for last in self:
            pass
        assert isinstance(last, AnswerDone), "an answer ends with its sources or an error"
        return last.answer


class Rag:
    """A private knowledge base. Nothing leaves the machine, unless the model it was given does so."""

    def __init__(self, native: _native.Rag) -> None:
        self._native = native

    @staticmethod
    def open(
        dir: Path,
        *,
        embedder: Path | None = None,
        model: ModelWriter | Endpoint | None = None,
        chunking: Mapping[str, Any] | None = None,
        language: str | None = None,
    ) -> Opening[Rag]:
        """Opens a knowledge base alone, without a node, in a directory that is made when it is missing.

        ``embedder`` is the folder of a BERT model, the id of one such as ``sentence-transformers/all-MiniLM-L6-v2``,
        which is fetched the first time, or ``"none"`` to find passages by their words alone; without it,
        all-MiniLM-L6-v2 is taken when it has been fetched. ``model`` writes the answers; without one they are made of
        the best sentences. ``chunking`` has ``strategy`` (``sentence``, ``paragraph``, ``fixed``), ``size``, ``overlap``
        and ``min``, in characters; ``language`` is the one whose word forms are brought together, ``english`` unless set.
        """
        return Opening(_open(fspath(dir), rag_options(embedder, model, chunking, language), model))

    def ingest(self, source: Path | bytes, *, name: str | None = None) -> Ingestion:
        """Reads a file, every file of a folder, or a document from memory, whose ``name`` tells its format.

        It begins when the first event is asked for. A document replaces the one of the same name.
        """
        return Ingestion(begin_ingestion(self._native, source, name), read_progress)

    async def search(self, text: str, *, k: int = 8, mode: Mode = "hybrid") -> SearchResult:
        """The ``k`` passages that fit a text best."""
        return record(SearchResult, await finished(self._native.search(text, k, json.dumps(mode))))

    def ask(
        self, question: str, *, k: int = 8, mode: Mode = "hybrid", min_support: float = 0.5, max_tokens: int = 400
    ) -> Asking:
        """Answers a question from the documents, with citations, or refuses.

        ``min_support``, from 0 to 1, is the least support by the documents that is answered: higher refuses more.
        It begins when the first event is asked for.
        """
        return Asking(self._native.ask(question, ask_options(k, mode, min_support, max_tokens)), read_answer)

    async def documents(self) -> list[DocumentInfo]:
        """Every document, in the order of the names."""
        return records(DocumentInfo, await finished(self._native.documents()))

    async def document_text(self, id: str) -> str:
        """The text of a document. Spans count its bytes in UTF-8."""
        return await finished(self._native.document_text(id))

    async def delete_document(self, id: str) -> None:
        """Removes a document and every trace of it."""
        await finished(self._native.delete_document(id))

    async def stats(self) -> Stats:
        """What it holds and how it searches."""
        return record(Stats, await finished(self._native.stats()))

    async def shutdown(self) -> None:
        """Stops what is under way and unlocks the directory. Idempotent."""
        await finished(self._native.shutdown())

    async def destroy(self) -> None:
        """Shuts down and deletes everything that was stored."""
        await finished(self._native.destroy())


async def _open(dir: str, options: str, model: ModelWriter | Endpoint | None) -> Rag:
    return Rag(await finished(_native.Rag.open(dir, options, written(model))))


def rag_options(
    embedder: Path | None,
    model: object,
    chunking: Mapping[str, Any] | None,
    language: str | None,
) -> str:
    """The options as the native module reads them."""
    options: dict[str, Any] = {
        "embedder": None if embedder is None else fspath(embedder),
        "endpoint": asdict(model) if isinstance(model, Endpoint) else None,
    }
    if chunking is not None:
        options["chunking"] = dict(chunking)
    if language is not None:
        options["language"] = language
    return json.dumps(options)


def written(model: ModelWriter | Endpoint | None) -> _native.Written | None:
    if isinstance(model, ModelWriter):
        return model.engine._native, model.model._native, model.route
    return None


def begin_ingestion(
    native: _native.Rag, source: Path | bytes, name: str | None
) -> _native.Operation[_native.Stream]:
    if isinstance(source, bytes):
        return native.ingest_bytes(name or "", source)
    return native.ingest_path(fspath(source))


def ask_options(k: int, mode: Mode, min_support: float, max_tokens: int) -> str:
    return json.dumps({"k": k, "mode": mode, "min_support": min_support, "max_tokens": max_tokens})


_PROGRESS: dict[str, type[Any]] = {
    "found": IngestFound,
    "reading": IngestReading,
    "embedded": IngestEmbedded,
    "document_done": IngestDocumentDone,
    "unchanged": IngestDocumentUnchanged,
    "document_failed": IngestDocumentFailed,
    "finished": IngestFinished,
}


def read_progress(data: dict[str, Any]) -> IngestEvent:
    event: IngestEvent = tagged(_PROGRESS, data)
    return event


def read_answer(data: dict[str, Any]) -> AskEvent:
    if data["kind"] == "done":
        return AnswerDone(record(Answer, data["answer"]))
    event: AskEvent = tagged({"text": AnswerText, "retracted": AnswerRetracted}, data)
    return event
