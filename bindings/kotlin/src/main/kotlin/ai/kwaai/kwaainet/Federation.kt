package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.NamedOwn
import ai.kwaai.kwaainet.internal.NativeFederation
import ai.kwaai.kwaainet.internal.NativeSharedKnowledge
import java.time.Instant
import kotlin.time.Duration
import ai.kwaai.kwaainet.internal.FederatedHit as NativeFederatedHit
import ai.kwaai.kwaainet.internal.FederatedResult as NativeFederatedResult
import ai.kwaai.kwaainet.internal.KnowledgeCapability as NativeKnowledgeCapability
import ai.kwaai.kwaainet.internal.MemberFailure as NativeMemberFailure
import ai.kwaai.kwaainet.internal.Proven as NativeProven
import ai.kwaai.kwaainet.internal.ProvenHit as NativeProvenHit
import ai.kwaai.kwaainet.internal.Provenance as NativeProvenance

/** What lets one holder search one knowledge base, as its owner signed. */
public data class KnowledgeCapability(
    /** What [Rag.revokeShare] takes. */
    val id: String,
    /** The DID of whose knowledge base it is. */
    val owner: String,
    /** The DID of who may search it. */
    val holder: String,
    /** The knowledge base's id. */
    val knowledgeBase: String,
    /** What its owner calls it. */
    val name: String,
    val expiresAt: Instant,
    /** The signed text, to be given to the holder. */
    val text: String,
)

/** What proves that a passage stood in a knowledge base, as its owner signed. [KwaaiNet.checkProvenance] checks it. */
public data class Provenance(
    /** What the owner signed: the knowledge base, how many passages it held, the root of their tree, and when that was. */
    val statement: String,
    /** Which leaf the passage is, from 0. */
    val index: Long,
    /** The hashes beside the way from the leaf to the root, from below. */
    val path: List<String>,
)

/** What a provenance proves. */
public data class Proven(
    /** The DID of who signed. */
    val owner: String,
    /** The knowledge base's id. */
    val knowledgeBase: String,
    /** How many passages it held. */
    val passages: Long,
    /** When it held them. */
    val signedAt: Instant,
)

/** A passage with what proves where it comes from. */
public data class ProvenHit(val hit: Hit, val provenance: Provenance)

/** A passage, where it was found, and what proves it. */
public data class FederatedHit(
    /** The name of the knowledge base. */
    val member: String,
    /** The names of others that hold the same text. */
    val also: List<String>,
    /** Its score is the one of the whole search; its ranks are those in its own knowledge base. */
    val hit: Hit,
    val provenance: Provenance,
)

/** A knowledge base that was not searched. */
public data class MemberFailure(
    val member: String,
    /** The code of the error, for example `unreachable`. */
    val code: String,
    val message: String,
)

/** What a search over several knowledge bases found, best first, and which of them could not be searched. */
public data class FederatedResult(
    val hits: List<FederatedHit>,
    val failures: List<MemberFailure>,
    /** How passages were scored. */
    val mode: Mode,
)

/** A knowledge base of a peer, which a capability opens. [Node.sharedKnowledge] makes it, and it ends with the node. */
public class SharedKnowledge internal constructor(internal val native: NativeSharedKnowledge) {
    /** What opens it. */
    public val capability: KnowledgeCapability = call { native.capability().read() }

    /**
     * The [k] best passages, 64 at most, as the owner's node ranks them; each was checked against what the owner signed. The owner's node
     * learns the text. It may take [timeout], ten seconds unless set.
     *
     * @throws KwaaiException.PermissionDenied for a capability that is somebody else's, has ended or was revoked
     * @throws KwaaiException.NotFound while the knowledge base is not open at its owner's node
     */
    public suspend fun search(
        text: String,
        k: Int = 8,
        mode: Mode = Mode.HYBRID,
        timeout: Duration? = null,
    ): List<ProvenHit> = call {
        native.search(text.sound("text"), k.toLong(), mode.native(), timeout?.millis("timeout"), null).map { it.read() }
    }
}

/** Several knowledge bases that are searched together. [Node.federation] makes it, and it ends with the node. */
public class Federation internal constructor(private val native: NativeFederation) {
    /** The names of the knowledge bases, in their order. */
    public val members: List<String> = call { native.members() }

    /**
     * The [k] best passages of all knowledge bases, 64 at most.
     *
     * Scores of different knowledge bases say nothing about each other, so what each finds is scored anew: by the federation's embedder,
     * and by what words are worth in all of them together. A knowledge base that cannot be searched is named, and the others are
     * searched; a text that stands in several counts once. [links] and [denseWeight] are those of [Rag.search]; a peer may take
     * [timeout], ten seconds unless set. Throws the error of the first knowledge base when none could be searched.
     */
    public suspend fun search(
        text: String,
        k: Int = 8,
        mode: Mode = Mode.HYBRID,
        links: Boolean = false,
        denseWeight: Double? = null,
        timeout: Duration? = null,
    ): FederatedResult = call {
        native.search(text.sound("text"), k.toLong(), mode.native(), links, denseWeight, timeout?.millis("timeout"), null).read()
    }
}

internal fun Map<String, Rag>.named() = map { (name, rag) -> NamedOwn(name.sound("own"), rag.native) }

internal fun NativeKnowledgeCapability.read() =
    KnowledgeCapability(id, owner, holder, knowledgeBase, name, Instant.parse(expiresAt), text)

internal fun NativeProven.read() = Proven(owner, knowledgeBase, passages.toLong(), Instant.parse(signedAt))

internal fun NativeProvenance.read() = Provenance(statement, index.toLong(), path)

internal fun NativeProvenHit.read() = ProvenHit(hit.read(), provenance.read())

internal fun NativeFederatedHit.read() = FederatedHit(member, also, hit.read(), provenance.read())

internal fun NativeMemberFailure.read() = MemberFailure(member, code, message)

internal fun NativeFederatedResult.read() =
    FederatedResult(hits.map { it.read() }, failures.map { it.read() }, mode.read())

internal fun Provenance.native(): NativeProvenance {
    if (index < 0) throw KwaaiException.InvalidArgument("provenance.index must be a whole number, not $index")
    return NativeProvenance(statement.sound("provenance"), index.toULong(), path.map { it.sound("provenance") })
}
