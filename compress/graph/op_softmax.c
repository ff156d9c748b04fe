/*
 * Softmax and its kin, along one axis: x seen as [outer, len, inner].
 *
 *   Softmax      y = exp(x - max) / sum of exp(x - max)     dx = y (dy - sum of dy y)
 *   LogSoftmax   y = x - max - log(sum of exp(x - max))     dx = dy - exp(y) sum of dy
 *   Hardmax      1 at the first largest, else 0
 *
 * Before operator set 13 an axis stood for all axes from it on, flattened, and the default was 1
 * instead of -1.
 *
 * Where inner is 1 a line is contiguous; else COLS neighbouring lines are taken together, so that
 * every pass is along memory.
 */
#include "compress/base/loop.h"
#include "compress/graph/op.h"
#include "compress/graph/relate.h"
#include "compress/tensor/taps.h"
#include "compress/tensor/vmath.h"

#include <math.h>
#include <string.h>

enum { TILE = 16384, COLS = 128, CHUNK = 512 };

enum kind { SOFTMAX, LOG_SOFTMAX, HARDMAX };

struct lines {
    enum kind kind;
    size_t outer, len, inner;
    size_t tiles_of_inner; /* inner > 1 */
    size_t lines_a_tile;   /* inner == 1 */
    const real *x, *y, *dy;
    real *to;
};

static int64_t axis_of(const struct node *node) {
    return node_int(node, "axis", node->version < 13 ? 1 : -1);
}

static int softmax_infer(struct op_infer *infer, struct err *err) {
    const struct type *x = &infer->in[0]->type;
    unsigned axis;
    infer->out[0].type = *x;
    /* A scalar, and an axis behind the last of the old flattening, are one line of one element. */
    if (!x->ranked || x->rank == 0 ||
        (infer->node->version < 13 && axis_of(infer->node) == (int64_t)x->rank))
        return 0;
    return op_axis(infer->node, axis_of(infer->node), x->rank, &axis, err);
}

static struct lines lines_of(const struct node *node, const struct array *shape, enum kind kind) {
    struct lines l = {.kind = kind, .outer = 1, .len = 1, .inner = 1};
    int64_t axis = axis_of(node);
    unsigned at = (unsigned)(axis < 0 ? axis + shape->rank : axis);
    for (unsigned d = 0; d < shape->rank; d++) {
        size_t size = (size_t)shape->dims[d];
        if (d < at)
            l.outer *= size;
        else if (d == at || node->version < 13)
            l.len *= size;
        else
            l.inner *= size;
    }
    l.lines_a_tile = l.len < TILE ? TILE / (l.len ? l.len : 1) : 1;
    l.tiles_of_inner = (l.inner + COLS - 1) / COLS;
    return l;
}

static int run_lines(struct lines *l, loop_fn *along, loop_fn *across, struct team *team,
                     const struct progress *progress, struct err *err) {
    if (l->outer == 0 || l->len == 0 || l->inner == 0)
        return 0;
    if (l->inner == 1)
        return loop_run(team, progress, (l->outer + l->lines_a_tile - 1) / l->lines_a_tile, along,
                        l, err);
    return loop_run(team, progress, l->outer * l->tiles_of_inner, across, l, err);
}

/* ---- forward ---- */

static void along_line(enum kind kind, const real *x, size_t n, real *y) {
    if (kind == HARDMAX) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (x[i] > x[best])
                best = i;
        memset(y, 0, n * sizeof *y);
        y[best] = 1;
        return;
    }
    real max = vmath_max(x, n);
    double sum = vmath_exp_sum(x, max, n, y);
    if (kind == SOFTMAX) {
        vmath_mul_scalar(y, (real)(1 / sum), n, y);
    } else {
        vmath_add_scalar(x, -max, n, y);
        vmath_add_scalar(y, (real)-log(sum), n, y);
    }
}

static int forward_along(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct lines *l = ctx;
    size_t end = (tile + 1) * l->lines_a_tile < l->outer ? (tile + 1) * l->lines_a_tile : l->outer;
    for (size_t line = tile * l->lines_a_tile; line < end; line++)
        along_line(l->kind, l->x + line * l->len, l->len, l->to + line * l->len);
    return 0;
}

static void hardmax_across(const struct lines *l, const real *x, size_t cols, real *y) {
    for (size_t i = 0; i < cols; i++) {
        size_t best = 0;
        for (size_t k = 1; k < l->len; k++)
            if (x[k * l->inner + i] > x[best * l->inner + i])
                best = k;
        for (size_t k = 0; k < l->len; k++)
            y[k * l->inner + i] = k == best ? 1 : 0;
    }
}

static int forward_across(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct lines *l = ctx;
    size_t col0 = tile % l->tiles_of_inner * COLS;
    size_t cols = l->inner - col0 < COLS ? l->inner - col0 : COLS;
    size_t at = tile / l->tiles_of_inner * l->len * l->inner + col0;
    const real *x = l->x + at;
    real *y = l->to + at;
    real max[COLS], sum[COLS], e[COLS];
    if (l->kind == HARDMAX) {
        hardmax_across(l, x, cols, y);
        return 0;
    }
    for (size_t i = 0; i < cols; i++) {
        max[i] = -(real)INFINITY;
        sum[i] = 0;
    }
    for (size_t k = 0; k < l->len; k++)
        taps_max(&(const real *){x + k * l->inner}, 1, 1, cols, max);
    for (size_t k = 0; k < l->len; k++) {
        vmath_sub(x + k * l->inner, max, cols, y + k * l->inner);
        vmath_exp(y + k * l->inner, cols, e);
        vmath_add(sum, e, cols, sum);
        if (l->kind == SOFTMAX)
            memcpy(y + k * l->inner, e, cols * sizeof *e);
    }
    if (l->kind == LOG_SOFTMAX)
        vmath_log(sum, cols, sum);
    for (size_t k = 0; k < l->len; k++)
        if (l->kind == SOFTMAX)
            vmath_div(y + k * l->inner, sum, cols, y + k * l->inner);
        else
            vmath_sub(y + k * l->inner, sum, cols, y + k * l->inner);
    return 0;
}

static int forward(const struct op_run *run, enum kind kind, struct err *err) {
    struct lines l = lines_of(run->node, run->in[0], kind);
    l.x = array_real(run->in[0]);
    l.to = array_real(run->out[0]);
    return run_lines(&l, forward_along, forward_across, run->team, run->progress, err);
}

/* ---- backward ---- */

static int backward_along(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct lines *l = ctx;
    size_t end = (tile + 1) * l->lines_a_tile < l->outer ? (tile + 1) * l->lines_a_tile : l->outer;
    for (size_t line = tile * l->lines_a_tile; line < end; line++) {
        const real *y = l->y + line * l->len, *dy = l->dy + line * l->len;
        real *dx = l->to + line * l->len, part[CHUNK];
        real sum = (real)(l->kind == SOFTMAX ? vmath_dot(y, dy, l->len) : vmath_sum(dy, l->len));
        for (size_t i = 0; i < l->len; i += CHUNK) {
            size_t n = l->len - i < CHUNK ? l->len - i : CHUNK;
            if (l->kind == SOFTMAX) {
                vmath_add_scalar(dy + i, -sum, n, part);
                vmath_muladd(y + i, part, n, dx + i);
            } else {
                vmath_exp(y + i, n, part);
                vmath_mul_scalar(part, -sum, n, part);
                vmath_add(part, dy + i, n, part);
                vmath_add(dx + i, part, n, dx + i);
            }
        }
    }
    return 0;
}

static int backward_across(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct lines *l = ctx;
    size_t col0 = tile % l->tiles_of_inner * COLS;
    size_t cols = l->inner - col0 < COLS ? l->inner - col0 : COLS;
    size_t at = tile / l->tiles_of_inner * l->len * l->inner + col0;
    const real *y = l->y + at, *dy = l->dy + at;
    real *dx = l->to + at, sum[COLS] = {0}, part[COLS];
    for (size_t k = 0; k < l->len * l->inner; k += l->inner)
        if (l->kind == SOFTMAX)
            vmath_muladd(y + k, dy + k, cols, sum);
        else
            vmath_add(sum, dy + k, cols, sum);
    for (size_t k = 0; k < l->len * l->inner; k += l->inner) {
        if (l->kind == SOFTMAX) {
            vmath_sub(dy + k, sum, cols, part);
            vmath_muladd(y + k, part, cols, dx + k);
        } else {
            vmath_exp(y + k, cols, part);
            vmath_mul(part, sum, cols, part);
            vmath_sub(dy + k, part, cols, part);
            vmath_add(dx + k, part, cols, dx + k);
        }
    }
    return 0;
}

static int backward(const struct op_backward *back, enum kind kind, struct err *err) {
    struct lines l = lines_of(back->run.node, back->dout[0], kind);
    l.y = array_real(back->run.out[0]);
    l.dy = array_real(back->dout[0]);
    l.to = array_real(back->din[0]);
    return run_lines(&l, backward_along, backward_across, back->run.team, back->run.progress, err);
}

/* ---- rows ---- */

static int softmax_forward(const struct op_run *run, struct err *err) {
    return forward(run, SOFTMAX, err);
}

static int softmax_backward(const struct op_backward *back, struct err *err) {
    return backward(back, SOFTMAX, err);
}

static int log_softmax_forward(const struct op_run *run, struct err *err) {
    return forward(run, LOG_SOFTMAX, err);
}

static int log_softmax_backward(const struct op_backward *back, struct err *err) {
    return backward(back, LOG_SOFTMAX, err);
}

static int hardmax_forward(const struct op_run *run, struct err *err) {
    return forward(run, HARDMAX, err);
}

static int softmax_dims(struct relations *r, const struct op_run *shapes) {
    unsigned rank = shapes->in[0]->rank;
    int64_t axis = axis_of(shapes->node);
    unsigned at = (unsigned)(axis < 0 ? axis + rank : axis);
    if (relate_elementwise(r, shapes) < 0)
        return -1;
    for (unsigned d = at; d < (shapes->node->version < 13 ? rank : at + 1); d++)
        if (relate_contracted(r, AXIS_IN(0, d), AXIS_IN(0, d)) < 0)
            return -1;
    return 0;
}

const struct op op_softmax = {
    .op_type = "Softmax",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_IN_PLACE | OP_NEEDS_OUT,
    .infer = softmax_infer,
    .forward = softmax_forward,
    .backward = softmax_backward,
    .dims = softmax_dims,
    .tolerance = 1e-6,
    .doc = "exponentials that sum to 1 along an axis",
};

/* Not in place: the largest is found before x is read again. */
const struct op op_log_softmax = {
    .op_type = "LogSoftmax",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_OUT,
    .infer = softmax_infer,
    .forward = log_softmax_forward,
    .backward = log_softmax_backward,
    .dims = softmax_dims,
    .tolerance = 1e-6,
    .doc = "logarithm of Softmax",
};

const struct op op_hardmax = {
    .op_type = "Hardmax",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = softmax_infer,
    .forward = hardmax_forward,
    .dims = softmax_dims,
    .doc = "1 at the first largest along an axis, else 0",
};
