/* Schema versions: each step on data of the version before it. */
#include "storage/db/migrate.h"

#include "storage/db/schema.h"
#include "storage/db/stmt.h"
#include "storage/tables/job_data_tbl.h"
#include "storage/tables/jobs_tbl.h"
#include "storage/tables/models_tbl.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <stdio.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static struct tempdir dir;
static struct db *db;
static struct db_conn *conn;
static struct arena *arena;
static struct err err;

static int open_db(void **state) {
    err = ERR_INIT;
    tempdir_make(&dir);
    arena = arena_new(1 << 20);
    if (db_open(tempdir_path(&dir, "t.db"), &db, &err) < 0)
        return -1;
    conn = db_writer_conn(db);
    return 0;
}

static int close_db(void **state) {
    db_close(db);
    arena_free(arena);
    tempdir_free(&dir);
    return 0;
}

/* Empties the database and brings it to `version`. */
static void start_at(int version) {
    static const char *const tables[] = {
        "event_gap", "event",      "job_data",      "job_file",  "job_report", "job_label", "job",
        "model",     "model_file", "model_version", "team_blob", "blob",       "meta"};
    char sql[64];
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        snprintf(sql, sizeof sql, "DROP TABLE %s", tables[i]);
        CHECK_OK(stmt_script(conn, sql, &err), &err);
    }
    for (size_t i = 0; i < schema_file_count && schema_files[i].number <= version; i++)
        CHECK_OK(stmt_script(conn, schema_files[i].sql, &err), &err);
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", version);
    CHECK_OK(stmt_script(conn, sql, &err), &err);
}

static void numbers_go_up(void **state) {
    for (size_t i = 0; i < schema_file_count; i++)
        CHECK_INT(schema_files[i].number, (int)i + 1);
    CHECK_INT(migrate_latest(), (int)schema_file_count);
    int64_t version;
    CHECK_INT(stmt_number(conn, "PRAGMA user_version", NO_ARGS, &version, &err), 1);
    CHECK_INT(version, migrate_latest());
}

static void models_stay_when_datasets_come(void **state) {
    start_at(1);
    CHECK_OK(stmt_script(conn,
                         "INSERT INTO model_version (id, team, created_ms, lone, format, "
                         "architecture, parameters, bytes, inspection, files_digest) "
                         "VALUES (7, 'red', 1, 1, 'gguf', 'llama', 5, 10, '{}', 'f');"
                         "INSERT INTO model (team, name, version) VALUES ('red', 'Tiny', 7);"
                         "INSERT INTO job (id, team, state, revision, priority, claim_key, "
                         "attempt, model_version, model_name, recipe_name, recipe_json, "
                         "recipe_digest, labels_json, created_ms, queued_ms, started_ms, "
                         "finished_ms, peak_bytes, disk_bytes, artifact_bytes, artifact_files, "
                         "artifact_lone, suspect, deaths, stage_died) VALUES ('j', 'red', "
                         "'queued', 1, 5, 0, 0, 7, 'Tiny', 'int8', '{}', 'd', '{}', 1, 1, 0, 0, "
                         "0, 0, 0, 0, 0, 0, 0, -1)",
                         &err),
             &err);
    CHECK_OK(migrate_up(conn, &err), &err);
    struct model_row model;
    struct job_row job;
    CHECK_INT(models_tbl_find(conn, MODEL_KIND_MODEL, "red", "tiny", arena, &model, &err), 1);
    CHECK_INT(model.version, 7);
    CHECK_INT(model.kind, MODEL_KIND_MODEL);
    CHECK_UINT(model.samples, 0);
    CHECK_INT(models_tbl_find(conn, MODEL_KIND_DATASET, "red", "tiny", arena, &model, &err), 0);
    CHECK_INT(jobs_tbl_find(conn, "red", "j", arena, &job, &err), 1);
    CHECK_INT(job.model_version, 7);
    CHECK(job.dataset_name == NULL);
}

static void datasets_of_jobs_become_data(void **state) {
    start_at(2);
    CHECK_OK(stmt_script(conn,
                         "INSERT INTO model_version (id, kind, team, created_ms, lone, format, "
                         "architecture, parameters, bytes, inspection, files_digest) "
                         "VALUES (8, 1, 'red', 1, 1, 'arrays', '', 0, 10, '{}', 'f');"
                         "INSERT INTO job (n, id, team, state, revision, priority, claim_key, "
                         "attempt, model_name, recipe_name, recipe_json, recipe_digest, "
                         "labels_json, created_ms, queued_ms, started_ms, finished_ms, "
                         "peak_bytes, disk_bytes, artifact_bytes, artifact_files, artifact_lone, "
                         "suspect, deaths, stage_died, dataset_version, dataset_name) "
                         "SELECT value, 'j' || value, 'red', 'queued', 1, 5, 0, 0, 'm', 'int8', "
                         "'{}', 'd', '{}', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, "
                         "CASE value WHEN 1 THEN 8 END, CASE WHEN value < 3 THEN 'digits' END "
                         "FROM json_each('[1, 2, 3]')",
                         &err),
             &err);
    CHECK_OK(migrate_up(conn, &err), &err);
    static const int64_t versions[] = {8, 0, 0}; /* there, gone, never asked for */
    for (int64_t n = 1; n <= 3; n++) {
        struct job_row job;
        struct job_data data;
        CHECK_INT(jobs_tbl_find_n(conn, n, arena, &job, &err), 1);
        CHECK_OK(job_data_tbl_read(conn, n, arena, &data, &err), &err);
        CHECK_INT(data.versions[DATA_EVALUATION], versions[n - 1]);
        CHECK(n == 3 ? !job.dataset_name : strcmp(job.dataset_name, "digits") == 0);
        CHECK(n == 3 ? !data.names[DATA_EVALUATION]
                     : strcmp(data.names[DATA_EVALUATION], "digits") == 0);
    }
}

static void newer_ones_are_refused(void **state) {
    CHECK_OK(stmt_script(conn, "PRAGMA user_version = 1000", &err), &err);
    CHECK_FAILS(migrate_up(conn, &err), &err, ERR_NEWER_SCHEMA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_go_up, open_db, close_db),
        cmocka_unit_test_setup_teardown(models_stay_when_datasets_come, open_db, close_db),
        cmocka_unit_test_setup_teardown(datasets_of_jobs_become_data, open_db, close_db),
        cmocka_unit_test_setup_teardown(newer_ones_are_refused, open_db, close_db),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
