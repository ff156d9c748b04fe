/*
 * The safetensors container: one file, one JSON header, raw tensors behind it.
 *
 *   offset 0      u64, little-endian: H, length of the header
 *   offset 8      H bytes of JSON, padded with spaces so that 8 + H is a multiple of 8:
 *                   {"__metadata__": {"format": "pt", ...},          text → text, optional
 *                    "model.norm.weight": {"dtype": "BF16", "shape": [256],
 *                                          "data_offsets": [begin, end]},   ...}
 *   offset 8 + H  data; data_offsets count from here
 *
 * The tensors tile the data without gap or overlap, in any order, to the last byte of the file.
 * Numbers are little-endian, shapes row-major. Nothing aligns a tensor to its element size except
 * the order in which a writer puts them (st_output.c).
 *
 * Ceilings: LIMIT_SAFETENSORS_HEADER_BYTES, LIMIT_TENSORS, LIMIT_RANK, LIMIT_ELEMENTS,
 * LIMIT_TENSOR_NAME_BYTES. The header is scanned, never made into a tree.
 *
 * Source: the README and the reference reader of huggingface/safetensors.
 */
#ifndef COMPRESS_FORMATS_SAFETENSORS_H
#define COMPRESS_FORMATS_SAFETENSORS_H

#include "compress/base/files.h"
#include "compress/base/limits.h"
#include "compress/tensor/dtype.h"

#include <stddef.h>
#include <stdint.h>

struct arena;

struct safetensors_entry {
    const char *name;
    enum dtype dtype;
    unsigned rank;
    uint64_t dims[LIMIT_RANK];
    uint64_t begin, end; /* from the first byte of the data */
};

struct safetensors_note {
    const char *key;
    const char *value;
};

struct safetensors_header {
    uint64_t data_offset;              /* 8 + H */
    struct safetensors_entry *entries; /* in the order of the data */
    size_t count;
    struct safetensors_note *notes; /* __metadata__, in its order */
    size_t note_count;
};

/* Reads and checks the header of one file; everything lives in the arena. ERR_BAD_MODEL,
 * ERR_TOO_LARGE or ERR_UNSUPPORTED (a dtype we do not know) name file, offset and tensor. */
int safetensors_read_header(struct source *source, struct arena *arena,
                            struct safetensors_header *ret, struct err *err);

/* The first bytes of a file, header length and padding included, for entries whose offsets are set.
 */
int safetensors_print_header(const struct safetensors_header *header, struct arena *arena,
                             const char **ret, size_t *ret_len, struct err *err);

#endif
