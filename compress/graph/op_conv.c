/*
 * Conv   x [n, c, spatial...], w [m, c/group, kernel...], b [m] → y [n, m, spatial...]
 *
 * One to three spatial axes. The work is convolve.c's.
 */
#include "compress/base/arena.h"
#include "compress/graph/content.h"
#include "compress/graph/convolve.h"
#include "compress/graph/relate.h"
#include "compress/graph/window.h"

#include <inttypes.h>

struct conv {
    struct window window;
    uint64_t groups;
};

static int conv_parse(const struct node *node, struct arena *arena, void **ret_params,
                      struct err *err) {
    struct conv *params = ARENA_NEW(arena, struct conv);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    int64_t groups = node_int(node, "group", 1);
    if (groups < 1)
        return op_fail(node, err, "%" PRId64 " groups", groups);
    if (window_parse(node, &params->window, err) < 0)
        return -1;
    params->groups = (uint64_t)groups;
    *ret_params = params;
    return 0;
}

static bool differ(struct dim a, struct dim b) {
    return dim_known(a) && dim_known(b) && a.size != b.size;
}

/* What x and w say of each other. */
static int check_conv(const struct node *node, const struct conv *params, const struct type *x,
                      const struct type *w, struct err *err) {
    if (x->rank < 3 || x->rank > 2 + WINDOW_AXES || w->rank != x->rank)
        return op_fail(node, err, "an input of rank %u and a weight of rank %u", x->rank, w->rank);
    if (params->window.axes && params->window.axes != x->rank - 2)
        return op_fail(node, err, "attributes for %u axes, an input with %u", params->window.axes,
                       x->rank - 2);
    struct dim c = x->dims[1], m = w->dims[0], k = w->dims[1];
    if (dim_known(c) && dim_known(k) && (uint64_t)c.size != (uint64_t)k.size * params->groups)
        return op_fail(node, err, "%" PRId64 " channels, %" PRIu64 " groups of %" PRId64, c.size,
                       params->groups, k.size);
    if (dim_known(m) && (uint64_t)m.size % params->groups)
        return op_fail(node, err, "%" PRId64 " outputs in %" PRIu64 " groups", m.size,
                       params->groups);
    for (unsigned d = 0; params->window.has_kernel && d < params->window.axes; d++)
        if (differ(DIM(params->window.kernel[d]), w->dims[d + 2]))
            return op_fail(node, err, "kernel_shape says %" PRIu64 ", the weight %" PRId64,
                           params->window.kernel[d], w->dims[d + 2].size);
    return 0;
}

static int conv_infer(struct op_infer *infer, struct err *err) {
    const struct conv *params = infer->node->params;
    const struct type *x = &infer->in[0]->type, *w = &infer->in[1]->type;
    struct type *y = &infer->out[0].type;
    y->dtype = x->dtype;
    if (!x->ranked)
        return 0;
    if (!w->ranked) {
        y->ranked = true;
        y->rank = x->rank;
        for (unsigned d = 0; d < x->rank; d++)
            y->dims[d] = d ? (struct dim){-1, symbols_get(infer->symbols, NULL)} : x->dims[0];
        return 0;
    }
    if (check_conv(infer->node, params, x, w, err) < 0)
        return -1;
    if (node_has(infer->node, 2) && infer->in[2]->type.ranked) {
        const struct type *b = &infer->in[2]->type;
        if (b->rank != 1 || differ(b->dims[0], w->dims[0]))
            return op_fail(infer->node, err, "the bias is not one number per output");
    }
    struct window window = params->window;
    bool known = true;
    for (unsigned d = 2; d < x->rank && !window.has_kernel; d++) {
        known = known && dim_known(w->dims[d]);
        if (known && w->dims[d].size == 0)
            return op_fail(infer->node, err, "an empty kernel");
        window.kernel[d - 2] = known ? (uint64_t)w->dims[d].size : 1;
    }
    if (window_infer(infer, &window, x, w->dims[0], y, err) < 0)
        return -1;
    for (unsigned d = 2; d < x->rank && !known; d++)
        y->dims[d] = (struct dim){-1, symbols_get(infer->symbols, NULL)};
    return 0;
}

static struct convolve conv_shapes(const struct op_run *run) {
    const struct conv *params = run->node->params;
    const struct array *x = run->in[0], *w = run->in[1], *y = run->out[0];
    struct convolve c = {.batch = (size_t)x->dims[0],
                         .groups = (size_t)params->groups,
                         .in_channels = (size_t)w->dims[1],
                         .out_channels = (size_t)(w->dims[0] / params->groups)};
    struct window window = params->window;
    unsigned axes = x->rank - 2, lead = WINDOW_AXES - axes;
    for (unsigned d = 0; d < WINDOW_AXES; d++)
        c.in[d] = c.out[d] = c.kernel[d] = c.stride[d] = c.dilation[d] = 1;
    for (unsigned d = 0; d < axes; d++) {
        uint64_t out, begin = 0;
        window.kernel[d] = w->dims[d + 2];
        window_fit(&window, d, x->dims[d + 2], &out, &begin);
        c.in[lead + d] = (size_t)x->dims[d + 2];
        c.out[lead + d] = (size_t)y->dims[d + 2];
        c.kernel[lead + d] = (size_t)w->dims[d + 2];
        c.stride[lead + d] = (size_t)window.stride[d];
        c.dilation[lead + d] = (size_t)window.dilation[d];
        c.pad[lead + d] = (size_t)begin;
    }
    return c;
}

static uint64_t conv_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    struct convolve c = conv_shapes(shapes);
    if (!backward)
        return convolve_scratch(&c, CONVOLVE_Y, threads);
    uint64_t x = convolve_scratch(&c, CONVOLVE_X, threads);
    uint64_t w = convolve_scratch(&c, CONVOLVE_W, threads);
    return x > w ? x : w;
}

static int conv_forward(const struct op_run *run, struct err *err) {
    struct convolve c = conv_shapes(run);
    const real *bias = node_has(run->node, 2) ? array_real(run->in[2]) : NULL;
    return convolve_y(
        &c, array_real(run->in[0]), array_real(run->in[1]), bias, false, array_real(run->out[0]),
        &(struct convolve_run){run->scratch, run->team, run->progress, run->clamp}, err);
}

static int conv_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    struct convolve c = conv_shapes(run);
    struct convolve_run with = {run->scratch, run->team, run->progress, NULL};
    const real *dy = array_real(back->dout[0]);
    if (back->din[0] &&
        convolve_x(&c, dy, array_real(run->in[1]), array_real(back->din[0]), &with, err) < 0)
        return -1;
    if (back->din[1] &&
        convolve_w(&c, dy, array_real(run->in[0]), array_real(back->din[1]), &with, err) < 0)
        return -1;
    if (run->node->in_count < 3 || !back->din[2])
        return 0;
    return convolve_bias(c.batch, c.groups * c.out_channels, c.out[0] * c.out[1] * c.out[2], dy,
                         array_real(back->din[2]), &with, err);
}

static uint64_t conv_macs(const struct op_run *shapes) {
    struct convolve c = conv_shapes(shapes);
    return convolve_macs(&c);
}

static int conv_dims(struct relations *r, const struct op_run *shapes) {
    const struct conv *params = shapes->node->params;
    return relate_convolution(r, 0, 1, params->groups) < 0
               ? -1
               : relate_same(r, AXIS_IN(2, 0), AXIS_IN(1, 0));
}

/* Depthwise, groups go with their channels. */
static int conv_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                    struct err *err) {
    const struct conv *params = node->params;
    if (params->groups == 1 || before->in[1]->dims[1] != 1)
        return 0;
    return content_set_int(node, "group", (int64_t)after->in[0]->dims[1], err);
}

const struct op op_conv = {
    .op_type = "Conv",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN | OP_CLAMPS,
    .parse = conv_parse,
    .infer = conv_infer,
    .forward = conv_forward,
    .backward = conv_backward,
    .scratch = conv_scratch,
    .macs = conv_macs,
    .dims = conv_dims,
    .cut = conv_cut,
    .tolerance = 1e-6,
    .doc = "convolution over one to three axes, grouped, strided, dilated",
};
