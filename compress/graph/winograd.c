/*
 * Minimal filtering over a batch of images. See winograd.h.
 *
 * Outputs are cut into tiles of 4x4; a *strip* is a row of tiles of one image, and strips of all
 * images are numbered one after the other. A *chunk* is as many strips as have their transforms in
 * the cache together; `cols` is its number of tiles. Of one group, with C input and M output
 * channels:
 *
 *   u [36][M][C]      transformed weights
 *   v [36][C][cols]   transformed inputs      a worker takes channels, gathers the 36 inputs of
 *                                             every tile into planes, transforms them together
 *   p [36][M][cols]   p = u v, 36 products    a worker takes one of them, or rows of one
 *   y                                         a worker takes channels, transforms, lays tiles back
 *
 * so that each of the four steps is a loop over things that have nothing to do with each other.
 */
#include "compress/graph/winograd.h"

#include "compress/base/loop.h"
#include "compress/tensor/filtering.h"
#include "compress/tensor/gemm.h"
#include "compress/tensor/vmath.h"

#include <assert.h>
#include <string.h>

enum {
    LEAST_CHANNELS = 16,      /* fewer, and the transforms are more work than the products */
    MOST_ACROSS = 512,        /* tiles of a strip */
    CHUNK_ELEMENTS = 3 << 18, /* of v and p: 3 MiB, what two cores' L2 and a share of L3 hold */
    LEAST_COLS = 48,          /* fewer, and BLAS packs more than it multiplies */
    MOST_COLS = 512,
    TILE_ELEMENTS = 1 << 14, /* of transforms: some 10 us */
    TILE_MACS = 1 << 22,     /* of products */
    ROW_UNIT = 8,            /* of BLAS's register block */
};

struct filter {
    const struct convolve *c;
    size_t across, down;                   /* tiles of an image */
    size_t strips, chunk;                  /* of the batch, of a chunk */
    size_t cols;                           /* tiles of a full chunk */
    size_t u_step, v_step, p_step;         /* between the 36 */
    size_t line;                           /* elements of a padded row */
    size_t local;                          /* elements of a worker's scratch */
    size_t w_rows, x_rows, y_rows, p_rows; /* of m, c, m, m: what a tile of each step takes */
    /* now */
    size_t group, strip0, strip_count, now_cols;
    const real *x, *w, *bias;
    real *y, *u, *v, *p, *locals;
    bool add;
};

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t pieces(size_t len, size_t piece) {
    assert(piece > 0);
    return len / piece + (len % piece != 0);
}

static size_t aligned(size_t elements) {
    return (elements + 15) / 16 * 16;
}

/* An odd number of cache lines, lest all 36 planes fall into the same few sets. */
static size_t plane_step(size_t elements) {
    return (aligned(elements) / 16 | 1) * 16;
}

/* ---- what is worth it ---- */

bool winograd_pays(const struct convolve *c) {
    size_t tiles_across = pieces(c->out[2], FILTERING_TILE);
    size_t tiles = c->batch * pieces(c->out[1], FILTERING_TILE) * tiles_across;
    if (c->kernel[0] != 1 || c->in[0] != 1 || c->out[0] != 1 || c->pad[0] != 0)
        return false;
    for (int d = 1; d < 3; d++)
        if (c->kernel[d] != 3 || c->stride[d] != 1 || c->dilation[d] != 1 || c->pad[d] > 2)
            return false;
    if (least(c->in_channels, c->out_channels) < LEAST_CHANNELS || tiles_across > MOST_ACROSS)
        return false;
    /* Per pair of channels, in multiply-adds: the direct way; this way, with what transforming the
     * weights costs (measured). */
    size_t direct = FILTERING_KERNEL * c->batch * c->out[1] * c->out[2];
    return direct > FILTERING_PLANES * tiles + 600;
}

static struct filter filter_of(const struct convolve *c) {
    struct filter f = {.c = c};
    size_t in = c->in_channels, out = c->out_channels;
    f.across = pieces(c->out[2], FILTERING_TILE);
    f.down = pieces(c->out[1], FILTERING_TILE);
    f.strips = c->batch * f.down;
    size_t cols = CHUNK_ELEMENTS / FILTERING_PLANES / (in + out);
    cols = least(most(cols, LEAST_COLS), MOST_COLS);
    f.chunk = most(cols / f.across, 1);
    f.chunk = pieces(f.strips, pieces(f.strips, f.chunk));
    f.cols = f.chunk * f.across;
    f.u_step = plane_step(out * in);
    f.v_step = plane_step(in * f.cols);
    f.p_step = plane_step(out * f.cols);
    f.line = aligned(f.across * FILTERING_TILE + FILTERING_SPAN);
    f.local = most(f.line + FILTERING_PLANES * aligned(f.cols), FILTERING_KERNEL * aligned(in));
    f.w_rows = least(pieces(TILE_ELEMENTS, in * FILTERING_KERNEL), out);
    f.x_rows = least(pieces(TILE_ELEMENTS, f.cols * FILTERING_OUTPUTS), in);
    f.y_rows = least(pieces(TILE_ELEMENTS, f.cols * FILTERING_OUTPUTS), out);
    f.p_rows = pieces(most(TILE_MACS / (in * f.cols), 1), ROW_UNIT) * ROW_UNIT;
    f.p_rows = pieces(out, pieces(out, f.p_rows));
    return f;
}

uint64_t winograd_scratch(const struct convolve *c, unsigned threads) {
    struct filter f = filter_of(c);
    return ((uint64_t)FILTERING_PLANES * (f.u_step + f.v_step + f.p_step) +
            (uint64_t)f.local * threads) *
           sizeof(real);
}

/* ---- u ---- */

static int weight_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct filter *f = ctx;
    size_t in = f->c->in_channels, out = f->c->out_channels, ld = aligned(in);
    real *taps = f->locals + worker * f->local;
    for (size_t m = index * f->w_rows; m < least((index + 1) * f->w_rows, out); m++) {
        const real *w = f->w + (f->group * out + m) * in * FILTERING_KERNEL;
        for (size_t i = 0; i < in; i++)
            for (size_t t = 0; t < FILTERING_KERNEL; t++)
                taps[t * ld + i] = w[i * FILTERING_KERNEL + t];
        filtering_weight(taps, ld, in, f->u + m * in, f->u_step);
    }
    return 0;
}

/* ---- v ---- */

/* A padded row of x, 4 n + 2 long, to the n tiles that see it: column j of tile t is element
 * 4 t + j. */
static void deal_row(const real *restrict line, size_t n, real *restrict ret, size_t step) {
    real *restrict a = ret, *restrict b = ret + step, *restrict c = ret + 2 * step,
                   *restrict d = ret + 3 * step;
    for (size_t t = 0; t < n; t++) {
        a[t] = line[FILTERING_TILE * t];
        b[t] = line[FILTERING_TILE * t + 1];
        c[t] = line[FILTERING_TILE * t + 2];
        d[t] = line[FILTERING_TILE * t + 3];
    }
    for (size_t j = 0; j < 2; j++) { /* what the next tile begins with */
        real *to = ret + (FILTERING_TILE + j) * step;
        memcpy(to, ret + j * step + 1, (n - 1) * sizeof *to);
        to[n - 1] = line[FILTERING_TILE * n + j];
    }
}

/* Strip `strip` of channel i to 36 planes. The margins of `line` are zero. */
static void gather_strip(const struct filter *f, size_t strip, size_t i, real *line, real *ret,
                         size_t step) {
    const struct convolve *c = f->c;
    size_t n = strip / f->down, top = strip % f->down * FILTERING_TILE;
    const real *x = f->x + ((n * c->groups + f->group) * c->in_channels + i) * c->in[1] * c->in[2];
    size_t width = f->across * FILTERING_TILE + FILTERING_SPAN - FILTERING_TILE;
    size_t inside = least(c->in[2], width - c->pad[2]);
    for (size_t row = 0; row < FILTERING_SPAN; row++, ret += FILTERING_SPAN * step) {
        size_t at = top + row;
        if (at < c->pad[1] || at - c->pad[1] >= c->in[1]) {
            for (size_t j = 0; j < FILTERING_SPAN; j++)
                memset(ret + j * step, 0, f->across * sizeof *ret);
            continue;
        }
        memcpy(line + c->pad[2], x + (at - c->pad[1]) * c->in[2], inside * sizeof *x);
        deal_row(line, f->across, ret, step);
    }
}

static int in_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct filter *f = ctx;
    size_t step = aligned(f->cols), in = f->c->in_channels;
    real *line = f->locals + worker * f->local, *planes = line + f->line;
    memset(line, 0, f->line * sizeof *line);
    for (size_t i = index * f->x_rows; i < least((index + 1) * f->x_rows, in); i++) {
        for (size_t s = 0; s < f->strip_count; s++)
            gather_strip(f, f->strip0 + s, i, line, planes + s * f->across, step);
        filtering_in(planes, step, f->now_cols, f->v + i * f->now_cols, f->v_step);
    }
    return 0;
}

/* ---- p ---- */

static int product_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct filter *f = ctx;
    size_t in = f->c->in_channels, out = f->c->out_channels;
    size_t plane = index % FILTERING_PLANES, m = index / FILTERING_PLANES * f->p_rows;
    gemm_tile(&(struct gemm){.m = least(f->p_rows, out - m),
                             .n = f->now_cols,
                             .k = in,
                             .alpha = 1,
                             .a = f->u + plane * f->u_step + m * in,
                             .b = f->v + plane * f->v_step,
                             .c = f->p + plane * f->p_step + m * f->now_cols,
                             .lda = in,
                             .ldb = f->now_cols,
                             .ldc = f->now_cols});
    return 0;
}

/* ---- y ---- */

static void collect_row(const real *restrict from, size_t step, size_t n, real bias,
                        real *restrict line) {
    const real *restrict a = from, *restrict b = from + step, *restrict c = from + 2 * step,
                         *restrict d = from + 3 * step;
    for (size_t t = 0; t < n; t++) {
        line[FILTERING_TILE * t] = a[t] + bias;
        line[FILTERING_TILE * t + 1] = b[t] + bias;
        line[FILTERING_TILE * t + 2] = c[t] + bias;
        line[FILTERING_TILE * t + 3] = d[t] + bias;
    }
}

static void lay_strip(const struct filter *f, size_t strip, size_t m, const real *from, size_t step,
                      real *line) {
    const struct convolve *c = f->c;
    size_t n = strip / f->down, top = strip % f->down * FILTERING_TILE, width = c->out[2];
    size_t channel = f->group * c->out_channels + m;
    real bias = f->bias && !f->add ? f->bias[channel] : 0;
    real *y = f->y + ((n * c->groups * c->out_channels + channel) * c->out[1] + top) * width;
    for (size_t row = 0; row < least(FILTERING_TILE, c->out[1] - top); row++, y += width) {
        collect_row(from + row * FILTERING_TILE * step, step, f->across, bias, line);
        if (f->add)
            vmath_add(y, line, width, y);
        else
            memcpy(y, line, width * sizeof *y);
    }
}

static int out_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct filter *f = ctx;
    size_t step = aligned(f->cols), out = f->c->out_channels;
    real *line = f->locals + worker * f->local, *planes = line + f->line;
    for (size_t m = index * f->y_rows; m < least((index + 1) * f->y_rows, out); m++) {
        filtering_out(f->p + m * f->now_cols, f->p_step, f->now_cols, planes, step);
        for (size_t s = 0; s < f->strip_count; s++)
            lay_strip(f, f->strip0 + s, m, planes + s * f->across, step, line);
    }
    return 0;
}

/* ---- all of it ---- */

static int run_chunk(struct filter *f, const struct convolve_run *run, struct err *err) {
    size_t in = f->c->in_channels, out = f->c->out_channels;
    size_t products = FILTERING_PLANES * pieces(out, f->p_rows);
    if (loop_run(run->team, run->progress, pieces(in, f->x_rows), in_tile, f, err) < 0 ||
        loop_run(run->team, run->progress, products, product_tile, f, err) < 0 ||
        loop_run(run->team, run->progress, pieces(out, f->y_rows), out_tile, f, err) < 0)
        return -1;
    return 0;
}

int winograd_y(const struct convolve *c, const real *x, const real *w, const real *bias, bool add,
               real *y, const struct convolve_run *run, struct err *err) {
    assert(winograd_pays(c));
    struct filter f = filter_of(c);
    f.x = x;
    f.w = w;
    f.bias = bias;
    f.add = add;
    f.y = y;
    f.u = run->scratch;
    f.v = f.u + FILTERING_PLANES * f.u_step;
    f.p = f.v + FILTERING_PLANES * f.v_step;
    f.locals = f.p + FILTERING_PLANES * f.p_step;
    if (gemm_check(c->in_channels, c->in_channels, f.cols, f.cols, err) < 0)
        return -1;
    for (f.group = 0; f.group < c->groups; f.group++) {
        if (loop_run(run->team, run->progress, pieces(c->out_channels, f.w_rows), weight_tile, &f,
                     err) < 0)
            return -1;
        for (f.strip0 = 0; f.strip0 < f.strips; f.strip0 += f.chunk) {
            f.strip_count = least(f.chunk, f.strips - f.strip0);
            f.now_cols = f.strip_count * f.across;
            if (run_chunk(&f, run, err) < 0)
                return -1;
        }
    }
    return 0;
}
