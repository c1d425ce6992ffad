/* The state of a scenario: what was saved, what a value stands for, and whether a result matches. */

#ifndef TESTS_C_SCENARIO_H
#define TESTS_C_SCENARIO_H

#include "check.h"
#include "json.h"

#include <regex.h>

typedef enum { NOTHING, NODE, TRUST, SHARDS, MODEL, RAG, SHARED, FEDERATION, VPK, COLLECTION, CONSOLE, SERVER, STREAM, EMBEDDER, WRITER, READER, SIGNER, SINK } handle_kind;

/* What a call answered: data, or a handle with its properties as data. */
typedef struct {
    handle_kind kind;
    void *handle;
    json *data;
} result;

typedef struct {
    char *name;
    result value;
} saved;

static saved saves[256];
static size_t save_count;
static const char *scenario_tmp, *scenario_root;

static const result *find_saved(const char *name, size_t length)
{
    for (size_t i = save_count; i > 0; i--) {
        if (strlen(saves[i - 1].name) == length && strncmp(saves[i - 1].name, name, length) == 0) {
            return &saves[i - 1].value;
        }
    }
    return NULL;
}

/* What a path like `name.field.0` leads to; NULL when it leads nowhere. */
static json *follow(const char *path, size_t length)
{
    size_t end = strcspn(path, ".");
    end = end < length ? end : length;
    json *at = NULL;
    if (strncmp(path, "tmp", end) == 0 && end == 3) {
        at = json_string(scenario_tmp);
    } else if (strncmp(path, "root", end) == 0 && end == 4) {
        at = json_string(scenario_root);
    } else {
        const result *found = find_saved(path, end);
        at = found == NULL ? NULL : found->data;
    }
    while (at != NULL && end < length) {
        const char *part = path + end + 1;
        size_t size = strcspn(part, ".");
        size = size < length - end - 1 ? size : length - end - 1;
        char *key = json_copy(part, size);
        if (at->kind == JSON_LIST) {
            size_t index = (size_t)strtoul(key, NULL, 10);
            at = index < at->count ? at->items[index] : NULL;
        } else {
            at = json_get(at, key);
        }
        end += size + 1;
    }
    return at;
}

static json *lost(const char *path)
{
    fprintf(stderr, "%s leads nowhere\n", path);
    exit(1);
}

static char *replace_names(const char *text)
{
    char *out = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&out, &length);
    for (const char *end; *text != '\0'; ) {
        if (text[0] == '$' && text[1] == '{' && (end = strchr(text, '}')) != NULL) {
            json *value = follow(text + 2, (size_t)(end - text - 2));
            if (value == NULL) {
                lost(text);
            }
            fputs(value->kind == JSON_TEXT ? value->text : json_write(value), stream);
            text = end + 1;
        } else {
            fputc(*text++, stream);
        }
    }
    fclose(stream);
    char *copy = json_copy(out, length);
    free(out);
    return copy;
}

/* A value of the file with everything saved put in its place. A handle stays a name. */
static json *resolved(json *value)
{
    json *special = NULL;
    if (value->kind == JSON_TEXT && value->text[0] == '$' && value->text[1] != '{') {
        const char *path = value->text + 1;
        const result *whole = find_saved(path, strlen(path));
        if (whole != NULL && whole->kind != NOTHING) {
            return value;
        }
        json *found = follow(path, strlen(path));
        return found != NULL ? found : lost(value->text);
    }
    if (value->kind == JSON_TEXT) {
        return json_string(replace_names(value->text));
    }
    if ((special = json_only(value, "$repeat")) != NULL) {
        size_t times = (size_t)special->items[1]->number, size = strlen(special->items[0]->text);
        json *text = json_new(JSON_TEXT);
        text->text = json_allocate(times * size + 1);
        for (size_t i = 0; i < times; i++) {
            memcpy(text->text + i * size, special->items[0]->text, size);
        }
        return text;
    }
    if ((special = json_only(value, "$number")) != NULL) {
        return json_real(strtod(special->text, NULL));
    }
    if (value->kind != JSON_LIST && value->kind != JSON_OBJECT) {
        return value;
    }
    json *copy = json_new(value->kind);
    for (size_t i = 0; i < value->count; i++) {
        json_add(copy, value->keys[i], resolved(value->items[i]));
    }
    return copy;
}

static double length_of(const json *value)
{
    if (value->kind != JSON_TEXT) {
        return (double)value->count;
    }
    double characters = 0;
    for (const char *at = value->text; *at != '\0'; at++) {
        characters += ((unsigned char)*at & 0xC0) != 0x80;
    }
    return characters;
}

static bool finds(const char *pattern, const char *text)
{
    regex_t expression;
    char *posix = json_allocate(strlen(pattern) * 5 + 1), *write = posix;
    for (const char *at = pattern; *at != '\0'; at++) {
        if (at[0] == '\\' && at[1] == 'd') {
            memcpy(write, "[0-9]", 5);
            write += 5;
            at++;
        } else {
            *write++ = *at;
        }
    }
    if (regcomp(&expression, posix, REG_EXTENDED | REG_NOSUB) != 0) {
        fprintf(stderr, "%s is no regular expression\n", pattern);
        exit(1);
    }
    bool found = regexec(&expression, text, 0, NULL, 0) == 0;
    regfree(&expression);
    return found;
}

static bool matches(const json *expected, const json *value);

static bool matches_special(const char *matcher, const json *argument, const json *value)
{
    bool number = value->kind == JSON_NUMBER;
    if (strcmp(matcher, "$exists") == 0) {
        return (value->kind != JSON_NULL) == (argument->number != 0);
    } else if (strcmp(matcher, "$gte") == 0) {
        return number && value->number >= argument->number;
    } else if (strcmp(matcher, "$lte") == 0) {
        return number && value->number <= argument->number;
    } else if (strcmp(matcher, "$approx") == 0) {
        return number && fabs(value->number - argument->items[0]->number) <= argument->items[1]->number;
    } else if (strcmp(matcher, "$len") == 0) {
        return value->kind >= JSON_TEXT && length_of(value) == argument->number;
    } else if (strcmp(matcher, "$min_len") == 0) {
        return value->kind >= JSON_TEXT && length_of(value) >= argument->number;
    } else if (strcmp(matcher, "$matches") == 0) {
        return value->kind == JSON_TEXT && finds(argument->text, value->text);
    } else if (strcmp(matcher, "$not") == 0) {
        return !matches(argument, value);
    } else if (strcmp(matcher, "$contains") == 0) {
        if (value->kind == JSON_TEXT) {
            return argument->kind == JSON_TEXT && strstr(value->text, argument->text) != NULL;
        }
        for (size_t i = 0; value->kind == JSON_LIST && i < value->count; i++) {
            if (matches(argument, value->items[i])) {
                return true;
            }
        }
        return false;
    } else if (strcmp(matcher, "$all") == 0) {
        for (size_t i = 0; i < argument->count; i++) {
            if (!matches(argument->items[i], value)) {
                return false;
            }
        }
        return true;
    }
    fprintf(stderr, "%s is no matcher\n", matcher);
    exit(1);
}

static bool matches(const json *expected, const json *value)
{
    if (expected->kind == JSON_OBJECT && expected->count == 1 && expected->keys[0][0] == '$') {
        return matches_special(expected->keys[0], expected->items[0], value);
    }
    if (expected->kind == JSON_OBJECT && value->kind == JSON_OBJECT) {
        for (size_t i = 0; i < expected->count; i++) {
            json *field = json_get(value, expected->keys[i]);
            if (field == NULL || !matches(expected->items[i], field)) {
                return false;
            }
        }
        return true;
    }
    if (expected->kind == JSON_LIST && value->kind == JSON_LIST) {
        for (size_t i = 0; i < expected->count; i++) {
            if (value->count != expected->count || !matches(expected->items[i], value->items[i])) {
                return false;
            }
        }
        return value->count == expected->count;
    }
    return json_equal(expected, value);
}

#endif
