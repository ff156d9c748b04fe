/* Reading TensorProto. See onnx_tensor.h. */
#include "compress/formats/onnx_tensor.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/files.h"
#include "compress/formats/onnx_proto.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Which field holds numbers that are not raw, and how wide one of them is there. */
struct list_rule {
    uint32_t field;
    enum pbwire_type one;
    unsigned bytes; /* of what one number of the list becomes */
};

/* What was seen of the data while walking over the fields. */
struct seen {
    bool raw;
    struct pbwire_span raw_span;
    uint32_t lists;         /* bit per field number */
    size_t runs;            /* of the list field that fits the type */
    struct pbwire_span run; /* the last of them, when it is packed */
    bool has_type, is_external;
    const char *location;
    uint64_t offset, length;
    bool has_length;
};

static struct list_rule rule_of(enum dtype dtype) {
    switch (dtype) {
    case DTYPE_F32:
    case DTYPE_C64:
        return (struct list_rule){ONNX_TENSOR_FLOAT_DATA, PBWIRE_FIXED32, 4};
    case DTYPE_F64:
    case DTYPE_C128:
        return (struct list_rule){ONNX_TENSOR_DOUBLE_DATA, PBWIRE_FIXED64, 8};
    case DTYPE_I64:
        return (struct list_rule){ONNX_TENSOR_INT64_DATA, PBWIRE_VARINT, 8};
    case DTYPE_U32:
    case DTYPE_U64:
        return (struct list_rule){ONNX_TENSOR_UINT64_DATA, PBWIRE_VARINT, dtype_row(dtype)->bytes};
    case DTYPE_I4:
    case DTYPE_U4: /* two numbers in one of the list */
        return (struct list_rule){ONNX_TENSOR_INT32_DATA, PBWIRE_VARINT, 1};
    default:
        return (struct list_rule){ONNX_TENSOR_INT32_DATA, PBWIRE_VARINT, dtype_row(dtype)->bytes};
    }
}

static int fail(const struct pbwire *wire, const struct onnx_tensor *tensor, struct err *err,
                const char *what) {
    pbwire_fail(wire, tensor->message.offset, err, "the tensor '%s' %s", tensor->name, what);
    return err_at_tensor(err, tensor->name);
}

/* ---- the header ---- */

/* A decimal number, nothing else. */
static bool parse_number(const char *text, uint64_t *ret) {
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++)
        if (*text < '0' || *text > '9' || !mul_u64(value, 10, &value) ||
            !add_u64(value, (uint64_t)(*text - '0'), &value))
            return false;
    *ret = value;
    return true;
}

static int read_external(struct pbwire *wire, struct pbwire_span message, struct arena *arena,
                         struct seen *seen, struct err *err) {
    struct pbwire_walk walk = pbwire_walk(wire, message);
    struct pbwire_field field;
    const char *key = "", *value = "";
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        const char **to = field.number == ONNX_ENTRY_KEY     ? &key
                          : field.number == ONNX_ENTRY_VALUE ? &value
                                                             : NULL;
        if (to &&
            (pbwire_expect(wire, &field, PBWIRE_BYTES, "an entry of external_data", err) < 0 ||
             pbwire_text(wire, field.content, LIMIT_PATH_BYTES, arena, to, err) < 0))
            return -1;
    }
    if (more < 0)
        return -1;
    if (strcmp(key, "location") == 0)
        seen->location = value;
    else if (strcmp(key, "offset") == 0 && !parse_number(value, &seen->offset))
        return pbwire_fail(wire, message.offset, err, "external_data has the offset '%s'", value);
    else if (strcmp(key, "length") == 0 && !(seen->has_length = parse_number(value, &seen->length)))
        return pbwire_fail(wire, message.offset, err, "external_data has the length '%s'", value);
    return 0;
}

static int read_field(struct pbwire *wire, const struct pbwire_field *field, struct arena *arena,
                      struct onnx_tensor *tensor, struct seen *seen, struct err *err) {
    switch (field->number) {
    case ONNX_TENSOR_DATA_TYPE:
        tensor->data_type = (int32_t)field->value;
        seen->has_type = true;
        return pbwire_expect(wire, field, PBWIRE_VARINT, "data_type", err);
    case ONNX_TENSOR_NAME:
        if (pbwire_expect(wire, field, PBWIRE_BYTES, "a tensor's name", err) < 0)
            return -1;
        return pbwire_text(wire, field->content, LIMIT_TENSOR_NAME_BYTES, arena, &tensor->name,
                           err);
    case ONNX_TENSOR_RAW_DATA:
        seen->raw = true;
        seen->raw_span = field->content;
        return pbwire_expect(wire, field, PBWIRE_BYTES, "raw_data", err);
    case ONNX_TENSOR_DATA_LOCATION:
        seen->is_external = field->value == ONNX_LOCATION_EXTERNAL;
        return pbwire_expect(wire, field, PBWIRE_VARINT, "data_location", err);
    case ONNX_TENSOR_EXTERNAL_DATA:
        if (pbwire_expect(wire, field, PBWIRE_BYTES, "external_data", err) < 0)
            return -1;
        return read_external(wire, field->content, arena, seen, err);
    default:
        return 0;
    }
}

static int read_dims(struct pbwire *wire, const struct pbwire_field *field, struct arena *arena,
                     struct onnx_tensor *tensor, struct err *err) {
    enum { DIMS_MAX = 64 }; /* what ONNX Runtime takes, several times over */
    int64_t *list = NULL;
    size_t count = 0, capacity = 0;
    if (pbwire_varints(wire, field, DIMS_MAX, arena, &list, &count, &capacity, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (list[i] < 0)
            return fail(wire, tensor, err, "has a negative dimension");
        if (tensor->rank == LIMIT_RANK)
            tensor->is_too_deep = true;
        else
            tensor->dims[tensor->rank++] = (uint64_t)list[i];
    }
    return 0;
}

/* As the model counts (model.c): zeros do not hide absurd factors. */
static int count_elements(struct pbwire *wire, struct onnx_tensor *tensor, struct err *err) {
    uint64_t product = 1;
    bool empty = false;
    for (unsigned i = 0; i < tensor->rank; i++) {
        empty = empty || tensor->dims[i] == 0;
        uint64_t dim = tensor->dims[i] ? tensor->dims[i] : 1;
        if (!mul_u64(product, dim, &product) || product > LIMIT_ELEMENTS) {
            err_set(err, ERR_TOO_LARGE, "the tensor '%s' has more than %" PRIu64 " elements",
                    tensor->name, LIMIT_ELEMENTS);
            return err_at_tensor(err, tensor->name);
        }
    }
    tensor->elements = empty ? 0 : product;
    tensor->bytes = dtype_bytes(tensor->dtype, tensor->elements);
    return 0;
}

static int short_of(const struct pbwire *wire, const struct onnx_tensor *tensor, uint64_t have,
                    struct err *err) {
    pbwire_fail(wire, tensor->message.offset, err,
                "the tensor '%s' holds %" PRIu64 " bytes of data, its shape needs %" PRIu64,
                tensor->name, have, tensor->bytes);
    return err_at_tensor(err, tensor->name);
}

static int place(struct pbwire *wire, struct onnx_tensor *tensor, const struct seen *seen,
                 struct err *err) {
    struct list_rule rule = rule_of(tensor->dtype);
    if (seen->is_external) {
        if (!seen->location)
            return fail(wire, tensor, err, "has external data without a location");
        tensor->location = seen->location;
        tensor->offset = seen->offset;
        tensor->length = seen->has_length ? seen->length : tensor->bytes;
        tensor->place = ONNX_PLACE_EXTERNAL;
        if (tensor->length != tensor->bytes)
            return short_of(wire, tensor, tensor->length, err);
        return 0;
    }
    tensor->place = ONNX_PLACE_FILE;
    if (seen->raw) {
        tensor->data = seen->raw_span;
        if (tensor->data.bytes != tensor->bytes)
            return short_of(wire, tensor, tensor->data.bytes, err);
        return 0;
    }
    if (rule.one != PBWIRE_VARINT && seen->runs == 1 && seen->run.bytes == tensor->bytes) {
        tensor->data = seen->run;
        return 0;
    }
    if (seen->runs == 0)
        return tensor->bytes ? short_of(wire, tensor, 0, err) : 0;
    tensor->place = ONNX_PLACE_LIST;
    tensor->list = rule.field;
    return 0;
}

int onnx_tensor_read(struct pbwire *wire, struct pbwire_span message, struct arena *arena,
                     struct onnx_tensor *ret, struct err *err) {
    struct onnx_tensor tensor = {.name = "", .message = message};
    struct seen seen = {0};
    /* Twice: the type says which list counts, and may stand behind it. */
    struct pbwire_walk walk = pbwire_walk(wire, message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (read_field(wire, &field, arena, &tensor, &seen, err) < 0) {
            if (*tensor.name == '\0') /* not known, or not yet */
                return -1;
            err_context(err, "the tensor '%s'", tensor.name);
            return err_at_tensor(err, tensor.name);
        }
    if (more < 0)
        return -1;
    tensor.dtype = dtype_by_onnx(tensor.data_type);
    uint32_t list = rule_of(tensor.dtype).field;
    walk = pbwire_walk(wire, message);
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        if (field.number == ONNX_TENSOR_DIMS && read_dims(wire, &field, arena, &tensor, err) < 0)
            return err_at_tensor(err, tensor.name);
        if (field.number == list) {
            seen.runs++;
            seen.run = field.type == PBWIRE_BYTES ? field.content : (struct pbwire_span){0, 0};
        }
    }
    if (more < 0)
        return -1;
    if (tensor.is_too_deep || tensor.dtype == DTYPE_NONE || tensor.dtype == DTYPE_STRING) {
        if (tensor.is_too_deep)
            tensor.rank = 0;
        tensor.place = ONNX_PLACE_ODD;
        tensor.location = seen.is_external ? seen.location : NULL;
        tensor.offset = seen.offset;
        tensor.length = seen.length;
    } else if (count_elements(wire, &tensor, err) < 0 || place(wire, &tensor, &seen, err) < 0) {
        return -1;
    }
    *ret = tensor;
    return 0;
}

/* ---- lists ---- */

struct decoding {
    struct pbwire *wire;
    const struct onnx_tensor *tensor;
    struct list_rule rule;
    uint8_t *to;
    uint64_t left; /* bytes */
};

static int put(struct decoding *d, uint64_t value, struct err *err) {
    uint8_t raw[8];
    if (d->left < d->rule.bytes)
        return fail(d->wire, d->tensor, err, "holds more data than its shape needs");
    store_u64(raw, value);
    memcpy(d->to, raw, d->rule.bytes);
    d->to += d->rule.bytes;
    d->left -= d->rule.bytes;
    return 0;
}

static int decode_run(struct decoding *d, const struct pbwire_field *field, struct err *err) {
    if (field->type == d->rule.one)
        return put(d, field->value, err);
    if (field->type != PBWIRE_BYTES)
        return fail(d->wire, d->tensor, err, "holds its data in a field of another type");
    if (d->rule.one != PBWIRE_VARINT) {
        if (field->content.bytes > d->left)
            return fail(d->wire, d->tensor, err, "holds more data than its shape needs");
        if (pbwire_read(d->wire, field->content, d->to, err) < 0)
            return -1;
        d->to += field->content.bytes;
        d->left -= field->content.bytes;
        return 0;
    }
    struct pbwire_walk walk = pbwire_walk(d->wire, field->content);
    uint64_t value;
    int more;
    while ((more = pbwire_varint(&walk, &value, err)) > 0)
        if (put(d, value, err) < 0)
            return -1;
    return more;
}

int onnx_tensor_decode(struct pbwire *wire, const struct onnx_tensor *tensor, void *ret,
                       struct err *err) {
    struct decoding d = {wire, tensor, rule_of(tensor->dtype), ret, tensor->bytes};
    struct pbwire_walk walk = pbwire_walk(wire, tensor->message);
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (field.number == tensor->list && decode_run(&d, &field, err) < 0)
            return err_at_tensor(err, tensor->name);
    if (more < 0)
        return -1;
    return d.left ? short_of(wire, tensor, tensor->bytes - d.left, err) : 0;
}

/* ---- as an array ---- */

/* From the packed bytes of a container to one element a step. */
static void unpack(struct array *array, const uint8_t *packed) {
    uint8_t *to = array->data;
    if (array->dtype == DTYPE_I4 || array->dtype == DTYPE_U4) {
        for (uint64_t i = 0; i < array->elements; i++) {
            uint8_t half = i % 2 ? packed[i / 2] >> 4 : packed[i / 2] & 15;
            to[i] = array->dtype == DTYPE_I4 && half > 7 ? (uint8_t)(half - 16) : half;
        }
    } else if (array->dtype == DTYPE_BOOL) {
        for (uint64_t i = 0; i < array->elements; i++)
            to[i] = packed[i] != 0;
    } else {
        memcpy(to, packed, (size_t)dtype_bytes(array->dtype, array->elements));
    }
}

int onnx_tensor_array(struct pbwire *wire, const struct onnx_tensor *tensor,
                      struct source *external, struct arena *arena, const struct array **ret,
                      struct err *err) {
    *ret = NULL;
    if (array_item_bytes(tensor->dtype) == 0)
        return 0;
    struct array *array = array_in_arena(arena, tensor->dtype, tensor->rank, tensor->dims);
    uint8_t *packed = calloc((size_t)tensor->bytes + 1, 1);
    int result = 0;
    if (!array || !packed)
        result = err_set(err, ERR_NO_MEMORY, "a small tensor needs more memory than is allowed");
    else if (tensor->place == ONNX_PLACE_LIST)
        result = onnx_tensor_decode(wire, tensor, packed, err);
    else if (tensor->place == ONNX_PLACE_EXTERNAL)
        result = source_read(external, tensor->offset, packed, (size_t)tensor->bytes, err);
    else
        result = pbwire_read(wire, tensor->data, packed, err);
    if (result == 0) {
        unpack(array, packed);
        *ret = array;
    }
    free(packed);
    return result < 0 ? err_at_tensor(err, tensor->name) : 0;
}
