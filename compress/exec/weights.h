/*
 * The weights of a graph as the executor sees them: decoded when first needed, kept within a
 * budget, never mapped.
 *
 * Floats are held as f32 whatever the file holds; integers as they are. What weights_get() returns
 * stays until weights_release(): what nobody uses any more is kept for the next time until the
 * budget needs its room, the longest unused first. A weight that training changes is held for good
 * (weights_hold) and what it holds then is the truth, not the file. Several sessions and plans may
 * share one object (teacher and student do not: they are two models).
 *
 * Owns: decoded arrays. Borrows: model, graph. Threads: one at a time.
 * Expected failures: ERR_NO_MEMORY, ERR_OVER_BUDGET (tensor, bytes), ERR_UNSUPPORTED (a type that
 * is carried, not decoded), what sources report.
 */
#ifndef COMPRESS_EXEC_WEIGHTS_H
#define COMPRESS_EXEC_WEIGHTS_H

#include "compress/base/team.h"
#include "compress/graph/graph.h"
#include "compress/graph/model.h"

struct weights;

/* model may be NULL when all of the graph's weights are given by weights_put(). budget_bytes 0:
 * none. NULL when out of memory. */
struct weights *weights_new(const struct model *model, const struct graph *graph,
                            uint64_t budget_bytes);
void weights_free(struct weights *weights);
/* The decoded weight, valid until as many weights_release() as there were gets. team may be NULL.
 */
int weights_get(struct weights *weights, const struct value *value, struct team *team,
                const struct array **ret, struct err *err);
void weights_release(struct weights *weights, const struct value *value);
/* Decodes it and keeps it whatever the budget says; *ret may be written to. */
int weights_hold(struct weights *weights, const struct value *value, struct team *team,
                 struct array **ret, struct err *err);
/* Gives a value of its own, copied; it is held. Floats of any type become f32. Replacing one that
 * is in use needs the same shape and keeps its memory (ERR_BUG). */
int weights_put(struct weights *weights, const struct value *value, const struct array *array,
                struct err *err);
/* Bytes of all arrays now. */
uint64_t weights_bytes(const struct weights *weights);
/* Can weights of that many bytes be in use at one time? */
bool weights_fit(const struct weights *weights, uint64_t bytes);

#endif
