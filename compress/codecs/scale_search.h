/*
 * Looks for a better scale than the one that just spans the values.
 *
 * x ~ scale * p with p = rint(x / trial) held inside [lo - zero, hi - zero]: for the codes of a
 * trial scale the best scale is sum(x p) / sum(p p), and the squared error is then sum(x x) -
 * sum(x p)^2 / sum(p p). So one pass over the values per trial tells both (ggml's k-quants do the
 * same); 21 trials run from just above the range (nothing clipped) down to half of it, the winner
 * is refitted once to its own codes, and the exact error of what would be stored decides against
 * the scale that was there. The result is never worse than it.
 */
#ifndef COMPRESS_CODECS_SCALE_SEARCH_H
#define COMPRESS_CODECS_SCALE_SEARCH_H

#include "compress/kernels/kernels.h"
#include "compress/tensor/dtype.h"

/* x[0..n) finite. grid: the min-max grid as stored; its scale may be replaced, by one between half
 * of it and 1.1 times it. */
void scale_search_mse(const float *x, size_t n, enum dtype scale_dtype, struct affine *grid);

#endif
