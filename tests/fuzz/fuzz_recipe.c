/*
 * Recipe JSON: parsed, then applied to a small model that exists only as headers, with every format
 * a recipe can ask for. A recipe that parses must parse again from its canonical text to the same
 * digest; a refusal must say where and why.
 */
#include "compress/base/arena.h"
#include "compress/base/strmap.h"
#include "compress/formats/format.h"
#include "compress/recipe/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PROMISE(truth, ...)                                  \
    do {                                                     \
        if (!(truth)) {                                      \
            fprintf(stderr, "broken promise: " __VA_ARGS__); \
            fputc('\n', stderr);                             \
            abort();                                         \
        }                                                    \
    } while (0)

/* A safetensors file of an attention weight, an odd matrix, a norm and a counter. */
static struct resolver *open_files(void) {
    static const char header[] =
        "{\"layers.0.self_attn.q_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4,128],"
        "\"data_offsets\":[0,1024]},"
        "\"layers.0.mlp.up_proj.weight\":{\"dtype\":\"F32\",\"shape\":[3,7],"
        "\"data_offsets\":[1024,1108]},"
        "\"norm.weight\":{\"dtype\":\"BF16\",\"shape\":[128],\"data_offsets\":[1108,1364]},"
        "\"steps\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[1364,1372]}}";
    static uint8_t file[8 + sizeof header - 1 + 1372];
    static struct resolver_file entry = {"m.safetensors", sizeof file};
    static const void *bytes = file;
    uint64_t n = sizeof header - 1;
    memcpy(file, &n, sizeof n);
    memcpy(file + 8, header, sizeof header - 1);
    return resolver_over_memory(&entry, &bytes, 1, true);
}

static void check_list(const struct violations *list) {
    PROMISE(list->total > 0, "a refusal without a finding");
    for (size_t i = 0; i < list->count; i++) {
        const struct violation *v = &list->items[i];
        PROMISE(v->detail && v->detail[0], "a finding without words");
        PROMISE(v->pointer[0] == 0 || v->pointer[0] == '/', "not a pointer: %s", v->pointer);
        PROMISE(err_kind(v->code) != ERR_KIND_BUG, "a finding blamed on us: %s", v->detail);
    }
}

static void apply(const struct recipe *recipe, struct arena *arena) {
    struct violations list, warnings;
    violations_init(&list, arena);
    violations_init(&warnings, arena);
    struct resolver *files = open_files();
    struct model *model = NULL;
    struct err err = ERR_INIT;
    PROMISE(files && format_open(files, &model, &err) == 0, "the model: %s", err.text);
    for (size_t i = 0; i < recipe->stage_count; i++) {
        const struct recipe_stage *stage = &recipe->stages[i];
        size_t before = list.total;
        int result = stage->pass->apply(stage->params, stage->pointer, model, NULL,
                                        recipe->requantize, &list, &warnings);
        PROMISE((result < 0) == (list.total > before), "a result that contradicts its findings");
    }
    if (list.total) {
        check_list(&list);
    } else {
        struct layout layout;
        layout_init(&layout, arena);
        struct output_facts facts = {recipe->name, recipe->json, NULL};
        PROMISE(model->format->lay_out(model, &facts, &layout, &warnings, &err) == 0, "layout: %s",
                err.text);
    }
    model_free(model);
    resolver_close(files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct arena *arena = arena_new(LIMIT_RECIPE_ARENA_BYTES);
    PROMISE(arena, "no memory");
    struct violations list;
    violations_init(&list, arena);
    struct recipe *recipe, *again;
    struct err err = ERR_INIT;
    if (recipe_parse((const char *)data, len, arena, &list, &recipe, &err) == 0) {
        PROMISE(list.total == 0, "findings in a recipe that was accepted");
        PROMISE(recipe_parse(recipe->json, strlen(recipe->json), arena, &list, &again, &err) == 0,
                "the canonical text is refused: %s", err.text);
        PROMISE(digest_equal(&recipe->digest, &again->digest), "two digests of one recipe");
        apply(recipe, arena);
        for (size_t i = 0; i < recipe->part_count; i++)
            apply(recipe->parts[i].recipe, arena);
    } else {
        PROMISE(err.code != ERR_OK && err.text[0], "a refusal without a reason");
        check_list(&list);
    }
    arena_free(arena);
    return 0;
}
