/*
 * Cases of the operator table, in the order of op_rows.h. A row that has none is a row that nobody
 * tests. Long because it is a table.
 */
#include "tests/numeric/op_cases.h"

#include <stddef.h>

#define CASES(row, ...) const char *const op_cases_##row[] = {__VA_ARGS__, NULL}

/* op_act.c: activations */
CASES(relu, "Relu x:f32[3,5]", "Relu x:f32[101,103]", "Relu x:f32[]", "Relu x:f32[0,4]");

/* op_matmul.c: matrix products */
CASES(matmul, "MatMul a:f32[3,5] b:f32[5,4]", "MatMul a:f32[5] b:f32[5]",
      "MatMul a:f32[5] b:f32[2,3,5,4]", "MatMul a:f32[2,3,4,5] b:f32[5]",
      "MatMul a:f32[2,3,4,5] b:f32[5,6]", "MatMul a:f32[4,5] b:f32[2,3,5,6]",
      "MatMul a:f32[2,1,4,5] b:f32[3,5,6]", "MatMul a:f32[2,3,2,4,5] b:f32[2,1,2,5,6]",
      "MatMul a:f32[3,1,4] b:f32[3,4,1]", "MatMul a:f32[1,70,3] b:f32[1,3,90]",
      "MatMul a:f32[0,5] b:f32[5,4]", "MatMul a:f32[3,0] b:f32[0,4]",
      "MatMul a:f32[0,3,5] b:f32[5,4]", "MatMul a:i32[2,3] b:i32[3,2]",
      "MatMul a:u64[2,2,3] b:u64[3,2]");
CASES(fused_matmul, "com.microsoft::FusedMatMul(transA=1, alpha=0.5) a:f32[2,5,3] b:f32[2,5,4]",
      "com.microsoft::FusedMatMul(transB=1) a:f32[2,3,5] b:f32[4,5]",
      "com.microsoft::FusedMatMul(transA=1, transB=1, alpha=-2.0) a:f32[2,5,3] b:f32[4,5]",
      "com.microsoft::FusedMatMul(transA=1) a:f32[5,3] b:f32[2,5,4]",
      "com.microsoft::FusedMatMul(transB=1) a:f32[5,3] b:f32[2,4,3]",
      "com.microsoft::FusedMatMul a:f32[2,3,5] b:f32[2,5,4]");
CASES(gemm, "Gemm a:f32[3,5] b:f32[5,4]", "Gemm a:f32[3,5] b:f32[5,4] c:f32[4]",
      "Gemm(alpha=0.5, beta=2.0, transA=1) a:f32[5,3] b:f32[5,4] c:f32[3,4]",
      "Gemm(transB=1, beta=-0.5) a:f32[3,5] b:f32[4,5] c:f32[3,1]",
      "Gemm(transA=1, transB=1) a:f32[5,3] b:f32[4,5] c:f32[1,4]",
      "Gemm@7(transA=1, transB=1, alpha=1.5) a:f32[5,3] b:f32[4,5] c:f32[]",
      "Gemm@9 a:f32[3,5] b:f32[5,1] c:f32[1]", "Gemm@11 a:f32[150,2] b:f32[2,140] c:f32[1,140]",
      "Gemm a:f32[3,5] b:f32[5,4] -", "Gemm a:f32[0,5] b:f32[5,4] c:f32[4]",
      "Gemm a:f32[3,0] b:f32[0,4] c:f32[4]");
/* op_shape.c: the same elements in another shape */
CASES(reshape, "Reshape x:f32[2,6] s:i64[3]{2,0,-1}", "Reshape x:f32[4,1] s:i64[2]{-1,0}",
      "Reshape(allowzero=1) x:f32[0,3] s:i64[2]{7,0}", "Reshape@5 x:f32[1,1] s:i64[0]{}",
      "Reshape x:f32[] s:i64[2]{1,-1}", "Reshape x:i8[2,3] s:i64[1]{6}",
      "Reshape x:f32[150,130] s:i64[1]{-1}");
CASES(flatten, "Flatten x:f32[2,3,4]", "Flatten(axis=0) x:f32[2,3]",
      "Flatten(axis=-1) x:f32[2,3,4]", "Flatten(axis=3) x:f32[2,3,4]",
      "Flatten@1(axis=2) x:f64[2,3,4]");
CASES(squeeze, "Squeeze x:f32[1,3,1]", "Squeeze x:f32[1,3,1] a:i64[1]{-1}",
      "Squeeze@11(axes=[0,2]) x:f32[1,3,1]", "Squeeze@1 x:u8[1,1]");
CASES(unsqueeze, "Unsqueeze x:f32[3] a:i64[2]{0,-1}", "Unsqueeze@11(axes=[1]) x:f32[3,2]",
      "Unsqueeze x:bool[] a:i64[1]{0}");
CASES(identity, "Identity x:f32[3,5]", "Identity@7 x:f16[3,5]", "Identity x:bool[0]");
CASES(dropout, "Dropout x:f32[3,5]", "Dropout@7(ratio=0.3) x:f32[3,5] -> 2",
      "Dropout x:f32[3] r:f32[]{0.5} t:bool[]{0} -> 2", "Dropout x:f16[3] r:f16[]{0} t:bool[]{1}",
      "Dropout@10(ratio=0.25) x:f32[200,100] -> 2");
CASES(shape, "Shape x:f32[3,5]", "Shape(start=1) x:f32[3,5,7]",
      "Shape(start=-2, end=-1) x:f32[3,5,7]", "Shape(start=2, end=1) x:i64[3,5]",
      "Shape@1 x:f32[]");
CASES(size, "Size x:f32[3,5]", "Size@1 x:u8[0,3]", "Size x:f32[]");

/* op_layout.c: other orders, repetition */
CASES(transpose, "Transpose x:f32[2,3,4]", "Transpose(perm=[1,0]) x:f32[150,133]",
      "Transpose(perm=[0,2,1,3]) x:f32[2,5,3,4]", "Transpose(perm=[0,3,1,2]) x:f32[2,5,3,4]",
      "Transpose(perm=[0,1]) x:f32[3,4]", "Transpose x:f32[]",
      "Transpose@1(perm=[2,0,1]) x:f16[2,3,4]", "Transpose x:f32[3,0]",
      "Transpose(perm=[1,0]) x:i8[70,90]");
CASES(expand, "Expand x:f32[3,1] s:i64[3]{2,1,4}", "Expand x:f32[3,1] s:i64[1]{1}",
      "Expand x:f32[] s:i64[2]{130,150}", "Expand@8 x:i64[2] s:i64[2]{3,2}",
      "Expand x:f32[1,3] s:i64[2]{0,3}", "Expand x:f32[5,1,7] s:i64[3]{5,90,7}");
CASES(tile, "Tile x:f32[2,3] r:i64[2]{2,3}", "Tile x:f32[4] r:i64[1]{0}", "Tile x:f32[] r:i64[0]{}",
      "Tile@6 x:u8[2,1,3] r:i64[3]{1,5,2}", "Tile x:f32[90,10] r:i64[2]{5,7}");
CASES(depth_to_space, "DepthToSpace(blocksize=2) x:f32[2,8,2,3]",
      "DepthToSpace(blocksize=2, mode='CRD') x:f32[2,8,2,3]",
      "DepthToSpace@1(blocksize=3) x:f32[1,18,40,30]", "DepthToSpace(blocksize=1) x:i8[1,2,3,4]");
CASES(space_to_depth, "SpaceToDepth(blocksize=2) x:f32[2,3,4,6]",
      "SpaceToDepth@1(blocksize=3) x:f32[1,2,60,90]", "SpaceToDepth(blocksize=2) x:i64[1,1,2,2]");

/* op_fill.c: constants and patterns */
CASES(constant, "Constant(value=f32[2,2]{1,2,3,4})", "Constant(value_int=7)",
      "Constant(value_ints=[1,2,3])", "Constant(value_float=0.5)",
      "Constant(value_floats=[0.5,1.5])", "Constant@1(value=i64[]{3})");
CASES(constant_of_shape, "ConstantOfShape s:i64[2]{2,3}",
      "ConstantOfShape(value=i8[1]{7}) s:i64[1]{5}",
      "ConstantOfShape(value=f32[1]{0.5}) s:i64[0]{}", "ConstantOfShape@9 s:i64[2]{0,3}");
CASES(range, "Range a:f32[]{1} b:f32[]{2.1} c:f32[]{0.5}",
      "Range a:i64[]{10} b:i64[]{4} c:i64[]{-2}", "Range a:i32[]{0} b:i32[]{5} c:i32[]{2}",
      "Range a:i16[]{3} b:i16[]{3} c:i16[]{1}", "Range a:f64[]{1} b:f64[]{0} c:f64[]{1}");
CASES(eye_like, "EyeLike x:f32[3,4]", "EyeLike(k=1, dtype=7) x:f32[4,3]",
      "EyeLike(k=-2) x:i32[4,4]", "EyeLike(k=9) x:f32[2,2]");
CASES(one_hot, "OneHot i:i64[3]{1,-1,5} d:i64[]{4} v:f32[2]",
      "OneHot(axis=0) i:i64[2,2] d:i64[1]{4} v:f32[2]",
      "OneHot(axis=1) i:f32[2,3]{0,1,2,3,0,1} d:f32[]{4} v:i64[2]",
      "OneHot@9(axis=-2) i:i32[3] d:i32[]{5} v:i8[2]");
CASES(trilu, "Trilu x:f32[3,4]", "Trilu(upper=0) x:f32[2,4,3]", "Trilu x:f32[3,4] k:i64[]{1}",
      "Trilu(upper=0) x:f32[4,4] k:i64[]{-2}", "Trilu(upper=0) x:f32[2,3] k:i64[1]{9}",
      "Trilu x:i64[3,3] k:i64[]{-9}", "Trilu x:f32[200,100]");
