/*
 * The single entry to the work: run a plan, verify what was written, report.
 *
 *   plan → emit (stream tensors through their codecs into sinks) → reopen → verify → report
 *
 * Memory: at most plan->peak_bytes beside the plan itself. Cancelled between tiles (within a
 * second). On failure nothing is promised about what the outputs hold; the caller discards them.
 * Same input, recipe and seed give the same artifact bytes, whatever the threads.
 */
#ifndef COMPRESS_RECIPE_PIPELINE_H
#define COMPRESS_RECIPE_PIPELINE_H

#include "compress/base/files.h"
#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/recipe/plan.h"
#include "compress/report/report.h"

struct pipeline_env {
    struct team *team; /* NULL: the calling thread alone */
    const struct progress *progress;
    /* Test hook: called between write and verify. NULL in real life. */
    void (*before_verify)(void *self);
    void *before_verify_self;
};

int pipeline_run(struct plan *plan, struct outputs *outputs, const struct pipeline_env *env,
                 struct report **ret, struct err *err);

#endif
