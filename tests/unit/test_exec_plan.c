/* Plans: what runs, in which order, where it lies. */
#include "compress/exec/exec_plan.h"
#include "tests/support/check.h"
#include "tests/support/tinygraph.h"

#include <stdlib.h>
#include <string.h>

static struct exec_plan *plan_of(struct tinygraph *t, const struct binding *bindings, size_t count,
                                 const struct exec_options *options) {
    struct err err = ERR_INIT;
    struct exec_plan *plan;
    CHECK_OK(exec_plan_new(t->graph, bindings, count, options, &plan, &err), &err);
    return plan;
}

static char *printed(const struct exec_plan *plan) {
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    CHECK(to);
    exec_plan_print(plan, to);
    CHECK_INT(fclose(to), 0);
    return text;
}

static void check_printed(const struct exec_plan *plan, const char *want) {
    char *text = printed(plan);
    CHECK_TEXT(text, want);
    free(text);
}

/* relu(x w + b), reshaped by arithmetic on its own shape. */
static struct value *small_net(struct tinygraph *t) {
    struct graph *g = t->graph;
    struct value *x = tinygraph_input(t, "x", "f32[batch,6]");
    struct value *w = tinygraph_weight(t, "w", "f32[5,6]");
    struct value *c = tinygraph_weight(t, "c", "f32[5,5]");
    const struct attr perm = {
        .name = "perm", .kind = ATTR_INTS, .count = 2, .ints = (const int64_t[]){1, 0}};
    struct value *wt = tinygraph_op(g, "Transpose", "wt", TINY_IN(w), &perm, 1);
    struct value *a = tinygraph_op(g, "MatMul", "a", TINY_IN(x, wt), NULL, 0);
    struct value *r = tinygraph_op(g, "Relu", "r", TINY_IN(a), NULL, 0);
    struct value *m = tinygraph_op(g, "MatMul", "m", TINY_IN(r, c), NULL, 0);
    struct value *s = tinygraph_op(g, "Shape", "s", TINY_IN(m), NULL, 0);
    struct value *y = tinygraph_op(g, "Reshape", "y", TINY_IN(r, s), NULL, 0);
    struct value *z = tinygraph_op(g, "Relu", "z", TINY_IN(y), NULL, 0);
    tinygraph_op(g, "Relu", "unwanted", TINY_IN(m), NULL, 0);
    tinygraph_output(g, z);
    return z;
}

static void steps_places_and_folding(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    struct value *z = small_net(&t);
    struct binding x = {graph_value(t.graph, "x"), tinygraph_fact("f32[4,6]")};
    struct exec_plan *plan = plan_of(&t, &x, 1, NULL);
    check_printed(plan, "once\n"
                        "    0  Transpose 'wt'        w -> wt f32[6,5] kept [0, 120)\n"
                        "forward\n"
                        "    0  MatMul 'a'            x wt -> a f32[4,5] [0, 80)\n"
                        "    1  Relu 'r'              a -> r f32[4,5] in place, [0, 80)\n"
                        "    2  Reshape 'y'           r s -> y f32[4,5] as it is, [0, 80)\n"
                        "    3  Relu 'z'              y -> z f32[4,5] in place, [0, 80)\n"
                        "workspace 128 bytes, 128 of them alive at once at most\n"
                        "beside it: kept results 128, gradients 0, weights 120 bytes\n"
                        "120 multiply-accumulates\n");
    struct exec_facts facts;
    exec_plan_facts(plan, &facts);
    CHECK_UINT(facts.once_steps, 1);
    CHECK_UINT(facts.forward_steps, 4);
    CHECK_UINT(facts.backward_steps, 0);
    char text[64];
    CHECK_TEXT(array_describe(exec_plan_shape(plan, z), text, sizeof text), "f32[4,5]");
    CHECK(!exec_plan_shape(plan, graph_value(t.graph, "m")));
    exec_plan_free(plan);
    tinygraph_free(&t);
}

static void wanted_and_observed(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    small_net(&t);
    const struct value *a = graph_value(t.graph, "a"), *r = graph_value(t.graph, "r");
    struct binding x = {graph_value(t.graph, "x"), tinygraph_fact("f32[4,6]")};
    /* What the caller looks at afterwards is not written over; what an observer has seen is. */
    struct exec_options options = {
        .wanted = &a, .wanted_count = 1, .observed = &r, .observed_count = 1};
    struct exec_plan *plan = plan_of(&t, &x, 1, &options);
    check_printed(plan, "once\n"
                        "    0  Transpose 'wt'        w -> wt f32[6,5] kept [0, 120)\n"
                        "forward\n"
                        "    0  MatMul 'a'            x wt -> a f32[4,5] [0, 80)\n"
                        "    1  Relu 'r'              a -> r f32[4,5] [128, 208)\n"
                        "    2  observe               r ->\n"
                        "workspace 256 bytes, 256 of them alive at once at most\n"
                        "beside it: kept results 128, gradients 0, weights 120 bytes\n"
                        "120 multiply-accumulates\n");
    exec_plan_free(plan);
    tinygraph_free(&t);
}

static void refusals(void **state) {
    struct tinygraph t;
    struct err err = ERR_INIT;
    struct exec_plan *plan;
    tinygraph_new(&t);
    struct value *x = tinygraph_input(&t, "x", "f32[n,n,3]");
    struct value *odd = tinygraph_op(t.graph, "Loop", "odd", TINY_IN(x), NULL, 0);
    tinygraph_op(t.graph, "Relu", "past", TINY_IN(odd), NULL, 0);
    struct value *fine = tinygraph_op(t.graph, "Relu", "fine", TINY_IN(x), NULL, 0);
    tinygraph_output(t.graph, fine);
    static const struct {
        const char *type, *says;
    } misfits[] = {{"f32[2,2,4]", "f32[2,2,4]"},
                   {"f32[2,5,3]", "f32[n,n,3]"},
                   {"f32[2,2]", "f32[2,2]"},
                   {"i64[2,2,3]", "i64[2,2,3]"}};
    for (size_t i = 0; i < sizeof misfits / sizeof *misfits; i++) {
        struct binding bad = {x, tinygraph_fact(misfits[i].type)};
        CHECK_INT(exec_plan_new(t.graph, &bad, 1, NULL, &plan, &err), -1);
        CHECK_INT(err.code, ERR_BAD_FIELD);
        CHECK_HOLDS(err.text, misfits[i].says);
        CHECK_HOLDS(err.text, "'x'");
        err = ERR_INIT;
    }
    CHECK_FAILS(exec_plan_new(t.graph, NULL, 0, NULL, &plan, &err), &err, ERR_BAD_FIELD);
    struct binding good = {x, tinygraph_fact("f32[2,2,3]")};
    /* What is not wanted need not be executable. */
    exec_plan_free(plan_of(&t, &good, 1, NULL));
    const struct value *past = graph_value(t.graph, "past");
    struct exec_options options = {.wanted = &past, .wanted_count = 1};
    CHECK_INT(exec_plan_new(t.graph, &good, 1, &options, &plan, &err), -1);
    CHECK_INT(err.code, ERR_UNSUPPORTED);
    CHECK_HOLDS(err.text, "Loop 'odd'");
    err = ERR_INIT;
    options = (struct exec_options){.memory_bytes = 32};
    CHECK_INT(exec_plan_new(t.graph, &good, 1, &options, &plan, &err), -1);
    CHECK_INT(err.code, ERR_OVER_BUDGET);
    CHECK_HOLDS(err.text, "64 bytes");
    tinygraph_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_places_and_folding),
        cmocka_unit_test(wanted_and_observed),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
