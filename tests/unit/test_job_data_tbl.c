/* What a job reads: pinned, held while it is unfinished, gone with its files, and then no retry. */
#include "storage/tables/job_data_tbl.h"

#include "storage/tables/blobs_tbl.h"
#include "storage/tables/jobs_tbl.h"
#include "storage/tables/models_tbl.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <string.h>

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

static int64_t put(enum model_kind kind, const char *name, const char *content) {
    struct blob_entry file = {"x.npz", digest_of(content, strlen(content)), 10};
    struct model_row row = {.kind = kind,
                            .team = "red",
                            .name = name,
                            .format = "arrays",
                            .architecture = "",
                            .inspection = "{}",
                            .files_digest = content};
    CHECK_OK(blobs_tbl_hold(conn, &file.digest, 10, "red", db_now_ms(), &err), &err);
    CHECK_OK(models_tbl_put(conn, &row, &file, 1, db_now_ms(), &err), &err);
    return row.version;
}

static int64_t submit(const struct job_data *data) {
    char id[JOB_ID_LEN + 1];
    jobs_tbl_new_id(db_now_ms(), id);
    struct job_row job = {.id = id,
                          .team = "red",
                          .model_version = put(MODEL_KIND_MODEL, "net", "net"),
                          .model_name = "net",
                          .recipe_name = "custom",
                          .recipe_json = "{}",
                          .recipe_digest = "d",
                          .labels_json = "{}"};
    CHECK_OK(jobs_tbl_insert(conn, &job, db_now_ms(), &err), &err);
    CHECK_OK(job_data_tbl_pin(conn, job.n, data, &err), &err);
    return job.n;
}

static struct job_data read_back(int64_t job_n) {
    struct job_data data;
    CHECK_OK(job_data_tbl_read(conn, job_n, arena, &data, &err), &err);
    return data;
}

static void a_job_without_data_has_none(void **state) {
    struct job_data data = read_back(submit(&(struct job_data){0}));
    for (size_t i = 0; i < DATA_PURPOSES; i++) {
        CHECK_INT(data.versions[i], 0);
        CHECK(data.names[i] == NULL);
        CHECK(data_purpose_name((enum data_purpose)i)[0]);
    }
}

static void data_stays_while_a_job_needs_it(void **state) {
    for (size_t i = 0; i < DATA_PURPOSES; i++) {
        int64_t version = put(MODEL_KIND_DATASET, "held", "first");
        struct job_data data = {0};
        data.versions[i] = version;
        data.names[i] = "held";
        int64_t n = submit(&data);
        CHECK_INT(read_back(n).versions[i], version);
        CHECK_TEXT(read_back(n).names[i], "held");
        CHECK_FAILS(models_tbl_delete(conn, MODEL_KIND_DATASET, "red", "held", &err), &err,
                    ERR_IN_USE);
        put(MODEL_KIND_DATASET, "held", "second");
        struct model_row row;
        CHECK_INT(models_tbl_find_version(conn, version, arena, &row, &err), 1);
        const char *now;
        CHECK_INT(jobs_tbl_cancel(conn, n, db_now_ms(), &now, &err), 1);
        CHECK_OK(models_tbl_drop_orphans(conn, &err), &err);
        CHECK_INT(models_tbl_find_version(conn, version, arena, &row, &err), 0);
        CHECK_INT(read_back(n).versions[i], 0);
        CHECK_TEXT(read_back(n).names[i], "held"); /* the name stays to be told */
        CHECK_INT(jobs_tbl_retry(conn, n, db_now_ms(), &err), 0);
        CHECK_OK(models_tbl_delete(conn, MODEL_KIND_DATASET, "red", "held", &err), &err);
        CHECK_INT(jobs_tbl_delete(conn, n, &err), 1);
        CHECK(read_back(n).names[i] == NULL);
    }
}

static void a_retry_needs_data_that_is_there(void **state) {
    struct job_data data = {{[DATA_EVALUATION] = put(MODEL_KIND_DATASET, "set", "set")},
                            {[DATA_EVALUATION] = "set"}};
    int64_t n = submit(&data);
    const char *now;
    CHECK_INT(jobs_tbl_cancel(conn, n, db_now_ms(), &now, &err), 1);
    CHECK_INT(jobs_tbl_retry(conn, n, db_now_ms(), &err), 1);
    CHECK_FAILS(models_tbl_delete(conn, MODEL_KIND_DATASET, "red", "set", &err), &err, ERR_IN_USE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_without_data_has_none, open_db, close_db),
        cmocka_unit_test_setup_teardown(data_stays_while_a_job_needs_it, open_db, close_db),
        cmocka_unit_test_setup_teardown(a_retry_needs_data_that_is_there, open_db, close_db),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
