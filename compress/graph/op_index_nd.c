/*
 * Reading and writing slices at index tuples.
 *
 *   GatherND   data [batch.., d0 .. d(k-1), slice..], indices [batch.., rows.., k]
 *              → y [batch.., rows.., slice..]
 *   ScatterND  data [d0 .. d(k-1), slice..], indices [rows.., k], updates [rows.., slice..]
 *              → y as data, with updates put, added ..
 *
 * Where slices meet, a tile takes some columns of every slice, in the order of the rows.
 */
#include "compress/base/loop.h"
#include "compress/graph/indices.h"
#include "compress/graph/relate.h"
#include "compress/graph/strided.h"

#include <string.h>

enum { TILE = 16384 };

enum visit {
    VISIT_GATHER,  /* to[row] = from[place] */
    VISIT_COLLECT, /* to[row] += from[place], reals */
    VISIT_MARK,    /* to[place] = 1, bytes */
    VISIT_PUT,     /* to[place] = from[row], or combined with it */
};

struct slices {
    const struct node *node;
    const struct array *data, *indices; /* shapes; contents of indices */
    unsigned batch;                     /* leading axes that both share */
    uint64_t tuple;                     /* k */
    uint64_t rows, rows_per_batch, slice;
    enum visit visit;
    enum reduction how;
    enum dtype dtype;
    unsigned bytes;
    const uint8_t *from;
    uint8_t *to;
    uint64_t per_tile; /* rows, or columns where slices meet */
};

/* Columns [first, last) of one row's slice. */
static int visit_row(const struct slices *s, uint64_t row, uint64_t first, uint64_t last,
                     struct err *err) {
    uint64_t place = row / s->rows_per_batch, index;
    for (uint64_t i = 0; i < s->tuple; i++) {
        uint64_t n = s->data->dims[s->batch + i];
        if (indices_at(s->node, s->indices, row * s->tuple + i, n, &index, err) != 0)
            return -1;
        place = place * n + index;
    }
    uint64_t at_row = row * s->slice + first, at_place = place * s->slice + first;
    uint64_t n = last - first;
    switch (s->visit) {
    case VISIT_GATHER:
        memcpy(s->to + at_row * s->bytes, s->from + at_place * s->bytes, n * s->bytes);
        return 0;
    case VISIT_COLLECT:
        for (uint64_t i = 0; i < n; i++)
            ((real *)(void *)s->to)[at_row + i] +=
                ((const real *)(const void *)s->from)[at_place + i];
        return 0;
    case VISIT_MARK:
        memset(s->to + at_place, 1, n);
        return 0;
    case VISIT_PUT:
        break;
    }
    const uint8_t *from = s->from + at_row * s->bytes;
    uint8_t *to = s->to + at_place * s->bytes;
    if (s->how == REDUCTION_NONE)
        memcpy(to, from, n * s->bytes);
    for (uint64_t i = 0; s->how != REDUCTION_NONE && i < n; i++)
        if (indices_reduce(s->dtype, s->how, from + i * s->bytes, to + i * s->bytes, err) != 0)
            return -1;
    return 0;
}

static int rows_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct slices *s = ctx;
    uint64_t row = (uint64_t)tile * s->per_tile, end = row + s->per_tile;
    for (; row < end && row < s->rows; row++)
        if (visit_row(s, row, 0, s->slice, err) != 0)
            return -1;
    return 0;
}

static int columns_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct slices *s = ctx;
    uint64_t first = (uint64_t)tile * s->per_tile, last = first + s->per_tile;
    for (uint64_t row = 0; row < s->rows; row++)
        if (visit_row(s, row, first, last < s->slice ? last : s->slice, err) != 0)
            return -1;
    return 0;
}

static int slices_run(const struct op_run *run, struct slices *s, struct err *err) {
    const struct array *data = run->in[0], *indices = run->in[1];
    s->node = run->node;
    s->data = data;
    s->indices = indices;
    s->tuple = indices->rank ? indices->dims[indices->rank - 1] : 0;
    bool fits = indices->rank > s->batch && s->batch + s->tuple <= data->rank;
    for (unsigned i = 0; fits && i < s->batch; i++)
        fits = indices->dims[i] == data->dims[i];
    if (!fits)
        return content_refuse(run->node, err, "the indices do not fit the data");
    s->rows = indices_span(indices, 0, indices->rank - 1);
    s->rows_per_batch = indices_span(indices, s->batch, indices->rank - 1);
    s->slice = indices_span(data, s->batch + (unsigned)s->tuple, data->rank);
    if (s->rows == 0 || s->slice == 0)
        return 0;
    if (s->visit <= VISIT_COLLECT) {
        s->per_tile = s->slice < TILE ? TILE / s->slice : 1;
        return loop_run(run->team, run->progress,
                        (size_t)((s->rows + s->per_tile - 1) / s->per_tile), rows_tile, s, err);
    }
    s->per_tile = 256;
    return loop_run(run->team, run->progress, (size_t)((s->slice + s->per_tile - 1) / s->per_tile),
                    columns_tile, s, err);
}

/* Rows and slices must have room in `rows`: updates, or the output. */
static int slices_fit(const struct op_run *run, unsigned batch, const struct array *rows,
                      struct err *err) {
    const struct array *data = run->in[0], *indices = run->in[1];
    uint64_t tuple = indices->rank ? indices->dims[indices->rank - 1] : 0;
    if (indices->rank <= batch || batch + tuple > data->rank)
        return content_refuse(run->node, err, "the indices do not fit the data");
    return content_fits(run->node,
                        indices_span(indices, 0, indices->rank - 1) *
                            indices_span(data, batch + (unsigned)tuple, data->rank),
                        rows, err);
}

/* The type of rows and slices; unranked when it is not known. */
static int slices_type(struct op_infer *infer, int64_t batch, struct type *ret, struct err *err) {
    const struct type *data = &infer->in[0]->type, *indices = &infer->in[1]->type;
    *ret = (struct type){.dtype = data->dtype};
    if (!data->ranked || !indices->ranked)
        return 0;
    if (indices->rank == 0 || batch < 0 || batch >= indices->rank || batch >= data->rank)
        return op_fail(infer->node, err, "%lld batch axes of indices of rank %u, data of rank %u",
                       (long long)batch, indices->rank, data->rank);
    struct dim tuple = indices->dims[indices->rank - 1], d;
    if (!dim_known(tuple))
        return 0;
    if (tuple.size < 1 || tuple.size > data->rank - batch)
        return op_fail(infer->node, err, "index tuples of %lld for data of rank %u",
                       (long long)tuple.size, data->rank);
    unsigned first = (unsigned)(batch + tuple.size);
    if (indices->rank - 1 + data->rank - first > LIMIT_RANK)
        return op_fail(infer->node, err, "the rank is above the limit of %d", LIMIT_RANK);
    for (int64_t i = 0; i < batch; i++)
        if (content_agree(infer, data->dims[i], indices->dims[i], "batch axes", &d, err) != 0)
            return -1;
    ret->ranked = true;
    for (unsigned i = 0; i + 1 < indices->rank; i++)
        ret->dims[ret->rank++] = indices->dims[i];
    for (unsigned i = first; i < data->rank; i++)
        ret->dims[ret->rank++] = data->dims[i];
    return 0;
}

/* ---- GatherND ---- */

static int gather_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 2, err) != 0)
        return -1;
    return slices_type(infer, node_int(infer->node, "batch_dims", 0), &infer->out[0].type, err);
}

static int gather_forward(const struct op_run *run, struct err *err) {
    struct slices s = {.visit = VISIT_GATHER,
                       .batch = (unsigned)node_int(run->node, "batch_dims", 0),
                       .bytes = array_item_bytes(run->in[0]->dtype),
                       .from = run->in[0]->data,
                       .to = run->out[0]->data};
    if (slices_fit(run, s.batch, run->out[0], err) != 0)
        return -1;
    return slices_run(run, &s, err);
}

static int gather_backward(const struct op_backward *back, struct err *err) {
    struct slices s = {.visit = VISIT_PUT,
                       .how = REDUCTION_ADD,
                       .batch = (unsigned)node_int(back->run.node, "batch_dims", 0),
                       .dtype = DTYPE_F32,
                       .bytes = sizeof(real),
                       .from = back->dout[0]->data,
                       .to = back->din[0]->data};
    return slices_run(&back->run, &s, err);
}

static int gather_nd_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *x = shapes->in[0], *indices = shapes->in[1];
    unsigned batch = (unsigned)node_int(shapes->node, "batch_dims", 0), rows = indices->rank - 1;
    unsigned tuple = (unsigned)indices->dims[rows];
    if (relate_axes(r, AXIS_IN(1, 0), AXIS_OUT(0, 0), rows) < 0 ||
        relate_fixed(r, AXIS_IN(1, rows)) < 0 ||
        relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), batch) < 0)
        return -1;
    for (unsigned d = batch; d < batch + tuple; d++)
        if (relate_fixed(r, AXIS_IN(0, d)) < 0)
            return -1;
    return relate_axes(r, AXIS_IN(0, batch + tuple), AXIS_OUT(0, rows), x->rank - batch - tuple);
}

const struct op op_gather_nd = {
    .op_type = "GatherND",
    .domain = "",
    .min_version = 11,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN | OP_NEEDS_REST,
    .infer = gather_infer,
    .forward = gather_forward,
    .backward = gather_backward,
    .dims = gather_nd_dims,
    .tolerance = 1e-9,
    .doc = "slices at index tuples",
};

/* ---- ScatterND ---- */

static int scatter_infer(struct op_infer *infer, struct err *err) {
    struct type rows;
    struct dim d;
    if (content_need(infer, 3, err) != 0 || slices_type(infer, 0, &rows, err) != 0)
        return -1;
    const struct type *updates = &infer->in[2]->type;
    if (rows.ranked && content_rank(infer, updates, rows.rank, "the updates", err) != 0)
        return -1;
    for (unsigned i = 0; rows.ranked && updates->ranked && i < rows.rank; i++)
        if (content_agree(infer, rows.dims[i], updates->dims[i], "indices and updates", &d, err) !=
            0)
            return -1;
    infer->out[0].type = infer->in[0]->type;
    return 0;
}

static int scatter_forward(const struct op_run *run, struct err *err) {
    const enum reduction *how = run->node->params;
    const struct array *data = run->in[0];
    struct slices s = {.visit = VISIT_PUT,
                       .how = *how,
                       .dtype = data->dtype,
                       .bytes = array_item_bytes(data->dtype),
                       .from = run->in[2]->data,
                       .to = run->out[0]->data};
    if (content_fits(run->node, data->elements, run->out[0], err) != 0 ||
        slices_fit(run, 0, run->in[2], err) != 0 ||
        strided_copy(data->data, run->out[0]->data, array_bytes(data), run->team, run->progress,
                     err) != 0)
        return -1;
    return slices_run(run, &s, err);
}

static uint64_t scatter_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    return backward ? shapes->in[0]->elements : 0;
}

/* ddata = dy where nothing was put (everywhere when it was added); dupdates = dy at the indices. */
static int scatter_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    const enum reduction *how = run->node->params;
    const struct array *dy = back->dout[0];
    if (*how != REDUCTION_NONE && *how != REDUCTION_ADD)
        return err_set(err, ERR_UNSUPPORTED, "ScatterND has a gradient for none and add only");
    if (back->din[0] && *how == REDUCTION_ADD &&
        strided_add_all(array_real(dy), array_real(back->din[0]), dy->elements, run->team,
                        run->progress, err) != 0)
        return -1;
    if (back->din[0] && *how == REDUCTION_NONE) {
        uint8_t *put = run->scratch;
        real *dx = array_real(back->din[0]);
        struct slices mark = {.visit = VISIT_MARK, .to = put};
        memset(put, 0, (size_t)dy->elements);
        if (slices_run(run, &mark, err) != 0)
            return -1;
        for (uint64_t i = 0; i < dy->elements; i++)
            dx[i] += put[i] ? 0 : array_real(dy)[i];
    }
    if (!back->din[2])
        return 0;
    struct slices collect = {.visit = VISIT_COLLECT, .from = dy->data, .to = back->din[2]->data};
    return slices_run(run, &collect, err);
}

static int scatter_nd_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *x = shapes->in[0], *indices = shapes->in[1];
    unsigned rows = indices->rank - 1, tuple = (unsigned)indices->dims[rows];
    if (relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), x->rank) < 0 ||
        relate_fixed_from(r, AXIS_IN(1, 0)) < 0)
        return -1;
    for (unsigned d = 0; d < tuple; d++)
        if (relate_fixed(r, AXIS_IN(0, d)) < 0)
            return -1;
    for (unsigned d = 0; d < rows; d++) /* an update that is left out would change the result */
        if (relate_fixed(r, AXIS_IN(2, d)) < 0)
            return -1;
    return relate_axes(r, AXIS_IN(0, tuple), AXIS_IN(2, rows), x->rank - tuple);
}

const struct op op_scatter_nd = {
    .op_type = "ScatterND",
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
    .dims = scatter_nd_dims,
    .tolerance = 1e-9,
    .doc = "puts, adds or multiplies slices at index tuples",
};
