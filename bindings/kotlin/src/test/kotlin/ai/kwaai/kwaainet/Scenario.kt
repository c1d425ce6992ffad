package ai.kwaai.kwaainet

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.launch
import java.nio.file.Path
import java.util.Base64

/** What a step of a scenario does that is called with these arguments on this object. */
typealias Call = suspend (on: Any?, arguments: Arguments) -> Any?

/**
 * The arguments of a step, with everything saved put in its place. What Kotlin's own types do not let through, such as a
 * number where a text belongs, counts as an invalid argument.
 */
class Arguments(private val values: Map<String, Any?>) {
    operator fun get(name: String): Any? = values[name]

    /** The argument, when it is of this kind or left out. */
    inline fun <reified T : Any> maybe(name: String): T? = this[name]?.let { it as? T ?: refuse(name, it) }

    /** The argument, which must be of this kind. */
    inline fun <reified T : Any> need(name: String): T = maybe<T>(name) ?: refuse(name, null)

    fun text(name: String) = maybe<String>(name)
    fun long(name: String) = this[name]?.let { whole(name, it) }
    fun int(name: String) = long(name)?.let { small(name, it) }
    fun real(name: String) = maybe<Number>(name)?.toDouble()
    fun path(name: String) = text(name)?.let(Path::of)
    fun texts(name: String) = list(name)?.map { it as? String ?: refuse(name, it) }
    fun ints(name: String) = list(name)?.map { small(name, whole(name, it)) }
    fun needLongs(name: String) = list(name)?.map { whole(name, it) } ?: refuse(name, null)
    fun map(name: String) = maybe<Map<String, Any?>>(name)
    fun maps(name: String) = list(name)?.map { item -> Arguments(item.named() ?: refuse(name, item)) }
    fun list(name: String) = maybe<List<Any?>>(name)

    fun needPath(name: String): Path = Path.of(need<String>(name))
    fun needLong(name: String) = long(name) ?: refuse(name, null)
    fun needInt(name: String) = int(name) ?: refuse(name, null)
    fun needTexts(name: String) = texts(name) ?: refuse(name, null)
    fun needMaps(name: String) = maps(name) ?: refuse(name, null)

    fun refuse(name: String, value: Any?): Nothing =
        throw KwaaiException.InvalidArgument("$name cannot be ${value?.let { it::class.simpleName } ?: "left out"}")

    private fun whole(name: String, value: Any?): Long = when (value) {
        is Long -> value
        is Int -> value.toLong()
        is Double -> if (value % 1.0 == 0.0) value.toLong() else refuse(name, value)
        else -> refuse(name, value)
    }

    private fun small(name: String, value: Long): Int =
        if (value in Int.MIN_VALUE..Int.MAX_VALUE) value.toInt() else refuse(name, value)
}

@Suppress("UNCHECKED_CAST")
private fun Any?.named() = this as? Map<String, Any?>

/** What a scenario has saved. */
class Memory(tmp: Path) {
    private val saved = linkedMapOf<String, Any?>("tmp" to tmp.toString(), "root" to ROOT.toString())

    fun save(name: String, value: Any?) {
        saved[name] = value
    }

    /** The objects, the last one first. */
    fun objects(): List<Any> = saved.values.filter { it is Handle || it is Reader<*> }.filterNotNull().reversed()

    /** A value of a scenario with what was saved in its place. */
    fun resolve(value: Any?): Any? = when (value) {
        is List<*> -> value.map(::resolve)
        is Map<*, *> -> special(value) ?: value.mapValues { resolve(it.value) }
        is String -> when {
            value.startsWith("\${") && value.indexOf('}') == value.length - 1 -> look(value.substring(2, value.length - 1))
            value.startsWith("$") && !value.startsWith("\${") -> look(value.drop(1))
            else -> value.replace(Regex("\\$\\{([^}]+)}")) { look(it.groupValues[1]).toString() }
        }
        else -> value
    }

    private fun special(value: Map<*, *>): Any? = when (value.keys.singleOrNull()) {
        "\$base64" -> Base64.getDecoder().decode(value.values.single() as String)
        "\$repeat" -> (value.values.single() as List<*>).let { (it[0] as String).repeat((it[1] as Number).toInt()) }
        "\$number" -> if (value.values.single() == "nan") Double.NaN else Double.POSITIVE_INFINITY
        else -> null
    }

    private fun look(path: String): Any? {
        val parts = path.split('.')
        check(parts.first() in saved) { "nothing was saved as ${parts.first()}" }
        return parts.drop(1).fold(saved[parts.first()]) { value, part ->
            when (value) {
                is Map<*, *> -> value[part]
                is List<*> -> value[part.toInt()]
                is Node -> mapOf("name" to value.name, "peer_id" to value.peerId, "did" to value.did).getValue(part)
                is TrustGraph -> mapOf("did" to value.did).getValue(part)
                is VectorCollection -> mapOf("name" to value.name, "id" to value.id).getValue(part)
                is HostConsole -> mapOf("url" to value.url).getValue(part)
                is HttpServer ->
                    mapOf("address" to value.address, "port" to value.port, "base_url" to value.baseUrl).getValue(part)
                is Model -> mapOf("id" to value.id, "name" to value.name, "blocks" to value.blocks).getValue(part)
                else -> error("$value has no $part")
            }
        }
    }
}

/** A collection of a flow whose values are taken one by one. Collector and taker share one thread. */
class Reader<T>(scope: CoroutineScope, flow: Flow<T>) {
    private val values = Channel<Any?>(Channel.UNLIMITED)
    private val job: Job = scope.launch(start = CoroutineStart.UNDISPATCHED) {
        var missed = 0L
        try {
            flow.collect { value ->
                val lost = (flow as EventFlow<T>).missed
                if (lost > missed) values.send(mapOf("missed" to lost - missed))
                missed = lost
                values.send(plain(value))
            }
            values.close()
        } catch (error: KwaaiException) {
            values.close(error)
        } finally {
            values.close()
        }
    }

    /** The next value; `null` at the end. */
    suspend fun next(): Any? {
        val result = values.receiveCatching()
        result.exceptionOrNull()?.let { throw it }
        return result.getOrNull()
    }

    fun cancel() = job.cancel()
}
