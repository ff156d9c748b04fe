/*
 * Convolution as matrix products on small panels. See convolve.h.
 *
 * With K = in_channels * taps (rows of the "column" matrix, in the order of the weight) and P
 * output positions, of one image and one group:
 *
 *   y  [M, P] = w [M, K] col [K, P]          col[k, p] = x[c(k), in(p, tap(k))]
 *   dw [M, K] += dy [M, P] col^T [P, K]
 *   dx = the sum, back to where they came from, of dcol [K, P] = w^T [K, M] dy [M, P]
 *
 * col is never whole: a tile makes a panel of it that stays in the L2 cache, multiplies, and moves
 * on. What a tile owns decides who may add without asking:
 *
 *   y   (image, group, positions)
 *   dw  (group, rows of K, perhaps rows of M): goes through images and positions in order, so the
 *       sum's order is fixed
 *   dx  (image, group, channels): goes through positions in order
 *
 * Where a single image has too few positions to give tiles to a team, the panel of all positions is
 * made together and the product itself is cut (gemm_run). A kernel of one tap with stride 1 needs
 * no panel: x is col. One channel a group (depthwise) has nothing to multiply matrices for: each
 * output row is a weighted sum of kernel-many input rows, taken from a padded copy (taps.h). 3x3
 * taps with stride 1 and many channels: y comes by minimal filtering (winograd.h).
 */
#include "compress/graph/convolve.h"

#include "compress/base/loop.h"
#include "compress/base/size.h"
#include "compress/graph/winograd.h"
#include "compress/tensor/gemm.h"
#include "compress/tensor/taps.h"
#include "compress/tensor/vmath.h"

#include <string.h>

enum {
    PANEL = 1 << 17, /* elements: 256 KiB, half of the smallest L2 in sight */
    LEAST_COLS = 64, /* fewer columns and BLAS packs more than it multiplies */
    MOST_COLS = 1024,
    ENOUGH_TILES = 8,
    PLANE = 1 << 14,   /* depthwise: elements of padded input that a tile goes through at once */
    FLAT_WIDTH = 32,   /* depthwise: of rows that are summed together */
    MAX_TAPS = 64,     /* depthwise: more taps take the general way */
    SUM_PIECE = 65536, /* of a bias gradient */
};
#define SMALL_MACS (UINT64_C(1) << 21) /* not worth two steps */

/* In blocks of a length that compilers turn into wide stores. */
static void fill(real *x, real value, size_t n) {
    enum { BLOCK = 16 };
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        for (size_t j = 0; j < BLOCK; j++)
            x[i + j] = value;
    for (; i < n; i++)
        x[i] = value;
}

static size_t volume(const size_t size[3]) {
    return size[0] * size[1] * size[2];
}

static size_t rows_of_k(const struct convolve *c) {
    return c->in_channels * volume(c->kernel);
}

/* col is x itself. */
static bool is_pointwise(const struct convolve *c) {
    for (int d = 0; d < 3; d++)
        if (c->kernel[d] != 1 || c->stride[d] != 1 || c->pad[d] != 0 || c->in[d] != c->out[d])
            return false;
    return true;
}

static bool is_depthwise(const struct convolve *c) {
    return c->in_channels == 1 && c->kernel[0] == 1 && c->in[0] == 1 && c->pad[0] == 0 &&
           c->out[0] == 1 && volume(c->kernel) <= MAX_TAPS && volume(c->kernel) > 1;
}

/* The gradients of a plane that feeds many channels (the first layer of a grey picture) are worth a
 * matrix product again. */
static bool is_depthwise_back(const struct convolve *c) {
    return is_depthwise(c) && c->out_channels < 8;
}

static bool is_empty(const struct convolve *c) {
    return c->batch == 0 || volume(c->out) == 0 || c->groups == 0 || c->out_channels == 0;
}

uint64_t convolve_macs(const struct convolve *c) {
    return (uint64_t)c->batch * c->groups * c->out_channels * volume(c->out) * rows_of_k(c);
}

/* ---- panels ---- */

/* Columns of a panel of `rows` rows: whole output rows where they fit, equal pieces. */
static size_t panel_cols(const struct convolve *c, size_t rows) {
    size_t positions = volume(c->out);
    size_t cols = size_min(size_max(PANEL / size_max(rows, 1), LEAST_COLS), MOST_COLS);
    size_t count = size_pieces(positions, cols);
    cols = size_pieces(positions, count ? count : 1);
    size_t width = c->out[2];
    return cols > width ? size_pieces(cols, width) * width : size_max(cols, 1);
}

/* What a tap sees of an output row: positions [first, end) read inside x's row. */
struct view {
    size_t tap[3];
    size_t first, end;
};

static struct view view_of(const struct convolve *c, size_t tap) {
    struct view v = {.tap = {tap / c->kernel[2] / c->kernel[1], tap / c->kernel[2] % c->kernel[1],
                             tap % c->kernel[2]}};
    size_t offset = v.tap[2] * c->dilation[2], pad = c->pad[2], limit = c->in[2] + pad;
    v.first = offset < pad ? size_pieces(pad - offset, c->stride[2]) : 0;
    /* i * stride + offset < limit */
    v.end = offset < limit ? size_min(c->out[2], size_pieces(limit - offset, c->stride[2])) : 0;
    return v;
}

/* A run of output positions in one output row, seen through one tap. */
struct segment {
    size_t skip, count; /* positions before the first that reads inside x, and how many do */
    size_t from;        /* of that first one, in x's channel */
};

static inline struct segment segment_of(const struct convolve *c, const struct view *v,
                                        const size_t at[3], size_t len) {
    struct segment none = {.skip = len};
    size_t base = 0;
    for (int d = 0; d < 2; d++) {
        size_t i = at[d] * c->stride[d] + v->tap[d] * c->dilation[d];
        if (i < c->pad[d] || i - c->pad[d] >= c->in[d])
            return none;
        base = (base + i - c->pad[d]) * c->in[d + 1];
    }
    size_t first = size_max(at[2], v->first), end = size_min(at[2] + len, v->end);
    if (first >= end)
        return none;
    return (struct segment){first - at[2], end - first,
                            base + first * c->stride[2] + v->tap[2] * c->dilation[2] - c->pad[2]};
}

static void position_at(const struct convolve *c, size_t p, size_t ret[3]) {
    ret[2] = p % c->out[2];
    ret[1] = p / c->out[2] % c->out[1];
    ret[0] = p / c->out[2] / c->out[1];
}

/* The next output row's start. */
static void next_row(const struct convolve *c, size_t at[3]) {
    at[2] = 0;
    if (++at[1] == c->out[1]) {
        at[1] = 0;
        at[0]++;
    }
}

struct window {
    size_t k0, k1; /* rows of col */
    size_t p0, p1; /* positions */
};

/* ret [k1 - k0, ld] */
static void fill_panel(const struct convolve *c, const real *x, struct window win, size_t ld,
                       real *ret) {
    size_t taps = volume(c->kernel), plane = volume(c->in), step = c->stride[2];
    for (size_t k = win.k0; k < win.k1; k++, ret += ld) {
        const real *channel = x + k / taps * plane;
        struct view view = view_of(c, k % taps);
        size_t at[3], len;
        position_at(c, win.p0, at);
        real *to = ret;
        for (size_t p = win.p0; p < win.p1; p += len, next_row(c, at)) {
            len = size_min(c->out[2] - at[2], win.p1 - p);
            struct segment s = segment_of(c, &view, at, len);
            const real *from = channel + s.from;
            if (s.skip)
                memset(to, 0, s.skip * sizeof *to);
            to += s.skip;
            if (step == 1)
                memcpy(to, from, s.count * sizeof *to);
            else
                for (size_t i = 0; i < s.count; i++)
                    to[i] = from[i * step];
            to += s.count;
            size_t rest = len - s.skip - s.count;
            if (rest)
                memset(to, 0, rest * sizeof *to);
            to += rest;
        }
    }
}

/* dx gets back what a panel holds. */
static void spill_panel(const struct convolve *c, const real *panel, struct window win, size_t ld,
                        real *dx) {
    size_t taps = volume(c->kernel), plane = volume(c->in), step = c->stride[2];
    for (size_t k = win.k0; k < win.k1; k++, panel += ld) {
        real *channel = dx + k / taps * plane;
        struct view view = view_of(c, k % taps);
        size_t at[3], len;
        position_at(c, win.p0, at);
        const real *from = panel;
        for (size_t p = win.p0; p < win.p1; p += len, from += len, next_row(c, at)) {
            len = size_min(c->out[2] - at[2], win.p1 - p);
            struct segment s = segment_of(c, &view, at, len);
            real *to = channel + s.from;
            if (step == 1)
                vmath_add(to, from + s.skip, s.count, to);
            else
                for (size_t i = 0; i < s.count; i++)
                    to[i * step] += from[s.skip + i];
        }
    }
}

/* ---- what all passes know ---- */

struct work {
    const struct convolve *c;
    const real *x, *w, *bias, *dy;
    const struct clamp *clamp;
    real *y, *dx, *dw;
    real *scratch;
    size_t panel;     /* elements of scratch per worker */
    size_t k, m, p;   /* of one group of one image */
    size_t cols;      /* of a panel */
    size_t col_tiles; /* in p */
    size_t rows;      /* of a piece of k (dw), channels (dx) */
    size_t row_tiles;
    size_t m_rows; /* of a piece of m (dw) */
    size_t m_tiles;
    bool pointwise, add;
    real *whole; /* col of one image and group */
};

static size_t aligned(size_t elements) {
    return (elements + 15) / 16 * 16;
}

static struct work work_of(const struct convolve *c) {
    return (struct work){.c = c,
                         .k = rows_of_k(c),
                         .m = c->out_channels,
                         .p = volume(c->out),
                         .pointwise = is_pointwise(c)};
}

static const real *image(const real *x, const struct work *w, size_t n, size_t group) {
    return x + (n * w->c->groups + group) * w->c->in_channels * volume(w->c->in);
}

static size_t y_offset(const struct work *w, size_t n, size_t group) {
    return (n * w->c->groups + group) * w->m * w->p;
}

/* ---- depthwise: one input channel a group ---- */

struct plane_plan {
    size_t width, height; /* of the padded copy that `rows` output rows read */
    size_t rows;
    size_t row_tiles;
    size_t groups; /* a tile */
};

/* Padded rows are cut short or long to what the taps read. */
static struct plane_plan plan_planes(const struct convolve *c) {
    struct plane_plan p;
    size_t span = (c->kernel[1] - 1) * c->dilation[1] + 1;
    p.width = (c->out[2] - 1) * c->stride[2] + (c->kernel[2] - 1) * c->dilation[2] + 1;
    size_t fit = size_max(PLANE / p.width, span);
    p.rows = size_min((fit - span) / c->stride[1] + 1, c->out[1]);
    p.row_tiles = size_pieces(c->out[1], p.rows);
    p.height = (p.rows - 1) * c->stride[1] + span;
    size_t outputs = p.rows * c->out[2] * c->out_channels * volume(c->kernel);
    p.groups = p.row_tiles > 1 ? 1 : size_min(size_max(65536 / outputs, 1), c->groups);
    return p;
}

/* Short rows leave most of a register idle. With strides of 1 all rows of a padded plane are summed
 * as one, its margins too, and what belongs to y is taken out of it. */
static bool is_flat(const struct convolve *c) {
    return c->stride[1] == 1 && c->stride[2] == 1 && c->out[2] <= FLAT_WIDTH;
}

static size_t plane_elements(const struct convolve *c) {
    struct plane_plan p = plan_planes(c);
    return aligned(p.width * p.height) * (is_flat(c) ? 2 : 1);
}

/* Rows [row0, row0 + rows) of x under its padding, padded, width long. */
static void fill_plane(const struct convolve *c, const real *x, size_t row0, size_t rows,
                       size_t width, real *ret) {
    size_t left = size_min(c->pad[2], width), inside = size_min(c->in[2], width - left);
    for (size_t i = 0; i < rows; i++, ret += width) {
        size_t row = row0 + i;
        if (row < c->pad[1] || row - c->pad[1] >= c->in[1]) {
            memset(ret, 0, width * sizeof *ret);
            continue;
        }
        memset(ret, 0, left * sizeof *ret);
        memcpy(ret + left, x + (row - c->pad[1]) * c->in[2], inside * sizeof *ret);
        memset(ret + left + inside, 0, (width - left - inside) * sizeof *ret);
    }
}

struct planes {
    struct work work;
    struct plane_plan plan;
    size_t group_tiles;
};

static void clamp_rows(const struct work *w, real *y, size_t rows) {
    if (w->clamp && !w->add)
        vmath_clamp(y, *w->clamp, rows * w->c->out[2], y);
}

static int depthwise_y_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct planes *planes = ctx;
    const struct work *w = &planes->work;
    const struct convolve *c = w->c;
    const struct plane_plan *plan = &planes->plan;
    size_t row_tile = index % plan->row_tiles, rest = index / plan->row_tiles;
    size_t group0 = rest % planes->group_tiles * plan->groups, n = rest / planes->group_tiles;
    size_t row0 = row_tile * plan->rows, rows = size_min(plan->rows, c->out[1] - row0);
    size_t taps = volume(c->kernel), height = plan->height - (plan->rows - rows) * c->stride[1];
    real *plane = w->scratch + worker * w->panel;
    const real *top[MAX_TAPS], *at[MAX_TAPS]; /* of the first row, of this one */
    for (size_t t = 0; t < taps; t++)
        top[t] = plane + t / c->kernel[2] * c->dilation[1] * plan->width +
                 t % c->kernel[2] * c->dilation[2];
    for (size_t g = group0; g < size_min(group0 + plan->groups, c->groups); g++) {
        fill_plane(c, image(w->x, w, n, g), row0 * c->stride[1], height, plan->width, plane);
        for (size_t m = 0; m < w->m; m++) {
            real *y = w->y + y_offset(w, n, g) + m * w->p + row0 * c->out[2];
            const real *weight = w->w + (g * w->m + m) * taps;
            real bias = w->bias ? w->bias[g * w->m + m] : 0;
            if (!w->add && is_flat(c)) {
                size_t width = plan->width, n_flat = (rows - 1) * width + c->out[2];
                real *flat = plane + aligned(plan->width * plan->height);
                fill(flat, bias, n_flat);
                taps_sum(top, weight, taps, 1, n_flat, flat);
                for (size_t row = 0; row < rows; row++)
                    memcpy(y + row * c->out[2], flat + row * width, c->out[2] * sizeof *y);
                clamp_rows(w, y, rows);
                continue;
            }
            if (!w->add)
                fill(y, bias, rows * c->out[2]);
            for (size_t row = 0; row < rows; row++) {
                for (size_t t = 0; t < taps; t++)
                    at[t] = top[t] + row * c->stride[1] * plan->width;
                taps_sum(at, weight, taps, c->stride[2], c->out[2], y + row * c->out[2]);
            }
            clamp_rows(w, y, rows);
        }
    }
    return 0;
}

static int depthwise_y(struct work *w, const struct convolve_run *run, struct err *err) {
    struct planes planes = {*w, plan_planes(w->c), 0};
    planes.work.panel = plane_elements(w->c);
    planes.group_tiles = size_pieces(w->c->groups, planes.plan.groups);
    size_t tiles = w->c->batch * planes.group_tiles * planes.plan.row_tiles;
    return loop_run(run->team, run->progress, tiles, depthwise_y_tile, &planes, err);
}

/*
 * Both gradients over two padded copies of a plane, both of the padded input's width:
 *
 *   spread   dy with stride - 1 zeros between its numbers and rows
 *   plane    x under its padding
 *
 * Then a tap's gradient is one long product of `spread` with `plane` from the tap's own offset on
 * (what stands between rows of dy is zero), and dx is the sum of its taps over `spread`, which has
 * margins for that. Planes are cut into bands of dy's rows that stay in the cache.
 */
struct spread_plan {
    size_t width;  /* of both copies */
    size_t span;   /* rows that the taps of one row cover, less one */
    size_t rows;   /* of dy in a band */
    size_t height; /* of a band's plane */
    size_t margin; /* elements before and behind `spread` for dx */
};

static struct spread_plan plan_spread(const struct convolve *c) {
    struct spread_plan p;
    size_t across = (c->kernel[2] - 1) * c->dilation[2];
    p.span = (c->kernel[1] - 1) * c->dilation[1];
    p.width = size_max((c->out[2] - 1) * c->stride[2] + 1 + across, c->in[2] + c->pad[2]);
    p.rows = size_max(PLANE / p.width / c->stride[1], 1);
    p.rows = size_min(p.rows, c->out[1]);
    p.height = (p.rows - 1) * c->stride[1] + 1 + p.span;
    p.margin = aligned(p.span * p.width + across);
    return p;
}

/* Elements of scratch a worker: spread with its margins, and for w the plane. */
static size_t spread_elements(const struct convolve *c, enum convolve_pass pass) {
    struct spread_plan p = plan_spread(c);
    size_t plane = aligned(p.height * p.width + p.width);
    return pass == CONVOLVE_W ? 2 * plane : plane + 2 * p.margin;
}

/* `rows` rows of dy. */
static void fill_spread(const struct convolve *c, const struct spread_plan *p, const real *dy,
                        size_t rows, real *ret) {
    size_t step = c->stride[2];
    for (size_t row = 0; row < rows; row++, dy += c->out[2]) {
        real *to = ret + row * c->stride[1] * p->width;
        memset(to, 0, (row + 1 < rows ? c->stride[1] : 1) * p->width * sizeof *to);
        if (step == 1)
            memcpy(to, dy, c->out[2] * sizeof *to);
        else
            for (size_t i = 0; i < c->out[2]; i++)
                to[i * step] = dy[i];
    }
}

static size_t tap_offset(const struct convolve *c, const struct spread_plan *p, size_t tap) {
    return tap / c->kernel[2] * c->dilation[1] * p->width + tap % c->kernel[2] * c->dilation[2];
}

/* A band gives to the rows of x that it covers; bands come in order. */
static void band_x(const struct work *w, const struct spread_plan *p, const real *dy,
                   const real *weight, size_t row0, real *scratch, real *dx) {
    const struct convolve *c = w->c;
    size_t rows = size_min(p->rows, c->out[1] - row0), taps = volume(c->kernel);
    size_t covered = (rows - 1) * c->stride[1] + 1, top = row0 * c->stride[1];
    real *spread = scratch + p->margin;
    const real *at[MAX_TAPS];
    memset(scratch, 0, p->margin * sizeof *scratch);
    fill_spread(c, p, dy + row0 * c->out[2], rows, spread);
    memset(spread + covered * p->width, 0, p->margin * sizeof *scratch);
    for (size_t i = 0; i < covered + p->span; i++) { /* a row of x under its padding */
        if (top + i < c->pad[1] || top + i - c->pad[1] >= c->in[1])
            continue;
        /* Its column j reads spread at j + pad of the row, less the tap's offset. */
        for (size_t t = 0; t < taps; t++)
            at[t] = spread + i * p->width + c->pad[2] - tap_offset(c, p, t);
        taps_sum(at, weight, taps, 1, c->in[2], dx + (top + i - c->pad[1]) * c->in[2]);
    }
}

static int depthwise_x_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct work *w = ctx;
    const struct convolve *c = w->c;
    struct spread_plan plan = plan_spread(c);
    size_t n = index / c->groups, g = index % c->groups, taps = volume(c->kernel);
    for (size_t m = 0; m < w->m; m++)
        for (size_t row = 0; row < c->out[1]; row += plan.rows)
            band_x(w, &plan, w->dy + y_offset(w, n, g) + m * w->p, w->w + (g * w->m + m) * taps,
                   row, w->scratch + worker * w->panel, w->dx + index * volume(c->in));
    return 0;
}

static int depthwise_w_tile(void *ctx, size_t g, unsigned worker, struct err *err) {
    const struct work *w = ctx;
    const struct convolve *c = w->c;
    struct spread_plan plan = plan_spread(c);
    size_t taps = volume(c->kernel);
    real *plane = w->scratch + worker * w->panel, *spread = plane + w->panel / 2;
    for (size_t m = 0; m < w->m; m++) {
        double sums[MAX_TAPS] = {0};
        for (size_t n = 0; n < c->batch; n++)
            for (size_t row = 0; row < c->out[1]; row += plan.rows) {
                size_t rows = size_min(plan.rows, c->out[1] - row);
                size_t covered = (rows - 1) * c->stride[1] + 1;
                /* Up to dy's last number: what a tap sees behind it does not count. */
                size_t len = (covered - 1) * plan.width + (c->out[2] - 1) * c->stride[2] + 1;
                fill_plane(c, image(w->x, w, n, g), row * c->stride[1], covered + plan.span,
                           plan.width, plane);
                fill_spread(c, &plan, w->dy + y_offset(w, n, g) + m * w->p + row * c->out[2], rows,
                            spread);
                for (size_t t = 0; t < taps; t++)
                    sums[t] += vmath_dot(spread, plane + tap_offset(c, &plan, t), len);
            }
        for (size_t t = 0; t < taps; t++)
            w->dw[(g * w->m + m) * taps + t] += (real)sums[t];
    }
    return 0;
}

/* ---- y ---- */

static void tile_y(struct work *w) {
    w->cols = panel_cols(w->c, w->k);
    w->col_tiles = size_pieces(w->p, w->cols);
    w->panel = w->pointwise ? 0 : aligned(w->k * w->cols);
}

/* Too few tiles for a team, and enough work for one. */
static bool is_whole(const struct work *w) {
    return w->c->batch * w->c->groups * w->col_tiles < ENOUGH_TILES &&
           convolve_macs(w->c) / (w->c->batch * w->c->groups) > SMALL_MACS;
}

static const real *bias_of(const struct work *w, size_t group) {
    return w->bias && !w->add ? w->bias + group * w->m : NULL;
}

/* NULL: none is made. */
static real *panel_of(const struct work *w, unsigned worker) {
    return w->panel ? w->scratch + worker * w->panel : NULL;
}

static const struct clamp *clamp_of(const struct work *w) {
    return w->add ? NULL : w->clamp;
}

static int y_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct work *w = ctx;
    size_t tile = index % w->col_tiles, group = index / w->col_tiles % w->c->groups;
    size_t n = index / w->col_tiles / w->c->groups;
    struct window win = {0, w->k, tile * w->cols, size_min((tile + 1) * w->cols, w->p)};
    size_t cols = win.p1 - win.p0;
    const real *x = image(w->x, w, n, group);
    real *panel = panel_of(w, worker), *y = w->y + y_offset(w, n, group) + win.p0;
    if (panel)
        fill_panel(w->c, x, win, cols, panel);
    gemm_tile(&(struct gemm){.m = w->m,
                             .n = cols,
                             .k = w->k,
                             .alpha = 1,
                             .beta = w->add ? 1 : 0,
                             .row_bias = bias_of(w, group),
                             .clamp = clamp_of(w),
                             .a = w->w + group * w->m * w->k,
                             .b = w->pointwise ? x + win.p0 : panel,
                             .c = y,
                             .lda = w->k,
                             .ldb = w->pointwise ? w->p : cols,
                             .ldc = w->p});
    return 0;
}

static int whole_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct work *w = ctx;
    struct window win = {index * w->rows, size_min((index + 1) * w->rows, w->k), 0, w->p};
    fill_panel(w->c, w->x, win, w->p, w->whole + win.k0 * w->p);
    return 0;
}

static int whole_y(const struct work *w, const struct convolve_run *run, struct err *err) {
    for (size_t i = 0; i < w->c->batch * w->c->groups; i++) {
        size_t n = i / w->c->groups, group = i % w->c->groups;
        struct work one = *w;
        one.x = image(w->x, w, n, group);
        one.whole = w->scratch;
        one.rows = size_max(PANEL / size_max(w->p, 1), 1);
        real *y = w->y + y_offset(w, n, group);
        if (!w->pointwise && loop_run(run->team, run->progress, size_pieces(w->k, one.rows),
                                      whole_tile, &one, err) < 0)
            return -1;
        if (gemm_run(&(struct gemm){.m = w->m,
                                    .n = w->p,
                                    .k = w->k,
                                    .alpha = 1,
                                    .beta = w->add ? 1 : 0,
                                    .row_bias = bias_of(w, group),
                                    .clamp = clamp_of(w),
                                    .a = w->w + group * w->m * w->k,
                                    .b = w->pointwise ? one.x : one.whole,
                                    .c = y,
                                    .lda = w->k,
                                    .ldb = w->p,
                                    .ldc = w->p},
                     run->team, run->progress, err) < 0)
            return -1;
    }
    return 0;
}

int convolve_y(const struct convolve *c, const real *x, const real *w, const real *bias, bool add,
               real *y, const struct convolve_run *run, struct err *err) {
    if (is_empty(c))
        return 0;
    struct work work = work_of(c);
    work.x = x;
    work.w = w;
    work.bias = bias;
    work.clamp = run->clamp;
    work.add = add;
    work.y = y;
    work.scratch = run->scratch;
    if (is_depthwise(c))
        return depthwise_y(&work, run, err);
    if (winograd_pays(c))
        return winograd_y(c, x, w, bias, add, y, run, err);
    tile_y(&work);
    if (is_whole(&work))
        return whole_y(&work, run, err);
    if (gemm_check(work.k, work.k, size_max(work.p, work.cols), work.p, err) < 0)
        return -1;
    return loop_run(run->team, run->progress, c->batch * c->groups * work.col_tiles, y_tile, &work,
                    err);
}

/* ---- gradient of x ---- */

static void tile_x(struct work *w) {
    const struct convolve *c = w->c;
    size_t taps = volume(c->kernel), images = c->batch * c->groups;
    size_t tiles = images < ENOUGH_TILES ? size_pieces(ENOUGH_TILES, size_max(images, 1)) : 1;
    w->rows = size_pieces(c->in_channels, size_min(tiles, size_max(c->in_channels, 1)));
    w->row_tiles = size_pieces(c->in_channels, w->rows);
    w->cols = panel_cols(c, w->rows * taps);
    w->col_tiles = size_pieces(w->p, w->cols);
    w->panel = w->pointwise ? 0 : aligned(w->rows * taps * w->cols);
}

static int x_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct work *w = ctx;
    const struct convolve *c = w->c;
    size_t piece = index % w->row_tiles, group = index / w->row_tiles % c->groups;
    size_t n = index / w->row_tiles / c->groups, taps = volume(c->kernel);
    struct window win = {piece * w->rows * taps,
                         size_min((piece + 1) * w->rows, c->in_channels) * taps, 0, 0};
    real *panel = panel_of(w, worker);
    real *dx = w->dx + (n * c->groups + group) * c->in_channels * volume(c->in);
    for (size_t tile = 0; tile < w->col_tiles; tile++) {
        win.p0 = tile * w->cols;
        win.p1 = size_min(win.p0 + w->cols, w->p);
        size_t cols = win.p1 - win.p0;
        gemm_tile(&(struct gemm){.a_transposed = true,
                                 .m = win.k1 - win.k0,
                                 .n = cols,
                                 .k = w->m,
                                 .alpha = 1,
                                 .beta = w->pointwise ? 1 : 0,
                                 .a = w->w + group * w->m * w->k + win.k0,
                                 .b = w->dy + y_offset(w, n, group) + win.p0,
                                 .c = w->pointwise ? dx + win.k0 * w->p + win.p0 : panel,
                                 .lda = w->k,
                                 .ldb = w->p,
                                 .ldc = w->pointwise ? w->p : cols});
        if (panel)
            spill_panel(c, panel, win, cols, dx);
    }
    return 0;
}

int convolve_x(const struct convolve *c, const real *dy, const real *w, real *dx,
               const struct convolve_run *run, struct err *err) {
    if (is_empty(c) || c->in_channels == 0)
        return 0;
    struct work work = work_of(c);
    work.dy = dy;
    work.w = w;
    work.dx = dx;
    work.scratch = run->scratch;
    if (is_depthwise_back(c)) {
        work.panel = spread_elements(c, CONVOLVE_X);
        return loop_run(run->team, run->progress, c->batch * c->groups, depthwise_x_tile, &work,
                        err);
    }
    tile_x(&work);
    if (gemm_check(work.m, work.k, size_max(work.p, work.cols), work.p, err) < 0)
        return -1;
    return loop_run(run->team, run->progress, c->batch * c->groups * work.row_tiles, x_tile, &work,
                    err);
}

/* ---- gradient of w ---- */

static void tile_w(struct work *w) {
    size_t groups = w->c->groups;
    /* Pieces of K first: they share no panel. Then of M, which makes panels twice. */
    size_t tiles = groups < ENOUGH_TILES ? size_pieces(ENOUGH_TILES, size_max(groups, 1)) : 1;
    w->rows = size_min(w->k, size_max(size_pieces(w->k, tiles), 48));
    w->rows = size_max(w->rows, 1);
    w->row_tiles = size_pieces(w->k, w->rows);
    tiles = size_pieces(tiles, size_max(w->row_tiles, 1));
    w->m_rows = size_max(size_min(w->m, size_max(size_pieces(w->m, tiles), 64)), 1);
    w->m_tiles = size_pieces(w->m, w->m_rows);
    w->cols = panel_cols(w->c, w->rows);
    w->col_tiles = size_pieces(w->p, w->cols);
    w->panel = w->pointwise ? 0 : aligned(w->rows * w->cols);
}

static int w_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct work *w = ctx;
    const struct convolve *c = w->c;
    size_t m0 = index % w->m_tiles * w->m_rows, m1 = size_min(m0 + w->m_rows, w->m);
    size_t piece = index / w->m_tiles % w->row_tiles, group = index / w->m_tiles / w->row_tiles;
    struct window win = {piece * w->rows, size_min((piece + 1) * w->rows, w->k), 0, 0};
    real *panel = panel_of(w, worker);
    for (size_t n = 0; n < c->batch; n++) {
        const real *x = image(w->x, w, n, group);
        for (size_t tile = 0; tile < w->col_tiles; tile++) {
            win.p0 = tile * w->cols;
            win.p1 = size_min(win.p0 + w->cols, w->p);
            size_t cols = win.p1 - win.p0;
            if (panel)
                fill_panel(c, x, win, cols, panel);
            gemm_tile(&(struct gemm){.b_transposed = true,
                                     .m = m1 - m0,
                                     .n = win.k1 - win.k0,
                                     .k = cols,
                                     .alpha = 1,
                                     .beta = 1,
                                     .a = w->dy + y_offset(w, n, group) + m0 * w->p + win.p0,
                                     .b = w->pointwise ? x + win.k0 * w->p + win.p0 : panel,
                                     .c = w->dw + (group * w->m + m0) * w->k + win.k0,
                                     .lda = w->p,
                                     .ldb = w->pointwise ? w->p : cols,
                                     .ldc = w->k});
        }
    }
    return 0;
}

int convolve_w(const struct convolve *c, const real *dy, const real *x, real *dw,
               const struct convolve_run *run, struct err *err) {
    if (is_empty(c) || c->in_channels == 0)
        return 0;
    struct work work = work_of(c);
    work.dy = dy;
    work.x = x;
    work.dw = dw;
    work.scratch = run->scratch;
    if (is_depthwise_back(c)) {
        work.panel = spread_elements(c, CONVOLVE_W);
        return loop_run(run->team, run->progress, c->groups, depthwise_w_tile, &work, err);
    }
    tile_w(&work);
    if (gemm_check(size_max(work.p, work.cols), work.p, work.p, work.k, err) < 0)
        return -1;
    return loop_run(run->team, run->progress, c->groups * work.row_tiles * work.m_tiles, w_tile,
                    &work, err);
}

/* ---- gradient of the bias ---- */

struct sums {
    size_t batch, channels, positions;
    const real *dy;
    real *db;
    size_t channels_a_tile;
};

static int bias_tile(void *ctx, size_t index, unsigned worker, struct err *err) {
    const struct sums *s = ctx;
    size_t end = size_min((index + 1) * s->channels_a_tile, s->channels);
    for (size_t m = index * s->channels_a_tile; m < end; m++) {
        double sum = 0;
        for (size_t n = 0; n < s->batch; n++)
            sum += vmath_sum(s->dy + (n * s->channels + m) * s->positions, s->positions);
        s->db[m] += (real)sum;
    }
    return 0;
}

int convolve_bias(size_t batch, size_t channels, size_t positions, const real *dy, real *db,
                  const struct convolve_run *run, struct err *err) {
    struct sums s = {batch, channels, positions, dy, db, 1};
    s.channels_a_tile = size_max(SUM_PIECE / size_max(batch * positions, 1), 1);
    return loop_run(run->team, run->progress, size_pieces(channels, s.channels_a_tile), bias_tile,
                    &s, err);
}

/* ---- scratch ---- */

uint64_t convolve_scratch(const struct convolve *c, enum convolve_pass pass, unsigned threads) {
    struct work w = work_of(c);
    if (is_empty(c))
        return 0;
    if (pass == CONVOLVE_Y && is_depthwise(c))
        return (uint64_t)plane_elements(c) * threads * sizeof(real);
    if (pass != CONVOLVE_Y && is_depthwise_back(c))
        return (uint64_t)spread_elements(c, pass) * threads * sizeof(real);
    switch (pass) {
    case CONVOLVE_Y:
        if (winograd_pays(c))
            return winograd_scratch(c, threads);
        tile_y(&w);
        if (is_whole(&w))
            return w.pointwise ? 0 : (uint64_t)w.k * w.p * sizeof(real);
        break;
    case CONVOLVE_X:
        tile_x(&w);
        break;
    case CONVOLVE_W:
        tile_w(&w);
        break;
    }
    return (uint64_t)w.panel * threads * sizeof(real);
}
