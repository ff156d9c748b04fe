/*
 * Calibration: the ranges of activations, found by running the model over a set.
 *
 * Whoever rewrites a graph for integers leaves on the model what it needs to know (graph/ranges.h);
 * calibrate_run() finds it out.
 *
 * Every value keeps a histogram of its magnitudes, of fixed size: 2048 bins up to a limit that
 * doubles (two bins become one) when something larger comes. Activations are never kept.
 *
 *   minmax       the largest magnitude seen
 *   percentile   99.99 % of what was seen lies below it
 *   mse          smallest expected squared error: rounding below the limit, clamping above it
 *   entropy      smallest Kullback-Leibler divergence of the codes' distribution from the values'
 *                (Migacz 2017, "8-bit Inference with TensorRT"): 128 levels
 *
 * Expected failures: ERR_MISFIT (the set does not feed the graph), ERR_NON_FINITE (an activation is
 * not a number: value), ERR_CANCELLED, what the executor reports.
 */
#ifndef COMPRESS_PASSES_CALIBRATE_H
#define COMPRESS_PASSES_CALIBRATE_H

#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/exec/dataset.h"
#include "compress/graph/model.h"

enum calibrate_method {
    CALIBRATE_MINMAX,
    CALIBRATE_PERCENTILE,
    CALIBRATE_MSE,
    CALIBRATE_ENTROPY,
};
/* -1: unknown. */
int calibrate_method_by_name(const char *name);

struct calibrate_options {
    enum calibrate_method method;
    uint64_t samples, batch, window; /* 0: all; the graph's own, else 32; the graph's own */
    uint64_t seed;
    struct team *team; /* NULL: the calling thread alone */
    const struct progress *progress;
    struct progress_state at;
};

/* original: opened anew, as it was before passes changed it. model: the one that will be written.
 */
int calibrate_run(const struct model *original, const struct model *model,
                  const struct dataset *dataset, const struct calibrate_options *options,
                  struct err *err);
/* Beside what running the original over the set takes. */
uint64_t calibrate_memory_bytes(const struct model *model);

/* ---- for tests ---- */

enum { CALIBRATE_BINS = 2048 };

struct calibrate_histogram {
    double limit; /* of the last bin; 0: nothing but zeros yet */
    double largest;
    uint64_t counts[CALIBRATE_BINS];
    uint64_t zeros;
};

/* False when one is not finite. */
bool calibrate_add(struct calibrate_histogram *histogram, const float *x, uint64_t count);
/* The magnitude that the largest code stands for, with so many codes above zero. */
double calibrate_limit(const struct calibrate_histogram *histogram, enum calibrate_method method,
                       unsigned levels);

#endif
