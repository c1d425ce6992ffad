/* What the C interface costs. tests/bench/ffi.py runs it and says what the numbers mean. Prints one JSON object. */

#include "check.h"
#include "kwaainet_testing.h"

#include <sched.h>
#include <time.h>

enum { VALUES = 10000, CALLS = 1000000 };

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double call_ns(void)
{
    kwaai_trust_t *trust = NULL;
    MUST(kwaai_trust_open(NULL, NULL, NULL, PATIENCE_MS, &trust, &error));
    double began = now_ns();
    for (int i = 0; i < CALLS; i++) {
        char *did = NULL;
        MUST(kwaai_trust_did(trust, &did, &error));
        kwaai_string_free(did);
    }
    double spent = (now_ns() - began) / CALLS;
    MUST(kwaai_trust_free(trust));
    return spent;
}

static double stream_us(void)
{
    kwaai_stream_t *stream = NULL;
    MUST(kwaai_testing_numbers(VALUES, VALUES, false, &stream, &error));
    double began = now_ns();
    for (;;) {
        char *json = NULL;
        kwaai_item_t item;
        kwaai_error_t *failure = NULL;
        kwaai_status_t status = kwaai_stream_next(stream, PATIENCE_MS, &item, &json, &failure);
        REQUIRE(status == KWAAI_OK);
        if (json == NULL) {
            break;
        }
        kwaai_string_free(json);
    }
    double spent = (now_ns() - began) / VALUES / 1e3;
    MUST(kwaai_stream_free(stream));
    return spent;
}

static double cycle_ms(void)
{
    kwaai_node_t *node = NULL;
    double began = now_ns();
    MUST(kwaai_node_start("{\"preset\": \"ephemeral\"}", PATIENCE_MS, &node, &error));
    MUST(kwaai_node_shutdown(node, 0, PATIENCE_MS, &error));
    double spent = (now_ns() - began) / 1e6;
    MUST(kwaai_node_free(node));
    return spent;
}

int main(void)
{
    double call = call_ns(), stream = stream_us(), cycle = cycle_ms();
    printf("{\"call_ns\": %f, \"stream_us\": %f, \"cycle_ms\": %f, \"left\": %zu}\n", call, stream, cycle,
           (size_t)kwaai_live_handles());
    return 0;
}
