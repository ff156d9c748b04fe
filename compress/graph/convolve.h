/*
 * Convolution and its two gradients, for the rows that are one of the three (Conv; ConvTranspose is
 * the gradient of a convolution in its input).
 *
 *   x [batch, groups * in_channels, in0, in1, in2]
 *   w [groups * out_channels, in_channels, kernel0, kernel1, kernel2]
 *   y [batch, groups * out_channels, out0, out1, out2]
 *   y[n, m, o] = sum over c, k of w[m, c, k] * x[n, c, o * stride + k * dilation - pad]
 *
 * Fewer than three spatial axes are the last of the three; the others are 1.
 *
 * Threads: any. Expected failures: ERR_TOO_LARGE, ERR_CANCELLED.
 */
#ifndef COMPRESS_GRAPH_CONVOLVE_H
#define COMPRESS_GRAPH_CONVOLVE_H

#include "compress/base/err.h"
#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/tensor/vmath.h"

#include <stddef.h>
#include <stdint.h>

struct convolve {
    size_t batch, groups, in_channels, out_channels; /* channels of one group */
    size_t in[3], out[3], kernel[3], stride[3], dilation[3], pad[3];
};

enum convolve_pass {
    CONVOLVE_Y, /* y from x, w */
    CONVOLVE_X, /* gradient of x from dy, w */
    CONVOLVE_W, /* gradient of w from dy, x */
};

/* Bytes; scratch is 64-byte aligned and shared by the whole team. */
uint64_t convolve_scratch(const struct convolve *c, enum convolve_pass pass, unsigned threads);

struct convolve_run {
    void *scratch;
    struct team *team;
    const struct progress *progress;
    const struct clamp *clamp; /* put on y by convolve_y() without `add`; NULL: none */
};

/* y = the convolution plus bias[m] (NULL: none), or y += the convolution (`add`; bias unused). */
int convolve_y(const struct convolve *c, const real *x, const real *w, const real *bias, bool add,
               real *y, const struct convolve_run *run, struct err *err);
/* dx += the gradient. */
int convolve_x(const struct convolve *c, const real *dy, const real *w, real *dx,
               const struct convolve_run *run, struct err *err);
/* dw += the gradient. */
int convolve_w(const struct convolve *c, const real *dy, const real *x, real *dw,
               const struct convolve_run *run, struct err *err);
/* db[m] += sum of dy over batch and positions. channels = groups * out_channels. */
int convolve_bias(size_t batch, size_t channels, size_t positions, const real *dy, real *db,
                  const struct convolve_run *run, struct err *err);

uint64_t convolve_macs(const struct convolve *c);

#endif
