/* Shared by db.c and stmt.c alone: what a connection is. */
#ifndef STORAGE_DB_DB_PRIVATE_H
#define STORAGE_DB_DB_PRIVATE_H

#include "storage/db/db.h"

#include <sqlite3.h>
#include <stddef.h>

#define STMT_CACHE_SLOTS 256 /* far above the number of literals in tables/; a power of two */

struct stmt_slot {
    const char *sql; /* the literal's address is the key */
    sqlite3_stmt *stmt;
};

struct db_undo {
    void (*undo)(void *ctx);
    void *ctx;
};

struct db_conn {
    sqlite3 *sqlite;
    struct db_conn *next; /* in the pool of idle readers */
    struct stmt_slot slots[STMT_CACHE_SLOTS];
    struct db_undo *undos;
    size_t undo_count, undo_capacity;
};

/* An error of SQLite as ours: disk full, I/O, corrupt, busy ... */
int db_error(struct db_conn *conn, struct err *err, const char *what);

#endif
