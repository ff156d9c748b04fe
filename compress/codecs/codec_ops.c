/* What the families share. See codec_ops.h. */
#include "compress/codecs/codec_ops.h"

#include "compress/base/bytes.h"
#include "compress/base/half.h"

#include <assert.h>
#include <float.h>
#include <math.h>

struct float_range codec_scan(const float *x, size_t n, uint64_t at, struct encode_stats *stats) {
    struct float_range r;
    kernels_get()->range_f32(x, n, &r);
    if (r.non_finite && stats->non_finite == 0)
        stats->first_non_finite = at + r.first_non_finite;
    stats->non_finite += r.non_finite;
    return r;
}

const float *codec_finite(const float *x, size_t n, int clean, float scratch[CODEC_PIECE]) {
    assert(n <= CODEC_PIECE);
    if (clean)
        return x;
    for (size_t i = 0; i < n; i++)
        scratch[i] = isfinite(x[i]) ? x[i] : 0;
    return scratch;
}

void codec_count_overflow(struct encode_stats *stats, uint64_t at, uint64_t count) {
    if (count && stats->overflow == 0)
        stats->first_overflow = at;
    stats->overflow += count;
}

/* Smallest normal and largest finite number, epsilon. */
static const struct limits {
    double normal, largest, epsilon;
} f32_limits = {0x1p-126, FLT_MAX, 0x1p-23}, f16_limits = {0x1p-14, 65504, 0x1p-10},
  bf16_limits = {0x1p-126, 0x1.fep127, 0x1p-7};

static const struct limits *limits_of(enum dtype dtype) {
    return dtype == DTYPE_F16 ? &f16_limits : dtype == DTYPE_BF16 ? &bf16_limits : &f32_limits;
}

/* In the narrow type and back, moved up by `step` representable numbers. */
static float through(enum dtype dtype, float v, unsigned step) {
    if (dtype == DTYPE_F16)
        return half_from_f16((uint16_t)(half_to_f16(v) + step));
    if (dtype == DTYPE_BF16)
        return half_from_bf16((uint16_t)(half_to_bf16(v) + step));
    return half_float(half_bits(v) + step);
}

float codec_scale_as_stored(enum dtype dtype, double exact) {
    const struct limits *limits = limits_of(dtype);
    if (exact == 0)
        return (float)limits->epsilon;
    if (exact >= limits->largest)
        return (float)limits->largest;
    float stored = through(dtype, (float)exact, 0);
    if (stored < exact && exact < limits->normal)
        stored = through(dtype, (float)exact, 1);
    return stored > limits->largest ? (float)limits->largest : stored;
}

void codec_scale_store(enum dtype dtype, void *part, uint64_t i, float scale) {
    uint8_t *at = part;
    if (dtype == DTYPE_F32)
        store_u32(at + 4 * i, half_bits(scale));
    else
        store_u16(at + 2 * i, dtype == DTYPE_F16 ? half_to_f16(scale) : half_to_bf16(scale));
}

float codec_scale_load(enum dtype dtype, const void *part, uint64_t i) {
    const uint8_t *at = part;
    if (dtype == DTYPE_F32)
        return half_float(load_u32(at + 4 * i));
    return dtype == DTYPE_F16 ? half_from_f16(load_u16(at + 2 * i))
                              : half_from_bf16(load_u16(at + 2 * i));
}
