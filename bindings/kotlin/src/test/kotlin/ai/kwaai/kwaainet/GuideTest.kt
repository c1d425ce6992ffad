package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.testing.Swarm
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.io.TempDir
import java.io.ByteArrayOutputStream
import java.io.PrintStream
import java.net.URI
import java.nio.file.Path
import kotlin.io.path.readText
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** examples/kotlin/Guide.kt does what it shows. */
class GuideTest {
    @TempDir
    lateinit var dir: Path

    /** What the guide prints. */
    private fun printed(block: suspend () -> Unit): String {
        val before = System.out
        val bytes = ByteArrayOutputStream()
        System.setOut(PrintStream(bytes, true, Charsets.UTF_8))
        try {
            runBlocking { block() }
        } finally {
            System.setOut(before)
        }
        return bytes.toString(Charsets.UTF_8)
    }

    @Test
    fun `every task is shown`() {
        val text = ROOT.resolve("examples/kotlin/Guide.kt").readText()
        val shown = Regex("// anchor: (\\w+)").findAll(text).map { it.groupValues[1] }.toList()
        val tasks = listOf(
            "start", "messages", "trust", "policy", "share_blocks", "chat", "documents", "ask", "errors", "bring_your_own",
            "ask_others", "keep_vectors", "serve_openai", "serve_knowledge", "search_together",
        )
        assertEquals(tasks, shown)
        shown.forEach { assertContains(text, "// end: $it\n") }
    }

    @Test
    fun start() {
        assertContains(printed { guide.start() }, Regex("alice is 12D3KooW\\w+ and signs as did:key:z6Mk\\w+"))
    }

    @Test
    fun messages() {
        val text = printed { Swarm.start(2).use { guide.messages(it[0], it[1]) } }
        assertContains(text, Regex("12D3KooW\\w+ wrote hello"))
    }

    @Test
    fun trust() {
        val text = printed {
            TrustGraph.open(seed = 9).use { issuer ->
                Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use {
                    guide.trust(it, issuer, Testing.seedDid(5))
                }
            }
        }
        assertContains(text, "KNOWN with 0.")
        assertContains(text, Regex("VerifiedNodeVC: 0\\.\\d+ × 1\\.0, "))
    }

    @Test
    fun policy() {
        val text = printed {
            Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use { guide.policy(it, Testing.seedDid(5)) }
        }
        assertContains(text, "untrusted_peer: ")
    }

    @Test
    fun `ask others, and withdraw`() {
        val text = printed { Swarm.start(2).use { guide.askOthers(it[0], it[1], Testing.seedDid(5)) } }
        assertEquals("the host says KNOWN\nthe credential is REVOKED and the host says UNKNOWN\n", text)
    }

    @Test
    fun `keep vectors at another's machine`() {
        val text = printed { Swarm.start(3).use { guide.keepVectors(it[0], it[1], it[2]) } }
        assertContains(text, Regex("^the host learns how many vectors.+\ndumplings: 0\\.9\\d+\n$"))
    }

    @Test
    fun `serve OpenAI's API`() {
        val text = printed {
            Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use { node ->
                guide.serveOpenai(node, TINY).use { println(URI("${it.baseUrl}/models").toURL().readText()) }
            }
        }
        assertContains(text, Regex("^OPENAI_BASE_URL=http://127\\.0\\.0\\.1:\\d+/v1\n"))
        assertContains(text, "\"id\":\"tiny\"")
    }

    @Test
    fun `serve a knowledge base`() {
        val text = printed {
            Rag.open(dir.resolve("served"), embedder = WordsOnly).use { rag ->
                guide.serveKnowledge(rag).use { println(URI("http://${it.address}/").toURL().readText().take(15)) }
            }
        }
        assertContains(text, Regex("^open http://127\\.0\\.0\\.1:\\d+ in a browser"))
        assertContains(text, "<!doctype html>")
    }

    @Test
    fun searchTogether() {
        val text = printed {
            Swarm.start(2).use { nodes ->
                val gardens = nodes[0].rag("gardens", WordsOnly)
                val kitchen = nodes[1].rag("kitchen", WordsOnly)
                gardens.ingest("Tomatoes want sun and a stake.".encodeToByteArray(), "tomatoes.md").done()
                kitchen.ingest("Tomatoes, garlic and basil make a sauce.".encodeToByteArray(), "sauce.md").done()
                nodes.connect()
                guide.searchTogether(nodes[0], gardens, nodes[1], kitchen)
            }
        }
        assertContains(text, Regex("Bob's gardens: Tomatoes want sun and a stake., signed by did:key:z6Mk\\w+"))
        assertContains(text, "kitchen: Tomatoes, garlic")
    }

    @Test
    fun `share blocks, and chat over them`() {
        val text = printed {
            Swarm.start(3).use { (app, left, right) -> share(app, left, right) }
        }
        assertContains(text, Regex("sharing blocks 0 to 2 of \\w+"))
        assertContains(text, Regex("computed by \\[12D3KooW\\w+, 12D3KooW\\w+]"))
        assertTrue(text.lines().any { it.contains("KwaaiNet", ignoreCase = true) && !it.startsWith("sharing") }, text)
    }

    private suspend fun share(app: Node, left: Node, right: Node) = TrustGraph.open(seed = 9).use { issuer ->
        for (node in listOf(app, left, right)) node.trust().trustIssuer(issuer.did, listOf("VerifiedNodeVC"))
        for (node in listOf(app, left, right)) {
            val credential = issuer.issue("VerifiedNodeVC", node.did)
            listOf(app, left, right).forEach { it.trust().importCredential(credential.json) }
        }
        guide.shareBlocks(left, TINY)
        val blocks = app.shards().load(TINY, Blocks.None).use { it.blocks }
        right.contribute(listOf(BlockShare(TINY, 2, blocks)))
        listOf(left, right).forEach { app.connect(it.info().addresses.first()) }
        app.shards().load(TINY, Blocks.None).use { model ->
            Testing.eventually({ app.shards().coverage(model) }) { coverage -> coverage.counts.all { it == 1 } }
        }
        guide.chat(app, TINY)
    }

    @Test
    fun `documents, and a question about them`() {
        val text = printed {
            Rag.open(dir.resolve("kb"), WordsOnly).use { rag ->
                guide.documents(rag, ROOT.resolve("examples/data"))
                guide.ask(rag, "What does the library pay for each lent computer?")
                guide.ask(rag, "Which composer wrote the opera about a barber?")
            }
        }
        assertContains(text, "2 files\n")
        assertContains(text, Regex("charter.docx: \\d+ passages"))
        assertContains(text, "2 documents read\n")
        assertContains(text, "[1] charter.docx: ")
        assertContains(text, "no answer: ")
    }

    @Test
    fun errors() {
        val text = printed {
            Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use { node ->
                guide.errors(node, "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X")
            }
        }
        assertContains(text, "unreachable, worth another try: ")
        assertContains(text, "nothing happened in time")
    }

    @Test
    fun `bring your own`() {
        val text = printed { guide.bringYourOwn(dir.resolve("kb")) }
        assertContains(text, Regex("pump.txt: 0\\.[5-9]"))
    }
}

private operator fun Swarm.component1() = get(0)
private operator fun Swarm.component2() = get(1)
private operator fun Swarm.component3() = get(2)
