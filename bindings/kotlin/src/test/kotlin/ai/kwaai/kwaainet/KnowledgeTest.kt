package ai.kwaai.kwaainet

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.flow.transformWhile
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assumptions
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import java.time.Instant
import kotlin.math.sqrt
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration

class KnowledgeTest {
    private val docs = ROOT.resolve("docs")
    private val question = "At which score does a peer become Trusted?"

    @Test
    fun `documents go in, passages and cited answers come out`(@TempDir dir: Path) = runBlocking {
        Rag.open(dir.resolve("kb"), WordsOnly).use { rag ->
            val events = rag.ingest(docs).toList()
            val found = assertIs<IngestEvent.Found>(events.first())
            val finished = assertIs<IngestEvent.Finished>(events.last())
            assertEquals(found.files, finished.ingested)
            assertEquals(found.files, events.count { it is IngestEvent.DocumentDone }.toLong())
            assertEquals(found.files, rag.stats().documents)

            val answer = rag.ask(question).done()
            assertEquals(false, answer.refused)
            val citation = answer.citations.first()
            val text = rag.documentText(citation.documentId).encodeToByteArray()
            val quoted = text.copyOfRange(citation.span.start.toInt(), citation.span.end.toInt()).decodeToString()
            assertEquals(citation.quote, quoted)

            val refusal = rag.ask("Which composer wrote the opera about a barber?").done()
            assertTrue(refusal.refused)
            assertEquals(emptyList(), refusal.citations)
            assertTrue(refusal.why!!.isNotEmpty())
        }
    }

    @Test
    fun `a folder is followed until the collection ends`(@TempDir dir: Path) = runBlocking {
        val folder = Files.createDirectory(dir.resolve("documents"))
        Files.writeString(folder.resolve("pump.txt"), "The harbour pump is checked every Monday.")
        Files.writeString(folder.resolve("gate.txt"), "The north gate opens at six.")
        Rag.open(dir.resolve("kb"), WordsOnly).use { rag ->
            assertEquals(2, rag.sync(folder, extensions = listOf("txt")).done().added)
            val following = rag.sync(folder, watch = true, delete = true).transformWhile { event ->
                if (event is SyncEvent.Watching) Files.move(folder.resolve("gate.txt"), folder.resolve("door.txt"))
                if (event is SyncEvent.Moved) Files.delete(folder.resolve("pump.txt"))
                emit(event)
                event !is SyncEvent.Deleted
            }.toList()
            assertEquals("gate.txt", following.filterIsInstance<SyncEvent.Moved>().single().before)
            assertEquals(listOf("door.txt"), rag.documents().map { it.name })
            assertFailsWith<KwaaiException.InvalidArgument> { rag.sync(folder, watch = true, interval = Duration.ZERO).done() }
            assertFailsWith<KwaaiException.NotFound> { rag.sync(dir.resolve("nowhere")).done() }
        }
    }

    private class Letters(override val dimension: Int) : Embedder {
        override val id = "letters-$dimension"

        override suspend fun embed(texts: List<String>, query: Boolean) =
            texts.map { text -> FloatArray(dimension) { at -> text.count { it.code % dimension == at }.toFloat() } }
    }

    @Test
    fun `a knowledge base gets another embedder`(@TempDir dir: Path) = runBlocking {
        Rag.open(dir.resolve("kb"), Letters(8)).use { rag ->
            rag.ingest("The harbour pump is checked every Monday.".encodeToByteArray(), "pump.txt").done()
            val events = rag.reembed(Letters(16)).toList()
            val expected = listOf(ReembedEvent.Found(1, 0), ReembedEvent.Embedded(1, 1), ReembedEvent.Finished(1, 1))
            assertEquals(expected, events)
            assertEquals(EmbedderInfo("letters-16", 16), rag.stats().embedder)
            assertFailsWith<KwaaiException.InvalidArgument> { rag.reembed(WordsOnly).done() }
        }
        assertFailsWith<KwaaiException.Conflict> { Rag.open(dir.resolve("kb"), Letters(8)) }
        val endpoint = EmbeddingEndpoint("http://127.0.0.1:9", "tiny", "sk-secret", dimension = 0)
        assertTrue("sk-secret" !in "$endpoint")
        assertFailsWith<KwaaiException.InvalidArgument> { Rag.open(dir.resolve("other"), endpoint) }.let {}
    }

    @Test
    fun `the vectors of a knowledge base are kept elsewhere`(@TempDir dir: Path) = runBlocking {
        Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use { node ->
            node.vpk().host(1L shl 24)
            val collection = node.vpk().create("kb", 8, Privacy.PLAIN, listOf("here"))
            Rag.open(dir.resolve("kb"), Letters(8)).use { rag ->
                rag.ingest("The harbour pump is checked every Monday.".encodeToByteArray(), "pump.txt").done()
                val short = node.vpk().create("short", 4, Privacy.PLAIN, listOf("here"))
                assertFailsWith<KwaaiException.InvalidArgument> { rag.outsource(short).done() }
                val events = rag.outsource(collection).toList()
                val expected = listOf(OutsourceEvent.Found(1, 0), OutsourceEvent.Brought(1, 1), OutsourceEvent.Finished(1, 1))
                assertEquals(expected, events)
                assertEquals(Outsourced(collection.id, attached = true, complete = true, waiting = 0), rag.stats().outsourced)
            }
            Rag.open(dir.resolve("kb"), Letters(8)).use { rag ->
                assertFailsWith<KwaaiException.Conflict> { rag.search("pump", mode = Mode.DENSE) }
                assertEquals(OutsourceEvent.Finished(1, 0), rag.outsource(collection).done())
                assertEquals("pump.txt", rag.search("pump", mode = Mode.DENSE).hits.single().document)
            }
        }
    }

    @Test
    fun `a calibrated knowledge base answers as many questions as are tolerated`(@TempDir dir: Path) = runBlocking {
        Rag.open(dir.resolve("kb"), WordsOnly).use { rag ->
            val text = "The harbour pump is checked every Monday by the night shift. Its key hangs beside the door of the north gate."
            rag.ingest(text.encodeToByteArray(), "pump.txt").done()
            val question = "Who checks the harbour pump every Monday?"
            assertFailsWith<KwaaiException.Conflict> { rag.ask(question, maxUnsupported = 0.2).done() }
            val asked = listOf("Faust", "Emma", "Ulysses", "Dracula").map { CalibrationQuestion("Who wrote $it?") }
            val calibration = rag.calibrate(asked + CalibrationQuestion(question, rag.documents().map { it.id }))
            assertEquals(1 to 5, calibration.answerable.size to calibration.unanswerable.size)
            assertEquals(rag.stats().generation, calibration.generation)
            assertEquals(null to 0.0, calibration.threshold(0.1) to calibration.answered(0.1))
            assertEquals(calibration.unanswerable.max(), calibration.threshold(0.2))
            assertEquals(1.0 to 1.0, calibration.answered(0.2) to calibration.auroc)
            assertEquals(false, rag.ask(question, maxUnsupported = 0.2).done().refused)
            assertEquals(true, rag.ask(question, maxUnsupported = 0.1).done().refused)
            assertTrue(rag.calibrate(mode = Mode.LEXICAL).fromPassages)
        }
        val kept = Calibration(listOf(0.9, 0.2), listOf(0.5, 0.1, 0.2), fromPassages = false, generation = 0)
        assertEquals(listOf(0.2, 0.5, 4.5 / 6), listOf(kept.threshold(0.5), kept.answered(0.5), kept.auroc))
        assertFailsWith<KwaaiException.InvalidArgument> { kept.threshold(1.5) }
        Unit
    }

    @Test
    fun `a search looks where and when it was told, and a question follows the one before`(@TempDir dir: Path) = runBlocking {
        Rag.open(dir.resolve("kb"), WordsOnly).use { rag ->
            rag.ingest("The harbour pump is checked every Monday by the night shift.".encodeToByteArray(), "pump.txt").done()
            rag.ingest("The harbour gate opens at six.".encodeToByteArray(), "gate.txt").done()
            val (gate, pump) = rag.documents()
            assertEquals(2, rag.search("harbour", links = true, diversity = 0.5, denseWeight = 0.5).hits.size)
            assertEquals("gate.txt", rag.search("harbour", documents = listOf(gate.id)).hits.single().document)
            val soon = pump.ingestedAt.plusSeconds(3_600)
            assertEquals(0 to 2, rag.search("harbour", since = soon).hits.size to rag.search("harbour", before = soon).hits.size)
            assertEquals(emptyList(), rag.search("harbour", before = pump.ingestedAt.minusSeconds(3_600)).hits)
            val turns = listOf(ChatMessage.user("Is the harbour pump checked every Monday?"), ChatMessage.assistant("Yes [1]."))
            assertTrue(rag.ask("How often?").done().refused)
            val answer = rag.ask("How often?", documents = listOf(pump.id), links = false, history = turns, maxContextTokens = 500).done()
            assertContains(answer.text, "every Monday")
            assertFailsWith<KwaaiException.NotFound> { rag.search("harbour", documents = listOf("0".repeat(32))) }
            assertFailsWith<KwaaiException.InvalidArgument> { rag.search("harbour", since = Instant.MAX) }
            assertFailsWith<KwaaiException.InvalidArgument> { rag.search("harbour", diversity = Double.NaN) }
            assertFailsWith<KwaaiException.InvalidArgument> { rag.ask("How often?", maxContextTokens = -1).done() }
            Unit
        }
    }

    @Test
    fun `citations that do not hold are told by their bytes`() {
        val sources = listOf("Die Brücke öffnet um sechs Uhr morgens.", "Sie ist grün.")
        assertEquals(emptyList(), KwaaiNet.checkCitations("Die Brücke öffnet um sechs Uhr morgens [1].", sources))
        val text = "Fünf! Die Brücke öffnet um sechs Uhr morgens [2]."
        val fault = KwaaiNet.checkCitations(text, sources).single()
        assertEquals(Triple(FaultKind.MISATTRIBUTED, listOf(2), 1), Triple(fault.kind, fault.cited, fault.foundIn))
        val bytes = text.encodeToByteArray().copyOfRange(fault.span.start.toInt(), fault.span.end.toInt())
        assertTrue(bytes.decodeToString().startsWith("Die Brücke"))
    }

    @Test
    fun `a document from memory is found, replaced and deleted`(@TempDir dir: Path) = runBlocking {
        Rag.open(dir.resolve("kb"), WordsOnly).use { rag ->
            val text = "The harbour pump is checked every Monday."
            assertEquals(1, rag.ingest(text.encodeToByteArray(), "pump.txt").done().ingested)
            assertIs<IngestEvent.Unchanged>(rag.ingest(text.encodeToByteArray(), "pump.txt").first { it is IngestEvent.Unchanged })
            val hit = rag.search("harbour", k = 1).hits.single()
            assertEquals("pump.txt", hit.document)
            assertEquals(1, hit.lexical?.rank)
            assertNull(hit.dense)
            val document = rag.documents().single()
            assertEquals("text", document.format)
            assertEquals(text.length.toLong(), document.bytes)
            rag.deleteDocument(document.id)
            assertFailsWith<KwaaiException.NotFound> { rag.documentText(document.id) }
            assertFailsWith<KwaaiException.NotFound> { rag.ingest(dir.resolve("missing.txt")).done() }
            assertFailsWith<KwaaiException.Unsupported> { rag.search("harbour", mode = Mode.DENSE) }
            assertFailsWith<KwaaiException.Busy> { Rag.open(dir.resolve("kb"), WordsOnly) }
            Unit
        }
    }

    @Test
    fun `a model here writes, and the same seed writes the same`() = runBlocking {
        ShardEngine.open().use { engine ->
            engine.load(TINY).use { model ->
                assertEquals("tiny-kwaai", model.name)
                assertEquals(Span(0, model.blocks.toLong()), model.info.heldBlocks)
                val pieces = engine.chat(model, "What is KwaaiNet?", maxTokens = 40)
                    .filterIsInstance<GenerateEvent.Token>().map { it.text }.toList()
                val whole = engine.chat(model, "What is KwaaiNet?", maxTokens = 40).done()
                assertEquals(pieces.joinToString(""), whole.text)
                assertEquals(listOf(null), whole.path.map { it.peer })
                val sampled = List(2) {
                    engine.chat(model, "What is KwaaiNet?", maxTokens = 12, temperature = 1.2, topK = 20, seed = 7).done()
                }
                assertEquals(sampled[0].text, sampled[1].text)
            }
        }
    }

    @Test
    fun `logits come as rows of one buffer`() = runBlocking {
        ShardEngine.open().use { engine ->
            engine.load(TINY).use { model ->
                val logits = engine.logits(model, intArrayOf(1, 2, 3))
                assertEquals(3, logits.rows)
                assertEquals(model.info.vocabSize, logits.columns)
                assertEquals(logits.rows * logits.columns, logits.values.size)
                assertTrue(logits.values.all { it.isFinite() })
                assertEquals(logits[2, 5], logits.row(2)[5])
                // Later tokens do not change what was computed for earlier ones.
                val shorter = engine.logits(model, intArrayOf(1, 2))
                val distance = logits.row(1).indices.maxOf { kotlin.math.abs(logits[1, it] - shorter[1, it]) }
                assertTrue(distance < 1e-3, "$distance")
                assertFailsWith<KwaaiException.InvalidArgument> { engine.logits(model, intArrayOf(-1)) }
                Unit
            }
        }
    }

    @Test
    fun `embeddings have length one`() = runBlocking {
        ShardEngine.open().use { engine ->
            val vectors = try {
                engine.embed(listOf("A cat sits on the mat.", "Ein Satz."))
            } catch (_: KwaaiException.NotFound) {
                Assumptions.abort("skipped: the weights of all-MiniLM-L6-v2 are not in the model cache")
            }
            repeat(2) { row ->
                assertEquals(1.0, sqrt(vectors.row(row).sumOf { it.toDouble() * it }), 1e-5)
            }
        }
    }

    @Test
    fun `a model of an engine writes the answers of a knowledge base`(@TempDir dir: Path) = runBlocking {
        ShardEngine.open().use { engine ->
            engine.load(TINY).use { model ->
                Rag.open(dir.resolve("kb"), WordsOnly, ModelWriter(engine, model)).use { rag ->
                    rag.ingest("The harbour pump is checked every Monday.".encodeToByteArray(), "pump.txt").done()
                    assertEquals(model.id, rag.stats().languageModel)
                    // The tiny model cites nothing, and the answer says so.
                    val answer = rag.ask("When is the harbour pump checked?").done()
                    assertContains(answer.text, "[1]")
                }
            }
        }
    }

    @Test
    fun `the model of an app writes piece by piece`(@TempDir dir: Path) = runBlocking {
        val asked = mutableListOf<GenerateRequest>()
        val parrot = object : LanguageModel {
            override val name = "parrot"
            override fun generate(request: GenerateRequest): Flow<String> = flow {
                asked += request
                listOf("It is checked ", "every Monday ", "[1].").forEach { emit(it) }
            }
        }
        Rag.open(dir.resolve("kb"), WordsOnly, parrot).use { rag ->
            rag.ingest("The harbour pump is checked every Monday.".encodeToByteArray(), "pump.txt").done()
            val answer = rag.ask("When is the harbour pump checked?", maxTokens = 99).done()
            assertEquals("parrot", answer.model)
            assertEquals("It is checked every Monday [1].", answer.text)
            assertEquals(99, asked.single().maxTokens)
            assertContains(asked.single().messages.last().content, "harbour pump")
        }
    }
}
