/*
 * Reads tests/golden/ (the folder named by GOLDEN_DIR in the environment; meson sets it). A missing
 * file fails the test.
 */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include "compress/codecs/codec.h"

#include <stddef.h>

/* The file's bytes; yours (free). */
void *golden_read(const char *path, size_t *ret_bytes);
/* printf into one of a few static buffers, for paths. */
const char *golden_name(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The blocks in one file must decode to exactly the f32 bits in the other. */
void golden_check_decode(const struct encoding *e, const char *blocks_path,
                         const char *values_path);

#endif
