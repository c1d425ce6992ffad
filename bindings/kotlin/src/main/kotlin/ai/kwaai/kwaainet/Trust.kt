package ai.kwaai.kwaainet

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import java.time.Instant
import ai.kwaai.kwaainet.internal.Credential as NativeCredential
import ai.kwaai.kwaainet.internal.CredentialSummary as NativeCredentialSummary
import ai.kwaai.kwaainet.internal.Reason as NativeReason
import ai.kwaai.kwaainet.internal.Score as NativeScore
import ai.kwaai.kwaainet.internal.TrustedIssuer as NativeTrustedIssuer

/** How far a peer is trusted, from nothing known to trusted. */
public enum class Tier {
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
    USE_BLOCKS;

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
    Credential(id, type, types, issuer, subject, validFrom, validUntil, Json.parseToJsonElement(claims).jsonObject, json)
}

internal fun NativeReason.read() =
    Reason(credentialId, type, issuer, weight, ageDays.toLong(), factor, contribution, counted, why)

internal fun NativeScore.read() = Score(value, Tier.of(tier), reasons.map { it.read() })

internal fun NativeTrustedIssuer.read() = TrustedIssuer(did, types)
