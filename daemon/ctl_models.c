/* models, datasets and rm: what the server has, and forgetting it. */
#include "compress/base/jbuf.h"
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <inttypes.h>
#include <stdlib.h>

struct collection {
    const char *address;
    void (*print_head)(void);
    void (*print_row)(const struct json_t *item);
};

static void print_model_head(void) {
    printf("%-32s %-12s %-22s %10s %10s\n", "name", "format", "architecture", "parameters", "size");
}

static void print_model(const struct json_t *model) {
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

static void print_dataset_head(void) {
    printf("%-32s %-12s %10s %10s\n", "name", "kind", "samples", "size");
}

static void print_dataset(const struct json_t *dataset) {
    char size[32];
    int64_t bytes = 0, samples = 0;
    json_int(json_get(dataset, "bytes"), &bytes);
    json_int(json_get(dataset, "samples"), &samples);
    const char *name = json_text(json_get(dataset, "name"));
    const char *kind = json_text(json_get(dataset, "kind"));
    printf("%-32s %-12s %10" PRId64 " %10s\n", name ? name : "?", kind ? kind : "", samples,
           term_bytes((uint64_t)bytes, size, sizeof size));
}

static const struct collection models = {"/v1/models", print_model_head, print_model};
static const struct collection datasets = {"/v1/datasets", print_dataset_head, print_dataset};

/* Page by page, newest first. */
static int list(struct session *session, const struct collection *what) {
    const char *path = arena_printf(session->arena, "%s?limit=500", what->address);
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
            what->print_head();
        struct json_t *items = json_get(page, "items");
        for (size_t i = 0; !session->json && i < json_array_len(items); i++)
            what->print_row(json_array_at(items, i));
        const char *next = json_text(json_get(page, "next"));
        path = next ? arena_printf(session->arena, "%s?limit=500&cursor=%s", what->address, next)
                    : NULL;
        first = false;
        jspec_free(page);
        free(text);
    }
    return CTL_DONE;
}

static int show(const struct ctl_call *call, const struct collection *what) {
    struct session session;
    int code = session_open(call, &session);
    if (code == CTL_DONE && call->arg_count) {
        char *text = NULL;
        code = session_json(&session, "GET",
                            session_path(&session, what->address, call->args[0],
                                         ctl_flag(call, "tensors") ? "?tensors=true" : ""),
                            NULL, NULL, &text);
        if (code == CTL_DONE)
            session_print_document(&session, text);
        free(text);
    } else if (code == CTL_DONE) {
        code = list(&session, what);
    }
    session_close(&session);
    return code;
}

static int run_models(const struct ctl_call *call) {
    return show(call, &models);
}

static int run_datasets(const struct ctl_call *call) {
    return show(call, &datasets);
}

static void say_gone(const struct session *session, const char *kind, const char *name) {
    struct jbuf b;
    if (!session->json) {
        if (!session->quiet)
            printf("%s %s is gone\n", kind, name);
        return;
    }
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "deleted", kind);
    jbuf_kv_string(&b, "name", name);
    jbuf_object_end(&b);
    char *text = jbuf_take(&b, NULL);
    if (text)
        session_print(text);
    free(text);
}

static int run_rm(const struct ctl_call *call) {
    struct session session;
    const char *job = ctl_text(call, "job"), *dataset = ctl_text(call, "dataset");
    const char *name = job ? job : dataset ? dataset : call->args[0];
    const char *kind = job ? "job" : dataset ? "dataset" : "model";
    int code = session_open(call, &session);
    if (code == CTL_DONE && (job != NULL) + (dataset != NULL) + (call->arg_count > 0) != 1) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_BAD_REQUEST,
                "rm needs one thing: either MODEL or --job JOB or --dataset DATASET");
        code = session_fail(&session, &err, false);
    }
    if (code == CTL_DONE)
        code = session_json(
            &session, "DELETE",
            session_path(&session, arena_printf(session.arena, "/v1/%ss", kind), name, ""), NULL,
            NULL, NULL);
    if (code == CTL_DONE)
        say_gone(&session, kind, name);
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
    .doc = "List the models on the server, or show one.",
    .options = models_options,
    .option_count = sizeof models_options / sizeof models_options[0],
    .max_args = 1,
    .run = run_models,
};

static const struct ctl_option datasets_options[] = {
    CTL_SERVER_OPTIONS,
};

const struct ctl_verb ctl_datasets = {
    .name = "datasets",
    .args = "[NAME]",
    .doc = "List the datasets on the server, or show one.",
    .options = datasets_options,
    .option_count = sizeof datasets_options / sizeof datasets_options[0],
    .max_args = 1,
    .run = run_datasets,
};

static const struct ctl_option rm_options[] = {
    {.name = "dataset", .kind = CTL_TEXT, .value = "DATASET", .doc = "Forget this dataset."},
    {.name = "job",
     .kind = CTL_TEXT,
     .value = "JOB",
     .doc = "Forget this job, which is over, and its artifact."},
    CTL_SERVER_OPTIONS,
};

const struct ctl_verb ctl_rm = {
    .name = "rm",
    .args = "MODEL | --dataset DATASET | --job JOB",
    .doc = "Forget a model, a dataset, or a job that is over with its artifact.",
    .options = rm_options,
    .option_count = sizeof rm_options / sizeof rm_options[0],
    .max_args = 1,
    .run = run_rm,
};
