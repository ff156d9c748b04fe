/*
 * The writer thread. See writer.h for the contract.
 *
 * One loop: wait for work, take all of it (at most GROUP_MAX closures, so that nobody waits for a
 * group of thousands), run each in a savepoint, commit, tell. Lazy closures ride along with the
 * next durable group, or after LAZY_MS go alone under synchronous = NORMAL, which writes the log
 * without an fsync.
 */
#include "storage/db/writer.h"

#include "compress/base/counters.h"
#include "storage/db/stmt.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define GROUP_MAX 2048
#define LAZY_MS 200

struct writer {
    struct db *db;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Guarded by lock: */
    struct write *head, **tail;
    unsigned durable_waiting;
    bool stopping;
    struct timespec lazy_until; /* when the oldest lazy closure must go */

    _Atomic unsigned depth;
    pthread_mutex_t hook_lock; /* held while the hook runs */
    writer_after_commit *after_commit;
    void *after_commit_self;
    bool relaxed; /* the connection's synchronous is NORMAL */
};

static struct timespec lazy_deadline(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += LAZY_MS * 1000000L;
    at.tv_sec += at.tv_nsec / 1000000000L;
    at.tv_nsec %= 1000000000L;
    return at;
}

/* With the lock held: the next group as a list, or NULL at the end. */
static struct write *take_group(struct writer *w, bool *ret_durable) {
    for (;;) {
        if (w->durable_waiting || (w->stopping && w->head))
            break;
        if (w->stopping)
            return NULL;
        if (!w->head)
            pthread_cond_wait(&w->wake, &w->lock);
        else if (pthread_cond_timedwait(&w->wake, &w->lock, &w->lazy_until) != 0)
            break;
    }
    *ret_durable = w->durable_waiting > 0;
    struct write *group = w->head;
    struct write *last = group;
    unsigned durable = last->class == WRITE_DURABLE;
    for (unsigned n = 1; n < GROUP_MAX && last->next; n++) {
        last = last->next;
        durable += last->class == WRITE_DURABLE;
    }
    w->head = last->next;
    if (!w->head)
        w->tail = &w->head;
    last->next = NULL;
    w->durable_waiting -= durable;
    w->lazy_until = lazy_deadline();
    return group;
}

static int set_durability(struct writer *w, struct db_conn *conn, bool durable, struct err *err) {
    if (w->relaxed == !durable)
        return 0;
    if (stmt_script(conn, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
                    err) < 0)
        return -1;
    w->relaxed = !durable;
    return 0;
}

/* -1 with write->err: the whole transaction is lost, or must be. */
static int run_one(struct db_conn *conn, struct write *write) {
    size_t mark = db_undo_mark(conn);
    write->err = ERR_INIT;
    write->failed = stmt_run(conn, "SAVEPOINT closure", NO_ARGS, &write->err) < 0;
    if (write->failed)
        return db_in_transaction(conn) ? 0 : -1;
    write->failed = write->run(conn, write->ctx, &write->err) < 0;
    if (!write->failed)
        err_clear(&write->err);   /* what it returns decides */
    if (!db_in_transaction(conn)) /* SQLite gave it up: disk full, I/O error */
        return err_set(&write->err, ERR_IO, "the transaction was rolled back");
    if (write->failed) {
        db_undo_run(conn, mark);
        if (stmt_run(conn, "ROLLBACK TO closure", NO_ARGS, &write->err) < 0)
            return -1;
    }
    return stmt_run(conn, "RELEASE closure", NO_ARGS, &write->err) < 0 ? -1 : 0;
}

static void run_group(struct writer *w, struct write *group, bool durable) {
    struct db_conn *conn = db_writer_conn(w->db);
    struct err err = ERR_INIT;
    bool ok = set_durability(w, conn, durable, &err) == 0 &&
              stmt_run(conn, "BEGIN IMMEDIATE", NO_ARGS, &err) >= 0;
    for (struct write *write = group; ok && write; write = write->next) {
        ok = run_one(conn, write) == 0;
        if (!ok)
            err = write->err; /* nobody has committed, so all are told */
    }
    if (ok && stmt_run(conn, "COMMIT", NO_ARGS, &err) < 0)
        ok = false;
    if (ok) {
        db_undo_forget(conn);
        counter_add(COUNTER_DB_COMMITS, 1);
        pthread_mutex_lock(&w->hook_lock);
        if (w->after_commit)
            w->after_commit(w->after_commit_self);
        pthread_mutex_unlock(&w->hook_lock);
    } else {
        db_undo_run(conn, 0);
        if (db_in_transaction(conn))
            stmt_run(conn, "ROLLBACK", NO_ARGS, NULL);
    }
    for (struct write *next, *write = group; write; write = next) {
        next = write->next; /* done() may free it */
        if (ok && !write->failed)
            counter_add(COUNTER_DB_CLOSURES, 1);
        atomic_fetch_sub(&w->depth, 1);
        const struct err *result = !ok ? &err : &write->err;
        if (write->done)
            write->done(write->ctx, result);
    }
}

static void *writer_main(void *arg) {
    struct writer *w = arg;
    bool durable;
    struct write *group;
    pthread_mutex_lock(&w->lock);
    while ((group = take_group(w, &durable))) {
        pthread_mutex_unlock(&w->lock);
        run_group(w, group, durable);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int writer_start(struct db *db, struct writer **ret, struct err *err) {
    struct writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(err, ERR_NO_MEMORY, "no memory for the writer");
    w->db = db;
    w->tail = &w->head;
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->hook_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&w->thread, NULL, writer_main, w);
    if (rc != 0) {
        pthread_mutex_destroy(&w->lock);
        pthread_mutex_destroy(&w->hook_lock);
        pthread_cond_destroy(&w->wake);
        free(w);
        return err_set_errno(err, ERR_NO_MEMORY, rc, "the writer thread could not start");
    }
    *ret = w;
    return 0;
}

void writer_stop(struct writer *writer) {
    if (!writer)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->stopping = true;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    pthread_mutex_destroy(&writer->lock);
    pthread_mutex_destroy(&writer->hook_lock);
    pthread_cond_destroy(&writer->wake);
    free(writer);
}

void writer_post(struct writer *writer, struct write *write) {
    write->next = NULL;
    atomic_fetch_add(&writer->depth, 1);
    pthread_mutex_lock(&writer->lock);
    if (!writer->head)
        writer->lazy_until = lazy_deadline();
    *writer->tail = write;
    writer->tail = &write->next;
    writer->durable_waiting += write->class == WRITE_DURABLE;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
}

struct waiting {
    int (*run)(struct db_conn *, void *, struct err *);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool over;
    struct err err;
};

static int waiting_run(struct db_conn *conn, void *ctx, struct err *err) {
    struct waiting *waiting = ctx;
    return waiting->run(conn, waiting->ctx, err);
}

static void waiting_done(void *ctx, const struct err *err) {
    struct waiting *waiting = ctx;
    pthread_mutex_lock(&waiting->lock);
    waiting->err = *err;
    waiting->over = true;
    pthread_cond_signal(&waiting->wake);
    pthread_mutex_unlock(&waiting->lock);
}

int writer_run(struct writer *writer, int (*run)(struct db_conn *, void *, struct err *), void *ctx,
               struct err *err) {
    struct waiting waiting = {.run = run, .ctx = ctx};
    pthread_mutex_init(&waiting.lock, NULL);
    pthread_cond_init(&waiting.wake, NULL);
    struct write write = {.run = waiting_run, .done = waiting_done, .ctx = &waiting};
    writer_post(writer, &write);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.over)
        pthread_cond_wait(&waiting.wake, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
    pthread_mutex_destroy(&waiting.lock);
    pthread_cond_destroy(&waiting.wake);
    if (waiting.err.code == ERR_OK)
        return 0;
    if (err && err->code == ERR_OK)
        *err = waiting.err;
    return -1;
}

void writer_set_after_commit(struct writer *writer, writer_after_commit *fn, void *self) {
    pthread_mutex_lock(&writer->hook_lock);
    writer->after_commit = fn;
    writer->after_commit_self = self;
    pthread_mutex_unlock(&writer->hook_lock);
}

unsigned writer_depth(const struct writer *writer) {
    return atomic_load(&writer->depth);
}
