package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.NativeVpk

/** What a node keeps for others, and what others keep for it. The page on private vectors says what each privacy hides. */
public class Vpk internal constructor(private val native: NativeVpk) {
    /**
     * Begins to keep collections for peers that the policy's [Purpose.STORE_VECTORS] admits, and for this node, on
     * [capacityBytes] of the disk. Nothing is kept for anybody before; what was kept in an earlier run is there again.
     *
     * One owner may take [tenantBytes], a quarter of all unless set, in [tenantCollections], 64 unless set. [memoryBytes] are for
     * answering; as many as on the disk, up to 1 GiB, unless set. Without [minTier] the policy's minimum stays as it is.
     */
    public suspend fun host(
        capacityBytes: Long,
        tenantBytes: Long? = null,
        tenantCollections: Int? = null,
        memoryBytes: Long? = null,
        minTier: Tier? = null,
    ): Unit = call {
        native.host(capacityBytes, tenantBytes, tenantCollections?.toLong(), memoryBytes, minTier?.wire(), null)
    }

    /** Ends that. What is kept stays on the disk. */
    public suspend fun stopHosting(): Unit = call { native.stopHosting(null) }

    /** What this node keeps, and for whom; `null` when it does not host. */
    public suspend fun hosted(): HostedVectors? = call { native.hosted(null)?.read() }

    /** Forgets everything that is kept for one owner, a DID or a PeerId. */
    public suspend fun evict(owner: String): Unit = call { native.evict(owner.sound("owner"), null) }

    /**
     * Makes a collection at its hosts, under a new key.
     *
     * [hosts] are PeerIds, DIDs, or `here` for this node: 1 to 16 with a copy each under [Privacy.PLAIN] and [Privacy.SEAL], twice
     * [colluding] and one more, 16 at most, under [Privacy.SPLIT]. [colluding] is how many of them may work together and still learn nothing, 1 unless
     * set. Vectors are compared by their cosine unless [metric] says otherwise.
     *
     * With an empty list independent hosts are found, as by [discover]: [replicas] of them, or as many as are needed and one to
     * spare.
     */
    public suspend fun create(
        name: String,
        dimension: Int,
        privacy: Privacy,
        hosts: List<String>,
        metric: Metric? = null,
        colluding: Int? = null,
        replicas: Int? = null,
        freeBytes: Long? = null,
        minTier: Tier? = null,
        distinctNetworks: Boolean? = null,
    ): VectorCollection = call {
        val at = hosts.map { it.sound("host") }
        VectorCollection(
            made {
                native.create(
                    name.sound("name"), dimension.toLong(), privacy.wire(), at, metric?.wire(), colluding?.toLong(),
                    replicas?.toLong(), freeBytes, minTier?.wire(), distinctNetworks, it,
                )
            },
        )
    }

    /**
     * The nodes that say that they host, each as it answered just now; those that can be used first, the fastest of them first. Each
     * must have [freeBytes] left, 16 MiB unless set, and [minTier], the policy's minimum of [Purpose.STORE_VECTORS] unless set.
     */
    public suspend fun discover(
        freeBytes: Long? = null,
        minTier: Tier? = null,
        distinctNetworks: Boolean? = null,
    ): List<HostOffer> = call { native.discover(freeBytes, minTier?.wire(), distinctNetworks, null).map { it.read() } }

    /**
     * Attacks what the hosts keep of a collection, beside copies that must fall to the same attacks. It needs 128 sealed vectors, and
     * takes minutes at the largest dimensions.
     */
    public suspend fun audit(name: String): AuditReport = call { native.audit(name.sound("name"), null).read() }

    /** Opens a collection that was made before. While it is open, the same name returns the same one. */
    public suspend fun open(name: String): VectorCollection =
        call { VectorCollection(made { native.open(name.sound("name"), it) }) }

    /**
     * Measures searches on this machine, at the first of [hosts] and at all of them, one row for each, beginning when it is collected.
     *
     * [sizes] are numbers of vectors, 1,000 and 10,000 unless set and 100,000 at most, of 384 dimensions unless set.
     * [Privacy.SPLIT] needs three hosts; without [privacies] all are measured that are possible. The random vectors of a [seed] are
     * always the same, and each row asks 100 [questions] unless set. What is made at the hosts is deleted again, also when the
     * collection of the flow ends early.
     */
    public fun benchmark(
        sizes: List<Int>? = null,
        dimension: Int? = null,
        privacies: List<Privacy>? = null,
        hosts: List<String>? = null,
        questions: Int? = null,
        seed: Long? = null,
    ): EventFlow<BenchmarkStep> {
        val at = hosts?.map { it.sound("host") }
        return EventFlow(null) {
            val stream = call {
                made {
                    native.benchmark(
                        sizes?.map(Int::toLong), dimension?.toLong(), privacies?.map { it.wire() }, at, questions?.toLong(), seed, it,
                    )
                }
            }
            Source(
                next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
                stop = { stream.cancel(); stream.destroy() },
            )
        }
    }

    /** What this machine says of itself, so that [VectorCollection.exportKeyTo] can encrypt a key to it. It is no secret. */
    public suspend fun device(): String = call { native.device(null) }

    /**
     * The PeerIds of the nodes that say in the DHT that they have a record of a collection. What they have is worth nothing without
     * the collection's key.
     */
    public suspend fun resolve(collectionId: String): List<String> =
        call { native.resolve(collectionId.sound("collectionId"), null) }

    /**
     * Makes a collection one of this node, whose key another machine has exported and which that machine may have lost.
     *
     * The key opens with the [passphrase], or, when it was exported to this machine, with the DID of the node that did it as
     * [exportedBy]. What the hosts keep is found, checked, and sealed anew under a key that no other machine has, at the same hosts
     * or at [hosts]. With [partial] it is recovered without payloads that no host has.
     */
    public suspend fun recover(
        name: String,
        exported: String,
        passphrase: String? = null,
        exportedBy: String? = null,
        hosts: List<String>? = null,
        partial: Boolean? = null,
    ): VectorCollection = call {
        val at = hosts?.map { it.sound("host") }
        VectorCollection(
            made {
                native.recover(
                    name.sound("name"), exported.sound("exported"), passphrase?.sound("passphrase"), exportedBy?.sound("exportedBy"),
                    at, partial, it,
                )
            },
        )
    }

    /**
     * Serves a page on loopback for whoever is on this machine: who keeps how much here, and how much room is left. The [port] is
     * 7432 unless set, and 0 takes any that is free. It ends with what is returned, and with the node.
     */
    public suspend fun console(port: Int? = null): HostConsole =
        call { HostConsole(made { native.console(port?.toLong(), it) }) }

    /** The names of the collections of this node. */
    public suspend fun collections(): List<String> = call { native.collections(null) }

    /** Forgets a collection, here and at its hosts. When a host cannot be reached it stays, and can be destroyed again. */
    public suspend fun destroy(name: String): Unit = call { native.destroy(name.sound("name"), null) }
}
