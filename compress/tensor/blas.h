/*
 * The only caller of OpenBLAS: sets it up once, says what it is, and checks that it multiplies.
 *
 * OpenBLAS's thread count is global and its own threads would fight with the team's, so it is set
 * to one; a large product is cut into tiles by the caller. Its bits differ between processor types,
 * so what depends on it (calibration, training) names it in the report.
 *
 * The check multiplies small matrices of odd sizes, plain and transposed. Integers whose sums stay
 * below 2^24 must come out exactly, in whatever order they are added; other numbers within the
 * bound k eps sum |a||b| (Higham, Accuracy and Stability of Numerical Algorithms, 3.5) of a product
 * in double precision.
 *
 * After the first call a process may exec but not fork on: OpenBLAS's threads do not survive it.
 * Threads: any; the first call does the work.
 */
#ifndef COMPRESS_TENSOR_BLAS_H
#define COMPRESS_TENSOR_BLAS_H

#include <stdbool.h>

struct blas_facts {
    char text[192];   /* "OpenBLAS 0.3.21 ... Haswell MAX_THREADS=64, pthreads, 1 thread" */
    bool sound;       /* the check passed */
    double worst;     /* largest deviation found, as a fraction of the bound; infinite for a wrong
                         integer */
    unsigned threads; /* as OpenBLAS says after being told 1 */
};

const struct blas_facts *blas_facts(void);

#endif
