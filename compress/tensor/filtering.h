/*
 * The three transforms of minimal filtering, F(4x4, 3x3): sixteen outputs of a 3x3 convolution from
 * 36 products instead of 144 (Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural
 * Networks", section 4; after Winograd 1980 and Toom & Cook).
 *
 *   in      6x6 numbers that a 4x4 tile of outputs sees → 36
 *   weight  3x3 taps → 36
 *   out     36 → 4x4 outputs
 *
 *   out(sum over channels of in(d) * weight(g)) = sum over channels of the correlation of d with g
 *
 * The polynomials are evaluated at 0, +-3/4, +-3/2 and infinity. The usual points 0, +-1, +-2 lose
 * twice as many digits: of the sets of small fractions that were tried these lose the fewest, some
 * 2e-6 of the largest output in f32 with 256 channels.
 *
 * n tiles lie side by side in a plane; plane i * 6 + j (of outputs: i * 4 + j) holds row i, column
 * j of all tiles. Planes of x are x_step apart, those of ret `step`. x and ret do not overlap. With
 * floats these are rows of kernels/kernels.h. Threads: any.
 */
#ifndef COMPRESS_TENSOR_FILTERING_H
#define COMPRESS_TENSOR_FILTERING_H

#include "compress/tensor/real.h"

#include <stddef.h>

enum {
    FILTERING_TILE = 4, /* outputs along a side */
    FILTERING_SPAN = 6, /* inputs along a side */
    FILTERING_PLANES = FILTERING_SPAN * FILTERING_SPAN,
    FILTERING_OUTPUTS = FILTERING_TILE * FILTERING_TILE,
    FILTERING_KERNEL = 9,
};

void filtering_in(const real *x, size_t x_step, size_t n, real *ret, size_t step);
/* w [n, 9] */
void filtering_weight(const real *w, size_t n, real *ret, size_t step);
void filtering_out(const real *m, size_t m_step, size_t n, real *ret, size_t step);

/* Rows of inputs, row_step apart, to the six planes (each row's behind those of the row before) of
 * n tiles that see them: `before` zeros, `inside` numbers of the row, zeros; tile t sees the six
 * from 4 t on. */
void filtering_deal(const real *x, size_t row_step, size_t rows, size_t before, size_t inside,
                    size_t n, real *ret, size_t step);
/* Rows of n outputs, row_step apart, four of each tile, out of four planes a row; add is added to
 * each. */
void filtering_collect(const real *x, size_t step, size_t rows, size_t n, real add, real *ret,
                       size_t row_step);

#endif
