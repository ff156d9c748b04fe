/* See filtering.h: the kernels, or the same text in double. */
#include "compress/tensor/filtering.h"

#ifdef REAL_IS_DOUBLE

#define FILTERING_WIDTH 1
#define FILTERING_TYPE double
#include "compress/kernels/filtering_lane.h"

void filtering_in(const real *x, size_t x_step, size_t n, real *ret, size_t step) {
    each_in(x, x_step, n, ret, step);
}

void filtering_weight(const real *w, size_t w_step, size_t n, real *ret, size_t step) {
    each_weight(w, w_step, n, ret, step);
}

void filtering_out(const real *m, size_t m_step, size_t n, real *ret, size_t step) {
    each_out(m, m_step, n, ret, step);
}

#else

#include "compress/kernels/kernels.h"

void filtering_in(const real *x, size_t x_step, size_t n, real *ret, size_t step) {
    kernels_get()->filtering_in_f32(x, x_step, n, ret, step);
}

void filtering_weight(const real *w, size_t w_step, size_t n, real *ret, size_t step) {
    kernels_get()->filtering_weight_f32(w, w_step, n, ret, step);
}

void filtering_out(const real *m, size_t m_step, size_t n, real *ret, size_t step) {
    kernels_get()->filtering_out_f32(m, m_step, n, ret, step);
}

#endif
