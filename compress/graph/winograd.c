/*
 * Minimal filtering over a batch of images. See winograd.h.
 *
 * Outputs are cut into squares of 4x4, numbered through all images row by row. A tile of the loop
 * is a *block* of squares and a range of output channels; alone, and in the worker's own scratch,
 * it makes, with C input channels:
 *
 *   v [36][C][cols]   transformed inputs: of each channel the 36 inputs of every square are
 *                     gathered into planes and transformed together
 *   and for `sub` output channels at a time
 *   u [36][sub][C]    transformed weights
 *   p [36][sub][cols] = u v, 36 products
 *   y                 p transformed, laid back
 *
 * Tiles of one block make the same v, blocks the same u: transforms are a small part of the work,
 * and nobody waits for another or reads what another core has just written.
 */
#include "compress/graph/winograd.h"

#include "compress/base/loop.h"
#include "compress/base/size.h"
#include "compress/tensor/filtering.h"
#include "compress/tensor/gemm.h"
#include "compress/tensor/vmath.h"

#include <assert.h>
#include <string.h>

enum {
    LEAST_CHANNELS = 16,  /* fewer, and the transforms are more work than the products */
    V_ELEMENTS = 5 << 16, /* 1.25 MiB */
    U_ELEMENTS = 1 << 19, /* 2 MiB: read once for each block */
    LANES = 16,           /* squares that are transformed together, columns of BLAS's block */
    ROW_UNIT = 8,         /* rows of BLAS's block */
    MOST_ROW_BLOCKS = 8,
    MORE_COL_BLOCKS = 8, /* beyond those that V_ELEMENTS asks for */
    MOST_WORKERS = 4,
};

/* Cycles, measured on one core (Zen 5, OpenBLAS 0.3.21): of the transforms per 16 squares of a
 * channel, of the copying around them per run of squares in a row, of weights per pair of channels;
 * multiply-adds a cycle of products of n columns, which take as long as n + PRODUCT_MORE would at
 * this rate; and those of the direct way. */
enum {
    SQUARES_COST = 300,
    RUN_COST = 110,
    WEIGHT_COST = 11,
    PRODUCT_RATE = 32,
    PRODUCT_MORE = 13,
    DIRECT_RATE = 22,
};

struct filter {
    const struct convolve *c;
    size_t across, down, squares;          /* of a row, of a column, of all images */
    size_t cols, col_blocks;               /* squares of a block */
    size_t rows, row_blocks;               /* output channels of a tile */
    size_t sub;                            /* of these at a time */
    size_t q_step, u_step, v_step, p_step; /* between planes */
    size_t line;                           /* outputs of a row of squares */
    size_t local;                          /* elements of a worker's scratch */
    const real *x, *w, *bias;
    const struct clamp *clamp;
    real *y, *scratch;
    bool add;
};

/* A tile at work. */
struct block {
    const struct filter *f;
    size_t group, first, cols; /* squares */
    real *line, *q, *u, *v, *p;
};

static size_t rounded(size_t n, size_t unit) {
    return size_pieces(n, unit) * unit;
}

/* An odd number of cache lines, lest all 36 planes fall into the same few sets. */
static size_t plane_step(size_t elements) {
    return (size_pieces(elements, 16) | 1) * 16;
}

/* ---- how it is cut, and whether it pays ---- */

static uint64_t tile_cost(const struct filter *f, size_t rows, size_t cols) {
    uint64_t in = f->c->in_channels, wide = rounded(cols, LANES);
    uint64_t channel = wide / LANES * SQUARES_COST + (cols / f->across + 1) * RUN_COST;
    return (in + rows) * channel + rows * in * WEIGHT_COST +
           FILTERING_PLANES * rows * in * (wide + PRODUCT_MORE) / PRODUCT_RATE;
}

/* What one, two and four workers need together, the same number of tiles each. */
static uint64_t time_of(uint64_t tiles, uint64_t one) {
    uint64_t sum = 0;
    for (unsigned workers = 1; workers <= MOST_WORKERS; workers *= 2)
        sum += (tiles + workers - 1) / workers * one;
    return sum;
}

/* Of the ways to cut, the quickest for few workers: the tiles must not depend on how many there
 * are. Returns its time. */
static uint64_t cut(struct filter *f) {
    size_t in = f->c->in_channels, out = f->c->out_channels;
    size_t most_cols = size_max(V_ELEMENTS / FILTERING_PLANES / in / LANES, 1) * LANES;
    size_t few = size_pieces(f->squares, most_cols);
    uint64_t best = UINT64_MAX;
    for (size_t b = few; b < few + MORE_COL_BLOCKS && b <= f->squares; b++)
        for (size_t r = 1; r <= MOST_ROW_BLOCKS; r++) {
            size_t cols = size_pieces(f->squares, b);
            size_t rows = size_min(rounded(size_pieces(out, r), ROW_UNIT), out);
            uint64_t tiles =
                (uint64_t)f->c->groups * size_pieces(f->squares, cols) * size_pieces(out, rows);
            uint64_t time = time_of(tiles, tile_cost(f, rows, cols));
            if (time >= best)
                continue;
            best = time;
            f->cols = cols;
            f->rows = rows;
        }
    f->col_blocks = size_pieces(f->squares, f->cols);
    f->row_blocks = size_pieces(out, f->rows);
    return best;
}

static struct filter filter_of(const struct convolve *c, uint64_t *ret_time) {
    struct filter f = {.c = c};
    f.across = size_pieces(c->out[2], FILTERING_TILE);
    f.down = size_pieces(c->out[1], FILTERING_TILE);
    f.squares = c->batch * f.down * f.across;
    *ret_time = cut(&f);
    f.sub = rounded(size_max(U_ELEMENTS / FILTERING_PLANES / c->in_channels, LANES), ROW_UNIT);
    f.sub = size_min(f.rows, rounded(size_pieces(f.rows, size_pieces(f.rows, f.sub)), ROW_UNIT));
    f.q_step = rounded(f.cols, LANES);
    f.u_step = plane_step(f.sub * c->in_channels);
    f.v_step = plane_step(c->in_channels * f.cols);
    f.p_step = plane_step(f.sub * f.cols);
    f.line = rounded(size_min(f.cols, f.across) * FILTERING_TILE, LANES);
    f.local = f.line + FILTERING_PLANES * (f.q_step + f.u_step + f.v_step + f.p_step);
    return f;
}

bool winograd_fits(const struct convolve *c) {
    bool flat = c->kernel[0] == 1 && c->in[0] == 1 && c->out[0] == 1 && c->pad[0] == 0;
    bool square = true;
    for (int d = 1; d < 3; d++)
        square = square && c->kernel[d] == 3 && c->stride[d] == 1 && c->dilation[d] == 1 &&
                 c->pad[d] <= 2 && c->out[d] > 0;
    return flat && square && c->batch > 0 && c->in_channels > 0 && c->out_channels > 0;
}

bool winograd_pays(const struct convolve *c) {
    if (!winograd_fits(c) || size_min(c->in_channels, c->out_channels) < LEAST_CHANNELS)
        return false;
    uint64_t time, direct = convolve_macs(c) / DIRECT_RATE;
    filter_of(c, &time);
    return time + time / 8 < time_of(MOST_WORKERS, direct / MOST_WORKERS);
}

uint64_t winograd_scratch(const struct convolve *c, unsigned threads) {
    uint64_t time;
    return (uint64_t)filter_of(c, &time).local * threads * sizeof(real);
}

/* ---- v ---- */

/* Squares are taken as runs that lie in one row of them. */
struct run {
    size_t image, top, left; /* of its outputs */
    size_t count;
};

static struct run run_at(const struct block *b, size_t at) {
    const struct filter *f = b->f;
    size_t square = b->first + at, column = square % f->across, row = square / f->across;
    return (struct run){row / f->down, row % f->down * FILTERING_TILE, column * FILTERING_TILE,
                        size_min(f->across - column, b->cols - at)};
}

static void gather_run(const struct block *b, const struct run *run, size_t channel, real *ret) {
    const struct convolve *c = b->f->c;
    size_t step = b->f->q_step;
    const real *x = b->f->x + ((run->image * c->groups + b->group) * c->in_channels + channel) *
                                  c->in[1] * c->in[2];
    size_t len = run->count * FILTERING_TILE + FILTERING_SPAN - FILTERING_TILE;
    size_t before = run->left < c->pad[2] ? c->pad[2] - run->left : 0;
    size_t from = run->left + before - c->pad[2];
    size_t inside = from < c->in[2] ? size_min(len - before, c->in[2] - from) : 0;
    /* Rows above x, in it, below it. */
    size_t above = run->top < c->pad[1] ? size_min(c->pad[1] - run->top, FILTERING_SPAN) : 0;
    size_t first = run->top + above - c->pad[1];
    size_t rows = first < c->in[1] ? size_min(FILTERING_SPAN - above, c->in[1] - first) : 0;
    size_t below = FILTERING_SPAN - above - rows, n = run->count, row_len = FILTERING_SPAN * step;
    filtering_deal(x, 0, above, 0, 0, n, ret, step);
    filtering_deal(x + (rows ? first * c->in[2] : 0) + (inside ? from : 0), c->in[2], rows, before,
                   inside, n, ret + above * row_len, step);
    filtering_deal(x, 0, below, 0, 0, n, ret + (above + rows) * row_len, step);
}

static void make_v(const struct block *b) {
    for (size_t i = 0; i < b->f->c->in_channels; i++) {
        struct run run;
        for (size_t at = 0; at < b->cols; at += run.count) {
            run = run_at(b, at);
            gather_run(b, &run, i, b->q + at);
        }
        filtering_in(b->q, b->f->q_step, b->cols, b->v + i * b->cols, b->f->v_step);
    }
}

/* ---- u ---- */

/* Of output channels [m, m + count). */
static void make_u(const struct block *b, size_t m, size_t count) {
    const struct filter *f = b->f;
    size_t in = f->c->in_channels;
    const real *w = f->w + (b->group * f->c->out_channels + m) * in * FILTERING_KERNEL;
    filtering_weight(w, count * in, b->u, f->u_step);
}

/* ---- p ---- */

static void make_p(const struct block *b, size_t count) {
    const struct filter *f = b->f;
    size_t in = f->c->in_channels;
    for (size_t plane = 0; plane < FILTERING_PLANES; plane++)
        gemm_tile(&(struct gemm){.m = count,
                                 .n = b->cols,
                                 .k = in,
                                 .alpha = 1,
                                 .a = b->u + plane * f->u_step,
                                 .b = b->v + plane * f->v_step,
                                 .c = b->p + plane * f->p_step,
                                 .lda = in,
                                 .ldb = b->cols,
                                 .ldc = b->cols});
}

/* ---- y ---- */

static void lay_run(const struct block *b, const struct run *run, size_t m, const real *from) {
    const struct filter *f = b->f;
    const struct convolve *c = f->c;
    size_t channel = b->group * c->out_channels + m, step = f->q_step, width = c->out[2];
    size_t n = size_min(run->count * FILTERING_TILE, width - run->left);
    real bias = f->bias && !f->add ? f->bias[channel] : 0;
    real *y = f->y + run->left +
              ((run->image * c->groups * c->out_channels + channel) * c->out[1] + run->top) * width;
    size_t rows = size_min(FILTERING_TILE, c->out[1] - run->top);
    if (!f->add)
        filtering_collect(from, step, rows, n, bias, y, width);
    for (size_t row = 0; f->clamp && !f->add && row < rows; row++)
        vmath_clamp(y + row * width, *f->clamp, n, y + row * width);
    for (size_t row = 0; f->add && row < rows; row++) {
        filtering_collect(from + row * FILTERING_TILE * step, step, 1, n, 0, b->line, 0);
        vmath_add(y + row * width, b->line, n, y + row * width);
    }
}

static void lay_y(const struct block *b, size_t m, size_t count) {
    for (size_t k = 0; k < count; k++) {
        struct run run;
        filtering_out(b->p + k * b->cols, b->f->p_step, b->cols, b->q, b->f->q_step);
        for (size_t at = 0; at < b->cols; at += run.count) {
            run = run_at(b, at);
            lay_run(b, &run, m + k, b->q + at);
        }
    }
}

/* ---- all of it ---- */

static int filter_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct filter *f = ctx;
    size_t row_block = index % f->row_blocks, col_block = index / f->row_blocks % f->col_blocks;
    struct block b = {.f = f,
                      .group = index / f->row_blocks / f->col_blocks,
                      .first = col_block * f->cols,
                      .line = f->scratch + worker * f->local};
    b.cols = size_min(f->cols, f->squares - b.first);
    b.u = b.line + f->line;
    b.v = b.u + FILTERING_PLANES * f->u_step;
    b.p = b.v + FILTERING_PLANES * f->v_step;
    b.q = b.p + FILTERING_PLANES * f->p_step;
    make_v(&b);
    size_t end = size_min((row_block + 1) * f->rows, f->c->out_channels);
    for (size_t m = row_block * f->rows; m < end; m += f->sub) {
        size_t count = size_min(f->sub, end - m);
        make_u(&b, m, count);
        make_p(&b, count);
        lay_y(&b, m, count);
    }
    return 0;
}

int winograd_y(const struct convolve *c, const real *x, const real *w, const real *bias, bool add,
               real *y, const struct convolve_run *run, struct err *err) {
    uint64_t time;
    assert(winograd_fits(c));
    struct filter f = filter_of(c, &time);
    f.x = x;
    f.w = w;
    f.bias = bias;
    f.clamp = run->clamp;
    f.add = add;
    f.y = y;
    f.scratch = run->scratch;
    if (gemm_check(c->in_channels, c->in_channels, f.cols, f.cols, err) < 0)
        return -1;
    return loop_run(run->team, run->progress, c->groups * f.col_blocks * f.row_blocks, filter_tile,
                    &f, err);
}
