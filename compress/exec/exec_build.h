/*
 * Planning, and the three stations on the way. Each is a file:
 *
 *   exec_items      the graph and its bindings → *items*: nodes that must run, with everything
 *                   known about their values; branches inlined or guarded
 *   exec_steps      items → the steps of the once and the forward list
 *   exec_backward   the loss and the items → the backward steps
 *   exec_share      steps → lifetimes, shared memory, offsets
 *
 * Items are made once. The rest is made as often as exec_recompute tries another set of items whose
 * results are dropped after the forward pass.
 *
 * A *variable* is a value in the scope it was met in: a body planned for one branch has a scope of
 * its own. What a body sees of the graph around it, and the outputs of an inlined branch, are the
 * same variable as what they stand for (exec_var_of).
 *
 * Owns: everything lives in the plan's arena. Threads: one.
 */
#ifndef COMPRESS_EXEC_EXEC_BUILD_H
#define COMPRESS_EXEC_EXEC_BUILD_H

#include "compress/exec/exec_list.h"
#include "compress/graph/op.h"

struct exec_scope {
    const struct graph *graph;
    struct exec_scope *parent;
    struct exec_var *vars; /* by value id */
    uint32_t guard;        /* under which the scope's values exist */
    struct exec_scope *next;
};

struct exec_var {
    const struct value *value;
    struct exec_scope *scope;
    struct exec_var *same;   /* the variable that it stands for, or NULL */
    struct exec_item *maker; /* of an output that can be run again; NULL: constant, weight, input,
                                output of If */
    struct fact fact;
    bool needed;
    bool once;           /* does not change between runs */
    bool trainable;      /* a weight whose gradient is wanted */
    bool wanted;         /* must outlive the run */
    bool bound;          /* an input with a binding */
    bool wants_gradient; /* of an input, for the caller */
    bool observed;
    bool varies; /* depends on something whose gradient is wanted */
    /* Slots, of one attempt. */
    uint32_t native, real, gradient;
    uint32_t native_shape, real_shape; /* PLACE_NONE */
};

enum item_kind {
    ITEM_NODE,
    ITEM_COPY, /* in[0], a branch's result, becomes out[0], If's output */
    ITEM_FAIL, /* `failure`, where a branch should be */
};

struct exec_item {
    enum item_kind kind;
    const struct node *node;
    struct exec_scope *scope;
    uint32_t guard;
    struct exec_var **in, **out; /* resolved; NULL: not given, not wanted */
    size_t in_count, out_count;
    size_t index; /* in build->items */
    const struct err *failure;
    bool needed;
    bool once;
    bool dropped; /* its results are made again for the backward pass */
    bool again;   /* being made again right now */
};

struct exec_build {
    struct exec_plan *plan;
    const struct exec_options *options;
    const struct binding *bindings;
    size_t binding_count;
    struct exec_scope *main;
    struct exec_scope *scopes; /* all, main among them */
    struct exec_item **items;
    size_t item_count, item_capacity;
    struct exec_var **conditions; /* per guard; [0] NULL */
    size_t condition_capacity;
    struct exec_var *loss; /* or NULL */
};

/* What a variable stands for; of one of the plan's own values. */
struct exec_var *exec_var_of(struct exec_var *var);
struct exec_var *exec_build_var(const struct exec_build *build, const struct value *value);

static inline bool exec_var_is_float(const struct exec_var *var) {
    return dtype_row(var->fact.type.dtype)->is_float;
}
/* A float that is not f32: rows may want to see it as f32. */
static inline bool exec_var_twofold(const struct exec_var *var) {
    return var->fact.type.dtype != DTYPE_F32 && exec_var_is_float(var);
}
/* The same in every run. */
static inline bool exec_var_fixed(const struct exec_var *var) {
    return var->fact.data || var->once || (var->value->kind == VALUE_WEIGHT && !var->trainable);
}

/* Items, needed ones marked; wanted, observed, trainable variables marked. */
int exec_items(struct exec_build *build, struct err *err);

/* Once and forward steps, and the slots of the outputs, into a plan that has no steps. */
int exec_steps_forward(struct exec_build *build, struct err *err);
/* The slot that holds a variable in its own type, or as f32 (as_f32) when it is a float; made now
 * when it is not there: converted, or run again. May add steps. */
int exec_steps_use(struct exec_build *build, struct exec_var *var, bool as_f32, uint32_t *ret,
                   struct err *err);
/* The same as a shape alone. */
int exec_steps_shape(struct exec_build *build, struct exec_var *var, bool as_f32, uint32_t *ret,
                     struct err *err);
int exec_steps_slot(struct exec_build *build, enum slot_kind kind, enum slot_place place,
                    const struct value *value, const struct array *shape, uint32_t *ret,
                    struct err *err);
/* `count` operands, SLOT_NONE; NULL with err set. */
uint32_t *exec_steps_operands(struct exec_build *build, size_t count, struct err *err);
/* Appends a step whose operands are set, under the scratch and the guard that it needs. */
int exec_steps_add(struct exec_build *build, struct exec_steps *list, const struct exec_step *step,
                   struct err *err);
/* A step between two slots: CONVERT, COPY, ADD; FILL without `from`. */
int exec_steps_move(struct exec_build *build, struct exec_steps *list, enum step_kind kind,
                    uint32_t from, uint32_t to, uint32_t guard, double fill, struct err *err);

/* The backward steps, behind the forward ones. */
int exec_backward_steps(struct exec_build *build, struct err *err);

/* Lifetimes, sharing, offsets, and the facts about bytes. */
int exec_share(struct exec_build *build, struct err *err);

/* All the way from items to offsets, within the options' memory. */
int exec_recompute(struct exec_build *build, struct err *err);

#endif
