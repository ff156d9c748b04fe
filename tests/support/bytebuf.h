/*
 * A growing run of little-endian bytes: how tests write malformed files by hand.
 *
 * Owns: its bytes (bytebuf_free). Running out of memory ends the test program.
 */
#ifndef TESTS_SUPPORT_BYTEBUF_H
#define TESTS_SUPPORT_BYTEBUF_H

#include <stddef.h>
#include <stdint.h>

struct bytebuf {
    uint8_t *at;
    size_t len;
    size_t capacity;
};

void bytebuf_raw(struct bytebuf *b, const void *data, size_t len);
void bytebuf_text(struct bytebuf *b, const char *text); /* without its NUL */
void bytebuf_u8(struct bytebuf *b, uint8_t value);
void bytebuf_u16(struct bytebuf *b, uint16_t value);
void bytebuf_u32(struct bytebuf *b, uint32_t value);
void bytebuf_u64(struct bytebuf *b, uint64_t value);
void bytebuf_fill(struct bytebuf *b, uint8_t value, size_t count);
void bytebuf_align(struct bytebuf *b, size_t alignment); /* with zeros */
void bytebuf_free(struct bytebuf *b);

#endif
