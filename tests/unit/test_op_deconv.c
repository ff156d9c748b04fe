/* Transposed convolutions against PyTorch 2.13 and by hand, and what they refuse. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void convolves(void **state) {
    OPCHECK("ConvTranspose(strides=[2,1], pads=[1,0,1,0], output_padding=[1,0]) "
            "x:f32[1,2,2,3]{-0.5,-1.5,-2,-2,1.5,0.5,-2,2,0.5,1,0.5,0.5} "
            "w:f32[2,1,3,2]{1,-0.5,-1,2,-2,-1.5,-1,-0.5,2,-1.5,1,1.5} b:f32[1]{1}",
            1e-5, -2.5, 8.5, -2, -3.75, -3, 5.25, 9.75, 4.25, 5, -5, 3.75, 1.25, 6, 3, -1, 1);
    OPCHECK("ConvTranspose(group=2, dilations=[1,2]) "
            "x:f32[1,2,2,3]{-0.5,-1.5,-2,-2,1.5,0.5,-2,2,0.5,1,0.5,0.5} "
            "w:f32[2,2,2,2]{1,-1,-1.5,0.5,-1,-1,-2,0.5,0.5,-2,0,-2,-1,-0.5,-2,-0.5}",
            1e-5, -0.5, -1.5, -1.5, 1.5, 2, -1.25, 3.75, 5.25, -2.25, -1.5, 3, -2.25, -1.75, 0.75,
            0.25, 0.5, 1.5, 2.5, 1.5, 2, 3, 1.5, 5.25, -2.25, -1.5, 4, -3, -2, 0.75, 0.25, -1, 1,
            4.25, -4, -1, 0.5, 0.25, 2.25, -5, -2, 0, 0, -2, -1, -1, 2, -2, 0.5, -1, -0.25, 3, -4.5,
            -1, -1.25, -0.5, -2, -1, -1.5, -0.25, -0.25);
    OPCHECK("ConvTranspose(strides=[2], output_shape=[5]) x:f32[1,1,2]{1,2} w:f32[1,1,3]{1,10,100}",
            0, 1, 10, 102, 20, 200);
    OPCHECK("ConvTranspose(strides=[2], auto_pad='SAME_UPPER') x:f32[1,1,2]{1,2} "
            "w:f32[1,1,3]{1,10,100}",
            0, 1, 10, 102, 20);
    OPCHECK("ConvTranspose(strides=[2], auto_pad='SAME_LOWER') x:f32[1,1,2]{1,2} "
            "w:f32[1,1,3]{1,10,100}",
            0, 10, 102, 20, 200);
}

static void refuses(void **state) {
    opcheck_refused("ConvTranspose f32[1,3,5,5] f32[2,2,3,3]", ERR_BAD_MODEL, "3 channels");
    opcheck_refused("ConvTranspose(pads=[3,3]) f32[1,2,2] f32[2,2,3]", ERR_BAD_MODEL,
                    "leave nothing");
    opcheck_refused("ConvTranspose(group=2) f32[1,3,5] f32[3,2,3]", ERR_BAD_MODEL, "in 2 groups");
}

static void infers(void **state) {
    opcheck_symbolic("ConvTranspose(output_shape=[9]) x:f32[1,2,5] w:f32[2,3,3]", "f32[?,?,9]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolves),
        cmocka_unit_test(refuses),
        cmocka_unit_test(infers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
