/* The model: its lifetime, what every open ends with, and the matrix view of tensors. */
#include "compress/graph/model.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/glob.h"
#include "compress/base/utf8.h"
#include "compress/graph/arch.h"
#include "compress/graph/roles.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct role_row {
    const char *name;
    unsigned bits;
} roles[] = {
    {"attn", ROLE_ATTN}, {"attn_qkv", ROLE_ATTN_QKV}, {"attn_out", ROLE_ATTN_OUT},
    {"mlp", ROLE_MLP},   {"embed", ROLE_EMBED},       {"head", ROLE_HEAD},
    {"norm", ROLE_NORM}, {"conv", ROLE_CONV},         {"first", ROLE_FIRST},
    {"last", ROLE_LAST}, {"bias", ROLE_BIAS},         {"other", ROLE_OTHER},
};

static enum dtype float_type(const struct encoding *e);
static bool is_buffer(const struct tensor *tensor);
static int count_elements(struct tensor *tensor, struct err *err);

struct model *model_new(struct resolver *files) {
    struct arena *arena = arena_new(LIMIT_MODEL_ARENA_BYTES);
    struct model *model = arena ? ARENA_NEW(arena, struct model) : NULL;
    if (!model) {
        arena_free(arena);
        return NULL;
    }
    model->arena = arena;
    model->resolver = files;
    model->architecture = "";
    return model;
}

void model_free(struct model *model) {
    if (!model)
        return;
    for (size_t i = 0; i < model->file_count; i++)
        source_close(model->files[i].source);
    arena_free(model->arena); /* the model itself lives in it */
}

/* What a reader decoded, and what a pass makes. */
enum { MEMORIES_MAX = 2 };

static size_t count_memories(const struct model *model) {
    size_t count = 0;
    for (size_t i = 0; i < model->file_count; i++)
        count += model->files[i].resolver_index == SIZE_MAX;
    return count;
}

static int make_room(struct model *model, struct err *err) {
    if (!model->files) {
        /* One allocation for the most there can be: files keep their addresses. Some more than the
         * resolver has: model_add_memory(). */
        model->files =
            ARENA_ARRAY(model->arena, struct model_file, model->resolver->count + MEMORIES_MAX);
        if (!model->files)
            return err_set(err, ERR_NO_MEMORY, "the list of files needs too much memory");
    }
    return 0;
}

int model_add_file(struct model *model, size_t resolver_index, uint32_t *ret_file,
                   struct err *err) {
    if (make_room(model, err) < 0)
        return -1;
    if (model->file_count - count_memories(model) == model->resolver->count)
        return err_set(err, ERR_BUG, "more tensor files than files");
    const struct resolver_file *listed = &model->resolver->files[resolver_index];
    struct source *source;
    if (model->resolver->ops->open(model->resolver, resolver_index, &source, err) < 0)
        return -1;
    model->files[model->file_count] = (struct model_file){
        .path = listed->path,
        .bytes = listed->bytes,
        .resolver_index = resolver_index,
        .source = source,
    };
    *ret_file = (uint32_t)model->file_count++;
    return 0;
}

int model_add_memory(struct model *model, const void *data, size_t len, uint32_t *ret_file,
                     struct err *err) {
    static const char path[] = "";
    if (make_room(model, err) < 0)
        return -1;
    if (count_memories(model) == MEMORIES_MAX)
        return err_set(err, ERR_BUG, "more memories for tensors than a model has");
    struct source *source = source_over_memory(data, len, path);
    if (!source)
        return err_set(err, ERR_NO_MEMORY, "no memory for decoded tensors");
    model->files[model->file_count] = (struct model_file){
        .path = path, .bytes = len, .resolver_index = SIZE_MAX, .source = source};
    *ret_file = (uint32_t)model->file_count++;
    return 0;
}

int model_add_fact(struct model *model, const char *key, const char *value, struct err *err) {
    enum { FACTS_MAX = 64 };
    if (!model->facts)
        model->facts = ARENA_ARRAY(model->arena, struct model_fact, FACTS_MAX);
    const char *own_key = arena_strdup(model->arena, key);
    char *own_value = arena_strdup(model->arena, value);
    if (!model->facts || !own_key || !own_value)
        return err_set(err, ERR_NO_MEMORY, "the model's facts need too much memory");
    utf8_make_printable(own_value); /* it may come from a file and go to a terminal */
    if (model->fact_count < FACTS_MAX)
        model->facts[model->fact_count++] = (struct model_fact){own_key, own_value};
    return 0;
}

int model_finish(struct model *model, struct err *err) {
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *t = &model->tensors[i];
        if (!t->component)
            t->component = "";
        if (count_elements(t, err) < 0)
            return -1;
        t->wanted = t->stored;
    }
    for (size_t i = 0; i < model->resolver->count; i++)
        model->bytes += model->resolver->files[i].bytes;
    if (!model->arch)
        model->arch = arch_for(model->architecture);
    if ((model->graph ? roles_assign(model, err) : arch_assign_roles(model, err)) < 0)
        return -1;

    uint64_t weight[DTYPE_COUNT] = {0};
    bool has_head = false, has_embedding = false;
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *t = &model->tensors[i];
        if (t->elements == 0)
            t->is_linear = t->is_embedding = false; /* nothing to quantize */
        if (is_buffer(t))
            continue;
        uint64_t sum;
        if (!add_u64(model->parameters, t->elements, &sum))
            return err_set(err, ERR_BAD_MODEL, "the model has more than 2^64 parameters");
        model->parameters = sum; /* each weight[] is a part of it: no overflow below */
        weight[float_type(&t->stored)] += t->elements;
        has_head = has_head || (t->role & ROLE_HEAD);
        has_embedding = has_embedding || (t->role & ROLE_EMBED);
        if (model->graph && (t->role & ROLE_EMBED) && (t->role & ROLE_HEAD))
            model->tied_embeddings = true;
    }
    weight[DTYPE_NONE] = 0;
    model->float_dtype = DTYPE_F32;
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (weight[d] > weight[model->float_dtype])
            model->float_dtype = (enum dtype)d;
    if (!model->graph && !has_head && has_embedding && model->arch->head_module)
        model->tied_embeddings = true;
    return 0;
}

void tensor_matrix(const struct tensor *tensor, const struct encoding *e, uint64_t *ret_rows,
                   uint64_t *ret_cols) {
    unsigned rank = tensor->rank;
    uint64_t rows = 1, cols = 1;
    unsigned row_dims = 1; /* how many leading dimensions fold into rows */
    bool half_bytes = e->codec && e->codec->family == CODEC_PLAIN &&
                      (e->dtype == DTYPE_I4 || e->dtype == DTYPE_U4);
    if (rank < 2 || half_bytes) /* a row may end in the middle of a byte */
        row_dims = 0;
    else if (e->codec && e->codec->family == CODEC_BLOCK)
        row_dims = rank - 1;
    for (unsigned i = 0; i < row_dims; i++)
        rows *= tensor->dims[i]; /* fits: see count_elements() */
    for (unsigned i = row_dims; i < rank; i++)
        cols *= tensor->dims[i];
    if (e->transposed && rank == 2) {
        rows = tensor->dims[1];
        cols = tensor->dims[0];
    }
    *ret_rows = rows;
    *ret_cols = cols;
}

uint64_t tensor_stored_bytes(const struct tensor *tensor) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < PART_KINDS; i++)
        bytes += tensor->parts[i].bytes;
    return bytes;
}

struct tensor *model_tensor(const struct model *model, const char *component, const char *name) {
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *t = &model->tensors[i];
        if (strcmp(t->name, name) == 0 && strcmp(t->component, component) == 0)
            return t;
    }
    return NULL;
}

const char *role_text(unsigned role, char *text, size_t cap) {
    size_t len = 0;
    if (cap)
        text[0] = 0;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        unsigned bits = roles[i].bits;
        if (bits == ROLE_ATTN || (role & bits) == 0) /* "attn" is a family: its members are named */
            continue;
        int n = snprintf(text + len, cap - len, "%s%s", len ? "," : "", roles[i].name);
        if (n < 0 || (size_t)n >= cap - len)
            break;
        len += (size_t)n;
    }
    return text;
}

unsigned role_by_name(const char *name) {
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(roles[i].name, name) == 0)
            return roles[i].bits;
    return 0;
}

const char *role_name_at(size_t i) {
    return i < sizeof roles / sizeof *roles ? roles[i].name : NULL;
}

/* The float type a tensor speaks for: its own, or that of its scales. DTYPE_NONE: neither. */
static enum dtype float_type(const struct encoding *e) {
    switch (e->codec->family) {
    case CODEC_PLAIN:
        return dtype_row(e->dtype)->is_float ? e->dtype : DTYPE_NONE;
    case CODEC_AFFINE:
    case CODEC_SCALED:
        return e->scale_dtype;
    case CODEC_BLOCK:
        break;
    }
    return DTYPE_NONE;
}

/* Not trained: masks, positions, running statistics and whatever is no number with a fraction. */
static bool is_buffer(const struct tensor *tensor) {
    static const char *const names[] = {"*inv_freq", "*running_mean", "*running_var",
                                        "*.attn.masked_bias", "*rope_freqs.weight"};
    if (tensor->stored.codec->family == CODEC_PLAIN && !dtype_row(tensor->stored.dtype)->is_float)
        return true;
    if (tensor->rank == 4 && glob_match("*.attn.bias", tensor->name))
        return true; /* GPT-2's causal mask */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (glob_match(names[i], tensor->name))
            return true;
    return false;
}

static int count_elements(struct tensor *tensor, struct err *err) {
    uint64_t product = 1;
    bool empty = false;
    for (unsigned i = 0; i < tensor->rank; i++)
        empty = empty || tensor->dims[i] == 0;
    for (unsigned i = 0; i < tensor->rank; i++) {
        /* Zeros are left out so that [2^40, 2^40, 0] is refused like [2^40, 2^40, 1]. */
        uint64_t dim = tensor->dims[i] ? tensor->dims[i] : 1;
        if (!mul_u64(product, dim, &product) || product > LIMIT_ELEMENTS) {
            err_set(err, ERR_TOO_LARGE, "the tensor's shape has more than %" PRIu64 " elements",
                    LIMIT_ELEMENTS);
            return err_at_tensor(err, tensor->name);
        }
    }
    tensor->elements = empty ? 0 : product;
    return 0;
}
