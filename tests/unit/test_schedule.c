/* Learning rates by hand. */
#include "compress/exec/schedule.h"
#include "tests/support/check.h"

#include <math.h>

static void by_hand(void **state) {
    struct schedule s = {
        .kind = SCHEDULE_LINEAR, .rate = 0.1, .final_rate = 0.02, .steps = 10, .warmup_steps = 2};
    CHECK_NUM(schedule_rate(&s, 0), 0.05, 1e-15);
    CHECK_NUM(schedule_rate(&s, 1), 0.1, 1e-15);
    CHECK_NUM(schedule_rate(&s, 2), 0.1, 1e-15);
    CHECK_NUM(schedule_rate(&s, 6), 0.06, 1e-15);
    CHECK_NUM(schedule_rate(&s, 9), 0.03, 1e-15);
    CHECK_NUM(schedule_rate(&s, 10), 0.02, 1e-15);
    CHECK_NUM(schedule_rate(&s, 1000), 0.02, 1e-15);
    s.kind = SCHEDULE_COSINE;
    CHECK_NUM(schedule_rate(&s, 1), 0.1, 1e-15);
    CHECK_NUM(schedule_rate(&s, 2), 0.1, 1e-15);
    CHECK_NUM(schedule_rate(&s, 4), 0.02 + 0.08 * (1 + sqrt(0.5)) / 2, 1e-15);
    CHECK_NUM(schedule_rate(&s, 6), 0.06, 1e-15);
    CHECK_NUM(schedule_rate(&s, 10), 0.02, 1e-15);
    s.kind = SCHEDULE_CONSTANT;
    CHECK_NUM(schedule_rate(&s, 0), 0.05, 1e-15);
    CHECK_NUM(schedule_rate(&s, 5), 0.1, 1e-15);
    CHECK_NUM(schedule_rate(&s, 50), 0.1, 1e-15);
}

static void edges(void **state) {
    /* Nothing but warm-up, and no steps at all: no division by zero. */
    struct schedule s = {.kind = SCHEDULE_COSINE, .rate = 1, .steps = 4, .warmup_steps = 4};
    CHECK_NUM(schedule_rate(&s, 3), 1, 0);
    CHECK_NUM(schedule_rate(&s, 4), 0, 0);
    s = (struct schedule){.kind = SCHEDULE_LINEAR, .rate = 1};
    CHECK_NUM(schedule_rate(&s, 0), 0, 0);
}

static void names(void **state) {
    enum schedule_kind kind;
    for (unsigned i = 0; schedule_name(i); i++) {
        CHECK(schedule_by_name(schedule_name(i), &kind));
        CHECK_INT(kind, i);
    }
    CHECK_TEXT(schedule_name(SCHEDULE_COSINE), "cosine");
    CHECK(!schedule_by_name("cosin", &kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(edges),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
