/* models and rm: what the server has, and forgetting it. */
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <stdlib.h>

static void print_row(const struct json_t *model) {
    char size[32], count[32];
    int64_t bytes = 0, parameters = 0;
    json_int(json_get(model, "bytes"), &bytes);
    json_int(json_get(model, "parameters"), &parameters);
    const char *name = json_text(json_get(model, "name"));
    const char *format = json_text(json_get(model, "format"));
    const char *architecture = json_text(json_get(model, "architecture"));
    printf("%-32s %-12s %-22s %10s %10s\n", name ? name : "?", format ? format : "",
           architecture ? architecture : "", term_count((uint64_t)parameters, count, sizeof count),
           term_bytes((uint64_t)bytes, size, sizeof size));
}

/* Page by page, newest first. */
static int list(struct session *session) {
    const char *path = "/v1/models?limit=500";
    bool first = true;
    while (path) {
        struct json_t *page = NULL;
        char *text = NULL;
        int code = session_json(session, "GET", path, NULL, &page, &text);
        if (code != CTL_DONE)
            return code;
        if (session->json)
            session_print(text);
        else if (first)
            printf("%-32s %-12s %-22s %10s %10s\n", "name", "format", "architecture", "parameters",
                   "size");
        struct json_t *items = json_get(page, "items");
        for (size_t i = 0; !session->json && i < json_array_len(items); i++)
            print_row(json_array_at(items, i));
        const char *next = json_text(json_get(page, "next"));
        path = next ? arena_printf(session->arena, "/v1/models?limit=500&cursor=%s", next) : NULL;
        first = false;
        jspec_free(page);
        free(text);
    }
    return CTL_DONE;
}

static int run_models(const struct ctl_call *call) {
    struct session session;
    int code = session_open(call, &session);
    if (code == CTL_DONE && call->arg_count) {
        char *text = NULL;
        code = session_json(&session, "GET",
                            session_path(&session, "/v1/models", call->args[0],
                                         ctl_flag(call, "tensors") ? "?tensors=true" : ""),
                            NULL, NULL, &text);
        if (code == CTL_DONE)
            session_print(text);
        free(text);
    } else if (code == CTL_DONE) {
        code = list(&session);
    }
    session_close(&session);
    return code;
}

static int run_rm(const struct ctl_call *call) {
    struct session session;
    int code = session_open(call, &session);
    if (code == CTL_DONE)
        code =
            session_json(&session, "DELETE",
                         session_path(&session, "/v1/models", call->args[0], ""), NULL, NULL, NULL);
    if (code == CTL_DONE && !session.json && !session.quiet)
        printf("model %s is gone\n", call->args[0]);
    session_close(&session);
    return code;
}

static const struct ctl_option models_options[] = {
    {.name = "tensors", .kind = CTL_FLAG, .doc = "With NAME: list its tensors too."},
    CTL_SERVER_OPTIONS,
};

const struct ctl_verb ctl_models = {
    .name = "models",
    .args = "[NAME]",
    .doc = "List the models on the server, or show one (JSON).",
    .options = models_options,
    .option_count = sizeof models_options / sizeof models_options[0],
    .max_args = 1,
    .run = run_models,
};

static const struct ctl_option rm_options[] = {CTL_SERVER_OPTIONS};

const struct ctl_verb ctl_rm = {
    .name = "rm",
    .args = "MODEL",
    .doc = "Forget a model on the server.",
    .options = rm_options,
    .option_count = sizeof rm_options / sizeof rm_options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run_rm,
};
