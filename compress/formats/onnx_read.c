/*
 * GraphProto → graph: initializers, inputs, nodes, outputs, in that order, whatever their order in
 * the file. All outputs of nodes are declared before the first input is looked up, so that a graph
 * out of order is a matter for graph_sort() and a missing name is a missing name.
 */
#include "compress/base/arena.h"
#include "compress/base/files.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_reader.h"
#include "compress/graph/op.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int onnx_no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the model's header needs more memory than is allowed");
}

int onnx_spans_add(struct onnx_spans *spans, struct arena *arena, struct pbwire_span span,
                   struct err *err) {
    struct pbwire_span *list =
        arena_grow(arena, spans->list, &spans->capacity, spans->count + 1, sizeof *list);
    if (!list)
        return onnx_no_memory(err);
    spans->list = list;
    list[spans->count++] = span;
    return 0;
}

int onnx_names_add(struct onnx_names *names, struct arena *arena, const char *name,
                   struct err *err) {
    const char **list =
        arena_grow(arena, names->list, &names->capacity, names->count + 1, sizeof *list);
    if (!list)
        return onnx_no_memory(err);
    names->list = list;
    list[names->count++] = name;
    return 0;
}

/* ---- names ---- */

int onnx_scope_find(const struct onnx_scope *scope, const char *name, struct value **ret,
                    struct err *err) {
    for (const struct onnx_scope *s = scope; s && s->renames; s = s->around) {
        uint32_t at = strmap_get(&s->map, name);
        if (at == STRMAP_NONE)
            continue;
        if (s->to->list[at])
            return graph_resolve(scope->graph, s->to->list[at], ret, err);
        *ret = NULL;
        return 0;
    }
    if (scope->renames)
        return err_set(err, ERR_BAD_MODEL, "nothing in the function makes the value '%s'", name);
    return graph_resolve(scope->graph, name, ret, err);
}

static bool is_taken(const struct graph *graph, const char *name) {
    for (; graph; graph = graph->parent)
        if (strmap_get(&graph->by_name, name) != STRMAP_NONE)
            return true;
    return false;
}

static const char *renamed(const struct onnx_scope *scope, const char *local) {
    struct arena *arena = scope->reader->scratch;
    const char *name = arena_printf(arena, "%s%s", scope->prefix, local);
    for (unsigned n = 2; name && is_taken(scope->graph, name); n++)
        name = arena_printf(arena, "%s%s.%u", scope->prefix, local, n);
    return name;
}

static int map_name(struct onnx_scope *scope, const char *local, const char *name,
                    struct err *err) {
    int put = strmap_put(&scope->map, local, (uint32_t)scope->to->count);
    if (put == 0)
        return err_set(err, ERR_BAD_MODEL, "two values of a function are called '%s'", local);
    if (put < 0)
        return onnx_no_memory(err);
    return onnx_names_add(scope->to, scope->reader->scratch, name, err);
}

int onnx_scope_declare(struct onnx_scope *scope, const char *local, const char **ret,
                       struct err *err) {
    const char *name = local;
    if (scope->renames) {
        name = NULL;
        for (size_t i = 0; scope->function && i < scope->function->out.count && !name; i++)
            if (strcmp(scope->function->out.list[i], local) == 0)
                name = scope->outputs[i];
        if (!name)
            name = renamed(scope, local);
        if (!name)
            return onnx_no_memory(err);
        if (map_name(scope, local, name, err) < 0)
            return -1;
    }
    *ret = name;
    return 0;
}

const struct onnx_opset *onnx_opset_of(const struct onnx_opset *opsets, size_t count,
                                       const char *domain) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(opsets[i].domain, domain) == 0)
            return &opsets[i];
    return NULL;
}

int64_t onnx_version_of(const struct onnx_opset *opsets, size_t count, const char *domain) {
    const struct onnx_opset *opset = onnx_opset_of(opsets, count, domain);
    return opset ? opset->version : 0;
}

int onnx_read_opset(struct pbwire *wire, struct pbwire_span message, struct arena *arena,
                    struct onnx_opset **list, size_t *count, size_t *capacity, struct err *err) {
    struct onnx_opset opset = {.domain = ""};
    struct pbwire_walk walk = pbwire_walk(wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (field.number == ONNX_OPSET_VERSION) {
            if (pbwire_expect(wire, &field, PBWIRE_VARINT, "an operator set's version", err) < 0)
                return -1;
            opset.version = (int64_t)field.value;
        } else if (field.number == ONNX_OPSET_DOMAIN) {
            if (pbwire_expect(wire, &field, PBWIRE_BYTES, "an operator set's domain", err) < 0 ||
                pbwire_text(wire, field.content, LIMIT_TENSOR_NAME_BYTES, arena, &opset.domain,
                            err) < 0)
                return -1;
        }
    }
    if (more < 0)
        return -1;
    if (opset.version < 0)
        return pbwire_fail(wire, message.offset, err, "the operator set '%s' has version %" PRId64,
                           opset.domain, opset.version);
    if (strcmp(opset.domain, "ai.onnx") == 0)
        opset.domain = "";
    struct onnx_opset *grown = arena_grow(arena, *list, capacity, *count + 1, sizeof *grown);
    if (!grown)
        return onnx_no_memory(err);
    *list = grown;
    grown[(*count)++] = opset;
    return 0;
}

/* ---- initializers ---- */

static int read_initializer(struct onnx_scope *scope, struct pbwire_span message, struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct onnx_tensor tensor;
    struct value *value;
    const char *name;
    if (onnx_tensor_read(r->wire, message, r->scratch, &tensor, err) < 0)
        return -1;
    if (!tensor.name[0])
        return pbwire_fail(r->wire, message.offset, err, "an initializer has no name");
    if (onnx_scope_declare(scope, tensor.name, &name, err) < 0)
        return -1;
    return onnx_add_weight(r, scope->graph, scope->path, name, &tensor, &value, err);
}

/* Only named and typed; its bytes are carried. */
static int read_sparse(struct onnx_scope *scope, struct pbwire_span message, struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct pbwire_walk walk = pbwire_walk(r->wire, message);
    struct pbwire_field field;
    struct onnx_tensor values = {.name = ""};
    struct type type = {.dtype = DTYPE_NONE, .ranked = true};
    int64_t *dims = NULL;
    size_t rank = 0, capacity = 0;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (field.number == ONNX_SPARSE_VALUES && field.type == PBWIRE_BYTES &&
            onnx_tensor_read(r->wire, field.content, r->scratch, &values, err) < 0)
            return -1;
        if (field.number == ONNX_SPARSE_DIMS &&
            pbwire_varints(r->wire, &field, 64, r->scratch, &dims, &rank, &capacity, err) < 0)
            return -1;
    }
    if (more < 0)
        return -1;
    type.dtype = values.dtype;
    type.ranked = rank <= LIMIT_RANK;
    for (size_t d = 0; d < rank; d++) {
        if (dims[d] < 0 || dims[d] > (int64_t)LIMIT_ELEMENTS)
            return pbwire_fail(r->wire, message.offset, err,
                               "the sparse tensor '%s' has a dimension of %" PRId64, values.name,
                               dims[d]);
        if (type.ranked)
            type.dims[type.rank++] = DIM(dims[d]);
    }
    const char *name;
    struct value *value;
    if (onnx_scope_declare(scope, values.name, &name, err) < 0)
        return -1;
    return graph_add_weight(scope->graph, name, VALUE_NO_TENSOR, &type, &value, err);
}

/* ---- nodes ---- */

static int read_node(const struct onnx_reader *r, struct pbwire_span whole, struct onnx_node *ret,
                     struct err *err) {
    struct onnx_node node = {
        .whole = whole, .name = "", .op_type = "", .domain = "", .overload = ""};
    struct pbwire_walk walk = pbwire_walk(r->wire, whole);
    struct pbwire_field field;
    if (pbwire_next(&walk, &field, err) < 0) /* the node itself */
        return -1;
    walk = pbwire_walk(r->wire, field.content);
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        const char **text = NULL, *name;
        struct onnx_names *list = NULL;
        switch (field.number) {
        case ONNX_NODE_INPUT:
            list = &node.in;
            text = &name;
            break;
        case ONNX_NODE_OUTPUT:
            list = &node.out;
            text = &name;
            break;
        case ONNX_NODE_NAME:
            text = &node.name;
            break;
        case ONNX_NODE_OP_TYPE:
            text = &node.op_type;
            break;
        case ONNX_NODE_DOMAIN:
            text = &node.domain;
            break;
        case ONNX_NODE_OVERLOAD:
            text = &node.overload;
            break;
        case ONNX_NODE_ATTRIBUTE:
            if (pbwire_expect(r->wire, &field, PBWIRE_BYTES, "an attribute", err) < 0 ||
                onnx_spans_add(&node.attrs, r->scratch, field.content, err) < 0)
                return -1;
            break;
        default:
            break;
        }
        if (text && onnx_read_name(r, &field, text, err) < 0)
            return -1;
        if (list && onnx_names_add(list, r->scratch, name, err) < 0)
            return -1;
    }
    if (more < 0)
        return -1;
    if (!node.op_type[0])
        return pbwire_fail(r->wire, whole.offset, err, "a node has no op_type");
    if (strcmp(node.domain, "ai.onnx") == 0)
        node.domain = "";
    node.function = onnx_function_of(r, &node);
    *ret = node;
    return 0;
}

/* The field `number` of the first attribute called `name`; false when there is none. */
static int find_attr(const struct onnx_reader *r, const struct onnx_node *node, const char *name,
                     struct pbwire_span *ret_tensor, bool *ret_refers, struct err *err) {
    *ret_tensor = (struct pbwire_span){0, 0};
    for (size_t i = 0; i < node->attrs.count; i++) {
        struct pbwire_walk walk = pbwire_walk(r->wire, node->attrs.list[i]);
        struct pbwire_field field;
        struct pbwire_span tensor = {0, 0};
        const char *is = "", *ref = "";
        int more;
        while ((more = pbwire_next(&walk, &field, err)) > 0) {
            if ((field.number == ONNX_ATTR_NAME && onnx_read_name(r, &field, &is, err) < 0) ||
                (field.number == ONNX_ATTR_REF_NAME && onnx_read_name(r, &field, &ref, err) < 0))
                return -1;
            if (field.number == ONNX_ATTR_T && field.type == PBWIRE_BYTES)
                tensor = field.content;
        }
        if (more < 0)
            return -1;
        *ret_refers = *ret_refers || ref[0];
        if (strcmp(is, name) == 0)
            *ret_tensor = tensor;
    }
    return 0;
}

static int add_constant(const struct onnx_scope *scope, const char *name, enum dtype dtype,
                        bool is_list, size_t count, const void *data, struct err *err) {
    uint64_t dim = count;
    struct value *value;
    struct array *array =
        array_in_arena(scope->graph->arena, dtype, is_list ? 1 : 0, is_list ? &dim : NULL);
    if (!array)
        return onnx_no_memory(err);
    if (count > 0)
        memcpy(array->data, data, count * array_item_bytes(dtype));
    return graph_add_constant(scope->graph, name, array, &value, err);
}

static bool is_settled_by(const struct attr *attr) {
    static const struct {
        const char *name;
        enum attr_kind kind;
    } rows[] = {{"value", ATTR_TENSOR},
                {"value_int", ATTR_INT},
                {"value_ints", ATTR_INTS},
                {"value_float", ATTR_FLOAT},
                {"value_floats", ATTR_FLOATS}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(attr->name, rows[i].name) == 0)
            return attr->kind == rows[i].kind;
    return false;
}

/* value_int, value_ints, value_float, value_floats; or a tensor that came from the caller. False in
 * *ret_done: none of these. */
static int settle_plain(struct onnx_scope *scope, const struct onnx_node *node, bool *ret_done,
                        struct err *err) {
    struct attr attr;
    bool given = false;
    if (node->attrs.count != 1)
        return 0;
    if (onnx_read_attr(scope, node->attrs.list[0], node->out.list[0], &attr, &given, err) < 0)
        return -1;
    if (!given || !is_settled_by(&attr))
        return 0;
    const char *name;
    struct value *value;
    if (onnx_scope_declare(scope, node->out.list[0], &name, err) < 0)
        return -1;
    *ret_done = true;
    /* An output of the function that is a constant: the value was declared by the caller. */
    if (graph_value(scope->graph, name) && scope->renames) {
        name = renamed(scope, node->out.list[0]);
        if (!name)
            return onnx_no_memory(err);
        scope->to->list[strmap_get(&scope->map, node->out.list[0])] = name;
    }
    switch (attr.kind) {
    case ATTR_INT:
        return add_constant(scope, name, DTYPE_I64, false, 1, &attr.i, err);
    case ATTR_INTS:
        return add_constant(scope, name, DTYPE_I64, true, attr.count, attr.ints, err);
    case ATTR_FLOAT:
        return add_constant(scope, name, DTYPE_F32, false, 1, &attr.f, err);
    case ATTR_FLOATS:
        return add_constant(scope, name, DTYPE_F32, true, attr.count, attr.floats, err);
    case ATTR_TENSOR:
        return graph_add_constant(scope->graph, name, attr.tensor, &value, err);
    case ATTR_STRING:
    case ATTR_STRINGS:
    case ATTR_GRAPH:
    case ATTR_OTHER:
        break;
    }
    return 0;
}

/* A tensor of a function's Constant: one for all calls, in the model's own graph. */
static int share_constant(struct onnx_scope *scope, const char *local, struct onnx_tensor *tensor,
                          struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct onnx_function *f = scope->function;
    struct graph *root = r->model->graph;
    struct value *value;
    /* Overloads, and functions of several domains, may share a name. */
    const char *name = arena_printf(r->model->arena, "%s/%s", f->name, local), *base = name;
    while (name && is_taken(root, name)) {
        uint32_t number = onnx_next_number(r, base);
        name = number ? arena_printf(r->model->arena, "%s.%" PRIu32, base, number) : NULL;
    }
    if (tensor->location)
        r->onnx->has_fixed_external = true;
    const char *key = arena_strdup(r->lasting, local);
    if (!name || !key || strmap_put(&f->constants, key, (uint32_t)f->constant_names.count) < 0)
        return onnx_no_memory(err);
    if (onnx_names_add(&f->constant_names, r->lasting, name, err) < 0 ||
        onnx_add_weight(r, root, "", name, tensor, &value, err) < 0)
        return -1;
    return map_name(scope, local, name, err);
}

static int settle_tensor(struct onnx_scope *scope, const char *local, struct onnx_tensor *tensor,
                         struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct value *value;
    const char *name;
    if (scope->function && (tensor->rank > 0 || tensor->place == ONNX_PLACE_ODD))
        return share_constant(scope, local, tensor, err);
    if (onnx_scope_declare(scope, local, &name, err) < 0)
        return -1;
    if (graph_value(scope->graph, name) && scope->renames) {
        name = renamed(scope, local);
        if (!name)
            return onnx_no_memory(err);
        scope->to->list[strmap_get(&scope->map, local)] = name;
    }
    if (tensor->rank > 0 || tensor->place == ONNX_PLACE_ODD)
        return onnx_add_weight(r, scope->graph, scope->path, name, tensor, &value, err);
    const struct array *array;
    tensor->name = name;
    if (onnx_read_small(r, tensor, &array, err) < 0)
        return -1;
    if (!array) /* a complex scalar */
        return onnx_add_weight(r, scope->graph, scope->path, name, tensor, &value, err);
    return graph_add_constant(scope->graph, name, array, &value, err);
}

/* Constant nodes become values. */
static int settle_constant(struct onnx_scope *scope, struct onnx_node *node, struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct pbwire_span message = {0, 0};
    bool refers = false;
    if (strcmp(node->op_type, "Constant") != 0 || node->domain[0] || node->function ||
        node->out.count != 1 || !node->out.list[0][0] || node->in.count)
        return 0;
    const char *local = node->out.list[0];
    uint32_t shared =
        scope->function ? strmap_get(&scope->function->constants, local) : STRMAP_NONE;
    if (shared != STRMAP_NONE) {
        node->is_settled = true;
        return map_name(scope, local, scope->function->constant_names.list[shared], err);
    }
    if (find_attr(r, node, "value", &message, &refers, err) < 0)
        return -1;
    if (refers || message.bytes == 0)
        return settle_plain(scope, node, &node->is_settled, err);
    struct onnx_tensor tensor;
    if (onnx_tensor_read(r->wire, message, r->scratch, &tensor, err) < 0)
        return -1;
    node->is_settled = true;
    return settle_tensor(scope, local, &tensor, err);
}

static int declare_outputs(struct onnx_scope *scope, const struct onnx_node *node,
                           const struct onnx_types *types, struct err *err) {
    for (size_t i = 0; i < node->out.count; i++) {
        const char *local = node->out.list[i], *name;
        if (!local[0])
            continue;
        if (onnx_scope_declare(scope, local, &name, err) < 0)
            return -1;
        struct value *value = scope->function ? graph_value(scope->graph, name) : NULL;
        if (!value && graph_add_value(scope->graph, name, &value, err) < 0)
            return -1;
        uint32_t at = types ? strmap_get(&types->by_name, local) : STRMAP_NONE;
        if (at != STRMAP_NONE &&
            onnx_read_value_info(scope, types->spans.list[at], &name, &value->type, err) < 0)
            return -1;
    }
    return 0;
}

static int fill_values(const struct onnx_scope *scope, const struct onnx_names *names,
                       struct value ***ret, struct err *err) {
    struct value **list = ARENA_ARRAY(scope->reader->scratch, struct value *, names->count + 1);
    if (!list)
        return onnx_no_memory(err);
    for (size_t i = 0; i < names->count; i++)
        if (names->list[i][0] && onnx_scope_find(scope, names->list[i], &list[i], err) < 0)
            return -1;
    *ret = list;
    return 0;
}

static int64_t version_for(const struct onnx_scope *scope, const char *domain) {
    int64_t version = onnx_version_of(scope->opsets, scope->opset_count, domain);
    if (version == 0) /* a function that does not say */
        version =
            onnx_version_of(scope->reader->onnx->opsets, scope->reader->onnx->opset_count, domain);
    return version > 0 ? version : 1;
}

static const char *owner_of(const struct onnx_node *node) {
    if (node->name[0])
        return node->name;
    return node->out.count && node->out.list[0][0] ? node->out.list[0] : node->op_type;
}

static int add_node(const struct onnx_scope *scope, const struct onnx_node *from, struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct node_spec spec = {
        .name = from->name,
        .op_type = from->op_type,
        .domain = from->domain,
        .version = version_for(scope, from->domain),
        .in_count = from->in.count,
        .out_count = from->out.count,
        .origin = {from->whole.offset, from->whole.bytes, scope->call},
    };
    struct value **in = NULL, **out = NULL;
    struct attr *attrs = ARENA_ARRAY(r->scratch, struct attr, from->attrs.count + 1);
    if (!attrs)
        return onnx_no_memory(err);
    for (size_t i = 0; i < from->attrs.count; i++) {
        bool given;
        if (onnx_read_attr(scope, from->attrs.list[i], owner_of(from), &attrs[spec.attr_count],
                           &given, err) < 0)
            return -1;
        spec.attr_count += given;
    }
    if (fill_values(scope, &from->in, &in, err) < 0 ||
        fill_values(scope, &from->out, &out, err) < 0)
        return -1;
    spec.in = in;
    spec.out = out;
    spec.attrs = attrs;
    struct node *node;
    return graph_add_node(scope->graph, NULL, &spec, &node, err);
}

/* Whose words a failure is in: which node of the file. */
static int in_node(const struct onnx_reader *r, const struct onnx_node *node, struct err *err) {
    const struct model_file *file = &r->model->files[r->onnx->file];
    if (err && !strstr(err->text, node->op_type))
        err_context(err, "%s '%s'", node->op_type, owner_of(node));
    return err_at_file(err, file->path, node->whole.offset);
}

int onnx_read_nodes(struct onnx_scope *scope, const struct onnx_spans *spans,
                    const struct onnx_types *types, struct err *err) {
    struct onnx_reader *r = scope->reader;
    if (spans->count > LIMIT_GRAPH_NODES || r->nodes + spans->count > LIMIT_GRAPH_NODES)
        return err_set(err, ERR_TOO_LARGE, "the graph has more than %d nodes", LIMIT_GRAPH_NODES);
    r->nodes += spans->count;
    struct onnx_node *nodes = ARENA_ARRAY(r->scratch, struct onnx_node, spans->count + 1);
    if (!nodes)
        return onnx_no_memory(err);
    for (size_t i = 0; i < spans->count; i++) {
        if (read_node(r, spans->list[i], &nodes[i], err) < 0)
            return -1;
        if (settle_constant(scope, &nodes[i], err) < 0 ||
            (!nodes[i].is_settled && declare_outputs(scope, &nodes[i], types, err) < 0))
            return in_node(r, &nodes[i], err);
    }
    for (size_t i = 0; i < spans->count; i++) {
        bool is_done = nodes[i].is_settled;
        if (nodes[i].function && onnx_inline(scope, &nodes[i], &is_done, err) < 0)
            return in_node(r, &nodes[i], err);
        if (!is_done && add_node(scope, &nodes[i], err) < 0)
            return in_node(r, &nodes[i], err);
    }
    return 0;
}

/* ---- graphs ---- */

/* The fields of a GraphProto by kind. */
struct parts {
    struct onnx_spans nodes; /* fields; the others are contents */
    struct onnx_spans initializers, sparse, inputs, outputs;
    struct onnx_types types;
};

static int sort_field(struct onnx_scope *scope, const struct pbwire_field *field,
                      struct parts *parts, struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct onnx_spans *list = NULL;
    const char *name;
    switch (field->number) {
    case ONNX_GRAPH_NODE:
        if (pbwire_expect(r->wire, field, PBWIRE_BYTES, "a node", err) < 0)
            return -1;
        if (parts->nodes.count > LIMIT_GRAPH_NODES)
            return 0; /* refused when all are counted */
        return onnx_spans_add(&parts->nodes, r->scratch, field->whole, err);
    case ONNX_GRAPH_NAME:
        if (onnx_read_name(r, field, &name, err) < 0)
            return -1;
        scope->graph->name = arena_strdup(scope->graph->arena, name);
        return scope->graph->name ? 0 : onnx_no_memory(err);
    case ONNX_GRAPH_INITIALIZER:
        list = &parts->initializers;
        break;
    case ONNX_GRAPH_SPARSE_INITIALIZER:
        list = &parts->sparse;
        break;
    case ONNX_GRAPH_INPUT:
        list = &parts->inputs;
        break;
    case ONNX_GRAPH_OUTPUT:
        list = &parts->outputs;
        break;
    case ONNX_GRAPH_VALUE_INFO:
        list = &parts->types.spans;
        break;
    default:
        return 0;
    }
    if (pbwire_expect(r->wire, field, PBWIRE_BYTES, "a part of the graph", err) < 0)
        return -1;
    if (list == &parts->types.spans) {
        if (onnx_read_value_info(scope, field->content, &name, NULL, err) < 0)
            return -1;
        /* Said twice: the first counts. */
        if (strmap_put(&parts->types.by_name, name, (uint32_t)list->count) < 0)
            return onnx_no_memory(err);
    }
    return onnx_spans_add(list, r->scratch, field->content, err);
}

static int read_inputs(struct onnx_scope *scope, const struct onnx_spans *inputs, struct err *err) {
    for (size_t i = 0; i < inputs->count; i++) {
        const char *local, *name;
        struct type type;
        struct value *value;
        if (onnx_read_value_info(scope, inputs->list[i], &local, &type, err) < 0)
            return -1;
        /* Up to IR version 3 initializers are listed among the inputs; later ones may be, as values
         * to fall back on. Nobody is asked for them here. */
        if (!scope->renames) {
            struct value *weight = graph_value(scope->graph, local);
            if (weight && weight->kind == VALUE_WEIGHT)
                continue;
        } else if (strmap_get(&scope->map, local) != STRMAP_NONE) {
            continue;
        }
        if (onnx_scope_declare(scope, local, &name, err) < 0 ||
            graph_add_input(scope->graph, name, &type, &value, err) < 0)
            return -1;
    }
    return 0;
}

static int read_outputs(struct onnx_scope *scope, const struct onnx_spans *outputs,
                        struct err *err) {
    for (size_t i = 0; i < outputs->count; i++) {
        const char *name;
        struct type type;
        struct value *value;
        if (onnx_read_value_info(scope, outputs->list[i], &name, &type, err) < 0)
            return -1;
        if (onnx_scope_find(scope, name, &value, err) < 0)
            return err_context(err, "an output of the graph");
        if (!value)
            return err_set(err, ERR_BAD_MODEL, "the output '%s' of a body is not given", name);
        if (value->kind == VALUE_NODE && value->type.dtype == DTYPE_NONE)
            value->type = type;
        if (graph_add_output(scope->graph, value, err) < 0)
            return -1;
    }
    return 0;
}

int onnx_read_graph(struct onnx_scope *scope, struct pbwire_span message, struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct parts parts = {0};
    struct pbwire_walk walk = pbwire_walk(r->wire, message);
    struct pbwire_field field;
    int more;
    strmap_init(&parts.types.by_name, r->scratch);
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (sort_field(scope, &field, &parts, err) < 0)
            return -1;
    if (more < 0)
        return -1;
    for (size_t i = 0; i < parts.initializers.count; i++)
        if (read_initializer(scope, parts.initializers.list[i], err) < 0)
            return -1;
    for (size_t i = 0; i < parts.sparse.count; i++)
        if (read_sparse(scope, parts.sparse.list[i], err) < 0)
            return -1;
    if (read_inputs(scope, &parts.inputs, err) < 0 ||
        onnx_read_nodes(scope, &parts.nodes, &parts.types, err) < 0 ||
        read_outputs(scope, &parts.outputs, err) < 0)
        return -1;
    return graph_sort(scope->graph, err);
}
