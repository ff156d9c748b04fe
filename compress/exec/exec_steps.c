/*
 * From items to steps: which slot each operand is, where a conversion stands between, what is run
 * once and what every time.
 *
 * A conversion stands before the first step that wants it, under the guard of the value itself and
 * not of that step, so that everybody behind it can use it too. What is fixed is converted whatever
 * a guard says: no condition is known when the steps that run once run.
 */
#include "compress/base/arena.h"
#include "compress/exec/exec_build.h"

#include <stdlib.h>

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory to plan a run");
}

static int emit(struct exec_build *b, struct exec_item *item, bool again, struct err *err);
static int observe(struct exec_build *b, const struct value *value, uint32_t guard,
                   struct err *err);
static int observe_all(struct exec_build *b, const struct exec_var *var, uint32_t guard,
                       struct err *err);
static int add_results(struct exec_build *b, struct err *err);
static int make_base(struct exec_build *b, struct exec_var *var, struct err *err);

int exec_steps_forward(struct exec_build *b, struct err *err) {
    const struct exec_options *options = b->options;
    for (size_t i = 0; i < b->item_count; i++)
        if (b->items[i]->needed && b->items[i]->once && emit(b, b->items[i], false, err) < 0)
            return -1;
    for (size_t i = 0; i < options->observed_count; i++) {
        struct exec_var *var = exec_build_var(b, options->observed[i]);
        if (exec_var_fixed(var) || var->value->kind == VALUE_INPUT)
            if (observe(b, options->observed[i], 0, err) < 0)
                return -1;
    }
    for (size_t i = 0; i < b->item_count; i++) {
        struct exec_item *item = b->items[i];
        if (!item->needed || item->once)
            continue;
        if (emit(b, item, false, err) < 0)
            return -1;
        for (size_t k = 0; k < item->out_count; k++)
            if (item->kind != ITEM_FAIL && item->out[k] && item->out[k]->observed &&
                observe_all(b, item->out[k], item->guard, err) < 0)
                return -1;
    }
    if (add_results(b, err) < 0)
        return -1;
    b->plan->forward_count = b->plan->run.count;
    return 0;
}

/* ---- slots ---- */

int exec_steps_slot(struct exec_build *b, enum slot_kind kind, enum slot_place place,
                    const struct value *value, const struct array *shape, uint32_t *ret,
                    struct err *err) {
    struct exec_plan *plan = b->plan;
    if (plan->slot_count >= SLOT_NONE)
        return err_set(err, ERR_TOO_LARGE, "a plan of more than 2^32 arrays");
    struct exec_slot *slots = arena_grow(plan->arena, plan->slots, &plan->slot_capacity,
                                         plan->slot_count + 1, sizeof *slots);
    if (!slots)
        return no_memory(err);
    plan->slots = slots;
    uint32_t index = (uint32_t)plan->slot_count++;
    slots[index] = (struct exec_slot){.kind = kind,
                                      .place = place,
                                      .value = value,
                                      .shape = *shape,
                                      .bytes = array_bytes(shape),
                                      .shares = index,
                                      .first = STEP_NEVER};
    *ret = index;
    return 0;
}

static int shape_of(const struct exec_var *var, bool as_f32, struct array *ret, struct err *err) {
    struct type type = var->fact.type;
    if (as_f32)
        type.dtype = DTYPE_F32;
    if (!type_to_array(&type, ret))
        return err_set(err, ERR_UNSUPPORTED, "the shape of '%s' depends on data", var->value->name);
    return 0;
}

static int var_slot(struct exec_build *b, struct exec_var *var, bool as_f32, enum slot_place place,
                    uint32_t *ret, struct err *err) {
    struct array shape;
    if (shape_of(var, as_f32, &shape, err) < 0)
        return -1;
    if (place == PLACE_CONSTANT)
        shape.data = var->fact.data->data;
    return exec_steps_slot(b, as_f32 ? SLOT_REAL : SLOT_VALUE, place, var->value, &shape, ret, err);
}

int exec_steps_shape(struct exec_build *b, struct exec_var *var, bool as_f32, uint32_t *ret,
                     struct err *err) {
    as_f32 = as_f32 && exec_var_twofold(var);
    uint32_t *at = as_f32 ? &var->real_shape : &var->native_shape;
    if (*at == SLOT_NONE && var_slot(b, var, as_f32, PLACE_NONE, at, err) < 0)
        return -1;
    *ret = *at;
    return 0;
}

int exec_steps_use(struct exec_build *b, struct exec_var *var, bool as_f32, uint32_t *ret,
                   struct err *err) {
    bool twofold = exec_var_twofold(var);
    as_f32 = as_f32 && twofold;
    uint32_t *at = as_f32 ? &var->real : &var->native;
    if (*at == SLOT_NONE && var->native == SLOT_NONE && var->real == SLOT_NONE &&
        make_base(b, var, err) < 0)
        return -1;
    if (*at == SLOT_NONE) {
        bool fixed = exec_var_fixed(var);
        if (var_slot(b, var, as_f32, fixed ? PLACE_KEPT : PLACE_WORKSPACE, at, err) < 0 ||
            exec_steps_move(b, fixed ? &b->plan->once : &b->plan->run, STEP_CONVERT,
                            as_f32 ? var->native : var->real, *at, fixed ? 0 : var->scope->guard, 0,
                            err) < 0)
            return -1;
    }
    *ret = *at;
    return 0;
}

static int by_index(const void *a, const void *b) {
    const struct exec_item *x = *(struct exec_item *const *)a, *y = *(struct exec_item *const *)b;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Runs again what makes a variable whose memory was given up, and what that needs, in order. */
static int run_again(struct exec_build *b, struct exec_var *var, struct err *err) {
    struct exec_item **list = calloc(b->item_count + 1, sizeof(struct exec_item *));
    if (!list)
        return no_memory(err);
    size_t count = 0;
    int result = 0;
    if (var->maker) {
        var->maker->again = true;
        list[count++] = var->maker;
    }
    for (size_t next = 0; next < count; next++)
        for (size_t k = 0; k < list[next]->in_count; k++) {
            struct exec_var *in = list[next]->in[k];
            if (in && in->native == SLOT_NONE && in->real == SLOT_NONE && in->maker &&
                !in->fact.data && !in->maker->again) {
                in->maker->again = true;
                list[count++] = in->maker;
            }
        }
    qsort(list, count, sizeof *list, by_index);
    for (size_t i = 0; i < count; i++) {
        list[i]->again = false;
        if (result == 0)
            result = emit(b, list[i], true, err);
    }
    free(list);
    if (result == 0 && var->native == SLOT_NONE && var->real == SLOT_NONE)
        return err_set(err, ERR_BUG, "'%s' is read but never made", var->value->name);
    return result;
}

/* The first slot of a variable that is no node's output, or whose memory was given up. */
static int make_base(struct exec_build *b, struct exec_var *var, struct err *err) {
    struct exec_plan *plan = b->plan;
    if (var->fact.data)
        return var_slot(b, var, false, PLACE_CONSTANT, &var->native, err);
    if (var->value->kind == VALUE_WEIGHT)
        return var_slot(b, var, exec_var_twofold(var), PLACE_WEIGHT,
                        exec_var_twofold(var) ? &var->real : &var->native, err);
    if (var->value->kind == VALUE_INPUT && var->bound) {
        if (var_slot(b, var, false, PLACE_INPUT, &var->native, err) < 0)
            return -1;
        plan->inputs[plan->input_count++] = (struct exec_result){var->value, var->native};
        return 0;
    }
    return run_again(b, var, err);
}

/* ---- steps ---- */

uint32_t *exec_steps_operands(struct exec_build *b, size_t count, struct err *err) {
    uint32_t *operands = ARENA_ARRAY(b->plan->arena, uint32_t, count + 1);
    if (!operands) {
        no_memory(err);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        operands[i] = SLOT_NONE;
    return operands;
}

/* The step's operands as shapes, for the row's questions; the slots must not grow meanwhile. */
static int ask_row(struct exec_build *b, struct exec_step *step, struct err *err) {
    struct exec_plan *plan = b->plan;
    const struct op *op = step->node->op;
    bool backward = step->kind == STEP_BACKWARD;
    step->scratch = SLOT_NONE;
    if (!op->scratch && !op->macs)
        return 0;
    const struct array **in = calloc(step->in_count + 1, sizeof(const struct array *));
    struct array **out = calloc(step->out_count + 1, sizeof(struct array *));
    uint64_t scratch = 0;
    if (in && out) {
        for (size_t i = 0; i < step->in_count; i++)
            in[i] = step->in[i] == SLOT_NONE ? NULL : &plan->slots[step->in[i]].shape;
        for (size_t i = 0; i < step->out_count; i++)
            out[i] = step->out[i] == SLOT_NONE ? NULL : &plan->slots[step->out[i]].shape;
        struct op_run shapes = {.node = step->node, .in = in, .out = out};
        if (op->scratch)
            scratch = op->scratch(&shapes, backward, plan->threads);
        if (op->macs && !backward && !step->again)
            plan->facts.macs += op->macs(&shapes);
    }
    bool failed = !in || !out;
    free(in);
    free(out);
    if (failed)
        return no_memory(err);
    if (scratch == 0)
        return 0;
    struct array shape;
    if (array_shape(&shape, DTYPE_U8, 1, &scratch, err) < 0)
        return -1;
    /* Scratch of a step that runs once lies beside its results. */
    return exec_steps_slot(b, SLOT_SCRATCH, PLACE_WORKSPACE, NULL, &shape, &step->scratch, err);
}

int exec_steps_add(struct exec_build *b, struct exec_steps *list, const struct exec_step *step,
                   struct err *err) {
    struct exec_plan *plan = b->plan;
    struct exec_step full = *step;
    full.scratch = SLOT_NONE;
    if ((step->kind == STEP_FORWARD || step->kind == STEP_BACKWARD) && ask_row(b, &full, err) < 0)
        return -1;
    if (full.scratch != SLOT_NONE && list == &plan->once)
        plan->slots[full.scratch].place = PLACE_KEPT;
    for (uint32_t g = step->guard; g; g = plan->guards[g].parent)
        if (plan->guards[g].slot == SLOT_NONE) {
            uint32_t slot;
            if (exec_steps_use(b, exec_var_of(b->conditions[g]), false, &slot, err) < 0)
                return -1;
            plan->guards[g].slot = slot;
        }
    struct exec_step *steps =
        arena_grow(plan->arena, list->at, &list->capacity, list->count + 1, sizeof *steps);
    if (!steps)
        return no_memory(err);
    list->at = steps;
    steps[list->count++] = full;
    return 0;
}

int exec_steps_move(struct exec_build *b, struct exec_steps *list, enum step_kind kind,
                    uint32_t from, uint32_t to, uint32_t guard, double fill, struct err *err) {
    struct exec_step step = {.kind = kind, .guard = guard, .fill = fill};
    step.in_count = from == SLOT_NONE ? 0 : 1;
    step.out_count = to == SLOT_NONE ? 0 : 1;
    step.in = exec_steps_operands(b, 1, err);
    step.out = exec_steps_operands(b, 1, err);
    if (!step.in || !step.out)
        return -1;
    step.in[0] = from;
    step.out[0] = to;
    return exec_steps_add(b, list, &step, err);
}

static int emit_node(struct exec_build *b, struct exec_item *item, bool again, struct err *err) {
    bool any = item->node->op->flags & OP_ANY_TYPE;
    struct exec_step step = {.kind = STEP_FORWARD,
                             .node = item->node,
                             .in_count = item->in_count,
                             .out_count = item->out_count,
                             .guard = item->guard,
                             .again = again};
    step.in = exec_steps_operands(b, item->in_count, err);
    step.out = exec_steps_operands(b, item->out_count, err);
    if (!step.in || !step.out)
        return -1;
    for (size_t i = 0; i < item->in_count; i++)
        if (item->in[i] && exec_steps_use(b, item->in[i], !any, &step.in[i], err) < 0)
            return -1;
    for (size_t i = 0; i < item->out_count; i++) {
        struct exec_var *out = item->out[i];
        if (!out || (!out->needed && i > 0))
            continue;
        bool as_f32 = !any && exec_var_twofold(out);
        if (var_slot(b, out, as_f32, item->once ? PLACE_KEPT : PLACE_WORKSPACE, &step.out[i], err) <
            0)
            return -1;
        if (!out->fact.data) /* else it is made beside a needed output, and nobody reads it here */
            *(as_f32 ? &out->real : &out->native) = step.out[i];
    }
    return exec_steps_add(b, item->once ? &b->plan->once : &b->plan->run, &step, err);
}

static int emit(struct exec_build *b, struct exec_item *item, bool again, struct err *err) {
    uint32_t from;
    switch (item->kind) {
    case ITEM_NODE:
        return emit_node(b, item, again, err);
    case ITEM_COPY: {
        struct exec_var *to = item->out[0];
        if (exec_steps_use(b, item->in[0], false, &from, err) < 0)
            return -1;
        if (to->native == SLOT_NONE &&
            var_slot(b, to, false, PLACE_WORKSPACE, &to->native, err) < 0)
            return -1;
        return exec_steps_move(b, &b->plan->run, STEP_COPY, from, to->native, item->guard, 0, err);
    }
    case ITEM_FAIL: {
        struct exec_step step = {
            .kind = STEP_FAIL, .node = item->node, .guard = item->guard, .failure = item->failure};
        return exec_steps_add(b, &b->plan->run, &step, err);
    }
    }
    return err_set(err, ERR_BUG, "an item of no kind");
}

static int observe(struct exec_build *b, const struct value *value, uint32_t guard,
                   struct err *err) {
    struct exec_steps *run = &b->plan->run;
    uint32_t slot;
    if (exec_steps_use(b, exec_build_var(b, value), true, &slot, err) < 0 ||
        exec_steps_move(b, run, STEP_OBSERVE, slot, SLOT_NONE, guard, 0, err) < 0)
        return -1;
    run->at[run->count - 1].value = value;
    return 0;
}

/* All values that the variable stands for: an inlined If's output as well as the body's. */
static int observe_all(struct exec_build *b, const struct exec_var *var, uint32_t guard,
                       struct err *err) {
    const struct exec_options *options = b->options;
    for (size_t i = 0; i < options->observed_count; i++)
        if (exec_build_var(b, options->observed[i]) == var &&
            observe(b, options->observed[i], guard, err) < 0)
            return -1;
    return 0;
}

static int add_result(struct exec_build *b, const struct value *value, bool as_f32,
                      struct err *err) {
    struct exec_plan *plan = b->plan;
    uint32_t slot;
    if (exec_steps_use(b, exec_build_var(b, value), as_f32, &slot, err) < 0)
        return -1;
    plan->slots[slot].result = true;
    plan->outputs[plan->output_count++] = (struct exec_result){value, slot};
    return 0;
}

static int add_results(struct exec_build *b, struct err *err) {
    const struct exec_options *options = b->options;
    for (size_t i = 0; i < options->wanted_count; i++)
        if (add_result(b, options->wanted[i], false, err) < 0)
            return -1;
    if (options->loss && add_result(b, options->loss, true, err) < 0)
        return -1;
    return 0;
}
