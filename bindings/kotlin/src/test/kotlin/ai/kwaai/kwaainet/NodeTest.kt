package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.testing.Swarm
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.test.runTest
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import java.time.Instant
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.seconds

class NodeTest {
    @Test
    fun `a node says who it is, and is closed after its end`() = runTest {
        val node = Node.start(preset = Preset.EPHEMERAL, name = "alice", seed = 1)
        val info = node.info()
        assertEquals("alice", info.name)
        assertEquals(KwaaiNet.version, info.version)
        assertNull(info.dataDir)
        assertTrue(info.addresses.all { it.endsWith("/p2p/${node.peerId}") })
        node.shutdown()
        node.shutdown()
        assertEquals(info.did, node.did)
        val error = assertFailsWith<KwaaiException.Closed> { node.info() }
        assertEquals(ErrorCode.CLOSED, error.code)
        assertFailsWith<KwaaiException.Closed> { node.messages() }
        assertFailsWith<KwaaiException.Closed> { node.trust().policy() }
        assertEquals(info.did, node.trust().did)
    }

    @Test
    fun `two nodes exchange messages in the order they were sent`() = runBlocking {
        Swarm.start(2).use { swarm ->
            val (alice, bob) = swarm.nodes
            val inbox = bob.messages()
            swarm.connect()
            repeat(3) { alice.sendMessage(bob.did, "hello $it") }
            val received = inbox.take(3).toList()
            assertEquals(listOf("hello 0", "hello 1", "hello 2"), received.map { it.text })
            assertEquals(setOf(alice.peerId), received.map { it.sender }.toSet())
            assertTrue(received.all { it.receivedAt > Instant.parse("2024-01-01T00:00:00Z") })
        }
    }

    @Test
    fun `a swarm has one to sixty-four nodes`() = runBlocking {
        for (size in listOf(0, -1, 65, Int.MIN_VALUE)) {
            val error = assertFailsWith<KwaaiException.InvalidArgument> { Swarm.start(size) }
            assertTrue(error.message.startsWith("size must be a whole number from 1 to 64"), error.message)
        }
    }

    @Test
    fun `events are recorded from the call on, and tell who came`() = runBlocking {
        Swarm.start(2).use { swarm ->
            val events = swarm[0].events()
            swarm.connect()
            val connected = events.first { it is NodeEvent.PeerConnected } as NodeEvent.PeerConnected
            assertEquals(swarm[1].peerId, connected.peer)
            assertEquals(Direction.INBOUND, connected.direction)
            val peer = Testing.eventually({ swarm[0].peers() }) { it.size == 1 }.single()
            assertEquals(Tier.UNKNOWN, peer.tier)
            assertEquals(swarm[1].did, peer.did)
        }
    }

    @Test
    fun `a collector that is cancelled stops, and the next one starts anew`() = runBlocking {
        Swarm.start(2).use { swarm ->
            swarm.connect()
            val inbox = swarm[1].messages()
            val reading = launch(start = CoroutineStart.UNDISPATCHED) { inbox.collect { } }
            reading.cancelAndJoin()
            val first = async(start = CoroutineStart.UNDISPATCHED) { inbox.first() }
            swarm[0].sendMessage(swarm[1].peerId, "after")
            assertEquals("after", withTimeout(10.seconds) { first.await() }.text)
        }
    }

    @Test
    fun `a policy refuses a stranger, and a credential of a trusted issuer lets it in`() = runBlocking {
        Swarm.start(2, clock = Instant.parse("2026-01-01T00:00:00Z")).use { swarm ->
            val (host, guest) = swarm.nodes
            TrustGraph.open(seed = 9, clock = Instant.parse("2026-01-01T00:00:00Z")).use { issuer ->
                val trust = host.trust()
                val error = assertFailsWith<KwaaiException.UntrustedPeer> { trust.require(guest.did, Purpose.SERVE_BLOCKS) }
                assertEquals(false, error.retryable)
                trust.trustIssuer(issuer.did, listOf("FiduciaryPledgeVC"))
                val pledge = issuer.issue("FiduciaryPledgeVC", guest.did, validFor = 365.days)
                assertEquals(Instant.parse("2027-01-01T00:00:00Z"), pledge.validUntil)
                trust.importCredential(pledge.json)
                trust.require(guest.did, Purpose.SERVE_BLOCKS)
                val score = trust.score(guest.did)
                assertTrue(score.tier >= Tier.KNOWN)
                assertEquals(pledge.id, score.reasons.single().credentialId)
                host.advanceClock(10.days)
                assertTrue(trust.score(guest.did).value < score.value)
                trust.setPolicy(mapOf(Purpose.MESSAGE to Tier.TRUSTED))
                assertEquals(Tier.TRUSTED, trust.policy()[Purpose.MESSAGE])
            }
        }
    }

    @Test
    fun `a node with a directory is the same node the next time`(@TempDir dir: Path) = runBlocking {
        val first = Node.start(preset = Preset.DESKTOP, dataDir = dir, listen = emptyList(), mdns = false).use { it.did }
        val again = Node.start(preset = Preset.DESKTOP, dataDir = dir, listen = emptyList(), mdns = false).use {
            assertEquals(dir, it.info().dataDir)
            it.did
        }
        assertEquals(first, again)
    }

    @Test
    fun `limits are checked, and the message names them`() = runBlocking {
        for (limits in listOf(Limits(maxConnections = -1), Limits(idleConnection = (-1).seconds))) {
            val error = assertFailsWith<KwaaiException.InvalidArgument> {
                Node.start(preset = Preset.EPHEMERAL, limits = limits)
            }
            assertTrue(Regex("^limits\\.\\w+ must be a whole number from 0 to ").containsMatchIn(error.message), error.message)
        }
        Node.start(preset = Preset.EPHEMERAL, listen = emptyList(), limits = Limits(inbox = 1, maxMemoryShare = 0.9))
            .shutdown()
    }

    @Test
    fun `use shuts down after a failure and keeps the first error`() = runBlocking {
        var node: Node? = null
        val error = assertFailsWith<IllegalStateException> {
            Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use {
                node = it
                error("of the app")
            }
        }
        assertEquals("of the app", error.message)
        assertFailsWith<KwaaiException.Closed> { node!!.info() }
        Unit
    }

    @Test
    fun `use shuts down when its coroutine is cancelled`() = runBlocking {
        var node: Node? = null
        coroutineScope {
            val work = launch(start = CoroutineStart.UNDISPATCHED) {
                Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use {
                    node = it
                    Testing.hang()
                }
            }
            Testing.eventually({ Testing.liveHandles()["hang"] ?: 0 }) { it == 1L }
            work.cancelAndJoin()
        }
        assertFailsWith<KwaaiException.Closed> { node!!.info() }
        Unit
    }

    @Test
    fun `a signer of the app signs what a trust graph issues`() = runBlocking {
        val asked = mutableListOf<Int>()
        val signer = object : Signer {
            override val did = Testing.seedDid(5)
            override suspend fun sign(message: ByteArray): ByteArray {
                asked += message.size
                return Testing.seedSign(5, message)
            }
        }
        TrustGraph.open(signer = signer).use { graph ->
            val credential = graph.issue("UptimeVC", Testing.seedDid(6))
            assertEquals(signer.did, graph.verify(credential.json).issuer)
            assertEquals(1, asked.size)
            assertContentEquals(listOf("UptimeVC"), listOfNotNull(credential.type))
        }
    }
}
