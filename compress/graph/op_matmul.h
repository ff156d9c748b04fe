/*
 * Batched products for operators that are one in disguise (Einsum, ConvTranspose): a GEMM, and for
 * every batch axis the step that each of its matrices takes. See op_matmul.c.
 *
 * Threads: any.
 */
#ifndef COMPRESS_GRAPH_OP_MATMUL_H
#define COMPRESS_GRAPH_OP_MATMUL_H

#include "compress/base/limits.h"
#include "compress/tensor/gemm.h"

#include <stdint.h>

struct matmul_batched {
    struct gemm g; /* of one batch; batches and steps unused */
    unsigned rank; /* batch axes, outermost first */
    uint64_t dims[LIMIT_RANK];
    /* A step of 0 shares the matrix; c may only be shared when beta is 1: it is summed into. */
    size_t a[LIMIT_RANK], b[LIMIT_RANK], c[LIMIT_RANK];
};

int matmul_batched(const struct matmul_batched *product, struct team *team,
                   const struct progress *progress, struct err *err);
/* Given y = alpha op(a) op(b) and its gradient: da += ..., db += ..., as a and b are stored. */
int matmul_gradient_a(const struct matmul_batched *y, const real *b, const real *dy, real *da,
                      struct team *team, const struct progress *progress, struct err *err);
int matmul_gradient_b(const struct matmul_batched *y, const real *a, const real *dy, real *db,
                      struct team *team, const struct progress *progress, struct err *err);

#endif
