/*
 * Products and convolutions in integers, by pairs of QuantizeLinear and DequantizeLinear that a
 * runtime fuses into them (QDQ, S8S8 or U8S8).
 *
 *   x ── Q ── DQ ── Conv ── Relu ── Q ── DQ ── ...
 *        W i8 ─ DQ ──┘ │
 *        b i32 ── DQ ──┘
 *
 * Around Conv, MatMul and Gemm with constant weights: their input; the output of a convolution, or
 * of the Relu or Clip that alone reads it, so that the two fuse; and what only moves numbers keeps
 * its input's scale. One pair a value, however many read it. A value that is never negative has
 * codes from the lowest on, which makes Relu a part of them; all others are symmetric. Everything
 * else (Softmax, norms ...) stays in floats, and the outputs of the graph are not quantized.
 *
 * Codes of weights are signed. Those of activations are signed as well (S8S8) where every quantized
 * value has one reader, and unsigned (U8S8) in all of a graph where one has more: a skip
 * connection. On x86 ONNX Runtime computes in U8S8 alone: with its default options it makes S8S8
 * that, but not a QuantizeLinear with two readers, whose neighbours then disagree and stay in
 * floats. ONNX Runtime 1.32, AVX-512 with VNNI, one thread, least milliseconds and times as fast
 * as f32:
 *
 *                               f32    S8S8          U8S8
 *   ResNet-18   1x3x224x224   14.64   11.75  1.2    4.53  3.2
 *   ResNet-18   8x3x64x64     12.08   11.83  1.0    3.51  3.4
 *   MobileNetV2 1x3x224x224    5.60    4.19  1.3    2.87  2.0
 *   text detector 1x3x320x320  11.97      -          9.47  1.3   (PP-OCRv4, hard-swish in pieces)
 *   classifier  1x3x48x192     0.49      -          0.86  0.6   (few channels, floats between)
 *
 * Told to compute in S8S8 (session.qdqisint8allowed) it takes 108.6 ms for the first.
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
