/* Conversions by hand, and shapes that go through them. */
#include "compress/base/arena.h"
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

static void numbers_are_converted(void **state) {
    OPCHECK("Cast(to=6) x:f32[4]{1.9,-1.9,0.0,100.0}", 0, 1, -1, 0, 100);
    OPCHECK("Cast(to=9) x:f32[3]{0.0,0.5,nan}", 0, 0, 1, 1);
    OPCHECK("Cast(to=1) x:bool[2]{0,1}", 0, 0, 1);
    OPCHECK("Cast(to=2) x:i32[2]{255,257}", 0, 255, 1);
    OPCHECK("Cast(to=10) x:f32[2]{0.1,70000.0}", 0, 0.0999755859375, INFINITY);
    OPCHECK("Cast(to=16) x:f32[1]{1.00390625}", 0, 1);
    OPCHECK("Cast(to=1) x:u64[1]{-1}", 0, 0x1p64);
    OPCHECK("Cast(to=17) x:f32[2]{1000.0,-0.3}", 0, 448, -0.3125);
    OPCHECK("Cast(to=17, saturate=0) x:f32[1]{1000.0}", 0, NAN);
    OPCHECK("Cast(to=19, saturate=0) x:f32[1]{100000.0}", 0, INFINITY);
    OPCHECK("Cast(to=22) x:i32[2]{7,-8}", 0, 7, -8);
    OPCHECK("CastLike x:f32[2]{1.5,-2.5} like:i64[1]", 0, 1, -2);
    opcheck_type("Cast(to=16) x:f32[2,3]", 0, "bf16[2,3]");
    opcheck_type("CastLike x:i32[2,3] like:f16[]", 0, "f16[2,3]");
    opcheck_symbolic("Cast(to=7) x:f32[2,3]", "i64[?,?]");
}

static void types_that_are_no_numbers_are_refused(void **state) {
    opcheck_refused("Cast x:f32[2]", ERR_BAD_MODEL, "does not say");
    opcheck_refused("Cast(to=8) x:f32[2]", ERR_UNSUPPORTED, "Cast to string");
    opcheck_refused("Cast(to=99) x:f32[2]", ERR_UNSUPPORTED, "type 99");
}

static void symbols_survive(void **state) {
    struct opcase c;
    struct err err = ERR_INIT;
    CHECK_OK(opcase_new("Cast(to=6) x:i64[2]", 1, &c, &err), &err);
    uint32_t batch = symbols_get(c.graph->symbols, "batch");
    const struct dim dims[2] = {{-1, batch}, DIM(259)};
    struct fact x = {.type = type_of_array(c.in[0]), .partial = dims}, y = {0};
    struct op_infer infer = {c.node, c.graph->symbols, c.arena, (const struct fact *[]){&x}, &y};
    CHECK_OK(op_infer_node(&infer, &err), &err);
    CHECK(y.partial);
    CHECK_UINT(y.partial[0].symbol, batch);
    CHECK_INT(y.partial[1].size, 259);
    opcase_free(&c);
    CHECK_OK(opcase_new("Cast(to=1) x:i64[2]", 1, &c, &err), &err);
    infer = (struct op_infer){c.node, c.graph->symbols, c.arena, (const struct fact *[]){&x}, &y};
    y = (struct fact){0};
    CHECK_OK(op_infer_node(&infer, &err), &err);
    CHECK(!y.partial);
    opcase_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_converted),
        cmocka_unit_test(types_that_are_no_numbers_are_refused),
        cmocka_unit_test(symbols_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
