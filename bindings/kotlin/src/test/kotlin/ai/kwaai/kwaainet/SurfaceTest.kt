package ai.kwaai.kwaainet

import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory
import kotlin.io.path.readLines
import kotlin.reflect.KClass
import kotlin.reflect.KFunction
import kotlin.reflect.KProperty
import kotlin.reflect.KVisibility
import kotlin.reflect.full.companionObject
import kotlin.reflect.full.declaredMembers
import kotlin.reflect.full.isSubclassOf
import kotlin.reflect.full.valueParameters
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** A verb as tests/surface.toml lists it. */
private class Verb(line: String) {
    val name = line.substringBefore(" =")
    val property = "property = true" in line
    val make = "make = true" in line
    val stream = "stream = true" in line
    private val only = Regex("only = \\[(.*?)]").find(line)?.groupValues?.get(1)
    val ours = only == null || "\"kotlin\"" in only
    private val listed = Regex("args = \\[(.*?)]").find(line)?.groupValues?.get(1).orEmpty()
    private val arguments = listed.split(',').map { it.trim().trim('"') }.filter { it.isNotEmpty() }

    /** The arguments as Kotlin spells them: a Duration needs no unit in its name. */
    val names = arguments.map { camel(it.removeSuffix("?").removeSuffix("_ms")) }
    val optional = arguments.filter { it.endsWith("?") }.map { camel(it.removeSuffix("?").removeSuffix("_ms")) }
}

class SurfaceTest {
    private val lines = ROOT.resolve("tests/surface.toml").readLines()
    private val classes = mapOf(
        "Node" to Node::class,
        "TrustGraph" to TrustGraph::class,
        "ShardEngine" to ShardEngine::class,
        "Model" to Model::class,
        "Vpk" to Vpk::class,
        "VectorCollection" to VectorCollection::class,
        "HostConsole" to HostConsole::class,
        "HttpServer" to HttpServer::class,
        "Rag" to Rag::class,
        "SharedKnowledge" to SharedKnowledge::class,
        "Federation" to Federation::class,
        "Library" to KwaaiNet::class,
    )

    private fun section(name: String) =
        lines.dropWhile { it != "[$name]" }.drop(1).takeWhile { !it.startsWith("[") }.filter { " = " in it && it[0] != '#' }

    private fun members(kind: KClass<*>) =
        (kind.declaredMembers + kind.companionObject?.declaredMembers.orEmpty()).filter { it.visibility == KVisibility.PUBLIC }

    @TestFactory
    fun `each class has exactly the listed verbs`(): List<DynamicTest> = classes.map { (name, kind) ->
        DynamicTest.dynamicTest("$name has exactly the listed verbs") {
            val verbs = section("$name.verbs").map(::Verb).filter { it.ours }
            assertTrue(verbs.isNotEmpty())
            assertEquals(verbs.map { camel(it.name) }.sorted(), members(kind).map { it.name }.distinct().sorted())
            verbs.forEach { compare(kind, it) }
        }
    }

    private fun compare(kind: KClass<*>, verb: Verb) {
        val found = members(kind).filter { it.name == camel(verb.name) }
        if (verb.property) return assertTrue(found.single() is KProperty<*>, verb.name)
        val overloads = found.map { it as KFunction<*> }
        val own = kind.companionObject?.declaredMembers.orEmpty()
        assertEquals(verb.make, overloads.all { it in own }, "${verb.name} is made in the companion")
        val longest = overloads.maxBy { it.valueParameters.size }.valueParameters.map { it.name }
        assertEquals(verb.names, longest, verb.name)
        for (name in verb.names) {
            val optional = overloads.all { all -> all.valueParameters.filter { it.name == name }.all { it.isOptional } } ||
                overloads.any { all -> all.valueParameters.none { it.name == name } }
            assertEquals(name in verb.optional, optional, "${verb.name}, $name")
        }
        if (verb.stream) {
            assertTrue(overloads.all { (it.returnType.classifier as KClass<*>).isSubclassOf(EventFlow::class) }, verb.name)
        }
    }

    @Test
    fun `no class with verbs is missing from the list`() {
        val listed = lines.filter { Regex("\\[\\w+]").matches(it) }.map { it.trim('[', ']') } - "Stream"
        assertEquals(listed.sorted(), classes.keys.sorted())
        val handles = publicClasses().filter { it.isSubclassOf(Handle::class) && !it.java.isInterface }
        // What a node keeps for others ends with the node, and has no end of its own; so does what it searches.
        assertEquals(classes.keys - "Library" - "Vpk" - "SharedKnowledge" - "Federation", handles.map { it.simpleName }.toSet())
    }

    @Test
    fun `a stream has exactly the listed names`() {
        val spelled = section("Stream.spelled").first { it.startsWith("kotlin = ") }
        val names = Regex("\"(\\w+)\"").findAll(spelled.substringBefore("#")).map { it.groupValues[1] }.toList()
        assertEquals(names.sorted(), members(EventFlow::class).map { it.name }.sorted())
    }

    @Test
    fun `nothing of the generated interface is in the package`() {
        val names = publicClasses().flatMap { kind -> members(kind).map { "${kind.simpleName}.${it.name}: $it" } }
        assertTrue(names.isNotEmpty())
        assertEquals(emptyList(), names.filter { "ai.kwaai.kwaainet.internal" in it })
    }
}
