package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.NativeTrustGraph
import kotlinx.serialization.json.JsonObject
import java.nio.file.Path
import java.time.Instant
import kotlin.time.Duration
import kotlin.time.DurationUnit

/** What this node knows about the trustworthiness of others. Nobody is trusted at first. */
public class TrustGraph internal constructor(private val native: NativeTrustGraph) : Handle {
    /** The identity that signs what it issues. */
    public val did: String get() = call { native.did() }

    /** Issues a credential about [subject], a DID or a PeerId. It is returned, and not kept. Only a [revocable] one can be withdrawn. */
    public suspend fun issue(
        type: String,
        subject: String,
        claims: JsonObject = JsonObject(emptyMap()),
        validFor: Duration? = null,
        revocable: Boolean = false,
    ): Credential = call {
        val text = claims.toString().sound("claims")
        val lifetime = validFor?.millis("validFor")
        native.issue(type.sound("type"), subject.sound("subject"), text, lifetime, revocable, null).read()
    }

    /** Checks a credential's form and its proof, and says what it says. It is not kept. */
    public suspend fun verify(credential: String): Credential =
        call { native.verify(credential.sound("credential"), null).read() }

    /**
     * Reads a credential in the form of KwaaiNet's own software, and tries its proof. It is not kept, and counts nowhere. A proof that
     * does not hold throws nothing: see [LegacyCredential.signer] and [LegacyCredential.why]. Its issuer can say the same again with
     * [issue], which takes the type, the subject and the claims as they are here.
     */
    public suspend fun readLegacy(credential: String): LegacyCredential =
        call { native.readLegacy(credential.sound("credential"), null).read() }

    /**
     * Checks a credential like [verify], and says what it says as one of the Decentralized Trust Graph; `null` when it is none. It is
     * not kept. Throws [KwaaiException.Unsupported] for a shape that is not read here.
     */
    public suspend fun readDtg(credential: String): DtgCredential? =
        call { native.readDtg(credential.sound("credential"), null)?.read() }

    /** Verifies a credential, then keeps it. What breaks a rule is refused, with the `rule` in the error. */
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

    /** Withdraws a credential that was issued here as a revocable one, for good. */
    public suspend fun revoke(credentialId: String): Unit = call { native.revoke(credentialId.sound("credentialId"), null) }

    /** Withdraws such a credential until it is reinstated. */
    public suspend fun suspend(credentialId: String): Unit = call { native.suspend(credentialId.sound("credentialId"), null) }

    /** Ends the suspension of a credential. */
    public suspend fun reinstate(credentialId: String): Unit =
        call { native.reinstate(credentialId.sound("credentialId"), null) }

    /** Verifies a credential, and says what is known about its withdrawal. It is not kept. */
    public suspend fun status(credential: String): Status =
        call { native.status(credential.sound("credential"), null).read() }

    /** The names of the status lists that are signed here, in order. */
    public suspend fun statusLists(): List<String> = call { native.statusLists(null) }

    /** A signed status list to hand out: one that is signed here, or one that is kept. */
    public suspend fun statusList(url: String): String = call { native.statusList(url.sound("url"), null) }

    /** Checks a status list and keeps it, wherever it came from, when a kept credential names it. */
    public suspend fun keepStatusList(list: String): KeptStatusList =
        call { native.keepStatusList(list.sound("list"), null).read() }

    /** The status lists that kept credentials name, and of which there is no fresh copy. */
    public suspend fun wantedStatusLists(): List<WantedStatusList> =
        call { native.wantedStatusLists(null).map { it.read() } }

    /** Every kept credential as one text for [importCredentials]. It is not encrypted. */
    public suspend fun exportCredentials(): String = call { native.exportCredentials(null) }

    /** Verifies every credential of a bundle, then keeps those that hold, all in one step. */
    public suspend fun importCredentials(bundle: String): ImportedCredentials =
        call { native.importCredentials(bundle.sound("bundle"), null).read() }

    /** Keeps the credentials encrypted under a passphrase from now on, or under another one than before. */
    public suspend fun setPassphrase(passphrase: String): Unit =
        call { native.setPassphrase(passphrase.sound("passphrase"), null) }

    /** Takes the passphrase away: the credentials lie in the clear again. */
    public suspend fun removePassphrase(): Unit = call { native.removePassphrase(null) }

    /** Makes the credentials readable until [lock] or the end. */
    public suspend fun unlock(passphrase: String): Unit = call { native.unlock(passphrase.sound("passphrase"), null) }

    /** Forgets the key of the passphrase: what needs the credentials throws [KwaaiException.PermissionDenied] from now on. */
    public suspend fun lock(): Unit = call { native.lock(null) }

    /** Whether the credentials are kept under a passphrase, and whether it was given. */
    public suspend fun walletState(): WalletState =
        call { named(WalletState.entries, "wallet state", native.walletState(null)) }

    /** Asks an issuer to certify that this node pledges a text, of which only the hash travels. The request is returned. */
    public suspend fun requestPledge(issuer: String, text: String, name: String? = null): String =
        call { native.requestPledge(issuer.sound("issuer"), text.sound("text"), name?.sound("name"), null) }

    /** Issues the credential that a request asks for, when it asks for exactly this pledge. It is returned, and not kept. */
    public suspend fun issuePledge(
        request: String,
        text: String,
        name: String? = null,
        validFor: Duration? = null,
    ): Credential = call {
        val lifetime = validFor?.millis("validFor")
        native.issuePledge(request.sound("request"), text.sound("text"), name?.sound("name"), lifetime, null).read()
    }

    /** Takes the credential that an issuer made of this node's pledge, and carries it from now on. */
    public suspend fun acceptPledge(credential: String, text: String, name: String? = null): CredentialSummary =
        call { native.acceptPledge(credential.sound("credential"), text.sound("text"), name?.sound("name"), null).read() }

    /** Takes back a pledge that this node carries. The signed withdrawal is returned, for the issuer and for peers. */
    public suspend fun withdrawPledge(credentialId: String): String =
        call { native.withdrawPledge(credentialId.sound("credentialId"), null) }

    /** Takes note that somebody withdrew its pledge; returns the identifier of the credential. */
    public suspend fun importWithdrawal(withdrawal: String): String =
        call { native.importWithdrawal(withdrawal.sound("withdrawal"), null) }

    /** The withdrawals that are known here, of this node and of others, in the order of their credentials. */
    public suspend fun withdrawals(): List<PledgeWithdrawal> = call { native.withdrawals(null).map { it.read() } }

    /**
     * Reads the withdrawal of a pledge that this node issued: the credential is what to [revoke]. Throws
     * [KwaaiException.InvalidArgument] when another node issued it.
     */
    public suspend fun pledgeToRevoke(withdrawal: String): Credential =
        call { native.pledgeToRevoke(withdrawal.sound("withdrawal"), null).read() }

    /** How much an asker of each tier may learn of this node's scores. */
    public suspend fun disclosures(): Map<Tier, Disclosure> = call {
        native.disclosures(null).map { (tier, level) -> Tier.of(tier) to Disclosure.of(level) }.toMap()
    }

    /** Replaces how much askers may learn: from each tier on at least its level. Without any, they learn nothing. */
    public suspend fun setDisclosures(disclosures: Map<Tier, Disclosure>): Unit = call {
        native.setDisclosures(disclosures.map { (tier, level) -> tier.wire() to level.wire() }.toMap(), null)
    }

    /** What credentials about uptime and throughput must report to count. */
    public suspend fun thresholds(): Thresholds = call { native.thresholds(null).read() }

    /** Replaces what credentials must report. Shares are from 0 to 1. */
    public suspend fun setThresholds(thresholds: Thresholds): Unit =
        call { native.setThresholds(thresholds.native(), null) }

    /**
     * Notes how a dealing with [peer], a DID or a PeerId, ended just now. [promised] and [delivered] are throughput in one unit of
     * the app's choice, such as tokens a second. It is written with others after half a minute, and when the graph is shut down.
     */
    public suspend fun record(
        peer: String,
        outcome: Outcome,
        latency: Duration? = null,
        promised: Double? = null,
        delivered: Double? = null,
    ): Unit = call {
        val latencyMs = latency?.toDouble(DurationUnit.MILLISECONDS)
        native.record(peer.sound("peer"), outcome.wire(), latencyMs, promised, delivered, null)
    }

    /** What this node measured of a peer; `null` when it never dealt with it. */
    public suspend fun reputation(peer: String): Reputation? = call { native.reputation(peer.sound("peer"), null)?.read() }

    /** What this node measured of each peer that it dealt with, in the order of their keys. */
    public suspend fun reputations(): List<Reputation> = call { native.reputations(null).map { it.read() } }

    /**
     * Notes what one peer says about another, in place of what it said before: the weights, from 0 to 10^9, of the [good] and of the
     * [bad] answers that it saw, and when it said so, now unless set. Whose word it is was checked by the app. It is written with
     * others after half a minute, and when the graph is shut down.
     */
    public suspend fun addRecommendation(
        recommender: String,
        about: String,
        good: Double,
        bad: Double,
        at: Instant? = null,
    ): Unit = call {
        native.addRecommendation(recommender.sound("recommender"), about.sound("about"), good, bad, at?.toString(), null)
    }

    /**
     * EigenTrust over everybody of whom this node knows, itself among them: the greatest value first. It rates peers by its own
     * experience, and each recommender by its recommendations. [pretrusted] are trusted before anybody is rated, this node unless
     * set, and [alpha], from 0.01 to 1 and 0.1 unless set, is how much of the trust goes to them at each step. No score contains it:
     * here a recommender is believed as far as it serves well.
     */
    public suspend fun propagate(pretrusted: Collection<String>? = null, alpha: Double? = null): List<GlobalTrust> = call {
        native.propagate(pretrusted?.map { it.sound("pretrusted") }, alpha, null).map { it.read() }
    }

    /** Writes now what was recorded of peers, and what they recommended, and was not written yet. */
    public suspend fun flush(): Unit = call { native.flush(null) }

    /** Forgets what this node measured of a peer. */
    public suspend fun resetReputation(peer: String): Unit = call { native.resetReputation(peer.sound("peer"), null) }

    /** The tests of a credential's claim that are kept, the last 64 of them, the oldest first. */
    public suspend fun tests(credentialId: String): List<ClaimTest> =
        call { native.tests(credentialId.sound("credentialId"), null).map { it.read() } }

    /** Notes whether a peer was [up] just now: a sample of its sightings, for an app that looks by its own means. */
    public suspend fun sight(peer: String, up: Boolean): Unit = call { native.sight(peer.sound("peer"), up, null) }

    /** How often this node found a peer up; `null` when it never looked within the last 128 days. */
    public suspend fun sightings(peer: String): Sightings? = call { native.sightings(peer.sound("peer"), null)?.read() }

    /**
     * Issues an `UptimeVC` about a peer from what this node saw of it. It is returned, and not kept. Throws
     * [KwaaiException.NotFound] when this node did not look at the peer at two instants at least, or on fewer
     * than half of the days between.
     */
    public suspend fun issueUptime(peer: String, validFor: Duration? = null): Credential =
        call { native.issueUptime(peer.sound("peer"), validFor?.millis("validFor"), null).read() }

    /**
     * Issues this identity's side of a link with [subject], a DID or a PeerId; [linkType] says what this identity is. It is
     * returned, and not kept. The link is proven where both sides are kept: the node's, which says [LinkType.NODE], and that of its
     * person or organisation.
     */
    public suspend fun issueBinding(subject: String, linkType: LinkType, validFor: Duration? = null): Credential = call {
        native.issueBinding(subject.sound("subject"), linkType.wire(), validFor?.millis("validFor"), null).read()
    }

    /** The links of a node, or of a person or organisation, that both keys prove by kept credentials: the oldest first. */
    public suspend fun bindings(did: String): List<IdentityBinding> =
        call { native.bindings(did.sound("did"), null).map { it.read() } }

    /**
     * Shows kept credentials that are in force, signed for one [audience] in answer to its [challenge]: those about this node,
     * unless [subject] is somebody else. It holds for five minutes.
     */
    public suspend fun present(
        audience: String,
        challenge: String,
        subject: String? = null,
        issuer: String? = null,
        type: String? = null,
    ): String = call {
        native.present(
            audience.sound("audience"), challenge.sound("challenge"), subject?.sound("subject"), issuer?.sound("issuer"),
            type?.sound("type"), null,
        )
    }

    /**
     * Checks a presentation and every credential in it. Throws [KwaaiException.PermissionDenied] when it was made for another
     * audience or answers another challenge. Whether the challenge was given out, and was not answered before, is for the app
     * to know.
     */
    public suspend fun verifyPresentation(presentation: String, audience: String, challenge: String): VerifiedPresentation = call {
        val shown = presentation.sound("presentation")
        native.verifyPresentation(shown, audience.sound("audience"), challenge.sound("challenge"), null).read()
    }

    /** The issuers that this node trusts. None at first. */
    public suspend fun issuers(): List<TrustedIssuer> = call { native.issuers(null).map { it.read() } }

    /** Trusts an issuer for exactly these types from now on. */
    public suspend fun trustIssuer(did: String, types: Collection<String>): Unit =
        call { native.trustIssuer(did.sound("did"), types.map { it.sound("type") }, null) }

    /** Trusts an issuer no longer. Its credentials are kept, and count no more. */
    public suspend fun distrustIssuer(did: String): Unit = call { native.distrustIssuer(did.sound("did"), null) }

    /** How far this node trusts [peer], a DID or a PeerId, with the arithmetic of every credential about it. */
    public suspend fun score(peer: String): Score = call { native.score(peer.sound("peer"), null).read() }

    /** How far this node trusts several peers, in their order and from one view of what it knows. */
    public suspend fun scores(peers: Collection<String>): List<Score> =
        call { native.scores(peers.map { it.sound("peer") }, null).map { it.read() } }

    /** The minimum of each purpose: a [Tier] or a [MinimumScore]. */
    public suspend fun policy(): Map<Purpose, Minimum> = call {
        native.policy(null).map { (purpose, minimum) -> Purpose.of(purpose) to minimum.read() }.toMap()
    }

    /** Replaces the minimum of each purpose. A purpose that is left out gets its default. */
    public suspend fun setPolicy(policy: Map<Purpose, Minimum>): Unit = call {
        native.setPolicy(policy.map { (purpose, minimum) -> purpose.wire() to minimum.native() }.toMap(), null)
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
