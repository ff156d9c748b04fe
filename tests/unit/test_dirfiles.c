/* Folders as models: what is listed and what is refused. */
#include "compress/base/dirfiles.h"
#include "compress/base/limits.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tempdir dir;

static void put(const char *name, const char *text) {
    tempdir_write(&dir, name, text, strlen(text));
}

static struct resolver *open_ok(const char *name, bool follow_links) {
    struct err err = ERR_INIT;
    struct resolver *resolver = NULL;
    CHECK_OK(dirfiles_open(tempdir_path(&dir, name), follow_links, &resolver, &err), &err);
    return resolver;
}

static void open_fails(const char *name, bool follow_links, enum err_code code, const char *named) {
    struct err err = ERR_INIT;
    struct resolver *resolver = NULL;
    CHECK_INT(dirfiles_open(tempdir_path(&dir, name), follow_links, &resolver, &err), -1);
    CHECK_HOLDS(err.text, named);
    CHECK_FAILS(-1, &err, code);
    CHECK(resolver == NULL);
}

static void check_content(struct resolver *resolver, const char *path, const char *want) {
    struct err err = ERR_INIT;
    struct source *source = NULL;
    CHECK_OK(resolver_open(resolver, path, &source, &err), &err);
    char *text = NULL;
    CHECK_OK(source_slurp(source, 1 << 20, &text, &err), &err);
    CHECK_TEXT(text, want);
    CHECK_TEXT(source->path, path);
    free(text);
    source_close(source);
}

static void lists_a_folder(void **state) {
    put("f/model-00002.safetensors", "two");
    put("f/model-00001.safetensors", "one");
    put("f/config.json", "{}");
    put("f/unet/config.json", "{1}");
    put("f/unet.txt", "");
    put("f/.git/HEAD", "hidden");
    put("f/.hidden", "hidden");
    put("f/unet/.hidden", "hidden");
    mkdir(tempdir_path(&dir, "f/empty"), 0777);
    struct resolver *resolver = open_ok("f", false);
    static const struct resolver_file want[] = {{"config.json", 2},
                                                {"model-00001.safetensors", 3},
                                                {"model-00002.safetensors", 3},
                                                {"unet.txt", 0},
                                                {"unet/config.json", 3}};
    CHECK_UINT(resolver->count, 5);
    CHECK(!resolver->lone);
    for (size_t i = 0; i < 5; i++) {
        CHECK_TEXT(resolver->files[i].path, want[i].path);
        CHECK_UINT(resolver->files[i].bytes, want[i].bytes);
    }
    check_content(resolver, "unet/config.json", "{1}");
    check_content(resolver, "model-00002.safetensors", "two");
    check_content(resolver, "unet.txt", "");
    resolver_close(resolver);
}

static void opens_a_lone_file(void **state) {
    put("deep/er/model.gguf", "GGUF");
    struct resolver *resolver = open_ok("deep/er/model.gguf", false);
    CHECK(resolver->lone);
    CHECK_UINT(resolver->count, 1);
    CHECK_TEXT(resolver->files[0].path, "model.gguf");
    check_content(resolver, "model.gguf", "GGUF");
    resolver_close(resolver);
}

static void relative_paths(void **state) {
    put("model.bin", "x");
    char old[1024];
    assert_non_null(getcwd(old, sizeof old));
    CHECK_INT(chdir(dir.path), 0);
    struct err err = ERR_INIT;
    struct resolver *resolver = NULL;
    int rc = dirfiles_open("model.bin", false, &resolver, &err);
    CHECK_INT(chdir(old), 0);
    CHECK_OK(rc, &err);
    check_content(resolver, "model.bin", "x"); /* the folder is held, not its name */
    resolver_close(resolver);
}

static void what_is_not_there(void **state) {
    open_fails("absent", true, ERR_NOT_FOUND, "absent");
    put("file", "x");
    open_fails("file/below", true, ERR_NOT_FOUND, "below");
    mkdir(tempdir_path(&dir, "hollow"), 0777);
    open_fails("hollow", true, ERR_NOT_FOUND, "no files");
    put("secret/.token", "only hidden");
    open_fails("secret", true, ERR_NOT_FOUND, "no files");
}

static void links(void **state) {
    put("cache/blobs/abc", "weights");
    put("cache/snapshot/config.json", "{}");
    CHECK_INT(symlink("../blobs/abc", tempdir_path(&dir, "cache/snapshot/model.safetensors")), 0);
    open_fails("cache/snapshot", false, ERR_UNSUPPORTED, "model.safetensors");
    struct resolver *resolver = open_ok("cache/snapshot", true);
    CHECK_UINT(resolver->count, 2);
    check_content(resolver, "model.safetensors", "weights");
    resolver_close(resolver);

    CHECK_INT(symlink("cache/snapshot", tempdir_path(&dir, "top")), 0);
    open_fails("top", false, ERR_UNSUPPORTED, "top");
    resolver_close(open_ok("top", true));

    CHECK_INT(symlink("../blobs", tempdir_path(&dir, "cache/snapshot/folder")), 0);
    open_fails("cache/snapshot", true, ERR_UNSUPPORTED, "folder");
    open_fails("cache/snapshot", false, ERR_UNSUPPORTED, "is a link");
    unlink(tempdir_path(&dir, "cache/snapshot/folder"));
    CHECK_INT(symlink("nowhere", tempdir_path(&dir, "cache/snapshot/dangling")), 0);
    open_fails("cache/snapshot", true, ERR_NOT_FOUND,
               "dangling is a link to what is not there: nowhere");
    unlink(tempdir_path(&dir, "cache/snapshot/dangling"));
    CHECK_INT(symlink("there", tempdir_path(&dir, "cache/snapshot/here")), 0);
    CHECK_INT(symlink("here", tempdir_path(&dir, "cache/snapshot/there")), 0);
    open_fails("cache/snapshot", true, ERR_UNSUPPORTED, "here is a link that leads in a circle");
    open_fails("cache/snapshot", false, ERR_UNSUPPORTED, "is a link; links are not followed");
    unlink(tempdir_path(&dir, "cache/snapshot/here"));
    unlink(tempdir_path(&dir, "cache/snapshot/there"));
    CHECK_INT(symlink(".", tempdir_path(&dir, "cache/snapshot/self")), 0);
    open_fails("cache/snapshot", true, ERR_UNSUPPORTED, "self is a link to a folder");
    unlink(tempdir_path(&dir, "cache/snapshot/self"));

    /* One that leads out of the folder is a file like any other: the user named the folder. */
    CHECK_INT(symlink("/dev/null", tempdir_path(&dir, "cache/snapshot/device")), 0);
    open_fails("cache/snapshot", true, ERR_UNSUPPORTED, "device is neither a file nor a folder");
    unlink(tempdir_path(&dir, "cache/snapshot/device"));
    put("elsewhere/notes", "from elsewhere");
    char absolute[PATH_MAX];
    snprintf(absolute, sizeof absolute, "%s", tempdir_path(&dir, "elsewhere/notes"));
    CHECK_INT(symlink(absolute, tempdir_path(&dir, "cache/snapshot/notes")), 0);
    resolver = open_ok("cache/snapshot", true);
    check_content(resolver, "notes", "from elsewhere");
    resolver_close(resolver);
}

/* Between listing and opening somebody puts a link in a file's or a folder's place. */
static void swapped_for_a_link(void **state) {
    put("swap/sub/a", "mine");
    put("swap/b", "mine");
    put("outside/a", "them");
    struct resolver *resolver = open_ok("swap", false);
    struct err err = ERR_INIT;
    struct source *source = NULL;
    unlink(tempdir_path(&dir, "swap/b"));
    CHECK_INT(symlink("../outside/a", tempdir_path(&dir, "swap/b")), 0);
    CHECK_FAILS(resolver_open(resolver, "b", &source, &err), &err, ERR_IO);
    rename(tempdir_path(&dir, "swap/sub"), tempdir_path(&dir, "swap/moved"));
    CHECK_INT(symlink("../outside", tempdir_path(&dir, "swap/sub")), 0);
    CHECK_INT(resolver_open(resolver, "sub/a", &source, &err), -1);
    CHECK_TEXT(err.file, "sub/a");
    CHECK(source == NULL);
    resolver_close(resolver);
}

static void irregular_files(void **state) {
    put("odd/a", "x");
    CHECK_INT(mkfifo(tempdir_path(&dir, "odd/pipe"), 0666), 0);
    open_fails("odd", true, ERR_UNSUPPORTED, "pipe");
    open_fails("odd/pipe", true, ERR_UNSUPPORTED, "pipe"); /* and does not hang */
    struct err err = ERR_INIT;
    struct resolver *resolver = NULL;
    CHECK_FAILS(dirfiles_open("/dev/null", true, &resolver, &err), &err, ERR_UNSUPPORTED);
}

static void odd_names(void **state) {
    put("names/a\nb", "x");
    open_fails("names", true, ERR_BAD_NAME, "a?b");
    put("deepest/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", "x");
    resolver_close(open_ok("deepest", true));
    put("deepest/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/f/17", "x");
    open_fails("deepest", true, ERR_BAD_NAME, "too deep");
}

static void too_many_files(void **state) {
    put("many/0", "");
    char first[300], name[32];
    snprintf(first, sizeof first, "%s", tempdir_path(&dir, "many/0"));
    for (int i = 1; i < LIMIT_MODEL_FILES; i++) { /* names of one file: quickly made */
        snprintf(name, sizeof name, "many/%d", i);
        CHECK_INT(link(first, tempdir_path(&dir, name)), 0);
    }
    struct resolver *resolver = open_ok("many", true);
    CHECK_UINT(resolver->count, LIMIT_MODEL_FILES);
    resolver_close(resolver);
    put("many/one-more", "");
    open_fails("many", true, ERR_TOO_LARGE, "4096");
}

/* Root reads everything: look as somebody else. */
static void be_nobody(bool on) {
    if (geteuid() == 0) {
        chmod(dir.path, 0755);
        setfsuid(on ? 65534 : 0);
    }
}

static void unreadable(void **state) {
    put("locked/sub/a", "x");
    char sub[300], file[300];
    snprintf(sub, sizeof sub, "%s", tempdir_path(&dir, "locked/sub"));
    snprintf(file, sizeof file, "%s", tempdir_path(&dir, "locked/sub/a"));
    struct resolver *resolver = open_ok("locked", true);
    struct err err = ERR_INIT;
    struct source *source = NULL;
    chmod(file, 0);
    be_nobody(true);
    int rc = resolver_open(resolver, "sub/a", &source, &err);
    be_nobody(false);
    chmod(file, 0600);
    chmod(sub, 0);
    struct err list_err = ERR_INIT;
    struct resolver *listed = NULL;
    be_nobody(true);
    int list_rc = dirfiles_open(tempdir_path(&dir, "locked"), true, &listed, &list_err);
    be_nobody(false);
    chmod(sub, 0700);
    CHECK_INT(rc, -1);
    CHECK_HOLDS(err.text, "sub/a");
    CHECK_TEXT(err.file, "sub/a");
    CHECK_FAILS(-1, &err, ERR_IO);
    CHECK_INT(list_rc, -1);
    CHECK_HOLDS(list_err.text, "sub");
    CHECK_FAILS(-1, &list_err, ERR_IO);
    resolver_close(resolver);
}

static void files_that_change(void **state) {
    put("change/a", "1234567890");
    struct resolver *resolver = open_ok("change", true);
    struct err err = ERR_INIT;
    struct source *source = NULL;
    CHECK_OK(resolver_open(resolver, "a", &source, &err), &err);
    char buf[10];
    CHECK_INT(truncate(tempdir_path(&dir, "change/a"), 4), 0);
    CHECK_OK(source_read(source, 0, buf, 4, &err), &err);
    CHECK_INT(source_read(source, 2, buf, 8, &err), -1);
    CHECK_TEXT(err.file, "a");
    CHECK_UINT(err.offset, 4);
    CHECK_FAILS(-1, &err, ERR_IO);
    source_close(source);
    CHECK_FAILS(resolver_open(resolver, "a", &source, &err), &err, ERR_IO);
    unlink(tempdir_path(&dir, "change/a"));
    CHECK_FAILS(resolver_open(resolver, "a", &source, &err), &err, ERR_NOT_FOUND);
    resolver_close(resolver);
}

/* Files that are known already: sorted, and opened beneath a descriptor that is not taken over. */
static void known_files(void **state) {
    put("known/b", "bb");
    put("known/a/c", "c");
    const struct resolver_file rows[] = {{"b", 2}, {"a/c", 1}};
    int fd = open(tempdir_path(&dir, "known"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err = ERR_INIT;
    struct resolver *resolver = NULL;
    CHECK_OK(dirfiles_over(fd, "known", rows, 2, false, &resolver, &err), &err);
    CHECK_UINT(resolver->count, 2);
    CHECK_TEXT(resolver->files[0].path, "a/c");
    check_content(resolver, "a/c", "c");
    check_content(resolver, "b", "bb");
    resolver_close(resolver);
    const struct resolver_file bad = {"../b", 2};
    resolver = NULL;
    CHECK_FAILS(dirfiles_over(fd, "known", &bad, 1, false, &resolver, &err), &err, ERR_BAD_NAME);
    CHECK_INT(close(fd), 0);
    CHECK_FAILS(dirfiles_over(-1, "known", rows, 2, false, &resolver, &err), &err, ERR_IO);
    CHECK(resolver == NULL);
}

static void no_memory(void **state) {
    put("src/sub/a", "text");
    char *from = strdup(tempdir_path(&dir, "src"));
    int fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned n = 0;; n++) {
        struct err err = ERR_INIT;
        struct resolver *resolver = NULL, *again = NULL;
        struct source *source = NULL;
        allocfail_arm(n);
        int rc = dirfiles_open(from, true, &resolver, &err);
        if (rc == 0)
            rc = resolver_open(resolver, "sub/a", &source, &err);
        const struct resolver_file row = {"a", 4};
        if (rc == 0)
            rc = dirfiles_over(fd, "here", &row, 1, true, &again, &err);
        bool failed = allocfail_disarm();
        resolver_close(again);
        resolver_close(resolver);
        source_close(source);
        if (!failed) {
            CHECK_OK(rc, &err);
            CHECK(n >= 7);
            break;
        }
        CHECK_FAILS(rc, &err, ERR_NO_MEMORY);
    }
    close(fd);
    free(from);
}

static int set_up(void **state) {
    tempdir_make(&dir);
    return 0;
}

static int tear_down(void **state) {
    tempdir_free(&dir);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(lists_a_folder),
        TEST(opens_a_lone_file),
        TEST(relative_paths),
        TEST(what_is_not_there),
        TEST(links),
        TEST(swapped_for_a_link),
        TEST(irregular_files),
        TEST(odd_names),
        TEST(too_many_files),
        TEST(unreadable),
        TEST(files_that_change),
        TEST(known_files),
        TEST(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
