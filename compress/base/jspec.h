/*
 * JSON for everyone: declarative reading of objects (the writer is jbuf.h).
 *
 * An array of rows (key, kind, destination) describes an object; jspec_read() checks type, range
 * and unknown keys and collects every violation with its JSON pointer. The only user of jansson
 * besides formats/, text/ and api/; values are passed on as opaque `struct json_t` for pieces that
 * are read later.
 *
 * Duplicate keys are refused, depth is capped (LIMIT_JSON_DEPTH). Threads: one at a time per
 * object.
 */
#ifndef COMPRESS_BASE_JSPEC_H
#define COMPRESS_BASE_JSPEC_H

#include "compress/base/arena.h"
#include "compress/base/err.h"
#include "compress/base/violations.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t; /* jansson's */

/* Parses one document, whole. On failure ERR_BAD_JSON with line, column and byte offset. The caller
 * releases with jspec_free(). */
int jspec_parse(const char *text, size_t len, struct json_t **ret, struct err *err);
void jspec_free(struct json_t *value); /* NULL is fine */

/* RFC 6901: pointer + "/" + key, with "~" and "/" of the key escaped. NULL when the arena is full.
 */
char *jspec_pointer(const char *pointer, const char *key, struct arena *arena);

enum jspec_kind {
    JSPEC_STRING, /* const char *: copied into the arena */
    JSPEC_INT,    /* int64_t, min..max */
    JSPEC_NUMBER, /* double, min..max */
    JSPEC_BOOL,   /* bool */
    JSPEC_OBJECT, /* struct json_t *: borrowed from the document */
    JSPEC_ARRAY,  /* struct json_t *: borrowed */
    JSPEC_ANY,    /* struct json_t *: borrowed */
};

struct jspec {
    const char *key;
    enum jspec_kind kind;
    void *dest; /* written only when the key is present and right; null is right for ANY alone */
    bool required;
    double min, max;           /* for INT and NUMBER; both 0 = no bounds. STRING: length bounds */
    bool *ret_present;         /* may be NULL */
    const char *const *one_of; /* STRING: NULL-terminated list of allowed values, or NULL */
};

/* `pointer` is where this object stands ("" for the root). Violations get `code`; an unknown key or
 * word that looks like a slip names what was probably meant in `nearest`, so keys and one_of lists
 * must outlive the list of violations (they are static tables). Returns 0 when this object added
 * none, else -1. */
int jspec_read(struct json_t *object, const char *pointer, const struct jspec *rows, size_t count,
               enum err_code code, struct arena *arena, struct violations *list);

/* Small access for what a table cannot say. */
bool json_is(const struct json_t *value, enum jspec_kind kind);
size_t json_array_len(const struct json_t *array);
struct json_t *json_array_at(const struct json_t *array, size_t i);    /* borrowed */
struct json_t *json_get(const struct json_t *object, const char *key); /* borrowed or NULL */
const char *json_text(const struct json_t *value);                     /* NULL unless a string */
bool json_int(const struct json_t *value, int64_t *ret);               /* 4.0 too, up to 2^53 */
bool json_number(const struct json_t *value, double *ret);             /* integers too */
bool json_bool(const struct json_t *value, bool *ret);
/* Walk an object in document order: fn returns non-zero to stop; that value is returned. */
int json_each(const struct json_t *object,
              int (*fn)(void *ctx, const char *key, struct json_t *value), void *ctx);
/* Canonical text (sorted keys, compact), malloc'd; NULL when out of memory. For digests. */
char *json_canonical(const struct json_t *value);
/* The same in document order, indented, for people. malloc'd; NULL when out of memory. */
char *json_pretty(const struct json_t *value);

#endif
