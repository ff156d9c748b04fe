/*
 * Running a plan: one workspace, any number of runs.
 *
 * exec_session_new() allocates everything; exec_run() and exec_backward() allocate nothing. What
 * they return is borrowed and valid until the next call. Results do not depend on the number of
 * threads of the team.
 *
 * Owns: the workspace. Borrows: plan, weights, team. Threads: one at a time.
 * Expected failures: ERR_CANCELLED (asked between tiles), ERR_BAD_FIELD (an input of another shape
 * than was planned), what operators find in the data, what weights report.
 */
#ifndef COMPRESS_EXEC_SESSION_H
#define COMPRESS_EXEC_SESSION_H

#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/exec/exec_plan.h"
#include "compress/exec/weights.h"

struct exec_session;

struct exec_input {
    const struct value *input;
    const struct array *array;
};

/* Called after every forward step's outputs are final, in step order, for values somebody looks at
 * (calibration, SQNR per layer). -1 with err set stops the run. */
typedef int exec_observe(void *self, const struct value *value, const struct array *array,
                         struct err *err);

struct exec_session_options {
    struct team *team; /* NULL: the calling thread alone */
    /* Values to observe must be among the plan's `wanted`. NULL: none. */
    exec_observe *observe;
    void *observe_self;
};

int exec_session_new(const struct exec_plan *plan, struct weights *weights,
                     const struct exec_session_options *options, struct exec_session **ret,
                     struct err *err);
void exec_session_free(struct exec_session *session);

int exec_run(struct exec_session *session, const struct exec_input *inputs, size_t input_count,
             const struct progress *progress, struct err *err);
/* After exec_run() of a plan with a loss. Gradients are *added* to those already there, so that
 * batches accumulate; exec_zero_gradients() starts anew. */
int exec_backward(struct exec_session *session, const struct progress *progress, struct err *err);
void exec_zero_gradients(struct exec_session *session);

/* Borrowed; NULL when the plan does not make it. */
const struct array *exec_output(const struct exec_session *session, const struct value *value);
struct array *exec_gradient(const struct exec_session *session, const struct value *value);

#endif
