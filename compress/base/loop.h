/*
 * A team_run() whose tiles can fail with an error and be cancelled.
 *
 * Cancellation is asked before every index. Of several failures the one with the lowest index is
 * reported: every index below the first failing one has run (team.h), so the answer does not depend
 * on the number of threads (unless the work was cancelled).
 *
 * Threads: loop_run() from any; fn runs on the team.
 */
#ifndef COMPRESS_BASE_LOOP_H
#define COMPRESS_BASE_LOOP_H

#include "compress/base/err.h"
#include "compress/base/progress.h"
#include "compress/base/team.h"

#include <stddef.h>

/* One index: 0, or -1 with err set. worker names scratch, as in team_run(). */
typedef int loop_fn(void *ctx, size_t index, unsigned worker, struct err *err);

int loop_run(struct team *team, const struct progress *progress, size_t count, loop_fn *fn,
             void *ctx, struct err *err);

#endif
