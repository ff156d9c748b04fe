/* Graphs: edges stay true both ways through every rewrite, and what is broken is named. */
#include "compress/graph/graph.h"

#include "compress/base/arena.h"
#include "compress/graph/infer.h"
#include "compress/graph/op.h"
#include "tests/support/check.h"

#include <stdio.h>

struct fixture {
    struct arena *arena;
    struct graph *graph;
    struct err err;
};

static struct type image(struct graph *graph) {
    return (struct type){DTYPE_F32, true, 2, {{-1, symbols_get(graph->symbols, "batch")}, DIM(3)}};
}

static struct fixture start(void) {
    struct fixture f = {.arena = arena_new(4 << 20), .err = ERR_INIT};
    f.graph = graph_new(f.arena, NULL);
    return f;
}

static struct value *add_input(struct fixture *f, const char *name) {
    struct type type = image(f->graph);
    struct value *x;
    CHECK_OK(graph_add_input(f->graph, name, &type, &x, &f->err), &f->err);
    return x;
}

static struct value *unary(struct fixture *f, const char *op, struct value *in, const char *out) {
    struct value *y;
    struct node *node;
    CHECK_OK(graph_add_value(f->graph, out, &y, &f->err), &f->err);
    CHECK_OK(graph_add_node(f->graph, NULL,
                            &(struct node_spec){.op_type = op,
                                                .domain = "",
                                                .version = 13,
                                                .in = &in,
                                                .in_count = 1,
                                                .out = &y,
                                                .out_count = 1},
                            &node, &f->err),
             &f->err);
    return y;
}

static void a_chain_is_whole(void **state) {
    struct fixture f = start();
    struct value *x = add_input(&f, "x"), *a = unary(&f, "Relu", x, "a");
    struct value *b = unary(&f, "Relu", a, "b");
    CHECK_OK(graph_add_output(f.graph, b, &f.err), &f.err);
    CHECK_OK(graph_verify(f.graph, &f.err), &f.err);
    CHECK(graph_value(f.graph, "a") == a && graph_value(f.graph, "nothing") == NULL);
    CHECK(a->producer && b->producer->in[0] == a);
    char text[64];
    CHECK_TEXT(node_describe(a->producer, text, sizeof text), "Relu 'a'");
    struct arena *scratch = arena_new(1 << 20);
    CHECK_OK(infer_annotate(f.graph, scratch, &f.err), &f.err);
    CHECK_TEXT(type_describe(&b->type, f.graph->symbols, text, sizeof text), "f32[batch,3]");
    arena_free(scratch);
    arena_free(f.arena);
}

static void names_are_taken_once(void **state) {
    struct fixture f = start();
    struct value *v;
    add_input(&f, "x");
    CHECK_FAILS(graph_add_value(f.graph, "x", &v, &f.err), &f.err, ERR_BAD_MODEL);
    CHECK_OK(graph_add_value(f.graph, NULL, &v, &f.err), &f.err); /* a fresh one */
    CHECK_FAILS(graph_resolve(f.graph, "nobody", &v, &f.err), &f.err, ERR_BAD_MODEL);
    arena_free(f.arena);
}

static void unknown_operators_are_carried(void **state) {
    struct fixture f = start();
    struct value *y = unary(&f, "Frobnicate", add_input(&f, "x"), "y");
    CHECK_OK(graph_add_output(f.graph, y, &f.err), &f.err);
    CHECK(y->producer->op == NULL);
    CHECK_TEXT(y->producer->why_not, "Frobnicate is not executable");
    CHECK_OK(graph_verify(f.graph, &f.err), &f.err);
    arena_free(f.arena);
}

static void the_future_is_carried(void **state) {
    struct fixture f = start();
    struct value *x = add_input(&f, "x"), *y;
    struct node *node;
    CHECK_OK(graph_add_value(f.graph, "y", &y, &f.err), &f.err);
    CHECK_OK(graph_add_node(f.graph, NULL,
                            &(struct node_spec){.op_type = "Relu",
                                                .domain = "ai.onnx",
                                                .version = 999,
                                                .in = &x,
                                                .in_count = 1,
                                                .out = &y,
                                                .out_count = 1},
                            &node, &f.err),
             &f.err);
    CHECK_TEXT(node->why_not, "Relu of operator set 999 is not executable");
    arena_free(f.arena);
}

static void a_wrong_arity_is_refused(void **state) {
    struct fixture f = start();
    struct value *x[2] = {add_input(&f, "x"), add_input(&f, "z")}, *y;
    struct node *node;
    CHECK_OK(graph_add_value(f.graph, "y", &y, &f.err), &f.err);
    CHECK_FAILS(graph_add_node(f.graph, NULL,
                               &(struct node_spec){.op_type = "Relu",
                                                   .domain = "",
                                                   .version = 13,
                                                   .in = x,
                                                   .in_count = 2,
                                                   .out = &y,
                                                   .out_count = 1},
                               &node, &f.err),
                &f.err, ERR_BAD_MODEL);
    CHECK_UINT(x[0]->use_count, 0);
    arena_free(f.arena);
}

/* Nodes arrive in any order in what people build by hand. */
static void sorting_is_stable_and_finds_cycles(void **state) {
    struct fixture f = start();
    struct value *x = add_input(&f, "x"), *a, *b;
    struct node *first, *second;
    CHECK_OK(graph_add_value(f.graph, "a", &a, &f.err), &f.err);
    CHECK_OK(graph_add_value(f.graph, "b", &b, &f.err), &f.err);
    struct node_spec spec = {.op_type = "Relu",
                             .domain = "",
                             .version = 13,
                             .in = &a,
                             .in_count = 1,
                             .out = &b,
                             .out_count = 1};
    CHECK_OK(graph_add_node(f.graph, NULL, &spec, &second, &f.err), &f.err);
    spec.in = &x, spec.out = &a;
    CHECK_OK(graph_add_node(f.graph, NULL, &spec, &first, &f.err), &f.err);
    CHECK_OK(graph_add_output(f.graph, b, &f.err), &f.err);
    CHECK_FAILS(graph_verify(f.graph, &f.err), &f.err,
                ERR_BAD_MODEL); /* b's node reads too early */
    CHECK_OK(graph_sort(f.graph, &f.err), &f.err);
    CHECK(f.graph->first == first && f.graph->last == second && second->prev == first);
    CHECK_OK(graph_verify(f.graph, &f.err), &f.err);
    CHECK_OK(graph_set_input(first, 0, b, &f.err), &f.err);
    CHECK(graph_sort(f.graph, &f.err) < 0);
    CHECK_HOLDS(f.err.text, "a cycle through Relu");
    arena_free(f.arena);
}

static void a_body_waits_for_what_it_reads(void **state) {
    struct fixture f = start();
    struct value *x = add_input(&f, "x"), *a, *y, *outer, *inner;
    struct node *node, *branch;
    struct graph *bodies[2];
    CHECK_OK(graph_add_value(f.graph, "a", &a, &f.err), &f.err);
    for (int i = 0; i < 2; i++) {
        bodies[i] = graph_new(f.arena, f.graph);
        CHECK_OK(graph_resolve(bodies[i], "a", &outer, &f.err), &f.err);
        CHECK(outer->kind == VALUE_OUTER && outer->outer == a);
        CHECK_OK(graph_add_value(bodies[i], "inner", &inner, &f.err), &f.err);
        CHECK_OK(graph_add_node(bodies[i], NULL,
                                &(struct node_spec){.op_type = "Relu",
                                                    .domain = "",
                                                    .version = 13,
                                                    .in = &outer,
                                                    .in_count = 1,
                                                    .out = &inner,
                                                    .out_count = 1},
                                &node, &f.err),
                 &f.err);
        CHECK_OK(graph_add_output(bodies[i], inner, &f.err), &f.err);
    }
    bool yes = true;
    struct array truth = {.dtype = DTYPE_BOOL, .elements = 1, .data = &yes};
    struct value *condition;
    CHECK_OK(graph_add_constant(f.graph, "c", &truth, &condition, &f.err), &f.err);
    CHECK_OK(graph_add_value(f.graph, "y", &y, &f.err), &f.err);
    struct attr attrs[] = {{.name = "then_branch", .kind = ATTR_GRAPH, .body = bodies[0]},
                           {.name = "else_branch", .kind = ATTR_GRAPH, .body = bodies[1]}};
    CHECK_OK(graph_add_node(f.graph, NULL,
                            &(struct node_spec){.op_type = "If",
                                                .domain = "",
                                                .version = 13,
                                                .in = &condition,
                                                .in_count = 1,
                                                .out = &y,
                                                .out_count = 1,
                                                .attrs = attrs,
                                                .attr_count = 2},
                            &branch, &f.err),
             &f.err);
    CHECK_OK(graph_add_node(f.graph, NULL,
                            &(struct node_spec){.op_type = "Relu",
                                                .domain = "",
                                                .version = 13,
                                                .in = &x,
                                                .in_count = 1,
                                                .out = &a,
                                                .out_count = 1},
                            &node, &f.err),
             &f.err);
    CHECK_OK(graph_add_output(f.graph, y, &f.err), &f.err);
    CHECK_FAILS(graph_verify(f.graph, &f.err), &f.err, ERR_BAD_MODEL);
    CHECK_OK(graph_sort(f.graph, &f.err), &f.err);
    CHECK(f.graph->last == branch);
    CHECK_OK(graph_verify(f.graph, &f.err), &f.err);
    struct arena *scratch = arena_new(1 << 20);
    char text[64];
    CHECK_OK(infer_annotate(f.graph, scratch, &f.err), &f.err);
    CHECK_TEXT(type_describe(&y->type, f.graph->symbols, text, sizeof text), "f32[batch,3]");
    arena_free(scratch);
    arena_free(f.arena);
}

static bool not_the_first(void *self, const struct use *use) {
    return use->node != self;
}

static void rewriting_keeps_edges(void **state) {
    struct fixture f = start();
    struct value *x = add_input(&f, "x"), *a = unary(&f, "Relu", x, "a"), *copy;
    struct value *b = unary(&f, "Relu", a, "b"), *c = unary(&f, "Relu", a, "c");
    struct node *middle;
    CHECK_OK(graph_add_output(f.graph, b, &f.err), &f.err);
    CHECK_OK(graph_add_output(f.graph, c, &f.err), &f.err);
    /* c reads a through another node, b does not */
    CHECK_OK(graph_split_value(f.graph, a, not_the_first, b->producer, &copy, &f.err), &f.err);
    CHECK_OK(graph_add_node(f.graph, c->producer,
                            &(struct node_spec){.op_type = "Relu",
                                                .domain = "",
                                                .version = 13,
                                                .in = &a,
                                                .in_count = 1,
                                                .out = &copy,
                                                .out_count = 1},
                            &middle, &f.err),
             &f.err);
    CHECK_OK(graph_verify(f.graph, &f.err), &f.err);
    CHECK(c->producer->in[0] == copy && b->producer->in[0] == a);
    CHECK_UINT(a->use_count, 2);
    /* and back again */
    CHECK_OK(graph_replace_value(f.graph, copy, a, &f.err), &f.err);
    CHECK_UINT(graph_remove_dead(f.graph), 1);
    CHECK(middle->dead && copy->dead);
    CHECK_UINT(f.graph->node_count, 3);
    CHECK_OK(graph_verify(f.graph, &f.err), &f.err);
    /* an output that is another value's now */
    CHECK_OK(graph_replace_value(f.graph, c, b, &f.err), &f.err);
    CHECK_UINT(graph_remove_dead(f.graph), 1);
    CHECK(f.graph->outputs[1] == b);
    CHECK_OK(graph_verify(f.graph, &f.err), &f.err);
    arena_free(f.arena);
}

/* What a careless pass would leave behind. */
/* What only a body reads is read. */
static void bodies_keep_what_they_read(void **state) {
    struct fixture f = start();
    struct value *x = add_input(&f, "x"), *a, *b, *y, *outer, *inner;
    struct node *relu, *other, *owner, *reader;
    struct type type = {.dtype = DTYPE_F32};
    struct value *weight;
    CHECK_OK(graph_add_weight(f.graph, "w", 0, &type, &weight, &f.err), &f.err);
    CHECK_OK(graph_add_value(f.graph, "a", &a, &f.err), &f.err);
    CHECK_OK(graph_add_value(f.graph, "b", &b, &f.err), &f.err);
    CHECK_OK(graph_add_value(f.graph, "y", &y, &f.err), &f.err);
    struct node_spec spec = {
        .op_type = "Relu", .domain = "", .version = 13, .in_count = 1, .out_count = 1};
    spec.in = &x;
    spec.out = &a;
    CHECK_OK(graph_add_node(f.graph, NULL, &spec, &relu, &f.err), &f.err);
    spec.out = &b;
    CHECK_OK(graph_add_node(f.graph, NULL, &spec, &other, &f.err), &f.err);
    struct graph *body = graph_new(f.arena, f.graph);
    CHECK_OK(graph_resolve(body, "a", &outer, &f.err), &f.err);
    CHECK_OK(graph_resolve(body, "w", &inner, &f.err), &f.err);
    CHECK_OK(graph_add_value(body, "inner", &inner, &f.err), &f.err);
    spec.in = &outer;
    spec.out = &inner;
    CHECK_OK(graph_add_node(body, NULL, &spec, &reader, &f.err), &f.err);
    struct attr attr = {.name = "body", .kind = ATTR_GRAPH, .body = body};
    spec = (struct node_spec){.op_type = "Keeper",
                              .domain = "x",
                              .version = 1,
                              .out = &y,
                              .out_count = 1,
                              .attrs = &attr,
                              .attr_count = 1};
    CHECK_OK(graph_add_node(f.graph, NULL, &spec, &owner, &f.err), &f.err);
    CHECK_OK(graph_add_output(f.graph, y, &f.err), &f.err);
    CHECK_UINT(graph_remove_dead(f.graph), 1); /* b alone */
    CHECK(!relu->dead && other->dead && !weight->dead);
    CHECK_OK(graph_verify(f.graph, &f.err), &f.err);
    CHECK_OK(graph_replace_value(f.graph, a, x, &f.err), &f.err);
    CHECK(outer->outer == x);
    CHECK_UINT(graph_remove_dead(f.graph), 1);
    CHECK(relu->dead);
    CHECK_OK(graph_verify(f.graph, &f.err), &f.err);
    y->is_output = false;
    f.graph->output_count = 0;
    CHECK_UINT(graph_remove_dead(f.graph), 1); /* the body lets go of what it read */
    CHECK(weight->dead);
    CHECK_UINT(x->body_uses, 0);
    arena_free(f.arena);
}

static void broken_edges_are_named(void **state) {
    struct fixture f = start();
    struct value *x = add_input(&f, "x"), *a = unary(&f, "Relu", x, "a");
    struct value *b = unary(&f, "Relu", a, "b");
    CHECK_OK(graph_add_output(f.graph, b, &f.err), &f.err);
    a->use_count = 0;
    CHECK(graph_verify(f.graph, &f.err) < 0);
    CHECK_TEXT(f.err.text, "Relu 'b': 'a' does not know that it is read here");
    err_clear(&f.err);
    a->use_count = 1;
    a->producer = NULL;
    CHECK(graph_verify(f.graph, &f.err) < 0);
    CHECK_TEXT(f.err.text, "Relu 'a': 'a' is not made where it says");
    arena_free(f.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_whole),
        cmocka_unit_test(names_are_taken_once),
        cmocka_unit_test(unknown_operators_are_carried),
        cmocka_unit_test(the_future_is_carried),
        cmocka_unit_test(a_wrong_arity_is_refused),
        cmocka_unit_test(sorting_is_stable_and_finds_cycles),
        cmocka_unit_test(a_body_waits_for_what_it_reads),
        cmocka_unit_test(rewriting_keeps_edges),
        cmocka_unit_test(bodies_keep_what_they_read),
        cmocka_unit_test(broken_edges_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
