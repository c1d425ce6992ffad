// What an app does with kwaainet, a function for each task. The tests run every one of them.
package guide

import ai.kwaai.kwaainet.BlockShare
import ai.kwaai.kwaainet.Blocks
import ai.kwaai.kwaainet.Disclosure
import ai.kwaai.kwaainet.Embedder
import ai.kwaai.kwaainet.FederatedResult
import ai.kwaai.kwaainet.GenerateEvent
import ai.kwaai.kwaainet.HttpServer
import ai.kwaai.kwaainet.IngestEvent
import ai.kwaai.kwaainet.KwaaiException
import ai.kwaai.kwaainet.KwaaiNet
import ai.kwaai.kwaainet.Matrix
import ai.kwaai.kwaainet.ModelWriter
import ai.kwaai.kwaainet.Node
import ai.kwaai.kwaainet.Preset
import ai.kwaai.kwaainet.Privacy
import ai.kwaai.kwaainet.Purpose
import ai.kwaai.kwaainet.Rag
import ai.kwaai.kwaainet.Route
import ai.kwaai.kwaainet.Tier
import ai.kwaai.kwaainet.TrustGraph
import ai.kwaai.kwaainet.WordsOnly
import ai.kwaai.kwaainet.use
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.withTimeoutOrNull
import java.nio.file.Path
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.milliseconds

// anchor: start
suspend fun start() {
    Node.start(preset = Preset.EPHEMERAL, name = "alice").use { node ->
        println("${node.name} is ${node.peerId} and signs as ${node.did}")
    }
}
// end: start

// anchor: messages
suspend fun messages(alice: Node, bob: Node) {
    val inbox = bob.messages()
    alice.connect(bob.info().addresses.first())
    alice.sendMessage(bob.did, "hello")
    val message = inbox.first()
    println("${message.sender} wrote ${message.text}")
}
// end: messages

// anchor: trust
suspend fun trust(node: Node, issuer: TrustGraph, peer: String) {
    val credential = issuer.issue("VerifiedNodeVC", peer, validFor = 365.days)

    val trust = node.trust()
    trust.importCredential(credential.json)
    trust.trustIssuer(issuer.did, listOf("VerifiedNodeVC"))
    val score = trust.score(peer)
    println("${score.tier} with ${score.value}")
    for (reason in score.reasons) {
        println("${reason.type}: ${reason.weight} × ${reason.factor}, ${reason.why}")
    }
}
// end: trust

// anchor: policy
suspend fun policy(node: Node, stranger: String) {
    val trust = node.trust()
    trust.setPolicy(mapOf(Purpose.USE_BLOCKS to Tier.VERIFIED))
    try {
        trust.require(stranger, Purpose.USE_BLOCKS)
    } catch (error: KwaaiException.UntrustedPeer) {
        println("${error.code.text}: ${error.message}")
    }
}
// end: policy

// anchor: share_blocks
suspend fun shareBlocks(host: Node, model: Path) {
    val offers = host.contribute(listOf(BlockShare(model, startBlock = 0, endBlock = 2)), minTier = Tier.KNOWN)
    for (offer in offers) {
        println("sharing blocks ${offer.startBlock} to ${offer.endBlock} of ${offer.model}")
    }
}
// end: share_blocks

// anchor: chat
suspend fun chat(app: Node, folder: Path) {
    val engine = app.shards()
    engine.load(folder, Blocks.None).use { model ->
        engine.chat(model, "What is KwaaiNet?", maxTokens = 40, route = Route.PEERS).collect { event ->
            when (event) {
                is GenerateEvent.Token -> print(event.text)
                is GenerateEvent.Done -> println("\ncomputed by ${event.path.map { it.peer ?: "this process" }}")
            }
        }
    }
}
// end: chat

// anchor: documents
suspend fun documents(rag: Rag, folder: Path) {
    rag.ingest(folder).collect { event ->
        when (event) {
            is IngestEvent.Found -> println("${event.files} files")
            is IngestEvent.DocumentDone -> println("${event.name}: ${event.chunks} passages")
            is IngestEvent.DocumentFailed -> println("${event.name}: ${event.message}")
            is IngestEvent.Finished -> println("${event.ingested} documents read")
            else -> Unit
        }
    }
}
// end: documents

// anchor: ask
suspend fun ask(rag: Rag, question: String) {
    val answer = rag.ask(question).done()
    if (answer.refused) {
        println("no answer: ${answer.why}")
    } else {
        println(answer.text)
        answer.citations.forEach { println("[${it.number}] ${it.document}: ${it.quote}") }
    }
}
// end: ask

// anchor: errors
suspend fun errors(node: Node, address: String) {
    try {
        node.connect(address)
    } catch (error: KwaaiException) {
        println("${error.code.text}, ${if (error.retryable) "worth another try" else "final"}: ${error.message}")
    }

    val event = withTimeoutOrNull(50.milliseconds) { node.events().first() }
    println(if (event == null) "nothing happened in time" else "$event")
}
// end: errors

// anchor: bring_your_own
class LetterCounts : Embedder {
    override val id = "letter counts"
    override val dimension = 26

    override suspend fun embed(texts: List<String>, query: Boolean) = texts.map { text ->
        FloatArray(dimension) { letter -> text.lowercase().count { it == 'a' + letter }.toFloat() }
    }
}

suspend fun bringYourOwn(folder: Path) {
    KwaaiNet.initLogging("info") { record -> println("${record.level} ${record.target}: ${record.message}") }
    Rag.open(folder, embedder = LetterCounts()).use { rag ->
        rag.ingest("The harbour pump is checked every Monday.".encodeToByteArray(), "pump.txt").done()
        val hit = rag.search("harbour pump").hits.first()
        println("${hit.document}: ${hit.dense?.score}")
    }
}
// end: bring_your_own

// anchor: ask_others
suspend fun askOthers(app: Node, host: Node, subject: String) {
    val trust = host.trust()
    val credential = trust.issue("FiduciaryPledgeVC", subject, revocable = true)
    trust.importCredential(credential.json)
    trust.trustIssuer(host.did, listOf("FiduciaryPledgeVC"))
    trust.setDisclosures(mapOf(Tier.UNKNOWN to Disclosure.TIER))

    app.connect(host.info().addresses.first())
    println("the host says ${app.askTrust(host.did, subject).tier}")

    trust.revoke(credential.id)
    val status = trust.status(credential.json)
    println("the credential is ${status.state} and the host says ${app.askTrust(host.did, subject).answer}")
}
// end: ask_others

// anchor: keep_vectors
suspend fun keepVectors(owner: Node, host: Node, other: Node) {
    host.vpk().host(64L shl 20, minTier = Tier.UNKNOWN)
    val address = host.info().addresses.first()
    owner.connect(address)

    val notes = owner.vpk().create("notes", 3, Privacy.SEAL, listOf(host.peerId))
    println("the host learns ${notes.leakage.learned}")
    val vectors = Matrix.of(listOf(floatArrayOf(1f, 0f, 0f), floatArrayOf(0f, 1f, 0f)))
    notes.upsert(listOf(1, 2), vectors, payloads = listOf("dumplings", "soup").map { it.encodeToByteArray() })
    notes.flush()

    val key = notes.exportKey("a long walk")
    other.connect(address)
    val recovered = other.vpk().recover("notes", key, passphrase = "a long walk")
    val hit = recovered.search(floatArrayOf(0.9f, 0.1f, 0f), k = 1).hits.first()
    println("${hit.payload?.decodeToString()}: ${hit.score}")
}
// end: keep_vectors

// anchor: serve_openai
suspend fun serveOpenai(node: Node, folder: Path): HttpServer {
    val engine = node.shards()
    val model = engine.load(folder)
    val server = node.serveHttp(models = mapOf("tiny" to ModelWriter(engine, model)), port = 0)
    println("OPENAI_BASE_URL=${server.baseUrl}")
    return server
}
// end: serve_openai

// anchor: serve_knowledge
suspend fun serveKnowledge(rag: Rag): HttpServer {
    rag.ingest("The canteen serves dumplings on Fridays.".encodeToByteArray(), "food.txt").done()
    val server = rag.serve(port = 0)
    println("open http://${server.address} in a browser, or ask the model kwaainet-knowledge at ${server.baseUrl}")
    return server
}
// end: serve_knowledge

// anchor: search_together
suspend fun searchTogether(bob: Node, gardens: Rag, alice: Node, kitchen: Rag): FederatedResult {
    val capability = bob.shareKnowledge(gardens, alice.did, "Bob's gardens", 30.days)
    val shared = alice.sharedKnowledge(bob.peerId, capability.text)
    val together = alice.federation(mapOf("kitchen" to kitchen), listOf(shared), WordsOnly)
    val found = together.search("What do tomatoes need?")
    for (hit in found.hits) {
        val proven = KwaaiNet.checkProvenance(hit.hit, hit.provenance)
        println("${hit.member}: ${hit.hit.text}, signed by ${proven.owner}")
    }
    return found
}
// end: search_together
