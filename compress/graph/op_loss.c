/*
 * Losses: how far outputs are from what was wanted, and what that says of every output.
 *
 * ONNX's two on class scores, where the classes are axis 1 and everything else is a position:
 *   SoftmaxCrossEntropyLoss(scores [N,C,D...], labels [N,D...], weights [C]?) → loss, log_prob
 *   NegativeLogLikelihoodLoss(log_prob [N,C,D...], labels [N,D...], weights [C]?) → loss
 * and our own, in the domain "compressd", where a position is everything but the last axis:
 *   CrossEntropy(logits [...,C], labels [...]; ignore_index) → mean, per position [...]
 *   KLDivergence(student [...,C], teacher [...,C]; temperature T) → T² mean KL(teacher ‖ student)
 *     (Hinton, Vinyals, Dean 2015: T² keeps the size of gradients independent of T)
 *   MeanSquaredError(a, b) → mean (a - b)²
 *   CosineLoss(a [...,C], b [...,C]) → 1 - mean a·b / (|a| |b|); a vector of zeros has cosine 0
 *
 * Means are of weights and positions that count: ignored labels weigh nothing, and where nothing
 * weighs anything the mean is 0, with no gradient. Log-softmax is taken with the maximum
 * subtracted. Sums are in double, per tile, and tiles are added in order. A label outside [0, C)
 * that is not ignored is ERR_BAD_FIELD.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/op.h"
#include "compress/tensor/vmath.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Elements per tile: some ten microseconds of exponentials. */
enum { TILE = 4096 };

#define LOSS_DOMAIN "compressd"
#define LOSS_VERSION 1

/* Positions and how their classes lie: class c of position p is at start(p) + c * inner. */
struct positions {
    uint64_t count, classes, inner;
    uint64_t per_tile;
};

static struct positions positions_over(uint64_t elements, uint64_t classes, uint64_t inner) {
    return (struct positions){.count = classes ? elements / classes : 0,
                              .classes = classes,
                              .inner = inner,
                              .per_tile = classes > 0 && classes < TILE ? TILE / classes : 1};
}

static struct positions positions_last(const struct array *x) {
    return positions_over(x->elements, x->dims[x->rank - 1], 1);
}

static size_t tiles(const struct positions *p) {
    return (size_t)((p->count + p->per_tile - 1) / p->per_tile);
}

static uint64_t tile_end(const struct positions *p, size_t tile) {
    uint64_t end = (tile + 1) * p->per_tile;
    return end < p->count ? end : p->count;
}

static uint64_t start(const struct positions *p, uint64_t position) {
    return position / p->inner * p->classes * p->inner + position % p->inner;
}

/* Classes that go through a buffer on the stack at a time. */
enum { PIECE = 512 };

/* The softmax of one position at a temperature: exp(x_c / T - top) / sum. */
struct softmax {
    real top;
    double sum;
};

/* x_c / T of classes [first, first + count), side by side. */
static void scaled(const struct positions *p, const real *x, double temperature, uint64_t first,
                   size_t count, real *ret) {
    if (p->inner == 1)
        memcpy(ret, x + first, count * sizeof *ret);
    else
        for (size_t i = 0; i < count; i++)
            ret[i] = x[(first + i) * p->inner];
    if (temperature != 1)
        vmath_mul_scalar(ret, (real)(1 / temperature), count, ret);
}

static size_t piece(const struct positions *p, uint64_t first) {
    return p->classes - first < PIECE ? (size_t)(p->classes - first) : PIECE;
}

static struct softmax softmax_of(const struct positions *p, const real *x, double temperature) {
    struct softmax s = {-(real)INFINITY, 0};
    real buffer[PIECE];
    for (uint64_t c = 0; c < p->classes; c += PIECE) {
        scaled(p, x, temperature, c, piece(p, c), buffer);
        real top = vmath_max(buffer, piece(p, c));
        s.top = top > s.top ? top : s.top;
    }
    if (s.top == -(real)INFINITY)
        s.top = 0;
    for (uint64_t c = 0; c < p->classes; c += PIECE) {
        scaled(p, x, temperature, c, piece(p, c), buffer);
        s.sum += vmath_exp_sum(buffer, s.top, piece(p, c), buffer);
    }
    return s;
}

/* log Σ exp(x_c / T) */
static double log_sum_exp(const struct positions *p, const real *x, double temperature) {
    struct softmax s = softmax_of(p, x, temperature);
    return (double)s.top + log(s.sum);
}

static double sum_in_order(const double *partial, size_t count, size_t step) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += partial[i * step];
    return sum;
}

/* ---- inference ---- */

static bool differ(struct dim a, struct dim b) {
    return dim_known(a) && dim_known(b) && a.size != b.size;
}

static struct type scalar(enum dtype dtype) {
    return (struct type){.dtype = dtype, .ranked = true};
}

/* a and b are of one shape. */
static int same_shape(struct op_infer *infer, size_t i, size_t j, struct err *err) {
    const struct type *a = &infer->in[i]->type, *b = &infer->in[j]->type;
    bool fits = !a->ranked || !b->ranked || a->rank == b->rank;
    for (unsigned d = 0; fits && a->ranked && b->ranked && d < a->rank; d++)
        fits = !differ(a->dims[d], b->dims[d]);
    char x[128], y[128];
    return fits ? 0
                : op_fail(infer->node, err, "%s against %s: the shapes must be equal",
                          type_describe(a, infer->symbols, x, sizeof x),
                          type_describe(b, infer->symbols, y, sizeof y));
}

/* ---- losses over classes: SoftmaxCrossEntropyLoss, NegativeLogLikelihoodLoss, CrossEntropy ----
 */

enum reduction { REDUCE_MEAN, REDUCE_SUM, REDUCE_NONE };

struct class_params {
    enum reduction reduction;
    bool from_logits; /* the softmax is part of the loss */
    bool classes_last;
    bool has_ignore;
    int64_t ignore;
};

struct class_job {
    const struct class_params *params;
    const struct node *node;
    struct positions at;
    const real *x, *weights;
    const struct array *labels;
    real *losses, *log_prob; /* NULL: not wanted */
    double *partial;         /* per tile: Σ weight * loss, Σ weight */
    /* backward */
    const real *dlosses, *dlog_prob; /* NULL: none flows */
    double dloss;                    /* for every weighted position, besides dlosses */
    real *dx;
};

static int class_parse(const struct node *node, bool from_logits, bool ours, struct arena *arena,
                       void **ret_params, struct err *err) {
    struct class_params *params = ARENA_NEW(arena, struct class_params);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for the attributes of a loss");
    params->from_logits = from_logits;
    params->classes_last = ours;
    params->has_ignore = node_attr(node, "ignore_index") != NULL;
    params->ignore = node_int(node, "ignore_index", 0);
    const char *name = ours ? "mean" : node_string(node, "reduction", "mean");
    if (strcmp(name, "mean") == 0)
        params->reduction = REDUCE_MEAN;
    else if (strcmp(name, "sum") == 0)
        params->reduction = REDUCE_SUM;
    else if (strcmp(name, "none") == 0)
        params->reduction = REDUCE_NONE;
    else
        return op_fail(node, err, "reduction '%s' is none of mean, sum, none", name);
    *ret_params = params;
    return 0;
}

static int softmax_ce_parse(const struct node *node, struct arena *arena, void **ret_params,
                            struct err *err) {
    return class_parse(node, true, false, arena, ret_params, err);
}

static int nll_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    return class_parse(node, false, false, arena, ret_params, err);
}

static int cross_entropy_parse(const struct node *node, struct arena *arena, void **ret_params,
                               struct err *err) {
    return class_parse(node, true, true, arena, ret_params, err);
}

/* Labels' shape is the scores' without the class axis; what either knows of it goes to ret. */
static int labels_infer(struct op_infer *infer, struct type *ret, struct err *err) {
    const struct class_params *params = infer->node->params;
    const struct type *x = &infer->in[0]->type, *labels = &infer->in[1]->type;
    *ret = *labels;
    ret->dtype = x->dtype;
    if (labels->dtype != DTYPE_NONE && labels->dtype != DTYPE_I64 && labels->dtype != DTYPE_I32)
        return op_fail(infer->node, err, "labels are %s, not i64 or i32",
                       dtype_row(labels->dtype)->name);
    if (!x->ranked)
        return 0;
    if (x->rank < (params->classes_last ? 1 : 2))
        return op_fail(infer->node, err, "scores of rank %u have no axis of classes", x->rank);
    unsigned class_axis = params->classes_last ? x->rank - 1 : 1;
    if (labels->ranked && labels->rank != x->rank - 1)
        return op_fail(infer->node, err, "labels of rank %u for scores of rank %u", labels->rank,
                       x->rank);
    for (unsigned d = 0; d + 1 < x->rank; d++) {
        struct dim want = x->dims[d < class_axis ? d : d + 1];
        if (labels->ranked && differ(labels->dims[d], want))
            return op_fail(infer->node, err,
                           "labels and scores disagree: %" PRId64 " against %" PRId64,
                           labels->dims[d].size, want.size);
        if (!labels->ranked || !dim_known(labels->dims[d]))
            ret->dims[d] = want;
    }
    ret->ranked = true;
    ret->rank = x->rank - 1;
    if (infer->node->in_count < 3 || !infer->in[2])
        return 0;
    const struct type *weights = &infer->in[2]->type;
    if (weights->ranked && (weights->rank != 1 || differ(weights->dims[0], x->dims[class_axis])))
        return op_fail(infer->node, err, "weights are not one per class");
    return 0;
}

static int class_infer(struct op_infer *infer, struct err *err) {
    const struct class_params *params = infer->node->params;
    const struct type *x = &infer->in[0]->type;
    struct type positions;
    if (labels_infer(infer, &positions, err) < 0)
        return -1;
    infer->out[0].type = params->reduction == REDUCE_NONE ? positions : scalar(x->dtype);
    if (infer->node->out_count > 1)
        infer->out[1].type = params->classes_last ? positions : *x;
    return 0;
}

static struct positions class_positions(const struct class_params *params, const struct array *x) {
    if (params->classes_last)
        return positions_last(x);
    uint64_t inner = 1;
    for (unsigned d = 2; d < x->rank; d++)
        inner *= x->dims[d];
    return positions_over(x->elements, x->dims[1], inner);
}

static struct class_job class_job(const struct op_run *run) {
    const struct class_params *params = run->node->params;
    struct class_job job = {.params = params,
                            .node = run->node,
                            .at = class_positions(params, run->in[0]),
                            .x = array_real(run->in[0]),
                            .labels = run->in[1],
                            .partial = run->scratch};
    if (run->node->in_count > 2 && run->in[2])
        job.weights = array_real(run->in[2]);
    return job;
}

static uint64_t class_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    struct positions at = class_positions(shapes->node->params, shapes->in[0]);
    return backward ? 0 : 2 * sizeof(double) * (uint64_t)tiles(&at);
}

/* The label of a position and what it weighs: 0 when it is ignored (*ret_label is then 0). */
static int class_label(const struct class_job *job, uint64_t position, uint64_t *ret_label,
                       double *ret_weight, struct err *err) {
    int64_t label = array_int(job->labels, position);
    char name[256];
    *ret_label = 0;
    *ret_weight = 0;
    if (job->params->has_ignore && label == job->params->ignore)
        return 0;
    if (label < 0 || (uint64_t)label >= job->at.classes)
        return err_set(err, ERR_BAD_FIELD,
                       "%s: label %" PRId64 " at position %" PRIu64 " is not below %" PRIu64,
                       node_describe(job->node, name, sizeof name), label, position,
                       job->at.classes);
    *ret_label = (uint64_t)label;
    *ret_weight = job->weights ? (double)job->weights[label] : 1;
    return 0;
}

static int class_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct class_job *job = ctx;
    const struct positions *at = &job->at;
    double loss_sum = 0, weight_sum = 0;
    for (uint64_t p = tile * at->per_tile, end = tile_end(at, tile); p < end; p++) {
        const real *x = job->x + start(at, p);
        uint64_t label;
        double weight, lse = 0;
        if (class_label(job, p, &label, &weight, err) < 0)
            return -1;
        if (job->params->from_logits && (weight != 0 || job->log_prob))
            lse = log_sum_exp(at, x, 1);
        /* What weighs nothing says nothing, be it infinite. */
        double loss = weight != 0 ? weight * (lse - (double)x[label * at->inner]) : 0;
        loss_sum += loss;
        weight_sum += weight;
        if (job->losses)
            job->losses[p] = (real)loss;
        if (job->log_prob) {
            real *to = job->log_prob + start(at, p);
            for (uint64_t c = 0; c < at->classes; c++)
                to[c * at->inner] = (real)((double)x[c * at->inner] - lse);
        }
    }
    job->partial[2 * tile] = loss_sum;
    job->partial[2 * tile + 1] = weight_sum;
    return 0;
}

/* Positions without classes have no loss, and so are labels without any class to name. */
static int class_empty(const struct class_job *job, struct err *err) {
    uint64_t label;
    double weight;
    for (uint64_t p = 0; job->at.classes == 0 && p < job->labels->elements; p++)
        if (class_label(job, p, &label, &weight, err) < 0)
            return -1;
    return 0;
}

static int class_forward(const struct op_run *run, struct err *err) {
    struct class_job job = class_job(run);
    enum reduction reduction = job.params->reduction;
    struct array *second = run->node->out_count > 1 ? run->out[1] : NULL;
    if (reduction == REDUCE_NONE && run->out[0])
        job.losses = array_real(run->out[0]);
    if (second && job.params->classes_last)
        job.losses = array_real(second);
    else if (second)
        job.log_prob = array_real(second);
    size_t count = tiles(&job.at);
    if (class_empty(&job, err) < 0)
        return -1;
    if (job.at.classes == 0 && job.losses)
        memset(job.losses, 0, (size_t)job.labels->elements * sizeof *job.losses);
    if (loop_run(run->team, run->progress, count, class_tile, &job, err) < 0)
        return -1;
    double loss = sum_in_order(job.partial, count, 2);
    double weight = sum_in_order(job.partial + 1, count, 2);
    if (reduction == REDUCE_MEAN)
        loss = weight != 0 ? loss / weight : 0;
    if (reduction != REDUCE_NONE && run->out[0])
        array_real(run->out[0])[0] = (real)loss;
    return 0;
}

/* dx += d (softmax - onehot), and for log_prob dx += dlog_prob - softmax Σ dlog_prob. */
static int class_backward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct class_job *job = ctx;
    const struct positions *at = &job->at;
    for (uint64_t p = tile * at->per_tile, end = tile_end(at, tile); p < end; p++) {
        uint64_t first = start(at, p), label;
        const real *x = job->x + first;
        const real *dlog_prob = job->dlog_prob ? job->dlog_prob + first : NULL;
        real *dx = job->dx + first;
        double weight, mass = 0;
        if (class_label(job, p, &label, &weight, err) < 0)
            return -1;
        double d = weight * (job->dloss + (job->dlosses ? (double)job->dlosses[p] : 0));
        dx[label * at->inner] -= (real)d;
        if (!job->params->from_logits)
            continue;
        for (uint64_t c = 0; dlog_prob && c < at->classes; c++)
            mass += (double)dlog_prob[c * at->inner];
        if (d == 0 && !dlog_prob)
            continue;
        struct softmax softmax = softmax_of(at, x, 1);
        real share = (real)((d - mass) / softmax.sum), buffer[PIECE];
        for (uint64_t c0 = 0; c0 < at->classes; c0 += PIECE) {
            size_t n = piece(at, c0);
            scaled(at, x, 1, c0, n, buffer);
            vmath_exp_sum(buffer, softmax.top, n, buffer);
            for (size_t i = 0; i < n; i++) {
                uint64_t c = (c0 + i) * at->inner;
                dx[c] += share * buffer[i] + (dlog_prob ? dlog_prob[c] : 0);
            }
        }
    }
    return 0;
}

static int class_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    struct class_job job = class_job(run);
    const struct array *first = back->dout[0];
    const struct array *second = run->node->out_count > 1 ? back->dout[1] : NULL;
    if (!back->din[0])
        return 0;
    job.dx = array_real(back->din[0]);
    if (job.params->reduction == REDUCE_NONE && first)
        job.dlosses = array_real(first);
    else if (first)
        job.dloss = (double)array_real(first)[0];
    if (second && job.params->classes_last)
        job.dlosses = array_real(second);
    else if (second)
        job.dlog_prob = array_real(second);
    if (job.params->reduction == REDUCE_MEAN && job.dloss != 0) {
        double sum = 0;
        for (uint64_t p = 0; p < job.at.count; p++) {
            uint64_t label;
            double weight;
            if (class_label(&job, p, &label, &weight, err) < 0)
                return -1;
            sum += weight;
        }
        job.dloss = sum != 0 ? job.dloss / sum : 0;
    }
    return loop_run(run->team, run->progress, tiles(&job.at), class_backward_tile, &job, err);
}

const struct op op_softmax_ce = {
    .op_type = "SoftmaxCrossEntropyLoss",
    .domain = "",
    .min_version = 12,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 2,
    .flags = OP_NEEDS_IN,
    .parse = softmax_ce_parse,
    .infer = class_infer,
    .forward = class_forward,
    .backward = class_backward,
    .scratch = class_scratch,
    .tolerance = 1e-6,
    .doc = "cross-entropy of scores against class labels",
};

const struct op op_nll = {
    .op_type = "NegativeLogLikelihoodLoss",
    .domain = "",
    .min_version = 12,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = nll_parse,
    .infer = class_infer,
    .forward = class_forward,
    .backward = class_backward,
    .scratch = class_scratch,
    .tolerance = 1e-6,
    .doc = "cross-entropy of log-probabilities against class labels",
};

const struct op op_cross_entropy = {
    .op_type = "CrossEntropy",
    .domain = LOSS_DOMAIN,
    .min_version = 1,
    .max_version = LOSS_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 2,
    .flags = OP_NEEDS_IN,
    .parse = cross_entropy_parse,
    .infer = class_infer,
    .forward = class_forward,
    .backward = class_backward,
    .scratch = class_scratch,
    .tolerance = 1e-6,
    .doc = "mean cross-entropy of logits against labels, and that of every position",
};

/* ---- losses between two values: one sum over positions ---- */

struct pair_job {
    struct positions at;
    const real *a, *b;
    double temperature;
    double *partial;
    double d; /* backward: gradient of every position's term */
    real *da, *db;
};

static int pair_run(const struct op_run *run, struct pair_job *job, loop_fn *tile, double *ret_sum,
                    struct err *err) {
    job->partial = run->scratch;
    job->a = array_real(run->in[0]);
    job->b = array_real(run->in[1]);
    size_t count = tiles(&job->at);
    if (loop_run(run->team, run->progress, count, tile, job, err) < 0)
        return -1;
    *ret_sum = sum_in_order(job->partial, count, 1);
    return 0;
}

static int pair_back(const struct op_backward *back, struct pair_job *job, loop_fn *tile,
                     struct err *err) {
    if (!back->dout[0])
        return 0;
    job->a = array_real(back->run.in[0]);
    job->b = array_real(back->run.in[1]);
    job->da = back->din[0] ? array_real(back->din[0]) : NULL;
    job->db = back->din[1] ? array_real(back->din[1]) : NULL;
    return loop_run(back->run.team, back->run.progress, tiles(&job->at), tile, job, err);
}

static int pair_infer(struct op_infer *infer, struct err *err) {
    infer->out[0].type = scalar(infer->in[0]->type.dtype);
    return same_shape(infer, 0, 1, err);
}

/* As above, and there is a last axis. */
static int pair_last_infer(struct op_infer *infer, struct err *err) {
    for (size_t i = 0; i < 2; i++)
        if (infer->in[i]->type.ranked && infer->in[i]->type.rank == 0)
            return op_fail(infer->node, err, "a scalar has no last axis");
    return pair_infer(infer, err);
}

static uint64_t pair_last_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    struct positions at = positions_last(shapes->in[0]);
    return backward ? 0 : sizeof(double) * (uint64_t)tiles(&at);
}

/* ---- KLDivergence: a is the student, b the teacher ---- */

static int kl_parse(const struct node *node, struct arena *arena, void **ret_params,
                    struct err *err) {
    double *temperature = ARENA_NEW(arena, double);
    if (!temperature)
        return err_set(err, ERR_NO_MEMORY, "no memory for the attributes of a loss");
    *temperature = (double)node_float(node, "temperature", 1);
    if (!(*temperature > 0) || !isfinite(*temperature))
        return op_fail(node, err, "temperature %g is not positive", *temperature);
    *ret_params = temperature;
    return 0;
}

struct kl_logs {
    double student, teacher; /* log of the sum of exponentials */
};

static struct kl_logs kl_logs(const struct pair_job *job, const real *a, const real *b) {
    return (struct kl_logs){log_sum_exp(&job->at, a, job->temperature),
                            log_sum_exp(&job->at, b, job->temperature)};
}

/* Σ p_t (log p_t - log p_s); classes that the teacher gives nothing count nothing. */
static double kl_position(const struct pair_job *job, const real *a, const real *b,
                          struct kl_logs logs) {
    double kl = 0;
    for (uint64_t c = 0; c < job->at.classes; c++) {
        double log_teacher = (double)b[c] / job->temperature - logs.teacher;
        double p = exp(log_teacher);
        if (p > 0)
            kl += p * (log_teacher - ((double)a[c] / job->temperature - logs.student));
    }
    return kl;
}

static int kl_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct pair_job *job = ctx;
    double sum = 0;
    for (uint64_t p = tile * job->at.per_tile, end = tile_end(&job->at, tile); p < end; p++) {
        const real *a = job->a + start(&job->at, p), *b = job->b + start(&job->at, p);
        sum += kl_position(job, a, b, kl_logs(job, a, b));
    }
    job->partial[tile] = sum;
    return 0;
}

static int kl_forward(const struct op_run *run, struct err *err) {
    double temperature = *(const double *)run->node->params, sum;
    struct pair_job job = {.at = positions_last(run->in[0]), .temperature = temperature};
    if (pair_run(run, &job, kl_tile, &sum, err) < 0)
        return -1;
    array_real(run->out[0])[0] =
        (real)(job.at.count ? temperature * temperature * sum / (double)job.at.count : 0);
    return 0;
}

/* dstudent = d (p_s - p_t) / T; dteacher = d p_t (log p_t - log p_s - KL) / T */
static int kl_backward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct pair_job *job = ctx;
    double d = job->d / job->temperature;
    for (uint64_t p = tile * job->at.per_tile, end = tile_end(&job->at, tile); p < end; p++) {
        uint64_t first = start(&job->at, p);
        const real *a = job->a + first, *b = job->b + first;
        struct kl_logs logs = kl_logs(job, a, b);
        double kl = job->db ? kl_position(job, a, b, logs) : 0;
        for (uint64_t c = 0; c < job->at.classes; c++) {
            double log_student = (double)a[c] / job->temperature - logs.student;
            double log_teacher = (double)b[c] / job->temperature - logs.teacher;
            double p_teacher = exp(log_teacher);
            if (job->da)
                job->da[first + c] += (real)(d * (exp(log_student) - p_teacher));
            if (job->db && p_teacher > 0)
                job->db[first + c] += (real)(d * p_teacher * (log_teacher - log_student - kl));
        }
    }
    return 0;
}

static int kl_backward(const struct op_backward *back, struct err *err) {
    double temperature = *(const double *)back->run.node->params;
    struct pair_job job = {.at = positions_last(back->run.in[0]), .temperature = temperature};
    if (job.at.count && back->dout[0])
        job.d =
            (double)array_real(back->dout[0])[0] * temperature * temperature / (double)job.at.count;
    return pair_back(back, &job, kl_backward_tile, err);
}

const struct op op_kl_divergence = {
    .op_type = "KLDivergence",
    .domain = LOSS_DOMAIN,
    .min_version = 1,
    .max_version = LOSS_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = kl_parse,
    .infer = pair_last_infer,
    .forward = kl_forward,
    .backward = kl_backward,
    .scratch = pair_last_scratch,
    .tolerance = 1e-6,
    .doc = "how far a student's distribution is from its teacher's",
};

/* ---- MeanSquaredError ---- */

/* A position is one number. */
static struct positions each_element(const struct array *x) {
    struct positions at = positions_over(x->elements, 1, 1);
    return at;
}

static uint64_t mse_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    struct positions at = each_element(shapes->in[0]);
    return backward ? 0 : sizeof(double) * (uint64_t)tiles(&at);
}

static int mse_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct pair_job *job = ctx;
    double sum = 0;
    for (uint64_t i = tile * job->at.per_tile, end = tile_end(&job->at, tile); i < end; i++) {
        double difference = (double)job->a[i] - (double)job->b[i];
        sum += difference * difference;
    }
    job->partial[tile] = sum;
    return 0;
}

static int mse_forward(const struct op_run *run, struct err *err) {
    struct pair_job job = {.at = each_element(run->in[0])};
    double sum;
    if (pair_run(run, &job, mse_tile, &sum, err) < 0)
        return -1;
    array_real(run->out[0])[0] = (real)(job.at.count ? sum / (double)job.at.count : 0);
    return 0;
}

static int mse_backward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct pair_job *job = ctx;
    for (uint64_t i = tile * job->at.per_tile, end = tile_end(&job->at, tile); i < end; i++) {
        real d = (real)(2 * job->d * ((double)job->a[i] - (double)job->b[i]));
        if (job->da)
            job->da[i] += d;
        if (job->db)
            job->db[i] -= d;
    }
    return 0;
}

static int mse_backward(const struct op_backward *back, struct err *err) {
    struct pair_job job = {.at = each_element(back->run.in[0])};
    if (job.at.count && back->dout[0])
        job.d = (double)array_real(back->dout[0])[0] / (double)job.at.count;
    return pair_back(back, &job, mse_backward_tile, err);
}

const struct op op_mean_squared_error = {
    .op_type = "MeanSquaredError",
    .domain = LOSS_DOMAIN,
    .min_version = 1,
    .max_version = LOSS_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .infer = pair_infer,
    .forward = mse_forward,
    .backward = mse_backward,
    .scratch = mse_scratch,
    .tolerance = 1e-6,
    .doc = "mean squared difference",
};

/* ---- CosineLoss ---- */

struct cosine {
    double aa, bb, ab;
    double value; /* 0 when a vector is zero */
};

static struct cosine cosine_of(const real *a, const real *b, uint64_t n) {
    struct cosine cos = {0};
    for (uint64_t c = 0; c < n; c++) {
        cos.aa += (double)a[c] * (double)a[c];
        cos.bb += (double)b[c] * (double)b[c];
        cos.ab += (double)a[c] * (double)b[c];
    }
    if (cos.aa > 0 && cos.bb > 0)
        cos.value = cos.ab / (sqrt(cos.aa) * sqrt(cos.bb));
    return cos;
}

static int cosine_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct pair_job *job = ctx;
    double sum = 0;
    for (uint64_t p = tile * job->at.per_tile, end = tile_end(&job->at, tile); p < end; p++) {
        uint64_t first = start(&job->at, p);
        sum += cosine_of(job->a + first, job->b + first, job->at.classes).value;
    }
    job->partial[tile] = sum;
    return 0;
}

static int cosine_forward(const struct op_run *run, struct err *err) {
    struct pair_job job = {.at = positions_last(run->in[0])};
    double sum;
    if (pair_run(run, &job, cosine_tile, &sum, err) < 0)
        return -1;
    array_real(run->out[0])[0] = (real)(job.at.count ? 1 - sum / (double)job.at.count : 0);
    return 0;
}

/* da -= d (b / (|a| |b|) - cos a / |a|²), and the same for b */
static int cosine_backward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct pair_job *job = ctx;
    for (uint64_t p = tile * job->at.per_tile, end = tile_end(&job->at, tile); p < end; p++) {
        uint64_t first = start(&job->at, p);
        const real *a = job->a + first, *b = job->b + first;
        struct cosine cos = cosine_of(a, b, job->at.classes);
        if (!(cos.aa > 0 && cos.bb > 0))
            continue;
        double lengths = sqrt(cos.aa) * sqrt(cos.bb);
        for (uint64_t c = 0; c < job->at.classes; c++) {
            double x = (double)a[c], y = (double)b[c];
            if (job->da)
                job->da[first + c] -= (real)(job->d * (y / lengths - cos.value * x / cos.aa));
            if (job->db)
                job->db[first + c] -= (real)(job->d * (x / lengths - cos.value * y / cos.bb));
        }
    }
    return 0;
}

static int cosine_backward(const struct op_backward *back, struct err *err) {
    struct pair_job job = {.at = positions_last(back->run.in[0])};
    if (job.at.count && back->dout[0])
        job.d = (double)array_real(back->dout[0])[0] / (double)job.at.count;
    return pair_back(back, &job, cosine_backward_tile, err);
}

const struct op op_cosine_loss = {
    .op_type = "CosineLoss",
    .domain = LOSS_DOMAIN,
    .min_version = 1,
    .max_version = LOSS_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .infer = pair_last_infer,
    .forward = cosine_forward,
    .backward = cosine_backward,
    .scratch = pair_last_scratch,
    .tolerance = 1e-6,
    .doc = "1 - mean cosine over the last axis",
};
