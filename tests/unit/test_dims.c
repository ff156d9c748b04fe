/*
 * Tracing whole graphs: which indices of which weights go together, by hand; and a network that
 * lost a unit of every group computes what the whole one does with those channels at zero.
 */
#include "compress/exec/session.h"
#include "compress/graph/dims.h"
#include "tests/support/check.h"
#include "tests/support/tinygraph.h"

#include <stdio.h>
#include <string.h>

#define INTS(n, ...)                                                                 \
    {                                                                                \
        .name = n, .kind = ATTR_INTS, .count = sizeof((int64_t[]){__VA_ARGS__}) / 8, \
        .ints = (const int64_t[]){__VA_ARGS__},                                      \
    }
#define ATTRS(...)                      \
    (const struct attr[]){__VA_ARGS__}, \
        sizeof((const struct attr[]){__VA_ARGS__}) / sizeof(struct attr)
#define SHAPE(t, name, ...)                                          \
    tinygraph_ints((t)->graph, name, (const int64_t[]){__VA_ARGS__}, \
                   sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static struct dims *trace(struct tinygraph *t) {
    struct err err = ERR_INIT;
    struct fact *facts;
    struct dims *dims;
    CHECK_OK(graph_verify(t->graph, &err), &err);
    CHECK_OK(infer_graph(t->graph, NULL, 0, t->arena, &facts, &err), &err);
    CHECK_OK(dims_trace(t->graph, facts, NULL, t->arena, &dims, &err), &err);
    return dims;
}

/* The weights of a unit: "w.0[2] b.0[2]". */
static const char *weights_of(const struct dims *dims, uint32_t unit, char *text, size_t cap) {
    size_t count, used = 0;
    text[0] = '\0';
    if (unit == DIMS_FIXED)
        return "fixed";
    const struct dims_member *members = dims_members(dims, unit, &count);
    for (size_t i = 0; i < count; i++)
        if (members[i].value->kind == VALUE_WEIGHT)
            used +=
                (size_t)snprintf(text + used, cap - used, "%s%s.%u[%d]", used ? " " : "",
                                 members[i].value->name, members[i].axis, (int)members[i].index);
    return text;
}

static void check_unit(const struct dims *dims, const struct value *value, unsigned axis,
                       uint64_t index, const char *want) {
    char text[1024];
    CHECK_TEXT(weights_of(dims, dims_unit(dims, value, axis, index), text, sizeof text), want);
}

static struct value *conv(struct tinygraph *t, const char *name, struct value *x, struct value *w) {
    return tinygraph_op(t->graph, "Conv", name, TINY_IN(x, w), NULL, 0);
}

static void a_residual_is_one_group(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[1,3,4,4]");
    struct value *w1 = tinygraph_weight(&t, "w1", "f32[4,3,1,1]");
    struct value *b1 = tinygraph_weight(&t, "b1", "f32[4]");
    struct value *w2 = tinygraph_weight(&t, "w2", "f32[4,4,1,1]");
    struct value *w3 = tinygraph_weight(&t, "w3", "f32[2,4,1,1]");
    struct value *a = tinygraph_op(t.graph, "Conv", "a", TINY_IN(x, w1, b1), NULL, 0);
    struct value *r = tinygraph_op(t.graph, "Relu", "r", TINY_IN(a), NULL, 0);
    struct value *s = tinygraph_op(t.graph, "Add", "s", TINY_IN(conv(&t, "c", r, w2), r), NULL, 0);
    tinygraph_output(t.graph, conv(&t, "y", s, w3));
    struct dims *dims = trace(&t);
    CHECK_INT(dims_units(dims), 4);
    CHECK_INT(dims_groups(dims), 1);
    check_unit(dims, w1, 0, 2, "w1.0[2] b1.0[2] w2.0[2] w2.1[2] w3.1[2]");
    check_unit(dims, w1, 1, 2, "fixed"); /* the graph's input */
    check_unit(dims, w3, 0, 0, "fixed"); /* its output */
    CHECK_INT(dims_unit(dims, s, 1, 3), dims_unit(dims, w1, 0, 3));
    CHECK_INT(dims_unit(dims, s, 2, 3), DIMS_FIXED); /* a place of the image */
    tinygraph_free(&t);
}

static void a_skip_stands_at_an_offset(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[1,3,4,4]");
    struct value *w1 = tinygraph_weight(&t, "w1", "f32[4,3,1,1]");
    struct value *w2 = tinygraph_weight(&t, "w2", "f32[2,4,1,1]");
    struct value *w3 = tinygraph_weight(&t, "w3", "f32[5,6,1,1]");
    struct value *a = conv(&t, "a", x, w1), *b = conv(&t, "b", a, w2);
    struct value *c = tinygraph_op(t.graph, "Concat", "c", TINY_IN(a, b),
                                   ATTRS({.name = "axis", .kind = ATTR_INT, .i = 1}));
    tinygraph_output(t.graph, conv(&t, "y", c, w3));
    struct dims *dims = trace(&t);
    CHECK_INT(dims_units(dims), 6);
    CHECK_INT(dims_groups(dims), 2);
    check_unit(dims, w1, 0, 3, "w1.0[3] w2.1[3] w3.1[3]");
    check_unit(dims, w2, 0, 1, "w2.0[1] w3.1[5]");
    tinygraph_free(&t);
}

static void a_depthwise_channel_takes_its_group(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[1,3,4,4]");
    struct value *w1 = tinygraph_weight(&t, "w1", "f32[4,3,1,1]");
    struct value *w2 = tinygraph_weight(&t, "w2", "f32[8,1,3,3]");
    struct value *w3 = tinygraph_weight(&t, "w3", "f32[2,8,1,1]");
    struct value *d = tinygraph_op(t.graph, "Conv", "d", TINY_IN(conv(&t, "a", x, w1), w2),
                                   ATTRS({.name = "group", .kind = ATTR_INT, .i = 4}));
    tinygraph_output(t.graph, conv(&t, "y", d, w3));
    struct dims *dims = trace(&t);
    CHECK_INT(dims_units(dims), 4);
    check_unit(dims, w1, 0, 1, "w1.0[1] w2.0[2] w2.0[3] w3.1[2] w3.1[3]");
    tinygraph_free(&t);
}

/* Groups as exporters wrote them before there was an operator: an InstanceNormalization of
 * [1, groups, rest]. Its scale and bias are ones and zeros, one per group. */
static void groups_that_are_reshaped_go_whole(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[1,3,2,2]");
    struct value *w1 = tinygraph_weight(&t, "w1", "f32[4,3,1,1]");
    struct value *one = tinygraph_weight(&t, "one", "f32[2]");
    struct value *zero = tinygraph_weight(&t, "zero", "f32[2]");
    struct value *g = tinygraph_weight(&t, "g", "f32[4,1,1]");
    struct value *w2 = tinygraph_weight(&t, "w2", "f32[2,4,1,1]");
    struct value *a = tinygraph_op(
        t.graph, "Reshape", "a", TINY_IN(conv(&t, "c", x, w1), SHAPE(&t, "s1", 0, 2, -1)), NULL, 0);
    struct value *n =
        tinygraph_op(t.graph, "InstanceNormalization", "n", TINY_IN(a, one, zero), NULL, 0);
    struct value *b =
        tinygraph_op(t.graph, "Reshape", "b", TINY_IN(n, SHAPE(&t, "s2", 1, 4, 2, 2)), NULL, 0);
    struct value *m = tinygraph_op(t.graph, "Mul", "m", TINY_IN(b, g), NULL, 0);
    tinygraph_output(t.graph, conv(&t, "y", m, w2));
    struct dims *dims = trace(&t);
    CHECK_INT(dims_units(dims), 2);
    check_unit(dims, w1, 0, 3, "w1.0[2] w1.0[3] one.0[1] zero.0[1] g.0[2] g.0[3] w2.1[2] w2.1[3]");
    tinygraph_free(&t);
}

static void the_same_place_of_every_group_goes(void **state) {
    struct tinygraph t;
    struct err err = ERR_INIT;
    struct node *node;
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[1,3,2,2]");
    struct value *w1 = tinygraph_weight(&t, "w1", "f32[6,3,1,1]");
    struct value *g = tinygraph_weight(&t, "g", "f32[6]");
    struct value *b = tinygraph_weight(&t, "b", "f32[6]");
    struct value *w2 = tinygraph_weight(&t, "w2", "f32[2,6,1,1]"), *n;
    struct value *c = conv(&t, "c", x, w1);
    CHECK_OK(graph_add_value(t.graph, "n", &n, &err), &err);
    struct node_spec spec = {.op_type = "GroupNormalization",
                             .domain = "",
                             .version = 21,
                             .in = (struct value *const[]){c, g, b},
                             .in_count = 3,
                             .out = (struct value *const[]){n},
                             .out_count = 1,
                             .attrs =
                                 &(struct attr){.name = "num_groups", .kind = ATTR_INT, .i = 2},
                             .attr_count = 1};
    CHECK_OK(graph_add_node(t.graph, NULL, &spec, &node, &err), &err);
    tinygraph_output(t.graph, conv(&t, "y", n, w2));
    struct dims *dims = trace(&t);
    CHECK_INT(dims_units(dims), 3);
    check_unit(dims, w1, 0, 4, "w1.0[1] w1.0[4] g.0[1] g.0[4] b.0[1] b.0[4] w2.1[1] w2.1[4]");
    tinygraph_free(&t);
}

/* x [1,5,6] by w, two heads of three, in an order of axes. */
static struct value *heads(struct tinygraph *t, const char *const *names, struct value *x,
                           struct value *w, struct value *bias, const int64_t *perm) {
    struct value *y = tinygraph_op(t->graph, "MatMul", names[0], TINY_IN(x, w), NULL, 0);
    if (bias)
        y = tinygraph_op(t->graph, "Add", names[1], TINY_IN(y, bias), NULL, 0);
    y = tinygraph_op(t->graph, "Reshape", names[2], TINY_IN(y, SHAPE(t, names[3], 0, 0, 2, 3)),
                     NULL, 0);
    struct attr attr = {.name = "perm", .kind = ATTR_INTS, .count = 4, .ints = perm};
    return tinygraph_op(t->graph, "Transpose", names[4], TINY_IN(y), &attr, 1);
}

/* Attention from q, k (transposed), v to the output. */
static void attend(struct tinygraph *t, struct value *x, struct value *q, struct value *k,
                   struct value *v, struct value *wo) {
    static const int64_t back[] = {0, 2, 1, 3};
    struct value *p = tinygraph_op(t->graph, "MatMul", "scores", TINY_IN(q, k), NULL, 0);
    p = tinygraph_op(t->graph, "Softmax", "p", TINY_IN(p), NULL, 0);
    struct value *c = tinygraph_op(t->graph, "MatMul", "context", TINY_IN(p, v), NULL, 0);
    struct attr attr = {.name = "perm", .kind = ATTR_INTS, .count = 4, .ints = back};
    c = tinygraph_op(t->graph, "Transpose", "together", TINY_IN(c), &attr, 1);
    c = tinygraph_op(t->graph, "Reshape", "joined", TINY_IN(c, SHAPE(t, "js", 0, 0, 6)), NULL, 0);
    c = tinygraph_op(t->graph, "MatMul", "o", TINY_IN(c, wo), NULL, 0);
    tinygraph_output(t->graph, tinygraph_op(t->graph, "Add", "y", TINY_IN(c, x), NULL, 0));
}

static void heads_go_as_blocks(void **state) {
    static const int64_t rows[] = {0, 2, 1, 3}, columns[] = {0, 2, 3, 1};
    struct tinygraph t;
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[1,5,6]");
    struct value *wq = tinygraph_weight(&t, "wq", "f32[6,6]");
    struct value *bq = tinygraph_weight(&t, "bq", "f32[6]");
    struct value *wk = tinygraph_weight(&t, "wk", "f32[6,6]");
    struct value *wv = tinygraph_weight(&t, "wv", "f32[6,6]");
    struct value *wo = tinygraph_weight(&t, "wo", "f32[6,6]");
    struct value *q =
        heads(&t, (const char *const[]){"q1", "q2", "q3", "qs", "q"}, x, wq, bq, rows);
    struct value *k =
        heads(&t, (const char *const[]){"k1", "k2", "k3", "ks", "k"}, x, wk, NULL, columns);
    struct value *v =
        heads(&t, (const char *const[]){"v1", "v2", "v3", "vs", "v"}, x, wv, NULL, rows);
    attend(&t, x, q, k, v, wo);
    struct dims *dims = trace(&t);
    CHECK_INT(dims_units(dims), 2);
    CHECK_INT(dims_groups(dims), 1);
    check_unit(dims, wk, 1, 4,
               "wq.1[3] wq.1[4] wq.1[5] bq.0[3] bq.0[4] bq.0[5] wk.1[3] wk.1[4] wk.1[5] "
               "wv.1[3] wv.1[4] wv.1[5] wo.0[3] wo.0[4] wo.0[5]");
    tinygraph_free(&t);
}

static struct value *pick(struct tinygraph *t, const char *name, const char *of, struct value *x,
                          int64_t which) {
    int64_t index = which;
    struct array scalar = {.dtype = DTYPE_I64, .elements = 1, .data = &index};
    struct attr attr = {.name = "axis", .kind = ATTR_INT, .i = 0};
    return tinygraph_op(t->graph, "Gather", name,
                        TINY_IN(x, tinygraph_constant(t->graph, of, &scalar)), &attr, 1);
}

static void heads_of_one_projection_go_three_times(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[1,5,6]");
    struct value *w = tinygraph_weight(&t, "w", "f32[6,18]");
    struct value *wo = tinygraph_weight(&t, "wo", "f32[6,6]");
    struct value *a = tinygraph_op(t.graph, "MatMul", "a", TINY_IN(x, w), NULL, 0);
    a = tinygraph_op(t.graph, "Reshape", "a2", TINY_IN(a, SHAPE(&t, "as", 0, 0, 3, 2, 3)), NULL, 0);
    a = tinygraph_op(t.graph, "Transpose", "a3", TINY_IN(a), ATTRS(INTS("perm", 2, 0, 3, 1, 4)));
    struct value *k = tinygraph_op(t.graph, "Transpose", "k", TINY_IN(pick(&t, "k0", "one", a, 1)),
                                   ATTRS(INTS("perm", 0, 1, 3, 2)));
    attend(&t, x, pick(&t, "q", "none", a, 0), k, pick(&t, "v", "two", a, 2), wo);
    struct dims *dims = trace(&t);
    CHECK_INT(dims_units(dims), 2);
    check_unit(dims, w, 1, 0,
               "w.1[0] w.1[1] w.1[2] w.1[6] w.1[7] w.1[8] w.1[12] w.1[13] w.1[14] "
               "wo.0[0] wo.0[1] wo.0[2]");
    tinygraph_free(&t);
}

static void tied_weights_tie_both_ends(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    struct value *ids = tinygraph_input(&t, "ids", "i64[1,5]");
    struct value *e = tinygraph_weight(&t, "e", "f32[7,4]");
    struct value *g = tinygraph_weight(&t, "g", "f32[4]");
    struct value *b = tinygraph_weight(&t, "b", "f32[4]");
    struct value *h = tinygraph_op(t.graph, "Gather", "h", TINY_IN(e, ids), NULL, 0);
    h = tinygraph_op(t.graph, "LayerNormalization", "n", TINY_IN(h, g, b), NULL, 0);
    struct value *et = tinygraph_op(t.graph, "Transpose", "et", TINY_IN(e), NULL, 0);
    tinygraph_output(t.graph, tinygraph_op(t.graph, "MatMul", "y", TINY_IN(h, et), NULL, 0));
    struct dims *dims = trace(&t);
    CHECK_INT(dims_units(dims), 4);
    check_unit(dims, e, 1, 2, "e.1[2] g.0[2] b.0[2]");
    check_unit(dims, e, 0, 2, "fixed");
    tinygraph_free(&t);
}

static void a_flattened_channel_takes_its_places(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[1,2,2,2]");
    struct value *w1 = tinygraph_weight(&t, "w1", "f32[3,2,1,1]");
    struct value *w2 = tinygraph_weight(&t, "w2", "f32[5,12]");
    struct value *f = tinygraph_op(t.graph, "Flatten", "f", TINY_IN(conv(&t, "c", x, w1)), NULL, 0);
    tinygraph_output(t.graph, tinygraph_op(t.graph, "Gemm", "y", TINY_IN(f, w2),
                                           ATTRS({.name = "transB", .kind = ATTR_INT, .i = 1})));
    struct dims *dims = trace(&t);
    CHECK_INT(dims_units(dims), 3);
    check_unit(dims, w1, 0, 1, "w1.0[1] w2.1[4] w2.1[5] w2.1[6] w2.1[7]");
    tinygraph_free(&t);
}

/* A long chain of residual blocks: a unit of its own inside of each, one along all of them. */
static void a_thousand_nodes_are_one_chain(void **state) {
    enum { BLOCKS = 250, WIDE = 32, INSIDE = 64 };
    struct tinygraph t;
    char name[32];
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[1,7,3]");
    struct value *first = tinygraph_weight(&t, "first", "f32[3,32]");
    struct value *last = tinygraph_weight(&t, "last", "f32[32,2]");
    struct value *h = tinygraph_op(t.graph, "MatMul", "h", TINY_IN(x, first), NULL, 0);
    for (int i = 0; i < BLOCKS; i++) {
        snprintf(name, sizeof name, "up%d", i);
        struct value *up = tinygraph_weight(&t, name, "f32[32,64]");
        snprintf(name, sizeof name, "down%d", i);
        struct value *down = tinygraph_weight(&t, name, "f32[64,32]");
        snprintf(name, sizeof name, "a%d", i);
        struct value *a = tinygraph_op(t.graph, "MatMul", name, TINY_IN(h, up), NULL, 0);
        snprintf(name, sizeof name, "r%d", i);
        a = tinygraph_op(t.graph, "Relu", name, TINY_IN(a), NULL, 0);
        snprintf(name, sizeof name, "b%d", i);
        a = tinygraph_op(t.graph, "MatMul", name, TINY_IN(a, down), NULL, 0);
        snprintf(name, sizeof name, "s%d", i);
        h = tinygraph_op(t.graph, "Add", name, TINY_IN(a, h), NULL, 0);
    }
    tinygraph_output(t.graph, tinygraph_op(t.graph, "MatMul", "y", TINY_IN(h, last), NULL, 0));
    struct dims *dims = trace(&t);
    size_t count;
    CHECK_INT(dims_units(dims), WIDE + BLOCKS * INSIDE);
    CHECK_INT(dims_groups(dims), 1 + BLOCKS);
    dims_members(dims, dims_unit(dims, first, 1, 5), &count);
    CHECK_INT(count, 3 + 4 * BLOCKS); /* first, h, last; up, down, b, s of every block */
    tinygraph_free(&t);
}

/* ---- cutting a network ---- */

enum { PARTS = 10 };

struct net {
    struct tinygraph t;
    struct value *x, *y, *w[PARTS];
};

/* Two groups of channels: those along the residual, and those between. */
static void net_new(struct net *n, int outer, int inner) {
    static const char *const names[PARTS] = {"w1",    "b1",   "w2",  "b2", "scale",
                                             "shift", "mean", "var", "w3", "w4"};
    char types[PARTS][40];
    tinygraph_new(&n->t);
    struct graph *graph = n->t.graph;
    snprintf(types[0], 40, "f32[%d,3,3,3]", outer);
    snprintf(types[1], 40, "f32[%d]", outer);
    snprintf(types[2], 40, "f32[%d,%d,3,3]", inner, outer);
    for (int i = 3; i < 8; i++)
        snprintf(types[i], 40, "f32[%d]", inner);
    snprintf(types[8], 40, "f32[%d,%d,1,1]", outer, inner);
    snprintf(types[9], 40, "f32[4,%d]", outer * 4);
    n->x = tinygraph_input(&n->t, "x", "f32[2,3,8,8]");
    for (int i = 0; i < PARTS; i++)
        n->w[i] = tinygraph_weight(&n->t, names[i], types[i]);
    struct value **w = n->w;
    const struct attr pads = INTS("pads", 1, 1, 1, 1);
    const struct attr pool[] = {INTS("kernel_shape", 4, 4), INTS("strides", 4, 4)};
    struct value *a = tinygraph_op(graph, "Conv", "a", TINY_IN(n->x, w[0], w[1]), &pads, 1);
    a = tinygraph_op(graph, "Relu", "ra", TINY_IN(a), NULL, 0);
    struct value *b = tinygraph_op(graph, "Conv", "b", TINY_IN(a, w[2], w[3]), &pads, 1);
    b = tinygraph_op(graph, "BatchNormalization", "bn", TINY_IN(b, w[4], w[5], w[6], w[7]), NULL,
                     0);
    b = tinygraph_op(graph, "Relu", "rb", TINY_IN(b), NULL, 0);
    b = tinygraph_op(graph, "Conv", "c", TINY_IN(b, w[8]), NULL, 0);
    b = tinygraph_op(graph, "Add", "s", TINY_IN(b, a), NULL, 0);
    b = tinygraph_op(graph, "AveragePool", "p", TINY_IN(b), pool, 2);
    b = tinygraph_op(graph, "Flatten", "f", TINY_IN(b), NULL, 0);
    n->y = tinygraph_op(graph, "Gemm", "y", TINY_IN(b, w[9]),
                        ATTRS({.name = "transB", .kind = ATTR_INT, .i = 1}));
    tinygraph_output(graph, n->y);
}

static struct array *run(struct net *n, struct array *const *weights) {
    struct err err = ERR_INIT;
    struct exec_plan *plan;
    struct exec_session *session;
    for (int i = 0; i < PARTS; i++)
        CHECK_OK(weights_put(n->t.weights, n->w[i], weights[i], &err), &err);
    struct array *x = tinygraph_array("f32[2,3,8,8]", "input"),
                 *y = tinygraph_array("f32[2,4]", "");
    struct binding binding = {n->x, tinygraph_fact("f32[2,3,8,8]")};
    CHECK_OK(
        exec_plan_new(n->t.graph, &binding, 1, &(struct exec_options){.threads = 1}, &plan, &err),
        &err);
    CHECK_OK(
        exec_session_new(plan, n->t.weights, &(struct exec_session_options){0}, &session, &err),
        &err);
    CHECK_OK(exec_run(session, &(struct exec_input){n->x, x}, 1, NULL, &err), &err);
    memcpy(y->data, exec_output(session, n->y)->data, array_bytes(y));
    exec_session_free(session);
    exec_plan_free(plan);
    array_free(x);
    return y;
}

static bool is_lost(const struct dims *dims, const struct value *value, const struct array *array,
                    uint64_t element, const bool *lost) {
    for (unsigned d = array->rank; d-- > 0; element /= array->dims[d]) {
        uint32_t unit = dims_unit(dims, value, d, element % array->dims[d]);
        if (unit != DIMS_FIXED && lost[unit])
            return true;
    }
    return false;
}

static void what_is_cut_counts_for_nothing(void **state) {
    struct net full, narrow;
    struct array *zeroed[PARTS], *cut[PARTS];
    bool lost[16] = {false};
    net_new(&full, 5, 6);
    net_new(&narrow, 4, 5);
    struct dims *dims = trace(&full.t);
    CHECK_INT(dims_units(dims), 11);
    CHECK_INT(dims_groups(dims), 2);
    lost[dims_unit(dims, full.w[0], 0, 3)] = true;
    lost[dims_unit(dims, full.w[2], 0, 1)] = true;
    for (int i = 0; i < PARTS; i++) {
        struct array shape;
        uint64_t k = 0;
        CHECK(type_to_array(&full.w[i]->type, &shape));
        zeroed[i] = array_new(DTYPE_F32, shape.rank, shape.dims);
        CHECK(type_to_array(&narrow.w[i]->type, &shape));
        cut[i] = array_new(DTYPE_F32, shape.rank, shape.dims);
        CHECK(zeroed[i] && cut[i]);
        for (uint64_t e = 0; e < zeroed[i]->elements; e++) {
            real value = (real)((int)((e * 7 + (unsigned)i * 5) % 13) - 5) / 8;
            if (i == 7) /* a variance */
                value = value < 0 ? (real)0.5 - value : value + (real)0.5;
            bool gone = is_lost(dims, full.w[i], zeroed[i], e, lost);
            array_real(zeroed[i])[e] = gone ? 0 : value;
            if (!gone) {
                CHECK(k < cut[i]->elements);
                array_real(cut[i])[k++] = value;
            }
        }
        CHECK_INT(k, cut[i]->elements);
    }
    struct array *want = run(&full, zeroed), *got = run(&narrow, cut);
    double most = 0;
    for (uint64_t i = 0; i < want->elements; i++) {
        CHECK_NUM(array_number(got, i), array_number(want, i), 1e-4);
        most = array_number(want, i) > most ? array_number(want, i) : most;
    }
    CHECK(most > 0.1); /* and it is no network of zeros */
    array_free(want);
    array_free(got);
    for (int i = 0; i < PARTS; i++) {
        array_free(zeroed[i]);
        array_free(cut[i]);
    }
    tinygraph_free(&full.t);
    tinygraph_free(&narrow.t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_residual_is_one_group),
        cmocka_unit_test(a_skip_stands_at_an_offset),
        cmocka_unit_test(a_depthwise_channel_takes_its_group),
        cmocka_unit_test(groups_that_are_reshaped_go_whole),
        cmocka_unit_test(the_same_place_of_every_group_goes),
        cmocka_unit_test(heads_go_as_blocks),
        cmocka_unit_test(heads_of_one_projection_go_three_times),
        cmocka_unit_test(tied_weights_tie_both_ends),
        cmocka_unit_test(a_flattened_channel_takes_its_places),
        cmocka_unit_test(a_thousand_nodes_are_one_chain),
        cmocka_unit_test(what_is_cut_counts_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
