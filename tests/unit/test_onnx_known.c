/* Codes and scales in a graph that became tensors with an encoding: what other tools write. */
#include "compress/formats/onnx_known.h"

#include "compress/formats/onnx_proto.h"
#include "compress/graph/graph.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

#include <string.h>

/* An initializer of bytes: type 3 is i8. */
static void add_codes(struct bytebuf *graph, const char *name, int type, const char *dims,
                      const void *bytes, size_t len) {
    struct bytebuf tensor = {0};
    tinyonnx_tensor(&tensor, name, type, dims);
    tinyonnx_bytes(&tensor, ONNX_TENSOR_RAW_DATA, bytes, len);
    tinyonnx_message(graph, ONNX_GRAPH_INITIALIZER, &tensor);
}

static void open_graph(struct tinyonnx *t, const char *lines, int8_t zero) {
    struct bytebuf model = {0}, graph = {0};
    struct err err = ERR_INIT;
    const int8_t codes[6] = {1, -2, 3, -4, 5, 127};
    const int8_t zeros[3] = {zero, 0, 0};
    add_codes(&graph, "q", 3, "2,3", codes, sizeof codes);
    add_codes(&graph, "z", 3, "3", zeros, 3);
    tinyonnx_graph(&graph, lines);
    tinyonnx_model(&model, 8, 17, &graph);
    CHECK_OK(tinyonnx_open(t, &model, &err), &err);
}

static void a_scale_per_column(void **state) {
    struct tinyonnx t;
    char text[80];
    open_graph(&t,
               "input x f32[1,2]\nfloats s 0.5 1 2\nDequantizeLinear q s z -> w axis=1\n"
               "MatMul x w -> y\noutput y f32[1,3]",
               0);
    const struct tensor *q = &t.model->tensors[0];
    CHECK_UINT(t.model->tensor_count, 2); /* the zero points stay what they are */
    CHECK_TEXT(q->name, "q");
    CHECK_TEXT(encoding_describe(&q->stored, text, sizeof text), "int8 column symmetric");
    CHECK_TEXT(t.model->quantization, "int8 column symmetric");
    CHECK_UINT(q->parts[PART_SCALE].bytes, 12);
    const struct value *scale = graph_value(t.model->graph, "s");
    CHECK_UINT(scale->tensor, 0);
    CHECK_UINT(scale->part, PART_SCALE);
    CHECK_UINT(graph_value(t.model->graph, "z")->tensor, 1);
    tinyonnx_close(&t);
}

static void a_shared_scale_stays(void **state) {
    struct tinyonnx t;
    open_graph(&t,
               "input x f32[1,2]\nfloats s 0.5 1 2\nDequantizeLinear q s z -> w axis=1\n"
               "MatMul x w -> m\nMul m s -> y\noutput y f32[1,3]",
               0);
    CHECK_UINT(t.model->tensor_count, 3);
    CHECK_UINT(t.model->tensors[0].parts[PART_SCALE].bytes, 12);
    CHECK_UINT(graph_value(t.model->graph, "s")->part, PART_DATA);
    tinyonnx_close(&t);
}

static void zero_points_are_not_known(void **state) {
    struct tinyonnx t;
    open_graph(&t,
               "input x f32[1,2]\nfloats s 0.5 1 2\nDequantizeLinear q s z -> w axis=1\n"
               "MatMul x w -> y\noutput y f32[1,3]",
               1);
    CHECK_UINT(t.model->tensor_count, 3);
    CHECK_INT(t.model->tensors[0].stored.dtype, DTYPE_I8);
    CHECK_TEXT(t.model->quantization, "DequantizeLinear");
    tinyonnx_close(&t);
}

/* Sizes that do not fit are no reason to trust the attributes. */
static void a_scale_of_another_length(void **state) {
    struct tinyonnx t;
    struct bytebuf model = {0}, graph = {0};
    struct err err = ERR_INIT;
    static const uint8_t codes[64];
    add_codes(&graph, "q", 2, "2,1,32", codes, sizeof codes);
    tinyonnx_graph(&graph, "input x f32[1,64]\nfloats s 0.5 1 2\n"
                           "com.microsoft.MatMulNBits x q s -> y K=64 N=2 bits=4 block_size=32\n"
                           "output y f32[1,2]");
    tinyonnx_opset(&model, ONNX_MODEL_OPSET_IMPORT, "com.microsoft", 1);
    tinyonnx_model(&model, 8, 17, &graph);
    if (tinyonnx_open(&t, &model, &err) == 0) {
        CHECK_INT(t.model->tensors[0].stored.dtype, DTYPE_U8);
        CHECK_TEXT(t.model->quantization, "MatMulNBits");
        tinyonnx_close(&t);
    } else {
        CHECK_INT(err.code, ERR_BAD_MODEL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scale_per_column),
        cmocka_unit_test(a_shared_scale_stays),
        cmocka_unit_test(zero_points_are_not_known),
        cmocka_unit_test(a_scale_of_another_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
