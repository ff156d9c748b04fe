/* run: push, submit, watch, pull and verify in one. */
#include "daemon/beside.h"
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

static int check_out(struct session *session) {
    const struct ctl_call *call = session->call;
    struct err err = ERR_INIT;
    return beside_check(ctl_text(call, "output"), call->args[0], ctl_flag(call, "force"), &err) < 0
               ? session_fail(session, &err, false)
               : CTL_DONE;
}

/* Everything that can be refused is refused before the model is read and sent. */
static int check_all(struct session *session, struct push_what *model) {
    const struct ctl_call *call = session->call;
    const char *dataset = ctl_text(call, "dataset");
    int code = check_out(session);
    if (code == CTL_DONE)
        code = step_look(session, model);
    if (code == CTL_DONE && dataset)
        code = session_json(session, "GET", session_path(session, "/v1/datasets", dataset, ""),
                            NULL, NULL, NULL);
    return code == CTL_DONE ? step_check_recipe(session, ctl_text(call, "recipe")) : code;
}

/* A watch that was stopped by hand asks the job to stop as well: nobody is left to take it away. */
static int cancel(struct session *session, const char *id) {
    struct client_answer answer = {0};
    struct err err = ERR_INIT;
    client_set_stopped(session->client, NULL);
    int result = client_call(session->client, "POST",
                             session_path(session, "/v1/jobs", id, "/cancel"), NULL, &answer, NULL);
    if (result == 0 && answer.status < 300)
        err_set(&err, ERR_CANCELLED, "stopped, and job %s is cancelled", id);
    else if (result == 0 && answer.status == 409)
        err_set(&err, ERR_CANCELLED, "stopped; job %s was over already", id);
    else
        err_set(&err, ERR_CANCELLED,
                "stopped; job %s could not be cancelled and goes on (compressctl cancel %s)", id,
                id);
    client_answer_free(&answer);
    return session_fail(session, &err, false);
}

/* Submitting is not broken off: a job nobody knows the id of would go on. */
static int submit(struct session *session, const char *model, const char **ret_id) {
    const struct ctl_call *call = session->call;
    const struct submit_options options = {
        .labels = ctl_text(call, "label"),
        .dataset = ctl_text(call, "dataset"),
        .priority = ctl_number(call, "priority", -1),
        .requantize = ctl_flag(call, "requantize"),
        .typed = true,
    };
    client_set_stopped(session->client, NULL);
    int code = step_submit(session, model, ctl_text(call, "recipe"), &options, ret_id);
    client_set_stopped(session->client, session_stopped);
    return code;
}

static int run(const struct ctl_call *call) {
    struct session session;
    struct push_what model = {.path = call->args[0],
                              .name = ctl_text(call, "name"),
                              .replace = ctl_flag(call, "replace")};
    const char *id = NULL, *out = ctl_text(call, "output");
    int code = session_open(call, &session);
    session_catch_signals();
    if (code == CTL_DONE)
        code = check_all(&session, &model);
    if (code == CTL_DONE)
        code = step_push(&session, &model);
    if (code == CTL_DONE)
        code = submit(&session, model.name, &id);
    if (code == CTL_DONE) {
        code = step_watch(&session, id);
        if (session_stopped())
            code = cancel(&session, id);
    }
    if (code == CTL_DONE) {
        code = step_pull(&session, id, out, ctl_flag(call, "force"));
        if (session_stopped() || code == CTL_NETWORK)
            session_how_to_go_on(&session, NULL, id, out);
    } else if (id && code == CTL_NETWORK) {
        session_how_to_go_on(&session, id, id, out);
    }
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
    {.name = "dataset",
     .kind = CTL_TEXT,
     .value = "DATASET",
     .doc = "What the job calibrates and measures with; see push --dataset."},
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
