/*
 * Roles of weights by what the graph does with them; names are not asked. Weights are followed
 * through operators that only move or convert them (Transpose, Cast, DequantizeLinear, Reshape,
 * Slice ...). A *product* is MatMul, Gemm, Einsum, a convolution and their integer forms over a
 * weight; one of two computed operands *mixes* them.
 *
 *   attention   a mix whose result goes through Softmax (or Exp) into another mix; or a fused
 *               operator (Attention, MultiHeadAttention, GroupQueryAttention ...)
 *   attn_qkv    products that the operands of both mixes come from: split, sliced, reshaped,
 *               rotated, normalised or joined with a cache on the way. A product in front of such
 *               a one and in the same block is one, too (queries by way of a smaller space)
 *   attn_out    the product that takes the result of the second mix
 *   mlp         in a graph with attention: other products on the way around which a residual goes,
 *               x + f(x); convolutions aside
 *   embed       a matrix of whose rows Gather picks some
 *   head        the last product before an output of the model, when it is neither of these and no
 *               convolution
 *   norm        scales, shifts and statistics of normalisations, decomposed ones too: what x over
 *               the root of a mean is multiplied with, and what is added then
 *   conv        weights of convolutions
 *   bias        what is added to a product, or what an operator takes as one
 *   first       products from which no product lies towards the inputs
 *   last        products from which no product lies towards the outputs
 *   other       none of these (first and last aside)
 *
 * A tensor may have several: a tied embedding is embed and head, a convolution in attention conv
 * and attn_qkv. Bodies of If, Loop and Scan are part of the graph around them.
 *
 * Beside the role every tensor gets the names of the nodes that read it (tensor->readers), but none
 * longer than a tensor's may be: a node may read thousands of tensors.
 *
 * Source of the patterns: what PyTorch's two exporters and ONNX Runtime's optimiser write.
 */
#ifndef COMPRESS_GRAPH_ROLES_H
#define COMPRESS_GRAPH_ROLES_H

#include "compress/graph/model.h"

/* Of all tensors of a model with a graph. -1 with ERR_NO_MEMORY. */
int roles_assign(struct model *model, struct err *err);

#endif
