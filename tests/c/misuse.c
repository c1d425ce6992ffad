/* What a careless program does. Each function is one misuse; the library answers a status, and the program lives on. */

#include "check.h"
#include "kwaainet_testing.h"

#include <math.h>
#include <pthread.h>

static kwaai_trust_t *a_trust_graph(void)
{
    kwaai_trust_t *trust = NULL;
    MUST(kwaai_trust_open(NULL, NULL, NULL, PATIENCE_MS, &trust, &error));
    return trust;
}

static void null_where_something_is_needed(void)
{
    kwaai_trust_t *trust = a_trust_graph();
    char *text = NULL;
    double score = 1;
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_did(NULL, &text, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_did(trust, NULL, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_score(trust, NULL, PATIENCE_MS, &score, &text, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_open(NULL, NULL, NULL, PATIENCE_MS, NULL, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_policy_async(trust, NULL, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_stream_next(NULL, 0, NULL, NULL, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_stream_cancel(NULL));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_op_cancel(NULL));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_op_poll(NULL, NULL));
    REQUIRE(kwaai_error_code(NULL) == NULL && !kwaai_error_retryable(NULL));
    REQUIRE(!kwaai_answer_is_wanted(NULL));
    MUST(kwaai_trust_free(trust));
}

static void no_error_wanted(void)
{
    char *text = NULL;
    REQUIRE(kwaai_trust_did(NULL, &text, NULL) == KWAAI_INVALID_ARGUMENT);
    REQUIRE(kwaai_testing_raise(2, PATIENCE_MS, NULL) == KWAAI_NOT_FOUND);
}

static void a_text_that_is_no_utf8(void)
{
    kwaai_trust_t *trust = a_trust_graph();
    char *text = NULL;
    double score = 1;
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_score(trust, "\xff\xfe", PATIENCE_MS, &score, &text, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_score(trust, "\xed\xa0\x80", PATIENCE_MS, &score, &text, &error));
    REQUIRE(score == 0 && text == NULL);
    MUST(kwaai_trust_free(trust));
}

static void json_that_is_none_or_says_something_unknown(void)
{
    kwaai_trust_t *trust = NULL;
    kwaai_node_t *node = NULL;
    kwaai_rag_t *rag = NULL;
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_node_start("{", PATIENCE_MS, &node, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_node_start("3", PATIENCE_MS, &node, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_node_start("{\"colour\": \"red\"}", PATIENCE_MS, &node, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_open(NULL, "{\"seed\": -1}", NULL, PATIENCE_MS, &trust, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_rag_open("x", "{\"language\": 3}", NULL, PATIENCE_MS, &rag, &error));
    REQUIRE(node == NULL && trust == NULL && rag == NULL);
}

static void a_refused_record_is_told_in_words_of_this_library(void)
{
    static const struct {
        const char *config, *says;
    } records[] = {
        {"{", "config_json cannot be read as JSON"},
        {"[]", "config_json must be an object, not a list"},
        {"{\"name\": \"a\", \"name\": \"b\"}", "a name stands twice in an object of config_json"},
        {"{\"limits\": {\"inbox\": \"many\"}}", "config_json.limits.inbox must be a whole number from 0 to "},
        {"{\"colour\": \"red\"}", "there is no config_json.colour; there are preset, name, "},
    };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        kwaai_node_t *node = NULL;
        kwaai_error_t *failure = NULL;
        REQUIRE(kwaai_node_start(records[i].config, PATIENCE_MS, &node, &failure) == KWAAI_INVALID_ARGUMENT);
        if (strncmp(kwaai_error_message(failure), records[i].says, strlen(records[i].says)) != 0) {
            fprintf(stderr, "%s: %s\n", records[i].config, kwaai_error_message(failure));
            exit(1);
        }
        MUST(kwaai_error_free(failure));
    }
}

static void a_handle_of_another_kind(void)
{
    kwaai_trust_t *trust = a_trust_graph();
    char *text = NULL;
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_stream_cancel((kwaai_stream_t *)(void *)trust));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_model_id((kwaai_model_t *)(void *)trust, &text, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_node_free((kwaai_node_t *)(void *)trust));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_answer_free((kwaai_answer_t *)(void *)trust));
    MUST(kwaai_trust_free(trust));
}

static void a_number_that_was_never_a_handle(void)
{
    char *text = NULL;
    int here = 0;
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_did((kwaai_trust_t *)(void *)&here, &text, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_did((kwaai_trust_t *)UINTPTR_MAX, &text, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_did((kwaai_trust_t *)(uintptr_t)3, &text, &error));
}

static void freeing_twice(void)
{
    kwaai_trust_t *trust = a_trust_graph();
    char *text = NULL;
    kwaai_error_t *failure = NULL;
    kwaai_stream_t *stream = NULL;
    kwaai_op_t *op = NULL;
    MUST(kwaai_trust_did(trust, &text, &error));
    MUST(kwaai_string_free(text));
    EXPECT(KWAAI_CLOSED, kwaai_string_free(text));
    MUST(kwaai_trust_free(trust));
    EXPECT(KWAAI_CLOSED, kwaai_trust_free(trust));
    REQUIRE(kwaai_trust_did(NULL, &text, &failure) == KWAAI_INVALID_ARGUMENT);
    MUST(kwaai_error_free(failure));
    EXPECT(KWAAI_CLOSED, kwaai_error_free(failure));
    REQUIRE(kwaai_error_status(failure) == KWAAI_CLOSED && kwaai_error_message(failure) == NULL);
    MUST(kwaai_testing_numbers(1, 1, false, &stream, &error));
    MUST(kwaai_stream_free(stream));
    EXPECT(KWAAI_CLOSED, kwaai_stream_free(stream));
    MUST(kwaai_testing_hang_async(&op, &error));
    MUST(kwaai_op_free(op));
    EXPECT(KWAAI_CLOSED, kwaai_op_free(op));
    EXPECT(KWAAI_CLOSED, kwaai_op_wait(op, PATIENCE_MS, &error));
}

static void freeing_what_is_somebody_elses(void)
{
    char own[] = "mine";
    float numbers[] = {1, 2};
    EXPECT(KWAAI_CLOSED, kwaai_string_free(own));
    EXPECT(KWAAI_CLOSED, kwaai_floats_free(numbers));
}

static void using_what_was_freed(void)
{
    kwaai_trust_t *trust = a_trust_graph();
    char *text = NULL;
    kwaai_error_t *failure = NULL;
    MUST(kwaai_trust_free(trust));
    REQUIRE(kwaai_trust_did(trust, &text, &failure) == KWAAI_CLOSED);
    REQUIRE(text == NULL && strcmp(kwaai_error_code(failure), "closed") == 0);
    MUST(kwaai_error_free(failure));
}

static void using_what_was_shut_down(void)
{
    kwaai_trust_t *trust = a_trust_graph();
    char *text = NULL;
    MUST(kwaai_trust_shutdown(trust, &error));
    MUST(kwaai_trust_shutdown(trust, &error));
    EXPECT(KWAAI_CLOSED, kwaai_trust_policy(trust, PATIENCE_MS, &text, &error));
    MUST(kwaai_trust_did(trust, &text, &error));
    MUST(kwaai_string_free(text));
    MUST(kwaai_trust_free(trust));
}

static void freeing_null(void)
{
    MUST(kwaai_node_free(NULL));
    MUST(kwaai_trust_free(NULL));
    MUST(kwaai_shards_free(NULL));
    MUST(kwaai_model_free(NULL));
    MUST(kwaai_rag_free(NULL));
    MUST(kwaai_stream_free(NULL));
    MUST(kwaai_op_free(NULL));
    MUST(kwaai_answer_free(NULL));
    MUST(kwaai_embedder_free(NULL));
    MUST(kwaai_writer_free(NULL));
    MUST(kwaai_reader_free(NULL));
    MUST(kwaai_signer_free(NULL));
    MUST(kwaai_error_free(NULL));
    MUST(kwaai_string_free(NULL));
    MUST(kwaai_floats_free(NULL));
}

static void a_length_that_is_a_lie(void)
{
    kwaai_shards_t *shards = NULL;
    kwaai_reader_t *reader = NULL;
    float *values = NULL;
    size_t rows = 1, columns = 1;
    const char *one[] = {"text"};
    kwaai_read_t nothing = {0};
    MUST(kwaai_shards_open(PATIENCE_MS, &shards, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT,
           kwaai_shards_embed(shards, one, SIZE_MAX, NULL, false, PATIENCE_MS, &values, &rows, &columns, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT,
           kwaai_shards_embed(shards, NULL, 3, NULL, false, PATIENCE_MS, &values, &rows, &columns, &error));
    REQUIRE(values == NULL && rows == 0 && columns == 0);
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_reader_new(NULL, 2, KWAAI_UNSET, nothing, &reader, &error));
    MUST(kwaai_shards_free(shards));
}

static void supplies_without_their_size(void)
{
    kwaai_supplies_t supplies = {0};
    kwaai_rag_t *rag = NULL;
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_rag_open("unused", NULL, &supplies, PATIENCE_MS, &rag, &error));
}

static void members_without_their_size(void)
{
    kwaai_members_t members = {0};
    kwaai_node_t *node = NULL;
    kwaai_federation_t *federation = NULL;
    MUST(kwaai_node_start("{\"preset\": \"ephemeral\", \"listen\": []}", PATIENCE_MS, &node, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_node_federation(node, &members, NULL, PATIENCE_MS, &federation, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_node_federation(node, NULL, NULL, PATIENCE_MS, &federation, &error));
    members.size = sizeof members;
    members.own_count = 1;
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_node_federation(node, &members, NULL, PATIENCE_MS, &federation, &error));
    members.own_count = 0;
    members.shared_count = SIZE_MAX;
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_node_federation(node, &members, NULL, PATIENCE_MS, &federation, &error));
    REQUIRE(federation == NULL);
    MUST(kwaai_node_free(node));
}

static int drops;

static void count_drop(void *context)
{
    drops += *(int *)context;
}

static void read_nothing(void *context, const char *name, const uint8_t *bytes, size_t length, kwaai_answer_t *answer)
{
    (void)context, (void)name, (void)bytes, (void)length;
    kwaai_answer_free(answer);
}

static void done_is_unused(void *context)
{
    (void)context;
}

static void a_closure_without_a_function_or_for_nobody_is_let_go_of_once(void)
{
    static int one = 1;
    kwaai_embedder_t *embedder = NULL;
    kwaai_embed_t nothing = {&one, NULL, count_drop};
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_embedder_new("x", 3, KWAAI_UNSET, nothing, &embedder, &error));
    REQUIRE(drops == 1);
    kwaai_done_t done = {&one, done_is_unused, count_drop};
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_op_on_done(NULL, done, &error));
    REQUIRE(drops == 2);
    kwaai_log_t sink = {&one, NULL, count_drop};
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_library_init_logging("info", sink, &error));
    REQUIRE(drops == 3);
}

static void the_answer_of_another_kind_of_operation(void)
{
    kwaai_trust_t *trust = a_trust_graph();
    kwaai_op_t *op = NULL;
    kwaai_node_t *node = NULL;
    char *text = NULL, *again = NULL;
    MUST(kwaai_trust_policy_async(trust, &op, &error));
    MUST(kwaai_op_wait(op, PATIENCE_MS, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_op_take_node(op, &node, &error));
    MUST(kwaai_op_take_text(op, &text, &error));
    EXPECT(KWAAI_CLOSED, kwaai_op_take_text(op, &again, &error));
    MUST(kwaai_op_result(op, &error));
    REQUIRE(text != NULL && again == NULL);
    MUST(kwaai_string_free(text));
    MUST(kwaai_op_free(op));
    MUST(kwaai_trust_free(trust));
}

static void an_answer_that_is_not_there_yet(void)
{
    kwaai_op_t *op = NULL;
    char *text = NULL;
    bool done = true;
    MUST(kwaai_testing_hang_async(&op, &error));
    EXPECT(KWAAI_BUSY, kwaai_op_take_text(op, &text, &error));
    EXPECT(KWAAI_BUSY, kwaai_op_result(op, &error));
    MUST(kwaai_op_poll(op, &done));
    REQUIRE(!done);
    EXPECT(KWAAI_TIMEOUT, kwaai_op_wait(op, 1, &error));
    MUST(kwaai_op_free(op));
}

static void a_panic_inside(void)
{
    kwaai_error_t *failure = NULL;
    REQUIRE(kwaai_testing_panic(PATIENCE_MS, &failure) == KWAAI_INTERNAL);
    REQUIRE(strstr(kwaai_error_json(failure), "a panic on demand") != NULL);
    MUST(kwaai_error_free(failure));
}

static void a_span_of_time_of_nothing(void)
{
    static int none;
    kwaai_trust_t *trust = a_trust_graph();
    kwaai_reader_t *reader = NULL;
    char *did = NULL, *credential = NULL;
    const char *extensions[] = {"cards"};
    kwaai_read_t code = {&none, read_nothing, count_drop};
    MUST(kwaai_trust_did(trust, &did, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT,
           kwaai_trust_issue(trust, "UptimeVC", did, NULL, 0, false, PATIENCE_MS, &credential, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_reader_new(extensions, 1, 0, code, &reader, &error));
    REQUIRE(credential == NULL && reader == NULL);
    MUST(kwaai_trust_issue(trust, "UptimeVC", did, NULL, KWAAI_UNSET, false, PATIENCE_MS, &credential, &error));
    MUST(kwaai_reader_new(extensions, 1, KWAAI_UNSET, code, &reader, &error));
    MUST(kwaai_reader_free(reader));
    MUST(kwaai_string_free(credential));
    MUST(kwaai_string_free(did));
    MUST(kwaai_trust_free(trust));
}

static void a_span_of_time_that_is_too_long(void)
{
    kwaai_trust_t *trust = NULL;
    MUST(kwaai_trust_open(NULL, "{\"clock\": \"2026-01-01T00:00:00Z\"}", NULL, PATIENCE_MS, &trust, &error));
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_trust_advance_clock(trust, UINT64_MAX, &error));
    MUST(kwaai_trust_advance_clock(trust, 1000, &error));
    MUST(kwaai_trust_free(trust));
    trust = a_trust_graph();
    EXPECT(KWAAI_UNSUPPORTED, kwaai_trust_advance_clock(trust, 1000, &error));
    MUST(kwaai_trust_free(trust));
}

static void *read_until_the_end(void *stream)
{
    kwaai_item_t item = KWAAI_ITEM_VALUE;
    char *json = NULL;
    while (item != KWAAI_ITEM_END) {
        kwaai_status_t status = kwaai_stream_next(stream, PATIENCE_MS, &item, &json, NULL);
        kwaai_string_free(json);
        if (status != KWAAI_OK) {
            /* It was freed before this read began. */
            REQUIRE(status == KWAAI_CLOSED);
            return stream;
        }
    }
    return stream;
}

static void freeing_a_stream_that_somebody_reads(void)
{
    kwaai_stream_t *stream = NULL;
    pthread_t reader;
    MUST(kwaai_testing_numbers(3, 8, true, &stream, &error));
    REQUIRE(pthread_create(&reader, NULL, read_until_the_end, stream) == 0);
    MUST(kwaai_stream_free(stream));
    REQUIRE(pthread_join(reader, NULL) == 0);
}

static void using_the_library_after_its_end(void)
{
    kwaai_trust_t *trust = NULL;
    kwaai_op_t *op = NULL, *overtaken = NULL;
    MUST(kwaai_testing_hang_async(&overtaken, &error));
    MUST(kwaai_library_shutdown(1000));
    MUST(kwaai_library_shutdown(1000));
    EXPECT(KWAAI_CLOSED, kwaai_trust_open(NULL, NULL, NULL, PATIENCE_MS, &trust, &error));
    EXPECT(KWAAI_CLOSED, kwaai_testing_hang_async(&op, &error));
    MUST(kwaai_op_wait(overtaken, PATIENCE_MS, &error));
    EXPECT(KWAAI_CLOSED, kwaai_op_result(overtaken, &error));
    MUST(kwaai_op_free(overtaken));
}

#define MISUSE(name) {#name, name}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } misuses[] = {
        MISUSE(null_where_something_is_needed),
        MISUSE(no_error_wanted),
        MISUSE(a_text_that_is_no_utf8),
        MISUSE(json_that_is_none_or_says_something_unknown),
        MISUSE(a_refused_record_is_told_in_words_of_this_library),
        MISUSE(a_handle_of_another_kind),
        MISUSE(a_number_that_was_never_a_handle),
        MISUSE(freeing_twice),
        MISUSE(freeing_what_is_somebody_elses),
        MISUSE(using_what_was_freed),
        MISUSE(using_what_was_shut_down),
        MISUSE(freeing_null),
        MISUSE(a_length_that_is_a_lie),
        MISUSE(supplies_without_their_size),
        MISUSE(members_without_their_size),
        MISUSE(a_closure_without_a_function_or_for_nobody_is_let_go_of_once),
        MISUSE(the_answer_of_another_kind_of_operation),
        MISUSE(an_answer_that_is_not_there_yet),
        MISUSE(a_panic_inside),
        MISUSE(a_span_of_time_of_nothing),
        MISUSE(a_span_of_time_that_is_too_long),
        MISUSE(freeing_a_stream_that_somebody_reads),
        MISUSE(using_the_library_after_its_end),
    };
    for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) {
        misuses[i].run();
        printf("%s\n", misuses[i].name);
        REQUIRE(kwaai_live_handles() == 0);
    }
    puts("ok");
    return 0;
}
