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
from .trust import Tier

Privacy: TypeAlias = Literal["plain", "seal", "split"]
Metric: TypeAlias = Literal["cosine", "dot"]
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

    async def rotate(self) -> None:
        """Seals everything anew under a new key, without what was deleted. The hosts need room for both meanwhile."""
        await finished(self._native.rotate())

    async def export_key(self, passphrase: str) -> str:
        """The key, as a text that opens with a passphrase, for another device or a backup."""
        return await finished(self._native.export_key(passphrase))

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
    ) -> VectorCollection:
        """Makes a collection at its hosts, under a new key.

        ``hosts`` are PeerIds, DIDs, or ``here`` for this node: one under ``plain`` and ``seal``, twice ``colluding`` and one
        more, 16 at most, under ``split``. ``colluding`` is how many of them may work together and still learn nothing, 1 unless
        set. Vectors are compared by their cosine unless ``metric`` says ``dot``.
        """
        options = collection_options(dimension, privacy, hosts, metric, colluding)
        return VectorCollection(await finished(self._native.create(name, options)))

    async def open(self, name: str) -> VectorCollection:
        """Opens a collection that was made before. While it is open, the same name returns the same one."""
        return VectorCollection(await finished(self._native.open(name)))

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


def collection_options(
    dimension: int, privacy: Privacy, hosts: Sequence[str], metric: Metric | None, colluding: int | None
) -> str:
    """What a collection is to be, as the native module reads it."""
    options = {
        "dimension": dimension,
        "privacy": privacy,
        "hosts": list(hosts),
        "metric": metric,
        "colluding": colluding,
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
