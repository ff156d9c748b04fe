/*
 * Running a plan: one workspace, any number of runs.
 *
 * exec_session_new() allocates everything, and runs what needs to run only once; exec_run() and
 * exec_backward() allocate nothing. (Unless the weights' budget is too small for all of the plan's
 * weights: then they come and go step by step.) What they return is borrowed and valid until the
 * next call. Results do not depend on the number of threads of the team.
 *
 * Trainable weights are held and read where weights_hold() has them, so whoever changes them there
 * changes the next run. Other weights must not change while the session lives: what runs once has
 * seen them.
 *
 * Owns: the workspace. Borrows: plan, weights, team; the arrays given to exec_run() until the next
 * call. Threads: one at a time.
 * Expected failures: ERR_CANCELLED (asked between tiles), ERR_BAD_FIELD (an input that is missing,
 * of another shape than was planned, or of another content than the plan relies on), what operators
 * find in the data, what weights report.
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

/* Called when a value of the plan's `observed` is final, in step order (calibration, SQNR per
 * layer); floats come as f32. The array is overwritten by later steps. A value of a branch that is
 * not taken is not shown, constants and weights are shown at the start. -1 with err set stops the
 * run. */
typedef int exec_observe(void *self, const struct value *value, const struct array *array,
                         struct err *err);

struct exec_session_options {
    struct team *team; /* NULL: the calling thread alone */
    exec_observe *observe;
    void *observe_self;
};

int exec_session_new(const struct exec_plan *plan, struct weights *weights,
                     const struct exec_session_options *options, struct exec_session **ret,
                     struct err *err);
void exec_session_free(struct exec_session *session);

int exec_run(struct exec_session *session, const struct exec_input *inputs, size_t input_count,
             const struct progress *progress, struct err *err);
/* After exec_run() of a plan with a loss, once. Gradients are *added* to those already there, so
 * that batches accumulate; exec_zero_gradients() starts anew. After a failure they are worth
 * nothing. */
int exec_backward(struct exec_session *session, const struct progress *progress, struct err *err);
void exec_zero_gradients(struct exec_session *session);

/* Borrowed; NULL when the plan does not make it. */
const struct array *exec_output(const struct exec_session *session, const struct value *value);
struct array *exec_gradient(const struct exec_session *session, const struct value *value);

#endif
