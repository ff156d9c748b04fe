/*
 * Sliding windows: the attributes that convolutions and poolings share (kernel_shape, strides,
 * dilations, pads, auto_pad, ceil_mode), and what they make of a size.
 *
 * At most three axes slide. Threads: any.
 * Source: ONNX Operators.md, Conv and MaxPool; the last window of ceil_mode must begin inside the
 * input or its leading pad, as in PyTorch.
 */
#ifndef COMPRESS_GRAPH_WINDOW_H
#define COMPRESS_GRAPH_WINDOW_H

#include "compress/graph/op.h"

enum { WINDOW_AXES = 3 };

enum window_pads { WINDOW_PADS, WINDOW_VALID, WINDOW_SAME_UPPER, WINDOW_SAME_LOWER };

struct window {
    unsigned axes;   /* as the attributes say; 0: none of them does */
    bool has_kernel; /* kernel_shape is given */
    bool ceil;
    enum window_pads pads;
    /* Beyond what is given: 1, pads 0. */
    uint64_t kernel[WINDOW_AXES], stride[WINDOW_AXES], dilation[WINDOW_AXES];
    uint64_t begin[WINDOW_AXES], end[WINDOW_AXES];
};

/* ERR_BAD_MODEL for what makes no window, ERR_UNSUPPORTED for more than three axes. */
int window_parse(const struct node *node, struct window *ret, struct err *err);
/* What the kernel spans, gaps included. */
uint64_t window_span(const struct window *window, unsigned axis);
/* Outputs along an axis of n inputs, and the leading pad. False when not even one window fits. */
bool window_fit(const struct window *window, unsigned axis, uint64_t n, uint64_t *ret_out,
                uint64_t *ret_begin);
/* The same for inference: a symbol stays itself where every input has its output. */
int window_dim(struct op_infer *infer, const struct window *window, unsigned axis, struct dim in,
               struct dim *ret, struct err *err);
/* The type of what slides over `x` [n, c, ...] into `channels` channels; axes and kernel must be
 * complete. */
int window_infer(struct op_infer *infer, const struct window *window, const struct type *x,
                 struct dim channels, struct type *ret, struct err *err);

#endif
