package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.InternalException
import ai.kwaai.kwaainet.internal.NativeException
import java.nio.charset.CharacterCodingException
import kotlin.time.Duration

/** A call into the library, with its errors in their classes. Cancelling the coroutine drops the work there. */
internal inline fun <T> call(block: () -> T): T = try {
    block()
} catch (error: NativeException) {
    throw error.typed()
} catch (error: InternalException) {
    throw KwaaiException.Internal(error.message ?: "a defect in the library stopped this call", cause = error)
}

/**
 * A text that UTF-8 can hold. Without this check a half of a surrogate pair would stop the call in the middle of handing
 * over its arguments.
 */
internal fun String.sound(what: String): String {
    if (!encodable()) throw KwaaiException.InvalidArgument("the $what holds half of a surrogate pair, which is no text")
    return this
}

private fun String.encodable(): Boolean {
    if (none { it.isSurrogate() }) return true
    return try {
        Charsets.UTF_8.newEncoder().encode(java.nio.CharBuffer.wrap(this))
        true
    } catch (_: CharacterCodingException) {
        false
    }
}

/** Whole milliseconds, rounded up so that a short span is not none at all. */
internal fun Duration.millis(what: String): Long {
    if (isInfinite()) throw KwaaiException.InvalidArgument("$what is not finite")
    val whole = inWholeMilliseconds
    return if (whole * 1_000_000 < inWholeNanoseconds && this > Duration.ZERO) whole + 1 else whole
}
