/* Staged files and blobs: publishing, taking back, outputs, resolvers, sweep and reconciliation. */
#include "storage/blob/blobs.h"

#include "storage/blob/blob_outputs.h"

#include "storage/blob/sweep.h"
#include "storage/db/stmt.h"
#include "storage/store.h"
#include "storage/tables/blobs_tbl.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct store *store;
static struct tempdir dir;

static int open_store(void **state) {
    struct err err = ERR_INIT;
    tempdir_make(&dir);
    return store_open(dir.path, &store, &err);
}

static int close_store(void **state) {
    store_close(store);
    tempdir_free(&dir);
    return 0;
}

/* Stands before the C library's, so that the tests see which folders were synced. */
static char synced[64][256];
static size_t synced_count;

int fsync(int fd) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    char *to = synced[synced_count++ % 64];
    ssize_t n = readlink(link, to, sizeof synced[0] - 1);
    to[n > 0 ? n : 0] = 0;
    return (int)syscall(SYS_fsync, fd);
}

static bool was_synced(const char *path) {
    for (size_t i = 0; i < synced_count && i < 64; i++)
        if (strcmp(synced[i], path) == 0)
            return true;
    return false;
}

static unsigned names_in(const char *folder) {
    return (unsigned)tempdir_count(&dir, folder);
}

static struct staged *stage(const char *text, struct digest *ret) {
    struct err err = ERR_INIT;
    struct staged *staged;
    CHECK_OK(staged_new(store->blobs, strlen(text), 1 << 20, &staged, &err), &err);
    CHECK_OK(staged_write(staged, text, strlen(text), &err), &err);
    CHECK_OK(staged_seal(staged, ret, &err), &err);
    return staged;
}

static bool readable(const struct digest *digest, const char *text) {
    struct source *source;
    char buf[64] = "";
    if (blob_source(store->blobs, digest, "x", &source, NULL) < 0)
        return false;
    CHECK_UINT(source->bytes, strlen(text));
    CHECK_INT(source_read(source, 0, buf, strlen(text), NULL), 0);
    source_close(source);
    return strcmp(buf, text) == 0;
}

static int publish(struct db_conn *conn, void *ctx, struct err *err) {
    return staged_publish(ctx, conn, "red", err);
}

static int publish_then_fail(struct db_conn *conn, void *ctx, struct err *err) {
    if (staged_publish(ctx, conn, "red", err) < 0)
        return -1;
    return err_set(err, ERR_STATE, "on purpose");
}

static void published_is_found_by_its_team_alone(void **state) {
    struct err err = ERR_INIT;
    struct digest digest;
    struct staged *staged = stage("hello", &digest);
    CHECK_INT(names_in("staging"), 1);
    CHECK_OK(writer_run(store->writer, publish, staged, &err), &err);
    staged_discard(staged);
    CHECK_INT(names_in("staging"), 0);
    CHECK(readable(&digest, "hello"));
    struct db_conn *conn = db_read_begin(store->db, &err);
    uint64_t bytes = 0;
    CHECK_INT(blobs_tbl_find(conn, "red", &digest, &bytes, &err), 1);
    CHECK_UINT(bytes, 5);
    CHECK_INT(blobs_tbl_find(conn, "blue", &digest, &bytes, &err), 0);
    db_read_end(store->db, conn);
}

static void the_folder_of_a_published_blob_was_synced(void **state) {
    struct err err = ERR_INIT;
    struct digest digest;
    struct staged *staged = stage("durable", &digest);
    synced_count = 0;
    CHECK_OK(writer_run(store->writer, publish, staged, &err), &err);
    staged_discard(staged);
    char hex[DIGEST_HEX_LEN + 1], folder[300];
    digest_hex(&digest, hex);
    snprintf(folder, sizeof folder, "%s/blobs/sha256/%.2s", dir.path, hex);
    CHECK(was_synced(folder));
}

/* A row whose file was lost is healed by whoever uploads the bytes again. */
static void a_lost_file_comes_back_with_its_bytes(void **state) {
    struct err err = ERR_INIT;
    struct digest digest;
    struct staged *staged = stage("lost and found", &digest);
    CHECK_OK(writer_run(store->writer, publish, staged, &err), &err);
    staged_discard(staged);
    char hex[DIGEST_HEX_LEN + 1], path[400];
    digest_hex(&digest, hex);
    snprintf(path, sizeof path, "%s/blobs/sha256/%.2s/%s", dir.path, hex, hex);
    CHECK_INT(unlink(path), 0);
    staged = stage("lost and found", &digest);
    CHECK_FAILS(writer_run(store->writer, publish_then_fail, staged, &err), &err, ERR_STATE);
    CHECK_INT(names_in("staging"), 1); /* taken back, although the row was there before */
    CHECK_OK(writer_run(store->writer, publish, staged, &err), &err);
    staged_discard(staged);
    CHECK(readable(&digest, "lost and found"));
    CHECK_INT(names_in("staging"), 0);
}

static void a_rolled_back_publication_is_taken_back(void **state) {
    struct err err = ERR_INIT;
    struct digest digest;
    struct staged *staged = stage("goodbye", &digest);
    CHECK_FAILS(writer_run(store->writer, publish_then_fail, staged, &err), &err, ERR_STATE);
    CHECK(!readable(&digest, "goodbye"));
    CHECK_INT(names_in("staging"), 1);
    CHECK_OK(writer_run(store->writer, publish, staged, &err), &err); /* it can be tried again */
    staged_discard(staged);
    CHECK(readable(&digest, "goodbye"));
    CHECK_INT(names_in("staging"), 0);
}

static void the_same_bytes_twice_are_one_blob(void **state) {
    struct err err = ERR_INIT;
    struct digest a, b;
    struct staged *one = stage("twice", &a), *two = stage("twice", &b);
    CHECK(digest_equal(&a, &b));
    CHECK_OK(writer_run(store->writer, publish, one, &err), &err);
    CHECK_OK(writer_run(store->writer, publish, two, &err), &err);
    staged_discard(one);
    staged_discard(two);
    CHECK_INT(names_in("staging"), 0);
    CHECK(readable(&a, "twice"));
}

static void limits_and_disk_are_checked(void **state) {
    struct err err = ERR_INIT;
    struct staged *staged;
    CHECK_FAILS(staged_new(store->blobs, 100, 99, &staged, &err), &err, ERR_TOO_LARGE);
    CHECK_FAILS(staged_new(store->blobs, UINT64_C(1) << 60, UINT64_MAX, &staged, &err), &err,
                ERR_NO_SPACE);
    CHECK_OK(staged_new(store->blobs, UINT64_MAX, 4, &staged, &err), &err);
    CHECK_OK(staged_write(staged, "1234", 4, &err), &err);
    CHECK_FAILS(staged_write(staged, "5", 1, &err), &err, ERR_TOO_LARGE);
    staged_discard(staged);
    CHECK_INT(names_in("staging"), 0);
}

static int publish_outputs(struct db_conn *conn, void *ctx, struct err *err) {
    return blob_outputs_publish(ctx, conn, "red", err);
}

static void write_output(struct outputs *outputs, const char *path, const char *text) {
    struct err err = ERR_INIT;
    struct sink *sink;
    struct digest digest;
    CHECK_OK(outputs->ops->create(outputs, path, strlen(text), &sink, &err), &err);
    CHECK_OK(sink_write(sink, text, strlen(text), &err), &err);
    CHECK_OK(sink_finish(sink, &digest, &err), &err);
    struct digest want = digest_of(text, strlen(text));
    CHECK(digest_equal(&digest, &want));
}

static void outputs_come_back_sorted_and_publish_together(void **state) {
    struct err err = ERR_INIT;
    struct blob_outputs *outputs;
    CHECK_OK(blob_outputs_new(store->blobs, false, &outputs, &err), &err);
    struct outputs *base = blob_outputs_base(outputs);
    write_output(base, "z.txt", "last");
    write_output(base, "a/b.txt", "first");
    struct sink *broken;
    CHECK_OK(base->ops->create(base, "m.txt", 3, &broken, &err), &err);
    sink_abort(broken);
    struct resolver *files;
    CHECK_OK(base->ops->reopen(base, &files, &err), &err);
    CHECK_UINT(files->count, 2);
    CHECK_TEXT(files->files[0].path, "a/b.txt");
    struct source *source;
    char buf[8] = "";
    CHECK_OK(resolver_open(files, "z.txt", &source, &err), &err);
    CHECK_OK(source_read(source, 0, buf, 4, &err), &err);
    CHECK_TEXT(buf, "last");
    source_close(source);
    resolver_close(files);
    CHECK_OK(writer_run(store->writer, publish_outputs, outputs, &err), &err);
    blob_outputs_discard(outputs);
    CHECK_INT(names_in("staging"), 0);
    struct digest first = digest_of("first", 5);
    CHECK(readable(&first, "first"));
}

struct sweeping {
    int64_t now_ms;
    struct sweep_result result;
};

static int sweep(struct db_conn *conn, void *ctx, struct err *err) {
    struct sweeping *s = ctx;
    return sweep_run(store->blobs, conn, s->now_ms, 100, &s->result, err);
}

static int sweep_then_fail(struct db_conn *conn, void *ctx, struct err *err) {
    return sweep(conn, ctx, err) < 0 ? -1 : err_set(err, ERR_STATE, "on purpose");
}

static void leases_run_out_and_files_go(void **state) {
    struct err err = ERR_INIT;
    struct digest digest;
    struct staged *staged = stage("swept", &digest);
    CHECK_OK(writer_run(store->writer, publish, staged, &err), &err);
    staged_discard(staged);
    struct sweeping now = {.now_ms = db_now_ms()};
    CHECK_OK(writer_run(store->writer, sweep, &now, &err), &err);
    CHECK_INT(now.result.blobs, 0); /* the lease holds */
    struct sweeping later = {.now_ms = db_now_ms() + BLOB_LEASE_MS + 1000};
    CHECK_FAILS(writer_run(store->writer, sweep_then_fail, &later, &err), &err, ERR_STATE);
    CHECK(readable(&digest, "swept")); /* rolled back: everything is where it was */
    CHECK_OK(writer_run(store->writer, sweep, &later, &err), &err);
    CHECK(later.result.blobs >= 1);
    CHECK(!readable(&digest, "swept"));
    CHECK(names_in("trash") >= 1);
    sweep_empty_trash(store->blobs);
    CHECK_INT(names_in("trash"), 0);
}

static void a_start_reconciles_files_and_rows(void **state) {
    struct err err = ERR_INIT;
    struct digest kept, orphan = digest_of("orphan", 6);
    struct staged *staged = stage("kept", &kept);
    CHECK_OK(writer_run(store->writer, publish, staged, &err), &err);
    staged_discard(staged);
    /* What a daemon that was killed leaves; a staged file of ours must not outlive its store. */
    char hex[DIGEST_HEX_LEN + 1], path[512], gone[512], left[512];
    snprintf(left, sizeof left, "%s/staging/left-behind", dir.path);
    close(open(left, O_CREAT | O_WRONLY, 0600));
    CHECK_INT(names_in("staging"), 1);
    digest_hex(&orphan, hex);
    snprintf(path, sizeof path, "%s/blobs/sha256/%.2s/%s", dir.path, hex, hex);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(write(fd, "orphan", 6) == 6);
    close(fd);
    struct digest lost;
    staged = stage("row without file", &lost);
    CHECK_OK(writer_run(store->writer, publish, staged, &err), &err);
    staged_discard(staged);
    digest_hex(&lost, hex);
    snprintf(gone, sizeof gone, "%s/blobs/sha256/%.2s/%s", dir.path, hex, hex);
    CHECK_INT(unlink(gone), 0);

    store_close(store);
    CHECK_OK(store_open(dir.path, &store, &err), &err);
    CHECK_INT(names_in("staging"), 0);
    CHECK(access(path, F_OK) != 0);
    CHECK(readable(&kept, "kept"));
    struct db_conn *conn = db_read_begin(store->db, &err);
    CHECK_INT(blobs_tbl_exists(conn, &lost, &err), 0);
    CHECK_INT(blobs_tbl_exists(conn, &kept, &err), 1);
    db_read_end(store->db, conn);
}

static void a_second_owner_is_refused(void **state) {
    struct err err = ERR_INIT;
    struct store *second = NULL;
    /* flock() belongs to the open file, so a second open of the same process is refused as well. */
    CHECK_INT(store_open(dir.path, &second, &err), -1);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    CHECK_HOLDS(err.text, pid);
    CHECK_INT(err.code, ERR_LOCKED);
}

static void a_newer_schema_is_refused(void **state) {
    struct err err = ERR_INIT;
    CHECK_OK(stmt_script(db_writer_conn(store->db), "PRAGMA user_version = 9999", &err), &err);
    store_close(store);
    store = NULL;
    CHECK_FAILS(store_open(dir.path, &store, &err), &err, ERR_NEWER_SCHEMA);
    char path[512];
    snprintf(path, sizeof path, "%s/compressd.db", dir.path);
    CHECK_INT(access(path, F_OK), 0); /* untouched */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_is_found_by_its_team_alone),
        cmocka_unit_test(the_folder_of_a_published_blob_was_synced),
        cmocka_unit_test(a_lost_file_comes_back_with_its_bytes),
        cmocka_unit_test(a_rolled_back_publication_is_taken_back),
        cmocka_unit_test(the_same_bytes_twice_are_one_blob),
        cmocka_unit_test(limits_and_disk_are_checked),
        cmocka_unit_test(outputs_come_back_sorted_and_publish_together),
        cmocka_unit_test(leases_run_out_and_files_go),
        cmocka_unit_test(a_start_reconciles_files_and_rows),
        cmocka_unit_test(a_second_owner_is_refused),
        cmocka_unit_test(a_newer_schema_is_refused),
    };
    return cmocka_run_group_tests(tests, open_store, close_store);
}
