/*
 * Opening an ONNX model: find its file, read the top of it, hand the graph to onnx_read.c, and say
 * what it is about. Writing is onnx_write.c.
 */
#include "compress/formats/onnx.h"

#include "compress/base/arena.h"
#include "compress/base/files.h"
#include "compress/formats/onnx_known.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_raise.h"
#include "compress/formats/onnx_reader.h"
#include "compress/graph/infer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* More top-level fields than a model can have: so many operator sets, functions and notes. */
#define SNIFF_FIELDS_MAX 100000

static bool is_onnx(const char *path) {
    size_t len = strlen(path);
    return len > 5 && strcmp(path + len - 5, ".onnx") == 0;
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Nothing marks an ONNX file but its shape: a number for the IR version, a graph, and no field that
 * is not wired as a ModelProto's. */
static bool looks_like(struct pbwire *wire) {
    struct pbwire_walk walk = pbwire_walk(wire, pbwire_all(wire));
    struct pbwire_field field;
    bool has_version = false, has_graph = false;
    struct err ignored = ERR_INIT;
    int more = 0;
    for (unsigned n = 0; n < SNIFF_FIELDS_MAX; n++) {
        more = pbwire_next(&walk, &field, &ignored);
        if (more <= 0)
            break;
        if (field.number == ONNX_MODEL_IR_VERSION || field.number == ONNX_MODEL_MODEL_VERSION) {
            if (field.type != PBWIRE_VARINT)
                return false;
            has_version =
                has_version || (field.number == ONNX_MODEL_IR_VERSION && field.value < 1000);
        } else if (field.number <= ONNX_MODEL_OPSET_IMPORT) {
            if (field.type != PBWIRE_BYTES)
                return false;
            has_graph = has_graph || field.number == ONNX_MODEL_GRAPH;
        }
    }
    return more == 0 && has_version && has_graph;
}

/* Every writer puts ir_version first; a text or a message of the model's follows. */
bool onnx_begins(const void *head, size_t len) {
    const uint8_t *at = head;
    if (len < 4 || at[0] != ONNX_MODEL_IR_VERSION << 3 || at[1] < ONNX_IR_MIN ||
        at[1] > ONNX_IR_MAX)
        return false;
    unsigned number = at[2] >> 3, type = at[2] & 7;
    return number == ONNX_MODEL_MODEL_VERSION
               ? type == PBWIRE_VARINT
               : type == PBWIRE_BYTES &&
                     ((number >= ONNX_MODEL_PRODUCER_NAME && number <= ONNX_MODEL_OPSET_IMPORT) ||
                      number == ONNX_MODEL_METADATA_PROPS);
}

bool onnx_sniff(struct resolver *files, struct err *err) {
    for (size_t i = 0; i < files->count; i++)
        if (is_onnx(files->files[i].path))
            return true;
    if (!files->lone || files->count != 1 || files->files[0].bytes == 0)
        return false;
    struct source *source;
    if (files->ops->open(files, 0, &source, err) < 0)
        return false;
    struct pbwire *wire = pbwire_new(source);
    bool found = wire ? looks_like(wire) : (err_set(err, ERR_NO_MEMORY, "no memory"), false);
    pbwire_free(wire);
    source_close(source);
    return found;
}

/* ---- which file ---- */

static int several(const struct resolver *files, struct err *err) {
    char names[200] = "";
    size_t used = 0;
    for (size_t i = 0; i < files->count && used < sizeof names; i++)
        if (is_onnx(files->files[i].path)) {
            int n = snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                             files->files[i].path);
            used += n > 0 ? (size_t)n : 0;
        }
    return err_set(
        err, ERR_BAD_MODEL,
        "the folder holds several ONNX models (%s); send the one that is meant alone, or "
        "call it model.onnx",
        names);
}

static int find_file(const struct resolver *files, size_t *ret, struct err *err) {
    size_t found = SIZE_MAX, count = 0, models = 0, model = SIZE_MAX;
    if (files->lone) {
        *ret = 0;
        return 0;
    }
    for (size_t i = 0; i < files->count; i++) {
        if (!is_onnx(files->files[i].path))
            continue;
        found = i;
        count++;
        if (strcmp(files->files[i].path, "model.onnx") == 0) {
            *ret = i;
            return 0;
        }
        if (strcmp(file_name(files->files[i].path), "model.onnx") == 0) {
            models++;
            model = i;
        }
    }
    if (count != 1 && models == 1)
        found = model;
    else if (count != 1)
        return count ? several(files, err)
                     : err_set(err, ERR_BAD_MODEL, "the folder holds no .onnx file");
    *ret = found;
    return 0;
}

/* ---- the top of the file ---- */

struct top {
    struct onnx_opset *opsets;
    size_t opset_count, opset_capacity;
    bool has_version, has_graph;
};

static int read_field(struct onnx_reader *r, const struct pbwire_field *field, struct top *top,
                      struct err *err) {
    struct arena *arena = r->model->arena;
    switch (field->number) {
    case ONNX_MODEL_IR_VERSION:
        top->has_version = true;
        r->onnx->ir_version = (int64_t)field->value;
        return pbwire_expect(r->wire, field, PBWIRE_VARINT, "ir_version", err);
    case ONNX_MODEL_PRODUCER_NAME:
    case ONNX_MODEL_PRODUCER_VERSION:
        if (pbwire_expect(r->wire, field, PBWIRE_BYTES, "the producer", err) < 0)
            return -1;
        return pbwire_text(r->wire, field->content, ONNX_NAME_BYTES_MAX, arena,
                           field->number == ONNX_MODEL_PRODUCER_NAME ? &r->onnx->producer
                                                                     : &r->onnx->producer_version,
                           err);
    case ONNX_MODEL_GRAPH:
        if (top->has_graph)
            return pbwire_fail(r->wire, field->whole.offset, err, "the model has two graphs");
        top->has_graph = true;
        r->onnx->graph = field->content;
        return pbwire_expect(r->wire, field, PBWIRE_BYTES, "the graph", err);
    case ONNX_MODEL_OPSET_IMPORT:
        if (pbwire_expect(r->wire, field, PBWIRE_BYTES, "an operator set", err) < 0)
            return -1;
        return onnx_read_opset(r->wire, field->content, arena, &top->opsets, &top->opset_count,
                               &top->opset_capacity, err);
    case ONNX_MODEL_FUNCTIONS:
        if (pbwire_expect(r->wire, field, PBWIRE_BYTES, "a function", err) < 0)
            return -1;
        return onnx_read_function(r, field->content, err);
    default:
        return 0;
    }
}

static int read_top(struct onnx_reader *r, struct err *err) {
    struct top top = {0};
    struct pbwire_walk walk = pbwire_walk(r->wire, pbwire_all(r->wire));
    struct pbwire_field field;
    int more;
    while ((more = pbwire_next(&walk, &field, err)) > 0)
        if (read_field(r, &field, &top, err) < 0)
            return -1;
    if (more < 0)
        return -1;
    if (!top.has_version || !top.has_graph)
        return pbwire_fail(r->wire, 0, err, "the file is no ONNX model: it has no %s",
                           top.has_graph ? "ir_version" : "graph");
    if (r->onnx->ir_version < ONNX_IR_MIN || r->onnx->ir_version > ONNX_IR_MAX)
        return err_set(err, ERR_UNSUPPORTED,
                       "the model is of IR version %" PRId64 "; %d to %d can be read",
                       r->onnx->ir_version, ONNX_IR_MIN, ONNX_IR_MAX);
    r->onnx->opsets = top.opsets;
    r->onnx->opset_count = top.opset_count;
    return 0;
}

/* ---- lists, into memory ---- */

static int decode(struct onnx_reader *r, struct err *err) {
    if (r->waiting_count == 0)
        return 0;
    uint8_t *bytes = arena_alloc(r->model->arena, (size_t)r->waiting_bytes + 1);
    uint32_t file;
    if (!bytes)
        return onnx_no_memory(err);
    for (size_t i = 0; i < r->waiting_count; i++)
        if (onnx_tensor_decode(r->wire, &r->waiting[i].from, bytes + r->waiting[i].offset, err) < 0)
            return -1;
    if (model_add_memory(r->model, bytes, (size_t)r->waiting_bytes, &file, err) < 0)
        return -1;
    for (size_t i = 0; i < r->waiting_count; i++) {
        struct part *part = &r->model->tensors[r->waiting[i].tensor].parts[PART_DATA];
        part->file = file;
        part->offset = r->waiting[i].offset;
    }
    return 0;
}

static int read_all(struct onnx_reader *r, struct err *err) {
    struct model *model = r->model;
    if (read_top(r, err) < 0)
        return -1;
    model->graph = graph_new(model->arena, NULL);
    if (!model->graph)
        return onnx_no_memory(err);
    struct onnx_scope scope = {
        .reader = r,
        .graph = model->graph,
        .opsets = r->onnx->opsets,
        .opset_count = r->onnx->opset_count,
        .path = "",
        .prefix = "",
    };
    if (onnx_read_graph(&scope, r->onnx->graph, err) < 0 || decode(r, err) < 0 ||
        onnx_know(model, r->scratch, err) < 0)
        return -1;
    return graph_verify(model->graph, err);
}

/* ---- facts ---- */

static int add_number(struct model *model, const char *key, uint64_t number, struct err *err) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    return model_add_fact(model, key, text, err);
}

/* A text that grows to its buffer's size and then ends in "...". */
struct line {
    char text[512];
    size_t used;
};

static void line_add(struct line *line, const char *more) {
    size_t left = sizeof line->text - line->used;
    int n = snprintf(line->text + line->used, left, "%s%s", line->used ? ", " : "", more);
    if (n < 0 || (size_t)n >= left) {
        memcpy(line->text + sizeof line->text - 4, "...", 4);
        line->used = sizeof line->text - 1;
    } else {
        line->used += (size_t)n;
    }
}

static int add_opsets(struct model *model, const struct onnx *onnx, struct err *err) {
    struct line line = {.text = ""};
    for (size_t i = 0; i < onnx->opset_count; i++) {
        char one[128];
        snprintf(one, sizeof one, "%.96s %" PRId64,
                 onnx->opsets[i].domain[0] ? onnx->opsets[i].domain : "ai.onnx",
                 onnx->opsets[i].version);
        line_add(&line, one);
    }
    return model_add_fact(model, "opset", line.text, err);
}

static int add_values(struct model *model, const char *key, struct value *const *values,
                      size_t count, struct err *err) {
    struct line line = {.text = ""};
    for (size_t i = 0; i < count; i++) {
        char type[160], one[320];
        type_describe(&values[i]->type, model->graph->symbols, type, sizeof type);
        snprintf(one, sizeof one, "%.128s %s", values[i]->name, type);
        line_add(&line, one);
    }
    return model_add_fact(model, key, line.text, err);
}

struct counts {
    size_t nodes, not_executable;
    struct line names;
    struct strmap seen;
    struct arena *scratch;
};

static void count_nodes(const struct graph *graph, struct counts *counts) {
    GRAPH_NODES(graph, node) {
        counts->nodes++;
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH)
                count_nodes(node->attrs[a].body, counts);
        if (node->op)
            continue;
        counts->not_executable++;
        const char *name = node->domain[0]
                               ? arena_printf(counts->scratch, "%s.%s", node->domain, node->op_type)
                               : node->op_type;
        if (name && strmap_put(&counts->seen, name, 0) == 1)
            line_add(&counts->names, name);
    }
}

static int add_macs(struct model *model, struct arena *scratch, struct err *err) {
    struct fact *facts;
    struct err ignored = ERR_INIT;
    bool exact;
    if (infer_graph(model->graph, NULL, 0, scratch, &facts, &ignored) < 0)
        return 0;
    uint64_t macs = infer_macs(model->graph, facts, &exact);
    return macs && exact ? add_number(model, "macs", macs, err) : 0;
}

static int add_facts(struct model *model, const struct onnx *onnx, struct arena *scratch,
                     struct err *err) {
    const struct graph *graph = model->graph;
    struct counts counts = {.scratch = scratch};
    strmap_init(&counts.seen, scratch);
    count_nodes(graph, &counts);
    if (add_number(model, "ir_version", (uint64_t)onnx->ir_version, err) < 0 ||
        add_opsets(model, onnx, err) < 0)
        return -1;
    if (onnx->producer[0]) {
        char text[256];
        snprintf(text, sizeof text, "%.160s%s%.64s", onnx->producer,
                 onnx->producer_version[0] ? " " : "", onnx->producer_version);
        if (model_add_fact(model, "producer", text, err) < 0)
            return -1;
    }
    if (add_number(model, "nodes", counts.nodes, err) < 0 ||
        add_values(model, "inputs", graph->inputs, graph->input_count, err) < 0 ||
        add_values(model, "outputs", graph->outputs, graph->output_count, err) < 0 ||
        add_number(model, "not_executable_nodes", counts.not_executable, err) < 0)
        return -1;
    if (counts.not_executable > 0 &&
        model_add_fact(model, "not_executable", counts.names.text, err) < 0)
        return -1;
    return add_macs(model, scratch, err);
}

/* Inference that fails on what the file says is the file's fault; a row that does not support
 * something is not. */
static int annotate(struct model *model, struct arena *scratch, struct err *err) {
    struct err why = ERR_INIT;
    if (infer_annotate(model->graph, scratch, &why) == 0 || why.code == ERR_UNSUPPORTED)
        return 0;
    if (err && err->code == ERR_OK)
        *err = why;
    return -1;
}

int onnx_open(struct resolver *files, struct model *model, struct err *err) {
    size_t index;
    struct onnx *onnx = ARENA_NEW(model->arena, struct onnx);
    struct onnx_reader reader = {.model = model, .onnx = onnx};
    int result = -1;
    if (!onnx)
        return onnx_no_memory(err);
    onnx->producer = onnx->producer_version = "";
    if (find_file(files, &index, err) < 0 || model_add_file(model, index, &onnx->file, err) < 0)
        return -1;
    model->private = onnx;
    const char *path = files->files[index].path;
    reader.scratch = arena_new(LIMIT_MODEL_ARENA_BYTES);
    reader.lasting = arena_new(LIMIT_MODEL_ARENA_BYTES);
    reader.wire = pbwire_new(model->files[onnx->file].source);
    if (reader.scratch && reader.lasting && reader.wire) {
        reader.folder = arena_strndup(reader.lasting, path, (size_t)(file_name(path) - path));
        reader.external_files = ARENA_ARRAY(reader.lasting, uint32_t, files->count);
        strmap_init(&reader.tensor_names, reader.lasting);
        strmap_init(&reader.shared_names, reader.lasting);
        strmap_init(&reader.functions_by_key, reader.lasting);
    }
    if (!reader.folder || !reader.external_files) {
        onnx_no_memory(err);
        goto out;
    }
    if (read_all(&reader, err) < 0 || annotate(model, reader.scratch, err) < 0 ||
        add_facts(model, onnx, reader.scratch, err) < 0)
        goto out;
    onnx->can_be_raised = onnx_raise_can(model->graph);
    result = model_finish(model, err);
out:
    pbwire_free(reader.wire);
    arena_free(reader.scratch);
    arena_free(reader.lasting);
    return result;
}
