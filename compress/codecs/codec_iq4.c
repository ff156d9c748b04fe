/*
 * GGUF's non-linear 4-bit formats, read only: a nibble picks one of 16 levels.
 *
 *   iq4_nl   18 bytes, 32 values    d, 16 bytes of nibbles
 *   iq4_xs  136 bytes, 256 values   d, 8 x 2 high bits of scales, 8 x 4 low bits, 8 x 16 bytes of
 *                                   nibbles; a run of 32 has its own 6-bit scale, less 32
 *
 * Byte j of a run of nibbles holds value j low and value j + 16 high.
 */
#include "compress/base/bytes.h"
#include "compress/base/half.h"
#include "compress/codecs/codec_ops.h"

enum { RUN = 32 };

/* ggml's levels: what a Gaussian's 16 clusters come to. */
static const int8_t levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

static void decode_run(const uint8_t *nibbles, float factor, float *ret) {
    for (int j = 0; j < RUN / 2; j++) {
        ret[j] = factor * (float)levels[nibbles[j] & 15];
        ret[j + RUN / 2] = factor * (float)levels[nibbles[j] >> 4];
    }
}

static void decode_iq4_xs(const uint8_t *block, float *ret) {
    float d = half_from_f16(load_u16(block));
    unsigned high = load_u16(block + 2);
    for (int k = 0; k < 8; k++) {
        unsigned low = block[4 + k / 2] >> (k % 2 * 4) & 15;
        int scale = (int)(low | (high >> (2 * k) & 3) << 4) - 32;
        decode_run(block + 8 + 16 * k, d * (float)scale, ret + RUN * k);
    }
}

static void decode(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                   const void *data, const void *scale, const void *zero_point, float *ret) {
    const struct codec *codec = e->codec;
    const uint8_t *block = data;
    for (uint64_t left = rows * cols / codec->block_len; left--;) {
        if (codec->block_len == RUN)
            decode_run(block + 2, half_from_f16(load_u16(block)), ret);
        else
            decode_iq4_xs(block, ret);
        block += codec->block_bytes;
        ret += codec->block_len;
    }
}

const struct codec_ops codec_iq4_ops = {NULL, decode};
