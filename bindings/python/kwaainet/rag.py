"""A private knowledge base over documents: cited answers, or an honest refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias

from . import _native
from ._bridge import Opening, finished
from ._checks import checked, checked_function, epoch_milliseconds, home, milliseconds, rule, to_json
from ._records import record, records, tagged
from .http import HttpServer, server_options
from .provide import (
    Embedder,
    Host,
    LanguageModel,
    Readers,
    native_embedder,
    native_model,
    native_readers,
    running_host,
)
from .shard import ChatMessage, Model, Route, ShardEngine, Span
from .streams import EventStream
from .vpk import VectorCollection

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
class EmbeddingEndpoint:
    """An embedding model behind an OpenAI-compatible endpoint, such as ``https://api.openai.com/v1``, or an Ollama server.

    Texts leave this machine, unless the endpoint is on it. The ``dimension`` of its vectors is asked for unless set. The
    prompts are put before what is looked for and what is found: those that models of its name want unless set.
    """

    base_url: str
    model: str
    api_key: str | None = None
    api: Literal["openai", "ollama"] = "openai"
    dimension: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None

    def __repr__(self) -> str:
        return f"EmbeddingEndpoint(base_url={self.base_url!r}, model={self.model!r}, api={self.api!r})"


@dataclass(frozen=True)
class Rank:
    """The place of a passage in one of the two searches, from 1, and its BM25 score or cosine."""

    rank: int
    score: float


@dataclass(frozen=True)
class Around:
    """A passage with those of the same document around it, as one piece of the document."""

    text: str
    span: Span
    """The bytes of the document's text, in UTF-8, that it covers."""
    locator: str | None


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
    locator: str | None
    """Where it stands as exactly as the format allows: ``page 12``, ``Installation > Linux, table 3``, ``rows 7-9``."""
    score: float
    lexical: Rank | None
    dense: Rank | None
    via: str | None
    """The name, in the question or in another passage, that led to its document."""
    metadata: dict[str, str]
    """What the app said about its document."""
    around: Around | None
    """The passage with those around it, where ``neighbours`` asks for them."""


@dataclass(frozen=True)
class Timings:
    """How long the stages of a search took, in milliseconds. Words and meaning are looked for side by side."""

    words_ms: float
    meaning_ms: float
    fusing_ms: float
    links_ms: float
    model_ms: float
    """Waiting for the language model."""
    total_ms: float


@dataclass(frozen=True)
class SearchResult:
    """What a search found, best first, and how it searched."""

    hits: tuple[Hit, ...]
    mode: Mode
    note: str | None
    """Why it is not the mode that was asked for."""
    timings: Timings | None
    """How long it took, where ``timed`` asks for it."""


@dataclass(frozen=True)
class Citation:
    """What ``[n]`` in an answer stands for."""

    number: int
    document_id: str
    document: str
    chunk_id: str
    section: str | None
    locator: str | None
    """Where the quote stands, as exactly as the format allows: ``page 12``, ``Installation > Linux, table 3``, ``row 7``."""
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
    """Why it was refused, why it is not the answer of the language model, or why it is not all that the model began."""
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
    """What came so far does not count: what the model cited does not stand there. The answer follows anew."""

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
class SyncCompared:
    """What a pass over a folder found. While watching, only passes that found something new are reported."""

    files: int
    pending: int
    """Files that are new, changed or moved."""
    gone: int
    """Documents whose files are gone and did not move."""


@dataclass(frozen=True)
class SyncReading:
    """A file is being read and cut."""

    name: str


@dataclass(frozen=True)
class SyncEmbedded:
    """Passages of a document were embedded."""

    name: str
    done: int
    total: int


@dataclass(frozen=True)
class SyncAdded:
    """A new document is durable and can be found."""

    name: str
    document_id: str
    chunks: int
    ms: int
    warnings: tuple[str, ...]
    """What of it could not be read."""


@dataclass(frozen=True)
class SyncChanged:
    """A document was replaced by its new version."""

    name: str
    document_id: str
    chunks: int
    ms: int
    warnings: tuple[str, ...]
    """What of it could not be read."""


@dataclass(frozen=True)
class SyncMoved:
    """A file of the same contents appeared where another one vanished."""

    before: str
    """The document's name before, which is found no more."""
    name: str
    document_id: str


@dataclass(frozen=True)
class SyncDeleted:
    """A document was deleted, since its file is gone."""

    name: str
    document_id: str


@dataclass(frozen=True)
class SyncMissing:
    """A document's file is gone. The document stays, since deletion was not asked for."""

    name: str
    document_id: str


@dataclass(frozen=True)
class SyncFailed:
    """A file or a folder could not be read; what was stored of it stays."""

    name: str
    code: str
    message: str


@dataclass(frozen=True)
class SyncFinished:
    """A pass is over."""

    added: int
    changed: int
    moved: int
    deleted: int
    missing: int
    unchanged: int
    failed: int


@dataclass(frozen=True)
class SyncWatching:
    """From now on changes are followed. Sent once, after the first pass."""

    events: bool
    """Whether the file system reports changes; otherwise the folder is looked through at every interval."""
    note: str | None
    """Why it does not, where it was to."""


SyncEvent: TypeAlias = (
    SyncCompared
    | SyncReading
    | SyncEmbedded
    | SyncAdded
    | SyncChanged
    | SyncMoved
    | SyncDeleted
    | SyncMissing
    | SyncFailed
    | SyncFinished
    | SyncWatching
)


@dataclass(frozen=True)
class ReembedFound:
    """How many passages a knowledge base has, and how many have a vector of the new embedder from an earlier time."""

    passages: int
    done: int


@dataclass(frozen=True)
class ReembedEmbedded:
    """Passages were embedded, and their vectors are durable."""

    done: int
    total: int


@dataclass(frozen=True)
class ReembedFinished:
    """The new embedder has taken the place of the other."""

    passages: int
    embedded: int
    """Texts that were embedded by this run."""


ReembedEvent: TypeAlias = ReembedFound | ReembedEmbedded | ReembedFinished


@dataclass(frozen=True)
class OutsourceFound:
    """How many passages a knowledge base has, and of how many the collection has the vectors from an earlier time."""

    passages: int
    done: int


@dataclass(frozen=True)
class OutsourceBrought:
    """The collection has taken vectors."""

    done: int
    total: int


@dataclass(frozen=True)
class OutsourceFinished:
    """The collection answers, and its hosts have everything."""

    passages: int
    brought: int
    """Vectors that were brought by this run."""


OutsourceEvent: TypeAlias = OutsourceFound | OutsourceBrought | OutsourceFinished


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
    metadata: dict[str, str]
    """What the app said about it."""


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
    dense_weight: float
    """How much meaning counts against words in a hybrid search, 0 to 1."""
    note: str | None
    """Why the mode is not hybrid."""
    outsourced: Outsourced | None
    """Where the vectors are, or are brought, if that is not here."""


@dataclass(frozen=True)
class Outsourced:
    """A knowledge base whose vectors are in a collection at other people's nodes, or on their way there."""

    collection: str
    """The id of the collection."""
    attached: bool
    """Whether the collection was given since the knowledge base was opened, so that it is searched."""
    complete: bool
    """Whether all vectors are there, and nothing of them is left where the knowledge base lies."""
    waiting: int
    """What the collection was not told yet: passages that came or went."""


@dataclass(frozen=True)
class CalibrationQuestion:
    """A question whose answer is known to stand in documents, or in none."""

    question: str
    documents: Sequence[str] = ()
    """The ids of the documents that answer it; none where nothing does."""


@checked
@dataclass(frozen=True)
class Calibration:
    """The support of questions that are known to be answered, and of others: what says when to refuse.

    Split conformal prediction (arXiv 2107.07511): of the questions that the documents do not answer, at most the tolerated
    share gets an answer, on average, as long as the questions that are asked are like those that were calibrated with.
    """

    answerable: tuple[float, ...]
    """Of those that the documents answer, in ascending order."""
    unanswerable: tuple[float, ...]
    """Of those that they do not, in ascending order."""
    from_passages: bool
    """Whether the questions were made of the documents' own sentences."""
    generation: int
    """The generation of the knowledge base that it was made with."""

    def threshold(self, alpha: float) -> float | None:
        """The support above which a question is answered when at most the share ``alpha``, 0 to 1, of those without an
        answer in the documents may get one; ``None`` when so few were calibrated with that all must be refused."""
        threshold: float | None = self._at(alpha)["threshold"]
        return threshold

    def answered(self, alpha: float) -> float:
        """The share of the answerable questions that get an answer when ``alpha`` is tolerated."""
        share: float = self._at(alpha)["answered"]
        return share

    @property
    def auroc(self) -> float | None:
        """How often an answerable question has more support than another, equals counting half: the area under the ROC
        curve. ``None`` without one of either."""
        area: float | None = self._at(1.0)["auroc"]
        return area

    def _at(self, alpha: float) -> dict[str, Any]:
        return _native.calibration_at(to_json("calibration", asdict(self)), alpha)


@dataclass(frozen=True)
class AnswerCache:
    """Which answers are given again to the same question, while the knowledge base and the options stay the same."""

    answers: int = 500
    """Kept at most; the one that was not asked for the longest goes first."""
    ttl: timedelta = timedelta(hours=24)
    """An older answer is not given again."""
    similarity: float = 0.95
    """The least cosine of two questions that ask the same in other words; 1 keeps to the wording."""


@dataclass(frozen=True)
class CacheStats:
    """What became of the answers that are kept."""

    answers: int
    """Kept now."""
    hits: int
    """Questions that were answered from them."""
    similar: int
    """Those of them that were worded otherwise."""
    misses: int
    outdated: int
    """Answers that were too old, or of a knowledge base that changed since."""


@dataclass(frozen=True)
class NumericAnswer:
    """A number that an answer must have. What is as near as ``tolerance`` counts as right; at twice the distance nothing does."""

    correct: float
    tolerance: float = 0.0


@dataclass(frozen=True)
class EvaluationQuestion:
    """A question whose answer is known. It counts for what it can be judged by."""

    question: str
    id: str = ""
    """What the report calls it; its place in the list unless set."""
    documents: Sequence[str] = ()
    """The documents that answer it, by their ids or names."""
    expected_keywords: Sequence[str | Sequence[str]] = ()
    """What the answer must say; of a list one."""
    numeric_answer: NumericAnswer | None = None
    expected_answer: str | None = None
    """The answer in words, for a judge."""
    unanswerable: bool = False
    """Whether the right answer is that there is none."""


@dataclass(frozen=True)
class Mean:
    """A mean, and where it lies in 95 of 100 draws of as many questions."""

    value: float
    low: float
    high: float
    count: int
    """Of how many questions."""


@dataclass(frozen=True)
class Difference:
    """The mean difference of pairs, and the share of draws that have it the other way round or none: small where it is no chance."""

    mean: Mean
    p: float


@dataclass(frozen=True)
class QuestionResult:
    """What came of one question."""

    id: str
    question: str
    scores: dict[str, float]
    """Each 0 to 1, by their names, as ``Evaluation.means`` has them."""
    answer: str | None
    refused: bool | None
    support: float | None
    unanswerable: bool
    error: str | None
    """Why it failed; every score that it could have had is 0 then."""


@checked
@dataclass(frozen=True)
class Evaluation:
    """What came of all questions."""

    name: str
    means: dict[str, Mean]
    """``recall@1`` to ``recall@10``, ``mrr`` and ``ndcg@10`` of the documents found; ``keywords``, ``number``, ``citations``,
    ``refusal`` and ``judge`` of the answers."""
    refusal_auroc: float | None
    """How well support tells what has an answer from what has none; ``None`` without questions of both kinds."""
    failed: int
    questions: tuple[QuestionResult, ...]

    def compare(self, other: Evaluation) -> dict[str, Difference]:
        """The mean difference of each score from another evaluation of the same questions, question by question: above 0 where
        this one is better."""
        differences = _native.compare_evaluations(self.to_json(), other.to_json())
        return {name: record(Difference, difference) for name, difference in differences.items()}

    def to_json(self) -> str:
        """All of it."""
        return to_json("evaluation", asdict(self))

    def to_markdown(self) -> str:
        """The means as a table, and what failed."""
        return _native.evaluation_report(self.to_json(), None, "markdown")

    def to_html(self, beside: Evaluation | None = None) -> str:
        """A page that needs nothing beside itself and in which nothing runs, with another evaluation beside this one."""
        return _native.evaluation_report(self.to_json(), None if beside is None else beside.to_json(), "html")


FaultKind: TypeAlias = Literal[
    "wrong_number", "misattributed", "stitched", "fabricated", "uncited", "wrong_figure"
]


@dataclass(frozen=True)
class Fault:
    """Something that a source was said to say and does not."""

    kind: FaultKind
    """The number is that of no source; the text stands in another source; it is put together from pieces that stand apart;
    it stands in none; nothing is cited for it; a number stands in none of the sources that are cited for it."""
    span: Span
    """The bytes of the answer, in UTF-8, that it concerns."""
    cited: tuple[int, ...]
    """The numbers that are cited there."""
    found_in: int | None
    """The source in which the text stands, where there is one."""


@checked_function
def check_citations(text: str, sources: Sequence[str]) -> list[Fault]:
    """Compares an answer with the texts of its sources, of which the first is ``[1]``; empty when its citations hold.

    No model is asked: what stands in quotation marks, with three words or more, or is taken word by word from a source must
    stand in one that is cited for it, every sentence cites something, and numbers above twelve stand in a source that is
    cited. A paraphrase is not judged.
    """
    return records(Fault, _native.check_citations(text, list(sources)))


@dataclass(frozen=True)
class Progress:
    """How far an ingestion is, in documents. It grows with the events that were read."""

    done: int = 0
    """Documents that are durable, unchanged or failed."""
    total: int | None = None
    """``None`` until the files were counted."""
    name: str | None = None
    """The document at hand."""
    share: float = 0.0
    """How much of the document at hand was embedded, from 0 to 1."""

    def after(self, event: IngestEvent) -> Progress:
        match event:
            case IngestFound(files):
                return replace(self, total=files)
            case IngestReading(name):
                return replace(self, name=name, share=0.0)
            case IngestEmbedded(name, done, total):
                return replace(self, name=name, share=done / total if total else 1.0)
            case IngestDocumentDone() | IngestDocumentUnchanged() | IngestDocumentFailed():
                return replace(self, done=self.done + 1, share=0.0)
            case IngestFinished():
                return replace(self, name=None)


class Ingestion(EventStream[IngestEvent]):
    """The progress of an ingestion. Leaving it early stops between documents.

    ``async for event in tqdm(ingestion)`` works, and ``progress`` tells at any time how many documents are done.
    """

    progress = Progress()
    """How far it is, by the events read so far."""

    async def __anext__(self) -> IngestEvent:
        event = await super().__anext__()
        self.progress = self.progress.after(event)
        return event

    async def done(self) -> IngestFinished:
        """Reads to the end and returns the totals."""
        last: IngestEvent | None = None
        async for last in self:
            pass
        assert isinstance(last, IngestFinished), "an ingestion ends with its totals or an error"
        return last


class Syncing(EventStream[SyncEvent]):
    """How a folder is kept alike. Closing it ends a watch; what was reported done stays."""

    async def done(self) -> SyncFinished:
        """Reads to the end of the pass and returns its totals, without a watch."""
        last: SyncEvent | None = None
        async for last in self:
            pass
        assert isinstance(last, SyncFinished), "a pass ends with its totals or an error"
        return last


class Reembedding(EventStream[ReembedEvent]):
    """How a change of the embedder gets on. Leaving it early stops the work; what was embedded is kept for the next time."""

    async def done(self) -> ReembedFinished:
        """Reads to the end and returns the totals."""
        last: ReembedEvent | None = None
        async for last in self:
            pass
        assert isinstance(last, ReembedFinished), "a change of the embedder ends with its totals or an error"
        return last


class Outsourcing(EventStream[OutsourceEvent]):
    """How vectors get to a collection. Leaving it early stops the work; what the collection has is kept for the next time."""

    async def done(self) -> OutsourceFinished:
        """Reads to the end and returns the totals."""
        last: OutsourceEvent | None = None
        async for last in self:
            pass
        assert isinstance(last, OutsourceFinished), "vectors get to a collection with their totals or an error"
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


@checked
class Rag:
    """A private knowledge base. Nothing leaves the machine, unless the model it was given does so."""

    def __init__(self, native: _native.Rag) -> None:
        self._native = native

    @staticmethod
    def open(
        dir: Path,
        *,
        embedder: Path | EmbeddingEndpoint | Embedder | None = None,
        model: ModelWriter | Endpoint | LanguageModel | None = None,
        chunking: Mapping[str, Any] | None = None,
        language: str | None = None,
        readers: Readers = (),
        cache: AnswerCache | None = None,
    ) -> Opening[Rag]:
        """Opens a knowledge base alone, without a node, in a directory that is made when it is missing.

        ``embedder`` is the folder of an embedding model, the id of one such as ``sentence-transformers/all-MiniLM-L6-v2``,
        which is fetched the first time, one behind an endpoint, or ``"none"`` to find passages by their words alone;
        without it, all-MiniLM-L6-v2 is taken when it has been fetched. ``model`` writes the answers; without one they are made of
        the best sentences. ``readers`` read formats that the library does not: a list of them, or functions of a file's
        name and bytes by the ending of the file. Embedder, model and readers may be the app's own, see
        ``kwaainet.provide``. ``chunking`` has ``strategy`` (``sentence``, ``paragraph``, ``fixed``, ``heading``), ``size``, ``overlap``
        and ``min``, in characters; ``language`` is the one whose word forms are brought together: that of before unless set, ``english`` for
        a new one. With
        ``cache`` answers stay in memory and are given again to the same question while nothing changes.
        """
        options = rag_options(embedder, model, chunking, language, cache)
        return Opening(_open(fspath(dir), options, embedder, model, readers))

    def ingest(
        self, source: Path | bytes, *, name: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Ingestion:
        """Reads a file, every file of a folder, or a document from memory, whose ``name`` tells its format.

        It begins when the first event is asked for. A document replaces the one of the same name. ``metadata`` is what the app
        says about each document, at most 32 short keys with texts: it replaces what was said before, also where the file is the
        same, and without it what was said before stays.
        """
        return Ingestion(begin_ingestion(self._native, source, name, metadata), read_progress)

    def sync(
        self,
        folder: Path,
        *,
        watch: bool = False,
        interval: timedelta | None = None,
        polling: bool = False,
        extensions: Sequence[str] = (),
        delete: bool = False,
    ) -> Syncing:
        """Keeps the documents of a folder as its files are: adds new ones, replaces changed ones, renames moved ones.

        Files are compared by the hash of their contents, and only documents that came from this folder are touched. With
        ``delete`` a document is deleted when its file is gone; otherwise it stays and is reported missing. ``extensions``
        are those that are looked at; all that can be read unless set. With ``watch`` it goes on until it is closed: the
        folder is looked through when the file system reports a change, unless ``polling``, and at every ``interval``, a
        minute unless set. It begins when the first event is asked for.
        """
        options = sync_options(watch, interval, polling, extensions, delete)
        return Syncing(self._native.sync(fspath(folder), options), read_sync)

    def reembed(self, embedder: Path | EmbeddingEndpoint | Embedder) -> Reembedding:
        """Gives the knowledge base another embedder, or its first. It begins when the first event is asked for.

        Every passage is embedded again while the vectors of before go on to answer, then one commit exchanges them.
        Documents may come and go meanwhile. What was embedded is kept: after a crash, an error or a cancellation the same call
        goes on from there. From the exchange on, ``Rag.open`` refuses the embedder of before.
        """
        return Reembedding(begin_reembedding(self._native, embedder, running_host), read_reembedding)

    def outsource(self, collection: VectorCollection, *, texts: bool = False) -> Outsourcing:
        """Brings the vectors to a collection at other people's nodes. It begins when the first event is asked for.

        Those at home go on to answer until its hosts have all of them; then the collection answers, and those at home are deleted and
        overwritten. Texts, words and answers stay. Documents may come and go meanwhile and afterwards. After a crash, an error or a
        cancellation the same call goes on from there. A knowledge base that is opened later searches by words alone until it is called
        with the same collection. The way home is ``reembed``.

        With ``texts`` the texts go as well, as payloads that are sealed before they leave, for whoever has the key of the collection:
        JSON with ``document_id``, ``document``, ``heading`` and ``text``. Not under ``plain``.
        """
        return Outsourcing(self._native.outsource(collection._native, texts), read_outsourcing)

    async def search(
        self,
        text: str,
        *,
        k: int = 8,
        mode: Mode = "hybrid",
        links: bool = False,
        documents: Sequence[str] = (),
        since: datetime | None = None,
        before: datetime | None = None,
        diversity: float = 0.0,
        dense_weight: float | None = None,
        formats: Sequence[str] = (),
        names: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        neighbours: int = 0,
        timed: bool = False,
        wordings: int = 0,
        hypothesis: float = 0.0,
        rerank: int = 0,
    ) -> SearchResult:
        """The ``k`` passages that fit a text best.

        With ``links`` documents gain that the text, or a passage found, calls by their names, which finds what answers a
        question in two steps. It looks in ``documents``, by their ids, all unless set, in what was ingested from ``since``
        on and before ``before``, in documents that were read as one of ``formats``, such as ``pdf``, whose names fit one of the
        patterns ``names``, such as ``reports/**/*.pdf``, and that have this ``metadata``. ``diversity``, from 0 to 1, is how much hits are to differ from one another, and
        ``dense_weight``, from 0 to 1, how much meaning counts against words in a hybrid search: what the knowledge base found
        out from its own passages unless set. So many ``neighbours`` before and after each hit are told in its ``around``, 8 at
        most, and with ``timed`` how long each stage took.

        A language model looks for so many other ``wordings`` as well, 8 at most, makes up a passage that counts as much as
        ``hypothesis`` says, 0 to 1, and puts the first ``rerank`` hits in order, 100 at most. Raises ``UnsupportedError`` for
        them without a model.
        """
        options = search_options(
            mode=mode, links=links, documents=documents, since=since, before=before, diversity=diversity,
            dense_weight=dense_weight, formats=formats, names=names, metadata=metadata, neighbours=neighbours, timed=timed,
            wordings=wordings, hypothesis=hypothesis, rerank=rerank,
        )
        return record(SearchResult, await finished(self._native.search(text, k, to_json("options", options))))

    def ask(
        self,
        question: str,
        *,
        k: int = 8,
        mode: Mode = "hybrid",
        min_support: float = 0.5,
        max_tokens: int = 400,
        links: bool = True,
        documents: Sequence[str] = (),
        max_unsupported: float | None = None,
        max_context_tokens: int = 3000,
        history: Sequence[ChatMessage | Mapping[str, str]] = (),
        since: datetime | None = None,
        before: datetime | None = None,
        formats: Sequence[str] = (),
        names: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        neighbours: int = 0,
        wordings: int = 0,
        hypothesis: float = 0.0,
        rerank: int = 0,
    ) -> Asking:
        """Answers a question from the documents, with citations, or refuses.

        ``min_support``, from 0 to 1, is the least support by the documents that is answered: higher refuses more.
        ``max_unsupported`` takes its place: the share, from 0 to 1, of questions without an answer in the documents that may
        get one all the same; it needs ``calibrate``, without which the answer ends with a ``ConflictError``. ``links``,
        ``documents``, ``since``, ``before``, ``formats``, ``names``, ``metadata``, ``wordings``, ``hypothesis`` and ``rerank`` are
        those of ``search``. So many ``neighbours`` before and after each passage are given to a language model with it. ``max_context_tokens`` is how much a language model is given to read, and
        ``history`` the turns before the question, the earliest first: a question that says too little by itself is looked
        for together with the one before. It begins when the first event is asked for.
        """
        options = ask_options(
            k=k, mode=mode, min_support=min_support, max_tokens=max_tokens, links=links, documents=documents,
            max_unsupported=max_unsupported, max_context_tokens=max_context_tokens, history=history, since=since,
            before=before, formats=formats, names=names, metadata=metadata, neighbours=neighbours, wordings=wordings,
            hypothesis=hypothesis, rerank=rerank,
        )
        return Asking(self._native.ask(question, to_json("options", options)), read_answer)

    async def calibrate(
        self,
        questions: Sequence[CalibrationQuestion] = (),
        *,
        k: int = 8,
        mode: Mode = "hybrid",
        links: bool = True,
        documents: Sequence[str] = (),
    ) -> Calibration:
        """Learns from questions when to refuse, so that ``ask`` can be given ``max_unsupported``.

        How well the documents support answers is measured for questions that they answer, for the same ones with those
        documents out of sight, and for such as nothing answers. Without questions some are made of sentences of the
        documents. The options are those that questions are asked with later; each mode has a calibration of its own.
        """
        options = calibrate_options(k, mode, links, documents)
        return record(Calibration, await finished(self._native.calibrate(calibration_questions(questions), options)))

    async def evaluate(
        self,
        questions: Sequence[EvaluationQuestion | Mapping[str, Any]],
        *,
        name: str = "",
        search: Mapping[str, Any] | None = None,
        ask: Mapping[str, Any] | None = None,
        judge: ModelWriter | Endpoint | LanguageModel | None = None,
    ) -> Evaluation:
        """Asks questions whose answers are known, and scores what comes back.

        Questions may also be as KwaaiNet's files have them. ``search`` has the options of ``search`` but ``k``, and ``ask`` those
        of ``ask``; without ``ask`` only what is found is judged. ``name`` is what the report calls it. ``judge`` is a model that
        compares answers with the expected ones. A question that fails counts as wrong.
        """
        options = evaluation_options(name, search, ask, judge)
        writer = supplies(None, judge, (), running_host())[1]
        native = self._native.evaluate(evaluation_questions(questions), options, writer)
        return record(Evaluation, await finished(native))

    async def cache_stats(self) -> CacheStats:
        """What became of the answers that are kept; nothing without ``cache``."""
        return record(CacheStats, await finished(self._native.cache_stats()))

    async def cache_clear(self) -> None:
        """Forgets the answers that are kept."""
        await finished(self._native.cache_clear())

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

    async def id(self) -> str:
        """Its id, of its own and made when it was: 32 hexadecimal digits."""
        return await finished(self._native.id())

    async def revoke_share(self, capability_id: str) -> None:
        """Lets a capability of ``Node.share_knowledge`` count no more. Revoking it again does nothing."""
        await finished(self._native.revoke_share(capability_id))

    def serve(
        self,
        *,
        name: str | None = None,
        host: str | None = None,
        port: int | None = None,
        token: str | None = None,
        max_requests: int | None = None,
        max_body_bytes: int | None = None,
        max_upload_bytes: int | None = None,
    ) -> Opening[HttpServer]:
        """Serves a page for people, and a model for programs that speak OpenAI's HTTP API. Await it, or use it with ``async with``.

        ``name`` is what requests call the model, ``kwaainet-knowledge`` unless set. It listens on 127.0.0.1 and port 9090 unless set,
        and on any free port with 0. On a ``host`` that is not loopback it needs a ``token``, which every request then carries as its
        bearer token. ``max_requests`` are answered at the same time, 8 unless set; ``max_body_bytes`` are read of each, 4 MiB unless
        set, and ``max_upload_bytes`` of a document, 64 MiB unless set. It ends with what is returned, and with the knowledge base.

        Raises `BusyError` when the port is taken.
        """

        async def started() -> HttpServer:
            return HttpServer(await finished(self._native.serve(name, options)))

        options = server_options(host, port, token, max_requests, max_body_bytes, max_upload_bytes)
        return Opening(started())

    async def shutdown(self) -> None:
        """Stops what is under way and unlocks the directory. Idempotent."""
        await finished(self._native.shutdown())

    async def destroy(self) -> None:
        """Shuts down and deletes everything that was stored."""
        await finished(self._native.destroy())

    def __repr__(self) -> str:
        return shown_rag(self)


async def _open(
    dir: str,
    options: str,
    embedder: Path | EmbeddingEndpoint | Embedder | None,
    model: ModelWriter | Endpoint | LanguageModel | None,
    readers: Readers,
) -> Rag:
    brought = supplies(embedder, model, readers, running_host())
    return Rag(await finished(_native.Rag.open(dir, options, *brought)))


def rag_options(
    embedder: object,
    model: object,
    chunking: Mapping[str, Any] | None,
    language: str | None,
    cache: AnswerCache | None,
    data_dir: Path | None = None,
) -> str:
    """The options as the native module reads them."""
    options: dict[str, Any] = {
        "embedder": embedder_option(embedder),
        "endpoint": asdict(model) if isinstance(model, Endpoint) else None,
    }
    if chunking is not None:
        for name, value in chunking.items():
            rule(str if name == "strategy" else int)(f"chunking[{name!r}]", value)
        options["chunking"] = dict(chunking)
    if language is not None:
        options["language"] = language
    if cache is not None:
        rule(int)("cache.answers", cache.answers)
        rule(timedelta)("cache.ttl", cache.ttl)
        rule(float)("cache.similarity", cache.similarity)
        options["cache"] = {
            "answers": cache.answers,
            "ttl_ms": milliseconds(cache.ttl),
            "similarity": cache.similarity,
        }
    if data_dir is not None:
        options["data_dir"] = fspath(data_dir)
    return to_json("options", options)


def embedder_option(embedder: object) -> str | dict[str, Any] | None:
    """An embedder that is not the app's, as the native module reads it."""
    if isinstance(embedder, EmbeddingEndpoint):
        return asdict(embedder)
    return fspath(embedder) if isinstance(embedder, (str, PathLike)) else None


def begin_reembedding(
    native: _native.Rag, embedder: Any, host: Callable[[], Host]
) -> _native.Operation[_native.Stream]:
    own = None if is_chosen(embedder) else native_embedder(embedder, host())
    return native.reembed(to_json("embedder", embedder_option(embedder)), own)


def is_chosen(embedder: object) -> bool:
    """Whether an embedder is one of the library, by its name or behind an endpoint, or none at all."""
    return embedder is None or isinstance(embedder, (str, PathLike, EmbeddingEndpoint))


Supplies: TypeAlias = tuple[_native.Embedder | None, _native.Writer | None, list[_native.Reader]]


def supplies(embedder: Any, model: Any, readers: Readers, host: Host) -> Supplies:
    """What the app brings, for the native module. ``model`` may be of ``kwaainet`` or of ``kwaainet.sync``."""
    own = None if is_chosen(embedder) else native_embedder(embedder, host)
    writer = None
    if hasattr(model, "engine") and hasattr(model, "model"):
        rule(ShardEngine)("model.engine", model.engine)
        rule(Model)("model.model", model.model)
        rule(Route | None)("model.route", model.route)
        writer = _native.Writer.of_model(model.engine._native, model.model._native, model.route)
    elif model is not None and not isinstance(model, Endpoint):
        writer = native_model(model, host)
    return own, writer, native_readers(readers, host)


def shown_rag(rag: Any) -> str:
    state = "open" if rag._native.is_open() else "closed"
    return f"<{home(rag)}.Rag {state}>"


def begin_ingestion(
    native: _native.Rag, source: Path | bytes, name: str | None, metadata: Mapping[str, str] | None
) -> _native.Operation[_native.Stream]:
    options = to_json("metadata", {"metadata": None if metadata is None else dict(metadata)})
    if isinstance(source, (bytes, bytearray, memoryview)):
        return native.ingest_bytes(name or "", bytes(source), options)
    return native.ingest_path(fspath(source), options)


def sync_options(
    watch: bool, interval: timedelta | None, polling: bool, extensions: Sequence[str], delete: bool
) -> str:
    options = {
        "watch": watch,
        "interval_ms": None if interval is None else milliseconds(interval),
        "polling": polling,
        "extensions": list(extensions),
        "delete": delete,
    }
    return to_json("options", options)


def search_options(
    *,
    documents: Sequence[str] = (),
    since: datetime | None = None,
    before: datetime | None = None,
    formats: Sequence[str] = (),
    names: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    **options: Any,
) -> dict[str, Any]:
    return options | {
        "documents": list(documents),
        "since_ms": None if since is None else epoch_milliseconds(since),
        "before_ms": None if before is None else epoch_milliseconds(before),
        "formats": list(formats),
        "names": list(names),
        "metadata": {} if metadata is None else dict(metadata),
    }


def ask_options(*, history: Sequence[ChatMessage | Mapping[str, str]] = (), **options: Any) -> dict[str, Any]:
    turns = [asdict(turn) if isinstance(turn, ChatMessage) else dict(turn) for turn in history]
    return search_options(**options) | {"history": turns}


def evaluation_options(
    name: str, search: Mapping[str, Any] | None, ask: Mapping[str, Any] | None, judge: object
) -> str:
    for which, given in (("search", search), ("ask", ask)):
        for option, hint in _CHECKED.items():
            if given is not None and given.get(option) is not None:
                rule(hint)(f"{which}.{option}", given[option])
    options = {
        "name": name,
        "search": search_options(**(search or {})),
        "ask": None if ask is None else ask_options(**ask),
        "judge": asdict(judge) if isinstance(judge, Endpoint) else None,
    }
    return to_json("options", options)


#: What Python writes otherwise than the library reads it.
_CHECKED: dict[str, Any] = {
    "documents": Sequence[str],
    "formats": Sequence[str],
    "names": Sequence[str],
    "metadata": Mapping[str, str],
    "since": datetime,
    "before": datetime,
    "history": Sequence[ChatMessage | Mapping[str, str]],
}


def evaluation_questions(questions: Sequence[EvaluationQuestion | Mapping[str, Any]]) -> str:
    plain = [asdict(asked) if isinstance(asked, EvaluationQuestion) else dict(asked) for asked in questions]
    return to_json("questions", plain)


def calibrate_options(k: int, mode: Mode, links: bool, documents: Sequence[str]) -> str:
    return to_json("options", {"k": k, "mode": mode, "links": links, "documents": list(documents)})


def calibration_questions(questions: Sequence[CalibrationQuestion]) -> str:
    for place, asked in enumerate(questions):
        rule(str)(f"questions[{place}].question", asked.question)
        rule(Sequence[str])(f"questions[{place}].documents", asked.documents)
    asked_of = [{"question": asked.question, "documents": list(asked.documents)} for asked in questions]
    return to_json("questions", asked_of)


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


_SYNC: dict[str, type[Any]] = {
    "compared": SyncCompared,
    "reading": SyncReading,
    "embedded": SyncEmbedded,
    "added": SyncAdded,
    "changed": SyncChanged,
    "moved": SyncMoved,
    "deleted": SyncDeleted,
    "missing": SyncMissing,
    "failed": SyncFailed,
    "finished": SyncFinished,
    "watching": SyncWatching,
}


def read_sync(data: dict[str, Any]) -> SyncEvent:
    event: SyncEvent = tagged(_SYNC, data)
    return event


_REEMBED: dict[str, type[Any]] = {
    "found": ReembedFound,
    "embedded": ReembedEmbedded,
    "finished": ReembedFinished,
}


def read_reembedding(data: dict[str, Any]) -> ReembedEvent:
    event: ReembedEvent = tagged(_REEMBED, data)
    return event


_OUTSOURCE: dict[str, type[Any]] = {
    "found": OutsourceFound,
    "brought": OutsourceBrought,
    "finished": OutsourceFinished,
}


def read_outsourcing(data: dict[str, Any]) -> OutsourceEvent:
    event: OutsourceEvent = tagged(_OUTSOURCE, data)
    return event


def read_answer(data: dict[str, Any]) -> AskEvent:
    if data["kind"] == "done":
        return AnswerDone(record(Answer, data["answer"]))
    event: AskEvent = tagged({"text": AnswerText, "retracted": AnswerRetracted}, data)
    return event
