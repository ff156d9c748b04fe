/*
 * One struct of function pointers: filled with the portable reference first, then overwritten
 * upward by what the CPU can do and the override mask allows.
 *
 * Names: <op>_<types>_<isa>, for example range_f32_avx2, encode_q4_0_avx512. The reference file of
 * an operation is its specification; every other variant returns the same bits (lanes are
 * independent blocks or a fixed reduction tree of 16 partial sums, no fused multiply-add, no
 * approximate reciprocals, no flush to zero, canonical NaN). Pointers need no alignment; counts may
 * be odd and zero; nothing beyond the count is touched; outputs overlap no input (those of vmath
 * may be one). tests/kernels compares all variants against the reference.
 *
 * Rows of the struct are listed in KERNELS so that the test, the benchmark and the version page can
 * walk them. Threads: kernels_init() once before any other thread starts; then read-only.
 *
 * One file per family and instruction set: convert (small floats), stats (ranges, errors), affine
 * (int8, int4), fp8, legacy (GGUF blocks of 32), taps (weighted sums of shifted rows), filtering
 * (transforms of minimal filtering: one text for all widths, filtering_lane.h), vmath (functions,
 * arithmetic, sums: likewise, vmath_vec.h).
 */
#ifndef COMPRESS_KERNELS_KERNELS_H
#define COMPRESS_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* What n values span. NaN and infinities are counted and otherwise left out; nothing finite: 0, 0.
 * A zero bound is +0. */
struct float_range {
    float min, max;
    uint64_t non_finite, first_non_finite; /* the latter is valid when the former is not 0 */
};

/* How far y (decoded) is from x (source). Pairs with a value that is not finite are counted and
 * left out of the sums. Squares and sums are f64, so nothing underflows; element i goes to partial
 * sum i mod 16, and the 16 are added pairwise at the end. */
struct error_stats {
    double sum_x2, sum_e2; /* of x and of x - y */
    double max_x, max_e;   /* largest magnitudes */
    uint64_t nonzero;      /* of y */
    uint64_t non_finite, first_non_finite;
};

/* An integer grid: code q stands for (q - zero) * scale. Bytes hold q ^ flip (0x80 makes the signed
 * code an unsigned one with offset 128). */
struct affine {
    float scale;
    int32_t zero;   /* within [lo, hi], or 0 */
    int32_t lo, hi; /* within int8 */
    uint8_t flip;
};

typedef void kernel_widen(const void *x, size_t n, float *ret);
typedef void kernel_narrow(const float *x, size_t n, void *ret);
typedef void kernel_range(const float *x, size_t n, struct float_range *ret);
typedef void kernel_error(const float *x, const float *y, size_t n, struct error_stats *ret);
/* q = rint(clamp(x / scale + zero, lo, hi)), ties to even; NaN becomes lo. */
typedef void kernel_quantize(const float *x, size_t n, const struct affine *grid, uint8_t *ret);
typedef void kernel_dequantize(const uint8_t *codes, size_t n, const struct affine *grid,
                               float *ret);
/* Signed codes -8..7, a byte each, to and from nibbles: the first in the low half, stored as q + 8;
 * the unused half of an odd count's last byte is zero. */
typedef void kernel_pack(const uint8_t *codes, size_t n, uint8_t *ret);
/* Least squares against the codes that a scale gives, x finite: with p = rint(clamp(x * inverse,
 * lo, hi)), ret = {sum of x * inverse * p, sum of p * p}, each from 16 f32 partial sums added
 * pairwise in f64. */
typedef void kernel_fit(const float *x, size_t n, float inverse, float lo, float hi, double ret[2]);
/* e4m3(x / scale), saturating; and back, times scale. */
typedef void kernel_to_fp8(const float *x, size_t n, float scale, uint8_t *ret);
typedef void kernel_from_fp8(const uint8_t *codes, size_t n, float scale, float *ret);
/* GGUF blocks of 32 values; x finite. */
typedef void kernel_encode_block(const float *x, size_t blocks, uint8_t *ret);
typedef void kernel_decode_block(const uint8_t *data, size_t blocks, float *ret);
/* Vector mathematics: tensor/vmath.h says what each does. ret and y may be an input. */
typedef void kernel_map(const float *x, size_t n, float *ret);
typedef void kernel_map2(const float *a, const float *b, size_t n, float *ret);
typedef void kernel_map_scalar(const float *x, float s, size_t n, float *ret);
typedef void kernel_axpy(float s, const float *x, size_t n, float *y);
typedef void kernel_muladd(const float *a, const float *b, size_t n, float *y);
typedef double kernel_sum(const float *x, size_t n);
typedef double kernel_dot(const float *x, const float *y, size_t n);
typedef double kernel_sum_squares(const float *x, double mean, size_t n);
typedef float kernel_max(const float *x, size_t n);
typedef double kernel_exp_sum(const float *x, float shift, size_t n, float *ret);

/* Over taps: ret[i] += sum over t of w[t] * x[t][i * step], in the order of t; and the largest of
 * ret[i] and all x[t][i * step], NaN of x passed over. x are `taps` pointers. */
typedef void kernel_taps_sum(const float *const *x, const float *w, size_t taps, size_t step,
                             size_t n, float *ret);
typedef void kernel_taps_max(const float *const *x, size_t taps, size_t step, size_t n, float *ret);

/* Tiles of minimal filtering, n of them side by side in planes that are x_step and step apart:
 * tensor/filtering.h says what each does. */
typedef void kernel_tiles(const float *x, size_t x_step, size_t n, float *ret, size_t step);
typedef void kernel_tile_weights(const float *w, size_t n, float *ret, size_t step);
typedef void kernel_deal(const float *x, size_t row_step, size_t rows, size_t before, size_t inside,
                         size_t n, float *ret, size_t step);
typedef void kernel_collect(const float *x, size_t step, size_t rows, size_t n, float add,
                            float *ret, size_t row_step);

/* X(name, type) */
#define KERNELS(X)                               \
    X(f32_from_bf16, kernel_widen)               \
    X(f32_from_f16, kernel_widen)                \
    X(bf16_from_f32, kernel_narrow)              \
    X(f16_from_f32, kernel_narrow)               \
    X(range_f32, kernel_range)                   \
    X(error_stats_f32, kernel_error)             \
    X(quantize_i8, kernel_quantize)              \
    X(dequantize_i8, kernel_dequantize)          \
    X(pack_i4, kernel_pack)                      \
    X(unpack_i4, kernel_pack)                    \
    X(fit_f32, kernel_fit)                       \
    X(quantize_e4m3, kernel_to_fp8)              \
    X(dequantize_e4m3, kernel_from_fp8)          \
    X(encode_q8_0, kernel_encode_block)          \
    X(encode_q4_0, kernel_encode_block)          \
    X(encode_q4_1, kernel_encode_block)          \
    X(encode_q5_0, kernel_encode_block)          \
    X(encode_q5_1, kernel_encode_block)          \
    X(decode_q8_0, kernel_decode_block)          \
    X(decode_q4_0, kernel_decode_block)          \
    X(decode_q4_1, kernel_decode_block)          \
    X(decode_q5_0, kernel_decode_block)          \
    X(decode_q5_1, kernel_decode_block)          \
    X(exp_f32, kernel_map)                       \
    X(log_f32, kernel_map)                       \
    X(tanh_f32, kernel_map)                      \
    X(sigmoid_f32, kernel_map)                   \
    X(erf_f32, kernel_map)                       \
    X(add_f32, kernel_map2)                      \
    X(sub_f32, kernel_map2)                      \
    X(mul_f32, kernel_map2)                      \
    X(div_f32, kernel_map2)                      \
    X(add_scalar_f32, kernel_map_scalar)         \
    X(mul_scalar_f32, kernel_map_scalar)         \
    X(axpy_f32, kernel_axpy)                     \
    X(muladd_f32, kernel_muladd)                 \
    X(sum_f32, kernel_sum)                       \
    X(dot_f32, kernel_dot)                       \
    X(sum_squares_f32, kernel_sum_squares)       \
    X(max_f32, kernel_max)                       \
    X(exp_sum_f32, kernel_exp_sum)               \
    X(taps_sum_f32, kernel_taps_sum)             \
    X(taps_max_f32, kernel_taps_max)             \
    X(filtering_in_f32, kernel_tiles)            \
    X(filtering_weight_f32, kernel_tile_weights) \
    X(filtering_out_f32, kernel_tiles)           \
    X(filtering_deal_f32, kernel_deal)           \
    X(filtering_collect_f32, kernel_collect)

struct kernels {
#define KERNELS_FIELD(name, type) type *name;
    KERNELS(KERNELS_FIELD)
#undef KERNELS_FIELD
};

/* Fills the table for this CPU. COMPRESSD_CPU in the environment ("reference", "avx2", "avx512",
 * "neon") caps the instruction set; used by tests and for provenance. */
void kernels_init(void);
const struct kernels *kernels_get(void); /* kernels_init() is implied on first use */
const char *kernels_isa(void);           /* name of the highest set in use: "avx2" */

/* The table as it would be with instruction set `isa` as the cap. -1 when this CPU or this build
 * does not have it. For the tests. */
int kernels_fill(const char *isa, struct kernels *ret);
const char *kernels_isa_at(size_t i); /* the names, lowest first; NULL past the end */

#endif
