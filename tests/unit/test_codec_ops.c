/* What the codec families share: scales as their types store them, input made finite, counts. */
#include "compress/codecs/codec_ops.h"

#include "compress/base/half.h"
#include "tests/support/check.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const enum dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};

/* The neighbours of a stored scale, as bit patterns one apart. */
static float neighbour(enum dtype dtype, float scale, int step) {
    if (dtype == DTYPE_F16)
        return half_from_f16((uint16_t)(half_to_f16(scale) + step));
    if (dtype == DTYPE_BF16)
        return half_from_bf16((uint16_t)(half_to_bf16(scale) + step));
    return half_float(half_bits(scale) + (uint32_t)step);
}

static void scales_are_the_nearest(void **state) {
    for (int t = 0; t < 3; t++) {
        double exact = types[t] == DTYPE_F16 ? 0x1p-14 : 0x1p-126;
        for (int i = 0; i < 500; i++, exact *= types[t] == DTYPE_F16 ? 1.041 : 1.41) {
            float stored = codec_scale_as_stored(types[t], exact);
            double off = fabs(stored - exact);
            /* The way through f32 may turn a near tie; by no more than f32's last bit. */
            double slack = exact * 0x1p-24;
            CHECK(off <= fabs(neighbour(types[t], stored, 1) - exact) + slack);
            CHECK(off <= fabs(neighbour(types[t], stored, -1) - exact) + slack);
        }
    }
}

static void subnormal_scales_round_up(void **state) {
    for (int t = 0; t < 3; t++) {
        double exact = types[t] == DTYPE_F16 ? 0x1p-14 : 0x1p-126;
        for (int i = 0; i < 200; i++) {
            exact *= 0.83;
            float stored = codec_scale_as_stored(types[t], exact);
            CHECK(stored >= exact && stored > 0);
            CHECK(neighbour(types[t], stored, -1) < exact);
        }
    }
}

static void scales_are_finite_and_never_zero(void **state) {
    CHECK_NUM(codec_scale_as_stored(DTYPE_F16, 65505), 65504, 0);
    CHECK_NUM(codec_scale_as_stored(DTYPE_F16, 1e30), 65504, 0);
    CHECK_NUM(codec_scale_as_stored(DTYPE_BF16, 3.4e38), 0x1.fep127, 0);
    CHECK_NUM(codec_scale_as_stored(DTYPE_F32, 1e300), FLT_MAX, 0);
    CHECK_NUM(codec_scale_as_stored(DTYPE_F32, 0), 0x1p-23, 0);
    CHECK_NUM(codec_scale_as_stored(DTYPE_F16, 0), 0x1p-10, 0);
    CHECK_NUM(codec_scale_as_stored(DTYPE_BF16, 0), 0x1p-7, 0);
}

static void scales_come_back(void **state) {
    for (int t = 0; t < 3; t++) {
        uint8_t part[1 + 4 * 3]; /* from an odd address, as inside a file */
        const float scales[3] = {0.5f, 0x1p-10f, 1024};
        for (int i = 0; i < 3; i++)
            codec_scale_store(types[t], part + 1, (uint64_t)i, scales[i]);
        for (int i = 0; i < 3; i++)
            CHECK_NUM(codec_scale_load(types[t], part + 1, (uint64_t)i), scales[i], 0);
    }
}

static void input_is_scanned_and_cleaned(void **state) {
    float x[5] = {3, NAN, -7, INFINITY, 0}, scratch[CODEC_PIECE];
    struct encode_stats stats = {0};
    struct float_range range = codec_scan(x, 5, 100, &stats);
    CHECK_NUM(range.min, -7, 0);
    CHECK_NUM(range.max, 3, 0);
    CHECK_UINT(stats.non_finite, 2);
    CHECK_UINT(stats.first_non_finite, 101);
    codec_scan(x, 5, 0, &stats); /* the first stays the first that was met */
    CHECK_UINT(stats.non_finite, 4);
    CHECK_UINT(stats.first_non_finite, 101);
    const float *clean = codec_finite(x, 5, 0, scratch), want[5] = {3, 0, -7, 0, 0};
    CHECK_BYTES(clean, want, sizeof want);
    CHECK(codec_finite(x, 5, 1, scratch) == x);
    codec_count_overflow(&stats, 7, 0);
    CHECK_UINT(stats.overflow, 0);
    codec_count_overflow(&stats, 8, 2);
    codec_count_overflow(&stats, 3, 1);
    CHECK_UINT(stats.overflow, 3);
    CHECK_UINT(stats.first_overflow, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_are_the_nearest),
        cmocka_unit_test(subnormal_scales_round_up),
        cmocka_unit_test(scales_are_finite_and_never_zero),
        cmocka_unit_test(scales_come_back),
        cmocka_unit_test(input_is_scanned_and_cleaned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
