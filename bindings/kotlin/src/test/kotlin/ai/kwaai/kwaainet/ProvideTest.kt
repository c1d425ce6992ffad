package ai.kwaai.kwaainet

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

/** An embedder of a few lines, as the tests need it. */
private fun embedder(limit: Duration? = null, embed: suspend (List<String>) -> List<FloatArray>) = object : Embedder {
    override val id = "of the test"
    override val dimension = 2
    override val deadline = limit
    override suspend fun embed(texts: List<String>, query: Boolean) = embed(texts)
}

class ProvideTest {
    @TempDir
    lateinit var dir: Path

    private suspend fun failure(embedder: Embedder): IngestEvent.DocumentFailed =
        Rag.open(dir.resolve("kb"), embedder).use { rag ->
            rag.ingest("A text.".encodeToByteArray(), "a.txt").toList().filterIsInstance<IngestEvent.DocumentFailed>().single()
        }

    @Test
    fun `an exception of the app is internal, and its kind and its text are named`() = runBlocking {
        val signer = object : Signer {
            override val did = Testing.seedDid(3)
            override suspend fun sign(message: ByteArray): ByteArray = throw IllegalStateException("the key is in the sea")
        }
        TrustGraph.open(signer = signer).use { graph ->
            val error = assertFailsWith<KwaaiException.Internal> { graph.issue("UptimeVC", signer.did) }
            assertContains(error.message, "IllegalStateException: the key is in the sea")
            assertContains(error.cause!!.message!!, "the key is in the sea")
            assertEquals("signer", error.context["provider"])
        }
    }

    @Test
    fun `an error of ours keeps its code through the code of the app`() = runBlocking {
        for (code in ErrorCode.entries) {
            val failed = failure(embedder { throw KwaaiException.of(code, "on purpose") })
            assertEquals(code.text, failed.code)
            assertContains(failed.message, "on purpose")
        }
    }

    @Test
    fun `errors of the virtual machine and half surrogates do not stop the process`() = runBlocking {
        for (thrown in listOf(StackOverflowError("deep"), AssertionError("no"), OutOfMemoryError("full"))) {
            assertContains(failure(embedder { throw thrown }).message, thrown::class.simpleName!!)
        }
        assertEquals("internal", failure(embedder { error("half a pair \ud800") }).code)
    }

    @Test
    fun `vectors of another length are refused`() = runBlocking {
        assertEquals("invalid_argument", failure(embedder { texts -> texts.map { floatArrayOf(1f) } }).code)
        assertEquals("invalid_argument", failure(embedder { texts -> texts.map { floatArrayOf(Float.NaN, 1f) } }).code)
        assertEquals("invalid_argument", failure(embedder { emptyList() }).code)
    }

    @Test
    fun `an embedder that is too slow is given up, and its coroutine cancelled`() = runBlocking {
        val cancelled = CompletableDeferred<Unit>()
        val slow = embedder(20.milliseconds) {
            try {
                awaitCancellation()
            } finally {
                cancelled.complete(Unit)
            }
        }
        assertEquals("timeout", failure(slow).code)
        withTimeout(10.seconds) { cancelled.await() }
    }

    @Test
    fun `code of the app is cancelled with the call that wanted its answer`() = runBlocking {
        val started = CompletableDeferred<Unit>()
        val cancelled = CompletableDeferred<Unit>()
        val signer = object : Signer {
            override val did = Testing.seedDid(4)
            override suspend fun sign(message: ByteArray): ByteArray {
                started.complete(Unit)
                try {
                    awaitCancellation()
                } finally {
                    cancelled.complete(Unit)
                }
            }
        }
        TrustGraph.open(signer = signer).use { graph ->
            val issuing = async(start = CoroutineStart.UNDISPATCHED) { graph.issue("UptimeVC", signer.did) }
            withTimeout(10.seconds) { started.await() }
            issuing.cancelAndJoin()
            withTimeout(10.seconds) { cancelled.await() }
        }
    }

    @Test
    fun `a model of the app stops writing when nobody reads any more`() = runBlocking {
        val started = CompletableDeferred<Unit>()
        val cancelled = CompletableDeferred<Unit>()
        val endless = object : LanguageModel {
            override val name = "endless"
            override fun generate(request: GenerateRequest) = flow {
                emit("It is checked ")
                started.complete(Unit)
                try {
                    awaitCancellation()
                } finally {
                    cancelled.complete(Unit)
                }
            }
        }
        Rag.open(dir.resolve("kb"), WordsOnly, endless).use { rag ->
            rag.ingest("The harbour pump is checked every Monday.".encodeToByteArray(), "pump.txt").done()
            val asking = launch { rag.ask("When is the harbour pump checked?").collect { } }
            withTimeout(10.seconds) { started.await() }
            asking.cancelAndJoin()
            withTimeout(10.seconds) { cancelled.await() }
        }
    }

    @Test
    fun `a reader of the app makes sections that citations name`() = runBlocking {
        val cards = object : DocumentReader {
            override val extensions = listOf("cards")
            override suspend fun read(name: String, bytes: ByteArray) = bytes.decodeToString().lines().map {
                DocumentPart(it.substringBefore(": "), it.substringAfter(": "))
            }
        }
        Rag.open(dir.resolve("kb"), WordsOnly, chunking = Chunking(size = 60, overlap = 0, min = 10), readers = listOf(cards)).use { rag ->
            val text = "pump: The harbour pump is checked every Monday.\ngate: The north gate opens at six."
            rag.ingest(text.encodeToByteArray(), "rules.cards").done()
            assertEquals("gate", rag.search("north gate", k = 1).hits.single().section)
            assertEquals("custom", rag.documents().single().format)
        }
    }

    @Test
    fun `the log reaches the app, and a sink that throws harms nobody`() = runBlocking {
        val records = java.util.concurrent.LinkedBlockingQueue<LogRecord>()
        assertFailsWith<KwaaiException.InvalidArgument> { KwaaiNet.initLogging("kwaai_core=perhaps") { } }
        KwaaiNet.initLogging("warn,kwaai_core=debug") { record ->
            records += record
            error("the sink is full")
        }
        assertFailsWith<KwaaiException.AlreadyExists> { KwaaiNet.initLogging("info") { } }
        repeat(2) { Node.start(preset = Preset.EPHEMERAL, seed = 1).shutdown() }
        Testing.eventually({ records.size }) { it > 1 }
        val record = assertIs<LogRecord>(records.first { it.target.startsWith("kwaai_core") })
        assertEquals(true, record.message.isNotEmpty() && record.level in setOf("debug", "info", "warn"))
    }
}
