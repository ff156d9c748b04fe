/* Softmax and its kin against PyTorch 2.13. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void sums_to_one(void **state) {
    OPCHECK("Softmax(axis=1) x:f32[2,3,2]{-0.5,1,-2,-1,1,-1,-1,0,1.5,1,0,0.5}", 1e-5, 0.1752904,
            0.786986, 0.03911257, 0.106507, 0.785597, 0.106507, 0.06289002, 0.1863237, 0.7661572,
            0.5064804, 0.1709528, 0.3071959);
    OPCHECK("Softmax x:f32[2,3,2]{-0.5,1,-2,-1,1,-1,-1,0,1.5,1,0,0.5}", 1e-5, 0.1824255, 0.8175744,
            0.2689414, 0.7310586, 0.880797, 0.1192029, 0.2689414, 0.7310586, 0.6224594, 0.3775407,
            0.3775407, 0.6224594);
    OPCHECK("Softmax@11 x:f32[2,3,2]{-0.5,1,-2,-1,1,-1,-1,0,1.5,1,0,0.5}", 1e-5, 0.08772261,
            0.3931454, 0.01957356, 0.05320645, 0.3931454, 0.05320645, 0.03279785, 0.0891538,
            0.3995596, 0.2423452, 0.0891538, 0.1469898);
    OPCHECK("LogSoftmax(axis=-2) x:f32[2,3,2]{-0.5,1,-2,-1,1,-1,-1,0,1.5,1,0,0.5}", 1e-5, -1.741311,
            -0.2395448, -3.241311, -2.239545, -0.2413113, -2.239545, -2.766368, -1.68027,
            -0.2663679, -0.6802697, -1.766368, -1.18027);
    OPCHECK("LogSoftmax x:f32[2,3,2]{-0.5,1,-2,-1,1,-1,-1,0,1.5,1,0,0.5}", 1e-5, -1.701413,
            -0.2014133, -1.313262, -0.3132617, -0.126928, -2.126928, -1.313262, -0.3132617,
            -0.474077, -0.974077, -0.974077, -0.474077);
    OPCHECK("Softmax x:f32[2]{1000,1000}", 0, 0.5, 0.5);
    OPCHECK("LogSoftmax x:f32[2]{-1000,1000}", 0, -2000, 0);
    OPCHECK("Hardmax x:f32[2,3]{1,3,3,0,-1,-2}", 0, 0, 1, 0, 1, 0, 0);
    OPCHECK("Hardmax(axis=0) x:f32[2,2]{1,3,3,0}", 0, 0, 1, 1, 0);
}

static void refuses(void **state) {
    opcheck_refused("Softmax(axis=2) f32[2,3]", ERR_BAD_MODEL, "axis 2");
}

static void infers(void **state) {
    opcheck_symbolic("Softmax f32[2,3]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_to_one),
        cmocka_unit_test(refuses),
        cmocka_unit_test(infers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
