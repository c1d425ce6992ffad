/* What the scenarios bring: an embedder, a language model, a reader, a signer and a log sink, written in C. */

#ifndef TESTS_C_PROVIDED_H
#define TESTS_C_PROVIDED_H

#include "check.h"
#include "kwaainet_testing.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct {
    char *fails; /* NULL, the name of a code, or "exception" */
    char *reply;
    size_t dimension;
    uint64_t seed;
} provided;

static atomic_int provided_alive;

static char *own_copy(const char *text)
{
    return text == NULL ? NULL : strcpy(malloc(strlen(text) + 1), text);
}

static provided *provide(const char *fails, const char *reply, size_t dimension, uint64_t seed)
{
    provided *own = calloc(1, sizeof *own);
    *own = (provided){own_copy(fails), own_copy(reply), dimension, seed};
    provided_alive++;
    return own;
}

static void forget_provided(void *context)
{
    provided *own = context;
    free(own->fails);
    free(own->reply);
    free(own);
    provided_alive--;
}

static bool failed(const provided *own, kwaai_answer_t *answer)
{
    if (own->fails == NULL) {
        return false;
    }
    uint32_t status = KWAAI_INTERNAL;
    for (uint32_t code = 1; code <= KWAAI_INTERNAL; code++) {
        status = strcmp(own->fails, kwaai_status_name(code)) == 0 ? code : status;
    }
    kwaai_answer_fail(answer, status, "it fails on demand", "the cause of the program", NULL);
    return true;
}

static void count_letters(void *context, const char *const *texts, size_t count, bool query, kwaai_answer_t *answer)
{
    provided *own = context;
    (void)query;
    if (failed(own, answer)) {
        return;
    }
    float *vectors = calloc(count * own->dimension + 1, sizeof *vectors);
    for (size_t i = 0; i < count; i++) {
        for (const char *at = texts[i]; *at != '\0'; at++) {
            int letter = tolower((unsigned char)*at) - 'a';
            if (letter >= 0 && letter < 26) {
                vectors[i * own->dimension + (size_t)letter % own->dimension] += 1;
            }
        }
    }
    kwaai_answer_vectors(answer, vectors, count * own->dimension, NULL);
    free(vectors);
}

static void say_the_reply(void *context, const char *request_json, kwaai_answer_t *answer)
{
    provided *own = context;
    (void)request_json;
    if (failed(own, answer)) {
        return;
    }
    const char *at = own->reply;
    while (*at != '\0') {
        size_t word = strspn(at, " ");
        word += strcspn(at + word, " ");
        char *piece = calloc(word + 1, 1);
        memcpy(piece, at, word);
        kwaai_status_t status = kwaai_answer_piece(answer, piece, NULL);
        free(piece);
        if (status != KWAAI_OK) {
            kwaai_answer_free(answer);
            return;
        }
        at += word;
    }
    kwaai_answer_finish(answer, NULL, NULL);
}

static void read_lines(void *context, const char *name, const uint8_t *bytes, size_t length, kwaai_answer_t *answer)
{
    (void)name;
    if (failed(context, answer)) {
        return;
    }
    char *text = calloc(length + 1, 1);
    memcpy(text, bytes, length);
    kwaai_part_t *parts = calloc(length + 1, sizeof *parts);
    size_t count = 0;
    for (char *at = text; *at != '\0'; ) {
        char *end = at + strcspn(at, "\n"), *colon = strstr(at, ": ");
        bool last = *end == '\0';
        *end = '\0';
        if (colon != NULL && colon < end) {
            *colon = '\0';
            parts[count++] = (kwaai_part_t){at, colon + 2};
        }
        at = last ? end : end + 1;
    }
    kwaai_answer_parts(answer, parts, count, NULL);
    free(parts);
    free(text);
}

typedef struct {
    kwaai_answer_t *answer;
    uint64_t seed;
    size_t length;
    uint8_t message[];
} signing;

/* A function of the program must not wait for the library, so it signs on a thread of its own. */
static void *sign_elsewhere(void *context)
{
    signing *work = context;
    char *hex = NULL;
    uint8_t signature[64];
    kwaai_testing_seed_sign(work->seed, work->message, work->length, PATIENCE_MS, &hex, NULL);
    for (size_t i = 0; hex != NULL && i < sizeof signature; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        signature[i] = (uint8_t)byte;
    }
    kwaai_answer_signature(work->answer, signature, hex != NULL ? sizeof signature : 0, NULL);
    kwaai_string_free(hex);
    free(work);
    return NULL;
}

static void sign_by_seed(void *context, const uint8_t *message, size_t length, kwaai_answer_t *answer)
{
    provided *own = context;
    pthread_t thread;
    if (failed(own, answer)) {
        return;
    }
    signing *work = malloc(sizeof *work + length);
    work->answer = answer;
    work->seed = own->seed;
    work->length = length;
    memcpy(work->message, message, length);
    REQUIRE(pthread_create(&thread, NULL, sign_elsewhere, work) == 0);
    pthread_detach(thread);
}

static pthread_mutex_t logged_lock = PTHREAD_MUTEX_INITIALIZER;
static char *logged[4096];
static size_t logged_count;

static void keep_record(void *context, const char *level, const char *message, const char *record_json)
{
    (void)context, (void)level, (void)message;
    pthread_mutex_lock(&logged_lock);
    if (logged_count < sizeof logged / sizeof *logged) {
        logged[logged_count++] = own_copy(record_json);
    }
    pthread_mutex_unlock(&logged_lock);
}

#endif
