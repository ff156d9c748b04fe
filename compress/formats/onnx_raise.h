/*
 * A model of operator set 11 or 12, raised to 13: since then QuantizeLinear and DequantizeLinear
 * have an axis, without which there is no scale per channel.
 *
 *   Squeeze, Unsqueeze, ReduceSum   `axes` and
 *   Split                           `split` become inputs
 *   Softmax, LogSoftmax, Hardmax    stay over the last axis; over several at once there is no such
 *                                   operator any more
 *   Dropout (11)                    its ratio became an input in 12: not raised
 *   all others                      took more types, and mean what they did
 *
 * Models with bodies, calls of functions or operators that are not in the table are not raised.
 * Source: the changelog of the ONNX operators.
 */
#ifndef COMPRESS_FORMATS_ONNX_RAISE_H
#define COMPRESS_FORMATS_ONNX_RAISE_H

#include "compress/graph/graph.h"
#include "compress/graph/model.h"

enum { ONNX_RAISE_FROM = 11, ONNX_RAISE_TO = 13 };

/* Of the model's own graph. True as well when it is of 13 or newer: there is nothing to do. */
bool onnx_raise_can(const struct graph *graph);
/* The graph's nodes and the operator set that the model is written with. */
int onnx_raise(struct model *model, struct err *err);

#endif
