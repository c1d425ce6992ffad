"""Who may do what: credentials, trusted issuers, scores, minimum tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias, cast

from . import _native
from ._bridge import Opening, finished
from ._checks import checked, home, milliseconds, real_milliseconds, to_json
from ._records import maybe_record, record, records
from .provide import Signer, native_signer, running_host

Path: TypeAlias = str | PathLike[str]
Tier: TypeAlias = Literal["unknown", "known", "verified", "trusted"]
Purpose: TypeAlias = Literal[
    "open", "message", "serve_blocks", "use_blocks", "store_vectors", "search_knowledge", "relay", "relay_freely"
]
#: A tier, or a score from 0 to 1.
Minimum: TypeAlias = Tier | float
#: How much an asker may learn of a score. Each level includes those before it.
Disclosure: TypeAlias = Literal["nothing", "threshold", "tier", "value", "experience"]
WalletState: TypeAlias = Literal["plain", "locked", "unlocked"]
#: How a dealing with a peer ended; a ``transport_fault`` when no whole answer came.
Outcome: TypeAlias = Literal["good", "bad", "transport_fault"]
#: What a test says of a claim; ``inconclusive`` when the peer did not answer, or there are too few samples to tell.
Verdict: TypeAlias = Literal["holds", "fails", "inconclusive"]
#: What an identity is in a link: one side is a node, the other a person, an organisation, or a person known by a passkey.
LinkType: TypeAlias = Literal["person", "organisation", "passkey", "node"]
#: The shape of a credential of the Decentralized Trust Graph.
DtgShape: TypeAlias = Literal[
    "MembershipCredential", "RelationshipCredential", "EndorsementCredential", "WitnessCredential"
]


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


@dataclass(frozen=True)
class Status:
    """What is known about a credential's withdrawal."""

    state: Literal["not_revocable", "clear", "revoked", "suspended", "unknown"]
    as_of: datetime | None
    """For ``clear``: when the oldest list that says so was signed."""
    why: str | None
    """For ``unknown``: the reason."""


@dataclass(frozen=True)
class KeptStatusList:
    """A status list of another issuer that this node keeps."""

    issuer: str
    url: str
    """Its name, as credentials write it."""
    purposes: tuple[Literal["revocation", "suspension"], ...]
    as_of: datetime
    fresh_until: datetime
    entries: int


@dataclass(frozen=True)
class WantedStatusList:
    """A status list that a kept credential names, and of which this node has no copy or one that grows old."""

    issuer: str
    url: str


@dataclass(frozen=True)
class StatusRefresh:
    """What looking for status lists brought."""

    fetched: int
    """How many lists came and were kept."""
    missing: tuple[WantedStatusList, ...]
    """Those of which nobody had a young copy."""


@dataclass(frozen=True)
class RefusedCredential:
    """A credential of a bundle that was not kept."""

    place: int
    """Its place in the bundle, from 0."""
    code: str
    """The error's code, as ``KwaaiError.code`` has it."""
    message: str


@dataclass(frozen=True)
class ImportedCredentials:
    """What became of a bundle of credentials."""

    kept: tuple[CredentialSummary, ...]
    refused: tuple[RefusedCredential, ...]


@dataclass(frozen=True)
class TrustStatement:
    """What a peer says about somebody, signed for this node alone: its opinion, which changes no score here."""

    responder: str
    asker: str
    about: str
    answer: Literal["unknown", "at_least", "tier", "score"]
    """``unknown`` also when the peer does not want to say."""
    holds: bool | None
    """For ``at_least``: whether the minimum that was asked for is reached."""
    tier: Tier | None
    """For ``tier`` and ``score``."""
    value: float | None
    """For ``score``: from 0 to 1."""
    made_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Thresholds:
    """What credentials about uptime and throughput must report to count."""

    uptime_min_share: float = 0.95
    """The least share of the observed time that a node must have been up, from 0 to 1."""
    uptime_min_days: int = 7
    """The fewest days that must have been observed."""
    throughput_tolerance: float = 0.2
    """How far the measured throughput may stay below the announced one, as a share of that."""
    require_claims: bool = False
    """Whether a credential that reports nothing counts for nothing."""


@dataclass(frozen=True)
class Reputation:
    """What this node measured of a peer. A dealing weighs half after 30 days."""

    peer: str
    good: float
    """The weight of the good answers."""
    bad: float
    success: float
    """The share of good answers, one good and one bad one being supposed beforehand."""
    success_lower_bound: float
    """Its lower bound at about 90 %; 0 without answers."""
    transport_faults: float
    """The weight of dealings that failed in transport."""
    reliability: float | None
    """The share of dealings that did not fail in transport."""
    uptime: float | None
    """The share of the days with dealings on which it answered."""
    latency_ms: float | None
    """The mean time to an answer."""
    throughput: float | None
    """Delivered throughput over promised throughput, where both were measured."""
    standing: float
    """1, or less after many bad answers among the newest."""
    last: datetime
    """When the newest dealing ended."""


@dataclass(frozen=True)
class TakenWord:
    """What was taken of a peer's word about others."""

    recommender: str
    """Whose word it is."""
    count: int
    """About how many peers it was taken; 0 when the peer saw nobody or does not say."""
    made_at: datetime
    """When it was said."""


@dataclass(frozen=True)
class GlobalTrust:
    """A peer's share of the trust in the network."""

    peer: str
    value: float
    """From 0 to 1; those of all peers sum to 1."""


@dataclass(frozen=True)
class ClaimTest:
    """A test of what a credential claims."""

    credential_id: str
    peer: str
    """The subject, which was tested."""
    claim: str
    """The name of the claim: ``upShare`` or ``tokensPerSecond``."""
    claimed: float
    measured: float | None
    """In the claim's unit; ``None`` when the peer did not answer a test that needs an answer."""
    samples: int
    """How many the measurement rests on: hours with probes for an uptime, tokens for a rate."""
    tolerance: float
    """How far the measurement may stay below the claim, as a share of it."""
    verdict: Verdict
    correct: bool | None
    """Whether the work was what this node computes itself; ``None`` when it was not compared."""
    seed: int
    at: datetime
    probe: str
    """As this node signed it."""
    answer: str | None
    """As the peer signed it; ``None`` when none came."""


@dataclass(frozen=True)
class Sightings:
    """How often this node found a peer up, over the last 128 days."""

    since: datetime
    """The first look."""
    until: datetime
    """The last look."""
    looks: int
    up: int
    """How many of the looks found it up."""
    up_share: float


@dataclass(frozen=True)
class PledgeWithdrawal:
    """A subject's signed word that it takes its pledge back."""

    pledger: str
    """Who pledged and takes it back."""
    credential_id: str
    """The credential that counts no more."""
    withdrawn: datetime
    json: str
    """The signed text, to be given to the issuer and to peers."""


@dataclass(frozen=True)
class LegacyCredential:
    """A credential in the form of KwaaiNet's own software. It counts nowhere."""

    type: str | None
    """KwaaiNet's type, when it has one: of several, the first."""
    types: tuple[str, ...]
    issuer: str
    """As it is written there, and so is the subject."""
    subject: str
    issued: datetime
    """By its own account."""
    expires: datetime | None
    claims: dict[str, Any]
    """What it says about its subject."""
    signer: str | None
    """The issuer, when its key signed what stands there."""
    why: str | None
    """Why nobody can tell, when there is no ``signer``."""


@dataclass(frozen=True)
class DtgCredential:
    """What a credential of the Decentralized Trust Graph says. Its shape alone counts nowhere."""

    shape: DtgShape
    nearest_types: tuple[str, ...]
    """KwaaiNet's types of this shape. A credential counts as one of them only when it names that type too."""
    issuer: str
    """The community, the other party, the endorser or the witness."""
    subject: str
    endorsement: dict[str, Any]
    """Of an endorsement: the object as its community defines it; empty otherwise."""
    digest: str | None
    """Of a witness: the digest of the witnessed credential, as it is written."""
    witnessed: dict[str, str]
    """Of a witness: the circumstances ``event``, ``sessionId`` and ``method``, those that are given."""


@dataclass(frozen=True)
class IdentityBinding:
    """A link between a node and a person or organisation that both keys prove."""

    node: str
    identity: str
    """The person or organisation."""
    link_type: LinkType
    """What the identity is: never ``node``."""
    since: datetime
    """Since when both sides hold."""


@dataclass(frozen=True)
class VerifiedPresentation:
    """What a presentation that was checked shows."""

    holder: str
    """Who showed it, and proved to have the key."""
    credentials: tuple[Credential, ...]
    """Those about the holder. All of them verified and are in force."""
    about_others: tuple[Credential, ...]
    """They verified too, and say nothing about the holder."""
    expires_at: datetime


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
        revocable: bool = False,
    ) -> Credential:
        """Issues a credential about a DID or a PeerId. It is returned, and not kept.

        One that is ``revocable`` can be withdrawn, with ``revoke`` for good or with ``suspend`` for a while.
        """
        arguments = issue_arguments(type, subject, claims, valid_for)
        return record(Credential, await finished(self._native.issue(*arguments, revocable)))

    async def revoke(self, credential_id: str) -> None:
        """Withdraws a revocable credential of this node for good: here at once, elsewhere when this node's list arrives."""
        await finished(self._native.revoke(credential_id))

    async def suspend(self, credential_id: str) -> None:
        """Withdraws a revocable credential of this node until ``reinstate``."""
        await finished(self._native.suspend(credential_id))

    async def reinstate(self, credential_id: str) -> None:
        """Ends the suspension of a credential. What was revoked stays so, and is an error."""
        await finished(self._native.reinstate(credential_id))

    async def status(self, credential: str) -> Status:
        """What is known here about the withdrawal of a credential, which is verified first."""
        return record(Status, await finished(self._native.status(credential)))

    async def status_lists(self) -> list[str]:
        """The names of this node's own status lists: none before its first revocable credential."""
        return await finished(self._native.status_lists())

    async def status_list(self, url: str) -> str:
        """A signed status list to hand out: one of this node's own, or one that it keeps."""
        return await finished(self._native.status_list(url))

    async def keep_status_list(self, list: str) -> KeptStatusList:
        """Checks a signed status list and keeps it, wherever it came from, when a kept credential names it."""
        return record(KeptStatusList, await finished(self._native.keep_status_list(list)))

    async def wanted_status_lists(self) -> list[WantedStatusList]:
        """The status lists that kept credentials name, and of which this node has no copy or one that grows old."""
        return records(WantedStatusList, await finished(self._native.wanted_status_lists()))

    async def verify(self, credential: str) -> Credential:
        """Checks a credential's form and its proof, and says what it says. It is not kept."""
        return record(Credential, await finished(self._native.verify(credential)))

    async def read_legacy(self, credential: str) -> LegacyCredential:
        """Reads a credential in the form of KwaaiNet's own software, and tries its proof. It is not kept and counts nowhere.

        A proof that does not hold raises nothing: see ``signer`` and ``why``. Its issuer can say the same again with
        ``issue``, which takes the type, the subject and the claims as they are here.
        """
        return record(LegacyCredential, await finished(self._native.read_legacy(credential)))

    async def read_dtg(self, credential: str) -> DtgCredential | None:
        """Checks a credential like ``verify``, and says what it says as one of the Decentralized Trust Graph.

        ``None`` when it is none. It is not kept. Raises ``UnsupportedError`` for a shape that is not read here.
        """
        return maybe_record(DtgCredential, await finished(self._native.read_dtg(credential)))

    async def import_credential(self, credential: str) -> CredentialSummary:
        """Verifies a credential, then keeps it. What breaks a rule is refused, with the ``rule`` in the error."""
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

    async def export_credentials(self) -> str:
        """Every kept credential as one text for ``import_credentials`` elsewhere. It is not encrypted."""
        return await finished(self._native.export_credentials())

    async def import_credentials(self, bundle: str) -> ImportedCredentials:
        """Verifies every credential of a bundle, then keeps those that hold, all in one step."""
        return record(ImportedCredentials, await finished(self._native.import_credentials(bundle)))

    async def set_passphrase(self, passphrase: str) -> None:
        """Encrypts the kept credentials under a passphrase of at most 1024 bytes, or replaces the one before.

        It cannot be recovered. From the next opening on, credentials are out of reach until ``unlock``.
        """
        await finished(self._native.set_passphrase(passphrase))

    async def remove_passphrase(self) -> None:
        """Keeps credentials unencrypted again. The wallet must be unlocked."""
        await finished(self._native.remove_passphrase())

    async def unlock(self, passphrase: str) -> None:
        """Brings encrypted credentials within reach. Raises ``PermissionDeniedError`` for another passphrase."""
        await finished(self._native.unlock(passphrase))

    async def lock(self) -> None:
        """Puts encrypted credentials out of reach until ``unlock``."""
        await finished(self._native.lock())

    async def wallet_state(self) -> WalletState:
        """Whether there is a passphrase, and whether it was given."""
        return cast(WalletState, await finished(self._native.wallet_state()))

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

    async def scores(self, peers: Sequence[str]) -> list[Score]:
        """How far this node trusts several peers, in their order and from one view of what it knows."""
        return records(Score, await finished(self._native.scores(list(peers))))

    async def policy(self) -> dict[Purpose, Minimum]:
        """The minimum of each purpose: a tier, or a score."""
        return cast(dict[Purpose, Minimum], await finished(self._native.policy()))

    async def set_policy(self, policy: Mapping[Purpose, Minimum]) -> None:
        """Replaces the minimum of each purpose. A purpose that is left out gets its default."""
        await finished(self._native.set_policy(to_json("policy", dict(policy))))

    async def require(self, peer: str, purpose: Purpose) -> None:
        """Raises ``UntrustedPeerError`` when a peer does not reach the minimum of a purpose."""
        await finished(self._native.require(peer, purpose))

    async def disclosures(self) -> dict[Tier, Disclosure]:
        """How much others may learn of this node's scores when they ask, by their own tier. At first nothing."""
        return cast(dict[Tier, Disclosure], await finished(self._native.disclosures()))

    async def set_disclosures(self, disclosures: Mapping[Tier, Disclosure]) -> None:
        """Replaces how much others may learn. Who has a higher tier learns at least as much as those below."""
        await finished(self._native.set_disclosures(dict(disclosures)))

    async def thresholds(self) -> Thresholds:
        """What credentials about uptime and throughput must report to count."""
        return record(Thresholds, await finished(self._native.thresholds()))

    async def set_thresholds(self, thresholds: Thresholds) -> None:
        """Replaces what credentials must report, durably. Shares are from 0 to 1."""
        await finished(self._native.set_thresholds(to_json("thresholds", vars(thresholds))))

    async def record(
        self,
        peer: str,
        outcome: Outcome,
        *,
        latency: timedelta | None = None,
        promised: float | None = None,
        delivered: float | None = None,
    ) -> None:
        """Notes how a dealing with a peer ended just now.

        ``promised`` and ``delivered`` are throughput in one unit of the app's choice, such as tokens a second. It is
        written with others after half a minute, and when the graph is shut down.
        """
        await finished(self._native.record(peer, outcome, real_milliseconds(latency), promised, delivered))

    async def reputation(self, peer: str) -> Reputation | None:
        """What this node measured of a peer; ``None`` when it never dealt with it."""
        return maybe_record(Reputation, await finished(self._native.reputation(peer)))

    async def reputations(self) -> list[Reputation]:
        """What this node measured of each peer that it dealt with, in the order of their keys."""
        return records(Reputation, await finished(self._native.reputations()))

    async def add_recommendation(
        self, recommender: str, about: str, good: float, bad: float, *, at: str | datetime | None = None
    ) -> None:
        """Notes what one peer says about another, in place of what it said before.

        ``good`` and ``bad`` are the weights, from 0 to 10^9, of the answers that it saw, and ``at`` is when it said so, now
        unless set. Whose word it is was checked by the app. It is written with others after half a minute, and when the
        graph is shut down.
        """
        await finished(self._native.add_recommendation(recommender, about, good, bad, instant(at)))

    async def propagate(
        self, *, pretrusted: Sequence[str] | None = None, alpha: float | None = None
    ) -> list[GlobalTrust]:
        """EigenTrust over everybody of whom this node knows, itself among them: the greatest value first.

        It rates peers by its own experience, and each recommender by its recommendations. ``pretrusted`` are trusted before
        anybody is rated, this node unless set, and ``alpha``, from 0.01 to 1 and 0.1 unless set, is how much of the trust goes
        to them at each step. No score contains it: here a recommender is believed as far as it serves well.
        """
        chosen = None if pretrusted is None else list(pretrusted)
        return records(GlobalTrust, await finished(self._native.propagate(chosen, alpha)))

    async def flush(self) -> None:
        """Writes now what was recorded of peers, and what they recommended, and was not written yet."""
        await finished(self._native.flush())

    async def reset_reputation(self, peer: str) -> None:
        """Forgets what this node measured of a peer, durably."""
        await finished(self._native.reset_reputation(peer))

    async def tests(self, credential_id: str) -> list[ClaimTest]:
        """The tests of a credential's claim that are kept, the last 64 of them, the oldest first."""
        return records(ClaimTest, await finished(self._native.tests(credential_id)))

    async def sight(self, peer: str, up: bool) -> None:
        """Notes whether a peer was up just now: a sample of its sightings, for an app that looks by its own means."""
        await finished(self._native.sight(peer, up))

    async def sightings(self, peer: str) -> Sightings | None:
        """How often this node found a peer up; ``None`` when it never looked within the last 128 days."""
        return maybe_record(Sightings, await finished(self._native.sightings(peer)))

    async def issue_uptime(self, peer: str, *, valid_for: timedelta | None = None) -> Credential:
        """Issues an ``UptimeVC`` about a peer from what this node saw of it. It is returned and not kept.

        Raises `NotFoundError` when this node did not look at the peer at two instants at least, or on fewer than half of the
        days between.
        """
        valid_for_ms = None if valid_for is None else milliseconds(valid_for)
        return record(Credential, await finished(self._native.issue_uptime(peer, valid_for_ms)))

    async def issue_binding(
        self, subject: str, link_type: LinkType, *, valid_for: timedelta | None = None
    ) -> Credential:
        """Issues this identity's side of a link with a subject, a DID or a PeerId. It is returned and not kept.

        ``link_type`` says what this identity is. The link is proven where both sides are kept: the node's, which says
        ``node``, and that of its person or organisation.
        """
        valid_for_ms = None if valid_for is None else milliseconds(valid_for)
        return record(Credential, await finished(self._native.issue_binding(subject, link_type, valid_for_ms)))

    async def bindings(self, did: str) -> list[IdentityBinding]:
        """The links of a node, or of a person or organisation, that both keys prove by kept credentials: oldest first."""
        return records(IdentityBinding, await finished(self._native.bindings(did)))

    async def present(
        self,
        audience: str,
        challenge: str,
        *,
        subject: str | None = None,
        issuer: str | None = None,
        type: str | None = None,
    ) -> str:
        """Shows kept credentials that are in force, signed for one audience in answer to its challenge.

        They are those about this node, unless ``subject`` is somebody else. It holds for five minutes.
        """
        return await finished(self._native.present(audience, challenge, subject, issuer, type))

    async def verify_presentation(self, presentation: str, audience: str, challenge: str) -> VerifiedPresentation:
        """Checks a presentation and every credential in it.

        Raises ``PermissionDeniedError`` when it was made for another audience or answers another challenge. Whether the
        challenge was given out, and was not answered before, is for the app to know.
        """
        native = self._native.verify_presentation(presentation, audience, challenge)
        return record(VerifiedPresentation, await finished(native))

    async def request_pledge(self, issuer: str, text: str, *, name: str | None = None) -> str:
        """Asks an issuer to certify that this node pledges a text; the signed request is for the issuer.

        ``name`` is what the text is called, unless it is the GliaNet Fiduciary Pledge.
        """
        return await finished(self._native.request_pledge(issuer, text, name))

    async def issue_pledge(
        self, request: str, text: str, *, name: str | None = None, valid_for: timedelta | None = None
    ) -> Credential:
        """Issues the credential that a request asks for, when it asks for exactly this pledge. It can be revoked."""
        valid_for_ms = None if valid_for is None else milliseconds(valid_for)
        return record(Credential, await finished(self._native.issue_pledge(request, text, name, valid_for_ms)))

    async def accept_pledge(self, credential: str, text: str, *, name: str | None = None) -> CredentialSummary:
        """Keeps the credential of this node's own pledge, and shows it to peers who ask."""
        return record(CredentialSummary, await finished(self._native.accept_pledge(credential, text, name)))

    async def withdraw_pledge(self, credential_id: str) -> str:
        """Takes back a pledge of this node; the signed withdrawal is for the issuer and for peers."""
        return await finished(self._native.withdraw_pledge(credential_id))

    async def import_withdrawal(self, withdrawal: str) -> str:
        """Takes note that somebody withdrew its pledge; returns the identifier of the credential that counts no more."""
        return await finished(self._native.import_withdrawal(withdrawal))

    async def withdrawals(self) -> list[PledgeWithdrawal]:
        """The withdrawals that are known here, of this node and of others, in the order of their credentials."""
        return records(PledgeWithdrawal, await finished(self._native.withdrawals()))

    async def pledge_to_revoke(self, withdrawal: str) -> Credential:
        """Reads the withdrawal of a pledge that this node issued: the credential is what to ``revoke``.

        Raises ``InvalidArgumentError`` when another node issued it.
        """
        return record(Credential, await finished(self._native.pledge_to_revoke(withdrawal)))

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
