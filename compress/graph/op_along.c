/*
 * What runs along one axis, line by line.
 *
 *   x    [outer, n, inner]: lines of n elements with `inner` between neighbours
 *   ArgMax, ArgMin    y [outer, 1, inner] i64     CumSum    y as x     TopK    y [outer, k, inner]
 *
 * Some lines are a tile; a line is run by one thread.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/relate.h"

#include <string.h>

/* Elements of x per tile. */
enum { WORK = 16384 };

struct lines {
    uint64_t outer, n, inner;
};

static struct lines lines_of(const struct array *x, unsigned axis) {
    struct lines l = {1, x->dims[axis], 1};
    for (unsigned d = 0; d < axis; d++)
        l.outer *= x->dims[d];
    for (unsigned d = axis + 1; d < x->rank; d++)
        l.inner *= x->dims[d];
    return l;
}

/* Element 0 of line i. */
static uint64_t line_start(const struct lines *l, uint64_t i) {
    return i / l->inner * l->n * l->inner + i % l->inner;
}

/* Which of two comes first when the largest is wanted: NaN counts as larger than all. */
static int compare(const struct array *x, uint64_t a, uint64_t b) {
    if (x->dtype == DTYPE_F32) {
        real p = array_real(x)[a], q = array_real(x)[b];
        if (p != p || q != q)
            return (p != p) - (q != q);
        return (p > q) - (p < q);
    }
    int64_t p = array_int(x, a), q = array_int(x, b);
    if (x->dtype == DTYPE_U64)
        return ((uint64_t)p > (uint64_t)q) - ((uint64_t)p < (uint64_t)q);
    return (p > q) - (p < q);
}

static bool comparable(const struct array *x) {
    return x->dtype == DTYPE_F32 ||
           (!dtype_row(x->dtype)->is_float && array_item_bytes(x->dtype) > 0 &&
            x->dtype != DTYPE_C64 && x->dtype != DTYPE_C128);
}

/* Whole lines may go; what is at which place of a line matters. Outputs have x's rank, or lack the
 * axis. */
static int line_dims(struct relations *r, const struct op_run *shapes, int64_t axis) {
    const struct array *x = shapes->in[0];
    unsigned at;
    if (op_axis(shapes->node, axis, x->rank, &at, NULL) < 0)
        return -1;
    int done = relate_fixed(r, AXIS_IN(0, at));
    if (done == 0)
        done = relate_fixed(r, AXIS_IN(1, 0)); /* the number that says the axis, or how many */
    for (size_t slot = 0; slot < shapes->node->out_count; slot++) {
        bool lacks = shapes->out[slot] && shapes->out[slot]->rank < x->rank;
        for (unsigned d = 0; d < x->rank && done == 0; d++)
            if (d != at)
                done = relate_same(r, AXIS_IN(0, d), AXIS_OUT(slot, d - (lacks && d > at)));
            else if (!lacks)
                done = relate_fixed(r, AXIS_OUT(slot, d));
    }
    return done;
}

static size_t line_tiles(const struct lines *l, uint64_t *ret_tile) {
    uint64_t count = l->outer * l->inner;
    *ret_tile = l->n < WORK ? WORK / (l->n + 1) + 1 : 1;
    return (size_t)((count + *ret_tile - 1) / *ret_tile);
}

/* ---- ArgMax, ArgMin ---- */

struct arg {
    int64_t axis;
    bool keepdims, last, largest;
};

static int arg_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    struct arg *p = ARENA_NEW(arena, struct arg);
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for attributes");
    *p = (struct arg){node_int(node, "axis", 0), node_int(node, "keepdims", 1) != 0,
                      node_int(node, "select_last_index", 0) != 0,
                      strcmp(node->op_type, "ArgMax") == 0};
    *ret_params = p;
    return 0;
}

static int arg_infer(struct op_infer *infer, struct err *err) {
    const struct arg *p = infer->node->params;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    unsigned axis;
    y->dtype = DTYPE_I64;
    if (!x->ranked)
        return 0;
    if (op_axis(infer->node, p->axis, x->rank, &axis, err) < 0)
        return -1;
    if (dim_known(x->dims[axis]) && x->dims[axis].size == 0)
        return op_fail(infer->node, err, "axis %u is empty", axis);
    y->ranked = true;
    for (unsigned d = 0; d < x->rank; d++)
        if (d != axis)
            y->dims[y->rank++] = x->dims[d];
        else if (p->keepdims)
            y->dims[y->rank++] = DIM(1);
    return 0;
}

struct arg_job {
    const struct arg *p;
    const struct array *x;
    int64_t *y;
    struct lines lines;
    uint64_t tile;
};

static int arg_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct arg_job *job = ctx;
    const struct lines *l = &job->lines;
    uint64_t count = l->outer * l->inner, line = tile * job->tile;
    uint64_t end = count - line < job->tile ? count : line + job->tile;
    for (; line < end; line++) {
        uint64_t start = line_start(l, line), best = 0;
        for (uint64_t i = 1; i < l->n; i++) {
            int order = compare(job->x, start + i * l->inner, start + best * l->inner);
            order = job->p->largest ? order : -order;
            if (order > 0 || (order == 0 && job->p->last))
                best = i;
        }
        job->y[line] = (int64_t)best;
    }
    return 0;
}

static int arg_forward(const struct op_run *run, struct err *err) {
    const struct array *x = run->in[0];
    struct arg_job job = {.p = run->node->params, .x = x, .y = run->out[0]->data};
    unsigned axis;
    if (!comparable(x))
        return err_set(err, ERR_UNSUPPORTED, "%s of %s is not executable", run->node->op_type,
                       dtype_row(x->dtype)->name);
    if (op_axis(run->node, job.p->axis, x->rank, &axis, err) < 0)
        return -1;
    job.lines = lines_of(x, axis);
    size_t tiles = line_tiles(&job.lines, &job.tile);
    return loop_run(run->team, run->progress, tiles, arg_tile, &job, err);
}

static int arg_dims(struct relations *r, const struct op_run *shapes) {
    return line_dims(r, shapes, ((const struct arg *)shapes->node->params)->axis);
}

#define ARG_ROW(row, type, text)                                \
    const struct op op_##row = {.op_type = type,                \
                                .domain = "",                   \
                                .min_version = 1,               \
                                .max_version = OP_ONNX_VERSION, \
                                .min_in = 1,                    \
                                .max_in = 1,                    \
                                .min_out = 1,                   \
                                .max_out = 1,                   \
                                .parse = arg_parse,             \
                                .infer = arg_infer,             \
                                .forward = arg_forward,         \
                                .dims = arg_dims,               \
                                .doc = text};
ARG_ROW(arg_max, "ArgMax", "index of the largest along an axis")
ARG_ROW(arg_min, "ArgMin", "index of the smallest along an axis")

/* ---- CumSum: y_i = x_0 + ... + x_i (exclusive: without x_i; reverse: from the end). The gradient
 * is the same sum the other way around. ---- */

struct cum {
    bool exclusive, reverse;
};

static int cum_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    struct cum *p = ARENA_NEW(arena, struct cum);
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for attributes");
    *p = (struct cum){node_int(node, "exclusive", 0) != 0, node_int(node, "reverse", 0) != 0};
    *ret_params = p;
    return 0;
}

static int cum_infer(struct op_infer *infer, struct err *err) {
    const struct fact *axis = infer->in[1];
    unsigned at;
    infer->out[0].type = infer->in[0]->type;
    if (axis->type.dtype && axis->type.dtype != DTYPE_I32 && axis->type.dtype != DTYPE_I64)
        return op_fail(infer->node, err, "the axis is %s", dtype_row(axis->type.dtype)->name);
    if (axis->type.ranked)
        for (unsigned d = 0; d < axis->type.rank; d++)
            if (dim_known(axis->type.dims[d]) && axis->type.dims[d].size != 1)
                return op_fail(infer->node, err, "the axis is no scalar");
    if (axis->data && infer->in[0]->type.ranked)
        return op_axis(infer->node, array_int(axis->data, 0), infer->in[0]->type.rank, &at, err);
    return 0;
}

struct cum_job {
    struct cum p;
    const struct array *from, *to;
    bool adds; /* to += */
    struct lines lines;
    uint64_t tile;
};

static int cum_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct cum_job *job = ctx;
    const struct lines *l = &job->lines;
    uint64_t count = l->outer * l->inner, line = tile * job->tile;
    uint64_t end = count - line < job->tile ? count : line + job->tile;
    bool is_real = job->from->dtype == DTYPE_F32;
    unsigned item = array_item_bytes(job->to->dtype);
    for (; line < end; line++) {
        double sum = 0;
        uint64_t whole = 0;
        for (uint64_t i = 0; i < l->n; i++) {
            uint64_t at = line_start(l, line) + (job->p.reverse ? l->n - 1 - i : i) * l->inner;
            double next = 0;
            uint64_t next_whole = 0;
            if (is_real)
                next = sum + (double)array_real(job->from)[at];
            else
                next_whole = whole + (uint64_t)array_int(job->from, at);
            if (is_real) {
                real y = (real)(job->p.exclusive ? sum : next);
                array_real(job->to)[at] = job->adds ? array_real(job->to)[at] + y : y;
            } else {
                int64_t y = (int64_t)(job->p.exclusive ? whole : next_whole);
                struct array wide = {DTYPE_I64, 0, {0}, 1, &y};
                struct array to = {job->to->dtype, 0, {0}, 1, (char *)job->to->data + at * item};
                if (array_convert(&wide, &to, false, err) < 0)
                    return -1;
            }
            sum = next;
            whole = next_whole;
        }
    }
    return 0;
}

static int cum_run(const struct op_run *run, struct cum_job *job, const struct array *axis_input,
                   struct err *err) {
    unsigned axis;
    if (axis_input->elements != 1)
        return op_fail(run->node, err, "the axis is no scalar");
    if (op_axis(run->node, array_int(axis_input, 0), job->from->rank, &axis, err) < 0)
        return -1;
    job->lines = lines_of(job->from, axis);
    size_t tiles = line_tiles(&job->lines, &job->tile);
    return loop_run(run->team, run->progress, tiles, cum_tile, job, err);
}

static int cum_forward(const struct op_run *run, struct err *err) {
    struct cum_job job = {
        .p = *(const struct cum *)run->node->params, .from = run->in[0], .to = run->out[0]};
    if (!comparable(run->in[0]))
        return err_set(err, ERR_UNSUPPORTED, "CumSum of %s is not executable",
                       dtype_row(run->in[0]->dtype)->name);
    return cum_run(run, &job, run->in[1], err);
}

static int cum_backward(const struct op_backward *back, struct err *err) {
    const struct node *node = back->run.node;
    if (!back->dout[0] || !back->din[0])
        return 0;
    if (!node->in[1]->data)
        return err_set(err, ERR_UNSUPPORTED, "CumSum: no gradient along an axis that is computed");
    struct cum_job job = {.p = *(const struct cum *)node->params,
                          .from = back->dout[0],
                          .to = back->din[0],
                          .adds = true};
    job.p.reverse = !job.p.reverse;
    return cum_run(&back->run, &job, node->in[1]->data, err);
}

static int cum_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *axis = shapes->in[1];
    int done = relate_fixed(r, AXIS_IN(1, 0));
    if (axis->data && axis->elements == 1)
        return line_dims(r, shapes, array_int(axis, 0));
    for (unsigned d = 0; d < shapes->in[0]->rank && done == 0; d++)
        if ((done = relate_fixed(r, AXIS_IN(0, d))) == 0)
            done = relate_fixed(r, AXIS_OUT(0, d));
    return done;
}

const struct op op_cum_sum = {
    .op_type = "CumSum",
    .domain = "",
    .min_version = 11,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .parse = cum_parse,
    .infer = cum_infer,
    .forward = cum_forward,
    .backward = cum_backward,
    .dims = cum_dims,
    .tolerance = 1e-6,
    .doc = "running sum along an axis",
};

/* ---- TopK: values [.., k, ..] and their i64 indices; of equal ones the first. Always sorted.
 * Per line a heap of the k best so far, the worst on top. ---- */

struct topk {
    int64_t axis, k; /* k: before version 10 */
    bool largest;
};

static int topk_parse(const struct node *node, struct arena *arena, void **ret_params,
                      struct err *err) {
    struct topk *p = ARENA_NEW(arena, struct topk);
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for attributes");
    *p = (struct topk){node_int(node, "axis", -1), node_int(node, "k", -1),
                       node_int(node, "largest", 1) != 0};
    if (node->version < 10 ? node->in_count != 1 || p->k < 0 : node->in_count != 2)
        return op_fail(node, err, "k is %s",
                       node->version < 10 ? "an attribute before version 10"
                                          : "an input from version 10 on");
    *ret_params = p;
    return 0;
}

static int topk_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    const struct topk *p = node->params;
    const struct type *x = &infer->in[0]->type;
    struct type y = *x;
    unsigned axis;
    if (x->ranked) {
        if (op_axis(node, p->axis, x->rank, &axis, err) < 0)
            return -1;
        struct dim k = DIM(p->k);
        if (node->version >= 10) {
            const struct type *type = &infer->in[1]->type;
            if (type->ranked &&
                (type->rank != 1 || (dim_known(type->dims[0]) && type->dims[0].size != 1)))
                return op_fail(node, err, "k is not one number");
            if (!fact_element(infer->in[1], 0, &k))
                k = (struct dim){-1, symbols_get(infer->symbols, NULL)};
        }
        if (dim_known(k) &&
            (k.size < 0 || (dim_known(x->dims[axis]) && k.size > x->dims[axis].size)))
            return op_fail(node, err, "%lld of an axis of %lld", (long long)k.size,
                           (long long)x->dims[axis].size);
        y.dims[axis] = k;
    }
    infer->out[0].type = y;
    if (node->out_count > 1) {
        infer->out[1].type = y;
        infer->out[1].type.dtype = DTYPE_I64;
    }
    return 0;
}

struct topk_job {
    const struct array *x, *values, *indices;
    bool largest;
    struct lines lines;
    uint64_t k, tile;
    uint64_t *heaps; /* [threads][k] */
};

/* a comes before b in the result. */
static bool before(const struct topk_job *job, uint64_t start, uint64_t a, uint64_t b) {
    int order = compare(job->x, start + a * job->lines.inner, start + b * job->lines.inner);
    if (order == 0)
        return a < b;
    return job->largest ? order > 0 : order < 0;
}

/* The root goes down to where it belongs: no parent comes before its children. */
static void sink(const struct topk_job *job, uint64_t start, uint64_t *heap, uint64_t count) {
    for (uint64_t i = 0;;) {
        uint64_t worst = i;
        for (uint64_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++)
            if (before(job, start, heap[worst], heap[child]))
                worst = child;
        if (worst == i)
            return;
        uint64_t swap = heap[i];
        heap[i] = heap[worst];
        heap[worst] = swap;
        i = worst;
    }
}

static void rise(const struct topk_job *job, uint64_t start, uint64_t *heap, uint64_t i) {
    while (i > 0 && before(job, start, heap[(i - 1) / 2], heap[i])) {
        uint64_t parent = (i - 1) / 2, swap = heap[i];
        heap[i] = heap[parent];
        heap[parent] = swap;
        i = parent;
    }
}

static int topk_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct topk_job *job = ctx;
    const struct lines *l = &job->lines;
    uint64_t count = l->outer * l->inner, line = tile * job->tile, k = job->k;
    uint64_t end = count - line < job->tile ? count : line + job->tile;
    uint64_t *heap = job->heaps + worker * k;
    unsigned item = array_item_bytes(job->x->dtype);
    for (; line < end && k; line++) {
        uint64_t start = line_start(l, line);
        uint64_t to = line / l->inner * k * l->inner + line % l->inner;
        for (uint64_t i = 0; i < l->n; i++) {
            if (i < k) {
                heap[i] = i;
                rise(job, start, heap, i);
            } else if (before(job, start, i, heap[0])) {
                heap[0] = i;
                sink(job, start, heap, k);
            }
        }
        for (uint64_t left = k; left-- > 0;) { /* the worst last */
            uint64_t at = to + left * l->inner, worst = heap[0];
            if (job->values)
                memcpy((char *)job->values->data + at * item,
                       (const char *)job->x->data + (start + worst * l->inner) * item, item);
            if (job->indices)
                ((int64_t *)job->indices->data)[at] = (int64_t)worst;
            heap[0] = heap[left];
            sink(job, start, heap, left);
        }
    }
    return 0;
}

static const struct array *an_output(const struct op_run *run) {
    return run->out[0] ? run->out[0] : run->node->out_count > 1 ? run->out[1] : NULL;
}

static int topk_forward(const struct op_run *run, struct err *err) {
    const struct topk *p = run->node->params;
    const struct array *x = run->in[0], *out = an_output(run);
    unsigned axis;
    if (!out)
        return 0;
    if (!comparable(x))
        return err_set(err, ERR_UNSUPPORTED, "TopK of %s is not executable",
                       dtype_row(x->dtype)->name);
    if (op_axis(run->node, p->axis, x->rank, &axis, err) < 0)
        return -1;
    if (out->dims[axis] > x->dims[axis] ||
        (run->node->version >= 10 &&
         (run->in[1]->elements != 1 || array_int(run->in[1], 0) != (int64_t)out->dims[axis])))
        return op_fail(run->node, err, "k does not fit its result");
    struct topk_job job = {.x = x,
                           .values = run->out[0],
                           .indices = run->node->out_count > 1 ? run->out[1] : NULL,
                           .largest = p->largest,
                           .lines = lines_of(x, axis),
                           .k = out->dims[axis],
                           .heaps = run->scratch};
    size_t tiles = line_tiles(&job.lines, &job.tile);
    return loop_run(run->team, run->progress, tiles, topk_tile, &job, err);
}

static uint64_t topk_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    const struct topk *p = shapes->node->params;
    const struct array *out = an_output(shapes);
    unsigned axis;
    if (backward || !out || op_axis(shapes->node, p->axis, out->rank, &axis, NULL) < 0)
        return 0;
    return threads * out->dims[axis] * sizeof(uint64_t);
}

struct scatter {
    const real *dy;
    const int64_t *indices;
    real *dx;
    struct lines lines; /* of x */
    uint64_t k, tile;
};

static int scatter_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct scatter *s = ctx;
    const struct lines *l = &s->lines;
    uint64_t count = l->outer * l->inner, line = tile * s->tile;
    uint64_t end = count - line < s->tile ? count : line + s->tile;
    for (; line < end; line++)
        for (uint64_t j = 0; j < s->k; j++) {
            uint64_t from = line / l->inner * s->k * l->inner + line % l->inner + j * l->inner;
            s->dx[line_start(l, line) + (uint64_t)s->indices[from] * l->inner] += s->dy[from];
        }
    return 0;
}

static int topk_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    const struct topk *p = run->node->params;
    unsigned axis;
    if (!back->dout[0] || !back->din[0])
        return 0;
    if (run->node->out_count < 2 || !run->out[1])
        return err_set(err, ERR_UNSUPPORTED, "TopK: no gradient without its indices");
    if (op_axis(run->node, p->axis, back->din[0]->rank, &axis, err) < 0)
        return -1;
    struct scatter s = {.dy = array_real(back->dout[0]),
                        .indices = run->out[1]->data,
                        .dx = array_real(back->din[0]),
                        .lines = lines_of(back->din[0], axis),
                        .k = back->dout[0]->dims[axis]};
    size_t tiles = line_tiles(&s.lines, &s.tile);
    return loop_run(run->team, run->progress, tiles, scatter_tile, &s, err);
}

static int topk_dims(struct relations *r, const struct op_run *shapes) {
    return line_dims(r, shapes, ((const struct topk *)shapes->node->params)->axis);
}

const struct op op_top_k = {
    .op_type = "TopK",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 2,
    .flags = OP_NEEDS_OUT,
    .parse = topk_parse,
    .infer = topk_infer,
    .forward = topk_forward,
    .backward = topk_backward,
    .scratch = topk_scratch,
    .dims = topk_dims,
    .tolerance = 1e-6,
    .doc = "the k largest along an axis",
};
