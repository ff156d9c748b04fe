/*
 * JSON for everyone: declarative reading of objects, and a writer.
 *
 * Reading: an array of rows (key, kind, destination) describes an object; jspec_read() checks type,
 * range and unknown keys and collects every violation with its JSON pointer. Writing: struct jbuf
 * appends text; numbers are printed shortest-round-trip, strings escaped, NaN and infinities as
 * null. The only user of jansson besides formats/ and text/ and api/; values are passed on as
 * opaque `struct json_t` for pieces that are read later.
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

/* A growing JSON text. Out of memory is remembered and reported by jbuf_take(). */
struct jbuf {
    char *text;
    size_t len;
    size_t capacity;
    bool failed;
    bool need_comma;
};

void jbuf_init(struct jbuf *b);
void jbuf_free(struct jbuf *b);
/* The NUL-terminated text, malloc'd, yours; NULL when memory ran out. The buffer is empty
 * afterwards. */
char *jbuf_take(struct jbuf *b, size_t *ret_len);

void jbuf_object(struct jbuf *b); /* { as a value */
void jbuf_object_end(struct jbuf *b);
void jbuf_array(struct jbuf *b);
void jbuf_array_end(struct jbuf *b);
void jbuf_key(struct jbuf *b, const char *key);
void jbuf_string(struct jbuf *b, const char *text); /* NULL → null; invalid UTF-8 → U+FFFD */
void jbuf_stringf(struct jbuf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void jbuf_int(struct jbuf *b, int64_t value);
void jbuf_uint(struct jbuf *b, uint64_t value);
void jbuf_number(struct jbuf *b, double value);
void jbuf_bool(struct jbuf *b, bool value);
void jbuf_null(struct jbuf *b);
void jbuf_raw(struct jbuf *b, const char *json, size_t len); /* one whole value, trusted */

/* key + value in one line */
void jbuf_kv_string(struct jbuf *b, const char *key, const char *text);
void jbuf_kv_int(struct jbuf *b, const char *key, int64_t value);
void jbuf_kv_uint(struct jbuf *b, const char *key, uint64_t value);
void jbuf_kv_number(struct jbuf *b, const char *key, double value);
void jbuf_kv_bool(struct jbuf *b, const char *key, bool value);
void jbuf_kv_raw(struct jbuf *b, const char *key, const char *json); /* NULL → null */

/* Violations as the `errors` array of a problem document. */
void jbuf_violations(struct jbuf *b, const struct violations *list);

#endif
