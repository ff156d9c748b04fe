/* See models_tbl.h. */
#include "storage/tables/models_tbl.h"

#include "compress/base/nearest.h"
#include "storage/db/stmt.h"
#include "storage/tables/blobs_tbl.h"

#include <stdio.h>
#include <string.h>

static const struct stmt_field model_fields[] = {
    {STMT_INT, offsetof(struct model_row, version)},
    {STMT_INT32, offsetof(struct model_row, kind)},
    {STMT_TEXT, offsetof(struct model_row, team)},
    {STMT_TEXT, offsetof(struct model_row, name)},
    {STMT_INT, offsetof(struct model_row, created_ms)},
    {STMT_BOOL, offsetof(struct model_row, lone)},
    {STMT_TEXT, offsetof(struct model_row, format)},
    {STMT_TEXT, offsetof(struct model_row, architecture)},
    {STMT_INT, offsetof(struct model_row, parameters)},
    {STMT_INT, offsetof(struct model_row, samples)},
    {STMT_INT, offsetof(struct model_row, bytes)},
    {STMT_TEXT, offsetof(struct model_row, inspection)},
    {STMT_TEXT, offsetof(struct model_row, files_digest)},
};

static const struct stmt_field file_fields[] = {
    {STMT_TEXT, offsetof(struct blob_entry, path)},
    {STMT_DIGEST, offsetof(struct blob_entry, digest)},
    {STMT_INT, offsetof(struct blob_entry, bytes)},
};

/* A team with more names than that is told the nearest of the first. */
enum { NEAREST_OF_NAMES = 2000 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MODEL_COLUMNS                                                                              \
    "v.id, v.kind, v.team, m.name, v.created_ms, v.lone, v.format, v.architecture, v.parameters, " \
    "v.samples, v.bytes, v.inspection, v.files_digest"

const char *model_kind_name(enum model_kind kind) {
    return kind == MODEL_KIND_DATASET ? "dataset" : "model";
}

void models_tbl_files_digest(const struct blob_entry *files, size_t count,
                             char ret_hex[DIGEST_HEX_LEN + 1]) {
    struct hasher *hasher = hasher_new();
    struct digest digest = {{0}};
    for (size_t i = 0; hasher && i < count; i++) {
        hasher_update(hasher, files[i].path, strlen(files[i].path) + 1);
        hasher_update(hasher, files[i].digest.bytes, DIGEST_BYTES);
    }
    if (hasher)
        digest = hasher_final(hasher);
    hasher_free(hasher);
    digest_hex(&digest, ret_hex);
}

int models_tbl_put(struct db_conn *conn, struct model_row *row, const struct blob_entry *files,
                   size_t count, int64_t now_ms, struct err *err) {
    if (stmt_run(conn,
                 "INSERT INTO model_version (team, created_ms, lone, format, architecture, "
                 "parameters, bytes, inspection, files_digest, kind, samples) "
                 "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                 ARGS(ARG_TEXT(row->team), ARG_INT(now_ms), ARG_INT(row->lone),
                      ARG_TEXT(row->format), ARG_TEXT(row->architecture), ARG_INT(row->parameters),
                      ARG_INT(row->bytes), ARG_TEXT(row->inspection), ARG_TEXT(row->files_digest),
                      ARG_INT(row->kind), ARG_INT(row->samples)),
                 err) < 0)
        return -1;
    row->version = stmt_last_id(conn);
    row->created_ms = now_ms;
    for (size_t i = 0; i < count; i++) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(&files[i].digest, hex);
        if (stmt_run(
                conn,
                "INSERT INTO model_file (version, path, digest, bytes) VALUES (?1, ?2, ?3, ?4)",
                ARGS(ARG_INT(row->version), ARG_TEXT(files[i].path), ARG_TEXT(hex),
                     ARG_INT(files[i].bytes)),
                err) < 0 ||
            blobs_tbl_renew(conn, &files[i].digest, now_ms, err) < 0)
            return -1;
    }
    if (stmt_run(conn,
                 "INSERT INTO model (team, kind, name, version) VALUES (?1, ?4, ?2, ?3) "
                 "ON CONFLICT (team, kind, name) DO UPDATE SET version = excluded.version, "
                 "name = excluded.name",
                 ARGS(ARG_TEXT(row->team), ARG_TEXT(row->name), ARG_INT(row->version),
                      ARG_INT(row->kind)),
                 err) < 0)
        return -1;
    return models_tbl_drop_orphans(conn, err);
}

int models_tbl_find(struct db_conn *conn, enum model_kind kind, const char *team, const char *name,
                    struct arena *arena, struct model_row *ret, struct err *err) {
    return stmt_find(conn,
                     "SELECT " MODEL_COLUMNS
                     " FROM model m JOIN model_version v ON v.id = m.version "
                     "WHERE m.team = ?1 AND m.kind = ?3 AND m.name = ?2",
                     ARGS(ARG_TEXT(team), ARG_TEXT(name), ARG_INT(kind)), model_fields,
                     COUNT(model_fields), arena, ret, err);
}

int models_tbl_find_version(struct db_conn *conn, int64_t version, struct arena *arena,
                            struct model_row *ret, struct err *err) {
    return stmt_find(conn,
                     "SELECT " MODEL_COLUMNS
                     " FROM model_version v LEFT JOIN model m ON m.version = v.id WHERE v.id = ?1",
                     ARGS(ARG_INT(version)), model_fields, COUNT(model_fields), arena, ret, err);
}

int models_tbl_files(struct db_conn *conn, int64_t version, struct arena *arena,
                     struct blob_entry **ret, size_t *ret_count, struct err *err) {
    void *rows = NULL;
    if (stmt_list(conn,
                  "SELECT path, digest, bytes FROM model_file WHERE version = ?1 ORDER BY path",
                  ARGS(ARG_INT(version)), file_fields, COUNT(file_fields),
                  sizeof(struct blob_entry), arena, &rows, ret_count, err) < 0)
        return -1;
    *ret = rows;
    return 0;
}

int models_tbl_list(struct db_conn *conn, const struct model_list_query *query, struct arena *arena,
                    struct model_row **ret, size_t *ret_count, struct err *err) {
    void *rows = NULL;
    if (stmt_list(conn,
                  "SELECT " MODEL_COLUMNS " FROM model m JOIN model_version v ON v.id = m.version "
                  "WHERE m.team = ?1 AND m.kind = ?4 AND (?2 = 0 OR v.id < ?2) "
                  "ORDER BY v.id DESC LIMIT ?3",
                  ARGS(ARG_TEXT(query->team), ARG_INT(query->before_version), ARG_INT(query->limit),
                       ARG_INT(query->kind)),
                  model_fields, COUNT(model_fields), sizeof(struct model_row), arena, &rows,
                  ret_count, err) < 0)
        return -1;
    *ret = rows;
    return 0;
}

#define UNFINISHED "j.state IN ('queued', 'running', 'cancelling')"

int models_tbl_nearest(struct db_conn *conn, enum model_kind kind, const char *team,
                       const char *name, struct arena *arena, const char **ret, struct err *err) {
    static const struct stmt_field field = {STMT_TEXT, 0};
    void *rows = NULL;
    size_t count = 0;
    if (stmt_list(conn, "SELECT name FROM model WHERE team = ?1 AND kind = ?2 LIMIT ?3",
                  ARGS(ARG_TEXT(team), ARG_INT(kind), ARG_INT(NEAREST_OF_NAMES)), &field, 1,
                  sizeof(const char *), arena, &rows, &count, err) < 0)
        return -1;
    const char *best = NULL;
    for (size_t i = 0; i < count; i++)
        best = nearest_of(name, best, ((const char *const *)rows)[i]);
    *ret = best;
    return best != NULL;
}

int models_tbl_delete(struct db_conn *conn, enum model_kind kind, const char *team,
                      const char *name, struct err *err) {
    int64_t version;
    int found =
        stmt_number(conn, "SELECT version FROM model WHERE team = ?1 AND kind = ?3 AND name = ?2",
                    ARGS(ARG_TEXT(team), ARG_TEXT(name), ARG_INT(kind)), &version, err);
    if (found < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "there is no %s '%s'", model_kind_name(kind), name);
    int64_t jobs = 0;
    if (stmt_number(conn,
                    "SELECT count(*) FROM job j "
                    "WHERE (j.model_version = ?1 OR "
                    "j.n IN (SELECT job FROM job_data WHERE version = ?1)) AND " UNFINISHED,
                    ARGS(ARG_INT(version)), &jobs, err) < 0)
        return -1;
    if (jobs > 0)
        return err_set(err, ERR_IN_USE, "%s '%s' is needed by %lld unfinished job%s",
                       model_kind_name(kind), name, (long long)jobs, jobs == 1 ? "" : "s");
    if (stmt_run(conn, "DELETE FROM model WHERE team = ?1 AND kind = ?3 AND name = ?2",
                 ARGS(ARG_TEXT(team), ARG_TEXT(name), ARG_INT(kind)), err) < 0)
        return -1;
    return models_tbl_drop_orphans(conn, err);
}

int models_tbl_drop_orphans(struct db_conn *conn, struct err *err) {
    return stmt_run(conn,
                    "DELETE FROM model_version WHERE "
                    "NOT EXISTS (SELECT 1 FROM model m WHERE m.version = model_version.id) AND "
                    "NOT EXISTS (SELECT 1 FROM job j WHERE j.model_version = model_version.id "
                    "AND " UNFINISHED ") AND "
                    "NOT EXISTS (SELECT 1 FROM job_data d JOIN job j ON j.n = d.job "
                    "WHERE d.version = model_version.id AND " UNFINISHED ")",
                    NO_ARGS, err) < 0
               ? -1
               : 0;
}
