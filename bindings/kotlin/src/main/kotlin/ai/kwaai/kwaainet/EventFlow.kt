package ai.kwaai.kwaainet

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.flow.flow
import java.util.concurrent.atomic.AtomicLong
import java.util.concurrent.atomic.AtomicReference

/**
 * Values that come over time: messages, events, progress, tokens.
 *
 * Work begins when it is collected, and each collection begins it anew; what a node reports is recorded from the call on,
 * for the first collection. Ending a collection early, by cancellation or by operators such as `first` and `take`, stops
 * the work behind it; what is durable already stays. The library never waits for a collector: one that falls too far behind
 * loses the oldest values, and [missed] counts them.
 */
public open class EventFlow<T> internal constructor(
    recorded: Source<T>?,
    private val open: suspend () -> Source<T>,
) : Flow<T> {
    private val recorded = AtomicReference(recorded)
    private val lost = AtomicLong()

    /** How many values were dropped because nobody collected them in time, over all collections. */
    public val missed: Long get() = lost.get()

    override suspend fun collect(collector: FlowCollector<T>): Unit = flow {
        val source = recorded.getAndSet(null) ?: open()
        try {
            while (true) {
                val batch = source.next() ?: break
                lost.addAndGet(batch.missed)
                batch.values.forEach { emit(it) }
            }
        } finally {
            source.stop()
        }
    }.collect(collector)
}

/** What was ready at once. */
internal class Batch<T>(val values: List<T>, val missed: Long)

/** A stream of the library: batches until `null`, and how to stop it. */
internal class Source<T>(val next: suspend () -> Batch<T>?, val stop: () -> Unit)

/** At most so many values cross from the library at once. */
internal const val BATCH: Long = 256
