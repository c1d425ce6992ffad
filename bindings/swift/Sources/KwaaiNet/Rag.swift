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
    /// made of the best sentences. With a `cache` answers are given again to the same question while nothing changes.
    public static func open(
        dir: URL, embedder: EmbedderSource? = nil, model: AnswerWriter? = nil, chunking: Chunking? = nil,
        language: Language? = nil, readers: [any DocumentReader] = [], cache: AnswerCache? = nil
    ) async throws -> Rag {
        try await call { cancel in
            let options = try ragOptions(embedder, model, chunking, language, readers, cache)
            return Rag(try await NativeRag.open(dir: dir.path, options: options, cancel: cancel))
        }
    }

    /// Reads a file, every file of a folder, or a document from memory, whose `name` tells its format. It begins with the first
    /// event that is asked for. A document replaces the one of its name.
    ///
    /// `metadata` is what the app says about each document, at most 32 short keys with texts: it replaces what was said before, also
    /// where the file is the same, and without it what was said before stays.
    public func ingest(source: Source, name: String? = nil, metadata: [String: String]? = nil) -> EventStream<IngestEvent> {
        EventStream { [native] in
            let stream = try await call { cancel in
                switch source {
                case .path(let url): return try await native.ingestPath(path: url.path, metadata: metadata, cancel: cancel)
                case .bytes(let data):
                    return try await native.ingestBytes(
                        name: name ?? "", bytes: data, metadata: metadata, cancel: cancel)
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

    /// Gives the knowledge base another embedder, or its first. It begins with the first event that is asked for.
    ///
    /// Every passage is embedded again while the vectors of before go on to answer, then one commit exchanges them. Documents may come
    /// and go meanwhile. What was embedded is kept: after a crash, an error or a cancellation the same call goes on from there.
    public func reembed(embedder: EmbedderSource) -> EventStream<ReembedEvent> {
        EventStream { [native] in
            let stream = try await call { cancel in
                var choice = EmbedderChoice(embedder: nil, embeddingEndpoint: nil, ownEmbedder: nil)
                switch embedder {
                case .wordsOnly: choice.embedder = "none"
                case .bert(let name): choice.embedder = name
                case .endpoint(let endpoint): choice.embeddingEndpoint = endpoint
                case .own(let own): choice.ownEmbedder = try nativeEmbedder(own)
                }
                return try await native.reembed(choice: choice, cancel: cancel)
            }
            return .init(
                next: {
                    let batch = try await call { try await stream.nextBatch(max: batchSize, cancel: $0) }
                    return batch.map { ($0.values, $0.missed) }
                },
                stop: { stream.cancel() })
        }
    }

    /// Brings the vectors to a collection at other people's nodes; it begins when the first event is asked for.
    ///
    /// Those at home go on to answer until its hosts have all of them; then the collection answers, and those at home are deleted and
    /// overwritten. Texts, words and answers stay. Documents may come and go meanwhile and afterwards. After a crash, an error or a
    /// cancellation the same call goes on from there. A knowledge base that is opened later searches by words alone until it is called
    /// with the same collection. The way home is ``reembed(embedder:)``.
    ///
    /// With `texts` the texts go as well, as payloads that are sealed before they leave, for whoever has the key of the collection: JSON
    /// with `document_id`, `document`, `heading` and `text`. Not under `plain`.
    public func outsource(collection: VectorCollection, texts: Bool = false) -> EventStream<OutsourceEvent> {
        EventStream { [native] in
            let stream = try await call { cancel in
                try await native.outsource(collection: collection.native, texts: texts, cancel: cancel)
            }
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
    ///
    /// `formats`, such as `pdf`, patterns of `names`, such as `reports/*.pdf`, and `metadata` narrow the documents down. So many
    /// `neighbours` before and after each hit are told with it, 8 at most, and with `timed` how long each stage took. A language model
    /// looks for so many other `wordings` as well, 8 at most, makes up a passage that counts as much as `hypothesis` says, 0 to 1, and puts
    /// the first `rerank` hits in order, 100 at most; without one that throws `KwaaiError.unsupported`.
    public func search(
        text: String, k: Int = 8, mode: Mode = .hybrid, links: Bool = false, documents: [String] = [], since: Date? = nil,
        before: Date? = nil, diversity: Double = 0, denseWeight: Double? = nil, formats: [String] = [], names: [String] = [],
        metadata: [String: String] = [:], neighbours: Int = 0, timed: Bool = false,
        wordings: Int = 0, hypothesis: Double = 0, rerank: Int = 0
    ) async throws -> SearchResult {
        let find = FindOptions(
            documents: documents, sinceMs: since?.milliseconds, beforeMs: before?.milliseconds, formats: formats, names: names,
            metadata: metadata, neighbours: Int64(neighbours), wordings: Int64(wordings), hypothesis: hypothesis,
            rerank: Int64(rerank))
        let options = SearchOptions(
            mode: mode, links: links, find: find, diversity: diversity, denseWeight: denseWeight, timed: timed)
        return try await call { try await native.search(text: text, k: Int64(k), options: options, cancel: $0) }
    }

    /// Answers a question from the documents, with citations, or refuses; it begins with the first event that is asked for.
    ///
    /// `minSupport`, from 0 to 1, is the least support by the documents that is answered: higher refuses more. `maxUnsupported` takes its
    /// place: the share, from 0 to 1, of questions without an answer in the documents that may get one all the same; it needs
    /// `calibrate`, without which the stream ends with a conflict. `links`, `documents`, `since`, `before`,
    /// `formats`, `names`, `metadata`, `wordings`, `hypothesis` and `rerank` are those of `search`. So many `neighbours` before and after
    /// each passage are given to a language model with it. `maxContextTokens` is
    /// how much a language model is given to read, and `history` the turns before the question, the earliest first: a question that says
    /// too little by itself is looked for together with the one before.
    public func ask(
        question: String, k: Int? = nil, mode: Mode = .hybrid, minSupport: Double? = nil, maxTokens: Int? = nil, links: Bool = true,
        documents: [String] = [], maxUnsupported: Double? = nil, maxContextTokens: Int? = nil, history: [ChatMessage] = [],
        since: Date? = nil, before: Date? = nil, formats: [String] = [], names: [String] = [],
        metadata: [String: String] = [:], neighbours: Int = 0,
        wordings: Int = 0, hypothesis: Double = 0, rerank: Int = 0
    ) -> EventStream<AskEvent> {
        let find = FindOptions(
            documents: documents, sinceMs: since?.milliseconds, beforeMs: before?.milliseconds, formats: formats, names: names,
            metadata: metadata, neighbours: Int64(neighbours), wordings: Int64(wordings), hypothesis: hypothesis,
            rerank: Int64(rerank))
        let options = QuestionOptions(
            k: k.map(Int64.init), mode: mode, minSupport: minSupport, maxTokens: maxTokens.map(Int64.init), links: links,
            find: find, maxUnsupported: maxUnsupported, maxContextTokens: maxContextTokens.map(Int64.init),
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
            k: k.map(Int64.init), mode: mode, minSupport: nil, maxTokens: nil, links: links, find: findIn(documents),
            maxUnsupported: nil, maxContextTokens: nil, history: [])
        return try await call { try await native.calibrate(questions: questions, options: options, cancel: $0) }
    }

    /// Asks questions whose answers are known, and scores what comes back. Without `ask` only what is found is judged. `name` is what the
    /// report calls it, and `judge` a model that compares answers with the expected ones. A question that fails counts as wrong.
    public func evaluate(
        questions: [EvaluationQuestion], name: String = "", search: Searching = .usual, ask: Questioning? = nil,
        judge: AnswerWriter? = nil
    ) async throws -> Evaluation {
        try await call { cancel in
            var options = EvaluateOptions(name: name, search: search, ask: ask, endpoint: nil, writer: nil)
            if case .endpoint(let endpoint) = judge { options.endpoint = endpoint }
            options.writer = try judge.flatMap(nativeWriter)
            return try await native.evaluate(questions: questions, options: options, cancel: cancel)
        }
    }

    /// What became of the answers that are kept; nothing without a cache.
    public func cacheStats() async throws -> CacheStats {
        try await call { try await native.cacheStats(cancel: $0) }
    }

    /// Forgets the answers that are kept.
    public func cacheClear() async throws {
        try await call { try await native.cacheClear(cancel: $0) }
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

    /// Its id, of its own and made when it was: 32 hexadecimal digits.
    public func id() async throws -> String {
        try await call { try await native.id(cancel: $0) }
    }

    /// Lets a capability of `Node.shareKnowledge` count no more. Revoking it again does nothing.
    public func revokeShare(capabilityId: String) async throws {
        try await call { try await native.revokeShare(capabilityId: capabilityId, cancel: $0) }
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

extension Evaluation {
    /// The mean difference of each score from another evaluation of the same questions, question by question: above 0 where this one
    /// is better.
    public func compare(other: Evaluation) throws -> [String: Difference] {
        try ask { try comparedEvaluations(evaluation: self, other: other) }
    }

    /// All of it.
    public func toJson() throws -> String {
        try ask { try evaluationJson(evaluation: self) }
    }

    /// The means as a table, and what failed.
    public func toMarkdown() -> String {
        evaluationMarkdown(evaluation: self)
    }

    /// A page that needs nothing beside itself and in which nothing runs, with another evaluation beside this one.
    public func toHtml(beside: Evaluation? = nil) -> String {
        evaluationHtml(evaluation: self, beside: beside)
    }
}

extension Searching {
    /// As `Rag.search` looks for passages unless told otherwise.
    public static var usual: Searching {
        Searching(mode: .hybrid, links: false, find: .everywhere, diversity: 0, denseWeight: nil, timed: false)
    }
}

extension Questioning {
    /// As `Rag.ask` asks unless told otherwise.
    public static var usual: Questioning {
        Questioning(
            k: nil, mode: nil, minSupport: nil, maxTokens: nil, links: nil, find: .everywhere, maxUnsupported: nil,
            maxContextTokens: nil, history: [])
    }
}

extension Finding {
    /// In all documents, without a language model's help.
    public static var everywhere: Finding { findIn([]) }
}

func findIn(_ documents: [String]) -> FindOptions {
    FindOptions(
        documents: documents, sinceMs: nil, beforeMs: nil, formats: [], names: [], metadata: [:], neighbours: 0, wordings: 0,
        hypothesis: 0, rerank: 0)
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
    _ readers: [any DocumentReader], _ cache: AnswerCache?
) throws -> RagOptions {
    var options = RagOptions(
        embedder: nil, embeddingEndpoint: nil, ownEmbedder: nil, endpoint: nil, writer: nil, chunking: chunking, language: language?.rawValue,
        readers: try readers.map {
            try NativeReader(extensions: $0.extensions, deadlineMs: $0.deadline?.milliseconds, code: ReaderAdapter($0))
        }, cache: cache, dataDir: nil)
    switch embedder {
    case .wordsOnly: options.embedder = "none"
    case .bert(let name): options.embedder = name
    case .endpoint(let endpoint): options.embeddingEndpoint = endpoint
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
