/* GGUF headers piece by piece. See tinygguf.h. */
#include "tests/support/tinygguf.h"

#include <stdio.h>
#include <string.h>

static void put_text(struct bytebuf *b, const char *text) {
    bytebuf_u64(b, strlen(text));
    bytebuf_text(b, text);
}

void tinygguf_start(struct bytebuf *b, uint32_t version, uint64_t tensors, uint64_t keys) {
    bytebuf_text(b, GGUF_MAGIC);
    bytebuf_u32(b, version);
    bytebuf_u64(b, tensors);
    bytebuf_u64(b, keys);
}

void tinygguf_key(struct bytebuf *b, const char *name, uint32_t type) {
    put_text(b, name);
    bytebuf_u32(b, type);
}

void tinygguf_u32(struct bytebuf *b, const char *name, uint32_t value) {
    tinygguf_key(b, name, GGUF_U32);
    bytebuf_u32(b, value);
}

void tinygguf_u16(struct bytebuf *b, const char *name, uint16_t value) {
    tinygguf_key(b, name, GGUF_U16);
    bytebuf_u16(b, value);
}

void tinygguf_text(struct bytebuf *b, const char *name, const char *value) {
    tinygguf_key(b, name, GGUF_TEXT);
    put_text(b, value);
}

void tinygguf_tokens(struct bytebuf *b, const char *name, uint64_t count) {
    tinygguf_key(b, name, GGUF_ARRAY);
    bytebuf_u32(b, GGUF_TEXT);
    bytebuf_u64(b, count);
    for (uint64_t i = 0; i < count; i++) {
        char token[32];
        snprintf(token, sizeof token, "t%llu", (unsigned long long)i);
        put_text(b, token);
    }
}

void tinygguf_info(struct bytebuf *b, const char *name, const uint64_t *dims, uint32_t type,
                   uint64_t offset) {
    uint32_t rank = 0;
    while (rank < 8 && dims[rank])
        rank++;
    put_text(b, name);
    bytebuf_u32(b, rank);
    for (uint32_t i = 0; i < rank; i++)
        bytebuf_u64(b, dims[i]);
    bytebuf_u32(b, type);
    bytebuf_u64(b, offset);
}
