/*
 * The thread team: one mutex, a ring of open loops, workers that sleep when there are none.
 *
 * A loop is open while it has indices to hand out; open loops form a ring. A worker takes one index
 * of the loop at the ring's head and moves the head on, so every open loop gets its turn whatever
 * its length. The calling thread takes indices of its own loop only, then waits until the last
 * borrowed index has come back. Taking an index costs one short critical section (some 50 ns):
 * tiles are meant to be thousands of times longer.
 *
 * A loop's indices are cut into one run for each thread, which goes through its own from the front
 * and, when that is empty, takes from the back of the longest. Tiles that are neighbours in memory
 * mostly are neighbours in the loop, and the next loop of a graph is cut in the same way: what a
 * core has written it mostly reads itself, from its own cache.
 *
 * Waking a sleeper costs tens of microseconds, as much as a small loop takes, and a graph is
 * hundreds of loops one after the other. So whoever waits – a worker for the next loop, a caller
 * for the last index – looks out for SPIN_NS before it sleeps. A team with more threads than cores
 * does not: it would keep the core from the one it waits for.
 */
#include "compress/base/team.h"

#include "compress/base/worker.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Of a loop; threads above share. */
enum { MOST_RUNS = 16 };

/* Some steps of a graph run on one thread alone, and take up to about this long. */
enum { SPIN_NS = 100000, LOOKS = 64 };

/* Indices not yet handed out. */
struct run {
    size_t next, end;
};

/* One team_run(), on its caller's stack. */
struct loop {
    int (*fn)(void *ctx, size_t index, unsigned worker);
    void *ctx;
    struct run runs[MOST_RUNS];
    unsigned run_count;
    size_t left;      /* in all runs */
    atomic_uint busy; /* indices handed out and not yet back; written under the lock */
    int result;       /* that of the lowest index that failed, and this index */
    size_t failed;
    struct loop *before, *after;
    bool open; /* in the ring */
    pthread_cond_t idle;
};

struct worker {
    struct team *team;
    pthread_t thread;
    unsigned number; /* 1..; 0 is whoever called team_run() */
};

struct team {
    pthread_mutex_t lock;
    pthread_cond_t work; /* the ring is no longer empty, or stopping */
    struct loop *head;
    atomic_bool ring_filled; /* head is not NULL; written under the lock */
    bool stopping;
    bool spins;
    int nice_by;
    unsigned started;
    struct worker workers[]; /* threads - 1 */
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_core(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool ring_filled(void *team) {
    return atomic_load_explicit(&((struct team *)team)->ring_filled, memory_order_relaxed);
}

static bool loop_idle(void *loop) {
    return atomic_load_explicit(&((struct loop *)loop)->busy, memory_order_relaxed) == 0;
}

/* Waits without sleeping, for a while, without the lock. What it has seen is only a hint: the lock
 * orders memory. */
static void look_out(struct team *team, bool (*there)(void *), void *what) {
    if (!team->spins)
        return;
    for (int64_t end = now_ns() + SPIN_NS; now_ns() < end;)
        for (int i = 0; i < LOOKS; i++) {
            if (there(what))
                return;
            pause_core();
        }
}

static void ring_add(struct team *team, struct loop *loop) {
    if (!team->head) {
        loop->before = loop->after = loop;
        team->head = loop;
    } else { /* before the head: served last in this round */
        loop->after = team->head;
        loop->before = team->head->before;
        loop->before->after = loop;
        loop->after->before = loop;
    }
    loop->open = true;
    atomic_store_explicit(&team->ring_filled, true, memory_order_relaxed);
}

static void ring_remove(struct team *team, struct loop *loop) {
    if (loop->after == loop) {
        team->head = NULL;
        atomic_store_explicit(&team->ring_filled, false, memory_order_relaxed);
    } else {
        loop->before->after = loop->after;
        loop->after->before = loop->before;
        if (team->head == loop)
            team->head = loop->after;
    }
    loop->open = false;
}

static void cut_runs(struct loop *loop, size_t count, unsigned threads) {
    loop->run_count = threads < MOST_RUNS ? threads : MOST_RUNS;
    loop->left = count;
    size_t each = count / loop->run_count, more = count % loop->run_count, at = 0;
    for (unsigned i = 0; i < loop->run_count; i++) {
        loop->runs[i].next = at;
        loop->runs[i].end = at += each + (i < more);
    }
}

/* Of a loop with indices left. */
static size_t take_index(struct loop *loop, unsigned worker) {
    struct run *own = &loop->runs[worker % loop->run_count], *longest = own;
    loop->left--;
    if (own->next < own->end)
        return own->next++;
    for (unsigned i = 0; i < loop->run_count; i++)
        if (loop->runs[i].end - loop->runs[i].next > longest->end - longest->next)
            longest = &loop->runs[i];
    return --longest->end;
}

/* Nothing behind the lowest index that failed needs to run any more; what is before it does. */
static void fail(struct loop *loop, size_t index, int result) {
    if (loop->result && loop->failed < index)
        return;
    loop->result = result;
    loop->failed = index;
    loop->left = 0;
    for (unsigned i = 0; i < loop->run_count; i++) {
        struct run *run = &loop->runs[i];
        if (run->end > index)
            run->end = run->next < index ? index : run->next;
        loop->left += run->end - run->next;
    }
}

/* Runs one index of an open loop; called with the lock held, which is dropped meanwhile. */
static void run_one(struct team *team, struct loop *loop, unsigned worker) {
    size_t index = take_index(loop, worker);
    loop->busy++;
    if (loop->left == 0)
        ring_remove(team, loop);
    pthread_mutex_unlock(&team->lock);
    int result = loop->fn(loop->ctx, index, worker);
    pthread_mutex_lock(&team->lock);
    loop->busy--;
    if (result) {
        fail(loop, index, result);
        if (loop->open && loop->left == 0)
            ring_remove(team, loop);
    }
}

static void *work(void *arg) {
    struct worker *self = arg;
    struct team *team = self->team;
    char name[16];
    snprintf(name, sizeof name, "team-%u", self->number);
    pthread_setname_np(pthread_self(), name);
    if (team->nice_by) {
        /* On Linux niceness belongs to a thread. Refusal is harmless: it only costs latency. */
        id_t self_id = (id_t)gettid();
        setpriority(PRIO_PROCESS, self_id, getpriority(PRIO_PROCESS, self_id) + team->nice_by);
    }
    pthread_mutex_lock(&team->lock);
    for (;;) {
        if (!team->head && !team->stopping) {
            pthread_mutex_unlock(&team->lock);
            look_out(team, ring_filled, team);
            pthread_mutex_lock(&team->lock);
        }
        while (!team->head && !team->stopping)
            pthread_cond_wait(&team->work, &team->lock);
        if (team->stopping)
            break;
        struct loop *loop = team->head;
        team->head = loop->after;
        run_one(team, loop, self->number);
        if (loop->busy == 0 && !loop->open)
            pthread_cond_signal(&loop->idle); /* its caller may be gone once we let the lock go */
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

static unsigned online_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more cores than a cpu_set_t holds */
    return online > 0 ? (unsigned)online : 1;
}

static int start_all(struct team *team, unsigned threads) {
    for (unsigned i = 0; i < threads - 1; i++) {
        struct worker *worker = &team->workers[i];
        worker->team = team;
        worker->number = i + 1;
        if (worker_start(&worker->thread, work, worker) != 0)
            break;
        team->started++;
    }
    return team->started == threads - 1 ? 0 : -1;
}

/* The lock is held for less time than sleeping and waking takes. */
static void lock_init(pthread_mutex_t *lock, bool spins) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
#ifdef __GLIBC__
    if (spins)
        pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

struct team *team_new(unsigned threads, int nice_by) {
    if (threads == 0)
        threads = online_cores();
    struct team *team = calloc(1, sizeof *team + (threads - 1) * sizeof team->workers[0]);
    if (!team)
        return NULL;
    team->spins = threads <= online_cores();
    lock_init(&team->lock, team->spins);
    pthread_cond_init(&team->work, NULL);
    team->nice_by = nice_by;
    if (start_all(team, threads) < 0) {
        team_free(team);
        return NULL;
    }
    return team;
}

void team_free(struct team *team) {
    if (!team)
        return;
    pthread_mutex_lock(&team->lock);
    assert(!team->head);
    team->stopping = true;
    pthread_cond_broadcast(&team->work);
    pthread_mutex_unlock(&team->lock);
    for (unsigned i = 0; i < team->started; i++)
        pthread_join(team->workers[i].thread, NULL);
    pthread_cond_destroy(&team->work);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

unsigned team_threads(const struct team *team) {
    return team ? team->started + 1 : 1;
}

static int run_alone(size_t count, int (*fn)(void *ctx, size_t index, unsigned worker), void *ctx) {
    for (size_t i = 0; i < count; i++) {
        int result = fn(ctx, i, 0);
        if (result)
            return result;
    }
    return 0;
}

int team_run(struct team *team, size_t count, int (*fn)(void *ctx, size_t index, unsigned worker),
             void *ctx) {
    if (team_threads(team) == 1 || count <= 1)
        return run_alone(count, fn, ctx);
    struct loop loop = {.fn = fn, .ctx = ctx};
    cut_runs(&loop, count, team_threads(team));
    pthread_cond_init(&loop.idle, NULL);
    pthread_mutex_lock(&team->lock);
    ring_add(team, &loop);
    pthread_cond_broadcast(&team->work);
    while (loop.open)
        run_one(team, &loop, 0);
    if (loop.busy) {
        pthread_mutex_unlock(&team->lock);
        look_out(team, loop_idle, &loop);
        pthread_mutex_lock(&team->lock);
    }
    while (loop.busy)
        pthread_cond_wait(&loop.idle, &team->lock);
    pthread_mutex_unlock(&team->lock);
    pthread_cond_destroy(&loop.idle);
    return loop.result;
}
