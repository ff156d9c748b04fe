/* Weights: tensors of the model, whose bytes stay where they are, and the values that stand for
 * them. */
#include "compress/base/arena.h"
#include "compress/base/files.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_reader.h"

#include <inttypes.h>
#include <string.h>

/* Content that shape inference may ask for: shapes, axes, scales of a Resize; not weights. */
#define SMALL_INTEGERS 1024
#define SMALL_FLOATS 64

static struct type type_of(const struct onnx_tensor *tensor) {
    struct type type = {.dtype = tensor->dtype, .ranked = !tensor->is_too_deep};
    type.rank = tensor->rank;
    for (unsigned d = 0; d < tensor->rank; d++)
        type.dims[d] = DIM(tensor->dims[d]);
    return type;
}

static int not_here(const struct onnx_reader *r, const struct onnx_tensor *tensor, const char *path,
                    struct err *err) {
    const char *advice =
        r->model->resolver->lone ? "; send it together with the model, as a folder" : "";
    err_set(err, ERR_BAD_MODEL, "the data of '%s' are in the file '%s', which is not here%s",
            tensor->name, path, advice);
    return err_at_tensor(err, tensor->name);
}

/* The file of external data, opened when first named. */
static int external_file(struct onnx_reader *r, const struct onnx_tensor *tensor, uint32_t *ret,
                         struct err *err) {
    struct model *model = r->model;
    if (!path_ok(tensor->location)) {
        err_set(err, ERR_BAD_MODEL,
                "the data of '%s' are said to be in '%s', which is no path within the model",
                tensor->name, tensor->location);
        return err_at_tensor(err, tensor->name);
    }
    const char *path = arena_printf(r->scratch, "%s%s", r->folder, tensor->location);
    if (!path)
        return onnx_no_memory(err);
    size_t index = resolver_find(model->resolver, path);
    if (index == SIZE_MAX)
        return not_here(r, tensor, path, err);
    if (!r->external_files[index]) {
        uint32_t file;
        if (model->files[r->onnx->file].resolver_index == index) {
            err_set(err, ERR_BAD_MODEL,
                    "the data of '%s' are said to be external, in the model's own file",
                    tensor->name);
            return err_at_tensor(err, tensor->name);
        }
        if (model_add_file(model, index, &file, err) < 0)
            return -1;
        r->external_files[index] = file + 1;
    }
    *ret = r->external_files[index] - 1;
    uint64_t end;
    if (!add_u64(tensor->offset, tensor->bytes, &end) || end > model->files[*ret].bytes) {
        err_set(err, ERR_BAD_MODEL,
                "the data of '%s' end beyond the file: %" PRIu64 " bytes at %" PRIu64
                " of %" PRIu64,
                tensor->name, tensor->bytes, tensor->offset, model->files[*ret].bytes);
        err_at_file(err, path, tensor->offset);
        return err_at_tensor(err, tensor->name);
    }
    return 0;
}

static int wait_for_decoding(struct onnx_reader *r, const struct onnx_tensor *from, size_t tensor,
                             const char *name, struct err *err) {
    enum { ALIGN = 16 };
    struct onnx_waiting *list = arena_grow(r->lasting, r->waiting, &r->waiting_capacity,
                                           r->waiting_count + 1, sizeof *list);
    if (!list)
        return onnx_no_memory(err);
    r->waiting = list;
    list[r->waiting_count] = (struct onnx_waiting){tensor, *from, r->waiting_bytes};
    list[r->waiting_count++].from.name = name;
    uint64_t bytes = (from->bytes + ALIGN - 1) / ALIGN * ALIGN; /* bytes < 2^52: no overflow */
    if (!add_u64(r->waiting_bytes, bytes, &r->waiting_bytes) ||
        r->waiting_bytes > LIMIT_MODEL_ARENA_BYTES) {
        err_set(err, ERR_TOO_LARGE,
                "tensors that are stored as lists of numbers take more than %" PRIu64
                " bytes; store them as raw_data",
                LIMIT_MODEL_ARENA_BYTES);
        return err_at_tensor(err, from->name);
    }
    return 0;
}

uint32_t onnx_next_number(struct onnx_reader *r, const char *base) {
    uint32_t at = strmap_get(&r->shared_names, base);
    if (at == STRMAP_NONE) {
        at = (uint32_t)r->shared_names.count;
        uint32_t *counts =
            arena_grow(r->lasting, r->shared_counts, &r->shared_capacity, at + 1, sizeof *counts);
        if (!counts || strmap_put(&r->shared_names, base, at) < 0)
            return 0;
        r->shared_counts = counts;
        counts[at] = 1;
    }
    return ++r->shared_counts[at];
}

static const char *tensor_name(struct onnx_reader *r, const char *path, const char *name,
                               struct err *err) {
    struct arena *arena = r->model->arena;
    const char *base = arena_printf(arena, "%s%s", path, name), *own = base;
    int put = -1;
    while (own &&
           (put = strmap_put(&r->tensor_names, own, (uint32_t)r->model->tensor_count)) == 0) {
        uint32_t number = onnx_next_number(r, base);
        own = number ? arena_printf(arena, "%s#%" PRIu32, base, number) : NULL;
    }
    if (!own || put < 0) {
        onnx_no_memory(err);
        return NULL;
    }
    if (strlen(own) > LIMIT_TENSOR_NAME_BYTES) {
        err_set(err, ERR_TOO_LARGE, "a tensor's name has more than %d bytes",
                LIMIT_TENSOR_NAME_BYTES);
        err_at_tensor(err, own);
        return NULL;
    }
    return own;
}

static int add_tensor(struct onnx_reader *r, const char *path, const struct onnx_tensor *from,
                      struct err *err) {
    struct model *model = r->model;
    if (model->tensor_count >= LIMIT_TENSORS)
        return err_set(err, ERR_TOO_LARGE, "the model holds more than %d tensors", LIMIT_TENSORS);
    struct tensor *list = arena_grow(model->arena, model->tensors, &r->tensor_capacity,
                                     model->tensor_count + 1, sizeof *list);
    if (!list)
        return onnx_no_memory(err);
    model->tensors = list;
    const char *name = tensor_name(r, path, from->name, err);
    if (!name)
        return -1;
    struct part data = {.name = name,
                        .dtype = from->dtype,
                        .file = r->onnx->file,
                        .offset = from->data.offset,
                        .bytes = from->bytes};
    if (from->place == ONNX_PLACE_EXTERNAL) {
        data.offset = from->offset;
        if (external_file(r, from, &data.file, err) < 0)
            return -1;
    }
    if (from->place == ONNX_PLACE_LIST &&
        wait_for_decoding(r, from, model->tensor_count, name, err) < 0)
        return -1;
    struct tensor *tensor = &list[model->tensor_count++];
    *tensor = (struct tensor){
        .name = name,
        .component = "",
        .rank = from->rank,
        .elements = from->elements,
        .stored = encoding_plain(from->dtype),
        .parts[PART_DATA] = data,
    };
    memcpy(tensor->dims, from->dims, from->rank * sizeof from->dims[0]);
    return 0;
}

static bool is_small(const struct onnx_tensor *tensor) {
    bool floats = dtype_row(tensor->dtype)->is_float;
    return tensor->elements <= (floats ? SMALL_FLOATS : SMALL_INTEGERS) &&
           (!floats || tensor->rank < 2);
}

int onnx_read_small(struct onnx_reader *r, const struct onnx_tensor *tensor,
                    const struct array **ret, struct err *err) {
    struct source *external = NULL;
    if (tensor->place == ONNX_PLACE_EXTERNAL) {
        uint32_t file = 0;
        if (external_file(r, tensor, &file, err) < 0)
            return -1;
        external = r->model->files[file].source;
    }
    return onnx_tensor_array(r->wire, tensor, external, r->model->arena, ret, err);
}

int onnx_add_weight(struct onnx_reader *reader, struct graph *graph, const char *path,
                    const char *name, struct onnx_tensor *tensor, struct value **ret,
                    struct err *err) {
    struct type type = type_of(tensor);
    tensor->name = name;
    uint32_t index = VALUE_NO_TENSOR;
    if (tensor->place == ONNX_PLACE_ODD && tensor->location)
        reader->onnx->has_fixed_external = true;
    if (tensor->place != ONNX_PLACE_ODD) {
        index = (uint32_t)reader->model->tensor_count;
        if (add_tensor(reader, path, tensor, err) < 0)
            return err_at_tensor(err, name);
    }
    if (graph_add_weight(graph, name, index, &type, ret, err) < 0)
        return err_at_tensor(err, name);
    if (tensor->place != ONNX_PLACE_ODD && is_small(tensor))
        return onnx_read_small(reader, tensor, &(*ret)->data, err);
    return 0;
}
