/* Models, jobs and events as rows: names, versions, claims, fences, retries, labels, thinning. */
#include "storage/tables/jobs_tbl.h"

#include "storage/db/stmt.h"
#include "storage/db/writer.h"
#include "storage/tables/blobs_tbl.h"
#include "storage/tables/events_tbl.h"
#include "storage/tables/models_tbl.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static struct tempdir dir;
static struct db *db;
static struct db_conn *conn;
static struct arena *arena;
static struct err err;

static int open_db(void **state) {
    err = ERR_INIT;
    tempdir_make(&dir);
    arena = arena_new(64 << 20);
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

static int64_t put_model(const char *name, const char *content) {
    struct blob_entry file = {"model.safetensors", digest_of(content, strlen(content)), 10};
    struct model_row row = {.team = "red",
                            .name = name,
                            .lone = true,
                            .format = "safetensors",
                            .architecture = "",
                            .parameters = 5,
                            .bytes = 10,
                            .inspection = "{}"};
    char hex[DIGEST_HEX_LEN + 1];
    models_tbl_files_digest(&file, 1, hex);
    row.files_digest = hex;
    CHECK_OK(blobs_tbl_hold(conn, &file.digest, 10, "red", db_now_ms(), &err), &err);
    CHECK_OK(models_tbl_put(conn, &row, &file, 1, db_now_ms(), &err), &err);
    return row.version;
}

static struct job_row submit(int64_t version, int priority, const char *labels) {
    static char ids[64][JOB_ID_LEN + 1];
    static unsigned used;
    char *id = ids[used++ % 64];
    jobs_tbl_new_id(db_now_ms(), id);
    struct job_row row = {.id = id,
                          .team = "red",
                          .priority = priority,
                          .model_version = version,
                          .model_name = "m",
                          .recipe_name = "int8",
                          .recipe_json = "{}",
                          .recipe_digest = "d",
                          .labels_json = labels,
                          .peak_bytes = 100};
    CHECK_OK(jobs_tbl_insert(conn, &row, db_now_ms(), &err), &err);
    return row;
}

static struct job_row reread(int64_t n) {
    struct job_row row;
    CHECK_INT(jobs_tbl_find_n(conn, n, arena, &row, &err), 1);
    return row;
}

static void finish_all(void) {
    CHECK(stmt_run(conn, "DELETE FROM job", NO_ARGS, &err) >= 0);
}

static void names_are_one_whatever_the_case(void **state) {
    int64_t first = put_model("Tiny", "one");
    struct model_row row;
    CHECK_INT(models_tbl_find(conn, MODEL_KIND_MODEL, "red", "tiny", arena, &row, &err), 1);
    CHECK_INT(row.version, first);
    CHECK_INT(models_tbl_find(conn, MODEL_KIND_MODEL, "blue", "tiny", arena, &row, &err), 0);
    int64_t second = put_model("TINY", "two");
    CHECK(second > first);
    CHECK_INT(models_tbl_find(conn, MODEL_KIND_MODEL, "red", "tiny", arena, &row, &err), 1);
    CHECK_INT(row.version, second);
    CHECK_TEXT(row.name, "TINY");
    CHECK_INT(models_tbl_find_version(conn, first, arena, &row, &err), 0); /* nobody needs it */
    struct blob_entry *files;
    size_t count;
    CHECK_OK(models_tbl_files(conn, second, arena, &files, &count, &err), &err);
    CHECK_UINT(count, 1);
    CHECK_TEXT(files[0].path, "model.safetensors");
}

static void a_version_stays_while_a_job_needs_it(void **state) {
    int64_t version = put_model("pinned", "a");
    struct job_row job = submit(version, 5, "{}");
    CHECK_FAILS(models_tbl_delete(conn, MODEL_KIND_MODEL, "red", "pinned", &err), &err, ERR_IN_USE);
    put_model("pinned", "b"); /* the name moves on; the job keeps what it was promised */
    struct model_row row;
    CHECK_INT(models_tbl_find_version(conn, version, arena, &row, &err), 1);
    const char *now;
    CHECK_INT(jobs_tbl_cancel(conn, job.n, db_now_ms(), &now, &err), 1);
    CHECK_OK(models_tbl_drop_orphans(conn, &err), &err);
    CHECK_INT(models_tbl_find_version(conn, version, arena, &row, &err), 0);
    CHECK_INT(reread(job.n).model_version, 0);
    CHECK_INT(jobs_tbl_retry(conn, job.n, db_now_ms(), &err), 0); /* the files are gone */
    CHECK_OK(models_tbl_delete(conn, MODEL_KIND_MODEL, "red", "pinned", &err), &err);
    CHECK_FAILS(models_tbl_delete(conn, MODEL_KIND_MODEL, "red", "pinned", &err), &err,
                ERR_NOT_FOUND);
    finish_all();
}

static int64_t put_dataset(const char *name, const char *content) {
    struct blob_entry file = {"x.npz", digest_of(content, strlen(content)), 10};
    struct model_row row = {.kind = MODEL_KIND_DATASET,
                            .team = "red",
                            .name = name,
                            .format = "arrays",
                            .architecture = "",
                            .samples = 12,
                            .inspection = "{}",
                            .files_digest = content};
    CHECK_OK(blobs_tbl_hold(conn, &file.digest, 10, "red", db_now_ms(), &err), &err);
    CHECK_OK(models_tbl_put(conn, &row, &file, 1, db_now_ms(), &err), &err);
    return row.version;
}

static void datasets_have_names_of_their_own(void **state) {
    int64_t model = put_model("digits", "m"), dataset = put_dataset("Digits", "d");
    struct model_row row, *rows;
    size_t count;
    CHECK_INT(models_tbl_find(conn, MODEL_KIND_DATASET, "red", "digits", arena, &row, &err), 1);
    CHECK_INT(row.version, dataset);
    CHECK_INT(row.kind, MODEL_KIND_DATASET);
    CHECK_UINT(row.samples, 12);
    CHECK_INT(models_tbl_find(conn, MODEL_KIND_MODEL, "red", "digits", arena, &row, &err), 1);
    CHECK_INT(row.version, model);
    struct model_list_query query = {.team = "red", .kind = MODEL_KIND_DATASET, .limit = 10};
    CHECK_OK(models_tbl_list(conn, &query, arena, &rows, &count, &err), &err);
    CHECK_UINT(count, 1);
    CHECK_TEXT(rows[0].name, "Digits");
    CHECK_OK(models_tbl_delete(conn, MODEL_KIND_MODEL, "red", "digits", &err), &err);
    CHECK_INT(models_tbl_find(conn, MODEL_KIND_DATASET, "red", "digits", arena, &row, &err), 1);
    CHECK_TEXT(model_kind_name(row.kind), "dataset");
    const char *nearest = NULL;
    CHECK_INT(models_tbl_nearest(conn, MODEL_KIND_DATASET, "red", "digit", arena, &nearest, &err),
              1);
    CHECK_TEXT(nearest, "Digits");
    CHECK_INT(models_tbl_nearest(conn, MODEL_KIND_DATASET, "red", "faces", arena, &nearest, &err),
              0);
    CHECK_INT(models_tbl_nearest(conn, MODEL_KIND_DATASET, "blue", "digit", arena, &nearest, &err),
              0);
}

static void ids_sort_by_time(void **state) {
    char a[JOB_ID_LEN + 1], b[JOB_ID_LEN + 1];
    jobs_tbl_new_id(1000, a);
    jobs_tbl_new_id(1001, b);
    CHECK(strcmp(a, b) < 0);
    CHECK_UINT(strlen(a), JOB_ID_LEN);
    jobs_tbl_new_id(1001, a);
    CHECK(strcmp(a, b) != 0);
}

static void the_highest_priority_goes_first_and_waiting_ages(void **state) {
    int64_t version = put_model("m", "x");
    struct job_row low = submit(version, 1, "{}");
    struct job_row high = submit(version, 9, "{}");
    struct job_row row;
    int64_t position;
    CHECK_INT(jobs_tbl_peek(conn, false, arena, &row, &err), 1);
    CHECK_INT(row.n, high.n);
    CHECK_INT(jobs_tbl_position(conn, &low, &position, &err), 1);
    CHECK_INT(position, 1);
    /* An hour and a half is worth nine steps. */
    CHECK(stmt_run(conn, "UPDATE job SET claim_key = claim_key - 5400000 WHERE n = ?1",
                   ARGS(ARG_INT(low.n)), &err) == 1);
    CHECK_INT(jobs_tbl_peek(conn, false, arena, &row, &err), 1);
    CHECK_INT(row.n, low.n);
    finish_all();
}

/* Suspects are claimed before all others (engine.c), so they stand before them in the queue. */
static void suspects_stand_in_front(void **state) {
    int64_t version = put_model("m", "x");
    submit(version, 9, "{}");
    struct job_row other = submit(version, 5, "{}"), suspect = submit(version, 0, "{}");
    int64_t position;
    CHECK(stmt_run(conn, "UPDATE job SET suspect = 1 WHERE n = ?1", ARGS(ARG_INT(suspect.n)),
                   &err) == 1);
    suspect = reread(suspect.n);
    CHECK_INT(jobs_tbl_position(conn, &suspect, &position, &err), 1);
    CHECK_INT(position, 0);
    CHECK_INT(jobs_tbl_position(conn, &other, &position, &err), 1);
    CHECK_INT(position, 2);
    finish_all();
}

/* Who is acquitted says where: its next death is put down to that stage. */
static void an_acquittal_stores_the_stage(void **state) {
    int64_t version = put_model("m", "x");
    struct job_row job = submit(version, 5, "{}"), row;
    CHECK_INT(jobs_tbl_claim(conn, job.n, db_now_ms(), arena, &row, &err), 1);
    CHECK_INT(jobs_tbl_clear_suspect(conn, job.n, 2, "{\"stage_index\":3}", &err), 0);
    CHECK_INT(jobs_tbl_clear_suspect(conn, job.n, 1, "{\"stage_index\":3}", &err), 1);
    CHECK_TEXT(reread(job.n).progress_json, "{\"stage_index\":3}");
    CHECK_INT(jobs_tbl_clear_suspect(conn, job.n, 1, NULL, &err), 1);
    CHECK_TEXT(reread(job.n).progress_json, "{\"stage_index\":3}");
    finish_all();
}

static void the_attempt_is_a_fence(void **state) {
    int64_t version = put_model("m", "x");
    struct job_row job = submit(version, 5, "{}"), row;
    CHECK_INT(jobs_tbl_claim(conn, job.n, db_now_ms(), arena, &row, &err), 1);
    CHECK_TEXT(row.state, "running");
    CHECK_INT(row.attempt, 1);
    CHECK_INT(jobs_tbl_claim(conn, job.n, db_now_ms(), arena, &row, &err), 0); /* once only */
    struct job_finish finish = {.state = "succeeded", .report_json = "{\"r\":1}"};
    CHECK_INT(jobs_tbl_finish(conn, job.n, 0, &finish, db_now_ms(), &err), 0);
    CHECK_INT(jobs_tbl_progress(conn, job.n, 2, "{}", &err), 0);
    CHECK_INT(jobs_tbl_progress(conn, job.n, 1, "{\"done\":1}", &err), 1);
    CHECK_INT(jobs_tbl_finish(conn, job.n, 1, &finish, db_now_ms(), &err), 1);
    CHECK_INT(jobs_tbl_finish(conn, job.n, 1, &finish, db_now_ms(), &err), 0); /* over is over */
    struct job_row done = reread(job.n);
    CHECK_TEXT(done.state, "succeeded");
    CHECK_INT(done.revision, 3);
    const char *report;
    CHECK_INT(jobs_tbl_report(conn, job.n, arena, &report, &err), 1);
    CHECK_TEXT(report, "{\"r\":1}");
    CHECK_INT(jobs_tbl_retry(conn, job.n, db_now_ms(), &err), 0); /* only what failed */
    CHECK_INT(jobs_tbl_delete(conn, job.n, &err), 1);
    CHECK_INT(jobs_tbl_report(conn, job.n, arena, &report, &err), 0);
}

static void cancel_by_state(void **state) {
    int64_t version = put_model("m", "x");
    struct job_row queued = submit(version, 5, "{}"), running = submit(version, 5, "{}"), row;
    const char *now;
    CHECK_INT(jobs_tbl_cancel(conn, queued.n, db_now_ms(), &now, &err), 1);
    CHECK_TEXT(now, "cancelled");
    CHECK_INT(jobs_tbl_claim(conn, running.n, db_now_ms(), arena, &row, &err), 1);
    CHECK_INT(jobs_tbl_cancel(conn, running.n, db_now_ms(), &now, &err), 1);
    CHECK_TEXT(now, "cancelling");
    CHECK_INT(jobs_tbl_cancel(conn, running.n, db_now_ms(), &now, &err), 0);
    CHECK_INT(jobs_tbl_requeue(conn, running.n, 1, &err), 0);
    CHECK_INT(jobs_tbl_delete(conn, running.n, &err), 0);
    CHECK_INT(jobs_tbl_retry(conn, queued.n, db_now_ms(), &err), 1);
    CHECK_TEXT(reread(queued.n).state, "queued");
    finish_all();
}

static void lists_are_filtered_and_paged(void **state) {
    int64_t version = put_model("m", "x");
    submit(version, 5, "{\"team\":\"vision\"}");
    struct job_row b = submit(version, 5, "{\"team\":\"text\",\"x\":\"y\"}");
    submit(version, 5, "{}");
    struct job_row *rows;
    size_t count;
    struct job_list_query q = {.team = "red", .limit = 2};
    CHECK_OK(jobs_tbl_list(conn, &q, arena, &rows, &count, &err), &err);
    CHECK_UINT(count, 2);
    CHECK(rows[0].n > rows[1].n);
    q.before_n = rows[1].n;
    CHECK_OK(jobs_tbl_list(conn, &q, arena, &rows, &count, &err), &err);
    CHECK_UINT(count, 1);
    q = (struct job_list_query){
        .team = "red", .limit = 9, .label_key = "team", .label_value = "text"};
    CHECK_OK(jobs_tbl_list(conn, &q, arena, &rows, &count, &err), &err);
    CHECK_UINT(count, 1);
    CHECK_INT(rows[0].n, b.n);
    CHECK_INT(jobs_tbl_edit(conn, b.n, 7, 3, "{}", &err), 0); /* another revision */
    CHECK_INT(jobs_tbl_edit(conn, b.n, 1, 3, "{\"team\":\"new\"}", &err), 1);
    CHECK_OK(jobs_tbl_list(conn, &q, arena, &rows, &count, &err), &err);
    CHECK_UINT(count, 0);
    q = (struct job_list_query){.team = "blue", .limit = 9};
    CHECK_OK(jobs_tbl_list(conn, &q, arena, &rows, &count, &err), &err);
    CHECK_UINT(count, 0);
    finish_all();
}

static void three_deaths_end_a_job(void **state) {
    int64_t version = put_model("m", "x");
    struct job_row job = submit(version, 5, "{}"), row;
    for (int deaths = 0; deaths < 3; deaths++) {
        CHECK_INT(jobs_tbl_claim(conn, job.n, db_now_ms(), arena, &row, &err), 1);
        CHECK_INT(row.deaths, deaths);
        CHECK_INT(
            jobs_tbl_after_crash(conn, &row, 1, deaths + 1, 3, "{\"p\":1}", db_now_ms(), &err), 1);
        row = reread(job.n);
        CHECK_TEXT(row.state, deaths < 2 ? "queued" : "failed");
        CHECK_INT(row.suspect, deaths < 2);
        CHECK_INT(jobs_tbl_peek(conn, true, arena, &row, &err), deaths < 2);
    }
    CHECK_TEXT(reread(job.n).problem_json, "{\"p\":1}");
    finish_all();
}

static void events_grow_and_are_thinned(void **state) {
    int64_t version = put_model("m", "x");
    struct job_row job = submit(version, 5, "{}");
    int64_t id = 0, before = 0;
    CHECK_OK(events_tbl_append(conn, job.n, "state", "{}", 1, &before, &err), &err);
    CHECK(stmt_run(conn, "BEGIN", NO_ARGS, &err) >= 0);
    for (int i = 0; i < EVENTS_PROGRESS_MAX + 1; i++) {
        CHECK_OK(events_tbl_append(conn, job.n, "progress", "{}", 2, &id, &err), &err);
        CHECK(id > before);
        before = id;
    }
    CHECK(stmt_run(conn, "COMMIT", NO_ARGS, &err) >= 0);
    struct event_row *rows;
    size_t count;
    CHECK_OK(events_tbl_since(conn, job.n, 0, 10000, arena, &rows, &count, &err), &err);
    CHECK_UINT(count, EVENTS_PROGRESS_MAX + 2);
    CHECK_INT(events_tbl_gap(conn, job.n, 0, &id, &err), 0);
    CHECK_OK(events_tbl_thin(conn, job.n, &err), &err);
    CHECK_OK(events_tbl_since(conn, job.n, 0, 10000, arena, &rows, &count, &err), &err);
    CHECK_UINT(count, EVENTS_PROGRESS_MAX / 2 + 1);
    CHECK_TEXT(rows[0].type, "state"); /* what happened is never thinned */
    CHECK_INT(events_tbl_gap(conn, job.n, 0, &id, &err), 1);
    CHECK_INT(id, before);
    CHECK_INT(events_tbl_gap(conn, job.n, before, &id, &err), 0);
    finish_all();
    CHECK_OK(events_tbl_since(conn, job.n, 0, 10000, arena, &rows, &count, &err), &err);
    CHECK_UINT(count, 0); /* deleted with the job */
}

/* Many threads ask the writer for the next job; every job is taken exactly once. */
enum { CLAIMS = 400, CLAIMERS = 8 };
static struct writer *writer;
static _Atomic int taken;

static int claim_next(struct db_conn *c, void *ctx, struct err *e) {
    struct arena *own = arena_new(1 << 20);
    struct job_row row;
    int found = jobs_tbl_peek(c, false, own, &row, e);
    if (found == 1)
        found = jobs_tbl_claim(c, row.n, db_now_ms(), own, &row, e);
    if (found == 1)
        atomic_fetch_add(&taken, 1);
    *(int *)ctx = found;
    arena_free(own);
    return found < 0 ? -1 : 0;
}

static void *claimer(void *arg) {
    int found = 1;
    while (found == 1)
        if (writer_run(writer, claim_next, &found, NULL) < 0)
            return NULL;
    return NULL;
}

static void every_job_is_claimed_once(void **state) {
    int64_t version = put_model("m", "x");
    CHECK(stmt_run(conn, "BEGIN", NO_ARGS, &err) >= 0);
    for (int i = 0; i < CLAIMS; i++)
        submit(version, 5, "{}");
    CHECK(stmt_run(conn, "COMMIT", NO_ARGS, &err) >= 0);
    CHECK_OK(writer_start(db, &writer, &err), &err);
    pthread_t threads[CLAIMERS];
    for (int i = 0; i < CLAIMERS; i++)
        pthread_create(&threads[i], NULL, claimer, NULL);
    for (int i = 0; i < CLAIMERS; i++)
        pthread_join(threads[i], NULL);
    writer_stop(writer);
    CHECK_INT(taken, CLAIMS);
    int64_t attempts = 0;
    CHECK_INT(stmt_number(conn, "SELECT sum(attempt) FROM job", NO_ARGS, &attempts, &err), 1);
    CHECK_INT(attempts, CLAIMS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_one_whatever_the_case),
        cmocka_unit_test(a_version_stays_while_a_job_needs_it),
        cmocka_unit_test(datasets_have_names_of_their_own),
        cmocka_unit_test(ids_sort_by_time),
        cmocka_unit_test(the_highest_priority_goes_first_and_waiting_ages),
        cmocka_unit_test(suspects_stand_in_front),
        cmocka_unit_test(an_acquittal_stores_the_stage),
        cmocka_unit_test(the_attempt_is_a_fence),
        cmocka_unit_test(cancel_by_state),
        cmocka_unit_test(lists_are_filtered_and_paged),
        cmocka_unit_test(three_deaths_end_a_job),
        cmocka_unit_test(events_grow_and_are_thinned),
        cmocka_unit_test(every_job_is_claimed_once),
    };
    return cmocka_run_group_tests(tests, open_db, close_db);
}
