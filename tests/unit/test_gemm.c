/* Products against a plain loop in double: every combination of transposes, sizes around the tiles,
 * batches; the same bits whatever the team; refusals. */
#include "compress/tensor/gemm.h"

#include "tests/support/check.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAD = 3 }; /* columns of C that belong to somebody else */

struct problem {
    size_t m, n, k, batches;
    bool a_transposed, b_transposed, a_shared, b_shared;
    real alpha, beta;
};

static struct gemm make(const struct problem *p) {
    struct gemm g = {.a_transposed = p->a_transposed,
                     .b_transposed = p->b_transposed,
                     .m = p->m,
                     .n = p->n,
                     .k = p->k,
                     .alpha = p->alpha,
                     .beta = p->beta,
                     .lda = (p->a_transposed ? p->m : p->k) + 1,
                     .ldb = (p->b_transposed ? p->k : p->n) + 2,
                     .ldc = p->n + PAD,
                     .batches = p->batches};
    size_t count = p->batches ? p->batches : 1;
    size_t a_len = (p->a_transposed ? p->k : p->m) * g.lda;
    size_t b_len = (p->b_transposed ? p->n : p->k) * g.ldb;
    g.a_step = p->a_shared ? 0 : a_len;
    g.b_step = p->b_shared ? 0 : b_len;
    g.c_step = p->m * g.ldc;
    real *a = calloc(a_len * count + 1, sizeof *a), *b = calloc(b_len * count + 1, sizeof *b);
    g.c = calloc(g.c_step * count + 1, sizeof *g.c);
    uint32_t seed = 7;
    for (size_t i = 0; i < a_len * count; i++)
        a[i] = (real)((seed = seed * 1664525 + 1013904223) >> 20) / 2048 - 1;
    for (size_t i = 0; i < b_len * count; i++)
        b[i] = (real)((seed = seed * 1664525 + 1013904223) >> 20) / 2048 - 1;
    for (size_t i = 0; i < g.c_step * count; i++)
        g.c[i] = p->beta == 0 ? (real)NAN : (real)(i % 13) - 6;
    g.a = a;
    g.b = b;
    return g;
}

static void drop(struct gemm *g) {
    free((void *)(uintptr_t)g->a);
    free((void *)(uintptr_t)g->b);
    free(g->c);
}

static void check(const struct problem *p) {
    struct gemm g = make(p);
    size_t count = p->batches ? p->batches : 1, len = g.c_step * count;
    real *before = malloc((len + 1) * sizeof *before), *first = malloc((len + 1) * sizeof *first);
    memcpy(before, g.c, len * sizeof *before);
    struct err err = ERR_INIT;
    for (unsigned threads = 0; threads <= 3; threads++) {
        struct team *team = threads ? team_new(threads, 0) : NULL;
        memcpy(g.c, before, len * sizeof *before);
        CHECK_OK(gemm_run(&g, team, NULL, &err), &err);
        team_free(team);
        if (threads == 0)
            memcpy(first, g.c, len * sizeof *first);
        else
            CHECK(memcmp(first, g.c, len * sizeof *first) == 0);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t row = 0; row < p->m; row++)
            for (size_t col = 0; col < g.ldc; col++) {
                size_t at = i * g.c_step + row * g.ldc + col;
                if (col >= p->n) {
                    CHECK(g.c[at] == before[at] || (isnan(g.c[at]) && isnan(before[at])));
                    continue;
                }
                double sum = 0, size = 0;
                const real *a = g.a + i * g.a_step, *b = g.b + i * g.b_step;
                for (size_t k = 0; k < p->k; k++) {
                    double x = (double)a[p->a_transposed ? k * g.lda + row : row * g.lda + k] *
                               b[p->b_transposed ? col * g.ldb + k : k * g.ldb + col];
                    sum += x;
                    size += fabs(x);
                }
                double old = p->beta == 0 ? 0 : (double)p->beta * before[at];
                double bound = ((double)p->k + 4) * (double)REAL_EPSILON *
                               (fabs((double)p->alpha) * size + fabs(old));
                CHECK_NUM(g.c[at], p->alpha * sum + old, bound);
            }
    free(before);
    free(first);
    drop(&g);
}

static void multiplies(void **state) {
    static const size_t sizes[][3] = {
        {1, 1, 1},      {1, 7, 5},    {7, 1, 5},      {3, 4, 0},     {2, 3, 1},     {17, 33, 9},
        {193, 130, 20}, {400, 70, 3}, {30, 1200, 65}, {1, 5000, 40}, {3000, 1, 64}, {200, 513, 128},
    };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int variant = 0; variant < 8; variant++)
            check(&(struct problem){.m = sizes[s][0],
                                    .n = sizes[s][1],
                                    .k = sizes[s][2],
                                    .a_transposed = variant & 1,
                                    .b_transposed = variant & 2,
                                    .alpha = variant & 4 ? (real)-0.5 : 1,
                                    .beta = variant & 4 ? (real)1.5 : 0});
}

static void multiplies_batches(void **state) {
    for (int variant = 0; variant < 4; variant++) {
        struct problem p = {.m = 9,
                            .n = 11,
                            .k = 6,
                            .batches = 5,
                            .a_shared = variant & 1,
                            .b_shared = variant & 2,
                            .alpha = 1,
                            .beta = 1};
        check(&p);
        p.batches = 9000; /* several a tile, and several tiles */
        check(&p);
        p = (struct problem){.m = 200,
                             .n = 260,
                             .k = 90,
                             .batches = 3,
                             .alpha = 1,
                             .a_shared = variant & 1,
                             .b_transposed = variant & 2};
        check(&p);
    }
}

static void leaves_empty_products_alone(void **state) {
    struct err err = ERR_INIT;
    struct gemm g = {.m = 0, .n = 4, .k = 3, .alpha = 1, .lda = 3, .ldb = 4, .ldc = 4};
    CHECK_OK(gemm_run(&g, NULL, NULL, &err), &err);
    g.m = 4;
    g.n = 0;
    CHECK_OK(gemm_run(&g, NULL, NULL, &err), &err);
}

static void refuses_more_than_32_bits(void **state) {
    struct err err = ERR_INIT;
    size_t big = (size_t)INT_MAX + 1;
    CHECK_FAILS(gemm_run(&(struct gemm){.m = 1, .n = 1, .k = big, .lda = 1, .ldb = 1, .ldc = 1},
                         NULL, NULL, &err),
                &err, ERR_TOO_LARGE);
    CHECK_FAILS(gemm_run(&(struct gemm){.m = 1, .n = 1, .k = 1, .lda = big, .ldb = 1, .ldc = 1},
                         NULL, NULL, &err),
                &err, ERR_TOO_LARGE);
    CHECK_FAILS(gemm_run(&(struct gemm){.m = 1, .n = 1, .k = 1, .lda = 1, .ldb = big, .ldc = 1},
                         NULL, NULL, &err),
                &err, ERR_TOO_LARGE);
    CHECK_FAILS(gemm_run(&(struct gemm){.m = 1, .n = 1, .k = 1, .lda = 1, .ldb = 1, .ldc = big},
                         NULL, NULL, &err),
                &err, ERR_TOO_LARGE);
}

static bool yes(void *self) {
    return true;
}

static void can_be_cancelled(void **state) {
    struct err err = ERR_INIT;
    struct problem p = {.m = 300, .n = 300, .k = 8, .alpha = 1, .beta = 1};
    struct gemm g = make(&p);
    real before = g.c[0];
    CHECK_FAILS(gemm_run(&g, NULL, &(struct progress){.is_cancelled = yes}, &err), &err,
                ERR_CANCELLED);
    CHECK(g.c[0] == before);
    drop(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiplies),
        cmocka_unit_test(multiplies_batches),
        cmocka_unit_test(leaves_empty_products_alone),
        cmocka_unit_test(refuses_more_than_32_bits),
        cmocka_unit_test(can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
