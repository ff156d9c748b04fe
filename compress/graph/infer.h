/*
 * Shape inference over a whole graph: facts about every value, from facts about its inputs.
 *
 * With the graph's own input types the result carries symbols; with numbers (a binding) everything
 * is a number, shape arithmetic is folded away, and what still has an unknown dimension depends on
 * data and cannot be planned.
 *
 * Owns: nothing; facts live in the arena given. Threads: any, each call on its own arena (the
 * graph's symbols may grow: one at a time per graph).
 */
#ifndef COMPRESS_GRAPH_INFER_H
#define COMPRESS_GRAPH_INFER_H

#include "compress/graph/graph.h"

struct binding {
    const struct value *input;
    struct fact fact; /* type with numbers; data: its content, when the plan may rely on it (a
                         sampling rate, a length) */
};

/* ret: one fact per value id of the graph (facts of bodies are inferred by whoever runs them).
 * bindings may be NULL. ERR_BAD_MODEL names node and value. */
int infer_graph(const struct graph *graph, const struct binding *bindings, size_t binding_count,
                struct arena *arena, struct fact **ret, struct err *err);
/* Writes inferred types into values that declare none (or less). What a reader does at the end of
 * its open. */
int infer_annotate(struct graph *graph, struct arena *scratch, struct err *err);

/* Multiply-accumulates of one run of the graph with these facts; symbols count as 1, and *ret_exact
 * says whether there were none. */
uint64_t infer_macs(const struct graph *graph, const struct fact *facts, bool *ret_exact);

#endif
