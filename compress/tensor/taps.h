/*
 * Sums and maxima over taps: what depthwise convolution and pooling do along one output row.
 *
 *   taps_sum: ret[i] += sum over t of w[t] * x[t][i * step], in the order of t
 *   taps_max: ret[i]  = max of ret[i] and all x[t][i * step]; a NaN of x is passed over
 *
 * x are `taps` pointers, each to where the first output's element is. ret overlaps no x. With
 * floats these are rows of kernels/kernels.h. Threads: any.
 */
#ifndef COMPRESS_TENSOR_TAPS_H
#define COMPRESS_TENSOR_TAPS_H

#include "compress/tensor/real.h"

#include <stddef.h>

void taps_sum(const real *const *x, const real *w, size_t taps, size_t step, size_t n, real *ret);
void taps_max(const real *const *x, size_t taps, size_t step, size_t n, real *ret);

#endif
