/* Ranges and errors, with the reference's lanes: partial sum i mod 16 is lane i mod 8 of
 * accumulator i / 8 mod 2. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"
#include "compress/kernels/lanes.h"

#include <immintrin.h>
#include <math.h>

static __mmask16 lanes_left(size_t left) {
    return left < LANES ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
}

static __mmask16 finite_lanes(__mmask16 m, __m512 v) {
    return _mm512_mask_cmp_ps_mask(m, _mm512_abs_ps(v), _mm512_set1_ps(INFINITY), _CMP_LT_OQ);
}

/* What of the lanes `asked` is not finite, into count and first index. */
static void count(unsigned asked, unsigned ok, size_t at, uint64_t *non_finite, uint64_t *first) {
    unsigned bad = asked & ~ok;
    if (!bad)
        return;
    if (*non_finite == 0)
        *first = at + (unsigned)__builtin_ctz(bad);
    *non_finite += (unsigned)__builtin_popcount(bad);
}

static void range_f32_avx512(const float *x, size_t n, struct float_range *ret) {
    const __m512 up = _mm512_set1_ps(INFINITY), down = _mm512_set1_ps(-INFINITY);
    __m512 low[4] = {up, up, up, up}, high[4] = {down, down, down, down};
    struct float_range r = {0};
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++) {
            __m512 v = _mm512_loadu_ps(x + i + LANES * j);
            __mmask16 ok = finite_lanes(0xffff, v);
            low[j] = _mm512_mask_min_ps(low[j], ok, low[j], v);
            high[j] = _mm512_mask_max_ps(high[j], ok, high[j], v);
            count(0xffff, ok, i + (size_t)(LANES * j), &r.non_finite, &r.first_non_finite);
        }
    for (; i < n; i += LANES) {
        __mmask16 m = lanes_left(n - i);
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        __mmask16 ok = finite_lanes(m, v);
        low[0] = _mm512_mask_min_ps(low[0], ok, low[0], v);
        high[0] = _mm512_mask_max_ps(high[0], ok, high[0], v);
        count(m, ok, i, &r.non_finite, &r.first_non_finite);
    }
    r.min = _mm512_reduce_min_ps(
        _mm512_min_ps(_mm512_min_ps(low[0], low[1]), _mm512_min_ps(low[2], low[3])));
    r.max = _mm512_reduce_max_ps(
        _mm512_max_ps(_mm512_max_ps(high[0], high[1]), _mm512_max_ps(high[2], high[3])));
    if (r.min > r.max)
        r.min = r.max = 0;
    r.min += 0.0f;
    r.max += 0.0f;
    *ret = r;
}

struct sums {
    __m512d x2[2], e2[2], max_x[2], max_e[2];
};

/* Eight pairs into accumulator j. */
static void add_pairs(struct sums *s, int j, __m256 x, __m256 y) {
    __m512d a = _mm512_cvtps_pd(x), e = _mm512_sub_pd(a, _mm512_cvtps_pd(y));
    s->x2[j] = _mm512_add_pd(s->x2[j], _mm512_mul_pd(a, a));
    s->e2[j] = _mm512_add_pd(s->e2[j], _mm512_mul_pd(e, e));
    s->max_x[j] = _mm512_max_pd(s->max_x[j], _mm512_abs_pd(a));
    s->max_e[j] = _mm512_max_pd(s->max_e[j], _mm512_abs_pd(e));
}

/* lanes_sum_f64() in registers. */
static double sum_lanes(const __m512d v[2]) {
    __m512d eight = _mm512_add_pd(v[0], v[1]);
    __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static void error_stats_f32_avx512(const float *x, const float *y, size_t n,
                                   struct error_stats *ret) {
    struct sums s;
    struct error_stats r = {0};
    for (int j = 0; j < 2; j++)
        s.x2[j] = s.e2[j] = s.max_x[j] = s.max_e[j] = _mm512_setzero_pd();
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = lanes_left(n - i);
        __m512 a = _mm512_maskz_loadu_ps(m, x + i), b = _mm512_maskz_loadu_ps(m, y + i);
        __mmask16 ok = finite_lanes(finite_lanes(m, a), b);
        __mmask16 set = _mm512_cmp_ps_mask(b, _mm512_setzero_ps(), _CMP_NEQ_UQ);
        r.nonzero += (unsigned)__builtin_popcount(set);
        count(m, ok, i, &r.non_finite, &r.first_non_finite);
        a = _mm512_maskz_mov_ps(ok, a); /* a pair of zeros changes no sum and no maximum */
        b = _mm512_maskz_mov_ps(ok, b);
        add_pairs(&s, 0, _mm512_castps512_ps256(a), _mm512_castps512_ps256(b));
        add_pairs(&s, 1, _mm512_extractf32x8_ps(a, 1), _mm512_extractf32x8_ps(b, 1));
    }
    r.sum_x2 = sum_lanes(s.x2);
    r.sum_e2 = sum_lanes(s.e2);
    r.max_x = _mm512_reduce_max_pd(_mm512_max_pd(s.max_x[0], s.max_x[1]));
    r.max_e = _mm512_reduce_max_pd(_mm512_max_pd(s.max_e[0], s.max_e[1]));
    *ret = r;
}

void stats_fill_avx512(struct kernels *k) {
    k->range_f32 = range_f32_avx512;
    k->error_stats_f32 = error_stats_f32_avx512;
}
