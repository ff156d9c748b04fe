/* Orders against numbers worked out by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void elements_move(void **state) {
    OPCHECK("Transpose x:i64[2,3]{1,2,3,4,5,6}", 0, 1, 4, 2, 5, 3, 6);
    OPCHECK("Transpose(perm=[1,0,2]) x:i8[2,2,2]{1,2,3,4,5,6,7,8}", 0, 1, 2, 5, 6, 3, 4, 7, 8);
    opcheck_type("Transpose(perm=[2,0,1]) x:f32[2,3,4]", 0, "f32[4,2,3]");
    OPCHECK("Expand x:f32[2,1]{1,2} s:i64[2]{1,3}", 0, 1, 1, 1, 2, 2, 2);
    opcheck_type("Expand x:f32[3,1] s:i64[3]{2,1,6}", 0, "f32[2,3,6]");
    OPCHECK("Tile x:i64[1,2]{1,2} r:i64[2]{2,2}", 0, 1, 2, 1, 2, 1, 2, 1, 2);
    /* the example of the ONNX specification, two pixels of it */
    OPCHECK("DepthToSpace(blocksize=2) x:i64[1,4,1,2]{0,1,10,11,20,21,30,31}", 0, 0, 10, 1, 11, 20,
            30, 21, 31);
    OPCHECK("DepthToSpace(blocksize=2) x:i64[1,8,1,1]{0,1,2,3,4,5,6,7}", 0, 0, 2, 4, 6, 1, 3, 5, 7);
    OPCHECK("DepthToSpace(blocksize=2, mode='CRD') x:i64[1,8,1,1]{0,1,2,3,4,5,6,7}", 0, 0, 1, 2, 3,
            4, 5, 6, 7);
    OPCHECK("SpaceToDepth(blocksize=2) x:i64[1,1,2,4]{0,10,1,11,20,30,21,31}", 0, 0, 1, 10, 11, 20,
            21, 30, 31);
}

static void what_does_not_fit_is_refused(void **state) {
    opcheck_refused("Transpose(perm=[0,0]) x:f32[2,3]", ERR_BAD_MODEL, "permutation");
    opcheck_refused("Transpose(perm=[1,0]) x:f32[2,3,4]", ERR_BAD_MODEL, "3 dimensions, not 2");
    opcheck_refused("Expand x:f32[3] s:i64[1]{2}", ERR_BAD_MODEL, "broadcast");
    opcheck_refused("Expand x:f32[3] s:i64[1]{-1}", ERR_BAD_MODEL, "no dimension");
    opcheck_refused("Tile x:f32[3] r:i64[2]{1,2}", ERR_BAD_MODEL, "2 repeats for 1");
    opcheck_refused("DepthToSpace(blocksize=2) x:f32[1,6,2,2]", ERR_BAD_MODEL, "not cut by 4");
    opcheck_refused("SpaceToDepth(blocksize=0) x:f32[1,4,2,2]", ERR_BAD_MODEL, "blocksize");
}

static void symbols_pass(void **state) {
    opcheck_symbolic("Transpose(perm=[1,0]) x:f32[2,3]", "f32[?,?]");
    opcheck_symbolic("Tile x:f32[2,3] r:i64[2]", "f32[?,?]");
    opcheck_symbolic("DepthToSpace(blocksize=2) x:f32[1,4,2,2]", "f32[?,?,?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_move),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(symbols_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
