/* run: push, submit, watch, pull and verify in one. */
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <stdlib.h>

/* A watch that was stopped by hand asks the job to stop as well: nobody is left to take it away. */
static void cancel(struct session *session, const char *id) {
    struct client_answer answer = {0};
    client_set_stopped(session->client, NULL);
    client_call(session->client, "POST", session_path(session, "/v1/jobs", id, "/cancel"), NULL,
                &answer, NULL);
    client_answer_free(&answer);
}

static int run(const struct ctl_call *call) {
    struct session session;
    const char *model = NULL, *id = NULL;
    struct submit_options options = {
        .labels = ctl_text(call, "label"),
        .priority = ctl_number(call, "priority", -1),
        .requantize = ctl_flag(call, "requantize"),
    };
    int code = session_open(call, &session);
    session_catch_signals();
    if (code == CTL_DONE)
        code = step_push(&session, call->args[0], ctl_text(call, "name"), ctl_flag(call, "replace"),
                         &model);
    if (code == CTL_DONE)
        code = step_submit(&session, model, ctl_text(call, "recipe"), &options, &id);
    if (code == CTL_DONE)
        code = step_watch(&session, id);
    if (session_stopped() && id)
        cancel(&session, id);
    if (code == CTL_DONE)
        code = step_pull(&session, id, ctl_text(call, "output"), ctl_flag(call, "force"));
    session_close(&session);
    return code;
}

static const struct ctl_option options[] = {
    {.name = "recipe",
     .letter = 'r',
     .kind = CTL_TEXT,
     .value = "NAME|FILE",
     .required = true,
     .doc = "A recipe the server has, a file, or the JSON itself."},
    {.name = "output",
     .letter = 'o',
     .kind = CTL_TEXT,
     .value = "OUT",
     .required = true,
     .doc = "The file or folder to write; must not exist."},
    {.name = "force", .letter = 'f', .kind = CTL_FLAG, .doc = "Replace OUT."},
    {.name = "name",
     .letter = 'n',
     .kind = CTL_TEXT,
     .value = "NAME",
     .doc = "Name on the server."},
    {.name = "replace", .kind = CTL_FLAG, .doc = "Move the name if it stands for other files."},
    {.name = "requantize", .kind = CTL_FLAG, .doc = "Accept a model that is already quantized."},
    {.name = "label",
     .letter = 'l',
     .kind = CTL_TEXT,
     .value = "K=V[,K=V]",
     .doc = "Labels to find the job by."},
    {.name = "priority",
     .kind = CTL_NUMBER,
     .value = "0-9",
     .min = 0,
     .max = 9,
     .doc = "9 goes first; default 5."},
    CTL_SERVER_OPTIONS,
};

const struct ctl_verb ctl_run = {
    .name = "run",
    .args = "PATH",
    .doc = "Push, submit, watch, pull and verify in one.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
