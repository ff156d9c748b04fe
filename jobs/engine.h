/*
 * The engine: the libuv loop, the worker pool, admission, offloaded work and event fan-out, behind
 * one handle that the front end uses.
 *
 * Threads: everything here may be called from any thread unless said otherwise.
 */
#ifndef JOBS_ENGINE_H
#define JOBS_ENGINE_H

#include "compress/base/team.h"
#include "compress/recipe/plan.h"
#include "storage/store.h"
#include "storage/tables/job_data_tbl.h"
#include "storage/tables/jobs_tbl.h"
#include "storage/tables/models_tbl.h"

struct engine;

struct engine_options {
    unsigned slots; /* jobs at once (--jobs); 0 = cores, at most 4 */
    uint64_t
        memory_bytes; /* budget for all running jobs (--memory); 0 = 80 % of what is available */
    unsigned threads; /* of the team; 0 = cores */
};

/* Starts the loop thread, the pool and the team; puts jobs of an unclean exit back as suspects.
 * Nothing is claimed before engine_run(). */
int engine_new(struct store *store, const struct engine_options *options, struct engine **ret,
               struct err *err);
void engine_run(struct engine *engine); /* begin to claim */
/* Stops claiming, takes no more offloads, asks running jobs to stop at their next tile (they go
 * back to the queue) and waits for them; offloads under way end before engine_free() returns. */
void engine_stop(struct engine *engine);
void engine_free(struct engine *engine);

struct engine_info {
    unsigned slots, running;
    uint64_t memory_bytes, memory_reserved;
    unsigned threads;
    bool alive; /* loop has answered within the last seconds */
};
struct engine_info engine_info(struct engine *engine);

/* -- Offload: short work that must not run on an HTTP thread (plans, inspections, seals). -- */
struct offload {
    void (*run)(void *ctx);  /* on a pool thread */
    void (*done)(void *ctx); /* on the loop thread, right after; may free the object */
    void *ctx;
    bool slow; /* lasts as long as a client likes (unpacking while it uploads); few at once */
    /* The engine's own: */
    struct offload *next;
    struct engine *engine;
};
/* -1 with ERR_OVERLOADED when too much waits, ERR_DRAINING at shutdown; done is then not called. */
int engine_offload(struct engine *engine, struct offload *work, struct err *err);

/* -- Plans, cached by (model version, data versions, recipe digest). Blocking: call on an offload
 * or job thread.
 * -- */
struct plan_summary {
    uint64_t bytes_in, bytes_out, peak_bytes, disk_bytes;
    double seconds;
    const char *json; /* the answer of POST /v1/plan, in the arena */
};
/* In the cache already? Never blocks on work: for the HTTP thread. 1 / 0. */
int engine_plan_cached(struct engine *engine, int64_t version, const struct job_data *data,
                       const struct recipe *recipe, struct arena *arena, struct plan_summary *ret);
/* Makes (and caches) the plan. On -1 `list` holds the violations. */
int engine_plan(struct engine *engine, const struct model_row *model, const struct job_data *data,
                const struct recipe *recipe, struct arena *arena, struct violations *list,
                struct plan_summary *ret, struct err *err);

/* -- The queue. All are writer closures' bodies: call inside a write's `run`. The events they imply
 * are appended in the same transaction. -- */
int queue_submit(struct engine *engine, struct db_conn *conn, struct job_row *row, struct err *err);
/* Result state in *ret_state; *ret_changed false when it was so already. ERR_STATE when forbidden.
 */
int queue_cancel(struct engine *engine, struct db_conn *conn, const char *team, const char *id,
                 bool *ret_changed, struct err *err);
int queue_retry(struct engine *engine, struct db_conn *conn, const char *team, const char *id,
                bool *ret_changed, struct err *err);
/* PATCH: priority -1 and labels NULL keep what is there. if_revision 0: none asked for; else
 * ERR_PRECONDITION when the job has moved on. ERR_STATE for a terminal job's priority. */
int queue_edit(struct engine *engine, struct db_conn *conn, const char *team, const char *id,
               int64_t if_revision, int priority, const char *labels_json, struct err *err);
int queue_delete(struct engine *engine, struct db_conn *conn, const char *team, const char *id,
                 struct err *err);

/* -- Events: replay from the database, then live. -- */
struct event_sub; /* a subscription to one job (or all: job_n 0) */
/* `wake` is called from the writer thread, after commit and under the hub's lock, when there may be
 * something new: it must only wake the reader (take its own lock, resume a connection) and call
 * nothing of this header. It may be called spuriously. NULL when out of memory. */
struct event_sub *engine_subscribe(struct engine *engine, int64_t job_n, void (*wake)(void *self),
                                   void *self);
/* After return wake will not be called again. */
void engine_unsubscribe(struct engine *engine, struct event_sub *sub);
/* Events with id > after as NDJSON-ready JSON texts, oldest first: each {id,type,job,time,data}.
 * Served from a shared window in memory when the reader is close behind, else from the database. */
struct event_text {
    int64_t id;
    const char *type;
    const char *json; /* one line, no newline; in the arena */
    size_t len;
    bool terminal; /* a state event with a terminal state: the job's last unless it is retried */
};
int engine_events(struct engine *engine, int64_t job_n, int64_t after, unsigned limit,
                  struct arena *arena, struct event_text **ret, size_t *ret_count, struct err *err);
/* Were rows of this job thinned away behind `after`? 1: up to *ret_id, say so in a `gap` event
 * before the first page; 0; -1. */
int engine_events_gap(struct engine *engine, int64_t job_n, int64_t after, int64_t *ret_id,
                      struct err *err);

#endif
