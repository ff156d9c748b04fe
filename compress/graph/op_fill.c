/*
 * Values that follow from a few numbers rather than from other values.
 *
 *   Constant         → y
 *   ConstantOfShape  shape → y [shape], one value everywhere
 *   Range            start, limit, delta → y [n]
 *   EyeLike          x [r, c] → y [r, c], ones on diagonal k
 *   OneHot           indices, depth, values [off, on] → y, indices' shape with depth at axis
 *   Trilu            x [.., r, c], k → y, a triangle of x and zeros
 */
#include "compress/base/arena.h"
#include "compress/base/half.h"
#include "compress/base/loop.h"
#include "compress/graph/content.h"
#include "compress/graph/relate.h"
#include "compress/graph/strided.h"

#include <math.h>
#include <string.h>

/* ---- Constant ---- */

static const char *const constant_values[] = {"value",         "value_float", "value_floats",
                                              "value_int",     "value_ints",  "value_string",
                                              "value_strings", "sparse_value"};

/* Made in the arena: a scalar, or a vector of count. */
static int constant_make(struct arena *arena, enum dtype dtype, bool scalar, size_t count,
                         struct array **ret, struct err *err) {
    const uint64_t dims[] = {count};
    *ret = array_in_arena(arena, dtype, scalar ? 0 : 1, dims);
    return *ret ? 0 : err_set(err, ERR_NO_MEMORY, "no memory for a constant");
}

static int constant_parse(const struct node *node, struct arena *arena, void **ret_params,
                          struct err *err) {
    const struct attr *attr = NULL;
    for (size_t i = 0; !attr && i < sizeof constant_values / sizeof *constant_values; i++)
        attr = node_attr(node, constant_values[i]);
    if (!attr)
        return op_fail(node, err, "has no value");
    struct array *array = NULL;
    bool scalar = attr->kind == ATTR_INT || attr->kind == ATTR_FLOAT;
    size_t count = scalar ? 1 : attr->count;
    switch (attr->kind) {
    case ATTR_TENSOR:
        if (array_item_bytes(attr->tensor->dtype) == 0)
            return err_set(err, ERR_UNSUPPORTED, "constants of type %s are not supported",
                           dtype_row(attr->tensor->dtype)->name);
        *ret_params = arena_alloc(arena, sizeof *array);
        if (!*ret_params)
            return err_set(err, ERR_NO_MEMORY, "no memory for a constant");
        memcpy(*ret_params, attr->tensor, sizeof *array);
        return 0;
    case ATTR_INT:
    case ATTR_INTS:
        if (constant_make(arena, DTYPE_I64, scalar, count, &array, err) != 0)
            return -1;
        for (size_t i = 0; i < count; i++)
            ((int64_t *)array->data)[i] = scalar ? attr->i : attr->ints[i];
        break;
    case ATTR_FLOAT:
    case ATTR_FLOATS:
        if (constant_make(arena, DTYPE_F32, scalar, count, &array, err) != 0)
            return -1;
        for (size_t i = 0; i < count; i++)
            array_real(array)[i] = (real)(scalar ? attr->f : attr->floats[i]);
        break;
    case ATTR_STRING:
    case ATTR_STRINGS:
    case ATTR_GRAPH:
    case ATTR_OTHER:
        return err_set(err, ERR_UNSUPPORTED, "constants of %s are not supported", attr->name);
    }
    *ret_params = array;
    return 0;
}

static int constant_infer(struct op_infer *infer, struct err *err) {
    const struct array *value = infer->node->params;
    infer->out[0].type = type_of_array(value);
    infer->out[0].data = value->data ? value : NULL;
    return 0;
}

static int constant_forward(const struct op_run *run, struct err *err) {
    const struct array *value = run->node->params;
    if (!value->data || content_fits(run->node, value->elements, run->out[0], err) != 0)
        return content_refuse(run->node, err, "its content was not read");
    return strided_copy(value->data, run->out[0]->data, array_bytes(value), run->team,
                        run->progress, err);
}

const struct op op_constant = {
    .op_type = "Constant",
    .domain = "",
    .min_version = 1,
    .max_version = OP_ONNX_VERSION,
    .min_in = 0,
    .max_in = 0,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = constant_parse,
    .infer = constant_infer,
    .forward = constant_forward,
    .doc = "a value written in the node",
};

/* ---- ConstantOfShape ---- */

static int of_shape_parse(const struct node *node, struct arena *arena, void **ret_params,
                          struct err *err) {
    const struct attr *attr = node_attr(node, "value");
    struct array *value;
    if (constant_make(arena, DTYPE_F32, false, 1, &value, err) != 0) /* zeroed: the default */
        return -1;
    if (attr) {
        if (attr->kind != ATTR_TENSOR || attr->tensor->elements != 1 || !attr->tensor->data)
            return op_fail(node, err, "value is no tensor of one element");
        if (array_item_bytes(attr->tensor->dtype) == 0)
            return err_set(err, ERR_UNSUPPORTED, "constants of type %s are not supported",
                           dtype_row(attr->tensor->dtype)->name);
        *value = *attr->tensor;
    }
    *ret_params = value;
    return 0;
}

static int of_shape_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct array *value = infer->node->params;
    struct fact *out = &infer->out[0];
    struct type y = {.dtype = value->dtype, .ranked = true};
    uint64_t length;
    size_t rank;
    out->type.dtype = value->dtype;
    if (!content_count(infer->in[0], &length))
        return 0;
    if (!content_read(infer->in[0], y.dims, LIMIT_RANK, &rank))
        return content_ranked(infer, &out->type, length, err);
    y.rank = (unsigned)rank;
    for (unsigned i = 0; i < y.rank; i++)
        if (dim_known(y.dims[i]) && y.dims[i].size < 0)
            return op_fail(infer->node, err, "%lld is no dimension", (long long)y.dims[i].size);
    out->type = y;
    /* A vector as long as a symbol's rank: zeros and ones around shapes. */
    uint64_t count;
    if (content_count(out, &count) && count <= CONTENT_MAX && value->dtype == DTYPE_I64) {
        struct dim elements[CONTENT_MAX];
        for (uint64_t i = 0; i < count; i++)
            elements[i] = DIM(array_int(value, 0));
        return content_set(infer, out, elements, (size_t)count, err);
    }
    return 0;
}

static int of_shape_forward(const struct op_run *run, struct err *err) {
    const struct array *value = run->node->params, *shape = run->in[0];
    struct array *y = run->out[0];
    uint64_t dims[LIMIT_RANK];
    for (unsigned i = 0; i < shape->elements && i < LIMIT_RANK; i++)
        dims[i] = (uint64_t)array_int(shape, i);
    if (content_shaped(run->node, (unsigned)shape->elements, dims, y, err) != 0)
        return -1;
    return strided_fill(y->data, y->elements, value->data, array_item_bytes(y->dtype), run->team,
                        run->progress, err);
}

const struct op op_constant_of_shape = {
    .op_type = "ConstantOfShape",
    .domain = "",
    .min_version = 9,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = of_shape_parse,
    .infer = of_shape_infer,
    .forward = of_shape_forward,
    .doc = "one value everywhere",
};

/* ---- Range: n = max(ceil((limit - start) / delta), 0), y_i = start + i * delta ---- */

/* -1: refused as numbers (delta 0, not finite, too many). */
static int64_t range_count(const struct array *const *in) {
    if (dtype_row(in[0]->dtype)->is_float) {
        double n = ceil((array_number(in[1], 0) - array_number(in[0], 0)) / array_number(in[2], 0));
        return !(n < 0x1p48) || array_number(in[2], 0) == 0 ? -1 : n > 0 ? (int64_t)n : 0;
    }
    int64_t start = array_int(in[0], 0), delta = array_int(in[2], 0), span;
    if (delta == 0 || __builtin_sub_overflow(array_int(in[1], 0), start, &span))
        return -1;
    if (span == 0 || (span > 0) != (delta > 0))
        return 0;
    int64_t n = span / delta + (span % delta != 0);
    return n < (INT64_C(1) << 48) ? n : -1;
}

static int range_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 3, err) != 0)
        return -1;
    struct fact *out = &infer->out[0];
    struct dim start, limit, delta;
    for (int i = 0; i < 3; i++)
        if (infer->in[i]->type.dtype != DTYPE_NONE)
            out->type.dtype = infer->in[i]->type.dtype;
    const struct fact *const *in = infer->in;
    for (int i = 0; i < 3; i++)
        if (in[i]->data && in[i]->data->elements != 1)
            return op_fail(infer->node, err, "input %d is no scalar", i);
    if (in[0]->data && in[1]->data && in[2]->data) {
        const struct array *const all[] = {in[0]->data, in[1]->data, in[2]->data};
        int64_t n = range_count(all);
        if (n < 0)
            return op_fail(infer->node, err, "has no number of elements");
        out->type.ranked = true;
        out->type.rank = 1;
        out->type.dims[0] = DIM(n);
        return 0;
    }
    if (content_ranked(infer, &out->type, 1, err) != 0)
        return -1;
    /* 0, 1 .. n-1 has n elements, also for a symbol */
    if (fact_element(in[0], 0, &start) && fact_element(in[1], 0, &limit) &&
        fact_element(in[2], 0, &delta) && dim_same(start, DIM(0)) && dim_same(delta, DIM(1)) &&
        !dim_known(limit))
        out->type.dims[0] = limit;
    return 0;
}

static int range_forward(const struct op_run *run, struct err *err) {
    struct array *y = run->out[0];
    for (int i = 0; i < 3; i++)
        if (run->in[i]->elements != 1 || run->in[i]->dtype != y->dtype)
            return content_refuse(run->node, err, "input %d is no scalar of the output's type", i);
    int64_t n = range_count(run->in);
    if (n < 0)
        return content_refuse(run->node, err, "has no number of elements");
    if (content_fits(run->node, (uint64_t)n, y, err) != 0)
        return -1;
    double start = array_number(run->in[0], 0), delta = array_number(run->in[2], 0);
    /* Unsigned, so that wrapping around is defined; no element is outside [start, limit]. */
    uint64_t first = (uint64_t)array_int(run->in[0], 0), step = (uint64_t)array_int(run->in[2], 0);
    for (uint64_t i = 0; i < y->elements; i++) {
        uint64_t whole = first + i * step;
        switch (y->dtype) {
        case DTYPE_F32:
            array_real(y)[i] = (real)start + (real)i * (real)delta;
            break;
        case DTYPE_F64:
            ((double *)y->data)[i] = start + (double)i * delta;
            break;
        case DTYPE_F16:
            ((uint16_t *)y->data)[i] = half_to_f16((float)(start + (double)i * delta));
            break;
        case DTYPE_BF16:
            ((uint16_t *)y->data)[i] = half_to_bf16((float)(start + (double)i * delta));
            break;
        case DTYPE_I64:
            ((int64_t *)y->data)[i] = (int64_t)whole;
            break;
        case DTYPE_I32:
            ((int32_t *)y->data)[i] = (int32_t)whole;
            break;
        case DTYPE_I16:
            ((int16_t *)y->data)[i] = (int16_t)whole;
            break;
        default:
            return content_refuse(run->node, err, "counts no %s", dtype_row(y->dtype)->name);
        }
    }
    return 0;
}

const struct op op_range = {
    .op_type = "Range",
    .domain = "",
    .min_version = 11,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .infer = range_infer,
    .forward = range_forward,
    .doc = "numbers at equal distances",
};

/* ---- EyeLike ---- */

static int eye_parse(const struct node *node, struct arena *arena, void **ret_params,
                     struct err *err) {
    enum dtype *dtype = ARENA_NEW(arena, enum dtype);
    const struct attr *attr = node_attr(node, "dtype");
    if (!dtype)
        return err_set(err, ERR_NO_MEMORY, "no memory for an operator");
    *dtype = attr ? dtype_by_onnx(node_int(node, "dtype", 0)) : DTYPE_NONE;
    if (attr && (*dtype == DTYPE_NONE || array_item_bytes(*dtype) == 0))
        return err_set(err, ERR_UNSUPPORTED, "type %lld is not supported",
                       (long long)node_int(node, "dtype", 0));
    *ret_params = dtype;
    return 0;
}

static int eye_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0 ||
        content_rank(infer, &infer->in[0]->type, 2, "the input", err) != 0)
        return -1;
    const enum dtype *dtype = infer->node->params;
    infer->out[0].type = infer->in[0]->type;
    if (*dtype != DTYPE_NONE)
        infer->out[0].type.dtype = *dtype;
    return infer->in[0]->type.ranked ? 0 : content_ranked(infer, &infer->out[0].type, 2, err);
}

/* 1 as an element of that type. */
static int one_of(enum dtype dtype, void *ret, struct err *err) {
    real one = 1;
    struct array from = {.dtype = DTYPE_F32, .elements = 1, .data = &one};
    struct array to = {.dtype = dtype, .elements = 1, .data = ret};
    return array_convert(&from, &to, false, err);
}

static int eye_forward(const struct op_run *run, struct err *err) {
    struct array *y = run->out[0];
    double one = 0; /* large and aligned enough for any type */
    if (content_shaped(run->node, 2, run->in[0]->dims, y, err) != 0 ||
        one_of(y->dtype, &one, err) != 0)
        return -1;
    unsigned bytes = array_item_bytes(y->dtype);
    int64_t k = node_int(run->node, "k", 0), cols = (int64_t)y->dims[1];
    memset(y->data, 0, (size_t)array_bytes(y));
    if (k >= cols || k <= -(int64_t)y->dims[0])
        return 0;
    for (int64_t row = k < 0 ? -k : 0; row < (int64_t)y->dims[0] && row + k < cols; row++)
        memcpy((uint8_t *)y->data + (row * cols + row + k) * bytes, &one, bytes);
    return 0;
}

const struct op op_eye_like = {
    .op_type = "EyeLike",
    .domain = "",
    .min_version = 9,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .parse = eye_parse,
    .infer = eye_infer,
    .forward = eye_forward,
    .doc = "ones on a diagonal",
};

/* ---- OneHot: indices [outer, inner] around axis → y [outer, depth, inner]; an index outside
 * [-depth, depth) is off everywhere ---- */

static int one_hot_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 3, err) != 0)
        return -1;
    const struct type *indices = &infer->in[0]->type;
    struct type *y = &infer->out[0].type;
    unsigned axis;
    y->dtype = infer->in[2]->type.dtype;
    if (!indices->ranked)
        return 0;
    if (indices->rank + 1 > LIMIT_RANK)
        return op_fail(infer->node, err, "a rank of %u is above the limit of %d", indices->rank + 1,
                       LIMIT_RANK);
    if (op_axis(infer->node, node_int(infer->node, "axis", -1), indices->rank + 1, &axis, err) != 0)
        return -1;
    y->ranked = true;
    y->rank = indices->rank + 1;
    for (unsigned i = 0, k = 0; i < y->rank; i++)
        if (i != axis)
            y->dims[i] = indices->dims[k++];
    const struct array *depth = infer->in[1]->data;
    if (depth && depth->elements == 1) { /* of any numeric type */
        int64_t n = array_int(depth, 0);
        if (n < 0)
            return op_fail(infer->node, err, "depth is %lld", (long long)n);
        y->dims[axis] = DIM(n);
        return 0;
    }
    if (!depth && fact_element(infer->in[1], 0, &y->dims[axis]))
        return 0;
    return content_fresh(infer, &y->dims[axis], err);
}

static int one_hot_forward(const struct op_run *run, struct err *err) {
    const struct array *indices = run->in[0], *values = run->in[2];
    struct array *y = run->out[0];
    unsigned axis, bytes = array_item_bytes(y->dtype);
    if (values->elements != 2 || values->dtype != y->dtype || run->in[1]->elements != 1)
        return content_refuse(run->node, err, "depth is no scalar, or values are not two");
    if (op_axis(run->node, node_int(run->node, "axis", -1), y->rank, &axis, err) != 0)
        return -1;
    int64_t depth = array_int(run->in[1], 0);
    if (y->rank != indices->rank + 1 || depth < 0 || y->dims[axis] != (uint64_t)depth ||
        y->elements != indices->elements * (uint64_t)depth)
        return content_refuse(run->node, err, "a depth of %lld does not fit the output",
                              (long long)depth);
    uint64_t inner = 1;
    for (unsigned i = axis + 1; i < y->rank; i++)
        inner *= y->dims[i];
    if (strided_fill(y->data, y->elements, values->data, bytes, run->team, run->progress, err) != 0)
        return -1;
    const uint8_t *on = (const uint8_t *)values->data + bytes;
    for (uint64_t i = 0; i < indices->elements; i++) {
        int64_t hot = array_int(indices, i);
        if (hot < 0)
            hot += depth;
        if (hot < 0 || hot >= depth)
            continue;
        uint64_t at = (i / inner * (uint64_t)depth + (uint64_t)hot) * inner + i % inner;
        memcpy((uint8_t *)y->data + at * bytes, on, bytes);
    }
    return 0;
}

static int one_hot_dims(struct relations *r, const struct op_run *shapes) {
    unsigned axis, rank = shapes->out[0]->rank;
    if (op_axis(shapes->node, node_int(shapes->node, "axis", -1), rank, &axis, NULL) != 0 ||
        relate_fixed_from(r, AXIS_IN(1, 0)) < 0 || relate_fixed_from(r, AXIS_IN(2, 0)) < 0 ||
        relate_fixed(r, AXIS_OUT(0, axis)) < 0)
        return -1;
    for (unsigned i = 0, k = 0; i < rank; i++)
        if (i != axis && relate_same(r, AXIS_IN(0, k++), AXIS_OUT(0, i)) < 0)
            return -1;
    return 0;
}

const struct op op_one_hot = {
    .op_type = "OneHot",
    .domain = "",
    .min_version = 9,
    .max_version = OP_ONNX_VERSION,
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE,
    .infer = one_hot_infer,
    .forward = one_hot_forward,
    .dims = one_hot_dims,
    .doc = "one value at an index, another elsewhere",
};

/* ---- Trilu: of every matrix x [.., r, c] the columns >= row + k (upper) or <= row + k stay, the
 * others become 0. dx += dy where they stay. ---- */

struct trilu {
    const struct array *x;
    int64_t k;
    bool upper;
    const uint8_t *from;
    uint8_t *to;
    unsigned bytes; /* 0: add reals */
    uint64_t rows_per_tile, rows;
};

static int trilu_infer(struct op_infer *infer, struct err *err) {
    if (content_need(infer, 1, err) != 0)
        return -1;
    const struct type *x = &infer->in[0]->type;
    if (x->ranked && x->rank < 2)
        return op_fail(infer->node, err, "the input is no matrix");
    infer->out[0].type = *x;
    return 0;
}

static int trilu_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct trilu *t = ctx;
    uint64_t rows = t->x->dims[t->x->rank - 2], cols = t->x->dims[t->x->rank - 1];
    uint64_t end = ((uint64_t)tile + 1) * t->rows_per_tile;
    for (uint64_t row = (uint64_t)tile * t->rows_per_tile; row < end && row < t->rows; row++) {
        int64_t edge; /* the first column of the upper part, or the first not in the lower one */
        if (__builtin_add_overflow((int64_t)(row % rows), t->k, &edge))
            edge = INT64_MAX;
        if (!t->upper && edge < INT64_MAX)
            edge++;
        edge = edge < 0 ? 0 : edge > (int64_t)cols ? (int64_t)cols : edge;
        uint64_t first = t->upper ? (uint64_t)edge : 0, last = t->upper ? cols : (uint64_t)edge;
        if (!t->bytes) {
            const real *dy = (const real *)(const void *)t->from + row * cols;
            real *dx = (real *)(void *)t->to + row * cols;
            for (uint64_t i = first; i < last; i++)
                dx[i] += dy[i];
            continue;
        }
        uint8_t *to = t->to + row * cols * t->bytes;
        const uint8_t *from = t->from + row * cols * t->bytes;
        memset(to, 0, first * t->bytes);
        memcpy(to + first * t->bytes, from + first * t->bytes, (last - first) * t->bytes);
        memset(to + last * t->bytes, 0, (cols - last) * t->bytes);
    }
    return 0;
}

static int trilu_run(const struct op_run *run, struct trilu *t, struct err *err) {
    t->x = run->in[0];
    t->upper = node_int(run->node, "upper", 1) != 0;
    t->k = 0;
    if (node_has(run->node, 1) && run->in[1]) {
        if (run->in[1]->elements != 1)
            return content_refuse(run->node, err, "k is no scalar");
        t->k = array_int(run->in[1], 0);
    }
    if (t->x->elements == 0)
        return 0;
    uint64_t cols = t->x->dims[t->x->rank - 1];
    t->rows = t->x->elements / cols;
    t->rows_per_tile = cols < 16384 ? 16384 / cols : 1;
    return loop_run(run->team, run->progress,
                    (size_t)((t->rows + t->rows_per_tile - 1) / t->rows_per_tile), trilu_tile, t,
                    err);
}

static int trilu_forward(const struct op_run *run, struct err *err) {
    struct trilu t = {.from = run->in[0]->data,
                      .to = run->out[0]->data,
                      .bytes = array_item_bytes(run->in[0]->dtype)};
    return trilu_run(run, &t, err);
}

static int trilu_backward(const struct op_backward *back, struct err *err) {
    struct trilu t = {.from = back->dout[0]->data, .to = back->din[0]->data};
    return trilu_run(&back->run, &t, err);
}

/* Where an element of a matrix stands decides. */
static int trilu_dims(struct relations *r, const struct op_run *shapes) {
    unsigned rank = shapes->in[0]->rank;
    return relate_axes(r, AXIS_IN(0, 0), AXIS_OUT(0, 0), rank) < 0 ||
                   relate_fixed_from(r, AXIS_IN(0, rank - 2)) < 0 ||
                   relate_fixed_from(r, AXIS_IN(1, 0)) < 0
               ? -1
               : 0;
}

const struct op op_trilu = {
    .op_type = "Trilu",
    .domain = "",
    .min_version = 14,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_ANY_TYPE | OP_NEEDS_IN | OP_NEEDS_REST,
    .infer = trilu_infer,
    .forward = trilu_forward,
    .backward = trilu_backward,
    .dims = trilu_dims,
    .tolerance = 1e-9,
    .doc = "the upper or lower triangle of matrices",
};
