/*
 * The executor's plan: what to run in which order, and where every value lies, decided before
 * anything runs.
 *
 *   bind inputs → infer → prune to what is wanted → steps → lifetimes → offsets
 *
 * A plan is a list of steps over *slots*. A slot is a value, a gradient, a converted copy or
 * scratch: a shape, and a place – a range of the one workspace, a weight, a constant, or memory of
 * the caller's. Two slots whose lifetimes meet never overlap in the workspace; slots whose row
 * allows it share one range (in place, alias). Running a plan allocates nothing (exec/session.h).
 *
 *   step            reads            writes        where
 *    0  Conv c1     x w1 b1          t0            [0, 401408)
 *    1  Relu        t0               t1            in place
 *    2  MaxPool     t1               t2            [401408, 501760)
 *
 * Floats that are not f32 are converted around rows that take f32 alone (OP_ANY_TYPE says which do
 * not): a chain of such rows computes in f32 throughout, and its values are rounded to their own
 * type only where a row or the caller wants to see it.
 *
 * If: both branches are in the list, each step under a *guard* (a boolean value and the side that
 * runs); a branch whose condition is known at planning time is inlined alone. A branch that cannot
 * be planned for these inputs fails only when it is taken.
 *
 * Training: after the forward steps come the backward ones, from the loss on. A gradient slot is
 * zeroed before its first contribution; nothing is computed that no wanted gradient needs. When
 * activations, gradients and scratch would exceed `memory_bytes`, segments of the forward pass are
 * run again during the backward pass instead of being kept (Chen et al. 2016, "Training Deep Nets
 * with Sublinear Memory Cost"), the fewest steps that fit among the cuts tried. The results are the
 * same bits.
 *
 * Steps whose inputs are all weights and constants run once per session, not once per run; their
 * results are kept beside the workspace. Weights whose content the reader has read with the header
 * count as constants, unless they are trainable.
 *
 * Owns: its arena. Borrows: the graph, which must not change while the plan lives. Threads: read
 * from any number of sessions; planning grows the graph's symbols, so plan one at a time per graph.
 *
 * Expected failures: ERR_UNSUPPORTED (an operator that is not executable or has no gradient, or a
 * shape that depends on data: node and value are named), ERR_BAD_FIELD (an input's type does not
 * fit: name, wanted, given), ERR_OVER_BUDGET (with the bytes needed), what inference finds.
 */
#ifndef COMPRESS_EXEC_EXEC_PLAN_H
#define COMPRESS_EXEC_EXEC_PLAN_H

#include "compress/graph/infer.h"

#include <stdio.h>

struct exec_plan;

struct exec_options {
    const struct value *const *wanted; /* NULL: the graph's outputs */
    size_t wanted_count;
    /* Training: the scalar f32 whose gradients are taken (NULL: forward only), and which weights
     * want theirs. A plan that runs beside a training, to validate, names them too, without a loss:
     * else it may rely on what they were. Gradients of `wanted_inputs` are kept too (tests,
     * saliency). */
    const struct value *loss;
    const struct value *const *trainable;
    size_t trainable_count;
    const struct value *const *wanted_inputs;
    size_t wanted_input_count;
    /* Values that an observer looks at (session.h) but that nobody wants afterwards. */
    const struct value *const *observed;
    size_t observed_count;
    uint64_t memory_bytes; /* ceiling of workspace and kept results; 0: none */
    unsigned threads;      /* of the largest team it will run on, for scratch; 0 is 1 */
};

/* One binding per input of the graph that what is wanted depends on. */
int exec_plan_new(const struct graph *graph, const struct binding *bindings, size_t binding_count,
                  const struct exec_options *options, struct exec_plan **ret, struct err *err);
void exec_plan_free(struct exec_plan *plan);

struct exec_facts {
    size_t forward_steps, backward_steps, once_steps, recomputed_steps;
    uint64_t workspace_bytes;
    uint64_t live_bytes; /* the largest sum of sizes that are alive at one step: no layout can be
                            smaller */
    uint64_t kept_bytes; /* results of the steps that run once */
    uint64_t gradient_bytes; /* of trainable weights and wanted inputs */
    uint64_t weight_bytes;   /* of the weights that it reads, as the executor holds them */
    uint64_t macs;           /* of the forward steps */
};
void exec_plan_facts(const struct exec_plan *plan, struct exec_facts *ret);
/* The shape that a wanted value will have; NULL when the plan does not make it. Borrowed. */
const struct array *exec_plan_shape(const struct exec_plan *plan, const struct value *value);
/* The list, one line a step, for people. */
void exec_plan_print(const struct exec_plan *plan, FILE *to);

#endif
