/*
 * Three steps: mark the values that want a pair; count what memory scales and biases take and give
 * it to the model; insert nodes.
 */
#include "compress/formats/onnx_qdq.h"

#include "compress/base/arena.h"
#include "compress/formats/onnx_raise.h"
#include "compress/graph/ranges.h"
#include "compress/tensor/array.h"

#include <string.h>

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory to rewrite the graph");
}

/* ---- which weights ---- */

/* One whose inputs and outputs have been counted. */
static bool is_op(const struct node *node, const char *op_type) {
    return node && node->op && !node->domain[0] && strcmp(node->op_type, op_type) == 0;
}

static bool is_float(const struct value *value) {
    return value && value->type.dtype == DTYPE_F32;
}

/* Only moves numbers: the output has the scale of the input. */
static bool moves(const struct node *node) {
    static const char *const names[] = {"Flatten", "MaxPool",   "Reshape",
                                        "Squeeze", "Transpose", "Unsqueeze"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]))
            return (node->out_count < 2 || !node->out[1]) && is_float(node->in[0]);
    return false;
}

/* Does it come from the data? A weight that is only moved has no range to be found; longer runs of
 * moves than any exporter writes are not followed. */
static bool is_computed(const struct value *value) {
    enum { MOVES_MAX = 32 };
    for (unsigned n = 0; n <= MOVES_MAX; n++) {
        if (value->kind != VALUE_NODE)
            return value->kind == VALUE_INPUT;
        if (!moves(value->producer))
            return true;
        value = value->producer->in[0];
    }
    return false;
}

static enum granularity granularity_for(const struct use *use) {
    const struct node *node = use->node;
    if (use->slot != 1 || !node->op || !is_float(node->in[0]) || !is_computed(node->in[0]))
        return GRANULARITY_NONE;
    if (is_op(node, "Conv"))
        return GRANULARITY_CHANNEL;
    if (is_op(node, "MatMul"))
        return GRANULARITY_COLUMN;
    if (is_op(node, "Gemm") && node_int(node, "transA", 0) == 0 &&
        node_float(node, "alpha", 1) == 1 &&
        (!node_has(node, 2) || node_float(node, "beta", 1) == 1))
        return node_int(node, "transB", 0) ? GRANULARITY_CHANNEL : GRANULARITY_COLUMN;
    return GRANULARITY_NONE;
}

bool onnx_qdq_takes(const struct value *weight, enum granularity *ret) {
    enum granularity all = GRANULARITY_NONE;
    if (weight->body_uses || weight->is_output || weight->use_count == 0 || !weight->type.ranked ||
        weight->type.rank < 2)
        return false;
    for (size_t i = 0; i < weight->use_count; i++) {
        enum granularity one = granularity_for(&weight->uses[i]);
        if (one == GRANULARITY_NONE || (i && one != all))
            return false;
        all = one;
    }
    if (all == GRANULARITY_COLUMN && weight->type.rank != 2)
        return false;
    *ret = all;
    return true;
}

/* ---- marking ---- */

struct qdq {
    struct model *model;
    struct graph *graph;
    size_t values;        /* there were */
    bool *is_marked;      /* by value id: it wants a pair */
    struct value **root;  /* by value id, of the marked: whose scale they have */
    struct value **scale; /* by value id of a root: its scale */
    struct ranges *list;
    float *memory;               /* of all scales and biases */
    size_t used, capacity;       /* in 4 bytes */
    uint32_t file;               /* memory, as a file of the model */
    size_t tensors;              /* there is room for */
    unsigned numbers;            /* given to names that were taken */
    bool is_unsigned;            /* codes of activations */
    struct value *zero, *lowest; /* zero points: that of symmetric values, and the lowest code */
};

/* Whose scale a value has. */
static struct value *root_of(struct value *value) {
    while (value->kind == VALUE_NODE && moves(value->producer))
        value = value->producer->in[0];
    return value;
}

static void mark(struct qdq *q, struct value *value) {
    if (!is_float(value) || value->kind == VALUE_WEIGHT || value->kind == VALUE_CONSTANT)
        return;
    q->is_marked[value->id] = true;
    if (value->kind == VALUE_NODE && moves(value->producer))
        mark(q, value->producer->in[0]);
}

static bool is_static_weight(const struct qdq *q, const struct value *value) {
    if (!value || value->kind != VALUE_WEIGHT || value->tensor == VALUE_NO_TENSOR)
        return false;
    const struct tensor *tensor = &q->model->tensors[value->tensor];
    return tensor->wanted.codec->family == CODEC_AFFINE && tensor->wanted.static_activations &&
           !encoding_equal(&tensor->wanted, &tensor->stored);
}

static bool is_static(const struct qdq *q, const struct node *node) {
    return (is_op(node, "Conv") || is_op(node, "MatMul") || is_op(node, "Gemm")) &&
           node->in_count > 1 && is_static_weight(q, node->in[1]);
}

static void mark_node(struct qdq *q, const struct node *node) {
    struct value *y = node->out[0];
    mark(q, node->in[0]);
    if (!is_op(node, "Conv") || !y)
        return;
    if (y->use_count == 1 && !y->is_output && !y->body_uses &&
        (is_op(y->uses[0].node, "Relu") || is_op(y->uses[0].node, "Clip")) && y->uses[0].slot == 0)
        y = y->uses[0].node->out[0];
    if (y && y->use_count > 0)
        mark(q, y);
}

/* ONNX Runtime makes signed codes of activations unsigned on x86 and fuses what then agrees; a
 * QuantizeLinear whose codes have two readers it leaves out. */
static bool is_read_twice(const struct qdq *q) {
    for (size_t i = 0; i < q->values; i++)
        if (q->is_marked[i] && q->graph->values[i]->use_count > 1)
            return true;
    return false;
}

static bool is_never_negative(const struct value *value) {
    const struct node *node = value->kind == VALUE_NODE ? value->producer : NULL;
    if (!node || is_op(node, "Relu") || is_op(node, "Sigmoid"))
        return node != NULL;
    return is_op(node, "Clip") && node_has(node, 1) && node->in[1]->data &&
           node->in[1]->data->elements == 1 && array_number(node->in[1]->data, 0) >= 0;
}

/* One number an output channel: that of Gemm may also be one for all. */
static bool has_int_bias(const struct node *node) {
    const struct value *bias = node_has(node, 2) ? node->in[2] : NULL;
    unsigned axis = is_op(node, "Gemm") && node_int(node, "transB", 0) == 0;
    return bias && bias->kind == VALUE_WEIGHT && bias->tensor != VALUE_NO_TENSOR &&
           is_float(bias) && bias->type.rank == 1 &&
           dim_same(bias->type.dims[0], node->in[1]->type.dims[axis]);
}

/* ---- tensors over memory ---- */

static int reserve(struct qdq *q, struct node *const *nodes, size_t count, struct err *err) {
    struct model *model = q->model;
    size_t ranges = 0, biases = 0, words = 0;
    for (size_t i = 0; i < q->values; i++)
        if (q->is_marked[i]) {
            q->root[i] = root_of(q->graph->values[i]);
            ranges += q->root[i] == q->graph->values[i];
        }
    words = ranges;
    for (size_t i = 0; i < count; i++)
        if (has_int_bias(nodes[i])) {
            biases++;
            words += 2 * (size_t)model->tensors[nodes[i]->in[2]->tensor].elements;
        }
    q->tensors = model->tensor_count + ranges + 2 * biases;
    struct tensor *tensors = ARENA_ARRAY(model->arena, struct tensor, q->tensors + 1);
    q->list = ARENA_NEW(model->arena, struct ranges);
    q->memory = ARENA_ARRAY(model->arena, float, words + 1);
    q->capacity = words;
    if (!tensors || !q->list || !q->memory)
        return no_memory(err);
    q->list->ranges = ARENA_ARRAY(model->arena, struct range_wanted, ranges + 1);
    q->list->biases = ARENA_ARRAY(model->arena, struct bias_wanted, biases + 1);
    if (!q->list->ranges || !q->list->biases)
        return no_memory(err);
    if (model->tensor_count)
        memcpy(tensors, model->tensors, model->tensor_count * sizeof *tensors);
    model->tensors = tensors;
    model->ranges = q->list;
    return model_add_memory(model, q->memory, words * sizeof *q->memory, &q->file, err);
}

/* Numbers are given once, whatever the base: many may share one. */
static const char *free_name(struct qdq *q, const char *base, const char *suffix) {
    const char *name = arena_printf(q->graph->arena, "%s%s", base, suffix);
    while (name && strmap_get(&q->graph->by_name, name) != STRMAP_NONE)
        name = arena_printf(q->graph->arena, "%s%s.%u", base, suffix, ++q->numbers);
    return name;
}

/* A tensor of four-byte numbers in the memory, and its value. count 0: a scalar. */
static int add_memory(struct qdq *q, const char *base, const char *suffix, enum dtype dtype,
                      uint64_t count, struct value **ret, void **ret_data, struct err *err) {
    struct model *model = q->model;
    struct type type = {.dtype = dtype, .ranked = true, .rank = count > 0};
    const char *name = free_name(q, base, suffix);
    uint64_t elements = count ? count : 1;
    if (!name)
        return no_memory(err);
    if (q->used + elements > q->capacity || model->tensor_count >= q->tensors)
        return err_set(err, ERR_BUG, "more scales than were counted");
    type.dims[0] = DIM((int64_t)count);
    if (graph_add_weight(q->graph, name, (uint32_t)model->tensor_count, &type, ret, err) < 0)
        return -1;
    struct tensor *tensor = &model->tensors[model->tensor_count++];
    *tensor = (struct tensor){
        .name = (*ret)->name,
        .component = "",
        .rank = type.rank,
        .dims = {count},
        .elements = elements,
        .stored = encoding_plain(dtype),
        .wanted = encoding_plain(dtype),
        .parts[PART_DATA] = {.name = (*ret)->name,
                             .dtype = dtype,
                             .file = q->file,
                             .offset = q->used * sizeof *q->memory,
                             .bytes = elements * sizeof *q->memory},
    };
    *ret_data = q->memory + q->used;
    q->used += elements;
    return 0;
}

/* ---- inserting ---- */

static enum dtype code_dtype(const struct qdq *q) {
    return q->is_unsigned ? DTYPE_U8 : DTYPE_I8;
}

/* The code of 0, of a value that is never negative or of another. */
static int zero_code(const struct qdq *q, bool lowest) {
    return (lowest ? 0 : 128) - (q->is_unsigned ? 0 : 128);
}

static int zero_point(struct qdq *q, bool lowest, struct value **ret, struct err *err) {
    struct value **place = lowest ? &q->lowest : &q->zero;
    if (!*place) {
        struct array *array = array_in_arena(q->graph->arena, code_dtype(q), 0, NULL);
        if (!array)
            return no_memory(err);
        *(uint8_t *)array->data = (uint8_t)zero_code(q, lowest);
        if (graph_add_constant(q->graph, NULL, array, place, err) < 0)
            return -1;
    }
    *ret = *place;
    return 0;
}

static int zeros(struct qdq *q, uint64_t count, struct value **ret, struct err *err) {
    struct array *array = array_in_arena(q->graph->arena, DTYPE_I8, 1, &count);
    if (!array)
        return no_memory(err);
    return graph_add_constant(q->graph, NULL, array, ret, err);
}

struct pair_node {
    const char *op_type;
    int64_t version, axis; /* axis -1: none */
    struct value *in[3];
    size_t in_count;
    struct value *out;
};

static int add_node(struct qdq *q, struct node *before, const struct pair_node *p,
                    struct err *err) {
    struct attr axis = {.name = "axis", .kind = ATTR_INT, .i = p->axis};
    struct node *node;
    struct value *out = p->out;
    return graph_add_node(q->graph, before,
                          &(struct node_spec){.op_type = p->op_type,
                                              .domain = "",
                                              .version = p->version,
                                              .in = p->in,
                                              .in_count = p->in_count,
                                              .out = &out,
                                              .out_count = 1,
                                              .attrs = &axis,
                                              .attr_count = p->axis >= 0},
                          &node, err);
}

/* The scale of a root, made when first asked for. */
static int scale_of(struct qdq *q, struct value *root, struct value **ret, struct err *err) {
    if (!q->scale[root->id]) {
        void *data;
        if (add_memory(q, root->name, "_scale", DTYPE_F32, 0, &q->scale[root->id], &data, err) < 0)
            return -1;
        q->list->ranges[q->list->range_count++] =
            (struct range_wanted){.value = root->name,
                                  .from_zero = is_never_negative(root),
                                  .zero_point = zero_code(q, is_never_negative(root)),
                                  .scale = data};
    }
    *ret = q->scale[root->id];
    return 0;
}

static int add_pair(struct qdq *q, struct value *value, int64_t version, struct err *err) {
    struct value *root = q->root[value->id], *scale, *zero, *codes, *floats;
    struct node *before = value->producer ? value->producer->next : q->graph->first;
    if (scale_of(q, root, &scale, err) < 0 ||
        zero_point(q, is_never_negative(root), &zero, err) < 0 ||
        graph_add_value(q->graph, NULL, &codes, err) < 0 ||
        graph_split_value(q->graph, value, NULL, NULL, &floats, err) < 0)
        return -1;
    codes->type = value->type;
    codes->type.dtype = code_dtype(q);
    struct pair_node quantize = {"QuantizeLinear", version, -1, {value, scale, zero}, 3, codes};
    struct pair_node back = {"DequantizeLinear", version, -1, {codes, scale, zero}, 3, floats};
    if (add_node(q, before, &quantize, err) < 0)
        return -1;
    return add_node(q, before, &back, err);
}

static int add_weight(struct qdq *q, struct value *weight, int64_t version, struct err *err) {
    const struct tensor *tensor = &q->model->tensors[weight->tensor];
    unsigned axis = tensor->wanted.granularity == GRANULARITY_COLUMN;
    uint64_t channels = tensor->dims[axis];
    struct type type = {
        .dtype = DTYPE_F32, .ranked = true, .rank = 1, .dims = {DIM((int64_t)channels)}};
    const char *name = free_name(q, weight->name, "_scale");
    struct value *scale, *zero, *floats;
    if (!name)
        return no_memory(err);
    if (graph_add_weight(q->graph, name, weight->tensor, &type, &scale, err) < 0 ||
        zeros(q, channels, &zero, err) < 0 ||
        graph_split_value(q->graph, weight, NULL, NULL, &floats, err) < 0)
        return -1;
    scale->part = PART_SCALE;
    weight->type.dtype = DTYPE_I8;
    weight->data = NULL;
    struct pair_node back = {"DequantizeLinear", version, axis, {weight, scale, zero}, 3, floats};
    return add_node(q, q->graph->first, &back, err);
}

/* The scale of the input times that of the weight: sums of products need no other. */
static int add_bias(struct qdq *q, struct node *node, uint32_t weight, struct err *err) {
    struct value *bias = node->in[2], *codes, *scale, *floats, *input_scale;
    uint64_t count = q->model->tensors[bias->tensor].elements;
    void *ints, *scales;
    if (scale_of(q, q->root[node->in[0]->id], &input_scale, err) < 0 ||
        add_memory(q, bias->name, "_quantized", DTYPE_I32, count, &codes, &ints, err) < 0 ||
        add_memory(q, bias->name, "_quantized_scale", DTYPE_F32, count, &scale, &scales, err) < 0 ||
        graph_add_value(q->graph, NULL, &floats, err) < 0)
        return -1;
    const struct tensor *tensor = &q->model->tensors[input_scale->tensor];
    q->list->biases[q->list->bias_count++] = (struct bias_wanted){
        .bias = bias->tensor,
        .weight = weight,
        .input_scale = q->memory + tensor->parts[PART_DATA].offset / sizeof *q->memory,
        .codes = ints,
        .scales = scales,
    };
    floats->type = bias->type;
    struct pair_node back = {"DequantizeLinear", node->version, 0, {codes, scale}, 2, floats};
    if (add_node(q, node, &back, err) < 0 || graph_set_input(node, 2, floats, err) < 0)
        return -1;
    if (graph_remove_unread(bias))
        q->model->tensors[bias->tensor].removed = true;
    return 0;
}

static int insert(struct qdq *q, struct node *const *nodes, size_t count, struct err *err) {
    int64_t version = nodes[0]->version;
    for (size_t i = 0; i < count; i++) {
        struct value *weight = nodes[i]->in[1];
        bool adds = has_int_bias(nodes[i]);
        uint32_t tensor = weight->tensor;
        /* what reads the weight now reads its floats: only the first node of several sees it */
        if (weight->kind == VALUE_NODE)
            tensor = weight->producer->in[0]->tensor;
        if (adds && add_bias(q, nodes[i], tensor, err) < 0)
            return -1;
        if (weight->kind == VALUE_WEIGHT && add_weight(q, weight, version, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < q->values; i++)
        if (q->is_marked[i] && add_pair(q, q->graph->values[i], version, err) < 0)
            return -1;
    return 0;
}

int onnx_qdq_rewrite(struct model *model, bool *ret_any, struct err *err) {
    struct graph *graph = model->graph;
    struct qdq q = {.model = model, .graph = graph};
    bool any = false;
    GRAPH_NODES(graph, node)
    any = any || is_static(&q, node);
    if (!any)
        return 0;
    if (onnx_raise(model, err) < 0)
        return -1;
    q.values = graph->value_count;
    struct node **nodes = ARENA_ARRAY(graph->arena, struct node *, graph->node_count + 1);
    size_t count = 0;
    q.is_marked = ARENA_ARRAY(graph->arena, bool, q.values + 1);
    q.root = ARENA_ARRAY(graph->arena, struct value *, q.values + 1);
    q.scale = ARENA_ARRAY(graph->arena, struct value *, q.values + 1);
    if (!nodes || !q.is_marked || !q.root || !q.scale)
        return no_memory(err);
    GRAPH_NODES(graph, node) {
        if (is_static(&q, node)) {
            nodes[count++] = node;
            mark_node(&q, node);
        }
    }
    *ret_any = true;
    q.is_unsigned = is_read_twice(&q);
    if (reserve(&q, nodes, count, err) < 0)
        return -1;
    return insert(&q, nodes, count, err);
}
