/*
 * The table of number formats: how a matrix of weights becomes bytes and comes back.
 *
 * A weight tensor is seen as a matrix [rows, cols]: cols is the last dimension for block formats
 * and for 2-D tensors; everything before it is folded into rows. A 1-D tensor is one row. An
 * *encoding* names a codec and its parameters. Encoded, a tensor is up to four *parts*:
 *
 *   DATA        the codes, row by row, every row the same number of bytes
 *   SCALE       [rows, groups] numbers of `scale_dtype` (one per tensor, row or group), or [cols]
 *   ZERO_POINT  asymmetric only. PACKING_BYTES: one i8 a scale. PACKING_WORDS: i32 words
 *               [ceil(rows * bits / 32), groups], packed down the rows, lowest bits first,
 *               stored as z + 2^(bits-1); a tensor's only zero point is one i8 in any packing
 *   SHAPE       two i64 (pack-quantized only): a constant, made by the format
 *
 * Block formats (GGUF) and plain floats have DATA alone. Codes are computed from the scale *as
 * stored* (rounded to scale_dtype), never from the unrounded one. Rows are independent, so a matrix
 * is encoded and decoded in chunks of rows by several threads at once; a chunk starts at a multiple
 * of codec_row_multiple() (8 rows where zero points of neighbouring rows share a word, else 1).
 *
 * Every variant gives the same bits on every machine (no fused multiply-add, ties to even where the
 * format's own reference rounds so). GGUF blocks are byte-identical to ggml's reference quantizer.
 *
 * Sources: compressed-tensors (parts, packing, scale conventions), ggml (blocks), Jacob et al. 2018
 * (affine), OCP FP8 1.0.
 */
#ifndef COMPRESS_CODECS_CODEC_H
#define COMPRESS_CODECS_CODEC_H

#include "compress/base/err.h"
#include "compress/tensor/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec_family {
    CODEC_PLAIN,  /* one number per element, no scale: f32, f16, bf16, and integers carried through
                   */
    CODEC_AFFINE, /* int8, int4 with scale and zero point */
    CODEC_SCALED, /* fp8_e4m3 with a scale */
    CODEC_BLOCK,  /* GGUF blocks: scale inside the block */
};

enum granularity {
    GRANULARITY_NONE,
    GRANULARITY_TENSOR,
    GRANULARITY_CHANNEL, /* a scale per row */
    GRANULARITY_GROUP,   /* per group_len columns of a row */
    GRANULARITY_COLUMN,  /* per column: the output channels of a matrix stored [in, out] (ONNX
                            MatMul); affine, symmetric, PACKING_BYTES, f32 scales, without a search
                          */
};

/* How affine codes lie in DATA. */
enum packing {
    PACKING_BYTES, /* one signed byte per code (int-quantized, float-quantized) */
    PACKING_WORDS, /* i32 words, lowest bits first, q + 2^(bits-1) (pack-quantized) */
};

enum scale_search {
    SEARCH_MINMAX,
    /* Smallest squared error over a fixed grid of shrunk ranges, each followed by the least-squares
     * scale of its codes; never worse than SEARCH_MINMAX, which it is for GRANULARITY_TENSOR. */
    SEARCH_MSE,
};

struct codec;

struct encoding {
    const struct codec *codec;
    enum dtype dtype;             /* PLAIN: the element type; else DTYPE_NONE */
    enum granularity granularity; /* AFFINE and SCALED */
    uint32_t group_len;           /* GROUP only: columns per group, divides cols unless padded */
    bool padded;                  /* GROUP: a row's last group may be shorter; its codes have room
                                     for a whole one, zeros at the end */
    bool symmetric;               /* AFFINE */
    enum packing packing;         /* AFFINE */
    enum dtype scale_dtype;       /* AFFINE and SCALED: F32, F16 or BF16 */
    /* The matrix is the 2-D tensor the other way round: its rows are the tensor's last dimension
     * (ONNX MatMulNBits keeps [out, in] of a weight that the graph sees as [in, out]). */
    bool transposed;
    /* The runtime quantizes activations too, per token (w8a8, fp8). A fact for the container's
     * configuration; the bytes do not depend on it and encoding_equal() does not look at it. */
    bool dynamic_activations;
    /* The same with ranges found beforehand, on a calibration set. */
    bool static_activations;
};

struct encode_options {
    enum scale_search search;
    bool clamp; /* PLAIN: finite values beyond the type's largest become it, not infinity */
};

/* Sizes of the parts of one matrix. */
struct encoded_size {
    uint64_t data_bytes;
    uint64_t row_bytes;   /* data_bytes / rows */
    uint64_t scale_count; /* numbers; 0 = no such part */
    uint64_t scale_bytes;
    uint64_t zero_point_bytes;
    uint64_t groups; /* scales per row; 0 when one for the tensor */
};

/* What encoding a chunk found out. Filled by the caller with zeros, added up by codec_encode(). */
struct encode_stats {
    uint64_t
        overflow; /* finite values that became infinite or were clamped to the float's maximum */
    uint64_t first_overflow; /* flat index within the chunk; valid when overflow > 0 */
    uint64_t non_finite;     /* NaN or Inf in the input: encoding is then refused by the caller */
    uint64_t first_non_finite;
};

/* Smallest and largest value: what the pass before encoding finds, of the whole tensor
 * (GRANULARITY_TENSOR) or of every column (GRANULARITY_COLUMN). */
struct value_range {
    float min, max;
};

struct codec {
    const char *name; /* "int8", "q4_0": the recipe's `scheme` */
    const char *doc;  /* one line */
    enum codec_family family;
    unsigned bits;          /* per code */
    unsigned block_len;     /* BLOCK: elements per block, else 1 */
    unsigned block_bytes;   /* BLOCK */
    int gguf_type;          /* ggml_type number, or -1 */
    int gguf_file_type;     /* general.file_type of a pure file, or -1 */
    bool can_encode;        /* decoders alone for the K- and IQ4 blocks */
    bool is_quantized;      /* a source stored so counts as already quantized */
    double bits_per_weight; /* BLOCK and PLAIN: exact; AFFINE and SCALED: codes alone */
    /* Largest |x - decode(encode(x))| as a fraction of the group's largest |x|: what the format's
     * arithmetic cannot exceed in its loosest variant without a scale search. To judge a tensor use
     * encoding_error_bound(), which knows the variant and the scale's own limits. */
    double error_ceiling;
    /* Row functions; see codec_encode and codec_decode, which check arguments and loop. NULL:
     * blocks that are carried through as bytes, neither decoded nor encoded. */
    const struct codec_ops *ops;
};

/* Walk and look up. */
const struct codec *codec_at(size_t i); /* NULL past the end */
const struct codec *codec_by_name(const char *name);
const struct codec *codec_by_gguf_type(uint32_t type);
/* False for block formats that can only be copied (IQ1 .. IQ3, ternary, FP4 ...). */
bool codec_can_decode(const struct codec *codec);

/* The encoding of a plain dtype as a container states it. */
struct encoding encoding_plain(enum dtype dtype);
bool encoding_equal(const struct encoding *a, const struct encoding *b);
/* "int8 channel symmetric", "int4 group 128 asymmetric", "q4_0", "bf16": for reports. Returns text.
 */
const char *encoding_describe(const struct encoding *e, char *text, size_t cap);

/* Does the encoding fit a matrix? ERR_MISFIT with the nearest feasible value (block or group
 * length). */
int encoding_check(const struct encoding *e, uint64_t rows, uint64_t cols, struct err *err);
struct encoded_size encoding_size(const struct encoding *e, uint64_t rows, uint64_t cols);
/* Everything the parts weigh, in bits per element. */
double encoding_bits_per_weight(const struct encoding *e, uint64_t rows, uint64_t cols);
/* Largest |x - decode(encode(x))| that the format's arithmetic allows among values whose largest
 * magnitude is amax, where encoding counted no overflow. Grows with amax, so a row's or a tensor's
 * amax gives a safe, looser bound. options may be NULL (min-max). A verified tensor above it
 * failed. */
double encoding_error_bound(const struct encoding *e, const struct encode_options *options,
                            double amax);
/* Chunks start at a multiple of this many rows. */
uint32_t codec_row_multiple(const struct encoding *e);
/* How many value ranges encoding needs first: 1 for granularity tensor, cols for granularity
 * column, else 0. */
uint64_t codec_range_count(const struct encoding *e, uint64_t cols);
/* Widens them, which start at zeros, by some rows of the matrix: x [rows, cols]. */
void codec_find_ranges(const struct encoding *e, uint64_t rows, uint64_t cols, const float *x,
                       struct value_range *ranges);

/*
 * Encodes rows [row0, row0+rows) of a matrix with `cols` columns. x: [rows, cols] f32. data: where
 * row row0's codes go. scale and zero_point: the *whole tensor's* parts (the function writes the
 * places that belong to these rows; NULL when the part does not exist). ranges: as many as
 * codec_range_count() says, of the whole matrix. Values that are not finite are counted in stats
 * and encoded as zero.
 */
void codec_encode(const struct encoding *e, const struct encode_options *options, uint64_t row0,
                  uint64_t rows, uint64_t cols, const float *x, const struct value_range *ranges,
                  void *data, void *scale, void *zero_point, struct encode_stats *stats);

/* The way back, same conventions: ret [rows, cols] f32. Works for every codec, and for float and
 * integer dtypes under the plain codec. */
void codec_decode(const struct encoding *e, uint64_t row0, uint64_t rows, uint64_t cols,
                  const void *data, const void *scale, const void *zero_point, float *ret);

/* Largest magnitude (and extremes) of n values; NaN is ignored here, encode counts it. */
struct value_range codec_value_range(const float *x, size_t n);

#endif
