/* The suspend machine: no wake is lost, nothing is suspended or resumed twice. */
#include "api/http/suspend.h"
#include "tests/support/check.h"

#include <sched.h>
#include <stdatomic.h>

/* A stand-in for a connection: what the library would do, and whether it was asked for nonsense. */
struct fake {
    atomic_int suspended;
    atomic_int nonsense;
    atomic_uint pauses;
};

static void fake_pause(void *self) {
    struct fake *fake = self;
    if (atomic_exchange(&fake->suspended, 1) != 0)
        atomic_fetch_add(&fake->nonsense, 1);
    atomic_fetch_add(&fake->pauses, 1);
}

static void fake_resume(void *self) {
    struct fake *fake = self;
    if (atomic_exchange(&fake->suspended, 0) != 1)
        atomic_fetch_add(&fake->nonsense, 1);
}

static const struct suspend_ops fake_ops = {fake_pause, fake_resume};

static void transitions(void **state) {
    struct fake fake = {0};
    struct suspend s;
    suspend_init(&s, &fake_ops, &fake);
    CHECK(suspend_wait(&s));
    CHECK_INT(fake.suspended, 1);
    suspend_wake(&s);
    CHECK_INT(fake.suspended, 0);
    /* A wake before the sleep: the sleeper is told to look again, once. */
    suspend_wake(&s);
    suspend_wake(&s);
    CHECK(!suspend_wait(&s));
    CHECK(suspend_wait(&s));
    suspend_wake(&s);
    suspend_end(&s);
    suspend_wake(&s); /* does nothing any more */
    CHECK_INT(fake.suspended, 0);
    CHECK_INT(fake.nonsense, 0);
    suspend_destroy(&s);
}

struct race {
    struct fake fake;
    struct suspend s;
    atomic_int items; /* what the waker puts and the sleeper takes */
    int to_put;
};

static void *waker(void *arg) {
    struct race *race = arg;
    for (int i = 0; i < race->to_put; i++) {
        atomic_fetch_add(&race->items, 1);
        suspend_wake(&race->s);
    }
    return NULL;
}

/* Two wakers, one sleeper that sleeps whenever it finds nothing: a lost wake would hang it. */
static void no_wake_is_lost(void **state) {
    struct race race = {.to_put = 20000};
    suspend_init(&race.s, &fake_ops, &race.fake);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, waker, &race);
    for (int taken = 0; taken < 2 * race.to_put;) {
        taken += atomic_exchange(&race.items, 0);
        if (taken < 2 * race.to_put && atomic_load(&race.items) == 0 && suspend_wait(&race.s))
            while (atomic_load(&race.fake.suspended))
                sched_yield();
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(race.fake.nonsense, 0);
    suspend_destroy(&race.s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transitions),
        cmocka_unit_test(no_wake_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
