/* Messages as lists of segments. Small literals are gathered; neighbouring ranges of a file become
 * one. */
#include "compress/formats/pbout.h"

#include "compress/base/arena.h"

#include <string.h>

/* Room of a literal that others may be appended to. */
#define LITERAL_BYTES 256
#define FIELD_HEAD_MAX 20 /* two varints */

struct pbout_piece {
    struct pbout_piece *next;
    struct segment segment;
    uint8_t *literal; /* LITERAL: the same bytes, to append to */
    size_t room;
};

void pbout_init(struct pbout *out, struct arena *arena) {
    *out = (struct pbout){.arena = arena};
}

static struct pbout_piece *add(struct pbout *out, struct segment segment) {
    struct pbout_piece *piece = ARENA_NEW(out->arena, struct pbout_piece);
    if (!piece) {
        out->failed = true;
        return NULL;
    }
    piece->segment = segment;
    *(out->last ? &out->last->next : &out->first) = piece;
    out->last = piece;
    out->bytes += segment.bytes;
    return piece;
}

static void literal(struct pbout *out, const void *data, size_t len) {
    struct pbout_piece *last = out->last;
    if (!last || last->room < len) {
        size_t room = len > LITERAL_BYTES ? len : LITERAL_BYTES;
        uint8_t *bytes = arena_alloc(out->arena, room);
        last = bytes ? add(out, (struct segment){.kind = SEGMENT_LITERAL, .literal = bytes}) : NULL;
        if (!last) {
            out->failed = true;
            return;
        }
        last->literal = bytes;
        last->room = room;
    }
    memcpy(last->literal + last->segment.bytes, data, len);
    last->segment.bytes += len;
    last->room -= len;
    out->bytes += len;
}

static size_t store_varint(uint8_t *to, uint64_t value) {
    size_t len = 0;
    for (; value > 0x7f; value >>= 7)
        to[len++] = (uint8_t)(value | 0x80);
    to[len++] = (uint8_t)value;
    return len;
}

static size_t store_tag(uint8_t *to, uint32_t number, enum pbwire_type type) {
    return store_varint(to, (uint64_t)number << 3 | type);
}

void pbout_varint(struct pbout *out, uint32_t number, uint64_t value) {
    uint8_t raw[FIELD_HEAD_MAX];
    size_t len = store_tag(raw, number, PBWIRE_VARINT);
    len += store_varint(raw + len, value);
    literal(out, raw, len);
}

void pbout_float(struct pbout *out, uint32_t number, float value) {
    uint8_t raw[FIELD_HEAD_MAX];
    size_t len = store_tag(raw, number, PBWIRE_FIXED32);
    memcpy(raw + len, &value, sizeof value);
    literal(out, raw, len + sizeof value);
}

void pbout_header(struct pbout *out, uint32_t number, uint64_t bytes) {
    uint8_t raw[FIELD_HEAD_MAX];
    size_t len = store_tag(raw, number, PBWIRE_BYTES);
    len += store_varint(raw + len, bytes);
    literal(out, raw, len);
}

void pbout_bytes(struct pbout *out, uint32_t number, const void *data, size_t len) {
    pbout_header(out, number, len);
    if (len > 0)
        literal(out, data, len);
}

void pbout_text(struct pbout *out, uint32_t number, const char *text) {
    pbout_bytes(out, number, text, strlen(text));
}

void pbout_append(struct pbout *out, struct pbout *child) {
    out->failed = out->failed || child->failed;
    if (child->first) {
        *(out->last ? &out->last->next : &out->first) = child->first;
        out->last = child->last;
        out->bytes += child->bytes;
    }
    pbout_init(child, child->arena);
}

void pbout_message(struct pbout *out, uint32_t number, struct pbout *child) {
    pbout_header(out, number, child->bytes);
    pbout_append(out, child);
}

void pbout_copy(struct pbout *out, size_t resolver_index, struct pbwire_span span) {
    struct segment *last = out->last ? &out->last->segment : NULL;
    if (span.bytes == 0)
        return;
    if (last && last->kind == SEGMENT_COPY && last->resolver_index == resolver_index &&
        last->offset + last->bytes == span.offset) {
        last->bytes += span.bytes;
        out->bytes += span.bytes;
        return;
    }
    add(out, (struct segment){.kind = SEGMENT_COPY,
                              .bytes = span.bytes,
                              .resolver_index = resolver_index,
                              .offset = span.offset});
}

void pbout_part(struct pbout *out, const struct tensor *tensor, enum part_kind part,
                uint64_t bytes) {
    if (bytes > 0)
        add(out,
            (struct segment){.kind = SEGMENT_PART, .bytes = bytes, .tensor = tensor, .part = part});
}

int pbout_lay(const struct pbout *out, struct layout *layout, struct layout_file *file,
              struct err *err) {
    if (out->failed)
        return err_set(err, ERR_NO_MEMORY, "the layout needs more memory than is allowed");
    for (const struct pbout_piece *piece = out->first; piece; piece = piece->next)
        if (layout_add(layout, file, piece->segment, err) < 0)
            return -1;
    return 0;
}
