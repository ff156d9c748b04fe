/*
 * Building, rewriting and asking. Uses are kept both ways: a value lists the slots that read it, a
 * node lists the values it reads; every change goes through link() and unlink_use(), so the two
 * cannot drift apart. (The order and the proof are in graph_check.c.)
 */
#include "compress/graph/graph.h"

#include "compress/base/arena.h"
#include "compress/graph/op.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the graph does not fit the memory for headers");
}

struct graph *graph_new(struct arena *arena, struct graph *parent) {
    struct graph *graph = ARENA_NEW(arena, struct graph);
    if (!graph)
        return NULL;
    graph->arena = arena;
    graph->parent = parent;
    graph->name = "";
    if (parent) {
        graph->symbols = parent->symbols;
        parent->body_count++;
    } else {
        graph->symbols = ARENA_NEW(arena, struct symbols);
        if (!graph->symbols)
            return NULL;
        symbols_init(graph->symbols, arena);
    }
    strmap_init(&graph->by_name, arena);
    return graph;
}

struct value *graph_value(const struct graph *graph, const char *name) {
    uint32_t id = strmap_get(&graph->by_name, name);
    return id == STRMAP_NONE || graph->values[id]->dead ? NULL : graph->values[id];
}

int graph_resolve(struct graph *graph, const char *name, struct value **ret, struct err *err) {
    struct value *value = graph_value(graph, name), *outer;
    if (!value) {
        if (!graph->parent)
            return err_set(err, ERR_BAD_MODEL, "nothing in the graph makes the value '%s'", name);
        if (graph_resolve(graph->parent, name, &outer, err) < 0 ||
            graph_add_value(graph, name, &value, err) < 0)
            return -1;
        value->kind = VALUE_OUTER;
        value->outer = outer;
        outer->body_uses++;
        value->type = outer->type;
        value->data = outer->data;
    }
    *ret = value;
    return 0;
}

/* Appends to an array of pointers. */
static int append(struct arena *arena, struct value ***list, size_t *count, size_t *capacity,
                  struct value *value, struct err *err) {
    struct value **grown = arena_grow(arena, *list, capacity, *count + 1, sizeof *grown);
    if (!grown)
        return no_memory(err);
    *list = grown;
    grown[(*count)++] = value;
    return 0;
}

static bool is_taken_within(const struct graph *graph, const char *name) {
    if (strmap_get(&graph->by_name, name) != STRMAP_NONE)
        return true;
    for (const struct node *node = graph->body_count ? graph->first : NULL; node; node = node->next)
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH && is_taken_within(node->attrs[a].body, name))
                return true;
    return false;
}

/* "base" with a number behind it that nothing in the model has: a body may not hide a name of the
 * graph around it. */
static const char *fresh_name(struct graph *graph, const char *base) {
    struct graph *root = graph;
    while (root->parent)
        root = root->parent;
    for (;;) {
        char *name = arena_printf(graph->arena, "%s.%" PRIu64, base, ++root->serial);
        if (!name || !is_taken_within(root, name))
            return name;
    }
}

int graph_add_value(struct graph *graph, const char *name, struct value **ret, struct err *err) {
    if (graph->value_count >= UINT32_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than 2^32 values");
    const char *own = name ? arena_strdup(graph->arena, name) : fresh_name(graph, "value");
    struct value *value = ARENA_NEW(graph->arena, struct value);
    if (!own || !value)
        return no_memory(err);
    *value = (struct value){.id = (uint32_t)graph->value_count, .name = own};
    int put = strmap_put(&graph->by_name, own, value->id);
    if (put == 0)
        return err_set(err, ERR_BAD_MODEL, "two values of the graph are called '%s'", own);
    if (put < 0 || append(graph->arena, &graph->values, &graph->value_count, &graph->value_capacity,
                          value, err) < 0)
        return no_memory(err);
    *ret = value;
    return 0;
}

int graph_add_input(struct graph *graph, const char *name, const struct type *type,
                    struct value **ret, struct err *err) {
    struct value *value;
    if (graph_add_value(graph, name, &value, err) < 0 ||
        append(graph->arena, &graph->inputs, &graph->input_count, &graph->input_capacity, value,
               err) < 0)
        return -1;
    value->kind = VALUE_INPUT;
    value->type = *type;
    *ret = value;
    return 0;
}

int graph_add_weight(struct graph *graph, const char *name, uint32_t tensor,
                     const struct type *type, struct value **ret, struct err *err) {
    if (graph_add_value(graph, name, ret, err) < 0)
        return -1;
    (*ret)->kind = VALUE_WEIGHT;
    (*ret)->tensor = tensor;
    (*ret)->type = *type;
    return 0;
}

int graph_add_constant(struct graph *graph, const char *name, const struct array *data,
                       struct value **ret, struct err *err) {
    if (graph_add_value(graph, name, ret, err) < 0)
        return -1;
    (*ret)->kind = VALUE_CONSTANT;
    (*ret)->data = data;
    (*ret)->type = type_of_array(data);
    return 0;
}

int graph_add_output(struct graph *graph, struct value *value, struct err *err) {
    if (append(graph->arena, &graph->outputs, &graph->output_count, &graph->output_capacity, value,
               err) < 0)
        return -1;
    value->is_output = true;
    return 0;
}

/* ---- edges ---- */

static int link_use(struct node *node, size_t slot, struct value *value, struct err *err) {
    if (value) {
        struct use *uses = arena_grow(node->graph->arena, value->uses, &value->use_capacity,
                                      value->use_count + 1, sizeof *uses);
        if (!uses)
            return no_memory(err);
        value->uses = uses;
        uses[value->use_count++] = (struct use){node, slot};
    }
    node->in[slot] = value;
    return 0;
}

static void unlink_use(struct node *node, size_t slot) {
    struct value *value = node->in[slot];
    if (!value)
        return;
    for (size_t i = 0; i < value->use_count; i++)
        if (value->uses[i].node == node && value->uses[i].slot == slot) {
            value->uses[i] = value->uses[--value->use_count];
            break;
        }
    node->in[slot] = NULL;
}

static void insert(struct graph *graph, struct node *before, struct node *node) {
    node->next = before;
    node->prev = before ? before->prev : graph->last;
    *(node->prev ? &node->prev->next : &graph->first) = node;
    *(before ? &before->prev : &graph->last) = node;
    graph->node_count++;
}

/* The operator's row and its view of the attributes. What cannot be run is only noted. */
static int look_up(struct node *node, struct err *err) {
    struct arena *arena = node->graph->arena;
    node->why_not = NULL;
    node->op = op_find(node->domain, node->op_type, node->version, arena, &node->why_not);
    if (!node->op) {
        if (!node->why_not)
            return no_memory(err);
        return 0;
    }
    char text[256];
    const struct op *op = node->op;
    if (node->in_count < op->min_in || node->in_count > op->max_in ||
        node->out_count < op->min_out || node->out_count > op->max_out)
        return err_set(err, ERR_BAD_MODEL, "%s has %zu inputs and %zu outputs",
                       node_describe(node, text, sizeof text), node->in_count, node->out_count);
    if (op->parse) {
        struct err why = ERR_INIT;
        if (op->parse(node, arena, &node->params, &why) < 0) {
            if (why.code != ERR_UNSUPPORTED) {
                if (err && err->code == ERR_OK)
                    *err = why;
                return -1;
            }
            node->op = NULL;
            node->why_not = arena_strdup(arena, why.text);
            if (!node->why_not)
                return no_memory(err);
        }
    }
    return 0;
}

int graph_add_node(struct graph *graph, struct node *before, const struct node_spec *spec,
                   struct node **ret, struct err *err) {
    struct arena *arena = graph->arena;
    if (graph->next_node_id >= LIMIT_GRAPH_NODES)
        return err_set(err, ERR_TOO_LARGE, "more than %d nodes in the graph", LIMIT_GRAPH_NODES);
    struct node *node = ARENA_NEW(arena, struct node);
    if (!node)
        return no_memory(err);
    *node = (struct node){
        .id = graph->next_node_id,
        .name = arena_strdup(arena, spec->name ? spec->name : ""),
        .op_type = arena_strdup(arena, spec->op_type),
        .domain = arena_strdup(arena, strcmp(spec->domain, "ai.onnx") == 0 ? "" : spec->domain),
        .version = spec->version,
        .in = ARENA_ARRAY(arena, struct value *, spec->in_count),
        .in_count = spec->in_count,
        .out = ARENA_ARRAY(arena, struct value *, spec->out_count),
        .out_count = spec->out_count,
        .attrs = ARENA_ARRAY(arena, struct attr, spec->attr_count),
        .attr_count = spec->attr_count,
        .origin = spec->origin,
        .graph = graph,
    };
    if (!node->name || !node->op_type || !node->domain || !node->in || !node->out || !node->attrs)
        return no_memory(err);
    if (spec->attr_count)
        memcpy(node->attrs, spec->attrs, spec->attr_count * sizeof *node->attrs);
    for (size_t i = 0; i < spec->out_count; i++) {
        struct value *value = spec->out[i];
        node->out[i] = value;
        if (value && (value->kind != VALUE_NODE || value->producer)) {
            char text[256];
            return err_set(err, ERR_BAD_MODEL, "%s writes '%s', which is made elsewhere too",
                           node_describe(node, text, sizeof text), value->name);
        }
    }
    for (size_t i = 0; i < spec->in_count; i++)
        if (link_use(node, i, spec->in[i], err) < 0)
            return -1;
    for (size_t i = 0; i < spec->out_count; i++)
        if (node->out[i]) {
            node->out[i]->producer = node;
            node->out[i]->producer_slot = i;
        }
    if (look_up(node, err) < 0) {
        graph_unhook(node);
        return -1;
    }
    graph->next_node_id++;
    insert(graph, before, node);
    *ret = node;
    return 0;
}

/* The node's bodies read nothing any more. */
static void let_go(const struct graph *body) {
    for (size_t v = 0; v < body->value_count; v++)
        if (body->values[v]->kind == VALUE_OUTER && !body->values[v]->dead) {
            body->values[v]->dead = true;
            body->values[v]->outer->body_uses--;
        }
}

void graph_unhook(struct node *node) {
    for (size_t i = 0; i < node->in_count; i++)
        unlink_use(node, i);
    for (size_t a = 0; a < node->attr_count; a++)
        if (node->attrs[a].kind == ATTR_GRAPH)
            let_go(node->attrs[a].body);
    for (size_t i = 0; i < node->out_count; i++)
        if (node->out[i]) {
            node->out[i]->producer = NULL;
            node->out[i]->dead = true;
        }
}

/* ---- rewriting ---- */

int graph_node_changed(struct node *node, struct err *err) {
    node->origin.bytes = 0;
    return look_up(node, err);
}

int graph_set_attr(struct node *node, const struct attr *attr, struct err *err) {
    size_t i = 0;
    while (i < node->attr_count && strcmp(node->attrs[i].name, attr->name) != 0)
        i++;
    if (i == node->attr_count) {
        struct attr *attrs = ARENA_ARRAY(node->graph->arena, struct attr, node->attr_count + 1);
        if (!attrs)
            return no_memory(err);
        if (node->attr_count)
            memcpy(attrs, node->attrs, node->attr_count * sizeof *attrs);
        node->attrs = attrs;
        node->attr_count++;
    }
    node->attrs[i] = *attr;
    node->attrs[i].origin.offset = node->attrs[i].origin.bytes = 0;
    return graph_node_changed(node, err);
}

int graph_set_input(struct node *node, size_t slot, struct value *value, struct err *err) {
    assert(slot < node->in_count);
    unlink_use(node, slot);
    if (link_use(node, slot, value, err) < 0)
        return -1;
    node->origin.bytes = 0;
    return 0;
}

/* What bodies call `from` becomes `to`. Their own names for it stay. */
static void replace_in_bodies(struct graph *graph, struct value *from, struct value *to) {
    for (struct node *node = graph->first; node && from->body_uses > 0; node = node->next)
        for (size_t a = 0; a < node->attr_count; a++) {
            if (node->attrs[a].kind != ATTR_GRAPH)
                continue;
            struct graph *body = node->attrs[a].body;
            for (size_t v = 0; v < body->value_count; v++)
                if (body->values[v]->kind == VALUE_OUTER && body->values[v]->outer == from) {
                    body->values[v]->outer = to;
                    body->values[v]->type = to->type;
                    body->values[v]->data = to->data;
                    from->body_uses--;
                    to->body_uses++;
                }
        }
}

int graph_replace_value(struct graph *graph, struct value *from, struct value *to,
                        struct err *err) {
    assert(from != to);
    while (from->use_count > 0) {
        struct use use = from->uses[from->use_count - 1];
        if (graph_set_input(use.node, use.slot, to, err) < 0)
            return -1;
    }
    replace_in_bodies(graph, from, to);
    for (size_t i = 0; i < graph->output_count; i++)
        if (graph->outputs[i] == from) {
            graph->outputs[i] = to;
            to->is_output = true;
        }
    from->is_output = false;
    return 0;
}

static bool is_read(const struct value *value) {
    return value->use_count > 0 || value->body_uses > 0 || value->is_output;
}

void graph_remove_node(struct node *node) {
    struct graph *graph = node->graph;
    for (size_t i = 0; i < node->out_count; i++)
        assert(!node->out[i] || !is_read(node->out[i]));
    graph_unhook(node);
    *(node->prev ? &node->prev->next : &graph->first) = node->next;
    *(node->next ? &node->next->prev : &graph->last) = node->prev;
    node->dead = true;
    graph->node_count--;
}

int graph_split_value(struct graph *graph, struct value *value,
                      bool (*wants)(void *self, const struct use *use), void *self,
                      struct value **ret, struct err *err) {
    struct value *copy;
    const char *name = fresh_name(graph, value->name);
    if (!name)
        return no_memory(err);
    if (graph_add_value(graph, name, &copy, err) < 0)
        return -1;
    copy->type = value->type;
    for (size_t i = value->use_count; i-- > 0;) { /* the last one fills the gap, and was seen */
        struct use use = value->uses[i];
        if ((!wants || wants(self, &use)) && graph_set_input(use.node, use.slot, copy, err) < 0)
            return -1;
    }
    *ret = copy;
    return 0;
}

int graph_take_over(struct graph *graph, struct value *value, struct value **ret, struct err *err) {
    struct node *node = value->producer;
    struct value *made;
    const char *name = fresh_name(graph, value->name);
    assert(node);
    if (!name)
        return no_memory(err);
    if (graph_add_value(graph, name, &made, err) < 0)
        return -1;
    made->type = value->type;
    made->producer = node;
    made->producer_slot = value->producer_slot;
    node->out[value->producer_slot] = made;
    node->origin.bytes = 0;
    value->producer = NULL;
    *ret = made;
    return 0;
}

bool graph_remove_unread(struct value *value) {
    assert(value->kind == VALUE_WEIGHT || value->kind == VALUE_CONSTANT);
    value->dead = value->dead || !is_read(value);
    return value->dead;
}

static bool is_wanted(const struct node *node) {
    for (size_t i = 0; i < node->out_count; i++)
        if (node->out[i] && is_read(node->out[i]))
            return true;
    return node->graph->parent && node->out_count == 0; /* nothing is known to be for nothing */
}

size_t graph_remove_dead(struct graph *graph) {
    size_t removed = 0;
    for (struct node *node = graph->last, *prev; node; node = prev) { /* consumers go first */
        prev = node->prev;
        if (!is_wanted(node)) {
            graph_remove_node(node);
            removed++;
        }
    }
    for (size_t i = 0; i < graph->value_count; i++) {
        struct value *v = graph->values[i];
        if ((v->kind == VALUE_WEIGHT || v->kind == VALUE_CONSTANT) && !is_read(v))
            v->dead = true;
    }
    return removed;
}

/* ---- asking ---- */

const struct attr *node_attr(const struct node *node, const char *name) {
    for (size_t i = 0; i < node->attr_count; i++)
        if (strcmp(node->attrs[i].name, name) == 0)
            return &node->attrs[i];
    return NULL;
}

int64_t node_int(const struct node *node, const char *name, int64_t otherwise) {
    const struct attr *attr = node_attr(node, name);
    return attr && attr->kind == ATTR_INT ? attr->i : otherwise;
}

float node_float(const struct node *node, const char *name, float otherwise) {
    const struct attr *attr = node_attr(node, name);
    return attr && attr->kind == ATTR_FLOAT ? attr->f : otherwise;
}

const char *node_string(const struct node *node, const char *name, const char *otherwise) {
    const struct attr *attr = node_attr(node, name);
    return attr && attr->kind == ATTR_STRING ? (const char *)attr->s.at : otherwise;
}

bool node_ints(const struct node *node, const char *name, const int64_t **ret, size_t *ret_count) {
    const struct attr *attr = node_attr(node, name);
    if (!attr || attr->kind != ATTR_INTS)
        return false;
    *ret = attr->ints;
    *ret_count = attr->count;
    return true;
}

const char *node_describe(const struct node *node, char *text, size_t cap) {
    const char *made = "";
    for (size_t i = 0; i < node->out_count && !*made; i++)
        if (node->out[i])
            made = node->out[i]->name;
    snprintf(text, cap, "%s%s%s '%s'", node->domain, *node->domain ? "::" : "", node->op_type,
             *node->name ? node->name : made);
    return text;
}
