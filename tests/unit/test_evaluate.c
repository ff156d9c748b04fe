/* Evaluation of a small classifier: every number worked out beside it, whatever the batch size. */
#include "compress/exec/evaluate.h"

#include "compress/base/arena.h"
#include "compress/base/jspec.h"
#include "compress/graph/graph.h"
#include "compress/graph/model.h"
#include "compress/report/evaluation.h"
#include "tests/support/bytebuf.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"
#include "tests/support/tinynpy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 5, CLASSES = 3 };

static const float inputs[SAMPLES * 2] = {1, 0, 0, 1, 1, 1, -1, 2, 3, -1};
static const int64_t labels[SAMPLES] = {0, 1, 2, 1, 0};
static const float weight[2 * CLASSES] = {1, 0, 0.5F, 0, 1, 0.5F};

/* y = x W, x [batch, 2], W [2, 3] * scale. The file of weights is the model's only file. */
struct fixture {
    struct memfiles files;
    struct resolver *resolver;
    struct model *model;
    struct err err;
};

/* scale: of the weights of either input. */
static void build_with(struct fixture *f, const float scale[2], const char *extra_input) {
    float w[2 * CLASSES];
    *f = (struct fixture){.err = ERR_INIT};
    for (int i = 0; i < 2 * CLASSES; i++)
        w[i] = weight[i] * scale[i / CLASSES];
    memfiles_add(&f->files, "weights", w, sizeof w);
    f->files.lone = true;
    f->resolver = memfiles_resolver(&f->files);
    f->model = model_new(f->resolver);
    struct arena *arena = f->model->arena;
    uint32_t file;
    CHECK_OK(model_add_file(f->model, 0, &file, &f->err), &f->err);
    f->model->tensors = ARENA_ARRAY(arena, struct tensor, 1);
    f->model->tensor_count = 1;
    f->model->tensors[0] = (struct tensor){
        .name = "w",
        .component = "",
        .rank = 2,
        .dims = {2, CLASSES},
        .stored = encoding_plain(DTYPE_F32),
        .parts = {[PART_DATA] = {"w", DTYPE_F32, file, 0, sizeof w}},
    };
    CHECK_OK(model_finish(f->model, &f->err), &f->err);
    struct graph *graph = f->model->graph = graph_new(arena, NULL);
    struct type x = {DTYPE_F32, true, 2, {{-1, symbols_get(graph->symbols, "batch")}, DIM(2)}};
    struct type wt = {DTYPE_F32, true, 2, {DIM(2), DIM(CLASSES)}};
    struct value *in[2], *y;
    struct node *node;
    CHECK_OK(graph_add_input(graph, "x", &x, &in[0], &f->err), &f->err);
    if (extra_input)
        CHECK_OK(graph_add_input(graph, extra_input, &x, &in[0], &f->err), &f->err);
    CHECK_OK(graph_add_weight(graph, "w", 0, &wt, &in[1], &f->err), &f->err);
    CHECK_OK(graph_add_value(graph, "y", &y, &f->err), &f->err);
    CHECK_OK(graph_add_node(graph, NULL,
                            &(struct node_spec){.name = "head",
                                                .op_type = "MatMul",
                                                .domain = "",
                                                .version = 13,
                                                .in = in,
                                                .in_count = 2,
                                                .out = &y,
                                                .out_count = 1},
                            &node, &f->err),
             &f->err);
    CHECK_OK(graph_add_output(graph, y, &f->err), &f->err);
}

static void build(struct fixture *f, float scale, const char *extra_input) {
    build_with(f, (const float[]){scale, scale}, extra_input);
}

static void drop(struct fixture *f) {
    model_free(f->model);
    resolver_close(f->resolver);
    memfiles_free(&f->files);
}

struct data {
    struct memfiles files;
    struct resolver *resolver;
    struct dataset *dataset;
};

static void open_data(struct data *d, const int64_t *ids) {
    struct err err = ERR_INIT;
    struct bytebuf b = {0};
    *d = (struct data){0};
    tinynpy(&b, "<f4", "(5, 2)", inputs, sizeof inputs);
    memfiles_add(&d->files, "x.npy", b.at, b.len);
    bytebuf_free(&b);
    b = (struct bytebuf){0};
    tinynpy(&b, "<i8", "(5,)", ids, SAMPLES * sizeof *ids);
    memfiles_add(&d->files, "label.npy", b.at, b.len);
    bytebuf_free(&b);
    d->resolver = memfiles_resolver(&d->files);
    CHECK_OK(dataset_open(d->resolver, &d->dataset, &err), &err);
}

static void close_data(struct data *d) {
    dataset_free(d->dataset);
    resolver_close(d->resolver);
    memfiles_free(&d->files);
}

static double log_probability(int sample, int class, double scale) {
    double scores[CLASSES], sum = 0;
    for (int c = 0; c < CLASSES; c++) {
        scores[c] =
            scale * (inputs[2 * sample] * weight[c] + inputs[2 * sample + 1] * weight[CLASSES + c]);
        sum += exp(scores[c]);
    }
    return scores[class] - log(sum);
}

static void scores_labels(void **state) {
    struct fixture f;
    struct data d;
    struct err err = ERR_INIT;
    build(&f, 1, NULL);
    open_data(&d, labels);
    double want = 0;
    for (int s = 0; s < SAMPLES; s++)
        want -= log_probability(s, (int)labels[s], 1) / SAMPLES;
    for (uint64_t batch = 1; batch <= 6; batch++) {
        struct evaluation *e = NULL;
        struct evaluate_options options = {.batch = batch, .latency_runs = 3};
        CHECK_OK(evaluate_run(f.model, d.dataset, &options, &e, &err), &err);
        CHECK_UINT(e->samples, SAMPLES);
        CHECK(e->metrics[METRIC_ACCURACY].present);
        CHECK_NUM(e->metrics[METRIC_CROSS_ENTROPY].value.value, want, 1e-6);
        /* sample 2 scores 1, 1, 1: the first of equals is not its label */
        CHECK_NUM(e->metrics[METRIC_ACCURACY].value.value, 0.8, 1e-12);
        CHECK(!e->metrics[METRIC_KL].present && !e->metrics[METRIC_MSE].present);
        CHECK_UINT(e->macs, 2 * CLASSES);
        CHECK_UINT(e->parameters, 2 * CLASSES);
        CHECK_UINT(e->latency_runs, 3);
        CHECK(e->latency_ms[0] <= e->latency_ms[1] && e->latency_ms[1] <= e->latency_ms[2]);
        evaluation_free(e);
    }
    close_data(&d);
    drop(&f);
}

static char *json_of(const struct evaluation *e) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    evaluation_print(e, &b);
    jbuf_object_end(&b);
    char *text = jbuf_take(&b, NULL);
    CHECK(text != NULL);
    return text;
}

static void compares_with_the_original(void **state) {
    struct fixture f, original;
    struct data d;
    struct err err = ERR_INIT;
    build(&f, 0.5F, NULL);
    build(&original, 1, NULL);
    open_data(&d, labels);
    double kl = 0, x2 = 0, e2 = 0;
    for (int s = 0; s < SAMPLES; s++)
        for (int c = 0; c < CLASSES; c++) {
            double p = log_probability(s, c, 1), q = log_probability(s, c, 0.5);
            double y = inputs[2 * s] * weight[c] + inputs[2 * s + 1] * weight[CLASSES + c];
            kl += exp(p) * (p - q) / SAMPLES;
            x2 += y * y;
            e2 += y * y / 4;
        }
    struct evaluation *e = NULL;
    struct evaluate_options options = {.batch = 2, .original = original.model, .layers = true};
    CHECK_OK(evaluate_run(f.model, d.dataset, &options, &e, &err), &err);
    CHECK_NUM(e->metrics[METRIC_KL].value.value, kl, 1e-6);
    CHECK_NUM(e->metrics[METRIC_TOP1_AGREEMENT].value.value, 1, 0);
    CHECK_NUM(e->metrics[METRIC_COSINE].value.value, 1, 1e-6);
    CHECK_NUM(e->metrics[METRIC_SQNR].value.value, 10 * log10(x2 / e2), 1e-5);
    CHECK_UINT(e->layer_count, 1);
    CHECK_TEXT(e->layers[0].node, "head");
    CHECK_NUM(e->layers[0].sqnr_db, 10 * log10(x2 / e2), 1e-5);
    char *text = json_of(e);
    CHECK_HOLDS(text, "\"kl\":{\"value\":");
    CHECK_HOLDS(text, "\"layers\":[{\"name\":\"y\",\"node\":\"head\",\"op_type\":\"MatMul\"");
    free(text);
    evaluation_free(e);
    /* against itself: nothing is lost, and JSON has no infinity */
    options.original = f.model;
    CHECK_OK(evaluate_run(f.model, d.dataset, &options, &e, &err), &err);
    text = json_of(e);
    CHECK_HOLDS(text, "\"sqnr\":{\"value\":null,\"exact\":true");
    free(text);
    evaluation_free(e);
    close_data(&d);
    drop(&original);
    drop(&f);
}

/* Timing runs the first batch again: it does not count more than others for that. */
static void timing_compares_nothing(void **state) {
    struct fixture f, original;
    struct data d;
    struct err err = ERR_INIT;
    double sqnr_db[2];
    build_with(&f, (const float[]){0.5F, 0.9F}, NULL);
    build(&original, 1, NULL);
    open_data(&d, labels);
    for (unsigned i = 0; i < 2; i++) {
        struct evaluation *e = NULL;
        struct evaluate_options options = {
            .batch = 2, .original = original.model, .layers = true, .latency_runs = 5 * i};
        CHECK_OK(evaluate_run(f.model, d.dataset, &options, &e, &err), &err);
        CHECK_UINT(e->layer_count, 1);
        sqnr_db[i] = e->layers[0].sqnr_db;
        evaluation_free(e);
    }
    CHECK(sqnr_db[0] == sqnr_db[1]);
    close_data(&d);
    drop(&original);
    drop(&f);
}

static void what_cannot_be_measured_is_named(void **state) {
    struct fixture f, hungry;
    struct data d, wrong;
    struct err err = ERR_INIT;
    const int64_t bad[SAMPLES] = {0, 1, 3, 0, 0};
    struct evaluation *e = NULL;
    build(&f, 1, NULL);
    build(&hungry, 1, "z");
    open_data(&d, labels);
    open_data(&wrong, bad);
    struct evaluate_options options = {.metrics = 1u << METRIC_KL};
    CHECK(evaluate_run(f.model, d.dataset, &options, &e, &err) < 0);
    CHECK_TEXT(err.text, "kl needs an original to compare with; what can be measured here: "
                         "cross_entropy, perplexity, accuracy, top5");
    CHECK_TEXT(err.nearest, "cross_entropy");
    CHECK_FAILS(-1, &err, ERR_MISFIT);
    CHECK_FAILS(evaluate_check(f.model, d.dataset, &options, NULL, &err), &err, ERR_MISFIT);
    options.metrics = 1u << METRIC_PSNR;
    CHECK_FAILS(evaluate_run(f.model, d.dataset, &options, &e, &err), &err, ERR_MISFIT);
    options.metrics = 0;
    CHECK(evaluate_run(f.model, wrong.dataset, &options, &e, &err) < 0);
    CHECK_TEXT(err.text, "sample 2 of \"label\" holds 3, outside of 0 to 2: the classes of 'y'");
    CHECK_TEXT(err.tensor, "label");
    CHECK_FAILS(-1, &err, ERR_BAD_DATASET);
    CHECK_FAILS(evaluate_check(f.model, wrong.dataset, &options, NULL, &err), &err,
                ERR_BAD_DATASET);
    struct evaluate_prediction prediction;
    CHECK_FAILS(evaluate_predict(f.model, wrong.dataset, &options, &prediction, &err), &err,
                ERR_BAD_DATASET);
    options.metrics = 1u << METRIC_PSNR; /* a prediction says what is possible, no more */
    CHECK_OK(evaluate_predict(f.model, d.dataset, &options, &prediction, &err), &err);
    CHECK_UINT(prediction.possible, 1u << METRIC_CROSS_ENTROPY | 1u << METRIC_PERPLEXITY |
                                        1u << METRIC_ACCURACY | 1u << METRIC_TOP5);
    options.original = f.model;
    CHECK_OK(evaluate_predict(f.model, d.dataset, &options, &prediction, &err), &err);
    CHECK_UINT(prediction.possible, (1u << METRIC_COUNT) - 1);
    options = (struct evaluate_options){0};
    CHECK(evaluate_run(hungry.model, d.dataset, &options, &e, &err) < 0);
    CHECK_HOLDS(err.text, "z");
    CHECK_FAILS(-1, &err, ERR_MISFIT);
    struct graph *graph = f.model->graph;
    f.model->graph = NULL;
    CHECK_FAILS(evaluate_run(f.model, d.dataset, &options, &e, &err), &err, ERR_UNSUPPORTED);
    f.model->graph = graph;
    close_data(&wrong);
    close_data(&d);
    drop(&hungry);
    drop(&f);
}

struct heard {
    unsigned reports;
    struct progress_state last;
    char metrics[512];
};

static void hear(void *self, const struct progress_state *state) {
    struct heard *heard = self;
    heard->reports++;
    heard->last = *state;
    snprintf(heard->metrics, sizeof heard->metrics, "%s",
             state->metrics_json ? state->metrics_json : "");
}

/* Every batch is told, with the metrics of all samples so far. */
static void progress_carries_the_metrics_so_far(void **state) {
    struct err err = ERR_INIT;
    struct fixture f;
    struct data d;
    struct evaluation *e;
    struct heard heard = {0};
    const struct progress progress = {.self = &heard, .report = hear};
    struct evaluate_options options = {
        .batch = 2,
        .metrics = 1u << METRIC_ACCURACY | 1u << METRIC_TOP5,
        .progress = &progress,
        .at = {.stage = "evaluate", .stage_index = 2, .stages = 4},
    };
    build(&f, 1, NULL);
    open_data(&d, labels);
    CHECK_OK(evaluate_run(f.model, d.dataset, &options, &e, &err), &err);
    CHECK_UINT(heard.reports, 4); /* the start, and three batches */
    CHECK_UINT(heard.last.done, SAMPLES);
    CHECK_UINT(heard.last.total, SAMPLES);
    CHECK_UINT(heard.last.stage_index, 2);
    CHECK_TEXT(heard.last.unit, "samples");
    struct json_t *json;
    CHECK_OK(jspec_parse(heard.metrics, strlen(heard.metrics), &json, &err), &err);
    double accuracy = -1, top5 = -1;
    CHECK(json_number(json_get(json, "accuracy"), &accuracy));
    CHECK(json_number(json_get(json, "top5"), &top5));
    CHECK(accuracy == e->metrics[METRIC_ACCURACY].value.value);
    CHECK(top5 == 1);
    CHECK(json_get(json, "cross_entropy") == NULL); /* not asked for */
    jspec_free(json);
    evaluation_free(e);
    close_data(&d);
    drop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_labels),
        cmocka_unit_test(compares_with_the_original),
        cmocka_unit_test(timing_compares_nothing),
        cmocka_unit_test(progress_carries_the_metrics_so_far),
        cmocka_unit_test(what_cannot_be_measured_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
