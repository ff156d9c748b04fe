/*
 * Rotary position: pairs of a head's numbers, turned by an angle that grows with the position (Su
 * et al. 2021, "RoFormer").
 *
 *   RotaryEmbedding (ONNX 23)                 (x [B,H,T,D] or [B,T,H*D], cos, sin, positions?)
 *   com.microsoft::RotaryEmbedding            (x, positions, cos, sin)
 *   cos, sin: [positions, R/2], looked up by positions [B,T] (Microsoft's also [1]: where the first
 *   one stands); or, without positions, [B,T,R/2]
 *
 * The first R numbers of a head turn, the rest stay (rotary_embedding_dim; 0: all D); caches may
 * then be made for more, and their first R/2 columns count. Pair i is
 * (i, i + R/2), or (2i, 2i + 1) when interleaved:
 *   y1 = cos x1 - sin x2, y2 = sin x1 + cos x2
 *   dx1 = cos dy1 + sin dy2, dx2 = cos dy2 - sin dy1
 * Angles have no gradient: a model that trains them is refused.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/content.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"

#include <inttypes.h>
#include <string.h>

/* Elements per tile, in whole positions: some microseconds of work. */
enum { TILE = 8192 };

struct rope_params {
    bool interleaved;
    uint64_t heads, rotated; /* 0: as the shapes say */
    size_t cos, sin, positions;
};

struct rope_job {
    const struct rope_params *params;
    const struct node *node;
    size_t batches, heads, length, width, half; /* B H T D R/2 */
    size_t batch_step, head_step, row_step;     /* elements from one to the next */
    const real *from, *cos, *sin;
    real *to;
    const struct array *positions;
    uint64_t angle_rows; /* of the caches, when they are looked up */
    size_t angle_columns;
    bool backward;
    size_t per_tile; /* positions */
};

/* ---- parsing and inference ---- */

static int rope_parse(const struct node *node, bool microsoft, struct arena *arena,
                      void **ret_params, struct err *err) {
    struct rope_params *params = ARENA_NEW(arena, struct rope_params);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for the attributes of RotaryEmbedding");
    int64_t heads = node_int(node, "num_heads", 0);
    int64_t rotated = node_int(node, "rotary_embedding_dim", 0);
    if (heads < 0 || rotated < 0 || rotated % 2)
        return op_fail(node, err, "%" PRId64 " heads, %" PRId64 " of each turning", heads, rotated);
    params->interleaved = node_int(node, "interleaved", 0) != 0;
    params->heads = (uint64_t)heads;
    params->rotated = (uint64_t)rotated;
    params->positions = microsoft ? 1 : 3;
    params->cos = microsoft ? 2 : 1;
    params->sin = microsoft ? 3 : 2;
    *ret_params = params;
    return 0;
}

static int rope_onnx_parse(const struct node *node, struct arena *arena, void **ret_params,
                           struct err *err) {
    return rope_parse(node, false, arena, ret_params, err);
}

static int rope_ms_parse(const struct node *node, struct arena *arena, void **ret_params,
                         struct err *err) {
    if (node_int(node, "is_packed_batching", 0) != 0 || node_float(node, "scale", 1) != 1)
        return err_set(err, ERR_UNSUPPORTED,
                       "RotaryEmbedding of packed batches or with a scale is not executable");
    return rope_parse(node, true, arena, ret_params, err);
}

static const struct type *type_at(const struct op_infer *infer, size_t slot) {
    return slot < infer->node->in_count && infer->in[slot] ? &infer->in[slot]->type : NULL;
}

static bool is_not(struct dim dim, struct dim want) {
    return dim_known(dim) && dim_known(want) && dim.size != want.size;
}

/* D where it is known: 4-D says it; 3-D by the number of heads, or all that turns. */
static int head_width(struct op_infer *infer, struct dim *ret, struct err *err) {
    const struct rope_params *params = infer->node->params;
    const struct type *x = &infer->in[0]->type, *cos = type_at(infer, params->cos);
    struct dim last = x->dims[x->rank - 1];
    *ret = x->rank == 4 ? last : (struct dim){-1, 1};
    if (x->rank == 4 || !dim_known(last))
        return 0;
    struct dim angles = cos->ranked && cos->rank ? cos->dims[cos->rank - 1] : (struct dim){-1, 1};
    if (params->heads)
        *ret = DIM((uint64_t)last.size / params->heads);
    else if (params->rotated)
        return op_fail(infer->node, err, "does not say how many heads there are");
    else if (dim_known(angles))
        *ret = DIM(angles.size * 2);
    if (dim_known(*ret) && (ret->size == 0 || last.size % ret->size ||
                            (params->heads && (uint64_t)last.size % params->heads)))
        return op_fail(infer->node, err, "%" PRId64 " columns are no whole heads", last.size);
    return 0;
}

static bool fits_turning(const struct rope_params *params, struct dim turning, struct dim columns) {
    if (!dim_known(turning) || !dim_known(columns))
        return true;
    return params->rotated ? columns.size >= turning.size / 2 : columns.size == turning.size / 2;
}

static int rope_check_angles(struct op_infer *infer, struct dim width, struct err *err) {
    const struct rope_params *params = infer->node->params;
    const struct type *x = &infer->in[0]->type, *positions = type_at(infer, params->positions);
    struct dim turning = params->rotated ? DIM(params->rotated) : width;
    struct dim batch = x->dims[0], length = x->dims[x->rank - 2];
    if (dim_known(turning) && (turning.size % 2 || (dim_known(width) && turning.size > width.size)))
        return op_fail(infer->node, err, "%" PRId64 " of a head's numbers cannot turn in pairs",
                       turning.size);
    for (int i = 0; i < 2; i++) {
        const struct type *angles = type_at(infer, i ? params->sin : params->cos);
        if (!angles->ranked)
            continue;
        if (angles->rank != (positions ? 2 : 3) ||
            (!positions && (is_not(angles->dims[0], batch) || is_not(angles->dims[1], length))) ||
            !fits_turning(params, turning, angles->dims[angles->rank - 1]))
            return op_fail(infer->node, err, "the %s cache does not fit the input",
                           i ? "sine" : "cosine");
    }
    const struct type *cos = type_at(infer, params->cos), *sin = type_at(infer, params->sin);
    if (cos->ranked && sin->ranked && is_not(cos->dims[cos->rank - 1], sin->dims[sin->rank - 1]))
        return op_fail(infer->node, err, "the caches differ in their columns");
    bool one = positions && params->positions == 1 && positions->ranked && positions->rank == 1;
    if (positions && positions->ranked &&
        (one ? is_not(positions->dims[0], DIM(1))
             : positions->rank != 2 || is_not(positions->dims[0], batch) ||
                   is_not(positions->dims[1], length)))
        return op_fail(infer->node, err, "positions do not fit the input");
    if (positions && positions->dtype != DTYPE_NONE && positions->dtype != DTYPE_I64)
        return op_fail(infer->node, err, "positions are %s, not i64",
                       dtype_row(positions->dtype)->name);
    return 0;
}

static int rope_infer(struct op_infer *infer, struct err *err) {
    const struct type *x = &infer->in[0]->type;
    struct dim width;
    infer->out[0].type = *x;
    if (!x->ranked)
        return 0;
    if (x->rank != 3 && x->rank != 4)
        return op_fail(infer->node, err, "input of rank %u, neither 3 nor 4", x->rank);
    if (head_width(infer, &width, err) < 0)
        return -1;
    return rope_check_angles(infer, width, err);
}

/* ---- running ---- */

static struct rope_job rope_job(const struct op_run *run, const struct array *x) {
    const struct rope_params *params = run->node->params;
    const struct array *cos = run->in[params->cos], *sin = run->in[params->sin];
    struct rope_job job = {.params = params, .node = run->node};
    job.batches = (size_t)x->dims[0];
    job.length = (size_t)x->dims[x->rank - 2];
    job.angle_columns = (size_t)cos->dims[cos->rank - 1];
    job.half = params->rotated ? (size_t)params->rotated / 2 : job.angle_columns;
    if (x->rank == 4) {
        job.heads = (size_t)x->dims[1];
        job.width = (size_t)x->dims[3];
        job.row_step = job.width;
        job.head_step = job.length * job.width;
    } else {
        job.width = params->heads ? (size_t)(x->dims[2] / params->heads) : 2 * job.half;
        job.heads = job.width ? (size_t)x->dims[2] / job.width : 0;
        job.row_step = (size_t)x->dims[2];
        job.head_step = job.width;
    }
    job.batch_step = job.heads * job.length * job.width;
    job.cos = array_real(cos);
    job.sin = array_real(sin);
    job.positions = params->positions < run->node->in_count ? run->in[params->positions] : NULL;
    job.angle_rows = cos->dims[0];
    size_t per_position = job.heads * job.width;
    job.per_tile = per_position && per_position < TILE ? TILE / per_position : 1;
    return job;
}

/* The row of the caches for position t of batch b. */
static int angle_row(const struct rope_job *job, size_t b, size_t t, size_t *ret, struct err *err) {
    char name[256];
    *ret = b * job->length + t;
    if (!job->positions)
        return 0;
    bool one = job->positions->rank == 1;
    int64_t position = array_int(job->positions, one ? 0 : *ret);
    if (position < 0 || (uint64_t)position >= job->angle_rows ||
        (one && (uint64_t)position + t >= job->angle_rows))
        return err_set(err, ERR_BAD_FIELD,
                       "%s: position %" PRId64 "%s at [%zu,%zu] is not below %" PRIu64,
                       node_describe(job->node, name, sizeof name), position,
                       one ? " and what follows it" : "", b, t, job->angle_rows);
    *ret = (size_t)position + (one ? t : 0);
    return 0;
}

static void turn(const struct rope_job *job, const real *x, const real *cos, const real *sin,
                 real *y) {
    size_t apart = job->params->interleaved ? 1 : job->half;
    size_t step = job->params->interleaved ? 2 : 1;
    for (size_t i = 0; i < job->half; i++) {
        real x1 = x[i * step], x2 = x[i * step + apart];
        y[i * step] = cos[i] * x1 - sin[i] * x2;
        y[i * step + apart] = sin[i] * x1 + cos[i] * x2;
    }
    memcpy(y + 2 * job->half, x + 2 * job->half, (job->width - 2 * job->half) * sizeof *x);
}

static void turn_back(const struct rope_job *job, const real *dy, const real *cos, const real *sin,
                      real *dx) {
    size_t apart = job->params->interleaved ? 1 : job->half;
    size_t step = job->params->interleaved ? 2 : 1;
    for (size_t i = 0; i < job->half; i++) {
        real dy1 = dy[i * step], dy2 = dy[i * step + apart];
        dx[i * step] += cos[i] * dy1 + sin[i] * dy2;
        dx[i * step + apart] += cos[i] * dy2 - sin[i] * dy1;
    }
    for (size_t i = 2 * job->half; i < job->width; i++)
        dx[i] += dy[i];
}

static int rope_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct rope_job *job = ctx;
    size_t end = (tile + 1) * job->per_tile, all = job->batches * job->length;
    for (size_t p = tile * job->per_tile; p < end && p < all; p++) {
        size_t b = p / job->length, t = p % job->length, row;
        if (angle_row(job, b, t, &row, err) < 0)
            return -1;
        const real *cos = job->cos + row * job->angle_columns;
        const real *sin = job->sin + row * job->angle_columns;
        for (size_t h = 0; h < job->heads; h++) {
            size_t at = b * job->batch_step + h * job->head_step + t * job->row_step;
            if (job->backward)
                turn_back(job, job->from + at, cos, sin, job->to + at);
            else
                turn(job, job->from + at, cos, sin, job->to + at);
        }
    }
    return 0;
}

static int rope_run(const struct op_run *run, struct rope_job *job, struct err *err) {
    size_t count = (job->batches * job->length + job->per_tile - 1) / job->per_tile;
    return loop_run(run->team, run->progress, count, rope_tile, job, err);
}

static int rope_forward(const struct op_run *run, struct err *err) {
    struct rope_job job = rope_job(run, run->in[0]);
    job.from = array_real(run->in[0]);
    job.to = array_real(run->out[0]);
    return rope_run(run, &job, err);
}

static int rope_backward(const struct op_backward *back, struct err *err) {
    const struct rope_params *params = back->run.node->params;
    if (back->din[params->cos] || back->din[params->sin])
        return err_set(err, ERR_UNSUPPORTED, "the angles of RotaryEmbedding have no gradient");
    if (!back->dout[0] || !back->din[0])
        return 0;
    struct rope_job job = rope_job(&back->run, back->dout[0]);
    job.backward = true;
    job.from = array_real(back->dout[0]);
    job.to = array_real(back->din[0]);
    return rope_run(&back->run, &job, err);
}

static uint64_t rope_width(const struct op_run *shapes) {
    const struct rope_params *p = shapes->node->params;
    const struct array *x = shapes->in[0], *cos = shapes->in[p->cos];
    uint64_t last = x->dims[x->rank - 1];
    return x->rank == 4 ? last : p->heads ? last / p->heads : 2 * cos->dims[cos->rank - 1];
}

/* Whole heads go: pairs of a head's numbers turn by angles of their own. */
static int rope_dims(struct relations *r, const struct op_run *shapes) {
    const struct rope_params *p = shapes->node->params;
    const struct array *x = shapes->in[0];
    const struct array *cos = shapes->in[p->cos];
    const struct array *positions =
        node_has(shapes->node, p->positions) ? shapes->in[p->positions] : NULL;
    uint64_t width = rope_width(shapes);
    if (relate_elementwise(r, shapes) < 0 || relate_fixed(r, AXIS_IN(0, x->rank - 2)) < 0)
        return -1;
    if (x->rank == 4 ? relate_fixed(r, AXIS_IN(0, 3)) < 0
                     : relate_blocks(r, AXIS_IN(0, 2), width, AXIS_IN(0, 2), width) < 0)
        return -1;
    for (size_t i = 0; i < 2; i++) {
        size_t slot = i ? p->sin : p->cos;
        if (cos->rank == 3 && relate_same(r, AXIS_IN(slot, 0), AXIS_IN(0, 0)) < 0)
            return -1;
        if (relate_fixed_from(r, AXIS_IN(slot, cos->rank == 3)) < 0)
            return -1;
    }
    if (positions && positions->rank == 2 &&
        relate_same(r, AXIS_IN(p->positions, 0), AXIS_IN(0, 0)) < 0)
        return -1;
    return positions ? relate_fixed_from(r, AXIS_IN(p->positions, positions->rank == 2)) : 0;
}

static int rope_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                    struct err *err) {
    const struct rope_params *p = node->params;
    const struct array *x = after->in[0];
    if (!p->heads)
        return 0;
    return content_set_int(node, "num_heads",
                           (int64_t)(x->rank == 4 ? x->dims[1] : x->dims[2] / rope_width(before)),
                           err);
}

const struct op op_rotary_embedding = {
    .op_type = "RotaryEmbedding",
    .domain = "",
    .min_version = 23,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN | OP_NEEDS_REST,
    .parse = rope_onnx_parse,
    .infer = rope_infer,
    .forward = rope_forward,
    .backward = rope_backward,
    .dims = rope_dims,
    .cut = rope_cut,
    .tolerance = 1e-7,
    .doc = "pairs of numbers turned by their position",
};

const struct op op_rotary_embedding_ms = {
    .op_type = "RotaryEmbedding",
    .domain = "com.microsoft",
    .min_version = 1,
    .max_version = 1,
    .min_in = 4,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN | OP_NEEDS_REST,
    .parse = rope_ms_parse,
    .infer = rope_infer,
    .forward = rope_forward,
    .backward = rope_backward,
    .dims = rope_dims,
    .cut = rope_cut,
    .tolerance = 1e-7,
    .doc = "the same as ONNX Runtime had it before ONNX",
};
