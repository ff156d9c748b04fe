/* Slices at index tuples against numbers worked out by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#define X "x:i64[2,3]{1,2,3,4,5,6} "

static void slices_are_found(void **state) {
    OPCHECK("GatherND " X "i:i64[2,2]{0,2,-1,0}", 0, 3, 4);
    OPCHECK("GatherND " X "i:i64[2,1]{1,0}", 0, 4, 5, 6, 1, 2, 3);
    OPCHECK("GatherND(batch_dims=1) " X "i:i64[2,1]{1,-1}", 0, 2, 6);
    opcheck_type("GatherND x:f32[3,4,5] i:i64[7,2,1]{0}", 0, "f32[7,2,4,5]");
    OPCHECK("ScatterND " X "i:i64[1,1]{1} u:i64[1,3]{7,8,9}", 0, 1, 2, 3, 7, 8, 9);
    OPCHECK("ScatterND(reduction='add') " X "i:i64[2,2]{0,0,0,-3} u:i64[2]{10,20}", 0, 31, 2, 3, 4,
            5, 6);
    OPCHECK("ScatterND(reduction='max') " X "i:i64[1,1]{0} u:i64[1,3]{0,9,3}", 0, 1, 9, 3, 4, 5, 6);
}

static void indices_are_checked(void **state) {
    opcheck_refused("GatherND x:f32[2,3] i:i64[1,2]~(2,2)", ERR_BAD_FIELD,
                    "index 2 at position 0 is outside 2 elements");
    opcheck_refused("ScatterND x:f32[2,3] i:i64[1,1]~(-3,-3) u:f32[1,3]", ERR_BAD_FIELD,
                    "index -3");
    opcheck_refused("GatherND x:f32[2,3] i:i64[1,3]", ERR_BAD_MODEL, "index tuples of 3");
    opcheck_refused("GatherND(batch_dims=2) x:f32[2,3] i:i64[2,3,1]", ERR_BAD_MODEL, "batch axes");
    opcheck_refused("ScatterND x:f32[2,3] i:i64[1,1] u:f32[1,2]", ERR_BAD_MODEL, "do not agree");
}

static void symbols_pass(void **state) {
    opcheck_symbolic("ScatterND x:f32[2,3] i:i64[1,1] u:f32[1,3]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_found),
        cmocka_unit_test(indices_are_checked),
        cmocka_unit_test(symbols_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
