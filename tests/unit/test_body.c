/* The minimum rate: an average, with a grace, that does not count our own pauses. */
#include "api/http/body.h"
#include "tests/support/check.h"

static void rates(void **state) {
    struct body body = {.started_ms = 1000, .received = 10000};
    CHECK(!body_too_slow(&body, 1 << 20, 1000 + BODY_RATE_GRACE_MS - 1));
    CHECK(body_too_slow(&body, 2001, 6000));
    CHECK(!body_too_slow(&body, 2000, 6000));
    CHECK(!body_too_slow(&body, 0, 1000000));
    CHECK(body_too_slow(&body, 1000, 21000));
    body.paused_ms = 10000;
    CHECK(!body_too_slow(&body, 1000, 21000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
