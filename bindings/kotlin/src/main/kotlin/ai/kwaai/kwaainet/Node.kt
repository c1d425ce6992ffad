package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.BlockShareOptions
import ai.kwaai.kwaainet.internal.EmbedderChoice
import ai.kwaai.kwaainet.internal.NativeNode
import ai.kwaai.kwaainet.internal.NodeOptions
import java.nio.file.Path
import java.time.Instant
import kotlin.time.Duration

/** A whole node: identity, network, trust, models and knowledge under one handle. */
public class Node internal constructor(private val native: NativeNode) : Handle {
    /** The readable name that peers see. */
    public val name: String get() = call { native.name() }

    /** The identity that the network knows this node by. */
    public val peerId: String get() = call { native.peerId() }

    /** The identity that signs this node's credentials. */
    public val did: String get() = call { native.did() }

    /** What the node says about itself. */
    public suspend fun info(): NodeInfo = call { native.info(null).read() }

    /** The connected peers with their tiers. A peer of which nothing is known is asked for its credentials. */
    public suspend fun peers(): List<PeerInfo> = call { native.peers(null).map { it.read() } }

    /**
     * Looks for what keeps this node from others, and says what to do: bootstraps that do not answer, a clock that is off, relays
     * without a place, a firewall. Takes ten seconds at most; nothing found is an empty list.
     */
    public suspend fun diagnose(): List<Diagnosis> = call { native.diagnose(null).map { it.read() } }

    /**
     * Counters and gauges since the start: who is connected and how, bytes, calls with their durations, what the node gives as a
     * relay. No peer is named in it, and nothing that was said.
     */
    public suspend fun metrics(): Metrics = call { native.metrics(null).read() }

    /** Connects to a node at a multiaddress that ends in `/p2p/<peer id>`; returns the PeerId. */
    public suspend fun connect(address: String): String = call { native.connect(address.sound("address"), null) }

    /** Closes every connection to a peer. */
    public suspend fun disconnect(peer: String): Unit = call { native.disconnect(peer.sound("peer"), null) }

    /** Asks the network where a peer, a PeerId or a DID, can be reached. */
    public suspend fun findPeer(peer: String): List<String> = call { native.findPeer(peer.sound("peer"), null) }

    /**
     * Whether a peer, a PeerId or a DID, or whoever is at an address, answers now: connects to it where there is no connection,
     * and times a round trip.
     */
    public suspend fun probe(peer: String): PeerInfo = call { native.probe(peer.sound("peer"), null).read() }

    /**
     * Asks a peer where somebody stands with it, or whether [about] reaches a minimum with it. The answer is the peer's opinion,
     * within what its owner allows, and changes no score here.
     */
    public suspend fun askTrust(peer: String, about: String, atLeast: Minimum? = null): TrustStatement =
        call { native.askTrust(peer.sound("peer"), about.sound("about"), atLeast?.native(), null).read() }

    /**
     * Looks at once for the status lists that this node wants, at their issuers and at the nodes that have copies. A node does this
     * by itself every ten minutes. Where peers have gone it may take a minute.
     */
    public suspend fun refreshStatusLists(): StatusRefresh = call { native.refreshStatusLists(null).read() }

    /**
     * Puts what a kept credential claims to the test, at the peer that it is about, and keeps the row of evidence.
     *
     * An `UptimeVC` is tested by whether the peer answers a signed probe. A `ThroughputVC` is tested by [tokens] that the peer
     * computes, 8 to 512 and 32 unless set, with the [model] that the credential names; where its blocks are here too, the results
     * are compared. [tolerance] is how far the measurement may stay below the claim, as a share of it from 0 to 1, and 0.2 unless
     * set. [seed], from 0 to 2^53 - 1, decides the work, and is drawn at random unless set, so that nobody can prepare for it.
     *
     * Throws [KwaaiException.NotFound] for a credential that is not kept, and [KwaaiException.Unsupported] for one whose claim
     * cannot be tested. A peer that does not answer is a result and no error; it takes ten seconds.
     */
    public suspend fun testCredential(
        credentialId: String,
        model: Model? = null,
        tolerance: Double? = null,
        tokens: Int? = null,
        seed: Long? = null,
    ): ClaimTest = call {
        native.testCredential(
            credentialId.sound("credentialId"), model?.native, tolerance, tokens?.toLong(), seed, null,
        ).read()
    }

    /**
     * Asks a peer what it saw of others by itself, and keeps that as its recommendations, in place of those it gave before. How much
     * they count in a score depends on how well the peer agrees with this node's own experience. A peer that saw nobody, or does
     * not say, is a result with a count of 0; what is kept of it stays then. A node asks by itself, every hour, the connected peers
     * that are at least known.
     */
    public suspend fun askWord(peer: String): TakenWord = call { native.askWord(peer.sound("peer"), null).read() }

    /**
     * Looks whether a peer is up, and keeps that as a sample of its sightings: up is who answers a call, whatever it answers. Throws
     * [KwaaiException.Unreachable] when the peer does not answer and no other peer is connected: the fault may be here, and that is
     * no sample. It takes five seconds to find a peer down.
     */
    public suspend fun sight(peer: String): Boolean = call { native.sight(peer.sound("peer"), null) }

    /**
     * Looks at every connected peer, and at those that were looked at within the last seven days, once each [period] of a second at
     * least, as long as the node runs. What a bootstrap server does that issues uptimes.
     */
    public suspend fun watchPeers(period: Duration): Unit = call { native.watchPeers(period.millis("period"), null) }

    /**
     * Measures how fast a peer computes its blocks of a [model], and issues a `ThroughputVC` about it: tokens per second of the whole
     * model, as if the peer computed all of its blocks. Each of the [runs], 1 to 64 and 3 unless set, computes [tokens], 8 to 512 and
     * 32 unless set. Where the model's blocks are here too, the results are compared. The credential is returned, and not kept.
     *
     * Throws [KwaaiException.NotFound] when the peer serves no block of the model, and [KwaaiException.CorruptData] for a wrong
     * result.
     */
    public suspend fun issueThroughput(
        peer: String,
        model: Model,
        tokens: Int? = null,
        runs: Int? = null,
        seed: Long? = null,
        validFor: Duration? = null,
    ): Credential = call {
        native.issueThroughput(
            peer.sound("peer"), model.native, tokens?.toLong(), runs?.toLong(), seed, validFor?.millis("validFor"), null,
        ).read()
    }

    /** Sends a text of at most 64 KiB to a peer, a PeerId or a DID, or to whoever is at an address. Returns when it has arrived. */
    public suspend fun sendMessage(peer: String, text: String): Unit =
        call { native.sendMessage(peer.sound("peer"), text.sound("text"), null) }

    /** Messages as they arrive, from this call on. What came before the first reader is kept for it. */
    public fun messages(): EventFlow<Message> = EventFlow(openMessages(), ::openMessages)

    /** What happens on the network, from this call on. */
    public fun events(): EventFlow<NodeEvent> = EventFlow(openEvents(), ::openEvents)

    /** Credentials, scores and the policy of this node. */
    public fun trust(): TrustGraph = call { TrustGraph(native.trust()) }

    /** Language models, whole or in blocks over peers. */
    public fun shards(): ShardEngine = call { ShardEngine(native.shards()) }

    /** Vectors on other people's machines that these cannot read, and such vectors of others on this one. */
    public fun vpk(): Vpk = call { Vpk(native.vpk()) }

    /**
     * Opens a knowledge base of this node. While it is open, the same name returns the same one. The options are those of
     * [Rag.open]. With a [dataDir] it lies in a directory of its own instead of the node's, for example on another disk. The node
     * remembers it by the name; another one is a [KwaaiException.Conflict], and one that is missing a [KwaaiException.NotFound], and
     * nothing is made in its place.
     */
    public suspend fun rag(
        name: String,
        embedder: EmbedderSource? = null,
        model: AnswerWriter? = null,
        chunking: Chunking? = null,
        language: Language? = null,
        readers: List<DocumentReader> = emptyList(),
        cache: AnswerCache? = null,
        dataDir: Path? = null,
    ): Rag = call {
        val options = ragOptions(embedder, model, chunking, language, readers, cache, dataDir)
        Rag(made { native.rag(name.sound("name"), options, it) })
    }

    /**
     * Answers programs that speak OpenAI's HTTP API. [models] and [embedders] go by the names that requests call them. A knowledge base
     * of [knowledge] is a model too, which answers from its documents, and has a page for people; it stays open until the server ends.
     *
     * It listens on 127.0.0.1 and port 11435 unless set, and on any free [port] with 0. On a [host] that is not loopback it needs a
     * [token], which every request then carries as its bearer token. [maxRequests] are answered at the same time, 8 unless set, and
     * [maxBodyBytes] are read of each, 4 MiB unless set, and [maxUploadBytes] of a document, 64 MiB unless set. It ends with what is
     * returned, and with the node. Throws [KwaaiException.Busy] when the port is taken.
     */
    public suspend fun serveHttp(
        models: Map<String, AnswerWriter> = emptyMap(),
        embedders: Map<String, EmbedderSource> = emptyMap(),
        knowledge: Map<String, Rag> = emptyMap(),
        host: String? = null,
        port: Int? = null,
        token: String? = null,
        maxRequests: Int? = null,
        maxBodyBytes: Long? = null,
        maxUploadBytes: Long? = null,
    ): HttpServer = call {
        val options =
            serverOptions(models, embedders, knowledge, host, port, token, maxRequests, maxBodyBytes, maxUploadBytes)
        HttpServer(made { native.serveHttp(options, it) })
    }

    /**
     * Lets a peer search a knowledge base, by the capability that is returned, whose text is handed to it by whatever way.
     *
     * The [holder] is a DID or a PeerId, [name] what it sees the knowledge base called, 1 to 64 characters, and [validFor] at most 366
     * days. The capability counts until it ends or [Rag.revokeShare] revokes it, while this node runs and the knowledge base is open:
     * one that was opened with [Node.rag], or was shared since. The holder gets passages and what proves them; this node gets its
     * questions.
     */
    public suspend fun shareKnowledge(rag: Rag, holder: String, name: String, validFor: Duration): KnowledgeCapability = call {
        val lifetime = validFor.millis("validFor")
        native.shareKnowledge(rag.native, holder.sound("holder"), name.sound("name"), lifetime, null).read()
    }

    /**
     * A knowledge base that a [peer], a DID or a PeerId, shares, by its capability. Nobody is asked before it is searched.
     *
     * @throws KwaaiException.CorruptData for a capability whose signature does not hold
     */
    public suspend fun sharedKnowledge(peer: String, capability: String): SharedKnowledge = call {
        SharedKnowledge(made { native.sharedKnowledge(peer.sound("peer"), capability.sound("capability"), it) })
    }

    /**
     * Several knowledge bases as one: those of this node by the names that hits call them, [own], and then those that peers share,
     * [shared]. The [embedder] scores passages of all of them and is as for [Rag.open]: with [WordsOnly] words alone do, whose forms are
     * brought together as in [language].
     */
    public suspend fun federation(
        own: Map<String, Rag> = emptyMap(),
        shared: List<SharedKnowledge> = emptyList(),
        embedder: EmbedderSource? = null,
        language: Language? = null,
    ): Federation = call {
        val options = ragOptions(embedder, null, null, language, emptyList(), null)
        val others = shared.map { it.native }
        val choice = EmbedderChoice(options.embedder, options.embeddingEndpoint, options.ownEmbedder)
        Federation(made { native.federation(own.named(), others, choice, options.language, it) })
    }

    /**
     * Proves where passages of a knowledge base come from, as this node's statement. Those that are no longer as they were found are left
     * out.
     */
    public suspend fun prove(rag: Rag, hits: List<Hit>): List<ProvenHit> =
        call { native.prove(rag.native, hits.map { it.native() }, null).map { it.read() } }

    /**
     * Shares exactly this, and no longer what was shared before; without arguments nothing is shared.
     *
     * [minTier] is the lowest tier that may use it; without it the policy's minimum stays as it is. What was shared before takes
     * nothing new, and may end within [grace], five seconds unless set.
     */
    public suspend fun contribute(
        blocks: List<BlockShare> = emptyList(),
        minTier: Tier? = null,
        grace: Duration? = null,
    ): List<Offer> = call {
        val shares = blocks.map {
            BlockShareOptions(
                it.model.toString().sound("model"), it.startBlock?.toLong(), it.endBlock?.toLong(), it.count?.toLong(),
                it.memoryBytes,
            )
        }
        native.contribute(shares, minTier?.wire(), grace?.millis("grace"), null).map { it.read() }
    }

    /** For tests: moves the clock that the node was started with. */
    public fun advanceClock(by: Duration): Unit = call { native.advanceClock(by.millis("by")) }

    /** Stops the node: what is under way may finish within five seconds. Idempotent. */
    override suspend fun shutdown(): Unit = shutdown(null)

    /** Stops the node: what is under way may finish within [grace]. */
    public suspend fun shutdown(grace: Duration?): Unit = call { native.shutdown(grace?.millis("grace"), null) }

    private fun openMessages(): Source<Message> {
        val stream = call { native.messages() }
        return Source(
            next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
            stop = { stream.cancel(); stream.destroy() },
        )
    }

    private fun openEvents(): Source<NodeEvent> {
        val stream = call { native.events() }
        return Source(
            next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
            stop = { stream.cancel(); stream.destroy() },
        )
    }

    public companion object {
        /**
         * Starts a node: it listens, dials nobody but its bootstraps, shares nothing and sends nothing home.
         *
         * What is given here wins over environment variables, these over `config.yaml` in the data directory, and that over
         * the preset, which is `desktop` unless set. [listen] and [bootstrap] are multiaddresses; an empty [listen] listens
         * nowhere. [seed] and [clock] are for tests: an identity that is no secret, and a clock that stands until
         * [advanceClock] moves it.
         *
         * How others reach a node that nobody can dial: [trustedRelays] are relays to be reached through, [announceAddr],
         * [publicIp] and [publicPort] say what the router forwards, [upnp] asks it to, and [forcePrivate] takes the node for
         * one that nobody can dial. Peers that see it at an address count when there are [identifyMinConfirmations] of them
         * and nobody could try to dial for [identifyTimeout], which is rounded up to seconds. A node with [relay] relays for
         * others, within [relayLimits]. [hivemind] takes part in the DHT of hivemind and Petals. With [peerCache], which is on
         * unless set, peers that were reached are remembered in the data directory and some of them dialled at the next start.
         */
        public suspend fun start(
            preset: Preset? = null,
            name: String? = null,
            dataDir: Path? = null,
            identityKey: Path? = null,
            listen: List<String>? = null,
            bootstrap: List<String>? = null,
            mdns: Boolean? = null,
            hivemind: Boolean? = null,
            trustedRelays: List<String>? = null,
            relay: Boolean? = null,
            relayLimits: RelayLimits? = null,
            announceAddr: List<String>? = null,
            publicIp: String? = null,
            publicPort: Int? = null,
            forcePrivate: Boolean? = null,
            identifyMinConfirmations: Int? = null,
            identifyTimeout: Duration? = null,
            upnp: Boolean? = null,
            peerCache: Boolean? = null,
            limits: Limits? = null,
            seed: Long? = null,
            clock: Instant? = null,
        ): Node = call {
            val options = NodeOptions(
                preset = preset?.wire(),
                name = name?.sound("name"),
                dataDir = dataDir?.toString()?.sound("dataDir"),
                identityKey = identityKey?.toString()?.sound("identityKey"),
                listen = listen?.map { it.sound("address") },
                bootstrap = bootstrap?.map { it.sound("address") },
                mdns = mdns,
                hivemind = hivemind,
                trustedRelays = trustedRelays?.map { it.sound("address") },
                relay = relay,
                relayLimits = relayLimits?.native(),
                announceAddr = announceAddr?.map { it.sound("address") },
                publicIp = publicIp?.sound("publicIp"),
                publicPort = publicPort?.toLong(),
                forcePrivate = forcePrivate,
                identifyMinConfirmations = identifyMinConfirmations?.toLong(),
                identifyTimeoutMs = identifyTimeout?.millis("identifyTimeout"),
                upnp = upnp,
                peerCache = peerCache,
                limits = limits?.native(),
                seed = seed,
                clock = clock?.toString(),
            )
            Node(made { NativeNode.start(options, it) })
        }
    }
}
