/* Normalisation of rows against PyTorch 2.13. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void normalises(void **state) {
    OPCHECK("LayerNormalization(epsilon=0.25) "
            "x:f32[2,4,3]{-1.5,1.5,-1,-0.5,0.5,-2,-0.5,2,1.5,-0.5,-1,0,0.5,0.5,1.5,1.5,1.5,0.5,-0."
            "5,-1,-1.5,2,-2,-1} g:f32[3]{-1.5,-2,2} b:f32[3]{1,-1.5,0}",
            1e-5, 2.246121, -4.11092, -0.9494253, 0.7812024, -3.54211, -2.33384, 2.890378,
            -3.180336, 0.8401681, 1, 0.04919326, 1.549193, 1.727607, -0.5298573, 1.940285, 0.272393,
            -2.470143, -1.940285, -0.1618949, -1.5, -1.549193, -0.9755136, 0.3814416, -0.7525766);
    OPCHECK("GroupNormalization(num_groups=2, epsilon=0.25) "
            "x:f32[2,4,3]{-1.5,1.5,-1,-0.5,0.5,-2,-0.5,2,1.5,-0.5,-1,0,0.5,0.5,1.5,1.5,1.5,0.5,-0."
            "5,-1,-1.5,2,-2,-1} g:f32[4]{-2,1.5,-1.5,1} b:f32[4]{0.5,-2,0,1.5}",
            1e-5, 2.049193, -2.598387, 1.274597, -2, -0.838105, -3.742843, 0.9250047, -2.158345,
            -1.541675, 0.8833301, 0.4722169, 1.294443, 1.914214, 1.914214, -0.9142135, -0.9393399,
            -0.9393399, -3.06066, -0.1819018, 0.3638034, 0.9095086, 3.440285, 0.5298575, 1.257464);
    OPCHECK("InstanceNormalization(epsilon=0.25) "
            "x:f32[2,4,3]{-1.5,1.5,-1,-0.5,0.5,-2,-0.5,2,1.5,-0.5,-1,0,0.5,0.5,1.5,1.5,1.5,0.5,-0."
            "5,-1,-1.5,2,-2,-1} g:f32[4]{-2,1.5,-1.5,1} b:f32[4]{0.5,-2,0,1.5}",
            1e-5, 2.161494, -2.110919, 1.449425, -1.781202, -0.4684175, -3.75038, 1.890378,
            -1.260252, -0.6301261, 1.5, 0.7254033, 2.274597, 1.470142, 1.470142, -1.440285,
            -1.272393, -1.272393, -3.455214, -1.161895, 0, 1.161895, 2.817009, 0.5592791, 1.123712);
    OPCHECK("RMSNormalization(epsilon=0.25) "
            "x:f32[2,4,3]{-1.5,1.5,-1,-0.5,0.5,-2,-0.5,2,1.5,-0.5,-1,0,0.5,0.5,1.5,1.5,1.5,0.5,-0."
            "5,-1,-1.5,2,-2,-1} g:f32[3]{-1.5,-2,2}",
            1e-5, 1.558846, -2.078461, -1.385641, 0.5669467, -0.755929, -3.023716, 0.4824506,
            -2.57307, 1.929803, 0.9185587, 2.44949, 0, -0.694365, -0.92582, 2.77746, -1.661735,
            -2.215647, 0.7385489, 0.6301261, 1.680336, -2.520504, -1.664101, 2.218801, -1.1094);
    OPCHECK("GroupNormalization@18(num_groups=2, epsilon=0.25) "
            "x:f32[2,4,3]{-1.5,1.5,-1,-0.5,0.5,-2,-0.5,2,1.5,-0.5,-1,0,0.5,0.5,1.5,1.5,1.5,0.5,-0."
            "5,-1,-1.5,2,-2,-1} g:f32[2]{1.5,0} b:f32[2]{-2,-1.5}",
            1e-5, -3.161895, 0.3237901, -2.580947, -2, -0.838105, -3.742843, -1.5, -1.5, -1.5, -1.5,
            -1.5, -1.5, -3.06066, -3.06066, -0.9393399, -0.9393399, -0.9393399, -3.06066, -1.5,
            -1.5, -1.5, -1.5, -1.5, -1.5);
}

static void gives_statistics(void **state) {
    OPCHECK_OUT("LayerNormalization(epsilon=0.0) x:f32[2,2]{1,3,4,8} g:f32[2] -> 3", 1, 1e-6, 2, 6);
    OPCHECK_OUT("LayerNormalization(epsilon=0.0) x:f32[2,2]{1,3,4,8} g:f32[2] -> 3", 2, 1e-6, 1,
                0.5);
    /* A mean a thousand times the deviation: one pass in f32 would lose it. */
    OPCHECK("LayerNormalization(epsilon=0.0) x:f32[2]{10001,10003} g:f32[2]{1}", 1e-6, -1, 1);
}

static void refuses(void **state) {
    opcheck_refused("LayerNormalization f32[2,3] f32[2]", ERR_BAD_MODEL, "normalised axes");
    opcheck_refused("LayerNormalization(axis=2) f32[2,3] f32[3]", ERR_BAD_MODEL, "axis 2");
    opcheck_refused("LayerNormalization(stash_type=10) f32[2,3] f32[3]", ERR_UNSUPPORTED,
                    "other than f32");
    opcheck_refused("GroupNormalization(num_groups=2) f32[1,3,4] f32[3] f32[3]", ERR_BAD_MODEL,
                    "3 channels in 2 groups");
    opcheck_refused("GroupNormalization f32[1,3,4] f32[3] f32[3]", ERR_BAD_MODEL, "0 groups");
    opcheck_refused("InstanceNormalization f32[1,3,4] f32[4] f32[3]", ERR_BAD_MODEL, "per channel");
}

static void infers(void **state) {
    opcheck_symbolic("LayerNormalization f32[2,3] f32[3]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalises),
        cmocka_unit_test(gives_statistics),
        cmocka_unit_test(refuses),
        cmocka_unit_test(infers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
