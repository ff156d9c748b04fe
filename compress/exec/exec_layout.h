/*
 * Places in one block of memory for pieces that live at different times: the planning half of an
 * allocator.
 *
 * Two pieces whose lifetimes meet never overlap. Finding the smallest block is NP-hard (dynamic
 * storage allocation); greedy placement by size comes within a few percent for neural networks
 * (Pisarchyk & Lee 2020, "Efficient Memory Management for Deep Neural Net Inference"). Here several
 * orders are tried and the smallest result is kept; the answer depends on nothing but the pieces.
 *
 *   offset ^
 *          |  +--------+  +---------------+
 *          |  |   b    |  |       d       |
 *          |  +--------+--+------+--------+
 *          |  |      a           |
 *          |  +------------------+
 *          +----------------------------------> steps
 *
 * Owns: nothing. Threads: any. Expected failures: ERR_NO_MEMORY, ERR_TOO_LARGE (sizes that do not
 * add up in 63 bits).
 */
#ifndef COMPRESS_EXEC_EXEC_LAYOUT_H
#define COMPRESS_EXEC_EXEC_LAYOUT_H

#include "compress/base/err.h"

#include <stddef.h>
#include <stdint.h>

/* A cache line, and the widest vector. */
#define EXEC_LAYOUT_ALIGN 64

struct exec_piece {
    uint64_t bytes;
    size_t first, last; /* steps, both inclusive; first <= last */
    uint64_t offset;    /* found: a multiple of EXEC_LAYOUT_ALIGN */
};

/* ret_bytes: of the whole block. ret_live: the largest sum of (aligned) sizes that live at one
 * step, below which no layout can come. */
int exec_layout(struct exec_piece *pieces, size_t count, uint64_t *ret_bytes, uint64_t *ret_live,
                struct err *err);

#endif
