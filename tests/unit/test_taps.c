/* Sums and maxima over shifted rows; the kernels behind them are compared in tests/kernels. */
#include "compress/tensor/taps.h"

#include "tests/support/check.h"

#include <math.h>

static void sums_in_order(void **state) {
    const real x[6] = {1, 2, 3, 4, 5, 6}, w[2] = {10, 1};
    real y[3] = {100, 200, 300};
    taps_sum((const real *const[]){x, x + 1}, w, 2, 2, 3, y);
    CHECK_NUM(y[0], 112, 0);
    CHECK_NUM(y[1], 234, 0);
    CHECK_NUM(y[2], 356, 0);
    taps_sum(NULL, NULL, 0, 1, 3, y);
    CHECK_NUM(y[0], 112, 0);
}

static void passes_over_nan(void **state) {
    const real x[4] = {1, (real)NAN, 3, -4};
    real y[3] = {2, -(real)INFINITY, 9};
    taps_max((const real *const[]){x, x + 1}, 2, 1, 3, y);
    CHECK_NUM(y[0], 2, 0);
    CHECK_NUM(y[1], 3, 0);
    CHECK_NUM(y[2], 9, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_in_order),
        cmocka_unit_test(passes_over_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
