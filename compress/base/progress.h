/*
 * How long work talks to whoever started it: one struct upward, one question downward.
 *
 * `report` may be called from any thread of the team but never from two at once for one job; it
 * must be quick (the receiver coalesces). `is_cancelled` is called between tiles, from any thread,
 * and must be lock-free. Either pointer may be NULL; so may the whole object.
 */
#ifndef COMPRESS_BASE_PROGRESS_H
#define COMPRESS_BASE_PROGRESS_H

#include "compress/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct progress_state {
    const char *stage;    /* static string: "quantize", "verify" ... */
    const char *unit;     /* static string: "bytes", "tensors", "batches", "steps" */
    unsigned stage_index; /* 0-based */
    unsigned stages;
    uint64_t done;
    uint64_t total;
    const char *metrics_json; /* NULL or a small JSON object, valid during the call only */
};

struct progress {
    void *self;
    void (*report)(void *self, const struct progress_state *state);
    bool (*is_cancelled)(void *self);
    /* One line for the job's log: level is "info" or "warning". May be NULL. */
    void (*log)(void *self, const char *level, const char *text);
};

static inline void progress_report(const struct progress *p, const struct progress_state *state) {
    if (p && p->report)
        p->report(p->self, state);
}

static inline bool progress_cancelled(const struct progress *p) {
    return p && p->is_cancelled && p->is_cancelled(p->self);
}

/* -1 with ERR_CANCELLED when the work was asked to stop, else 0. */
static inline int progress_check(const struct progress *p, struct err *err) {
    return progress_cancelled(p) ? err_set(err, ERR_CANCELLED, "the work was cancelled") : 0;
}

void progress_logf(const struct progress *p, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
