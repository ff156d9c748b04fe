/*
 * Protocol buffers on the wire: a walk over the fields of a message that stays in its file.
 *
 *   message   field*
 *   field     tag content          tag = varint(number << 3 | type)
 *   type 0    varint               7 bits a byte, low first, high bit: more follow
 *   type 1    8 bytes              fixed64, double
 *   type 2    varint(length) bytes texts, bytes, messages, packed repeated numbers
 *   type 3/4  field* between a start and an end tag of one number (groups: skipped)
 *   type 5    4 bytes              fixed32, float
 *
 * A walk reads tags and lengths through a small window; the content of a length-delimited field is
 * handed out as a range of the file, so a weight of gigabytes costs nothing to step over, and a
 * message within it is another walk. Every length is checked against the message that holds it.
 *
 * Owns: the window. Borrows: the source. Threads: one at a time.
 * Expected failures: ERR_BAD_MODEL with file and offset, whatever the source reports.
 * Source: Protocol Buffers, "Encoding".
 */
#ifndef COMPRESS_FORMATS_PBWIRE_H
#define COMPRESS_FORMATS_PBWIRE_H

#include "compress/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct pbwire;
struct source;

enum pbwire_type {
    PBWIRE_VARINT = 0,
    PBWIRE_FIXED64 = 1,
    PBWIRE_BYTES = 2,
    PBWIRE_GROUP = 3,
    PBWIRE_GROUP_END = 4, /* never handed out */
    PBWIRE_FIXED32 = 5,
};

/* A range of the file. */
struct pbwire_span {
    uint64_t offset, bytes;
};

struct pbwire_field {
    uint32_t number;
    enum pbwire_type type;
    uint64_t value;             /* VARINT, FIXED64, FIXED32; else 0 */
    struct pbwire_span content; /* behind the tag, and behind the length of BYTES */
    struct pbwire_span whole;   /* with tag and length */
};

struct pbwire_walk {
    struct pbwire *wire;
    uint64_t at, end;
};

struct pbwire *pbwire_new(struct source *source); /* NULL when out of memory */
void pbwire_free(struct pbwire *wire);
/* All of the file. */
struct pbwire_span pbwire_all(const struct pbwire *wire);

/* The span must lie within the file. */
struct pbwire_walk pbwire_walk(struct pbwire *wire, struct pbwire_span span);
/* 1: *ret is the next field; 0: the end of the message; -1: failed. */
int pbwire_next(struct pbwire_walk *walk, struct pbwire_field *ret, struct err *err);
/* The next number of a packed field of varints; as above. */
int pbwire_varint(struct pbwire_walk *walk, uint64_t *ret, struct err *err);

/* Is the field of this type? Else ERR_BAD_MODEL that names `what` and both types. */
int pbwire_expect(const struct pbwire *wire, const struct pbwire_field *field,
                  enum pbwire_type type, const char *what, struct err *err);
int pbwire_read(struct pbwire *wire, struct pbwire_span span, void *ret, struct err *err);
/* A text in the arena, NUL-terminated; ERR_BAD_MODEL when it is longer than limit_bytes, holds a
 * NUL or is no UTF-8. */
int pbwire_text(struct pbwire *wire, struct pbwire_span span, size_t limit_bytes,
                struct arena *arena, const char **ret, struct err *err);
/* Appends the numbers of one occurrence of a repeated varint field, packed or not, to an array in
 * the arena (arena_grow). ERR_TOO_LARGE above limit numbers. */
int pbwire_varints(struct pbwire *wire, const struct pbwire_field *field, size_t limit,
                   struct arena *arena, int64_t **list, size_t *count, size_t *capacity,
                   struct err *err);
/* ERR_BAD_MODEL at an offset of this file. */
int pbwire_fail(const struct pbwire *wire, uint64_t offset, struct err *err, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

/* Bytes that a varint takes. */
unsigned pbwire_varint_bytes(uint64_t value);

#endif
