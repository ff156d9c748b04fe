/* Which format a tensor's readers allow, and the rewriting of the graph, in the order: halves. */
#include "compress/formats/onnx_quant.h"

#include "compress/formats/onnx_half.h"
#include "compress/graph/graph.h"

#include <stdio.h>
#include <string.h>

/* ---- tensors and values ---- */

static const struct value *find_value(const struct graph *graph, uint32_t tensor,
                                      const struct graph **ret_graph) {
    for (size_t i = 0; i < graph->value_count; i++) {
        const struct value *value = graph->values[i];
        if (!value->dead && value->kind == VALUE_WEIGHT && value->tensor == tensor) {
            *ret_graph = graph;
            return value;
        }
    }
    GRAPH_NODES(graph, node) {
        for (size_t a = 0; a < node->attr_count; a++) {
            const struct value *value = node->attrs[a].kind == ATTR_GRAPH
                                            ? find_value(node->attrs[a].body, tensor, ret_graph)
                                            : NULL;
            if (value)
                return value;
        }
    }
    return NULL;
}

/* The value that stands for a tensor: by its name, or, in a body, by search. */
static const struct value *value_of(const struct model *model, const struct tensor *tensor,
                                    const struct graph **ret_graph) {
    uint32_t index = (uint32_t)(tensor - model->tensors);
    const struct value *value = graph_value(model->graph, tensor->name);
    if (value && value->kind == VALUE_WEIGHT && value->tensor == index) {
        *ret_graph = model->graph;
        return value;
    }
    return find_value(model->graph, index, ret_graph);
}

static bool is_half(const struct encoding *e) {
    return e->codec->family == CODEC_PLAIN && e->dtype == DTYPE_F16;
}

/* ---- adapt ---- */

int onnx_quant_adapt(const struct model *model, const struct tensor *tensor,
                     struct encoding *wanted, const char *pointer, struct violations *list) {
    char is[80];
    if (encoding_equal(wanted, &tensor->stored))
        return 0;
    const struct graph *graph;
    const struct value *value = value_of(model, tensor, &graph);
    bool f32 = tensor->stored.codec->family == CODEC_PLAIN && tensor->stored.dtype == DTYPE_F32;
    if (f32 && wanted->codec->family == CODEC_PLAIN && wanted->dtype == DTYPE_BF16) {
        struct violation *v = violations_add(
            list, ERR_UNSUPPORTED, pointer,
            "ONNX Runtime multiplies and convolves no bf16 on a CPU; f16 runs everywhere");
        v->tensor = tensor->name;
        v->nearest = "f16";
        return -1;
    }
    if (f32 && is_half(wanted)) {
        if (!value || !onnx_half_takes(graph, value))
            *wanted = tensor->stored;
        return 0;
    }
    struct violation *v = violations_add(
        list, ERR_UNSUPPORTED, pointer, "weights of ONNX models that are %s cannot be stored as %s",
        encoding_describe(&tensor->stored, is, sizeof is), wanted->codec->name);
    v->tensor = tensor->name;
    return -1;
}

/* ---- prepare ---- */

int onnx_quant_prepare(struct model *model, struct violations *warnings, struct err *err) {
    bool halves = false;
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *tensor = &model->tensors[i];
        if (!is_half(&tensor->wanted) || encoding_equal(&tensor->wanted, &tensor->stored))
            continue;
        tensor->options.clamp = true;
        halves = true;
    }
    if (!halves)
        return 0;
    if (onnx_half_rewrite(model, model->graph, err) < 0)
        return -1;
    return graph_verify(model->graph, err);
}
