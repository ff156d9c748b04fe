/* See timers.h. A binary heap by due time under one mutex; `fire` runs with the mutex held, which
 * is what makes cancel final. */
#include "api/http/timers.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct timers {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct timer **heap; /* heap[0] unused: slots are 1-based */
    size_t count, capacity;
    bool stopping;
};

static void *run(void *self);
static void sift_up(struct timers *t, size_t slot);
static void sift_down(struct timers *t, size_t slot);

int timers_new(struct timers **ret, struct err *err) {
    struct timers *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(err, ERR_NO_MEMORY, "no memory for the timers");
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&t->thread, NULL, run, t);
    if (rc) {
        pthread_cond_destroy(&t->changed);
        pthread_mutex_destroy(&t->lock);
        free(t);
        return err_set_errno(err, ERR_NO_MEMORY, rc, "cannot start the timer thread");
    }
    *ret = t;
    return 0;
}

void timers_free(struct timers *t) {
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    assert(t->count == 0);
    t->stopping = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t->heap);
    free(t);
}

int64_t timers_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* With the lock held; the heap has room. */
static void put_in(struct timers *t, struct timer *timer) {
    timer->slot = ++t->count;
    t->heap[timer->slot] = timer;
    sift_up(t, timer->slot);
}

bool timers_set(struct timers *t, struct timer *timer, int64_t after_ms) {
    pthread_mutex_lock(&t->lock);
    if (!timer->slot) {
        if (t->count + 1 >= t->capacity) {
            size_t capacity = t->capacity ? 2 * t->capacity : 64;
            struct timer **heap = realloc(t->heap, capacity * sizeof *heap);
            if (!heap) {
                pthread_mutex_unlock(&t->lock);
                return false;
            }
            t->heap = heap;
            t->capacity = capacity;
        }
        timer->due_ms = timers_now_ms() + after_ms;
        put_in(t, timer);
    } else {
        timer->due_ms = timers_now_ms() + after_ms;
        sift_up(t, timer->slot);
        sift_down(t, timer->slot);
    }
    if (timer->slot == 1)
        pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return true;
}

static void take_out(struct timers *t, struct timer *timer) {
    size_t slot = timer->slot;
    timer->slot = 0;
    struct timer *last = t->heap[t->count--];
    if (last == timer)
        return;
    t->heap[slot] = last;
    last->slot = slot;
    sift_up(t, slot);
    sift_down(t, last->slot);
}

void timers_cancel(struct timers *t, struct timer *timer) {
    pthread_mutex_lock(&t->lock);
    if (timer->slot)
        take_out(t, timer);
    pthread_mutex_unlock(&t->lock);
}

static void *run(void *self) {
    struct timers *t = self;
    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        if (!t->count) {
            pthread_cond_wait(&t->changed, &t->lock);
            continue;
        }
        struct timer *first = t->heap[1];
        if (first->due_ms <= timers_now_ms()) {
            take_out(t, first);
            int64_t every_ms = first->every_ms;
            first->fire(first->self); /* one that fires once may be gone now */
            if (every_ms) {
                first->due_ms = timers_now_ms() + every_ms;
                put_in(t, first);
            }
            continue;
        }
        struct timespec until = {first->due_ms / 1000, first->due_ms % 1000 * 1000000};
        pthread_cond_timedwait(&t->changed, &t->lock, &until);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static void exchange(struct timers *t, size_t a, size_t b) {
    struct timer *timer = t->heap[a];
    t->heap[a] = t->heap[b];
    t->heap[b] = timer;
    t->heap[a]->slot = a;
    t->heap[b]->slot = b;
}

static void sift_up(struct timers *t, size_t slot) {
    for (; slot > 1 && t->heap[slot]->due_ms < t->heap[slot / 2]->due_ms; slot /= 2)
        exchange(t, slot, slot / 2);
}

static void sift_down(struct timers *t, size_t slot) {
    for (;;) {
        size_t least = slot;
        for (size_t child = 2 * slot; child <= 2 * slot + 1 && child <= t->count; child++)
            if (t->heap[child]->due_ms < t->heap[least]->due_ms)
                least = child;
        if (least == slot)
            return;
        exchange(t, slot, least);
        slot = least;
    }
}
