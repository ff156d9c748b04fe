/* Matrix products against PyTorch 2.13, and what they refuse. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void multiplies(void **state) {
    OPCHECK("MatMul a:f32[2,1,2,3]{0,0.5,-2,0.5,1.5,-1.5,-1,0.5,2,-2,-1,-0.5} "
            "b:f32[2,3,2]{-1.5,2,0,-2,-0.5,1,-1,1.5,1,1,2,1.5}",
            1e-5, 1, -3, 0, -3.5, -3.5, -2.5, -2, 0, 0.5, -1, 3.25, -2.5, 5.5, 2, 0, -4.75);
    OPCHECK("MatMul a:f32[3]{1,-2,1.5} b:f32[2,3,2]{-1.5,2,0,-2,-0.5,1,-1,1.5,1,1,2,1.5}", 1e-5,
            -2.25, 7.5, 0, 1.75);
    OPCHECK("MatMul a:f32[2,2,3]{-1.5,0,-0.5,2,-2,1,-1,1,2,1.5,1,1.5} b:f32[3]{1,-2,1.5}", 1e-5,
            -2.25, 7.5, 0, 1.75);
    OPCHECK("MatMul a:i64[1,2]{3,-4} b:i64[2,1]{5,6}", 0, -9);
    OPCHECK("MatMul a:i32[2]{65536,1} b:i32[2]{65536,7}", 0, 7); /* wraps */
}

static void multiplies_and_adds(void **state) {
    OPCHECK("Gemm(transA=1, transB=1, alpha=0.5, beta=2.0) a:f32[3,2]{2,2,0,0.5,-1,1} "
            "b:f32[2,3]{1,1.5,1,2,1,-1} c:f32[2,1]{-1,1}",
            1e-5, -1.5, 0.5, 3.875, 3.75);
    OPCHECK("com.microsoft::FusedMatMul(transB=1, alpha=3.0) "
            "a:f32[2,2,3]{0,0.5,-2,0.5,1.5,-1.5,-1,0.5,2,-2,-1,-0.5} "
            "b:f32[2,2,3]{-1.5,0,-0.5,2,-2,1,-1,1,2,1.5,1,1.5}",
            1e-5, 3, -9, 0, -10.5, 16.5, 6, 0, -14.25);
}

static void refuses(void **state) {
    opcheck_refused("MatMul f32[2,3] f32[2,3]", ERR_BAD_MODEL, "inner sizes differ: 3 and 2");
    opcheck_refused("MatMul f32[2,3,4] f32[3,4,2]", ERR_BAD_MODEL, "broadcast");
    opcheck_refused("MatMul f32[] f32[2]", ERR_BAD_MODEL, "scalar");
    opcheck_refused("MatMul bool[2] bool[2]", ERR_BAD_MODEL, "no products of bool");
    opcheck_refused("MatMul f32[2] i32[2]", ERR_BAD_MODEL, "f32 times i32");
    opcheck_refused("Gemm f32[2,3] f32[3,4] f32[3]", ERR_BAD_MODEL, "broadcast");
    opcheck_refused("Gemm f32[2,3] f32[3,4] f32[5,1,4]", ERR_BAD_MODEL, "third input");
    opcheck_refused("Gemm f32[2,3,1] f32[3,4]", ERR_BAD_MODEL, "rank 3");
    opcheck_refused("com.microsoft::FusedMatMul(transBatchA=1) f32[2,3] f32[3,4]", ERR_UNSUPPORTED,
                    "transposed batches");
}

static void infers(void **state) {
    opcheck_symbolic("MatMul f32[2,3,4] f32[4,5]", "f32[?,?,?]");
    opcheck_symbolic("Gemm f32[3,4] f32[4,5]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiplies),
        cmocka_unit_test(multiplies_and_adds),
        cmocka_unit_test(refuses),
        cmocka_unit_test(infers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
