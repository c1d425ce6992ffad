/* Calls that are begun: polled, waited for, told about, cancelled, and taken. */

#include "check.h"
#include "kwaainet_testing.h"

#include <pthread.h>
#include <stdatomic.h>

static void a_call_that_is_begun_answers_what_the_one_that_waits_answers(void)
{
    kwaai_op_t *op = NULL;
    kwaai_trust_t *trust = NULL, *again = NULL;
    char *begun = NULL, *waited = NULL;
    bool done = false;
    MUST(kwaai_trust_open_async(NULL, "{\"seed\": 1}", NULL, &op, &error));
    MUST(kwaai_op_wait(op, PATIENCE_MS, &error));
    MUST(kwaai_op_poll(op, &done));
    REQUIRE(done);
    MUST(kwaai_op_take_trust(op, &trust, &error));
    EXPECT(KWAAI_CLOSED, kwaai_op_take_trust(op, &again, &error));
    MUST(kwaai_op_free(op));
    MUST(kwaai_trust_policy_async(trust, &op, &error));
    MUST(kwaai_op_wait(op, PATIENCE_MS, &error));
    MUST(kwaai_op_take_text(op, &begun, &error));
    MUST(kwaai_trust_policy(trust, PATIENCE_MS, &waited, &error));
    REQUIRE(strcmp(begun, waited) == 0);
    kwaai_string_free(begun);
    kwaai_string_free(waited);
    MUST(kwaai_op_free(op));
    MUST(kwaai_trust_free(trust));
}

static void arguments_are_copied_and_handles_may_go_at_once(void)
{
    kwaai_trust_t *trust = NULL;
    kwaai_op_t *op = NULL;
    char peer[] = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw", *json = NULL;
    MUST(kwaai_trust_open(NULL, NULL, NULL, PATIENCE_MS, &trust, &error));
    MUST(kwaai_trust_score_async(trust, peer, &op, &error));
    memset(peer, 'x', sizeof peer - 1);
    MUST(kwaai_trust_free(trust));
    MUST(kwaai_op_wait(op, PATIENCE_MS, &error));
    MUST(kwaai_op_take_text(op, &json, &error));
    REQUIRE(strstr(json, "\"tier\":\"unknown\"") != NULL);
    kwaai_string_free(json);
    MUST(kwaai_op_free(op));
}

static void a_bad_argument_begins_nothing(void)
{
    kwaai_op_t *op = NULL;
    EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_node_start_async("{", &op, &error));
    REQUIRE(op == NULL);
}

static void a_failed_operation_keeps_its_error(void)
{
    kwaai_op_t *op = NULL;
    char *text = NULL;
    for (uint16_t code = 1; code <= KWAAI_INTERNAL; code++) {
        kwaai_error_t *failure = NULL;
        MUST(kwaai_testing_raise_async(code, &op, &error));
        MUST(kwaai_op_wait(op, PATIENCE_MS, &error));
        EXPECT((kwaai_status_t)code, kwaai_op_result(op, &error));
        REQUIRE(kwaai_op_take_text(op, &text, &failure) == (kwaai_status_t)code);
        REQUIRE(strcmp(kwaai_error_code(failure), kwaai_status_name(code)) == 0);
        REQUIRE(strstr(kwaai_error_json(failure), "\"cause\":\"the cause beneath\"") != NULL);
        kwaai_error_free(failure);
        MUST(kwaai_op_free(op));
    }
}

static void *wait_for_the_end(void *op)
{
    MUST(kwaai_op_wait(op, KWAAI_WAIT_FOREVER, &error));
    return NULL;
}

static void cancelling_ends_the_wait_of_every_thread(void)
{
    kwaai_op_t *op = NULL;
    pthread_t waiters[4];
    MUST(kwaai_testing_hang_async(&op, &error));
    for (size_t i = 0; i < 4; i++) {
        REQUIRE(pthread_create(&waiters[i], NULL, wait_for_the_end, op) == 0);
    }
    EXPECT(KWAAI_TIMEOUT, kwaai_op_wait(op, 1, &error));
    MUST(kwaai_op_cancel(op));
    for (size_t i = 0; i < 4; i++) {
        REQUIRE(pthread_join(waiters[i], NULL) == 0);
    }
    EXPECT(KWAAI_CANCELLED, kwaai_op_result(op, &error));
    MUST(kwaai_op_cancel(op));
    MUST(kwaai_op_free(op));
}

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls, drops;
} bell;

static void ring(void *context)
{
    bell *own = context;
    pthread_mutex_lock(&own->lock);
    own->calls++;
    pthread_mutex_unlock(&own->lock);
}

static void let_go(void *context)
{
    bell *own = context;
    pthread_mutex_lock(&own->lock);
    own->drops++;
    pthread_cond_signal(&own->changed);
    pthread_mutex_unlock(&own->lock);
}

static void await_drops(bell *own, int drops)
{
    pthread_mutex_lock(&own->lock);
    while (own->drops < drops) {
        pthread_cond_wait(&own->changed, &own->lock);
    }
    pthread_mutex_unlock(&own->lock);
}

static void the_end_is_told_once_and_the_function_let_go_of_once(void)
{
    static bell own = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    kwaai_done_t done = {&own, ring, let_go};
    kwaai_op_t *op = NULL;
    MUST(kwaai_testing_hang_async(&op, &error));
    MUST(kwaai_op_on_done(op, done, &error));
    EXPECT(KWAAI_ALREADY_EXISTS, kwaai_op_on_done(op, done, &error));
    await_drops(&own, 1);
    REQUIRE(own.calls == 0);
    MUST(kwaai_op_cancel(op));
    await_drops(&own, 2);
    REQUIRE(own.calls == 1);
    MUST(kwaai_op_on_done(op, done, &error));
    await_drops(&own, 3);
    REQUIRE(own.calls == 2);
    MUST(kwaai_op_free(op));
    MUST(kwaai_testing_hang_async(&op, &error));
    MUST(kwaai_op_on_done(op, done, &error));
    MUST(kwaai_op_free(op));
    await_drops(&own, 4);
    REQUIRE(own.calls == 2);
}

static void cancelling_a_wait_takes_nothing_from_the_stream(void)
{
    kwaai_stream_t *stream = NULL;
    kwaai_op_t *op = NULL;
    kwaai_item_t item = KWAAI_ITEM_END;
    char *json = NULL;
    MUST(kwaai_testing_numbers(3, 8, true, &stream, &error));
    for (int expected = 0; expected < 3; expected++) {
        char text[4];
        snprintf(text, sizeof text, "%d", expected);
        MUST(kwaai_stream_next_async(stream, &op, &error));
        MUST(kwaai_op_wait(op, PATIENCE_MS, &error));
        MUST(kwaai_op_take_item(op, &item, &json, &error));
        REQUIRE(item == KWAAI_ITEM_VALUE && strcmp(json, text) == 0);
        kwaai_string_free(json);
        MUST(kwaai_op_free(op));
    }
    MUST(kwaai_stream_next_async(stream, &op, &error));
    EXPECT(KWAAI_TIMEOUT, kwaai_op_wait(op, 1, &error));
    MUST(kwaai_op_cancel(op));
    MUST(kwaai_op_wait(op, PATIENCE_MS, &error));
    EXPECT(KWAAI_CANCELLED, kwaai_op_result(op, &error));
    MUST(kwaai_op_free(op));
    EXPECT(KWAAI_TIMEOUT, kwaai_stream_next(stream, 1, &item, &json, &error));
    MUST(kwaai_stream_cancel(stream));
    MUST(kwaai_stream_next(stream, PATIENCE_MS, &item, &json, &error));
    REQUIRE(item == KWAAI_ITEM_END && json == NULL);
    MUST(kwaai_stream_free(stream));
}

static void a_slow_reader_learns_how_much_it_missed(void)
{
    kwaai_stream_t *stream = NULL;
    kwaai_item_t item = KWAAI_ITEM_END;
    char *json = NULL;
    MUST(kwaai_testing_numbers(10, 4, false, &stream, &error));
    MUST(kwaai_stream_next(stream, PATIENCE_MS, &item, &json, &error));
    REQUIRE(item == KWAAI_ITEM_LAGGED && strcmp(json, "{\"missed\":6}") == 0);
    kwaai_string_free(json);
    MUST(kwaai_stream_free(stream));
}

int main(void)
{
    a_call_that_is_begun_answers_what_the_one_that_waits_answers();
    arguments_are_copied_and_handles_may_go_at_once();
    a_bad_argument_begins_nothing();
    a_failed_operation_keeps_its_error();
    cancelling_ends_the_wait_of_every_thread();
    the_end_is_told_once_and_the_function_let_go_of_once();
    cancelling_a_wait_takes_nothing_from_the_stream();
    a_slow_reader_learns_how_much_it_missed();
    REQUIRE(kwaai_live_handles() == 0);
    MUST(kwaai_library_shutdown(5000));
    puts("ok");
    return 0;
}
