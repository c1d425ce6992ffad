package ai.kwaai.kwaainet

import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.booleanOrNull
import kotlinx.serialization.json.doubleOrNull
import kotlinx.serialization.json.longOrNull
import java.nio.file.Path
import java.time.Instant
import java.util.Base64
import kotlin.reflect.KClass
import kotlin.reflect.KProperty1
import kotlin.reflect.full.memberProperties
import kotlin.reflect.full.primaryConstructor
import kotlin.time.Duration
import kotlin.time.DurationUnit

fun camel(name: String): String = name.split('_').let { parts ->
    parts.first() + parts.drop(1).joinToString("") { it.replaceFirstChar(Char::uppercase) }
}

fun snake(name: String): String = name.replace(Regex("[A-Z]")) { "_" + it.value.lowercase() }

/** A record as the object layer writes it: maps with keys in snake_case, lists, texts, numbers and `null`. */
fun plain(value: Any?): Any? = when (value) {
    null, is String, is Boolean, is Number -> value
    is JsonElement -> fromJson(value)
    is Enum<*> -> value.name.lowercase()
    is MinimumScore -> value.value
    is Instant, is Path -> value.toString()
    is ByteArray -> Base64.getEncoder().encodeToString(value)
    is List<*> -> value.map(::plain)
    is Map<*, *> -> value.entries.associate { (key, item) -> plain(key) as String to plain(item) }
    is Matrix -> mapOf(
        "rows" to value.rows,
        "columns" to value.columns,
        "values" to (0 until value.rows).map { value.row(it).toList() },
    )
    else -> record(value)
}

fun fromJson(value: JsonElement): Any? = when (value) {
    JsonNull -> null
    is JsonObject -> value.mapValues { fromJson(it.value) }
    is JsonArray -> value.map(::fromJson)
    is JsonPrimitive ->
        if (value.isString) value.content else value.booleanOrNull ?: value.longOrNull ?: value.doubleOrNull
}

private fun record(value: Any): Map<String, Any?> {
    val kind = value::class
    require(kind.isData) { "$kind is no record" }
    val fields = linkedMapOf<String, Any?>()
    if (kind.java.declaringClass?.kotlin?.isSealed == true) fields["kind"] = snake(kind.simpleName!!).drop(1)
    for (name in kind.primaryConstructor!!.parameters.map { it.name!! }) {
        @Suppress("UNCHECKED_CAST")
        val item = (kind.memberProperties.first { it.name == name } as KProperty1<Any, *>).get(value)
        fields[wireName(kind, name)] = when {
            item is Duration -> item.toDouble(DurationUnit.MILLISECONDS)
            item is Instant && wireName(kind, name).endsWith("_ms") -> item.toEpochMilli()
            else -> plain(item)
        }
    }
    return fields
}

private val SPANS_OF_TIME = setOf(Duration::class)
private val MOMENTS_IN_MILLISECONDS = setOf(DocumentInfo::class to "ingestedAt", LogRecord::class to "at")

/** The name of a field as the object layer writes it. */
fun wireName(kind: KClass<*>, name: String): String {
    val type = kind.memberProperties.first { it.name == name }.returnType.classifier
    val ending = if (type in SPANS_OF_TIME || kind to name in MOMENTS_IN_MILLISECONDS) "_ms" else ""
    return snake(name) + ending
}
