package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.ChunkingSizes
import ai.kwaai.kwaainet.internal.EndpointOptions
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
    /** Reads a file, or every file of a folder, beginning when it is collected. A document replaces the one of its name. */
    public fun ingest(source: Path): Ingestion {
        val path = source.toString().sound("source")
        return ingestion { native.ingestPath(path, it) }
    }

    /** Reads a document from memory, whose [name] tells its format. The bytes are copied when it is collected. */
    public fun ingest(source: ByteArray, name: String): Ingestion {
        val text = name.sound("name")
        return ingestion { native.ingestBytes(text, source, it) }
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
     * The [k] passages that fit a text best.
     *
     * With [links] documents gain that the text, or a passage found, calls by their names, which finds what answers a question in two
     * steps. It looks in [documents], by their ids, all unless set, and in what was ingested from [since] on and before [before].
     * [diversity], from 0 to 1, is how much hits are to differ from one another, and [denseWeight], from 0 to 1, how much meaning counts
     * against words in a hybrid search: what the knowledge base found out from its own passages unless set.
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
    ): SearchResult = call {
        val options = SearchOptions(
            mode.native(), links, documents.map { it.sound("documents") }, since?.millis("since"), before?.millis("before"),
            diversity, denseWeight,
        )
        native.search(text.sound("text"), k.toLong(), options, null).read()
    }

    /**
     * Answers a question from the documents, with citations, or refuses; it begins when it is collected.
     *
     * [minSupport], from 0 to 1, is the least support by the documents that is answered: higher refuses more. [maxUnsupported] takes
     * its place: the share, from 0 to 1, of questions without an answer in the documents that may get one all the same; it needs
     * [calibrate], without which the answer ends with [KwaaiException.Conflict]. [links] and [documents] are those of [search].
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
    ): Asking {
        val text = question.sound("question")
        val options = QuestionOptions(
            k?.toLong(), mode.native(), minSupport, maxTokens?.toLong(), links, documents.map { it.sound("documents") }, maxUnsupported,
            maxContextTokens?.toLong(), history.map { it.native() },
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
        val within = documents.map { it.sound("documents") }
        val options = QuestionOptions(k?.toLong(), mode.native(), null, null, links, within, null, null, emptyList())
        native.calibrate(questions.map { it.native() }, options, null).read()
    }

    /** Every document, in the order of the names. */
    public suspend fun documents(): List<DocumentInfo> = call { native.documents(null).map { it.read() } }

    /** The text of a document. Spans count its bytes in UTF-8. */
    public suspend fun documentText(id: String): String = call { native.documentText(id.sound("id"), null) }

    /** Removes a document and every trace of it. */
    public suspend fun deleteDocument(id: String): Unit = call { native.deleteDocument(id.sound("id"), null) }

    /** What it holds and how it searches. */
    public suspend fun stats(): Stats = call { native.stats(null).read() }

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
         * they are made of the best sentences. [readers] read formats that the library does not.
         */
        public suspend fun open(
            dir: Path,
            embedder: EmbedderSource? = null,
            model: AnswerWriter? = null,
            chunking: Chunking? = null,
            language: Language? = null,
            readers: List<DocumentReader> = emptyList(),
        ): Rag = call {
            val options = ragOptions(embedder, model, chunking, language, readers)
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
) = RagOptions(
    embedder = when (embedder) {
        WordsOnly -> "none"
        is BertModel -> embedder.name.sound("embedder")
        is Embedder, null -> null
    },
    ownEmbedder = (embedder as? Embedder)?.native(),
    endpoint = (model as? Endpoint)?.native(),
    writer = model?.writer(),
    chunking = chunking?.run { ChunkingSizes(strategy?.wire(), size?.toLong(), overlap?.toLong(), min?.toLong()) },
    language = language?.wire(),
    readers = readers.map { it.native() },
)

internal fun Endpoint.native() = EndpointOptions(baseUrl.sound("baseUrl"), model.sound("model"), apiKey?.sound("apiKey"))

/** The model itself; `null` for one behind an endpoint. */
internal fun AnswerWriter.writer(): NativeWriter? = when (this) {
    is LanguageModel -> native()
    is ModelWriter -> engine.native.writer(model.native, route?.wire())
    is Endpoint -> null
}
