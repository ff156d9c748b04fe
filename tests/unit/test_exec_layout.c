/* Places in a workspace: nothing that lives at one time overlaps, and little is wasted. */
#include "compress/exec/exec_layout.h"
#include "tests/support/check.h"

#include <stdbool.h>
#include <stdio.h>

enum { MOST = 600 };

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void check_layout(struct exec_piece *pieces, size_t count, double most, const char *what) {
    struct err err = ERR_INIT;
    uint64_t bytes, live;
    CHECK_OK(exec_layout(pieces, count, &bytes, &live, &err), &err);
    for (size_t i = 0; i < count; i++) {
        CHECK_UINT(pieces[i].offset % EXEC_LAYOUT_ALIGN, 0);
        CHECK(pieces[i].offset + pieces[i].bytes <= bytes);
        for (size_t k = 0; k < i; k++) {
            bool meet = pieces[i].first <= pieces[k].last && pieces[k].first <= pieces[i].last;
            bool overlap = pieces[i].offset < pieces[k].offset + pieces[k].bytes &&
                           pieces[k].offset < pieces[i].offset + pieces[i].bytes;
            CHECK(!meet || !overlap);
        }
    }
    CHECK(bytes >= live);
    double ratio = live ? (double)bytes / (double)live : 1;
    printf("%-28s %8llu bytes, %.3f x the lower bound\n", what, (unsigned long long)bytes, ratio);
    CHECK(ratio <= most);
}

static void chain_needs_two_buffers(void **state) {
    struct exec_piece pieces[50];
    for (size_t i = 0; i < 50; i++)
        pieces[i] = (struct exec_piece){.bytes = 1024, .first = i, .last = i + 1};
    check_layout(pieces, 50, 1.0, "chain");
}

static void shrinking_chain(void **state) {
    struct exec_piece pieces[20];
    for (size_t i = 0; i < 20; i++)
        pieces[i] =
            (struct exec_piece){.bytes = (uint64_t)1 << (20 - i), .first = i, .last = i + 1};
    check_layout(pieces, 20, 1.01, "shrinking chain");
}

/* Level l of the way down lives until the way up meets it again. */
static void u_net(void **state) {
    enum { LEVELS = 8 };
    struct exec_piece pieces[4 * LEVELS];
    size_t n = 0;
    for (size_t l = 0; l < LEVELS; l++) {
        uint64_t bytes = (uint64_t)1 << (22 - l);
        pieces[n++] = (struct exec_piece){
            .bytes = bytes, .first = 3 * l, .last = 6 * LEVELS - 3 * l}; /* skip */
        pieces[n++] = (struct exec_piece){.bytes = bytes, .first = 3 * l + 1, .last = 3 * l + 2};
        pieces[n++] = (struct exec_piece){
            .bytes = 2 * bytes, .first = 6 * LEVELS - 3 * l, .last = 6 * LEVELS - 3 * l + 1};
        pieces[n++] = (struct exec_piece){
            .bytes = bytes, .first = 6 * LEVELS - 3 * l + 1, .last = 6 * LEVELS - 3 * l + 3};
    }
    check_layout(pieces, n, 1.2, "u-net");
}

/* Forward values that live until their backward step, gradients that live for one step. */
static void training(void **state) {
    enum { N = 100 };
    struct exec_piece pieces[2 * N];
    uint32_t random = 7;
    for (size_t i = 0; i < N; i++) {
        uint64_t bytes = 4096 * (1 + next_random(&random) % 16);
        pieces[2 * i] = (struct exec_piece){.bytes = bytes, .first = i, .last = 2 * N - i};
        pieces[2 * i + 1] =
            (struct exec_piece){.bytes = bytes, .first = 2 * N - i - 1, .last = 2 * N - i};
    }
    check_layout(pieces, 2 * N, 1.2, "training");
}

/* A transformer's block: q, k, v, scores, residual. */
static void transformer(void **state) {
    struct exec_piece pieces[12 * 9];
    size_t n = 0;
    for (size_t l = 0; l < 12; l++) {
        size_t at = 10 * l;
        const struct exec_piece block[9] = {
            {.bytes = 65536, .first = at, .last = at + 6}, /* residual in */
            {.bytes = 65536, .first = at, .last = at + 1}, /* norm */
            {.bytes = 196608, .first = at + 1, .last = at + 2},
            {.bytes = 65536, .first = at + 2, .last = at + 3},
            {.bytes = 65536, .first = at + 2, .last = at + 3},
            {.bytes = 262144, .first = at + 3, .last = at + 4},
            {.bytes = 65536, .first = at + 4, .last = at + 6},
            {.bytes = 262144, .first = at + 7, .last = at + 8},
            {.bytes = 65536, .first = at + 8, .last = at + 10},
        };
        for (size_t k = 0; k < 9; k++)
            pieces[n++] = block[k];
    }
    check_layout(pieces, n, 1.2, "transformer");
}

static void any_pieces(void **state) {
    for (uint32_t seed = 1; seed <= 20; seed++) {
        struct exec_piece pieces[MOST];
        uint32_t random = seed;
        size_t count = 20 + next_random(&random) % (MOST - 20);
        for (size_t i = 0; i < count; i++) {
            size_t first = next_random(&random) % 300;
            pieces[i] = (struct exec_piece){.bytes = next_random(&random) % 100000,
                                            .first = first,
                                            .last = first + next_random(&random) % 20};
        }
        check_layout(pieces, count, 1.2, "any");
    }
}

static void same_every_time(void **state) {
    struct exec_piece a[100], b[100];
    uint32_t random = 3;
    for (size_t i = 0; i < 100; i++) {
        size_t first = next_random(&random) % 50;
        a[i] = b[i] = (struct exec_piece){
            .bytes = next_random(&random) % 4 * 64, .first = first, .last = first + 3};
        b[i].offset = 12345;
    }
    struct err err = ERR_INIT;
    uint64_t bytes, live;
    CHECK_OK(exec_layout(a, 100, &bytes, &live, &err), &err);
    CHECK_OK(exec_layout(b, 100, &bytes, &live, &err), &err);
    for (size_t i = 0; i < 100; i++)
        CHECK_UINT(a[i].offset, b[i].offset);
}

static void nothing_and_too_much(void **state) {
    struct err err = ERR_INIT;
    uint64_t bytes = 1, live = 1;
    CHECK_OK(exec_layout(NULL, 0, &bytes, &live, &err), &err);
    CHECK_UINT(bytes, 0);
    CHECK_UINT(live, 0);
    struct exec_piece huge[2] = {{.bytes = UINT64_MAX / 2}, {.bytes = UINT64_MAX / 2 + 2}};
    CHECK_FAILS(exec_layout(huge, 2, &bytes, &live, &err), &err, ERR_TOO_LARGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_needs_two_buffers),
        cmocka_unit_test(shrinking_chain),
        cmocka_unit_test(u_net),
        cmocka_unit_test(training),
        cmocka_unit_test(transformer),
        cmocka_unit_test(any_pieces),
        cmocka_unit_test(same_every_time),
        cmocka_unit_test(nothing_and_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
