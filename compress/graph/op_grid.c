/*
 * GridSample: x [n, c, d1 .. dk], grid [n, o1 .. ok, k] → y [n, c, o1 .. ok], k = 2 or 3.
 *
 * grid holds, for every place of the output, where it stands in x: k numbers between -1 and 1, the
 * last axis first, -1 and 1 being the outermost edges (or centres, with align_corners). Axes are
 * interpolated independently: every axis has 1, 2 or 4 taps, and a place is the sum over all their
 * combinations. Taps outside x are 0, the border, or a reflection.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/content.h"
#include "compress/graph/indices.h"
#include "compress/graph/relate.h"

#include <math.h>
#include <string.h>

enum mode { MODE_LINEAR, MODE_NEAREST, MODE_CUBIC };
enum padding { PADDING_ZEROS, PADDING_BORDER, PADDING_REFLECTION };
enum { MAX_AXES = 3, MAX_TAPS = 4 };
/* Places of the output that a tile takes, for all channels. */
enum { PLACES = 256 };

struct grid {
    enum mode mode;
    enum padding padding;
    bool align_corners;
};

static int grid_parse(const struct node *node, struct arena *arena, void **ret_params,
                      struct err *err) {
    struct grid *p = ARENA_NEW(arena, struct grid);
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for an operator");
    const char *mode = node_string(node, "mode", node->version < 20 ? "bilinear" : "linear");
    const char *padding = node_string(node, "padding_mode", "zeros");
    p->align_corners = node_int(node, "align_corners", 0) != 0;
    if (strcmp(mode, "nearest") == 0)
        p->mode = MODE_NEAREST;
    else if (strcmp(mode, node->version < 20 ? "bicubic" : "cubic") == 0)
        p->mode = MODE_CUBIC;
    else if (strcmp(mode, node->version < 20 ? "bilinear" : "linear") != 0)
        return op_fail(node, err, "mode is '%.20s'", mode);
    if (strcmp(padding, "border") == 0)
        p->padding = PADDING_BORDER;
    else if (strcmp(padding, "reflection") == 0)
        p->padding = PADDING_REFLECTION;
    else if (strcmp(padding, "zeros") != 0)
        return op_fail(node, err, "padding_mode is '%.20s'", padding);
    *ret_params = p;
    return 0;
}

static int grid_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 2, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type, *grid = &infer->in[1]->type;
    struct type *y = &infer->out[0].type;
    y->dtype = x->dtype;
    if (!x->ranked || !grid->ranked)
        return 0;
    if (x->rank < 4 || x->rank > 5 || grid->rank != x->rank)
        return op_fail(infer->node, err, "an input of rank %u and a grid of rank %u", x->rank,
                       grid->rank);
    struct dim last = grid->dims[grid->rank - 1];
    if (dim_known(last) && last.size != x->rank - 2)
        return op_fail(infer->node, err, "the grid has %lld coordinates, the input %u axes",
                       (long long)last.size, x->rank - 2);
    *y = *x;
    if (content_agree(infer, x->dims[0], grid->dims[0], "batches", &y->dims[0], err) != 0)
        return -1;
    for (unsigned i = 2; i < x->rank; i++)
        y->dims[i] = grid->dims[i - 1];
    return 0;
}

/* ---- one axis of one place ---- */

struct taps {
    unsigned count;
    int64_t index[MAX_TAPS]; /* -1: outside, 0 */
    double weight[MAX_TAPS];
};

/* Into [low, high], mirrored at both as often as it takes. */
static double reflect(double x, double low, double high) {
    double span = high - low;
    if (!(span > 0))
        return low;
    x = fmod(fabs(x - low), 2 * span);
    return low + (x > span ? 2 * span - x : x);
}

/* A position or the index of a tap, brought into the axis. */
static double bring_in(const struct grid *p, double x, double n) {
    if (p->padding == PADDING_REFLECTION)
        x = p->align_corners ? reflect(x, 0, n - 1) : reflect(x, -0.5, n - 0.5);
    if (p->padding != PADDING_ZEROS)
        x = x > 0 ? (x < n - 1 ? x : n - 1) : 0;
    return x;
}

/* Keys' kernel with a = -0.75. */
static double cubic(double x) {
    const double a = -0.75;
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static void find_taps(const struct grid *p, double at, uint64_t size, struct taps *ret) {
    double n = (double)size;
    double x = p->align_corners ? (at + 1) / 2 * (n - 1) : ((at + 1) * n - 1) / 2;
    if (p->mode != MODE_CUBIC)
        x = bring_in(p, x, n);
    ret->count = p->mode == MODE_NEAREST ? 1 : p->mode == MODE_LINEAR ? 2 : 4;
    const double half = ret->count == 4 ? 2 : 1;
    double first = p->mode == MODE_NEAREST ? nearbyint(x) : floor(x) - (half - 1);
    for (unsigned t = 0; t < ret->count; t++) {
        double i = first + t;
        ret->weight[t] = p->mode == MODE_NEAREST  ? 1
                         : p->mode == MODE_LINEAR ? 1 - fabs(x - i)
                                                  : cubic(x - i);
        if (p->mode == MODE_CUBIC)
            i = bring_in(p, i, n);
        ret->index[t] = i >= 0 && i < n ? (int64_t)i : -1;
    }
}

/* ---- places ---- */

struct sample {
    const struct grid *grid;
    const struct array *x, *y;
    const real *at;
    unsigned axes;
    uint64_t places; /* of one batch element */
};

/* Sum over the taps of all axes, of one channel. */
static real sum_taps(const struct sample *s, const real *x, const struct taps *taps) {
    unsigned t[MAX_AXES] = {0};
    double sum = 0;
    for (;;) {
        double weight = 1;
        int64_t offset = 0;
        for (unsigned a = 0; a < s->axes; a++) {
            int64_t index = taps[a].index[t[a]];
            weight *= index < 0 ? 0 : taps[a].weight[t[a]];
            offset = offset * (int64_t)s->x->dims[2 + a] + (index < 0 ? 0 : index);
        }
        if (weight != 0)
            sum += weight * (double)x[offset];
        unsigned a = s->axes;
        while (a-- > 0 && ++t[a] == taps[a].count)
            t[a] = 0;
        if (a == UINT32_MAX)
            return (real)sum;
    }
}

static int sample_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct sample *s = ctx;
    uint64_t channels = s->x->dims[1], pixels = indices_span(s->x, 2, s->x->rank);
    uint64_t first = (uint64_t)tile * PLACES, last = first + PLACES;
    for (uint64_t i = first; i < last && i < s->places * s->x->dims[0]; i++) {
        struct taps taps[MAX_AXES];
        uint64_t batch = i / s->places, place = i % s->places;
        for (unsigned a = 0; a < s->axes; a++) /* the grid names the last axis first */
            find_taps(s->grid, (double)s->at[i * s->axes + s->axes - 1 - a], s->x->dims[2 + a],
                      &taps[a]);
        for (uint64_t c = 0; c < channels; c++)
            array_real(s->y)[(batch * channels + c) * s->places + place] =
                sum_taps(s, array_real(s->x) + (batch * channels + c) * pixels, taps);
    }
    return 0;
}

static int grid_forward(const struct op_run *run, struct err *err) {
    const struct array *x = run->in[0], *grid = run->in[1], *y = run->out[0];
    if (x->dtype != DTYPE_F32 || grid->dtype != DTYPE_F32 || y->dtype != DTYPE_F32)
        return err_set(err, ERR_UNSUPPORTED, "GridSample of %s is not supported",
                       dtype_row(x->dtype)->name);
    struct sample s = {.grid = run->node->params,
                       .x = x,
                       .y = y,
                       .at = array_real(grid),
                       .axes = x->rank - 2,
                       .places = indices_span(y, 2, y->rank)};
    if (y->elements == 0)
        return 0;
    if (x->elements == 0)
        return content_refuse(run->node, err, "nothing to sample from");
    uint64_t count = s.places * x->dims[0];
    return loop_run(run->team, run->progress, (size_t)((count + PLACES - 1) / PLACES), sample_tile,
                    &s, err);
}

static int grid_dims(struct relations *r, const struct op_run *shapes) {
    unsigned axes = shapes->in[0]->rank - 2;
    return relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), 2) < 0 ||
                   relate_fixed_from(r, AXIS_IN(0, 2)) < 0 ||
                   relate_same(r, AXIS_IN(1, 0), AXIS_IN(0, 0)) < 0 ||
                   relate_axes(r, AXIS_IN(1, 1), AXIS_OUT(0, 2), axes) < 0 ||
                   relate_fixed(r, AXIS_IN(1, axes + 1)) < 0
               ? -1
               : 0;
}

const struct op op_grid_sample = {
    .op_type = "GridSample",
    .domain = "",
    .min_version = 16,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = grid_infer,
    .parse = grid_parse,
    .forward = grid_forward,
    .dims = grid_dims,
    .doc = "interpolates at places that another value names",
};
