/* Reductions by hand: axes of both kinds, empty sets, integers, ties. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

#define X " x:f32[2,3]{1.0,-2.0,3.0,4.0,5.0,-6.0}"

static void every_kind(void **state) {
    const double e = 1e-6;
    OPCHECK("ReduceSum" X " a:i64[1]{1}", 0, 2, 3);
    OPCHECK("ReduceSum" X " a:i64[1]{0}", 0, 5, 3, -3);
    OPCHECK("ReduceSum" X, 0, 5);
    OPCHECK("ReduceMean" X " a:i64[1]{-1}", e, 2. / 3, 1);
    OPCHECK("ReduceMax" X " a:i64[1]{1}", 0, 3, 5);
    OPCHECK("ReduceMin" X " a:i64[1]{0}", 0, 1, -2, -6);
    OPCHECK("ReduceProd" X " a:i64[1]{1}", 0, -6, -120);
    OPCHECK("ReduceL1" X " a:i64[1]{1}", 0, 6, 15);
    OPCHECK("ReduceL2" X " a:i64[1]{1}", e, sqrt(14), sqrt(77));
    OPCHECK("ReduceSumSquare" X " a:i64[1]{1}", 0, 14, 77);
    OPCHECK("ReduceLogSum" X " a:i64[1]{1}", e, log(2), log(3));
    OPCHECK("ReduceLogSumExp" X " a:i64[1]{1}", e, log(exp(1) + exp(-2) + exp(3)),
            log(exp(4) + exp(5) + exp(-6)));
    OPCHECK("ReduceLogSumExp x:f32[3]{1000.0,1000.0,-inf}", e, 1000 + log(2));
    OPCHECK("ReduceLogSumExp x:f32[2]{-inf,-inf}", 0, -INFINITY);
}

static void axes_and_shapes(void **state) {
    opcheck_type("ReduceSum x:f32[2,3,4] a:i64[2]{0,-1}", 0, "f32[1,3,1]");
    opcheck_type("ReduceSum(keepdims=0) x:f32[2,3,4] a:i64[2]{0,-1}", 0, "f32[3]");
    opcheck_type("ReduceSum(keepdims=0) x:f32[2,3,4]", 0, "f32[]");
    opcheck_type("ReduceSum(noop_with_empty_axes=1) x:f32[2,3]", 0, "f32[2,3]");
    opcheck_type("ReduceSum(keepdims=0) x:f32[2,3] a:i64[0]{}", 0, "f32[]");
    opcheck_type("ReduceMax@13(axes=[1], keepdims=0) x:f32[2,3]", 0, "f32[2]");
    OPCHECK("ReduceSum x:f32[2,2,2]{1,2,3,4,5,6,7,8} a:i64[2]{0,2}", 0, 14, 22);
    OPCHECK("ReduceSum x:f32[2,2,2]{1,2,3,4,5,6,7,8} a:i64[1]{1}", 0, 4, 6, 12, 14);
    opcheck_refused("ReduceSum x:f32[2] a:i64[1]{1}", ERR_BAD_MODEL, "axis 1");
    opcheck_refused("ReduceSum@11 x:f32[2] a:i64[1]{0}", ERR_BAD_MODEL, "attribute");
    opcheck_refused("ReduceMean x:f32[2] a:i32[1]{0}", ERR_BAD_MODEL, "axes are i32");
    opcheck_symbolic("ReduceSum(keepdims=1) x:f32[2,3] a:i64[1]{0}", "f32[?,?]");
    opcheck_symbolic("ReduceSum@11(axes=[1]) x:f32[2,3]", "f32[?,1]");
}

static void empty_sets(void **state) {
    OPCHECK("ReduceSum x:f32[2,0] a:i64[1]{1}", 0, 0, 0);
    OPCHECK("ReduceProd x:f32[2,0] a:i64[1]{1}", 0, 1, 1);
    OPCHECK("ReduceMax x:f32[1,0] a:i64[1]{1}", 0, -INFINITY);
    OPCHECK("ReduceMin x:i32[1,0] a:i64[1]{1}", 0, INT32_MAX);
    OPCHECK("ReduceMax x:i8[1,0] a:i64[1]{1}", 0, -128);
    OPCHECK("ReduceLogSumExp x:f32[1,0] a:i64[1]{1}", 0, -INFINITY);
    OPCHECK("ReduceLogSum x:f32[1,0] a:i64[1]{1}", 0, -INFINITY);
    OPCHECK("ReduceMean x:f32[1,0] a:i64[1]{1}", 0, NAN);
    opcheck_type("ReduceSum x:f32[0,3] a:i64[1]{1}", 0, "f32[0,1]");
}

static void integers(void **state) {
    OPCHECK("ReduceSum x:i32[2,2]{1,2,3,-4} a:i64[1]{1}", 0, 3, -1);
    OPCHECK("ReduceMean x:i32[1,3]{1,2,5} a:i64[1]{1}", 0, 2);
    OPCHECK("ReduceMax x:u8[1,3]{1,200,5} a:i64[1]{1}", 0, 200);
    OPCHECK("ReduceMax x:bool[2,2]{0,1,0,0} a:i64[1]{1}", 0, 1, 0);
    OPCHECK("ReduceL1 x:i32[2]{-3,4}", 0, 7);
    OPCHECK("ReduceL2 x:i32[2]{-3,4}", 0, 5);
    OPCHECK("ReduceSum x:u64[2]{-1,2}", 0, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind),
        cmocka_unit_test(axes_and_shapes),
        cmocka_unit_test(empty_sets),
        cmocka_unit_test(integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
