/*
 * Sums per position. See metrics.h.
 *
 * A row of scores is turned into log-probabilities by subtracting its log-sum-exp, in double
 * precision: models are compared by differences that f32 sums over 50,000 classes would drown.
 */
#include "compress/exec/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct metric table[METRIC_COUNT] = {
    {METRIC_CROSS_ENTROPY, "cross_entropy", METRIC_NEEDS_LABELS | METRIC_NEEDS_LOGITS, false,
     "nats", "mean negative log-likelihood of the label per scored position, natural logarithm",
     METRIC_KL},
    {METRIC_PERPLEXITY, "perplexity", METRIC_NEEDS_LABELS | METRIC_NEEDS_LOGITS, false, "",
     "exponential of the mean negative log-likelihood per scored position", METRIC_KL},
    {METRIC_ACCURACY, "accuracy", METRIC_NEEDS_LABELS | METRIC_NEEDS_LOGITS, true, "",
     "fraction of scored positions whose largest score is the label's; the first of equals counts",
     METRIC_TOP1_AGREEMENT},
    {METRIC_TOP5, "top5", METRIC_NEEDS_LABELS | METRIC_NEEDS_LOGITS, true, "",
     "fraction of scored positions with fewer than five scores above the label's",
     METRIC_TOP1_AGREEMENT},
    {METRIC_KL, "kl", METRIC_NEEDS_LOGITS | METRIC_NEEDS_ORIGINAL, false, "nats",
     "KL(P_original || P_new) per position, same inputs; mean, median, 99.9 % and maximum",
     METRIC_CROSS_ENTROPY},
    {METRIC_TOP1_AGREEMENT, "top1_agreement", METRIC_NEEDS_LOGITS | METRIC_NEEDS_ORIGINAL, true, "",
     "fraction of positions whose largest score stands at the same place in both", METRIC_ACCURACY},
    {METRIC_MSE, "mse", METRIC_NEEDS_REFERENCE, false, "",
     "mean squared difference over all elements of the output", METRIC_CROSS_ENTROPY},
    {METRIC_PSNR, "psnr", METRIC_NEEDS_REFERENCE, true, "dB",
     "10 log10(range^2 / MSE), range = max - min of the reference over the set",
     METRIC_CROSS_ENTROPY},
    {METRIC_COSINE, "cosine", METRIC_NEEDS_REFERENCE, true, "",
     "mean over samples of the cosine between whole outputs; two zero outputs count as 1",
     METRIC_CROSS_ENTROPY},
    {METRIC_SQNR, "sqnr", METRIC_NEEDS_REFERENCE, true, "dB",
     "10 log10(sum x^2 / sum (x - y)^2), x the reference", METRIC_CROSS_ENTROPY},
};

const struct metric *metric_at(size_t i) {
    return i < METRIC_COUNT ? &table[i] : NULL;
}

const struct metric *metric_by_name(const char *name) {
    for (size_t i = 0; i < METRIC_COUNT; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

const struct metric *metric_instead(enum metric_id wanted, unsigned possible) {
    enum metric_id instead = table[wanted].instead;
    if (possible >> instead & 1)
        return &table[instead];
    for (size_t i = 0; i < METRIC_COUNT; i++)
        if (possible >> i & 1)
            return &table[i];
    return NULL;
}

const char *metric_names(unsigned bits, char *text, size_t cap) {
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < METRIC_COUNT && used < cap; i++)
        if (bits >> i & 1)
            used +=
                (size_t)snprintf(text + used, cap - used, "%s%s", used ? ", " : "", table[i].name);
    return text;
}

/* log10 from -12 to 3; the first bin holds what is smaller, the last what is larger. */
enum { BINS = 4096 };
static const double BIN_LOW = METRIC_SHOWN_LOG10_FROM, BIN_HIGH = METRIC_SHOWN_LOG10_TO;

struct metrics {
    uint64_t scored, correct, in_top5;
    double log_likelihood;

    uint64_t compared, agreed;
    double kl, kl_max;
    uint64_t bins[BINS];

    uint64_t elements, samples;
    double squared_error, squared_reference, cosine;
    double reference_min, reference_max;
};

struct metrics *metrics_new(void) {
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics) {
        metrics->reference_min = INFINITY;
        metrics->reference_max = -INFINITY;
    }
    return metrics;
}

void metrics_free(struct metrics *metrics) {
    free(metrics);
}

/* What to subtract from a score to get its log-probability. */
static double log_sum_exp(const real *scores, uint64_t count) {
    double largest = -INFINITY, sum = 0;
    for (uint64_t i = 0; i < count; i++)
        largest = (double)scores[i] > largest ? (double)scores[i] : largest;
    if (isinf(largest))
        return largest;
    for (uint64_t i = 0; i < count; i++)
        sum += exp((double)scores[i] - largest);
    return largest + log(sum);
}

/* Of what went through a softmax. */
static double log_probability(real p) {
    return log(p == 0 ? 0x1p-149 : (double)p);
}

static int not_finite(const char *what, uint64_t position, struct err *err) {
    return err_set(err, ERR_NON_FINITE,
                   "the %s at position %" PRIu64 " is no finite number: there is a NaN or an "
                   "infinity among the scores",
                   what, position);
}

static uint64_t largest_at(const real *scores, uint64_t count) {
    uint64_t at = 0;
    for (uint64_t i = 1; i < count; i++)
        if (scores[i] > scores[at])
            at = i;
    return at;
}

/* Classes and positions of scores [.., C]. */
static int score_shape(const struct array *scores, uint64_t *classes, uint64_t *positions,
                       struct err *err) {
    char text[128];
    if (scores->dtype != DTYPE_F32 || scores->rank == 0 || scores->dims[scores->rank - 1] == 0)
        return err_set(err, ERR_BAD_FIELD, "the output %s is no scores over classes",
                       array_describe(scores, text, sizeof text));
    *classes = scores->dims[scores->rank - 1];
    *positions = scores->elements / *classes;
    return 0;
}

int metrics_add_labels(struct metrics *metrics, const struct array *scores, bool probabilities,
                       const struct array *labels, int64_t ignore, struct err *err) {
    uint64_t classes, positions;
    char a[128], b[128];
    if (score_shape(scores, &classes, &positions, err) < 0)
        return -1;
    if (labels->elements != positions || (labels->dtype != DTYPE_I64 && labels->dtype != DTYPE_I32))
        return err_set(err, ERR_BAD_FIELD, "labels %s do not fit scores %s",
                       array_describe(labels, a, sizeof a), array_describe(scores, b, sizeof b));
    for (uint64_t p = 0; p < positions; p++) {
        const real *row = array_real(scores) + p * classes;
        int64_t label = array_int(labels, p);
        if (label == ignore)
            continue;
        if (label < 0 || (uint64_t)label >= classes)
            return err_set(err, ERR_BAD_FIELD,
                           "the label at position %" PRIu64 " is %" PRId64
                           ", outside of [0, %" PRIu64 ")",
                           p, label, classes);
        double likelihood = probabilities ? log_probability(row[label])
                                          : (double)row[label] - log_sum_exp(row, classes);
        if (!isfinite(likelihood))
            return not_finite("log-likelihood of the label", p, err);
        metrics->log_likelihood += likelihood;
        metrics->scored++;
        metrics->correct += largest_at(row, classes) == (uint64_t)label;
        unsigned above = 0;
        for (uint64_t c = 0; c < classes && above < 5; c++)
            above += row[c] > row[label];
        metrics->in_top5 += above < 5;
    }
    return 0;
}

static unsigned bin_of(double value) {
    if (!(value > 0))
        return 0;
    double at = (log10(value) - BIN_LOW) / (BIN_HIGH - BIN_LOW) * BINS;
    return at < 0 ? 0 : at >= BINS ? BINS - 1 : (unsigned)at;
}

int metrics_add_scores(struct metrics *metrics, const struct array *scores,
                       const struct array *original, bool probabilities, struct err *err) {
    uint64_t classes, positions;
    char a[128], b[128];
    if (score_shape(scores, &classes, &positions, err) < 0)
        return -1;
    if (!array_same_shape(scores, original) || original->dtype != DTYPE_F32)
        return err_set(err, ERR_BAD_FIELD, "the original gives %s where the model gives %s",
                       array_describe(original, a, sizeof a), array_describe(scores, b, sizeof b));
    for (uint64_t p = 0; p < positions; p++) {
        const real *q = array_real(scores) + p * classes, *o = array_real(original) + p * classes;
        double q_sum = probabilities ? 0 : log_sum_exp(q, classes);
        double o_sum = probabilities ? 0 : log_sum_exp(o, classes);
        double kl = 0;
        for (uint64_t c = 0; c < classes; c++) {
            double log_o = probabilities ? log_probability(o[c]) : (double)o[c] - o_sum;
            double log_q = probabilities ? log_probability(q[c]) : (double)q[c] - q_sum;
            double probability = probabilities ? (double)o[c] : exp(log_o);
            if (probability != 0) /* a NaN goes in */
                kl += probability * (log_o - log_q);
        }
        if (!isfinite(kl))
            return not_finite("divergence", p, err);
        kl = kl < 0 ? 0 : kl; /* rounding */
        metrics->kl += kl;
        metrics->kl_max = kl > metrics->kl_max ? kl : metrics->kl_max;
        metrics->bins[bin_of(kl)]++;
        metrics->compared++;
        metrics->agreed += largest_at(q, classes) == largest_at(o, classes);
    }
    return 0;
}

/* One sample's output against its reference; -1: their difference is no finite number. */
static int add_sample(struct metrics *metrics, const real *x, const real *y, uint64_t count) {
    double xx = 0, yy = 0, xy = 0, ee = 0;
    double min = metrics->reference_min, max = metrics->reference_max;
    uint64_t left_out = 0;
    for (uint64_t i = 0; i < count; i++) {
        double u = (double)x[i], v = (double)y[i];
        if (isinf(u) && u == v) {
            left_out++;
            continue;
        }
        xx += u * u, yy += v * v, xy += u * v, ee += (u - v) * (u - v);
        min = u < min ? u : min;
        max = u > max ? u : max;
    }
    if (!isfinite(ee))
        return -1;
    metrics->reference_min = min;
    metrics->reference_max = max;
    metrics->squared_error += ee;
    metrics->squared_reference += xx;
    metrics->cosine += xx == 0 && yy == 0 ? 1 : xx == 0 || yy == 0 ? 0 : xy / sqrt(xx * yy);
    metrics->samples++;
    metrics->elements += count - left_out;
    return 0;
}

int metrics_add_values(struct metrics *metrics, const struct array *output,
                       const struct array *reference, struct err *err) {
    char a[128], b[128];
    if (output->dtype != DTYPE_F32 || reference->dtype != DTYPE_F32 ||
        !array_same_shape(output, reference))
        return err_set(err, ERR_BAD_FIELD, "the output %s does not compare with the reference %s",
                       array_describe(output, a, sizeof a), array_describe(reference, b, sizeof b));
    uint64_t samples = output->rank ? output->dims[0] : 1;
    uint64_t each = samples ? output->elements / samples : 0;
    for (uint64_t s = 0; s < samples && each; s++) {
        const real *y = array_real(output) + s * each, *x = array_real(reference) + s * each;
        if (add_sample(metrics, x, y, each) < 0)
            return err_set(err, ERR_NON_FINITE,
                           "sample %" PRIu64 " of the batch: a NaN, or an infinity where the "
                           "reference has another number",
                           s);
    }
    return 0;
}

/* The middle of the bin in which the given share of positions is reached, as a value. */
static double quantile(const struct metrics *metrics, double share) {
    uint64_t want = (uint64_t)ceil(share * (double)metrics->compared), seen = 0;
    for (unsigned i = 0; i < BINS; i++) {
        seen += metrics->bins[i];
        if (seen >= want && seen > 0) {
            if (i == 0)
                return 0;
            double value = pow(10, BIN_LOW + (i + 0.5) * (BIN_HIGH - BIN_LOW) / BINS);
            return value < metrics->kl_max ? value : metrics->kl_max;
        }
    }
    return metrics->kl_max;
}

bool metrics_get(const struct metrics *metrics, enum metric_id id, struct metric_value *ret) {
    double scored = (double)metrics->scored, compared = (double)metrics->compared;
    double mse = metrics->squared_error / (double)metrics->elements;
    double range = metrics->reference_max - metrics->reference_min;
    *ret = (struct metric_value){0};
    switch (id) {
    case METRIC_CROSS_ENTROPY:
        ret->value = -metrics->log_likelihood / scored;
        ret->count = metrics->scored;
        break;
    case METRIC_PERPLEXITY:
        ret->value = exp(fmin(-metrics->log_likelihood / scored, 709)); /* of a double */
        ret->count = metrics->scored;
        break;
    case METRIC_ACCURACY:
        ret->value = (double)metrics->correct / scored;
        ret->count = metrics->scored;
        break;
    case METRIC_TOP5:
        ret->value = (double)metrics->in_top5 / scored;
        ret->count = metrics->scored;
        break;
    case METRIC_KL:
        ret->value = metrics->kl / compared;
        ret->count = metrics->compared;
        ret->has_quantiles = true;
        ret->median = quantile(metrics, 0.5);
        ret->p999 = quantile(metrics, 0.999);
        ret->max = metrics->kl_max;
        for (size_t i = 0; i < BINS; i++)
            ret->shown[i / (BINS / METRIC_SHOWN)] += metrics->bins[i];
        break;
    case METRIC_TOP1_AGREEMENT:
        ret->value = (double)metrics->agreed / compared;
        ret->count = metrics->compared;
        break;
    case METRIC_MSE:
        ret->value = mse;
        ret->count = metrics->elements;
        break;
    case METRIC_PSNR:
        ret->value = mse == 0 ? INFINITY : 10 * log10(range * range / mse);
        ret->count = metrics->elements;
        break;
    case METRIC_COSINE:
        ret->value = metrics->cosine / (double)metrics->samples;
        ret->count = metrics->samples;
        break;
    case METRIC_SQNR:
        ret->value = metrics->squared_error == 0
                         ? INFINITY
                         : 10 * log10(metrics->squared_reference / metrics->squared_error);
        ret->count = metrics->elements;
        break;
    case METRIC_COUNT:
        break;
    }
    return ret->count > 0;
}
