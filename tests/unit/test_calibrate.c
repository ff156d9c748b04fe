/* Histograms and the limits found in them. The run itself: test_onnx_qdq. */
#include "compress/passes/calibrate.h"

#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>

static struct calibrate_histogram *new_histogram(void) {
    struct calibrate_histogram *h = calloc(1, sizeof *h);
    CHECK(h != NULL);
    return h;
}

static uint64_t total(const struct calibrate_histogram *h) {
    uint64_t sum = h->zeros;
    for (size_t i = 0; i < CALIBRATE_BINS; i++)
        sum += h->counts[i];
    return sum;
}

static void names(void **state) {
    CHECK_INT(calibrate_method_by_name("minmax"), CALIBRATE_MINMAX);
    CHECK_INT(calibrate_method_by_name("percentile"), CALIBRATE_PERCENTILE);
    CHECK_INT(calibrate_method_by_name("mse"), CALIBRATE_MSE);
    CHECK_INT(calibrate_method_by_name("entropy"), CALIBRATE_ENTROPY);
    CHECK_INT(calibrate_method_by_name("max"), -1);
}

/* A larger value halves the resolution, and nothing is lost. */
static void ranges_grow(void **state) {
    struct calibrate_histogram *h = new_histogram();
    static const float first[] = {0, 0.25f, -1, 0.5f}, more[] = {3.5f, -0.75f};
    CHECK(calibrate_add(h, first, 4));
    CHECK_NUM(h->limit, 1, 0);
    CHECK(calibrate_add(h, more, 2));
    CHECK_NUM(h->limit, 4, 0);
    CHECK_NUM(h->largest, 3.5, 0);
    CHECK_UINT(h->zeros, 1);
    CHECK_UINT(total(h), 6);
    CHECK_UINT(h->counts[CALIBRATE_BINS / 16], 1);     /* 0.25 of 4 */
    CHECK_UINT(h->counts[CALIBRATE_BINS / 4 - 1], 1);  /* 1 was the last bin's of 1 */
    CHECK_UINT(h->counts[CALIBRATE_BINS * 7 / 8], 1);  /* 3.5 */
    CHECK_UINT(h->counts[CALIBRATE_BINS * 3 / 16], 1); /* 0.75 */
    CHECK_NUM(calibrate_limit(h, CALIBRATE_MINMAX, 128), 3.5, 0);
    free(h);
}

static void what_is_not_finite(void **state) {
    struct calibrate_histogram *h = new_histogram();
    const float x[] = {1, NAN}, y[] = {INFINITY};
    CHECK(!calibrate_add(h, x, 2));
    CHECK(!calibrate_add(h, y, 1));
    free(h);
}

static void nothing_but_zeros(void **state) {
    struct calibrate_histogram *h = new_histogram();
    static const float x[100];
    CHECK(calibrate_add(h, x, 100));
    for (int method = CALIBRATE_MINMAX; method <= CALIBRATE_ENTROPY; method++)
        CHECK_NUM(calibrate_limit(h, (enum calibrate_method)method, 128), 0, 0);
    free(h);
}

/* 100,000 values spread evenly up to 1, and one of 8: the methods that look leave it out. */
static void an_outlier(void **state) {
    enum { COUNT = 100000 };
    struct calibrate_histogram *h = new_histogram();
    float *x = malloc(COUNT * sizeof *x);
    CHECK(x != NULL);
    for (size_t i = 0; i < COUNT; i++)
        x[i] = (float)(i + 1) / COUNT * (i % 2 ? 1 : -1);
    x[7] = 8;
    CHECK(calibrate_add(h, x, COUNT));
    CHECK_NUM(calibrate_limit(h, CALIBRATE_MINMAX, 128), 8, 0);
    CHECK_NUM(calibrate_limit(h, CALIBRATE_PERCENTILE, 128), 1, 0.02);
    double mse = calibrate_limit(h, CALIBRATE_MSE, 128);
    double entropy = calibrate_limit(h, CALIBRATE_ENTROPY, 128);
    CHECK(mse >= 0.9 && mse < 8);
    CHECK(entropy >= 0.9 && entropy < 8);
    free(x);
    free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(ranges_grow),
        cmocka_unit_test(what_is_not_finite),
        cmocka_unit_test(nothing_but_zeros),
        cmocka_unit_test(an_outlier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
