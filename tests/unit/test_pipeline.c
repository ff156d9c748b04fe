/*
 * The whole job on tiny models: every preset, the same bytes whatever the threads, nothing shipped
 * that was not re-read, nothing left when it stops.
 */
#include "compress/recipe/pipeline.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/tinyjob.h"
#include "tests/support/tinymodel.h"
#include "tests/support/tinynpy.h"
#include "tests/support/tinyonnx.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tempdir dir;

static int setup(void **state) {
    tempdir_make(&dir);
    tinymodel_folder(&dir, "folder", (struct tinymodel_poke){0});
    tinymodel_gguf(&dir, "model.gguf", (struct tinymodel_poke){0});
    return 0;
}

static int teardown(void **state) {
    tempdir_free(&dir);
    return 0;
}

static const char *source_for(const struct preset *preset) {
    return tempdir_path(&dir, strstr(preset->reads, "safetensors") ? "folder" : "model.gguf");
}

static void check_same_files(const struct report *a, const struct report *b) {
    CHECK_UINT(a->file_count, b->file_count);
    for (size_t i = 0; i < a->file_count; i++) {
        CHECK_TEXT(a->files[i].path, b->files[i].path);
        CHECK_UINT(a->files[i].bytes, b->files[i].bytes);
        CHECK(digest_equal(&a->files[i].sha256, &b->files[i].sha256));
    }
}

static void check_report(const struct report *r, bool lossless) {
    CHECK_UINT(r->stage_count, 2);
    for (size_t i = 0; i < r->stage_count; i++) {
        CHECK(r->stages[i].peak_bytes > 0);
        CHECK(r->stages[i].peak_bytes <= r->stages[i].predicted_bytes);
    }
    CHECK_UINT(r->parameters_after, r->parameters_before);
    CHECK(r->nonzero_before > 0 && r->nonzero_after > 0);
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->file_count; i++)
        bytes += r->files[i].bytes;
    CHECK_UINT(bytes, r->bytes_out);
    size_t changed = 0;
    for (size_t i = 0; i < r->tensor_count; i++) {
        const struct report_tensor *t = &r->tensors[i];
        CHECK(t->measured && t->bytes > 0);
        changed += !t->copied;
        if (!t->copied)
            CHECK(t->sqnr_db > 15);
        else
            CHECK(isinf(t->sqnr_db) && t->max_error == 0);
    }
    if (!lossless)
        CHECK(changed > 0 && r->worst_tensor && isfinite(r->worst_sqnr_db));
}

/* Every preset, with one, two and five threads and without a team. */
static void every_preset(void **state) {
    static const unsigned threads[] = {0, 1, 2, 5};
    for (size_t i = 0; preset_at(i); i++) {
        const struct preset *preset = preset_at(i);
        struct report *first = NULL;
        if (strcmp(preset->reads, "onnx") == 0) /* it needs a graph and data */
            continue;
        for (size_t k = 0; k < sizeof threads / sizeof threads[0]; k++) {
            char out[64];
            snprintf(out, sizeof out, "out-%s-%u", preset->name, threads[k]);
            struct tinyjob job = {.in = source_for(preset),
                                  .recipe = preset->name,
                                  .out = tempdir_path(&dir, out),
                                  .threads = threads[k]};
            struct report *report = NULL;
            struct err err = ERR_INIT;
            CHECK_OK(tinyjob_run(&job, NULL, &report, &err), &err);
            check_report(report, strcmp(preset->name, "bf16") == 0);
            if (first)
                check_same_files(first, report);
            else
                first = report;
            if (first != report)
                report_free(report);
        }
        report_free(first);
    }
}

static void float_presets_on_gguf(void **state) {
    static const char *const names[] = {"f16", "bf16"};
    for (size_t i = 0; i < 2; i++) {
        char out[64];
        snprintf(out, sizeof out, "gguf-%s.gguf", names[i]);
        struct tinyjob job = {.in = tempdir_path(&dir, "model.gguf"),
                              .recipe = names[i],
                              .out = tempdir_path(&dir, out),
                              .threads = 2};
        struct report *r;
        struct err err = ERR_INIT;
        CHECK_OK(tinyjob_run(&job, NULL, &r, &err), &err);
        for (size_t k = 0; k < r->tensor_count; k++) /* norms stay in 32 bits */
            CHECK_TEXT(r->tensors[k].scheme, strstr(r->tensors[k].name, "norm") ? "f32" : names[i]);
        report_free(r);
    }
}

/* What came out can go in again: back to floats, and from one block format to another. */
static void requantizing(void **state) {
    struct err err = ERR_INIT;
    struct report *r;
    struct tinyjob job = {.in = tempdir_path(&dir, "model.gguf"),
                          .recipe = "gguf-q4_1",
                          .out = tempdir_path(&dir, "q4_1.gguf")};
    CHECK_OK(tinyjob_run(&job, NULL, NULL, &err), &err);
    job = (struct tinyjob){.in = tempdir_path(&dir, "q4_1.gguf"),
                           .recipe = "gguf-q4_0",
                           .out = tempdir_path(&dir, "again.gguf")};
    CHECK_FAILS(tinyjob_run(&job, NULL, NULL, &err), &err, ERR_ALREADY_QUANTIZED);
    job.recipe = "{\"requantize\":true,\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"q4_0\"}]}";
    CHECK_OK(tinyjob_run(&job, NULL, &r, &err), &err);
    CHECK(r->requantized);
    report_free(r);

    job = (struct tinyjob){.in = tempdir_path(&dir, "folder"),
                           .recipe = "int4-g128",
                           .out = tempdir_path(&dir, "int4")};
    CHECK_OK(tinyjob_run(&job, NULL, NULL, &err), &err);
    job = (struct tinyjob){
        .in = tempdir_path(&dir, "int4"),
        .recipe = "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"f32\",\"requantize\":true}]}",
        .out = tempdir_path(&dir, "f32")};
    CHECK_OK(tinyjob_run(&job, NULL, &r, &err), &err);
    for (size_t i = 0; i < r->tensor_count; i++) {
        CHECK_TEXT(r->tensors[i].scheme, "f32");
        CHECK(r->tensors[i].max_error == 0);
    }
    report_free(r);
}

/* ---- bad models ---- */

static void non_finite(const char *tensor, uint64_t index, float value, const char *recipe,
                       enum err_code code) {
    bool gguf = strncmp(tensor, "blk", 3) == 0;
    struct tinymodel_poke poke = {tensor, index, value};
    if (gguf)
        tinymodel_gguf(&dir, "bad.gguf", poke);
    else
        tinymodel_folder(&dir, "bad", poke);
    struct tinyjob job = {.in = tempdir_path(&dir, gguf ? "bad.gguf" : "bad"),
                          .recipe = recipe,
                          .out = tempdir_path(&dir, "bad-out"),
                          .threads = 2};
    struct err err = ERR_INIT;
    CHECK(tinyjob_run(&job, NULL, NULL, &err) < 0);
    CHECK_INT(err.code, code);
    CHECK_TEXT(err.tensor, tensor);
    char at[40];
    snprintf(at, sizeof at, "flat index %llu", (unsigned long long)index);
    CHECK_HOLDS(err.text, at);
    struct stat st;
    CHECK(stat(job.out, &st) < 0);
}

static void nan_and_infinity_are_named(void **state) {
    non_finite(TINY_Q_PROJ, 0, NAN, "int8", ERR_NON_FINITE);
    non_finite(TINY_Q_PROJ, 16383, INFINITY, "int4-g128", ERR_NON_FINITE);
    non_finite(TINY_DOWN_PROJ, 12345, -INFINITY, "fp8", ERR_NON_FINITE);
    non_finite(TINY_DOWN_PROJ, 300, NAN, "f16", ERR_NON_FINITE);
    non_finite(TINY_GGUF_DOWN, 777, NAN, "gguf-q4_0", ERR_NON_FINITE);
    non_finite(TINY_NORM, 5, NAN, "int8", ERR_NON_FINITE); /* copied, and yet */
}

static void overflow_is_counted_and_named(void **state) {
    tinymodel_folder(&dir, "large", (struct tinymodel_poke){TINY_DOWN_PROJ, 4321, 1e6f});
    struct tinyjob job = {.in = tempdir_path(&dir, "large"),
                          .recipe = "f16",
                          .out = tempdir_path(&dir, "large-f16"),
                          .threads = 2};
    struct report *r;
    struct err err = ERR_INIT;
    CHECK_OK(tinyjob_run(&job, NULL, &r, &err), &err);
    bool named = false;
    for (size_t i = 0; i < r->warnings.count; i++)
        if (r->warnings.items[i].tensor && strcmp(r->warnings.items[i].tensor, TINY_DOWN_PROJ) == 0)
            named = strstr(r->warnings.items[i].detail, "flat index 4321") != NULL;
    CHECK(named);
    for (size_t i = 0; i < r->tensor_count; i++)
        CHECK_UINT(r->tensors[i].overflow, strcmp(r->tensors[i].name, TINY_DOWN_PROJ) == 0);
    report_free(r);
}

static void group_that_does_not_divide(void **state) {
    struct tinyjob job = {.in = tempdir_path(&dir, "folder"),
                          .recipe = "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int4\","
                                    "\"group_size\":96}]}",
                          .out = tempdir_path(&dir, "never")};
    struct arena *arena = arena_new(1 << 20);
    struct violations list;
    violations_init(&list, arena);
    struct err err = ERR_INIT;
    CHECK_FAILS(tinyjob_run(&job, &list, NULL, &err), &err, ERR_MISFIT);
    CHECK_UINT(list.count, 14); /* every Linear of the model */
    for (size_t i = 0; i < list.count; i++) {
        CHECK_TEXT(list.items[i].pointer, "/stages/0/group_size");
        CHECK(list.items[i].tensor && list.items[i].nearest);
        long nearest = strtol(list.items[i].nearest, NULL, 10);
        CHECK(nearest > 0 && 128 % nearest == 0);
    }
    arena_free(arena);
}

/* ---- a byte that changes between write and verify ---- */

struct flip {
    char path[256];
    long offset;
};

static void flip_byte(void *self) {
    const struct flip *flip = self;
    FILE *f = fopen(flip->path, "r+b");
    CHECK(f);
    assert_int_equal(fseek(f, flip->offset, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_true(byte != EOF);
    assert_int_equal(fseek(f, flip->offset, SEEK_SET), 0);
    fputc(byte ^ 0x10, f);
    fclose(f);
}

static void flipped(const char *in, const char *recipe, const char *file, double where) {
    struct tinyjob job = {.in = tempdir_path(&dir, in),
                          .recipe = recipe,
                          .out = tempdir_path(&dir, "flipped"),
                          .threads = 2};
    struct flip flip;
    /* A first run says how long the file is. */
    struct report *r;
    struct err err = ERR_INIT;
    struct tinyjob clean = job;
    clean.out = tempdir_path(&dir, "unflipped");
    CHECK_OK(tinyjob_run(&clean, NULL, &r, &err), &err);
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->file_count; i++)
        if (!file || strcmp(r->files[i].path, file) == 0)
            bytes = r->files[i].bytes;
    report_free(r);
    CHECK(bytes > 0);
    flip.offset = (long)((double)(bytes - 1) * where);
    snprintf(flip.path, sizeof flip.path, "%s%s%s", job.out, file ? "/" : "", file ? file : "");
    job.before_verify = flip_byte;
    job.before_verify_self = &flip;
    CHECK(tinyjob_run(&job, NULL, NULL, &err) < 0);
    CHECK_INT(err.code, ERR_VERIFY);
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", clean.out);
    assert_int_equal(system(command), 0);
    struct stat st;
    CHECK(stat(job.out, &st) < 0);
}

static void any_flipped_byte_fails(void **state) {
    static const char *const files[] = {"model.safetensors", "config.json", "tokenizer.json",
                                        "notes/README.txt"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        for (double where = 0; where <= 1; where += i ? 0.5 : 0.111)
            flipped("folder", i % 2 ? "int4-g128" : "int8", files[i], where);
    for (double where = 0; where <= 1; where += 0.09)
        flipped("model.gguf", "gguf-q5_0", NULL, where);
}

/* ---- cancelling ---- */

static atomic_uint questions;
static unsigned stop_after;

static bool is_cancelled(void *self) {
    (void)self;
    return atomic_fetch_add(&questions, 1) >= stop_after;
}

static void cancelled_anywhere_leaves_nothing(void **state) {
    struct progress progress = {.is_cancelled = is_cancelled};
    struct tinyjob job = {.in = tempdir_path(&dir, "folder"),
                          .recipe = "int8",
                          .out = tempdir_path(&dir, "cancelled"),
                          .threads = 3,
                          .progress = &progress};
    struct err err = ERR_INIT;
    unsigned asked;
    stop_after = UINT32_MAX;
    atomic_store(&questions, 0);
    struct tinyjob whole = job;
    whole.out = tempdir_path(&dir, "not-cancelled");
    CHECK_OK(tinyjob_run(&whole, NULL, NULL, &err), &err);
    asked = atomic_load(&questions);
    CHECK(asked > 40);
    for (stop_after = 0; stop_after < asked; stop_after += 1 + asked / 23) {
        atomic_store(&questions, 0);
        CHECK_FAILS(tinyjob_run(&job, NULL, NULL, &err), &err, ERR_CANCELLED);
        struct stat st;
        CHECK(stat(job.out, &st) < 0);
    }
}

/* ---- progress ---- */

struct seen {
    uint64_t done, total;
    unsigned stage;
    unsigned reports;
    bool wrong;
};

static void see(void *self, const struct progress_state *s) {
    struct seen *seen = self;
    if (s->stage_index != seen->stage) {
        seen->wrong |= s->stage_index != seen->stage + 1 || seen->done != seen->total;
        seen->done = 0;
        seen->stage = s->stage_index;
    }
    seen->wrong |= s->done < seen->done || s->done > s->total || s->stages != 2 ||
                   strcmp(s->unit, "bytes") != 0;
    seen->done = s->done;
    seen->total = s->total;
    seen->reports++;
}

static void progress_goes_up_to_its_total(void **state) {
    struct seen seen = {0};
    struct progress progress = {.self = &seen, .report = see};
    static const char *const recipes[] = {
        "int8", "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\",\"granularity\":"
                "\"tensor\",\"activations\":\"dynamic\"}]}"};
    for (size_t i = 0; i < 2; i++) {
        seen = (struct seen){0};
        struct tinyjob job = {.in = tempdir_path(&dir, "folder"),
                              .recipe = recipes[i],
                              .out = tempdir_path(&dir, i ? "progress-b" : "progress-a"),
                              .threads = 2,
                              .progress = &progress};
        struct err err = ERR_INIT;
        CHECK_OK(tinyjob_run(&job, NULL, NULL, &err), &err);
        CHECK(!seen.wrong);
        CHECK_UINT(seen.stage, 1);
        CHECK_UINT(seen.done, seen.total);
        CHECK(seen.reports > 10);
    }
}

/* ---- with a graph and a set ---- */

enum { GRAPH_SAMPLES = 16, GRAPH_WIDTH = 1024 };

/* Weights outweigh all else, so that one more copy of them shows. */
static void write_net_and_set(void) {
    static unsigned char x[GRAPH_SAMPLES * GRAPH_WIDTH];
    struct bytebuf b = {0};
    tinyonnx_lines(&b, 17,
                   "input x f32[batch,1024]\nweight w f32[1024,2048]\nweight v f32[2048,1024]\n"
                   "MatMul x w -> h\nRelu h -> r\nMatMul r v -> y\noutput y f32[batch,1024]");
    tempdir_write(&dir, "net.onnx", b.at, b.len);
    bytebuf_free(&b);
    for (size_t i = 0; i < sizeof x; i++)
        x[i] = (unsigned char)(i * 31 % 97);
    b = (struct bytebuf){0};
    tinynpy(&b, "|u1", "(16, 1024)", x, sizeof x);
    tempdir_write(&dir, "x.npy", b.at, b.len);
    bytebuf_free(&b);
}

/* Calibrated, measured: within what was promised, and the same with any number of threads. */
static void graphs_are_measured(void **state) {
    write_net_and_set();
    for (size_t i = 0; preset_at(i); i++) {
        if (!strstr(preset_at(i)->reads, "onnx"))
            continue;
        struct report *reports[2];
        struct err err = ERR_INIT;
        for (unsigned threads = 0; threads < 2; threads++) {
            struct tinyjob job = {.in = tempdir_path(&dir, "net.onnx"),
                                  .recipe = preset_at(i)->name,
                                  .set = tempdir_path(&dir, "x.npy"),
                                  .out = tempdir_path(&dir, "out.onnx"),
                                  .threads = 2 * threads};
            CHECK_OK(tinyjob_run(&job, NULL, &reports[threads], &err), &err);
            CHECK_INT(unlink(job.out), 0);
            const struct report *r = reports[threads];
            bool calibrated = strstr(preset_at(i)->name, "static") != NULL;
            CHECK_INT(r->calibrated, calibrated);
            CHECK_UINT(r->stage_count, 5 + calibrated);
            CHECK(r->after->metrics[METRIC_SQNR].present);
            for (size_t k = 0; k < r->stage_count; k++)
                if (r->stages[k].peak_bytes > r->stages[k].predicted_bytes)
                    fail_msg("%s, %s: %llu of %llu predicted bytes", preset_at(i)->name,
                             r->stages[k].name, (unsigned long long)r->stages[k].peak_bytes,
                             (unsigned long long)r->stages[k].predicted_bytes);
        }
        check_same_files(reports[0], reports[1]);
        report_free(reports[0]);
        report_free(reports[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_preset),
        cmocka_unit_test(graphs_are_measured),
        cmocka_unit_test(float_presets_on_gguf),
        cmocka_unit_test(requantizing),
        cmocka_unit_test(nan_and_infinity_are_named),
        cmocka_unit_test(overflow_is_counted_and_named),
        cmocka_unit_test(group_that_does_not_divide),
        cmocka_unit_test(any_flipped_byte_fails),
        cmocka_unit_test(cancelled_anywhere_leaves_nothing),
        cmocka_unit_test(progress_goes_up_to_its_total),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
