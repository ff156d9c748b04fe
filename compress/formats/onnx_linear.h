/*
 * Products with constant matrices, by operators that take codes.
 *
 *   MatMul(a, W)          →  MatMulNBits(a, W, W_scale)                          weights alone
 *   MatMul(a, W)          →  Mul(Cast(MatMulInteger(q, W, z)), Mul(s, W_scale))  activations too
 *                            with q, s, z = DynamicQuantizeLinear(a), one for all readers of a
 *   Gemm(a, W, c)         →  the same and Add(.., c), Mul before where alpha or beta are not 1;
 *                            a not transposed
 *
 * The value of W becomes that of its codes; its scales are a new value beside it, another part of
 * the same tensor.
 */
#ifndef COMPRESS_FORMATS_ONNX_LINEAR_H
#define COMPRESS_FORMATS_ONNX_LINEAR_H

#include "compress/graph/graph.h"
#include "compress/graph/model.h"

/* Do all that read the weight multiply by it, the same way round? *ret_is_rows: its rows are the
 * output channels (Gemm with transB). */
bool onnx_linear_takes(const struct graph *graph, const struct value *weight, bool *ret_is_rows);
/* The weight's tensor says by `wanted` what it becomes. */
int onnx_linear_rewrite(struct model *model, struct graph *graph, struct value *weight,
                        struct err *err);

#endif
