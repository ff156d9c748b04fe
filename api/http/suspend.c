/*
 * See suspend.h. The library's own lock is taken inside ours and never the other way round: its
 * callbacks run without its connection lock.
 */
#include "api/http/suspend.h"

#include <assert.h>

void suspend_init(struct suspend *s, const struct suspend_ops *ops, void *connection) {
    pthread_mutex_init(&s->lock, NULL);
    s->ops = ops;
    s->connection = connection;
    s->state = SUSPEND_RUNNING;
}

void suspend_destroy(struct suspend *s) {
    pthread_mutex_destroy(&s->lock);
}

bool suspend_wait(struct suspend *s) {
    pthread_mutex_lock(&s->lock);
    assert(s->state == SUSPEND_RUNNING || s->state == SUSPEND_WAKE_PENDING);
    bool sleeps = s->state == SUSPEND_RUNNING;
    if (sleeps) {
        s->state = SUSPEND_SUSPENDED;
        s->ops->pause(s->connection);
    } else {
        s->state = SUSPEND_RUNNING;
    }
    pthread_mutex_unlock(&s->lock);
    return sleeps;
}

void suspend_wake(struct suspend *s) {
    pthread_mutex_lock(&s->lock);
    if (s->state == SUSPEND_SUSPENDED) {
        s->state = SUSPEND_RUNNING;
        s->ops->resume(s->connection);
    } else if (s->state == SUSPEND_RUNNING) {
        s->state = SUSPEND_WAKE_PENDING;
    }
    pthread_mutex_unlock(&s->lock);
}

void suspend_end(struct suspend *s) {
    pthread_mutex_lock(&s->lock);
    assert(s->state != SUSPEND_SUSPENDED);
    s->state = SUSPEND_ENDED;
    pthread_mutex_unlock(&s->lock);
}
