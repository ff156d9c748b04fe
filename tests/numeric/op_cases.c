/*
 * Cases of the operator table, in the order of op_rows.h. A row that has none is a row that nobody
 * tests. Long because it is a table.
 */
#include "tests/numeric/op_cases.h"

#include <stddef.h>

/* Long cases are written as two literals. */
/* NOLINTBEGIN(bugprone-suspicious-missing-comma) */
#define CASES(row, ...) const char *const op_cases_##row[] = {__VA_ARGS__, NULL}

/* op_act.c: activations */
CASES(relu, "Relu x:f32[3,5]", "Relu x:f32[101,103]", "Relu x:f32[]", "Relu x:f32[0,4]");
CASES(leaky_relu, "LeakyRelu x:f32[3,5]", "LeakyRelu(alpha=0.2) x:f32[101,103]");
CASES(prelu, "PRelu x:f32[2,3,4] slope:f32[3,1]~(0.1,0.5)", "PRelu x:f32[2,3] slope:f32[1]",
      "PRelu x:f32[3,41,103] slope:f32[3,1,1]", "PRelu x:f32[2,3] slope:f32[2,3]");
CASES(elu, "Elu x:f32[3,5]~(-3,3)", "Elu(alpha=0.7) x:f32[101,103]~(-3,3)");
CASES(selu, "Selu x:f32[3,5]~(-3,3)", "Selu(alpha=1.5, gamma=0.9) x:f32[7]~(-3,3)");
CASES(celu, "Celu x:f32[3,5]~(-3,3)", "Celu(alpha=2.0) x:f32[7]~(-3,3)");
CASES(thresholded_relu, "ThresholdedRelu(alpha=0.5) x:f32[11]~(0.6,2)",
      "ThresholdedRelu(alpha=0.5) x:f32[11]~(-2,0.4)");
CASES(hard_sigmoid, "HardSigmoid x:f32[31]~(-4,4)",
      "HardSigmoid(alpha=0.5, beta=0.6) x:f32[31]~(-4,4)");
CASES(hard_swish, "HardSwish x:f32[31]~(-4,4)", "HardSwish x:f32[101,103]~(-4,4)");
CASES(sigmoid, "Sigmoid x:f32[31]~(-8,8)", "Sigmoid x:f32[101,103]");
CASES(tanh, "Tanh x:f32[31]~(-4,4)", "Tanh x:f32[101,103]");
CASES(softplus, "Softplus x:f32[31]~(-20,20)", "Softplus x:f32[101,103]");
CASES(softsign, "Softsign x:f32[31]~(-4,4)");
CASES(gelu, "Gelu x:f32[31]~(-4,4)", "Gelu(approximate='tanh') x:f32[31]~(-4,4)",
      "Gelu x:f32[101,103]");
CASES(mish, "Mish x:f32[31]~(-6,6)", "Mish x:f32[101,103]");
CASES(silu, "Swish@24 x:f32[31]~(-6,6)");
CASES(shrink, "Shrink(lambd=0.5, bias=0.1) x:f32[31]~(0.6,2)",
      "Shrink(lambd=0.5, bias=0.1) x:f32[31]~(-2,-0.6)");
CASES(clip, "Clip x:f32[31]~(-2,2) lo:f32[]{-0.5} hi:f32[]{0.7}", "Clip x:f32[31] - hi:f32[]{0.3}",
      "Clip x:f32[31] lo:f32[]{0.3}", "Clip@6(min=-0.5, max=0.5) x:f32[31]", "Clip@6 x:f32[31]",
      "Clip x:i64[9] lo:i64[]{1} hi:i64[]{2}");
CASES(gelu_erf, "com.microsoft::Gelu x:f32[31]~(-4,4)");
CASES(quick_gelu, "com.microsoft::QuickGelu x:f32[31]~(-4,4)",
      "com.microsoft::QuickGelu(alpha=0.9) x:f32[31]~(-4,4)");
CASES(bias_gelu, "com.microsoft::BiasGelu x:f32[3,5]~(-4,4) b:f32[5]",
      "com.microsoft::BiasGelu x:f32[101,103]~(-4,4) b:f32[103]");
CASES(fast_gelu, "com.microsoft::FastGelu x:f32[3,5]~(-4,4) b:f32[5]",
      "com.microsoft::FastGelu x:f32[31]~(-4,4)");

/* op_unary.c: functions of one value */
CASES(abs, "Abs x:f32[31]", "Abs x:i32[7]~(-5,5)", "Abs x:f32[101,103]");
CASES(neg, "Neg x:f32[31]", "Neg x:i64[7]~(-5,5)");
CASES(exp, "Exp x:f32[31]~(-3,3)", "Exp x:f32[101,103]");
CASES(log, "Log x:f32[31]~(0.2,3)");
CASES(sqrt, "Sqrt x:f32[31]~(0.2,3)", "Sqrt x:f32[101,103]~(0.2,3)");
CASES(reciprocal, "Reciprocal x:f32[31]~(0.4,3)", "Reciprocal x:f32[31]~(-3,-0.4)");
CASES(sin, "Sin x:f32[31]~(-4,4)");
CASES(cos, "Cos x:f32[31]~(-4,4)");
CASES(tan, "Tan x:f32[31]~(-1,1)");
CASES(asin, "Asin x:f32[31]~(-0.9,0.9)");
CASES(acos, "Acos x:f32[31]~(-0.9,0.9)");
CASES(atan, "Atan x:f32[31]~(-4,4)");
CASES(sinh, "Sinh x:f32[31]~(-3,3)");
CASES(cosh, "Cosh x:f32[31]~(-3,3)");
CASES(asinh, "Asinh x:f32[31]~(-4,4)");
CASES(acosh, "Acosh x:f32[31]~(1.2,4)");
CASES(atanh, "Atanh x:f32[31]~(-0.9,0.9)");
CASES(erf, "Erf x:f32[31]~(-3,3)", "Erf x:f32[101,103]");
CASES(ceil, "Ceil x:f32[31]~(0.1,0.9)");
CASES(floor, "Floor x:f32[31]~(0.1,0.9)");
CASES(round, "Round x:f32[31]~(0.1,0.4)", "Round x:f32[6]{-2.5,-1.5,-0.5,0.5,1.5,2.5}");
CASES(sign, "Sign x:f32[31]~(0.1,1)", "Sign x:i32[7]~(-3,3)");
CASES(not, "Not x:bool[31]");
CASES(is_nan, "IsNaN x:f32[4]{nan,0.0,inf,1.0}");
CASES(is_inf, "IsInf x:f32[4]{nan,0.0,inf,-inf}",
      "IsInf(detect_negative=0) x:f32[4]{nan,0.0,inf,-inf}");
CASES(bitwise_not, "BitwiseNot x:i32[7]~(-9,9)");

/* op_binary.c: arithmetic, comparison, logic, Where */
CASES(add, "Add a:f32[3,5] b:f32[3,5]", "Add a:f32[3,1,5] b:f32[4,1]", "Add a:f32[5] b:f32[2,3,5]",
      "Add a:f32[] b:f32[7]", "Add a:f32[101,103] b:f32[103]", "Add a:f32[101,103] b:f32[101,1]",
      "Add a:i64[3] b:i64[3]", "Add a:f32[0,3] b:f32[3]", "Add a:f32[700,33] b:f32[33]",
      "Add a:f32[3,701,5] b:f32[701,1]");
CASES(sub, "Sub a:f32[3,5] b:f32[3,5]", "Sub a:f32[3,1,5] b:f32[4,1]", "Sub a:f32[5] b:f32[2,3,5]",
      "Sub a:i32[3]~(-5,5) b:i32[3]~(-5,5)", "Sub a:f32[101,103] b:f32[101,103]",
      "Sub a:f32[] b:f32[3,11003]");
CASES(mul, "Mul a:f32[3,5] b:f32[3,5]", "Mul a:f32[3,1,5] b:f32[4,1]", "Mul a:f32[5] b:f32[2,3,5]",
      "Mul a:f32[101,103] b:f32[]", "Mul a:i64[3] b:i64[3]", "Mul a:f32[101,103] b:f32[101,103]",
      "Mul a:f32[40000] b:f32[1]", "Mul a:f32[2,301,67] b:f32[1,301,1]",
      "Mul a:u8[5]~(0,255) b:u8[5]~(0,255)");
CASES(div, "Div a:f32[3,5] b:f32[3,5]~(0.5,2)", "Div a:f32[3,1,5] b:f32[4,1]~(0.5,2)",
      "Div a:f32[5] b:f32[2,3,5]~(-2,-0.5)", "Div a:i64[5]~(-9,9) b:i64[5]~(1,4)",
      "Div a:f32[300,1] b:f32[1,301]~(0.5,2)");
CASES(pow, "Pow a:f32[3,5]~(0.3,2) b:f32[3,5]~(-2,2)", "Pow a:f32[7]~(0.3,2) b:f32[]{2.0}",
      "Pow a:f32[7] b:i64[]{3}", "Pow a:f32[2,1]~(0.3,2) b:f32[3]~(0.5,2)");
CASES(mod, "Mod a:i64[9]~(-9,9) b:i64[9]~(1,4)", "Mod(fmod=1) a:f32[9]~(-0.9,0.9) b:f32[9]~(1,2)");
CASES(max, "Max a:f32[3,5] b:f32[3,5]", "Max a:f32[3,5] b:f32[5] c:f32[3,1]", "Max a:f32[7]",
      "Max a:i64[4] b:i64[4]");
CASES(min, "Min a:f32[3,5] b:f32[3,5]", "Min a:f32[3,5] b:f32[5] c:f32[3,1]", "Min a:f32[7]",
      "Min a:i64[4] b:i64[4]");
CASES(sum, "Sum a:f32[3,5] b:f32[5] c:f32[3,1]", "Sum a:f32[7]");
CASES(mean, "Mean a:f32[3,5] b:f32[5] c:f32[3,1]", "Mean a:f32[7]");
CASES(equal, "Equal a:i64[3,4] b:i64[4]", "Equal a:f32[3] b:f32[3]", "Equal a:bool[5] b:bool[5]");
CASES(less, "Less a:f32[3,4] b:f32[4]", "Less a:i64[3] b:i64[3]");
CASES(less_or_equal, "LessOrEqual a:f32[3,4] b:f32[4]", "LessOrEqual a:i64[3] b:i64[3]");
CASES(greater, "Greater a:f32[3,4] b:f32[4]", "Greater a:i64[3] b:i64[3]");
CASES(greater_or_equal, "GreaterOrEqual a:f32[3,4] b:f32[4]", "GreaterOrEqual a:i64[3] b:i64[3]");
CASES(and, "And a:bool[3,4] b:bool[4]");
CASES(or, "Or a:bool[3,4] b:bool[4]");
CASES(xor, "Xor a:bool[3,4] b:bool[4]");
CASES(bitwise_and, "BitwiseAnd a:i32[3,4] b:i32[4]");
CASES(bitwise_or, "BitwiseOr a:i32[3,4] b:i32[4]");
CASES(bitwise_xor, "BitwiseXor a:i32[3,4] b:i32[4]");
CASES(bit_shift, "BitShift(direction='LEFT') a:u32[4] b:u32[4]",
      "BitShift(direction='RIGHT') a:u8[4]~(0,255) b:u8[4]");
CASES(where, "Where c:bool[3,5] a:f32[3,5] b:f32[3,5]", "Where c:bool[3,1] a:f32[5] b:f32[]",
      "Where c:bool[5] a:i64[2,5] b:i64[1]", "Where c:bool[101,103] a:f32[101,103] b:f32[103]",
      "Where c:bool[601,1] a:f32[1] b:f32[601,40]");

/* op_reduce.c: reductions over axes */
CASES(reduce_sum, "ReduceSum x:f32[3,4,5] axes:i64[1]{1}", "ReduceSum x:f32[3,4,5]",
      "ReduceSum(keepdims=0) x:f32[3,4,5] axes:i64[2]{-1,0}",
      "ReduceSum(noop_with_empty_axes=1) x:f32[3,4]", "ReduceSum@11(axes=[0,2]) x:f32[3,4,5]",
      "ReduceSum x:f32[51,203] axes:i64[1]{0}", "ReduceSum x:i64[3,4] axes:i64[1]{1}",
      "ReduceSum x:f32[7,1,5003] axes:i64[2]{0,1}", "ReduceSum x:f32[40000]",
      "ReduceSum(keepdims=0) x:f32[9,700,11] axes:i64[1]{1}");
CASES(reduce_mean, "ReduceMean x:f32[3,4,5] axes:i64[1]{1}", "ReduceMean x:f32[3,4,5]",
      "ReduceMean(keepdims=0) x:f32[3,4,5] axes:i64[2]{-1,0}",
      "ReduceMean@13(axes=[-1]) x:f32[3,4,5]", "ReduceMean x:f32[51,203] axes:i64[1]{1}");
CASES(reduce_max, "ReduceMax x:f32[3,4,5] axes:i64[1]{1}",
      "ReduceMax(keepdims=0) x:f32[3,4,5] axes:i64[2]{0,2}", "ReduceMax@13(axes=[1]) x:f32[3,4]",
      "ReduceMax x:f32[9,700,11] axes:i64[1]{1}", "ReduceMax x:u8[3,4] axes:i64[1]{1}");
CASES(reduce_min, "ReduceMin x:f32[3,4,5] axes:i64[1]{1}",
      "ReduceMin(keepdims=0) x:f32[3,4,5] axes:i64[2]{0,2}");
CASES(reduce_prod, "ReduceProd x:f32[3,4]~(0.5,2) axes:i64[1]{1}", "ReduceProd x:f32[2,3]~(0.5,2)",
      "ReduceProd x:f32[2,3]{1.0,0.0,2.0,3.0,4.0,5.0} axes:i64[1]{1}",
      "ReduceProd(keepdims=0) x:f32[2,3,2]~(0.5,2) axes:i64[1]{1}");
CASES(reduce_l1, "ReduceL1 x:f32[3,4,5]~(0.2,1) axes:i64[1]{1}", "ReduceL1 x:f32[3,4]~(-1,-0.1)");
CASES(reduce_l2, "ReduceL2 x:f32[3,4,5]~(0.2,1) axes:i64[1]{1}", "ReduceL2 x:f32[3,4]",
      "ReduceL2 x:f32[9,70,11] axes:i64[1]{-2}");
CASES(reduce_sum_square, "ReduceSumSquare x:f32[3,4,5] axes:i64[1]{1}",
      "ReduceSumSquare x:f32[3,4]");
CASES(reduce_log_sum, "ReduceLogSum x:f32[3,4,5]~(0.2,1) axes:i64[1]{1}",
      "ReduceLogSum x:f32[3,4]~(0.2,1)");
CASES(reduce_log_sum_exp, "ReduceLogSumExp x:f32[3,4,5] axes:i64[1]{1}",
      "ReduceLogSumExp x:f32[3,4]~(-3,3)",
      "ReduceLogSumExp(keepdims=0) x:f32[9,70,11] axes:i64[1]{1}");
CASES(arg_max, "ArgMax(axis=1) x:f32[3,5]", "ArgMax(axis=-1, keepdims=0) x:f32[3,5]",
      "ArgMax(axis=0, select_last_index=1) x:f32[2,2]{1.0,1.0,1.0,0.5}",
      "ArgMax(axis=1, keepdims=0) x:f32[3,200,101]", "ArgMax x:i8[5,3]~(-9,9)");
CASES(arg_min, "ArgMin(axis=1) x:f32[3,5]", "ArgMin(axis=-1, keepdims=0) x:f32[3,5]");
CASES(cum_sum, "CumSum x:f32[3,5] axis:i64[]{1}",
      "CumSum(exclusive=1, reverse=1) x:f32[3,5] axis:i64[]{0}",
      "CumSum(reverse=1) x:f32[3,5,2] axis:i64[]{-2}", "CumSum x:i32[3,5] axis:i32[1]{0}",
      "CumSum x:f32[2,300,41] axis:i64[]{1}");

/* op_cast.c */
CASES(cast, "Cast(to=1) x:f32[31]", "Cast(to=7) x:f32[31]~(-5,5)", "Cast(to=1) x:i64[31]",
      "Cast(to=9) x:f32[3]{0.0,1.0,-2.0}", "Cast(to=10) x:f32[31]", "Cast(to=1) x:f16[31]",
      "Cast(to=11) x:f32[5]", "Cast(to=1) x:f32[101,103]", "Cast(to=6) x:f32[101,103]~(-99,99)",
      "Cast(to=16) x:f64[7]", "Cast(to=17, saturate=0) x:f32[7]~(-900,900)", "Cast(to=22) x:i8[9]",
      "Cast(to=3) x:bool[2,3]", "Cast@9(to=7) x:i32[2]{3,-4}", "Cast(to=1) x:f32[0,3]",
      "Cast(to=13) x:u8[]");
CASES(cast_like, "CastLike x:f32[31] like:i64[1]", "CastLike x:i32[31] like:f32[1]",
      "CastLike x:f32[31] like:f32[2]", "CastLike x:f32[101,103] like:f32[2]");

/* op_shape.c: the same elements in another shape or order */
CASES(identity, "Identity x:f32[3,5]", "Identity x:i64[3]", "Identity@7 x:f16[3,5]",
      "Identity x:bool[0]");
CASES(reshape, "Reshape x:f32[2,3,4] s:i64[2]{4,-1}", "Reshape x:f32[2,3,4] s:i64[3]{0,-1,2}",
      "Reshape(allowzero=1) x:f32[0,3] s:i64[2]{3,0}", "Reshape x:f32[1] s:i64[0]{}",
      "Reshape x:i64[4] s:i64[2]{2,2}", "Reshape@5 x:f32[1,1] s:i64[0]{}",
      "Reshape x:f32[] s:i64[2]{1,-1}", "Reshape x:f32[150,130] s:i64[1]{-1}");
CASES(flatten, "Flatten x:f32[2,3,4]", "Flatten(axis=0) x:f32[2,3,4]",
      "Flatten(axis=-1) x:f32[2,3,4]", "Flatten(axis=3) x:f32[2,3,4]",
      "Flatten@1(axis=2) x:f64[2,3,4]");
CASES(squeeze, "Squeeze x:f32[1,3,1,2]", "Squeeze x:f32[1,3,1,2] axes:i64[1]{-2}",
      "Squeeze@11(axes=[0]) x:f32[1,3,1]", "Squeeze@1 x:u8[1,1]");
CASES(unsqueeze, "Unsqueeze x:f32[3,2] axes:i64[2]{0,-1}", "Unsqueeze@11(axes=[1]) x:f32[3,2]",
      "Unsqueeze x:bool[] a:i64[1]{0}");
CASES(transpose, "Transpose x:f32[2,3,4]", "Transpose(perm=[0,2,1]) x:f32[2,3,4]",
      "Transpose(perm=[2,0,1]) x:f32[2,3,4]", "Transpose(perm=[1,0]) x:f32[101,103]",
      "Transpose(perm=[0,2,1,3]) x:f32[2,3,4,5]", "Transpose x:i64[2,3]",
      "Transpose(perm=[0,3,1,2]) x:f32[2,5,3,4]", "Transpose(perm=[0,1]) x:f32[3,4]",
      "Transpose x:f32[]", "Transpose@1(perm=[2,0,1]) x:f16[2,3,4]", "Transpose x:f32[3,0]",
      "Transpose(perm=[1,0]) x:i8[70,90]");
CASES(depth_to_space, "DepthToSpace(blocksize=2) x:f32[2,8,2,3]",
      "DepthToSpace(blocksize=2, mode='CRD') x:f32[2,8,2,3]",
      "DepthToSpace@1(blocksize=3) x:f32[1,18,40,30]", "DepthToSpace(blocksize=1) x:i8[1,2,3,4]");
CASES(space_to_depth, "SpaceToDepth(blocksize=2) x:f32[2,3,4,6]",
      "SpaceToDepth@1(blocksize=3) x:f32[1,2,60,90]", "SpaceToDepth(blocksize=2) x:i64[1,1,2,2]");
CASES(expand, "Expand x:f32[3,1] s:i64[3]{2,1,4}", "Expand x:f32[3] s:i64[1]{1}",
      "Expand x:i64[1] s:i64[1]{4}", "Expand x:f32[] s:i64[2]{130,150}",
      "Expand x:f32[1,3] s:i64[2]{0,3}", "Expand x:f32[5,1,7] s:i64[3]{5,90,7}");
CASES(tile, "Tile x:f32[2,3] r:i64[2]{2,3}", "Tile x:i64[2] r:i64[1]{3}",
      "Tile x:f32[4] r:i64[1]{0}", "Tile x:f32[] r:i64[0]{}", "Tile x:f32[90,10] r:i64[2]{5,7}",
      "Tile@6 x:u8[2,1,3] r:i64[3]{1,5,2}");
CASES(dropout, "Dropout x:f32[3,5]", "Dropout x:f32[3,5] r:f32[]{0.3} -> 2",
      "Dropout x:f32[3,5] r:f32[]{0.3} t:bool[]{0}", "Dropout@7(ratio=0.4) x:f32[3,5]",
      "Dropout x:f16[3] r:f16[]{0} t:bool[]{1}", "Dropout@10(ratio=0.25) x:f32[200,100] -> 2");
CASES(shape, "Shape x:f32[3,4,5]", "Shape(start=1, end=-1) x:f32[3,4,5]",
      "Shape(start=2, end=1) x:i64[3,5]", "Shape@1 x:f32[]");
CASES(size, "Size x:f32[3,4,5]", "Size@1 x:u8[0,3]");

/* op_fill.c */
CASES(constant, "Constant(value=f32[2,2]{0.5})", "Constant(value=i64[3]{1,2,3})",
      "Constant(value_ints=[4,5])", "Constant(value_int=4)", "Constant(value_float=0.5)",
      "Constant(value_floats=[0.5,1.5])");
CASES(constant_of_shape, "ConstantOfShape s:i64[2]{2,3}",
      "ConstantOfShape(value=i64[1]{7}) s:i64[1]{4}",
      "ConstantOfShape(value=f32[1]{0.5}) s:i64[0]{}",
      "ConstantOfShape(value=i8[1]{7}) s:i64[1]{5}", "ConstantOfShape@9 s:i64[2]{0,3}");
CASES(range, "Range a:i64[]{1} b:i64[]{10} c:i64[]{3}",
      "Range a:f32[]{0.0} b:f32[]{1.0} c:f32[]{0.25}", "Range a:i64[]{5} b:i64[]{0} c:i64[]{-2}",
      "Range a:i32[]{0} b:i32[]{5} c:i32[]{2}", "Range a:i16[]{3} b:i16[]{3} c:i16[]{1}",
      "Range a:f64[]{1} b:f64[]{0} c:f64[]{1}", "Range a:f16[]{0.0} b:f16[]{1.0} c:f16[]{0.25}",
      "Range@27 a:bf16[]{1.0} b:bf16[]{-1.0} c:bf16[]{-0.5}");
CASES(eye_like, "EyeLike x:f32[3,4]", "EyeLike(k=1, dtype=7) x:f32[3,4]",
      "EyeLike(k=-1) x:f32[3,3]", "EyeLike(k=-2) x:i32[4,4]", "EyeLike(k=9) x:f32[2,2]");
CASES(one_hot, "OneHot i:i64[3]{0,2,-1} d:i64[]{4} v:f32[2]{0.0,1.0}",
      "OneHot(axis=0) i:i64[2,2]{0,1,2,3} d:i64[1]{4} v:f32[2]{0.0,1.0}",
      "OneHot i:i64[3]{1,-1,5} d:i64[]{4} v:f32[2]",
      "OneHot(axis=1) i:f32[2,3]{0,1,2,3,0,1} d:f32[]{4} v:i64[2]",
      "OneHot@9(axis=-2) i:i32[3] d:i32[]{5} v:i8[2]");
CASES(trilu, "Trilu x:f32[3,4,4]", "Trilu(upper=0) x:f32[4,5] k:i64[]{1}",
      "Trilu x:f32[4,5] k:i64[]{-1}", "Trilu(upper=0) x:f32[2,3] k:i64[1]{9}",
      "Trilu x:i64[3,3] k:i64[]{-9}", "Trilu x:f32[200,100]");

/* op_slice.c */
CASES(concat, "Concat(axis=1) a:f32[2,3] b:f32[2,1] c:f32[2,4]",
      "Concat(axis=-2) a:f32[2,3] b:f32[1,3]", "Concat(axis=0) a:i64[2] b:i64[3]",
      "Concat(axis=0) a:f32[2]", "Concat(axis=-1) a:f32[2,3] b:f32[2,0] c:f32[2,2]",
      "Concat@4(axis=1) a:f32[2,3,2] b:f32[2,1,2]", "Concat(axis=1) a:f32[90,100] b:f32[90,150]");
CASES(split, "Split(axis=1) x:f32[2,6] s:i64[3]{1,2,3} -> 3",
      "Split(axis=0, num_outputs=2) x:f32[5,2] -> 2", "Split@13(axis=-1) x:f32[2,6] -> 3",
      "Split@11(axis=1, split=[2,4]) x:f32[2,6] -> 2", "Split@2 x:i32[4] -> 2",
      "Split(axis=0) x:f32[5] s:i64[3]{2,0,3} -> 1,-,1",
      "Split(axis=1, num_outputs=2) x:f32[150,200] -> 2");
CASES(slice, "Slice x:f32[5,6] a:i64[2]{1,0} b:i64[2]{4,6} axes:i64[2]{0,1} steps:i64[2]{1,2}",
      "Slice x:f32[5,6] a:i64[1]{-1} b:i64[1]{-9} axes:i64[1]{1} steps:i64[1]{-1}",
      "Slice x:f32[5,6] a:i64[2]{1,2} b:i64[2]{1000,-1}",
      "Slice@9(starts=[1], ends=[3], axes=[1]) x:f32[5,6]",
      "Slice x:i64[9] a:i64[1]{2} b:i64[1]{7} axes:i64[1]{0} steps:i64[1]{2}",
      "Slice x:f32[7] s:i64[1]{9223372036854775807} e:i64[1]{-9223372036854775807} - st:i64[1]{-3}",
      "Slice x:f32[7] s:i64[1]{5} e:i64[1]{2}", "Slice@1(starts=[0,1], ends=[9,2]) x:u8[2,3,4]",
      "Slice x:f32[200,150] s:i32[1]{3} e:i32[1]{140} a:i32[1]{1} st:i32[1]{2}");

/* op_index.c */
CASES(gather, "Gather(axis=1) x:f32[3,4] i:i64[2]{0,3}", "Gather x:f32[5,3] i:i64[2,2]{0,-1,2,0}",
      "Gather x:f32[5,3] i:i64[]{1}", "Gather(axis=-1) x:f32[2,3,4] i:i32[3]{3,3,0}",
      "Gather x:i64[5] i:i64[2]{0,4}", "Gather x:f32[50,300] i:i64[7,11]~(-50,49)",
      "Gather@1(axis=1) x:u8[2,5,3] i:i32[2]{4,0}", "Gather x:f32[3] i:i64[0]{}");
CASES(gather_elements, "GatherElements(axis=1) x:f32[3,4] i:i64[3,2]{0,3,1,1,2,-1}",
      "GatherElements x:f32[3,4] i:i64[2,4]{0,2,1,1,2,0,0,1}",
      "GatherElements(axis=-1) x:f32[2,3,40] i:i64[2,2,70]~(-40,39)",
      "GatherElements x:i8[3] i:i32[5]{0,1,2,-1,-3}");
CASES(gather_nd, "GatherND x:f32[3,4,5] i:i64[2,2]{0,1,2,3}",
      "GatherND(batch_dims=1) x:f32[2,3,4] i:i64[2,1]{1,0}",
      "GatherND x:f32[3,4,500] i:i64[9,2]~(-3,2)", "GatherND@11 x:i64[3,4] i:i64[2]{2,1}",
      "GatherND(batch_dims=2) x:f32[2,3,4] i:i64[2,3,1]~(0,3)");
CASES(scatter_elements, "ScatterElements(axis=1) x:f32[3,4] i:i64[3,2]{0,3,1,2,2,0} u:f32[3,2]",
      "ScatterElements(reduction='add') x:f32[3,4] i:i64[2,4]{0,2,1,1,2,2,0,1} u:f32[2,4]",
      "ScatterElements@18(reduction='max') x:i32[4] i:i64[3]{1,1,-1} u:i32[3]",
      "ScatterElements@11(axis=-1) x:f16[3,4] i:i64[3,1]{0,1,2} u:f16[3,1]");
CASES(scatter_nd, "ScatterND x:f32[4,3] i:i64[2,1]{0,2} u:f32[2,3]",
      "ScatterND(reduction='add') x:f32[4,3] i:i64[2,1]{1,1} u:f32[2,3]",
      "ScatterND x:f32[4,3] i:i64[2,2]{0,1,3,2} u:f32[2]",
      "ScatterND(reduction='add') x:f32[6,700] i:i64[20,1]~(-6,5) u:f32[20,700]",
      "ScatterND(reduction='mul') x:i64[4] i:i64[3,1]{1,1,0} u:i64[3]",
      "ScatterND@11 x:u8[2,2] i:i64[1,2]{1,-1} u:u8[1]");
CASES(top_k, "TopK x:f32[3,7] k:i64[1]{3} -> 2",
      "TopK(axis=0, largest=0) x:f32[5,2] k:i64[1]{2} -> 2",
      "TopK(axis=1) x:f32[3,200,41] k:i64[1]{9} -> 2", "TopK x:f32[3,7] k:i64[1]{3} -> -,1",
      "TopK@9(k=2) x:f32[3,7] -> 2");
CASES(non_zero, "NonZero x:f32[2,3]{0.0,1.0,2.0,0.0,0.0,3.0}",
      "NonZero x:bool[3,4]{1,0,0,1,1,0,0,0,0,0,0,1}", "NonZero x:i64[0]{}");
CASES(compress, "Compress(axis=1) x:f32[3,4] c:bool[3]{1,0,1}",
      "Compress x:f32[2,2] c:bool[4]{1,0,0,1}", "Compress(axis=-2)  x:f32[2,3,4] c:bool[2]{0,1}",
      "Compress x:i8[2,3] c:bool[3]{1,1,0}");

CASES(scatter, "Scatter@9 x:f32[3,3] i:i64[2,3]{1,0,2,0,2,1} u:f32[2,3]",
      "Scatter@10(axis=1) x:f32[1,5] i:i64[1,2]{1,3} u:f32[1,2]");
CASES(reverse_sequence, "ReverseSequence x:f32[4,3] l:i64[3]{4,2,1}",
      "ReverseSequence(batch_axis=0, time_axis=1) x:f32[2,5,3] l:i64[2]{0,4}",
      "ReverseSequence@10 x:i32[2,2] l:i64[2]{2,2}");

/* op_pad.c */
CASES(pad, "Pad x:f32[2,3] p:i64[4]{1,0,2,1}", "Pad(mode='reflect') x:f32[4,5] p:i64[4]{2,1,1,3}",
      "Pad(mode='edge') x:f32[2,3] p:i64[4]{1,1,2,1}",
      "Pad x:f32[2,3] p:i64[4]{0,1,0,1} v:f32[]{0.5}",
      "Pad(mode='wrap') x:f32[3,4] p:i64[4]{1,2,2,1}", "Pad x:f32[4,5] p:i64[4]{-1,0,1,-2}",
      "Pad x:f32[2,3,4] p:i64[2]{1,2} - axes:i64[1]{-1}", "Pad@2(pads=[1,0,0,2]) x:f32[2,3]",
      "Pad x:i64[3] p:i64[2]{1,1}", "Pad x:f32[2,3] p:i64[4]{0,1,0,1} v:f32[]",
      "Pad(mode='reflect') x:f32[2,3,10,11] p:i64[8]{0,0,5,12,0,0,3,14}",
      "Pad(mode='edge') x:i8[3,200] p:i64[4]{90,1,2,300}",
      "Pad(mode='wrap') x:f32[2,3] p:i64[2]{-1,7} - axes:i64[1]{1}",
      "Pad(mode='reflect') x:f32[1,3] p:i64[4]{2,0,2,0}", "Pad@2(pads=[1,2], value=0.5) x:f16[3]",
      "Pad x:f32[100,90] p:i64[4]{30,-20,10,50}",
      "Pad@11(mode='edge') x:f32[3,4] p:i64[4]{0,-1,2,-1}", "Pad x:f32[] p:i64[0]{}",
      "Pad x:f32[0,2] p:i64[4]{1,1,1,1} v:f32[]{2}");

/* op_resize.c */
CASES(
    resize, "Resize(mode='nearest') x:f32[1,2,3,4] - scales:f32[4]{1.0,1.0,2.0,2.0}",
    "Resize(mode='linear') x:f32[1,2,3,4] - scales:f32[4]{1.0,1.0,2.0,1.5}",
    "Resize(mode='linear', coordinate_transformation_mode='align_corners') x:f32[1,2,3,4] - - "
    "sizes:i64[4]{1,2,5,7}",
    "Resize(mode='linear', coordinate_transformation_mode='asymmetric') x:f32[1,2,4,4] - "
    "scales:f32[4]{1.0,1.0,0.5,0.5}",
    "Resize(mode='cubic') x:f32[1,1,4,5] - - sizes:i64[4]{1,1,7,9}",
    "Resize(mode='cubic', exclude_outside=1) x:f32[1,1,4,5] - - sizes:i64[4]{1,1,7,9}",
    "Resize(mode='linear', antialias=1) x:f32[1,1,8,6] - - sizes:i64[4]{1,1,4,3}",
    "Resize(mode='nearest', nearest_mode='floor', coordinate_transformation_mode='asymmetric') "
    "x:f32[1,2,3,4] - scales:f32[4]{1.0,1.0,2.0,2.0}",
    "Resize(mode='linear', axes=[2,3]) x:f32[1,2,3,4] - - sizes:i64[2]{5,6}",
    "Resize@10(mode='linear') x:f32[1,2,3,4] scales:f32[4]{1.0,1.0,2.0,2.0}",
    "Resize(mode='cubic', antialias=1, axes=[3,-2]) x:f32[1,2,9,8] - - sizes:i64[2]{5,3}",
    "Resize(mode='linear', coordinate_transformation_mode='tf_crop_and_resize', "
    "extrapolation_value=10.0) x:f32[1,1,4,4] roi:f32[8]{0.0,0.0,0.4,0.6,1.0,1.0,1.2,1.7} - "
    "sizes:i64[4]{1,1,3,3}",
    "Resize(mode='nearest') x:i64[2,3] - - sizes:i64[2]{4,2}",
    "Resize(mode='linear') x:u8[2,300] - scales:f32[2]{1.0,0.3}",
    "Resize(mode='linear', keep_aspect_ratio_policy='not_larger', axes=[1,2]) x:f32[2,10,6] - - "
    "sizes:i64[2]{7,9}",
    "Resize(mode='cubic', keep_aspect_ratio_policy='not_smaller') x:f32[5,4] - - sizes:i64[2]{5,5}",
    "Resize(mode='linear', coordinate_transformation_mode='half_pixel_symmetric') x:f32[3,7] - "
    "scales:f32[2]{2.3,0.45}",
    "Resize(mode='linear', coordinate_transformation_mode='pytorch_half_pixel') x:f32[30,7,50] - - "
    "sizes:i64[3]{1,20,120}",
    "Resize@11(mode='nearest', nearest_mode='ceil', "
    "coordinate_transformation_mode='align_corners') x:f32[2,3] roi:f32[0]{} "
    "scales:f32[2]{2.0,2.5}",
    "Resize(mode='nearest', nearest_mode='round_prefer_ceil', "
    "coordinate_transformation_mode='asymmetric') x:f16[4,6] - - sizes:i64[2]{8,3}",
    "Resize@10 x:f32[1,1,5,4] s:f32[4]{1.0,1.0,0.5,2.0}");
CASES(upsample, "Upsample@9(mode='nearest') x:f32[1,2,3,4] scales:f32[4]{1.0,1.0,2.0,3.0}",
      "Upsample@7(mode='linear', scales=[1.0,1.0,2.0,2.0]) x:f32[1,2,3,4]");

/* op_grid.c */
CASES(grid_sample, "GridSample x:f32[2,3,4,5] g:f32[2,3,7,2]~(-1.3,1.3)",
      "GridSample(mode='cubic', padding_mode='reflection', align_corners=1) x:f32[1,2,4,5] "
      "g:f32[1,30,20,2]~(-2,2)",
      "GridSample@16(mode='nearest', padding_mode='border') x:f32[1,2,4,5] g:f32[1,3,3,2]",
      "GridSample x:f32[1,2,3,4,5] g:f32[1,2,3,4,3]~(-1.2,1.2)");

/* op_matmul.c */
CASES(matmul, "MatMul a:f32[5,7] b:f32[7,3]", "MatMul a:f32[2,3,5,7] b:f32[2,3,7,4]",
      "MatMul a:f32[2,1,5,7] b:f32[3,7,4]", "MatMul a:f32[7] b:f32[7,3]",
      "MatMul a:f32[5,7] b:f32[7]", "MatMul a:f32[7] b:f32[7]", "MatMul a:f32[2,5,7] b:f32[7,3]",
      "MatMul a:f32[7,3] b:f32[2,3,4]", "MatMul a:f32[70,150] b:f32[150,90]",
      "MatMul a:f32[2,5,7] b:f32[7]", "MatMul a:f32[1,7] b:f32[7,65]",
      "MatMul a:f32[7] b:f32[2,7,3]", "MatMul a:f32[0,5] b:f32[5,4]",
      "MatMul a:f32[3,0] b:f32[0,4]", "MatMul a:f32[0,3,5] b:f32[5,4]",
      "MatMul a:i32[2,3] b:i32[3,2]", "MatMul a:f32[2,3,2,4,5] b:f32[2,1,2,5,6]",
      "MatMul a:u64[2,2,3] b:u64[3,2]");
CASES(fused_matmul, "com.microsoft::FusedMatMul(alpha=0.5) a:f32[5,7] b:f32[7,3]",
      "com.microsoft::FusedMatMul(transA=1) a:f32[2,7,5] b:f32[2,7,3]",
      "com.microsoft::FusedMatMul(transB=1, alpha=2.0) a:f32[2,5,7] b:f32[3,7]",
      "com.microsoft::FusedMatMul(transA=1, transB=1) a:f32[7,5] b:f32[3,7]");
CASES(gemm, "Gemm a:f32[5,7] b:f32[7,3] c:f32[3]",
      "Gemm(transA=1, transB=1, alpha=0.5, beta=2.0) a:f32[7,5] b:f32[3,7] c:f32[5,1]",
      "Gemm(transB=1) a:f32[5,7] b:f32[3,7]", "Gemm a:f32[5,7] b:f32[7,3] c:f32[]",
      "Gemm(transA=1) a:f32[7,5] b:f32[7,3] c:f32[5,3]",
      "Gemm(transB=1) a:f32[70,150] b:f32[90,150] c:f32[90]", "Gemm a:f32[0,5] b:f32[5,4] c:f32[4]",
      "Gemm a:f32[3,0] b:f32[0,4] c:f32[4]", "Gemm@7 a:f32[3,5] b:f32[5,1] c:f32[1,1]");
CASES(einsum, "Einsum(equation='bij,bjk->bik') a:f32[2,3,4] b:f32[2,4,5]",
      "Einsum(equation='ij->ji') a:f32[3,4]",
      "Einsum(equation='bhid,bhjd->bhij') a:f32[2,2,3,4] b:f32[2,2,5,4]",
      "Einsum(equation='i,j->ij') a:f32[3] b:f32[4]", "Einsum(equation='ij->i') a:f32[3,4]",
      "Einsum(equation='...ij,...jk') a:f32[2,3,4] b:f32[2,4,5]",
      "Einsum(equation='ij,jk->ki') a:f32[3,4] b:f32[4,5]",
      "Einsum(equation='bhij,bhjd->bihd') a:f32[2,3,4,5] b:f32[2,3,5,2]",
      "Einsum(equation='bihd,bjhd->bhij') a:f32[2,4,3,5] b:f32[2,6,3,5]",
      "Einsum(equation='ijk,jl->kli') a:f32[2,3,4] b:f32[3,5]",
      "Einsum(equation='ijk,kj->i') a:f32[2,3,4] b:f32[4,3]", "Einsum(equation='ii->i') a:f32[3,3]",
      "Einsum(equation='ii,ij->j') a:f32[3,3] b:f32[3,4]",
      "Einsum(equation='ij,k->i') a:f32[2,3] b:f32[4]",
      "Einsum(equation='ij,jk,kl->il') a:f32[2,3] b:f32[3,4] c:f32[4,2]",
      "Einsum(equation='i,i->') a:f32[5] b:f32[5]",
      "Einsum(equation='ij,ij') a:f32[3,1] b:f32[1,4]",
      "Einsum(equation='...i,...i->...') a:f32[2,3,4] b:f32[3,4]",
      "Einsum(equation='ab...,b...c->...ca') a:f32[2,3,1,4] b:f32[3,5,4,2]",
      "Einsum(equation='bdc,bac->bda') a:f32[2,0,3] b:f32[2,4,3]",
      "Einsum(equation='ij,jk->ik') a:f32[3,0] b:f32[0,4]",
      "Einsum(equation='abc,cd->abd') a:f32[2,3,4] b:f32[4,5]",
      "Einsum(equation='ij->') a:f32[2,3]");

/* op_conv.c. A tap of 1 is a product, one channel a group is depthwise, the rest goes through
 * panels; images with few positions and many channels through one panel together. */
CASES(conv, "Conv(kernel_shape=[3,3], pads=[1,1,1,1]) x:f32[2,4,6,7] w:f32[6,4,3,3] b:f32[6]",
      "Conv(group=2) x:f32[2,4,6,7] w:f32[6,2,3,3] b:f32[6]", "Conv x:f32[1,3,5] w:f32[4,3,3]",
      "Conv(strides=[2,2], dilations=[2,1], pads=[0,1,2,3]) x:f32[1,2,9,8] w:f32[3,2,2,3]",
      "Conv(group=4) x:f32[2,4,6,7] w:f32[4,1,3,3] b:f32[4]",
      "Conv(group=4, strides=[2,1], pads=[1,1,1,1]) x:f32[1,4,6,7] w:f32[8,1,3,3]",
      "Conv x:f32[2,5,4,3] w:f32[7,5,1,1] b:f32[7]",
      "Conv(strides=[2,2]) x:f32[1,5,5,4] w:f32[3,5,1,1]",
      "Conv(auto_pad='SAME_UPPER', strides=[2,2]) x:f32[1,2,7,6] w:f32[3,2,3,3]",
      "Conv(auto_pad='SAME_LOWER') x:f32[1,2,5,6] w:f32[3,2,2,2]",
      "Conv(auto_pad='VALID') x:f32[1,2,5,6] w:f32[3,2,2,2]",
      "Conv x:f32[1,2,4,5,3] w:f32[3,2,2,2,2] b:f32[3]",
      "Conv(pads=[1,1,1,1]) x:f32[1,16,24,24] w:f32[24,16,3,3] b:f32[24]",
      "Conv x:f32[2,4,8,9] w:f32[6,4,3,3] b:f32[6]", "Conv x:f32[1,3,9] w:f32[5,3,4]",
      "Conv(strides=[2]) x:f32[2,3,11] w:f32[4,3,3] b:f32[4]",
      "Conv(pads=[1,2,0,1], strides=[2,1], dilations=[1,2]) x:f32[2,3,7,8] w:f32[4,3,3,2]",
      "Conv(group=2, pads=[1,1,1,1]) x:f32[2,4,5,6] w:f32[6,2,3,3] b:f32[6]",
      "Conv(group=4, pads=[1,1,1,1]) x:f32[2,4,5,35] w:f32[4,1,3,3] b:f32[4]",
      "Conv(group=3, pads=[2,0,1,1], strides=[2,2]) x:f32[2,3,9,41] w:f32[6,1,3,3]",
      "Conv(group=3, dilations=[2,3], strides=[1,3]) x:f32[1,3,7,19] w:f32[3,1,2,3]",
      "Conv(group=4, pads=[3,0]) x:f32[2,4,40] w:f32[4,1,4] b:f32[4]",
      "Conv x:f32[2,5,4,7] w:f32[3,5,1,1] b:f32[3]", "Conv x:f32[1,6,30] w:f32[4,6,1]",
      "Conv(group=2) x:f32[2,4,4,3] w:f32[6,2,1,1]",
      "Conv(strides=[2,2]) x:f32[1,3,7,7] w:f32[4,3,1,1] b:f32[4]",
      "Conv(auto_pad='SAME_UPPER', strides=[2,2]) x:f32[1,2,7,8] w:f32[3,2,3,4]",
      "Conv(auto_pad='SAME_LOWER', strides=[2,3]) x:f32[1,2,7,8] w:f32[3,2,4,2]",
      "Conv(auto_pad='VALID', kernel_shape=[2,3]) x:f32[1,2,5,5] w:f32[3,2,2,3]",
      "Conv(pads=[1,0,1,0,1,1], strides=[1,2,1]) x:f32[2,2,4,5,4] w:f32[3,2,2,3,3] b:f32[3]",
      "Conv@11(pads=[4,4,4,4]) x:f32[1,1,2,2] w:f32[2,1,3,3]",
      "Conv(pads=[1,1,1,1]) x:f32[1,130,6,6] w:f32[70,130,3,3] b:f32[70]",
      "Conv x:f32[1,150,10,14] w:f32[110,150,1,1]", "Conv x:f32[0,3,5,5] w:f32[4,3,3,3]",
      "Conv(pads=[1,1,1,1]) x:f32[1,2,1,300] w:f32[3,2,3,3]",
      "Conv(pads=[1,1,1,1]) x:f32[1,2,40,50] w:f32[3,2,3,3] b:f32[3]");
CASES(
    conv_transpose, "ConvTranspose x:f32[1,3,4,5] w:f32[3,2,3,3] b:f32[2]",
    "ConvTranspose(strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]) x:f32[2,4,3,4] "
    "w:f32[4,3,3,3] b:f32[3]",
    "ConvTranspose(group=2, strides=[2,2]) x:f32[1,4,3,3] w:f32[4,3,2,2]",
    "ConvTranspose(dilations=[2,2]) x:f32[1,2,4,4] w:f32[2,3,2,2]",
    "ConvTranspose x:f32[1,3,5] w:f32[3,2,3]",
    "ConvTranspose(strides=[2,2], output_shape=[7,9]) x:f32[1,2,4,5] w:f32[2,2,3,3]",
    "ConvTranspose(auto_pad='SAME_UPPER', strides=[2,2]) x:f32[1,2,3,4] w:f32[2,2,3,3]",
    "ConvTranspose x:f32[1,3,4,5] w:f32[3,4,3,3] b:f32[4]",
    "ConvTranspose(strides=[2], output_padding=[1]) x:f32[2,3,5] w:f32[3,2,3]",
    "ConvTranspose(strides=[2,3], pads=[1,0,1,2], dilations=[2,1]) x:f32[1,2,4,3] w:f32[2,3,3,4]",
    "ConvTranspose(group=2, strides=[2,2], pads=[1,1,1,1]) x:f32[2,4,3,4] w:f32[4,3,4,4] b:f32[6]",
    "ConvTranspose(group=3, strides=[2,2]) x:f32[2,3,4,5] w:f32[3,1,2,2] b:f32[3]",
    "ConvTranspose(output_shape=[9,8], strides=[2,2]) x:f32[1,2,4,4] w:f32[2,3,3,3]",
    "ConvTranspose(output_shape=[9,8], strides=[2,2], auto_pad='SAME_UPPER') x:f32[1,2,4,4] "
    "w:f32[2,3,3,3]",
    "ConvTranspose(output_shape=[12,12], strides=[2,2]) x:f32[1,2,4,4] w:f32[2,3,3,3] b:f32[3]",
    "ConvTranspose(auto_pad='SAME_LOWER', strides=[2,3]) x:f32[1,2,4,4] w:f32[2,3,3,5]",
    "ConvTranspose(auto_pad='VALID', kernel_shape=[2,2]) x:f32[1,2,4,4] w:f32[2,3,2,2]",
    "ConvTranspose(strides=[1,2,1], pads=[0,1,0,1,0,0]) x:f32[1,2,3,3,2] w:f32[2,3,2,3,2]",
    "ConvTranspose x:f32[2,4,3,3] w:f32[4,5,1,1] b:f32[5]");

/* op_pool.c */
CASES(max_pool, "MaxPool(kernel_shape=[2,2], strides=[2,2]) x:f32[2,3,6,7]",
      "MaxPool(kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]) x:f32[1,2,7,7]",
      "MaxPool(kernel_shape=[2,2], dilations=[2,2]) x:f32[1,2,6,6]",
      "MaxPool(kernel_shape=[3], ceil_mode=1, strides=[2]) x:f32[1,2,8]",
      "MaxPool(kernel_shape=[2,2], auto_pad='SAME_UPPER') x:f32[1,2,5,5]",
      "MaxPool(kernel_shape=[2,2]) x:f32[1,2,4,4] -> 2",
      "MaxPool(kernel_shape=[2,2,2], strides=[1,2,1]) x:f32[1,2,3,4,4]",
      "MaxPool(kernel_shape=[9,9]) x:f32[1,2,10,11]", "MaxPool(kernel_shape=[2]) x:u8[1,2,5]");
CASES(average_pool, "AveragePool(kernel_shape=[2,2], strides=[2,2]) x:f32[2,3,6,7]",
      "AveragePool(kernel_shape=[3,3], pads=[1,1,1,1]) x:f32[1,2,5,6]",
      "AveragePool(kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1) x:f32[1,2,5,6]",
      "AveragePool(kernel_shape=[3], ceil_mode=1, strides=[2]) x:f32[1,2,8]",
      "AveragePool(kernel_shape=[2,2], auto_pad='SAME_LOWER') x:f32[1,2,5,5]",
      "AveragePool(kernel_shape=[2,2], dilations=[2,2]) x:f32[1,2,6,6]",
      "AveragePool(kernel_shape=[2,2,2], pads=[1,1,1,1,1,1]) x:f32[1,2,3,4,4]");
CASES(lp_pool, "LpPool(kernel_shape=[2,2]) x:f32[1,2,4,5]~(0.2,1)",
      "LpPool(kernel_shape=[2,2], p=1, strides=[2,2]) x:f32[1,2,4,5]~(0.2,1)");
CASES(global_average_pool, "GlobalAveragePool x:f32[2,3,4,5]", "GlobalAveragePool x:f32[2,3,7]");
CASES(global_max_pool, "GlobalMaxPool x:f32[2,3,4,5]", "GlobalMaxPool x:f32[2,3,7]");
CASES(global_lp_pool, "GlobalLpPool x:f32[2,3,4]~(0.2,1)", "GlobalLpPool(p=3) x:f32[2,1,3,3]");

/* op_norm.c */
CASES(batch_normalization,
      "BatchNormalization x:f32[2,3,4,5] g:f32[3] b:f32[3] m:f32[3] v:f32[3]~(0.5,2)",
      "BatchNormalization(epsilon=0.1) x:f32[4,3] g:f32[3] b:f32[3] m:f32[3] v:f32[3]~(0.5,2)",
      "BatchNormalization(training_mode=1) x:f32[2,3,4,5] g:f32[3] b:f32[3] m:f32[3] "
      "v:f32[3]~(0.5,2) -> 3");
CASES(layer_normalization, "LayerNormalization x:f32[2,3,8] g:f32[8] b:f32[8]",
      "LayerNormalization(axis=1, epsilon=0.01) x:f32[2,3,4] g:f32[3,4]",
      "LayerNormalization x:f32[2,3,8] g:f32[8] b:f32[8] -> 3",
      "LayerNormalization x:f32[70,160] g:f32[160] b:f32[160]");
CASES(group_normalization, "GroupNormalization(num_groups=2) x:f32[2,4,3,5] g:f32[4] b:f32[4]",
      "GroupNormalization@18(num_groups=2) x:f32[2,4,3,5] g:f32[2] b:f32[2]");
CASES(instance_normalization, "InstanceNormalization x:f32[2,3,4,5] g:f32[3] b:f32[3]",
      "InstanceNormalization(epsilon=0.1) x:f32[2,3,7] g:f32[3] b:f32[3]");
CASES(rms_normalization, "RMSNormalization x:f32[2,3,8] g:f32[8]",
      "RMSNormalization(axis=-2, epsilon=0.01) x:f32[2,3,4] g:f32[3,4]");
CASES(simplified_layer_normalization, "SimplifiedLayerNormalization x:f32[2,3,8] g:f32[8]",
      "SimplifiedLayerNormalization(axis=1, epsilon=0.01) x:f32[2,3,4] g:f32[3,4]");
CASES(lrn, "LRN(size=3) x:f32[2,5,3,3]",
      "LRN(size=4, alpha=0.1, beta=0.5, bias=2.0) x:f32[1,6,2,2]");
CASES(lp_normalization, "LpNormalization(axis=1, p=2) x:f32[3,4]",
      "LpNormalization(axis=0, p=1) x:f32[3,4]~(0.2,1)");
CASES(mean_variance_normalization, "MeanVarianceNormalization x:f32[2,3,4,5]",
      "MeanVarianceNormalization(axes=[1]) x:f32[2,5]");

/* op_softmax.c */
CASES(softmax, "Softmax x:f32[3,5]", "Softmax(axis=1) x:f32[2,3,4]~(-3,3)",
      "Softmax@11(axis=1) x:f32[2,3,4]", "Softmax x:f32[70,160]");
CASES(log_softmax, "LogSoftmax x:f32[3,5]", "LogSoftmax(axis=1) x:f32[2,3,4]~(-3,3)",
      "LogSoftmax@11(axis=1) x:f32[2,3,4]");
CASES(hardmax, "Hardmax x:f32[3,5]", "Hardmax(axis=0) x:f32[3,5]",
      "Hardmax@11(axis=1) x:f32[2,3,4]");

/* op_loss.c: losses */
CASES(softmax_ce, "SoftmaxCrossEntropyLoss f32[5,7] i64[5]~(0,6) -> 2",
      "SoftmaxCrossEntropyLoss(reduction='sum') f32[2,3,4,5] i32[2,4,5]~(0,2) f32[3]{0.5,2.0,1.0}",
      "SoftmaxCrossEntropyLoss(reduction='none', ignore_index=1) f32[5,4,3] i64[5,3]~(0,3) -> 2",
      "SoftmaxCrossEntropyLoss@12(ignore_index=-1) f32[6,4] i64[6]{-1,0,3,-1,2,1} f32[4]{2.0}",
      "SoftmaxCrossEntropyLoss f32[3001,5]~(-9,9) i64[3001]~(0,4) -> -,1",
      "SoftmaxCrossEntropyLoss f32[0,4] i64[0]", "SoftmaxCrossEntropyLoss f16[4,5] i64[4]");
CASES(
    nll, "NegativeLogLikelihoodLoss f32[5,7]~(-4,0) i64[5]~(0,6)",
    "NegativeLogLikelihoodLoss@12(reduction='none') f32[2,3,4]~(-4,0) i32[2,4]~(0,2)",
    "NegativeLogLikelihoodLoss(reduction='sum') f32[5,4] i64[5] f32[4]{0.5,2.0,1.0,0.0}",
    "NegativeLogLikelihoodLoss(ignore_index=2) f32[3001,5] i64[3001] f32[5]{2.0,1.0,1.0,1.0,3.0}");
CASES(cross_entropy, "compressd::CrossEntropy f32[2,5,7]~(-5,5) i64[2,5]~(0,6) -> 2",
      "compressd::CrossEntropy(ignore_index=2) f32[997,11] i32[997]~(0,10) -> 2",
      "compressd::CrossEntropy f32[7] i64[]{3}", "compressd::CrossEntropy f32[3,5000] i64[3]");
CASES(kl_divergence, "compressd::KLDivergence f32[2,5,7]~(-3,3) f32[2,5,7]~(-3,3)",
      "compressd::KLDivergence(temperature=2.5) f32[997,11] f32[997,11]",
      "compressd::KLDivergence(temperature=0.5) f32[7] f32[7]",
      "compressd::KLDivergence f32[0,3] f32[0,3]");
CASES(mean_squared_error, "compressd::MeanSquaredError f32[2,5,7] f32[2,5,7]",
      "compressd::MeanSquaredError f32[9973] f32[9973]", "compressd::MeanSquaredError f32[] f32[]",
      "compressd::MeanSquaredError f32[0] f32[0]");
CASES(cosine_loss, "compressd::CosineLoss f32[2,5,7] f32[2,5,7]",
      "compressd::CosineLoss f32[1999,5] f32[1999,5]", "compressd::CosineLoss f32[7] f32[7]",
      "compressd::CosineLoss f32[2,3]{0.0} f32[2,3]");

/* op_attn.c: attention */
CASES(attention, "Attention f32[2,3,5,4] f32[2,3,7,4] f32[2,3,7,6]",
      "Attention(q_num_heads=4, kv_num_heads=2, scale=0.7) f32[2,5,12] f32[2,7,6] f32[2,7,10]",
      "Attention(is_causal=1) f32[1,2,70,3] f32[1,1,70,3] f32[1,1,70,2]",
      "Attention(softcap=0.8) f32[1,2,67,3] f32[1,2,300,3] f32[1,2,300,2] f32[300]",
      "Attention(is_causal=1) f32[2,2,3,4] f32[2,1,3,4] f32[2,1,3,5] f32[2,1,3,7] f32[2,1,4,4] "
      "f32[2,1,4,5] -> 3",
      "Attention f32[2,3,5,4] f32[2,3,7,4] f32[2,3,7,6] f32[3,1,7]",
      "Attention f32[2,3,66,4] f32[2,3,7,4] f32[2,3,7,6] f32[66,5]",
      "Attention(is_causal=1) f32[1,2,5,4] f32[1,2,5,4] f32[1,2,5,6] "
      "bool[3]{1,0,1}",
      "Attention(qk_matmul_output_mode=0, softcap=0.8) f32[1,2,5,4] f32[1,1,6,4] f32[1,1,6,3] -> 4",
      "Attention(qk_matmul_output_mode=1, softcap=0.8) f32[1,2,5,4] f32[1,1,6,4] f32[1,1,6,3] "
      "f32[5,6] -> 1,-,-,1",
      "Attention(qk_matmul_output_mode=2, softcap=0.8) f32[1,2,5,4] f32[1,1,6,4] f32[1,1,6,3] "
      "f32[5,6] -> 4",
      "Attention(qk_matmul_output_mode=3, is_causal=1) f32[1,2,5,4] f32[1,1,6,4] f32[1,1,6,3] "
      "f32[5,6] -> 4",
      "Attention f16[1,2,5,4] f16[1,2,6,4] f16[1,2,6,3]",
      "Attention f32[1,2,0,4] f32[1,2,6,4] f32[1,2,6,3]");
CASES(multi_head_attention,
      "com.microsoft::MultiHeadAttention(num_heads=2) f32[2,5,8] f32[2,7,8] f32[2,7,6]",
      "com.microsoft::MultiHeadAttention(num_heads=2, unidirectional=1, scale=0.4) f32[2,3,8] "
      "f32[2,3,8] f32[2,3,6] - - f32[1,2,3,7] f32[2,2,4,4] f32[2,2,4,3] -> 3",
      "com.microsoft::MultiHeadAttention(num_heads=2) f32[2,5,8] f32[2,2,7,4] f32[2,2,7,3]");

/* op_rope.c: rotary position */
CASES(rotary_embedding, "RotaryEmbedding f32[2,3,5,8] f32[9,4]{0.5} f32[9,4]{0.25} i64[2,5]~(0,8)",
      "RotaryEmbedding(interleaved=1, rotary_embedding_dim=4) f32[2,3,5,8] f32[2,5,2]{0.5} "
      "f32[2,5,2]{-0.25}",
      "RotaryEmbedding(num_heads=2) f32[2,5,12] f32[9,3]{0.5} f32[9,3]{0.25} i64[2,5]~(0,8)",
      "RotaryEmbedding(num_heads=3, rotary_embedding_dim=2) f32[1,2000,12] f32[7,1]{0.5} "
      "f32[7,1]{0.25} i64[1,2000]~(0,6)",
      "RotaryEmbedding(rotary_embedding_dim=4) f32[2,4,3,8] f32[5,4]{0.5} f32[5,4]{0.25} "
      "i64[2,3]~(0,4)",
      "RotaryEmbedding f16[1,2,3,4] f16[4,2]{0.5} f16[4,2]{0.25} i64[1,3]");
CASES(rotary_embedding_ms,
      "com.microsoft::RotaryEmbedding f32[2,5,12] i64[2,5]~(0,8) f32[9,3]{0.5} f32[9,3]{0.25}",
      "com.microsoft::RotaryEmbedding(num_heads=3, rotary_embedding_dim=2, interleaved=1) "
      "f32[2,3,5,4] i64[1]{3} f32[9,1]{0.5} f32[9,1]{0.25}");

/* op_quant.c: quantized values */
CASES(quantize_linear, "QuantizeLinear f32[3,5]~(-9,9) f32[]{0.1} i8[]{3}",
      "QuantizeLinear@10 f32[101,203]~(-9,9) f32[]{0.1} u8[]{128}",
      "QuantizeLinear@13(axis=-2) f32[3,5,4]~(-9,9) f32[5]{0.1} u8[5]~(0,200)",
      "QuantizeLinear(axis=0, block_size=3) f32[7,4]~(-9,9) f32[3,4]{0.1} i4[3,4]",
      "QuantizeLinear(output_dtype=4, axis=0) f32[3,5]~(0,9) f32[3]{0.1}",
      "QuantizeLinear f32[2,3]~(-9,9) f32[1]{0.1}", "QuantizeLinear f16[5]~(-9,9) f16[]{0.125}",
      "QuantizeLinear(saturate=0) f32[7]~(-900,900) f32[]{0.5} f8_e4m3[]{0}",
      "QuantizeLinear@19 f32[7]~(-9,9) f32[]{0.5} f8_e5m2fnuz[]{0}", "QuantizeLinear f32[0] f32[]");
CASES(dequantize_linear, "DequantizeLinear i8[3,5]~(-128,127) f32[]{0.1} i8[]{3}",
      "DequantizeLinear@10 u8[101,203]~(0,255) f32[]{0.1} u8[]{128}",
      "DequantizeLinear@13(axis=-1) i8[3,5]~(-128,127) f32[5] i8[5]",
      "DequantizeLinear(axis=1, block_size=2) u4[3,5]~(0,15) f32[3,3] u4[3,3]",
      "DequantizeLinear(output_dtype=10) i16[3,5]~(-999,999) f32[]",
      "DequantizeLinear i32[4]~(-999,999) f16[]{0.125}", "DequantizeLinear f8_e5m2[7] f32[]{0.5}");
CASES(dynamic_quantize_linear, "DynamicQuantizeLinear f32[3,5]~(-3,9) -> 3",
      "DynamicQuantizeLinear f32[101,403]~(-3,9) -> 3", "DynamicQuantizeLinear f32[0] -> 3",
      "DynamicQuantizeLinear f32[7]~(1,2) -> 1,-,1");

/* op_qlinear.c: quantized products */
CASES(matmul_integer, "MatMulInteger u8[3,5]~(0,255) i8[5,4]~(-128,127)",
      "MatMulInteger u8[2,3,5]~(0,255) u8[5,4]~(0,255) u8[]{7} u8[4]~(0,255)",
      "MatMulInteger i8[129,600]~(-128,127) u8[600,131]~(0,255) i8[129]~(-9,9) u8[]{128}",
      "MatMulInteger i8[2,1,3,5]~(-128,127) i8[4,5,2]~(-128,127) i8[1]{-3}",
      "MatMulInteger u8[5]~(0,255) u8[5,4]~(0,255)", "MatMulInteger u8[3,5]~(0,255) u8[5]~(0,255)",
      "MatMulInteger u8[2,0] u8[0,3]");
CASES(qlinear_matmul,
      "QLinearMatMul u8[3,5]~(0,255) f32[]{0.1} u8[]{128} i8[5,4]~(-128,127) f32[4]{0.05} "
      "i8[4]~(-3,3) f32[]{0.2} u8[]{100}",
      "QLinearMatMul i8[2,130,300]~(-128,127) f32[]{0.01} i8[]{3} i8[300,3]~(-128,127) f32[]{0.05} "
      "i8[]{0} f32[]{0.5} i8[]{-5}");
CASES(conv_integer, "ConvInteger u8[2,3,5,6]~(0,255) u8[4,3,3,2]~(0,255) u8[]{9} u8[4]~(0,255)",
      "ConvInteger(pads=[1,2,0,1], strides=[2,1], dilations=[1,2]) u8[1,2,7,8]~(0,255) "
      "i8[3,2,3,2]~(-128,127) u8[]{128}",
      "ConvInteger(group=2, auto_pad='SAME_UPPER') u8[1,4,9]~(0,255) i8[6,2,3]~(-128,127)",
      "ConvInteger u8[1,40,13,13]~(0,255) i8[130,40,3,3]~(-128,127)",
      "ConvInteger(group=3) i8[1,3,4,3,5]~(-128,127) i8[3,1,2,2,2]~(-128,127)");
CASES(qlinear_conv,
      "QLinearConv(pads=[1,1,1,1]) u8[2,3,5,6]~(0,255) f32[]{0.05} u8[]{128} i8[4,3,3,3]~(-99,99) "
      "f32[4]{0.01} i8[4]{0} f32[]{0.1} u8[]{120} i32[4]~(-900,900)",
      "QLinearConv(group=2) i8[1,4,9]~(-99,99) f32[]{0.05} i8[]{3} i8[2,2,1]~(-99,99) f32[]{0.01} "
      "i8[]{1} f32[]{0.1} i8[]{-3}");
CASES(
    matmul_nbits,
    "com.microsoft::MatMulNBits(K=40, N=70, block_size=16) f32[2,3,40] u8[70,3,8]~(0,255) "
    "f32[210]",
    "com.microsoft::MatMulNBits(K=40, N=3, block_size=16, bits=8) f32[40] u8[3,3,16]~(0,255) "
    "f32[3,3] u8[3,3]~(0,255) - f32[3]",
    "com.microsoft::MatMulNBits(K=600, N=5, block_size=64) f32[7,600] u8[5,10,32]~(0,255) f32[50] "
    "u8[25]~(0,255)",
    "com.microsoft::MatMulNBits(K=32, N=5, block_size=32, bits=4) f32[2,32] u8[5,1,16]~(0,255) "
    "f32[5] f32[5]~(0,15)");

/* op_control.c: control flow; bodies are no text (tests of the executor) */
const char *const op_cases_if[] = {NULL};
/* op_rnn.c: recurrent networks */
CASES(
    lstm, "LSTM f32[4,3,5] f32[1,24,5] f32[1,24,6] -> 3",
    "LSTM(hidden_size=6, direction='bidirectional') f32[4,19,5] f32[2,24,5] f32[2,24,6] f32[2,48] "
    "i32[19]~(0,4) f32[2,19,6] f32[2,19,6] f32[2,18] -> 3",
    "LSTM(layout=1, direction='reverse', clip=0.3, input_forget=1) f32[3,4,5] f32[1,24,5] "
    "f32[1,24,6] f32[1,48] -> 1,-,1",
    "LSTM@7 f32[4,3,5] f32[1,24,5] f32[1,24,6] -> -,1,-",
    "LSTM f16[4,3,5] f16[1,24,5] f16[1,24,6]");
CASES(gru, "GRU f32[4,3,5] f32[1,18,5] f32[1,18,6] -> 2",
      "GRU(direction='bidirectional', linear_before_reset=1) f32[4,19,5] f32[2,18,5] f32[2,18,6] "
      "f32[2,36] i32[19]~(0,4) f32[2,19,6] -> 2",
      "GRU(layout=1, activations=['HardSigmoid','Softplus']) f32[3,4,5] f32[1,18,5] f32[1,18,6] "
      "f32[1,36] - f32[3,1,6] -> 2");
CASES(
    rnn, "RNN f32[4,3,5] f32[1,6,5] f32[1,6,6] -> 2",
    "RNN(direction='bidirectional', activations=['Elu','ScaledTanh'], activation_alpha=[0.5,2.0], "
    "activation_beta=[0.4]) f32[4,3,5] f32[2,6,5] f32[2,6,6] f32[2,12] i32[3]{4,0,2} -> 2",
    "RNN f32[0,3,5] f32[1,6,5] f32[1,6,6] - - f32[1,3,6] -> 2");
/* NOLINTEND(bugprone-suspicious-missing-comma) */
