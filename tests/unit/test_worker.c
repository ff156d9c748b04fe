/* What a computing thread hears of: its own faults, nobody else's signals. */
#include "compress/base/worker.h"
#include "tests/support/check.h"

#include <signal.h>

static void *read_mask(void *arg) {
    pthread_sigmask(SIG_SETMASK, NULL, arg);
    return NULL;
}

static void only_its_own_faults_reach_it(void **state) {
    sigset_t mask, before, after;
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    CHECK_INT(worker_start(&thread, read_mask, &mask), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    CHECK_INT(sigismember(&mask, SIGTERM), 1);
    CHECK_INT(sigismember(&mask, SIGINT), 1);
    CHECK_INT(sigismember(&mask, SIGSEGV), 0);
    CHECK_INT(sigismember(&mask, SIGBUS), 0);
    CHECK_INT(sigismember(&mask, SIGFPE), 0);
    CHECK_INT(sigismember(&mask, SIGILL), 0);
    CHECK_INT(sigismember(&mask, SIGABRT), 0);
    CHECK_INT(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM)); /* ours is as it was */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_its_own_faults_reach_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
