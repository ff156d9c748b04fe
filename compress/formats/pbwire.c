/* Walking over protobuf fields. See pbwire.h. */
#include "compress/formats/pbwire.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/files.h"
#include "compress/base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Tags of neighbouring fields share a read; behind a weight that was stepped over little is wasted.
 */
#define WINDOW_BYTES ((size_t)16 * 1024)
/* Nothing we read has groups; protobuf itself stops at 100. */
#define GROUP_DEPTH 32
#define NUMBER_MAX ((UINT32_C(1) << 29) - 1)
#define VARINT_BYTES 10

struct pbwire {
    struct source *source;
    uint64_t start; /* of the window in the file */
    size_t filled;
    uint8_t window[WINDOW_BYTES];
};

struct pbwire *pbwire_new(struct source *source) {
    struct pbwire *wire = calloc(1, sizeof *wire);
    if (wire)
        wire->source = source;
    return wire;
}

void pbwire_free(struct pbwire *wire) {
    free(wire);
}

struct pbwire_span pbwire_all(const struct pbwire *wire) {
    return (struct pbwire_span){0, wire->source->bytes};
}

int pbwire_fail(const struct pbwire *wire, uint64_t offset, struct err *err, const char *format,
                ...) {
    char text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(err, ERR_BAD_MODEL, "%s", text);
    return err_at_file(err, wire->source->path, offset);
}

struct pbwire_walk pbwire_walk(struct pbwire *wire, struct pbwire_span span) {
    return (struct pbwire_walk){wire, span.offset, span.offset + span.bytes};
}

/* At least one byte at `at` in the window. */
static int fill(struct pbwire *wire, uint64_t at, struct err *err) {
    uint64_t left = wire->source->bytes - at;
    size_t n = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
    wire->filled = 0;
    if (source_read(wire->source, at, wire->window, n, err) < 0)
        return -1;
    wire->start = at;
    wire->filled = n;
    return 0;
}

static int read_varint(struct pbwire_walk *walk, uint64_t *ret, struct err *err) {
    struct pbwire *wire = walk->wire;
    uint64_t value = 0, from = walk->at;
    for (unsigned i = 0; i < VARINT_BYTES; i++) {
        uint64_t at = walk->at;
        if (at >= walk->end)
            return pbwire_fail(wire, from, err, "a number runs past the end of its message");
        if (at < wire->start || at - wire->start >= wire->filled)
            if (fill(wire, at, err) < 0)
                return -1;
        uint8_t byte = wire->window[at - wire->start];
        walk->at++;
        if (i == VARINT_BYTES - 1 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *ret = value;
            return 0;
        }
    }
    return pbwire_fail(wire, from, err, "a number has more than 64 bits");
}

int pbwire_varint(struct pbwire_walk *walk, uint64_t *ret, struct err *err) {
    if (walk->at >= walk->end)
        return 0;
    return read_varint(walk, ret, err) < 0 ? -1 : 1;
}

static int read_tag(struct pbwire_walk *walk, uint32_t *ret_number, enum pbwire_type *ret_type,
                    struct err *err) {
    uint64_t tag, from = walk->at;
    if (read_varint(walk, &tag, err) < 0)
        return -1;
    if (tag >> 3 == 0 || tag >> 3 > NUMBER_MAX || (tag & 7) > PBWIRE_FIXED32)
        return pbwire_fail(walk->wire, from, err, "0x%" PRIx64 " is no tag of a protobuf field",
                           tag);
    *ret_number = (uint32_t)(tag >> 3);
    *ret_type = (enum pbwire_type)(tag & 7);
    return 0;
}

static int read_fixed(struct pbwire_walk *walk, size_t bytes, uint64_t *ret, struct err *err) {
    uint8_t raw[8] = {0};
    if (bytes > walk->end - walk->at)
        return pbwire_fail(walk->wire, walk->at, err, "a number runs past the end of its message");
    if (pbwire_read(walk->wire, (struct pbwire_span){walk->at, bytes}, raw, err) < 0)
        return -1;
    walk->at += bytes;
    *ret = load_u64(raw);
    return 0;
}

static int read_length(struct pbwire_walk *walk, uint64_t *ret, struct err *err) {
    uint64_t from = walk->at;
    if (read_varint(walk, ret, err) < 0)
        return -1;
    if (*ret > walk->end - walk->at)
        return pbwire_fail(walk->wire, from, err,
                           "a field of %" PRIu64 " bytes stands where %" PRIu64 " are left", *ret,
                           walk->end - walk->at);
    return 0;
}

/* To behind the end tag of the group whose start tag was read. */
static int skip_group(struct pbwire_walk *walk, uint32_t number, struct err *err) {
    uint32_t open[GROUP_DEPTH] = {number};
    unsigned depth = 1;
    uint64_t from = walk->at, ignored;
    while (depth > 0) {
        uint32_t inner = 0;
        enum pbwire_type type = PBWIRE_VARINT;
        if (walk->at >= walk->end)
            return pbwire_fail(walk->wire, from, err, "a group does not end");
        if (read_tag(walk, &inner, &type, err) < 0)
            return -1;
        int result = 0;
        switch (type) {
        case PBWIRE_VARINT:
            result = read_varint(walk, &ignored, err);
            break;
        case PBWIRE_FIXED64:
            result = read_fixed(walk, 8, &ignored, err);
            break;
        case PBWIRE_FIXED32:
            result = read_fixed(walk, 4, &ignored, err);
            break;
        case PBWIRE_BYTES:
            result = read_length(walk, &ignored, err);
            if (result == 0)
                walk->at += ignored;
            break;
        case PBWIRE_GROUP:
            if (depth == GROUP_DEPTH)
                return pbwire_fail(walk->wire, from, err, "groups are nested deeper than %d",
                                   GROUP_DEPTH);
            open[depth++] = inner;
            break;
        case PBWIRE_GROUP_END:
            if (open[--depth] != inner)
                return pbwire_fail(walk->wire, from, err, "a group ends as another");
            break;
        }
        if (result < 0)
            return -1;
    }
    return 0;
}

int pbwire_next(struct pbwire_walk *walk, struct pbwire_field *ret, struct err *err) {
    struct pbwire_field field = {.whole.offset = walk->at};
    if (walk->at >= walk->end)
        return 0;
    if (read_tag(walk, &field.number, &field.type, err) < 0)
        return -1;
    field.content.offset = walk->at;
    int result = 0;
    switch (field.type) {
    case PBWIRE_VARINT:
        result = read_varint(walk, &field.value, err);
        break;
    case PBWIRE_FIXED64:
        result = read_fixed(walk, 8, &field.value, err);
        break;
    case PBWIRE_FIXED32:
        result = read_fixed(walk, 4, &field.value, err);
        break;
    case PBWIRE_BYTES:
        result = read_length(walk, &field.content.bytes, err);
        field.content.offset = walk->at;
        if (result == 0)
            walk->at += field.content.bytes;
        break;
    case PBWIRE_GROUP:
        result = skip_group(walk, field.number, err);
        break;
    case PBWIRE_GROUP_END:
        return pbwire_fail(walk->wire, field.whole.offset, err, "a group ends that never began");
    }
    if (result < 0)
        return -1;
    field.content.bytes = walk->at - field.content.offset;
    field.whole.bytes = walk->at - field.whole.offset;
    *ret = field;
    return 1;
}

int pbwire_expect(const struct pbwire *wire, const struct pbwire_field *field,
                  enum pbwire_type type, const char *what, struct err *err) {
    static const char *const names[] = {"a varint", "a fixed64", "length-delimited",
                                        "a group",  "a group",   "a fixed32"};
    if (field->type == type)
        return 0;
    return pbwire_fail(wire, field->whole.offset, err, "%s is %s on the wire instead of %s", what,
                       names[field->type], names[type]);
}

int pbwire_read(struct pbwire *wire, struct pbwire_span span, void *ret, struct err *err) {
    if (span.bytes > SIZE_MAX)
        return err_set(err, ERR_TOO_LARGE, "a field is larger than memory");
    size_t len = (size_t)span.bytes;
    bool inside = span.offset >= wire->start && span.offset - wire->start <= wire->filled &&
                  len <= wire->filled - (span.offset - wire->start);
    if (!inside && len <= WINDOW_BYTES / 4 && span.offset <= wire->source->bytes &&
        len <= wire->source->bytes - span.offset && len > 0) {
        if (fill(wire, span.offset, err) < 0)
            return -1;
        inside = true;
    }
    if (!inside)
        return source_read(wire->source, span.offset, ret, len, err);
    if (len > 0)
        memcpy(ret, wire->window + (span.offset - wire->start), len);
    return 0;
}

int pbwire_text(struct pbwire *wire, struct pbwire_span span, size_t limit_bytes,
                struct arena *arena, const char **ret, struct err *err) {
    if (span.bytes > limit_bytes)
        return pbwire_fail(wire, span.offset, err,
                           "a text of %" PRIu64 " bytes; at most %zu are allowed here", span.bytes,
                           limit_bytes);
    char *text = arena_alloc(arena, (size_t)span.bytes + 1);
    if (!text)
        return err_set(err, ERR_NO_MEMORY, "the model's header needs more memory than is allowed");
    if (pbwire_read(wire, span, text, err) < 0)
        return -1;
    if (memchr(text, 0, (size_t)span.bytes) || !utf8_valid(text, (size_t)span.bytes))
        return pbwire_fail(wire, span.offset, err, "a text is no UTF-8");
    *ret = text;
    return 0;
}

int pbwire_varints(struct pbwire *wire, const struct pbwire_field *field, size_t limit,
                   struct arena *arena, int64_t **list, size_t *count, size_t *capacity,
                   struct err *err) {
    if (field->type != PBWIRE_VARINT && field->type != PBWIRE_BYTES)
        return pbwire_fail(wire, field->whole.offset, err, "a list of numbers has another type");
    struct pbwire_walk walk = pbwire_walk(wire, field->content);
    uint64_t value = 0;
    int more;
    while ((more = pbwire_varint(&walk, &value, err)) > 0) {
        if (*count >= limit) {
            err_set(err, ERR_TOO_LARGE, "a list of more than %zu numbers", limit);
            return err_at_file(err, wire->source->path, field->whole.offset);
        }
        int64_t *grown = arena_grow(arena, *list, capacity, *count + 1, sizeof *grown);
        if (!grown)
            return err_set(err, ERR_NO_MEMORY,
                           "the model's header needs more memory than is allowed");
        *list = grown;
        grown[(*count)++] = (int64_t)value;
    }
    return more;
}

unsigned pbwire_varint_bytes(uint64_t value) {
    unsigned bytes = 1;
    while (value >>= 7)
        bytes++;
    return bytes;
}
