/* What inference follows through the shape arithmetic of exported models. */
#include "compress/graph/content.h"

#include "compress/base/arena.h"
#include "compress/graph/infer.h"
#include "tests/support/check.h"

#include <string.h>

struct bench {
    struct arena *arena;
    struct graph *graph;
    struct err err;
};

static struct bench bench_new(void) {
    struct bench b = {.arena = arena_new(1 << 22), .err = ERR_INIT};
    b.graph = graph_new(b.arena, NULL);
    assert_non_null(b.graph);
    return b;
}

static struct value *input(struct bench *b, const char *name, struct type type) {
    struct value *value;
    CHECK_OK(graph_add_input(b->graph, name, &type, &value, &b->err), &b->err);
    return value;
}

static struct value *ints(struct bench *b, size_t count, const int64_t *numbers) {
    const uint64_t dims[] = {count};
    struct array *array = array_in_arena(b->arena, DTYPE_I64, 1, dims);
    struct value *value;
    assert_non_null(array);
    memcpy(array->data, numbers, count * sizeof *numbers);
    CHECK_OK(graph_add_constant(b->graph, NULL, array, &value, &b->err), &b->err);
    return value;
}

#define INTS(b, ...) \
    ints((b), sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[]){__VA_ARGS__})

/* A node of up to three inputs, its first output. */
static struct value *add(struct bench *b, const char *op_type, int64_t axis, struct value *x,
                         struct value *y, struct value *z) {
    struct value *in[] = {x, y, z}, *out;
    struct attr attr = {.name = "axis", .kind = ATTR_INT, .i = axis};
    struct node *node;
    CHECK_OK(graph_add_value(b->graph, NULL, &out, &b->err), &b->err);
    struct node_spec spec = {.op_type = op_type,
                             .domain = "",
                             .version = 21,
                             .in = in,
                             .in_count = z   ? 3
                                         : y ? 2
                                             : 1,
                             .out = &out,
                             .out_count = 1,
                             .attrs = &attr,
                             .attr_count = 1};
    CHECK_OK(graph_add_node(b->graph, NULL, &spec, &node, &b->err), &b->err);
    assert_non_null(node->op);
    return out;
}

static void infers(struct bench *b, struct value *value, const char *want) {
    struct fact *facts;
    char text[128];
    CHECK_OK(graph_add_output(b->graph, value, &b->err), &b->err);
    CHECK_OK(infer_graph(b->graph, NULL, 0, b->arena, &facts, &b->err), &b->err);
    CHECK_TEXT(type_describe(&facts[value->id].type, b->graph->symbols, text, sizeof text), want);
    arena_free(b->arena);
}

static struct type batch_of(struct bench *b) {
    struct dim batch = {-1, symbols_get(b->graph->symbols, "batch")};
    struct dim seq = {-1, symbols_get(b->graph->symbols, "seq")};
    return (struct type){DTYPE_F32, true, 3, {batch, seq, DIM(64)}};
}

/* Heads of an attention: Reshape(x, Concat(Slice(Shape(x)), [8, -1])). */
static void shapes_are_taken_apart_and_joined(void **state) {
    struct bench b = bench_new();
    struct value *x = input(&b, "x", batch_of(&b));
    struct value *shape = add(&b, "Shape", 0, x, NULL, NULL);
    struct value *front = add(&b, "Slice", 0, shape, INTS(&b, 0), INTS(&b, 2));
    struct value *to = add(&b, "Concat", 0, front, INTS(&b, 8, -1), NULL);
    infers(&b, add(&b, "Reshape", 0, x, to, NULL), "f32[batch,seq,8,8]");
}

/* One dimension at a time: Concat(Unsqueeze(Gather(Shape(x), 1)), [-1]), squeezed in between. */
static void single_dimensions_are_followed(void **state) {
    struct bench b = bench_new();
    struct value *x = input(&b, "x", batch_of(&b));
    struct value *shape = add(&b, "Identity", 0, add(&b, "Shape", 0, x, NULL, NULL), NULL, NULL);
    struct value *one = add(&b, "Gather", 0, shape, INTS(&b, 1), NULL);
    struct value *scalar = add(&b, "Squeeze", 0, one, INTS(&b, 0), NULL);
    struct value *again = add(&b, "Unsqueeze", 0, scalar, INTS(&b, 0), NULL);
    struct value *to = add(&b, "Concat", 0, again, INTS(&b, -1), NULL);
    /* batch * 64 elements remain: nobody's name */
    infers(&b, add(&b, "Reshape", 0, x, to, NULL), "f32[seq,?]");
}

static void what_remains_is_a_symbol_too(void **state) {
    struct bench b = bench_new();
    struct value *x = input(&b, "x", batch_of(&b));
    struct value *shape = add(&b, "Shape", 0, x, NULL, NULL);
    struct value *seq = add(&b, "Slice", 0, shape, INTS(&b, 1), INTS(&b, 2));
    struct value *to = add(&b, "Concat", 0, INTS(&b, -1), seq, INTS(&b, 64));
    infers(&b, add(&b, "Reshape", 0, x, to, NULL), "f32[batch,seq,64]");
}

static void known_shapes_become_constants(void **state) {
    struct bench b = bench_new();
    struct type type = {DTYPE_F32, true, 2, {DIM(3), DIM(5)}};
    struct value *shape = add(&b, "Shape", 0, input(&b, "x", type), NULL, NULL);
    infers(&b, add(&b, "ConstantOfShape", 0, shape, NULL, NULL), "f32[3,5]");
}

static void dimensions_are_computed(void **state) {
    struct bench b = bench_new();
    struct node node = {.op_type = "Test", .domain = "", .name = ""};
    struct op_infer infer = {.node = &node, .symbols = b.graph->symbols, .arena = b.arena};
    struct dim n = {-1, symbols_get(b.graph->symbols, "n")}, d;
    CHECK_OK(content_product(&infer, (struct dim[]){DIM(3), DIM(5)}, 2, &d, &b.err), &b.err);
    CHECK(dim_same(d, DIM(15)));
    CHECK_OK(content_product(&infer, (struct dim[]){DIM(1), n}, 2, &d, &b.err), &b.err);
    CHECK(dim_same(d, n));
    CHECK_OK(content_product(&infer, (struct dim[]){DIM(0), n}, 2, &d, &b.err), &b.err);
    CHECK(dim_same(d, DIM(0)));
    CHECK_OK(content_product(&infer, (struct dim[]){n, n}, 2, &d, &b.err), &b.err);
    CHECK(!dim_known(d) && !dim_same(d, n));
    CHECK_FAILS(content_product(&infer, (struct dim[]){DIM(INT64_MAX), DIM(2)}, 2, &d, &b.err),
                &b.err, ERR_BAD_MODEL);
    CHECK_OK(content_sum(&infer, n, DIM(0), &d, &b.err), &b.err);
    CHECK(dim_same(d, n));
    CHECK_FAILS(content_sum(&infer, DIM(INT64_MAX), DIM(1), &d, &b.err), &b.err, ERR_BAD_MODEL);
    CHECK_OK(content_agree(&infer, n, DIM(4), "sizes", &d, &b.err), &b.err);
    CHECK(dim_same(d, DIM(4)));
    CHECK_FAILS(content_agree(&infer, DIM(3), DIM(4), "sizes", &d, &b.err), &b.err, ERR_BAD_MODEL);

    /* more elements than are followed, and types that are no integers, are left alone */
    struct fact fact = {.type = {DTYPE_F32, true, 1, {DIM(1)}}};
    CHECK_OK(content_set(&infer, &fact, &n, 1, &b.err), &b.err);
    CHECK(!fact.data && !fact.partial);
    fact.type.dtype = DTYPE_I64;
    CHECK_OK(content_set(&infer, &fact, &n, 1, &b.err), &b.err);
    CHECK(!fact.data && fact.partial && dim_same(fact.partial[0], n));
    struct dim read[2];
    int64_t numbers[2];
    size_t count;
    CHECK(content_read(&fact, read, 2, &count));
    CHECK_UINT(count, 1);
    CHECK(!content_ints(&fact, numbers, 2, &count));
    CHECK(!content_read(&fact, read, 0, &count));
    arena_free(b.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_are_taken_apart_and_joined),
        cmocka_unit_test(single_dimensions_are_followed),
        cmocka_unit_test(what_remains_is_a_symbol_too),
        cmocka_unit_test(known_shapes_become_constants),
        cmocka_unit_test(dimensions_are_computed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
