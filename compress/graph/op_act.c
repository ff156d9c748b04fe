/*
 * Activations: elementwise functions of one value. x, y: any shape, the same.
 *
 * Each is a function of a run, its derivative, and a row (op_map.h). PRelu and BiasGelu take a
 * second value that broadcasts, Clip has two bounds: they stand at the end.
 */
#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/graph/broadcast.h"
#include "compress/graph/op_map.h"
#include "compress/tensor/vmath.h"

#include <math.h>
#include <string.h>

static real alpha_of(const void *params) {
    return ((const struct op_map_params *)params)->alpha;
}

static real beta_of(const void *params) {
    return ((const struct op_map_params *)params)->beta;
}

/* g *= dy */
static void times_dy(const struct op_map_run *r, real *g) {
    vmath_mul(g, r->dy, r->n, g);
}

/* ---- Relu: y = max(x, 0); dx = dy where y > 0. NaN stays. ---- */

static void relu(const void *params, const real *x, size_t n, real *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_ints(const void *params, const int64_t *x, size_t n, int64_t *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_grad(const void *params, const struct op_map_run *r, real *g) {
    for (size_t i = 0; i < r->n; i++) {
        const real dy = r->dy[i]; /* read in any case: no branch */
        g[i] = r->y[i] > 0 ? dy : 0;
    }
}

static bool relu_clamp(const struct op_run *run, struct clamp *ret) {
    *ret = (struct clamp){0, INFINITY};
    return true;
}

static const struct op_map relu_map = {relu, relu_ints, relu_grad};
OP_MAP_ROW(relu, "Relu", OP_NEEDS_OUT, NULL, "max(x, 0)", OP_MAP_ONNX(6), .clamp = relu_clamp)

/* ---- LeakyRelu: y = x, or alpha x below 0 ---- */

static void leaky_relu(const void *params, const real *x, size_t n, real *y) {
    const real alpha = alpha_of(params);
    for (size_t i = 0; i < n; i++) /* a product in one arm of a choice would be a branch */
        y[i] = (x[i] < 0 ? 0 : x[i]) + alpha * (x[i] < 0 ? x[i] : 0);
}

static void leaky_relu_grad(const void *params, const struct op_map_run *r, real *g) {
    const real alpha = alpha_of(params);
    for (size_t i = 0; i < r->n; i++)
        g[i] = (r->x[i] < 0 ? alpha : 1) * r->dy[i];
}

OP_MAP_PARSE(leaky_relu_parse, "alpha", 0.01f, NULL, 0)
static const struct op_map leaky_relu_map = {leaky_relu, NULL, leaky_relu_grad};
OP_MAP_ROW(leaky_relu, "LeakyRelu", OP_NEEDS_IN, leaky_relu_parse, "x, or alpha x below 0",
           OP_MAP_ONNX(6))

/* ---- ThresholdedRelu: y = x above alpha, else 0 ---- */

static void thresholded_relu(const void *params, const real *x, size_t n, real *y) {
    const real alpha = alpha_of(params);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] <= alpha ? 0 : x[i];
}

static void thresholded_relu_grad(const void *params, const struct op_map_run *r, real *g) {
    const real alpha = alpha_of(params);
    for (size_t i = 0; i < r->n; i++)
        g[i] = r->x[i] <= alpha ? 0 : r->dy[i];
}

OP_MAP_PARSE(thresholded_relu_parse, "alpha", 1, NULL, 0)
static const struct op_map thresholded_relu_map = {thresholded_relu, NULL, thresholded_relu_grad};
OP_MAP_ROW(thresholded_relu, "ThresholdedRelu", OP_NEEDS_IN, thresholded_relu_parse,
           "x above alpha, else 0", OP_MAP_ONNX(10))

/* ---- Elu, Selu, Celu: y = x above 0, else a (exp(x / c) - 1), all times s ---- */

struct elu {
    real a, c, s;
};

static void elu_run(const struct elu *p, const real *x, size_t n, real *y) {
    real e[OP_MAP_RUN] = {0};
    for (size_t i = 0; i < n; i++)
        e[i] = x[i] < 0 ? x[i] : 0;
    vmath_mul_scalar(e, 1 / p->c, n, e);
    vmath_exp(e, n, e);
    for (size_t i = 0; i < n; i++) /* at and above 0, e is exactly 1 */
        y[i] = p->s * ((x[i] < 0 ? 0 : x[i]) + p->a * (e[i] - 1));
}

static void elu_run_grad(const struct elu *p, const struct op_map_run *r, real *g) {
    vmath_mul_scalar(r->x, 1 / p->c, r->n, g);
    vmath_exp(g, r->n, g);
    const real slope = p->a / p->c;
    for (size_t i = 0; i < r->n; i++)
        g[i] = p->s * (r->x[i] < 0 ? slope * g[i] : 1) * r->dy[i];
}

static void elu(const void *params, const real *x, size_t n, real *y) {
    elu_run(&(struct elu){alpha_of(params), 1, 1}, x, n, y);
}

static void elu_grad(const void *params, const struct op_map_run *r, real *g) {
    elu_run_grad(&(struct elu){alpha_of(params), 1, 1}, r, g);
}

OP_MAP_PARSE(elu_parse, "alpha", 1, NULL, 0)
static const struct op_map elu_map = {elu, NULL, elu_grad};
OP_MAP_ROW(elu, "Elu", OP_NEEDS_IN, elu_parse, "x, or alpha (exp(x) - 1) below 0", OP_MAP_ONNX(6))

static void selu(const void *params, const real *x, size_t n, real *y) {
    elu_run(&(struct elu){alpha_of(params), 1, beta_of(params)}, x, n, y);
}

static void selu_grad(const void *params, const struct op_map_run *r, real *g) {
    elu_run_grad(&(struct elu){alpha_of(params), 1, beta_of(params)}, r, g);
}

OP_MAP_PARSE(selu_parse, "alpha", 1.67326319217681884765625f, "gamma", 1.05070102214813232421875f)
static const struct op_map selu_map = {selu, NULL, selu_grad};
OP_MAP_ROW(selu, "Selu", OP_NEEDS_IN, selu_parse, "gamma (x, or alpha (exp(x) - 1) below 0)",
           OP_MAP_ONNX(6))

static void celu(const void *params, const real *x, size_t n, real *y) {
    const real alpha = alpha_of(params);
    elu_run(&(struct elu){alpha, alpha, 1}, x, n, y);
}

static void celu_grad(const void *params, const struct op_map_run *r, real *g) {
    const real alpha = alpha_of(params);
    elu_run_grad(&(struct elu){alpha, alpha, 1}, r, g);
}

static int celu_parse(const struct node *node, struct arena *arena, void **ret_params,
                      struct err *err) {
    if (node_float(node, "alpha", 1) == 0)
        return op_fail(node, err, "alpha is 0");
    return op_map_parse(node, arena, "alpha", 1, NULL, 0, ret_params, err);
}

static const struct op_map celu_map = {celu, NULL, celu_grad};
OP_MAP_ROW(celu, "Celu", OP_NEEDS_IN, celu_parse, "x, or alpha (exp(x / alpha) - 1) below 0",
           OP_MAP_ONNX(12))

/* ---- Sigmoid, Tanh: through y ---- */

static void sigmoid(const void *params, const real *x, size_t n, real *y) {
    vmath_sigmoid(x, n, y);
}

static void sigmoid_grad(const void *params, const struct op_map_run *r, real *g) {
    for (size_t i = 0; i < r->n; i++)
        g[i] = r->dy[i] * r->y[i] * (1 - r->y[i]);
}

static const struct op_map sigmoid_map = {sigmoid, NULL, sigmoid_grad};
OP_MAP_ROW(sigmoid, "Sigmoid", OP_NEEDS_OUT, NULL, "1 / (1 + exp(-x))", OP_MAP_ONNX(6))

static void tanh_run(const void *params, const real *x, size_t n, real *y) {
    vmath_tanh(x, n, y);
}

static void tanh_grad(const void *params, const struct op_map_run *r, real *g) {
    for (size_t i = 0; i < r->n; i++)
        g[i] = r->dy[i] * (1 - r->y[i] * r->y[i]);
}

static const struct op_map tanh_map = {tanh_run, NULL, tanh_grad};
OP_MAP_ROW(tanh, "Tanh", OP_NEEDS_OUT, NULL, "hyperbolic tangent", OP_MAP_ONNX(6))

/* ---- HardSigmoid: y = alpha x + beta within [0, 1] ---- */

static real within_0_1(real x) {
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static void hard_sigmoid(const void *params, const real *x, size_t n, real *y) {
    const real alpha = alpha_of(params), beta = beta_of(params);
    for (size_t i = 0; i < n; i++)
        y[i] = within_0_1(alpha * x[i] + beta);
}

static void hard_sigmoid_grad(const void *params, const struct op_map_run *r, real *g) {
    const real alpha = alpha_of(params);
    for (size_t i = 0; i < r->n; i++)
        g[i] = r->y[i] > 0 && r->y[i] < 1 ? alpha * r->dy[i] : 0;
}

OP_MAP_PARSE(hard_sigmoid_parse, "alpha", 0.2f, "beta", 0.5f)
static const struct op_map hard_sigmoid_map = {hard_sigmoid, NULL, hard_sigmoid_grad};
OP_MAP_ROW(hard_sigmoid, "HardSigmoid", OP_NEEDS_OUT, hard_sigmoid_parse,
           "alpha x + beta within [0, 1]", OP_MAP_ONNX(6))

/* ---- HardSwish: y = x h(x), h = x / 6 + 1/2 within [0, 1] ---- */

static void hard_swish(const void *params, const real *x, size_t n, real *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * within_0_1(x[i] / 6 + (real)0.5);
}

static void hard_swish_grad(const void *params, const struct op_map_run *r, real *g) {
    for (size_t i = 0; i < r->n; i++) {
        real x = r->x[i];
        g[i] = r->dy[i] * (x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + (real)0.5);
    }
}

static const struct op_map hard_swish_map = {hard_swish, NULL, hard_swish_grad};
OP_MAP_ROW(hard_swish, "HardSwish", OP_NEEDS_IN, NULL, "x HardSigmoid(x), alpha = 1/6",
           OP_MAP_ONNX(14))

/* ---- Softplus: y = log(1 + exp(x)) = max(x, 0) + log1p(e), e = exp(-|x|); dy/dx = sigmoid ----
 * log1p(e) = log(u) + (e - (u - 1)) / u with u = 1 + e rounded: what rounding took is put back. */

static void softplus_run(const real *x, size_t n, real *y) {
    real e[OP_MAP_RUN] = {0}, u[OP_MAP_RUN], l[OP_MAP_RUN];
    for (size_t i = 0; i < n; i++)
        e[i] = x[i] < 0 ? x[i] : -x[i];
    vmath_exp(e, n, e);
    vmath_add_scalar(e, 1, n, u);
    vmath_log(u, n, l);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] < 0 ? 0 : x[i]) + (l[i] + (e[i] - (u[i] - 1)) / u[i]);
}

static void softplus(const void *params, const real *x, size_t n, real *y) {
    softplus_run(x, n, y);
}

static void softplus_grad(const void *params, const struct op_map_run *r, real *g) {
    vmath_sigmoid(r->x, r->n, g);
    times_dy(r, g);
}

static const struct op_map softplus_map = {softplus, NULL, softplus_grad};
OP_MAP_ROW(softplus, "Softplus", OP_NEEDS_IN, NULL, "log(1 + exp(x))", OP_MAP_ONNX(1))

/* ---- Softsign: y = x / (1 + |x|); dy/dx = 1 / (1 + |x|)^2 ---- */

static real magnitude(real x) {
    return x < 0 ? -x : x;
}

static void softsign(const void *params, const real *x, size_t n, real *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] / (1 + magnitude(x[i]));
}

static void softsign_grad(const void *params, const struct op_map_run *r, real *g) {
    for (size_t i = 0; i < r->n; i++) {
        real d = 1 + magnitude(r->x[i]);
        g[i] = r->dy[i] / (d * d);
    }
}

static const struct op_map softsign_map = {softsign, NULL, softsign_grad};
OP_MAP_ROW(softsign, "Softsign", OP_NEEDS_IN, NULL, "x / (1 + |x|)", OP_MAP_ONNX(1))

/* ---- Gelu: y = x F(x), F the normal distribution = (1 + erf(x / sqrt 2)) / 2; dy/dx = F + x f, f
 * its density. Tanh form (Hendrycks and Gimpel 2016): F = (1 + tanh(u)) / 2,
 * u = sqrt(2 / pi) (x + 0.044715 x^3). ---- */

#define SQRT_HALF ((real)0.70710678118654752440)
#define INV_SQRT_2PI ((real)0.39894228040143267794)
#define SQRT_2_OVER_PI ((real)0.79788456080286535588)
#define GELU_CUBE ((real)0.044715)

static void gelu_erf(const void *params, const real *x, size_t n, real *y) {
    real t[OP_MAP_RUN];
    vmath_mul_scalar(x, SQRT_HALF, n, t);
    vmath_erf(t, n, t);
    for (size_t i = 0; i < n; i++)
        y[i] = (real)0.5 * x[i] * (1 + t[i]);
}

static void gelu_erf_grad(const void *params, const struct op_map_run *r, real *g) {
    real t[OP_MAP_RUN];
    vmath_mul_scalar(r->x, SQRT_HALF, r->n, t);
    vmath_erf(t, r->n, t);
    for (size_t i = 0; i < r->n; i++)
        g[i] = (real)-0.5 * r->x[i] * r->x[i];
    vmath_exp(g, r->n, g);
    for (size_t i = 0; i < r->n; i++)
        g[i] = r->dy[i] * ((real)0.5 * (1 + t[i]) + r->x[i] * INV_SQRT_2PI * g[i]);
}

/* u */
static void gelu_inner(const real *x, size_t n, real *u) {
    vmath_mul(x, x, n, u);
    vmath_mul_scalar(u, SQRT_2_OVER_PI * GELU_CUBE, n, u);
    vmath_add_scalar(u, SQRT_2_OVER_PI, n, u);
    vmath_mul(u, x, n, u);
}

static void gelu_tanh(const void *params, const real *x, size_t n, real *y) {
    real t[OP_MAP_RUN];
    gelu_inner(x, n, t);
    vmath_tanh(t, n, t);
    for (size_t i = 0; i < n; i++)
        y[i] = (real)0.5 * x[i] * (1 + t[i]);
}

static void gelu_tanh_grad(const void *params, const struct op_map_run *r, real *g) {
    gelu_inner(r->x, r->n, g);
    vmath_tanh(g, r->n, g);
    for (size_t i = 0; i < r->n; i++) {
        real x = r->x[i], slope = SQRT_2_OVER_PI * (1 + 3 * GELU_CUBE * x * x);
        g[i] = r->dy[i] * (real)0.5 * (1 + g[i] + x * (1 - g[i] * g[i]) * slope);
    }
}

static const struct op_map gelu_erf_map = {gelu_erf, NULL, gelu_erf_grad};
static const struct op_map gelu_tanh_map = {gelu_tanh, NULL, gelu_tanh_grad};

static int gelu_parse(const struct node *node, struct arena *arena, void **ret_params,
                      struct err *err) {
    const char *form = node_string(node, "approximate", "none");
    if (strcmp(form, "none") != 0 && strcmp(form, "tanh") != 0)
        return op_fail(node, err, "approximate '%.32s' is neither none nor tanh", form);
    return op_map_parse(node, arena, NULL, 0, NULL, 0, ret_params, err);
}

static const struct op_map *gelu_map_of(const struct node *node) {
    return strcmp(node_string(node, "approximate", "none"), "tanh") == 0 ? &gelu_tanh_map
                                                                         : &gelu_erf_map;
}

static int gelu_forward(const struct op_run *run, struct err *err) {
    return op_map_forward(run, gelu_map_of(run->node), err);
}

static int gelu_backward(const struct op_backward *back, struct err *err) {
    return op_map_backward(back, gelu_map_of(back->run.node), err);
}

const struct op op_gelu = {
    OP_MAP_FIELDS(gelu, "Gelu", OP_NEEDS_IN, gelu_parse, "x times the normal distribution"),
    OP_MAP_ONNX(20),
    .backward = gelu_backward,
    .tolerance = 1e-6,
};

OP_MAP_ROW(gelu_erf, "Gelu", OP_NEEDS_IN, NULL, "Gelu without approximation", OP_MAP_MICROSOFT)

/* ---- Swish (Silu): y = x s(alpha x), s = sigmoid; dy/dx = s (1 + alpha x (1 - s)) ---- */

static void swish(const void *params, const real *x, size_t n, real *y) {
    real s[OP_MAP_RUN];
    vmath_mul_scalar(x, alpha_of(params), n, s);
    vmath_sigmoid(s, n, s);
    vmath_mul(x, s, n, y);
}

static void swish_grad(const void *params, const struct op_map_run *r, real *g) {
    const real alpha = alpha_of(params);
    vmath_mul_scalar(r->x, alpha, r->n, g);
    vmath_sigmoid(g, r->n, g);
    for (size_t i = 0; i < r->n; i++)
        g[i] = r->dy[i] * g[i] * (1 + alpha * r->x[i] * (1 - g[i]));
}

OP_MAP_PARSE(silu_parse, "alpha", 1, NULL, 0)
static const struct op_map silu_map = {swish, NULL, swish_grad};
OP_MAP_ROW(silu, "Swish", OP_NEEDS_IN, silu_parse, "x sigmoid(alpha x)", .domain = "",
           .min_version = 24, .max_version = 24)

OP_MAP_PARSE(quick_gelu_parse, "alpha", 1.702f, NULL, 0)
static const struct op_map quick_gelu_map = {swish, NULL, swish_grad};
OP_MAP_ROW(quick_gelu, "QuickGelu", OP_NEEDS_IN, quick_gelu_parse, "x sigmoid(alpha x)",
           OP_MAP_MICROSOFT)

/* ---- Mish: y = x t, t = tanh(softplus(x)); dy/dx = t + x (1 - t^2) sigmoid(x) ---- */

static void mish(const void *params, const real *x, size_t n, real *y) {
    real t[OP_MAP_RUN];
    softplus_run(x, n, t);
    vmath_tanh(t, n, t);
    vmath_mul(x, t, n, y);
}

static void mish_grad(const void *params, const struct op_map_run *r, real *g) {
    real t[OP_MAP_RUN];
    softplus_run(r->x, r->n, t);
    vmath_tanh(t, r->n, t);
    vmath_sigmoid(r->x, r->n, g);
    for (size_t i = 0; i < r->n; i++)
        g[i] = r->dy[i] * (t[i] + r->x[i] * (1 - t[i] * t[i]) * g[i]);
}

static const struct op_map mish_map = {mish, NULL, mish_grad};
OP_MAP_ROW(mish, "Mish", OP_NEEDS_IN, NULL, "x tanh(softplus(x))", OP_MAP_ONNX(18))

/* ---- Shrink: y = x + bias below -lambd, x - bias above lambd, else 0 ---- */

static void shrink(const void *params, const real *x, size_t n, real *y) {
    const real lambd = alpha_of(params), bias = beta_of(params);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] < -lambd ? x[i] + bias : x[i] > lambd ? x[i] - bias : 0;
}

/* The specification computes integers in floats, and truncates. */
static void shrink_ints(const void *params, const int64_t *x, size_t n, int64_t *y) {
    const double lambd = (double)alpha_of(params), bias = (double)beta_of(params);
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i];
        double z = v < -lambd ? v + bias : v > lambd ? v - bias : 0;
        y[i] = z >= 0x1p63 ? INT64_MAX : z < -0x1p63 ? INT64_MIN : (int64_t)z;
    }
}

static void shrink_grad(const void *params, const struct op_map_run *r, real *g) {
    const real lambd = alpha_of(params);
    for (size_t i = 0; i < r->n; i++)
        g[i] = r->x[i] < -lambd || r->x[i] > lambd ? r->dy[i] : 0;
}

static int shrink_parse(const struct node *node, struct arena *arena, void **ret_params,
                        struct err *err) {
    float bias = node_float(node, "bias", 0), lambd = node_float(node, "lambd", 0.5f);
    if (isnan(bias) || isnan(lambd))
        return op_fail(node, err, "bias or lambd is no number");
    return op_map_parse(node, arena, "lambd", 0.5f, "bias", 0, ret_params, err);
}

static const struct op_map shrink_map = {shrink, shrink_ints, shrink_grad};
OP_MAP_ROW(shrink, "Shrink", OP_NEEDS_IN, shrink_parse, "x drawn to 0 by bias, 0 near 0",
           OP_MAP_ONNX(9))

/* ---- Erf: dy/dx = 2 / sqrt(pi) exp(-x^2) ---- */

static void erf_run(const void *params, const real *x, size_t n, real *y) {
    vmath_erf(x, n, y);
}

static void erf_grad(const void *params, const struct op_map_run *r, real *g) {
    for (size_t i = 0; i < r->n; i++)
        g[i] = -r->x[i] * r->x[i];
    vmath_exp(g, r->n, g);
    for (size_t i = 0; i < r->n; i++)
        g[i] *= (real)1.12837916709551257390 * r->dy[i];
}

static const struct op_map erf_map = {erf_run, NULL, erf_grad};
OP_MAP_ROW(erf, "Erf", OP_NEEDS_IN, NULL, "error function", OP_MAP_ONNX(9))

/* ---- PRelu: y = x, or slope x below 0; slope broadcasts to x ---- */

static int prelu_infer(struct op_infer *infer, struct err *err) {
    const struct type *x = &infer->in[0]->type, *slope = &infer->in[1]->type;
    struct type both;
    if (x->dtype && slope->dtype && x->dtype != slope->dtype)
        return op_fail(infer->node, err, "x is %s and slope %s", dtype_row(x->dtype)->name,
                       dtype_row(slope->dtype)->name);
    if (op_broadcast(infer, x, slope, &both, err) < 0)
        return -1;
    for (unsigned d = 0; both.ranked && d < both.rank; d++)
        if (both.rank != x->rank || (dim_known(x->dims[d]) && dim_known(both.dims[d]) &&
                                     !dim_same(x->dims[d], both.dims[d])))
            return op_fail(infer->node, err, "slope does not broadcast to x");
    infer->out[0].type = *x;
    if (!x->dtype)
        infer->out[0].type.dtype = slope->dtype;
    return 0;
}

static int prelu_run(void *ctx, const struct broadcast_run *r, struct err *err) {
    const real *x = r->in[0], *slope = r->in[1];
    real *y = r->out;
    for (size_t i = 0; i < r->n; i++)
        y[i] = x[i] < 0 ? slope[i * r->step[1]] * x[i] : x[i];
    return 0;
}

static void prelu_grad_x(const void *ctx, const struct broadcast_run *r, const real *dy, real *g) {
    const real *x = r->in[0], *slope = r->in[1];
    for (size_t i = 0; i < r->n; i++)
        g[i] = x[i] < 0 ? slope[i * r->step[1]] * dy[i] : dy[i];
}

static void prelu_grad_slope(const void *ctx, const struct broadcast_run *r, const real *dy,
                             real *g) {
    const real *x = r->in[0];
    for (size_t i = 0; i < r->n; i++)
        g[i] = x[i] < 0 ? x[i] * dy[i] : 0;
}

static struct broadcast both_inputs(const struct op_run *run) {
    return (struct broadcast){run->in, 2, run->out[0]};
}

/* The gradients of two inputs that broadcast. */
static int both_backward(const struct op_backward *back, broadcast_grad *const grads[2],
                         struct err *err) {
    const struct broadcast b = both_inputs(&back->run);
    for (size_t k = 0; k < 2 && back->dout[0]; k++)
        if (back->din[k] && broadcast_backward(&back->run, &b, k, grads[k], NULL, back->dout[0],
                                               back->din[k], err) < 0)
            return -1;
    return 0;
}

static uint64_t both_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    const struct broadcast b = both_inputs(shapes);
    uint64_t x = backward ? broadcast_scratch(&b, 0) : 0;
    uint64_t other = backward ? broadcast_scratch(&b, 1) : 0;
    return x > other ? x : other;
}

static int prelu_forward(const struct op_run *run, struct err *err) {
    const struct broadcast b = both_inputs(run);
    if (run->in[0]->dtype != DTYPE_F32)
        return err_set(err, ERR_UNSUPPORTED, "PRelu of %s is not executable",
                       dtype_row(run->in[0]->dtype)->name);
    return broadcast_forward(run, &b, prelu_run, NULL, err);
}

static int prelu_backward(const struct op_backward *back, struct err *err) {
    return both_backward(back, (broadcast_grad *const[2]){prelu_grad_x, prelu_grad_slope}, err);
}

const struct op op_prelu = {
    .op_type = "PRelu",
    .domain = "",
    .min_version = 7,
    .max_version = OP_ONNX_VERSION,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_IN_PLACE | OP_NEEDS_IN,
    .infer = prelu_infer,
    .forward = prelu_forward,
    .backward = prelu_backward,
    .scratch = both_scratch,
    .dims = relate_broadcast,
    .tolerance = 1e-6,
    .doc = "x, or slope x below 0",
};

/* ---- BiasGelu, FastGelu: Gelu of x + bias; bias [last dimension of x], which FastGelu may lack
 * ---- */

static int bias_gelu_infer(struct op_infer *infer, struct err *err) {
    const struct type *x = &infer->in[0]->type;
    infer->out[0].type = *x;
    if (!infer->in[1])
        return 0;
    const struct type *bias = &infer->in[1]->type;
    if (bias->ranked && bias->rank != 1)
        return op_fail(infer->node, err, "bias has rank %u, not 1", bias->rank);
    if (x->dtype && bias->dtype && x->dtype != bias->dtype)
        return op_fail(infer->node, err, "x is %s and bias %s", dtype_row(x->dtype)->name,
                       dtype_row(bias->dtype)->name);
    if (x->ranked && x->rank == 0)
        return op_fail(infer->node, err, "x is a scalar");
    if (x->ranked && bias->ranked && dim_known(bias->dims[0]) && dim_known(x->dims[x->rank - 1]) &&
        !dim_same(bias->dims[0], x->dims[x->rank - 1]))
        return op_fail(infer->node, err, "bias has %lld elements, the last axis of x %lld",
                       (long long)bias->dims[0].size, (long long)x->dims[x->rank - 1].size);
    return 0;
}

static void add_bias(const struct broadcast_run *r, real *z) {
    if (r->step[0] && r->step[1])
        vmath_add(r->in[0], r->in[1], r->n, z);
    else
        for (size_t i = 0; i < r->n; i++)
            z[i] =
                ((const real *)r->in[0])[i * r->step[0]] + ((const real *)r->in[1])[i * r->step[1]];
}

static int bias_gelu_run(void *ctx, const struct broadcast_run *r, struct err *err) {
    const struct op_map *map = ctx;
    real z[BROADCAST_RUN];
    add_bias(r, z);
    map->real(NULL, z, r->n, r->out);
    return 0;
}

static void bias_gelu_grad(const void *ctx, const struct broadcast_run *r, const real *dy,
                           real *g) {
    const struct op_map *map = ctx;
    real z[BROADCAST_RUN];
    add_bias(r, z);
    map->grad(NULL, &(struct op_map_run){.x = z, .dy = dy, .n = r->n}, g);
}

static const struct op_map *bias_gelu_map(const struct node *node) {
    return node->op->op_type[0] == 'F' ? &gelu_tanh_map : &gelu_erf_map;
}

static int bias_gelu_forward(const struct op_run *run, struct err *err) {
    const struct op_map *map = bias_gelu_map(run->node);
    if (!node_has(run->node, 1))
        return op_map_forward(run, map, err);
    if (run->in[0]->dtype != DTYPE_F32)
        return err_set(err, ERR_UNSUPPORTED, "%s of %s is not executable", run->node->op_type,
                       dtype_row(run->in[0]->dtype)->name);
    const struct broadcast b = both_inputs(run);
    struct op_map copy = *map;
    return broadcast_forward(run, &b, bias_gelu_run, &copy, err);
}

static int bias_gelu_backward(const struct op_backward *back, struct err *err) {
    const struct op_map *map = bias_gelu_map(back->run.node);
    if (!node_has(back->run.node, 1))
        return op_map_backward(back, map, err);
    const struct broadcast b = both_inputs(&back->run);
    for (size_t k = 0; k < 2 && back->dout[0]; k++)
        if (back->din[k] && broadcast_backward(&back->run, &b, k, bias_gelu_grad, map,
                                               back->dout[0], back->din[k], err) < 0)
            return -1;
    return 0;
}

static uint64_t bias_gelu_scratch(const struct op_run *shapes, bool backward, unsigned threads) {
    return node_has(shapes->node, 1) ? both_scratch(shapes, backward, threads) : 0;
}

#define BIAS_GELU_ROW(row, type, inputs, text) \
    const struct op op_##row = {               \
        .op_type = type,                       \
        .domain = "com.microsoft",             \
        .min_version = 1,                      \
        .max_version = 1,                      \
        .min_in = inputs,                      \
        .max_in = 2,                           \
        .min_out = 1,                          \
        .max_out = 1,                          \
        .flags = OP_IN_PLACE | OP_NEEDS_IN,    \
        .infer = bias_gelu_infer,              \
        .forward = bias_gelu_forward,          \
        .backward = bias_gelu_backward,        \
        .scratch = bias_gelu_scratch,          \
        .dims = relate_broadcast,              \
        .tolerance = 1e-6,                     \
        .doc = text,                           \
    };
BIAS_GELU_ROW(bias_gelu, "BiasGelu", 2, "Gelu of x + bias")
BIAS_GELU_ROW(fast_gelu, "FastGelu", 1, "Gelu's tanh form of x + bias")

/* ---- Clip: y = min(max(x, low), high); dx = dy where low <= x <= high ----
 * Bounds are attributes before version 11, scalars of x's type from then on. */

static int clip_parse(const struct node *node, struct arena *arena, void **ret_params,
                      struct err *err) {
    if (node->version >= 11)
        return 0;
    if (node->in_count > 1)
        return op_fail(node, err, "bounds are attributes before version 11");
    return op_map_parse(node, arena, "min", -INFINITY, "max", INFINITY, ret_params, err);
}

static int clip_infer(struct op_infer *infer, struct err *err) {
    infer->out[0].type = infer->in[0]->type;
    for (size_t k = 1; k < infer->node->in_count; k++) {
        if (!infer->in[k])
            continue;
        const struct type *bound = &infer->in[k]->type;
        if (bound->dtype && infer->in[0]->type.dtype && bound->dtype != infer->in[0]->type.dtype)
            return op_fail(infer->node, err, "x is %s and a bound %s",
                           dtype_row(infer->in[0]->type.dtype)->name,
                           dtype_row(bound->dtype)->name);
        for (unsigned d = 0; bound->ranked && d < bound->rank; d++)
            if (dim_known(bound->dims[d]) && bound->dims[d].size != 1)
                return op_fail(infer->node, err, "a bound is no scalar");
    }
    return 0;
}

/* Bounds of one run of the operator: what op_map hands to the functions as its parameters. */
struct clip {
    real low, high;
    int64_t int_low, int_high;
    bool is_u64;
};

static void clip_real(const void *params, const real *x, size_t n, real *y) {
    const struct clip *c = params;
    for (size_t i = 0; i < n; i++) {
        real v = x[i] < c->low ? c->low : x[i];
        y[i] = v > c->high ? c->high : v;
    }
}

static bool below(const struct clip *c, int64_t a, int64_t b) {
    return c->is_u64 ? (uint64_t)a < (uint64_t)b : a < b;
}

static void clip_ints(const void *params, const int64_t *x, size_t n, int64_t *y) {
    const struct clip *c = params;
    for (size_t i = 0; i < n; i++) {
        int64_t v = below(c, x[i], c->int_low) ? c->int_low : x[i];
        y[i] = below(c, c->int_high, v) ? c->int_high : v;
    }
}

static void clip_grad(const void *params, const struct op_map_run *r, real *g) {
    const struct clip *c = params;
    for (size_t i = 0; i < r->n; i++)
        g[i] = r->x[i] < c->low || r->x[i] > c->high ? 0 : r->dy[i];
}

static const struct op_map clip_map = {clip_real, clip_ints, clip_grad};

static struct clip clip_bounds(const struct op_run *run) {
    const struct node *node = run->node;
    bool is_u64 = run->in[0]->dtype == DTYPE_U64;
    struct clip c = {-INFINITY, INFINITY, is_u64 ? 0 : INT64_MIN, is_u64 ? -1 : INT64_MAX, is_u64};
    if (node->params) {
        c.low = alpha_of(node->params);
        c.high = beta_of(node->params);
    }
    for (size_t k = 1; k < node->in_count; k++) {
        const struct array *bound = run->in[k];
        if (!bound)
            continue;
        if (bound->dtype == DTYPE_F32)
            *(k == 1 ? &c.low : &c.high) = array_real(bound)[0];
        else
            *(k == 1 ? &c.int_low : &c.int_high) = array_int(bound, 0);
    }
    return c;
}

static int clip_forward(const struct op_run *run, struct err *err) {
    if (run->node->params && run->in[0]->dtype != DTYPE_F32)
        return err_set(err, ERR_UNSUPPORTED, "Clip of %s before version 11",
                       dtype_row(run->in[0]->dtype)->name);
    const struct clip c = clip_bounds(run);
    return op_map_forward_with(run, &clip_map, &c, err);
}

static bool clip_clamp(const struct op_run *run, struct clamp *ret) {
    for (size_t k = 1; k < run->node->in_count; k++)
        if (run->in[k] && !run->in[k]->data)
            return false;
    const struct clip c = clip_bounds(run);
    *ret = (struct clamp){c.low, c.high};
    return true;
}

static int clip_backward(const struct op_backward *back, struct err *err) {
    const struct clip c = clip_bounds(&back->run);
    return op_map_backward_with(back, &clip_map, &c, err);
}

static int clip_dims(struct relations *r, const struct op_run *shapes) {
    for (unsigned k = 1; k <= 2; k++) /* a bound may be written [1] */
        if (relate_fixed(r, AXIS_IN(k, 0)) < 0)
            return -1;
    return relate_elementwise(r, shapes);
}

const struct op op_clip = {
    .op_type = "Clip",
    .domain = "",
    .min_version = 6,
    .max_version = OP_ONNX_VERSION,
    .min_in = 1,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OP_IN_PLACE | OP_NEEDS_IN,
    .parse = clip_parse,
    .infer = clip_infer,
    .forward = clip_forward,
    .clamp = clip_clamp,
    .dims = clip_dims,
    .backward = clip_backward,
    .tolerance = 1e-6,
    .doc = "x within two bounds",
};
