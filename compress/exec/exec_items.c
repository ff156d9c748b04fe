/*
 * What has to run: a walk over the nodes that matter, in order, with inference beside it; branches
 * are walked where their If stands. Afterwards everything is marked backwards from what is wanted,
 * because a known content (a folded shape) makes the nodes before it superfluous.
 */
#include "compress/base/arena.h"
#include "compress/exec/exec_build.h"

#include <inttypes.h>
#include <string.h>

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory to plan a run");
}

static struct exec_scope *scope_new(struct exec_build *b, const struct graph *graph,
                                    struct exec_scope *parent, uint32_t guard, struct err *err);
static int bind_inputs(struct exec_build *b, struct err *err);
static int mark_options(struct exec_build *b, struct err *err);
static int walk(struct exec_build *b, struct exec_scope *scope, bool *need, struct err *err);
static int check_inputs(const struct exec_build *b, const bool *need, struct err *err);
static void mark_needed(struct exec_build *b, size_t from);
static int check_items(const struct exec_build *b, size_t from, struct err *err);
static void mark_flow(struct exec_build *b);

int exec_items(struct exec_build *b, struct err *err) {
    struct exec_plan *plan = b->plan;
    const struct exec_options *options = b->options;
    b->main = scope_new(b, plan->graph, NULL, 0, err);
    bool *need = ARENA_ARRAY(plan->arena, bool, plan->graph->value_count + 1);
    if (!b->main || !need)
        return no_memory(err);
    if (mark_options(b, err) < 0 || bind_inputs(b, err) < 0)
        return -1;
    for (size_t i = 0; i < options->wanted_count; i++)
        need[options->wanted[i]->id] = true;
    for (size_t i = 0; i < options->observed_count; i++)
        need[options->observed[i]->id] = true;
    if (options->loss)
        need[options->loss->id] = true;
    if (walk(b, b->main, need, err) < 0)
        return -1;
    /* Marks so far served the branches. */
    for (struct exec_scope *scope = b->scopes; scope; scope = scope->next)
        for (size_t i = 0; i < scope->graph->value_count; i++)
            scope->vars[i].needed = false;
    /* An output that stands for something else (an inlined If) passes on what it is. */
    for (size_t i = 0; i < plan->graph->value_count; i++) {
        struct exec_var *var = &b->main->vars[i], *whole = exec_var_of(var);
        whole->wanted |= var->wanted;
        whole->observed |= var->observed;
        whole->needed |= var->wanted || var->observed;
    }
    if (b->loss)
        b->loss = exec_var_of(b->loss);
    mark_needed(b, 0);
    if (check_items(b, 0, err) < 0)
        return -1;
    mark_flow(b);
    return 0;
}

struct exec_var *exec_var_of(struct exec_var *var) {
    while (var->same)
        var = var->same;
    return var;
}

struct exec_var *exec_build_var(const struct exec_build *b, const struct value *value) {
    return exec_var_of(&b->main->vars[value->id]);
}

/* ---- scopes ---- */

/* Unknown dimensions become symbols that nobody else has, so that type_known() tells the truth. */
static int settle(struct type *type, struct symbols *symbols, struct err *err) {
    for (unsigned d = 0; type->ranked && d < type->rank; d++)
        if (type->dims[d].symbol == 0 && type->dims[d].size < 0) {
            type->dims[d].symbol = symbols_get(symbols, NULL);
            if (type->dims[d].symbol == 0)
                return no_memory(err);
        }
    return 0;
}

static struct exec_scope *scope_new(struct exec_build *b, const struct graph *graph,
                                    struct exec_scope *parent, uint32_t guard, struct err *err) {
    struct arena *arena = b->plan->arena;
    struct exec_scope *scope = ARENA_NEW(arena, struct exec_scope);
    struct exec_var *vars = ARENA_ARRAY(arena, struct exec_var, graph->value_count + 1);
    if (!scope || !vars) {
        no_memory(err);
        return NULL;
    }
    *scope = (struct exec_scope){graph, parent, vars, guard, b->scopes};
    b->scopes = scope;
    for (size_t i = 0; i < graph->value_count; i++) {
        const struct value *value = graph->values[i];
        struct exec_var *var = &vars[i];
        var->value = value;
        var->scope = scope;
        if (value->kind == VALUE_OUTER && parent) {
            var->same = exec_var_of(&parent->vars[value->outer->id]);
        } else if (value->kind != VALUE_NODE) {
            var->fact.type = value->type;
            var->fact.data = value->data;
            if (settle(&var->fact.type, graph->symbols, err) < 0)
                return NULL;
        }
    }
    return scope;
}

static bool is_own(const struct exec_build *b, const struct value *value) {
    const struct graph *graph = b->plan->graph;
    return value->id < graph->value_count && graph->values[value->id] == value;
}

static int mark_options(struct exec_build *b, struct err *err) {
    const struct exec_options *o = b->options;
    const struct {
        const struct value *const *values;
        size_t count;
    } lists[] = {{o->wanted, o->wanted_count},
                 {o->observed, o->observed_count},
                 {o->trainable, o->trainable_count},
                 {o->wanted_inputs, o->wanted_input_count},
                 {&o->loss, o->loss ? 1 : 0}};
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (size_t i = 0; i < lists[l].count; i++) {
            const struct value *value = lists[l].values[i];
            if (!is_own(b, value))
                return err_set(err, ERR_BUG, "'%s' is not a value of the planned graph",
                               value->name);
            struct exec_var *var = &b->main->vars[value->id];
            bool is_float = var->fact.type.dtype && exec_var_is_float(var);
            switch (l) {
            case 0:
                var->wanted = true;
                break;
            case 1:
                var->observed = true;
                break;
            case 2:
                if (value->kind != VALUE_WEIGHT || !is_float)
                    return err_set(err, ERR_BAD_FIELD,
                                   "'%s' cannot be trained: no weight of floats", value->name);
                var->trainable = true;
                var->fact.data = NULL; /* it will change */
                break;
            case 3:
                if (value->kind != VALUE_INPUT || !is_float)
                    return err_set(err, ERR_BAD_FIELD,
                                   "'%s' is no input of floats: it has no gradient", value->name);
                var->wants_gradient = true;
                break;
            default:
                b->loss = var;
                var->wanted = true;
            }
        }
    return 0;
}

/* ---- bindings ---- */

static int misfit(const struct exec_build *b, const struct binding *binding, struct err *err) {
    char want[128], got[128];
    const struct symbols *symbols = b->plan->graph->symbols;
    err_set(err, ERR_BAD_FIELD, "input '%s' is %s, not %s", binding->input->name,
            type_describe(&binding->input->type, symbols, want, sizeof want),
            type_describe(&binding->fact.type, symbols, got, sizeof got));
    return err_at_tensor(err, binding->input->name);
}

/* sizes: per symbol, -1 where not yet met. */
static bool fits(const struct type *declared, const struct type *given, int64_t *sizes) {
    if (declared->dtype && declared->dtype != given->dtype)
        return false;
    if (!declared->ranked)
        return true;
    if (declared->rank != given->rank)
        return false;
    for (unsigned d = 0; d < given->rank; d++) {
        int64_t size = given->dims[d].size;
        uint32_t symbol = declared->dims[d].symbol;
        if (symbol) {
            if (sizes[symbol] >= 0 && sizes[symbol] != size)
                return false;
            sizes[symbol] = size;
        } else if (declared->dims[d].size >= 0 && declared->dims[d].size != size) {
            return false;
        }
    }
    return true;
}

/* The content of an input, which the plan outlives. */
static int keep_content(struct exec_build *b, struct exec_var *var, struct err *err) {
    const struct array *data = var->fact.data;
    struct array *copy = array_in_arena(b->plan->arena, data->dtype, data->rank, data->dims);
    if (!copy)
        return no_memory(err);
    memcpy(copy->data, data->data, (size_t)array_bytes(data));
    var->fact.data = copy;
    return 0;
}

static int bind_inputs(struct exec_build *b, struct err *err) {
    struct exec_plan *plan = b->plan;
    size_t symbols = plan->graph->symbols->count + 1;
    int64_t *sizes = ARENA_ARRAY(plan->arena, int64_t, symbols);
    struct binding *bindings = ARENA_ARRAY(plan->arena, struct binding, b->binding_count + 1);
    if (!sizes || !bindings)
        return no_memory(err);
    for (size_t s = 0; s < symbols; s++)
        sizes[s] = -1;
    plan->bindings = bindings;
    for (size_t i = 0; i < b->binding_count; i++) {
        const struct binding *binding = &b->bindings[i];
        if (!is_own(b, binding->input) || binding->input->kind != VALUE_INPUT)
            return err_set(err, ERR_BUG, "'%s' is not an input of the planned graph",
                           binding->input->name);
        if (!type_known(&binding->fact.type) ||
            !fits(&binding->input->type, &binding->fact.type, sizes))
            return misfit(b, binding, err);
        struct exec_var *var = &b->main->vars[binding->input->id];
        var->fact = binding->fact;
        var->bound = true;
        if (binding->fact.data && keep_content(b, var, err) < 0)
            return -1;
        bindings[plan->binding_count++] = (struct binding){binding->input, var->fact};
    }
    return 0;
}

/* ---- the walk ---- */

/* Adds to `need` (by value id) what the values marked in it depend on. */
static void spread_need(const struct graph *graph, bool *need) {
    for (const struct node *node = graph->last; node; node = node->prev) {
        bool needed = false;
        for (size_t i = 0; i < node->out_count; i++)
            needed |= node->out[i] && need[node->out[i]->id];
        if (!needed)
            continue;
        for (size_t i = 0; i < node->in_count; i++)
            if (node->in[i])
                need[node->in[i]->id] = true;
        for (size_t a = 0; a < node->attr_count; a++) {
            if (node->attrs[a].kind != ATTR_GRAPH)
                continue;
            const struct graph *body = node->attrs[a].body;
            for (size_t v = 0; v < body->value_count; v++)
                if (body->values[v]->kind == VALUE_OUTER && !body->values[v]->dead)
                    need[body->values[v]->outer->id] = true;
        }
    }
}

static int check_inputs(const struct exec_build *b, const bool *need, struct err *err) {
    const struct graph *graph = b->plan->graph;
    for (size_t i = 0; i < graph->input_count; i++) {
        const struct value *input = graph->inputs[i];
        if (need[input->id] && !b->main->vars[input->id].bound) {
            err_set(err, ERR_BAD_FIELD, "input '%s' is not given", input->name);
            return err_at_tensor(err, input->name);
        }
    }
    return 0;
}

static struct exec_item *add_item(struct exec_build *b, enum item_kind kind,
                                  const struct node *node, struct exec_scope *scope, uint32_t guard,
                                  size_t in_count, size_t out_count, struct err *err) {
    struct arena *arena = b->plan->arena;
    struct exec_item **items = arena_grow(arena, b->items, &b->item_capacity, b->item_count + 1,
                                          sizeof(struct exec_item *));
    struct exec_item *item = ARENA_NEW(arena, struct exec_item);
    struct exec_var **vars = ARENA_ARRAY(arena, struct exec_var *, in_count + out_count + 1);
    if (items)
        b->items = items;
    if (!items || !item || !vars) {
        no_memory(err);
        return NULL;
    }
    *item = (struct exec_item){.kind = kind,
                               .node = node,
                               .scope = scope,
                               .guard = guard,
                               .in = vars,
                               .out = vars + in_count,
                               .in_count = in_count,
                               .out_count = out_count,
                               .index = b->item_count};
    items[b->item_count++] = item;
    return item;
}

static int walk_node(struct exec_build *b, struct exec_scope *scope, const struct node *node,
                     struct err *err) {
    struct arena *arena = b->plan->arena;
    struct exec_item *item =
        add_item(b, ITEM_NODE, node, scope, scope->guard, node->in_count, node->out_count, err);
    const struct fact **in = ARENA_ARRAY(arena, const struct fact *, node->in_count + 1);
    struct fact *out = ARENA_ARRAY(arena, struct fact, node->out_count + 1);
    if (!item || !in || !out)
        return no_memory(err);
    for (size_t i = 0; i < node->in_count; i++)
        if (node->in[i]) {
            item->in[i] = exec_var_of(&scope->vars[node->in[i]->id]);
            in[i] = &item->in[i]->fact;
        }
    struct op_infer infer = {node, node->graph->symbols, arena, in, out};
    if (op_infer_node(&infer, err) < 0)
        return -1;
    for (size_t i = 0; i < node->out_count; i++)
        if (node->out[i]) {
            item->out[i] = &scope->vars[node->out[i]->id];
            item->out[i]->maker = item;
            item->out[i]->fact = out[i];
            if (settle(&out[i].type, node->graph->symbols, err) < 0)
                return -1;
            item->out[i]->fact = out[i];
        }
    return 0;
}

static const struct graph *branch(const struct node *node, bool side) {
    return node_attr(node, side ? "then_branch" : "else_branch")->body;
}

/* One body, its outputs as far as If's outputs are needed. */
static int walk_body(struct exec_build *b, struct exec_scope *scope, const struct node *node,
                     const bool *need, bool side, uint32_t guard, struct exec_scope **ret,
                     struct err *err) {
    const struct graph *body = branch(node, side);
    struct exec_scope *inner = scope_new(b, body, scope, guard, err);
    bool *inner_need = ARENA_ARRAY(b->plan->arena, bool, body->value_count + 1);
    if (!inner || !inner_need)
        return no_memory(err);
    for (size_t i = 0; i < node->out_count; i++)
        if (node->out[i] && need[node->out[i]->id])
            inner_need[body->outputs[i]->id] = true;
    *ret = inner;
    return walk(b, inner, inner_need, err);
}

static int add_guard(struct exec_build *b, uint32_t parent, struct exec_var *condition, bool side,
                     uint32_t *ret, struct err *err) {
    struct exec_plan *plan = b->plan;
    struct exec_guard *guards = arena_grow(plan->arena, plan->guards, &plan->guard_capacity,
                                           plan->guard_count + 1, sizeof *guards);
    if (guards)
        plan->guards = guards;
    struct exec_var **conditions = arena_grow(plan->arena, b->conditions, &b->condition_capacity,
                                              plan->guard_count + 1, sizeof(struct exec_var *));
    if (conditions)
        b->conditions = conditions;
    if (!guards || !conditions)
        return no_memory(err);
    guards[plan->guard_count] = (struct exec_guard){parent, SLOT_NONE, side};
    conditions[plan->guard_count] = condition;
    *ret = (uint32_t)plan->guard_count++;
    return 0;
}

/* A branch's results become If's outputs; the types must be known, and those of the other branch.
 */
static int copy_results(struct exec_build *b, struct exec_scope *scope, struct exec_scope *inner,
                        const struct node *node, const bool *need, bool is_first, struct err *err) {
    for (size_t i = 0; i < node->out_count; i++) {
        if (!node->out[i] || !need[node->out[i]->id])
            continue;
        struct exec_var *from = exec_var_of(&inner->vars[inner->graph->outputs[i]->id]);
        struct exec_var *to = &scope->vars[node->out[i]->id];
        struct array shape, other;
        char name[256];
        if (!type_to_array(&from->fact.type, &shape))
            return err_set(err, ERR_UNSUPPORTED, "%s: the shape of '%s' depends on data",
                           node_describe(node, name, sizeof name), from->value->name);
        if (!is_first && type_to_array(&to->fact.type, &other) &&
            (other.dtype != shape.dtype || !array_same_shape(&other, &shape)))
            return err_set(err, ERR_UNSUPPORTED,
                           "%s: the shape of '%s' depends on which branch is taken",
                           node_describe(node, name, sizeof name), to->value->name);
        struct exec_item *item = add_item(b, ITEM_COPY, node, scope, inner->guard, 1, 1, err);
        if (!item)
            return -1;
        item->in[0] = from;
        item->out[0] = to;
        to->fact = (struct fact){.type = from->fact.type};
    }
    return 0;
}

static int add_failure(struct exec_build *b, struct exec_scope *scope, const struct node *node,
                       const bool *need, uint32_t guard, const struct err *failure,
                       struct err *err) {
    struct exec_item *item = add_item(b, ITEM_FAIL, node, scope, guard, 0, node->out_count, err);
    struct err *kept = ARENA_NEW(b->plan->arena, struct err);
    if (!item || !kept)
        return no_memory(err);
    *kept = *failure;
    item->failure = kept;
    for (size_t i = 0; i < node->out_count; i++)
        if (node->out[i] && need[node->out[i]->id])
            item->out[i] = &scope->vars[node->out[i]->id];
    return 0;
}

/* A branch under its guard. What is wrong with the model in it is told in *failure. */
static int walk_guarded(struct exec_build *b, struct exec_scope *scope, const struct node *node,
                        const bool *need, bool side, uint32_t guard, struct exec_scope **ret,
                        struct err *failure, struct err *err) {
    size_t before = b->item_count;
    *failure = ERR_INIT;
    *ret = NULL;
    struct exec_scope *inner;
    if (walk_body(b, scope, node, need, side, guard, &inner, failure) == 0) {
        for (size_t i = 0; i < node->out_count; i++)
            if (node->out[i] && need[node->out[i]->id])
                exec_var_of(&inner->vars[inner->graph->outputs[i]->id])->needed = true;
        mark_needed(b, before);
        if (check_items(b, before, failure) == 0) {
            *ret = inner;
            return 0;
        }
    }
    b->item_count = before;
    enum err_kind kind = err_kind(failure->code);
    if (kind == ERR_KIND_INPUT || kind == ERR_KIND_LIMIT)
        return 0;
    if (err && err->code == ERR_OK)
        *err = *failure;
    return -1;
}

static int walk_if(struct exec_build *b, struct exec_scope *scope, const struct node *node,
                   const bool *need, struct err *err) {
    struct exec_var *condition = exec_var_of(&scope->vars[node->in[0]->id]);
    const struct fact *fact = &condition->fact;
    if (fact->data && fact->data->elements == 1) {
        bool side = array_int(fact->data, 0) != 0;
        struct exec_scope *inner;
        if (walk_body(b, scope, node, need, side, scope->guard, &inner, err) < 0)
            return -1;
        for (size_t i = 0; i < node->out_count; i++)
            if (node->out[i])
                scope->vars[node->out[i]->id].same =
                    exec_var_of(&inner->vars[inner->graph->outputs[i]->id]);
        return 0;
    }
    struct array shape;
    if (fact->type.dtype != DTYPE_BOOL || !type_to_array(&fact->type, &shape) ||
        shape.elements != 1)
        return op_fail(node, err, "its condition '%s' is not one boolean", condition->value->name);
    struct exec_scope *inner[2];
    struct err failures[2];
    bool first = true;
    for (int side = 1; side >= 0; side--) {
        uint32_t guard;
        if (add_guard(b, scope->guard, condition, side, &guard, err) < 0 ||
            walk_guarded(b, scope, node, need, side, guard, &inner[side], &failures[side], err) < 0)
            return -1;
        if (inner[side]) {
            if (copy_results(b, scope, inner[side], node, need, first, err) < 0)
                return -1;
            first = false;
        } else if (add_failure(b, scope, node, need, guard, &failures[side], err) < 0) {
            return -1;
        }
    }
    if (first) { /* neither can run */
        if (err && err->code == ERR_OK)
            *err = failures[1];
        return -1;
    }
    return 0;
}

static bool is_if(const struct node *node) {
    return node->op && strcmp(node->op->op_type, "If") == 0 && *node->op->domain == 0;
}

static int walk(struct exec_build *b, struct exec_scope *scope, bool *need, struct err *err) {
    spread_need(scope->graph, need);
    if (scope == b->main && check_inputs(b, need, err) < 0)
        return -1;
    GRAPH_NODES(scope->graph, node) {
        bool needed = false;
        for (size_t i = 0; i < node->out_count; i++)
            needed |= node->out[i] && need[node->out[i]->id];
        if (needed &&
            (is_if(node) ? walk_if(b, scope, node, need, err) : walk_node(b, scope, node, err)) < 0)
            return -1;
    }
    return 0;
}

/* ---- marks ---- */

/* From the variables that are marked already, backwards over the items from `from` on. */
static void mark_needed(struct exec_build *b, size_t from) {
    for (size_t i = b->item_count; i-- > from;) {
        struct exec_item *item = b->items[i];
        item->needed = false;
        for (size_t k = 0; k < item->out_count; k++)
            item->needed |= item->out[k] && item->out[k]->needed && !item->out[k]->fact.data;
        if (!item->needed)
            continue;
        for (size_t k = 0; k < item->in_count; k++)
            if (item->in[k])
                item->in[k]->needed = true;
        for (uint32_t g = item->guard; g; g = b->plan->guards[g].parent)
            b->conditions[g]->needed = true;
    }
}

static int check_items(const struct exec_build *b, size_t from, struct err *err) {
    for (size_t i = from; i < b->item_count; i++) {
        const struct exec_item *item = b->items[i];
        const struct node *node = item->node;
        char name[256], type[128];
        if (!item->needed || item->kind != ITEM_NODE)
            continue;
        node_describe(node, name, sizeof name);
        if (!node->op)
            return err_set(err, ERR_UNSUPPORTED, "%s: %s", name,
                           node->why_not ? node->why_not : "not executable");
        if (!node->op->forward)
            return err_set(err, ERR_UNSUPPORTED, "%s is not executable", name);
        for (size_t k = 0; k < item->out_count; k++) {
            struct array shape;
            const struct exec_var *out = item->out[k];
            if (out && (out->needed || k == 0) && !type_to_array(&out->fact.type, &shape))
                return err_set(
                    err, ERR_UNSUPPORTED, "%s: the shape of '%s' depends on data (%s)", name,
                    out->value->name,
                    type_describe(&out->fact.type, node->graph->symbols, type, sizeof type));
            if (out && out->needed && array_item_bytes(out->fact.type.dtype) == 0)
                return err_set(err, ERR_UNSUPPORTED, "%s: '%s' is of type %s, which is not run",
                               name, out->value->name, dtype_row(out->fact.type.dtype)->name);
        }
    }
    return 0;
}

/* Once, and what varies with a weight that is trained. */
static void mark_flow(struct exec_build *b) {
    for (size_t i = 0; i < b->main->graph->value_count; i++) {
        struct exec_var *var = &b->main->vars[i];
        var->varies = var->trainable || var->wants_gradient;
    }
    for (size_t i = 0; i < b->item_count; i++) {
        struct exec_item *item = b->items[i];
        if (!item->needed || item->kind == ITEM_FAIL)
            continue;
        bool fixed =
            item->kind == ITEM_NODE && item->guard == 0 && !(item->node->op->flags & OP_NOT_FOLDED);
        bool varies = false;
        for (size_t k = 0; k < item->in_count; k++)
            if (item->in[k]) {
                fixed &= exec_var_fixed(item->in[k]);
                varies |= item->in[k]->varies;
            }
        item->once = fixed;
        for (size_t k = 0; k < item->out_count; k++) {
            struct exec_var *out = item->out[k];
            if (out && out->fact.type.dtype) {
                out->once = fixed;
                out->varies |= varies && exec_var_is_float(out);
            }
        }
    }
}
