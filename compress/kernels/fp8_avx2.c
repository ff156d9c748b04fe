/* Scaled fp8 E4M3FN, 32 at a time down and eight at a time up; see base/half.h for the rounding. */
#include "compress/base/half.h"
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <immintrin.h>
#include <string.h>

enum { STEP = 32 };

/* Eight codes in 32-bit lanes. */
static __m256i e4m3(__m256 v) {
    __m256i bits = _mm256_castps_si256(v);
    __m256i a = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
    __m256i sign = _mm256_and_si256(_mm256_srli_epi32(bits, 24), _mm256_set1_epi32(0x80));
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(a, 20), _mm256_set1_epi32(1));
    __m256i normal = _mm256_add_epi32(a, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7ffff)));
    normal = _mm256_srai_epi32(_mm256_sub_epi32(normal, _mm256_set1_epi32(120 << 23)), 20);
    normal = _mm256_min_epi32(normal, _mm256_set1_epi32(0x7e));
    __m256 lifted = _mm256_add_ps(_mm256_castsi256_ps(a), _mm256_set1_ps(0x1p14f));
    __m256i subnormal =
        _mm256_sub_epi32(_mm256_castps_si256(lifted), _mm256_set1_epi32(0x46800000));
    __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x3c800000), a);
    __m256i code = _mm256_or_si256(_mm256_blendv_epi8(normal, subnormal, small), sign);
    __m256i nan = _mm256_cmpgt_epi32(a, _mm256_set1_epi32(0x7f800000));
    return _mm256_blendv_epi8(code, _mm256_set1_epi32(0x7f), nan);
}

static void quantize_step(const float *x, __m256 scale, uint8_t *ret) {
    __m256i q[4];
    for (int j = 0; j < 4; j++)
        q[j] = e4m3(_mm256_div_ps(_mm256_loadu_ps(x + 8 * j), scale));
    __m256i bytes =
        _mm256_packus_epi16(_mm256_packus_epi32(q[0], q[1]), _mm256_packus_epi32(q[2], q[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((void *)ret, bytes);
}

static void quantize_e4m3_avx2(const float *x, size_t n, float scale, uint8_t *ret) {
    const __m256 divisor = _mm256_set1_ps(scale);
    size_t i = 0;
    for (; i + STEP <= n; i += STEP)
        quantize_step(x + i, divisor, ret + i);
    if (i < n) {
        float rest[STEP] = {0};
        uint8_t codes[STEP];
        memcpy(rest, x + i, (n - i) * sizeof *rest);
        quantize_step(rest, divisor, codes);
        memcpy(ret + i, codes, n - i);
    }
}

static void dequantize_e4m3_avx2(const uint8_t *codes, size_t n, float scale, float *ret) {
    const __m256 factor = _mm256_set1_ps(scale), bias = _mm256_set1_ps(256);
    const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        /* The same bits seven places up are an f16 that is 2^8 too small (bias 15, not 7),
         * subnormals included. */
        __m128i c = _mm_cvtepu8_epi16(_mm_loadl_epi64((const void *)(codes + i)));
        __m128i sign = _mm_slli_epi16(_mm_and_si128(c, _mm_set1_epi16(0x80)), 8);
        __m128i a = _mm_and_si128(c, _mm_set1_epi16(0x7f));
        __m256 v = _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(_mm_slli_epi16(a, 7), sign)), bias);
        __m256i is_nan = _mm256_cvtepi16_epi32(_mm_cmpeq_epi16(a, _mm_set1_epi16(0x7f)));
        __m256 signed_nan = _mm256_or_ps(nan, _mm256_and_ps(v, _mm256_set1_ps(-0.0f)));
        v = _mm256_blendv_ps(v, signed_nan, _mm256_castsi256_ps(is_nan));
        _mm256_storeu_ps(ret + i, _mm256_mul_ps(v, factor));
    }
    for (; i < n; i++)
        ret[i] = half_from_e4m3(codes[i]) * scale;
}

void fp8_fill_avx2(struct kernels *k) {
    k->quantize_e4m3 = quantize_e4m3_avx2;
    k->dequantize_e4m3 = dequantize_e4m3_avx2;
}
