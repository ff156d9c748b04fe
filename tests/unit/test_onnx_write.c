/* Writing ONNX models: untouched ones come out byte for byte; every kind of change is written so
 * that the reader sees it, and leaves the rest alone. */
#include "compress/formats/onnx.h"

#include "compress/base/arena.h"
#include "compress/formats/onnx_proto.h"
#include "compress/graph/graph.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void open_model(struct tinyonnx *t, struct bytebuf *model) {
    struct err err = ERR_INIT;
    CHECK_OK(tinyonnx_open(t, model, &err), &err);
}

static void open_lines(struct tinyonnx *t, const char *lines) {
    struct bytebuf model = {0};
    tinyonnx_lines(&model, 17, lines);
    open_model(t, &model);
}

/* Writes t and opens what was written. */
static void rewrite(const struct tinyonnx *t, uint64_t limit_bytes, struct tinyonnx *ret) {
    struct err err = ERR_INIT;
    *ret = (struct tinyonnx){{{{0}}}};
    tinyonnx_write(t, limit_bytes, &ret->files);
    CHECK_OK(tinyonnx_open_files(ret, &err), &err);
}

static void check_same_bytes(const struct tinyonnx *t) {
    struct memfiles written;
    tinyonnx_write(t, 0, &written);
    CHECK_UINT(written.count, t->files.count);
    for (size_t i = 0; i < written.count; i++) {
        size_t len;
        const char *bytes = memfiles_get(&t->files, written.files[i].path, &len);
        CHECK_UINT(written.files[i].bytes, len);
        CHECK_BYTES(written.data[i], bytes, len);
    }
    memfiles_free(&written);
}

/* "MatMul Relu ..." */
static void check_ops(const struct graph *graph, const char *want) {
    char ops[256] = "";
    GRAPH_NODES(graph, node) {
        strcat(strcat(ops, ops[0] ? " " : ""), node->op_type);
    }
    CHECK_TEXT(ops, want);
}

static bool file_holds(const struct tinyonnx *t, const char *text) {
    const char *bytes = t->files.data[0];
    size_t len = (size_t)t->files.files[0].bytes, n = strlen(text);
    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(bytes + i, text, n) == 0)
            return true;
    return false;
}

static struct node *node_of(const struct tinyonnx *t, const char *output) {
    return graph_value(t->model->graph, output)->producer;
}

static const char chain[] = "input x f32[2,4]\nweight w f32[4,4]\nweight b f32[4]\n"
                            "MatMul x w -> t\nAdd t b -> u\nRelu u -> v\nRelu v -> y\n"
                            "info t f32[2,4]\ninfo u f32[2,4]\noutput y f32[2,4]";

static void add_if(struct bytebuf *graph, const char *in, const char *out) {
    struct bytebuf node = {0};
    char line[64], body[128];
    snprintf(line, sizeof line, "If c -> %s", out);
    tinyonnx_node(&node, line);
    snprintf(body, sizeof body, "weight k f32[2]\nAdd %s k -> m\nRelu m -> n\noutput n f32[2]", in);
    tinyonnx_body(&node, "then_branch", body);
    snprintf(body, sizeof body, "Relu %s -> n\noutput n f32[2]", in);
    tinyonnx_body(&node, "else_branch", body);
    tinyonnx_text(&node, 6, "a note on the node");
    tinyonnx_message(graph, ONNX_GRAPH_NODE, &node);
}

static void with_bodies(struct bytebuf *model) {
    struct bytebuf graph = {0};
    tinyonnx_graph(&graph, "input x f32[2]\ninput c bool[]\nRelu x -> r");
    add_if(&graph, "r", "y");
    tinyonnx_graph(&graph, "output y f32[2]");
    tinyonnx_model(model, 8, 17, &graph);
}

static void with_functions(struct bytebuf *model) {
    tinyonnx_function(model, "d.F a k -> out", "Add a k -> t\nRelu t -> u\nx.Op u -> out p=@q");
    tinyonnx_opset(model, ONNX_MODEL_OPSET_IMPORT, "d", 1);
    tinyonnx_opset(model, ONNX_MODEL_OPSET_IMPORT, "x", 1);
    tinyonnx_lines(model, 17,
                   "input x f32[2]\nweight w f32[2]\nweight v f32[2]\n"
                   "d.F x w -> m q=1.5\nd.F m v -> y q=2.5\noutput y f32[2]");
}

static void untouched_byte_for_byte(void **state) {
    struct bytebuf model = {0}, graph = {0}, tensor = {0};
    struct tinyonnx t;
    open_lines(&t, chain);
    check_same_bytes(&t);
    tinyonnx_close(&t);
    with_bodies(&model);
    open_model(&t, &model);
    check_same_bytes(&t);
    tinyonnx_close(&t);
    with_functions(&model);
    open_model(&t, &model);
    check_same_bytes(&t);
    tinyonnx_close(&t);
    /* lists, texts, unknown fields at every level, constants between the nodes, lengths that are
     * longer than they need be */
    tinyonnx_text(&graph, 10, "a note");
    tinyonnx_tensor(&tensor, "i", 7, "2");
    tinyonnx_varint(&tensor, ONNX_TENSOR_INT64_DATA, 1);
    tinyonnx_varint(&tensor, ONNX_TENSOR_INT64_DATA, 2);
    tinyonnx_text(&tensor, 99, "unknown");
    tinyonnx_message(&graph, ONNX_GRAPH_INITIALIZER, &tensor);
    tinyonnx_tensor(&tensor, "s", 8, "1");
    tinyonnx_text(&tensor, ONNX_TENSOR_STRING_DATA, "text");
    tinyonnx_message(&graph, ONNX_GRAPH_INITIALIZER, &tensor);
    tinyonnx_graph(&graph, "input x f32[2]\nConstant -> c value_ints=1,2\nx.Op x i -> t\n"
                           "Constant -> d value_float=2.5\nx.Op t s c d -> y p=1,2\n"
                           "output y f32[2]\ninfo nobody f32[2]");
    tinyonnx_text(&graph, 98, "unknown");
    bytebuf_raw(&model, "\x08\x88\x80\x00", 4); /* ir_version 8 */
    tinyonnx_model(&model, 9, 17, &graph);      /* and again: the last one counts */
    tinyonnx_text(&model, 97, "unknown");
    open_model(&t, &model);
    check_same_bytes(&t);
    tinyonnx_close(&t);
}

static void a_node_removed(void **state) {
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    open_lines(&t, chain);
    struct node *relu = node_of(&t, "v");
    CHECK_OK(graph_replace_value(t.model->graph, relu->out[0], relu->in[0], &err), &err);
    graph_remove_node(relu);
    rewrite(&t, 0, &again);
    check_ops(again.model->graph, "MatMul Add Relu");
    CHECK_TEXT(again.model->graph->last->in[0]->name, "u");
    CHECK(file_holds(&again, "compressd")); /* said in the model's notes */
    CHECK(!file_holds(&t, "compressd"));
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

static void a_weight_that_nobody_reads_goes(void **state) {
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    open_lines(&t, chain);
    struct node *add = node_of(&t, "u");
    CHECK_OK(graph_replace_value(t.model->graph, add->out[0], add->in[0], &err), &err);
    CHECK_UINT(graph_remove_dead(t.model->graph), 1);
    rewrite(&t, 0, &again);
    check_ops(again.model->graph, "MatMul Relu Relu");
    CHECK_UINT(again.model->tensor_count, 1);
    CHECK(!graph_value(again.model->graph, "b"));
    CHECK(!file_holds(&again, "\nu\x12")); /* its value_info went too */
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

static struct node *insert(struct graph *graph, struct node *before, const char *op_type,
                           const char *domain, int64_t version, struct value *in,
                           struct value *more, const char *out) {
    struct err err = ERR_INIT;
    struct value *ins[] = {in, more}, *outs[1];
    static const int64_t ints[] = {3, -4};
    static const float floats[] = {1.5f, 2};
    static const struct attr attrs[] = {
        {.name = "i", .kind = ATTR_INT, .i = -7},
        {.name = "f", .kind = ATTR_FLOAT, .f = 0.25f},
        {.name = "s", .kind = ATTR_STRING, .s = {(const uint8_t *)"word", 4}},
        {.name = "is", .kind = ATTR_INTS, .count = 2, .ints = ints},
        {.name = "fs", .kind = ATTR_FLOATS, .count = 2, .floats = floats},
    };
    CHECK_OK(graph_add_value(graph, out, &outs[0], &err), &err);
    struct node_spec spec = {.name = "made",
                             .op_type = op_type,
                             .domain = domain,
                             .version = version,
                             .in = ins,
                             .in_count = more ? 2 : 1,
                             .out = outs,
                             .out_count = 1,
                             .attrs = domain[0] ? attrs : NULL,
                             .attr_count = domain[0] ? 5 : 0};
    struct node *node;
    CHECK_OK(graph_add_node(graph, before, &spec, &node, &err), &err);
    return node;
}

static void a_node_inserted(void **state) {
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    const int64_t *ints;
    size_t count;
    open_lines(&t, chain);
    struct graph *g = t.model->graph;
    static float data[] = {5, 6};
    static const struct array array = {
        .dtype = DTYPE_F32, .rank = 1, .dims = {2}, .elements = 2, .data = data};
    struct value *constant;
    CHECK_OK(graph_add_constant(g, "fresh", &array, &constant, &err), &err);
    struct node *add = node_of(&t, "u");
    struct node *made = insert(g, add, "Op", "com.new", 2, add->in[0], constant, "made_out");
    CHECK_OK(graph_set_input(add, 0, made->out[0], &err), &err);
    CHECK_OK(graph_verify(g, &err), &err);
    rewrite(&t, 0, &again);
    check_ops(again.model->graph, "MatMul Op Add Relu Relu");
    const struct node *op = again.model->graph->first->next;
    CHECK_TEXT(op->domain, "com.new");
    CHECK_INT(op->version, 2); /* the operator set was imported */
    CHECK_TEXT(op->name, "made");
    CHECK_INT(node_int(op, "i", 0), -7);
    CHECK_NUM(node_float(op, "f", 0), 0.25, 0);
    CHECK_TEXT(node_string(op, "s", ""), "word");
    CHECK(node_ints(op, "is", &ints, &count) && count == 2 && ints[1] == -4);
    CHECK_NUM(node_attr(op, "fs")->floats[0], 1.5, 0);
    CHECK_NUM(array_number(op->in[1]->data, 1), 6, 0);
    CHECK_TEXT(op->next->in[0]->name, "made_out");
    check_same_bytes(&again); /* and what we wrote is read and written untouched */
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

static void a_version_that_is_not_the_models(void **state) {
    struct tinyonnx t;
    struct arena *arena = arena_new(MIB);
    struct layout layout;
    struct violations warnings;
    struct err err = ERR_INIT;
    static const struct output_facts facts = {"test", "{}", NULL};
    open_lines(&t, chain);
    struct node *add = node_of(&t, "u");
    struct node *made = insert(t.model->graph, add, "Relu", "", 18, add->in[0], NULL, "made_out");
    CHECK_OK(graph_set_input(add, 0, made->out[0], &err), &err);
    layout_init(&layout, arena);
    violations_init(&warnings, arena);
    CHECK_FAILS(onnx_lay_out(t.model, &facts, &layout, &warnings, &err), &err, ERR_UNSUPPORTED);
    arena_free(arena);
    tinyonnx_close(&t);
}

/* A changed node keeps what is not ours: its note, fields that nobody knows. */
static void a_node_changed(void **state) {
    struct bytebuf model = {0}, graph = {0}, node = {0};
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    tinyonnx_node(&node, "x.Op x w -> y alpha=0.5 list=1,2");
    tinyonnx_text(&node, ONNX_NODE_NAME, "the node");
    tinyonnx_text(&node, 6, "a note");
    tinyonnx_text(&node, 88, "unknown field");
    tinyonnx_message(&graph, ONNX_GRAPH_NODE, &node);
    tinyonnx_graph(&graph, "input x f32[2]\nweight w f32[2]\nweight v f32[2]\noutput y f32[2]");
    tinyonnx_opset(&model, ONNX_MODEL_OPSET_IMPORT, "x", 1);
    tinyonnx_model(&model, 8, 17, &graph);
    open_model(&t, &model);
    CHECK_OK(graph_set_input(t.model->graph->first, 1, graph_value(t.model->graph, "v"), &err),
             &err);
    rewrite(&t, 0, &again);
    CHECK_TEXT(again.model->graph->first->in[1]->name, "v");
    CHECK_TEXT(again.model->graph->first->name, "the node");
    CHECK_NUM(node_float(again.model->graph->first, "alpha", 0), 0.5, 0);
    CHECK(file_holds(&again, "a note"));
    CHECK(file_holds(&again, "unknown field"));
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

static void outputs_keep_their_names(void **state) {
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    open_lines(&t, chain);
    struct node *last = node_of(&t, "y");
    CHECK_OK(graph_replace_value(t.model->graph, last->out[0], last->in[0], &err), &err);
    graph_remove_node(last);
    rewrite(&t, 0, &again);
    check_ops(again.model->graph, "MatMul Add Relu Identity");
    CHECK_TEXT(again.model->graph->outputs[0]->name, "y");
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

static void constants_stay_before_their_readers(void **state) {
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    open_lines(&t, "input x f32[2]\nRelu x -> t\nRelu t -> u\nConstant -> c value_float=0.5\n"
                   "Mul u c -> y\noutput y f32[2]");
    struct node *second = node_of(&t, "u");
    struct node *made = insert(t.model->graph, second, "Add", "", 17, second->in[0],
                               graph_value(t.model->graph, "c"), "made_out");
    CHECK_OK(graph_set_input(second, 0, made->out[0], &err), &err);
    rewrite(&t, 0, &again);
    check_ops(again.model->graph, "Relu Add Relu Mul");
    /* The Constant is the first node of the file. */
    const char *file = again.files.data[0];
    size_t len = (size_t)again.files.files[0].bytes;
    const char *constant = memmem(file, len, "Constant", 8), *relu = memmem(file, len, "Relu", 4);
    CHECK(constant && relu && constant < relu);
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

static void a_body_changed(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    with_bodies(&model);
    open_model(&t, &model);
    struct graph *body = node_attr(t.model->graph->last, "then_branch")->body;
    struct node *relu = body->last;
    CHECK_OK(graph_replace_value(body, relu->out[0], relu->in[0], &err), &err);
    graph_remove_node(relu);
    rewrite(&t, 0, &again);
    const struct node *node = again.model->graph->last;
    check_ops(node_attr(node, "else_branch")->body, "Relu");
    check_ops(node_attr(node, "then_branch")->body, "Add Identity");
    CHECK(file_holds(&again, "a note on the node"));
    CHECK_TEXT(again.model->tensors[0].name, t.model->tensors[0].name);
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

/* What a body reads of the graph around it gets another name there. */
static void a_body_follows_the_graph_around(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    with_bodies(&model);
    open_model(&t, &model);
    struct node *relu = t.model->graph->first;
    CHECK_OK(graph_replace_value(t.model->graph, relu->out[0], relu->in[0], &err), &err);
    CHECK_UINT(graph_remove_dead(t.model->graph), 1);
    rewrite(&t, 0, &again);
    check_ops(again.model->graph, "If");
    const struct graph *body = node_attr(again.model->graph->last, "then_branch")->body;
    CHECK_TEXT(body->first->in[0]->name, "x");
    CHECK(file_holds(&again, "a note on the node"));
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

/* One call of two is touched: it is written as its nodes, the other as a call. */
static void a_call_opened(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    with_functions(&model);
    open_model(&t, &model);
    check_ops(t.model->graph, "Add Relu Op Add Relu Op");
    struct node *relu = t.model->graph->first->next;
    CHECK_OK(graph_replace_value(t.model->graph, relu->out[0], relu->in[0], &err), &err);
    graph_remove_node(relu);
    rewrite(&t, 0, &again);
    check_ops(again.model->graph, "Add Op Add Relu Op");
    const struct node *first = again.model->graph->first;
    CHECK_UINT(first->origin.call, 0);
    CHECK_TEXT(first->out[0]->name, "m/t");
    CHECK_NUM(node_float(first->next, "p", 0), 1.5, 0); /* under the function's name for it */
    CHECK_TEXT(first->next->out[0]->name, "m");
    CHECK_UINT(first->next->next->origin.call, 1);
    CHECK_NUM(node_float(again.model->graph->last, "p", 0), 2.5, 0);
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

/* A value within a call that is read outside cannot stay within. */
static void a_call_looked_into(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    with_functions(&model);
    open_model(&t, &model);
    struct value *inner = t.model->graph->first->out[0];
    CHECK_OK(graph_add_output(t.model->graph, inner, &err), &err);
    rewrite(&t, 0, &again);
    CHECK_UINT(again.model->graph->output_count, 2);
    CHECK_TEXT(again.model->graph->outputs[1]->name, inner->name);
    CHECK_UINT(again.model->graph->first->origin.call, 0);
    CHECK_UINT(again.model->graph->last->origin.call, 1);
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

static void a_new_initializer_in_an_old_model(void **state) {
    struct bytebuf graph = {0}, model = {0};
    struct tinyonnx t, again;
    struct err err = ERR_INIT;
    static float data[] = {5, 6};
    static const struct array array = {
        .dtype = DTYPE_F32, .rank = 1, .dims = {2}, .elements = 2, .data = data};
    tinyonnx_graph(&graph, "input w f32[2]\ninput x f32[2]\nweight w f32[2]\nAdd x w -> y\n"
                           "output y f32[2]");
    tinyonnx_model(&model, 3, 8, &graph);
    open_model(&t, &model);
    struct value *constant;
    CHECK_OK(graph_add_constant(t.model->graph, "fresh", &array, &constant, &err), &err);
    CHECK_OK(graph_set_input(t.model->graph->first, 1, constant, &err), &err);
    graph_remove_dead(t.model->graph);
    rewrite(&t, 0, &again);
    CHECK_INT(((const struct onnx *)again.model->private)->ir_version, 4);
    CHECK_UINT(again.model->graph->input_count, 1); /* w is no input any more */
    CHECK_TEXT(again.model->graph->inputs[0]->name, "x");
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

static void check_weights(const struct tinyonnx *a, const struct tinyonnx *b) {
    CHECK_UINT(a->model->tensor_count, b->model->tensor_count);
    for (size_t i = 0; i < a->model->tensor_count; i++) {
        const struct tensor *x = &a->model->tensors[i];
        const struct tensor *y = model_tensor(b->model, "", x->name);
        struct err err = ERR_INIT;
        CHECK(y != NULL);
        const struct part *p = &x->parts[PART_DATA], *q = &y->parts[PART_DATA];
        CHECK_UINT(p->bytes, q->bytes);
        char *left = malloc(p->bytes + 1), *right = malloc(p->bytes + 1);
        CHECK_OK(source_read(a->model->files[p->file].source, p->offset, left, p->bytes, &err),
                 &err);
        CHECK_OK(source_read(b->model->files[q->file].source, q->offset, right, q->bytes, &err),
                 &err);
        CHECK_BYTES(left, right, p->bytes);
        free(left);
        free(right);
    }
}

/* Above the ceiling the larger weights move out, a Constant's too; and stay out. */
static void too_large_for_one_file(void **state) {
    struct bytebuf graph = {0}, model = {0}, node = {0}, attr = {0}, tensor = {0}, raw = {0};
    struct tinyonnx t, again;
    tinyonnx_tensor(&tensor, NULL, 1, "512");
    for (int i = 0; i < 512; i++)
        bytebuf_raw(&raw, &(float){(float)i}, sizeof(float));
    tinyonnx_message(&tensor, ONNX_TENSOR_RAW_DATA, &raw);
    tinyonnx_text(&attr, ONNX_ATTR_NAME, "value");
    tinyonnx_message(&attr, ONNX_ATTR_T, &tensor);
    tinyonnx_node(&node, "Constant -> c");
    tinyonnx_message(&node, ONNX_NODE_ATTRIBUTE, &attr);
    tinyonnx_message(&graph, ONNX_GRAPH_NODE, &node);
    tinyonnx_graph(&graph, "input x f32[64]\nweight w f32[64,64]\nweight v f32[64,64]\n"
                           "weight small f32[64]\nx.Op x w v c small -> y\noutput y f32[64]");
    tinyonnx_model(&model, 8, 17, &graph);
    open_model(&t, &model);
    rewrite(&t, 4096, &again);
    CHECK_UINT(again.files.count, 2);
    CHECK(!again.files.lone);
    CHECK(memfiles_has(&again.files, "m.onnx.data"));
    for (size_t i = 0; i < again.model->tensor_count; i++) {
        const struct tensor *tensor_now = &again.model->tensors[i];
        const struct part *part = &tensor_now->parts[PART_DATA];
        bool outside = strcmp(again.model->files[part->file].path, "m.onnx.data") == 0;
        CHECK_INT(outside, strcmp(tensor_now->name, "small") != 0);
        if (outside && part->bytes >= 4096)
            CHECK_UINT(part->offset % 4096, 0);
    }
    check_weights(&t, &again);
    check_same_bytes(&again);
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

static void larger_than_that_even_so(void **state) {
    struct tinyonnx t;
    struct arena *arena = arena_new(MIB);
    struct layout layout;
    struct violations warnings;
    struct err err = ERR_INIT;
    static const struct output_facts facts = {"test", "{}", NULL};
    open_lines(&t, chain);
    layout_init(&layout, arena);
    violations_init(&warnings, arena);
    CHECK_FAILS(onnx_lay_out_within(t.model, &facts, 64, &layout, &warnings, &err), &err,
                ERR_TOO_LARGE);
    arena_free(arena);
    tinyonnx_close(&t);
}

/* A weight in a file beside the model becomes shorter: that file is laid out anew, in pages. */
static void external_data_rewritten(void **state) {
    struct tinyonnx t, outside, again;
    open_lines(&t,
               "input x f32[64]\nweight w f32[64,64]\nweight v f32[64,64]\nweight u f32[64,64]\n"
               "x.Op x w v u -> y\noutput y f32[64]");
    rewrite(&t, 4096, &outside);
    struct tensor *first = &outside.model->tensors[0];
    first->wanted = encoding_plain(DTYPE_F16);
    graph_value(outside.model->graph, first->name)->type.dtype = DTYPE_F16;
    rewrite(&outside, 0, &again);
    CHECK_UINT(again.files.count, 2);
    CHECK_UINT(again.model->tensors[0].stored.dtype, DTYPE_F16);
    CHECK_UINT(again.model->tensors[0].parts[PART_DATA].bytes, 8192);
    CHECK_UINT(again.model->tensors[1].parts[PART_DATA].offset, 8192);
    CHECK_UINT(again.model->tensors[2].parts[PART_DATA].offset, 8192 + 16384);
    float value;
    struct err err = ERR_INIT;
    CHECK_OK(source_read(again.model->files[1].source, 8192 + 4, &value, 4, &err), &err);
    CHECK_NUM(value, tinyonnx_pattern(1), 0);
    tinyonnx_close(&again);
    tinyonnx_close(&outside);
    tinyonnx_close(&t);
}

static void a_weight_stored_in_half_the_bytes(void **state) {
    struct tinyonnx t, again;
    open_lines(&t, "input x f32[4]\nweight w f32[4,4]\nx.Op x w -> y\noutput y f32[4]");
    t.model->tensors[0].wanted = encoding_plain(DTYPE_F16);
    graph_value(t.model->graph, "w")->type.dtype = DTYPE_F16;
    rewrite(&t, 0, &again);
    CHECK_INT(again.model->tensors[0].stored.dtype, DTYPE_F16);
    CHECK_UINT(again.model->tensors[0].parts[PART_DATA].bytes, 32);
    CHECK(file_holds(&again, "compressd"));
    tinyonnx_close(&again);
    tinyonnx_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(untouched_byte_for_byte),
        cmocka_unit_test(a_node_removed),
        cmocka_unit_test(a_weight_that_nobody_reads_goes),
        cmocka_unit_test(a_node_inserted),
        cmocka_unit_test(a_version_that_is_not_the_models),
        cmocka_unit_test(a_node_changed),
        cmocka_unit_test(outputs_keep_their_names),
        cmocka_unit_test(constants_stay_before_their_readers),
        cmocka_unit_test(a_body_changed),
        cmocka_unit_test(a_body_follows_the_graph_around),
        cmocka_unit_test(a_call_opened),
        cmocka_unit_test(a_call_looked_into),
        cmocka_unit_test(a_new_initializer_in_an_old_model),
        cmocka_unit_test(too_large_for_one_file),
        cmocka_unit_test(larger_than_that_even_so),
        cmocka_unit_test(external_data_rewritten),
        cmocka_unit_test(a_weight_stored_in_half_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
