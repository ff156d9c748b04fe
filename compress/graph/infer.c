/* Facts along the order of nodes. See infer.h. */
#include "compress/graph/infer.h"

#include "compress/base/arena.h"
#include "compress/graph/op.h"

#include <string.h>

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory for shape inference");
}

/* What inference left open is filled from what the file declares. Only without a binding: a file's
 * numbers need not hold for other inputs than it was exported with. */
static void fill_declared(struct fact *fact, const struct type *declared) {
    struct type *type = &fact->type;
    if (type->dtype == DTYPE_NONE)
        type->dtype = declared->dtype;
    if (!declared->ranked)
        return;
    if (!type->ranked) {
        enum dtype dtype = type->dtype;
        *type = *declared;
        type->dtype = dtype;
    } else if (type->rank == declared->rank) {
        for (unsigned d = 0; d < type->rank; d++)
            if (!dim_known(type->dims[d]))
                type->dims[d] = declared->dims[d];
    }
}

/* Unknown dimensions become symbols that nobody else has, so that dim_known() tells the truth. */
static int settle(struct type *type, struct symbols *symbols, struct err *err) {
    for (unsigned d = 0; type->ranked && d < type->rank; d++)
        if (type->dims[d].symbol == 0 && type->dims[d].size < 0) {
            type->dims[d].symbol = symbols_get(symbols, NULL);
            if (type->dims[d].symbol == 0)
                return no_memory(err);
        }
    return 0;
}

static int infer_node(const struct node *node, struct fact *facts, bool bound, struct arena *arena,
                      struct err *err) {
    const struct fact **in = ARENA_ARRAY(arena, const struct fact *, node->in_count + 1);
    struct fact *out = ARENA_ARRAY(arena, struct fact, node->out_count + 1);
    if (!in || !out)
        return no_memory(err);
    for (size_t i = 0; i < node->in_count; i++)
        in[i] = node->in[i] ? &facts[node->in[i]->id] : NULL;
    struct op_infer infer = {node, node->graph->symbols, arena, in, out};
    if (op_infer_node(&infer, err) < 0)
        return -1;
    for (size_t i = 0; i < node->out_count; i++) {
        const struct value *value = node->out[i];
        if (!value)
            continue;
        if (out[i].type.dtype && value->type.dtype && out[i].type.dtype != value->type.dtype)
            return op_fail(node, err, "'%s' is declared as %s but comes out as %s", value->name,
                           dtype_row(value->type.dtype)->name, dtype_row(out[i].type.dtype)->name);
        if (!bound || !node->op)
            fill_declared(&out[i], &value->type);
        if (settle(&out[i].type, node->graph->symbols, err) < 0)
            return -1;
        facts[value->id] = out[i];
    }
    return 0;
}

static struct fact *start(const struct graph *graph, struct arena *arena, struct err *err) {
    struct fact *facts = ARENA_ARRAY(arena, struct fact, graph->value_count + 1);
    if (!facts) {
        no_memory(err);
        return NULL;
    }
    for (size_t i = 0; i < graph->value_count; i++) {
        const struct value *value = graph->values[i];
        if (value->kind == VALUE_NODE)
            continue;
        facts[i].type = value->type;
        facts[i].data = value->data;
        if (settle(&facts[i].type, graph->symbols, err) < 0)
            return NULL;
    }
    return facts;
}

int infer_graph(const struct graph *graph, const struct binding *bindings, size_t binding_count,
                struct arena *arena, struct fact **ret, struct err *err) {
    struct fact *facts = start(graph, arena, err);
    if (!facts)
        return -1;
    for (size_t i = 0; i < binding_count; i++)
        facts[bindings[i].input->id] = bindings[i].fact;
    GRAPH_NODES(graph, node) {
        if (infer_node(node, facts, binding_count > 0, arena, err) < 0)
            return -1;
    }
    *ret = facts;
    return 0;
}

/* Without a binding. A node of a body may be impossible for these inputs, which matters only when
 * the branch is taken: then what the file declares is all that is known. */
static int infer_declared(const struct node *node, struct fact *facts, struct arena *arena,
                          struct err *err) {
    struct err refusal = ERR_INIT;
    if (!node->graph->parent)
        return infer_node(node, facts, false, arena, err);
    if (infer_node(node, facts, false, arena, &refusal) == 0)
        return 0;
    if (refusal.code == ERR_NO_MEMORY)
        return no_memory(err);
    for (size_t i = 0; i < node->out_count; i++) {
        struct value *value = node->out[i];
        if (!value)
            continue;
        facts[value->id] = (struct fact){.type = value->type};
        if (settle(&facts[value->id].type, node->graph->symbols, err) < 0)
            return -1;
    }
    return 0;
}

static int annotate(struct graph *graph, struct arena *arena, struct err *err) {
    struct fact *facts = start(graph, arena, err);
    if (!facts)
        return -1;
    GRAPH_NODES(graph, node) {
        for (size_t a = 0; a < node->attr_count; a++) {
            if (node->attrs[a].kind != ATTR_GRAPH)
                continue;
            struct graph *body = node->attrs[a].body;
            for (size_t v = 0; v < body->value_count; v++) {
                struct value *value = body->values[v];
                if (value->kind == VALUE_OUTER) {
                    value->type = facts[value->outer->id].type;
                    value->data = facts[value->outer->id].data;
                }
            }
            if (annotate(body, arena, err) < 0)
                return -1;
        }
        if (infer_declared(node, facts, arena, err) < 0)
            return -1;
        for (size_t i = 0; i < node->out_count; i++)
            if (node->out[i])
                node->out[i]->type = facts[node->out[i]->id].type;
    }
    for (size_t i = 0; i < graph->value_count; i++) { /* data of a body's outer values is scratch */
        struct value *value = graph->values[i];
        if (value->kind == VALUE_OUTER && value->outer->kind == VALUE_NODE)
            value->data = NULL;
    }
    return 0;
}

int infer_annotate(struct graph *graph, struct arena *scratch, struct err *err) {
    return annotate(graph, scratch, err);
}

/* The shape with symbols as 1; false when nothing is known. */
static bool sized(const struct fact *fact, struct array *ret, bool *exact) {
    struct type type = fact->type;
    if (type.dtype == DTYPE_NONE || !type.ranked)
        return false;
    for (unsigned d = 0; d < type.rank; d++)
        if (!dim_known(type.dims[d])) {
            type.dims[d] = DIM(1);
            *exact = false;
        }
    return type_to_array(&type, ret);
}

static bool add_macs(const struct node *node, const struct fact *facts, struct array *shapes,
                     const struct array **in, struct array **out, uint64_t *macs, bool *exact) {
    for (size_t i = 0; i < node->in_count; i++) {
        in[i] = NULL;
        if (node->in[i]) {
            if (!sized(&facts[node->in[i]->id], shapes, exact))
                return false;
            in[i] = shapes++;
        }
    }
    for (size_t i = 0; i < node->out_count; i++) {
        out[i] = NULL;
        if (node->out[i]) {
            if (!sized(&facts[node->out[i]->id], shapes, exact))
                return false;
            out[i] = shapes++;
        }
    }
    struct op_run run = {.node = node, .in = in, .out = out};
    *macs += node->op->macs(&run);
    return true;
}

uint64_t infer_macs(const struct graph *graph, const struct fact *facts, bool *ret_exact) {
    enum { SLOTS = 32 }; /* operators that multiply have a handful of inputs */
    struct array shapes[2 * SLOTS];
    const struct array *in[SLOTS];
    struct array *out[SLOTS];
    uint64_t macs = 0;
    *ret_exact = true;
    GRAPH_NODES(graph, node) {
        if (!node->op || !node->op->macs)
            continue;
        if (node->in_count > SLOTS || node->out_count > SLOTS ||
            !add_macs(node, facts, shapes, in, out, &macs, ret_exact))
            *ret_exact = false;
    }
    return macs;
}
