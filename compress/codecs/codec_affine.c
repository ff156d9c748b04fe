/*
 * int8 and int4 on a uniform grid, as compressed-tensors reads them: x ~ (q - zero) * scale with
 * signed codes q.
 *
 *   symmetric   scale = amax / ((2^bits - 1) / 2), zero = 0; the largest value rounds to the top
 *               code or is clamped to it
 *   asymmetric  scale = (max - min) / (2^bits - 1) with 0 inside [min, max],
 *               zero = lo - min / scale, rounded
 *
 * A row is cut into groups (one for channel and tensor granularity); each group's scale is rounded
 * to what is stored before any code is computed. Codes go out as bytes, or packed into words: 8-bit
 * words are bytes with the top bit flipped, 4-bit words are nibbles, lowest first. A scale per
 * column is another loop: the grid changes with every value.
 */
#include "compress/base/bytes.h"
#include "compress/codecs/codec_ops.h"
#include "compress/codecs/scale_search.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Where a row's codes go. Nibbles wait until a piece is full, so that groups may have odd lengths.
 */
struct sink {
    uint8_t *out;
    int packs;
    size_t waiting;
    uint8_t codes[CODEC_PIECE];
};

static struct affine grid_of(const struct encoding *e, float min, float max) {
    int half = 1 << (e->codec->bits - 1);
    struct affine grid = {.lo = -half, .hi = half - 1};
    if (e->packing == PACKING_WORDS && e->codec->bits == 8)
        grid.flip = 0x80;
    double levels = grid.hi - grid.lo;
    min = min < 0 ? min : 0;
    max = max > 0 ? max : 0;
    if (e->symmetric) {
        grid.scale =
            codec_scale_as_stored(e->scale_dtype, (-min > max ? -min : max) / (levels / 2));
        return grid;
    }
    grid.scale = codec_scale_as_stored(e->scale_dtype, ((double)max - min) / levels);
    float zero = rintf((float)grid.lo - min / grid.scale);
    grid.zero = zero > (float)grid.hi ? grid.hi : zero < (float)grid.lo ? grid.lo : (int)zero;
    return grid;
}

static void flush(struct sink *sink) {
    kernels_get()->pack_i4(sink->codes, sink->waiting, sink->out);
    sink->out += (sink->waiting + 1) / 2;
    sink->waiting = 0;
}

static void put(struct sink *sink, const float *x, size_t n, const struct affine *grid) {
    if (!sink->packs) {
        kernels_get()->quantize_i8(x, n, grid, sink->out);
        sink->out += n;
        return;
    }
    kernels_get()->quantize_i8(x, n, grid, sink->codes + sink->waiting);
    sink->waiting += n;
    if (sink->waiting == CODEC_PIECE)
        flush(sink);
}

/* Values that lie more than a code outside the grid: only a scale at its type's ceiling leaves
 * such. */
static void count_outside(const float *x, size_t n, const struct affine *grid, uint64_t at,
                          struct encode_stats *stats) {
    for (size_t i = 0; i < n; i++) {
        double q = (double)x[i] / grid->scale + grid->zero;
        codec_count_overflow(stats, at + i, q > grid->hi + 1 || q < grid->lo - 1);
    }
}

/* One group of n values, the first of which has flat index `at`. */
static void encode_group(struct sink *sink, const float *x, uint64_t n, int clean,
                         const struct affine *grid, uint64_t at, struct encode_stats *stats) {
    float scratch[CODEC_PIECE];
    for (uint64_t done = 0; done < n;) {
        size_t room = CODEC_PIECE - sink->waiting;
        size_t m = n - done < room ? (size_t)(n - done) : room;
        const float *in = codec_finite(x + done, m, clean, scratch);
        put(sink, in, m, grid);
        if (grid->scale >= 65504.0f)
            count_outside(in, m, grid, at + done, stats);
        done += m;
    }
}

static void store_zero(const struct encoding *e, void *part, uint64_t row, uint64_t g,
                       uint64_t groups, int zero) {
    uint8_t *at = part;
    if (e->packing == PACKING_BYTES || e->granularity == GRANULARITY_TENSOR) {
        at[row * groups + g] = (uint8_t)zero;
        return;
    }
    unsigned bits = e->codec->bits, per_word = 32 / bits;
    at += (row / per_word * groups + g) * 4;
    uint32_t word = row % per_word ? load_u32(at) : 0;
    uint32_t code = (uint32_t)(zero + (1 << (bits - 1)));
    store_u32(at, word | code << (row % per_word * bits));
}

static int load_zero(const struct encoding *e, const void *part, uint64_t row, uint64_t g,
                     uint64_t groups) {
    const uint8_t *at = part;
    if (e->symmetric)
        return 0;
    if (e->packing == PACKING_BYTES || e->granularity == GRANULARITY_TENSOR)
        return (int8_t)at[row * groups + g];
    unsigned bits = e->codec->bits, per_word = 32 / bits;
    uint32_t word = load_u32(at + (row / per_word * groups + g) * 4);
    return (int)(word >> (row % per_word * bits) & ((1u << bits) - 1)) - (1 << (bits - 1));
}

static uint64_t group_len(const struct encoding *e, uint64_t cols) {
    if (e->granularity == GRANULARITY_GROUP && e->group_len < cols)
        return e->group_len;
    return cols ? cols : 1;
}

/* Columns [c0, c0 + n) of all these rows. Scales are computed again rather than loaded: another
 * thread may be storing them. */
static void encode_column_piece(const struct encoding *e, uint64_t rows, uint64_t cols, uint64_t c0,
                                size_t n, const float *x, const struct value_range *ranges,
                                uint8_t *data) {
    float scales[CODEC_PIECE];
    struct affine grid = {0};
    for (size_t i = 0; i < n; i++) {
        grid = grid_of(e, ranges[c0 + i].min, ranges[c0 + i].max);
        scales[i] = grid.scale;
    }
    float lo = (float)grid.lo, hi = (float)grid.hi;
    for (uint64_t r = 0; r < rows; r++) {
        const float *from = x + r * cols + c0;
        int8_t *to = (int8_t *)data + r * cols + c0;
        for (size_t i = 0; i < n; i++) {
            float q = isfinite(from[i]) ? from[i] / scales[i] : 0;
            q = q > lo ? q : lo;
            to[i] = (int8_t)rintf(q < hi ? q : hi);
        }
    }
}

static void encode_columns(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                           const float *x, const struct value_range *ranges, uint8_t *data,
                           void *scale, struct encode_stats *stats) {
    if (row0 == 0)
        for (uint64_t c = 0; c < cols; c++)
            codec_scale_store(e->scale_dtype, scale, c,
                              grid_of(e, ranges[c].min, ranges[c].max).scale);
    for (uint64_t r = 0; r < rows; r++)
        codec_scan(x + r * cols, (size_t)cols, r * cols, stats);
    for (uint64_t c = 0; c < cols; c += CODEC_PIECE) {
        size_t n = cols - c < CODEC_PIECE ? (size_t)(cols - c) : CODEC_PIECE;
        encode_column_piece(e, rows, cols, c, n, x, ranges, data);
    }
}

static void encode(const struct encoding *e, const struct encode_options *options, uint64_t row0,
                   uint64_t rows, uint64_t cols, const float *x, const struct value_range *ranges,
                   void *data, void *scale, void *zero_point, struct encode_stats *stats) {
    const int one = e->granularity == GRANULARITY_TENSOR;
    const uint64_t whole = group_len(e, cols), groups = (cols + whole - 1) / whole;
    const uint64_t row_bytes = encoding_size(e, 1, cols).row_bytes;
    struct sink sink = {.packs = e->packing == PACKING_WORDS && e->codec->bits == 4};
    if (e->granularity == GRANULARITY_COLUMN) {
        encode_columns(e, row0, rows, cols, x, ranges, data, scale, stats);
        return;
    }
    for (uint64_t r = 0; r < rows; r++) {
        uint8_t *row_data = (uint8_t *)data + r * row_bytes;
        sink.out = row_data;
        for (uint64_t g = 0; g < groups; g++) {
            uint64_t at = r * cols + g * whole, row = one ? 0 : row0 + r;
            uint64_t len = cols - g * whole < whole ? cols - g * whole : whole;
            struct float_range span = codec_scan(x + at, len, at, stats);
            struct affine grid =
                one ? grid_of(e, ranges->min, ranges->max) : grid_of(e, span.min, span.max);
            if (options->search == SEARCH_MSE && !one && span.non_finite == 0)
                scale_search_mse(x + at, len, e->scale_dtype, &grid);
            if (!one || row0 + r == 0) {
                codec_scale_store(e->scale_dtype, scale, row * groups + g, grid.scale);
                if (!e->symmetric)
                    store_zero(e, zero_point, row, g, groups, grid.zero);
            }
            encode_group(&sink, x + at, len, span.non_finite == 0, &grid, at, stats);
        }
        if (sink.packs)
            flush(&sink);
        memset(sink.out, 0, (size_t)(row_data + row_bytes - sink.out));
    }
}

/* Codes [at, at + n) of a row, of one group, as f32. Nibbles are unpacked from even places. */
static void decode_run(const struct affine *grid, int packs, const uint8_t *row_data, uint64_t at,
                       uint64_t n, float *ret) {
    const struct kernels *k = kernels_get();
    if (!packs) {
        k->dequantize_i8(row_data + at, n, grid, ret);
        return;
    }
    uint8_t codes[CODEC_PIECE];
    for (uint64_t done = 0; done < n;) {
        size_t odd = (at + done) % 2;
        size_t m = n - done < CODEC_PIECE - odd ? (size_t)(n - done) : CODEC_PIECE - odd;
        k->unpack_i4(row_data + (at + done) / 2, m + odd, codes);
        k->dequantize_i8(codes + odd, m, grid, ret + done);
        done += m;
    }
}

static void decode(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                   const void *data, const void *scale, const void *zero_point, float *ret) {
    const int one = e->granularity == GRANULARITY_TENSOR;
    const int packs = e->packing == PACKING_WORDS && e->codec->bits == 4;
    const uint64_t whole = group_len(e, cols), groups = (cols + whole - 1) / whole;
    const uint64_t row_bytes = encoding_size(e, 1, cols).row_bytes;
    struct affine grid = grid_of(e, 0, 0); /* for lo, hi and flip */
    if (e->granularity == GRANULARITY_COLUMN) {
        for (uint64_t r = 0; r < rows; r++)
            for (uint64_t c = 0; c < cols; c++)
                ret[r * cols + c] = (float)((const int8_t *)data)[r * cols + c] *
                                    codec_scale_load(e->scale_dtype, scale, c);
        return;
    }
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t g = 0; g < groups; g++) {
            uint64_t row = one ? 0 : row0 + r;
            uint64_t len = cols - g * whole < whole ? cols - g * whole : whole;
            grid.scale = codec_scale_load(e->scale_dtype, scale, row * groups + g);
            grid.zero = load_zero(e, zero_point, row, g, groups);
            decode_run(&grid, packs, (const uint8_t *)data + r * row_bytes, g * whole, len,
                       ret + r * cols + g * whole);
        }
}

const struct codec_ops codec_affine_ops = {encode, decode};
