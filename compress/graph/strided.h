/*
 * One walk for everything that only moves numbers: a box of indices, and for every index a place to
 * read and a place to write, both linear in it.
 *
 *   to[to_start + sum i_d * to_d] = from[from_start + sum i_d * from_d]     0 <= i_d < dims_d
 *
 * A transpose permutes `from`, a slice starts somewhere and steps (also backwards), an expansion
 * has steps of 0, a concatenation writes into a part, and the gradient of any of them is the same
 * box with the two sides exchanged and = replaced by +=.
 *
 * Before it runs, a box is put into the order in which it writes, and axes that are one run on both
 * sides become one axis. Then rows are copied, or, where reading and writing run along different
 * axes, square blocks of those two.
 *
 * Starts and steps count items, not bytes. Moves must not write a place twice; sums may (steps of 0
 * in `to`). Threads: any; work is cut into fixed tiles, so results do not depend on the team.
 * Expected failures: ERR_CANCELLED, ERR_NO_MEMORY of loop_run().
 */
#ifndef COMPRESS_GRAPH_STRIDED_H
#define COMPRESS_GRAPH_STRIDED_H

#include "compress/base/limits.h"
#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/tensor/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tile and the reorderings of blocks give every axis of an array two axes of the walk. */
#define STRIDED_RANK (2 * LIMIT_RANK)

struct strided {
    unsigned rank;
    uint64_t dims[STRIDED_RANK];
    int64_t from[STRIDED_RANK], to[STRIDED_RANK];
    int64_t from_start, to_start;
};

/* Adds an axis; its order among the others is of no matter. */
void strided_axis(struct strided *s, uint64_t dim, int64_t from, int64_t to);
/* The same box the other way round. */
struct strided strided_reverse(const struct strided *s);
/* Steps of a row-major array of these dims: the last is 1. */
void strided_steps(unsigned rank, const uint64_t *dims, int64_t *ret);

/* item_bytes: 1, 2, 4, 8 or 16. The two memories must not overlap. */
int strided_move(const struct strided *s, const void *from, void *to, unsigned item_bytes,
                 struct team *team, const struct progress *progress, struct err *err);
/* to += from. Contributions to one place are added in the order of the reading axes as given. */
int strided_add(const struct strided *s, const real *from, real *to, struct team *team,
                const struct progress *progress, struct err *err);

/* `bytes` from one place to another on the team; the same memory: nothing to do. */
int strided_copy(const void *from, void *to, uint64_t bytes, struct team *team,
                 const struct progress *progress, struct err *err);
/* to[i] += from[i]. */
int strided_add_all(const real *from, real *to, uint64_t count, struct team *team,
                    const struct progress *progress, struct err *err);
/* Every item becomes the one at `item`. */
int strided_fill(void *to, uint64_t count, const void *item, unsigned item_bytes, struct team *team,
                 const struct progress *progress, struct err *err);

#endif
