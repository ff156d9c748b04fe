/*
 * Vector mathematics in vectors of VMATH_WIDTH floats: vmath_ref.c line by line, with GCC's vector
 * extensions, so that one text serves every instruction set. An including file says the width that
 * its set has, and gets vmath_vec_fill(); what the compiler makes of it is the set's own code,
 * because the file is compiled with the set's flags. Functions are called <op>_f32_vec here.
 *
 * Same bits as the reference: each lane goes through the same operations in the same order, sums
 * keep the reference's 16 lanes, and the rest of a run that fills no vector is padded.
 */
#ifndef COMPRESS_KERNELS_VMATH_VEC_H
#define COMPRESS_KERNELS_VMATH_VEC_H

#include "compress/kernels/kernels.h"
#include "compress/kernels/lanes.h"

#include <math.h>
#include <string.h>

#ifndef VMATH_WIDTH
#define VMATH_WIDTH 4
#endif

enum { VW = VMATH_WIDTH, HALF = VMATH_WIDTH / 2, SUMS = LANES / HALF };

typedef float vf __attribute__((vector_size(4 * VMATH_WIDTH)));
typedef int32_t vi __attribute__((vector_size(4 * VMATH_WIDTH)));
typedef uint32_t vu __attribute__((vector_size(4 * VMATH_WIDTH)));
typedef float vh __attribute__((vector_size(2 * VMATH_WIDTH)));
typedef double vd __attribute__((vector_size(4 * VMATH_WIDTH)));

#define VEC static inline __attribute__((always_inline))

VEC vf load(const float *x) {
    vf v;
    memcpy(&v, x, sizeof v);
    return v;
}

VEC void store(float *x, vf v) {
    memcpy(x, &v, sizeof v);
}

VEC vf all(float x) {
    return x - (vf){0}; /* of -0 too: -0 - 0 is -0 */
}

VEC vf choose(vi when, vf yes, vf no) {
    return (vf)((when & (vi)yes) | (~when & (vi)no));
}

VEC vi is_number(vf x) {
    // NOLINTNEXTLINE(misc-redundant-expression): a NaN is the one thing that differs from itself
    return x == x;
}

VEC vf magnitude(vf x) {
    return (vf)((vi)x & 0x7fffffff);
}

VEC vf with_sign(vf x, vf sign) {
    return (vf)((vu)magnitude(x) | ((vu)sign & 0x80000000u));
}

VEC vf power_of_two(vi n) {
    return (vf)((vu)(n + 127) << 23);
}

VEC vf exp_vec(vf x) {
    const float shift = 0x1.8p23f;
    vf c = choose(x > 88.8f, all(88.8f), x);
    c = choose(c < -104.0f, all(-104.0f), c);
    vf shifted = c * 0x1.715476p+0f + shift;
    vf n = shifted - shift;
    vf r = c - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vf p = r * 1.9875691500e-4f;
    p = p + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    vi k = __builtin_convertvector(choose(is_number(x), n, all(0)), vi), half = k >> 1;
    vf y = p * power_of_two(half) * power_of_two(k - half);
    return choose(is_number(x), y, x + x);
}

VEC vf log_vec(vf x) {
    vi subnormal = x < 0x1p-126f;
    vf scaled = choose(subnormal, x * 0x1p23f, x);
    vu bits = (vu)scaled;
    vi exponent = (vi)(bits - 0x3f3504f3u) >> 23;
    vf f = (vf)(bits - ((vu)exponent << 23)) - 1.0f;
    vf n = __builtin_convertvector(exponent - (subnormal & 23), vf), z = f * f;
    vf p = f * 7.0376836292e-2f;
    p = p + -1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f + -1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f + -1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f + -2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    p = p * f * z;
    p = p + n * -2.12194440e-4f;
    p = p - 0.5f * z;
    vf y = f + p;
    y = y + n * 0.693359375f;
    y = choose(x == INFINITY, x, y);
    y = choose(x == 0, all(-INFINITY), y);
    y = choose(x < 0, all(NAN), y);
    return choose(is_number(x), y, x + x);
}

VEC vf tanh_vec(vf x) {
    vf a = magnitude(x), z = x * x;
    vf p = z * -5.70498872745e-3f;
    p = p + 2.06390887954e-2f;
    p = p * z + -5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z + -3.33332819422e-1f;
    p = p * z * a + a;
    vf far = 1.0f - 2.0f / (exp_vec(a + a) + 1.0f);
    vf y = with_sign(choose(a < 0.625f, p, far), x);
    return choose(is_number(x), y, x + x);
}

VEC vf sigmoid_vec(vf x) {
    vf e = exp_vec(-magnitude(x)), t = 1.0f + e, lost = e - (t - 1.0f);
    vi left = x < 0;
    vf y = choose(left, e, all(1.0f)) / t;
    vf inverse = choose(left, 1.0f - y, y);
    y = y - y * (lost * inverse);
    return choose(is_number(x), y, x + x);
}

VEC vf erf_vec(vf x) {
    vf a = magnitude(x), z = x * x;
    vf q = z * 8.513134526e-5f;
    q = q + -8.175647235e-4f;
    q = q * z + 5.203859881e-3f;
    q = q * z + -2.686050907e-2f;
    q = q * z + 1.128371507e-1f;
    q = q * z + -3.761263490e-1f;
    q = q * z + 1.283791671e-1f;
    vf near = q * a + a;
    vf c = choose(a < 4.0f, a, all(4.0f));
    vf g = c * -2.082852734e-5f;
    g = g + 4.313925747e-4f;
    g = g * c + -4.156250507e-3f;
    g = g * c + 2.508060634e-2f;
    g = g * c + -1.082203686e-1f;
    g = g * c + -6.334008574e-1f;
    g = g * c + -1.129488349e+0f;
    g = g * c + 1.692039223e-4f;
    vf far = 1.0f - exp_vec(g);
    vf y = with_sign(choose(a < 0.9f, near, far), x);
    return choose(is_number(x), y, x + x);
}

/* What is left of a run: loaded into the front of a vector of zeros, and stored from there. */
VEC vf load_some(const float *x, size_t n) {
    vf v = {0};
    memcpy(&v, x, n * sizeof *x);
    return v;
}

VEC void store_some(float *x, size_t n, vf v) {
    memcpy(x, &v, n * sizeof *x);
}

#define MAP_VEC(name)                                                         \
    static inline void name##_f32_vec(const float *x, size_t n, float *ret) { \
        size_t i = 0;                                                         \
        for (; i + VW <= n; i += VW)                                          \
            store(ret + i, name##_vec(load(x + i)));                          \
        if (i < n)                                                            \
            store_some(ret + i, n - i, name##_vec(load_some(x + i, n - i)));  \
    }
MAP_VEC(exp)
MAP_VEC(log)
MAP_VEC(tanh)
MAP_VEC(sigmoid)
MAP_VEC(erf)

#define MAP2_VEC(name, op)                                                                    \
    static inline void name##_f32_vec(const float *a, const float *b, size_t n, float *ret) { \
        size_t i = 0;                                                                         \
        for (; i + VW <= n; i += VW)                                                          \
            store(ret + i, load(a + i) op load(b + i));                                       \
        for (; i < n; i++)                                                                    \
            ret[i] = a[i] op b[i];                                                            \
    }
MAP2_VEC(add, +)
MAP2_VEC(sub, -)
MAP2_VEC(mul, *)
MAP2_VEC(div, /)

#define MAP_SCALAR_VEC(name, op)                                                              \
    static inline void name##_scalar_f32_vec(const float *x, float s, size_t n, float *ret) { \
        size_t i = 0;                                                                         \
        for (; i + VW <= n; i += VW)                                                          \
            store(ret + i, load(x + i) op s);                                                 \
        for (; i < n; i++)                                                                    \
            ret[i] = x[i] op s;                                                               \
    }
MAP_SCALAR_VEC(add, +)
MAP_SCALAR_VEC(mul, *)

static inline void axpy_f32_vec(float s, const float *x, size_t n, float *y) {
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        store(y + i, load(y + i) + s * load(x + i));
    for (; i < n; i++)
        y[i] = y[i] + s * x[i];
}

static inline void muladd_f32_vec(const float *a, const float *b, size_t n, float *y) {
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        store(y + i, load(y + i) + load(a + i) * load(b + i));
    for (; i < n; i++)
        y[i] = y[i] + a[i] * b[i];
}

/* ---- sums: partial sum i mod 16 is lane i mod HALF of vector i / HALF mod SUMS ---- */

VEC vd widen(const float *x) {
    vh v;
    memcpy(&v, x, sizeof v);
    return __builtin_convertvector(v, vd);
}

static inline double sum_f32_vec(const float *x, size_t n) {
    vd sums[SUMS] = {{0}};
    double lanes[LANES];
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < SUMS; j++)
            sums[j] += widen(x + i + HALF * j);
    memcpy(lanes, sums, sizeof lanes);
    for (; i < n; i++)
        lanes[i % LANES] += (double)x[i];
    return lanes_sum_f64(lanes);
}

static inline double dot_f32_vec(const float *x, const float *y, size_t n) {
    vd sums[SUMS] = {{0}};
    double lanes[LANES];
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < SUMS; j++)
            sums[j] += widen(x + i + HALF * j) * widen(y + i + HALF * j);
    memcpy(lanes, sums, sizeof lanes);
    for (; i < n; i++)
        lanes[i % LANES] += (double)x[i] * (double)y[i];
    return lanes_sum_f64(lanes);
}

static inline double sum_squares_f32_vec(const float *x, double mean, size_t n) {
    vd sums[SUMS] = {{0}};
    double lanes[LANES];
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < SUMS; j++) {
            vd d = widen(x + i + HALF * j) - mean;
            sums[j] += d * d;
        }
    memcpy(lanes, sums, sizeof lanes);
    for (; i < n; i++) {
        double d = (double)x[i] - mean;
        lanes[i % LANES] += d * d;
    }
    return lanes_sum_f64(lanes);
}

static inline float max_f32_vec(const float *x, size_t n) {
    vf best = all(-INFINITY);
    float max = -INFINITY;
    size_t i = 0;
    for (; i + VW <= n; i += VW) {
        vf v = load(x + i);
        best = choose(v > best, v, best);
    }
    for (size_t j = 0; j < VW; j++)
        max = best[j] > max ? best[j] : max;
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max + 0.0f;
}

static inline double exp_sum_f32_vec(const float *x, float shift, size_t n, float *ret) {
    vd sums[SUMS] = {{0}};
    double lanes[LANES];
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j += VW)
            store(ret + i + j, exp_vec(load(x + i + j) - shift));
        for (size_t j = 0; j < SUMS; j++)
            sums[j] += widen(ret + i + HALF * j);
    }
    memcpy(lanes, sums, sizeof lanes);
    while (i < n) {
        size_t some = n - i < VW ? n - i : VW;
        store_some(ret + i, some, exp_vec(load_some(x + i, some) - shift));
        for (size_t end = i + some; i < end; i++)
            lanes[i % LANES] += (double)ret[i];
    }
    return lanes_sum_f64(lanes);
}

static inline void vmath_vec_fill(struct kernels *k) {
    k->exp_f32 = exp_f32_vec;
    k->log_f32 = log_f32_vec;
    k->tanh_f32 = tanh_f32_vec;
    k->sigmoid_f32 = sigmoid_f32_vec;
    k->erf_f32 = erf_f32_vec;
    k->add_f32 = add_f32_vec;
    k->sub_f32 = sub_f32_vec;
    k->mul_f32 = mul_f32_vec;
    k->div_f32 = div_f32_vec;
    k->add_scalar_f32 = add_scalar_f32_vec;
    k->mul_scalar_f32 = mul_scalar_f32_vec;
    k->axpy_f32 = axpy_f32_vec;
    k->muladd_f32 = muladd_f32_vec;
    k->sum_f32 = sum_f32_vec;
    k->dot_f32 = dot_f32_vec;
    k->sum_squares_f32 = sum_squares_f32_vec;
    k->max_f32 = max_f32_vec;
    k->exp_sum_f32 = exp_sum_f32_vec;
}

#endif
