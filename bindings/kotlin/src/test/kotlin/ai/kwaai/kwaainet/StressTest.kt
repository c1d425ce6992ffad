package ai.kwaai.kwaainet

import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import java.nio.file.Files
import java.nio.file.Path
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.microseconds
import kotlin.time.measureTime

/** The memory that the process occupies, in MiB. */
private fun resident(): Long {
    System.gc()
    val status = Files.readString(Path.of("/proc/self/status"))
    return Regex("VmRSS:\\s+(\\d+) kB").find(status)!!.groupValues[1].toLong() / 1024
}

class StressTest {
    @Test
    fun `ten thousand objects that are dropped are freed`() = runBlocking {
        val before = resident()
        val time = measureTime {
            Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use { node ->
                repeat(5_000) {
                    node.trust()
                    node.messages()
                }
            }
            Testing.untilNothingLives()
        }
        val grown = resident() - before
        println("10,000 objects: $time, $grown MiB more")
        assertTrue(grown < 150, "$grown MiB more")
    }

    @Test
    fun `a thousand calls cancelled at random points leave nothing behind`() = runBlocking {
        val random = Random(7)
        var ended = 0
        val time = measureTime {
            Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use { node ->
                List(1_000) { place ->
                    launch(Dispatchers.Default) {
                        val work = async(start = CoroutineStart.UNDISPATCHED) {
                            when (place % 4) {
                                0 -> Testing.hang()
                                1 -> node.info()
                                2 -> node.messages().collect { }
                                else -> TrustGraph.open(seed = place.toLong()).use { it.policy() }
                            }
                        }
                        delay(random.nextInt(2_000).microseconds)
                        work.cancelAndJoin()
                        synchronized(random) { ended += 1 }
                    }
                }.joinAll()
            }
            Testing.untilNothingLives()
        }
        println("1,000 cancelled calls: $time")
        assertEquals(1_000, ended)
    }

    @Test
    fun `a hundred nodes start and stop, and memory stays flat`() = runBlocking {
        suspend fun cycle() = Node.start(preset = Preset.EPHEMERAL, listen = emptyList()).use { it.info() }
        repeat(10) { cycle() }
        val before = resident()
        val threads = Thread.activeCount()
        val time = measureTime { repeat(100) { cycle() } }
        Testing.untilNothingLives()
        val grown = resident() - before
        println("100 starts and shutdowns: $time, $grown MiB more")
        assertTrue(grown < 60, "$grown MiB more")
        assertTrue(Thread.activeCount() <= threads + 8, "${Thread.activeCount()} threads, $threads before")
    }
}
