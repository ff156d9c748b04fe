/*
 * Indices that stand in data: negative ones count from the back, and every one is checked when it
 * is used.
 *
 * Threads: any. Expected failures: ERR_BAD_FIELD naming node, position and value.
 */
#ifndef COMPRESS_GRAPH_INDICES_H
#define COMPRESS_GRAPH_INDICES_H

#include "compress/graph/content.h"

/* Element i of `indices` as an index below n. */
static inline int indices_at(const struct node *node, const struct array *indices, uint64_t i,
                             uint64_t n, uint64_t *ret, struct err *err) {
    int64_t raw =
        indices->dtype == DTYPE_I64 ? ((const int64_t *)indices->data)[i] : array_int(indices, i);
    int64_t index = raw < 0 ? raw + (int64_t)n : raw;
    if (index < 0 || (uint64_t)index >= n) {
        content_refuse(node, err, "index %lld at position %llu is outside %llu elements",
                       (long long)raw, (unsigned long long)i, (unsigned long long)n);
        return err_failed();
    }
    *ret = (uint64_t)index;
    return 0;
}

/* Product of dims [first, last) of a shape. */
static inline uint64_t indices_span(const struct array *shape, unsigned first, unsigned last) {
    uint64_t span = 1;
    for (unsigned i = first; i < last; i++)
        span *= shape->dims[i];
    return span;
}

enum reduction { REDUCTION_NONE, REDUCTION_ADD, REDUCTION_MUL, REDUCTION_MAX, REDUCTION_MIN };

/* An op's `parse`: attribute reduction → params, an enum reduction. */
int indices_parse(const struct node *node, struct arena *arena, void **ret_params, struct err *err);
/* *to = *to + *from, or what `how` (not NONE) says, for one element of any numeric type. NaN wins
 * over numbers. */
int indices_reduce(enum dtype dtype, enum reduction how, const void *from, void *to,
                   struct err *err);

#endif
