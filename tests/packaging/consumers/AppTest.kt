import ai.kwaai.kwaainet.BlockShare
import ai.kwaai.kwaainet.Blocks
import ai.kwaai.kwaainet.Rag
import ai.kwaai.kwaainet.Node
import ai.kwaai.kwaainet.Preset
import ai.kwaai.kwaainet.TrustGraph
import ai.kwaai.kwaainet.testing.Swarm
import ai.kwaai.kwaainet.use
import guide.LetterCounts
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** An app of somebody else: the guide's tasks and coroutines, over the Maven artifact. */
class AppTest {
    @TempDir
    lateinit var dir: Path

    private val documents = Path.of(System.getProperty("documents"))
    private val model = Path.of(System.getProperty("model"))

    @Test
    fun `the guide's tasks are done`() = runBlocking {
        guide.start()
        Swarm.start(2).use { swarm ->
            val (alice, bob) = listOf(swarm[0], swarm[1])
            guide.messages(alice, bob)
            TrustGraph.open().use { issuer ->
                for (node in listOf(alice, bob)) for (peer in listOf(alice, bob)) guide.trust(node, issuer, peer.did)
            }
            guide.policy(alice, Node.start(preset = Preset.EPHEMERAL).use { it.did })
            guide.shareBlocks(bob, model)
            val blocks = alice.shards().load(model, Blocks.None).use { it.blocks }
            bob.contribute(listOf(BlockShare(model, 0, blocks)))
            alice.trust().setPolicy(emptyMap())
            guide.chat(alice, model)
        }
        Rag.open(dir.resolve("kb"), embedder = LetterCounts()).use { rag ->
            guide.documents(rag, documents)
            guide.ask(rag, "What does the library pay for each lent computer?")
        }
        Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use {
            guide.errors(it, "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X")
        }
        guide.bringYourOwn(dir.resolve("own"))
    }

    @Test
    fun `coroutines share a handle, and a cancelled one ends`() = runBlocking {
        TrustGraph.open().use { graph ->
            val tiers = coroutineScope { List(200) { async { graph.score(graph.did).tier } }.awaitAll() }
            assertEquals(1, tiers.toSet().size)
        }
        Node.start(preset = Preset.EPHEMERAL).use { node ->
            var cancelled = false
            val waiting = launch {
                try {
                    node.messages().first()
                } catch (end: CancellationException) {
                    cancelled = true
                    throw end
                }
            }
            Node.start(preset = Preset.EPHEMERAL).use { assertContains(it.did, "did:key:") }
            waiting.cancelAndJoin()
            assertTrue(cancelled)
        }
    }
}
