/*
 * Writing a GGUF model: which encodings the container can hold, and the layout of the output.
 *
 * Keys that stay are copied from the source as byte ranges, so they come out as they went in, and
 * a vocabulary of megabytes never enters memory. Only the few keys that must follow the tensors
 * are made anew: in their place when the source has them, behind the last key when not.
 */
#include "compress/formats/gguf.h"

#include "compress/base/bytes.h"
#include "compress/base/glob.h"
#include "compress/formats/gguf_split.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GGUF_VERSION 3
/* GGML_QNT_VERSION: the revision of the block structures, unchanged since 2023. */
#define QUANTIZATION_VERSION 2

/*
 * What llama.cpp never quantizes, because its operators take these tensors as floats only: anything
 * not called "weight", and by name norms, position and type embeddings, expert gates, and the small
 * mixing matrices of RWKV, Mamba, Gemma 3n and T5.
 */
static const char *const float_only[] = {
    "*_norm.weight",
    "position_embd.weight",
    "token_types.weight",
    "*ffn_gate_inp.weight",
    "*altup*",
    "*laurel*",
    "per_layer_model_proj.weight",
    "*ssm_conv1d.weight",
    "*shortconv.conv.weight",
    "*time_mix_first.weight",
    "*time_mix_w?.weight",
    "*time_mix_a?.weight",
    "*time_mix_v?.weight",
    "*time_mix_g?.weight",
    "*time_mix_decay_w?.weight",
    "*time_mix_lerp_fused.weight",
    "*attn_rel_b.weight",
};

/* A key whose value we decide. */
struct made_key {
    const char *name;
    enum gguf_value type; /* for a new one; an existing integer keeps its width */
    uint64_t value;
    bool add; /* when the source does not have it */
    bool done;
};

#define MADE_KEYS_MAX 3

static bool is_float_only(const struct tensor *tensor);
static int keep_floats(const struct tensor *tensor, struct encoding *wanted, const char *pointer,
                       struct violations *list);
static int make_keys(const struct model *model, const struct gguf_split *split, size_t part,
                     struct made_key made[MADE_KEYS_MAX]);
static int lay_out_file(const struct model *model, const struct gguf_split *split, size_t part,
                        struct layout *layout, struct err *err);
static void warn_of_floats(const struct model *model, struct violations *warnings);

int gguf_adapt(const struct model *model, const struct tensor *tensor, struct encoding *wanted,
               const char *pointer, struct violations *list) {
    const struct codec *codec = wanted->codec;
    const struct codec *stored = tensor->stored.codec;
    if (encoding_equal(wanted, &tensor->stored))
        return 0;
    if (stored->family == CODEC_PLAIN && !dtype_row(tensor->stored.dtype)->is_float) {
        struct violation *v =
            violations_add(list, ERR_MISFIT, pointer,
                           "integers are no weights: they are carried through as they are");
        v->tensor = tensor->name;
        return -1;
    }
    if (gguf_file_type_of(wanted) < 0) {
        struct violation *v = violations_add(
            list, ERR_MISFIT, pointer,
            "a GGUF file cannot hold %s; it holds f32, f16, bf16 and GGUF blocks", codec->name);
        v->tensor = tensor->name;
        v->nearest = codec->family == CODEC_PLAIN ? "f32" : codec->bits <= 4 ? "q4_0" : "q8_0";
        return -1;
    }
    if (!codec->can_encode) {
        struct violation *v = violations_add(list, ERR_UNSUPPORTED, pointer,
                                             "%s can be read but not written", codec->name);
        v->tensor = tensor->name;
        v->nearest = codec->bits <= 4 ? "q4_0" : codec->bits == 5 ? "q5_1" : "q8_0";
        return -1;
    }
    if (!codec_can_decode(stored)) {
        struct violation *v = violations_add(
            list, ERR_UNSUPPORTED, pointer,
            "the tensor is stored as %s, which can be copied but not decoded", stored->name);
        v->tensor = tensor->name;
        return -1;
    }
    if (tensor->rank < 2 || is_float_only(tensor))
        return keep_floats(tensor, wanted, pointer, list);
    /* What llama.cpp does with a row that no block divides. */
    if (codec->family == CODEC_BLOCK && tensor->dims[tensor->rank - 1] % codec->block_len != 0)
        *wanted = encoding_plain(DTYPE_F16);
    return 0;
}

int gguf_lay_out(const struct model *model, const struct output_facts *facts, struct layout *layout,
                 struct violations *warnings, struct err *err) {
    const struct gguf_split *split = model->private;
    size_t part = 0;
    layout->lone = model->resolver->lone;
    for (size_t i = 0; i < model->resolver->count; i++) {
        if (part < split->count && model->files[part].resolver_index == i) {
            if (lay_out_file(model, split, part++, layout, err) < 0)
                return -1;
            continue;
        }
        /* What stands beside the model in its folder comes back as it was. */
        const struct resolver_file *other = &model->resolver->files[i];
        struct layout_file *file = layout_add_file(layout, other->path);
        struct segment copy = {.kind = SEGMENT_COPY, .bytes = other->bytes, .resolver_index = i};
        if (!file)
            return err_set(err, ERR_NO_MEMORY, "the layout needs more memory than is allowed");
        if (other->bytes > 0 && layout_add(layout, file, copy, err) < 0)
            return -1;
    }
    warn_of_floats(model, warnings);
    layout_sort(layout);
    return 0;
}

static bool is_float_only(const struct tensor *tensor) {
    if (!glob_match("*weight", tensor->name))
        return true;
    for (size_t i = 0; i < sizeof float_only / sizeof float_only[0]; i++)
        if (glob_match(float_only[i], tensor->name))
            return true;
    return false;
}

/* 1-D tensors and norms are f32 in every GGUF file that llama.cpp makes, and its operators count on
 * it. The rest of the float-only tensors may be any float; asked to quantize one of those together
 * with its whole model, we leave it as it is, as llama.cpp does. */
static int keep_floats(const struct tensor *tensor, struct encoding *wanted, const char *pointer,
                       struct violations *list) {
    bool is_small = tensor->rank < 2 || glob_match("*_norm.weight", tensor->name);
    if (is_small && wanted->codec->family == CODEC_BLOCK) {
        struct violation *v =
            violations_add(list, ERR_MISFIT, pointer,
                           "runtimes of GGUF take 1-D tensors and norms as f32 only, not as %s",
                           wanted->codec->name);
        v->tensor = tensor->name;
        v->nearest = "f32";
        return -1;
    }
    if (is_small)
        *wanted = encoding_plain(DTYPE_F32);
    else if (wanted->codec->family == CODEC_BLOCK)
        *wanted = tensor->stored.codec->family == CODEC_PLAIN ? tensor->stored
                                                              : encoding_plain(DTYPE_F16);
    return 0;
}

/* The value of general.file_type: the type of most weights in matrices. False when the source's own
 * still holds, or when that type has no number. */
static bool file_type_of(const struct model *model, uint64_t *ret) {
    uint64_t elements[128] = {0}; /* by ggml type; types are small numbers */
    const struct encoding *most = NULL;
    int most_type = 0;
    bool changed = false;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        int type = gguf_file_type_of(&t->wanted);
        if (t->removed || t->rank < 2 || type < 0 || type >= 128)
            continue;
        changed = changed || !encoding_equal(&t->wanted, &t->stored);
        elements[type] += t->elements;
        if (!most || elements[type] > elements[most_type]) {
            most = &t->wanted;
            most_type = type;
        }
    }
    if (!changed || !most)
        return false;
    const struct codec *codec = most->codec->family == CODEC_PLAIN
                                    ? codec_by_name(dtype_row(most->dtype)->name)
                                    : most->codec;
    if (!codec || codec->gguf_file_type < 0)
        return false;
    *ret = (uint64_t)codec->gguf_file_type;
    return true;
}

/* The keys of this part that must follow the tensors. Returns how many. */
static int make_keys(const struct model *model, const struct gguf_split *split, size_t part,
                     struct made_key made[MADE_KEYS_MAX]) {
    int count = 0;
    uint64_t file_type, stated, tensors = 0;
    bool has_blocks = false, encodes_blocks = false;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        if (t->removed)
            continue;
        bool is_block = t->wanted.codec->family == CODEC_BLOCK;
        tensors++;
        has_blocks = has_blocks || is_block;
        encodes_blocks = encodes_blocks || (is_block && !encoding_equal(&t->wanted, &t->stored));
    }
    const struct gguf_file *file = &split->files[part];
    if (file_type_of(model, &file_type))
        made[count++] = (struct made_key){
            .name = "general.file_type", .type = GGUF_U32, .value = file_type, .add = part == 0};
    if (encodes_blocks || (has_blocks && !gguf_file_key(file, "general.quantization_version")))
        made[count++] = (struct made_key){.name = "general.quantization_version",
                                          .type = GGUF_U32,
                                          .value = QUANTIZATION_VERSION,
                                          .add = part == 0};
    if (gguf_file_uint(file, "split.tensors.count", &stated) && stated != tensors)
        made[count++] = (struct made_key){
            .name = "split.tensors.count", .type = GGUF_I32, .value = tensors, .add = false};
    return count;
}

/* A key with a number, as bytes in the arena. */
static int add_key(struct layout *layout, struct layout_file *file, const struct made_key *key,
                   struct err *err) {
    size_t name_len = strlen(key->name);
    size_t len = 8 + name_len + 4 + 4;
    uint8_t *raw = arena_alloc(layout->arena, len);
    if (!raw)
        return err_set(err, ERR_NO_MEMORY, "the layout needs more memory than is allowed");
    assert((key->type == GGUF_U32 || key->type == GGUF_I32) && key->value <= INT32_MAX);
    store_u64(raw, name_len);
    memcpy(raw + 8, key->name, name_len);
    store_u32(raw + 8 + name_len, (uint32_t)key->type);
    store_u32(raw + 8 + name_len + 4, (uint32_t)key->value);
    return layout_add(layout, file,
                      (struct segment){.kind = SEGMENT_LITERAL, .bytes = len, .literal = raw}, err);
}

static struct made_key *made_key_of(struct made_key *made, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(made[i].name, name) == 0)
            return &made[i];
    return NULL;
}

/* All keys of one part: runs of unchanged ones as byte ranges of the source. */
static int add_keys(const struct model *model, const struct gguf_file *source, size_t part,
                    struct made_key *made, int made_count, struct layout *layout,
                    struct layout_file *file, struct err *err) {
    size_t index = model->files[part].resolver_index;
    for (size_t i = 0; i < source->key_count;) {
        struct made_key *ours = made_key_of(made, made_count, source->keys[i].name);
        if (ours) {
            if (add_key(layout, file, ours, err) < 0)
                return -1;
            ours->done = true;
            i++;
            continue;
        }
        struct segment run = {
            .kind = SEGMENT_COPY, .resolver_index = index, .offset = source->keys[i].offset};
        while (i < source->key_count && !made_key_of(made, made_count, source->keys[i].name))
            run.bytes += source->keys[i++].bytes;
        if (layout_add(layout, file, run, err) < 0)
            return -1;
    }
    for (int i = 0; i < made_count; i++)
        if (made[i].add && !made[i].done && add_key(layout, file, &made[i], err) < 0)
            return -1;
    return 0;
}

static uint64_t padding_of(uint64_t offset, uint64_t alignment) {
    return (alignment - offset % alignment) % alignment;
}

static int add_zeros(struct layout *layout, struct layout_file *file, uint64_t bytes,
                     struct err *err) {
    return bytes ? layout_add(layout, file, (struct segment){.kind = SEGMENT_ZEROS, .bytes = bytes},
                              err)
                 : 0;
}

static uint64_t tensor_bytes(const struct tensor *tensor) {
    uint64_t rows, cols;
    tensor_matrix(tensor, &tensor->wanted, &rows, &cols);
    return encoding_size(&tensor->wanted, rows, cols).data_bytes;
}

/* The tensor infos of [first, end) as one literal. */
static int add_infos(const struct model *model, size_t first, size_t end, uint64_t alignment,
                     struct layout *layout, struct layout_file *file, struct err *err) {
    size_t len = 0;
    for (size_t i = first; i < end; i++)
        if (!model->tensors[i].removed)
            len += 8 + strlen(model->tensors[i].name) + 4 + 8 * model->tensors[i].rank + 4 + 8;
    if (len == 0)
        return 0;
    uint8_t *raw = arena_alloc(layout->arena, len), *at = raw;
    if (!raw)
        return err_set(err, ERR_NO_MEMORY, "the layout needs more memory than is allowed");
    uint64_t offset = 0;
    for (size_t i = first; i < end; i++) {
        const struct tensor *t = &model->tensors[i];
        if (t->removed)
            continue;
        size_t name_len = strlen(t->name);
        store_u64(at, name_len);
        memcpy(at + 8, t->name, name_len);
        at += 8 + name_len;
        store_u32(at, t->rank);
        at += 4;
        for (unsigned d = t->rank; d-- > 0; at += 8)
            store_u64(at, t->dims[d]);
        store_u32(at, (uint32_t)gguf_file_type_of(&t->wanted));
        store_u64(at + 4, offset);
        at += 12;
        offset += tensor_bytes(t);
        offset += padding_of(offset, alignment);
    }
    assert((size_t)(at - raw) == len);
    return layout_add(layout, file,
                      (struct segment){.kind = SEGMENT_LITERAL, .bytes = len, .literal = raw}, err);
}

static int add_data(const struct model *model, size_t first, size_t end, uint64_t alignment,
                    struct layout *layout, struct layout_file *file, struct err *err) {
    for (size_t i = first; i < end; i++) {
        const struct tensor *t = &model->tensors[i];
        if (t->removed)
            continue;
        struct segment data = {
            .kind = SEGMENT_PART, .bytes = tensor_bytes(t), .tensor = t, .part = PART_DATA};
        if (layout_add(layout, file, data, err) < 0 ||
            add_zeros(layout, file, padding_of(file->bytes, alignment), err) < 0)
            return -1;
    }
    return 0;
}

static int lay_out_file(const struct model *model, const struct gguf_split *split, size_t part,
                        struct layout *layout, struct err *err) {
    const struct gguf_file *source = &split->files[part];
    struct layout_file *file = layout_add_file(layout, model->files[part].path);
    uint8_t *start = arena_alloc(layout->arena, GGUF_HEADER_BYTES);
    if (!file || !start)
        return err_set(err, ERR_NO_MEMORY, "the layout needs more memory than is allowed");

    struct made_key made[MADE_KEYS_MAX];
    int made_count = make_keys(model, split, part, made);
    uint64_t key_count = source->key_count;
    for (int i = 0; i < made_count; i++)
        key_count += made[i].add && !gguf_file_key(source, made[i].name);

    size_t first = 0, end;
    for (size_t i = 0; i < part; i++)
        first += split->files[i].info_count;
    end = first + source->info_count;
    uint64_t tensors = 0;
    for (size_t i = first; i < end; i++)
        tensors += !model->tensors[i].removed;

    memcpy(start, GGUF_MAGIC, 4);
    store_u32(start + 4, GGUF_VERSION);
    store_u64(start + 8, tensors);
    store_u64(start + 16, key_count);
    struct segment head = {.kind = SEGMENT_LITERAL, .bytes = GGUF_HEADER_BYTES, .literal = start};
    if (layout_add(layout, file, head, err) < 0 ||
        add_keys(model, source, part, made, made_count, layout, file, err) < 0 ||
        add_infos(model, first, end, source->alignment, layout, file, err) < 0 ||
        add_zeros(layout, file, padding_of(file->bytes, source->alignment), err) < 0)
        return -1;
    return add_data(model, first, end, source->alignment, layout, file, err);
}

/* Tensors that a rule wanted in blocks and that stay floats because no block divides their rows. */
static void warn_of_floats(const struct model *model, struct violations *warnings) {
    const struct codec *blocks = NULL;
    for (size_t i = 0; i < model->tensor_count && !blocks; i++)
        if (model->tensors[i].decided_by && model->tensors[i].wanted.codec->family == CODEC_BLOCK)
            blocks = model->tensors[i].wanted.codec;
    if (!blocks)
        return;
    char names[256] = "";
    size_t count = 0, used = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        if (t->removed || !t->decided_by || t->rank < 2 || is_float_only(t) ||
            t->wanted.codec->family != CODEC_PLAIN || t->wanted.dtype != DTYPE_F16 ||
            t->dims[t->rank - 1] % blocks->block_len == 0)
            continue;
        int n = snprintf(names + used, sizeof names - used, "%s%s", count ? ", " : "", t->name);
        used = n > 0 && (size_t)n < sizeof names - used ? used + (size_t)n : used;
        names[used] = 0;
        count++;
    }
    if (count > 0)
        violations_add(warnings, ERR_MISFIT, "",
                       "%zu %s f16, as llama.cpp keeps them, because their rows do not divide into "
                       "%s blocks of %u: %s",
                       count, count == 1 ? "tensor stays" : "tensors stay", blocks->name,
                       blocks->block_len, names);
}
