/* Einsum against PyTorch 2.13: batches, permuted outputs, diagonals, sums, an ellipsis, one and
 * three inputs; and what is refused. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void contracts(void **state) {
    OPCHECK("Einsum(equation='bij,bjk->bik') a:f32[2,2,3]{2,0,0,1,-3,3,-1,1,2,-3,3,3} "
            "b:f32[2,3,2]{-3,3,3,-1,3,2,3,2,3,3,2,-3}",
            1e-6, -6, 6, -3, 12, 4, -5, 6, -6);
    OPCHECK("Einsum(equation='ij,jk->ki') a:f32[2,3]{-1,-1,1,2,2,-1} b:f32[3,2]{1,-2,-1,2,0,2}",
            1e-6, 0, 0, 2, -2);
    OPCHECK("Einsum(equation='bihd,bjhd->bhij') a:f32[1,2,2,3]{3,-1,1,1,1,-1,-2,1,-3,2,3,3} "
            "b:f32[1,2,2,3]{-2,-1,1,0,0,-3,-2,2,3,3,3,-2}",
            1e-6, -4, -5, 0, -3, 3, 8, -9, 9);
    OPCHECK("Einsum(equation='bhij,bhjd->bihd') a:f32[1,2,2,2]{-2,-3,3,-3,-3,-1,2,3} "
            "b:f32[1,2,2,2]{0,-1,1,3,1,2,-2,0}",
            1e-6, -3, -7, -1, -6, -3, -12, -4, 4);
    OPCHECK("Einsum(equation='ijk,jl->kli') a:f32[2,2,2]{-3,1,-1,0,-3,2,0,3} b:f32[2,2]{2,-1,1,2}",
            1e-6, -7, -6, 1, 3, 2, 7, -1, 4);
    OPCHECK("Einsum(equation='ijk,kj->i') a:f32[2,2,3]{3,-2,-2,3,0,3,-2,-1,2,-3,0,3} "
            "b:f32[3,2]{-2,0,1,0,2,1}",
            1e-6, -9, 10);
    OPCHECK("Einsum(equation='ii->i') a:f32[3,3]{-2,2,-2,-2,-1,-3,1,2,2}", 1e-6, -2, -1, 2);
    OPCHECK("Einsum(equation='ii,ij->j') a:f32[2,2]{0,2,0,3} b:f32[2,3]{0,-2,-1,-1,2,0}", 1e-6, -3,
            6, 0);
    OPCHECK("Einsum(equation='ij,k->i') a:f32[2,2]{-3,-1,-1,-3} b:f32[3]{-2,2,0}", 1e-6, -0, -0);
    OPCHECK("Einsum(equation='ij,jk,kl->il') a:f32[2,2]{-1,-3,-1,-2} b:f32[2,3]{2,0,3,1,3,-1} "
            "c:f32[3,2]{-1,-3,-3,3,0,-1}",
            1e-6, 32, -12, 22, -5);
    OPCHECK("Einsum(equation='...i,...i->...') a:f32[2,3,2]{2,1,0,-3,-1,2,0,-3,2,-1,2,-2} "
            "b:f32[3,2]{-1,2,-2,0,-3,-3}",
            1e-6, 0, 0, -3, -6, -4, 0);
    OPCHECK("Einsum(equation='ab...,b...c->...ca') a:f32[2,2,3]{3,1,-3,-2,-2,0,2,1,0,-1,1,3} "
            "b:f32[2,3,2]{-3,-3,2,-3,-2,0,2,0,0,2,-1,2}",
            1e-6, -13, -8, -9, -6, 2, 2, -7, -1, 6, -3, 0, 6);
    OPCHECK("Einsum(equation='bc,ab') a:f32[2,3]{-2,2,-2,-3,2,3} b:f32[2,2]{-3,-1,-2,2}", 1e-6, 9,
            -8, 3, -2, 0, 10);
    OPCHECK("Einsum(equation='ij->') a:f32[2,3]{-1,-2,3,1,2,1}", 1e-6, 4);
}

static void shapes(void **state) {
    opcheck_type("Einsum(equation='bi , b j') a:f32[2,3] b:f32[2,4]", 0, "f32[3,4]");
    opcheck_type("Einsum(equation='aB,B...->...') a:f32[2,3] b:f32[3,4,5]", 0, "f32[4,5]");
    opcheck_symbolic("Einsum(equation='ij,jk->ik') a:f32[2,3] b:f32[3,4]", "f32[?,?]");
}

static void refuses(void **state) {
    opcheck_refused("Einsum(equation='ij,jk->ik') f32[2,3] f32[4,5]", ERR_BAD_MODEL, "broadcast");
    opcheck_refused("Einsum(equation='ij->ik') f32[2,3]", ERR_BAD_MODEL, "no input has");
    opcheck_refused("Einsum(equation='ij->ii') f32[2,3]", ERR_BAD_MODEL, "comes twice");
    opcheck_refused("Einsum(equation='ij,j') f32[2,3]", ERR_BAD_MODEL, "2 terms for 1 inputs");
    opcheck_refused("Einsum(equation='i$') f32[2]", ERR_BAD_MODEL, "not understood");
    opcheck_refused("Einsum(equation='......i') f32[2]", ERR_BAD_MODEL, "not understood");
    opcheck_refused("Einsum(equation='ijk->i') f32[2,3]", ERR_BAD_MODEL, "3 labels for 2 axes");
    opcheck_refused("Einsum(equation='abcdefghij->a') f32[2,3]", ERR_BAD_MODEL,
                    "more than 8 labels");
    opcheck_refused("Einsum(equation='i,i->i') i32[2] i32[2]", ERR_UNSUPPORTED, "integers");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contracts),
        cmocka_unit_test(shapes),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
