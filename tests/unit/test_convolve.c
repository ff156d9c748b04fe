/* Convolutions and both gradients against loops in double, whatever way they are computed, and the
 * same bits by any team. */
#include "compress/graph/convolve.h"

#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One of each way: panels, panels with rows cut, pointwise, all positions at once (with and without
 * a panel), depthwise in pieces, with a multiplier, strided (wider than the kernel too), dilated,
 * to many channels, three axes, grouped. */
static const struct convolve cases[] = {
    {2, 1, 3, 5, {1, 7, 9}, {1, 7, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}},
    {1, 1, 2, 3, {1, 3, 2100}, {1, 2, 1050}, {1, 2, 3}, {1, 1, 2}, {1, 1, 1}, {0, 0, 1}},
    {3, 1, 6, 4, {1, 5, 5}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}},
    {1, 1, 130, 70, {1, 6, 6}, {1, 6, 6}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}},
    {1, 1, 150, 120, {1, 12, 12}, {1, 12, 12}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}},
    {2, 3, 1, 1, {1, 150, 130}, {1, 150, 130}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}},
    {2, 5, 1, 2, {1, 9, 40}, {1, 4, 19}, {1, 3, 2}, {1, 2, 2}, {1, 1, 3}, {0, 0, 1}},
    {1, 2, 2, 3, {4, 5, 6}, {3, 2, 6}, {2, 3, 3}, {1, 2, 1}, {1, 1, 1}, {0, 0, 1}},
    {2, 3, 1, 1, {1, 11, 10}, {1, 4, 4}, {1, 2, 2}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}},
    {2, 1, 1, 9, {1, 10, 8}, {1, 10, 8}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2}},
    {1, 2, 1, 1, {1, 9, 7}, {1, 9, 7}, {1, 3, 3}, {1, 1, 1}, {1, 2, 3}, {0, 2, 3}},
    {9, 1, 4, 6, {1, 1, 8}, {1, 1, 6}, {1, 1, 2}, {1, 1, 1}, {1, 1, 2}, {0, 0, 0}},
};

struct data {
    size_t xs, ws, ys, bs;
    real *x, *w, *b, *dy;
    double *y, *dx, *dw; /* what should come out */
};

static size_t volume(const size_t n[3]) {
    return n[0] * n[1] * n[2];
}

static real *numbers(size_t n, uint32_t seed) {
    real *x = malloc((n + 1) * sizeof *x);
    CHECK(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (real)((seed = seed * 1664525 + 1013904223) >> 20) / 2048 - 1;
    return x;
}

/* Index into a channel of x, or false outside. */
static bool source(const struct convolve *c, size_t o, size_t t, size_t *ret) {
    size_t at = 0;
    const size_t out[3] = {o / c->out[2] / c->out[1], o / c->out[2] % c->out[1], o % c->out[2]};
    const size_t tap[3] = {t / c->kernel[2] / c->kernel[1], t / c->kernel[2] % c->kernel[1],
                           t % c->kernel[2]};
    for (int d = 0; d < 3; d++) {
        size_t i = out[d] * c->stride[d] + tap[d] * c->dilation[d];
        if (i < c->pad[d] || i - c->pad[d] >= c->in[d])
            return false;
        at = at * c->in[d] + i - c->pad[d];
    }
    *ret = at;
    return true;
}

static void compute(const struct convolve *c, struct data *d) {
    size_t in = volume(c->in), out = volume(c->out), taps = volume(c->kernel);
    for (size_t i = 0; i < d->ys; i++)
        d->y[i] = d->b[i / out % (c->groups * c->out_channels)];
    for (size_t y = 0; y < d->ys; y++) {
        size_t m = y / out % (c->groups * c->out_channels), group = m / c->out_channels;
        size_t n = y / out / c->groups / c->out_channels;
        for (size_t k = 0; k < c->in_channels * taps; k++) {
            size_t at, w = m * c->in_channels * taps + k;
            if (!source(c, y % out, k % taps, &at))
                continue;
            at += ((n * c->groups + group) * c->in_channels + k / taps) * in;
            d->y[y] += (double)d->w[w] * d->x[at];
            d->dx[at] += (double)d->w[w] * d->dy[y];
            d->dw[w] += (double)d->dy[y] * d->x[at];
        }
    }
}

static struct data make(const struct convolve *c) {
    struct data d = {.bs = c->groups * c->out_channels};
    d.xs = c->batch * c->groups * c->in_channels * volume(c->in);
    d.ys = c->batch * d.bs * volume(c->out);
    d.ws = d.bs * c->in_channels * volume(c->kernel);
    d.x = numbers(d.xs, 1);
    d.w = numbers(d.ws, 2);
    d.b = numbers(d.bs, 3);
    d.dy = numbers(d.ys, 4);
    d.y = calloc(d.ys, sizeof *d.y);
    d.dx = calloc(d.xs, sizeof *d.dx);
    d.dw = calloc(d.ws, sizeof *d.dw);
    compute(c, &d);
    return d;
}

static void drop(struct data *d) {
    free(d->x);
    free(d->w);
    free(d->b);
    free(d->dy);
    free(d->y);
    free(d->dx);
    free(d->dw);
}

static void run(const struct convolve *c, const struct data *d, enum convolve_pass pass,
                struct team *team, real *ret) {
    struct err err = ERR_INIT;
    uint64_t bytes = convolve_scratch(c, pass, team_threads(team));
    void *scratch = aligned_alloc(64, (size_t)(bytes + 64) / 64 * 64);
    memset(scratch, 0xff, (size_t)bytes); /* NaN: nothing may be read before it is written */
    struct convolve_run with = {scratch, team, NULL};
    switch (pass) {
    case CONVOLVE_Y:
        CHECK_OK(convolve_y(c, d->x, d->w, d->b, false, ret, &with, &err), &err);
        break;
    case CONVOLVE_X:
        CHECK_OK(convolve_x(c, d->dy, d->w, ret, &with, &err), &err);
        break;
    case CONVOLVE_W:
        CHECK_OK(convolve_w(c, d->dy, d->x, ret, &with, &err), &err);
        break;
    }
    free(scratch);
}

static void check(const struct convolve *c, const struct data *d, enum convolve_pass pass,
                  const double *want, size_t n) {
    real *first = calloc(n, sizeof *first), *other = calloc(n, sizeof *other);
    run(c, d, pass, NULL, first);
    for (size_t i = 0; i < n; i++)
        CHECK_NUM(first[i], want[i], 1e-4 * fmax(1, fabs(want[i])));
    for (unsigned threads = 2; threads <= 3; threads++) {
        struct team *team = team_new(threads, 0);
        memset(other, 0, n * sizeof *other);
        run(c, d, pass, team, other);
        CHECK_BYTES(other, first, n * sizeof *first);
        team_free(team);
    }
    free(first);
    free(other);
}

static void agrees_with_loops(void **state) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct data d = make(&cases[i]);
        check(&cases[i], &d, CONVOLVE_Y, d.y, d.ys);
        check(&cases[i], &d, CONVOLVE_X, d.dx, d.xs);
        check(&cases[i], &d, CONVOLVE_W, d.dw, d.ws);
        drop(&d);
    }
}

static void adds_when_asked(void **state) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct convolve *c = &cases[i];
        struct data d = make(c);
        struct err err = ERR_INIT;
        real *plain = calloc(d.ys, sizeof *plain), *sum = numbers(d.ys, 9),
             *before = numbers(d.ys, 9);
        run(c, &d, CONVOLVE_Y, NULL, plain);
        void *scratch =
            aligned_alloc(64, (size_t)(convolve_scratch(c, CONVOLVE_Y, 1) + 64) / 64 * 64);
        CHECK_OK(convolve_y(c, d.x, d.w, NULL, true, sum,
                            &(struct convolve_run){scratch, NULL, NULL}, &err),
                 &err);
        for (size_t k = 0; k < d.ys; k++)
            CHECK_NUM(sum[k], d.y[k] - d.b[k / volume(c->out) % d.bs] + before[k], 1e-3);
        free(scratch);
        free(plain);
        free(sum);
        free(before);
        drop(&d);
    }
}

static void sums_biases(void **state) {
    const real dy[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    real db[2] = {100, 200};
    struct err err = ERR_INIT;
    CHECK_OK(convolve_bias(2, 2, 3, dy, db, &(struct convolve_run){0}, &err), &err);
    CHECK_NUM(db[0], 100 + 1 + 2 + 3 + 7 + 8 + 9, 0);
    CHECK_NUM(db[1], 200 + 4 + 5 + 6 + 10 + 11 + 12, 0);
}

static void counts_products(void **state) {
    CHECK_UINT(convolve_macs(&cases[0]), 2 * 5 * 63 * 27);
    CHECK_UINT(convolve_macs(&cases[7]), 1 * 6 * 36 * 36);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_loops),
        cmocka_unit_test(adds_when_asked),
        cmocka_unit_test(sums_biases),
        cmocka_unit_test(counts_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
