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
 * n tiles lie side by side in a plane; plane i * 6 + j (i * 3 + j, i * 4 + j) holds row i, column j
 * of all tiles. Planes of x are x_step apart, those of ret `step`. x and ret do not overlap. With
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
void filtering_weight(const real *w, size_t w_step, size_t n, real *ret, size_t step);
void filtering_out(const real *m, size_t m_step, size_t n, real *ret, size_t step);

#endif
