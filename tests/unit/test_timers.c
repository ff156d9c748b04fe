/* Timers fire in order, once, not before their time, and never after a cancel. */
#include "api/http/timers.h"
#include "tests/support/check.h"

#include <stdatomic.h>
#include <time.h>

#define COUNT 200

struct mark {
    struct timer timer;
    atomic_int fired;
    int64_t at_ms;
    int order;
};

static atomic_int order;

static void fire(void *self) {
    struct mark *mark = self;
    mark->at_ms = timers_now_ms();
    mark->order = atomic_fetch_add(&order, 1);
    atomic_fetch_add(&mark->fired, 1);
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void in_order(void **state) {
    struct timers *timers;
    struct err err = ERR_INIT;
    static struct mark marks[COUNT];
    CHECK_OK(timers_new(&timers, &err), &err);
    order = 0;
    int64_t from = timers_now_ms();
    for (int i = 0; i < COUNT; i++) {
        marks[i] = (struct mark){.timer = {.fire = fire, .self = &marks[i]}};
        CHECK(timers_set(timers, &marks[i].timer, 20 + (i * 37) % COUNT));
    }
    /* Every third is taken back, every fifth is moved to the end. */
    for (int i = 0; i < COUNT; i += 3)
        timers_cancel(timers, &marks[i].timer);
    for (int i = 0; i < COUNT; i += 5)
        if (i % 3)
            CHECK(timers_set(timers, &marks[i].timer, 400));
    sleep_ms(700);
    for (int i = 0; i < COUNT; i++) {
        CHECK_INT(marks[i].fired, i % 3 ? 1 : 0);
        if (i % 3)
            CHECK(marks[i].at_ms - from >= (i % 5 ? 20 + (i * 37) % COUNT : 400));
    }
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < COUNT; k++)
            if (i % 3 && k % 3 && i % 5 && k % 5 && (i * 37) % COUNT + 1 < (k * 37) % COUNT)
                CHECK(marks[i].order < marks[k].order);
    timers_free(timers);
}

static void cancelled_when_idle_or_fired(void **state) {
    struct timers *timers;
    struct err err = ERR_INIT;
    struct mark mark = {.timer = {.fire = fire, .self = &mark}};
    CHECK_OK(timers_new(&timers, &err), &err);
    timers_cancel(timers, &mark.timer);
    CHECK(timers_set(timers, &mark.timer, 0));
    sleep_ms(50);
    CHECK_INT(mark.fired, 1);
    timers_cancel(timers, &mark.timer);
    CHECK(timers_set(timers, &mark.timer, 10000));
    timers_cancel(timers, &mark.timer);
    timers_free(timers);
    CHECK_INT(mark.fired, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(cancelled_when_idle_or_fired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
