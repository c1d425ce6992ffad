"""The same objects for programs without an event loop: every call blocks until it is done.

Other threads run on meanwhile, and Ctrl-C works. ``with timeout(seconds):`` limits how long the calls in it may take.
Records, events and errors are those of ``kwaainet``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, cast

from . import _native
from ._checks import checked, home, milliseconds, real_milliseconds, rule, to_json
from ._records import Floats, maybe_record, record, records
from .errors import InvalidArgumentError, KwaaiTimeoutError
from .federation import (
    FederatedResult,
    KnowledgeCapability,
    ProvenHit,
    federated,
    federated_options,
    hits_json,
    shared_options,
    sharing,
)
from .http import server_options, shown_server
from .node import (
    BlockShare,
    Diagnosis,
    Message,
    Metrics,
    NodeEvent,
    NodeInfo,
    PeerInfo,
    Preset,
    contribution,
    grace_ms,
    node_config,
    read_event,
    read_message,
    shown_node,
)
from .provide import PRIVATE_HOST, Embedder, LanguageModel, Readers, Signer, native_signer
from .rag import (
    Answer,
    AnswerCache,
    AnswerDone,
    AskEvent,
    CacheStats,
    Calibration,
    CalibrationQuestion,
    DocumentInfo,
    EmbeddingEndpoint,
    Endpoint,
    Evaluation,
    EvaluationQuestion,
    Hit,
    IngestEvent,
    IngestFinished,
    Mode,
    Progress,
    OutsourceEvent,
    OutsourceFinished,
    ReembedEvent,
    ReembedFinished,
    SearchResult,
    Stats,
    SyncEvent,
    SyncFinished,
    ask_options,
    begin_ingestion,
    begin_reembedding,
    calibrate_options,
    calibration_questions,
    evaluation_options,
    evaluation_questions,
    rag_options,
    read_answer,
    read_progress,
    read_outsourcing,
    read_reembedding,
    read_sync,
    search_options,
    shown_rag,
    supplies,
    sync_options,
)
from .served import served
from .shard import (
    BlockCalibration,
    Blocks,
    ChatMessage,
    Completion,
    Coverage,
    DownloadEvent,
    DownloadFinished,
    DownloadedModel,
    GenerateEvent,
    Messages,
    ModelBenchmark,
    ModelInfo,
    Offer,
    Route,
    block_choice,
    completion,
    downloaded_at,
    generate_request,
    matrix,
    read_download,
    read_token,
    shown_engine,
    shown_model,
    sizing_options,
    speed_options,
)
from .streams import BATCH, Source
from .trust import (
    ClaimTest,
    Credential,
    CredentialSummary,
    Disclosure,
    DtgCredential,
    GlobalTrust,
    IdentityBinding,
    ImportedCredentials,
    KeptStatusList,
    LegacyCredential,
    LinkType,
    Minimum,
    Outcome,
    PledgeWithdrawal,
    Purpose,
    Reputation,
    Score,
    Sightings,
    Status,
    StatusRefresh,
    TakenWord,
    Thresholds,
    Tier,
    TrustedIssuer,
    TrustStatement,
    VerifiedPresentation,
    WalletState,
    WantedStatusList,
    instant,
    issue_arguments,
    shown_graph,
    trust_options,
)

from .vpk import (
    AuditReport,
    BenchmarkStep,
    CollectionConfig,
    CollectionStats,
    FoundVectors,
    HostedVectors,
    HostOffer,
    HostReport,
    Leakage,
    Metric,
    Privacy,
    Repair,
    Vector,
    Vectors,
    benchmark_options,
    collection_options,
    filter_json,
    host_options,
    named,
    placement_options,
    read_step,
    recover_options,
    shown_collection,
    shown_console,
    shown_vpk,
    upsert_arguments,
)

if TYPE_CHECKING:
    from ._native import Operation

T = TypeVar("T")
Path: TypeAlias = str | PathLike[str]


#: When the calls of this thread have to be done, by the monotonic clock.
_deadline: ContextVar[float | None] = ContextVar("kwaainet.sync.deadline", default=None)


@contextmanager
def timeout(limit: float | timedelta) -> Iterator[None]:
    """Limits what is in the block to seconds, or a timedelta, all calls and all reading of streams together.

    The call that is not done in time is cancelled and raises ``KwaaiTimeoutError``, which is a ``TimeoutError``; so do
    those that come after it in the block. It counts for this thread. In a ``timeout`` within another the shorter one
    counts. What ``with`` opened in the block is closed all the same. A stream goes on after a read that was overdue.
    """
    _limit("limit", limit)
    seconds = limit.total_seconds() if isinstance(limit, timedelta) else limit
    own, outer = time.monotonic() + seconds, _deadline.get()
    with _until(own if outer is None else min(own, outer)):
        yield


def waited(operation: Operation[T]) -> T:
    """Makes the call and blocks until it is done, within the limit of the block."""
    deadline = _deadline.get()
    if deadline is None:
        return operation.wait()
    return operation.wait(ceil(max(deadline - time.monotonic(), 0) * 1000))


def _limit(name: str, limit: float | timedelta) -> None:
    rule(float | timedelta)(name, limit)
    if not isinstance(limit, timedelta) and limit < 0:
        raise InvalidArgumentError(f"{name} must not be negative")


@contextmanager
def _until(deadline: float | None) -> Iterator[None]:
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def _unlimited() -> AbstractContextManager[None]:
    return _until(None)


class _Closing:
    """``with`` shuts it down at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What is open is closed, also when the time of the block is up.
        with _unlimited():
            self.shutdown()

    def shutdown(self) -> Any:
        raise NotImplementedError


class EventStream(Iterator[T]):
    """An iterator. ``close()``, or the end of ``with``, stops the work behind it."""

    def __init__(self, stream: Operation[_native.Stream] | _native.Stream, read: Callable[[Any], T]) -> None:
        self._source = Source(stream, read)

    @property
    def missed(self) -> int:
        """How many values were dropped because nobody read them in time."""
        return self._source.missed

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        source = self._source
        while (value := source.take()) is None:
            if source.ended:
                raise StopIteration
            if source.native is None:
                assert source.opening is not None
                try:
                    source.native = waited(source.opening)
                except BaseException:
                    source.ended = True
                    raise
            try:
                source.add(waited(source.native.next_batch(BATCH)))
            except KwaaiTimeoutError:
                # A read that is overdue takes nothing. A stream that ended so itself says nothing more.
                raise
            except BaseException:
                source.ended = True
                raise
        return value

    def close(self) -> None:
        """Stops the work behind the stream. What is durable already stays."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@checked
class TrustGraph(_Closing):
    """What this node knows about the trustworthiness of others. See ``kwaainet.TrustGraph``."""

    def __init__(self, native: _native.TrustGraph) -> None:
        self._native = native

    @staticmethod
    def open(
        dir: Path | None = None,
        *,
        signer: Signer | None = None,
        seed: int | None = None,
        clock: str | datetime | None = None,
    ) -> TrustGraph:
        own = native_signer(signer, PRIVATE_HOST)
        return TrustGraph(waited(_native.TrustGraph.open(trust_options(dir, seed, clock), own)))

    @property
    def did(self) -> str:
        return self._native.did

    def issue(
        self,
        type: str,
        subject: str,
        claims: Mapping[str, Any] | None = None,
        *,
        valid_for: timedelta | None = None,
        revocable: bool = False,
    ) -> Credential:
        arguments = issue_arguments(type, subject, claims, valid_for)
        return record(Credential, waited(self._native.issue(*arguments, revocable)))

    def revoke(self, credential_id: str) -> None:
        waited(self._native.revoke(credential_id))

    def suspend(self, credential_id: str) -> None:
        waited(self._native.suspend(credential_id))

    def reinstate(self, credential_id: str) -> None:
        waited(self._native.reinstate(credential_id))

    def status(self, credential: str) -> Status:
        return record(Status, waited(self._native.status(credential)))

    def status_lists(self) -> list[str]:
        return waited(self._native.status_lists())

    def status_list(self, url: str) -> str:
        return waited(self._native.status_list(url))

    def keep_status_list(self, list: str) -> KeptStatusList:
        return record(KeptStatusList, waited(self._native.keep_status_list(list)))

    def wanted_status_lists(self) -> list[WantedStatusList]:
        return records(WantedStatusList, waited(self._native.wanted_status_lists()))

    def verify(self, credential: str) -> Credential:
        return record(Credential, waited(self._native.verify(credential)))

    def read_legacy(self, credential: str) -> LegacyCredential:
        return record(LegacyCredential, waited(self._native.read_legacy(credential)))

    def read_dtg(self, credential: str) -> DtgCredential | None:
        return maybe_record(DtgCredential, waited(self._native.read_dtg(credential)))

    def import_credential(self, credential: str) -> CredentialSummary:
        return record(CredentialSummary, waited(self._native.import_credential(credential)))

    def credentials(
        self, *, subject: str | None = None, issuer: str | None = None, type: str | None = None
    ) -> list[CredentialSummary]:
        return records(CredentialSummary, waited(self._native.credentials(subject, issuer, type)))

    def credential(self, id: str) -> Credential:
        return record(Credential, waited(self._native.credential(id)))

    def remove_credential(self, id: str) -> None:
        waited(self._native.remove_credential(id))

    def export_credentials(self) -> str:
        return waited(self._native.export_credentials())

    def import_credentials(self, bundle: str) -> ImportedCredentials:
        return record(ImportedCredentials, waited(self._native.import_credentials(bundle)))

    def set_passphrase(self, passphrase: str) -> None:
        waited(self._native.set_passphrase(passphrase))

    def remove_passphrase(self) -> None:
        waited(self._native.remove_passphrase())

    def unlock(self, passphrase: str) -> None:
        waited(self._native.unlock(passphrase))

    def lock(self) -> None:
        waited(self._native.lock())

    def wallet_state(self) -> WalletState:
        return cast(WalletState, waited(self._native.wallet_state()))

    def issuers(self) -> list[TrustedIssuer]:
        return records(TrustedIssuer, waited(self._native.issuers()))

    def trust_issuer(self, did: str, types: Sequence[str]) -> None:
        waited(self._native.trust_issuer(did, list(types)))

    def distrust_issuer(self, did: str) -> None:
        waited(self._native.distrust_issuer(did))

    def score(self, peer: str) -> Score:
        return record(Score, waited(self._native.score(peer)))

    def scores(self, peers: Sequence[str]) -> list[Score]:
        return records(Score, waited(self._native.scores(list(peers))))

    def policy(self) -> dict[Purpose, Minimum]:
        return cast(dict[Purpose, Minimum], waited(self._native.policy()))

    def set_policy(self, policy: Mapping[Purpose, Minimum]) -> None:
        waited(self._native.set_policy(to_json("policy", dict(policy))))

    def require(self, peer: str, purpose: Purpose) -> None:
        waited(self._native.require(peer, purpose))

    def disclosures(self) -> dict[Tier, Disclosure]:
        return cast(dict[Tier, Disclosure], waited(self._native.disclosures()))

    def set_disclosures(self, disclosures: Mapping[Tier, Disclosure]) -> None:
        waited(self._native.set_disclosures(dict(disclosures)))

    def thresholds(self) -> Thresholds:
        return record(Thresholds, waited(self._native.thresholds()))

    def set_thresholds(self, thresholds: Thresholds) -> None:
        waited(self._native.set_thresholds(to_json("thresholds", vars(thresholds))))

    def record(
        self,
        peer: str,
        outcome: Outcome,
        *,
        latency: timedelta | None = None,
        promised: float | None = None,
        delivered: float | None = None,
    ) -> None:
        waited(self._native.record(peer, outcome, real_milliseconds(latency), promised, delivered))

    def reputation(self, peer: str) -> Reputation | None:
        return maybe_record(Reputation, waited(self._native.reputation(peer)))

    def reputations(self) -> list[Reputation]:
        return records(Reputation, waited(self._native.reputations()))

    def add_recommendation(
        self, recommender: str, about: str, good: float, bad: float, *, at: str | datetime | None = None
    ) -> None:
        waited(self._native.add_recommendation(recommender, about, good, bad, instant(at)))

    def propagate(self, *, pretrusted: Sequence[str] | None = None, alpha: float | None = None) -> list[GlobalTrust]:
        chosen = None if pretrusted is None else list(pretrusted)
        return records(GlobalTrust, waited(self._native.propagate(chosen, alpha)))

    def flush(self) -> None:
        waited(self._native.flush())

    def reset_reputation(self, peer: str) -> None:
        waited(self._native.reset_reputation(peer))

    def tests(self, credential_id: str) -> list[ClaimTest]:
        return records(ClaimTest, waited(self._native.tests(credential_id)))

    def sight(self, peer: str, up: bool) -> None:
        waited(self._native.sight(peer, up))

    def sightings(self, peer: str) -> Sightings | None:
        return maybe_record(Sightings, waited(self._native.sightings(peer)))

    def issue_uptime(self, peer: str, *, valid_for: timedelta | None = None) -> Credential:
        valid_for_ms = None if valid_for is None else milliseconds(valid_for)
        return record(Credential, waited(self._native.issue_uptime(peer, valid_for_ms)))

    def issue_binding(self, subject: str, link_type: LinkType, *, valid_for: timedelta | None = None) -> Credential:
        valid_for_ms = None if valid_for is None else milliseconds(valid_for)
        return record(Credential, waited(self._native.issue_binding(subject, link_type, valid_for_ms)))

    def bindings(self, did: str) -> list[IdentityBinding]:
        return records(IdentityBinding, waited(self._native.bindings(did)))

    def present(
        self,
        audience: str,
        challenge: str,
        *,
        subject: str | None = None,
        issuer: str | None = None,
        type: str | None = None,
    ) -> str:
        return waited(self._native.present(audience, challenge, subject, issuer, type))

    def verify_presentation(self, presentation: str, audience: str, challenge: str) -> VerifiedPresentation:
        native = self._native.verify_presentation(presentation, audience, challenge)
        return record(VerifiedPresentation, waited(native))

    def request_pledge(self, issuer: str, text: str, *, name: str | None = None) -> str:
        return waited(self._native.request_pledge(issuer, text, name))

    def issue_pledge(
        self, request: str, text: str, *, name: str | None = None, valid_for: timedelta | None = None
    ) -> Credential:
        valid_for_ms = None if valid_for is None else milliseconds(valid_for)
        return record(Credential, waited(self._native.issue_pledge(request, text, name, valid_for_ms)))

    def accept_pledge(self, credential: str, text: str, *, name: str | None = None) -> CredentialSummary:
        return record(CredentialSummary, waited(self._native.accept_pledge(credential, text, name)))

    def withdraw_pledge(self, credential_id: str) -> str:
        return waited(self._native.withdraw_pledge(credential_id))

    def import_withdrawal(self, withdrawal: str) -> str:
        return waited(self._native.import_withdrawal(withdrawal))

    def withdrawals(self) -> list[PledgeWithdrawal]:
        return records(PledgeWithdrawal, waited(self._native.withdrawals()))

    def pledge_to_revoke(self, withdrawal: str) -> Credential:
        return record(Credential, waited(self._native.pledge_to_revoke(withdrawal)))

    def advance_clock(self, by: timedelta) -> None:
        self._native.advance_clock(milliseconds(by))

    def shutdown(self) -> None:
        self._native.shutdown()

    def __repr__(self) -> str:
        return shown_graph(self)


class Generation(EventStream[GenerateEvent]):
    """Tokens as they are made, then ``Done``."""

    def done(self) -> Completion:
        """Reads to the end and returns the whole text."""
        return completion(list(self))


class Download(EventStream[DownloadEvent]):
    """What comes from a hub. Leaving it early stops it; what came stays."""

    def done(self) -> DownloadFinished:
        """Reads to the end and returns where the model is."""
        return downloaded_at(list(self))


class Ingestion(EventStream[IngestEvent]):
    """The progress of an ingestion. Leaving it early stops between documents."""

    progress = Progress()
    """How far it is, by the events read so far."""

    def __next__(self) -> IngestEvent:
        event = super().__next__()
        self.progress = self.progress.after(event)
        return event

    def done(self) -> IngestFinished:
        """Reads to the end and returns the totals."""
        last: IngestEvent | None = None
        for last in self:
            pass
        assert isinstance(last, IngestFinished), "an ingestion ends with its totals or an error"
        return last


class Syncing(EventStream[SyncEvent]):
    """How a folder is kept alike. Closing it ends a watch; what was reported done stays."""

    def done(self) -> SyncFinished:
        """Reads to the end of the pass and returns its totals, without a watch."""
        last: SyncEvent | None = None
        for last in self:
            pass
        assert isinstance(last, SyncFinished), "a pass ends with its totals or an error"
        return last


class Reembedding(EventStream[ReembedEvent]):
    """How a change of the embedder gets on. Leaving it early stops the work; what was embedded is kept for the next time."""

    def done(self) -> ReembedFinished:
        """Reads to the end and returns the totals."""
        last: ReembedEvent | None = None
        for last in self:
            pass
        assert isinstance(last, ReembedFinished), "a change of the embedder ends with its totals or an error"
        return last


class Outsourcing(EventStream[OutsourceEvent]):
    """How vectors get to a collection. Leaving it early stops the work; what the collection has is kept for the next time."""

    def done(self) -> OutsourceFinished:
        """Reads to the end and returns the totals."""
        last: OutsourceEvent | None = None
        for last in self:
            pass
        assert isinstance(last, OutsourceFinished), "vectors get to a collection with their totals or an error"
        return last


class Asking(EventStream[AskEvent]):
    """An answer as it is written."""

    def done(self) -> Answer:
        """Reads to the end and returns the whole answer."""
        last: AskEvent | None = None
        for last in self:
            pass
        assert isinstance(last, AnswerDone), "an answer ends with its sources or an error"
        return last.answer


@checked
class Model(_Closing):
    """A loaded model. See ``kwaainet.Model``."""

    def __init__(self, native: _native.Model) -> None:
        self._native = native
        self._info = record(ModelInfo, native.info())

    @property
    def id(self) -> str:
        return self._info.id

    @property
    def name(self) -> str:
        return self._info.name

    @property
    def blocks(self) -> int:
        return self._info.blocks

    @property
    def info(self) -> ModelInfo:
        return self._info

    def shutdown(self) -> None:
        self._native.shutdown()

    def __repr__(self) -> str:
        return shown_model(self)


@checked
class ShardEngine(_Closing):
    """Loads models, serves their blocks, and generates. See ``kwaainet.ShardEngine``."""

    def __init__(self, native: _native.ShardEngine) -> None:
        self._native = native

    @staticmethod
    def open() -> ShardEngine:
        return ShardEngine(waited(_native.ShardEngine.open()))

    def load(self, model: Path, *, blocks: Blocks = "all") -> Model:
        return Model(waited(self._native.load(fspath(model), block_choice(blocks))))

    def download(self, model: Path, *, blocks: Blocks = "all") -> Download:
        return Download(self._native.download(fspath(model), block_choice(blocks)), read_download)

    def downloaded(self) -> list[DownloadedModel]:
        return records(DownloadedModel, waited(self._native.downloaded()))

    def remove_download(self, model: str) -> int:
        return waited(self._native.remove_download(model))

    def serve(self, model: Path, start_block: int, end_block: int) -> Offer:
        return record(Offer, waited(self._native.serve(fspath(model), start_block, end_block)))

    def stop_serving(self, model_id: str) -> None:
        waited(self._native.stop_serving(model_id))

    def served(self) -> list[Offer]:
        return records(Offer, waited(self._native.served()))

    def coverage(self, model: Model) -> Coverage:
        return record(Coverage, waited(self._native.coverage(model._native)))

    def calibrate(
        self, model: Path, *, memory_bytes: int | None = None, sessions: int | None = None, tokens: int | None = None
    ) -> BlockCalibration:
        options = sizing_options(memory_bytes, sessions, tokens)
        return record(BlockCalibration, waited(self._native.calibrate(fspath(model), options)))

    def benchmark(
        self,
        model: Model,
        *,
        prompt_tokens: int | None = None,
        warm_up: int | None = None,
        steps: int | None = None,
        sessions: int | None = None,
        seed: int | None = None,
        route: Route | None = None,
    ) -> ModelBenchmark:
        options = speed_options(prompt_tokens, warm_up, steps, sessions, seed, route)
        return record(ModelBenchmark, waited(self._native.benchmark(model._native, options)))

    def chat(
        self,
        model: Model,
        messages: Messages,
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        stop: Sequence[str] = (),
        route: Route | None = None,
    ) -> Generation:
        request = generate_request(messages, max_tokens, temperature, top_p, top_k, seed, stop)
        return Generation(self._native.generate(model._native, request, route), read_token)

    def logits(self, model: Model, tokens: Sequence[int], *, route: Route | None = None) -> Floats:
        return matrix(waited(self._native.logits(model._native, list(tokens), route)))

    def embed(self, texts: Sequence[str], *, model: Path | None = None, query: bool = False) -> Floats:
        return matrix(waited(self._native.embed(list(texts), None if model is None else fspath(model), query)))

    def shutdown(self) -> None:
        self._native.shutdown()

    def __repr__(self) -> str:
        return shown_engine(self)


@dataclass(frozen=True)
class ModelWriter:
    """A model in blocks that writes the answers."""

    engine: ShardEngine
    model: Model
    route: Route | None = None


@checked
class Rag(_Closing):
    """A private knowledge base. See ``kwaainet.Rag``."""

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
    ) -> Rag:
        options = rag_options(embedder, model, chunking, language, cache)
        brought = supplies(embedder, model, readers, PRIVATE_HOST)
        return Rag(waited(_native.Rag.open(fspath(dir), options, *brought)))

    def ingest(
        self, source: Path | bytes, *, name: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Ingestion:
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
        options = sync_options(watch, interval, polling, extensions, delete)
        return Syncing(self._native.sync(fspath(folder), options), read_sync)

    def reembed(self, embedder: Path | EmbeddingEndpoint | Embedder) -> Reembedding:
        return Reembedding(begin_reembedding(self._native, embedder, lambda: PRIVATE_HOST), read_reembedding)

    def outsource(self, collection: VectorCollection, *, texts: bool = False) -> Outsourcing:
        return Outsourcing(self._native.outsource(collection._native, texts), read_outsourcing)

    def search(
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
        options = search_options(
            mode=mode, links=links, documents=documents, since=since, before=before, diversity=diversity,
            dense_weight=dense_weight, formats=formats, names=names, metadata=metadata, neighbours=neighbours, timed=timed,
            wordings=wordings, hypothesis=hypothesis, rerank=rerank,
        )
        return record(SearchResult, waited(self._native.search(text, k, to_json("options", options))))

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
        options = ask_options(
            k=k, mode=mode, min_support=min_support, max_tokens=max_tokens, links=links, documents=documents,
            max_unsupported=max_unsupported, max_context_tokens=max_context_tokens, history=history, since=since,
            before=before, formats=formats, names=names, metadata=metadata, neighbours=neighbours, wordings=wordings,
            hypothesis=hypothesis, rerank=rerank,
        )
        return Asking(self._native.ask(question, to_json("options", options)), read_answer)

    def calibrate(
        self,
        questions: Sequence[CalibrationQuestion] = (),
        *,
        k: int = 8,
        mode: Mode = "hybrid",
        links: bool = True,
        documents: Sequence[str] = (),
    ) -> Calibration:
        options = calibrate_options(k, mode, links, documents)
        return record(Calibration, waited(self._native.calibrate(calibration_questions(questions), options)))

    def evaluate(
        self,
        questions: Sequence[EvaluationQuestion | Mapping[str, Any]],
        *,
        name: str = "",
        search: Mapping[str, Any] | None = None,
        ask: Mapping[str, Any] | None = None,
        judge: ModelWriter | Endpoint | LanguageModel | None = None,
    ) -> Evaluation:
        options = evaluation_options(name, search, ask, judge)
        writer = supplies(None, judge, (), PRIVATE_HOST)[1]
        native = self._native.evaluate(evaluation_questions(questions), options, writer)
        return record(Evaluation, waited(native))

    def cache_stats(self) -> CacheStats:
        return record(CacheStats, waited(self._native.cache_stats()))

    def cache_clear(self) -> None:
        waited(self._native.cache_clear())

    def documents(self) -> list[DocumentInfo]:
        return records(DocumentInfo, waited(self._native.documents()))

    def document_text(self, id: str) -> str:
        return waited(self._native.document_text(id))

    def delete_document(self, id: str) -> None:
        waited(self._native.delete_document(id))

    def stats(self) -> Stats:
        return record(Stats, waited(self._native.stats()))

    def id(self) -> str:
        return waited(self._native.id())

    def revoke_share(self, capability_id: str) -> None:
        waited(self._native.revoke_share(capability_id))

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
    ) -> HttpServer:
        options = server_options(host, port, token, max_requests, max_body_bytes, max_upload_bytes)
        return HttpServer(waited(self._native.serve(name, options)))

    def shutdown(self) -> None:
        waited(self._native.shutdown())

    def destroy(self) -> None:
        waited(self._native.destroy())

    def __repr__(self) -> str:
        return shown_rag(self)


@checked
class SharedKnowledge:
    def __init__(self, native: _native.SharedKnowledge) -> None:
        self._native = native

    @property
    def capability(self) -> KnowledgeCapability:
        return record(KnowledgeCapability, self._native.capability())

    def search(
        self, text: str, *, k: int = 8, mode: Mode = "hybrid", timeout: timedelta | None = None
    ) -> list[ProvenHit]:
        return records(ProvenHit, waited(self._native.search(text, k, shared_options(mode, timeout))))

    def __repr__(self) -> str:
        return f"<{home(self)}.SharedKnowledge {self.capability.name!r}>"


@checked
class Federation:
    def __init__(self, native: _native.Federation) -> None:
        self._native = native

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(self._native.members())

    def search(
        self,
        text: str,
        *,
        k: int = 8,
        mode: Mode = "hybrid",
        links: bool = False,
        dense_weight: float | None = None,
        timeout: timedelta | None = None,
    ) -> FederatedResult:
        options = federated_options(mode, links, dense_weight, timeout)
        return record(FederatedResult, waited(self._native.search(text, k, options)))

    def __repr__(self) -> str:
        return f"<{home(self)}.Federation of {', '.join(map(repr, self.members))}>"


@checked
class VectorCollection(_Closing):
    """Vectors at hosts that cannot read them. See ``kwaainet.VectorCollection``."""

    def __init__(self, native: _native.VectorCollection) -> None:
        self._native = native

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def id(self) -> str:
        return self._native.id

    @property
    def config(self) -> CollectionConfig:
        return record(CollectionConfig, self._native.config())

    @property
    def leakage(self) -> Leakage:
        return record(Leakage, self._native.leakage())

    def stats(self) -> CollectionStats:
        return record(CollectionStats, waited(self._native.stats()))

    def upsert(
        self,
        ids: Sequence[int],
        vectors: Vectors,
        *,
        payloads: Sequence[bytes | None] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        waited(self._native.upsert(*upsert_arguments(ids, vectors, payloads, metadata)))

    def delete(self, ids: Sequence[int]) -> int:
        return waited(self._native.delete(list(ids)))

    def search(self, vector: Vector, *, k: int = 10, filter: Mapping[str, Any] | None = None) -> FoundVectors:
        return record(FoundVectors, waited(self._native.search(vector, k, filter_json(filter))))

    def flush(self) -> None:
        waited(self._native.flush())

    def verify(self) -> list[HostReport]:
        return records(HostReport, waited(self._native.verify()))

    def repair(self, hosts: Sequence[str] | None = None) -> Repair:
        return record(Repair, waited(self._native.repair(named(hosts))))

    def rotate(self) -> None:
        waited(self._native.rotate())

    def export_key(self, passphrase: str) -> str:
        return waited(self._native.export_key(passphrase))

    def export_key_to(self, device: str) -> str:
        return waited(self._native.export_key_to(device))

    def shutdown(self) -> None:
        self._native.shutdown()

    def destroy(self) -> None:
        waited(self._native.destroy())

    def __repr__(self) -> str:
        return shown_collection(self)


@checked
class HostConsole(_Closing):
    """A page about this host. See ``kwaainet.HostConsole``."""

    def __init__(self, native: _native.HostConsole) -> None:
        self._native = native

    @property
    def url(self) -> str:
        return self._native.url

    def shutdown(self) -> None:
        self._native.shutdown()

    def __repr__(self) -> str:
        return shown_console(self)


@checked
class HttpServer(_Closing):
    """Answers programs that speak OpenAI's HTTP API. See ``kwaainet.HttpServer``."""

    def __init__(self, native: _native.HttpServer) -> None:
        self._native = native

    @property
    def address(self) -> str:
        return self._native.address

    @property
    def port(self) -> int:
        return self._native.port

    @property
    def base_url(self) -> str:
        return self._native.base_url

    def shutdown(self, *, grace: timedelta | None = None) -> None:
        waited(self._native.shutdown(grace_ms(grace)))

    def __repr__(self) -> str:
        return shown_server(self)


@checked
class Vpk:
    """What a node keeps for others, and others for it. See ``kwaainet.Vpk``."""

    def __init__(self, native: _native.Vpk) -> None:
        self._native = native

    def host(
        self,
        capacity_bytes: int,
        *,
        tenant_bytes: int | None = None,
        tenant_collections: int | None = None,
        memory_bytes: int | None = None,
        min_tier: Tier | None = None,
    ) -> None:
        options = host_options(tenant_bytes, tenant_collections, memory_bytes, min_tier)
        waited(self._native.host(capacity_bytes, options))

    def stop_hosting(self) -> None:
        waited(self._native.stop_hosting())

    def hosted(self) -> HostedVectors | None:
        return maybe_record(HostedVectors, waited(self._native.hosted()))

    def evict(self, owner: str) -> None:
        waited(self._native.evict(owner))

    def create(
        self,
        name: str,
        dimension: int,
        privacy: Privacy,
        hosts: Sequence[str],
        *,
        metric: Metric | None = None,
        colluding: int | None = None,
        replicas: int | None = None,
        free_bytes: int | None = None,
        min_tier: Tier | None = None,
        distinct_networks: bool | None = None,
    ) -> VectorCollection:
        placement = placement_options(free_bytes, min_tier, distinct_networks)
        options = collection_options(dimension, privacy, hosts, metric, colluding, replicas, placement)
        return VectorCollection(waited(self._native.create(name, options)))

    def discover(
        self,
        *,
        free_bytes: int | None = None,
        min_tier: Tier | None = None,
        distinct_networks: bool | None = None,
    ) -> list[HostOffer]:
        options = to_json("options", placement_options(free_bytes, min_tier, distinct_networks))
        return records(HostOffer, waited(self._native.discover(options)))

    def audit(self, name: str) -> AuditReport:
        return record(AuditReport, waited(self._native.audit(name)))

    def open(self, name: str) -> VectorCollection:
        return VectorCollection(waited(self._native.open(name)))

    def benchmark(
        self,
        *,
        sizes: Sequence[int] | None = None,
        dimension: int | None = None,
        privacies: Sequence[Privacy] | None = None,
        hosts: Sequence[str] | None = None,
        questions: int | None = None,
        seed: int | None = None,
    ) -> EventStream[BenchmarkStep]:
        options = benchmark_options(sizes, dimension, privacies, hosts, questions, seed)
        return EventStream(self._native.benchmark(options), read_step)

    def device(self) -> str:
        return waited(self._native.device())

    def resolve(self, collection_id: str) -> list[str]:
        return waited(self._native.resolve(collection_id))

    def recover(
        self,
        name: str,
        exported: str,
        *,
        passphrase: str | None = None,
        exported_by: str | None = None,
        hosts: Sequence[str] | None = None,
        partial: bool | None = None,
    ) -> VectorCollection:
        options = recover_options(passphrase, exported_by, hosts, partial)
        return VectorCollection(waited(self._native.recover(name, exported, options)))

    def console(self, *, port: int | None = None) -> HostConsole:
        return HostConsole(waited(self._native.console(port)))

    def collections(self) -> list[str]:
        return waited(self._native.collections())

    def destroy(self, name: str) -> None:
        waited(self._native.destroy(name))

    def __repr__(self) -> str:
        return shown_vpk(self)


@checked
class Node(_Closing):
    """A running node. See ``kwaainet.Node``."""

    def __init__(self, native: _native.Node) -> None:
        self._native = native

    @staticmethod
    def start(
        *,
        preset: Preset | None = None,
        name: str | None = None,
        data_dir: Path | None = None,
        identity_key: Path | None = None,
        listen: Sequence[str] | None = None,
        bootstrap: Sequence[str] | None = None,
        mdns: bool | None = None,
        hivemind: bool | None = None,
        trusted_relays: Sequence[str] | None = None,
        relay: bool | None = None,
        relay_limits: Mapping[str, int] | None = None,
        announce_addr: Sequence[str] | None = None,
        public_ip: str | None = None,
        public_port: int | None = None,
        force_private: bool | None = None,
        identify_min_confirmations: int | None = None,
        identify_timeout: timedelta | None = None,
        upnp: bool | None = None,
        peer_cache: bool | None = None,
        limits: Mapping[str, int | float] | None = None,
        seed: int | None = None,
        clock: str | datetime | None = None,
    ) -> Node:
        config = node_config(
            preset, name, data_dir, identity_key, listen, bootstrap, mdns, hivemind, trusted_relays, relay, relay_limits,
            announce_addr, public_ip, public_port, force_private, identify_min_confirmations, identify_timeout, upnp,
            peer_cache, limits, seed, clock,
        )
        return Node(waited(_native.Node.start(config)))

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def peer_id(self) -> str:
        return self._native.peer_id

    @property
    def did(self) -> str:
        return self._native.did

    def info(self) -> NodeInfo:
        return record(NodeInfo, waited(self._native.info()))

    def peers(self) -> list[PeerInfo]:
        return records(PeerInfo, waited(self._native.peers()))

    def diagnose(self) -> list[Diagnosis]:
        return records(Diagnosis, waited(self._native.diagnose()))

    def metrics(self) -> Metrics:
        return record(Metrics, waited(self._native.metrics()))

    def connect(self, address: str) -> str:
        return waited(self._native.connect(address))

    def disconnect(self, peer: str) -> None:
        waited(self._native.disconnect(peer))

    def find_peer(self, peer: str) -> list[str]:
        return waited(self._native.find_peer(peer))

    def probe(self, peer: str) -> PeerInfo:
        return record(PeerInfo, waited(self._native.probe(peer)))

    def ask_trust(self, peer: str, about: str, *, at_least: Minimum | None = None) -> TrustStatement:
        return record(TrustStatement, waited(self._native.ask_trust(peer, about, to_json("at_least", at_least))))

    def ask_word(self, peer: str) -> TakenWord:
        return record(TakenWord, waited(self._native.ask_word(peer)))

    def refresh_status_lists(self) -> StatusRefresh:
        return record(StatusRefresh, waited(self._native.refresh_status_lists()))

    def test_credential(
        self,
        credential_id: str,
        *,
        model: Model | None = None,
        tolerance: float | None = None,
        tokens: int | None = None,
        seed: int | None = None,
    ) -> ClaimTest:
        chosen = None if model is None else model._native
        return record(ClaimTest, waited(self._native.test_credential(credential_id, chosen, tolerance, tokens, seed)))

    def sight(self, peer: str) -> bool:
        return waited(self._native.sight(peer))

    def watch_peers(self, period: timedelta) -> None:
        waited(self._native.watch_peers(milliseconds(period)))

    def issue_throughput(
        self,
        peer: str,
        model: Model,
        *,
        tokens: int | None = None,
        runs: int | None = None,
        seed: int | None = None,
        valid_for: timedelta | None = None,
    ) -> Credential:
        valid_for_ms = None if valid_for is None else milliseconds(valid_for)
        issued = self._native.issue_throughput(peer, model._native, tokens, runs, seed, valid_for_ms)
        return record(Credential, waited(issued))

    def send_message(self, peer: str, text: str) -> None:
        waited(self._native.send_message(peer, text))

    def messages(self) -> EventStream[Message]:
        return EventStream(self._native.messages(), read_message)

    def events(self) -> EventStream[NodeEvent]:
        return EventStream(self._native.events(), read_event)

    def trust(self) -> TrustGraph:
        return TrustGraph(self._native.trust())

    def shards(self) -> ShardEngine:
        return ShardEngine(self._native.shards())

    def vpk(self) -> Vpk:
        return Vpk(self._native.vpk())

    def rag(
        self,
        name: str,
        *,
        embedder: Path | EmbeddingEndpoint | Embedder | None = None,
        model: ModelWriter | Endpoint | LanguageModel | None = None,
        chunking: Mapping[str, Any] | None = None,
        language: str | None = None,
        readers: Readers = (),
        cache: AnswerCache | None = None,
        data_dir: Path | None = None,
    ) -> Rag:
        options = rag_options(embedder, model, chunking, language, cache, data_dir)
        brought = supplies(embedder, model, readers, PRIVATE_HOST)
        return Rag(waited(self._native.rag(name, options, *brought)))

    def serve_http(
        self,
        *,
        models: Mapping[str, ModelWriter | Endpoint | LanguageModel] | None = None,
        embedders: Mapping[str, Path | Embedder] | None = None,
        knowledge: Mapping[str, Rag] | None = None,
        host: str | None = None,
        port: int | None = None,
        token: str | None = None,
        max_requests: int | None = None,
        max_body_bytes: int | None = None,
        max_upload_bytes: int | None = None,
    ) -> HttpServer:
        options = server_options(host, port, token, max_requests, max_body_bytes, max_upload_bytes)
        brought = served(models, embedders, knowledge, PRIVATE_HOST)
        return HttpServer(waited(self._native.serve_http(*brought, options)))

    def share_knowledge(self, rag: Rag, holder: str, *, name: str, valid_for: timedelta) -> KnowledgeCapability:
        terms = sharing(holder, name, valid_for)
        return record(KnowledgeCapability, waited(self._native.share_knowledge(rag._native, terms)))

    def shared_knowledge(self, peer: str, capability: str) -> SharedKnowledge:
        return SharedKnowledge(waited(self._native.shared_knowledge(peer, capability)))

    def federation(
        self,
        own: Mapping[str, Rag] | None = None,
        shared: Sequence[SharedKnowledge] = (),
        *,
        embedder: Path | EmbeddingEndpoint | Embedder | None = None,
        language: str | None = None,
    ) -> Federation:
        brought = federated(own, shared, embedder, language, PRIVATE_HOST)
        return Federation(waited(self._native.federation(*brought)))

    def prove(self, rag: Rag, hits: Sequence[Hit | Mapping[str, Any]]) -> list[ProvenHit]:
        return records(ProvenHit, waited(self._native.prove(rag._native, hits_json(hits))))

    def contribute(
        self, *, blocks: Sequence[BlockShare] = (), min_tier: Tier | None = None, grace: timedelta | None = None
    ) -> list[Offer]:
        return records(Offer, waited(self._native.contribute(contribution(blocks, min_tier, grace))))

    def advance_clock(self, by: timedelta) -> None:
        self._native.advance_clock(milliseconds(by))

    def shutdown(self, *, grace: timedelta | None = None) -> None:
        waited(self._native.shutdown(grace_ms(grace)))

    def __repr__(self) -> str:
        return shown_node(self)
