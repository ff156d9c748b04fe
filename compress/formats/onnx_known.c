/*
 * One walk over the nodes finds pairs of codes and scales; tensors that became parts of others are
 * then taken out of the list, and values told their new places.
 */
#include "compress/formats/onnx_known.h"

#include "compress/base/arena.h"
#include "compress/graph/graph.h"

#include <string.h>

/* Zero points that are looked at. */
#define ZERO_BYTES_MAX (16 * MIB)

struct known {
    struct model *model;
    struct value **codes;  /* by tensor: the value that has its codes; NULL: plain */
    struct value **scales; /* by tensor, of its codes */
    struct encoding *as;   /* by tensor */
    size_t *uses;          /* by tensor: readers that know it as a scale */
    struct tensor **owner; /* by tensor that is a scale: of the codes */
    bool *is_shared;       /* by tensor that is a scale: of several tensors' codes */
};

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the model's header needs more memory than is allowed");
}

static struct value *origin_of(struct value *value) {
    while (value && value->kind == VALUE_OUTER)
        value = value->outer;
    return value;
}

/* The tensor behind an input when it is plain and of that type. */
static struct tensor *plain_tensor(const struct known *k, const struct node *node, size_t slot,
                                   enum dtype dtype, struct value **ret_value) {
    struct value *value = slot < node->in_count ? origin_of(node->in[slot]) : NULL;
    if (!value || value->kind != VALUE_WEIGHT || value->tensor == VALUE_NO_TENSOR)
        return NULL;
    struct tensor *tensor = &k->model->tensors[value->tensor];
    *ret_value = value;
    return tensor->stored.codec->family == CODEC_PLAIN && tensor->stored.dtype == dtype ? tensor
                                                                                        : NULL;
}

/* Are the zero points not given, or nothing but zeros? */
static int no_zero_points(const struct known *k, const struct node *node, size_t slot, bool *ret,
                          struct err *err) {
    const struct value *value = slot < node->in_count ? origin_of(node->in[slot]) : NULL;
    *ret = value == NULL;
    if (!value)
        return 0;
    if (value->data) {
        *ret = true;
        for (uint64_t i = 0; i < value->data->elements; i++)
            *ret = *ret && array_int(value->data, i) == 0;
        return 0;
    }
    if (value->kind != VALUE_WEIGHT || value->tensor == VALUE_NO_TENSOR)
        return 0;
    const struct part *part = &k->model->tensors[value->tensor].parts[PART_DATA];
    uint8_t piece[4096];
    if (part->bytes > ZERO_BYTES_MAX)
        return 0;
    *ret = true;
    for (uint64_t at = 0; *ret && at < part->bytes; at += sizeof piece) {
        size_t n = part->bytes - at < sizeof piece ? (size_t)(part->bytes - at) : sizeof piece;
        if (source_read(k->model->files[part->file].source, part->offset + at, piece, n, err) < 0)
            return -1;
        for (size_t i = 0; i < n; i++)
            *ret = *ret && piece[i] == 0;
    }
    return 0;
}

/* Do the parts have the sizes that the encoding prescribes? */
static bool sizes_fit(const struct tensor *codes, const struct tensor *scales,
                      const struct encoding *e) {
    uint64_t rows, cols;
    tensor_matrix(codes, e, &rows, &cols);
    struct err ignored = ERR_INIT;
    if (encoding_check(e, rows, cols, &ignored) < 0)
        return false;
    struct encoded_size size = encoding_size(e, rows, cols);
    return codes->parts[PART_DATA].bytes == size.data_bytes &&
           scales->parts[PART_DATA].bytes == size.scale_bytes;
}

/* `shape`: the codes' tensor as a matrix of weights; its own where that is the same. */
static void note(struct known *k, struct value *codes, struct value *scales,
                 const struct tensor *shape, const struct encoding *e) {
    struct tensor *tensor = &k->model->tensors[codes->tensor];
    const struct tensor *scale = &k->model->tensors[scales->tensor];
    if (!sizes_fit(shape, scale, e))
        return;
    if (k->codes[codes->tensor] &&
        (k->scales[codes->tensor] != scales || !encoding_equal(&k->as[codes->tensor], e))) {
        k->is_shared[scales->tensor] = true; /* read in two ways: one of them is told */
        return;
    }
    k->codes[codes->tensor] = codes;
    k->scales[codes->tensor] = scales;
    k->as[codes->tensor] = *e;
    tensor->rank = shape->rank;
    memcpy(tensor->dims, shape->dims, sizeof tensor->dims);
    if (k->owner[scales->tensor] && k->owner[scales->tensor] != tensor)
        k->is_shared[scales->tensor] = true;
    k->owner[scales->tensor] = tensor;
    k->uses[scales->tensor]++;
}

static struct encoding int8_of(enum granularity granularity) {
    return (struct encoding){.codec = codec_by_name("int8"),
                             .granularity = granularity,
                             .symmetric = true,
                             .packing = PACKING_BYTES,
                             .scale_dtype = DTYPE_F32};
}

static uint64_t count_of(const struct tensor *tensor) {
    uint64_t count = 1;
    for (unsigned d = 0; d < tensor->rank; d++)
        count *= tensor->dims[d];
    return count;
}

static int know_dequantize(struct known *k, const struct node *node, struct err *err) {
    struct value *codes = NULL, *scales = NULL;
    const struct tensor *w = plain_tensor(k, node, 0, DTYPE_I8, &codes);
    const struct tensor *s = plain_tensor(k, node, 1, DTYPE_F32, &scales);
    bool zero;
    if (!w || !s || w->rank < 2 || s->rank > 1 || node_int(node, "block_size", 0) != 0)
        return 0;
    if (no_zero_points(k, node, 2, &zero, err) < 0)
        return -1;
    int64_t axis = node_int(node, "axis", 1);
    axis += axis < 0 ? (int64_t)w->rank : 0;
    struct encoding e = int8_of(s->rank == 0                ? GRANULARITY_TENSOR
                                : axis == 0                 ? GRANULARITY_CHANNEL
                                : w->rank == 2 && axis == 1 ? GRANULARITY_COLUMN
                                : count_of(s) == 1          ? GRANULARITY_TENSOR
                                                            : GRANULARITY_NONE);
    if (zero && e.granularity != GRANULARITY_NONE)
        note(k, codes, scales, w, &e);
    return 0;
}

static int know_nbits(struct known *k, const struct node *node, struct err *err) {
    struct value *codes = NULL, *scales = NULL;
    const struct tensor *w = plain_tensor(k, node, 1, DTYPE_U8, &codes);
    const struct tensor *s = plain_tensor(k, node, 2, DTYPE_F32, &scales);
    int64_t bits = node_int(node, "bits", 4), block = node_int(node, "block_size", 0);
    int64_t rows = node_int(node, "K", 0), columns = node_int(node, "N", 0);
    if (!w || !s || node_has(node, 3) || node_has(node, 4) || (bits != 4 && bits != 8) ||
        block < 16 || block > INT32_MAX || rows < 1 || columns < 1 ||
        rows > (int64_t)LIMIT_ELEMENTS || columns > (int64_t)LIMIT_ELEMENTS)
        return 0;
    struct tensor shape = *w;
    shape.rank = 2;
    shape.dims[0] = (uint64_t)rows;
    shape.dims[1] = (uint64_t)columns;
    struct encoding e = {.codec = codec_by_name(bits == 4 ? "int4" : "int8"),
                         .granularity = GRANULARITY_GROUP,
                         .group_len = (uint32_t)block,
                         .padded = rows % block != 0,
                         .symmetric = true,
                         .packing = PACKING_WORDS,
                         .scale_dtype = DTYPE_F32,
                         .transposed = true};
    note(k, codes, scales, &shape, &e);
    return 0;
}

static struct node *only_reader(const struct value *value, const char *op_type) {
    if (!value || value->use_count != 1 || value->is_output)
        return NULL;
    struct node *node = value->uses[0].node;
    return node->op && !node->domain[0] && strcmp(node->op_type, op_type) == 0 ? node : NULL;
}

/* MatMulInteger → Cast → Mul by Mul(scale of a, scale of w). */
static int know_integer(struct known *k, const struct node *node, struct err *err) {
    struct value *codes = NULL, *scales = NULL;
    const struct tensor *w = plain_tensor(k, node, 1, DTYPE_I8, &codes);
    const struct node *cast = only_reader(node->out[0], "Cast");
    const struct node *mul = cast ? only_reader(cast->out[0], "Mul") : NULL;
    bool zero;
    if (!w || w->rank != 2 || !mul)
        return 0;
    const struct value *other = mul->in[mul->in[0] == cast->out[0]];
    const struct node *product = other ? other->producer : NULL;
    if (!product || !product->op || product->domain[0] || strcmp(product->op_type, "Mul") != 0)
        return 0;
    const struct tensor *s = plain_tensor(k, product, 1, DTYPE_F32, &scales);
    if (!s)
        s = plain_tensor(k, product, 0, DTYPE_F32, &scales);
    if (!s || s->rank > 1)
        return 0;
    if (no_zero_points(k, node, 3, &zero, err) < 0)
        return -1;
    struct encoding e = int8_of(s->rank == 0 ? GRANULARITY_TENSOR : GRANULARITY_COLUMN);
    if (zero)
        note(k, codes, scales, w, &e);
    return 0;
}

/* Operators that say that a model is quantized. */
static const char *quantized_by(const struct node *node) {
    static const char *const names[] = {
        "ConvInteger",   "DequantizeLinear",     "DynamicQuantizeLinear", "DynamicQuantizeMatMul",
        "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits",           "QGemm",
        "QLinearConv",   "QLinearMatMul",        "QuantizeLinear",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], node->op_type) == 0)
            return names[i];
    return NULL;
}

static int walk(struct known *k, const struct graph *graph, struct err *err) {
    GRAPH_NODES(graph, node) {
        int result = 0;
        const char *name = quantized_by(node);
        if (name && !k->model->quantization)
            k->model->quantization = name;
        if (!node->op) /* its inputs and outputs are as they please */
            name = NULL;
        if (name && strcmp(name, "DequantizeLinear") == 0)
            result = know_dequantize(k, node, err);
        else if (name && strcmp(name, "MatMulNBits") == 0)
            result = know_nbits(k, node, err);
        else if (name && strcmp(name, "MatMulInteger") == 0)
            result = know_integer(k, node, err);
        for (size_t a = 0; result == 0 && a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH)
                result = walk(k, node->attrs[a].body, err);
        if (result < 0)
            return -1;
    }
    return 0;
}

/* ---- merging ---- */

/* Nobody reads the scale but with the codes. */
static bool is_exclusive(const struct known *k, const struct value *scale) {
    return !k->is_shared[scale->tensor] && !scale->is_output &&
           scale->use_count <= k->uses[scale->tensor] && scale->kind == VALUE_WEIGHT;
}

static void renumber(const struct graph *graph, const uint32_t *numbers) {
    for (size_t i = 0; i < graph->value_count; i++) {
        struct value *value = graph->values[i];
        if (value->kind == VALUE_WEIGHT && value->tensor != VALUE_NO_TENSOR)
            value->tensor = numbers[value->tensor];
    }
    GRAPH_NODES(graph, node) {
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH)
                renumber(node->attrs[a].body, numbers);
    }
}

static void merge(struct known *k, uint32_t *numbers, bool *is_gone) {
    struct model *model = k->model;
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *tensor = &model->tensors[i];
        if (!k->codes[i])
            continue;
        struct value *scale = k->scales[i];
        tensor->stored = k->as[i];
        tensor->parts[PART_SCALE] = model->tensors[scale->tensor].parts[PART_DATA];
        is_gone[scale->tensor] = is_gone[scale->tensor] || is_exclusive(k, scale);
    }
    uint32_t count = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        numbers[i] = is_gone[i] ? VALUE_NO_TENSOR : count++;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (k->codes[i] && is_gone[k->scales[i]->tensor])
            numbers[k->scales[i]->tensor] = numbers[i];
    for (size_t i = 0; i < model->tensor_count; i++)
        if (k->codes[i] && is_gone[k->scales[i]->tensor])
            k->scales[i]->part = PART_SCALE;
    renumber(model->graph, numbers);
    for (size_t i = 0, to = 0; i < model->tensor_count; i++)
        if (!is_gone[i])
            model->tensors[to++] = model->tensors[i];
    model->tensor_count = count;
}

int onnx_know(struct model *model, struct arena *scratch, struct err *err) {
    size_t n = model->tensor_count + 1;
    struct known k = {
        .model = model,
        .codes = ARENA_ARRAY(scratch, struct value *, n),
        .scales = ARENA_ARRAY(scratch, struct value *, n),
        .as = ARENA_ARRAY(scratch, struct encoding, n),
        .uses = ARENA_ARRAY(scratch, size_t, n),
        .owner = ARENA_ARRAY(scratch, struct tensor *, n),
        .is_shared = ARENA_ARRAY(scratch, bool, n),
    };
    uint32_t *numbers = ARENA_ARRAY(scratch, uint32_t, n);
    bool *is_gone = ARENA_ARRAY(scratch, bool, n);
    if (!k.codes || !k.scales || !k.as || !k.uses || !k.owner || !k.is_shared || !numbers ||
        !is_gone)
        return no_memory(err);
    if (walk(&k, model->graph, err) < 0)
        return -1;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (k.codes[i]) {
            char text[80];
            const char *own =
                arena_strdup(model->arena, encoding_describe(&k.as[i], text, sizeof text));
            if (!own)
                return no_memory(err);
            model->quantization = own;
            merge(&k, numbers, is_gone);
            return 0;
        }
    return 0;
}
