package ai.kwaai.kwaainet.testing

import ai.kwaai.kwaainet.Handle
import ai.kwaai.kwaainet.KwaaiException
import ai.kwaai.kwaainet.Node
import ai.kwaai.kwaainet.NodeEvent
import ai.kwaai.kwaainet.Preset
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import java.time.Instant

/**
 * Real nodes in this process, for the tests of an app: in memory, over loopback sockets, each with the identity of its
 * place, so that every run has the same PeerIds.
 */
public class Swarm private constructor(public val nodes: List<Node>) : Handle {
    /** How many nodes there are. */
    public val size: Int get() = nodes.size

    /** The node at a place, from 0. */
    public operator fun get(place: Int): Node = nodes[place]

    /** Connects every node with the first, as far as they are not connected. */
    public suspend fun connect() {
        val first = nodes.first()
        val address = first.info().addresses.first()
        for (node in nodes.drop(1)) {
            val arrivals = first.events()
            if (first.peers().any { it.peerId == node.peerId }) continue
            node.connect(address)
            // Who was dialled learns of the connection a moment after who dialled.
            arrivals.first { it is NodeEvent.PeerConnected && it.peer == node.peerId }
        }
    }

    /** Shuts every node down. */
    override suspend fun shutdown(): Unit = coroutineScope {
        nodes.map { async { it.shutdown() } }.awaitAll()
    }

    public companion object {
        private const val MOST = 64

        /**
         * Starts 1 to 64 nodes, named `node-0` and so on, with the seeds 1, 2, 3 and so on. [clock] is where the clock of each stands; without it they go by
         * the machine's. Nobody is connected at first.
         */
        public suspend fun start(size: Int, clock: Instant? = null): Swarm {
            if (size !in 1..MOST) {
                throw KwaaiException.InvalidArgument("size must be a whole number from 1 to $MOST, not $size")
            }
            val nodes = mutableListOf<Node>()
            try {
                repeat(size) { place ->
                    nodes += Node.start(
                        preset = Preset.EPHEMERAL,
                        name = "node-$place",
                        seed = place + 1L,
                        clock = clock,
                    )
                }
            } catch (error: Throwable) {
                nodes.forEach { it.shutdown() }
                throw error
            }
            return Swarm(nodes)
        }
    }
}
