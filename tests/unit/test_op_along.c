/* ArgMax, ArgMin, CumSum, TopK by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

#define X " x:f32[2,3]{1.0,-2.0,3.0,4.0,5.0,-6.0}"

static void the_largest_is_found(void **state) {
    OPCHECK("ArgMax(axis=1)" X, 0, 2, 1);
    OPCHECK("ArgMin(axis=0, keepdims=0)" X, 0, 0, 0, 1);
    OPCHECK("ArgMax x:f32[4]{1.0,3.0,3.0,0.0}", 0, 1);
    OPCHECK("ArgMax(select_last_index=1) x:f32[4]{1.0,3.0,3.0,0.0}", 0, 2);
    OPCHECK("ArgMax x:u8[3]{1,200,3}", 0, 1);
    opcheck_refused("ArgMax x:f32[0]", ERR_BAD_MODEL, "axis 0 is empty");
    opcheck_refused("ArgMax(axis=2) x:f32[2]", ERR_BAD_MODEL, "axis 2");
    OPCHECK("ArgMax x:f32[3]{1.0,nan,3.0}", 0, 1);
    OPCHECK("ArgMin x:u64[2]{-1,3}", 0, 1);
    opcheck_type("ArgMax(axis=1, keepdims=0) x:f32[2,3,4]", 0, "i64[2,4]");
    opcheck_symbolic("ArgMax x:f32[2,3]", "i64[1,?]");
}

static void sums_run(void **state) {
    OPCHECK("CumSum" X " a:i64[]{1}", 0, 1, -1, 2, 4, 9, 3);
    OPCHECK("CumSum" X " a:i32[1]{0}", 0, 1, -2, 3, 5, 3, -3);
    OPCHECK("CumSum(exclusive=1) x:i32[4]{1,2,3,4} a:i64[]{0}", 0, 0, 1, 3, 6);
    OPCHECK("CumSum(reverse=1) x:i32[4]{1,2,3,4} a:i64[]{0}", 0, 10, 9, 7, 4);
    OPCHECK("CumSum(reverse=1, exclusive=1) x:i32[4]{1,2,3,4} a:i64[]{0}", 0, 9, 7, 4, 0);
    opcheck_refused("CumSum x:f32[2] a:i64[]{1}", ERR_BAD_MODEL, "axis 1");
    OPCHECK("CumSum x:u8[3]{200,100,1} a:i64[]{0}", 0, 200, 44, 45);
    opcheck_symbolic("CumSum x:f32[2,3] a:i64[]{0}", "f32[?,?]");
}

static void the_best_come_first(void **state) {
    OPCHECK("TopK x:f32[5]{1.0,5.0,3.0,5.0,2.0} k:i64[1]{3} -> 2", 0, 5, 5, 3);
    opcheck_output("TopK x:f32[5]{1.0,5.0,3.0,5.0,2.0} k:i64[1]{3} -> -,1", 1, 0,
                   (const double[]){1, 3, 2}, 3);
    OPCHECK("TopK(largest=0, axis=0) x:i32[3,2]{5,1,4,2,6,3} k:i64[1]{2} -> 2", 0, 4, 1, 5, 2);
    OPCHECK("TopK@9(k=1) x:f32[2,2]{1.0,2.0,4.0,3.0} -> 2", 0, 2, 4);
    opcheck_type("TopK x:f32[2] k:i64[1]{0} -> 2", 1, "i64[0]");
    opcheck_refused("TopK x:f32[2] k:i64[1]{3} -> 2", ERR_BAD_MODEL, "3 of an axis of 2");
    opcheck_refused("TopK x:f32[2] -> 2", ERR_BAD_MODEL, "k is an input");
    OPCHECK("TopK x:f32[3]{1.0,nan,3.0} k:i64[1]{2} -> 2", 0, NAN, 3);
    OPCHECK("TopK x:f32[7]{3.0,1.0,4.0,1.0,5.0,9.0,2.0} k:i64[1]{7} -> 2", 0, 9, 5, 4, 3, 2, 1, 1);
    opcheck_symbolic("TopK x:f32[2,3] k:i64[1] -> 2", "f32[?,?]");
    opcheck_refused("TopK x:f32[2] k:i64[2]{1,1} -> 2", ERR_BAD_MODEL, "not one number");
    opcheck_refused("TopK x:f32[2] k:i64[1]{-1} -> 2", ERR_BAD_MODEL, "-1 of an axis");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_is_found),
        cmocka_unit_test(sums_run),
        cmocka_unit_test(the_best_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
