/* jobs, cancel and retry. */
#include "compress/base/nearest.h"
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <stdlib.h>
#include <string.h>

static void print_row(const struct json_t *job) {
    const struct json_t *progress = json_get(job, "progress");
    const char *id = json_text(json_get(job, "id"));
    const char *state = json_text(json_get(job, "state"));
    const char *model = json_text(json_get(job, "model"));
    const char *recipe = json_text(json_get(job, "recipe"));
    const char *created = json_text(json_get(job, "created_at"));
    char note[64] = "";
    double done = 0, total = 0, ratio = 0;
    int64_t position;
    if (json_number(json_get(json_get(job, "summary"), "ratio"), &ratio))
        snprintf(note, sizeof note, "ratio %.2f", ratio);
    else if (state && strcmp(state, "running") == 0 &&
             json_number(json_get(progress, "done"), &done) &&
             json_number(json_get(progress, "total"), &total) && total > 0)
        snprintf(note, sizeof note, "%s %.0f %%", json_text(json_get(progress, "stage")),
                 100 * done / total);
    else if (json_int(json_get(job, "queue_position"), &position))
        snprintf(note, sizeof note, "%lld before it", (long long)position);
    printf("%-26s  %-10s  %-20.19s %-24s %-12s %s\n", id ? id : "", state ? state : "",
           created ? created : "", model ? model : "", recipe ? recipe : "", note);
}

static const char *list_path(struct session *session, const char *cursor) {
    const struct ctl_call *call = session->call;
    static const char *const filters[] = {"state", "model", "recipe", "label"};
    char *path = arena_printf(session->arena, "/v1/jobs?limit=%ld", ctl_number(call, "limit", 50));
    for (size_t i = 0; path && i < sizeof filters / sizeof filters[0]; i++) {
        const char *value = ctl_text(call, filters[i]);
        if (!value)
            continue;
        char *copy = arena_strdup(session->arena, value);
        char *equals = copy ? strchr(copy, '=') : NULL;
        if (equals && strcmp(filters[i], "label") == 0 && !strchr(copy, ':'))
            *equals = ':'; /* as --label is written everywhere else */
        char *escaped = copy ? client_escape(copy, false) : NULL;
        path = arena_printf(session->arena, "%s&%s=%s", path, filters[i], escaped ? escaped : "");
        free(escaped);
    }
    if (path && cursor)
        path = arena_printf(session->arena, "%s&cursor=%s", path, cursor);
    return path;
}

static int list(struct session *session) {
    struct json_t *page = NULL;
    char *text = NULL;
    int code = session_json(session, "GET", list_path(session, NULL), NULL, &page, &text);
    if (code == CTL_DONE && session->json) {
        session_print(text);
    } else if (code == CTL_DONE) {
        struct json_t *items = json_get(page, "items");
        printf("%-26s  %-10s  %-20s %-24s %-12s\n", "job", "state", "created", "model", "recipe");
        for (size_t i = 0; i < json_array_len(items); i++)
            print_row(json_array_at(items, i));
        if (json_text(json_get(page, "next")))
            printf("(there are more: --limit)\n");
    }
    jspec_free(page);
    free(text);
    return code;
}

static int check_state(struct session *session) {
    static const char *const states[] = {"queued",    "running", "cancelling",
                                         "succeeded", "failed",  "cancelled"};
    const char *given = ctl_text(session->call, "state"), *best = NULL;
    struct err err = ERR_INIT;
    for (size_t i = 0; given && i < sizeof states / sizeof states[0]; i++) {
        if (strcmp(given, states[i]) == 0)
            return CTL_DONE;
        best = nearest_of(given, best, states[i]);
    }
    if (!given)
        return CTL_DONE;
    err_set(&err, ERR_BAD_REQUEST,
            "no job is ever %s: queued, running, cancelling, succeeded, failed or cancelled",
            given);
    if (best)
        err_nearest(&err, "%s", best);
    return session_fail(session, &err, false);
}

static int run_jobs(const struct ctl_call *call) {
    struct session session;
    int code = session_open(call, &session);
    if (code == CTL_DONE && call->arg_count) {
        char *text = NULL;
        code = session_json(&session, "GET", session_path(&session, "/v1/jobs", call->args[0], ""),
                            NULL, NULL, &text);
        if (code == CTL_DONE)
            session_print_document(&session, text);
        free(text);
    } else if (code == CTL_DONE) {
        code = check_state(&session);
        if (code == CTL_DONE)
            code = list(&session);
    }
    session_close(&session);
    return code;
}

/* POST to the job; prints the state it is in now. */
static int change(const struct ctl_call *call, const char *tail) {
    struct session session;
    struct json_t *job = NULL;
    char *text = NULL;
    int code = session_open(call, &session);
    if (code == CTL_DONE)
        code =
            session_json(&session, "POST", session_path(&session, "/v1/jobs", call->args[0], tail),
                         NULL, &job, &text);
    if (code == CTL_DONE && session.json)
        session_print(text);
    else if (code == CTL_DONE && !session.quiet)
        printf("job %s: %s\n", call->args[0], json_text(json_get(job, "state")));
    jspec_free(job);
    free(text);
    session_close(&session);
    return code;
}

static int run_cancel(const struct ctl_call *call) {
    return change(call, "/cancel");
}

static int run_retry(const struct ctl_call *call) {
    return change(call, "/retry");
}

static const struct ctl_option jobs_options[] = {
    {.name = "state", .kind = CTL_TEXT, .value = "STATE", .doc = "Only in this state."},
    {.name = "model", .kind = CTL_TEXT, .value = "NAME", .doc = "Only of this model."},
    {.name = "recipe", .kind = CTL_TEXT, .value = "NAME", .doc = "Only with this recipe."},
    {.name = "label", .kind = CTL_TEXT, .value = "K=V", .doc = "Only with this label."},
    {.name = "limit",
     .kind = CTL_NUMBER,
     .value = "N",
     .min = 1,
     .max = 500,
     .doc = "How many; default 50."},
    CTL_SERVER_OPTIONS,
};

static const struct ctl_option server_options[] = {CTL_SERVER_OPTIONS};

const struct ctl_verb ctl_jobs = {
    .name = "jobs",
    .args = "[JOB]",
    .doc = "List the jobs, newest first, or show one.",
    .options = jobs_options,
    .option_count = sizeof jobs_options / sizeof jobs_options[0],
    .max_args = 1,
    .run = run_jobs,
};

const struct ctl_verb ctl_cancel = {
    .name = "cancel",
    .args = "JOB",
    .doc = "Ask a job to stop.",
    .options = server_options,
    .option_count = sizeof server_options / sizeof server_options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run_cancel,
};

const struct ctl_verb ctl_retry = {
    .name = "retry",
    .args = "JOB",
    .doc = "Queue a failed or cancelled job again.",
    .options = server_options,
    .option_count = sizeof server_options / sizeof server_options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run_retry,
};
