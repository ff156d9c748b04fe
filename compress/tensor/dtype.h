/*
 * The table of element types: what a single stored number can be, and what each file format calls
 * it.
 *
 * Block formats and scaled integers are *encodings* (codecs/codec.h); a dtype is what a container's
 * header says of a run of bytes. Rows are in one table (dtype.c); dtype_row() never returns NULL
 * for a valid id.
 */
#ifndef COMPRESS_TENSOR_DTYPE_H
#define COMPRESS_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

enum dtype {
    DTYPE_NONE,
    DTYPE_F64,
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F8_E4M3, /* OCP FP8 E4M3FN: no infinities, max 448 */
    DTYPE_F8_E5M2,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U64,
    DTYPE_U32,
    DTYPE_U16,
    DTYPE_U8,
    DTYPE_BOOL,
    DTYPE_C64, /* two f32: carried through, never decoded */
    DTYPE_C128,
    DTYPE_F8_E4M3FNUZ, /* ONNX alone */
    DTYPE_F8_E5M2FNUZ,
    DTYPE_I4, /* two per byte in a container, the first in the low half; a byte each in memory */
    DTYPE_U4,
    DTYPE_STRING,     /* ONNX alone: carried through */
    DTYPE_GGUF_BLOCK, /* bytes of a GGUF block type; which one stands in the encoding */
    DTYPE_COUNT
};

struct dtype_row {
    enum dtype id;
    const char *name;          /* ours and the report's: "bf16" */
    const char *safetensors;   /* "BF16", or NULL when it has no name there */
    const char *torch;         /* "bfloat16" (config.json), or NULL */
    const char *torch_storage; /* pickle storage class: "BFloat16Storage", or NULL */
    int gguf;                  /* ggml_type number, or -1 */
    int onnx;                  /* TensorProto.DataType number, or -1 */
    unsigned bytes;            /* per element in a container; 0 where elements are no whole bytes */
    bool is_float;             /* decodes to f32 */
};

const struct dtype_row *dtype_row(enum dtype dtype);
/* Bytes that `count` elements take in a container: 4-bit integers lie two in a byte, the last byte
 * padded. 0 where the type does not tell. UINT64_MAX when it is more than 64 bits can say. */
uint64_t dtype_bytes(enum dtype dtype, uint64_t count);
enum dtype dtype_by_name(const char *name); /* DTYPE_NONE: unknown; so below */
enum dtype dtype_by_safetensors(const char *name);
enum dtype dtype_by_torch(const char *name);
enum dtype dtype_by_torch_storage(const char *name);
enum dtype dtype_by_onnx(int64_t type);
enum dtype dtype_by_gguf(uint32_t type); /* plain types only; blocks: codec_by_gguf_type() */

#endif
