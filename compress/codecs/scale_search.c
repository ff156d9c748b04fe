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

/* The least-squares fit of one trial. */
struct fit {
    double scale;     /* best for the trial's codes */
    double explained; /* how much of sum(x x) it explains; 0 when the codes are all zero */
};

static struct fit fit(const float *x, size_t n, const struct affine *grid, float inverse) {
    double sums[2];
    kernels_get()->fit_f32(x, n, inverse, (float)(grid->lo - grid->zero),
                           (float)(grid->hi - grid->zero), sums);
    if (!(sums[1] > 0))
        return (struct fit){0, 0};
    double xp = sums[0] / (double)inverse, scale = xp / sums[1];
    return (struct fit){scale, xp * scale};
}

static double between(double v, double lo, double hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

void scale_search_mse(const float *x, size_t n, enum dtype scale_dtype, struct affine *grid) {
    const double base = grid->scale, levels = grid->hi - grid->lo;
    const double widest = levels / (levels - 1), narrowest = 0.5;
    const double first = 1 / (widest * base), last = 1 / (narrowest * base);
    if (!isnormal((float)first) || !isfinite((float)last))
        return; /* reciprocals would not be exact enough to rank anything */
    struct fit best = {0, 0};
    for (int i = 0; i < TRIALS; i++) {
        float inverse = (float)(first + (last - first) * i / (TRIALS - 1));
        struct fit trial = fit(x, n, grid, inverse);
        if (trial.explained > best.explained)
            best = trial;
    }
    double least_error = exact_error(x, n, grid);
    for (int round = 0; round < 2 && best.explained > 0; round++) {
        struct affine other = *grid;
        double scale = between(best.scale, narrowest * base, widest * base);
        other.scale = codec_scale_as_stored(scale_dtype, scale);
        double error = exact_error(x, n, &other);
        if (error < least_error) {
            least_error = error;
            grid->scale = other.scale;
        }
        if (round == 0)
            best = fit(x, n, grid, (float)(1 / scale));
    }
}
