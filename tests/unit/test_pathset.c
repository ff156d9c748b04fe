/* Paths that can and cannot stand beside each other. */
#include "compress/base/pathset.h"

#include "tests/support/check.h"

#include <stdio.h>

static void clashes(void **state) {
    static const struct {
        const char *paths[4];
        int last; /* what adding the last one says; all before are fine */
    } cases[] = {
        {{"a", "b", "a-b"}, 1},
        {{"a", "a"}, 0},
        {{"README.md", "readme.MD"}, 0},
        {{"a", "a/b"}, 0},
        {{"a/b", "a"}, 0},
        {{"x/y/z", "x/y/w", "x/v"}, 1},
        {{"x/y/z", "X/Y"}, 0},
        {{"x/y", "X/z"}, 1}, /* one folder, written twice */
        {{"a/b", "a-b", "a.b/c"}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena *arena = arena_new(1 << 20);
        struct pathset set;
        pathset_init(&set, arena);
        size_t count = 0;
        while (count < 4 && cases[i].paths[count])
            count++;
        for (size_t k = 0; k < count; k++)
            CHECK_INT(pathset_add(&set, cases[i].paths[k]), k + 1 < count ? 1 : cases[i].last);
        arena_free(arena);
    }
}

static void little_memory_is_said(void **state) {
    struct arena *arena = arena_new(8192);
    struct pathset set;
    pathset_init(&set, arena);
    int result = 1;
    char path[16];
    for (int i = 0; i < 10000 && result == 1; i++) {
        snprintf(path, sizeof path, "f%d", i);
        result = pathset_add(&set, path);
    }
    CHECK_INT(result, -1);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clashes),
        cmocka_unit_test(little_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
