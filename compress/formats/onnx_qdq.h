/*
 * Products and convolutions in integers, by pairs of QuantizeLinear and DequantizeLinear that a
 * runtime fuses into them (QDQ, S8S8).
 *
 *   x ── Q ── DQ ── Conv ── Relu ── Q ── DQ ── ...
 *        W i8 ─ DQ ──┘ │
 *        b i32 ── DQ ──┘
 *
 * Around Conv, MatMul and Gemm with constant weights: their input; the output of a convolution, or
 * of the Relu or Clip that alone reads it, so that the two fuse; and what only moves numbers keeps
 * its input's scale. One pair a value, however many read it. A value that is never negative has
 * codes from -128 on, which makes Relu a part of them; all others are symmetric. Everything else
 * (Softmax, norms ...) stays in floats, and the outputs of the graph are not quantized.
 *
 * Scales of activations and biases are not known before calibration: they are tensors over memory
 * that model->ranges says how to fill.
 */
#ifndef COMPRESS_FORMATS_ONNX_QDQ_H
#define COMPRESS_FORMATS_ONNX_QDQ_H

#include "compress/graph/graph.h"
#include "compress/graph/model.h"

/* Do all that read the weight of the model's own graph take such codes, the same way round?
 * Granularity of the scales: CHANNEL (rows are output channels) or COLUMN. */
bool onnx_qdq_takes(const struct value *weight, enum granularity *ret);
/* All weights whose tensors are wanted with static activations. */
int onnx_qdq_rewrite(struct model *model, bool *ret_any, struct err *err);

#endif
