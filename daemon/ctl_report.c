/* report and log of a job: the report in short for people, whole under --json. */
#include "daemon/ctl_metrics.h"
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WORST_SHOWN 5
#define SCHEMES_MAX 32

static double number_at(const struct json_t *object, const char *key) {
    double value = NAN;
    json_number(json_get(object, key), &value);
    return value;
}

static uint64_t count_at(const struct json_t *object, const char *key) {
    int64_t value = 0;
    json_int(json_get(object, key), &value);
    return value > 0 ? (uint64_t)value : 0;
}

static const char *text_at(const struct json_t *object, const char *key) {
    const char *text = json_text(json_get(object, key));
    return text ? text : "";
}

struct scheme {
    const char *name;
    size_t tensors;
    uint64_t bytes;
    double worst_db; /* INFINITY: all exact */
};

static void print_schemes(const struct json_t *tensors) {
    struct scheme schemes[SCHEMES_MAX];
    size_t count = 0;
    char size[32], db[32];
    for (size_t i = 0; i < json_array_len(tensors); i++) {
        const struct json_t *t = json_array_at(tensors, i);
        const char *name = text_at(t, "scheme");
        double sqnr = number_at(t, "sqnr_db");
        size_t at = 0;
        while (at < count && at < SCHEMES_MAX - 1 && strcmp(schemes[at].name, name) != 0)
            at++;
        if (at == count)
            schemes[count++] = (struct scheme){.name = name, .worst_db = INFINITY};
        schemes[at].tensors++;
        schemes[at].bytes += count_at(t, "bytes");
        if (sqnr < schemes[at].worst_db)
            schemes[at].worst_db = sqnr;
    }
    printf("\n%-28s %8s %10s   %s\n", "format", "tensors", "size", "worst SQNR");
    for (size_t i = 0; i < count; i++) {
        snprintf(db, sizeof db, "%.1f dB", schemes[i].worst_db);
        printf("%-28s %8zu %10s   %s\n", schemes[i].name, schemes[i].tensors,
               term_bytes(schemes[i].bytes, size, sizeof size),
               isfinite(schemes[i].worst_db) ? db : "exact");
    }
}

/* The few with the lowest ratio of signal to noise, worst first. */
static void print_worst(const struct json_t *tensors) {
    const struct json_t *worst[WORST_SHOWN];
    size_t count = 0;
    for (size_t i = 0; i < json_array_len(tensors); i++) {
        const struct json_t *t = json_array_at(tensors, i);
        double sqnr = number_at(t, "sqnr_db");
        if (isnan(sqnr))
            continue;
        size_t at = count;
        while (at > 0 && number_at(worst[at - 1], "sqnr_db") > sqnr)
            at--;
        if (at == WORST_SHOWN)
            continue;
        count += count < WORST_SHOWN;
        memmove(&worst[at + 1], &worst[at], (count - 1 - at) * sizeof worst[0]);
        worst[at] = t;
    }
    if (count)
        printf("\n%-52s %-24s %s\n", "worst tensors", "format", "SQNR");
    for (size_t i = 0; i < count; i++)
        printf("%-52s %-24s %.1f dB\n", text_at(worst[i], "name"), text_at(worst[i], "scheme"),
               number_at(worst[i], "sqnr_db"));
}

/* null stands for an infinite value: of no error at all, or of nothing but error. */
static double metric_at_key(const struct json_t *metric, const char *key) {
    double value = number_at(metric, key);
    bool bad = strcmp(key, "value") == 0 && !json_get(metric, "exact");
    return !isnan(value) ? value : bad ? -INFINITY : INFINITY;
}

static int print_metric(void *ctx, const char *name, struct json_t *metric) {
    (void)ctx;
    double before = metric_at_key(metric, "before");
    ctl_metrics_row(stdout, "", name, text_at(metric, "unit"),
                    json_get(metric, "before") ? &before : NULL, metric_at_key(metric, "value"));
    return 0;
}

/* Of the layers that a result has in common with the original. */
static void print_worst_layer(const struct json_t *layers) {
    const struct json_t *worst = NULL;
    for (size_t i = 0; i < json_array_len(layers); i++) {
        const struct json_t *layer = json_array_at(layers, i);
        double sqnr = number_at(layer, "sqnr_db");
        if (!isnan(sqnr) && (!worst || sqnr < number_at(worst, "sqnr_db")))
            worst = layer;
    }
    if (worst)
        printf("%-16s %29.1f dB at %s %s\n", "worst layer", number_at(worst, "sqnr_db"),
               text_at(worst, "op_type"), text_at(worst, "node"));
}

static void print_calibration(const struct json_t *report) {
    const struct json_t *calibration = json_get(report, "calibration");
    const char *name = json_text(json_get(calibration, "dataset"));
    if (json_text(json_get(calibration, "method")))
        printf("\ncalibrated: ranges of %zu values on %" PRIu64 " samples of %s (%s)\n",
               json_array_len(json_get(calibration, "ranges")), count_at(calibration, "samples"),
               name ? name : "a set", text_at(calibration, "method"));
}

static void print_evaluation(const struct json_t *report) {
    const struct json_t *evaluation = json_get(report, "evaluation");
    const struct json_t *before = json_get(evaluation, "before");
    const struct json_t *after = json_get(evaluation, "after");
    if (!after)
        return;
    putchar('\n');
    ctl_metrics_head(stdout, "", json_text(json_get(evaluation, "dataset")),
                     count_at(json_get(after, "protocol"), "samples"));
    json_each(json_get(report, "metrics"), print_metric, NULL);
    double ms = number_at(json_get(before, "latency"), "median_ms");
    double after_ms = number_at(json_get(after, "latency"), "median_ms");
    if (!isnan(ms) && !isnan(after_ms))
        ctl_metrics_row(stdout, "", "latency", "ms", &ms, after_ms);
    printf("%-16s %14" PRIu64 " %14" PRIu64 " a sample\n", "MACs", count_at(before, "macs"),
           count_at(after, "macs"));
    print_worst_layer(json_get(after, "layers"));
}

static void print_rest(const struct json_t *report) {
    char text[32];
    struct json_t *stages = json_get(report, "stages"), *warnings = json_get(report, "warnings");
    putchar('\n');
    for (size_t i = 0; i < json_array_len(stages); i++) {
        const struct json_t *stage = json_array_at(stages, i);
        printf("stage %-10s %s", text_at(stage, "name"),
               term_seconds(number_at(stage, "seconds"), text, sizeof text));
        printf(", buffers %s\n", term_bytes(count_at(stage, "peak_bytes"), text, sizeof text));
    }
    for (size_t i = 0; i < json_array_len(warnings); i++) {
        const struct json_t *warning = json_array_at(warnings, i);
        const char *detail = json_text(warning);
        printf("warning: %s\n", detail ? detail : text_at(warning, "detail"));
    }
}

static void print_report(const struct json_t *report) {
    char in[32], out[32];
    const struct json_t *size = json_get(report, "size");
    const struct json_t *tensors = json_get(report, "tensors");
    printf("recipe       %s\n", text_at(json_get(report, "inputs"), "recipe_name"));
    printf("size         %s -> %s, ratio %.2f\n",
           term_bytes(count_at(size, "bytes_in"), in, sizeof in),
           term_bytes(count_at(size, "bytes_out"), out, sizeof out), number_at(size, "ratio"));
    printf("parameters   %s\n",
           term_count(count_at(json_get(report, "parameters"), "before"), in, sizeof in));
    printf("bits/weight  %.2f\n", number_at(size, "bits_per_weight"));
    printf("compared     with the %s\n", text_at(report, "compared_with"));
    print_schemes(tensors);
    print_worst(tensors);
    print_calibration(report);
    print_evaluation(report);
    print_rest(report);
}

static int run_report(const struct ctl_call *call) {
    struct session session;
    struct json_t *report = NULL;
    char *text = NULL;
    int code = session_open(call, &session);
    if (code == CTL_DONE)
        code = session_json(&session, "GET",
                            session_path(&session, "/v1/jobs", call->args[0], "/report"), NULL,
                            &report, &text);
    if (code == CTL_DONE && session.json)
        session_print(text);
    else if (code == CTL_DONE)
        print_report(report);
    jspec_free(report);
    free(text);
    session_close(&session);
    return code;
}

static int run_log(const struct ctl_call *call) {
    struct session session;
    char *text = NULL;
    int code = session_open(call, &session);
    if (code == CTL_DONE)
        code =
            session_json(&session, "GET", session_path(&session, "/v1/jobs", call->args[0], "/log"),
                         NULL, NULL, &text);
    if (code == CTL_DONE && text[0])
        session_print(text);
    free(text);
    session_close(&session);
    return code;
}

static const struct ctl_option options[] = {CTL_SERVER_OPTIONS};

const struct ctl_verb ctl_report = {
    .name = "report",
    .args = "JOB",
    .doc = "Print a job's report in short; whole with --json.",
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
