"""Who may do what: credentials, trusted issuers, scores, minimum tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias, cast

from . import _native
from ._bridge import Opening, finished
from ._checks import checked, home, milliseconds, to_json
from ._records import record, records
from .provide import Signer, native_signer, running_host

Path: TypeAlias = str | PathLike[str]
Tier: TypeAlias = Literal["unknown", "known", "verified", "trusted"]
Purpose: TypeAlias = Literal["open", "message", "serve_blocks", "use_blocks"]


@dataclass(frozen=True)
class CredentialSummary:
    """What a credential says, without its claims and its proof."""

    id: str
    """Made from its content, so the same everywhere."""
    type: str | None
    """KwaaiNet's type, when it has one."""
    types: tuple[str, ...]
    issuer: str
    subject: str | None
    valid_from: datetime | None
    valid_until: datetime | None


@dataclass(frozen=True)
class Credential(CredentialSummary):
    """A whole credential."""

    claims: dict[str, Any]
    json: str
    """The signed document as text, to be given to others."""


@dataclass(frozen=True)
class Reason:
    """What one credential adds to a score, or why it adds nothing."""

    credential_id: str
    type: str | None
    issuer: str
    weight: float
    age_days: int
    factor: float
    """0.5^(age_days / 365)"""
    contribution: float
    """weight × factor"""
    counted: bool
    why: str


@dataclass(frozen=True)
class Score:
    """How far a peer is trusted, with the arithmetic."""

    value: float
    """From 0 to 1."""
    tier: Tier
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class TrustedIssuer:
    """An issuer that this node trusts, and for what."""

    did: str
    types: tuple[str, ...]


@checked
class TrustGraph:
    """What this node knows about the trustworthiness of others. Nobody is trusted at first."""

    def __init__(self, native: _native.TrustGraph) -> None:
        self._native = native

    @staticmethod
    def open(
        dir: Path | None = None,
        *,
        signer: Signer | None = None,
        seed: int | None = None,
        clock: str | datetime | None = None,
    ) -> Opening[TrustGraph]:
        """A trust graph alone, without a network: in a directory, or in memory with an identity of its own.

        ``signer`` signs what it issues, with a key that the app keeps. For tests, ``seed`` makes an identity that is no
        secret, and ``clock`` is where its clock stands still.
        """
        return Opening(_open(trust_options(dir, seed, clock), signer))

    @property
    def did(self) -> str:
        """The identity that signs what it issues."""
        return self._native.did

    async def issue(
        self,
        type: str,
        subject: str,
        claims: Mapping[str, Any] | None = None,
        *,
        valid_for: timedelta | None = None,
    ) -> Credential:
        """Issues a credential about a DID or a PeerId. It is returned, and not kept."""
        return record(Credential, await finished(self._native.issue(*issue_arguments(type, subject, claims, valid_for))))

    async def verify(self, credential: str) -> Credential:
        """Checks a credential's form and its proof, and says what it says. It is not kept."""
        return record(Credential, await finished(self._native.verify(credential)))

    async def import_credential(self, credential: str) -> CredentialSummary:
        """Verifies a credential, then keeps it."""
        return record(CredentialSummary, await finished(self._native.import_credential(credential)))

    async def credentials(
        self, *, subject: str | None = None, issuer: str | None = None, type: str | None = None
    ) -> list[CredentialSummary]:
        """The credentials that are kept and fit, in the order of their identifiers."""
        return records(CredentialSummary, await finished(self._native.credentials(subject, issuer, type)))

    async def credential(self, id: str) -> Credential:
        """One kept credential with its claims and its proof."""
        return record(Credential, await finished(self._native.credential(id)))

    async def remove_credential(self, id: str) -> None:
        """Forgets a credential."""
        await finished(self._native.remove_credential(id))

    async def issuers(self) -> list[TrustedIssuer]:
        """The issuers that this node trusts. None at first."""
        return records(TrustedIssuer, await finished(self._native.issuers()))

    async def trust_issuer(self, did: str, types: Sequence[str]) -> None:
        """Trusts an issuer for exactly these types from now on."""
        await finished(self._native.trust_issuer(did, list(types)))

    async def distrust_issuer(self, did: str) -> None:
        """Trusts an issuer no longer. Its credentials are kept, and count no more."""
        await finished(self._native.distrust_issuer(did))

    async def score(self, peer: str) -> Score:
        """How far this node trusts a peer, with the arithmetic of every credential that it keeps about it."""
        return record(Score, await finished(self._native.score(peer)))

    async def policy(self) -> dict[Purpose, Tier]:
        """The minimum tier of each purpose."""
        return cast(dict[Purpose, Tier], await finished(self._native.policy()))

    async def set_policy(self, policy: Mapping[Purpose, Tier]) -> None:
        """Replaces the minimum tier of each purpose. A purpose that is left out gets its default."""
        await finished(self._native.set_policy(dict(policy)))

    async def require(self, peer: str, purpose: Purpose) -> None:
        """Raises ``UntrustedPeerError`` when a peer does not reach the minimum tier of a purpose."""
        await finished(self._native.require(peer, purpose))

    async def advance_clock(self, by: timedelta) -> None:
        """For tests: moves the clock that it was opened with, or that of its node."""
        self._native.advance_clock(milliseconds(by))

    async def shutdown(self) -> None:
        """Lets go of the directory. The trust graph of a node stays open with the node."""
        self._native.shutdown()

    def __repr__(self) -> str:
        return shown_graph(self)


async def _open(options: str, signer: Signer | None) -> TrustGraph:
    return TrustGraph(await finished(_native.TrustGraph.open(options, native_signer(signer, running_host()))))


def trust_options(dir: Path | None, seed: int | None, clock: str | datetime | None) -> str:
    """The options as the native module reads them."""
    folder = None if dir is None else fspath(dir)
    return to_json("options", {"dir": folder, "seed": seed, "clock": instant(clock)})


def instant(clock: str | datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    if isinstance(clock, datetime):
        return clock.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return clock


def shown(identity: str) -> str:
    """An identity as short as people tell it from others."""
    return f"{identity[:-8][:12]}…{identity[-6:]}"


def shown_graph(graph: Any) -> str:
    state = "open" if graph._native.is_open() else "closed"
    return f"<{home(graph)}.TrustGraph {shown(graph.did)} {state}>"


def issue_arguments(
    type: str, subject: str, claims: Mapping[str, Any] | None, valid_for: timedelta | None
) -> tuple[str, str, str, int | None]:
    valid_for_ms = None if valid_for is None else milliseconds(valid_for)
    return type, subject, to_json("claims", dict(claims or {})), valid_for_ms
