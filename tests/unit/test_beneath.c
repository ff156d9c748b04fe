/* Nothing opened or made beneath a folder lies outside it. */
#include "compress/base/beneath.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tempdir dir;
static int dir_fd;

static bool same_folder(int fd, const char *name) {
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(tempdir_path(&dir, name), &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

static void opens_parents(void **state) {
    tempdir_write(&dir, "a/b/c", "x", 1);
    static const struct {
        const char *path, *parent, *name;
    } rows[] = {{"top", "", "top"}, {"a/x", "a", "x"}, {"a/b/c", "a/b", "c"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        const char *name = NULL;
        int fd = beneath_open_parent(dir_fd, rows[i].path, &name, &err);
        CHECK_OK(fd < 0, &err);
        CHECK_TEXT(name, rows[i].name);
        CHECK(same_folder(fd, rows[i].parent));
        close(fd);
    }
    struct err err = ERR_INIT;
    const char *name;
    CHECK_FAILS(beneath_open_parent(dir_fd, "absent/x", &name, &err) < 0, &err, ERR_NOT_FOUND);
    CHECK_FAILS(beneath_open_parent(dir_fd, "a/b/c/d", &name, &err) < 0, &err, ERR_NOT_FOUND);
    CHECK_FAILS(beneath_open_parent(-1, "x", &name, &err) < 0, &err, ERR_IO);
}

static int note(void *ctx, const char *path, size_t len, struct err *err) {
    char *seen = ctx;
    size_t used = strlen(seen);
    snprintf(seen + used, 100 - used, "[%.*s]", (int)len, path);
    return strncmp(path, "refused", 7) == 0 ? err_set(err, ERR_TOO_LARGE, "no more folders") : 0;
}

static void makes_parents(void **state) {
    mkdir(tempdir_path(&dir, "there"), 0777);
    char seen[100] = "";
    struct err err = ERR_INIT;
    const char *name;
    int fd = beneath_make_parent(dir_fd, "there/new/er/file", note, seen, &name, &err);
    CHECK_OK(fd < 0, &err);
    CHECK_TEXT(seen, "[there/new][there/new/er]");
    CHECK_TEXT(name, "file");
    CHECK(same_folder(fd, "there/new/er"));
    close(fd);
    CHECK_FAILS(beneath_make_parent(dir_fd, "refused/x", note, seen, &name, &err) < 0, &err,
                ERR_TOO_LARGE);
    CHECK_INT(access(tempdir_path(&dir, "refused"), F_OK), -1);
}

static void follows_no_link(void **state) {
    mkdir(tempdir_path(&dir, "inside"), 0777);
    mkdir(tempdir_path(&dir, "outside"), 0777);
    CHECK_INT(symlink("../outside", tempdir_path(&dir, "inside/link")), 0);
    CHECK_INT(symlink("/tmp", tempdir_path(&dir, "inside/tmp")), 0);
    int fd = open(tempdir_path(&dir, "inside"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static const char *const paths[] = {"link/x", "tmp/x", "link/deep/x"};
    for (size_t i = 0; i < 3; i++) {
        struct err err = ERR_INIT;
        const char *name;
        char seen[100] = "";
        CHECK_INT(beneath_open_parent(fd, paths[i], &name, &err), -1);
        CHECK_HOLDS(err.text, paths[i]);
        err_clear(&err);
        CHECK_INT(beneath_make_parent(fd, paths[i], note, seen, &name, &err), -1);
        CHECK_TEXT(seen, "");
    }
    CHECK_UINT(tempdir_count(&dir, "outside"), 0);
    close(fd);
}

static void codes(void **state) {
    CHECK_INT(beneath_code(ENOENT), ERR_NOT_FOUND);
    CHECK_INT(beneath_code(ENOTDIR), ERR_NOT_FOUND);
    CHECK_INT(beneath_code(EEXIST), ERR_EXISTS);
    CHECK_INT(beneath_code(EACCES), ERR_IO);
}

static int set_up(void **state) {
    tempdir_make(&dir);
    dir_fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int tear_down(void **state) {
    close(dir_fd);
    tempdir_free(&dir);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(opens_parents),
        TEST(makes_parents),
        TEST(follows_no_link),
        TEST(codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
