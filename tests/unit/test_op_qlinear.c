/* Quantized products: the examples of ONNX's own operator tests, and numbers by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <string.h>

#define A "u8[4,3]{11,7,3,10,6,2,9,5,1,8,4,0}"
#define B "u8[3,2]{1,4,2,5,3,6}"

static void integers_multiply(void **state) {
    OPCHECK("MatMulInteger " A B " u8[]{12} u8[]{0}", 0, -38, -83, -44, -98, -50, -113, -56, -128);
    /* A zero point for every row, and for every column. */
    OPCHECK("MatMulInteger u8[2,1]{10,20} i8[1,2]{-3,5} u8[2]{1,2} i8[2]{1,-1}", 0, -36, 54, -72,
            108);
    OPCHECK("MatMulInteger u8[2,1,2]{1,2,3,4} i8[2]{-1,1}", 0, 1, 1);
    OPCHECK("MatMulInteger u8[2,0] u8[0,2]", 0, 0, 0, 0, 0);
    opcheck_type("MatMulInteger u8[5,1,2,3] u8[4,3,6]", 0, "i32[5,4,2,6]");
}

/* Beyond 2^24, where floats begin to skip whole numbers: 255 * 255 * 1000 + 1. */
static void sums_are_exact(void **state) {
    struct opcase c;
    struct err err = ERR_INIT;
    CHECK_OK(opcase_new("MatMulInteger u8[1,1001] u8[1001,1]", 1, &c, &err), &err);
    memset(c.in[0]->data, 255, 1001);
    memset(c.in[1]->data, 255, 1001);
    ((uint8_t *)c.in[0]->data)[500] = ((uint8_t *)c.in[1]->data)[500] = 1;
    CHECK_OK(opcase_infer(&c, &err), &err);
    CHECK_OK(op_run_node(c.node, (const struct array *const *)c.in, c.out, NULL, &err), &err);
    CHECK_INT(array_int(c.out[0], 0), 65025001);
    opcase_free(&c);
}

static void quantized_matrices_multiply(void **state) {
    OPCHECK("QLinearMatMul u8[2,4]{208,236,0,238,3,214,255,29} f32[1]{0.0066} u8[1]{113} "
            "u8[4,3]{152,51,244,60,26,255,0,127,246,127,254,247} f32[1]{0.00705} u8[1]{114} "
            "f32[1]{0.0107} u8[1]{118}",
            0, 168, 115, 255, 1, 66, 151);
    /* A half goes to the even number; what is too large stays at the end. */
    OPCHECK("QLinearMatMul i8[1,1]{1} f32[]{0.5} i8[]{0} i8[1,4]{1,3,-3,127} f32[4]{1,1,1,100.0} "
            "i8[]{0} f32[]{1} i8[]{1}",
            0, 1, 3, -1, 127);
}

static void integers_convolve(void **state) {
    OPCHECK("ConvInteger u8[1,1,3,3]{2,3,4,5,6,7,8,9,10} u8[1,1,2,2]{1} u8[]{1}", 0, 12, 16, 24,
            28);
    /* What is in the padding is the zero point. */
    OPCHECK("ConvInteger(pads=[1,1,1,1]) u8[1,1,3,3]{2,3,4,5,6,7,8,9,10} u8[1,1,2,2]{1} u8[]{1}", 0,
            1, 3, 5, 3, 5, 12, 16, 9, 11, 24, 28, 15, 7, 15, 17, 9);
    OPCHECK("ConvInteger(group=2) i8[1,2,2]{1,2,3,4} i8[2,1,1]{10,-1} i8[]{0} i8[2]{0,1}", 0, 10,
            20, -6, -8);
    OPCHECK("QLinearConv u8[1,1,2]{130,126} f32[]{0.5} u8[]{128} i8[2,1,1]{2,4} f32[2]{1,0.25} "
            "i8[2]{0} f32[]{0.5} u8[]{10} i32[2]{3,-1}",
            0, 17, 9, 12, 8);
}

static void misfits(void **state) {
    opcheck_refused("MatMulInteger u8[2,3] u8[2,3]", ERR_BAD_MODEL, "3 columns times 2 rows");
    opcheck_refused("MatMulInteger i32[2,3] u8[3,2]", ERR_BAD_MODEL, "A of i32");
    opcheck_refused("MatMulInteger u8[2,3] u8[3,2] i8[]", ERR_BAD_MODEL, "their zero point i8");
    opcheck_refused("MatMulInteger u8[2,3] u8[3,2] u8[3]", ERR_BAD_MODEL,
                    "3 of A's zero points for 2");
    opcheck_refused("ConvInteger u8[1,3,4] u8[1,2,2]", ERR_BAD_MODEL, "channels do not fit");
    opcheck_refused("ConvInteger u8[1,2,4] u8[1,2,5]", ERR_BAD_MODEL, "does not fit");
    opcheck_refused("QLinearConv u8[1,1,2] f32[] u8[] i8[2,1,1] f32[3] i8[2] f32[] u8[]",
                    ERR_BAD_MODEL, "3 of w's scales for 2");
    opcheck_refused("QLinearConv u8[1,1,2] f32[] u8[] i8[2,1,1] f32[2] i8[2] f32[] u8[] f32[2]",
                    ERR_BAD_MODEL, "bias");
    opcheck_symbolic("MatMulInteger u8[2,3] u8[3,2]", "i32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_multiply),
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(quantized_matrices_multiply),
        cmocka_unit_test(integers_convolve),
        cmocka_unit_test(misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
