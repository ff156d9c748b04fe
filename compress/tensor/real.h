/*
 * The number that graphs compute in.
 *
 * `real` is f32. The same operator and executor sources are compiled a second time with
 * -DREAL_IS_DOUBLE for the gradient check: finite differences need the digits that f32 does not
 * have, and checking a copy of the code would prove nothing about the code. In that build an array
 * of DTYPE_F32 holds doubles (array_item_bytes() knows), and everything below `real` – BLAS, vector
 * mathematics – goes through functions that exist for both. So operators never say float where they
 * mean a value of the graph, never call cblas or kernels_get() themselves, and never memcpy "4 * n"
 * bytes.
 */
#ifndef COMPRESS_TENSOR_REAL_H
#define COMPRESS_TENSOR_REAL_H

#ifdef REAL_IS_DOUBLE
typedef double real;
#define REAL_EPSILON 2.220446049250313e-16
#else
typedef float real;
#define REAL_EPSILON 1.1920928955078125e-07F
#endif

#endif
