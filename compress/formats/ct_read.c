/*
 * The encoding of a quantized weight, read off its pieces: the width from packed words against
 * columns, groups from the scale's columns, symmetry from the absence of zero points. Where a
 * width would be ambiguous (four columns or fewer) the configuration's only width decides.
 */
#include "compress/formats/ct_read.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/jspec.h"
#include "compress/base/strmap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES (LIMIT_TENSOR_NAME_BYTES + 32)

struct group_walk {
    struct ct_source *to;
    const char *format;
    const char *bad_format;
    unsigned groups;
};

struct note_walk {
    struct strmap *names;
    struct arena *arena;
    size_t schemes;
};

static int read_group(void *ctx, const char *key, struct json_t *group);
static int read_ignore(const struct json_t *list, struct arena *arena, struct ct_source *to,
                       struct err *err);
static bool is_ignored(const struct ct_source *from, const char *base);
static bool known_format(const char *format);
static int read_scheme(const struct json_t *value, struct encoding *ret);
static int read_note_tensor(void *ctx, const char *name, struct json_t *index);
static struct ct_raw *companion(struct ct_raw *raw, const struct strmap *names, const char *base,
                                const char *suffix);
static int read_shape(const struct model *model, const struct ct_raw *shape, uint64_t ret_dims[2],
                      struct err *err);
static int misshapen(const struct model *model, const struct ct_raw *piece, const char *base,
                     const char *what, struct err *err);
static int read_granularity(const struct model *model, const struct ct_raw *scale, const char *base,
                            const uint64_t dims[2], struct encoding *e, struct err *err);
static struct part part_of(const struct ct_raw *piece);

int ct_read_config(const struct json_t *config, struct arena *arena, struct ct_source *ret,
                   struct err *err) {
    struct ct_source out = {0};
    const char *method = json_text(json_get(config, "quant_method"));
    const char *format = json_text(json_get(config, "format"));
    if (!method)
        method = json_is(json_get(config, "bits"), JSPEC_INT) ? "gptq" : "unknown";
    bool ours = strcmp(method, "compressed-tensors") == 0;
    if (ours && format && strcmp(format, "dense") == 0) {
        *ret = out;
        return 0;
    }
    out.scheme = ours && format ? arena_printf(arena, "%.32s %.64s", method, format)
                                : arena_printf(arena, "%.64s", method);
    if (!out.scheme)
        return err_set(err, ERR_NO_MEMORY, "no memory for the quantization's name");
    struct group_walk walk = {.to = &out, .format = format};
    if (!ours)
        out.opaque = arena_printf(
            arena, "the model is already quantized by %s, which cannot be decoded here",
            out.scheme);
    else {
        json_each(json_get(config, "config_groups"), read_group, &walk);
        if (!walk.bad_format && format && !known_format(format) &&
            strcmp(format, "mixed-precision") != 0)
            walk.bad_format = format;
        if (walk.bad_format)
            out.opaque =
                arena_printf(arena, "compressed-tensors format \"%.64s\" cannot be decoded here",
                             walk.bad_format);
    }
    if ((!ours || walk.bad_format) && !out.opaque)
        return err_set(err, ERR_NO_MEMORY, "no memory for the quantization's name");
    if (ours && read_ignore(json_get(config, "ignore"), arena, &out, err) < 0)
        return -1;
    *ret = out;
    return 0;
}

int ct_read_note(const char *text, const char *file, struct arena *arena, struct ct_source *ret,
                 struct err *err) {
    enum { SCHEMES_MAX = 4096 };
    struct json_t *doc = NULL;
    struct ct_source out = {.names = ARENA_NEW(arena, struct strmap)};
    if (jspec_parse(text, strlen(text), &doc, err) < 0) {
        err_context(err, "%s: metadata \"" CT_NOTE "\"", file);
        return err_at_file(err, file, ERR_NO_OFFSET);
    }
    int64_t version = 0;
    const struct json_t *list = json_get(doc, "schemes");
    size_t schemes = json_is(list, JSPEC_ARRAY) ? json_array_len(list) : 0;
    const char *wrong = NULL;
    if (!json_int(json_get(doc, "version"), &version) || version != 1)
        wrong = "its version is not 1";
    else if (schemes == 0 || schemes > SCHEMES_MAX)
        wrong = "it lists no schemes";
    struct encoding *read = wrong ? NULL : ARENA_ARRAY(arena, struct encoding, schemes);
    for (size_t i = 0; read && i < schemes && !wrong; i++)
        if (read_scheme(json_array_at(list, i), &read[i]) < 0)
            wrong = "a scheme is malformed";
    struct note_walk walk = {out.names, arena, schemes};
    int rc = 0;
    if (!wrong && read && out.names) {
        strmap_init(out.names, arena);
        rc = json_each(json_get(doc, "tensors"), read_note_tensor, &walk);
        if (rc > 0)
            wrong = "a tensor names no scheme";
    }
    jspec_free(doc);
    if (wrong) {
        err_set(err, ERR_BAD_MODEL, "%s: metadata \"" CT_NOTE "\": %s", file, wrong);
        return err_at_file(err, file, ERR_NO_OFFSET);
    }
    char words[96];
    if (read)
        out.scheme = arena_strdup(arena, encoding_describe(&read[0], words, sizeof words));
    if (rc < 0 || !out.names || !out.scheme)
        return err_set(err, ERR_NO_MEMORY, "%s: its metadata needs too much memory", file);
    out.encodings = read;
    *ret = out;
    return 0;
}

int ct_fold(struct ct_source *from, const struct model *model, struct ct_raw *raw, size_t i,
            const struct strmap *names, struct tensor *ret, struct err *err) {
    const struct safetensors_entry *data = raw[i].entry;
    size_t len = strlen(data->name);
    bool words =
        data->dtype == DTYPE_I32 && len > 7 && strcmp(data->name + len - 7, "_packed") == 0;
    if (from->opaque || !from->scheme ||
        (!words && data->dtype != DTYPE_I8 && data->dtype != DTYPE_F8_E4M3))
        return 0;
    char base[NAME_MAX_BYTES];
    snprintf(base, sizeof base, "%.*s", (int)(words ? len - 7 : len), data->name);
    uint32_t stated = from->names ? strmap_get(from->names, base) : STRMAP_NONE;
    struct ct_raw *scale = companion(raw, names, base, "_scale");
    if ((from->names && stated == STRMAP_NONE) || (!scale && !words) || is_ignored(from, base))
        return 0;
    if (!scale)
        return misshapen(model, &raw[i], base, "it has no scale", err);
    struct ct_raw *zero_point = companion(raw, names, base, "_zero_point");
    struct ct_raw *shape = words ? companion(raw, names, base, "_shape") : NULL;
    if (companion(raw, names, base, "_g_idx")) {
        from->opaque =
            "weights with activation-ordered groups (weight_g_idx) cannot be decoded here";
        return 0;
    }
    if (data->dtype == DTYPE_I8 || data->dtype == DTYPE_F8_E4M3) {
        char input[NAME_MAX_BYTES];
        snprintf(input, sizeof input, "%s", base);
        char *dot = strrchr(input, '.');
        if (dot)
            *dot = 0;
        if (companion(raw, names, input, ".input_scale")) {
            from->opaque = "static activation scales (input_scale) cannot be carried over here";
            return 0;
        }
    }
    if (data->rank != 2)
        return misshapen(model, &raw[i], base, "it has not two dimensions", err);

    struct encoding e = {
        .packing = words ? PACKING_WORDS : PACKING_BYTES,
        .symmetric = !zero_point,
        .scale_dtype = scale->entry->dtype,
        .dynamic_activations = !words && from->activations,
    };
    uint64_t dims[2] = {data->dims[0], data->dims[1]};
    unsigned bits = 8;
    if (words) {
        if (!shape)
            return misshapen(model, &raw[i], base, "it has no weight_shape", err);
        if (read_shape(model, shape, dims, err) < 0)
            return err_at_tensor(err, base);
        bool four = (dims[1] + 7) / 8 == data->dims[1], eight = (dims[1] + 3) / 4 == data->dims[1];
        /* Rows of up to four codes take one word either way. */
        unsigned said = from->names ? from->encodings[stated].codec->bits : from->bits;
        bits = four && eight ? (said ? said : 4) : four ? 4 : 8;
        if (dims[0] != data->dims[0] || (!four && !eight))
            return misshapen(model, &raw[i], base, "its packed words do not fit its shape", err);
    }
    e.codec = codec_by_name(data->dtype == DTYPE_F8_E4M3 ? "fp8_e4m3"
                            : bits == 4                  ? "int4"
                                                         : "int8");
    if (!e.codec)
        return err_set(err, ERR_BUG, "the codec table has no row for a quantized weight");
    if (e.scale_dtype != DTYPE_F32 && e.scale_dtype != DTYPE_F16 && e.scale_dtype != DTYPE_BF16)
        return misshapen(model, scale, base, "its scales are not f32, f16 or bf16", err);
    if (scale->entry->rank == 2 && scale->entry->dims[0] != dims[0]) {
        from->opaque = "weights scaled by blocks of rows and columns cannot be decoded here";
        return 0;
    }
    if (read_granularity(model, scale, base, dims, &e, err) < 0)
        return -1;

    *ret = (struct tensor){.component = raw[i].component, .rank = 2, .stored = e};
    ret->dims[0] = dims[0];
    ret->dims[1] = dims[1];
    ret->name = arena_strdup(model->arena, base);
    if (!ret->name)
        return err_set(err, ERR_NO_MEMORY, "the tensors' names need too much memory");
    struct err misfit = ERR_INIT;
    if (encoding_check(&e, dims[0], dims[1], &misfit) < 0)
        return misshapen(model, &raw[i], base, misfit.text, err);
    struct ct_raw *const pieces[] = {&raw[i], scale, zero_point, shape};
    for (unsigned kind = 0; kind < sizeof pieces / sizeof *pieces; kind++) {
        struct safetensors_entry want;
        int has = ct_part(ret, &e, (enum part_kind)kind, model->arena, &want, err);
        if (has < 0)
            return -1;
        if (!pieces[kind] || !has)
            continue;
        const struct safetensors_entry *is = pieces[kind]->entry;
        if (is->dtype != want.dtype || is->rank != want.rank ||
            memcmp(is->dims, want.dims, sizeof is->dims) != 0)
            return misshapen(model, pieces[kind], base, "a part has the wrong dtype or shape", err);
        pieces[kind]->folded = true;
        ret->parts[kind] = part_of(pieces[kind]);
    }
    struct encoded_size size = encoding_size(&e, dims[0], dims[1]);
    if (size.data_bytes != ret->parts[PART_DATA].bytes ||
        size.scale_bytes != ret->parts[PART_SCALE].bytes ||
        size.zero_point_bytes != ret->parts[PART_ZERO_POINT].bytes)
        return misshapen(model, &raw[i], base, "its parts have the wrong sizes", err);
    if (from->names) {
        const struct encoding *said = &from->encodings[stated];
        e.dynamic_activations = said->dynamic_activations;
        ret->stored.dynamic_activations = e.dynamic_activations;
        if (said->codec != e.codec || said->packing != e.packing ||
            said->symmetric != e.symmetric ||
            (said->granularity == GRANULARITY_GROUP && said->group_len != e.group_len &&
             said->group_len != dims[1]))
            return misshapen(model, &raw[i], base, "it is not what the metadata says", err);
    }
    return 1;
}

static int read_group(void *ctx, const char *key, struct json_t *group) {
    struct group_walk *walk = ctx;
    struct json_t *weights = json_get(group, "weights");
    const char *format = json_text(json_get(group, "format"));
    int64_t bits = 0;
    if (format && !known_format(format))
        walk->bad_format = format;
    if (weights && json_int(json_get(weights, "num_bits"), &bits)) {
        unsigned width = bits == 4 || bits == 8 ? (unsigned)bits : 0;
        walk->to->bits = walk->groups == 0 || walk->to->bits == width ? width : 0;
        walk->groups++;
    }
    if (json_is(json_get(group, "input_activations"), JSPEC_OBJECT))
        walk->to->activations = true;
    return 0;
}

/* Exact names alone: patterns matter where modules are chosen, and pieces speak for themselves. */
static int read_ignore(const struct json_t *list, struct arena *arena, struct ct_source *to,
                       struct err *err) {
    size_t count = json_is(list, JSPEC_ARRAY) ? json_array_len(list) : 0;
    to->ignore = ARENA_NEW(arena, struct strmap);
    if (to->ignore)
        strmap_init(to->ignore, arena);
    for (size_t i = 0; to->ignore && i < count; i++) {
        const char *name = json_text(json_array_at(list, i));
        const char *copy = name ? arena_strdup(arena, name) : "";
        if (!copy || strmap_put(to->ignore, copy, 0) < 0)
            to->ignore = NULL;
    }
    return to->ignore ? 0 : err_set(err, ERR_NO_MEMORY, "no memory for the ignored modules");
}

static bool is_ignored(const struct ct_source *from, const char *base) {
    char module[NAME_MAX_BYTES];
    size_t len = strlen(base), tail = strlen(".weight");
    if (!from->ignore || len <= tail || strcmp(base + len - tail, ".weight") != 0)
        return false;
    memcpy(module, base, len - tail);
    module[len - tail] = 0;
    return strmap_get(from->ignore, module) != STRMAP_NONE;
}

static bool known_format(const char *format) {
    static const char *const known[] = {"pack-quantized", "int-quantized", "float-quantized",
                                        "naive-quantized", "dense"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(format, known[i]) == 0)
            return true;
    return false;
}

static int read_scheme(const struct json_t *value, struct encoding *ret) {
    const char *codec = json_text(json_get(value, "codec"));
    const char *granularity = json_text(json_get(value, "granularity"));
    const char *packing = json_text(json_get(value, "packing"));
    int64_t group = 0;
    if (!codec || !granularity || !packing || !json_int(json_get(value, "group_size"), &group) ||
        !json_bool(json_get(value, "symmetric"), &ret->symmetric) ||
        !json_bool(json_get(value, "dynamic_activations"), &ret->dynamic_activations))
        return -1;
    ret->codec = codec_by_name(codec);
    if (!ret->codec || group < 0 || group > UINT32_MAX ||
        (ret->codec->family != CODEC_AFFINE && ret->codec->family != CODEC_SCALED))
        return -1;
    ret->group_len = (uint32_t)group;
    ret->packing = strcmp(packing, "words") == 0 ? PACKING_WORDS : PACKING_BYTES;
    ret->granularity = strcmp(granularity, "tensor") == 0    ? GRANULARITY_TENSOR
                       : strcmp(granularity, "channel") == 0 ? GRANULARITY_CHANNEL
                       : strcmp(granularity, "group") == 0   ? GRANULARITY_GROUP
                                                             : GRANULARITY_NONE;
    bool right = ret->granularity == GRANULARITY_GROUP ? group > 0 : group == 0;
    return right && ret->granularity != GRANULARITY_NONE ? 0 : -1;
}

static int read_note_tensor(void *ctx, const char *name, struct json_t *index) {
    struct note_walk *walk = ctx;
    int64_t i;
    if (!json_int(index, &i) || i < 0 || (uint64_t)i >= walk->schemes)
        return 1;
    const char *copy = arena_strdup(walk->arena, name);
    return copy && strmap_put(walk->names, copy, (uint32_t)i) >= 0 ? 0 : -1;
}

static struct ct_raw *companion(struct ct_raw *raw, const struct strmap *names, const char *base,
                                const char *suffix) {
    char name[NAME_MAX_BYTES];
    size_t len = strlen(base), tail = strlen(suffix) + 1;
    if (len + tail > sizeof name)
        return NULL;
    memcpy(name, base, len);
    memcpy(name + len, suffix, tail);
    uint32_t i = strmap_get(names, name);
    return i == STRMAP_NONE || raw[i].folded ? NULL : &raw[i];
}

/* weight_shape holds the unpacked shape: two I64. */
static int read_shape(const struct model *model, const struct ct_raw *shape, uint64_t ret_dims[2],
                      struct err *err) {
    const struct safetensors_entry *e = shape->entry;
    struct source *source = model->files[shape->file].source;
    uint8_t bytes[16];
    if (e->dtype != DTYPE_I64 || e->rank != 1 || e->dims[0] != 2)
        return misshapen(model, shape, e->name, "it is not two I64", err);
    if (source_read(source, shape->offset, bytes, sizeof bytes, err) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        ret_dims[i] = load_u64(bytes + 8 * i);
        if (ret_dims[i] == 0 || ret_dims[i] > LIMIT_ELEMENTS)
            return misshapen(model, shape, e->name, "its values are no shape", err);
    }
    uint64_t product;
    if (!mul_u64(ret_dims[0], ret_dims[1], &product) || product > LIMIT_ELEMENTS)
        return misshapen(model, shape, e->name, "its values overflow", err);
    return 0;
}

static int misshapen(const struct model *model, const struct ct_raw *piece, const char *base,
                     const char *what, struct err *err) {
    const char *path = model->files[piece->file].path;
    err_set(err, ERR_BAD_MODEL, "%s: the quantized weight is malformed: %s, at offset %" PRIu64,
            path, what, piece->offset);
    err_at_file(err, path, piece->offset);
    return err_at_tensor(err, base);
}

static int read_granularity(const struct model *model, const struct ct_raw *scale, const char *base,
                            const uint64_t dims[2], struct encoding *e, struct err *err) {
    const struct safetensors_entry *s = scale->entry;
    if ((s->rank == 1 && s->dims[0] == 1) || s->rank == 0) {
        e->granularity = GRANULARITY_TENSOR;
        return s->rank == 1 ? 0 : misshapen(model, scale, base, "its scale is a scalar", err);
    }
    if (s->rank != 2)
        return misshapen(model, scale, base, "its scales have not two dimensions", err);
    if (s->dims[1] == 1) {
        e->granularity = GRANULARITY_CHANNEL;
        return 0;
    }
    if (s->dims[1] == 0 || dims[1] % s->dims[1] || dims[1] / s->dims[1] > UINT32_MAX)
        return misshapen(model, scale, base, "its scales do not divide the columns", err);
    e->granularity = GRANULARITY_GROUP;
    e->group_len = (uint32_t)(dims[1] / s->dims[1]);
    return 0;
}

static struct part part_of(const struct ct_raw *piece) {
    const struct safetensors_entry *e = piece->entry;
    return (struct part){e->name, e->dtype, piece->file, piece->offset, e->end - e->begin};
}
