/*
 * Weights that an ONNX graph holds as codes and scales, found again as tensors with an encoding.
 *
 *   DequantizeLinear(w i8, scale, 0)           int8, a scale per tensor, channel (axis 0) or column
 *   MatMulNBits(a, B u8, scales)               int4 or int8 in groups, of a matrix [K, N]
 *   MatMulInteger(a, w i8) → Cast → Mul        int8, a scale per tensor or column
 *      (by the product of both scales)
 *
 * The codes' value and that of the scales then stand for parts of one tensor (value.part); a scale
 * that others read too stays a tensor of its own. What is quantized in a way that no encoding says
 * (unsigned codes with zero points, blocks along another axis) stays as it is; the model counts as
 * quantized all the same.
 */
#ifndef COMPRESS_FORMATS_ONNX_KNOWN_H
#define COMPRESS_FORMATS_ONNX_KNOWN_H

#include "compress/graph/model.h"

/* Before model_finish(). scratch: for the length of the call. */
int onnx_know(struct model *model, struct arena *scratch, struct err *err);

#endif
