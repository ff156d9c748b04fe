/*
 * A growing JSON text (RFC 8259).
 *
 * Commas come by themselves; strings are escaped and made valid UTF-8, numbers are printed in the
 * fewest digits that read back as the same double, NaN and infinities as null, whatever the locale.
 *
 * Owns: its text. Threads: one at a time.
 */
#ifndef COMPRESS_BASE_JBUF_H
#define COMPRESS_BASE_JBUF_H

#include "compress/base/violations.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
