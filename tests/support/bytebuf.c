/* A growing run of bytes. See bytebuf.h. */
#include "tests/support/bytebuf.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *more(struct bytebuf *b, size_t len) {
    if (b->capacity - b->len < len) {
        b->capacity = (b->len + len) * 2;
        uint8_t *moved = realloc(b->at, b->capacity);
        if (!moved)
            abort();
        b->at = moved;
    }
    b->len += len;
    return b->at + b->len - len;
}

void bytebuf_raw(struct bytebuf *b, const void *data, size_t len) {
    if (len > 0)
        memcpy(more(b, len), data, len);
}

void bytebuf_text(struct bytebuf *b, const char *text) {
    bytebuf_raw(b, text, strlen(text));
}

void bytebuf_u8(struct bytebuf *b, uint8_t value) {
    bytebuf_raw(b, &value, sizeof value);
}

void bytebuf_u16(struct bytebuf *b, uint16_t value) {
    bytebuf_raw(b, &value, sizeof value);
}

void bytebuf_u32(struct bytebuf *b, uint32_t value) {
    bytebuf_raw(b, &value, sizeof value);
}

void bytebuf_u64(struct bytebuf *b, uint64_t value) {
    bytebuf_raw(b, &value, sizeof value);
}

void bytebuf_fill(struct bytebuf *b, uint8_t value, size_t count) {
    if (count > 0)
        memset(more(b, count), value, count);
}

void bytebuf_align(struct bytebuf *b, size_t alignment) {
    bytebuf_fill(b, 0, (alignment - b->len % alignment) % alignment);
}

void bytebuf_free(struct bytebuf *b) {
    free(b->at);
    *b = (struct bytebuf){0};
}
