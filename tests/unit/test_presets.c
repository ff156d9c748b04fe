/* The preset table: every row is a recipe, for containers that exist. */
#include "compress/formats/format.h"
#include "compress/recipe/recipe.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

static void every_row(void **state) {
    for (size_t i = 0; preset_at(i); i++) {
        const struct preset *p = preset_at(i);
        struct arena *arena = arena_new(1 << 20);
        struct recipe *recipe;
        struct err err = ERR_INIT;
        CHECK_OK(recipe_preset(p->name, arena, &recipe, &err), &err);
        CHECK_TEXT(recipe->name, p->name);
        CHECK(recipe->stage_count > 0);
        CHECK(preset_by_name(p->name) == p);
        CHECK(p->summary[0] && p->expected_ratio >= 1);
        arena_free(arena);
    }
}

static void reads_what_exists(void **state) {
    for (size_t i = 0; preset_at(i); i++) {
        char reads[80];
        snprintf(reads, sizeof reads, "%s", preset_at(i)->reads);
        for (char *name = strtok(reads, ", "); name; name = strtok(NULL, ", "))
            CHECK(format_by_name(name) != NULL);
    }
    for (size_t i = 0; format_at(i); i++) { /* and every container has presets */
        size_t fits = 0;
        if (strcmp(format_at(i)->name, "onnx") == 0)
            continue; /* its weights are not quantized yet */
        for (size_t k = 0; preset_at(k); k++)
            fits += strstr(preset_at(k)->reads, format_at(i)->name) != NULL;
        CHECK(fits >= 2);
    }
}

static void unknown(void **state) {
    struct err err = ERR_INIT;
    struct recipe *recipe;
    CHECK(recipe_preset("gguf-q4-0", NULL, &recipe, &err) < 0);
    CHECK_INT(err.code, ERR_NOT_FOUND);
    CHECK_TEXT(err.nearest, "gguf-q4_0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(reads_what_exists),
        cmocka_unit_test(unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
