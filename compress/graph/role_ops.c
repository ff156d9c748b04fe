/* The table, in the order of the kinds. */
#include "compress/graph/role_ops.h"

#include <string.h>

#define NONE ROLE_OP_NONE

#define MOVE(name) \
    { .op_type = name, .kind = ROLE_OP_MOVE, .weight = NONE, .bias = NONE }
#define PLAIN(name, is) \
    { .op_type = name, .kind = is, .weight = NONE, .bias = NONE }
#define COMBINE(name, flag) \
    { .op_type = name, .kind = ROLE_OP_COMBINE, .weight = NONE, .bias = NONE, flag = true }
#define PRODUCT(name, w, b, flag) \
    { .op_type = name, .kind = ROLE_OP_PRODUCT, .weight = w, .bias = b, flag = true }
#define CONV(name, w, b) \
    { .op_type = name, .kind = ROLE_OP_CONV, .weight = w, .bias = b }
#define NORM(name, w, e, is_microsoft) \
    { .op_type = name, .kind = ROLE_OP_NORM, .weight = w, .bias = e, .microsoft = is_microsoft }
#define SKIP_NORM(name, w, e)                                                        \
    {                                                                                \
        .op_type = name, .kind = ROLE_OP_NORM, .weight = w, .bias = e, .adds = true, \
        .microsoft = true                                                            \
    }
/* With a weight of its own. */
#define WHOLE_ATTENTION(name) \
    { .op_type = name, .kind = ROLE_OP_ATTENTION, .weight = 1, .bias = 2, .microsoft = true }
#define ATTENTION(name, is_microsoft)                                                       \
    {                                                                                       \
        .op_type = name, .kind = ROLE_OP_ATTENTION, .end = 3, .weight = NONE, .bias = NONE, \
        .microsoft = is_microsoft                                                           \
    }

#define BIASED(name, b) \
    { .op_type = name, .kind = ROLE_OP_BIASED, .weight = NONE, .bias = b, .microsoft = true }

static const struct role_op table[] = {
    MOVE("Cast"),
    MOVE("CastLike"),
    MOVE("Clip"),
    MOVE("DepthToSpace"),
    MOVE("DequantizeLinear"),
    MOVE("Dropout"),
    MOVE("DynamicQuantizeLinear"),
    MOVE("Expand"),
    MOVE("Flatten"),
    MOVE("Identity"),
    MOVE("Neg"),
    MOVE("Pad"),
    MOVE("QuantizeLinear"),
    MOVE("Reshape"),
    MOVE("RotaryEmbedding"),
    MOVE("Slice"),
    MOVE("SpaceToDepth"),
    MOVE("Split"),
    MOVE("SplitToSequence"),
    MOVE("SequenceAt"),
    MOVE("Squeeze"),
    MOVE("Tile"),
    MOVE("Transpose"),
    MOVE("Unsqueeze"),
    PLAIN("Gather", ROLE_OP_GATHER),
    PLAIN("GatherBlockQuantized", ROLE_OP_GATHER),
    COMBINE("Add", .adds),
    COMBINE("Div", .scales),
    PLAIN("Max", ROLE_OP_COMBINE),
    PLAIN("Min", ROLE_OP_COMBINE),
    COMBINE("Mul", .scales),
    PLAIN("Sub", ROLE_OP_COMBINE),
    COMBINE("Sum", .adds),
    {.op_type = "Where", .kind = ROLE_OP_COMBINE, .data = 1, .weight = NONE, .bias = NONE},
    PLAIN("Concat", ROLE_OP_CONCAT),
    PLAIN("ReduceL2", ROLE_OP_REDUCE),
    PLAIN("ReduceMean", ROLE_OP_REDUCE),
    PLAIN("ReduceSum", ROLE_OP_REDUCE),
    PLAIN("ReduceSumSquare", ROLE_OP_REDUCE),
    PLAIN("Pow", ROLE_OP_ROOT),
    PLAIN("Reciprocal", ROLE_OP_ROOT),
    PLAIN("Sqrt", ROLE_OP_ROOT),
    PLAIN("Exp", ROLE_OP_SOFTMAX),
    PLAIN("Softmax", ROLE_OP_SOFTMAX),
    PLAIN("Tanh", ROLE_OP_SQUASH),
    PRODUCT("Einsum", 1, NONE, .swaps),
    {.op_type = "FusedMatMul",
     .kind = ROLE_OP_PRODUCT,
     .weight = 1,
     .bias = NONE,
     .swaps = true,
     .microsoft = true},
    PRODUCT("Gemm", 1, 2, .swaps),
    PRODUCT("MatMul", 1, NONE, .swaps),
    PRODUCT("MatMulInteger", 1, NONE, .swaps),
    PRODUCT("QLinearMatMul", 3, NONE, .swaps),
    PRODUCT("DynamicQuantizeMatMul", 1, 4, .microsoft),
    PRODUCT("FusedGemm", 1, 2, .microsoft),
    PRODUCT("MatMulBnb4", 1, NONE, .microsoft),
    PRODUCT("MatMulIntegerToFloat", 1, 6, .microsoft),
    PRODUCT("MatMulNBits", 1, 5, .microsoft),
    PRODUCT("QGemm", 3, 6, .microsoft),
    CONV("Conv", 1, 2),
    CONV("ConvInteger", 1, NONE),
    CONV("ConvTranspose", 1, 2),
    CONV("DeformConv", 1, 3),
    CONV("QLinearConv", 3, 8),
    CONV("FusedConv", 1, 2),
    CONV("NhwcConv", 1, 2),
    NORM("BatchNormalization", 1, 5, false),
    NORM("GroupNorm", 1, 3, true),
    NORM("GroupNormalization", 1, 3, false),
    NORM("InstanceNormalization", 1, 3, false),
    NORM("LayerNormalization", 1, 3, false),
    NORM("RMSNormalization", 1, 2, false),
    NORM("SimplifiedLayerNormalization", 1, 2, false),
    SKIP_NORM("SkipLayerNormalization", 2, 4),
    SKIP_NORM("SkipSimplifiedLayerNormalization", 2, 3),
    {.op_type = "EmbedLayerNormalization",
     .kind = ROLE_OP_NORM,
     .data = 2,
     .end = 5,
     .weight = 5,
     .bias = 7,
     .microsoft = true},
    WHOLE_ATTENTION("Attention"),
    WHOLE_ATTENTION("QAttention"),
    WHOLE_ATTENTION("PackedAttention"),
    ATTENTION("Attention", false),
    ATTENTION("DecoderMaskedMultiHeadAttention", true),
    ATTENTION("GroupQueryAttention", true),
    ATTENTION("MultiHeadAttention", true),
    ATTENTION("PackedMultiHeadAttention", true),
    ATTENTION("PagedAttention", true),
    ATTENTION("SparseAttention", true),
    {.op_type = "GRU", .kind = ROLE_OP_RNN, .weight = 1, .bias = 3},
    {.op_type = "LSTM", .kind = ROLE_OP_RNN, .weight = 1, .bias = 3},
    {.op_type = "RNN", .kind = ROLE_OP_RNN, .weight = 1, .bias = 3},
    BIASED("BiasGelu", 1),
    BIASED("BiasSplitGelu", 1),
    BIASED("FastGelu", 1),
    PLAIN("Shape", ROLE_OP_SHAPE),
    PLAIN("Size", ROLE_OP_SHAPE),
};

const struct role_op *role_op_at(size_t i) {
    return i < sizeof table / sizeof *table ? &table[i] : NULL;
}

const struct role_op *role_op_of(const struct node *node) {
    static const struct role_op other = {
        .op_type = "", .kind = ROLE_OP_OTHER, .weight = NONE, .bias = NONE};
    bool microsoft = strcmp(node->domain, "com.microsoft") == 0;
    if (node->domain[0] && !microsoft && strcmp(node->domain, "com.ms.internal.nhwc") != 0)
        return &other;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if ((microsoft || !table[i].microsoft) && strcmp(node->op_type, table[i].op_type) == 0)
            return &table[i];
    return &other;
}
