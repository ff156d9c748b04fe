/* Which format a tensor's readers allow, and the rewriting of the graph: products, then halves. */
#include "compress/formats/onnx_quant.h"

#include "compress/formats/onnx.h"
#include "compress/formats/onnx_half.h"
#include "compress/formats/onnx_linear.h"
#include "compress/formats/onnx_qdq.h"
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

/* Lengths that all of MatMulNBits' kernels take. */
static const uint32_t blocks[] = {128, 64, 32};

/* The longest block up to the one asked for that pads the rows least; 0: none. */
static uint32_t block_of(const struct encoding *wanted, uint64_t cols) {
    uint32_t most = wanted->granularity == GRANULARITY_GROUP ? wanted->group_len : blocks[0];
    uint32_t best = 0;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        uint64_t padding = (blocks[i] - cols % blocks[i]) % blocks[i];
        if (blocks[i] > most || padding >= least)
            continue;
        best = blocks[i];
        least = padding;
    }
    return least < cols ? best : 0; /* else more than half would be padding */
}

/* Codes and scales for products; *wanted becomes what is stored where no reader takes them. */
static void adapt_integers(const struct tensor *tensor, const struct graph *graph,
                           const struct value *value, struct encoding *wanted) {
    struct encoding e = *wanted;
    bool is_rows;
    uint64_t rows, cols;
    if (!value || !onnx_linear_takes(graph, value, &is_rows)) {
        *wanted = tensor->stored;
        return;
    }
    e.scale_dtype = DTYPE_F32;
    if (e.dynamic_activations) {
        e.granularity = GRANULARITY_COLUMN;
        e.group_len = 0;
        e.packing = PACKING_BYTES;
        e.transposed = is_rows;
    } else {
        e.transposed = !is_rows;
        tensor_matrix(tensor, &e, &rows, &cols);
        e.group_len = block_of(&e, cols);
        e.padded = e.group_len && cols % e.group_len;
        e.granularity = GRANULARITY_GROUP;
        e.packing = PACKING_WORDS;
    }
    *wanted = e.dynamic_activations || e.group_len ? e : tensor->stored;
}

/* Codes for convolutions and products between quantized activations. */
static void adapt_static(const struct model *model, const struct tensor *tensor,
                         const struct graph *graph, const struct value *value,
                         struct encoding *wanted) {
    const struct onnx *onnx = model->private;
    enum granularity granularity;
    if (!value || graph != model->graph || !onnx->can_be_raised ||
        !onnx_qdq_takes(value, &granularity)) {
        *wanted = tensor->stored;
        return;
    }
    wanted->scale_dtype = DTYPE_F32;
    wanted->granularity = granularity;
    wanted->group_len = 0;
    wanted->packing = PACKING_BYTES;
    wanted->transposed = false;
}

int onnx_quant_adapt(const struct model *model, const struct tensor *tensor,
                     struct encoding *wanted, const char *pointer, struct violations *list) {
    char is[80];
    if (encoding_equal(wanted, &tensor->stored))
        return 0;
    const struct graph *graph = NULL;
    const struct value *value = value_of(model, tensor, &graph);
    if (model->quantization) {
        violations_add(list, ERR_UNSUPPORTED, pointer,
                       "the model is quantized (%s): it can be run, measured and copied, and not "
                       "yet be quantized again",
                       model->quantization)
            ->tensor = tensor->name;
        return -1;
    }
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
    if (f32 && wanted->codec->family == CODEC_AFFINE && wanted->symmetric) {
        if (wanted->static_activations)
            adapt_static(model, tensor, graph, value, wanted);
        else
            adapt_integers(tensor, graph, value, wanted);
        return 0;
    }
    if (f32 && wanted->codec->family == CODEC_AFFINE) {
        violations_add(list, ERR_UNSUPPORTED, pointer,
                       "weights of ONNX models have no zero points: they are symmetric")
            ->tensor = tensor->name;
        return -1;
    }
    struct violation *v = violations_add(
        list, ERR_UNSUPPORTED, pointer, "weights of ONNX models that are %s cannot be stored as %s",
        encoding_describe(&tensor->stored, is, sizeof is), wanted->codec->name);
    v->tensor = tensor->name;
    return -1;
}

/* ---- prepare ---- */

/* Values are added on the way: those that there were. */
static int rewrite_products(struct model *model, struct graph *graph, bool *ret_any,
                            struct err *err) {
    size_t values = graph->value_count;
    for (size_t i = 0; i < values; i++) {
        struct value *value = graph->values[i];
        if (value->dead || value->kind != VALUE_WEIGHT || value->tensor == VALUE_NO_TENSOR)
            continue;
        const struct tensor *tensor = &model->tensors[value->tensor];
        if (tensor->wanted.codec->family != CODEC_AFFINE || tensor->wanted.static_activations ||
            encoding_equal(&tensor->wanted, &tensor->stored))
            continue;
        *ret_any = true;
        if (onnx_linear_rewrite(model, graph, value, err) < 0)
            return -1;
    }
    GRAPH_NODES(graph, node) {
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH &&
                rewrite_products(model, node->attrs[a].body, ret_any, err) < 0)
                return -1;
    }
    return 0;
}

int onnx_quant_prepare(struct model *model, struct violations *warnings, struct err *err) {
    bool halves = false, products = false;
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *tensor = &model->tensors[i];
        if (!is_half(&tensor->wanted) || encoding_equal(&tensor->wanted, &tensor->stored))
            continue;
        tensor->options.clamp = true;
        halves = true;
    }
    if (rewrite_products(model, model->graph, &products, err) < 0 ||
        onnx_qdq_rewrite(model, &products, err) < 0)
        return -1;
    if (halves && onnx_half_rewrite(model, model->graph, err) < 0)
        return -1;
    return halves || products ? graph_verify(model->graph, err) : 0;
}
