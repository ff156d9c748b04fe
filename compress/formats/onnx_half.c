/*
 * Nodes are sorted into those that compute in half precision and the others; then every value gets
 * the type that its producer gives it, and every edge between the two kinds a Cast.
 */
#include "compress/formats/onnx_half.h"

#include "compress/base/arena.h"
#include "compress/graph/op.h"
#include "compress/tensor/array.h"

#include <math.h>
#include <string.h>

struct half {
    struct model *model;
    struct graph *graph;
    bool *is_half;        /* by node id */
    struct value **as[2]; /* by value id: the value as f32, and as half; NULL: not yet made */
    size_t values;        /* there were, before casts were added */
};

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory to convert the graph");
}

/* ---- which nodes ---- */

/* Operators that stay in f32: ranges and sums that need more than 11 bits of mantissa, operators
 * whose runtime kernels take f32 alone, and those whose type stands in an attribute. */
static bool is_f32_alone(const char *op_type) {
    static const char *const names[] = {
        "Bernoulli",
        "BlackmanWindow",
        "Celu",
        "CumSum",
        "DFT",
        "DequantizeLinear",
        "Det",
        "DynamicQuantizeLinear",
        "EyeLike",
        "HammingWindow",
        "HannWindow",
        "MelWeightMatrix",
        "Multinomial",
        "NonMaxSuppression",
        "QuantizeLinear",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Range",
        "RoiAlign",
        "STFT",
        "TopK",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], op_type) == 0)
            return true;
    return false;
}

/* Inputs that stay f32 beside an input in half precision. */
static bool is_fixed(const struct node *node, size_t slot) {
    return slot > 0 &&
           (strcmp(node->op_type, "Resize") == 0 || strcmp(node->op_type, "Upsample") == 0);
}

static bool is_f32(const struct value *value) {
    return value && value->type.dtype == DTYPE_F32;
}

static bool has_body(const struct node *node) {
    for (size_t a = 0; a < node->attr_count; a++)
        if (node->attrs[a].kind == ATTR_GRAPH)
            return true;
    return false;
}

static bool is_constant(const struct value *value) {
    return value && (value->kind == VALUE_WEIGHT || value->kind == VALUE_CONSTANT);
}

/* Also behind a few Identity, which ONNX Runtime takes out first. */
static bool multiplies_constant(const struct value *value, unsigned identities) {
    for (size_t i = 0; i < value->use_count; i++) {
        const struct node *node = value->uses[i].node;
        if (!node->op || node->domain[0])
            continue;
        if (strcmp(node->op_type, "Identity") == 0 && node->out[0] && identities > 0 &&
            multiplies_constant(node->out[0], identities - 1))
            return true;
        if (strcmp(node->op_type, "MatMul") == 0 && is_constant(node->in[!value->uses[i].slot]))
            return true;
    }
    return false;
}

/* The first axis becomes the last but one, all but the last move up, and a MatMul by a constant
 * follows: see the header. */
static bool is_moved_batch(const struct node *node) {
    enum { IDENTITIES = 4 };
    const int64_t *perm;
    size_t count;
    return strcmp(node->op_type, "Transpose") == 0 && node_ints(node, "perm", &perm, &count) &&
           count > 2 && perm[count - 2] == 0 && node->out[0] &&
           multiplies_constant(node->out[0], IDENTITIES);
}

static bool can_be_half(const struct node *node) {
    bool floats = false;
    if (!node->op || node->domain[0] || is_f32_alone(node->op_type) || has_body(node) ||
        is_moved_batch(node))
        return false;
    for (size_t i = 0; i < node->in_count; i++) {
        if (node->in[i] && node->in[i]->type.dtype == DTYPE_NONE)
            return false;
        floats = floats || (is_f32(node->in[i]) && !is_fixed(node, i));
    }
    for (size_t i = 0; i < node->out_count; i++) {
        const struct value *out = node->out[i];
        if (!out)
            continue;
        /* a body reads it as it was; LayerNormalization's statistics are f32 */
        if (out->type.dtype == DTYPE_NONE || (is_f32(out) && out->body_uses) ||
            (i > 0 && strcmp(node->op_type, "LayerNormalization") == 0))
            return false;
        /* through half precision to an output would lose for nothing */
        if (out->is_output && strcmp(node->op_type, "Cast") == 0)
            return false;
        floats = floats || is_f32(out);
    }
    return floats;
}

/* Bodies name what they read of the graph around them by values of their own. */
static bool bodies_take(const struct graph *graph, const struct value *weight) {
    GRAPH_NODES(graph, node) {
        for (size_t a = 0; a < node->attr_count; a++) {
            if (node->attrs[a].kind != ATTR_GRAPH)
                continue;
            const struct graph *body = node->attrs[a].body;
            for (size_t v = 0; v < body->value_count; v++)
                if (body->values[v]->kind == VALUE_OUTER && !body->values[v]->dead &&
                    body->values[v]->outer == weight && onnx_half_takes(body, body->values[v]))
                    return true;
        }
    }
    return false;
}

/* A mask of minus infinity means just that; encoding a weight refuses what is not finite. */
static bool is_infinite(const struct value *weight) {
    for (uint64_t i = 0; weight->data && i < weight->data->elements; i++)
        if (!isfinite(array_number(weight->data, i)))
            return true;
    return false;
}

bool onnx_half_takes(const struct graph *graph, const struct value *weight) {
    if (weight->type.dtype != DTYPE_F32 || weight->is_output || is_infinite(weight))
        return false;
    for (size_t i = 0; i < weight->use_count; i++)
        if (can_be_half(weight->uses[i].node) &&
            !is_fixed(weight->uses[i].node, weight->uses[i].slot))
            return true;
    return weight->body_uses && bodies_take(graph, weight);
}

static const struct value *origin_of(const struct value *value) {
    while (value->kind == VALUE_OUTER)
        value = value->outer;
    return value;
}

static bool is_half_weight(const struct half *h, const struct value *value) {
    value = origin_of(value);
    if (value->kind != VALUE_WEIGHT || value->tensor == VALUE_NO_TENSOR)
        return false;
    const struct encoding *wanted = &h->model->tensors[value->tensor].wanted;
    return wanted->codec->family == CODEC_PLAIN && wanted->dtype == DTYPE_F16;
}

/* What is added to a product takes the product's type. */
static bool is_bias(const struct half *h, const struct value *value) {
    value = origin_of(value);
    if (value->kind != VALUE_WEIGHT || value->tensor == VALUE_NO_TENSOR)
        return false;
    unsigned role = h->model->tensors[value->tensor].role;
    return (role & (ROLE_BIAS | ROLE_NORM)) == ROLE_BIAS;
}

/* A weight that was kept keeps what computes with it. */
static bool keeps_f32(const struct half *h, const struct node *node, unsigned least_rank) {
    for (size_t i = 0; i < node->in_count; i++) {
        const struct value *in = node->in[i];
        if (is_f32(in) && origin_of(in)->kind == VALUE_WEIGHT && in->type.rank >= least_rank &&
            !is_fixed(node, i) && !is_half_weight(h, in) && !is_bias(h, in))
            return true;
    }
    return false;
}

/* Is part of the graph kept, or quantized otherwise? */
static bool is_mixed(const struct half *h, const struct graph *graph) {
    GRAPH_NODES(graph, node) {
        if (can_be_half(node) && keeps_f32(h, node, 2))
            return true;
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH && is_mixed(h, node->attrs[a].body))
                return true;
    }
    return false;
}

/* Does it compute with a weight in half precision, or with such a one's results alone? Nothing else
 * has a reason to, where other parts of the graph compute otherwise: its inputs and outputs would
 * go through casts for no gain. */
static bool follows_halves(const struct half *h, const struct node *node) {
    bool any = false, all = true;
    for (size_t i = 0; i < node->in_count; i++) {
        const struct value *in = node->in[i];
        if (!is_f32(in) || is_fixed(node, i))
            continue;
        if (is_half_weight(h, in) && !is_bias(h, in))
            return true;
        if (is_constant(origin_of(in)))
            continue;
        bool half = in->kind == VALUE_NODE && in->producer && h->is_half[in->producer->id];
        any = any || half;
        all = all && half;
    }
    return any && all;
}

/* ---- casts ---- */

static int add_cast(struct half *h, struct node *before, struct value *from, struct value *to,
                    enum dtype type, struct err *err) {
    struct attr attr = {.name = "to", .kind = ATTR_INT, .i = dtype_row(type)->onnx};
    /* Any node of ONNX's own domain tells the model's version of it. */
    int64_t version = 0;
    for (const struct graph *g = h->graph; g && !version; g = g->parent)
        GRAPH_NODES(g, node) {
            if (!node->domain[0]) {
                version = node->version;
                break;
            }
        }
    struct node *node;
    to->type.dtype = type;
    return graph_add_node(h->graph, before,
                          &(struct node_spec){.op_type = "Cast",
                                              .domain = "",
                                              .version = version,
                                              .in = &from,
                                              .in_count = 1,
                                              .out = &to,
                                              .out_count = 1,
                                              .attrs = &attr,
                                              .attr_count = 1},
                          &node, err);
}

static int convert_array(const struct half *h, const struct array *from, const struct array **ret,
                         struct err *err) {
    struct array *to = array_in_arena(h->graph->arena, DTYPE_F16, from->rank, from->dims);
    struct array *clamped = array_in_arena(h->graph->arena, DTYPE_F32, from->rank, from->dims);
    const double largest = 65504;
    if (!to || !clamped)
        return no_memory(err);
    for (uint64_t i = 0; i < from->elements; i++) {
        double x = array_number(from, i);
        if (isfinite(x))
            x = x > largest ? largest : x < -largest ? -largest : x;
        array_real(clamped)[i] = (real)x;
    }
    *ret = to;
    return array_convert(clamped, to, false, err);
}

/* The value in the other type, made when first asked for. */
static int version_of(struct half *h, struct value *value, bool half, struct value **ret,
                      struct err *err) {
    struct value **place = &h->as[half][value->id];
    if (!*place) {
        struct value *made;
        const struct value *origin = origin_of(value);
        if (half && origin->kind == VALUE_CONSTANT) {
            const struct array *data;
            if (convert_array(h, origin->data, &data, err) < 0 ||
                graph_add_constant(h->graph, NULL, data, &made, err) < 0)
                return -1;
        } else {
            struct node *before = value->producer ? value->producer->next : h->graph->first;
            struct value *from = h->as[!half][value->id];
            if (from->producer)
                before = from->producer->next;
            if (graph_add_value(h->graph, NULL, &made, err) < 0)
                return -1;
            made->type = value->type;
            if (add_cast(h, before, from, made, half ? DTYPE_F16 : DTYPE_F32, err) < 0)
                return -1;
        }
        *place = made;
    }
    *ret = *place;
    return 0;
}

/* ---- values and nodes ---- */

/* What the value is from now on, by what makes it. */
static int settle_value(struct half *h, struct value *value, struct err *err) {
    bool half = (value->kind == VALUE_NODE && value->producer && h->is_half[value->producer->id]) ||
                is_half_weight(h, value);
    if (!half) {
        h->as[0][value->id] = value;
        return 0;
    }
    if (!value->is_output) {
        value->type.dtype = DTYPE_F16;
        value->data = NULL;
        h->as[1][value->id] = value;
        return 0;
    }
    struct value *made;
    if (graph_take_over(h->graph, value, &made, err) < 0)
        return -1;
    made->type.dtype = DTYPE_F16;
    h->as[0][value->id] = value;
    h->as[1][value->id] = made;
    return add_cast(h, made->producer->next, made, value, DTYPE_F32, err);
}

static int set_type_attr(struct half *h, struct node *node, struct err *err) {
    for (size_t a = 0; a < node->attr_count; a++) {
        struct attr *attr = &node->attrs[a];
        bool casts = strcmp(node->op_type, "Cast") == 0 && strcmp(attr->name, "to") == 0 &&
                     attr->kind == ATTR_INT && attr->i == dtype_row(DTYPE_F32)->onnx;
        bool fills = strcmp(node->op_type, "ConstantOfShape") == 0 && attr->kind == ATTR_TENSOR &&
                     attr->tensor->dtype == DTYPE_F32;
        if (!casts && !fills)
            continue;
        if (casts)
            attr->i = dtype_row(DTYPE_F16)->onnx;
        else if (convert_array(h, attr->tensor, &attr->tensor, err) < 0)
            return -1;
        attr->origin.bytes = 0;
        return graph_node_changed(node, err);
    }
    if (strcmp(node->op_type, "ConstantOfShape") != 0)
        return 0;
    /* Without a value it fills with f32 zeros. */
    struct array *zero = array_in_arena(h->graph->arena, DTYPE_F16, 1, (const uint64_t[]){1});
    struct attr *attr = ARENA_NEW(h->graph->arena, struct attr);
    if (!zero || !attr)
        return no_memory(err);
    *attr = (struct attr){.name = "value", .kind = ATTR_TENSOR, .tensor = zero};
    node->attrs = attr;
    node->attr_count = 1;
    return graph_node_changed(node, err);
}

static int settle_node(struct half *h, struct node *node, bool half, struct err *err) {
    for (size_t i = 0; i < node->in_count; i++) {
        struct value *in = node->in[i], *wanted;
        if (!in || in->id >= h->values || (!h->as[0][in->id] && !h->as[1][in->id]))
            continue;
        if (version_of(h, in, half && !is_fixed(node, i), &wanted, err) < 0)
            return -1;
        if (wanted != in && graph_set_input(node, i, wanted, err) < 0)
            return -1;
    }
    return half ? set_type_attr(h, node, err) : 0;
}

static int rewrite(struct model *model, struct graph *graph, bool mixed, struct err *err) {
    struct half h = {.model = model, .graph = graph, .values = graph->value_count};
    size_t nodes = graph->next_node_id;
    h.is_half = ARENA_ARRAY(graph->arena, bool, nodes + 1);
    h.as[0] = ARENA_ARRAY(graph->arena, struct value *, h.values + 1);
    h.as[1] = ARENA_ARRAY(graph->arena, struct value *, h.values + 1);
    struct node **order = ARENA_ARRAY(graph->arena, struct node *, graph->node_count + 1);
    size_t count = 0;
    if (!h.is_half || !h.as[0] || !h.as[1] || !order)
        return no_memory(err);
    GRAPH_NODES(graph, node) {
        order[count++] = node;
        h.is_half[node->id] =
            can_be_half(node) && !keeps_f32(&h, node, 1) && (!mixed || follows_halves(&h, node));
    }
    for (size_t i = 0; i < h.values; i++)
        if (!graph->values[i]->dead && is_f32(graph->values[i]) &&
            settle_value(&h, graph->values[i], err) < 0)
            return -1;
    for (size_t i = 0; i < count; i++) {
        if (settle_node(&h, order[i], h.is_half[order[i]->id], err) < 0)
            return -1;
        for (size_t a = 0; a < order[i]->attr_count; a++)
            if (order[i]->attrs[a].kind == ATTR_GRAPH &&
                rewrite(model, order[i]->attrs[a].body, mixed, err) < 0)
                return -1;
    }
    return 0;
}

int onnx_half_rewrite(struct model *model, struct graph *graph, struct err *err) {
    const struct half h = {.model = model};
    bool mixed = is_mixed(&h, graph);
    for (size_t i = 0; i < model->tensor_count; i++)
        mixed = mixed || (model->tensors[i].wanted.codec->is_quantized);
    return rewrite(model, graph, mixed, err);
}
