/*
 * One job, from claim to terminal state, on one thread.
 *
 *   open the version's files → parse the recipe → open the data it reads → plan →
 *   run the pipeline into staged files → lay out and hash the tar →
 *   publish files, report and state in one transaction
 *
 * The attempt number guards every write. If the machine cannot store the end (disk full), the
 * thread keeps trying: the work is done and must not be lost.
 */
#include "compress/base/counters.h"
#include "compress/base/log.h"
#include "compress/base/problemdoc.h"
#include "compress/recipe/pipeline.h"
#include "jobs/crash.h"
#include "jobs/engine_private.h"
#include "jobs/job.h"
#include "storage/blob/blob_outputs.h"
#include "storage/blob/tarlay.h"
#include "storage/tables/events_tbl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_EVERY_MS 500 /* at most two progress events a second */
#define FINISH_AGAIN_MS 500

/* ---- progress and log: coalesced, lazy ---- */

struct run_progress {
    struct run *run;
    pthread_mutex_t lock;
    /* Guarded by lock: */
    int64_t last_ms;       /* of the last event */
    int64_t stage_from_ms; /* for the rate */
    unsigned stage_index;
    struct progress_state last; /* without its metrics */
    bool posted;                /* the write is under way */
    pthread_cond_t landed;
    struct write write;
    char *json;
};

static int store_progress(struct db_conn *conn, void *ctx, struct err *err) {
    struct run_progress *p = ctx;
    const struct job_row *row = &p->run->row;
    if (jobs_tbl_progress(conn, row->n, row->attempt, p->json, err) != 1)
        return err && err->code ? -1 : 0; /* no longer ours: nothing to say */
    if (events_tbl_append(conn, row->n, "progress", p->json, db_now_ms(), NULL, err) < 0 ||
        events_tbl_thin(conn, row->n, err) < 0)
        return -1;
    hub_mark(p->run->engine->hub);
    return 0;
}

static void progress_landed(void *ctx, const struct err *err) {
    struct run_progress *p = ctx;
    pthread_mutex_lock(&p->lock);
    free(p->json);
    p->json = NULL;
    p->posted = false;
    pthread_cond_signal(&p->landed);
    pthread_mutex_unlock(&p->lock);
}

static char *progress_json(const struct progress_state *s, int64_t stage_ms) {
    double seconds = (double)stage_ms / 1000;
    double rate = seconds > 0.2 ? (double)s->done / seconds : 0;
    struct jbuf b;
    size_t len;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "stage", s->stage);
    jbuf_kv_uint(&b, "stage_index", s->stage_index);
    jbuf_kv_uint(&b, "stages", s->stages);
    jbuf_kv_uint(&b, "done", s->done);
    jbuf_kv_uint(&b, "total", s->total);
    jbuf_kv_string(&b, "unit", s->unit);
    if (rate > 0) {
        jbuf_kv_number(&b, "rate", (double)(int64_t)(rate * 10) / 10);
        double eta = (double)(s->total > s->done ? s->total - s->done : 0) / rate;
        jbuf_kv_number(&b, "eta_seconds", (double)(int64_t)(eta * 10) / 10);
    } else {
        jbuf_kv_raw(&b, "rate", NULL);
        jbuf_kv_raw(&b, "eta_seconds", NULL);
    }
    jbuf_kv_raw(&b, "metrics", s->metrics_json ? s->metrics_json : "{}");
    jbuf_object_end(&b);
    return jbuf_take(&b, &len);
}

struct acquittal {
    const struct run *run;
    char *progress_json;
};

static int clear_suspect(struct db_conn *conn, void *ctx, struct err *err) {
    const struct acquittal *acquittal = ctx;
    const struct job_row *row = &acquittal->run->row;
    return jobs_tbl_clear_suspect(conn, row->n, row->attempt, acquittal->progress_json, err) < 0
               ? -1
               : 0;
}

/* A suspect has got past the stage it died in: others may run beside it again. */
static void acquit(struct run *run, const struct progress_state *state) {
    struct acquittal acquittal = {run, progress_json(state, 0)};
    if (writer_run(run->engine->store->writer, clear_suspect, &acquittal, NULL) == 0) {
        atomic_store(&run->suspect, false);
        engine_touch_queue(run->engine);
        uv_async_send(&run->engine->wake);
    }
    free(acquittal.progress_json);
}

static void on_report(void *self, const struct progress_state *state) {
    struct run_progress *p = self;
    struct run *run = p->run;
    int64_t now = db_now_ms();
    bool past = false;
    pthread_mutex_lock(&p->lock);
    p->last = *state;
    p->last.metrics_json = NULL;
    if (state->stage_index != p->stage_index || p->stage_from_ms == 0) {
        p->stage_index = state->stage_index;
        p->stage_from_ms = now;
        past = atomic_load(&run->suspect) && (int)state->stage_index > run->row.stage_died;
    }
    if (!p->posted && now - p->last_ms >= PROGRESS_EVERY_MS) {
        p->json = progress_json(state, now - p->stage_from_ms);
        if (p->json) {
            p->last_ms = now;
            p->posted = true;
            p->write = (struct write){
                .run = store_progress, .done = progress_landed, .ctx = p, .class = WRITE_LAZY};
            writer_post(run->engine->store->writer, &p->write);
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (past)
        acquit(run, state);
}

static bool on_is_cancelled(void *self) {
    const struct run *run = ((struct run_progress *)self)->run;
    return atomic_load_explicit(&run->cancel, memory_order_relaxed) ||
           atomic_load_explicit(&run->engine->stopping, memory_order_relaxed);
}

struct log_write {
    struct write write;
    struct engine *engine;
    int64_t n;
    char *json;
};

static int store_log(struct db_conn *conn, void *ctx, struct err *err) {
    struct log_write *log = ctx;
    if (events_tbl_append(conn, log->n, "log", log->json, db_now_ms(), NULL, err) < 0)
        return -1;
    hub_mark(log->engine->hub);
    return 0;
}

static void log_landed(void *ctx, const struct err *err) {
    struct log_write *log = ctx;
    free(log->json);
    free(log);
}

static void on_log(void *self, const char *level, const char *text) {
    struct run *run = ((struct run_progress *)self)->run;
    struct log_write *log = calloc(1, sizeof *log);
    struct jbuf b;
    size_t len;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "level", level);
    jbuf_kv_string(&b, "text", text);
    jbuf_object_end(&b);
    char *json = jbuf_take(&b, &len);
    if (!log || !json) { /* a lost log line is no reason to fail a job */
        free(log);
        free(json);
        return;
    }
    *log = (struct log_write){.engine = run->engine, .n = run->row.n, .json = json};
    log->write =
        (struct write){.run = store_log, .done = log_landed, .ctx = log, .class = WRITE_LAZY};
    writer_post(run->engine->store->writer, &log->write);
}

/* ---- the work ---- */

struct outcome {
    struct run *run;
    struct arena *arena;
    struct blob_outputs *outputs; /* NULL when there is no artifact */
    struct job_finish finish;
    struct err err;
    bool stopped; /* by shutdown: back to the queue */
    char *report_json, *summary_json, *problem_json, *progress_json;
    char sha256[DIGEST_HEX_LEN + 1];
};

#ifdef COMPRESSD_TEST_HOOKS
/* What tests may ask of a job by its label "test-hook". */
static bool is_asked(const struct outcome *o, const char *label) {
    return strstr(o->run->row.labels_json, label);
}

static void flip_a_byte(void *self) {
    struct outcome *o = self;
    if (is_asked(o, "\"test-hook\":\"flip\""))
        blob_outputs_test_flip(o->outputs);
}
#endif

/* The artifact as it will be served: the file itself, or the tar over all of them. */
static int lay_out_artifact(struct outcome *o, const struct progress *progress, struct err *err) {
    struct job_finish *finish = &o->finish;
    struct blob_entry *entries;
    if (blob_outputs_entries(o->outputs, o->arena, &entries, err) < 0)
        return -1;
    finish->files = entries;
    finish->file_count = blob_outputs_count(o->outputs);
    finish->artifact_sha256 = o->sha256;
    if (finish->lone) {
        finish->artifact_bytes = entries[0].bytes;
        digest_hex(&entries[0].digest, o->sha256);
        return 0;
    }
    struct tarlay *tar;
    struct resolver *files;
    if (tarlay_new(entries, finish->file_count, &tar, err) < 0)
        return -1;
    struct outputs *base = blob_outputs_base(o->outputs);
    int result = base->ops->reopen(base, &files, err);
    if (result == 0) {
        struct digest digest;
        result = tarlay_digest(tar, files, progress, &digest, err);
        if (result == 0)
            digest_hex(&digest, o->sha256);
        resolver_close(files);
    }
    finish->artifact_bytes = tarlay_bytes(tar);
    tarlay_free(tar);
    return result;
}

/* What the job was pinned to when it was submitted. */
static int open_data(struct outcome *o, struct job_data *data, struct plan_limits *limits,
                     struct err *err) {
    struct store *store = o->run->engine->store;
    struct db_conn *conn = db_read_begin(store->db, err);
    int result = conn ? job_data_tbl_read(conn, o->run->row.n, o->arena, data, err) : -1;
    if (conn)
        db_read_end(store->db, conn);
    return result == 0 ? plans_open_data(store, data, limits, err) : -1;
}

/* For the report: which bytes were read. */
static int find_digests(struct outcome *o, const struct job_data *data, struct pipeline_env *env,
                        struct err *err) {
    struct store *store = o->run->engine->store;
    const struct {
        int64_t version;
        const struct digest **ret;
    } rows[] = {{o->run->row.model_version, &env->source_digests},
                {data->versions[DATA_EVALUATION], &env->evaluation_digests},
                {data->versions[DATA_CALIBRATION], &env->calibration_digests}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].version &&
            plans_file_digests(store, rows[i].version, o->arena, rows[i].ret, err) < 0)
            return -1;
    return 0;
}

static int compress(struct outcome *o, struct resolver *files, struct violations *list,
                    struct err *err) {
    struct run *run = o->run;
    struct engine *engine = run->engine;
    struct recipe *recipe;
    struct plan *plan = NULL;
    struct report *report = NULL;
    int result = -1;
    if (recipe_parse(run->row.recipe_json, strlen(run->row.recipe_json), o->arena, list, &recipe,
                     err) < 0)
        return -1;
    recipe->name = run->row.recipe_name;
    struct plan_limits limits = {.memory_bytes = engine->budget.bytes,
                                 .threads = team_threads(engine->team)};
    struct job_data data = {0};
    if (open_data(o, &data, &limits, err) < 0 ||
        plan_new(files, recipe, run->row.model_name, &limits, list, &plan, err) < 0)
        goto out;
    const struct progress progress = {run->progress, on_report, on_is_cancelled, on_log};
    for (size_t i = 0; i < plan->warnings.count; i++)
        progress_logf(&progress, "warning", "%s", plan->warnings.items[i].detail);
    o->finish.lone = plan->layout.lone;
    struct pipeline_env env = {.team = engine->team,
                               .progress = &progress,
                               .evaluation_name = data.names[DATA_EVALUATION],
                               .calibration_name = data.names[DATA_CALIBRATION]};
#ifdef COMPRESSD_TEST_HOOKS
    if (is_asked(o, "\"test-hook\":\"abort\""))
        abort();
    env.before_verify = flip_a_byte;
    env.before_verify_self = o;
#endif
    if (find_digests(o, &data, &env, err) < 0 ||
        blob_outputs_new(engine->store->blobs, plan->layout.lone, &o->outputs, err) < 0 ||
        pipeline_run(plan, blob_outputs_base(o->outputs), &env, &report, err) < 0 ||
        lay_out_artifact(o, &progress, err) < 0)
        goto out;
    size_t len;
    o->report_json = report_json(report, &len);
    o->summary_json = report_summary_json(report);
    if (!o->report_json || !o->summary_json) {
        err_set(err, ERR_NO_MEMORY, "no memory for the report");
        goto out;
    }
    result = 0;
out:
    report_free(report);
    plan_free(plan);
    plans_close_data(&limits);
    return result;
}

static int append_object(struct outcome *o, struct db_conn *conn, const char *type,
                         const char *json, struct err *err) {
    return events_tbl_append(conn, o->run->row.n, type, json, db_now_ms(), NULL, err);
}

static int append_artifact(struct outcome *o, struct db_conn *conn, struct err *err) {
    struct jbuf b;
    size_t len;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_uint(&b, "bytes", o->finish.artifact_bytes);
    jbuf_kv_string(&b, "sha256", o->finish.artifact_sha256);
    jbuf_kv_uint(&b, "files", o->finish.file_count);
    jbuf_kv_raw(&b, "summary", o->summary_json);
    jbuf_object_end(&b);
    char *json = jbuf_take(&b, &len);
    int result = json ? append_object(o, conn, "artifact", json, err)
                      : err_set(err, ERR_NO_MEMORY, "no memory for an event");
    free(json);
    return result;
}

static int store_outcome(struct db_conn *conn, void *ctx, struct err *err) {
    struct outcome *o = ctx;
    struct run *run = o->run;
    struct engine *engine = run->engine;
    const struct job_row *row = &run->row;
    const char *state = o->finish.state;
    int done;
    if (o->stopped) {
        state = "queued";
        done = jobs_tbl_requeue(conn, row->n, row->attempt, err);
        if (done == 0) { /* cancelled in the meantime */
            o->finish = (struct job_finish){.state = "cancelled"};
            state = "cancelled";
            done = jobs_tbl_finish(conn, row->n, row->attempt, &o->finish, db_now_ms(), err);
        }
    } else {
        /* Cancels are stored on this thread too: one that was acknowledged is seen here. */
        if (o->report_json && atomic_load(&run->cancel))
            return err_set(err, ERR_CANCELLED, "cancelled just before the end");
        if (o->finish.file_count && blob_outputs_publish(o->outputs, conn, row->team, err) < 0)
            return -1;
        done = jobs_tbl_finish(conn, row->n, row->attempt, &o->finish, db_now_ms(), err);
    }
    if (done < 0)
        return -1;
    if (done == 0) /* the fence: this attempt is no longer the job's */
        return err_set(err, ERR_STATE, "attempt %d of job %s is over", row->attempt, row->id);
    if (o->finish.file_count && append_artifact(o, conn, err) < 0)
        return -1;
    if (o->problem_json && append_object(o, conn, "error", o->problem_json, err) < 0)
        return -1;
    struct job_row now;
    if (jobs_tbl_find_n(conn, row->n, o->arena, &now, err) != 1 ||
        queue_state_event(engine, conn, row->n, state, now.revision, now.attempt, err) < 0)
        return -1;
    return models_tbl_drop_orphans(conn, err);
}

/* The end of a job without an artifact. Its files go before the end is told: who sees a failed or
 * cancelled job finds no trace of them. */
static void give_up(struct outcome *o) {
    blob_outputs_discard(o->outputs);
    o->outputs = NULL;
    free(o->report_json);
    free(o->summary_json);
    o->report_json = o->summary_json = NULL;
    o->finish = (struct job_finish){.state = "cancelled"};
}

/* The end cannot be stored as it is: then it is a failure. */
static void turn_into_failure(struct outcome *o, const struct err *why) {
    blob_outputs_discard(o->outputs);
    o->outputs = NULL;
    free(o->problem_json);
    o->problem_json = problemdoc_json(why, NULL);
    o->finish = (struct job_finish){.state = "failed", .problem_json = o->problem_json};
}

/* Until it is stored, or the fence says no, or the server is going down anyway. What the machine
 * lacks (disk, memory) may come back; anything else will be the same the next time. */
static void finish(struct outcome *o) {
    struct run *run = o->run;
    bool turned = false;
    for (bool told = false;; told = true) {
        struct err err = ERR_INIT;
        if (writer_run(run->engine->store->writer, store_outcome, o, &err) == 0)
            break;
        if (err.code == ERR_STATE)
            break;
        if (err.code == ERR_CANCELLED && o->report_json) {
            give_up(o);
            continue;
        }
        if (!told)
            log_line(LOG_LEVEL_ERROR, "the end of job %s cannot be stored yet: %s", run->row.id,
                     err.text);
        if (atomic_load(&run->engine->stopping))
            break;
        if (!o->stopped && !turned && err_kind(err.code) != ERR_KIND_ENV) {
            turn_into_failure(o, &err);
            turned = true;
        }
        usleep(FINISH_AGAIN_MS * 1000);
    }
    if (!o->stopped)
        counter_add(strcmp(o->finish.state, "succeeded") == 0   ? COUNTER_JOBS_SUCCEEDED
                    : strcmp(o->finish.state, "cancelled") == 0 ? COUNTER_JOBS_CANCELLED
                                                                : COUNTER_JOBS_FAILED,
                    1);
}

/* The last progress row lies before the end in the writer's queue, so this waits for nothing but
 * the return of its object. */
static void settle_progress(struct run_progress *p) {
    pthread_mutex_lock(&p->lock);
    while (p->posted)
        pthread_cond_wait(&p->landed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void runner_work(struct run *run) {
    pthread_setname_np(pthread_self(), CRASH_JOB_THREAD); /* see crash.h */
    struct run_progress progress = {.run = run};
    pthread_mutex_init(&progress.lock, NULL);
    pthread_cond_init(&progress.landed, NULL);
    run->progress = &progress;
    struct outcome o = {.run = run, .err = ERR_INIT};
    struct violations list;
    o.arena = arena_new(LIMIT_RECIPE_ARENA_BYTES);
    struct resolver *files = NULL;
    int result = -1;
    if (!o.arena) {
        err_set(&o.err, ERR_NO_MEMORY, "no memory to run a job");
    } else {
        violations_init(&list, o.arena);
        if (plans_open_version(run->engine->store, run->row.model_version, &files, &o.err) == 0)
            result = compress(&o, files, &list, &o.err);
    }
    resolver_close(files);
    if (result == 0) {
        o.finish.state = "succeeded";
        progress.last.done = progress.last.total; /* events are thinned, the end is the end */
        o.progress_json = progress_json(&progress.last, 0);
        o.finish.progress_json = o.progress_json;
        o.finish.report_json = o.report_json;
        o.finish.summary_json = o.summary_json;
    } else {
        give_up(&o);
        o.stopped = o.err.code == ERR_CANCELLED && !atomic_load(&run->cancel);
        if (o.err.code != ERR_CANCELLED) {
            o.finish.state = "failed";
            o.problem_json = problemdoc_json(&o.err, o.arena ? &list : NULL);
            o.finish.problem_json = o.problem_json;
        }
    }
    finish(&o);
    settle_progress(&progress);
    blob_outputs_discard(o.outputs);
    free(o.report_json);
    free(o.summary_json);
    free(o.problem_json);
    free(o.progress_json);
    arena_free(o.arena);
    pthread_mutex_destroy(&progress.lock);
    pthread_cond_destroy(&progress.landed);
    run->progress = NULL;
}
