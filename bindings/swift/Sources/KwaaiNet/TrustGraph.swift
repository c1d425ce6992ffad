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

    /// Issues a credential about a DID or a PeerId. `claims` is a JSON object. It is returned, and not kept.
    public func issue(
        type: String, subject: String, claims: String = "{}", validFor: Duration? = nil
    ) async throws -> Credential {
        try await call { cancel in
            try await native.issue(
                kind: type, subject: subject, claims: claims, validForMs: validFor?.milliseconds, cancel: cancel)
        }
    }

    /// Checks a credential's form and its proof, and says what it says. It is not kept.
    public func verify(credential: String) async throws -> Credential {
        try await call { try await native.verify(credential: credential, cancel: $0) }
    }

    /// Verifies a credential, then keeps it.
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

    /// The minimum tier of each purpose.
    public func policy() async throws -> [Purpose: Tier] {
        let policy = try await call { try await native.policy(cancel: $0) }
        return Dictionary(uniqueKeysWithValues: policy.compactMap { purpose, tier in
            guard let purpose = Purpose(rawValue: purpose), let tier = Tier(rawValue: tier) else { return nil }
            return (purpose, tier)
        })
    }

    /// Replaces the minimum tier of each purpose. A purpose that is left out gets its default.
    public func setPolicy(policy: [Purpose: Tier]) async throws {
        let names = Dictionary(uniqueKeysWithValues: policy.map { ($0.key.rawValue, $0.value.rawValue) })
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
