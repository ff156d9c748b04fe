/*
 * Admission by memory: what running jobs have reserved of the budget.
 *
 * Budget = the setting, else 80 % of the smallest of the cgroup's limit and what the machine has
 * available at start. Threads: any; one mutex.
 */
#ifndef JOBS_BUDGET_H
#define JOBS_BUDGET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct budget {
    pthread_mutex_t lock;
    uint64_t bytes;    /* the whole */
    uint64_t reserved; /* by running jobs */
    unsigned slots;    /* jobs at once */
    unsigned running;
};

/* 0 for a value picks the default. */
void budget_init(struct budget *budget, uint64_t bytes, unsigned slots);
void budget_destroy(struct budget *budget);
/* Takes a slot and the bytes, or neither. A job larger than the whole budget runs when it is alone
 * (it was refused at submit unless the budget has shrunk since). */
bool budget_take(struct budget *budget, uint64_t bytes);
void budget_give(struct budget *budget, uint64_t bytes);
void budget_usage(struct budget *budget, uint64_t *ret_reserved, unsigned *ret_running);

/* Bytes available to this process now: MemAvailable and the cgroup's memory.max, whichever is less.
 */
uint64_t budget_available_bytes(void);
/* The cgroup's oom_kill counter, 0 when there is none. */
uint64_t budget_oom_kills(void);

#endif
