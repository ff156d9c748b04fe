/*
 * The single entry to the work: run a plan, verify what was written, report.
 *
 *   plan → emit (stream tensors through their codecs into sinks) → reopen → verify → report
 *
 * With data there is more around that. What can be found wrong with it is found before anything is
 * written: *check* reads the sets to their end without running the model, *baseline* measures the
 * original, *calibrate* runs it for ranges. The artifact is measured against the original at the
 * end:
 *
 *   check → baseline → calibrate → emit → verify → evaluate
 *
 * A stage that a job has no use for is left out.
 *
 * Memory: at most plan->peak_bytes, the plan included. Cancelled between tiles (within a second).
 * On failure nothing is promised about what the outputs hold; the caller discards them. Same input,
 * recipe and seed give the same artifact bytes, whatever the threads.
 *
 * Expected failures: ERR_BAD_DATASET, ERR_NON_FINITE, ERR_VERIFY, ERR_CANCELLED, ERR_NO_SPACE,
 * ERR_IO, ERR_NO_MEMORY.
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
    /* SHA-256 of the source's files where known, in the resolver's order, for the report; NULL:
     * unknown. */
    const struct digest *source_digests;
    /* What the sets are called, for the report; NULL: as in the recipe. */
    const char *evaluation_name, *calibration_name;
    const struct digest *evaluation_digests, *calibration_digests; /* like source_digests */
    /* Test hook: called between write and verify. NULL in real life. */
    void (*before_verify)(void *self);
    void *before_verify_self;
};

/* The report is yours (report_free). */
int pipeline_run(struct plan *plan, struct outputs *outputs, const struct pipeline_env *env,
                 struct report **ret, struct err *err);

#endif
