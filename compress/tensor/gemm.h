/*
 * Matrix products on the thread team: C = alpha op(A) op(B) + beta C, row-major.
 *
 * A product is cut into fixed tiles of C (never along k, never by the number of threads), each a
 * call of single-threaded OpenBLAS, so that results do not depend on the team. Batches are more
 * tiles of the same loop. Skinny products (one row, one column) become gemv or dot.
 *
 * Sizes are those of op(A) [m,k], op(B) [k,n], C [m,n]; lda, ldb, ldc are the row lengths as
 * stored. Threads: any; blas_facts() is implied on first use.
 * Expected failures: ERR_TOO_LARGE (a size beyond 32-bit BLAS), ERR_CANCELLED.
 */
#ifndef COMPRESS_TENSOR_GEMM_H
#define COMPRESS_TENSOR_GEMM_H

#include "compress/base/err.h"
#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/tensor/real.h"
#include "compress/tensor/vmath.h"

#include <stdbool.h>
#include <stddef.h>

struct gemm {
    bool a_transposed, b_transposed; /* A is stored [k,m]; B is stored [n,k] */
    size_t m, n, k;
    real alpha, beta;
    const real *a, *b;
    real *c;
    size_t lda, ldb, ldc;
    /* Batches: product i uses a + i * a_step and so on; a step of 0 shares the matrix. 0 or 1: one
     * product. C's must not overlap. */
    size_t batches;
    size_t a_step, b_step, c_step;
    const real *row_bias;      /* [m], added to every column of C at the end; NULL: none */
    const struct clamp *clamp; /* then put on C; NULL: none */
};

int gemm_run(const struct gemm *g, struct team *team, const struct progress *progress,
             struct err *err);
/* ERR_TOO_LARGE when one of the sizes or row lengths of products is beyond 32-bit BLAS: what
 * callers of gemm_tile() ask once. */
int gemm_check(size_t k, size_t lda, size_t ldb, size_t ldc, struct err *err);
/* One product on the calling thread: for callers that tile by themselves (convolution panels). */
void gemm_tile(const struct gemm *g);

#endif
