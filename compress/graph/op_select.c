/*
 * Which elements, and in which order, is said by data.
 *
 *   Compress         x [outer, n, inner], condition [<= n] → y [outer, true ones, inner]
 *   NonZero          x → int64 [rank, count], the indices of what is not 0
 *   ReverseSequence  x [time, batch, ..] or [batch, time, ..], lengths [batch] → y, the first
 *                    lengths[b] of every batch element in reverse
 */
#include "compress/graph/indices.h"
#include "compress/graph/relate.h"

#include <string.h>

/* ---- Compress ---- */

static bool compress_flat(const struct node *node) {
    return !node_attr(node, "axis");
}

static uint64_t count_true(const struct array *condition) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < condition->elements; i++)
        count += array_int(condition, i) != 0;
    return count;
}

static int compress_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 2, err) != 0)
        return -1;
    const struct node *node = infer->node;
    const struct fact *x = infer->in[0], *condition = infer->in[1];
    struct type *y = &infer->out[0].type;
    unsigned axis = 0;
    y->dtype = x->type.dtype;
    if (compress_flat(node)) {
        y->ranked = true;
        y->rank = 1;
    } else if (!x->type.ranked) {
        return 0;
    } else if (op_axis(node, node_int(node, "axis", 0), x->type.rank, &axis, err) != 0) {
        return -1;
    } else {
        *y = x->type;
    }
    if (!condition->data)
        return content_fresh(infer, &y->dims[axis], err);
    y->dims[axis] = DIM(count_true(condition->data));
    return 0;
}

/* For each element that is kept: its place in x and in y, row by row of `inner`. */
static int compress_rows(const struct op_run *run, const real *dy, real *dx, struct err *err) {
    const struct array *x = run->in[0], *condition = run->in[1], *y = run->out[0];
    unsigned axis = 0, bytes = array_item_bytes(x->dtype);
    uint64_t outer = 1, n = x->elements, inner = 1, row = 0;
    if (!compress_flat(run->node)) {
        if (op_axis(run->node, node_int(run->node, "axis", 0), x->rank, &axis, err) != 0)
            return -1;
        outer = indices_span(x, 0, axis);
        n = x->dims[axis];
        inner = indices_span(x, axis + 1, x->rank);
    }
    if (condition->elements > n)
        return content_refuse(run->node, err, "%llu conditions for %llu elements",
                              (unsigned long long)condition->elements, (unsigned long long)n);
    if (content_fits(run->node, outer * count_true(condition) * inner, y, err) != 0)
        return -1;
    for (uint64_t o = 0; o < outer; o++)
        for (uint64_t i = 0; i < condition->elements; i++) {
            if (array_int(condition, i) == 0)
                continue;
            uint64_t at = (o * n + i) * inner;
            for (uint64_t k = 0; dx && k < inner; k++)
                dx[at + k] += dy[row * inner + k];
            if (!dx)
                memcpy((uint8_t *)y->data + row * inner * bytes,
                       (const uint8_t *)x->data + at * bytes, inner * bytes);
            row++;
        }
    return 0;
}

static int compress_forward(const struct op_run *run, struct err *err) {
    return compress_rows(run, NULL, NULL, err);
}

static int compress_backward(const struct op_backward *back, struct err *err) {
    return compress_rows(&back->run, array_real(back->dout[0]), array_real(back->din[0]), err);
}

static int compress_dims(struct relations *r, const struct op_run *shapes) {
    const struct array *x = shapes->in[0];
    unsigned axis;
    if (compress_flat(shapes->node))
        return relate_nothing(r, shapes);
    if (op_axis(shapes->node, node_int(shapes->node, "axis", 0), x->rank, &axis, NULL) != 0 ||
        relate_fixed_from(r, AXIS_IN(1, 0)) < 0)
        return -1;
    for (unsigned d = 0; d < x->rank; d++)
        if ((d == axis ? relate_fixed(r, AXIS_IN(0, d)) < 0 ? -1 : relate_fixed(r, AXIS_OUT(0, d))
                       : relate_same(r, AXIS_IN(0, d), AXIS_OUT(0, d))) < 0)
            return -1;
    return 0;
}

const struct op op_compress = {
    .op_type = "Compress",
    .domain = "",
    .min_version = 9,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN | OP_NEEDS_REST,
    .infer = compress_infer,
    .forward = compress_forward,
    .backward = compress_backward,
    .dims = compress_dims,
    .tolerance = 1e-9,
    .doc = "elements of an axis where a condition holds",
};

/* ---- NonZero ---- */

static uint64_t count_nonzero(const struct array *x) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < x->elements; i++)
        count += array_number(x, i) != 0;
    return count;
}

static int nonzero_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct fact *x = infer->in[0];
    struct type *y = &infer->out[0].type;
    y->dtype = DTYPE_I64;
    if (content_ranked(infer, y, 2, err) != 0)
        return -1;
    if (x->type.ranked)
        y->dims[0] = DIM(x->type.rank);
    if (x->data)
        y->dims[1] = DIM(count_nonzero(x->data));
    return 0;
}

static int nonzero_forward(const struct op_run *run, struct err *err) {
    const struct array *x = run->in[0];
    uint64_t count = count_nonzero(x), at = 0;
    const uint64_t dims[] = {x->rank, count};
    if (content_shaped(run->node, 2, dims, run->out[0], err) != 0)
        return -1;
    int64_t *y = run->out[0]->data;
    for (uint64_t i = 0; i < x->elements; i++) {
        if (array_number(x, i) == 0)
            continue;
        uint64_t rest = i;
        for (unsigned d = x->rank; d-- > 0; rest /= x->dims[d])
            y[d * count + at] = (int64_t)(rest % x->dims[d]);
        at++;
    }
    return 0;
}

const struct op op_non_zero = {
    .op_type = "NonZero",
    .domain = "",
    .min_version = 9,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .infer = nonzero_infer,
    .forward = nonzero_forward,
    .doc = "where elements are not 0",
};

/* ---- ReverseSequence ---- */

static int reverse_parse(const struct node *node, struct arena *arena, void **ret_params,
                         struct err *err) {
    int64_t batch = node_int(node, "batch_axis", 1), time = node_int(node, "time_axis", 0);
    if (batch < 0 || batch > 1 || time != 1 - batch)
        return op_fail(node, err, "batch_axis is %lld, time_axis %lld", (long long)batch,
                       (long long)time);
    return 0;
}

static int reverse_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 2, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type, *lengths = &infer->in[1]->type;
    unsigned batch = (unsigned)node_int(infer->node, "batch_axis", 1);
    struct dim d;
    if (x->ranked && x->rank < 2)
        return op_fail(infer->node, err, "the input has %u dimensions, not 2 or more", x->rank);
    if (content_rank(infer, lengths, 1, "the lengths", err) != 0)
        return -1;
    if (x->ranked && lengths->ranked &&
        content_agree(infer, x->dims[batch], lengths->dims[0], "batch and lengths", &d, err) != 0)
        return -1;
    infer->out[0].type = *x;
    return 0;
}

/* Every row of `inner` and the row that it comes from. */
static int reverse_rows(const struct op_run *run, const real *dy, real *dx, struct err *err) {
    const struct array *x = run->in[0], *lengths = run->in[1];
    unsigned batch_axis = (unsigned)node_int(run->node, "batch_axis", 1);
    unsigned bytes = array_item_bytes(x->dtype);
    uint64_t inner = indices_span(x, 2, x->rank), times = x->dims[1 - batch_axis];
    if (lengths->elements != x->dims[batch_axis])
        return content_refuse(run->node, err, "%llu lengths for a batch of %llu",
                              (unsigned long long)lengths->elements,
                              (unsigned long long)x->dims[batch_axis]);
    for (uint64_t b = 0; b < lengths->elements; b++) {
        int64_t length = array_int(lengths, b);
        if (length < 0 || (uint64_t)length > times)
            return content_refuse(run->node, err, "length %lld at position %llu, of %llu",
                                  (long long)length, (unsigned long long)b,
                                  (unsigned long long)times);
        for (uint64_t t = 0; t < times; t++) {
            uint64_t s = t < (uint64_t)length ? (uint64_t)length - 1 - t : t;
            uint64_t to = (batch_axis ? t * lengths->elements + b : b * times + t) * inner;
            uint64_t from = (batch_axis ? s * lengths->elements + b : b * times + s) * inner;
            for (uint64_t k = 0; dx && k < inner; k++)
                dx[from + k] += dy[to + k];
            if (!dx)
                memcpy((uint8_t *)run->out[0]->data + to * bytes,
                       (const uint8_t *)x->data + from * bytes, inner * bytes);
        }
    }
    return 0;
}

static int reverse_forward(const struct op_run *run, struct err *err) {
    return reverse_rows(run, NULL, NULL, err);
}

static int reverse_backward(const struct op_backward *back, struct err *err) {
    return reverse_rows(&back->run, array_real(back->dout[0]), array_real(back->din[0]), err);
}

static int reverse_dims(struct relations *r, const struct op_run *shapes) {
    unsigned batch = (unsigned)node_int(shapes->node, "batch_axis", 1);
    return relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), shapes->in[0]->rank) < 0 ||
                   relate_same(r, AXIS_IN(1, 0), AXIS_IN(0, batch)) < 0 ||
                   relate_fixed(r, AXIS_IN(0, 1 - batch)) < 0
               ? -1
               : 0;
}

const struct op op_reverse_sequence = {
    .op_type = "ReverseSequence",
    .domain = "",
    .min_version = 10,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN | OP_NEEDS_REST,
    .parse = reverse_parse,
    .infer = reverse_infer,
    .forward = reverse_forward,
    .backward = reverse_backward,
    .dims = reverse_dims,
    .tolerance = 1e-9,
    .doc = "reverses the beginning of every sequence",
};
