import Foundation
import KwaaiNetNative

/// What to ingest.
public enum Source: Sendable {
    /// A file, or a folder with everything in it.
    case path(URL)
    /// A document from memory.
    case bytes(Data)
}

/// A private knowledge base. Nothing leaves the machine, unless the model it was given does so.
public final class Rag: Sendable {
    let native: NativeRag

    init(_ native: NativeRag) {
        self.native = native
    }

    /// Opens a knowledge base alone, without a node, in a directory that is made when it is missing.
    ///
    /// Without an embedder, all-MiniLM-L6-v2 is taken when it has been fetched. `model` writes the answers; without one they are
    /// made of the best sentences.
    public static func open(
        dir: URL, embedder: EmbedderSource? = nil, model: AnswerWriter? = nil, chunking: Chunking? = nil,
        language: Language? = nil, readers: [any DocumentReader] = []
    ) async throws -> Rag {
        try await call { cancel in
            let options = try ragOptions(embedder, model, chunking, language, readers)
            return Rag(try await NativeRag.open(dir: dir.path, options: options, cancel: cancel))
        }
    }

    /// Reads a file, every file of a folder, or a document from memory, whose `name` tells its format. It begins with the first
    /// event that is asked for. A document replaces the one of its name.
    public func ingest(source: Source, name: String? = nil) -> EventStream<IngestEvent> {
        EventStream { [native] in
            let stream = try await call { cancel in
                switch source {
                case .path(let url): return try await native.ingestPath(path: url.path, cancel: cancel)
                case .bytes(let data):
                    return try await native.ingestBytes(name: name ?? "", bytes: data, cancel: cancel)
                }
            }
            return .init(
                next: {
                    let batch = try await call { try await stream.nextBatch(max: batchSize, cancel: $0) }
                    return batch.map { ($0.values, $0.missed) }
                },
                stop: { stream.cancel() })
        }
    }

    /// Keeps the documents of a folder as its files are: adds new ones, replaces changed ones, renames moved ones. It begins with
    /// the first event that is asked for.
    ///
    /// Files are compared by the hash of their contents, and only documents that came from this folder are touched. With `delete` a
    /// document is deleted when its file is gone; otherwise it stays and is reported missing. With `watch` it goes on until the loop is
    /// left: the folder is looked through when the file system reports a change, unless `polling`, and at every `interval`, a minute
    /// unless set. `extensions` are those that are looked at; all that can be read unless set.
    public func sync(
        folder: URL, watch: Bool = false, interval: Duration? = nil, polling: Bool = false, extensions: [String] = [],
        delete: Bool = false
    ) -> EventStream<SyncEvent> {
        let options = FolderOptions(
            watch: watch, intervalMs: interval?.milliseconds, polling: polling, extensions: extensions, delete: delete)
        return EventStream { [native] in
            let stream = try await call { try await native.sync(folder: folder.path, options: options, cancel: $0) }
            return .init(
                next: {
                    let batch = try await call { try await stream.nextBatch(max: batchSize, cancel: $0) }
                    return batch.map { ($0.values, $0.missed) }
                },
                stop: { stream.cancel() })
        }
    }

    /// The `k` passages that fit a text best.
    ///
    /// With `links` documents gain that the text, or a passage found, calls by their names, which finds what answers a question in two
    /// steps. It looks in `documents`, by their ids, all unless set, and in what was ingested from `since` on and before `before`.
    /// `diversity`, from 0 to 1, is how much hits are to differ from one another, and `denseWeight`, from 0 to 1, how much meaning
    /// counts against words in a hybrid search: what the knowledge base found out from its own passages unless set.
    public func search(
        text: String, k: Int = 8, mode: Mode = .hybrid, links: Bool = false, documents: [String] = [], since: Date? = nil,
        before: Date? = nil, diversity: Double = 0, denseWeight: Double? = nil
    ) async throws -> SearchResult {
        let options = SearchOptions(
            mode: mode, links: links, documents: documents, sinceMs: since?.milliseconds, beforeMs: before?.milliseconds,
            diversity: diversity, denseWeight: denseWeight)
        return try await call { try await native.search(text: text, k: Int64(k), options: options, cancel: $0) }
    }

    /// Answers a question from the documents, with citations, or refuses; it begins with the first event that is asked for.
    ///
    /// `minSupport`, from 0 to 1, is the least support by the documents that is answered: higher refuses more. `maxUnsupported` takes its
    /// place: the share, from 0 to 1, of questions without an answer in the documents that may get one all the same; it needs
    /// `calibrate`, without which the stream ends with a conflict. `links` and `documents` are those of `search`. `maxContextTokens` is
    /// how much a language model is given to read, and `history` the turns before the question, the earliest first: a question that says
    /// too little by itself is looked for together with the one before.
    public func ask(
        question: String, k: Int? = nil, mode: Mode = .hybrid, minSupport: Double? = nil, maxTokens: Int? = nil, links: Bool = true,
        documents: [String] = [], maxUnsupported: Double? = nil, maxContextTokens: Int? = nil, history: [ChatMessage] = []
    ) -> EventStream<AskEvent> {
        let options = QuestionOptions(
            k: k.map(Int64.init), mode: mode, minSupport: minSupport, maxTokens: maxTokens.map(Int64.init), links: links,
            documents: documents, maxUnsupported: maxUnsupported, maxContextTokens: maxContextTokens.map(Int64.init),
            history: history)
        return EventStream { [native] in
            let stream = try await call { try await native.ask(question: question, options: options, cancel: $0) }
            return .init(
                next: {
                    let batch = try await call { try await stream.nextBatch(max: batchSize, cancel: $0) }
                    return batch.map { ($0.values, $0.missed) }
                },
                stop: { stream.cancel() })
        }
    }

    /// Learns from questions when to refuse, so that `ask` can be given `maxUnsupported`: how well the documents support answers to
    /// questions that they answer, to the same ones with those documents out of sight, and to such as nothing answers.
    ///
    /// Without questions some are made of sentences of the documents. The options are those that questions are asked with later; each
    /// mode has a calibration of its own.
    public func calibrate(
        questions: [CalibrationQuestion] = [], k: Int? = nil, mode: Mode = .hybrid, links: Bool = true, documents: [String] = []
    ) async throws -> Calibration {
        let options = QuestionOptions(
            k: k.map(Int64.init), mode: mode, minSupport: nil, maxTokens: nil, links: links, documents: documents,
            maxUnsupported: nil, maxContextTokens: nil, history: [])
        return try await call { try await native.calibrate(questions: questions, options: options, cancel: $0) }
    }

    /// Every document, in the order of the names.
    public func documents() async throws -> [DocumentInfo] {
        try await call { try await native.documents(cancel: $0) }
    }

    /// The text of a document. Spans count its bytes in UTF-8.
    public func documentText(id: String) async throws -> String {
        try await call { try await native.documentText(id: id, cancel: $0) }
    }

    /// Removes a document and every trace of it.
    public func deleteDocument(id: String) async throws {
        try await call { try await native.deleteDocument(id: id, cancel: $0) }
    }

    /// What it holds and how it searches.
    public func stats() async throws -> Stats {
        try await call { try await native.stats(cancel: $0) }
    }

    /// Serves a page for people, and a model for programs that speak OpenAI's HTTP API, which requests call by `name`,
    /// `kwaainet-knowledge` unless set.
    ///
    /// It listens on 127.0.0.1 and port 9090 unless set, and on any free `port` with 0. On a `host` that is not loopback it needs a
    /// `token`, which every request then carries as its bearer token. `maxRequests` are answered at the same time, 8 unless set;
    /// `maxBodyBytes` are read of each, 4 MiB unless set, and `maxUploadBytes` of a document, 64 MiB unless set. It ends with what is
    /// returned, and with the knowledge base. Throws `KwaaiError.busy` when the port is taken.
    public func serve(
        name: String? = nil, host: String? = nil, port: Int? = nil, token: String? = nil, maxRequests: Int? = nil,
        maxBodyBytes: Int64? = nil, maxUploadBytes: Int64? = nil
    ) async throws -> HttpServer {
        try await call { cancel in
            let options = try serverOptions(
                [:], [:], [:], host, port, token, maxRequests, maxBodyBytes, maxUploadBytes)
            return HttpServer(try await native.serve(name: name, options: options, cancel: cancel))
        }
    }

    /// Stops what is under way and unlocks the directory.
    public func shutdown() async throws {
        try await call { try await native.shutdown(cancel: $0) }
    }

    /// Shuts down and deletes everything that was stored.
    public func destroy() async throws {
        try await call { try await native.destroy(cancel: $0) }
    }
}

extension Calibration {
    /// The support above which a question is answered when at most the share `alpha`, 0 to 1, of those without an answer in the
    /// documents may get one; `nil` when so few were calibrated with that all must be refused.
    public func threshold(alpha: Double) throws -> Double? {
        try ask { try calibratedThreshold(calibration: self, alpha: alpha) }
    }

    /// The share of the answerable questions that get an answer when `alpha` is tolerated.
    public func answered(alpha: Double) throws -> Double {
        try ask { try calibratedAnswers(calibration: self, alpha: alpha) }
    }

    /// How often an answerable question has more support than another, equals counting half: the area under the ROC curve. `nil`
    /// without one of either.
    public func auroc() throws -> Double? {
        try ask { try calibratedAuroc(calibration: self) }
    }
}

extension Date {
    /// Milliseconds since 1970.
    fileprivate var milliseconds: Int64 {
        let exact = (timeIntervalSince1970 * 1000).rounded()
        return Int64(exactly: exact) ?? (exact < 0 ? .min : .max)
    }
}

func ragOptions(
    _ embedder: EmbedderSource?, _ model: AnswerWriter?, _ chunking: Chunking?, _ language: Language?,
    _ readers: [any DocumentReader]
) throws -> RagOptions {
    var options = RagOptions(
        embedder: nil, ownEmbedder: nil, endpoint: nil, writer: nil, chunking: chunking, language: language?.rawValue,
        readers: try readers.map {
            try NativeReader(extensions: $0.extensions, deadlineMs: $0.deadline?.milliseconds, code: ReaderAdapter($0))
        })
    switch embedder {
    case .wordsOnly: options.embedder = "none"
    case .bert(let name): options.embedder = name
    case .own(let own):
        options.ownEmbedder = try nativeEmbedder(own)
    case nil: break
    }
    if case .endpoint(let endpoint) = model { options.endpoint = endpoint }
    options.writer = try model.flatMap(nativeWriter)
    return options
}

func nativeEmbedder(_ own: any Embedder) throws -> NativeEmbedder {
    try NativeEmbedder(
        id: own.id, dimension: Int64(own.dimension), deadlineMs: own.deadline?.milliseconds, code: EmbedderAdapter(own))
}

/// The model itself; `nil` for one behind an endpoint.
func nativeWriter(_ model: AnswerWriter) throws -> NativeWriter? {
    switch model {
    case .endpoint: return nil
    case .model(let engine, let loaded, let route):
        return try engine.native.writer(model: loaded.native, route: route?.rawValue)
    case .own(let own):
        return try NativeWriter(name: own.name, deadlineMs: own.deadline?.milliseconds, code: ModelAdapter(own))
    }
}
