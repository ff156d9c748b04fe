/*
 * BatchNormalization   x [n, c, ...], scale, bias, mean, variance [c] → y, running mean, variance
 *
 *   inference  y = (x - mean) / sqrt(variance + epsilon) * scale + bias
 *   training   the same with the batch's own mean and variance (over n and positions; not the
 *              unbiased one), and running = running * momentum + batch * (1 - momentum)
 *
 * Backward, per channel, xhat = (x - mean) r, N elements:
 *
 *   inference  dx = dy scale r;  dmean = - scale r sum of dy;
 *              dvariance = - scale r^2 / 2 sum of dy xhat
 *   training   dx = scale r (dy - average of dy - xhat * average of dy xhat)
 *   both       dscale = sum of dy xhat, dbias = sum of dy
 *
 * A tile is a few channels of the whole batch, so every sum has one owner. Inference, where nothing
 * is summed, is cut into planes instead.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/base/size.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"
#include "compress/tensor/vmath.h"

#include <inttypes.h>
#include <math.h>

enum { TILE = 16384, CHUNK = 1024 };

struct params {
    double epsilon, momentum;
    bool training;
};

struct work {
    const struct params *params;
    size_t batch, channels, plane;
    size_t planes_a_tile, channels_a_tile;
    const real *x, *scale, *bias, *mean, *variance;
    real *y, *running_mean, *running_variance;
    const real *dy, *drunning_mean, *drunning_variance;
    real *dx, *dscale, *dbias, *dmean, *dvariance;
};

static int batch_parse(const struct node *node, struct arena *arena, void **ret_params,
                       struct err *err) {
    struct params *params = ARENA_NEW(arena, struct params);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    params->epsilon = (double)node_float(node, "epsilon", 1e-5F);
    params->momentum = (double)node_float(node, "momentum", 0.9F);
    params->training = node->version >= 14 && node_int(node, "training_mode", 0) != 0;
    if (node->version < 9 && !node_int(node, "spatial", 1))
        return err_set(err, ERR_UNSUPPORTED, "statistics per position are not executable");
    for (size_t i = 1; i < node->out_count && !params->training; i++)
        if (node->out[i])
            return node->version < 14
                       ? err_set(err, ERR_UNSUPPORTED,
                                 "training before operator set 14 is not executable")
                       : op_fail(node, err, "running statistics without training_mode");
    *ret_params = params;
    return 0;
}

static int batch_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    const struct type *x = &infer->in[0]->type;
    infer->out[0].type = *x;
    struct dim c = {-1, 0};
    bool known = false;
    if (x->ranked) {
        if (x->rank < 1)
            return op_fail(node, err, "a scalar has no channels");
        c = x->rank > 1 ? x->dims[1] : DIM(1);
        known = true;
    }
    for (size_t i = 1; i < 5; i++) {
        const struct type *t = &infer->in[i]->type;
        if (!t->ranked)
            continue;
        if (t->rank != 1 ||
            (known && dim_known(c) && dim_known(t->dims[0]) && t->dims[0].size != c.size))
            return op_fail(node, err, "input %zu is not one number per channel", i);
        if (!known || !dim_known(c))
            c = t->dims[0];
        known = true;
    }
    for (size_t i = 1; i < node->out_count; i++)
        infer->out[i].type = (struct type){.dtype = infer->in[3 + (i - 1) % 2]->type.dtype,
                                           .ranked = known,
                                           .rank = 1,
                                           .dims = {c}};
    return 0;
}

/* How many units of so many elements make a tile. */
static size_t a_tile(size_t unit) {
    return unit == 0 ? TILE : unit < TILE ? TILE / unit : 1;
}

static struct work work_of(const struct op_run *run) {
    const struct array *x = run->in[0];
    struct work w = {.params = run->node->params,
                     .batch = (size_t)x->dims[0],
                     .channels = x->rank > 1 ? (size_t)x->dims[1] : 1,
                     .plane = 1};
    for (unsigned d = 2; d < x->rank; d++)
        w.plane *= (size_t)x->dims[d];
    size_t of_channel = w.batch * w.plane;
    w.planes_a_tile = a_tile(w.plane);
    w.channels_a_tile = a_tile(of_channel);
    return w;
}

static bool is_empty(const struct work *w) {
    return w->batch == 0 || w->channels == 0 || w->plane == 0;
}

static real *plane_of(real *x, const struct work *w, size_t n, size_t c) {
    return x + (n * w->channels + c) * w->plane;
}

static const real *plane_in(const real *x, const struct work *w, size_t n, size_t c) {
    return x + (n * w->channels + c) * w->plane;
}

/* y = (x - mean) * slope + bias */
static void apply(const real *x, double mean, double slope, real bias, size_t n, real *y) {
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t len = n - i < CHUNK ? n - i : CHUNK;
        vmath_add_scalar(x + i, (real)-mean, len, y + i);
        vmath_mul_scalar(y + i, (real)slope, len, y + i);
        vmath_add_scalar(y + i, bias, len, y + i);
    }
}

static void batch_statistics(const struct work *w, size_t c, double *ret_mean, double *ret_var) {
    double sum = 0, squares = 0, count = (double)w->batch * (double)w->plane;
    for (size_t n = 0; n < w->batch; n++)
        sum += vmath_sum(plane_in(w->x, w, n, c), w->plane);
    *ret_mean = sum / count;
    for (size_t n = 0; n < w->batch; n++)
        squares += vmath_sum_squares(plane_in(w->x, w, n, c), *ret_mean, w->plane);
    *ret_var = squares / count;
}

/* ---- forward ---- */

static int inference_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct work *w = ctx;
    size_t end = (tile + 1) * w->planes_a_tile, planes = w->batch * w->channels;
    for (size_t p = tile * w->planes_a_tile; p < end && p < planes; p++) {
        size_t c = p % w->channels;
        double slope = w->scale[c] / sqrt(w->variance[c] + w->params->epsilon);
        apply(w->x + p * w->plane, w->mean[c], slope, w->bias[c], w->plane, w->y + p * w->plane);
    }
    return 0;
}

static int training_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct work *w = ctx;
    double momentum = w->params->momentum;
    size_t end = (tile + 1) * w->channels_a_tile;
    for (size_t c = tile * w->channels_a_tile; c < end && c < w->channels; c++) {
        double mean, variance;
        batch_statistics(w, c, &mean, &variance);
        double slope = w->scale[c] / sqrt(variance + w->params->epsilon);
        for (size_t n = 0; n < w->batch; n++)
            apply(plane_in(w->x, w, n, c), mean, slope, w->bias[c], w->plane,
                  plane_of(w->y, w, n, c));
        if (w->running_mean)
            w->running_mean[c] = (real)(w->mean[c] * momentum + mean * (1 - momentum));
        if (w->running_variance)
            w->running_variance[c] = (real)(w->variance[c] * momentum + variance * (1 - momentum));
    }
    return 0;
}

static void take_inputs(struct work *w, const struct op_run *run) {
    w->x = array_real(run->in[0]);
    w->scale = array_real(run->in[1]);
    w->bias = array_real(run->in[2]);
    w->mean = array_real(run->in[3]);
    w->variance = array_real(run->in[4]);
}

static int batch_forward(const struct op_run *run, struct err *err) {
    struct work w = work_of(run);
    if (is_empty(&w))
        return 0;
    take_inputs(&w, run);
    w.y = array_real(run->out[0]);
    if (!w.params->training)
        return loop_run(run->team, run->progress,
                        size_pieces(w.batch * w.channels, w.planes_a_tile), inference_tile, &w,
                        err);
    w.running_mean = run->node->out_count > 1 && run->out[1] ? array_real(run->out[1]) : NULL;
    w.running_variance = run->node->out_count > 2 && run->out[2] ? array_real(run->out[2]) : NULL;
    return loop_run(run->team, run->progress, size_pieces(w.channels, w.channels_a_tile),
                    training_tile, &w, err);
}

/* ---- backward ---- */

/* dx += slope * (dy - centre - along * (x - mean)) of one plane; dy may be NULL. */
static void flow(const real *x, const real *dy, double mean, double slope, double centre,
                 double along, size_t n, real *dx) {
    real part[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t len = n - i < CHUNK ? n - i : CHUNK;
        vmath_add_scalar(x + i, (real)-mean, len, part);
        vmath_mul_scalar(part, (real)(-along * slope), len, part);
        vmath_add_scalar(part, (real)(-centre * slope), len, part);
        if (dy)
            vmath_axpy((real)slope, dy + i, len, part);
        vmath_add(dx + i, part, len, dx + i);
    }
}

/* Sums of dy and of dy * (x - mean). */
static void channel_sums(const struct work *w, size_t c, double mean, double *ret_dy,
                         double *ret_dyx) {
    *ret_dy = *ret_dyx = 0;
    if (!w->dy)
        return;
    real part[CHUNK];
    for (size_t n = 0; n < w->batch; n++) {
        const real *x = plane_in(w->x, w, n, c), *dy = plane_in(w->dy, w, n, c);
        *ret_dy += vmath_sum(dy, w->plane);
        for (size_t i = 0; i < w->plane; i += CHUNK) {
            size_t len = w->plane - i < CHUNK ? w->plane - i : CHUNK;
            vmath_add_scalar(x + i, (real)-mean, len, part);
            *ret_dyx += vmath_dot(dy + i, part, len);
        }
    }
}

static void backward_channel(const struct work *w, size_t c) {
    bool training = w->params->training;
    double mean = w->mean[c], variance = w->variance[c], dy, dyx;
    if (training)
        batch_statistics(w, c, &mean, &variance);
    double r = 1 / sqrt(variance + w->params->epsilon), scale = w->scale[c];
    channel_sums(w, c, mean, &dy, &dyx);
    if (w->dscale)
        w->dscale[c] += (real)(dyx * r);
    if (w->dbias)
        w->dbias[c] += (real)dy;
    double count = (double)w->batch * (double)w->plane, rest = 1 - w->params->momentum;
    double drm = w->drunning_mean ? w->drunning_mean[c] : 0;
    double drv = w->drunning_variance ? w->drunning_variance[c] : 0;
    if (w->dmean)
        w->dmean[c] += (real)(training ? drm * w->params->momentum : -scale * r * dy);
    if (w->dvariance)
        w->dvariance[c] +=
            (real)(training ? drv * w->params->momentum : -0.5 * scale * r * r * r * dyx);
    if (!w->dx)
        return;
    double slope = scale * r, centre = training ? dy / count : 0;
    double along = training ? dyx * r * r / count : 0;
    for (size_t n = 0; n < w->batch; n++) {
        const real *x = plane_in(w->x, w, n, c);
        real *dx = plane_of(w->dx, w, n, c);
        if (w->dy)
            flow(x, plane_in(w->dy, w, n, c), mean, slope, centre, along, w->plane, dx);
        if (training && (drm != 0 || drv != 0))
            flow(x, NULL, mean, 1, -rest * drm / count, -2 * rest * drv / count, w->plane, dx);
    }
}

static int backward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct work *w = ctx;
    size_t end = (tile + 1) * w->channels_a_tile;
    for (size_t c = tile * w->channels_a_tile; c < end && c < w->channels; c++)
        backward_channel(w, c);
    return 0;
}

static int batch_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    struct work w = work_of(run);
    if (is_empty(&w))
        return 0;
    take_inputs(&w, run);
    size_t outs = run->node->out_count;
    w.dy = back->dout[0] ? array_real(back->dout[0]) : NULL;
    w.drunning_mean = outs > 1 && back->dout[1] ? array_real(back->dout[1]) : NULL;
    w.drunning_variance = outs > 2 && back->dout[2] ? array_real(back->dout[2]) : NULL;
    real **const to[] = {&w.dx, &w.dscale, &w.dbias, &w.dmean, &w.dvariance};
    for (size_t i = 0; i < 5; i++)
        *to[i] = back->din[i] ? array_real(back->din[i]) : NULL;
    return loop_run(run->team, run->progress, size_pieces(w.channels, w.channels_a_tile),
                    backward_tile, &w, err);
}

static int batch_dims(struct relations *r, const struct op_run *shapes) {
    const struct node *node = shapes->node;
    const struct params *params = node->params;
    const struct array *x = shapes->in[0];
    if (x->rank < 2)
        return relate_nothing(r, shapes);
    for (unsigned d = 0; d < x->rank; d++)
        if (relate_same(r, AXIS_IN(0, d), AXIS_OUT(0, d)) < 0 ||
            (params->training && d != 1 && /* the batch's own statistics */
             relate_fixed(r, AXIS_IN(0, d)) < 0))
            return -1;
    for (size_t i = 1; i < node->in_count; i++)
        if (relate_same(r, AXIS_IN(i, 0), AXIS_IN(0, 1)) < 0)
            return -1;
    for (size_t i = 1; i < node->out_count; i++)
        if (relate_same(r, AXIS_OUT(i, 0), AXIS_IN(0, 1)) < 0)
            return -1;
    return 0;
}

const struct op op_batch_normalization = {
    .op_type = "BatchNormalization",
    .domain = "",
    .min_version = 7,
    .max_version = OP_ONNX_VERSION,
    .min_in = 5,
    .max_in = 5,
    .min_out = 1,
    .max_out = 5,
    .flags = OP_NEEDS_IN,
    .parse = batch_parse,
    .infer = batch_infer,
    .forward = batch_forward,
    .backward = batch_backward,
    .dims = batch_dims,
    .tolerance = 1e-6,
    .doc = "channels to mean 0 and variance 1, by given statistics or the batch's own",
};
