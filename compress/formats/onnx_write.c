/*
 * Writing an ONNX model: where every tensor's data go, the graph, and around it the original's
 * other fields.
 *
 * Data that were inside stay inside, data in another file stay in that file; a file of which a
 * tensor changed or went is laid out anew. When the .onnx file would exceed what protobuf takes,
 * the larger tensors move to a new file beside it.
 */
#include "compress/base/arena.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_reader.h"
#include "compress/formats/onnx_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Data in other files start at a page, so that a runtime can map them; small ones would be mostly
 * padding. */
#define PAGE_BYTES 4096
#define SMALL_ALIGN_BYTES 64
/* Smaller tensors stay inside: what the onnx package does. */
#define MOVE_BYTES_MIN 1024
#define METADATA_KEY "compressd"

/* A tensor's part and where it lay: the order in a file. */
struct at_offset {
    uint64_t offset;
    size_t tensor;
    unsigned part;
};

/* A file of external data that is made anew. */
struct data_file {
    const char *path, *location;
    uint32_t file; /* of model->files, UINT32_MAX: a new one */
    uint64_t bytes;
    struct at_offset *parts; /* in order */
    size_t count;
};

struct data_files {
    struct data_file *list;
    size_t count;
};

/* ---- where data go ---- */

static bool is_changed(const struct tensor *tensor) {
    return !encoding_equal(&tensor->wanted, &tensor->stored);
}

static void mark_kept(struct onnx_writer *w, const struct graph *graph) {
    for (size_t i = 0; i < graph->value_count; i++) {
        const struct value *value = graph->values[i];
        if (!value->dead && value->kind == VALUE_WEIGHT && value->tensor != VALUE_NO_TENSOR)
            onnx_put_of(w, value)->is_kept = true;
    }
    GRAPH_NODES(graph, node) {
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH)
                mark_kept(w, node->attrs[a].body);
    }
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static uint64_t aligned(uint64_t at, uint64_t bytes) {
    uint64_t align = bytes < PAGE_BYTES ? SMALL_ALIGN_BYTES : PAGE_BYTES;
    return (at + align - 1) / align * align;
}

static int by_offset(const void *a, const void *b) {
    const struct at_offset *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->tensor != y->tensor)
        return x->tensor < y->tensor ? -1 : 1;
    return x->part < y->part ? -1 : x->part > y->part;
}

static struct onnx_put *put_at(const struct onnx_writer *w, size_t tensor, unsigned part) {
    return &w->puts[tensor * PART_KINDS + part];
}

/* Gives every listed part its place in the file; the list is kept. */
static void fill_file(struct onnx_writer *w, struct data_file *file, struct at_offset *order,
                      size_t count) {
    if (count)
        qsort(order, count, sizeof *order, by_offset);
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = onnx_part_bytes(&w->model->tensors[order[i].tensor], order[i].part);
        struct onnx_put *put = put_at(w, order[i].tensor, order[i].part);
        file->bytes = aligned(file->bytes, bytes);
        put->location = file->location;
        put->offset = file->bytes;
        put->is_moved = true;
        file->bytes += bytes; /* below the sum of the inputs: no overflow */
    }
    file->parts = order;
    file->count = count;
}

static struct at_offset *new_order(const struct onnx_writer *w) {
    return ARENA_ARRAY(w->arena, struct at_offset, w->model->tensor_count * PART_KINDS + 1);
}

/* What a changed tensor has beside its data stays inside, while there is room. */
static int plan_rewritten_file(struct onnx_writer *w, struct data_file *file, struct err *err) {
    const struct model *model = w->model;
    struct at_offset *order = new_order(w);
    size_t count = 0;
    if (!order)
        return onnx_writer_no_memory(err);
    for (size_t i = 0; i < model->tensor_count; i++)
        for (unsigned k = 0; k < PART_KINDS; k++) {
            const struct part *part = &model->tensors[i].parts[k];
            if (put_at(w, i, k)->is_kept && part->name && part->file == file->file)
                order[count++] = (struct at_offset){part->offset, i, k};
        }
    fill_file(w, file, order, count);
    return 0;
}

/* Files in which something changed. */
static int plan_rewritten(struct onnx_writer *w, struct data_files *files, struct err *err) {
    const struct model *model = w->model;
    bool *dirty = ARENA_ARRAY(w->arena, bool, model->file_count);
    files->list = ARENA_ARRAY(w->arena, struct data_file, model->file_count + 1);
    if (!dirty || !files->list)
        return onnx_writer_no_memory(err);
    for (size_t i = 0; i < model->tensor_count; i++)
        for (unsigned k = 0; k < PART_KINDS; k++) {
            const struct tensor *t = &model->tensors[i];
            put_at(w, i, k)->is_moved = is_changed(t);
            if (t->parts[k].name && (is_changed(t) || !put_at(w, i, k)->is_kept))
                dirty[t->parts[k].file] = true;
        }
    size_t folder_len =
        (size_t)(base_name(model->files[w->onnx->file].path) - model->files[w->onnx->file].path);
    for (uint32_t f = 0; f < model->file_count; f++) {
        const struct model_file *from = &model->files[f];
        if (!dirty[f] || f == w->onnx->file || from->resolver_index == SIZE_MAX)
            continue;
        if (w->onnx->has_fixed_external)
            return err_set(err, ERR_UNSUPPORTED,
                           "data in %s are named by a part of the model that is carried as it is, "
                           "so the file cannot be changed",
                           from->path);
        struct data_file *file = &files->list[files->count++];
        *file =
            (struct data_file){.path = from->path, .location = from->path + folder_len, .file = f};
        if (plan_rewritten_file(w, file, err) < 0)
            return -1;
    }
    return 0;
}

/* Inside, and in a place that is written out (a function is copied whole). */
static bool may_move(const struct onnx_writer *w, size_t i, unsigned k) {
    const struct tensor *tensor = &w->model->tensors[i];
    const struct part *data = &tensor->parts[k];
    const struct pbwire_span *graph = &w->onnx->graph;
    if (!put_at(w, i, k)->is_kept || put_at(w, i, k)->location ||
        onnx_part_bytes(tensor, k) < MOVE_BYTES_MIN)
        return false;
    if (!data->name) /* a part that encoding makes */
        return true;
    return data->file == w->onnx->file && data->offset >= graph->offset &&
           data->offset < graph->offset + graph->bytes;
}

/* A name beside the model that nobody has. */
static const char *new_path(const struct onnx_writer *w) {
    const char *main = w->model->files[w->onnx->file].path;
    const char *path = arena_printf(w->arena, "%s.data", main);
    for (unsigned n = 2; path && resolver_find(w->model->resolver, path) != SIZE_MAX; n++)
        path = arena_printf(w->arena, "%s.data%u", main, n);
    return path;
}

static int plan_moved(struct onnx_writer *w, struct data_files *files, struct err *err) {
    const struct model *model = w->model;
    struct at_offset *order = new_order(w);
    struct data_file *file = &files->list[files->count++];
    *file = (struct data_file){.path = new_path(w), .file = UINT32_MAX};
    if (!order || !file->path)
        return onnx_writer_no_memory(err);
    file->location = base_name(file->path);
    size_t count = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        for (unsigned k = 0; k < PART_KINDS; k++)
            if (may_move(w, i, k))
                order[count++] =
                    (struct at_offset){model->tensors[i].parts[PART_DATA].offset, i, k};
    fill_file(w, file, order, count);
    return 0;
}

/* ---- the model's own fields ---- */

static int write_graph_field(struct onnx_writer *w, struct pbout *out,
                             const struct pbwire_field *field, struct err *err) {
    struct pbout graph;
    uint64_t before = w->edits;
    pbout_init(&graph, w->arena);
    if (onnx_write_graph(w, w->model->graph, field->content, &graph, err) < 0)
        return -1;
    if (w->edits == before) { /* tag and length too as they stand */
        pbout_copy(
            out, w->main,
            (struct pbwire_span){field->whole.offset, field->content.offset - field->whole.offset});
        pbout_append(out, &graph);
    } else {
        pbout_message(out, ONNX_MODEL_GRAPH, &graph);
    }
    return 0;
}

static int is_our_entry(struct onnx_writer *w, const struct pbwire_field *field, bool *ret,
                        struct err *err) {
    const char *key;
    if (onnx_text_of(w, field->content, ONNX_ENTRY_KEY, &key, err) < 0)
        return -1;
    *ret = strcmp(key, METADATA_KEY) == 0;
    return 0;
}

static void put_metadata(struct pbout *out, const struct output_facts *facts) {
    struct pbout entry;
    pbout_init(&entry, out->arena);
    pbout_text(&entry, ONNX_ENTRY_KEY, METADATA_KEY);
    pbout_text(&entry, ONNX_ENTRY_VALUE, facts->recipe_name ? facts->recipe_name : "custom");
    pbout_message(out, ONNX_MODEL_METADATA_PROPS, &entry);
}

static void put_opsets(const struct onnx_opset *list, size_t count, struct pbout *out) {
    for (size_t i = 0; i < count; i++) {
        struct pbout opset;
        pbout_init(&opset, out->arena);
        pbout_text(&opset, ONNX_OPSET_DOMAIN, list[i].domain);
        pbout_varint(&opset, ONNX_OPSET_VERSION, (uint64_t)list[i].version);
        pbout_message(out, ONNX_MODEL_OPSET_IMPORT, &opset);
    }
}

/* The graph first: only then is it known what else must change. */
static int write_model(struct onnx_writer *w, const struct output_facts *facts, struct pbout *out,
                       struct err *err) {
    struct pbwire_walk walk = pbwire_walk(w->wire, pbwire_all(w->wire));
    struct pbwire_field field;
    struct pbout graph;
    int more;
    pbout_init(out, w->arena);
    pbout_init(&graph, w->arena);
    w->edits = 0;
    w->opset_count = 0;
    w->has_new_initializers = false;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (field.number == ONNX_MODEL_GRAPH && write_graph_field(w, &graph, &field, err) < 0)
            return -1;
    if (more < 0)
        return -1;
    bool newer = w->has_new_initializers && w->onnx->ir_version < ONNX_IR_FREE_INITIALIZERS;
    walk = pbwire_walk(w->wire, pbwire_all(w->wire));
    while ((more = pbwire_next(&walk, &field, err)) > 0) {
        bool ours = false;
        if (field.number == ONNX_MODEL_METADATA_PROPS && w->edits &&
            is_our_entry(w, &field, &ours, err) < 0)
            return -1;
        if (field.number == ONNX_MODEL_GRAPH)
            pbout_append(out, &graph);
        else if (field.number == ONNX_MODEL_IR_VERSION && newer)
            pbout_varint(out, ONNX_MODEL_IR_VERSION, ONNX_IR_FREE_INITIALIZERS);
        else if (!ours && !(field.number == ONNX_MODEL_OPSET_IMPORT && w->onnx->is_raised))
            pbout_copy(out, w->main, field.whole);
    }
    if (more < 0)
        return -1;
    if (w->onnx->is_raised)
        put_opsets(w->onnx->opsets, w->onnx->opset_count, out);
    put_opsets(w->opsets, w->opset_count, out);
    if (w->edits)
        put_metadata(out, facts);
    return 0;
}

/* ---- files ---- */

static int lay_data_file(const struct onnx_writer *w, const struct data_file *from,
                         struct layout *layout, struct err *err) {
    if (from->count == 0)
        return 0; /* nothing is left in it */
    struct layout_file *file = layout_add_file(layout, from->path);
    if (!file)
        return onnx_writer_no_memory(err);
    for (size_t i = 0; i < from->count; i++) {
        const struct at_offset *at = &from->parts[i];
        const struct tensor *tensor = &w->model->tensors[at->tensor];
        uint64_t padding = put_at(w, at->tensor, at->part)->offset - file->bytes;
        if (layout_add(layout, file, (struct segment){.kind = SEGMENT_ZEROS, .bytes = padding},
                       err) < 0 ||
            layout_add(layout, file,
                       (struct segment){.kind = SEGMENT_PART,
                                        .bytes = onnx_part_bytes(tensor, at->part),
                                        .tensor = tensor,
                                        .part = (enum part_kind)at->part},
                       err) < 0)
            return -1;
    }
    return 0;
}

static bool is_rewritten(const struct onnx_writer *w, const struct data_files *files,
                         size_t resolver_index) {
    for (size_t i = 0; i < files->count; i++)
        if (files->list[i].file != UINT32_MAX &&
            w->model->files[files->list[i].file].resolver_index == resolver_index)
            return true;
    return false;
}

static int lay_files(const struct onnx_writer *w, const struct pbout *out,
                     const struct data_files *files, struct layout *layout, struct err *err) {
    const struct resolver *resolver = w->model->resolver;
    layout->lone = resolver->lone;
    for (size_t i = 0; i < files->count; i++) {
        if (lay_data_file(w, &files->list[i], layout, err) < 0)
            return -1;
        layout->lone = layout->lone && files->list[i].count == 0;
    }
    for (size_t i = 0; i < resolver->count; i++) {
        if (is_rewritten(w, files, i))
            continue;
        struct layout_file *file = layout_add_file(layout, resolver->files[i].path);
        struct segment copy = {
            .kind = SEGMENT_COPY, .bytes = resolver->files[i].bytes, .resolver_index = i};
        if (!file)
            return onnx_writer_no_memory(err);
        if (i == w->main ? pbout_lay(out, layout, file, err) < 0
                         : layout_add(layout, file, copy, err) < 0)
            return -1;
    }
    layout_sort(layout);
    return 0;
}

static int lay_out(struct onnx_writer *w, const struct output_facts *facts, uint64_t limit_bytes,
                   struct layout *layout, struct err *err) {
    struct data_files files = {0};
    struct pbout out;
    mark_kept(w, w->model->graph);
    if (onnx_find_open_calls(w, w->model->graph, err) < 0 || plan_rewritten(w, &files, err) < 0 ||
        write_model(w, facts, &out, err) < 0)
        return -1;
    if (out.bytes > limit_bytes &&
        (plan_moved(w, &files, err) < 0 || write_model(w, facts, &out, err) < 0))
        return -1;
    if (out.bytes > limit_bytes)
        return err_set(err, ERR_TOO_LARGE,
                       "the .onnx file would have %" PRIu64 " bytes without its larger weights; "
                       "protobuf takes %" PRIu64,
                       out.bytes, limit_bytes);
    return lay_files(w, &out, &files, layout, err);
}

int onnx_lay_out_within(const struct model *model, const struct output_facts *facts,
                        uint64_t limit_bytes, struct layout *layout, struct violations *warnings,
                        struct err *err) {
    const struct onnx *onnx = model->private;
    struct onnx_writer w = {
        .model = model,
        .onnx = onnx,
        .arena = layout->arena,
        .wire = pbwire_new(model->files[onnx->file].source),
        .main = model->files[onnx->file].resolver_index,
        .is_call_open = ARENA_ARRAY(layout->arena, bool, onnx->call_count + 1),
        .puts = ARENA_ARRAY(layout->arena, struct onnx_put, model->tensor_count * PART_KINDS + 1),
    };
    int result = w.wire && w.is_call_open && w.puts ? lay_out(&w, facts, limit_bytes, layout, err)
                                                    : onnx_writer_no_memory(err);
    pbwire_free(w.wire);
    return result;
}

int onnx_lay_out(const struct model *model, const struct output_facts *facts, struct layout *layout,
                 struct violations *warnings, struct err *err) {
    return onnx_lay_out_within(model, facts, ONNX_FILE_BYTES_MAX, layout, warnings, err);
}
