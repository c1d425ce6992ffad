package ai.kwaai.kwaainet

import java.nio.ByteBuffer
import java.nio.ByteOrder
import ai.kwaai.kwaainet.internal.BlockCalibration as NativeBlockCalibration
import ai.kwaai.kwaainet.internal.BlockHost as NativeBlockHost
import ai.kwaai.kwaainet.internal.BlockSelection as NativeBlocks
import ai.kwaai.kwaainet.internal.ChatMessage as NativeChatMessage
import ai.kwaai.kwaainet.internal.Coverage as NativeCoverage
import ai.kwaai.kwaainet.internal.DownloadEvent as NativeDownloadEvent
import ai.kwaai.kwaainet.internal.DownloadedModel as NativeDownloadedModel
import ai.kwaai.kwaainet.internal.FinishReason as NativeFinishReason
import ai.kwaai.kwaainet.internal.GenerateEvent as NativeGenerateEvent
import ai.kwaai.kwaainet.internal.Hop as NativeHop
import ai.kwaai.kwaainet.internal.ModelBenchmark as NativeModelBenchmark
import ai.kwaai.kwaainet.internal.ModelInfo as NativeModelInfo
import ai.kwaai.kwaainet.internal.NativeMatrix
import ai.kwaai.kwaainet.internal.Offer as NativeOffer
import ai.kwaai.kwaainet.internal.Role as NativeRole
import ai.kwaai.kwaainet.internal.Span as NativeSpan
import ai.kwaai.kwaainet.internal.Usage as NativeUsage

/** From the first up to and without the last. */
public data class Span(val start: Long, val end: Long)

/** Which blocks of a model to load. */
public sealed interface Blocks {
    /** All of them: the model runs here. */
    public data object All : Blocks

    /** None: peers compute them. */
    public data object None : Blocks

    /** From the first up to and without the last. */
    public data class Range(val start: Int, val end: Int) : Blocks
}

/** Where a model runs. */
public enum class Route {
    /** Here. */
    LOCAL,

    /** Block by block on peers. */
    PEERS;

    public companion object {
        /** The route of a name such as `peers`. */
        public fun of(name: String): Route = named(entries, "route", name)
    }
}

/** What a model is. */
public data class ModelInfo(
    /** The same on every machine that has the same weights. */
    val id: String,
    /** The name of its directory, for people. */
    val name: String,
    val blocks: Int,
    /** The blocks that are held here. */
    val heldBlocks: Span?,
    /** The length of a hidden state. */
    val hiddenSize: Int,
    /** The number of token ids. */
    val vocabSize: Int,
    /** The longest context in tokens. */
    val maxContext: Int,
)

/** Blocks that this node serves, from the first up to and without the last. */
public data class Offer(
    /** The model's id. */
    val model: String,
    val startBlock: Int,
    val endBlock: Int,
)

/** A run of blocks that a peer offers. */
public data class BlockHost(
    val peer: String,
    val startBlock: Int,
    val endBlock: Int,
    /** Whether this node uses it. */
    val usable: Boolean,
    /** Why not. */
    val why: String?,
)

/** Which blocks of a model are up, and from whom. */
public data class Coverage(
    /** How many blocks the model has. */
    val blocks: Int,
    /** For each block, how many hosts that this node would use have it. */
    val counts: List<Int>,
    /** Every run of blocks that a host offers, in the order of hosts and blocks. */
    val hosts: List<BlockHost>,
)

/** How many blocks of a model this machine can serve, and how fast. */
public data class BlockCalibration(
    /** The model's id. */
    val model: String,
    /** How many blocks the model has. */
    val blocks: Int,
    /** What computes them: `candle` or `ggml`. */
    val backend: String,
    /** The processor by its maker's name, where the system says it. */
    val processor: String?,
    /** Cores that this process may run on. */
    val cores: Int,
    /** Bytes that blocks may take with what their sessions keep. */
    val memoryBytes: Long,
    /** Bytes that were left out of that; 0 where the memory was given. */
    val reserveBytes: Long,
    /** Bytes that the weights of the largest block take in memory. */
    val weightBytes: Long,
    /** Bytes that all sessions together keep for one block. */
    val cacheBytes: Long,
    /** How many blocks of this size fit, however many the model has. */
    val fitting: Long,
    /** How many to serve: those that fit, and no more than the model has. */
    val recommended: Int,
    /** Milliseconds that one block takes for the next token of a text. */
    val blockMs: Double,
    /** Tokens of prompts that one block reads in a second. */
    val blockPrefillTokensPerSecond: Double,
    /** Tokens in a second that the recommended blocks are expected to compute, one after the other in one text. */
    val decodeTokensPerSecond: Double,
    /** Tokens of prompts in a second that the recommended blocks are expected to read. */
    val prefillTokensPerSecond: Double,
)

/** How fast a model answers. */
public data class ModelBenchmark(
    /** Tokens of the prompt in a second. */
    val prefillTokensPerSecond: Double,
    /** Tokens of the answer in a second, in a single one. */
    val decodeTokensPerSecond: Double,
    /** Milliseconds until the first token. */
    val firstTokenMs: Double,
    /** Tokens in a second of all answers at the same time together. */
    val throughputTokensPerSecond: Double,
    /** How many answers these were. */
    val sessions: Int,
    /** Where the blocks were computed, in order, and how long one token took there. */
    val path: List<Hop>,
)

/** How a download gets on. */
public sealed interface DownloadEvent {
    /** First of all, unless nothing is missing: how many files there are to fetch, and bytes, where the hub says it of all of them. */
    public data class Found(val files: Long, val bytes: Long?) : DownloadEvent

    /** So many bytes are here, of so many where that is known; fewer than before where a file had to be begun anew. */
    public data class Progress(val bytes: Long, val total: Long?) : DownloadEvent

    /** Last of all: the folder of the model, or its GGUF file. */
    public data class Finished(val path: String) : DownloadEvent
}

/** What comes from a hub. It begins when it is collected; leaving it early stops it, and what came stays. */
public class Download internal constructor(open: suspend () -> Source<DownloadEvent>) :
    EventFlow<DownloadEvent>(null, open) {
    /** Collects to the end and returns where the model is. */
    public suspend fun done(): DownloadEvent.Finished {
        var last: DownloadEvent? = null
        collect { last = it }
        return checkNotNull(last as? DownloadEvent.Finished) { "a download ends with where the model is, or an error" }
    }
}

/** One revision of a model of a hub that is on this machine. */
public data class DownloadedModel(
    /** `owner/name`. */
    val id: String,
    /** The commit. */
    val revision: String,
    /** How long its files are together; of those in part what is there. */
    val bytes: Long,
    /** Whether all of it is here, and not only the bytes that some blocks needed. */
    val whole: Boolean,
    /** The folder of its files. */
    val path: String,
)

/** Who speaks in a conversation. */
public enum class Role {
    SYSTEM,
    USER,
    ASSISTANT;

    public companion object {
        /** The role of a name such as `user`. */
        public fun of(name: String): Role = named(entries, "role", name)
    }
}

/** One turn of a conversation. */
public data class ChatMessage(val role: Role, val content: String) {
    public companion object {
        /** A turn that sets the rules. */
        public fun system(content: String): ChatMessage = ChatMessage(Role.SYSTEM, content)

        /** A turn of the person. */
        public fun user(content: String): ChatMessage = ChatMessage(Role.USER, content)

        /** A turn of the model. */
        public fun assistant(content: String): ChatMessage = ChatMessage(Role.ASSISTANT, content)
    }
}

/** Tokens read and written. */
public data class Usage(
    val promptTokens: Int,
    val completionTokens: Int,
    /** Those of the prompt's tokens that were not read anew, for they were kept from an answer before. */
    val cachedTokens: Int = 0,
)

/** One station of a generation's path. */
public data class Hop(
    /** `null` is this process. */
    val peer: String?,
    val startBlock: Int,
    val endBlock: Int,
    /** Milliseconds from sending to having the answer, median over the tokens. */
    val ms: Double,
)

/** Why a generation ended. */
public enum class FinishReason {
    /** The model ended its turn, or a stop text came. */
    STOP,

    /** The limit on tokens, or the model's context, was reached. */
    LENGTH,
}

/** What a generation yields. */
public sealed interface GenerateEvent {
    /** A piece of text, always whole characters. */
    public data class Token(val text: String) : GenerateEvent

    /** The end of the generation. */
    public data class Done(val finishReason: FinishReason, val usage: Usage, val path: List<Hop>) : GenerateEvent
}

/** A generation, whole. */
public data class Completion(
    val text: String,
    val finishReason: FinishReason,
    val usage: Usage,
    /** Where the blocks were computed, in order. */
    val path: List<Hop>,
)

/** Tokens as they are made, then [GenerateEvent.Done]. It begins when it is collected. */
public class Generation internal constructor(open: suspend () -> Source<GenerateEvent>) :
    EventFlow<GenerateEvent>(null, open) {
    /** Collects to the end and returns the whole text. */
    public suspend fun done(): Completion {
        val text = StringBuilder()
        var end: GenerateEvent.Done? = null
        collect { event ->
            when (event) {
                is GenerateEvent.Token -> text.append(event.text)
                is GenerateEvent.Done -> end = event
            }
        }
        return checkNotNull(end) { "a generation ends with Done or an error" }.run {
            Completion(text.toString(), finishReason, usage, path)
        }
    }
}

/** Numbers in rows and columns: [values] holds the rows one after the other, each of [columns] numbers. */
public class Matrix(public val rows: Int, public val columns: Int, public val values: FloatArray) {
    /** The number in a row and a column, both from 0. */
    public operator fun get(row: Int, column: Int): Float = values[row * columns + column]

    /** A copy of one row. */
    public fun row(row: Int): FloatArray = values.copyOfRange(row * columns, (row + 1) * columns)

    public companion object {
        /** The matrix of these rows, which must be of one length. */
        public fun of(rows: List<FloatArray>): Matrix {
            val columns = rows.firstOrNull()?.size ?: 0
            val values = FloatArray(rows.size * columns)
            rows.forEachIndexed { at, row ->
                if (row.size != columns) {
                    throw KwaaiException.InvalidArgument("row $at has ${row.size} numbers, not $columns")
                }
                row.copyInto(values, at * columns)
            }
            return Matrix(rows.size, columns, values)
        }
    }
}

internal fun Matrix.native(): NativeMatrix {
    val bytes = ByteArray(Math.multiplyExact(values.size, Float.SIZE_BYTES))
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(values)
    return NativeMatrix(rows, columns, bytes)
}

internal fun NativeMatrix.read(): Matrix {
    val numbers = FloatArray(values.size / Float.SIZE_BYTES)
    ByteBuffer.wrap(values).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(numbers)
    return Matrix(rows, columns, numbers)
}

internal fun Blocks.native(): NativeBlocks = when (this) {
    Blocks.All -> NativeBlocks.All
    Blocks.None -> NativeBlocks.None
    is Blocks.Range -> NativeBlocks.Span(start.toLong(), end.toLong())
}

internal fun ChatMessage.native() = NativeChatMessage(
    when (role) {
        Role.SYSTEM -> NativeRole.SYSTEM
        Role.USER -> NativeRole.USER
        Role.ASSISTANT -> NativeRole.ASSISTANT
    },
    content.sound("message"),
)

internal fun NativeChatMessage.read() = ChatMessage(
    when (role) {
        NativeRole.SYSTEM -> Role.SYSTEM
        NativeRole.USER -> Role.USER
        NativeRole.ASSISTANT -> Role.ASSISTANT
    },
    content,
)

internal fun NativeSpan.read() = Span(start, end)

internal fun Span.native() = NativeSpan(start, end)

internal fun NativeModelInfo.read() = ModelInfo(
    id, name, blocks.toInt(), heldBlocks?.read(), hiddenSize.toInt(), vocabSize.toInt(), maxContext.toInt(),
)

internal fun NativeOffer.read() = Offer(model, startBlock.toInt(), endBlock.toInt())

internal fun NativeBlockHost.read() = BlockHost(peer, startBlock.toInt(), endBlock.toInt(), usable, why)

internal fun NativeCoverage.read() = Coverage(blocks.toInt(), counts.map { it.toInt() }, hosts.map { it.read() })

internal fun NativeBlockCalibration.read() = BlockCalibration(
    model, blocks.toInt(), backend, processor, cores.toInt(), memoryBytes.toLong(), reserveBytes.toLong(), weightBytes.toLong(),
    cacheBytes.toLong(), fitting.toLong(), recommended.toInt(), blockMs, blockPrefillTokensPerSecond, decodeTokensPerSecond,
    prefillTokensPerSecond,
)

internal fun NativeModelBenchmark.read() = ModelBenchmark(
    prefillTokensPerSecond, decodeTokensPerSecond, firstTokenMs, throughputTokensPerSecond, sessions.toInt(),
    path.map { it.read() },
)

internal fun NativeDownloadedModel.read() = DownloadedModel(id, revision, bytes.toLong(), whole, path)

internal fun NativeDownloadEvent.read(): DownloadEvent = when (this) {
    is NativeDownloadEvent.Found -> DownloadEvent.Found(files, bytes?.toLong())
    is NativeDownloadEvent.Progress -> DownloadEvent.Progress(bytes.toLong(), total?.toLong())
    is NativeDownloadEvent.Finished -> DownloadEvent.Finished(path)
}

internal fun NativeUsage.read() = Usage(promptTokens.toInt(), completionTokens.toInt(), cachedTokens.toInt())

internal fun NativeHop.read() = Hop(peer, startBlock.toInt(), endBlock.toInt(), ms)

internal fun NativeFinishReason.read() = when (this) {
    NativeFinishReason.STOP -> FinishReason.STOP
    NativeFinishReason.LENGTH -> FinishReason.LENGTH
}

internal fun NativeGenerateEvent.read(): GenerateEvent = when (this) {
    is NativeGenerateEvent.Token -> GenerateEvent.Token(text)
    is NativeGenerateEvent.Done -> GenerateEvent.Done(finishReason.read(), usage.read(), path.map { it.read() })
}
