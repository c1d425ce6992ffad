package ai.kwaai.kwaainet

import kotlinx.coroutines.flow.flow
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import java.io.IOException
import java.net.SocketException
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.file.Path
import java.time.Instant
import kotlin.time.Duration.Companion.milliseconds

/** The verbs as scenarios call them. */
val VERBS: Map<String, Call> = mapOf(
    "Library.version" to { _, _ -> KwaaiNet.version },
    "Library.resolve_did" to { _, a -> KwaaiNet.resolveDid(a.need("did")) },
    "Library.compare_evaluations" to { _, a -> evaluation(a, "evaluation")!!.compare(evaluation(a, "other")!!) },
    "Library.evaluation_report" to { _, a ->
        val own = evaluation(a, "evaluation")!!
        if (a.need<String>("form") == "markdown") own.toMarkdown() else own.toHtml(evaluation(a, "beside"))
    },
    "Library.check_citations" to { _, a -> KwaaiNet.checkCitations(a.need("text"), a.needTexts("sources")) },
    "Library.check_provenance" to { _, a -> KwaaiNet.checkProvenance(hit(Arguments(a.need("hit"))), provenance(Arguments(a.need("provenance")))) },
    "Library.read_knowledge_capability" to { _, a -> KwaaiNet.readKnowledgeCapability(a.need("capability")) },
    "Library.init_logging" to { _, a -> KwaaiNet.initLogging(a.need("filter"), a.need("sink")) },
    "Node.start" to { _, a ->
        Node.start(
            a.text("preset")?.let(Preset::of), a.text("name"), a.path("data_dir"), a.path("identity_key"),
            a.texts("listen"), a.texts("bootstrap"), a.maybe<Boolean>("mdns"), a.maybe<Boolean>("hivemind"),
            a.texts("trusted_relays"), a.maybe<Boolean>("relay"), a.map("relay_limits")?.let(::Arguments)?.let(::relayLimits),
            a.texts("announce_addr"), a.text("public_ip"), a.int("public_port"), a.maybe<Boolean>("force_private"),
            a.int("identify_min_confirmations"), a.long("identify_timeout_ms")?.milliseconds, a.maybe<Boolean>("upnp"),
            a.maybe<Boolean>("peer_cache"), a.map("limits")?.let(::Arguments)?.let(::limits), a.long("seed"), a.text("clock")?.let(Instant::parse),
        )
    },
    "Node.name" to { on, _ -> (on as Node).name },
    "Node.peer_id" to { on, _ -> (on as Node).peerId },
    "Node.did" to { on, _ -> (on as Node).did },
    "Node.info" to { on, _ -> (on as Node).info() },
    "Node.peers" to { on, _ -> (on as Node).peers() },
    "Node.diagnose" to { on, _ -> (on as Node).diagnose() },
    "Node.metrics" to { on, _ -> (on as Node).metrics() },
    "Node.connect" to { on, a -> (on as Node).connect(a.need("address")) },
    "Node.disconnect" to { on, a -> (on as Node).disconnect(a.need("peer")) },
    "Node.find_peer" to { on, a -> (on as Node).findPeer(a.need("peer")) },
    "Node.probe" to { on, a -> (on as Node).probe(a.need("peer")) },
    "Node.ask_trust" to { on, a -> (on as Node).askTrust(a.need("peer"), a.need("about"), a["at_least"]?.let(::minimum)) },
    "Node.ask_word" to { on, a -> (on as Node).askWord(a.need("peer")) },
    "Node.refresh_status_lists" to { on, _ -> (on as Node).refreshStatusLists() },
    "Node.test_credential" to { on, a ->
        (on as Node).testCredential(
            a.need("credential_id"), a.maybe("model"), a.real("tolerance"), a.int("tokens"), a.long("seed"),
        )
    },
    "Node.sight" to { on, a -> (on as Node).sight(a.need("peer")) },
    "Node.watch_peers" to { on, a ->
        (on as Node).watchPeers(a.needLong("period_ms").milliseconds)
    },
    "Node.issue_throughput" to { on, a ->
        val lifetime = a.long("valid_for_ms")?.milliseconds
        (on as Node).issueThroughput(
            a.need("peer"), a.need("model"), a.int("tokens"), a.int("runs"), a.long("seed"), lifetime,
        )
    },
    "Node.send_message" to { on, a -> (on as Node).sendMessage(a.need("peer"), a.need("text")) },
    "Node.messages" to { on, _ -> (on as Node).messages() },
    "Node.events" to { on, _ -> (on as Node).events() },
    "Node.trust" to { on, _ -> (on as Node).trust() },
    "Node.shards" to { on, _ -> (on as Node).shards() },
    "Node.vpk" to { on, _ -> (on as Node).vpk() },
    "Node.rag" to { on, a ->
        val (embedder, model, chunking, language, readers, cache) = RagArguments(a)
        val dataDir = a.text("data_dir")?.let(Path::of)
        (on as Node).rag(a.need("name"), embedder, model, chunking, language, readers, cache, dataDir)
    },
    "Node.serve_http" to { on, a ->
        val models = a.map("models").orEmpty().mapValues { (name, model) -> writer(model) ?: a.refuse(name, null) }
        val embedders = a.map("embedders").orEmpty().mapValues { (name, model) -> embedder(model) ?: a.refuse(name, null) }
        val knowledge = a.map("knowledge").orEmpty().mapValues { (name, rag) -> rag as? Rag ?: a.refuse(name, null) }
        (on as Node).serveHttp(
            models, embedders, knowledge, a.text("host"), a.int("port"), a.text("token"), a.int("max_requests"),
            a.long("max_body_bytes"), a.long("max_upload_bytes"),
        )
    },
    "Node.share_knowledge" to { on, a ->
        (on as Node).shareKnowledge(a.need("rag"), a.need("holder"), a.need("name"), a.needLong("valid_for_ms").milliseconds)
    },
    "Node.shared_knowledge" to { on, a -> (on as Node).sharedKnowledge(a.need("peer"), a.need("capability")) },
    "Node.federation" to { on, a ->
        val own = a.map("own").orEmpty().mapValues { (name, rag) -> rag as? Rag ?: a.refuse(name, null) }
        val shared = a.list("shared").orEmpty().map { it as? SharedKnowledge ?: a.refuse("shared", it) }
        (on as Node).federation(own, shared, embedder(a["embedder"]), a.text("language")?.let(Language::of))
    },
    "Node.prove" to { on, a -> (on as Node).prove(a.need("rag"), a.needMaps("hits").map(::hit)) },
    "SharedKnowledge.capability" to { on, _ -> (on as SharedKnowledge).capability },
    "SharedKnowledge.search" to { on, a ->
        val mode = a.text("mode")?.let(Mode::of) ?: Mode.HYBRID
        (on as SharedKnowledge).search(a.need("text"), a.int("k") ?: 8, mode, a.long("timeout_ms")?.milliseconds)
    },
    "Federation.members" to { on, _ -> (on as Federation).members },
    "Federation.search" to { on, a ->
        (on as Federation).search(
            a.need("text"), a.int("k") ?: 8, a.text("mode")?.let(Mode::of) ?: Mode.HYBRID, a.maybe<Boolean>("links") ?: false,
            a.real("dense_weight"), a.long("timeout_ms")?.milliseconds,
        )
    },
    "Node.contribute" to { on, a ->
        val blocks = a.maps("blocks").orEmpty().map {
            BlockShare(it.needPath("model"), it.int("start_block"), it.int("end_block"), it.int("count"), it.long("memory_bytes"))
        }
        (on as Node).contribute(blocks, a.text("min_tier")?.let(Tier::of), a.long("grace_ms")?.milliseconds)
    },
    "Node.advance_clock" to { on, a -> (on as Node).advanceClock(a.needLong("by_ms").milliseconds) },
    "Node.shutdown" to { on, a -> (on as Node).shutdown(a.long("grace_ms")?.milliseconds) },
    "TrustGraph.open" to { _, a ->
        val clock = a.text("clock")?.let(Instant::parse)
        TrustGraph.open(a.path("dir"), a.maybe("signer"), a.long("seed"), clock)
    },
    "TrustGraph.did" to { on, _ -> (on as TrustGraph).did },
    "TrustGraph.issue" to { on, a ->
        val claims = JsonObject(a.map("claims").orEmpty().mapValues { toJson(it.value) })
        val lifetime = a.long("valid_for_ms")?.milliseconds
        (on as TrustGraph).issue(a.need("type"), a.need("subject"), claims, lifetime, a.maybe<Boolean>("revocable") ?: false)
    },
    "TrustGraph.verify" to { on, a -> (on as TrustGraph).verify(a.need("credential")) },
    "TrustGraph.read_legacy" to { on, a -> (on as TrustGraph).readLegacy(a.need("credential")) },
    "TrustGraph.read_dtg" to { on, a -> (on as TrustGraph).readDtg(a.need("credential")) },
    "TrustGraph.import_credential" to { on, a -> (on as TrustGraph).importCredential(a.need("credential")) },
    "TrustGraph.credentials" to { on, a ->
        (on as TrustGraph).credentials(a.text("subject"), a.text("issuer"), a.text("type"))
    },
    "TrustGraph.credential" to { on, a -> (on as TrustGraph).credential(a.need("id")) },
    "TrustGraph.remove_credential" to { on, a -> (on as TrustGraph).removeCredential(a.need("id")) },
    "TrustGraph.revoke" to { on, a -> (on as TrustGraph).revoke(a.need("credential_id")) },
    "TrustGraph.suspend" to { on, a -> (on as TrustGraph).suspend(a.need("credential_id")) },
    "TrustGraph.reinstate" to { on, a -> (on as TrustGraph).reinstate(a.need("credential_id")) },
    "TrustGraph.status" to { on, a -> (on as TrustGraph).status(a.need("credential")) },
    "TrustGraph.status_lists" to { on, _ -> (on as TrustGraph).statusLists() },
    "TrustGraph.status_list" to { on, a -> (on as TrustGraph).statusList(a.need("url")) },
    "TrustGraph.keep_status_list" to { on, a -> (on as TrustGraph).keepStatusList(a.need("list")) },
    "TrustGraph.wanted_status_lists" to { on, _ -> (on as TrustGraph).wantedStatusLists() },
    "TrustGraph.export_credentials" to { on, _ -> (on as TrustGraph).exportCredentials() },
    "TrustGraph.import_credentials" to { on, a -> (on as TrustGraph).importCredentials(a.need("bundle")) },
    "TrustGraph.set_passphrase" to { on, a -> (on as TrustGraph).setPassphrase(a.need("passphrase")) },
    "TrustGraph.remove_passphrase" to { on, _ -> (on as TrustGraph).removePassphrase() },
    "TrustGraph.unlock" to { on, a -> (on as TrustGraph).unlock(a.need("passphrase")) },
    "TrustGraph.lock" to { on, _ -> (on as TrustGraph).lock() },
    "TrustGraph.wallet_state" to { on, _ -> (on as TrustGraph).walletState() },
    "TrustGraph.request_pledge" to { on, a ->
        (on as TrustGraph).requestPledge(a.need("issuer"), a.need("text"), a.text("name"))
    },
    "TrustGraph.issue_pledge" to { on, a ->
        val lifetime = a.long("valid_for_ms")?.milliseconds
        (on as TrustGraph).issuePledge(a.need("request"), a.need("text"), a.text("name"), lifetime)
    },
    "TrustGraph.accept_pledge" to { on, a ->
        (on as TrustGraph).acceptPledge(a.need("credential"), a.need("text"), a.text("name"))
    },
    "TrustGraph.withdraw_pledge" to { on, a -> (on as TrustGraph).withdrawPledge(a.need("credential_id")) },
    "TrustGraph.import_withdrawal" to { on, a -> (on as TrustGraph).importWithdrawal(a.need("withdrawal")) },
    "TrustGraph.withdrawals" to { on, _ -> (on as TrustGraph).withdrawals() },
    "TrustGraph.pledge_to_revoke" to { on, a -> (on as TrustGraph).pledgeToRevoke(a.need("withdrawal")) },
    "TrustGraph.disclosures" to { on, _ -> (on as TrustGraph).disclosures() },
    "TrustGraph.set_disclosures" to { on, a ->
        val levels = Arguments(a.need("disclosures"))
        val disclosures = a.map("disclosures").orEmpty().keys.associate { Tier.of(it) to Disclosure.of(levels.need(it)) }
        (on as TrustGraph).setDisclosures(disclosures)
    },
    "TrustGraph.thresholds" to { on, _ -> (on as TrustGraph).thresholds() },
    "TrustGraph.set_thresholds" to { on, a -> (on as TrustGraph).setThresholds(thresholds(Arguments(a.need("thresholds")))) },
    "TrustGraph.record" to { on, a ->
        val latency = a.real("latency_ms")?.milliseconds
        val outcome = Outcome.of(a.need("outcome"))
        (on as TrustGraph).record(a.need("peer"), outcome, latency, a.real("promised"), a.real("delivered"))
    },
    "TrustGraph.reputation" to { on, a -> (on as TrustGraph).reputation(a.need("peer")) },
    "TrustGraph.reputations" to { on, _ -> (on as TrustGraph).reputations() },
    "TrustGraph.add_recommendation" to { on, a ->
        val (good, bad) = listOf("good", "bad").map { a.real(it) ?: a.refuse(it, null) }
        (on as TrustGraph).addRecommendation(a.need("recommender"), a.need("about"), good, bad, a.text("at")?.let(Instant::parse))
    },
    "TrustGraph.propagate" to { on, a -> (on as TrustGraph).propagate(a.texts("pretrusted"), a.real("alpha")) },
    "TrustGraph.flush" to { on, _ -> (on as TrustGraph).flush() },
    "TrustGraph.tests" to { on, a -> (on as TrustGraph).tests(a.need("credential_id")) },
    "TrustGraph.sight" to { on, a -> (on as TrustGraph).sight(a.need("peer"), a.need("up")) },
    "TrustGraph.sightings" to { on, a -> (on as TrustGraph).sightings(a.need("peer")) },
    "TrustGraph.issue_uptime" to { on, a ->
        (on as TrustGraph).issueUptime(a.need("peer"), a.long("valid_for_ms")?.milliseconds)
    },
    "TrustGraph.issue_binding" to { on, a ->
        val lifetime = a.long("valid_for_ms")?.milliseconds
        (on as TrustGraph).issueBinding(a.need("subject"), LinkType.of(a.need("link_type")), lifetime)
    },
    "TrustGraph.bindings" to { on, a -> (on as TrustGraph).bindings(a.need("did")) },
    "TrustGraph.reset_reputation" to { on, a -> (on as TrustGraph).resetReputation(a.need("peer")) },
    "TrustGraph.present" to { on, a ->
        (on as TrustGraph).present(a.need("audience"), a.need("challenge"), a.text("subject"), a.text("issuer"), a.text("type"))
    },
    "TrustGraph.verify_presentation" to { on, a ->
        (on as TrustGraph).verifyPresentation(a.need("presentation"), a.need("audience"), a.need("challenge"))
    },
    "TrustGraph.issuers" to { on, _ -> (on as TrustGraph).issuers() },
    "TrustGraph.trust_issuer" to { on, a -> (on as TrustGraph).trustIssuer(a.need("did"), a.needTexts("types")) },
    "TrustGraph.distrust_issuer" to { on, a -> (on as TrustGraph).distrustIssuer(a.need("did")) },
    "TrustGraph.score" to { on, a -> (on as TrustGraph).score(a.need("peer")) },
    "TrustGraph.scores" to { on, a -> (on as TrustGraph).scores(a.needTexts("peers")) },
    "TrustGraph.policy" to { on, _ -> (on as TrustGraph).policy() },
    "TrustGraph.set_policy" to { on, a ->
        val policy = a.map("policy").orEmpty().entries.associate { (purpose, least) -> Purpose.of(purpose) to minimum(least) }
        (on as TrustGraph).setPolicy(policy)
    },
    "TrustGraph.require" to { on, a -> (on as TrustGraph).require(a.need("peer"), Purpose.of(a.need("purpose"))) },
    "TrustGraph.advance_clock" to { on, a -> (on as TrustGraph).advanceClock(a.needLong("by_ms").milliseconds) },
    "TrustGraph.shutdown" to { on, _ -> (on as TrustGraph).shutdown() },
    "ShardEngine.open" to { _, _ -> ShardEngine.open() },
    "ShardEngine.load" to { on, a -> (on as ShardEngine).load(a.needPath("model"), blocks(a)) },
    "ShardEngine.download" to { on, a -> (on as ShardEngine).download(a.needPath("model"), blocks(a)) },
    "ShardEngine.downloaded" to { on, _ -> (on as ShardEngine).downloaded() },
    "ShardEngine.remove_download" to { on, a -> (on as ShardEngine).removeDownload(a.need("model")) },
    "ShardEngine.serve" to { on, a ->
        (on as ShardEngine).serve(a.needPath("model"), a.needInt("start_block"), a.needInt("end_block"))
    },
    "ShardEngine.stop_serving" to { on, a -> (on as ShardEngine).stopServing(a.need("model_id")) },
    "ShardEngine.served" to { on, _ -> (on as ShardEngine).served() },
    "ShardEngine.coverage" to { on, a -> (on as ShardEngine).coverage(a.need("model")) },
    "ShardEngine.calibrate" to { on, a ->
        (on as ShardEngine).calibrate(a.needPath("model"), a.long("memory_bytes"), a.int("sessions"), a.int("tokens"))
    },
    "ShardEngine.benchmark" to { on, a ->
        (on as ShardEngine).benchmark(
            a.need("model"), a.int("prompt_tokens"), a.int("warm_up"), a.int("steps"), a.int("sessions"), a.long("seed"),
            a.text("route")?.let(Route::of),
        )
    },
    "ShardEngine.chat" to { on, a ->
        val turns = (a["messages"] as? String)?.let { listOf(ChatMessage.user(it)) }
            ?: a.needMaps("messages").map { ChatMessage(Role.of(it.need("role")), it.need("content")) }
        (on as ShardEngine).chat(
            a.need("model"), turns, a.int("max_tokens"), a.real("temperature"),
            a.real("top_p"), a.int("top_k"), a.long("seed"), a.texts("stop").orEmpty(),
            a.text("route")?.let(Route::of),
        )
    },
    "ShardEngine.logits" to { on, a ->
        val tokens = (a.ints("tokens") ?: a.refuse("tokens", null)).toIntArray()
        (on as ShardEngine).logits(a.need("model"), tokens, a.text("route")?.let(Route::of))
    },
    "ShardEngine.embed" to { on, a ->
        (on as ShardEngine).embed(a.needTexts("texts"), a.text("model"), a.maybe<Boolean>("query") ?: false)
    },
    "ShardEngine.shutdown" to { on, _ -> (on as ShardEngine).shutdown() },
    "Model.id" to { on, _ -> (on as Model).id },
    "Model.name" to { on, _ -> (on as Model).name },
    "Model.blocks" to { on, _ -> (on as Model).blocks },
    "Model.info" to { on, _ -> (on as Model).info },
    "Model.shutdown" to { on, _ -> (on as Model).shutdown() },
    "Rag.open" to { _, a ->
        val (embedder, model, chunking, language, readers, cache) = RagArguments(a)
        Rag.open(a.needPath("dir"), embedder, model, chunking, language, readers, cache)
    },
    "Rag.ingest" to { on, a ->
        val source = a["source"]
        val said = a.saidMaybe("metadata")
        if (source is ByteArray) (on as Rag).ingest(source, a.need("name"), said) else (on as Rag).ingest(a.needPath("source"), said)
    },
    "Rag.sync" to { on, a ->
        val interval = a.long("interval_ms")?.milliseconds
        val extensions = a.texts("extensions") ?: emptyList()
        (on as Rag).sync(
            a.needPath("folder"), a.maybe<Boolean>("watch") ?: false, interval, a.maybe<Boolean>("polling") ?: false, extensions,
            a.maybe<Boolean>("delete") ?: false,
        )
    },
    "Rag.reembed" to { on, a -> (on as Rag).reembed(embedder(a["embedder"]) ?: a.refuse("embedder", null)) },
    "Rag.outsource" to { on, a ->
        val collection = a["collection"] as? VectorCollection ?: a.refuse("collection", null)
        (on as Rag).outsource(collection, a.maybe<Boolean>("texts") ?: false)
    },
    "Rag.search" to { on, a ->
        (on as Rag).search(
            a.need("text"), a.int("k") ?: 8, a.text("mode")?.let(Mode::of) ?: Mode.HYBRID, a.maybe<Boolean>("links") ?: false,
            a.texts("documents") ?: emptyList(), a.long("since_ms")?.let(Instant::ofEpochMilli),
            a.long("before_ms")?.let(Instant::ofEpochMilli), a.real("diversity") ?: 0.0, a.real("dense_weight"),
            a.texts("formats") ?: emptyList(), a.texts("names") ?: emptyList(), a.said("metadata"), a.int("neighbours") ?: 0,
            a.maybe<Boolean>("timed") ?: false, a.int("wordings") ?: 0, a.real("hypothesis") ?: 0.0, a.int("rerank") ?: 0,
        )
    },
    "Rag.ask" to { on, a ->
        val mode = a.text("mode")?.let(Mode::of) ?: Mode.HYBRID
        val support = a.real("min_support")
        val turns = a.maps("history")?.map { ChatMessage(Role.of(it.need("role")), it.need("content")) } ?: emptyList()
        (on as Rag).ask(
            a.need("question"), a.int("k"), mode, support, a.int("max_tokens"), a.maybe<Boolean>("links") ?: true,
            a.texts("documents") ?: emptyList(), a.real("max_unsupported"), a.int("max_context_tokens"), turns,
            a.long("since_ms")?.let(Instant::ofEpochMilli), a.long("before_ms")?.let(Instant::ofEpochMilli),
            a.texts("formats") ?: emptyList(), a.texts("names") ?: emptyList(), a.said("metadata"), a.int("neighbours") ?: 0,
            a.int("wordings") ?: 0, a.real("hypothesis") ?: 0.0, a.int("rerank") ?: 0,
        )
    },
    "Rag.calibrate" to { on, a ->
        val questions = a.maps("questions")?.map { CalibrationQuestion(it.need("question"), it.texts("documents") ?: emptyList()) }
        (on as Rag).calibrate(
            questions ?: emptyList(), a.int("k"), a.text("mode")?.let(Mode::of) ?: Mode.HYBRID, a.maybe<Boolean>("links") ?: true,
            a.texts("documents") ?: emptyList(),
        )
    },
    "Rag.evaluate" to { on, a ->
        val search = a.map("search")?.let(::Arguments)?.run {
            Searching(
                text("mode")?.let(Mode::of) ?: Mode.HYBRID, names = texts("names") ?: emptyList(), neighbours = int("neighbours") ?: 0,
            )
        }
        val ask = a.map("ask")?.let(::Arguments)?.run { Questioning(int("k"), links = maybe<Boolean>("links") ?: true) }
        (on as Rag).evaluate(
            a.maps("questions").orEmpty().map(::knownQuestion), a.text("name") ?: "", search ?: Searching(), ask, writer(a["judge"]),
        )
    },
    "Rag.cache_stats" to { on, _ -> (on as Rag).cacheStats() },
    "Rag.cache_clear" to { on, _ -> (on as Rag).cacheClear() },
    "Rag.documents" to { on, _ -> (on as Rag).documents() },
    "Rag.document_text" to { on, a -> (on as Rag).documentText(a.need("id")) },
    "Rag.delete_document" to { on, a -> (on as Rag).deleteDocument(a.need("id")) },
    "Rag.stats" to { on, _ -> (on as Rag).stats() },
    "Rag.id" to { on, _ -> (on as Rag).id() },
    "Rag.revoke_share" to { on, a -> (on as Rag).revokeShare(a.need("capability_id")) },
    "Rag.serve" to { on, a ->
        (on as Rag).serve(
            a.text("name"), a.text("host"), a.int("port"), a.text("token"), a.int("max_requests"), a.long("max_body_bytes"),
            a.long("max_upload_bytes"),
        )
    },
    "Rag.shutdown" to { on, _ -> (on as Rag).shutdown() },
    "Rag.destroy" to { on, _ -> (on as Rag).destroy() },
    "Vpk.host" to { on, a ->
        (on as Vpk).host(
            a.needLong("capacity_bytes"), a.long("tenant_bytes"), a.int("tenant_collections"), a.long("memory_bytes"),
            a.text("min_tier")?.let(Tier::of),
        )
    },
    "Vpk.stop_hosting" to { on, _ -> (on as Vpk).stopHosting() },
    "Vpk.hosted" to { on, _ -> (on as Vpk).hosted() },
    "Vpk.evict" to { on, a -> (on as Vpk).evict(a.need("owner")) },
    "Vpk.create" to { on, a ->
        (on as Vpk).create(
            a.need("name"), a.needInt("dimension"), Privacy.of(a.need("privacy")), a.needTexts("hosts"),
            a.text("metric")?.let(Metric::of), a.int("colluding"), a.int("replicas"), a.long("free_bytes"),
            a.text("min_tier")?.let(Tier::of), a.maybe<Boolean>("distinct_networks"),
        )
    },
    "Vpk.discover" to { on, a ->
        (on as Vpk).discover(
            a.long("free_bytes"), a.text("min_tier")?.let(Tier::of), a.maybe<Boolean>("distinct_networks"),
        )
    },
    "Vpk.audit" to { on, a -> (on as Vpk).audit(a.need("name")) },
    "Vpk.open" to { on, a -> (on as Vpk).open(a.need("name")) },
    "Vpk.benchmark" to { on, a ->
        (on as Vpk).benchmark(
            a.ints("sizes"), a.int("dimension"), a.texts("privacies")?.map(Privacy::of), a.texts("hosts"), a.int("questions"), a.long("seed"),
        )
    },
    "Vpk.device" to { on, _ -> (on as Vpk).device() },
    "Vpk.resolve" to { on, a -> (on as Vpk).resolve(a.need("collection_id")) },
    "Vpk.recover" to { on, a ->
        (on as Vpk).recover(
            a.need("name"), a.need("exported"), a.text("passphrase"), a.text("exported_by"), a.texts("hosts"),
            a.maybe<Boolean>("partial"),
        )
    },
    "Vpk.console" to { on, a -> (on as Vpk).console(a.int("port")) },
    "Vpk.collections" to { on, _ -> (on as Vpk).collections() },
    "Vpk.destroy" to { on, a -> (on as Vpk).destroy(a.need("name")) },
    "VectorCollection.name" to { on, _ -> (on as VectorCollection).name },
    "VectorCollection.id" to { on, _ -> (on as VectorCollection).id },
    "VectorCollection.config" to { on, _ -> (on as VectorCollection).config },
    "VectorCollection.leakage" to { on, _ -> (on as VectorCollection).leakage },
    "VectorCollection.stats" to { on, _ -> (on as VectorCollection).stats() },
    "VectorCollection.upsert" to { on, a ->
        val rows = a.list("vectors") ?: a.refuse("vectors", null)
        val vectors = Matrix.of(rows.map { row -> numbers(a, row) })
        val payloads = a.list("payloads")?.map { it?.let { bytes -> bytes as? ByteArray ?: a.refuse("payloads", bytes) } }
        val metadata = a.list("metadata")?.map { it?.let { values -> toJson(values) as? JsonObject ?: a.refuse("metadata", values) } }
        (on as VectorCollection).upsert(a.needLongs("ids"), vectors, payloads, metadata)
    },
    "VectorCollection.delete" to { on, a -> (on as VectorCollection).delete(a.needLongs("ids")) },
    "VectorCollection.search" to { on, a ->
        val filter = a.map("filter")?.let { toJson(it) as JsonObject }
        (on as VectorCollection).search(numbers(a, a["vector"]), a.int("k"), filter)
    },
    "VectorCollection.flush" to { on, _ -> (on as VectorCollection).flush() },
    "VectorCollection.verify" to { on, _ -> (on as VectorCollection).verify() },
    "VectorCollection.repair" to { on, a -> (on as VectorCollection).repair(a.texts("hosts")) },
    "VectorCollection.rotate" to { on, _ -> (on as VectorCollection).rotate() },
    "VectorCollection.export_key" to { on, a -> (on as VectorCollection).exportKey(a.need("passphrase")) },
    "VectorCollection.export_key_to" to { on, a -> (on as VectorCollection).exportKeyTo(a.need("device")) },
    "VectorCollection.shutdown" to { on, _ -> (on as VectorCollection).shutdown() },
    "VectorCollection.destroy" to { on, _ -> (on as VectorCollection).destroy() },
    "HostConsole.url" to { on, _ -> (on as HostConsole).url },
    "HostConsole.shutdown" to { on, _ -> (on as HostConsole).shutdown() },
    "HttpServer.address" to { on, _ -> (on as HttpServer).address },
    "HttpServer.port" to { on, _ -> (on as HttpServer).port },
    "HttpServer.base_url" to { on, _ -> (on as HttpServer).baseUrl },
    "HttpServer.shutdown" to { on, a -> (on as HttpServer).shutdown(a.long("grace_ms")?.milliseconds) },
    "Object.shutdown" to { on, _ -> (on as Handle).shutdown() },
    "Provide.embedder" to { _, a -> letters(a) },
    "Provide.model" to { _, a -> parrot(a) },
    "Provide.reader" to { _, a -> cards(a) },
    "Provide.signer" to { _, a -> seeded(a) },
    "Provide.sink" to { _, _ -> Sink() },
    "Provide.logged" to { on, _ -> (on as Sink).records.toList() },
    "Testing.raise" to { _, a -> Testing.raise(a.needLong("number")) },
    "Testing.panic" to { _, _ -> Testing.panic() },
    "Testing.hang" to { _, _ -> Testing.hang() },
    "Testing.numbers" to { _, a -> Testing.numbers(a.needLong("count"), a.needLong("capacity"), a.need("open")) },
    "Testing.page" to { _, a -> page(a.need("url")) },
    "Testing.request" to { _, a -> request(a.need("url"), a.text("token"), a["body"]) },
    "Testing.live_handles" to { _, _ -> System.gc(); Testing.liveHandles() },
)

/** What a page of this machine answers; `null` where nobody serves one. */
private fun page(url: String): String? = try {
    URI(url).toURL().readText()
} catch (_: SocketException) {
    null
}

/** What a server of this machine answers; `null` where nobody listens. */
private fun request(url: String, token: String?, body: Any?): Map<String, Any?>? {
    val asked = HttpRequest.newBuilder(URI(url)).header("Content-Type", "application/json")
    token?.let { asked.header("Authorization", "Bearer $it") }
    body?.let { asked.POST(HttpRequest.BodyPublishers.ofString(toJson(it).toString())) }
    return try {
        val reply = HTTP.send(asked.build(), HttpResponse.BodyHandlers.ofString())
        mapOf("status" to reply.statusCode(), "body" to fromJson(Json.parseToJsonElement(reply.body())))
    } catch (_: IOException) {
        null
    }
}

private val HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()

private fun numbers(a: Arguments, row: Any?): FloatArray {
    val items = row as? List<*> ?: a.refuse("vector", row)
    return FloatArray(items.size) { at -> (items[at] as? Number ?: a.refuse("vector", items[at])).toFloat() }
}

private fun Arguments.saidMaybe(name: String): Map<String, String>? =
    map(name)?.mapValues { (key, value) -> value as? String ?: refuse(key, value) }

private fun Arguments.said(name: String): Map<String, String> = saidMaybe(name).orEmpty()

/** An evaluation that a scenario has saved, which is plain data by then. */
private fun evaluation(a: Arguments, name: String): Evaluation? = a.map(name)?.let(::Arguments)?.run {
    val means = map("means").orEmpty().mapValues { (_, mean) ->
        @Suppress("UNCHECKED_CAST")
        Arguments(mean as Map<String, Any?>).run { Mean(real("value")!!, real("low")!!, real("high")!!, needLong("count")) }
    }
    val questions = needMaps("questions").map { asked ->
        val scores = asked.map("scores").orEmpty().mapValues { (_, score) -> (score as Number).toDouble() }
        QuestionResult(
            asked.need("id"), asked.need("question"), scores, asked.text("answer"), asked.maybe<Boolean>("refused"),
            asked.real("support"), asked.need("unanswerable"), asked.text("error"),
        )
    }
    Evaluation(need("name"), means, real("refusal_auroc"), needLong("failed"), questions)
}

private fun knownQuestion(a: Arguments) = EvaluationQuestion(
    a.need("question"), a.text("id"), a.texts("documents") ?: emptyList(),
    a.list("expected_keywords").orEmpty().map { forms -> (forms as? List<*>)?.map { it as String } ?: listOf(forms as String) },
    a.map("numeric_answer")?.let(::Arguments)?.run { NumericAnswer(real("correct")!!, real("tolerance") ?: 0.0) },
    a.text("expected_answer"), a.maybe<Boolean>("unanswerable") ?: false,
)

private data class RagArguments(
    val embedder: EmbedderSource?,
    val model: AnswerWriter?,
    val chunking: Chunking?,
    val language: Language?,
    val readers: List<DocumentReader>,
    val cache: AnswerCache?,
) {
    constructor(a: Arguments) : this(
        embedder(a["embedder"]),
        writer(a["model"]),
        a.map("chunking")?.let(::Arguments)?.run {
            Chunking(text("strategy")?.let(Strategy::of), int("size"), int("overlap"), int("min"))
        },
        a.text("language")?.let(Language::of),
        a.list("readers").orEmpty().map { it as? DocumentReader ?: a.refuse("readers", it) },
        a.map("cache")?.let(::Arguments)?.run {
            AnswerCache(int("answers") ?: 500, (long("ttl_ms") ?: 86_400_000).milliseconds, real("similarity") ?: 0.95)
        },
    )
}

@Suppress("UNCHECKED_CAST")
private fun embedder(value: Any?): EmbedderSource? = when (value) {
    null -> null
    is Map<*, *> -> Arguments(value as Map<String, Any?>).run {
        val api = text("api")?.let(EmbeddingApi::of) ?: EmbeddingApi.OPENAI
        EmbeddingEndpoint(
            need("base_url"), need("model"), text("api_key"), api, int("dimension"), text("query_prompt"), text("document_prompt"),
        )
    }
    "none" -> WordsOnly
    is String -> BertModel(value)
    is Embedder -> value
    else -> throw KwaaiException.InvalidArgument("${value::class.simpleName} is no embedder")
}

@Suppress("UNCHECKED_CAST")
private fun writer(value: Any?): AnswerWriter? {
    val parts = (value as? Map<String, Any?>)?.let(::Arguments)
        ?: return value?.let { it as? AnswerWriter ?: throw KwaaiException.InvalidArgument("$it is no model") }
    if (parts["engine"] == null) return Endpoint(parts.need("base_url"), parts.need("model"), parts.text("api_key"))
    return ModelWriter(parts.need("engine"), parts.need("model"), parts.text("route")?.let(Route::of))
}

private fun blocks(a: Arguments): Blocks = when (a["blocks"]) {
    null, "all" -> Blocks.All
    "none" -> Blocks.None
    else -> a.ints("blocks").orEmpty().let { span ->
        if (span.size == 2) Blocks.Range(span[0], span[1]) else a.refuse("blocks", span)
    }
}

private fun limits(a: Arguments) =
    Limits(maxConnections = a.int("max_connections"), inbox = a.int("inbox"), events = a.int("events"))

private fun relayLimits(a: Arguments) =
    RelayLimits(maxReservations = a.int("max_reservations"), maxCircuitDuration = a.long("max_circuit_duration_ms")?.milliseconds)

/** Only what the scenario names, so that the rest has what Kotlin's own defaults say. */
private fun thresholds(a: Arguments): Thresholds {
    var made = Thresholds()
    a.real("uptime_min_share")?.let { made = made.copy(uptimeMinShare = it) }
    a.long("uptime_min_days")?.let { made = made.copy(uptimeMinDays = it) }
    a.real("throughput_tolerance")?.let { made = made.copy(throughputTolerance = it) }
    a.maybe<Boolean>("require_claims")?.let { made = made.copy(requireClaims = it) }
    return made
}

private fun toJson(value: Any?): JsonElement = when (value) {
    null -> JsonNull
    is String -> JsonPrimitive(value)
    is Number -> JsonPrimitive(value)
    is Boolean -> JsonPrimitive(value)
    is List<*> -> JsonArray(value.map(::toJson))
    is Map<*, *> -> JsonObject(value.entries.associate { (name, item) -> name.toString() to toJson(item) })
    else -> throw KwaaiException.InvalidArgument("${value::class.simpleName} is no data")
}

class Sink : LogSink {
    val records: MutableList<LogRecord> = java.util.Collections.synchronizedList(mutableListOf())

    override fun log(record: LogRecord) {
        records += record
    }
}

private fun fail(how: String?) {
    when (how) {
        null -> return
        "exception" -> error("on purpose")
        else -> throw KwaaiException.of(ErrorCode.entries.first { it.text == how }, "on purpose")
    }
}

private fun letters(a: Arguments) = object : Embedder {
    override val id: String = a.need("id")
    override val dimension = a.needInt("dimension")
    override val deadline = a.long("deadline_ms")?.milliseconds
    override suspend fun embed(texts: List<String>, query: Boolean): List<FloatArray> {
        fail(a.text("fails"))
        return texts.map { text ->
            FloatArray(dimension).also { counts ->
                text.lowercase().filter { it in 'a'..'z' }.forEach { counts[(it - 'a') % dimension] += 1f }
            }
        }
    }
}

private fun parrot(a: Arguments) = object : LanguageModel {
    override val name: String = a.need("name")
    override fun generate(request: GenerateRequest) = flow {
        fail(a.text("fails"))
        a.need<String>("reply").split(Regex("(?<= )")).forEach { emit(it) }
    }
}

private fun cards(a: Arguments) = object : DocumentReader {
    override val extensions = a.needTexts("extensions")
    override suspend fun read(name: String, bytes: ByteArray): List<DocumentPart> {
        fail(a.text("fails"))
        return bytes.decodeToString().lines().filter { ": " in it }.map {
            DocumentPart(it.substringBefore(": "), it.substringAfter(": "))
        }
    }
}

private fun seeded(a: Arguments) = object : Signer {
    override val did = Testing.seedDid(a.needLong("seed"))
    override suspend fun sign(message: ByteArray): ByteArray {
        fail(a.text("fails"))
        return Testing.seedSign(a.needLong("seed"), message)
    }
}

/** A tier by its name, or a score. */
private fun minimum(value: Any?): Minimum = when (value) {
    is String -> Tier.of(value)
    is Number -> MinimumScore(value.toDouble())
    else -> throw KwaaiException.InvalidArgument("a minimum is the name of a tier or a score from 0 to 1, not $value")
}

private fun hit(a: Arguments): Hit {
    val span = Arguments(a.need("span"))
    return Hit(
        a.need("document_id"), a.need("document"), a.need("chunk_id"), a.need("text"), Span(span.needLong("start"), span.needLong("end")),
        a.text("section"), a.text("locator"), a.real("score") ?: a.refuse("score", null), rank(a.map("lexical")), rank(a.map("dense")),
        a.text("via"), a.said("metadata"), a.map("around")?.let(::Arguments)?.let(::around),
    )
}

private fun around(a: Arguments): Around {
    val span = Arguments(a.need("span"))
    return Around(a.need("text"), Span(span.needLong("start"), span.needLong("end")), a.text("locator"))
}

private fun rank(written: Map<String, Any?>?): Rank? = written?.let(::Arguments)?.let {
    Rank(it.needInt("rank"), it.need<Number>("score").toFloat())
}

private fun provenance(a: Arguments) = Provenance(a.need("statement"), a.needLong("index"), a.needTexts("path"))
