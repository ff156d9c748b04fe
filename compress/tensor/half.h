/*
 * Scalar conversions between f32 and the small floats: the specification that every SIMD variant
 * follows bit by bit.
 *
 * Round to nearest, ties to even; NaN becomes the canonical quiet NaN; f16 overflow becomes
 * infinity (callers count it); fp8 E4M3FN saturates at ±448 (OCP 8-bit Floating Point
 * Specification 1.0, and what torch's float8_e4m3fn produces for clamped input). Subnormals are
 * kept everywhere.
 */
#ifndef COMPRESS_TENSOR_HALF_H
#define COMPRESS_TENSOR_HALF_H

#include <stdint.h>

float half_from_f16(uint16_t bits);
uint16_t half_to_f16(float value);
float half_from_bf16(uint16_t bits);
uint16_t half_to_bf16(float value);
float half_from_e4m3(uint8_t bits);
uint8_t half_to_e4m3(float value);
float half_from_e5m2(uint8_t bits);

#endif
