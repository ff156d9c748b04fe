/*
 * The whitelist of globals, and the walk over what the machine built. The pickle's values form a
 * graph that a hostile file may make deep, cyclic or exponentially wide: the walk counts depth and
 * steps.
 */
#include "compress/formats/torch_pickle.h"

#include "compress/base/strmap.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A tensor's values take about 1.1 KB: room for LIMIT_TENSORS of them. */
#define SCRATCH_BYTES (256 * MIB)
/* Values visited while looking for tensors: as many as a pickle may memoize. */
#define STEPS_MAX LIMIT_PICKLE_MEMO

enum torch_global {
    TORCH_ORDERED_DICT,
    TORCH_TENSOR_V2,
    TORCH_TENSOR_V3,
    TORCH_PARAMETER,
    TORCH_SIZE,
    TORCH_DEVICE,
    TORCH_STORAGE, /* its name says the element type */
    TORCH_UNTYPED_STORAGE,
    TORCH_DTYPE,
};

#define STORAGE(name) \
    { "torch", name, PICKLE_CALL_NEVER, TORCH_STORAGE }
#define DTYPE(name) \
    { "torch", name, PICKLE_CALL_NEVER, TORCH_DTYPE }

static const struct pickle_global globals[] = {
    {"collections", "OrderedDict", PICKLE_CALL_DICT, TORCH_ORDERED_DICT},
    {"torch._utils", "_rebuild_tensor_v2", PICKLE_CALL_NODE, TORCH_TENSOR_V2},
    {"torch._utils", "_rebuild_tensor_v3", PICKLE_CALL_NODE, TORCH_TENSOR_V3},
    {"torch._utils", "_rebuild_parameter", PICKLE_CALL_NODE, TORCH_PARAMETER},
    {"torch._utils", "_rebuild_parameter_with_state", PICKLE_CALL_NODE, TORCH_PARAMETER},
    {"torch", "Size", PICKLE_CALL_TUPLE, TORCH_SIZE},
    {"torch", "device", PICKLE_CALL_NODE, TORCH_DEVICE},
    {"torch.storage", "UntypedStorage", PICKLE_CALL_NEVER, TORCH_UNTYPED_STORAGE},
    STORAGE("DoubleStorage"),
    STORAGE("FloatStorage"),
    STORAGE("HalfStorage"),
    STORAGE("BFloat16Storage"),
    STORAGE("LongStorage"),
    STORAGE("IntStorage"),
    STORAGE("ShortStorage"),
    STORAGE("CharStorage"),
    STORAGE("ByteStorage"),
    STORAGE("BoolStorage"),
    STORAGE("ComplexFloatStorage"),
    DTYPE("float64"),
    DTYPE("float32"),
    DTYPE("float16"),
    DTYPE("bfloat16"),
    DTYPE("float8_e4m3fn"),
    DTYPE("float8_e5m2"),
    DTYPE("int64"),
    DTYPE("int32"),
    DTYPE("int16"),
    DTYPE("int8"),
    DTYPE("uint64"),
    DTYPE("uint32"),
    DTYPE("uint16"),
    DTYPE("uint8"),
    DTYPE("bool"),
    DTYPE("complex64"),
};

/* Keys under which training scripts put the weights. */
static const char *const state_keys[] = {"state_dict", "model_state_dict", "model", "module"};

struct walk {
    const char *path;
    struct arena *arena;
    struct torch_state *state;
    struct strmap names;
    uint64_t steps;
    char name[LIMIT_TENSOR_NAME_BYTES + 1];
    struct err *err;
};

static int walk_value(struct walk *w, const struct pickle_value *value, size_t name_len,
                      unsigned depth);
static int add_tensor(struct walk *w, const struct pickle_value *call);
static const struct pickle_value *tensor_call(const struct pickle_value *value);
static const struct pickle_value *choose_root(const struct pickle_value *root,
                                              const char **ret_under);
static int list_left_out(struct walk *w, const struct pickle_value *root);

static int refuse(struct walk *w, const struct pickle_value *value, enum err_code code,
                  const char *text) {
    err_set(w->err, code, "%s", text);
    err_at_file(w->err, w->path, value->offset);
    return err_at_tensor(w->err, w->name);
}

static int no_memory(struct walk *w) {
    return err_set(w->err, ERR_NO_MEMORY, "the model needs more memory than is allowed");
}

int torch_pickle_read(struct bytes pickle, uint64_t file_offset, const char *path,
                      struct arena *arena, struct torch_state *ret, struct err *err) {
    struct torch_state state = {0};
    struct walk w = {.path = path, .arena = arena, .state = &state, .err = err};
    struct pickle_value *root;
    int status = -1;
    struct arena *scratch = arena_new(SCRATCH_BYTES);
    if (!scratch)
        return no_memory(&w);
    if (pickle_load(pickle, file_offset, path, globals, sizeof globals / sizeof globals[0], scratch,
                    &root, err) < 0)
        goto out;
    if (root->kind != PICKLE_DICT) {
        refuse(&w, root, ERR_UNSUPPORTED,
               "the file does not hold a dictionary of tensors; save model.state_dict()");
        goto out;
    }
    strmap_init(&w.names, arena);
    if (walk_value(&w, choose_root(root, &state.under), 0, 0) < 0 || list_left_out(&w, root) < 0)
        goto out;
    if (state.count == 0) {
        refuse(&w, root, ERR_UNSUPPORTED, "the file holds no tensors");
        goto out;
    }
    *ret = state;
    status = 0;
out:
    arena_free(scratch);
    return status;
}

static bool is_call(const struct pickle_value *value, enum torch_global id) {
    return value->kind == PICKLE_CALL && value->global->id == (int)id;
}

/* The call that makes the tensor, if the value is one; parameters are looked through. */
static const struct pickle_value *tensor_call(const struct pickle_value *value) {
    for (int depth = 0; depth < 4 && is_call(value, TORCH_PARAMETER); depth++) {
        const struct pickle_value *args = value->items[0];
        if (args->count == 0)
            return NULL;
        value = args->items[0];
    }
    return is_call(value, TORCH_TENSOR_V2) || is_call(value, TORCH_TENSOR_V3) ? value : NULL;
}

static bool has_tensor(const struct pickle_value *dict) {
    for (size_t i = 1; dict->kind == PICKLE_DICT && i < dict->count; i += 2)
        if (tensor_call(dict->items[i]))
            return true;
    return false;
}

/* The state dictionary, and the key it stands under. */
static const struct pickle_value *choose_root(const struct pickle_value *root,
                                              const char **ret_under) {
    const struct pickle_value *found = root;
    for (size_t i = 0; i < sizeof state_keys / sizeof state_keys[0]; i++) {
        const struct pickle_value *inner = pickle_get(root, state_keys[i]);
        if (!inner || !has_tensor(inner))
            continue;
        if (found != root) {
            *ret_under = NULL;
            return root;
        }
        found = inner;
        *ret_under = state_keys[i];
    }
    return found;
}

/* The keys of the outermost dictionary that are not taken, for people. */
static int list_left_out(struct walk *w, const struct pickle_value *root) {
    char text[160];
    size_t used = 0;
    if (!w->state->under)
        return 0;
    for (size_t i = 0; i < root->count; i += 2) {
        const struct pickle_value *key = root->items[i];
        if (key->kind != PICKLE_TEXT || pickle_is_text(key, w->state->under))
            continue;
        int n =
            snprintf(text + used, sizeof text - used, "%s%.*s", used ? ", " : "",
                     (int)(key->text.len < 64 ? key->text.len : 64), (const char *)key->text.at);
        if (n < 0 || (size_t)n >= sizeof text - used)
            break;
        used += (size_t)n;
    }
    if (used == 0)
        return 0;
    w->state->left_out = arena_strndup(w->arena, text, used);
    return w->state->left_out ? 0 : no_memory(w);
}

/* Appends ".key" to the name. Returns the new length, 0 after an error. */
static size_t extend_name(struct walk *w, const struct pickle_value *key, size_t len) {
    char number[24];
    struct bytes text = {(const uint8_t *)number, 0};
    if (key->kind == PICKLE_TEXT)
        text = key->text;
    else
        text.len = (size_t)snprintf(number, sizeof number, "%" PRId64, key->integer);
    size_t dot = len > 0;
    bool good = text.len > 0;
    for (size_t i = 0; good && i < text.len; i++)
        good = text.at[i] >= 0x20 && text.at[i] != 0x7f;
    if (!good || len + dot + text.len > LIMIT_TENSOR_NAME_BYTES) {
        refuse(w, key, ERR_BAD_MODEL,
               good ? "the name of a tensor is too long"
                    : "the name of a tensor is empty or holds a NUL or control byte");
        return 0;
    }
    if (dot)
        w->name[len] = '.';
    memcpy(w->name + len + dot, text.at, text.len);
    w->name[len + dot + text.len] = 0;
    return len + dot + text.len;
}

static bool may_hold_tensors(const struct pickle_value *value) {
    return value->kind == PICKLE_DICT || value->kind == PICKLE_LIST ||
           value->kind == PICKLE_TUPLE || value->kind == PICKLE_CALL;
}

static int walk_items(struct walk *w, const struct pickle_value *value, size_t name_len,
                      unsigned depth) {
    size_t step = value->kind == PICKLE_DICT ? 2 : 1;
    for (size_t i = 0; i < value->count; i += step) {
        const struct pickle_value *item = value->items[i + step - 1];
        if (++w->steps > STEPS_MAX)
            return refuse(w, value, ERR_TOO_LARGE, "the pickle holds too many values");
        if (!may_hold_tensors(item))
            continue;
        struct pickle_value index = {
            .kind = PICKLE_INT, .offset = item->offset, .integer = (int64_t)i};
        const struct pickle_value *key = step == 2 ? value->items[i] : &index;
        if (key->kind != PICKLE_TEXT && key->kind != PICKLE_INT) {
            if (!tensor_call(item))
                continue;
            return refuse(w, key, ERR_BAD_MODEL, "the name of a tensor is no text");
        }
        size_t len = extend_name(w, key, name_len);
        if (len == 0 || walk_value(w, item, len, depth + 1) < 0)
            return -1;
        w->name[name_len] = 0;
    }
    return 0;
}

static int walk_value(struct walk *w, const struct pickle_value *value, size_t name_len,
                      unsigned depth) {
    const struct pickle_value *call = tensor_call(value);
    if (call)
        return add_tensor(w, call);
    if (value->kind == PICKLE_CALL)
        return 0;
    if (depth > LIMIT_PICKLE_DEPTH)
        return refuse(w, value, ERR_TOO_LARGE, "the dictionaries are nested too deeply");
    return walk_items(w, value, name_len, depth);
}

static bool get_count(const struct pickle_value *value, uint64_t *ret) {
    if (value->kind != PICKLE_INT || value->integer < 0)
        return false;
    *ret = (uint64_t)value->integer;
    return true;
}

/* ("storage", class, key, device, element count) */
static int read_storage(struct walk *w, const struct pickle_value *value, enum dtype dtype,
                        struct torch_tensor *tensor) {
    if (value->kind != PICKLE_PERSID)
        return refuse(w, value, ERR_BAD_MODEL, "a tensor has no storage");
    const struct pickle_value *id = value->items[0];
    uint64_t count;
    if (id->kind != PICKLE_TUPLE || id->count < 5 || !pickle_is_text(id->items[0], "storage") ||
        id->items[1]->kind != PICKLE_GLOBAL || id->items[2]->kind != PICKLE_TEXT ||
        !get_count(id->items[4], &count))
        return refuse(w, value, ERR_BAD_MODEL, "a storage is not described as torch does");
    const struct pickle_global *class = id->items[1]->global;
    unsigned unit = 1; /* an untyped storage counts bytes */
    tensor->dtype = dtype;
    if (class->id == TORCH_STORAGE) {
        tensor->dtype = dtype_by_torch_storage(class->name);
        assert(tensor->dtype != DTYPE_NONE); /* every STORAGE row of ours is a dtype */
        unit = dtype_row(tensor->dtype)->bytes;
    }
    if (tensor->dtype == DTYPE_NONE ||
        (class->id != TORCH_STORAGE && class->id != TORCH_UNTYPED_STORAGE))
        return refuse(w, value, ERR_BAD_MODEL, "the element type of a tensor is not stated");
    if (!mul_u64(count, unit, &tensor->storage_bytes))
        return refuse(w, value, ERR_BAD_MODEL, "a storage has too many elements");
    struct bytes key = id->items[2]->text;
    if (key.len > 64 || memchr(key.at, 0, key.len))
        return refuse(w, value, ERR_BAD_MODEL, "the key of a storage is too long");
    tensor->storage_key = arena_strndup(w->arena, (const char *)key.at, key.len);
    return tensor->storage_key ? 0 : no_memory(w);
}

/* Row-major without holes? A dimension of 1 may have any stride, and so may an empty tensor. */
static bool is_contiguous(const struct torch_tensor *tensor, const struct pickle_value *strides) {
    uint64_t expected = 1;
    if (tensor->elements == 0)
        return true;
    for (unsigned i = tensor->rank; i-- > 0;) {
        uint64_t stride;
        if (!get_count(strides->items[i], &stride))
            return false;
        if (tensor->dims[i] != 1 && stride != expected)
            return false;
        expected *= tensor->dims[i]; /* at most `elements` */
    }
    return true;
}

static int read_shape(struct walk *w, const struct pickle_value *size,
                      const struct pickle_value *strides, struct torch_tensor *tensor) {
    if (size->kind != PICKLE_TUPLE || strides->kind != PICKLE_TUPLE ||
        size->count != strides->count)
        return refuse(w, size, ERR_BAD_MODEL, "the size and strides of a tensor do not agree");
    if (size->count > LIMIT_RANK)
        return refuse(w, size, ERR_TOO_LARGE, "the tensor has more than 8 dimensions");
    tensor->rank = (unsigned)size->count;
    tensor->elements = 1;
    bool empty = false;
    for (unsigned i = 0; i < tensor->rank; i++) {
        if (!get_count(size->items[i], &tensor->dims[i]))
            return refuse(w, size, ERR_BAD_MODEL, "a dimension of the tensor is no count");
        empty = empty || tensor->dims[i] == 0;
        uint64_t dim = tensor->dims[i] ? tensor->dims[i] : 1;
        if (!mul_u64(tensor->elements, dim, &tensor->elements) || tensor->elements > LIMIT_ELEMENTS)
            return refuse(w, size, ERR_BAD_MODEL,
                          "the tensor's dimensions multiply to more than 2^48 elements");
    }
    if (empty)
        tensor->elements = 0;
    if (!is_contiguous(tensor, strides))
        return refuse(
            w, strides, ERR_UNSUPPORTED,
            "the tensor is not contiguous in row-major order; save it with .contiguous()");
    return 0;
}

/* _rebuild_tensor_v3's element type; for v2 the storage's class has it. */
static int read_dtype(struct walk *w, const struct pickle_value *call, enum dtype *ret) {
    const struct pickle_value *args = call->items[0];
    *ret = DTYPE_NONE;
    if (call->global->id != TORCH_TENSOR_V3)
        return 0;
    const struct pickle_value *dtype = args->count > 6 ? args->items[6] : call;
    if (dtype->kind != PICKLE_GLOBAL || dtype->global->id != TORCH_DTYPE)
        return refuse(w, call, ERR_BAD_MODEL, "the element type of a tensor is not stated");
    *ret = dtype_by_torch(dtype->global->name);
    assert(*ret != DTYPE_NONE); /* every DTYPE row of ours is a dtype */
    return 0;
}

/* Behind everything else may stand a dictionary of flags: "conj" and "neg" change the values. */
static bool has_flags(const struct pickle_value *call) {
    const struct pickle_value *args = call->items[0];
    size_t at = call->global->id == TORCH_TENSOR_V3 ? 7 : 6;
    return args->count > at && args->items[at]->kind != PICKLE_NONE && args->items[at]->count > 0;
}

static int add_tensor(struct walk *w, const struct pickle_value *call) {
    const struct pickle_value *args = call->items[0];
    struct torch_tensor tensor = {0};
    enum dtype dtype;
    uint64_t offset, end;
    if (args->count < 4 || !get_count(args->items[1], &offset))
        return refuse(w, call, ERR_BAD_MODEL, "a tensor is not described as torch does");
    if (has_flags(call))
        return refuse(w, call, ERR_UNSUPPORTED,
                      "the tensor is a conjugate or negative view; save it with .clone()");
    if (read_dtype(w, call, &dtype) < 0 || read_storage(w, args->items[0], dtype, &tensor) < 0 ||
        read_shape(w, args->items[2], args->items[3], &tensor) < 0)
        return -1;
    unsigned unit = dtype_row(tensor.dtype)->bytes;
    tensor.bytes = tensor.elements * unit;
    if (!mul_u64(offset, unit, &tensor.offset) || !add_u64(tensor.offset, tensor.bytes, &end) ||
        end > tensor.storage_bytes)
        return refuse(w, call, ERR_BAD_MODEL, "the tensor reaches beyond its storage");
    if (w->state->count >= LIMIT_TENSORS)
        return refuse(w, call, ERR_TOO_LARGE, "the file holds more than 200000 tensors");
    tensor.name = arena_strdup(w->arena, w->name);
    struct torch_tensor *grown = arena_grow(w->arena, w->state->tensors, &w->state->capacity,
                                            w->state->count + 1, sizeof tensor);
    int fresh =
        tensor.name && grown ? strmap_put(&w->names, tensor.name, (uint32_t)w->state->count) : -1;
    if (fresh < 0)
        return no_memory(w);
    if (fresh == 0)
        return refuse(w, call, ERR_BAD_MODEL, "two tensors have this name");
    w->state->tensors = grown;
    w->state->tensors[w->state->count++] = tensor;
    return 0;
}
