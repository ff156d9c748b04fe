/* Padding against numbers worked out by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#define X "x:i64[3]{1,2,3} "

static void elements_surround(void **state) {
    OPCHECK("Pad " X "p:i64[2]{2,1} v:i64[]{9}", 0, 9, 9, 1, 2, 3, 9);
    OPCHECK("Pad(mode='reflect') " X "p:i64[2]{2,2}", 0, 3, 2, 1, 2, 3, 2, 1);
    OPCHECK("Pad(mode='reflect') " X "p:i64[2]{5,0}", 0, 2, 1, 2, 3, 2, 1, 2, 3);
    OPCHECK("Pad(mode='edge') " X "p:i64[2]{2,1}", 0, 1, 1, 1, 2, 3, 3);
    OPCHECK("Pad(mode='wrap') " X "p:i64[2]{2,4}", 0, 2, 3, 1, 2, 3, 1, 2, 3, 1);
    OPCHECK("Pad " X "p:i64[2]{-1,1}", 0, 2, 3, 0);
    OPCHECK("Pad(mode='edge') " X "p:i64[2]{-2,2}", 0, 3, 3, 3);
    OPCHECK("Pad x:i64[1,2]{1,2} p:i64[2]{1,0} v:i64[]{7} a:i64[1]{-1}", 0, 7, 1, 2);
    OPCHECK("Pad@2(pads=[0,1,1,0], value=0.5) x:f32[1,2]{1,2}", 0, 0.5, 1, 2, 0.5, 0.5, 0.5);
    OPCHECK("Pad(mode='reflect') x:i64[2,2]{1,2,3,4} p:i64[4]{1,1,0,0}", 0, 4, 3, 4, 2, 1, 2, 4, 3,
            4);
    OPCHECK("Pad x:f32[0] p:i64[2]{1,1} v:f32[]{3}", 0, 3, 3);
}

static void what_does_not_fit_is_refused(void **state) {
    opcheck_refused("Pad " X "p:i64[2]{-2,-2}", ERR_BAD_MODEL, "-1 elements");
    opcheck_refused("Pad " X "p:i64[3]{1,2,3}", ERR_BAD_MODEL, "3 pads for 1 axes");
    opcheck_refused("Pad(mode='edge') x:f32[0] p:i64[2]{1,1}", ERR_BAD_FIELD, "axis 0 is empty");
    opcheck_refused("Pad(mode='mirror') " X "p:i64[2]{1,1}", ERR_BAD_MODEL, "mode is 'mirror'");
    opcheck_refused("Pad@18(mode='wrap') " X "p:i64[2]{1,1}", ERR_BAD_MODEL, "mode is 'wrap'");
    opcheck_refused("Pad x:f32[2,2] p:i64[4]{1,1,1,1} - a:i64[2]{0,-2}", ERR_BAD_MODEL,
                    "named twice");
}

static void symbols_pass(void **state) {
    opcheck_symbolic("Pad x:f32[2,3] p:i64[4]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_surround),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(symbols_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
