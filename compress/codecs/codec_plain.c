/* One number an element: f32, f16, bf16 both ways, every other element type to f32. */
#include "compress/base/bytes.h"
#include "compress/base/half.h"
#include "compress/codecs/codec_ops.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* From here on a finite f32 rounds to infinity: half a step above the largest number. */
static float overflow_from(enum dtype dtype) {
    return dtype == DTYPE_F16 ? 65520.0f : dtype == DTYPE_BF16 ? 0x1.ffp127f : INFINITY;
}

static void encode_piece(enum dtype dtype, const float *x, size_t n, void *ret) {
    if (dtype == DTYPE_F32)
        memcpy(ret, x, 4 * n);
    else if (dtype == DTYPE_F16)
        kernels_get()->f16_from_f32(x, n, ret);
    else
        kernels_get()->bf16_from_f32(x, n, ret);
}

static const float *clamp_piece(enum dtype dtype, const float *x, size_t n, float *ret) {
    float largest = dtype == DTYPE_F16 ? 65504.0f : 0x1.fep127f;
    for (size_t i = 0; i < n; i++)
        ret[i] = x[i] > largest ? largest : x[i] < -largest ? -largest : x[i];
    return ret;
}

static void encode(const struct encoding *e, const struct encode_options *options, uint64_t row0,
                   uint64_t rows, uint64_t cols, const float *x, const struct value_range *ranges,
                   void *data, void *scale, void *zero_point, struct encode_stats *stats) {
    float scratch[CODEC_PIECE], clamped[CODEC_PIECE];
    float limit = overflow_from(e->dtype);
    uint64_t count = rows * cols;
    unsigned bytes = dtype_row(e->dtype)->bytes;
    for (uint64_t at = 0; at < count; at += CODEC_PIECE) {
        size_t n = count - at < CODEC_PIECE ? (size_t)(count - at) : CODEC_PIECE;
        struct float_range r = codec_scan(x + at, n, at, stats);
        const float *in = codec_finite(x + at, n, r.non_finite == 0, scratch);
        if (r.max >= limit || r.min <= -limit) {
            for (size_t i = 0; i < n; i++)
                codec_count_overflow(stats, at + i, fabsf(in[i]) >= limit);
            if (options->clamp)
                in = clamp_piece(e->dtype, in, n, clamped);
        }
        encode_piece(e->dtype, in, n, (uint8_t *)data + at * bytes);
    }
}

static float load_one(enum dtype dtype, const uint8_t *at) {
    switch (dtype) {
    case DTYPE_F64: {
        uint64_t bits = load_u64(at);
        double v;
        memcpy(&v, &bits, sizeof v);
        return (float)v;
    }
    case DTYPE_F8_E4M3:
        return half_from_e4m3(*at);
    case DTYPE_F8_E5M2:
        return half_from_e5m2(*at);
    case DTYPE_I64:
        return (float)(int64_t)load_u64(at);
    case DTYPE_U64:
        return (float)load_u64(at);
    case DTYPE_I32:
        return (float)(int32_t)load_u32(at);
    case DTYPE_U32:
        return (float)load_u32(at);
    case DTYPE_I16:
        return (float)(int16_t)load_u16(at);
    case DTYPE_U16:
        return (float)load_u16(at);
    case DTYPE_I8:
        return (float)(int8_t)*at;
    case DTYPE_U8:
        return (float)*at;
    case DTYPE_F8_E4M3FNUZ:
        return (float)half_from_fnuz(*at, 3);
    case DTYPE_F8_E5M2FNUZ:
        return (float)half_from_fnuz(*at, 2);
    case DTYPE_BOOL:
        return *at != 0;
    case DTYPE_NONE:
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16:
    case DTYPE_C64:
    case DTYPE_C128:
    case DTYPE_I4:
    case DTYPE_U4:
    case DTYPE_STRING:
    case DTYPE_GGUF_BLOCK:
    case DTYPE_COUNT:
        break;
    }
    assert(!"an element type that decodes to one f32");
    return 0;
}

static void decode(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                   const void *data, const void *scale, const void *zero_point, float *ret) {
    size_t count = (size_t)(rows * cols);
    unsigned bytes = dtype_row(e->dtype)->bytes;
    if (e->dtype == DTYPE_F32)
        memcpy(ret, data, 4 * count);
    else if (e->dtype == DTYPE_F16)
        kernels_get()->f32_from_f16(data, count, ret);
    else if (e->dtype == DTYPE_BF16)
        kernels_get()->f32_from_bf16(data, count, ret);
    else
        for (size_t i = 0; i < count; i++)
            ret[i] = load_one(e->dtype, (const uint8_t *)data + i * bytes);
}

const struct codec_ops codec_plain_ops = {encode, decode};
