/*
 * How the axes of one node relate: what a row's `dims` says, and what the tracer (dims.h) reads.
 *
 * An axis is (side, slot, axis); its indices are 0 .. size-1. A relation ties index i of `a` to
 * index
 *
 *     i / div % mod + offset            of `b`
 *
 * for every i of `a` for which that lies inside of `b`: what is tied goes together when it is cut.
 * That one map says everything:
 *
 *   same                       div 1, mod 0 (none), offset 0
 *   part of, at an offset      Concat: input axis → output axis + offset; Split the other way
 *   position within a group    mod n: grouped convolution, GroupNorm: the same position of every
 *                              group goes, so that groups stay equal
 *   block of m                 div m: depthwise convolution with a multiplier, repeated heads
 *
 * A *contracted* relation is `same` for cutting, but the other axes' results change with it (an
 * inner product is over fewer terms, a mean over fewer channels). A *factored* axis is a product of
 * several (hidden = heads × head size): the tracer ties it to the outermost factor that can be cut
 * and holds the others fixed. A *fixed* axis is never cut: what the row does with it depends on its
 * size or on the place of its elements. An axis that no relation names may be cut freely and ties
 * nothing – rows must not forget one.
 */
#ifndef COMPRESS_GRAPH_RELATE_H
#define COMPRESS_GRAPH_RELATE_H

#include "compress/graph/op.h"

struct axis {
    bool output; /* node->out[slot], else node->in[slot] */
    unsigned slot;
    unsigned axis;
};

#define AXIS_IN(i, d) ((struct axis){false, (unsigned)(i), (unsigned)(d)})
#define AXIS_OUT(i, d) ((struct axis){true, (unsigned)(i), (unsigned)(d)})

enum relation_kind { RELATION_TIE, RELATION_FACTORED, RELATION_FIXED };

enum { RELATION_FACTORS = LIMIT_RANK };

struct relation {
    enum relation_kind kind;
    bool contracted;
    struct axis a, b;
    uint64_t div, mod, offset;
    /* FACTORED: `a` is the product of these, outermost first. */
    struct axis factors[RELATION_FACTORS];
    unsigned factor_count;
};

struct relations {
    const struct op_run *shapes; /* of the node, without data */
    struct arena *arena;
    struct relation *list;
    size_t count, capacity;
};

/* All return -1 when the arena is exhausted. Axes of values that are not given are ignored, so a
 * row may name optional inputs without asking. */
int relate_same(struct relations *r, struct axis a, struct axis b);
int relate_contracted(struct relations *r, struct axis a, struct axis b);
int relate_part(struct relations *r, struct axis part, struct axis whole, uint64_t offset);
int relate_mapped(struct relations *r, struct axis a, struct axis b, uint64_t div, uint64_t mod,
                  uint64_t offset);
int relate_factored(struct relations *r, struct axis whole, const struct axis *factors,
                    unsigned count);
int relate_fixed(struct relations *r, struct axis a);

/* Ready-made `dims` of common rows. */
/* Input 0 and output 0 are of one shape, axis by axis (activations). */
int relate_elementwise(struct relations *r, const struct op_run *shapes);
/* NumPy broadcasting of all inputs into output 0. */
int relate_broadcast(struct relations *r, const struct op_run *shapes);
/* `in` and `out` hold the same elements in the same order under two shapes (Reshape and friends).
 */
int relate_reshaped(struct relations *r, const struct array *in, const struct array *out);

#endif
