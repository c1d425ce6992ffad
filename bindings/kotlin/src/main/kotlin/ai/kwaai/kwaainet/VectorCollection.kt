package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.NativeCollection
import kotlinx.serialization.json.JsonObject

/** Vectors with ids and payloads, at hosts that cannot read them. */
public class VectorCollection internal constructor(internal val native: NativeCollection) : Handle {
    /** The name under which this node has it. */
    public val name: String = call { native.name() }

    /** The id by which hosts know it. */
    public val id: String = call { native.id() }

    /** What it is, as it was made. */
    public val config: CollectionConfig = call { native.config().read() }

    /** What its hosts learn. */
    public val leakage: Leakage = call { native.leakage().read() }

    /** How it stands. */
    public suspend fun stats(): CollectionStats = call { native.stats(null).read() }

    /**
     * Puts vectors in, all or none; those with an id that is there replace it.
     *
     * [vectors] has a row for each id, as [ShardEngine.embed] returns them; ids are at most 2^53 - 1. [payloads] come back with the
     * vectors, and by [metadata] hits can be chosen; both are as many as there are ids. What was put in is durable and found when
     * this returns, and goes to the hosts when there is enough of it, or at [flush].
     */
    public suspend fun upsert(
        ids: List<Long>,
        vectors: Matrix,
        payloads: List<ByteArray?>? = null,
        metadata: List<JsonObject?>? = null,
    ): Unit = call {
        val values = metadata?.map { it?.toString()?.sound("metadata") }
        native.upsert(ids, vectors.native(), payloads, values, null)
    }

    /**
     * Takes vectors out, with their payloads, and returns how many there were. The hosts keep their numbers until the segment is
     * empty, or [rotate] leaves them out.
     */
    public suspend fun delete(ids: List<Long>): Long = call { native.delete(ids, null) }

    /**
     * The [k] vectors that are most like this one, among those whose metadata have all the values of [filter]. Hosts are not told of
     * the filter, nor, but under [Privacy.PLAIN], of what was found.
     */
    public suspend fun search(vector: FloatArray, k: Int? = null, filter: JsonObject? = null): FoundVectors = call {
        val wanted = filter?.toString()?.sound("filter")
        native.search(Matrix(1, vector.size, vector).native(), k?.toLong(), wanted, null).read()
    }

    /** Seals what is buffered and brings everything to the hosts. Nothing is lost when that fails. */
    public suspend fun flush(): Unit = call { native.flush(null) }

    /**
     * Fetches everything from the hosts and checks it; as much traffic as bringing it there was. Flush before: what waits for a
     * host is missing there.
     */
    public suspend fun verify(): List<HostReport> = call { native.verify(null).map { it.read() } }

    /**
     * Verifies what the hosts have, and puts others in the place of those that are lost or lie: those of [hosts] in their order, or
     * ones that are found. Everything is sealed anew under a new key. Searches go on meanwhile.
     */
    public suspend fun repair(hosts: List<String>? = null): Repair = call {
        native.repair(hosts?.map { it.sound("host") }, null).read()
    }

    /** Seals everything anew under a new key, without what was deleted. The hosts need room for both meanwhile. */
    public suspend fun rotate(): Unit = call { native.rotate(null) }

    /**
     * The recovery key, as a text that opens with a passphrase, for a backup or [Vpk.recover] on another machine. It is good over
     * repairs and whatever is put in, until the next [rotate].
     */
    public suspend fun exportKey(passphrase: String): String =
        call { native.exportKey(passphrase.sound("passphrase"), null) }

    /** The same, as a text that opens on one machine alone: the one that said by [Vpk.device] who it is. */
    public suspend fun exportKeyTo(device: String): String = call { native.exportKeyTo(device.sound("device"), null) }

    /** Lets go of the collection, which stays, here and at its hosts. */
    override suspend fun shutdown(): Unit = call { native.shutdown() }

    /** Forgets the collection, here and at its hosts. A copy that a host keeps is worth nothing without the key. */
    public suspend fun destroy(): Unit = call { native.destroy(null) }
}
