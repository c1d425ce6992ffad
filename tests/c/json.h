/* JSON for the tests: read, built, compared, written. Everything lives until json_forget(). */

#ifndef TESTS_C_JSON_H
#define TESTS_C_JSON_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;

typedef struct json json;
struct json {
    json_kind kind;
    double number; /* of a number; 0 or 1 of a truth value */
    char *text;
    size_t count; /* entries of a list or an object */
    json **items;
    char **keys; /* of an object */
};

typedef struct json_block {
    struct json_block *next;
} json_block;

static json_block *json_blocks;

static inline void *json_allocate(size_t size)
{
    json_block *block = calloc(1, sizeof *block + size);
    if (block == NULL) {
        abort();
    }
    block->next = json_blocks;
    json_blocks = block;
    return block + 1;
}

static inline void json_forget(void)
{
    while (json_blocks != NULL) {
        json_block *next = json_blocks->next;
        free(json_blocks);
        json_blocks = next;
    }
}

static inline json *json_new(json_kind kind)
{
    json *value = json_allocate(sizeof *value);
    value->kind = kind;
    return value;
}

static inline char *json_copy(const char *text, size_t length)
{
    char *copy = json_allocate(length + 1);
    memcpy(copy, text, length);
    return copy;
}

static inline json *json_string(const char *text)
{
    json *value = json_new(JSON_TEXT);
    value->text = json_copy(text, strlen(text));
    return value;
}

static inline json *json_real(double number)
{
    json *value = json_new(JSON_NUMBER);
    value->number = number;
    return value;
}

static inline void json_add(json *list, const char *key, json *item)
{
    if ((list->count & (list->count - 1)) == 0) {
        size_t room = list->count == 0 ? 1 : list->count * 2;
        json **items = json_allocate(room * sizeof *items);
        char **keys = json_allocate(room * sizeof *keys);
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
            memcpy(keys, list->keys, list->count * sizeof *keys);
        }
        list->items = items;
        list->keys = keys;
    }
    list->items[list->count] = item;
    list->keys[list->count++] = key == NULL ? NULL : json_copy(key, strlen(key));
}

static inline json *json_get(const json *object, const char *key)
{
    if (object == NULL || object->kind != JSON_OBJECT) {
        return NULL;
    }
    for (size_t i = 0; i < object->count; i++) {
        if (strcmp(object->keys[i], key) == 0) {
            return object->items[i];
        }
    }
    return NULL;
}

/* The one entry of an object that has only this key. */
static inline json *json_only(const json *object, const char *key)
{
    return object->kind == JSON_OBJECT && object->count == 1 ? json_get(object, key) : NULL;
}

typedef struct {
    const char *at;
    bool wrong;
} json_reader;

static inline void json_space(json_reader *reader)
{
    reader->at += strspn(reader->at, " \t\r\n");
}

static inline size_t json_utf8(unsigned long point, char *out)
{
    static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (length == 1) {
        out[0] = (char)point;
        return 1;
    }
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    out[0] = (char)(leads[length] | point);
    return length;
}

static inline unsigned long json_unit(json_reader *reader)
{
    char digits[5] = {0};
    for (size_t i = 0; i < 4 && reader->at[i] != '\0'; i++) {
        digits[i] = reader->at[i];
    }
    reader->at += strlen(digits);
    char *end = NULL;
    unsigned long unit = strtoul(digits, &end, 16);
    reader->wrong = reader->wrong || end != digits + 4;
    return unit;
}

static inline char *json_read_text(json_reader *reader)
{
    char *out = json_allocate(strcspn(reader->at + 1, "\0") + 8), *write = out;
    for (reader->at++; *reader->at != '"'; ) {
        if (*reader->at == '\0') {
            reader->wrong = true;
            return out;
        }
        if (*reader->at != '\\') {
            *write++ = *reader->at++;
            continue;
        }
        static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
        char escape = reader->at[1];
        const char *known = escape == '\0' ? NULL : strchr(names, escape);
        reader->at += 2;
        if (known != NULL) {
            *write++ = values[known - names];
        } else if (escape == 'u') {
            unsigned long point = json_unit(reader);
            if (point >= 0xD800 && point < 0xDC00 && reader->at[0] == '\\' && reader->at[1] == 'u') {
                reader->at += 2;
                point = 0x10000 + ((point - 0xD800) << 10) + (json_unit(reader) - 0xDC00);
            }
            write += json_utf8(point, write);
        } else {
            reader->wrong = true;
            return out;
        }
    }
    reader->at++;
    return out;
}

static inline json *json_read(json_reader *reader)
{
    json_space(reader);
    char first = *reader->at;
    if (first == '{' || first == '[') {
        json *list = json_new(first == '{' ? JSON_OBJECT : JSON_LIST);
        char last = first == '{' ? '}' : ']';
        reader->at++;
        for (json_space(reader); *reader->at != last; json_space(reader)) {
            char *key = NULL;
            if (list->count > 0 && *reader->at++ != ',') {
                reader->wrong = true;
            }
            json_space(reader);
            if (first == '{' && !reader->wrong) {
                reader->wrong = *reader->at != '"';
                key = reader->wrong ? NULL : json_read_text(reader);
                json_space(reader);
                reader->wrong = reader->wrong || *reader->at++ != ':';
            }
            if (reader->wrong) {
                return list;
            }
            json_add(list, key, json_read(reader));
            if (reader->wrong) {
                return list;
            }
        }
        reader->at++;
        return list;
    }
    if (first == '"') {
        json *value = json_new(JSON_TEXT);
        value->text = json_read_text(reader);
        return value;
    }
    static const struct {
        const char *name;
        json_kind kind;
        double number;
    } words[] = {{"null", JSON_NULL, 0}, {"true", JSON_BOOL, 1}, {"false", JSON_BOOL, 0}};
    for (size_t i = 0; i < 3; i++) {
        if (strncmp(reader->at, words[i].name, strlen(words[i].name)) == 0) {
            json *value = json_new(words[i].kind);
            value->number = words[i].number;
            reader->at += strlen(words[i].name);
            return value;
        }
    }
    char *end = NULL;
    json *value = json_real(strtod(reader->at, &end));
    reader->wrong = reader->wrong || end == reader->at;
    reader->at = end;
    return value;
}

/* The value that a text holds; NULL when it is no JSON. */
static inline json *json_parse(const char *text)
{
    json_reader reader = {text, false};
    json *value = json_read(&reader);
    json_space(&reader);
    return reader.wrong || *reader.at != '\0' ? NULL : value;
}

static inline void json_print(FILE *out, const json *value)
{
    switch (value->kind) {
    case JSON_NULL:
        fputs("null", out);
        break;
    case JSON_BOOL:
        fputs(value->number != 0 ? "true" : "false", out);
        break;
    case JSON_NUMBER:
        if (value->number == floor(value->number) && fabs(value->number) < 1e15) {
            fprintf(out, "%.0f", value->number);
        } else {
            fprintf(out, "%.17g", value->number);
        }
        break;
    case JSON_TEXT:
        fputc('"', out);
        for (const char *at = value->text; *at != '\0'; at++) {
            if (*at == '"' || *at == '\\') {
                fputc('\\', out);
                fputc(*at, out);
            } else if ((unsigned char)*at < 0x20) {
                fprintf(out, "\\u%04x", (unsigned)*at);
            } else {
                fputc(*at, out);
            }
        }
        fputc('"', out);
        break;
    case JSON_LIST:
    case JSON_OBJECT:
        fputc(value->kind == JSON_LIST ? '[' : '{', out);
        for (size_t i = 0; i < value->count; i++) {
            fputs(i > 0 ? "," : "", out);
            if (value->kind == JSON_OBJECT) {
                json key = {.kind = JSON_TEXT, .text = value->keys[i]};
                json_print(out, &key);
                fputc(':', out);
            }
            json_print(out, value->items[i]);
        }
        fputc(value->kind == JSON_LIST ? ']' : '}', out);
        break;
    }
}

static inline char *json_write(const json *value)
{
    char *buffer = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&buffer, &length);
    if (out == NULL) {
        abort();
    }
    json_print(out, value);
    fclose(out);
    char *text = json_copy(buffer, length);
    free(buffer);
    return text;
}

static inline bool json_equal(const json *a, const json *b)
{
    if (a->kind != b->kind || a->count != b->count) {
        return false;
    }
    switch (a->kind) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
    case JSON_NUMBER:
        return a->number == b->number;
    case JSON_TEXT:
        return strcmp(a->text, b->text) == 0;
    case JSON_LIST:
    case JSON_OBJECT:
        for (size_t i = 0; i < a->count; i++) {
            const json *other = a->kind == JSON_LIST ? b->items[i] : json_get(b, a->keys[i]);
            if (other == NULL || !json_equal(a->items[i], other)) {
                return false;
            }
        }
    }
    return true;
}

#endif
