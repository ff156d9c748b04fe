/*
 * The whole pipeline while memory runs out: the n-th allocation fails, for many n. The job must
 * either come home with an error that says why and leave nothing behind, or have done without.
 */
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/tinyjob.h"
#include "tests/support/tinymodel.h"
#include "tests/support/tinynpy.h"
#include "tests/support/tinyonnx.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct tempdir dir;

static void write_net_and_set(void) {
    static const float x[4 * 8] = {1, -1, 0.5f, 2};
    struct bytebuf b = {0};
    tinyonnx_lines(&b, 17,
                   "input x f32[batch,8]\nweight w f32[8,16]\nweight k f32[16]\n"
                   "weight v f32[16,4]\nGemm x w k -> h\nRelu h -> r\nMatMul r v -> y\n"
                   "output y f32[batch,4]");
    tempdir_write(&dir, "net.onnx", b.at, b.len);
    bytebuf_free(&b);
    b = (struct bytebuf){0};
    tinynpy(&b, "<f4", "(4, 8)", x, sizeof x);
    tempdir_write(&dir, "x.npy", b.at, b.len);
    bytebuf_free(&b);
}

static int setup(void **state) {
    tempdir_make(&dir);
    write_net_and_set();
    tinymodel_folder(&dir, "folder", (struct tinymodel_poke){0});
    tinymodel_gguf(&dir, "model.gguf", (struct tinymodel_poke){0});
    return 0;
}

static int teardown(void **state) {
    tempdir_free(&dir);
    return 0;
}

static void remove_output(const char *out) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", out);
    assert_int_equal(system(command), 0);
}

/* One run in which allocation n fails. False when there were fewer. */
static bool run_failing(const struct tinyjob *job, unsigned n, unsigned *failures) {
    struct err err = ERR_INIT;
    struct report *report = NULL;
    allocfail_arm(n);
    int result = tinyjob_run(job, NULL, &report, &err);
    bool failed = allocfail_disarm();
    struct stat st;
    if (result == 0) {
        char *json = report_json(report, NULL);
        CHECK(json != NULL);
        free(json);
        report_free(report);
        remove_output(job->out);
    } else {
        CHECK(failed);
        CHECK(err.text[0]);
        /* jansson calls a string it has no memory for a syntax error, in the recipe or in a
         * config.json (which verification reads again). */
        bool misread = strstr(err.text, " column ") != NULL;
        if (err.code != ERR_NO_MEMORY && !misread)
            fail_msg("allocation %u failed, and the job says: %s", n, err.text);
        CHECK(stat(job->out, &st) < 0);
        ++*failures;
    }
    return failed;
}

static void every_allocation(const struct tinyjob *job) {
    unsigned failures = 0, n = 0;
    /* Every one of the first hundred, then ever fewer: later ones repeat per tensor. */
    while (run_failing(job, n, &failures))
        n += 1 + n / 100;
    CHECK(n > 100);
    CHECK(failures > 90);
    CHECK_UINT(tempdir_count(&dir, "."), 4);
}

static void folder(void **state) {
    struct tinyjob job = {
        .in = tempdir_path(&dir, "folder"),
        .recipe =
            "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\",\"keep\":["
            "{\"match\":\"role:attn\",\"scheme\":\"f16\"},{\"match\":\"*up_proj*\",\"scheme\":"
            "\"int4\",\"symmetric\":false}]}]}",
        .out = tempdir_path(&dir, "out")};
    every_allocation(&job);
}

static void gguf(void **state) {
    struct tinyjob job = {.in = tempdir_path(&dir, "model.gguf"),
                          .recipe = "gguf-q4_0",
                          .out = tempdir_path(&dir, "out"),
                          .threads = 2};
    every_allocation(&job);
}

/* Calibrated, written, verified, measured. */
static void static_ranges(void **state) {
    struct tinyjob job = {.in = tempdir_path(&dir, "net.onnx"),
                          .recipe = "w8a8-static",
                          .set = tempdir_path(&dir, "x.npy"),
                          .out = tempdir_path(&dir, "out")};
    every_allocation(&job);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder),
        cmocka_unit_test(gguf),
        cmocka_unit_test(static_ranges),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
