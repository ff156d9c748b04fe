/*
 * ConvTranspose   x [n, c, spatial...], w [c, m/group, kernel...], b [m] → y [n, m, spatial...]
 *
 * The gradient of a convolution in its input, as a forward operator: of the one that leads from y's
 * shape to x's with the same weight. So forward is convolve_x(), its gradients are convolve_y() and
 * convolve_w().
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/content.h"
#include "compress/graph/convolve.h"
#include "compress/graph/relate.h"
#include "compress/graph/window.h"

#include <inttypes.h>

struct deconv {
    struct window window;
    uint64_t groups;
    uint64_t more[WINDOW_AXES]; /* output_padding */
    bool has_shape;
    uint64_t shape[WINDOW_AXES]; /* output_shape, spatial axes alone */
};

/* A list of numbers from 0 to 2^30, one for each axis. */
static int read(const struct node *node, const char *name, unsigned *axes, uint64_t *to,
                bool *ret_given, struct err *err) {
    const int64_t *given;
    size_t count;
    *ret_given = node_ints(node, name, &given, &count);
    if (!*ret_given)
        return 0;
    if (count == 0 || (*axes && count != *axes) || count > WINDOW_AXES)
        return op_fail(node, err, "%s of %zu numbers", name, count);
    *axes = (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        if (given[i] < 0 || given[i] > 0x3fffffff)
            return op_fail(node, err, "%s of %" PRId64, name, given[i]);
        to[i] = (uint64_t)given[i];
    }
    return 0;
}

static int deconv_parse(const struct node *node, struct arena *arena, void **ret_params,
                        struct err *err) {
    struct deconv *params = ARENA_NEW(arena, struct deconv);
    if (!params)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node's attributes");
    int64_t groups = node_int(node, "group", 1);
    if (groups < 1)
        return op_fail(node, err, "%" PRId64 " groups", groups);
    params->groups = (uint64_t)groups;
    bool given;
    if (window_parse(node, &params->window, err) < 0 ||
        read(node, "output_padding", &params->window.axes, params->more, &given, err) < 0 ||
        read(node, "output_shape", &params->window.axes, params->shape, &params->has_shape, err) <
            0)
        return -1;
    *ret_params = params;
    return 0;
}

/* Outputs along an axis of n inputs, and how many are cut off in front. False when none is left. */
static bool fit(const struct deconv *params, const struct window *window, unsigned axis, uint64_t n,
                uint64_t *ret_out, uint64_t *ret_begin) {
    uint64_t whole =
        (n ? n - 1 : 0) * window->stride[axis] + params->more[axis] + window_span(window, axis);
    bool same = window->pads == WINDOW_SAME_UPPER || window->pads == WINDOW_SAME_LOWER;
    if (!params->has_shape && !same) {
        uint64_t cut = window->begin[axis] + window->end[axis];
        *ret_out = whole > cut ? whole - cut : 0;
        *ret_begin = window->begin[axis];
        return whole > cut;
    }
    uint64_t out = params->has_shape ? params->shape[axis] : n * window->stride[axis];
    uint64_t total = whole > out ? whole - out : 0;
    *ret_out = out;
    *ret_begin = window->pads == WINDOW_SAME_UPPER ? total / 2 : total - total / 2;
    return true;
}

static bool differ(struct dim a, struct dim b) {
    return dim_known(a) && dim_known(b) && a.size != b.size;
}

static int check_deconv(const struct node *node, const struct deconv *params, const struct type *x,
                        const struct type *w, struct err *err) {
    if (x->rank < 3 || x->rank > 2 + WINDOW_AXES || w->rank != x->rank)
        return op_fail(node, err, "an input of rank %u and a weight of rank %u", x->rank, w->rank);
    if (params->window.axes && params->window.axes != x->rank - 2)
        return op_fail(node, err, "attributes for %u axes, an input with %u", params->window.axes,
                       x->rank - 2);
    if (differ(x->dims[1], w->dims[0]))
        return op_fail(node, err, "%" PRId64 " channels, a weight for %" PRId64, x->dims[1].size,
                       w->dims[0].size);
    if (dim_known(w->dims[0]) && (uint64_t)w->dims[0].size % params->groups)
        return op_fail(node, err, "%" PRId64 " channels in %" PRIu64 " groups", w->dims[0].size,
                       params->groups);
    for (unsigned d = 0; d < x->rank - 2; d++) {
        if (params->window.has_kernel && differ(DIM(params->window.kernel[d]), w->dims[d + 2]))
            return op_fail(node, err, "kernel_shape says %" PRIu64 ", the weight %" PRId64,
                           params->window.kernel[d], w->dims[d + 2].size);
        if (dim_known(w->dims[d + 2]) && w->dims[d + 2].size == 0)
            return op_fail(node, err, "an empty kernel");
    }
    return 0;
}

static int infer_axis(struct op_infer *infer, const struct deconv *params,
                      const struct window *window, unsigned axis, bool known, struct dim in,
                      struct dim *ret, struct err *err) {
    uint64_t out, begin;
    if (params->has_shape) {
        *ret = DIM(params->shape[axis]);
    } else if (!known || !dim_known(in)) {
        *ret = (struct dim){-1, symbols_get(infer->symbols, NULL)};
    } else {
        if (!fit(params, window, axis, (uint64_t)in.size, &out, &begin))
            return op_fail(infer->node, err, "pads leave nothing of axis %u", axis + 2);
        *ret = DIM(out);
    }
    return 0;
}

static int deconv_infer(struct op_infer *infer, struct err *err) {
    const struct deconv *params = infer->node->params;
    const struct type *x = &infer->in[0]->type, *w = &infer->in[1]->type;
    struct type *y = &infer->out[0].type;
    y->dtype = x->dtype;
    if (!x->ranked || !w->ranked)
        return 0;
    if (check_deconv(infer->node, params, x, w, err) < 0)
        return -1;
    y->ranked = true;
    y->rank = x->rank;
    y->dims[0] = x->dims[0];
    y->dims[1] = dim_known(w->dims[1]) ? DIM((uint64_t)w->dims[1].size * params->groups)
                 : params->groups == 1 ? w->dims[1]
                                       : (struct dim){-1, symbols_get(infer->symbols, NULL)};
    if (node_has(infer->node, 2) && infer->in[2]->type.ranked &&
        (infer->in[2]->type.rank != 1 || differ(infer->in[2]->type.dims[0], y->dims[1])))
        return op_fail(infer->node, err, "the bias is not one number per output");
    struct window window = params->window;
    for (unsigned d = 2; d < x->rank; d++) {
        bool known = window.has_kernel || dim_known(w->dims[d]);
        if (!window.has_kernel && known)
            window.kernel[d - 2] = (uint64_t)w->dims[d].size;
        if (infer_axis(infer, params, &window, d - 2, known, x->dims[d], &y->dims[d], err) < 0)
            return -1;
    }
    return 0;
}

/* The convolution from y to x. */
static struct convolve deconv_shapes(const struct op_run *run) {
    const struct deconv *params = run->node->params;
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
        fit(params, &window, d, x->dims[d + 2], &out, &begin);
        c.in[lead + d] = (size_t)y->dims[d + 2];
        c.out[lead + d] = (size_t)x->dims[d + 2];
        c.kernel[lead + d] = (size_t)w->dims[d + 2];
        c.stride[lead + d] = (size_t)window.stride[d];
        c.dilation[lead + d] = (size_t)window.dilation[d];
        c.pad[lead + d] = (size_t)begin;
    }
    return c;
}

static uint64_t deconv_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    struct convolve c = deconv_shapes(shapes);
    if (!backward)
        return convolve_scratch(&c, CONVOLVE_X, threads);
    uint64_t y = convolve_scratch(&c, CONVOLVE_Y, threads);
    uint64_t w = convolve_scratch(&c, CONVOLVE_W, threads);
    return y > w ? y : w;
}

/* A channel of an image starts as its bias. */
struct start {
    const real *bias;
    real *y;
    size_t channels, positions;
};

static int start_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct start *s = ctx;
    real bias = s->bias ? s->bias[index % s->channels] : 0, *y = s->y + index * s->positions;
    for (size_t i = 0; i < s->positions; i++)
        y[i] = bias;
    return 0;
}

static int deconv_forward(const struct op_run *run, struct err *err) {
    struct convolve c = deconv_shapes(run);
    struct start s = {.bias = node_has(run->node, 2) ? array_real(run->in[2]) : NULL,
                      .y = array_real(run->out[0]),
                      .channels = c.groups * c.in_channels,
                      .positions = c.in[0] * c.in[1] * c.in[2]};
    if (loop_run(run->team, run->progress, c.batch * s.channels, start_tile, &s, err) < 0)
        return -1;
    return convolve_x(&c, array_real(run->in[0]), array_real(run->in[1]), array_real(run->out[0]),
                      &(struct convolve_run){run->scratch, run->team, run->progress}, err);
}

static int deconv_backward(const struct op_backward *back, struct err *err) {
    const struct op_run *run = &back->run;
    struct convolve c = deconv_shapes(run);
    struct convolve_run with = {run->scratch, run->team, run->progress};
    const real *dy = array_real(back->dout[0]);
    if (back->din[0] && convolve_y(&c, dy, array_real(run->in[1]), NULL, true,
                                   array_real(back->din[0]), &with, err) < 0)
        return -1;
    if (back->din[1] &&
        convolve_w(&c, array_real(run->in[0]), dy, array_real(back->din[1]), &with, err) < 0)
        return -1;
    if (run->node->in_count < 3 || !back->din[2])
        return 0;
    return convolve_bias(c.batch, c.groups * c.in_channels, c.in[0] * c.in[1] * c.in[2], dy,
                         array_real(back->din[2]), &with, err);
}

static uint64_t deconv_macs(const struct op_run *shapes) {
    struct convolve c = deconv_shapes(shapes);
    return convolve_macs(&c);
}

/* w [groups * in, out of a group, ...]. One in and one out a group: groups go with their channels.
 * Else the same position of every group goes. */
static int deconv_dims(struct relations *r, const struct op_run *shapes) {
    const struct deconv *params = shapes->node->params;
    const struct array *w = shapes->in[1];
    uint64_t inputs = w->dims[0] / params->groups, outputs = w->dims[1];
    if (relate_same(r, AXIS_IN(0, 0), AXIS_OUT(0, 0)) < 0 ||
        relate_same(r, AXIS_IN(2, 0), AXIS_OUT(0, 1)) < 0 ||
        relate_fixed_from(r, AXIS_IN(0, 2)) < 0 || relate_fixed_from(r, AXIS_IN(1, 2)) < 0 ||
        relate_fixed_from(r, AXIS_OUT(0, 2)) < 0)
        return -1;
    if (params->groups > 1 && inputs == 1)
        return relate_same(r, AXIS_IN(0, 1), AXIS_IN(1, 0)) < 0 ||
                       relate_fixed(r, AXIS_IN(1, 1)) < 0
                   ? -1
                   : relate_mapped(r, AXIS_OUT(0, 1), AXIS_IN(0, 1), outputs, 0, 0);
    if (relate_contracted(r, AXIS_IN(0, 1), AXIS_IN(1, 0)) < 0 ||
        relate_mapped(r, AXIS_OUT(0, 1), AXIS_IN(1, 1), 1, outputs, 0) < 0)
        return -1;
    return params->groups == 1 ? 0 : relate_mapped(r, AXIS_IN(0, 1), AXIS_IN(0, 1), 1, inputs, 0);
}

static int deconv_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                      struct err *err) {
    const struct deconv *params = node->params;
    if (params->groups == 1 || before->in[1]->dims[0] != params->groups)
        return 0;
    return content_set_int(node, "group", (int64_t)after->in[0]->dims[1], err);
}

const struct op op_conv_transpose = {
    .op_type = "ConvTranspose",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_NEEDS_IN,
    .parse = deconv_parse,
    .infer = deconv_infer,
    .forward = deconv_forward,
    .backward = deconv_backward,
    .scratch = deconv_scratch,
    .macs = deconv_macs,
    .dims = deconv_dims,
    .cut = deconv_cut,
    .tolerance = 1e-6,
    .doc = "transposed convolution over one to three axes",
};
