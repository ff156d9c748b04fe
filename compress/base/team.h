/*
 * The thread team: a fixed set of threads that runs loops of independent tiles, shared fairly by
 * all running jobs.
 *
 * team_run() splits [0, count) into single indices, lets the team and the calling thread take them,
 * and returns when all are done. Results must not depend on who takes which index: a tile writes
 * only its own output, sums are kept per tile and added in index order by the caller. Several
 * threads may call team_run() at once; the team serves their loops round robin, one index at a
 * time, so a small job is not stuck behind a large one. A team of 1 runs everything in the caller.
 * Threads run at nice +10 when asked, so that a server's front end stays quick.
 *
 * Owns: its threads. Threads: team_run() from any; new/free from one.
 */
#ifndef COMPRESS_BASE_TEAM_H
#define COMPRESS_BASE_TEAM_H

#include <stddef.h>

struct team;

/* `threads` counts the caller too: threads-1 are started; 0 means one per online core. NULL on
 * failure.
 */
struct team *team_new(unsigned threads, int nice_by);
void team_free(struct team *team);
unsigned team_threads(const struct team *team); /* NULL team: 1 */

/* fn(ctx, index, worker) for every index; worker is in [0, team_threads()) and names scratch that
 * no other running call of this loop uses at the same time. A non-zero return stops handing out
 * higher indices: all lower ones are run, and what the lowest one that failed has returned is
 * returned (0 otherwise). */
int team_run(struct team *team, size_t count, int (*fn)(void *ctx, size_t index, unsigned worker),
             void *ctx);

#endif
