/* Boxes against a plain loop over all indices: every order, sign and size of step. */
#include "compress/base/team.h"
#include "compress/graph/strided.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static uint64_t rng = 1;

static uint64_t draw(uint64_t below) {
    rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (rng >> 33) % below;
}

static uint64_t items(const struct strided *s) {
    uint64_t n = 1;
    for (unsigned i = 0; i < s->rank; i++)
        n *= s->dims[i];
    return n;
}

/* Places of item `linear`, the first axis slowest. */
static void places(const struct strided *s, uint64_t linear, int64_t *from, int64_t *to) {
    *from = s->from_start;
    *to = s->to_start;
    for (unsigned i = s->rank; i-- > 0; linear /= s->dims[i]) {
        *from += (int64_t)(linear % s->dims[i]) * s->from[i];
        *to += (int64_t)(linear % s->dims[i]) * s->to[i];
    }
}

/* A random permutation of a random box, some axes read backwards, some written with gaps. */
static struct strided draw_box(uint64_t *ret_from_items, uint64_t *ret_to_items) {
    struct strided s = {0};
    unsigned rank = (unsigned)draw(5);
    uint64_t dims[5], order[5];
    int64_t from = 1, to = 1, from_of[5], to_of[5];
    for (unsigned i = 0; i < rank; i++) {
        dims[i] = 1 + draw(draw(4) ? 7 : 90);
        order[i] = i;
    }
    for (unsigned i = rank; i-- > 0;) {
        to_of[i] = to;
        to *= (int64_t)(dims[i] + draw(2));
    }
    for (unsigned i = 0; i + 1 < rank; i++) {
        uint64_t k = i + draw(rank - i), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    for (unsigned k = rank; k-- > 0;) {
        unsigned i = (unsigned)order[k];
        from_of[i] = from;
        from *= (int64_t)(dims[i] + draw(2));
        if (draw(4) == 0) {
            s.from_start += (int64_t)(dims[i] - 1) * from_of[i];
            from_of[i] = -from_of[i];
        }
    }
    for (unsigned i = 0; i < rank; i++)
        strided_axis(&s, dims[i], from_of[i], to_of[i]);
    *ret_from_items = (uint64_t)from;
    *ret_to_items = (uint64_t)to;
    return s;
}

static void moves(void **state) {
    static const unsigned sizes[] = {1, 2, 4, 8, 16};
    struct team *team = team_new(3, 0);
    struct err err = ERR_INIT;
    for (int round = 0; round < 300; round++) {
        uint64_t from_items, to_items;
        struct strided s = draw_box(&from_items, &to_items);
        unsigned bytes = sizes[round % 5];
        uint8_t *from = malloc(from_items * bytes), *to = malloc(to_items * bytes),
                *want = malloc(to_items * bytes);
        assert_true(from && to && want);
        for (uint64_t i = 0; i < from_items * bytes; i++)
            from[i] = (uint8_t)draw(256);
        memset(to, 0xee, to_items * bytes);
        memset(want, 0xee, to_items * bytes);
        for (uint64_t i = 0; i < items(&s); i++) {
            int64_t f, t;
            places(&s, i, &f, &t);
            memcpy(want + t * bytes, from + f * bytes, bytes);
        }
        CHECK_OK(strided_move(&s, from, to, bytes, round % 2 ? team : NULL, NULL, &err), &err);
        CHECK_BYTES(to, want, to_items * bytes);
        free(from);
        free(to);
        free(want);
    }
    team_free(team);
}

static void sums(void **state) {
    struct team *team = team_new(3, 0);
    struct err err = ERR_INIT;
    for (int round = 0; round < 200; round++) {
        uint64_t from_items, to_items;
        struct strided s = draw_box(&from_items, &to_items);
        if (s.rank && draw(2)) /* several land on one place */
            s.to[draw(s.rank)] = 0;
        real *from = calloc(from_items, sizeof *from), *to = calloc(to_items, sizeof *to),
             *want = calloc(to_items, sizeof *want);
        assert_true(from && to && want);
        for (uint64_t i = 0; i < from_items; i++)
            from[i] = (real)draw(1000);
        for (uint64_t i = 0; i < to_items; i++)
            to[i] = want[i] = (real)draw(10);
        for (uint64_t i = 0; i < items(&s); i++) {
            int64_t f, t;
            places(&s, i, &f, &t);
            want[t] += from[f];
        }
        CHECK_OK(strided_add(&s, from, to, round % 2 ? team : NULL, NULL, &err), &err);
        CHECK_BYTES(to, want, to_items * sizeof *to); /* whole numbers: exact in any order */
        free(from);
        free(to);
        free(want);
    }
    team_free(team);
}

/* Larger than many tiles, so that tiles begin within rows and within blocks. */
static void transposes_large(void **state) {
    enum { ROWS = 517, COLS = 389 };
    static uint32_t from[ROWS * COLS], to[ROWS * COLS], again[ROWS * COLS];
    struct team *team = team_new(4, 0);
    struct err err = ERR_INIT;
    for (uint32_t i = 0; i < ROWS * COLS; i++)
        from[i] = i * 2654435761u;
    struct strided s = {0};
    strided_axis(&s, COLS, 1, ROWS);
    strided_axis(&s, ROWS, COLS, 1);
    CHECK_OK(strided_move(&s, from, to, 4, team, NULL, &err), &err);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++)
            CHECK_UINT(to[c * ROWS + r], from[r * COLS + c]);
    struct strided back = strided_reverse(&s);
    CHECK_OK(strided_move(&back, to, again, 4, team, NULL, &err), &err);
    CHECK_BYTES(again, from, sizeof from);
    team_free(team);
}

static void edges(void **state) {
    struct err err = ERR_INIT;
    struct strided none = {0};
    strided_axis(&none, 3, 1, 1);
    strided_axis(&none, 0, 3, 3);
    CHECK_OK(strided_move(&none, NULL, NULL, 4, NULL, NULL, &err), &err);
    CHECK_OK(strided_add(&none, NULL, NULL, NULL, NULL, &err), &err);
    struct strided empty = {0}; /* would go in blocks, if there were any */
    strided_axis(&empty, 3, 0, 1);
    strided_axis(&empty, 0, 1, 3);
    CHECK_OK(strided_move(&empty, NULL, NULL, 4, NULL, NULL, &err), &err);

    uint16_t seven = 7, filled[5] = {0};
    CHECK_OK(strided_fill(filled, 4, &seven, 2, NULL, NULL, &err), &err);
    CHECK_UINT(filled[3], 7);
    CHECK_UINT(filled[4], 0);

    uint8_t odd[] = "thirteen bytes", copy[sizeof odd] = {0};
    CHECK_OK(strided_copy(odd, copy, 13, NULL, NULL, &err), &err);
    CHECK_BYTES(copy, odd, 13);
    CHECK_UINT(copy[13], 0);

    int64_t steps[3];
    strided_steps(3, (uint64_t[]){2, 3, 5}, steps);
    CHECK_INT(steps[0], 15);
    CHECK_INT(steps[2], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves),
        cmocka_unit_test(sums),
        cmocka_unit_test(transposes_large),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
