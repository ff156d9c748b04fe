/* Weighted sums and maxima over taps, output by output. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

static void taps_sum_f32_ref(const float *const *x, const float *w, size_t taps, size_t step,
                             size_t n, float *ret) {
    for (size_t i = 0; i < n; i++) {
        float sum = ret[i];
        for (size_t t = 0; t < taps; t++)
            sum += w[t] * x[t][i * step];
        ret[i] = sum;
    }
}

static void taps_max_f32_ref(const float *const *x, size_t taps, size_t step, size_t n,
                             float *ret) {
    for (size_t i = 0; i < n; i++) {
        float max = ret[i];
        for (size_t t = 0; t < taps; t++)
            max = x[t][i * step] > max ? x[t][i * step] : max;
        ret[i] = max;
    }
}

void taps_fill_ref(struct kernels *k) {
    k->taps_sum_f32 = taps_sum_f32_ref;
    k->taps_max_f32 = taps_max_f32_ref;
}
