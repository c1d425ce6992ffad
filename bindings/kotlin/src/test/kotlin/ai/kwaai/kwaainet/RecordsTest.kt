package ai.kwaai.kwaainet

import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory
import java.nio.file.Files
import kotlin.io.path.name
import kotlin.reflect.KClass
import kotlin.reflect.KVisibility
import kotlin.reflect.full.memberProperties
import kotlin.reflect.full.primaryConstructor
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

private fun classesOf(name: String): List<KClass<*>> {
    val folder = java.nio.file.Path.of(Node::class.java.protectionDomain.codeSource.location.toURI())
        .resolve(name.replace('.', '/'))
    return Files.list(folder).use { files ->
        files.map { it.name }.filter { it.endsWith(".class") && '$' !in it && !it.endsWith("Kt.class") }
            .map { Class.forName("$name.${it.removeSuffix(".class")}").kotlin }.toList()
    }
}

/** The classes that apps see. */
fun publicClasses(): List<KClass<*>> = classesOf("ai.kwaai.kwaainet").filter { it.visibility == KVisibility.PUBLIC }

/** The generated records are made from the structs of the object layer, so whoever has their fields has what it writes. */
class RecordsTest {
    /** Options that the facade takes as arguments instead, and what is no record of the object layer. */
    private val arguments = setOf(
        "NodeOptions", "ChatOptions", "QuestionOptions", "SearchOptions", "FolderOptions", "RagOptions", "EmbedderChoice", "BlockSelection", "ErrorCodeInfo", "ForeignBytes",
        "RustBuffer", "NoHandle", "UniffiWithHandle", "Minimum", "ServerOptions", "NamedWriter", "NamedEndpoint", "NamedEmbedder",
        "NamedBert",
        "NamedKnowledge", "NamedOwn", "FindOptions", "EvaluateOptions", "KnownQuestion", "CacheLimits",
    )
    private val renamed = mapOf(
        "MessageRecord" to "Message",
        "NodeLimits" to "Limits",
        "NodeRelayLimits" to "RelayLimits",
        "ChunkingSizes" to "Chunking",
        "EndpointOptions" to "Endpoint",
        "EmbeddingEndpointOptions" to "EmbeddingEndpoint",
        "BlockShareOptions" to "BlockShare",
        "NativePart" to "DocumentPart",
    )

    private val generated = classesOf("ai.kwaai.kwaainet.internal").filter { kind ->
        val name = kind.simpleName!!
        val ours = !name.startsWith("Native") || name in renamed
        (kind.isData || kind.isSealed || kind.java.isEnum) && ours && name !in arguments && !name.startsWith("Uniffi") &&
            !name.endsWith("Batch")
    }

    private fun fields(kind: KClass<*>) = kind.primaryConstructor?.parameters.orEmpty().map { it.name!! }

    @TestFactory
    fun `each record has the fields that the object layer writes`(): List<DynamicTest> = generated.map { native ->
        DynamicTest.dynamicTest("${native.simpleName} has the fields that the object layer writes") {
            val name = renamed[native.simpleName] ?: native.simpleName
            val ours = Class.forName("ai.kwaai.kwaainet.$name").kotlin
            if (native.java.isEnum) {
                return@dynamicTest assertEquals(native.java.enumConstants.map { "$it" }, ours.java.enumConstants.map { "$it" })
            }
            if (!native.isSealed) return@dynamicTest compare(native, ours)
            val cases = ours.sealedSubclasses.associateBy { it.simpleName }
            assertEquals(native.sealedSubclasses.map { it.simpleName }.toSet(), cases.keys)
            native.sealedSubclasses.forEach { compare(it, cases.getValue(it.simpleName)) }
        }
    }

    private fun compare(native: KClass<*>, ours: KClass<*>) {
        val written = fields(native).flatMap { name ->
            val type = native.memberProperties.first { it.name == name }.returnType.classifier as KClass<*>
            // The one record inside another whose fields are written beside its own.
            if (name == "summary") fields(type) else listOf(name)
        }
        val had = fields(ours).map { name -> camel(wireName(ours, name)) }
        assertEquals(written.sorted(), had.sorted(), "${ours.simpleName}")
    }

    @Test
    fun `every record is compared`() {
        val names = generated.map { it.simpleName }
        val some = listOf("NodeInfo", "PeerInfo", "Credential", "Score", "Answer", "Stats", "IngestEvent", "GenerateEvent")
        assertTrue(names.containsAll(some), "$names")
        val data = publicClasses().filter { it.isData && it.objectInstance == null }.map { it.simpleName }
        val own = setOf(
            "BertModel", "Completion", "MinimumScore", "AnswerCache", "EvaluationQuestion", "NumericAnswer", "Questioning", "Searching",
        )
        assertEquals(emptyList(), data - own - names.map { renamed[it] ?: it }.toSet())
    }

    @Test
    fun `every tier, purpose, language and strategy has its name in the library`() = runBlocking {
        TrustGraph.open(seed = 1).use { graph ->
            assertEquals(Purpose.entries.toSet() - Purpose.OPEN, graph.policy().keys - Purpose.OPEN)
            for (tier in Tier.entries) {
                graph.setPolicy(mapOf(Purpose.MESSAGE to tier))
                assertEquals(tier, graph.policy()[Purpose.MESSAGE])
            }
        }
        val dir = Files.createTempDirectory("kwaainet")
        for ((place, language) in Language.entries.withIndex()) {
            Rag.open(dir.resolve("$place"), WordsOnly, language = language).use { it.destroy() }
        }
        for (strategy in Strategy.entries) {
            Rag.open(dir.resolve("$strategy"), WordsOnly, chunking = Chunking(strategy)).use { it.destroy() }
        }
        Files.delete(dir)
    }
}
