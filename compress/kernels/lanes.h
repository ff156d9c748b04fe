/*
 * The reduction tree that all variants of a kernel share: 16 partial sums, halves folded onto each
 * other until one is left. Static inline, so that each instruction set compiles its own copy.
 */
#ifndef COMPRESS_KERNELS_LANES_H
#define COMPRESS_KERNELS_LANES_H

enum { LANES = 16 };

static inline double lanes_sum_f64(double v[LANES]) {
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
}

static inline double lanes_sum_f32(const float v[LANES]) {
    double wide[LANES];
    for (int i = 0; i < LANES; i++)
        wide[i] = v[i];
    return lanes_sum_f64(wide);
}

#endif
