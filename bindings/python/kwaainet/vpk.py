"""Vectors on other people's machines that these cannot read, and such vectors of others on this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from . import _native
from ._bridge import finished
from ._checks import checked, home, to_json
from ._records import maybe_record, record, records
from .streams import EventStream
from .trust import Tier

Privacy: TypeAlias = Literal["plain", "seal", "split"]
Metric: TypeAlias = Literal["cosine", "dot"]
Attack: TypeAlias = Literal["known_pairs", "dictionary", "scale", "reuse", "membership"]
PartState: TypeAlias = Literal["right", "wrong", "missing", "unknown", "undecided"]
#: An array of 32- or 64-bit floats with a row for each vector, such as ``ShardEngine.embed`` returns, or a list of lists.
Vectors: TypeAlias = Any
#: An array of floats, or a list of numbers; also one row of an array of two dimensions.
Vector: TypeAlias = Any


@dataclass(frozen=True)
class Tenant:
    """Whom a node keeps something for."""

    owner: str
    """The DID of the owner."""
    bytes: int
    """What it is charged with."""
    collections: int


@dataclass(frozen=True)
class HostedVectors:
    """What a node keeps, and for whom."""

    capacity_bytes: int
    tenant_bytes: int
    """What one owner may take."""
    tenant_collections: int
    memory_bytes: int
    min_tier: Tier | None
    """``None`` where the policy's minimum stands."""
    used_bytes: int
    tenants: tuple[Tenant, ...]


@dataclass(frozen=True)
class CollectionConfig:
    """What a collection is, as it was made."""

    dimension: int
    privacy: Privacy
    hosts: tuple[str, ...]
    """``here`` or PeerIds."""
    metric: Metric
    colluding: int
    """Under ``split``, how many of the hosts may work together and still learn nothing."""


@dataclass(frozen=True)
class Leakage:
    """What a host learns, and what that rests on."""

    vectors: bool
    """A host can read the stored vectors."""
    queries: bool
    """A host can read what is searched for."""
    matches: bool
    """A host can tell which vectors were found."""
    answers_checked: bool
    """A wrong answer is noticed."""
    learned: str
    """What a host learns nevertheless, for people."""
    rests_on: str
    """What must hold for the rest to stay hidden, for people."""


@dataclass(frozen=True)
class CollectionStats:
    """How a collection stands."""

    vectors: int
    buffered: int
    """How many of them are here alone, not sealed yet."""
    segments: int
    deleted: int
    """How many places in segments hold nothing any more."""
    epoch: int
    """The number of the key."""
    behind: tuple[str, ...]
    """The hosts for which something waits."""
    liars: tuple[str, ...]
    """The hosts that answered wrongly since the collection was opened."""


@dataclass(frozen=True)
class FoundVector:
    """A vector that was found."""

    id: int
    score: float
    """The cosine or the dot product with the question."""
    payload: bytes | None
    metadata: dict[str, Any]


@dataclass(frozen=True)
class FoundVectors:
    """What a search found."""

    hits: tuple[FoundVector, ...]
    """The best first; equal scores in the order of their ids."""
    liars: tuple[str, ...]
    """The hosts that are known to have answered wrongly."""


@dataclass(frozen=True)
class HostReport:
    """What a host was found to have."""

    host: str
    right: bool
    """Whether everything is as it was brought there."""
    segments: tuple[PartState, ...]
    payloads: tuple[PartState, ...]
    """In the order of their vectors' ids."""
    manifest: PartState


@dataclass(frozen=True)
class Repair:
    """What a repair did."""

    lost: tuple[str, ...]
    """The hosts that did not have what they should, or could not be asked."""
    added: tuple[str, ...]
    """Those that have it in their place."""


@dataclass(frozen=True)
class HostOffer:
    """A node that says that it hosts, as it answered when it was asked."""

    host: str
    """Its PeerId."""
    tier: Tier
    free_bytes: int
    """What it has left for this node; 0 when it was refused."""
    latency_ms: float | None
    """``None`` when it was not asked, or did not answer."""
    operators: tuple[str, ...]
    """The DIDs that are proven to be its person's or its organisation's."""
    networks: tuple[str, ...]
    """The address ranges that its connections come from; none when it is reached through relays alone."""
    refusal: str | None
    """The code of what keeps it from being used; ``None`` when it can be."""
    reason: str | None
    """The same in words."""


@dataclass(frozen=True)
class AuditFinding:
    """How an attack went."""

    attack: Attack
    trials: int
    """0 where there was nothing to guess."""
    hits: int
    chance: float
    """How often a try succeeds by luck, from 0 to 1."""


@dataclass(frozen=True)
class HostAudit:
    """What a host could learn from what it keeps."""

    host: str
    bytes: int
    """How many it handed out that were looked at."""
    findings: tuple[AuditFinding, ...]


@dataclass(frozen=True)
class AuditReport:
    """What the hosts of a collection could learn from what they keep."""

    privacy: Privacy
    vectors: int
    """How many were looked at."""
    hosts: tuple[HostAudit, ...]
    control: tuple[AuditFinding, ...]
    """The same attacks against copies that must fall to them."""
    meaningful: bool
    """Whether they did. If not, the rest says nothing."""
    hidden: bool
    """Whether no attack on a host succeeded more than three times as often as by luck."""


@dataclass(frozen=True)
class BenchmarkRow:
    """What was measured of one kind of search."""

    privacy: Privacy | None
    """``None`` for the exact search on this machine."""
    hosts: int
    """How many kept the vectors; 0 on this machine."""
    vectors: int
    dimension: int
    recall: float
    """Which part of the ten nearest was found, from 0 to 1, on average."""
    p50_ms: float
    """How long half of the searches took at most."""
    p99_ms: float
    """How long all but one in a hundred took at most."""
    durable_ms: float
    """How long it took until all vectors were on the owner's disk and found."""
    searchable_ms: float
    """How long it took until the hosts had all of them and answered the first question."""
    question_bytes: int
    """To each host."""
    reply_bytes: int
    """Of each host."""


@dataclass(frozen=True)
class BenchmarkStep:
    """How far a benchmark is."""

    done: int
    """How many rows are measured."""
    of: int
    """How many rows there will be."""
    about: str
    """What was measured, or is being measured now, for people."""
    row: BenchmarkRow | None
    """``None`` when its measurement begins."""


@checked
class VectorCollection:
    """Vectors with ids and payloads, at hosts that cannot read them."""

    def __init__(self, native: _native.VectorCollection) -> None:
        self._native = native

    @property
    def name(self) -> str:
        """The name under which this node has it."""
        return self._native.name

    @property
    def id(self) -> str:
        """The id by which hosts know it."""
        return self._native.id

    @property
    def config(self) -> CollectionConfig:
        """What it is, as it was made."""
        return record(CollectionConfig, self._native.config())

    @property
    def leakage(self) -> Leakage:
        """What its hosts learn."""
        return record(Leakage, self._native.leakage())

    async def stats(self) -> CollectionStats:
        """How it stands."""
        return record(CollectionStats, await finished(self._native.stats()))

    async def upsert(
        self,
        ids: Sequence[int],
        vectors: Vectors,
        *,
        payloads: Sequence[bytes | None] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Puts vectors in, all or none; those with an id that is there replace it.

        ``vectors`` is an array of floats with a row for each id, such as ``ShardEngine.embed`` returns, or a list of lists. Ids
        are at most 2**53 - 1. ``payloads`` come back with the vectors, and by ``metadata`` hits can be chosen. What was put in is
        durable and found when this returns, and goes to the hosts when there is enough of it, or at ``flush``.
        """
        await finished(self._native.upsert(*upsert_arguments(ids, vectors, payloads, metadata)))

    async def delete(self, ids: Sequence[int]) -> int:
        """Takes vectors out, with their payloads, and returns how many there were.

        The hosts keep their numbers until the segment is empty, or ``rotate`` leaves them out.
        """
        return await finished(self._native.delete(list(ids)))

    async def search(self, vector: Vector, *, k: int = 10, filter: Mapping[str, Any] | None = None) -> FoundVectors:
        """Finds the ``k`` vectors that are most like this one, among those whose metadata have all the values of ``filter``.

        Hosts are not told of the filter, nor, but under ``plain``, of what was found.
        """
        return record(FoundVectors, await finished(self._native.search(vector, k, filter_json(filter))))

    async def flush(self) -> None:
        """Seals what is buffered and brings everything to the hosts. Nothing is lost when that fails."""
        await finished(self._native.flush())

    async def verify(self) -> list[HostReport]:
        """Fetches everything from the hosts and checks it; as much traffic as bringing it there was.

        Flush before: what waits for a host is missing there.
        """
        return records(HostReport, await finished(self._native.verify()))

    async def repair(self, hosts: Sequence[str] | None = None) -> Repair:
        """Verifies what the hosts have, and puts others in the place of those that are lost or lie.

        Those of ``hosts`` are taken in their order, or else ones that are found, independent of those that stay. Everything is
        sealed anew under a new key. Searches go on meanwhile.
        """
        return record(Repair, await finished(self._native.repair(named(hosts))))

    async def rotate(self) -> None:
        """Seals everything anew under a new key, without what was deleted. The hosts need room for both meanwhile."""
        await finished(self._native.rotate())

    async def export_key(self, passphrase: str) -> str:
        """The recovery key, as a text that opens with a passphrase, for a backup or ``Vpk.recover`` on another machine.

        It is good over repairs and whatever is put in, until the next ``rotate``.
        """
        return await finished(self._native.export_key(passphrase))

    async def export_key_to(self, device: str) -> str:
        """The same, as a text that opens on one machine alone: the one that said by ``Vpk.device`` who it is."""
        return await finished(self._native.export_key_to(device))

    async def shutdown(self) -> None:
        """Lets go of the collection, which stays, here and at its hosts. Idempotent."""
        self._native.shutdown()

    async def destroy(self) -> None:
        """Forgets the collection, here and at its hosts. A copy that a host keeps is worth nothing without the key."""
        await finished(self._native.destroy())

    def __repr__(self) -> str:
        return shown_collection(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()


@checked
class HostConsole:
    """A page on loopback that says who keeps how much at this node, until it is shut down."""

    def __init__(self, native: _native.HostConsole) -> None:
        self._native = native

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        return self._native.url

    async def shutdown(self) -> None:
        """Ends it. Idempotent."""
        self._native.shutdown()

    def __repr__(self) -> str:
        return shown_console(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()


@checked
class Vpk:
    """What a node keeps for others, and what others keep for it. See ``docs/vpk.md`` for what each privacy hides."""

    def __init__(self, native: _native.Vpk) -> None:
        self._native = native

    async def host(
        self,
        capacity_bytes: int,
        *,
        tenant_bytes: int | None = None,
        tenant_collections: int | None = None,
        memory_bytes: int | None = None,
        min_tier: Tier | None = None,
    ) -> None:
        """Begins to keep collections for peers that the policy's ``store_vectors`` admits, and for this node.

        Nothing is kept for anybody before; what was kept in an earlier run is there again. One owner may take a quarter of the
        bytes on the disk and 64 collections unless set; ``memory_bytes`` for answering are as many as on the disk, up to 1 GiB.
        """
        options = host_options(tenant_bytes, tenant_collections, memory_bytes, min_tier)
        await finished(self._native.host(capacity_bytes, options))

    async def stop_hosting(self) -> None:
        """Ends that. What is kept stays on the disk."""
        await finished(self._native.stop_hosting())

    async def hosted(self) -> HostedVectors | None:
        """What this node keeps, and for whom; ``None`` when it does not host."""
        return maybe_record(HostedVectors, await finished(self._native.hosted()))

    async def evict(self, owner: str) -> None:
        """Forgets everything that is kept for one owner, a DID or a PeerId."""
        await finished(self._native.evict(owner))

    async def create(
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
        """Makes a collection at its hosts, under a new key.

        ``hosts`` are PeerIds, DIDs, or ``here`` for this node: 1 to 16 with a copy each under ``plain`` and ``seal``, twice
        ``colluding`` and one more, 16 at most, under ``split``. ``colluding`` is how many of them may work together and still learn
        nothing, 1 unless set. Vectors are compared by their cosine unless ``metric`` says ``dot``.

        With an empty list independent hosts are found, as by ``discover``: ``replicas`` of them, or as many as are needed and one
        to spare.
        """
        placement = placement_options(free_bytes, min_tier, distinct_networks)
        options = collection_options(dimension, privacy, hosts, metric, colluding, replicas, placement)
        return VectorCollection(await finished(self._native.create(name, options)))

    async def discover(
        self,
        *,
        free_bytes: int | None = None,
        min_tier: Tier | None = None,
        distinct_networks: bool | None = None,
    ) -> list[HostOffer]:
        """The nodes that say that they host, each as it answered just now; those that can be used first, the fastest first.

        Each must have 16 MiB left unless ``free_bytes`` is set, and the policy's minimum of ``store_vectors`` unless ``min_tier``
        is. Whom this node trusts too little it does not ask.
        """
        options = to_json("options", placement_options(free_bytes, min_tier, distinct_networks))
        return records(HostOffer, await finished(self._native.discover(options)))

    async def audit(self, name: str) -> AuditReport:
        """Attacks what the hosts keep of a collection, beside copies that must fall to the same attacks.

        It needs 128 sealed vectors, and takes minutes at the largest dimensions.
        """
        return record(AuditReport, await finished(self._native.audit(name)))

    async def open(self, name: str) -> VectorCollection:
        """Opens a collection that was made before. While it is open, the same name returns the same one."""
        return VectorCollection(await finished(self._native.open(name)))

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
        """Measures searches on this machine, at the first of ``hosts`` and at all of them, one row for each.

        ``sizes`` are numbers of vectors, 1,000 and 10,000 unless set and 100,000 at most, of 384 dimensions unless set. ``split`` needs
        three hosts; without ``privacies`` all are measured that are possible. The random vectors of a ``seed`` are always the same, and
        each row asks 100 ``questions`` unless set. What is made at the hosts is deleted again, also when the stream is left early.
        """
        options = benchmark_options(sizes, dimension, privacies, hosts, questions, seed)
        return EventStream(self._native.benchmark(options), read_step)

    async def device(self) -> str:
        """What this machine says of itself, so that ``VectorCollection.export_key_to`` can encrypt a key to it.

        It is no secret.
        """
        return await finished(self._native.device())

    async def resolve(self, collection_id: str) -> list[str]:
        """The PeerIds of the nodes that say in the DHT that they have a record of a collection.

        What they have is worth nothing without the collection's key.
        """
        return await finished(self._native.resolve(collection_id))

    async def recover(
        self,
        name: str,
        exported: str,
        *,
        passphrase: str | None = None,
        exported_by: str | None = None,
        hosts: Sequence[str] | None = None,
        partial: bool | None = None,
    ) -> VectorCollection:
        """Makes a collection one of this node, whose key another machine has exported and which that machine may have lost.

        The key opens with the ``passphrase``, or, when it was exported to this machine, with the DID of the node that did it as
        ``exported_by``. What the hosts keep is found, checked, and sealed anew under a key that no other machine has, at the same
        hosts or at ``hosts``. With ``partial`` it is recovered without payloads that no host has.
        """
        options = recover_options(passphrase, exported_by, hosts, partial)
        return VectorCollection(await finished(self._native.recover(name, exported, options)))

    async def console(self, *, port: int | None = None) -> HostConsole:
        """Serves a page on loopback for whoever is on this machine: who keeps how much here, and how much room is left.

        ``port`` is 7432 unless set, and 0 takes any that is free. It ends with what is returned, and with the node.
        """
        return HostConsole(await finished(self._native.console(port)))

    async def collections(self) -> list[str]:
        """The names of the collections of this node."""
        return await finished(self._native.collections())

    async def destroy(self, name: str) -> None:
        """Forgets a collection, here and at its hosts. When a host cannot be reached it stays, and can be destroyed again."""
        await finished(self._native.destroy(name))

    def __repr__(self) -> str:
        return shown_vpk(self)


def shown_collection(collection: Any) -> str:
    state = "open" if collection._native.is_open() else "closed"
    config = collection.config
    return f"<{home(collection)}.VectorCollection {collection.name!r} {config.privacy}, {config.dimension} dimensions, {state}>"


def shown_console(console: Any) -> str:
    state = "open" if console._native.is_open() else "closed"
    return f"<{home(console)}.HostConsole {console.url} {state}>"


def shown_vpk(vpk: Any) -> str:
    state = "open" if vpk._native.is_open() else "closed"
    return f"<{home(vpk)}.Vpk {state}>"


def host_options(
    tenant_bytes: int | None, tenant_collections: int | None, memory_bytes: int | None, min_tier: Tier | None
) -> str:
    """The policy as the native module reads it."""
    options = {
        "tenant_bytes": tenant_bytes,
        "tenant_collections": tenant_collections,
        "memory_bytes": memory_bytes,
        "min_tier": min_tier,
    }
    return to_json("policy", options)


def placement_options(
    free_bytes: int | None, min_tier: Tier | None, distinct_networks: bool | None
) -> dict[str, Any]:
    """What is asked of hosts that are looked for."""
    return {"free_bytes": free_bytes, "min_tier": min_tier, "distinct_networks": distinct_networks}


def benchmark_options(
    sizes: Sequence[int] | None,
    dimension: int | None,
    privacies: Sequence[Privacy] | None,
    hosts: Sequence[str] | None,
    questions: int | None,
    seed: int | None,
) -> str:
    """What is measured, as the native module reads it."""
    options = {
        "sizes": None if sizes is None else list(sizes),
        "dimension": dimension,
        "privacies": None if privacies is None else list(privacies),
        "hosts": named(hosts),
        "questions": questions,
        "seed": seed,
    }
    return to_json("options", options)


def read_step(data: dict[str, Any]) -> BenchmarkStep:
    return record(BenchmarkStep, data)


def recover_options(
    passphrase: str | None, exported_by: str | None, hosts: Sequence[str] | None, partial: bool | None
) -> str:
    """What opens an exported key and what becomes of the collection, as the native module reads it."""
    options = {"passphrase": passphrase, "exported_by": exported_by, "hosts": named(hosts), "partial": partial}
    return to_json("options", options)


def named(hosts: Sequence[str] | None) -> list[str] | None:
    return None if hosts is None else list(hosts)


def collection_options(
    dimension: int,
    privacy: Privacy,
    hosts: Sequence[str],
    metric: Metric | None,
    colluding: int | None,
    replicas: int | None,
    placement: Mapping[str, Any],
) -> str:
    """What a collection is to be, as the native module reads it."""
    options = {
        "dimension": dimension,
        "privacy": privacy,
        "hosts": list(hosts),
        "metric": metric,
        "colluding": colluding,
        "replicas": replicas,
        **placement,
    }
    return to_json("configuration", options)


def upsert_arguments(
    ids: Sequence[int],
    vectors: Vectors,
    payloads: Sequence[bytes | None] | None,
    metadata: Sequence[Mapping[str, Any] | None] | None,
) -> tuple[list[int], Vectors, list[bytes | None] | None, str]:
    copies = None if payloads is None else [None if one is None else bytes(one) for one in payloads]
    values = None if metadata is None else [None if one is None else dict(one) for one in metadata]
    return list(ids), vectors, copies, to_json("metadata", values)


def filter_json(filter: Mapping[str, Any] | None) -> str:
    return to_json("filter", dict(filter or {}))
