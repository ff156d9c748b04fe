/*
 * The files of one GGUF model: one, or a split `NAME-00001-of-0000N.gguf`.
 *
 * Each part of a split is a GGUF file of its own with the keys `split.no` (0-based), `split.count`
 * and `split.tensors.count` (of all parts); the first also holds the model's keys and may hold no
 * tensors. (llama.cpp, tools/gguf-split.)
 *
 * Owns: nothing, all lives in the given arena. Threads: any.
 */
#ifndef COMPRESS_FORMATS_GGUF_SPLIT_H
#define COMPRESS_FORMATS_GGUF_SPLIT_H

#include "compress/formats/gguf_file.h"

/* What gguf_open() leaves in model->private: file i is model->files[i], its tensors stand in the
 * model one file after the other. */
struct gguf_split {
    struct gguf_file *files;
    size_t count;
};

/* Splits "big-00002-of-00003.gguf" into the length of "big", 2 and 3; false for other names. */
bool gguf_split_name(const char *path, size_t *ret_prefix_len, unsigned *ret_part,
                     unsigned *ret_parts);

/*
 * Which files of a resolver make up its one GGUF model, in order. ERR_UNSUPPORTED when there are
 * several models, ERR_BAD_MODEL when a part is missing. *ret_indices lives in the arena.
 */
int gguf_split_find(const struct resolver *files, struct arena *arena, size_t **ret_indices,
                    size_t *ret_count, struct err *err);

/* Do the `split.*` keys agree with each other and with what was read? paths: for messages. */
int gguf_split_check(const struct gguf_split *split, const char *const *paths, struct err *err);

/* Does the name end in ".gguf"? */
bool gguf_split_is_gguf(const char *path);

#endif
