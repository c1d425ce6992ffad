package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.ChatOptions
import ai.kwaai.kwaainet.internal.NativeModel
import ai.kwaai.kwaainet.internal.NativeShardEngine
import java.nio.file.Path

/** A loaded model. */
public class Model internal constructor(internal val native: NativeModel) : Handle {
    /** Its shape, and which blocks are held here. */
    public val info: ModelInfo = call { native.info().read() }

    /** The same on every machine that has the same weights. */
    public val id: String get() = info.id

    /** The name of its directory, for people. */
    public val name: String get() = info.name

    /** How many blocks it has. */
    public val blocks: Int get() = info.blocks

    /** Lets go of the weights. */
    override suspend fun shutdown(): Unit = call { native.shutdown() }
}

/** Loads models, serves their blocks, and generates. */
public class ShardEngine internal constructor(internal val native: NativeShardEngine) : Handle {
    /**
     * Loads a model from its directory, its GGUF file, or by its id from a hub: `Path.of("owner/name")`, with `@revision` or
     * `:Q4_K_M` behind. What exists on the disk is a path.
     */
    public suspend fun load(model: Path, blocks: Blocks = Blocks.All): Model =
        call { Model(made { native.load(model.toString().sound("model"), blocks.native(), it) }) }

    /**
     * Fetches from its hub what [load] needs for these blocks and is not here, and says how far it is, beginning when it is collected.
     * The hub is asked what the model is now, which [load] does only for one that is not here. A model that is a path is there already.
     */
    public fun download(model: Path, blocks: Blocks = Blocks.All): Download {
        val (named, chosen) = model.toString().sound("model") to blocks.native()
        return Download {
            val stream = call { made { native.download(named, chosen, it) } }
            Source(
                next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
                stop = { stream.cancel(); stream.destroy() },
            )
        }
    }

    /** The models of a hub that are on this machine, whole or in part. */
    public suspend fun downloaded(): List<DownloadedModel> = call { native.downloaded(null).map { it.read() } }

    /**
     * Takes a model of a hub from this machine, or with `owner/name@revision` a revision of it, and returns how many bytes that freed.
     * What is loaded stays loaded.
     */
    public suspend fun removeDownload(model: String): Long = call { native.removeDownload(model.sound("model"), null) }

    /** Loads the blocks from the first up to and without the last, and serves them to peers that are trusted enough. */
    public suspend fun serve(model: Path, startBlock: Int, endBlock: Int): Offer =
        call { native.serve(model.toString().sound("model"), startBlock.toLong(), endBlock.toLong(), null).read() }

    /** Stops serving the blocks of a model; what runs on them ends. */
    public suspend fun stopServing(modelId: String): Unit =
        call { native.stopServing(modelId.sound("modelId"), null) }

    /** What this node serves. */
    public suspend fun served(): List<Offer> = call { native.served(null).map { it.read() } }

    /** Which blocks of a model are up, from whom, and whom this node would not use. */
    public suspend fun coverage(model: Model): Coverage = call { native.coverage(model.native, null).read() }

    /**
     * How many blocks of a model this machine can serve, and how fast, measured on the first of them. [model] is that of [load].
     *
     * Blocks may take what is free on this machine, or what a limit on this process leaves, without a quarter of it and at most
     * 1 GiB; [memoryBytes] says otherwise. With them there is room for [sessions] at the same time, 4 unless set, of [tokens] each,
     * 4,096 unless set or the model's context is shorter.
     */
    public suspend fun calibrate(
        model: Path,
        memoryBytes: Long? = null,
        sessions: Int? = null,
        tokens: Int? = null,
    ): BlockCalibration = call {
        native.calibrate(model.toString().sound("model"), memoryBytes, sessions?.toLong(), tokens?.toLong(), null).read()
    }

    /**
     * How fast a model answers, on the path that an answer would take now.
     *
     * It reads [promptTokens], 128 unless set, and writes [warmUp] tokens that do not count, 5 unless set, and [steps] that do, 20
     * unless set; then [sessions] answers at the same time, 1 unless set and 64 at most. [seed] decides the prompt.
     */
    public suspend fun benchmark(
        model: Model,
        promptTokens: Int? = null,
        warmUp: Int? = null,
        steps: Int? = null,
        sessions: Int? = null,
        seed: Long? = null,
        route: Route? = null,
    ): ModelBenchmark = call {
        native.benchmark(
            model.native, promptTokens?.toLong(), warmUp?.toLong(), steps?.toLong(), sessions?.toLong(), seed, route?.wire(), null,
        ).read()
    }

    /**
     * Continues a conversation, beginning when it is collected.
     *
     * What is left out has the library's default: 256 tokens, and temperature 0, which takes the likeliest token each time.
     * Without a route the model runs here when all its blocks are here, and over peers otherwise.
     */
    public fun chat(
        model: Model,
        messages: List<ChatMessage>,
        maxTokens: Int? = null,
        temperature: Double? = null,
        topP: Double? = null,
        topK: Int? = null,
        seed: Long? = null,
        stop: List<String> = emptyList(),
        route: Route? = null,
    ): Generation {
        val turns = messages.map { it.native() }
        val ends = stop.map { it.sound("stop") }
        val options =
            ChatOptions(turns, maxTokens?.toLong(), temperature, topP, topK?.toLong(), seed, ends, route?.wire())
        return Generation {
            val stream = call { made { native.chat(model.native, options, it) } }
            Source(
                next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
                stop = { stream.cancel(); stream.destroy() },
            )
        }
    }

    /** [chat] with a single question. */
    public fun chat(
        model: Model,
        messages: String,
        maxTokens: Int? = null,
        temperature: Double? = null,
        topP: Double? = null,
        topK: Int? = null,
        seed: Long? = null,
        stop: List<String> = emptyList(),
        route: Route? = null,
    ): Generation =
        chat(model, listOf(ChatMessage.user(messages)), maxTokens, temperature, topP, topK, seed, stop, route)

    /** The logits of every token of a text: a row for each token, as long as the vocabulary. The numbers are copied twice. */
    public suspend fun logits(model: Model, tokens: IntArray, route: Route? = null): Matrix =
        call { native.logits(model.native, tokens.map { it.toLong() }, route?.wire(), null).read() }

    /**
     * A unit vector for each text. [model] is the folder or the hub id of an embedding model; all-MiniLM-L6-v2 as it was
     * fetched unless set. The last one stays loaded. [query] says that the texts are questions, before which some models want
     * something else than before what is to be found.
     */
    public suspend fun embed(texts: List<String>, model: String? = null, query: Boolean = false): Matrix =
        call { native.embed(texts.map { it.sound("text") }, model?.sound("model"), query, null).read() }

    /** Lets go of the engine. That of a node stays open with the node. */
    override suspend fun shutdown(): Unit = call { native.shutdown() }

    public companion object {
        /** Opens an engine without a network: models run whole, here. */
        public suspend fun open(): ShardEngine = call { ShardEngine(made { NativeShardEngine.open(it) }) }
    }
}
