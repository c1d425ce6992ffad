/* The guide in C: fifteen tasks, each in a function. It takes the root of a checkout, for the documents and the tiny model.

   A call is made within 30 seconds or given up. KWAAI_OK is 0, so that calls are chained with `||`. */

#include <kwaainet.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT 30000

/* anchor: start */
static bool start(kwaai_error_t **error)
{
    kwaai_node_t *node = NULL;
    char *name = NULL, *peer_id = NULL, *did = NULL;
    bool failed = kwaai_node_start("{\"preset\": \"ephemeral\", \"name\": \"alice\"}", WAIT, &node, error) ||
                  kwaai_node_name(node, &name, error) || kwaai_node_peer_id(node, &peer_id, error) ||
                  kwaai_node_did(node, &did, error);
    if (!failed) {
        printf("%s is %s, and signs as %s\n", name, peer_id, did);
        failed = kwaai_node_shutdown(node, 1000, WAIT, error);
    }
    kwaai_string_free(name);
    kwaai_string_free(peer_id);
    kwaai_string_free(did);
    kwaai_node_free(node);
    return !failed;
}
/* end: start */

/* anchor: messages */
static bool messages(kwaai_node_t *alice, kwaai_node_t *bob, kwaai_error_t **error)
{
    char *address = NULL, *peer = NULL, *message = NULL;
    kwaai_stream_t *inbox = NULL;
    kwaai_item_t item = KWAAI_ITEM_END;
    bool failed = kwaai_node_messages(bob, &inbox, error) || kwaai_node_address(bob, WAIT, &address, error) ||
                  kwaai_node_connect(alice, address, WAIT, &peer, error) ||
                  kwaai_node_send_message(alice, peer, "hello from C", WAIT, error) ||
                  kwaai_stream_next(inbox, WAIT, &item, &message, error);
    if (!failed) {
        printf("bob got %s\n", message); /* {"received_at":…,"sender":…,"text":"hello from C"} */
    }
    kwaai_string_free(address);
    kwaai_string_free(peer);
    kwaai_string_free(message);
    kwaai_stream_free(inbox);
    return !failed;
}
/* end: messages */

/* anchor: trust */
static bool trust(kwaai_node_t *alice, kwaai_trust_t *issuer, const char *bob_did, kwaai_error_t **error)
{
    kwaai_trust_t *graph = NULL;
    char *issuer_did = NULL, *credential = NULL, *summary = NULL, *reasons = NULL;
    double score = 0;
    bool failed = kwaai_node_trust(alice, &graph, error) || kwaai_trust_did(issuer, &issuer_did, error) ||
                  kwaai_trust_issue(issuer, "VerifiedNodeVC", bob_did, NULL, KWAAI_UNSET, false, WAIT, &credential,
                                    error) ||
                  kwaai_trust_import_credential(graph, credential, WAIT, &summary, error) ||
                  kwaai_trust_trust_issuer(graph, issuer_did, "[\"VerifiedNodeVC\"]", WAIT, error) ||
                  kwaai_trust_score(graph, bob_did, WAIT, &score, &reasons, error);
    if (!failed) {
        printf("bob scores %.2f: %s\n", score, reasons);
    }
    kwaai_string_free(issuer_did);
    kwaai_string_free(credential);
    kwaai_string_free(summary);
    kwaai_string_free(reasons);
    kwaai_trust_free(graph);
    return !failed;
}
/* end: trust */

/* anchor: policy */
static bool policy(kwaai_node_t *alice, const char *stranger_did, kwaai_error_t **error)
{
    kwaai_trust_t *graph = NULL;
    kwaai_status_t status = kwaai_node_trust(alice, &graph, error);
    if (status == KWAAI_OK) {
        status = kwaai_trust_set_policy(graph, "{\"message\": \"verified\"}", WAIT, error);
    }
    if (status == KWAAI_OK) {
        status = kwaai_trust_require(graph, stranger_did, "message", WAIT, error);
    }
    if (status == KWAAI_UNTRUSTED_PEER) {
        printf("refused: %s\n", kwaai_error_message(*error));
    }
    kwaai_trust_free(graph);
    return status == KWAAI_OK;
}
/* end: policy */

/* anchor: share_blocks */
static bool share_blocks(kwaai_node_t *host, const char *model_dir, unsigned first, unsigned end, kwaai_error_t **error)
{
    char contribution[1024], *offers = NULL;
    snprintf(contribution, sizeof contribution,
             "{\"blocks\": [{\"model\": \"%s\", \"start_block\": %u, \"end_block\": %u}], \"min_tier\": \"unknown\"}",
             model_dir, first, end);
    bool failed = kwaai_node_contribute(host, contribution, WAIT, &offers, error);
    if (!failed) {
        printf("shared %s\n", offers);
    }
    kwaai_string_free(offers);
    return !failed;
}
/* end: share_blocks */

/* anchor: chat */
static bool chat(kwaai_node_t *node, const char *model_dir, kwaai_error_t **error)
{
    kwaai_shards_t *shards = NULL;
    kwaai_model_t *model = NULL;
    kwaai_stream_t *answer = NULL;
    kwaai_item_t item = KWAAI_ITEM_VALUE;
    bool failed = kwaai_node_shards(node, &shards, error) ||
                  kwaai_shards_load(shards, model_dir, "\"none\"", WAIT, &model, error) ||
                  kwaai_shards_chat(shards, model, "\"What is KwaaiNet?\"", "{\"max_tokens\": 40}", WAIT, &answer, error);
    while (!failed && item != KWAAI_ITEM_END) {
        char *event = NULL; /* {"kind":"token","text":…}; at the end {"kind":"done","path":…,…} */
        failed = kwaai_stream_next(answer, WAIT, &item, &event, error);
        if (event != NULL) {
            puts(event);
        }
        kwaai_string_free(event);
    }
    kwaai_stream_free(answer);
    kwaai_model_free(model);
    kwaai_shards_free(shards);
    return !failed;
}
/* end: chat */

/* anchor: documents */
static bool documents(kwaai_rag_t *rag, const char *folder, kwaai_error_t **error)
{
    kwaai_stream_t *progress = NULL;
    kwaai_item_t item = KWAAI_ITEM_VALUE;
    bool failed = kwaai_rag_ingest(rag, folder, NULL, WAIT, &progress, error);
    while (!failed && item != KWAAI_ITEM_END) {
        char *event = NULL;
        failed = kwaai_stream_next(progress, WAIT, &item, &event, error);
        if (event != NULL) {
            puts(event);
        }
        kwaai_string_free(event);
    }
    kwaai_stream_free(progress); /* leaving early stops the reading */
    return !failed;
}
/* end: documents */

/* anchor: ask */
static bool ask(kwaai_rag_t *rag, const char *question, char **out_answer, kwaai_error_t **error)
{
    kwaai_stream_t *asking = NULL;
    kwaai_item_t item = KWAAI_ITEM_VALUE;
    bool failed = kwaai_rag_ask(rag, question, "{\"k\": 4}", WAIT, &asking, error);
    *out_answer = NULL;
    while (!failed && item != KWAAI_ITEM_END) {
        char *event = NULL;
        failed = kwaai_stream_next(asking, WAIT, &item, &event, error);
        if (event != NULL) { /* the last event has the answer, its citations, or why it was refused */
            kwaai_string_free(*out_answer);
            *out_answer = event;
        }
    }
    kwaai_stream_free(asking);
    return !failed;
}
/* end: ask */

/* anchor: errors */
static bool errors(kwaai_node_t *node)
{
    kwaai_error_t *error = NULL;
    char *peer = NULL;
    char *message = NULL;
    kwaai_item_t item = KWAAI_ITEM_END;
    kwaai_stream_t *inbox = NULL;
    kwaai_op_t *op = NULL;
    if (kwaai_node_connect(node, "nonsense", WAIT, &peer, &error) != KWAAI_OK) {
        printf("%s, worth another try: %s\n", kwaai_error_code(error), kwaai_error_retryable(error) ? "yes" : "no");
    }
    kwaai_error_free(error);

    /* Every call that waits can be begun instead, waited for, and cancelled. */
    if (kwaai_node_messages(node, &inbox, NULL) || kwaai_stream_next_async(inbox, &op, NULL)) {
        kwaai_stream_free(inbox);
        return false;
    }
    if (kwaai_op_wait(op, 1, NULL) == KWAAI_TIMEOUT) {
        kwaai_op_cancel(op);
    }
    kwaai_op_wait(op, WAIT, NULL);
    kwaai_status_t status = kwaai_op_take_item(op, &item, &message, NULL);
    printf("the slow call ended: %s\n", kwaai_status_name((uint32_t)status));
    kwaai_string_free(message);
    kwaai_op_free(op);
    kwaai_stream_free(inbox);
    return status != KWAAI_OK;
}
/* end: errors */

/* anchor: bring_your_own */
/* Counts letters: one dimension for each. A real embedder asks a model, and may answer later from another thread. */
static void embed(void *context, const char *const *texts, size_t count, bool query, kwaai_answer_t *answer)
{
    (void)context, (void)query;
    float *vectors = calloc(count * 26, sizeof *vectors);
    if (vectors == NULL) {
        kwaai_answer_fail(answer, KWAAI_RESOURCE_EXHAUSTED, "no memory for the vectors", NULL, NULL);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        for (const char *at = texts[i]; *at != '\0'; at++) {
            if (*at >= 'a' && *at <= 'z') {
                vectors[i * 26 + (size_t)(*at - 'a')] += 1;
            }
        }
    }
    kwaai_answer_vectors(answer, vectors, count * 26, NULL);
    free(vectors);
}

static void print_record(void *context, const char *level, const char *message, const char *record_json)
{
    (void)record_json;
    atomic_fetch_add((atomic_int *)context, 1);
    fprintf(stderr, "%s: %s\n", level, message);
}

static bool bring_your_own(const char *dir, atomic_int *records, kwaai_rag_t **out_rag, kwaai_error_t **error)
{
    kwaai_embedder_t *embedder = NULL;
    kwaai_embed_t code = {.context = NULL, .call = embed, .drop = NULL};
    kwaai_log_t sink = {.context = records, .call = print_record, .drop = NULL};
    bool failed = kwaai_library_init_logging("info,kwaai_core=debug", sink, error) ||
                  kwaai_embedder_new("letters", 26, KWAAI_UNSET, code, &embedder, error);
    if (!failed) {
        kwaai_supplies_t supplies = {.size = sizeof supplies, .embedder = embedder};
        failed = kwaai_rag_open(dir, NULL, &supplies, WAIT, out_rag, error);
    }
    kwaai_embedder_free(embedder); /* the knowledge base keeps it */
    return !failed;
}
/* end: bring_your_own */

/* anchor: ask_others */
static bool ask_others(kwaai_node_t *app, kwaai_node_t *host, const char *subject_did, kwaai_error_t **error)
{
    kwaai_trust_t *graph = NULL;
    char *host_did = NULL, *address = NULL, *peer = NULL, *credential = NULL, *summary = NULL, id[128] = "";
    char *before = NULL, *status = NULL, *after = NULL;
    bool failed = kwaai_node_trust(host, &graph, error) || kwaai_node_did(host, &host_did, error) ||
                  kwaai_trust_issue(graph, "FiduciaryPledgeVC", subject_did, NULL, KWAAI_UNSET, true, WAIT, &credential,
                                    error) ||
                  kwaai_trust_import_credential(graph, credential, WAIT, &summary, error) ||
                  kwaai_trust_trust_issuer(graph, host_did, "[\"FiduciaryPledgeVC\"]", WAIT, error) ||
                  kwaai_trust_set_disclosures(graph, "{\"unknown\": \"tier\"}", WAIT, error) ||
                  kwaai_node_address(host, WAIT, &address, error) ||
                  kwaai_node_connect(app, address, WAIT, &peer, error) ||
                  kwaai_node_ask_trust(app, peer, subject_did, NULL, WAIT, &before, error);
    if (!failed) {
        printf("the host says %s\n", before); /* {"answer":"tier",…,"tier":"known",…} */
        failed = sscanf(strstr(summary, "\"id\":\""), "\"id\":\"%127[^\"]", id) != 1 ||
                 kwaai_trust_revoke(graph, id, WAIT, error) ||
                 kwaai_trust_status(graph, credential, WAIT, &status, error) ||
                 kwaai_node_ask_trust(app, peer, subject_did, NULL, WAIT, &after, error);
    }
    if (!failed) {
        printf("the credential is %s and the host says %s\n", status, after);
    }
    kwaai_string_free(host_did);
    kwaai_string_free(address);
    kwaai_string_free(peer);
    kwaai_string_free(credential);
    kwaai_string_free(summary);
    kwaai_string_free(before);
    kwaai_string_free(status);
    kwaai_string_free(after);
    kwaai_trust_free(graph);
    return !failed;
}
/* end: ask_others */

/* anchor: keep_vectors */
static bool keep_vectors(kwaai_node_t *owner, kwaai_node_t *host, kwaai_node_t *other, char **found,
                         kwaai_error_t **error)
{
    static const uint64_t ids[] = {1, 2};
    static const float vectors[] = {1, 0, 0, 0, 1, 0}, question[] = {0.9f, 0.1f, 0};
    const char *metadata = "[{\"text\": \"dumplings\"}, {\"text\": \"soup\"}]";
    kwaai_vpk_t *keeps = NULL, *vpk = NULL, *theirs = NULL;
    kwaai_collection_t *notes = NULL, *recovered = NULL;
    char *address = NULL, *peer = NULL, *again = NULL, *leakage = NULL, *key = NULL, hosts[128];
    bool failed = kwaai_node_vpk(host, &keeps, error) || kwaai_node_vpk(owner, &vpk, error) ||
                  kwaai_vpk_host(keeps, 64u << 20, "{\"min_tier\": \"unknown\"}", WAIT, error) ||
                  kwaai_node_address(host, WAIT, &address, error) ||
                  kwaai_node_connect(owner, address, WAIT, &peer, error);
    if (!failed) {
        snprintf(hosts, sizeof hosts, "[\"%s\"]", peer);
        failed = kwaai_vpk_create(vpk, "notes", 3, "seal", hosts, NULL, WAIT, &notes, error) ||
                 kwaai_collection_leakage(notes, &leakage, error) ||
                 kwaai_collection_upsert(notes, ids, 2, vectors, 3, NULL, metadata, WAIT, error) ||
                 kwaai_collection_flush(notes, WAIT, error) ||
                 kwaai_collection_export_key(notes, "a long walk", WAIT, &key, error) ||
                 kwaai_node_connect(other, address, WAIT, &again, error) || kwaai_node_vpk(other, &theirs, error) ||
                 kwaai_vpk_recover(theirs, "notes", key, "{\"passphrase\": \"a long walk\"}", WAIT, &recovered, error) ||
                 kwaai_collection_search(recovered, question, 3, "{\"k\": 1}", WAIT, found, error);
    }
    if (!failed) {
        printf("the host learns %s\nfound %s\n", leakage, *found);
    }
    kwaai_string_free(address);
    kwaai_string_free(peer);
    kwaai_string_free(again);
    kwaai_string_free(leakage);
    kwaai_string_free(key);
    kwaai_collection_free(recovered);
    kwaai_collection_free(notes);
    kwaai_vpk_free(theirs);
    kwaai_vpk_free(vpk);
    kwaai_vpk_free(keeps);
    return !failed;
}
/* end: keep_vectors */

/* anchor: serve_openai */
static bool serve_openai(kwaai_node_t *node, const char *model_dir, kwaai_http_server_t **server, kwaai_error_t **error)
{
    static const char *const names[] = {"tiny"};
    kwaai_shards_t *shards = NULL;
    kwaai_model_t *model = NULL;
    kwaai_writer_t *writer = NULL;
    char *base_url = NULL;
    bool failed = kwaai_node_shards(node, &shards, error) ||
                  kwaai_shards_load(shards, model_dir, NULL, WAIT, &model, error) ||
                  kwaai_shards_writer(shards, model, NULL, &writer, error);
    if (!failed) {
        const kwaai_writer_t *models[] = {writer};
        kwaai_served_t served = {.size = sizeof served, .model_names = names, .models = models, .model_count = 1};
        failed = kwaai_node_serve_http(node, "{\"port\": 0}", &served, WAIT, server, error) ||
                 kwaai_http_server_base_url(*server, &base_url, error);
    }
    if (!failed) {
        printf("OPENAI_BASE_URL=%s\n", base_url);
    }
    kwaai_string_free(base_url);
    kwaai_writer_free(writer); /* the server keeps the model */
    kwaai_model_free(model);
    kwaai_shards_free(shards);
    return !failed;
}
/* end: serve_openai */

/* anchor: serve_knowledge */
static bool serve_knowledge(kwaai_rag_t *rag, kwaai_http_server_t **server, kwaai_error_t **error)
{
    char *address = NULL, *base_url = NULL;
    bool failed = kwaai_rag_serve(rag, "{\"port\": 0}", WAIT, server, error) ||
                  kwaai_http_server_address(*server, &address, error) ||
                  kwaai_http_server_base_url(*server, &base_url, error);
    if (!failed) {
        printf("open http://%s in a browser, or ask the model kwaainet-knowledge at %s\n", address, base_url);
    }
    kwaai_string_free(address);
    kwaai_string_free(base_url);
    return !failed;
}
/* end: serve_knowledge */

/* anchor: search_together */
static bool search_together(kwaai_node_t *bob, kwaai_rag_t *gardens, kwaai_node_t *alice, kwaai_rag_t *kitchen, char **found,
                            kwaai_error_t **error)
{
    const char *names[] = {"kitchen"};
    const kwaai_rag_t *own[] = {kitchen};
    const kwaai_shared_knowledge_t *shared[1] = {NULL};
    kwaai_members_t members = {.size = sizeof members, .own_names = names, .own = own, .own_count = 1, .shared = shared, .shared_count = 1};
    char *alice_did = NULL, *bob_id = NULL, *capability = NULL;
    kwaai_shared_knowledge_t *opened = NULL;
    kwaai_federation_t *together = NULL;
    const uint64_t month = 30ull * 24 * 60 * 60 * 1000;
    bool failed = kwaai_node_did(alice, &alice_did, error) || kwaai_node_peer_id(bob, &bob_id, error) ||
                  kwaai_node_share_knowledge(bob, gardens, alice_did, "Bob's gardens", month, WAIT, &capability, error) ||
                  kwaai_node_shared_knowledge(alice, bob_id, capability, WAIT, &opened, error);
    shared[0] = opened;
    failed = failed || kwaai_node_federation(alice, &members, "{\"embedder\": \"none\"}", WAIT, &together, error) ||
             kwaai_federation_search(together, "What do tomatoes need?", NULL, WAIT, found, error);
    if (!failed) {
        /* Each hit has its `member`, the passage, and a `provenance` for kwaai_library_check_provenance. */
        puts(*found);
    }
    kwaai_string_free(alice_did);
    kwaai_string_free(bob_id);
    kwaai_string_free(capability);
    kwaai_shared_knowledge_free(opened);
    kwaai_federation_free(together);
    return !failed;
}
/* end: search_together */

static kwaai_error_t *failure;

static void must(bool held, const char *what)
{
    if (!held) {
        fprintf(stderr, "%s failed: %s\n", what, failure != NULL ? kwaai_error_message(failure) : "");
        exit(1);
    }
}

static kwaai_node_t *node(const char *name)
{
    char config[128];
    kwaai_node_t *started = NULL;
    snprintf(config, sizeof config, "{\"preset\": \"ephemeral\", \"name\": \"%s\"}", name);
    must(kwaai_node_start(config, WAIT, &started, &failure) == KWAAI_OK, "starting a node");
    return started;
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "guide <root of a checkout> <empty folder>\n");
        return 2;
    }
    char model[1024], data[1024], folder[1024], *bob_did = NULL, *stranger_did = NULL, *answer = NULL, *peer = NULL, *address = NULL;
    atomic_int records = 0;
    kwaai_rag_t *rag = NULL;
    kwaai_trust_t *issuer = NULL, *graph = NULL;
    snprintf(model, sizeof model, "%s/examples/models/tiny-kwaai", arguments[1]);
    snprintf(data, sizeof data, "%s/examples/data", arguments[1]);

    snprintf(folder, sizeof folder, "%s/own", arguments[2]);
    must(bring_your_own(folder, &records, &rag, &failure), "bring_your_own");
    must(documents(rag, data, &failure), "documents with the program's embedder");
    must(kwaai_rag_search(rag, "librarian", "{\"k\": 1, \"mode\": \"dense\"}", WAIT, &answer, &failure) == KWAAI_OK, "search");
    must(strstr(answer, "\"mode\":\"dense\"") != NULL, "the program's embedder finds passages");
    kwaai_string_free(answer);
    must(kwaai_rag_shutdown(rag, WAIT, &failure) == KWAAI_OK, "closing the knowledge base");
    kwaai_rag_free(rag);

    snprintf(folder, sizeof folder, "%s/words", arguments[2]);
    must(kwaai_rag_open(folder, "{\"embedder\": \"none\"}", NULL, WAIT, &rag, &failure) == KWAAI_OK, "a knowledge base");
    must(documents(rag, data, &failure), "documents");
    must(ask(rag, "Whom does an owner tell before withdrawing a computer?", &answer, &failure), "ask");
    must(answer != NULL && strstr(answer, "librarian") != NULL && strstr(answer, "[1]") != NULL, "the answer is cited");
    puts(answer);
    kwaai_string_free(answer);
    must(ask(rag, "Which planet has the largest moon?", &answer, &failure), "ask");
    must(answer != NULL && strstr(answer, "\"refused\":true") != NULL, "what no document answers is refused");
    kwaai_string_free(answer);
    kwaai_http_server_t *server = NULL;
    must(serve_knowledge(rag, &server, &failure), "serve_knowledge");
    kwaai_http_server_free(server);
    must(kwaai_rag_shutdown(rag, WAIT, &failure) == KWAAI_OK, "closing the knowledge base");

    must(start(&failure), "start");
    kwaai_node_t *alice = node("alice"), *bob = node("bob"), *stranger = node("stranger");
    must(kwaai_trust_open(NULL, NULL, NULL, WAIT, &issuer, &failure) == KWAAI_OK, "an issuer");
    must(kwaai_node_did(bob, &bob_did, &failure) == KWAAI_OK, "bob's DID");
    must(kwaai_node_did(stranger, &stranger_did, &failure) == KWAAI_OK, "the stranger's DID");
    must(messages(alice, bob, &failure), "messages");
    must(trust(alice, issuer, bob_did, &failure), "trust");
    must(!policy(alice, stranger_did, &failure) && kwaai_error_status(failure) == KWAAI_UNTRUSTED_PEER, "policy");
    kwaai_error_free(failure);
    failure = NULL;
    must(ask_others(bob, alice, stranger_did, &failure), "ask_others");
    must(keep_vectors(bob, alice, stranger, &answer, &failure), "keep_vectors");
    must(strstr(answer, "dumplings") != NULL, "the nearest vector is found");
    kwaai_string_free(answer);
    kwaai_rag_t *gardens = NULL, *kitchen = NULL;
    must(kwaai_node_rag(bob, "gardens", "{\"embedder\": \"none\"}", NULL, WAIT, &gardens, &failure) == KWAAI_OK, "bob's gardens");
    must(kwaai_node_rag(alice, "kitchen", "{\"embedder\": \"none\"}", NULL, WAIT, &kitchen, &failure) == KWAAI_OK, "alice's kitchen");
    must(documents(gardens, data, &failure), "documents");
    must(search_together(bob, gardens, alice, kitchen, &answer, &failure), "search_together");
    must(strstr(answer, "\"failures\":[]") != NULL, "both were searched");
    kwaai_string_free(answer);
    kwaai_rag_free(gardens);
    kwaai_rag_free(kitchen);
    must(errors(alice), "errors");

    /* Alice would use blocks of known peers only; bob shares some, the stranger the rest. */
    must(kwaai_node_trust(alice, &graph, &failure) == KWAAI_OK, "alice's trust graph");
    must(kwaai_trust_set_policy(graph, "{\"use_blocks\": \"unknown\"}", WAIT, &failure) == KWAAI_OK, "her policy");
    must(kwaai_node_address(stranger, WAIT, &address, &failure) == KWAAI_OK, "the stranger's address");
    must(kwaai_node_connect(alice, address, WAIT, &peer, &failure) == KWAAI_OK, "reaching the stranger");
    kwaai_node_t *hosts[] = {bob, stranger};
    for (unsigned i = 0; i < 2; i++) {
        kwaai_trust_t *own = NULL;
        must(kwaai_node_trust(hosts[i], &own, &failure) == KWAAI_OK, "a host's trust graph");
        must(kwaai_trust_set_policy(own, "{\"serve_blocks\": \"unknown\"}", WAIT, &failure) == KWAAI_OK, "its policy");
        kwaai_trust_free(own);
        must(share_blocks(hosts[i], model, 2 * i, 2 * i + 2, &failure), "share_blocks");
    }
    must(chat(alice, model, &failure), "chat");
    must(serve_openai(alice, model, &server, &failure), "serve_openai");
    must(kwaai_http_server_shutdown(server, KWAAI_UNSET, WAIT, &failure) == KWAAI_OK, "ending the server");
    kwaai_http_server_free(server);
    must(atomic_load(&records) > 0, "the log sink got records");

    kwaai_node_t *nodes[] = {alice, bob, stranger};
    for (unsigned i = 0; i < 3; i++) {
        must(kwaai_node_shutdown(nodes[i], 1000, WAIT, &failure) == KWAAI_OK, "shutting down");
        kwaai_node_free(nodes[i]);
    }
    kwaai_string_free(address);
    kwaai_string_free(peer);
    kwaai_string_free(bob_did);
    kwaai_string_free(stranger_did);
    kwaai_trust_free(issuer);
    kwaai_trust_free(graph);
    kwaai_rag_free(rag);
    must(kwaai_live_handles() == 0, "freeing everything");
    kwaai_library_shutdown(5000);
    puts("ok");
    return 0;
}
