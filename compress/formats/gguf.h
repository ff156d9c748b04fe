/*
 * GGUF: the single-file container of ggml and llama.cpp, versions 2 and 3, little-endian.
 *
 *   offset 0   "GGUF"                          4 bytes
 *              version                         u32       2 or 3 (same layout; 3 allowed big-endian)
 *              tensor count                    u64
 *              key count                       u64
 *              keys, one after another:
 *                 length, name                 u64, bytes
 *                 value type                   u32       0 u8   1 i8   2 u16  3 i16   4 u32  5 i32
 *                                                        6 f32  7 bool 8 text 9 array
 *                                                        10 u64 11 i64 12 f64
 *                 value                        number | u64 length + bytes
 *                                              | u32 element type, u64 count, elements
 *              tensor infos, one after another:
 *                 length, name                 u64, bytes
 *                 dimension count              u32       1..4
 *                 dimensions                   u64 each, fastest first
 *                 ggml type                    u32
 *                 offset                       u64       from the start of the data below
 *              zeros up to a multiple of `general.alignment` (u32 key, 32 when absent)
 *   data       tensors in the order of their infos, each padded with zeros to the alignment
 *
 * A model may be cut into files `NAME-00001-of-0000N.gguf` (gguf_split.h); then a folder holds it.
 *
 * Reading is strict where ggml is: every count, length, offset and name is checked against the
 * bytes that are there, tensors must lie one behind the other without overlap or gap, arrays of
 * arrays are refused. Version 1, big-endian files and the formats before GGUF are refused by name.
 * Block types that can be carried but not decoded (IQ1 .. IQ3, ternary, MXFP4 ...) open.
 *
 * Writing keeps every key byte for byte and in place, except `general.file_type`, which follows
 * the tensors, `general.quantization_version`, which is 2 beside quantized tensors, and
 * `split.tensors.count`. Version 2 becomes 3. A split model stays split under the same names.
 *
 * Sources: ggml docs/gguf.md and include/gguf.h; llama.cpp for what its loader accepts.
 */
#ifndef COMPRESS_FORMATS_GGUF_H
#define COMPRESS_FORMATS_GGUF_H

#include "compress/formats/format.h"

/* The row of the format table; contracts in format.h. */
bool gguf_sniff(struct resolver *files, struct err *err);
int gguf_open(struct resolver *files, struct model *model, struct err *err);
int gguf_adapt(const struct model *model, const struct tensor *tensor, struct encoding *wanted,
               const char *pointer, struct violations *list);
int gguf_lay_out(const struct model *model, const struct output_facts *facts, struct layout *layout,
                 struct violations *warnings, struct err *err);

#endif
