package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.CacheLimits
import ai.kwaai.kwaainet.internal.ChunkingSizes
import ai.kwaai.kwaainet.internal.EmbedderChoice
import ai.kwaai.kwaainet.internal.EmbeddingEndpointOptions
import ai.kwaai.kwaainet.internal.EndpointOptions
import ai.kwaai.kwaainet.internal.EvaluateOptions
import ai.kwaai.kwaainet.internal.FindOptions
import ai.kwaai.kwaainet.internal.FolderOptions
import ai.kwaai.kwaainet.internal.NativeCancel
import ai.kwaai.kwaainet.internal.NativeIngestion
import ai.kwaai.kwaainet.internal.NativeRag
import ai.kwaai.kwaainet.internal.NativeWriter
import ai.kwaai.kwaainet.internal.QuestionOptions
import ai.kwaai.kwaainet.internal.RagOptions
import ai.kwaai.kwaainet.internal.SearchOptions
import java.nio.file.Path
import java.time.Instant
import kotlin.time.Duration

/** Where passages may end. */
public enum class Strategy {
    /** After whole sentences, as many as fit. */
    SENTENCE,

    /** After whole paragraphs where they fit. */
    PARAGRAPH,

    /** After windows of one size. */
    FIXED,

    /** After what stands under a heading where it fits, else after whole paragraphs of it. */
    HEADING;

    public companion object {
        /** The strategy of a name such as `paragraph`. */
        public fun of(name: String): Strategy = named(entries, "strategy", name)
    }
}

/** How documents are cut. Sizes count characters; what is left out has the library's default. */
public data class Chunking(
    val strategy: Strategy? = null,
    /** The longest passage. */
    val size: Int? = null,
    /** How much of a passage is repeated at the start of the next. */
    val overlap: Int? = null,
    /** A shorter rest is joined to the passage before it. */
    val min: Int? = null,
)

/** The language whose word forms are brought together. */
public enum class Language {
    ENGLISH, ARABIC, DANISH, DUTCH, FINNISH, FRENCH, GERMAN, GREEK, HUNGARIAN, ITALIAN, NORWEGIAN, PORTUGUESE, ROMANIAN,
    RUSSIAN, SPANISH, SWEDISH, TAMIL, TURKISH;

    public companion object {
        /** The language of a name such as `german`. */
        public fun of(name: String): Language = named(entries, "language", name)
    }
}

/** How [Rag.evaluate] looks for passages. What is left out has the default of [Rag.search]. */
public data class Searching(
    val mode: Mode = Mode.HYBRID,
    val links: Boolean = false,
    val documents: List<String> = emptyList(),
    val since: Instant? = null,
    val before: Instant? = null,
    val diversity: Double = 0.0,
    val denseWeight: Double? = null,
    val formats: List<String> = emptyList(),
    val names: List<String> = emptyList(),
    val metadata: Map<String, String> = emptyMap(),
    val neighbours: Int = 0,
    val wordings: Int = 0,
    val hypothesis: Double = 0.0,
    val rerank: Int = 0,
)

/** How [Rag.evaluate] asks. What is left out has the default of [Rag.ask]. */
public data class Questioning(
    val k: Int? = null,
    val mode: Mode = Mode.HYBRID,
    val minSupport: Double? = null,
    val maxTokens: Int? = null,
    val links: Boolean = true,
    val documents: List<String> = emptyList(),
    val maxUnsupported: Double? = null,
    val maxContextTokens: Int? = null,
    val history: List<ChatMessage> = emptyList(),
    val since: Instant? = null,
    val before: Instant? = null,
    val formats: List<String> = emptyList(),
    val names: List<String> = emptyList(),
    val metadata: Map<String, String> = emptyMap(),
    val neighbours: Int = 0,
    val wordings: Int = 0,
    val hypothesis: Double = 0.0,
    val rerank: Int = 0,
)

/** The progress of an ingestion, which begins when it is collected. Ending it early stops between documents. */
public class Ingestion internal constructor(open: suspend () -> Source<IngestEvent>) :
    EventFlow<IngestEvent>(null, open) {
    /** Collects to the end and returns the totals. */
    public suspend fun done(): IngestEvent.Finished {
        var last: IngestEvent? = null
        collect { last = it }
        return checkNotNull(last as? IngestEvent.Finished) { "an ingestion ends with its totals or an error" }
    }
}

/** How a folder is kept alike, which begins when it is collected. Ending it early ends a watch; what was reported done stays. */
public class Syncing internal constructor(open: suspend () -> Source<SyncEvent>) : EventFlow<SyncEvent>(null, open) {
    /** Collects to the end of the pass and returns its totals, without a watch. */
    public suspend fun done(): SyncEvent.Finished {
        var last: SyncEvent? = null
        collect { last = it }
        return checkNotNull(last as? SyncEvent.Finished) { "a pass ends with its totals or an error" }
    }
}

/**
 * How a change of the embedder gets on, which begins when it is collected. Ending it early stops the work; what was embedded is kept
 * for the next time.
 */
public class Reembedding internal constructor(open: suspend () -> Source<ReembedEvent>) :
    EventFlow<ReembedEvent>(null, open) {
    /** Collects to the end and returns the totals. */
    public suspend fun done(): ReembedEvent.Finished {
        var last: ReembedEvent? = null
        collect { last = it }
        return checkNotNull(last as? ReembedEvent.Finished) { "a change of the embedder ends with its totals or an error" }
    }
}

/**
 * How vectors get to a collection, which begins when it is collected. Ending it early stops the work; what the collection has is kept for
 * the next time.
 */
public class Outsourcing internal constructor(open: suspend () -> Source<OutsourceEvent>) :
    EventFlow<OutsourceEvent>(null, open) {
    /** Collects to the end and returns the totals. */
    public suspend fun done(): OutsourceEvent.Finished {
        var last: OutsourceEvent? = null
        collect { last = it }
        return checkNotNull(last as? OutsourceEvent.Finished) { "vectors get to a collection with their totals or an error" }
    }
}

/** An answer as it is written, which begins when it is collected. */
public class Asking internal constructor(open: suspend () -> Source<AskEvent>) : EventFlow<AskEvent>(null, open) {
    /** Collects to the end and returns the whole answer. */
    public suspend fun done(): Answer {
        var last: AskEvent? = null
        collect { last = it }
        return checkNotNull(last as? AskEvent.Done) { "an answer ends with its sources or an error" }.answer
    }
}

/** A private knowledge base. Nothing leaves the machine, unless the model it was given does so. */
public class Rag internal constructor(internal val native: NativeRag) : Handle {
    /**
     * Reads a file, or every file of a folder, beginning when it is collected. A document replaces the one of its name.
     *
     * [metadata] is what the app says about each document, at most 32 short keys with texts: it replaces what was said before, also
     * where the file is the same, and without it what was said before stays.
     */
    public fun ingest(source: Path, metadata: Map<String, String>? = null): Ingestion {
        val (path, said) = source.toString().sound("source") to metadata?.sound("metadata")
        return ingestion { native.ingestPath(path, said, it) }
    }

    /** Reads a document from memory, whose [name] tells its format. The bytes are copied when it is collected. */
    public fun ingest(source: ByteArray, name: String, metadata: Map<String, String>? = null): Ingestion {
        val (text, said) = name.sound("name") to metadata?.sound("metadata")
        return ingestion { native.ingestBytes(text, source, said, it) }
    }

    private fun ingestion(open: suspend (NativeCancel) -> NativeIngestion) = Ingestion {
        val stream = call { made(open) }
        Source(
            next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
            stop = { stream.cancel(); stream.destroy() },
        )
    }

    /**
     * Keeps the documents of a folder as its files are: adds new ones, replaces changed ones, renames moved ones; it begins when it is
     * collected.
     *
     * Files are compared by the hash of their contents, and only documents that came from this folder are touched. With [delete] a
     * document is deleted when its file is gone; otherwise it stays and is reported missing. With [watch] it goes on until its
     * collection ends: the folder is looked through when the file system reports a change, unless [polling], and at every
     * [interval], a minute unless set. [extensions] are those that are looked at; all that can be read unless set.
     */
    public fun sync(
        folder: Path,
        watch: Boolean = false,
        interval: Duration? = null,
        polling: Boolean = false,
        extensions: List<String> = emptyList(),
        delete: Boolean = false,
    ): Syncing {
        val path = folder.toString().sound("folder")
        val names = extensions.map { it.sound("extensions") }
        val options = FolderOptions(watch, interval?.millis("interval"), polling, names, delete)
        return Syncing {
            val stream = call { made { native.sync(path, options, it) } }
            Source(
                next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
                stop = { stream.cancel(); stream.destroy() },
            )
        }
    }

    /**
     * Gives the knowledge base another embedder, or its first; it begins when it is collected.
     *
     * Every passage is embedded again while the vectors of before go on to answer, then one commit exchanges them. Documents may come
     * and go meanwhile. What was embedded is kept: after a crash, an error or a cancellation the same call goes on from there.
     */
    public fun reembed(embedder: EmbedderSource): Reembedding {
        val choice = EmbedderChoice(embedder.name(), (embedder as? EmbeddingEndpoint)?.native(), (embedder as? Embedder)?.native())
        return Reembedding {
            val stream = call { made { native.reembed(choice, it) } }
            Source(
                next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
                stop = { stream.cancel(); stream.destroy() },
            )
        }
    }

    /**
     * Brings the vectors to a collection at other people's nodes; it begins when it is collected.
     *
     * Those at home go on to answer until its hosts have all of them; then the collection answers, and those at home are deleted and
     * overwritten. Texts, words and answers stay. Documents may come and go meanwhile and afterwards. After a crash, an error or a
     * cancellation the same call goes on from there. A knowledge base that is opened later searches by words alone until it is called
     * with the same collection. The way home is [reembed].
     *
     * With [texts] the texts go as well, as payloads that are sealed before they leave, for whoever has the key of the collection: JSON
     * with `document_id`, `document`, `heading` and `text`. Not under `plain`.
     */
    public fun outsource(collection: VectorCollection, texts: Boolean = false): Outsourcing = Outsourcing {
        val stream = call { made { native.outsource(collection.native, texts, it) } }
        Source(
            next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
            stop = { stream.cancel(); stream.destroy() },
        )
    }

    /**
     * The [k] passages that fit a text best.
     *
     * With [links] documents gain that the text, or a passage found, calls by their names, which finds what answers a question in two
     * steps. It looks in [documents], by their ids, all unless set, and in what was ingested from [since] on and before [before].
     * [diversity], from 0 to 1, is how much hits are to differ from one another, and [denseWeight], from 0 to 1, how much meaning counts
     * against words in a hybrid search: what the knowledge base found out from its own passages unless set.
     *
     * [formats], such as `pdf`, patterns of [names], such as `reports/` and `**` and `.pdf`, and [metadata] narrow the documents down. So
     * many [neighbours] before and after each hit are told with it, 8 at most, and with [timed] how long each stage took. A language
     * model looks for so many other [wordings] as well, 8 at most, makes up a passage that counts as much as [hypothesis] says, 0 to 1,
     * and puts the first [rerank] hits in order, 100 at most; without one that throws [KwaaiException.Unsupported].
     */
    public suspend fun search(
        text: String,
        k: Int = 8,
        mode: Mode = Mode.HYBRID,
        links: Boolean = false,
        documents: List<String> = emptyList(),
        since: Instant? = null,
        before: Instant? = null,
        diversity: Double = 0.0,
        denseWeight: Double? = null,
        formats: List<String> = emptyList(),
        names: List<String> = emptyList(),
        metadata: Map<String, String> = emptyMap(),
        neighbours: Int = 0,
        timed: Boolean = false,
        wordings: Int = 0,
        hypothesis: Double = 0.0,
        rerank: Int = 0,
    ): SearchResult = call {
        val find = findOptions(documents, since, before, formats, names, metadata, neighbours, wordings, hypothesis, rerank)
        val options = SearchOptions(mode.native(), links, find, diversity, denseWeight, timed)
        native.search(text.sound("text"), k.toLong(), options, null).read()
    }

    /**
     * Answers a question from the documents, with citations, or refuses; it begins when it is collected.
     *
     * [minSupport], from 0 to 1, is the least support by the documents that is answered: higher refuses more. [maxUnsupported] takes
     * its place: the share, from 0 to 1, of questions without an answer in the documents that may get one all the same; it needs
     * [calibrate], without which the answer ends with [KwaaiException.Conflict]. [links], [documents], [since], [before], [formats],
     * [names], [metadata], [wordings], [hypothesis] and [rerank] are those of [search]. So many [neighbours] before and after each
     * passage are given to a language model with it.
     * [maxContextTokens] is how much a language model is given to read, and [history] the turns before the question, the earliest
     * first: a question that says too little by itself is looked for together with the one before. What is left out has the library's
     * default: 8 passages, half support, 400 tokens, 3000 to read.
     */
    public fun ask(
        question: String,
        k: Int? = null,
        mode: Mode = Mode.HYBRID,
        minSupport: Double? = null,
        maxTokens: Int? = null,
        links: Boolean = true,
        documents: List<String> = emptyList(),
        maxUnsupported: Double? = null,
        maxContextTokens: Int? = null,
        history: List<ChatMessage> = emptyList(),
        since: Instant? = null,
        before: Instant? = null,
        formats: List<String> = emptyList(),
        names: List<String> = emptyList(),
        metadata: Map<String, String> = emptyMap(),
        neighbours: Int = 0,
        wordings: Int = 0,
        hypothesis: Double = 0.0,
        rerank: Int = 0,
    ): Asking {
        val text = question.sound("question")
        val find = findOptions(documents, since, before, formats, names, metadata, neighbours, wordings, hypothesis, rerank)
        val options = QuestionOptions(
            k?.toLong(), mode.native(), minSupport, maxTokens?.toLong(), links, find, maxUnsupported, maxContextTokens?.toLong(),
            history.map { it.native() },
        )
        return Asking {
            val stream = call { made { native.ask(text, options, it) } }
            Source(
                next = { call { stream.nextBatch(BATCH, null) }?.run { Batch(values.map { it.read() }, missed) } },
                stop = { stream.cancel(); stream.destroy() },
            )
        }
    }

    /**
     * Learns from questions when to refuse, so that [ask] can be given a share of unsupported answers: how well the documents support
     * answers to questions that they answer, to the same ones with those documents out of sight, and to such as nothing answers.
     *
     * Without [questions] some are made of sentences of the documents. The options are those that questions are asked with later; each
     * mode has a calibration of its own.
     */
    public suspend fun calibrate(
        questions: List<CalibrationQuestion> = emptyList(),
        k: Int? = null,
        mode: Mode = Mode.HYBRID,
        links: Boolean = true,
        documents: List<String> = emptyList(),
    ): Calibration = call {
        val find = findOptions(documents)
        val options = QuestionOptions(k?.toLong(), mode.native(), null, null, links, find, null, null, emptyList())
        native.calibrate(questions.map { it.native() }, options, null).read()
    }

    /**
     * Asks questions whose answers are known, and scores what comes back. Without [ask] only what is found is judged. [name] is what the
     * report calls it, and [judge] a model that compares answers with the expected ones. A question that fails counts as wrong.
     */
    public suspend fun evaluate(
        questions: List<EvaluationQuestion>,
        name: String = "",
        search: Searching = Searching(),
        ask: Questioning? = null,
        judge: AnswerWriter? = null,
    ): Evaluation = call {
        val options = EvaluateOptions(
            name.sound("name"), search.native(), ask?.native(), (judge as? Endpoint)?.native(), judge?.writer(),
        )
        native.evaluate(questions.map { it.native() }, options, null).read()
    }

    /** What became of the answers that are kept; nothing without a cache. */
    public suspend fun cacheStats(): CacheStats = call { native.cacheStats(null).read() }

    /** Forgets the answers that are kept. */
    public suspend fun cacheClear(): Unit = call { native.cacheClear(null) }

    /** Every document, in the order of the names. */
    public suspend fun documents(): List<DocumentInfo> = call { native.documents(null).map { it.read() } }

    /** The text of a document. Spans count its bytes in UTF-8. */
    public suspend fun documentText(id: String): String = call { native.documentText(id.sound("id"), null) }

    /** Removes a document and every trace of it. */
    public suspend fun deleteDocument(id: String): Unit = call { native.deleteDocument(id.sound("id"), null) }

    /** What it holds and how it searches. */
    public suspend fun stats(): Stats = call { native.stats(null).read() }

    /** Its id, of its own and made when it was: 32 hexadecimal digits. */
    public suspend fun id(): String = call { native.id(null) }

    /** Lets a capability of [Node.shareKnowledge] count no more. Revoking it again does nothing. */
    public suspend fun revokeShare(capabilityId: String): Unit =
        call { native.revokeShare(capabilityId.sound("capabilityId"), null) }

    /**
     * Serves a page for people, and a model for programs that speak OpenAI's HTTP API, which requests call by [name],
     * `kwaainet-knowledge` unless set.
     *
     * It listens on 127.0.0.1 and port 9090 unless set, and on any free [port] with 0. On a [host] that is not loopback it needs a
     * [token], which every request then carries as its bearer token. [maxRequests] are answered at the same time, 8 unless set;
     * [maxBodyBytes] are read of each, 4 MiB unless set, and [maxUploadBytes] of a document, 64 MiB unless set. It ends with what is
     * returned, and with the knowledge base. Throws [KwaaiException.Busy] when the port is taken.
     */
    public suspend fun serve(
        name: String? = null,
        host: String? = null,
        port: Int? = null,
        token: String? = null,
        maxRequests: Int? = null,
        maxBodyBytes: Long? = null,
        maxUploadBytes: Long? = null,
    ): HttpServer = call {
        val options = serverOptions(
            emptyMap(), emptyMap(), emptyMap(), host, port, token, maxRequests, maxBodyBytes, maxUploadBytes,
        )
        HttpServer(made { native.serve(name?.sound("name"), options, it) })
    }

    /** Stops what is under way and unlocks the directory. */
    override suspend fun shutdown(): Unit = call { native.shutdown(null) }

    /** Shuts down and deletes everything that was stored. */
    public suspend fun destroy(): Unit = call { native.destroy(null) }

    public companion object {
        /**
         * Opens a knowledge base alone, without a node, in a directory that is made when it is missing.
         *
         * Without an [embedder], all-MiniLM-L6-v2 is taken when it has been fetched. [model] writes the answers; without one
         * they are made of the best sentences. [readers] read formats that the library does not. With a [cache] answers are given
         * again to the same question while nothing changes.
         */
        public suspend fun open(
            dir: Path,
            embedder: EmbedderSource? = null,
            model: AnswerWriter? = null,
            chunking: Chunking? = null,
            language: Language? = null,
            readers: List<DocumentReader> = emptyList(),
            cache: AnswerCache? = null,
        ): Rag = call {
            val options = ragOptions(embedder, model, chunking, language, readers, cache)
            Rag(made { NativeRag.open(dir.toString().sound("dir"), options, it) })
        }
    }
}

internal fun ragOptions(
    embedder: EmbedderSource?,
    model: AnswerWriter?,
    chunking: Chunking?,
    language: Language?,
    readers: List<DocumentReader>,
    cache: AnswerCache?,
    dataDir: Path? = null,
) = RagOptions(
    embedder = embedder?.name(),
    embeddingEndpoint = (embedder as? EmbeddingEndpoint)?.native(),
    ownEmbedder = (embedder as? Embedder)?.native(),
    endpoint = (model as? Endpoint)?.native(),
    writer = model?.writer(),
    chunking = chunking?.run { ChunkingSizes(strategy?.wire(), size?.toLong(), overlap?.toLong(), min?.toLong()) },
    language = language?.wire(),
    readers = readers.map { it.native() },
    cache = cache?.run { CacheLimits(answers.toLong(), ttl.millis("cache.ttl"), similarity) },
    dataDir = dataDir?.toString()?.sound("dataDir"),
)

private fun EmbedderSource.name() = when (this) {
    WordsOnly -> "none"
    is BertModel -> name.sound("embedder")
    is Embedder, is EmbeddingEndpoint -> null
}

private fun EmbeddingEndpoint.native() = EmbeddingEndpointOptions(
    baseUrl.sound("baseUrl"), model.sound("model"), apiKey?.sound("apiKey"), api.wire(), dimension?.toLong(),
    queryPrompt?.sound("queryPrompt"), documentPrompt?.sound("documentPrompt"),
)

internal fun findOptions(
    documents: List<String>,
    since: Instant? = null,
    before: Instant? = null,
    formats: List<String> = emptyList(),
    names: List<String> = emptyList(),
    metadata: Map<String, String> = emptyMap(),
    neighbours: Int = 0,
    wordings: Int = 0,
    hypothesis: Double = 0.0,
    rerank: Int = 0,
) = FindOptions(
    documents.map { it.sound("documents") }, since?.millis("since"), before?.millis("before"), formats.map { it.sound("formats") },
    names.map { it.sound("names") }, metadata.sound("metadata"), neighbours.toLong(), wordings.toLong(), hypothesis, rerank.toLong(),
)

internal fun Searching.native() = SearchOptions(
    mode.native(), links,
    findOptions(documents, since, before, formats, names, metadata, neighbours, wordings, hypothesis, rerank), diversity, denseWeight,
    false,
)

internal fun Questioning.native() = QuestionOptions(
    k?.toLong(), mode.native(), minSupport, maxTokens?.toLong(), links,
    findOptions(documents, since, before, formats, names, metadata, neighbours, wordings, hypothesis, rerank), maxUnsupported,
    maxContextTokens?.toLong(), history.map { it.native() },
)

private fun Map<String, String>.sound(name: String) = entries.associate { it.key.sound(name) to it.value.sound(name) }

internal fun Endpoint.native() = EndpointOptions(baseUrl.sound("baseUrl"), model.sound("model"), apiKey?.sound("apiKey"))

/** The model itself; `null` for one behind an endpoint. */
internal fun AnswerWriter.writer(): NativeWriter? = when (this) {
    is LanguageModel -> native()
    is ModelWriter -> engine.native.writer(model.native, route?.wire())
    is Endpoint -> null
}
