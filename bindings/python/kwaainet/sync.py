"""The same objects for programs without an event loop: every call blocks until it is done.

Other threads run on meanwhile, and Ctrl-C works. Records, events and errors are those of ``kwaainet``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, cast

from . import _native
from ._checks import checked, milliseconds, to_json
from ._records import Floats, record, records
from .node import (
    BlockShare,
    Message,
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
    AnswerDone,
    AskEvent,
    DocumentInfo,
    Endpoint,
    IngestEvent,
    IngestFinished,
    Mode,
    Progress,
    SearchResult,
    Stats,
    ask_options,
    begin_ingestion,
    rag_options,
    read_answer,
    read_progress,
    shown_rag,
    supplies,
)
from .shard import (
    Blocks,
    Completion,
    Coverage,
    GenerateEvent,
    Messages,
    ModelInfo,
    Offer,
    Route,
    block_choice,
    completion,
    generate_request,
    matrix,
    read_token,
    shown_engine,
    shown_model,
)
from .streams import BATCH, Source
from .trust import (
    Credential,
    CredentialSummary,
    Purpose,
    Score,
    Tier,
    TrustedIssuer,
    issue_arguments,
    shown_graph,
    trust_options,
)

if TYPE_CHECKING:
    from ._native import Operation

T = TypeVar("T")
Path: TypeAlias = str | PathLike[str]


class _Closing:
    """``with`` shuts it down at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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
                source.native = source.opening.wait()
            try:
                source.add(source.native.next_batch(BATCH).wait())
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
        return TrustGraph(_native.TrustGraph.open(trust_options(dir, seed, clock), own).wait())

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
    ) -> Credential:
        return record(Credential, self._native.issue(*issue_arguments(type, subject, claims, valid_for)).wait())

    def verify(self, credential: str) -> Credential:
        return record(Credential, self._native.verify(credential).wait())

    def import_credential(self, credential: str) -> CredentialSummary:
        return record(CredentialSummary, self._native.import_credential(credential).wait())

    def credentials(
        self, *, subject: str | None = None, issuer: str | None = None, type: str | None = None
    ) -> list[CredentialSummary]:
        return records(CredentialSummary, self._native.credentials(subject, issuer, type).wait())

    def credential(self, id: str) -> Credential:
        return record(Credential, self._native.credential(id).wait())

    def remove_credential(self, id: str) -> None:
        self._native.remove_credential(id).wait()

    def issuers(self) -> list[TrustedIssuer]:
        return records(TrustedIssuer, self._native.issuers().wait())

    def trust_issuer(self, did: str, types: Sequence[str]) -> None:
        self._native.trust_issuer(did, list(types)).wait()

    def distrust_issuer(self, did: str) -> None:
        self._native.distrust_issuer(did).wait()

    def score(self, peer: str) -> Score:
        return record(Score, self._native.score(peer).wait())

    def policy(self) -> dict[Purpose, Tier]:
        return cast(dict[Purpose, Tier], self._native.policy().wait())

    def set_policy(self, policy: Mapping[Purpose, Tier]) -> None:
        self._native.set_policy(dict(policy)).wait()

    def require(self, peer: str, purpose: Purpose) -> None:
        self._native.require(peer, purpose).wait()

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
        return ShardEngine(_native.ShardEngine.open().wait())

    def load(self, model: Path, *, blocks: Blocks = "all") -> Model:
        return Model(self._native.load(fspath(model), block_choice(blocks)).wait())

    def serve(self, model: Path, start_block: int, end_block: int) -> Offer:
        return record(Offer, self._native.serve(fspath(model), start_block, end_block).wait())

    def stop_serving(self, model_id: str) -> None:
        self._native.stop_serving(model_id).wait()

    def served(self) -> list[Offer]:
        return records(Offer, self._native.served().wait())

    def coverage(self, model: Model) -> Coverage:
        return record(Coverage, self._native.coverage(model._native).wait())

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
        return matrix(self._native.logits(model._native, list(tokens), route).wait())

    def embed(self, texts: Sequence[str], *, model: Path | None = None) -> Floats:
        return matrix(self._native.embed(list(texts), None if model is None else fspath(model)).wait())

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
        embedder: Path | Embedder | None = None,
        model: ModelWriter | Endpoint | LanguageModel | None = None,
        chunking: Mapping[str, Any] | None = None,
        language: str | None = None,
        readers: Readers = (),
    ) -> Rag:
        options = rag_options(embedder, model, chunking, language)
        brought = supplies(embedder, model, readers, PRIVATE_HOST)
        return Rag(_native.Rag.open(fspath(dir), options, *brought).wait())

    def ingest(self, source: Path | bytes, *, name: str | None = None) -> Ingestion:
        return Ingestion(begin_ingestion(self._native, source, name), read_progress)

    def search(self, text: str, *, k: int = 8, mode: Mode = "hybrid") -> SearchResult:
        return record(SearchResult, self._native.search(text, k, to_json("mode", mode)).wait())

    def ask(
        self, question: str, *, k: int = 8, mode: Mode = "hybrid", min_support: float = 0.5, max_tokens: int = 400
    ) -> Asking:
        return Asking(self._native.ask(question, ask_options(k, mode, min_support, max_tokens)), read_answer)

    def documents(self) -> list[DocumentInfo]:
        return records(DocumentInfo, self._native.documents().wait())

    def document_text(self, id: str) -> str:
        return self._native.document_text(id).wait()

    def delete_document(self, id: str) -> None:
        self._native.delete_document(id).wait()

    def stats(self) -> Stats:
        return record(Stats, self._native.stats().wait())

    def shutdown(self) -> None:
        self._native.shutdown().wait()

    def destroy(self) -> None:
        self._native.destroy().wait()

    def __repr__(self) -> str:
        return shown_rag(self)


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
        limits: Mapping[str, int | float] | None = None,
        seed: int | None = None,
        clock: str | datetime | None = None,
    ) -> Node:
        config = node_config(
            preset, name, data_dir, identity_key, listen, bootstrap, mdns, limits, seed, clock
        )
        return Node(_native.Node.start(config).wait())

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
        return record(NodeInfo, self._native.info().wait())

    def peers(self) -> list[PeerInfo]:
        return records(PeerInfo, self._native.peers().wait())

    def connect(self, address: str) -> str:
        return self._native.connect(address).wait()

    def disconnect(self, peer: str) -> None:
        self._native.disconnect(peer).wait()

    def find_peer(self, peer: str) -> list[str]:
        return self._native.find_peer(peer).wait()

    def send_message(self, peer: str, text: str) -> None:
        self._native.send_message(peer, text).wait()

    def messages(self) -> EventStream[Message]:
        return EventStream(self._native.messages(), read_message)

    def events(self) -> EventStream[NodeEvent]:
        return EventStream(self._native.events(), read_event)

    def trust(self) -> TrustGraph:
        return TrustGraph(self._native.trust())

    def shards(self) -> ShardEngine:
        return ShardEngine(self._native.shards())

    def rag(
        self,
        name: str,
        *,
        embedder: Path | Embedder | None = None,
        model: ModelWriter | Endpoint | LanguageModel | None = None,
        chunking: Mapping[str, Any] | None = None,
        language: str | None = None,
        readers: Readers = (),
    ) -> Rag:
        options = rag_options(embedder, model, chunking, language)
        brought = supplies(embedder, model, readers, PRIVATE_HOST)
        return Rag(self._native.rag(name, options, *brought).wait())

    def contribute(self, *, blocks: Sequence[BlockShare] = (), min_tier: Tier | None = None) -> list[Offer]:
        return records(Offer, self._native.contribute(contribution(blocks, min_tier)).wait())

    def advance_clock(self, by: timedelta) -> None:
        self._native.advance_clock(milliseconds(by))

    def shutdown(self, *, grace: timedelta | None = None) -> None:
        self._native.shutdown(grace_ms(grace)).wait()

    def __repr__(self) -> str:
        return shown_node(self)
