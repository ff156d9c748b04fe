/*
 * The database file: connections, statement cache, transactions.
 *
 * One connection belongs to the writer thread (writer.h); reads borrow a read-only connection from
 * a pool for the length of one request. SQLite in WAL mode, synchronous FULL, foreign keys on,
 * STRICT tables. A cached statement is reset when its function returns, never left stepping.
 *
 * Owns: the connections. Threads: db_read_begin() from any; a connection from one at a time.
 */
#ifndef STORAGE_DB_DB_H
#define STORAGE_DB_DB_H

#include "compress/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct db;
struct db_conn;

/* Opens or creates the database file and brings its schema up to date (migrate.h). */
int db_open(const char *path, struct db **ret, struct err *err);
void db_close(struct db *db); /* NULL is fine */

/* A read-only connection inside one read transaction: everything read until db_read_end() is one
 * consistent snapshot. Keep it short: a long reader keeps the WAL from being reset. NULL with err
 * when none can be opened. */
struct db_conn *db_read_begin(struct db *db, struct err *err);
void db_read_end(struct db *db, struct db_conn *conn);

/* The writer's connection: only for writer.c and for start-up, before the writer runs. */
struct db_conn *db_writer_conn(struct db *db);

/* Milliseconds since 1970, UTC; never goes backwards within a process. */
int64_t db_now_ms(void);

#endif
