/* Nodes, attributes, types and tensors as messages. */
#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_reader.h"
#include "compress/formats/onnx_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int onnx_writer_no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the layout needs more memory than is allowed");
}

int onnx_text_of(struct onnx_writer *w, struct pbwire_span message, uint32_t number,
                 const char **ret, struct err *err) {
    struct pbwire_walk walk = pbwire_walk(w->wire, message);
    struct pbwire_field field;
    int more;
    *ret = "";
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (field.number == number && field.type == PBWIRE_BYTES &&
            pbwire_text(w->wire, field.content, ONNX_NAME_BYTES_MAX, w->arena, ret, err) < 0)
            return -1;
    return more;
}

/* Copies the fields of a message but those for which `drops` says yes. */
static int copy_fields(struct onnx_writer *w, struct pbwire_span message,
                       bool (*drops)(uint32_t number), struct pbout *out, struct err *err) {
    struct pbwire_walk walk = pbwire_walk(w->wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (!drops(field.number))
            pbout_copy(out, w->main, field.whole);
    return more;
}

/* ---- tensors ---- */

static bool is_data(uint32_t number) {
    switch (number) {
    case ONNX_TENSOR_DIMS:
    case ONNX_TENSOR_DATA_TYPE:
    case ONNX_TENSOR_FLOAT_DATA:
    case ONNX_TENSOR_INT32_DATA:
    case ONNX_TENSOR_STRING_DATA:
    case ONNX_TENSOR_INT64_DATA:
    case ONNX_TENSOR_NAME:
    case ONNX_TENSOR_RAW_DATA:
    case ONNX_TENSOR_DOUBLE_DATA:
    case ONNX_TENSOR_UINT64_DATA:
    case ONNX_TENSOR_EXTERNAL_DATA:
    case ONNX_TENSOR_DATA_LOCATION:
        return true;
    default:
        return false;
    }
}

static void put_entry(struct pbout *out, uint32_t number, const char *key, const char *value) {
    struct pbout entry;
    pbout_init(&entry, out->arena);
    pbout_text(&entry, ONNX_ENTRY_KEY, key);
    pbout_text(&entry, ONNX_ENTRY_VALUE, value);
    pbout_message(out, number, &entry);
}

static void put_number_entry(struct pbout *out, const char *key, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    put_entry(out, ONNX_TENSOR_EXTERNAL_DATA, key, text);
}

uint64_t onnx_part_bytes(const struct tensor *tensor, unsigned part) {
    uint64_t rows, cols;
    tensor_matrix(tensor, &tensor->wanted, &rows, &cols);
    struct encoded_size size = encoding_size(&tensor->wanted, rows, cols);
    return part == PART_DATA         ? size.data_bytes
           : part == PART_SCALE      ? size.scale_bytes
           : part == PART_ZERO_POINT ? size.zero_point_bytes
                                     : 0;
}

struct onnx_put *onnx_put_of(const struct onnx_writer *w, const struct value *value) {
    return &w->puts[(size_t)value->tensor * PART_KINDS + value->part];
}

/* A tensor, or a part of one that is encoded: then the value says what the file shall. */
static int put_tensor_data(struct onnx_writer *w, const struct value *value, struct pbout *out,
                           struct err *err) {
    const struct tensor *tensor = &w->model->tensors[value->tensor];
    const struct onnx_put *put = onnx_put_of(w, value);
    uint64_t bytes = onnx_part_bytes(tensor, value->part);
    bool plain = tensor->wanted.codec->family == CODEC_PLAIN;
    enum dtype dtype = plain ? tensor->wanted.dtype : value->type.dtype;
    struct array shape = {.rank = tensor->rank};
    memcpy(shape.dims, tensor->dims, sizeof shape.dims);
    if (dtype_row(dtype)->onnx < 0 || (!plain && (!type_to_array(&value->type, &shape) ||
                                                  dtype_bytes(dtype, shape.elements) != bytes))) {
        char text[80];
        err_set(err, ERR_BUG, "an ONNX tensor cannot hold %s",
                encoding_describe(&tensor->wanted, text, sizeof text));
        return err_at_tensor(err, tensor->name);
    }
    for (unsigned d = 0; d < shape.rank; d++)
        pbout_varint(out, ONNX_TENSOR_DIMS, shape.dims[d]);
    pbout_varint(out, ONNX_TENSOR_DATA_TYPE, (uint64_t)dtype_row(dtype)->onnx);
    if (put->location) {
        put_entry(out, ONNX_TENSOR_EXTERNAL_DATA, "location", put->location);
        put_number_entry(out, "offset", put->offset);
        put_number_entry(out, "length", bytes);
        pbout_varint(out, ONNX_TENSOR_DATA_LOCATION, ONNX_LOCATION_EXTERNAL);
    } else {
        pbout_header(out, ONNX_TENSOR_RAW_DATA, bytes);
        pbout_part(out, tensor, (enum part_kind)value->part, bytes);
    }
    return 0;
}

/* One element a byte → two. */
static const void *packed(const struct array *array, struct arena *arena) {
    const uint8_t *from = array->data;
    uint8_t *to = arena_alloc(arena, (size_t)dtype_bytes(array->dtype, array->elements) + 1);
    for (uint64_t i = 0; to && i < array->elements; i++)
        to[i / 2] |= (uint8_t)((from[i] & 15) << (i % 2 * 4));
    return to;
}

static int put_array(struct onnx_writer *w, const struct array *array, struct pbout *out,
                     struct err *err) {
    const void *data = array->data;
    int type = dtype_row(array->dtype)->onnx;
    if (type < 0 || !data)
        return err_set(err, ERR_BUG, "a constant of type %s has no form in ONNX",
                       dtype_row(array->dtype)->name);
    if (array->dtype == DTYPE_I4 || array->dtype == DTYPE_U4)
        data = packed(array, w->arena);
    if (!data)
        return onnx_writer_no_memory(err);
    for (unsigned d = 0; d < array->rank; d++)
        pbout_varint(out, ONNX_TENSOR_DIMS, array->dims[d]);
    pbout_varint(out, ONNX_TENSOR_DATA_TYPE, (uint64_t)type);
    pbout_bytes(out, ONNX_TENSOR_RAW_DATA, data,
                (size_t)dtype_bytes(array->dtype, array->elements));
    return 0;
}

int onnx_encode_initializer(struct onnx_writer *w, const struct value *value,
                            struct pbwire_span original, struct pbout *out, struct err *err) {
    struct pbout tensor;
    pbout_init(&tensor, w->arena);
    w->edits++;
    pbout_text(&tensor, ONNX_TENSOR_NAME, value->name);
    if (value->kind == VALUE_WEIGHT && value->tensor == VALUE_NO_TENSOR)
        return err_set(err, ERR_UNSUPPORTED,
                       "'%s' is of a type that can only be copied, and its function cannot be",
                       value->name);
    int result = value->kind == VALUE_WEIGHT ? put_tensor_data(w, value, &tensor, err)
                                             : put_array(w, value->data, &tensor, err);
    if (result < 0 || copy_fields(w, original, is_data, &tensor, err) < 0)
        return -1;
    pbout_message(out, ONNX_GRAPH_INITIALIZER, &tensor);
    return 0;
}

int onnx_encode_kept_initializer(struct onnx_writer *w, const struct value *value,
                                 const struct pbwire_field *field, struct pbout *out,
                                 struct err *err) {
    if (value->tensor == VALUE_NO_TENSOR) {
        pbout_copy(out, w->main, field->whole);
        return 0;
    }
    const struct tensor *tensor = &w->model->tensors[value->tensor];
    const struct part *data = &tensor->parts[value->part];
    uint64_t end = field->whole.offset + field->whole.bytes;
    if (onnx_put_of(w, value)->is_moved)
        return onnx_encode_initializer(w, value, field->content, out, err);
    if (data->file != w->onnx->file || data->bytes == 0 || data->offset < field->content.offset ||
        data->offset + data->bytes > end) { /* a list, or in another file */
        pbout_copy(out, w->main, field->whole);
        return 0;
    }
    pbout_copy(out, w->main,
               (struct pbwire_span){field->whole.offset, data->offset - field->whole.offset});
    pbout_part(out, tensor, (enum part_kind)value->part, data->bytes);
    pbout_copy(out, w->main,
               (struct pbwire_span){data->offset + data->bytes, end - data->offset - data->bytes});
    return 0;
}

/* ---- types ---- */

int onnx_encode_value_info(struct onnx_writer *w, const struct graph *graph, const char *name,
                           const struct type *type, uint32_t number, struct pbout *out,
                           struct err *err) {
    struct pbout info, outer, tensor, shape;
    pbout_init(&info, w->arena);
    pbout_init(&outer, w->arena);
    pbout_init(&tensor, w->arena);
    pbout_init(&shape, w->arena);
    w->edits++;
    pbout_text(&info, ONNX_VALUE_NAME, name);
    if (dtype_row(type->dtype)->onnx > 0) {
        pbout_varint(&tensor, ONNX_TYPE_TENSOR_ELEM, (uint64_t)dtype_row(type->dtype)->onnx);
        for (unsigned d = 0; type->ranked && d < type->rank; d++) {
            struct pbout dim;
            pbout_init(&dim, w->arena);
            bool known = dim_known(type->dims[d]);
            const char *symbol = known ? NULL : graph->symbols->names[type->dims[d].symbol];
            if (known)
                pbout_varint(&dim, ONNX_DIM_VALUE, (uint64_t)type->dims[d].size);
            else if (symbol && symbol[0])
                pbout_text(&dim, ONNX_DIM_PARAM, symbol);
            pbout_message(&shape, ONNX_SHAPE_DIM, &dim);
        }
        if (type->ranked)
            pbout_message(&tensor, ONNX_TYPE_TENSOR_SHAPE, &shape);
        pbout_message(&outer, ONNX_TYPE_TENSOR_TYPE, &tensor);
        pbout_message(&info, ONNX_VALUE_TYPE, &outer);
    }
    pbout_message(out, number, &info);
    return 0;
}

/* What a ValueInfoProto says in numbers. */
struct stated {
    bool has_type, ranked;
    int64_t elem;
    size_t rank;
    int64_t dims[LIMIT_RANK]; /* -1: not a number */
};

static int read_stated(struct onnx_writer *w, struct pbwire_span message, unsigned depth,
                       struct stated *stated, struct err *err) {
    /* ValueInfoProto.type → TypeProto.tensor_type → Tensor.shape → TensorShapeProto.dim */
    static const uint32_t path[] = {ONNX_VALUE_TYPE, ONNX_TYPE_TENSOR_TYPE, ONNX_TYPE_TENSOR_SHAPE,
                                    ONNX_SHAPE_DIM};
    struct pbwire_walk walk = pbwire_walk(w->wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (depth == 4) {
            if (field.number == ONNX_DIM_VALUE && field.type == PBWIRE_VARINT &&
                stated->rank <= LIMIT_RANK)
                stated->dims[stated->rank - 1] = (int64_t)field.value;
            continue;
        }
        if (depth == 2 && field.number == ONNX_TYPE_TENSOR_ELEM && field.type == PBWIRE_VARINT) {
            stated->has_type = true;
            stated->elem = (int64_t)field.value;
        }
        if (field.number != path[depth] || field.type != PBWIRE_BYTES)
            continue;
        stated->ranked = stated->ranked || depth == 2;
        if (depth == 3 && ++stated->rank <= LIMIT_RANK)
            stated->dims[stated->rank - 1] = -1;
        if (read_stated(w, field.content, depth + 1, stated, err) < 0)
            return -1;
    }
    return more;
}

int onnx_value_info_holds(struct onnx_writer *w, struct pbwire_span message,
                          const struct type *type, bool *ret, struct err *err) {
    struct stated stated = {0};
    if (read_stated(w, message, 0, &stated, err) < 0)
        return -1;
    *ret = true;
    if (!stated.has_type || type->dtype == DTYPE_NONE)
        return 0;
    *ret = dtype_row(type->dtype)->onnx == stated.elem;
    if (!stated.ranked || !type->ranked || stated.rank > LIMIT_RANK)
        return 0;
    *ret = *ret && stated.rank == type->rank;
    for (unsigned d = 0; *ret && d < type->rank; d++)
        *ret =
            stated.dims[d] < 0 || !dim_known(type->dims[d]) || stated.dims[d] == type->dims[d].size;
    return 0;
}

/* ---- attributes ---- */

static int put_value(struct onnx_writer *w, const struct node *node, const struct attr *attr,
                     struct pbout *out, struct err *err) {
    static const int types[] = {
        [ATTR_INT] = ONNX_TYPE_INT,       [ATTR_FLOAT] = ONNX_TYPE_FLOAT,
        [ATTR_STRING] = ONNX_TYPE_STRING, [ATTR_INTS] = ONNX_TYPE_INTS,
        [ATTR_FLOATS] = ONNX_TYPE_FLOATS, [ATTR_STRINGS] = ONNX_TYPE_STRINGS,
        [ATTR_TENSOR] = ONNX_TYPE_TENSOR, [ATTR_GRAPH] = ONNX_TYPE_GRAPH,
    };
    struct pbout child;
    pbout_init(&child, w->arena);
    switch (attr->kind) {
    case ATTR_INT:
        pbout_varint(out, ONNX_ATTR_I, (uint64_t)attr->i);
        break;
    case ATTR_FLOAT:
        pbout_float(out, ONNX_ATTR_F, attr->f);
        break;
    case ATTR_STRING:
        pbout_bytes(out, ONNX_ATTR_S, attr->s.at, attr->s.len);
        break;
    case ATTR_INTS:
        for (size_t i = 0; i < attr->count; i++)
            pbout_varint(out, ONNX_ATTR_INTS, (uint64_t)attr->ints[i]);
        break;
    case ATTR_FLOATS:
        for (size_t i = 0; i < attr->count; i++)
            pbout_float(out, ONNX_ATTR_FLOATS, attr->floats[i]);
        break;
    case ATTR_STRINGS:
        for (size_t i = 0; i < attr->count; i++)
            pbout_bytes(out, ONNX_ATTR_STRINGS, attr->strings[i].at, attr->strings[i].len);
        break;
    case ATTR_TENSOR:
        if (put_array(w, attr->tensor, &child, err) < 0)
            return -1;
        pbout_message(out, ONNX_ATTR_T, &child);
        break;
    case ATTR_GRAPH:
        if (onnx_write_graph(w, attr->body, (struct pbwire_span){0, 0}, &child, err) < 0)
            return -1;
        pbout_message(out, ONNX_ATTR_G, &child);
        break;
    case ATTR_OTHER: {
        char text[256];
        return err_set(err, ERR_BUG, "the attribute '%s' of %s has no bytes", attr->name,
                       node_describe(node, text, sizeof text));
    }
    }
    pbout_varint(out, ONNX_ATTR_TYPE, (uint64_t)types[attr->kind]);
    return 0;
}

static bool is_body(uint32_t number) {
    return number == ONNX_ATTR_G;
}

/* The original GraphProto in an attribute's bytes. */
static int find_body(struct onnx_writer *w, struct pbwire_span attr, struct pbwire_span *ret,
                     struct err *err) {
    struct pbwire_walk walk = pbwire_walk(w->wire, attr);
    struct pbwire_field field;
    int more;
    *ret = (struct pbwire_span){0, 0};
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (field.number == ONNX_ATTR_G && field.type == PBWIRE_BYTES)
            *ret = field.content;
    return more;
}

static int put_body(struct onnx_writer *w, const struct attr *attr, struct pbout *out,
                    struct err *err) {
    struct pbwire_span span = {attr->origin.offset, attr->origin.bytes}, original;
    struct pbout body;
    uint64_t before = w->edits;
    pbout_init(&body, w->arena);
    if (find_body(w, span, &original, err) < 0 ||
        onnx_write_graph(w, attr->body, original, &body, err) < 0)
        return -1;
    if (w->edits == before) {
        pbout_copy(out, w->main, span);
        return 0;
    }
    if (copy_fields(w, span, is_body, out, err) < 0)
        return -1;
    pbout_message(out, ONNX_ATTR_G, &body);
    return 0;
}

/* The content of an AttributeProto. Names in the bytes of an inlined node are the function's, and
 * the attribute may come from the caller under another one: the last name in a message counts. */
static int put_attr(struct onnx_writer *w, const struct node *node, const struct attr *attr,
                    struct pbout *out, struct err *err) {
    bool inlined = node->origin.call != 0;
    if (attr->origin.bytes && attr->kind == ATTR_GRAPH && !inlined)
        return put_body(w, attr, out, err);
    if (attr->origin.bytes && attr->kind != ATTR_GRAPH) {
        pbout_copy(out, w->main, (struct pbwire_span){attr->origin.offset, attr->origin.bytes});
        if (inlined)
            pbout_text(out, ONNX_ATTR_NAME, attr->name);
        return 0;
    }
    pbout_text(out, ONNX_ATTR_NAME, attr->name);
    return put_value(w, node, attr, out, err);
}

/* ---- nodes ---- */

const char *onnx_name_of(const struct value *value) {
    while (value->kind == VALUE_OUTER)
        value = value->outer;
    return value->name;
}

bool onnx_reads_renamed(const struct node *node) {
    for (size_t i = 0; i < node->in_count; i++)
        if (node->in[i] && strcmp(node->in[i]->name, onnx_name_of(node->in[i])) != 0)
            return true;
    return false;
}

static bool is_encoded(uint32_t number) {
    return number <= ONNX_NODE_ATTRIBUTE || number == ONNX_NODE_DOMAIN;
}

/* The operator set that a node of our making needs. */
static int need_opset(struct onnx_writer *w, const struct node *node, struct err *err) {
    char text[256];
    const struct onnx_opset *there =
        onnx_opset_of(w->onnx->opsets, w->onnx->opset_count, node->domain);
    if (!there)
        there = onnx_opset_of(w->opsets, w->opset_count, node->domain);
    if (there && there->version == node->version)
        return 0;
    if (there)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s is of version %" PRId64 " of the operator set '%s', of which the model "
                       "uses version %" PRId64,
                       node_describe(node, text, sizeof text), node->version,
                       node->domain[0] ? node->domain : "ai.onnx", there->version);
    struct onnx_opset *list =
        arena_grow(w->arena, w->opsets, &w->opset_capacity, w->opset_count + 1, sizeof *list);
    if (!list)
        return onnx_writer_no_memory(err);
    w->opsets = list;
    list[w->opset_count++] = (struct onnx_opset){node->domain, node->version};
    return 0;
}

/* The content of the original NodeProto. */
static int original_of(struct onnx_writer *w, const struct node *node, struct pbwire_span *ret,
                       struct err *err) {
    struct pbwire_span rest = pbwire_all(w->wire);
    struct pbwire_field field = {0};
    rest.bytes -= node->origin.offset;
    rest.offset = node->origin.offset;
    struct pbwire_walk walk = pbwire_walk(w->wire, rest);
    if (pbwire_next(&walk, &field, err) < 0)
        return -1;
    *ret = field.content;
    return 0;
}

static int put_attrs(struct onnx_writer *w, const struct node *node, struct pbout *out,
                     struct err *err) {
    for (size_t i = 0; i < node->attr_count; i++) {
        struct pbout attr;
        pbout_init(&attr, w->arena);
        if (put_attr(w, node, &node->attrs[i], &attr, err) < 0)
            return -1;
        pbout_message(out, ONNX_NODE_ATTRIBUTE, &attr);
    }
    return 0;
}

int onnx_encode_node(struct onnx_writer *w, const struct node *node, struct pbout *out,
                     struct err *err) {
    struct pbout own;
    pbout_init(&own, w->arena);
    w->edits++;
    if (need_opset(w, node, err) < 0)
        return -1;
    for (size_t i = 0; i < node->in_count; i++)
        pbout_text(&own, ONNX_NODE_INPUT, node->in[i] ? onnx_name_of(node->in[i]) : "");
    for (size_t i = 0; i < node->out_count; i++)
        pbout_text(&own, ONNX_NODE_OUTPUT, node->out[i] ? node->out[i]->name : "");
    if (node->name[0])
        pbout_text(&own, ONNX_NODE_NAME, node->name);
    pbout_text(&own, ONNX_NODE_OP_TYPE, node->op_type);
    if (node->domain[0])
        pbout_text(&own, ONNX_NODE_DOMAIN, node->domain);
    if (put_attrs(w, node, &own, err) < 0)
        return -1;
    if (node->origin.offset && !node->origin.call) {
        struct pbwire_span original;
        if (original_of(w, node, &original, err) < 0 ||
            copy_fields(w, original, is_encoded, &own, err) < 0)
            return -1;
    }
    pbout_message(out, ONNX_GRAPH_NODE, &own);
    return 0;
}

int onnx_encode_kept_node(struct onnx_writer *w, const struct node *node, struct pbout *out,
                          struct err *err) {
    uint64_t before = w->edits;
    bool bodies = false;
    if (onnx_reads_renamed(node))
        return onnx_encode_node(w, node, out, err);
    for (size_t i = 0; i < node->attr_count; i++)
        bodies = bodies || node->attrs[i].kind == ATTR_GRAPH;
    if (bodies) {
        struct pbout attrs;
        pbout_init(&attrs, w->arena);
        if (put_attrs(w, node, &attrs, err) < 0)
            return -1;
        if (w->edits != before)
            return onnx_encode_node(w, node, out, err);
    }
    pbout_copy(out, w->main, (struct pbwire_span){node->origin.offset, node->origin.bytes});
    return 0;
}
