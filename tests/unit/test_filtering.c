/* The transforms of minimal filtering against the correlation that they stand for; the kernels
 * behind them are compared in tests/kernels. */
#include "compress/tensor/filtering.h"

#include "tests/support/check.h"

#include <string.h>

enum { MOST = 37 }; /* tiles: some blocks of every width and a rest */

static real d[FILTERING_PLANES][MOST], v[FILTERING_PLANES][MOST], p[FILTERING_PLANES][MOST],
    y[FILTERING_OUTPUTS][MOST];

static double tap(size_t i, size_t k, size_t tile) {
    return (double)(i * 3 + k * 5 + tile * 7) / 4 - (double)(tile % 5);
}

/* Small fractions, so that nothing is rounded but what the transforms round. */
static void check_tiles(size_t n) {
    real w[MOST][FILTERING_KERNEL], u[FILTERING_PLANES][MOST];
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < FILTERING_PLANES; i++)
            d[i][t] = (real)((double)(i * i % 17 + t % 3) / 8 - 1);
        for (size_t i = 0; i < FILTERING_KERNEL; i++)
            w[t][i] = (real)(tap(i / 3, i % 3, t) / 64);
    }
    memset(y, 0x55, sizeof y);
    filtering_in(&d[0][0], MOST, n, &v[0][0], MOST);
    filtering_weight(&w[0][0], n, &u[0][0], MOST);
    for (size_t i = 0; i < FILTERING_PLANES; i++)
        for (size_t t = 0; t < n; t++)
            p[i][t] = u[i][t] * v[i][t];
    filtering_out(&p[0][0], MOST, n, &y[0][0], MOST);
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < FILTERING_TILE; i++)
            for (size_t j = 0; j < FILTERING_TILE; j++) {
                double sum = 0;
                for (size_t k = 0; k < FILTERING_KERNEL; k++)
                    sum += (double)w[t][k] * d[(i + k / 3) * FILTERING_SPAN + j + k % 3][t];
                CHECK_NUM(y[i * FILTERING_TILE + j][t], sum, 2e-5);
            }
}

static void correlates(void **state) {
    static const size_t counts[] = {1, 3, 4, 7, 8, 15, 16, 17, 32, MOST};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_tiles(counts[i]);
}

/* Two tiles of a row under padding, and six outputs of two tiles. */
static void deals_and_collects(void **state) {
    const real row[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const double want[6][2] = {{0, 4}, {1, 5}, {2, 6}, {3, 7}, {4, 8}, {5, 0}};
    real planes[6][3], back[6];
    filtering_deal(row, 0, 1, 1, 8, 2, &planes[0][0], 3);
    for (size_t j = 0; j < 6; j++)
        for (size_t t = 0; t < 2; t++)
            CHECK_NUM(planes[j][t], want[j][t], 0);
    filtering_collect(&planes[0][0], 3, 1, 6, 10, back, 0);
    for (size_t i = 0; i < 6; i++)
        CHECK_NUM(back[i], 10 + (double)i, 0);
}

static void takes_no_tiles(void **state) {
    real x = 1, ret = 2;
    filtering_in(&x, 0, 0, &ret, 0);
    CHECK_NUM(ret, 2, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correlates),
        cmocka_unit_test(deals_and_collects),
        cmocka_unit_test(takes_no_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
