import KwaaiNetNative

/// Several knowledge bases that are searched together. `Node.federation` makes it, and it ends with the node.
public final class Federation: Sendable {
    private let native: NativeFederation

    init(_ native: NativeFederation) {
        self.native = native
    }

    /// The names of the knowledge bases, in their order.
    public var members: [String] { native.members() }

    /// The `k` best passages of all knowledge bases, 64 at most.
    ///
    /// Scores of different knowledge bases say nothing about each other, so what each finds is scored anew: by the federation's embedder,
    /// and by what words are worth in all of them together. A knowledge base that cannot be searched is named, and the others are
    /// searched; a text that stands in several counts once. `links` and `denseWeight` are those of `Rag.search`; a peer may take
    /// `timeout`, ten seconds unless set. Throws the error of the first knowledge base when none could be searched.
    public func search(
        text: String, k: Int = 8, mode: Mode = .hybrid, links: Bool = false, denseWeight: Double? = nil,
        timeout: Duration? = nil
    ) async throws -> FederatedResult {
        try await call {
            try await native.search(
                text: text, k: Int64(k), mode: mode, links: links, denseWeight: denseWeight,
                timeoutMs: timeout?.milliseconds, cancel: $0)
        }
    }
}
