/*
 * Metrics: how good a model's outputs are, against labels, against targets, and against the
 * original's outputs on the same inputs.
 *
 * One accumulator per evaluation; batches are added, results are read at the end. A row of the
 * table states what a metric needs and its protocol, which stands in every report beside the value.
 * Sums are doubles added position by position, so they depend neither on the batch size nor on the
 * number of threads. Quantiles come from a histogram of fixed size (4,096 bins evenly spaced in the
 * logarithm from 1e-12 to 1e3: within 0.5 %), so memory does not grow with the data.
 *
 * Definitions: cross-entropy is the mean negative log-likelihood in nats per scored position,
 * perplexity its exponential; KL(P_original || P_new) in nats per position; top-1 agreement the
 * fraction of positions whose largest element stands at the same place (the first of equals); PSNR
 * = 10 log10(range^2 / MSE) with range = max - min of the reference over the whole set; cosine the
 * mean over samples of the cosine between whole outputs; SQNR = 10 log10(sum x^2 / sum (x - y)^2).
 *
 * A probability that a softmax rounded to 0 counts as the smallest f32, 2^-149: 103.28 nats. Equal
 * infinities of output and reference (masked scores) are left out of the sums over elements. What
 * else would make a metric NaN, or infinite where that means no good, is a failure, never a value.
 *
 * Owns: its sums. Threads: one at a time.
 */
#ifndef COMPRESS_EXEC_METRICS_H
#define COMPRESS_EXEC_METRICS_H

#include "compress/tensor/array.h"

enum metric_id {
    METRIC_CROSS_ENTROPY,
    METRIC_PERPLEXITY,
    METRIC_ACCURACY,
    METRIC_TOP5,
    METRIC_KL,
    METRIC_TOP1_AGREEMENT,
    METRIC_MSE,
    METRIC_PSNR,
    METRIC_COSINE,
    METRIC_SQNR,
    METRIC_COUNT
};

enum metric_need {
    METRIC_NEEDS_LABELS = 1,   /* class ids or next tokens */
    METRIC_NEEDS_LOGITS = 2,   /* the output is scores over classes */
    METRIC_NEEDS_ORIGINAL = 4, /* the original's output on the same inputs */
    METRIC_NEEDS_REFERENCE = 8 /* the original's output or a target of the dataset */
};

struct metric {
    enum metric_id id;
    const char *name; /* "cross_entropy": the recipe's and the report's word */
    unsigned needs;
    bool higher_is_better;
    const char *unit;       /* "nats", "dB", "" */
    const char *protocol;   /* one sentence */
    enum metric_id instead; /* says something alike from other data */
};

const struct metric *metric_at(size_t i); /* NULL past the end; in order of ids */
const struct metric *metric_by_name(const char *name);
/* Of those that can be had (bits 1 << metric_id), what to ask for instead; NULL: there are none. */
const struct metric *metric_instead(enum metric_id wanted, unsigned possible);
/* "kl, mse": the names of bits. Returns text. */
const char *metric_names(unsigned bits, char *text, size_t cap);

struct metrics;

struct metrics *metrics_new(void); /* NULL when out of memory */
void metrics_free(struct metrics *metrics);

/* Scores [.., C] against labels [..] (i64 or i32; the same number of positions). Labels of
 * `ignore` are not scored. probabilities: the scores have been through a softmax.
 * ERR_BAD_FIELD: a label outside of [0, C), naming position and value; shapes that do not fit.
 * ERR_NON_FINITE (so do the next two): scores that are NaN, or infinite where they count. */
int metrics_add_labels(struct metrics *metrics, const struct array *scores, bool probabilities,
                       const struct array *labels, int64_t ignore, struct err *err);
/* Scores of the new model against those of the original, [.., C] both. */
int metrics_add_scores(struct metrics *metrics, const struct array *scores,
                       const struct array *original, bool probabilities, struct err *err);
/* An output against its reference, f32 both, first axis = sample. */
int metrics_add_values(struct metrics *metrics, const struct array *output,
                       const struct array *reference, struct err *err);

enum { METRIC_SHOWN = 64, METRIC_SHOWN_LOG10_FROM = -12, METRIC_SHOWN_LOG10_TO = 3 };

struct metric_value {
    double value;
    uint64_t count; /* positions, samples or elements that it is taken over */
    /* KL alone: */
    bool has_quantiles;
    double median, p999, max;
    /* Positions by their KL, in bins evenly spaced between the logarithms (to base 10) below; the
     * first and the last hold what lies beyond. */
    uint64_t shown[METRIC_SHOWN];
};

/* False when nothing was added that it could be computed from. +inf only where that is perfect:
 * PSNR and SQNR without any error; -inf only SQNR and PSNR of a reference without any content. */
bool metrics_get(const struct metrics *metrics, enum metric_id id, struct metric_value *ret);

#endif
