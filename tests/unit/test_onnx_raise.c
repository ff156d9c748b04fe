/* Raising the operator set: what becomes an input, what cannot be raised, what is written. */
#include "compress/formats/onnx_raise.h"

#include "compress/formats/onnx_proto.h"
#include "compress/tensor/array.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

#include <stdio.h>
#include <string.h>

static void open_lines(struct tinyonnx *t, int64_t opset, const char *lines) {
    struct bytebuf model = {0};
    struct err err = ERR_INIT;
    *t = (struct tinyonnx){{{{0}}}};
    tinyonnx_lines(&model, opset, lines);
    CHECK_OK(tinyonnx_open(t, &model, &err), &err);
}

static bool can(int64_t opset, const char *lines) {
    struct tinyonnx t;
    open_lines(&t, opset, lines);
    bool result = onnx_raise_can(t.model->graph);
    tinyonnx_close(&t);
    return result;
}

static void attributes_become_inputs(void **state) {
    struct tinyonnx t, written = {{{{0}}}};
    struct err err = ERR_INIT;
    open_lines(&t, 11,
               "input x f32[2,1,4,1]\nRelu x -> r\nSqueeze r -> s axes=1,3\n"
               "Split s -> a b axis=1 split=3,1\nReduceSum a -> c axes=0,1 keepdims=0\n"
               "Unsqueeze c -> y axes=0,1\noutput y f32[1,1]\noutput b f32[2,1]");
    CHECK(onnx_raise_can(t.model->graph));
    CHECK_OK(onnx_raise(t.model, &err), &err);
    CHECK_OK(graph_verify(t.model->graph, &err), &err);
    tinyonnx_write(&t, 0, &written.files);
    CHECK_OK(tinyonnx_open_files(&written, &err), &err);
    static const char *const attrs[] = {NULL, "axes", "split", "axes", "axes"};
    static const int64_t firsts[] = {0, 1, 3, 0, 0};
    size_t i = 0;
    GRAPH_NODES(written.model->graph, node) {
        CHECK(i < 5);
        CHECK_INT(node->version, 13);
        CHECK(node->op != NULL);
        CHECK_UINT(node->in_count, attrs[i] ? 2 : 1);
        if (attrs[i]) {
            CHECK(!node_attr(node, attrs[i]));
            CHECK_NUM(array_number(node->in[1]->data, 0), (double)firsts[i], 0);
        }
        i++;
    }
    CHECK_UINT(i, 5);
    CHECK_INT(node_int(written.model->graph->first->next->next->next, "keepdims", 1), 0);
    const struct type *b = &graph_value(written.model->graph, "b")->type;
    CHECK_UINT(b->rank, 2);
    tinyonnx_close(&t);
    tinyonnx_close(&written);
}

static void what_can_be_raised(void **state) {
    CHECK(can(12, "input x f32[2,3]\nSoftmax x -> y\noutput y f32[2,3]")); /* axis 1 */
    CHECK(can(12, "input x f32[2,3,4]\nSoftmax x -> y axis=2\noutput y f32[2,3,4]"));
    CHECK(!can(12, "input x f32[2,3,4]\nSoftmax x -> y\noutput y f32[2,3,4]"));
    CHECK(!can(10, "input x f32[2,3]\nRelu x -> y\noutput y f32[2,3]"));
    CHECK(!can(11, "input x f32[2,3]\nDropout x -> y\noutput y f32[2,3]"));
    CHECK(can(12, "input x f32[2,3]\nDropout x -> y\noutput y f32[2,3]"));
    CHECK(!can(12, "input x f32[2,3]\nUnheard x -> y\noutput y f32[2,3]"));
    /* nothing to do */
    CHECK(can(17, "input x f32[2,3,4]\nSoftmax x -> y axis=1\noutput y f32[2,3,4]"));
    CHECK(can(17, "input x f32[2,3]\nUnheard x -> y\noutput y f32[2,3]"));
}

/* A body takes the model's operator set, whosever node it belongs to. */
static void bodies_are_not_raised(void **state) {
    struct bytebuf model = {0}, graph = {0}, node = {0};
    struct tinyonnx t = {{{{0}}}};
    struct err err = ERR_INIT;
    tinyonnx_graph(&graph, "input x f32[2,3]\nRelu x -> r\noutput y f32[2,3]");
    tinyonnx_node(&node, "d.Foo r -> y");
    tinyonnx_body(&node, "body", "Unsqueeze r -> u axes=0,\noutput u f32[1,2,3]");
    tinyonnx_message(&graph, ONNX_GRAPH_NODE, &node);
    tinyonnx_model(&model, 8, 12, &graph);
    CHECK_OK(tinyonnx_open(&t, &model, &err), &err);
    CHECK(!onnx_raise_can(t.model->graph));
    tinyonnx_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_become_inputs),
        cmocka_unit_test(what_can_be_raised),
        cmocka_unit_test(bodies_are_not_raised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
