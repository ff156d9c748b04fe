/* Cutting and joining against numbers worked out by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#define X "x:i64[5]{10,11,12,13,14} "

static void parts_are_cut(void **state) {
    OPCHECK("Slice " X "s:i64[1]{1} e:i64[1]{-1}", 0, 11, 12, 13);
    OPCHECK("Slice " X "s:i64[1]{-1} e:i64[1]{-99} - st:i64[1]{-2}", 0, 14, 12, 10);
    OPCHECK("Slice " X "s:i64[1]{3} e:i64[1]{0} a:i64[1]{0} st:i64[1]{-1}", 0, 13, 12, 11);
    OPCHECK("Slice " X "s:i64[1]{0} e:i64[1]{99} a:i64[1]{-1} st:i64[1]{3}", 0, 10, 13);
    opcheck_type("Slice " X "s:i64[1]{4} e:i64[1]{2}", 0, "i64[0]");
    OPCHECK("Slice@9(starts=[1,0], ends=[2,1], axes=[1,0]) x:i64[2,2]{1,2,3,4}", 0, 2);
    opcheck_type("Split(num_outputs=3) x:f32[7] -> 3", 2, "f32[1]");
    opcheck_type("Split(axis=-1) x:f32[2,5] s:i64[2]{2,3} -> 2", 1, "f32[2,3]");
    OPCHECK("Split x:i64[4]{1,2,3,4} s:i64[2]{3,1} -> 2", 0, 1, 2, 3);
    OPCHECK("Concat(axis=1) a:i64[2,1]{1,2} b:i64[2,2]{3,4,5,6}", 0, 1, 3, 4, 2, 5, 6);
}

static void what_does_not_fit_is_refused(void **state) {
    opcheck_refused("Slice " X "s:i64[1]{0} e:i64[1]{1} - st:i64[1]{0}", ERR_BAD_MODEL,
                    "a step is 0");
    opcheck_refused("Slice " X "s:i64[2]{0,1} e:i64[2]{1,2}", ERR_BAD_MODEL, "for a rank of 1");
    opcheck_refused("Slice x:f32[2,2] s:i64[2]{0,1} e:i64[2]{1,2} a:i64[2]{0,-2}", ERR_BAD_MODEL,
                    "named twice");
    opcheck_refused("Split@13 x:f32[5] -> 2", ERR_BAD_MODEL, "do not divide");
    opcheck_refused("Split x:f32[5] s:i64[2]{2,2} -> 2", ERR_BAD_MODEL, "4 elements together");
    opcheck_refused("Split x:f32[5] s:i64[2]{6,-1} -> 2", ERR_BAD_MODEL, "-1 elements");
    opcheck_refused("Split x:f32[5] s:i64[3]{2,2,1} -> 2", ERR_BAD_MODEL, "3 sizes for 2");
    opcheck_refused("Concat(axis=0) a:f32[2,3] b:f32[2,4]", ERR_BAD_MODEL, "do not agree: 3 and 4");
    opcheck_refused("Concat(axis=2) a:f32[2,3] b:f32[2,3]", ERR_BAD_MODEL, "axis 2");
    opcheck_refused("Concat(axis=0) a:f32[2,3] b:f32[2]", ERR_BAD_MODEL, "1 dimensions, not 2");
}

static void symbols_pass(void **state) {
    opcheck_symbolic("Slice x:f32[4,3] s:i64[1] e:i64[1]", "f32[?,?]");
    opcheck_symbolic("Concat(axis=0) a:f32[2,3] b:f32[2,3]", "f32[?,?]");
    opcheck_symbolic("Split@13(axis=1) x:f32[2,4] -> 2", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_cut),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(symbols_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
