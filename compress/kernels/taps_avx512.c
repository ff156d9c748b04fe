/* Taps, sixteen outputs at a time, the last ones under a mask. A step of 2 takes every other
 * element of two registers, whose lanes past the last output's are not read. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <immintrin.h>

enum { LANES = 16 };

static __mmask16 first_lanes(size_t count) {
    return count < LANES ? (__mmask16)((1u << count) - 1) : (__mmask16)0xffff;
}

/* Elements first * step, ... of outputs [0, count), count <= 16. */
static __m512 load(const float *x, size_t step, size_t count) {
    if (step == 1)
        return _mm512_maskz_loadu_ps(first_lanes(count), x);
    size_t elements = 2 * count - 1;
    __m512 a = _mm512_maskz_loadu_ps(first_lanes(elements), x);
    __m512 b = elements <= LANES ? _mm512_setzero_ps()
                                 : _mm512_maskz_loadu_ps(first_lanes(elements - LANES), x + LANES);
    const __m512i evens =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(a, evens, b);
}

static void taps_sum_f32_avx512(const float *const *x, const float *w, size_t taps, size_t step,
                                size_t n, float *ret) {
    size_t i = 0;
    for (; step == 1 && i + 4 * LANES <= n; i += 4 * LANES) {
        __m512 sum[4];
        for (int j = 0; j < 4; j++)
            sum[j] = _mm512_loadu_ps(ret + i + LANES * j);
        for (size_t t = 0; t < taps; t++) {
            __m512 weight = _mm512_set1_ps(w[t]);
            for (int j = 0; j < 4; j++)
                sum[j] = _mm512_add_ps(
                    sum[j], _mm512_mul_ps(weight, _mm512_loadu_ps(x[t] + i + LANES * j)));
        }
        for (int j = 0; j < 4; j++)
            _mm512_storeu_ps(ret + i + LANES * j, sum[j]);
    }
    for (; step <= 2 && i < n; i += LANES) {
        size_t count = n - i < LANES ? n - i : LANES;
        __mmask16 lanes = first_lanes(count);
        __m512 sum = _mm512_maskz_loadu_ps(lanes, ret + i);
        for (size_t t = 0; t < taps; t++)
            sum = _mm512_add_ps(
                sum, _mm512_mul_ps(_mm512_set1_ps(w[t]), load(x[t] + i * step, step, count)));
        _mm512_mask_storeu_ps(ret + i, lanes, sum);
    }
    for (; i < n; i++) {
        float sum = ret[i];
        for (size_t t = 0; t < taps; t++)
            sum += w[t] * x[t][i * step];
        ret[i] = sum;
    }
}

static void taps_max_f32_avx512(const float *const *x, size_t taps, size_t step, size_t n,
                                float *ret) {
    size_t i = 0;
    /* maxps gives its second operand where either is NaN. */
    for (; step <= 2 && i < n; i += LANES) {
        size_t count = n - i < LANES ? n - i : LANES;
        __mmask16 lanes = first_lanes(count);
        __m512 max = _mm512_maskz_loadu_ps(lanes, ret + i);
        for (size_t t = 0; t < taps; t++)
            max = _mm512_max_ps(load(x[t] + i * step, step, count), max);
        _mm512_mask_storeu_ps(ret + i, lanes, max);
    }
    for (; i < n; i++) {
        float max = ret[i];
        for (size_t t = 0; t < taps; t++)
            max = x[t][i * step] > max ? x[t][i * step] : max;
        ret[i] = max;
    }
}

void taps_fill_avx512(struct kernels *k) {
    k->taps_sum_f32 = taps_sum_f32_avx512;
    k->taps_max_f32 = taps_max_f32_avx512;
}
