"""The names of one key: DIDs in every spelling, and PeerIds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from . import _native
from ._checks import checked_function
from ._records import record


@dataclass(frozen=True)
class ResolvedDid:
    """What a DID, or a PeerId, says by itself; nobody is asked."""

    spelling: Literal[
        "key", "peer_0", "peer_1", "peer_2", "peer_3", "peer_4_short", "peer_4_long", "kwaainet", "peer_id"
    ]
    """``kwaainet`` is ``did:peer:<PeerId>``, KwaaiNet's own form."""
    did: str | None
    """The same identity as ``did:key``; ``None`` when the text carries no key, or several."""
    peer_id: str | None
    addresses: tuple[str, ...]
    """Where the peer says it can be dialled. Nobody vouches for them."""
    document: dict[str, Any] | None
    """The DID document; ``None`` when the text carries none and no key to make one of."""


@checked_function
def resolve_did(did: str) -> ResolvedDid:
    """Reads a ``did:key``, a ``did:peer`` of any kind or a PeerId, without the network."""
    return record(ResolvedDid, _native.resolve_did(did))
