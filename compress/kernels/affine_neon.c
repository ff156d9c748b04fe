/* Integer codes on a uniform grid, sixteen or 32 at a time; the rest through a padded copy or one
 * at a time. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"
#include "compress/kernels/lanes.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

enum { STEP = 16 };

/* Written as the reference is: NEON's own maximum would keep a NaN. */
static float32x4_t clamp(float32x4_t v, float32x4_t lo, float32x4_t hi) {
    v = vbslq_f32(vcgtq_f32(v, lo), v, lo);
    return vbslq_f32(vcltq_f32(v, hi), v, hi);
}

struct grid {
    float32x4_t scale, zero, lo, hi;
    uint8x16_t flip;
};

static void quantize_step(const float *x, const struct grid *g, uint8_t *ret) {
    int16x4_t q[4];
    for (int j = 0; j < 4; j++) {
        float32x4_t v = vaddq_f32(vdivq_f32(vld1q_f32(x + 4 * j), g->scale), g->zero);
        q[j] = vmovn_s32(vcvtnq_s32_f32(clamp(v, g->lo, g->hi)));
    }
    int8x16_t bytes =
        vcombine_s8(vmovn_s16(vcombine_s16(q[0], q[1])), vmovn_s16(vcombine_s16(q[2], q[3])));
    vst1q_u8(ret, veorq_u8(vreinterpretq_u8_s8(bytes), g->flip));
}

static void quantize_i8_neon(const float *x, size_t n, const struct affine *grid, uint8_t *ret) {
    const struct grid g = {vdupq_n_f32(grid->scale), vdupq_n_f32((float)grid->zero),
                           vdupq_n_f32((float)grid->lo), vdupq_n_f32((float)grid->hi),
                           vdupq_n_u8(grid->flip)};
    size_t i = 0;
    for (; i + STEP <= n; i += STEP)
        quantize_step(x + i, &g, ret + i);
    if (i < n) {
        float rest[STEP] = {0};
        uint8_t codes[STEP];
        memcpy(rest, x + i, (n - i) * sizeof *rest);
        quantize_step(rest, &g, codes);
        memcpy(ret + i, codes, n - i);
    }
}

static void dequantize_i8_neon(const uint8_t *codes, size_t n, const struct affine *grid,
                               float *ret) {
    const float32x4_t scale = vdupq_n_f32(grid->scale);
    const int16x8_t zero = vdupq_n_s16((int16_t)grid->zero);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int8x8_t q = vreinterpret_s8_u8(veor_u8(vld1_u8(codes + i), vdup_n_u8(grid->flip)));
        int16x8_t d = vsubq_s16(vmovl_s8(q), zero);
        float32x4_t low = vcvtq_f32_s32(vmovl_s16(vget_low_s16(d)));
        float32x4_t high = vcvtq_f32_s32(vmovl_high_s16(d));
        vst1q_f32(ret + i, vmulq_f32(low, scale));
        vst1q_f32(ret + i + 4, vmulq_f32(high, scale));
    }
    for (; i < n; i++)
        ret[i] = (float)((int8_t)(codes[i] ^ grid->flip) - grid->zero) * grid->scale;
}

static void pack_i4_neon(const uint8_t *codes, size_t n, uint8_t *ret) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        uint8x16x2_t q = vld2q_u8(codes + i); /* even and odd places apart */
        uint8x16_t low = vandq_u8(q.val[0], vdupq_n_u8(15));
        uint8x16_t both = vorrq_u8(low, vshlq_n_u8(q.val[1], 4));
        vst1q_u8(ret + i / 2, veorq_u8(both, vdupq_n_u8(0x88)));
    }
    for (; i < n; i += 2) {
        unsigned low = (codes[i] & 15u) ^ 8u;
        unsigned high = i + 1 < n ? (codes[i + 1] & 15u) ^ 8u : 0;
        ret[i / 2] = (uint8_t)(low | high << 4);
    }
}

static void unpack_i4_neon(const uint8_t *packed, size_t n, uint8_t *ret) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        uint8x16_t v = vld1q_u8(packed + i / 2), offset = vdupq_n_u8(8);
        uint8x16x2_t q = {
            {vsubq_u8(vandq_u8(v, vdupq_n_u8(15)), offset), vsubq_u8(vshrq_n_u8(v, 4), offset)}};
        vst2q_u8(ret + i, q);
    }
    for (; i < n; i++)
        ret[i] = (uint8_t)((packed[i / 2] >> (i % 2 * 4) & 15) - 8);
}

static void fit_f32_neon(const float *x, size_t n, float inverse, float lo, float hi,
                         double ret[2]) {
    const float32x4_t low = vdupq_n_f32(lo), high = vdupq_n_f32(hi);
    float32x4_t vp[4], pp[4];
    for (int j = 0; j < 4; j++)
        vp[j] = pp[j] = vdupq_n_f32(0);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < 4; j++) {
            float32x4_t v = vmulq_f32(vld1q_f32(x + i + 4 * j), vdupq_n_f32(inverse));
            float32x4_t p = vrndnq_f32(clamp(v, low, high));
            vp[j] = vaddq_f32(vp[j], vmulq_f32(v, p));
            pp[j] = vaddq_f32(pp[j], vmulq_f32(p, p));
        }
    float vps[LANES], pps[LANES];
    for (int j = 0; j < 4; j++) {
        vst1q_f32(vps + 4 * j, vp[j]);
        vst1q_f32(pps + 4 * j, pp[j]);
    }
    for (; i < n; i++) {
        float v = x[i] * inverse, p = v > lo ? v : lo;
        p = rintf(p < hi ? p : hi);
        vps[i % LANES] += v * p;
        pps[i % LANES] += p * p;
    }
    ret[0] = lanes_sum_f32(vps);
    ret[1] = lanes_sum_f32(pps);
}

void affine_fill_neon(struct kernels *k) {
    k->quantize_i8 = quantize_i8_neon;
    k->dequantize_i8 = dequantize_i8_neon;
    k->pack_i4 = pack_i4_neon;
    k->unpack_i4 = unpack_i4_neon;
    k->fit_f32 = fit_f32_neon;
}
