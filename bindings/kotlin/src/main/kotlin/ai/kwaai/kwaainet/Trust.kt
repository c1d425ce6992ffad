package ai.kwaai.kwaainet

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import java.time.Instant
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import ai.kwaai.kwaainet.internal.ClaimTest as NativeClaimTest
import ai.kwaai.kwaainet.internal.Credential as NativeCredential
import ai.kwaai.kwaainet.internal.CredentialSummary as NativeCredentialSummary
import ai.kwaai.kwaainet.internal.DtgCredential as NativeDtgCredential
import ai.kwaai.kwaainet.internal.GlobalTrust as NativeGlobalTrust
import ai.kwaai.kwaainet.internal.IdentityBinding as NativeIdentityBinding
import ai.kwaai.kwaainet.internal.ImportedCredentials as NativeImportedCredentials
import ai.kwaai.kwaainet.internal.KeptStatusList as NativeKeptStatusList
import ai.kwaai.kwaainet.internal.LegacyCredential as NativeLegacyCredential
import ai.kwaai.kwaainet.internal.Minimum as NativeMinimum
import ai.kwaai.kwaainet.internal.PledgeWithdrawal as NativePledgeWithdrawal
import ai.kwaai.kwaainet.internal.Reason as NativeReason
import ai.kwaai.kwaainet.internal.RefusedCredential as NativeRefusedCredential
import ai.kwaai.kwaainet.internal.Reputation as NativeReputation
import ai.kwaai.kwaainet.internal.ResolvedDid as NativeResolvedDid
import ai.kwaai.kwaainet.internal.Score as NativeScore
import ai.kwaai.kwaainet.internal.Sightings as NativeSightings
import ai.kwaai.kwaainet.internal.Status as NativeStatus
import ai.kwaai.kwaainet.internal.StatusRefresh as NativeStatusRefresh
import ai.kwaai.kwaainet.internal.TakenWord as NativeTakenWord
import ai.kwaai.kwaainet.internal.Thresholds as NativeThresholds
import ai.kwaai.kwaainet.internal.TrustStatement as NativeTrustStatement
import ai.kwaai.kwaainet.internal.TrustedIssuer as NativeTrustedIssuer
import ai.kwaai.kwaainet.internal.VerifiedPresentation as NativeVerifiedPresentation
import ai.kwaai.kwaainet.internal.WantedStatusList as NativeWantedStatusList

/** The least that a purpose asks for: a [Tier], or a score where four tiers are too coarse. */
public sealed interface Minimum

/** At least this score, from 0 to 1. */
public data class MinimumScore(val value: Double) : Minimum

/** How far a peer is trusted, from nothing known to trusted. */
public enum class Tier : Minimum {
    UNKNOWN,
    KNOWN,
    VERIFIED,
    TRUSTED;

    public companion object {
        /** The tier of a name such as `verified`. */
        public fun of(name: String): Tier = named(entries, "tier", name)
    }
}

/** What a peer wants to do, or what this node wants of a peer. */
public enum class Purpose {
    /** What every node answers anybody. */
    OPEN,

    /** A peer sends this node a message. */
    MESSAGE,

    /** This node computes blocks for a peer. */
    SERVE_BLOCKS,

    /** A peer computes blocks for this node. */
    USE_BLOCKS,

    /** A peer keeps private knowledge at this node. */
    STORE_VECTORS,

    /** A peer searches a knowledge base that it was given a capability for. */
    SEARCH_KNOWLEDGE,

    /** A peer is reached, or reaches others, through this node. */
    RELAY,

    /** The same with a full share of the relay. */
    RELAY_FREELY;

    public companion object {
        /** The purpose of a name such as `serve_blocks`. */
        public fun of(name: String): Purpose = named(entries, "purpose", name)
    }
}

/** What a credential says, without claims and proof. */
public data class CredentialSummary(
    /** Made from its content. */
    val id: String,
    /** KwaaiNet's type, when it has one, for example `VerifiedNodeVC`. */
    val type: String?,
    /** Every type that it names. */
    val types: List<String>,
    /** The DID of who signed it. */
    val issuer: String,
    /** The DID of whom it is about. */
    val subject: String?,
    val validFrom: Instant?,
    val validUntil: Instant?,
)

/** A whole credential. */
public data class Credential(
    /** Made from its content. */
    val id: String,
    /** KwaaiNet's type, when it has one. */
    val type: String?,
    /** Every type that it names. */
    val types: List<String>,
    /** The DID of who signed it. */
    val issuer: String,
    /** The DID of whom it is about. */
    val subject: String?,
    val validFrom: Instant?,
    val validUntil: Instant?,
    /** What it says about its subject. */
    val claims: JsonObject,
    /** The signed document as text, to be given to others. */
    val json: String,
)

/** What one credential adds to a score, or why it adds nothing. */
public data class Reason(
    val credentialId: String,
    val type: String?,
    val issuer: String,
    /** The weight of its type. */
    val weight: Double,
    /** Its age in whole days. */
    val ageDays: Long,
    /** 0.5^(ageDays / 365). */
    val factor: Double,
    /** weight × factor. */
    val contribution: Double,
    /** Whether it counts. */
    val counted: Boolean,
    /** Why it counts or does not. */
    val why: String,
)

/** How far a peer is trusted, with the arithmetic. */
public data class Score(
    /** From 0 to 1. */
    val value: Double,
    val tier: Tier,
    val reasons: List<Reason>,
)

/** What is known about a credential's withdrawal. */
public data class Status(
    val state: State,
    /** With [State.CLEAR], when the oldest list that says so was signed. */
    val asOf: Instant?,
    /** With [State.UNKNOWN], the reason in a short phrase. */
    val why: String?,
) {
    /** Where a credential stands. */
    public enum class State {
        /** Its issuer cannot withdraw it. */
        NOT_REVOCABLE,

        /** Every list that it names is at hand and fresh, and none speaks against it. */
        CLEAR,

        /** It was withdrawn for good. */
        REVOKED,

        /** It does not hold for now. */
        SUSPENDED,

        /** A list that it names is missing or stale. */
        UNKNOWN,
    }
}

/** A status list of another issuer that is kept. */
public data class KeptStatusList(
    /** The DID of who signed it. */
    val issuer: String,
    /** Its name, as credentials write it. */
    val url: String,
    /** What its bits may mean: `revocation`, `suspension`. */
    val purposes: List<String>,
    /** Since when it holds. */
    val asOf: Instant,
    val freshUntil: Instant,
    val entries: Long,
)

/** A status list that a kept credential names, and of which there is no fresh copy. */
public data class WantedStatusList(val issuer: String, val url: String)

/** What looking for status lists brought. */
public data class StatusRefresh(
    /** How many lists came and were kept. */
    val fetched: Long,
    /** Those of which nobody had a young copy. */
    val missing: List<WantedStatusList>,
)

/** What became of a bundle of credentials. */
public data class ImportedCredentials(val kept: List<CredentialSummary>, val refused: List<RefusedCredential>)

/** A credential of a bundle that was refused, and why. */
public data class RefusedCredential(
    /** Its place in the bundle, from 0. */
    val place: Long,
    /** The code of the error, for example `corrupt_data`. */
    val code: String,
    val message: String,
)

/** Whether the credentials are kept under a passphrase. */
public enum class WalletState {
    /** There is no passphrase. */
    PLAIN,

    /** There is one, and it was not given yet. */
    LOCKED,

    /** There is one, and it was given. */
    UNLOCKED,
}

/** How much an asker may learn of a score. Each level includes those before it. */
public enum class Disclosure {
    /** Nothing: every answer is [TrustStatement.Answer.UNKNOWN]. */
    NOTHING,

    /** Whether the score reaches one threshold of the asker's choice, for each subject and day. */
    THRESHOLD,
    TIER,
    VALUE,

    /** What this node saw of others by itself; see [Node.askWord]. */
    EXPERIENCE;

    public companion object {
        /** The level of a name such as `threshold`. */
        public fun of(name: String): Disclosure = named(entries, "disclosure", name)
    }
}

/** What credentials about uptime and throughput must report to count. */
public data class Thresholds(
    /** The least share of the observed time that a node must have been up, from 0 to 1. */
    val uptimeMinShare: Double = AT_FIRST.uptimeMinShare,
    /** The fewest days that must have been observed. */
    val uptimeMinDays: Long = AT_FIRST.uptimeMinDays.toLong(),
    /** How far the measured throughput may stay below the announced one, as a share of that. */
    val throughputTolerance: Double = AT_FIRST.throughputTolerance,
    /** Whether a credential that reports nothing counts for nothing. */
    val requireClaims: Boolean = AT_FIRST.requireClaims,
)

/** How a dealing with a peer ended. */
public enum class Outcome {
    /** The answer was right. */
    GOOD,

    /** The peer answered, and the answer was wrong or not what it had agreed to. */
    BAD,

    /** No whole answer came, which says nothing about the peer's honesty. */
    TRANSPORT_FAULT;

    public companion object {
        /** The outcome of a name such as `transport_fault`. */
        public fun of(name: String): Outcome = named(entries, "outcome", name)
    }
}

/** What this node measured of a peer. A dealing weighs half after 30 days. */
public data class Reputation(
    /** The peer's DID. */
    val peer: String,
    /** The weight of the good answers. */
    val good: Double,
    /** The weight of the bad answers. */
    val bad: Double,
    /** The share of good answers, one good and one bad one being supposed beforehand. */
    val success: Double,
    /** Its lower bound at about 90 %; 0 without answers. */
    val successLowerBound: Double,
    /** The weight of dealings that failed in transport. */
    val transportFaults: Double,
    /** The share of dealings that did not fail in transport. */
    val reliability: Double?,
    /** The share of the days with dealings on which it answered. */
    val uptime: Double?,
    /** The mean time to an answer. */
    val latency: Duration?,
    /** Delivered throughput over promised throughput, where both were measured. */
    val throughput: Double?,
    /** 1, or less after many bad answers among the newest. */
    val standing: Double,
    /** When the newest dealing ended. */
    val last: Instant,
)

/** What was taken of a peer's word about others. */
public data class TakenWord(
    /** The DID of whose word it is. */
    val recommender: String,
    /** About how many peers it was taken; 0 when the peer saw nobody or does not say. */
    val count: Long,
    /** When it was said. */
    val madeAt: Instant,
)

/** A peer's share of the trust in the network. */
public data class GlobalTrust(
    /** The peer's DID. */
    val peer: String,
    /** From 0 to 1; those of all peers sum to 1. */
    val value: Double,
)

/** What a test says of a claim. */
public enum class Verdict {
    /** What was measured reaches the claim, within the tolerance. */
    HOLDS,

    /** It stays below the claim, or the result was wrong. */
    FAILS,

    /** The peer did not answer, or there are too few samples to tell. */
    INCONCLUSIVE,
}

/** A test of what a credential claims. */
public data class ClaimTest(
    val credentialId: String,
    /** The DID of its subject, which was tested. */
    val peer: String,
    /** The name of the claim: `upShare` or `tokensPerSecond`. */
    val claim: String,
    /** What it says. */
    val claimed: Double,
    /** What was measured, in the claim's unit; `null` when the peer did not answer a test that needs an answer. */
    val measured: Double?,
    /** How many samples the measurement rests on: hours with probes for an uptime, tokens for a rate. */
    val samples: Int,
    /** How far the measurement may stay below the claim, as a share of it. */
    val tolerance: Double,
    val verdict: Verdict,
    /** Whether the work was what this node computes itself; `null` when it was not compared. */
    val correct: Boolean?,
    val seed: Long,
    val at: Instant,
    /** The probe as this node signed it. */
    val probe: String,
    /** The answer as the peer signed it; `null` when none came. */
    val answer: String?,
)

/** What an identity is in a link: one side is a node, the other a person or an organisation. */
public enum class LinkType {
    PERSON,
    ORGANISATION,

    /** A person, known by a passkey. */
    PASSKEY,
    NODE;

    public companion object {
        /** The type of a name such as `organisation`. */
        public fun of(name: String): LinkType = named(entries, "linkType", name)
    }
}

/** How often this node found a peer up, over the last 128 days. */
public data class Sightings(
    /** The first look. */
    val since: Instant,
    /** The last look. */
    val until: Instant,
    val looks: Long,
    /** How many of the looks found it up. */
    val up: Long,
    val upShare: Double,
)

/** A subject's signed word that it takes its pledge back. */
public data class PledgeWithdrawal(
    /** The DID of who pledged and takes it back. */
    val pledger: String,
    /** The credential that counts no more. */
    val credentialId: String,
    val withdrawn: Instant,
    /** The signed text, to be given to the issuer and to peers. */
    val json: String,
)

/** A credential in the form of KwaaiNet's own software. It counts nowhere. */
public data class LegacyCredential(
    /** KwaaiNet's type, when it has one: of several, the first. */
    val type: String?,
    /** Every type that it names. */
    val types: List<String>,
    /** As it is written there, and so is the subject. */
    val issuer: String,
    val subject: String,
    /** By its own account. */
    val issued: Instant,
    val expires: Instant?,
    /** What it says about its subject. */
    val claims: JsonObject,
    /** The DID of the issuer, when its key signed what stands there. */
    val signer: String?,
    /** Why nobody can tell, when there is no [signer]. */
    val why: String?,
)

/** What a credential of the Decentralized Trust Graph says. Its shape alone counts nowhere. */
public data class DtgCredential(
    /** `MembershipCredential`, `RelationshipCredential`, `EndorsementCredential` or `WitnessCredential`. */
    val shape: String,
    /** KwaaiNet's types of this shape. A credential counts as one of them only when it names that type too. */
    val nearestTypes: List<String>,
    /** The DID of the community, the other party, the endorser or the witness. */
    val issuer: String,
    /** The DID of whom it is about. */
    val subject: String,
    /** Of an endorsement: the object as its community defines it; empty otherwise. */
    val endorsement: JsonObject,
    /** Of a witness: the digest of the witnessed credential, as it is written. */
    val digest: String?,
    /** Of a witness: the circumstances `event`, `sessionId` and `method`, those that are given. */
    val witnessed: JsonObject,
)

/** A link between a node and a person or organisation that both keys prove. */
public data class IdentityBinding(
    /** The DID of the node. */
    val node: String,
    /** The DID of the person or organisation. */
    val identity: String,
    /** What the identity is: never [LinkType.NODE]. */
    val linkType: LinkType,
    /** Since when both sides hold. */
    val since: Instant,
)

/** What a presentation that was checked shows. */
public data class VerifiedPresentation(
    /** The DID of who showed it, and proved to have the key. */
    val holder: String,
    /** Those about the holder. All of them verified and are in force. */
    val credentials: List<Credential>,
    /** They verified too, and say nothing about the holder. */
    val aboutOthers: List<Credential>,
    val expiresAt: Instant,
)

/** A peer's signed opinion on somebody, which was checked. */
public data class TrustStatement(
    /** The DID of who says it. */
    val responder: String,
    /** The DID of whom it was made for. */
    val asker: String,
    /** The DID of whom it is about. */
    val about: String,
    val answer: Answer,
    /** With [Answer.AT_LEAST], whether the minimum that was asked for is reached. */
    val holds: Boolean?,
    /** With [Answer.TIER] and [Answer.SCORE]. */
    val tier: Tier?,
    /** With [Answer.SCORE], from 0 to 1. */
    val value: Double?,
    val madeAt: Instant,
    val expiresAt: Instant,
) {
    /** What kind of answer it is. */
    public enum class Answer {
        /** Nothing that counts is known, or the asker may not know. */
        UNKNOWN,
        AT_LEAST,
        TIER,
        SCORE,
    }
}

/** What a name of a peer says by itself. */
public data class ResolvedDid(
    /** How it is spelt, for example `key`, `peer_2`, `kwaainet` or `peer_id`. */
    val spelling: String,
    /** The identity as did:key, when the name carries its key. */
    val did: String?,
    /** The identity on the network, when the name carries it or its key. */
    val peerId: String?,
    /** Where the peer says that it can be dialled. Nobody vouches for them. */
    val addresses: List<String>,
    /** The DID document, when it can be made from the name alone. */
    val document: JsonObject?,
)

/** An issuer that this node trusts, and for what. */
public data class TrustedIssuer(val did: String, val types: List<String>)

internal fun <E : Enum<E>> named(entries: List<E>, what: String, name: String): E =
    entries.firstOrNull { it.wire() == name }
        ?: throw KwaaiException.InvalidArgument(
            "$what must be one of ${entries.joinToString { "\"${it.wire()}\"" }}, not \"${name.take(60)}\"",
        )

/** The name as the library and the other languages write it. */
internal fun Enum<*>.wire(): String = name.lowercase()

internal fun NativeCredentialSummary.read() =
    CredentialSummary(id, type, types, issuer, subject, validFrom?.let(Instant::parse), validUntil?.let(Instant::parse))

internal fun NativeCredential.read(): Credential = summary.read().run {
    Credential(id, type, types, issuer, subject, validFrom, validUntil, jsonObject(claims), json)
}

private fun jsonObject(text: String) = Json.parseToJsonElement(text).jsonObject

internal fun NativeReason.read() =
    Reason(credentialId, type, issuer, weight, ageDays.toLong(), factor, contribution, counted, why)

internal fun NativeScore.read() = Score(value, Tier.of(tier), reasons.map { it.read() })

internal fun NativeTrustedIssuer.read() = TrustedIssuer(did, types)

internal fun Minimum.native(): NativeMinimum = when (this) {
    is Tier -> NativeMinimum.Tier(wire())
    is MinimumScore -> NativeMinimum.Score(value)
}

internal fun NativeMinimum.read(): Minimum = when (this) {
    is NativeMinimum.Tier -> Tier.of(v1)
    is NativeMinimum.Score -> MinimumScore(v1)
}

internal fun NativeStatus.read() = Status(named(Status.State.entries, "state", state), asOf?.let(Instant::parse), why)

internal fun NativeKeptStatusList.read() =
    KeptStatusList(issuer, url, purposes, Instant.parse(asOf), Instant.parse(freshUntil), entries.toLong())

internal fun NativeWantedStatusList.read() = WantedStatusList(issuer, url)

internal fun NativeStatusRefresh.read() = StatusRefresh(fetched, missing.map { it.read() })

/** What holds until thresholds are set. */
private val AT_FIRST = NativeThresholds()

internal fun NativeThresholds.read() =
    Thresholds(uptimeMinShare, uptimeMinDays.toLong(), throughputTolerance, requireClaims)

internal fun Thresholds.native(): NativeThresholds {
    val most = UInt.MAX_VALUE.toLong()
    if (uptimeMinDays !in 0..most) {
        val message = "thresholds.uptimeMinDays must be a whole number from 0 to $most, not $uptimeMinDays"
        throw KwaaiException.InvalidArgument(message)
    }
    return NativeThresholds(uptimeMinShare, uptimeMinDays.toUInt(), throughputTolerance, requireClaims)
}

internal fun NativeReputation.read() = Reputation(
    peer, good, bad, success, successLowerBound, transportFaults, reliability, uptime, latencyMs?.milliseconds, throughput,
    standing, Instant.parse(last),
)

internal fun NativeTakenWord.read() = TakenWord(recommender, count, Instant.parse(madeAt))

internal fun NativeGlobalTrust.read() = GlobalTrust(peer, value)

internal fun NativeClaimTest.read() = ClaimTest(
    credentialId, peer, claim, claimed, measured, samples.toInt(), tolerance, named(Verdict.entries, "verdict", verdict), correct,
    seed.toLong(), Instant.parse(at), probe, answer,
)

internal fun NativeSightings.read() = Sightings(Instant.parse(since), Instant.parse(until), looks.toLong(), up.toLong(), upShare)

internal fun NativePledgeWithdrawal.read() = PledgeWithdrawal(pledger, credentialId, Instant.parse(withdrawn), json)

internal fun NativeLegacyCredential.read() = LegacyCredential(
    type, types, issuer, subject, Instant.parse(issued), expires?.let(Instant::parse), jsonObject(claims), signer, why,
)

internal fun NativeDtgCredential.read() =
    DtgCredential(shape, nearestTypes, issuer, subject, jsonObject(endorsement), digest, jsonObject(witnessed))

internal fun NativeIdentityBinding.read() = IdentityBinding(node, identity, LinkType.of(linkType), Instant.parse(since))

internal fun NativeVerifiedPresentation.read() = VerifiedPresentation(
    holder, credentials.map { it.read() }, aboutOthers.map { it.read() }, Instant.parse(expiresAt),
)

internal fun NativeImportedCredentials.read() = ImportedCredentials(kept.map { it.read() }, refused.map { it.read() })

internal fun NativeRefusedCredential.read() = RefusedCredential(place.toLong(), code, message)

internal fun NativeTrustStatement.read() = TrustStatement(
    responder, asker, about, named(TrustStatement.Answer.entries, "answer", answer), holds, tier?.let(Tier::of), value,
    Instant.parse(madeAt), Instant.parse(expiresAt),
)

internal fun NativeResolvedDid.read() =
    ResolvedDid(spelling, did, peerId, addresses, document?.let { Json.parseToJsonElement(it).jsonObject })
