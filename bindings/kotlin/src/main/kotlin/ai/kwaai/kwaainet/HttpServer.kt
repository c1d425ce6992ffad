package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.NamedBert
import ai.kwaai.kwaainet.internal.NamedEmbedder
import ai.kwaai.kwaainet.internal.NamedEndpoint
import ai.kwaai.kwaainet.internal.NamedKnowledge
import ai.kwaai.kwaainet.internal.NamedWriter
import ai.kwaai.kwaainet.internal.NativeHttpServer
import ai.kwaai.kwaainet.internal.ServerOptions
import kotlin.time.Duration

/** Answers programs that speak OpenAI's HTTP API, until it is shut down. The page on the HTTP server says what it answers. */
public class HttpServer internal constructor(private val native: NativeHttpServer) : Handle {
    /** Where it listens, such as `127.0.0.1:11435`. */
    public val address: String = call { native.address() }

    /** The port of that address. */
    public val port: Int = call { native.port().toInt() }

    /** What clients take for their base address, such as `http://127.0.0.1:11435/v1`. */
    public val baseUrl: String = call { native.baseUrl() }

    /** Takes no further request, lets what is under way finish within five seconds, and ends the rest. Idempotent. */
    override suspend fun shutdown(): Unit = shutdown(null)

    /** Lets what is under way finish within [grace]. When it returns, every connection is closed and the port is free. */
    public suspend fun shutdown(grace: Duration?): Unit = call { native.shutdown(grace?.millis("grace"), null) }
}

internal fun serverOptions(
    models: Map<String, AnswerWriter>,
    embedders: Map<String, EmbedderSource>,
    knowledge: Map<String, Rag>,
    host: String?,
    port: Int?,
    token: String?,
    maxRequests: Int?,
    maxBodyBytes: Long?,
    maxUploadBytes: Long?,
): ServerOptions {
    val writers = mutableListOf<NamedWriter>()
    val endpoints = mutableListOf<NamedEndpoint>()
    for ((called, model) in models) {
        val name = called.sound("models")
        when (model) {
            is Endpoint -> endpoints += NamedEndpoint(name, model.native())
            is LanguageModel, is ModelWriter -> writers += NamedWriter(name, model.writer()!!)
        }
    }
    val own = mutableListOf<NamedEmbedder>()
    val berts = mutableListOf<NamedBert>()
    for ((called, embedder) in embedders) {
        val name = called.sound("embedders")
        when (embedder) {
            is Embedder -> own += NamedEmbedder(name, embedder.native())
            is EmbeddingEndpoint ->
                throw KwaaiException.InvalidArgument("$name is behind an endpoint, which serves its embeddings itself")
            is BertModel -> berts += NamedBert(name, embedder.name.sound("embedders"))
            WordsOnly -> throw KwaaiException.InvalidArgument("WordsOnly makes no vectors, so it cannot be served as an embedder")
        }
    }
    return ServerOptions(
        writers, endpoints, own, berts, knowledge.map { (name, rag) -> NamedKnowledge(name.sound("knowledge"), rag.native) },
        host?.sound("host"), port?.toLong(), token?.sound("token"), maxRequests?.toLong(), maxBodyBytes, maxUploadBytes,
    )
}
