/*
 * The engine on a real model: a job from submit to artifact, cancel, failure, events, restart with
 * suspects, offloads, admission. The model is the default one of the project.
 */
#include "jobs/engine.h"

#include "jobs/budget.h"
#include "jobs/job.h"
#include "storage/db/stmt.h"
#include "storage/tables/meta_tbl.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct tempdir dir;
static struct store *store;
static struct engine *engine;
static struct arena *arena;
static struct model_row model;

static void start(void) {
    struct err err = ERR_INIT;
    struct engine_options options = {.slots = 2, .memory_bytes = 1 << 30, .threads = 2};
    CHECK_OK(store_open(dir.path, &store, &err), &err);
    CHECK_OK(engine_new(store, &options, &engine, &err), &err);
}

static void stop(void) {
    engine_free(engine);
    store_close(store);
}

struct upload {
    struct staged *staged[16];
    struct blob_entry files[16];
    size_t count;
};

static int put(struct db_conn *conn, void *ctx, struct err *err) {
    struct upload *up = ctx;
    for (size_t i = 0; i < up->count; i++)
        if (staged_publish(up->staged[i], conn, "red", err) < 0)
            return -1;
    return models_tbl_put(conn, &model, up->files, up->count, db_now_ms(), err);
}

static void upload_model(void) {
    static const char *const names[] = {"config.json", "model.safetensors", "tokenizer.json"};
    struct err err = ERR_INIT;
    enum { COUNT = sizeof names / sizeof names[0] };
    struct upload up = {.count = COUNT};
    static char hex[DIGEST_HEX_LEN + 1];
    for (size_t i = 0; i < COUNT; i++) {
        char path[512];
        const char *model_dir = getenv("MODEL_DIR");
        CHECK(model_dir);
        snprintf(path, sizeof path, "%s/%s", model_dir, names[i]);
        int fd = open(path, O_RDONLY);
        CHECK(fd >= 0);
        CHECK_OK(staged_new(store->blobs, UINT64_MAX, 1 << 30, &up.staged[i], &err), &err);
        char buf[65536];
        for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;)
            CHECK_OK(staged_write(up.staged[i], buf, (size_t)n, &err), &err);
        close(fd);
        up.files[i].path = names[i];
        up.files[i].bytes = staged_bytes(up.staged[i]);
        CHECK_OK(staged_seal(up.staged[i], &up.files[i].digest, &err), &err);
    }
    models_tbl_files_digest(up.files, up.count, hex);
    model = (struct model_row){.team = "red",
                               .name = "tiny",
                               .format = "safetensors",
                               .architecture = "llama",
                               .inspection = "{}",
                               .files_digest = hex};
    CHECK_OK(writer_run(store->writer, put, &up, &err), &err);
    for (size_t i = 0; i < up.count; i++)
        staged_discard(up.staged[i]);
}

static int submit(struct db_conn *conn, void *ctx, struct err *err) {
    return queue_submit(engine, conn, ctx, err);
}

static struct job_row make_job(const char *recipe_json, const char *labels) {
    struct err err = ERR_INIT;
    char *id = arena_alloc(arena, JOB_ID_LEN + 1);
    jobs_tbl_new_id(db_now_ms(), id);
    struct job_row row = {.id = id,
                          .team = "red",
                          .priority = 5,
                          .model_version = model.version,
                          .model_name = "tiny",
                          .recipe_name = "custom",
                          .recipe_json = recipe_json,
                          .recipe_digest = "",
                          .labels_json = labels,
                          .peak_bytes = 64 << 20};
    CHECK_OK(writer_run(store->writer, submit, &row, &err), &err);
    return row;
}

static struct job_row reread(int64_t n) {
    struct err err = ERR_INIT;
    struct job_row row;
    struct db_conn *conn = db_read_begin(store->db, &err);
    CHECK_INT(jobs_tbl_find_n(conn, n, arena, &row, &err), 1);
    db_read_end(store->db, conn);
    return row;
}

static struct job_row wait_for(int64_t n, const char *state) {
    for (int i = 0; i < 3000; i++) {
        struct job_row row = reread(n);
        if (strcmp(row.state, state) == 0)
            return row;
        int known = job_state_by_name(row.state);
        if (job_state_terminal((enum job_state)known))
            fail_msg("job became %s, not %s: %s", row.state, state,
                     row.problem_json ? row.problem_json : "");
        usleep(10 * 1000);
    }
    fail_msg("job never became %s", state);
    return reread(n);
}

/* What was staged and not needed (the same bytes were there) goes right after the end was told. */
static void check_nothing_staged(void) {
    for (int i = 0; i < 300 && tempdir_count(&dir, "staging"); i++)
        usleep(10 * 1000);
    CHECK_UINT(tempdir_count(&dir, "staging"), 0);
}

static int open_all(void **state) {
    tempdir_make(&dir);
    arena = arena_new(256 << 20);
    start();
    upload_model();
    return 0;
}

static int close_all(void **state) {
    stop();
    arena_free(arena);
    tempdir_free(&dir);
    return 0;
}

#define INT8 "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\"}]}"

static _Atomic int woken;

static void wake(void *self) {
    atomic_fetch_add(&woken, 1);
}

static void a_job_runs_to_its_artifact(void **state) {
    struct err err = ERR_INIT;
    struct job_row job = make_job(INT8, "{}");
    struct event_sub *sub = engine_subscribe(engine, job.n, wake, NULL);
    usleep(50 * 1000);
    CHECK_TEXT(reread(job.n).state, "queued"); /* nothing is claimed before engine_run() */
    engine_run(engine);
    struct job_row row = wait_for(job.n, "succeeded");
    CHECK_INT(row.attempt, 1);
    CHECK(row.artifact_bytes > 1000000 && row.artifact_sha256 && row.summary_json);
    CHECK(!row.artifact_lone);
    CHECK_HOLDS(row.progress_json, "\"stage\":\"verify\"");
    CHECK(woken >= 2);
    engine_unsubscribe(engine, sub);

    struct blob_entry *files;
    size_t count;
    struct db_conn *conn = db_read_begin(store->db, &err);
    CHECK_OK(jobs_tbl_files(conn, job.n, arena, &files, &count, &err), &err);
    const char *report;
    CHECK_INT(jobs_tbl_report(conn, job.n, arena, &report, &err), 1);
    db_read_end(store->db, conn);
    CHECK_INT((int)count, row.artifact_files);
    CHECK_HOLDS(report, "\"tensors\"");
    struct source *source;
    for (size_t i = 0; i < count; i++) {
        CHECK_OK(blob_source(store->blobs, &files[i].digest, files[i].path, &source, &err), &err);
        CHECK_UINT(source->bytes, files[i].bytes);
        source_close(source);
    }
    check_nothing_staged();

    struct event_text *events;
    CHECK_OK(engine_events(engine, job.n, 0, 100, arena, &events, &count, &err), &err);
    CHECK(count >= 4);
    CHECK_TEXT(events[0].type, "state");
    CHECK_HOLDS(events[0].json, "\"queued\"");
    CHECK(events[count - 1].terminal);
    CHECK_HOLDS(events[count - 1].json, "\"succeeded\"");
    for (size_t i = 1; i < count; i++)
        CHECK(events[i].id > events[i - 1].id);
    size_t rest;
    CHECK_OK(engine_events(engine, job.n, events[count - 2].id, 100, arena, &events, &rest, &err),
             &err);
    CHECK_UINT(rest, 1);
}

/* What a new process reads from the database is what the window had. */
static void events_are_the_same_after_a_restart(void **state) {
    struct err err = ERR_INIT;
    struct job_row job = make_job(INT8, "{}");
    wait_for(job.n, "succeeded");
    struct event_text *before, *after;
    size_t count, again;
    CHECK_OK(engine_events(engine, job.n, 0, 100, arena, &before, &count, &err), &err);
    stop();
    start();
    engine_run(engine);
    CHECK_OK(engine_events(engine, job.n, 0, 100, arena, &after, &again, &err), &err);
    CHECK_UINT(again, count);
    for (size_t i = 0; i < count; i++) {
        CHECK_TEXT(after[i].json, before[i].json);
        CHECK_INT(after[i].terminal, before[i].terminal);
    }
}

static void a_failure_is_a_problem(void **state) {
    struct job_row job =
        make_job("{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"q4_0\"}]}", "{}");
    struct job_row row = wait_for(job.n, "failed");
    CHECK_HOLDS(row.problem_json, "\"/problems/");
    CHECK_HOLDS(row.problem_json, "\"pointer\"");
    check_nothing_staged();
}

struct ask {
    const char *id;
    bool changed;
};

static int cancel(struct db_conn *conn, void *ctx, struct err *err) {
    struct ask *ask = ctx;
    return queue_cancel(engine, conn, "red", ask->id, &ask->changed, err);
}

static int retry(struct db_conn *conn, void *ctx, struct err *err) {
    struct ask *ask = ctx;
    return queue_retry(engine, conn, "red", ask->id, &ask->changed, err);
}

static int delete (struct db_conn *conn, void *ctx, struct err *err) {
    return queue_delete(engine, conn, "red", ((struct ask *)ctx)->id, err);
}

static void cancel_retry_delete(void **state) {
    struct err err = ERR_INIT;
    struct job_row jobs[6];
    for (int i = 0; i < 6; i++) {
        jobs[i] = make_job(INT8, "{}");
        struct ask ask = {.id = jobs[i].id};
        usleep((unsigned)i * 3000);
        if (writer_run(store->writer, cancel, &ask, &err) < 0) {
            CHECK_INT(err.code, ERR_STATE); /* it was quicker */
            err_clear(&err);
        }
    }
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < 500 && !job_state_terminal(
                                       (enum job_state)job_state_by_name(reread(jobs[i].n).state));
             k++)
            usleep(10 * 1000);
        struct ask ask = {.id = jobs[i].id};
        bool was_cancelled = strcmp(reread(jobs[i].n).state, "cancelled") == 0;
        if (was_cancelled) {
            CHECK_OK(writer_run(store->writer, retry, &ask, &err), &err);
            CHECK(ask.changed);
            wait_for(jobs[i].n, "succeeded");
        }
        CHECK_OK(writer_run(store->writer, delete, &ask, &err), &err);
        CHECK_FAILS(writer_run(store->writer, delete, &ask, &err), &err, ERR_NOT_FOUND);
    }
    check_nothing_staged();
}

static int fake_crash(struct db_conn *conn, void *ctx, struct err *err) {
    struct job_row *job = ctx;
    return stmt_run(conn, "UPDATE job SET state = 'running', attempt = 1 WHERE n = ?1",
                    ARGS(ARG_INT(job->n)), err) == 1
               ? 0
               : -1;
}

static int mark_unclean(struct db_conn *conn, void *ctx, struct err *err) {
    return meta_tbl_set(conn, META_RUNNING, "yes", err);
}

#define IN_A_JOB "signal 06 job\n"

static void crash_with(struct job_row *job, const char *mark) {
    struct err err = ERR_INIT;
    CHECK_OK(writer_run(store->writer, fake_crash, job, &err), &err);
    engine_free(engine);
    CHECK_OK(writer_run(store->writer, mark_unclean, NULL, &err), &err);
    store_close(store);
    if (mark)
        tempdir_write(&dir, "died", mark, strlen(mark));
    start();
}

static void suspects_are_counted_only_when_marked_and_alone(void **state) {
    stop();
    start(); /* not running: nothing is claimed */
    struct job_row job = make_job(INT8, "{}");
    crash_with(&job, IN_A_JOB);
    CHECK_INT(reread(job.n).deaths, 0); /* it was no suspect yet */
    CHECK(reread(job.n).suspect);
    crash_with(&job, NULL); /* a SIGKILL from outside consumes nothing */
    CHECK_INT(reread(job.n).deaths, 0);
    crash_with(&job, "signal 11 MHD-worker\n"); /* nor does a death of the front end */
    CHECK_INT(reread(job.n).deaths, 0);
    crash_with(&job, IN_A_JOB);
    CHECK_INT(reread(job.n).deaths, 1);
    crash_with(&job, IN_A_JOB);
    CHECK_INT(reread(job.n).deaths, 2);
    struct job_row good = make_job(INT8, "{}");
    crash_with(&job, IN_A_JOB);
    CHECK_TEXT(reread(job.n).state, "failed");
    CHECK_HOLDS(reread(job.n).problem_json, "/problems/crashed");
    engine_run(engine);
    wait_for(good.n, "succeeded");
    stop();
    start();
    struct job_row lone = make_job(INT8, "{}");
    crash_with(&lone, IN_A_JOB);
    CHECK(reread(lone.n).suspect);
    struct job_row beside = make_job(INT8, "{}");
    engine_run(engine);
    wait_for(lone.n, "succeeded"); /* a suspect that gets through is none any more */
    wait_for(beside.n, "succeeded");
    CHECK(!reread(lone.n).suspect);
}

/* Nobody needs the files of a replaced model any more when the last job that did was cancelled. */
static void a_cancelled_job_lets_its_version_go(void **state) {
    struct err err = ERR_INIT;
    stop();
    start(); /* not running: nothing is claimed */
    struct job_row job = make_job(INT8, "{}");
    upload_model();
    CHECK(reread(job.n).model_version != 0);
    struct ask ask = {.id = job.id};
    CHECK_OK(writer_run(store->writer, cancel, &ask, &err), &err);
    CHECK_INT(reread(job.n).model_version, 0);
    CHECK_FAILS(writer_run(store->writer, retry, &ask, &err), &err, ERR_STATE);
    engine_run(engine);
}

static int set_progress(struct db_conn *conn, void *ctx, struct err *err) {
    struct job_row *job = ctx;
    return stmt_run(conn, "UPDATE job SET progress_json = ?2 WHERE n = ?1",
                    ARGS(ARG_INT(job->n), ARG_TEXT(job->progress_json)), err) == 1
               ? 0
               : -1;
}

/* Progress is stored late: a suspect that dies in its stage again is not taken for one that died
 * earlier, or it would count as innocent the next time. */
static void a_suspect_keeps_the_stage_it_died_in(void **state) {
    struct err err = ERR_INIT;
    stop();
    start();
    struct job_row job = make_job(INT8, "{}");
    job.progress_json = "{\"stage_index\":2}";
    CHECK_OK(writer_run(store->writer, set_progress, &job, &err), &err);
    crash_with(&job, IN_A_JOB);
    CHECK_INT(reread(job.n).stage_died, 2);
    CHECK(!reread(job.n).progress_json); /* it waits: there is none */
    job.progress_json = "{\"stage_index\":0}";
    CHECK_OK(writer_run(store->writer, set_progress, &job, &err), &err);
    crash_with(&job, IN_A_JOB);
    CHECK_INT(reread(job.n).stage_died, 2);
    CHECK_INT(reread(job.n).deaths, 1);
    crash_with(&job, IN_A_JOB);
    crash_with(&job, IN_A_JOB);
    CHECK_TEXT(reread(job.n).state, "failed");
    struct event_text *events;
    size_t count;
    CHECK_OK(engine_events(engine, job.n, 0, 100, arena, &events, &count, &err), &err);
    CHECK(count > 2);
    CHECK_TEXT(events[count - 2].type, "error");
    CHECK_HOLDS(events[count - 2].json, "/problems/crashed");
    CHECK(events[count - 1].terminal);
    engine_run(engine);
}

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
};

static int wait_at_gate(struct db_conn *conn, void *ctx, struct err *err) {
    struct gate *gate = ctx;
    pthread_mutex_lock(&gate->lock);
    while (!gate->open)
        pthread_cond_wait(&gate->opened, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    return 0;
}

/* The end of a job is tried again while the machine cannot store it; what no waiting mends fails
 * the job, or it would hold its slot for ever. */
static void staged_files_that_vanish_fail_the_job(void **state) {
    static struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    static struct write at_gate = {.run = wait_at_gate, .ctx = &gate};
    struct job_row job = make_job(
        "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\",\"group_size\":64}]}", "{}");
    wait_for(job.n, "running");
    writer_post(store->writer, &at_gate); /* no end can be stored now */
    unsigned depth = 0;
    for (int quiet_ms = 0, i = 0; quiet_ms < 1500 && i < 3000; i++, quiet_ms += 10) {
        if (writer_depth(store->writer) != depth)
            quiet_ms = 0;
        depth = writer_depth(store->writer);
        usleep(10 * 1000);
    }
    char command[400];
    snprintf(command, sizeof command, "rm -f '%s'/staging/*", dir.path);
    CHECK_INT(system(command), 0);
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_signal(&gate.opened);
    pthread_mutex_unlock(&gate.lock);
    struct job_row row = wait_for(job.n, "failed");
    CHECK_HOLDS(row.problem_json, "\"/problems/");
}

struct edit {
    const char *id;
    int priority;
    const char *labels;
};

static int edit(struct db_conn *conn, void *ctx, struct err *err) {
    const struct edit *edit = ctx;
    return queue_edit(engine, conn, "red", edit->id, 0, edit->priority, edit->labels, err);
}

static void a_job_that_is_over_keeps_its_priority(void **state) {
    struct err err = ERR_INIT;
    struct job_row job = make_job(INT8, "{}");
    wait_for(job.n, "succeeded");
    struct edit priority = {job.id, 9, NULL}, labels = {job.id, -1, "{\"a\":\"b\"}"};
    CHECK_FAILS(writer_run(store->writer, edit, &priority, &err), &err, ERR_STATE);
    CHECK_INT(reread(job.n).priority, 5);
    CHECK_OK(writer_run(store->writer, edit, &labels, &err), &err);
    CHECK_TEXT(reread(job.n).labels_json, "{\"a\":\"b\"}");
}

struct offloaded {
    struct offload offload;
    _Atomic int *ran, *done;
};

static void offload_runs(void *ctx) {
    usleep(1000);
    atomic_fetch_add(((struct offloaded *)ctx)->ran, 1);
}

static void offload_is_done(void *ctx) {
    atomic_fetch_add(((struct offloaded *)ctx)->done, 1);
}

static void offloads_all_run(void **state) {
    enum { N = 60 };
    static struct offloaded items[N];
    _Atomic int ran = 0, done = 0;
    struct err err = ERR_INIT;
    for (int i = 0; i < N; i++) {
        items[i] = (struct offloaded){.ran = &ran, .done = &done};
        items[i].offload = (struct offload){
            .run = offload_runs, .done = offload_is_done, .ctx = &items[i], .slow = i % 10 == 0};
        CHECK_OK(engine_offload(engine, &items[i].offload, &err), &err);
    }
    for (int i = 0; i < 500 && done < N; i++)
        usleep(10 * 1000);
    CHECK_INT(ran, N);
    CHECK_INT(done, N);
}

static void the_budget_admits_by_bytes_and_slots(void **state) {
    struct budget budget;
    uint64_t reserved;
    unsigned running;
    budget_init(&budget, 100, 3);
    CHECK(budget_take(&budget, 60));
    CHECK(!budget_take(&budget, 50));
    CHECK(budget_take(&budget, 40));
    CHECK(budget_take(&budget, 0));
    CHECK(!budget_take(&budget, 0)); /* no slot */
    budget_give(&budget, 60);
    budget_usage(&budget, &reserved, &running);
    CHECK_UINT(reserved, 40);
    CHECK_UINT(running, 2);
    budget_give(&budget, 40);
    budget_give(&budget, 0);
    CHECK(budget_take(&budget, 1000)); /* larger than the budget, but alone */
    CHECK(!budget_take(&budget, 1));
    budget_give(&budget, 1000);
    budget_destroy(&budget);
    CHECK(budget_available_bytes() > 1 << 20);
}

static void transitions_are_the_drawing(void **state) {
    unsigned allowed = 0;
    for (int from = 0; from < JOB_STATES; from++)
        for (int to = 0; to < JOB_STATES; to++)
            allowed += job_transition_ok((enum job_state)from, (enum job_state)to);
    CHECK_UINT(allowed, 2 + 4 + 2 + 0 + 1 + 1);
    CHECK(job_transition_ok(JOB_FAILED, JOB_QUEUED));
    CHECK(!job_transition_ok(JOB_SUCCEEDED, JOB_QUEUED));
    CHECK(!job_transition_ok(JOB_CANCELLING, JOB_SUCCEEDED)); /* what was promised is kept */
    for (int i = 0; i < JOB_STATES; i++)
        CHECK_INT(job_state_by_name(job_state_name((enum job_state)i)), i);
    CHECK_INT(job_state_by_name("none"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_runs_to_its_artifact),
        cmocka_unit_test(events_are_the_same_after_a_restart),
        cmocka_unit_test(a_failure_is_a_problem),
        cmocka_unit_test(cancel_retry_delete),
        cmocka_unit_test(suspects_are_counted_only_when_marked_and_alone),
        cmocka_unit_test(a_cancelled_job_lets_its_version_go),
        cmocka_unit_test(a_suspect_keeps_the_stage_it_died_in),
        cmocka_unit_test(staged_files_that_vanish_fail_the_job),
        cmocka_unit_test(a_job_that_is_over_keeps_its_priority),
        cmocka_unit_test(offloads_all_run),
        cmocka_unit_test(the_budget_admits_by_bytes_and_slots),
        cmocka_unit_test(transitions_are_the_drawing),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
