/*
 * Lifetimes, then who may lie in whose memory, then offsets.
 *
 * A class of slots that share memory is found by its root (slot.shares); the root's first and last
 * are those of the class. In step order:
 *
 *   alias      a row whose result is its input's bytes takes the input's place, whatever that is,
 *              and need not run; unless the caller will look at the result and the place is not
 *              ours to keep
 *   in place   a row that may write over its input does so when that input is read by nobody
 *              afterwards, backward steps included, and lies in memory that is ours to write
 *   clamp      a row that bounds its input, in place, right behind one that can do so: that one
 * does backward   the gradient of an alias row's input is that of its output under another shape;
 * when nothing else is added to it, it takes the place
 */
#include "compress/base/arena.h"
#include "compress/exec/exec_build.h"
#include "compress/exec/exec_layout.h"

#include <stdlib.h>

static void find_lives(struct exec_plan *plan, const struct exec_steps *list, bool is_run);
static void share_list(struct exec_plan *plan, struct exec_steps *list, enum slot_place region);
static void share_gradient(struct exec_plan *plan, struct exec_steps *list, size_t i);
static int lay_out(struct exec_plan *plan, enum slot_place place, size_t end, uint64_t *ret_bytes,
                   uint64_t *ret_live, struct err *err);
static void count_facts(struct exec_plan *plan);

int exec_share(struct exec_build *b, struct err *err) {
    struct exec_plan *plan = b->plan;
    find_lives(plan, &plan->once, false);
    find_lives(plan, &plan->run, true);
    for (size_t i = 0; i < plan->slot_count; i++)
        if (plan->slots[i].result && plan->slots[i].first != STEP_NEVER)
            plan->slots[i].last = STEP_END;
    share_list(plan, &plan->once, PLACE_KEPT);
    share_list(plan, &plan->run, PLACE_WORKSPACE);
    uint64_t live;
    if (lay_out(plan, PLACE_KEPT, plan->once.count, &plan->facts.kept_bytes, &live, err) < 0 ||
        lay_out(plan, PLACE_WORKSPACE, plan->run.count, &plan->facts.workspace_bytes,
                &plan->facts.live_bytes, err) < 0)
        return -1;
    count_facts(plan);
    return 0;
}

static void touch(struct exec_plan *plan, uint32_t index, size_t step, bool is_run) {
    if (index == SLOT_NONE)
        return;
    struct exec_slot *slot = &plan->slots[index];
    if (is_run && slot->place == PLACE_KEPT) { /* read in every run */
        slot->last = STEP_END;
        return;
    }
    if (slot->first == STEP_NEVER)
        slot->first = slot->last = step;
    if (slot->last < step)
        slot->last = step;
}

static void write_to(struct exec_plan *plan, uint32_t index, size_t step, bool is_run) {
    touch(plan, index, step, is_run);
    if (index != SLOT_NONE)
        plan->slots[index].writers++;
}

static void find_lives(struct exec_plan *plan, const struct exec_steps *list, bool is_run) {
    for (size_t i = 0; i < list->count; i++) {
        const struct exec_step *step = &list->at[i];
        for (size_t k = 0; k < step->in_count; k++) {
            touch(plan, step->in[k], i, is_run);
            if (step->din)
                write_to(plan, step->din[k], i, is_run);
        }
        for (size_t k = 0; k < step->out_count; k++) {
            (step->dout ? touch : write_to)(plan, step->out[k], i, is_run);
            if (step->dout)
                touch(plan, step->dout[k], i, is_run);
        }
        touch(plan, step->scratch, i, is_run);
        for (uint32_t g = step->guard; g; g = plan->guards[g].parent)
            touch(plan, plan->guards[g].slot, i, is_run);
    }
}

static void join(struct exec_plan *plan, uint32_t slot, uint32_t root) {
    plan->slots[slot].shares = root;
    if (plan->slots[slot].last > plan->slots[root].last)
        plan->slots[root].last = plan->slots[slot].last;
}

static bool may_alias(const struct exec_slot *root, const struct exec_slot *out) {
    return root->place == out->place || !out->result;
}

static bool may_overwrite(const struct exec_plan *plan, const struct exec_step *step, size_t index,
                          enum slot_place region) {
    uint32_t root = plan->slots[step->in[0]].shares;
    if (plan->slots[root].place != region || plan->slots[root].last != index)
        return false;
    for (size_t k = 1; k < step->in_count; k++) /* broadcast, it would be read after it is gone */
        if (step->in[k] != SLOT_NONE && step->in[k] != step->in[0] &&
            plan->slots[step->in[k]].shares == root)
            return false;
    return true;
}

/* Step i, in place, may be done by the one before it, whose result nobody else has seen. */
static void give_clamp(const struct exec_plan *plan, struct exec_steps *list, size_t i) {
    enum { MOST = 3 };
    struct exec_step *step = &list->at[i], *before = i ? &list->at[i - 1] : NULL;
    if (!before || before->kind != STEP_FORWARD || !(before->node->op->flags & OP_CLAMPS) ||
        before->out[0] != step->in[0] || before->guard != step->guard || before->clamps ||
        !step->node->op->clamp || step->in_count > MOST ||
        plan->slots[step->in[0]].shape.dtype != DTYPE_F32)
        return;
    const struct array *in[MOST] = {NULL};
    for (size_t k = 0; k < step->in_count; k++)
        in[k] = step->in[k] == SLOT_NONE ? NULL : &plan->slots[step->in[k]].shape;
    struct op_run run = {.node = step->node, .in = in};
    before->clamps = step->skipped = step->node->op->clamp(&run, &before->clamp);
}

static void share_list(struct exec_plan *plan, struct exec_steps *list, enum slot_place region) {
    for (size_t i = 0; i < list->count; i++) {
        struct exec_step *step = &list->at[i];
        if (step->kind == STEP_BACKWARD)
            share_gradient(plan, list, i);
        if (step->kind != STEP_FORWARD || step->in_count == 0 || step->out_count == 0 ||
            step->in[0] == SLOT_NONE || step->out[0] == SLOT_NONE)
            continue;
        const struct exec_slot *in = &plan->slots[step->in[0]], *out = &plan->slots[step->out[0]];
        const struct exec_slot *root = &plan->slots[in->shares];
        unsigned flags = step->node->op->flags;
        if (in->shape.dtype != out->shape.dtype || in->bytes != out->bytes)
            continue;
        bool others = false;
        for (size_t k = 1; k < step->out_count; k++)
            others |= step->out[k] != SLOT_NONE;
        if ((flags & OP_ALIAS) && !others && may_alias(root, out)) {
            step->skipped = true;
            join(plan, step->out[0], in->shares);
        } else if ((flags & OP_IN_PLACE) && may_overwrite(plan, step, i, region)) {
            step->in_place = true;
            join(plan, step->out[0], in->shares);
            give_clamp(plan, list, i);
        }
    }
}

/* The backward step of an alias row, and the step before it that zeroes the gradient. */
static void share_gradient(struct exec_plan *plan, struct exec_steps *list, size_t i) {
    struct exec_step *step = &list->at[i];
    if (i == 0 || !(step->node->op->flags & OP_ALIAS) || step->in_count == 0 ||
        step->out_count == 0 || step->din[0] == SLOT_NONE || step->dout[0] == SLOT_NONE)
        return;
    struct exec_step *fill = &list->at[i - 1];
    const struct exec_slot *din = &plan->slots[step->din[0]], *dout = &plan->slots[step->dout[0]];
    for (size_t k = 1; k < step->in_count; k++)
        if (step->din[k] != SLOT_NONE)
            return;
    if (fill->kind != STEP_FILL || fill->out[0] != step->din[0] || din->writers != 2 ||
        din->place != PLACE_WORKSPACE || plan->slots[dout->shares].place != PLACE_WORKSPACE ||
        plan->slots[dout->shares].last != i || din->bytes != dout->bytes)
        return;
    step->skipped = fill->skipped = true;
    join(plan, step->din[0], dout->shares);
}

static bool has_place(const struct exec_plan *plan, uint32_t i, enum slot_place place) {
    const struct exec_slot *slot = &plan->slots[i];
    return slot->shares == i && slot->place == place && slot->first != STEP_NEVER;
}

static int lay_out(struct exec_plan *plan, enum slot_place place, size_t end, uint64_t *ret_bytes,
                   uint64_t *ret_live, struct err *err) {
    struct exec_piece *pieces = calloc(plan->slot_count + 1, sizeof *pieces);
    if (!pieces)
        return err_set(err, ERR_NO_MEMORY, "no memory to plan a run");
    size_t count = 0;
    for (uint32_t i = 0; i < plan->slot_count; i++) {
        const struct exec_slot *slot = &plan->slots[i];
        if (has_place(plan, i, place))
            pieces[count++] = (struct exec_piece){.bytes = slot->bytes,
                                                  .first = slot->first,
                                                  .last = slot->last < end ? slot->last : end};
    }
    int result = exec_layout(pieces, count, ret_bytes, ret_live, err);
    count = 0;
    for (uint32_t i = 0; i < plan->slot_count; i++)
        if (has_place(plan, i, place))
            plan->slots[i].offset = pieces[count++].offset;
    free(pieces);
    return result;
}

static void count_facts(struct exec_plan *plan) {
    struct exec_facts *facts = &plan->facts;
    for (uint32_t i = 0; i < plan->slot_count; i++) {
        struct exec_slot *slot = &plan->slots[i];
        if (slot->place == PLACE_WEIGHT)
            facts->weight_bytes += slot->bytes;
        if (slot->place == PLACE_GRADIENTS) {
            slot->offset = facts->gradient_bytes;
            facts->gradient_bytes +=
                (slot->bytes + EXEC_LAYOUT_ALIGN - 1) / EXEC_LAYOUT_ALIGN * EXEC_LAYOUT_ALIGN;
        }
    }
    facts->once_steps = plan->once.count;
    facts->forward_steps = plan->forward_count;
    for (size_t i = plan->forward_count; i < plan->run.count; i++)
        *(plan->run.at[i].again ? &facts->recomputed_steps : &facts->backward_steps) += 1;
}
