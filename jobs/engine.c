/*
 * The engine: see engine.h.
 *
 * The loop thread owns the queue of what may start: it posts a claim to the writer (one at a time),
 * starts what was claimed on a thread of its own, starts offloaded work on the libuv pool, and
 * looks again whenever a group changed the queue, a run ended, or a second has passed. The pool is
 * sized for all offloads that may run at once, so none waits for another kind.
 *
 *   API thread ── write ──▶ writer ── after commit ──▶ async ──▶ loop ──▶ a run's thread
 */
#include "jobs/engine.h"

#include "compress/base/counters.h"
#include "compress/base/log.h"
#include "compress/base/worker.h"
#include "jobs/engine_private.h"
#include "storage/blob/sweep.h"
#include "storage/tables/events_tbl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define OFFLOADS_AT_ONCE 4 /* plans, inspections, seals: bursts wait here */
#define SLOW_AT_ONCE 16    /* uploads being unpacked */
#define OFFLOADS_WAITING 1024
#define TICK_MS 1000
#define ALIVE_MS 5000
#define SWEEP_EVERY_MS (5 * 60 * 1000)
#define SWEEP_BATCH 128
#define TEAM_NICE \
    10 /* the front end goes first: measured 13,900 → 24,700 reads/s beside two jobs */

static int64_t monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void engine_touch_queue(struct engine *engine) {
    atomic_store(&engine->queue_changed, true);
}

static void after_commit(void *self) {
    struct engine *engine = self;
    hub_pump(engine->hub);
    if (atomic_load(&engine->queue_changed))
        uv_async_send(&engine->wake);
}

/* ---- claiming: on the writer thread ---- */

/* The next job that may start now, if any: a suspect only when nothing else runs, others only when
 * no suspect is left. The oldest waiting job reserves: when it does not fit, nobody overtakes it.
 */
static int claim(struct db_conn *conn, void *ctx, struct err *err) {
    struct engine *engine = ctx;
    struct run *run = calloc(1, sizeof *run);
    if (run)
        run->arena = arena_new(LIMIT_REQUEST_ARENA_BYTES);
    if (!run || !run->arena) {
        free(run);
        return err_set(err, ERR_NO_MEMORY, "no memory to start a job");
    }
    uint64_t reserved;
    unsigned running;
    budget_usage(&engine->budget, &reserved, &running);
    bool suspect_runs = false;
    pthread_mutex_lock(&engine->lock);
    for (const struct run *other = engine->runs; other; other = other->next)
        suspect_runs = suspect_runs || atomic_load(&other->suspect);
    pthread_mutex_unlock(&engine->lock);

    struct job_row next;
    int found = suspect_runs ? 0 : jobs_tbl_peek(conn, true, run->arena, &next, err);
    bool suspect = found == 1;
    if (suspect && running > 0)
        found = 0;
    else if (found == 0 && !suspect_runs)
        found = jobs_tbl_peek(conn, false, run->arena, &next, err);
    if (found != 1 || !budget_take(&engine->budget, next.peak_bytes))
        goto none;
    run->engine = engine;
    run->reserved_bytes = next.peak_bytes;
    atomic_store(&run->suspect, suspect);
    int claimed = jobs_tbl_claim(conn, next.n, db_now_ms(), run->arena, &run->row, err);
    if (claimed == 1 && queue_state_event(engine, conn, run->row.n, "running", run->row.revision,
                                          run->row.attempt, err) < 0)
        claimed = -1;
    if (claimed == 1) {
        engine->claim_result = run;
        return 0;
    }
    budget_give(&engine->budget, next.peak_bytes);
    found = claimed;
none:
    arena_free(run->arena);
    free(run);
    return found < 0 ? -1 : 0;
}

static void forget_run(struct run *run) {
    budget_give(&run->engine->budget, run->reserved_bytes);
    arena_free(run->arena);
    free(run);
}

static void claimed(void *ctx, const struct err *err) {
    struct engine *engine = ctx;
    struct run *run = engine->claim_result;
    engine->claim_result = NULL;
    if (run && err->code != ERR_OK) { /* the group was rolled back */
        forget_run(run);
        run = NULL;
    }
    if (err->code != ERR_OK)
        log_line(LOG_LEVEL_ERROR, "no job could be claimed: %s", err->text);
    pthread_mutex_lock(&engine->lock);
    engine->claim_in_flight = false;
    if (run) {
        run->next = engine->claimed;
        engine->claimed = run;
    }
    pthread_cond_broadcast(&engine->idle);
    pthread_mutex_unlock(&engine->lock);
    if (run)
        uv_async_send(&engine->wake);
}

/* ---- the loop thread ---- */

/* A run's thread: nice like the team, because it computes with it. A thread of the pool would stay
 * nice when it turns to what a client waits for: the way back takes privileges. */
static void *run_main(void *arg) {
    struct run *run = arg;
    struct engine *engine = run->engine;
    id_t self = (id_t)gettid();
    setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + TEAM_NICE);
    log_line(LOG_LEVEL_INFO, "job %s: attempt %d starts", run->row.id, run->row.attempt);
    runner_work(run);
    pthread_mutex_lock(&engine->lock);
    run->over_next = engine->over;
    engine->over = run;
    pthread_mutex_unlock(&engine->lock);
    uv_async_send(&engine->wake); /* the loop joins this thread before it forgets anything */
    return NULL;
}

static void end_run(struct run *run) {
    struct engine *engine = run->engine;
    pthread_join(run->thread, NULL);
    pthread_mutex_lock(&engine->lock);
    for (struct run **at = &engine->runs; *at; at = &(*at)->next)
        if (*at == run) {
            *at = run->next;
            break;
        }
    pthread_cond_broadcast(&engine->idle);
    pthread_mutex_unlock(&engine->lock);
    forget_run(run);
    engine_touch_queue(engine);
    uv_async_send(&engine->wake);
}

static void end_runs(struct engine *engine) {
    pthread_mutex_lock(&engine->lock);
    struct run *over = engine->over;
    engine->over = NULL;
    pthread_mutex_unlock(&engine->lock);
    for (struct run *next; over; over = next) {
        next = over->over_next;
        end_run(over);
    }
}

static void start_claimed(struct engine *engine) {
    for (;;) {
        pthread_mutex_lock(&engine->lock);
        struct run *run = engine->claimed;
        int rc = run ? worker_start(&run->thread, run_main, run) : 0;
        if (run && rc == 0) {
            engine->claimed = run->next;
            run->next = engine->runs;
            engine->runs = run;
        }
        pthread_mutex_unlock(&engine->lock);
        if (rc != 0)
            log_line(LOG_LEVEL_ERROR, "no thread for job %s yet: %s", run->row.id, strerror(rc));
        if (!run || rc != 0)
            return;                 /* the next tick tries again */
        engine_touch_queue(engine); /* there may be room for another */
    }
}

static void maybe_claim(struct engine *engine) {
    if (!engine->claiming_allowed)
        return;
    pthread_mutex_lock(&engine->lock);
    bool go = !atomic_load(&engine->stopping) && !engine->claim_in_flight && !engine->claimed &&
              atomic_exchange(&engine->queue_changed, false);
    engine->claim_in_flight = engine->claim_in_flight || go;
    pthread_mutex_unlock(&engine->lock);
    if (!go)
        return;
    engine->claim_write = (struct write){.run = claim, .done = claimed, .ctx = engine};
    writer_post(engine->store->writer, &engine->claim_write);
}

struct offload_work {
    uv_work_t work;
    struct offload *offload;
};

static void offload_run(uv_work_t *work) {
    struct offload *offload = ((struct offload_work *)work->data)->offload;
    offload->run(offload->ctx);
}

static void offload_over(uv_work_t *work, int status) {
    struct offload_work *w = work->data;
    struct offload *offload = w->offload;
    struct engine *engine = offload->engine;
    bool slow = offload->slow;
    offload->done(offload->ctx); /* may free the offload */
    free(w);
    pthread_mutex_lock(&engine->lock);
    *(slow ? &engine->slow_running : &engine->offloads_running) -= 1;
    pthread_cond_broadcast(&engine->idle);
    pthread_mutex_unlock(&engine->lock);
    uv_async_send(&engine->wake);
}

static void start_offloads(struct engine *engine) {
    for (;;) {
        struct offload_work *w = calloc(1, sizeof *w);
        if (!w)
            return; /* the next tick tries again */
        pthread_mutex_lock(&engine->lock);
        struct offload **at = &engine->offloads;
        while (*at && !(*at)->slow && engine->offloads_running >= OFFLOADS_AT_ONCE)
            at = &(*at)->next;
        struct offload *offload = *at;
        if (offload) {
            *at = offload->next;
            if (!*at)
                engine->offloads_tail = at;
            engine->offloads_waiting--;
            /* A slow one has counted since it was posted. */
            engine->offloads_running += !offload->slow;
        }
        pthread_mutex_unlock(&engine->lock);
        if (!offload) {
            free(w);
            return;
        }
        w->work.data = w;
        w->offload = offload;
        uv_queue_work(&engine->loop, &w->work, offload_run, offload_over);
    }
}

/* ---- housekeeping: an offload of the engine's own ---- */

struct sweep_step {
    struct engine *engine;
    struct sweep_result result;
};

static int sweep_step(struct db_conn *conn, void *ctx, struct err *err) {
    struct sweep_step *step = ctx;
    return sweep_run(step->engine->store->blobs, conn, db_now_ms(), SWEEP_BATCH, &step->result,
                     err);
}

static void sweep_work(void *ctx) {
    struct engine *engine = ctx;
    struct sweep_step step = {.engine = engine};
    do {
        struct err err = ERR_INIT;
        if (writer_run(engine->store->writer, sweep_step, &step, &err) < 0) {
            log_line(LOG_LEVEL_WARN, "the sweep was put off: %s", err.text);
            return;
        }
        if (step.result.blobs)
            log_line(LOG_LEVEL_INFO, "swept %u unreferenced blobs, %llu bytes", step.result.blobs,
                     (unsigned long long)step.result.bytes);
    } while (step.result.blobs == SWEEP_BATCH && !atomic_load(&engine->stopping));
    sweep_empty_trash(engine->store->blobs);
}

static void sweep_over(void *ctx) {
    struct engine *engine = ctx;
    engine->sweeping = false;
}

static void maybe_sweep(struct engine *engine) {
    int64_t now = monotonic_ms();
    if (engine->sweeping || now < engine->next_sweep_ms)
        return;
    engine->next_sweep_ms = now + SWEEP_EVERY_MS;
    engine->sweep = (struct offload){.run = sweep_work, .done = sweep_over, .ctx = engine};
    if (engine_offload(engine, &engine->sweep, NULL) == 0)
        engine->sweeping = true;
}

static void on_wake(uv_async_t *wake) {
    struct engine *engine = wake->data;
    if (atomic_exchange(&engine->run_requested, false)) {
        engine->claiming_allowed = true;
        engine_touch_queue(engine);
    }
    end_runs(engine);
    start_offloads(engine);
    start_claimed(engine);
    maybe_claim(engine);
    if (atomic_load(&engine->quit_requested)) {
        uv_timer_stop(&engine->tick);
        uv_close((uv_handle_t *)&engine->tick, NULL);
        uv_close((uv_handle_t *)&engine->wake, NULL);
    }
}

static void on_tick(uv_timer_t *timer) {
    struct engine *engine = timer->data;
    atomic_store(&engine->tick_ms, monotonic_ms());
    engine_touch_queue(engine);
    start_offloads(engine);
    start_claimed(engine);
    maybe_claim(engine);
    if (engine->claiming_allowed)
        maybe_sweep(engine);
}

static void *loop_main(void *arg) {
    struct engine *engine = arg;
    uv_run(&engine->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* ---- lifecycle ---- */

static int start_loop(struct engine *engine, struct err *err) {
    char threads[16];
    snprintf(threads, sizeof threads, "%d", OFFLOADS_AT_ONCE + SLOW_AT_ONCE);
    setenv("UV_THREADPOOL_SIZE", threads, 1); /* read once, at the first use of the pool */
    int rc = uv_loop_init(&engine->loop);
    if (rc == 0)
        rc = uv_async_init(&engine->loop, &engine->wake, on_wake);
    if (rc == 0)
        rc = uv_timer_init(&engine->loop, &engine->tick);
    if (rc != 0)
        return err_set(err, ERR_NO_MEMORY, "the loop could not start: %s", uv_strerror(rc));
    engine->wake.data = engine->tick.data = engine;
    atomic_store(&engine->tick_ms, monotonic_ms());
    uv_timer_start(&engine->tick, on_tick, TICK_MS, TICK_MS);
    rc = pthread_create(&engine->loop_thread, NULL, loop_main, engine);
    return rc ? err_set_errno(err, ERR_NO_MEMORY, rc, "the loop thread could not start") : 0;
}

int engine_new(struct store *store, const struct engine_options *options, struct engine **ret,
               struct err *err) {
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return err_set(err, ERR_NO_MEMORY, "no memory for the engine");
    engine->store = store;
    engine->offloads_tail = &engine->offloads;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->idle, NULL);
    budget_init(&engine->budget, options->memory_bytes, options->slots);
    engine->team = team_new(options->threads, TEAM_NICE);
    if (!engine->team)
        err_set(err, ERR_NO_MEMORY, "the thread team could not start");
    if (!engine->team || hub_new(store, &engine->hub, err) < 0 ||
        plans_new(store, engine->budget.bytes, team_threads(engine->team), &engine->plans, err) <
            0 ||
        crash_recover(engine, err) < 0 || start_loop(engine, err) < 0) {
        plans_free(engine->plans);
        hub_free(engine->hub);
        team_free(engine->team);
        free(engine);
        return -1;
    }
    hub_pump(engine->hub);
    writer_set_after_commit(store->writer, after_commit, engine);
    *ret = engine;
    return 0;
}

void engine_run(struct engine *engine) {
    atomic_store(&engine->run_requested, true);
    uv_async_send(&engine->wake);
}

static void wait_idle(struct engine *engine, bool offloads_too) {
    pthread_mutex_lock(&engine->lock);
    while (
        engine->runs || engine->claimed || engine->claim_in_flight ||
        (offloads_too && (engine->offloads || engine->offloads_running || engine->slow_running))) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        pthread_cond_timedwait(&engine->idle, &engine->lock, &until);
    }
    pthread_mutex_unlock(&engine->lock);
}

/* Offloads may wait for a client (a tar being sent), so they are left to end when the front end
 * has cut its connections; engine_free() waits for them. */
void engine_stop(struct engine *engine) {
    /* Under the lock, where claims and offloads look before they begin: none begins behind us. */
    pthread_mutex_lock(&engine->lock);
    atomic_store(&engine->stopping, true);
    pthread_mutex_unlock(&engine->lock);
    wait_idle(engine, false);
}

void engine_free(struct engine *engine) {
    if (!engine)
        return;
    engine_stop(engine);
    wait_idle(engine, true);
    writer_set_after_commit(engine->store->writer, NULL, NULL); /* it would wake a closed loop */
    atomic_store(&engine->quit_requested, true);
    uv_async_send(&engine->wake);
    pthread_join(engine->loop_thread, NULL);
    uv_loop_close(&engine->loop);
    struct err err = ERR_INIT;
    if (crash_mark_running(engine->store, false, &err) < 0)
        log_line(LOG_LEVEL_WARN, "the clean stop could not be noted: %s", err.text);
    plans_free(engine->plans);
    hub_free(engine->hub);
    team_free(engine->team);
    budget_destroy(&engine->budget);
    pthread_mutex_destroy(&engine->lock);
    pthread_cond_destroy(&engine->idle);
    free(engine);
}

struct engine_info engine_info(struct engine *engine) {
    struct engine_info info = {
        .slots = engine->budget.slots,
        .memory_bytes = engine->budget.bytes,
        .threads = team_threads(engine->team),
        .alive = monotonic_ms() - atomic_load(&engine->tick_ms) < ALIVE_MS,
    };
    budget_usage(&engine->budget, &info.memory_reserved, &info.running);
    return info;
}

int engine_offload(struct engine *engine, struct offload *work, struct err *err) {
    work->next = NULL;
    work->engine = engine;
    pthread_mutex_lock(&engine->lock);
    bool stopping = atomic_load(&engine->stopping);
    bool full = engine->offloads_waiting >= OFFLOADS_WAITING ||
                (work->slow && engine->slow_running >= SLOW_AT_ONCE);
    if (!stopping && !full) {
        engine->slow_running += work->slow;
        engine->offloads_waiting++;
        *engine->offloads_tail = work;
        engine->offloads_tail = &work->next;
    }
    pthread_mutex_unlock(&engine->lock);
    if (stopping)
        return err_set(err, ERR_DRAINING, "the server is shutting down");
    if (full)
        return err_set(err, ERR_OVERLOADED, "too many requests are being worked on");
    uv_async_send(&engine->wake);
    return 0;
}

int engine_plan_cached(struct engine *engine, int64_t version, const struct job_data *data,
                       const struct recipe *recipe, struct arena *arena, struct plan_summary *ret) {
    return plans_find(engine->plans, version, data, recipe, arena, ret);
}

int engine_plan(struct engine *engine, const struct model_row *model, const struct job_data *data,
                const struct recipe *recipe, struct arena *arena, struct violations *list,
                struct plan_summary *ret, struct err *err) {
    return plans_make(engine->plans, model, data, recipe, arena, list, ret, err);
}

struct event_sub *engine_subscribe(struct engine *engine, int64_t job_n, void (*wake)(void *self),
                                   void *self) {
    return hub_subscribe(engine->hub, job_n, wake, self);
}

void engine_unsubscribe(struct engine *engine, struct event_sub *sub) {
    hub_unsubscribe(engine->hub, sub);
}

int engine_events(struct engine *engine, int64_t job_n, int64_t after, unsigned limit,
                  struct arena *arena, struct event_text **ret, size_t *ret_count,
                  struct err *err) {
    return hub_events(engine->hub, job_n, after, limit, arena, ret, ret_count, err);
}

int engine_events_gap(struct engine *engine, int64_t job_n, int64_t after, int64_t *ret_id,
                      struct err *err) {
    struct db_conn *conn = db_read_begin(engine->store->db, err);
    if (!conn)
        return -1;
    int found = events_tbl_gap(conn, job_n, after, ret_id, err);
    db_read_end(engine->store->db, conn);
    return found;
}
