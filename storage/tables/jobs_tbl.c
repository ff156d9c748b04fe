/* See jobs_tbl.h. */
#include "storage/tables/jobs_tbl.h"

#include "compress/base/jspec.h"
#include "storage/db/stmt.h"
#include "storage/tables/blobs_tbl.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* Waiting ten minutes is worth one step of priority (api.md). */
#define AGEING_MS (10 * 60 * 1000LL)

static const struct stmt_field job_fields[] = {
    {STMT_INT, offsetof(struct job_row, n)},
    {STMT_TEXT, offsetof(struct job_row, id)},
    {STMT_TEXT, offsetof(struct job_row, team)},
    {STMT_TEXT, offsetof(struct job_row, name)},
    {STMT_TEXT, offsetof(struct job_row, state)},
    {STMT_INT, offsetof(struct job_row, revision)},
    {STMT_INT32, offsetof(struct job_row, priority)},
    {STMT_INT32, offsetof(struct job_row, attempt)},
    {STMT_INT, offsetof(struct job_row, model_version)},
    {STMT_TEXT, offsetof(struct job_row, model_name)},
    {STMT_TEXT, offsetof(struct job_row, dataset_name)},
    {STMT_TEXT, offsetof(struct job_row, recipe_name)},
    {STMT_TEXT, offsetof(struct job_row, recipe_json)},
    {STMT_TEXT, offsetof(struct job_row, recipe_digest)},
    {STMT_TEXT, offsetof(struct job_row, labels_json)},
    {STMT_INT, offsetof(struct job_row, created_ms)},
    {STMT_INT, offsetof(struct job_row, queued_ms)},
    {STMT_INT, offsetof(struct job_row, started_ms)},
    {STMT_INT, offsetof(struct job_row, finished_ms)},
    {STMT_INT, offsetof(struct job_row, peak_bytes)},
    {STMT_INT, offsetof(struct job_row, disk_bytes)},
    {STMT_TEXT, offsetof(struct job_row, progress_json)},
    {STMT_TEXT, offsetof(struct job_row, problem_json)},
    {STMT_TEXT, offsetof(struct job_row, summary_json)},
    {STMT_INT, offsetof(struct job_row, artifact_bytes)},
    {STMT_TEXT, offsetof(struct job_row, artifact_sha256)},
    {STMT_INT32, offsetof(struct job_row, artifact_files)},
    {STMT_BOOL, offsetof(struct job_row, artifact_lone)},
    {STMT_BOOL, offsetof(struct job_row, suspect)},
    {STMT_INT32, offsetof(struct job_row, deaths)},
    {STMT_INT32, offsetof(struct job_row, stage_died)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define JOB_FIELDS job_fields, COUNT(job_fields)
#define JOB_COLUMNS                                                                                \
    "n, id, team, name, state, revision, priority, attempt, coalesce(model_version, 0), "          \
    "model_name, dataset_name, "                                                                   \
    "recipe_name, recipe_json, recipe_digest, labels_json, created_ms, queued_ms, "                \
    "started_ms, finished_ms, peak_bytes, disk_bytes, progress_json, problem_json, summary_json, " \
    "artifact_bytes, artifact_sha256, artifact_files, artifact_lone, suspect, deaths, stage_died"

static const struct stmt_field file_fields[] = {
    {STMT_TEXT, offsetof(struct blob_entry, path)},
    {STMT_DIGEST, offsetof(struct blob_entry, digest)},
    {STMT_INT, offsetof(struct blob_entry, bytes)},
};

/* 1 when a row was changed, 0 when the guard held it back, -1 on error. */
static int guarded(int changed) {
    return changed < 0 ? -1 : changed > 0;
}

void jobs_tbl_new_id(int64_t now_ms, char ret[JOB_ID_LEN + 1]) {
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint8_t random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        memset(random, 0, sizeof random); /* UNIQUE still guards; the caller sees the conflict */
    uint64_t time = (uint64_t)now_ms;
    for (int i = 9; i >= 0; i--, time >>= 5)
        ret[i] = digits[time & 31];
    for (int i = 0; i < 16; i++)
        ret[10 + i] = digits[random[i] & 31];
    ret[JOB_ID_LEN] = 0;
}

struct label_insert {
    struct db_conn *conn;
    int64_t n;
    struct err *err;
};

static int insert_label(void *ctx, const char *key, struct json_t *value) {
    struct label_insert *insert = ctx;
    const char *text = json_text(value);
    return stmt_run(insert->conn,
                    "INSERT INTO job_label (job, key, value) VALUES (?1, ?2, ?3) "
                    "ON CONFLICT (job, key) DO UPDATE SET value = excluded.value",
                    ARGS(ARG_INT(insert->n), ARG_TEXT(key), ARG_TEXT(text ? text : "")),
                    insert->err) < 0
               ? -1
               : 0;
}

static int insert_labels(struct db_conn *conn, int64_t n, const char *labels_json,
                         struct err *err) {
    if (strcmp(labels_json, "{}") == 0)
        return 0;
    struct json_t *labels;
    if (jspec_parse(labels_json, strlen(labels_json), &labels, err) < 0)
        return -1;
    struct label_insert insert = {conn, n, err};
    int result = json_each(labels, insert_label, &insert);
    jspec_free(labels);
    return result;
}

int jobs_tbl_insert(struct db_conn *conn, struct job_row *row, int64_t now_ms, struct err *err) {
    if (stmt_run(conn,
                 "INSERT INTO job (id, team, name, state, revision, priority, claim_key, attempt, "
                 "model_version, model_name, recipe_name, recipe_json, recipe_digest, labels_json, "
                 "created_ms, queued_ms, started_ms, finished_ms, peak_bytes, disk_bytes, "
                 "artifact_bytes, artifact_files, artifact_lone, suspect, deaths, stage_died, "
                 "dataset_name) "
                 "VALUES (?1, ?2, ?3, 'queued', 1, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, "
                 "0, 0, ?13, ?14, 0, 0, 0, 0, 0, -1, ?15)",
                 ARGS(ARG_TEXT(row->id), ARG_TEXT(row->team), ARG_TEXT(row->name),
                      ARG_INT(row->priority), ARG_INT(now_ms - row->priority * AGEING_MS),
                      ARG_INT(row->model_version), ARG_TEXT(row->model_name),
                      ARG_TEXT(row->recipe_name), ARG_TEXT(row->recipe_json),
                      ARG_TEXT(row->recipe_digest), ARG_TEXT(row->labels_json), ARG_INT(now_ms),
                      ARG_INT(row->peak_bytes), ARG_INT(row->disk_bytes),
                      ARG_TEXT(row->dataset_name)),
                 err) < 0)
        return -1;
    row->n = stmt_last_id(conn);
    row->state = "queued";
    row->revision = 1;
    row->attempt = 0;
    row->created_ms = row->queued_ms = now_ms;
    row->stage_died = -1;
    return insert_labels(conn, row->n, row->labels_json, err);
}

int jobs_tbl_find(struct db_conn *conn, const char *team, const char *id, struct arena *arena,
                  struct job_row *ret, struct err *err) {
    return stmt_find(conn, "SELECT " JOB_COLUMNS " FROM job WHERE id = ?1 AND team = ?2",
                     ARGS(ARG_TEXT(id), ARG_TEXT(team)), JOB_FIELDS, arena, ret, err);
}

int jobs_tbl_find_n(struct db_conn *conn, int64_t n, struct arena *arena, struct job_row *ret,
                    struct err *err) {
    return stmt_find(conn, "SELECT " JOB_COLUMNS " FROM job WHERE n = ?1", ARGS(ARG_INT(n)),
                     JOB_FIELDS, arena, ret, err);
}

int jobs_tbl_list(struct db_conn *conn, const struct job_list_query *query, struct arena *arena,
                  struct job_row **ret, size_t *ret_count, struct err *err) {
    void *rows = NULL;
    if (stmt_list(conn,
                  "SELECT " JOB_COLUMNS " FROM job WHERE team = ?1 "
                  "AND (?2 = 0 OR n < ?2) AND (?3 IS NULL OR state = ?3) "
                  "AND (?4 IS NULL OR model_name = ?4 COLLATE NOCASE) "
                  "AND (?5 IS NULL OR recipe_name = ?5) "
                  "AND (?6 IS NULL OR EXISTS (SELECT 1 FROM job_label l WHERE l.job = job.n "
                  "AND l.key = ?6 AND l.value = ?7)) AND created_ms > ?8 "
                  "ORDER BY n DESC LIMIT ?9",
                  ARGS(ARG_TEXT(query->team), ARG_INT(query->before_n), ARG_TEXT(query->state),
                       ARG_TEXT(query->model), ARG_TEXT(query->recipe), ARG_TEXT(query->label_key),
                       ARG_TEXT(query->label_value), ARG_INT(query->created_after_ms),
                       ARG_INT(query->limit)),
                  JOB_FIELDS, sizeof(struct job_row), arena, &rows, ret_count, err) < 0)
        return -1;
    *ret = rows;
    return 0;
}

int jobs_tbl_position(struct db_conn *conn, const struct job_row *row, int64_t *ret,
                      struct err *err) {
    return stmt_number(conn,
                       "SELECT count(*) FROM ("
                       "SELECT 1 FROM job WHERE state = 'queued' AND suspect > ?3 UNION ALL "
                       "SELECT 1 FROM job WHERE state = 'queued' AND suspect = ?3 AND "
                       "(claim_key, n) < (SELECT claim_key, n FROM job WHERE n = ?1) LIMIT ?2)",
                       ARGS(ARG_INT(row->n), ARG_INT(JOBS_POSITION_MAX), ARG_INT(row->suspect)),
                       ret, err);
}

int jobs_tbl_count(struct db_conn *conn, const char *state, int64_t *ret, struct err *err) {
    /* Literal states, so that the partial indexes serve. */
    const char *sql = strcmp(state, "queued") == 0
                          ? "SELECT count(*) FROM job WHERE state = 'queued'"
                          : "SELECT count(*) FROM job WHERE state IN ('running', 'cancelling')";
    return stmt_number(conn, sql, NO_ARGS, ret, err) < 0 ? -1 : 0;
}

int jobs_tbl_peek(struct db_conn *conn, bool suspects, struct arena *arena, struct job_row *ret,
                  struct err *err) {
    return stmt_find(conn,
                     "SELECT " JOB_COLUMNS " FROM job WHERE state = 'queued' AND suspect = ?1 "
                     "ORDER BY claim_key, n LIMIT 1",
                     ARGS(ARG_INT(suspects)), JOB_FIELDS, arena, ret, err);
}

int jobs_tbl_claim(struct db_conn *conn, int64_t n, int64_t now_ms, struct arena *arena,
                   struct job_row *ret, struct err *err) {
    return stmt_find(conn,
                     "UPDATE job SET state = 'running', attempt = attempt + 1, started_ms = ?2, "
                     "revision = revision + 1, progress_json = NULL "
                     "WHERE n = ?1 AND state = 'queued' RETURNING " JOB_COLUMNS,
                     ARGS(ARG_INT(n), ARG_INT(now_ms)), JOB_FIELDS, arena, ret, err);
}

#define MINE "n = ?1 AND attempt = ?2 AND state IN ('running', 'cancelling')"

int jobs_tbl_progress(struct db_conn *conn, int64_t n, int attempt, const char *progress_json,
                      struct err *err) {
    return guarded(stmt_run(conn, "UPDATE job SET progress_json = ?3 WHERE " MINE,
                            ARGS(ARG_INT(n), ARG_INT(attempt), ARG_TEXT(progress_json)), err));
}

int jobs_tbl_clear_suspect(struct db_conn *conn, int64_t n, int attempt, const char *progress_json,
                           struct err *err) {
    return guarded(stmt_run(conn,
                            "UPDATE job SET suspect = 0, "
                            "progress_json = coalesce(?3, progress_json) WHERE " MINE,
                            ARGS(ARG_INT(n), ARG_INT(attempt), ARG_TEXT(progress_json)), err));
}

static int insert_files(struct db_conn *conn, int64_t n, const struct job_finish *finish,
                        struct err *err) {
    for (size_t i = 0; i < finish->file_count; i++) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(&finish->files[i].digest, hex);
        if (stmt_run(conn,
                     "INSERT INTO job_file (job, path, digest, bytes) VALUES (?1, ?2, ?3, ?4)",
                     ARGS(ARG_INT(n), ARG_TEXT(finish->files[i].path), ARG_TEXT(hex),
                          ARG_INT(finish->files[i].bytes)),
                     err) < 0)
            return -1;
    }
    return 0;
}

int jobs_tbl_finish(struct db_conn *conn, int64_t n, int attempt, const struct job_finish *finish,
                    int64_t now_ms, struct err *err) {
    int done = guarded(stmt_run(
        conn,
        "UPDATE job SET state = ?3, revision = revision + 1, finished_ms = ?4, problem_json = ?5, "
        "summary_json = ?6, artifact_bytes = ?7, artifact_sha256 = ?8, artifact_files = ?9, "
        "artifact_lone = ?10, progress_json = coalesce(?11, progress_json), suspect = 0 "
        "WHERE " MINE,
        ARGS(ARG_INT(n), ARG_INT(attempt), ARG_TEXT(finish->state), ARG_INT(now_ms),
             ARG_TEXT(finish->problem_json), ARG_TEXT(finish->summary_json),
             ARG_INT(finish->artifact_bytes), ARG_TEXT(finish->artifact_sha256),
             ARG_INT(finish->file_count), ARG_INT(finish->lone), ARG_TEXT(finish->progress_json)),
        err));
    if (done != 1)
        return done;
    if (finish->report_json && stmt_run(conn,
                                        "INSERT INTO job_report (job, report) VALUES (?1, ?2) "
                                        "ON CONFLICT (job) DO UPDATE SET report = excluded.report",
                                        ARGS(ARG_INT(n), ARG_TEXT(finish->report_json)), err) < 0)
        return -1;
    return insert_files(conn, n, finish, err) < 0 ? -1 : 1;
}

int jobs_tbl_requeue(struct db_conn *conn, int64_t n, int attempt, struct err *err) {
    return guarded(stmt_run(conn,
                            "UPDATE job SET state = 'queued', revision = revision + 1, "
                            "started_ms = 0, progress_json = NULL WHERE n = ?1 AND attempt = ?2 "
                            "AND state = 'running'",
                            ARGS(ARG_INT(n), ARG_INT(attempt)), err));
}

int jobs_tbl_cancel(struct db_conn *conn, int64_t n, int64_t now_ms, const char **ret_state,
                    struct err *err) {
    int done = guarded(stmt_run(conn,
                                "UPDATE job SET state = 'cancelled', revision = revision + 1, "
                                "finished_ms = ?2, suspect = 0 WHERE n = ?1 AND state = 'queued'",
                                ARGS(ARG_INT(n), ARG_INT(now_ms)), err));
    if (done != 0) {
        *ret_state = "cancelled";
        return done;
    }
    *ret_state = "cancelling";
    return guarded(stmt_run(conn,
                            "UPDATE job SET state = 'cancelling', revision = revision + 1 "
                            "WHERE n = ?1 AND state = 'running'",
                            ARGS(ARG_INT(n)), err));
}

int jobs_tbl_retry(struct db_conn *conn, int64_t n, int64_t now_ms, struct err *err) {
    return guarded(stmt_run(conn,
                            "UPDATE job SET state = 'queued', revision = revision + 1, "
                            "queued_ms = ?2, claim_key = ?2 - priority * ?3, started_ms = 0, "
                            "finished_ms = 0, progress_json = NULL, problem_json = NULL, "
                            "summary_json = NULL, suspect = 0, deaths = 0, stage_died = -1 "
                            "WHERE n = ?1 AND state IN ('failed', 'cancelled') "
                            "AND model_version IS NOT NULL "
                            "AND NOT EXISTS (SELECT 1 FROM job_data d WHERE d.job = job.n "
                            "AND d.version IS NULL)",
                            ARGS(ARG_INT(n), ARG_INT(now_ms), ARG_INT(AGEING_MS)), err));
}

int jobs_tbl_edit(struct db_conn *conn, int64_t n, int64_t if_revision, int priority,
                  const char *labels_json, struct err *err) {
    int done =
        guarded(stmt_run(conn,
                         "UPDATE job SET revision = revision + 1, priority = ?3, "
                         "claim_key = queued_ms - ?3 * ?5, labels_json = ?4 WHERE n = ?1 AND "
                         "(?2 = 0 OR revision = ?2)",
                         ARGS(ARG_INT(n), ARG_INT(if_revision), ARG_INT(priority),
                              ARG_TEXT(labels_json), ARG_INT(AGEING_MS)),
                         err));
    if (done != 1)
        return done;
    if (stmt_run(conn, "DELETE FROM job_label WHERE job = ?1", ARGS(ARG_INT(n)), err) < 0 ||
        insert_labels(conn, n, labels_json, err) < 0)
        return -1;
    return 1;
}

int jobs_tbl_delete(struct db_conn *conn, int64_t n, struct err *err) {
    return guarded(stmt_run(conn,
                            "DELETE FROM job WHERE n = ?1 AND "
                            "state IN ('succeeded', 'failed', 'cancelled')",
                            ARGS(ARG_INT(n)), err));
}

int jobs_tbl_report(struct db_conn *conn, int64_t n, struct arena *arena, const char **ret,
                    struct err *err) {
    static const struct stmt_field field = {STMT_TEXT, 0};
    return stmt_find(conn, "SELECT report FROM job_report WHERE job = ?1", ARGS(ARG_INT(n)), &field,
                     1, arena, ret, err);
}

int jobs_tbl_files(struct db_conn *conn, int64_t n, struct arena *arena, struct blob_entry **ret,
                   size_t *ret_count, struct err *err) {
    void *rows = NULL;
    if (stmt_list(conn, "SELECT path, digest, bytes FROM job_file WHERE job = ?1 ORDER BY path",
                  ARGS(ARG_INT(n)), file_fields, COUNT(file_fields), sizeof(struct blob_entry),
                  arena, &rows, ret_count, err) < 0)
        return -1;
    *ret = rows;
    return 0;
}

int jobs_tbl_running(struct db_conn *conn, struct arena *arena, struct job_row **ret,
                     size_t *ret_count, struct err *err) {
    void *rows = NULL;
    if (stmt_list(conn,
                  "SELECT " JOB_COLUMNS " FROM job WHERE state IN ('running', 'cancelling') "
                  "ORDER BY n",
                  NO_ARGS, JOB_FIELDS, sizeof(struct job_row), arena, &rows, ret_count, err) < 0)
        return -1;
    *ret = rows;
    return 0;
}

int jobs_tbl_after_crash(struct db_conn *conn, const struct job_row *row, int stage_died,
                         int deaths, int max_deaths, const char *problem_json, int64_t now_ms,
                         struct err *err) {
    if (strcmp(row->state, "cancelling") == 0)
        return guarded(stmt_run(conn,
                                "UPDATE job SET state = 'cancelled', revision = revision + 1, "
                                "finished_ms = ?2, suspect = 0 WHERE n = ?1",
                                ARGS(ARG_INT(row->n), ARG_INT(now_ms)), err));
    if (deaths >= max_deaths)
        return guarded(stmt_run(
            conn,
            "UPDATE job SET state = 'failed', revision = revision + 1, "
            "finished_ms = ?2, deaths = ?3, problem_json = ?4, suspect = 0 "
            "WHERE n = ?1",
            ARGS(ARG_INT(row->n), ARG_INT(now_ms), ARG_INT(deaths), ARG_TEXT(problem_json)), err));
    return guarded(stmt_run(conn,
                            "UPDATE job SET state = 'queued', revision = revision + 1, "
                            "started_ms = 0, progress_json = NULL, suspect = 1, deaths = ?2, "
                            "stage_died = ?3 WHERE n = ?1",
                            ARGS(ARG_INT(row->n), ARG_INT(deaths), ARG_INT(stage_died)), err));
}
