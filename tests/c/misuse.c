/* What a careless program does: each misuse gets a status, and the program lives on. */

#include <kwaainet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t PATIENCE_MS = 30000;

static void expect(kwaai_status_t status, kwaai_status_t expected, const char *what)
{
    if (status != expected) {
        fprintf(stderr, "%s: %s, expected %s\n", what, kwaai_status_name(status), kwaai_status_name(expected));
        exit(1);
    }
}

int main(void)
{
    kwaai_trust_t *trust = NULL;
    char *text = NULL;
    kwaai_error_t *error = NULL;
    double score = 1;

    expect(kwaai_trust_open(NULL, PATIENCE_MS, &trust, NULL), KWAAI_OK, "open");

    /* NULL where something is needed. */
    expect(kwaai_trust_did(NULL, &text, NULL), KWAAI_INVALID_ARGUMENT, "a NULL handle");
    expect(kwaai_trust_did(trust, NULL, NULL), KWAAI_INVALID_ARGUMENT, "a NULL output");
    expect(kwaai_trust_score(trust, NULL, PATIENCE_MS, &score, &text, NULL), KWAAI_INVALID_ARGUMENT, "a NULL text");
    expect(kwaai_trust_open(NULL, PATIENCE_MS, NULL, &error), KWAAI_INVALID_ARGUMENT, "nowhere to put the handle");
    expect(kwaai_error_status(error), KWAAI_INVALID_ARGUMENT, "its error object");
    expect(kwaai_error_free(error), KWAAI_OK, "free the error");
    expect(kwaai_error_free(error), KWAAI_CLOSED, "free the error twice");
    expect(kwaai_error_status(error), KWAAI_CLOSED, "use the error after free");

    /* A text that is no UTF-8, and one that is no DID. */
    expect(kwaai_trust_score(trust, "\xff\xfe", PATIENCE_MS, &score, &text, NULL), KWAAI_INVALID_ARGUMENT, "bad UTF-8");
    expect(kwaai_trust_score(trust, "did:key:z", PATIENCE_MS, &score, &text, NULL), KWAAI_INVALID_ARGUMENT, "no DID");

    /* A handle of another kind, and numbers that were never handles. */
    expect(kwaai_stream_cancel((kwaai_stream_t *)(void *)trust), KWAAI_INVALID_ARGUMENT, "another kind");
    expect(kwaai_trust_did((kwaai_trust_t *)(void *)&score, &text, NULL), KWAAI_INVALID_ARGUMENT, "an address");
    expect(kwaai_trust_did((kwaai_trust_t *)UINTPTR_MAX, &text, NULL), KWAAI_INVALID_ARGUMENT, "the last address");

    /* Freeing twice, and using what was freed. */
    expect(kwaai_trust_did(trust, &text, NULL), KWAAI_OK, "a text");
    expect(kwaai_string_free(text), KWAAI_OK, "free a text");
    expect(kwaai_string_free(text), KWAAI_CLOSED, "free a text twice");
    expect(kwaai_string_free((char *)(void *)&score), KWAAI_CLOSED, "free a text of somebody else");
    expect(kwaai_trust_free(trust), KWAAI_OK, "free");
    expect(kwaai_trust_free(trust), KWAAI_CLOSED, "free twice");
    text = NULL;
    expect(kwaai_trust_did(trust, &text, &error), KWAAI_CLOSED, "use after free");
    expect(text == NULL ? KWAAI_OK : KWAAI_INTERNAL, KWAAI_OK, "no output of a call that failed");
    expect(strcmp(kwaai_error_code(error), "closed") == 0 ? KWAAI_OK : KWAAI_INTERNAL, KWAAI_OK, "the code");
    expect(kwaai_error_free(error), KWAAI_OK, "free the last error");

    /* NULL is fine to free. */
    expect(kwaai_trust_free(NULL), KWAAI_OK, "free NULL");
    expect(kwaai_stream_free(NULL), KWAAI_OK, "free NULL");
    expect(kwaai_error_free(NULL), KWAAI_OK, "free NULL");
    expect(kwaai_string_free(NULL), KWAAI_OK, "free NULL");

    if (kwaai_live_handles() != 0) {
        fprintf(stderr, "%zu handles are left\n", kwaai_live_handles());
        return 1;
    }
    expect(kwaai_library_shutdown(1000), KWAAI_OK, "the end");
    expect(kwaai_library_shutdown(1000), KWAAI_OK, "the end again");
    expect(kwaai_trust_open(NULL, PATIENCE_MS, &trust, NULL), KWAAI_CLOSED, "nothing opens after the end");
    puts("ok");
    return 0;
}
