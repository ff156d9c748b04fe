/* See strided.h. A box is normalised, then cut by the linear number of its items. */
#include "compress/graph/strided.h"
#include "compress/base/loop.h"

#include <assert.h>
#include <string.h>

/* Items of a tile: some microseconds of copying. */
enum { TILE = 16384 };
/* Side of a block: 32 rows of 32 items of 8 bytes are 8 KB on each side, within L1. */
enum { BLOCK = 32 };

struct walk {
    struct strided box; /* normalised, without the axes of `sum` */
    struct strided sum; /* strided_add(): axes along which `to` stands still */
    uint64_t items;     /* of box */
    const uint8_t *from;
    uint8_t *to;
    unsigned item_bytes; /* 0: add reals */
    /* blocked moves: the axis that reads in steps of 1, and how many strips of BLOCK along it a
     * tile takes */
    unsigned across;
    uint64_t strips, strips_per_axis, strips_per_tile;
};

/* ---- boxes ---- */

void strided_axis(struct strided *s, uint64_t dim, int64_t from, int64_t to) {
    assert(s->rank < STRIDED_RANK);
    s->dims[s->rank] = dim;
    s->from[s->rank] = from;
    s->to[s->rank++] = to;
}

struct strided strided_reverse(const struct strided *s) {
    struct strided back = *s;
    memcpy(back.from, s->to, sizeof back.from);
    memcpy(back.to, s->from, sizeof back.to);
    back.from_start = s->to_start;
    back.to_start = s->from_start;
    return back;
}

void strided_steps(unsigned rank, const uint64_t *dims, int64_t *ret) {
    int64_t step = 1;
    for (unsigned i = rank; i-- > 0; step *= (int64_t)dims[i])
        ret[i] = step;
}

static int64_t magnitude(int64_t x) {
    return x < 0 ? -x : x;
}

/* In the order of writing, neighbours that are one run on both sides merged. Returns the number of
 * items. */
static uint64_t normalise(struct strided *s) {
    uint64_t items = 1;
    unsigned rank = 0;
    for (unsigned i = 0; i < s->rank; i++) {
        items *= s->dims[i];
        if (s->dims[i] == 1)
            continue;
        uint64_t dim = s->dims[i];
        int64_t from = s->from[i], to = s->to[i];
        unsigned at = rank++;
        for (; at > 0 && magnitude(s->to[at - 1]) < magnitude(to); at--) {
            s->dims[at] = s->dims[at - 1];
            s->from[at] = s->from[at - 1];
            s->to[at] = s->to[at - 1];
        }
        s->dims[at] = dim;
        s->from[at] = from;
        s->to[at] = to;
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < rank; i++) {
        int64_t dim = (int64_t)s->dims[i];
        if (kept && s->from[kept - 1] == s->from[i] * dim && s->to[kept - 1] == s->to[i] * dim) {
            s->dims[kept - 1] *= s->dims[i];
        } else {
            s->dims[kept++] = s->dims[i];
        }
        s->from[kept - 1] = s->from[i];
        s->to[kept - 1] = s->to[i];
    }
    s->rank = kept;
    return items;
}

/* ---- rows ---- */

#define COPY_ROW(bytes)                \
    for (uint64_t i = 0; i < n; i++) { \
        memcpy(to, from, bytes);       \
        from += from_step * (bytes);   \
        to += to_step * (bytes);       \
    }                                  \
    break

/* n items, steps in items. */
static void copy_row(const uint8_t *from, int64_t from_step, uint8_t *to, int64_t to_step,
                     uint64_t n, unsigned item_bytes) {
    if (from_step == 1 && to_step == 1) {
        memcpy(to, from, n * item_bytes);
        return;
    }
    switch (item_bytes) {
    case 1:
        COPY_ROW(1);
    case 2:
        COPY_ROW(2);
    case 4:
        COPY_ROW(4);
    case 8:
        COPY_ROW(8);
    default:
        COPY_ROW(16);
    }
}

static void add_row(const real *from, int64_t from_step, real *to, int64_t to_step, uint64_t n) {
    if (from_step == 1 && to_step == 1) {
        for (uint64_t i = 0; i < n; i++)
            to[i] += from[i];
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        to[(int64_t)i * to_step] += from[(int64_t)i * from_step];
}

static void do_row(const struct walk *w, int64_t from, int64_t from_step, int64_t to,
                   int64_t to_step, uint64_t n) {
    if (w->item_bytes)
        copy_row(w->from + from * w->item_bytes, from_step, w->to + to * w->item_bytes, to_step, n,
                 w->item_bytes);
    else
        add_row((const real *)(const void *)w->from + from, from_step, (real *)(void *)w->to + to,
                to_step, n);
}

/* ---- walking ---- */

struct place {
    uint64_t index[STRIDED_RANK];
    int64_t from, to;
};

/* The place of the box's item number `linear`. */
static struct place place_of(const struct strided *s, uint64_t linear) {
    struct place p = {.from = s->from_start, .to = s->to_start};
    for (unsigned i = s->rank; i-- > 0; linear /= s->dims[i]) {
        p.index[i] = linear % s->dims[i];
        p.from += (int64_t)p.index[i] * s->from[i];
        p.to += (int64_t)p.index[i] * s->to[i];
    }
    return p;
}

/* Steps the axes below `rank`, the last of them first. */
static void place_next(const struct strided *s, struct place *p, unsigned rank) {
    for (unsigned i = rank; i-- > 0;) {
        p->from += s->from[i];
        p->to += s->to[i];
        if (++p->index[i] < s->dims[i])
            return;
        p->from -= (int64_t)s->dims[i] * s->from[i];
        p->to -= (int64_t)s->dims[i] * s->to[i];
        p->index[i] = 0;
    }
}

/* Items [start, end) of the box, read `shift` items further on. */
static void do_range(const struct walk *w, uint64_t start, uint64_t end, int64_t shift) {
    const struct strided *s = &w->box;
    if (s->rank == 0) {
        do_row(w, s->from_start + shift, 1, s->to_start, 1, 1);
        return;
    }
    unsigned last = s->rank - 1;
    struct place p = place_of(s, start);
    while (start < end) {
        uint64_t n = s->dims[last] - p.index[last];
        if (n > end - start)
            n = end - start;
        do_row(w, p.from + shift, s->from[last], p.to, s->to[last], n);
        start += n;
        p.from -= (int64_t)p.index[last] * s->from[last];
        p.to -= (int64_t)p.index[last] * s->to[last];
        p.index[last] = 0;
        place_next(s, &p, last);
    }
}

static int range_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct walk *w = ctx;
    uint64_t start = (uint64_t)tile * TILE, end = start + TILE < w->items ? start + TILE : w->items;
    uint64_t sums = 1;
    for (unsigned i = 0; i < w->sum.rank; i++)
        sums *= w->sum.dims[i];
    struct place p = place_of(&w->sum, 0);
    for (uint64_t i = 0; i < sums; i++) {
        do_range(w, start, end, p.from);
        place_next(&w->sum, &p, w->sum.rank);
    }
    return 0;
}

static int run_ranges(struct walk *w, struct team *team, const struct progress *progress,
                      struct err *err) {
    return loop_run(team, progress, (size_t)((w->items + TILE - 1) / TILE), range_tile, w, err);
}

/* ---- blocks ---- */

#define COPY_BLOCK(bytes)                                                       \
    for (uint64_t a = 0; a < na; a++)                                           \
        for (uint64_t b = 0; b < nb; b++)                                       \
            memcpy(to + ((int64_t)a * to_a + (int64_t)b) * (bytes),             \
                   from + ((int64_t)a + (int64_t)b * from_b) * (bytes), bytes); \
    break

/* na x nb items: reading runs along a, writing along b. */
static void copy_block(const uint8_t *from, int64_t from_b, uint8_t *to, int64_t to_a, uint64_t na,
                       uint64_t nb, unsigned item_bytes) {
    switch (item_bytes) {
    case 1:
        COPY_BLOCK(1);
    case 2:
        COPY_BLOCK(2);
    case 4:
        COPY_BLOCK(4);
    case 8:
        COPY_BLOCK(8);
    default:
        COPY_BLOCK(16);
    }
}

/* A strip: BLOCK indices of the axis `across`, all of the last axis, one index of every other. */
static int strip_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct walk *w = ctx;
    const struct strided *s = &w->box;
    unsigned last = s->rank - 1, bytes = w->item_bytes;
    uint64_t end = ((uint64_t)tile + 1) * w->strips_per_tile;
    if (end > w->strips)
        end = w->strips;
    for (uint64_t strip = (uint64_t)tile * w->strips_per_tile; strip < end; strip++) {
        uint64_t a = strip % w->strips_per_axis * BLOCK, rest = strip / w->strips_per_axis;
        int64_t from = s->from_start + (int64_t)a * s->from[w->across];
        int64_t to = s->to_start + (int64_t)a * s->to[w->across];
        for (unsigned i = last; i-- > 0;) {
            if (i == w->across)
                continue;
            from += (int64_t)(rest % s->dims[i]) * s->from[i];
            to += (int64_t)(rest % s->dims[i]) * s->to[i];
            rest /= s->dims[i];
        }
        uint64_t na = s->dims[w->across] - a < BLOCK ? s->dims[w->across] - a : BLOCK;
        for (uint64_t b = 0; b < s->dims[last]; b += BLOCK) {
            uint64_t nb = s->dims[last] - b < BLOCK ? s->dims[last] - b : BLOCK;
            copy_block(w->from + (from + (int64_t)b * s->from[last]) * bytes, s->from[last],
                       w->to + (to + (int64_t)b) * bytes, s->to[w->across], na, nb, bytes);
        }
    }
    return 0;
}

/* Whether writing runs along the last axis and reading along another. */
static bool find_across(struct walk *w) {
    const struct strided *s = &w->box;
    if (s->rank < 2 || s->to[s->rank - 1] != 1 || s->from[s->rank - 1] == 1)
        return false;
    for (unsigned i = 0; i < s->rank - 1; i++)
        if (s->from[i] == 1) {
            w->across = i;
            return true;
        }
    return false;
}

static int run_strips(struct walk *w, struct team *team, const struct progress *progress,
                      struct err *err) {
    const struct strided *s = &w->box;
    uint64_t side = s->dims[w->across], length = s->dims[s->rank - 1];
    w->strips_per_axis = (side + BLOCK - 1) / BLOCK;
    w->strips = w->items / side / length * w->strips_per_axis;
    w->strips_per_tile = TILE / (BLOCK * length) ? TILE / (BLOCK * length) : 1;
    return loop_run(team, progress,
                    (size_t)((w->strips + w->strips_per_tile - 1) / w->strips_per_tile), strip_tile,
                    w, err);
}

/* ---- public ---- */

int strided_move(const struct strided *s, const void *from, void *to, unsigned item_bytes,
                 struct team *team, const struct progress *progress, struct err *err) {
    struct walk w = {.box = *s, .from = from, .to = to, .item_bytes = item_bytes};
    assert(item_bytes == 1 || item_bytes == 2 || item_bytes == 4 || item_bytes == 8 ||
           item_bytes == 16);
    w.items = normalise(&w.box);
    if (w.items == 0)
        return 0;
    return find_across(&w) ? run_strips(&w, team, progress, err)
                           : run_ranges(&w, team, progress, err);
}

int strided_add(const struct strided *s, const real *from, real *to, struct team *team,
                const struct progress *progress, struct err *err) {
    struct walk w = {.from = (const void *)from, .to = (void *)to};
    w.box.from_start = s->from_start;
    w.box.to_start = s->to_start;
    for (unsigned i = 0; i < s->rank; i++) {
        if (s->dims[i] == 0)
            return 0;
        strided_axis(s->to[i] == 0 ? &w.sum : &w.box, s->dims[i], s->from[i], s->to[i]);
    }
    w.items = normalise(&w.box);
    return run_ranges(&w, team, progress, err);
}

int strided_copy(const void *from, void *to, uint64_t bytes, struct team *team,
                 const struct progress *progress, struct err *err) {
    if (from == to || bytes == 0)
        return 0;
    struct strided s = {0};
    strided_axis(&s, bytes & ~UINT64_C(7), 1, 1);
    s.dims[0] /= 8;
    if (strided_move(&s, from, to, 8, team, progress, err) != 0)
        return -1;
    uint64_t done = bytes & ~UINT64_C(7);
    memcpy((uint8_t *)to + done, (const uint8_t *)from + done, bytes - done);
    return 0;
}

int strided_add_all(const real *from, real *to, uint64_t count, struct team *team,
                    const struct progress *progress, struct err *err) {
    struct strided s = {0};
    strided_axis(&s, count, 1, 1);
    return strided_add(&s, from, to, team, progress, err);
}

int strided_fill(void *to, uint64_t count, const void *item, unsigned item_bytes, struct team *team,
                 const struct progress *progress, struct err *err) {
    struct strided s = {0};
    strided_axis(&s, count, 0, 1);
    return strided_move(&s, item, to, item_bytes, team, progress, err);
}
