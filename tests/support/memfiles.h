/*
 * A folder of files in memory, as a model is given to a reader; and the plainest possible writer of
 * a layout, to read outputs back with: every tensor whole in memory, encoded in one call.
 *
 * Everything here ends the test on failure. Owns: copies of the bytes. Threads: one.
 */
#ifndef TESTS_SUPPORT_MEMFILES_H
#define TESTS_SUPPORT_MEMFILES_H

#include "compress/base/files.h"
#include "compress/formats/layout.h"

#include <stdbool.h>
#include <stddef.h>

#define MEMFILES_MAX 64

struct memfiles {
    struct resolver_file files[MEMFILES_MAX];
    void *data[MEMFILES_MAX];
    size_t count;
    bool lone;
};

void memfiles_free(struct memfiles *m); /* empties it; twice is fine */
void memfiles_add(struct memfiles *m, const char *path, const void *data, size_t len);
void memfiles_text(struct memfiles *m, const char *path, const char *text);
/* A safetensors file: the header as written, padded with spaces, and the data. */
void memfiles_tensors(struct memfiles *m, const char *path, const char *header, const void *data,
                      size_t len);
/* Same with `len` bytes of a fixed pattern of small f16 or bf16-like numbers: no NaN, no zeros. */
void memfiles_weights(struct memfiles *m, const char *path, const char *header, size_t len);
/* A safetensors file of such weights, from one line per tensor: "name BF16 4x8\n...". `notes` is
 * the
 * __metadata__ object, or NULL. Integers hold the same pattern. */
void memfiles_model(struct memfiles *m, const char *path, const char *lines, const char *notes);
/* The bytes of one file. */
const char *memfiles_get(const struct memfiles *m, const char *path, size_t *ret_len);
bool memfiles_has(const struct memfiles *m, const char *path);
/* Close it before the memfiles go. */
struct resolver *memfiles_resolver(const struct memfiles *m);

/* Writes a layout. Fails the test when a file's length is not what the layout promised. */
void memfiles_emit(const struct model *model, const struct layout *layout, struct memfiles *ret);

#endif
