/* See filtering.h: the kernels, or the same text in double. */
#include "compress/tensor/filtering.h"

#ifdef REAL_IS_DOUBLE

#define FILTERING_WIDTH 1
#define FILTERING_TYPE double
#include "compress/kernels/filtering_lane.h"

void filtering_in(const real *x, size_t x_step, size_t n, real *ret, size_t step) {
    each_in(x, x_step, n, ret, step);
}

void filtering_weight(const real *w, size_t n, real *ret, size_t step) {
    each_weight(w, n, ret, step);
}

void filtering_out(const real *m, size_t m_step, size_t n, real *ret, size_t step) {
    each_out(m, m_step, n, ret, step);
}

void filtering_deal(const real *x, size_t row_step, size_t rows, size_t before, size_t inside,
                    size_t n, real *ret, size_t step) {
    for (size_t row = 0; row < rows; row++, x += row_step, ret += FILTERING_SPAN * step)
        for (size_t t = 0; t < n; t++)
            for (size_t j = 0; j < FILTERING_SPAN; j++) {
                size_t at = FILTERING_TILE * t + j;
                ret[j * step + t] = at >= before && at - before < inside ? x[at - before] : 0;
            }
}

void filtering_collect(const real *x, size_t step, size_t rows, size_t n, real add, real *ret,
                       size_t row_step) {
    for (size_t row = 0; row < rows; row++, x += FILTERING_TILE * step, ret += row_step)
        for (size_t i = 0; i < n; i++)
            ret[i] = x[i % FILTERING_TILE * step + i / FILTERING_TILE] + add;
}

#else

#include "compress/kernels/kernels.h"

void filtering_in(const real *x, size_t x_step, size_t n, real *ret, size_t step) {
    kernels_get()->filtering_in_f32(x, x_step, n, ret, step);
}

void filtering_weight(const real *w, size_t n, real *ret, size_t step) {
    kernels_get()->filtering_weight_f32(w, n, ret, step);
}

void filtering_out(const real *m, size_t m_step, size_t n, real *ret, size_t step) {
    kernels_get()->filtering_out_f32(m, m_step, n, ret, step);
}

void filtering_deal(const real *x, size_t row_step, size_t rows, size_t before, size_t inside,
                    size_t n, real *ret, size_t step) {
    kernels_get()->filtering_deal_f32(x, row_step, rows, before, inside, n, ret, step);
}

void filtering_collect(const real *x, size_t step, size_t rows, size_t n, real add, real *ret,
                       size_t row_step) {
    kernels_get()->filtering_collect_f32(x, step, rows, n, add, ret, row_step);
}

#endif
