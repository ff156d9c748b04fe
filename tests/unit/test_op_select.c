/* What data selects, against numbers worked out by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void elements_are_selected(void **state) {
    OPCHECK("Compress(axis=1) x:i64[2,3]{1,2,3,4,5,6} c:bool[3]{1,0,1}", 0, 1, 3, 4, 6);
    OPCHECK("Compress x:i64[2,3]{1,2,3,4,5,6} c:bool[4]{0,1,0,1}", 0, 2, 4);
    OPCHECK("NonZero x:i64[2,2]{1,0,3,4}", 0, 0, 1, 1, 0, 0, 1);
    OPCHECK("ReverseSequence x:i64[3,2]{1,2,3,4,5,6} l:i64[2]{3,2}", 0, 5, 4, 3, 2, 1, 6);
    OPCHECK("ReverseSequence(batch_axis=0, time_axis=1) x:i64[2,3]{1,2,3,4,5,6} l:i64[2]{3,0}", 0,
            3, 2, 1, 4, 5, 6);
}

static void what_does_not_fit_is_refused(void **state) {
    opcheck_refused("Compress(axis=0) x:f32[2] c:bool[3]{1,1,0}", ERR_BAD_FIELD,
                    "3 conditions for 2");
    opcheck_refused("ReverseSequence x:f32[3,2] l:i64[2]~(4,4)", ERR_BAD_FIELD,
                    "length 4 at position 0");
    opcheck_refused("ReverseSequence x:f32[3,2] l:i64[3]", ERR_BAD_MODEL, "do not agree");
    opcheck_refused("ReverseSequence(batch_axis=2) x:f32[3,2] l:i64[2]", ERR_BAD_MODEL,
                    "batch_axis is 2");
}

static void symbols_pass(void **state) {
    opcheck_symbolic("Compress x:f32[2,3] c:bool[3]", "f32[?]");
    opcheck_symbolic("NonZero x:f32[2,3]", "i64[2,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_selected),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(symbols_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
