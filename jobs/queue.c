/*
 * The queue as closures of the writer: submit, cancel, retry, edit, delete. Each changes the job
 * and appends its event in one transaction. See engine.h.
 */
#include "compress/base/counters.h"
#include "compress/base/jbuf.h"
#include "jobs/engine_private.h"
#include "jobs/job.h"
#include "storage/tables/events_tbl.h"

#include <stdlib.h>
#include <string.h>

int queue_state_event(struct engine *engine, struct db_conn *conn, int64_t n, const char *state,
                      int64_t revision, int attempt, struct err *err) {
    struct jbuf b;
    size_t len;
    jbuf_init(&b);
    jbuf_object(&b); /* "state" first: hub.c reads it from there */
    jbuf_kv_string(&b, "state", state);
    jbuf_kv_int(&b, "revision", revision);
    jbuf_kv_int(&b, "attempt", attempt);
    jbuf_object_end(&b);
    char *data = jbuf_take(&b, &len);
    if (!data)
        return err_set(err, ERR_NO_MEMORY, "no memory for an event");
    int result = events_tbl_append(conn, n, "state", data, db_now_ms(), NULL, err);
    free(data);
    hub_mark(engine->hub);
    return result;
}

int queue_submit(struct engine *engine, struct db_conn *conn, struct job_row *row,
                 struct err *err) {
    if (jobs_tbl_insert(conn, row, db_now_ms(), err) < 0)
        return -1;
    if (queue_state_event(engine, conn, row->n, "queued", row->revision, row->attempt, err) < 0)
        return -1;
    counter_add(COUNTER_JOBS_SUBMITTED, 1);
    engine_touch_queue(engine);
    return 0;
}

/* Finds the job, or ERR_NOT_FOUND. The arena is the caller's to free, success or not. */
static int find(struct db_conn *conn, const char *team, const char *id, struct arena **ret_arena,
                struct job_row *ret, struct err *err) {
    *ret_arena = arena_new(LIMIT_REQUEST_ARENA_BYTES);
    if (!*ret_arena)
        return err_set(err, ERR_NO_MEMORY, "no memory to read a job");
    int found = jobs_tbl_find(conn, team, id, *ret_arena, ret, err);
    if (found == 0)
        err_set(err, ERR_NOT_FOUND, "there is no job '%s'", id);
    return found == 1 ? 0 : -1;
}

static void ask_in(struct run *list, int64_t n) {
    for (struct run *run = list; run; run = run->next)
        if (run->row.n == n)
            atomic_store(&run->cancel, true);
}

/* Wherever the run is: at work, about to start, or claimed earlier in this very group. */
static void ask_to_cancel(struct engine *engine, int64_t n) {
    pthread_mutex_lock(&engine->lock);
    ask_in(engine->runs, n);
    ask_in(engine->claimed, n);
    ask_in(engine->claim_result, n);
    pthread_mutex_unlock(&engine->lock);
}

int queue_cancel(struct engine *engine, struct db_conn *conn, const char *team, const char *id,
                 bool *ret_changed, struct err *err) {
    struct arena *arena;
    struct job_row row;
    int result = find(conn, team, id, &arena, &row, err);
    if (result < 0)
        goto out;
    const char *state = NULL;
    int changed = jobs_tbl_cancel(conn, row.n, db_now_ms(), &state, err);
    if (changed < 0) {
        result = -1;
    } else if (changed) {
        result = queue_state_event(engine, conn, row.n, state, row.revision + 1, row.attempt, err);
        /* Early, before the commit: should it fail, the job ends as cancelled all the same and only
         * the answer is lost. */
        ask_to_cancel(engine, row.n);
        if (strcmp(state, "cancelled") == 0) { /* else its run tells and tidies up at its end */
            counter_add(COUNTER_JOBS_CANCELLED, 1);
            if (result == 0)
                result = models_tbl_drop_orphans(conn, err);
        }
        engine_touch_queue(engine);
    } else if (strcmp(row.state, "cancelled") != 0 && strcmp(row.state, "cancelling") != 0) {
        result = err_set(err, ERR_STATE, "the job has already %s", row.state);
    }
    *ret_changed = changed == 1;
out:
    arena_free(arena);
    return result;
}

int queue_retry(struct engine *engine, struct db_conn *conn, const char *team, const char *id,
                bool *ret_changed, struct err *err) {
    struct arena *arena;
    struct job_row row;
    int result = find(conn, team, id, &arena, &row, err);
    if (result < 0)
        goto out;
    int changed = jobs_tbl_retry(conn, row.n, db_now_ms(), err);
    if (changed < 0) {
        result = -1;
    } else if (changed) {
        result =
            queue_state_event(engine, conn, row.n, "queued", row.revision + 1, row.attempt, err);
        engine_touch_queue(engine);
    } else if (strcmp(row.state, "failed") == 0 || strcmp(row.state, "cancelled") == 0) {
        result = err_set(err, ERR_STATE, "the %s's files are gone; upload it again",
                         row.model_version ? "dataset" : "model");
    } else if (strcmp(row.state, "queued") != 0) {
        result = err_set(err, ERR_STATE, "a job that is %s cannot be retried", row.state);
    }
    *ret_changed = changed == 1;
out:
    arena_free(arena);
    return result;
}

int queue_edit(struct engine *engine, struct db_conn *conn, const char *team, const char *id,
               int64_t if_revision, int priority, const char *labels_json, struct err *err) {
    struct arena *arena;
    struct job_row row;
    int result = find(conn, team, id, &arena, &row, err);
    if (result < 0)
        goto out;
    int state = job_state_by_name(row.state);
    if (priority >= 0 && state >= 0 && job_state_terminal((enum job_state)state)) {
        result =
            err_set(err, ERR_STATE, "the job has already %s; its priority is of no use", row.state);
        goto out;
    }
    int changed = jobs_tbl_edit(conn, row.n, if_revision, priority < 0 ? row.priority : priority,
                                labels_json ? labels_json : row.labels_json, err);
    if (changed < 0)
        result = -1;
    else if (!changed)
        result = err_set(err, ERR_PRECONDITION, "the job is at revision %lld, not %lld",
                         (long long)row.revision, (long long)if_revision);
    else
        result =
            queue_state_event(engine, conn, row.n, row.state, row.revision + 1, row.attempt, err);
    engine_touch_queue(engine);
out:
    arena_free(arena);
    return result;
}

int queue_delete(struct engine *engine, struct db_conn *conn, const char *team, const char *id,
                 struct err *err) {
    struct arena *arena;
    struct job_row row;
    int result = find(conn, team, id, &arena, &row, err);
    if (result < 0)
        goto out;
    int deleted = jobs_tbl_delete(conn, row.n, err);
    if (deleted == 0)
        err_set(err, ERR_STATE, "a job that is %s cannot be deleted; cancel it first", row.state);
    result = deleted == 1 ? models_tbl_drop_orphans(conn, err) : -1;
out:
    arena_free(arena);
    return result;
}
