import Foundation
import KwaaiNetNative

/// Runs a node for the length of a block, and shuts it down after it, also when the block throws.
public func withNode<T>(
    preset: Preset? = nil, name: String? = nil, dataDir: URL? = nil, _ body: (Node) async throws -> T
) async throws -> T {
    let node = try await Node.start(preset: preset, name: name, dataDir: dataDir)
    let result: T
    do {
        result = try await body(node)
    } catch {
        // The error of the block is the one to tell; the shutdown goes on in any case.
        await Task { try? await node.shutdown() }.value
        throw error
    }
    try await node.shutdown()
    return result
}

/// A whole node: identity, network, trust, models and knowledge under one handle. A node that is forgotten ends without grace.
public final class Node: Sendable {
    private let native: NativeNode

    init(_ native: NativeNode) {
        self.native = native
    }

    /// Starts a node: it listens, dials nobody but its bootstraps, shares nothing and sends nothing home.
    ///
    /// What is given here wins over environment variables, these over `config.yaml` in the data directory, and that over the
    /// preset, which is `desktop` unless set. `seed` and `clock` are for tests.
    ///
    /// How others reach a node that nobody can dial: `trustedRelays` are relays to be reached through, `announceAddr`, `publicIp`
    /// and `publicPort` say what the router forwards, `upnp` asks it to, and `forcePrivate` takes the node for one that nobody
    /// can dial. Peers that see it at an address count when there are `identifyMinConfirmations` of them and nobody could try
    /// to dial for `identifyTimeout`, which is rounded up to seconds. A node with `relay` relays for others, within
    /// `relayLimits`. `hivemind` takes part in the DHT of hivemind and Petals. With `peerCache`, which is on unless set, peers
    /// that were reached are remembered in the data directory and some of them dialled at the next start.
    public static func start(
        preset: Preset? = nil, name: String? = nil, dataDir: URL? = nil, identityKey: URL? = nil, listen: [String]? = nil,
        bootstrap: [String]? = nil, mdns: Bool? = nil, hivemind: Bool? = nil, trustedRelays: [String]? = nil,
        relay: Bool? = nil, relayLimits: RelayLimits? = nil, announceAddr: [String]? = nil, publicIp: String? = nil,
        publicPort: Int? = nil, forcePrivate: Bool? = nil, identifyMinConfirmations: Int? = nil,
        identifyTimeout: Duration? = nil, upnp: Bool? = nil, peerCache: Bool? = nil, limits: Limits? = nil,
        seed: Int64? = nil, clock: Date? = nil
    ) async throws -> Node {
        let options = NodeOptions(
            preset: preset?.rawValue, name: name, dataDir: dataDir?.path, identityKey: identityKey?.path, listen: listen,
            bootstrap: bootstrap, mdns: mdns, hivemind: hivemind, trustedRelays: trustedRelays, relay: relay,
            relayLimits: relayLimits, announceAddr: announceAddr, publicIp: publicIp, publicPort: publicPort.map(Int64.init),
            forcePrivate: forcePrivate, identifyMinConfirmations: identifyMinConfirmations.map(Int64.init),
            identifyTimeoutMs: identifyTimeout?.milliseconds, upnp: upnp, peerCache: peerCache, limits: limits, seed: seed,
            clock: clock?.instant)
        return try await call { Node(try await NativeNode.start(options: options, cancel: $0)) }
    }

    /// The readable name that peers see.
    public var name: String { native.name() }

    /// The identity that the network knows this node by.
    public var peerId: String { native.peerId() }

    /// The identity that signs this node's credentials.
    public var did: String { native.did() }

    /// What the node says about itself.
    public func info() async throws -> NodeInfo {
        try await call { try await native.info(cancel: $0) }
    }

    /// The connected peers with their tiers. A peer of which nothing is known is asked for its credentials.
    public func peers() async throws -> [PeerInfo] {
        try await call { try await native.peers(cancel: $0) }
    }

    /// Looks for what keeps this node from others, and says what to do: bootstraps that do not answer, a clock that is off, relays
    /// without a place, a firewall. Takes ten seconds at most; nothing found is an empty list.
    public func diagnose() async throws -> [Diagnosis] {
        try await call { try await native.diagnose(cancel: $0) }
    }

    /// Counters and gauges since the start: who is connected and how, bytes, calls with their durations, what the node gives as
    /// a relay. No peer is named in it, and nothing that was said.
    public func metrics() async throws -> Metrics {
        try await call { try await native.metrics(cancel: $0) }
    }

    /// Connects to a node at a multiaddress that ends in `/p2p/<peer id>`; returns the PeerId.
    @discardableResult
    public func connect(address: String) async throws -> String {
        try await call { try await native.connect(address: address, cancel: $0) }
    }

    /// Closes every connection to a peer.
    public func disconnect(peer: String) async throws {
        try await call { try await native.disconnect(peer: peer, cancel: $0) }
    }

    /// Asks the network where a peer, a PeerId or a DID, can be reached.
    public func findPeer(peer: String) async throws -> [String] {
        try await call { try await native.findPeer(peer: peer, cancel: $0) }
    }

    /// Whether a peer, a PeerId or a DID, or whoever is at an address, answers now: connects to it where there is no connection,
    /// and times a round trip.
    public func probe(peer: String) async throws -> PeerInfo {
        try await call { try await native.probe(peer: peer, cancel: $0) }
    }

    /// Asks a peer where somebody stands with it, or whether somebody reaches a minimum with it. The answer is the peer's opinion,
    /// within what its owner allows, and changes no score here.
    public func askTrust(peer: String, about: String, atLeast: Minimum? = nil) async throws -> TrustStatement {
        try await call { try await native.askTrust(peer: peer, about: about, atLeast: atLeast?.native, cancel: $0) }
    }

    /// Asks a peer what it saw of others by itself, and keeps that as its recommendations, in place of those it gave before. How
    /// much they count in a score depends on how well the peer agrees with this node's own experience. A peer that saw nobody, or
    /// does not say, is a result with a count of 0; what is kept of it stays then. A node asks by itself, every hour, the connected
    /// peers that are at least known.
    @discardableResult
    public func askWord(peer: String) async throws -> TakenWord {
        try await call { try await native.askWord(peer: peer, cancel: $0) }
    }

    /// Looks at once for the status lists that this node wants, at their issuers and at the nodes that have copies. A node does
    /// this by itself every ten minutes. Where peers have gone it may take a minute.
    @discardableResult
    public func refreshStatusLists() async throws -> StatusRefresh {
        try await call { try await native.refreshStatusLists(cancel: $0) }
    }

    /// Puts what a kept credential claims to the test, at the peer that it is about, and keeps the row of evidence.
    ///
    /// An `UptimeVC` is tested by whether the peer answers a signed probe. A `ThroughputVC` is tested by `tokens` that the peer
    /// computes, 8 to 512 and 32 unless set, with the `model` that the credential names; where its blocks are here too, the
    /// results are compared. `tolerance` is how far the measurement may stay below the claim, as a share of it from 0 to 1, and
    /// 0.2 unless set. `seed`, from 0 to 2^53 - 1, decides the work, and is drawn at random unless set, so that nobody can
    /// prepare for it.
    ///
    /// Throws `KwaaiError.notFound` for a credential that is not kept, and `KwaaiError.unsupported` for one whose claim cannot
    /// be tested. A peer that does not answer is a result and no error; it takes ten seconds.
    @discardableResult
    public func testCredential(
        credentialId: String, model: Model? = nil, tolerance: Double? = nil, tokens: Int? = nil, seed: Int64? = nil
    ) async throws -> ClaimTest {
        try await call { cancel in
            try await native.testCredential(
                credentialId: credentialId, model: model?.native, tolerance: tolerance, tokens: tokens.map(Int64.init),
                seed: seed, cancel: cancel)
        }
    }

    /// Looks whether a peer is up, and keeps that as a sample of its sightings: up is who answers a call, whatever it answers.
    /// Throws `KwaaiError.unreachable` when the peer does not answer and no other peer is connected: the fault may be here, and
    /// that is no sample. It takes five seconds to find a peer down.
    @discardableResult
    public func sight(peer: String) async throws -> Bool {
        try await call { try await native.sight(peer: peer, cancel: $0) }
    }

    /// Looks at every connected peer, and at those that were looked at within the last seven days, once each period of a second
    /// at least, as long as the node runs. What a bootstrap server does that issues uptimes.
    public func watchPeers(period: Duration) async throws {
        try await call { try await native.watchPeers(periodMs: period.milliseconds, cancel: $0) }
    }

    /// Measures how fast a peer computes its blocks of a model, and issues a `ThroughputVC` about it: tokens per second of the
    /// whole model, as if the peer computed all of its blocks. Each of the `runs`, 1 to 64 and 3 unless set, computes `tokens`, 8
    /// to 512 and 32 unless set. Where the model's blocks are here too, the results are compared. The credential is returned, and
    /// not kept.
    ///
    /// Throws `KwaaiError.notFound` when the peer serves no block of the model, and `KwaaiError.corruptData` for a wrong result.
    public func issueThroughput(
        peer: String, model: Model, tokens: Int? = nil, runs: Int? = nil, seed: Int64? = nil, validFor: Duration? = nil
    ) async throws -> Credential {
        try await call { cancel in
            try await native.issueThroughput(
                peer: peer, model: model.native, tokens: tokens.map(Int64.init), runs: runs.map(Int64.init), seed: seed,
                validForMs: validFor?.milliseconds, cancel: cancel)
        }
    }

    /// Sends a text of at most 64 KiB to a peer, a PeerId or a DID, or to whoever is at an address. Returns when it has arrived.
    public func sendMessage(peer: String, text: String) async throws {
        try await call { try await native.sendMessage(peer: peer, text: text, cancel: $0) }
    }

    /// Messages as they arrive, from this call on. What came before the first reader is kept for it.
    public func messages() throws -> EventStream<Message> {
        EventStream(recorded: try openMessages()) { [self] in try openMessages() }
    }

    /// What happens on the network, from this call on.
    public func events() throws -> EventStream<NodeEvent> {
        EventStream(recorded: try openEvents()) { [self] in try openEvents() }
    }

    /// Credentials, scores and the policy of this node.
    public func trust() -> TrustGraph {
        TrustGraph(native.trust())
    }

    /// Language models, whole or in blocks over peers.
    public func shards() -> ShardEngine {
        ShardEngine(native.shards())
    }

    /// Vectors on other people's machines that these cannot read, and such vectors of others on this one.
    public func vpk() -> Vpk {
        Vpk(native.vpk())
    }

    /// Opens a knowledge base of this node. While it is open, the same name returns the same one. The options are those of
    /// `Rag.open`. With a `dataDir` it lies in a directory of its own instead of the node's, for example on another disk. The node
    /// remembers it by the name; another one is a conflict, and one that is missing is not found, and nothing is made in its place.
    public func rag(
        name: String, embedder: EmbedderSource? = nil, model: AnswerWriter? = nil, chunking: Chunking? = nil,
        language: Language? = nil, readers: [any DocumentReader] = [], cache: AnswerCache? = nil, dataDir: URL? = nil
    ) async throws -> Rag {
        try await call { cancel in
            var options = try ragOptions(embedder, model, chunking, language, readers, cache)
            options.dataDir = dataDir?.path
            return Rag(try await native.rag(name: name, options: options, cancel: cancel))
        }
    }

    /// Answers programs that speak OpenAI's HTTP API. `models` and `embedders` go by the names that requests call them. A knowledge
    /// base of `knowledge` is a model too, which answers from its documents, and has a page for people; it stays open until the
    /// server ends.
    ///
    /// It listens on 127.0.0.1 and port 11435 unless set, and on any free `port` with 0. On a `host` that is not loopback it needs a
    /// `token`, which every request then carries as its bearer token. `maxRequests` are answered at the same time, 8 unless set, and
    /// `maxBodyBytes` are read of each, 4 MiB unless set, and `maxUploadBytes` of a document, 64 MiB unless set. It ends with what is
    /// returned, and with the node. Throws `KwaaiError.busy` when the port is taken.
    public func serveHttp(
        models: [String: AnswerWriter] = [:], embedders: [String: EmbedderSource] = [:], knowledge: [String: Rag] = [:],
        host: String? = nil, port: Int? = nil, token: String? = nil, maxRequests: Int? = nil, maxBodyBytes: Int64? = nil,
        maxUploadBytes: Int64? = nil
    ) async throws -> HttpServer {
        try await call { cancel in
            let options = try serverOptions(
                models, embedders, knowledge, host, port, token, maxRequests, maxBodyBytes, maxUploadBytes)
            return HttpServer(try await native.serveHttp(options: options, cancel: cancel))
        }
    }

    /// Lets a peer search a knowledge base, by the capability that is returned, whose text is handed to it by whatever way.
    ///
    /// The `holder` is a DID or a PeerId, `name` what it sees the knowledge base called, 1 to 64 characters, and `validFor` at most 366
    /// days. The capability counts until it ends or `Rag.revokeShare` revokes it, while this node runs and the knowledge base is open: one
    /// that was opened with `Node.rag`, or was shared since. The holder gets passages and what proves them; this node gets its questions.
    public func shareKnowledge(rag: Rag, holder: String, name: String, validFor: Duration) async throws -> KnowledgeCapability {
        try await call {
            try await native.shareKnowledge(
                rag: rag.native, holder: holder, name: name, validForMs: validFor.milliseconds, cancel: $0)
        }
    }

    /// A knowledge base that a peer, a DID or a PeerId, shares, by its capability. Nobody is asked before it is searched.
    ///
    /// Throws `KwaaiError.corruptData` for a capability whose signature does not hold.
    public func sharedKnowledge(peer: String, capability: String) async throws -> SharedKnowledge {
        try await call {
            SharedKnowledge(try await native.sharedKnowledge(peer: peer, capability: capability, cancel: $0))
        }
    }

    /// Several knowledge bases as one: those of this node by the names that hits call them, and then those that peers share.
    ///
    /// The embedder scores passages of all of them and is as for `Rag.open`: with `.wordsOnly` words alone do, whose forms are brought
    /// together as in `language`.
    public func federation(
        own: [String: Rag] = [:], shared: [SharedKnowledge] = [], embedder: EmbedderSource? = nil, language: Language? = nil
    ) async throws -> Federation {
        try await call { cancel in
            let options = try ragOptions(embedder, nil, nil, language, [])
            let named = own.sorted(by: { $0.key < $1.key }).map { NamedOwn(name: $0.key, rag: $0.value.native) }
            let choice = EmbedderChoice(
                embedder: options.embedder, embeddingEndpoint: options.embeddingEndpoint, ownEmbedder: options.ownEmbedder)
            return Federation(
                try await native.federation(
                    own: named, shared: shared.map { $0.native }, embedder: choice, language: options.language, cancel: cancel))
        }
    }

    /// Proves where passages of a knowledge base come from, as this node's statement. Those that are no longer as they were found are
    /// left out.
    public func prove(rag: Rag, hits: [Hit]) async throws -> [ProvenHit] {
        try await call { try await native.prove(rag: rag.native, hits: hits, cancel: $0) }
    }

    /// Shares exactly this, and no longer what was shared before; without arguments nothing is shared. What was shared before takes
    /// nothing new, and may end within `grace`, five seconds unless set.
    @discardableResult
    public func contribute(
        blocks: [BlockShare] = [], minTier: Tier? = nil, grace: Duration? = nil
    ) async throws -> [Offer] {
        try await call {
            try await native.contribute(
                blocks: blocks, minTier: minTier?.rawValue, graceMs: grace?.milliseconds, cancel: $0)
        }
    }

    /// For tests: moves the clock that the node was started with.
    public func advanceClock(by: Duration) throws {
        try ask { try native.advanceClock(byMs: by.milliseconds) }
    }

    /// Stops the node: what is under way may finish within `grace`, five seconds unless set. Idempotent.
    public func shutdown(grace: Duration? = nil) async throws {
        try await call { try await native.shutdown(graceMs: grace?.milliseconds, cancel: $0) }
    }

    private func openMessages() throws -> EventStream<Message>.Source {
        let stream = try ask { try native.messages() }
        return .init(
            next: {
                let batch = try await call { try await stream.nextBatch(max: batchSize, cancel: $0) }
                return batch.map { ($0.values, $0.missed) }
            },
            stop: { stream.cancel() })
    }

    private func openEvents() throws -> EventStream<NodeEvent>.Source {
        let stream = try ask { try native.events() }
        return .init(
            next: {
                let batch = try await call { try await stream.nextBatch(max: batchSize, cancel: $0) }
                return batch.map { ($0.values, $0.missed) }
            },
            stop: { stream.cancel() })
    }
}
