/*
 * The backward steps: items from the last to the first, each adding its part to the gradients of
 * what it read. A gradient exists from its first contribution on, so an output without one is an
 * output from which nothing flows, and such an item needs no step.
 */
#include "compress/base/arena.h"
#include "compress/exec/exec_build.h"

#include <assert.h>

static int start(struct exec_build *b, struct err *err);
static int node_step(struct exec_build *b, const struct exec_item *item, struct err *err);
static int copy_step(struct exec_build *b, const struct exec_item *item, struct err *err);

int exec_backward_steps(struct exec_build *b, struct err *err) {
    if (!b->loss)
        return 0;
    if (start(b, err) < 0)
        return -1;
    for (size_t i = b->item_count; i-- > 0;) {
        const struct exec_item *item = b->items[i];
        bool flows = false, wanted = false;
        for (size_t k = 0; k < item->out_count; k++)
            flows |= item->out[k] && item->out[k]->gradient != SLOT_NONE;
        for (size_t k = 0; k < item->in_count; k++)
            wanted |= item->in[k] && item->in[k]->varies;
        if (!item->needed || item->once || !flows || !wanted || item->kind == ITEM_FAIL)
            continue;
        if ((item->kind == ITEM_COPY ? copy_step(b, item, err) : node_step(b, item, err)) < 0)
            return -1;
    }
    return 0;
}

/* A slot of the value's shape in f32. */
static int gradient_slot(struct exec_build *b, const struct exec_var *var, enum slot_place place,
                         uint32_t *ret, struct err *err) {
    struct type type = var->fact.type;
    struct array shape;
    type.dtype = DTYPE_F32;
    if (!type_to_array(&type, &shape))
        return err_set(err, ERR_UNSUPPORTED, "the shape of '%s' depends on data", var->value->name);
    return exec_steps_slot(b, SLOT_GRADIENT, place, var->value, &shape, ret, err);
}

static int temporary(struct exec_build *b, const struct exec_var *var, double fill, uint32_t *ret,
                     struct err *err) {
    if (gradient_slot(b, var, PLACE_WORKSPACE, ret, err) < 0)
        return -1;
    return exec_steps_move(b, &b->plan->run, STEP_FILL, SLOT_NONE, *ret, var->scope->guard, fill,
                           err);
}

/* Gradients that outlive the run, the loss's own, and the end of what is not kept. */
static int start(struct exec_build *b, struct err *err) {
    struct exec_plan *plan = b->plan;
    const struct exec_options *options = b->options;
    struct array shape;
    if (!type_to_array(&b->loss->fact.type, &shape) || shape.elements != 1 ||
        !exec_var_is_float(b->loss))
        return err_set(err, ERR_BAD_FIELD, "the loss '%s' is not one float", b->loss->value->name);
    for (size_t i = 0; i < options->trainable_count + options->wanted_input_count; i++) {
        const struct value *value = i < options->trainable_count
                                        ? options->trainable[i]
                                        : options->wanted_inputs[i - options->trainable_count];
        struct exec_var *var = exec_build_var(b, value);
        if (gradient_slot(b, var, PLACE_GRADIENTS, &var->gradient, err) < 0)
            return -1;
        plan->gradients[plan->gradient_count++] = (struct exec_result){value, var->gradient};
    }
    for (size_t i = 0; i < b->item_count; i++)
        for (size_t k = 0; b->items[i]->dropped && k < b->items[i]->out_count; k++)
            if (b->items[i]->out[k])
                b->items[i]->out[k]->native = b->items[i]->out[k]->real = SLOT_NONE;
    if (!b->loss->varies || b->loss->gradient != SLOT_NONE)
        return 0; /* nothing to train; or the loss is itself a weight */
    return temporary(b, b->loss, 1, &b->loss->gradient, err);
}

/* Where contributions to a variable's gradient are added, zeroed when this is the first. */
static int add_to(struct exec_build *b, struct exec_var *var, uint32_t *ret, struct err *err) {
    if (var->gradient == SLOT_NONE && temporary(b, var, 0, &var->gradient, err) < 0)
        return -1;
    *ret = var->gradient;
    return 0;
}

static int operand(struct exec_build *b, struct exec_var *var, bool data, uint32_t *ret,
                   struct err *err) {
    return data ? exec_steps_use(b, var, true, ret, err) : exec_steps_shape(b, var, true, ret, err);
}

static bool reads_input(const struct op *op, size_t k) {
    return (op->flags & OP_NEEDS_IN) && !(k == 0 && (op->flags & OP_NEEDS_REST));
}

static int node_step(struct exec_build *b, const struct exec_item *item, struct err *err) {
    const struct op *op = item->node->op;
    char name[256];
    if (!op->backward)
        return err_set(err, ERR_UNSUPPORTED, "%s has no gradient",
                       node_describe(item->node, name, sizeof name));
    struct exec_step step = {.kind = STEP_BACKWARD,
                             .node = item->node,
                             .in_count = item->in_count,
                             .out_count = item->out_count,
                             .guard = item->guard};
    step.in = exec_steps_operands(b, item->in_count, err);
    step.out = exec_steps_operands(b, item->out_count, err);
    step.din = exec_steps_operands(b, item->in_count, err);
    step.dout = exec_steps_operands(b, item->out_count, err);
    if (!step.in || !step.out || !step.din || !step.dout)
        return -1;
    for (size_t k = 0; k < item->in_count; k++)
        if (item->in[k] && operand(b, item->in[k], reads_input(op, k), &step.in[k], err) < 0)
            return -1;
    for (size_t k = 0; k < item->out_count; k++) {
        struct exec_var *out = item->out[k];
        if (!out || (!out->needed && k > 0))
            continue;
        if (operand(b, out, op->flags & OP_NEEDS_OUT, &step.out[k], err) < 0)
            return -1;
        step.dout[k] = out->gradient;
    }
    for (size_t k = 0; k < item->in_count; k++) {
        struct exec_var *in = item->in[k];
        if (!in || !in->varies)
            continue;
        bool twice = false; /* a row need not expect two of its gradients in one place */
        for (size_t j = 0; j < k; j++)
            twice |= item->in[j] == in;
        if ((twice ? temporary(b, in, 0, &step.din[k], err) : add_to(b, in, &step.din[k], err)) < 0)
            return -1;
    }
    if (exec_steps_add(b, &b->plan->run, &step, err) < 0)
        return -1;
    for (size_t k = 0; k < item->in_count; k++) {
        const struct exec_var *in = item->in[k];
        if (in && step.din[k] != SLOT_NONE && step.din[k] != in->gradient &&
            exec_steps_move(b, &b->plan->run, STEP_ADD, step.din[k], in->gradient, item->guard, 0,
                            err) < 0)
            return -1;
    }
    return 0;
}

/* If's output was a copy of the branch's result: under the branch's guard, so is its gradient. */
static int copy_step(struct exec_build *b, const struct exec_item *item, struct err *err) {
    uint32_t to;
    assert(item->in[0] && item->out[0]);
    if (add_to(b, item->in[0], &to, err) < 0)
        return -1;
    return exec_steps_move(b, &b->plan->run, STEP_ADD, item->out[0]->gradient, to, item->guard, 0,
                           err);
}
