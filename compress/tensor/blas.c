/* Set-up and self-check of OpenBLAS. See blas.h. */
#include "compress/tensor/blas.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Not multiples of any register block, and k longer than one. */
enum { M = 37, N = 29, K = 83 };

struct trial {
    float a[M * K], b[K * N], c[M * N];
};

/* Multiples of `step` from -255 to 255, from a linear congruence (Numerical Recipes' constants).
 * Sums of K products of two such integers stay below 5.4 million, hence exact in f32. */
static void fill(float *x, int count, uint32_t *seed, float step) {
    for (int i = 0; i < count; i++) {
        *seed = *seed * 1664525 + 1013904223;
        x[i] = (*seed >> 16 & 1 ? -step : step) * (float)(*seed >> 24);
    }
}

static float at(const float *x, int rows, int cols, int row, int col, bool transposed) {
    return transposed ? x[col * rows + row] : x[row * cols + col];
}

/* Largest |c - product| over its bound. exact: any difference at all counts as infinite. */
static double deviation(const struct trial *t, bool a_transposed, bool b_transposed, bool exact) {
    double worst = 0;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0, size = 0;
            for (int k = 0; k < K; k++) {
                double p =
                    (double)at(t->a, M, K, i, k, a_transposed) * at(t->b, K, N, k, j, b_transposed);
                sum += p;
                size += fabs(p);
            }
            double off = fabs(t->c[i * N + j] - sum);
            double part = exact ? (off == 0 ? 0 : INFINITY) : off / (K * FLT_EPSILON * size);
            worst = part <= worst ? worst : part; /* a NaN is the worst */
        }
    return worst;
}

static double check(void) {
    struct trial t;
    uint32_t seed = 1;
    double worst = 0;
    for (int variant = 0; variant < 8; variant++) {
        bool ta = variant & 1, tb = variant & 2, exact = variant & 4;
        fill(t.a, M * K, &seed, exact ? 1 : 0.013f);
        fill(t.b, K * N, &seed, exact ? 1 : 0.0007f);
        for (int i = 0; i < M * N; i++)
            t.c[i] = NAN; /* beta = 0 must not read it */
        cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                    M, N, K, 1, t.a, ta ? M : K, t.b, tb ? K : N, 0, t.c, N);
        double part = deviation(&t, ta, tb, exact);
        worst = part <= worst ? worst : part;
    }
    return worst;
}

static struct blas_facts facts;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void) {
    static const char *const kinds[] = {"sequential", "pthreads", "OpenMP"};
    openblas_set_num_threads(1);
    int kind = openblas_get_parallel();
    facts.threads = (unsigned)openblas_get_num_threads();
    facts.worst = check();
    facts.sound = facts.worst <= 1;
    snprintf(facts.text, sizeof facts.text, "%s, %s, %u thread%s", openblas_get_config(),
             kinds[kind >= 0 && kind < 3 ? kind : 0], facts.threads, facts.threads == 1 ? "" : "s");
}

const struct blas_facts *blas_facts(void) {
    pthread_once(&once, init);
    return &facts;
}
