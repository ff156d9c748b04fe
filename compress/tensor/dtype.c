/* The dtype table. See dtype.h. */
#include "compress/tensor/dtype.h"

#include <stddef.h>
#include <string.h>

/* In enum order, so that a row's index is its id. */
static const struct dtype_row table[DTYPE_COUNT] = {
    {DTYPE_NONE, "none", NULL, NULL, NULL, -1, -1, 0, false},
    {DTYPE_F64, "f64", "F64", "float64", "DoubleStorage", 28, 11, 8, true},
    {DTYPE_F32, "f32", "F32", "float32", "FloatStorage", 0, 1, 4, true},
    {DTYPE_F16, "f16", "F16", "float16", "HalfStorage", 1, 10, 2, true},
    {DTYPE_BF16, "bf16", "BF16", "bfloat16", "BFloat16Storage", 30, 16, 2, true},
    {DTYPE_F8_E4M3, "f8_e4m3", "F8_E4M3", "float8_e4m3fn", "Float8_e4m3fnStorage", -1, 17, 1, true},
    {DTYPE_F8_E5M2, "f8_e5m2", "F8_E5M2", "float8_e5m2", "Float8_e5m2Storage", -1, 19, 1, true},
    {DTYPE_I64, "i64", "I64", "int64", "LongStorage", 27, 7, 8, false},
    {DTYPE_I32, "i32", "I32", "int32", "IntStorage", 26, 6, 4, false},
    {DTYPE_I16, "i16", "I16", "int16", "ShortStorage", 25, 5, 2, false},
    {DTYPE_I8, "i8", "I8", "int8", "CharStorage", 24, 3, 1, false},
    {DTYPE_U64, "u64", "U64", "uint64", "UInt64Storage", -1, 13, 8, false},
    {DTYPE_U32, "u32", "U32", "uint32", "UInt32Storage", -1, 12, 4, false},
    {DTYPE_U16, "u16", "U16", "uint16", "UInt16Storage", -1, 4, 2, false},
    {DTYPE_U8, "u8", "U8", "uint8", "ByteStorage", -1, 2, 1, false},
    {DTYPE_BOOL, "bool", "BOOL", "bool", "BoolStorage", -1, 9, 1, false},
    {DTYPE_C64, "c64", "C64", "complex64", "ComplexFloatStorage", -1, 14, 8, false},
    {DTYPE_C128, "c128", NULL, NULL, NULL, -1, 15, 16, false},
    {DTYPE_F8_E4M3FNUZ, "f8_e4m3fnuz", NULL, NULL, NULL, -1, 18, 1, true},
    {DTYPE_F8_E5M2FNUZ, "f8_e5m2fnuz", NULL, NULL, NULL, -1, 20, 1, true},
    {DTYPE_I4, "i4", NULL, NULL, NULL, -1, 22, 0, false},
    {DTYPE_U4, "u4", NULL, NULL, NULL, -1, 21, 0, false},
    {DTYPE_STRING, "string", NULL, NULL, NULL, -1, 8, 0, false},
    {DTYPE_GGUF_BLOCK, "block", NULL, NULL, NULL, -1, -1, 0, false},
};

const struct dtype_row *dtype_row(enum dtype dtype) {
    return &table[(unsigned)dtype < DTYPE_COUNT ? dtype : DTYPE_NONE];
}

uint64_t dtype_bytes(enum dtype dtype, uint64_t count) {
    uint64_t bytes;
    if (dtype == DTYPE_I4 || dtype == DTYPE_U4)
        return count / 2 + count % 2;
    return __builtin_mul_overflow(count, dtype_row(dtype)->bytes, &bytes) ? UINT64_MAX : bytes;
}

/* The row whose string at `field` (an offset into the row) is `name`. */
static enum dtype find(size_t field, const char *name) {
    for (int i = DTYPE_NONE + 1; name && i < DTYPE_COUNT; i++) {
        const char *text;
        memcpy(&text, (const char *)&table[i] + field, sizeof text);
        if (text && strcmp(text, name) == 0)
            return table[i].id;
    }
    return DTYPE_NONE;
}

enum dtype dtype_by_name(const char *name) {
    return find(offsetof(struct dtype_row, name), name);
}

enum dtype dtype_by_safetensors(const char *name) {
    return find(offsetof(struct dtype_row, safetensors), name);
}

enum dtype dtype_by_torch(const char *name) {
    return find(offsetof(struct dtype_row, torch), name);
}

enum dtype dtype_by_torch_storage(const char *name) {
    return find(offsetof(struct dtype_row, torch_storage), name);
}

enum dtype dtype_by_onnx(int64_t type) {
    for (int i = DTYPE_NONE + 1; i < DTYPE_COUNT; i++)
        if (table[i].onnx >= 0 && table[i].onnx == type)
            return table[i].id;
    return DTYPE_NONE;
}

enum dtype dtype_by_gguf(uint32_t type) {
    for (int i = DTYPE_NONE + 1; i < DTYPE_COUNT; i++)
        if (table[i].gguf >= 0 && (uint32_t)table[i].gguf == type)
            return table[i].id;
    return DTYPE_NONE;
}
