/* Conversions between f32 and 16-bit floats, one value at a time: base/half.h over an array. */
#include "compress/base/bytes.h"
#include "compress/base/half.h"
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

static void f32_from_bf16_ref(const void *x, size_t n, float *ret) {
    const uint8_t *in = x;
    for (size_t i = 0; i < n; i++)
        ret[i] = half_from_bf16(load_u16(in + 2 * i));
}

static void f32_from_f16_ref(const void *x, size_t n, float *ret) {
    const uint8_t *in = x;
    for (size_t i = 0; i < n; i++)
        ret[i] = half_from_f16(load_u16(in + 2 * i));
}

static void bf16_from_f32_ref(const float *x, size_t n, void *ret) {
    uint8_t *out = ret;
    for (size_t i = 0; i < n; i++)
        store_u16(out + 2 * i, half_to_bf16(x[i]));
}

static void f16_from_f32_ref(const float *x, size_t n, void *ret) {
    uint8_t *out = ret;
    for (size_t i = 0; i < n; i++)
        store_u16(out + 2 * i, half_to_f16(x[i]));
}

void convert_fill_ref(struct kernels *k) {
    k->f32_from_bf16 = f32_from_bf16_ref;
    k->f32_from_f16 = f32_from_f16_ref;
    k->bf16_from_f32 = bf16_from_f32_ref;
    k->f16_from_f32 = f16_from_f32_ref;
}
