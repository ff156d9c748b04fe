/*
 * What operators mean to roles (roles.h): a row per operator, ONNX's own and those that ONNX
 * Runtime's optimiser puts in their place, whether they can be run here or not. Threads: any.
 */
#ifndef COMPRESS_GRAPH_ROLE_OPS_H
#define COMPRESS_GRAPH_ROLE_OPS_H

#include "compress/graph/graph.h"

enum role_kind {
    ROLE_OP_OTHER,   /* nothing; what it makes comes from nowhere */
    ROLE_OP_MOVE,    /* the elements of input 0, elsewhere or converted */
    ROLE_OP_GATHER,  /* the same, unless it looks ids up in a table */
    ROLE_OP_COMBINE, /* elementwise over its inputs from data on */
    ROLE_OP_CONCAT,
    ROLE_OP_REDUCE, /* a mean or sum: the moment of a normalisation */
    ROLE_OP_ROOT,   /* of a moment, or one over it */
    ROLE_OP_SOFTMAX,
    ROLE_OP_SQUASH,  /* keeps scores that */
    ROLE_OP_PRODUCT, /* data by weight */
    ROLE_OP_CONV,
    ROLE_OP_NORM,      /* inputs [weight, bias) are of it, and [data, end) tables of embeddings */
    ROLE_OP_ATTENTION, /* inputs [data, end) are queries, keys, values */
    ROLE_OP_RNN,
    ROLE_OP_BIASED, /* something else that takes a bias */
    ROLE_OP_SHAPE,  /* looks at the type of its input alone */
};

#define ROLE_OP_NONE (-1)

struct role_op {
    const char *op_type;
    enum role_kind kind;
    int data, end;    /* inputs */
    int weight, bias; /* inputs, or ROLE_OP_NONE */
    bool swaps;       /* PRODUCT: the weight may stand in the data's place */
    bool adds;        /* COMBINE, NORM: a sum of its two inputs */
    bool scales;      /* COMBINE: a product or quotient */
    bool microsoft;   /* of com.microsoft alone */
};

const struct role_op *role_op_at(size_t i); /* NULL past the end */
/* Never NULL: what has no row is other. */
const struct role_op *role_op_of(const struct node *node);

#endif
