/*
 * GGUF's blocks of 32 values, a block in four vectors of eight. The formats and their arithmetic
 * stand in legacy_ref.c; what is peculiar to vectors:
 *
 * First of equals: the sign of the extreme (q4_0, q5_0) and of a zero minimum (q4_1, q5_1) belong
 * to the first value that has that magnitude, which is found by a mask of 32 bits.
 *
 * Half away from zero (q8_0): round(x) = trunc(x + copysign(h, x)) with h the largest number below
 * 1/2; adding 1/2 itself would round 0.49999997 up.
 *
 * Overflow: a conversion that overflows gives INT_MIN, whose low byte is 0 in the reference; the
 * unsigned pack makes the same of it. q8_0's codes may be negative and are masked to bytes first.
 */
#include "compress/base/bytes.h"
#include "compress/base/half.h"
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <immintrin.h>

enum { BLOCK = 32, PARTS = 4 };

struct block {
    __m256 v[PARTS];
};

static struct block load_block(const float *x) {
    struct block b;
    for (int j = 0; j < PARTS; j++)
        b.v[j] = _mm256_loadu_ps(x + 8 * j);
    return b;
}

static __m256 magnitude(__m256 v) {
    return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));
}

static float largest_lane(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

static float smallest_lane(__m256 v) {
    __m128 m = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_min_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_min_ss(m, _mm_shuffle_ps(m, m, 1)));
}

static float largest_magnitude(const struct block *b) {
    __m256 m = _mm256_max_ps(magnitude(b->v[0]), magnitude(b->v[1]));
    return largest_lane(_mm256_max_ps(m, _mm256_max_ps(magnitude(b->v[2]), magnitude(b->v[3]))));
}

/* The first value in x whose magnitude is `wanted`; one has it. */
static float first_of_magnitude(const struct block *b, const float *x, float wanted) {
    const __m256 target = _mm256_set1_ps(wanted);
    uint32_t mask = 0;
    for (int j = 0; j < PARTS; j++) {
        __m256 equal = _mm256_cmp_ps(magnitude(b->v[j]), target, _CMP_EQ_OQ);
        mask |= (uint32_t)_mm256_movemask_ps(equal) << (8 * j);
    }
    return x[__builtin_ctz(mask)];
}

static float extreme(const struct block *b, const float *x) {
    float amax = largest_magnitude(b);
    return amax > 0 ? first_of_magnitude(b, x, amax) : 0;
}

static void bounds(const struct block *b, const float *x, float *ret_min, float *ret_max) {
    __m256 low = _mm256_min_ps(b->v[0], b->v[1]), high = _mm256_max_ps(b->v[0], b->v[1]);
    low = _mm256_min_ps(low, _mm256_min_ps(b->v[2], b->v[3]));
    high = _mm256_max_ps(high, _mm256_max_ps(b->v[2], b->v[3]));
    *ret_min = smallest_lane(low);
    *ret_max = largest_lane(high);
    if (*ret_min == 0)
        *ret_min = first_of_magnitude(b, x, 0);
    if (*ret_max == *ret_min) /* zeros of both signs */
        *ret_max = *ret_min;
}

static float reciprocal(float d) {
    return d != 0 ? 1.0f / d : 0.0f;
}

/* 32 lanes holding bytes, in order. */
static __m256i pack_bytes(const __m256i q[PARTS]) {
    __m256i bytes =
        _mm256_packus_epi16(_mm256_packus_epi32(q[0], q[1]), _mm256_packus_epi32(q[2], q[3]));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static void encode_q8_0_avx2(const float *x, size_t blocks, uint8_t *ret) {
    const __m256 below_half = _mm256_set1_ps(0x1.fffffep-2f), sign = _mm256_set1_ps(-0.0f);
    for (; blocks--; x += BLOCK, ret += 34) {
        struct block b = load_block(x);
        float d = largest_magnitude(&b) / 127;
        __m256 id = _mm256_set1_ps(reciprocal(d));
        __m256i q[PARTS];
        for (int j = 0; j < PARTS; j++) {
            __m256 v = _mm256_mul_ps(b.v[j], id);
            v = _mm256_add_ps(v, _mm256_or_ps(below_half, _mm256_and_ps(v, sign)));
            q[j] = _mm256_and_si256(_mm256_cvttps_epi32(v), _mm256_set1_epi32(0xff));
        }
        store_u16(ret, half_to_f16(d));
        _mm256_storeu_si256((void *)(ret + 2), pack_bytes(q));
    }
}

static void decode_q8_0_avx2(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 34, ret += BLOCK) {
        const __m256 d = _mm256_set1_ps(half_from_f16(load_u16(data)));
        for (int j = 0; j < PARTS; j++) {
            __m128i q = _mm_loadl_epi64((const void *)(data + 2 + 8 * j));
            __m256 v = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
            _mm256_storeu_ps(ret + 8 * j, _mm256_mul_ps(v, d));
        }
    }
}

/* min(limit, trunc((x - shift) * id + bias)) of 32 values as bytes. */
static __m256i codes_of(const struct block *b, float shift, float id, float bias, int limit) {
    const __m256 s = _mm256_set1_ps(shift), factor = _mm256_set1_ps(id);
    const __m256 add = _mm256_set1_ps(bias);
    const __m256i most = _mm256_set1_epi32(limit);
    __m256i q[PARTS];
    for (int j = 0; j < PARTS; j++) {
        __m256 v = _mm256_add_ps(_mm256_mul_ps(_mm256_sub_ps(b->v[j], s), factor), add);
        __m256i code = _mm256_cvttps_epi32(v);
        q[j] = _mm256_min_epi32(code, most);
    }
    return pack_bytes(q);
}

static void store_nibbles(__m256i codes, uint8_t *ret) {
    codes = _mm256_and_si256(codes, _mm256_set1_epi8(15));
    __m128i low = _mm256_castsi256_si128(codes), high = _mm256_extracti128_si256(codes, 1);
    _mm_storeu_si128((void *)ret, _mm_or_si128(low, _mm_slli_epi16(high, 4)));
}

static void store_high_bits(__m256i codes, uint8_t *ret) {
    store_u32(ret, (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(codes, 3)));
}

static __m256i load_nibbles(const uint8_t *data) {
    __m128i v = _mm_loadu_si128((const void *)data);
    __m256i both = _mm256_set_m128i(_mm_srli_epi16(v, 4), v);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* 16 in byte i where bit i of the four bytes is set. */
static __m256i load_high_bits(const uint8_t *data) {
    const __m256i spread = _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101,
                                              0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)load_u32(data)), spread);
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

static void encode_q4_0_avx2(const float *x, size_t blocks, uint8_t *ret) {
    for (; blocks--; x += BLOCK, ret += 18) {
        struct block b = load_block(x);
        float d = extreme(&b, x) / -8;
        store_u16(ret, half_to_f16(d));
        store_nibbles(codes_of(&b, 0, reciprocal(d), 8.5f, 15), ret + 2);
    }
}

static void encode_q5_0_avx2(const float *x, size_t blocks, uint8_t *ret) {
    for (; blocks--; x += BLOCK, ret += 22) {
        struct block b = load_block(x);
        float d = extreme(&b, x) / -16;
        __m256i codes = codes_of(&b, 0, reciprocal(d), 16.5f, 31);
        store_u16(ret, half_to_f16(d));
        store_high_bits(codes, ret + 2);
        store_nibbles(codes, ret + 6);
    }
}

static void encode_q4_1_avx2(const float *x, size_t blocks, uint8_t *ret) {
    for (; blocks--; x += BLOCK, ret += 20) {
        struct block b = load_block(x);
        float min, max;
        bounds(&b, x, &min, &max);
        float d = (max - min) / 15;
        store_u16(ret, half_to_f16(d));
        store_u16(ret + 2, half_to_f16(min));
        store_nibbles(codes_of(&b, min, reciprocal(d), 0.5f, 15), ret + 4);
    }
}

static void encode_q5_1_avx2(const float *x, size_t blocks, uint8_t *ret) {
    for (; blocks--; x += BLOCK, ret += 24) {
        struct block b = load_block(x);
        float min, max;
        bounds(&b, x, &min, &max);
        float d = (max - min) / 31;
        __m256i codes = codes_of(&b, min, reciprocal(d), 0.5f, INT8_MAX);
        store_u16(ret, half_to_f16(d));
        store_u16(ret + 2, half_to_f16(min));
        store_high_bits(codes, ret + 4);
        store_nibbles(codes, ret + 8);
    }
}

/* ret = (signed byte) * d + m for 32 codes. Without m nothing is added, since -0 + 0 is +0. */
static void scale_codes(__m256i codes, float d, const float *m, float *ret) {
    const __m256 factor = _mm256_set1_ps(d);
    __m128i half[2] = {_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1)};
    for (int j = 0; j < PARTS; j++) {
        __m128i eight = j % 2 ? _mm_srli_si128(half[j / 2], 8) : half[j / 2];
        __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)), factor);
        if (m)
            v = _mm256_add_ps(v, _mm256_set1_ps(*m));
        _mm256_storeu_ps(ret + 8 * j, v);
    }
}

static void decode_q4_0_avx2(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 18, ret += BLOCK) {
        __m256i codes = _mm256_sub_epi8(load_nibbles(data + 2), _mm256_set1_epi8(8));
        scale_codes(codes, half_from_f16(load_u16(data)), NULL, ret);
    }
}

static void decode_q5_0_avx2(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 22, ret += BLOCK) {
        __m256i codes = _mm256_or_si256(load_nibbles(data + 6), load_high_bits(data + 2));
        codes = _mm256_sub_epi8(codes, _mm256_set1_epi8(16));
        scale_codes(codes, half_from_f16(load_u16(data)), NULL, ret);
    }
}

static void decode_q4_1_avx2(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 20, ret += BLOCK) {
        float m = half_from_f16(load_u16(data + 2));
        scale_codes(load_nibbles(data + 4), half_from_f16(load_u16(data)), &m, ret);
    }
}

static void decode_q5_1_avx2(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 24, ret += BLOCK) {
        __m256i codes = _mm256_or_si256(load_nibbles(data + 8), load_high_bits(data + 4));
        float m = half_from_f16(load_u16(data + 2));
        scale_codes(codes, half_from_f16(load_u16(data)), &m, ret);
    }
}

void legacy_fill_avx2(struct kernels *k) {
    k->encode_q8_0 = encode_q8_0_avx2;
    k->encode_q4_0 = encode_q4_0_avx2;
    k->encode_q4_1 = encode_q4_1_avx2;
    k->encode_q5_0 = encode_q5_0_avx2;
    k->encode_q5_1 = encode_q5_1_avx2;
    k->decode_q8_0 = decode_q8_0_avx2;
    k->decode_q4_0 = decode_q4_0_avx2;
    k->decode_q4_1 = decode_q4_1_avx2;
    k->decode_q5_0 = decode_q5_0_avx2;
    k->decode_q5_1 = decode_q5_1_avx2;
}
