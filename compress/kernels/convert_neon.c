/* Conversions between f32 and 16-bit floats, eight at a time. */
#include "compress/base/bytes.h"
#include "compress/base/half.h"
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

#include <arm_neon.h>

enum { STEP = 8 };

static void f32_from_bf16_neon(const void *x, size_t n, float *ret) {
    const uint8_t *in = x;
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        uint16x8_t v = vreinterpretq_u16_u8(vld1q_u8(in + 2 * i));
        vst1q_f32(ret + i, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(v), 16)));
        vst1q_f32(ret + i + 4, vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(v), 16)));
    }
    for (; i < n; i++)
        ret[i] = half_from_bf16(load_u16(in + 2 * i));
}

static void f32_from_f16_neon(const void *x, size_t n, float *ret) {
    const uint8_t *in = x;
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        float16x8_t v = vreinterpretq_f16_u8(vld1q_u8(in + 2 * i));
        vst1q_f32(ret + i, vcvt_f32_f16(vget_low_f16(v)));
        vst1q_f32(ret + i + 4, vcvt_high_f32_f16(v));
    }
    for (; i < n; i++)
        ret[i] = half_from_f16(load_u16(in + 2 * i));
}

static uint16x4_t to_bf16(float32x4_t v) {
    uint32x4_t bits = vreinterpretq_u32_f32(v);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    rounded = vbslq_u32(vceqq_f32(v, v), rounded, vdupq_n_u32(0x7fc00000));
    return vshrn_n_u32(rounded, 16);
}

static uint16x4_t to_f16(float32x4_t v) {
    uint16x4_t number = vmovn_u32(vceqq_f32(v, v));
    return vbsl_u16(number, vreinterpret_u16_f16(vcvt_f16_f32(v)), vdup_n_u16(0x7e00));
}

static void bf16_from_f32_neon(const float *x, size_t n, void *ret) {
    uint8_t *out = ret;
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        uint16x8_t v = vcombine_u16(to_bf16(vld1q_f32(x + i)), to_bf16(vld1q_f32(x + i + 4)));
        vst1q_u8(out + 2 * i, vreinterpretq_u8_u16(v));
    }
    for (; i < n; i++)
        store_u16(out + 2 * i, half_to_bf16(x[i]));
}

static void f16_from_f32_neon(const float *x, size_t n, void *ret) {
    uint8_t *out = ret;
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        uint16x8_t v = vcombine_u16(to_f16(vld1q_f32(x + i)), to_f16(vld1q_f32(x + i + 4)));
        vst1q_u8(out + 2 * i, vreinterpretq_u8_u16(v));
    }
    for (; i < n; i++)
        store_u16(out + 2 * i, half_to_f16(x[i]));
}

void convert_fill_neon(struct kernels *k) {
    k->f32_from_bf16 = f32_from_bf16_neon;
    k->f32_from_f16 = f32_from_f16_neon;
    k->bf16_from_f32 = bf16_from_f32_neon;
    k->f16_from_f32 = f16_from_f32_neon;
}
