package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.NativeTrustGraph
import kotlinx.serialization.json.JsonObject
import java.nio.file.Path
import java.time.Instant
import kotlin.time.Duration

/** What this node knows about the trustworthiness of others. Nobody is trusted at first. */
public class TrustGraph internal constructor(private val native: NativeTrustGraph) : Handle {
    /** The identity that signs what it issues. */
    public val did: String get() = call { native.did() }

    /** Issues a credential about [subject], a DID or a PeerId. It is returned, and not kept. */
    public suspend fun issue(
        type: String,
        subject: String,
        claims: JsonObject = JsonObject(emptyMap()),
        validFor: Duration? = null,
    ): Credential = call {
        val text = claims.toString().sound("claims")
        native.issue(type.sound("type"), subject.sound("subject"), text, validFor?.millis("validFor"), null).read()
    }

    /** Checks a credential's form and its proof, and says what it says. It is not kept. */
    public suspend fun verify(credential: String): Credential =
        call { native.verify(credential.sound("credential"), null).read() }

    /** Verifies a credential, then keeps it. */
    public suspend fun importCredential(credential: String): CredentialSummary =
        call { native.importCredential(credential.sound("credential"), null).read() }

    /** The credentials that are kept and fit, in the order of their identifiers. */
    public suspend fun credentials(
        subject: String? = null,
        issuer: String? = null,
        type: String? = null,
    ): List<CredentialSummary> = call {
        val found = native.credentials(subject?.sound("subject"), issuer?.sound("issuer"), type?.sound("type"), null)
        found.map { it.read() }
    }

    /** One kept credential with its claims and its proof. */
    public suspend fun credential(id: String): Credential = call { native.credential(id.sound("id"), null).read() }

    /** Forgets a credential. */
    public suspend fun removeCredential(id: String): Unit = call { native.removeCredential(id.sound("id"), null) }

    /** The issuers that this node trusts. None at first. */
    public suspend fun issuers(): List<TrustedIssuer> = call { native.issuers(null).map { it.read() } }

    /** Trusts an issuer for exactly these types from now on. */
    public suspend fun trustIssuer(did: String, types: Collection<String>): Unit =
        call { native.trustIssuer(did.sound("did"), types.map { it.sound("type") }, null) }

    /** Trusts an issuer no longer. Its credentials are kept, and count no more. */
    public suspend fun distrustIssuer(did: String): Unit = call { native.distrustIssuer(did.sound("did"), null) }

    /** How far this node trusts [peer], a DID or a PeerId, with the arithmetic of every credential about it. */
    public suspend fun score(peer: String): Score = call { native.score(peer.sound("peer"), null).read() }

    /** The minimum tier of each purpose. */
    public suspend fun policy(): Map<Purpose, Tier> = call {
        native.policy(null).map { (purpose, tier) -> Purpose.of(purpose) to Tier.of(tier) }.toMap()
    }

    /** Replaces the minimum tier of each purpose. A purpose that is left out gets its default. */
    public suspend fun setPolicy(policy: Map<Purpose, Tier>): Unit = call {
        native.setPolicy(policy.map { (purpose, tier) -> purpose.wire() to tier.wire() }.toMap(), null)
    }

    /** Throws [KwaaiException.UntrustedPeer] when a peer does not reach the minimum tier of a purpose. */
    public suspend fun require(peer: String, purpose: Purpose): Unit =
        call { native.require(peer.sound("peer"), purpose.wire(), null) }

    /** For tests: moves the clock that it was opened with, or that of its node. */
    public fun advanceClock(by: Duration): Unit = call { native.advanceClock(by.millis("by")) }

    /** Lets go of the directory. The trust graph of a node stays open with the node. */
    override suspend fun shutdown(): Unit = call { native.shutdown() }

    public companion object {
        /**
         * Opens a trust graph alone, without a network: in [dir], or in memory with an identity of its own. It signs with
         * the key of the directory, or through [signer]. [seed] and [clock] are for tests.
         */
        public suspend fun open(
            dir: Path? = null,
            signer: Signer? = null,
            seed: Long? = null,
            clock: Instant? = null,
        ): TrustGraph = call {
            val directory = dir?.toString()?.sound("dir")
            TrustGraph(made { NativeTrustGraph.open(directory, signer?.native(), seed, clock?.toString(), it) })
        }
    }
}
