/* report and log of a job. */
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <stdlib.h>

static int show(const struct ctl_call *call, const char *tail) {
    struct session session;
    char *text = NULL;
    int code = session_open(call, &session);
    if (code == CTL_DONE)
        code =
            session_json(&session, "GET", session_path(&session, "/v1/jobs", call->args[0], tail),
                         NULL, NULL, &text);
    if (code == CTL_DONE && text[0])
        session_print(text);
    free(text);
    session_close(&session);
    return code;
}

static int run_report(const struct ctl_call *call) {
    return show(call, "/report");
}

static int run_log(const struct ctl_call *call) {
    return show(call, "/log");
}

static const struct ctl_option options[] = {CTL_SERVER_OPTIONS};

const struct ctl_verb ctl_report = {
    .name = "report",
    .args = "JOB",
    .doc = "Print a job's report (JSON).",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run_report,
};

const struct ctl_verb ctl_log = {
    .name = "log",
    .args = "JOB",
    .doc = "Print a job's log.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run_log,
};
