/*
 * compressed-tensors: how quantized Linear weights lie in safetensors files. ct_read.h has the way
 * in, ct_write.h the configuration that goes out.
 *
 * A logical tensor `X.weight` [R, C] becomes (G = C / group length, or 1 per channel):
 *
 *   pack-quantized   X.weight_packed      I32  [R, ceil(C*bits/32)]   weight-only int4, int8
 *                    X.weight_scale       float [R, G]
 *                    X.weight_zero_point  I32  [ceil(R*bits/32), G]   asymmetric alone
 *                    X.weight_shape       I64  [2] = R, C
 *   int-quantized    X.weight             I8   [R, C]                 int8, dynamic activations
 *                    X.weight_scale       float [R, 1], or [1] per tensor
 *   float-quantized  X.weight             F8_E4M3 [R, C]
 *                    X.weight_scale       float [R, 1], or [1]
 *
 * What loads: weight-only integers as pack-quantized, per channel or group; int-quantized and
 * float-quantized with activations quantized per token at run time. Only Linear modules. A file
 * without config.json (`bare`) promises nothing but our own reader, which takes more: granularity
 * tensor for packed codes, groups and zero points (I8, shaped like the scale) for plain ones.
 *
 * Source: compressed-tensors' compressors and quantization schemes.
 */
#ifndef COMPRESS_FORMATS_CT_H
#define COMPRESS_FORMATS_CT_H

#include "compress/base/violations.h"
#include "compress/formats/safetensors.h"
#include "compress/graph/model.h"

/* Fills packing, scale dtype and activations of an encoding wanted of a tensor. -1 with violations
 * when nothing would load it. */
int ct_adapt(const struct model *model, const struct tensor *tensor, bool bare,
             struct encoding *wanted, const char *pointer, struct violations *list);

/* The stored tensor that one part becomes under `e`: name (in the arena), dtype, shape; offsets are
 * left 0. 1, or 0 when the encoding has no such part, or -1 with ERR_NO_MEMORY. */
int ct_part(const struct tensor *tensor, const struct encoding *e, enum part_kind kind,
            struct arena *arena, struct safetensors_entry *ret, struct err *err);

/* "pack-quantized", "int-quantized", "float-quantized"; NULL for what is not quantized. */
const char *ct_format(const struct encoding *e);

/* Same scheme in the words of a configuration? (What the bytes are, and the activations.) */
bool ct_same_scheme(const struct encoding *a, const struct encoding *b);

#endif
