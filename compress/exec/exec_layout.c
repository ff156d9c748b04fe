/*
 * Greedy placement: pieces are taken in some order, and each goes into the smallest gap that fits
 * between those already placed whose lifetimes meet its own; where no gap fits, on top of them.
 *
 * Orders: by size (large tensors have few places, small ones fill what is left), by size times
 * lifetime (what lives long is in everybody's way), and by time (what an allocator would see: best
 * where sizes shrink or grow along the network). Placing by size looks at every placed piece, so
 * it is quadratic; by time it looks at the living ones alone. While the result stays above the
 * bound, the piece on top of the pile is taken first of all and everything is placed again.
 */
#include "compress/exec/exec_layout.h"

#include "compress/base/bytes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Above this many pieces only the order of time is tried: 8,192^2 / 2 looks take some 50 ms. */
enum { QUADRATIC_MAX = 8192 };
/* Looks at pieces that may be spent on placing again, some 100 ms. */
#define AGAIN_LOOKS 20000000
enum { AGAIN_MAX = 100 };

struct item {
    uint64_t bytes; /* aligned */
    size_t first, last;
    size_t index;
    uint64_t offset;
};

typedef int order_fn(const void *a, const void *b);

static uint64_t place(struct item *items, size_t count, bool by_time, struct item **placed);
static void keep_better(struct exec_piece *pieces, const struct item *items, size_t count,
                        uint64_t bytes, uint64_t *best);
static void topmost_first(struct item *items, size_t count, uint64_t top);
static order_fn by_size, by_area, by_time_order;

static const struct {
    order_fn *order;
    bool by_time;
} orders[] = {{by_time_order, true}, {by_size, false}, {by_area, false}};

static int live_bytes(const struct exec_piece *pieces, size_t count, uint64_t *ret,
                      struct err *err);

static uint64_t align_up(uint64_t bytes) {
    return (bytes + EXEC_LAYOUT_ALIGN - 1) / EXEC_LAYOUT_ALIGN * EXEC_LAYOUT_ALIGN;
}

int exec_layout(struct exec_piece *pieces, size_t count, uint64_t *ret_bytes, uint64_t *ret_live,
                struct err *err) {
    uint64_t total = 0, live = 0;
    for (size_t i = 0; i < count; i++)
        if (!add_u64(total, pieces[i].bytes, &total) || total > INT64_MAX / 2)
            return err_set(err, ERR_TOO_LARGE, "a workspace of more than 2^62 bytes");
    *ret_bytes = *ret_live = 0;
    if (count == 0)
        return 0;
    struct item *items = calloc(count, sizeof *items);
    struct item **placed = calloc(count, sizeof(struct item *));
    int result = -1;
    uint64_t best = UINT64_MAX;
    if (!items || !placed) {
        err_set(err, ERR_NO_MEMORY, "no memory to lay out %zu pieces", count);
        goto out;
    }
    if (live_bytes(pieces, count, &live, err) < 0)
        goto out;
    for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++) {
        if (best == live || (!orders[o].by_time && count > QUADRATIC_MAX))
            continue;
        for (size_t i = 0; i < count; i++)
            items[i] = (struct item){.bytes = align_up(pieces[i].bytes),
                                     .first = pieces[i].first,
                                     .last = pieces[i].last,
                                     .index = i};
        qsort(items, count, sizeof *items, orders[o].order);
        uint64_t bytes = place(items, count, orders[o].by_time, placed);
        keep_better(pieces, items, count, bytes, &best);
    }
    size_t again = AGAIN_LOOKS / count / count;
    again = again > AGAIN_MAX ? AGAIN_MAX : again;
    qsort(items, count, sizeof *items, by_size);
    for (size_t i = 0; i < again && best > live; i++) {
        uint64_t bytes = place(items, count, false, placed);
        keep_better(pieces, items, count, bytes, &best);
        topmost_first(items, count, bytes);
    }
    *ret_bytes = best;
    *ret_live = live;
    result = 0;
out:
    free(items);
    free(placed);
    return result;
}

/* placed: the pieces so far, by offset; those that ended are dropped when time never goes back. */
static uint64_t place(struct item *items, size_t count, bool by_time, struct item **placed) {
    size_t placed_count = 0;
    uint64_t top = 0;
    for (size_t i = 0; i < count; i++) {
        struct item *item = &items[i];
        if (by_time) {
            size_t kept = 0;
            for (size_t p = 0; p < placed_count; p++)
                if (placed[p]->last >= item->first)
                    placed[kept++] = placed[p];
            placed_count = kept;
        }
        uint64_t end = 0, best = UINT64_MAX, best_gap = UINT64_MAX;
        for (size_t p = 0; p < placed_count; p++) {
            const struct item *other = placed[p];
            if (other->last < item->first || other->first > item->last)
                continue;
            if (other->offset >= end) {
                uint64_t gap = other->offset - end;
                if (gap >= item->bytes && gap < best_gap) {
                    best = end;
                    best_gap = gap;
                }
            }
            if (other->offset + other->bytes > end)
                end = other->offset + other->bytes;
        }
        item->offset = best == UINT64_MAX ? end : best;
        if (item->offset + item->bytes > top)
            top = item->offset + item->bytes;
        size_t at = placed_count;
        while (at > 0 && placed[at - 1]->offset > item->offset)
            at--;
        memmove(&placed[at + 1], &placed[at], (placed_count - at) * sizeof *placed);
        placed[at] = item;
        placed_count++;
    }
    return top;
}

static void keep_better(struct exec_piece *pieces, const struct item *items, size_t count,
                        uint64_t bytes, uint64_t *best) {
    if (bytes >= *best)
        return;
    *best = bytes;
    for (size_t i = 0; i < count; i++)
        pieces[items[i].index].offset = items[i].offset;
}

static void topmost_first(struct item *items, size_t count, uint64_t top) {
    size_t at = 0;
    while (at + 1 < count && items[at].offset + items[at].bytes != top)
        at++;
    struct item first = items[at];
    memmove(&items[1], &items[0], at * sizeof *items);
    items[0] = first;
}

static int compare(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int by_time_order(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    int order = compare(x->first, y->first);
    if (order == 0)
        order = compare(y->bytes, x->bytes);
    return order ? order : compare(x->index, y->index);
}

static int by_size(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    int order = compare(y->bytes, x->bytes);
    return order ? order : by_time_order(a, b);
}

static int by_area(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    double area_x = (double)x->bytes * (double)(x->last - x->first + 1);
    double area_y = (double)y->bytes * (double)(y->last - y->first + 1);
    int order = area_x > area_y ? -1 : area_x < area_y;
    return order ? order : by_time_order(a, b);
}

struct event {
    size_t step;
    bool ends; /* after `step` */
    uint64_t bytes;
};

static int by_step(const void *a, const void *b) {
    const struct event *x = a, *y = b;
    int order = compare(x->step, y->step);
    return order ? order : (int)x->ends - (int)y->ends;
}

/* The sum that lives at each step, step by step; its largest value. */
static int live_bytes(const struct exec_piece *pieces, size_t count, uint64_t *ret,
                      struct err *err) {
    struct event *events = calloc(count, 2 * sizeof *events);
    if (!events)
        return err_set(err, ERR_NO_MEMORY, "no memory to lay out %zu pieces", count);
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = align_up(pieces[i].bytes);
        events[2 * i] = (struct event){pieces[i].first, false, bytes};
        events[2 * i + 1] = (struct event){pieces[i].last, true, bytes};
    }
    qsort(events, 2 * count, sizeof *events, by_step);
    uint64_t now = 0, most = 0;
    for (size_t i = 0; i < 2 * count; i++) {
        now = events[i].ends ? now - events[i].bytes : now + events[i].bytes;
        if (now > most)
            most = now;
    }
    free(events);
    *ret = most;
    return 0;
}
