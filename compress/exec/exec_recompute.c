/*
 * Which results to give up after the forward pass and to make again in the backward pass.
 *
 * The items are cut into segments of about equal bytes of results. What a later segment reads is
 * kept, what only its own segment reads may be dropped: it comes back in one piece when the
 * backward pass enters the segment. Early segments live longest, so they are dropped first. For
 * every number of segments tried, the fewest dropped ones that fit are found by halving; of all
 * that fit, the plan with the fewest steps run again is taken.
 */
#include "compress/base/arena.h"
#include "compress/exec/exec_build.h"

#include <inttypes.h>
#include <stdlib.h>

struct cut {
    size_t segments, dropped; /* the first `dropped` of them */
};

struct search {
    struct exec_build *build;
    struct arena_mark mark;
    size_t *segment; /* per item */
    uint64_t *bytes; /* of results, per item */
    uint64_t all_bytes;
    uint64_t least; /* bytes of the smallest plan seen */
};

static int attempt(struct search *s, struct cut cut, struct err *err);
static int find_cut(struct search *s, struct cut *ret, bool *ret_found, struct err *err);
static uint64_t plan_bytes(const struct exec_plan *plan);

int exec_recompute(struct exec_build *b, struct err *err) {
    struct exec_plan *plan = b->plan;
    uint64_t limit = b->options->memory_bytes;
    struct search s = {.build = b, .mark = arena_mark(plan->arena), .least = UINT64_MAX};
    if (attempt(&s, (struct cut){0}, err) < 0)
        return -1;
    if (limit == 0 || plan_bytes(plan) <= limit)
        return 0;
    struct cut cut = {0};
    bool found = false;
    int result = -1;
    if (b->loss) {
        s.segment = calloc(b->item_count + 1, sizeof *s.segment);
        s.bytes = calloc(b->item_count + 1, sizeof *s.bytes);
        if (!s.segment || !s.bytes) {
            err_set(err, ERR_NO_MEMORY, "no memory to plan a run");
            goto out;
        }
        if (find_cut(&s, &cut, &found, err) < 0)
            goto out;
    }
    result = found ? attempt(&s, cut, err)
                   : err_set(err, ERR_OVER_BUDGET,
                             "running the model needs a workspace of %" PRIu64
                             " bytes, the budget is %" PRIu64,
                             s.least, limit);
out:
    free(s.segment);
    free(s.bytes);
    return result;
}

static uint64_t plan_bytes(const struct exec_plan *plan) {
    return plan->facts.workspace_bytes + plan->facts.kept_bytes;
}

/* May its results be made again, as far as the item itself is concerned? */
static bool can_drop(const struct exec_item *item) {
    if (item->kind != ITEM_NODE || !item->needed || item->once || item->guard ||
        (item->node->op->flags & OP_NOT_FOLDED))
        return false;
    for (size_t k = 0; k < item->out_count; k++)
        if (item->out[k] && item->out[k]->wanted)
            return false;
    return true;
}

static void cut_segments(struct search *s, struct cut cut) {
    struct exec_build *b = s->build;
    uint64_t before = 0;
    for (size_t i = 0; i < b->item_count; i++) {
        double at = (double)before / (double)(s->all_bytes + 1) * (double)cut.segments;
        s->segment[i] = (size_t)at;
        before += s->bytes[i];
        b->items[i]->dropped = s->segment[i] < cut.dropped && can_drop(b->items[i]);
    }
    for (size_t i = 0; i < b->item_count; i++)
        for (size_t k = 0; k < b->items[i]->in_count; k++) {
            const struct exec_var *in = b->items[i]->in[k];
            if (in && in->maker && b->items[i]->needed &&
                s->segment[in->maker->index] != s->segment[i])
                in->maker->dropped = false;
        }
}

/* Everything of an earlier attempt is forgotten, and a plan made with this cut. */
static int attempt(struct search *s, struct cut cut, struct err *err) {
    struct exec_build *b = s->build;
    struct exec_plan *plan = b->plan;
    arena_rewind(plan->arena, s->mark);
    if (cut.segments)
        cut_segments(s, cut);
    plan->slots = NULL;
    plan->slot_count = plan->slot_capacity = 0;
    plan->once = plan->run = (struct exec_steps){0};
    plan->facts = (struct exec_facts){0};
    plan->output_count = plan->gradient_count = plan->input_count = 0;
    const struct exec_options *o = b->options;
    size_t outputs = o->wanted_count + 1, gradients = o->trainable_count + o->wanted_input_count;
    plan->outputs = ARENA_ARRAY(plan->arena, struct exec_result, outputs);
    plan->gradients = ARENA_ARRAY(plan->arena, struct exec_result, gradients + 1);
    plan->inputs = ARENA_ARRAY(plan->arena, struct exec_result, plan->graph->input_count + 1);
    if (!plan->outputs || !plan->gradients || !plan->inputs)
        return err_set(err, ERR_NO_MEMORY, "no memory to plan a run");
    for (struct exec_scope *scope = b->scopes; scope; scope = scope->next)
        for (size_t i = 0; i < scope->graph->value_count; i++) {
            struct exec_var *var = &scope->vars[i];
            var->native = var->real = var->gradient = SLOT_NONE;
            var->native_shape = var->real_shape = SLOT_NONE;
        }
    for (size_t g = 0; g < plan->guard_count; g++)
        plan->guards[g].slot = SLOT_NONE;
    if (exec_steps_forward(b, err) < 0 || exec_backward_steps(b, err) < 0 || exec_share(b, err) < 0)
        return -1;
    if (plan_bytes(plan) < s->least)
        s->least = plan_bytes(plan);
    return 0;
}

static int find_cut(struct search *s, struct cut *ret, bool *ret_found, struct err *err) {
    struct exec_build *b = s->build;
    const struct exec_plan *plan = b->plan;
    uint64_t limit = b->options->memory_bytes;
    for (size_t i = 0; i < b->item_count; i++) {
        const struct exec_item *item = b->items[i];
        for (size_t k = 0; item->needed && !item->once && k < item->out_count; k++) {
            struct array shape;
            if (item->out[k] && type_to_array(&item->out[k]->fact.type, &shape))
                s->bytes[i] += array_bytes(&shape);
        }
        s->all_bytes += s->bytes[i];
    }
    size_t fewest = SIZE_MAX;
    *ret_found = false;
    for (size_t segments = 2; segments <= 2 * b->item_count && segments <= 512;
         segments = segments < 4 ? segments + 1 : segments * 3 / 2) {
        struct cut cut = {segments, segments};
        if (attempt(s, cut, err) < 0)
            return -1;
        if (plan_bytes(plan) > limit)
            continue;
        size_t low = 1, high = segments; /* high fits */
        while (low < high) {
            cut.dropped = low + (high - low) / 2;
            if (attempt(s, cut, err) < 0)
                return -1;
            if (plan_bytes(plan) <= limit)
                high = cut.dropped;
            else
                low = cut.dropped + 1;
        }
        cut.dropped = high;
        if (attempt(s, cut, err) < 0)
            return -1;
        if (plan->facts.recomputed_steps < fewest) {
            fewest = plan->facts.recomputed_steps;
            *ret = cut;
            *ret_found = true;
        }
    }
    return 0;
}
