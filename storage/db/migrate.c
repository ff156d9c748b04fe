/* See migrate.h. */
#include "storage/db/migrate.h"

#include "storage/db/schema.h"
#include "storage/db/stmt.h"

#include <stdio.h>

int migrate_latest(void) {
    return schema_files[schema_file_count - 1].number;
}

static int apply(struct db_conn *conn, const struct schema_file *file, struct err *err) {
    char version[64];
    snprintf(version, sizeof version, "PRAGMA user_version = %d", file->number);
    if (stmt_script(conn, "BEGIN IMMEDIATE", err) < 0)
        return -1;
    if (stmt_script(conn, file->sql, err) < 0 || stmt_script(conn, version, err) < 0 ||
        stmt_script(conn, "COMMIT", err) < 0) {
        err_context(err, "schema %s", file->name);
        stmt_script(conn, "ROLLBACK", NULL);
        return -1;
    }
    return 0;
}

int migrate_up(struct db_conn *conn, struct err *err) {
    int64_t version = 0;
    if (stmt_number(conn, "PRAGMA user_version", NO_ARGS, &version, err) < 0)
        return -1;
    if (version > migrate_latest())
        return err_set(err, ERR_NEWER_SCHEMA,
                       "the database has schema %lld, this program knows up to %d; use a newer "
                       "compressd or another data directory",
                       (long long)version, migrate_latest());
    for (size_t i = 0; i < schema_file_count; i++)
        if (schema_files[i].number > version && apply(conn, &schema_files[i], err) < 0)
            return -1;
    return 0;
}
