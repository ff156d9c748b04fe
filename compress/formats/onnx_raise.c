/* Nodes whose attribute became an input are made anew; of the others the version alone changes, and
 * their bytes stay. */
#include "compress/formats/onnx_raise.h"

#include "compress/base/arena.h"
#include "compress/formats/onnx.h"
#include "compress/tensor/array.h"

#include <string.h>

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory to raise the operator set");
}

/* The attribute that became the second input; NULL: none did. */
static const char *moved_attr(const struct node *node) {
    static const struct {
        const char *op_type, *attr;
    } rows[] = {
        {"ReduceSum", "axes"}, {"Split", "split"}, {"Squeeze", "axes"}, {"Unsqueeze", "axes"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(node->op_type, rows[i].op_type) == 0 && node_attr(node, rows[i].attr))
            return rows[i].attr;
    return NULL;
}

static bool is_softmax(const struct node *node) {
    return strcmp(node->op_type, "Softmax") == 0 || strcmp(node->op_type, "LogSoftmax") == 0 ||
           strcmp(node->op_type, "Hardmax") == 0;
}

/* Up to 12 it was over `axis` (1) and all behind it, from 13 on over `axis` (-1) alone. */
static bool is_over_last(const struct node *node) {
    const struct value *x = node->in_count ? node->in[0] : NULL;
    if (!x || !x->type.ranked || x->type.rank == 0)
        return false;
    int64_t axis = node_int(node, "axis", 1), rank = x->type.rank;
    return axis == -1 || axis == rank - 1;
}

static bool can_raise_node(const struct node *node) {
    /* bodies take the model's operator set, those of unknown operators too */
    for (size_t a = 0; a < node->attr_count; a++)
        if (node->attrs[a].kind == ATTR_GRAPH || node->attrs[a].kind == ATTR_OTHER)
            return false;
    if (node->domain[0] || node->version >= ONNX_RAISE_TO)
        return !node->origin.call;
    if (node->origin.call || !node->op || node->version < ONNX_RAISE_FROM ||
        (node->version < 12 && strcmp(node->op_type, "Dropout") == 0))
        return false;
    return !is_softmax(node) || is_over_last(node);
}

bool onnx_raise_can(const struct graph *graph) {
    bool can = true, older = false;
    GRAPH_NODES(graph, node) {
        older = older || (!node->domain[0] && node->version < ONNX_RAISE_TO);
        can = can && can_raise_node(node);
    }
    return !older || (can && !graph->parent);
}

/* ---- raising ---- */

static int replace(struct node *old, const char *attr, struct err *err) {
    struct graph *graph = old->graph;
    const int64_t *ints;
    size_t count, kept = 0;
    if (!node_ints(old, attr, &ints, &count))
        return 0;
    const uint64_t dims[] = {count};
    struct array *array = array_in_arena(graph->arena, DTYPE_I64, 1, dims);
    struct attr *attrs = ARENA_ARRAY(graph->arena, struct attr, old->attr_count + 1);
    struct value **out = ARENA_ARRAY(graph->arena, struct value *, old->out_count + 1);
    if (!array || !attrs || !out)
        return no_memory(err);
    if (count)
        memcpy(array->data, ints, count * sizeof *ints);
    for (size_t a = 0; a < old->attr_count; a++)
        if (strcmp(old->attrs[a].name, attr) != 0)
            attrs[kept++] = old->attrs[a];
    for (size_t i = 0; i < old->out_count; i++) {
        struct value *unused;
        out[i] = old->out[i];
        if (out[i] && graph_take_over(graph, out[i], &unused, err) < 0)
            return -1;
    }
    struct value *in[2] = {old->in[0], NULL};
    struct node *node;
    if (graph_add_constant(graph, NULL, array, &in[1], err) < 0 ||
        graph_add_node(graph, old,
                       &(struct node_spec){.name = old->name,
                                           .op_type = old->op_type,
                                           .domain = "",
                                           .version = ONNX_RAISE_TO,
                                           .in = in,
                                           .in_count = 2,
                                           .out = out,
                                           .out_count = old->out_count,
                                           .attrs = attrs,
                                           .attr_count = kept},
                       &node, err) < 0)
        return -1;
    graph_remove_node(old);
    return 0;
}

static int raise_node(struct node *node, struct err *err) {
    const char *attr = moved_attr(node);
    if (attr)
        return replace(node, attr, err);
    struct node_origin origin = node->origin;
    node->version = ONNX_RAISE_TO;
    if (graph_node_changed(node, err) < 0)
        return -1;
    node->origin = origin; /* its bytes say the same in the newer set */
    return 0;
}

int onnx_raise(struct model *model, struct err *err) {
    struct onnx *onnx = model->private;
    struct onnx_opset *opsets = ARENA_ARRAY(model->arena, struct onnx_opset, onnx->opset_count + 1);
    bool raised = false;
    if (!opsets)
        return no_memory(err);
    for (struct node *node = model->graph->first, *next; node; node = next) {
        next = node->next;
        if (node->domain[0] || node->version >= ONNX_RAISE_TO)
            continue;
        raised = true;
        if (raise_node(node, err) < 0)
            return -1;
    }
    if (!raised)
        return 0;
    for (size_t i = 0; i < onnx->opset_count; i++) {
        opsets[i] = onnx->opsets[i];
        if (!opsets[i].domain[0])
            opsets[i].version = ONNX_RAISE_TO;
    }
    onnx->opsets = opsets;
    onnx->is_raised = true;
    return 0;
}
