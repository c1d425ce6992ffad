/* What every C test needs: ending the program with what went wrong. */

#ifndef TESTS_C_CHECK_H
#define TESTS_C_CHECK_H

#include <kwaainet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 30000u

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The status of a call that takes an error last, which is written as `&error` in it. */
#define EXPECT(expected, call)                                                                                         \
    do {                                                                                                               \
        kwaai_error_t *error = NULL;                                                                                   \
        kwaai_status_t status = (call);                                                                                \
        if (status != (expected)) {                                                                                    \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call, kwaai_status_name((uint32_t)status),       \
                    error != NULL ? kwaai_error_message(error) : "");                                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
        kwaai_error_free(error);                                                                                       \
    } while (0)

#define MUST(call) EXPECT(KWAAI_OK, call)

#endif
