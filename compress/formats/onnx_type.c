/* Names and types: ValueInfoProto, TypeProto, TensorShapeProto. */
#include "compress/base/arena.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_reader.h"

#include <inttypes.h>
#include <string.h>

int onnx_read_name(const struct onnx_reader *r, const struct pbwire_field *field, const char **ret,
                   struct err *err) {
    if (pbwire_expect(r->wire, field, PBWIRE_BYTES, "a name", err) < 0)
        return -1;
    return pbwire_text(r->wire, field->content, ONNX_NAME_BYTES_MAX, r->scratch, ret, err);
}

static int read_dim(const struct onnx_scope *scope, struct pbwire_span message, struct dim *ret,
                    struct err *err) {
    const struct onnx_reader *r = scope->reader;
    struct symbols *symbols = scope->graph->symbols;
    struct pbwire_walk walk = pbwire_walk(r->wire, message);
    struct pbwire_field field;
    struct dim dim = {.size = -1};
    const char *name = NULL;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (field.number == ONNX_DIM_VALUE && field.type == PBWIRE_VARINT) {
            dim.size = (int64_t)field.value;
            name = NULL;
        } else if (field.number == ONNX_DIM_PARAM && onnx_read_name(r, &field, &name, err) < 0) {
            return -1;
        }
    }
    if (more < 0)
        return -1;
    /* Some exporters write -1 for what they do not know, others "?": that is no name, two of them
     * need not be equal. */
    if (name && strcmp(name, "?") == 0) {
        dim.size = -1;
        name = NULL;
    }
    if (dim.size < 0 || name) {
        dim = (struct dim){.size = -1, .symbol = symbols_get(symbols, name)};
        if (!dim.symbol)
            return onnx_no_memory(err);
    }
    if (dim.size > (int64_t)LIMIT_ELEMENTS)
        return err_set(err, ERR_TOO_LARGE, "a dimension of %" PRId64, dim.size);
    *ret = dim;
    return 0;
}

static int read_shape(const struct onnx_scope *scope, struct pbwire_span message, struct type *type,
                      struct err *err) {
    struct pbwire_walk walk = pbwire_walk(scope->reader->wire, message);
    struct pbwire_field field;
    int more;
    type->ranked = true;
    type->rank = 0;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (field.number != ONNX_SHAPE_DIM || field.type != PBWIRE_BYTES)
            continue;
        if (type->rank == LIMIT_RANK) { /* more than anything here can run: left unknown */
            type->ranked = false;
            type->rank = 0;
            return 0;
        }
        if (read_dim(scope, field.content, &type->dims[type->rank++], err) < 0)
            return -1;
    }
    return more;
}

/* TypeProto.Tensor */
static int read_tensor_type(const struct onnx_scope *scope, struct pbwire_span message,
                            struct type *type, struct err *err) {
    struct pbwire_walk walk = pbwire_walk(scope->reader->wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (field.number == ONNX_TYPE_TENSOR_ELEM && field.type == PBWIRE_VARINT)
            type->dtype = dtype_by_onnx((int32_t)field.value);
        if (field.number == ONNX_TYPE_TENSOR_SHAPE && field.type == PBWIRE_BYTES &&
            read_shape(scope, field.content, type, err) < 0)
            return -1;
    }
    return more;
}

static int read_type(const struct onnx_scope *scope, struct pbwire_span message, struct type *type,
                     struct err *err) {
    struct pbwire_walk walk = pbwire_walk(scope->reader->wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (field.number == ONNX_TYPE_TENSOR_TYPE && field.type == PBWIRE_BYTES &&
            read_tensor_type(scope, field.content, type, err) < 0)
            return -1;
    return more;
}

int onnx_read_value_info(const struct onnx_scope *scope, struct pbwire_span message,
                         const char **ret_name, struct type *ret_type, struct err *err) {
    const struct onnx_reader *r = scope->reader;
    struct pbwire_walk walk = pbwire_walk(r->wire, message);
    struct pbwire_field field;
    struct type type = {.dtype = DTYPE_NONE};
    const char *name = "";
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (field.number == ONNX_VALUE_NAME && onnx_read_name(r, &field, &name, err) < 0)
            return -1;
        if (ret_type && field.number == ONNX_VALUE_TYPE && field.type == PBWIRE_BYTES &&
            read_type(scope, field.content, &type, err) < 0)
            return -1;
    }
    if (more < 0)
        return -1;
    *ret_name = name;
    if (ret_type)
        *ret_type = type;
    return 0;
}
