/* See window.h. */
#include "compress/graph/window.h"

#include <inttypes.h>
#include <string.h>

/* Sums of a few products of two such stay within 64 bits. */
#define MOST INT64_C(0x3fffffff)

/* `per_axis` numbers for each axis, each within [low, MOST]; ret is left alone when not given. */
static int read(const struct node *node, const char *name, unsigned per_axis, int64_t low,
                unsigned *axes, const int64_t **ret, struct err *err) {
    size_t count;
    if (!node_ints(node, name, ret, &count)) {
        *ret = NULL;
        return 0;
    }
    if (count == 0 || count % per_axis || (*axes && count / per_axis != *axes))
        return op_fail(node, err, "%s of %zu numbers", name, count);
    if (count / per_axis > WINDOW_AXES)
        return err_set(err, ERR_UNSUPPORTED, "%s slides over more than %d axes", node->op_type,
                       WINDOW_AXES);
    *axes = (unsigned)(count / per_axis);
    for (size_t i = 0; i < count; i++)
        if ((*ret)[i] < low || (*ret)[i] > MOST)
            return op_fail(node, err, "%s of %" PRId64, name, (*ret)[i]);
    return 0;
}

static void fill(uint64_t ret[WINDOW_AXES], const int64_t *given, unsigned axes, uint64_t other) {
    for (unsigned d = 0; d < WINDOW_AXES; d++)
        ret[d] = given && d < axes ? (uint64_t)given[d] : other;
}

int window_parse(const struct node *node, struct window *ret, struct err *err) {
    static const char *const names[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
    struct window w = {.ceil = node_int(node, "ceil_mode", 0) != 0};
    const int64_t *kernel, *stride, *dilation, *pads;
    if (read(node, "kernel_shape", 1, 1, &w.axes, &kernel, err) < 0 ||
        read(node, "strides", 1, 1, &w.axes, &stride, err) < 0 ||
        read(node, "dilations", 1, 1, &w.axes, &dilation, err) < 0 ||
        read(node, "pads", 2, 0, &w.axes, &pads, err) < 0)
        return -1;
    const char *mode = node_string(node, "auto_pad", "NOTSET");
    unsigned m = 0;
    while (m < 4 && strcmp(mode, names[m]) != 0)
        m++;
    if (m == 4)
        return op_fail(node, err, "auto_pad is \"%.40s\"", mode);
    w.pads = (enum window_pads)m;
    w.has_kernel = kernel != NULL;
    fill(w.kernel, kernel, w.axes, 1);
    fill(w.stride, stride, w.axes, 1);
    fill(w.dilation, dilation, w.axes, 1);
    if (w.pads != WINDOW_PADS)
        pads = NULL;
    fill(w.begin, pads, w.axes, 0);
    fill(w.end, pads ? pads + w.axes : NULL, w.axes, 0);
    *ret = w;
    return 0;
}

uint64_t window_span(const struct window *window, unsigned axis) {
    return (window->kernel[axis] - 1) * window->dilation[axis] + 1;
}

bool window_fit(const struct window *window, unsigned axis, uint64_t n, uint64_t *ret_out,
                uint64_t *ret_begin) {
    uint64_t span = window_span(window, axis), stride = window->stride[axis];
    if (window->pads == WINDOW_SAME_UPPER || window->pads == WINDOW_SAME_LOWER) {
        uint64_t out = (n + stride - 1) / stride;
        uint64_t need = out ? (out - 1) * stride + span : 0;
        uint64_t total = need > n ? need - n : 0;
        *ret_out = out;
        *ret_begin = window->pads == WINDOW_SAME_UPPER ? total / 2 : total - total / 2;
        return true;
    }
    uint64_t begin = window->begin[axis], padded = n + begin + window->end[axis];
    if (padded < span)
        return false;
    uint64_t out = (padded - span + (window->ceil ? stride - 1 : 0)) / stride + 1;
    if (window->ceil && (out - 1) * stride >= n + begin)
        out--;
    *ret_out = out;
    *ret_begin = begin;
    return true;
}

int window_dim(struct op_infer *infer, const struct window *window, unsigned axis, struct dim in,
               struct dim *ret, struct err *err) {
    if (dim_known(in)) {
        uint64_t out, begin;
        if (!window_fit(window, axis, (uint64_t)in.size, &out, &begin))
            return op_fail(infer->node, err,
                           "a window of %" PRIu64 " does not fit %" PRId64 " in axis %u",
                           window_span(window, axis), in.size, axis + 2);
        *ret = DIM(out);
        return 0;
    }
    bool same = window->pads == WINDOW_SAME_UPPER || window->pads == WINDOW_SAME_LOWER ||
                window->begin[axis] + window->end[axis] + 1 == window_span(window, axis);
    *ret = same && window->stride[axis] == 1 ? in
                                             : (struct dim){-1, symbols_get(infer->symbols, NULL)};
    return 0;
}

int window_infer(struct op_infer *infer, const struct window *window, const struct type *x,
                 struct dim channels, struct type *ret, struct err *err) {
    struct type y = {.dtype = x->dtype, .ranked = true, .rank = x->rank};
    y.dims[0] = x->dims[0];
    y.dims[1] = channels;
    for (unsigned d = 2; d < x->rank; d++)
        if (window_dim(infer, window, d - 2, x->dims[d], &y.dims[d], err) < 0)
            return -1;
    *ret = y;
    return 0;
}
