/* See taps.h: the kernels, or the same in double. */
#include "compress/tensor/taps.h"

#ifdef REAL_IS_DOUBLE

void taps_sum(const real *const *x, const real *w, size_t taps, size_t step, size_t n, real *ret) {
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < taps; t++)
            ret[i] += w[t] * x[t][i * step];
}

void taps_max(const real *const *x, size_t taps, size_t step, size_t n, real *ret) {
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < taps; t++)
            ret[i] = x[t][i * step] > ret[i] ? x[t][i * step] : ret[i];
}

#else

#include "compress/kernels/kernels.h"

void taps_sum(const real *const *x, const real *w, size_t taps, size_t step, size_t n, real *ret) {
    kernels_get()->taps_sum_f32(x, w, taps, step, n, ret);
}

void taps_max(const real *const *x, size_t taps, size_t step, size_t n, real *ret) {
    kernels_get()->taps_max_f32(x, taps, step, n, ret);
}

#endif
