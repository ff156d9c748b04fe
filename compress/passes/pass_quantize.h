/*
 * quantize: every selected tensor is wanted in another number format, rounded to nearest, with the
 * scale from the value range or from a search for the smallest squared error.
 *
 * Which tensors a stage touches, in this order; the first that matches a tensor decides:
 *
 *   keep[0], keep[1] ...   the rule's own format (attention at 16 bits: role:attn → f16)
 *   ignore                 stays as it is
 *   targets                when given, what they do not match stays as it is
 *   (everything else)      the stage's format
 *
 * A format never touches what it is not meant for, whoever selected it:
 *
 *   format                 on safetensors                     on GGUF
 *   f32, f16, bf16         every float tensor                 every weight of two dimensions
 *   int8, int4, fp8_e4m3   2-D weights; embeddings and heads  cannot be written
 *                          only when named by role or in full
 *   q8_0, q4_0 ...         cannot be written                  every weight of two dimensions
 *
 * so norms, biases and other 1-D tensors stay in 16 or 32 bits. Tensors of whole numbers are never
 * touched.
 */
#ifndef COMPRESS_PASSES_PASS_QUANTIZE_H
#define COMPRESS_PASSES_PASS_QUANTIZE_H

#include "compress/passes/pass.h"

extern const struct pass pass_quantize;

#endif
