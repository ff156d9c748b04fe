/*
 * A dataset: what a model is trained, calibrated and measured with.
 *
 *   ARRAYS   named arrays, the first axis of each is the sample: .npz, .safetensors, .npy (called
 *            by its file's name), one file or several; all as long as each other. How names meet a
 *            graph's inputs and outputs is batches.h's business.
 *   TOKENS   token ids: a single .npy of integers. One dimension: a text, cut into windows; two:
 *            rows that are used as they are.
 *
 * Files of other kinds in the folder (a licence, a card) are left alone. Headers are read and
 * checked on opening, content only by dataset_read(), straight into the caller's memory: a set may
 * be larger than memory, and samples may be read in any order. Compressed arrays are kept in memory
 * up to LIMIT_DATASET_KEEP_BYTES (zip_entry.h); beyond that, shuffled samples of them come slowly.
 *
 * Owns: its arena and its open files. Borrows: the resolver. Threads: read from many.
 *
 * Expected failures: ERR_BAD_DATASET (a damaged file, two arrays of one name or of different
 * lengths, an empty set), ERR_UNKNOWN_FORMAT, ERR_UNSUPPORTED (element types that no input takes),
 * ERR_TOO_LARGE; file and array (as tensor) are named.
 */
#ifndef COMPRESS_EXEC_DATASET_H
#define COMPRESS_EXEC_DATASET_H

#include "compress/base/files.h"
#include "compress/tensor/array.h"

struct dataset;

enum dataset_kind { DATASET_ARRAYS, DATASET_TOKENS };

struct dataset_array {
    const char *name;
    const char *file;
    enum dtype dtype;
    unsigned rank; /* 1 or more */
    uint64_t dims[LIMIT_RANK];
    uint64_t sample_elements; /* product of dims[1..] */
};

int dataset_open(struct resolver *files, struct dataset **ret, struct err *err);
void dataset_free(struct dataset *dataset);

enum dataset_kind dataset_kind(const struct dataset *dataset);
const char *dataset_kind_name(enum dataset_kind kind); /* "arrays", "tokens" */
/* Length of every array: for TOKENS of one dimension, tokens. */
uint64_t dataset_samples(const struct dataset *dataset);
uint64_t dataset_bytes(const struct dataset *dataset); /* of the files that hold the arrays */
/* The most that it will hold in memory by itself, headers aside. */
uint64_t dataset_memory_bytes(const struct dataset *dataset);
size_t dataset_array_count(const struct dataset *dataset);
const struct dataset_array *dataset_array(const struct dataset *dataset, size_t i);
/* SIZE_MAX when there is none of that name. */
size_t dataset_find(const struct dataset *dataset, const char *name);

/* Samples [first, first + count) of array i as they are stored, in the array's own type, into
 * `data`: room for count * sample_elements items of array_item_bytes(). */
int dataset_read(const struct dataset *dataset, size_t i, uint64_t first, uint64_t count,
                 void *data, struct err *err);

#endif
