/* Integer codes on a uniform grid, 32 at a time; the rest through a padded copy. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"
#include "compress/kernels/lanes.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { STEP = 32 };

/* The operand order sends NaN to lo, as the reference does. */
static __m256 clamp(__m256 v, __m256 lo, __m256 hi) {
    return _mm256_min_ps(_mm256_max_ps(v, lo), hi);
}

struct grid {
    __m256 scale, zero, lo, hi;
    __m256i flip;
};

static void quantize_step(const float *x, const struct grid *g, uint8_t *ret) {
    __m256i q[4];
    for (int j = 0; j < 4; j++) {
        __m256 v = _mm256_div_ps(_mm256_loadu_ps(x + 8 * j), g->scale);
        q[j] = _mm256_cvtps_epi32(clamp(_mm256_add_ps(v, g->zero), g->lo, g->hi));
    }
    __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    /* Packing works within halves; this puts the words back in order. */
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((void *)ret, _mm256_xor_si256(bytes, g->flip));
}

static void quantize_i8_avx2(const float *x, size_t n, const struct affine *grid, uint8_t *ret) {
    const struct grid g = {_mm256_set1_ps(grid->scale), _mm256_set1_ps((float)grid->zero),
                           _mm256_set1_ps((float)grid->lo), _mm256_set1_ps((float)grid->hi),
                           _mm256_set1_epi8((char)grid->flip)};
    size_t i = 0;
    for (; i + STEP <= n; i += STEP)
        quantize_step(x + i, &g, ret + i);
    if (i < n) {
        float rest[STEP] = {0};
        uint8_t codes[STEP];
        memcpy(rest, x + i, (n - i) * sizeof *rest);
        quantize_step(rest, &g, codes);
        memcpy(ret + i, codes, n - i);
    }
}

static void dequantize_i8_avx2(const uint8_t *codes, size_t n, const struct affine *grid,
                               float *ret) {
    const __m256 scale = _mm256_set1_ps(grid->scale);
    const __m256i zero = _mm256_set1_epi32(grid->zero);
    const __m128i flip = _mm_set1_epi8((char)grid->flip);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i q = _mm_xor_si128(_mm_loadl_epi64((const void *)(codes + i)), flip);
        __m256i d = _mm256_sub_epi32(_mm256_cvtepi8_epi32(q), zero);
        _mm256_storeu_ps(ret + i, _mm256_mul_ps(_mm256_cvtepi32_ps(d), scale));
    }
    for (; i < n; i++)
        ret[i] = (float)((int8_t)(codes[i] ^ grid->flip) - grid->zero) * grid->scale;
}

static void pack_i4_avx2(const uint8_t *codes, size_t n, uint8_t *ret) {
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        __m256i q = _mm256_loadu_si256((const void *)(codes + i));
        q = _mm256_xor_si256(_mm256_and_si256(q, _mm256_set1_epi8(15)), _mm256_set1_epi8(8));
        /* even + 16 * odd in every 16 bits, then their low bytes */
        q = _mm256_maddubs_epi16(q, _mm256_set1_epi16(0x1001));
        q = _mm256_permute4x64_epi64(_mm256_packus_epi16(q, q), 0x08);
        _mm_storeu_si128((void *)(ret + i / 2), _mm256_castsi256_si128(q));
    }
    for (; i < n; i += 2) {
        unsigned low = (codes[i] & 15u) ^ 8u;
        unsigned high = i + 1 < n ? (codes[i + 1] & 15u) ^ 8u : 0;
        ret[i / 2] = (uint8_t)(low | high << 4);
    }
}

static void unpack_i4_avx2(const uint8_t *packed, size_t n, uint8_t *ret) {
    const __m128i mask = _mm_set1_epi8(15), offset = _mm_set1_epi8(8);
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        __m128i v = _mm_loadu_si128((const void *)(packed + i / 2));
        __m128i low = _mm_sub_epi8(_mm_and_si128(v, mask), offset);
        __m128i high = _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(v, 4), mask), offset);
        _mm_storeu_si128((void *)(ret + i), _mm_unpacklo_epi8(low, high));
        _mm_storeu_si128((void *)(ret + i + 16), _mm_unpackhi_epi8(low, high));
    }
    for (; i < n; i++)
        ret[i] = (uint8_t)((packed[i / 2] >> (i % 2 * 4) & 15) - 8);
}

/* lanes_sum_f32() in registers. */
static double sum_lanes(__m256 a, __m256 b) {
    __m256d low = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
                                _mm256_cvtps_pd(_mm256_castps256_ps128(b)));
    __m256d high = _mm256_add_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)),
                                 _mm256_cvtps_pd(_mm256_extractf128_ps(b, 1)));
    __m256d four = _mm256_add_pd(low, high);
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static void fit_f32_avx2(const float *x, size_t n, float inverse, float lo, float hi,
                         double ret[2]) {
    const __m256 factor = _mm256_set1_ps(inverse), low = _mm256_set1_ps(lo);
    const __m256 high = _mm256_set1_ps(hi);
    __m256 vp[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, pp[2] = {vp[0], vp[0]};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < 2; j++) {
            __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i + 8 * j), factor);
            __m256 p =
                _mm256_round_ps(clamp(v, low, high), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            vp[j] = _mm256_add_ps(vp[j], _mm256_mul_ps(v, p));
            pp[j] = _mm256_add_ps(pp[j], _mm256_mul_ps(p, p));
        }
    if (i < n) { /* the first lanes alone get one more value */
        float vps[LANES], pps[LANES];
        for (int j = 0; j < 2; j++) {
            _mm256_storeu_ps(vps + 8 * j, vp[j]);
            _mm256_storeu_ps(pps + 8 * j, pp[j]);
        }
        for (; i < n; i++) {
            float v = x[i] * inverse, p = v > lo ? v : lo;
            p = rintf(p < hi ? p : hi);
            vps[i % LANES] += v * p;
            pps[i % LANES] += p * p;
        }
        for (int j = 0; j < 2; j++) {
            vp[j] = _mm256_loadu_ps(vps + 8 * j);
            pp[j] = _mm256_loadu_ps(pps + 8 * j);
        }
    }
    ret[0] = sum_lanes(vp[0], vp[1]);
    ret[1] = sum_lanes(pp[0], pp[1]);
}

void affine_fill_avx2(struct kernels *k) {
    k->quantize_i8 = quantize_i8_avx2;
    k->dequantize_i8 = dequantize_i8_avx2;
    k->pack_i4 = pack_i4_avx2;
    k->unpack_i4 = unpack_i4_avx2;
    k->fit_f32 = fit_f32_avx2;
}
