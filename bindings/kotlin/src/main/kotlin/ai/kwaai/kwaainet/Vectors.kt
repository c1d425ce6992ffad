package ai.kwaai.kwaainet

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import ai.kwaai.kwaainet.internal.AuditFinding as NativeFinding
import ai.kwaai.kwaainet.internal.AuditReport as NativeAudit
import ai.kwaai.kwaainet.internal.BenchmarkRow as NativeRow
import ai.kwaai.kwaainet.internal.BenchmarkStep as NativeStep
import ai.kwaai.kwaainet.internal.CollectionConfig as NativeConfig
import ai.kwaai.kwaainet.internal.CollectionStats as NativeStats
import ai.kwaai.kwaainet.internal.FoundVector as NativeFoundVector
import ai.kwaai.kwaainet.internal.FoundVectors as NativeFoundVectors
import ai.kwaai.kwaainet.internal.HostOffer as NativeOffer
import ai.kwaai.kwaainet.internal.HostReport as NativeReport
import ai.kwaai.kwaainet.internal.HostedVectors as NativeHosted
import ai.kwaai.kwaainet.internal.Leakage as NativeLeakage
import ai.kwaai.kwaainet.internal.Repair as NativeRepair

/** How vectors are hidden from their hosts. */
public enum class Privacy {
    /** Not at all: for a machine of one's own, or by explicit choice. */
    PLAIN,

    /** Masked, at a single host. */
    SEAL,

    /** In shares, at three or more hosts that do not work together. */
    SPLIT;

    public companion object {
        /** The privacy of a name such as `seal`. */
        public fun of(name: String): Privacy = named(entries, "privacy", name)
    }
}

/** How vectors are compared. */
public enum class Metric {
    /** By the cosine of the angle between them. */
    COSINE,

    /** By their dot product. */
    DOT;

    public companion object {
        /** The metric of a name such as `dot`. */
        public fun of(name: String): Metric = named(entries, "metric", name)
    }
}

/** What a host was found to have of a part. */
public enum class PartState {
    /** What was brought there. */
    RIGHT,

    /** Something else, or of another day. */
    WRONG,

    /** Nothing, the host says. */
    MISSING,

    /** The host could not be asked. */
    UNKNOWN,

    /** Too few hosts have the part, so that nothing can be said of it. */
    UNDECIDED,
}

/** Whom a node keeps something for. */
public data class Tenant(
    /** The DID of the owner. */
    val owner: String,
    /** What it is charged with. */
    val bytes: Long,
    val collections: Long,
)

/** What a node keeps, and for whom. */
public data class HostedVectors(
    val capacityBytes: Long,
    /** What one owner may take. */
    val tenantBytes: Long,
    val tenantCollections: Long,
    val memoryBytes: Long,
    /** `null` where the policy's minimum stands. */
    val minTier: Tier?,
    val usedBytes: Long,
    val tenants: List<Tenant>,
)

/** What a collection is, as it was made. */
public data class CollectionConfig(
    val dimension: Int,
    val privacy: Privacy,
    /** `here` or PeerIds. */
    val hosts: List<String>,
    val metric: Metric,
    /** Under [Privacy.SPLIT], how many of the hosts may work together and still learn nothing. */
    val colluding: Int,
)

/** What a host learns, and what that rests on. */
public data class Leakage(
    /** A host can read the stored vectors. */
    val vectors: Boolean,
    /** A host can read what is searched for. */
    val queries: Boolean,
    /** A host can tell which vectors were found. */
    val matches: Boolean,
    /** A wrong answer is noticed. */
    val answersChecked: Boolean,
    /** What a host learns nevertheless, for people. */
    val learned: String,
    /** What must hold for the rest to stay hidden, for people. */
    val restsOn: String,
)

/** How a collection stands. */
public data class CollectionStats(
    val vectors: Long,
    /** How many of them are here alone, not sealed yet. */
    val buffered: Long,
    val segments: Long,
    /** How many places in segments hold nothing any more. */
    val deleted: Long,
    /** The number of the key. */
    val epoch: Long,
    /** The hosts for which something waits. */
    val behind: List<String>,
    /** The hosts that answered wrongly since the collection was opened. */
    val liars: List<String>,
)

/** A vector that was found. */
public data class FoundVector(
    val id: Long,
    /** The cosine or the dot product with the question. */
    val score: Double,
    val payload: ByteArray?,
    val metadata: JsonObject,
)

/** What a search found. */
public data class FoundVectors(
    /** The best first; equal scores in the order of their ids. */
    val hits: List<FoundVector>,
    /** The hosts that are known to have answered wrongly. */
    val liars: List<String>,
)

/** What a host was found to have. */
public data class HostReport(
    val host: String,
    /** Whether everything is as it was brought there. */
    val right: Boolean,
    val segments: List<PartState>,
    /** In the order of their vectors' ids. */
    val payloads: List<PartState>,
    val manifest: PartState,
)

/** A node that says that it hosts, as it answered when it was asked. */
public data class HostOffer(
    /** Its PeerId. */
    val host: String,
    val tier: Tier,
    /** What it has left for this node; 0 when it was refused. */
    val freeBytes: Long,
    /** `null` when it was not asked, or did not answer. */
    val latencyMs: Double?,
    /** The DIDs that are proven to be its person's or its organisation's. */
    val operators: List<String>,
    /** The address ranges that its connections come from; none when it is reached through relays alone. */
    val networks: List<String>,
    /** The code of what keeps it from being used; `null` when it can be. */
    val refusal: String?,
    /** The same in words. */
    val reason: String?,
)

/** What was measured of one kind of search. */
public data class BenchmarkRow(
    /** `null` for the exact search on this machine. */
    val privacy: Privacy?,
    /** How many kept the vectors; 0 on this machine. */
    val hosts: Long,
    val vectors: Long,
    val dimension: Int,
    /** Which part of the ten nearest was found, from 0 to 1, on average. */
    val recall: Double,
    /** How long half of the searches took at most. */
    val p50Ms: Double,
    /** How long all but one in a hundred took at most. */
    val p99Ms: Double,
    /** How long it took until all vectors were on the owner's disk and found. */
    val durableMs: Double,
    /** How long it took until the hosts had all of them and answered the first question. */
    val searchableMs: Double,
    /** To each host. */
    val questionBytes: Long,
    /** Of each host. */
    val replyBytes: Long,
)

/** How far a benchmark is. */
public data class BenchmarkStep(
    /** How many rows are measured. */
    val done: Long,
    /** How many rows there will be. */
    val of: Long,
    /** What was measured, or is being measured now, for people. */
    val about: String,
    /** `null` when its measurement begins. */
    val row: BenchmarkRow?,
)

/** What a repair did. */
public data class Repair(
    /** The hosts that did not have what they should, or could not be asked. */
    val lost: List<String>,
    /** Those that have it in their place. */
    val added: List<String>,
)

/** What an attacker tries. */
public enum class Attack {
    /** Which document a stored row is, after the rotation that fits known pairs best. */
    KNOWN_PAIRS,

    /** Known vectors and texts as bytes. */
    DICTIONARY,

    /** Which of eight stored rows was the longest vector. */
    SCALE,

    /** Which two documents a difference of stored rows belongs to. */
    REUSE,

    /** Which of eight documents is stored at all. */
    MEMBERSHIP,
}

/** How an attack went. */
public data class AuditFinding(
    val attack: Attack,
    /** 0 where there was nothing to guess. */
    val trials: Long,
    val hits: Long,
    /** How often a try succeeds by luck, from 0 to 1. */
    val chance: Double,
)

/** What a host could learn from what it keeps. */
public data class HostAudit(
    val host: String,
    /** How many it handed out that were looked at. */
    val bytes: Long,
    val findings: List<AuditFinding>,
)

/** What the hosts of a collection could learn from what they keep. */
public data class AuditReport(
    val privacy: Privacy,
    /** How many were looked at. */
    val vectors: Long,
    val hosts: List<HostAudit>,
    /** The same attacks against copies that must fall to them. */
    val control: List<AuditFinding>,
    /** Whether they did. If not, the rest says nothing. */
    val meaningful: Boolean,
    /** Whether no attack on a host succeeded more than three times as often as by luck. */
    val hidden: Boolean,
)

private fun state(name: String): PartState = named(PartState.entries, "state", name)

internal fun NativeHosted.read() = HostedVectors(
    capacityBytes.toLong(), tenantBytes.toLong(), tenantCollections.toLong(), memoryBytes.toLong(), minTier?.let(Tier::of),
    usedBytes.toLong(), tenants.map { Tenant(it.owner, it.bytes.toLong(), it.collections.toLong()) },
)

internal fun NativeConfig.read() =
    CollectionConfig(dimension.toInt(), Privacy.of(privacy), hosts, Metric.of(metric), colluding.toInt())

internal fun NativeLeakage.read() = Leakage(vectors, queries, matches, answersChecked, learned, restsOn)

internal fun NativeStats.read() = CollectionStats(vectors, buffered, segments, deleted, epoch.toLong(), behind, liars)

internal fun NativeFoundVectors.read() = FoundVectors(hits.map { it.read() }, liars)

private fun NativeFoundVector.read() =
    FoundVector(id, score, payload, Json.parseToJsonElement(metadata).jsonObject)

internal fun NativeReport.read() =
    HostReport(host, right, segments.map(::state), payloads.map(::state), state(manifest))

internal fun NativeOffer.read() =
    HostOffer(host, Tier.of(tier), freeBytes.toLong(), latencyMs, operators, networks, refusal, reason)

internal fun NativeStep.read() = BenchmarkStep(done, of, about, row?.read())

private fun NativeRow.read() = BenchmarkRow(
    privacy?.let(Privacy::of), hosts, vectors, dimension.toInt(), recall, p50Ms, p99Ms, durableMs, searchableMs, questionBytes,
    replyBytes,
)

internal fun NativeRepair.read() = Repair(lost, added)

private fun NativeFinding.read() =
    AuditFinding(named(Attack.entries, "attack", attack), trials, hits, chance)

internal fun NativeAudit.read() = AuditReport(
    Privacy.of(privacy), vectors, hosts.map { HostAudit(it.host, it.bytes, it.findings.map { one -> one.read() }) },
    control.map { it.read() }, meaningful, hidden,
)
