/* Vector mathematics against libm in f64: errors in units in the last place, special values, and
 * sums that no order of additions spoils. */
#include "compress/tensor/vmath.h"

#include "compress/base/half.h"
#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>

enum { CHUNK = 1024 };

/* Distance of a float from the true value, in units in the last place of f32 at the true value. */
static double ulps(float got, double want) {
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (fabs(want) >= 0x1.ffffffp127) /* rounds to infinity */
        return isinf(got) && signbit(got) == signbit(want) ? 0 : got == (float)want ? 0 : INFINITY;
    int exponent;
    frexp(want, &exponent);
    return fabs((double)got - want) / ldexp(1, exponent < -125 ? -149 : exponent - 24);
}

static double sigmoid(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static const struct function {
    const char *name;
    void (*ours)(const float *x, size_t n, float *ret);
    double (*theirs)(double x);
} functions[] = {
    {"exp", vmath_exp, exp},    {"log", vmath_log, log},
    {"tanh", vmath_tanh, tanh}, {"sigmoid", vmath_sigmoid, sigmoid},
    {"erf", vmath_erf, erf},
};

/* Every 4099th float, of both signs, infinities and NaNs among them. COMPRESSD_VMATH_STEP=1 in the
 * environment looks at all of them. */
static void functions_are_within_two_ulps(void **state) {
    const char *wish = getenv("COMPRESSD_VMATH_STEP");
    uint64_t step = wish ? strtoull(wish, NULL, 10) : 4099;
    CHECK(step > 0);
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        double worst = 0;
        float at = 0, x[CHUNK], y[CHUNK];
        for (uint64_t bits = 0; bits < UINT64_C(1) << 32;) {
            size_t n = 0;
            for (; n < CHUNK && bits < UINT64_C(1) << 32; n++, bits += step)
                x[n] = half_float((uint32_t)bits);
            functions[f].ours(x, n, y);
            for (size_t i = 0; i < n; i++) {
                double e = ulps(y[i], functions[f].theirs((double)x[i]));
                if (e > worst)
                    worst = e, at = x[i];
            }
        }
        if (wish || worst > 2)
            print_message("%s: %.3f ulp at %.9g\n", functions[f].name, worst, (double)at);
        CHECK(worst <= 2);
    }
}

static void ends_are_exact(void **state) {
    const float x[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN};
    const float want[][5] = {{1, 1, INFINITY, 0, NAN},
                             {-INFINITY, -INFINITY, INFINITY, NAN, NAN},
                             {0, -0.0f, 1, -1, NAN},
                             {0.5f, 0.5f, 1, 0, NAN},
                             {0, -0.0f, 1, -1, NAN}};
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        float y[5];
        functions[f].ours(x, 5, y);
        for (size_t i = 0; i < 5; i++) {
            CHECK(isnan(want[f][i]) ? isnan(y[i]) : y[i] == want[f][i]);
            CHECK(isnan(want[f][i]) || signbit(y[i]) == signbit(want[f][i]));
        }
    }
}

static void arithmetic_is_per_element(void **state) {
    float a[37], b[37], y[37];
    for (int i = 0; i < 37; i++)
        a[i] = (float)i - 7.5f, b[i] = (float)(i % 5) + 0.25f;
#define CHECK_EACH(call, want)       \
    do {                             \
        for (int i = 0; i < 37; i++) \
            y[i] = 3;                \
        call;                        \
        for (int i = 0; i < 37; i++) \
            CHECK(y[i] == (want));   \
    } while (0)
    CHECK_EACH(vmath_add(a, b, 37, y), a[i] + b[i]);
    CHECK_EACH(vmath_sub(a, b, 37, y), a[i] - b[i]);
    CHECK_EACH(vmath_mul(a, b, 37, y), a[i] * b[i]);
    CHECK_EACH(vmath_div(a, b, 37, y), a[i] / b[i]);
    CHECK_EACH(vmath_add_scalar(a, 2.5f, 37, y), a[i] + 2.5f);
    CHECK_EACH(vmath_mul_scalar(a, 2.5f, 37, y), a[i] * 2.5f);
    CHECK_EACH(vmath_axpy(0.5f, a, 37, y), 3 + 0.5f * a[i]);
    CHECK_EACH(vmath_muladd(a, b, 37, y), 3 + a[i] * b[i]);
    CHECK_EACH(vmath_add(a, b, 0, y), 3);
}

static void sums_keep_what_floats_lose(void **state) {
    float x[1000], y[1000];
    for (int i = 0; i < 1000; i++)
        x[i] = i == 17 ? 0x1p30f : 1, y[i] = i == 17 ? 0 : 3;
    CHECK(vmath_sum(x, 1000) == 0x1p30 + 999);
    CHECK(vmath_dot(x, y, 1000) == 2997);
    CHECK(vmath_sum_squares(y, 3, 1000) == 9);
    CHECK(vmath_sum_squares(y, 2, 16) == 16);
    CHECK(vmath_max(x, 1000) == 0x1p30f);
    CHECK(vmath_max(x, 0) == -INFINITY);
    CHECK(vmath_sum(x, 0) == 0);
    x[3] = NAN;
    CHECK(vmath_max(x, 10) == 1);
    CHECK(isnan(vmath_sum(x, 10)));
    const float z[] = {1, 2, 3};
    double sum = vmath_exp_sum(z, 3, 3, y);
    CHECK(y[2] == 1);
    CHECK(fabs(sum - (1 + exp(-1) + exp(-2))) < 1e-7);
}

static void clamps(void **state) {
    const real x[5] = {-2, (real)-0.5, 3, 9, (real)NAN};
    real y[5];
    vmath_clamp(x, (struct clamp){-1, 4}, 5, y);
    CHECK_NUM(y[0], -1, 0);
    CHECK_NUM(y[1], -0.5, 0);
    CHECK_NUM(y[2], 3, 0);
    CHECK_NUM(y[3], 4, 0);
    CHECK(isnan(y[4]));
    vmath_clamp(x, (struct clamp){4, 1}, 4, y); /* the upper bound has the last word */
    CHECK_NUM(y[2], 1, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_within_two_ulps),
        cmocka_unit_test(ends_are_exact),
        cmocka_unit_test(arithmetic_is_per_element),
        cmocka_unit_test(sums_keep_what_floats_lose),
        cmocka_unit_test(clamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
