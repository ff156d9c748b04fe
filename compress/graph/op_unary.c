/*
 * Functions of one value, element by element. x, y: any shape, the same.
 *
 * The trigonometric ones are computed in f64 by libm and rounded once. Rounding functions are
 * constant between jumps: their gradient is zero, which is said by a backward that adds nothing.
 */
#include "compress/graph/op_map.h"
#include "compress/tensor/vmath.h"

#include <math.h>

/* A function by an expression of `double x`, and its derivative, of x and y = f(x). */
#define FUNCTION(row, value)                                                          \
    static void row##_run(const void *params, const real *from, size_t n, real *to) { \
        for (size_t i = 0; i < n; i++) {                                              \
            const double x = (double)from[i];                                         \
            to[i] = (real)(value);                                                    \
        }                                                                             \
    }
#define SLOPE_OF_X(row, value)                                                        \
    static void row##_grad(const void *params, const struct op_map_run *r, real *g) { \
        for (size_t i = 0; i < r->n; i++) {                                           \
            const double x = (double)r->x[i];                                         \
            g[i] = r->dy[i] * (real)(value);                                          \
        }                                                                             \
    }
#define SLOPE_OF_Y(row, value)                                                        \
    static void row##_grad(const void *params, const struct op_map_run *r, real *g) { \
        for (size_t i = 0; i < r->n; i++) {                                           \
            const real y = r->y[i];                                                   \
            g[i] = r->dy[i] * (value);                                                \
        }                                                                             \
    }
#define INTEGERS(row, value)                                                                 \
    static void row##_ints(const void *params, const int64_t *from, size_t n, int64_t *to) { \
        for (size_t i = 0; i < n; i++) {                                                     \
            const int64_t x = from[i];                                                       \
            to[i] = (value);                                                                 \
        }                                                                                    \
    }

/* ---- arithmetic ---- */

FUNCTION(abs, fabs(x))
INTEGERS(abs, x < 0 ? (int64_t) - (uint64_t)x : x)
SLOPE_OF_X(abs, (x > 0) - (x < 0))

static int abs_forward(const struct op_run *run, struct err *err) {
    /* What 64 bits without a sign hold is never negative, though it looks so. */
    static const struct op_map map = {abs_run, abs_ints, NULL};
    if (run->in[0]->dtype == DTYPE_U64)
        return array_convert(run->in[0], run->out[0], false, err);
    return op_map_forward(run, &map, err);
}

static int abs_backward(const struct op_backward *back, struct err *err) {
    return op_map_backward(back, &(struct op_map){NULL, NULL, abs_grad}, err);
}

const struct op op_abs = {
    OP_MAP_FIELDS(abs, "Abs", OP_NEEDS_IN, NULL, "magnitude"),
    OP_MAP_ONNX(6),
    .backward = abs_backward,
    .tolerance = 1e-6,
};

static void neg_run(const void *params, const real *x, size_t n, real *y) {
    vmath_mul_scalar(x, -1, n, y);
}
INTEGERS(neg, (int64_t) - (uint64_t)x)
static void neg_grad(const void *params, const struct op_map_run *r, real *g) {
    vmath_mul_scalar(r->dy, -1, r->n, g);
}
static const struct op_map neg_map = {neg_run, neg_ints, neg_grad};
OP_MAP_ROW(neg, "Neg", 0, NULL, "-x", OP_MAP_ONNX(6))

static void sign_run(const void *params, const real *x, size_t n, real *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0 ? 1 : x[i] < 0 ? -1 : x[i] == 0 ? 0 : x[i];
}
INTEGERS(sign, (x > 0) - (x < 0))
static void no_grad(const void *params, const struct op_map_run *r, real *g) {
    for (size_t i = 0; i < r->n; i++)
        g[i] = 0;
}

static int sign_forward(const struct op_run *run, struct err *err) {
    static const struct op_map map = {sign_run, sign_ints, NULL};
    if (run->in[0]->dtype != DTYPE_U64)
        return op_map_forward(run, &map, err);
    const uint64_t *x = run->in[0]->data;
    uint64_t *y = run->out[0]->data;
    for (uint64_t i = 0; i < run->in[0]->elements; i++)
        y[i] = x[i] != 0;
    return 0;
}

/* Nothing flows. */
static int flat_backward(const struct op_backward *back, struct err *err) {
    return 0;
}

const struct op op_sign = {
    OP_MAP_FIELDS(sign, "Sign", 0, NULL, "-1, 0 or 1"),
    OP_MAP_ONNX(9),
    .backward = flat_backward,
    .tolerance = 1e-6,
};

static void sqrt_run(const void *params, const real *x, size_t n, real *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = (real)sqrt((double)x[i]); /* the same as sqrtf() of a float */
}
SLOPE_OF_Y(sqrt, (real)0.5 / y)
static const struct op_map sqrt_map = {sqrt_run, NULL, sqrt_grad};
OP_MAP_ROW(sqrt, "Sqrt", OP_NEEDS_OUT, NULL, "square root", OP_MAP_ONNX(6))

static void reciprocal_run(const void *params, const real *x, size_t n, real *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = 1 / x[i];
}
SLOPE_OF_Y(reciprocal, -y *y)
static const struct op_map reciprocal_map = {reciprocal_run, NULL, reciprocal_grad};
OP_MAP_ROW(reciprocal, "Reciprocal", OP_NEEDS_OUT, NULL, "1 / x", OP_MAP_ONNX(6))

/* ---- exponential ---- */

static void exp_run(const void *params, const real *x, size_t n, real *y) {
    vmath_exp(x, n, y);
}
SLOPE_OF_Y(exp, y)
static const struct op_map exp_map = {exp_run, NULL, exp_grad};
OP_MAP_ROW(exp, "Exp", OP_NEEDS_OUT, NULL, "e to the x", OP_MAP_ONNX(6))

static void log_run(const void *params, const real *x, size_t n, real *y) {
    vmath_log(x, n, y);
}
SLOPE_OF_X(log, 1 / x)
static const struct op_map log_map = {log_run, NULL, log_grad};
OP_MAP_ROW(log, "Log", OP_NEEDS_IN, NULL, "natural logarithm", OP_MAP_ONNX(6))

/* ---- rounding ---- */

#define ROUNDING_ROW(row, type, since, value, text)                    \
    FUNCTION(row, value)                                               \
    static const struct op_map row##_map = {row##_run, NULL, no_grad}; \
    OP_MAP_ROW(row, type, 0, NULL, text, OP_MAP_ONNX(since))

ROUNDING_ROW(floor, "Floor", 6, floor(x), "the next whole number below")
ROUNDING_ROW(ceil, "Ceil", 6, ceil(x), "the next whole number above")
ROUNDING_ROW(round, "Round", 11, nearbyint(x), "the nearest whole number, halves to even")

/* ---- trigonometric and hyperbolic ---- */

#define LIBM_ROW(row, type, since, value, slope, text)                    \
    FUNCTION(row, value)                                                  \
    SLOPE_OF_X(row, slope)                                                \
    static const struct op_map row##_map = {row##_run, NULL, row##_grad}; \
    OP_MAP_ROW(row, type, OP_NEEDS_IN, NULL, text, OP_MAP_ONNX(since))

LIBM_ROW(sin, "Sin", 7, sin(x), cos(x), "sine")
LIBM_ROW(cos, "Cos", 7, cos(x), -sin(x), "cosine")
LIBM_ROW(tan, "Tan", 7, tan(x), 1 / (cos(x) * cos(x)), "tangent")
LIBM_ROW(asin, "Asin", 7, asin(x), 1 / sqrt(1 - x * x), "inverse sine")
LIBM_ROW(acos, "Acos", 7, acos(x), -1 / sqrt(1 - x * x), "inverse cosine")
LIBM_ROW(atan, "Atan", 7, atan(x), 1 / (1 + x * x), "inverse tangent")
LIBM_ROW(sinh, "Sinh", 9, sinh(x), cosh(x), "hyperbolic sine")
LIBM_ROW(cosh, "Cosh", 9, cosh(x), sinh(x), "hyperbolic cosine")
LIBM_ROW(asinh, "Asinh", 9, asinh(x), 1 / sqrt(x * x + 1), "inverse hyperbolic sine")
LIBM_ROW(acosh, "Acosh", 9, acosh(x), 1 / sqrt(x * x - 1), "inverse hyperbolic cosine")
LIBM_ROW(atanh, "Atanh", 9, atanh(x), 1 / (1 - x * x), "inverse hyperbolic tangent")

/* ---- bits ---- */

INTEGERS(not, !x)
static int not_infer(struct op_infer *infer, struct err *err) {
    enum dtype dtype = infer->in[0]->type.dtype;
    if (dtype != DTYPE_NONE && dtype != DTYPE_BOOL)
        return op_fail(infer->node, err, "of %s, not bool", dtype_row(dtype)->name);
    return op_infer_same(infer, err);
}

static int not_forward(const struct op_run *run, struct err *err) {
    static const struct op_map map = {NULL, not_ints, NULL};
    return op_map_forward(run, &map, err);
}

const struct op op_not = {
    .op_type = "Not",
    OP_MAP_ONNX(1),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_IN_PLACE,
    .infer = not_infer,
    .forward = not_forward,
    .dims = relate_elementwise,
    .doc = "logical not",
};

INTEGERS(bitwise_not, ~x)
static int bitwise_not_infer(struct op_infer *infer, struct err *err) {
    enum dtype dtype = infer->in[0]->type.dtype;
    if (dtype == DTYPE_BOOL || dtype_row(dtype)->is_float)
        return op_fail(infer->node, err, "of %s, not an integer", dtype_row(dtype)->name);
    return op_infer_same(infer, err);
}

static int bitwise_not_forward(const struct op_run *run, struct err *err) {
    static const struct op_map map = {NULL, bitwise_not_ints, NULL};
    return op_map_forward(run, &map, err);
}

const struct op op_bitwise_not = {
    .op_type = "BitwiseNot",
    OP_MAP_ONNX(18),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_IN_PLACE,
    .infer = bitwise_not_infer,
    .forward = bitwise_not_forward,
    .dims = relate_elementwise,
    .doc = "every bit turned",
};

/* ---- IsNaN, IsInf: float → bool ---- */

static int to_bool_infer(struct op_infer *infer, struct err *err) {
    enum dtype dtype = infer->in[0]->type.dtype;
    if (dtype != DTYPE_NONE && !dtype_row(dtype)->is_float)
        return op_fail(infer->node, err, "of %s, not a float", dtype_row(dtype)->name);
    infer->out[0].type = infer->in[0]->type;
    infer->out[0].type.dtype = DTYPE_BOOL;
    return 0;
}

static int is_nan_forward(const struct op_run *run, struct err *err) {
    const real *x = array_real(run->in[0]);
    uint8_t *y = run->out[0]->data;
    for (uint64_t i = 0; i < run->in[0]->elements; i++)
        y[i] = x[i] != x[i];
    return 0;
}

const struct op op_is_nan = {
    .op_type = "IsNaN",
    OP_MAP_ONNX(9),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = to_bool_infer,
    .forward = is_nan_forward,
    .dims = relate_elementwise,
    .doc = "whether x is no number",
};

OP_MAP_PARSE(no_floats, NULL, 0, NULL, 0)

static int is_inf_parse(const struct node *node, struct arena *arena, void **ret_params,
                        struct err *err) {
    if (no_floats(node, arena, ret_params, err) < 0)
        return -1;
    struct op_map_params *p = *ret_params;
    p->alpha = node_int(node, "detect_negative", 1) != 0;
    p->beta = node_int(node, "detect_positive", 1) != 0;
    return 0;
}

static int is_inf_forward(const struct op_run *run, struct err *err) {
    const struct op_map_params *p = run->node->params;
    const bool negative = p->alpha != 0, positive = p->beta != 0;
    const real *x = array_real(run->in[0]);
    uint8_t *y = run->out[0]->data;
    for (uint64_t i = 0; i < run->in[0]->elements; i++)
        y[i] = isinf(x[i]) && (x[i] < 0 ? negative : positive);
    return 0;
}

const struct op op_is_inf = {
    .op_type = "IsInf",
    OP_MAP_ONNX(10),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .parse = is_inf_parse,
    .infer = to_bool_infer,
    .forward = is_inf_forward,
    .dims = relate_elementwise,
    .doc = "whether x is infinite",
};
