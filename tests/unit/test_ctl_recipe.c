/* The recipe on the command line: name, file, or the JSON itself. */
#include "daemon/ctl_recipe.h"
#include "tests/support/check.h"

#include "tests/support/tempdir.h"

#include <string.h>

struct fixture {
    struct arena *arena;
    struct violations list;
    struct recipe *recipe;
    struct err err;
};

static int load(struct fixture *f, const char *named, bool requantize) {
    *f = (struct fixture){.arena = arena_new((size_t)4 << 20), .err = ERR_INIT};
    violations_init(&f->list, f->arena);
    return ctl_recipe_load(named, requantize, f->arena, &f->list, &f->recipe, &f->err);
}

static void three_ways(void **state) {
    static const char text[] = "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\"}]}";
    struct tempdir dir;
    struct fixture f;
    tempdir_make(&dir);
    tempdir_write(&dir, "mine.json", text, strlen(text));
    static const char *const names[] = {"int8", "custom", "custom"};
    for (int i = 0; i < 3; i++) {
        const char *named = i == 0 ? "int8" : i == 1 ? text : tempdir_path(&dir, "mine.json");
        CHECK_OK(load(&f, named, false), &f.err);
        CHECK_TEXT(f.recipe->name, names[i]);
        CHECK_TEXT(f.recipe->json, "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\"}]}");
        arena_free(f.arena);
    }
    CHECK(load(&f, dir.path, false) < 0); /* a folder */
    arena_free(f.arena);
    tempdir_free(&dir);
}

static void requantize_is_written_down(void **state) {
    struct fixture f;
    CHECK_OK(load(&f, "gguf-q4_0", true), &f.err);
    CHECK(f.recipe->requantize);
    CHECK_TEXT(f.recipe->name, "gguf-q4_0");
    CHECK_HOLDS(f.recipe->json, "\"requantize\":true");
    arena_free(f.arena);
    CHECK_OK(load(&f,
                  "{\"requantize\":true,\"stages\":[{\"pass\":\"quantize\",\"scheme\":"
                  "\"f16\"}]}",
                  true),
             &f.err);
    arena_free(f.arena);
}

static void refusals(void **state) {
    struct fixture f;
    CHECK(load(&f, "gguf-q40", false) < 0);
    CHECK_INT(f.err.code, ERR_NOT_FOUND);
    CHECK_TEXT(f.err.nearest, "gguf-q4_0");
    arena_free(f.arena);
    CHECK(load(&f, "{\"stages\":[]}", true) < 0);
    CHECK_UINT(f.list.count, 1);
    arena_free(f.arena);
    CHECK(load(&f, "{oops", true) < 0);
    CHECK_INT(f.err.code, ERR_BAD_JSON);
    arena_free(f.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_ways),
        cmocka_unit_test(requantize_is_written_down),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
