/*
 * The operator table: one row per operator, everything anybody asks about it.
 *
 * A row is found by (domain, op_type) and covers a range of versions of the domain's operator set;
 * what changed between versions (an attribute that became an input) is settled in `parse` and
 * `infer`. Adding an operator is one row in an op_<family>.c, its line in op_rows.h and its case in
 * tests/numeric (a row without one does not build).
 *
 * Forward and backward are given whole arrays with final shapes and sizes: they allocate nothing.
 * Work is cut into fixed tiles for the team (loop_run), so that results do not depend on the number
 * of threads; they ask for cancellation only through loop_run(). What inference has checked they
 * may rely on; what depends on data (an index out of range, a label) they must check and refuse
 * with ERR_BAD_FIELD, ERR_BAD_MODEL.
 *
 * Threads: rows are constant.
 */
#ifndef COMPRESS_GRAPH_OP_H
#define COMPRESS_GRAPH_OP_H

#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/graph/graph.h"
#include "compress/tensor/vmath.h"

/* ---- inference ---- */

struct op_infer {
    const struct node *node;
    struct symbols *symbols;
    struct arena *arena;
    const struct fact *const *in; /* node->in_count; NULL: not given */
    struct fact *out;             /* node->out_count, zeroed; fill in types, and contents when they
                                     follow from partly known ones */
};

/* ---- running ---- */

struct op_run {
    const struct node *node;
    const struct array *const *in; /* node->in_count; NULL: not given */
    struct array *const *out;      /* node->out_count; NULL: not wanted */
    void *scratch;                 /* op->scratch() bytes, 64-byte aligned, contents undefined */
    struct team *team;             /* NULL: the calling thread alone */
    const struct progress *progress;
    const struct clamp *clamp; /* for rows with OP_CLAMPS; NULL: none */
};

struct op_backward {
    struct op_run run; /* in and out hold data only where the row's flags say that it needs them */
    const struct array *const *dout; /* gradient of each output; NULL: none flows */
    struct array *const *din; /* gradient of each input, to be *added* to; NULL: not wanted */
};

enum op_flag {
    /* forward takes every type that ONNX allows. Without it floats of any other width are converted
     * to f32 before and back after by whoever runs it, and forward sees f32 alone. */
    OP_ANY_TYPE = 1 << 0,
    /* out[0] may be the same memory as in[0] when they are of one size (same-index elementwise). */
    OP_IN_PLACE = 1 << 1,
    /* out[0] is in[0]'s bytes under another shape: nothing needs to run when they share memory.
     * forward must still copy when they do not. */
    OP_ALIAS = 1 << 2,
    /* what backward reads besides dout */
    OP_NEEDS_IN = 1 << 3,
    OP_NEEDS_OUT = 1 << 4,
    /* The same inputs do not give the same outputs, or there are bodies: never folded. */
    OP_NOT_FOLDED = 1 << 5,
    /* Beside OP_NEEDS_IN: not in[0], only the inputs after it (indices, starts, sizes), which are
     * small; the data itself need not be kept for backward. */
    OP_NEEDS_REST = 1 << 6,
    /* forward puts op_run.clamp on out[0]: one pass over memory instead of two. */
    OP_CLAMPS = 1 << 7,
};

struct relations;

struct op {
    const char *op_type, *domain;
    int min_version, max_version; /* of the domain's operator set; inclusive */
    size_t min_in, max_in;        /* OP_MANY: no bound */
    size_t min_out, max_out;
    unsigned flags;
    /* Attributes → params in the arena, once. Checks ranges and unknown values (ERR_BAD_MODEL for
     * what the specification forbids, ERR_UNSUPPORTED for what we do not run). NULL: none. */
    int (*parse)(const struct node *node, struct arena *arena, void **ret_params, struct err *err);
    int (*infer)(struct op_infer *infer, struct err *err);
    /* NULL: not run by itself (If, Loop, Constant: the executor knows them). */
    int (*forward)(const struct op_run *run, struct err *err);
    /* NULL: not differentiable. */
    int (*backward)(const struct op_backward *back, struct err *err);
    /* Bytes of scratch, from shapes alone (arrays without data). NULL: none. */
    uint64_t (*scratch)(const struct op_run *shapes, bool backward, unsigned threads);
    /* out[0] is in[0] within bounds that are known: in holds the contents of constants after the
     * first. false: it is not. Whoever runs it may then give the bounds to the row before it
     * (OP_CLAMPS) and leave it out. NULL: it never is. */
    bool (*clamp)(const struct op_run *run, struct clamp *ret);
    /* Multiply-accumulates of forward, from shapes alone. NULL: none. */
    uint64_t (*macs)(const struct op_run *shapes);
    /* How its axes relate (relate.h). NULL: every axis it touches is fixed. */
    int (*dims)(struct relations *relations, const struct op_run *shapes);
    /* Fits the node to axes that have shrunk: rewrites attributes that count (group, num_heads,
     * split) and gives new contents to small constant inputs that do (a target shape, the ends of a
     * slice), in the graph's arena. before and after: shapes without data. NULL: nothing counts. */
    int (*cut)(struct node *node, const struct op_run *before, const struct op_run *after,
               struct err *err);
    /* Largest relative deviation of a gradient from finite differences in double precision. */
    double tolerance;
    const char *doc;
};

#define OP_MANY SIZE_MAX
/* The operator set that the rows were last compared with. Later ones are carried, not run. */
#define OP_ONNX_VERSION 27

const struct op *op_at(size_t i); /* NULL past the end */
/* NULL with *why_not (static or in the arena) when there is no row or none for that version. */
const struct op *op_find(const char *domain, const char *op_type, int64_t version,
                         struct arena *arena, const char **why_not);

/* ---- for the rows ---- */

/* axis in [-rank, rank) → [0, rank). ERR_BAD_MODEL naming the node. */
int op_axis(const struct node *node, int64_t axis, unsigned rank, unsigned *ret, struct err *err);
/* NumPy broadcasting of two types' dimensions into ret (dtype untouched). A symbol against 1 is the
 * symbol, against a number the number (the file promises it), against another symbol a fresh one.
 */
int op_broadcast(struct op_infer *infer, const struct type *a, const struct type *b,
                 struct type *ret, struct err *err);
/* out[0] has the type of in[0]. The inference of most unary operators. */
int op_infer_same(struct op_infer *infer, struct err *err);
/* ERR_BAD_MODEL: "Conv 'x': <text>". */
int op_fail(const struct node *node, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define op_fail(...) (op_fail(__VA_ARGS__), err_failed()) /* see base/err.h */

/* ---- one node at a time ---- */

/* Infers one node: calls the row, merges what the file declares, and folds: a node whose inputs are
 * all known is run here, into the arena, when its outputs have at most LIMIT_FOLD_ELEMENTS.
 * A node without a row gives unknown types and is no failure. */
int op_infer_node(struct op_infer *infer, struct err *err);
/* Runs a node by itself with scratch of its own (tests, folding): converts types around rows that
 * do not take them. out: shaped, with data. */
int op_run_node(const struct node *node, const struct array *const *in, struct array *const *out,
                struct team *team, struct err *err);

#endif
