/* Taps, eight outputs at a time and four such at once where there are as many; a step of 2 takes
 * every other element of two registers. Other steps are the reference's. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <immintrin.h>

enum { LANES = 8 };

/* x[0], x[2] ... x[14]; reads x[15] as well. */
static __m256 even(const float *x) {
    __m256 a = _mm256_loadu_ps(x), b = _mm256_loadu_ps(x + LANES);
    __m256 mixed = _mm256_shuffle_ps(a, b, 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
}

static void taps_sum_f32_avx2(const float *const *x, const float *w, size_t taps, size_t step,
                              size_t n, float *ret) {
    size_t i = 0;
    for (; step == 1 && i + 4 * LANES <= n; i += 4 * LANES) {
        float *to = ret + i;
        __m256 a = _mm256_loadu_ps(to), b = _mm256_loadu_ps(to + LANES),
               c = _mm256_loadu_ps(to + 2 * LANES), d = _mm256_loadu_ps(to + 3 * LANES);
        for (size_t t = 0; t < taps; t++) {
            __m256 weight = _mm256_set1_ps(w[t]);
            const float *from = x[t] + i;
            a = _mm256_add_ps(a, _mm256_mul_ps(weight, _mm256_loadu_ps(from)));
            b = _mm256_add_ps(b, _mm256_mul_ps(weight, _mm256_loadu_ps(from + LANES)));
            c = _mm256_add_ps(c, _mm256_mul_ps(weight, _mm256_loadu_ps(from + 2 * LANES)));
            d = _mm256_add_ps(d, _mm256_mul_ps(weight, _mm256_loadu_ps(from + 3 * LANES)));
        }
        _mm256_storeu_ps(to, a);
        _mm256_storeu_ps(to + LANES, b);
        _mm256_storeu_ps(to + 2 * LANES, c);
        _mm256_storeu_ps(to + 3 * LANES, d);
    }
    for (; step == 1 && i + LANES <= n; i += LANES) {
        __m256 sum = _mm256_loadu_ps(ret + i);
        for (size_t t = 0; t < taps; t++)
            sum =
                _mm256_add_ps(sum, _mm256_mul_ps(_mm256_set1_ps(w[t]), _mm256_loadu_ps(x[t] + i)));
        _mm256_storeu_ps(ret + i, sum);
    }
    /* One more output behind these: what `even` reads too much of is that one's. */
    for (; step == 2 && i + LANES < n; i += LANES) {
        __m256 sum = _mm256_loadu_ps(ret + i);
        for (size_t t = 0; t < taps; t++)
            sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_set1_ps(w[t]), even(x[t] + 2 * i)));
        _mm256_storeu_ps(ret + i, sum);
    }
    for (; i < n; i++) {
        float sum = ret[i];
        for (size_t t = 0; t < taps; t++)
            sum += w[t] * x[t][i * step];
        ret[i] = sum;
    }
}

static void taps_max_f32_avx2(const float *const *x, size_t taps, size_t step, size_t n,
                              float *ret) {
    size_t i = 0;
    /* maxps gives its second operand where either is NaN. */
    for (; step == 1 && i + LANES <= n; i += LANES) {
        __m256 max = _mm256_loadu_ps(ret + i);
        for (size_t t = 0; t < taps; t++)
            max = _mm256_max_ps(_mm256_loadu_ps(x[t] + i), max);
        _mm256_storeu_ps(ret + i, max);
    }
    for (; step == 2 && i + LANES < n; i += LANES) {
        __m256 max = _mm256_loadu_ps(ret + i);
        for (size_t t = 0; t < taps; t++)
            max = _mm256_max_ps(even(x[t] + 2 * i), max);
        _mm256_storeu_ps(ret + i, max);
    }
    for (; i < n; i++) {
        float max = ret[i];
        for (size_t t = 0; t < taps; t++)
            max = x[t][i * step] > max ? x[t][i * step] : max;
        ret[i] = max;
    }
}

void taps_fill_avx2(struct kernels *k) {
    k->taps_sum_f32 = taps_sum_f32_avx2;
    k->taps_max_f32 = taps_max_f32_avx2;
}
