/* Batch normalisation against PyTorch 2.13 (whose running variance is the unbiased one, ours not).
 */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

static void uses_given_statistics(void **state) {
    OPCHECK("BatchNormalization(epsilon=0.25) "
            "x:f32[2,4,3]{-1.5,1.5,-1,-0.5,0.5,-2,-0.5,2,1.5,-0.5,-1,0,0.5,0.5,1.5,1.5,1.5,0.5,-0."
            "5,-1,-1.5,2,-2,-1} g:f32[4]{-2,1.5,-1.5,1} b:f32[4]{0.5,-2,0,1.5} "
            "m:f32[4]{-1,2,2,1.5} v:f32[4]{2.5,1,2,2.5}",
            1e-5, 1.103023, -2.515113, 0.5, -5.354102, -4.012461, -7.366563, 2.5, 0, 0.5, 0.2939546,
            -0.007556736, 0.595466, -1.309068, -1.309068, -2.515113, -2.67082, -2.67082, -4.012461,
            2.5, 3, 3.5, 1.801511, -0.6105794, -0.007556736);
}

static void uses_the_batch(void **state) {
    OPCHECK("BatchNormalization(epsilon=0.25, training_mode=1) "
            "x:f32[2,4,3]{-1.5,1.5,-1,-0.5,0.5,-2,-0.5,2,1.5,-0.5,-1,0,0.5,0.5,1.5,1.5,1.5,0.5,-0."
            "5,-1,-1.5,2,-2,-1} g:f32[4]{-2,1.5,-1.5,1} b:f32[4]{0.5,-2,0,1.5} "
            "m:f32[4]{-1,2,2,1.5} v:f32[4]{2.5,1,2,2.5} -> 3",
            1e-5, 3.3, -1.5, 2.5, -2.855528, -1.714824, -4.566583, 0.5417364, -2.166945, -1.625209,
            1.437622, 1.063352, 1.811891, 0.09999996, 0.09999996, -1.5, -0.5741203, -0.5741203,
            -1.714824, 0.5417364, 1.083473, 1.625209, 3.30897, 0.3148127, 1.063352);
    OPCHECK_OUT("BatchNormalization(training_mode=1, momentum=0.75) "
                "x:f32[2,4,3]{-1.5,1.5,-1,-0.5,0.5,-2,-0.5,2,1.5,-0.5,-1,0,0.5,0.5,1.5,1.5,1.5,0.5,"
                "-0.5,-1,-1.5,2,-2,-1} g:f32[4]{-2,1.5,-1.5,1} b:f32[4]{0.5,-2,0,1.5} "
                "m:f32[4]{-1,2,2,1.5} v:f32[4]{2.5,1,2,2.5} -> 3",
                1, 1e-5, -0.6875, 1.5625, 1.5, 1.020833);
    OPCHECK_OUT("BatchNormalization(training_mode=1, momentum=0.75) "
                "x:f32[2,4,3]{-1.5,1.5,-1,-0.5,0.5,-2,-0.5,2,1.5,-0.5,-1,0,0.5,0.5,1.5,1.5,1.5,0.5,"
                "-0.5,-1,-1.5,2,-2,-1} g:f32[4]{-2,1.5,-1.5,1} b:f32[4]{0.5,-2,0,1.5} "
                "m:f32[4]{-1,2,2,1.5} v:f32[4]{2.5,1,2,2.5} -> 3",
                2, 1e-5, 2.203125, 1.119792, 1.916667, 2.258681);
}

static void refuses(void **state) {
    opcheck_refused("BatchNormalization f32[2,3,4] f32[3] f32[2] f32[3] f32[3]", ERR_BAD_MODEL,
                    "input 2");
    opcheck_refused("BatchNormalization@7(spatial=0) f32[2,3] f32[3] f32[3] f32[3] f32[3]",
                    ERR_UNSUPPORTED, "per position");
    opcheck_refused("BatchNormalization@9 f32[2,3] f32[3] f32[3] f32[3] f32[3] -> 5",
                    ERR_UNSUPPORTED, "before operator set 14");
}

static void infers(void **state) {
    opcheck_symbolic("BatchNormalization f32[2,3] f32[3] f32[3] f32[3] f32[3]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uses_given_statistics),
        cmocka_unit_test(uses_the_batch),
        cmocka_unit_test(refuses),
        cmocka_unit_test(infers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
