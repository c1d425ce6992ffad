/* The fields that the header names are those that the library writes, both ways: records <root> */

#include "check.h"
#include "json.h"

#include <ctype.h>

static char *header;

static char *read_file(const char *root, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL && fseek(file, 0, SEEK_END) == 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *text = json_allocate(size + 1);
    REQUIRE(fread(text, 1, size, file) == size);
    fclose(file);
    return text;
}

/* The names in backticks in the first paragraph of a function's comment, as an object. */
static json *documented(const char *function)
{
    char declaration[128];
    snprintf(declaration, sizeof declaration, " %s(", function);
    char *end = strstr(header, declaration);
    REQUIRE(end != NULL);
    char *start = end;
    while (strncmp(start, "\n\n", 2) != 0) {
        start--;
    }
    char *stop = strstr(start, "\n//\n");
    json *names = json_new(JSON_OBJECT);
    REQUIRE(stop != NULL && stop < end);
    for (char *at = strchr(start, '`'); at != NULL && at < stop; at = strchr(strchr(at + 1, '`') + 1, '`')) {
        size_t length = strcspn(at + 1, "`");
        char *name = json_copy(at + 1, length);
        bool field = strspn(name, "abcdefghijklmnopqrstuvwxyz_") == length && strncmp(name, "kwaai_", 6) != 0;
        if (field && json_get(names, name) == NULL) {
            json_add(names, name, json_new(JSON_NULL));
        }
    }
    return names;
}

/* Compares the record that a function answered with what the header says of it. */
static void fields_are(const char *function, const json *record)
{
    json *names = documented(function);
    REQUIRE(record != NULL && record->kind == JSON_OBJECT);
    for (size_t i = 0; i < names->count || i < record->count; i++) {
        const char *missing = i < names->count && json_get(record, names->keys[i]) == NULL ? names->keys[i] : NULL;
        const char *unsaid = i < record->count && json_get(names, record->keys[i]) == NULL ? record->keys[i] : NULL;
        if (missing != NULL || unsaid != NULL) {
            fprintf(stderr, "%s: the header says %s, the library %s\n", function, missing != NULL ? missing : "more",
                    unsaid != NULL ? unsaid : "more");
            exit(1);
        }
    }
}

static json *took(char *text)
{
    json *value = json_parse(text);
    REQUIRE(value != NULL);
    kwaai_string_free(text);
    return value;
}

/* The first credential that the scenario about credentials of other makes gives to a verb. */
static const char *written_by_others(const json *scenario, const char *verb)
{
    const json *steps = json_get(scenario, "steps");
    REQUIRE(steps != NULL);
    size_t i = 0;
    while (i < steps->count && strcmp(json_get(steps->items[i], "call")->text, verb) != 0) {
        i++;
    }
    REQUIRE(i < steps->count);
    return json_get(json_get(steps->items[i], "args"), "credential")->text;
}

static const char UPTIME[] = "{\"upShare\": 0.9, \"observedFrom\": \"2026-01-01T00:00:00Z\","
                             " \"observedUntil\": \"2026-01-31T00:00:00Z\", \"samples\": 30}";

int main(int count, char **arguments)
{
    REQUIRE(count == 3);
    header = read_file(arguments[2], "include/kwaainet.h");
    char model_dir[1024], *text = NULL, *address = NULL, *did = NULL, *credential = NULL, *list = NULL,
         *shown = NULL, *side = NULL, *own = NULL, *request = NULL;
    snprintf(model_dir, sizeof model_dir, "%s/examples/models/tiny-kwaai", arguments[2]);
    kwaai_node_t *alice = NULL, *bob = NULL;
    kwaai_trust_t *trust = NULL, *reader = NULL, *other = NULL;
    kwaai_shards_t *shards = NULL;
    kwaai_model_t *model = NULL;
    kwaai_stream_t *inbox = NULL;
    kwaai_item_t item = KWAAI_ITEM_END;
    double score = 0;

    MUST(kwaai_node_start("{\"preset\": \"ephemeral\"}", PATIENCE_MS, &alice, &error));
    MUST(kwaai_node_start("{\"preset\": \"ephemeral\"}", PATIENCE_MS, &bob, &error));
    MUST(kwaai_node_did(bob, &did, &error));
    MUST(kwaai_node_info(alice, PATIENCE_MS, &text, &error));
    fields_are("kwaai_node_info", took(text));
    MUST(kwaai_node_diagnose(alice, PATIENCE_MS, &text, &error));
    fields_are("kwaai_node_diagnose", took(text)->items[0]);
    MUST(kwaai_node_metrics(alice, PATIENCE_MS, &text, &error));
    fields_are("kwaai_node_metrics", took(text));

    MUST(kwaai_node_messages(bob, &inbox, &error));
    MUST(kwaai_node_address(bob, PATIENCE_MS, &address, &error));
    MUST(kwaai_node_connect(alice, address, PATIENCE_MS, &text, &error));
    kwaai_string_free(text);
    MUST(kwaai_node_send_message(alice, did, "hello", PATIENCE_MS, &error));
    MUST(kwaai_stream_next(inbox, PATIENCE_MS, &item, &text, &error));
    fields_are("kwaai_node_messages", took(text));

    MUST(kwaai_node_trust(alice, &trust, &error));
    MUST(kwaai_trust_score(trust, did, PATIENCE_MS, &score, &text, &error));
    fields_are("kwaai_trust_score", took(text));
    MUST(kwaai_trust_issue(trust, "UptimeVC", did, NULL, KWAAI_UNSET, true, PATIENCE_MS, &credential, &error));
    MUST(kwaai_trust_status(trust, credential, PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_status", took(text));
    MUST(kwaai_trust_open(NULL, NULL, NULL, PATIENCE_MS, &reader, &error));
    MUST(kwaai_trust_import_credential(reader, credential, PATIENCE_MS, &text, &error));
    kwaai_string_free(text);
    MUST(kwaai_trust_wanted_status_lists(reader, PATIENCE_MS, &text, &error));
    json *wanted = took(text)->items[0];
    fields_are("kwaai_trust_wanted_status_lists", wanted);
    MUST(kwaai_trust_status_list(trust, json_get(wanted, "url")->text, PATIENCE_MS, &list, &error));
    MUST(kwaai_trust_keep_status_list(reader, list, PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_keep_status_list", took(text));
    MUST(kwaai_trust_import_credentials(reader, "{\"format\": \"kwaainet-credentials\", \"version\": 1, \"credentials\": []}",
                                        PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_import_credentials", took(text));
    MUST(kwaai_node_ask_trust(alice, did, json_get(wanted, "issuer")->text, NULL, PATIENCE_MS, &text, &error));
    fields_are("kwaai_node_ask_trust", took(text));
    MUST(kwaai_node_ask_word(alice, did, PATIENCE_MS, &text, &error));
    fields_are("kwaai_node_ask_word", took(text));
    MUST(kwaai_trust_propagate(trust, NULL, PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_propagate", took(text)->items[0]);
    MUST(kwaai_node_refresh_status_lists(alice, PATIENCE_MS, &text, &error));
    fields_are("kwaai_node_refresh_status_lists", took(text));
    MUST(kwaai_trust_thresholds(trust, PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_thresholds", took(text));
    MUST(kwaai_trust_record(trust, did, "good", NULL, PATIENCE_MS, &error));
    MUST(kwaai_trust_reputation(trust, did, PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_reputation", took(text));
    MUST(kwaai_trust_sight(trust, did, true, PATIENCE_MS, &error));
    MUST(kwaai_trust_sightings(trust, did, PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_sightings", took(text));
    MUST(kwaai_trust_present(reader, "app", "1", NULL, PATIENCE_MS, &shown, &error));
    MUST(kwaai_trust_verify_presentation(trust, shown, "app", "1", PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_verify_presentation", took(text));
    json *others = json_parse(read_file(arguments[2], "tests/conformance/44-what-others-wrote-is-read.json"));
    REQUIRE(others != NULL);
    MUST(kwaai_trust_read_legacy(trust, written_by_others(others, "TrustGraph.read_legacy"), PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_read_legacy", took(text));
    MUST(kwaai_trust_read_dtg(trust, written_by_others(others, "TrustGraph.read_dtg"), PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_read_dtg", took(text));
    MUST(kwaai_trust_issue_binding(trust, did, "node", KWAAI_UNSET, PATIENCE_MS, &side, &error));
    MUST(kwaai_trust_import_credential(trust, side, PATIENCE_MS, &text, &error));
    kwaai_string_free(text);
    kwaai_string_free(side);
    MUST(kwaai_node_did(alice, &own, &error));
    MUST(kwaai_node_trust(bob, &other, &error));
    MUST(kwaai_trust_issue_binding(other, own, "person", KWAAI_UNSET, PATIENCE_MS, &side, &error));
    MUST(kwaai_trust_import_credential(trust, side, PATIENCE_MS, &text, &error));
    kwaai_string_free(text);
    kwaai_string_free(side);
    MUST(kwaai_trust_request_pledge(reader, own, "x", NULL, PATIENCE_MS, &request, &error));
    MUST(kwaai_trust_issue_pledge(trust, request, "x", NULL, KWAAI_UNSET, PATIENCE_MS, &side, &error));
    MUST(kwaai_trust_accept_pledge(reader, side, "x", NULL, PATIENCE_MS, &text, &error));
    kwaai_string_free(request);
    kwaai_string_free(side);
    MUST(kwaai_trust_withdraw_pledge(reader, json_get(took(text), "id")->text, PATIENCE_MS, &text, &error));
    kwaai_string_free(text);
    MUST(kwaai_trust_withdrawals(reader, PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_withdrawals", took(text)->items[0]);
    MUST(kwaai_trust_bindings(trust, did, PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_bindings", took(text)->items[0]);
    MUST(kwaai_trust_issue(other, "UptimeVC", did, UPTIME, KWAAI_UNSET, false, PATIENCE_MS, &side, &error));
    MUST(kwaai_trust_import_credential(trust, side, PATIENCE_MS, &text, &error));
    kwaai_string_free(side);
    json *uptime = took(text);
    MUST(kwaai_node_test_credential(alice, json_get(uptime, "id")->text, NULL, NULL, PATIENCE_MS, &text, &error));
    fields_are("kwaai_node_test_credential", took(text));
    MUST(kwaai_library_resolve_did(did, &text, &error));
    fields_are("kwaai_library_resolve_did", took(text));
    MUST(kwaai_trust_trust_issuer(trust, did, "[\"UptimeVC\"]", PATIENCE_MS, &error));
    MUST(kwaai_trust_issuers(trust, PATIENCE_MS, &text, &error));
    fields_are("kwaai_trust_issuers", took(text)->items[0]);

    MUST(kwaai_node_shards(alice, &shards, &error));
    MUST(kwaai_shards_load(shards, model_dir, NULL, PATIENCE_MS, &model, &error));
    MUST(kwaai_model_info(model, &text, &error));
    fields_are("kwaai_model_info", took(text));
    MUST(kwaai_shards_serve(shards, model_dir, 0, 1, PATIENCE_MS, &text, &error));
    fields_are("kwaai_shards_serve", took(text));
    MUST(kwaai_shards_coverage(shards, model, PATIENCE_MS, &text, &error));
    fields_are("kwaai_shards_coverage", took(text));
    MUST(kwaai_shards_calibrate(shards, model_dir, "{\"memory_bytes\": 4294967296}", PATIENCE_MS, &text, &error));
    fields_are("kwaai_shards_calibrate", took(text));
    MUST(kwaai_shards_benchmark(shards, model, "{\"prompt_tokens\": 4, \"steps\": 1}", PATIENCE_MS, &text, &error));
    fields_are("kwaai_shards_benchmark", took(text));

    kwaai_vpk_t *vpk = NULL;
    kwaai_collection_t *vectors = NULL;
    kwaai_stream_t *steps = NULL;
    static uint64_t ids[128];
    static float rows[128 * 2];
    for (size_t i = 0; i < 128; i++) {
        ids[i] = i;
        rows[2 * i] = 1;
        rows[2 * i + 1] = (float)i;
    }
    MUST(kwaai_node_vpk(alice, &vpk, &error));
    MUST(kwaai_vpk_host(vpk, 1u << 24, NULL, PATIENCE_MS, &error));
    MUST(kwaai_vpk_create(vpk, "v", 2, "plain", "[\"here\"]", NULL, PATIENCE_MS, &vectors, &error));
    MUST(kwaai_collection_upsert(vectors, ids, 128, rows, 2, NULL, NULL, PATIENCE_MS, &error));
    MUST(kwaai_collection_flush(vectors, PATIENCE_MS, &error));
    MUST(kwaai_collection_config(vectors, &text, &error));
    fields_are("kwaai_collection_config", took(text));
    MUST(kwaai_collection_leakage(vectors, &text, &error));
    fields_are("kwaai_collection_leakage", took(text));
    MUST(kwaai_collection_stats(vectors, PATIENCE_MS, &text, &error));
    fields_are("kwaai_collection_stats", took(text));
    MUST(kwaai_collection_verify(vectors, PATIENCE_MS, &text, &error));
    fields_are("kwaai_collection_verify", took(text)->items[0]);
    MUST(kwaai_collection_repair(vectors, NULL, PATIENCE_MS, &text, &error));
    fields_are("kwaai_collection_repair", took(text));
    MUST(kwaai_vpk_audit(vpk, "v", PATIENCE_MS, &text, &error));
    fields_are("kwaai_vpk_audit", took(text));
    MUST(kwaai_vpk_benchmark(vpk, "{\"sizes\": [10], \"dimension\": 2, \"questions\": 1}", PATIENCE_MS, &steps, &error));
    MUST(kwaai_stream_next(steps, PATIENCE_MS, &item, &text, &error));
    kwaai_string_free(text);
    MUST(kwaai_stream_next(steps, PATIENCE_MS, &item, &text, &error));
    fields_are("kwaai_vpk_benchmark", took(text));
    kwaai_stream_free(steps);
    MUST(kwaai_vpk_hosted(vpk, PATIENCE_MS, &text, &error));
    fields_are("kwaai_vpk_hosted", took(text));
    kwaai_collection_free(vectors);
    kwaai_vpk_free(vpk);

    kwaai_rag_t *rag = NULL;
    const char *const cited[] = {"The harbour pump is checked every Monday."};
    const char *const calibrated = "[{\"question\": \"Who wrote Faust?\"}]";
    MUST(kwaai_node_rag(alice, "notes", "{\"embedder\": \"none\"}", NULL, PATIENCE_MS, &rag, &error));
    MUST(kwaai_rag_calibrate(rag, calibrated, NULL, PATIENCE_MS, &text, &error));
    MUST(kwaai_library_calibration_at(text, 0.5, &side, &error));
    fields_are("kwaai_rag_calibrate", took(text));
    fields_are("kwaai_library_calibration_at", took(side));
    MUST(kwaai_library_check_citations("It is never checked [2].", cited, 1, &text, &error));
    fields_are("kwaai_library_check_citations", took(text)->items[0]);

    static const uint8_t pump[] = "The harbour pump is checked every Monday.";
    kwaai_stream_t *reading = NULL;
    kwaai_shared_knowledge_t *opened = NULL;
    kwaai_federation_t *federation = NULL;
    MUST(kwaai_rag_ingest_bytes(rag, "pump.txt", pump, sizeof pump - 1, NULL, PATIENCE_MS, &reading, &error));
    for (item = KWAAI_ITEM_VALUE; item != KWAAI_ITEM_END; kwaai_string_free(text)) {
        MUST(kwaai_stream_next(reading, PATIENCE_MS, &item, &text, &error));
    }
    kwaai_stream_free(reading);
    char *capability = NULL;
    MUST(kwaai_node_share_knowledge(alice, rag, did, "pumps", 60000, PATIENCE_MS, &capability, &error));
    MUST(kwaai_library_read_knowledge_capability(capability, &text, &error));
    fields_are("kwaai_library_read_knowledge_capability", took(text));
    MUST(kwaai_node_did(alice, &text, &error));
    MUST(kwaai_node_shared_knowledge(bob, text, capability, PATIENCE_MS, &opened, &error));
    kwaai_string_free(text);
    kwaai_string_free(capability);
    MUST(kwaai_shared_knowledge_search(opened, "pump", NULL, PATIENCE_MS, &text, &error));
    json *proven = took(text)->items[0];
    fields_are("kwaai_shared_knowledge_search", proven);
    const char *hit = json_write(json_get(proven, "hit"));
    MUST(kwaai_library_check_provenance(hit, json_write(json_get(proven, "provenance")), &text, &error));
    fields_are("kwaai_library_check_provenance", took(text));
    char hits[4096];
    snprintf(hits, sizeof hits, "[%s]", hit);
    MUST(kwaai_node_prove(alice, rag, hits, PATIENCE_MS, &text, &error));
    fields_are("kwaai_node_prove", took(text)->items[0]);
    const kwaai_shared_knowledge_t *const sharing[] = {opened};
    kwaai_members_t members = {.size = sizeof members, .shared = sharing, .shared_count = 1};
    MUST(kwaai_node_federation(bob, &members, "{\"embedder\": \"none\"}", PATIENCE_MS, &federation, &error));
    MUST(kwaai_federation_search(federation, "pump", NULL, PATIENCE_MS, &text, &error));
    fields_are("kwaai_federation_search", took(text));
    MUST(kwaai_federation_free(federation));
    MUST(kwaai_shared_knowledge_free(opened));
    MUST(kwaai_rag_free(rag));

    MUST(kwaai_node_shutdown(alice, 0, PATIENCE_MS, &error));
    MUST(kwaai_node_shutdown(bob, 0, PATIENCE_MS, &error));
    kwaai_string_free(did);
    kwaai_string_free(credential);
    kwaai_string_free(list);
    kwaai_string_free(shown);
    kwaai_string_free(own);
    kwaai_string_free(address);
    kwaai_stream_free(inbox);
    kwaai_model_free(model);
    kwaai_shards_free(shards);
    kwaai_trust_free(trust);
    kwaai_trust_free(reader);
    kwaai_trust_free(other);
    kwaai_node_free(alice);
    kwaai_node_free(bob);
    REQUIRE(kwaai_live_handles() == 0);
    MUST(kwaai_library_shutdown(5000));
    json_forget();
    puts("ok");
    return 0;
}
