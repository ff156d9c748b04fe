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
