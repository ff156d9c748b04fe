/*
 * The transforms of F(4x4, 3x3) on FILTERING_WIDTH tiles at once: one text for every width and for
 * both types of number. See tensor/filtering.h for what they compute and where it comes from.
 *
 * An including file defines FILTERING_WIDTH and FILTERING_TYPE (float, double) and gets each_in(),
 * each_weight() and each_out(). Every tile goes through the same
 * operations in the same order whatever the width, so all variants return the same bits.
 *
 * With a, b = 3/4, 3/2 (dyadic, as their powers are: exact):
 *
 *   in       d'0 = a2 b2 d0 - (a2 + b2) d2 + d4        weight   g'0 = g0 / (a2 b2)
 *            d'1,2 = (d4 - b2 d2) +- a (d3 - b2 d1)             g'1,2 = (g0 + a2 g2 +- a g1) / fa
 *            d'3,4 = (d4 - a2 d2) +- b (d3 - a2 d1)             g'3,4 = (g0 + b2 g2 +- b g1) / fb
 *            d'5 = a2 b2 d1 - (a2 + b2) d3 + d5                 g'5 = g2
 *
 *   out      y0 = m0 + (m1 + m2) + (m3 + m4)      y1 = a (m1 - m2) + b (m3 - m4)
 *            y2 = a2 (m1 + m2) + b2 (m3 + m4)     y3 = a3 (m1 - m2) + b3 (m3 - m4) + m5
 *
 *   fa = 2 a2 (a2 - b2) = -243/128, fb = 2 b2 (b2 - a2) = 243/32
 */
#ifndef COMPRESS_KERNELS_FILTERING_LANE_H
#define COMPRESS_KERNELS_FILTERING_LANE_H

#include <stddef.h>
#include <string.h>

/* filtering_lane.h alone (the header test) is the reference. */
#ifndef FILTERING_WIDTH
#define FILTERING_WIDTH 1
#endif
#ifndef FILTERING_TYPE
#define FILTERING_TYPE float
#endif

typedef FILTERING_TYPE ft;
#if FILTERING_WIDTH == 1
typedef ft fv;
#else
typedef ft fv __attribute__((vector_size(FILTERING_WIDTH * sizeof(ft))));
#endif

enum { LINE_IN = 6, LINE_OUT = 4, LINE_TAPS = 3 };

#define FILTERING_INLINE static inline __attribute__((always_inline))

static const ft fa1 = (ft)0.75, fa2 = (ft)0.5625, fa3 = (ft)0.421875;
static const ft fb1 = (ft)1.5, fb2 = (ft)2.25, fb3 = (ft)3.375;
static const ft fproduct = (ft)1.265625, fsum = (ft)2.8125; /* a2 b2, a2 + b2 */
static const ft fweight0 = (ft)(64.0 / 81), fweight_a = (ft)(-128.0 / 243),
                fweight_b = (ft)(32.0 / 243);

FILTERING_INLINE fv filtering_load(const ft *x) {
    fv v;
    memcpy(&v, x, sizeof v);
    return v;
}

FILTERING_INLINE void filtering_store(ft *x, fv v) {
    memcpy(x, &v, sizeof v);
}

/* Along one axis. */

FILTERING_INLINE void line_in(const fv d[LINE_IN], fv ret[LINE_IN]) {
    fv even_a = d[4] - d[2] * fb2, odd_a = (d[3] - d[1] * fb2) * fa1;
    fv even_b = d[4] - d[2] * fa2, odd_b = (d[3] - d[1] * fa2) * fb1;
    ret[0] = d[0] * fproduct - d[2] * fsum + d[4];
    ret[1] = even_a + odd_a;
    ret[2] = even_a - odd_a;
    ret[3] = even_b + odd_b;
    ret[4] = even_b - odd_b;
    ret[5] = d[1] * fproduct - d[3] * fsum + d[5];
}

FILTERING_INLINE void line_weight(const fv g[LINE_TAPS], fv ret[LINE_IN]) {
    fv even_a = g[0] + g[2] * fa2, odd_a = g[1] * fa1;
    fv even_b = g[0] + g[2] * fb2, odd_b = g[1] * fb1;
    ret[0] = g[0] * fweight0;
    ret[1] = (even_a + odd_a) * fweight_a;
    ret[2] = (even_a - odd_a) * fweight_a;
    ret[3] = (even_b + odd_b) * fweight_b;
    ret[4] = (even_b - odd_b) * fweight_b;
    ret[5] = g[2];
}

FILTERING_INLINE void line_out(const fv m[LINE_IN], fv ret[LINE_OUT]) {
    fv even_a = m[1] + m[2], odd_a = m[1] - m[2];
    fv even_b = m[3] + m[4], odd_b = m[3] - m[4];
    ret[0] = m[0] + even_a + even_b;
    ret[1] = odd_a * fa1 + odd_b * fb1;
    ret[2] = even_a * fa2 + even_b * fb2;
    ret[3] = odd_a * fa3 + odd_b * fb3 + m[5];
}

/* FROM x FROM numbers of FILTERING_WIDTH tiles to TO x TO: down the columns, then along the rows.
 * Planes are x_step and step apart. */
#define FILTERING_BLOCK(name, line, FROM, TO)                                      \
    FILTERING_INLINE void name(const ft *x, size_t x_step, ft *ret, size_t step) { \
        fv half[TO][FROM];                                                         \
        for (size_t j = 0; j < (FROM); j++) {                                      \
            fv column[FROM], to[TO];                                               \
            for (size_t i = 0; i < (FROM); i++)                                    \
                column[i] = filtering_load(x + (i * (FROM) + j) * x_step);         \
            line(column, to);                                                      \
            for (size_t i = 0; i < (TO); i++)                                      \
                half[i][j] = to[i];                                                \
        }                                                                          \
        for (size_t i = 0; i < (TO); i++) {                                        \
            fv to[TO];                                                             \
            line(half[i], to);                                                     \
            for (size_t j = 0; j < (TO); j++)                                      \
                filtering_store(ret + (i * (TO) + j) * step, to[j]);               \
        }                                                                          \
    }

/* The last block overlaps the one before it; fewer tiles than a block has go through a copy. */
#define FILTERING_EACH(name, block, FROM, TO)                                      \
    static void name(const ft *x, size_t x_step, size_t n, ft *ret, size_t step) { \
        enum { W = FILTERING_WIDTH };                                              \
        if (n == 0)                                                                \
            return;                                                                \
        if (n < W) {                                                               \
            ft from[(FROM) * (FROM)*W] = {0}, to[(TO) * (TO)*W];                   \
            for (size_t i = 0; i < (size_t)(FROM) * (FROM); i++)                   \
                memcpy(from + i * W, x + i * x_step, n * sizeof *x);               \
            block(from, W, to, W);                                                 \
            for (size_t i = 0; i < (size_t)(TO) * (TO); i++)                       \
                memcpy(ret + i * step, to + i * W, n * sizeof *x);                 \
            return;                                                                \
        }                                                                          \
        for (size_t i = 0; i < n; i += W) {                                        \
            size_t at = i + W <= n ? i : n - W;                                    \
            block(x + at, x_step, ret + at, step);                                 \
        }                                                                          \
    }

FILTERING_BLOCK(block_in, line_in, LINE_IN, LINE_IN)
FILTERING_BLOCK(block_out, line_out, LINE_IN, LINE_OUT)
FILTERING_EACH(each_in, block_in, LINE_IN, LINE_IN)
FILTERING_EACH(each_out, block_out, LINE_IN, LINE_OUT)
FILTERING_BLOCK(block_weight, line_weight, LINE_TAPS, LINE_IN)

/* The nine taps of a kernel lie together. */
static void each_weight(const ft *w, size_t n, ft *ret, size_t step) {
    enum { W = FILTERING_WIDTH, TAPS = LINE_TAPS * LINE_TAPS };
    for (size_t i = 0; i < n; i += W) {
        size_t at = i + W <= n || n < W ? i : n - W, count = n < W ? n : W;
        ft from[TAPS * W] = {0}, to[LINE_IN * LINE_IN * W];
        for (size_t k = 0; k < count; k++)
            for (size_t t = 0; t < TAPS; t++)
                from[t * W + k] = w[(at + k) * TAPS + t];
        if (count == W) {
            block_weight(from, W, ret + at, step);
            continue;
        }
        block_weight(from, W, to, W);
        for (size_t p = 0; p < (size_t)LINE_IN * LINE_IN; p++)
            memcpy(ret + p * step + at, to + p * W, count * sizeof *to);
    }
}

#endif
