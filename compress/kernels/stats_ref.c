/* Ranges and errors. See kernels.h for what is left out and in which order sums are taken. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"
#include "compress/kernels/lanes.h"

#include <math.h>

static void range_f32_ref(const float *x, size_t n, struct float_range *ret) {
    float min = INFINITY, max = -INFINITY;
    uint64_t non_finite = 0, first = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            if (non_finite++ == 0)
                first = i;
            continue;
        }
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    if (min > max)
        min = max = 0;
    /* -0 + 0 is +0: which zero was met first must not show. */
    *ret = (struct float_range){min + 0.0f, max + 0.0f, non_finite, first};
}

static void error_stats_f32_ref(const float *x, const float *y, size_t n, struct error_stats *ret) {
    double x2[LANES] = {0}, e2[LANES] = {0};
    struct error_stats s = {0};
    for (size_t i = 0; i < n; i++) {
        s.nonzero += y[i] != 0;
        if (!isfinite(x[i]) || !isfinite(y[i])) {
            if (s.non_finite++ == 0)
                s.first_non_finite = i;
            continue;
        }
        double a = x[i], e = a - (double)y[i];
        x2[i % LANES] += a * a;
        e2[i % LANES] += e * e;
        s.max_x = fabs(a) > s.max_x ? fabs(a) : s.max_x;
        s.max_e = fabs(e) > s.max_e ? fabs(e) : s.max_e;
    }
    s.sum_x2 = lanes_sum_f64(x2);
    s.sum_e2 = lanes_sum_f64(e2);
    *ret = s;
}

void stats_fill_ref(struct kernels *k) {
    k->range_f32 = range_f32_ref;
    k->error_stats_f32 = error_stats_f32_ref;
}
