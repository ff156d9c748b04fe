/* Loops with errors: which failure is reported, and when cancellation stops them. */
#include "compress/base/loop.h"
#include "tests/support/check.h"

#include <stdatomic.h>
#include <stdbool.h>

static int fails_from_ten(void *ctx, size_t index, unsigned worker, struct err *err) {
    (void)ctx, (void)worker;
    return index < 10 ? 0 : err_set(err, ERR_BAD_MODEL, "index %zu", index);
}

static void lowest_index_is_reported(void **state) {
    for (unsigned threads = 1; threads <= 5; threads++) {
        struct team *team = team_new(threads, 0);
        for (int round = 0; round < 50; round++) {
            struct err err = ERR_INIT;
            CHECK_INT(loop_run(team, NULL, 100, fails_from_ten, NULL, &err), -1);
            CHECK_TEXT(err.text, "index 10");
        }
        team_free(team);
    }
}

static atomic_size_t calls;

static int count_calls(void *ctx, size_t index, unsigned worker, struct err *err) {
    (void)ctx, (void)index, (void)worker, (void)err;
    atomic_fetch_add(&calls, 1);
    return 0;
}

static bool after_five(void *self) {
    (void)self;
    return atomic_load(&calls) >= 5;
}

static void cancellation_stops(void **state) {
    struct progress progress = {.is_cancelled = after_five};
    struct err err = ERR_INIT;
    atomic_store(&calls, 0);
    CHECK_FAILS(loop_run(NULL, &progress, 100, count_calls, NULL, &err), &err, ERR_CANCELLED);
    CHECK_UINT(atomic_load(&calls), 5);
}

static void success_and_no_err(void **state) {
    struct team *team = team_new(3, 0);
    atomic_store(&calls, 0);
    CHECK_INT(loop_run(team, NULL, 1000, count_calls, NULL, NULL), 0);
    CHECK_UINT(atomic_load(&calls), 1000);
    CHECK_INT(loop_run(team, NULL, 20, fails_from_ten, NULL, NULL), -1);
    CHECK_INT(loop_run(team, NULL, 0, fails_from_ten, NULL, NULL), 0);
    team_free(team);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lowest_index_is_reported),
        cmocka_unit_test(cancellation_stops),
        cmocka_unit_test(success_and_no_err),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
