/* See the header. */
#include "tests/fuzz/fuzz_model.h"

#include "compress/base/arena.h"
#include "compress/formats/format.h"
#include "compress/graph/graph.h"
#include "compress/graph/tensor_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Larger outputs are not made: a small header can promise much padding. */
#define OUTPUT_BYTES_MAX (4 * MIB)
#define READ_ELEMENTS_MAX 65536

#define PROMISE(truth, ...)                                  \
    do {                                                     \
        if (!(truth)) {                                      \
            fprintf(stderr, "broken promise: " __VA_ARGS__); \
            fputc('\n', stderr);                             \
            abort();                                         \
        }                                                    \
    } while (0)

void fuzz_check_reason(const struct err *err) {
    PROMISE(err->code != ERR_OK, "a failure without a reason");
    PROMISE(err->text[0], "a failure without words");
    PROMISE(err_kind(err->code) != ERR_KIND_BUG, "a failure blamed on us: %s", err->text);
}

static struct model *open_as(const struct format *format, struct resolver *files, struct err *err) {
    struct model *model = model_new(files);
    PROMISE(model, "no memory");
    model->format = format;
    if (format->open(files, model, err) == 0)
        return model;
    model_free(model);
    return NULL;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static const struct codec *codec_of(const char *scheme) {
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(scheme, "/"), scheme);
    const struct codec *codec = codec_by_name(name);
    PROMISE(codec, "there is no scheme %s", scheme);
    return codec;
}

static void want(struct model *model, const char *scheme, struct violations *list) {
    const struct codec *codec = codec_of(scheme);
    struct encoding wish = {.codec = codec};
    if (codec->family == CODEC_PLAIN)
        wish = encoding_plain(dtype_by_name(scheme));
    else if (codec->family != CODEC_BLOCK)
        wish = (struct encoding){.codec = codec,
                                 .granularity = GRANULARITY_CHANNEL,
                                 .symmetric = true,
                                 .packing = PACKING_WORDS,
                                 .dynamic_activations = ends_with(scheme, "/dynamic"),
                                 .static_activations = ends_with(scheme, "/static")};
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *t = &model->tensors[i];
        struct encoding wanted = wish;
        if (t->rank < 2 || model->opaque_quantization ||
            model->format->adapt(model, t, &wanted, "", list) < 0)
            continue;
        uint64_t rows, cols;
        tensor_matrix(t, &wanted, &rows, &cols);
        if (encoding_check(&wanted, rows, cols, NULL) < 0)
            continue;
        t->wanted = wanted;
        t->decided_by = "";
    }
}

/* Small tensors, whole: whatever the header says, reading stays within the files. */
static void read_tensors(const struct model *model) {
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        const struct encoding *e = &t->stored;
        if (t->elements == 0 || t->elements > READ_ELEMENTS_MAX ||
            (e->codec->family == CODEC_PLAIN && !dtype_row(e->dtype)->is_float) ||
            !codec_can_decode(e->codec))
            continue;
        struct err err = ERR_INIT;
        struct tensor_reader *reader = NULL;
        if (tensor_reader_open(model, t, false, &reader, &err) < 0) {
            fuzz_check_reason(&err);
            continue;
        }
        uint64_t rows, cols;
        tensor_matrix(t, e, &rows, &cols);
        void *raw = malloc(rows * tensor_reader_row_bytes(reader));
        float *x = malloc(rows * cols * sizeof *x);
        PROMISE(raw && x, "no memory");
        if (tensor_reader_rows(reader, 0, rows, raw, x, &err) < 0)
            fuzz_check_reason(&err);
        tensor_reader_close(reader);
        free(raw);
        free(x);
    }
}

/* The file in memory; weights that are encoded anew are zeros, copied ones are what they were:
 * graphs are read with the small ones. */
static uint8_t *render(const struct layout_file *file, const struct model *model) {
    uint8_t *bytes = calloc(file->bytes ? file->bytes : 1, 1);
    uint64_t at = 0;
    PROMISE(bytes, "no memory");
    for (size_t i = 0; i < file->count; i++) {
        const struct segment *s = &file->segments[i];
        PROMISE(s->bytes <= file->bytes - at, "segments exceed their file");
        if (s->kind == SEGMENT_LITERAL)
            memcpy(bytes + at, s->literal, s->bytes);
        if (s->kind == SEGMENT_COPY) {
            struct source *source = NULL;
            struct err err = ERR_INIT;
            PROMISE(s->resolver_index < model->resolver->count &&
                        model->resolver->ops->open(model->resolver, s->resolver_index, &source,
                                                   &err) == 0 &&
                        source_read(source, s->offset, bytes + at, s->bytes, &err) == 0,
                    "a copy from beyond the source");
            source_close(source);
        }
        if (s->kind == SEGMENT_PART && encoding_equal(&s->tensor->wanted, &s->tensor->stored)) {
            const struct part *part = &s->tensor->parts[s->part];
            struct err err = ERR_INIT;
            PROMISE(part->bytes == s->bytes &&
                        source_read(model->files[part->file].source, part->offset, bytes + at,
                                    s->bytes, &err) == 0,
                    "a part that is copied from beyond its source");
        }
        at += s->bytes;
    }
    PROMISE(at == file->bytes, "segments do not fill their file");
    return bytes;
}

/* Values in memory, of which some become tensors when they are written. */
static size_t count_constants(const struct graph *graph) {
    size_t count = 0;
    for (size_t i = 0; i < graph->value_count; i++)
        count += graph->values[i]->kind == VALUE_CONSTANT;
    GRAPH_NODES(graph, node) {
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH)
                count += count_constants(node->attrs[a].body);
    }
    return count;
}

/* Tensors that need not come back: a pass took them out, or nothing reads them (a constant of a
 * function, once the function's calls are opened). */
static size_t count_dispensable(const struct model *model) {
    size_t count = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        count += model->tensors[i].removed;
    for (size_t i = 0; model->graph && i < model->graph->value_count; i++) {
        const struct value *value = model->graph->values[i];
        count += value->kind == VALUE_WEIGHT && value->tensor != VALUE_NO_TENSOR &&
                 value->use_count == 0 && value->body_uses == 0 && !value->is_output;
    }
    return count;
}

void fuzz_reopen(const struct model *model, const struct layout *layout) {
    if (layout->bytes > OUTPUT_BYTES_MAX)
        return;
    const struct format *format = format_by_name(model->format->writes_as);
    struct resolver_file *listed = calloc(layout->count + 1, sizeof *listed);
    const void **data = calloc(layout->count + 1, sizeof *data);
    PROMISE(listed && data, "no memory");
    for (size_t i = 0; i < layout->count; i++) {
        listed[i] = (struct resolver_file){layout->files[i].path, layout->files[i].bytes};
        data[i] = render(&layout->files[i], model);
    }
    struct err err = ERR_INIT;
    struct resolver *files = resolver_over_memory(listed, data, layout->count, layout->lone);
    PROMISE(files && format, "no memory");
    /* What was opened as something that it does not look like need not look like it afterwards. */
    PROMISE(!model->format->sniff(model->resolver, &err) || format->sniff(files, &err),
            "the output is not recognised as %s", format->name);
    err_clear(&err);
    struct model *again = open_as(format, files, &err);
    PROMISE(again, "the output does not open: %s", err.text);
    /* In a folder, tensors that only look like pieces of a quantized weight may become one. */
    if (layout->lone) {
        size_t more = model->graph ? count_constants(model->graph) : 0;
        size_t fewer = count_dispensable(model);
        PROMISE(again->tensor_count + fewer >= model->tensor_count &&
                    again->tensor_count <= model->tensor_count + more,
                "the output has %zu tensors instead of %zu", again->tensor_count,
                model->tensor_count);
        PROMISE(again->parameters == model->parameters || more > 0 || fewer > 0,
                "the output has other parameters");
    }
    model_free(again);
    resolver_close(files);
    for (size_t i = 0; i < layout->count; i++)
        free((void *)(uintptr_t)data[i]);
    free(data);
    free(listed);
}

static void lay_out(struct model *model, const char *scheme) {
    static const struct output_facts facts = {"fuzz", "{}", NULL};
    struct arena *arena = arena_new(64 * MIB);
    PROMISE(arena, "no memory");
    struct violations list;
    struct layout layout;
    struct err err = ERR_INIT;
    violations_init(&list, arena);
    layout_init(&layout, arena);
    want(model, scheme, &list);
    if ((model->format->prepare && model->format->prepare(model, &list, &err) < 0) ||
        model->format->lay_out(model, &facts, &layout, &list, &err) < 0) {
        fuzz_check_reason(&err);
    } else {
        PROMISE(!layout.lone || layout.count == 1, "a lone file became %zu files", layout.count);
        fuzz_reopen(model, &layout);
    }
    arena_free(arena);
}

static void run(const char *name, const char *scheme, struct resolver *files) {
    const struct format *format = format_by_name(name);
    struct err err = ERR_INIT;
    PROMISE(files && format, "no memory, or no format %s", name);
    format->sniff(files, &err);
    err_clear(&err);
    struct model *model = open_as(format, files, &err);
    if (model) {
        read_tensors(model);
        if (model->tensor_count > 0)
            lay_out(model, scheme);
    } else {
        fuzz_check_reason(&err);
    }
    model_free(model);
    resolver_close(files);
}

static const char *scheme_of(const char *const *schemes, size_t turn) {
    size_t count = 0;
    while (schemes[count])
        count++;
    PROMISE(count > 0, "no schemes to ask for");
    return schemes[turn % count];
}

void fuzz_model(const char *name, const char *path, const char *const *schemes, const uint8_t *data,
                size_t len) {
    struct resolver_file listed = {path, len};
    const void *bytes = data;
    run(name, scheme_of(schemes, len), resolver_over_memory(&listed, &bytes, 1, true));
}

void fuzz_model_folder(const char *name, const char *const *schemes, size_t turn,
                       const struct resolver_file *files, const void *const *data, size_t count) {
    run(name, scheme_of(schemes, turn), resolver_over_memory(files, data, count, false));
}
