/* Types and symbols. */
#include "compress/graph/fact.h"

#include "compress/base/arena.h"
#include "tests/support/check.h"

static void symbols_are_equal_by_name(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct symbols s;
    symbols_init(&s, arena);
    uint32_t batch = symbols_get(&s, "batch"), nobody = symbols_get(&s, NULL);
    CHECK(batch != 0 && nobody != 0 && batch != nobody);
    CHECK_UINT(symbols_get(&s, "batch"), batch);
    CHECK(symbols_get(&s, "") != symbols_get(&s, ""));
    struct type type = {DTYPE_F32, true, 3, {{-1, batch}, DIM(4), {-1, nobody}}};
    char text[64];
    CHECK_TEXT(type_describe(&type, &s, text, sizeof text), "f32[batch,4,?]");
    CHECK(!type_known(&type));
    struct array shape;
    CHECK(!type_to_array(&type, &shape));
    type.dims[0] = type.dims[2] = DIM(2);
    CHECK(type_to_array(&type, &shape));
    CHECK_UINT(shape.elements, 16);
    struct type back = type_of_array(&shape);
    CHECK(type_known(&back) && back.rank == 3 && back.dims[1].size == 4);
    arena_free(arena);
}

static void elements_of_facts(void **state) {
    int64_t numbers[] = {3, -1};
    struct array data = {DTYPE_I64, 1, {2}, 2, numbers};
    struct fact whole = {.data = &data};
    struct dim d;
    CHECK(fact_element(&whole, 1, &d));
    CHECK_INT(d.size, -1);
    CHECK(!fact_element(&whole, 2, &d));
    struct dim parts[] = {{-1, 7}, DIM(5)};
    struct fact partly = {.partial = parts};
    CHECK(fact_element(&partly, 0, &d) && d.symbol == 7);
    struct fact nothing = {0};
    CHECK(!fact_element(&nothing, 0, &d));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbols_are_equal_by_name),
        cmocka_unit_test(elements_of_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
