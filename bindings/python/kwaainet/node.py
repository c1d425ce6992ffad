"""A whole node: identity, network, trust, models and knowledge under one handle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from . import _native
from ._bridge import Opening, finished
from ._checks import checked, home, milliseconds, rule, to_json
from ._records import record, records, tagged
from .errors import InvalidArgumentError
from .federation import (
    Federation,
    KnowledgeCapability,
    ProvenHit,
    SharedKnowledge,
    federated,
    hits_json,
    sharing,
)
from .http import HttpServer, server_options
from .provide import Embedder, LanguageModel, Readers, running_host
from .rag import AnswerCache, EmbeddingEndpoint, Endpoint, Hit, ModelWriter, Rag, rag_options, supplies
from .served import served
from .shard import Model, Offer, ShardEngine
from .streams import EventStream
from .trust import ClaimTest, Credential, Minimum, Reason, StatusRefresh, TakenWord, Tier, TrustGraph, TrustStatement, instant, shown
from .vpk import Vpk

Preset: TypeAlias = Literal["ephemeral", "desktop", "mobile", "server"]
DiagnosisCause: TypeAlias = Literal[
    "no_bootstrap",
    "limit_reached",
    "dead_bootstrap",
    "incompatible_version",
    "clock_off",
    "relay_without_slots",
    "dead_relay",
    "firewall",
]
Path: TypeAlias = str | PathLike[str]


@dataclass(frozen=True)
class Reachability:
    """Whether and how others reach a node."""

    verdict: Literal["public", "private", "unknown"]
    """Whether it can be dialled; ``unknown`` while nobody on the internet has tried."""
    why: str
    """A sentence for people."""
    relays: tuple[str, ...]
    """The PeerIds of the relays that it is reached through."""


@dataclass(frozen=True)
class Diagnosis:
    """Something that keeps a node from others, and what to do about it."""

    cause: DiagnosisCause
    text: str
    """What was seen, for people."""
    remedy: str


@dataclass(frozen=True)
class MeasurementBucket:
    """How many values of a histogram are at most so large."""

    at_most: float
    """The bound, in the unit of the metric."""
    count: int


@dataclass(frozen=True)
class Measurement:
    """One measurement: a name of OpenTelemetry's conventions with attributes, and the value."""

    name: str
    """Such as ``rpc.server.call.duration`` or ``kwaainet.peers``."""
    instrument: Literal["counter", "gauge", "histogram"]
    unit: str
    """In UCUM, such as ``ms``, ``By`` or ``{peer}``."""
    description: str
    attributes: dict[str, str]
    value: float
    """In a histogram, the sum of its values."""
    count: int | None
    """How many values a histogram has; ``None`` for the others."""
    buckets: tuple[MeasurementBucket, ...]
    """From the smallest bound to the largest, each counting those before it as well."""


@dataclass(frozen=True)
class Metrics:
    """What a node measured since its start."""

    metrics: tuple[Measurement, ...]
    prometheus: str
    """The same as text that Prometheus reads."""


@dataclass(frozen=True)
class NodeInfo:
    """What a node says about itself."""

    name: str
    peer_id: str
    did: str
    version: str
    data_dir: str | None
    """``None`` for a node in memory."""
    addresses: tuple[str, ...]
    """Where it can be dialled, each ending in ``/p2p/<peer id>``."""
    reachability: Reachability
    connected_peers: int
    uptime_ms: int


@dataclass(frozen=True)
class PeerInfo:
    """A connected peer, and how far this node trusts it."""

    peer_id: str
    did: str | None
    name: str
    """What the peer calls itself; not to be trusted."""
    agent: str
    """What the peer says it runs; not to be trusted."""
    direction: Literal["inbound", "outbound"]
    addresses: tuple[str, ...]
    """The far ends of its connections; of one through a relay, the whole way."""
    relayed: bool
    """Whether it is reached only through a relay."""
    bootstrap: bool
    """Whether it was named as a bootstrap."""
    trusted_relay: bool
    """Whether it was named as a trusted relay."""
    rtt_ms: float | None
    tier: Tier
    score: float
    reasons: tuple[Reason, ...]
    pledged: bool
    """Whether a fiduciary pledge of this peer counts: verified, in force, and from an issuer trusted for it."""


@dataclass(frozen=True)
class Message:
    """A text that a peer sent."""

    sender: str
    """The PeerId of the sender, authenticated."""
    text: str
    received_at: datetime


@dataclass(frozen=True)
class Listening:
    """This node can be dialled at a new address."""

    address: str


@dataclass(frozen=True)
class ListeningStopped:
    """An address is no longer listened on."""

    address: str


@dataclass(frozen=True)
class PeerConnected:
    """The first connection with a peer was established."""

    peer: str
    address: str
    direction: Literal["inbound", "outbound"]


@dataclass(frozen=True)
class PeerIdentified:
    """A peer said what it runs; not to be trusted."""

    peer: str
    agent: str


@dataclass(frozen=True)
class PeerDisconnected:
    """The last connection with a peer ended."""

    peer: str


@dataclass(frozen=True)
class PeerDirect:
    """A peer that was reached through a relay is connected directly now."""

    peer: str


@dataclass(frozen=True)
class ReachabilityChanged:
    """Whether others can dial this node was found out, or changed."""

    reachability: Reachability


@dataclass(frozen=True)
class MessageReceived:
    """A message arrived."""

    message: Message


@dataclass(frozen=True)
class OtherEvent:
    """Something that this version has no name for."""


NodeEvent: TypeAlias = (
    Listening
    | ListeningStopped
    | PeerConnected
    | PeerIdentified
    | PeerDisconnected
    | PeerDirect
    | ReachabilityChanged
    | MessageReceived
    | OtherEvent
)


@dataclass(frozen=True)
class BlockShare:
    """Blocks of a model to compute for others: from the first up to and without the last, or a number of them, or as many as fit.

    Those whose place is not given go where the swarm has them least, and are moved when that helps it.
    """

    model: Path
    start_block: int | None = None
    end_block: int | None = None
    count: int | None = None
    """How many, instead of which."""
    memory_bytes: int | None = None
    """Bytes that those that fit may take with what their sessions keep; what is free without a reserve unless set."""


@checked
class Node:
    """A running node. ``shutdown`` ends it; a node that is forgotten ends too, without grace."""

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
    ) -> Opening[Node]:
        """Starts a node: it listens, dials nobody but its bootstraps, shares nothing and sends nothing home.

        Await it, or use it with ``async with``. What is given here wins over environment variables, these over
        ``config.yaml`` in the data directory, and that over the preset, which is ``desktop`` unless set. For tests,
        ``seed`` makes an identity that is no secret, and ``clock`` is where this node's clock stands still.

        How others reach a node that nobody can dial: ``trusted_relays`` are relays to be reached through, ``announce_addr``,
        ``public_ip`` and ``public_port`` say what the router forwards, ``upnp`` asks it to, and ``force_private`` takes the
        node for one that nobody can dial. Peers that see it at an address count when there are
        ``identify_min_confirmations`` of them and nobody could try to dial for ``identify_timeout``, which is rounded up to
        seconds. A node with ``relay`` relays for others, within ``relay_limits``: ``max_reservations``,
        ``reservation_duration_ms``, ``max_circuits``, ``max_circuits_per_peer``, ``max_circuits_per_stranger``,
        ``max_circuit_bytes`` and ``max_circuit_duration_ms``. ``hivemind`` takes part in the DHT of hivemind and Petals.
        With ``peer_cache``, which is on unless set, peers that were reached are remembered in the data directory and some of
        them dialled at the next start.
        """
        config = node_config(
            preset, name, data_dir, identity_key, listen, bootstrap, mdns, hivemind, trusted_relays, relay, relay_limits,
            announce_addr, public_ip, public_port, force_private, identify_min_confirmations, identify_timeout, upnp,
            peer_cache, limits, seed, clock,
        )
        return Opening(_start(config))

    @property
    def name(self) -> str:
        """The readable name that peers see."""
        return self._native.name

    @property
    def peer_id(self) -> str:
        """The identity that the network knows this node by."""
        return self._native.peer_id

    @property
    def did(self) -> str:
        """The identity that signs this node's credentials."""
        return self._native.did

    async def info(self) -> NodeInfo:
        """What the node says about itself."""
        return record(NodeInfo, await finished(self._native.info()))

    async def peers(self) -> list[PeerInfo]:
        """The connected peers with their tiers. A peer of which nothing is known is asked for its credentials."""
        return records(PeerInfo, await finished(self._native.peers()))

    async def diagnose(self) -> list[Diagnosis]:
        """Looks for what keeps this node from others, and says what to do: bootstraps that do not answer, a clock that is off,
        relays without a place, a firewall. Takes ten seconds at most; nothing found is an empty list."""
        return records(Diagnosis, await finished(self._native.diagnose()))

    async def metrics(self) -> Metrics:
        """Counters and gauges since the start: who is connected and how, bytes, calls with their durations, what the node gives
        as a relay. No peer is named in it, and nothing that was said."""
        return record(Metrics, await finished(self._native.metrics()))

    async def connect(self, address: str) -> str:
        """Connects to a node at a multiaddress that ends in ``/p2p/<peer id>``; returns the PeerId."""
        return await finished(self._native.connect(address))

    async def disconnect(self, peer: str) -> None:
        """Closes every connection to a peer."""
        await finished(self._native.disconnect(peer))

    async def find_peer(self, peer: str) -> list[str]:
        """Asks the network where a peer, a PeerId or a DID, can be reached."""
        return await finished(self._native.find_peer(peer))

    async def probe(self, peer: str) -> PeerInfo:
        """Whether a peer, a PeerId or a DID, or whoever is at an address, answers now.

        Connects to it where there is no connection, and times a round trip. Raises `UnreachableError`, with what was tried, and
        `TimeoutError` after 20 seconds.
        """
        return record(PeerInfo, await finished(self._native.probe(peer)))

    async def ask_trust(self, peer: str, about: str, *, at_least: Minimum | None = None) -> TrustStatement:
        """Asks a peer how far it trusts somebody else, or only whether that reaches a tier or a score.

        Peers answer the second to more askers, because it tells less. The statement is the peer's opinion, signed and
        checked; it is not kept.
        """
        return record(TrustStatement, await finished(self._native.ask_trust(peer, about, to_json("at_least", at_least))))

    async def ask_word(self, peer: str) -> TakenWord:
        """Asks a peer what it saw of others by itself, and keeps that as its recommendations, in place of those it gave before.

        How much they count in a score depends on how well the peer agrees with this node's own experience. A peer that saw
        nobody, or does not say, is a result with a ``count`` of 0; what is kept of it stays then. A node asks by itself,
        every hour, the connected peers that are at least known.
        """
        return record(TakenWord, await finished(self._native.ask_word(peer)))

    async def refresh_status_lists(self) -> StatusRefresh:
        """Looks at once for the status lists that this node wants, at their issuers and at the nodes that have copies.

        A node does this by itself every ten minutes. Where peers have gone it may take a minute.
        """
        return record(StatusRefresh, await finished(self._native.refresh_status_lists()))

    async def test_credential(
        self,
        credential_id: str,
        *,
        model: Model | None = None,
        tolerance: float | None = None,
        tokens: int | None = None,
        seed: int | None = None,
    ) -> ClaimTest:
        """Puts what a kept credential claims to the test, at the peer that it is about, and keeps the row of evidence.

        An ``UptimeVC`` is tested by whether the peer answers a signed probe. A ``ThroughputVC`` is tested by ``tokens``
        that the peer computes, 8 to 512 and 32 unless set, with the ``model`` that the credential names; where its blocks
        are here too, the results are compared. ``tolerance`` is how far the measurement may stay below the claim, as a
        share of it from 0 to 1, and 0.2 unless set. ``seed``, from 0 to 2**53 - 1, decides the work, and is drawn at
        random unless set, so that nobody can prepare for it.

        Raises ``NotFoundError`` for a credential that is not kept, and ``UnsupportedError`` for one whose claim cannot be
        tested. A peer that does not answer is a result and no error; it takes ten seconds.
        """
        chosen = None if model is None else model._native
        return record(
            ClaimTest, await finished(self._native.test_credential(credential_id, chosen, tolerance, tokens, seed))
        )

    async def sight(self, peer: str) -> bool:
        """Looks whether a peer is up, and keeps that as a sample of its sightings.

        Up is who answers a call, whatever it answers. Raises `UnreachableError` when the peer does not answer and no other
        peer is connected: the fault may be here, and that is no sample. It takes five seconds to find a peer down.
        """
        return await finished(self._native.sight(peer))

    async def watch_peers(self, period: timedelta) -> None:
        """Looks at every connected peer, and at those that were looked at within the last seven days, once each period.

        It goes on as long as the node runs; a period is a second at least. What a bootstrap server does that issues
        uptimes.
        """
        await finished(self._native.watch_peers(milliseconds(period)))

    async def issue_throughput(
        self,
        peer: str,
        model: Model,
        *,
        tokens: int | None = None,
        runs: int | None = None,
        seed: int | None = None,
        valid_for: timedelta | None = None,
    ) -> Credential:
        """Measures how fast a peer computes its blocks of a model, and issues a ``ThroughputVC`` about it.

        The rate is in tokens per second of the whole model, as if the peer computed all of its blocks. Each of the ``runs``,
        1 to 64 and 3 unless set, computes ``tokens``, 8 to 512 and 32 unless set. Where the model's blocks are here too, the
        results are compared. The credential is returned and not kept.

        Raises `NotFoundError` when the peer serves no block of the model, and `CorruptDataError` for a wrong result.
        """
        valid_for_ms = None if valid_for is None else milliseconds(valid_for)
        issued = self._native.issue_throughput(peer, model._native, tokens, runs, seed, valid_for_ms)
        return record(Credential, await finished(issued))

    async def send_message(self, peer: str, text: str) -> None:
        """Sends a text of at most 64 KiB to a peer, a PeerId or a DID, or to whoever is at an address. Returns when it has arrived."""
        await finished(self._native.send_message(peer, text))

    def messages(self) -> EventStream[Message]:
        """Messages as they arrive. What came before the first reader is kept for it."""
        return EventStream(self._native.messages(), read_message)

    def events(self) -> EventStream[NodeEvent]:
        """What happens on the network from now on."""
        return EventStream(self._native.events(), read_event)

    def trust(self) -> TrustGraph:
        """Credentials, scores and the policy of this node."""
        return TrustGraph(self._native.trust())

    def shards(self) -> ShardEngine:
        """Language models, whole or in blocks over peers."""
        return ShardEngine(self._native.shards())

    def vpk(self) -> Vpk:
        """Vectors on other people's machines that these cannot read, and such vectors of others on this one."""
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
    ) -> Opening[Rag]:
        """Opens a knowledge base of this node. While it is open, the same name returns the same one.

        The options are those of ``Rag.open``, and like that it is awaited or used with ``async with``. With ``data_dir`` it lies in a
        directory of its own instead of the node's, for example on another disk. The node remembers it by the name; another one is a
        ``ConflictError``, and one that is missing a ``NotFoundError``, and nothing is made in its place.
        """

        async def opened() -> Rag:
            brought = supplies(embedder, model, readers, running_host())
            return Rag(await finished(self._native.rag(name, options, *brought)))

        options = rag_options(embedder, model, chunking, language, cache, data_dir)
        return Opening(opened())

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
    ) -> Opening[HttpServer]:
        """Answers programs that speak OpenAI's HTTP API. Await it, or use it with ``async with``.

        ``models`` and ``embedders`` go by the names that requests call them; what they may be is as for ``Rag.open``. A knowledge
        base of ``knowledge`` is a model too, which answers from its documents, and has a page for people. It listens on
        127.0.0.1 and port 11435 unless set, and on any free port with 0. On a ``host`` that is not loopback it needs a ``token``,
        which every request then carries as its bearer token. ``max_requests`` are answered at the same time, 8 unless set, and
        ``max_body_bytes`` are read of each, 4 MiB unless set, and ``max_upload_bytes`` of a document, 64 MiB unless set. It ends with
        what is returned, and with the node; knowledge bases stay open until then.

        Raises `BusyError` when the port is taken.
        """

        async def started() -> HttpServer:
            brought = served(models, embedders, knowledge, running_host())
            return HttpServer(await finished(self._native.serve_http(*brought, options)))

        options = server_options(host, port, token, max_requests, max_body_bytes, max_upload_bytes)
        return Opening(started())

    async def share_knowledge(self, rag: Rag, holder: str, *, name: str, valid_for: timedelta) -> KnowledgeCapability:
        """Lets a peer search a knowledge base, by the capability that is returned, whose text is handed to it by whatever way.

        ``holder`` is its DID or its PeerId, ``name`` what it sees the knowledge base called, 1 to 64 characters, and ``valid_for`` at
        most 366 days. The capability counts until it ends or ``Rag.revoke_share`` revokes it, while this node runs and the knowledge
        base is open: one that was opened with ``Node.rag``, or was shared since. The holder gets passages and what proves them; this
        node gets its questions.
        """
        terms = sharing(holder, name, valid_for)
        return record(KnowledgeCapability, await finished(self._native.share_knowledge(rag._native, terms)))

    async def shared_knowledge(self, peer: str, capability: str) -> SharedKnowledge:
        """A knowledge base that a peer, a DID or a PeerId, shares, by its capability. Nobody is asked before it is searched.

        Raises `CorruptDataError` for a capability whose signature does not hold.
        """
        return SharedKnowledge(await finished(self._native.shared_knowledge(peer, capability)))

    async def federation(
        self,
        own: Mapping[str, Rag] | None = None,
        shared: Sequence[SharedKnowledge] = (),
        *,
        embedder: Path | EmbeddingEndpoint | Embedder | None = None,
        language: str | None = None,
    ) -> Federation:
        """Several knowledge bases as one: ``own`` of this node by the names that hits call them, and those that peers share.

        ``embedder`` scores passages of all of them and is as for ``Rag.open``: with ``"none"`` words alone do, whose forms are brought
        together as in ``language``.
        """
        brought = federated(own, shared, embedder, language, running_host())
        return Federation(await finished(self._native.federation(*brought)))

    async def prove(self, rag: Rag, hits: Sequence[Hit | Mapping[str, Any]]) -> list[ProvenHit]:
        """Proves where passages of a knowledge base come from, as this node's statement.

        Those that are no longer as they were found are left out.
        """
        return records(ProvenHit, await finished(self._native.prove(rag._native, hits_json(hits))))

    async def contribute(
        self, *, blocks: Sequence[BlockShare] = (), min_tier: Tier | None = None, grace: timedelta | None = None
    ) -> list[Offer]:
        """Shares exactly this, and no longer what was shared before; without arguments nothing is shared.

        ``min_tier`` is the lowest tier that may use it; without it the policy's minimum stays as it is. What was shared before takes
        nothing new, and may end within ``grace``, five seconds unless set.
        """
        return records(Offer, await finished(self._native.contribute(contribution(blocks, min_tier, grace))))

    async def advance_clock(self, by: timedelta) -> None:
        """For tests: moves the clock that the node was started with."""
        self._native.advance_clock(milliseconds(by))

    async def shutdown(self, *, grace: timedelta | None = None) -> None:
        """Stops the node: what is under way may finish within ``grace``, five seconds unless set. Idempotent."""
        await finished(self._native.shutdown(grace_ms(grace)))

    def __repr__(self) -> str:
        return shown_node(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()


def shown_node(node: Any) -> str:
    state = "running" if node._native.is_open() else "ended"
    return f"<{home(node)}.Node {node.name!r} {shown(node.peer_id)} {state}>"


async def _start(config: str) -> Node:
    return Node(await finished(_native.Node.start(config)))


def node_config(
    preset: Preset | None,
    name: str | None,
    data_dir: Path | None,
    identity_key: Path | None,
    listen: Sequence[str] | None,
    bootstrap: Sequence[str] | None,
    mdns: bool | None,
    hivemind: bool | None,
    trusted_relays: Sequence[str] | None,
    relay: bool | None,
    relay_limits: Mapping[str, int] | None,
    announce_addr: Sequence[str] | None,
    public_ip: str | None,
    public_port: int | None,
    force_private: bool | None,
    identify_min_confirmations: int | None,
    identify_timeout: timedelta | None,
    upnp: bool | None,
    peer_cache: bool | None,
    limits: Mapping[str, int | float] | None,
    seed: int | None,
    clock: str | datetime | None,
) -> str:
    """The configuration as the native module reads it."""
    for limit, value in (limits or {}).items():
        if value < 0:
            raise InvalidArgumentError(f"limits[{limit!r}] must not be negative")
    config = {
        "preset": preset,
        "name": name,
        "data_dir": None if data_dir is None else fspath(data_dir),
        "identity_key": None if identity_key is None else fspath(identity_key),
        "listen": listed(listen),
        "bootstrap": listed(bootstrap),
        "mdns": mdns,
        "hivemind": hivemind,
        "trusted_relays": listed(trusted_relays),
        "relay": relay,
        "relay_limits": dict(relay_limits or {}),
        "announce_addr": listed(announce_addr),
        "public_ip": public_ip,
        "public_port": public_port,
        "force_private": force_private,
        "identify_min_confirmations": identify_min_confirmations,
        "identify_timeout_ms": None if identify_timeout is None else milliseconds(identify_timeout),
        "upnp": upnp,
        "peer_cache": peer_cache,
        "limits": dict(limits or {}),
        "seed": seed,
        "clock": instant(clock),
    }
    return to_json("configuration", config)


def listed(texts: Sequence[str] | None) -> list[str] | None:
    return None if texts is None else list(texts)


def contribution(blocks: Sequence[BlockShare], min_tier: Tier | None, grace: timedelta | None) -> str:
    for place, share in enumerate(blocks):
        rule(Path)(f"blocks[{place}].model", share.model)
        for name in ("start_block", "end_block", "count", "memory_bytes"):
            rule(int | None)(f"blocks[{place}].{name}", getattr(share, name))
    shares = [asdict(share) | {"model": fspath(share.model)} for share in blocks]
    return to_json("contribution", {"blocks": shares, "min_tier": min_tier, "grace_ms": grace_ms(grace)})


def grace_ms(grace: timedelta | None) -> int | None:
    return None if grace is None else milliseconds(grace)


def read_message(data: dict[str, Any]) -> Message:
    return record(Message, data)


_EVENTS: dict[str, type[Any]] = {
    "listening": Listening,
    "listening_stopped": ListeningStopped,
    "peer_connected": PeerConnected,
    "peer_identified": PeerIdentified,
    "peer_disconnected": PeerDisconnected,
    "peer_direct": PeerDirect,
    "reachability_changed": ReachabilityChanged,
    "other": OtherEvent,
}


def read_event(data: dict[str, Any]) -> NodeEvent:
    if data["kind"] == "message_received":
        return MessageReceived(read_message(data["message"]))
    event: NodeEvent = tagged(_EVENTS, data)
    return event
