package ai.kwaai.kwaainet

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.supervisorScope
import kotlinx.serialization.json.Json
import org.junit.jupiter.api.Assumptions
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory
import org.opentest4j.TestAbortedException
import java.nio.file.Files
import java.nio.file.InvalidPathException
import java.nio.file.Path
import java.time.format.DateTimeParseException
import kotlin.coroutines.cancellation.CancellationException
import kotlin.io.path.deleteRecursively
import kotlin.io.path.name
import kotlin.io.path.readText
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlin.test.fail
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource

/** The scenarios of tests/conformance, through the public package. */
class ConformanceTest {
    @TestFactory
    fun scenarios(): List<DynamicTest> {
        val folder = System.getenv("KWAAI_SCENARIOS")?.let(Path::of) ?: ROOT.resolve("tests/conformance")
        val files = Files.list(folder).use { all ->
            all.filter { it.name.endsWith(".json") }.sorted().toList()
        }
        assertTrue(files.isNotEmpty())
        return files.map { file -> DynamicTest.dynamicTest(file.name.removeSuffix(".json")) { run(file) } }
    }

    @OptIn(kotlin.io.path.ExperimentalPathApi::class)
    private fun run(file: Path) = runBlocking {
        val scenario = fromJson(Json.parseToJsonElement(file.readText())) as Map<*, *>
        val tmp = Files.createTempDirectory("kwaainet")
        val memory = Memory(tmp)
        try {
            supervisorScope {
                (scenario["steps"] as List<*>).forEachIndexed { index, step ->
                    val where = "step ${index + 1}: $step"
                    try {
                        Step(step as Map<*, *>, memory, this).run()
                    } catch (skipped: TestAbortedException) {
                        memory.objects().forEach { if (it is Reader<*>) it.cancel() }
                        memory.objects().filterIsInstance<Handle>().forEach { it.shutdown() }
                        throw skipped
                    } catch (error: AssertionError) {
                        throw AssertionError("$where\n${error.message}", error)
                    } catch (error: Exception) {
                        throw AssertionError("$where\n$error", error)
                    }
                }
                memory.objects().forEach { if (it is Reader<*>) it.cancel() }
            }
            memory.objects().filterIsInstance<Handle>().forEach { it.shutdown() }
        } finally {
            tmp.deleteRecursively()
        }
    }
}

private class Step(private val step: Map<*, *>, private val memory: Memory, private val scope: CoroutineScope) {
    private val call = step["call"] as String
    private val on = (step["on"] as String?)?.let(memory::resolve)
    private val arguments = (step["args"] as Map<*, *>?).orEmpty().entries.associate { it.key as String to it.value }

    suspend fun run() {
        if (step["cancel"] == true) return cancel()
        val wanted = step["error"] as String?
        if (wanted != null) {
            val error = assertFailsWith<KwaaiException> { result() }
            if (error.code.text != wanted) throw AssertionError("failed with ${error.code.text}: $error", error)
            return
        }
        val began = TimeSource.Monotonic.markNow()
        while (true) {
            val found = try {
                result()
            } catch (error: KwaaiException) {
                val skip = (step["skip_on"] as Map<*, *>?).orEmpty()
                if (error.code.text == skip["code"]) Assumptions.abort<Unit>("skipped: ${skip["reason"]}")
                if (error.code.text == step["or_error"]) return
                if (step["eventually"] != true || began.elapsedNow() > 10.seconds) throw error
                delay(20.milliseconds)
                continue
            }
            val wrong = if ("expect" in step) mismatch(memory.resolve(step["expect"]), comparable(found)) else null
            if (wrong == null) return step["save"]?.let { memory.save(it as String, kept(found)) } ?: Unit
            if (step["eventually"] != true || began.elapsedNow() > 10.seconds) fail(wrong)
            delay(20.milliseconds)
        }
    }

    private suspend fun result(): Any? {
        val values = try {
            arguments.mapValues { memory.resolve(it.value) }
        } catch (error: IllegalStateException) {
            throw AssertionError(error.message, error)
        }
        stream(values)?.let { return it.value }
        val verb = VERBS[call] ?: fail("the runner knows no $call")
        // What Kotlin's own types do not let through counts as an invalid argument.
        val result = try {
            verb(on, Arguments(values))
        } catch (error: DateTimeParseException) {
            throw KwaaiException.InvalidArgument("not an instant", cause = error)
        } catch (error: InvalidPathException) {
            throw KwaaiException.InvalidArgument("not a path", cause = error)
        }
        handOver(result)
        if (result !is EventFlow<*>) return if (result == Unit) null else result
        return Reader(scope, result).also { if ("error" in step) it.next() }
    }

    /** What an app brings is an object of its own, and looked at when it is handed over: so it is, at once. */
    private suspend fun handOver(brought: Any?) {
        val folder = Path.of("${memory.resolve("\$tmp")}/handed-over")
        when (brought) {
            is Embedder -> Rag.open(folder, brought).destroy()
            is LanguageModel -> Rag.open(folder, WordsOnly, brought).destroy()
            is DocumentReader -> Rag.open(folder, WordsOnly, readers = listOf(brought)).destroy()
            is Signer -> TrustGraph.open(signer = brought).shutdown()
        }
    }

    private class Value(val value: Any?)

    private suspend fun stream(values: Map<String, Any?>): Value? = when (call) {
        "Stream.next" -> Value((on as Reader<*>).next())
        "Stream.collect" -> Value(buildList { while (true) add((on as Reader<*>).next() ?: break) })
        "Stream.cancel" -> Value((on as Reader<*>).cancel().let { null })
        "Stream.until" -> {
            var value: Any?
            do value = (on as Reader<*>).next() while (value != null && mismatch(values["match"], value) != null)
            Value(value)
        }
        else -> null
    }

    private suspend fun cancel() {
        // The call of the step before may take a moment to be gone.
        Testing.eventually({ Testing.liveHandles() }) { "hang" !in it }
        val verb = VERBS.getValue(call)
        val work = scope.async(start = CoroutineStart.UNDISPATCHED) { verb(on, Arguments(arguments)) }
        Testing.eventually({ Testing.liveHandles() }) { "hang" in it }
        work.cancel()
        assertFailsWith<CancellationException> { work.await() }
    }

    private fun kept(found: Any?): Any? = if (isObject(found)) found else comparable(found)

    private fun comparable(found: Any?): Any? = if (isObject(found)) null else plain(found)

    private fun isObject(found: Any?) = found is Handle || found is Vpk || found is SharedKnowledge || found is Federation || found is Reader<*> || found is Embedder ||
        found is LanguageModel || found is DocumentReader || found is Signer || found is LogSink
}
