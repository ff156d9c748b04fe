/*
 * Pooling   x [n, c, spatial...] → y [n, c, spatial...], one to three axes
 *
 *   MaxPool       largest of each window; second output: where it was in the flattened input
 *   AveragePool   mean of what of the window lies inside x (count_include_pad: inside x and pads)
 *   LpPool        (sum of |x|^p)^(1/p)
 *   Global...     one window as large as x
 *
 * A tile is some planes (one n and c). Largest and sums of rows go over a padded copy of the plane
 * with taps.h, as depthwise convolution does; backward goes along rows where windows lie inside x.
 * The rest, and the rare types, go window by window.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/relate.h"
#include "compress/graph/window.h"
#include "compress/tensor/taps.h"
#include "compress/tensor/vmath.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum kind { POOL_MAX, POOL_AVERAGE, POOL_LP };

enum { TILE = 16384, MAX_TAPS = 64 };

struct pool {
    enum kind kind;
    struct window window;
    bool global, count_pad, column_major;
    double p;
};

/* ---- attributes and shapes ---- */

static int parse(const struct node *node, struct arena *arena, enum kind kind, bool global,
                 void **ret_params, struct err *err) {
    struct pool *params = ARENA_NEW(arena, struct pool);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    int64_t p = node_int(node, "p", 2);
    params->kind = kind;
    params->global = global;
    params->p = (double)p;
    params->count_pad = node_int(node, "count_include_pad", 0) != 0;
    params->column_major = node_int(node, "storage_order", 0) != 0;
    if (p < 1)
        return op_fail(node, err, "p is %" PRId64, p);
    if (!global) {
        if (window_parse(node, &params->window, err) < 0)
            return -1;
        if (!params->window.has_kernel)
            return op_fail(node, err, "no kernel_shape");
        for (unsigned d = 0; d < params->window.axes; d++)
            if (params->window.begin[d] >= window_span(&params->window, d) ||
                params->window.end[d] >= window_span(&params->window, d))
                return err_set(err, ERR_UNSUPPORTED,
                               "windows that lie in the padding alone are not executable");
    }
    *ret_params = params;
    return 0;
}

static int max_parse(const struct node *node, struct arena *arena, void **ret, struct err *err) {
    return parse(node, arena, POOL_MAX, false, ret, err);
}

static int average_parse(const struct node *node, struct arena *arena, void **ret,
                         struct err *err) {
    return parse(node, arena, POOL_AVERAGE, false, ret, err);
}

static int lp_parse(const struct node *node, struct arena *arena, void **ret, struct err *err) {
    return parse(node, arena, POOL_LP, false, ret, err);
}

static int global_max_parse(const struct node *node, struct arena *arena, void **ret,
                            struct err *err) {
    return parse(node, arena, POOL_MAX, true, ret, err);
}

static int global_average_parse(const struct node *node, struct arena *arena, void **ret,
                                struct err *err) {
    return parse(node, arena, POOL_AVERAGE, true, ret, err);
}

static int global_lp_parse(const struct node *node, struct arena *arena, void **ret,
                           struct err *err) {
    return parse(node, arena, POOL_LP, true, ret, err);
}

static int pool_infer(struct op_infer *infer, struct err *err) {
    const struct node *node = infer->node;
    const struct pool *params = node->params;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    y->dtype = x->dtype;
    if (node->out_count > 1)
        infer->out[1].type.dtype = DTYPE_I64;
    if (x->dtype != DTYPE_NONE && !dtype_row(x->dtype)->is_float &&
        (params->kind != POOL_MAX || (x->dtype != DTYPE_I8 && x->dtype != DTYPE_U8)))
        return op_fail(node, err, "no pooling of %s", dtype_row(x->dtype)->name);
    if (!x->ranked)
        return 0;
    if (x->rank < 2 || (!params->global && x->rank != params->window.axes + 2))
        return op_fail(node, err, "an input of rank %u for %u axes", x->rank, params->window.axes);
    if (params->global) {
        *y = *x;
        for (unsigned d = 2; d < x->rank; d++)
            y->dims[d] = DIM(1);
        return 0;
    }
    if (window_infer(infer, &params->window, x, x->dims[1], y, err) < 0)
        return -1;
    if (node->out_count > 1) {
        infer->out[1].type = *y;
        infer->out[1].type.dtype = DTYPE_I64;
    }
    return 0;
}

/* ---- geometry ---- */

struct planes {
    const struct pool *params;
    size_t count, per_tile, in_size, out_size;
    size_t in[3], out[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3];
    const void *x;
    void *y;
    enum dtype dtype;
    int64_t *indices;
    const real *dy, *result;
    real *dx, *scratch;
    size_t padded; /* elements of the padded copy; 0: window by window */
    size_t width;  /* of a padded row */
};

static void take_global(struct planes *p, const struct array *x) {
    for (unsigned d = 2; d < x->rank; d++)
        p->in[2] *= (size_t)x->dims[d];
    p->kernel[2] = p->in[2];
}

static void take_window(struct planes *p, const struct window *window, const struct array *x,
                        const struct array *y) {
    unsigned axes = x->rank - 2, lead = WINDOW_AXES - axes;
    for (unsigned d = 0; d < axes; d++) {
        uint64_t out, begin = 0;
        window_fit(window, d, x->dims[d + 2], &out, &begin);
        p->in[lead + d] = (size_t)x->dims[d + 2];
        p->out[lead + d] = (size_t)y->dims[d + 2];
        p->kernel[lead + d] = (size_t)window->kernel[d];
        p->stride[lead + d] = (size_t)window->stride[d];
        p->dilation[lead + d] = (size_t)window->dilation[d];
        p->pad[lead + d] = (size_t)begin;
        p->pad_end[lead + d] = (size_t)window->end[d];
        if (window->pads == WINDOW_SAME_UPPER || window->pads == WINDOW_SAME_LOWER) {
            uint64_t need = (out ? (out - 1) * window->stride[d] : 0) + window_span(window, d);
            p->pad_end[lead + d] =
                need > x->dims[d + 2] + begin ? (size_t)(need - x->dims[d + 2] - begin) : 0;
        }
    }
}

static struct planes planes_of(const struct op_run *run) {
    const struct array *x = run->in[0], *y = run->out[0];
    struct planes p = {
        .params = run->node->params, .count = (size_t)(x->dims[0] * x->dims[1]), .dtype = x->dtype};
    for (unsigned d = 0; d < WINDOW_AXES; d++)
        p.in[d] = p.out[d] = p.kernel[d] = p.stride[d] = p.dilation[d] = 1;
    if (p.params->global)
        take_global(&p, x);
    else
        take_window(&p, &p.params->window, x, y);
    p.in_size = p.in[0] * p.in[1] * p.in[2];
    p.out_size = p.out[0] * p.out[1] * p.out[2];
    size_t work = p.out_size * p.kernel[0] * p.kernel[1] * p.kernel[2];
    p.per_tile = work < TILE ? TILE / (work ? work : 1) : 1;
    p.width = (p.out[2] - (p.out[2] != 0)) * p.stride[2] + (p.kernel[2] - 1) * p.dilation[2] + 1;
    size_t rows =
        (p.out[1] - (p.out[1] != 0)) * p.stride[1] + (p.kernel[1] - 1) * p.dilation[1] + 1;
    bool by_rows = !p.params->global && p.params->kind != POOL_LP && p.in[0] == 1 &&
                   p.out[0] == 1 && p.kernel[0] == 1 && p.pad[0] == 0 && p.dtype == DTYPE_F32 &&
                   p.kernel[1] * p.kernel[2] <= MAX_TAPS;
    p.padded = by_rows ? (rows * p.width + 15) / 16 * 16 : 0;
    return p;
}

static uint64_t pool_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    struct planes p = planes_of(shapes);
    return backward ? 0 : (uint64_t)p.padded * threads * sizeof(real);
}

/* Inputs [first, end) of an axis that output `at` sees, as taps; what lies outside is left out. */
struct range {
    size_t first, end;
};

static size_t divided_up(size_t n, size_t by) {
    return by == 1 ? n : (n + by - 1) / by;
}

static struct range taps_inside(const struct planes *p, int axis, size_t at) {
    size_t base = at * p->stride[axis], pad = p->pad[axis], d = p->dilation[axis];
    struct range r = {base < pad ? divided_up(pad - base, d) : 0, 0};
    size_t limit = p->in[axis] + pad;
    r.end = base < limit ? divided_up(limit - base, d) : 0;
    r.end = r.end < p->kernel[axis] ? r.end : p->kernel[axis];
    r.first = r.first < r.end ? r.first : r.end;
    return r;
}

/* Taps of an axis that lie inside x or its pads. */
static size_t taps_padded(const struct planes *p, int axis, size_t at) {
    size_t base = at * p->stride[axis], limit = p->in[axis] + p->pad[axis] + p->pad_end[axis];
    size_t n = base < limit ? divided_up(limit - base, p->dilation[axis]) : 0;
    return n < p->kernel[axis] ? n : p->kernel[axis];
}

struct place {
    size_t at[3];
    struct range taps[3];
};

static struct place first_place(const struct planes *p) {
    struct place w = {0};
    for (int d = 0; d < 3; d++)
        w.taps[d] = taps_inside(p, d, 0);
    return w;
}

static void next_place(const struct planes *p, struct place *w) {
    for (int d = 2; d >= 0; d--) {
        bool over = ++w->at[d] == p->out[d];
        if (over)
            w->at[d] = 0;
        w->taps[d] = taps_inside(p, d, w->at[d]);
        if (!over)
            return;
    }
}

/* No window stands out of x along this axis. */
static bool is_whole(const struct planes *p, int axis) {
    return p->pad[axis] == 0 &&
           (p->out[axis] - 1) * p->stride[axis] + (p->kernel[axis] - 1) * p->dilation[axis] <
               p->in[axis];
}

static size_t counted(const struct planes *p, const struct place *w) {
    size_t n = 1;
    for (int d = 0; d < 3; d++)
        n *= p->params->count_pad ? taps_padded(p, d, w->at[d]) : w->taps[d].end - w->taps[d].first;
    return n ? n : 1;
}

#define EACH_TAP(p, w, at)                                                      \
    for (size_t t0 = (w).taps[0].first; t0 < (w).taps[0].end; t0++)             \
        for (size_t t1 = (w).taps[1].first; t1 < (w).taps[1].end; t1++)         \
            for (size_t t2 = (w).taps[2].first, at; t2 < (w).taps[2].end; t2++) \
                if (at = input_at((p), (w).at, t0, t1, t2), true)

static size_t input_at(const struct planes *p, const size_t out[3], size_t t0, size_t t1,
                       size_t t2) {
    size_t i0 = out[0] * p->stride[0] + t0 * p->dilation[0] - p->pad[0];
    size_t i1 = out[1] * p->stride[1] + t1 * p->dilation[1] - p->pad[1];
    size_t i2 = out[2] * p->stride[2] + t2 * p->dilation[2] - p->pad[2];
    return (i0 * p->in[1] + i1) * p->in[2] + i2;
}

static double load(const struct planes *p, size_t plane, size_t i) {
    size_t at = plane * p->in_size + i;
    switch (p->dtype) {
    case DTYPE_I8:
        return ((const int8_t *)p->x)[at];
    case DTYPE_U8:
        return ((const uint8_t *)p->x)[at];
    default:
        return ((const real *)p->x)[at];
    }
}

static void store(const struct planes *p, size_t i, double value) {
    switch (p->dtype) {
    case DTYPE_I8:
        ((int8_t *)p->y)[i] = (int8_t)value;
        break;
    case DTYPE_U8:
        ((uint8_t *)p->y)[i] = (uint8_t)value;
        break;
    default:
        ((real *)p->y)[i] = (real)value;
    }
}

/* ---- forward ---- */

/* Where the first largest of a window is. */
static size_t largest(const struct planes *p, size_t plane, const struct place *w) {
    size_t best = 0;
    bool any = false;
    EACH_TAP(p, *w, at) {
        if (!any || load(p, plane, at) > load(p, plane, best))
            best = at;
        any = true;
    }
    return best;
}

/* The same for numbers of the graph, row by row. */
static size_t largest_real(const struct planes *p, const real *x, const struct place *w) {
    size_t best = 0, step = p->dilation[2], n = w->taps[2].end - w->taps[2].first;
    bool any = false;
    for (size_t t0 = w->taps[0].first; n && t0 < w->taps[0].end; t0++)
        for (size_t t1 = w->taps[1].first; t1 < w->taps[1].end; t1++) {
            size_t at = input_at(p, w->at, t0, t1, w->taps[2].first);
            best = any ? best : at;
            any = true;
            for (size_t i = 0; i < n; i++, at += step)
                best = x[at] > x[best] ? at : best;
        }
    return best;
}

static int64_t index_of(const struct planes *p, size_t plane, size_t at) {
    if (!p->params->column_major)
        return (int64_t)(plane * p->in_size + at);
    size_t i2 = at % p->in[2], i1 = at / p->in[2] % p->in[1], i0 = at / p->in[2] / p->in[1];
    return (int64_t)(plane * p->in_size + (i2 * p->in[1] + i1) * p->in[0] + i0);
}

static void by_window(const struct planes *p, size_t plane) {
    struct place w = first_place(p);
    for (size_t i = 0; i < p->out_size; i++, next_place(p, &w)) {
        size_t to = plane * p->out_size + i;
        double sum = 0;
        if (p->params->kind == POOL_MAX) {
            size_t best = largest(p, plane, &w);
            store(p, to, load(p, plane, best));
            if (p->indices)
                p->indices[to] = index_of(p, plane, best);
            continue;
        }
        EACH_TAP(p, w, at) {
            double x = load(p, plane, at);
            sum += p->params->kind == POOL_AVERAGE ? x
                   : p->params->p == 1             ? fabs(x)
                   : p->params->p == 2             ? x * x
                                                   : pow(fabs(x), p->params->p);
        }
        store(p, to,
              p->params->kind == POOL_AVERAGE ? sum / (double)counted(p, &w)
              : p->params->p == 1             ? sum
              : p->params->p == 2             ? sqrt(sum)
                                              : pow(sum, 1 / p->params->p));
    }
}

static void fill_padded(const struct planes *p, const real *x, real outside, real *ret) {
    size_t rows = p->padded / p->width, left = p->pad[2] < p->width ? p->pad[2] : p->width;
    size_t inside = p->width - left < p->in[2] ? p->width - left : p->in[2];
    for (size_t row = 0; row < rows; row++, ret += p->width) {
        bool in = row >= p->pad[1] && row - p->pad[1] < p->in[1];
        for (size_t i = 0; i < (in ? left : p->width); i++)
            ret[i] = outside;
        if (!in)
            continue;
        memcpy(ret + left, x + (row - p->pad[1]) * p->in[2], inside * sizeof *ret);
        for (size_t i = left + inside; i < p->width; i++)
            ret[i] = outside;
    }
}

static void by_rows(const struct planes *p, size_t plane, real *padded) {
    static const real ones[MAX_TAPS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    bool max = p->params->kind == POOL_MAX;
    size_t taps = p->kernel[1] * p->kernel[2];
    const real *top[MAX_TAPS], *at[MAX_TAPS]; /* of the first row, of this one */
    for (size_t t = 0; t < taps; t++)
        top[t] = padded + t / p->kernel[2] * p->dilation[1] * p->width +
                 t % p->kernel[2] * p->dilation[2];
    real *y = (real *)p->y + plane * p->out_size, start = max ? -(real)INFINITY : 0;
    fill_padded(p, (const real *)p->x + plane * p->in_size, start, padded);
    bool whole = is_whole(p, 1) && is_whole(p, 2);
    struct place w = first_place(p);
    for (size_t row = 0; row < p->out[1]; row++, y += p->out[2]) {
        for (size_t t = 0; t < taps; t++)
            at[t] = top[t] + row * p->stride[1] * p->width;
        for (size_t i = 0; i < p->out[2]; i++)
            y[i] = start;
        if (max) {
            taps_max(at, taps, p->stride[2], p->out[2], y);
            continue;
        }
        taps_sum(at, ones, taps, p->stride[2], p->out[2], y);
        if (whole) {
            vmath_mul_scalar(y, 1 / (real)taps, p->out[2], y);
            continue;
        }
        for (size_t i = 0; i < p->out[2]; i++, next_place(p, &w))
            y[i] /= (real)counted(p, &w);
    }
}

static int forward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct planes *p = ctx;
    size_t end = (tile + 1) * p->per_tile < p->count ? (tile + 1) * p->per_tile : p->count;
    for (size_t plane = tile * p->per_tile; plane < end; plane++) {
        const real *x = (const real *)p->x + plane * p->in_size;
        if (p->padded && !p->indices)
            by_rows(p, plane, p->scratch + worker * p->padded);
        else if (p->params->global && p->params->kind == POOL_AVERAGE)
            ((real *)p->y)[plane] = (real)(vmath_sum(x, p->in_size) / (double)p->in_size);
        else if (p->params->global && p->params->kind == POOL_MAX && p->dtype == DTYPE_F32)
            ((real *)p->y)[plane] = vmath_max(x, p->in_size);
        else
            by_window(p, plane);
    }
    return 0;
}

static int pool_forward(const struct op_run *run, struct err *err) {
    struct planes p = planes_of(run);
    p.x = run->in[0]->data;
    p.y = run->out[0]->data;
    p.scratch = run->scratch;
    p.indices = run->node->out_count > 1 && run->out[1] ? run->out[1]->data : NULL;
    if (p.count == 0 || p.out_size == 0)
        return 0;
    if (p.in_size == 0)
        return op_fail(run->node, err, "nothing to pool over");
    return loop_run(run->team, run->progress, (p.count + p.per_tile - 1) / p.per_tile, forward_tile,
                    &p, err);
}

/* ---- backward ---- */

static void window_back(const struct planes *p, size_t plane, const struct place *w, size_t i) {
    const real *x = (const real *)p->x + plane * p->in_size;
    real *dx = p->dx + plane * p->in_size;
    size_t from = plane * p->out_size + i;
    double dy = p->dy[from], y = p->result[from];
    if (p->params->kind == POOL_MAX) {
        dx[largest_real(p, x, w)] += (real)dy;
    } else if (p->params->kind == POOL_AVERAGE) {
        real share = (real)(dy / (double)counted(p, w));
        EACH_TAP(p, *w, at)
        dx[at] += share;
    } else if (y != 0) {
        EACH_TAP(p, *w, at) {
            double v = x[at];
            dx[at] += (real)(dy * copysign(pow(fabs(v) / y, p->params->p - 1), v) * (v != 0));
        }
    }
}

/* `n` outputs of a row whose windows lie inside x; x and dx from under the first tap of the first
 * one on. */
static void max_row_back(const struct planes *p, const real *x, const real *dy, size_t n,
                         real *dx) {
    size_t down = p->dilation[1] * p->in[2], step = p->dilation[2];
    for (size_t i = 0; i < n; i++) {
        size_t start = i * p->stride[2], best = start;
        real top = x[start]; /* beside `best`: x[best] would be waited for at every tap */
        for (size_t t1 = 0; t1 < p->kernel[1]; t1++, start += down)
            for (size_t t2 = 0, at = start; t2 < p->kernel[2]; t2++, at += step) {
                bool more = x[at] > top;
                top = more ? x[at] : top;
                best = more ? at : best;
            }
        dx[best] += dy[i];
    }
}

static void average_row_back(const struct planes *p, const real *dy, size_t n, real *dx) {
    real one = (real)(1 / (double)(p->kernel[1] * p->kernel[2]));
    for (size_t t1 = 0; t1 < p->kernel[1]; t1++)
        for (size_t t2 = 0; t2 < p->kernel[2]; t2++) {
            real *to = dx + t1 * p->dilation[1] * p->in[2] + t2 * p->dilation[2];
            if (p->stride[2] == 1)
                vmath_axpy(one, dy, n, to);
            else
                for (size_t i = 0; i < n; i++)
                    to[i * p->stride[2]] += one * dy[i];
        }
}

/* Rows whose windows stand out of x above or below, and the ends of the others, go window by
 * window. */
static void plane_back(const struct planes *p, size_t plane) {
    const real *x = (const real *)p->x + plane * p->in_size;
    size_t span = (p->kernel[2] - 1) * p->dilation[2], limit = p->in[2] + p->pad[2];
    size_t first = divided_up(p->pad[2], p->stride[2]), end = 0; /* windows inside x's rows */
    if (p->padded && limit > span)
        end = divided_up(limit - span, p->stride[2]);
    end = end < p->out[2] ? end : p->out[2];
    struct place w = first_place(p);
    for (size_t i = 0; i < p->out_size; i++, next_place(p, &w)) {
        bool inside =
            first < end && w.at[2] == first && w.taps[1].end - w.taps[1].first == p->kernel[1];
        if (!inside) {
            window_back(p, plane, &w, i);
            continue;
        }
        size_t at = input_at(p, w.at, 0, 0, 0);
        const real *dy = p->dy + plane * p->out_size + i;
        real *dx = p->dx + plane * p->in_size + at;
        if (p->params->kind == POOL_MAX)
            max_row_back(p, x + at, dy, end - first, dx);
        else
            average_row_back(p, dy, end - first, dx);
        i += end - first - 1;
        w.at[2] = end - 1;
    }
}

static int backward_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct planes *p = ctx;
    size_t end = (tile + 1) * p->per_tile < p->count ? (tile + 1) * p->per_tile : p->count;
    for (size_t plane = tile * p->per_tile; plane < end; plane++) {
        real *dx = p->dx + plane * p->in_size;
        if (p->params->global && p->params->kind == POOL_AVERAGE)
            vmath_add_scalar(dx, (real)(p->dy[plane] / (double)p->in_size), p->in_size, dx);
        else
            plane_back(p, plane);
    }
    return 0;
}

static int pool_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    struct planes p = planes_of(run);
    if (!back->dout[0] || !back->din[0] || p.count == 0 || p.out_size == 0)
        return 0;
    p.x = run->in[0]->data;
    p.result = array_real(run->out[0]);
    p.dy = array_real(back->dout[0]);
    p.dx = array_real(back->din[0]);
    return loop_run(run->team, run->progress, (p.count + p.per_tile - 1) / p.per_tile,
                    backward_tile, &p, err);
}

/* ---- axes ---- */

static int pool_dims(struct relations *r, const struct op_run *shapes) {
    /* The second output counts in a flattened input of this size. */
    if (shapes->node->out_count > 1 && shapes->out[1])
        return relate_nothing(r, shapes);
    return relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), 2) < 0 ||
                   relate_fixed_from(r, AXIS_IN(0, 2)) < 0 ||
                   relate_fixed_from(r, AXIS_OUT(0, 2)) < 0
               ? -1
               : 0;
}

/* ---- rows ---- */

#define POOL_ROW(row, type, outputs, parser, text) \
    const struct op op_##row = {                   \
        .op_type = type,                           \
        .domain = "",                              \
        .min_version = 1,                          \
        .max_version = OP_ONNX_VERSION,            \
        .min_in = 1,                               \
        .max_in = 1,                               \
        .min_out = 1,                              \
        .max_out = outputs,                        \
        .flags = OP_NEEDS_IN | OP_NEEDS_OUT,       \
        .parse = parser,                           \
        .infer = pool_infer,                       \
        .forward = pool_forward,                   \
        .backward = pool_backward,                 \
        .scratch = pool_scratch,                   \
        .dims = pool_dims,                         \
        .tolerance = 1e-6,                         \
        .doc = text,                               \
    }

POOL_ROW(max_pool, "MaxPool", 2, max_parse, "largest of each window");
POOL_ROW(average_pool, "AveragePool", 1, average_parse, "mean of each window");
POOL_ROW(lp_pool, "LpPool", 1, lp_parse, "p-norm of each window");
POOL_ROW(global_max_pool, "GlobalMaxPool", 1, global_max_parse, "largest of each channel");
POOL_ROW(global_average_pool, "GlobalAveragePool", 1, global_average_parse, "mean of each channel");
POOL_ROW(global_lp_pool, "GlobalLpPool", 1, global_lp_parse, "p-norm of each channel");
