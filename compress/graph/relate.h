/*
 * How the axes of one node relate: what a row's `dims` says, and what the tracer (dims.h) reads.
 *
 * An axis is (side, slot, axis); its indices are 0 .. size-1. A relation ties index i of `a` to
 * index
 *
 *     i / div % mod * mul + offset      of `b`
 *
 * for every i of `a` for which that lies inside of `b`: what is tied goes together when it is cut.
 * That one map says everything:
 *
 *   same                       div 1, mod 0 (none), mul 1, offset 0
 *   part of, at an offset      Concat: input axis → output axis + offset; Split the other way
 *   position within a group    mod n: grouped convolution, GroupNorm: the same position of every
 *                              group goes, so that groups stay equal
 *   block of m                 div m: depthwise convolution with a multiplier, repeated heads; with
 *                              mul n, blocks of m go with blocks of n (heads of keys and values)
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
    uint64_t div, mod, mul, offset;
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
/* Position i of a group of b goes with i + k * mod of a: mapped with a modulus, and contracted. */
int relate_contracted_groups(struct relations *r, struct axis a, struct axis b, uint64_t group);
/* Block k of `len` indices goes as a whole, with block k of other_len of `other` (may be itself).
 */
int relate_blocks(struct relations *r, struct axis a, uint64_t len, struct axis other,
                  uint64_t other_len);
int relate_fixed(struct relations *r, struct axis a);
/* That axis and all behind it. */
int relate_fixed_from(struct relations *r, struct axis a);
/* `count` axes from a and b on. */
int relate_axes(struct relations *r, struct axis a, struct axis b, unsigned count);
/* The same where they are of one size, else `a` (a one that is stretched) is fixed. */
int relate_same_or_one(struct relations *r, struct axis a, struct axis b);

/* Ready-made `dims` of common rows. */
/* Input 0 and output 0 are of one shape, axis by axis (activations). */
int relate_elementwise(struct relations *r, const struct op_run *shapes);
/* NumPy broadcasting of all inputs into output 0. */
int relate_broadcast(struct relations *r, const struct op_run *shapes);
/* All that the node touches is fixed. */
int relate_nothing(struct relations *r, const struct op_run *shapes);
/* Inputs a and b are matrices, or vectors that are a row and a column, over batches; output 0 is
 * their product. */
int relate_matmul(struct relations *r, unsigned a, unsigned b, bool a_transposed,
                  bool b_transposed);
/* Input x [n, groups * c, ...] by input w [groups * m, c, ...] is output 0 [n, groups * m, ...].
 * One channel a group: channels and groups go together; else the same position of every group. */
int relate_convolution(struct relations *r, unsigned x, unsigned w, uint64_t groups);
/* `in` and `out` hold the same elements in the same order under two shapes (Reshape and friends).
 */
int relate_reshaped(struct relations *r, const struct array *in, const struct array *out);

#endif
