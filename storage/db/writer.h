/*
 * The writer thread: every change of the database goes through here.
 *
 * Closures are queued; the thread takes what has gathered, runs all of them in one transaction,
 * each in a savepoint of its own, commits once (one fsync), and only then tells their owners. A
 * closure that fails is rolled back to its savepoint and told its own error; its neighbours commit.
 * If the commit itself fails (disk full), all are told so and nothing is acknowledged.
 *
 * The contract of a closure: it runs on the writer thread, inside a transaction, at most once; it
 * only touches the connection it is given and what its context owns; it does not block on anything
 * but the database and short file operations (rename, fsync of a directory); it returns 0 or -1
 * with err set. `done` runs on the writer thread after the commit (err->code == ERR_OK) or the
 * failure; it must be quick: wake somebody, resume a connection, free the context.
 *
 * WRITE_LAZY closures (progress rows) do not start a group by themselves for up to LAZY_MS and do
 * not force an fsync; they are lost in a power failure, never in a crash of the process.
 */
#ifndef STORAGE_DB_WRITER_H
#define STORAGE_DB_WRITER_H

#include "storage/db/db.h"

struct writer;

enum write_class { WRITE_DURABLE, WRITE_LAZY };

struct write {
    int (*run)(struct db_conn *conn, void *ctx, struct err *err);
    void (*done)(void *ctx, const struct err *err); /* may be NULL */
    void *ctx;
    enum write_class class;
    /* The writer's own: */
    struct write *next;
    struct err err;
    bool failed;
};

/* Called on the writer thread after each committed group, before the closures' done(). */
typedef void writer_after_commit(void *self);

int writer_start(struct db *db, struct writer **ret, struct err *err);
/* Runs what is queued, commits, stops. */
void writer_stop(struct writer *writer);

/* The `write` object is the caller's and must live until done() was called. Never blocks, never
 * fails. */
void writer_post(struct writer *writer, struct write *write);
/* Posts and waits: for job threads and start-up, never for HTTP threads. */
int writer_run(struct writer *writer, int (*run)(struct db_conn *, void *, struct err *), void *ctx,
               struct err *err);

/* NULL for none. After return the function that was set before is not called any more. */
void writer_set_after_commit(struct writer *writer, writer_after_commit *fn, void *self);
/* Closures waiting: for back-pressure (503) and metrics. */
unsigned writer_depth(const struct writer *writer);

#endif
