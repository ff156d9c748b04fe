/*
 * In order: list the components, choose the files of each, read their headers into one array of
 * raw tensors, read config.json, fold quantized pieces, finish the model.
 */
#include "compress/formats/st_open.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/strmap.h"
#include "compress/formats/ct_read.h"
#include "compress/formats/hf_config.h"
#include "compress/formats/json_scan.h"
#include "compress/formats/st_index.h"
#include "compress/graph/arch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".safetensors"
#define PIPELINE "model_index.json"

struct opening {
    struct model *model;
    struct st_notes *notes; /* by model file */
    struct ct_raw *raw;
    size_t raw_count, raw_capacity;
    size_t tensor_capacity;
};

static bool looks_like_header(struct resolver *files, size_t index, struct err *err);
static int open_component(struct opening *o, const char *folder, const char *component,
                          struct err *err);
static int read_file(struct opening *o, size_t resolver_index, const char *component,
                     struct st_index *index, struct err *err);
static int drop_variants(const struct model *model, const char *folder, bool *chosen,
                         struct err *err);
static int fold(struct opening *o, size_t raw0, struct ct_source *from, struct err *err);
static int map_names(const struct opening *o, size_t raw0, struct strmap *ret, struct err *err);
static void place(struct opening *o, size_t raw0, const struct tensor *folded, size_t count);
static int read_notes(struct opening *o, struct ct_source *sources, struct err *err);
static bool in_folder(const char *path, const char *folder);
static const char *guess_quantization(const struct opening *o, size_t raw0);

bool st_sniff(struct resolver *files, struct err *err) {
    if (files->lone)
        return files->count == 1 &&
               (st_has_suffix(files->files[0].path, SUFFIX) || looks_like_header(files, 0, err));
    bool pipeline = resolver_find(files, PIPELINE) != SIZE_MAX;
    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->files[i].path;
        const char *slash = strchr(path, '/');
        if (st_has_suffix(path, SUFFIX) && (!slash || (pipeline && !strchr(slash + 1, '/'))))
            return true;
        if (!slash && st_has_suffix(path, SUFFIX ".index.json"))
            return true; /* its shards are missing: better said than "unknown format" */
    }
    return false;
}

int st_open(struct resolver *files, struct model *model, struct err *err) {
    struct opening o = {.model = model};
    o.notes = ARENA_ARRAY(model->arena, struct st_notes, files->count ? files->count : 1);
    if (!o.notes)
        return err_set(err, ERR_NO_MEMORY, "the list of files needs too much memory");
    model->private = o.notes;
    if (files->lone || resolver_find(files, PIPELINE) == SIZE_MAX) {
        if (open_component(&o, "", "", err) < 0)
            return -1;
    } else {
        model->architecture = "diffusers";
        model->arch = arch_for("diffusers");
        /* Files are sorted, so a folder's files stand together. */
        const char *last = NULL;
        for (size_t i = 0; i < files->count; i++) {
            const char *path = files->files[i].path;
            size_t len = st_folder_len(path);
            if (!st_has_suffix(path, SUFFIX) || len == 0 ||
                memchr(path, '/', len - 1) != NULL) /* deeper, or at the top */
                continue;
            if (last && strncmp(last, path, len) == 0 && last[len] == 0)
                continue;
            const char *folder = arena_strndup(model->arena, path, len);
            const char *component = arena_strndup(model->arena, path, len - 1);
            if (!folder || !component)
                return err_set(err, ERR_NO_MEMORY, "the list of parts needs too much memory");
            last = folder;
            if (open_component(&o, folder, component, err) < 0)
                return -1;
        }
    }
    if (model->tensor_count == 0) {
        err_set(err, ERR_BAD_MODEL, "the model holds no tensors");
        return err_at_file(err, model->file_count ? model->files[0].path : "", ERR_NO_OFFSET);
    }
    if (model_finish(model, err) < 0)
        return -1;
    if (st_is_bare(model))
        st_call_matrices_linear(model);
    return 0;
}

bool st_is_bare(const struct model *model) {
    return resolver_find(model->resolver, "config.json") == SIZE_MAX &&
           resolver_find(model->resolver, PIPELINE) == SIZE_MAX;
}

size_t st_folder_len(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

bool st_has_suffix(const char *path, const char *suffix) {
    size_t len = strlen(path), tail = strlen(suffix);
    return len > tail && strcmp(path + len - tail, suffix) == 0;
}

/* A plausible header length, and JSON behind it. A length that lies is left to open() to name. */
static bool looks_like_header(struct resolver *files, size_t index, struct err *err) {
    uint8_t head[9];
    struct source *source;
    if (files->files[index].bytes < sizeof head || files->ops->open(files, index, &source, err) < 0)
        return false;
    int rc = source_read(source, 0, head, sizeof head, err);
    source_close(source);
    return rc == 0 && head[8] == '{' && load_u64(head) < (UINT64_C(1) << 40);
}

static int open_component(struct opening *o, const char *folder, const char *component,
                          struct err *err) {
    struct model *model = o->model;
    struct resolver *files = model->resolver;
    struct st_index index;
    if (st_index_read(files, folder, SUFFIX, model->arena, &index, err) < 0)
        return -1;
    bool *chosen = ARENA_ARRAY(model->arena, bool, files->count);
    if (!chosen)
        return err_set(err, ERR_NO_MEMORY, "the list of files needs too much memory");
    st_index_mark(&index, chosen);
    for (size_t i = 0; i < files->count && !index.present; i++)
        chosen[i] = files->lone || (in_folder(files->files[i].path, folder) &&
                                    st_has_suffix(files->files[i].path, SUFFIX));
    if (!index.present && !files->lone && drop_variants(model, folder, chosen, err) < 0)
        return -1;
    size_t raw0 = o->raw_count;
    for (size_t i = 0; i < files->count; i++)
        if (chosen[i] && read_file(o, i, component, &index, err) < 0)
            return -1;
    if (st_index_check_complete(&index, err) < 0)
        return -1;

    struct hf_config config;
    bool whole = component[0] == 0;
    if (hf_config_read(model, folder, whole, &config, err) < 0)
        return -1;
    if (whole) {
        model->architecture = config.architecture;
        model->arch = arch_for(config.model_type);
        model->tied_embeddings = config.tied;
    }
    struct ct_source from = config.quantization;
    if (!from.scheme && resolver_find(files, "quantize_config.json") != SIZE_MAX && whole)
        from.scheme = "gptq";
    if (!from.scheme)
        from.scheme = guess_quantization(o, raw0);
    if (from.scheme && !config.quantization.scheme) {
        from.opaque = arena_printf(model->arena,
                                   "the model is already quantized (%s), which cannot be decoded "
                                   "here",
                                   from.scheme);
        if (!from.opaque)
            return err_set(err, ERR_NO_MEMORY, "no memory for the quantization's name");
    }
    if (fold(o, raw0, &from, err) < 0)
        return -1;
    if (from.scheme && !model->quantization)
        model->quantization = from.scheme;
    if (from.opaque)
        model->opaque_quantization = from.opaque;
    return 0;
}

static int read_file(struct opening *o, size_t resolver_index, const char *component,
                     struct st_index *index, struct err *err) {
    struct model *model = o->model;
    uint32_t file;
    if (model_add_file(model, resolver_index, &file, err) < 0)
        return -1;
    struct safetensors_header header;
    if (safetensors_read_header(model->files[file].source, model->arena, &header, err) < 0)
        return -1;
    o->notes[file] = (struct st_notes){header.notes, header.note_count};
    if (header.count > LIMIT_TENSORS - o->raw_count) {
        err_set(err, ERR_TOO_LARGE, "the model has more than %d tensors", LIMIT_TENSORS);
        return err_at_file(err, model->files[file].path, ERR_NO_OFFSET);
    }
    struct ct_raw *raw = (struct ct_raw *)arena_grow(model->arena, o->raw, &o->raw_capacity,
                                                     o->raw_count + header.count, sizeof *raw);
    if (!raw && header.count)
        return err_set(err, ERR_NO_MEMORY, "the model's tensors need too much memory");
    o->raw = raw;
    for (size_t i = 0; i < header.count; i++) {
        const struct safetensors_entry *e = &header.entries[i];
        if (st_index_take(index, e->name, resolver_index, err) < 0)
            return -1;
        o->raw[o->raw_count++] = (struct ct_raw){
            .entry = e,
            .file = file,
            .offset = header.data_offset + e->begin,
            .component = component,
        };
    }
    return 0;
}

/*
 * Beside a main file there may be others in the same folder: variants of it in another precision,
 * the same weights under another project's names, adapters. Where a configuration says that a
 * runtime will come, it reads the main file alone, and so do we. In a bare folder a file is left
 * aside when its first tensor is in the main file too.
 */
static int drop_variants(const struct model *model, const char *folder, bool *chosen,
                         struct err *err) {
    static const char *const mains[] = {"model" SUFFIX, "diffusion_pytorch_model" SUFFIX};
    struct resolver *files = model->resolver;
    size_t main_file = SIZE_MAX;
    for (size_t m = 0; m < 2 && main_file == SIZE_MAX; m++) {
        char path[LIMIT_PATH_BYTES + 64];
        snprintf(path, sizeof path, "%s%s", folder, mains[m]);
        main_file = resolver_find(files, path);
    }
    size_t others = 0;
    for (size_t i = 0; i < files->count; i++)
        others += chosen[i] && i != main_file;
    if (main_file == SIZE_MAX || others == 0)
        return 0;
    char config[LIMIT_PATH_BYTES + 16];
    snprintf(config, sizeof config, "%sconfig.json", folder);
    if (resolver_find(files, config) != SIZE_MAX) {
        for (size_t i = 0; i < files->count; i++)
            chosen[i] = i == main_file;
        return 0;
    }
    struct strmap names;
    struct safetensors_header header;
    strmap_init(&names, model->arena);
    for (size_t n = 0; n <= files->count; n++) { /* the main file first, then the others */
        size_t i = n == 0 ? main_file : n - 1;
        if (!chosen[i] || (n > 0 && i == main_file))
            continue;
        struct source *source;
        if (files->ops->open(files, i, &source, err) < 0)
            return -1;
        int rc = safetensors_read_header(source, model->arena, &header, err);
        source_close(source);
        if (rc < 0)
            return -1;
        for (size_t t = 0; n == 0 && t < header.count; t++)
            if (strmap_put(&names, header.entries[t].name, (uint32_t)t) < 0)
                return err_set(err, ERR_NO_MEMORY, "the model's tensors need too much memory");
        if (n > 0 && header.count && strmap_get(&names, header.entries[0].name) != STRMAP_NONE)
            chosen[i] = false;
    }
    return 0;
}

/* Turns the raw tensors from raw0 on into tensors, quantized weights folded. */
static int fold(struct opening *o, size_t raw0, struct ct_source *from, struct err *err) {
    struct model *model = o->model;
    size_t room = o->raw_count - raw0;
    struct strmap names;
    if (map_names(o, raw0, &names, err) < 0)
        return -1;
    /* Bare files say for themselves what they hold. */
    struct ct_source *sources = ARENA_ARRAY(model->arena, struct ct_source, model->file_count + 1);
    struct tensor *folded = ARENA_ARRAY(model->arena, struct tensor, 1);
    size_t count = 0, capacity = 1;
    if (!sources || !folded)
        return err_set(err, ERR_NO_MEMORY, "the model's tensors need too much memory");
    if (!from->scheme && read_notes(o, sources, err) < 0)
        return -1;
    for (size_t i = raw0; i < o->raw_count; i++) {
        struct ct_raw *r = &o->raw[i];
        struct ct_source *source = from->scheme ? from : &sources[r->file];
        struct tensor *grown =
            (struct tensor *)arena_grow(model->arena, folded, &capacity, count + 1, sizeof *folded);
        if (!grown)
            return err_set(err, ERR_NO_MEMORY, "the model's tensors need too much memory");
        folded = grown;
        int rc = r->folded ? 0 : ct_fold(source, model, o->raw, i, &names, &folded[count], err);
        if (rc < 0)
            return -1;
        count += (size_t)rc;
        if (source->opaque && !from->opaque)
            from->opaque = source->opaque;
        if (rc && !model->quantization)
            model->quantization = source->scheme;
    }
    struct tensor *tensors =
        (struct tensor *)arena_grow(model->arena, model->tensors, &o->tensor_capacity,
                                    model->tensor_count + room, sizeof *tensors);
    if (!tensors && room)
        return err_set(err, ERR_NO_MEMORY, "the model's tensors need too much memory");
    model->tensors = tensors;
    place(o, raw0, folded, count);
    return 0;
}

static int map_names(const struct opening *o, size_t raw0, struct strmap *ret, struct err *err) {
    const struct model *model = o->model;
    strmap_init(ret, model->arena);
    for (size_t i = raw0; i < o->raw_count; i++) {
        const char *name = o->raw[i].entry->name;
        int put = strmap_put(ret, name, (uint32_t)i);
        if (put < 0)
            return err_set(err, ERR_NO_MEMORY, "the model's tensors need too much memory");
        if (put > 0)
            continue;
        const struct ct_raw *first = &o->raw[strmap_get(ret, name)];
        const char *path = model->files[o->raw[i].file].path;
        err_set(err, ERR_BAD_MODEL, "the tensor stands in %s and in %s",
                model->files[first->file].path, path);
        err_at_file(err, path, o->raw[i].offset);
        return err_at_tensor(err, name);
    }
    return 0;
}

/* In file order; a folded tensor where its codes stand. */
static void place(struct opening *o, size_t raw0, const struct tensor *folded, size_t count) {
    struct model *model = o->model;
    size_t next = 0;
    for (size_t i = raw0; i < o->raw_count; i++) {
        const struct ct_raw *r = &o->raw[i];
        const struct safetensors_entry *e = r->entry;
        bool codes = next < count && folded[next].parts[PART_DATA].name == e->name;
        if (r->folded && !codes)
            continue;
        struct tensor *t = &model->tensors[model->tensor_count++];
        if (codes) {
            *t = folded[next++];
            continue;
        }
        *t = (struct tensor){.name = e->name, .component = r->component, .rank = e->rank};
        memcpy(t->dims, e->dims, sizeof t->dims);
        t->stored = encoding_plain(e->dtype);
        t->parts[PART_DATA] =
            (struct part){e->name, e->dtype, r->file, r->offset, e->end - e->begin};
    }
}

static int read_notes(struct opening *o, struct ct_source *sources, struct err *err) {
    const struct model *model = o->model;
    for (size_t f = 0; f < model->file_count; f++)
        for (size_t n = 0; n < o->notes[f].count; n++)
            if (strcmp(o->notes[f].items[n].key, CT_NOTE) == 0 &&
                ct_read_note(o->notes[f].items[n].value, model->files[f].path, model->arena,
                             &sources[f], err) < 0)
                return -1;
    return 0;
}

/* Directly in the folder. */
static bool in_folder(const char *path, const char *folder) {
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && !strchr(path + len, '/');
}

static bool has_note(const struct opening *o, uint32_t file) {
    for (size_t n = 0; n < o->notes[file].count; n++)
        if (strcmp(o->notes[file].items[n].key, CT_NOTE) == 0)
            return true;
    return false;
}

/* Quantizers that leave traces in the names alone. A file with our note says itself what it holds,
 * and there a name is only a name. */
static const char *guess_quantization(const struct opening *o, size_t raw0) {
    for (size_t i = raw0; i < o->raw_count; i++) {
        const char *name = o->raw[i].entry->name;
        if (has_note(o, o->raw[i].file))
            continue;
        if (st_has_suffix(name, ".qweight"))
            return "gptq or awq";
        if (strstr(name, ".quant_state.bitsandbytes__"))
            return "bitsandbytes";
    }
    return NULL;
}

/* Without a configuration no runtime builds modules: a matrix that is neither an embedding nor a
 * norm may be quantized. */
void st_call_matrices_linear(struct model *model) {
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *t = &model->tensors[i];
        bool number =
            t->stored.codec->family != CODEC_PLAIN || dtype_row(t->stored.dtype)->is_float;
        if (t->rank == 2 && t->elements && number && !t->is_embedding &&
            !(t->role & (ROLE_EMBED | ROLE_NORM)))
            t->is_linear = true;
    }
}
