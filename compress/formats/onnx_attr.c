/* AttributeProto → attr. What is of a kind that nobody here reads is ATTR_OTHER: known by name and
 * place. */
#include "compress/base/arena.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_reader.h"

#include <string.h>

/* The fields of one attribute. */
struct fields {
    const char *name, *refers_to;
    int64_t type;
    float f;
    int64_t i;
    struct pbwire_span s, t, g;
    size_t floats, ints, strings; /* occurrences */
    bool has_f, has_i, has_s, has_t, has_g, has_other;
};

static int read_fields(const struct onnx_reader *r, struct pbwire_span message, struct fields *ret,
                       struct err *err) {
    struct fields f = {.name = "", .refers_to = ""};
    struct pbwire_walk walk = pbwire_walk(r->wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        enum pbwire_type want = field.type;
        const char **text = NULL;
        switch (field.number) {
        case ONNX_ATTR_NAME:
        case ONNX_ATTR_REF_NAME:
            want = PBWIRE_BYTES;
            text = field.number == ONNX_ATTR_NAME ? &f.name : &f.refers_to;
            break;
        case ONNX_ATTR_TYPE:
            want = PBWIRE_VARINT;
            f.type = (int64_t)field.value;
            break;
        case ONNX_ATTR_F: {
            want = PBWIRE_FIXED32;
            uint32_t bits = (uint32_t)field.value;
            memcpy(&f.f, &bits, sizeof f.f);
            f.has_f = true;
            break;
        }
        case ONNX_ATTR_I:
            want = PBWIRE_VARINT;
            f.i = (int64_t)field.value;
            f.has_i = true;
            break;
        case ONNX_ATTR_S:
            want = PBWIRE_BYTES;
            f.s = field.content;
            f.has_s = true;
            break;
        case ONNX_ATTR_T:
            want = PBWIRE_BYTES;
            f.t = field.content;
            f.has_t = true;
            break;
        case ONNX_ATTR_G:
            want = PBWIRE_BYTES;
            f.g = field.content;
            f.has_g = true;
            break;
        case ONNX_ATTR_FLOATS:
            f.floats++;
            break;
        case ONNX_ATTR_INTS:
            f.ints++;
            break;
        case ONNX_ATTR_STRINGS:
            want = PBWIRE_BYTES;
            f.strings++;
            break;
        case ONNX_ATTR_TENSORS:
        case ONNX_ATTR_GRAPHS:
        case ONNX_ATTR_TP:
        case ONNX_ATTR_TYPE_PROTOS:
        case ONNX_ATTR_SPARSE_TENSOR:
        case ONNX_ATTR_SPARSE_TENSORS:
            f.has_other = true;
            break;
        default:
            break;
        }
        if (pbwire_expect(r->wire, &field, want, "an attribute's value", err) < 0)
            return -1;
        if (text && pbwire_text(r->wire, field.content, ONNX_NAME_BYTES_MAX, r->model->arena, text,
                                err) < 0)
            return -1;
    }
    if (more < 0)
        return -1;
    if (f.type == ONNX_TYPE_UNDEFINED) /* before IR version 3 nobody said */
        f.type = f.has_other ? ONNX_TYPE_TYPE_PROTO
                 : f.has_g   ? ONNX_TYPE_GRAPH
                 : f.has_t   ? ONNX_TYPE_TENSOR
                 : f.has_s   ? ONNX_TYPE_STRING
                 : f.has_i   ? ONNX_TYPE_INT
                 : f.has_f   ? ONNX_TYPE_FLOAT
                 : f.ints    ? ONNX_TYPE_INTS
                 : f.floats  ? ONNX_TYPE_FLOATS
                 : f.strings ? ONNX_TYPE_STRINGS
                             : ONNX_TYPE_UNDEFINED;
    *ret = f;
    return 0;
}

static int read_floats(const struct onnx_reader *r, struct pbwire_span message, struct attr *attr,
                       struct err *err) {
    struct arena *arena = r->model->arena;
    float *list = NULL;
    size_t capacity = 0;
    struct pbwire_walk walk = pbwire_walk(r->wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (field.number != ONNX_ATTR_FLOATS)
            continue;
        if ((field.type != PBWIRE_FIXED32 && field.type != PBWIRE_BYTES) ||
            field.content.bytes % sizeof *list)
            return pbwire_fail(r->wire, field.whole.offset, err, "a list of floats is cut");
        size_t more_floats = (size_t)(field.content.bytes / sizeof *list);
        float *grown =
            arena_grow(arena, list, &capacity, attr->count + more_floats + 1, sizeof *grown);
        if (!grown)
            return onnx_no_memory(err);
        list = grown;
        if (pbwire_read(r->wire, field.content, list + attr->count, err) < 0)
            return -1;
        attr->count += more_floats;
    }
    attr->floats = list;
    return more;
}

static int read_ints(const struct onnx_reader *r, struct pbwire_span message, struct attr *attr,
                     struct err *err) {
    int64_t *list = NULL;
    size_t capacity = 0;
    struct pbwire_walk walk = pbwire_walk(r->wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (field.number == ONNX_ATTR_INTS &&
            pbwire_varints(r->wire, &field, ONNX_ATTR_BYTES_MAX, r->model->arena, &list,
                           &attr->count, &capacity, err) < 0)
            return -1;
    attr->ints = list;
    return more;
}

static int read_bytes(const struct onnx_reader *r, struct pbwire_span span, struct bytes *ret,
                      struct err *err) {
    uint8_t *own = arena_alloc(r->model->arena, (size_t)span.bytes + 1);
    if (!own)
        return onnx_no_memory(err);
    if (pbwire_read(r->wire, span, own, err) < 0)
        return -1;
    *ret = (struct bytes){own, (size_t)span.bytes};
    return 0;
}

static int read_strings(const struct onnx_reader *r, struct pbwire_span message, size_t count,
                        struct attr *attr, struct err *err) {
    struct bytes *list = ARENA_ARRAY(r->model->arena, struct bytes, count + 1);
    if (!list)
        return onnx_no_memory(err);
    struct pbwire_walk walk = pbwire_walk(r->wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (field.number == ONNX_ATTR_STRINGS &&
            read_bytes(r, field.content, &list[attr->count++], err) < 0)
            return -1;
    attr->strings = list;
    return more;
}

static int read_tensor(const struct onnx_reader *r, struct pbwire_span span, struct attr *attr,
                       struct err *err) {
    struct onnx_tensor tensor;
    const struct array *array = NULL;
    if (onnx_tensor_read(r->wire, span, r->scratch, &tensor, err) < 0)
        return -1;
    if (tensor.place != ONNX_PLACE_ODD && tensor.place != ONNX_PLACE_EXTERNAL &&
        onnx_tensor_array(r->wire, &tensor, NULL, r->model->arena, &array, err) < 0)
        return -1;
    if (tensor.location)
        r->onnx->has_fixed_external = true;
    attr->kind = array ? ATTR_TENSOR : ATTR_OTHER;
    if (array)
        attr->tensor = array;
    return 0;
}

static int read_body(const struct onnx_scope *scope, struct pbwire_span message, const char *owner,
                     struct attr *attr, struct err *err) {
    struct onnx_reader *r = scope->reader;
    struct onnx_scope body = *scope;
    struct arena_mark mark = arena_mark(r->scratch);
    if (scope->depth >= LIMIT_GRAPH_DEPTH)
        return err_set(err, ERR_TOO_LARGE, "bodies and functions are nested deeper than %d",
                       LIMIT_GRAPH_DEPTH);
    body.depth++;
    body.around = scope->renames ? scope : NULL;
    body.function = NULL;
    body.graph = graph_new(scope->graph->arena, scope->graph);
    body.path = arena_printf(r->scratch, "%s%s%s.%s.", scope->path,
                             scope->renames ? scope->prefix : "", owner, attr->name);
    if (scope->renames) {
        body.to = ARENA_NEW(r->scratch, struct onnx_names);
        strmap_init(&body.map, r->scratch);
        if (!body.to)
            return onnx_no_memory(err);
    }
    if (!body.graph || !body.path)
        return onnx_no_memory(err);
    attr->body = body.graph;
    if (onnx_read_graph(&body, message, err) < 0)
        return -1;
    arena_rewind(r->scratch, mark);
    return 0;
}

/* What the caller of the function gave, under the name it has here. */
static void substitute(const struct onnx_scope *scope, const struct fields *fields,
                       struct attr *ret, bool *ret_given) {
    *ret_given = false;
    for (size_t i = 0; i < scope->given_count && !*ret_given; i++)
        if (strcmp(scope->given[i].name, fields->refers_to) == 0) {
            *ret = scope->given[i];
            ret->name = fields->name;
            *ret_given = true;
        }
}

int onnx_read_attr(const struct onnx_scope *scope, struct pbwire_span message, const char *owner,
                   struct attr *ret, bool *ret_given, struct err *err) {
    const struct onnx_reader *r = scope->reader;
    struct fields f;
    if (read_fields(r, message, &f, err) < 0)
        return -1;
    if (f.refers_to[0]) {
        substitute(scope, &f, ret, ret_given);
        return 0;
    }
    if (message.bytes == 0) { /* it says nothing, not even its name */
        *ret_given = false;
        return 0;
    }
    struct attr attr = {
        .name = f.name, .kind = ATTR_OTHER, .origin = {message.offset, message.bytes}};
    int result = 0;
    bool is_long = message.bytes > ONNX_ATTR_BYTES_MAX;
    switch (f.type) {
    case ONNX_TYPE_FLOAT:
        attr.kind = ATTR_FLOAT;
        attr.f = f.f;
        break;
    case ONNX_TYPE_INT:
        attr.kind = ATTR_INT;
        attr.i = f.i;
        break;
    case ONNX_TYPE_STRING:
        attr.kind = is_long ? ATTR_OTHER : ATTR_STRING;
        result = is_long ? 0 : read_bytes(r, f.s, &attr.s, err);
        break;
    case ONNX_TYPE_TENSOR:
        result = is_long || !f.has_t ? 0 : read_tensor(r, f.t, &attr, err);
        break;
    case ONNX_TYPE_GRAPH:
        attr.kind = ATTR_GRAPH;
        result = read_body(scope, f.g, owner, &attr, err);
        break;
    case ONNX_TYPE_FLOATS:
        attr.kind = is_long ? ATTR_OTHER : ATTR_FLOATS;
        result = is_long ? 0 : read_floats(r, message, &attr, err);
        break;
    case ONNX_TYPE_INTS:
        attr.kind = is_long ? ATTR_OTHER : ATTR_INTS;
        result = is_long ? 0 : read_ints(r, message, &attr, err);
        break;
    case ONNX_TYPE_STRINGS:
        attr.kind = is_long ? ATTR_OTHER : ATTR_STRINGS;
        result = is_long ? 0 : read_strings(r, message, f.strings, &attr, err);
        break;
    default:
        break;
    }
    if (result < 0)
        return err_context(err, "attribute '%s'", f.name);
    *ret = attr;
    *ret_given = true;
    return 0;
}
