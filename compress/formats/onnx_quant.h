/*
 * What number formats an ONNX model can hold, and the graph that computes with them.
 *
 * A pass says what a tensor is wanted as; `adapt` settles what the operators that read it allow.
 * `prepare` then rewrites the graph, through graph.h alone, so that the file says the same:
 *
 *   int8, int4        products with constant matrices by MatMulNBits, in blocks of 128, 64 or 32:
 *                     the longest that is not above group_size and pads the matrix least
 *   int8, with        the same by MatMulInteger, a scale per output channel; activations are
 *   activations       quantized as they come (onnx_linear.h)
 *   int8, activations products and convolutions between QuantizeLinear and DequantizeLinear, a
 *   "static"          scale per output channel; ranges come from calibration (onnx_qdq.h)
 *   f16   every operator that can computes in it, with Casts where one cannot (onnx_half.h)
 *
 * A tensor whose readers do not take the format stays as it is; prepare says so once.
 */
#ifndef COMPRESS_FORMATS_ONNX_QUANT_H
#define COMPRESS_FORMATS_ONNX_QUANT_H

#include "compress/base/violations.h"
#include "compress/graph/model.h"

int onnx_quant_adapt(const struct model *model, const struct tensor *tensor,
                     struct encoding *wanted, const char *pointer, struct violations *list);
int onnx_quant_prepare(struct model *model, struct violations *warnings, struct err *err);

#endif
