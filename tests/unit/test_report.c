/* The report's JSON: every promised member, numbers as they are, infinities as null. */
#include "compress/report/report.h"
#include "tests/support/check.h"

#include "compress/base/jspec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct report *example(void) {
    static struct report_tensor tensors[] = {
        {.name = "a.weight",
         .role = "mlp",
         .source_scheme = "bf16",
         .scheme = "int8",
         .bits_per_weight = 8.5,
         .bytes = 85,
         .elements = 80,
         .measured = true,
         .sqnr_db = 41.5,
         .mse = 1e-6,
         .max_error = 0.01,
         .nonzero = 79},
        {.name = "b.weight",
         .role = "norm",
         .source_scheme = "f32",
         .scheme = "f32",
         .copied = true,
         .bits_per_weight = 32,
         .bytes = 40,
         .elements = 10,
         .measured = true,
         .sqnr_db = INFINITY,
         .nonzero = 10},
        {.name = "c",
         .role = "",
         .source_scheme = "i64",
         .scheme = "i64",
         .removed = true,
         .elements = 5},
    };
    static struct report_file files[] = {{.path = "m.safetensors", .bytes = 125, .digested = true}};
    static struct report_file inputs[] = {{.path = "m.safetensors", .bytes = 200}};
    struct report *r = report_new();
    assert_non_null(r);
    r->bytes_in = 200;
    r->bytes_out = 125;
    r->parameters_before = r->parameters_after = 90;
    r->nonzero_before = 90;
    r->nonzero_after = 89;
    r->tensors = tensors;
    r->tensor_count = 3;
    r->stages[0] = (struct report_stage){"quantize", 1.5, 1000, 1100};
    r->stage_count = 1;
    r->files = files;
    r->inputs = inputs;
    r->file_count = r->input_count = 1;
    r->worst_tensor = "a.weight";
    r->worst_sqnr_db = 41.5;
    r->bits_per_weight = 11.1;
    r->recipe_name = "int8";
    r->recipe_json = "{\"stages\":[]}";
    r->seed = 3;
    r->threads = 2;
    violations_add(&r->warnings, ERR_MISFIT, "/stages/0", "look out");
    return r;
}

static const struct json_t *path(const struct json_t *at, const char *keys) {
    char text[80];
    snprintf(text, sizeof text, "%s", keys);
    for (char *key = strtok(text, "."); key; key = strtok(NULL, ".")) {
        at = key[0] >= '0' && key[0] <= '9' ? json_array_at(at, strtoul(key, NULL, 10))
                                            : json_get(at, key);
        if (!at)
            fail_msg("there is no %s", keys);
    }
    return at;
}

static double number(const struct json_t *json, const char *keys) {
    double value = NAN;
    json_number(path(json, keys), &value);
    return value;
}

static void members(void **state) {
    struct report *r = example();
    size_t len;
    char *text = report_json(r, &len);
    struct json_t *json;
    struct err err = ERR_INIT;
    CHECK_OK(jspec_parse(text, len, &json, &err), &err);
    CHECK_NUM(number(json, "size.ratio"), 1.6, 1e-12);
    CHECK_NUM(number(json, "size.bits_per_weight"), 11.1, 1e-12);
    CHECK_NUM(number(json, "nonzero.after"), 89, 0);
    CHECK_NUM(number(json, "sparsity.after"), 1.0 / 90, 1e-12);
    CHECK_NUM(number(json, "worst.sqnr_db"), 41.5, 0);
    CHECK_NUM(number(json, "tensors.0.sqnr_db"), 41.5, 0);
    CHECK_NUM(number(json, "tensors.0.mse"), 1e-6, 0);
    CHECK(isnan(number(json, "tensors.1.sqnr_db"))); /* null */
    bool exact = false;
    CHECK(json_bool(path(json, "tensors.1.exact"), &exact) && exact);
    CHECK_TEXT(json_text(path(json, "tensors.2.scheme")), "removed");
    CHECK(json_get(path(json, "tensors.2"), "sqnr_db") == NULL);
    CHECK_NUM(number(json, "stages.0.predicted_bytes"), 1100, 0);
    CHECK_HOLDS(json_text(path(json, "warnings.0.detail")), "look out");
    CHECK_UINT(strlen(json_text(path(json, "files.0.sha256"))), 64);
    CHECK(json_text(path(json, "inputs.files.0.sha256")) == NULL);
    CHECK_TEXT(json_text(path(json, "inputs.recipe_name")), "int8");
    path(json, "inputs.recipe.stages");
    CHECK(json_text(path(json, "environment.version")) != NULL);
    CHECK(json_text(path(json, "environment.cpu"))[0]);
    CHECK(json_text(path(json, "environment.instruction_set"))[0]);
    CHECK_NUM(number(json, "environment.threads"), 2, 0);
    path(json, "metrics");
    path(json, "environment.blas");
    path(json, "macs");
    CHECK_TEXT(json_text(path(json, "compared_with")), "source");
    jspec_free(json);
    free(text);
    report_free(r);
}

/* What a page needs to draw the ranges. */
static void calibration(void **state) {
    static struct calibrate_range ranges[] = {{.value = "r",
                                               .max = 5,
                                               .limit = 2.5,
                                               .scale = 0.01,
                                               .zero_point = -128,
                                               .count = 40,
                                               .zeros = 20,
                                               .clamped = 3,
                                               .shown_from_zero_to = 8,
                                               .shown = {[CALIBRATE_SHOWN - 1] = 20}}};
    static struct report_file files[] = {{.path = "set.npz", .bytes = 77, .digested = true}};
    struct report *r = example();
    size_t len;
    struct json_t *json;
    struct err err = ERR_INIT;
    char *text = report_json(r, &len);
    CHECK_HOLDS(text, "\"calibration\":null");
    free(text);
    r->calibrated = true;
    r->calibration_name = "set";
    r->calibration_method = CALIBRATE_MSE;
    r->calibration_files = files;
    r->calibration_file_count = 1;
    r->calibration = (struct calibrate_result){
        .dataset_kind = "arrays", .samples = 10, .batch = 5, .ranges = ranges, .range_count = 1};
    text = report_json(r, &len);
    CHECK_OK(jspec_parse(text, len, &json, &err), &err);
    CHECK_TEXT(json_text(path(json, "calibration.dataset")), "set");
    CHECK_UINT(strlen(json_text(path(json, "calibration.files.0.sha256"))), 64);
    CHECK_TEXT(json_text(path(json, "calibration.method")), "mse");
    CHECK_HOLDS(json_text(path(json, "calibration.protocol")), "squared error");
    CHECK_NUM(number(json, "calibration.samples"), 10, 0);
    CHECK(json_get(path(json, "calibration"), "window") == NULL); /* of token ids alone */
    CHECK_TEXT(json_text(path(json, "calibration.ranges.0.value")), "r");
    CHECK_NUM(number(json, "calibration.ranges.0.limit"), 2.5, 0);
    CHECK_NUM(number(json, "calibration.ranges.0.zero_point"), -128, 0);
    CHECK_NUM(number(json, "calibration.ranges.0.clamped"), 3, 0);
    CHECK_NUM(number(json, "calibration.ranges.0.histogram.to"), 8, 0);
    CHECK_NUM(number(json, "calibration.ranges.0.histogram.counts.63"), 20, 0);
    jspec_free(json);
    free(text);
    report_free(r);
}

static void summary(void **state) {
    struct report *r = example();
    char *text = report_summary_json(r);
    struct json_t *json;
    struct err err = ERR_INIT;
    CHECK_OK(jspec_parse(text, strlen(text), &json, &err), &err);
    CHECK_NUM(number(json, "bytes_out"), 125, 0);
    CHECK_NUM(number(json, "worst_sqnr_db"), 41.5, 0);
    path(json, "quality");
    jspec_free(json);
    free(text);
    report_free(r);
}

static void decibels(void **state) {
    CHECK_NUM(report_sqnr_db(100, 1), 20, 1e-12);
    CHECK(isinf(report_sqnr_db(5, 0)));
    CHECK(report_sqnr_db(0, 1) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),
        cmocka_unit_test(calibration),
        cmocka_unit_test(summary),
        cmocka_unit_test(decibels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
