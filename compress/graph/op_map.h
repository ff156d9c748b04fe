/*
 * Functions of one value, element by element: what op_act.c and op_unary.c are tables of.
 *
 * A row says what happens to a short run of elements; the tiles, the thread team, integers of every
 * width and the accumulation of gradients are here. OP_MAP_ROW makes the operator's row of it:
 *
 *     static void softsign(const void *params, const real *x, size_t n, real *y) { ... }
 *     static void softsign_grad(const void *params, const struct op_map_run *r, real *g) { ... }
 *     static const struct op_map softsign_map = {.real = softsign, .grad = softsign_grad};
 *     OP_MAP_ROW(softsign, "Softsign", OP_NEEDS_IN, NULL, "x / (1 + |x|)", OP_MAP_ONNX(1))
 *
 * Threads: everything is called from many at once. Expected failures: ERR_UNSUPPORTED for a type of
 * elements that the map has no function for.
 */
#ifndef COMPRESS_GRAPH_OP_MAP_H
#define COMPRESS_GRAPH_OP_MAP_H

#include "compress/graph/op.h"
#include "compress/graph/relate.h"

/* No run is longer: functions may keep buffers of so many elements on the stack. */
enum { OP_MAP_RUN = 512 };

/* y may be x. */
typedef void op_map_real(const void *params, const real *x, size_t n, real *y);
typedef void op_map_ints(const void *params, const int64_t *x, size_t n, int64_t *y);

struct op_map_run {
    const real *x, *y; /* valid where the row's flags ask for them */
    const real *dy;
    size_t n;
};
/* g[i] = dy[i] * f'(x[i]) */
typedef void op_map_grad(const void *params, const struct op_map_run *run, real *g);

struct op_map {
    op_map_real *real;
    op_map_ints *ints; /* integers and booleans, results wrap around; NULL: floats alone */
    op_map_grad *grad; /* NULL: not differentiable */
};

/* out[0] = f(in[0]), which have one type. `params` are the node's, or the caller's own. */
int op_map_forward(const struct op_run *run, const struct op_map *map, struct err *err);
int op_map_forward_with(const struct op_run *run, const struct op_map *map, const void *params,
                        struct err *err);
/* din[0] += dout[0] f'(in[0]) */
int op_map_backward(const struct op_backward *back, const struct op_map *map, struct err *err);
int op_map_backward_with(const struct op_backward *back, const struct op_map *map,
                         const void *params, struct err *err);

/* Two numbers that most activations are parametrised by. */
struct op_map_params {
    real alpha, beta;
};
/* Attributes `alpha` and `beta` of these names (NULL: there is none) with their defaults. */
int op_map_parse(const struct node *node, struct arena *arena, const char *alpha,
                 float alpha_default, const char *beta, float beta_default, void **ret_params,
                 struct err *err);

/* Parsing functions for rows. */
#define OP_MAP_PARSE(function, alpha, alpha_default, beta, beta_default)                       \
    static int function(const struct node *node, struct arena *arena, void **ret_params,       \
                        struct err *err) {                                                     \
        return op_map_parse(node, arena, alpha, alpha_default, beta, beta_default, ret_params, \
                            err);                                                              \
    }

#define OP_MAP_ONNX(since) .domain = "", .min_version = since, .max_version = OP_ONNX_VERSION
#define OP_MAP_MICROSOFT .domain = "com.microsoft", .min_version = 1, .max_version = 1

#define OP_MAP_FIELDS(row, type, row_flags, row_parse, text)                        \
    .op_type = type, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,          \
    .flags = OP_IN_PLACE | (row_flags), .parse = row_parse, .infer = op_infer_same, \
    .forward = row##_forward, .dims = relate_elementwise, .doc = text

/* The row of a function with a gradient, and of one without; the last argument is one of the two
 * ranges of versions above. */
#define OP_MAP_ROW(row, type, row_flags, row_parse, text, ...)                        \
    static int row##_forward(const struct op_run *run, struct err *err) {             \
        return op_map_forward(run, &row##_map, err);                                  \
    }                                                                                 \
    static int row##_backward(const struct op_backward *back, struct err *err) {      \
        return op_map_backward(back, &row##_map, err);                                \
    }                                                                                 \
    const struct op op_##row = {OP_MAP_FIELDS(row, type, row_flags, row_parse, text), \
                                .backward = row##_backward, .tolerance = 1e-6, __VA_ARGS__};

#define OP_MAP_ROW_FORWARD(row, type, row_parse, text, ...)               \
    static int row##_forward(const struct op_run *run, struct err *err) { \
        return op_map_forward(run, &row##_map, err);                      \
    }                                                                     \
    const struct op op_##row = {OP_MAP_FIELDS(row, type, 0, row_parse, text), __VA_ARGS__};

#endif
