/* evaluate: measure a model on a dataset, alone or against the original, without a server. */
#include "compress/base/dirfiles.h"
#include "compress/base/limits.h"
#include "compress/exec/dataset.h"
#include "compress/formats/format.h"
#include "compress/report/evaluation.h"
#include "daemon/ctl_out.h"
#include "daemon/ctl_verbs.h"
#include "daemon/term.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct opened {
    struct resolver *files;
    struct model *model;
};

struct evaluating {
    const struct ctl_call *call;
    struct opened model, original;
    struct resolver *dataset_files;
    struct dataset *dataset;
    struct team *team;
    struct evaluation *evaluation;
    struct term *term;
};

static void show_progress(void *self, const struct progress_state *state) {
    term_progress(((struct evaluating *)self)->term, state);
}

static int open_model(struct opened *o, const char *path, struct err *err) {
    if (dirfiles_open(path, true, &o->files, err) < 0)
        return -1;
    return format_open(o->files, &o->model, err);
}

static void close_model(struct opened *o) {
    model_free(o->model);
    resolver_close(o->files);
}

/* "mse,cosine" → bits. */
static int read_metrics(const char *list, unsigned *ret, struct err *err) {
    *ret = 0;
    while (list && *list) {
        char name[32];
        size_t len = strcspn(list, ",");
        snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), list);
        const struct metric *metric = len < sizeof name ? metric_by_name(name) : NULL;
        if (!metric) {
            char known[256] = "";
            for (size_t i = 0; metric_at(i); i++)
                snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                         metric_at(i)->name);
            return err_set(err, ERR_BAD_REQUEST, "no metric is called '%s'; there are %s", name,
                           known);
        }
        *ret |= 1u << metric->id;
        list += len + (list[len] == ',');
    }
    return 0;
}

static void print_metric(const struct metric *metric, const struct metric_value *value) {
    char text[64];
    if (evaluation_is_exact(metric->id, value->value))
        snprintf(text, sizeof text, "exact");
    else
        snprintf(text, sizeof text, "%.6g%s%s", value->value, *metric->unit ? " " : "",
                 metric->unit);
    printf("%-16s %-20s", metric->name, text);
    if (value->has_quantiles)
        printf(" median %.3g, 99.9 %% %.3g, max %.3g", value->median, value->p999, value->max);
    printf(" over %" PRIu64 "\n", value->count);
}

static void print_worst_layers(const struct evaluation *e) {
    const struct evaluation_layer *worst = NULL;
    for (size_t i = 0; i < e->layer_count; i++)
        if (e->layers[i].compared && (!worst || e->layers[i].sqnr_db < worst->sqnr_db))
            worst = &e->layers[i];
    if (worst && isfinite(worst->sqnr_db))
        printf("%-16s %.2f dB at %s '%s', of %zu layers\n", "worst layer", worst->sqnr_db,
               worst->op_type, *worst->node ? worst->node : worst->name, e->layer_count);
}

static void print_people(const struct evaluation *e) {
    printf("%-16s %" PRIu64 " of %s, %" PRIu64 " a batch", "samples", e->samples, e->dataset_kind,
           e->batch);
    if (e->window)
        printf(", windows of %" PRIu64 ", stride %" PRIu64, e->window, e->window);
    if (e->left_out)
        printf("; %" PRIu64 " left out, the graph's batch is fixed", e->left_out);
    printf("\n");
    if (strcmp(e->labels, "unused") == 0)
        printf("%-16s not scored, they fit no output of the model\n", "labels");
    for (size_t id = 0; id < METRIC_COUNT; id++)
        if (e->metrics[id].present)
            print_metric(metric_at(id), &e->metrics[id].value);
    print_worst_layers(e);
    printf("%-16s %" PRIu64 "\n%-16s %" PRIu64 " a sample\n", "parameters", e->parameters, "MACs",
           e->macs);
    if (e->latency_runs)
        printf("%-16s %.3f ms median of %u, batch %" PRIu64 ", %u threads\n", "latency",
               e->latency_ms[1], e->latency_runs, e->latency_batch, e->threads);
}

static int work(struct evaluating *v, struct err *err) {
    const struct ctl_call *call = v->call;
    const char *original = ctl_text(call, "against");
    struct progress progress = {.self = v, .report = show_progress};
    struct evaluate_options options = {
        .samples = (uint64_t)ctl_number(call, "samples", 0),
        .batch = (uint64_t)ctl_number(call, "batch", 0),
        .window = (uint64_t)ctl_number(call, "window", 0),
        .seed = (uint64_t)ctl_number(call, "seed", 0),
        .latency_runs = (unsigned)ctl_number(call, "latency", 30),
        .layers = true,
        .memory_bytes = ctl_size(call, "memory"),
        .progress = &progress,
        .at = {.stage = "check", .stages = 2},
    };
    long threads = ctl_number(call, "threads", 0);
    if (read_metrics(ctl_text(call, "metrics"), &options.metrics, err) < 0 ||
        open_model(&v->model, call->args[0], err) < 0 ||
        (original && open_model(&v->original, original, err) < 0) ||
        dirfiles_open(ctl_text(call, "dataset"), true, &v->dataset_files, err) < 0 ||
        dataset_open(v->dataset_files, &v->dataset, err) < 0)
        return -1;
    v->team = team_new((unsigned)threads, 0);
    if (!v->team)
        return err_set(err, ERR_NO_MEMORY, "cannot start %ld threads", threads);
    options.team = v->team;
    options.original = v->original.model;
    if (evaluate_check(v->model.model, v->dataset, &options, NULL, err) < 0)
        return -1;
    options.at.stage = "evaluate";
    options.at.stage_index = 1;
    return evaluate_run(v->model.model, v->dataset, &options, &v->evaluation, err);
}

/* The evaluation, and which bytes it was made on. */
static int print_json(const struct evaluating *v) {
    struct resolver *files = v->dataset_files;
    struct err err = ERR_INIT;
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    evaluation_print(v->evaluation, &b);
    jbuf_key(&b, "dataset");
    jbuf_array(&b);
    int result = 0;
    for (size_t i = 0; result == 0 && i < files->count; i++) {
        struct digest digest = {0};
        char hex[DIGEST_HEX_LEN + 1];
        result = resolver_digest(files, i, &digest, &err);
        digest_hex(&digest, hex);
        jbuf_object(&b);
        jbuf_kv_string(&b, "path", files->files[i].path);
        jbuf_kv_uint(&b, "bytes", files->files[i].bytes);
        jbuf_kv_string(&b, "sha256", hex);
        jbuf_object_end(&b);
    }
    jbuf_array_end(&b);
    jbuf_object_end(&b);
    char *text = jbuf_take(&b, NULL);
    if (result == 0 && !text)
        result = err_set(&err, ERR_NO_MEMORY, "no memory for the result");
    if (result == 0)
        puts(text);
    free(text);
    return result == 0 ? CTL_DONE : ctl_fail(&err, NULL, true, true);
}

static int run(const struct ctl_call *call) {
    bool json = ctl_flag(call, "json");
    struct evaluating v = {.call = call};
    struct err err = ERR_INIT;
    v.term = term_new(stderr, ctl_flag(call, "quiet") || json ? TERM_SILENT : TERM_AUTO);
    int result = work(&v, &err);
    if (v.term)
        term_clear(v.term);
    int code = CTL_DONE;
    if (result < 0) {
        code = ctl_fail(&err, NULL, json, false);
    } else if (json) {
        code = print_json(&v);
    } else {
        print_people(v.evaluation);
    }
    evaluation_free(v.evaluation);
    dataset_free(v.dataset);
    resolver_close(v.dataset_files);
    close_model(&v.original);
    close_model(&v.model);
    team_free(v.team);
    term_free(v.term);
    return code;
}

static const struct ctl_option options[] = {
    {.name = "dataset",
     .letter = 'd',
     .kind = CTL_TEXT,
     .value = "DATA",
     .required = true,
     .doc = "An .npz, .safetensors or .npy file, or a folder of them."},
    {.name = "against",
     .letter = 'a',
     .kind = CTL_TEXT,
     .value = "ORIGINAL",
     .doc = "Compare with this model on the same data."},
    {.name = "metrics",
     .letter = 'm',
     .kind = CTL_TEXT,
     .value = "LIST",
     .doc = "Names with commas between; default: all that apply."},
    {.name = "samples",
     .kind = CTL_NUMBER,
     .value = "N",
     .min = 1,
     .max = 1e15,
     .doc = "At most so many samples, chosen by the seed."},
    {.name = "batch",
     .letter = 'b',
     .kind = CTL_NUMBER,
     .value = "N",
     .min = 1,
     .max = 1 << 20,
     .doc = "Samples a batch; default: the graph's own, else 32."},
    {.name = "window",
     .kind = CTL_NUMBER,
     .value = "N",
     .min = 2,
     .max = 1 << 24,
     .doc = "Token ids: length of a window; default: the graph's own, else 512."},
    {.name = "latency",
     .kind = CTL_NUMBER,
     .value = "RUNS",
     .min = 0,
     .max = 10000,
     .doc = "Runs to time; default: 30, 0: none."},
    {.name = "seed",
     .kind = CTL_NUMBER,
     .value = "N",
     .min = 0,
     .max = 1e15,
     .doc = "Chooses the samples; default: 0."},
    {.name = "threads",
     .letter = 't',
     .kind = CTL_NUMBER,
     .value = "N",
     .min = 1,
     .max = 1024,
     .doc = "Threads to use; default: one per core."},
    {.name = "memory",
     .kind = CTL_SIZE,
     .value = "SIZE",
     .min = 1 << 20,
     .doc = "Ceiling for workspaces and weights: 512M, 4G."},
};

const struct ctl_verb ctl_evaluate = {
    .name = "evaluate",
    .args = "MODEL",
    .doc = "Measure a model on a dataset, on this machine.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run,
    .more =
        "An array named like an input feeds it, one named like an output is its target, 'label'\n"
        "holds class ids. A single .npy of integers is token ids.\n",
};
