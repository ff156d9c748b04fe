/* The path rule, the shorthands, files over memory. */
#include "compress/base/files.h"
#include "compress/base/limits.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static void paths(void **state) {
    static const struct {
        const char *path;
        bool ok;
    } rows[] = {
        {"model.safetensors", true},
        {"unet/config.json", true},
        {"a/b/c/d", true},
        {"...", true},
        {"..a", true},
        {".hidden", true},
        {"a b", true},
        {"na\xc3\xafve", true},
        {"", false},
        {".", false},
        {"..", false},
        {"/", false},
        {"/etc/passwd", false},
        {"a/", false},
        {"a//b", false},
        {"./a", false},
        {"a/.", false},
        {"a/./b", false},
        {"../a", false},
        {"a/..", false},
        {"a/../b", false},
        {"a\\b", false},
        {"..\\a", false},
        {"a\nb", false},
        {"a\x7f", false},
        {"a\x1f", false},
        {"a\xff", false},
        {"a\xc0\xaf", false}, /* an overlong '/' */
        {"\xed\xa0\x80", false},
        {"1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", true},
        {"1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (path_ok(rows[i].path) != rows[i].ok)
            fail_msg("path_ok(\"%s\") is %d", rows[i].path, !rows[i].ok);
    char longest[LIMIT_PATH_BYTES + 2];
    memset(longest, 'x', sizeof longest);
    longest[LIMIT_PATH_BYTES] = 0;
    CHECK(path_ok(longest));
    longest[LIMIT_PATH_BYTES] = 'x';
    longest[LIMIT_PATH_BYTES + 1] = 0;
    CHECK(!path_ok(longest));
}

static void ranges_are_checked(void **state) {
    struct source *source = source_over_memory("0123456789", 10, "digits");
    struct err err = ERR_INIT;
    char buf[11] = {0};
    CHECK_OK(source_read(source, 0, buf, 10, &err), &err);
    CHECK_TEXT(buf, "0123456789");
    CHECK_OK(source_read(source, 7, buf, 3, &err), &err);
    CHECK_TEXT(buf, "7893456789");
    CHECK_OK(source_read(source, 10, buf, 0, &err), &err);
    static const struct {
        uint64_t offset;
        size_t len;
    } beyond[] = {{0, 11}, {10, 1}, {11, 0}, {9, 2}, {UINT64_MAX, 1}, {5, SIZE_MAX}, {1, SIZE_MAX}};
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        CHECK_INT(source_read(source, beyond[i].offset, buf, beyond[i].len, &err), -1);
        CHECK_TEXT(err.file, "digits");
        CHECK_UINT(err.offset, beyond[i].offset);
        CHECK_HOLDS(err.text, "digits");
        CHECK_FAILS(-1, &err, ERR_BAD_MODEL);
    }
    source_will_need(source, 0, 10); /* hints need not be implemented */
    source_done(source, 0, 10);
    source_close(source);
    source_close(NULL);
}

static void slurp(void **state) {
    struct source *source = source_over_memory("{\"a\":1}", 7, "config.json");
    struct err err = ERR_INIT;
    char *text = NULL;
    CHECK_OK(source_slurp(source, 7, &text, &err), &err);
    CHECK_TEXT(text, "{\"a\":1}");
    free(text);
    text = NULL;
    CHECK_FAILS(source_slurp(source, 6, &text, &err), &err, ERR_TOO_LARGE);
    CHECK(text == NULL);
    allocfail_arm(0);
    int rc = source_slurp(source, 7, &text, &err);
    CHECK(allocfail_disarm());
    CHECK_FAILS(rc, &err, ERR_NO_MEMORY);
    CHECK(text == NULL);
    source_close(source);
    source = source_over_memory(NULL, 0, "empty");
    CHECK_OK(source_slurp(source, 0, &text, &err), &err);
    CHECK_TEXT(text, "");
    free(text);
    source_close(source);
}

static void resolver_sorts_and_finds(void **state) {
    static const struct resolver_file files[] = {
        {"vocab.json", 2}, {"config.json", 3}, {"a/b", 1}, {"a", 4}, {"a.b", 5}};
    static const void *const data[] = {"vv", "ccc", "b", "aaaa", "dotdt"};
    struct resolver *resolver = resolver_over_memory(files, data, 5, false);
    static const char *const sorted[] = {"a", "a.b", "a/b", "config.json", "vocab.json"};
    CHECK_UINT(resolver->count, 5);
    CHECK(!resolver->lone);
    for (size_t i = 0; i < 5; i++) {
        CHECK_TEXT(resolver->files[i].path, sorted[i]);
        CHECK_UINT(resolver_find(resolver, sorted[i]), i);
    }
    CHECK(resolver_find(resolver, "b") == SIZE_MAX);
    CHECK(resolver_find(resolver, "") == SIZE_MAX);
    CHECK(resolver_find(resolver, "zzz") == SIZE_MAX);
    struct err err = ERR_INIT;
    struct source *source = NULL;
    CHECK_OK(resolver_open(resolver, "config.json", &source, &err), &err);
    CHECK_UINT(source->bytes, 3);
    CHECK_TEXT(source->path, "config.json");
    char buf[4] = {0};
    CHECK_OK(source_read(source, 0, buf, 3, &err), &err);
    CHECK_TEXT(buf, "ccc");
    source_close(source);
    source = NULL;
    CHECK_INT(resolver_open(resolver, "absent", &source, &err), -1);
    CHECK_TEXT(err.file, "absent");
    CHECK_FAILS(-1, &err, ERR_NOT_FOUND);
    CHECK(source == NULL);
    resolver_close(resolver);
    resolver_close(NULL);
    sink_abort(NULL);
}

static void no_memory(void **state) {
    static const struct resolver_file files[] = {{"a", 1}};
    static const void *const data[] = {"a"};
    for (unsigned n = 0;; n++) {
        allocfail_arm(n);
        struct resolver *resolver = resolver_over_memory(files, data, 1, true);
        struct source *source = NULL;
        struct err err = ERR_INIT;
        int rc = resolver ? resolver_open(resolver, "a", &source, &err) : -1;
        bool failed = allocfail_disarm();
        source_close(source);
        resolver_close(resolver);
        if (!failed) {
            CHECK_INT(rc, 0);
            CHECK(n >= 3);
            break;
        }
        CHECK_INT(rc, -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),     cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(slurp),     cmocka_unit_test(resolver_sorts_and_finds),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
