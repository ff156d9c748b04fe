/*
 * Vector mathematics over `real`: what operators call instead of writing loops over floats.
 *
 * Every function works on one contiguous run on the calling thread; whoever has more than some
 * thousands of elements cuts them into fixed tiles (loop_run) and calls this per tile. In the build
 * for floats these are rows of kernels/kernels.h, so that results are the same bits on every
 * instruction set; with REAL_IS_DOUBLE they are plain loops over libm.
 *
 * n is a number of elements, zero too. ret may be one of the inputs (the same pointer), but must
 * not overlap them in any other way. NaN in gives NaN out, unless a line says otherwise.
 *
 * Errors are below 2 units in the last place of f32 everywhere, subnormal results included. Over
 * all floats the largest are: exp 0.99, log 0.83, tanh 1.33, sigmoid 1.97, erf 1.41
 * (tests/unit/test_vmath.c; sources of the polynomials in kernels/vmath_ref.c).
 *
 * Sums: element i is added to partial sum i mod 16, in f64, and the 16 are added pairwise: a fixed
 * tree, and an error that does not grow with n. A sum over tiles is the tiles' sums, added in
 * order.
 *
 * Threads: any. Expected failures: none.
 */
#ifndef COMPRESS_TENSOR_VMATH_H
#define COMPRESS_TENSOR_VMATH_H

#include "compress/tensor/real.h"

#include <stddef.h>

/* ---- functions: ret[i] = f(x[i]) ---- */

void vmath_exp(const real *x, size_t n, real *ret);
void vmath_log(const real *x, size_t n, real *ret); /* 0: -inf, below: NaN */
void vmath_tanh(const real *x, size_t n, real *ret);
void vmath_sigmoid(const real *x, size_t n, real *ret); /* 1 / (1 + exp(-x)) */
void vmath_erf(const real *x, size_t n, real *ret);

/* ---- arithmetic ---- */

void vmath_add(const real *a, const real *b, size_t n, real *ret);
void vmath_sub(const real *a, const real *b, size_t n, real *ret);
void vmath_mul(const real *a, const real *b, size_t n, real *ret);
void vmath_div(const real *a, const real *b, size_t n, real *ret);
/* ret[i] = x[i] + s, x[i] * s */
void vmath_add_scalar(const real *x, real s, size_t n, real *ret);
void vmath_mul_scalar(const real *x, real s, size_t n, real *ret);
/* y[i] += s * x[i] */
void vmath_axpy(real s, const real *x, size_t n, real *y);
/* y[i] += a[i] * b[i] */
void vmath_muladd(const real *a, const real *b, size_t n, real *y);

/* What is below low becomes low, then what is above high high; NaN stays. */
struct clamp {
    real low, high;
};

void vmath_clamp(const real *x, struct clamp clamp, size_t n, real *ret);

/* ---- one number of many ---- */

double vmath_sum(const real *x, size_t n);
double vmath_dot(const real *x, const real *y, size_t n);
/* Sum of (x[i] - mean)^2, the difference taken in f64: variances without cancellation. */
double vmath_sum_squares(const real *x, double mean, size_t n);
/* The largest; NaN is passed over; -inf when there is none. */
real vmath_max(const real *x, size_t n);
/* ret[i] = exp(x[i] - shift), and their sum: the core of every softmax. */
double vmath_exp_sum(const real *x, real shift, size_t n, real *ret);

#endif
