/* The configuration of quantized weights: groups, targets, what is ignored, what is warned of. */
#include "compress/base/arena.h"
#include "compress/base/jspec.h"
#include "compress/formats/ct_write.h"
#include "compress/graph/arch.h"
#include "tests/support/check.h"

#include <stdbool.h>
#include <string.h>

enum { N = 7 };

static void build(struct model *model, struct tensor *tensors, const char *type) {
    static const char *const names[N] = {"x.layers.0.self_attn.q_proj.weight",
                                         "x.layers.0.self_attn.k_proj.weight",
                                         "x.layers.0.self_attn.v_proj.weight",
                                         "x.layers.0.mlp.gate_proj.weight",
                                         "x.layers.0.mlp.up_proj.weight",
                                         "x.embed_tokens.weight",
                                         "x.unknown.weight"};
    struct err err = ERR_INIT;
    *model = (struct model){.arena = arena_new(1 << 20), .arch = arch_for(type)};
    memset(tensors, 0, N * sizeof *tensors);
    for (size_t i = 0; i < N; i++) {
        tensors[i] = (struct tensor){.name = names[i], .component = "", .rank = 2};
        tensors[i].dims[0] = tensors[i].dims[1] = 8;
        tensors[i].wanted = tensors[i].stored = encoding_plain(DTYPE_F16);
    }
    model->tensors = tensors;
    model->tensor_count = N;
    CHECK_OK(arch_assign_roles(model, &err), &err);
}

static struct encoding int8(bool activations) {
    return (struct encoding){.codec = codec_by_name("int8"),
                             .granularity = GRANULARITY_CHANNEL,
                             .symmetric = true,
                             .scale_dtype = DTYPE_F16,
                             .packing = activations ? PACKING_BYTES : PACKING_WORDS,
                             .dynamic_activations = activations};
}

static void nothing_quantized_says_nothing(void **state) {
    struct model model;
    struct tensor tensors[N];
    struct err err = ERR_INIT;
    build(&model, tensors, "llama");
    const char *text = "x";
    CHECK_OK(ct_write_config(&model, model.arena, &text, &err), &err);
    CHECK(!text);
    text = "x";
    CHECK_OK(ct_write_note(&model, 0, model.arena, &text, &err), &err);
    CHECK(!text);
    arena_free(model.arena);
}

static void one_scheme(void **state) {
    static const struct {
        const char *type, *head;
    } rows[] = {{"llama", "lm_head"}, {"bert", "cls.predictions.decoder"}, {"vit", NULL}};
    for (size_t i = 0; i < 3; i++) {
        struct model model;
        struct tensor tensors[N];
        struct err err = ERR_INIT;
        build(&model, tensors, rows[i].type);
        for (size_t t = 0; t < 5; t++)
            tensors[t].wanted = int8(true);
        tensors[4].removed = true;
        const char *text = NULL;
        CHECK_OK(ct_write_config(&model, model.arena, &text, &err), &err);
        struct json_t *doc = NULL;
        CHECK_OK(jspec_parse(text, strlen(text), &doc, &err), &err);
        CHECK_TEXT(json_text(json_get(doc, "format")), "int-quantized");
        const struct json_t *group = json_get(json_get(doc, "config_groups"), "group_0");
        CHECK_TEXT(json_text(json_array_at(json_get(group, "targets"), 0)), "Linear");
        const struct json_t *inputs = json_get(group, "input_activations");
        CHECK_TEXT(json_text(json_get(inputs, "strategy")), "token");
        CHECK_TEXT(json_text(json_get(inputs, "type")), "int");
        const struct json_t *ignore = json_get(doc, "ignore");
        CHECK_UINT(json_array_len(ignore), rows[i].head ? 2 : 1);
        CHECK_TEXT(json_text(json_array_at(ignore, 0)), "x.unknown");
        if (rows[i].head)
            CHECK_TEXT(json_text(json_array_at(ignore, 1)), rows[i].head);
        jspec_free(doc);
        arena_free(model.arena);
    }
}

static void fused_modules(void **state) {
    struct model model;
    struct tensor tensors[N];
    build(&model, tensors, "llama");
    struct violations warnings;
    violations_init(&warnings, model.arena);
    for (size_t t = 0; t < 5; t++)
        tensors[t].wanted = int8(false);
    ct_write_warnings(&model, &warnings);
    CHECK_UINT(warnings.count, 0);
    tensors[2].wanted = tensors[2].stored; /* v stays a float */
    tensors[4].wanted = int8(true);
    ct_write_warnings(&model, &warnings);
    CHECK_UINT(warnings.count, 2);
    CHECK_HOLDS(warnings.items[0].detail, "v_proj");
    CHECK_TEXT(warnings.items[1].group, "gate_up_proj");
    arena_free(model.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_quantized_says_nothing),
        cmocka_unit_test(one_scheme),
        cmocka_unit_test(fused_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
