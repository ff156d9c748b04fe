/* The operator table: no two rows for one operator, and every row complete. */
#include "compress/graph/op.h"

#include "compress/base/arena.h"
#include "tests/support/check.h"

#include <math.h>
#include <string.h>

static void rows_are_complete(void **state) {
    const struct op *op, *other;
    for (size_t i = 0; (op = op_at(i)); i++) {
        CHECK(op->op_type && *op->op_type && op->domain);
        CHECK(op->doc && *op->doc);
        CHECK(op->infer);
        CHECK(op->min_version >= 1 && op->min_version <= op->max_version);
        CHECK(op->min_in <= op->max_in && op->min_out <= op->max_out);
        CHECK((op->backward != NULL) == (op->tolerance > 0));
        CHECK(op->forward || (op->flags & OP_NOT_FOLDED));
        for (size_t j = 0; j < i; j++) {
            other = op_at(j);
            if (strcmp(op->op_type, other->op_type) == 0 && strcmp(op->domain, other->domain) == 0)
                CHECK(op->max_version < other->min_version || other->max_version < op->min_version);
        }
    }
}

static void rows_are_found(void **state) {
    struct arena *arena = arena_new(1 << 20);
    const struct op *op;
    for (size_t i = 0; (op = op_at(i)); i++) {
        const char *why = NULL;
        CHECK(op_find(op->domain, op->op_type, op->min_version, arena, &why) == op);
        CHECK(op_find(op->domain, op->op_type, op->max_version, arena, &why) == op);
    }
    const char *why = NULL;
    CHECK(!op_find("com.example", "Relu", 13, arena, &why));
    CHECK_TEXT(why, "com.example::Relu is not executable");
    arena_free(arena);
}

static void shapes_broadcast(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct symbols symbols;
    symbols_init(&symbols, arena);
    struct node node = {.op_type = "Add", .domain = "", .name = "n"};
    struct op_infer infer = {.node = &node, .symbols = &symbols, .arena = arena};
    struct err err = ERR_INIT;
    uint32_t n = symbols_get(&symbols, "n"), m = symbols_get(&symbols, "m");
    struct type a = {DTYPE_F32, true, 3, {{-1, n}, DIM(1), DIM(4)}};
    struct type b = {DTYPE_F32, true, 2, {DIM(3), {-1, m}}}, c = {0};
    CHECK_OK(op_broadcast(&infer, &a, &b, &c, &err), &err);
    char text[64];
    CHECK_TEXT(type_describe(&c, &symbols, text, sizeof text), "unknown[n,3,4]");
    struct type d = {DTYPE_F32, true, 1, {DIM(5)}}, grown = d,
                of_two = {0, true, 2, {DIM(2), DIM(1)}};
    CHECK_OK(op_broadcast(&infer, &grown, &of_two, &grown, &err), &err); /* in place */
    CHECK_TEXT(type_describe(&grown, &symbols, text, sizeof text), "f32[2,5]");
    CHECK(op_broadcast(&infer, &a, &d, &c, &err) < 0);
    CHECK_HOLDS(err.text, "Add 'n': shapes do not broadcast: 4 against 5 in axis 2");
    err_clear(&err);
    unsigned axis;
    CHECK_OK(op_axis(&node, -1, 3, &axis, &err), &err);
    CHECK_UINT(axis, 2);
    CHECK_FAILS(op_axis(&node, 3, 3, &axis, &err), &err, ERR_BAD_MODEL);
    arena_free(arena);
}

/* A row that knows f32 alone runs on f16 all the same, and is rounded once. */
static void small_floats_are_converted_around(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct graph *graph = graph_new(arena, NULL);
    struct err err = ERR_INIT;
    struct type type = {DTYPE_F16, true, 1, {DIM(3)}};
    struct value *x, *y;
    struct node *node;
    CHECK_OK(graph_add_input(graph, "x", &type, &x, &err), &err);
    CHECK_OK(graph_add_value(graph, "y", &y, &err), &err);
    CHECK_OK(graph_add_node(graph, NULL,
                            &(struct node_spec){.op_type = "Relu",
                                                .domain = "",
                                                .version = 14,
                                                .in = &x,
                                                .in_count = 1,
                                                .out = &y,
                                                .out_count = 1},
                            &node, &err),
             &err);
    uint16_t from[] = {0x3c00, 0xc000, 0x0001}, to[3];
    struct array in = {DTYPE_F16, 1, {3}, 3, from}, out = {DTYPE_F16, 1, {3}, 3, to};
    CHECK_OK(op_run_node(node, (const struct array *[]){&in}, (struct array *[]){&out}, NULL, &err),
             &err);
    CHECK_UINT(to[0], 0x3c00);
    CHECK_UINT(to[1], 0);
    CHECK_UINT(to[2], 1);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_complete),
        cmocka_unit_test(rows_are_found),
        cmocka_unit_test(shapes_broadcast),
        cmocka_unit_test(small_floats_are_converted_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
