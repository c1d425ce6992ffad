package ai.kwaai.kwaainet

/** Why a value does not match what a scenario expects, or `null` when it does; tests/conformance/README.md has the rules. */
fun mismatch(expected: Any?, found: Any?, at: String = "the result"): String? {
    fun unless(holds: Boolean) = if (holds) null else "$at is $found, which is not $expected"
    return when (expected) {
        is Map<*, *> -> matcher(expected)?.let { (name, wanted) -> matched(name, wanted, found, at) } ?: when {
            matcher(expected) != null -> null
            found !is Map<*, *> -> unless(false)
            else -> expected.firstNotNullOfOrNull { (key, wanted) -> mismatch(wanted, found[key], "$at.$key") }
        }
        is List<*> -> when {
            found !is List<*> || found.size != expected.size -> unless(false)
            else -> expected.indices.firstNotNullOfOrNull { mismatch(expected[it], found[it], "$at.$it") }
        }
        is Number -> unless(found is Number && found.toDouble() == expected.toDouble())
        else -> unless(expected == found)
    }
}

private fun matcher(expected: Map<*, *>): Pair<String, Any?>? {
    val (name, wanted) = expected.entries.singleOrNull() ?: return null
    return if ((name as String).startsWith("$")) name to wanted else null
}

private fun matched(name: String, wanted: Any?, found: Any?, at: String): String? {
    fun unless(holds: Boolean) = if (holds) null else "$at is $found, which is not $name $wanted"
    fun number(value: Any?) = (value as? Number)?.toDouble() ?: Double.NaN
    return when (name) {
        "\$exists" -> unless((found != null) == wanted)
        "\$gte" -> unless(number(found) >= number(wanted))
        "\$lte" -> unless(number(found) <= number(wanted))
        "\$approx" -> {
            val (value, distance) = (wanted as List<*>).map(::number)
            unless(kotlin.math.abs(number(found) - value) <= distance)
        }
        "\$len" -> unless(length(found) == (wanted as Number).toInt())
        "\$min_len" -> unless((length(found) ?: -1) >= (wanted as Number).toInt())
        "\$matches" -> unless(found is String && Regex(wanted as String).containsMatchIn(found))
        "\$contains" -> when (found) {
            is String -> unless(wanted as String in found)
            is List<*> -> unless(found.any { mismatch(wanted, it) == null })
            else -> unless(false)
        }
        "\$not" -> unless(mismatch(wanted, found) != null)
        "\$all" -> (wanted as List<*>).firstNotNullOfOrNull { mismatch(it, found, at) }
        else -> error("there is no matcher $name")
    }
}

private fun length(value: Any?): Int? = when (value) {
    is String -> value.codePointCount(0, value.length)
    is List<*> -> value.size
    is Map<*, *> -> value.size
    else -> null
}
