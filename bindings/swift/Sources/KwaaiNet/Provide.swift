import Foundation
import KwaaiNetNative

// Code of the app runs in a task that is cancelled when nobody waits for its answer any more: the call was cancelled, or took
// longer than `deadline`, two minutes unless set. A KwaaiError keeps its code; any other error becomes `internal`.

/// Where the vectors of a knowledge base come from.
public enum EmbedderSource: Sendable {
    /// No vectors: passages are found by their words alone.
    case wordsOnly
    /// The folder of an embedding model, or the id of one such as `sentence-transformers/all-MiniLM-L6-v2`.
    case bert(String)
    /// An embedding model behind an endpoint. Texts leave this machine, unless it is on it.
    case endpoint(EmbeddingEndpoint)
    /// An embedder of the app.
    case own(any Embedder)
}

/// What writes the answers of a knowledge base.
public enum AnswerWriter: Sendable {
    /// A model behind an OpenAI-compatible endpoint.
    case endpoint(Endpoint)
    /// A model of a shard engine.
    case model(ShardEngine, Model, Route? = nil)
    /// A language model of the app.
    case own(any LanguageModel)
}

/// Turns texts into vectors.
public protocol Embedder: Sendable {
    /// Changes whenever the vectors would; a knowledge base refuses to be opened with another one.
    var id: String { get }
    /// The length of every vector.
    var dimension: Int { get }
    /// How long one call may take.
    var deadline: Duration? { get }
    /// A vector for each text. `query` is true for what is looked for, false for what is found.
    func embed(_ texts: [String], query: Bool) async throws -> [[Float]]
}

/// Continues conversations.
public protocol LanguageModel: Sendable {
    /// A name for people.
    var name: String { get }
    /// How long the next piece may take.
    var deadline: Duration? { get }
    /// The next turn of a conversation, piece by piece.
    func generate(_ request: GenerateRequest) -> AsyncThrowingStream<String, Error>
}

/// Reads documents that the library does not.
public protocol DocumentReader: Sendable {
    /// The extensions of its files, without the dot.
    var extensions: [String] { get }
    /// How long one document may take.
    var deadline: Duration? { get }
    /// The parts of a file.
    func read(name: String, bytes: Data) async throws -> [DocumentPart]
}

/// Signs with a key that the library never sees.
public protocol Signer: Sendable {
    /// The DID of an Ed25519 key.
    var did: String { get }
    /// How long one signature may take.
    var deadline: Duration? { get }
    /// The Ed25519 signature (RFC 8032) of exactly these bytes: 64 bytes.
    func sign(_ message: Data) async throws -> Data
}

/// Where log records go.
public protocol LogSink: Sendable {
    /// Takes a record, on a thread of its own.
    func log(_ record: LogRecord)
}

extension Embedder { public var deadline: Duration? { nil } }
extension LanguageModel { public var deadline: Duration? { nil } }
extension DocumentReader { public var deadline: Duration? { nil } }
extension Signer { public var deadline: Duration? { nil } }

private func answering<T>(_ body: () async throws -> T) async throws -> T {
    do {
        return try await body()
    } catch {
        throw native(error)
    }
}

final class EmbedderAdapter: EmbedderCode {
    private let own: any Embedder

    init(_ own: any Embedder) {
        self.own = own
    }

    func embed(texts: [String], query: Bool) async throws -> Data {
        try await answering {
            var bytes = Data()
            for vector in try await own.embed(texts, query: query) {
                vector.withUnsafeBytes { bytes.append(contentsOf: $0) }
            }
            return bytes
        }
    }
}

final class ModelAdapter: ModelCode {
    private let own: any LanguageModel

    init(_ own: any LanguageModel) {
        self.own = own
    }

    func generate(request: GenerateRequest, pieces: NativePieces) async throws -> NativeFinish {
        try await answering {
            for try await piece in own.generate(request) where !pieces.write(text: piece) {
                break
            }
            return NativeFinish(reason: .stop, usage: nil)
        }
    }
}

final class ReaderAdapter: ReaderCode {
    private let own: any DocumentReader

    init(_ own: any DocumentReader) {
        self.own = own
    }

    func read(name: String, bytes: Data) async throws -> [NativePart] {
        try await answering { try await own.read(name: name, bytes: bytes) }
    }
}

final class SignerAdapter: SignerCode {
    private let own: any Signer

    init(_ own: any Signer) {
        self.own = own
    }

    func sign(message: Data) async throws -> Data {
        try await answering { try await own.sign(message) }
    }
}

final class SinkAdapter: SinkCode {
    private let own: any LogSink

    init(_ own: any LogSink) {
        self.own = own
    }

    func log(record: LogRecord) {
        own.log(record)
    }
}
