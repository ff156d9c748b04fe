/* Gathering and scattering against numbers worked out by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#define X "x:i64[2,3]{1,2,3,4,5,6} "

static void elements_are_found(void **state) {
    OPCHECK("Gather " X "i:i64[3]{1,-2,0}", 0, 4, 5, 6, 1, 2, 3, 1, 2, 3);
    OPCHECK("Gather(axis=1) " X "i:i32[1,2]{2,-3}", 0, 3, 1, 6, 4);
    opcheck_type("Gather(axis=1) x:f32[2,3,4] i:i64[]{1}", 0, "f32[2,4]");
    opcheck_type("Gather(axis=1) x:f32[2,3,4] i:i64[5,6]{1}", 0, "f32[2,5,6,4]");
    OPCHECK("GatherElements(axis=1) " X "i:i64[2,2]{0,2,-1,1}", 0, 1, 3, 6, 5);
    OPCHECK("GatherElements " X "i:i64[1,3]{1,0,1}", 0, 4, 2, 6);
    OPCHECK("ScatterElements(axis=1) " X "i:i64[1,2]{2,0} u:i64[1,2]{7,8}", 0, 8, 2, 7, 4, 5, 6);
    OPCHECK("Scatter@9 " X "i:i64[1,3]{1,0,1} u:i64[1,3]{7,8,9}", 0, 1, 8, 3, 7, 5, 9);
}

static void several_meet_in_order(void **state) {
#define MEET "x:f32[3]{1,2,3} i:i64[4]{1,1,-1,1} u:f32[4]{10,0.5,-1,4}"
    OPCHECK("ScatterElements " MEET, 0, 1, 4, -1);
    OPCHECK("ScatterElements(reduction='add') " MEET, 0, 1, 16.5, 2);
    OPCHECK("ScatterElements(reduction='mul') " MEET, 0, 1, 40, -3);
    OPCHECK("ScatterElements(reduction='max') " MEET, 0, 1, 10, 3);
    OPCHECK("ScatterElements(reduction='min') " MEET, 0, 1, 0.5, -1);
    OPCHECK("ScatterElements(reduction='add') x:u8[2]{250,1} i:i64[2]{1,1} u:u8[2]{2,3}", 0, 250,
            6);
    OPCHECK("ScatterElements(reduction='mul') x:f16[1]{3.0} i:i64[1]{0} u:f16[1]{1.5}", 0, 4.5);
}

static void indices_are_checked(void **state) {
    opcheck_refused("Gather x:f32[3] i:i64[2]~(3,3)", ERR_BAD_FIELD,
                    "index 3 at position 0 is outside 3 elements");
    opcheck_refused("Gather x:f32[3] i:i64[2]~(-4,-4)", ERR_BAD_FIELD, "index -4");
    opcheck_refused("Gather x:f32[0] i:i64[1]~(0,0)", ERR_BAD_FIELD, "outside 0 elements");
    opcheck_refused("GatherElements x:f32[3] i:i32[1]~(9,9)", ERR_BAD_FIELD, "index 9");
    opcheck_refused("ScatterElements x:f32[3] i:i64[1]~(3,3) u:f32[1]", ERR_BAD_FIELD, "index 3");
    opcheck_refused("GatherElements x:f32[2,2] i:i64[1,3]", ERR_BAD_MODEL, "3 elements in axis 1");
    opcheck_refused("GatherElements x:f32[2,2] i:i64[3]", ERR_BAD_MODEL, "1 dimensions, not 2");
    opcheck_refused("ScatterElements x:f32[3] i:i64[2] u:f32[3]", ERR_BAD_MODEL, "do not agree");
    opcheck_refused("ScatterElements(reduction='xor') x:f32[3] i:i64[1] u:f32[1]", ERR_BAD_MODEL,
                    "reduction is 'xor'");
}

static void symbols_pass(void **state) {
    opcheck_symbolic("Gather(axis=1) x:f32[2,3] i:i64[4,5]", "f32[?,?,?]");
    opcheck_symbolic("GatherElements x:f32[2,3] i:i64[2,3]", "f32[?,?]");
    opcheck_symbolic("ScatterElements x:f32[2,3] i:i64[1,1] u:f32[1,1]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_found),
        cmocka_unit_test(several_meet_in_order),
        cmocka_unit_test(indices_are_checked),
        cmocka_unit_test(symbols_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
