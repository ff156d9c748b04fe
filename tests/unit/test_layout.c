/* Layouts: sums, order, and that nothing is written for nothing. */
#include "compress/base/arena.h"
#include "compress/formats/layout.h"
#include "tests/support/check.h"

static void adds_up_and_sorts(void **state) {
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 << 20);
    struct layout layout;
    layout_init(&layout, arena);
    const char *const paths[] = {"b", "a/z", "a", "B"};
    for (uint64_t i = 0; i < 4; i++) {
        struct layout_file *file = layout_add_file(&layout, paths[i]);
        CHECK(file);
        for (uint64_t k = 0; k <= i; k++)
            CHECK_OK(layout_add(&layout, file,
                                (struct segment){.kind = SEGMENT_ZEROS, .bytes = 10 + k}, &err),
                     &err);
        CHECK_OK(layout_add(&layout, file, (struct segment){.kind = SEGMENT_ZEROS}, &err), &err);
        CHECK_UINT(file->count, i + 1);
    }
    layout_sort(&layout);
    const char *const sorted[] = {"B", "a", "a/z", "b"};
    const uint64_t bytes[] = {46, 33, 21, 10};
    for (size_t i = 0; i < 4; i++) {
        CHECK_TEXT(layout.files[i].path, sorted[i]);
        CHECK_UINT(layout.files[i].bytes, bytes[i]);
    }
    CHECK_UINT(layout.bytes, 110);
    arena_free(arena);
}

static void too_much_is_refused(void **state) {
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(64 * 1024);
    struct layout layout;
    layout_init(&layout, arena);
    struct layout_file *file = layout_add_file(&layout, "x");
    CHECK_OK(layout_add(&layout, file, (struct segment){.kind = SEGMENT_ZEROS, .bytes = UINT64_MAX},
                        &err),
             &err);
    CHECK_FAILS(
        layout_add(&layout, file, (struct segment){.kind = SEGMENT_ZEROS, .bytes = 1}, &err), &err,
        ERR_TOO_LARGE);
    CHECK_UINT(file->count, 1);
    int rc = 0;
    layout.bytes = file->bytes = 0;
    for (int i = 0; i < 10000 && rc == 0; i++)
        rc = layout_add(&layout, file, (struct segment){.kind = SEGMENT_ZEROS, .bytes = 1}, &err);
    CHECK_FAILS(rc, &err, ERR_NO_MEMORY);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_up_and_sorts),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
