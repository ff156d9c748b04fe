/* quantize: which tensors get which format, on either container. */
#include "compress/passes/pass_quantize.h"
#include "tests/support/check.h"

#include "compress/base/dirfiles.h"
#include "compress/formats/format.h"
#include "tests/support/tempdir.h"
#include "tests/support/tinymodel.h"

#include <string.h>

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

struct fixture {
    struct arena *arena;
    struct violations list, warnings;
    struct resolver *files;
    struct model *model;
};

static int apply(struct fixture *f, const char *path, const char *stage) {
    struct err err = ERR_INIT;
    *f = (struct fixture){.arena = arena_new((size_t)4 << 20)};
    violations_init(&f->list, f->arena);
    violations_init(&f->warnings, f->arena);
    CHECK_OK(dirfiles_open(tempdir_path(&dir, path), false, &f->files, &err), &err);
    CHECK_OK(format_open(f->files, &f->model, &err), &err);
    struct json_t *json;
    CHECK_OK(jspec_parse(stage, strlen(stage), &json, &err), &err);
    void *params;
    CHECK_INT(pass_quantize.parse(json, "/stages/0", f->arena, &f->list, &params), 0);
    jspec_free(json); /* parsed parameters do not need it */
    return pass_quantize.apply(params, "/stages/0", f->model, NULL, false, &f->list, &f->warnings);
}

static void end(struct fixture *f) {
    model_free(f->model);
    resolver_close(f->files);
    arena_free(f->arena);
}

static const char *wanted(const struct fixture *f, const char *name) {
    static char text[80];
    const struct tensor *t = model_tensor(f->model, "", name);
    assert_non_null(t);
    return encoding_describe(&t->wanted, text, sizeof text);
}

#define INT8 "int8 channel symmetric"

static void integers_take_linear_weights(void **state) {
    struct fixture f;
    CHECK_INT(apply(&f, "folder", "{\"pass\":\"quantize\",\"scheme\":\"int8\"}"), 0);
    for (size_t i = 0; i < f.model->tensor_count; i++) {
        const struct tensor *t = &f.model->tensors[i];
        bool linear = t->rank == 2 && !(t->role & (ROLE_EMBED | ROLE_HEAD));
        CHECK_TEXT(wanted(&f, t->name), linear ? INT8 : "bf16");
        if (linear)
            CHECK_TEXT(t->decided_by, "/stages/0");
    }
    end(&f);
}

static void first_match_wins(void **state) {
    struct fixture f;
    CHECK_INT(apply(&f, "folder",
                    "{\"pass\":\"quantize\",\"scheme\":\"int8\","
                    "\"keep\":[{\"match\":\"*layers.1.self_attn.q_proj*\",\"scheme\":\"fp8_e4m3\"},"
                    "{\"match\":[\"role:attn\"],\"scheme\":\"f16\"}],"
                    "\"ignore\":[\"*layers.1.*\"],\"targets\":[\"*_proj.weight\"]}"),
              0);
    CHECK_TEXT(wanted(&f, "model.layers.1.self_attn.q_proj.weight"), "fp8_e4m3 channel");
    CHECK_TEXT(wanted(&f, "model.layers.1.self_attn.k_proj.weight"), "f16"); /* keep, not ignore */
    CHECK_TEXT(wanted(&f, TINY_Q_PROJ), "f16");
    CHECK_TEXT(wanted(&f, TINY_DOWN_PROJ), "bf16");
    CHECK_TEXT(wanted(&f, "model.layers.0.mlp.up_proj.weight"), INT8);
    CHECK_TEXT(wanted(&f, "model.embed_tokens.weight"), "bf16"); /* not a target */
    CHECK_TEXT(model_tensor(f.model, "", TINY_Q_PROJ)->decided_by, "/stages/0/keep/1");
    end(&f);
}

static void floats_take_everything(void **state) {
    struct fixture f;
    CHECK_INT(apply(&f, "folder", "{\"pass\":\"quantize\",\"scheme\":\"f16\"}"), 0);
    for (size_t i = 0; i < f.model->tensor_count; i++)
        CHECK_TEXT(wanted(&f, f.model->tensors[i].name), "f16");
    end(&f);
}

static void heads_only_by_name(void **state) {
    struct fixture f;
    CHECK_INT(apply(&f, "folder", "{\"pass\":\"quantize\",\"scheme\":\"int8\",\"targets\":\"*\"}"),
              0);
    CHECK_TEXT(wanted(&f, "lm_head.weight"), "bf16");
    end(&f);
    CHECK_INT(apply(&f, "folder",
                    "{\"pass\":\"quantize\",\"scheme\":\"int8\",\"keep\":[{\"match\":\"role:head\","
                    "\"scheme\":\"int8\"}]}"),
              0);
    CHECK_TEXT(wanted(&f, "lm_head.weight"), INT8);
    end(&f);
    /* An embedding cannot be: no runtime would load it. */
    CHECK_INT(apply(&f, "folder",
                    "{\"pass\":\"quantize\",\"scheme\":\"int8\",\"targets\":"
                    "\"model.embed_tokens.weight\"}"),
              -1);
    CHECK_UINT(f.list.count, 1);
    CHECK_TEXT(f.list.items[0].tensor, "model.embed_tokens.weight");
    end(&f);
}

static void blocks_take_every_matrix(void **state) {
    struct fixture f;
    CHECK_INT(apply(&f, "model.gguf",
                    "{\"pass\":\"quantize\",\"scheme\":\"q4_0\",\"keep\":[{\"match\":"
                    "\"output.weight\",\"scheme\":\"q8_0\"}]}"),
              0);
    for (size_t i = 0; i < f.model->tensor_count; i++) {
        const struct tensor *t = &f.model->tensors[i];
        const char *want = t->rank != 2 ? "f32" : t->role & ROLE_HEAD ? "q8_0" : "q4_0";
        CHECK_TEXT(wanted(&f, t->name), want);
    }
    end(&f);
}

static void later_stages_decide_anew(void **state) {
    struct fixture f;
    CHECK_INT(apply(&f, "folder", "{\"pass\":\"quantize\",\"scheme\":\"int8\"}"), 0);
    void *params;
    struct json_t *json;
    const char *stage = "{\"pass\":\"quantize\",\"scheme\":\"f16\",\"targets\":\"role:attn\"}";
    CHECK_INT(jspec_parse(stage, strlen(stage), &json, NULL), 0);
    CHECK_INT(pass_quantize.parse(json, "/stages/1", f.arena, &f.list, &params), 0);
    jspec_free(json);
    CHECK_INT(pass_quantize.apply(params, "/stages/1", f.model, NULL, false, &f.list, &f.warnings),
              0);
    CHECK_TEXT(wanted(&f, TINY_Q_PROJ), "f16");
    CHECK_TEXT(wanted(&f, TINY_DOWN_PROJ), INT8);
    end(&f);
}

static void searches(void **state) {
    struct fixture f;
    CHECK_INT(apply(&f, "folder",
                    "{\"pass\":\"quantize\",\"scheme\":\"int4\",\"group_size\":64,\"keep\":["
                    "{\"match\":\"role:attn\",\"scheme\":\"int8\",\"symmetric\":false},"
                    "{\"match\":\"*gate*\",\"scheme\":\"int8\",\"search\":\"mse\"}]}"),
              0);
    CHECK_TEXT(wanted(&f, TINY_DOWN_PROJ), "int4 group 64 symmetric");
    CHECK_INT(model_tensor(f.model, "", TINY_DOWN_PROJ)->options.search, SEARCH_MSE);
    CHECK_TEXT(wanted(&f, TINY_Q_PROJ), "int8 channel asymmetric");
    CHECK_INT(model_tensor(f.model, "", TINY_Q_PROJ)->options.search, SEARCH_MINMAX);
    CHECK_INT(model_tensor(f.model, "", "model.layers.0.mlp.gate_proj.weight")->options.search,
              SEARCH_MSE);
    end(&f);
}

/* Rows of 128 and of 256: 256 would fit the longer ones alone. */
static void one_group_size_for_all(void **state) {
    struct fixture f;
    CHECK_INT(apply(&f, "folder",
                    "{\"pass\":\"quantize\",\"scheme\":\"int4\",\"granularity\":\"group\","
                    "\"group_size\":300}"),
              -1);
    CHECK(f.list.count > 4);
    for (size_t i = 0; i < f.list.count; i++)
        CHECK_TEXT(f.list.items[i].nearest, "128");
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_group_size_for_all),   cmocka_unit_test(integers_take_linear_weights),
        cmocka_unit_test(first_match_wins),         cmocka_unit_test(floats_take_everything),
        cmocka_unit_test(heads_only_by_name),       cmocka_unit_test(blocks_take_every_matrix),
        cmocka_unit_test(later_stages_decide_anew), cmocka_unit_test(searches),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
