/*
 * Job states and the table of legal transitions.
 *
 *   queued ──claim──▶ running ──▶ succeeded
 *     │  ▲              │ ├────▶ failed
 *     │  └──requeue─────┤ └─cancel─▶ cancelling ──▶ cancelled
 *     └──cancel──▶ cancelled         failed, cancelled ──retry──▶ queued
 */
#ifndef JOBS_JOB_H
#define JOBS_JOB_H

#include <stdbool.h>

enum job_state {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_CANCELLING,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_CANCELLED,
    JOB_STATES
};

const char *job_state_name(enum job_state state);
int job_state_by_name(const char *name); /* -1 unknown */
bool job_state_terminal(enum job_state state);
bool job_transition_ok(enum job_state from, enum job_state to);

#define JOB_MAX_DEATHS 3
#define JOB_PRIORITY_DEFAULT 5
#define JOB_PRIORITY_MAX 9

#endif
