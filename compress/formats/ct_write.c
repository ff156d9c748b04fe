/* Two walks over the tensors: collect the distinct schemes, then print. */
#include "compress/formats/ct_write.h"

#include "compress/base/arena.h"
#include "compress/base/jbuf.h"
#include "compress/base/strmap.h"
#include "compress/formats/ct_read.h"
#include "compress/graph/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT ".weight"
#define ALL_FILES UINT32_MAX

struct schemes {
    const struct encoding **items; /* distinct, in the order of their first tensor */
    size_t count, capacity;
};

static int collect(const struct model *model, uint32_t file, struct arena *arena,
                   struct schemes *ret, struct err *err);
static size_t scheme_of(const struct schemes *schemes, const struct encoding *e);
static void print_group(struct jbuf *b, const struct encoding *e);
static bool to_ignore(const struct tensor *tensor);
static void print_module(struct jbuf *b, const struct tensor *tensor);
static int take(struct jbuf *b, struct arena *arena, const char **ret, struct err *err);
static bool is_written(const struct tensor *tensor, uint32_t file);

int ct_write_config(const struct model *model, struct arena *arena, const char **ret,
                    struct err *err) {
    struct schemes schemes = {0};
    if (collect(model, ALL_FILES, arena, &schemes, err) < 0)
        return -1;
    *ret = NULL;
    if (schemes.count == 0)
        return 0;
    const char *format = ct_format(schemes.items[0]);
    for (size_t i = 1; i < schemes.count; i++)
        if (strcmp(format, ct_format(schemes.items[i])) != 0)
            format = "mixed-precision";

    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "quant_method", "compressed-tensors");
    jbuf_kv_string(&b, "format", format);
    jbuf_kv_string(&b, "quantization_status", "compressed");
    jbuf_key(&b, "config_groups");
    jbuf_object(&b);
    for (size_t i = 0; i < schemes.count; i++) {
        char name[32];
        snprintf(name, sizeof name, "group_%zu", i);
        jbuf_key(&b, name);
        jbuf_object(&b);
        jbuf_key(&b, "targets");
        jbuf_array(&b);
        if (schemes.count == 1)
            jbuf_string(&b, "Linear");
        for (size_t t = 0; schemes.count > 1 && t < model->tensor_count; t++)
            if (is_written(&model->tensors[t], ALL_FILES) &&
                scheme_of(&schemes, &model->tensors[t].wanted) == i)
                print_module(&b, &model->tensors[t]);
        jbuf_array_end(&b);
        print_group(&b, schemes.items[i]);
        jbuf_object_end(&b);
    }
    jbuf_object_end(&b);
    jbuf_key(&b, "ignore");
    jbuf_array(&b);
    const char *head = model->arch->head_module;
    for (size_t t = 0; t < model->tensor_count; t++) {
        const struct tensor *tensor = &model->tensors[t];
        size_t len = head ? strlen(head) : 0;
        if (head && strncmp(tensor->name, head, len) == 0 &&
            strcmp(tensor->name + len, WEIGHT) == 0 && !tensor->removed)
            head = NULL; /* it is in the file: named, or quantized */
        if (to_ignore(tensor))
            print_module(&b, tensor);
    }
    if (head)
        jbuf_string(&b, head);
    jbuf_array_end(&b);
    jbuf_kv_raw(&b, "kv_cache_scheme", NULL);
    jbuf_kv_raw(&b, "global_compression_ratio", NULL);
    jbuf_object_end(&b);
    return take(&b, arena, ret, err);
}

int ct_write_note(const struct model *model, uint32_t file, struct arena *arena, const char **ret,
                  struct err *err) {
    static const char *const granularities[] = {"none", "tensor", "channel", "group"};
    struct schemes schemes = {0};
    if (collect(model, file, arena, &schemes, err) < 0)
        return -1;
    *ret = NULL;
    if (schemes.count == 0)
        return 0;
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_int(&b, "version", 1);
    jbuf_key(&b, "schemes");
    jbuf_array(&b);
    for (size_t i = 0; i < schemes.count; i++) {
        const struct encoding *e = schemes.items[i];
        bool grouped = e->granularity == GRANULARITY_GROUP;
        jbuf_object(&b);
        jbuf_kv_string(&b, "codec", e->codec->name);
        jbuf_kv_string(&b, "granularity", granularities[e->granularity]);
        jbuf_kv_uint(&b, "group_size", grouped ? e->group_len : 0);
        jbuf_kv_bool(&b, "symmetric", e->symmetric);
        jbuf_kv_string(&b, "packing",
                       e->codec->family == CODEC_AFFINE && e->packing == PACKING_WORDS ? "words"
                                                                                       : "bytes");
        jbuf_kv_bool(&b, "dynamic_activations", e->dynamic_activations);
        jbuf_object_end(&b);
    }
    jbuf_array_end(&b);
    jbuf_key(&b, "tensors");
    jbuf_object(&b);
    for (size_t t = 0; t < model->tensor_count; t++)
        if (is_written(&model->tensors[t], file) && ct_format(&model->tensors[t].wanted))
            jbuf_kv_uint(&b, model->tensors[t].name,
                         scheme_of(&schemes, &model->tensors[t].wanted));
    jbuf_object_end(&b);
    jbuf_object_end(&b);
    return take(&b, arena, ret, err);
}

void ct_write_warnings(const struct model *model, struct violations *warnings) {
    static const struct {
        const char *first;
        const char *others[2];
    } fused[] = {{".q_proj" WEIGHT, {".k_proj" WEIGHT, ".v_proj" WEIGHT}},
                 {".gate_proj" WEIGHT, {".up_proj" WEIGHT, NULL}}};
    struct strmap names;
    strmap_init(&names, warnings->arena);
    bool any = false, zero_points = false;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct encoding *e = &model->tensors[i].wanted;
        any = any || ct_format(e);
        zero_points = zero_points || (e->codec->family == CODEC_AFFINE && !e->symmetric);
        if (strmap_put(&names, model->tensors[i].name, (uint32_t)i) < 0)
            return; /* a warning is not worth failing for */
    }
    if (zero_points) /* compressed-tensors 0.20 forgets to pack them when it prepares the model */
        violations_add(warnings, ERR_UNSUPPORTED, "",
                       "asymmetric weights: transformers loads them only with "
                       "CompressedTensorsConfig(dequantize=True)");
    for (size_t i = 0; any && i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        size_t len = strlen(t->name);
        for (size_t f = 0; f < sizeof fused / sizeof *fused; f++) {
            size_t tail = strlen(fused[f].first);
            if (len < tail || strcmp(t->name + len - tail, fused[f].first) != 0)
                continue;
            for (size_t o = 0; o < 2 && fused[f].others[o]; o++) {
                char name[LIMIT_TENSOR_NAME_BYTES + 32];
                snprintf(name, sizeof name, "%.*s%s", (int)(len - tail), t->name,
                         fused[f].others[o]);
                uint32_t j = strmap_get(&names, name);
                if (j == STRMAP_NONE)
                    continue;
                const struct encoding *a = &t->wanted, *b = &model->tensors[j].wanted;
                if (ct_format(a) || ct_format(b)) {
                    if (ct_same_scheme(a, b))
                        continue;
                    struct violation *v = violations_add(
                        warnings, ERR_MISFIT, t->decided_by ? t->decided_by : "",
                        "%s and %s are stored differently; vLLM fuses them into one and will "
                        "refuse the model",
                        t->name, name);
                    v->tensor = t->name;
                    v->group = fused[f].first[1] == 'q' ? "qkv_proj" : "gate_up_proj";
                }
            }
        }
    }
}

static int collect(const struct model *model, uint32_t file, struct arena *arena,
                   struct schemes *ret, struct err *err) {
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        if (!is_written(t, file) || !ct_format(&t->wanted) ||
            scheme_of(ret, &t->wanted) != SIZE_MAX)
            continue;
        const struct encoding **items = (const struct encoding **)arena_grow(
            arena, (void *)ret->items, &ret->capacity, ret->count + 1, sizeof *items);
        if (!items)
            return err_set(err, ERR_NO_MEMORY, "the list of schemes needs too much memory");
        ret->items = items;
        ret->items[ret->count++] = &t->wanted;
    }
    return 0;
}

static size_t scheme_of(const struct schemes *schemes, const struct encoding *e) {
    for (size_t i = 0; i < schemes->count; i++)
        if (ct_same_scheme(schemes->items[i], e))
            return i;
    return SIZE_MAX;
}

static void print_group(struct jbuf *b, const struct encoding *e) {
    static const char *const strategy[] = {NULL, "tensor", "channel", "group"};
    bool is_float = e->codec->family == CODEC_SCALED;
    jbuf_kv_string(b, "format", ct_format(e));
    jbuf_key(b, "weights");
    jbuf_object(b);
    jbuf_kv_uint(b, "num_bits", is_float ? 8 : e->codec->bits);
    jbuf_kv_string(b, "type", is_float ? "float" : "int");
    jbuf_kv_bool(b, "symmetric", is_float || e->symmetric);
    jbuf_kv_string(b, "strategy", strategy[e->granularity]);
    jbuf_key(b, "group_size");
    if (e->granularity == GRANULARITY_GROUP)
        jbuf_uint(b, e->group_len);
    else
        jbuf_null(b);
    jbuf_kv_bool(b, "dynamic", false);
    jbuf_object_end(b);
    jbuf_key(b, "input_activations");
    if (e->dynamic_activations) {
        jbuf_object(b);
        jbuf_kv_int(b, "num_bits", 8);
        jbuf_kv_string(b, "type", is_float ? "float" : "int");
        jbuf_kv_bool(b, "symmetric", true);
        jbuf_kv_string(b, "strategy", "token");
        jbuf_kv_bool(b, "dynamic", true);
        jbuf_object_end(b);
    } else
        jbuf_null(b);
    jbuf_kv_raw(b, "output_activations", NULL);
}

/* The weight of what is, or may be, a Linear and stays as it is. */
static bool to_ignore(const struct tensor *tensor) {
    size_t len = strlen(tensor->name), tail = strlen(WEIGHT);
    return !tensor->removed && tensor->rank == 2 && !ct_format(&tensor->wanted) &&
           !tensor->is_embedding && !(tensor->role & ROLE_NORM) && len > tail &&
           strcmp(tensor->name + len - tail, WEIGHT) == 0;
}

static void print_module(struct jbuf *b, const struct tensor *tensor) {
    size_t len = strlen(tensor->name), tail = strlen(WEIGHT);
    bool weight = len > tail && strcmp(tensor->name + len - tail, WEIGHT) == 0;
    jbuf_stringf(b, "%.*s", (int)(weight ? len - tail : len), tensor->name);
}

static int take(struct jbuf *b, struct arena *arena, const char **ret, struct err *err) {
    size_t len;
    char *text = jbuf_take(b, &len);
    const char *copy = text ? arena_strndup(arena, text, len) : NULL;
    free(text);
    if (!copy)
        return err_set(err, ERR_NO_MEMORY, "the output's configuration needs too much memory");
    *ret = copy;
    return 0;
}

static bool is_written(const struct tensor *tensor, uint32_t file) {
    return !tensor->removed && (file == ALL_FILES || tensor->parts[PART_DATA].file == file);
}
