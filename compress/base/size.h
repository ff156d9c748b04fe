/*
 * Arithmetic of cutting: the smaller, the larger, and how many pieces a length is.
 *
 * Threads: any. Nothing fails.
 */
#ifndef COMPRESS_BASE_SIZE_H
#define COMPRESS_BASE_SIZE_H

#include <assert.h>
#include <stddef.h>

static inline size_t size_min(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Of `piece` each, the last one shorter. */
static inline size_t size_pieces(size_t len, size_t piece) {
    assert(piece > 0);
    return len / piece + (len % piece != 0);
}

#endif
