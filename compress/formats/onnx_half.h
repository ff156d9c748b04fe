/*
 * A graph in half precision.
 *
 *   x f32 ── Cast ── Conv ── Relu ── Cast ── TopK (f32) ── y f32
 *                     w f16
 *
 * Operators compute in f16 but those that cannot or lose what matters: Range, CumSum, TopK,
 * NonMaxSuppression, RoiAlign, what carries its type in an attribute, what has bodies (which are
 * converted inside), what is not executable, and what reads a weight that was kept in f32. Casts
 * stand where the two meet, one per value. Scales and regions of Resize stay f32. The graph's
 * inputs and outputs keep their types. Constants that do not fit are clamped to the largest number.
 */
#ifndef COMPRESS_FORMATS_ONNX_HALF_H
#define COMPRESS_FORMATS_ONNX_HALF_H

#include "compress/graph/graph.h"
#include "compress/graph/model.h"

/* Would any operator read the weight of that graph in half precision? */
bool onnx_half_takes(const struct graph *graph, const struct value *weight);
/* The graph and its bodies; tensors say by `wanted` which of them are F16. */
int onnx_half_rewrite(struct model *model, struct graph *graph, struct err *err);

#endif
