/* Products with weights of few bits, by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#define NBITS "com.microsoft::MatMulNBits(K=16, N=1, block_size=16"

static void weights_of_few_bits(void **state) {
    /* Two columns, K of 16 + 4 in two blocks: codes 1 to 4 and so on, of which 8 is taken away. */
#define CODES \
    "u8[2,2,8]{152,0,0,0,0,0,0,0, 33,67,0,0,0,0,0,0, 0,0,0,0,0,0,0,0, 136,136,0,0,0,0,0,0}"
    OPCHECK("com.microsoft::MatMulNBits(K=20, N=2, block_size=16) "
            "f32[20]{1,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,3,4} " CODES " f32[4]{1,10,100,7}",
            1e-6, 0 + 2 + 10 * (-7 - 12 - 15 - 16), -8 * 100 * 3.0);
    /* Zero points: packed, two of a column to a byte; or floats. */
    OPCHECK("com.microsoft::MatMulNBits(K=20, N=2, block_size=16) "
            "f32[20]{1,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,3,4} " CODES
            " f32[4]{1,10,100,7} u8[2]{24,128} - f32[2]{1000,0.0}",
            1e-6, 1000 + 0 + 2 + 10 * (0 + 2 + 6 + 12), 0);
    OPCHECK("com.microsoft::MatMulNBits(K=20, N=2, block_size=16) "
            "f32[20]{1,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,3,4} " CODES
            " f32[4]{1,10,100,7} f32[2,2]{8,1.0,0,7.5}",
            1e-6, 2 + 200, 7 * 0.5 * 10);
    OPCHECK(
        "com.microsoft::MatMulNBits(K=16, N=1, bits=8, block_size=16) f32[1,16]{1} "
        "u8[1,1,16]{128,129,127,128,128,128,128,128,128,128,128,128,128,128,128,138} f32[1]{0.5}",
        1e-6, 5);
}

static void misfits(void **state) {
    opcheck_refused(NBITS ", bits=2) f32[16] u8[1,1,4] f32[1]", ERR_UNSUPPORTED, "2 bits");
    opcheck_refused(NBITS ") f32[16] u8[1,1,8] f32[1] - i32[16]", ERR_UNSUPPORTED, "g_idx");
    opcheck_refused(NBITS ") f32[16] u8[1,1,7] f32[1]", ERR_BAD_MODEL, "B has 7 elements, not 8");
    opcheck_refused(NBITS ") f32[15] u8[1,1,8] f32[1]", ERR_BAD_MODEL, "K = 16");
    opcheck_refused("com.microsoft::MatMulNBits(K=16, N=1, block_size=24) f32[16] u8[8] f32[1]",
                    ERR_BAD_MODEL, "block_size 24");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_few_bits),
        cmocka_unit_test(misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
