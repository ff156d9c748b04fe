/*
 * Resampling along one axis: y[o] = sum over taps of weight[o][t] * x[index[o][t]], as a table.
 *
 * All modes of ONNX Resize are separable, so that any number of axes is as many passes. A position
 * o of the output stands at x(o) of the input (the coordinate transformation); its taps are the
 * neighbours below and above, weighted by a kernel of their distance: nearest 1 tap, linear 2 (a
 * triangle), cubic 4 (Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing").
 * With antialiasing a kernel that shrinks is stretched by 1 / scale. Neighbours outside are the
 * edge, or left out and the others weighted up.
 *
 * Source: the ONNX specification, operator Resize (versions 10 to 19).
 *
 * Owns: nothing; a table lives in memory of the caller's. Threads: any. Passes are cut into fixed
 * tiles, so results do not depend on the team.
 */
#ifndef COMPRESS_GRAPH_RESAMPLE_H
#define COMPRESS_GRAPH_RESAMPLE_H

#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/tensor/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum resample_mode { RESAMPLE_NEAREST, RESAMPLE_LINEAR, RESAMPLE_CUBIC };

enum resample_coordinates {
    RESAMPLE_HALF_PIXEL,
    RESAMPLE_HALF_PIXEL_SYMMETRIC,
    RESAMPLE_PYTORCH_HALF_PIXEL,
    RESAMPLE_ALIGN_CORNERS,
    RESAMPLE_ASYMMETRIC,
    RESAMPLE_TF_CROP,
};

enum resample_nearest {
    RESAMPLE_PREFER_FLOOR,
    RESAMPLE_PREFER_CEIL,
    RESAMPLE_FLOOR,
    RESAMPLE_CEIL,
    RESAMPLE_SIMPLE, /* before version 11: floor, and ceil where it shrinks */
};

struct resample {
    enum resample_mode mode;
    enum resample_coordinates coordinates;
    enum resample_nearest nearest;
    bool antialias, exclude_outside;
    double cubic_a;
};

struct resample_axis {
    uint64_t in, out; /* elements */
    double scale;     /* about out / in */
    double roi[2];    /* TF_CROP: the part of the input, in units of it */
    unsigned taps;
    int64_t *index;   /* [out][taps] */
    real *weight;     /* [out][taps] */
    uint8_t *outside; /* [out]: TF_CROP only, not within the input at all */
    bool some_outside;
};

/* Bytes of a table, from sizes alone; a multiple of 64. in, out > 0. */
uint64_t resample_bytes(const struct resample *how, uint64_t in, uint64_t out);
/* Fills in the table: in, out, scale and roi are given, memory has resample_bytes(). False when the
 * scale is far from out / in, so that the taps do not fit. */
bool resample_table(const struct resample *how, void *memory, struct resample_axis *axis);

/* from [outer, in, inner] → to [outer, out, inner]; the first tap alone, item by item, when
 * item_bytes is not 0 (nearest: any type). */
int resample_pass(const struct resample_axis *axis, uint64_t outer, uint64_t inner,
                  const void *from, void *to, unsigned item_bytes, struct team *team,
                  const struct progress *progress, struct err *err);
/* dx [outer, in, inner] += what dy [outer, out, inner] weighs. */
int resample_back(const struct resample_axis *axis, uint64_t outer, uint64_t inner, const real *dy,
                  real *dx, struct team *team, const struct progress *progress, struct err *err);

#endif
