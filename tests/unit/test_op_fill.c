/* Constants and patterns against numbers worked out by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void values_follow(void **state) {
    OPCHECK("Constant(value=i64[2]{3,4})", 0, 3, 4);
    OPCHECK("Constant(value_floats=[0.5,1.5])", 0, 0.5, 1.5);
    opcheck_type("Constant(value_int=7)", 0, "i64[]");
    OPCHECK("ConstantOfShape(value=i64[1]{9}) s:i64[1]{3}", 0, 9, 9, 9);
    opcheck_type("ConstantOfShape s:i64[2]{2,0}", 0, "f32[2,0]");
    OPCHECK("Range a:i64[]{5} b:i64[]{-1} c:i64[]{-2}", 0, 5, 3, 1);
    OPCHECK("Range a:f32[]{1.0} b:f32[]{2.1} c:f32[]{0.5}", 1e-6, 1, 1.5, 2);
    opcheck_type("Range a:i32[]{3} b:i32[]{3} c:i32[]{1}", 0, "i32[0]");
    OPCHECK("EyeLike(k=1) x:f32[2,3]", 0, 0, 1, 0, 0, 0, 1);
    OPCHECK("EyeLike(k=-1, dtype=7) x:f32[2,2]", 0, 0, 0, 1, 0);
    OPCHECK("OneHot i:i64[3]{1,-1,7} d:i64[]{3} v:f32[2]{2,5}", 0, 2, 5, 2, 2, 2, 5, 2, 2, 2);
    OPCHECK("OneHot(axis=0) i:i64[2]{1,0} d:i64[]{2} v:i64[2]{0,1}", 0, 0, 1, 1, 0);
    OPCHECK("Trilu x:f32[2,3]{1,2,3,4,5,6}", 0, 1, 2, 3, 0, 5, 6);
    OPCHECK("Trilu(upper=0) x:f32[2,3]{1,2,3,4,5,6} k:i64[]{1}", 0, 1, 2, 0, 4, 5, 6);
    OPCHECK("Trilu x:f32[2,2]{1,2,3,4} k:i64[]{9223372036854775807}", 0, 0, 0, 0, 0);
}

static void what_makes_no_sense_is_refused(void **state) {
    opcheck_refused("Range a:i64[]{0} b:i64[]{1} c:i64[]{0}", ERR_BAD_MODEL, "number of elements");
    opcheck_refused("Range a:f32[]{0} b:f32[]{inf} c:f32[]{1}", ERR_BAD_MODEL,
                    "number of elements");
    opcheck_refused("ConstantOfShape s:i64[1]{-3}", ERR_BAD_MODEL, "no dimension");
    opcheck_refused("OneHot i:i64[1]{0} d:i64[]{-2} v:f32[2]", ERR_BAD_MODEL, "depth is -2");
    opcheck_refused("Trilu x:f32[3]", ERR_BAD_MODEL, "no matrix");
    opcheck_refused("EyeLike x:f32[3]", ERR_BAD_MODEL, "1 dimensions, not 2");
}

static void symbols_pass(void **state) {
    opcheck_symbolic("ConstantOfShape s:i64[2]", "f32");
    opcheck_symbolic("Range a:i64[] b:i64[] c:i64[]", "i64[?]");
    opcheck_symbolic("OneHot i:i64[3] d:i64[] v:f32[2]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_follow),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(symbols_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
