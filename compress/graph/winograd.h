/*
 * Convolutions of 3x3 taps and stride 1 by minimal filtering, a quarter of the products of the
 * direct way: convolve.h sends here those that it pays for. tensor/filtering.h has the transforms
 * and their source; what is lost is a digit (some 2e-6 of the largest output in f32).
 *
 * Which way a convolution goes depends on its shape alone, so results do not depend on the number
 * of threads. Threads: any.
 * Expected failures: ERR_TOO_LARGE, ERR_CANCELLED.
 */
#ifndef COMPRESS_GRAPH_WINOGRAD_H
#define COMPRESS_GRAPH_WINOGRAD_H

#include "compress/graph/convolve.h"

/* Is it of 3x3 taps, stride 1, at most 2 of padding, not empty? Others cannot be run here. */
bool winograd_fits(const struct convolve *c);
/* Is it quicker than the direct way? */
bool winograd_pays(const struct convolve *c);
/* Bytes of scratch. */
uint64_t winograd_scratch(const struct convolve *c, unsigned threads);
/* As convolve_y(). */
int winograd_y(const struct convolve *c, const real *x, const real *w, const real *bias, bool add,
               real *y, const struct convolve_run *run, struct err *err);

#endif
