/* Runs one scenario of tests/conformance through the C interface: conformance <root> <file>. */

#include "provided.h"
#include "scenario.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A call of the scenario, under way. */
typedef struct {
    const char *name;
    json *args;
    result on;
    result out;
    kwaai_error_t *error;
    bool refused; /* by C's own types: the value cannot even be passed */
} call;

/* An argument of this kind; NULL when it is left out. */
static json *argument(call *made, const char *key, json_kind kind)
{
    json *value = json_get(made->args, key);
    if (value == NULL || value->kind == JSON_NULL) {
        return NULL;
    }
    if (value->kind != kind) {
        made->refused = true;
        return NULL;
    }
    return value;
}

static const char *text_of(call *made, const char *key)
{
    json *value = argument(made, key, JSON_TEXT);
    return value == NULL ? NULL : value->text;
}

/* An argument as JSON text; NULL when it is left out. */
static const char *written(call *made, const char *key)
{
    json *value = json_get(made->args, key);
    return value == NULL ? NULL : json_write(value);
}

/* Whether a name is one of these words. */
static bool is_among(const char *words, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = words; (at = strstr(at, name)) != NULL; at += length) {
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Those of the arguments that are there, as a JSON object: the options. */
static const char *options(call *made, const char *keys)
{
    json *object = json_new(JSON_OBJECT);
    for (size_t i = 0; i < made->args->count; i++) {
        const char *key = made->args->keys[i];
        json *value = made->args->items[i];
        if (is_among(keys, key) && !(value->kind == JSON_TEXT && value->text[0] == '$')) {
            json_add(object, key, value);
        }
    }
    return object->count == 0 ? NULL : json_write(object);
}

static double whole_number(call *made, const json *value, double most)
{
    double number = value->number;
    if (value->kind != JSON_NUMBER || !(number >= 0 && number <= most && number == floor(number))) {
        made->refused = true;
        return 0;
    }
    return number;
}

static double number_of(call *made, const char *key, double most)
{
    json *value = json_get(made->args, key);
    return value == NULL ? 0 : whole_number(made, value, most);
}

static const char **texts_of(call *made, const char *key, size_t *count)
{
    json *list = argument(made, key, JSON_LIST);
    const char **texts = json_allocate(((list == NULL ? 0 : list->count) + 1) * sizeof *texts);
    *count = list == NULL ? 0 : list->count;
    for (size_t i = 0; i < *count; i++) {
        json *item = list->items[i];
        made->refused = made->refused || item->kind != JSON_TEXT;
        texts[i] = item->kind == JSON_TEXT ? item->text : NULL;
    }
    return texts;
}

static uint32_t u32_of(call *made, const char *key)
{
    return (uint32_t)number_of(made, key, UINT32_MAX);
}

static uint64_t u64_of(call *made, const char *key)
{
    return (uint64_t)number_of(made, key, 9007199254740992.0);
}

/* Whether it is finite and in its range is for the library to say. */
static double real_of(call *made, const char *key)
{
    json *value = json_get(made->args, key);
    if (value == NULL || value->kind != JSON_NUMBER) {
        made->refused = true;
        return 0;
    }
    return value->number;
}

static bool bool_of(call *made, const char *key)
{
    json *value = argument(made, key, JSON_BOOL);
    return value != NULL && value->number != 0;
}

/* A number of milliseconds that may be left out. */
static uint64_t ms_of(call *made, const char *key)
{
    return json_get(made->args, key) == NULL ? KWAAI_UNSET : u64_of(made, key);
}

static void *handle_named(const json *value, handle_kind kind)
{
    if (value == NULL || value->kind != JSON_TEXT || value->text[0] != '$') {
        return NULL;
    }
    const result *found = find_saved(value->text + 1, strlen(value->text + 1));
    return found != NULL && found->kind == kind ? found->handle : NULL;
}

static void *handle_of(call *made, const char *key, handle_kind kind)
{
    return handle_named(json_get(made->args, key), kind);
}

/* A model that may be left out. */
static void *maybe_model(call *made, const char *key)
{
    json *value = json_get(made->args, key);
    void *model = handle_of(made, key, MODEL);
    made->refused = made->refused || (value != NULL && value->kind != JSON_NULL && model == NULL);
    return model;
}

static size_t decoded(const char *base64, uint8_t *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = 0;
    unsigned bits = 0, held = 0;
    for (; *base64 != '\0' && *base64 != '='; base64++) {
        held = (held << 6) | (unsigned)(strchr(digits, *base64) - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[length++] = (uint8_t)(held >> bits);
        }
    }
    return length;
}

static kwaai_status_t as_json(call *made, kwaai_status_t status, char *text)
{
    if (status == KWAAI_OK) {
        made->out.data = json_parse(text);
        REQUIRE(made->out.data != NULL);
    }
    kwaai_string_free(text);
    return status;
}

static kwaai_status_t as_text(call *made, kwaai_status_t status, char *text)
{
    if (status == KWAAI_OK) {
        made->out.data = json_string(text);
    }
    kwaai_string_free(text);
    return status;
}

static json *took(char *text)
{
    REQUIRE(text != NULL);
    json *value = json_string(text);
    kwaai_string_free(text);
    return value;
}

static kwaai_status_t as_handle(call *made, kwaai_status_t status, handle_kind kind, void *handle)
{
    if (status != KWAAI_OK) {
        return status;
    }
    json *fields = json_new(JSON_OBJECT);
    char *text = NULL;
    uint32_t blocks = 0;
    if (kind == NODE) {
        MUST(kwaai_node_name(handle, &text, &error));
        json_add(fields, "name", took(text));
        MUST(kwaai_node_peer_id(handle, &text, &error));
        json_add(fields, "peer_id", took(text));
        MUST(kwaai_node_did(handle, &text, &error));
        json_add(fields, "did", took(text));
    } else if (kind == TRUST) {
        MUST(kwaai_trust_did(handle, &text, &error));
        json_add(fields, "did", took(text));
    } else if (kind == MODEL) {
        MUST(kwaai_model_id(handle, &text, &error));
        json_add(fields, "id", took(text));
        MUST(kwaai_model_blocks(handle, &blocks, &error));
        json_add(fields, "blocks", json_real(blocks));
    } else if (kind == COLLECTION) {
        MUST(kwaai_collection_name(handle, &text, &error));
        json_add(fields, "name", took(text));
        MUST(kwaai_collection_id(handle, &text, &error));
        json_add(fields, "id", took(text));
    } else if (kind == SHARED) {
        MUST(kwaai_shared_knowledge_capability(handle, &text, &error));
        json_add(fields, "capability", json_parse(text));
        kwaai_string_free(text);
    } else if (kind == FEDERATION) {
        MUST(kwaai_federation_members(handle, &text, &error));
        json_add(fields, "members", json_parse(text));
        kwaai_string_free(text);
    } else if (kind == CONSOLE) {
        MUST(kwaai_console_url(handle, &text, &error));
        json_add(fields, "url", took(text));
    } else if (kind == SERVER) {
        uint32_t port = 0;
        MUST(kwaai_http_server_address(handle, &text, &error));
        json_add(fields, "address", took(text));
        MUST(kwaai_http_server_port(handle, &port, &error));
        json_add(fields, "port", json_real(port));
        MUST(kwaai_http_server_base_url(handle, &text, &error));
        json_add(fields, "base_url", took(text));
    }
    made->out = (result){kind, handle, fields};
    return status;
}

static kwaai_status_t as_matrix(call *made, kwaai_status_t status, float *values, size_t rows, size_t columns)
{
    if (status == KWAAI_OK) {
        json *list = json_new(JSON_LIST), *matrix = json_new(JSON_OBJECT);
        for (size_t row = 0; row < rows; row++) {
            json *numbers = json_new(JSON_LIST);
            for (size_t column = 0; column < columns; column++) {
                json_add(numbers, NULL, json_real((double)values[row * columns + column]));
            }
            json_add(list, NULL, numbers);
        }
        json_add(matrix, "rows", json_real((double)rows));
        json_add(matrix, "columns", json_real((double)columns));
        json_add(matrix, "values", list);
        made->out.data = matrix;
    }
    kwaai_floats_free(values);
    return status;
}

/* Reads on until something matches; all of it as a list when nothing needs to. */
static kwaai_status_t read_stream(call *made, const json *match, bool all)
{
    json *list = json_new(JSON_LIST);
    for (;;) {
        kwaai_item_t item = KWAAI_ITEM_END;
        char *text = NULL;
        kwaai_status_t status = kwaai_stream_next(made->on.handle, PATIENCE_MS, &item, &text, &made->error);
        if (status != KWAAI_OK) {
            return status;
        }
        json *value = text == NULL ? json_new(JSON_NULL) : json_parse(text);
        kwaai_string_free(text);
        REQUIRE(value != NULL);
        if (!all && (match == NULL || item == KWAAI_ITEM_END || matches(match, value))) {
            made->out.data = value;
            return status;
        }
        if (item == KWAAI_ITEM_END) {
            made->out.data = list;
            return status;
        }
        json_add(list, NULL, value);
    }
}

typedef struct {
    kwaai_supplies_t given;
    const kwaai_reader_t *readers[8];
    kwaai_writer_t *own_writer;
} supplies;

static kwaai_status_t gather(call *made, supplies *all)
{
    json *readers = argument(made, "readers", JSON_LIST), *model = json_get(made->args, "model");
    *all = (supplies){{.size = sizeof all->given}, {NULL}, NULL};
    all->given.embedder = handle_of(made, "embedder", EMBEDDER);
    all->given.writer = handle_of(made, "model", WRITER);
    all->given.readers = all->readers;
    for (size_t i = 0; readers != NULL && i < readers->count; i++) {
        all->readers[all->given.reader_count++] = handle_named(readers->items[i], READER);
    }
    if (model != NULL && model->kind == JSON_OBJECT) {
        kwaai_status_t status = kwaai_shards_writer(handle_named(json_get(model, "engine"), SHARDS),
                                                    handle_named(json_get(model, "model"), MODEL), NULL,
                                                    &all->own_writer, &made->error);
        all->given.writer = all->own_writer;
        return status;
    }
    return KWAAI_OK;
}

/* What a server answers with; what has no handle goes into the options. */
typedef struct {
    kwaai_served_t given;
    const char *model_names[8], *embedder_names[8];
    const kwaai_writer_t *models[8];
    const kwaai_embedder_t *embedders[8];
    const char *knowledge_names[8];
    const kwaai_rag_t *knowledge[8];
    kwaai_writer_t *own[8];
    size_t own_count;
} served;

static kwaai_status_t gather_served(call *made, served *all, json *chosen)
{
    json *models = json_get(made->args, "models"), *embedders = json_get(made->args, "embedders");
    json *endpoints = json_new(JSON_OBJECT), *named = json_new(JSON_OBJECT);
    json *knowledge = json_get(made->args, "knowledge");
    *all = (served){{.size = sizeof all->given}, {NULL}, {NULL}, {NULL}, {NULL}, {NULL}, {NULL}, {NULL}, 0};
    all->given.model_names = all->model_names;
    all->given.models = all->models;
    all->given.embedder_names = all->embedder_names;
    all->given.embedders = all->embedders;
    all->given.knowledge_names = all->knowledge_names;
    all->given.knowledge = all->knowledge;
    for (size_t i = 0; models != NULL && models->kind == JSON_OBJECT && i < models->count; i++) {
        json *model = models->items[i], *engine = model->kind == JSON_OBJECT ? json_get(model, "engine") : NULL;
        const kwaai_writer_t *writer = handle_named(model, WRITER);
        if (engine != NULL) {
            kwaai_writer_t **own = &all->own[all->own_count];
            kwaai_status_t status = kwaai_shards_writer(handle_named(engine, SHARDS),
                                                        handle_named(json_get(model, "model"), MODEL), NULL, own, &made->error);
            if (status != KWAAI_OK) {
                return status;
            }
            all->own_count++;
            writer = *own;
        }
        if (writer == NULL) {
            json_add(endpoints, models->keys[i], model);
        } else {
            all->model_names[all->given.model_count] = models->keys[i];
            all->models[all->given.model_count++] = writer;
        }
    }
    for (size_t i = 0; embedders != NULL && embedders->kind == JSON_OBJECT && i < embedders->count; i++) {
        const kwaai_embedder_t *embedder = handle_named(embedders->items[i], EMBEDDER);
        if (embedder == NULL) {
            json_add(named, embedders->keys[i], embedders->items[i]);
        } else {
            all->embedder_names[all->given.embedder_count] = embedders->keys[i];
            all->embedders[all->given.embedder_count++] = embedder;
        }
    }
    for (size_t i = 0; knowledge != NULL && knowledge->kind == JSON_OBJECT && i < knowledge->count; i++) {
        all->knowledge_names[i] = knowledge->keys[i];
        all->knowledge[i] = handle_named(knowledge->items[i], RAG);
        all->given.knowledge_count++;
    }
    for (size_t i = 0; i < made->args->count; i++) {
        const char *key = made->args->keys[i];
        if (is_among("host port token max_requests max_body_bytes max_upload_bytes", key)) {
            json_add(chosen, key, made->args->items[i]);
        }
    }
    json_add(chosen, "models", models != NULL && models->kind != JSON_OBJECT ? models : endpoints);
    json_add(chosen, "embedders", embedders != NULL && embedders->kind != JSON_OBJECT ? embedders : named);
    return KWAAI_OK;
}

#define IS(verb) (strcmp(made->name, verb) == 0)
#define H made->on.handle
#define T PATIENCE_MS
#define E &made->error
#define JSON_OF(...) (status = __VA_ARGS__, as_json(made, status, text))
#define TEXT_OF(...) (status = __VA_ARGS__, as_text(made, status, text))
#define HANDLE_OF(kind, ...) (status = __VA_ARGS__, as_handle(made, status, kind, handle))

/* What issues answers the document alone; the scenarios want what it says too. */
static kwaai_status_t issued(call *made, kwaai_status_t status, char *document)
{
    char *text = NULL;
    if (status == KWAAI_OK) {
        status = kwaai_trust_verify(H, document, T, &text, E);
        kwaai_string_free(document);
    }
    return as_json(made, status, text);
}

static kwaai_status_t issued_by_node(call *made, kwaai_status_t status, char *document)
{
    void *node = H;
    kwaai_trust_t *trust = NULL;
    if (status == KWAAI_OK) {
        status = kwaai_node_trust(node, &trust, E);
        made->on.handle = trust;
    }
    status = issued(made, status, document);
    made->on.handle = node;
    kwaai_trust_free(trust);
    return status;
}

/* The knowledge bases of a federation. */
static kwaai_status_t federate(call *made, kwaai_federation_t **federation)
{
    json *own = json_get(made->args, "own"), *shared = json_get(made->args, "shared");
    const char *names[8];
    const kwaai_rag_t *bases[8];
    const kwaai_shared_knowledge_t *others[8];
    kwaai_members_t members = {.size = sizeof members, .own_names = names, .own = bases, .shared = others};
    for (size_t i = 0; own != NULL && own->kind == JSON_OBJECT && i < own->count; i++) {
        names[i] = own->keys[i];
        bases[i] = handle_named(own->items[i], RAG);
        members.own_count++;
    }
    for (size_t i = 0; shared != NULL && shared->kind == JSON_LIST && i < shared->count; i++) {
        others[i] = handle_named(shared->items[i], SHARED);
        members.shared_count++;
    }
    members.embedder = handle_of(made, "embedder", EMBEDDER);
    return kwaai_node_federation(H, &members, options(made, "embedder language"), T, federation, E);
}

static kwaai_status_t call_node(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    void *handle = NULL;
    if (IS("Node.start")) {
        const char *config =
            options(made, "preset name data_dir identity_key listen bootstrap mdns hivemind trusted_relays relay relay_limits "
                          "announce_addr public_ip public_port force_private identify_min_confirmations "
                          "identify_timeout_ms upnp peer_cache limits seed clock");
        return HANDLE_OF(NODE, kwaai_node_start(config, T, (kwaai_node_t **)&handle, E));
    } else if (IS("Node.name")) {
        return TEXT_OF(kwaai_node_name(H, &text, E));
    } else if (IS("Node.peer_id")) {
        return TEXT_OF(kwaai_node_peer_id(H, &text, E));
    } else if (IS("Node.did")) {
        return TEXT_OF(kwaai_node_did(H, &text, E));
    } else if (IS("Node.info")) {
        return JSON_OF(kwaai_node_info(H, T, &text, E));
    } else if (IS("Node.address")) {
        return TEXT_OF(kwaai_node_address(H, T, &text, E));
    } else if (IS("Node.peers")) {
        return JSON_OF(kwaai_node_peers(H, T, &text, E));
    } else if (IS("Node.metrics")) {
        return JSON_OF(kwaai_node_metrics(H, T, &text, E));
    } else if (IS("Node.diagnose")) {
        return JSON_OF(kwaai_node_diagnose(H, T, &text, E));
    } else if (IS("Node.connect")) {
        return TEXT_OF(kwaai_node_connect(H, text_of(made, "address"), T, &text, E));
    } else if (IS("Node.disconnect")) {
        return kwaai_node_disconnect(H, text_of(made, "peer"), T, E);
    } else if (IS("Node.probe")) {
        return JSON_OF(kwaai_node_probe(H, text_of(made, "peer"), T, &text, E));
    } else if (IS("Node.find_peer")) {
        return JSON_OF(kwaai_node_find_peer(H, text_of(made, "peer"), T, &text, E));
    } else if (IS("Node.ask_trust")) {
        return JSON_OF(kwaai_node_ask_trust(H, text_of(made, "peer"), text_of(made, "about"), written(made, "at_least"), T,
                                            &text, E));
    } else if (IS("Node.ask_word")) {
        return JSON_OF(kwaai_node_ask_word(H, text_of(made, "peer"), T, &text, E));
    } else if (IS("Node.refresh_status_lists")) {
        return JSON_OF(kwaai_node_refresh_status_lists(H, T, &text, E));
    } else if (IS("Node.test_credential")) {
        return JSON_OF(kwaai_node_test_credential(H, text_of(made, "credential_id"), maybe_model(made, "model"),
                                                  options(made, "tolerance tokens seed"), T, &text, E));
    } else if (IS("Node.sight")) {
        return JSON_OF(kwaai_node_sight(H, text_of(made, "peer"), T, &text, E));
    } else if (IS("Node.watch_peers")) {
        return kwaai_node_watch_peers(H, ms_of(made, "period_ms"), T, E);
    } else if (IS("Node.issue_throughput")) {
        status = kwaai_node_issue_throughput(H, text_of(made, "peer"), maybe_model(made, "model"),
                                             options(made, "tokens runs seed valid_for_ms"), T, &text, E);
        return issued_by_node(made, status, text);
    } else if (IS("Node.send_message")) {
        return kwaai_node_send_message(H, text_of(made, "peer"), text_of(made, "text"), T, E);
    } else if (IS("Node.messages")) {
        return HANDLE_OF(STREAM, kwaai_node_messages(H, (kwaai_stream_t **)&handle, E));
    } else if (IS("Node.events")) {
        return HANDLE_OF(STREAM, kwaai_node_events(H, (kwaai_stream_t **)&handle, E));
    } else if (IS("Node.trust")) {
        return HANDLE_OF(TRUST, kwaai_node_trust(H, (kwaai_trust_t **)&handle, E));
    } else if (IS("Node.shards")) {
        return HANDLE_OF(SHARDS, kwaai_node_shards(H, (kwaai_shards_t **)&handle, E));
    } else if (IS("Node.vpk")) {
        return HANDLE_OF(VPK, kwaai_node_vpk(H, (kwaai_vpk_t **)&handle, E));
    } else if (IS("Node.share_knowledge")) {
        char *capability = NULL;
        status = kwaai_node_share_knowledge(H, handle_of(made, "rag", RAG), text_of(made, "holder"), text_of(made, "name"),
                                            u64_of(made, "valid_for_ms"), T, &capability, E);
        if (status == KWAAI_OK) {
            status = kwaai_library_read_knowledge_capability(capability, &text, E);
        }
        kwaai_string_free(capability);
        return as_json(made, status, text);
    } else if (IS("Node.shared_knowledge")) {
        return HANDLE_OF(SHARED, kwaai_node_shared_knowledge(H, text_of(made, "peer"), text_of(made, "capability"), T,
                                                             (kwaai_shared_knowledge_t **)&handle, E));
    } else if (IS("Node.federation")) {
        return HANDLE_OF(FEDERATION, federate(made, (kwaai_federation_t **)&handle));
    } else if (IS("Node.prove")) {
        return JSON_OF(kwaai_node_prove(H, handle_of(made, "rag", RAG), written(made, "hits"), T, &text, E));
    } else if (IS("Node.contribute")) {
        return JSON_OF(kwaai_node_contribute(H, options(made, "blocks min_tier grace_ms"), T, &text, E));
    } else if (IS("Node.advance_clock")) {
        return kwaai_node_advance_clock(H, u64_of(made, "by_ms"), E);
    } else if (IS("Node.shutdown")) {
        return kwaai_node_shutdown(H, ms_of(made, "grace_ms"), T, E);
    } else if (IS("Node.rag")) {
        supplies all;
        if ((status = gather(made, &all)) == KWAAI_OK) {
            const char *chosen = options(made, "embedder model chunking language cache data_dir");
            status = kwaai_node_rag(H, text_of(made, "name"), chosen, &all.given, T, (kwaai_rag_t **)&handle, E);
        }
        kwaai_writer_free(all.own_writer);
        return as_handle(made, status, RAG, handle);
    } else if (IS("Node.serve_http")) {
        served all;
        json *chosen = json_new(JSON_OBJECT);
        if ((status = gather_served(made, &all, chosen)) == KWAAI_OK) {
            status = kwaai_node_serve_http(H, json_write(chosen), &all.given, T, (kwaai_http_server_t **)&handle, E);
        }
        for (size_t i = 0; i < all.own_count; i++) {
            kwaai_writer_free(all.own[i]);
        }
        return as_handle(made, status, SERVER, handle);
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_status(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    if (IS("TrustGraph.revoke")) {
        return kwaai_trust_revoke(H, text_of(made, "credential_id"), T, E);
    } else if (IS("TrustGraph.suspend")) {
        return kwaai_trust_suspend(H, text_of(made, "credential_id"), T, E);
    } else if (IS("TrustGraph.reinstate")) {
        return kwaai_trust_reinstate(H, text_of(made, "credential_id"), T, E);
    } else if (IS("TrustGraph.status")) {
        return JSON_OF(kwaai_trust_status(H, text_of(made, "credential"), T, &text, E));
    } else if (IS("TrustGraph.status_lists")) {
        return JSON_OF(kwaai_trust_status_lists(H, T, &text, E));
    } else if (IS("TrustGraph.status_list")) {
        return TEXT_OF(kwaai_trust_status_list(H, text_of(made, "url"), T, &text, E));
    } else if (IS("TrustGraph.keep_status_list")) {
        return JSON_OF(kwaai_trust_keep_status_list(H, text_of(made, "list"), T, &text, E));
    } else if (IS("TrustGraph.wanted_status_lists")) {
        return JSON_OF(kwaai_trust_wanted_status_lists(H, T, &text, E));
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_wallet(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    if (IS("TrustGraph.export_credentials")) {
        return TEXT_OF(kwaai_trust_export_credentials(H, T, &text, E));
    } else if (IS("TrustGraph.import_credentials")) {
        return JSON_OF(kwaai_trust_import_credentials(H, text_of(made, "bundle"), T, &text, E));
    } else if (IS("TrustGraph.set_passphrase")) {
        return kwaai_trust_set_passphrase(H, text_of(made, "passphrase"), T, E);
    } else if (IS("TrustGraph.remove_passphrase")) {
        return kwaai_trust_remove_passphrase(H, T, E);
    } else if (IS("TrustGraph.unlock")) {
        return kwaai_trust_unlock(H, text_of(made, "passphrase"), T, E);
    } else if (IS("TrustGraph.lock")) {
        return kwaai_trust_lock(H, T, E);
    } else if (IS("TrustGraph.wallet_state")) {
        return TEXT_OF(kwaai_trust_wallet_state(H, T, &text, E));
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_pledge(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    if (IS("TrustGraph.request_pledge")) {
        return TEXT_OF(kwaai_trust_request_pledge(H, text_of(made, "issuer"), text_of(made, "text"), text_of(made, "name"),
                                                  T, &text, E));
    } else if (IS("TrustGraph.issue_pledge")) {
        status = kwaai_trust_issue_pledge(H, text_of(made, "request"), text_of(made, "text"), text_of(made, "name"),
                                          ms_of(made, "valid_for_ms"), T, &text, E);
        return issued(made, status, text);
    } else if (IS("TrustGraph.accept_pledge")) {
        return JSON_OF(kwaai_trust_accept_pledge(H, text_of(made, "credential"), text_of(made, "text"),
                                                 text_of(made, "name"), T, &text, E));
    } else if (IS("TrustGraph.withdraw_pledge")) {
        return TEXT_OF(kwaai_trust_withdraw_pledge(H, text_of(made, "credential_id"), T, &text, E));
    } else if (IS("TrustGraph.import_withdrawal")) {
        return TEXT_OF(kwaai_trust_import_withdrawal(H, text_of(made, "withdrawal"), T, &text, E));
    } else if (IS("TrustGraph.withdrawals")) {
        return JSON_OF(kwaai_trust_withdrawals(H, T, &text, E));
    } else if (IS("TrustGraph.pledge_to_revoke")) {
        return JSON_OF(kwaai_trust_pledge_to_revoke(H, text_of(made, "withdrawal"), T, &text, E));
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_experience(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    if (IS("TrustGraph.thresholds")) {
        return JSON_OF(kwaai_trust_thresholds(H, T, &text, E));
    } else if (IS("TrustGraph.set_thresholds")) {
        return kwaai_trust_set_thresholds(H, written(made, "thresholds"), T, E);
    } else if (IS("TrustGraph.record")) {
        return kwaai_trust_record(H, text_of(made, "peer"), text_of(made, "outcome"),
                                  options(made, "latency_ms promised delivered"), T, E);
    } else if (IS("TrustGraph.reputation")) {
        return JSON_OF(kwaai_trust_reputation(H, text_of(made, "peer"), T, &text, E));
    } else if (IS("TrustGraph.reputations")) {
        return JSON_OF(kwaai_trust_reputations(H, T, &text, E));
    } else if (IS("TrustGraph.add_recommendation")) {
        return kwaai_trust_add_recommendation(H, text_of(made, "recommender"), text_of(made, "about"),
                                              real_of(made, "good"), real_of(made, "bad"), text_of(made, "at"), T, E);
    } else if (IS("TrustGraph.propagate")) {
        return JSON_OF(kwaai_trust_propagate(H, options(made, "pretrusted alpha"), T, &text, E));
    } else if (IS("TrustGraph.flush")) {
        return kwaai_trust_flush(H, T, E);
    } else if (IS("TrustGraph.reset_reputation")) {
        return kwaai_trust_reset_reputation(H, text_of(made, "peer"), T, E);
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_presentation(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    if (IS("TrustGraph.present")) {
        return TEXT_OF(kwaai_trust_present(H, text_of(made, "audience"), text_of(made, "challenge"),
                                           options(made, "subject issuer type"), T, &text, E));
    } else if (IS("TrustGraph.verify_presentation")) {
        return JSON_OF(kwaai_trust_verify_presentation(H, text_of(made, "presentation"), text_of(made, "audience"),
                                                       text_of(made, "challenge"), T, &text, E));
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_claims(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    if (IS("TrustGraph.tests")) {
        return JSON_OF(kwaai_trust_tests(H, text_of(made, "credential_id"), T, &text, E));
    } else if (IS("TrustGraph.sight")) {
        return kwaai_trust_sight(H, text_of(made, "peer"), bool_of(made, "up"), T, E);
    } else if (IS("TrustGraph.sightings")) {
        return JSON_OF(kwaai_trust_sightings(H, text_of(made, "peer"), T, &text, E));
    } else if (IS("TrustGraph.issue_uptime")) {
        status = kwaai_trust_issue_uptime(H, text_of(made, "peer"), ms_of(made, "valid_for_ms"), T, &text, E);
        return issued(made, status, text);
    } else if (IS("TrustGraph.issue_binding")) {
        status = kwaai_trust_issue_binding(H, text_of(made, "subject"), text_of(made, "link_type"),
                                           ms_of(made, "valid_for_ms"), T, &text, E);
        return issued(made, status, text);
    } else if (IS("TrustGraph.bindings")) {
        return JSON_OF(kwaai_trust_bindings(H, text_of(made, "did"), T, &text, E));
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_trust(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    void *handle = NULL;
    double value = 0;
    if (IS("TrustGraph.open")) {
        return HANDLE_OF(TRUST, kwaai_trust_open(text_of(made, "dir"), options(made, "seed clock"),
                                                 handle_of(made, "signer", SIGNER), T, (kwaai_trust_t **)&handle, E));
    } else if (IS("TrustGraph.did")) {
        return TEXT_OF(kwaai_trust_did(H, &text, E));
    } else if (IS("TrustGraph.issue")) {
        status = kwaai_trust_issue(H, text_of(made, "type"), text_of(made, "subject"), written(made, "claims"),
                                   ms_of(made, "valid_for_ms"), bool_of(made, "revocable"), T, &text, E);
        return issued(made, status, text);
    } else if (IS("TrustGraph.verify")) {
        return JSON_OF(kwaai_trust_verify(H, text_of(made, "credential"), T, &text, E));
    } else if (IS("TrustGraph.read_legacy")) {
        return JSON_OF(kwaai_trust_read_legacy(H, text_of(made, "credential"), T, &text, E));
    } else if (IS("TrustGraph.read_dtg")) {
        return JSON_OF(kwaai_trust_read_dtg(H, text_of(made, "credential"), T, &text, E));
    } else if (IS("TrustGraph.import_credential")) {
        return JSON_OF(kwaai_trust_import_credential(H, text_of(made, "credential"), T, &text, E));
    } else if (IS("TrustGraph.credentials")) {
        return JSON_OF(kwaai_trust_credentials(H, options(made, "subject issuer type"), T, &text, E));
    } else if (IS("TrustGraph.credential")) {
        return JSON_OF(kwaai_trust_credential(H, text_of(made, "id"), T, &text, E));
    } else if (IS("TrustGraph.remove_credential")) {
        return kwaai_trust_remove_credential(H, text_of(made, "id"), T, E);
    } else if (IS("TrustGraph.issuers")) {
        return JSON_OF(kwaai_trust_issuers(H, T, &text, E));
    } else if (IS("TrustGraph.trust_issuer")) {
        return kwaai_trust_trust_issuer(H, text_of(made, "did"), written(made, "types"), T, E);
    } else if (IS("TrustGraph.distrust_issuer")) {
        return kwaai_trust_distrust_issuer(H, text_of(made, "did"), T, E);
    } else if (IS("TrustGraph.score")) {
        JSON_OF(kwaai_trust_score(H, text_of(made, "peer"), T, &value, &text, E));
        REQUIRE(status != KWAAI_OK || json_get(made->out.data, "value")->number == value);
        return status;
    } else if (IS("TrustGraph.scores")) {
        return JSON_OF(kwaai_trust_scores(H, written(made, "peers"), T, &text, E));
    } else if (IS("TrustGraph.policy")) {
        return JSON_OF(kwaai_trust_policy(H, T, &text, E));
    } else if (IS("TrustGraph.set_policy")) {
        return kwaai_trust_set_policy(H, written(made, "policy"), T, E);
    } else if (IS("TrustGraph.require")) {
        return kwaai_trust_require(H, text_of(made, "peer"), text_of(made, "purpose"), T, E);
    } else if (IS("TrustGraph.disclosures")) {
        return JSON_OF(kwaai_trust_disclosures(H, T, &text, E));
    } else if (IS("TrustGraph.set_disclosures")) {
        return kwaai_trust_set_disclosures(H, written(made, "disclosures"), T, E);
    } else if (IS("TrustGraph.advance_clock")) {
        return kwaai_trust_advance_clock(H, u64_of(made, "by_ms"), E);
    } else if (IS("TrustGraph.shutdown")) {
        return kwaai_trust_shutdown(H, E);
    }
    kwaai_status_t (*const others[])(call *) = {call_status,     call_wallet,       call_pledge,
                                                call_experience, call_presentation, call_claims};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        status = others[i](made);
        if (status != KWAAI_UNSUPPORTED || made->error != NULL) {
            return status;
        }
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_shards(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    void *handle = NULL;
    float *values = NULL;
    size_t rows = 0, columns = 0, count = 0;
    if (IS("ShardEngine.open")) {
        return HANDLE_OF(SHARDS, kwaai_shards_open(T, (kwaai_shards_t **)&handle, E));
    } else if (IS("ShardEngine.load")) {
        return HANDLE_OF(MODEL, kwaai_shards_load(H, text_of(made, "model"), written(made, "blocks"), T,
                                                  (kwaai_model_t **)&handle, E));
    } else if (IS("ShardEngine.download")) {
        return HANDLE_OF(STREAM, kwaai_shards_download(H, text_of(made, "model"), written(made, "blocks"), T,
                                                       (kwaai_stream_t **)&handle, E));
    } else if (IS("ShardEngine.downloaded")) {
        return JSON_OF(kwaai_shards_downloaded(H, T, &text, E));
    } else if (IS("ShardEngine.remove_download")) {
        status = kwaai_shards_remove_download(H, text_of(made, "model"), T, &count, E);
        made->out.data = json_real((double)count);
        return status;
    } else if (IS("ShardEngine.serve")) {
        return JSON_OF(kwaai_shards_serve(H, text_of(made, "model"), u32_of(made, "start_block"),
                                          u32_of(made, "end_block"), T, &text, E));
    } else if (IS("ShardEngine.stop_serving")) {
        return kwaai_shards_stop_serving(H, text_of(made, "model_id"), T, E);
    } else if (IS("ShardEngine.served")) {
        return JSON_OF(kwaai_shards_served(H, T, &text, E));
    } else if (IS("ShardEngine.coverage")) {
        return JSON_OF(kwaai_shards_coverage(H, handle_of(made, "model", MODEL), T, &text, E));
    } else if (IS("ShardEngine.calibrate")) {
        const char *how = options(made, "memory_bytes sessions tokens");
        return JSON_OF(kwaai_shards_calibrate(H, text_of(made, "model"), how, T, &text, E));
    } else if (IS("ShardEngine.benchmark")) {
        const char *how = options(made, "prompt_tokens warm_up steps sessions seed route");
        return JSON_OF(kwaai_shards_benchmark(H, handle_of(made, "model", MODEL), how, T, &text, E));
    } else if (IS("ShardEngine.chat")) {
        const char *how = options(made, "max_tokens temperature top_p top_k seed stop route");
        return HANDLE_OF(STREAM, kwaai_shards_chat(H, handle_of(made, "model", MODEL), written(made, "messages"), how, T,
                                                   (kwaai_stream_t **)&handle, E));
    } else if (IS("ShardEngine.logits")) {
        json *list = argument(made, "tokens", JSON_LIST);
        uint32_t *tokens = json_allocate(((list == NULL ? 0 : list->count) + 1) * sizeof *tokens);
        for (size_t i = 0; list != NULL && i < list->count; i++) {
            tokens[count++] = (uint32_t)whole_number(made, list->items[i], UINT32_MAX);
        }
        status = kwaai_shards_logits(H, handle_of(made, "model", MODEL), tokens, count, text_of(made, "route"), T, &values,
                                     &rows, &columns, E);
        return as_matrix(made, status, values, rows, columns);
    } else if (IS("ShardEngine.embed")) {
        const char **texts = texts_of(made, "texts", &count);
        status = kwaai_shards_embed(H, texts, count, text_of(made, "model"), bool_of(made, "query"), T, &values, &rows, &columns, E);
        return as_matrix(made, status, values, rows, columns);
    } else if (IS("ShardEngine.shutdown")) {
        return kwaai_shards_shutdown(H, E);
    } else if (IS("Model.id")) {
        return TEXT_OF(kwaai_model_id(H, &text, E));
    } else if (IS("Model.name")) {
        return TEXT_OF(kwaai_model_name(H, &text, E));
    } else if (IS("Model.blocks")) {
        uint32_t blocks = 0;
        status = kwaai_model_blocks(H, &blocks, E);
        made->out.data = json_real(blocks);
        return status;
    } else if (IS("Model.info")) {
        return JSON_OF(kwaai_model_info(H, &text, E));
    } else if (IS("Model.shutdown")) {
        return kwaai_model_shutdown(H, E);
    }
    return KWAAI_UNSUPPORTED;
}

#define NARROWING "k mode links documents since_ms before_ms formats names metadata neighbours wordings hypothesis rerank "
static const char SEARCH_OPTIONS[] = NARROWING "diversity dense_weight timed";
static const char ASK_OPTIONS[] = NARROWING "min_support max_unsupported max_tokens max_context_tokens history";

static kwaai_status_t call_rag(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    void *handle = NULL;
    if (IS("Rag.open")) {
        supplies all;
        if ((status = gather(made, &all)) == KWAAI_OK) {
            const char *chosen = options(made, "embedder model chunking language cache");
            status = kwaai_rag_open(text_of(made, "dir"), chosen, &all.given, T, (kwaai_rag_t **)&handle, E);
        }
        kwaai_writer_free(all.own_writer);
        return as_handle(made, status, RAG, handle);
    } else if (IS("Rag.ingest")) {
        json *base64 = json_only(json_get(made->args, "source"), "$base64");
        if (base64 == NULL) {
            return HANDLE_OF(STREAM, kwaai_rag_ingest(H, text_of(made, "source"), options(made, "metadata"), T, (kwaai_stream_t **)&handle, E));
        }
        uint8_t *bytes = json_allocate(strlen(base64->text) + 1);
        size_t length = decoded(base64->text, bytes);
        return HANDLE_OF(STREAM, kwaai_rag_ingest_bytes(H, text_of(made, "name"), bytes, length, options(made, "metadata"), T,
                                                        (kwaai_stream_t **)&handle, E));
    } else if (IS("Rag.sync")) {
        const char *how = options(made, "watch interval_ms polling extensions delete");
        return HANDLE_OF(STREAM, kwaai_rag_sync(H, text_of(made, "folder"), how, T, (kwaai_stream_t **)&handle, E));
    } else if (IS("Rag.reembed")) {
        supplies all;
        if ((status = gather(made, &all)) == KWAAI_OK) {
            json *chosen = json_get(made->args, "embedder");
            bool own = chosen == NULL || (chosen->kind == JSON_TEXT && chosen->text[0] == '$');
            const char *name = own ? NULL : json_write(chosen);
            status = kwaai_rag_reembed(H, name, &all.given, T, (kwaai_stream_t **)&handle, E);
        }
        return as_handle(made, status, STREAM, handle);
    } else if (IS("Rag.outsource")) {
        kwaai_collection_t *collection = handle_of(made, "collection", COLLECTION);
        return HANDLE_OF(STREAM, kwaai_rag_outsource(H, collection, bool_of(made, "texts"), T, (kwaai_stream_t **)&handle, E));
    } else if (IS("Rag.search")) {
        return JSON_OF(kwaai_rag_search(H, text_of(made, "text"), options(made, SEARCH_OPTIONS), T, &text, E));
    } else if (IS("Rag.ask")) {
        const char *how = options(made, ASK_OPTIONS);
        return HANDLE_OF(STREAM, kwaai_rag_ask(H, text_of(made, "question"), how, T, (kwaai_stream_t **)&handle, E));
    } else if (IS("Rag.calibrate")) {
        const char *questions = written(made, "questions");
        return JSON_OF(kwaai_rag_calibrate(H, questions, options(made, "k mode links documents"), T, &text, E));
    } else if (IS("Rag.evaluate")) {
        const char *how = options(made, "name search ask");
        kwaai_supplies_t judge = {.size = sizeof judge, .writer = handle_of(made, "judge", WRITER)};
        return JSON_OF(kwaai_rag_evaluate(H, written(made, "questions"), how, &judge, T, &text, E));
    } else if (IS("Rag.cache_stats")) {
        return JSON_OF(kwaai_rag_cache_stats(H, T, &text, E));
    } else if (IS("Rag.cache_clear")) {
        return kwaai_rag_cache_clear(H, T, E);
    } else if (IS("Rag.documents")) {
        return JSON_OF(kwaai_rag_documents(H, T, &text, E));
    } else if (IS("Rag.document_text")) {
        return TEXT_OF(kwaai_rag_document_text(H, text_of(made, "id"), T, &text, E));
    } else if (IS("Rag.delete_document")) {
        return kwaai_rag_delete_document(H, text_of(made, "id"), T, E);
    } else if (IS("Rag.stats")) {
        return JSON_OF(kwaai_rag_stats(H, T, &text, E));
    } else if (IS("Rag.id")) {
        return TEXT_OF(kwaai_rag_id(H, T, &text, E));
    } else if (IS("Rag.revoke_share")) {
        return kwaai_rag_revoke_share(H, text_of(made, "capability_id"), T, E);
    } else if (IS("Rag.serve")) {
        const char *how = options(made, "name host port token max_requests max_body_bytes max_upload_bytes");
        return HANDLE_OF(SERVER, kwaai_rag_serve(H, how, T, (kwaai_http_server_t **)&handle, E));
    } else if (IS("Rag.shutdown")) {
        return kwaai_rag_shutdown(H, T, E);
    } else if (IS("Rag.destroy")) {
        return kwaai_rag_destroy(H, T, E);
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_federation(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    if (IS("SharedKnowledge.capability")) {
        return JSON_OF(kwaai_shared_knowledge_capability(H, &text, E));
    } else if (IS("SharedKnowledge.search")) {
        const char *how = options(made, "k mode timeout_ms");
        return JSON_OF(kwaai_shared_knowledge_search(H, text_of(made, "text"), how, T, &text, E));
    } else if (IS("Federation.members")) {
        return JSON_OF(kwaai_federation_members(H, &text, E));
    } else if (IS("Federation.search")) {
        const char *how = options(made, "k mode links dense_weight timeout_ms");
        return JSON_OF(kwaai_federation_search(H, text_of(made, "text"), how, T, &text, E));
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_vpk(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    void *handle = NULL;
    if (IS("Vpk.host")) {
        const char *how = options(made, "tenant_bytes tenant_collections memory_bytes min_tier");
        return kwaai_vpk_host(H, u64_of(made, "capacity_bytes"), how, T, E);
    } else if (IS("Vpk.stop_hosting")) {
        return kwaai_vpk_stop_hosting(H, T, E);
    } else if (IS("Vpk.hosted")) {
        return JSON_OF(kwaai_vpk_hosted(H, T, &text, E));
    } else if (IS("Vpk.evict")) {
        return kwaai_vpk_evict(H, text_of(made, "owner"), T, E);
    } else if (IS("Vpk.create")) {
        uint32_t dimension = u32_of(made, "dimension");
        status = kwaai_vpk_create(H, text_of(made, "name"), dimension, text_of(made, "privacy"), written(made, "hosts"),
                                  options(made, "metric colluding replicas free_bytes min_tier distinct_networks"), T, (kwaai_collection_t **)&handle, E);
        return as_handle(made, status, COLLECTION, handle);
    } else if (IS("Vpk.discover")) {
        return JSON_OF(kwaai_vpk_discover(H, options(made, "free_bytes min_tier distinct_networks"), T, &text, E));
    } else if (IS("Vpk.audit")) {
        return JSON_OF(kwaai_vpk_audit(H, text_of(made, "name"), T, &text, E));
    } else if (IS("Vpk.open")) {
        return HANDLE_OF(COLLECTION, kwaai_vpk_open(H, text_of(made, "name"), T, (kwaai_collection_t **)&handle, E));
    } else if (IS("Vpk.benchmark")) {
        const char *how = options(made, "sizes dimension privacies hosts questions seed");
        return HANDLE_OF(STREAM, kwaai_vpk_benchmark(H, how, T, (kwaai_stream_t **)&handle, E));
    } else if (IS("Vpk.device")) {
        return TEXT_OF(kwaai_vpk_device(H, T, &text, E));
    } else if (IS("Vpk.resolve")) {
        return JSON_OF(kwaai_vpk_resolve(H, text_of(made, "collection_id"), T, &text, E));
    } else if (IS("Vpk.recover")) {
        const char *how = options(made, "passphrase exported_by hosts partial");
        return HANDLE_OF(COLLECTION, kwaai_vpk_recover(H, text_of(made, "name"), text_of(made, "exported"), how, T,
                                                       (kwaai_collection_t **)&handle, E));
    } else if (IS("Vpk.console")) {
        return HANDLE_OF(CONSOLE, kwaai_vpk_console(H, options(made, "port"), T, (kwaai_console_t **)&handle, E));
    } else if (IS("Vpk.collections")) {
        return JSON_OF(kwaai_vpk_collections(H, T, &text, E));
    } else if (IS("Vpk.destroy")) {
        return kwaai_vpk_destroy(H, text_of(made, "name"), T, E);
    }
    return KWAAI_UNSUPPORTED;
}

/* A list of numbers, at this place of an array. */
static void put_numbers(call *made, const json *row, float *values, size_t columns)
{
    made->refused = made->refused || row->kind != JSON_LIST || row->count != columns;
    for (size_t i = 0; !made->refused && i < columns; i++) {
        made->refused = row->items[i]->kind != JSON_NUMBER;
        values[i] = (float)row->items[i]->number;
    }
}

static uint64_t *ids_of(call *made, size_t *count)
{
    json *list = argument(made, "ids", JSON_LIST);
    made->refused = made->refused || list == NULL;
    *count = list == NULL ? 0 : list->count;
    uint64_t *ids = json_allocate((*count + 1) * sizeof *ids);
    for (size_t i = 0; i < *count; i++) {
        ids[i] = (uint64_t)whole_number(made, list->items[i], 18446744073709549568.0);
    }
    return ids;
}

static kwaai_status_t upsert(call *made)
{
    size_t count = 0, columns = 0;
    uint64_t *ids = ids_of(made, &count);
    json *rows = argument(made, "vectors", JSON_LIST), *payloads = argument(made, "payloads", JSON_LIST);
    /* In C there is one count, so that lists of different lengths cannot be handed over. */
    made->refused = made->refused || rows == NULL || rows->count != count;
    made->refused = made->refused || (payloads != NULL && payloads->count != count);
    if (made->refused) {
        return KWAAI_INVALID_ARGUMENT;
    }
    columns = count == 0 ? 0 : rows->items[0]->count;
    float *vectors = json_allocate((count * columns + 1) * sizeof *vectors);
    kwaai_payload_t *bytes = json_allocate((count + 1) * sizeof *bytes);
    for (size_t i = 0; i < count; i++) {
        put_numbers(made, rows->items[i], vectors + i * columns, columns);
        json *base64 = payloads == NULL ? NULL : json_only(payloads->items[i], "$base64");
        made->refused = made->refused || (payloads != NULL && base64 == NULL && payloads->items[i]->kind != JSON_NULL);
        bytes[i] = (kwaai_payload_t){NULL, 0};
        if (base64 != NULL) {
            uint8_t *copy = json_allocate(strlen(base64->text) + 1);
            bytes[i] = (kwaai_payload_t){copy, decoded(base64->text, copy)};
        }
    }
    if (made->refused) {
        return KWAAI_INVALID_ARGUMENT;
    }
    return kwaai_collection_upsert(H, ids, count, vectors, columns, payloads == NULL ? NULL : bytes,
                                   written(made, "metadata"), T, E);
}

static kwaai_status_t call_collection(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    size_t count = 0;
    if (IS("VectorCollection.name")) {
        return TEXT_OF(kwaai_collection_name(H, &text, E));
    } else if (IS("VectorCollection.id")) {
        return TEXT_OF(kwaai_collection_id(H, &text, E));
    } else if (IS("VectorCollection.config")) {
        return JSON_OF(kwaai_collection_config(H, &text, E));
    } else if (IS("VectorCollection.leakage")) {
        return JSON_OF(kwaai_collection_leakage(H, &text, E));
    } else if (IS("VectorCollection.stats")) {
        return JSON_OF(kwaai_collection_stats(H, T, &text, E));
    } else if (IS("VectorCollection.upsert")) {
        return upsert(made);
    } else if (IS("VectorCollection.delete")) {
        uint64_t *ids = ids_of(made, &count);
        if (made->refused) {
            return KWAAI_INVALID_ARGUMENT;
        }
        size_t gone = 0;
        status = kwaai_collection_delete(H, ids, count, T, &gone, E);
        made->out.data = json_real((double)gone);
        return status;
    } else if (IS("VectorCollection.search")) {
        json *vector = argument(made, "vector", JSON_LIST);
        size_t columns = vector == NULL ? 0 : vector->count;
        float *values = json_allocate((columns + 1) * sizeof *values);
        if (vector != NULL) {
            put_numbers(made, vector, values, columns);
        }
        return JSON_OF(kwaai_collection_search(H, values, columns, options(made, "k filter"), T, &text, E));
    } else if (IS("VectorCollection.flush")) {
        return kwaai_collection_flush(H, T, E);
    } else if (IS("VectorCollection.verify")) {
        return JSON_OF(kwaai_collection_verify(H, T, &text, E));
    } else if (IS("VectorCollection.repair")) {
        return JSON_OF(kwaai_collection_repair(H, written(made, "hosts"), T, &text, E));
    } else if (IS("VectorCollection.rotate")) {
        return kwaai_collection_rotate(H, T, E);
    } else if (IS("VectorCollection.export_key")) {
        return TEXT_OF(kwaai_collection_export_key(H, text_of(made, "passphrase"), T, &text, E));
    } else if (IS("VectorCollection.export_key_to")) {
        return TEXT_OF(kwaai_collection_export_key_to(H, text_of(made, "device"), T, &text, E));
    } else if (IS("VectorCollection.shutdown")) {
        return kwaai_collection_shutdown(H, E);
    } else if (IS("VectorCollection.destroy")) {
        return kwaai_collection_destroy(H, T, E);
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_console(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    if (IS("HostConsole.url")) {
        return TEXT_OF(kwaai_console_url(H, &text, E));
    } else if (IS("HostConsole.shutdown")) {
        return kwaai_console_shutdown(H, E);
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t call_http_server(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    uint32_t port = 0;
    if (IS("HttpServer.address")) {
        return TEXT_OF(kwaai_http_server_address(H, &text, E));
    } else if (IS("HttpServer.port")) {
        status = kwaai_http_server_port(H, &port, E);
        made->out.data = json_real(port);
        return status;
    } else if (IS("HttpServer.base_url")) {
        return TEXT_OF(kwaai_http_server_base_url(H, &text, E));
    } else if (IS("HttpServer.shutdown")) {
        return kwaai_http_server_shutdown(H, ms_of(made, "grace_ms"), T, E);
    }
    return KWAAI_UNSUPPORTED;
}

/* Asks a server of this machine and gives what it sends back, which is overwritten the next time; NULL where nobody listens,
 * or where a server that is ending lets go of a connection the system had taken for it. */
static const char *exchange(const char *url, const char *method, const char *headers, const char *body)
{
    static char reply[1 << 16];
    char host[64], path[256], request[1 << 14];
    unsigned port = 0;
    REQUIRE(sscanf(url, "http://%63[^:]:%u%255s", host, &port, path) == 3);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    REQUIRE(inet_pton(AF_INET, host, &at.sin_addr) == 1);
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(peer >= 0);
    if (connect(peer, (struct sockaddr *)&at, sizeof at) != 0) {
        close(peer);
        return NULL;
    }
    int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n%s\r\n%s", method, path,
                          host, port, headers, body);
    REQUIRE(length > 0 && (size_t)length < sizeof request);
    bool sent = send(peer, request, (size_t)length, MSG_NOSIGNAL) == length;
    size_t had = 0;
    for (ssize_t got; sent && (got = recv(peer, reply + had, sizeof reply - 1 - had, 0)) > 0;) {
        had += (size_t)got;
    }
    close(peer);
    reply[had] = '\0';
    return had == 0 ? NULL : reply;
}

static const char *body_of(const char *reply)
{
    const char *body = strstr(reply, "\r\n\r\n");
    REQUIRE(body != NULL);
    return body + 4;
}

/* What a page of this machine answers; null where nobody serves one. */
static json *page(const char *url)
{
    const char *reply = exchange(url, "GET", "", "");
    return reply == NULL ? json_new(JSON_NULL) : json_string(body_of(reply));
}

/* The status and the body that a request gets; null where nobody listens. */
static json *answered(const char *url, const char *token, const char *body)
{
    char headers[512] = "";
    size_t had = 0;
    if (token != NULL) {
        had = (size_t)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", token);
    }
    if (body != NULL) {
        snprintf(headers + had, sizeof headers - had, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                 strlen(body));
    }
    const char *reply = exchange(url, body == NULL ? "GET" : "POST", headers, body == NULL ? "" : body);
    if (reply == NULL) {
        return json_new(JSON_NULL);
    }
    json *answer = json_new(JSON_OBJECT);
    json_add(answer, "status", json_real(strtod(reply + strlen("HTTP/1.1 "), NULL)));
    json_add(answer, "body", json_parse(body_of(reply)));
    REQUIRE(json_get(answer, "body") != NULL);
    return answer;
}

static kwaai_status_t call_provide(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    void *handle = NULL;
    const char *fails = text_of(made, "fails");
    if (IS("Provide.embedder")) {
        uint32_t dimension = u32_of(made, "dimension");
        kwaai_embed_t code = {provide(fails, NULL, dimension, 0), count_letters, forget_provided};
        return HANDLE_OF(EMBEDDER, kwaai_embedder_new(text_of(made, "id"), dimension, ms_of(made, "deadline_ms"), code,
                                                      (kwaai_embedder_t **)&handle, E));
    } else if (IS("Provide.model")) {
        kwaai_generate_t code = {provide(fails, text_of(made, "reply"), 0, 0), say_the_reply, forget_provided};
        return HANDLE_OF(WRITER, kwaai_writer_new(text_of(made, "name"), KWAAI_UNSET, code, (kwaai_writer_t **)&handle, E));
    } else if (IS("Provide.reader")) {
        size_t count = 0;
        const char **extensions = texts_of(made, "extensions", &count);
        kwaai_read_t code = {provide(fails, NULL, 0, 0), read_lines, forget_provided};
        return HANDLE_OF(READER, kwaai_reader_new(extensions, count, KWAAI_UNSET, code, (kwaai_reader_t **)&handle,
                                                  E));
    } else if (IS("Provide.signer")) {
        char *did = NULL;
        MUST(kwaai_testing_seed_did(u64_of(made, "seed"), &did, &error));
        kwaai_sign_t code = {provide(fails, NULL, 0, u64_of(made, "seed")), sign_by_seed, forget_provided};
        status = kwaai_signer_new(did, KWAAI_UNSET, code, (kwaai_signer_t **)&handle, E);
        kwaai_string_free(did);
        return as_handle(made, status, SIGNER, handle);
    } else if (IS("Provide.sink")) {
        made->out = (result){SINK, NULL, json_new(JSON_OBJECT)};
        return KWAAI_OK;
    } else if (IS("Provide.logged")) {
        made->out.data = json_new(JSON_LIST);
        pthread_mutex_lock(&logged_lock);
        for (size_t i = 0; i < logged_count; i++) {
            json_add(made->out.data, NULL, json_parse(logged[i]));
        }
        pthread_mutex_unlock(&logged_lock);
        return KWAAI_OK;
    } else if (IS("Library.init_logging")) {
        kwaai_log_t sink = {NULL, keep_record, NULL};
        return kwaai_library_init_logging(text_of(made, "filter"), sink, E);
    } else if (IS("Library.check_citations")) {
        char *text = NULL;
        size_t count = 0;
        const char **sources = texts_of(made, "sources", &count);
        return JSON_OF(kwaai_library_check_citations(text_of(made, "text"), sources, count, &text, E));
    } else if (IS("Library.check_provenance")) {
        char *text = NULL;
        const char *hit = written(made, "hit"), *provenance = written(made, "provenance");
        return JSON_OF(kwaai_library_check_provenance(hit, provenance, &text, E));
    } else if (IS("Library.read_knowledge_capability")) {
        char *text = NULL;
        return JSON_OF(kwaai_library_read_knowledge_capability(text_of(made, "capability"), &text, E));
    } else if (IS("Library.compare_evaluations")) {
        char *text = NULL;
        return JSON_OF(kwaai_library_compare_evaluations(written(made, "evaluation"), written(made, "other"), &text, E));
    } else if (IS("Library.evaluation_report")) {
        char *text = NULL;
        const char *own = written(made, "evaluation");
        const char *beside = written(made, "beside");
        return TEXT_OF(kwaai_library_evaluation_report(own, beside, text_of(made, "form"), &text, E));
    } else if (IS("Library.resolve_did")) {
        char *text = NULL;
        return JSON_OF(kwaai_library_resolve_did(text_of(made, "did"), &text, E));
    } else if (IS("Library.version")) {
        made->out.data = json_string(kwaai_library_version());
        return KWAAI_OK;
    }
    return KWAAI_UNSUPPORTED;
}

static kwaai_status_t shut_down(call *made)
{
    switch (made->on.kind) {
    case NODE:
        return kwaai_node_shutdown(H, 1000, T, E);
    case TRUST:
        return kwaai_trust_shutdown(H, E);
    case SHARDS:
        return kwaai_shards_shutdown(H, E);
    case MODEL:
        return kwaai_model_shutdown(H, E);
    case RAG:
        return kwaai_rag_shutdown(H, T, E);
    case COLLECTION:
        return kwaai_collection_shutdown(H, E);
    case CONSOLE:
        return kwaai_console_shutdown(H, E);
    case SERVER:
        return kwaai_http_server_shutdown(H, KWAAI_UNSET, T, E);
    case STREAM:
        return kwaai_stream_cancel(H);
    default:
        return KWAAI_OK;
    }
}

static kwaai_status_t call_other(call *made)
{
    kwaai_status_t status = KWAAI_OK;
    char *text = NULL;
    void *handle = NULL;
    if (IS("Stream.next")) {
        return read_stream(made, NULL, false);
    } else if (IS("Stream.until")) {
        return read_stream(made, json_get(made->args, "match"), false);
    } else if (IS("Stream.collect")) {
        return read_stream(made, NULL, true);
    } else if (IS("Stream.cancel")) {
        return kwaai_stream_cancel(H);
    } else if (IS("Object.shutdown")) {
        return shut_down(made);
    } else if (IS("Testing.raise")) {
        return kwaai_testing_raise((uint16_t)number_of(made, "number", UINT16_MAX), T, E);
    } else if (IS("Testing.panic")) {
        return kwaai_testing_panic(T, E);
    } else if (IS("Testing.hang")) {
        return kwaai_testing_hang(T, E);
    } else if (IS("Testing.numbers")) {
        json *open = json_get(made->args, "open");
        return HANDLE_OF(STREAM, kwaai_testing_numbers(u32_of(made, "count"), u32_of(made, "capacity"),
                                                       open != NULL && open->number != 0, (kwaai_stream_t **)&handle, E));
    } else if (IS("Testing.page")) {
        made->out.data = page(text_of(made, "url"));
        return KWAAI_OK;
    } else if (IS("Testing.request")) {
        made->out.data = answered(text_of(made, "url"), text_of(made, "token"), written(made, "body"));
        return KWAAI_OK;
    } else if (IS("Testing.live_handles")) {
        return JSON_OF(kwaai_testing_live_handles(&text, E));
    } else if (IS("Testing.seed_did")) {
        return TEXT_OF(kwaai_testing_seed_did(u64_of(made, "seed"), &text, E));
    }
    fprintf(stderr, "this runner does not know %s\n", made->name);
    exit(2);
}

static kwaai_status_t dispatch(call *made)
{
    static const struct {
        const char *prefix;
        kwaai_status_t (*make)(call *);
    } rooms[] = {{"Node.", call_node},     {"TrustGraph.", call_trust}, {"ShardEngine.", call_shards},
                 {"Model.", call_shards},  {"Rag.", call_rag},          {"Provide.", call_provide},
                 {"Library.", call_provide}, {"Vpk.", call_vpk},        {"VectorCollection.", call_collection},
                 {"SharedKnowledge.", call_federation}, {"Federation.", call_federation},
                 {"HostConsole.", call_console}, {"HttpServer.", call_http_server}};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        if (strncmp(made->name, rooms[i].prefix, strlen(rooms[i].prefix)) == 0) {
            kwaai_status_t status = rooms[i].make(made);
            if (status == KWAAI_UNSUPPORTED && made->error == NULL) {
                break;
            }
            return made->refused ? KWAAI_INVALID_ARGUMENT : status;
        }
    }
    kwaai_status_t status = call_other(made);
    return made->refused ? KWAAI_INVALID_ARGUMENT : status;
}

static void a_moment(void)
{
    struct timespec moment = {0, 20 * 1000 * 1000};
    nanosleep(&moment, NULL);
}

static bool is_alive(const char *kind)
{
    char *text = NULL;
    MUST(kwaai_testing_live_handles(&text, &error));
    json *live = json_parse(text);
    kwaai_string_free(text);
    return kind == NULL ? live->count > 0 : json_get(live, kind) != NULL;
}

/* Cancels the call once it is under way; C's own form of cancelled is the status. */
static kwaai_status_t cancelled(call *made)
{
    kwaai_op_t *op = NULL;
    if (!IS("Testing.hang")) {
        fprintf(stderr, "this runner cannot cancel %s\n", made->name);
        exit(2);
    }
    MUST(kwaai_testing_hang_async(&op, &error));
    while (!is_alive("hang")) {
        a_moment();
    }
    MUST(kwaai_op_cancel(op));
    MUST(kwaai_op_wait(op, T, &error));
    kwaai_status_t status = kwaai_op_result(op, E);
    kwaai_op_free(op);
    return status;
}

static void let_go(result *value)
{
    void *handle = value->handle;
    switch (value->kind) {
    case NODE:
        kwaai_node_free(handle);
        break;
    case TRUST:
        kwaai_trust_free(handle);
        break;
    case SHARDS:
        kwaai_shards_free(handle);
        break;
    case MODEL:
        kwaai_model_free(handle);
        break;
    case RAG:
        kwaai_rag_free(handle);
        break;
    case SHARED:
        kwaai_shared_knowledge_free(handle);
        break;
    case FEDERATION:
        kwaai_federation_free(handle);
        break;
    case VPK:
        kwaai_vpk_free(handle);
        break;
    case COLLECTION:
        kwaai_collection_free(handle);
        break;
    case CONSOLE:
        kwaai_console_free(handle);
        break;
    case SERVER:
        kwaai_http_server_free(handle);
        break;
    case STREAM:
        kwaai_stream_free(handle);
        break;
    case EMBEDDER:
        kwaai_embedder_free(handle);
        break;
    case WRITER:
        kwaai_writer_free(handle);
        break;
    case READER:
        kwaai_reader_free(handle);
        break;
    case SIGNER:
        kwaai_signer_free(handle);
        break;
    default:
        break;
    }
}

/* Why the rest of the scenario is skipped. */
static const char *skipped;

static bool run_step(json *step, bool last_try)
{
    json *on = json_get(step, "on"), *args = json_get(step, "args"), *expect = json_get(step, "expect");
    json *error = json_get(step, "error"), *or_error = json_get(step, "or_error"), *save = json_get(step, "save");
    call made = {.name = json_get(step, "call")->text};
    made.args = args == NULL ? json_new(JSON_OBJECT) : resolved(args);
    made.out.data = json_new(JSON_NULL);
    if (on != NULL) {
        const result *found = find_saved(on->text + 1, strlen(on->text + 1));
        REQUIRE(found != NULL);
        made.on = *found;
    }
    bool cancel = json_get(step, "cancel") != NULL && json_get(step, "cancel")->number != 0;
    const char *wanted = cancel ? "cancelled" : error != NULL ? error->text : "ok";
    kwaai_status_t status = cancel ? cancelled(&made) : dispatch(&made);
    const char *code = kwaai_status_name((uint32_t)status);
    json *skip = json_get(step, "skip_on");
    if (skip != NULL && strcmp(code, json_get(skip, "code")->text) == 0) {
        skipped = json_get(skip, "reason")->text;
    }
    bool other = skipped != NULL || (or_error != NULL && strcmp(code, or_error->text) == 0);
    bool matched = other || (strcmp(code, wanted) == 0 &&
                             (expect == NULL || status != KWAAI_OK || matches(resolved(expect), made.out.data)));
    if (!matched && last_try) {
        const char *said = made.error != NULL ? kwaai_error_message(made.error) : "";
        fprintf(stderr, "%s: %s %s\nexpected %s %s\ngot %.4000s\n", made.name, code, said, wanted,
                expect != NULL ? json_write(expect) : "", json_write(made.out.data));
        exit(1);
    }
    kwaai_error_free(made.error);
    if (matched && status == KWAAI_OK && save != NULL) {
        saves[save_count++] = (saved){save->text, made.out};
    } else {
        let_go(&made.out);
    }
    return matched;
}

static int remove_entry(const char *path, const struct stat *state, int flag, struct FTW *place)
{
    (void)state, (void)flag, (void)place;
    return remove(path);
}

static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    REQUIRE(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    REQUIRE(size >= 0);
    rewind(file);
    char *text = json_allocate((size_t)size + 1);
    REQUIRE(fread(text, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    return text;
}

int main(int count, char **arguments)
{
    REQUIRE(count == 3);
    char folder[] = "/tmp/kwaainet-scenario-XXXXXX";
    REQUIRE(mkdtemp(folder) != NULL);
    scenario_tmp = folder;
    scenario_root = arguments[1];
    json *scenario = json_parse(read_whole(arguments[2]));
    REQUIRE(scenario != NULL);
    json *steps = json_get(scenario, "steps");
    for (size_t i = 0; i < steps->count && skipped == NULL; i++) {
        bool eventually = json_get(steps->items[i], "eventually") != NULL;
        for (int tries = eventually ? 500 : 1; !run_step(steps->items[i], tries == 1); tries--) {
            a_moment();
        }
    }
    for (size_t i = save_count; i > 0; i--) {
        call end = {.on = saves[i - 1].value};
        REQUIRE(shut_down(&end) == KWAAI_OK);
        let_go(&saves[i - 1].value);
    }
    for (int tries = 500; tries > 0 && (is_alive(NULL) || provided_alive > 0); tries--) {
        a_moment();
    }
    REQUIRE(!is_alive(NULL));
    REQUIRE(provided_alive == 0);
    MUST(kwaai_library_shutdown(5000));
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (skipped != NULL) {
        printf("skipped: %s\n", skipped);
    }
    printf("%s\nok\n", json_get(scenario, "title")->text);
    json_forget();
    return 0;
}
