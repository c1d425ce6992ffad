package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.InternalException
import ai.kwaai.kwaainet.internal.NativeCancel
import ai.kwaai.kwaainet.internal.NativeException
import java.nio.charset.CharacterCodingException
import java.time.Instant
import kotlin.time.Duration
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async

/** A call into the library, with its errors in their classes. Cancelling the coroutine drops the work there. */
internal inline fun <T> call(block: () -> T): T = try {
    block()
} catch (error: NativeException) {
    throw error.typed()
} catch (error: InternalException) {
    throw KwaaiException.Internal(error.message ?: "a defect in the library stopped this call", cause = error)
}

/** Where calls that make an object run on, whatever becomes of their coroutine. */
private val detached = CoroutineScope(SupervisorJob() + Dispatchers.Unconfined)

/**
 * A call that makes an object. What is made just as the coroutine is cancelled would get lost on its way here and live on
 * in the library; so the call always runs to its end, cancelled by its token, and what it made all the same is let go of.
 */
@OptIn(ExperimentalCoroutinesApi::class)
internal suspend fun <T : AutoCloseable> made(make: suspend (NativeCancel) -> T): T {
    val token = NativeCancel()
    val making = detached.async { make(token) }
    try {
        return making.await()
    } catch (error: CancellationException) {
        token.cancel()
        making.invokeOnCompletion { failure -> if (failure == null) making.getCompleted().close() }
        throw error
    }
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

/** Milliseconds since 1970. */
internal fun Instant.millis(what: String): Long = try {
    toEpochMilli()
} catch (_: ArithmeticException) {
    throw KwaaiException.InvalidArgument("$what is too far away")
}
