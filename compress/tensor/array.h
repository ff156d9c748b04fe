/*
 * An array: a dense block of numbers in memory, row-major, slowest dimension first. What operators
 * read and write, what datasets hold, what an ONNX constant is.
 *
 * Never strided: a transposed array is another array. Rank 0 is a scalar of one element; a
 * dimension of 0 makes an empty array. Elements are stored in their own type; 4-bit integers take a
 * byte each (sign-extended for DTYPE_I4), booleans one byte that is 0 or 1. DTYPE_F32 elements are
 * `real` (tensor/real.h).
 *
 * Owns: nothing; whoever made `data` keeps it (array_new() gives both, array_free() takes both).
 * Threads: as its data.
 */
#ifndef COMPRESS_TENSOR_ARRAY_H
#define COMPRESS_TENSOR_ARRAY_H

#include "compress/base/err.h"
#include "compress/base/limits.h"
#include "compress/tensor/dtype.h"
#include "compress/tensor/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct array {
    enum dtype dtype;
    unsigned rank;
    uint64_t dims[LIMIT_RANK];
    uint64_t elements; /* product of dims; 1 for rank 0 */
    void *data;        /* NULL: only the shape is known */
};

/* Bytes that one element takes in memory (not in a container); 0 for types that no array holds. */
unsigned array_item_bytes(enum dtype dtype);
uint64_t array_bytes(const struct array *array);

/* Sets dtype, rank, dims, elements; data stays NULL. ERR_TOO_LARGE above LIMIT_RANK or
 * LIMIT_ELEMENTS. */
int array_shape(struct array *ret, enum dtype dtype, unsigned rank, const uint64_t *dims,
                struct err *err);
/* Zeroed data of its own, 64-byte aligned; NULL when out of memory. */
struct array *array_new(enum dtype dtype, unsigned rank, const uint64_t *dims);
void array_free(struct array *array);
/* The same in an arena (16-byte aligned). */
struct array *array_in_arena(struct arena *arena, enum dtype dtype, unsigned rank,
                             const uint64_t *dims);

bool array_same_shape(const struct array *a, const struct array *b);
/* Element i of any numeric type, as the wider of each kind. Booleans are 0 and 1; out-of-range
 * floats saturate in array_int(). */
double array_number(const struct array *array, uint64_t i);
int64_t array_int(const struct array *array, uint64_t i);

/* "f32[2,3,4]", for messages. Returns text. */
const char *array_describe(const struct array *array, char *text, size_t cap);

/* The elements as `real`: valid for DTYPE_F32. */
static inline real *array_real(const struct array *array) {
    return (real *)array->data;
}

/* Elements converted to another type by the rules of ONNX Cast (floats to integers truncate toward
 * zero, to bool by != 0; to small floats ties to even; f8 saturates when asked). Same shape, other
 * data. -1 with ERR_UNSUPPORTED for types without an order of numbers (strings, complex). */
int array_convert(const struct array *from, struct array *to, bool saturate, struct err *err);

#endif
