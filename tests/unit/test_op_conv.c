/* Convolutions against PyTorch 2.13, and what they refuse. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void convolves(void **state) {
    OPCHECK("Conv(pads=[1,0,1,1], strides=[2,1], dilations=[1,2]) "
            "x:f32[1,2,4,5]{0.5,0.5,0.5,-2,1,-2,1,-1,0,-0.5,-0.5,0,1,-2,1.5,0.5,2,-0.5,-0.5,0,1.5,-"
            "0.5,0.5,-0.5,-0.5,1.5,0.5,-1.5,1.5,0,-1,-1,2,1.5,-0.5,-1,-0.5,2,1.5,-0.5} "
            "w:f32[2,2,3,2]{-2,2,-2,-1.5,1,1.5,0,1.5,1,0.5,0,-1.5,1,-2,-2,-2,-1,-1,1.5,0.5,0.5,1,1."
            "5,0} b:f32[2]{1,-1.5}",
            1e-5, -0.25, 1, -3, 4.5, -3, 3, -0.25, 6, 3, 0.5, -5.5, 4.5, -1, 3.75, -4.75, 8.25);
    OPCHECK("Conv(group=2) "
            "x:f32[1,2,4,5]{0.5,0.5,0.5,-2,1,-2,1,-1,0,-0.5,-0.5,0,1,-2,1.5,0.5,2,-0.5,-0.5,0,1.5,-"
            "0.5,0.5,-0.5,-0.5,1.5,0.5,-1.5,1.5,0,-1,-1,2,1.5,-0.5,-1,-0.5,2,1.5,-0.5} "
            "w:f32[2,1,2,2]{0.5,1,1.5,-1.5,0,2,1,-1.5}",
            1e-5, -3.75, 3.75, -3.25, 0.75, -0.75, -2, 4, -5.75, -2.5, 4.75, -1.5, -0.25, -0.25,
            3.75, -4.75, 0.5, 1.5, -7, 2.75, 2.25, -2.25, 0.5, 2.75, 1.25);
    OPCHECK("Conv(strides=[2]) "
            "x:f32[2,2,6]{2,1,-1.5,0.5,-0.5,0,1.5,-1,-1,-1,-1,1.5,0.5,-1.5,-0.5,1,2,-0.5,-0.5,-1.5,"
            "0.5,-0.5,-2,1} w:f32[3,2,3]{-2,1,0,0.5,0.5,-2,2,-2,-1,-0.5,1.5,-2,2,1,1,0,-2,1.5}",
            1e-5, -0.75, 4.5, 3.25, -2.5, 4, -2.5, -4.5, 6, 1.5, -2, 2.75, 0);
    OPCHECK("Conv x:f32[1,1,2,3,3]{-2,1.5,-1.5,-1.5,-2,2,-0.5,2,1.5,1,-1,0,1,-1.5,2,0.5,0.5,-0.5} "
            "w:f32[1,1,2,2,2]{0,-0.5,-2,2,-0.5,1.5,0.5,-0.5}",
            1e-5, -2.5, 7.5, 3.25, 2.25);
    OPCHECK("Conv(auto_pad='SAME_UPPER') x:f32[1,1,3]{1,2,3} w:f32[1,1,2]{1,10}", 0, 21, 32, 3);
    OPCHECK("Conv(auto_pad='SAME_LOWER') x:f32[1,1,3]{1,2,3} w:f32[1,1,2]{1,10}", 0, 10, 21, 32);
}

static void refuses(void **state) {
    opcheck_refused("Conv f32[1,3,5,5] f32[2,2,3,3]", ERR_BAD_MODEL, "3 channels");
    opcheck_refused("Conv(group=2) f32[1,4,5] f32[3,2,3]", ERR_BAD_MODEL, "3 outputs in 2 groups");
    opcheck_refused("Conv f32[1,2,2] f32[2,2,3]", ERR_BAD_MODEL, "does not fit");
    opcheck_refused("Conv(strides=[1,1]) f32[1,2,5] f32[2,2,3]", ERR_BAD_MODEL, "2 axes");
    opcheck_refused("Conv f32[1,2,5] f32[2,2,3] f32[3]", ERR_BAD_MODEL, "bias");
    opcheck_refused("Conv(kernel_shape=[2]) f32[1,2,5] f32[2,2,3]", ERR_BAD_MODEL,
                    "kernel_shape says 2");
    opcheck_refused("Conv(group=0) f32[1,2,5] f32[2,2,3]", ERR_BAD_MODEL, "0 groups");
    opcheck_refused("Conv(auto_pad='HALF') f32[1,2,5] f32[2,2,3]", ERR_BAD_MODEL, "auto_pad");
    opcheck_refused("Conv(strides=[0]) f32[1,2,5] f32[2,2,3]", ERR_BAD_MODEL, "strides of 0");
}

static void infers(void **state) {
    opcheck_symbolic("Conv x:f32[1,2,5,5] w:f32[3,2,3,3]", "f32[?,?,?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolves),
        cmocka_unit_test(refuses),
        cmocka_unit_test(infers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
