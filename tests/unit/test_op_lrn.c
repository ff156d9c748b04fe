/* The rare normalisations, by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

static void takes_p_norms(void **state) {
    OPCHECK("LpNormalization x:f32[2,2]{3,4,0,0}", 1e-6, 0.6, 0.8, 0, 0);
    OPCHECK("LpNormalization(axis=0, p=1) x:f32[2,2]{3,-1,1,3}", 1e-6, 0.75, -0.25, 0.25, 0.75);
}

static void divides_by_neighbours(void **state) {
    /* Windows of channels {1,2}, {1,2,3}, {2,3}; of an even size the longer half is behind. */
    OPCHECK("LRN(size=3, alpha=3.0, beta=1.0) x:f32[1,3,1]{1,2,3}", 1e-6, 1.0 / 6, 2.0 / 15,
            3.0 / 14);
    OPCHECK("LRN(size=2, alpha=2.0, beta=0.5, bias=2.0) x:f32[1,3,1]{1,2,3}", 1e-6, 1 / sqrt(7),
            2 / sqrt(15), 3 / sqrt(11));
}

static void centres_and_scales(void **state) {
    OPCHECK("MeanVarianceNormalization(axes=[0]) x:f32[2,2]{1,5,3,5}", 1e-6, -1, 0, 1, 0);
    OPCHECK("MeanVarianceNormalization(axes=[-1]) x:f32[2,2]{1,5,3,5}", 1e-6, -1, 1, -1, 1);
    OPCHECK("MeanVarianceNormalization x:f32[1,2,1,2]{1,3,10,20}", 1e-6, -1, 1, -1, 1);
}

static void refuses(void **state) {
    opcheck_refused("LpNormalization(p=3) f32[2]", ERR_BAD_MODEL, "neither 1 nor 2");
    opcheck_refused("LpNormalization(axis=1) f32[2]", ERR_BAD_MODEL, "axis 1");
    opcheck_refused("LRN f32[1,2,3]", ERR_BAD_MODEL, "a size of 0");
    opcheck_refused("LRN(size=1) f32[3]", ERR_BAD_MODEL, "no channels");
    opcheck_refused("MeanVarianceNormalization f32[1,2,3]", ERR_BAD_MODEL, "axis 3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_p_norms),
        cmocka_unit_test(divides_by_neighbours),
        cmocka_unit_test(centres_and_scales),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
