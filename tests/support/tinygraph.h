/*
 * Small graphs by hand, for tests of what stands above the operator table. Everything here ends the
 * test on failure.
 *
 * Weights hold a fixed pattern of small numbers around zero, the same for the same name and shape.
 *
 * Owns: the graph's arena and the weights (tinygraph_free). Threads: one.
 */
#ifndef TESTS_SUPPORT_TINYGRAPH_H
#define TESTS_SUPPORT_TINYGRAPH_H

#include "compress/base/arena.h"
#include "compress/exec/weights.h"
#include "compress/graph/graph.h"

struct tinygraph {
    struct arena *arena;
    struct graph *graph;
    struct weights *weights;
};

/* Operator set of all nodes. */
#define TINYGRAPH_VERSION 17

void tinygraph_new(struct tinygraph *t);
void tinygraph_free(struct tinygraph *t);

/* "f32[2,batch,4]": numbers, or names of symbols. Values stand for themselves in what follows. */
struct value *tinygraph_input(struct tinygraph *t, const char *name, const char *type);
/* In the given graph, which may be a body. A float is filled with the pattern; integers count up
 * from 0. */
struct value *tinygraph_weight(struct tinygraph *t, const char *name, const char *type);
struct value *tinygraph_constant(struct graph *graph, const char *name, const struct array *data);
/* i64 constant, rank 1. */
struct value *tinygraph_ints(struct graph *graph, const char *name, const int64_t *ints,
                             size_t count);
/* A node of one output, which is called `name` and so is the node; inputs end with NULL. */
struct value *tinygraph_op(struct graph *graph, const char *op_type, const char *name,
                           struct value *const *in, const struct attr *attrs, size_t attr_count);
void tinygraph_output(struct graph *graph, struct value *value);
/* An array of that type ("f32[2,3]"), filled like a weight; array_free() it. */
struct array *tinygraph_array(const char *type, const char *seed);
/* A binding of that type. */
struct fact tinygraph_fact(const char *type);

#define TINY_IN(...) ((struct value *const[]){__VA_ARGS__, NULL})

#endif
