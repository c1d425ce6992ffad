package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.errorCodes
import kotlinx.coroutines.runBlocking
import kotlin.io.path.readText
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ErrorsTest {
    private val listed = Regex("\\[(\\w+)]\\nnumber = (\\d+)\\nretryable = (\\w+)")
        .findAll(ROOT.resolve("tests/errors.toml").readText())
        .map { Triple(it.groupValues[1], it.groupValues[2].toInt(), it.groupValues[3].toBoolean()) }.toList()

    @Test
    fun `the codes are those of the list and of the library`() {
        assertEquals(16, listed.size)
        assertEquals(listed, ErrorCode.entries.map { Triple(it.text, it.number, it.retryable) })
        assertEquals(listed, errorCodes().map { Triple(it.code, it.number, it.retryable) })
    }

    @Test
    fun `each code has a class of its own`() {
        val classes = KwaaiException::class.sealedSubclasses
        assertEquals(listed.map { camel(it.first).replaceFirstChar(Char::uppercase) }.toSet(), classes.map { it.simpleName }.toSet())
        for (code in ErrorCode.entries) {
            val error = KwaaiException.of(code, "text")
            assertEquals(code, error.code)
            assertEquals(camel(code.text).replaceFirstChar(Char::uppercase), error::class.simpleName)
        }
    }

    @Test
    fun `an error keeps its code, its details and its cause`() = runBlocking {
        for (code in ErrorCode.entries) {
            val error = assertFailsWith<KwaaiException> { Testing.raise(code.number.toLong()) }
            assertEquals(code, error.code)
            assertEquals(code.retryable, error.retryable)
            assertEquals("on demand", error.context["detail"])
            assertEquals("the cause beneath", error.cause?.message)
            assertTrue(error.message.contains("error on demand"))
        }
    }

    @Test
    fun `a panic is an error that names itself a defect`() = runBlocking {
        val error = assertFailsWith<KwaaiException.Internal> { Testing.panic() }
        assertTrue(error.message.contains("defect"))
    }
}
