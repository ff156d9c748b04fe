/*
 * The rows of the operator table, one line each: X(row) for `const struct op op_<row>`, defined in
 * the op_<family>.c that the section names.
 */
#ifndef COMPRESS_GRAPH_OP_ROWS_H
#define COMPRESS_GRAPH_OP_ROWS_H

#define OP_ROWS(X)              \
    /* op_act.c: activations */ \
    X(relu)

#endif
