/* Functions that a program brings: answered at once, later, wrongly, not at all, and no longer wanted. */

#include "check.h"
#include "kwaainet_testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

typedef enum { AT_ONCE, LATER, TOO_SHORT, NEVER, FORGOTTEN, OF_ANOTHER_KIND, TWICE, BLOCKING } manner;

typedef struct {
    manner how;
    atomic_int drops;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    kwaai_answer_t *owed;
    size_t count;
} brought;

static void let_go(void *context)
{
    atomic_fetch_add(&((brought *)context)->drops, 1);
}

static float unit[4096];

static void *answer_later(void *context)
{
    brought *own = context;
    MUST(kwaai_answer_vectors(own->owed, unit, own->count * 2, &error));
    return NULL;
}

static void embed(void *context, const char *const *texts, size_t count, bool query, kwaai_answer_t *answer)
{
    brought *own = context;
    pthread_t thread;
    kwaai_trust_t *trust = NULL;
    REQUIRE(count == 0 || (texts[0][0] != '\0' && !query));
    REQUIRE(kwaai_answer_is_wanted(answer));
    switch (own->how) {
    case AT_ONCE:
        MUST(kwaai_answer_vectors(answer, unit, count * 2, &error));
        break;
    case LATER:
        own->owed = answer;
        own->count = count;
        REQUIRE(pthread_create(&thread, NULL, answer_later, own) == 0);
        pthread_detach(thread);
        break;
    case TOO_SHORT:
        MUST(kwaai_answer_vectors(answer, unit, 1, &error));
        break;
    case NEVER:
        pthread_mutex_lock(&own->lock);
        own->owed = answer;
        pthread_cond_signal(&own->changed);
        pthread_mutex_unlock(&own->lock);
        break;
    case FORGOTTEN:
        MUST(kwaai_answer_free(answer));
        EXPECT(KWAAI_CLOSED, kwaai_answer_free(answer));
        REQUIRE(!kwaai_answer_is_wanted(answer));
        break;
    case OF_ANOTHER_KIND:
        EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_answer_signature(answer, (const uint8_t *)"x", 1, &error));
        EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_answer_piece(answer, "x", &error));
        EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_answer_fail(answer, 0, "nothing is wrong", NULL, &error));
        EXPECT(KWAAI_INVALID_ARGUMENT, kwaai_answer_fail(answer, 99, "no such status", NULL, &error));
        MUST(kwaai_answer_fail(answer, KWAAI_BUSY, "the graphics card is taken", "a game", &error));
        break;
    case TWICE:
        MUST(kwaai_answer_vectors(answer, unit, count * 2, &error));
        EXPECT(KWAAI_CLOSED, kwaai_answer_vectors(answer, unit, count * 2, &error));
        EXPECT(KWAAI_CLOSED, kwaai_answer_fail(answer, KWAAI_BUSY, "too late", NULL, &error));
        break;
    case BLOCKING:
        EXPECT(KWAAI_UNSUPPORTED, kwaai_trust_open(NULL, NULL, NULL, PATIENCE_MS, &trust, &error));
        MUST(kwaai_answer_vectors(answer, unit, count * 2, &error));
        break;
    }
}

static int folders;
static const char *home;

/* Reads one document with an embedder; the JSON of what became of it. */
static char *ingest_with(brought *own, uint64_t deadline_ms)
{
    char folder[512], *last = NULL;
    kwaai_embedder_t *embedder = NULL;
    kwaai_rag_t *rag = NULL;
    kwaai_stream_t *progress = NULL;
    kwaai_item_t item = KWAAI_ITEM_VALUE;
    kwaai_embed_t code = {own, embed, let_go};
    snprintf(folder, sizeof folder, "%s/%d", home, folders++);
    MUST(kwaai_embedder_new("two", 2, deadline_ms, code, &embedder, &error));
    kwaai_supplies_t supplies = {.size = sizeof supplies, .embedder = embedder};
    MUST(kwaai_rag_open(folder, NULL, &supplies, PATIENCE_MS, &rag, &error));
    MUST(kwaai_embedder_free(embedder));
    REQUIRE(own->drops == 0);
    MUST(kwaai_rag_ingest_bytes(rag, "a.txt", (const uint8_t *)"A text.", 7, NULL, PATIENCE_MS, &progress, &error));
    while (item != KWAAI_ITEM_END) {
        char *json = NULL;
        MUST(kwaai_stream_next(progress, PATIENCE_MS, &item, &json, &error));
        bool told = json != NULL && strstr(json, "\"kind\":\"document_") != NULL;
        kwaai_string_free(told ? last : json);
        last = told ? json : last;
    }
    MUST(kwaai_stream_free(progress));
    MUST(kwaai_rag_destroy(rag, PATIENCE_MS, &error));
    MUST(kwaai_rag_free(rag));
    REQUIRE(last != NULL);
    return last;
}

static void an_embedder_ends_as(manner how, uint64_t deadline_ms, const char *expected)
{
    brought own = {.how = how, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    char *told = ingest_with(&own, deadline_ms);
    if (strstr(told, expected) == NULL) {
        fprintf(stderr, "expected %s, got %s\n", expected, told);
        exit(1);
    }
    kwaai_string_free(told);
    if (how == NEVER) {
        REQUIRE(!kwaai_answer_is_wanted(own.owed));
        MUST(kwaai_answer_vectors(own.owed, unit, 2, &error));
        EXPECT(KWAAI_CLOSED, kwaai_answer_free(own.owed));
    }
    REQUIRE(own.drops == 1);
}

static void refuse_to_sign(void *context, const uint8_t *message, size_t length, kwaai_answer_t *answer)
{
    (void)message;
    REQUIRE(length > 0);
    MUST(kwaai_answer_fail(answer, *(const uint32_t *)context, "the keychain is locked", "no finger", &error));
}

static void the_error_of_the_program_keeps_its_code_and_its_cause(void)
{
    uint32_t status = KWAAI_PERMISSION_DENIED;
    kwaai_sign_t code = {&status, refuse_to_sign, NULL};
    kwaai_signer_t *signer = NULL;
    kwaai_trust_t *trust = NULL;
    kwaai_error_t *failure = NULL;
    char *did = NULL, *credential = NULL;
    MUST(kwaai_testing_seed_did(1, &did, &error));
    MUST(kwaai_signer_new(did, KWAAI_UNSET, code, &signer, &error));
    MUST(kwaai_trust_open(NULL, NULL, signer, PATIENCE_MS, &trust, &error));
    MUST(kwaai_signer_free(signer));
    REQUIRE(kwaai_trust_issue(trust, "UptimeVC", did, NULL, KWAAI_UNSET, false, PATIENCE_MS, &credential, &failure) ==
            KWAAI_PERMISSION_DENIED);
    REQUIRE(strstr(kwaai_error_json(failure), "the keychain is locked") != NULL);
    REQUIRE(strstr(kwaai_error_json(failure), "no finger") != NULL);
    kwaai_error_free(failure);
    kwaai_string_free(did);
    MUST(kwaai_trust_free(trust));
}

static void a_cancelled_call_no_longer_wants_its_answer(void)
{
    brought own = {.how = NEVER, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    char folder[512];
    kwaai_embed_t code = {&own, embed, let_go};
    kwaai_embedder_t *embedder = NULL;
    kwaai_rag_t *rag = NULL;
    kwaai_stream_t *progress = NULL;
    kwaai_item_t item = KWAAI_ITEM_VALUE;
    snprintf(folder, sizeof folder, "%s/%d", home, folders++);
    MUST(kwaai_embedder_new("two", 2, KWAAI_UNSET, code, &embedder, &error));
    kwaai_supplies_t supplies = {.size = sizeof supplies, .embedder = embedder};
    MUST(kwaai_rag_open(folder, NULL, &supplies, PATIENCE_MS, &rag, &error));
    MUST(kwaai_rag_ingest_bytes(rag, "a.txt", (const uint8_t *)"A text.", 7, NULL, PATIENCE_MS, &progress, &error));
    pthread_mutex_lock(&own.lock);
    while (own.owed == NULL) {
        pthread_cond_wait(&own.changed, &own.lock);
    }
    pthread_mutex_unlock(&own.lock);
    REQUIRE(kwaai_answer_is_wanted(own.owed));
    MUST(kwaai_stream_cancel(progress));
    while (item != KWAAI_ITEM_END) {
        char *json = NULL;
        kwaai_status_t status = kwaai_stream_next(progress, PATIENCE_MS, &item, &json, NULL);
        kwaai_string_free(json);
        REQUIRE(status == KWAAI_OK || status == KWAAI_CANCELLED);
    }
    REQUIRE(!kwaai_answer_is_wanted(own.owed));
    MUST(kwaai_answer_free(own.owed));
    MUST(kwaai_stream_free(progress));
    MUST(kwaai_rag_destroy(rag, PATIENCE_MS, &error));
    MUST(kwaai_rag_free(rag));
    MUST(kwaai_embedder_free(embedder));
    REQUIRE(own.drops == 1);
}

int main(int count, char **arguments)
{
    REQUIRE(count == 3);
    home = arguments[1];
    for (size_t i = 0; i < sizeof unit / sizeof *unit; i++) {
        unit[i] = 0.5f;
    }
    an_embedder_ends_as(AT_ONCE, KWAAI_UNSET, "document_done");
    an_embedder_ends_as(LATER, KWAAI_UNSET, "document_done");
    an_embedder_ends_as(TWICE, KWAAI_UNSET, "document_done");
    an_embedder_ends_as(BLOCKING, KWAAI_UNSET, "document_done");
    an_embedder_ends_as(TOO_SHORT, KWAAI_UNSET, "\"code\":\"invalid_argument\"");
    an_embedder_ends_as(FORGOTTEN, KWAAI_UNSET, "\"code\":\"internal\"");
    an_embedder_ends_as(OF_ANOTHER_KIND, KWAAI_UNSET, "\"code\":\"busy\"");
    an_embedder_ends_as(NEVER, 50, "\"code\":\"timeout\"");
    the_error_of_the_program_keeps_its_code_and_its_cause();
    a_cancelled_call_no_longer_wants_its_answer();
    REQUIRE(kwaai_live_handles() == 0);
    MUST(kwaai_library_shutdown(5000));
    puts("ok");
    return 0;
}
