/*
 * What a plan is made of, for those who make it, run it and print it: slots, steps, guards.
 *
 *   slots    every array that a step touches. Several may be one memory: `shares` names the slot
 *            that has the place (its own index where nothing is shared)
 *   once     steps of a session's start: their inputs are weights and constants
 *   run      forward steps [0, forward_count), then the backward ones
 *   guards   conditions under which steps run; guard 0 always holds
 *
 * Owns: everything in the plan's arena. Threads: constant once planned.
 */
#ifndef COMPRESS_EXEC_EXEC_LIST_H
#define COMPRESS_EXEC_EXEC_LIST_H

#include "compress/exec/exec_plan.h"
#include "compress/tensor/vmath.h"

#include <stdbool.h>

#define SLOT_NONE UINT32_MAX
/* The step of what must outlive all steps. */
#define STEP_END ((size_t)-2)
#define STEP_NEVER ((size_t)-1)

enum slot_kind {
    SLOT_VALUE,    /* as its type says */
    SLOT_REAL,     /* a float of another width as f32 */
    SLOT_GRADIENT, /* of the value, in f32 */
    SLOT_SCRATCH,
};

enum slot_place {
    PLACE_NONE,      /* only the shape is told */
    PLACE_WORKSPACE, /* [offset, offset + bytes) of the workspace */
    PLACE_KEPT,      /* of the session's kept results */
    PLACE_GRADIENTS, /* of the session's gradients */
    PLACE_WEIGHT,    /* the executor's copy of a weight (weights.h) */
    PLACE_CONSTANT,  /* shape.data */
    PLACE_INPUT,     /* the caller's, during a run */
};

struct exec_slot {
    enum slot_kind kind;
    enum slot_place place;
    const struct value *value; /* NULL: scratch */
    struct array shape;        /* data: constants alone */
    uint64_t bytes;
    uint64_t offset;
    uint32_t shares;    /* index of the slot whose memory this is */
    unsigned writers;   /* steps that write it */
    bool result;        /* the caller looks at it after the run */
    size_t first, last; /* steps of its list between which it lives; first STEP_NEVER: nowhere */
};

enum step_kind {
    STEP_FORWARD,  /* in → out */
    STEP_BACKWARD, /* in, out, dout → din */
    STEP_CONVERT,  /* in[0] → out[0], another type */
    STEP_COPY,     /* in[0] → out[0] */
    STEP_ADD,      /* out[0] += in[0] */
    STEP_FILL,     /* out[0] = fill */
    STEP_OBSERVE,  /* somebody looks at in[0] */
    STEP_FAIL,     /* a branch that could not be planned was taken: `failure` */
};

struct exec_step {
    enum step_kind kind;
    const struct node *node;   /* FORWARD, BACKWARD, FAIL */
    const struct value *value; /* OBSERVE: what was asked for, which in[0] may only stand for */
    uint32_t *in, *out;        /* slots; SLOT_NONE: not given, not wanted */
    size_t in_count, out_count;
    uint32_t *dout, *din; /* BACKWARD: out_count, in_count of them */
    uint32_t scratch;
    uint32_t guard;
    bool again;    /* a forward step that runs once more, during the backward pass */
    bool in_place; /* out[0] is written over in[0] */
    bool skipped;  /* out[0] shares in[0]'s memory: there is nothing to do */
    bool clamps;   /* the step behind is skipped: this one puts its bounds on out[0] */
    struct clamp clamp;
    double fill;
    const struct err *failure;
};

struct exec_guard {
    uint32_t parent; /* must hold too; of guard 0: itself */
    uint32_t slot;   /* of the condition: one boolean */
    bool side;       /* what it must be */
};

struct exec_steps {
    struct exec_step *at;
    size_t count, capacity;
};

/* Values whose arrays the caller asks for. */
struct exec_result {
    const struct value *value;
    uint32_t slot;
};

struct exec_plan {
    struct arena *arena;
    const struct graph *graph;
    struct exec_slot *slots;
    size_t slot_count, slot_capacity;
    struct exec_guard *guards;
    size_t guard_count, guard_capacity;
    struct exec_steps once, run;
    size_t forward_count;
    struct exec_result *outputs; /* wanted, and the loss */
    size_t output_count;
    struct exec_result *gradients;
    size_t gradient_count;
    struct exec_result *inputs; /* that the steps or the results read: slot */
    size_t input_count;
    /* What the plan was made for; data: the content that it relies on. */
    const struct binding *bindings;
    size_t binding_count;
    unsigned threads;
    struct exec_facts facts;
};

/* "t0", "t0 as f32", "d t0": how a slot is called. Returns text. */
const char *exec_slot_name(const struct exec_plan *plan, uint32_t slot, char *text, size_t cap);

#endif
