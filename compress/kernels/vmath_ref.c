/*
 * Vector mathematics. See tensor/vmath.h for what is promised.
 *
 * The polynomials of exp, log and tanh are those of Cephes (S. L. Moshier, expf.c, logf.c, tanhf.c
 * of the single precision library, 1989-1992). erf is fitted by us, see there. Every function is
 * written without branches, in the same order of operations that the vector variants use: a value
 * for every case is computed, and one is chosen.
 */
#include "compress/base/half.h"
#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"
#include "compress/kernels/lanes.h"

#include <math.h>

/* 2^n for n in [-126, 127]. */
static float power_of_two(int n) {
    return half_float((uint32_t)(n + 127) << 23);
}

/* x = n ln 2 + r, |r| <= ln 2 / 2; exp(x) = 2^n exp(r). n is the nearest integer to x / ln 2:
 * adding 1.5 * 2^23 leaves it in the low bits. ln 2 is taken in two parts, of which the first has
 * so few bits that n times it is exact. 2^n is multiplied in two halves, so that subnormal results
 * are rounded once. */
static float exp_one(float x) {
    const float shift = 0x1.8p23f;
    float c = x > 88.8f ? 88.8f : x; /* rounds to infinity below */
    c = c < -104.0f ? -104.0f : c;   /* rounds to zero */
    float shifted = c * 0x1.715476p+0f + shift;
    float n = shifted - shift;
    float r = c - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    int k = x == x ? (int)n : 0, half = k >> 1;
    float y = p * power_of_two(half) * power_of_two(k - half);
    return x == x ? y : x + x;
}

/* x = 2^e m, m in [sqrt(1/2), sqrt(2)); log(x) = e ln 2 + log(m). Subnormals are scaled up first.
 */
static float log_one(float x) {
    int subnormal = x < 0x1p-126f;
    float scaled = subnormal ? x * 0x1p23f : x;
    uint32_t bits = half_bits(scaled);
    /* 0x3f3504f3 is sqrt(1/2): what is added carries into the exponent above it. */
    int e = ((int)(bits - 0x3f3504f3) >> 23) - (subnormal ? 23 : 0);
    float f = half_float(bits - ((uint32_t)(e + (subnormal ? 23 : 0)) << 23)) - 1.0f;
    float n = (float)e, z = f * f;
    float p = 7.0376836292e-2f;
    p = p * f + -1.1514610310e-1f;
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
    float y = f + p;
    y = y + n * 0.693359375f;
    y = x == INFINITY ? x : y;
    y = x == 0 ? -INFINITY : y;
    y = x < 0 ? NAN : y;
    return x == x ? y : x + x;
}

/* Near 0 the odd polynomial; beyond 1 - 2 / (exp(2|x|) + 1). */
static float tanh_one(float x) {
    float a = fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z + -5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z + -3.33332819422e-1f;
    p = p * z * a + a;
    float far = 1.0f - 2.0f / (exp_one(a + a) + 1.0f);
    float y = copysignf(a < 0.625f ? p : far, x);
    return x == x ? y : x + x;
}

/* With e = exp(-|x|), which never overflows: 1 / (1 + e), or e / (1 + e) on the left. What rounding
 * took from 1 + e is put back: a relative lost / (1 + e), and 1 / (1 + e) is y or 1 - y. */
static float sigmoid_one(float x) {
    float e = exp_one(-fabsf(x)), t = 1.0f + e, lost = e - (t - 1.0f);
    float y = (x < 0 ? e : 1.0f) / t;
    float inverse = x < 0 ? 1.0f - y : y;
    y = y - y * (lost * inverse);
    return x == x ? y : x + x;
}

/* Below 0.9 x + x q(x^2), beyond 1 - exp(g(|x|)). q is fitted to erf(x) / x - 1 and g, of degree 7,
 * to log(erfc(x)) on [0.9, 4], both by iteratively reweighted least squares (Lawson 1961) on 2000
 * Chebyshev nodes in f64, weighted so that the error of erf itself is levelled: 3e-10 and 6e-11 of
 * erf before the coefficients were rounded to f32. From 4 on erf is 1. */
static float erf_one(float x) {
    float a = fabsf(x), z = x * x;
    float q = 8.513134526e-5f;
    q = q * z + -8.175647235e-4f;
    q = q * z + 5.203859881e-3f;
    q = q * z + -2.686050907e-2f;
    q = q * z + 1.128371507e-1f;
    q = q * z + -3.761263490e-1f;
    q = q * z + 1.283791671e-1f;
    float near = q * a + a;
    float c = a < 4.0f ? a : 4.0f;
    float g = -2.082852734e-5f;
    g = g * c + 4.313925747e-4f;
    g = g * c + -4.156250507e-3f;
    g = g * c + 2.508060634e-2f;
    g = g * c + -1.082203686e-1f;
    g = g * c + -6.334008574e-1f;
    g = g * c + -1.129488349e+0f;
    g = g * c + 1.692039223e-4f;
    float far = 1.0f - exp_one(g);
    float y = copysignf(a < 0.9f ? near : far, x);
    return x == x ? y : x + x;
}

#define MAP_REF(name)                                                  \
    static void name##_f32_ref(const float *x, size_t n, float *ret) { \
        for (size_t i = 0; i < n; i++)                                 \
            ret[i] = name##_one(x[i]);                                 \
    }
MAP_REF(exp)
MAP_REF(log)
MAP_REF(tanh)
MAP_REF(sigmoid)
MAP_REF(erf)

#define MAP2_REF(name, op)                                                             \
    static void name##_f32_ref(const float *a, const float *b, size_t n, float *ret) { \
        for (size_t i = 0; i < n; i++)                                                 \
            ret[i] = a[i] op b[i];                                                     \
    }
MAP2_REF(add, +)
MAP2_REF(sub, -)
MAP2_REF(mul, *)
MAP2_REF(div, /)

#define MAP_SCALAR_REF(name, op)                                                       \
    static void name##_scalar_f32_ref(const float *x, float s, size_t n, float *ret) { \
        for (size_t i = 0; i < n; i++)                                                 \
            ret[i] = x[i] op s;                                                        \
    }
MAP_SCALAR_REF(add, +)
MAP_SCALAR_REF(mul, *)

static void axpy_f32_ref(float s, const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = y[i] + s * x[i];
}

static void muladd_f32_ref(const float *a, const float *b, size_t n, float *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = y[i] + a[i] * b[i];
}

static double sum_f32_ref(const float *x, size_t n) {
    double lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i % LANES] += (double)x[i];
    return lanes_sum_f64(lanes);
}

static double dot_f32_ref(const float *x, const float *y, size_t n) {
    double lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i % LANES] += (double)x[i] * (double)y[i];
    return lanes_sum_f64(lanes);
}

static double sum_squares_f32_ref(const float *x, double mean, size_t n) {
    double lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - mean;
        lanes[i % LANES] += d * d;
    }
    return lanes_sum_f64(lanes);
}

static float max_f32_ref(const float *x, size_t n) {
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max + 0.0f; /* which zero was met first must not show */
}

static double exp_sum_f32_ref(const float *x, float shift, size_t n, float *ret) {
    double lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        ret[i] = exp_one(x[i] - shift);
        lanes[i % LANES] += (double)ret[i];
    }
    return lanes_sum_f64(lanes);
}

void vmath_fill_ref(struct kernels *k) {
    k->exp_f32 = exp_f32_ref;
    k->log_f32 = log_f32_ref;
    k->tanh_f32 = tanh_f32_ref;
    k->sigmoid_f32 = sigmoid_f32_ref;
    k->erf_f32 = erf_f32_ref;
    k->add_f32 = add_f32_ref;
    k->sub_f32 = sub_f32_ref;
    k->mul_f32 = mul_f32_ref;
    k->div_f32 = div_f32_ref;
    k->add_scalar_f32 = add_scalar_f32_ref;
    k->mul_scalar_f32 = mul_scalar_f32_ref;
    k->axpy_f32 = axpy_f32_ref;
    k->muladd_f32 = muladd_f32_ref;
    k->sum_f32 = sum_f32_ref;
    k->dot_f32 = dot_f32_ref;
    k->sum_squares_f32 = sum_squares_f32_ref;
    k->max_f32 = max_f32_ref;
    k->exp_sum_f32 = exp_sum_f32_ref;
}
