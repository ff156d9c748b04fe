/*
 * Between codec.c and the families: what a codec row's functions are, and how their loops look at
 * input that may hold NaN or infinities.
 *
 * A family's functions get checked arguments; options and stats are never NULL. Threads: reentrant.
 */
#ifndef COMPRESS_CODECS_CODEC_OPS_H
#define COMPRESS_CODECS_CODEC_OPS_H

#include "compress/codecs/codec.h"
#include "compress/kernels/kernels.h"

struct codec_ops {
    void (*encode)(const struct encoding *e, const struct encode_options *options, uint64_t row0,
                   uint64_t rows, uint64_t cols, const float *x, const struct value_range *ranges,
                   void *data, void *scale, void *zero_point, struct encode_stats *stats);
    void (*decode)(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                   const void *data, const void *scale, const void *zero_point, float *ret);
};

extern const struct codec_ops codec_plain_ops;
extern const struct codec_ops codec_affine_ops;
extern const struct codec_ops codec_fp8_ops;
extern const struct codec_ops codec_legacy_ops;
extern const struct codec_ops codec_kquant_ops; /* decode alone, as the next */
extern const struct codec_ops codec_iq4_ops;

/* Loops work on pieces of this many values: scratch fits the stack and level-1 cache, and every
 * block length and packing unit divides it. */
enum { CODEC_PIECE = 1024 };

/* The span of x[0..n), which starts at flat index `at` of the chunk; non-finite values are counted
 * into stats. */
struct float_range codec_scan(const float *x, size_t n, uint64_t at, struct encode_stats *stats);

/* x itself when `clean`, else a copy in scratch with zeros for what is not finite. n <=
 * CODEC_PIECE. */
const float *codec_finite(const float *x, size_t n, int clean, float scratch[CODEC_PIECE]);

/* Counts `count` values whose first has flat index `at`. */
void codec_count_overflow(struct encode_stats *stats, uint64_t at, uint64_t count);

/* Scales. The number nearest to `exact` (> 0) that dtype (F32, F16, BF16) can hold; the next one up
 * where the nearest would lose more than a fraction of its last bit (subnormals), so it is never
 * zero; the largest finite one instead of infinity. 0 (nothing but zeros) gives the dtype's
 * epsilon, as compressed-tensors does. */
float codec_scale_as_stored(enum dtype dtype, double exact);
void codec_scale_store(enum dtype dtype, void *part, uint64_t i, float scale);
float codec_scale_load(enum dtype dtype, const void *part, uint64_t i);

#endif
