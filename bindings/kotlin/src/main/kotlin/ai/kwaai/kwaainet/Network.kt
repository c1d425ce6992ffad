package ai.kwaai.kwaainet

import java.nio.file.Path
import java.time.Instant
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import ai.kwaai.kwaainet.internal.Diagnosis as NativeDiagnosis
import ai.kwaai.kwaainet.internal.MessageRecord as NativeMessage
import ai.kwaai.kwaainet.internal.Measurement as NativeMeasurement
import ai.kwaai.kwaainet.internal.Metrics as NativeMetrics
import ai.kwaai.kwaainet.internal.NodeEvent as NativeNodeEvent
import ai.kwaai.kwaainet.internal.NodeInfo as NativeNodeInfo
import ai.kwaai.kwaainet.internal.NodeLimits as NativeLimits
import ai.kwaai.kwaainet.internal.NodeRelayLimits as NativeRelayLimits
import ai.kwaai.kwaainet.internal.PeerInfo as NativePeerInfo
import ai.kwaai.kwaainet.internal.Reachability as NativeReachability

/** What a node is meant for. */
public enum class Preset {
    /** In memory, for tests and short programs. */
    EPHEMERAL,

    /** A person's computer. */
    DESKTOP,

    /** A phone. */
    MOBILE,

    /** A machine that is always on. */
    SERVER;

    public companion object {
        /** The preset of a name such as `ephemeral`. */
        public fun of(name: String): Preset = named(entries, "preset", name)
    }
}

/** The limits to change; the others stay as the preset has them. */
public data class Limits(
    /** Connections in both directions together. */
    val maxConnections: Int? = null,
    val maxIncomingConnections: Int? = null,
    /** Connections that others opened from one IPv4 /24 or IPv6 /56 of the internet; 32 unless set. */
    val maxIncomingPerRange: Int? = null,
    /** The same for an IPv4 /16 or IPv6 /48; 128 unless set. */
    val maxIncomingPerWideRange: Int? = null,
    /** The same for an IPv4 /24 or IPv6 /56 of loopback and home networks; no bound of its own unless set. */
    val maxIncomingPerLocalRange: Int? = null,
    val maxConnectionsPerPeer: Int? = null,
    /** Incoming connections whose handshake is under way. */
    val maxPendingIncoming: Int? = null,
    /** Outgoing connections whose handshake is under way. */
    val maxPendingOutgoing: Int? = null,
    /** Connections that lookups in the DHT opened and nothing else asked for, and that stand after them. */
    val maxLookupConnections: Int? = null,
    /** New connections are refused above this share of the machine's memory, 0 to 1. */
    val maxMemoryShare: Double? = null,
    /** Calls of one peer served at the same time. */
    val maxCallsPerPeer: Int? = null,
    /** Calls served at the same time. */
    val maxCalls: Int? = null,
    /** Streams of one peer served at the same time. */
    val maxStreamsPerPeer: Int? = null,
    /** Streams served at the same time. */
    val maxStreams: Int? = null,
    /** Unread messages that are kept. */
    val inbox: Int? = null,
    /** Unread events that are kept for one reader. */
    val events: Int? = null,
    /** Keys for which this node remembers who provides them. */
    val maxProvidedKeys: Int? = null,
    /** How long a connection without any stream is kept. */
    val idleConnection: Duration? = null,
    /** How long a peer may take to say what a stream is for. */
    val headerTimeout: Duration? = null,
    /** How long the gate may take to decide. */
    val gateTimeout: Duration? = null,
    /** No call is served for longer. */
    val maxCallDuration: Duration? = null,
)

/** How much a relay gives; what is left out is as usual. */
public data class RelayLimits(
    /** Peers that can be reached through this node at the same time; 128 unless set. */
    val maxReservations: Int? = null,
    /** How long a reservation lasts unless it is renewed; an hour unless set. */
    val reservationDuration: Duration? = null,
    /** Circuits at the same time; 128 unless set. */
    val maxCircuits: Int? = null,
    /** Circuits that one peer opened at the same time; 16 unless set. */
    val maxCircuitsPerPeer: Int? = null,
    /** The same for a peer that the policy does not let relay freely; 4 unless set. */
    val maxCircuitsPerStranger: Int? = null,
    /** Bytes that one circuit may carry in each direction; 4 GiB unless set. */
    val maxCircuitBytes: Long? = null,
    /** How long a circuit may last; two hours unless set. */
    val maxCircuitDuration: Duration? = null,
)

/** Which side opened a connection. */
public enum class Direction {
    /** The peer dialled. */
    INBOUND,

    /** This node did. */
    OUTBOUND,
}

/** Whether and how others reach a node. */
public data class Reachability(
    /** Whether it can be dialled. */
    val verdict: Verdict,
    /** A sentence for people. */
    val why: String,
    /** The PeerIds of the relays that it is reached through. */
    val relays: List<String>,
) {
    /** Whether others can dial a node. */
    public enum class Verdict {
        /** It can be dialled from the internet. */
        PUBLIC,

        /** It cannot; others reach it through a relay, if it has one. */
        PRIVATE,

        /** Nobody on the internet has tried so far. */
        UNKNOWN,
    }
}

/** What a node measured since its start. */
public data class Metrics(
    val metrics: List<Measurement>,
    /** The same as text that Prometheus reads. */
    val prometheus: String,
)

/** One measurement: a name of OpenTelemetry's conventions with attributes, and the value. */
public data class Measurement(
    /** Such as `rpc.server.call.duration` or `kwaainet.peers`. */
    val name: String,
    val instrument: Instrument,
    /** In UCUM, such as `ms`, `By` or `{peer}`. */
    val unit: String,
    val description: String,
    val attributes: Map<String, String>,
    /** In a histogram, the sum of its values. */
    val value: Double,
    /** How many values a histogram has; null for the others. */
    val count: Long?,
    /** From the smallest bound to the largest, each counting those before it as well. */
    val buckets: List<MeasurementBucket>,
) {
    /** What the value means. */
    public enum class Instrument {
        /** It only grows. */
        COUNTER,

        /** What it is now. */
        GAUGE,

        /** Many values, counted by their size. */
        HISTOGRAM,
    }
}

/** How many values of a histogram are at most so large, in the unit of the metric. */
public data class MeasurementBucket(val atMost: Double, val count: Long)

/** Something that keeps a node from others, and what to do about it. */
public data class Diagnosis(
    val cause: Cause,
    /** What was seen, for people. */
    val text: String,
    /** What the node's owner can do. */
    val remedy: String,
) {
    /** What it is. */
    public enum class Cause {
        /** Nobody is connected, and no bootstrap was named. */
        NO_BOOTSTRAP,

        /** A bootstrap does not answer. */
        DEAD_BOOTSTRAP,

        /** A connected peer speaks none of this node's protocols. */
        INCOMPATIBLE_VERSION,

        /** This machine's clock is not that of its peers. */
        CLOCK_OFF,

        /** A relay has no place for this node. */
        RELAY_WITHOUT_SLOTS,

        /** A relay does not answer, or is none. */
        DEAD_RELAY,

        /** Something between this node and the others lets nothing through. */
        FIREWALL,
    }
}

/** What a node says about itself. */
public data class NodeInfo(
    val name: String,
    val peerId: String,
    val did: String,
    /** The version of the library. */
    val version: String,
    /** `null` for a node in memory. */
    val dataDir: Path?,
    /** Where it can be dialled, each ending in `/p2p/<peer id>`. */
    val addresses: List<String>,
    val reachability: Reachability,
    val connectedPeers: Int,
    val uptime: Duration,
)

/** A connected peer, and how far this node trusts it. */
public data class PeerInfo(
    val peerId: String,
    val did: String?,
    /** What the peer calls itself; not to be trusted. */
    val name: String,
    /** What the peer says it runs; not to be trusted. */
    val agent: String,
    val direction: Direction,
    /** The far ends of its connections; of one through a relay, the whole way. */
    val addresses: List<String>,
    /** Whether it is reached only through a relay. */
    val relayed: Boolean,
    /** Whether it was named as a bootstrap. */
    val bootstrap: Boolean,
    /** Whether it was named as a trusted relay. */
    val trustedRelay: Boolean,
    /** The last measured round trip. */
    val rtt: Duration?,
    val tier: Tier,
    val score: Double,
    val reasons: List<Reason>,
    /** Whether a fiduciary pledge of the peer counts here. */
    val pledged: Boolean,
)

/** A text that a peer sent. */
public data class Message(
    /** The PeerId of the sender, authenticated. */
    val sender: String,
    val text: String,
    val receivedAt: Instant,
)

/**
 * Blocks of a model to compute for others: from the first up to and without the last, or a number of them, or as many as fit.
 * Those whose place is not given go where the swarm has them least, and are moved when that helps it.
 */
public data class BlockShare(
    val model: Path,
    val startBlock: Int? = null,
    val endBlock: Int? = null,
    /** How many, instead of which. */
    val count: Int? = null,
    /** Bytes that those that fit may take with what their sessions keep; what is free without a reserve unless set. */
    val memoryBytes: Long? = null,
)

/** Something that happened on the network. */
public sealed interface NodeEvent {
    /** This node can be dialled at a new address. */
    public data class Listening(val address: String) : NodeEvent

    /** An address is no longer listened on. */
    public data class ListeningStopped(val address: String) : NodeEvent

    /** The first connection with a peer was established. */
    public data class PeerConnected(val peer: String, val address: String, val direction: Direction) : NodeEvent

    /** A peer said what it runs; not to be trusted. */
    public data class PeerIdentified(val peer: String, val agent: String) : NodeEvent

    /** The last connection with a peer ended. */
    public data class PeerDisconnected(val peer: String) : NodeEvent

    /** A peer that was reached through a relay is connected directly now. */
    public data class PeerDirect(val peer: String) : NodeEvent

    /** Whether others can dial this node was found out, or changed. */
    public data class ReachabilityChanged(val reachability: Reachability) : NodeEvent

    /** A message arrived. */
    public data class MessageReceived(val message: Message) : NodeEvent

    /** Something that this version has no name for. */
    public data object Other : NodeEvent
}

internal fun Limits.native() = NativeLimits(
    maxConnections = maxConnections?.toLong(),
    maxIncomingConnections = maxIncomingConnections?.toLong(),
    maxIncomingPerRange = maxIncomingPerRange?.toLong(),
    maxIncomingPerWideRange = maxIncomingPerWideRange?.toLong(),
    maxIncomingPerLocalRange = maxIncomingPerLocalRange?.toLong(),
    maxConnectionsPerPeer = maxConnectionsPerPeer?.toLong(),
    maxPendingIncoming = maxPendingIncoming?.toLong(),
    maxPendingOutgoing = maxPendingOutgoing?.toLong(),
    maxLookupConnections = maxLookupConnections?.toLong(),
    maxMemoryShare = maxMemoryShare,
    maxCallsPerPeer = maxCallsPerPeer?.toLong(),
    maxCalls = maxCalls?.toLong(),
    maxStreamsPerPeer = maxStreamsPerPeer?.toLong(),
    maxStreams = maxStreams?.toLong(),
    inbox = inbox?.toLong(),
    events = events?.toLong(),
    maxProvidedKeys = maxProvidedKeys?.toLong(),
    idleConnectionMs = idleConnection?.millis("idleConnection"),
    headerTimeoutMs = headerTimeout?.millis("headerTimeout"),
    gateTimeoutMs = gateTimeout?.millis("gateTimeout"),
    maxCallDurationMs = maxCallDuration?.millis("maxCallDuration"),
)

internal fun RelayLimits.native() = NativeRelayLimits(
    maxReservations = maxReservations?.toLong(),
    reservationDurationMs = reservationDuration?.millis("reservationDuration"),
    maxCircuits = maxCircuits?.toLong(),
    maxCircuitsPerPeer = maxCircuitsPerPeer?.toLong(),
    maxCircuitsPerStranger = maxCircuitsPerStranger?.toLong(),
    maxCircuitBytes = maxCircuitBytes,
    maxCircuitDurationMs = maxCircuitDuration?.millis("maxCircuitDuration"),
)

private fun direction(name: String): Direction = named(Direction.entries, "direction", name)

internal fun NativeNodeInfo.read() = NodeInfo(
    name, peerId, did, version, dataDir?.let(Path::of), addresses, reachability.read(), connectedPeers.toInt(),
    uptimeMs.toLong().milliseconds,
)

private fun NativeReachability.read() =
    Reachability(named(Reachability.Verdict.entries, "verdict", verdict), why, relays)

internal fun NativeDiagnosis.read() = Diagnosis(named(Diagnosis.Cause.entries, "cause", cause), text, remedy)

internal fun NativeMetrics.read() = Metrics(metrics.map { it.read() }, prometheus)

private fun NativeMeasurement.read() = Measurement(
    name, named(Measurement.Instrument.entries, "instrument", instrument), unit, description, attributes, value, count?.toLong(),
    buckets.map { MeasurementBucket(it.atMost, it.count.toLong()) },
)

internal fun NativePeerInfo.read() = PeerInfo(
    peerId, did, name, agent, direction(direction), addresses, relayed, bootstrap, trustedRelay, rttMs?.milliseconds,
    Tier.of(tier), score, reasons.map { it.read() }, pledged,
)

internal fun NativeMessage.read() = Message(sender, text, Instant.parse(receivedAt))

internal fun NativeNodeEvent.read(): NodeEvent = when (this) {
    is NativeNodeEvent.Listening -> NodeEvent.Listening(address)
    is NativeNodeEvent.ListeningStopped -> NodeEvent.ListeningStopped(address)
    is NativeNodeEvent.PeerConnected -> NodeEvent.PeerConnected(peer, address, direction(direction))
    is NativeNodeEvent.PeerIdentified -> NodeEvent.PeerIdentified(peer, agent)
    is NativeNodeEvent.PeerDisconnected -> NodeEvent.PeerDisconnected(peer)
    is NativeNodeEvent.PeerDirect -> NodeEvent.PeerDirect(peer)
    is NativeNodeEvent.ReachabilityChanged -> NodeEvent.ReachabilityChanged(reachability.read())
    is NativeNodeEvent.MessageReceived -> NodeEvent.MessageReceived(message.read())
    NativeNodeEvent.Other -> NodeEvent.Other
}
