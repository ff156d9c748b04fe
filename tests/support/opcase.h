/*
 * An operator with its inputs as one line of text: what tests of operators are tables of.
 *
 *     Conv(kernel_shape=[3,3], group=2) x:f32[2,4,8,8] w:f32[6,2,3,3] b:f32[6]
 *     Gather(axis=1) x:f32[3,4] i:i64[2]{0,3}
 *     Softmax@11(axis=1) x:f32[2,3,4]~(-3,3)
 *     com.microsoft::MatMulNBits(K=32, N=8, bits=4, block_size=32) f32[2,32] u8[8,1,16] f32[8]
 *     Clip x:f32[7] - max:f32[]{0.5}
 *     Split(axis=0, num_outputs=2) x:f32[5,2] -> 2
 *
 *   operator    [domain::]OpType[@version][(name=value, ...)]; the version of ONNX's own domain is
 *               OP_ONNX_VERSION unless said, of another 1
 *   value       3 · 0.5 (a point or exponent makes it a float; inf, nan too) · [1,2] · [0.5,1.0] ·
 *               "text" or 'text' · ['a','b'] · a tensor as an input is written: f32[2]{1,2}
 *   input       [name:]dtype[dims]CONTENT, or - for an optional one that is not given
 *   CONTENT     {1,2,3} exactly these, and inference knows them (a constant; one number fills all)
 * ·
 *               ~(lo,hi) random between the two, whole numbers including both ends · nothing:
 *               between -1 and 1 for floats, 0 to 3 for integers, any boolean
 *   -> n        so many outputs; 1 unless said. -> 1,-,1 names each: - is one that nobody wants
 *
 * Random contents depend on the seed alone. Compiled for both kinds of `real`.
 *
 * Owns: graph and arrays. Threads: one at a time.
 * Expected failures: ERR_BAD_FIELD (the text), what graph_add_node() and inference say.
 */
#ifndef TESTS_SUPPORT_OPCASE_H
#define TESTS_SUPPORT_OPCASE_H

#include "compress/graph/op.h"

struct opcase {
    struct arena *arena;
    struct graph *graph;
    struct node *node;
    size_t in_count, out_count;
    struct array **in;  /* in_count; NULL: not given */
    bool *in_known;     /* its content is written in the text */
    struct array **out; /* out_count, NULL where not wanted; NULL until opcase_infer() */
    int64_t *sizes;     /* by symbol: what OPCASE_SYMBOLS hides; sizes[0] is unused */
    size_t size_count, size_capacity;
};

int opcase_new(const char *text, uint64_t seed, struct opcase *ret, struct err *err);
void opcase_free(struct opcase *opcase);

/* What inference is told of the inputs. */
enum opcase_telling {
    OPCASE_SHAPES,   /* shapes, and the contents that the text states */
    OPCASE_CONTENTS, /* everything: for outputs whose shape depends on data */
    OPCASE_SYMBOLS,  /* ranks alone: every dimension is a symbol, no contents */
    OPCASE_NOTHING,  /* not even ranks */
};
/* The types of the outputs, out_count of them, in the case's arena. */
int opcase_facts(struct opcase *opcase, enum opcase_telling telling, struct fact **ret,
                 struct err *err);
/* What a symbol of OPCASE_SYMBOLS stands for; -1: inference made it. */
int64_t opcase_size(const struct opcase *opcase, uint32_t symbol);
/* Makes opcase->out: arrays of the inferred types, their bytes undefined. */
int opcase_infer(struct opcase *opcase, struct err *err);
/* The three of them and op_run_node(). */
int opcase_run(const char *text, uint64_t seed, struct opcase *ret, struct err *err);

#endif
