/* Conversions between f32 and 16-bit floats, eight at a time. */
#include "compress/base/bytes.h"
#include "compress/base/half.h"
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <immintrin.h>

static void f32_from_bf16_avx2(const void *x, size_t n, float *ret) {
    const uint8_t *in = x;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(in + 2 * i)));
        _mm256_storeu_si256((void *)(ret + i), _mm256_slli_epi32(wide, 16));
    }
    for (; i < n; i++)
        ret[i] = half_from_bf16(load_u16(in + 2 * i));
}

static void f32_from_f16_avx2(const void *x, size_t n, float *ret) {
    const uint8_t *in = x;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(ret + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(in + 2 * i))));
    for (; i < n; i++)
        ret[i] = half_from_f16(load_u16(in + 2 * i));
}

/* Low 16 bits of eight 32-bit lanes. */
static __m128i narrow(__m256i wide) {
    __m256i packed = _mm256_packus_epi32(wide, wide);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

static void bf16_from_f32_avx2(const float *x, size_t n, void *ret) {
    uint8_t *out = ret;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256i bits = _mm256_castps_si256(v);
        __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        __m256i high = _mm256_srli_epi32(rounded, 16);
        __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        high = _mm256_blendv_epi8(high, _mm256_set1_epi32(0x7fc0), nan);
        _mm_storeu_si128((void *)(out + 2 * i), narrow(high));
    }
    for (; i < n; i++)
        store_u16(out + 2 * i, half_to_bf16(x[i]));
}

static void f16_from_f32_avx2(const float *x, size_t n, void *ret) {
    uint8_t *out = ret;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m128i half = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        nan = _mm256_srli_epi32(nan, 16); /* packs as unsigned */
        half = _mm_blendv_epi8(half, _mm_set1_epi16(0x7e00), narrow(nan));
        _mm_storeu_si128((void *)(out + 2 * i), half);
    }
    for (; i < n; i++)
        store_u16(out + 2 * i, half_to_f16(x[i]));
}

void convert_fill_avx2(struct kernels *k) {
    k->f32_from_bf16 = f32_from_bf16_avx2;
    k->f32_from_f16 = f32_from_f16_avx2;
    k->bf16_from_f32 = bf16_from_f32_avx2;
    k->f16_from_f32 = f16_from_f32_avx2;
}
