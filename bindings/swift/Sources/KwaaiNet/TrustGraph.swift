import Foundation
import KwaaiNetNative

/// What this node knows about the trustworthiness of others. Nobody is trusted at first.
public final class TrustGraph: Sendable {
    private let native: NativeTrustGraph

    init(_ native: NativeTrustGraph) {
        self.native = native
    }

    /// Opens a trust graph alone, without a network: in a directory, or in memory with an identity of its own. `seed` and `clock`
    /// are for tests.
    public static func open(
        dir: URL? = nil, signer: (any Signer)? = nil, seed: Int64? = nil, clock: Date? = nil
    ) async throws -> TrustGraph {
        try await call { cancel in
            let own = try signer.map {
                try NativeSigner(did: $0.did, deadlineMs: $0.deadline?.milliseconds, code: SignerAdapter($0))
            }
            return TrustGraph(
                try await NativeTrustGraph.open(
                    dir: dir?.path, signer: own, seed: seed, clock: clock?.instant, cancel: cancel))
        }
    }

    /// The identity that signs what it issues.
    public var did: String { native.did() }

    /// Issues a credential about a DID or a PeerId. `claims` is a JSON object. It is returned, and not kept. Only a revocable one
    /// can be withdrawn.
    public func issue(
        type: String, subject: String, claims: String = "{}", validFor: Duration? = nil, revocable: Bool = false
    ) async throws -> Credential {
        try await call { cancel in
            try await native.issue(
                kind: type, subject: subject, claims: claims, validForMs: validFor?.milliseconds, revocable: revocable,
                cancel: cancel)
        }
    }

    /// Checks a credential's form and its proof, and says what it says. It is not kept.
    public func verify(credential: String) async throws -> Credential {
        try await call { try await native.verify(credential: credential, cancel: $0) }
    }

    /// Reads a credential in the form of KwaaiNet's own software, and tries its proof. It is not kept, and counts nowhere. A proof
    /// that does not hold throws nothing: see `signer` and `why`. Its issuer can say the same again with `issue`, which takes the
    /// type, the subject and the claims as they are here.
    public func readLegacy(credential: String) async throws -> LegacyCredential {
        try await call { try await native.readLegacy(credential: credential, cancel: $0) }
    }

    /// Checks a credential like `verify`, and says what it says as one of the Decentralized Trust Graph; nil when it is none. It
    /// is not kept. Throws `KwaaiError.unsupported` for a shape that is not read here.
    public func readDtg(credential: String) async throws -> DtgCredential? {
        try await call { try await native.readDtg(credential: credential, cancel: $0) }
    }

    /// Verifies a credential, then keeps it. What breaks a rule is refused, with the `rule` in the error.
    @discardableResult
    public func importCredential(credential: String) async throws -> CredentialSummary {
        try await call { try await native.importCredential(credential: credential, cancel: $0) }
    }

    /// The credentials that are kept and fit, in the order of their identifiers.
    public func credentials(
        subject: String? = nil, issuer: String? = nil, type: String? = nil
    ) async throws -> [CredentialSummary] {
        try await call { try await native.credentials(subject: subject, issuer: issuer, kind: type, cancel: $0) }
    }

    /// One kept credential with its claims and its proof.
    public func credential(id: String) async throws -> Credential {
        try await call { try await native.credential(id: id, cancel: $0) }
    }

    /// Forgets a credential.
    public func removeCredential(id: String) async throws {
        try await call { try await native.removeCredential(id: id, cancel: $0) }
    }

    /// Withdraws a credential that was issued here as a revocable one, for good.
    public func revoke(credentialId: String) async throws {
        try await call { try await native.revoke(credentialId: credentialId, cancel: $0) }
    }

    /// Withdraws such a credential until it is reinstated.
    public func suspend(credentialId: String) async throws {
        try await call { try await native.suspend(credentialId: credentialId, cancel: $0) }
    }

    /// Ends the suspension of a credential.
    public func reinstate(credentialId: String) async throws {
        try await call { try await native.reinstate(credentialId: credentialId, cancel: $0) }
    }

    /// Verifies a credential, and says what is known about its withdrawal. It is not kept.
    public func status(credential: String) async throws -> Status {
        try await call { try await native.status(credential: credential, cancel: $0) }
    }

    /// The names of the status lists that are signed here, in order.
    public func statusLists() async throws -> [String] {
        try await call { try await native.statusLists(cancel: $0) }
    }

    /// A signed status list to hand out: one that is signed here, or one that is kept.
    public func statusList(url: String) async throws -> String {
        try await call { try await native.statusList(url: url, cancel: $0) }
    }

    /// Checks a status list and keeps it, wherever it came from, when a kept credential names it.
    @discardableResult
    public func keepStatusList(list: String) async throws -> KeptStatusList {
        try await call { try await native.keepStatusList(list: list, cancel: $0) }
    }

    /// The status lists that kept credentials name, and of which there is no fresh copy.
    public func wantedStatusLists() async throws -> [WantedStatusList] {
        try await call { try await native.wantedStatusLists(cancel: $0) }
    }

    /// Every kept credential as one text for `importCredentials`. It is not encrypted.
    public func exportCredentials() async throws -> String {
        try await call { try await native.exportCredentials(cancel: $0) }
    }

    /// Verifies every credential of a bundle, then keeps those that hold, all in one step.
    public func importCredentials(bundle: String) async throws -> ImportedCredentials {
        try await call { try await native.importCredentials(bundle: bundle, cancel: $0) }
    }

    /// Keeps the credentials encrypted under a passphrase from now on, or under another one than before.
    public func setPassphrase(passphrase: String) async throws {
        try await call { try await native.setPassphrase(passphrase: passphrase, cancel: $0) }
    }

    /// Takes the passphrase away: the credentials lie in the clear again.
    public func removePassphrase() async throws {
        try await call { try await native.removePassphrase(cancel: $0) }
    }

    /// Makes the credentials readable until `lock` or the end.
    public func unlock(passphrase: String) async throws {
        try await call { try await native.unlock(passphrase: passphrase, cancel: $0) }
    }

    /// Forgets the key of the passphrase: what needs the credentials throws `KwaaiError.permissionDenied` from now on.
    public func lock() async throws {
        try await call { try await native.lock(cancel: $0) }
    }

    /// Whether the credentials are kept under a passphrase, and whether it was given.
    public func walletState() async throws -> WalletState {
        let state = try await call { try await native.walletState(cancel: $0) }
        return WalletState(rawValue: state) ?? .plain
    }

    /// Asks an issuer to certify that this node pledges a text, of which only the hash travels. The request is returned.
    public func requestPledge(issuer: String, text: String, name: String? = nil) async throws -> String {
        try await call { try await native.requestPledge(issuer: issuer, text: text, name: name, cancel: $0) }
    }

    /// Issues the credential that a request asks for, when it asks for exactly this pledge. It is returned, and not kept.
    public func issuePledge(
        request: String, text: String, name: String? = nil, validFor: Duration? = nil
    ) async throws -> Credential {
        try await call { cancel in
            try await native.issuePledge(
                request: request, text: text, name: name, validForMs: validFor?.milliseconds, cancel: cancel)
        }
    }

    /// Takes the credential that an issuer made of this node's pledge, and carries it from now on.
    @discardableResult
    public func acceptPledge(credential: String, text: String, name: String? = nil) async throws -> CredentialSummary {
        try await call { try await native.acceptPledge(credential: credential, text: text, name: name, cancel: $0) }
    }

    /// Takes back a pledge that this node carries. The signed withdrawal is returned, for the issuer and for peers.
    public func withdrawPledge(credentialId: String) async throws -> String {
        try await call { try await native.withdrawPledge(credentialId: credentialId, cancel: $0) }
    }

    /// Takes note that somebody withdrew its pledge; returns the identifier of the credential.
    @discardableResult
    public func importWithdrawal(withdrawal: String) async throws -> String {
        try await call { try await native.importWithdrawal(withdrawal: withdrawal, cancel: $0) }
    }

    /// The withdrawals that are known here, of this node and of others, in the order of their credentials.
    public func withdrawals() async throws -> [PledgeWithdrawal] {
        try await call { try await native.withdrawals(cancel: $0) }
    }

    /// Reads the withdrawal of a pledge that this node issued: the credential is what to revoke. Throws
    /// `KwaaiError.invalidArgument` when another node issued it.
    public func pledgeToRevoke(withdrawal: String) async throws -> Credential {
        try await call { try await native.pledgeToRevoke(withdrawal: withdrawal, cancel: $0) }
    }

    /// How much an asker of each tier may learn of this node's scores.
    public func disclosures() async throws -> [Tier: Disclosure] {
        let levels = try await call { try await native.disclosures(cancel: $0) }
        return Dictionary(uniqueKeysWithValues: levels.compactMap { tier, level in
            guard let tier = Tier(rawValue: tier), let level = Disclosure(rawValue: level) else { return nil }
            return (tier, level)
        })
    }

    /// Replaces how much askers may learn: from each tier on at least its level. Without any, they learn nothing.
    public func setDisclosures(disclosures: [Tier: Disclosure]) async throws {
        let names = Dictionary(uniqueKeysWithValues: disclosures.map { ($0.key.rawValue, $0.value.rawValue) })
        try await call { try await native.setDisclosures(disclosures: names, cancel: $0) }
    }

    /// What credentials about uptime and throughput must report to count.
    public func thresholds() async throws -> Thresholds {
        try await call { try await native.thresholds(cancel: $0) }
    }

    /// Replaces what credentials must report. Shares are from 0 to 1.
    public func setThresholds(thresholds: Thresholds) async throws {
        try await call { try await native.setThresholds(thresholds: thresholds, cancel: $0) }
    }

    /// Notes how a dealing with a peer ended just now. `promised` and `delivered` are throughput in one unit of the app's choice,
    /// such as tokens a second. It is written with others after half a minute, and when the graph is shut down.
    public func record(
        peer: String, outcome: Outcome, latency: Duration? = nil, promised: Double? = nil, delivered: Double? = nil
    ) async throws {
        try await call { cancel in
            try await native.record(
                peer: peer, outcome: outcome.rawValue, latencyMs: latency.map { $0 / .milliseconds(1) }, promised: promised,
                delivered: delivered, cancel: cancel)
        }
    }

    /// What this node measured of a peer; nil when it never dealt with it.
    public func reputation(peer: String) async throws -> Reputation? {
        try await call { try await native.reputation(peer: peer, cancel: $0) }
    }

    /// What this node measured of each peer that it dealt with, in the order of their keys.
    public func reputations() async throws -> [Reputation] {
        try await call { try await native.reputations(cancel: $0) }
    }

    /// Notes what one peer says about another, in place of what it said before: the weights, from 0 to 10^9, of the good and of
    /// the bad answers that it saw, and when it said so, now unless set. Whose word it is was checked by the app. It is written
    /// with others after half a minute, and when the graph is shut down.
    public func addRecommendation(
        recommender: String, about: String, good: Double, bad: Double, at: Date? = nil
    ) async throws {
        try await call { cancel in
            try await native.addRecommendation(
                recommender: recommender, about: about, good: good, bad: bad, at: at?.instant, cancel: cancel)
        }
    }

    /// EigenTrust over everybody of whom this node knows, itself among them: the greatest value first. It rates peers by its own
    /// experience, and each recommender by its recommendations. `pretrusted` are trusted before anybody is rated, this node unless
    /// set, and `alpha`, from 0.01 to 1 and 0.1 unless set, is how much of the trust goes to them at each step. No score contains
    /// it: here a recommender is believed as far as it serves well.
    public func propagate(pretrusted: [String]? = nil, alpha: Double? = nil) async throws -> [GlobalTrust] {
        try await call { try await native.propagate(pretrusted: pretrusted, alpha: alpha, cancel: $0) }
    }

    /// Writes now what was recorded of peers, and what they recommended, and was not written yet.
    public func flush() async throws {
        try await call { try await native.flush(cancel: $0) }
    }

    /// Forgets what this node measured of a peer.
    public func resetReputation(peer: String) async throws {
        try await call { try await native.resetReputation(peer: peer, cancel: $0) }
    }

    /// The tests of a credential's claim that are kept, the last 64 of them, the oldest first.
    public func tests(credentialId: String) async throws -> [ClaimTest] {
        try await call { try await native.tests(credentialId: credentialId, cancel: $0) }
    }

    /// Notes whether a peer was up just now: a sample of its sightings, for an app that looks by its own means.
    public func sight(peer: String, up: Bool) async throws {
        try await call { try await native.sight(peer: peer, up: up, cancel: $0) }
    }

    /// How often this node found a peer up; nil when it never looked within the last 128 days.
    public func sightings(peer: String) async throws -> Sightings? {
        try await call { try await native.sightings(peer: peer, cancel: $0) }
    }

    /// Issues an `UptimeVC` about a peer from what this node saw of it. It is returned, and not kept. Throws
    /// `KwaaiError.notFound` when this node did not look at the peer at two instants at least, or on fewer than half of the
    /// days between.
    public func issueUptime(peer: String, validFor: Duration? = nil) async throws -> Credential {
        try await call { cancel in
            try await native.issueUptime(peer: peer, validForMs: validFor?.milliseconds, cancel: cancel)
        }
    }

    /// Issues this identity's side of a link with a DID or a PeerId; `linkType` says what this identity is. It is returned, and
    /// not kept. The link is proven where both sides are kept: the node's, which says `node`, and that of its person or
    /// organisation.
    public func issueBinding(subject: String, linkType: LinkType, validFor: Duration? = nil) async throws -> Credential {
        try await call { cancel in
            try await native.issueBinding(
                subject: subject, linkType: linkType.rawValue, validForMs: validFor?.milliseconds, cancel: cancel)
        }
    }

    /// The links of a node, or of a person or organisation, that both keys prove by kept credentials: the oldest first.
    public func bindings(did: String) async throws -> [IdentityBinding] {
        try await call { try await native.bindings(did: did, cancel: $0) }
    }

    /// Shows kept credentials that are in force, signed for one audience in answer to its challenge: those about this node,
    /// unless `subject` is somebody else. It holds for five minutes.
    public func present(
        audience: String, challenge: String, subject: String? = nil, issuer: String? = nil, type: String? = nil
    ) async throws -> String {
        try await call { cancel in
            try await native.present(
                audience: audience, challenge: challenge, subject: subject, issuer: issuer, kind: type, cancel: cancel)
        }
    }

    /// Checks a presentation and every credential in it. Throws `KwaaiError.permissionDenied` when it was made for another
    /// audience or answers another challenge. Whether the challenge was given out, and was not answered before, is for the app
    /// to know.
    public func verifyPresentation(
        presentation: String, audience: String, challenge: String
    ) async throws -> VerifiedPresentation {
        try await call { cancel in
            try await native.verifyPresentation(
                presentation: presentation, audience: audience, challenge: challenge, cancel: cancel)
        }
    }

    /// The issuers that this node trusts. None at first.
    public func issuers() async throws -> [TrustedIssuer] {
        try await call { try await native.issuers(cancel: $0) }
    }

    /// Trusts an issuer for exactly these types from now on.
    public func trustIssuer(did: String, types: [String]) async throws {
        try await call { try await native.trustIssuer(did: did, types: types, cancel: $0) }
    }

    /// Trusts an issuer no longer. Its credentials are kept, and count no more.
    public func distrustIssuer(did: String) async throws {
        try await call { try await native.distrustIssuer(did: did, cancel: $0) }
    }

    /// How far this node trusts a peer, with the arithmetic of every credential about it.
    public func score(peer: String) async throws -> Score {
        try await call { try await native.score(peer: peer, cancel: $0) }
    }

    /// How far this node trusts several peers, in their order and from one view of what it knows.
    public func scores(peers: [String]) async throws -> [Score] {
        try await call { try await native.scores(peers: peers, cancel: $0) }
    }

    /// The minimum of each purpose: a tier, or a score.
    public func policy() async throws -> [Purpose: Minimum] {
        let policy = try await call { try await native.policy(cancel: $0) }
        return Dictionary(uniqueKeysWithValues: policy.compactMap { purpose, minimum in
            guard let purpose = Purpose(rawValue: purpose), let minimum = Minimum(minimum) else { return nil }
            return (purpose, minimum)
        })
    }

    /// Replaces the minimum of each purpose. A purpose that is left out gets its default.
    public func setPolicy(policy: [Purpose: Minimum]) async throws {
        let names = Dictionary(uniqueKeysWithValues: policy.map { ($0.key.rawValue, $0.value.native) })
        try await call { try await native.setPolicy(policy: names, cancel: $0) }
    }

    /// Throws `KwaaiError.untrustedPeer` when a peer does not reach the minimum tier of a purpose.
    public func require(peer: String, purpose: Purpose) async throws {
        try await call { try await native.require(peer: peer, purpose: purpose.rawValue, cancel: $0) }
    }

    /// For tests: moves the clock that it was opened with, or that of its node.
    public func advanceClock(by: Duration) throws {
        try ask { try native.advanceClock(byMs: by.milliseconds) }
    }

    /// Lets go of the directory. The trust graph of a node stays open with the node.
    public func shutdown() async throws {
        native.shutdown()
    }
}
