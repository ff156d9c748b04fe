/* See the header for the order of bytes. One walk over the source's files decides what each
 * becomes. */
#include "compress/formats/st_output.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/jbuf.h"
#include "compress/base/strmap.h"
#include "compress/formats/config_edit.h"
#include "compress/formats/ct.h"
#include "compress/formats/ct_read.h"
#include "compress/formats/ct_write.h"
#include "compress/formats/model_card.h"
#include "compress/formats/safetensors.h"
#include "compress/formats/st_index.h"
#include "compress/formats/st_open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One stored tensor of the output. */
struct piece {
    struct safetensors_entry entry;
    const struct tensor *tensor;
    enum part_kind part;
    unsigned align;
};

struct placing {
    const struct model *model;
    const struct output_facts *facts;
    struct layout *layout;
    struct arena *arena;
    struct violations *warnings;
    bool bare;
    const char *weights_suffix; /* of the source: ".safetensors" or ".bin" */
    struct strmap names;        /* "component/name" of everything written */
    struct map_line {           /* for the indexes */
        const char *component;
        const char *name;
        const char *file; /* base name */
        uint64_t bytes;
    } * lines;
    size_t line_count, line_capacity;
    char left_out[320]; /* names, for the warning */
};

static int place_tensors(struct placing *p, uint32_t file, struct err *err);
static int collect_pieces(struct placing *p, uint32_t file, struct piece **ret, size_t *ret_count,
                          struct err *err);
static size_t order_unit(struct piece *unit, size_t count);
static int note_piece(struct placing *p, const struct piece *piece, const char *path,
                      struct err *err);
static int make_notes(struct placing *p, uint32_t file, struct safetensors_header *header,
                      struct err *err);
static int place_other(struct placing *p, size_t index, struct err *err);
static int place_index(struct placing *p, const char *path, const char *component, struct err *err);
static int place_config(struct placing *p, size_t index, const char *component, struct err *err);
static int place_card(struct placing *p, size_t index, struct err *err);
static int place_copy(struct placing *p, size_t index, struct err *err);
static int place_literal(struct placing *p, const char *path, const void *bytes, size_t len,
                         struct err *err);
static enum dtype float_type(const struct model *model, const char *component, bool wanted);
static bool is_left_out(const struct placing *p, const char *path, bool indexed);
static bool repeats_weights(const struct placing *p, const char *path, bool indexed);
static const char *component_of(const struct placing *p, const char *path);
static int slurp(struct placing *p, size_t index, char **ret, size_t *ret_len, struct err *err);
static int by_align(const void *a, const void *b);
static int by_name(const void *a, const void *b);

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the description of the output needs too much memory");
}

int st_adapt(const struct model *model, const struct tensor *tensor, struct encoding *wanted,
             const char *pointer, struct violations *list) {
    return ct_adapt(model, tensor, st_is_bare(model), wanted, pointer, list);
}

int st_lay_out(const struct model *model, const struct output_facts *facts, struct layout *layout,
               struct violations *warnings, struct err *err) {
    struct placing p = {
        .model = model,
        .facts = facts,
        .layout = layout,
        .arena = layout->arena,
        .warnings = warnings,
        .bare = st_is_bare(model),
        .weights_suffix = strcmp(model->format->name, "pytorch") == 0 ? ".bin" : ".safetensors",
    };
    strmap_init(&p.names, p.arena);
    layout->lone = model->resolver->lone;
    for (uint32_t f = 0; f < model->file_count; f++)
        if (place_tensors(&p, f, err) < 0)
            return -1;
    uint32_t next = 0; /* model files stand in the resolver's order */
    for (size_t i = 0; i < model->resolver->count; i++) {
        if (next < model->file_count && model->files[next].resolver_index == i)
            next++;
        else if (place_other(&p, i, err) < 0)
            return -1;
    }
    if (!layout->lone && resolver_find(model->resolver, "README.md") == SIZE_MAX &&
        place_card(&p, SIZE_MAX, err) < 0)
        return -1;
    layout_sort(layout);
    for (size_t i = 1; i < layout->count; i++)
        if (strcmp(layout->files[i - 1].path, layout->files[i].path) == 0)
            return err_set(err, ERR_MISFIT, "two files of the model would both come out as %s",
                           layout->files[i].path);
    if (p.left_out[0])
        violations_add(warnings, ERR_UNSUPPORTED, "",
                       "weights in other containers are left out of the output: %s", p.left_out);
    if (!p.bare)
        ct_write_warnings(model, warnings);
    return 0;
}

const char *st_output_path(const char *path, struct arena *arena) {
    static const char old_stem[] = "pytorch_model", index[] = ".bin.index.json";
    static const char *const old_ends[] = {".bin", ".pth", ".pt", ".ckpt"};
    size_t folder = st_folder_len(path);
    const char *base = path + folder;
    bool renamed = strncmp(base, old_stem, strlen(old_stem)) == 0;
    const char *stem = renamed ? "model" : "";
    const char *rest = renamed ? base + strlen(old_stem) : base;
    if (st_has_suffix(base, index))
        return arena_printf(arena, "%.*s%s%.*s.safetensors.index.json", (int)folder, path, stem,
                            (int)(strlen(rest) - strlen(index)), rest);
    for (size_t i = 0; i < sizeof old_ends / sizeof *old_ends; i++)
        if (st_has_suffix(base, old_ends[i]))
            return arena_printf(arena, "%.*s%s%.*s.safetensors", (int)folder, path, stem,
                                (int)(strlen(rest) - strlen(old_ends[i])), rest);
    return arena_strdup(arena, path);
}

static int place_tensors(struct placing *p, uint32_t file, struct err *err) {
    struct piece *pieces = NULL;
    size_t count = 0;
    if (collect_pieces(p, file, &pieces, &count, err) < 0)
        return -1;
    const char *path = st_output_path(p->model->files[file].path, p->arena);
    struct safetensors_header header = {.count = count};
    header.entries = ARENA_ARRAY(p->arena, struct safetensors_entry, count + 1);
    if (!path || !header.entries)
        return no_memory(err);
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct safetensors_entry *e = &pieces[i].entry;
        uint64_t bytes = e->end; /* collect_pieces() left the length there */
        e->begin = at;
        if (!add_u64(at, bytes, &at))
            return err_set(err, ERR_TOO_LARGE, "%s would be larger than 2^64 bytes", path);
        e->end = at;
        header.entries[i] = *e;
        if (note_piece(p, &pieces[i], path, err) < 0)
            return -1;
    }
    struct layout_file *out = layout_add_file(p->layout, path);
    struct segment head = {.kind = SEGMENT_LITERAL};
    const char *text;
    size_t len;
    if (!out)
        return no_memory(err);
    if (make_notes(p, file, &header, err) < 0 ||
        safetensors_print_header(&header, p->arena, &text, &len, err) < 0)
        return -1;
    head.literal = text;
    head.bytes = len;
    if (layout_add(p->layout, out, head, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct segment s = {
            .kind = SEGMENT_PART,
            .bytes = pieces[i].entry.end - pieces[i].entry.begin,
            .tensor = pieces[i].tensor,
            .part = pieces[i].part,
        };
        if (s.part == PART_SHAPE) { /* a constant: two I64 */
            uint64_t *shape = ARENA_ARRAY(p->arena, uint64_t, 2);
            if (!shape)
                return no_memory(err);
            memcpy(shape, s.tensor->dims, 2 * sizeof *shape);
            s.kind = SEGMENT_LITERAL;
            s.literal = shape;
        }
        if (layout_add(p->layout, out, s, err) < 0)
            return -1;
    }
    return 0;
}

/* The pieces of one file in their final order; entry.end holds the length for the time being. */
static int collect_pieces(struct placing *p, uint32_t file, struct piece **ret, size_t *ret_count,
                          struct err *err) {
    const struct model *model = p->model;
    size_t tensors = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        tensors += model->tensors[i].parts[PART_DATA].file == file;
    struct piece *front = ARENA_ARRAY(p->arena, struct piece, tensors * PART_KINDS + 1);
    struct piece *behind = ARENA_ARRAY(p->arena, struct piece, tensors * PART_KINDS + 1);
    if (!front || !behind)
        return no_memory(err);
    size_t front_count = 0, behind_count = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        if (t->removed || t->parts[PART_DATA].file != file)
            continue;
        struct piece *unit = &front[front_count];
        size_t unit_count = 0;
        for (unsigned kind = 0; kind < PART_KINDS; kind++) {
            struct piece piece = {.tensor = t, .part = (enum part_kind)kind};
            int has = ct_part(t, &t->wanted, piece.part, p->arena, &piece.entry, err);
            if (has < 0)
                return -1;
            if (!has)
                continue;
            piece.align = dtype_row(piece.entry.dtype)->bytes;
            piece.entry.end = piece.align;
            for (unsigned d = 0; d < piece.entry.rank; d++)
                piece.entry.end *= piece.entry.dims[d];
            unit[unit_count++] = piece;
        }
        if (order_unit(unit, unit_count))
            front_count += unit_count;
        else {
            memcpy(&behind[behind_count], unit, unit_count * sizeof *unit);
            behind_count += unit_count;
        }
    }
    /* qsort is not stable: remember the order in `begin`, which is still free. */
    for (size_t i = 0; i < behind_count; i++)
        behind[i].entry.begin = i;
    if (behind_count > 1)
        qsort(behind, behind_count, sizeof *behind, by_align);
    memcpy(&front[front_count], behind, behind_count * sizeof *behind);
    *ret = front;
    *ret_count = front_count + behind_count;
    return 0;
}

/* May this unit stand in front: aligned from a multiple of 8 to a multiple of 8? */
static size_t order_unit(struct piece *unit, size_t count) {
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (at % unit[i].align)
            return 0;
        at += unit[i].entry.end;
    }
    return at % 8 == 0;
}

/* Remembers a stored tensor for the index, and that its name is taken. */
static int note_piece(struct placing *p, const struct piece *piece, const char *path,
                      struct err *err) {
    const char *component = piece->tensor->component, *name = piece->entry.name;
    const char *key = arena_printf(p->arena, "%s/%s", component, name);
    struct map_line *lines = (struct map_line *)arena_grow(p->arena, p->lines, &p->line_capacity,
                                                           p->line_count + 1, sizeof *lines);
    int put = key && lines ? strmap_put(&p->names, key, 0) : -1;
    if (put < 0)
        return no_memory(err);
    if (put == 0) {
        err_set(err, ERR_MISFIT, "the output would hold two tensors called %s", name);
        return err_at_tensor(err, piece->tensor->name);
    }
    p->lines = lines;
    p->lines[p->line_count++] = (struct map_line){component, name, path + st_folder_len(path),
                                                  piece->entry.end - piece->entry.begin};
    return 0;
}

/* The source's notes without ours, then ours. */
static int make_notes(struct placing *p, uint32_t file, struct safetensors_header *header,
                      struct err *err) {
    bool from_safetensors = strcmp(p->model->format->name, "safetensors") == 0;
    struct st_notes old = {NULL, 0};
    if (from_safetensors)
        old = ((const struct st_notes *)p->model->private)[file];
    struct safetensors_note *notes = ARENA_ARRAY(p->arena, struct safetensors_note, old.count + 3);
    if (!notes)
        return no_memory(err);
    size_t count = 0;
    if (!from_safetensors) /* transformers reads no file that does not say so */
        notes[count++] = (struct safetensors_note){"format", "pt"};
    for (size_t i = 0; i < old.count; i++)
        if (strcmp(old.items[i].key, CT_NOTE) != 0 &&
            strcmp(old.items[i].key, "compressd.recipe") != 0)
            notes[count++] = old.items[i];
    if (p->bare) {
        const char *text;
        if (ct_write_note(p->model, file, p->arena, &text, err) < 0)
            return -1;
        if (text)
            notes[count++] = (struct safetensors_note){CT_NOTE, text};
        if (p->facts->recipe_name)
            notes[count++] = (struct safetensors_note){"compressd.recipe", p->facts->recipe_name};
    }
    header->notes = notes;
    header->note_count = count;
    return 0;
}

/* A file that holds no tensors of the model. */
static int place_other(struct placing *p, size_t index, struct err *err) {
    const char *path = p->model->resolver->files[index].path;
    const char *base = path + st_folder_len(path);
    const char *component = component_of(p, path);
    size_t used = SIZE_MAX;
    if (component) {
        char folder[LIMIT_PATH_BYTES + 1];
        snprintf(folder, sizeof folder, "%.*s", (int)st_folder_len(path), path);
        if (st_index_find(p->model->resolver, folder, p->weights_suffix, &used, err) < 0)
            return -1;
        if (used == index)
            return place_index(p, path, component, err);
        if (strcmp(base, "config.json") == 0)
            return place_config(p, index, component, err);
    }
    if (strcmp(path, "README.md") == 0)
        return place_card(p, index, err);
    if (!is_left_out(p, path, used != SIZE_MAX))
        return place_copy(p, index, err);
    size_t len = strlen(p->left_out), room = sizeof p->left_out - len;
    if (room > strlen(path) + 8)
        snprintf(p->left_out + len, room, "%s%s", len ? ", " : "", path);
    else if (len && strcmp(p->left_out + len - 3, "...") != 0)
        snprintf(p->left_out + len, room, ", ...");
    return 0;
}

static int place_index(struct placing *p, const char *path, const char *component,
                       struct err *err) {
    const char *out = st_output_path(path, p->arena);
    struct map_line *lines = ARENA_ARRAY(p->arena, struct map_line, p->line_count + 1);
    if (!out || !lines)
        return no_memory(err);
    size_t count = 0;
    uint64_t total = 0;
    for (size_t i = 0; i < p->line_count; i++)
        if (strcmp(p->lines[i].component, component) == 0) {
            lines[count++] = p->lines[i];
            total += p->lines[i].bytes;
        }
    if (count > 1)
        qsort(lines, count, sizeof *lines, by_name);
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_key(&b, "metadata");
    jbuf_object(&b);
    jbuf_kv_uint(&b, "total_size", total);
    jbuf_object_end(&b);
    jbuf_key(&b, "weight_map");
    jbuf_object(&b);
    for (size_t i = 0; i < count; i++)
        jbuf_kv_string(&b, lines[i].name, lines[i].file);
    jbuf_object_end(&b);
    jbuf_object_end(&b);
    size_t len;
    char *text = jbuf_take(&b, &len);
    const char *pretty = text ? config_edit_indent(text, "  ", 0, p->arena) : NULL;
    free(text);
    if (!pretty)
        return no_memory(err);
    return place_literal(p, out, pretty, strlen(pretty), err);
}

static int place_config(struct placing *p, size_t index, const char *component, struct err *err) {
    const char *path = p->model->resolver->files[index].path;
    const char *quantization;
    if (component[0])
        quantization = NULL; /* floats only */
    else if (ct_write_config(p->model, p->arena, &quantization, err) < 0)
        return -1;
    enum dtype before = float_type(p->model, component, false);
    enum dtype after = float_type(p->model, component, true);
    const char *dtype = NULL;
    if (before != after && dtype_row(after)->torch) {
        dtype = arena_printf(p->arena, "\"%s\"", dtype_row(after)->torch);
        if (!dtype)
            return no_memory(err);
    }
    struct config_change changes[4];
    size_t count = 0;
    changes[count++] = (struct config_change){.key = "quantization_config", .value = quantization};
    changes[count++] = (struct config_change){.key = "compression_config"};
    if (dtype) {
        changes[count++] = (struct config_change){.key = "torch_dtype",
                                                  .value = dtype,
                                                  .only_if_present = component[0] != 0,
                                                  .unless = "dtype"};
        changes[count++] =
            (struct config_change){.key = "dtype", .value = dtype, .only_if_present = true};
    }
    char *text;
    const char *edited;
    size_t len, edited_len;
    if (slurp(p, index, &text, &len, err) < 0)
        return -1;
    int rc = config_edit(text, len, path, changes, count, p->arena, &edited, &edited_len, err);
    free(text);
    return rc < 0 ? -1 : place_literal(p, path, edited, edited_len, err);
}

static int place_card(struct placing *p, size_t index, struct err *err) {
    char *old = NULL;
    size_t old_len = 0, len;
    const char *text;
    if (index != SIZE_MAX) {
        if (p->model->resolver->files[index].bytes > LIMIT_JSON_FILE_BYTES)
            return place_copy(p, index, err); /* no card of ours in a book */
        if (slurp(p, index, &old, &old_len, err) < 0)
            return -1;
    }
    int rc = model_card_write(p->model, p->facts, old, old_len, p->arena, &text, &len, err);
    free(old);
    return rc < 0 ? -1 : place_literal(p, "README.md", text, len, err);
}

static int place_copy(struct placing *p, size_t index, struct err *err) {
    const struct resolver_file *file = &p->model->resolver->files[index];
    struct layout_file *out = layout_add_file(p->layout, file->path);
    if (!out)
        return no_memory(err);
    return layout_add(
        p->layout, out,
        (struct segment){.kind = SEGMENT_COPY, .bytes = file->bytes, .resolver_index = index}, err);
}

static int place_literal(struct placing *p, const char *path, const void *bytes, size_t len,
                         struct err *err) {
    struct layout_file *out = layout_add_file(p->layout, path);
    if (!out)
        return no_memory(err);
    return layout_add(p->layout, out,
                      (struct segment){.kind = SEGMENT_LITERAL, .bytes = len, .literal = bytes},
                      err);
}

/* The float type of most elements of a component, scales speaking for what is quantized. */
static enum dtype float_type(const struct model *model, const char *component, bool wanted) {
    uint64_t weight[DTYPE_COUNT] = {0};
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        const struct encoding *e = wanted ? &t->wanted : &t->stored;
        if (t->removed || strcmp(t->component, component) != 0)
            continue;
        enum dtype dtype = ct_format(e) ? e->scale_dtype : e->dtype;
        if (dtype_row(dtype)->is_float)
            weight[dtype] += t->elements;
    }
    enum dtype most = DTYPE_F32;
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (weight[d] > weight[most])
            most = (enum dtype)d;
    return most;
}

/* The same weights once more: in another container, in another precision or under other names. */
static bool is_left_out(const struct placing *p, const char *path, bool indexed) {
    static const char *const ends[] = {
        ".bin",  ".pt",   ".pth",       ".ckpt",   ".h5",      ".msgpack",        ".onnx",
        ".gguf", ".ggml", ".onnx_data", ".tflite", ".mlmodel", ".bin.index.json", ".pb",
        ".ot",   ".keras"};
    static const char *const variants[] = {".safetensors.index.", ".bin.index."};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (strstr(path, variants[i]))
            return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (st_has_suffix(path, ends[i]))
            return true;
    return st_has_suffix(path, ".safetensors") && repeats_weights(p, path, indexed);
}

/* A .safetensors that is not the model's. Beside the model's files: without configuration and index
 * it was left aside because it repeats the main file's tensors, which may have other names in the
 * output and would not be known again; else variants go by their name, other things (adapters) are
 * copied. In a folder with a configuration of its own it is a part of its own and copied; elsewhere
 * it is taken for the same weights. */
static bool repeats_weights(const struct placing *p, const char *path, bool indexed) {
    static const char *const stems[] = {"model.", "model-", "consolidated", "pytorch_model",
                                        "diffusion_pytorch_model"};
    size_t folder = st_folder_len(path);
    char config[LIMIT_PATH_BYTES + 16];
    snprintf(config, sizeof config, "%.*sconfig.json", (int)folder, path);
    bool configured = resolver_find(p->model->resolver, config) != SIZE_MAX;
    if (!component_of(p, path))
        return folder == 0 || !configured;
    if (!configured && !indexed)
        return true;
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++)
        if (strncmp(path + folder, stems[i], strlen(stems[i])) == 0)
            return true;
    return false;
}

/* The component whose folder this file lies in; NULL when that folder holds no tensors of ours. */
static const char *component_of(const struct placing *p, const char *path) {
    size_t len = st_folder_len(path);
    for (size_t f = 0; f < p->model->file_count; f++) {
        const char *other = p->model->files[f].path;
        if (st_folder_len(other) != len || strncmp(other, path, len) != 0)
            continue;
        for (size_t i = 0; i < p->model->tensor_count; i++)
            if (p->model->tensors[i].parts[PART_DATA].file == f)
                return p->model->tensors[i].component;
    }
    return NULL;
}

static int slurp(struct placing *p, size_t index, char **ret, size_t *ret_len, struct err *err) {
    struct source *source;
    if (p->model->resolver->ops->open(p->model->resolver, index, &source, err) < 0)
        return -1;
    int rc = source_slurp(source, LIMIT_JSON_FILE_BYTES, ret, err);
    *ret_len = (size_t)source->bytes;
    source_close(source);
    return rc;
}

static int by_align(const void *a, const void *b) {
    const struct piece *x = a, *y = b;
    if (x->align != y->align)
        return x->align > y->align ? -1 : 1;
    return x->entry.begin < y->entry.begin ? -1 : 1;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct map_line *)a)->name, ((const struct map_line *)b)->name);
}
