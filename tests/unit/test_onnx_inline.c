/* Functions of the model: calls become nodes. */
#include "compress/formats/onnx_reader.h"

#include "compress/formats/onnx_proto.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void open_model(struct tinyonnx *t, struct bytebuf *model) {
    struct err err = ERR_INIT;
    CHECK_OK(tinyonnx_open(t, model, &err), &err);
    CHECK_OK(graph_verify(t->model->graph, &err), &err);
}

/* "MatMul Relu ..." */
static void check_ops(const struct graph *graph, const char *want) {
    char ops[256] = "";
    GRAPH_NODES(graph, node) {
        strcat(strcat(ops, ops[0] ? " " : ""), node->op_type);
    }
    CHECK_TEXT(ops, want);
}

static void a_call(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t;
    tinyonnx_function(&model, "d.F a b -> out", "Add a b -> t\nRelu t -> out");
    tinyonnx_lines(&model, 17,
                   "input x f32[2]\nweight w f32[2]\nRelu x -> r\nd.F r w -> s\n"
                   "d.F s w -> y\noutput y f32[2]");
    open_model(&t, &model);
    const struct graph *g = t.model->graph;
    check_ops(g, "Relu Add Relu Add Relu");
    CHECK_UINT(g->first->origin.call, 0);
    const struct node *add = g->first->next;
    CHECK_UINT(add->origin.call, 1);
    CHECK_TEXT(add->in[0]->name, "r");
    CHECK_TEXT(add->out[0]->name, "s/t");
    CHECK_TEXT(add->next->out[0]->name, "s");
    CHECK_UINT(g->last->origin.call, 2);
    CHECK_TEXT(g->last->in[0]->name, "y/t");
    const struct onnx *onnx = t.model->private;
    CHECK_UINT(onnx->call_count, 3);
    CHECK_UINT(onnx->calls[2].nodes, 2);
    tinyonnx_close(&t);
}

static void calls_within_calls(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t;
    tinyonnx_function(&model, "d.Outer a -> out", "d.Inner a -> t\nd.Inner t -> out");
    tinyonnx_function(&model, "d.Inner a -> out", "Relu a -> t\nRelu t -> out");
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.Outer x -> y\noutput y f32[2]");
    open_model(&t, &model);
    check_ops(t.model->graph, "Relu Relu Relu Relu");
    GRAPH_NODES(t.model->graph, node) {
        CHECK_UINT(node->origin.call, 1);
    }
    CHECK_TEXT(t.model->graph->first->out[0]->name, "y/t/t");
    tinyonnx_close(&t);
}

static void attributes_are_put_in(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t;
    tinyonnx_function(&model, "d.F a -> out", "x.Op a -> out alpha=@beta axis=@@ax plain=4");
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.F x -> y beta=0.25\noutput y f32[2]");
    open_model(&t, &model);
    const struct node *node = t.model->graph->first;
    CHECK_NUM(node_float(node, "alpha", 9), 0.25, 0);
    CHECK(!node_attr(node, "axis")); /* the call does not give it */
    CHECK_INT(node_int(node, "plain", 0), 4);
    tinyonnx_close(&t);
}

/* Constants of a function are one tensor for all calls; those that depend on the call are not. */
static void constants_are_shared(void **state) {
    struct bytebuf model = {0}, f = {0}, node = {0}, attr = {0}, tensor = {0};
    struct tinyonnx t;
    static const float values[] = {1, 2};
    tinyonnx_tensor(&tensor, "", 1, "2");
    tinyonnx_bytes(&tensor, ONNX_TENSOR_RAW_DATA, values, sizeof values);
    tinyonnx_text(&attr, ONNX_ATTR_NAME, "value");
    tinyonnx_message(&attr, ONNX_ATTR_T, &tensor);
    tinyonnx_node(&node, "Constant -> k");
    tinyonnx_message(&node, ONNX_NODE_ATTRIBUTE, &attr);
    tinyonnx_text(&f, ONNX_FUNCTION_NAME, "F");
    tinyonnx_text(&f, ONNX_FUNCTION_DOMAIN, "d");
    tinyonnx_text(&f, ONNX_FUNCTION_INPUT, "a");
    tinyonnx_text(&f, ONNX_FUNCTION_OUTPUT, "out");
    tinyonnx_message(&f, ONNX_FUNCTION_NODE, &node);
    tinyonnx_node(&node, "Constant -> s value_float=@beta");
    tinyonnx_message(&f, ONNX_FUNCTION_NODE, &node);
    tinyonnx_node(&node, "x.Op a k s -> out");
    tinyonnx_message(&f, ONNX_FUNCTION_NODE, &node);
    tinyonnx_message(&model, ONNX_MODEL_FUNCTIONS, &f);
    tinyonnx_lines(&model, 17,
                   "input x f32[2]\nd.F x -> z beta=0.5\nd.F z -> y beta=2.5\n"
                   "output y f32[2]");
    open_model(&t, &model);
    const struct node *first = t.model->graph->first, *last = t.model->graph->last;
    CHECK_UINT(t.model->tensor_count, 1);
    CHECK_TEXT(t.model->tensors[0].name, "F/k");
    CHECK(first->in[1] == last->in[1]);
    CHECK_NUM(array_number(first->in[2]->data, 0), 0.5, 0);
    CHECK_NUM(array_number(last->in[2]->data, 0), 2.5, 0);
    tinyonnx_close(&t);
}

static void what_passes_through(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t;
    tinyonnx_function(&model, "d.F a b -> b c", "Constant -> c value_float=1.5\nRelu a -> unused");
    tinyonnx_lines(&model, 17,
                   "input x f32[2]\ninput z f32[3]\nd.F x z -> y k\n"
                   "output y f32[3]\noutput k f32[]");
    open_model(&t, &model);
    check_ops(t.model->graph, "Relu Identity Identity");
    const struct node *through = t.model->graph->first->next;
    CHECK_TEXT(through->in[0]->name, "z");
    CHECK_TEXT(through->out[0]->name, "y");
    CHECK_INT(through->next->in[0]->kind, VALUE_CONSTANT);
    CHECK_TEXT(through->next->out[0]->name, "k");
    tinyonnx_close(&t);
}

static void inputs_that_are_not_given(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t;
    tinyonnx_function(&model, "d.F a lo hi -> out", "x.Op a lo hi -> out");
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.F x - x -> z\nd.F z -> y\noutput y f32[2]");
    open_model(&t, &model);
    CHECK(!t.model->graph->first->in[1] && t.model->graph->first->in[2]);
    CHECK(!t.model->graph->last->in[1] && !t.model->graph->last->in[2]);
    tinyonnx_close(&t);
}

static void a_body_in_a_function(void **state) {
    struct bytebuf model = {0}, f = {0}, node = {0};
    struct tinyonnx t;
    tinyonnx_node(&node, "If c -> out");
    tinyonnx_body(&node, "then_branch", "Relu a -> t\noutput t f32[2]");
    tinyonnx_body(&node, "else_branch", "weight k f32[2]\nAdd a k -> t\noutput t f32[2]");
    tinyonnx_text(&f, ONNX_FUNCTION_NAME, "F");
    tinyonnx_text(&f, ONNX_FUNCTION_DOMAIN, "d");
    tinyonnx_text(&f, ONNX_FUNCTION_INPUT, "a");
    tinyonnx_text(&f, ONNX_FUNCTION_INPUT, "c");
    tinyonnx_text(&f, ONNX_FUNCTION_OUTPUT, "out");
    tinyonnx_message(&f, ONNX_FUNCTION_NODE, &node);
    tinyonnx_message(&model, ONNX_MODEL_FUNCTIONS, &f);
    tinyonnx_lines(&model, 17, "input x f32[2]\ninput b bool[]\nd.F x b -> y\noutput y f32[2]");
    open_model(&t, &model);
    const struct node *made = t.model->graph->first;
    CHECK_TEXT(made->op_type, "If");
    const struct graph *body = node_attr(made, "then_branch")->body;
    CHECK_TEXT(body->first->in[0]->name, "x"); /* what the caller gave */
    CHECK_INT(body->first->in[0]->kind, VALUE_OUTER);
    CHECK_UINT(t.model->tensor_count, 1);
    tinyonnx_close(&t);
}

static void a_body_as_an_attribute_stays_a_call(void **state) {
    struct bytebuf model = {0}, graph = {0}, node = {0};
    struct tinyonnx t;
    tinyonnx_function(&model, "d.F a -> out", "Relu a -> out");
    tinyonnx_node(&node, "d.F x -> y");
    tinyonnx_body(&node, "body", "Relu x -> z\noutput z f32[2]");
    tinyonnx_message(&graph, ONNX_GRAPH_NODE, &node);
    tinyonnx_graph(&graph, "input x f32[2]\noutput y f32[2]");
    tinyonnx_model(&model, 8, 17, &graph);
    open_model(&t, &model);
    check_ops(t.model->graph, "F");
    CHECK(!t.model->graph->first->op);
    tinyonnx_close(&t);
}

static void check_refused(struct bytebuf *model, enum err_code code, const char *says) {
    struct tinyonnx t;
    struct err err = ERR_INIT;
    CHECK_INT(tinyonnx_open(&t, model, &err), -1);
    CHECK_INT(err.code, code);
    CHECK_HOLDS(err.text, says);
}

static void recursion(void **state) {
    struct bytebuf model = {0};
    tinyonnx_function(&model, "d.F a -> out", "d.G a -> out");
    tinyonnx_function(&model, "d.G a -> out", "d.F a -> out");
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.F x -> y\noutput y f32[2]");
    check_refused(&model, ERR_BAD_MODEL, "calls itself");
}

/* A thousand calls of 600 nodes: refused by count, not by the clock. */
static void functions_that_explode(void **state) {
    struct bytebuf model = {0}, lines = {0};
    char line[64];
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "d.G a -> t%d\n", i);
        bytebuf_text(&lines, line);
    }
    bytebuf_u8(&lines, 0);
    tinyonnx_function(&model, "d.F a -> t0", (const char *)lines.at);
    lines.len = 0;
    for (int i = 0; i < 600; i++) {
        snprintf(line, sizeof line, "Relu a -> t%d\n", i);
        bytebuf_text(&lines, line);
    }
    bytebuf_u8(&lines, 0);
    tinyonnx_function(&model, "d.G a -> t0", (const char *)lines.at);
    bytebuf_free(&lines);
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.F x -> y\noutput y f32[2]");
    check_refused(&model, ERR_TOO_LARGE, "nodes");
}

static void bad_calls(void **state) {
    struct bytebuf model = {0};
    tinyonnx_function(&model, "d.F a -> out", "Relu a -> out");
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.F x x -> y\noutput y f32[2]");
    check_refused(&model, ERR_BAD_MODEL, "takes 1 inputs");
    tinyonnx_function(&model, "d.F a -> out", "Relu x -> out"); /* the caller's name */
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.F x -> y\noutput y f32[2]");
    check_refused(&model, ERR_BAD_MODEL, "'x'");
    tinyonnx_function(&model, "d.F a -> out", "Relu a -> t");
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.F x -> y\noutput y f32[2]");
    check_refused(&model, ERR_BAD_MODEL, "'out'");
    tinyonnx_function(&model, "d.F a -> a", "Relu a -> a");
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.F x -> y\noutput y f32[2]");
    check_refused(&model, ERR_BAD_MODEL, "'a'");
    tinyonnx_function(&model, "d.F a -> out", "Relu a -> out");
    tinyonnx_function(&model, "d.F a -> out", "Relu a -> out");
    tinyonnx_lines(&model, 17, "input x f32[2]\nd.F x -> y\noutput y f32[2]");
    check_refused(&model, ERR_BAD_MODEL, "two functions");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call),
        cmocka_unit_test(calls_within_calls),
        cmocka_unit_test(attributes_are_put_in),
        cmocka_unit_test(constants_are_shared),
        cmocka_unit_test(what_passes_through),
        cmocka_unit_test(inputs_that_are_not_given),
        cmocka_unit_test(a_body_in_a_function),
        cmocka_unit_test(a_body_as_an_attribute_stays_a_call),
        cmocka_unit_test(recursion),
        cmocka_unit_test(functions_that_explode),
        cmocka_unit_test(bad_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
