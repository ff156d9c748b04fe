/* Products with constant matrices: what the graph becomes, that it is read back as what it was, and
 * that it computes what the decoded weights compute. */
#include "compress/formats/onnx_linear.h"

#include "compress/base/arena.h"
#include "compress/exec/session.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_quant.h"
#include "compress/tensor/array.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct encoding integers(const char *codec, uint32_t group_len, bool dynamic) {
    return (struct encoding){.codec = codec_by_name(codec),
                             .granularity = group_len ? GRANULARITY_GROUP : GRANULARITY_CHANNEL,
                             .group_len = group_len,
                             .symmetric = true,
                             .packing = PACKING_WORDS,
                             .dynamic_activations = dynamic};
}

/* Opens, wants every matrix of f32 in an encoding, writes, opens the result. */
static void quantize(struct bytebuf *model, const struct encoding *encoding, struct tinyonnx *t,
                     struct tinyonnx *ret) {
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(MIB);
    struct violations list;
    violations_init(&list, arena);
    CHECK_OK(tinyonnx_open(t, model, &err), &err);
    for (size_t i = 0; i < t->model->tensor_count; i++) {
        struct tensor *tensor = &t->model->tensors[i];
        struct encoding wanted = *encoding;
        if (tensor->stored.dtype != DTYPE_F32 || tensor->rank != 2)
            continue;
        CHECK_INT(onnx_quant_adapt(t->model, tensor, &wanted, "/stages/0", &list), 0);
        tensor->wanted = wanted;
    }
    CHECK_OK(onnx_quant_prepare(t->model, &list, &err), &err);
    *ret = (struct tinyonnx){{{{0}}}};
    tinyonnx_write(t, 0, &ret->files);
    CHECK_OK(tinyonnx_open_files(ret, &err), &err);
    arena_free(arena);
}

static void check_ops(const struct graph *graph, const char *want) {
    char ops[512] = "";
    GRAPH_NODES(graph, node) {
        strcat(strcat(ops, ops[0] ? " " : ""), node->op_type);
    }
    CHECK_TEXT(ops, want);
}

/* The output "y" of a model whose only input is x f32[2,64]: x is a fixed pattern. */
static void run(const struct model *model, float *ret, size_t count) {
    struct err err = ERR_INIT;
    struct exec_plan *plan;
    struct exec_session *session;
    const struct value *x = model->graph->inputs[0];
    struct array *in = array_new(DTYPE_F32, 2, (const uint64_t[]){2, 64});
    for (size_t i = 0; i < 128; i++)
        array_real(in)[i] = tinyonnx_pattern(i + 7);
    struct binding binding = {.input = x, .fact.type = type_of_array(in)};
    struct exec_options options = {0};
    struct weights *weights = weights_new(model, model->graph, 0);
    struct exec_session_options none = {0};
    CHECK_OK(exec_plan_new(model->graph, &binding, 1, &options, &plan, &err), &err);
    CHECK_OK(exec_session_new(plan, weights, &none, &session, &err), &err);
    struct exec_input input = {x, in};
    CHECK_OK(exec_run(session, &input, 1, NULL, &err), &err);
    const struct array *y = exec_output(session, model->graph->outputs[0]);
    CHECK_UINT(y->elements, count);
    for (size_t i = 0; i < count; i++)
        ret[i] = (float)array_real(y)[i];
    exec_session_free(session);
    exec_plan_free(plan);
    weights_free(weights);
    array_free(in);
}

static const char matmul[] = "input x f32[2,64]\nweight w f32[64,6]\nMatMul x w -> y\n"
                             "output y f32[2,6]";
static const char gemm[] = "input x f32[2,64]\nweight w f32[6,64]\nweight b f32[6]\n"
                           "Gemm x w b -> y transB=1\noutput y f32[2,6]";

/* Rows that no block divides: the last is padded. */
static const char padded[] =
    "input x f32[2,64]\nweight w f32[40,6]\nints s 3\nints e 43\nints a 1\n"
    "Slice x s e a -> t\nMatMul t w -> y\noutput y f32[2,6]";
static const char scaled[] = "input x f32[2,64]\nweight w f32[6,64]\nweight b f32[6]\n"
                             "Gemm x w b -> y transB=1 alpha=0.5 beta=3.0\noutput y f32[2,6]";

/* The error of a product of 64 terms, each at most `step` away: generous, far below the values. */
static void compare(const char *lines, const struct encoding *encoding, const char *ops,
                    double tolerance, struct tinyonnx *ret) {
    struct bytebuf model = {0}, again = {0};
    struct tinyonnx t, plain;
    struct err err = ERR_INIT;
    float want[12], got[12];
    tinyonnx_lines(&model, 17, lines);
    tinyonnx_lines(&again, 17, lines);
    CHECK_OK(tinyonnx_open(&plain, &again, &err), &err);
    run(plain.model, want, 12);
    quantize(&model, encoding, &t, ret);
    check_ops(ret->model->graph, ops);
    run(ret->model, got, 12);
    double largest = 0;
    for (size_t i = 0; i < 12; i++) {
        CHECK_NUM(got[i], want[i], tolerance);
        largest = fmax(largest, fabs(want[i] - got[i]));
    }
    CHECK(largest > 0); /* it is quantized */
    tinyonnx_close(&plain);
    tinyonnx_close(&t);
}

static void weights_alone(void **state) {
    static const struct {
        const char *lines, *codec, *ops, *is;
        uint32_t group_len;
        double tolerance;
        uint64_t k;
    } rows[] = {
        {matmul, "int8", "MatMulNBits", "int8 group 64 symmetric", 0, 0.1},
        {matmul, "int8", "MatMulNBits", "int8 group 32 symmetric", 32, 0.1},
        {matmul, "int4", "MatMulNBits", "int4 group 64 symmetric", 128, 1.5},
        {gemm, "int8", "MatMulNBits Add", "int8 group 64 symmetric", 0, 0.1},
        {gemm, "int4", "MatMulNBits Add", "int4 group 32 symmetric", 32, 1.5},
        {scaled, "int8", "Mul Mul MatMulNBits Add", "int8 group 64 symmetric", 0, 0.1},
        {padded, "int8", "Slice MatMulNBits", "int8 group 64 symmetric", 0, 0.1, 40},
        {padded, "int4", "Slice MatMulNBits", "int4 group 64 symmetric", 128, 1.5, 40},
        {padded, "int4", "Slice MatMulNBits", "int4 group 32 symmetric", 32, 1.5, 40},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct encoding e = integers(rows[i].codec, rows[i].group_len, false);
        struct tinyonnx t;
        char text[80];
        compare(rows[i].lines, &e, rows[i].ops, rows[i].tolerance, &t);
        const struct tensor *w = &t.model->tensors[0];
        CHECK_TEXT(w->name, "w");
        CHECK_TEXT(encoding_describe(&w->stored, text, sizeof text), rows[i].is);
        CHECK_UINT(w->dims[0], rows[i].k ? rows[i].k : 64); /* [K, N], whichever way round it was */
        CHECK_UINT(w->dims[1], 6);
        CHECK_TEXT(t.model->quantization, rows[i].is);
        tinyonnx_close(&t);
    }
}

static void activations_too(void **state) {
    static const char *const lines[] = {matmul, gemm, scaled};
    static const char *const ops[] = {
        "DynamicQuantizeLinear MatMulInteger Cast Mul Mul",
        "DynamicQuantizeLinear MatMulInteger Cast Mul Mul Add",
        "Mul DynamicQuantizeLinear Mul MatMulInteger Cast Mul Mul Add"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct encoding e = integers("int8", 0, true);
        struct tinyonnx t;
        char text[80];
        compare(lines[i], &e, ops[i], 0.3, &t);
        CHECK_TEXT(encoding_describe(&t.model->tensors[0].stored, text, sizeof text),
                   "int8 column symmetric");
        tinyonnx_close(&t);
    }
}

/* q, k and v of one activation: it is quantized once. */
static void one_quantization_for_all(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t, written;
    struct encoding e = integers("int8", 0, true);
    tinyonnx_lines(&model, 17,
                   "input x f32[2,64]\nweight w f32[64,6]\nweight v f32[64,6]\nRelu x -> r\n"
                   "MatMul r v -> a\nMatMul r w -> b\nMatMul r w -> c\nAdd a b -> d\nAdd d c -> y\n"
                   "output y f32[2,6]");
    quantize(&model, &e, &t, &written);
    size_t count = 0;
    GRAPH_NODES(written.model->graph, node) {
        count += strcmp(node->op_type, "DynamicQuantizeLinear") == 0;
    }
    CHECK_UINT(count, 1);
    CHECK_UINT(written.model->tensor_count, 2); /* scales are parts, those of w for both readers */
    tinyonnx_close(&t);
    tinyonnx_close(&written);
}

static void within_bodies(void **state) {
    struct bytebuf model = {0}, graph = {0}, node = {0};
    struct tinyonnx t, written;
    struct encoding e = integers("int4", 32, false);
    tinyonnx_graph(&graph, "input x f32[2,64]\ninput c bool[]\nweight w f32[64,6]\nRelu x -> r");
    tinyonnx_node(&node, "If c -> y");
    tinyonnx_body(&node, "then_branch", "MatMul r w -> n\noutput n f32[2,6]");
    tinyonnx_body(&node, "else_branch", "weight v f32[64,6]\nMatMul r v -> m\noutput m f32[2,6]");
    tinyonnx_message(&graph, ONNX_GRAPH_NODE, &node);
    tinyonnx_graph(&graph, "output y f32[2,6]");
    tinyonnx_model(&model, 8, 17, &graph);
    quantize(&model, &e, &t, &written);
    check_ops(written.model->graph, "Relu If");
    for (size_t a = 0; a < 2; a++)
        check_ops(written.model->graph->last->attrs[a].body, "MatMulNBits");
    CHECK_UINT(written.model->tensor_count, 2);
    for (size_t i = 0; i < 2; i++)
        CHECK_UINT(written.model->tensors[i].stored.group_len, 32);
    tinyonnx_close(&t);
    tinyonnx_close(&written);
}

static void what_is_not_taken(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t;
    struct err err = ERR_INIT;
    bool is_rows;
    tinyonnx_lines(&model, 17,
                   "input x f32[2,64]\nweight a f32[64,6]\nweight b f32[64,6]\n"
                   "weight c f32[64,6]\nweight d f32[6,64]\nweight e f32[6,64]\n"
                   "MatMul x a -> t\nGemm x b t -> u alpha=2.0\nMatMul x c -> v\nRelu c -> r\n"
                   "Gemm x d u -> p transB=1\nGemm x e -> q transB=1\nAdd p v -> s\nAdd s q -> y\n"
                   "output y f32[2,6]\noutput a f32[64,6]\noutput r f32[64,6]");
    CHECK_OK(tinyonnx_open(&t, &model, &err), &err);
    const struct graph *graph = t.model->graph;
    CHECK(!onnx_linear_takes(graph, graph_value(graph, "a"), &is_rows)); /* an output */
    CHECK(onnx_linear_takes(graph, graph_value(graph, "b"), &is_rows));  /* alpha */
    CHECK(!onnx_linear_takes(graph, graph_value(graph, "c"), &is_rows)); /* another reader */
    CHECK(onnx_linear_takes(graph, graph_value(graph, "d"), &is_rows));
    CHECK(is_rows);
    tinyonnx_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_alone),
        cmocka_unit_test(activations_too),
        cmocka_unit_test(one_quantization_for_all),
        cmocka_unit_test(within_bodies),
        cmocka_unit_test(what_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
