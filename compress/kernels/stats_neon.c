/* Ranges and errors, with the reference's lanes: partial sum i mod 16 is lane i mod 2 of
 * accumulator i / 2 mod 8. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"
#include "compress/kernels/lanes.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

static uint32x4_t finite_lanes(float32x4_t v) {
    return vcltq_f32(vabsq_f32(v), vdupq_n_f32(INFINITY));
}

/* Values [i, end), some of which may be infinite or NaN, one at a time. */
static void range_slowly(const float *x, size_t i, size_t end, float *min, float *max,
                         struct float_range *ret) {
    for (; i < end; i++) {
        if (!isfinite(x[i])) {
            if (ret->non_finite++ == 0)
                ret->first_non_finite = i;
            continue;
        }
        *min = x[i] < *min ? x[i] : *min;
        *max = x[i] > *max ? x[i] : *max;
    }
}

static void range_f32_neon(const float *x, size_t n, struct float_range *ret) {
    enum { STEP = 16 };
    float32x4_t low[4], high[4];
    for (int j = 0; j < 4; j++) {
        low[j] = vdupq_n_f32(INFINITY);
        high[j] = vdupq_n_f32(-INFINITY);
    }
    float min = INFINITY, max = -INFINITY;
    struct float_range r = {0};
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        float32x4_t v[4];
        uint32x4_t all = vdupq_n_u32(UINT32_MAX);
        for (int j = 0; j < 4; j++) {
            v[j] = vld1q_f32(x + i + 4 * j);
            all = vandq_u32(all, finite_lanes(v[j]));
        }
        if (vminvq_u32(all) == 0) {
            range_slowly(x, i, i + STEP, &min, &max, &r);
            continue;
        }
        for (int j = 0; j < 4; j++) {
            low[j] = vminq_f32(low[j], v[j]);
            high[j] = vmaxq_f32(high[j], v[j]);
        }
    }
    range_slowly(x, i, n, &min, &max, &r);
    float lowest = vminvq_f32(vminq_f32(vminq_f32(low[0], low[1]), vminq_f32(low[2], low[3])));
    float highest = vmaxvq_f32(vmaxq_f32(vmaxq_f32(high[0], high[1]), vmaxq_f32(high[2], high[3])));
    min = lowest < min ? lowest : min;
    max = highest > max ? highest : max;
    if (min > max)
        min = max = 0;
    r.min = min + 0.0f;
    r.max = max + 0.0f;
    *ret = r;
}

struct sums {
    float64x2_t x2[8], e2[8], max_x, max_e;
};

/* Two pairs into accumulator j. */
static void add_pairs(struct sums *s, int j, float64x2_t x, float64x2_t y) {
    float64x2_t e = vsubq_f64(x, y);
    s->x2[j] = vaddq_f64(s->x2[j], vmulq_f64(x, x));
    s->e2[j] = vaddq_f64(s->e2[j], vmulq_f64(e, e));
    s->max_x = vmaxq_f64(s->max_x, vabsq_f64(x));
    s->max_e = vmaxq_f64(s->max_e, vabsq_f64(e));
}

/* Sixteen pairs, the first of which has index `at`. */
static void add_block(struct sums *s, const float *x, const float *y, size_t at,
                      struct error_stats *ret) {
    for (int j = 0; j < 4; j++) {
        float32x4_t a = vld1q_f32(x + 4 * j), b = vld1q_f32(y + 4 * j);
        uint32x4_t ok = vandq_u32(finite_lanes(a), finite_lanes(b));
        ret->nonzero += 4 - vaddvq_u32(vshrq_n_u32(vceqzq_f32(b), 31));
        if (vminvq_u32(ok) == 0) {
            for (int k = 0; k < 4; k++)
                if (!isfinite(x[4 * j + k]) || !isfinite(y[4 * j + k])) {
                    if (ret->non_finite++ == 0)
                        ret->first_non_finite = at + 4 * (size_t)j + (size_t)k;
                }
            /* A pair of zeros changes no sum and no maximum. */
            a = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), ok));
            b = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(b), ok));
        }
        add_pairs(s, 2 * j, vcvt_f64_f32(vget_low_f32(a)), vcvt_f64_f32(vget_low_f32(b)));
        add_pairs(s, 2 * j + 1, vcvt_high_f64_f32(a), vcvt_high_f64_f32(b));
    }
}

static void error_stats_f32_neon(const float *x, const float *y, size_t n,
                                 struct error_stats *ret) {
    struct sums s;
    struct error_stats r = {0};
    memset(&s, 0, sizeof s);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        add_block(&s, x + i, y + i, i, &r);
    if (i < n) {
        float a[LANES] = {0}, b[LANES] = {0};
        memcpy(a, x + i, (n - i) * sizeof *a);
        memcpy(b, y + i, (n - i) * sizeof *b);
        add_block(&s, a, b, i, &r);
    }
    double x2[LANES], e2[LANES];
    for (int j = 0; j < 8; j++) {
        vst1q_f64(x2 + 2 * j, s.x2[j]);
        vst1q_f64(e2 + 2 * j, s.e2[j]);
    }
    r.sum_x2 = lanes_sum_f64(x2);
    r.sum_e2 = lanes_sum_f64(e2);
    r.max_x = vmaxvq_f64(s.max_x);
    r.max_e = vmaxvq_f64(s.max_e);
    *ret = r;
}

void stats_fill_neon(struct kernels *k) {
    k->range_f32 = range_f32_neon;
    k->error_stats_f32 = error_stats_f32_neon;
}
