/* Scaled fp8 E4M3FN: base/half.h over an array. */
#include "compress/base/half.h"
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

static void quantize_e4m3_ref(const float *x, size_t n, float scale, uint8_t *ret) {
    for (size_t i = 0; i < n; i++)
        ret[i] = half_to_e4m3(x[i] / scale);
}

static void dequantize_e4m3_ref(const uint8_t *codes, size_t n, float scale, float *ret) {
    for (size_t i = 0; i < n; i++)
        ret[i] = half_from_e4m3(codes[i]) * scale;
}

void fp8_fill_ref(struct kernels *k) {
    k->quantize_e4m3 = quantize_e4m3_ref;
    k->dequantize_e4m3 = dequantize_e4m3_ref;
}
