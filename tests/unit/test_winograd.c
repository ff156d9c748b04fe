/* Convolutions by minimal filtering against the direct way in double: odd sizes, pads that differ,
 * groups, several images, more than one block; the same bits by any team; and when it
 * is not worth it. */
#include "compress/graph/winograd.h"

#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ONE \
    { 1, 1, 1 }
#define SQUARE \
    { 1, 3, 3 }

static const struct convolve cases[] = {
    {1, 1, 17, 19, {1, 31, 29}, {1, 31, 29}, SQUARE, ONE, ONE, {0, 1, 1}},
    {1, 1, 16, 16, {1, 18, 35}, {1, 16, 33}, SQUARE, ONE, ONE, {0, 0, 0}},
    {2, 3, 16, 18, {1, 13, 15}, {1, 14, 15}, SQUARE, ONE, ONE, {0, 2, 0}}, /* ends unlike begins */
    {9, 1, 32, 24, {1, 5, 7}, {1, 7, 7}, SQUARE, ONE, ONE, {0, 2, 1}},
    {1, 1, 256, 130, {1, 24, 24}, {1, 24, 24}, SQUARE, ONE, ONE, {0, 1, 1}},
    {1, 1, 80, 80, {1, 4, 257}, {1, 2, 255}, SQUARE, ONE, ONE, {0, 0, 0}},
};

enum { CASES = sizeof cases / sizeof *cases };

static real *numbers(size_t n, uint32_t seed) {
    real *x = malloc((n + 1) * sizeof *x);
    CHECK(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (real)((seed = seed * 1664525 + 1013904223) >> 8) / (1 << 23) - 1;
    return x;
}

struct data {
    size_t xs, ws, bs, ys;
    real *x, *w, *b;
};

static struct data make(const struct convolve *c) {
    struct data d = {.bs = c->groups * c->out_channels};
    d.xs = c->batch * c->groups * c->in_channels * c->in[1] * c->in[2];
    d.ws = d.bs * c->in_channels * 9;
    d.ys = c->batch * d.bs * c->out[1] * c->out[2];
    d.x = numbers(d.xs, 1);
    d.w = numbers(d.ws, 2);
    d.b = numbers(d.bs, 3);
    return d;
}

static void drop(struct data *d) {
    free(d->x);
    free(d->w);
    free(d->b);
}

/* Output `at` the direct way. */
static double direct(const struct convolve *c, const struct data *d, size_t at) {
    size_t column = at % c->out[2], row = at / c->out[2] % c->out[1];
    size_t m = at / c->out[2] / c->out[1], n = m / d->bs;
    m %= d->bs;
    double sum = d->b[m];
    for (size_t k = 0; k < c->in_channels * 9; k++) {
        size_t i = row + k % 9 / 3, j = column + k % 3;
        size_t channel = (n * c->groups + m / c->out_channels) * c->in_channels + k / 9;
        if (i >= c->pad[1] && i - c->pad[1] < c->in[1] && j >= c->pad[2] &&
            j - c->pad[2] < c->in[2])
            sum += (double)d->w[m * c->in_channels * 9 + k] *
                   d->x[(channel * c->in[1] + i - c->pad[1]) * c->in[2] + j - c->pad[2]];
    }
    return sum;
}

static void run(const struct convolve *c, const struct data *d, bool add, struct team *team,
                real *ret) {
    struct err err = ERR_INIT;
    size_t bytes = (size_t)winograd_scratch(c, team_threads(team));
    void *scratch = aligned_alloc(64, (bytes + 64) / 64 * 64);
    memset(scratch, 0xff, bytes); /* NaN: nothing may be read before it is written */
    CHECK_OK(winograd_y(c, d->x, d->w, d->b, add, ret, &(struct convolve_run){scratch, team, NULL},
                        &err),
             &err);
    free(scratch);
}

static void agrees_with_the_direct_way(void **state) {
    for (size_t i = 0; i < CASES; i++) {
        const struct convolve *c = &cases[i];
        struct data d = make(c);
        real *y = calloc(d.ys, sizeof *y);
        double largest = 0, worst = 0;
        CHECK(winograd_fits(c));
        run(c, &d, false, NULL, y);
        for (size_t k = 0; k<d.ys; k += d.ys> 100000 ? 7 : 1) {
            double want = direct(c, &d, k);
            largest = fmax(largest, fabs(want));
            worst = fmax(worst, fabs(y[k] - want));
        }
        CHECK(worst <= 5e-6 * largest);
        free(y);
        drop(&d);
    }
}

static void gives_the_same_bits_to_any_team(void **state) {
    for (size_t i = 0; i < CASES; i++) {
        struct data d = make(&cases[i]);
        real *first = calloc(d.ys, sizeof *first), *other = calloc(d.ys, sizeof *other);
        run(&cases[i], &d, false, NULL, first);
        for (unsigned threads = 2; threads <= 3; threads++) {
            struct team *team = team_new(threads, 0);
            run(&cases[i], &d, false, team, other);
            CHECK_BYTES(other, first, d.ys * sizeof *first);
            team_free(team);
        }
        free(first);
        free(other);
        drop(&d);
    }
}

static void adds_when_asked(void **state) {
    const struct convolve *c = &cases[2];
    struct data d = make(c);
    real *plain = calloc(d.ys, sizeof *plain), *sum = numbers(d.ys, 9), *before = numbers(d.ys, 9);
    run(c, &d, false, NULL, plain);
    run(c, &d, true, NULL, sum);
    for (size_t k = 0; k < d.ys; k++) {
        double bias = d.b[k / c->out[2] / c->out[1] % d.bs];
        CHECK_NUM(sum[k], plain[k] - bias + before[k], 1e-5);
    }
    free(plain);
    free(sum);
    free(before);
    drop(&d);
}

static void leaves_the_rest_alone(void **state) {
    const struct convolve good = cases[4];
    struct convolve c = good;
    CHECK(winograd_pays(&c));
    c.stride[2] = 2;
    CHECK(!winograd_fits(&c));
    c = good;
    c.dilation[1] = 2;
    CHECK(!winograd_fits(&c));
    c = good;
    c.kernel[2] = 5;
    CHECK(!winograd_fits(&c));
    c = good;
    c.batch = 0;
    CHECK(!winograd_fits(&c));
    c = good;
    c.in_channels = 3;
    CHECK(winograd_fits(&c) && !winograd_pays(&c));
    c = good; /* seven outputs a side are four squares, which nearly are 64 outputs */
    c.in[1] = c.in[2] = c.out[1] = c.out[2] = 7;
    CHECK(!winograd_pays(&c));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_direct_way),
        cmocka_unit_test(gives_the_same_bits_to_any_team),
        cmocka_unit_test(adds_when_asked),
        cmocka_unit_test(leaves_the_rest_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
