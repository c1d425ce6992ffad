import Foundation
import KwaaiNetNative

/// Answers programs that speak OpenAI's HTTP API, until it is shut down. The page on the HTTP server says what it answers.
public final class HttpServer: Sendable {
    private let native: NativeHttpServer

    init(_ native: NativeHttpServer) {
        self.native = native
    }

    /// Where it listens, such as `127.0.0.1:11435`.
    public var address: String { native.address() }

    /// The port of that address.
    public var port: Int { Int(native.port()) }

    /// What clients take for their base address, such as `http://127.0.0.1:11435/v1`.
    public var baseUrl: String { native.baseUrl() }

    /// Takes no further request, lets what is under way finish within `grace`, five seconds unless set, and ends the rest. When it
    /// returns, every connection is closed and the port is free. Idempotent.
    public func shutdown(grace: Duration? = nil) async throws {
        try await call { try await native.shutdown(graceMs: grace?.milliseconds, cancel: $0) }
    }
}

func serverOptions(
    _ models: [String: AnswerWriter], _ embedders: [String: EmbedderSource], _ knowledge: [String: Rag], _ host: String?,
    _ port: Int?, _ token: String?, _ maxRequests: Int?, _ maxBodyBytes: Int64?, _ maxUploadBytes: Int64?
) throws -> ServerOptions {
    var options = ServerOptions(
        writers: [], endpoints: [], ownEmbedders: [], berts: [],
        knowledge: knowledge.sorted(by: { $0.key < $1.key }).map { NamedKnowledge(name: $0.key, rag: $0.value.native) },
        host: host, port: port.map(Int64.init), token: token, maxRequests: maxRequests.map(Int64.init),
        maxBodyBytes: maxBodyBytes, maxUploadBytes: maxUploadBytes)
    // A dictionary has no order, and a list of models should have one.
    for (name, model) in models.sorted(by: { $0.key < $1.key }) {
        if case .endpoint(let endpoint) = model {
            options.endpoints.append(NamedEndpoint(name: name, endpoint: endpoint))
        } else if let writer = try nativeWriter(model) {
            options.writers.append(NamedWriter(name: name, writer: writer))
        }
    }
    for (name, embedder) in embedders.sorted(by: { $0.key < $1.key }) {
        switch embedder {
        case .own(let own): options.ownEmbedders.append(NamedEmbedder(name: name, embedder: try nativeEmbedder(own)))
        case .bert(let model): options.berts.append(NamedBert(name: name, model: model))
        case .endpoint:
            throw KwaaiError.invalidArgument(KwaaiError.Details("\(name) is behind an endpoint, which serves its embeddings itself"))
        case .wordsOnly:
            throw KwaaiError.invalidArgument(KwaaiError.Details("wordsOnly makes no vectors, so it cannot be served as an embedder"))
        }
    }
    return options
}
