/* Grid and least squares. See scale_search.h. */
#include "compress/codecs/scale_search.h"

#include "compress/codecs/codec_ops.h"

#include <math.h>

enum { TRIALS = 21 };

/* Squared error of the grid as it will be stored and read. */
static double exact_error(const float *x, size_t n, const struct affine *grid) {
    const struct kernels *k = kernels_get();
    uint8_t codes[CODEC_PIECE];
    float back[CODEC_PIECE];
    double sum = 0;
    for (size_t at = 0; at < n; at += CODEC_PIECE) {
        size_t m = n - at < CODEC_PIECE ? n - at : CODEC_PIECE;
        struct error_stats stats;
        k->quantize_i8(x + at, m, grid, codes);
        k->dequantize_i8(codes, m, grid, back);
        k->error_stats_f32(x + at, back, m, &stats);
        sum += stats.sum_e2;
    }
    return sum;
}

/* The least-squares scale for the codes that `trial` gives, and how much of sum(x x) it explains;
 * 0 when the codes are all zero. */
static double fit(const float *x, size_t n, const struct affine *grid, double trial,
                  double *ret_explained) {
    double sums[2];
    kernels_get()->fit_f32(x, n, (float)(1 / trial), (float)(grid->lo - grid->zero),
                           (float)(grid->hi - grid->zero), sums);
    if (!(sums[1] > 0))
        return *ret_explained = 0;
    double unit = 1 / (double)(float)(1 / trial); /* what one code was worth in this pass */
    *ret_explained = sums[0] * sums[0] / sums[1] * unit * unit;
    return sums[0] / sums[1] * unit;
}

static double between(double v, double lo, double hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

void scale_search_mse(const float *x, size_t n, enum dtype scale_dtype, struct affine *grid) {
    const double base = grid->scale, levels = grid->hi - grid->lo;
    const double widest = levels / (levels - 1), narrowest = 0.5;
    if (!isfinite((float)(2 / base)) || !isnormal((float)(0.5 / base)))
        return; /* reciprocals would not be exact enough to rank anything */
    double best = 0, best_explained = 0;
    for (int i = 0; i < TRIALS; i++) {
        double trial = base * (widest - (widest - narrowest) * i / (TRIALS - 1));
        double explained, scale = fit(x, n, grid, trial, &explained);
        if (explained > best_explained) {
            best_explained = explained;
            best = scale;
        }
    }
    if (!(best_explained > 0))
        return;
    double least_error = exact_error(x, n, grid);
    for (int round = 0; round < 2; round++) {
        struct affine other = *grid;
        best = between(best, narrowest * base, widest * base);
        other.scale = codec_scale_as_stored(scale_dtype, best);
        double error = exact_error(x, n, &other), explained;
        if (error < least_error) {
            least_error = error;
            grid->scale = other.scale;
        }
        best = fit(x, n, grid, best, &explained);
        if (!(explained > 0))
            return;
    }
}
