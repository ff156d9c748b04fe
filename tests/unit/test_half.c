/* Small floats: every code against arithmetic that knows only powers of two, every gap between
 * neighbours at its middle and on either side of it. */
#include "compress/base/half.h"

#include "tests/support/check.h"

#include <math.h>

/* The value a code stands for, from the definition. NaN for a NaN. */
static double define(unsigned code, int exponent_bits, int mantissa_bits, int has_infinity) {
    int bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
    int mantissa = (int)(code & ((1u << mantissa_bits) - 1));
    int exponent = (int)(code >> mantissa_bits) & top;
    double sign = code >> (mantissa_bits + exponent_bits) & 1 ? -1 : 1;
    if (has_infinity && exponent == top)
        return mantissa ? NAN : sign * INFINITY;
    if (!has_infinity && exponent == top && mantissa == (1 << mantissa_bits) - 1)
        return NAN;
    double fraction = ldexp(mantissa, -mantissa_bits);
    return exponent ? sign * ldexp(1 + fraction, exponent - bias)
                    : sign * ldexp(fraction, 1 - bias);
}

static void widening_is_the_definition(void **state) {
    for (unsigned code = 0; code < 65536; code++) {
        double f16 = define(code, 5, 10, 1), bf16 = define(code, 8, 7, 1);
        float a = half_from_f16((uint16_t)code), b = half_from_bf16((uint16_t)code);
        CHECK(isnan(f16) ? isnan(a) : (a == f16 && !!signbit(a) == (int)(code >> 15)));
        CHECK(isnan(bf16) ? isnan(b) : (b == bf16 && !!signbit(b) == (int)(code >> 15)));
    }
    for (unsigned code = 0; code < 256; code++) {
        double e4m3 = define(code, 4, 3, 0), e5m2 = define(code, 5, 2, 1);
        float a = half_from_e4m3((uint8_t)code), b = half_from_e5m2((uint8_t)code);
        CHECK(isnan(e4m3) ? isnan(a) : (a == e4m3 && !!signbit(a) == (int)(code >> 7)));
        CHECK(isnan(e5m2) ? isnan(b) : (b == e5m2 && !!signbit(b) == (int)(code >> 7)));
    }
}

typedef unsigned narrow_fn(float value);
static unsigned to_f16(float v) {
    return half_to_f16(v);
}
static unsigned to_bf16(float v) {
    return half_to_bf16(v);
}
static unsigned to_e4m3(float v) {
    return half_to_e4m3(v);
}

/* Codes [0, last] are in order of value: each comes back, and what lies between it and the next
 * goes to the nearer, the middle to the even one. */
static void check_narrowing(narrow_fn *narrow, double (*value)(unsigned), unsigned last,
                            unsigned sign) {
    for (unsigned code = 0; code <= last; code++) {
        float here = (float)value(code);
        CHECK_UINT(narrow(here), code);
        CHECK_UINT(narrow(-here), code | sign);
        if (code == last)
            break;
        float middle = (float)((value(code) + value(code + 1)) / 2); /* exact: one bit more */
        CHECK_UINT(narrow(middle), code + (code & 1));
        CHECK_UINT(narrow(-middle), (code + (code & 1)) | sign);
        CHECK_UINT(narrow(nextafterf(middle, INFINITY)), code + 1);
        CHECK_UINT(narrow(nextafterf(middle, 0)), code);
    }
}

static double f16(unsigned code) {
    return define(code, 5, 10, 1);
}
static double bf16(unsigned code) {
    return define(code, 8, 7, 1);
}
static double e4m3(unsigned code) {
    return define(code, 4, 3, 0);
}

static void narrowing_rounds_to_even(void **state) {
    check_narrowing(to_f16, f16, 0x7bff, 0x8000);
    check_narrowing(to_bf16, bf16, 0x7f7f, 0x8000);
    check_narrowing(to_e4m3, e4m3, 0x7e, 0x80);
}

static void limits(void **state) {
    CHECK_UINT(half_to_f16(65519.996f), 0x7bff);
    CHECK_UINT(half_to_f16(65520.0f), 0x7c00);
    CHECK_UINT(half_to_f16(-3e38f), 0xfc00);
    CHECK_UINT(half_to_f16(INFINITY), 0x7c00);
    CHECK_UINT(half_to_bf16(3.4e38f), 0x7f80);
    CHECK_UINT(half_to_bf16(-INFINITY), 0xff80);
    CHECK_UINT(half_to_e4m3(1e9f), 0x7e);
    CHECK_UINT(half_to_e4m3(-464.5f), 0xfe);
    CHECK_UINT(half_to_e4m3(-INFINITY), 0xfe);
    /* NaNs lose sign and payload on the way down. */
    const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff};
    for (int i = 0; i < 4; i++) {
        CHECK_UINT(half_to_f16(half_float(nans[i])), 0x7e00);
        CHECK_UINT(half_to_bf16(half_float(nans[i])), 0x7fc0);
        CHECK_UINT(half_to_e4m3(half_float(nans[i])), 0x7f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widening_is_the_definition),
        cmocka_unit_test(narrowing_rounds_to_even),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
