/* Taps, sixteen outputs to a register, the last ones under a mask. A step of 2 takes every other
 * element of two registers, whose lanes past the last output's are not read. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <immintrin.h>

enum { LANES = 16 };

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Of a run of n, the lanes that register j holds. */
ALWAYS_INLINE __mmask16 lanes_of(size_t n, size_t j) {
    size_t left = n > j * LANES ? n - j * LANES : 0;
    return left < LANES ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
}

/* Register j of outputs [0, n), whose elements are a step of 1 or 2 apart. */
ALWAYS_INLINE __m512 load(const float *x, size_t step, size_t n, size_t j) {
    if (step == 1)
        return _mm512_maskz_loadu_ps(lanes_of(n, j), x + LANES * j);
    size_t elements = n ? 2 * n - 1 : 0;
    __m512 a = _mm512_maskz_loadu_ps(lanes_of(elements, 2 * j), x + 2 * LANES * j);
    __m512 b = _mm512_maskz_loadu_ps(lanes_of(elements, 2 * j + 1), x + 2 * LANES * j + LANES);
    const __m512i evens =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(a, evens, b);
}

ALWAYS_INLINE __m512 add(__m512 sum, __m512 weight, const float *x, size_t step, size_t n,
                         size_t j) {
    return _mm512_add_ps(sum, _mm512_mul_ps(weight, load(x, step, n, j)));
}

/* maxps gives its second operand where either is NaN. */
ALWAYS_INLINE __m512 larger(__m512 max, const float *x, size_t step, size_t n, size_t j) {
    return _mm512_max_ps(load(x, step, n, j), max);
}

/* Four registers of outputs at once, which do not wait for each other (in variables of their own:
 * an array of them would live in memory), and one where no more are left. */
ALWAYS_INLINE void sum_rows(const float *const *x, const float *w, size_t taps, size_t step,
                            size_t n, float *ret) {
    size_t i = 0;
    for (; n - i > LANES; i += n - i < 4 * LANES ? n - i : 4 * LANES) {
        size_t m = n - i < 4 * LANES ? n - i : 4 * LANES;
        float *to = ret + i;
        __m512 a = load(to, 1, m, 0), b = load(to, 1, m, 1), c = load(to, 1, m, 2),
               d = load(to, 1, m, 3);
        for (size_t t = 0; t < taps; t++) {
            __m512 weight = _mm512_set1_ps(w[t]);
            const float *from = x[t] + i * step;
            a = add(a, weight, from, step, m, 0);
            b = add(b, weight, from, step, m, 1);
            c = add(c, weight, from, step, m, 2);
            d = add(d, weight, from, step, m, 3);
        }
        _mm512_mask_storeu_ps(to, lanes_of(m, 0), a);
        _mm512_mask_storeu_ps(to + LANES, lanes_of(m, 1), b);
        _mm512_mask_storeu_ps(to + 2 * LANES, lanes_of(m, 2), c);
        _mm512_mask_storeu_ps(to + 3 * LANES, lanes_of(m, 3), d);
    }
    if (i == n)
        return;
    __m512 sum = load(ret + i, 1, n - i, 0);
    for (size_t t = 0; t < taps; t++)
        sum = add(sum, _mm512_set1_ps(w[t]), x[t] + i * step, step, n - i, 0);
    _mm512_mask_storeu_ps(ret + i, lanes_of(n - i, 0), sum);
}

ALWAYS_INLINE void max_rows(const float *const *x, size_t taps, size_t step, size_t n, float *ret) {
    size_t i = 0;
    for (; n - i > LANES; i += n - i < 4 * LANES ? n - i : 4 * LANES) {
        size_t m = n - i < 4 * LANES ? n - i : 4 * LANES;
        float *to = ret + i;
        __m512 a = load(to, 1, m, 0), b = load(to, 1, m, 1), c = load(to, 1, m, 2),
               d = load(to, 1, m, 3);
        for (size_t t = 0; t < taps; t++) {
            const float *from = x[t] + i * step;
            a = larger(a, from, step, m, 0);
            b = larger(b, from, step, m, 1);
            c = larger(c, from, step, m, 2);
            d = larger(d, from, step, m, 3);
        }
        _mm512_mask_storeu_ps(to, lanes_of(m, 0), a);
        _mm512_mask_storeu_ps(to + LANES, lanes_of(m, 1), b);
        _mm512_mask_storeu_ps(to + 2 * LANES, lanes_of(m, 2), c);
        _mm512_mask_storeu_ps(to + 3 * LANES, lanes_of(m, 3), d);
    }
    if (i == n)
        return;
    __m512 max = load(ret + i, 1, n - i, 0);
    for (size_t t = 0; t < taps; t++)
        max = larger(max, x[t] + i * step, step, n - i, 0);
    _mm512_mask_storeu_ps(ret + i, lanes_of(n - i, 0), max);
}

static void taps_sum_f32_avx512(const float *const *x, const float *w, size_t taps, size_t step,
                                size_t n, float *ret) {
    if (step == 1) {
        sum_rows(x, w, taps, 1, n, ret);
        return;
    }
    if (step == 2) {
        sum_rows(x, w, taps, 2, n, ret);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float sum = ret[i];
        for (size_t t = 0; t < taps; t++)
            sum += w[t] * x[t][i * step];
        ret[i] = sum;
    }
}

static void taps_max_f32_avx512(const float *const *x, size_t taps, size_t step, size_t n,
                                float *ret) {
    if (step == 1) {
        max_rows(x, taps, 1, n, ret);
        return;
    }
    if (step == 2) {
        max_rows(x, taps, 2, n, ret);
        return;
    }
    for (size_t i = 0; i < n; i++) {
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
