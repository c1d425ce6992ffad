import KwaaiNetNative

/// A knowledge base of a peer, which a capability opens. `Node.sharedKnowledge` makes it, and it ends with the node.
public final class SharedKnowledge: Sendable {
    let native: NativeSharedKnowledge

    init(_ native: NativeSharedKnowledge) {
        self.native = native
    }

    /// What opens it.
    public var capability: KnowledgeCapability { native.capability() }

    /// The `k` best passages, 64 at most, as the owner's node ranks them; each was checked against what the owner signed. The owner's
    /// node learns the text. It may take `timeout`, ten seconds unless set.
    ///
    /// Throws `KwaaiError.permissionDenied` for a capability that is somebody else's, has ended or was revoked, and `KwaaiError.notFound`
    /// while the knowledge base is not open at its owner's node.
    public func search(
        text: String, k: Int = 8, mode: Mode = .hybrid, timeout: Duration? = nil
    ) async throws -> [ProvenHit] {
        try await call {
            try await native.search(text: text, k: Int64(k), mode: mode, timeoutMs: timeout?.milliseconds, cancel: $0)
        }
    }
}
