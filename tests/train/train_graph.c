/*
 * Trains an ONNX model on a dataset by the executor, so that others can compare: the loss of every
 * step, the score on what was left out, the weights afterwards.
 *
 * usage: train_graph MODEL DATASET [NAME=VALUE...]
 *
 *   steps batch seed threads accumulate window   whole numbers
 *   train validation                             fractions of the set
 *   optim=sgd|adamw momentum decay clip beta2    the optimiser
 *   schedule=constant|linear|cosine rate final warmup
 *   state=FILE save=N    a checkpoint every N steps; one that is there is gone on from
 *   die=N                killed, by a signal that nothing can catch, after step N
 *   every=N              validates every N steps too, not only at the end
 *   weights=FILE         where the trained weights go (safetensors)
 *
 * The graph's first output is scores over classes (the last axis); cross-entropy against `label`,
 * or against the next tokens, is put behind it. All floats are trained but running statistics;
 * vectors are not decayed. Order of the samples: batches.h.
 *
 * Exit status: 0; 2 when the training failed, with the error on stderr.
 */
#include "compress/base/arena.h"
#include "compress/base/dirfiles.h"
#include "compress/exec/metrics.h"
#include "compress/exec/trainer.h"
#include "compress/formats/format.h"
#include "compress/graph/graph.h"
#include "compress/tensor/blas.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { INPUTS_MAX = 8, PATH_BYTES = 1024 };

/* ---- options ---- */

struct options {
    uint64_t steps, batch, seed, threads, accumulate, window, warmup, save, die, every;
    double train, validation, momentum, decay, clip, beta2, rate, final;
    const char *optim, *schedule, *state, *weights;
};

struct option {
    const char *name;
    uint64_t *whole;
    double *number;
    const char **text;
};

static int read_options(int argc, char **argv, struct options *o) {
    const struct option table[] = {
        {"steps", &o->steps},
        {"batch", &o->batch},
        {"seed", &o->seed},
        {"threads", &o->threads},
        {"window", &o->window},
        {"accumulate", &o->accumulate},
        {"warmup", &o->warmup},
        {"save", &o->save},
        {"die", &o->die},
        {"every", &o->every},
        {"train", .number = &o->train},
        {"validation", .number = &o->validation},
        {"momentum", .number = &o->momentum},
        {"decay", .number = &o->decay},
        {"clip", .number = &o->clip},
        {"beta2", .number = &o->beta2},
        {"rate", .number = &o->rate},
        {"final", .number = &o->final},
        {"optim", .text = &o->optim},
        {"schedule", .text = &o->schedule},
        {"state", .text = &o->state},
        {"weights", .text = &o->weights},
    };
    for (int i = 0; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        const struct option *option = NULL;
        for (size_t k = 0; value && k < sizeof table / sizeof *table; k++)
            if (strlen(table[k].name) == (size_t)(value - argv[i]) &&
                strncmp(table[k].name, argv[i], (size_t)(value - argv[i])) == 0)
                option = &table[k];
        char *end = NULL;
        if (option && option->whole)
            *option->whole = strtoull(value + 1, &end, 10);
        else if (option && option->number)
            *option->number = strtod(value + 1, &end);
        else if (option)
            *option->text = value + 1;
        if (!option || (end && (*end || end == value + 1))) {
            fprintf(stderr, "train_graph: '%s' is no option\n", argv[i]);
            return -1;
        }
    }
    return 0;
}

/* ---- the model, with a loss behind it ---- */

struct training {
    struct options options;
    struct resolver *model_files, *data_files;
    struct model *model;
    struct dataset *dataset;
    struct weights *weights;
    struct team *team;
    struct batches *batches, *held_out; /* held_out NULL: nothing is */
    struct value *scores, *loss, *labels;
    struct trainer_param *params;
    const struct value **trained; /* the same */
    size_t param_count;
    struct trainer *trainer;
    char identity[PATH_BYTES];
};

static int open_batches(struct training *t, enum batches_split split, struct batches **ret,
                        struct err *err) {
    const struct options *o = &t->options;
    struct batches_options options = {.split = split,
                                      .train = o->train,
                                      .validation = o->validation,
                                      .seed = o->seed,
                                      .shuffle = split != BATCHES_VALIDATION,
                                      .batch = o->batch,
                                      .window = o->window};
    if (split == BATCHES_VALIDATION && o->validation == 0)
        return 0;
    return batches_new(t->dataset, t->model->graph, &options, ret, err);
}

static int open_all(struct training *t, const char *model, const char *dataset, struct err *err) {
    if (dirfiles_open(model, true, &t->model_files, err) < 0 ||
        format_open(t->model_files, &t->model, err) < 0 ||
        dirfiles_open(dataset, true, &t->data_files, err) < 0 ||
        dataset_open(t->data_files, &t->dataset, err) < 0)
        return -1;
    if (!t->model->graph || t->model->graph->output_count == 0)
        return err_set(err, ERR_UNSUPPORTED, "'%s' holds no graph", model);
    enum batches_split split = t->options.train > 0 ? BATCHES_TRAIN : BATCHES_ALL;
    t->team = team_new((unsigned)t->options.threads, 0);
    t->weights = weights_new(t->model, t->model->graph, 0);
    if (!t->team || !t->weights)
        return err_set(err, ERR_NO_MEMORY, "no memory to train");
    return open_batches(t, split, &t->batches, err) < 0 ||
                   open_batches(t, BATCHES_VALIDATION, &t->held_out, err) < 0
               ? -1
               : 0;
}

/* labels → CrossEntropy(scores, labels) → loss. After the batches were joined with the graph: this
 * input is none of theirs. */
static int add_loss(struct training *t, struct err *err) {
    struct graph *graph = t->model->graph;
    const struct batch_field *label = batches_label(t->batches);
    if (!label)
        return err_set(err, ERR_MISFIT, "the dataset has no labels");
    t->scores = graph->outputs[0];
    struct type type = type_of_array(&label->array);
    for (size_t i = 0; i < type.rank; i++)
        type.dims[i] = t->scores->type.ranked ? t->scores->type.dims[i] : type.dims[i];
    if (graph_add_input(graph, "train/labels", &type, &t->labels, err) < 0 ||
        graph_add_value(graph, "train/loss", &t->loss, err) < 0)
        return -1;
    static const struct attr ignore = {
        .name = "ignore_index", .kind = ATTR_INT, .i = BATCHES_NO_LABEL};
    struct value *in[2] = {t->scores, t->labels};
    struct node_spec spec = {.op_type = "CrossEntropy",
                             .domain = "compressd",
                             .version = 1,
                             .in = in,
                             .in_count = 2,
                             .out = &t->loss,
                             .out_count = 1,
                             .attrs = &ignore,
                             .attr_count = 1};
    struct node *node;
    return graph_add_node(graph, NULL, &spec, &node, err);
}

/* The mean and variance of a BatchNormalization are what it saw, not what it learns. */
static bool is_statistic(const struct value *weight) {
    for (size_t i = 0; i < weight->use_count; i++)
        if (strcmp(weight->uses[i].node->op_type, "BatchNormalization") == 0 &&
            weight->uses[i].slot >= 3)
            return true;
    return false;
}

static int choose_params(struct training *t, struct err *err) {
    const struct graph *graph = t->model->graph;
    t->params = calloc(graph->value_count, sizeof *t->params);
    t->trained = calloc(graph->value_count, sizeof(const struct value *));
    if (!t->params || !t->trained)
        return err_set(err, ERR_NO_MEMORY, "no memory to train");
    uint64_t numbers = 0;
    for (size_t i = 0; i < graph->value_count; i++) {
        const struct value *v = graph->values[i];
        struct array shape;
        if (v->dead || v->kind != VALUE_WEIGHT || v->type.dtype != DTYPE_F32 || !v->use_count ||
            v->type.rank == 0 || is_statistic(v) || !type_to_array(&v->type, &shape))
            continue;
        t->trained[t->param_count] = v;
        t->params[t->param_count++] =
            (struct trainer_param){.weight = v, .undecayed = v->type.rank < 2};
        numbers += shape.elements;
    }
    printf("# %zu weights, %" PRIu64 " numbers; %s\n", t->param_count, numbers, blas_facts()->text);
    return 0;
}

/* ---- batches as inputs ---- */

struct feed {
    const struct training *training;
    struct batches *batches;
    struct exec_input inputs[INPUTS_MAX];
    struct binding bindings[INPUTS_MAX];
    size_t count; /* the labels come last */
};

static int feed_new(struct feed *f, const struct training *t, struct batches *batches,
                    struct err *err) {
    *f = (struct feed){.training = t, .batches = batches};
    for (size_t i = 0; i < batches_field_count(batches); i++) {
        const struct batch_field *field = batches_field(batches, i);
        const struct value *value = field->role == BATCH_INPUT   ? field->value
                                    : field->role == BATCH_LABEL ? t->labels
                                                                 : NULL;
        if (!value)
            continue;
        if (f->count == INPUTS_MAX)
            return err_set(err, ERR_UNSUPPORTED, "more than %d inputs", INPUTS_MAX);
        f->inputs[f->count] = (struct exec_input){value, &field->array};
        f->bindings[f->count].input = value;
        f->bindings[f->count++].fact.type = type_of_array(&field->array);
    }
    return 0;
}

static int feed_next(void *self, const struct exec_input **ret_inputs, size_t *ret_count,
                     struct err *err) {
    struct feed *f = self;
    uint64_t samples = 0;
    for (int tries = 0; samples == 0 && tries < 2; tries++) /* 0: the end of an epoch */
        if (batches_next(f->batches, &samples, err) < 0)
            return -1;
    if (samples == 0)
        return err_set(err, ERR_MISFIT, "no whole batch in the set");
    *ret_inputs = f->inputs;
    *ret_count = f->count;
    return 0;
}

/* ---- the score on what was left out ---- */

static void print_score(const struct metrics *metrics, uint64_t step) {
    struct metric_value loss = {0}, accuracy = {0};
    metrics_get(metrics, METRIC_CROSS_ENTROPY, &loss);
    metrics_get(metrics, METRIC_ACCURACY, &accuracy);
    printf("validation %" PRIu64 " loss %.9g accuracy %.9g positions %" PRIu64 "\n", step,
           loss.value, accuracy.value, loss.count);
}

static int validate(struct training *t, struct err *err) {
    struct feed feed;
    struct exec_plan *plan = NULL;
    struct exec_session *session = NULL;
    struct metrics *metrics = NULL;
    int rc = -1;
    if (!t->held_out)
        return 0;
    const struct value *wanted[] = {t->scores};
    struct exec_options options = {.wanted = wanted,
                                   .wanted_count = 1,
                                   .trainable = t->trained, /* what they are now */
                                   .trainable_count = t->param_count,
                                   .threads = team_threads(t->team)};
    struct exec_session_options run = {.team = t->team};
    struct batches_state start = {.seed = t->options.seed};
    if (feed_new(&feed, t, t->held_out, err) < 0 || batches_resume(t->held_out, &start, err) < 0 ||
        exec_plan_new(t->model->graph, feed.bindings, feed.count, &options, &plan, err) < 0 ||
        exec_session_new(plan, t->weights, &run, &session, err) < 0)
        goto out;
    metrics = metrics_new();
    if (!metrics) {
        err_set(err, ERR_NO_MEMORY, "no memory to validate");
        goto out;
    }
    for (uint64_t samples;;) {
        if (batches_next(t->held_out, &samples, err) < 0)
            goto out;
        if (samples == 0)
            break;
        if (exec_run(session, feed.inputs, feed.count, NULL, err) < 0 ||
            metrics_add_labels(metrics, exec_output(session, t->scores), false,
                               &batches_label(t->held_out)->array, BATCHES_NO_LABEL, err) < 0)
            goto out;
    }
    print_score(metrics, trainer_steps(t->trainer));
    rc = 0;
out:
    metrics_free(metrics);
    exec_session_free(session);
    exec_plan_free(plan);
    return rc;
}

/* ---- steps ---- */

static int new_trainer(struct training *t, const struct feed *feed, struct err *err) {
    const struct options *o = &t->options;
    struct trainer_options options = {
        .loss = t->loss,
        .params = t->params,
        .param_count = t->param_count,
        .optim = {.momentum = o->momentum, .decay = o->decay, .clip_norm = o->clip},
        .schedule = {.rate = o->rate,
                     .final_rate = o->final,
                     .steps = o->steps,
                     .warmup_steps = o->warmup},
        .accumulate = (unsigned)o->accumulate,
        .team = t->team,
    };
    if (o->beta2 > 0) {
        options.optim.beta1 = 0.9;
        options.optim.beta2 = o->beta2;
        options.optim.epsilon = 1e-8;
    }
    unsigned kind = 0;
    while (optim_name(kind) && strcmp(optim_name(kind), o->optim) != 0)
        kind++;
    options.optim.kind = (enum optim_kind)kind;
    if (!optim_name(kind) || !schedule_by_name(o->schedule, &options.schedule.kind))
        return err_set(err, ERR_BAD_FIELD, "no optimiser '%s' or no schedule '%s'", o->optim,
                       o->schedule);
    return trainer_new(t->model->graph, t->weights, feed->bindings, feed->count, &options,
                       &t->trainer, err);
}

/* The folder of the state, and its name there. */
static int state_folder(const char *path, const char **ret_name, struct err *err) {
    const char *slash = strrchr(path, '/');
    char folder[PATH_BYTES] = ".";
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path + 1), path);
    *ret_name = slash ? slash + 1 : path;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        err_set(err, ERR_IO, "%s: %s", folder, strerror(errno));
    return fd;
}

static int resume(struct training *t, int dir, const char *name, struct err *err) {
    struct batches_state order;
    if (faccessat(dir, name, F_OK, 0) != 0)
        return 0;
    if (trainer_load(t->trainer, t->identity, dir, name, &order, err) < 0 ||
        batches_resume(t->batches, &order, err) < 0)
        return -1;
    printf("# resumed at step %" PRIu64 "\n", trainer_steps(t->trainer));
    return 0;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int run_steps(struct training *t, struct feed *feed, int dir, const char *name,
                     struct err *err) {
    const struct options *o = &t->options;
    double spent = 0, best = 1e9;
    uint64_t first = trainer_steps(t->trainer);
    for (uint64_t step = first; step < o->steps; step++) {
        struct trainer_report report;
        double start = seconds();
        if (trainer_step(t->trainer, feed_next, feed, NULL, &report, err) < 0)
            return -1;
        double took = seconds() - start;
        spent += took;
        best = took < best ? took : best;
        printf("step %" PRIu64 " loss %.9g norm %.9g rate %.9g ms %.3f\n", report.step, report.loss,
               report.norm, report.rate, took * 1e3);
        struct batches_state order = batches_state(t->batches);
        if (o->state && o->save && (step + 1) % o->save == 0 &&
            trainer_save(t->trainer, t->identity, &order, dir, name, err) < 0)
            return -1;
        if (o->die && step + 1 == o->die) {
            fflush(stdout);
            raise(SIGKILL);
        }
        if (o->every && (step + 1) % o->every == 0 && step + 1 < o->steps && validate(t, err) < 0)
            return -1;
    }
    if (o->steps > first)
        printf("time %.3f s, a step %.3f ms, the quickest %.3f ms, threads %u\n", spent,
               spent / (double)(o->steps - first) * 1e3, best * 1e3, team_threads(t->team));
    return validate(t, err);
}

/* ---- weights out ---- */

/* {"name":{"dtype":"F32","shape":[..],"data_offsets":[a,b]},..} between its length and the data.
 * Names of weights come from a script of ours: nothing needs escaping. */
static void print_header(const struct training *t, FILE *to) {
    uint64_t at = 0;
    fputc('{', to);
    for (size_t i = 0; i < t->param_count; i++) {
        const struct type *type = &t->params[i].weight->type;
        uint64_t bytes = sizeof(float);
        fprintf(to, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", i ? "," : "",
                t->params[i].weight->name);
        for (unsigned d = 0; d < type->rank; d++) {
            fprintf(to, "%s%" PRId64, d ? "," : "", type->dims[d].size);
            bytes *= (uint64_t)type->dims[d].size;
        }
        fprintf(to, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + bytes);
        at += bytes;
    }
    fputc('}', to);
}

static int write_weights(const struct training *t, struct err *err) {
    char *header = NULL;
    size_t bytes = 0;
    FILE *text = open_memstream(&header, &bytes);
    if (!text)
        return err_set(err, ERR_NO_MEMORY, "no memory for a header");
    print_header(t, text);
    fclose(text);
    FILE *to = fopen(t->options.weights, "wb");
    uint64_t length = bytes; /* little-endian, as every machine we run on */
    bool written =
        to && fwrite(&length, sizeof length, 1, to) == 1 && fwrite(header, 1, bytes, to) == bytes;
    for (size_t i = 0; written && i < t->param_count; i++) {
        struct array *array;
        if (weights_hold(t->weights, t->params[i].weight, t->team, &array, err) < 0) {
            fclose(to);
            free(header);
            return -1;
        }
        written = fwrite(array->data, sizeof(real), array->elements, to) == array->elements;
    }
    written = to && fclose(to) == 0 && written;
    free(header);
    return written ? 0 : err_set(err, ERR_IO, "%s: %s", t->options.weights, strerror(errno));
}

/* ---- from one end to the other ---- */

static int train(struct training *t, const char *model, const char *dataset, struct err *err) {
    struct feed feed;
    const char *name = NULL;
    int dir = -1, rc = -1;
    if (open_all(t, model, dataset, err) < 0 || add_loss(t, err) < 0 || choose_params(t, err) < 0 ||
        feed_new(&feed, t, t->batches, err) < 0 || new_trainer(t, &feed, err) < 0)
        return -1;
    if (t->options.state) {
        dir = state_folder(t->options.state, &name, err);
        if (dir < 0 || resume(t, dir, name, err) < 0)
            goto out;
    }
    if (run_steps(t, &feed, dir, name, err) < 0)
        goto out;
    rc = t->options.weights ? write_weights(t, err) : 0;
out:
    if (dir >= 0)
        close(dir);
    return rc;
}

static void close_all(struct training *t) {
    trainer_free(t->trainer);
    free(t->trained);
    free(t->params);
    batches_free(t->batches);
    batches_free(t->held_out);
    weights_free(t->weights);
    team_free(t->team);
    dataset_free(t->dataset);
    resolver_close(t->data_files);
    model_free(t->model);
    resolver_close(t->model_files);
}

int main(int argc, char **argv) {
    struct training t = {.options = {.steps = 1,
                                     .batch = 1,
                                     .threads = 1,
                                     .rate = 0.001,
                                     .momentum = 0.9,
                                     .optim = "adamw",
                                     .schedule = "constant"}};
    struct err err = ERR_INIT;
    if (argc < 3 || read_options(argc - 3, argv + 3, &t.options) < 0) {
        fprintf(stderr, "usage: train_graph MODEL DATASET [NAME=VALUE...]\n");
        return 1;
    }
    const struct options *o = &t.options;
    snprintf(t.identity, sizeof t.identity,
             "train_graph %s %s steps=%" PRIu64 " batch=%" PRIu64 " seed=%" PRIu64
             " accumulate=%" PRIu64 " %s rate=%g final=%g warmup=%" PRIu64 " %s",
             argv[1], argv[2], o->steps, o->batch, o->seed, o->accumulate, o->optim, o->rate,
             o->final, o->warmup, o->schedule);
    int rc = train(&t, argv[1], argv[2], &err);
    if (rc < 0)
        fprintf(stderr, "train_graph: %s: %s%s%s\n", err_name(err.code), err.tensor,
                *err.tensor ? ": " : "", err.text);
    close_all(&t);
    return rc < 0 ? 2 : 0;
}
