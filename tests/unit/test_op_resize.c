/* Resampling against torch.nn.functional.interpolate of PyTorch 2.13, and by hand. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#define X "x:f32[1,1,2,3]{1,2,4,7,5,3} "
#define TO(h, w) "- - sizes:i64[4]{1,1," #h "," #w "}"

static void as_torch_interpolates(void **state) {
    /* bilinear; bilinear, align_corners; bicubic; nearest; nearest-exact; bilinear, antialias */
    OPCHECK("Resize(mode='linear') " X TO(3, 5), 1e-6, 1, 1.4, 2, 3.2, 4, 4, 3.8, 3.5, 3.5, 3.5, 7,
            6.2, 5, 3.8, 3);
    OPCHECK("Resize(mode='linear', coordinate_transformation_mode='align_corners') " X TO(3, 4),
            1e-6, 1, 1.666667, 2.666667, 4, 4, 3.666667, 3.5, 3.5, 7, 5.666667, 4.333333, 3);
    OPCHECK("Resize(mode='cubic') " X TO(3, 4), 1e-6, 0.3886974, 1.027517, 2.723882, 4.255284,
            4.035889, 3.680176, 3.445068, 3.5, 7.68308, 6.332835, 4.166255, 2.744717);
    OPCHECK("Resize(mode='nearest', nearest_mode='floor', "
            "coordinate_transformation_mode='asymmetric') " X TO(3, 5),
            0, 1, 1, 2, 2, 4, 1, 1, 2, 2, 4, 7, 7, 5, 5, 3);
    OPCHECK("Resize(mode='nearest', nearest_mode='round_prefer_ceil') " X TO(3, 5), 0, 1, 1, 2, 4,
            4, 7, 7, 5, 3, 3, 7, 7, 5, 3, 3);
    OPCHECK("Resize(mode='linear', antialias=1, exclude_outside=1) x:f32[6]{1,2,4,8,16,3} - - "
            "sizes:i64[1]{3}",
            1e-6, 1.857143, 6.75, 9.285714);
}

static void other_ways_to_ask(void **state) {
    OPCHECK("Resize@10 x:i8[2]{1,2} s:f32[1]{2.0}", 0, 1, 1, 2, 2);
    OPCHECK("Upsample@7(scales=[1.0,2.0]) x:f32[1,2]{1,2}", 0, 1, 1, 2, 2);
    OPCHECK("Upsample@9(mode='linear') x:f32[2]{1,3} s:f32[1]{2.0}", 1e-6, 1, 2, 3, 3);
    OPCHECK("Resize(mode='linear') x:u8[2]{0,100} - - sizes:i64[1]{4}", 0, 0, 25, 75, 100);
    opcheck_type("Resize x:f32[2,3,10] - scales:f32[3]{1.0,2.0,0.75}", 0, "f32[2,6,7]");
    opcheck_type("Resize(axes=[-1]) x:f32[2,3,10] - - s:i64[1]{4}", 0, "f32[2,3,4]");
    opcheck_type("Resize(keep_aspect_ratio_policy='not_larger') x:f32[4,6] - - s:i64[2]{6,6}", 0,
                 "f32[4,6]");
    opcheck_type("Resize(keep_aspect_ratio_policy='not_smaller') x:f32[4,6] - - s:i64[2]{6,6}", 0,
                 "f32[6,9]");
    /* half of the crop lies outside */
    OPCHECK("Resize(mode='linear', coordinate_transformation_mode='tf_crop_and_resize', "
            "extrapolation_value=-1.0) x:f32[3]{1,2,4} roi:f32[2]{0.5,1.5} - sizes:i64[1]{3}",
            1e-6, 2, 4, -1);
}

static void what_does_not_fit_is_refused(void **state) {
    opcheck_refused("Resize x:f32[2]", ERR_BAD_MODEL, "either scales or sizes");
    opcheck_refused("Resize x:f32[2] - s:f32[1]{2.0} z:i64[1]{4}", ERR_BAD_MODEL, "either");
    opcheck_refused("Resize x:f32[2] - s:f32[1]{-2.0}", ERR_BAD_MODEL, "a scale is -2");
    opcheck_refused("Resize x:f32[2] - s:f32[2]{1.0,2.0}", ERR_BAD_MODEL, "2 scales or sizes");
    opcheck_refused("Resize x:f32[2] - - s:i64[1]{-1}", ERR_BAD_MODEL, "a size is -1");
    opcheck_refused("Resize(mode='lanczos') x:f32[2] - - s:i64[1]{4}", ERR_BAD_MODEL,
                    "mode is 'lanczos'");
    opcheck_refused("Resize(coordinate_transformation_mode='tf_half_pixel_for_nn') x:f32[2] - - "
                    "s:i64[1]{4}",
                    ERR_UNSUPPORTED, "tf_half_pixel_for_nn");
    opcheck_refused("Resize x:f32[0] - - s:i64[1]{4}", ERR_BAD_FIELD, "nothing to resample");
    opcheck_refused("Resize(coordinate_transformation_mode='tf_crop_and_resize') x:f32[2] - - "
                    "s:i64[1]{4}",
                    ERR_BAD_FIELD, "region of 2 numbers");
}

static void symbols_pass(void **state) {
    opcheck_symbolic("Resize(axes=[1]) x:f32[2,3] - - s:i64[1]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_torch_interpolates),
        cmocka_unit_test(other_ways_to_ask),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(symbols_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
