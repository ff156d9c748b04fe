/*
 * Deaths of the process, and who is to blame.
 *
 * A fatal signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS) marks DATA/died with the name
 * of the thread before it takes its course. At the next start a death in a thread that works for
 * jobs, or during which the cgroup's oom_kill counter rose, counts against a job that was running
 * alone as a suspect; every job that was running becomes a suspect. A death of the front end, a
 * SIGKILL from outside, a power loss or a clean stop consumes nothing.
 */
#ifndef JOBS_CRASH_H
#define JOBS_CRASH_H

#include "storage/store.h"

/* The name that the thread of a runner carries while it works on a job. */
#define CRASH_JOB_THREAD "job"

/* Installs the handlers, for all threads of the process. Called once by the daemon's main, after
 * engine_new() has taken the mark of the last run: a death before that is no job's. */
int crash_install(const struct store *store, struct err *err);

#endif
