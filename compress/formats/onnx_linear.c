/* First the weight becomes codes and scales, then each of its readers is replaced. */
#include "compress/formats/onnx_linear.h"

#include "compress/base/arena.h"
#include "compress/tensor/array.h"

#include <stdio.h>
#include <string.h>

/* DynamicQuantizeLinear came with 11; MatMulNBits is Microsoft's and has no other version. */
enum { DYNAMIC_VERSION = 11, NBITS_VERSION = 1 };
#define NBITS_DOMAIN "com.microsoft"

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory to rewrite the graph");
}

/* ---- what may become so ---- */

static bool is_product(const struct use *use, bool *ret_is_rows) {
    const struct node *node = use->node;
    if (node->domain[0] || use->slot != 1 || !node->op || node->version < DYNAMIC_VERSION ||
        !node->in[0] || node->in[0]->type.dtype != DTYPE_F32)
        return false;
    *ret_is_rows = false;
    if (strcmp(node->op_type, "MatMul") == 0)
        return true;
    *ret_is_rows = node_int(node, "transB", 0) != 0;
    return strcmp(node->op_type, "Gemm") == 0 && node_int(node, "transA", 0) == 0;
}

static bool reads_well(const struct graph *graph, const struct value *weight, size_t *seen,
                       bool *rows) {
    for (size_t i = 0; i < weight->use_count; i++) {
        bool is_rows;
        if (!is_product(&weight->uses[i], &is_rows) || (*seen && is_rows != *rows))
            return false;
        *rows = is_rows;
        ++*seen;
    }
    for (const struct node *node = weight->body_uses ? graph->first : NULL; node; node = node->next)
        for (size_t a = 0; a < node->attr_count; a++) {
            const struct graph *body =
                node->attrs[a].kind == ATTR_GRAPH ? node->attrs[a].body : NULL;
            for (size_t v = 0; body && v < body->value_count; v++)
                if (body->values[v]->kind == VALUE_OUTER && !body->values[v]->dead &&
                    body->values[v]->outer == weight &&
                    !reads_well(body, body->values[v], seen, rows))
                    return false;
        }
    return !weight->is_output;
}

bool onnx_linear_takes(const struct graph *graph, const struct value *weight, bool *ret_is_rows) {
    size_t seen = 0;
    *ret_is_rows = false;
    return weight->type.ranked && weight->type.rank == 2 &&
           reads_well(graph, weight, &seen, ret_is_rows) && seen > 0;
}

/* ---- building ---- */

struct linear {
    const struct tensor *tensor;
    const char *scale; /* its name */
    uint64_t k, n;
};

static struct attr int_attr(const char *name, int64_t i) {
    return (struct attr){.name = name, .kind = ATTR_INT, .i = i};
}

static int new_value(struct graph *graph, enum dtype dtype, struct value **ret, struct err *err) {
    if (graph_add_value(graph, NULL, ret, err) < 0)
        return -1;
    (*ret)->type.dtype = dtype;
    return 0;
}

static int add(struct node *before, const struct node_spec *spec, struct node **ret,
               struct err *err) {
    struct node *node;
    return graph_add_node(before->graph, before, spec, ret ? ret : &node, err);
}

/* A name that nobody has: `base` and `suffix`, perhaps a number. */
static const char *free_name(const struct graph *graph, const char *base, const char *suffix) {
    const char *name = arena_printf(graph->arena, "%s%s", base, suffix);
    for (unsigned n = 2; name && strmap_get(&graph->by_name, name) != STRMAP_NONE; n++)
        name = arena_printf(graph->arena, "%s%s.%u", base, suffix, n);
    return name;
}

/* One for all that read a. */
static int quantized_input(struct node *reader, struct value *a, struct value *ret[3],
                           struct err *err) {
    struct graph *graph = reader->graph;
    for (size_t i = 0; i < a->use_count; i++) {
        const struct node *node = a->uses[i].node;
        if (!node->op || node->domain[0] || strcmp(node->op_type, "DynamicQuantizeLinear") != 0 ||
            node->out_count != 3 || !node->out[0] || !node->out[1] || !node->out[2])
            continue;
        memcpy(ret, node->out, 3 * sizeof *ret);
        return 0;
    }
    if (new_value(graph, DTYPE_U8, &ret[0], err) < 0 ||
        new_value(graph, DTYPE_F32, &ret[1], err) < 0 ||
        new_value(graph, DTYPE_U8, &ret[2], err) < 0)
        return -1;
    struct node *node;
    return graph_add_node(graph, a->producer ? a->producer->next : graph->first,
                          &(struct node_spec){.op_type = "DynamicQuantizeLinear",
                                              .domain = "",
                                              .version = reader->version,
                                              .in = &a,
                                              .in_count = 1,
                                              .out = ret,
                                              .out_count = 3},
                          &node, err);
}

static int multiply_nbits(const struct linear *l, struct node *old, struct value *scale,
                          struct value *to, struct err *err) {
    const struct encoding *e = &l->tensor->wanted;
    struct attr attrs[] = {int_attr("K", (int64_t)l->k), int_attr("N", (int64_t)l->n),
                           int_attr("bits", e->codec->bits), int_attr("block_size", e->group_len)};
    struct value *in[] = {old->in[0], old->in[1], scale};
    return add(old,
               &(struct node_spec){.name = old->name,
                                   .op_type = "MatMulNBits",
                                   .domain = NBITS_DOMAIN,
                                   .version = NBITS_VERSION,
                                   .in = in,
                                   .in_count = 3,
                                   .out = &to,
                                   .out_count = 1,
                                   .attrs = attrs,
                                   .attr_count = sizeof attrs / sizeof *attrs},
               NULL, err);
}

static int multiply_integer(struct node *old, struct value *scale, struct value *to,
                            struct err *err) {
    struct graph *graph = old->graph;
    struct value *q[3], *sums, *floats, *product;
    if (quantized_input(old, old->in[0], q, err) < 0 ||
        new_value(graph, DTYPE_I32, &sums, err) < 0 ||
        new_value(graph, DTYPE_F32, &floats, err) < 0 ||
        new_value(graph, DTYPE_F32, &product, err) < 0)
        return -1;
    struct attr cast = int_attr("to", dtype_row(DTYPE_F32)->onnx);
    struct node_spec spec = {.domain = "", .version = old->version, .out_count = 1};
    spec.name = old->name;
    spec.op_type = "MatMulInteger";
    spec.in = (struct value *[]){q[0], old->in[1], q[2]};
    spec.in_count = 3;
    spec.out = &sums;
    if (add(old, &spec, NULL, err) < 0)
        return -1;
    spec.name = NULL;
    spec.op_type = "Cast";
    spec.in = &sums;
    spec.in_count = 1;
    spec.out = &floats;
    spec.attrs = &cast;
    spec.attr_count = 1;
    if (add(old, &spec, NULL, err) < 0)
        return -1;
    spec.op_type = "Mul";
    spec.in = (struct value *[]){q[1], scale};
    spec.in_count = 2;
    spec.out = &product;
    spec.attr_count = 0;
    if (add(old, &spec, NULL, err) < 0)
        return -1;
    spec.in = (struct value *[]){floats, product};
    spec.out = &to;
    return add(old, &spec, NULL, err);
}

/* An input of a Gemm times the number that one of its attributes holds. */
static int scale_input(struct node *gemm, size_t slot, const char *attr, struct err *err) {
    struct graph *graph = gemm->graph;
    struct value *in[2], *out;
    double factor = node_float(gemm, attr, 1);
    if (!node_has(gemm, slot) || factor == 1)
        return 0;
    struct array *array = array_in_arena(graph->arena, DTYPE_F32, 0, NULL);
    if (!array)
        return no_memory(err);
    *(float *)array->data = (float)factor;
    in[0] = gemm->in[slot];
    if (graph_add_constant(graph, NULL, array, &in[1], err) < 0 ||
        new_value(graph, DTYPE_F32, &out, err) < 0)
        return -1;
    out->type = in[0]->type;
    if (add(gemm,
            &(struct node_spec){.op_type = "Mul",
                                .domain = "",
                                .version = gemm->version,
                                .in = in,
                                .in_count = 2,
                                .out = &out,
                                .out_count = 1},
            NULL, err) < 0)
        return -1;
    return graph_set_input(gemm, slot, out, err);
}

static int replace(const struct linear *l, struct node *old, struct err *err) {
    struct graph *graph = old->graph;
    struct value *y = old->out[0], *unused, *scale, *to = y;
    bool adds = strcmp(old->op_type, "Gemm") == 0 && node_has(old, 2);
    if (!y) {
        graph_remove_node(old);
        return 0;
    }
    if (strcmp(old->op_type, "Gemm") == 0 &&
        (scale_input(old, 0, "alpha", err) < 0 || scale_input(old, 2, "beta", err) < 0))
        return -1;
    if (graph_resolve(graph, l->scale, &scale, err) < 0 ||
        graph_take_over(graph, y, &unused, err) < 0)
        return -1;
    if (adds) {
        if (new_value(graph, DTYPE_F32, &to, err) < 0)
            return -1;
        to->type = y->type;
    }
    bool dynamic = l->tensor->wanted.dynamic_activations;
    if ((dynamic ? multiply_integer(old, scale, to, err) : multiply_nbits(l, old, scale, to, err)) <
        0)
        return -1;
    if (adds && add(old,
                    &(struct node_spec){.op_type = "Add",
                                        .domain = "",
                                        .version = old->version,
                                        .in = (struct value *[]){to, old->in[2]},
                                        .in_count = 2,
                                        .out = &y,
                                        .out_count = 1},
                    NULL, err) < 0)
        return -1;
    graph_remove_node(old);
    return 0;
}

static int replace_readers(const struct linear *l, struct graph *graph, struct value *weight,
                           struct err *err) {
    for (size_t i = weight->use_count; i-- > 0;) {
        /* The new node reads the weight from the same slot; the old one's use goes. */
        struct node *old = NULL;
        for (size_t u = 0; u < weight->use_count && !old; u++) {
            struct node *node = weight->uses[u].node;
            if (strcmp(node->op_type, "MatMul") == 0 || strcmp(node->op_type, "Gemm") == 0)
                old = node;
        }
        if (old && replace(l, old, err) < 0)
            return -1;
    }
    for (struct node *node = weight->body_uses ? graph->first : NULL; node; node = node->next)
        for (size_t a = 0; a < node->attr_count; a++) {
            struct graph *body = node->attrs[a].kind == ATTR_GRAPH ? node->attrs[a].body : NULL;
            size_t count = body ? body->value_count : 0;
            for (size_t v = 0; v < count; v++) {
                struct value *inner = body->values[v];
                if (inner->kind != VALUE_OUTER || inner->dead || inner->outer != weight)
                    continue;
                inner->type = weight->type;
                inner->data = NULL;
                if (replace_readers(l, body, inner, err) < 0)
                    return -1;
            }
        }
    return 0;
}

static struct type type_of(enum dtype dtype, unsigned rank, const uint64_t *dims) {
    struct type type = {.dtype = dtype, .ranked = true, .rank = rank};
    for (unsigned d = 0; d < rank; d++)
        type.dims[d] = DIM((int64_t)dims[d]);
    return type;
}

int onnx_linear_rewrite(struct model *model, struct graph *graph, struct value *weight,
                        struct err *err) {
    const struct tensor *tensor = &model->tensors[weight->tensor];
    const struct encoding *e = &tensor->wanted;
    struct linear l = {.tensor = tensor};
    struct type codes, scales;
    tensor_matrix(tensor, e, &l.k, &l.n);
    if (e->dynamic_activations) { /* [K, N] and a scale per column */
        codes = type_of(DTYPE_I8, 2, (const uint64_t[]){l.k, l.n});
        scales = type_of(DTYPE_F32, 1, &l.n);
    } else { /* [N, K / block, bytes of a block] and a scale per block */
        uint64_t rows = l.k, blocks = (l.n + e->group_len - 1) / e->group_len;
        codes = type_of(DTYPE_U8, 3,
                        (const uint64_t[]){rows, blocks, e->group_len * e->codec->bits / 8});
        scales = type_of(DTYPE_F32, 1, (const uint64_t[]){rows * blocks});
        l.k = l.n;
        l.n = rows;
    }
    struct value *scale;
    l.scale = free_name(graph, weight->name, "_scale");
    if (!l.scale)
        return no_memory(err);
    if (graph_add_weight(graph, l.scale, weight->tensor, &scales, &scale, err) < 0)
        return -1;
    scale->part = PART_SCALE;
    weight->type = codes;
    weight->data = NULL;
    return replace_readers(&l, graph, weight, err);
}
