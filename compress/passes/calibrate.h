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

#include "compress/base/arena.h"
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
const char *calibrate_method_name(enum calibrate_method method);
/* All names, ending with NULL. */
const char *const *calibrate_method_names(void);
/* How the limit is chosen, in a sentence. */
const char *calibrate_method_protocol(enum calibrate_method method);

struct calibrate_options {
    enum calibrate_method method;
    uint64_t samples, batch, window; /* 0: all; the graph's own, else 32; its own, else 512 */
    uint64_t seed;
    struct team *team; /* NULL: the calling thread alone */
    unsigned threads;  /* of the team that will be there, for the prediction; 0: one */
    const struct progress *progress;
    struct progress_state at;
};

enum { CALIBRATE_SHOWN = 64 };

/* What was found about a value: enough to draw it. */
struct calibrate_range {
    const char *value;
    double min, max; /* seen */
    double limit;    /* the magnitude that the largest code stands for */
    double scale;
    int zero_point;            /* the code of 0 */
    uint64_t count;            /* values seen */
    uint64_t zeros;            /* of those exactly zero, */
    uint64_t clamped;          /* and of a magnitude above the limit, to a bin of the histogram */
    double shown_from_zero_to; /* 0: nothing but zeros */
    uint64_t shown[CALIBRATE_SHOWN]; /* magnitudes in as many bins, zeros left out */
};

/* A bias of which some numbers lie beyond 32 bits of its scale, because the weights of their
 * channels are next to nothing beside them: these became the largest code. */
struct calibrate_bias {
    const char *tensor;
    uint64_t clamped;
};

struct calibrate_result {
    const char *dataset_kind;        /* "arrays", "tokens" */
    uint64_t samples, batch, window; /* window: 0 for arrays */
    struct calibrate_range *ranges;  /* in the order of the model's; in the arena, names too */
    size_t range_count;
    struct calibrate_bias *biases; /* those alone; in the arena, names too */
    size_t bias_count;
    uint64_t memory_bytes; /* held at most, headers aside */
};

/* original: opened anew, as it was before passes changed it. model: the one that will be written.
 */
int calibrate_run(const struct model *original, const struct model *model,
                  const struct dataset *dataset, const struct calibrate_options *options,
                  struct arena *arena, struct calibrate_result *ret, struct err *err);
/* What calibrate_run() will hold at most, from shapes alone. The same failures where content does
 * not matter. */
int calibrate_predict(const struct model *original, const struct model *model,
                      const struct dataset *dataset, const struct calibrate_options *options,
                      uint64_t *ret_bytes, struct err *err);

/* ---- for tests ---- */

enum { CALIBRATE_BINS = 2048 };

struct calibrate_histogram {
    double limit; /* of the last bin; 0: nothing but zeros yet */
    double largest;
    double min, max;
    uint64_t counts[CALIBRATE_BINS];
    uint64_t zeros;
    uint64_t count; /* of all values */
};

/* False when one is not finite. */
bool calibrate_add(struct calibrate_histogram *histogram, const float *x, uint64_t count);
/* The magnitude that the largest code stands for, with so many codes above zero. */
double calibrate_limit(const struct calibrate_histogram *histogram, enum calibrate_method method,
                       unsigned levels);

#endif
