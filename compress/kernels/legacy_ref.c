/*
 * GGUF's blocks of 32 values, byte for byte as ggml's reference quantizer writes them:
 *
 *   q8_0  34 bytes  d, 32 signed codes                    x = d q           d = amax / 127
 *   q4_0  18 bytes  d, 16 bytes of nibbles                x = d (q - 8)     d = extreme / -8
 *   q4_1  20 bytes  d, m, 16 bytes of nibbles             x = d q + m       d = (max - min) / 15
 *   q5_0  22 bytes  d, 32 high bits, 16 bytes of nibbles  x = d (q - 16)    d = extreme / -16
 *   q5_1  24 bytes  d, m, 32 high bits, 16 bytes          x = d q + m       d = (max - min) / 31
 *
 * d and m are f16; byte j of the nibbles holds value j low and value j + 16 high; `extreme` is the
 * value of largest magnitude with its sign, the first of equals. Codes come from the unrounded d,
 * by one reciprocal a block; q8_0 rounds half away from zero, the others add half and truncate.
 *
 * Where d is so small that its reciprocal is infinite, C leaves ggml's conversion to an integer
 * undefined; here it gives what x86 gives (the lowest int), whatever the machine.
 */
#include "compress/base/bytes.h"
#include "compress/base/half.h"
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <limits.h>
#include <math.h>

enum { BLOCK = 32 };

static int truncate_to_int(float v) {
    return v >= -0x1p31f && v < 0x1p31f ? (int)v : INT_MIN;
}

static float reciprocal(float d) {
    return d != 0 ? 1.0f / d : 0.0f;
}

/* Value of largest magnitude, the first of equals; 0 for a block of zeros. */
static float extreme(const float *x) {
    float amax = 0, found = 0;
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) > amax) {
            amax = fabsf(x[i]);
            found = x[i];
        }
    return found;
}

/* The first of equals counts: -0 and +0 are equal, and the sign of m is stored. */
static void bounds(const float *x, float *ret_min, float *ret_max) {
    float min = INFINITY, max = -INFINITY;
    for (int i = 0; i < BLOCK; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    *ret_min = min;
    *ret_max = max;
}

static void encode_q8_0_ref(const float *x, size_t blocks, uint8_t *ret) {
    for (; blocks--; x += BLOCK, ret += 34) {
        float d = fabsf(extreme(x)) / 127, id = reciprocal(d);
        store_u16(ret, half_to_f16(d));
        for (int i = 0; i < BLOCK; i++)
            ret[2 + i] = (uint8_t)truncate_to_int(roundf(x[i] * id));
    }
}

static void decode_q8_0_ref(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 34, ret += BLOCK) {
        float d = half_from_f16(load_u16(data));
        for (int i = 0; i < BLOCK; i++)
            ret[i] = (float)(int8_t)data[2 + i] * d;
    }
}

/* Codes min(limit, trunc((x - shift) * id + bias)) of one block. Truncated to a signed byte before
 * the minimum, as ggml does. */
static void codes_of(const float *x, float shift, float id, float bias, int limit,
                     uint8_t codes[BLOCK]) {
    for (int i = 0; i < BLOCK; i++) {
        int q = (int8_t)truncate_to_int((x[i] - shift) * id + bias);
        codes[i] = (uint8_t)(q < limit ? q : limit);
    }
}

static void store_nibbles(const uint8_t codes[BLOCK], uint8_t *ret) {
    for (int j = 0; j < 16; j++)
        ret[j] = (uint8_t)((codes[j] & 15) | (codes[j + 16] & 15) << 4);
}

static void store_high_bits(const uint8_t codes[BLOCK], uint8_t *ret) {
    uint32_t high = 0;
    for (int i = 0; i < BLOCK; i++)
        high |= (uint32_t)(codes[i] >> 4 & 1) << i;
    store_u32(ret, high);
}

/* Block codes from nibbles and high bits (0 when the format has none). */
static void load_codes(const uint8_t *nibbles, uint32_t high, uint8_t ret_codes[BLOCK]) {
    for (int j = 0; j < 16; j++) {
        ret_codes[j] = (uint8_t)((nibbles[j] & 15) | (high >> j & 1) << 4);
        ret_codes[j + 16] = (uint8_t)(nibbles[j] >> 4 | (high >> (j + 16) & 1) << 4);
    }
}

static void encode_q4_0_ref(const float *x, size_t blocks, uint8_t *ret) {
    uint8_t codes[BLOCK];
    for (; blocks--; x += BLOCK, ret += 18) {
        float d = extreme(x) / -8;
        codes_of(x, 0, reciprocal(d), 8.5f, 15, codes);
        store_u16(ret, half_to_f16(d));
        store_nibbles(codes, ret + 2);
    }
}

static void encode_q5_0_ref(const float *x, size_t blocks, uint8_t *ret) {
    uint8_t codes[BLOCK];
    for (; blocks--; x += BLOCK, ret += 22) {
        float d = extreme(x) / -16;
        codes_of(x, 0, reciprocal(d), 16.5f, 31, codes);
        store_u16(ret, half_to_f16(d));
        store_high_bits(codes, ret + 2);
        store_nibbles(codes, ret + 6);
    }
}

static void encode_q4_1_ref(const float *x, size_t blocks, uint8_t *ret) {
    uint8_t codes[BLOCK];
    for (; blocks--; x += BLOCK, ret += 20) {
        float min, max;
        bounds(x, &min, &max);
        float d = (max - min) / 15;
        codes_of(x, min, reciprocal(d), 0.5f, 15, codes);
        store_u16(ret, half_to_f16(d));
        store_u16(ret + 2, half_to_f16(min));
        store_nibbles(codes, ret + 4);
    }
}

static void encode_q5_1_ref(const float *x, size_t blocks, uint8_t *ret) {
    uint8_t codes[BLOCK];
    for (; blocks--; x += BLOCK, ret += 24) {
        float min, max;
        bounds(x, &min, &max);
        float d = (max - min) / 31;
        codes_of(x, min, reciprocal(d), 0.5f, INT8_MAX, codes); /* 5 bits: no limit in ggml */
        store_u16(ret, half_to_f16(d));
        store_u16(ret + 2, half_to_f16(min));
        store_high_bits(codes, ret + 4);
        store_nibbles(codes, ret + 8);
    }
}

/* x = (q - offset) * d */
static void decode_symmetric(const uint8_t *nibbles, uint32_t high, int offset, float d,
                             float *ret) {
    uint8_t codes[BLOCK];
    load_codes(nibbles, high, codes);
    for (int i = 0; i < BLOCK; i++)
        ret[i] = (float)(codes[i] - offset) * d;
}

/* x = q * d + m */
static void decode_shifted(const uint8_t *nibbles, uint32_t high, float d, float m, float *ret) {
    uint8_t codes[BLOCK];
    load_codes(nibbles, high, codes);
    for (int i = 0; i < BLOCK; i++)
        ret[i] = (float)codes[i] * d + m;
}

static void decode_q4_0_ref(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 18, ret += BLOCK)
        decode_symmetric(data + 2, 0, 8, half_from_f16(load_u16(data)), ret);
}

static void decode_q5_0_ref(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 22, ret += BLOCK)
        decode_symmetric(data + 6, load_u32(data + 2), 16, half_from_f16(load_u16(data)), ret);
}

static void decode_q4_1_ref(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 20, ret += BLOCK)
        decode_shifted(data + 4, 0, half_from_f16(load_u16(data)),
                       half_from_f16(load_u16(data + 2)), ret);
}

static void decode_q5_1_ref(const uint8_t *data, size_t blocks, float *ret) {
    for (; blocks--; data += 24, ret += BLOCK)
        decode_shifted(data + 8, load_u32(data + 4), half_from_f16(load_u16(data)),
                       half_from_f16(load_u16(data + 2)), ret);
}

void legacy_fill_ref(struct kernels *k) {
    k->encode_q8_0 = encode_q8_0_ref;
    k->encode_q4_0 = encode_q4_0_ref;
    k->encode_q4_1 = encode_q4_1_ref;
    k->encode_q5_0 = encode_q5_0_ref;
    k->encode_q5_1 = encode_q5_1_ref;
    k->decode_q8_0 = decode_q8_0_ref;
    k->decode_q4_0 = decode_q4_0_ref;
    k->decode_q4_1 = decode_q4_1_ref;
    k->decode_q5_0 = decode_q5_0_ref;
    k->decode_q5_1 = decode_q5_1_ref;
}
