/*
 * GGUF headers piece by piece, for tests: nothing is checked, so that everything can be wrong. The
 * layout is drawn in compress/formats/gguf.h.
 */
#ifndef TESTS_SUPPORT_TINYGGUF_H
#define TESTS_SUPPORT_TINYGGUF_H

#include "compress/formats/gguf_file.h"
#include "tests/support/bytebuf.h"

void tinygguf_start(struct bytebuf *b, uint32_t version, uint64_t tensors, uint64_t keys);
/* A key's name and value type; the value is the caller's to append. */
void tinygguf_key(struct bytebuf *b, const char *name, uint32_t type);
void tinygguf_u32(struct bytebuf *b, const char *name, uint32_t value);
void tinygguf_u16(struct bytebuf *b, const char *name, uint16_t value);
void tinygguf_text(struct bytebuf *b, const char *name, const char *value);
/* An array of count texts "t0", "t1" ... */
void tinygguf_tokens(struct bytebuf *b, const char *name, uint64_t count);
/* dims: fastest first, as in the file; 0 ends them (at most 8). offset: from the data's start. */
void tinygguf_info(struct bytebuf *b, const char *name, const uint64_t *dims, uint32_t type,
                   uint64_t offset);

#endif
