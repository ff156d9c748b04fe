/*
 * Training: a plan with a loss, its session, an optimiser and a schedule, one step at a time.
 *
 *   step    zero the gradients; `accumulate` batches forward and backward; the gradients' mean, the
 *           norm, the update
 *
 * A step is all or nothing: cancelled or failed before its update, it has changed no weight. A loss
 * or a gradient that is not finite fails it with ERR_DIVERGED and the step's number; a checkpoint
 * is only ever written of weights that are finite, so the last one stays good.
 *
 * Teacher and student are two plans over one batch: the feed runs the teacher and gives its outputs
 * as inputs of the student's graph, whose loss joins them.
 *
 * Given the same weights, batches and options, the weights after any step are the same bits,
 * whatever the number of threads, and whether it went through a checkpoint or not.
 *
 * Owns: plan, session, moments. Borrows: graph, weights (which hold the trained arrays), team,
 * masks. Threads: one at a time.
 * Expected failures: those of plan and session, ERR_DIVERGED, what the feed reports.
 */
#ifndef COMPRESS_EXEC_TRAINER_H
#define COMPRESS_EXEC_TRAINER_H

#include "compress/exec/batches.h"
#include "compress/exec/optim.h"
#include "compress/exec/schedule.h"
#include "compress/exec/session.h"

struct trainer;

struct trainer_param {
    const struct value *weight;
    const struct array *mask; /* booleans of its shape, or NULL */
    bool undecayed;
};

struct trainer_options {
    const struct value *loss; /* one float: the mean over a batch */
    const struct trainer_param *params;
    size_t param_count;
    struct optim_options optim;
    struct schedule schedule;
    unsigned accumulate;   /* batches per step; 0 is 1 */
    uint64_t memory_bytes; /* for the plan */
    struct team *team;
};

int trainer_new(const struct graph *graph, struct weights *weights, const struct binding *bindings,
                size_t binding_count, const struct trainer_options *options, struct trainer **ret,
                struct err *err);
void trainer_free(struct trainer *trainer);

/* The inputs of the next batch, valid until the next call. */
typedef int trainer_feed(void *self, const struct exec_input **ret_inputs, size_t *ret_count,
                         struct err *err);

struct trainer_report {
    uint64_t step; /* from 0 */
    double loss;   /* mean over the step's batches */
    double norm;   /* of the gradient, before clipping */
    double rate;
};

/* ret may be NULL. */
int trainer_step(struct trainer *trainer, trainer_feed *feed, void *self,
                 const struct progress *progress, struct trainer_report *ret, struct err *err);
uint64_t trainer_steps(const struct trainer *trainer); /* done so far */
/* Borrowed; for plan facts. */
const struct exec_plan *trainer_plan(const struct trainer *trainer);

/* Weights, moments, step, and where the next batch starts. `identity` says which training this is:
 * model, data, recipe. */
int trainer_save(const struct trainer *trainer, const char *identity,
                 const struct batches_state *order, int dir_fd, const char *name, struct err *err);
int trainer_load(struct trainer *trainer, const char *identity, int dir_fd, const char *name,
                 struct batches_state *ret_order, struct err *err);

#endif
