/*
 * Dimensions as variables: which indices of which axes must be cut together.
 *
 * Every index of every axis of every value is an element; the relations of the nodes (relate.h) tie
 * elements; a *unit* is a set of elements that are tied, directly or through others: one channel
 * with its filter, its bias, its normalisation, its place in every concatenation, its column in the
 * next layer. A unit that touches an input or output of the graph, an operator that is not
 * understood, or a fixed axis, is fixed. So pruning, students of another width, scaling between
 * layers and the report's layer view all read one structure, and none knows an architecture by
 * name.
 *
 * Factored axes are settled after everything else is tied: each in turn is tied to its outermost
 * factor that is not fixed (heads rather than head size), and its other factors become fixed.
 *
 * Works on a binding to real sizes (bind the batch to 1, so that it is never the outermost factor).
 * A graph of a thousand values has some million elements; they are a union-find over 32-bit
 * numbers.
 *
 * Source of the idea: Fang et al. 2023, "DepGraph: Towards Any Structural Pruning"; here the
 * dependency is one of indices rather than of layers.
 *
 * Owns: nothing; lives in the arena. Threads: read from many.
 */
#ifndef COMPRESS_GRAPH_DIMS_H
#define COMPRESS_GRAPH_DIMS_H

#include "compress/graph/infer.h"

struct dims;

struct dims_options {
    /* Inputs and outputs of the graph may be cut like anything else: for graphs that are a part of
     * something (tests of one operator; a block of a larger model). */
    bool open_ends;
};

/* facts: of a binding in which every shape that matters is known; values with unknown shapes are
 * fixed. options may be NULL. ERR_TOO_LARGE above 2^31 elements. */
int dims_trace(const struct graph *graph, const struct fact *facts,
               const struct dims_options *options, struct arena *arena, struct dims **ret,
               struct err *err);

#define DIMS_FIXED UINT32_MAX

/* The unit of an index: [0, dims_units()), or DIMS_FIXED. */
uint32_t dims_unit(const struct dims *dims, const struct value *value, unsigned axis,
                   uint64_t index);
uint32_t dims_units(const struct dims *dims);

struct dims_member {
    const struct value *value;
    unsigned axis;
    uint64_t index;
};

/* The members of a unit, weights and activations alike, by value id, axis, index. Borrowed. */
const struct dims_member *dims_members(const struct dims *dims, uint32_t unit, size_t *ret_count);

/* Units that lie along the same axes belong to one group (the channels of one layer and of all that
 * share them). [0, dims_groups()); units of a group are consecutive. */
uint32_t dims_groups(const struct dims *dims);
uint32_t dims_group(const struct dims *dims, uint32_t unit);

#endif
