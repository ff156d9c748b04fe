/* A plan from the outside: made, asked, freed. How it is made: exec_build.h. */
#include "compress/exec/exec_plan.h"

#include "compress/base/arena.h"
#include "compress/exec/exec_build.h"

static int make(struct exec_plan *plan, const struct binding *bindings, size_t binding_count,
                const struct exec_options *options, struct err *err);

int exec_plan_new(const struct graph *graph, const struct binding *bindings, size_t binding_count,
                  const struct exec_options *options, struct exec_plan **ret, struct err *err) {
    struct arena *arena = arena_new(LIMIT_MODEL_ARENA_BYTES);
    struct exec_plan *plan = arena ? ARENA_NEW(arena, struct exec_plan) : NULL;
    if (!plan) {
        arena_free(arena);
        return err_set(err, ERR_NO_MEMORY, "no memory to plan a run");
    }
    plan->arena = arena;
    plan->graph = graph;
    if (make(plan, bindings, binding_count, options, err) < 0) {
        exec_plan_free(plan);
        return -1;
    }
    *ret = plan;
    return 0;
}

static int make(struct exec_plan *plan, const struct binding *bindings, size_t binding_count,
                const struct exec_options *options, struct err *err) {
    struct exec_options all = options ? *options : (struct exec_options){0};
    if (!all.wanted) {
        all.wanted = (const struct value *const *)plan->graph->outputs;
        all.wanted_count = plan->graph->output_count;
    }
    struct exec_build build = {
        .plan = plan, .options = &all, .bindings = bindings, .binding_count = binding_count};
    plan->threads = all.threads ? all.threads : 1;
    plan->guards =
        arena_grow(plan->arena, NULL, &plan->guard_capacity, 1, sizeof(struct exec_guard));
    build.conditions =
        arena_grow(plan->arena, NULL, &build.condition_capacity, 1, sizeof(struct exec_var *));
    if (!plan->guards || !build.conditions)
        return err_set(err, ERR_NO_MEMORY, "no memory to plan a run");
    plan->guards[0] = (struct exec_guard){0, SLOT_NONE, true};
    plan->guard_count = 1;
    if (exec_items(&build, err) < 0)
        return -1;
    return exec_recompute(&build, err);
}

void exec_plan_free(struct exec_plan *plan) {
    if (plan)
        arena_free(plan->arena);
}

void exec_plan_facts(const struct exec_plan *plan, struct exec_facts *ret) {
    *ret = plan->facts;
}

const struct array *exec_plan_shape(const struct exec_plan *plan, const struct value *value) {
    for (size_t i = 0; i < plan->output_count; i++)
        if (plan->outputs[i].value == value)
            return &plan->slots[plan->outputs[i].slot].shape;
    return NULL;
}
