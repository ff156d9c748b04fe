/* One function per row of the kernels' table, or a loop over libm where real is double. See
 * vmath.h. */
#include "compress/tensor/vmath.h"

#ifdef REAL_IS_DOUBLE

#include <math.h>

/* ret[i] = value, with x = the i-th input. */
#define MAP(name, value)                                       \
    void vmath_##name(const real *from, size_t n, real *ret) { \
        for (size_t i = 0; i < n; i++) {                       \
            real x = from[i];                                  \
            ret[i] = value;                                    \
        }                                                      \
    }
MAP(exp, exp(x))
MAP(log, log(x))
MAP(tanh, tanh(x))
MAP(sigmoid, x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)))
MAP(erf, erf(x))

#define MAP2(name, op)                                                     \
    void vmath_##name(const real *a, const real *b, size_t n, real *ret) { \
        for (size_t i = 0; i < n; i++)                                     \
            ret[i] = a[i] op b[i];                                         \
    }
MAP2(add, +)
MAP2(sub, -)
MAP2(mul, *)
MAP2(div, /)

#define MAP_SCALAR(name, op)                                                 \
    void vmath_##name##_scalar(const real *x, real s, size_t n, real *ret) { \
        for (size_t i = 0; i < n; i++)                                       \
            ret[i] = x[i] op s;                                              \
    }
MAP_SCALAR(add, +)
MAP_SCALAR(mul, *)

void vmath_axpy(real s, const real *x, size_t n, real *y) {
    for (size_t i = 0; i < n; i++)
        y[i] += s * x[i];
}

void vmath_muladd(const real *a, const real *b, size_t n, real *y) {
    for (size_t i = 0; i < n; i++)
        y[i] += a[i] * b[i];
}

double vmath_sum(const real *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

double vmath_dot(const real *x, const real *y, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

double vmath_sum_squares(const real *x, double mean, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

real vmath_max(const real *x, size_t n) {
    real max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

double vmath_exp_sum(const real *x, real shift, size_t n, real *ret) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ret[i] = exp(x[i] - shift);
    return sum;
}

#else

#include "compress/kernels/kernels.h"

#define MAP(name)                                           \
    void vmath_##name(const real *x, size_t n, real *ret) { \
        kernels_get()->name##_f32(x, n, ret);               \
    }
MAP(exp)
MAP(log)
MAP(tanh)
MAP(sigmoid)
MAP(erf)

#define MAP2(name)                                                         \
    void vmath_##name(const real *a, const real *b, size_t n, real *ret) { \
        kernels_get()->name##_f32(a, b, n, ret);                           \
    }
MAP2(add)
MAP2(sub)
MAP2(mul)
MAP2(div)

void vmath_add_scalar(const real *x, real s, size_t n, real *ret) {
    kernels_get()->add_scalar_f32(x, s, n, ret);
}

void vmath_mul_scalar(const real *x, real s, size_t n, real *ret) {
    kernels_get()->mul_scalar_f32(x, s, n, ret);
}

void vmath_axpy(real s, const real *x, size_t n, real *y) {
    kernels_get()->axpy_f32(s, x, n, y);
}

void vmath_muladd(const real *a, const real *b, size_t n, real *y) {
    kernels_get()->muladd_f32(a, b, n, y);
}

double vmath_sum(const real *x, size_t n) {
    return kernels_get()->sum_f32(x, n);
}

double vmath_dot(const real *x, const real *y, size_t n) {
    return kernels_get()->dot_f32(x, y, n);
}

double vmath_sum_squares(const real *x, double mean, size_t n) {
    return kernels_get()->sum_squares_f32(x, mean, n);
}

real vmath_max(const real *x, size_t n) {
    return kernels_get()->max_f32(x, n);
}

double vmath_exp_sum(const real *x, real shift, size_t n, real *ret) {
    return kernels_get()->exp_sum_f32(x, shift, n, ret);
}

#endif

/* Two comparisons that compilers make minima and maxima of. */
void vmath_clamp(const real *x, struct clamp clamp, size_t n, real *ret) {
    const real low = clamp.low, high = clamp.high;
    for (size_t i = 0; i < n; i++) {
        real v = x[i] < low ? low : x[i];
        ret[i] = v > high ? high : v;
    }
}
