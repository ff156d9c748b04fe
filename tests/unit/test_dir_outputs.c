/* Outputs that appear whole or not at all. */
#include "compress/base/dir_outputs.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tempdir dir;

static void put(const char *name, const char *text) {
    tempdir_write(&dir, name, text, strlen(text));
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
    mkdir(tempdir_path(&dir, "dst"), 0777);
    char *to = strdup(tempdir_path(&dir, "dst"));
    for (unsigned n = 0;; n++) {
        struct err err = ERR_INIT;
        struct resolver *again = NULL;
        struct dir_outputs *outputs = NULL;
        struct outputs *base = NULL;
        struct sink *sink = NULL;
        struct digest digest;
        allocfail_arm(n);
        int rc = dir_outputs_new(to, false, &outputs, &err);
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
        if (outputs)
            dir_outputs_discard(outputs);
        dir_outputs_free(outputs);
        CHECK_UINT(tempdir_count(&dir, "dst"), 0);
        if (!failed) {
            CHECK_OK(rc, &err);
            CHECK(n >= 12);
            break;
        }
        CHECK_FAILS(rc, &err, ERR_NO_MEMORY);
    }
    free(to);
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
        TEST(writes_a_folder),        TEST(writes_a_lone_file),      TEST(discards_what_it_made),
        TEST(targets_that_do_not_do), TEST(refuses_and_stays_clean), TEST(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
