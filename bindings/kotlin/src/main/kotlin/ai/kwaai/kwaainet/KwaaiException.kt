package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.NativeException

/** What went wrong, as programs decide on it: the same strings and numbers in every language. */
public enum class ErrorCode(
    /** The fixed string, for example `not_found`. */
    public val text: String,
    /** The fixed number. */
    public val number: Int,
    /** Whether the same call may succeed later without the caller changing anything. */
    public val retryable: Boolean,
) {
    INVALID_ARGUMENT("invalid_argument", 1, false),
    NOT_FOUND("not_found", 2, false),
    ALREADY_EXISTS("already_exists", 3, false),
    PERMISSION_DENIED("permission_denied", 4, false),
    UNTRUSTED_PEER("untrusted_peer", 5, false),
    UNREACHABLE("unreachable", 6, true),
    TIMEOUT("timeout", 7, true),
    CANCELLED("cancelled", 8, false),
    CLOSED("closed", 9, false),
    BUSY("busy", 10, true),
    RESOURCE_EXHAUSTED("resource_exhausted", 11, false),
    CORRUPT_DATA("corrupt_data", 12, false),
    UNSUPPORTED("unsupported", 13, false),
    CONFLICT("conflict", 14, true),
    IO("io", 15, false),
    INTERNAL("internal", 16, false),
}

/**
 * Every error of the library. There is a subclass for each [ErrorCode]; the message is for people and not part of the API.
 *
 * Code of an app that the library calls may throw these too, and the code is kept.
 */
public sealed class KwaaiException(
    public val code: ErrorCode,
    override val message: String,
    /** Named details, for example `file`, `peer` or `limit`. */
    public val context: Map<String, String>,
    cause: Throwable?,
) : RuntimeException(message, cause) {
    /** Whether the same call may succeed later without the caller changing anything. */
    public val retryable: Boolean get() = code.retryable

    /** An argument, a document or a message is malformed; the same call never succeeds. */
    public class InvalidArgument(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.INVALID_ARGUMENT, message, context, cause)

    /** What was named does not exist. */
    public class NotFound(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.NOT_FOUND, message, context, cause)

    /** What was to be made exists already. */
    public class AlreadyExists(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.ALREADY_EXISTS, message, context, cause)

    /** The other side, or the operating system, refuses this caller. */
    public class PermissionDenied(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.PERMISSION_DENIED, message, context, cause)

    /** A peer stands below the minimum tier that this node's own policy asks for. */
    public class UntrustedPeer(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.UNTRUSTED_PEER, message, context, cause)

    /** A peer could not be reached. */
    public class Unreachable(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.UNREACHABLE, message, context, cause)

    /** The deadline passed. */
    public class Timeout(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.TIMEOUT, message, context, cause)

    /** The work was cancelled from elsewhere. A coroutine that is cancelled itself gets a `CancellationException`. */
    public class Cancelled(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.CANCELLED, message, context, cause)

    /** The handle was shut down. */
    public class Closed(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.CLOSED, message, context, cause)

    /** Something else holds the resource just now. */
    public class Busy(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.BUSY, message, context, cause)

    /** A limit on memory, size, streams or storage was reached. */
    public class ResourceExhausted(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.RESOURCE_EXHAUSTED, message, context, cause)

    /** Stored or received data fails its checks. */
    public class CorruptData(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.CORRUPT_DATA, message, context, cause)

    /** This build, platform or version cannot do it; the message says why. */
    public class Unsupported(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.UNSUPPORTED, message, context, cause)

    /** The state changed underneath the call. */
    public class Conflict(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.CONFLICT, message, context, cause)

    /** The operating system reported a failure of a file or socket. */
    public class Io(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.IO, message, context, cause)

    /** A defect of the library, or an exception of the app's own code that says nothing more precise. */
    public class Internal(message: String, context: Map<String, String> = emptyMap(), cause: Throwable? = null) :
        KwaaiException(ErrorCode.INTERNAL, message, context, cause)

    public companion object {
        /** The exception of a code. */
        public fun of(
            code: ErrorCode,
            message: String,
            context: Map<String, String> = emptyMap(),
            cause: Throwable? = null,
        ): KwaaiException = when (code) {
            ErrorCode.INVALID_ARGUMENT -> InvalidArgument(message, context, cause)
            ErrorCode.NOT_FOUND -> NotFound(message, context, cause)
            ErrorCode.ALREADY_EXISTS -> AlreadyExists(message, context, cause)
            ErrorCode.PERMISSION_DENIED -> PermissionDenied(message, context, cause)
            ErrorCode.UNTRUSTED_PEER -> UntrustedPeer(message, context, cause)
            ErrorCode.UNREACHABLE -> Unreachable(message, context, cause)
            ErrorCode.TIMEOUT -> Timeout(message, context, cause)
            ErrorCode.CANCELLED -> Cancelled(message, context, cause)
            ErrorCode.CLOSED -> Closed(message, context, cause)
            ErrorCode.BUSY -> Busy(message, context, cause)
            ErrorCode.RESOURCE_EXHAUSTED -> ResourceExhausted(message, context, cause)
            ErrorCode.CORRUPT_DATA -> CorruptData(message, context, cause)
            ErrorCode.UNSUPPORTED -> Unsupported(message, context, cause)
            ErrorCode.CONFLICT -> Conflict(message, context, cause)
            ErrorCode.IO -> Io(message, context, cause)
            ErrorCode.INTERNAL -> Internal(message, context, cause)
        }
    }
}

/** What lies beneath an error of the library: its text is all that crossed from there. */
public class UnderlyingException(override val message: String) : Exception(message, null, false, false)

internal fun NativeException.typed(): KwaaiException {
    val failed = this as NativeException.Failed
    val code = ErrorCode.entries.firstOrNull { it.number == failed.number } ?: ErrorCode.INTERNAL
    return KwaaiException.of(code, failed.reason, failed.context, failed.beneath?.let(::UnderlyingException))
}

/** An exception of the app's code, as the library takes it. */
internal fun Throwable.native(): NativeException {
    val own = this as? KwaaiException
    val code = own?.code ?: ErrorCode.INTERNAL
    val text = own?.message ?: listOfNotNull(this::class.simpleName ?: this::class.java.name, message).joinToString(": ")
    val beneath = if (own == null) message ?: toString() else own.cause?.message
    val context = own?.context.orEmpty().entries.associate { it.key.readable() to it.value.readable() }
    return NativeException.Failed(code.text, code.number, text.readable(), context, code.retryable, beneath?.readable())
}

/** The text with a question mark for each half of a surrogate pair: an error that cannot cross would never be heard of. */
private fun String.readable(): String = encodeToByteArray().decodeToString()
