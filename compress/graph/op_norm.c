/*
 * Normalisation of rows: what they are differs, what happens to one does not.
 *
 *   y = (x - mean) / sqrt(variance + epsilon), then times a scale and plus a bias
 *
 *                          a row                     scale, bias
 *   LayerNormalization     the last axes from `axis` one per element of a row
 *   RMSNormalization       the same, mean taken as 0 one per element, no bias
 *   GroupNormalization     channels/groups planes    one per channel (before operator set 21:
 * group) InstanceNormalization  a plane                   one per channel
 *
 * Backward, with xhat = (x - mean) r, r = 1 / sqrt(variance + epsilon), d = dy scale:
 *
 *   dx = r (d - average of d - xhat * average of (d xhat))
 *   dscale = sum of dy xhat over rows, dbias = sum of dy over rows
 *
 * Statistics are computed again from x rather than kept: x is in the cache for the rest anyway. The
 * variance is a second pass. Sums over rows are made per block of rows and added in order.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/base/size.h"
#include "compress/graph/content.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"
#include "compress/tensor/vmath.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { TILE = 16384, MOST_BLOCKS = 64, FOLD_COLS = 512 };

struct norm {
    int64_t axis;
    uint64_t groups;
    double epsilon;
};

struct rows {
    size_t rows, len;
    size_t segment;  /* elements that share a scale; 0: one scale for each element of a row */
    size_t channels; /* of scale and bias */
    bool centred;
    double epsilon;
    const real *x, *scale, *bias;
    real *y, *mean, *inverse; /* the last two: wanted outputs, or NULL */
    /* backward */
    const real *dy, *dmean, *dinverse;
    real *dx, *dscale, *dbias;
    real *scratch;
    size_t block; /* rows of a tile */
    size_t blocks;
};

/* Rows per tile, and few enough tiles that a partial sum for each is cheap. */
static void cut(struct rows *r) {
    size_t least = r->len < TILE ? TILE / (r->len ? r->len : 1) : 1;
    size_t even = size_pieces(r->rows, MOST_BLOCKS);
    r->block = least > even ? least : even;
    r->blocks = size_pieces(r->rows, r->block);
}

/* ---- one row ---- */

static void statistics(const struct rows *r, const real *x, double *ret_mean, double *ret_inverse) {
    *ret_mean = r->centred ? vmath_sum(x, r->len) / (double)r->len : 0;
    double variance = vmath_sum_squares(x, *ret_mean, r->len) / (double)r->len;
    *ret_inverse = 1 / sqrt(variance + r->epsilon);
}

static size_t channel_of(const struct rows *r, size_t row, size_t segment) {
    return (row * (r->len / r->segment) + segment) % r->channels;
}

static void forward_row(const struct rows *r, size_t row) {
    const real *x = r->x + row * r->len;
    real *y = r->y + row * r->len;
    double mean, inverse;
    statistics(r, x, &mean, &inverse);
    if (r->mean)
        r->mean[row] = (real)mean;
    if (r->inverse)
        r->inverse[row] = (real)inverse;
    if (r->segment == 0) {
        if (r->centred)
            vmath_add_scalar(x, (real)-mean, r->len, y);
        vmath_mul_scalar(r->centred ? y : x, (real)inverse, r->len, y);
        if (r->scale)
            vmath_mul(y, r->scale, r->len, y);
        if (r->bias)
            vmath_add(y, r->bias, r->len, y);
        return;
    }
    for (size_t s = 0; s < r->len / r->segment; s++, x += r->segment, y += r->segment) {
        size_t c = channel_of(r, row, s);
        vmath_add_scalar(x, (real)-mean, r->segment, y);
        vmath_mul_scalar(y, (real)(inverse * r->scale[c]), r->segment, y);
        vmath_add_scalar(y, r->bias[c], r->segment, y);
    }
}

static int forward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct rows *r = ctx;
    for (size_t row = tile * r->block; row < (tile + 1) * r->block && row < r->rows; row++)
        forward_row(r, row);
    return 0;
}

/* ---- backward ---- */

/* Scratch: two partial sums per block, two rows per worker. */
static uint64_t backward_elements(const struct rows *r, unsigned threads) {
    return 2 * (uint64_t)r->blocks * r->channels + 2 * (uint64_t)threads * r->len;
}

static void backward_row(const struct rows *r, size_t row, real *xhat, real *d, real *dscale,
                         real *dbias) {
    const real *x = r->x + row * r->len, *dy = r->dy ? r->dy + row * r->len : NULL;
    double mean, inverse;
    statistics(r, x, &mean, &inverse);
    vmath_add_scalar(x, (real)-mean, r->len, xhat);
    vmath_mul_scalar(xhat, (real)inverse, r->len, xhat);
    if (!dy) {
        memset(d, 0, r->len * sizeof *d);
    } else if (r->segment == 0) {
        vmath_muladd(dy, xhat, r->len, dscale);
        vmath_add(dbias, dy, r->len, dbias);
        if (r->scale)
            vmath_mul(dy, r->scale, r->len, d);
        else
            memcpy(d, dy, r->len * sizeof *d);
    } else {
        for (size_t s = 0; s < r->len / r->segment; s++) {
            size_t c = channel_of(r, row, s), at = s * r->segment;
            dscale[c] += (real)vmath_dot(dy + at, xhat + at, r->segment);
            dbias[c] += (real)vmath_sum(dy + at, r->segment);
            vmath_mul_scalar(dy + at, r->scale[c], r->segment, d + at);
        }
    }
    if (!r->dx)
        return;
    /* dx = inverse * (d - centre - along * xhat); what flows into mean and 1/deviation themselves
     * has the same two directions. */
    double n = (double)r->len, centre = r->centred ? vmath_sum(d, r->len) / n : 0;
    double along = vmath_dot(d, xhat, r->len) / n;
    if (r->dmean)
        centre -= r->dmean[row] / (n * inverse);
    if (r->dinverse)
        along += r->dinverse[row] * inverse / n;
    vmath_add_scalar(d, (real)-centre, r->len, d);
    vmath_axpy((real)-along, xhat, r->len, d);
    vmath_axpy((real)inverse, d, r->len, r->dx + row * r->len);
}

static int backward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct rows *r = ctx;
    real *dscale = r->scratch + 2 * tile * r->channels, *dbias = dscale + r->channels;
    real *xhat = r->scratch + 2 * r->blocks * r->channels + 2 * (size_t)worker * r->len;
    memset(dscale, 0, 2 * r->channels * sizeof *dscale);
    for (size_t row = tile * r->block; row < (tile + 1) * r->block && row < r->rows; row++)
        backward_row(r, row, xhat, xhat + r->len, dscale, dbias);
    return 0;
}

static int fold_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct rows *r = ctx;
    size_t at = tile * FOLD_COLS, n = r->channels - at < FOLD_COLS ? r->channels - at : FOLD_COLS;
    for (size_t block = 0; block < r->blocks; block++) {
        const real *dscale = r->scratch + 2 * block * r->channels + at;
        if (r->dscale)
            vmath_add(r->dscale + at, dscale, n, r->dscale + at);
        if (r->dbias)
            vmath_add(r->dbias + at, dscale + r->channels, n, r->dbias + at);
    }
    return 0;
}

static int run_forward(struct rows *r, const struct op_run *run, struct err *err) {
    if (r->rows == 0 || r->len == 0)
        return 0;
    return loop_run(run->team, run->progress, r->blocks, forward_tile, r, err);
}

static int run_backward(struct rows *r, const struct op_run *run, struct err *err) {
    if (r->rows == 0 || r->len == 0)
        return 0;
    r->scratch = run->scratch;
    if (loop_run(run->team, run->progress, r->blocks, backward_tile, r, err) < 0)
        return -1;
    return loop_run(run->team, run->progress, size_pieces(r->channels, FOLD_COLS), fold_tile, r,
                    err);
}

static const real *data_of(const struct array *const *arrays, size_t count, size_t i) {
    return i < count && arrays[i] ? array_real(arrays[i]) : NULL;
}

static real *room_of(struct array *const *arrays, size_t count, size_t i) {
    return i < count && arrays[i] ? array_real(arrays[i]) : NULL;
}

static int forward(struct rows *r, const struct op_run *run, struct err *err) {
    size_t outs = run->node->out_count;
    r->x = array_real(run->in[0]);
    r->scale = data_of(run->in, run->node->in_count, 1);
    r->bias = data_of(run->in, run->node->in_count, 2);
    r->y = array_real(run->out[0]);
    r->mean = r->centred ? room_of(run->out, outs, 1) : NULL;
    r->inverse = room_of(run->out, outs, r->centred ? 2 : 1);
    return run_forward(r, run, err);
}

static int backward(struct rows *r, const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    size_t outs = run->node->out_count, ins = run->node->in_count;
    r->x = array_real(run->in[0]);
    r->scale = data_of(run->in, ins, 1);
    r->dy = data_of(back->dout, outs, 0);
    r->dmean = data_of(back->dout, outs, 1);
    r->dinverse = data_of(back->dout, outs, 2);
    r->dx = room_of(back->din, ins, 0);
    r->dscale = room_of(back->din, ins, 1);
    r->dbias = room_of(back->din, ins, 2);
    return run_backward(r, run, err);
}

/* ---- LayerNormalization, RMSNormalization ---- */

static int layer_parse(const struct node *node, struct arena *arena, void **ret_params,
                       struct err *err) {
    struct norm *params = ARENA_NEW(arena, struct norm);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    params->axis = node_int(node, "axis", -1);
    params->epsilon = (double)node_float(node, "epsilon", 1e-5F);
    if (node_int(node, "stash_type", 1) != 1)
        return err_set(err, ERR_UNSUPPORTED, "statistics in other than f32 are not executable");
    *ret_params = params;
    return 0;
}

/* Exactly the normalised axes, perhaps under axes of 1. */
static int check_affine(const struct node *node, const struct type *x, unsigned axis,
                        const struct fact *affine, struct err *err) {
    if (!affine || !affine->type.ranked)
        return 0;
    const struct type *t = &affine->type;
    for (unsigned i = 0; i < (t->rank > x->rank ? t->rank : x->rank); i++) {
        struct dim has = i < t->rank ? t->dims[t->rank - 1 - i] : DIM(1);
        struct dim want = i < x->rank - axis ? x->dims[x->rank - 1 - i] : DIM(1);
        if (dim_known(has) && dim_known(want) && has.size != want.size)
            return op_fail(node, err, "scale and bias must have the normalised axes' size");
    }
    return 0;
}

static int layer_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    const struct norm *params = node->params;
    const struct type *x = &infer->in[0]->type;
    unsigned axis;
    infer->out[0].type = *x;
    for (size_t i = 1; i < node->out_count; i++)
        infer->out[i].type.dtype = x->dtype == DTYPE_NONE ? DTYPE_NONE : DTYPE_F32;
    if (!x->ranked)
        return 0;
    if (op_axis(node, params->axis, x->rank, &axis, err) < 0)
        return -1;
    for (size_t i = 1; i < node->in_count; i++)
        if (node->in[i] && check_affine(node, x, axis, infer->in[i], err) < 0)
            return -1;
    for (size_t i = 1; i < node->out_count; i++) {
        struct type *t = &infer->out[i].type;
        t->ranked = true;
        t->rank = x->rank;
        for (unsigned d = 0; d < x->rank; d++)
            t->dims[d] = d < axis ? x->dims[d] : DIM(1);
    }
    return 0;
}

static struct rows layer_rows(const struct op_run *run, bool centred) {
    const struct norm *params = run->node->params;
    const struct array *x = run->in[0];
    struct rows r = {.rows = 1, .len = 1, .centred = centred, .epsilon = params->epsilon};
    unsigned axis = (unsigned)(params->axis < 0 ? params->axis + x->rank : params->axis);
    for (unsigned d = 0; d < x->rank; d++)
        *(d < axis ? &r.rows : &r.len) *= (size_t)x->dims[d];
    r.channels = r.len;
    cut(&r);
    return r;
}

static uint64_t layer_scratch(const struct op_run *shapes, bool back, unsigned threads) {
    struct rows r = layer_rows(shapes, true);
    return back ? backward_elements(&r, threads) * sizeof(real) : 0;
}

static int layer_forward(const struct op_run *run, struct err *err) {
    struct rows r = layer_rows(run, true);
    return forward(&r, run, err);
}

static int layer_backward(const struct op_backward *back, struct err *err) {
    struct rows r = layer_rows(&back->run, true);
    return backward(&r, back, err);
}

static int rms_forward(const struct op_run *run, struct err *err) {
    struct rows r = layer_rows(run, false);
    return forward(&r, run, err);
}

static int rms_backward(const struct op_backward *back, struct err *err) {
    struct rows r = layer_rows(&back->run, false);
    return backward(&r, back, err);
}

/* The statistics are over the normalised axes. */
static int layer_dims(struct relations *r, const struct op_run *shapes) {
    const struct node *node = shapes->node;
    const struct norm *params = node->params;
    const struct array *x = shapes->in[0];
    unsigned axis = (unsigned)(params->axis < 0 ? params->axis + x->rank : params->axis);
    for (unsigned d = 0; d < x->rank; d++)
        if ((d < axis ? relate_same(r, AXIS_IN(0, d), AXIS_OUT(0, d))
                      : relate_contracted(r, AXIS_IN(0, d), AXIS_OUT(0, d))) < 0)
            return -1;
    for (size_t i = 1; i < node->in_count; i++)
        for (unsigned d = 0; shapes->in[i] && d < shapes->in[i]->rank; d++) {
            unsigned behind = shapes->in[i]->rank - d;
            if ((behind > x->rank - axis
                     ? relate_fixed(r, AXIS_IN(i, d))
                     : relate_same(r, AXIS_IN(i, d), AXIS_IN(0, x->rank - behind))) < 0)
                return -1;
        }
    for (size_t i = 1; i < node->out_count; i++)
        if (relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(i, 0), axis) < 0 ||
            relate_fixed_from(r, AXIS_OUT(i, axis)) < 0)
            return -1;
    return 0;
}

const struct op op_layer_normalization = {
    .op_type = "LayerNormalization",
    .domain = "",
    .min_version = 1, /* exporters wrote it before operator set 17 had it */
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 3,
    .flags = OP_NEEDS_IN,
    .parse = layer_parse,
    .infer = layer_infer,
    .forward = layer_forward,
    .backward = layer_backward,
    .scratch = layer_scratch,
    .dims = layer_dims,
    .tolerance = 1e-6,
    .doc = "last axes to mean 0 and variance 1, scaled and shifted per element",
};

const struct op op_rms_normalization = {
    .op_type = "RMSNormalization",
    .domain = "",
    .min_version = 23,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = layer_parse,
    .infer = layer_infer,
    .forward = rms_forward,
    .backward = rms_backward,
    .scratch = layer_scratch,
    .dims = layer_dims,
    .tolerance = 1e-6,
    .doc = "last axes to mean square 1, scaled per element",
};

/* ONNX Runtime writes it under ONNX's own domain; the second output is 1 / deviation. */
const struct op op_simplified_layer_normalization = {
    .op_type = "SimplifiedLayerNormalization",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = layer_parse,
    .infer = layer_infer,
    .forward = rms_forward,
    .backward = rms_backward,
    .scratch = layer_scratch,
    .dims = layer_dims,
    .tolerance = 1e-6,
    .doc = "RMSNormalization, as ONNX Runtime called it first",
};

/* ---- GroupNormalization, InstanceNormalization: x [n, c, ...] ---- */

static int group_parse(const struct node *node, struct arena *arena, void **ret_params,
                       struct err *err) {
    struct norm *params = ARENA_NEW(arena, struct norm);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    int64_t groups = node_int(node, "num_groups", 0); /* 0: as many as channels */
    if (groups < 0 || (groups == 0 && node->op_type[0] == 'G'))
        return op_fail(node, err, "%" PRId64 " groups", groups);
    if (node_int(node, "stash_type", 1) != 1)
        return err_set(err, ERR_UNSUPPORTED, "statistics in other than f32 are not executable");
    params->groups = (uint64_t)groups;
    params->epsilon = (double)node_float(node, "epsilon", 1e-5F);
    *ret_params = params;
    return 0;
}

static bool scale_per_group(const struct node *node) {
    return node->op_type[0] == 'G' && node->version < 21;
}

static int group_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    const struct norm *params = node->params;
    const struct type *x = &infer->in[0]->type;
    infer->out[0].type = *x;
    if (!x->ranked)
        return 0;
    if (x->rank < 2)
        return op_fail(node, err, "an input of rank %u has no channels", x->rank);
    struct dim c = x->dims[1];
    if (params->groups && dim_known(c) && (uint64_t)c.size % params->groups)
        return op_fail(node, err, "%" PRId64 " channels in %" PRIu64 " groups", c.size,
                       params->groups);
    struct dim want = scale_per_group(node) ? DIM(params->groups) : c;
    for (size_t i = 1; i < node->in_count; i++) {
        const struct type *t = &infer->in[i]->type;
        if (t->ranked && (t->rank != 1 || (dim_known(want) && dim_known(t->dims[0]) &&
                                           t->dims[0].size != want.size)))
            return op_fail(node, err, "scale and bias must be one number per %s",
                           scale_per_group(node) ? "group" : "channel");
    }
    return 0;
}

static struct rows group_rows(const struct op_run *run) {
    const struct norm *params = run->node->params;
    const struct array *x = run->in[0];
    size_t channels = (size_t)x->dims[1], groups = params->groups ? params->groups : channels;
    struct rows r = {.rows = (size_t)x->dims[0] * groups,
                     .len = groups ? channels / groups : 0,
                     .centred = true,
                     .segment = 1,
                     .channels = channels,
                     .epsilon = params->epsilon};
    for (unsigned d = 2; d < x->rank; d++)
        r.segment *= (size_t)x->dims[d];
    r.len *= r.segment;
    if (scale_per_group(run->node)) {
        r.segment = r.len;
        r.channels = groups;
    }
    cut(&r);
    return r;
}

static uint64_t group_scratch(const struct op_run *shapes, bool back, unsigned threads) {
    struct rows r = group_rows(shapes);
    return back ? backward_elements(&r, threads) * sizeof(real) : 0;
}

static int group_forward(const struct op_run *run, struct err *err) {
    struct rows r = group_rows(run);
    return forward(&r, run, err);
}

static int group_backward(const struct op_backward *back, struct err *err) {
    struct rows r = group_rows(&back->run);
    return backward(&r, back, err);
}

/* One channel a group: groups go with their channels. Else the same position of every group goes,
 * and the statistics change. */
static int group_dims(struct relations *r, const struct op_run *shapes) {
    const struct norm *params = shapes->node->params;
    uint64_t channels = shapes->in[0]->dims[1];
    uint64_t of_group = params->groups ? channels / params->groups : 1;
    bool per_group = scale_per_group(shapes->node) && of_group != 1;
    if (relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), 2) < 0 ||
        relate_fixed_from(r, AXIS_IN(0, 2)) < 0 || relate_fixed_from(r, AXIS_OUT(0, 2)) < 0)
        return -1;
    for (size_t i = 1; i < 3; i++)
        if ((per_group ? relate_fixed(r, AXIS_IN(i, 0))
                       : relate_same(r, AXIS_IN(i, 0), AXIS_IN(0, 1))) < 0)
            return -1;
    return of_group == 1 ? 0 : relate_contracted_groups(r, AXIS_IN(0, 1), AXIS_IN(0, 1), of_group);
}

static int group_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                     struct err *err) {
    const struct norm *params = node->params;
    if (params->groups == 0 || before->in[0]->dims[1] != params->groups)
        return 0;
    return content_set_int(node, "num_groups", (int64_t)after->in[0]->dims[1], err);
}

const struct op op_group_normalization = {
    .op_type = "GroupNormalization",
    .domain = "",
    .min_version = 18,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = group_parse,
    .infer = group_infer,
    .forward = group_forward,
    .backward = group_backward,
    .scratch = group_scratch,
    .dims = group_dims,
    .cut = group_cut,
    .tolerance = 1e-6,
    .doc = "groups of channels to mean 0 and variance 1, scaled and shifted per channel",
};

const struct op op_instance_normalization = {
    .op_type = "InstanceNormalization",
    .domain = "",
    .min_version = 6,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = group_parse,
    .infer = group_infer,
    .forward = group_forward,
    .backward = group_backward,
    .scratch = group_scratch,
    .dims = group_dims,
    .cut = group_cut,
    .tolerance = 1e-6,
    .doc = "each channel of each sample to mean 0 and variance 1, scaled and shifted",
};
