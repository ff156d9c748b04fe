/*
 * Statements as data: arguments and result fields are arrays, not chains of calls.
 *
 * SQL texts are string literals; prepared statements are cached per connection by the literal's
 * address. A statement is always reset before these functions return, so nothing is left stepping
 * when the transaction commits. Result fields name offsets in a row struct, so one description
 * serves a find and a list.
 */
#ifndef STORAGE_DB_STMT_H
#define STORAGE_DB_STMT_H

#include "compress/base/arena.h"
#include "storage/db/db.h"

#include <stddef.h>
#include <stdint.h>

enum stmt_kind {
    STMT_INT,  /* argument: int64; field: int64_t */
    STMT_TEXT, /* argument: NULL binds NULL; field: const char *, copied to the arena, NULL for NULL
                */
    STMT_INT32,  /* field only: int */
    STMT_BOOL,   /* field only: bool */
    STMT_DIGEST, /* field only: struct digest from hex */
};

struct stmt_arg {
    enum stmt_kind kind;
    int64_t number;
    const char *text;
};

#define ARG_INT(v) ((struct stmt_arg){STMT_INT, (int64_t)(v), NULL})
#define ARG_TEXT(v) ((struct stmt_arg){STMT_TEXT, 0, (v)})
#define ARGS(...)                           \
    (const struct stmt_arg[]){__VA_ARGS__}, \
        sizeof((const struct stmt_arg[]){__VA_ARGS__}) / sizeof(struct stmt_arg)
#define NO_ARGS NULL, 0

struct stmt_field {
    enum stmt_kind kind;
    size_t offset;
};

/* Runs to the end; the number of rows changed, or -1. */
int stmt_run(struct db_conn *conn, const char *sql, const struct stmt_arg *args, size_t arg_count,
             struct err *err);
/* First row into *ret. 1 found, 0 no row, -1 err. */
int stmt_find(struct db_conn *conn, const char *sql, const struct stmt_arg *args, size_t arg_count,
              const struct stmt_field *fields, size_t field_count, struct arena *arena, void *ret,
              struct err *err);
/* All rows as an array in the arena. */
int stmt_list(struct db_conn *conn, const char *sql, const struct stmt_arg *args, size_t arg_count,
              const struct stmt_field *fields, size_t field_count, size_t row_size,
              struct arena *arena, void **ret, size_t *ret_count, struct err *err);
/* One number of the first row: 1/0/-1. */
int stmt_number(struct db_conn *conn, const char *sql, const struct stmt_arg *args,
                size_t arg_count, int64_t *ret, struct err *err);

int64_t stmt_last_id(struct db_conn *conn);

/* Several statements without results (schema files, pragmas); not cached. */
int stmt_script(struct db_conn *conn, const char *sql, struct err *err);

/* Undo: file operations of a closure that must be taken back when its savepoint is rolled back or
 * the group's commit fails. Run newest first. Pushed by storage/blob; run by the writer. */
void db_undo_push(struct db_conn *conn, void (*undo)(void *ctx), void *ctx);
size_t db_undo_mark(const struct db_conn *conn);
void db_undo_run(struct db_conn *conn, size_t mark);
void db_undo_forget(struct db_conn *conn);

/* Has SQLite rolled the whole transaction back by itself (disk full, I/O error)? */
bool db_in_transaction(const struct db_conn *conn);

#endif
