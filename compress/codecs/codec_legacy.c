/* GGUF's blocks of 32 through the kernels; what a block looks like stands in
 * kernels/legacy_ref.c. */
#include "compress/codecs/codec_ops.h"

#include <math.h>

enum { BLOCK = 32 };

static kernel_encode_block *encoder(const struct codec *codec) {
    const struct kernels *k = kernels_get();
    switch (codec->gguf_type) {
    case 2:
        return k->encode_q4_0;
    case 3:
        return k->encode_q4_1;
    case 6:
        return k->encode_q5_0;
    case 7:
        return k->encode_q5_1;
    default:
        return k->encode_q8_0;
    }
}

static kernel_decode_block *decoder(const struct codec *codec) {
    const struct kernels *k = kernels_get();
    switch (codec->gguf_type) {
    case 2:
        return k->decode_q4_0;
    case 3:
        return k->decode_q4_1;
    case 6:
        return k->decode_q5_0;
    case 7:
        return k->decode_q5_1;
    default:
        return k->decode_q8_0;
    }
}

/* Would the block's d or m, stored as f16, be infinite? From 65520 on a number rounds there. */
static int block_overflows(const struct codec *codec, float min, float max) {
    double amax = -(double)min > max ? -(double)min : max;
    switch (codec->gguf_type) {
    case 2:
        return amax / 8 >= 65520;
    case 6:
        return amax / 16 >= 65520;
    case 3:
        return fabsf(min) >= 65520 || ((double)max - min) / 15 >= 65520;
    case 7:
        return fabsf(min) >= 65520 || ((double)max - min) / 31 >= 65520;
    default:
        return amax / 127 >= 65520;
    }
}

static void count_overflow(const struct codec *codec, const float *x, size_t n, uint64_t at,
                           struct encode_stats *stats) {
    for (size_t b = 0; b < n; b += BLOCK) {
        struct float_range span;
        kernels_get()->range_f32(x + b, BLOCK, &span);
        if (block_overflows(codec, span.min, span.max))
            codec_count_overflow(stats, at + b, BLOCK);
    }
}

static void encode(const struct encoding *e, const struct encode_options *options, uint64_t row0,
                   uint64_t rows, uint64_t cols, const float *x, const struct value_range *ranges,
                   void *data, void *scale, void *zero_point, struct encode_stats *stats) {
    kernel_encode_block *encode_blocks = encoder(e->codec);
    float scratch[CODEC_PIECE];
    uint8_t *out = data;
    /* Rows are whole blocks, so their ends do not matter. */
    for (uint64_t at = 0, count = rows * cols; at < count; at += CODEC_PIECE) {
        size_t n = count - at < CODEC_PIECE ? (size_t)(count - at) : CODEC_PIECE;
        struct float_range span = codec_scan(x + at, n, at, stats);
        const float *in = codec_finite(x + at, n, span.non_finite == 0, scratch);
        if (span.max >= 65520 || span.min <= -65520)
            count_overflow(e->codec, in, n, at, stats);
        encode_blocks(in, n / BLOCK, out);
        out += n / BLOCK * e->codec->block_bytes;
    }
}

static void decode(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                   const void *data, const void *scale, const void *zero_point, float *ret) {
    decoder(e->codec)(data, (size_t)(rows * cols / BLOCK), ret);
}

const struct codec_ops codec_legacy_ops = {encode, decode};
