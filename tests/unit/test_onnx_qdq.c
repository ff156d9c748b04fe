/* Static quantization: where pairs stand, whose scale a value has, and that what calibration fills
 * in is what the numbers are. */
#include "compress/formats/onnx_qdq.h"

#include "compress/base/arena.h"
#include "compress/formats/onnx_quant.h"
#include "compress/graph/ranges.h"
#include "compress/tensor/array.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    struct tinyonnx t;
    struct arena *arena;
    struct violations list;
};

/* Every weight of f32 that may be is wanted in int8 with static activations. */
static void quantize(struct fixture *f, const char *lines) {
    struct bytebuf model = {0};
    struct err err = ERR_INIT;
    tinyonnx_lines(&model, 17, lines);
    CHECK_OK(tinyonnx_open(&f->t, &model, &err), &err);
    f->arena = arena_new(MIB);
    violations_init(&f->list, f->arena);
    for (size_t i = 0; i < f->t.model->tensor_count; i++) {
        struct tensor *tensor = &f->t.model->tensors[i];
        struct encoding wanted = {.codec = codec_by_name("int8"),
                                  .granularity = GRANULARITY_CHANNEL,
                                  .symmetric = true,
                                  .static_activations = true};
        if (tensor->stored.dtype != DTYPE_F32 || tensor->rank < 2)
            continue;
        CHECK_INT(onnx_quant_adapt(f->t.model, tensor, &wanted, "/stages/0", &f->list), 0);
        tensor->wanted = wanted;
    }
    CHECK_OK(onnx_quant_prepare(f->t.model, &f->list, &err), &err);
}

static void stop(struct fixture *f) {
    arena_free(f->arena);
    tinyonnx_close(&f->t);
}

static void check_ops(const struct graph *graph, const char *want) {
    char ops[512] = "";
    GRAPH_NODES(graph, node) {
        const char *name = strcmp(node->op_type, "QuantizeLinear") == 0     ? "Q"
                           : strcmp(node->op_type, "DequantizeLinear") == 0 ? "D"
                                                                            : node->op_type;
        strcat(strcat(ops, ops[0] ? " " : ""), name);
    }
    CHECK_TEXT(ops, want);
}

/* The pair stands behind Relu, not before; the output of the graph has none. */
static void relu_is_fused(void **state) {
    struct fixture f;
    quantize(&f, "input x f32[1,2,4,4]\nweight w f32[3,2,1,1]\nweight b f32[3]\n"
                 "weight v f32[2,3,1,1]\nConv x w b -> c\nRelu c -> r\nConv r v -> y\n"
                 "output y f32[1,2,4,4]");
    check_ops(f.t.model->graph, "Q D D D D Conv Relu Q D Conv");
    const struct ranges *c = f.t.model->ranges;
    CHECK_UINT(c->range_count, 2);
    CHECK_UINT(c->bias_count, 1);
    CHECK_INT(f.t.model->graph->first->out[0]->type.dtype, DTYPE_I8);
    for (size_t i = 0; i < 2; i++) {
        bool relu = strcmp(c->ranges[i].value, "r") == 0;
        CHECK_TEXT(c->ranges[i].value, relu ? "r" : "x");
        CHECK_INT(c->ranges[i].from_zero, relu);
    }
    CHECK(model_tensor(f.t.model, "", "b")->removed);
    CHECK(model_tensor(f.t.model, "", "b_quantized") != NULL);
    CHECK_UINT(model_tensor(f.t.model, "", "b_quantized_scale")->elements, 3);
    stop(&f);
}

/* MaxPool and Reshape only move numbers: they have the scale of what they read. */
static void one_scale_through_what_moves(void **state) {
    struct fixture f;
    quantize(&f, "input x f32[1,2,2,2]\nweight w f32[4,2,1,1]\nweight v f32[4,3]\nints s 1 4\n"
                 "Conv x w -> c\nRelu c -> r\nMaxPool r -> m kernel_shape=2,2\n"
                 "Reshape m s -> f\nMatMul f v -> y\noutput y f32[1,3]");
    check_ops(f.t.model->graph, "Q D D D Conv Relu Q D MaxPool Q D Reshape Q D MatMul");
    CHECK_UINT(f.t.model->ranges->range_count, 2); /* x and r */
    const struct value *scale = NULL;
    GRAPH_NODES(f.t.model->graph, node) {
        if (strcmp(node->op_type, "QuantizeLinear") != 0 || strcmp(node->in[0]->name, "x") == 0)
            continue;
        CHECK(!scale || scale == node->in[1]);
        scale = node->in[1];
    }
    stop(&f);
}

/* One pair a value, however many read it. */
static void one_pair_for_all(void **state) {
    struct fixture f;
    quantize(&f, "input x f32[2,4]\nweight w f32[4,4]\nweight v f32[4,4]\nMatMul x w -> a\n"
                 "MatMul x v -> b\nAdd a b -> y\noutput y f32[2,4]");
    check_ops(f.t.model->graph, "Q D D D MatMul MatMul Add");
    stop(&f);
}

/* Signed where every value has one reader, else unsigned in all of the graph. */
static void signs(void **state) {
    struct fixture f;
    quantize(&f, "input x f32[1,2,4,4]\nweight w f32[2,2,1,1]\nweight v f32[2,2,1,1]\n"
                 "Conv x w -> c\nRelu c -> r\nConv r v -> d\nAdd d r -> y\n"
                 "output y f32[1,2,4,4]");
    check_ops(f.t.model->graph, "Q D D D Conv Relu Q D Conv Q D Add");
    GRAPH_NODES(f.t.model->graph, node) {
        bool quantizes = strcmp(node->op_type, "QuantizeLinear") == 0;
        if (!quantizes && strcmp(node->op_type, "DequantizeLinear") != 0)
            continue;
        bool weight = !quantizes && node->in[0]->kind == VALUE_WEIGHT;
        const struct value *codes = quantizes ? node->out[0] : node->in[0];
        CHECK_INT(codes->type.dtype, weight ? DTYPE_I8 : DTYPE_U8);
        CHECK_INT(node->in[2]->type.dtype, codes->type.dtype);
        double zero = array_number(node->in[2]->data, 0);
        CHECK_NUM(zero, weight || strcmp(node->in[1]->name, "r_scale") == 0 ? 0 : 128, 0);
    }
    stop(&f);
}

/* Gemm's bias may be one number for all channels, which have a scale each: it stays in floats. */
static void one_bias_for_all(void **state) {
    struct fixture f;
    quantize(&f, "input x f32[2,4]\nweight w f32[4,3]\nweight c f32[1]\nGemm x w c -> y\n"
                 "output y f32[2,3]");
    check_ops(f.t.model->graph, "Q D D Gemm");
    CHECK_UINT(f.t.model->ranges->range_count, 1);
    CHECK_UINT(f.t.model->ranges->bias_count, 0);
    CHECK(!model_tensor(f.t.model, "", "c")->removed);
    stop(&f);
}

/* What does not depend on the data has no range to be found. */
static void constants_have_no_range(void **state) {
    static const char *const lines[] = {
        "weight u f32[2,4]\nweight w f32[4,3]\nweight b f32[3]\ninput x f32[2,3]\n"
        "Gemm u w b -> a\nAdd x a -> y\noutput y f32[2,3]",
        "weight u f32[8]\nweight w f32[4,3]\nints s 2 4\ninput x f32[2,3]\n"
        "Reshape u s -> q\nMatMul q w -> a\nAdd x a -> y\noutput y f32[2,3]",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct fixture f;
        quantize(&f, lines[i]);
        CHECK(f.t.model->ranges == NULL);
        CHECK(encoding_equal(&model_tensor(f.t.model, "", "w")->wanted,
                             &model_tensor(f.t.model, "", "w")->stored));
        stop(&f);
    }
}

/* Readers of one bias have codes of their own, under names of their own. */
static void a_bias_of_several(void **state) {
    struct fixture f;
    quantize(&f, "input x f32[2,4]\nweight w f32[4,3]\nweight v f32[4,3]\nweight b f32[3]\n"
                 "Gemm x w b -> a\nGemm x v b -> c\nAdd a c -> y\noutput y f32[2,3]");
    CHECK_UINT(f.t.model->ranges->bias_count, 2);
    CHECK(model_tensor(f.t.model, "", "b_quantized") != NULL);
    CHECK(f.t.model->ranges->biases[0].codes != f.t.model->ranges->biases[1].codes);
    CHECK(model_tensor(f.t.model, "", "b")->removed);
    stop(&f);
}

/* What calibration finds: the largest of x is 51/64, codes reach 127. */
static void numbers(void **state) {
    static const char lines[] = "input x f32[1,4]\nweight w f32[2,4]\nweight b f32[2]\n"
                                "Gemm x w b -> y transB=1\noutput y f32[1,2]";
    struct fixture f;
    struct tinyonnx written;
    struct err err = ERR_INIT;
    quantize(&f, lines);
    struct ranges *c = f.t.model->ranges;
    CHECK_UINT(c->range_count, 1);
    CHECK_UINT(c->bias_count, 1);
    *c->ranges[0].scale = 0.5f;
    c->biases[0].codes[1] = 42;
    written = (struct tinyonnx){{{{0}}}};
    tinyonnx_write(&f.t, 0, &written.files);
    CHECK_OK(tinyonnx_open_files(&written, &err), &err);
    const struct tensor *w = model_tensor(written.model, "", "w");
    char text[80];
    CHECK_TEXT(encoding_describe(&w->stored, text, sizeof text), "int8 channel symmetric");
    const struct value *scale = graph_value(written.model->graph, "x_scale");
    const struct value *bias = graph_value(written.model->graph, "b_quantized");
    CHECK_NUM(*(const float *)scale->data->data, 0.5, 0);
    CHECK_INT(((const int32_t *)bias->data->data)[1], 42);
    CHECK(graph_value(written.model->graph, "b") == NULL);
    tinyonnx_close(&written);
    stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relu_is_fused),     cmocka_unit_test(one_scale_through_what_moves),
        cmocka_unit_test(one_pair_for_all),  cmocka_unit_test(signs),
        cmocka_unit_test(numbers),           cmocka_unit_test(one_bias_for_all),
        cmocka_unit_test(a_bias_of_several), cmocka_unit_test(constants_have_no_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
