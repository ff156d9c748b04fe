/*
 * Threads that compute: they leave the process's signals to others, but not those that a thread
 * raises by its own fault (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP). A fault in a
 * thread that blocks them ends the process without any handler having run, so nobody would learn
 * which job it died of.
 *
 * Threads: any.
 */
#ifndef COMPRESS_BASE_WORKER_H
#define COMPRESS_BASE_WORKER_H

#include <pthread.h>

/* pthread_create() with default attributes; 0, or its error number. */
int worker_start(pthread_t *ret, void *(*run)(void *arg), void *arg);

#endif
