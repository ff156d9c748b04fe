/*
 * Opening a GGUF model: find its files, read each header (gguf_file.c), put their tensors into one
 * list and say what the keys tell about the model. Writing is gguf_layout.c.
 */
#include "compress/formats/gguf.h"

#include "compress/base/utf8.h"
#include "compress/formats/gguf_split.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Facts that stand in one key each; %s is the architecture. */
static const struct {
    const char *fact;
    const char *key;
} fact_keys[] = {
    {"name", "general.name"},
    {"size_label", "general.size_label"},
    {"layers", "%s.block_count"},
    {"hidden_size", "%s.embedding_length"},
    {"intermediate_size", "%s.feed_forward_length"},
    {"heads", "%s.attention.head_count"},
    {"kv_heads", "%s.attention.head_count_kv"},
    {"context_length", "%s.context_length"},
    {"experts", "%s.expert_count"},
    {"tokenizer", "tokenizer.ggml.model"},
};

static int read_files(struct model *model, struct gguf_split *split, struct err *err);
static int add_tensors(struct model *model, const struct gguf_split *split, struct err *err);
static int add_facts(struct model *model, const struct gguf_split *split, struct err *err);
static int set_quantization(struct model *model, struct err *err);

bool gguf_sniff(struct resolver *files, struct err *err) {
    if (!files->lone) {
        for (size_t i = 0; i < files->count; i++)
            if (gguf_split_is_gguf(files->files[i].path))
                return true;
        return false;
    }
    /* A lone file goes by its first bytes; by its name too, so that a damaged one is told what is
     * wrong with it. The formats before GGUF are claimed for the sake of their refusal. */
    static const char *const magics[] = {GGUF_MAGIC, "lmgg", "fmgg", "tjgg", "algg"};
    char head[4];
    struct source *source;
    if (gguf_split_is_gguf(files->files[0].path))
        return true;
    if (files->files[0].bytes < sizeof head || files->ops->open(files, 0, &source, err) < 0)
        return false;
    int status = source_read(source, 0, head, sizeof head, err);
    source_close(source);
    for (size_t i = 0; status == 0 && i < sizeof magics / sizeof magics[0]; i++)
        if (memcmp(head, magics[i], sizeof head) == 0)
            return true;
    return false;
}

int gguf_open(struct resolver *files, struct model *model, struct err *err) {
    struct gguf_split *split = ARENA_NEW(model->arena, struct gguf_split);
    size_t *indices;
    if (!split)
        return err_set(err, ERR_NO_MEMORY, "the model needs more memory than is allowed");
    if (gguf_split_find(files, model->arena, &indices, &split->count, err) < 0)
        return -1;
    for (size_t i = 0; i < split->count; i++) {
        uint32_t file;
        if (model_add_file(model, indices[i], &file, err) < 0)
            return -1;
    }
    if (read_files(model, split, err) < 0 || add_tensors(model, split, err) < 0)
        return -1;
    model->private = split;
    const char *stated = gguf_file_text(&split->files[0], "general.architecture");
    char *architecture = arena_strdup(model->arena, stated ? stated : "");
    if (!architecture)
        return err_set(err, ERR_NO_MEMORY, "the model needs more memory than is allowed");
    utf8_make_printable(architecture);
    model->architecture = architecture;
    if (set_quantization(model, err) < 0 || add_facts(model, split, err) < 0)
        return -1;
    return model_finish(model, err);
}

static int read_files(struct model *model, struct gguf_split *split, struct err *err) {
    split->files = ARENA_ARRAY(model->arena, struct gguf_file, split->count);
    const char **paths = ARENA_ARRAY(model->arena, const char *, split->count);
    if (!split->files || !paths)
        return err_set(err, ERR_NO_MEMORY, "the model needs more memory than is allowed");
    for (size_t i = 0; i < split->count; i++) {
        paths[i] = model->files[i].path;
        if (gguf_file_read(model->files[i].source, model->arena, &split->files[i], err) < 0)
            return -1;
    }
    return gguf_split_check(split, paths, err);
}

static struct tensor tensor_of(const struct gguf_info *info, uint32_t file) {
    struct tensor tensor = {
        .name = info->name,
        .component = "",
        .rank = info->rank,
        .elements = info->elements,
        .stored = info->stored,
        .parts[PART_DATA] = {.name = info->name,
                             .dtype = info->stored.codec->family == CODEC_BLOCK
                                          ? DTYPE_GGUF_BLOCK
                                          : info->stored.dtype,
                             .file = file,
                             .offset = info->offset,
                             .bytes = info->bytes},
    };
    memcpy(tensor.dims, info->dims, info->rank * sizeof info->dims[0]);
    return tensor;
}

static int add_tensors(struct model *model, const struct gguf_split *split, struct err *err) {
    size_t count = 0;
    for (size_t i = 0; i < split->count; i++)
        count += split->files[i].info_count;
    if (count > LIMIT_TENSORS)
        return err_set(err, ERR_TOO_LARGE, "the model holds %zu tensors; at most %d are allowed",
                       count, LIMIT_TENSORS);
    struct strmap names;
    strmap_init(&names, model->arena);
    model->tensors = ARENA_ARRAY(model->arena, struct tensor, count);
    if (!model->tensors)
        return err_set(err, ERR_NO_MEMORY, "the model needs more memory than is allowed");
    for (size_t i = 0; i < split->count; i++) {
        for (size_t t = 0; t < split->files[i].info_count; t++) {
            const struct gguf_info *info = &split->files[i].infos[t];
            int fresh = strmap_put(&names, info->name, (uint32_t)model->tensor_count);
            if (fresh < 0)
                return err_set(err, ERR_NO_MEMORY, "the model needs more memory than is allowed");
            if (fresh == 0) {
                err_set(err, ERR_BAD_MODEL, "two parts of the model hold a tensor of this name");
                err_at_file(err, model->files[i].path, info->offset);
                return err_at_tensor(err, info->name);
            }
            model->tensors[model->tensor_count++] = tensor_of(info, (uint32_t)i);
        }
    }
    return 0;
}

/* The scheme of most quantized weights, if there are any; and whether all can be decoded. */
static int set_quantization(struct model *model, struct err *err) {
    uint64_t elements[128] = {0}; /* by ggml type; types are small numbers */
    const struct codec *most = NULL;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        const struct codec *codec = t->stored.codec;
        if (codec->family != CODEC_BLOCK || (unsigned)codec->gguf_type >= 128)
            continue;
        elements[codec->gguf_type] += t->elements;
        if (!most || elements[codec->gguf_type] > elements[most->gguf_type])
            most = codec;
        if (codec_can_decode(codec) || model->opaque_quantization)
            continue;
        model->opaque_quantization = arena_printf(
            model->arena, "%s is stored as %s, which cannot be decoded here", t->name, codec->name);
        if (!model->opaque_quantization)
            return err_set(err, ERR_NO_MEMORY, "the model needs more memory than is allowed");
    }
    model->quantization = most ? most->name : NULL;
    return 0;
}

static int add_number(struct model *model, const char *fact, uint64_t value, struct err *err) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return model_add_fact(model, fact, text, err);
}

/* Vocabulary: as the keys say, else as long as the token list, else the embedding's rows. */
static int add_vocab(struct model *model, const struct gguf_file *file, struct err *err) {
    char key[128];
    uint64_t value;
    snprintf(key, sizeof key, "%.64s.vocab_size", model->architecture);
    if (gguf_file_uint(file, key, &value))
        return add_number(model, "vocab_size", value, err);
    const struct gguf_key *tokens = gguf_file_key(file, "tokenizer.ggml.tokens");
    if (tokens && tokens->type == GGUF_ARRAY)
        return add_number(model, "vocab_size", tokens->count, err);
    for (size_t i = 0; i < model->tensor_count; i++)
        if (strcmp(model->tensors[i].name, "token_embd.weight") == 0)
            return add_number(model, "vocab_size", model->tensors[i].dims[0], err);
    return 0;
}

static int add_facts(struct model *model, const struct gguf_split *split, struct err *err) {
    const struct gguf_file *file = &split->files[0];
    for (size_t i = 0; i < sizeof fact_keys / sizeof fact_keys[0]; i++) {
        char key[128];
        uint64_t value;
        const char *pattern = fact_keys[i].key;
        if (strncmp(pattern, "%s", 2) == 0)
            snprintf(key, sizeof key, "%.64s%s", model->architecture, pattern + 2);
        else
            snprintf(key, sizeof key, "%s", pattern);
        const char *text = gguf_file_text(file, key);
        int status = 0;
        if (text)
            status = model_add_fact(model, fact_keys[i].fact, text, err);
        else if (gguf_file_uint(file, key, &value))
            status = add_number(model, fact_keys[i].fact, value, err);
        if (status < 0)
            return -1;
    }
    if (add_vocab(model, file, err) < 0 ||
        add_number(model, "gguf_version", file->version, err) < 0)
        return -1;
    return split->count > 1 ? add_number(model, "parts", split->count, err) : 0;
}
