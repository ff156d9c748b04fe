/* Metrics against numbers worked out by hand. */
#include "compress/exec/metrics.h"

#include "tests/support/check.h"

#include <math.h>

static struct array scores(real *data, uint64_t positions, uint64_t classes) {
    return (struct array){DTYPE_F32, 2, {positions, classes}, positions * classes, data};
}

static double get(const struct metrics *m, enum metric_id id) {
    struct metric_value value;
    CHECK(metrics_get(m, id, &value));
    return value.value;
}

static void rows_stand_at_their_ids(void **state) {
    const struct metric *row;
    for (size_t i = 0; (row = metric_at(i)); i++) {
        CHECK_INT(row->id, (int)i);
        CHECK(metric_by_name(row->name) == row);
        CHECK(row->protocol && *row->protocol);
    }
    CHECK(metric_by_name("quality") == NULL);
}

static void labels(void **state) {
    struct err err = ERR_INIT;
    struct metrics *m = metrics_new();
    /* softmax of (0, ln 3) is (1/4, 3/4) */
    real data[] = {0, (real)log(3), 0, (real)log(3), 5, 5};
    int64_t ids[] = {1, 0, -100};
    struct array s = scores(data, 3, 2), l = {DTYPE_I64, 1, {3}, 3, ids};
    CHECK_OK(metrics_add_labels(m, &s, false, &l, -100, &err), &err);
    CHECK_NUM(get(m, METRIC_CROSS_ENTROPY), -(log(0.75) + log(0.25)) / 2, 1e-6);
    CHECK_NUM(get(m, METRIC_PERPLEXITY), exp(-(log(0.75) + log(0.25)) / 2), 1e-6);
    CHECK_NUM(get(m, METRIC_ACCURACY), 0.5, 0);
    CHECK_NUM(get(m, METRIC_TOP5), 1, 0);
    struct metric_value none;
    CHECK(!metrics_get(m, METRIC_KL, &none));
    CHECK(!metrics_get(m, METRIC_MSE, &none));
    ids[0] = 2;
    CHECK(metrics_add_labels(m, &s, false, &l, -100, &err) < 0);
    CHECK_TEXT(err.text, "the label at position 0 is 2, outside of [0, 2)");
    err_clear(&err);
    l.elements = l.dims[0] = 2;
    CHECK_FAILS(metrics_add_labels(m, &s, false, &l, -100, &err), &err, ERR_BAD_FIELD);
    metrics_free(m);
}

static void fifth_and_sixth(void **state) {
    struct err err = ERR_INIT;
    struct metrics *m = metrics_new();
    real data[] = {6, 5, 4, 3, 2, 1, 0};
    int64_t id = 4;
    struct array s = scores(data, 1, 7), l = {DTYPE_I64, 1, {1}, 1, &id};
    CHECK_OK(metrics_add_labels(m, &s, false, &l, -1, &err), &err);
    CHECK_NUM(get(m, METRIC_TOP5), 1, 0);
    id = 5;
    CHECK_OK(metrics_add_labels(m, &s, false, &l, -1, &err), &err);
    CHECK_NUM(get(m, METRIC_TOP5), 0.5, 0);
    metrics_free(m);
}

static void divergence(void **state) {
    struct err err = ERR_INIT;
    struct metrics *m = metrics_new();
    real p[] = {0, 0, 0, 0}, q[] = {0, 0, 0, (real)log(3)}; /* 1/2,1/2 and 1/4,3/4 */
    struct array a = scores(q, 2, 2), b = scores(p, 2, 2);
    CHECK_OK(metrics_add_scores(m, &a, &b, false, &err), &err);
    double kl = 0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75);
    struct metric_value value;
    CHECK(metrics_get(m, METRIC_KL, &value));
    CHECK_NUM(value.value, kl / 2, 1e-6);
    CHECK_NUM(value.max, kl, 1e-6);
    CHECK_NUM(value.median, 0, 1e-9);
    CHECK_NUM(value.p999, kl, kl * 0.005);
    size_t at = (size_t)((log10(kl) + 12) / 15 * METRIC_SHOWN);
    CHECK_UINT(value.shown[0], 1);
    CHECK_UINT(value.shown[at], 1);
    CHECK_NUM(get(m, METRIC_TOP1_AGREEMENT), 0.5, 0);
    /* as probabilities */
    struct metrics *again = metrics_new();
    real pp[] = {0.5, 0.5}, qq[] = {0.25, 0.75};
    a = scores(qq, 1, 2), b = scores(pp, 1, 2);
    CHECK_OK(metrics_add_scores(again, &a, &b, true, &err), &err);
    CHECK_NUM(get(again, METRIC_KL), kl, 1e-6);
    b = scores(pp, 2, 1);
    CHECK_FAILS(metrics_add_scores(again, &a, &b, true, &err), &err, ERR_BAD_FIELD);
    metrics_free(again);
    metrics_free(m);
}

static void values(void **state) {
    struct err err = ERR_INIT;
    struct metrics *m = metrics_new();
    real x[] = {1, 2, 3, 4}, y[] = {1, 2, 3, 2};
    struct array reference = scores(x, 2, 2), output = scores(y, 2, 2);
    CHECK_OK(metrics_add_values(m, &output, &reference, &err), &err);
    CHECK_NUM(get(m, METRIC_MSE), 1, 0);
    CHECK_NUM(get(m, METRIC_PSNR), 10 * log10(9), 1e-12);
    CHECK_NUM(get(m, METRIC_SQNR), 10 * log10(30.0 / 4), 1e-12);
    CHECK_NUM(get(m, METRIC_COSINE), (1 + 17 / (5 * sqrt(13))) / 2, 1e-12);
    struct metrics *same = metrics_new();
    CHECK_OK(metrics_add_values(same, &reference, &reference, &err), &err);
    CHECK(isinf(get(same, METRIC_SQNR)) && isinf(get(same, METRIC_PSNR)));
    CHECK_NUM(get(same, METRIC_COSINE), 1, 1e-12);
    metrics_free(same);
    metrics_free(m);
}

/* A mask is equal infinities; anything else that is not finite is told, and nothing is NaN. */
static void what_is_not_finite(void **state) {
    struct err err = ERR_INIT;
    const real inf = INFINITY;
    real masked[] = {1, -inf, 2, -inf}, other[] = {1, -inf, 2, 5}, nan[] = {1, NAN, 2, 3};
    int64_t ids[] = {0, 0};
    struct array a = scores(masked, 2, 2), b = scores(other, 2, 2), n = scores(nan, 2, 2),
                 l = {DTYPE_I64, 1, {2}, 2, ids};
    struct metrics *m = metrics_new();
    CHECK_OK(metrics_add_values(m, &a, &a, &err), &err);
    CHECK_NUM(get(m, METRIC_MSE), 0, 0);
    struct metric_value value;
    CHECK(metrics_get(m, METRIC_MSE, &value));
    CHECK_UINT(value.count, 2);
    CHECK(metrics_add_values(m, &b, &a, &err) < 0);
    CHECK_HOLDS(err.text, "sample 1 of the batch");
    CHECK_FAILS(-1, &err, ERR_NON_FINITE);
    CHECK_FAILS(metrics_add_values(m, &n, &a, &err), &err, ERR_NON_FINITE);

    CHECK_OK(metrics_add_scores(m, &a, &a, false, &err), &err);
    CHECK_NUM(get(m, METRIC_KL), 0, 0);
    CHECK(metrics_add_scores(m, &a, &b, false, &err) < 0); /* what can be there cannot here */
    CHECK_HOLDS(err.text, "position 1");
    CHECK_FAILS(-1, &err, ERR_NON_FINITE);
    CHECK_OK(metrics_add_labels(m, &a, false, &l, -100, &err), &err);
    ids[1] = 1;
    CHECK_FAILS(metrics_add_labels(m, &a, false, &l, -100, &err), &err, ERR_NON_FINITE);
    CHECK_FAILS(metrics_add_labels(m, &n, false, &l, -100, &err), &err, ERR_NON_FINITE);
    metrics_free(m);

    /* A softmax rounds to 0 what is not impossible. */
    real p[] = {1, 0}, q[] = {0.5, 0.5};
    a = scores(p, 1, 2), b = scores(q, 1, 2);
    l.dims[0] = l.elements = 1;
    ids[0] = 1;
    m = metrics_new();
    CHECK_OK(metrics_add_labels(m, &a, true, &l, -100, &err), &err);
    CHECK_NUM(get(m, METRIC_CROSS_ENTROPY), 149 * log(2), 1e-9);
    CHECK_OK(metrics_add_scores(m, &a, &b, true, &err), &err);
    CHECK_NUM(get(m, METRIC_KL), 0.5 * (log(0.5) - log(1)) + 0.5 * (log(0.5) + 149 * log(2)), 1e-9);
    metrics_free(m);
}

static void another_is_named(void **state) {
    char text[200];
    unsigned possible = 1u << METRIC_KL | 1u << METRIC_TOP1_AGREEMENT | 1u << METRIC_PSNR;
    CHECK_TEXT(metric_instead(METRIC_ACCURACY, possible)->name, "top1_agreement");
    CHECK_TEXT(metric_instead(METRIC_PERPLEXITY, possible)->name, "kl");
    CHECK_TEXT(metric_instead(METRIC_ACCURACY, 1u << METRIC_SQNR)->name, "sqnr");
    CHECK(metric_instead(METRIC_ACCURACY, 0) == NULL);
    CHECK_TEXT(metric_names(possible, text, sizeof text), "kl, top1_agreement, psnr");
    CHECK_TEXT(metric_names(0, text, sizeof text), "");
    CHECK_TEXT(metric_names(possible, text, 4), "kl,"); /* cut, not overrun */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_stand_at_their_ids),
        cmocka_unit_test(labels),
        cmocka_unit_test(fifth_and_sixth),
        cmocka_unit_test(divergence),
        cmocka_unit_test(values),
        cmocka_unit_test(what_is_not_finite),
        cmocka_unit_test(another_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
