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
 * inputs and outputs keep their types. Constants that do not fit are clamped to the largest number;
 * those that hold infinities stay f32.
 *
 * Where other weights are kept in f32 or become integers, only those operators compute in f16 that
 * read a weight in f16, or nothing but what these make; a bias goes with its product.
 *
 * One more stays f32: a Transpose that moves the first axis to the last but one, before a MatMul by
 * a constant. ONNX Runtime 1.32 on a CPU crashes while it opens
 *
 *   x f16[a,b,128] ── Transpose perm [1,0,2] ── MatMul w f16[128,384]
 *
 * with its default options (MatmulTransposeFusion, then NchwcTransformer), in a graph that
 * onnx.checker and strict shape inference pass, and as well when onnxruntime.transformers.float16
 * wrote it. With perm [1,2,0] or [1,2,0,3] too; not with others, not with w computed or of rank 3,
 * and not with a Cast between the two.
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
