import Foundation
import KwaaiNetNative

// Records are those of the object layer, generated from its structs. Counts are Int64, instants RFC 3339 in UTC, spans of time
// milliseconds and named so.

public typealias Answer = KwaaiNetNative.Answer
public typealias AnswerCache = KwaaiNetNative.CacheLimits
public typealias Around = KwaaiNetNative.Around
public typealias AskEvent = KwaaiNetNative.AskEvent
public typealias BlockHost = KwaaiNetNative.BlockHost
public typealias AuditFinding = KwaaiNetNative.AuditFinding
public typealias AuditReport = KwaaiNetNative.AuditReport
public typealias BenchmarkRow = KwaaiNetNative.BenchmarkRow
public typealias BenchmarkStep = KwaaiNetNative.BenchmarkStep
public typealias Blocks = KwaaiNetNative.BlockSelection
public typealias BlockCalibration = KwaaiNetNative.BlockCalibration
public typealias BlockShare = KwaaiNetNative.BlockShareOptions
public typealias CacheStats = KwaaiNetNative.CacheStats
public typealias Calibration = KwaaiNetNative.Calibration
public typealias CalibrationQuestion = KwaaiNetNative.CalibrationQuestion
public typealias ChatMessage = KwaaiNetNative.ChatMessage
public typealias Chunking = KwaaiNetNative.ChunkingSizes
public typealias Citation = KwaaiNetNative.Citation
public typealias ClaimTest = KwaaiNetNative.ClaimTest
public typealias CollectionConfig = KwaaiNetNative.CollectionConfig
public typealias CollectionStats = KwaaiNetNative.CollectionStats
public typealias Coverage = KwaaiNetNative.Coverage
public typealias Credential = KwaaiNetNative.Credential
public typealias CredentialSummary = KwaaiNetNative.CredentialSummary
public typealias Diagnosis = KwaaiNetNative.Diagnosis
public typealias Difference = KwaaiNetNative.Difference
public typealias DocumentInfo = KwaaiNetNative.DocumentInfo
public typealias DocumentPart = KwaaiNetNative.NativePart
public typealias DownloadEvent = KwaaiNetNative.DownloadEvent
public typealias DownloadedModel = KwaaiNetNative.DownloadedModel
public typealias DtgCredential = KwaaiNetNative.DtgCredential
public typealias EmbedderInfo = KwaaiNetNative.EmbedderInfo
public typealias EmbeddingEndpoint = KwaaiNetNative.EmbeddingEndpointOptions
public typealias Endpoint = KwaaiNetNative.EndpointOptions
public typealias Evaluation = KwaaiNetNative.Evaluation
public typealias EvaluationQuestion = KwaaiNetNative.KnownQuestion
public typealias Evidence = KwaaiNetNative.Evidence
public typealias Fault = KwaaiNetNative.Fault
public typealias FaultKind = KwaaiNetNative.FaultKind
public typealias Finding = KwaaiNetNative.FindOptions
public typealias FinishReason = KwaaiNetNative.FinishReason
public typealias FoundVector = KwaaiNetNative.FoundVector
public typealias FoundVectors = KwaaiNetNative.FoundVectors
public typealias GenerateEvent = KwaaiNetNative.GenerateEvent
public typealias GenerateRequest = KwaaiNetNative.GenerateRequest
public typealias GlobalTrust = KwaaiNetNative.GlobalTrust
public typealias Hit = KwaaiNetNative.Hit
public typealias FederatedHit = KwaaiNetNative.FederatedHit
public typealias FederatedResult = KwaaiNetNative.FederatedResult
public typealias KnowledgeCapability = KwaaiNetNative.KnowledgeCapability
public typealias MemberFailure = KwaaiNetNative.MemberFailure
public typealias Proven = KwaaiNetNative.Proven
public typealias ProvenHit = KwaaiNetNative.ProvenHit
public typealias Provenance = KwaaiNetNative.Provenance
public typealias Hop = KwaaiNetNative.Hop
public typealias HostAudit = KwaaiNetNative.HostAudit
public typealias HostedVectors = KwaaiNetNative.HostedVectors
public typealias HostOffer = KwaaiNetNative.HostOffer
public typealias HostReport = KwaaiNetNative.HostReport
public typealias IdentityBinding = KwaaiNetNative.IdentityBinding
public typealias ImportedCredentials = KwaaiNetNative.ImportedCredentials
public typealias IngestEvent = KwaaiNetNative.IngestEvent
public typealias KeptStatusList = KwaaiNetNative.KeptStatusList
public typealias Leakage = KwaaiNetNative.Leakage
public typealias LegacyCredential = KwaaiNetNative.LegacyCredential
public typealias Limits = KwaaiNetNative.NodeLimits
public typealias LogRecord = KwaaiNetNative.LogRecord
public typealias Mean = KwaaiNetNative.Mean
public typealias Measurement = KwaaiNetNative.Measurement
public typealias MeasurementBucket = KwaaiNetNative.MeasurementBucket
public typealias Message = KwaaiNetNative.MessageRecord
public typealias Metrics = KwaaiNetNative.Metrics
public typealias Mode = KwaaiNetNative.Mode
public typealias ModelBenchmark = KwaaiNetNative.ModelBenchmark
public typealias ModelInfo = KwaaiNetNative.ModelInfo
public typealias NodeEvent = KwaaiNetNative.NodeEvent
public typealias NodeInfo = KwaaiNetNative.NodeInfo
public typealias Offer = KwaaiNetNative.Offer
public typealias OutsourceEvent = KwaaiNetNative.OutsourceEvent
public typealias Outsourced = KwaaiNetNative.Outsourced
public typealias PeerInfo = KwaaiNetNative.PeerInfo
public typealias PledgeWithdrawal = KwaaiNetNative.PledgeWithdrawal
public typealias Questioning = KwaaiNetNative.QuestionOptions
public typealias QuestionResult = KwaaiNetNative.QuestionResult
public typealias Rank = KwaaiNetNative.Rank
public typealias Reachability = KwaaiNetNative.Reachability
public typealias Reason = KwaaiNetNative.Reason
public typealias ReembedEvent = KwaaiNetNative.ReembedEvent
public typealias RefusedCredential = KwaaiNetNative.RefusedCredential
public typealias RelayLimits = KwaaiNetNative.NodeRelayLimits
public typealias Repair = KwaaiNetNative.Repair
public typealias Reputation = KwaaiNetNative.Reputation
public typealias ResolvedDid = KwaaiNetNative.ResolvedDid
public typealias Role = KwaaiNetNative.Role
public typealias Score = KwaaiNetNative.Score
public typealias Searching = KwaaiNetNative.SearchOptions
public typealias SearchResult = KwaaiNetNative.SearchResult
public typealias Sightings = KwaaiNetNative.Sightings
public typealias Span = KwaaiNetNative.Span
public typealias Stats = KwaaiNetNative.Stats
public typealias Status = KwaaiNetNative.Status
public typealias StatusRefresh = KwaaiNetNative.StatusRefresh
public typealias SyncEvent = KwaaiNetNative.SyncEvent
public typealias TakenWord = KwaaiNetNative.TakenWord
public typealias Tenant = KwaaiNetNative.Tenant
public typealias Thresholds = KwaaiNetNative.Thresholds
public typealias Timings = KwaaiNetNative.Timings
public typealias TrustedIssuer = KwaaiNetNative.TrustedIssuer
public typealias TrustStatement = KwaaiNetNative.TrustStatement
public typealias Usage = KwaaiNetNative.Usage
public typealias VerifiedPresentation = KwaaiNetNative.VerifiedPresentation
public typealias WantedStatusList = KwaaiNetNative.WantedStatusList

/// What a node is meant for.
public enum Preset: String, Sendable {
    case ephemeral, desktop, mobile, server
}

/// How vectors are hidden from their hosts: not at all, masked at one host, or in shares at three and more.
public enum Privacy: String, Sendable {
    case plain, seal, split
}

/// How vectors are compared.
public enum Metric: String, Sendable {
    case cosine, dot
}

/// How far a peer is trusted.
public enum Tier: String, Sendable, CaseIterable {
    case unknown, known, verified, trusted
}

/// The least that a purpose asks for: a tier, or a score from 0 to 1 where four tiers are too coarse.
public enum Minimum: Sendable, Equatable {
    case tier(Tier)
    case score(Double)

    init?(_ native: KwaaiNetNative.Minimum) {
        switch native {
        case .tier(let name):
            guard let tier = Tier(rawValue: name) else { return nil }
            self = .tier(tier)
        case .score(let value):
            self = .score(value)
        }
    }

    var native: KwaaiNetNative.Minimum {
        switch self {
        case .tier(let tier): return .tier(tier.rawValue)
        case .score(let value): return .score(value)
        }
    }
}

/// What a peer wants to do, or what this node wants of a peer.
public enum Purpose: String, Sendable, CaseIterable {
    case open, message
    case serveBlocks = "serve_blocks"
    case useBlocks = "use_blocks"
    case storeVectors = "store_vectors"
    case searchKnowledge = "search_knowledge"
    case relay
    case relayFreely = "relay_freely"
}

/// How much an asker may learn of a score. Each level includes those before it.
public enum Disclosure: String, Sendable, CaseIterable {
    case nothing, threshold, tier, value, experience
}

/// How a dealing with a peer ended; a transport fault when no whole answer came.
public enum Outcome: String, Sendable, CaseIterable {
    case good, bad
    case transportFault = "transport_fault"
}

/// What an identity is in a link: one side is a node, the other a person, an organisation, or a person known by a passkey.
public enum LinkType: String, Sendable, CaseIterable {
    case person, organisation, passkey, node
}

/// Whether the credentials are kept under a passphrase, and whether it was given.
public enum WalletState: String, Sendable, CaseIterable {
    case plain, locked, unlocked
}

/// Where a model runs: here, or block by block on peers.
public enum Route: String, Sendable {
    case local, peers
}

/// The language whose word forms are brought together.
public enum Language: String, Sendable, CaseIterable {
    case english, arabic, danish, dutch, finnish, french, german, greek, hungarian, italian, norwegian, portuguese
    case romanian, russian, spanish, swedish, tamil, turkish
}

/// Numbers in rows and columns: `values` holds the rows one after the other.
public struct Matrix: Sendable {
    public let rows: Int
    public let columns: Int
    public let values: [Float]

    /// The number in a row and a column, both from 0.
    public subscript(row: Int, column: Int) -> Float {
        values[row * columns + column]
    }

    /// A matrix of these numbers, row after row. A count that does not fit is refused where the matrix is used.
    public init(rows: Int, columns: Int, values: [Float]) {
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    var native: NativeMatrix {
        let bytes = values.withUnsafeBytes { Data($0) }
        return NativeMatrix(rows: Int32(clamping: rows), columns: Int32(clamping: columns), values: bytes)
    }

    /// The numbers are copied once; they are little-endian, as every machine that Swift runs on.
    init(_ native: NativeMatrix) {
        rows = Int(native.rows)
        columns = Int(native.columns)
        values = [Float](unsafeUninitializedCapacity: native.values.count / MemoryLayout<Float>.size) { buffer, count in
            count = native.values.copyBytes(to: buffer) / MemoryLayout<Float>.size
        }
    }
}

/// Functions of the library itself.
public enum Library {
    /// The version of the library.
    public static var version: String { nativeVersion() }

    /// Reads any spelling of a DID, or a PeerId in either of its text forms. Nothing is asked of the network.
    public static func resolveDid(did: String) throws -> ResolvedDid {
        try ask { try resolveNativeDid(did: did) }
    }

    /// Compares an answer with the texts of its sources, of which the first is `[1]`; empty when its citations hold. Spans count the
    /// answer's bytes in UTF-8.
    ///
    /// No model is asked: what stands in quotation marks, with three words or more, or is taken word by word from a source must stand
    /// in one that is cited for it, every sentence cites something, and numbers above twelve stand in a source that is cited. A
    /// paraphrase is not judged.
    public static func checkCitations(text: String, sources: [String]) -> [Fault] {
        checkNativeCitations(text: text, sources: sources)
    }

    /// Checks that a passage stood in a knowledge base, and tells in which. No node is needed, and nobody is asked. What is proven are
    /// the text, its span, its ids and its document's name; not the score, the section or the locator.
    ///
    /// Throws `KwaaiError.corruptData` for a signature that does not hold, and for a passage that is not there as it stands in the hit.
    public static func checkProvenance(hit: Hit, provenance: Provenance) throws -> Proven {
        try ask { try checkNativeProvenance(hit: hit, provenance: provenance) }
    }

    /// Reads the text of a capability that an owner handed over, and checks its form and its signature. Nobody is asked.
    ///
    /// Throws `KwaaiError.corruptData` for a signature that does not hold.
    public static func readKnowledgeCapability(capability: String) throws -> KnowledgeCapability {
        try ask { try readNativeCapability(text: capability) }
    }

    /// Sends what the library says from now on to a sink, once in a process; without this it is silent. The filter is written
    /// as for `RUST_LOG`, for example `info` or `warn,kwaai_core::net=debug`.
    public static func initLogging(filter: String, sink: any LogSink) throws {
        try ask { try initNativeLogging(filter: filter, sink: SinkAdapter(sink)) }
    }
}
