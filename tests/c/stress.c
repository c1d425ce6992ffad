/* Many of everything: afterwards nothing is alive, and memory is where it was. */

#include "check.h"
#include "kwaainet_testing.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static long resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0, resident = 0;
    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2) {
        resident = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void nothing_is_alive(void)
{
    char *live = NULL;
    for (;;) {
        MUST(kwaai_testing_live_handles(&live, &error));
        bool none = strcmp(live, "{}") == 0;
        kwaai_string_free(live);
        if (none) {
            return;
        }
        sched_yield();
    }
}

static void ten_thousand_objects(void)
{
    enum { COUNT = 10000 };
    long before = 0;
    for (int i = 0; i < COUNT; i++) {
        kwaai_stream_t *stream = NULL;
        kwaai_error_t *failure = NULL;
        kwaai_shards_t *shards = NULL;
        char *did = NULL;
        before = i == COUNT / 10 ? resident_kib() : before;
        MUST(kwaai_testing_numbers(2, 2, false, &stream, &error));
        REQUIRE(kwaai_stream_next(NULL, 0, NULL, NULL, &failure) == KWAAI_INVALID_ARGUMENT);
        MUST(kwaai_shards_open(PATIENCE_MS, &shards, &error));
        MUST(kwaai_testing_seed_did((uint64_t)i, &did, &error));
        kwaai_string_free(did);
        kwaai_shards_free(shards);
        kwaai_error_free(failure);
        kwaai_stream_free(stream);
    }
    long after = resident_kib();
    nothing_is_alive();
    printf("10,000 objects made and freed: memory %ld KiB, at the start %ld KiB\n", after, before);
    REQUIRE(after < before + 8 * 1024);
}

static uint64_t seed = 20260101;

static unsigned random_below(unsigned limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % limit;
}

static void a_thousand_cancelled_calls(void)
{
    enum { COUNT = 1000 };
    kwaai_trust_t *trust = NULL;
    unsigned cancelled = 0, finished = 0;
    MUST(kwaai_trust_open(NULL, NULL, NULL, PATIENCE_MS, &trust, &error));
    for (int i = 0; i < COUNT; i++) {
        kwaai_op_t *op = NULL;
        if (i % 2 == 0) {
            MUST(kwaai_testing_hang_async(&op, &error));
        } else {
            MUST(kwaai_trust_issue_async(trust, "UptimeVC", "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw",
                                         NULL, KWAAI_UNSET, false, &op, &error));
        }
        for (unsigned spin = random_below(2000); spin > 0; spin--) {
            bool done = false;
            MUST(kwaai_op_poll(op, &done));
        }
        if (random_below(4) == 0) {
            MUST(kwaai_op_free(op));
            cancelled++;
            continue;
        }
        MUST(kwaai_op_cancel(op));
        MUST(kwaai_op_wait(op, PATIENCE_MS, &error));
        kwaai_status_t status = kwaai_op_result(op, NULL);
        REQUIRE(status == KWAAI_CANCELLED || (i % 2 == 1 && status == KWAAI_OK));
        cancelled += status == KWAAI_CANCELLED;
        finished += status == KWAAI_OK;
        MUST(kwaai_op_free(op));
    }
    MUST(kwaai_trust_free(trust));
    nothing_is_alive();
    printf("1,000 calls cancelled at random points: %u cancelled, %u were faster\n", cancelled, finished);
    REQUIRE(cancelled >= COUNT / 2);
}

static void a_hundred_starts_and_shutdowns(void)
{
    enum { COUNT = 100 };
    long before = 0;
    for (int i = 0; i < COUNT; i++) {
        kwaai_node_t *node = NULL;
        before = i == COUNT / 5 ? resident_kib() : before;
        MUST(kwaai_node_start("{\"preset\": \"ephemeral\", \"listen\": []}", PATIENCE_MS, &node, &error));
        MUST(kwaai_node_shutdown(node, 0, PATIENCE_MS, &error));
        MUST(kwaai_node_free(node));
    }
    long after = resident_kib();
    nothing_is_alive();
    printf("100 starts and shutdowns: memory %ld KiB, after the first twenty %ld KiB\n", after, before);
    REQUIRE(after < before + 16 * 1024);
}

int main(void)
{
    ten_thousand_objects();
    a_thousand_cancelled_calls();
    a_hundred_starts_and_shutdowns();
    REQUIRE(kwaai_live_handles() == 0);
    MUST(kwaai_library_shutdown(5000));
    puts("ok");
    return 0;
}
