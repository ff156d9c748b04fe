/* Plans: exact sizes before any work, and everything that does not fit. */
#include "compress/recipe/plan.h"
#include "tests/support/check.h"

#include "compress/base/dirfiles.h"
#include "compress/base/jspec.h"
#include "tests/support/tempdir.h"
#include "tests/support/tinyjob.h"
#include "tests/support/tinymodel.h"
#include "tests/support/tinynpy.h"
#include "tests/support/tinyonnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tempdir dir;

static void write_net(const char *path) {
    struct bytebuf b = {0};
    tinyonnx_lines(&b, 17,
                   "input x f32[batch,16]\nweight w f32[16,32]\nweight v f32[32,4]\n"
                   "MatMul x w -> h\nRelu h -> r\nMatMul r v -> y\noutput y f32[batch,4]");
    tempdir_write(&dir, path, b.at, b.len);
    bytebuf_free(&b);
}

/* Ones. */
static void write_set(const char *path, const char *shape, size_t count) {
    struct bytebuf b = {0};
    unsigned char *x = malloc(count);
    CHECK(x != NULL);
    memset(x, 1, count);
    tinynpy(&b, "|u1", shape, x, count);
    tempdir_write(&dir, path, b.at, b.len);
    bytebuf_free(&b);
    free(x);
}

static int setup(void **state) {
    tempdir_make(&dir);
    tinymodel_folder(&dir, "folder", (struct tinymodel_poke){0});
    tinymodel_gguf(&dir, "model.gguf", (struct tinymodel_poke){0});
    write_net("net.onnx");
    write_set("set/x.npy", "(262144, 16)", 262144 * 16);
    write_set("narrow/x.npy", "(4, 8)", 4 * 8);
    return 0;
}

static int teardown(void **state) {
    tempdir_free(&dir);
    return 0;
}

struct fixture {
    struct arena *arena;
    struct violations list;
    struct recipe *recipe;
    struct resolver *files, *set;
    struct plan *plan;
    struct err err;
};

static int plan_on(struct fixture *f, const char *model, const char *recipe, const char *set,
                   uint64_t memory_bytes) {
    *f = (struct fixture){.arena = arena_new((size_t)16 << 20), .err = ERR_INIT};
    violations_init(&f->list, f->arena);
    char quoted[64];
    if (recipe[0] != '{') {
        snprintf(quoted, sizeof quoted, "\"%s\"", recipe);
        recipe = quoted;
    }
    CHECK_OK(recipe_parse(recipe, strlen(recipe), f->arena, &f->list, &f->recipe, &f->err),
             &f->err);
    CHECK_OK(dirfiles_open(tempdir_path(&dir, model), false, &f->files, &f->err), &f->err);
    if (set)
        CHECK_OK(dirfiles_open(tempdir_path(&dir, set), false, &f->set, &f->err), &f->err);
    struct plan_limits limits = {.memory_bytes = memory_bytes, .threads = 2, .calibration = f->set};
    return plan_new(f->files, f->recipe, "tiny", &limits, &f->list, &f->plan, &f->err);
}

static int plan(struct fixture *f, const char *model, const char *recipe, uint64_t memory_bytes) {
    return plan_on(f, model, recipe, NULL, memory_bytes);
}

static void end(struct fixture *f) {
    plan_free(f->plan);
    resolver_close(f->set);
    resolver_close(f->files);
    arena_free(f->arena);
}

static void sizes_are_exact(void **state) {
    static const char *const models[] = {"folder", "model.gguf"};
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; preset_at(i); i++) {
            const struct preset *preset = preset_at(i);
            if (!strstr(preset->reads, m ? "gguf" : "safetensors"))
                continue;
            struct fixture f;
            CHECK_OK(plan(&f, models[m], preset->name, 0), &f.err);
            char out[64];
            snprintf(out, sizeof out, "plan-%zu-%s", m, preset->name);
            struct tinyjob job = {.in = tempdir_path(&dir, models[m]),
                                  .recipe = preset->name,
                                  .out = tempdir_path(&dir, out)};
            struct report *report;
            CHECK_OK(tinyjob_run(&job, NULL, &report, &f.err), &f.err);
            uint64_t bytes = 0;
            for (size_t k = 0; k < report->file_count; k++)
                bytes += report->files[k].bytes;
            CHECK_UINT(f.plan->bytes_out, bytes);
            CHECK_UINT(f.plan->bytes_in, report->bytes_in);
            CHECK(f.plan->peak_bytes > 0 && f.plan->seconds > 0);
            CHECK(f.plan->disk_bytes >= f.plan->bytes_out);
            report_free(report);
            end(&f);
        }
}

static void finding(const char *model, const char *recipe, enum err_code code, const char *pointer,
                    const char *says, const char *nearest) {
    struct fixture f;
    CHECK(plan(&f, model, recipe, 0) < 0);
    CHECK_INT(f.err.code, code);
    CHECK_UINT(f.list.count, 1);
    CHECK_TEXT(f.list.items[0].pointer, pointer);
    CHECK_HOLDS(f.list.items[0].detail, says);
    if (nearest)
        CHECK_TEXT(f.list.items[0].nearest, nearest);
    end(&f);
}

static void findings(void **state) {
    finding("model.gguf", "int8", ERR_MISFIT, "", "presets that fit: f16, bf16, gguf-q8_0",
            "gguf-q8_0");
    finding("folder", "gguf-q4_0", ERR_MISFIT, "", "presets that fit", "int4-g128");
    finding("folder", "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"q4_0\"}]}", ERR_MISFIT,
            "/stages/0/scheme", "cannot be written to safetensors", NULL);
    finding("model.gguf",
            "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"f16\",\"keep\":[{\"match\":"
            "\"role:attn\",\"scheme\":\"int8\"}]}]}",
            ERR_MISFIT, "/stages/0/keep/0/scheme", "cannot be written to gguf", NULL);
    finding("folder",
            "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\",\"ignore\":[\"role:mlp\","
            "\"transformer.*\"]}]}",
            ERR_MISFIT, "/stages/0/ignore/1", "transformer.*", NULL);
    finding("folder", "{\"parts\":{\"unet\":\"f16\"}}", ERR_MISFIT, "/parts/unet", "no part", NULL);
}

static void over_budget(void **state) {
    struct fixture f;
    CHECK_OK(plan(&f, "folder", "int8", (uint64_t)64 << 20), &f.err);
    uint64_t need = f.plan->peak_bytes;
    end(&f);
    CHECK(plan(&f, "folder", "int8", need - 1) < 0);
    CHECK_INT(f.err.code, ERR_OVER_BUDGET);
    CHECK_UINT(f.list.count, 1);
    end(&f);
    CHECK_OK(plan(&f, "folder", "int8", need), &f.err);
    end(&f);
}

static bool warned(const struct plan *p, const char *says) {
    for (size_t i = 0; i < p->warnings.count; i++)
        if (strstr(p->warnings.items[i].detail, says))
            return true;
    return false;
}

#define STATIC "{\"pass\":\"quantize\",\"scheme\":\"int8\",\"activations\":\"static\"}"

static void static_activations_need_a_set(void **state) {
    finding("net.onnx", "w8a8-static", ERR_MISFIT, "/calibration", "give the job a dataset", NULL);
    finding("net.onnx", "{\"stages\":[" STATIC "],\"calibration\":{\"samples\":3}}", ERR_MISFIT,
            "/calibration", "give the job a dataset", NULL);
    struct fixture f;
    CHECK(plan_on(&f, "net.onnx", "w8a8-static", "narrow", 0) < 0);
    CHECK_UINT(f.list.count, 1);
    CHECK_TEXT(f.list.items[0].pointer, "/calibration");
    CHECK_HOLDS(f.list.items[0].detail, "x");
    end(&f);
    CHECK_OK(plan_on(&f, "net.onnx", "int8", "narrow", 0), &f.err); /* nobody looks at it */
    CHECK(f.plan->calibration == NULL);
    CHECK_UINT(f.plan->calibrate_bytes, 0);
    end(&f);
    CHECK_OK(plan(&f, "net.onnx",
                  "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\"}],"
                  "\"calibration\":{\"samples\":3}}",
                  0),
             &f.err);
    CHECK(warned(f.plan, "no stage looks at"));
    end(&f);
}

/* A batch of 262,144 outweighs the model: x, h and r of it are 16, 32 and 32 floats a sample. */
static void calibration_is_part_of_the_peak(void **state) {
    static const char recipe[] =
        "{\"stages\":[" STATIC "],\"calibration\":{\"samples\":262144,\"batch\":262144}}";
    struct fixture f;
    CHECK_OK(plan_on(&f, "net.onnx", "w8a8-static", "set", 0), &f.err);
    uint64_t small = f.plan->calibrate_bytes;
    end(&f);
    CHECK_OK(plan_on(&f, "net.onnx", recipe, "set", 0), &f.err);
    uint64_t need = f.plan->peak_bytes;
    CHECK_UINT(f.plan->calibrate_bytes, need);
    CHECK(need > small + UINT64_C(260000) * (16 + 32) * sizeof(float));
    end(&f);
    CHECK(plan_on(&f, "net.onnx", recipe, "set", need - 1) < 0);
    CHECK_INT(f.err.code, ERR_OVER_BUDGET);
    end(&f);
}

static void not_a_model(void **state) {
    struct fixture f;
    tempdir_write(&dir, "text/notes.txt", "hello", 5);
    CHECK(plan(&f, "text", "int8", 0) < 0);
    CHECK_INT(f.err.code, ERR_UNKNOWN_FORMAT);
    CHECK_UINT(f.list.count, 1);
    end(&f);
}

static void warnings(void **state) {
    struct fixture f;
    CHECK_OK(plan(&f, "folder", "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"f32\"}]}", 0),
             &f.err);
    CHECK(f.plan->ratio < 1);
    CHECK(warned(f.plan, "larger than the source"));
    end(&f);
    CHECK_OK(plan(&f, "folder", "bf16", 0), &f.err);
    CHECK(warned(f.plan, "no tensor changes"));
    end(&f);
    CHECK_OK(plan(&f, "folder",
                  "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\",\"ignore\":"
                  "\"role:conv\"}]}",
                  0),
             &f.err);
    CHECK(warned(f.plan, "role:conv"));
    CHECK(!warned(f.plan, "larger"));
    end(&f);
}

static void printed(void **state) {
    struct fixture f;
    CHECK_OK(plan(&f, "folder", "int8", 0), &f.err);
    size_t len;
    char *text = plan_json(f.plan, &len);
    struct json_t *json;
    CHECK_OK(jspec_parse(text, len, &json, &f.err), &f.err);
    int64_t n;
    CHECK(json_int(json_get(json, "bytes_out"), &n) && (uint64_t)n == f.plan->bytes_out);
    const struct json_t *tensors = json_get(json, "tensors");
    CHECK_UINT(json_array_len(tensors), f.plan->model->tensor_count);
    int64_t sum = 0;
    for (size_t i = 0; i < json_array_len(tensors); i++) {
        CHECK(json_int(json_get(json_array_at(tensors, i), "bytes"), &n) && n > 0);
        CHECK(json_text(json_get(json_array_at(tensors, i), "scheme")) != NULL);
        sum += n;
    }
    CHECK(sum < (int64_t)f.plan->bytes_out && sum > (int64_t)f.plan->bytes_out / 2);
    jspec_free(json);
    free(text);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_exact),
        cmocka_unit_test(findings),
        cmocka_unit_test(over_budget),
        cmocka_unit_test(not_a_model),
        cmocka_unit_test(warnings),
        cmocka_unit_test(printed),
        cmocka_unit_test(static_activations_need_a_set),
        cmocka_unit_test(calibration_is_part_of_the_peak),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
