/*
 * Ranges of activations that an artifact needs and nobody knows before the model has run.
 *
 * A format that rewrites a graph for integers leaves this list on the model: the scale of a value
 * of the original graph, and for a bias its codes, whose scale is that of the input times that of
 * the weight. Every number has its place in memory already, so that the artifact's bytes can be
 * laid out first; calibration (compress/passes/calibrate.h) fills the places in.
 *
 * Memory: the model's arena.
 */
#ifndef COMPRESS_GRAPH_RANGES_H
#define COMPRESS_GRAPH_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range_wanted {
    const char *value; /* its name in the original graph */
    bool from_zero;    /* it is never negative: codes from the lowest on, else 127 to either side */
    int zero_point;    /* the code of 0 */
    float *scale;      /* to be filled in */
};

struct bias_wanted {
    uint32_t bias, weight; /* tensors of the model that is written */
    const float *input_scale;
    int32_t *codes; /* to be filled in, one an element of the bias; so is: */
    float *scales;
};

struct ranges {
    struct range_wanted *ranges;
    size_t range_count;
    struct bias_wanted *biases;
    size_t bias_count;
};

#endif
