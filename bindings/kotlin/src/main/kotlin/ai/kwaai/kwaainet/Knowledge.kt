package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.calibratedAnswers
import ai.kwaai.kwaainet.internal.calibratedAuroc
import ai.kwaai.kwaainet.internal.calibratedThreshold
import ai.kwaai.kwaainet.internal.comparedEvaluations
import ai.kwaai.kwaainet.internal.evaluationHtml
import ai.kwaai.kwaainet.internal.evaluationJson
import ai.kwaai.kwaainet.internal.evaluationMarkdown
import java.time.Instant
import kotlin.time.Duration
import kotlin.time.Duration.Companion.hours
import ai.kwaai.kwaainet.internal.Answer as NativeAnswerRecord
import ai.kwaai.kwaainet.internal.Around as NativeAround
import ai.kwaai.kwaainet.internal.AskEvent as NativeAskEvent
import ai.kwaai.kwaainet.internal.CacheStats as NativeCacheStats
import ai.kwaai.kwaainet.internal.Calibration as NativeCalibration
import ai.kwaai.kwaainet.internal.CalibrationQuestion as NativeCalibrationQuestion
import ai.kwaai.kwaainet.internal.Citation as NativeCitation
import ai.kwaai.kwaainet.internal.Difference as NativeDifference
import ai.kwaai.kwaainet.internal.DocumentInfo as NativeDocumentInfo
import ai.kwaai.kwaainet.internal.EmbedderInfo as NativeEmbedderInfo
import ai.kwaai.kwaainet.internal.Evaluation as NativeEvaluation
import ai.kwaai.kwaainet.internal.Evidence as NativeEvidence
import ai.kwaai.kwaainet.internal.Fault as NativeFault
import ai.kwaai.kwaainet.internal.FaultKind as NativeFaultKind
import ai.kwaai.kwaainet.internal.Hit as NativeHit
import ai.kwaai.kwaainet.internal.IngestEvent as NativeIngestEvent
import ai.kwaai.kwaainet.internal.KnownQuestion as NativeKnownQuestion
import ai.kwaai.kwaainet.internal.Mean as NativeMean
import ai.kwaai.kwaainet.internal.Mode as NativeMode
import ai.kwaai.kwaainet.internal.OutsourceEvent as NativeOutsourceEvent
import ai.kwaai.kwaainet.internal.Outsourced as NativeOutsourced
import ai.kwaai.kwaainet.internal.QuestionResult as NativeQuestionResult
import ai.kwaai.kwaainet.internal.Rank as NativeRank
import ai.kwaai.kwaainet.internal.ReembedEvent as NativeReembedEvent
import ai.kwaai.kwaainet.internal.SearchResult as NativeSearchResult
import ai.kwaai.kwaainet.internal.Stats as NativeStats
import ai.kwaai.kwaainet.internal.SyncEvent as NativeSyncEvent
import ai.kwaai.kwaainet.internal.Timings as NativeTimings

/** How passages are found. */
public enum class Mode {
    /** By their words: BM25. */
    LEXICAL,

    /** By their meaning: the cosine of embeddings. */
    DENSE,

    /** Both: a weighted sum of the cosine and of the BM25 score in parts of the highest that the question allows. */
    HYBRID;

    public companion object {
        /** The mode of a name such as `hybrid`. */
        public fun of(name: String): Mode = named(entries, "mode", name)
    }
}

/** The place of a passage in one of the two searches, from 1, and its BM25 score or cosine. */
public data class Rank(val rank: Int, val score: Float)

/** A passage found. */
public data class Hit(
    val documentId: String,
    /** The name of its document. */
    val document: String,
    val chunkId: String,
    val text: String,
    /** The bytes of the document's text, in UTF-8, that it covers. */
    val span: Span,
    /** Where it stands, for people: `page 3`, or a heading. */
    val section: String?,
    /** Where it stands as exactly as the format allows: `page 12`, `Installation > Linux, table 3`, `rows 7-9`. */
    val locator: String?,
    /** What the hits are ordered by. Comparable within one search only. */
    val score: Double,
    val lexical: Rank?,
    val dense: Rank?,
    /** The name, in the question or in another passage, that led to its document. */
    val via: String?,
    /** What the app said about its document. */
    val metadata: Map<String, String>,
    /** The passage with those around it, where neighbours were asked for. */
    val around: Around?,
)

/** A passage with those of the same document around it, as one piece of the document. */
public data class Around(
    val text: String,
    /** The bytes of the document's text, in UTF-8, that it covers. */
    val span: Span,
    val locator: String?,
)

/** How long the stages of a search took, in milliseconds. Words and meaning are looked for side by side. */
public data class Timings(
    val wordsMs: Double,
    val meaningMs: Double,
    val fusingMs: Double,
    val linksMs: Double,
    /** Waiting for the language model. */
    val modelMs: Double,
    val totalMs: Double,
)

/** What a search found, best first, and how it searched. */
public data class SearchResult(
    val hits: List<Hit>,
    val mode: Mode,
    /** Why it is not the mode that was asked for. */
    val note: String?,
    /** How long it took, where that was asked for. */
    val timings: Timings?,
)

/** What `[n]` in an answer stands for. */
public data class Citation(
    val number: Int,
    val documentId: String,
    val document: String,
    val chunkId: String,
    val section: String?,
    /** Where the quote stands, as exactly as the format allows: `page 12`, `Installation > Linux, table 3`, `row 7`. */
    val locator: String?,
    /** The bytes of the document's text, in UTF-8, that are cited. */
    val span: Span,
    val quote: String,
)

/** What speaks for and against an answer being in the documents. Shares are between 0 and 1. */
public data class Evidence(
    val nearestPassage: Float?,
    val nearestSentence: Float?,
    val passageCoverage: Double,
    val jointCoverage: Double,
    val matched: Double,
    val sentenceCoverage: Double,
    val unknown: Double,
    val lexicalLead: Double,
    val agreement: Boolean,
)

/** An answer with its sources, or the refusal of one. */
public data class Answer(
    /** With `[n]` after what a source supports. */
    val text: String,
    val citations: List<Citation>,
    val refused: Boolean,
    /** Why it was refused, why it is not the answer of the language model, or why it is not all that the model began. */
    val why: String?,
    /** How well the documents support an answer, 0 to 1. */
    val support: Double,
    val evidence: Evidence,
    val mode: Mode,
    val note: String?,
    /** The language model that wrote the text; `null` for quotes and refusals. */
    val model: String?,
)

/** What asking yields. */
public sealed interface AskEvent {
    /** A piece of the answer. */
    public data class Text(val text: String) : AskEvent

    /** What came so far does not count: what the model cited does not stand there. The answer follows anew. */
    public data class Retracted(val why: String) : AskEvent

    /** The whole answer and its sources. */
    public data class Done(val answer: Answer) : AskEvent
}

/** A question whose answer is known to stand in documents, or in none. */
public data class CalibrationQuestion(
    val question: String,
    /** The ids of the documents that answer it; none where nothing does. */
    val documents: List<String> = emptyList(),
)

/**
 * The support of questions that are known to be answered, and of others: what says when to refuse.
 *
 * Split conformal prediction (arXiv 2107.07511): of the questions that the documents do not answer, at most the tolerated share gets
 * an answer, on average, as long as the questions that are asked are like those that were calibrated with.
 */
public data class Calibration(
    /** Of those that the documents answer, in ascending order. */
    val answerable: List<Double>,
    /** Of those that they do not, in ascending order. */
    val unanswerable: List<Double>,
    /** Whether the questions were made of the documents' own sentences. */
    val fromPassages: Boolean,
    /** The generation of the knowledge base that it was made with. */
    val generation: Long,
) {
    /**
     * How often an answerable question has more support than another, equals counting half: the area under the ROC curve. `null`
     * without one of either.
     */
    public val auroc: Double? get() = call { calibratedAuroc(native()) }

    /**
     * The support above which a question is answered when at most the share [alpha], 0 to 1, of those without an answer in the
     * documents may get one; `null` when so few were calibrated with that all must be refused.
     */
    public fun threshold(alpha: Double): Double? = call { calibratedThreshold(native(), alpha) }

    /** The share of the answerable questions that get an answer when [alpha] is tolerated. */
    public fun answered(alpha: Double): Double = call { calibratedAnswers(native(), alpha) }
}

/** Which answers stay in memory, to be given again while the knowledge base and the options stay the same. */
public data class AnswerCache(
    /** Kept at most; the one that was not asked for the longest goes first. */
    val answers: Int = 500,
    /** An older answer is not given again. */
    val ttl: Duration = 24.hours,
    /** The least cosine of two questions that ask the same in other words; 1 keeps to the wording. */
    val similarity: Double = 0.95,
)

/** What became of the answers that are kept. */
public data class CacheStats(
    /** Kept now. */
    val answers: Long,
    /** Questions that were answered from them. */
    val hits: Long,
    /** Those of them that were worded otherwise. */
    val similar: Long,
    val misses: Long,
    /** Answers that were too old, or of a knowledge base that changed since. */
    val outdated: Long,
)

/** A number that an answer must have. What is as near as [tolerance] counts as right; at twice the distance nothing does. */
public data class NumericAnswer(val correct: Double, val tolerance: Double = 0.0)

/** A question whose answer is known. It counts for what it can be judged by. */
public data class EvaluationQuestion(
    val question: String,
    /** What the report calls it; its place in the list unless set. */
    val id: String? = null,
    /** The documents that answer it, by their ids or names. */
    val documents: List<String> = emptyList(),
    /** What the answer must say: of each list one. */
    val expectedKeywords: List<List<String>> = emptyList(),
    val numericAnswer: NumericAnswer? = null,
    /** The answer in words, for a judge. */
    val expectedAnswer: String? = null,
    /** Whether the right answer is that there is none. */
    val unanswerable: Boolean = false,
)

/** A mean, and where it lies in 95 of 100 draws of as many questions. */
public data class Mean(
    val value: Double,
    val low: Double,
    val high: Double,
    /** Of how many questions. */
    val count: Long,
)

/** The mean difference of pairs, and the share of draws that have it the other way round or none: small where it is no chance. */
public data class Difference(val mean: Mean, val p: Double)

/** What came of one question. */
public data class QuestionResult(
    val id: String,
    val question: String,
    /** Each 0 to 1, by their names. */
    val scores: Map<String, Double>,
    val answer: String?,
    val refused: Boolean?,
    val support: Double?,
    val unanswerable: Boolean,
    /** Why it failed; every score that it could have had is 0 then. */
    val error: String?,
)

/** What came of questions whose answers are known. */
public data class Evaluation(
    val name: String,
    /**
     * `recall@1` to `recall@10`, `mrr` and `ndcg@10` of the documents found; `keywords`, `number`, `citations`, `refusal` and `judge` of
     * the answers.
     */
    val means: Map<String, Mean>,
    /** How well support tells what has an answer from what has none; `null` without questions of both kinds. */
    val refusalAuroc: Double?,
    val failed: Long,
    val questions: List<QuestionResult>,
) {
    /**
     * The mean difference of each score from another evaluation of the same questions, question by question: above 0 where this one is
     * better.
     */
    public fun compare(other: Evaluation): Map<String, Difference> =
        call { comparedEvaluations(native(), other.native()).mapValues { it.value.read() } }

    /** All of it. */
    public fun toJson(): String = call { evaluationJson(native()) }

    /** The means as a table, and what failed. */
    public fun toMarkdown(): String = evaluationMarkdown(native())

    /** A page that needs nothing beside itself and in which nothing runs, with another evaluation [beside] this one. */
    public fun toHtml(beside: Evaluation? = null): String = evaluationHtml(native(), beside?.native())
}

/** What is wrong with a citation. */
public enum class FaultKind {
    /** The number in the brackets is that of no source. */
    WRONG_NUMBER,

    /** The text stands in another source than in the one that is cited. */
    MISATTRIBUTED,

    /** The text is put together from pieces that stand apart. */
    STITCHED,

    /** What is quoted stands in no source, or the address of a page or a picture in none. */
    FABRICATED,

    /** Nothing is cited for it. */
    UNCITED,

    /** A number stands in none of the sources that are cited for it. */
    WRONG_FIGURE,
}

/** Something that a source was said to say and does not. */
public data class Fault(
    val kind: FaultKind,
    /** The bytes of the answer, in UTF-8, that it concerns. */
    val span: Span,
    /** The numbers that are cited there. */
    val cited: List<Int>,
    /** The source in which the text stands, where there is one. */
    val foundIn: Int?,
)

/** How an ingestion gets on. */
public sealed interface IngestEvent {
    /** First of all: how many files there are. */
    public data class Found(val files: Long) : IngestEvent

    /** A file is being read and cut. */
    public data class Reading(val name: String) : IngestEvent

    /** Passages of a document were embedded. */
    public data class Embedded(val name: String, val done: Long, val total: Long) : IngestEvent

    /** A document is durable and can be found. [warnings] say what of it could not be read. */
    public data class DocumentDone(
        val name: String,
        val documentId: String,
        val chunks: Long,
        /** Milliseconds from opening its file to the commit. */
        val ms: Long,
        val warnings: List<String>,
    ) : IngestEvent

    /** A document is stored already, as it is. */
    public data class Unchanged(val name: String) : IngestEvent

    /** A document could not be ingested; what was stored under its name stays, and the others go on. */
    public data class DocumentFailed(val name: String, val code: String, val message: String) : IngestEvent

    /** Last of all. */
    public data class Finished(val ingested: Long, val unchanged: Long, val failed: Long, val chunks: Long) : IngestEvent
}

/** How a change of the embedder gets on. */
public sealed interface ReembedEvent {
    /** First of all: the passages, and those that have a vector of this embedder from before, when it was interrupted. */
    public data class Found(val passages: Long, val done: Long) : ReembedEvent

    /** Passages were embedded, and their vectors are durable. */
    public data class Embedded(val done: Long, val total: Long) : ReembedEvent

    /** Last of all: passages that have vectors of the new embedder, and texts that were embedded by this run. */
    public data class Finished(val passages: Long, val embedded: Long) : ReembedEvent
}

/** How vectors get to a collection. */
public sealed interface OutsourceEvent {
    /** First of all: the passages, and those whose vectors the collection has from before. */
    public data class Found(val passages: Long, val done: Long) : OutsourceEvent

    /** The collection has taken vectors. */
    public data class Brought(val done: Long, val total: Long) : OutsourceEvent

    /** Last of all: passages whose vectors the collection holds, and vectors that were brought by this run. */
    public data class Finished(val passages: Long, val brought: Long) : OutsourceEvent
}

/** A knowledge base whose vectors are in a collection at other people's nodes, or on their way there. */
public data class Outsourced(
    /** The id of the collection. */
    val collection: String,
    /** Whether the collection was given since the knowledge base was opened, so that it is searched. */
    val attached: Boolean,
    /** Whether all vectors are there, and nothing of them is left where the knowledge base lies. */
    val complete: Boolean,
    /** What the collection was not told yet: passages that came or went. */
    val waiting: Long,
)

/** How a folder is kept alike. */
public sealed interface SyncEvent {
    /** What a pass found. While watching, only passes that found something new are reported. */
    public data class Compared(
        val files: Long,
        /** Files that are new, changed or moved. */
        val pending: Long,
        /** Documents whose files are gone and did not move. */
        val gone: Long,
    ) : SyncEvent

    /** A file is being read and cut. */
    public data class Reading(val name: String) : SyncEvent

    /** Passages of a document were embedded. */
    public data class Embedded(val name: String, val done: Long, val total: Long) : SyncEvent

    /** A new document is durable and can be found. */
    public data class Added(
        val name: String,
        val documentId: String,
        val chunks: Long,
        val ms: Long,
        /** What of it could not be read. */
        val warnings: List<String>,
    ) : SyncEvent

    /** A document was replaced by its new version. */
    public data class Changed(
        val name: String,
        val documentId: String,
        val chunks: Long,
        val ms: Long,
        /** What of it could not be read. */
        val warnings: List<String>,
    ) : SyncEvent

    /** A file of the same contents appeared where another one vanished; [before] is the document's name before. */
    public data class Moved(val before: String, val name: String, val documentId: String) : SyncEvent

    /** A document was deleted, since its file is gone. */
    public data class Deleted(val name: String, val documentId: String) : SyncEvent

    /** A document's file is gone. The document stays, since deletion was not asked for. */
    public data class Missing(val name: String, val documentId: String) : SyncEvent

    /** A file or a folder could not be read; what was stored of it stays. */
    public data class Failed(val name: String, val code: String, val message: String) : SyncEvent

    /** A pass is over. */
    public data class Finished(
        val added: Long,
        val changed: Long,
        val moved: Long,
        val deleted: Long,
        val missing: Long,
        val unchanged: Long,
        val failed: Long,
    ) : SyncEvent

    /** From now on changes are followed. Sent once, after the first pass. */
    public data class Watching(
        /** Whether the file system reports changes; otherwise the folder is looked through at every interval. */
        val events: Boolean,
        /** Why it does not, where it was to. */
        val note: String?,
    ) : SyncEvent
}

/** A document of a knowledge base. */
public data class DocumentInfo(
    val id: String,
    val name: String,
    /** The file it came from, unless it was given as bytes. */
    val source: String?,
    /** `text`, `markdown`, `rst`, `html`, `pdf`, `docx`, `doc`, `csv`, `json`, `yaml`, `toml`, `code` or `custom`. */
    val format: String,
    /** SHA-256 of the file's bytes. */
    val contentHash: String,
    val bytes: Long,
    /** How many passages it was cut into. */
    val chunks: Long,
    /** What of it could not be read. */
    val warnings: List<String>,
    val ingestedAt: Instant,
    /** What the app said about it. */
    val metadata: Map<String, String>,
)

/** The embedder whose vectors a knowledge base holds. */
public data class EmbedderInfo(val id: String, val dimension: Int)

/** What a knowledge base holds and how it searches. */
public data class Stats(
    val documents: Long,
    val chunks: Long,
    /** Passages with a vector. */
    val vectors: Long,
    /** Passages in the word index. */
    val indexed: Long,
    /** Vectors that are reached through a graph. */
    val sealedVectors: Long,
    /** How often the knowledge base was changed. */
    val generation: Long,
    val embedder: EmbedderInfo?,
    /** The language model that writes answers. */
    val languageModel: String?,
    val mode: Mode,
    /** How much meaning counts against words in a hybrid search, 0 to 1. */
    val denseWeight: Double,
    /** Why the mode is not hybrid. */
    val note: String?,
    /** Where the vectors are, or are brought, if that is not here. */
    val outsourced: Outsourced?,
)

internal fun Mode.native(): NativeMode = when (this) {
    Mode.LEXICAL -> NativeMode.LEXICAL
    Mode.DENSE -> NativeMode.DENSE
    Mode.HYBRID -> NativeMode.HYBRID
}

internal fun NativeMode.read(): Mode = when (this) {
    NativeMode.LEXICAL -> Mode.LEXICAL
    NativeMode.DENSE -> Mode.DENSE
    NativeMode.HYBRID -> Mode.HYBRID
}

internal fun NativeRank.read() = Rank(rank.toInt(), score)

internal fun NativeHit.read() = Hit(
    documentId, document, chunkId, text, span.read(), section, locator, score, lexical?.read(), dense?.read(), via, metadata,
    around?.read(),
)

internal fun Hit.native(): NativeHit {
    if (span.start < 0 || span.end < 0 || listOfNotNull(lexical, dense).any { it.rank < 0 }) {
        throw KwaaiException.InvalidArgument("spans and ranks of a hit count from 0")
    }
    return NativeHit(
        documentId.sound("hit"), document.sound("hit"), chunkId.sound("hit"), text.sound("hit"), span.native(), section?.sound("hit"),
        locator?.sound("hit"), score, lexical?.native(), dense?.native(), via?.sound("hit"),
        metadata.entries.associate { it.key.sound("hit") to it.value.sound("hit") }, around?.native(),
    )
}

internal fun Rank.native() = NativeRank(rank.toLong(), score)

internal fun Around.native() = NativeAround(text.sound("hit"), span.native(), locator?.sound("hit"))

internal fun NativeAround.read() = Around(text, span.read(), locator)

internal fun NativeTimings.read() = Timings(wordsMs, meaningMs, fusingMs, linksMs, modelMs, totalMs)

internal fun NativeSearchResult.read() = SearchResult(hits.map { it.read() }, mode.read(), note, timings?.read())

internal fun NativeCitation.read() =
    Citation(number.toInt(), documentId, document, chunkId, section, locator, span.read(), quote)

internal fun NativeEvidence.read() = Evidence(
    nearestPassage, nearestSentence, passageCoverage, jointCoverage, matched, sentenceCoverage, unknown, lexicalLead,
    agreement,
)

internal fun NativeAnswerRecord.read() = Answer(
    text, citations.map { it.read() }, refused, why, support, evidence.read(), mode.read(), note, model,
)

internal fun NativeAskEvent.read(): AskEvent = when (this) {
    is NativeAskEvent.Text -> AskEvent.Text(text)
    is NativeAskEvent.Retracted -> AskEvent.Retracted(why)
    is NativeAskEvent.Done -> AskEvent.Done(answer.read())
}

internal fun CalibrationQuestion.native() =
    NativeCalibrationQuestion(question.sound("questions"), documents.map { it.sound("questions") })

internal fun Calibration.native() = NativeCalibration(answerable, unanswerable, fromPassages, generation.toULong())

internal fun NativeCalibration.read() = Calibration(answerable, unanswerable, fromPassages, generation.toLong())

internal fun NativeCacheStats.read() =
    CacheStats(answers.toLong(), hits.toLong(), similar.toLong(), misses.toLong(), outdated.toLong())

internal fun EvaluationQuestion.native() = NativeKnownQuestion(
    id?.sound("questions"), question.sound("questions"), documents.map { it.sound("questions") },
    expectedKeywords.map { forms -> forms.map { it.sound("questions") } }, numericAnswer?.correct, numericAnswer?.tolerance ?: 0.0,
    expectedAnswer?.sound("questions"), unanswerable,
)

internal fun Mean.native() = NativeMean(value, low, high, count)

internal fun NativeMean.read() = Mean(value, low, high, count)

internal fun NativeDifference.read() = Difference(mean.read(), p)

internal fun QuestionResult.native() =
    NativeQuestionResult(id, question, scores, answer, refused, support, unanswerable, error)

internal fun NativeQuestionResult.read() =
    QuestionResult(id, question, scores, answer, refused, support, unanswerable, error)

internal fun Evaluation.native() =
    NativeEvaluation(name, means.mapValues { it.value.native() }, refusalAuroc, failed, questions.map { it.native() })

internal fun NativeEvaluation.read() =
    Evaluation(name, means.mapValues { it.value.read() }, refusalAuroc, failed, questions.map { it.read() })

internal fun NativeFault.read() = Fault(kind.read(), span.read(), cited.map { it.toInt() }, foundIn?.toInt())

internal fun NativeFaultKind.read(): FaultKind = when (this) {
    NativeFaultKind.WRONG_NUMBER -> FaultKind.WRONG_NUMBER
    NativeFaultKind.MISATTRIBUTED -> FaultKind.MISATTRIBUTED
    NativeFaultKind.STITCHED -> FaultKind.STITCHED
    NativeFaultKind.FABRICATED -> FaultKind.FABRICATED
    NativeFaultKind.UNCITED -> FaultKind.UNCITED
    NativeFaultKind.WRONG_FIGURE -> FaultKind.WRONG_FIGURE
}

internal fun NativeIngestEvent.read(): IngestEvent = when (this) {
    is NativeIngestEvent.Found -> IngestEvent.Found(files)
    is NativeIngestEvent.Reading -> IngestEvent.Reading(name)
    is NativeIngestEvent.Embedded -> IngestEvent.Embedded(name, done, total)
    is NativeIngestEvent.DocumentDone -> IngestEvent.DocumentDone(name, documentId, chunks, ms.toLong(), warnings)
    is NativeIngestEvent.Unchanged -> IngestEvent.Unchanged(name)
    is NativeIngestEvent.DocumentFailed -> IngestEvent.DocumentFailed(name, code, message)
    is NativeIngestEvent.Finished -> IngestEvent.Finished(ingested, unchanged, failed, chunks)
}

internal fun NativeReembedEvent.read(): ReembedEvent = when (this) {
    is NativeReembedEvent.Found -> ReembedEvent.Found(passages, done)
    is NativeReembedEvent.Embedded -> ReembedEvent.Embedded(done, total)
    is NativeReembedEvent.Finished -> ReembedEvent.Finished(passages, embedded)
}

internal fun NativeOutsourceEvent.read(): OutsourceEvent = when (this) {
    is NativeOutsourceEvent.Found -> OutsourceEvent.Found(passages, done)
    is NativeOutsourceEvent.Brought -> OutsourceEvent.Brought(done, total)
    is NativeOutsourceEvent.Finished -> OutsourceEvent.Finished(passages, brought)
}

internal fun NativeSyncEvent.read(): SyncEvent = when (this) {
    is NativeSyncEvent.Compared -> SyncEvent.Compared(files, pending, gone)
    is NativeSyncEvent.Reading -> SyncEvent.Reading(name)
    is NativeSyncEvent.Embedded -> SyncEvent.Embedded(name, done, total)
    is NativeSyncEvent.Added -> SyncEvent.Added(name, documentId, chunks, ms.toLong(), warnings)
    is NativeSyncEvent.Changed -> SyncEvent.Changed(name, documentId, chunks, ms.toLong(), warnings)
    is NativeSyncEvent.Moved -> SyncEvent.Moved(before, name, documentId)
    is NativeSyncEvent.Deleted -> SyncEvent.Deleted(name, documentId)
    is NativeSyncEvent.Missing -> SyncEvent.Missing(name, documentId)
    is NativeSyncEvent.Failed -> SyncEvent.Failed(name, code, message)
    is NativeSyncEvent.Finished -> SyncEvent.Finished(added, changed, moved, deleted, missing, unchanged, failed)
    is NativeSyncEvent.Watching -> SyncEvent.Watching(events, note)
}

internal fun NativeDocumentInfo.read() = DocumentInfo(
    id, name, source, format, contentHash, bytes.toLong(), chunks, warnings, Instant.ofEpochMilli(ingestedAtMs),
    metadata,
)

internal fun NativeEmbedderInfo.read() = EmbedderInfo(id, dimension.toInt())

internal fun NativeStats.read() = Stats(
    documents.toLong(), chunks.toLong(), vectors.toLong(), indexed.toLong(), sealedVectors.toLong(), generation.toLong(),
    embedder?.read(), languageModel, mode.read(), denseWeight, note, outsourced?.read(),
)

internal fun NativeOutsourced.read() = Outsourced(collection, attached, complete, waiting.toLong())
