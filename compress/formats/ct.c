/* compressed-tensors: which encodings load, and what their parts are called and shaped like. */
#include "compress/formats/ct.h"

#include "compress/base/arena.h"
#include "compress/graph/arch.h"

#include <inttypes.h>
#include <string.h>

static int refuse(struct violations *list, enum err_code code, const char *pointer,
                  const struct tensor *tensor, const char *nearest, const char *text);
static int adapt_affine(const struct tensor *tensor, bool bare, struct encoding *wanted,
                        const char *pointer, struct violations *list);
static int check_group(const struct tensor *tensor, const struct encoding *wanted,
                       const char *pointer, struct violations *list);
static uint64_t packed_words(uint64_t count, unsigned bits);

int ct_adapt(const struct model *model, const struct tensor *tensor, bool bare,
             struct encoding *wanted, const char *pointer, struct violations *list) {
    enum codec_family family = wanted->codec->family;
    if (model->opaque_quantization)
        return refuse(list, ERR_UNSUPPORTED, pointer, tensor, NULL, model->opaque_quantization);
    const struct encoding *stored = &tensor->stored;
    if (stored->codec->family == CODEC_PLAIN && !dtype_row(stored->dtype)->is_float)
        return refuse(list, ERR_MISFIT, pointer, tensor, NULL,
                      "integers are no weights: they are carried through as they are");
    if (family == CODEC_PLAIN) {
        if (dtype_row(wanted->dtype)->safetensors)
            return 0;
        return refuse(list, ERR_MISFIT, pointer, tensor, "f16",
                      "safetensors has no such element type");
    }
    if (family == CODEC_BLOCK)
        return refuse(list, ERR_MISFIT, pointer, tensor, "int4",
                      "GGUF block formats cannot be stored in safetensors");
    if (tensor->component[0])
        return refuse(
            list, ERR_MISFIT, pointer, tensor, "f16",
            "diffusers reads no compressed-tensors: f16, bf16 or f32 can be written here");
    if (model->arch->moe)
        return refuse(list, ERR_UNSUPPORTED, pointer, tensor, "f16",
                      "quantized mixture-of-experts models are not supported yet");
    if (tensor->rank != 2)
        return refuse(list, ERR_MISFIT, pointer, tensor, "f16",
                      "only weights of two dimensions can be quantized in safetensors");
    if (tensor->dims[0] == 0 || tensor->dims[1] == 0)
        return refuse(list, ERR_MISFIT, pointer, tensor, "f16", "the tensor is empty");
    if (!tensor->is_linear && !bare)
        return refuse(
            list, ERR_MISFIT, pointer, tensor, "f16",
            tensor->is_embedding
                ? "embeddings stay in 16 or 32 bits: runtimes quantize Linear modules alone"
                : "this is not the weight of a Linear module (a Conv1D, a convolution or "
                  "an unknown one): quantized, it would load as garbage; f16, bf16 or "
                  "f32 can be written");
    if (!bare && (tensor->role & ROLE_HEAD) && model->tied_embeddings)
        return refuse(list, ERR_MISFIT, pointer, tensor, "f16",
                      "the output projection is tied to the embeddings, which stay in 16 or 32 "
                      "bits");

    wanted->scale_dtype = model->float_dtype == DTYPE_F16 || model->float_dtype == DTYPE_BF16
                              ? model->float_dtype
                              : DTYPE_F32;
    if (family == CODEC_SCALED) {
        wanted->packing = PACKING_BYTES;
        wanted->dynamic_activations = true;
        wanted->symmetric = true;
        if (wanted->granularity == GRANULARITY_GROUP)
            return refuse(list, ERR_MISFIT, pointer, tensor, "channel",
                          "fp8 weights are scaled per tensor or per channel");
    } else if (adapt_affine(tensor, bare, wanted, pointer, list) < 0)
        return -1;

    struct err err = ERR_INIT;
    if (encoding_check(wanted, tensor->dims[0], tensor->dims[1], &err) < 0) {
        struct violation *v = violations_add(list, err.code, pointer, "%s", err.text);
        v->tensor = tensor->name;
        if (err.nearest[0])
            v->nearest = arena_strdup(list->arena, err.nearest);
        return -1;
    }
    return 0;
}

int ct_part(const struct tensor *tensor, const struct encoding *e, enum part_kind kind,
            struct arena *arena, struct safetensors_entry *ret, struct err *err) {
    static const char *const suffix[PART_KINDS] = {"", "_scale", "_zero_point", "_shape", NULL};
    bool affine = e->codec->family == CODEC_AFFINE;
    bool words = affine && e->packing == PACKING_WORDS;
    bool scaled = affine || e->codec->family == CODEC_SCALED;
    if (kind == PART_G_IDX || (kind == PART_SCALE && !scaled) ||
        (kind == PART_ZERO_POINT && (!affine || e->symmetric)) || (kind == PART_SHAPE && !words))
        return 0;

    struct safetensors_entry out = {.rank = 2};
    const char *end = kind == PART_DATA && words ? "_packed" : suffix[kind];
    out.name = arena_printf(arena, "%s%s", tensor->name, end);
    if (!out.name)
        return err_set(err, ERR_NO_MEMORY, "the names of the output need too much memory");
    unsigned bits = e->codec->bits;
    uint64_t rows = tensor->dims[0], cols = tensor->dims[1];
    uint64_t groups = e->granularity == GRANULARITY_GROUP ? cols / e->group_len : 1;
    if (kind == PART_DATA) {
        out.rank = tensor->rank;
        memcpy(out.dims, tensor->dims, sizeof out.dims);
        out.dtype = words ? DTYPE_I32 : affine ? DTYPE_I8 : scaled ? DTYPE_F8_E4M3 : e->dtype;
        if (words)
            out.dims[1] = packed_words(cols, bits);
    } else if (kind == PART_SHAPE) {
        out.dtype = DTYPE_I64;
        out.rank = 1;
        out.dims[0] = 2;
    } else {
        bool packed = words && e->granularity != GRANULARITY_TENSOR; /* one alone is a byte */
        out.dtype = kind == PART_SCALE ? e->scale_dtype : packed ? DTYPE_I32 : DTYPE_I8;
        out.dims[0] = rows;
        out.dims[1] = groups;
        if (e->granularity == GRANULARITY_TENSOR) {
            out.rank = 1;
            out.dims[0] = 1;
            out.dims[1] = 0;
        } else if (kind == PART_ZERO_POINT && words)
            out.dims[0] = packed_words(rows, bits);
    }
    *ret = out;
    return 1;
}

const char *ct_format(const struct encoding *e) {
    if (e->codec->family == CODEC_SCALED)
        return "float-quantized";
    if (e->codec->family != CODEC_AFFINE)
        return NULL;
    return e->packing == PACKING_WORDS ? "pack-quantized" : "int-quantized";
}

bool ct_same_scheme(const struct encoding *a, const struct encoding *b) {
    return a->codec == b->codec && a->granularity == b->granularity &&
           (a->granularity != GRANULARITY_GROUP || a->group_len == b->group_len) &&
           a->symmetric == b->symmetric && a->packing == b->packing &&
           a->dynamic_activations == b->dynamic_activations;
}

static int refuse(struct violations *list, enum err_code code, const char *pointer,
                  const struct tensor *tensor, const char *nearest, const char *text) {
    struct violation *v = violations_add(list, code, pointer, "%s", text);
    v->tensor = tensor->name;
    v->nearest = nearest;
    return -1;
}

static int adapt_affine(const struct tensor *tensor, bool bare, struct encoding *wanted,
                        const char *pointer, struct violations *list) {
    if (wanted->dynamic_activations) {
        wanted->packing = PACKING_BYTES;
        if (wanted->codec->bits != 8)
            return refuse(list, ERR_MISFIT, pointer, tensor, "int8",
                          "quantized activations go with int8 weights");
        if (!wanted->symmetric)
            return refuse(list, ERR_MISFIT, pointer, tensor, "symmetric",
                          "with quantized activations the weights must be symmetric");
        if (wanted->granularity == GRANULARITY_GROUP)
            return refuse(list, ERR_MISFIT, pointer, tensor, "channel",
                          "with quantized activations the weights are scaled per tensor or per "
                          "channel");
        return 0;
    }
    wanted->packing = PACKING_WORDS;
    if (wanted->granularity == GRANULARITY_TENSOR && !bare)
        return refuse(list, ERR_MISFIT, pointer, tensor, "channel",
                      "weight-only integers load with one scale per channel or per group");
    return wanted->granularity == GRANULARITY_GROUP ? check_group(tensor, wanted, pointer, list)
                                                    : 0;
}

/* Groups must divide the columns. The nearest that does: the largest divisor up to the one asked
 * for that runtimes' kernels like (a multiple of 16, else of 8), else the whole row. */
static int check_group(const struct tensor *tensor, const struct encoding *wanted,
                       const char *pointer, struct violations *list) {
    uint64_t cols = tensor->dims[1];
    uint32_t asked = wanted->group_len;
    if (asked && cols % asked == 0)
        return 0;
    struct violation *v = violations_add(
        list, ERR_MISFIT, pointer, "group size %" PRIu32 " does not divide the %" PRIu64 " columns",
        asked, cols);
    v->tensor = tensor->name;
    v->nearest = "channel";
    for (uint32_t step = 16; step >= 8; step /= 2)
        for (uint32_t g = asked / step * step; g >= step; g -= step)
            if (cols % g == 0) {
                const char *text = arena_printf(list->arena, "%" PRIu32, g);
                v->nearest = text ? text : "channel";
                return -1;
            }
    return -1;
}

static uint64_t packed_words(uint64_t count, unsigned bits) {
    uint64_t per_word = 32 / bits;
    return (count + per_word - 1) / per_word;
}
