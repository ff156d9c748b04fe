/* The team: every index once, worker numbers apart, early stop, several loops at a time. */
#include "compress/base/team.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4

struct tally {
    atomic_uint seen[1000];
    atomic_uint busy[THREADS]; /* calls under way with this worker number */
    atomic_uint clashes;
    atomic_uint workers; /* bit per worker number that ran */
};

static int count_one(void *ctx, size_t index, unsigned worker) {
    struct tally *tally = ctx;
    if (worker >= THREADS || atomic_fetch_add(&tally->busy[worker], 1) != 0)
        atomic_fetch_add(&tally->clashes, 1);
    atomic_fetch_add(&tally->seen[index], 1);
    atomic_fetch_or(&tally->workers, 1u << worker);
    if (index % 7 == 0)
        sched_yield();
    if (worker < THREADS)
        atomic_fetch_sub(&tally->busy[worker], 1);
    return 0;
}

static void check_tally(const struct tally *tally, size_t count) {
    for (size_t i = 0; i < 1000; i++)
        CHECK_UINT(atomic_load(&tally->seen[i]), i < count ? 1 : 0);
    CHECK_UINT(atomic_load(&tally->clashes), 0);
}

static void every_index_once(void **state) {
    static const size_t counts[] = {0, 1, 2, 3, 4, 5, 100, 1000};
    for (unsigned threads = 1; threads <= THREADS; threads++) {
        struct team *team = team_new(threads, 0);
        assert_non_null(team);
        CHECK_UINT(team_threads(team), threads);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            struct tally tally;
            memset(&tally, 0, sizeof tally);
            CHECK_INT(team_run(team, counts[i], count_one, &tally), 0);
            check_tally(&tally, counts[i]);
            if (threads == 1)
                CHECK(atomic_load(&tally.workers) <= 1);
        }
        team_free(team);
    }
    struct tally tally;
    memset(&tally, 0, sizeof tally);
    CHECK_UINT(team_threads(NULL), 1);
    CHECK_INT(team_run(NULL, 10, count_one, &tally), 0);
    check_tally(&tally, 10);
    team_free(NULL);
}

static void zero_means_one_per_core(void **state) {
    struct team *team = team_new(0, 0);
    assert_non_null(team);
    CHECK(team_threads(team) >= 1);
    CHECK(team_threads(team) <= (unsigned)sysconf(_SC_NPROCESSORS_CONF));
    team_free(team);
}

struct stop {
    atomic_uint ran;
    size_t at;
};

static int stop_at(void *ctx, size_t index, unsigned worker) {
    struct stop *stop = ctx;
    atomic_fetch_add(&stop->ran, 1);
    return index == stop->at ? -42 : 0;
}

static void stops_early(void **state) {
    for (unsigned threads = 1; threads <= THREADS; threads += THREADS - 1) {
        struct team *team = team_new(threads, 0);
        struct stop stop = {.at = 5};
        CHECK_INT(team_run(team, 1000000, stop_at, &stop), -42);
        CHECK(atomic_load(&stop.ran) >= 6);
        CHECK(atomic_load(&stop.ran) < 1000000);
        stop = (struct stop){.at = 0};
        CHECK_INT(team_run(team, 1, stop_at, &stop), -42);
        struct tally tally; /* and the team still works */
        memset(&tally, 0, sizeof tally);
        CHECK_INT(team_run(team, 100, count_one, &tally), 0);
        check_tally(&tally, 100);
        team_free(team);
    }
}

/* Four callers, each with loops of its own, on a team of three. */
struct meeting {
    pthread_barrier_t *barrier;
    struct team *team;
    int result;
    struct tally tally;
};

static void *run_count(void *arg) {
    struct meeting *meeting = arg;
    pthread_barrier_wait(meeting->barrier);
    for (int round = 0; round < 50 && meeting->result == 0; round++) {
        memset(&meeting->tally, 0, sizeof meeting->tally);
        meeting->result = team_run(meeting->team, 500, count_one, &meeting->tally);
        for (size_t i = 0; i < 500; i++)
            if (atomic_load(&meeting->tally.seen[i]) != 1)
                meeting->result = 1;
        if (atomic_load(&meeting->tally.clashes))
            meeting->result = 2;
    }
    return NULL;
}

static void loops_at_the_same_time(void **state) {
    struct team *team = team_new(3, 0);
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 4);
    static struct meeting meetings[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        memset(&meetings[i], 0, sizeof meetings[i]);
        meetings[i].barrier = &barrier;
        meetings[i].team = team;
        pthread_create(&threads[i], NULL, run_count, &meetings[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(meetings[i].result, 0);
    }
    pthread_barrier_destroy(&barrier);
    team_free(team);
}

/* A long loop occupies the only worker; a short one that comes later must get some of its turns
 * before the long one has ended, and must not get them all. */
struct turns {
    atomic_bool small_started, small_done;
    atomic_uint small_by_worker;
    atomic_uint big_by_worker_after;
};

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Until *count has reached want, at most ten seconds: the machine may be busy. */
static void wait_for(atomic_uint *count, unsigned want) {
    for (int i = 0; i < 10000 && atomic_load(count) < want; i++)
        nap();
}

static int big_tile(void *ctx, size_t index, unsigned worker) {
    struct turns *turns = ctx;
    nap();
    if (worker && atomic_load(&turns->small_started))
        atomic_fetch_add(&turns->big_by_worker_after, 1);
    return atomic_load(&turns->small_done);
}

static int small_tile(void *ctx, size_t index, unsigned worker) {
    struct turns *turns = ctx;
    atomic_store(&turns->small_started, true);
    if (worker)
        atomic_fetch_add(&turns->small_by_worker, 1);
    else
        wait_for(&turns->small_by_worker, 4);
    return 0;
}

struct big {
    struct team *team;
    struct turns *turns;
    int result;
};

static void *run_big(void *arg) {
    struct big *big = arg;
    big->result = team_run(big->team, 100000, big_tile, big->turns);
    return NULL;
}

/* One try: what a machine busy with other things lets the threads do is luck, so the test takes
 * several. */
static bool takes_turns(void) {
    struct turns turns;
    memset(&turns, 0, sizeof turns);
    struct team *team = team_new(2, 0);
    struct big big = {.team = team, .turns = &turns};
    pthread_t thread;
    pthread_create(&thread, NULL, run_big, &big);
    nap();
    CHECK_INT(team_run(team, 30, small_tile, &turns), 0);
    atomic_store(&turns.small_done, true);
    pthread_join(thread, NULL);
    team_free(team);
    return big.result == 1 && /* not yet at its end when the short loop was through */
           atomic_load(&turns.small_by_worker) >= 4 && atomic_load(&turns.big_by_worker_after) >= 3;
}

static void round_robin(void **state) {
    for (int attempt = 0; attempt < 50; attempt++)
        if (takes_turns())
            return;
    fail_msg("the short loop never got its turns beside the long one");
}

struct nest {
    struct team *team;
    atomic_uint inner;
};

static int inner_tile(void *ctx, size_t index, unsigned worker) {
    atomic_fetch_add((atomic_uint *)ctx, 1);
    return 0;
}

static int outer_tile(void *ctx, size_t index, unsigned worker) {
    struct nest *nest = ctx;
    return team_run(nest->team, 20, inner_tile, &nest->inner);
}

static void loops_inside_loops(void **state) {
    struct nest nest = {.team = team_new(3, 0)};
    CHECK_INT(team_run(nest.team, 50, outer_tile, &nest), 0);
    CHECK_UINT(atomic_load(&nest.inner), 1000);
    team_free(nest.team);
}

struct niceness {
    atomic_uint seen;
    atomic_int value;
};

static int read_nice(void *ctx, size_t index, unsigned worker) {
    struct niceness *nice = ctx;
    if (worker) {
        atomic_store(&nice->value, getpriority(PRIO_PROCESS, (id_t)gettid()));
        atomic_fetch_add(&nice->seen, 1);
    } else {
        wait_for(&nice->seen, 1);
    }
    return 0;
}

static void workers_are_nice(void **state) {
    int mine = getpriority(PRIO_PROCESS, 0);
    struct niceness nice = {0};
    struct team *team = team_new(2, 5);
    CHECK_INT(team_run(team, 20, read_nice, &nice), 0);
    team_free(team);
    CHECK_UINT(atomic_load(&nice.seen) > 0, 1);
    CHECK_INT(atomic_load(&nice.value), mine + 5 > 19 ? 19 : mine + 5);
    CHECK_INT(getpriority(PRIO_PROCESS, 0), mine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_once), cmocka_unit_test(zero_means_one_per_core),
        cmocka_unit_test(stops_early),      cmocka_unit_test(loops_at_the_same_time),
        cmocka_unit_test(round_robin),      cmocka_unit_test(loops_inside_loops),
        cmocka_unit_test(workers_are_nice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
