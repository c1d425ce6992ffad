package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.EmbedderCode
import ai.kwaai.kwaainet.internal.ModelCode
import ai.kwaai.kwaainet.internal.NativeEmbedder
import ai.kwaai.kwaainet.internal.NativeFinish
import ai.kwaai.kwaainet.internal.NativePart
import ai.kwaai.kwaainet.internal.NativePieces
import ai.kwaai.kwaainet.internal.NativeReader
import ai.kwaai.kwaainet.internal.NativeSigner
import ai.kwaai.kwaainet.internal.NativeWriter
import ai.kwaai.kwaainet.internal.ReaderCode
import ai.kwaai.kwaainet.internal.SignerCode
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.takeWhile
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.time.Duration
import ai.kwaai.kwaainet.internal.FinishReason as NativeFinishReason
import ai.kwaai.kwaainet.internal.GenerateRequest as NativeGenerateRequest

// Code of the app runs on Dispatchers.Default. It is cancelled when nobody waits for its answer any more: the call was
// cancelled, or took longer than `deadline`, two minutes unless set. Every exception becomes an error of the call: a
// KwaaiException keeps its code, anything else is `internal` and names the kind of the exception and its text.

/** Where the vectors of a knowledge base come from. */
public sealed interface EmbedderSource

/** No vectors: passages are found by their words alone. */
public data object WordsOnly : EmbedderSource

/** The folder of an embedding model, or the id of one such as `sentence-transformers/all-MiniLM-L6-v2`, which is fetched once. */
public data class BertModel(val name: String) : EmbedderSource

/** How an endpoint that embeds speaks. */
public enum class EmbeddingApi {
    /** As OpenAI does, and many others. */
    OPENAI,

    /** As Ollama does by itself. */
    OLLAMA;

    public companion object {
        /** The API of a name such as `ollama`. */
        public fun of(name: String): EmbeddingApi = named(entries, "api", name)
    }
}

/**
 * An embedding model behind an OpenAI-compatible endpoint, such as `https://api.openai.com/v1`, or an Ollama server. Texts leave this
 * machine, unless the endpoint is on it.
 *
 * The [dimension] of its vectors is asked for unless set. The prompts are put before what is looked for and what is found: those that
 * models of its name want unless set.
 */
public class EmbeddingEndpoint(
    public val baseUrl: String,
    public val model: String,
    public val apiKey: String? = null,
    public val api: EmbeddingApi = EmbeddingApi.OPENAI,
    public val dimension: Int? = null,
    public val queryPrompt: String? = null,
    public val documentPrompt: String? = null,
) : EmbedderSource {
    override fun toString(): String = "EmbeddingEndpoint(baseUrl=$baseUrl, model=$model, api=$api)"
}

/** An embedder of the app. */
public interface Embedder : EmbedderSource {
    /** Changes whenever the vectors would; a knowledge base refuses to be opened with another one. */
    public val id: String

    /** The length of every vector. */
    public val dimension: Int

    /** How long one call may take. */
    public val deadline: Duration? get() = null

    /** A vector of [dimension] numbers for each text. [query] is true for what is looked for, false for what is found. */
    public suspend fun embed(texts: List<String>, query: Boolean): List<FloatArray>
}

/** What writes the answers of a knowledge base. */
public sealed interface AnswerWriter

/** A language model behind an OpenAI-compatible endpoint, such as `http://localhost:11434/v1`. */
public class Endpoint(public val baseUrl: String, public val model: String, public val apiKey: String? = null) :
    AnswerWriter {
    override fun toString(): String = "Endpoint(baseUrl=$baseUrl, model=$model)"
}

/** A model of a [ShardEngine]. */
public class ModelWriter(public val engine: ShardEngine, public val model: Model, public val route: Route? = null) :
    AnswerWriter

/** A language model of the app. */
public interface LanguageModel : AnswerWriter {
    /** A name for people. */
    public val name: String

    /** How long the next piece may take. */
    public val deadline: Duration? get() = null

    /** The next turn of a conversation, piece by piece. */
    public fun generate(request: GenerateRequest): Flow<String>
}

/** What to generate, and how. */
public data class GenerateRequest(
    val messages: List<ChatMessage>,
    val maxTokens: Int,
    /** 0 takes the likeliest token each time. */
    val temperature: Float,
    /** Samples among the likeliest tokens that together have this probability. */
    val topP: Float,
    /** Samples among this many likeliest tokens; 0 is all of them. */
    val topK: Int,
    val seed: Long,
    /** The text ends before the first of these. */
    val stop: List<String>,
)

/** A part of a document: what a citation calls it, where it has a name, and its text. */
public data class DocumentPart(val label: String?, val text: String)

/** A document reader of the app, for files with these [extensions], written without the dot. */
public interface DocumentReader {
    public val extensions: List<String>

    /** How long one document may take. */
    public val deadline: Duration? get() = null

    /** The parts of a file. */
    public suspend fun read(name: String, bytes: ByteArray): List<DocumentPart>
}

/** A signer of the app, for a key that the library never sees. */
public interface Signer {
    /** The DID of an Ed25519 key. */
    public val did: String

    /** How long one signature may take. */
    public val deadline: Duration? get() = null

    /** The Ed25519 signature (RFC 8032) of exactly these bytes: 64 bytes. */
    public suspend fun sign(message: ByteArray): ByteArray
}

internal fun Embedder.native(): NativeEmbedder {
    val code = object : EmbedderCode {
        override suspend fun embed(texts: List<String>, query: Boolean): ByteArray = answering {
            val vectors = this@native.embed(texts, query)
            val buffer = ByteBuffer.allocate(vectors.sumOf { it.size } * Float.SIZE_BYTES)
            buffer.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().run { vectors.forEach { put(it) } }
            buffer.array()
        }
    }
    return NativeEmbedder(id.sound("id"), dimension.toLong(), deadline?.millis("deadline"), code)
}

internal fun LanguageModel.native(): NativeWriter {
    val code = object : ModelCode {
        override suspend fun generate(request: NativeGenerateRequest, pieces: NativePieces): NativeFinish = answering {
            this@native.generate(request.read()).takeWhile { pieces.write(it.sound("answer")) }.collect {}
            NativeFinish(NativeFinishReason.STOP, null)
        }
    }
    return NativeWriter(name.sound("name"), deadline?.millis("deadline"), code)
}

internal fun DocumentReader.native(): NativeReader {
    val code = object : ReaderCode {
        override suspend fun read(name: String, bytes: ByteArray): List<NativePart> = answering {
            this@native.read(name, bytes).map { NativePart(it.label?.sound("label"), it.text.sound("text")) }
        }
    }
    return NativeReader(extensions.map { it.sound("extension") }, deadline?.millis("deadline"), code)
}

internal fun Signer.native(): NativeSigner {
    val code = object : SignerCode {
        override suspend fun sign(message: ByteArray): ByteArray = answering { this@native.sign(message) }
    }
    return NativeSigner(did.sound("did"), deadline?.millis("deadline"), code)
}

/** Runs code of the app; whatever it throws, the library gets an answer. */
private suspend fun <T> answering(block: suspend () -> T): T = try {
    block()
} catch (error: Throwable) {
    // Once the library has cancelled this coroutine, nobody takes an answer.
    if (error is CancellationException) currentCoroutineContext().ensureActive()
    throw error.native()
}

private fun NativeGenerateRequest.read() = GenerateRequest(
    messages.map { it.read() },
    maxTokens.toInt(),
    temperature,
    topP,
    topK.toInt(),
    seed.toLong(),
    stop,
)
