/* Connections. See db.h. */
#include "storage/db/db.h"

#include "storage/db/db_private.h"
#include "storage/db/migrate.h"
#include "storage/db/stmt.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct db {
    char *path;
    struct db_conn *writer;
    pthread_mutex_t lock; /* guards idle */
    struct db_conn *idle;
};

int db_error(struct db_conn *conn, struct err *err, const char *what) {
    int code = sqlite3_extended_errcode(conn->sqlite);
    const char *text = sqlite3_errmsg(conn->sqlite);
    int primary = code & 0xff;
    if (primary == SQLITE_FULL)
        return err_set(err, ERR_NO_SPACE, "the database could not grow: the disk is full");
    if (primary == SQLITE_NOMEM)
        return err_set(err, ERR_NO_MEMORY, "the database ran out of memory");
    if (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) {
        int system = sqlite3_system_errno(conn->sqlite);
        if (system == ENOSPC || system == EDQUOT)
            return err_set(err, ERR_NO_SPACE, "the database could not grow: the disk is full");
        return err_set_errno(err, ERR_IO, system ? system : EIO, "database file (code %d)", code);
    }
    return err_set(err, ERR_DB, "%s (code %d) at: %.120s", text, code, what);
}

static void conn_close(struct db_conn *conn) {
    if (!conn)
        return;
    for (size_t i = 0; i < STMT_CACHE_SLOTS; i++)
        sqlite3_finalize(conn->slots[i].stmt);
    sqlite3_close(conn->sqlite);
    free(conn->undos);
    free(conn);
}

static struct db_conn *conn_open(const char *path, bool writer, struct err *err) {
    struct db_conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        err_set(err, ERR_NO_MEMORY, "no memory for a database connection");
        return NULL;
    }
    int flags = SQLITE_OPEN_NOMUTEX |
                (writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READWRITE);
    if (sqlite3_open_v2(path, &conn->sqlite, flags, NULL) != SQLITE_OK) {
        if (conn->sqlite)
            db_error(conn, err, path);
        else
            err_set(err, ERR_NO_MEMORY, "no memory for a database connection");
        conn_close(conn);
        return NULL;
    }
    sqlite3_busy_timeout(conn->sqlite, 10000);
    /* A reader of a WAL database needs write access to the shared-memory file, hence READWRITE
     * above and query_only here. */
    const char *setup = writer ? "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                 "PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864;"
                                 "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384"
                               : "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;"
                                 "PRAGMA cache_size = -4096";
    if (stmt_script(conn, setup, err) < 0) {
        conn_close(conn);
        return NULL;
    }
    return conn;
}

int db_open(const char *path, struct db **ret, struct err *err) {
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return err_set(err, ERR_NO_MEMORY, "no memory for the database");
    pthread_mutex_init(&db->lock, NULL);
    db->path = strdup(path);
    if (!db->path) {
        err_set(err, ERR_NO_MEMORY, "no memory for the database");
        goto fail;
    }
    db->writer = conn_open(path, true, err);
    if (!db->writer || migrate_up(db->writer, err) < 0)
        goto fail;
    *ret = db;
    return 0;
fail:
    db_close(db);
    return -1;
}

void db_close(struct db *db) {
    if (!db)
        return;
    while (db->idle) {
        struct db_conn *conn = db->idle;
        db->idle = conn->next;
        conn_close(conn);
    }
    conn_close(db->writer); /* last: it checkpoints and removes the WAL */
    pthread_mutex_destroy(&db->lock);
    free(db->path);
    free(db);
}

struct db_conn *db_read_begin(struct db *db, struct err *err) {
    pthread_mutex_lock(&db->lock);
    struct db_conn *conn = db->idle;
    if (conn)
        db->idle = conn->next;
    pthread_mutex_unlock(&db->lock);
    if (!conn)
        conn = conn_open(db->path, false, err);
    if (conn && stmt_run(conn, "BEGIN", NO_ARGS, err) < 0) {
        conn_close(conn);
        return NULL;
    }
    return conn;
}

void db_read_end(struct db *db, struct db_conn *conn) {
    if (!conn)
        return;
    if (stmt_run(conn, "COMMIT", NO_ARGS, NULL) < 0) {
        conn_close(conn);
        return;
    }
    pthread_mutex_lock(&db->lock);
    conn->next = db->idle;
    db->idle = conn;
    pthread_mutex_unlock(&db->lock);
}

struct db_conn *db_writer_conn(struct db *db) {
    return db->writer;
}

int64_t db_now_ms(void) {
    static _Atomic int64_t last;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    int64_t before = atomic_load(&last);
    while (ms > before && !atomic_compare_exchange_weak(&last, &before, ms))
        ;
    return ms > before ? ms : before;
}
