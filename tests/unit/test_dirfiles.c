/* Folders as models: what is listed, what is refused, and outputs that appear whole or not at all.
 */
#include "compress/base/dirfiles.h"
#include "compress/base/limits.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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
    open_fails("cache/snapshot", true, ERR_NOT_FOUND, "dangling");
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
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct source *source = NULL;
    CHECK_FAILS(source_over_fd_take(fd, "null", &source, &err), &err, ERR_UNSUPPORTED);
    CHECK_INT(close(fd), 0); /* not taken */
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
    char name[32];
    for (int i = 0; i < LIMIT_MODEL_FILES; i++) {
        snprintf(name, sizeof name, "many/%d", i);
        put(name, "");
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

/* Hints change no byte, and several threads read one source. */
struct reader {
    struct source *source;
    uint64_t seed;
    int result;
};

static void *read_much(void *arg) {
    struct reader *reader = arg;
    unsigned char buf[4096];
    uint64_t x = reader->seed;
    for (int i = 0; i < 300; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t offset = (x >> 33) % (reader->source->bytes - sizeof buf);
        source_will_need(reader->source, offset, sizeof buf);
        if (source_read(reader->source, offset, buf, sizeof buf, NULL) < 0)
            reader->result = -1;
        for (size_t j = 0; j < sizeof buf; j++)
            if (buf[j] != (unsigned char)((offset + j) * 7 >> 3))
                reader->result = -2;
        source_done(reader->source, offset, sizeof buf);
    }
    return NULL;
}

static void many_readers(void **state) {
    enum { LEN = 300000 };
    unsigned char *data = malloc(LEN);
    for (size_t i = 0; i < LEN; i++)
        data[i] = (unsigned char)(i * 7 >> 3);
    tempdir_write(&dir, "big", data, LEN);
    free(data);
    struct resolver *resolver = open_ok("big", false);
    struct err err = ERR_INIT;
    struct source *source;
    CHECK_OK(resolver->ops->open(resolver, 0, &source, &err), &err);
    resolver_close(resolver); /* a source outlives its resolver */
    struct reader readers[3];
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++) {
        readers[i] = (struct reader){source, i, 0};
        pthread_create(&threads[i], NULL, read_much, &readers[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(readers[i].result, 0);
    }
    source_close(source);
}

/* ---- outputs ---- */

static struct dir_outputs *outputs_ok(const char *name, bool lone) {
    struct err err = ERR_INIT;
    struct dir_outputs *outputs = NULL;
    CHECK_OK(dir_outputs_new(tempdir_path(&dir, name), lone, &outputs, &err), &err);
    return outputs;
}

static void write_file(struct dir_outputs *outputs, const char *path, const char *text) {
    struct err err = ERR_INIT;
    struct outputs *base = dir_outputs_base(outputs);
    struct sink *sink = NULL;
    CHECK_OK(base->ops->create(base, path, strlen(text), &sink, &err), &err);
    CHECK_OK(sink_write(sink, text, strlen(text), &err), &err);
    CHECK_UINT(sink->written, strlen(text));
    struct digest got, want = digest_of(text, strlen(text));
    CHECK_OK(sink_finish(sink, &got, &err), &err);
    CHECK_BYTES(got.bytes, want.bytes, DIGEST_BYTES);
}

static void writes_a_folder(void **state) {
    mkdir(tempdir_path(&dir, "out"), 0777);
    struct dir_outputs *outputs = outputs_ok("out", false);
    struct outputs *base = dir_outputs_base(outputs);
    write_file(outputs, "model.safetensors", "weights");
    write_file(outputs, "a/b/config.json", "{}");
    write_file(outputs, "a/c", "");
    struct err err = ERR_INIT;
    struct sink *sink = NULL;
    CHECK_OK(base->ops->create(base, "a/unfinished", 3, &sink, &err), &err);
    struct resolver *resolver = NULL;
    CHECK_OK(base->ops->reopen(base, &resolver, &err), &err);
    CHECK_UINT(resolver->count, 3);
    CHECK(!resolver->lone);
    CHECK_TEXT(resolver->files[0].path, "a/b/config.json");
    check_content(resolver, "a/b/config.json", "{}");
    check_content(resolver, "a/c", "");
    check_content(resolver, "model.safetensors", "weights");
    resolver_close(resolver);
    sink_abort(sink);
    CHECK_UINT(tempdir_count(&dir, "out"), 2);
    CHECK_UINT(tempdir_count(&dir, "out/a"), 2); /* nothing partial is left */
    dir_outputs_free(outputs);
    dir_outputs_free(NULL);
}

static void writes_a_lone_file(void **state) {
    put("stay", "x");
    tempdir_write(&dir, "lone.gguf.partial", "old", 3); /* of a run that was killed */
    struct dir_outputs *outputs = outputs_ok("lone.gguf", true);
    write_file(outputs, "ignored/name", "GGUF");
    char *text = tempdir_read(&dir, "lone.gguf", NULL);
    CHECK_TEXT(text, "GGUF");
    free(text);
    struct err err = ERR_INIT;
    struct resolver *resolver = NULL;
    struct outputs *base = dir_outputs_base(outputs);
    CHECK_OK(base->ops->reopen(base, &resolver, &err), &err);
    CHECK(resolver->lone);
    check_content(resolver, "lone.gguf", "GGUF");
    resolver_close(resolver);
    CHECK_INT(access(tempdir_path(&dir, "lone.gguf.partial"), F_OK), -1);
    dir_outputs_discard(outputs);
    CHECK_INT(access(tempdir_path(&dir, "lone.gguf"), F_OK), -1);
    CHECK_INT(access(tempdir_path(&dir, "stay"), F_OK), 0);
    dir_outputs_free(outputs);
}

static void discards_what_it_made(void **state) {
    mkdir(tempdir_path(&dir, "gone"), 0777);
    struct dir_outputs *outputs = outputs_ok("gone", false);
    write_file(outputs, "a/b/c/d", "1");
    write_file(outputs, "a/e", "2");
    write_file(outputs, "f", "3");
    put("gone/a/b/not-ours", "keep");
    dir_outputs_discard(outputs);
    CHECK_UINT(tempdir_count(&dir, "gone"), 1);
    CHECK_UINT(tempdir_count(&dir, "gone/a/b"), 1);
    unlink(tempdir_path(&dir, "gone/a/b/not-ours"));
    rmdir(tempdir_path(&dir, "gone/a/b"));
    rmdir(tempdir_path(&dir, "gone/a"));
    write_file(outputs, "a/again", "4");
    dir_outputs_discard(outputs);
    CHECK_UINT(tempdir_count(&dir, "gone"), 0);
    dir_outputs_free(outputs);
}

static void targets_that_do_not_do(void **state) {
    struct err err = ERR_INIT;
    struct dir_outputs *outputs = NULL;
    put("full/a", "x");
    put("full-hidden/.a", "x");
    CHECK_FAILS(dir_outputs_new(tempdir_path(&dir, "full"), false, &outputs, &err), &err,
                ERR_EXISTS);
    CHECK_FAILS(dir_outputs_new(tempdir_path(&dir, "full-hidden"), false, &outputs, &err), &err,
                ERR_EXISTS);
    CHECK_FAILS(dir_outputs_new(tempdir_path(&dir, "full/a"), true, &outputs, &err), &err,
                ERR_EXISTS);
    CHECK_FAILS(dir_outputs_new(tempdir_path(&dir, "full/a"), false, &outputs, &err), &err,
                ERR_NOT_FOUND);
    CHECK_FAILS(dir_outputs_new(tempdir_path(&dir, "nowhere"), false, &outputs, &err), &err,
                ERR_NOT_FOUND);
    CHECK_FAILS(dir_outputs_new(tempdir_path(&dir, "nowhere/x"), true, &outputs, &err), &err,
                ERR_NOT_FOUND);
    CHECK(outputs == NULL);
}

static void refuses_and_stays_clean(void **state) {
    mkdir(tempdir_path(&dir, "clean"), 0777);
    put("elsewhere/x", "x");
    struct dir_outputs *outputs = outputs_ok("clean", false);
    struct outputs *base = dir_outputs_base(outputs);
    struct err err = ERR_INIT;
    struct sink *sink = NULL;
    CHECK_FAILS(base->ops->create(base, "../escape", 1, &sink, &err), &err, ERR_BAD_NAME);
    CHECK_FAILS(base->ops->create(base, "/tmp/escape", 1, &sink, &err), &err, ERR_BAD_NAME);
    struct resolver *resolver = NULL;
    CHECK_FAILS(base->ops->reopen(base, &resolver, &err), &err, ERR_BUG);
    CHECK_INT(symlink("../elsewhere", tempdir_path(&dir, "clean/link")), 0);
    CHECK_INT(base->ops->create(base, "link/escape", 1, &sink, &err), -1);
    err_clear(&err);
    CHECK_INT(base->ops->create(base, "link", 1, &sink, &err), -1);
    CHECK_FAILS(-1, &err, ERR_EXISTS);
    unlink(tempdir_path(&dir, "clean/link"));
    CHECK_UINT(tempdir_count(&dir, "elsewhere"), 1);

    write_file(outputs, "twice", "1");
    CHECK_FAILS(base->ops->create(base, "twice", 1, &sink, &err), &err, ERR_EXISTS);
    CHECK_INT(base->ops->create(base, "twice/below", 1, &sink, &err), -1);
    err_clear(&err);

    struct digest digest;
    CHECK_OK(base->ops->create(base, "short", 3, &sink, &err), &err);
    CHECK_OK(sink_write(sink, "ab", 2, &err), &err);
    CHECK_FAILS(sink_finish(sink, &digest, &err), &err, ERR_BUG);

    /* Somebody else's file appeared under the name while ours was written: it is not replaced. */
    CHECK_OK(base->ops->create(base, "raced", 2, &sink, &err), &err);
    put("clean/raced", "theirs");
    CHECK_OK(sink_write(sink, "ab", 2, &err), &err);
    CHECK_FAILS(sink_finish(sink, &digest, &err), &err, ERR_EXISTS);
    char *text = tempdir_read(&dir, "clean/raced", NULL);
    CHECK_TEXT(text, "theirs");
    free(text);
    CHECK_UINT(tempdir_count(&dir, "clean"), 2);
    dir_outputs_free(outputs);
}

static void no_memory(void **state) {
    put("src/sub/a", "text");
    mkdir(tempdir_path(&dir, "dst"), 0777);
    const char *from = strdup(tempdir_path(&dir, "src")), *to = strdup(tempdir_path(&dir, "dst"));
    for (unsigned n = 0;; n++) {
        struct err err = ERR_INIT;
        struct resolver *resolver = NULL, *again = NULL;
        struct source *source = NULL;
        struct dir_outputs *outputs = NULL;
        struct outputs *base = NULL;
        struct sink *sink = NULL;
        struct digest digest;
        allocfail_arm(n);
        int rc = dirfiles_open(from, true, &resolver, &err);
        if (rc == 0)
            rc = resolver_open(resolver, "sub/a", &source, &err);
        if (rc == 0)
            rc = dir_outputs_new(to, false, &outputs, &err);
        if (rc == 0) {
            base = dir_outputs_base(outputs);
            rc = base->ops->create(base, "x/y/a", 4, &sink, &err);
        }
        if (rc == 0 && (rc = sink_write(sink, "text", 4, &err)) < 0)
            sink_abort(sink);
        else if (rc == 0)
            rc = sink_finish(sink, &digest, &err);
        if (rc == 0)
            rc = base->ops->reopen(base, &again, &err);
        bool failed = allocfail_disarm();
        resolver_close(again);
        resolver_close(resolver);
        source_close(source);
        if (outputs)
            dir_outputs_discard(outputs);
        dir_outputs_free(outputs);
        CHECK_UINT(tempdir_count(&dir, "dst"), 0);
        if (!failed) {
            CHECK_OK(rc, &err);
            CHECK(n >= 15);
            break;
        }
        CHECK_FAILS(rc, &err, ERR_NO_MEMORY);
    }
    free((void *)(uintptr_t)from);
    free((void *)(uintptr_t)to);
}

static void syncs_a_folder(void **state) {
    struct err err = ERR_INIT;
    int fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_OK(fsync_dir(fd, "data", &err), &err);
    close(fd);
    CHECK_INT(fsync_dir(fd, "data", &err), -1);
    CHECK_HOLDS(err.text, "data");
    CHECK_FAILS(-1, &err, ERR_IO);
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
        TEST(many_readers),
        TEST(writes_a_folder),
        TEST(writes_a_lone_file),
        TEST(discards_what_it_made),
        TEST(targets_that_do_not_do),
        TEST(refuses_and_stays_clean),
        TEST(no_memory),
        TEST(syncs_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
