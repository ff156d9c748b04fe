/* fp8 E4M3 with a scale per channel or tensor: scale = amax / 448, value = code * scale
 * (compressed-tensors' float-quantized). */
#include "compress/codecs/codec_ops.h"

#include <math.h>

static const double top = 448; /* E4M3FN's largest number */

static float larger_magnitude(float min, float max) {
    return -min > max ? -min : max;
}

static void encode_row(const float *x, uint64_t cols, int clean, float scale, uint64_t at,
                       uint8_t *ret, struct encode_stats *stats) {
    float scratch[CODEC_PIECE];
    for (uint64_t c = 0; c < cols; c += CODEC_PIECE) {
        size_t n = cols - c < CODEC_PIECE ? (size_t)(cols - c) : CODEC_PIECE;
        const float *in = codec_finite(x + c, n, clean, scratch);
        kernels_get()->quantize_e4m3(in, n, scale, ret + c);
        /* Only a scale at its own ceiling leaves values this far outside. */
        if (scale >= 65504.0f)
            for (size_t i = 0; i < n; i++)
                codec_count_overflow(stats, at + c + i, fabs((double)in[i] / scale) > top * 1.01);
    }
}

static void encode(const struct encoding *e, const struct encode_options *options, uint64_t row0,
                   uint64_t rows, uint64_t cols, const float *x, const struct value_range *ranges,
                   void *data, void *scale, void *zero_point, struct encode_stats *stats) {
    int one = e->granularity == GRANULARITY_TENSOR;
    for (uint64_t r = 0; r < rows; r++) {
        struct float_range span = codec_scan(x + r * cols, cols, r * cols, stats);
        float amax =
            one ? larger_magnitude(ranges->min, ranges->max) : larger_magnitude(span.min, span.max);
        float s = codec_scale_as_stored(e->scale_dtype, amax / top);
        if (!one || row0 + r == 0)
            codec_scale_store(e->scale_dtype, scale, one ? 0 : row0 + r, s);
        encode_row(x + r * cols, cols, span.non_finite == 0, s, r * cols,
                   (uint8_t *)data + r * cols, stats);
    }
}

static void decode(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                   const void *data, const void *scale, const void *zero_point, float *ret) {
    for (uint64_t r = 0; r < rows; r++) {
        float s = codec_scale_load(e->scale_dtype, scale,
                                   e->granularity == GRANULARITY_TENSOR ? 0 : row0 + r);
        kernels_get()->dequantize_e4m3((const uint8_t *)data + r * cols, cols, s, ret + r * cols);
    }
}

const struct codec_ops codec_fp8_ops = {encode, decode};
