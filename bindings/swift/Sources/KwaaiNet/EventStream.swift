import Foundation
import KwaaiNetNative

/// Values that come over time: messages, events, progress, tokens.
///
/// Work begins with the first value that is asked for; what a node reports is recorded from the call on. Leaving the loop
/// early, or cancelling its task, stops the work behind it; what is durable already stays. The library never waits for a
/// reader: one that falls too far behind loses the oldest values, and `missed` counts them.
public final class EventStream<Element: Sendable>: AsyncSequence, @unchecked Sendable {
    typealias Batch = (values: [Element], missed: Int64)

    /// A stream of the library: batches until `nil`, and how to stop it.
    struct Source: Sendable {
        var next: @Sendable () async throws -> Batch?
        var stop: @Sendable () -> Void
    }

    private let lock = NSLock()
    private var recorded: Source?
    private var lost: Int64 = 0
    private let open: @Sendable () async throws -> Source

    init(recorded: Source? = nil, open: @escaping @Sendable () async throws -> Source) {
        self.recorded = recorded
        self.open = open
    }

    deinit {
        recorded?.stop()
    }

    /// How many values were dropped because nobody read them in time, over all loops.
    public var missed: Int {
        lock.withLock { Int(lost) }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(of: self)
    }

    fileprivate func opened() async throws -> Source {
        let waiting = lock.withLock {
            let source = recorded
            recorded = nil
            return source
        }
        if let waiting { return waiting }
        return try await open()
    }

    fileprivate func miss(_ count: Int64) {
        lock.withLock { lost += count }
    }

    /// The values of one loop. The work ends with it.
    public final class Iterator: AsyncIteratorProtocol {
        private let stream: EventStream<Element>
        private var source: Source?
        private var values: ArraySlice<Element> = []
        private var ended = false

        fileprivate init(of stream: EventStream<Element>) {
            self.stream = stream
        }

        deinit {
            source?.stop()
        }

        public func next() async throws -> Element? {
            while values.isEmpty && !ended {
                let current: Source
                if let source {
                    current = source
                } else {
                    current = try await stream.opened()
                    source = current
                }
                guard let batch = try await current.next() else {
                    ended = true
                    break
                }
                stream.miss(batch.missed)
                values = batch.values[...]
            }
            return values.popFirst()
        }
    }
}

/// At most so many values cross from the library at once.
let batchSize: Int64 = 256

/// A generation, whole.
public struct Completion: Sendable {
    public var text: String
    public var finishReason: FinishReason
    public var usage: Usage
    /// Where the blocks were computed, in order.
    public var path: [Hop]
}

extension EventStream where Element == GenerateEvent {
    /// Reads to the end and returns the whole text.
    public func done() async throws -> Completion {
        var text = ""
        for try await event in self {
            switch event {
            case .token(let piece): text += piece
            case .done(let finishReason, let usage, let path):
                return Completion(text: text, finishReason: finishReason, usage: usage, path: path)
            }
        }
        throw KwaaiError.internal(KwaaiError.Details("a generation ended without its last event"))
    }
}

extension EventStream where Element == DownloadEvent {
    /// Reads to the end and returns where the model is: its folder, or its GGUF file.
    public func done() async throws -> String {
        for try await event in self {
            if case .finished(let path) = event { return path }
        }
        throw KwaaiError.internal(KwaaiError.Details("a download ended without its last event"))
    }
}

extension EventStream where Element == AskEvent {
    /// Reads to the end and returns the whole answer.
    public func done() async throws -> Answer {
        for try await event in self {
            if case .done(let answer) = event { return answer }
        }
        throw KwaaiError.internal(KwaaiError.Details("an answer ended without its last event"))
    }
}

extension EventStream where Element == OutsourceEvent {
    /// Reads to the end and returns of how many passages the collection holds the vectors, and how many this run brought.
    public func done() async throws -> (passages: Int, brought: Int) {
        for try await event in self {
            if case .finished(let passages, let brought) = event { return (Int(passages), Int(brought)) }
        }
        throw KwaaiError.internal(KwaaiError.Details("bringing vectors to a collection ended without its last event"))
    }
}

extension EventStream where Element == ReembedEvent {
    /// Reads to the end and returns how many passages have vectors of the new embedder, and how many texts this run embedded.
    public func done() async throws -> (passages: Int, embedded: Int) {
        for try await event in self {
            if case .finished(let passages, let embedded) = event { return (Int(passages), Int(embedded)) }
        }
        throw KwaaiError.internal(KwaaiError.Details("a change of the embedder ended without its last event"))
    }
}

extension EventStream where Element == IngestEvent {
    /// Reads to the end and returns how many documents are new, were stored already, and could not be read.
    public func done() async throws -> (ingested: Int, unchanged: Int, failed: Int) {
        for try await event in self {
            if case .finished(let ingested, let unchanged, let failed, _) = event {
                return (Int(ingested), Int(unchanged), Int(failed))
            }
        }
        throw KwaaiError.internal(KwaaiError.Details("an ingestion ended without its last event"))
    }
}
