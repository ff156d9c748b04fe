/*
 * One struct of function pointers: filled with the portable reference first, then overwritten
 * upward by what the CPU can do and the override mask allows.
 *
 * Names: <op>_<types>_<isa>, for example absmax_f32_avx2, encode_q4_0_avx512. The reference file of
 * an operation is its specification; every other variant returns the same bits (lanes are
 * independent blocks or a fixed reduction tree of 16 partial sums, no fused multiply-add, no
 * approximate reciprocals, no flush to zero, canonical NaN). Pointers need no alignment; counts may
 * be odd; nothing beyond the count is touched. tests/kernels compares all variants against the
 * reference.
 *
 * Rows of the struct are listed in KERNELS so that the test, the benchmark and the version page can
 * walk them. Threads: kernels_init() once before any other thread starts; then read-only.
 */
#ifndef COMPRESS_KERNELS_KERNELS_H
#define COMPRESS_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

struct kernels;

/* Fills the table for this CPU. COMPRESSD_CPU in the environment ("reference", "avx2", "avx512",
 * "neon") caps the instruction set; used by tests and for provenance. */
void kernels_init(void);
const struct kernels *kernels_get(void); /* kernels_init() is implied on first use */
const char *kernels_isa(void);           /* name of the highest set in use: "avx2" */

#endif
