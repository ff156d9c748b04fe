/* Quantization and back: numbers by hand, from the specification's formulas. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

static void quantizes(void **state) {
    /* Ties go to even, before the zero point; the rest is cut off at the ends. */
    OPCHECK("QuantizeLinear f32[8]{0.5,1.5,2.5,-0.5,-1.5,127.4,1e9,-1e9} f32[]{1} i8[]{3}", 0, 3, 5,
            5, 3, 1, 127, 127, -128);
    OPCHECK("QuantizeLinear@10 f32[3]{-1,0,1.0} f32[]{0.5} u8[]{128}", 0, 126, 128, 130);
    OPCHECK("QuantizeLinear f32[2]{-1,300.0} f32[]{1}", 0, 0, 255);
    OPCHECK("QuantizeLinear(axis=0) f32[2,2]{1,2,3,4.0} f32[2]{1,2} u16[2]{0,1000}", 0, 1, 2, 1002,
            1002);
    OPCHECK("QuantizeLinear(axis=-1) f32[2,2]{1,2,3,4.0} f32[2]{1,2}", 0, 1, 1, 3, 2);
    /* Five in blocks of two: the last block is short. */
    OPCHECK("QuantizeLinear(axis=1, block_size=2) f32[1,5]{2,4,6,8,10.0} f32[1,3]{1,2,5} "
            "i8[1,3]{0,10,0}",
            0, 2, 4, 13, 14, 2);
    OPCHECK("QuantizeLinear f32[4]{-20,-3,7,20.0} f32[]{1} i4[]{0}", 0, -8, -3, 7, 7);
    OPCHECK("QuantizeLinear(output_dtype=21) f32[4]{-20,-3,7,20.0} f32[]{1}", 0, 0, 0, 7, 15);
    OPCHECK("QuantizeLinear f16[2]{-1,3.0} f16[]{0.5} u8[]{128}", 0, 126, 134);
    OPCHECK("QuantizeLinear f32[1]{nan} f32[]{1} u8[]{7}", 0, 0);
}

static void quantizes_to_f8(void **state) {
    OPCHECK("QuantizeLinear f32[4]{1,-0.3,900,-1e9} f32[]{0.5} f8_e4m3[]{0}", 0, 2, -0.625, 448,
            -448);
    OPCHECK("QuantizeLinear(saturate=0) f32[2]{1,1e9} f32[]{0.5} f8_e4m3[]{0}", 0, 2, NAN);
    OPCHECK("QuantizeLinear(saturate=0) f32[2]{1,1e9} f32[]{0.5} f8_e5m2[]{0}", 0, 2, INFINITY);
    OPCHECK("DequantizeLinear f8_e4m3[2]{2,-448} f32[]{0.5}", 0, 1, -224);
}

static void dequantizes(void **state) {
    OPCHECK("DequantizeLinear u8[3]{0,128,255} f32[]{0.5} u8[]{128}", 0, -64, 0, 63.5);
    OPCHECK("DequantizeLinear@10 i8[2]{-128,127} f32[]{2}", 0, -256, 254);
    OPCHECK("DequantizeLinear i32[2]{-100000,7} f32[]{0.25}", 0, -25000, 1.75);
    OPCHECK("DequantizeLinear(axis=0) i8[2,2]{1,2,3,4} f32[2]{1,2} i8[2]{0,1}", 0, 1, 2, 4, 6);
    OPCHECK("DequantizeLinear(axis=0, block_size=2) u4[3,2]{1,2,3,4,5,6} "
            "f32[2,2]{1,10,100,1000} u4[2,2]{0,0,1,1}",
            0, 1, 20, 3, 40, 400, 5000);
    opcheck_type("DequantizeLinear i8[2] f16[]", 0, "f16[2]");
    opcheck_type("DequantizeLinear(output_dtype=1) i8[2] f16[]", 0, "f32[2]");
}

static void by_its_own_range(void **state) {
#define CASE "DynamicQuantizeLinear f32[6]{0,2,-3,-2.5,1.34,0.5} -> 3"
    OPCHECK(CASE, 0, 153, 255, 0, 26, 221, 179);
    OPCHECK_OUT(CASE, 1, 1e-8, 5.0 / 255);
    OPCHECK_OUT(CASE, 2, 0, 153);
    /* Zero is always in the range. */
    OPCHECK_OUT("DynamicQuantizeLinear f32[2]{5,10.0} -> 3", 1, 1e-8, 10.0 / 255);
    OPCHECK_OUT("DynamicQuantizeLinear f32[2]{-5,-10.0} -> 3", 2, 0, 255);
    OPCHECK_OUT("DynamicQuantizeLinear f32[2]{0} -> 3", 1, 0, 1);
}

static void misfits(void **state) {
    opcheck_refused("QuantizeLinear f32[2,3] f32[2]{1}", ERR_BAD_MODEL,
                    "2 of scale for 3 indices of axis 1");
    opcheck_refused("QuantizeLinear(axis=2) f32[2,3] f32[2]{1}", ERR_BAD_MODEL, "axis 2");
    opcheck_refused("QuantizeLinear f32[2,3] f32[2,3]{1}", ERR_BAD_MODEL, "without a block size");
    opcheck_refused("QuantizeLinear(block_size=2) f32[2,3] f32[2,3]{1}", ERR_BAD_MODEL,
                    "3 in axis 1, not 2");
    opcheck_refused("QuantizeLinear f32[3] f32[]{1} u8[3]", ERR_BAD_MODEL, "differ in shape");
    opcheck_refused("QuantizeLinear f32[3] f32[]{1} i64[]", ERR_BAD_MODEL,
                    "no quantization to i64");
    opcheck_refused("QuantizeLinear(output_dtype=3) f32[3] f32[]{1} u8[]", ERR_BAD_MODEL,
                    "zero point is u8");
    opcheck_refused("DequantizeLinear u8[3] f32[]{1} i8[]", ERR_BAD_MODEL, "their zero point i8");
    opcheck_refused("DequantizeLinear i64[3] f32[]{1}", ERR_BAD_MODEL, "no dequantization of i64");
    opcheck_refused("DequantizeLinear u8[3] i32[]{1}", ERR_BAD_MODEL, "a scale of i32");
    opcheck_refused("QuantizeLinear(precision=10) f32[3] f32[]{1}", ERR_UNSUPPORTED,
                    "another precision");
    opcheck_refused("QuantizeLinear(output_dtype=23) f32[3] f32[]{1}", ERR_UNSUPPORTED,
                    "ONNX type 23");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantizes),   cmocka_unit_test(quantizes_to_f8),
        cmocka_unit_test(dequantizes), cmocka_unit_test(by_its_own_range),
        cmocka_unit_test(misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
