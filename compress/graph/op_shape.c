/*
 * The same elements in the same order under another shape, and shapes as numbers.
 *
 *   Reshape    x, shape → y                Flatten    x → y [outer, inner]
 *   Squeeze    x, axes → y                 Unsqueeze  x, axes → y
 *   Identity   x → y                       Dropout    x, ratio, training → y, mask (inference only)
 *   Shape      x → int64 [end - start]     Size       x → int64
 */
#include "compress/base/arena.h"
#include "compress/graph/content.h"
#include "compress/graph/relate.h"
#include "compress/graph/strided.h"

/* ---- what all of the first group do: y's bytes are x's; dx += dy ---- */

static int same_forward(const struct op_run *run, struct err *err) {
    const struct array *x = run->in[0];
    struct array *y = run->out[0];
    if (content_fits(run->node, x->elements, y, err) != 0)
        return -1;
    return strided_copy(x->data, y->data, array_bytes(x), run->team, run->progress, err);
}

static int same_backward(const struct op_backward *back, struct err *err) {
    if (!back->din[0] || !back->dout[0])
        return 0;
    return strided_add_all(array_real(back->dout[0]), array_real(back->din[0]),
                           back->din[0]->elements, back->run.team, back->run.progress, err);
}

/* ---- Reshape: 0 keeps x's dimension (unless allowzero), -1 is what remains ---- */

struct reshape {
    bool allowzero;
};

static int reshape_parse(const struct node *node, struct arena *arena, void **ret_params,
                         struct err *err) {
    struct reshape *p = ARENA_NEW(arena, struct reshape);
    if (!p)
        return err_set(err, ERR_NO_MEMORY, "no memory for an operator");
    p->allowzero = node_int(node, "allowzero", 0) != 0;
    *ret_params = p;
    return 0;
}

/* y's dimension `hole`: x's product over the product of y's others, symbols cancelled. */
static int reshape_fill(struct op_infer *infer, const struct type *x, struct type *y, unsigned hole,
                        struct err *err) {
    bool used[LIMIT_RANK] = {false}, certain = true;
    int64_t have = 1, others = 1;
    size_t left = 0;
    struct dim symbol = DIM(1);
    for (unsigned i = 0; i < y->rank; i++) {
        unsigned k = 0;
        if (i == hole)
            continue;
        if (dim_known(y->dims[i])) {
            certain = !__builtin_mul_overflow(others, y->dims[i].size, &others) && certain;
            continue;
        }
        while (k < x->rank && (used[k] || !dim_same(x->dims[k], y->dims[i])))
            k++;
        if (k < x->rank)
            used[k] = true;
        else
            certain = false;
    }
    for (unsigned i = 0; i < x->rank; i++) {
        if (dim_known(x->dims[i])) {
            certain = !__builtin_mul_overflow(have, x->dims[i].size, &have) && certain;
        } else if (!used[i]) {
            symbol = x->dims[i];
            left++;
        }
    }
    if (!certain || left > 1 || (left == 1 && have != others))
        return content_fresh(infer, &y->dims[hole], err);
    if (left == 1) {
        y->dims[hole] = symbol;
        return 0;
    }
    if (others == 0 || have % others != 0)
        return op_fail(infer->node, err, "%lld elements do not divide into rows of %lld",
                       (long long)have, (long long)others);
    y->dims[hole] = DIM(have / others);
    return 0;
}

static int reshape_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 2, err) != 0)
        return -1;
    const struct reshape *p = infer->node->params;
    const struct type *x = &infer->in[0]->type;
    struct fact *out = &infer->out[0];
    struct dim shape[LIMIT_RANK];
    size_t rank;
    out->type.dtype = x->dtype;
    uint64_t length;
    if (content_count(infer->in[1], &length) && length > LIMIT_RANK)
        return content_ranked(infer, &out->type, length, err);
    if (!content_read(infer->in[1], shape, LIMIT_RANK, &rank))
        return content_count(infer->in[1], &length) ? content_ranked(infer, &out->type, length, err)
                                                    : 0;
    struct type y = {.dtype = x->dtype, .ranked = true, .rank = (unsigned)rank};
    int hole = -1;
    for (unsigned i = 0; i < rank; i++) {
        y.dims[i] = shape[i];
        if (!dim_known(shape[i]) || shape[i].size > 0)
            continue;
        if (shape[i].size == 0 && p->allowzero)
            continue;
        if (shape[i].size == 0) {
            if (x->ranked && i >= x->rank)
                return op_fail(infer->node, err, "dimension %u is to be kept, but the input has %u",
                               i, x->rank);
            if (x->ranked)
                y.dims[i] = x->dims[i];
            else if (content_fresh(infer, &y.dims[i], err) != 0)
                return -1;
        } else if (shape[i].size == -1 && hole < 0) {
            hole = (int)i;
        } else {
            return op_fail(infer->node, err, "%lld is no dimension, or the second -1",
                           (long long)shape[i].size);
        }
    }
    if (hole >= 0 && x->ranked) {
        if (reshape_fill(infer, x, &y, (unsigned)hole, err) != 0)
            return -1;
    } else if (hole >= 0) {
        if (content_fresh(infer, &y.dims[hole], err) != 0)
            return -1;
    } else if (type_known(x)) {
        struct array before, after;
        if (type_known(&y) && type_to_array(x, &before) && type_to_array(&y, &after) &&
            before.elements != after.elements)
            return op_fail(infer->node, err, "%llu elements do not fit a shape of %llu",
                           (unsigned long long)before.elements, (unsigned long long)after.elements);
    }
    out->type = y;
    content_keep(infer->in[0], out);
    return 0;
}

static int reshape_dims(struct relations *r, const struct op_run *shapes) {
    return relate_fixed_from(r, AXIS_IN(1, 0)) < 0
               ? -1
               : relate_reshaped(r, shapes->in[0], shapes->out[0]);
}

/* A constant target states sizes; one that is computed may follow by itself, or hold sizes that
 * were written down. It becomes a constant that states no more than it must: 0 keeps a dimension,
 * -1 is one that nothing else tells. */
static int reshape_cut(struct node *node, const struct op_run *before, const struct op_run *after,
                       struct err *err) {
    const struct reshape *p = node->params;
    const struct array *x = after->in[0], *from = before->in[0], *to = before->out[0],
                       *y = after->out[0];
    bool constant = node->in[1]->data != NULL, hole = false;
    int64_t shape[LIMIT_RANK];
    for (unsigned i = 0; i < y->rank; i++) {
        bool changed = y->dims[i] != to->dims[i];
        shape[i] = (int64_t)y->dims[i];
        if (constant && array_int(node->in[1]->data, i) <= 0) {
            shape[i] = array_int(node->in[1]->data, i);
            continue;
        }
        if (constant || changed || y->dims[i] == 1)
            continue;
        if (!p->allowzero && i < x->rank && from->dims[i] == to->dims[i] &&
            x->dims[i] == y->dims[i]) {
            shape[i] = 0;
        } else if (!hole) {
            shape[i] = -1;
            hole = true;
        } else {
            return err_set(err, ERR_UNSUPPORTED,
                           "%s: its shape is computed, and more than one dimension of it is not "
                           "known",
                           node->name);
        }
    }
    return content_replace(node, 1, shape, y->rank, err);
}

const struct op op_reshape = {
    .op_type = "Reshape",
    .domain = "",
    .min_version = 5,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_ALIAS,
    .parse = reshape_parse,
    .infer = reshape_infer,
    .forward = same_forward,
    .backward = same_backward,
    .dims = reshape_dims,
    .cut = reshape_cut,
    .tolerance = 1e-9,
    .doc = "another shape of the same size; 0 keeps a dimension, -1 is what remains",
};

/* ---- Flatten: [d0 .. d(axis-1), rest] ---- */

static int flatten_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    int64_t axis = node_int(infer->node, "axis", 1);
    y->dtype = x->dtype;
    if (!x->ranked)
        return content_ranked(infer, y, 2, err);
    if (axis < 0)
        axis += x->rank;
    if (axis < 0 || axis > x->rank)
        return op_fail(infer->node, err, "axis %lld is outside the input's %u dimensions",
                       (long long)node_int(infer->node, "axis", 1), x->rank);
    y->ranked = true;
    y->rank = 2;
    if (content_product(infer, x->dims, (size_t)axis, &y->dims[0], err) != 0 ||
        content_product(infer, x->dims + axis, x->rank - (size_t)axis, &y->dims[1], err) != 0)
        return -1;
    content_keep(infer->in[0], &infer->out[0]);
    return 0;
}

static int same_dims(struct relations *r, const struct op_run *shapes) {
    return relate_reshaped(r, shapes->in[0], shapes->out[0]);
}

const struct op op_flatten = {
    .op_type = "Flatten",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_ALIAS,
    .infer = flatten_infer,
    .forward = same_forward,
    .backward = same_backward,
    .dims = same_dims,
    .tolerance = 1e-9,
    .doc = "two dimensions: those before an axis, and the rest",
};

/* ---- Squeeze and Unsqueeze: axes are an attribute before version 13, then an input ---- */

/* known: axes hold; !known && !given: there are none. */
struct axes {
    bool given, known;
    size_t count;
    int64_t axes[LIMIT_RANK];
};

static int read_axes(const struct op_infer *infer, struct axes *ret, struct err *err) {
    const struct node *node = infer->node;
    *ret = (struct axes){0};
    if (node->version >= 13) {
        if (!node_has(node, 1) || !infer->in[1])
            return 0;
        ret->given = true;
        uint64_t count;
        if (content_count(infer->in[1], &count) && count > LIMIT_RANK)
            return op_fail(node, err, "%llu axes are too many", (unsigned long long)count);
        ret->known = content_ints(infer->in[1], ret->axes, LIMIT_RANK, &ret->count);
        return 0;
    }
    const int64_t *axes;
    if (!node_ints(node, "axes", &axes, &ret->count))
        return 0;
    if (ret->count > LIMIT_RANK)
        return op_fail(node, err, "%zu axes are too many", ret->count);
    ret->given = ret->known = true;
    for (size_t i = 0; i < ret->count; i++)
        ret->axes[i] = axes[i];
    return 0;
}

/* Which of `rank` axes are meant. */
static int mark_axes(const struct node *node, const struct axes *axes, unsigned rank, bool *ret,
                     struct err *err) {
    for (unsigned i = 0; i < rank; i++)
        ret[i] = false;
    for (size_t i = 0; i < axes->count; i++) {
        unsigned axis;
        if (op_axis(node, axes->axes[i], rank, &axis, err) != 0)
            return -1;
        if (ret[axis])
            return op_fail(node, err, "axis %u is named twice", axis);
        ret[axis] = true;
    }
    return 0;
}

static int squeeze_infer(struct op_infer *infer, struct err *err) {
    struct axes axes;
    bool gone[LIMIT_RANK];
    if (content_need(infer, 1, err) != 0 || read_axes(infer, &axes, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    struct fact *out = &infer->out[0];
    out->type.dtype = x->dtype;
    if (!x->ranked)
        return 0;
    struct type y = {.dtype = x->dtype, .ranked = true};
    if (axes.given && !axes.known) {
        uint64_t count;
        if (content_count(infer->in[1], &count) && count <= x->rank)
            return content_ranked(infer, &out->type, x->rank - count, err);
        return 0;
    }
    if (axes.given && mark_axes(infer->node, &axes, x->rank, gone, err) != 0)
        return -1;
    for (unsigned i = 0; i < x->rank; i++) {
        struct dim d = x->dims[i];
        if (!axes.given && !dim_known(d))
            return 0;
        if (!axes.given)
            gone[i] = d.size == 1;
        if (gone[i] && dim_known(d) && d.size != 1)
            return op_fail(infer->node, err, "axis %u has %lld elements, not 1", i,
                           (long long)d.size);
        if (!gone[i])
            y.dims[y.rank++] = d;
    }
    out->type = y;
    content_keep(infer->in[0], out);
    return 0;
}

static int unsqueeze_infer(struct op_infer *infer, struct err *err) {
    struct axes axes;
    bool fresh[LIMIT_RANK];
    if (content_need(infer, 1, err) != 0 || read_axes(infer, &axes, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    struct fact *out = &infer->out[0];
    out->type.dtype = x->dtype;
    if (!axes.given)
        return op_fail(infer->node, err, "axes are not given");
    uint64_t count = axes.count;
    if (!x->ranked || (!axes.known && !content_count(infer->in[1], &count)))
        return 0;
    if (x->rank + count > LIMIT_RANK)
        return op_fail(infer->node, err, "a rank of %llu is above the limit of %d",
                       (unsigned long long)(x->rank + count), LIMIT_RANK);
    struct type y = {.dtype = x->dtype, .ranked = true, .rank = x->rank + (unsigned)count};
    if (!axes.known)
        return content_ranked(infer, &out->type, y.rank, err);
    if (mark_axes(infer->node, &axes, y.rank, fresh, err) != 0)
        return -1;
    for (unsigned i = 0, k = 0; i < y.rank; i++)
        y.dims[i] = fresh[i] ? DIM(1) : x->dims[k++];
    out->type = y;
    content_keep(infer->in[0], out);
    return 0;
}

static int squeeze_dims(struct relations *r, const struct op_run *shapes) {
    const int64_t *axes;
    size_t count;
    /* Without axes, one that is cut down to 1 would vanish too. */
    if (!node_has(shapes->node, 1) && !node_ints(shapes->node, "axes", &axes, &count))
        return relate_nothing(r, shapes);
    return relate_fixed_from(r, AXIS_IN(1, 0)) < 0
               ? -1
               : relate_reshaped(r, shapes->in[0], shapes->out[0]);
}

const struct op op_squeeze = {
    .op_type = "Squeeze",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_ALIAS,
    .infer = squeeze_infer,
    .forward = same_forward,
    .backward = same_backward,
    .dims = squeeze_dims,
    .tolerance = 1e-9,
    .doc = "drops dimensions of 1",
};

const struct op op_unsqueeze = {
    .op_type = "Unsqueeze",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_ALIAS,
    .infer = unsqueeze_infer,
    .forward = same_forward,
    .backward = same_backward,
    .dims = squeeze_dims,
    .tolerance = 1e-9,
    .doc = "puts in dimensions of 1",
};

/* ---- Identity ---- */

static int identity_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    infer->out[0].type = infer->in[0]->type;
    content_keep(infer->in[0], &infer->out[0]);
    return 0;
}

const struct op op_identity = {
    .op_type = "Identity",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_ALIAS,
    .infer = identity_infer,
    .forward = same_forward,
    .backward = same_backward,
    .dims = relate_elementwise,
    .tolerance = 1e-9,
    .doc = "the input",
};

/* ---- Dropout as in inference: y = x, every element of the mask is 1. Its mask has x's type before
 * version 10, then bool. ---- */

static int dropout_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    infer->out[0].type = infer->in[0]->type;
    if (infer->node->out_count > 1) {
        infer->out[1].type = infer->in[0]->type;
        if (infer->node->version >= 10)
            infer->out[1].type.dtype = DTYPE_BOOL;
    }
    return 0;
}

static int dropout_forward(const struct op_run *run, struct err *err) {
    const struct node *node = run->node;
    if (node_has(node, 2) && run->in[2] && array_number(run->in[2], 0) != 0 &&
        (!run->in[1] || array_number(run->in[1], 0) != 0))
        return content_refuse(node, err, "dropping at random (training_mode) is not supported");
    if (run->out[0] && same_forward(run, err) != 0)
        return -1;
    if (node->out_count < 2 || !run->out[1])
        return 0;
    struct array *mask = run->out[1];
    real one = 1;
    double item = 0; /* large and aligned enough for any type */
    struct array from = {.dtype = DTYPE_F32, .elements = 1, .data = &one};
    struct array to = {.dtype = mask->dtype, .elements = 1, .data = &item};
    if (content_fits(node, run->in[0]->elements, mask, err) != 0 ||
        array_convert(&from, &to, false, err) != 0)
        return -1;
    return strided_fill(mask->data, mask->elements, &item, array_item_bytes(mask->dtype), run->team,
                        run->progress, err);
}

static int dropout_dims(struct relations *r, const struct op_run *shapes) {
    if (relate_fixed_from(r, AXIS_IN(1, 0)) < 0 || relate_fixed_from(r, AXIS_IN(2, 0)) < 0)
        return -1;
    for (size_t i = 0; i < shapes->node->out_count; i++)
        if (relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(i, 0), shapes->in[0]->rank) < 0)
            return -1;
    return 0;
}

const struct op op_dropout = {
    .op_type = "Dropout",
    .domain = "",
    .min_version = 7,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 3,
    .min_out = 1,
    .max_out = 2,
    .flags = OP_ANY_TYPE | OP_IN_PLACE,
    .infer = dropout_infer,
    .forward = dropout_forward,
    .backward = same_backward,
    .dims = dropout_dims,
    .tolerance = 1e-9,
    .doc = "the input: nothing is dropped outside training",
};

/* ---- Shape and Size: what is known of x's dimensions is known of y's content ---- */

/* start and end (since version 15), negative ones from the back, clamped. */
static void shape_range(const struct node *node, unsigned rank, unsigned *ret_start,
                        unsigned *ret_end) {
    int64_t start = node_int(node, "start", 0), end = node_int(node, "end", rank);
    if (start < 0)
        start += rank;
    if (end < 0)
        end += rank;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end < start ? start : end > rank ? rank : end;
    *ret_start = (unsigned)start;
    *ret_end = (unsigned)end;
}

static int shape_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    struct fact *out = &infer->out[0];
    out->type.dtype = DTYPE_I64;
    if (!x->ranked)
        return content_ranked(infer, &out->type, 1, err);
    unsigned start, end;
    shape_range(infer->node, x->rank, &start, &end);
    out->type.ranked = true;
    out->type.rank = 1;
    out->type.dims[0] = DIM(end - start);
    return content_set(infer, out, x->dims + start, end - start, err);
}

static int shape_forward(const struct op_run *run, struct err *err) {
    const struct array *x = run->in[0];
    unsigned start, end;
    shape_range(run->node, x->rank, &start, &end);
    if (content_fits(run->node, end - start, run->out[0], err) != 0)
        return -1;
    int64_t *y = run->out[0]->data;
    for (unsigned i = start; i < end; i++)
        y[i - start] = (int64_t)x->dims[i];
    return 0;
}

/* Every axis may be cut, and is then told as it is. */
static int shape_dims(struct relations *r, const struct op_run *shapes) {
    for (unsigned d = 0; d < shapes->in[0]->rank; d++)
        if (relate_contracted(r, AXIS_IN(0, d), AXIS_IN(0, d)) < 0)
            return -1;
    return relate_fixed_from(r, AXIS_OUT(0, 0));
}

const struct op op_shape = {
    .op_type = "Shape",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .infer = shape_infer,
    .forward = shape_forward,
    .dims = shape_dims,
    .doc = "the dimensions as numbers",
};

static int size_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    struct fact *out = &infer->out[0];
    out->type = (struct type){.dtype = DTYPE_I64, .ranked = true};
    struct dim size;
    if (!x->ranked)
        return 0;
    if (content_product(infer, x->dims, x->rank, &size, err) != 0)
        return -1;
    return content_set(infer, out, &size, 1, err);
}

static int size_forward(const struct op_run *run, struct err *err) {
    *(int64_t *)run->out[0]->data = (int64_t)run->in[0]->elements;
    return 0;
}

const struct op op_size = {
    .op_type = "Size",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .infer = size_infer,
    .forward = size_forward,
    .dims = shape_dims,
    .doc = "the number of elements",
};
