/*
 * The thread team: one mutex, a ring of open loops, sleeping workers.
 *
 * A loop is open while it has indices to hand out; open loops form a ring. A worker takes one index
 * of the loop at the ring's head and moves the head on, so every open loop gets its turn whatever
 * its length. The calling thread takes indices of its own loop only, then sleeps until the last
 * borrowed index has come back. Taking an index costs one short critical section (some 50 ns):
 * tiles are meant to be thousands of times longer.
 */
#include "compress/base/team.h"

#include "compress/base/worker.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* One team_run(), on its caller's stack. */
struct loop {
    int (*fn)(void *ctx, size_t index, unsigned worker);
    void *ctx;
    size_t count;
    size_t next;      /* first index not yet handed out */
    unsigned running; /* indices handed out and not yet back */
    int result;       /* the first non-zero one */
    struct loop *left, *right;
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
    bool stopping;
    int nice_by;
    unsigned started;
    struct worker workers[]; /* threads - 1 */
};

static void ring_add(struct team *team, struct loop *loop) {
    if (!team->head) {
        loop->left = loop->right = loop;
        team->head = loop;
    } else { /* left of the head: served last in this round */
        loop->right = team->head;
        loop->left = team->head->left;
        loop->left->right = loop;
        loop->right->left = loop;
    }
    loop->open = true;
}

static void ring_remove(struct team *team, struct loop *loop) {
    if (loop->right == loop) {
        team->head = NULL;
    } else {
        loop->left->right = loop->right;
        loop->right->left = loop->left;
        if (team->head == loop)
            team->head = loop->right;
    }
    loop->open = false;
}

/* Runs one index of an open loop; called with the lock held, which is dropped meanwhile. */
static void run_one(struct team *team, struct loop *loop, unsigned worker) {
    size_t index = loop->next++;
    loop->running++;
    if (loop->next == loop->count)
        ring_remove(team, loop);
    pthread_mutex_unlock(&team->lock);
    int result = loop->fn(loop->ctx, index, worker);
    pthread_mutex_lock(&team->lock);
    loop->running--;
    if (result && !loop->result) {
        loop->result = result;
        if (loop->open)
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
        while (!team->head && !team->stopping)
            pthread_cond_wait(&team->work, &team->lock);
        if (team->stopping)
            break;
        struct loop *loop = team->head;
        team->head = loop->right;
        run_one(team, loop, self->number);
        if (loop->running == 0 && !loop->open)
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

struct team *team_new(unsigned threads, int nice_by) {
    if (threads == 0)
        threads = online_cores();
    struct team *team = calloc(1, sizeof *team + (threads - 1) * sizeof team->workers[0]);
    if (!team)
        return NULL;
    pthread_mutex_init(&team->lock, NULL);
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
    struct loop loop = {.fn = fn, .ctx = ctx, .count = count};
    pthread_cond_init(&loop.idle, NULL);
    pthread_mutex_lock(&team->lock);
    ring_add(team, &loop);
    pthread_cond_broadcast(&team->work);
    while (loop.open)
        run_one(team, &loop, 0);
    while (loop.running)
        pthread_cond_wait(&loop.idle, &team->lock);
    pthread_mutex_unlock(&team->lock);
    pthread_cond_destroy(&loop.idle);
    return loop.result;
}
