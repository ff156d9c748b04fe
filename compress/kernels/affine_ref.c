/* Integer codes on a uniform grid: quantize, dequantize, pack by two, fit a scale. */
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"
#include "compress/kernels/lanes.h"

#include <math.h>

/* The order of the comparisons decides where NaN goes: to lo. */
static float clamp(float v, float lo, float hi) {
    v = v > lo ? v : lo;
    return v < hi ? v : hi;
}

static void quantize_i8_ref(const float *x, size_t n, const struct affine *grid, uint8_t *ret) {
    float zero = (float)grid->zero, lo = (float)grid->lo, hi = (float)grid->hi;
    for (size_t i = 0; i < n; i++) {
        int q = (int)rintf(clamp(x[i] / grid->scale + zero, lo, hi));
        ret[i] = (uint8_t)q ^ grid->flip;
    }
}

static void dequantize_i8_ref(const uint8_t *codes, size_t n, const struct affine *grid,
                              float *ret) {
    for (size_t i = 0; i < n; i++) {
        int q = (int8_t)(codes[i] ^ grid->flip);
        ret[i] = (float)(q - grid->zero) * grid->scale;
    }
}

static void pack_i4_ref(const uint8_t *codes, size_t n, uint8_t *ret) {
    for (size_t i = 0; i < n; i += 2) {
        unsigned low = (codes[i] & 15u) ^ 8u;
        unsigned high = i + 1 < n ? (codes[i + 1] & 15u) ^ 8u : 0;
        ret[i / 2] = (uint8_t)(low | high << 4);
    }
}

static void unpack_i4_ref(const uint8_t *packed, size_t n, uint8_t *ret) {
    for (size_t i = 0; i < n; i++)
        ret[i] = (uint8_t)((packed[i / 2] >> (i % 2 * 4) & 15) - 8);
}

static void fit_f32_ref(const float *x, size_t n, float inverse, float lo, float hi,
                        double ret[2]) {
    float vp[LANES] = {0}, pp[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * inverse, p = rintf(clamp(v, lo, hi));
        vp[i % LANES] += v * p;
        pp[i % LANES] += p * p;
    }
    ret[0] = lanes_sum_f32(vp);
    ret[1] = lanes_sum_f32(pp);
}

void affine_fill_ref(struct kernels *k) {
    k->quantize_i8 = quantize_i8_ref;
    k->dequantize_i8 = dequantize_i8_ref;
    k->pack_i4 = pack_i4_ref;
    k->unpack_i4 = unpack_i4_ref;
    k->fit_f32 = fit_f32_ref;
}
