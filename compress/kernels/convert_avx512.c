/* Conversions between f32 and 16-bit floats, sixteen at a time; the last few under a mask. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <immintrin.h>

enum { WIDTH = 16 };

static __mmask16 lanes_left(size_t left) {
    return left < WIDTH ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
}

static void f32_from_bf16_avx512(const void *x, size_t n, float *ret) {
    const uint16_t *in = x;
    for (size_t i = 0; i < n; i += WIDTH) {
        __mmask16 m = lanes_left(n - i);
        __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, in + i));
        _mm512_mask_storeu_epi32(ret + i, m, _mm512_slli_epi32(wide, 16));
    }
}

static void f32_from_f16_avx512(const void *x, size_t n, float *ret) {
    const uint16_t *in = x;
    for (size_t i = 0; i < n; i += WIDTH) {
        __mmask16 m = lanes_left(n - i);
        __m512 wide = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, in + i));
        _mm512_mask_storeu_ps(ret + i, m, wide);
    }
}

static void bf16_from_f32_avx512(const float *x, size_t n, void *ret) {
    uint16_t *out = ret;
    const __m512i one = _mm512_set1_epi32(1), bias = _mm512_set1_epi32(0x7fff);
    for (size_t i = 0; i < n; i += WIDTH) {
        __mmask16 m = lanes_left(n - i);
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        __m512i bits = _mm512_castps_si512(v);
        __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
        __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, bias));
        __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
        rounded = _mm512_mask_set1_epi32(rounded, nan, 0x7fc00000);
        __m256i high = _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
        _mm256_mask_storeu_epi16(out + i, m, high);
    }
}

static void f16_from_f32_avx512(const float *x, size_t n, void *ret) {
    uint16_t *out = ret;
    for (size_t i = 0; i < n; i += WIDTH) {
        __mmask16 m = lanes_left(n - i);
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        __m256i half = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        half = _mm256_mask_set1_epi16(half, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), 0x7e00);
        _mm256_mask_storeu_epi16(out + i, m, half);
    }
}

void convert_fill_avx512(struct kernels *k) {
    k->f32_from_bf16 = f32_from_bf16_avx512;
    k->f32_from_f16 = f32_from_f16_avx512;
    k->bf16_from_f32 = bf16_from_f32_avx512;
    k->f16_from_f32 = f16_from_f32_avx512;
}
