import Foundation
import KwaaiNetNative

/// A loaded model.
public final class Model: Sendable {
    let native: NativeModel
    /// Its shape, and which blocks are held here.
    public let info: ModelInfo

    init(_ native: NativeModel) {
        self.native = native
        info = native.info()
    }

    /// The same on every machine that has the same weights.
    public var id: String { info.id }

    /// The name of its directory, for people.
    public var name: String { info.name }

    /// How many blocks it has.
    public var blocks: Int { Int(info.blocks) }

    /// Lets go of the weights.
    public func shutdown() async throws {
        native.shutdown()
    }
}

/// Loads models, serves their blocks, and generates.
public final class ShardEngine: Sendable {
    let native: NativeShardEngine

    init(_ native: NativeShardEngine) {
        self.native = native
    }

    /// Opens an engine without a network: models run whole, here.
    public static func open() async throws -> ShardEngine {
        try await call { ShardEngine(try await NativeShardEngine.open(cancel: $0)) }
    }

    /// Loads a model from its directory, its GGUF file, or by its id from a hub: `URL(string: "owner/name")!`, with `@revision`
    /// or `:Q4_K_M` behind. What exists on the disk is a path.
    public func load(model: URL, blocks: Blocks = .all) async throws -> Model {
        try await call { Model(try await native.load(model: model.path, blocks: blocks, cancel: $0)) }
    }

    /// Fetches from its hub what ``load(model:blocks:)`` needs for these blocks and is not here, and says how far it is, beginning with
    /// the first event that is asked for. The hub is asked what the model is now, which loading does only for one that is not here. A
    /// model that is a path is there already.
    public func download(model: URL, blocks: Blocks = .all) -> EventStream<DownloadEvent> {
        EventStream { [native] in
            let stream = try await call { try await native.download(model: model.path, blocks: blocks, cancel: $0) }
            return .init(
                next: {
                    let batch = try await call { try await stream.nextBatch(max: batchSize, cancel: $0) }
                    return batch.map { ($0.values, $0.missed) }
                },
                stop: { stream.cancel() })
        }
    }

    /// The models of a hub that are on this machine, whole or in part.
    public func downloaded() async throws -> [DownloadedModel] {
        try await call { try await native.downloaded(cancel: $0) }
    }

    /// Takes a model of a hub from this machine, or with `owner/name@revision` a revision of it, and returns how many bytes that freed.
    /// What is loaded stays loaded.
    public func removeDownload(model: String) async throws -> Int {
        try await call { Int(try await native.removeDownload(model: model, cancel: $0)) }
    }

    /// Loads the blocks from the first up to and without the last, and serves them to peers that are trusted enough.
    public func serve(model: URL, startBlock: Int, endBlock: Int) async throws -> Offer {
        try await call {
            try await native.serve(
                model: model.path, startBlock: Int64(startBlock), endBlock: Int64(endBlock), cancel: $0)
        }
    }

    /// Stops serving the blocks of a model; what runs on them ends.
    public func stopServing(modelId: String) async throws {
        try await call { try await native.stopServing(modelId: modelId, cancel: $0) }
    }

    /// What this node serves.
    public func served() async throws -> [Offer] {
        try await call { try await native.served(cancel: $0) }
    }

    /// Which blocks of a model are up, from whom, and whom this node would not use.
    public func coverage(model: Model) async throws -> Coverage {
        try await call { try await native.coverage(model: model.native, cancel: $0) }
    }

    /// How many blocks of a model this machine can serve, and how fast, measured on the first of them.
    ///
    /// Blocks may take what is free on this machine, or what a limit on this process leaves, without a quarter of it and at most
    /// 1 GiB; `memoryBytes` says otherwise. With them there is room for `sessions` at the same time, 4 unless set, of `tokens` each,
    /// 4,096 unless set or the model's context is shorter.
    public func calibrate(
        model: URL, memoryBytes: Int? = nil, sessions: Int? = nil, tokens: Int? = nil
    ) async throws -> BlockCalibration {
        try await call {
            try await native.calibrate(
                model: model.path, memoryBytes: memoryBytes.map(Int64.init), sessions: sessions.map(Int64.init),
                tokens: tokens.map(Int64.init), cancel: $0)
        }
    }

    /// How fast a model answers, on the path that an answer would take now.
    ///
    /// It reads `promptTokens`, 128 unless set, and writes `warmUp` tokens that do not count, 5 unless set, and `steps` that do, 20
    /// unless set; then `sessions` answers at the same time, 1 unless set and 64 at most. `seed` decides the prompt.
    public func benchmark(
        model: Model, promptTokens: Int? = nil, warmUp: Int? = nil, steps: Int? = nil, sessions: Int? = nil,
        seed: Int64? = nil, route: Route? = nil
    ) async throws -> ModelBenchmark {
        try await call {
            try await native.benchmark(
                model: model.native, promptTokens: promptTokens.map(Int64.init), warmUp: warmUp.map(Int64.init),
                steps: steps.map(Int64.init), sessions: sessions.map(Int64.init), seed: seed, route: route?.rawValue,
                cancel: $0)
        }
    }

    /// Continues a conversation, beginning with the first token that is asked for.
    ///
    /// What is left out has the library's default: 256 tokens, and temperature 0, which takes the likeliest token each time.
    /// Without a route the model runs here when all its blocks are here, and over peers otherwise.
    public func chat(
        model: Model, messages: [ChatMessage], maxTokens: Int? = nil, temperature: Double? = nil, topP: Double? = nil,
        topK: Int? = nil, seed: Int64? = nil, stop: [String] = [], route: Route? = nil
    ) -> EventStream<GenerateEvent> {
        let options = ChatOptions(
            messages: messages, maxTokens: maxTokens.map(Int64.init), temperature: temperature, topP: topP,
            topK: topK.map(Int64.init), seed: seed, stop: stop, route: route?.rawValue)
        return EventStream { [native] in
            let stream = try await call { try await native.chat(model: model.native, options: options, cancel: $0) }
            return .init(
                next: {
                    let batch = try await call { try await stream.nextBatch(max: batchSize, cancel: $0) }
                    return batch.map { ($0.values, $0.missed) }
                },
                stop: { stream.cancel() })
        }
    }

    /// The logits of every token of a text: a row for each token, as long as the vocabulary.
    public func logits(model: Model, tokens: [Int], route: Route? = nil) async throws -> Matrix {
        try await call {
            Matrix(
                try await native.logits(
                    model: model.native, tokens: tokens.map(Int64.init), route: route?.rawValue, cancel: $0))
        }
    }

    /// A unit vector for each text. `model` is the folder or the hub id of an embedding model; all-MiniLM-L6-v2 as it was
    /// fetched unless set. `query` says that the texts are questions, before which some models want something else than before
    /// what is to be found.
    public func embed(texts: [String], model: String? = nil, query: Bool = false) async throws -> Matrix {
        try await call { Matrix(try await native.embed(texts: texts, model: model, query: query, cancel: $0)) }
    }

    /// Lets go of the engine. That of a node stays open with the node.
    public func shutdown() async throws {
        native.shutdown()
    }
}
