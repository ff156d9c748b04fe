/* A new thread inherits its maker's mask, so that is changed for a moment. */
#include "compress/base/worker.h"

#include <signal.h>
#include <stddef.h>

static const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};

int worker_start(pthread_t *ret, void *(*run)(void *arg), void *arg) {
    sigset_t others, old;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof own_faults / sizeof own_faults[0]; i++)
        sigdelset(&others, own_faults[i]);
    pthread_sigmask(SIG_SETMASK, &others, &old);
    int rc = pthread_create(ret, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}
