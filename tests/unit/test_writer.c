/* The writer: group commit, savepoints, undo, failed commits, lazy writes, waiters. */
#include "storage/db/writer.h"

#include "storage/db/stmt.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

struct fixture {
    struct tempdir dir;
    struct db *db;
    struct writer *writer;
};

static void open_fixture(struct fixture *f) {
    struct err err = ERR_INIT;
    tempdir_make(&f->dir);
    CHECK_OK(db_open(tempdir_path(&f->dir, "t.db"), &f->db, &err), &err);
    CHECK_OK(writer_start(f->db, &f->writer, &err), &err);
}

static void close_fixture(struct fixture *f) {
    writer_stop(f->writer);
    db_close(f->db);
    tempdir_free(&f->dir);
}

static int insert_key(struct db_conn *conn, const char *key, struct err *err) {
    return stmt_run(conn, "INSERT INTO meta (key, value) VALUES (?1, 'v')", ARGS(ARG_TEXT(key)),
                    err) < 0
               ? -1
               : 0;
}

static int insert(struct db_conn *conn, void *ctx, struct err *err) {
    return insert_key(conn, ctx, err);
}

static int64_t rows(struct fixture *f) {
    struct err err = ERR_INIT;
    int64_t n = -1;
    struct db_conn *conn = db_read_begin(f->db, &err);
    CHECK(conn);
    CHECK_INT(stmt_number(conn, "SELECT count(*) FROM meta", NO_ARGS, &n, &err), 1);
    db_read_end(f->db, conn);
    return n;
}

static void a_run_is_committed_when_it_returns(void **state) {
    struct fixture f;
    struct err err = ERR_INIT;
    open_fixture(&f);
    char a[] = "a";
    CHECK_OK(writer_run(f.writer, insert, a, &err), &err);
    CHECK_INT(rows(&f), 1);
    CHECK_FAILS(writer_run(f.writer, insert, a, &err), &err, ERR_DB); /* the key is there */
    CHECK_INT(rows(&f), 1);
    close_fixture(&f);
}

static _Atomic int undone;

static void undo(void *ctx) {
    atomic_fetch_add(&undone, *(int *)ctx);
}

static int insert_with_undo_then_fail(struct db_conn *conn, void *ctx, struct err *err) {
    if (insert_key(conn, "half", err) < 0)
        return -1;
    db_undo_push(conn, undo, ctx);
    return err_set(err, ERR_STATE, "on purpose");
}

static void a_failed_closure_leaves_nothing(void **state) {
    struct fixture f;
    struct err err = ERR_INIT;
    int one = 1;
    undone = 0;
    open_fixture(&f);
    CHECK_FAILS(writer_run(f.writer, insert_with_undo_then_fail, &one, &err), &err, ERR_STATE);
    CHECK_INT(undone, 1);
    CHECK_INT(rows(&f), 0);
    char b[] = "b";
    CHECK_OK(writer_run(f.writer, insert, b, &err), &err);
    CHECK_INT(undone, 1); /* forgotten, not run again */
    close_fixture(&f);
}

static int insert_in_spite_of_an_error(struct db_conn *conn, void *ctx, struct err *err) {
    struct err forgiven = ERR_INIT;
    insert_key(conn, ctx, &forgiven);
    err_set(err, ERR_DB, "%s", "of no consequence");
    return 0;
}

/* What a closure returns decides, or an owner would be told of a failure that was committed. */
static void a_closure_that_returns_0_has_succeeded(void **state) {
    struct fixture f;
    struct err err = ERR_INIT;
    open_fixture(&f);
    char a[] = "a";
    CHECK_OK(writer_run(f.writer, insert_in_spite_of_an_error, a, &err), &err);
    CHECK_INT(rows(&f), 1);
    close_fixture(&f);
}

static int lose_the_savepoint(struct db_conn *conn, void *ctx, struct err *err) {
    if (insert_key(conn, ctx, err) < 0)
        return -1;
    stmt_script(conn, "RELEASE closure", NULL);
    return err_set(err, ERR_STATE, "on purpose");
}

/* A failure that cannot be rolled back alone takes its group along: half of it is never committed.
 */
static void a_lost_savepoint_fails_all(void **state) {
    struct fixture f;
    struct err err = ERR_INIT;
    open_fixture(&f);
    char half[] = "half", whole[] = "whole";
    CHECK_FAILS(writer_run(f.writer, lose_the_savepoint, half, &err), &err, ERR_STATE);
    CHECK_INT(rows(&f), 0);
    CHECK_OK(writer_run(f.writer, insert, whole, &err), &err);
    CHECK_INT(rows(&f), 1);
    close_fixture(&f);
}

struct counted {
    struct write write;
    char key[16];
    _Atomic int *ok, *failed;
    bool fail;
};

static int counted_run(struct db_conn *conn, void *ctx, struct err *err) {
    struct counted *c = ctx;
    return insert(conn, c->key, err) < 0 || c->fail ? err_set(err, ERR_STATE, "on purpose") : 0;
}

static void counted_done(void *ctx, const struct err *err) {
    struct counted *c = ctx;
    atomic_fetch_add(err->code == ERR_OK ? c->ok : c->failed, 1);
}

static void one_failure_in_a_group_is_its_own(void **state) {
    enum { N = 300 };
    static struct counted items[N];
    _Atomic int ok = 0, failed = 0;
    struct fixture f;
    open_fixture(&f);
    for (int i = 0; i < N; i++) {
        struct counted *c = &items[i];
        *c = (struct counted){.ok = &ok, .failed = &failed, .fail = i % 7 == 3};
        snprintf(c->key, sizeof c->key, "k%d", i);
        c->write = (struct write){.run = counted_run,
                                  .done = counted_done,
                                  .ctx = c,
                                  .class = i % 2 ? WRITE_LAZY : WRITE_DURABLE};
        writer_post(f.writer, &c->write);
    }
    writer_stop(f.writer); /* runs what is queued */
    f.writer = NULL;
    CHECK_INT(ok + failed, N);
    CHECK_INT(failed, (N + 3) / 7); /* 3, 10, 17 … */
    CHECK_INT(rows(&f), ok);
    close_fixture(&f);
}

static void lazy_writes_land_by_themselves(void **state) {
    _Atomic int ok = 0, failed = 0;
    struct counted c = {.key = "lazy", .ok = &ok, .failed = &failed};
    struct fixture f;
    open_fixture(&f);
    c.write =
        (struct write){.run = counted_run, .done = counted_done, .ctx = &c, .class = WRITE_LAZY};
    writer_post(f.writer, &c.write);
    for (int i = 0; i < 100 && !ok; i++)
        usleep(20 * 1000);
    CHECK_INT(ok, 1);
    CHECK_INT(rows(&f), 1);
    close_fixture(&f);
}

static _Atomic int groups;

static void after_group(void *self) {
    atomic_fetch_add(&groups, 1);
}

static int slow(struct db_conn *conn, void *ctx, struct err *err) {
    usleep(50 * 1000);
    return 0;
}

/* What gathers while a group commits becomes one group. */
static void writes_are_grouped(void **state) {
    enum { N = 100 };
    static struct counted items[N];
    _Atomic int ok = 0, failed = 0;
    struct fixture f;
    open_fixture(&f);
    groups = 0;
    writer_set_after_commit(f.writer, after_group, NULL);
    struct write first = {.run = slow};
    writer_post(f.writer, &first);
    usleep(10 * 1000);
    for (int i = 0; i < N; i++) {
        items[i] = (struct counted){.ok = &ok, .failed = &failed};
        snprintf(items[i].key, sizeof items[i].key, "g%d", i);
        items[i].write = (struct write){.run = counted_run, .done = counted_done, .ctx = &items[i]};
        writer_post(f.writer, &items[i].write);
    }
    writer_stop(f.writer);
    f.writer = NULL;
    CHECK_INT(ok, N);
    CHECK(groups <= 3);
    close_fixture(&f);
}

/* A transaction that SQLite itself gives up takes every closure of the group with it, and all are
 * told. */
static int give_up(struct db_conn *conn, void *ctx, struct err *err) {
    stmt_script(conn, "ROLLBACK", NULL);
    return err_set(err, ERR_NO_SPACE, "as if the disk were full");
}

static void a_lost_transaction_fails_all(void **state) {
    static struct counted items[3];
    _Atomic int ok = 0, failed = 0;
    struct fixture f;
    open_fixture(&f);
    struct write first = {.run = slow};
    writer_post(f.writer, &first);
    usleep(10 * 1000);
    for (int i = 0; i < 3; i++) {
        items[i] = (struct counted){.ok = &ok, .failed = &failed};
        snprintf(items[i].key, sizeof items[i].key, "l%d", i);
        items[i].write = (struct write){
            .run = i == 1 ? give_up : counted_run, .done = counted_done, .ctx = &items[i]};
        writer_post(f.writer, &items[i].write);
    }
    for (int i = 0; i < 100 && failed < 3; i++)
        usleep(20 * 1000);
    struct err err = ERR_INIT;
    char after[] = "after";
    CHECK_OK(writer_run(f.writer, insert, after, &err), &err);
    CHECK_INT(failed, 3);
    CHECK_INT(ok, 0);
    CHECK_INT(rows(&f), 1);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_committed_when_it_returns),
        cmocka_unit_test(a_failed_closure_leaves_nothing),
        cmocka_unit_test(a_closure_that_returns_0_has_succeeded),
        cmocka_unit_test(a_lost_savepoint_fails_all),
        cmocka_unit_test(one_failure_in_a_group_is_its_own),
        cmocka_unit_test(lazy_writes_land_by_themselves),
        cmocka_unit_test(writes_are_grouped),
        cmocka_unit_test(a_lost_transaction_fails_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
