/* See resample.h. */
#include "compress/graph/resample.h"
#include "compress/base/loop.h"

#include <math.h>
#include <string.h>

enum { TILE = 16384 };
/* Columns that a backward tile takes. */
enum { WIDTH = 256 };

/* ---- tables ---- */

/* How far the kernel reaches on each side. */
static double support(const struct resample *how) {
    return how->mode == RESAMPLE_CUBIC ? 2 : 1;
}

/* Taps for a kernel stretched by 1 / scale: the same number below and above. */
static double taps_of(const struct resample *how, double scale) {
    if (how->mode == RESAMPLE_NEAREST)
        return 1;
    if (!how->antialias || scale > 1)
        scale = 1;
    return -2 * floor(-support(how) / scale);
}

/* The smallest scale that gives `out` elements is half an element less. */
static uint64_t most_taps(const struct resample *how, uint64_t in, uint64_t out) {
    return (uint64_t)taps_of(how, ((double)out - 0.5) / (double)in);
}

uint64_t resample_bytes(const struct resample *how, uint64_t in, uint64_t out) {
    uint64_t taps = most_taps(how, in, out);
    return (out * (taps * (sizeof(int64_t) + sizeof(real)) + 1) + 63) / 64 * 64;
}

static double position(const struct resample *how, const struct resample_axis *a, uint64_t o) {
    double x = (double)o, in = (double)a->in, out = a->scale * in;
    switch (how->coordinates) {
    case RESAMPLE_ALIGN_CORNERS:
        return out == 1 ? 0 : x * (in - 1) / (out - 1);
    case RESAMPLE_ASYMMETRIC:
        return x / a->scale;
    case RESAMPLE_TF_CROP:
        if (out == 1)
            return (a->roi[1] - a->roi[0]) * (in - 1) / 2 + a->roi[0] * (in - 1);
        return x * (a->roi[1] - a->roi[0]) * (in - 1) / (out - 1) + a->roi[0] * (in - 1);
    case RESAMPLE_PYTORCH_HALF_PIXEL:
        return out == 1 ? 0 : (x + 0.5) / a->scale - 0.5;
    case RESAMPLE_HALF_PIXEL_SYMMETRIC:
        return in / 2 * (1 - (double)a->out / out) + (x + 0.5) / a->scale - 0.5;
    case RESAMPLE_HALF_PIXEL:
        break;
    }
    return (x + 0.5) / a->scale - 0.5;
}

static double nearest(const struct resample *how, const struct resample_axis *a, double x) {
    switch (how->nearest) {
    case RESAMPLE_PREFER_FLOOR:
        return ceil(x - 0.5);
    case RESAMPLE_PREFER_CEIL:
        return floor(x + 0.5);
    case RESAMPLE_FLOOR:
        return floor(x);
    case RESAMPLE_CEIL:
        return ceil(x);
    case RESAMPLE_SIMPLE:
        break;
    }
    return a->scale < 1 ? ceil(x) : floor(x);
}

static double kernel(const struct resample *how, double x) {
    double a = how->cubic_a;
    x = fabs(x);
    if (how->mode == RESAMPLE_LINEAR)
        return x < 1 ? 1 - x : 0;
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* NaN, of a region that is none, becomes 0. */
static int64_t clamp(double x, uint64_t n) {
    return !(x > 0) ? 0 : x > (double)(n - 1) ? (int64_t)(n - 1) : (int64_t)x;
}

/* Taps of one output position. They begin below x, so that half of them are. */
static void fill_row(const struct resample *how, struct resample_axis *a, uint64_t o) {
    int64_t *index = a->index + o * a->taps;
    real *weight = a->weight + o * a->taps;
    double x = position(how, a, o);
    a->outside[o] = how->coordinates == RESAMPLE_TF_CROP && !(x >= 0 && x <= (double)(a->in - 1));
    a->some_outside = a->some_outside || a->outside[o];
    if (how->mode == RESAMPLE_NEAREST) {
        index[0] = clamp(nearest(how, a, x), a->in);
        weight[0] = 1;
        return;
    }
    unsigned half = a->taps / 2;
    double first = ceil(x) - half, sum = 0;
    double stretch = how->antialias && a->scale < 1 ? a->scale : 1;
    for (unsigned t = 0; t < a->taps; t++) {
        double at = first + t, w = kernel(how, (at - x) * stretch);
        if (how->exclude_outside && (at < 0 || at > (double)(a->in - 1)))
            w = 0;
        index[t] = clamp(at, a->in);
        weight[t] = (real)w;
        sum += w;
    }
    if (sum != 0 && (how->exclude_outside || how->antialias))
        for (unsigned t = 0; t < a->taps; t++)
            weight[t] = (real)(weight[t] / sum);
}

bool resample_table(const struct resample *how, void *memory, struct resample_axis *a) {
    double taps = taps_of(how, a->scale);
    if (!(a->scale > 0) || taps > UINT32_MAX || !(taps <= (double)most_taps(how, a->in, a->out)))
        return false;
    a->taps = (unsigned)taps;
    a->index = memory;
    a->weight = (real *)(void *)(a->index + a->out * a->taps);
    a->outside = (uint8_t *)(a->weight + a->out * a->taps);
    a->some_outside = false;
    for (uint64_t o = 0; o < a->out; o++)
        fill_row(how, a, o);
    return true;
}

/* ---- passes ---- */

struct pass {
    const struct resample_axis *axis;
    uint64_t outer, inner;
    const uint8_t *from;
    uint8_t *to;
    unsigned item_bytes;
    uint64_t rows_per_tile;
    const real *dy;
    real *dx;
};

/* One row of `inner`: the weighted sum of its taps. */
static void add_taps(const struct pass *p, uint64_t outer, uint64_t o, real *to) {
    const struct resample_axis *a = p->axis;
    const int64_t *index = a->index + o * a->taps;
    const real *weight = a->weight + o * a->taps;
    const real *from = (const real *)(const void *)p->from + outer * a->in * p->inner;
    if (p->inner == 1) {
        real sum = 0;
        for (unsigned t = 0; t < a->taps; t++)
            sum += weight[t] * from[index[t]];
        *to = sum;
        return;
    }
    for (unsigned t = 0; t < a->taps; t++) {
        const real *row = from + (uint64_t)index[t] * p->inner, w = weight[t];
        for (uint64_t i = 0; i < p->inner; i++)
            to[i] = (t ? to[i] : 0) + w * row[i];
    }
}

/* Rows [row, end) of one item of four bytes: nearest neighbours along the last axis. */
static void pick_words(const struct pass *p, uint64_t row, uint64_t end) {
    const struct resample_axis *a = p->axis;
    const uint32_t *from = (const uint32_t *)(const void *)p->from + row / a->out * a->in;
    uint32_t *to = (uint32_t *)(void *)p->to;
    for (uint64_t o = row % a->out; row < end; row++) {
        to[row] = from[a->index[o * a->taps]];
        if (++o == a->out) {
            o = 0;
            from += a->in;
        }
    }
}

static int pass_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct pass *p = ctx;
    const struct resample_axis *a = p->axis;
    uint64_t row = (uint64_t)tile * p->rows_per_tile, end = row + p->rows_per_tile;
    uint64_t bytes = p->inner * p->item_bytes;
    if (bytes == sizeof(uint32_t)) {
        pick_words(p, row, end < p->outer * a->out ? end : p->outer * a->out);
        return 0;
    }
    for (; row < end && row < p->outer * a->out; row++) {
        uint64_t outer = row / a->out, o = row % a->out;
        if (p->item_bytes)
            memcpy(p->to + row * bytes,
                   p->from + (outer * a->in + (uint64_t)a->index[o * a->taps]) * bytes, bytes);
        else
            add_taps(p, outer, o, (real *)(void *)p->to + row * p->inner);
    }
    return 0;
}

int resample_pass(const struct resample_axis *axis, uint64_t outer, uint64_t inner,
                  const void *from, void *to, unsigned item_bytes, struct team *team,
                  const struct progress *progress, struct err *err) {
    struct pass p = {.axis = axis,
                     .outer = outer,
                     .inner = inner,
                     .from = from,
                     .to = to,
                     .item_bytes = item_bytes};
    uint64_t work = inner * axis->taps, rows = outer * axis->out;
    p.rows_per_tile = work < TILE ? TILE / (work ? work : 1) : 1;
    return loop_run(team, progress, (size_t)((rows + p.rows_per_tile - 1) / p.rows_per_tile),
                    pass_tile, &p, err);
}

/* Some columns of one outer index, every output in turn. */
static int back_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct pass *p = ctx;
    const struct resample_axis *a = p->axis;
    uint64_t strips = (p->inner + WIDTH - 1) / WIDTH, outer = tile / strips;
    uint64_t first = tile % strips * WIDTH;
    uint64_t last = first + WIDTH < p->inner ? first + WIDTH : p->inner;
    for (uint64_t o = 0; o < a->out; o++)
        for (unsigned t = 0; t < a->taps; t++) {
            uint64_t index = (uint64_t)a->index[o * a->taps + t];
            real w = a->weight[o * a->taps + t];
            const real *dy = p->dy + (outer * a->out + o) * p->inner;
            real *dx = p->dx + (outer * a->in + index) * p->inner;
            for (uint64_t i = first; i < last; i++)
                dx[i] += w * dy[i];
        }
    return 0;
}

int resample_back(const struct resample_axis *axis, uint64_t outer, uint64_t inner, const real *dy,
                  real *dx, struct team *team, const struct progress *progress, struct err *err) {
    struct pass p = {.axis = axis, .outer = outer, .inner = inner, .dy = dy, .dx = dx};
    return loop_run(team, progress, (size_t)(outer * ((inner + WIDTH - 1) / WIDTH)), back_tile, &p,
                    err);
}
