/* The table of metrics, character by character. */
#include "daemon/ctl_metrics.h"

#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>

static void before_and_after_in_columns(void **state) {
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    double accuracy = 0.984, psnr = INFINITY;
    ctl_metrics_head(out, "", "digits", 1000);
    ctl_metrics_row(out, "", "accuracy", "", &accuracy, 0.9835);
    ctl_metrics_row(out, "", "kl", "nats", NULL, 0.00012345678);
    ctl_metrics_row(out, "", "psnr", "dB", &psnr, INFINITY);
    fclose(out);
    CHECK_TEXT(text, "measured on digits (1000 samples)\n"
                     "metric                 original         result\n"
                     "accuracy                  0.984         0.9835\n"
                     "kl                                 0.000123457 nats\n"
                     "psnr                      exact          exact dB\n");
    free(text);
}

static void sets_without_a_name(void **state) {
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ctl_metrics_head(out, "  ", NULL, 1);
    fclose(out);
    CHECK_TEXT(text, "  measured on a dataset (1 samples)\n"
                     "  metric                 original         result\n");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_and_after_in_columns),
        cmocka_unit_test(sets_without_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
