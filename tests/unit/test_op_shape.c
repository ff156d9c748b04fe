/* Shapes against numbers worked out by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void elements_stay(void **state) {
    OPCHECK("Reshape x:i64[2,3]{1,2,3,4,5,6} s:i64[2]{3,-1}", 0, 1, 2, 3, 4, 5, 6);
    opcheck_type("Reshape x:f32[2,3] s:i64[2]{3,-1}", 0, "f32[3,2]");
    opcheck_type("Reshape x:f32[2,3,4] s:i64[3]{0,0,-1}", 0, "f32[2,3,4]");
    opcheck_type("Reshape(allowzero=1) x:f32[0,3] s:i64[2]{5,0}", 0, "f32[5,0]");
    opcheck_type("Flatten(axis=0) x:f32[2,3]", 0, "f32[1,6]");
    opcheck_type("Flatten(axis=-1) x:f32[2,3,4]", 0, "f32[6,4]");
    opcheck_type("Squeeze x:f32[1,3,1]", 0, "f32[3]");
    opcheck_type("Squeeze x:f32[1,3,1] a:i64[1]{-1}", 0, "f32[1,3]");
    opcheck_type("Squeeze@11(axes=[0]) x:f32[1,3,1]", 0, "f32[3,1]");
    opcheck_type("Unsqueeze x:f32[3] a:i64[2]{-1,0}", 0, "f32[1,3,1]");
    OPCHECK("Shape x:f32[2,3,5]", 0, 2, 3, 5);
    OPCHECK("Shape(start=-2, end=-1) x:f32[2,3,5]", 0, 3);
    OPCHECK("Size x:f32[2,3,5]", 0, 30);
    OPCHECK("Dropout x:f32[2]{1.5,-2.0} r:f32[]{0.9}", 0, 1.5, -2);
    opcheck_type("Dropout x:f32[2] -> 2", 1, "bool[2]");
    opcheck_type("Dropout@7 x:f32[2] -> 2", 1, "f32[2]");
}

static void what_does_not_fit_is_refused(void **state) {
    opcheck_refused("Reshape x:f32[2,3] s:i64[2]{4,-1}", ERR_BAD_MODEL, "do not divide");
    opcheck_refused("Reshape x:f32[0,3] s:i64[2]{0,-1}", ERR_BAD_MODEL, "do not divide");
    opcheck_refused("Reshape x:f32[2,3] s:i64[2]{-1,-1}", ERR_BAD_MODEL, "the second -1");
    opcheck_refused("Reshape x:f32[2,3] s:i64[1]{5}", ERR_BAD_MODEL, "do not fit");
    opcheck_refused("Reshape x:f32[2] s:i64[3]{2,1,0}", ERR_BAD_MODEL, "to be kept");
    opcheck_refused("Squeeze x:f32[2,3] a:i64[1]{1}", ERR_BAD_MODEL, "has 3 elements, not 1");
    opcheck_refused("Squeeze x:f32[1,3] a:i64[2]{0,-2}", ERR_BAD_MODEL, "named twice");
    opcheck_refused("Unsqueeze x:f32[3] a:i64[1]{2}", ERR_BAD_MODEL, "axis 2");
    opcheck_refused("Flatten(axis=3) x:f32[2,3]", ERR_BAD_MODEL, "axis 3");
    opcheck_refused("Dropout x:f32[2] r:f32[]{0.5} t:bool[]{1}", ERR_BAD_FIELD, "training_mode");
}

static void symbols_pass(void **state) {
    opcheck_symbolic("Reshape x:f32[2,3] s:i64[3]", "f32");
    opcheck_symbolic("Flatten x:f32[2,3,4]", "f32[?,?]");
    opcheck_symbolic("Unsqueeze@11(axes=[1]) x:f32[2,3]", "f32[?,1,?]");
    opcheck_symbolic("Shape x:f32[2,3]", "i64[2]");
    opcheck_symbolic("Size x:f32[2,3]", "i64[]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_stay),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(symbols_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
