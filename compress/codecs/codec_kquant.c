/*
 * GGUF's super-blocks of 256 values, read only:
 *
 *   q2_k   84 bytes  16 x (scale:4 min:4), 64 x 2-bit codes x 4, d, dmin
 *   q3_k  110 bytes  32 high-bit masks, 64 x 2-bit codes x 4, 12 bytes of 6-bit scales, d
 *   q4_k  144 bytes  d, dmin, 12 bytes of 6-bit scales and mins, 128 bytes of nibbles
 *   q5_k  176 bytes  d, dmin, 12 bytes as above, 32 high-bit masks, 128 bytes of nibbles
 *   q6_k  210 bytes  128 bytes of nibbles, 64 x 2 high bits x 4, 16 signed scales, d
 *
 * Each format unpacks to the same thing – 256 small codes, and for every 16 of them a factor and a
 * shift, value = factor * code - shift – so one loop finishes all five, in ggml's order of
 * operations.
 */
#include "compress/base/bytes.h"
#include "compress/base/half.h"
#include "compress/codecs/codec_ops.h"

#include <string.h>

enum { SUPER = 256, SUBS = 16, SUB = SUPER / SUBS };

struct super {
    int8_t code[SUPER];
    float factor[SUBS], shift[SUBS];
};

static float half_at(const uint8_t *at) {
    return half_from_f16(load_u16(at));
}

/* Two-bit planes: 32 bytes hold four runs of 32 values, the first run in the lowest bits. */
static unsigned two_bits(const uint8_t *planes, int i) {
    return planes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

/* Nibbles of q4_k and q5_k: 32 bytes hold two runs of 32 values, the first run low. */
static unsigned nibble(const uint8_t *nibbles, int i) {
    return nibbles[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15;
}

/* One bit a value: mask byte i mod 32 holds values i, i + 32, i + 64 ..., lowest bit first. */
static unsigned high_bit(const uint8_t *masks, int i) {
    return masks[i % 32] >> (i / 32) & 1;
}

static void unpack_q2_k(const uint8_t *b, struct super *ret) {
    float d = half_at(b + 80), dmin = half_at(b + 82);
    for (int s = 0; s < SUBS; s++) {
        ret->factor[s] = d * (float)(b[s] & 15);
        ret->shift[s] = dmin * (float)(b[s] >> 4);
    }
    for (int i = 0; i < SUPER; i++)
        ret->code[i] = (int8_t)two_bits(b + 16, i);
}

static void unpack_q3_k(const uint8_t *b, struct super *ret) {
    const uint8_t *masks = b, *scales = b + 96;
    float d = half_at(b + 108);
    for (int s = 0; s < SUBS; s++) {
        int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
        int high = scales[8 + s % 4] >> (s / 4 * 2) & 3;
        ret->factor[s] = d * (float)((low | high << 4) - 32);
        ret->shift[s] = 0;
    }
    for (int i = 0; i < SUPER; i++)
        ret->code[i] = (int8_t)(two_bits(b + 32, i) - (high_bit(masks, i) ? 0 : 4));
}

/* Eight 6-bit scales and eight 6-bit mins in 12 bytes: the first four of each lie whole in bytes
 * 0-3 and 4-7, whose two upper bits complete the nibbles of bytes 8-11. */
static void unpack_six_bits(const uint8_t *b, float d, float dmin, struct super *ret) {
    for (int k = 0; k < 8; k++) {
        int scale = k < 4 ? b[k] & 63 : (b[k + 4] & 15) | (b[k - 4] >> 6) << 4;
        int min = k < 4 ? b[k + 4] & 63 : b[k + 4] >> 4 | (b[k] >> 6) << 4;
        ret->factor[2 * k] = ret->factor[2 * k + 1] = d * (float)scale;
        ret->shift[2 * k] = ret->shift[2 * k + 1] = dmin * (float)min;
    }
}

static void unpack_q4_k(const uint8_t *b, struct super *ret) {
    unpack_six_bits(b + 4, half_at(b), half_at(b + 2), ret);
    for (int i = 0; i < SUPER; i++)
        ret->code[i] = (int8_t)nibble(b + 16, i);
}

static void unpack_q5_k(const uint8_t *b, struct super *ret) {
    unpack_six_bits(b + 4, half_at(b), half_at(b + 2), ret);
    for (int i = 0; i < SUPER; i++)
        ret->code[i] = (int8_t)(nibble(b + 48, i) | high_bit(b + 16, i) << 4);
}

static void unpack_q6_k(const uint8_t *b, struct super *ret) {
    const uint8_t *planes = b + 128, *scales = b + 192;
    float d = half_at(b + 208);
    for (int s = 0; s < SUBS; s++) {
        ret->factor[s] = d * (float)(int8_t)scales[s];
        ret->shift[s] = 0;
    }
    for (int i = 0; i < SUPER; i++) {
        /* 64 bytes of nibbles hold two runs of 64 values, the first run low. */
        unsigned low = b[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15;
        ret->code[i] = (int8_t)((int)(low | two_bits(planes, i) << 4) - 32);
    }
}

static void decode(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                   const void *data, const void *scale, const void *zero_point, float *ret) {
    static void (*const unpack[])(const uint8_t *, struct super *) = {
        unpack_q2_k, unpack_q3_k, unpack_q4_k, unpack_q5_k, unpack_q6_k};
    const uint8_t *block = data;
    struct super super;
    for (uint64_t left = rows * cols / SUPER; left--; block += e->codec->block_bytes) {
        unpack[e->codec->gguf_type - 10](block, &super);
        for (int s = 0; s < SUBS; s++)
            for (int i = 0; i < SUB; i++)
                *ret++ = super.factor[s] * (float)super.code[s * SUB + i] - super.shift[s];
    }
}

const struct codec_ops codec_kquant_ops = {NULL, decode};
