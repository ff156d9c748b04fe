/* The codec table, what can be said of an encoding without data, and the checked front door to the
 * families. See codec.h. */
#include "compress/codecs/codec.h"

#include "compress/base/bytes.h"
#include "compress/base/limits.h"
#include "compress/codecs/codec_ops.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
/* How the ceilings follow, with u = 2^-8 (bf16 scales, the loosest) and v = 2^-11 (f16):
 *   f16, bf16  half a step: v, u
 *   int8/int4  symmetric: the largest value meets the top code, 1 - (1-u) hi / (levels/2);
 *              asymmetric: rounding of code and zero point, and the ends cut by u: 2(1+u)/levels + 2u
 *   fp8_e4m3   half a step at the top, 16/448 (1+u)
 *   q8_0       (1/2 + 127 v) / 127;  q4_0, q5_0: one step at the end opposite to the extreme, + v
 *   q4_1, q5_1 half a step of a range of 2, 2v for d and v for m */
static const struct codec table[] = {
    /* name, doc, family, bits, block_len, block_bytes, ggml type, file type, can encode, quantized,
     * bits per weight, ceiling, ops */
    {"f32", "32-bit float", CODEC_PLAIN, 32, 1, 4, 0, 0, true, false, 32, 0, &codec_plain_ops},
    {"f16", "16-bit float (IEEE half)", CODEC_PLAIN, 16, 1, 2, 1, 1, true, false, 16, 0x1p-11,
     &codec_plain_ops},
    {"bf16", "16-bit float with f32's range", CODEC_PLAIN, 16, 1, 2, 30, 32, true, false, 16,
     0x1p-8, &codec_plain_ops},
    {"stored", "any element type, carried through as it is", CODEC_PLAIN, 0, 1, 0, -1, -1, false,
     false, 0, 0, &codec_plain_ops},
    {"fp8_e4m3", "8-bit float E4M3 with a scale per channel or tensor", CODEC_SCALED, 8, 1, 1, -1,
     -1, true, true, 8, 0.036, &codec_fp8_ops},
    {"int8", "8-bit integers with a scale per tensor, channel or group", CODEC_AFFINE, 8, 1, 1, -1,
     -1, true, true, 8, 0.016, &codec_affine_ops},
    {"int4", "4-bit integers with a scale per tensor, channel or group", CODEC_AFFINE, 4, 1, 1, -1,
     -1, true, true, 4, 0.142, &codec_affine_ops},
    {"q8_0", "GGUF 8-bit, blocks of 32 with a scale", CODEC_BLOCK, 8, 32, 34, 8, 7, true, true, 8.5,
     0.00443, &codec_legacy_ops},
    {"q5_1", "GGUF 5-bit, blocks of 32 with scale and minimum", CODEC_BLOCK, 5, 32, 24, 7, 9, true,
     true, 6, 0.0339, &codec_legacy_ops},
    {"q5_0", "GGUF 5-bit, blocks of 32 with a scale", CODEC_BLOCK, 5, 32, 22, 6, 8, true, true, 5.5,
     0.0631, &codec_legacy_ops},
    {"q4_1", "GGUF 4-bit, blocks of 32 with scale and minimum", CODEC_BLOCK, 4, 32, 20, 3, 3, true,
     true, 5, 0.0683, &codec_legacy_ops},
    {"q4_0", "GGUF 4-bit, blocks of 32 with a scale", CODEC_BLOCK, 4, 32, 18, 2, 2, true, true, 4.5,
     0.1256, &codec_legacy_ops},
    {"q6_k", "GGUF 6-bit super-blocks of 256 (read only)", CODEC_BLOCK, 6, 256, 210, 14, 18, false,
     true, 6.5625, 0, &codec_kquant_ops},
    {"q5_k", "GGUF 5-bit super-blocks of 256 (read only)", CODEC_BLOCK, 5, 256, 176, 13, 16, false,
     true, 5.5, 0, &codec_kquant_ops},
    {"q4_k", "GGUF 4-bit super-blocks of 256 (read only)", CODEC_BLOCK, 4, 256, 144, 12, 14, false,
     true, 4.5, 0, &codec_kquant_ops},
    {"q3_k", "GGUF 3-bit super-blocks of 256 (read only)", CODEC_BLOCK, 3, 256, 110, 11, 11, false,
     true, 3.4375, 0, &codec_kquant_ops},
    {"q2_k", "GGUF 2-bit super-blocks of 256 (read only)", CODEC_BLOCK, 2, 256, 84, 10, 10, false,
     true, 2.625, 0, &codec_kquant_ops},
    {"iq4_nl", "GGUF 4-bit non-linear, blocks of 32 (read only)", CODEC_BLOCK, 4, 32, 18, 20, 25,
     false, true, 4.5, 0, &codec_iq4_ops},
    {"iq4_xs", "GGUF 4-bit non-linear super-blocks of 256 (read only)", CODEC_BLOCK, 4, 256, 136,
     23, 30, false, true, 4.25, 0, &codec_iq4_ops},
    /* Carried: their geometry is known, their arithmetic is not. */
    {"iq3_s", "GGUF 3-bit codebook, blocks of 256 (carried)", CODEC_BLOCK, 3, 256, 110, 21, 26,
     false, true, 3.4375, 0, NULL},
    {"iq3_xxs", "GGUF 3-bit codebook, blocks of 256 (carried)", CODEC_BLOCK, 3, 256, 98, 18, 23,
     false, true, 3.0625, 0, NULL},
    {"iq2_s", "GGUF 2-bit codebook, blocks of 256 (carried)", CODEC_BLOCK, 2, 256, 82, 22, 28,
     false, true, 2.5625, 0, NULL},
    {"iq2_xs", "GGUF 2-bit codebook, blocks of 256 (carried)", CODEC_BLOCK, 2, 256, 74, 17, 20,
     false, true, 2.3125, 0, NULL},
    {"iq2_xxs", "GGUF 2-bit codebook, blocks of 256 (carried)", CODEC_BLOCK, 2, 256, 66, 16, 19,
     false, true, 2.0625, 0, NULL},
    {"iq1_m", "GGUF 1-bit codebook, blocks of 256 (carried)", CODEC_BLOCK, 1, 256, 56, 29, 31,
     false, true, 1.75, 0, NULL},
    {"iq1_s", "GGUF 1-bit codebook, blocks of 256 (carried)", CODEC_BLOCK, 1, 256, 50, 19, 24,
     false, true, 1.5625, 0, NULL},
    {"tq2_0", "GGUF ternary, 2 bits each, blocks of 256 (carried)", CODEC_BLOCK, 2, 256, 66, 35, 37,
     false, true, 2.0625, 0, NULL},
    {"tq1_0", "GGUF ternary, five to a byte, blocks of 256 (carried)", CODEC_BLOCK, 2, 256, 54, 34, 36,
     false, true, 1.6875, 0, NULL},
    {"mxfp4", "GGUF E2M1 with an E8M0 scale, blocks of 32 (carried)", CODEC_BLOCK, 4, 32, 17, 39, 38,
     false, true, 4.25, 0, NULL},
    {"nvfp4", "GGUF E2M1 with E4M3 scales, blocks of 64 (carried)", CODEC_BLOCK, 4, 64, 36, 40, 39,
     false, true, 4.5, 0, NULL},
    {"q1_0", "GGUF signs with a scale, blocks of 128 (carried)", CODEC_BLOCK, 1, 128, 18, 41, 40,
     false, true, 1.125, 0, NULL},
};
/* clang-format on */

static const size_t table_len = sizeof table / sizeof table[0];

const struct codec *codec_at(size_t i) {
    return i < table_len ? &table[i] : NULL;
}

const struct codec *codec_by_name(const char *name) {
    for (size_t i = 0; i < table_len; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

const struct codec *codec_by_gguf_type(uint32_t type) {
    for (size_t i = 0; i < table_len; i++)
        if (table[i].gguf_type >= 0 && (uint32_t)table[i].gguf_type == type)
            return &table[i];
    return NULL;
}

bool codec_can_decode(const struct codec *codec) {
    return codec->ops != NULL;
}

struct encoding encoding_plain(enum dtype dtype) {
    const char *name = dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16
                           ? dtype_row(dtype)->name
                           : "stored";
    return (struct encoding){.codec = codec_by_name(name), .dtype = dtype};
}

bool encoding_equal(const struct encoding *a, const struct encoding *b) {
    if (a->codec != b->codec)
        return false;
    if (!a->codec || a->codec->family == CODEC_BLOCK)
        return true;
    if (a->codec->family == CODEC_PLAIN)
        return a->dtype == b->dtype;
    if (a->granularity != b->granularity || a->scale_dtype != b->scale_dtype ||
        a->transposed != b->transposed ||
        (a->granularity == GRANULARITY_GROUP && a->group_len != b->group_len))
        return false;
    return a->codec->family == CODEC_SCALED ||
           (a->symmetric == b->symmetric && a->packing == b->packing);
}

const char *encoding_describe(const struct encoding *e, char *text, size_t cap) {
    static const char *const names[] = {"", " tensor", " channel", " group", " column"};
    if (!e->codec) {
        snprintf(text, cap, "none");
        return text;
    }
    switch (e->codec->family) {
    case CODEC_PLAIN:
        snprintf(text, cap, "%s", dtype_row(e->dtype)->name);
        break;
    case CODEC_BLOCK:
        snprintf(text, cap, "%s", e->codec->name);
        break;
    case CODEC_AFFINE:
    case CODEC_SCALED: {
        char group[16] = "";
        if (e->granularity == GRANULARITY_GROUP)
            snprintf(group, sizeof group, " %u", e->group_len);
        const char *symmetry = e->codec->family == CODEC_SCALED ? ""
                               : e->symmetric                   ? " symmetric"
                                                                : " asymmetric";
        snprintf(text, cap, "%s%s%s%s", e->codec->name, names[e->granularity], group, symmetry);
        break;
    }
    }
    return text;
}

static uint64_t groups_per_row(const struct encoding *e, uint64_t cols) {
    if (e->granularity == GRANULARITY_GROUP)
        return (cols + e->group_len - 1) / e->group_len;
    return e->granularity == GRANULARITY_CHANNEL;
}

/* The divisor of cols closest to `wanted`, the larger one of two. */
static uint64_t nearest_divisor(uint64_t cols, uint64_t wanted) {
    if (wanted >= cols)
        return cols;
    for (uint64_t apart = 0; apart < wanted; apart++) {
        if (wanted + apart <= cols && cols % (wanted + apart) == 0)
            return wanted + apart;
        if (cols % (wanted - apart) == 0)
            return wanted - apart;
    }
    return 1;
}

static int check_scale(const struct encoding *e, uint64_t cols, struct err *err) {
    if (e->scale_dtype != DTYPE_F32 && e->scale_dtype != DTYPE_F16 && e->scale_dtype != DTYPE_BF16)
        return err_set(err, ERR_BUG, "%s has no scale type", e->codec->name);
    if (e->granularity == GRANULARITY_TENSOR || e->granularity == GRANULARITY_CHANNEL)
        return 0;
    if (e->granularity == GRANULARITY_COLUMN) {
        if (e->codec->family == CODEC_AFFINE && e->symmetric && e->packing == PACKING_BYTES &&
            e->scale_dtype == DTYPE_F32) /* no scale is at its type's ceiling */
            return 0;
        return err_set(err, ERR_MISFIT,
                       "a scale per column is f32, its codes symmetric and a byte each");
    }
    if (e->granularity != GRANULARITY_GROUP || e->codec->family == CODEC_SCALED)
        return err_set(err, ERR_MISFIT, "%s needs one scale per %s", e->codec->name,
                       e->codec->family == CODEC_SCALED ? "channel or tensor"
                                                        : "tensor, channel or group");
    if (e->group_len == 0 || (cols % e->group_len && !e->padded)) {
        err_set(err, ERR_MISFIT, "rows of %llu do not divide into groups of %u",
                (unsigned long long)cols, e->group_len);
        return err_nearest(err, "%llu", (unsigned long long)nearest_divisor(cols, e->group_len));
    }
    return 0;
}

int encoding_check(const struct encoding *e, uint64_t rows, uint64_t cols, struct err *err) {
    uint64_t elements;
    if (!e->codec)
        return err_set(err, ERR_BUG, "an encoding without a codec");
    if (!mul_u64(rows, cols, &elements) || elements > LIMIT_ELEMENTS || cols > LIMIT_ELEMENTS ||
        rows > LIMIT_ELEMENTS)
        return err_set(err, ERR_TOO_LARGE, "a matrix of %llu x %llu elements",
                       (unsigned long long)rows, (unsigned long long)cols);
    switch (e->codec->family) {
    case CODEC_PLAIN:
        if (dtype_row(e->dtype)->bytes == 0)
            return err_set(err, ERR_BUG, "%s without an element type", e->codec->name);
        return 0;
    case CODEC_AFFINE:
    case CODEC_SCALED:
        return check_scale(e, cols, err);
    case CODEC_BLOCK:
        if (cols % e->codec->block_len == 0)
            return 0;
        err_set(err, ERR_MISFIT, "rows of %llu do not divide into blocks of %u",
                (unsigned long long)cols, e->codec->block_len);
        return err_nearest(err, "%s", cols % 32 == 0 ? "q8_0" : "f16");
    }
    return err_set(err, ERR_BUG, "an unknown codec family");
}

struct encoded_size encoding_size(const struct encoding *e, uint64_t rows, uint64_t cols) {
    struct encoded_size size = {0};
    const struct codec *codec = e->codec;
    unsigned bits = codec->bits;
    switch (codec->family) {
    case CODEC_PLAIN:
        size.row_bytes = dtype_bytes(e->dtype, cols);
        break;
    case CODEC_BLOCK:
        size.row_bytes = cols / codec->block_len * codec->block_bytes;
        break;
    case CODEC_AFFINE:
        if (e->padded)
            cols = groups_per_row(e, cols) * e->group_len;
        size.row_bytes = e->packing == PACKING_WORDS ? (cols * bits + 31) / 32 * 4 : cols;
        break;
    case CODEC_SCALED:
        size.row_bytes = cols;
        break;
    }
    size.data_bytes = rows * size.row_bytes;
    if (codec->family != CODEC_AFFINE && codec->family != CODEC_SCALED)
        return size;
    bool one = e->granularity == GRANULARITY_TENSOR;
    size.groups = groups_per_row(e, cols);
    size.scale_count = one ? 1 : e->granularity == GRANULARITY_COLUMN ? cols : rows * size.groups;
    size.scale_bytes = size.scale_count * dtype_row(e->scale_dtype)->bytes;
    if (codec->family == CODEC_AFFINE && !e->symmetric)
        size.zero_point_bytes = one || e->packing == PACKING_BYTES
                                    ? size.scale_count
                                    : (rows * bits + 31) / 32 * 4 * size.groups;
    return size;
}

double encoding_bits_per_weight(const struct encoding *e, uint64_t rows, uint64_t cols) {
    struct encoded_size size = encoding_size(e, rows, cols);
    double elements = (double)rows * (double)cols;
    double bytes =
        (double)size.data_bytes + (double)size.scale_bytes + (double)size.zero_point_bytes;
    return elements > 0 ? 8 * bytes / elements : 0;
}

double encoding_error_bound(const struct encoding *e, const struct encode_options *options,
                            double amax) {
    const double u = 0x1p-8;
    double ceiling = e->codec->error_ceiling;
    /* What is lost whatever amax: the last bit of a subnormal number or scale. */
    double floor = 0x1p-120;
    switch (e->codec->family) {
    case CODEC_PLAIN:
        floor = e->dtype == DTYPE_F16 ? 0x1p-25 : e->dtype == DTYPE_BF16 ? 0x1p-134 : 0;
        break;
    case CODEC_AFFINE: {
        double levels = (double)((1u << e->codec->bits) - 1);
        ceiling = e->symmetric ? 1 - (levels - 1) / levels * (1 - u) : 2 * (1 + u) / levels + 2 * u;
        /* The search halves a range at most: a value at its end then loses half, or a little more.
         */
        if (options && options->search == SEARCH_MSE && e->granularity != GRANULARITY_TENSOR &&
            e->granularity != GRANULARITY_COLUMN)
            ceiling = 0.5 + ceiling;
        floor = e->scale_dtype == DTYPE_F16 ? 0x1p-24 : floor;
        break;
    }
    case CODEC_SCALED: /* half a step at the top is 16 scales */
        floor = e->scale_dtype == DTYPE_F16 ? 0x1p-20 : floor;
        break;
    case CODEC_BLOCK:
        floor = (double)(1u << (e->codec->bits + 1)) * 0x1p-25;
        break;
    }
    return ceiling * amax + floor;
}

uint32_t codec_row_multiple(const struct encoding *e) {
    bool shared = e->codec->family == CODEC_AFFINE && !e->symmetric &&
                  e->packing == PACKING_WORDS && e->granularity != GRANULARITY_TENSOR;
    return shared ? 32 / e->codec->bits : 1;
}

uint64_t codec_range_count(const struct encoding *e, uint64_t cols) {
    if (e->codec->family != CODEC_AFFINE && e->codec->family != CODEC_SCALED)
        return 0;
    return e->granularity == GRANULARITY_TENSOR   ? 1
           : e->granularity == GRANULARITY_COLUMN ? cols
                                                  : 0;
}

void codec_find_ranges(const struct encoding *e, uint64_t rows, uint64_t cols, const float *x,
                       struct value_range *ranges) {
    if (e->granularity == GRANULARITY_TENSOR) {
        struct value_range found = codec_value_range(x, (size_t)(rows * cols));
        ranges->min = found.min < ranges->min ? found.min : ranges->min;
        ranges->max = found.max > ranges->max ? found.max : ranges->max;
        return;
    }
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++) {
            float value = x[r * cols + c];
            if (!isfinite(value)) /* encoding counts and names it */
                continue;
            ranges[c].min = value < ranges[c].min ? value : ranges[c].min;
            ranges[c].max = value > ranges[c].max ? value : ranges[c].max;
        }
}

void codec_encode(const struct encoding *e, const struct encode_options *options, uint64_t row0,
                  uint64_t rows, uint64_t cols, const float *x, const struct value_range *ranges,
                  void *data, void *scale, void *zero_point, struct encode_stats *stats) {
    static const struct encode_options defaults = {SEARCH_MINMAX};
    struct encode_stats ignored = {0};
    assert(e->codec->can_encode);
    assert(ranges || !codec_range_count(e, cols));
    assert(row0 % codec_row_multiple(e) == 0);
    if (rows && cols)
        e->codec->ops->encode(e, options ? options : &defaults, row0, rows, cols, x, ranges, data,
                              scale, zero_point, stats ? stats : &ignored);
}

void codec_decode(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                  const void *data, const void *scale, const void *zero_point, float *ret) {
    assert(codec_can_decode(e->codec));
    assert(e->codec->family != CODEC_PLAIN || (e->dtype != DTYPE_C64 && e->dtype != DTYPE_NONE));
    if (rows && cols)
        e->codec->ops->decode(e, row0, rows, cols, data, scale, zero_point, ret);
}

struct value_range codec_value_range(const float *x, size_t n) {
    struct float_range r;
    kernels_get()->range_f32(x, n, &r);
    return (struct value_range){r.min, r.max};
}
