/*
 * Walking over arrays that broadcast (NumPy's rules): what binary operators and Where stand on.
 *
 * Neighbouring axes along which every operand does the same – advances, or stays – are one group,
 * so that equal shapes are one long run, a scalar a run that stays, a bias runs of its length. The
 * operator's function sees runs alone:
 *
 *     in[k][i * step[k]], i < n, step 0 or 1     →     out[i]
 *
 * Gradients of an operand that was broadcast are sums over the axes it lacks. They are cut into
 * items of a range of the operand's elements and a range of the summed ones, both by sizes alone;
 * sums of several ranges meet in scratch and are added in order.
 *
 * Threads: functions are called from many at once.
 */
#ifndef COMPRESS_GRAPH_BROADCAST_H
#define COMPRESS_GRAPH_BROADCAST_H

#include "compress/graph/op.h"

enum { BROADCAST_INPUTS = 3 };
/* No run is longer. */
enum { BROADCAST_RUN = 512 };

struct broadcast {
    const struct array *const *in; /* their shapes broadcast to out's */
    size_t count;                  /* at most BROADCAST_INPUTS */
    const struct array *out;
};

struct broadcast_run {
    const void *in[BROADCAST_INPUTS]; /* NULL where the array has no data */
    size_t step[BROADCAST_INPUTS];
    void *out;
    size_t n;
};

typedef int broadcast_fn(void *ctx, const struct broadcast_run *run, struct err *err);
int broadcast_forward(const struct op_run *run, const struct broadcast *b, broadcast_fn *fn,
                      void *ctx, struct err *err);

/* g[i] = dy[i] times the derivative of out[i] by in[which] */
typedef void broadcast_grad(const void *ctx, const struct broadcast_run *run, const real *dy,
                            real *g);
/* din += the gradient of in[which]. Takes the scratch of the run. */
int broadcast_backward(const struct op_run *run, const struct broadcast *b, size_t which,
                       broadcast_grad *fn, const void *ctx, const struct array *dout,
                       struct array *din, struct err *err);
/* Bytes that broadcast_backward() needs. */
uint64_t broadcast_scratch(const struct broadcast *b, size_t which);

/* Element i of the broadcast result is element ret of an operand of this shape. */
uint64_t broadcast_index(const struct array *operand, const struct array *out, uint64_t i);

#endif
