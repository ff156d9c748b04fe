/* See tinygraph.h. */
#include "tests/support/tinygraph.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_BYTES = 64 << 20 };

void tinygraph_new(struct tinygraph *t) {
    t->arena = arena_new(ARENA_BYTES);
    CHECK(t->arena);
    t->graph = graph_new(t->arena, NULL);
    CHECK(t->graph);
    t->weights = weights_new(NULL, t->graph, 0);
    CHECK(t->weights);
}

void tinygraph_free(struct tinygraph *t) {
    weights_free(t->weights);
    arena_free(t->arena);
    *t = (struct tinygraph){0};
}

static struct type parse_type(const char *text, struct symbols *symbols) {
    char copy[200];
    CHECK(strlen(text) < sizeof copy);
    strcpy(copy, text);
    char *dims = strchr(copy, '[');
    CHECK(dims && copy[strlen(copy) - 1] == ']');
    copy[strlen(copy) - 1] = 0;
    *dims++ = 0;
    struct type type = {.dtype = dtype_by_name(copy), .ranked = true};
    CHECK(type.dtype != DTYPE_NONE);
    char *rest;
    for (char *dim = strtok_r(dims, ",", &rest); dim; dim = strtok_r(NULL, ",", &rest)) {
        char *end;
        long number = strtol(dim, &end, 10);
        CHECK(type.rank < LIMIT_RANK);
        if (*end == 0) {
            type.dims[type.rank++] = DIM(number);
        } else {
            CHECK(symbols);
            type.dims[type.rank++] = (struct dim){-1, symbols_get(symbols, dim)};
        }
    }
    return type;
}

struct fact tinygraph_fact(const char *type) {
    return (struct fact){.type = parse_type(type, NULL)};
}

struct value *tinygraph_input(struct tinygraph *t, const char *name, const char *type) {
    struct err err = ERR_INIT;
    struct type parsed = parse_type(type, t->graph->symbols);
    struct value *value;
    CHECK_OK(graph_add_input(t->graph, name, &parsed, &value, &err), &err);
    return value;
}

/* Numbers k/64 in [-1, 1), from a generator seeded with the name. */
struct array *tinygraph_array(const char *type, const char *seed) {
    struct type parsed = parse_type(type, NULL);
    struct array shape;
    CHECK(type_to_array(&parsed, &shape));
    struct array *array = array_new(shape.dtype, shape.rank, shape.dims);
    CHECK(array);
    uint32_t state = 2166136261u;
    for (const char *c = seed; *c; c++)
        state = (state ^ (uint8_t)*c) * 16777619u;
    struct array *as_real = array_new(DTYPE_F32, shape.rank, shape.dims);
    CHECK(as_real);
    bool is_float = dtype_row(shape.dtype)->is_float;
    for (uint64_t i = 0; i < shape.elements; i++) {
        state = state * 1664525u + 1013904223u;
        array_real(as_real)[i] = is_float ? (real)((int)(state >> 16 & 127) - 64) / 64 : (real)i;
    }
    struct err err = ERR_INIT;
    CHECK_OK(array_convert(as_real, array, false, &err), &err);
    array_free(as_real);
    return array;
}

struct value *tinygraph_weight(struct tinygraph *t, const char *name, const char *type) {
    struct err err = ERR_INIT;
    struct type parsed = parse_type(type, NULL);
    struct value *value;
    CHECK_OK(graph_add_weight(t->graph, name, 0, &parsed, &value, &err), &err);
    struct array *array = tinygraph_array(type, name);
    CHECK_OK(weights_put(t->weights, value, array, &err), &err);
    array_free(array);
    return value;
}

struct value *tinygraph_constant(struct graph *graph, const char *name, const struct array *data) {
    struct err err = ERR_INIT;
    struct array *copy = array_in_arena(graph->arena, data->dtype, data->rank, data->dims);
    struct value *value;
    CHECK(copy);
    memcpy(copy->data, data->data, (size_t)array_bytes(data));
    CHECK_OK(graph_add_constant(graph, name, copy, &value, &err), &err);
    return value;
}

struct value *tinygraph_ints(struct graph *graph, const char *name, const int64_t *ints,
                             size_t count) {
    int64_t copy[16];
    CHECK(count <= 16);
    memcpy(copy, ints, count * sizeof *ints);
    struct array array = {
        .dtype = DTYPE_I64, .rank = 1, .dims = {count}, .elements = count, .data = copy};
    return tinygraph_constant(graph, name, &array);
}

struct value *tinygraph_op(struct graph *graph, const char *op_type, const char *name,
                           struct value *const *in, const struct attr *attrs, size_t attr_count) {
    struct err err = ERR_INIT;
    struct value *out;
    struct node *node;
    size_t in_count = 0;
    while (in[in_count])
        in_count++;
    CHECK_OK(graph_add_value(graph, name, &out, &err), &err);
    struct node_spec spec = {.name = name,
                             .op_type = op_type,
                             .domain = "",
                             .version = TINYGRAPH_VERSION,
                             .in = in,
                             .in_count = in_count,
                             .out = (struct value *const[]){out},
                             .out_count = 1,
                             .attrs = attrs,
                             .attr_count = attr_count};
    CHECK_OK(graph_add_node(graph, NULL, &spec, &node, &err), &err);
    return out;
}

void tinygraph_output(struct graph *graph, struct value *value) {
    struct err err = ERR_INIT;
    CHECK_OK(graph_add_output(graph, value, &err), &err);
}
