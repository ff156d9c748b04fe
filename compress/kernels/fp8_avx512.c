/* Scaled fp8 E4M3FN, sixteen at a time; see base/half.h for the rounding. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <immintrin.h>

enum { WIDTH = 16 };

static __mmask16 lanes_left(size_t left) {
    return left < WIDTH ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
}

/* Sixteen codes in 32-bit lanes. */
static __m512i e4m3(__m512 v) {
    __m512i bits = _mm512_castps_si512(v);
    __m512i a = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    __m512i sign = _mm512_and_si512(_mm512_srli_epi32(bits, 24), _mm512_set1_epi32(0x80));
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(a, 20), _mm512_set1_epi32(1));
    __m512i code = _mm512_add_epi32(a, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7ffff)));
    code = _mm512_srai_epi32(_mm512_sub_epi32(code, _mm512_set1_epi32(120 << 23)), 20);
    code = _mm512_min_epi32(code, _mm512_set1_epi32(0x7e));
    __m512 lifted = _mm512_add_ps(_mm512_castsi512_ps(a), _mm512_set1_ps(0x1p14f));
    __mmask16 small = _mm512_cmplt_epi32_mask(a, _mm512_set1_epi32(0x3c800000));
    code = _mm512_mask_sub_epi32(code, small, _mm512_castps_si512(lifted),
                                 _mm512_set1_epi32(0x46800000));
    code = _mm512_or_si512(code, sign);
    return _mm512_mask_set1_epi32(code, _mm512_cmpgt_epi32_mask(a, _mm512_set1_epi32(0x7f800000)),
                                  0x7f);
}

static void quantize_e4m3_avx512(const float *x, size_t n, float scale, uint8_t *ret) {
    const __m512 divisor = _mm512_set1_ps(scale);
    for (size_t i = 0; i < n; i += WIDTH) {
        __mmask16 m = lanes_left(n - i);
        __m512i code = e4m3(_mm512_div_ps(_mm512_maskz_loadu_ps(m, x + i), divisor));
        _mm_mask_storeu_epi8(ret + i, m, _mm512_cvtepi32_epi8(code));
    }
}

static void dequantize_e4m3_avx512(const uint8_t *codes, size_t n, float scale, float *ret) {
    const __m512 factor = _mm512_set1_ps(scale), bias = _mm512_set1_ps(256);
    for (size_t i = 0; i < n; i += WIDTH) {
        __mmask16 m = lanes_left(n - i);
        /* The same bits seven places up are an f16 that is 2^8 too small (bias 15, not 7),
         * subnormals included. */
        __m256i c = _mm256_cvtepu8_epi16(_mm_maskz_loadu_epi8(m, codes + i));
        __m256i sign = _mm256_slli_epi16(_mm256_and_si256(c, _mm256_set1_epi16(0x80)), 8);
        __m256i a = _mm256_and_si256(c, _mm256_set1_epi16(0x7f));
        __m512 v =
            _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(_mm256_slli_epi16(a, 7), sign)), bias);
        __mmask16 nan = _mm256_cmpeq_epi16_mask(a, _mm256_set1_epi16(0x7f));
        __m512i bits = _mm512_castps_si512(v);
        bits = _mm512_mask_and_epi32(bits, nan, bits, _mm512_set1_epi32((int)0x80000000));
        bits = _mm512_mask_or_epi32(bits, nan, bits, _mm512_set1_epi32(0x7fc00000));
        _mm512_mask_storeu_ps(ret + i, m, _mm512_mul_ps(_mm512_castsi512_ps(bits), factor));
    }
}

void fp8_fill_avx512(struct kernels *k) {
    k->quantize_e4m3 = quantize_e4m3_avx512;
    k->dequantize_e4m3 = dequantize_e4m3_avx512;
}
