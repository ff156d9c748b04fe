/*
 * One thread that knows when to wake whom: ends of long polls, pings of event streams.
 *
 * A thousand streams share it; a timer costs a slot in a binary heap. Callbacks run on the timer
 * thread and must only wake somebody.
 *
 * Owns: the thread, the heap of pointers. Borrows: the timers, which belong to their users and must
 * be cancelled before they die. Threads: any; never call with a lock held that a callback takes.
 */
#ifndef API_HTTP_TIMERS_H
#define API_HTTP_TIMERS_H

#include "compress/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timers;

struct timer {
    void (*fire)(void *self);
    void *self;
    int64_t every_ms; /* 0: fires once; else again and again, until cancelled */
    int64_t due_ms;   /* the heap's own, so is `slot` */
    size_t slot;      /* 1-based place in the heap, 0: not set */
};

int timers_new(struct timers **ret, struct err *err);
void timers_free(struct timers *timers); /* no timer may be set any more; NULL is fine */

/* Monotonic milliseconds, the clock of due times. */
int64_t timers_now_ms(void);

/* Fires `after_ms` from now; a timer already set is moved. False when memory ran out. */
bool timers_set(struct timers *timers, struct timer *timer, int64_t after_ms);
/* After return `fire` is not running and will not run. */
void timers_cancel(struct timers *timers, struct timer *timer);

#endif
