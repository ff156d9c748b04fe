/* Findings are copied, counted and capped. */
#include "compress/base/limits.h"
#include "compress/base/violations.h"
#include "tests/support/check.h"

#include <string.h>

static void keeps_copies(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct violations list;
    violations_init(&list, arena);
    CHECK_INT(violations_result(&list, NULL), 0);
    char pointer[] = "/stages/0/group_size", word[] = "heads";
    struct violation *row =
        violations_add(&list, ERR_MISFIT, pointer, "%d does not divide %s", 128, word);
    row->nearest = "64";
    memset(pointer, 'x', sizeof pointer - 1);
    memset(word, 'x', sizeof word - 1);
    CHECK_UINT(list.count, 1);
    CHECK_TEXT(list.items[0].pointer, "/stages/0/group_size");
    CHECK_TEXT(list.items[0].detail, "128 does not divide heads");
    CHECK_TEXT(list.items[0].nearest, "64");
    CHECK(list.items[0].tensor == NULL && list.items[0].offset == ERR_NO_OFFSET);
    struct err err = ERR_INIT;
    CHECK_INT(violations_result(&list, &err), -1);
    CHECK_INT(err.code, ERR_MISFIT);
    CHECK_TEXT(err.text, "128 does not divide heads");
    CHECK_TEXT(err.pointer, "/stages/0/group_size");
    CHECK_TEXT(err.nearest, "64");
    arena_free(arena);
}

static void takes_errors(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct violations list;
    violations_init(&list, arena);
    struct err err = ERR_INIT;
    err_set(&err, ERR_NON_FINITE, "NaN at index %d", 5);
    err_at_tensor(&err, "w");
    err_at_file(&err, "a.safetensors", 99);
    violations_add_err(&list, &err);
    violations_add(&list, ERR_BAD_FIELD, NULL, "second");
    memset(&err, 'x', sizeof err);
    CHECK_TEXT(list.items[0].tensor, "w");
    CHECK_TEXT(list.items[0].file, "a.safetensors");
    CHECK_UINT(list.items[0].offset, 99);
    CHECK(list.items[0].nearest == NULL);
    CHECK_TEXT(list.items[1].pointer, "");
    struct err sum = ERR_INIT;
    CHECK_INT(violations_result(&list, &sum), -1);
    CHECK_INT(sum.code, ERR_NON_FINITE);
    CHECK_TEXT(sum.text, "2 problems; first: NaN at index 5");
    CHECK_TEXT(sum.tensor, "w");
    CHECK_UINT(sum.offset, 99);
    arena_free(arena);
}

static void ceiling_holds(void **state) {
    struct arena *arena = arena_new(8 << 20);
    struct violations list;
    violations_init(&list, arena);
    for (int i = 0; i < LIMIT_VIOLATIONS + 10; i++) {
        struct violation *row = violations_add(&list, ERR_BAD_FIELD, "/x", "number %d", i);
        assert_non_null(row);
        row->tensor = "t";
    }
    CHECK_UINT(list.count, LIMIT_VIOLATIONS);
    CHECK_UINT(list.total, LIMIT_VIOLATIONS + 10);
    CHECK_TEXT(list.items[LIMIT_VIOLATIONS - 1].detail, "number 255");
    struct err err = ERR_INIT;
    violations_result(&list, &err);
    CHECK_TEXT(err.text, "266 problems; first: number 0");
    arena_free(arena);
}

static void without_memory_they_still_count(void **state) {
    struct arena *arena = arena_new(64);
    struct violations list;
    violations_init(&list, arena);
    assert_non_null(violations_add(&list, ERR_BAD_FIELD, "/x", "lost"));
    struct err err = ERR_INIT;
    CHECK_FAILS(violations_result(&list, &err), &err, ERR_NO_MEMORY);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_copies),
        cmocka_unit_test(takes_errors),
        cmocka_unit_test(ceiling_holds),
        cmocka_unit_test(without_memory_they_still_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
