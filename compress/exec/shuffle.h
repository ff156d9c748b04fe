/*
 * A permutation of 0 .. n-1 that is a formula, not a table: the place of one sample costs no
 * memory, needs no state, and is the same on every machine for ever.
 *
 * Swap-or-not (Hoang, Morris, Rogaway 2012, "An Enciphering Scheme Based on a Card Shuffle"): in
 * each of SHUFFLE_ROUNDS rounds a key K pairs x with (K - x) mod n, and one bit that depends on the
 * pair alone says whether the two change places. With
 *
 *   mix(z)      z += 0x9e3779b97f4a7c15; z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
 *               z = (z ^ z >> 27) * 0x94d049bb133111eb; return z ^ z >> 31     (SplitMix64)
 *   key(s, t)   mix(mix(s) ^ t)
 *   round r     k = mix(key ^ mix(r)); K = k mod n; p = (K - x) mod n; m = max(x, p);
 *               x becomes p when the lowest bit of mix(k ^ mix(m)) is 1
 *
 * all in 64 bits, wrapping around, r = 0, 1, ..., SHUFFLE_ROUNDS - 1.
 *
 * Threads: any. The numbers of tests/unit/test_shuffle.c are part of the definition.
 */
#ifndef COMPRESS_EXEC_SHUFFLE_H
#define COMPRESS_EXEC_SHUFFLE_H

#include <stdint.h>

/* The paper proves about 6 log2(n) rounds good against somebody who chooses samples to tell the
 * order; here 64 leave no trace in the tests. */
#define SHUFFLE_ROUNDS 64

/* A key for stream `stream` (an epoch, a split) of a seed. */
uint64_t shuffle_key(uint64_t seed, uint64_t stream);
/* Which of n stands at place x < n. */
uint64_t shuffle_at(uint64_t key, uint64_t n, uint64_t x);

#endif
