/* submit and plan: a model and a recipe → a job, or what one would do. */
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include "compress/base/dirfiles.h"
#include "compress/base/jbuf.h"
#include "compress/base/limits.h"
#include "compress/recipe/recipe.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The recipe as a JSON value: text that begins with '{', a file, or a name that the server knows.
 */
static char *recipe_value(const char *recipe, struct err *err) {
    if (recipe[0] == '{')
        return strdup(recipe);
    if (strchr(recipe, '/') || strchr(recipe, '.') || access(recipe, R_OK) == 0) {
        struct resolver *files = NULL;
        struct source *source = NULL;
        char *text = NULL;
        if (dirfiles_open(recipe, true, &files, err) == 0 &&
            files->ops->open(files, 0, &source, err) == 0)
            source_slurp(source, LIMIT_RECIPE_BYTES, &text, err);
        source_close(source);
        resolver_close(files);
        return text;
    }
    struct jbuf b;
    jbuf_init(&b);
    jbuf_string(&b, recipe);
    return jbuf_take(&b, NULL);
}

static int add_labels(struct jbuf *b, struct arena *arena, const char *labels, struct err *err) {
    jbuf_key(b, "labels");
    jbuf_object(b);
    char *rest = arena_strdup(arena, labels);
    for (char *word = rest ? strtok_r(rest, ",", &rest) : NULL; word;
         word = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(word, '=');
        if (!equals)
            return err_set(err, ERR_BAD_REQUEST, "--label takes KEY=VALUE[,KEY=VALUE], not '%s'",
                           word);
        *equals = 0;
        jbuf_kv_string(b, word, equals + 1);
    }
    jbuf_object_end(b);
    return 0;
}

/* With "requantize": true in front; a name is asked for as the recipe the server has under it. */
static char *requantized(struct session *session, char *value, struct err *err) {
    char *recipe = value;
    if (value[0] == '"') {
        struct json_t *document = NULL;
        struct json_t *name = NULL;
        struct client_answer answer = {0};
        recipe = NULL;
        if (jspec_parse(value, strlen(value), &name, err) == 0 &&
            client_call(session->client, "GET",
                        session_path(session, "/v1/recipes", json_text(name), ""), NULL, &answer,
                        err) == 0 &&
            (answer.status == 200 || client_problem(&answer, &session->findings, err) == 0) &&
            jspec_parse(answer.body, answer.len, &document, err) == 0)
            recipe = json_canonical(json_get(document, "recipe"));
        jspec_free(document);
        jspec_free(name);
        client_answer_free(&answer);
        free(value);
        if (!recipe)
            return NULL;
    }
    const char *open = strchr(recipe, '{');
    char *out = NULL;
    if (open && strstr(recipe, "\"requantize\""))
        return recipe;
    if (open && asprintf(&out, "{\"requantize\":true%s%s", open[1] == '}' ? "" : ",", open + 1) < 0)
        out = NULL;
    free(recipe);
    return out;
}

char *submit_body(struct session *session, const char *model, const char *recipe,
                  const struct submit_options *options, struct err *err) {
    char *value = recipe_value(recipe, err);
    if (value && options->requantize)
        value = requantized(session, value, err);
    if (!value) {
        err_set(err, ERR_NO_MEMORY, "no memory for a request");
        return NULL;
    }
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "model", model);
    /* A file with a slip in it must not become a slip in our body: the server names the place. */
    struct json_t *checked = NULL;
    if (jspec_parse(value, strlen(value), &checked, err) < 0 ||
        (options->labels && add_labels(&b, session->arena, options->labels, err) < 0)) {
        jspec_free(checked);
        jbuf_free(&b);
        free(value);
        return NULL;
    }
    jspec_free(checked);
    jbuf_kv_raw(&b, "recipe", value);
    if (options->dataset)
        jbuf_kv_string(&b, "dataset", options->dataset);
    if (options->job_name)
        jbuf_kv_string(&b, "name", options->job_name);
    if (options->priority >= 0)
        jbuf_kv_int(&b, "priority", options->priority);
    jbuf_object_end(&b);
    free(value);
    return jbuf_take(&b, NULL);
}

int step_check_recipe(struct session *session, const char *recipe) {
    struct err err = ERR_INIT;
    struct recipe *parsed;
    char *value = recipe_value(recipe, &err);
    if (!value)
        return session_fail(session, &err, false);
    int code = CTL_DONE;
    if (value[0] == '"')
        code = session_json(session, "GET", session_path(session, "/v1/recipes", recipe, ""), NULL,
                            NULL, NULL);
    else if (recipe_parse(value, strlen(value), session->arena, &session->findings, &parsed, &err) <
             0)
        code = session_fail(session, &err, false);
    free(value);
    return code;
}

int step_submit(struct session *session, const char *model, const char *recipe,
                const struct submit_options *options, const char **ret_id) {
    struct err err = ERR_INIT;
    struct json_t *job = NULL;
    char *text = NULL;
    char *body = submit_body(session, model, recipe, options, &err);
    if (!body)
        return session_fail(session, &err, false);
    int code = session_json(session, "POST", "/v1/jobs", body, &job, &text);
    free(body);
    if (code == CTL_DONE) {
        const char *id = json_text(json_get(job, "id"));
        *ret_id = arena_strdup(session->arena, id ? id : "");
        if (session->json && options->typed)
            session_print_event("job", text);
        else if (session->json)
            session_print(text);
        else if (!session->quiet)
            printf("job %s\n", *ret_id);
    }
    jspec_free(job);
    free(text);
    return code;
}

static struct submit_options options_of(const struct ctl_call *call) {
    return (struct submit_options){
        .job_name = ctl_text(call, "name"),
        .labels = ctl_text(call, "label"),
        .dataset = ctl_text(call, "dataset"),
        .priority = ctl_number(call, "priority", -1),
        .requantize = ctl_flag(call, "requantize"),
    };
}

static int run_submit(const struct ctl_call *call) {
    struct session session;
    int code = session_open(call, &session);
    const char *id;
    struct submit_options options = options_of(call);
    if (code == CTL_DONE)
        code = step_submit(&session, call->args[0], call->args[1], &options, &id);
    session_close(&session);
    return code;
}

static void print_plan(const struct json_t *plan) {
    char in[32], out[32], peak[32], time[32];
    int64_t bytes_in = 0, bytes_out = 0, peak_bytes = 0;
    double ratio = 0, seconds = 0;
    json_int(json_get(plan, "bytes_in"), &bytes_in);
    json_int(json_get(plan, "bytes_out"), &bytes_out);
    json_int(json_get(plan, "peak_bytes"), &peak_bytes);
    json_number(json_get(plan, "ratio"), &ratio);
    json_number(json_get(plan, "seconds"), &seconds);
    printf("%-52s %-12s %-28s %10s\n", "tensor", "role", "scheme", "size");
    struct json_t *tensors = json_get(plan, "tensors");
    for (size_t i = 0; i < json_array_len(tensors); i++) {
        const struct json_t *tensor = json_array_at(tensors, i);
        int64_t bytes = 0;
        json_int(json_get(tensor, "bytes"), &bytes);
        const char *name = json_text(json_get(tensor, "name"));
        const char *role = json_text(json_get(tensor, "role"));
        const char *scheme = json_text(json_get(tensor, "scheme"));
        printf("%-52s %-12s %-28s %10s\n", name ? name : "", role ? role : "", scheme ? scheme : "",
               term_bytes((uint64_t)bytes, out, sizeof out));
    }
    printf("\n%s -> %s, ratio %.2f; about %s with %s of memory\n",
           term_bytes((uint64_t)bytes_in, in, sizeof in),
           term_bytes((uint64_t)bytes_out, out, sizeof out), ratio,
           term_seconds(seconds, time, sizeof time),
           term_bytes((uint64_t)peak_bytes, peak, sizeof peak));
    struct json_t *warnings = json_get(plan, "warnings");
    for (size_t i = 0; i < json_array_len(warnings); i++) {
        const struct json_t *warning = json_array_at(warnings, i);
        const char *text = json_text(warning);
        if (!text)
            text = json_text(json_get(warning, "detail"));
        fprintf(stderr, "warning: %s\n", text ? text : "");
    }
}

static int run_plan(const struct ctl_call *call) {
    struct session session;
    struct err err = ERR_INIT;
    struct json_t *plan = NULL;
    char *text = NULL;
    int code = session_open(call, &session);
    if (code == CTL_DONE) {
        struct submit_options options = {.priority = -1,
                                         .dataset = ctl_text(call, "dataset"),
                                         .requantize = ctl_flag(call, "requantize")};
        char *body = submit_body(&session, call->args[0], call->args[1], &options, &err);
        code = body ? session_json(&session, "POST", "/v1/plan", body, &plan, &text)
                    : session_fail(&session, &err, false);
        free(body);
    }
    if (code == CTL_DONE && session.json)
        session_print(text);
    else if (code == CTL_DONE)
        print_plan(plan);
    jspec_free(plan);
    free(text);
    session_close(&session);
    return code;
}

static const struct ctl_option submit_options[] = {
    {.name = "name", .kind = CTL_TEXT, .value = "NAME", .doc = "A name for the job."},
    {.name = "label",
     .letter = 'l',
     .kind = CTL_TEXT,
     .value = "K=V[,K=V]",
     .doc = "Labels to find the job by."},
    {.name = "dataset",
     .kind = CTL_TEXT,
     .value = "DATASET",
     .doc = "What the job calibrates and measures with; see push --dataset."},
    {.name = "priority",
     .kind = CTL_NUMBER,
     .value = "0-9",
     .min = 0,
     .max = 9,
     .doc = "9 goes first; default 5."},
    {.name = "requantize", .kind = CTL_FLAG, .doc = "Accept a model that is already quantized."},
    CTL_SERVER_OPTIONS,
};

const struct ctl_verb ctl_submit = {
    .name = "submit",
    .args = "MODEL RECIPE",
    .doc = "Submit a job; RECIPE is a name, a file or JSON.",
    .options = submit_options,
    .option_count = sizeof submit_options / sizeof submit_options[0],
    .min_args = 2,
    .max_args = 2,
    .run = run_submit,
};

static const struct ctl_option plan_options[] = {
    {.name = "dataset",
     .kind = CTL_TEXT,
     .value = "DATASET",
     .doc = "What the job would calibrate and measure with."},
    {.name = "requantize", .kind = CTL_FLAG, .doc = "Accept a model that is already quantized."},
    CTL_SERVER_OPTIONS,
};

const struct ctl_verb ctl_plan = {
    .name = "plan",
    .args = "MODEL RECIPE",
    .doc = "Say what a job would do, without doing it.",
    .options = plan_options,
    .option_count = sizeof plan_options / sizeof plan_options[0],
    .min_args = 2,
    .max_args = 2,
    .run = run_plan,
};
