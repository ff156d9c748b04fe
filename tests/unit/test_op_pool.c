/* Pooling against numbers worked out by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

#define ROW "x:f32[1,1,5]{1,4,2,5,3}"
#define SQUARE "x:f32[1,1,3,3]{1,2,3,4,5,6,7,8,9}"

static void takes_the_largest(void **state) {
    OPCHECK("MaxPool(kernel_shape=[2]) " ROW, 0, 4, 4, 5, 5);
    OPCHECK("MaxPool(kernel_shape=[3], strides=[2], pads=[1,1]) " ROW, 0, 4, 5, 5);
    OPCHECK("MaxPool(kernel_shape=[2], dilations=[2]) " ROW, 0, 2, 5, 3);
    OPCHECK("MaxPool(kernel_shape=[2], strides=[2], ceil_mode=1) " ROW, 0, 4, 5, 3);
    /* The last window of ceil_mode would begin in the trailing pad: it is left out. */
    OPCHECK("MaxPool(kernel_shape=[1], strides=[2], ceil_mode=1) x:f32[1,1,2]{1,2}", 0, 1);
    OPCHECK("MaxPool(kernel_shape=[2,2], auto_pad='SAME_UPPER', strides=[2,2]) " SQUARE, 0, 5, 6, 8,
            9);
    OPCHECK("MaxPool(kernel_shape=[2,2], auto_pad='SAME_LOWER', strides=[2,2]) " SQUARE, 0, 1, 3, 7,
            9);
    OPCHECK("MaxPool(kernel_shape=[2]) x:u8[1,1,3]{200,7,9}", 0, 200, 9);
    OPCHECK("MaxPool(kernel_shape=[2]) x:i8[1,1,3]{-100,-7,-9}", 0, -7, -7);
    OPCHECK("GlobalMaxPool " SQUARE, 0, 9);
}

static void says_where_it_was(void **state) {
    OPCHECK_OUT("MaxPool(kernel_shape=[2,2]) " SQUARE " -> 2", 1, 0, 4, 5, 7, 8);
    OPCHECK_OUT("MaxPool(kernel_shape=[2,2], storage_order=1) " SQUARE " -> 2", 1, 0, 4, 7, 5, 8);
    OPCHECK_OUT("MaxPool(kernel_shape=[3]) x:f32[1,2,3]{1,3,3,2,0,1} -> 2", 1, 0, 1, 3);
}

static void averages(void **state) {
    OPCHECK("AveragePool(kernel_shape=[2]) " ROW, 1e-6, 2.5, 3, 3.5, 4);
    OPCHECK("AveragePool(kernel_shape=[3], strides=[2], pads=[1,1]) " ROW, 1e-6, 2.5, 11.0 / 3, 4);
    OPCHECK("AveragePool(kernel_shape=[3], strides=[2], pads=[1,1], count_include_pad=1) " ROW,
            1e-6, 5.0 / 3, 11.0 / 3, 8.0 / 3);
    /* What ceil_mode lets stand out is neither input nor pad. */
    OPCHECK("AveragePool(kernel_shape=[2], strides=[2], ceil_mode=1, count_include_pad=1) " ROW,
            1e-6, 2.5, 3.5, 3);
    OPCHECK("GlobalAveragePool " SQUARE, 1e-6, 5);
}

static void takes_norms(void **state) {
    OPCHECK("LpPool(kernel_shape=[2], p=1) x:f32[1,1,3]{3,-4,0}", 1e-6, 7, 4);
    OPCHECK("LpPool(kernel_shape=[2]) x:f32[1,1,3]{3,-4,0}", 1e-6, 5, 4);
    OPCHECK("GlobalLpPool(p=3) x:f32[1,1,2]{3,-4}", 1e-5, cbrt(91));
}

static void refuses(void **state) {
    opcheck_refused("MaxPool " ROW, ERR_BAD_MODEL, "kernel_shape");
    opcheck_refused("MaxPool(kernel_shape=[2], pads=[2,2]) " ROW, ERR_UNSUPPORTED, "padding alone");
    opcheck_refused("MaxPool(kernel_shape=[1,1,1,1]) " ROW, ERR_UNSUPPORTED, "more than 3 axes");
    opcheck_refused("MaxPool(kernel_shape=[2,2]) " ROW, ERR_BAD_MODEL, "rank 3");
    opcheck_refused("MaxPool(kernel_shape=[6]) " ROW, ERR_BAD_MODEL, "does not fit");
    opcheck_refused("AveragePool(kernel_shape=[2]) x:u8[1,1,3]", ERR_BAD_MODEL, "no pooling of u8");
}

static void infers(void **state) {
    opcheck_type("MaxPool(kernel_shape=[2]) x:f32[2,3,9]", 0, "f32[2,3,8]");
    opcheck_symbolic("GlobalMaxPool x:f32[2,3,9]", "f32[?,?,1]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_largest), cmocka_unit_test(says_where_it_was),
        cmocka_unit_test(averages),          cmocka_unit_test(takes_norms),
        cmocka_unit_test(refuses),           cmocka_unit_test(infers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
