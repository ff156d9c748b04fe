/* Integer codes on a uniform grid, sixteen or 64 at a time; the last few under a mask. Packing by
 * two stays with AVX2: it is bound by memory there already. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"
#include "compress/kernels/lanes.h"

#include <immintrin.h>

static __mmask16 lanes_left(size_t left) {
    return left < LANES ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
}

/* The operand order sends NaN to lo, as the reference does. */
static __m512 clamp(__m512 v, __m512 lo, __m512 hi) {
    return _mm512_min_ps(_mm512_max_ps(v, lo), hi);
}

static void quantize_i8_avx512(const float *x, size_t n, const struct affine *grid, uint8_t *ret) {
    const __m512 scale = _mm512_set1_ps(grid->scale), zero = _mm512_set1_ps((float)grid->zero);
    const __m512 lo = _mm512_set1_ps((float)grid->lo), hi = _mm512_set1_ps((float)grid->hi);
    const __m128i flip = _mm_set1_epi8((char)grid->flip);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = lanes_left(n - i);
        __m512 v = _mm512_div_ps(_mm512_maskz_loadu_ps(m, x + i), scale);
        __m512i q = _mm512_cvtps_epi32(clamp(_mm512_add_ps(v, zero), lo, hi));
        _mm_mask_storeu_epi8(ret + i, m, _mm_xor_si128(_mm512_cvtepi32_epi8(q), flip));
    }
}

static void dequantize_i8_avx512(const uint8_t *codes, size_t n, const struct affine *grid,
                                 float *ret) {
    const __m512 scale = _mm512_set1_ps(grid->scale);
    const __m512i zero = _mm512_set1_epi32(grid->zero);
    const __m128i flip = _mm_set1_epi8((char)grid->flip);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = lanes_left(n - i);
        __m128i q = _mm_xor_si128(_mm_maskz_loadu_epi8(m, codes + i), flip);
        __m512i d = _mm512_sub_epi32(_mm512_cvtepi8_epi32(q), zero);
        _mm512_mask_storeu_ps(ret + i, m, _mm512_mul_ps(_mm512_cvtepi32_ps(d), scale));
    }
}

/* lanes_sum_f32() in registers. */
static double sum_lanes(__m512 v) {
    __m512d eight = _mm512_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                                  _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)));
    __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static void fit_f32_avx512(const float *x, size_t n, float inverse, float lo, float hi,
                           double ret[2]) {
    const __m512 factor = _mm512_set1_ps(inverse), low = _mm512_set1_ps(lo);
    const __m512 high = _mm512_set1_ps(hi);
    __m512 vp = _mm512_setzero_ps(), pp = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = lanes_left(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), factor);
        __m512 p = _mm512_roundscale_ps(clamp(v, low, high),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        vp = _mm512_mask_add_ps(vp, m, vp, _mm512_mul_ps(v, p));
        pp = _mm512_mask_add_ps(pp, m, pp, _mm512_mul_ps(p, p));
    }
    ret[0] = sum_lanes(vp);
    ret[1] = sum_lanes(pp);
}

void affine_fill_avx512(struct kernels *k) {
    k->quantize_i8 = quantize_i8_avx512;
    k->dequantize_i8 = dequantize_i8_avx512;
    k->fit_f32 = fit_f32_avx512;
}
