/* Plain numbers: every element type's way to f32, overflow and non-finite values on the way down.
 */
#include "compress/codecs/codec.h"

#include "tests/support/check.h"

#include <float.h>
#include <math.h>
#include <string.h>

static float decode_one(enum dtype dtype, const void *bytes) {
    struct encoding e = encoding_plain(dtype);
    float value;
    codec_decode(&e, 0, 1, 1, bytes, NULL, NULL, &value);
    return value;
}

static void every_type_decodes(void **state) {
    CHECK_NUM(decode_one(DTYPE_F64, &(double){-1.5}), -1.5, 0);
    CHECK(isinf(decode_one(DTYPE_F64, &(double){1e300})));
    CHECK_NUM(decode_one(DTYPE_F32, &(float){0.1f}), 0.1f, 0);
    CHECK_NUM(decode_one(DTYPE_F16, &(uint16_t){0xc500}), -5, 0);
    CHECK_NUM(decode_one(DTYPE_BF16, &(uint16_t){0x4049}), 3.140625, 0);
    CHECK_NUM(decode_one(DTYPE_F8_E4M3, &(uint8_t){0x7e}), 448, 0);
    CHECK_NUM(decode_one(DTYPE_F8_E5M2, &(uint8_t){0x7b}), 57344, 0);
    CHECK_NUM(decode_one(DTYPE_I64, &(int64_t){-5000000000}), -5e9, 0);
    CHECK_NUM(decode_one(DTYPE_U64, &(uint64_t){1ull << 63}), 0x1p63, 0);
    CHECK_NUM(decode_one(DTYPE_I32, &(int32_t){-70000}), -70000, 0);
    CHECK_NUM(decode_one(DTYPE_U32, &(uint32_t){4000000000}), 4e9, 0);
    CHECK_NUM(decode_one(DTYPE_I16, &(int16_t){-300}), -300, 0);
    CHECK_NUM(decode_one(DTYPE_U16, &(uint16_t){65535}), 65535, 0);
    CHECK_NUM(decode_one(DTYPE_I8, &(int8_t){-128}), -128, 0);
    CHECK_NUM(decode_one(DTYPE_U8, &(uint8_t){200}), 200, 0);
    CHECK_NUM(decode_one(DTYPE_BOOL, &(uint8_t){7}), 1, 0);
}

/* Unaligned, as a tensor inside a file may be. */
static void decodes_from_any_address(void **state) {
    uint8_t bytes[1 + 3 * 8];
    const double x[3] = {1, -2, 0.25};
    memcpy(bytes + 1, x, sizeof x);
    struct encoding e = encoding_plain(DTYPE_F64);
    float y[3];
    codec_decode(&e, 0, 1, 3, bytes + 1, NULL, NULL, y);
    for (int i = 0; i < 3; i++)
        CHECK_NUM(y[i], x[i], 0);
}

static void overflow_is_counted_and_infinite(void **state) {
    float x[2000] = {0};
    uint16_t out[2000];
    x[1500] = -65520;
    x[1501] = 65519.996f;
    x[1999] = 1e9f;
    struct encoding e = encoding_plain(DTYPE_F16);
    struct encode_stats stats = {0};
    codec_encode(&e, NULL, 0, 2, 1000, x, NULL, out, NULL, NULL, &stats);
    CHECK_UINT(stats.overflow, 2);
    CHECK_UINT(stats.first_overflow, 1500);
    CHECK_UINT(out[1500], 0xfc00);
    CHECK_UINT(out[1501], 0x7bff);
    e = encoding_plain(DTYPE_BF16);
    x[7] = FLT_MAX;
    stats = (struct encode_stats){0};
    codec_encode(&e, NULL, 0, 2, 1000, x, NULL, out, NULL, NULL, &stats);
    CHECK_UINT(stats.overflow, 1);
    CHECK_UINT(stats.first_overflow, 7);
    CHECK_UINT(out[7], 0x7f80);
}

static void non_finite_is_counted_and_zero(void **state) {
    static const enum dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    float x[1500];
    uint8_t out[4 * 1500];
    for (int t = 0; t < 3; t++) {
        for (int i = 0; i < 1500; i++)
            x[i] = 1;
        x[1200] = NAN;
        x[1300] = INFINITY;
        struct encoding e = encoding_plain(types[t]);
        struct encode_stats stats = {.non_finite = 1, .first_non_finite = 3};
        codec_encode(&e, NULL, 0, 1, 1500, x, NULL, out, NULL, NULL, &stats);
        CHECK_UINT(stats.non_finite, 3); /* added to what was there */
        CHECK_UINT(stats.first_non_finite, 3);
        stats = (struct encode_stats){0};
        codec_encode(&e, NULL, 0, 1, 1500, x, NULL, out, NULL, NULL, &stats);
        CHECK_UINT(stats.first_non_finite, 1200);
        float y[1500];
        codec_decode(&e, 0, 1, 1500, out, NULL, NULL, y);
        for (int i = 0; i < 1500; i++)
            CHECK_NUM(y[i], i == 1200 || i == 1300 ? 0 : 1, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_decodes),
        cmocka_unit_test(decodes_from_any_address),
        cmocka_unit_test(overflow_is_counted_and_infinite),
        cmocka_unit_test(non_finite_is_counted_and_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
