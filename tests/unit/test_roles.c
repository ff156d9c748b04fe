/*
 * Roles from small graphs: blocks as exporters write them, fused and decomposed, and what only
 * looks like one. A weight's name says what its role must be: "attn_qkv,first:q" is one of both.
 */
#include "compress/graph/roles.h"

#include <stdio.h>
#include <string.h>

#include "compress/formats/onnx_proto.h"
#include "compress/graph/model.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

static void open_lines(struct tinyonnx *t, const char *lines) {
    struct bytebuf model = {0};
    struct err err = ERR_INIT;
    tinyonnx_lines(&model, 17, lines);
    CHECK_OK(tinyonnx_open(t, &model, &err), &err);
}

/* How many tensors there are whose names say their roles; all of them have it. */
static size_t check_names(const struct model *model) {
    size_t count = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        const char *name = strrchr(t->name, '.') ? strrchr(t->name, '.') + 1 : t->name;
        const char *end = strchr(name, ':');
        char want[80], got[80];
        if (!end)
            continue;
        snprintf(want, sizeof want, "%.*s %s", (int)(end - name), name, end + 1);
        role_text(t->role, got, sizeof got);
        snprintf(got + strlen(got), sizeof got - strlen(got), " %s", end + 1);
        CHECK_TEXT(got, want);
        count++;
    }
    return count;
}

static void check_roles(const char *lines, size_t weights) {
    struct tinyonnx t;
    open_lines(&t, lines);
    CHECK_UINT(check_names(t.model), weights);
    tinyonnx_close(&t);
}

#define IDS "input ids i64[batch,seq]\n"
#define EMBEDDED                            \
    IDS "weight embed:words f32[50,8]\n"    \
        "weight embed:places f32[16,8]\n"   \
        "input at i64[seq]\n"               \
        "Gather embed:words ids -> words\n" \
        "Gather embed:places at -> places\n"

/* BERT: three products, scores over the root of the head's size, a mask, norms behind. */
static void separate(void **state) {
    check_roles(EMBEDDED
                "input mask f32[batch,1,1,seq]\n"
                "weight norm:g0 f32[8]\nweight norm:b0 f32[8]\n"
                "weight attn_qkv,first:q f32[8,8]\nweight bias:qb f32[8]\n"
                "weight attn_qkv,first:k f32[8,8]\nweight attn_qkv,first:v f32[8,8]\n"
                "weight attn_out:o f32[8,8]\nweight norm:g1 f32[8]\nweight norm:b1 f32[8]\n"
                "weight mlp:up f32[8,16]\nweight mlp:down f32[16,8]\n"
                "weight norm:g2 f32[8]\nweight norm:b2 f32[8]\n"
                "weight head,last:classes f32[8,3]\nweight other:pooler f32[8,8]\n"
                "ints heads 0 0 2 4\nints flat 0 0 8\nfloats root 2\nints one 1\nint zero 0\n"
                "Add words places -> sum\n"
                "LayerNormalization sum norm:g0 norm:b0 -> x\n"
                "MatMul x attn_qkv,first:q -> q0\nAdd bias:qb q0 -> q1\n"
                "Reshape q1 heads -> q2\nTranspose q2 -> q3 perm=0,2,1,3\n"
                "MatMul x attn_qkv,first:k -> k0\n"
                "Reshape k0 heads -> k1\nTranspose k1 -> k2 perm=0,2,3,1\n"
                "MatMul x attn_qkv,first:v -> v0\n"
                "Reshape v0 heads -> v1\nTranspose v1 -> v2 perm=0,2,1,3\n"
                "MatMul q3 k2 -> s0\nDiv s0 root -> s1\nAdd s1 mask -> s2\n"
                "Softmax s2 -> p\nMatMul p v2 -> c0\n"
                "Transpose c0 -> c1 perm=0,2,1,3\nReshape c1 flat -> c2\n"
                "MatMul c2 attn_out:o -> a\nAdd a x -> x1\n"
                "LayerNormalization x1 norm:g1 norm:b1 -> x2\n"
                "MatMul x2 mlp:up -> h0\nRelu h0 -> h1\nMatMul h1 mlp:down -> h2\n"
                "Add h2 x2 -> x3\nLayerNormalization x3 norm:g2 norm:b2 -> x4\n"
                "Gather x4 zero -> first axis=1\nMatMul first other:pooler -> p0\n"
                "Tanh p0 -> p1\nMatMul p1 head,last:classes -> y\noutput y f32[batch,3]",
                17);
}

/* GPT: one product and Split; norms in front, decomposed as exporters do below version 17; the
 * table is the head, too. */
static void fused(void **state) {
    check_roles(
        IDS "weight embed,head,last:words f32[50,8]\nGather embed,head,last:words ids -> x\n"
            "floats two 2\nfloats eps 0.00001\nfloats half 0.5\nweight norm:g f32[8]\n"
            "weight norm:b f32[8]\nweight attn_qkv,first:qkv f32[8,24]\nweight bias:qkvb f32[24]\n"
            "weight attn_out:o f32[8,8]\nweight mlp:up f32[8,16]\nweight mlp:down f32[16,8]\n"
            "ints heads 0 0 2 4\nints flat 0 0 8\nints thirds 8 8 8\n"
            "ReduceMean x -> m axes=2, keepdims=1\nSub x m -> d\nPow d two -> dd\n"
            "ReduceMean dd -> var axes=2, keepdims=1\nAdd var eps -> ve\nSqrt ve -> dev\n"
            "Div d dev -> n0\nMul n0 norm:g -> n1\nAdd n1 norm:b -> n2\n"
            "MatMul n2 attn_qkv,first:qkv -> t0\nAdd bias:qkvb t0 -> t1\n"
            "Split t1 thirds -> q0 k0 v0 axis=2\n"
            "Reshape q0 heads -> q1\nTranspose q1 -> q2 perm=0,2,1,3\n"
            "Reshape k0 heads -> k1\nTranspose k1 -> k2 perm=0,2,3,1\n"
            "Reshape v0 heads -> v1\nTranspose v1 -> v2 perm=0,2,1,3\n"
            "Mul q2 half -> q3\nMul k2 half -> k3\nMatMul q3 k3 -> s\nSoftmax s -> p\n"
            "MatMul p v2 -> c0\nTranspose c0 -> c1 perm=0,2,1,3\nReshape c1 flat -> c2\n"
            "MatMul c2 attn_out:o -> a\nAdd x a -> x1\n"
            "MatMul x1 mlp:up -> h0\nSigmoid h0 -> h1\nMul h0 h1 -> h2\n"
            "MatMul h2 mlp:down -> h3\nAdd x1 h3 -> x2\n"
            "Transpose embed,head,last:words -> turned perm=1,0\nMatMul x2 turned -> y\n"
            "output y f32[batch,seq,50]",
        8);
}

/* Rotated queries and keys with norms of their own, repeated heads, a cache; attention and a gated
 * MLP side by side; queries by way of a smaller space. */
static void modern(void **state) {
    check_roles(
        "input x f32[1,4,8]\ninput cos f32[1,4,8]\ninput sin f32[1,4,8]\ninput past f32[1,2,8]\n"
        "weight norm:qn f32[8]\nweight attn_qkv,first:qa f32[8,4]\nweight attn_qkv:qb f32[4,8]\n"
        "weight attn_qkv,first:k f32[8,8]\nweight attn_qkv,first:v f32[8,8]\n"
        "weight attn_out:o f32[8,8]\nweight mlp,first:gate f32[8,16]\n"
        "weight mlp,first:up f32[8,16]\nweight mlp:down f32[16,8]\nweight head,last:w f32[8,5]\n"
        "ints zero 0\nints four 4\nints eight 8\nints two 2\nfloats eps 0.00001\nfloats pow 2\n"
        "MatMul x attn_qkv,first:qa -> q0\n"
        "Pow q0 pow -> q1\nReduceMean q1 -> q2 axes=2, keepdims=1\nAdd q2 eps -> q3\n"
        "Sqrt q3 -> q4\nReciprocal q4 -> q5\nMul q0 q5 -> q6\n"
        "MatMul q6 attn_qkv:qb -> q\n"
        "Pow q pow -> r1\nReduceMean r1 -> r2 axes=2, keepdims=1\nSqrt r2 -> r4\n"
        "Reciprocal r4 -> r5\nMul q r5 -> r6\nMul norm:qn r6 -> r\n"
        "Slice r zero four two -> r7\nSlice r four eight two -> r8\nNeg r8 -> r9\n"
        "Concat r9 r7 -> turned axis=2\nMul r cos -> rc\nMul turned sin -> rs\nAdd rc rs -> query\n"
        "MatMul x attn_qkv,first:k -> k0\nConcat past k0 -> k1 axis=1\n"
        "Transpose k1 -> key perm=0,2,1\n"
        "MatMul x attn_qkv,first:v -> v0\nConcat past v0 -> value axis=1\n"
        "MatMul query key -> s0\nTanh s0 -> s1\nReduceMax s1 -> top axes=2, keepdims=1\n"
        "Sub s1 top -> s2\nExp s2 -> e\nReduceSum e two -> all keepdims=1\nDiv e all -> p\n"
        "MatMul p value -> c\nMatMul c attn_out:o -> a\n"
        "MatMul x mlp,first:gate -> g0\nSigmoid g0 -> g1\nMul g0 g1 -> g2\n"
        "MatMul x mlp,first:up -> u\nMul g2 u -> gu\nMatMul gu mlp:down -> m\n"
        "Add x a -> xa\nAdd xa m -> x1\nMatMul x1 head,last:w -> y\noutput y f32[1,4,5]",
        10);
}

/* ONNX Runtime's fused operators, which nobody here must be able to run. */
static void operators(void **state) {
    check_roles(
        "input x f32[1,4,8]\ninput lengths i64[1]\nweight attn_qkv,first:qkv f32[8,24]\n"
        "weight bias:qkvb f32[24]\nweight attn_out:o f32[8,8]\nweight norm:g f32[8]\n"
        "weight norm:b f32[8]\nweight mlp:up f32[8,16]\nweight mlp:down f32[16,8]\n"
        "weight attn_qkv:q f32[8,8]\nweight attn_qkv:k f32[8,4]\nweight attn_qkv:v f32[8,4]\n"
        "weight attn_out:o2 f32[8,8]\nweight head,last:w f32[8,5]\nweight bias:fast f32[16]\n"
        "com.microsoft.Attention x attn_qkv,first:qkv bias:qkvb -> c num_heads=2\n"
        "MatMul c attn_out:o -> a\n"
        "com.microsoft.SkipLayerNormalization a x norm:g norm:b -> n - - x1\n"
        "MatMul n mlp:up -> h\ncom.microsoft.FastGelu h bias:fast -> h1\nMatMul h1 mlp:down -> h2\n"
        "com.microsoft.SkipSimplifiedLayerNormalization h2 n norm:g -> n2\n"
        "MatMul n2 attn_qkv:q -> q\nMatMul n2 attn_qkv:k -> k\nMatMul n2 attn_qkv:v -> v\n"
        "com.microsoft.GroupQueryAttention q k v - - lengths lengths -> c2 num_heads=2 "
        "kv_num_heads=1\n"
        "MatMul c2 attn_out:o2 -> a2\nMatMul a2 head,last:w -> y\noutput y f32[1,4,5]",
        13);
}

/* A U-Net's: GroupNorm in pieces, attention over places by convolutions, time that is added. */
static void image(void **state) {
    check_roles(
        "input x f32[1,8,4,4]\ninput time f32[1,6]\nweight conv,first:in f32[8,8,3,3]\n"
        "weight bias:inb f32[8]\nweight first,other:t1 f32[6,8]\nweight other:t2 f32[8,8]\n"
        "weight norm:one f32[2]\nweight norm:none f32[2]\nweight norm:g f32[8,1,1]\n"
        "weight norm:b f32[8,1,1]\nweight attn_qkv,conv:qkv f32[24,8,1,1]\n"
        "weight attn_out,conv:o f32[8,8,1,1]\nweight conv,last:out f32[3,8,1,1]\n"
        "ints groups 0 2 -1\nints back 1 8 4 4\nints rows 1 24 16\nints thirds 8 8 8\n"
        "ints place 1 8 1 1\nweight conv:mid f32[8,8,3,3]\n"
        "MatMul time first,other:t1 -> e0\nSigmoid e0 -> e1\nMatMul e1 other:t2 -> e2\n"
        "Reshape e2 place -> e3\n"
        "Conv x conv,first:in bias:inb -> x0 pads=1,1,1,1\n"
        "Conv x0 conv:mid -> x1 pads=1,1,1,1\nAdd x1 e3 -> x2\n"
        "Reshape x2 groups -> n0\nInstanceNormalization n0 norm:one norm:none -> n1\n"
        "Reshape n1 back -> n2\nMul n2 norm:g -> n3\nAdd n3 norm:b -> n4\n"
        "Conv n4 attn_qkv,conv:qkv -> t\nReshape t rows -> t1\nSplit t1 thirds -> q k v axis=1\n"
        "Transpose q -> qt perm=0,2,1\nMatMul qt k -> s\nSoftmax s -> p\n"
        "Transpose v -> vt perm=0,2,1\nMatMul p vt -> c0\nTranspose c0 -> c1 perm=0,2,1\n"
        "Reshape c1 back -> c2\nConv c2 attn_out,conv:o -> a\nAdd a x2 -> x3\nAdd x3 x0 -> x4\n"
        "Conv x4 conv,last:out -> y\noutput y f32[1,3,4,4]",
        12);
}

/* No attention: no MLP either. A mixture by Softmax is none, and residuals alone are no block. */
static void without(void **state) {
    check_roles("input x f32[2,8]\ninput table f32[8,4]\nweight first,other:a f32[8,8]\n"
                "weight bias:ab f32[8]\nweight other:b f32[8,8]\nweight other:c f32[8,8]\n"
                "weight head,last:d f32[4,3]\nweight other:scale f32[8]\n"
                "Gemm x first,other:a bias:ab -> x0\nRelu x0 -> x1\nMatMul x1 other:b -> x2\n"
                "Add x1 x2 -> x3\nMul x3 other:scale -> x4\nMatMul x4 other:c -> gates\n"
                "Softmax gates -> p\nMatMul p table -> mixture\nMatMul mixture head,last:d -> y\n"
                "output y f32[2,3]",
                6);
    check_roles("input x f32[1,3,8,8]\nweight conv,first:a f32[4,3,3,3]\nweight norm:g f32[4]\n"
                "weight norm:b f32[4]\nweight norm:mean f32[4]\nweight norm:var f32[4]\n"
                "weight conv:dw f32[4,1,3,3]\nweight conv:up f32[4,2,2,2]\n"
                "weight head,last:fc f32[5,2]\nweight bias:fcb f32[5]\n"
                "Conv x conv,first:a -> x0\n"
                "BatchNormalization x0 norm:g norm:b norm:mean norm:var -> x1\n"
                "Conv x1 conv:dw -> x2 group=4\nConvTranspose x2 conv:up -> x3\n"
                "GlobalAveragePool x3 -> x4\nFlatten x4 -> x5\n"
                "Gemm x5 head,last:fc bias:fcb -> y transB=1\noutput y f32[1,5]",
                9);
}

/* Quantized products and weights behind conversions. */
static void quantized(void **state) {
    check_roles("input x f32[2,8]\nweight first,other:a f16[8,8]\nweight head,last:b f32[3,8]\n"
                "Cast first,other:a -> a32 to=1\nMatMul x a32 -> x0\nRelu x0 -> x1\n"
                "Transpose head,last:b -> bt perm=1,0\nIdentity bt -> bi\nMatMul x1 bi -> y\n"
                "output y f32[2,3]",
                2);
}

/* Bodies belong to the graph around them: what is in front of If is in front of its products. */
static void bodies(void **state) {
    struct bytebuf model = {0}, graph = {0}, node = {0};
    struct tinyonnx t;
    struct err err = ERR_INIT;
    tinyonnx_graph(&graph, "input x f32[2,8]\ninput flag bool[1]\nweight first,other:a f32[8,8]\n"
                           "weight head,last:z f32[8,3]\nMatMul x first,other:a -> x0\n");
    tinyonnx_node(&node, "If flag -> z");
    tinyonnx_body(&node, "then_branch",
                  "weight other:t f32[8,8]\nMatMul x0 other:t -> u\noutput u f32[2,8]");
    tinyonnx_body(&node, "else_branch", "Relu x0 -> v\noutput v f32[2,8]");
    tinyonnx_message(&graph, ONNX_GRAPH_NODE, &node);
    tinyonnx_graph(&graph, "MatMul z head,last:z -> y\noutput y f32[2,3]");
    tinyonnx_model(&model, 8, 17, &graph);
    CHECK_OK(tinyonnx_open(&t, &model, &err), &err);
    CHECK_UINT(check_names(t.model), 3);
    tinyonnx_close(&t);
}

/* Nodes that read a tensor, through conversions, each once, in order. */
static void readers(void **state) {
    struct tinyonnx t;
    open_lines(&t, "input x f32[8,8]\nweight w f32[8,8]\nweight unread f32[8]\n"
                   "Transpose w -> turned perm=1,0 #turn\nMatMul x turned -> x1 #layer/MatMul\n"
                   "MatMul x1 turned -> x2\nGemm w w -> x3 #square\nAdd x2 x3 -> y #end\n"
                   "output y f32[8,8]");
    const struct tensor *w = model_tensor(t.model, "", "w");
    CHECK_UINT(w->reader_count, 3);
    CHECK_TEXT(w->readers[0], "turn");
    CHECK_TEXT(w->readers[1], "layer/MatMul");
    CHECK_TEXT(w->readers[2], "square");
    CHECK_UINT(model_tensor(t.model, "", "unread")->reader_count, 0);
    tinyonnx_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separate),  cmocka_unit_test(fused),  cmocka_unit_test(modern),
        cmocka_unit_test(operators), cmocka_unit_test(image),  cmocka_unit_test(without),
        cmocka_unit_test(quantized), cmocka_unit_test(bodies), cmocka_unit_test(readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
