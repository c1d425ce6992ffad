package ai.kwaai.kwaainet

import kotlinx.coroutines.runBlocking
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.fail
import kotlin.time.Duration
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.milliseconds

/** Nothing that an app hands over stops the process: everything is a typed error. */
class BadInputTest {
    private val half = "half a pair \ud83d"
    private val texts = listOf("", half, "\u0000", "x".repeat(200_000), "did:key:", "../..", "🌍")

    private suspend fun refused(what: String, vararg codes: ErrorCode, call: suspend () -> Any?) {
        try {
            call()
        } catch (error: KwaaiException) {
            if (codes.isNotEmpty() && error.code !in codes) throw AssertionError("$what: $error", error)
            return
        }
        fail("$what was let through")
    }

    @Test
    fun `no text stops a node`() = runBlocking {
        Node.start(preset = Preset.EPHEMERAL, seed = 1).use { node ->
            for (text in texts) {
                val shown = text.take(20)
                refused("connect $shown") { node.connect(text) }
                refused("disconnect $shown", ErrorCode.INVALID_ARGUMENT) { node.disconnect(text) }
                refused("find $shown", ErrorCode.INVALID_ARGUMENT) { node.findPeer(text) }
                refused("probe $shown", ErrorCode.INVALID_ARGUMENT) { node.probe(text) }
                refused("send to $shown", ErrorCode.INVALID_ARGUMENT) { node.sendMessage(text, "hello") }
                refused("score $shown", ErrorCode.INVALID_ARGUMENT) { node.trust().score(text) }
                refused("verify $shown", ErrorCode.INVALID_ARGUMENT, ErrorCode.RESOURCE_EXHAUSTED) { node.trust().verify(text) }
                refused("issue $shown", ErrorCode.INVALID_ARGUMENT) { node.trust().issue(text, node.did) }
                refused("trust $shown", ErrorCode.INVALID_ARGUMENT) { node.trust().trustIssuer(node.did, listOf(text)) }
            }
            refused("half a claim", ErrorCode.INVALID_ARGUMENT) {
                node.trust().issue("UptimeVC", node.did, JsonObject(mapOf("a" to JsonPrimitive(half))))
            }
            refused("not a number", ErrorCode.INVALID_ARGUMENT) {
                node.trust().issue("UptimeVC", node.did, JsonObject(mapOf("a" to JsonPrimitive(Double.NaN))))
            }
        }
    }

    @Test
    fun `no hit stops a proof`() = runBlocking {
        val hit = Hit("0", "a.txt", "0", "text", Span(0, 4), null, null, 1.0, null, null, null, emptyMap(), null)
        val provenance = Provenance("{}", 0, emptyList())
        refused("no statement", ErrorCode.INVALID_ARGUMENT) { KwaaiNet.checkProvenance(hit, provenance) }
        refused("a negative leaf", ErrorCode.INVALID_ARGUMENT) { KwaaiNet.checkProvenance(hit, provenance.copy(index = -1)) }
        refused("half a text", ErrorCode.INVALID_ARGUMENT) { KwaaiNet.checkProvenance(hit.copy(text = half), provenance) }
        refused("a negative span", ErrorCode.INVALID_ARGUMENT) { KwaaiNet.checkProvenance(hit.copy(span = Span(-1, 4)), provenance) }
        refused("a negative rank", ErrorCode.INVALID_ARGUMENT) { KwaaiNet.checkProvenance(hit.copy(dense = Rank(-1, 1f)), provenance) }
        for (text in texts) refused("read ${text.take(20)}", ErrorCode.INVALID_ARGUMENT, ErrorCode.RESOURCE_EXHAUSTED) { KwaaiNet.readKnowledgeCapability(text) }
    }

    @Test
    fun `no number stops anything`(@TempDir dir: Path) = runBlocking {
        refused("a negative seed", ErrorCode.INVALID_ARGUMENT) { TrustGraph.open(seed = -1) }
        Node.start(preset = Preset.EPHEMERAL, listen = emptyList(), seed = 1, clock = java.time.Instant.EPOCH).use { node ->
            for (by in listOf((-1).milliseconds, (50_000).days, Duration.INFINITE, -Duration.INFINITE)) {
                refused("advance by $by", ErrorCode.INVALID_ARGUMENT) { node.advanceClock(by) }
                refused("grace of $by", ErrorCode.INVALID_ARGUMENT) { node.shutdown(grace = by) }
            }
            refused("blocks", ErrorCode.INVALID_ARGUMENT) { node.contribute(listOf(BlockShare(TINY, -1, 2))) }
            refused("blocks", ErrorCode.INVALID_ARGUMENT) { node.contribute(listOf(BlockShare(TINY, 3, Int.MAX_VALUE))) }
            for (seed in listOf(-1L, 1L shl 53, Long.MAX_VALUE)) {
                refused("seed $seed", ErrorCode.INVALID_ARGUMENT) { node.testCredential("urn:kwaai:vc:0", seed = seed) }
            }
            for (period in listOf((-1).milliseconds, 999.milliseconds, Duration.INFINITE)) {
                refused("period $period", ErrorCode.INVALID_ARGUMENT) { node.watchPeers(period) }
            }
            for (tokens in listOf(-1, 0, 513)) {
                refused("tokens $tokens", ErrorCode.INVALID_ARGUMENT) { node.testCredential("urn:kwaai:vc:0", tokens = tokens) }
            }
        }
        TrustGraph.open().use { graph ->
            for (days in listOf(-1L, UInt.MAX_VALUE.toLong() + 1, Long.MIN_VALUE)) {
                refused("days $days", ErrorCode.INVALID_ARGUMENT) { graph.setThresholds(Thresholds(uptimeMinDays = days)) }
            }
            for (span in listOf((-1).milliseconds, 50_000.days, Duration.INFINITE)) {
                refused("latency $span", ErrorCode.INVALID_ARGUMENT) { graph.record(Testing.seedDid(2), Outcome.GOOD, span) }
            }
            for (weight in listOf(-1.0, Double.NaN, Double.POSITIVE_INFINITY)) {
                refused("weight $weight", ErrorCode.INVALID_ARGUMENT) {
                    graph.addRecommendation(Testing.seedDid(2), Testing.seedDid(3), weight, 0.0)
                }
            }
            for (alpha in listOf(0.0, -1.0, 1.5, Double.NaN)) {
                refused("alpha $alpha", ErrorCode.INVALID_ARGUMENT) { graph.propagate(alpha = alpha) }
            }
            refused("lifetime", ErrorCode.INVALID_ARGUMENT) {
                graph.issueBinding(Testing.seedDid(2), LinkType.PERSON, (-1).milliseconds)
            }
            refused("delivered", ErrorCode.INVALID_ARGUMENT) {
                graph.record(Testing.seedDid(2), Outcome.GOOD, delivered = Double.NaN)
            }
        }
        Rag.open(dir.resolve("kb"), WordsOnly).use { rag ->
            rag.ingest("A text.".encodeToByteArray(), "a.txt").done()
            refused("k", ErrorCode.INVALID_ARGUMENT) { rag.search("text", k = -1) }
            refused("k", ErrorCode.INVALID_ARGUMENT) { rag.ask("What?", k = 0).done() }
            refused("k", ErrorCode.INVALID_ARGUMENT) { rag.ask("What?", k = -5).done() }
            refused("support", ErrorCode.INVALID_ARGUMENT) { rag.ask("What?", minSupport = Double.NaN).done() }
            refused("tokens", ErrorCode.INVALID_ARGUMENT) { rag.ask("What?", maxTokens = -1).done() }
            assertEquals(1, rag.search("text", k = Int.MAX_VALUE).hits.size)
        }
        for (size in listOf(-1, Int.MIN_VALUE)) {
            refused("chunking", ErrorCode.INVALID_ARGUMENT) {
                Rag.open(dir.resolve("other"), WordsOnly, chunking = Chunking(size = size))
            }
        }
        ShardEngine.open().use { engine ->
            engine.load(TINY).use { model ->
                refused("temperature", ErrorCode.INVALID_ARGUMENT) { engine.chat(model, "x", temperature = Double.NaN).done() }
                refused("temperature", ErrorCode.INVALID_ARGUMENT) { engine.chat(model, "x", temperature = -1.0).done() }
                refused("top_p", ErrorCode.INVALID_ARGUMENT) { engine.chat(model, "x", topP = Double.POSITIVE_INFINITY).done() }
                refused("tokens", ErrorCode.INVALID_ARGUMENT) { engine.chat(model, "x", maxTokens = -1).done() }
                refused("text", ErrorCode.INVALID_ARGUMENT) { engine.chat(model, half).done() }
                refused("logits") { engine.logits(model, intArrayOf(Int.MAX_VALUE)) }
                refused("logits") { engine.logits(model, intArrayOf()) }
            }
            refused("blocks", ErrorCode.INVALID_ARGUMENT) { engine.load(TINY, Blocks.Range(2, 1)) }
            refused("blocks", ErrorCode.INVALID_ARGUMENT) { engine.load(TINY, Blocks.Range(-2, 1)) }
            refused("blocks", ErrorCode.INVALID_ARGUMENT) { engine.load(TINY, Blocks.Range(0, 10_000)) }
            refused("a folder that is no model", ErrorCode.NOT_FOUND) { engine.load(dir.resolve("nothing")) }
        }
    }

    @Test
    fun `a refused argument is named as callers write it, with what it must be`(@TempDir dir: Path) = runBlocking {
        val limits = assertFailsWith<KwaaiException.InvalidArgument> {
            Node.start(preset = Preset.EPHEMERAL, limits = Limits(maxConnections = -1))
        }
        assertEquals("limits.maxConnections must be a whole number from 0 to 4294967295, not -1", limits.message)
        val tier = assertFailsWith<KwaaiException.InvalidArgument> { Tier.of("royal") }
        assertEquals("tier must be one of \"unknown\", \"known\", \"verified\", \"trusted\", not \"royal\"", tier.message)
        val chunking = assertFailsWith<KwaaiException.InvalidArgument> {
            Rag.open(dir.resolve("kb"), WordsOnly, chunking = Chunking(size = -1))
        }
        assertEquals("chunking.size must be a whole number from 0 to 9223372036854775807, not -1", chunking.message)
    }

    @Test
    fun `what cannot be a vector is refused, and so are limits of a relay that is none`() = runBlocking {
        Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use { node ->
            node.vpk().host(1L shl 24)
            val notes = node.vpk().create("notes", 2, Privacy.PLAIN, listOf("here"))
            val right = Matrix.of(listOf(floatArrayOf(1f, 2f)))
            refused("rows of two lengths", ErrorCode.INVALID_ARGUMENT) { Matrix.of(listOf(floatArrayOf(1f), floatArrayOf())) }
            refused("a short vector", ErrorCode.INVALID_ARGUMENT) { notes.upsert(listOf(1), Matrix.of(listOf(floatArrayOf(1f)))) }
            refused("too few numbers", ErrorCode.INVALID_ARGUMENT) { notes.upsert(listOf(1), Matrix(1, 2, floatArrayOf(1f))) }
            refused("a negative id", ErrorCode.INVALID_ARGUMENT) { notes.upsert(listOf(-1), right) }
            refused("too few ids", ErrorCode.INVALID_ARGUMENT) { notes.upsert(emptyList(), right) }
            refused("not a number", ErrorCode.INVALID_ARGUMENT) { notes.search(floatArrayOf(1f, Float.NaN)) }
            refused("a negative k", ErrorCode.INVALID_ARGUMENT) { notes.search(floatArrayOf(1f, 2f), k = -1) }
            refused("half a text", ErrorCode.INVALID_ARGUMENT) { notes.exportKey(half) }
            refused("a negative capacity", ErrorCode.INVALID_ARGUMENT) { node.vpk().host(-1) }
        }
        refused("limits of no relay", ErrorCode.INVALID_ARGUMENT) {
            Node.start(preset = Preset.EPHEMERAL, relayLimits = RelayLimits(maxCircuits = 1))
        }
        refused("a port", ErrorCode.INVALID_ARGUMENT) { Node.start(preset = Preset.EPHEMERAL, publicPort = 1 shl 16) }
    }

    @Test
    fun `a model of an engine that is closed is refused`() = runBlocking {
        ShardEngine.open().use { engine ->
            val model = engine.load(TINY)
            model.shutdown()
            assertFailsWith<KwaaiException.Closed> { engine.chat(model, "x").done() }
            assertEquals("tiny-kwaai", model.name)
            assertFailsWith<KwaaiException.Closed> { Rag.open(Path.of("nowhere"), WordsOnly, ModelWriter(engine, model)) }
            Unit
        }
    }

    @Test
    fun `handles that were refused leave nothing behind`() = runBlocking {
        val node = Node.start(preset = Preset.EPHEMERAL, listen = emptyList())
        repeat(100) { refused("half a text", ErrorCode.INVALID_ARGUMENT) { node.sendMessage(node.peerId, half) } }
        node.shutdown()
        Testing.untilNothingLives()
    }
}
