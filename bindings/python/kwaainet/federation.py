"""Knowledge bases of several nodes searched as one, with passages that anybody can prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from os import PathLike
from typing import Any, TypeAlias

from . import _native
from ._bridge import finished
from ._checks import checked, checked_function, home, milliseconds, to_json
from ._records import record, records
from .provide import Embedder, Host, native_embedder
from .rag import Hit, Mode, embedder_option, is_chosen

Path: TypeAlias = str | PathLike[str]


@dataclass(frozen=True)
class KnowledgeCapability:
    """What lets one holder search one knowledge base, as its owner signed."""

    id: str
    """What ``Rag.revoke_share`` takes."""
    owner: str
    """The DID of whose knowledge base it is."""
    holder: str
    """The DID of who may search it."""
    knowledge_base: str
    """The knowledge base's id."""
    name: str
    """What its owner calls it."""
    expires_at: datetime
    text: str
    """The signed text, to be given to the holder."""


@dataclass(frozen=True)
class Provenance:
    """What proves that a passage stood in a knowledge base, as its owner signed. ``check_provenance`` checks it."""

    statement: str
    """What the owner signed: the knowledge base, how many passages it held, the root of their tree, and when that was."""
    index: int
    """Which leaf the passage is, from 0."""
    path: tuple[str, ...]
    """The hashes beside the way from the leaf to the root, from below."""


@dataclass(frozen=True)
class Proven:
    """What a provenance proves."""

    owner: str
    """The DID of who signed."""
    knowledge_base: str
    """The knowledge base's id."""
    passages: int
    """How many passages it held."""
    signed_at: datetime
    """When it held them."""


@dataclass(frozen=True)
class ProvenHit:
    """A passage with what proves where it comes from."""

    hit: Hit
    provenance: Provenance


@dataclass(frozen=True)
class FederatedHit:
    """A passage, where it was found, and what proves it."""

    member: str
    """The name of the knowledge base."""
    also: tuple[str, ...]
    """The names of others that hold the same text."""
    hit: Hit
    """Its score is the one of the whole search; its ranks are those in its own knowledge base."""
    provenance: Provenance


@dataclass(frozen=True)
class MemberFailure:
    """A knowledge base that was not searched."""

    member: str
    code: str
    """The code of the error, for example ``unreachable``."""
    message: str


@dataclass(frozen=True)
class FederatedResult:
    """What a search over several knowledge bases found, best first, and which of them could not be searched."""

    hits: tuple[FederatedHit, ...]
    failures: tuple[MemberFailure, ...]
    mode: Mode
    """How passages were scored."""


@checked_function
def check_provenance(hit: Hit | Mapping[str, Any], provenance: Provenance | Mapping[str, Any]) -> Proven:
    """Checks that a passage stood in a knowledge base, and tells in which. No node is needed, and nobody is asked.

    What is proven are the text, its span, its ids and its document's name; not the score, the section or the locator. Both
    arguments may be what ``dataclasses.asdict`` made of them before.

    Raises `CorruptDataError` for a signature that does not hold, and for a passage that is not there, or not as it stands in the hit.
    """
    proven = to_json("hit", {"hit": plain(hit), "provenance": plain(provenance)})
    return record(Proven, _native.check_provenance(proven))


@checked_function
def read_knowledge_capability(capability: str) -> KnowledgeCapability:
    """Reads the text of a capability that an owner handed over, and checks its form and its signature. Nobody is asked.

    Raises `CorruptDataError` for a signature that does not hold.
    """
    return record(KnowledgeCapability, _native.read_knowledge_capability(capability))


@checked
class SharedKnowledge:
    """A knowledge base of a peer, which a capability opens. ``Node.shared_knowledge`` makes it."""

    def __init__(self, native: _native.SharedKnowledge) -> None:
        self._native = native

    @property
    def capability(self) -> KnowledgeCapability:
        """What opens it."""
        return record(KnowledgeCapability, self._native.capability())

    async def search(
        self, text: str, *, k: int = 8, mode: Mode = "hybrid", timeout: timedelta | None = None
    ) -> list[ProvenHit]:
        """The ``k`` best passages, 64 at most, as the owner's node ranks them. Each was checked against what the owner signed.

        The owner's node learns the text. It may take ``timeout``, ten seconds unless set.

        Raises `PermissionDeniedError` for a capability that is somebody else's, has ended or was revoked, and `NotFoundError` while the
        knowledge base is not open at its owner's node.
        """
        return records(ProvenHit, await finished(self._native.search(text, k, shared_options(mode, timeout))))

    def __repr__(self) -> str:
        return f"<{home(self)}.SharedKnowledge {self.capability.name!r}>"


@checked
class Federation:
    """Several knowledge bases that are searched together. ``Node.federation`` makes it."""

    def __init__(self, native: _native.Federation) -> None:
        self._native = native

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the knowledge bases, in their order."""
        return tuple(self._native.members())

    async def search(
        self,
        text: str,
        *,
        k: int = 8,
        mode: Mode = "hybrid",
        links: bool = False,
        dense_weight: float | None = None,
        timeout: timedelta | None = None,
    ) -> FederatedResult:
        """The ``k`` best passages of all knowledge bases, 64 at most.

        Scores of different knowledge bases say nothing about each other, so what each finds is scored anew: by the federation's
        embedder, and by what words are worth in all of them together. A knowledge base that cannot be searched is named, and
        the others are searched; a text that stands in several counts once. ``links`` and ``dense_weight`` are those of
        ``Rag.search``; a peer may take ``timeout``, ten seconds unless set.

        Raises the error of the first knowledge base when none could be searched.
        """
        options = federated_options(mode, links, dense_weight, timeout)
        return record(FederatedResult, await finished(self._native.search(text, k, options)))

    def __repr__(self) -> str:
        return f"<{home(self)}.Federation of {', '.join(map(repr, self.members))}>"


def plain(given: Hit | Provenance | Mapping[str, Any]) -> dict[str, Any]:
    return asdict(given) if isinstance(given, (Hit, Provenance)) else dict(given)


def sharing(holder: str, name: str, valid_for: timedelta) -> str:
    """The terms as the native module reads them."""
    return to_json("terms", {"holder": holder, "name": name, "valid_for_ms": milliseconds(valid_for)})


def hits_json(hits: Sequence[Hit | Mapping[str, Any]]) -> str:
    return to_json("hits", [plain(hit) for hit in hits])


def with_timeout(options: dict[str, Any], timeout: timedelta | None) -> str:
    return to_json("options", options if timeout is None else options | {"timeout_ms": milliseconds(timeout)})


def shared_options(mode: Mode, timeout: timedelta | None) -> str:
    return with_timeout({"mode": mode}, timeout)


def federated_options(mode: Mode, links: bool, dense_weight: float | None, timeout: timedelta | None) -> str:
    return with_timeout({"mode": mode, "links": links, "dense_weight": dense_weight}, timeout)


Federated: TypeAlias = tuple[
    list[tuple[str, _native.Rag]], list[_native.SharedKnowledge], str, _native.Embedder | None
]


def federated(own: Any, shared: Any, embedder: Any, language: str | None, host: Host) -> Federated:
    """What is federated, for the native module. Knowledge bases may be of ``kwaainet`` or of ``kwaainet.sync``."""
    options = {"embedder": embedder_option(embedder), "language": language}
    brought = None if is_chosen(embedder) else native_embedder(embedder, host)
    members = [(name, base._native) for name, base in (own or {}).items()]
    return members, [base._native for base in shared], to_json("options", options), brought
