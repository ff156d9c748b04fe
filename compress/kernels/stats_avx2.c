/* Ranges and errors, with the reference's lanes: partial sum i mod 16 is lane i mod 4 of
 * accumulator i / 4 mod 4. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"
#include "compress/kernels/lanes.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

static __m256 magnitude(__m256 v) {
    return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));
}

static __m256 finite_lanes(__m256 v) {
    return _mm256_cmp_ps(magnitude(v), _mm256_set1_ps(INFINITY), _CMP_LT_OQ);
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

static void range_f32_avx2(const float *x, size_t n, struct float_range *ret) {
    enum { STEP = 32 };
    __m256 lows[4], highs[4];
    for (int j = 0; j < 4; j++) {
        lows[j] = _mm256_set1_ps(INFINITY);
        highs[j] = _mm256_set1_ps(-INFINITY);
    }
    float min = INFINITY, max = -INFINITY;
    struct float_range r = {0};
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        __m256 v[4], all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
        for (int j = 0; j < 4; j++) {
            v[j] = _mm256_loadu_ps(x + i + 8 * j);
            all = _mm256_and_ps(all, finite_lanes(v[j]));
        }
        if (_mm256_movemask_ps(all) != 0xff) {
            range_slowly(x, i, i + STEP, &min, &max, &r);
            continue;
        }
        for (int j = 0; j < 4; j++) {
            lows[j] = _mm256_min_ps(lows[j], v[j]);
            highs[j] = _mm256_max_ps(highs[j], v[j]);
        }
    }
    range_slowly(x, i, n, &min, &max, &r);
    float low[8], high[8];
    _mm256_storeu_ps(
        low, _mm256_min_ps(_mm256_min_ps(lows[0], lows[1]), _mm256_min_ps(lows[2], lows[3])));
    _mm256_storeu_ps(
        high, _mm256_max_ps(_mm256_max_ps(highs[0], highs[1]), _mm256_max_ps(highs[2], highs[3])));
    for (int j = 0; j < 8; j++) {
        min = low[j] < min ? low[j] : min;
        max = high[j] > max ? high[j] : max;
    }
    if (min > max)
        min = max = 0;
    r.min = min + 0.0f;
    r.max = max + 0.0f;
    *ret = r;
}

struct sums {
    __m256d x2[4], e2[4], max_x, max_e;
};

/* Four pairs into accumulator j. */
static void add_pairs(struct sums *s, int j, __m128 x, __m128 y) {
    const __m256d sign = _mm256_set1_pd(-0.0);
    __m256d a = _mm256_cvtps_pd(x), e = _mm256_sub_pd(a, _mm256_cvtps_pd(y));
    s->x2[j] = _mm256_add_pd(s->x2[j], _mm256_mul_pd(a, a));
    s->e2[j] = _mm256_add_pd(s->e2[j], _mm256_mul_pd(e, e));
    s->max_x = _mm256_max_pd(s->max_x, _mm256_andnot_pd(sign, a));
    s->max_e = _mm256_max_pd(s->max_e, _mm256_andnot_pd(sign, e));
}

/* Sixteen pairs, the first of which has index `at`. */
static void add_block(struct sums *s, const float *x, const float *y, size_t at,
                      struct error_stats *ret) {
    for (int j = 0; j < 2; j++) {
        __m256 a = _mm256_loadu_ps(x + 8 * j), b = _mm256_loadu_ps(y + 8 * j);
        __m256 ok = _mm256_and_ps(finite_lanes(a), finite_lanes(b));
        __m256 set = _mm256_cmp_ps(b, _mm256_setzero_ps(), _CMP_NEQ_UQ);
        ret->nonzero += (unsigned)__builtin_popcount((unsigned)_mm256_movemask_ps(set));
        unsigned bad = (unsigned)_mm256_movemask_ps(ok) ^ 0xff;
        if (bad) {
            if (ret->non_finite == 0)
                ret->first_non_finite = at + 8 * (unsigned)j + (unsigned)__builtin_ctz(bad);
            ret->non_finite += (unsigned)__builtin_popcount(bad);
            a = _mm256_and_ps(a, ok); /* a pair of zeros changes no sum and no maximum */
            b = _mm256_and_ps(b, ok);
        }
        add_pairs(s, 2 * j, _mm256_castps256_ps128(a), _mm256_castps256_ps128(b));
        add_pairs(s, 2 * j + 1, _mm256_extractf128_ps(a, 1), _mm256_extractf128_ps(b, 1));
    }
}

/* lanes_sum_f64() in registers. */
static double sum_lanes(const __m256d v[4]) {
    __m256d four = _mm256_add_pd(_mm256_add_pd(v[0], v[2]), _mm256_add_pd(v[1], v[3]));
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static double largest(__m256d v) {
    double lane[4];
    _mm256_storeu_pd(lane, v);
    return fmax(fmax(lane[0], lane[1]), fmax(lane[2], lane[3]));
}

static void error_stats_f32_avx2(const float *x, const float *y, size_t n,
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
    r.sum_x2 = sum_lanes(s.x2);
    r.sum_e2 = sum_lanes(s.e2);
    r.max_x = largest(s.max_x);
    r.max_e = largest(s.max_e);
    *ret = r;
}

void stats_fill_avx2(struct kernels *k) {
    k->range_f32 = range_f32_avx2;
    k->error_stats_f32 = error_stats_f32_avx2;
}
