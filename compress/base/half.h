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

#include <math.h>
#include <stdbool.h>
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

/* The four FP8 types as ONNX defines them (its float8 page): the OCP pair, and the pair of
 * Graphcore and AMD ("FNUZ": finite, no negative zero, bias one larger, 0x80 is the only NaN). */
enum half_f8 { HALF_E4M3FN, HALF_E5M2, HALF_E4M3FNUZ, HALF_E5M2FNUZ };

static inline double half_from_fnuz(uint8_t bits, int mantissa_bits) {
    int exponent = (bits & 0x7f) >> mantissa_bits, bias = 1 << (6 - mantissa_bits);
    int mantissa = bits & ((1 << mantissa_bits) - 1);
    double sign = bits & 0x80 ? -1 : 1;
    if (bits == 0x80)
        return (double)half_float(0x7fc00000);
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp(mantissa | 1 << mantissa_bits, exponent - bias - mantissa_bits);
}

/* Nearest, ties to even; what is too large becomes the largest finite number when it saturates,
 * else infinity (E5M2) or NaN. NaN stays one. Infinity saturates too. */
static inline uint8_t half_to_f8(double value, enum half_f8 type, bool saturate) {
    int mantissa_bits = type == HALF_E4M3FN || type == HALF_E4M3FNUZ ? 3 : 2;
    bool fnuz = type == HALF_E4M3FNUZ || type == HALF_E5M2FNUZ;
    int bias = (1 << (6 - mantissa_bits)) - (fnuz ? 0 : 1);
    unsigned largest = type == HALF_E4M3FN ? 0x7e : type == HALF_E5M2 ? 0x7b : 0x7f;
    unsigned nan = fnuz ? 0x80 : 0x7f;
    unsigned sign = signbit(value) ? 0x80 : 0;
    if (isnan(value))
        return (uint8_t)nan;
    double a = fabs(value);
    unsigned code = a > 0 ? largest + 1 : 0;
    if (a > 0 && a < 0x1p17) { /* above all of their maxima */
        int exponent;
        frexp(a, &exponent); /* a = m 2^exponent, m in [1/2, 1) */
        int e =
            exponent - 1 + bias < 1 ? 1 : exponent - 1 + bias; /* 1: subnormals share its step */
        unsigned steps = (unsigned)nearbyint(ldexp(a, mantissa_bits + bias - e));
        code = ((unsigned)(e - 1) << mantissa_bits) + steps; /* a carry runs into the exponent */
    }
    if (code > largest)
        return (uint8_t)(saturate            ? sign | largest
                         : type == HALF_E5M2 ? sign | 0x7c
                         : fnuz              ? nan
                                             : sign | nan);
    return (uint8_t)(fnuz && code == 0 ? 0 : sign | code);
}

#endif
