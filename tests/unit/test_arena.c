/* The arena: alignment, cap, rewind, growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/base/arena.h"

#include <string.h>

static void aligned_and_zeroed(void **state) {
    struct arena *arena = arena_new(1 << 20);
    for (size_t n = 0; n < 300; n++) {
        unsigned char *p = arena_alloc(arena, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    arena_free(arena);
}

static void cap_holds(void **state) {
    struct arena *arena = arena_new(64 * 1024);
    assert_null(arena_alloc(arena, 65 * 1024));
    size_t got = 0;
    while (arena_alloc(arena, 1000))
        got += 1000;
    assert_true(got > 32 * 1024 && got <= 64 * 1024);
    assert_true(arena_used_bytes(arena) <= 64 * 1024);
    assert_null(arena_calloc(arena, SIZE_MAX / 2, 4));
    arena_free(arena);
}

static void rewind_gives_memory_back(void **state) {
    struct arena *arena = arena_new(1 << 20);
    char *kept = arena_strdup(arena, "kept");
    struct arena_mark mark = arena_mark(arena);
    size_t before = arena_used_bytes(arena);
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_alloc(arena, 5000));
    assert_true(arena_used_bytes(arena) > before);
    arena_rewind(arena, mark);
    assert_int_equal(arena_used_bytes(arena), before);
    assert_string_equal(kept, "kept");
    arena_free(arena);
}

static void grows_and_prints(void **state) {
    struct arena *arena = arena_new(1 << 20);
    int *list = NULL;
    size_t capacity = 0;
    for (int i = 0; i < 1000; i++) {
        list = arena_grow(arena, list, &capacity, (size_t)i + 1, sizeof *list);
        list[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(list[i], i);
    assert_string_equal(arena_printf(arena, "%s-%d", "x", 42), "x-42");
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_and_zeroed),
        cmocka_unit_test(cap_holds),
        cmocka_unit_test(rewind_gives_memory_back),
        cmocka_unit_test(grows_and_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
