package ai.kwaai.kwaainet

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.TimeoutCancellationException
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.time.Duration.Companion.milliseconds

class StreamsTest {
    @Test
    fun `a slow collector learns how many values it missed`() = runBlocking {
        val numbers = Testing.numbers(count = 10, capacity = 4, open = false)
        assertEquals(listOf(6, 7, 8, 9), numbers.toList())
        assertEquals(6, numbers.missed)
    }

    @Test
    fun `leaving a flow early stops the work behind it`() = runBlocking {
        val numbers = Testing.numbers(count = 3, capacity = 4, open = true)
        assertEquals(listOf(0, 1), numbers.take(2).toList())
        Testing.eventually({ Testing.liveHandles()["stream"] ?: 0 }) { it == 0L }
        Unit
    }

    @Test
    fun `cancelling a collector that waits ends it, and its stream`() = runBlocking {
        val numbers = Testing.numbers(count = 0, capacity = 4, open = true)
        val reading = launch(start = CoroutineStart.UNDISPATCHED) { numbers.collect { } }
        assertEquals(1, Testing.liveHandles()["stream"])
        reading.cancelAndJoin()
        Testing.eventually({ Testing.liveHandles()["stream"] ?: 0 }) { it == 0L }
        Unit
    }

    @Test
    fun `an exception of the collector comes through and stops the stream`() = runBlocking {
        val numbers = Testing.numbers(count = 3, capacity = 4, open = true)
        val error = assertFailsWith<IllegalStateException> { numbers.collect { error("enough") } }
        assertEquals("enough", error.message)
        Testing.eventually({ Testing.liveHandles()["stream"] ?: 0 }) { it == 0L }
        Unit
    }

    @Test
    fun `each collection begins the work anew`() = runBlocking {
        val numbers = Testing.numbers(count = 2, capacity = 4, open = false)
        assertEquals(listOf(0, 1), numbers.toList())
        assertEquals(listOf(0, 1), numbers.toList())
        assertEquals(0, numbers.first())
    }

    @Test
    fun `cancelling a coroutine ends its call in the library`() = runBlocking {
        val work = async(start = CoroutineStart.UNDISPATCHED) { Testing.hang() }
        Testing.eventually({ Testing.liveHandles()["hang"] ?: 0 }) { it == 1L }
        work.cancel()
        assertFailsWith<CancellationException> { work.await() }
        Testing.eventually({ Testing.liveHandles()["hang"] ?: 0 }) { it == 0L }
        assertFailsWith<TimeoutCancellationException> { withTimeout(30.milliseconds) { Testing.hang() } }
        Testing.eventually({ Testing.liveHandles()["hang"] ?: 0 }) { it == 0L }
        Unit
    }
}
