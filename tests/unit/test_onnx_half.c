/* Half precision: which operators compute in it, where casts stand, what keeps its type. */
#include "compress/formats/onnx_half.h"

#include "compress/base/arena.h"
#include "compress/formats/onnx_proto.h"
#include "compress/formats/onnx_quant.h"
#include "compress/tensor/array.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Opens the model, wants every tensor that may be in f16 (but `kept`, and what is called int8 ...),
 * writes, opens the result. */
static void halve(struct bytebuf *model, const char *kept, struct tinyonnx *ret) {
    struct tinyonnx t;
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(MIB);
    struct violations list;
    violations_init(&list, arena);
    CHECK_OK(tinyonnx_open(&t, model, &err), &err);
    for (size_t i = 0; i < t.model->tensor_count; i++) {
        struct tensor *tensor = &t.model->tensors[i];
        if (tensor->stored.dtype != DTYPE_F32 || (kept && strcmp(kept, tensor->name) == 0))
            continue;
        struct encoding half = encoding_plain(DTYPE_F16);
        if (strncmp(tensor->name, "int8", 4) == 0)
            half = (struct encoding){.codec = codec_by_name("int8"),
                                     .granularity = GRANULARITY_CHANNEL,
                                     .symmetric = true,
                                     .packing = PACKING_WORDS,
                                     .dynamic_activations = true};
        CHECK_INT(onnx_quant_adapt(t.model, tensor, &half, "/stages/0", &list), 0);
        tensor->wanted = half;
    }
    CHECK_OK(onnx_quant_prepare(t.model, &list, &err), &err);
    CHECK_UINT(list.total, 0);
    *ret = (struct tinyonnx){{{{0}}}};
    tinyonnx_write(&t, 0, &ret->files);
    CHECK_OK(tinyonnx_open_files(ret, &err), &err);
    tinyonnx_close(&t);
    arena_free(arena);
}

static void halve_lines(const char *lines, const char *kept, struct tinyonnx *ret) {
    struct bytebuf model = {0};
    tinyonnx_lines(&model, 17, lines);
    halve(&model, kept, ret);
}

/* "MatMul:f16 Cast:f32": operators and the type of what they make. */
static void check_ops(const struct graph *graph, const char *want) {
    char ops[512] = "";
    GRAPH_NODES(graph, node) {
        size_t used = strlen(ops);
        snprintf(ops + used, sizeof ops - used, "%s%s:%s", used ? " " : "", node->op_type,
                 dtype_row(node->out[0]->type.dtype)->name);
    }
    CHECK_TEXT(ops, want);
}

static void inputs_and_outputs_keep_their_types(void **state) {
    struct tinyonnx t;
    halve_lines("input x f32[2,4]\nweight w f32[4,4]\nweight b f32[4]\n"
                "MatMul x w -> t\nAdd t b -> u\nRelu u -> y\noutput y f32[2,4]\noutput u f32[2,4]",
                NULL, &t);
    check_ops(t.model->graph, "Cast:f16 MatMul:f16 Add:f16 Cast:f32 Relu:f16 Cast:f32");
    CHECK_INT(t.model->graph->inputs[0]->type.dtype, DTYPE_F32);
    CHECK_TEXT(t.model->graph->outputs[0]->name, "y");
    CHECK_TEXT(t.model->graph->outputs[1]->name, "u");
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(t.model->graph->outputs[i]->type.dtype, DTYPE_F32);
        CHECK_INT(t.model->tensors[i].stored.dtype, DTYPE_F16);
    }
    tinyonnx_close(&t);
}

/* TopK, Range and CumSum compute in f32, Resize takes its scales so. */
static void what_stays_f32(void **state) {
    struct tinyonnx t;
    halve_lines("input x f32[1,1,2,2]\nweight w f32[2,2]\nints k 1\nfloats s 1 1 2 2\n"
                "MatMul x w -> t\nResize t - s -> r mode=nearest\nTopK r k -> y i\n"
                "CumSum y k -> z\noutput z f32[1,1,4,1]\noutput i i64[1,1,4,1]",
                NULL, &t);
    check_ops(t.model->graph, "Cast:f16 MatMul:f16 Resize:f16 Cast:f32 TopK:f32 CumSum:f32");
    CHECK_INT(graph_value(t.model->graph, "s")->type.dtype, DTYPE_F32);
    tinyonnx_close(&t);
}

static void a_kept_weight_keeps_its_reader(void **state) {
    struct tinyonnx t;
    halve_lines("input x f32[2,4]\nweight w f32[4,4]\nweight v f32[4,4]\nMatMul x w -> t\n"
                "MatMul t v -> u\nSigmoid u -> y\noutput y f32[2,4]",
                "v", &t);
    check_ops(t.model->graph, "Cast:f16 MatMul:f16 Cast:f32 MatMul:f32 Sigmoid:f32");
    tinyonnx_close(&t);
}

/* Beside halves: a kept bias goes with its product; sums of integers stay what they are, and so
 * does what comes of nothing in f16. */
static void among_others(void **state) {
    struct tinyonnx t;
    halve_lines("input x f32[2,8]\nweight w f32[8,8]\nweight b f32[8]\nweight int8w f32[8,8]\n"
                "weight v f32[8,8]\nSigmoid x -> x0\nMatMul x0 w -> t\nAdd b t -> u\n"
                "Relu u -> u1\nAdd u1 x0 -> r\nMatMul r int8w -> s\nSigmoid s -> s1\n"
                "MatMul s1 v -> y\noutput y f32[2,8]",
                "b", &t);
    check_ops(t.model->graph,
              "Cast:f16 Sigmoid:f32 Cast:f16 MatMul:f16 Add:f16 Relu:f16 Cast:f32 Add:f32 "
              "DynamicQuantizeLinear:u8 MatMulInteger:i32 Cast:f32 Mul:f32 Mul:f32 Sigmoid:f32 "
              "Cast:f16 MatMul:f16 Cast:f32");
    CHECK_INT(model_tensor(t.model, "", "b")->stored.dtype, DTYPE_F32);
    tinyonnx_close(&t);
}

static void types_in_attributes(void **state) {
    struct tinyonnx t;
    halve_lines("input i i64[4]\nints d 4\nweight w f32[4,4]\nCast i -> t to=1\n"
                "ConstantOfShape d -> z\nAdd t z -> u\nMatMul u w -> y\noutput y f32[4]",
                NULL, &t);
    check_ops(t.model->graph, "Cast:f16 ConstantOfShape:f16 Add:f16 MatMul:f16 Cast:f32");
    tinyonnx_close(&t);
}

/* A mask of -3e38 is clamped: infinity would make NaN of a row that is masked out. */
static void constants_are_clamped(void **state) {
    struct tinyonnx t;
    halve_lines("input x f32[4]\nweight w f32[4]\nAdd x w -> t\n"
                "Constant -> c value_float=-3e38\nMax t c -> y\noutput y f32[4]",
                NULL, &t);
    check_ops(t.model->graph, "Cast:f16 Add:f16 Max:f16 Cast:f32");
    GRAPH_NODES(t.model->graph, node) {
        if (strcmp(node->op_type, "Max") != 0)
            continue;
        const struct value *c = node->in[1];
        CHECK_INT(c->type.dtype, DTYPE_F16);
        CHECK_NUM(array_number(c->data, 0), -65504, 0);
    }
    tinyonnx_close(&t);
}

/* What a runtime crashes on; with another operand, or the batch in place, it does not. */
static void a_moved_batch_stays_f32(void **state) {
    struct tinyonnx t;
    halve_lines("input x f32[2,3,4]\nweight w f32[4,4]\nMul x x -> s\n"
                "Transpose s -> t perm=1,0,2\nMatMul t w -> y\noutput y f32[3,2,4]",
                NULL, &t);
    check_ops(t.model->graph,
              "Cast:f16 Mul:f16 Cast:f32 Transpose:f32 Cast:f16 MatMul:f16 Cast:f32");
    tinyonnx_close(&t);
    halve_lines("input x f32[2,3,4]\nweight w f32[4,4]\nMatMul x w -> s\n"
                "Transpose s -> t perm=0,2,1\nTranspose s -> u perm=1,0,2\nMatMul t s -> y\n"
                "Relu u -> z\noutput y f32[2,4,4]\noutput z f32[3,2,4]",
                NULL, &t);
    check_ops(t.model->graph, "Cast:f16 MatMul:f16 Transpose:f16 Transpose:f16 MatMul:f16 Cast:f32 "
                              "Relu:f16 Cast:f32");
    tinyonnx_close(&t);
}

static void infinities_stay_f32(void **state) {
    struct tinyonnx t;
    halve_lines("input x f32[4]\nweight w f32[4]\nAdd x w -> t\n"
                "Constant -> c value_float=-1e39\nMax t c -> y\noutput y f32[4]",
                NULL, &t);
    const struct value *c = graph_value(t.model->graph, "c");
    CHECK(c && isinf(array_number(c->data, 0)));
    tinyonnx_close(&t);
}

/* Operators of others that are called like ONNX's have inputs and outputs as they please. */
static void namesakes(void **state) {
    struct tinyonnx t;
    halve_lines("input x f32[2,3,4]\nweight w f32[4,4]\nTranspose x -> t perm=1,0,2\n"
                "d.MatMul t -> u\nd.Identity t ->\nMatMul t w -> y\noutput y f32[3,2,4]\n"
                "output u f32[3,2,4]",
                NULL, &t);
    CHECK(graph_value(t.model->graph, "u") != NULL);
    tinyonnx_close(&t);
}

static void bodies(void **state) {
    struct bytebuf model = {0}, graph = {0}, node = {0};
    struct tinyonnx t;
    tinyonnx_graph(&graph, "input x f32[2,2]\ninput c bool[]\nweight w f32[2,2]\nRelu x -> r");
    tinyonnx_node(&node, "If c -> y");
    tinyonnx_body(&node, "then_branch", "MatMul r w -> n\noutput n f32[2,2]");
    tinyonnx_body(&node, "else_branch", "Relu r -> m\noutput m f32[2,2]");
    tinyonnx_message(&graph, ONNX_GRAPH_NODE, &node);
    tinyonnx_graph(&graph, "output y f32[2,2]");
    tinyonnx_model(&model, 8, 17, &graph);
    halve(&model, NULL, &t);
    /* a body reads r, so it stays f32 */
    check_ops(t.model->graph, "Relu:f32 If:f32");
    const struct graph *then = t.model->graph->last->attrs[0].body;
    check_ops(then, "Cast:f16 MatMul:f16 Cast:f32");
    CHECK_TEXT(then->outputs[0]->name, "n");
    CHECK_INT(t.model->tensors[0].stored.dtype, DTYPE_F16);
    tinyonnx_close(&t);
}

/* Nobody reads it as a number that may be rounded. */
static void what_is_not_taken(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t;
    struct err err = ERR_INIT;
    tinyonnx_lines(&model, 17,
                   "input x f32[2]\nweight w f32[2]\nweight v f32[2]\nweight u f32[2]\n"
                   "x.Op x w -> t\nAdd t u -> y\noutput y f32[2]\noutput v f32[2]");
    CHECK_OK(tinyonnx_open(&t, &model, &err), &err);
    const struct graph *graph = t.model->graph;
    CHECK(!onnx_half_takes(graph, graph_value(graph, "w")));
    CHECK(!onnx_half_takes(graph, graph_value(graph, "v")));
    tinyonnx_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_and_outputs_keep_their_types),
        cmocka_unit_test(what_stays_f32),
        cmocka_unit_test(a_kept_weight_keeps_its_reader),
        cmocka_unit_test(among_others),
        cmocka_unit_test(types_in_attributes),
        cmocka_unit_test(constants_are_clamped),
        cmocka_unit_test(a_moved_batch_stays_f32),
        cmocka_unit_test(infinities_stay_f32),
        cmocka_unit_test(namesakes),
        cmocka_unit_test(bodies),
        cmocka_unit_test(what_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
