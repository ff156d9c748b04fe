/* Shared by the files of jobs/ alone: what the engine and a running job are. */
#ifndef JOBS_ENGINE_PRIVATE_H
#define JOBS_ENGINE_PRIVATE_H

#include "jobs/budget.h"
#include "jobs/engine.h"
#include "jobs/hub.h"
#include "jobs/plans.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

/* A job being run. Made by the claim on the writer thread, worked on by one thread, forgotten
 * on the loop thread. */
struct run {
    struct run *next; /* in engine->runs or engine->claimed */
    struct run *over_next;
    struct engine *engine;
    pthread_t thread;
    struct arena *arena; /* owns what `row` points to */
    struct job_row row;
    uint64_t reserved_bytes;
    _Atomic bool cancel;  /* asked for by a client */
    _Atomic bool suspect; /* still alone */
    struct run_progress *progress;
};

struct engine {
    struct store *store;
    struct team *team;
    struct budget budget;
    struct plans *plans;
    struct hub *hub;

    pthread_t loop_thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t tick;
    _Atomic int64_t tick_ms;    /* when the loop last answered */
    _Atomic bool queue_changed; /* a group touched the queue: look again after its commit */
    _Atomic bool stopping;      /* running jobs stop at their next tile and go back to the queue */
    bool claiming_allowed;      /* loop thread: engine_run() was called */
    _Atomic bool run_requested, quit_requested;

    /* Guarded by lock: */
    pthread_mutex_t lock;
    pthread_cond_t idle;                       /* signalled when a run or an offload ends */
    struct run *runs;                          /* claimed and not yet forgotten */
    struct run *claimed;                       /* to be started by the loop */
    struct run *over;                          /* at their end, to be joined by the loop */
    struct offload *offloads, **offloads_tail; /* waiting for the loop */
    unsigned offloads_waiting, offloads_running, slow_running;
    bool claim_in_flight;

    struct write claim_write; /* one at a time */
    struct run *claim_result; /* writer thread */
    /* Loop thread: */
    struct offload sweep;
    int64_t next_sweep_ms;
    bool sweeping;
};

/* runner.c: on a thread of its own, from claim to terminal state. */
void runner_work(struct run *run);
/* queue.c: appends the `state` event that goes with every transition. */
int queue_state_event(struct engine *engine, struct db_conn *conn, int64_t n, const char *state,
                      int64_t revision, int attempt, struct err *err);
/* Something other than a progress row happened to the queue in this group. */
void engine_touch_queue(struct engine *engine);
/* crash.c: at start. */
int crash_recover(struct engine *engine, struct err *err);
int crash_mark_running(struct store *store, bool running, struct err *err);

#endif
