package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.provokeError
import ai.kwaai.kwaainet.internal.provokePanic
import ai.kwaai.kwaainet.internal.waitForever
import kotlinx.coroutines.delay
import java.nio.file.Path
import kotlin.test.fail
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import ai.kwaai.kwaainet.internal.liveHandles as nativeLiveHandles
import ai.kwaai.kwaainet.internal.numbers as nativeNumbers
import ai.kwaai.kwaainet.internal.seedDid as nativeSeedDid
import ai.kwaai.kwaainet.internal.seedSign as nativeSeedSign

/** The folder of this project. */
val ROOT: Path = Path.of(System.getProperty("repository.root")).toRealPath()

/** The small real model. */
val TINY: Path = ROOT.resolve("examples/models/tiny-kwaai")

/** Failures on demand. They need a library with the feature `testing`, which is what a checkout builds. */
object Testing {
    suspend fun raise(number: Long): Unit = call { provokeError(number, null) }

    suspend fun panic(): Unit = call { provokePanic(null) }

    suspend fun hang(): Unit = call { waitForever(null) }

    /** Numbers from 0; without [open] the stream ends after them. */
    fun numbers(count: Long, capacity: Long, open: Boolean): EventFlow<Int> {
        val source = {
            val stream = call { nativeNumbers(count, capacity, open) }
            Source(
                next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.toInt() }, missed) } },
                stop = { stream.cancel(); stream.destroy() },
            )
        }
        return EventFlow(source(), source)
    }

    fun liveHandles(): Map<String, Long> = nativeLiveHandles()

    fun seedDid(seed: Long): String = call { nativeSeedDid(seed) }

    suspend fun seedSign(seed: Long, message: ByteArray): ByteArray = call { nativeSeedSign(seed, message, null) }

    /** Waits until what [look] sees fulfils [wanted]; ten seconds at most. */
    suspend fun <T> eventually(look: suspend () -> T, wanted: (T) -> Boolean): T {
        val began = TimeSource.Monotonic.markNow()
        while (true) {
            val seen = look()
            if (wanted(seen)) return seen
            if (began.elapsedNow() > 10.seconds) fail("still $seen after ten seconds")
            delay(5.milliseconds)
        }
    }

    /** Lets the garbage collector find what was dropped, until no handle is alive. */
    suspend fun untilNothingLives() {
        eventually({ System.gc(); liveHandles() }) { it.isEmpty() }
    }
}
