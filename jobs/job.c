/* See job.h. */
#include "jobs/job.h"

#include <string.h>

static const struct {
    const char *name;
    bool terminal;
    unsigned to; /* bits of enum job_state */
} table[JOB_STATES] = {
    [JOB_QUEUED] = {"queued", false, 1u << JOB_RUNNING | 1u << JOB_CANCELLED},
    [JOB_RUNNING] = {"running", false,
                     1u << JOB_SUCCEEDED | 1u << JOB_FAILED | 1u << JOB_CANCELLING |
                         1u << JOB_QUEUED},
    [JOB_CANCELLING] = {"cancelling", false, 1u << JOB_CANCELLED | 1u << JOB_FAILED},
    [JOB_SUCCEEDED] = {"succeeded", true, 0},
    [JOB_FAILED] = {"failed", true, 1u << JOB_QUEUED},
    [JOB_CANCELLED] = {"cancelled", true, 1u << JOB_QUEUED},
};

const char *job_state_name(enum job_state state) {
    return table[state].name;
}

int job_state_by_name(const char *name) {
    for (int i = 0; i < JOB_STATES; i++)
        if (strcmp(table[i].name, name) == 0)
            return i;
    return -1;
}

bool job_state_terminal(enum job_state state) {
    return table[state].terminal;
}

bool job_transition_ok(enum job_state from, enum job_state to) {
    return table[from].to >> to & 1;
}
