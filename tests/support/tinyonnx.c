/* See the header. */
#include "tests/support/tinyonnx.h"

#include "compress/base/arena.h"
#include "compress/formats/onnx.h"
#include "compress/formats/onnx_proto.h"
#include "compress/tensor/dtype.h"
#include "tests/support/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 1024
#define IR_VERSION 8

static void varint(struct bytebuf *b, uint64_t value) {
    while (value > 127) {
        bytebuf_u8(b, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    bytebuf_u8(b, (uint8_t)value);
}

static void tag(struct bytebuf *b, uint32_t field, unsigned type) {
    varint(b, (uint64_t)field << 3 | type);
}

void tinyonnx_varint(struct bytebuf *b, uint32_t field, uint64_t value) {
    tag(b, field, 0);
    varint(b, value);
}

void tinyonnx_fixed32(struct bytebuf *b, uint32_t field, float value) {
    tag(b, field, 5);
    bytebuf_raw(b, &value, sizeof value);
}

void tinyonnx_bytes(struct bytebuf *b, uint32_t field, const void *data, size_t len) {
    tag(b, field, 2);
    varint(b, len);
    if (len)
        bytebuf_raw(b, data, len);
}

void tinyonnx_text(struct bytebuf *b, uint32_t field, const char *text) {
    tinyonnx_bytes(b, field, text, strlen(text));
}

void tinyonnx_message(struct bytebuf *b, uint32_t field, struct bytebuf *child) {
    tinyonnx_bytes(b, field, child->at, child->len);
    bytebuf_free(child);
}

static void give_up(const char *line) {
    fprintf(stderr, "tinyonnx: what is '%s'?\n", line);
    abort();
}

void tinyonnx_tensor(struct bytebuf *tensor, const char *name, int type, const char *dims) {
    while (*dims) {
        char *end;
        tinyonnx_varint(tensor, ONNX_TENSOR_DIMS, (uint64_t)strtoll(dims, &end, 10));
        dims = *end ? end + 1 : end;
    }
    tinyonnx_varint(tensor, ONNX_TENSOR_DATA_TYPE, (uint64_t)type);
    if (name)
        tinyonnx_text(tensor, ONNX_TENSOR_NAME, name);
}

float tinyonnx_pattern(size_t i) {
    return (float)((int)(i * 37 % 101) - 50) / 64;
}

/* "f32[batch,4]": the type's number; dims without the brackets. */
static int parse_type(char *text, char **ret_dims) {
    char *open = strchr(text, '['), *close = strrchr(text, ']');
    if (!open || !close)
        give_up(text);
    *open = *close = 0;
    *ret_dims = open + 1;
    return dtype_row(dtype_by_name(text))->onnx;
}

static void value_info(struct bytebuf *graph, uint32_t field, const char *name, char *type_text) {
    struct bytebuf info = {0}, type = {0}, tensor = {0}, shape = {0};
    char *dims, *save = NULL;
    int type_number = parse_type(type_text, &dims);
    tinyonnx_text(&info, ONNX_VALUE_NAME, name);
    tinyonnx_varint(&tensor, ONNX_TYPE_TENSOR_ELEM, (uint64_t)type_number);
    for (char *one = strtok_r(dims, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        struct bytebuf dim = {0};
        if (*one >= '0' && *one <= '9')
            tinyonnx_varint(&dim, ONNX_DIM_VALUE, strtoull(one, NULL, 10));
        else if (*one != '?')
            tinyonnx_text(&dim, ONNX_DIM_PARAM, one);
        tinyonnx_message(&shape, ONNX_SHAPE_DIM, &dim);
    }
    tinyonnx_message(&tensor, ONNX_TYPE_TENSOR_SHAPE, &shape);
    tinyonnx_message(&type, ONNX_TYPE_TENSOR_TYPE, &tensor);
    tinyonnx_message(&info, ONNX_VALUE_TYPE, &type);
    tinyonnx_message(graph, field, &info);
}

static void weight(struct bytebuf *graph, const char *name, char *type_text) {
    struct bytebuf tensor = {0}, raw = {0};
    char *dims;
    size_t count = 1;
    int type = parse_type(type_text, &dims);
    for (const char *at = dims; *at;) {
        char *end;
        count *= strtoull(at, &end, 10);
        at = *end ? end + 1 : end;
    }
    tinyonnx_tensor(&tensor, name, type, dims);
    for (size_t i = 0; i < count; i++) {
        float value = tinyonnx_pattern(i);
        if (type == dtype_row(DTYPE_F32)->onnx)
            bytebuf_raw(&raw, &value, sizeof value);
        else /* the pattern of bits is all that counts */
            for (unsigned k = 0; k < dtype_row(dtype_by_onnx(type))->bytes; k++)
                bytebuf_u8(&raw, k ? 0 : (uint8_t)(i * 37 % 101));
    }
    tinyonnx_bytes(&tensor, ONNX_TENSOR_RAW_DATA, raw.at, raw.len);
    bytebuf_free(&raw);
    tinyonnx_message(graph, ONNX_GRAPH_INITIALIZER, &tensor);
}

static void numbers(struct bytebuf *graph, const char *kind, const char *name, char *save) {
    struct bytebuf tensor = {0}, raw = {0};
    bool floats = kind[0] == 'f', scalar = strcmp(kind, "int") == 0 || strcmp(kind, "float") == 0;
    size_t count = 0;
    char dims[24] = "";
    for (char *one = strtok_r(NULL, " ", &save); one; one = strtok_r(NULL, " ", &save), count++) {
        float f = strtof(one, NULL);
        int64_t i = strtoll(one, NULL, 10);
        if (floats)
            bytebuf_raw(&raw, &f, sizeof f);
        else
            bytebuf_raw(&raw, &i, sizeof i);
    }
    if (!scalar)
        snprintf(dims, sizeof dims, "%zu", count);
    tinyonnx_tensor(&tensor, name, dtype_row(floats ? DTYPE_F32 : DTYPE_I64)->onnx, dims);
    tinyonnx_bytes(&tensor, ONNX_TENSOR_RAW_DATA, raw.at, raw.len);
    bytebuf_free(&raw);
    tinyonnx_message(graph, ONNX_GRAPH_INITIALIZER, &tensor);
}

/* "axis=1" */
static void attribute(struct bytebuf *node, char *text) {
    struct bytebuf attr = {0};
    char *value = strchr(text, '=');
    *value++ = 0;
    bool number = strchr("-0123456789.", *value) != NULL;
    tinyonnx_text(&attr, ONNX_ATTR_NAME, text);
    if (value[0] == '@') {
        bool is_int = value[1] == '@';
        tinyonnx_text(&attr, ONNX_ATTR_REF_NAME, value + 1 + is_int);
        tinyonnx_varint(&attr, ONNX_ATTR_TYPE, is_int ? ONNX_TYPE_INT : ONNX_TYPE_FLOAT);
    } else if (number && strchr(value, ',')) {
        char *save = NULL;
        for (char *one = strtok_r(value, ",", &save); one; one = strtok_r(NULL, ",", &save))
            tinyonnx_varint(&attr, ONNX_ATTR_INTS, (uint64_t)strtoll(one, NULL, 10));
        tinyonnx_varint(&attr, ONNX_ATTR_TYPE, ONNX_TYPE_INTS);
    } else if (number && strpbrk(value, ".e")) {
        tinyonnx_fixed32(&attr, ONNX_ATTR_F, strtof(value, NULL));
        tinyonnx_varint(&attr, ONNX_ATTR_TYPE, ONNX_TYPE_FLOAT);
    } else if (number) {
        tinyonnx_varint(&attr, ONNX_ATTR_I, (uint64_t)strtoll(value, NULL, 10));
        tinyonnx_varint(&attr, ONNX_ATTR_TYPE, ONNX_TYPE_INT);
    } else {
        tinyonnx_text(&attr, ONNX_ATTR_S, value);
        tinyonnx_varint(&attr, ONNX_ATTR_TYPE, ONNX_TYPE_STRING);
    }
    tinyonnx_message(node, ONNX_NODE_ATTRIBUTE, &attr);
}

void tinyonnx_node(struct bytebuf *node, const char *line) {
    char copy[LINE_BYTES], *save = NULL;
    snprintf(copy, sizeof copy, "%s", line);
    char *op = strtok_r(copy, " ", &save);
    bool outputs = false;
    for (char *one = strtok_r(NULL, " ", &save); one; one = strtok_r(NULL, " ", &save)) {
        if (strcmp(one, "->") == 0)
            outputs = true;
        else if (one[0] == '#')
            tinyonnx_text(node, ONNX_NODE_NAME, one + 1);
        else if (strchr(one, '='))
            attribute(node, one);
        else
            tinyonnx_text(node, outputs ? ONNX_NODE_OUTPUT : ONNX_NODE_INPUT,
                          strcmp(one, "-") == 0 ? "" : one);
    }
    if (!op || !outputs)
        give_up(line);
    char *dot = strrchr(op, '.');
    tinyonnx_text(node, ONNX_NODE_OP_TYPE, dot ? dot + 1 : op);
    if (dot) {
        *dot = 0;
        tinyonnx_text(node, ONNX_NODE_DOMAIN, op);
    }
}

void tinyonnx_body(struct bytebuf *node, const char *name, const char *lines) {
    struct bytebuf attr = {0}, graph = {0};
    tinyonnx_graph(&graph, lines);
    tinyonnx_text(&attr, ONNX_ATTR_NAME, name);
    tinyonnx_message(&attr, ONNX_ATTR_G, &graph);
    tinyonnx_varint(&attr, ONNX_ATTR_TYPE, ONNX_TYPE_GRAPH);
    tinyonnx_message(node, ONNX_NODE_ATTRIBUTE, &attr);
}

static void graph_line(struct bytebuf *graph, const char *line) {
    static const struct {
        const char *word;
        uint32_t field;
    } infos[] = {{"input", ONNX_GRAPH_INPUT},
                 {"output", ONNX_GRAPH_OUTPUT},
                 {"info", ONNX_GRAPH_VALUE_INFO}};
    char copy[LINE_BYTES], *save = NULL;
    snprintf(copy, sizeof copy, "%s", line);
    char *word = strtok_r(copy, " ", &save), *name = strtok_r(NULL, " ", &save);
    if (!word)
        return;
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++)
        if (strcmp(word, infos[i].word) == 0) {
            value_info(graph, infos[i].field, name, strtok_r(NULL, " ", &save));
            return;
        }
    if (strcmp(word, "weight") == 0) {
        weight(graph, name, strtok_r(NULL, " ", &save));
    } else if (strcmp(word, "floats") == 0 || strcmp(word, "ints") == 0 ||
               strcmp(word, "int") == 0 || strcmp(word, "float") == 0) {
        numbers(graph, word, name, save);
    } else {
        struct bytebuf node = {0};
        tinyonnx_node(&node, line);
        tinyonnx_message(graph, ONNX_GRAPH_NODE, &node);
    }
}

void tinyonnx_graph(struct bytebuf *graph, const char *lines) {
    char line[LINE_BYTES];
    while (*lines) {
        size_t len = strcspn(lines, "\n");
        if (len >= sizeof line)
            give_up(lines);
        memcpy(line, lines, len);
        line[len] = 0;
        graph_line(graph, line);
        lines += len + (lines[len] != 0);
    }
    tinyonnx_text(graph, ONNX_GRAPH_NAME, "tiny");
}

/* The lines of nodes as fields `number`. */
static void node_lines(struct bytebuf *b, uint32_t number, const char *lines) {
    char line[LINE_BYTES];
    while (*lines) {
        int len = (int)strcspn(lines, "\n");
        struct bytebuf node = {0};
        snprintf(line, sizeof line, "%.*s", len, lines);
        tinyonnx_node(&node, line);
        tinyonnx_message(b, number, &node);
        lines += len + (lines[len] != 0);
    }
}

void tinyonnx_function(struct bytebuf *model, const char *head, const char *lines) {
    char copy[LINE_BYTES], *save = NULL;
    snprintf(copy, sizeof copy, "%s", head);
    char *name = strtok_r(copy, " ", &save), *dot = strrchr(name, '.');
    struct bytebuf f = {0};
    bool outputs = false;
    *dot = 0;
    tinyonnx_text(&f, ONNX_FUNCTION_NAME, dot + 1);
    for (char *one = strtok_r(NULL, " ", &save); one; one = strtok_r(NULL, " ", &save))
        if (strcmp(one, "->") == 0)
            outputs = true;
        else
            tinyonnx_text(&f, outputs ? ONNX_FUNCTION_OUTPUT : ONNX_FUNCTION_INPUT, one);
    node_lines(&f, ONNX_FUNCTION_NODE, lines);
    tinyonnx_opset(&f, ONNX_FUNCTION_OPSET_IMPORT, "", 17);
    tinyonnx_text(&f, ONNX_FUNCTION_DOMAIN, name);
    tinyonnx_message(model, ONNX_MODEL_FUNCTIONS, &f);
}

void tinyonnx_opset(struct bytebuf *model, uint32_t field, const char *domain, uint64_t version) {
    struct bytebuf opset = {0};
    tinyonnx_text(&opset, ONNX_OPSET_DOMAIN, domain);
    tinyonnx_varint(&opset, ONNX_OPSET_VERSION, version);
    tinyonnx_message(model, field, &opset);
}

void tinyonnx_model(struct bytebuf *model, uint64_t ir_version, uint64_t opset,
                    struct bytebuf *graph) {
    tinyonnx_varint(model, ONNX_MODEL_IR_VERSION, ir_version);
    tinyonnx_message(model, ONNX_MODEL_GRAPH, graph);
    tinyonnx_opset(model, ONNX_MODEL_OPSET_IMPORT, "", opset);
}

void tinyonnx_lines(struct bytebuf *model, uint64_t opset, const char *lines) {
    struct bytebuf graph = {0};
    tinyonnx_graph(&graph, lines);
    tinyonnx_model(model, IR_VERSION, opset, &graph);
}

int tinyonnx_open_files(struct tinyonnx *t, struct err *err) {
    t->resolver = memfiles_resolver(&t->files);
    if (format_open(t->resolver, &t->model, err) == 0)
        return 0;
    resolver_close(t->resolver);
    memfiles_free(&t->files);
    return -1;
}

int tinyonnx_open(struct tinyonnx *t, struct bytebuf *model, struct err *err) {
    *t = (struct tinyonnx){.files = {.lone = true}};
    memfiles_add(&t->files, "m.onnx", model->at, model->len);
    bytebuf_free(model);
    return tinyonnx_open_files(t, err);
}

void tinyonnx_close(struct tinyonnx *t) {
    model_free(t->model);
    resolver_close(t->resolver);
    memfiles_free(&t->files);
}

void tinyonnx_write(const struct tinyonnx *t, uint64_t limit_bytes, struct memfiles *ret) {
    static const struct output_facts facts = {"test", "{}", NULL};
    struct arena *arena = arena_new(64 * MIB);
    struct violations warnings;
    struct layout layout;
    struct err err = ERR_INIT;
    CHECK(arena);
    violations_init(&warnings, arena);
    layout_init(&layout, arena);
    CHECK_OK(onnx_lay_out_within(t->model, &facts, limit_bytes ? limit_bytes : ONNX_FILE_BYTES_MAX,
                                 &layout, &warnings, &err),
             &err);
    memfiles_emit(t->model, &layout, ret);
    arena_free(arena);
}
