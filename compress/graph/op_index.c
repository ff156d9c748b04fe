/*
 * Reading and writing at indices along one axis.
 *
 *   Gather           x [outer, n, inner], indices [..] → y [outer, indices.., inner]
 *   GatherElements   x, indices of one rank → y as indices: y[.., i, ..] = x[.., indices[..], ..]
 *   ScatterElements  x, indices, updates → y as x, with updates put, added .. where indices say
 *
 * Where several updates fall on one place they are taken in order. Work that may meet in one place
 * is cut so that the places of two tiles never do: results depend on no team.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/indices.h"
#include "compress/graph/relate.h"
#include "compress/graph/strided.h"

#include <string.h>

enum { TILE = 16384 };

/* ---- Gather ---- */

struct gather {
    const struct node *node;
    const struct array *indices;
    uint64_t outer, n, inner;
    const uint8_t *from;
    uint8_t *to;
    unsigned bytes;
    uint64_t rows_per_tile;
    const real *dy; /* backward: columns of `inner` that a tile takes */
    real *dx;
    uint64_t width;
};

static int gather_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 2, err) != 0)
        return -1;
    const struct fact *x = infer->in[0], *indices = infer->in[1];
    struct fact *out = &infer->out[0];
    unsigned axis;
    out->type.dtype = x->type.dtype;
    if (!x->type.ranked)
        return 0;
    if (op_axis(infer->node, node_int(infer->node, "axis", 0), x->type.rank, &axis, err) != 0)
        return -1;
    if (!indices->type.ranked)
        return 0;
    struct type y = {.dtype = x->type.dtype, .ranked = true};
    if (x->type.rank - 1 + indices->type.rank > LIMIT_RANK)
        return op_fail(infer->node, err, "a rank of %u is above the limit of %d",
                       x->type.rank - 1 + indices->type.rank, LIMIT_RANK);
    for (unsigned i = 0; i < axis; i++)
        y.dims[y.rank++] = x->type.dims[i];
    for (unsigned i = 0; i < indices->type.rank; i++)
        y.dims[y.rank++] = indices->type.dims[i];
    for (unsigned i = axis + 1; i < x->type.rank; i++)
        y.dims[y.rank++] = x->type.dims[i];
    out->type = y;
    struct dim from[CONTENT_MAX], to[CONTENT_MAX];
    int64_t at[CONTENT_MAX];
    size_t count, taken;
    if (x->type.rank != 1 || !content_read(x, from, CONTENT_MAX, &count) ||
        !content_ints(indices, at, CONTENT_MAX, &taken))
        return 0;
    for (size_t i = 0; i < taken; i++) {
        int64_t index = at[i] < 0 ? at[i] + (int64_t)count : at[i];
        if (index < 0 || index >= (int64_t)count)
            return op_fail(infer->node, err, "index %lld is outside %zu elements", (long long)at[i],
                           count);
        to[i] = from[index];
    }
    return content_set(infer, out, to, taken, err);
}

static int gather_prepare(const struct op_run *run, struct gather *g, struct err *err) {
    const struct array *x = run->in[0];
    unsigned axis;
    if (op_axis(run->node, node_int(run->node, "axis", 0), x->rank, &axis, err) != 0)
        return -1;
    g->node = run->node;
    g->indices = run->in[1];
    g->outer = indices_span(x, 0, axis);
    g->n = x->dims[axis];
    g->inner = indices_span(x, axis + 1, x->rank);
    g->rows_per_tile = g->inner < TILE ? TILE / (g->inner ? g->inner : 1) : 1;
    return 0;
}

static int gather_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct gather *g = ctx;
    uint64_t count = g->indices->elements, rows = g->outer * count, row_bytes = g->inner * g->bytes;
    uint64_t row = (uint64_t)tile * g->rows_per_tile, end = row + g->rows_per_tile, index;
    for (; row < end && row < rows; row++) {
        if (indices_at(g->node, g->indices, row % count, g->n, &index, err) != 0)
            return -1;
        memcpy(g->to + row * row_bytes, g->from + (row / count * g->n + index) * row_bytes,
               row_bytes);
    }
    return 0;
}

static int gather_forward(const struct op_run *run, struct err *err) {
    struct gather g = {.from = run->in[0]->data,
                       .to = run->out[0]->data,
                       .bytes = array_item_bytes(run->in[0]->dtype)};
    if (gather_prepare(run, &g, err) != 0)
        return -1;
    uint64_t rows = g.outer * g.indices->elements;
    if (content_fits(run->node, rows * g.inner, run->out[0], err) != 0)
        return -1;
    return loop_run(run->team, run->progress,
                    (size_t)((rows + g.rows_per_tile - 1) / g.rows_per_tile), gather_tile, &g, err);
}

/* Some columns of one outer index: every row of dy in turn. */
static int gather_back_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct gather *g = ctx;
    uint64_t strips = (g->inner + g->width - 1) / g->width, count = g->indices->elements, index;
    uint64_t outer = tile / strips, first = tile % strips * g->width;
    uint64_t last = first + g->width < g->inner ? first + g->width : g->inner;
    for (uint64_t i = 0; i < count; i++) {
        if (indices_at(g->node, g->indices, i, g->n, &index, err) != 0)
            return -1;
        const real *dy = g->dy + (outer * count + i) * g->inner;
        real *dx = g->dx + (outer * g->n + index) * g->inner;
        for (uint64_t k = first; k < last; k++)
            dx[k] += dy[k];
    }
    return 0;
}

static int gather_backward(const struct op_backward *back, struct err *err) {
    struct gather g = {
        .dy = array_real(back->dout[0]), .dx = array_real(back->din[0]), .width = 128};
    if (gather_prepare(&back->run, &g, err) != 0)
        return -1;
    return loop_run(back->run.team, back->run.progress,
                    (size_t)(g.outer * ((g.inner + g.width - 1) / g.width)), gather_back_tile, &g,
                    err);
}

/* The gathered axis is fixed: indices are numbers of its elements. */
static int gather_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *x = shapes->in[0], *indices = shapes->in[1];
    unsigned axis;
    if (op_axis(shapes->node, node_int(shapes->node, "axis", 0), x->rank, &axis, NULL) != 0 ||
        relate_fixed(r, AXIS_IN(0, axis)) < 0)
        return -1;
    return relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), axis) < 0 ||
                   relate_axes(r, AXIS_IN(1, 0), AXIS_OUT(0, axis), indices->rank) < 0 ||
                   relate_axes(r, AXIS_IN(0, axis + 1), AXIS_OUT(0, axis + indices->rank),
                               x->rank - axis - 1) < 0
               ? -1
               : 0;
}

const struct op op_gather = {
    .op_type = "Gather",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN | OP_NEEDS_REST,
    .infer = gather_infer,
    .forward = gather_forward,
    .backward = gather_backward,
    .dims = gather_dims,
    .tolerance = 1e-9,
    .doc = "slices at indices of an axis",
};

/* ---- GatherElements and ScatterElements: what is done at (i of indices, its place in the data) */

enum visit {
    VISIT_GATHER,  /* to[i] = from[place] */
    VISIT_COLLECT, /* to[i] += from[place], reals */
    VISIT_MARK,    /* to[place] = 1, bytes */
    VISIT_PUT,     /* to[place] = from[i], or combined with it */
};

struct elements {
    const struct node *node;
    const struct array *data, *indices; /* shapes; contents of indices */
    unsigned axis;
    int64_t steps[LIMIT_RANK];
    enum visit visit;
    enum reduction how;
    enum dtype dtype;
    unsigned bytes;
    const uint8_t *from;
    uint8_t *to;
    uint64_t per_tile;
};

static int visit_one(const struct elements *e, uint64_t i, uint64_t place, struct err *err) {
    switch (e->visit) {
    case VISIT_GATHER:
        memcpy(e->to + i * e->bytes, e->from + place * e->bytes, e->bytes);
        return 0;
    case VISIT_COLLECT:
        ((real *)(void *)e->to)[i] += ((const real *)(const void *)e->from)[place];
        return 0;
    case VISIT_MARK:
        e->to[place] = 1;
        return 0;
    case VISIT_PUT:
        break;
    }
    if (e->how != REDUCTION_NONE)
        return indices_reduce(e->dtype, e->how, e->from + i * e->bytes, e->to + place * e->bytes,
                              err);
    memcpy(e->to + place * e->bytes, e->from + i * e->bytes, e->bytes);
    return 0;
}

static int elements_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct elements *e = ctx;
    const struct array *indices = e->indices;
    uint64_t i = (uint64_t)tile * e->per_tile, end = i + e->per_tile, rest = i, index;
    uint64_t at[LIMIT_RANK], base = 0; /* of the data, the axis left out */
    if (end > indices->elements)
        end = indices->elements;
    for (unsigned d = indices->rank; d-- > 0; rest /= indices->dims[d]) {
        at[d] = rest % indices->dims[d];
        base += d == e->axis ? 0 : at[d] * (uint64_t)e->steps[d];
    }
    for (; i < end; i++) {
        if (indices_at(e->node, indices, i, e->data->dims[e->axis], &index, err) != 0 ||
            visit_one(e, i, base + index * (uint64_t)e->steps[e->axis], err) != 0)
            return -1;
        for (unsigned d = indices->rank; d-- > 0;) {
            uint64_t step = d == e->axis ? 0 : (uint64_t)e->steps[d];
            base += step;
            if (++at[d] < indices->dims[d])
                break;
            base -= indices->dims[d] * step;
            at[d] = 0;
        }
    }
    return 0;
}

static int elements_run(const struct op_run *run, struct elements *e, struct err *err) {
    const struct array *data = run->in[0], *indices = run->in[1];
    e->node = run->node;
    e->data = data;
    e->indices = indices;
    if (op_axis(run->node, node_int(run->node, "axis", 0), data->rank, &e->axis, err) != 0)
        return -1;
    bool fits = indices->rank == data->rank;
    for (unsigned d = 0; fits && d < data->rank; d++)
        fits = d == e->axis || indices->dims[d] <= data->dims[d];
    if (!fits)
        return content_refuse(run->node, err, "the indices reach beyond the data");
    if (indices->elements == 0)
        return 0;
    strided_steps(data->rank, data->dims, e->steps);
    /* Indices that share what stands before the axis may meet. */
    bool meets = e->visit > VISIT_COLLECT;
    e->per_tile = meets ? indices_span(indices, e->axis, indices->rank) : TILE;
    if (meets && e->per_tile < TILE)
        e->per_tile *= TILE / e->per_tile;
    return loop_run(run->team, run->progress,
                    (size_t)((indices->elements + e->per_tile - 1) / e->per_tile), elements_tile, e,
                    err);
}

/* Whether indices fit the data, as far as it is known. */
static int elements_check(const struct op_infer *infer, struct err *err) {
    const struct type *x = &infer->in[0]->type, *indices = &infer->in[1]->type;
    unsigned axis;
    if (!x->ranked)
        return 0;
    if (op_axis(infer->node, node_int(infer->node, "axis", 0), x->rank, &axis, err) != 0 ||
        content_rank(infer, indices, x->rank, "the indices", err) != 0)
        return -1;
    for (unsigned d = 0; indices->ranked && d < x->rank; d++)
        if (d != axis && dim_known(x->dims[d]) && dim_known(indices->dims[d]) &&
            indices->dims[d].size > x->dims[d].size)
            return op_fail(infer->node, err, "indices have %lld elements in axis %u, the data %lld",
                           (long long)indices->dims[d].size, d, (long long)x->dims[d].size);
    return 0;
}

static int gather_elements_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 2, err) != 0 || elements_check(infer, err) != 0)
        return -1;
    infer->out[0].type = infer->in[1]->type;
    infer->out[0].type.dtype = infer->in[0]->type.dtype;
    return 0;
}

static int gather_elements_forward(const struct op_run *run, struct err *err) {
    struct elements e = {.visit = VISIT_GATHER,
                         .bytes = array_item_bytes(run->in[0]->dtype),
                         .from = run->in[0]->data,
                         .to = run->out[0]->data};
    if (content_fits(run->node, run->in[1]->elements, run->out[0], err) != 0)
        return -1;
    return elements_run(run, &e, err);
}

static int gather_elements_backward(const struct op_backward *back, struct err *err) {
    struct elements e = {.visit = VISIT_PUT,
                         .how = REDUCTION_ADD,
                         .dtype = DTYPE_F32,
                         .bytes = sizeof(real),
                         .from = back->dout[0]->data,
                         .to = back->din[0]->data};
    return elements_run(&back->run, &e, err);
}

static int gather_elements_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *x = shapes->in[0];
    unsigned axis;
    if (op_axis(shapes->node, node_int(shapes->node, "axis", 0), x->rank, &axis, NULL) != 0 ||
        relate_axes(r, AXIS_IN(1, 0), AXIS_OUT(0, 0), x->rank) < 0)
        return -1;
    for (unsigned d = 0; d < x->rank; d++) /* indices may cover less than all of x */
        if ((d == axis ? relate_fixed(r, AXIS_IN(0, d))
                       : relate_part(r, AXIS_IN(1, d), AXIS_IN(0, d), 0)) < 0)
            return -1;
    return 0;
}

const struct op op_gather_elements = {
    .op_type = "GatherElements",
    .domain = "",
    .min_version = 11,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN | OP_NEEDS_REST,
    .infer = gather_elements_infer,
    .forward = gather_elements_forward,
    .backward = gather_elements_backward,
    .dims = gather_elements_dims,
    .tolerance = 1e-9,
    .doc = "elements at indices of an axis",
};

/* ---- ScatterElements ---- */

static int scatter_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 3, err) != 0 || elements_check(infer, err) != 0)
        return -1;
    const struct type *indices = &infer->in[1]->type, *updates = &infer->in[2]->type;
    if (indices->ranked && content_rank(infer, updates, indices->rank, "the updates", err) != 0)
        return -1;
    struct dim d;
    for (unsigned i = 0; indices->ranked && updates->ranked && i < indices->rank; i++)
        if (content_agree(infer, indices->dims[i], updates->dims[i], "indices and updates", &d,
                          err) != 0)
            return -1;
    infer->out[0].type = infer->in[0]->type;
    return 0;
}

static int scatter_forward(const struct op_run *run, struct err *err) {
    const struct array *x = run->in[0], *updates = run->in[2];
    const enum reduction *how = run->node->params;
    struct array *y = run->out[0];
    struct elements e = {.visit = VISIT_PUT,
                         .how = *how,
                         .dtype = x->dtype,
                         .bytes = array_item_bytes(x->dtype),
                         .from = updates->data,
                         .to = y->data};
    if (content_fits(run->node, x->elements, y, err) != 0 ||
        content_fits(run->node, run->in[1]->elements, updates, err) != 0 ||
        strided_copy(x->data, y->data, array_bytes(x), run->team, run->progress, err) != 0)
        return -1;
    return elements_run(run, &e, err);
}

static uint64_t scatter_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    return backward ? shapes->in[0]->elements : 0;
}

/* dx = dy where nothing was put (everywhere when it was added); du = dy at the indices. */
static int scatter_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    const enum reduction *how = run->node->params;
    const struct array *dy = back->dout[0];
    if (*how != REDUCTION_NONE && *how != REDUCTION_ADD)
        return err_set(err, ERR_UNSUPPORTED, "%s has a gradient for reductions none and add only",
                       run->node->op_type);
    if (back->din[0] && *how == REDUCTION_ADD &&
        strided_add_all(array_real(dy), array_real(back->din[0]), dy->elements, run->team,
                        run->progress, err) != 0)
        return -1;
    if (back->din[0] && *how == REDUCTION_NONE) {
        uint8_t *put = run->scratch;
        real *dx = array_real(back->din[0]);
        struct elements mark = {.visit = VISIT_MARK, .to = put};
        memset(put, 0, (size_t)dy->elements);
        if (elements_run(run, &mark, err) != 0)
            return -1;
        for (uint64_t i = 0; i < dy->elements; i++)
            dx[i] += put[i] ? 0 : array_real(dy)[i];
    }
    if (!back->din[2])
        return 0;
    struct elements collect = {.visit = VISIT_COLLECT, .from = dy->data, .to = back->din[2]->data};
    return elements_run(run, &collect, err);
}

/* An update that is left out would change the result: those of the axis stay. */
static int scatter_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *x = shapes->in[0];
    unsigned axis;
    if (op_axis(shapes->node, node_int(shapes->node, "axis", 0), x->rank, &axis, NULL) != 0 ||
        relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), x->rank) < 0 ||
        relate_axes(r, AXIS_IN(1, 0), AXIS_IN(2, 0), x->rank) < 0)
        return -1;
    for (unsigned d = 0; d < x->rank; d++)
        if (d == axis ? relate_fixed(r, AXIS_IN(0, d)) < 0 || relate_fixed(r, AXIS_IN(1, d)) < 0
                      : relate_part(r, AXIS_IN(1, d), AXIS_IN(0, d), 0) < 0)
            return -1;
    return 0;
}

const struct op op_scatter = {
    .op_type = "Scatter",
    .domain = "",
    .min_version = 9,
    .max_version = 10,
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_IN_PLACE | OP_NEEDS_IN | OP_NEEDS_REST,
    .parse = indices_parse,
    .infer = scatter_infer,
    .forward = scatter_forward,
    .backward = scatter_backward,
    .scratch = scatter_scratch,
    .dims = scatter_dims,
    .tolerance = 1e-9,
    .doc = "ScatterElements by its first name",
};

const struct op op_scatter_elements = {
    .op_type = "ScatterElements",
    .domain = "",
    .min_version = 11,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_IN_PLACE | OP_NEEDS_IN | OP_NEEDS_REST,
    .parse = indices_parse,
    .infer = scatter_infer,
    .forward = scatter_forward,
    .backward = scatter_backward,
    .scratch = scatter_scratch,
    .dims = scatter_dims,
    .tolerance = 1e-9,
    .doc = "puts, adds or multiplies elements at indices of an axis",
};
