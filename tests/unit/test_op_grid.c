/* Sampling against torch.nn.functional.grid_sample of PyTorch 2.13. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#define IN "x:f32[1,1,2,3]{1,2,4,7,5,3} g:f32[1,1,3,2]{-1.2,-0.4,0.3,0.1,0.9,1.5}"
#define WITH(mode, padding, corners) \
    "GridSample@16(mode='" mode "', padding_mode='" padding "', align_corners=" corners ") " IN

static void as_torch_samples(void **state) {
    OPCHECK(WITH("bilinear", "zeros", "0"), 1e-5, 0.32, 3.62, 0);
    OPCHECK(WITH("bilinear", "zeros", "1"), 1e-5, 2.24, 3.59, 2.4);
    OPCHECK(WITH("bilinear", "border", "0"), 1e-5, 1.6, 3.62, 3);
    OPCHECK(WITH("bilinear", "border", "1"), 1e-5, 2.8, 3.59, 3.2);
    OPCHECK(WITH("bilinear", "reflection", "0"), 1e-5, 1.6, 3.62, 3);
    OPCHECK(WITH("bilinear", "reflection", "1"), 1e-5, 2.82, 3.59, 3.35);
    OPCHECK(WITH("nearest", "zeros", "0"), 0, 0, 5, 0);
    OPCHECK(WITH("nearest", "zeros", "1"), 0, 1, 5, 3);
    OPCHECK(WITH("nearest", "reflection", "0"), 0, 1, 5, 3);
    OPCHECK(WITH("bicubic", "zeros", "0"), 1e-5, 0.2623702, 4.52329, 0);
    OPCHECK(WITH("bicubic", "zeros", "1"), 1e-5, 2.5496, 4.379, 2.498257);
    OPCHECK(WITH("bicubic", "border", "0"), 1e-5, 1.473905, 3.551821, 2.778189);
    OPCHECK(WITH("bicubic", "border", "1"), 1e-5, 2.658353, 3.532149, 3.077491);
    OPCHECK(WITH("bicubic", "reflection", "0"), 1e-5, 1.401521, 3.551821, 2.658751);
    OPCHECK(WITH("bicubic", "reflection", "1"), 1e-5, 2.296899, 3.546853, 3.175134);
    OPCHECK("GridSample x:f32[1,1,1,1]{5} g:f32[1,1,2,2]{nan,0,inf,0}", 0, 0, 0);
    opcheck_type("GridSample x:f32[2,3,4,5,6] g:f32[2,7,8,9,3]", 0, "f32[2,3,7,8,9]");
}

static void what_does_not_fit_is_refused(void **state) {
    opcheck_refused("GridSample x:f32[1,1,2,3] g:f32[1,1,3,3]", ERR_BAD_MODEL, "3 coordinates");
    opcheck_refused("GridSample x:f32[1,1,2,3] g:f32[2,1,3,2]", ERR_BAD_MODEL, "do not agree");
    opcheck_refused("GridSample x:f32[1,1,3] g:f32[1,3,1]", ERR_BAD_MODEL, "rank 3");
    opcheck_refused("GridSample x:f32[1,1,0,3] g:f32[1,1,3,2]", ERR_BAD_FIELD, "nothing to sample");
    opcheck_refused("GridSample(mode='bilinear') x:f32[1,1,2,3] g:f32[1,1,3,2]", ERR_BAD_MODEL,
                    "mode is 'bilinear'"); /* its name until version 19 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_torch_samples),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
