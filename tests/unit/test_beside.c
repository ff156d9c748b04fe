/* Output beside its place: whole or not at all, replaced only when asked. */
#include "daemon/beside.h"
#include "tests/support/check.h"

#include "tests/support/tempdir.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    CHECK(f);
    fputs(text, f);
    fclose(f);
}

static void put_below(const struct beside *b, const char *name, const char *text) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", beside_path(b), name);
    put(path, text);
}

static void check_file(const struct tempdir *dir, const char *name, const char *text) {
    char *got = tempdir_read(dir, name, NULL);
    CHECK_TEXT(got, text);
    free(got);
}

static void published_or_gone(void **state) {
    struct tempdir dir;
    struct beside *b;
    struct err err = ERR_INIT;
    tempdir_make(&dir);
    CHECK_OK(beside_new(tempdir_path(&dir, "out.gguf"), "x.gguf", false, false, 10, &b, &err),
             &err);
    put(beside_path(b), "half");
    CHECK_UINT(tempdir_count(&dir, "."), 1); /* hidden */
    beside_free(b);
    CHECK_UINT(tempdir_count(&dir, "."), 0);

    CHECK_OK(beside_new(tempdir_path(&dir, "out.gguf"), "x.gguf", false, false, 10, &b, &err),
             &err);
    put(beside_path(b), "whole");
    CHECK_OK(beside_publish(b, &err), &err);
    beside_free(b);
    CHECK_UINT(tempdir_count(&dir, "."), 1);
    check_file(&dir, "out.gguf", "whole");

    CHECK_OK(beside_new(tempdir_path(&dir, "folder/"), "model", true, false, 10, &b, &err), &err);
    put_below(b, "a", "1");
    CHECK_OK(beside_publish(b, &err), &err);
    beside_free(b);
    check_file(&dir, "folder/a", "1");
    CHECK_UINT(tempdir_count(&dir, "."), 2);
    tempdir_free(&dir);
}

static void replacing(void **state) {
    struct tempdir dir;
    struct beside *b;
    struct err err = ERR_INIT;
    tempdir_make(&dir);
    put(tempdir_path(&dir, "file"), "old");
    tempdir_write(&dir, "folder/sub/old", "old", 3);
    CHECK_FAILS(beside_new(tempdir_path(&dir, "file"), "x", false, false, 1, &b, &err), &err,
                ERR_EXISTS);
    CHECK_FAILS(beside_new(tempdir_path(&dir, "folder"), "x", false, true, 1, &b, &err), &err,
                ERR_EXISTS); /* a file never replaces a folder */
    CHECK_FAILS(beside_new(tempdir_path(&dir, "file"), "x", true, true, 1, &b, &err), &err,
                ERR_EXISTS);
    CHECK_OK(beside_new(tempdir_path(&dir, "file"), "x", false, true, 1, &b, &err), &err);
    put(beside_path(b), "new");
    check_file(&dir, "file", "old"); /* until the end */
    CHECK_OK(beside_publish(b, &err), &err);
    beside_free(b);
    check_file(&dir, "file", "new");

    CHECK_OK(beside_new(tempdir_path(&dir, "folder"), "x", true, true, 1, &b, &err), &err);
    put_below(b, "new", "new");
    CHECK_OK(beside_publish(b, &err), &err);
    beside_free(b);
    CHECK_UINT(tempdir_count(&dir, "folder"), 1);
    check_file(&dir, "folder/new", "new");
    CHECK_UINT(tempdir_count(&dir, "."), 2);
    tempdir_free(&dir);
}

/* Something appeared at OUT while the work went on. */
static void a_race_is_lost_politely(void **state) {
    struct tempdir dir;
    struct beside *b;
    struct err err = ERR_INIT;
    tempdir_make(&dir);
    CHECK_OK(beside_new(tempdir_path(&dir, "out"), "x", false, false, 1, &b, &err), &err);
    put(beside_path(b), "mine");
    put(tempdir_path(&dir, "out"), "theirs");
    CHECK_FAILS(beside_publish(b, &err), &err, ERR_EXISTS);
    beside_free(b);
    check_file(&dir, "out", "theirs");
    CHECK_UINT(tempdir_count(&dir, "."), 1);
    tempdir_free(&dir);
}

static void refusals(void **state) {
    struct tempdir dir;
    struct beside *b;
    struct err err = ERR_INIT;
    tempdir_make(&dir);
    CHECK_FAILS(beside_new(tempdir_path(&dir, "no/such/out"), "x", false, false, 1, &b, &err), &err,
                ERR_NOT_FOUND);
    CHECK_FAILS(
        beside_new(tempdir_path(&dir, "out"), "x", false, false, UINT64_C(1) << 60, &b, &err), &err,
        ERR_NO_SPACE);
    CHECK_UINT(tempdir_count(&dir, "."), 0);
    tempdir_free(&dir);
}

/* What can be known before any work. */
static void checked_first(void **state) {
    struct tempdir dir;
    struct err err = ERR_INIT;
    char source[300];
    tempdir_make(&dir);
    put(tempdir_path(&dir, "file"), "old");
    tempdir_write(&dir, "model/config.json", "{}", 2);
    tempdir_write(&dir, "model-2/config.json", "{}", 2);
    snprintf(source, sizeof source, "%s", tempdir_path(&dir, "model"));
    CHECK_OK(beside_check(tempdir_path(&dir, "new"), source, false, &err), &err);
    CHECK_OK(beside_check(tempdir_path(&dir, "new/"), source, false, &err), &err);
    CHECK_OK(beside_check(tempdir_path(&dir, "file"), source, true, &err), &err);
    CHECK_OK(beside_check(tempdir_path(&dir, "model-2/"), source, false, &err), &err);
    CHECK_OK(beside_check(tempdir_path(&dir, "model-2/x"), source, false, &err), &err);
    CHECK_FAILS(beside_check("-", source, true, &err), &err, ERR_BAD_REQUEST);
    CHECK_FAILS(beside_check(tempdir_path(&dir, "file"), source, false, &err), &err, ERR_EXISTS);
    CHECK_FAILS(beside_check(tempdir_path(&dir, "no/out"), source, false, &err), &err,
                ERR_NOT_FOUND);
    CHECK_FAILS(beside_check(tempdir_path(&dir, "file/out"), source, false, &err), &err, ERR_IO);
    CHECK_FAILS(beside_check(tempdir_path(&dir, "model/out"), source, true, &err), &err,
                ERR_EXISTS);
    CHECK_UINT(tempdir_count(&dir, "."), 3);
    tempdir_free(&dir);
}

static void a_lone_file_into_a_folder(void **state) {
    struct tempdir dir;
    struct beside *b;
    struct err err = ERR_INIT;
    tempdir_make(&dir);
    tempdir_write(&dir, "there/x", "1", 1);
    CHECK_OK(beside_new(tempdir_path(&dir, "there/"), "m.gguf", false, false, 1, &b, &err), &err);
    CHECK_TEXT(beside_out(b), tempdir_path(&dir, "there/m.gguf"));
    put(beside_path(b), "model");
    CHECK_OK(beside_publish(b, &err), &err);
    beside_free(b);
    check_file(&dir, "there/m.gguf", "model");
    CHECK_UINT(tempdir_count(&dir, "there"), 2);
    CHECK_FAILS(beside_new(tempdir_path(&dir, "not/"), "m.gguf", false, false, 1, &b, &err), &err,
                ERR_NOT_FOUND);
    tempdir_free(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_or_gone),       cmocka_unit_test(replacing),
        cmocka_unit_test(a_race_is_lost_politely), cmocka_unit_test(refusals),
        cmocka_unit_test(checked_first),           cmocka_unit_test(a_lone_file_into_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
