package ai.kwaai.kwaainet

import kotlinx.coroutines.flow.count
import kotlinx.coroutines.runBlocking
import kotlin.time.Duration
import kotlin.time.DurationUnit
import kotlin.time.measureTime

private const val VALUES = 10_000L
private const val CALLS = 200_000

private suspend fun call(): Duration = TrustGraph.open().use { graph ->
    // The first calls run in the interpreter.
    repeat(CALLS / 10) { graph.did }
    measureTime { repeat(CALLS) { graph.did } } / CALLS
}

private suspend fun stream(): Duration {
    val read: suspend () -> Unit = { check(Testing.numbers(VALUES, VALUES, open = false).count() == VALUES.toInt()) }
    read()
    return measureTime { read() } / VALUES.toInt()
}

private suspend fun cycle(): Duration = measureTime {
    Node.start(preset = Preset.EPHEMERAL).shutdown(grace = Duration.ZERO)
}

/** What crossing into the library costs from Kotlin. `tests/bench/ffi.py` runs it and says what the numbers mean. */
fun main() = runBlocking {
    val callNs = call().toDouble(DurationUnit.NANOSECONDS)
    val streamUs = stream().toDouble(DurationUnit.MICROSECONDS)
    val cycleMs = cycle().toDouble(DurationUnit.MILLISECONDS)
    Testing.untilNothingLives()
    println("""{"call_ns": $callNs, "stream_us": $streamUs, "cycle_ms": $cycleMs, "left": ${Testing.liveHandles().values.sum()}}""")
}
