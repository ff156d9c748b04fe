/*
 * A graph in the order of its original's fields.
 *
 *   original:  name  node0  node1  init_a  init_b  node2  input  output  value_info
 *   graph:     node0, NEW, node2               (node1 removed, init_b unused and removed)
 *   written:   name  node0  init_a  NEW  node2  input  output  value_info  [init_new]
 *
 * Nodes come in the graph's order: at the place of an original node stands everything of the graph
 * up to and including that node. Constant nodes, which are values here, stay where they are, unless
 * the order changed: then they come first, because they read nothing. Initializers that the
 * original does not have come at the end.
 */
#include "compress/base/arena.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A node, or a call of a function that is written as one. */
struct item {
    const struct node *node; /* of a call: its first */
    uint32_t call;
    uint64_t offset; /* of the original's field; 0: there is none */
};

/* An item by its place in the file. */
struct place {
    uint64_t offset;
    size_t item;
};

struct graph_writer {
    struct onnx_writer *w;
    const struct graph *graph;
    struct pbout *out;
    struct pbwire_span original;
    struct item *items;
    struct place *places; /* sorted by offset */
    size_t item_count, place_count;
    size_t next; /* item to be written */
    size_t node_fields, node_fields_seen;
    bool in_order;       /* the items are the original's, in its order, all untouched */
    uint8_t *is_written; /* by value id: 1 initializer or constant, 2 input */
    size_t output;       /* of the graph, to be written next */
};

/* ---- calls ---- */

/* Is the value one of the outputs of its producer's call? */
static int is_call_output(struct onnx_writer *w, const struct value *value, bool *ret,
                          struct err *err) {
    const struct onnx_call *call = &w->onnx->calls[value->producer->origin.call];
    struct pbwire_walk walk = pbwire_walk(w->wire, call->whole);
    struct pbwire_field field;
    int more;
    *ret = false;
    if (pbwire_next(&walk, &field, err) < 0)
        return -1;
    walk = pbwire_walk(w->wire, field.content);
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        const char *name;
        if (field.number != ONNX_NODE_OUTPUT || field.type != PBWIRE_BYTES ||
            field.content.bytes != strlen(value->name))
            continue;
        if (pbwire_text(w->wire, field.content, (size_t)field.content.bytes, w->arena, &name, err) <
            0)
            return -1;
        *ret = *ret || strcmp(name, value->name) == 0;
    }
    return more;
}

/* A reader outside the call of a value inside it. */
static int note_reader(struct onnx_writer *w, const struct value *value, uint32_t reader,
                       struct err *err) {
    assert(w->is_call_open); /* made with the writer */
    if (!value->producer || value->producer->origin.call == 0 ||
        value->producer->origin.call == reader || w->is_call_open[value->producer->origin.call])
        return 0;
    bool is_output;
    if (is_call_output(w, value, &is_output, err) < 0)
        return -1;
    if (!is_output)
        w->is_call_open[value->producer->origin.call] = true;
    return 0;
}

static bool is_changed(const struct onnx_writer *w, const struct value *value) {
    return value->kind == VALUE_WEIGHT && value->tensor != VALUE_NO_TENSOR &&
           !encoding_equal(&w->model->tensors[value->tensor].wanted,
                           &w->model->tensors[value->tensor].stored);
}

/* Anything in a body that is not as it was read? */
static bool is_body_touched(const struct onnx_writer *w, const struct graph *body) {
    size_t nodes = 0;
    for (size_t i = 0; i < body->value_count; i++)
        if (is_changed(w, body->values[i]) ||
            (body->values[i]->kind == VALUE_OUTER && is_changed(w, body->values[i]->outer)))
            return true;
    GRAPH_NODES(body, node) {
        nodes++;
        if (node->origin.bytes == 0 || onnx_reads_renamed(node))
            return true;
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH && is_body_touched(w, node->attrs[a].body))
                return true;
    }
    return nodes != body->next_node_id;
}

static int look_at_node(struct onnx_writer *w, const struct node *node, size_t *counts,
                        struct err *err) {
    uint32_t call = node->origin.call;
    bool *open = call ? &w->is_call_open[call] : NULL;
    if (call)
        counts[call]++;
    if (open && (node->origin.bytes == 0 || onnx_reads_renamed(node)))
        *open = true;
    for (size_t i = 0; i < node->in_count; i++) {
        if (!node->in[i])
            continue;
        if (open && is_changed(w, node->in[i]))
            *open = true;
        if (note_reader(w, node->in[i], call, err) < 0)
            return -1;
    }
    for (size_t a = 0; a < node->attr_count; a++) {
        if (node->attrs[a].kind != ATTR_GRAPH)
            continue;
        const struct graph *body = node->attrs[a].body;
        if (open && is_body_touched(w, body))
            *open = true;
        for (size_t v = 0; v < body->value_count; v++)
            if (body->values[v]->kind == VALUE_OUTER && !body->values[v]->dead &&
                note_reader(w, body->values[v]->outer, call, err) < 0)
                return -1;
        if (!call && onnx_find_open_calls(w, body, err) < 0)
            return -1;
    }
    return 0;
}

int onnx_find_open_calls(struct onnx_writer *w, const struct graph *graph, struct err *err) {
    if (w->onnx->call_count == 0)
        return 0;
    size_t *counts = ARENA_ARRAY(w->arena, size_t, w->onnx->call_count);
    if (!counts)
        return onnx_writer_no_memory(err);
    GRAPH_NODES(graph, node) {
        if (look_at_node(w, node, counts, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < graph->output_count; i++)
        if (note_reader(w, graph->outputs[i], 0, err) < 0)
            return -1;
    for (size_t c = 1; c < w->onnx->call_count; c++)
        if (w->onnx->calls[c].graph == graph && counts[c] != w->onnx->calls[c].nodes)
            w->is_call_open[c] = true;
    return 0;
}

/* ---- what there is to write ---- */

static bool is_whole_call(const struct graph_writer *g, const struct node *node) {
    return node->origin.call && !g->w->is_call_open[node->origin.call];
}

static int by_offset(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int list_items(struct graph_writer *g, struct err *err) {
    struct arena *arena = g->w->arena;
    bool *seen = ARENA_ARRAY(arena, bool, g->w->onnx->call_count + 1);
    g->items = ARENA_ARRAY(arena, struct item, g->graph->node_count + 1);
    g->places = ARENA_ARRAY(arena, struct place, g->graph->node_count + 1);
    if (!g->items || !g->places || !seen)
        return onnx_writer_no_memory(err);
    uint64_t before = 0;
    g->in_order = true;
    GRAPH_NODES(g->graph, node) {
        struct item item = {.node = node};
        if (is_whole_call(g, node)) {
            if (seen[node->origin.call])
                continue;
            seen[node->origin.call] = true;
            item.call = node->origin.call;
            item.offset = g->w->onnx->calls[item.call].whole.offset;
        } else if (!node->origin.call) {
            item.offset = node->origin.offset;
        }
        if (item.offset <= before || (!item.call && !node->origin.bytes))
            g->in_order = false;
        before = item.offset;
        if (item.offset)
            g->places[g->place_count++] = (struct place){item.offset, g->item_count};
        g->items[g->item_count++] = item;
    }
    if (g->place_count)
        qsort(g->places, g->place_count, sizeof *g->places, by_offset);
    return 0;
}

static size_t item_at(const struct graph_writer *g, uint64_t offset) {
    struct place key = {.offset = offset};
    const struct place *found =
        g->place_count ? bsearch(&key, g->places, g->place_count, sizeof key, by_offset) : NULL;
    return found ? found->item : SIZE_MAX;
}

static int write_item(struct graph_writer *g, const struct item *item, struct err *err) {
    if (item->call) {
        pbout_copy(g->out, g->w->main, g->w->onnx->calls[item->call].whole);
        return 0;
    }
    if (item->node->origin.bytes && !item->node->origin.call)
        return onnx_encode_kept_node(g->w, item->node, g->out, err);
    return onnx_encode_node(g->w, item->node, g->out, err);
}

static int write_items(struct graph_writer *g, size_t end, struct err *err) {
    for (; g->next < end; g->next++)
        if (write_item(g, &g->items[g->next], err) < 0)
            return -1;
    return 0;
}

/* ---- constants ---- */

/* The value that a Constant node of the original became; NULL: it is no such node, or the value is
 * gone. *ret_tensor: content of its TensorProto, bytes 0 when it has none. */
static int constant_of(struct graph_writer *g, struct pbwire_span node, const struct value **ret,
                       struct pbwire_span *ret_tensor, struct err *err) {
    struct onnx_writer *w = g->w;
    const char *op_type, *name;
    *ret = NULL;
    *ret_tensor = (struct pbwire_span){0, 0};
    if (onnx_text_of(w, node, ONNX_NODE_OP_TYPE, &op_type, err) < 0)
        return -1;
    if (strcmp(op_type, "Constant") != 0)
        return 0;
    if (onnx_text_of(w, node, ONNX_NODE_OUTPUT, &name, err) < 0)
        return -1;
    const struct value *value = graph_value(g->graph, name);
    if (!value || (value->kind != VALUE_WEIGHT && value->kind != VALUE_CONSTANT))
        return 0;
    struct pbwire_walk walk = pbwire_walk(w->wire, node), inner;
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (field.number != ONNX_NODE_ATTRIBUTE || field.type != PBWIRE_BYTES)
            continue;
        inner = pbwire_walk(w->wire, field.content);
        while ((more = pbwire_next(&inner, &field, err)) > 0)
            if (field.number == ONNX_ATTR_T && field.type == PBWIRE_BYTES)
                *ret_tensor = field.content;
        if (more < 0)
            return -1;
    }
    if (more < 0)
        return -1;
    *ret = value;
    return 0;
}

static int write_constant(struct graph_writer *g, const struct pbwire_field *field,
                          struct err *err) {
    const struct value *value;
    struct pbwire_span tensor;
    if (constant_of(g, field->content, &value, &tensor, err) < 0)
        return -1;
    if (!value) {
        g->w->edits++; /* a node that was removed */
        return 0;
    }
    if (g->is_written[value->id] & 1)
        return 0;
    g->is_written[value->id] |= 1;
    if (value->kind == VALUE_WEIGHT && value->tensor != VALUE_NO_TENSOR &&
        onnx_put_of(g->w, value)->is_moved) {
        g->w->has_new_initializers = true;
        return onnx_encode_initializer(g->w, value, tensor, g->out, err);
    }
    pbout_copy(g->out, g->w->main, field->whole);
    return 0;
}

/* All Constant nodes of the original. */
static int write_constants(struct graph_writer *g, struct err *err) {
    struct pbwire_walk walk = pbwire_walk(g->w->wire, g->original);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (field.number == ONNX_GRAPH_NODE && item_at(g, field.whole.offset) == SIZE_MAX &&
            write_constant(g, &field, err) < 0)
            return -1;
    return more;
}

/* ---- the original's fields ---- */

static int write_node_field(struct graph_writer *g, const struct pbwire_field *field,
                            struct err *err) {
    bool is_first = g->node_fields_seen == 0;
    g->node_fields_seen++;
    if (is_first && !g->in_order) {
        g->w->edits++;
        if (write_constants(g, err) < 0)
            return -1;
    }
    size_t item = item_at(g, field->whole.offset);
    if (item != SIZE_MAX) {
        if (item >= g->next && write_items(g, item + 1, err) < 0)
            return -1;
    } else if (g->in_order && write_constant(g, field, err) < 0) {
        return -1;
    }
    return g->node_fields_seen == g->node_fields ? write_items(g, g->item_count, err) : 0;
}

static int write_initializer_field(struct graph_writer *g, const struct pbwire_field *field,
                                   struct err *err) {
    struct pbwire_span named = field->content;
    const char *name;
    if (field->number == ONNX_GRAPH_SPARSE_INITIALIZER) { /* its values have the name */
        struct pbwire_walk walk = pbwire_walk(g->w->wire, field->content);
        struct pbwire_field inner;
        int more;
        while ((more = pbwire_next(&walk, &inner, err)) > 0)
            if (inner.number == ONNX_SPARSE_VALUES && inner.type == PBWIRE_BYTES)
                named = inner.content;
        if (more < 0)
            return -1;
    }
    if (onnx_text_of(g->w, named, ONNX_TENSOR_NAME, &name, err) < 0)
        return -1;
    const struct value *value = graph_value(g->graph, name);
    if (!value || value->kind != VALUE_WEIGHT || (g->is_written[value->id] & 1)) {
        g->w->edits++;
        return 0;
    }
    g->is_written[value->id] |= 1;
    return onnx_encode_kept_initializer(g->w, value, field, g->out, err);
}

static int write_info_field(struct graph_writer *g, const struct pbwire_field *field,
                            struct err *err) {
    const char *name;
    bool holds;
    if (onnx_text_of(g->w, field->content, ONNX_VALUE_NAME, &name, err) < 0)
        return -1;
    const struct value *value = graph_value(g->graph, name);
    if (!value && (field->number == ONNX_GRAPH_INPUT ||
                   strmap_get(&g->graph->by_name, name) != STRMAP_NONE)) {
        g->w->edits++; /* it is gone */
        return 0;
    }
    if (value) {
        if (onnx_value_info_holds(g->w, field->content, &value->type, &holds, err) < 0)
            return -1;
        if (!holds && field->number == ONNX_GRAPH_VALUE_INFO) {
            g->w->edits++; /* nobody needs it */
            return 0;
        }
        if (!holds)
            return onnx_encode_value_info(g->w, g->graph, name, &value->type, field->number, g->out,
                                          err);
        if (field->number == ONNX_GRAPH_INPUT)
            g->is_written[value->id] |= 2;
    }
    pbout_copy(g->out, g->w->main, field->whole);
    return 0;
}

/* The names of outputs are the model's face: one that is another value now gets it back. */
static int write_output_field(struct graph_writer *g, const struct pbwire_field *field,
                              struct err *err) {
    const char *name;
    bool holds = false;
    if (g->output >= g->graph->output_count) {
        g->w->edits++;
        return 0;
    }
    const struct value *value = g->graph->outputs[g->output++];
    if (onnx_text_of(g->w, field->content, ONNX_VALUE_NAME, &name, err) < 0)
        return -1;
    const char *now = onnx_name_of(value);
    if (strcmp(name, now) != 0) {
        if (graph_value(g->graph, name) && graph_value(g->graph, name) != value)
            return err_set(err, ERR_BUG, "the output '%s' became '%s' and still exists", name, now);
        struct pbout node;
        pbout_init(&node, g->w->arena);
        pbout_text(&node, ONNX_NODE_INPUT, now);
        pbout_text(&node, ONNX_NODE_OUTPUT, name);
        pbout_text(&node, ONNX_NODE_OP_TYPE, "Identity");
        pbout_message(g->out, ONNX_GRAPH_NODE, &node);
        g->w->edits++;
    }
    if (onnx_value_info_holds(g->w, field->content, &value->type, &holds, err) < 0)
        return -1;
    if (!holds)
        return onnx_encode_value_info(g->w, g->graph, name, &value->type, field->number, g->out,
                                      err);
    pbout_copy(g->out, g->w->main, field->whole);
    return 0;
}

static int write_field(struct graph_writer *g, const struct pbwire_field *field, struct err *err) {
    switch (field->number) {
    case ONNX_GRAPH_NODE:
        return write_node_field(g, field, err);
    case ONNX_GRAPH_INITIALIZER:
    case ONNX_GRAPH_SPARSE_INITIALIZER:
        return write_initializer_field(g, field, err);
    case ONNX_GRAPH_INPUT:
    case ONNX_GRAPH_VALUE_INFO:
        return write_info_field(g, field, err);
    case ONNX_GRAPH_OUTPUT:
        return write_output_field(g, field, err);
    default:
        pbout_copy(g->out, g->w->main, field->whole);
        return 0;
    }
}

/* ---- what the original does not have ---- */

/* Does anything that is written out as nodes read it? */
static void mark_needed(const struct graph_writer *g, uint8_t *needed) {
    GRAPH_NODES(g->graph, node) {
        if (is_whole_call(g, node))
            continue;
        for (size_t i = 0; i < node->in_count; i++)
            if (node->in[i])
                needed[node->in[i]->id] = 1;
        for (size_t a = 0; a < node->attr_count; a++) {
            if (node->attrs[a].kind != ATTR_GRAPH)
                continue;
            const struct graph *body = node->attrs[a].body;
            for (size_t v = 0; v < body->value_count; v++)
                if (body->values[v]->kind == VALUE_OUTER && !body->values[v]->dead)
                    needed[body->values[v]->outer->id] = 1;
        }
    }
    for (size_t i = 0; i < g->graph->output_count; i++)
        needed[g->graph->outputs[i]->id] = 1;
}

static int write_new_values(struct graph_writer *g, struct err *err) {
    const struct graph *graph = g->graph;
    uint8_t *needed = ARENA_ARRAY(g->w->arena, uint8_t, graph->value_count + 1);
    if (!needed)
        return onnx_writer_no_memory(err);
    mark_needed(g, needed);
    for (size_t i = 0; i < graph->value_count; i++) {
        const struct value *value = graph->values[i];
        if (value->dead || (g->is_written[i] & 1) || !needed[i] ||
            (value->kind != VALUE_WEIGHT && value->kind != VALUE_CONSTANT))
            continue;
        g->w->has_new_initializers = true;
        if (onnx_encode_initializer(g->w, value, (struct pbwire_span){0, 0}, g->out, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < graph->input_count; i++)
        if (!(g->is_written[graph->inputs[i]->id] & 2) && !g->original.bytes &&
            onnx_encode_value_info(g->w, graph, graph->inputs[i]->name, &graph->inputs[i]->type,
                                   ONNX_GRAPH_INPUT, g->out, err) < 0)
            return -1;
    for (; g->output < graph->output_count; g->output++)
        if (onnx_encode_value_info(g->w, graph, graph->outputs[g->output]->name,
                                   &graph->outputs[g->output]->type, ONNX_GRAPH_OUTPUT, g->out,
                                   err) < 0)
            return -1;
    return 0;
}

int onnx_write_graph(struct onnx_writer *w, const struct graph *graph, struct pbwire_span original,
                     struct pbout *out, struct err *err) {
    struct graph_writer g = {.w = w,
                             .graph = graph,
                             .out = out,
                             .original = original,
                             .is_written = ARENA_ARRAY(w->arena, uint8_t, graph->value_count + 1)};
    if (!g.is_written)
        return onnx_writer_no_memory(err);
    if (list_items(&g, err) < 0)
        return -1;
    struct pbwire_walk walk = pbwire_walk(w->wire, original);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        g.node_fields += field.number == ONNX_GRAPH_NODE;
    walk = pbwire_walk(w->wire, original);
    while (more == 0 && (more = pbwire_next(&walk, &field, err)) > 0)
        more = write_field(&g, &field, err);
    if (more < 0)
        return -1;
    if (!original.bytes) {
        w->edits++;
        pbout_text(out, ONNX_GRAPH_NAME, graph->name[0] ? graph->name : "body");
    }
    if (write_items(&g, g.item_count, err) < 0)
        return -1;
    return write_new_values(&g, err);
}
