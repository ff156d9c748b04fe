/* See meta_tbl.h. */
#include "storage/tables/meta_tbl.h"

#include "storage/db/stmt.h"

int meta_tbl_get(struct db_conn *conn, const char *key, struct arena *arena, const char **ret,
                 struct err *err) {
    static const struct stmt_field field = {STMT_TEXT, 0};
    return stmt_find(conn, "SELECT value FROM meta WHERE key = ?1", ARGS(ARG_TEXT(key)), &field, 1,
                     arena, ret, err);
}

int meta_tbl_set(struct db_conn *conn, const char *key, const char *value, struct err *err) {
    int changed = value
                      ? stmt_run(conn,
                                 "INSERT INTO meta (key, value) VALUES (?1, ?2) "
                                 "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                                 ARGS(ARG_TEXT(key), ARG_TEXT(value)), err)
                      : stmt_run(conn, "DELETE FROM meta WHERE key = ?1", ARGS(ARG_TEXT(key)), err);
    return changed < 0 ? -1 : 0;
}
