/*
 * Normalisations that are no affine map of a row.
 *
 *   LpNormalization            y = x / (sum of |x|^p)^(1/p) along an axis, p 1 or 2; 0 stays 0
 *   LRN                        y = x / (bias + alpha / size * sum of x^2 over `size` channels)^beta
 *   MeanVarianceNormalization  y = (x - mean) / (deviation + 1e-9) over `axes`
 *
 * Rare, so plain: one line, position or statistic after the other, in double.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- LpNormalization: x [outer, len, inner] ---- */

enum { TILE = 8192 };

struct lines {
    size_t outer, len, inner, per_tile;
    bool squares;
    const real *x, *dy;
    real *to;
};

struct lp {
    int64_t axis;
    bool squares;
};

static int lp_parse(const struct node *node, struct arena *arena, void **ret_params,
                    struct err *err) {
    struct lp *params = ARENA_NEW(arena, struct lp);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    int64_t p = node_int(node, "p", 2);
    if (p != 1 && p != 2)
        return op_fail(node, err, "p is %" PRId64 ", neither 1 nor 2", p);
    params->axis = node_int(node, "axis", -1);
    params->squares = p == 2;
    *ret_params = params;
    return 0;
}

static int lp_infer(struct op_infer *infer, struct err *err) {
    const struct lp *params = infer->node->params;
    const struct type *x = &infer->in[0]->type;
    unsigned axis;
    infer->out[0].type = *x;
    return x->ranked ? op_axis(infer->node, params->axis, x->rank, &axis, err) : 0;
}

static struct lines lines_of(const struct op_run *run) {
    const struct lp *params = run->node->params;
    const struct array *x = run->in[0];
    struct lines l = {.outer = 1, .len = 1, .inner = 1, .squares = params->squares};
    unsigned axis = (unsigned)(params->axis < 0 ? params->axis + x->rank : params->axis);
    for (unsigned d = 0; d < x->rank; d++)
        *(d < axis ? &l.outer : d == axis ? &l.len : &l.inner) *= (size_t)x->dims[d];
    l.per_tile = l.len < TILE ? TILE / (l.len ? l.len : 1) : 1;
    l.x = array_real(x);
    return l;
}

static double norm_of(const struct lines *l, const real *x) {
    double sum = 0;
    for (size_t k = 0; k < l->len; k++) {
        double v = x[k * l->inner];
        sum += l->squares ? v * v : fabs(v);
    }
    return l->squares ? sqrt(sum) : sum;
}

static void line_back(const struct lines *l, size_t at, double norm) {
    const real *x = l->x + at, *dy = l->dy + at;
    real *dx = l->to + at;
    double along = 0; /* dy y */
    for (size_t k = 0; k < l->len; k++)
        along += (double)dy[k * l->inner] * x[k * l->inner] / norm;
    for (size_t k = 0; k < l->len; k++) {
        double v = x[k * l->inner];
        double way = l->squares ? v / norm : (v > 0) - (v < 0);
        dx[k * l->inner] += (real)((dy[k * l->inner] - way * along) / norm);
    }
}

static int lp_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct lines *l = ctx;
    size_t end = (tile + 1) * l->per_tile, count = l->outer * l->inner;
    for (size_t i = tile * l->per_tile; i < end && i < count; i++) {
        size_t at = i / l->inner * l->len * l->inner + i % l->inner;
        double norm = norm_of(l, l->x + at);
        if (l->dy && norm != 0)
            line_back(l, at, norm);
        for (size_t k = 0; k < l->len && !l->dy; k++)
            l->to[at + k * l->inner] = norm == 0 ? 0 : (real)(l->x[at + k * l->inner] / norm);
    }
    return 0;
}

static int run_lp(struct lines *l, const struct op_run *run, struct err *err) {
    size_t count = l->outer * l->inner;
    return loop_run(run->team, run->progress, (count + l->per_tile - 1) / l->per_tile, lp_tile, l,
                    err);
}

static int lp_forward(const struct op_run *run, struct err *err) {
    struct lines l = lines_of(run);
    l.to = array_real(run->out[0]);
    return run_lp(&l, run, err);
}

static int lp_backward(const struct op_backward *back, struct err *err) {
    struct lines l = lines_of(&back->run);
    l.dy = array_real(back->dout[0]);
    l.to = array_real(back->din[0]);
    return run_lp(&l, &back->run, err);
}

static int lp_dims(struct relations *r, const struct op_run *shapes) {
    const struct lp *params = shapes->node->params;
    unsigned rank = shapes->in[0]->rank;
    unsigned axis = (unsigned)(params->axis < 0 ? params->axis + rank : params->axis);
    return relate_elementwise(r, shapes) < 0
               ? -1
               : relate_contracted(r, AXIS_IN(0, axis), AXIS_IN(0, axis));
}

const struct op op_lp_normalization = {
    .op_type = "LpNormalization",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = lp_parse,
    .infer = lp_infer,
    .forward = lp_forward,
    .backward = lp_backward,
    .dims = lp_dims,
    .tolerance = 1e-6,
    .doc = "lines along an axis to a p-norm of 1",
};

/* ---- LRN: x [n, c, positions] ---- */

struct lrn {
    double alpha, beta, bias;
    size_t size;
};

struct stack {
    const struct lrn *params;
    size_t channels, positions;
    const real *x;
    real *y;
};

static int lrn_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    struct lrn *params = ARENA_NEW(arena, struct lrn);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    int64_t size = node_int(node, "size", 0);
    if (size < 1 || size > INT32_MAX)
        return op_fail(node, err, "a size of %" PRId64, size);
    params->size = (size_t)size;
    params->alpha = (double)node_float(node, "alpha", 1e-4F);
    params->beta = (double)node_float(node, "beta", 0.75F);
    params->bias = (double)node_float(node, "bias", 1);
    *ret_params = params;
    return 0;
}

static int lrn_infer(struct op_infer *infer, struct err *err) {
    const struct type *x = &infer->in[0]->type;
    infer->out[0].type = *x;
    return x->ranked && x->rank < 2
               ? op_fail(infer->node, err, "an input of rank %u has no channels", x->rank)
               : 0;
}

/* One sample's channel. */
static int lrn_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct stack *s = ctx;
    const struct lrn *params = s->params;
    size_t c = tile % s->channels, before = (params->size - 1) / 2;
    size_t first = c < before ? 0 : c - before, end = c + params->size - before;
    end = end < s->channels ? end : s->channels;
    const real *sample = s->x + (tile - c) * s->positions;
    for (size_t i = 0; i < s->positions; i++) {
        double sum = 0;
        for (size_t k = first; k < end; k++)
            sum += (double)sample[k * s->positions + i] * sample[k * s->positions + i];
        s->y[tile * s->positions + i] =
            (real)(sample[c * s->positions + i] /
                   pow(params->bias + params->alpha / (double)params->size * sum, params->beta));
    }
    return 0;
}

static int lrn_forward(const struct op_run *run, struct err *err) {
    const struct array *x = run->in[0];
    struct stack s = {.params = run->node->params,
                      .channels = (size_t)x->dims[1],
                      .positions = 1,
                      .x = array_real(x),
                      .y = array_real(run->out[0])};
    for (unsigned d = 2; d < x->rank; d++)
        s.positions *= (size_t)x->dims[d];
    return loop_run(run->team, run->progress, (size_t)x->dims[0] * s.channels, lrn_tile, &s, err);
}

/* A channel is divided by its neighbours: who they are must not change. */
static int lrn_dims(struct relations *r, const struct op_run *shapes) {
    return relate_elementwise(r, shapes) < 0 ? -1 : relate_fixed(r, AXIS_IN(0, 1));
}

const struct op op_lrn = {
    .op_type = "LRN",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .parse = lrn_parse,
    .infer = lrn_infer,
    .forward = lrn_forward,
    .dims = lrn_dims,
    .doc = "divided by what neighbouring channels hold",
};

/* ---- MeanVarianceNormalization ---- */

#define DEVIATION_LEAST 1e-9

struct mvn {
    size_t count;
    int64_t axes[LIMIT_RANK];
};

/* Axes over which statistics are taken, and the others, each with the steps of x. */
struct shares {
    unsigned over_rank, kept_rank;
    size_t over[LIMIT_RANK], over_step[LIMIT_RANK], kept[LIMIT_RANK], kept_step[LIMIT_RANK];
    size_t over_count, kept_count;
    const real *x, *dy;
    real *to;
};

static int mvn_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    struct mvn *params = ARENA_NEW(arena, struct mvn);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    const int64_t standard[] = {0, 2, 3}, *axes = standard;
    params->count = 3;
    node_ints(node, "axes", &axes, &params->count);
    if (params->count > LIMIT_RANK)
        return op_fail(node, err, "%zu axes", params->count);
    memcpy(params->axes, axes, params->count * sizeof *axes);
    *ret_params = params;
    return 0;
}

static int mvn_infer(struct op_infer *infer, struct err *err) {
    const struct mvn *params = infer->node->params;
    const struct type *x = &infer->in[0]->type;
    unsigned axis;
    infer->out[0].type = *x;
    for (size_t i = 0; i < params->count && x->ranked; i++)
        if (op_axis(infer->node, params->axes[i], x->rank, &axis, err) < 0)
            return -1;
    return 0;
}

static struct shares shares_of(const struct op_run *run) {
    const struct mvn *params = run->node->params;
    const struct array *x = run->in[0];
    struct shares s = {.over_count = 1, .kept_count = 1, .x = array_real(x)};
    size_t step = 1;
    for (unsigned d = x->rank; d-- > 0; step *= (size_t)x->dims[d]) {
        bool over = false;
        for (size_t i = 0; i < params->count; i++)
            over = over || params->axes[i] == (int64_t)d ||
                   params->axes[i] + (int64_t)x->rank == (int64_t)d;
        size_t size = (size_t)x->dims[d];
        if (over) {
            s.over[s.over_rank] = size;
            s.over_step[s.over_rank++] = step;
            s.over_count *= size;
        } else {
            s.kept[s.kept_rank] = size;
            s.kept_step[s.kept_rank++] = step;
            s.kept_count *= size;
        }
    }
    return s;
}

/* Innermost axis first. */
static size_t place(const size_t *sizes, const size_t *steps, unsigned rank, size_t i) {
    size_t at = 0;
    for (unsigned d = 0; d < rank; i /= sizes[d++])
        at += i % sizes[d] * steps[d];
    return at;
}

static size_t within(const struct shares *s, size_t base, size_t i) {
    return base + place(s->over, s->over_step, s->over_rank, i);
}

static void share_back(const struct shares *s, size_t base, double mean, double deviation) {
    /* With e the added least: dy/dx = (1 - average - (x - mean) (x - mean) / (n d (d + e))) /
     * (d + e). */
    double centre = 0, along = 0, n = (double)s->over_count, whole = deviation + DEVIATION_LEAST;
    for (size_t i = 0; i < s->over_count; i++) {
        size_t at = within(s, base, i);
        centre += s->dy[at] / n;
        along += s->dy[at] * (s->x[at] - mean) / n;
    }
    double slope = deviation > 0 ? along / (deviation * whole) : 0;
    for (size_t i = 0; i < s->over_count; i++) {
        size_t at = within(s, base, i);
        s->to[at] += (real)((s->dy[at] - centre - (s->x[at] - mean) * slope) / whole);
    }
}

static int mvn_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct shares *s = ctx;
    size_t base = place(s->kept, s->kept_step, s->kept_rank, tile);
    double mean = 0, variance = 0, n = (double)s->over_count;
    for (size_t i = 0; i < s->over_count; i++)
        mean += s->x[within(s, base, i)] / n;
    for (size_t i = 0; i < s->over_count; i++) {
        double d = s->x[within(s, base, i)] - mean;
        variance += d * d / n;
    }
    double deviation = sqrt(variance);
    if (s->dy) {
        share_back(s, base, mean, deviation);
        return 0;
    }
    for (size_t i = 0; i < s->over_count; i++) {
        size_t at = within(s, base, i);
        s->to[at] = (real)((s->x[at] - mean) / (deviation + DEVIATION_LEAST));
    }
    return 0;
}

static int mvn_forward(const struct op_run *run, struct err *err) {
    struct shares s = shares_of(run);
    s.to = array_real(run->out[0]);
    return loop_run(run->team, run->progress, s.kept_count, mvn_tile, &s, err);
}

static int mvn_backward(const struct op_backward *back, struct err *err) {
    struct shares s = shares_of(&back->run);
    s.dy = array_real(back->dout[0]);
    s.to = array_real(back->din[0]);
    return loop_run(back->run.team, back->run.progress, s.kept_count, mvn_tile, &s, err);
}

static int mvn_dims(struct relations *r, const struct op_run *shapes) {
    const struct mvn *params = shapes->node->params;
    if (relate_elementwise(r, shapes) < 0)
        return -1;
    for (size_t i = 0; i < params->count; i++) {
        int64_t axis = params->axes[i] + (params->axes[i] < 0 ? shapes->in[0]->rank : 0);
        if (relate_contracted(r, AXIS_IN(0, axis), AXIS_IN(0, axis)) < 0)
            return -1;
    }
    return 0;
}

const struct op op_mean_variance_normalization = {
    .op_type = "MeanVarianceNormalization",
    .domain = "",
    .min_version = 9,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = mvn_parse,
    .infer = mvn_infer,
    .forward = mvn_forward,
    .backward = mvn_backward,
    .dims = mvn_dims,
    .tolerance = 1e-6,
    .doc = "mean 0 and variance 1 over any axes",
};
