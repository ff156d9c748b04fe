/* See stmt.h. */
#include "storage/db/stmt.h"

#include "compress/base/digest.h"
#include "storage/db/db_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static sqlite3_stmt *prepared(struct db_conn *conn, const char *sql, struct err *err) {
    size_t at = ((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15u >> 56;
    static_assert(STMT_CACHE_SLOTS == 256, "the hash above gives eight bits");
    for (size_t probes = 0; probes < STMT_CACHE_SLOTS; probes++, at = (at + 1) % STMT_CACHE_SLOTS) {
        struct stmt_slot *slot = &conn->slots[at];
        if (slot->sql == sql)
            return slot->stmt;
        if (!slot->sql) {
            if (sqlite3_prepare_v3(conn->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &slot->stmt,
                                   NULL) != SQLITE_OK) {
                db_error(conn, err, sql);
                return NULL;
            }
            slot->sql = sql;
            return slot->stmt;
        }
    }
    assert(!"statement cache full: raise STMT_CACHE_SLOTS");
    return NULL;
}

static sqlite3_stmt *bound(struct db_conn *conn, const char *sql, const struct stmt_arg *args,
                           size_t count, struct err *err) {
    sqlite3_stmt *stmt = prepared(conn, sql, err);
    if (!stmt)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        int rc = args[i].kind == STMT_INT
                     ? sqlite3_bind_int64(stmt, (int)i + 1, args[i].number)
                     : sqlite3_bind_text(stmt, (int)i + 1, args[i].text, -1, SQLITE_STATIC);
        if (rc != SQLITE_OK) {
            db_error(conn, err, sql);
            sqlite3_reset(stmt);
            return NULL;
        }
    }
    return stmt;
}

/* Texts were bound without a copy, so they must be let go before the caller's memory ends. */
static void done(sqlite3_stmt *stmt) {
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

int stmt_run(struct db_conn *conn, const char *sql, const struct stmt_arg *args, size_t arg_count,
             struct err *err) {
    sqlite3_stmt *stmt = bound(conn, sql, args, arg_count, err);
    if (!stmt)
        return -1;
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        ;
    int changed = rc == SQLITE_DONE ? sqlite3_changes(conn->sqlite) : db_error(conn, err, sql);
    done(stmt);
    return changed;
}

static int fill(sqlite3_stmt *stmt, const struct stmt_field *fields, size_t count,
                struct arena *arena, void *row, struct err *err) {
    for (size_t i = 0; i < count; i++) {
        char *to = (char *)row + fields[i].offset;
        int column = (int)i;
        switch (fields[i].kind) {
        case STMT_INT:
            *(int64_t *)(void *)to = sqlite3_column_int64(stmt, column);
            break;
        case STMT_INT32:
            *(int *)(void *)to = sqlite3_column_int(stmt, column);
            break;
        case STMT_BOOL:
            *(bool *)(void *)to = sqlite3_column_int(stmt, column) != 0;
            break;
        case STMT_DIGEST: {
            const char *hex = (const char *)sqlite3_column_text(stmt, column);
            if (!hex || !digest_from_hex(hex, (struct digest *)(void *)to))
                return err_set(err, ERR_DB, "a stored digest is not one");
            break;
        }
        case STMT_TEXT: {
            const char *text = (const char *)sqlite3_column_text(stmt, column);
            const char *copy = NULL;
            if (text) {
                copy = arena_strndup(arena, text, (size_t)sqlite3_column_bytes(stmt, column));
                if (!copy)
                    return err_set(err, ERR_NO_MEMORY, "a row is too large");
            }
            *(const char **)(void *)to = copy;
            break;
        }
        }
    }
    return 0;
}

int stmt_find(struct db_conn *conn, const char *sql, const struct stmt_arg *args, size_t arg_count,
              const struct stmt_field *fields, size_t field_count, struct arena *arena, void *ret,
              struct err *err) {
    sqlite3_stmt *stmt = bound(conn, sql, args, arg_count, err);
    if (!stmt)
        return -1;
    int result;
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        result = fill(stmt, fields, field_count, arena, ret, err) < 0 ? -1 : 1;
    else
        result = rc == SQLITE_DONE ? 0 : db_error(conn, err, sql);
    /* A statement that writes (UPDATE … RETURNING) has done its work at the first row, but the
     * transaction cannot commit while it could still step. */
    done(stmt);
    return result;
}

int stmt_list(struct db_conn *conn, const char *sql, const struct stmt_arg *args, size_t arg_count,
              const struct stmt_field *fields, size_t field_count, size_t row_size,
              struct arena *arena, void **ret, size_t *ret_count, struct err *err) {
    sqlite3_stmt *stmt = bound(conn, sql, args, arg_count, err);
    if (!stmt)
        return -1;
    char *rows = NULL;
    size_t count = 0, capacity = 0;
    int result = 0;
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        char *grown = arena_grow(arena, rows, &capacity, count + 1, row_size);
        if (!grown) {
            result = err_set(err, ERR_NO_MEMORY, "a list is too large");
            break;
        }
        rows = grown;
        if (fill(stmt, fields, field_count, arena, rows + count * row_size, err) < 0) {
            result = -1;
            break;
        }
        count++;
    }
    if (result == 0 && rc != SQLITE_DONE)
        result = db_error(conn, err, sql);
    done(stmt);
    if (result < 0)
        return -1;
    *ret = rows;
    *ret_count = count;
    return 0;
}

int stmt_number(struct db_conn *conn, const char *sql, const struct stmt_arg *args,
                size_t arg_count, int64_t *ret, struct err *err) {
    static const struct stmt_field field = {STMT_INT, 0};
    return stmt_find(conn, sql, args, arg_count, &field, 1, NULL, ret, err);
}

int64_t stmt_last_id(struct db_conn *conn) {
    return sqlite3_last_insert_rowid(conn->sqlite);
}

int stmt_script(struct db_conn *conn, const char *sql, struct err *err) {
    if (sqlite3_exec(conn->sqlite, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_error(conn, err, "schema");
    return 0;
}

void db_undo_push(struct db_conn *conn, void (*undo)(void *ctx), void *ctx) {
    if (conn->undo_count == conn->undo_capacity) {
        size_t capacity = conn->undo_capacity ? conn->undo_capacity * 2 : 32;
        struct db_undo *grown = realloc(conn->undos, capacity * sizeof *grown);
        if (!grown)
            abort(); /* losing an undo would break the promise "no file without a row" */
        conn->undos = grown;
        conn->undo_capacity = capacity;
    }
    conn->undos[conn->undo_count++] = (struct db_undo){undo, ctx};
}

size_t db_undo_mark(const struct db_conn *conn) {
    return conn->undo_count;
}

void db_undo_run(struct db_conn *conn, size_t mark) {
    while (conn->undo_count > mark) {
        struct db_undo *last = &conn->undos[--conn->undo_count];
        last->undo(last->ctx);
    }
}

void db_undo_forget(struct db_conn *conn) {
    conn->undo_count = 0;
}

bool db_in_transaction(const struct db_conn *conn) {
    return !sqlite3_get_autocommit(conn->sqlite);
}
