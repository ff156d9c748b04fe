/*
 * A JSON pull scanner over a text in memory: for headers that are too large for a tree, and for
 * edits that must know which bytes a value occupies.
 *
 * RFC 8259, strictly: UTF-8 without control bytes in strings, no trailing commas, no NaN, depth at
 * most LIMIT_JSON_DEPTH. Use: ask json_scan_kind() what comes next, then take exactly that.
 * Objects:
 *
 *     json_scan_enter(s, '{', err);
 *     while ((more = json_scan_member(s, arena, &key, err)) == 1)
 *         ... take one value ...
 *     more == 0 at the closing brace, -1 on failure
 *
 * Every function returns -1 with ERR_BAD_MODEL and err->offset (base_offset + position) on bad
 * input. Duplicate keys are the caller's business. Owns: nothing. Threads: one at a time.
 */
#ifndef COMPRESS_FORMATS_JSON_SCAN_H
#define COMPRESS_FORMATS_JSON_SCAN_H

#include "compress/base/arena.h"
#include "compress/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum json_kind {
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_TRUE,
    JSON_KIND_FALSE,
    JSON_KIND_NULL
};

struct json_scan {
    const char *text;
    size_t len;
    size_t at;
    size_t key_at; /* of the quote before the member's key that was taken last */
    unsigned depth;
    const char *file;     /* for messages */
    uint64_t base_offset; /* of text[0] in the file */
};

struct json_scan json_scan_over(const char *text, size_t len, const char *file,
                                uint64_t base_offset);

/* Skips white space and says what stands there; takes nothing. */
int json_scan_kind(struct json_scan *s, enum json_kind *ret, struct err *err);
/* Takes an opening '{' or '['. */
int json_scan_enter(struct json_scan *s, char open, struct err *err);
/* 1: a member follows, its key was taken; 0: the closing bracket was taken. ret_key may be NULL. */
int json_scan_member(struct json_scan *s, struct arena *arena, const char **ret_key,
                     struct err *err);
int json_scan_element(struct json_scan *s, struct err *err);

/* A string, unescaped into the arena (NUL-terminated, and refused when it holds a NUL). arena NULL:
 * checked only. */
int json_scan_string(struct json_scan *s, struct arena *arena, const char **ret, struct err *err);
/* A whole number without sign, fraction or exponent, below 2^64. */
int json_scan_u64(struct json_scan *s, uint64_t *ret, struct err *err);
/* Any value, checked and passed over. */
int json_scan_skip(struct json_scan *s, struct err *err);
/* Only white space may follow. */
int json_scan_end(struct json_scan *s, struct err *err);

/* Sets err at the present position; returns -1. */
int json_scan_fail(const struct json_scan *s, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
