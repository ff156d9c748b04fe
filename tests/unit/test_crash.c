/* The mark that a fatal signal leaves, whichever thread it strikes. The counting of deaths is
 * tested with the engine. */
#include "jobs/crash.h"

#include "compress/base/team.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void die_here(void) {
    __builtin_trap();
}

static int die_on_a_worker(void *ctx, size_t index, unsigned worker) {
    if (worker > 0)
        __builtin_trap();
    sleep(30);
    return 0;
}

static void die_in_a_job(void) {
    pthread_setname_np(pthread_self(), CRASH_JOB_THREAD);
    abort();
}

static void die_in_the_team(void) {
    struct team *team = team_new(2, 0);
    if (team)
        team_run(team, 2, die_on_a_worker, NULL);
}

/* A process of its own opens the store, installs the handlers and does `how`. The text of the mark.
 */
static char *mark_after(void (*how)(void)) {
    struct tempdir dir;
    tempdir_make(&dir);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct store *store;
        if (store_open(dir.path, &store, NULL) < 0 || crash_install(store, NULL) < 0)
            _exit(1);
        how();
        _exit(2);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status)); /* the signal took its course */
    char *mark = tempdir_read(&dir, "died", NULL);
    tempdir_free(&dir);
    return mark;
}

static void a_fault_is_marked(void **state) {
    char *mark = mark_after(die_here);
    CHECK_HOLDS(mark, "signal 0");
    free(mark);
}

static void a_fault_of_a_computing_thread_is_marked(void **state) {
    char *mark = mark_after(die_in_the_team);
    CHECK_HOLDS(mark, " team-1\n");
    free(mark);
}

static void abort_is_marked(void **state) {
    char *mark = mark_after(die_in_a_job);
    CHECK_TEXT(mark, "signal 06 job\n");
    free(mark);
}

static void die_by_others(void) {
    raise(SIGKILL);
}

static void a_kill_from_outside_is_not(void **state) {
    char *mark = mark_after(die_by_others);
    CHECK_TEXT(mark, "");
    free(mark);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_is_marked),
        cmocka_unit_test(a_fault_of_a_computing_thread_is_marked),
        cmocka_unit_test(abort_is_marked),
        cmocka_unit_test(a_kill_from_outside_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
