package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.SinkCode
import ai.kwaai.kwaainet.internal.checkNativeCitations
import ai.kwaai.kwaainet.internal.checkNativeProvenance
import ai.kwaai.kwaainet.internal.initNativeLogging
import ai.kwaai.kwaainet.internal.nativeVersion
import ai.kwaai.kwaainet.internal.readNativeCapability
import ai.kwaai.kwaainet.internal.resolveNativeDid
import java.time.Instant
import ai.kwaai.kwaainet.internal.LogRecord as NativeLogRecord

/** Something that happened inside the library. Never holds a prompt, a document, a vector or a key. */
public data class LogRecord(
    val at: Instant,
    /** `error`, `warn`, `info`, `debug` or `trace`. */
    val level: String,
    /** The part of the library, for example `kwaai_core::net`. */
    val target: String,
    val message: String,
    val fields: Map<String, String>,
    /** How many records before this one were dropped because the sink was too slow. */
    val dropped: Long,
)

/** Where log records go. */
public fun interface LogSink {
    /** Takes a record, on a thread of its own. What it throws is dropped. */
    public fun log(record: LogRecord)
}

/** Functions of the library itself. */
public object KwaaiNet {
    /** The version of the library. */
    public val version: String get() = call { nativeVersion() }

    /** Reads any spelling of a DID, or a PeerId in either of its text forms. Nothing is asked of the network. */
    public fun resolveDid(did: String): ResolvedDid = call { resolveNativeDid(did.sound("did")).read() }

    /**
     * Compares an answer with the texts of its sources, of which the first is `[1]`; empty when its citations hold.
     *
     * No model is asked: what stands in quotation marks, with three words or more, or is taken word by word from a source must stand in
     * one that is cited for it, every sentence cites something, and numbers above twelve stand in a source that is cited. A paraphrase
     * is not judged.
     */
    public fun checkCitations(text: String, sources: List<String>): List<Fault> =
        call { checkNativeCitations(text.sound("text"), sources.map { it.sound("sources") }).map { it.read() } }

    /**
     * Checks that a passage stood in a knowledge base, and tells in which. No node is needed, and nobody is asked. What is proven are the
     * text, its span, its ids and its document's name; not the score, the section or the locator.
     *
     * @throws KwaaiException.CorruptData for a signature that does not hold, and for a passage that is not there as it stands in the hit
     */
    public fun checkProvenance(hit: Hit, provenance: Provenance): Proven =
        call { checkNativeProvenance(hit.native(), provenance.native()).read() }

    /**
     * Reads the text of a capability that an owner handed over, and checks its form and its signature. Nobody is asked.
     *
     * @throws KwaaiException.CorruptData for a signature that does not hold
     */
    public fun readKnowledgeCapability(capability: String): KnowledgeCapability =
        call { readNativeCapability(capability.sound("capability")).read() }

    /**
     * Sends what the library says from now on to [sink], once in a process; without this it is silent. [filter] is written
     * as for `RUST_LOG`, for example `info` or `warn,kwaai_core::net=debug`.
     *
     * @throws KwaaiException.InvalidArgument for a filter that is malformed
     * @throws KwaaiException.AlreadyExists when the process has a sink already
     */
    public fun initLogging(filter: String, sink: LogSink) {
        val code = object : SinkCode {
            override fun log(record: NativeLogRecord) {
                try {
                    sink.log(record.read())
                } catch (_: Throwable) {
                    // A sink has nobody to report to.
                }
            }
        }
        call { initNativeLogging(filter.sound("filter"), code) }
    }
}

private fun NativeLogRecord.read() =
    LogRecord(Instant.ofEpochMilli(atMs.toLong()), level, target, message, fields, dropped.toLong())
