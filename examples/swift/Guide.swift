// What an app does with KwaaiNet, a function for each task.
import Foundation
import KwaaiNet

// anchor: start
func start() async throws {
    try await withNode(preset: .ephemeral, name: "alice") { node in
        print("\(node.name) is \(node.peerId) and signs as \(node.did)")
    }
}
// end: start

// anchor: messages
func messages(alice: Node, bob: Node) async throws {
    let inbox = try bob.messages()
    try await alice.connect(address: bob.info().addresses[0])
    try await alice.sendMessage(peer: bob.did, text: "hello")
    for try await message in inbox {
        print("\(message.sender) wrote \(message.text)")
        break
    }
}
// end: messages

// anchor: trust
func trust(node: Node, issuer: TrustGraph, peer: String) async throws {
    let credential = try await issuer.issue(type: "VerifiedNodeVC", subject: peer, validFor: .seconds(365 * 86_400))

    let trust = node.trust()
    try await trust.importCredential(credential: credential.json)
    try await trust.trustIssuer(did: issuer.did, types: ["VerifiedNodeVC"])
    let score = try await trust.score(peer: peer)
    print("\(score.tier) with \(score.value)")
    for reason in score.reasons {
        print("\(reason.type ?? "?"): \(reason.weight) × \(reason.factor), \(reason.why)")
    }
}
// end: trust

// anchor: policy
func policy(node: Node, stranger: String) async throws {
    let trust = node.trust()
    try await trust.setPolicy(policy: [.useBlocks: .tier(.verified)])
    do {
        try await trust.require(peer: stranger, purpose: .useBlocks)
    } catch let error as KwaaiError {
        print("\(error.code): \(error.details.message)")
    }
}
// end: policy

// anchor: share_blocks
func shareBlocks(host: Node, model: URL) async throws {
    let share = BlockShare(model: model.path, startBlock: 0, endBlock: 2)
    for offer in try await host.contribute(blocks: [share], minTier: .known) {
        print("sharing blocks \(offer.startBlock) to \(offer.endBlock) of \(offer.model)")
    }
}
// end: share_blocks

// anchor: chat
func chat(app: Node, folder: URL) async throws {
    let engine = app.shards()
    let model = try await engine.load(model: folder, blocks: .none)
    let question = ChatMessage(role: .user, content: "What is KwaaiNet?")
    for try await event in engine.chat(model: model, messages: [question], maxTokens: 40, route: .peers) {
        switch event {
        case .token(let text): print(text, terminator: "")
        case .done(_, _, let path): print("\ncomputed by \(path.map { $0.peer ?? "this process" })")
        }
    }
    try await model.shutdown()
}
// end: chat

// anchor: documents
func documents(rag: Rag, folder: URL) async throws {
    for try await event in rag.ingest(source: .path(folder)) {
        switch event {
        case .found(let files): print("\(files) files")
        case .documentDone(let name, _, let chunks, _, _): print("\(name): \(chunks) passages")
        case .documentFailed(let name, _, let message): print("\(name): \(message)")
        case .finished(let ingested, _, _, _): print("\(ingested) documents read")
        default: break
        }
    }
}
// end: documents

// anchor: ask
func ask(rag: Rag, question: String) async throws {
    let answer = try await rag.ask(question: question).done()
    if answer.refused {
        print("no answer: \(answer.why ?? "")")
    } else {
        print(answer.text)
        for citation in answer.citations {
            print("[\(citation.number)] \(citation.document): \(citation.quote)")
        }
    }
}
// end: ask

// anchor: errors
func errors(node: Node, address: String) async throws {
    do {
        try await node.connect(address: address)
    } catch let error as KwaaiError {
        print("\(error.code), \(error.isRetryable ? "worth another try" : "final"): \(error.details.message)")
    }

    let waiting = Task {
        for try await event in try node.events() { print("\(event)") }
    }
    waiting.cancel()
    do {
        try await waiting.value
    } catch is CancellationError {
        print("cancelled")
    }
}
// end: errors

// anchor: bring_your_own
struct LetterCounts: Embedder {
    let id = "letter counts"
    let dimension = 26

    func embed(_ texts: [String], query: Bool) async throws -> [[Float]] {
        texts.map { text in
            "abcdefghijklmnopqrstuvwxyz".map { letter in
                Float(text.lowercased().filter { $0 == letter }.count)
            }
        }
    }
}

struct Printing: LogSink {
    func log(_ record: LogRecord) {
        print("\(record.level) \(record.target): \(record.message)")
    }
}

func bringYourOwn(folder: URL) async throws {
    try Library.initLogging(filter: "info", sink: Printing())
    let rag = try await Rag.open(dir: folder, embedder: .own(LetterCounts()))
    let text = Data("The harbour pump is checked every Monday.".utf8)
    _ = try await rag.ingest(source: .bytes(text), name: "pump.txt").done()
    let found = try await rag.search(text: "harbour pump")
    print(found.hits.map(\.document))
    try await rag.shutdown()
}
// end: bring_your_own

// anchor: ask_others
func askOthers(app: Node, host: Node, subject: String) async throws {
    let trust = host.trust()
    let credential = try await trust.issue(type: "FiduciaryPledgeVC", subject: subject, revocable: true)
    try await trust.importCredential(credential: credential.json)
    try await trust.trustIssuer(did: host.did, types: ["FiduciaryPledgeVC"])
    try await trust.setDisclosures(disclosures: [.unknown: .tier])

    try await app.connect(address: host.info().addresses[0])
    let before = try await app.askTrust(peer: host.did, about: subject)
    print("the host says \(before.tier ?? "nothing")")

    try await trust.revoke(credentialId: credential.summary.id)
    let status = try await trust.status(credential: credential.json)
    let after = try await app.askTrust(peer: host.did, about: subject)
    print("the credential is \(status.state) and the host says \(after.answer)")
}
// end: ask_others

// anchor: keep_vectors
func keepVectors(owner: Node, host: Node, other: Node) async throws {
    try await host.vpk().host(capacityBytes: 64 << 20, minTier: .unknown)
    let address = try await host.info().addresses[0]
    try await owner.connect(address: address)

    let vpk = owner.vpk()
    let notes = try await vpk.create(name: "notes", dimension: 3, privacy: .seal, hosts: [host.peerId])
    print("the host learns \(notes.leakage.learned)")
    let vectors = Matrix(rows: 2, columns: 3, values: [1, 0, 0, 0, 1, 0])
    try await notes.upsert(ids: [1, 2], vectors: vectors, payloads: [Data("dumplings".utf8), Data("soup".utf8)])
    try await notes.flush()

    let key = try await notes.exportKey(passphrase: "a long walk")
    try await other.connect(address: address)
    let theirs = other.vpk()
    let recovered = try await theirs.recover(name: "notes", exported: key, passphrase: "a long walk")
    let found = try await recovered.search(vector: [0.9, 0.1, 0], k: 1)
    print(found.hits.map { String(decoding: $0.payload ?? Data(), as: UTF8.self) })
}
// end: keep_vectors

// anchor: serve_openai
func serveOpenai(node: Node, folder: URL) async throws -> HttpServer {
    let engine = node.shards()
    let model = try await engine.load(model: folder)
    let server = try await node.serveHttp(models: ["tiny": .model(engine, model)], port: 0)
    print("OPENAI_BASE_URL=\(server.baseUrl)")
    return server
}
// end: serve_openai

// anchor: serve_knowledge
func serveKnowledge(rag: Rag) async throws -> HttpServer {
    let food = Data("The canteen serves dumplings on Fridays.".utf8)
    for try await event in rag.ingest(source: .bytes(food), name: "food.txt") { print(event) }
    let server = try await rag.serve(port: 0)
    print("open http://\(server.address) in a browser, or ask the model kwaainet-knowledge at \(server.baseUrl)")
    return server
}
// end: serve_knowledge

// anchor: search_together
func searchTogether(bob: Node, gardens: Rag, alice: Node, kitchen: Rag) async throws -> FederatedResult {
    let capability = try await bob.shareKnowledge(
        rag: gardens, holder: alice.did, name: "Bob's gardens", validFor: .seconds(30 * 24 * 60 * 60))
    let shared = try await alice.sharedKnowledge(peer: bob.peerId, capability: capability.text)
    let together = try await alice.federation(own: ["kitchen": kitchen], shared: [shared], embedder: .wordsOnly)
    let found = try await together.search(text: "What do tomatoes need?")
    for hit in found.hits {
        let proven = try Library.checkProvenance(hit: hit.hit, provenance: hit.provenance)
        print("\(hit.member): \(hit.hit.text), signed by \(proven.owner)")
    }
    return found
}
// end: search_together
