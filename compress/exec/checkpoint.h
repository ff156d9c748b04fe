/*
 * The state of a training on disk, so that one that was killed goes on and ends with the same bytes
 * as one that was not.
 *
 *   "CMPCKPT1"
 *   u64 step · u64 seed, epoch, position (where the next batch starts)
 *   u64 bytes, identity (text: of which training this is)
 *   u64 count, and as many arrays: u64 bytes, name · u64 dtype · u64 rank · u64 dims … · the
 * elements 32 bytes SHA-256 of everything before
 *
 * Little-endian, elements as in memory. A file is read only by the build that wrote it (it never
 * leaves the machine), and only whole: everything is compared, the digest too, before the first
 * array is filled.
 *
 * Saving writes NAME.partial, makes it durable and renames it: under NAME there is always a whole
 * checkpoint, the last one or the one before.
 *
 * Owns: nothing. Threads: any, one per file.
 * Expected failures: ERR_NOT_FOUND (there is none), ERR_STATE (of another training: identity or
 * arrays), ERR_BAD_DIGEST (damaged), ERR_IO, ERR_NO_SPACE, ERR_NO_MEMORY.
 */
#ifndef COMPRESS_EXEC_CHECKPOINT_H
#define COMPRESS_EXEC_CHECKPOINT_H

#include "compress/base/files.h"
#include "compress/exec/batches.h"
#include "compress/tensor/array.h"

struct checkpoint_array {
    const char *name;
    struct array *array; /* read when saving, filled when loading */
};

struct checkpoint {
    const char *identity;
    struct checkpoint_array *arrays;
    size_t array_count;
    uint64_t step;              /* loading: found */
    struct batches_state order; /* loading: found */
};

int checkpoint_save(const struct checkpoint *checkpoint, int dir_fd, const char *name,
                    struct err *err);
int checkpoint_load(struct checkpoint *checkpoint, int dir_fd, const char *name, struct err *err);

/* The same over a sink that the caller finishes, and a source. */
uint64_t checkpoint_bytes(const struct checkpoint *checkpoint);
int checkpoint_write(const struct checkpoint *checkpoint, struct sink *sink, struct err *err);
int checkpoint_read(struct checkpoint *checkpoint, struct source *source, struct err *err);

#endif
