package ai.kwaai.kwaainet

import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.withContext

/**
 * Something that is ended by [shutdown]; afterwards its verbs throw [KwaaiException.Closed]. A handle that is forgotten ends
 * too, without grace, when it is garbage collected.
 */
public interface Handle {
    /** Ends it. Idempotent. */
    public suspend fun shutdown()
}

/** Runs [block] and shuts the handle down after it, also when it fails or its coroutine is cancelled. */
public suspend inline fun <H : Handle, R> H.use(block: (H) -> R): R {
    var failure: Throwable? = null
    try {
        return block(this)
    } catch (error: Throwable) {
        failure = error
        throw error
    } finally {
        shutdownAfter(failure)
    }
}

@PublishedApi
internal suspend fun Handle.shutdownAfter(failure: Throwable?): Unit = withContext(NonCancellable) {
    try {
        shutdown()
    } catch (error: Exception) {
        if (failure == null) throw error
        failure.addSuppressed(error)
    }
}
