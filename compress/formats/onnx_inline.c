/*
 * The model's own functions: a call is replaced by the function's nodes, read again for every call
 * with names and attributes put in. A function is a template, so reading it again is the plainest
 * way to copy it; the number of nodes, calls included, is limited (LIMIT_GRAPH_NODES).
 */
#include "compress/base/arena.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_reader.h"

#include <inttypes.h>
#include <string.h>

static const char *key_of(struct arena *arena, const char *domain, const char *name,
                          const char *overload) {
    return arena_printf(arena, "%s\n%s\n%s", domain, name, overload);
}

static int read_text(const struct onnx_reader *r, const struct pbwire_field *field,
                     const char **ret, struct err *err) {
    if (pbwire_expect(r->wire, field, PBWIRE_BYTES, "a name in a function", err) < 0)
        return -1;
    return pbwire_text(r->wire, field->content, ONNX_NAME_BYTES_MAX, r->scratch, ret, err);
}

static int read_field(const struct onnx_reader *r, const struct pbwire_field *field,
                      struct onnx_function *f, struct err *err) {
    const char *name;
    switch (field->number) {
    case ONNX_FUNCTION_NAME:
        return read_text(r, field, &f->name, err);
    case ONNX_FUNCTION_DOMAIN:
        return read_text(r, field, &f->domain, err);
    case ONNX_FUNCTION_OVERLOAD:
        return read_text(r, field, &f->overload, err);
    case ONNX_FUNCTION_INPUT:
    case ONNX_FUNCTION_OUTPUT:
        if (read_text(r, field, &name, err) < 0)
            return -1;
        return onnx_names_add(field->number == ONNX_FUNCTION_INPUT ? &f->in : &f->out, r->scratch,
                              name, err);
    case ONNX_FUNCTION_NODE:
    case ONNX_FUNCTION_ATTRIBUTE_PROTO:
    case ONNX_FUNCTION_OPSET_IMPORT:
        if (pbwire_expect(r->wire, field, PBWIRE_BYTES, "a part of a function", err) < 0)
            return -1;
        if (field->number == ONNX_FUNCTION_OPSET_IMPORT)
            return onnx_read_opset(r->wire, field->content, r->scratch, &f->opsets, &f->opset_count,
                                   &f->opset_capacity, err);
        if (field->number == ONNX_FUNCTION_NODE)
            return onnx_spans_add(&f->nodes, r->scratch, field->whole, err);
        return onnx_spans_add(&f->defaults, r->scratch, field->content, err);
    default:
        return 0;
    }
}

int onnx_read_function(struct onnx_reader *reader, struct pbwire_span message, struct err *err) {
    struct onnx_function f = {.name = "", .domain = "", .overload = ""};
    struct pbwire_walk walk = pbwire_walk(reader->wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (read_field(reader, &field, &f, err) < 0)
            return -1;
    if (more < 0)
        return -1;
    if (strcmp(f.domain, "ai.onnx") == 0)
        f.domain = "";
    strmap_init(&f.constants, reader->lasting);
    const char *key = key_of(reader->scratch, f.domain, f.name, f.overload);
    struct onnx_function *list =
        arena_grow(reader->scratch, reader->functions, &reader->function_capacity,
                   reader->function_count + 1, sizeof *list);
    int put = key && list
                  ? strmap_put(&reader->functions_by_key, key, (uint32_t)reader->function_count)
                  : -1;
    if (put < 0)
        return onnx_no_memory(err);
    if (put == 0)
        return pbwire_fail(reader->wire, message.offset, err,
                           "the model has two functions called '%s' of '%s'", f.name, f.domain);
    reader->functions = list;
    list[reader->function_count++] = f;
    return 0;
}

struct onnx_function *onnx_function_of(const struct onnx_reader *reader,
                                       const struct onnx_node *node) {
    if (reader->function_count == 0)
        return NULL;
    const char *key = key_of(reader->scratch, node->domain, node->op_type, node->overload);
    uint32_t at = key ? strmap_get(&reader->functions_by_key, key) : STRMAP_NONE;
    return at == STRMAP_NONE ? NULL : &reader->functions[at];
}

/* A body belongs to the calling graph and cannot be put into two places. */
static int has_body(const struct onnx_reader *r, const struct onnx_spans *attrs, bool *ret,
                    struct err *err) {
    *ret = false;
    for (size_t i = 0; i < attrs->count; i++) {
        struct pbwire_walk walk = pbwire_walk(r->wire, attrs->list[i]);
        struct pbwire_field field;
        int more;
        while ((more = pbwire_next(&walk, &field, err)) > 0)
            *ret = *ret || field.number == ONNX_ATTR_G || field.number == ONNX_ATTR_GRAPHS;
        if (more < 0)
            return -1;
    }
    return 0;
}

/* The call's attributes, and the defaults of those that it does not give. */
static int read_given(const struct onnx_scope *scope, const struct onnx_node *node,
                      struct attr **ret, size_t *ret_count, struct err *err) {
    const struct onnx_function *f = node->function;
    size_t most = node->attrs.count + f->defaults.count, count = 0;
    struct attr *list = ARENA_ARRAY(scope->reader->scratch, struct attr, most + 1);
    if (!list)
        return onnx_no_memory(err);
    struct onnx_scope plain = {.reader = scope->reader, .graph = scope->graph, .path = ""};
    for (size_t i = 0; i < most; i++) {
        bool is_default = i >= node->attrs.count, given, again = false;
        struct pbwire_span span =
            is_default ? f->defaults.list[i - node->attrs.count] : node->attrs.list[i];
        struct attr attr;
        if (onnx_read_attr(is_default ? &plain : scope, span, node->op_type, &attr, &given, err) <
            0)
            return -1;
        for (size_t k = 0; given && k < count; k++)
            again = again || strcmp(list[k].name, attr.name) == 0;
        if (!given || again)
            continue;
        list[count++] = attr;
    }
    *ret = list;
    *ret_count = count;
    return 0;
}

static int new_call(const struct onnx_scope *scope, const struct onnx_node *node, uint32_t *ret,
                    struct err *err) {
    struct onnx *onnx = scope->reader->onnx;
    if (onnx->call_count == 0)
        onnx->call_count = 1;
    struct onnx_call *list = arena_grow(scope->reader->model->arena, onnx->calls,
                                        &onnx->call_capacity, onnx->call_count + 1, sizeof *list);
    if (!list)
        return onnx_no_memory(err);
    onnx->calls = list;
    list[onnx->call_count] = (struct onnx_call){.whole = node->whole, .graph = scope->graph};
    *ret = (uint32_t)onnx->call_count++;
    return 0;
}

static int add_identity(const struct onnx_scope *scope, const struct onnx_node *node,
                        struct value *from, struct value *to, struct err *err) {
    struct node_spec spec = {
        .op_type = "Identity",
        .domain = "",
        .version =
            onnx_version_of(scope->reader->onnx->opsets, scope->reader->onnx->opset_count, ""),
        .in = &from,
        .in_count = 1,
        .out = &to,
        .out_count = 1,
        .origin = {node->whole.offset, node->whole.bytes, scope->call},
    };
    struct node *made;
    return graph_add_node(scope->graph, NULL, &spec, &made, err);
}

/* Formal inputs are the caller's values; outputs get the caller's names as they are declared. */
static int bind(struct onnx_scope *inner, const struct onnx_scope *scope,
                const struct onnx_node *node, struct err *err) {
    struct onnx_reader *r = scope->reader;
    const struct onnx_function *f = node->function;
    if (node->in.count > f->in.count || node->out.count > f->out.count)
        return err_set(err, ERR_BAD_MODEL, "the function takes %zu inputs and has %zu outputs",
                       f->in.count, f->out.count);
    for (size_t i = 0; i < f->in.count; i++) {
        struct value *value = NULL;
        if (i < node->in.count && node->in.list[i][0] &&
            onnx_scope_find(scope, node->in.list[i], &value, err) < 0)
            return -1;
        int put = strmap_put(&inner->map, f->in.list[i], (uint32_t)inner->to->count);
        if (put == 0)
            return err_set(err, ERR_BAD_MODEL, "two inputs of the function are called '%s'",
                           f->in.list[i]);
        if (put < 0)
            return onnx_no_memory(err);
        if (onnx_names_add(inner->to, r->scratch, value ? value->name : NULL, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < node->out.count; i++) {
        struct value *value;
        if (!node->out.list[i][0])
            continue;
        if (onnx_scope_find(scope, node->out.list[i], &value, err) < 0)
            return -1;
        inner->outputs[i] = value->name;
    }
    return 0;
}

/* Outputs that are not made under the caller's name: an input passed through, a constant. */
static int pass_through(const struct onnx_scope *inner, const struct onnx_node *node,
                        struct err *err) {
    for (size_t i = 0; i < node->out.count; i++) {
        struct value *from;
        const char *to = inner->outputs[i];
        if (onnx_scope_find(inner, node->function->out.list[i], &from, err) < 0)
            return -1;
        if (!to || (from && strcmp(from->name, to) == 0))
            continue;
        if (!from)
            return err_set(err, ERR_BAD_MODEL,
                           "the function's output '%s' is an input that is not "
                           "given",
                           node->function->out.list[i]);
        if (add_identity(inner, node, from, graph_value(inner->graph, to), err) < 0)
            return -1;
    }
    return 0;
}

/* After what the call makes: no two calls make the same value, and it is called the same when the
 * model is written, other calls are opened and it is read again. */
static const char *new_prefix(const struct onnx_scope *scope, const struct onnx_node *node,
                              uint32_t call) {
    struct arena *arena = scope->reader->scratch;
    const char *outer = scope->renames ? scope->prefix : "";
    for (size_t i = 0; i < node->out.count; i++)
        if (node->out.list[i][0])
            return arena_printf(arena, "%s%s/", outer, node->out.list[i]);
    return arena_printf(arena, "%s%s_%" PRIu32 "/", outer, node->op_type, call);
}

int onnx_inline(const struct onnx_scope *scope, const struct onnx_node *node, bool *ret_done,
                struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct onnx_function *f = node->function;
    struct arena_mark mark = arena_mark(r->scratch);
    struct onnx_scope inner = {
        .reader = r,
        .graph = scope->graph,
        .renames = true,
        .to = ARENA_NEW(r->scratch, struct onnx_names),
        .function = f,
        .outputs = ARENA_ARRAY(r->scratch, const char *, f->out.count + 1),
        .opsets = f->opsets,
        .opset_count = f->opset_count,
        .call = scope->call,
        .depth = scope->depth + 1,
        .path = scope->path,
    };
    if (f->is_open)
        return err_set(err, ERR_BAD_MODEL, "the function '%s' calls itself", f->name);
    if (inner.depth > LIMIT_GRAPH_DEPTH)
        return err_set(err, ERR_TOO_LARGE, "bodies and functions are nested deeper than %d",
                       LIMIT_GRAPH_DEPTH);
    struct attr *given = NULL;
    bool bodies, default_bodies;
    if (!inner.to || !inner.outputs)
        return onnx_no_memory(err);
    if (has_body(r, &node->attrs, &bodies, err) < 0 ||
        has_body(r, &f->defaults, &default_bodies, err) < 0)
        return -1;
    if (bodies || default_bodies)
        return 0;
    if (read_given(scope, node, &given, &inner.given_count, err) < 0)
        return -1;
    inner.given = given;
    strmap_init(&inner.map, r->scratch);
    bool is_outermost = inner.call == 0;
    if (is_outermost && new_call(scope, node, &inner.call, err) < 0)
        return -1;
    inner.prefix = new_prefix(scope, node, inner.call);
    if (!inner.prefix)
        return onnx_no_memory(err);
    size_t before = scope->graph->node_count;
    f->is_open = true;
    int result = bind(&inner, scope, node, err);
    if (result == 0)
        result = onnx_read_nodes(&inner, &f->nodes, NULL, err);
    f->is_open = false;
    if (result == 0)
        result = pass_through(&inner, node, err);
    if (result < 0)
        return -1;
    if (is_outermost)
        r->onnx->calls[inner.call].nodes = scope->graph->node_count - before;
    arena_rewind(r->scratch, mark);
    *ret_done = true;
    return 0;
}
