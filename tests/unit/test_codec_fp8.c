/* Scaled fp8: codes by hand, the tensor's one scale, the ends of the scale's type. */
#include "compress/codecs/codec.h"

#include "tests/support/check.h"

#include <math.h>
#include <string.h>

static struct encoding encoding(enum granularity granularity, enum dtype scale_dtype) {
    return (struct encoding){
        .codec = codec_by_name("fp8_e4m3"), .granularity = granularity, .scale_dtype = scale_dtype};
}

static void codes_by_hand(void **state) {
    /* amax 448 and 7: scales 1 and 1/64. */
    const float x[2][4] = {{448, -1, 17, 0.001f}, {7, -7, 0.5f, 0}};
    const uint8_t want[2][4] = {{0x7e, 0xb8, 0x58, 0x01}, {0x7e, 0xfe, 0x60, 0x00}};
    struct encoding e = encoding(GRANULARITY_CHANNEL, DTYPE_F32);
    uint8_t data[8];
    float scale[2], y[8];
    codec_encode(&e, NULL, 0, 2, 4, x[0], NULL, data, scale, NULL, NULL);
    CHECK_NUM(scale[0], 1, 0);
    CHECK_NUM(scale[1], 1.0 / 64, 0);
    CHECK_BYTES(data, want, 8);
    codec_decode(&e, 0, 2, 4, data, scale, NULL, y);
    const float back[8] = {448, -1, 16, 0x1p-9f, 7, -7, 0.5f, 0}; /* 17: a tie, to even */
    for (int i = 0; i < 8; i++)
        CHECK_NUM(y[i], back[i], 0);
}

static void one_scale_for_the_tensor(void **state) {
    const float x[6] = {1, 2, 3, -4, 5, 6};
    struct value_range range = codec_value_range(x, 6);
    struct encoding e = encoding(GRANULARITY_TENSOR, DTYPE_BF16);
    uint8_t data[6], both[6];
    uint16_t scale[2] = {0xdead, 0xbeef};
    codec_encode(&e, NULL, 1, 1, 3, x + 3, &range, data + 3, scale, NULL, NULL);
    CHECK_UINT(scale[0], 0xdead); /* only the first row writes it */
    codec_encode(&e, NULL, 0, 1, 3, x, &range, data, scale, NULL, NULL);
    CHECK_UINT(scale[1], 0xbeef);
    codec_encode(&e, NULL, 0, 2, 3, x, &range, both, scale, NULL, NULL);
    CHECK_BYTES(data, both, 6);
    CHECK_UINT(data[5], 0x7e);
}

static void ends_of_the_scale(void **state) {
    struct encoding e = encoding(GRANULARITY_CHANNEL, DTYPE_F16);
    const float x[2][3] = {{0, -0.0f, 0}, {1e9f, 1, -2e7f}};
    uint8_t data[6];
    uint16_t scale[2];
    float y[6];
    struct encode_stats stats = {0};
    codec_encode(&e, NULL, 0, 2, 3, x[0], NULL, data, scale, NULL, &stats);
    CHECK_UINT(scale[0], 0x1400); /* 2^-10 */
    CHECK_UINT(scale[1], 0x7bff);
    CHECK_UINT(stats.overflow, 1);
    CHECK_UINT(stats.first_overflow, 3);
    float amax = 1e-3f;
    for (int step = 0; step < 41; step++, amax *= 0.8f) { /* down to 1e-7 */
        const float small[3] = {amax, -amax / 3, amax / 9};
        codec_encode(&e, NULL, 0, 1, 3, small, NULL, data, scale, NULL, NULL);
        codec_decode(&e, 0, 1, 3, data, scale, NULL, y);
        for (int i = 0; i < 3; i++)
            CHECK(fabs((double)small[i] - y[i]) <= encoding_error_bound(&e, NULL, amax));
        CHECK(y[0] > 0);
    }
}

static void non_finite_is_zero(void **state) {
    const float x[3] = {NAN, 5, -INFINITY};
    struct encoding e = encoding(GRANULARITY_CHANNEL, DTYPE_BF16);
    uint8_t data[3], want[3] = {0, 0x7e, 0};
    uint16_t scale[1];
    struct encode_stats stats = {0};
    codec_encode(&e, NULL, 0, 1, 3, x, NULL, data, scale, NULL, &stats);
    CHECK_BYTES(data, want, 3);
    CHECK_UINT(stats.non_finite, 2);
    CHECK_UINT(stats.first_non_finite, 0);
    CHECK_UINT(stats.overflow, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_by_hand),
        cmocka_unit_test(one_scale_for_the_tensor),
        cmocka_unit_test(ends_of_the_scale),
        cmocka_unit_test(non_finite_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
