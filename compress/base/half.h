/*
 * Scalar conversions between f32 and the small floats: the specification that every SIMD variant
 * follows bit by bit.
 *
 * Narrowing rounds to nearest, ties to even; NaN becomes the canonical quiet NaN (positive, no
 * payload); f16 and bf16 overflow becomes infinity (callers count it); fp8 E4M3FN has no infinity
 * and saturates at ±448 (OCP 8-bit Floating Point Specification 1.0, and what torch's
 * float8_e4m3fn gives for clamped input). Widening is exact; a NaN stays a NaN, quiet, with sign
 * and payload where the narrow format had them. Subnormals are kept everywhere.
 *
 * Assumes the default rounding mode, and neither flush-to-zero nor denormals-are-zero.
 */
#ifndef COMPRESS_BASE_HALF_H
#define COMPRESS_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t half_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float half_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* f16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. */
static inline float half_from_f16(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = (bits >> 10) & 31, mantissa = bits & 0x3ff;
    if (exponent == 31) /* infinity, or a NaN made quiet */
        return half_float(sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
    if (exponent == 0) /* subnormal: mantissa * 2^-24, exact in f32 */
        return half_float(sign | half_bits((float)mantissa * 0x1p-24f));
    return half_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t half_to_f16(float value) {
    uint32_t bits = half_bits(value);
    uint32_t sign = bits >> 16 & 0x8000, a = bits & 0x7fffffff;
    if (a > 0x7f800000)
        return 0x7e00;
    if (a >= 0x477ff000) /* 65520 = 65504 + half a step: rounds to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (a < 0x38800000) /* below 2^-14: a step of 0.5 is 2^-24, so the addition does the rounding */
        return (uint16_t)(sign | (half_bits(half_float(a) + 0.5f) - 0x3f000000));
    a += 0xfff + (a >> 13 & 1); /* half a step, less one when the kept part is even */
    return (uint16_t)(sign | (a - 0x38000000) >> 13);
}

/* bf16: the upper half of an f32. */
static inline float half_from_bf16(uint16_t bits) {
    return half_float((uint32_t)bits << 16);
}

static inline uint16_t half_to_bf16(float value) {
    uint32_t bits = half_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fc0;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* E4M3FN: 1 sign, 4 exponent (bias 7), 3 mantissa bits; 0x7f and 0xff are NaN. */
static inline float half_from_e4m3(uint8_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x80) << 24, a = bits & 0x7f;
    if (a == 0x7f)
        return half_float(sign | 0x7fc00000);
    if (a < 8) /* subnormal: a * 2^-9 */
        return half_float(sign | half_bits((float)a * 0x1p-9f));
    return half_float(sign | ((a << 20) + (120u << 23)));
}

static inline uint8_t half_to_e4m3(float value) {
    uint32_t bits = half_bits(value);
    uint32_t sign = bits >> 24 & 0x80, a = bits & 0x7fffffff;
    if (a > 0x7f800000)
        return 0x7f;
    if (a > 0x43e00000) /* 448 */
        return (uint8_t)(sign | 0x7e);
    if (a < 0x3c800000) /* below 2^-6: a step of 2^14 is 2^-9, so the addition does the rounding */
        return (uint8_t)(sign | (half_bits(half_float(a) + 0x1p14f) - 0x46800000));
    a += 0x7ffff + (a >> 20 & 1);
    return (uint8_t)(sign | (a - (120u << 23)) >> 20);
}

/* E5M2: the upper half of an f16. */
static inline float half_from_e5m2(uint8_t bits) {
    return half_from_f16((uint16_t)(bits << 8));
}

#endif
