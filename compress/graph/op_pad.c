/*
 * Pad: x → y, whose axis d has before_d elements more in front and after_d behind (fewer, when they
 * are negative). What stands there is a constant, or x again:
 *
 *   constant  v v | a b c | v v      edge     a a | a b c | c c
 *   reflect   c b | a b c | b a      wrap     b c | a b c | a b
 *
 * pads are [before.., after..]: an attribute before version 11, then input 1; input 2 the constant;
 * input 3, since version 18, the axes that they are meant for.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/content.h"
#include "compress/graph/relate.h"
#include "compress/graph/strided.h"

#include <string.h>

enum { TILE = 16384 };

enum mode { MODE_CONSTANT, MODE_REFLECT, MODE_EDGE, MODE_WRAP };

enum { PADS = 1, VALUE, AXES };

static int pad_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    const char *name = node_string(node, "mode", "constant");
    enum mode *mode = ARENA_NEW(arena, enum mode);
    const int64_t *pads;
    size_t count;
    if (!mode)
        return err_set(err, ERR_NO_MEMORY, "no memory for an operator");
    if (node->version < 11 && !node_ints(node, "pads", &pads, &count))
        return op_fail(node, err, "has no pads");
    for (int i = MODE_CONSTANT; i <= MODE_WRAP; i++)
        if (strcmp(names[i], name) == 0 && (i != MODE_WRAP || node->version >= 19)) {
            *mode = (enum mode)i;
            *ret_params = mode;
            return 0;
        }
    return op_fail(node, err, "mode is '%.20s'", name);
}

/* ---- reading pads and axes: from facts while inferring, from arrays while running ---- */

static bool pad_list(const struct node *node, const struct fact *const *facts,
                     const struct array *const *arrays, size_t slot, struct dim *ret, size_t cap,
                     size_t *ret_count) {
    const int64_t *ints;
    if (node->version < 11) {
        if (slot != PADS || !node_ints(node, "pads", &ints, ret_count) || *ret_count > cap)
            return false;
        for (size_t i = 0; i < *ret_count; i++)
            ret[i] = DIM(ints[i]);
        return true;
    }
    if (facts)
        return content_read(facts[slot], ret, cap, ret_count);
    if (arrays[slot]->elements > cap)
        return false;
    *ret_count = (size_t)arrays[slot]->elements;
    for (size_t i = 0; i < *ret_count; i++)
        ret[i] = DIM(array_int(arrays[slot], i));
    return true;
}

/* Pads of `rank` axes; *ret_known false when they are not known. */
static int read_pads(const struct node *node, const struct fact *const *facts,
                     const struct array *const *arrays, unsigned rank, struct dim *ret_before,
                     struct dim *ret_after, bool *ret_known, struct err *err) {
    struct dim pads[2 * LIMIT_RANK] = {0}, axes[LIMIT_RANK] = {0};
    size_t count = 0, axis_count = rank;
    bool has_axes = node->version >= 18 && node_has(node, AXES), named[LIMIT_RANK] = {false};
    *ret_known = pad_list(node, facts, arrays, PADS, pads, 2 * LIMIT_RANK, &count) &&
                 (!has_axes || pad_list(node, facts, arrays, AXES, axes, LIMIT_RANK, &axis_count));
    for (size_t i = 0; has_axes && *ret_known && i < axis_count; i++)
        *ret_known = dim_known(axes[i]);
    if (!*ret_known)
        return 0;
    if (count != 2 * axis_count || axis_count > rank)
        return op_fail(node, err, "%zu pads for %zu axes", count, axis_count);
    for (unsigned i = 0; i < rank; i++)
        ret_before[i] = ret_after[i] = DIM(0);
    for (size_t i = 0; i < axis_count; i++) {
        unsigned axis = (unsigned)i;
        if (has_axes && op_axis(node, axes[i].size, rank, &axis, err) != 0)
            return -1;
        if (named[axis])
            return op_fail(node, err, "axis %u is named twice", axis);
        named[axis] = true;
        ret_before[axis] = pads[i];
        ret_after[axis] = pads[axis_count + i];
    }
    return 0;
}

static int pad_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    if (content_need(infer, node->version < 11 ? 1 : 2, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    struct dim before[LIMIT_RANK] = {{0}}, after[LIMIT_RANK] = {{0}};
    bool known;
    y->dtype = x->dtype;
    if (!x->ranked)
        return 0;
    if (read_pads(node, infer->in, NULL, x->rank, before, after, &known, err) != 0)
        return -1;
    if (!known)
        return content_ranked(infer, y, x->rank, err);
    y->ranked = true;
    y->rank = x->rank;
    for (unsigned i = 0; i < x->rank; i++) {
        struct dim both;
        if (content_sum(infer, before[i], after[i], &both, err) != 0 ||
            content_sum(infer, x->dims[i], both, &y->dims[i], err) != 0)
            return -1;
        if (dim_known(y->dims[i]) && y->dims[i].size < 0)
            return op_fail(node, err, "axis %u would have %lld elements", i,
                           (long long)y->dims[i].size);
    }
    return 0;
}

/* ---- running ---- */

struct pad {
    const struct array *x, *y;
    enum mode mode;
    int64_t before[LIMIT_RANK];
    int64_t steps[LIMIT_RANK]; /* of x */
    const uint8_t *from;
    uint8_t *to;
    unsigned bytes;
    uint64_t rows_per_tile;
    const real *dy;
    real *dx;
};

static int pad_prepare(const struct op_run *run, struct pad *p, struct err *err) {
    const struct array *x = run->in[0], *y = run->out[0];
    struct dim before[LIMIT_RANK] = {{0}}, after[LIMIT_RANK] = {{0}};
    uint64_t dims[LIMIT_RANK];
    const enum mode *mode = run->node->params;
    bool known;
    if (read_pads(run->node, NULL, run->in, x->rank, before, after, &known, err) != 0)
        return -1;
    if (!known)
        return content_refuse(run->node, err, "the pads are no list for this rank");
    *p = (struct pad){.x = x, .y = y, .mode = *mode, .bytes = array_item_bytes(x->dtype)};
    for (unsigned i = 0; i < x->rank; i++) {
        const int64_t most = (int64_t)LIMIT_ELEMENTS;
        if (before[i].size < -most || before[i].size > most || after[i].size < -most ||
            after[i].size > most)
            return content_refuse(run->node, err, "pads of %lld and %lld",
                                  (long long)before[i].size, (long long)after[i].size);
        int64_t size = (int64_t)x->dims[i] + before[i].size + after[i].size;
        dims[i] = (uint64_t)size;
        p->before[i] = before[i].size;
        if (x->dims[i] == 0 && size > 0 && *mode != MODE_CONSTANT)
            return content_refuse(run->node, err, "axis %u is empty: nothing to pad with", i);
    }
    strided_steps(x->rank, x->dims, p->steps);
    return content_shaped(run->node, x->rank, dims, y, err);
}

/* The part of y that is x. */
static struct strided pad_box(const struct pad *p) {
    struct strided box = {0};
    int64_t to[LIMIT_RANK];
    strided_steps(p->y->rank, p->y->dims, to);
    for (unsigned i = 0; i < p->x->rank; i++) {
        int64_t n = (int64_t)p->x->dims[i], m = (int64_t)p->y->dims[i];
        int64_t first = p->before[i] < 0 ? -p->before[i] : 0;
        int64_t last = m - p->before[i] < n ? m - p->before[i] : n;
        strided_axis(&box, last > first ? (uint64_t)(last - first) : 0, p->steps[i], to[i]);
        box.from_start += first * p->steps[i];
        box.to_start += (first + p->before[i]) * to[i];
    }
    return box;
}

/* Where an index outside [0, n) is read, n > 0. */
static int64_t source(enum mode mode, int64_t i, int64_t n) {
    if (mode == MODE_EDGE)
        return i < 0 ? 0 : i >= n ? n - 1 : i;
    int64_t period = mode == MODE_WRAP ? n : n > 1 ? 2 * (n - 1) : 1;
    i %= period;
    i = i < 0 ? i + period : i;
    return i < n ? i : period - i;
}

/* x's offset for row `row` of y; for a scalar and its only row, 0. */
static int64_t row_source(const struct pad *p, uint64_t row) {
    int64_t at = 0;
    for (unsigned d = p->y->rank ? p->y->rank - 1 : 0; d-- > 0; row /= p->y->dims[d])
        at +=
            source(p->mode, (int64_t)(row % p->y->dims[d]) - p->before[d], (int64_t)p->x->dims[d]) *
            p->steps[d];
    return at;
}

static void pad_row(const struct pad *p, uint64_t row) {
    unsigned last = p->y->rank - 1;
    int64_t n = (int64_t)p->x->dims[last], m = (int64_t)p->y->dims[last], at = row_source(p, row);
    int64_t before = p->before[last];
    int64_t start = before < 0 ? 0 : before < m ? before : m; /* of y, where x itself stands */
    int64_t end = before + n < m ? before + n : m;
    end = end < start ? start : end;
    if (p->dx) {
        const real *dy = p->dy + (int64_t)row * m;
        for (int64_t i = 0; i < m; i++)
            p->dx[at + source(p->mode, i - before, n)] += dy[i];
        return;
    }
    const uint8_t *from = p->from + at * p->bytes;
    uint8_t *to = p->to + (int64_t)row * m * p->bytes;
    for (int64_t i = 0; i < start; i++)
        memcpy(to + i * p->bytes, from + source(p->mode, i - before, n) * p->bytes, p->bytes);
    memcpy(to + start * p->bytes, from + (start - before) * p->bytes,
           (size_t)(end - start) * p->bytes);
    for (int64_t i = end; i < m; i++)
        memcpy(to + i * p->bytes, from + source(p->mode, i - before, n) * p->bytes, p->bytes);
}

static int pad_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct pad *p = ctx;
    uint64_t rows = p->y->elements / p->y->dims[p->y->rank - 1];
    uint64_t row = (uint64_t)tile * p->rows_per_tile, end = row + p->rows_per_tile;
    for (; row < end && row < rows; row++)
        pad_row(p, row);
    return 0;
}

/* Rows in tiles. Backward, rows that meet in one row of x are of one tile: those that share every
 * axis before the first padded one. */
static int pad_rows(const struct op_run *run, struct pad *p, struct err *err) {
    const struct array *y = p->y;
    if (y->elements == 0)
        return 0;
    uint64_t cols = y->dims[y->rank - 1], rows = y->elements / cols, together = 1;
    if (p->dx)
        for (unsigned d = y->rank - 1; d-- > 0;) {
            bool padded = false;
            for (unsigned k = 0; k <= d; k++)
                padded = padded || p->before[k] != 0 || p->x->dims[k] != y->dims[k];
            together *= padded ? y->dims[d] : 1;
        }
    p->rows_per_tile = together * cols < TILE ? TILE / (together * cols) * together : together;
    return loop_run(run->team, run->progress,
                    (size_t)((rows + p->rows_per_tile - 1) / p->rows_per_tile), pad_tile, p, err);
}

/* The constant as an item of y's type. */
static int pad_value(const struct op_run *run, void *item, struct err *err) {
    const struct node *node = run->node;
    const struct array *y = run->out[0];
    if (node->version >= 11) {
        const struct array *value = node_has(node, VALUE) ? run->in[VALUE] : NULL;
        if (value && (value->elements != 1 || value->dtype != y->dtype))
            return content_refuse(node, err, "the constant is no scalar of the output's type");
        if (value)
            memcpy(item, value->data, array_item_bytes(y->dtype));
        return 0;
    }
    real number = (real)node_float(node, "value", 0);
    struct array from = {.dtype = DTYPE_F32, .elements = 1, .data = &number};
    struct array to = {.dtype = y->dtype, .elements = 1, .data = item};
    return array_convert(&from, &to, false, err);
}

static int pad_forward(const struct op_run *run, struct err *err) {
    struct pad p;
    uint64_t item[2] = {0}; /* large and aligned enough for any type; all zero is 0 in each */
    if (pad_prepare(run, &p, err) != 0)
        return -1;
    p.from = run->in[0]->data;
    p.to = run->out[0]->data;
    if (p.mode != MODE_CONSTANT && p.x->rank > 0)
        return pad_rows(run, &p, err);
    struct strided box = pad_box(&p);
    if (pad_value(run, item, err) != 0 ||
        strided_fill(p.to, p.y->elements, item, p.bytes, run->team, run->progress, err) != 0)
        return -1;
    return strided_move(&box, p.from, p.to, p.bytes, run->team, run->progress, err);
}

/* Sum of dy where the constant stands. */
static real pad_outside(const struct pad *p, const real *dy) {
    double sum = 0;
    for (uint64_t i = 0; i < p->y->elements; i++) {
        bool inside = true;
        uint64_t rest = i;
        for (unsigned d = p->y->rank; d-- > 0; rest /= p->y->dims[d]) {
            int64_t at = (int64_t)(rest % p->y->dims[d]) - p->before[d];
            inside = inside && at >= 0 && at < (int64_t)p->x->dims[d];
        }
        sum += inside ? 0 : (double)dy[i];
    }
    return (real)sum;
}

static int pad_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    struct pad p;
    if (pad_prepare(run, &p, err) != 0)
        return -1;
    p.dy = array_real(back->dout[0]);
    p.dx = back->din[0] ? array_real(back->din[0]) : NULL;
    if (p.mode != MODE_CONSTANT && p.x->rank > 0)
        return p.dx ? pad_rows(run, &p, err) : 0;
    struct strided box = pad_box(&p);
    box = strided_reverse(&box);
    if (node_has(run->node, VALUE) && back->din[VALUE])
        *array_real(back->din[VALUE]) += pad_outside(&p, p.dy);
    return p.dx ? strided_add(&box, p.dy, p.dx, run->team, run->progress, err) : 0;
}

/* Axes that are not padded may be cut. */
static int pad_dims(struct relations *r, const struct op_run *shapes) {
    const struct node *node = shapes->node;
    struct dim before[LIMIT_RANK] = {{0}}, after[LIMIT_RANK] = {{0}};
    bool known = true;
    for (size_t i = 1; i < node->in_count; i++) {
        known = known && (i == VALUE || !shapes->in[i] || shapes->in[i]->data);
        if (relate_fixed_from(r, AXIS_IN(i, 0)) < 0)
            return -1;
    }
    if (!known ||
        read_pads(node, NULL, shapes->in, shapes->in[0]->rank, before, after, &known, NULL) != 0 ||
        !known)
        return relate_nothing(r, shapes);
    for (unsigned d = 0; d < shapes->in[0]->rank; d++)
        if ((before[d].size == 0 && after[d].size == 0
                 ? relate_same(r, AXIS_IN(0, d), AXIS_OUT(0, d))
             : relate_fixed(r, AXIS_IN(0, d)) < 0 ? -1
                                                  : relate_fixed(r, AXIS_OUT(0, d))) < 0)
            return -1;
    return 0;
}

const struct op op_pad = {
    .op_type = "Pad",
    .domain = "",
    .min_version = 2,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN | OP_NEEDS_REST,
    .parse = pad_parse,
    .infer = pad_infer,
    .forward = pad_forward,
    .backward = pad_backward,
    .dims = pad_dims,
    .tolerance = 1e-9,
    .doc = "more elements around, constant or mirrored",
};
