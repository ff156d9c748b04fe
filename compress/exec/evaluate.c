/*
 * Two models over the same batches. See evaluate.h.
 *
 * A *side* is a model being run: its weights, and a plan and a session for the shapes of the batch;
 * a batch of another size (the last one) gets a new plan. The original runs first; its outputs stay
 * valid while the new model runs, its layers are copied as they are made.
 */
#include "compress/exec/evaluate.h"

#include "compress/base/arena.h"
#include "compress/base/jbuf.h"
#include "compress/exec/batches.h"
#include "compress/exec/session.h"
#include "compress/graph/op.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_BATCH = 32, DEFAULT_WINDOW = 512, WARM_UP_RUNS = 3, SO_FAR_EVERY_MS = 100 };

struct side {
    const struct model *model;
    struct weights *weights;
    struct exec_plan *plan;
    struct exec_session *session;
    const struct value **outputs; /* the original's, by name in the new model; NULL: it has none */
    struct array *floats;         /* outputs that come in another width, as f32 */
    struct exec_input *inputs;
    struct array *planned; /* shapes of the inputs that the session is for */
    size_t input_count;
};

/* A layer of both graphs. `kept` is the original's output of this batch. */
struct layer {
    const struct value *original, *value;
    struct array kept;
    uint64_t capacity_bytes;
    double sum_x2, sum_e2, max_error;
    bool compared;
};

struct evaluator {
    const struct evaluate_options *options;
    struct evaluation *out;
    struct batches *batches;
    struct side sides[2];     /* the new model; the original (model NULL: none) */
    struct metrics **metrics; /* one per output */
    struct layer *layers;
    size_t layer_count;
    struct err *observe_err;
    bool is_timing;         /* the first batch runs again: its layers have been compared */
    size_t scored;          /* the output that labels score; output_count: none */
    unsigned possible;      /* metrics, bits 1 << id */
    uint64_t floats_bytes;  /* of a side's outputs that are not f32, as f32 */
    uint64_t batch_samples; /* of the batch that runs */
    struct progress_state progress;
    char *so_far; /* the metrics as JSON, as of so_far_ms */
    double so_far_ms;
};

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory to evaluate");
}

static bool wants(const struct evaluator *e, enum metric_id id) {
    return !e->options->metrics || (e->options->metrics >> id & 1);
}

/* ---- a side ---- */

static void side_close(struct side *side) {
    exec_session_free(side->session);
    exec_plan_free(side->plan);
    side->session = NULL;
    side->plan = NULL;
}

static const struct value *input_of(const struct side *side, const struct batch_field *field) {
    const struct value *input = graph_value(side->model->graph, field->name);
    return input && input->kind == VALUE_INPUT ? input : NULL;
}

static int observe(void *self, const struct value *value, const struct array *array,
                   struct err *err);

/* Inputs of this batch. *ret_same: they have the shapes that the plan is for. */
static int take_inputs(struct evaluator *e, struct side *side, struct binding *bindings,
                       bool *ret_same, struct err *err) {
    *ret_same = side->plan != NULL;
    side->input_count = 0;
    for (size_t i = 0; i < batches_field_count(e->batches); i++) {
        const struct batch_field *field = batches_field(e->batches, i);
        if (field->role != BATCH_INPUT)
            continue;
        const struct value *input = input_of(side, field);
        if (!input) /* of the original, which may have had more */
            return err_set(err, ERR_MISFIT, "the original has no input '%s'", field->name);
        size_t n = side->input_count++;
        *ret_same = *ret_same && array_same_shape(&field->array, &side->planned[n]);
        side->planned[n] = field->array;
        side->inputs[n] = (struct exec_input){input, &field->array};
        bindings[n].input = input;
        bindings[n].fact.type = type_of_array(&field->array);
    }
    return 0;
}

/* Plans for the shapes of this batch, when the present plan is for others. */
static int side_plan(struct evaluator *e, struct side *side, struct arena *arena, struct err *err) {
    struct binding *bindings =
        ARENA_ARRAY(arena, struct binding, batches_field_count(e->batches) + 1);
    const struct value **seen = ARENA_ARRAY(arena, const struct value *, e->layer_count + 1);
    const struct value **wanted =
        ARENA_ARRAY(arena, const struct value *, e->out->output_count + 1);
    bool same;
    if (!bindings || !seen || !wanted)
        return no_memory(err);
    if (take_inputs(e, side, bindings, &same, err) < 0)
        return -1;
    if (same)
        return 0;
    side_close(side);
    for (size_t i = 0; i < e->layer_count; i++)
        seen[i] = side == &e->sides[0] ? e->layers[i].value : e->layers[i].original;
    size_t wanted_count = 0;
    for (size_t i = 0; i < e->out->output_count; i++)
        if (side->outputs[i])
            wanted[wanted_count++] = side->outputs[i];
    struct exec_options options = {
        .wanted = wanted,
        .wanted_count = wanted_count,
        .observed = seen,
        .observed_count = e->layer_count,
        .memory_bytes = e->options->memory_bytes,
        .threads = e->options->team ? team_threads(e->options->team) : e->options->threads,
    };
    return exec_plan_new(side->model->graph, bindings, side->input_count, &options, &side->plan,
                         err);
}

static int side_ready(struct evaluator *e, struct side *side, struct arena *arena,
                      struct err *err) {
    if (side_plan(e, side, arena, err) < 0)
        return -1;
    if (side->session)
        return 0;
    struct exec_session_options options = {
        .team = e->options->team, .observe = e->layer_count ? observe : NULL, .observe_self = e};
    return exec_session_new(side->plan, side->weights, &options, &side->session, err);
}

/* ---- layers ---- */

static int keep_layer(struct layer *layer, const struct array *array, struct err *err) {
    uint64_t bytes = array_bytes(array);
    if (bytes > layer->capacity_bytes) {
        void *data = realloc(layer->kept.data, (size_t)bytes);
        if (!data)
            return no_memory(err);
        layer->kept.data = data;
        layer->capacity_bytes = bytes;
    }
    void *data = layer->kept.data;
    layer->kept = *array;
    layer->kept.data = data;
    if (bytes)
        memcpy(data, array->data, (size_t)bytes);
    return 0;
}

static void compare_layer(struct layer *layer, const struct array *array) {
    if (!layer->kept.data || array->dtype != DTYPE_F32 || layer->kept.dtype != DTYPE_F32 ||
        !array_same_shape(array, &layer->kept))
        return;
    const real *x = array_real(&layer->kept), *y = array_real(array);
    double x2 = 0, e2 = 0;
    for (uint64_t i = 0; i < array->elements; i++) {
        double u = (double)x[i], d = u - (double)y[i];
        x2 += u * u;
        e2 += d * d;
        layer->max_error = fabs(d) > layer->max_error ? fabs(d) : layer->max_error;
    }
    layer->sum_x2 += x2;
    layer->sum_e2 += e2;
    layer->compared = true;
}

static int observe(void *self, const struct value *value, const struct array *array,
                   struct err *err) {
    struct evaluator *e = self;
    for (size_t i = 0; !e->is_timing && i < e->layer_count; i++) {
        if (e->layers[i].original == value)
            return keep_layer(&e->layers[i], array, err);
        if (e->layers[i].value == value)
            compare_layer(&e->layers[i], array);
    }
    return 0;
}

/* A node that multiplies by a weight: what people call a layer. */
static bool is_layer(const struct node *node) {
    if (!node->op || !node->op->macs || !node->out_count || !node->out[0])
        return false;
    for (size_t i = 0; i < node->in_count; i++)
        if (node->in[i] && node->in[i]->kind == VALUE_WEIGHT)
            return true;
    return false;
}

static int find_layers(struct evaluator *e, struct err *err) {
    const struct graph *original = e->sides[1].model->graph, *graph = e->sides[0].model->graph;
    size_t most = original->node_count;
    e->layers = ARENA_ARRAY(e->out->arena, struct layer, most + 1);
    e->out->layers = ARENA_ARRAY(e->out->arena, struct evaluation_layer, most + 1);
    if (!e->layers || !e->out->layers)
        return no_memory(err);
    GRAPH_NODES(original, node) {
        if (!is_layer(node))
            continue;
        const struct value *value = graph_value(graph, node->out[0]->name);
        if (!value || value->kind != VALUE_NODE)
            continue;
        e->layers[e->layer_count] = (struct layer){.original = node->out[0], .value = value};
        e->out->layers[e->layer_count++] = (struct evaluation_layer){
            .name = arena_strdup(e->out->arena, value->name),
            .node = arena_strdup(e->out->arena, node->name),
            .op_type = arena_strdup(e->out->arena, node->op_type),
        };
    }
    e->out->layer_count = e->layer_count;
    return 0;
}

/* ---- outputs ---- */

static bool is_softmaxed(const struct value *value) {
    const struct node *node = value->producer;
    while (node && strcmp(node->op_type, "Identity") == 0 && node_has(node, 0))
        node = node->in[0]->producer;
    return node && !*node->domain && strcmp(node->op_type, "Softmax") == 0;
}

static int find_outputs(struct evaluator *e, struct err *err) {
    struct arena *arena = e->out->arena;
    const struct graph *graph = e->sides[0].model->graph;
    e->out->output_count = graph->output_count;
    e->out->outputs = ARENA_ARRAY(arena, struct evaluation_output, graph->output_count + 1);
    e->metrics = ARENA_ARRAY(arena, struct metrics *, graph->output_count + 1);
    for (int s = 0; s < 2; s++) {
        e->sides[s].outputs = ARENA_ARRAY(arena, const struct value *, graph->output_count + 1);
        e->sides[s].floats = ARENA_ARRAY(arena, struct array, graph->output_count + 1);
        if (!e->sides[s].outputs || !e->sides[s].floats)
            return no_memory(err);
    }
    if (!e->out->outputs || !e->metrics)
        return no_memory(err);
    for (size_t i = 0; i < graph->output_count; i++) {
        const struct value *output = graph->outputs[i];
        e->out->outputs[i] = (struct evaluation_output){.name = arena_strdup(arena, output->name),
                                                        .probabilities = is_softmaxed(output)};
        e->metrics[i] = metrics_new();
        e->sides[0].outputs[i] = output;
        if (e->sides[1].model)
            e->sides[1].outputs[i] = graph_value(e->sides[1].model->graph, output->name);
        if (!e->metrics[i] || !e->out->outputs[i].name)
            return no_memory(err);
    }
    return 0;
}

/* Scores [.., C] for labels [..]: the same positions and one axis more. */
static bool scores_fit(const struct array *scores, const struct array *labels) {
    if (!scores || scores->rank == 0)
        return false;
    uint64_t classes = scores->dims[scores->rank - 1];
    return classes > 0 && scores->elements / classes == labels->elements &&
           scores->rank >= labels->rank && scores->dims[0] == labels->dims[0];
}

static const struct array *target_of(const struct evaluator *e, const char *output) {
    for (size_t i = 0; i < batches_field_count(e->batches); i++) {
        const struct batch_field *field = batches_field(e->batches, i);
        if (field->role == BATCH_TARGET && strcmp(field->name, output) == 0)
            return &field->array;
    }
    return NULL;
}

/* Floats of any width are measured, as f32. */
static bool is_measured(const struct array *array) {
    return dtype_row(array->dtype)->is_float;
}

/* Output i of a side as f32. *ret NULL: it has none that can be measured. */
static int get_output(struct side *side, size_t i, const struct array **ret, struct err *err) {
    const struct array *is = side->outputs[i] ? exec_output(side->session, side->outputs[i]) : NULL;
    *ret = NULL;
    if (!is || !is_measured(is))
        return 0;
    if (is->dtype == DTYPE_F32) {
        *ret = is;
        return 0;
    }
    struct array *as = &side->floats[i];
    real *data = realloc(as->data, (size_t)is->elements * sizeof(real) + 1);
    if (!data)
        return no_memory(err);
    *as = *is;
    as->dtype = DTYPE_F32;
    as->data = data;
    *ret = as;
    return array_convert(is, as, false, err);
}

/* A NaN would make every metric one. */
static int check_output(const struct evaluator *e, const char *name, const struct array *is,
                        bool original, struct err *err) {
    const real *x = array_real(is);
    uint64_t samples = is->rank && is->dims[0] ? is->dims[0] : 1, k = 0;
    while (k < is->elements && !isnan(x[k]))
        k++;
    if (k == is->elements)
        return 0;
    uint64_t place = k / (is->elements / samples);
    err_set(err, ERR_NON_FINITE, "%s gives a NaN in output '%.100s' for %s %" PRIu64 " of the set",
            original ? "the original" : "the model", name, e->out->window ? "window" : "sample",
            batches_sample(e->batches, place < e->batch_samples ? place : 0));
    return err_at_tensor(err, name);
}

static int add_output(struct evaluator *e, size_t i, struct err *err) {
    struct evaluation_output *output = &e->out->outputs[i];
    const struct array *is, *reference = NULL;
    const struct batch_field *label = batches_label(e->batches);
    if (get_output(&e->sides[0], i, &is, err) < 0)
        return -1;
    if (!is)
        return 0;
    if (check_output(e, output->name, is, false, err) < 0)
        return -1;
    if (label && (e->scored == i || e->scored == e->out->output_count) &&
        scores_fit(is, &label->array)) {
        e->scored = i;
        output->scores = true;
        if (metrics_add_labels(e->metrics[i], is, output->probabilities, &label->array,
                               BATCHES_NO_LABEL, err) < 0)
            return err_context(err, "the batch from sample %" PRIu64, e->out->samples);
    }
    bool compared = e->sides[1].model && e->sides[1].outputs[i];
    if (compared && get_output(&e->sides[1], i, &reference, err) < 0)
        return -1;
    if (!compared)
        reference = target_of(e, output->name);
    if (!reference)
        return 0;
    if (compared && check_output(e, output->name, reference, true, err) < 0)
        return -1;
    if (metrics_add_values(e->metrics[i], is, reference, err) < 0)
        return err_context(err, "output '%s'", output->name);
    bool asked =
        e->options->metrics >> METRIC_KL & 1 || e->options->metrics >> METRIC_TOP1_AGREEMENT & 1;
    bool classes = is->rank > 0 && is->dims[is->rank - 1] > 1;
    if (compared && classes && (output->scores || output->probabilities || asked) &&
        metrics_add_scores(e->metrics[i], is, reference, output->probabilities, err) < 0)
        return err_context(err, "output '%s'", output->name);
    return 0;
}

/* ---- what can be measured ---- */

/* Numbers come out of it as they went in. */
static bool passes_on(const struct node *node) {
    static const char *const names[] = {"Cast",      "Identity", "Reshape",
                                        "Unsqueeze", "Squeeze",  "Flatten"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(node->op_type, names[i]) == 0)
            return true;
    return false;
}

/* Of the tables whose rows these numbers choose, the one with the fewest: embeddings. */
static const struct value *find_table(const struct value *ids, unsigned depth) {
    const struct value *best = NULL;
    for (size_t i = 0; i < ids->use_count; i++) {
        const struct node *node = ids->uses[i].node;
        size_t slot = ids->uses[i].slot;
        const struct value *table = NULL;
        if (*node->domain)
            continue;
        if (slot == 1 && strcmp(node->op_type, "Gather") == 0 && node_int(node, "axis", 0) == 0)
            table = node->in[0];
        else if (slot == 0 && depth > 0 && passes_on(node) && node->out_count && node->out[0])
            table = find_table(node->out[0], depth - 1);
        if (table && table->type.ranked && table->type.rank > 0 && dim_known(table->type.dims[0]) &&
            (!best || table->type.dims[0].size < best->type.dims[0].size))
            best = table;
    }
    return best;
}

/* A row may be counted from the end (-1), but a text is not made of such. */
static int limit_ids(struct evaluator *e, struct err *err) {
    enum { DEPTH_MAX = 8 };
    for (size_t i = 0; i < batches_field_count(e->batches); i++) {
        const struct batch_field *field = batches_field(e->batches, i);
        if (field->role != BATCH_INPUT || dtype_row(field->array.dtype)->is_float)
            continue;
        const struct value *table = find_table(field->value, DEPTH_MAX);
        if (!table)
            continue;
        int64_t rows = table->type.dims[0].size;
        const char *why = arena_printf(e->out->arena, "the rows of '%.100s'", table->name);
        if (!why)
            return no_memory(err);
        batches_limit(e->batches, i, e->out->window ? 0 : -rows, rows - 1, why);
    }
    return 0;
}

static int limit_labels(struct evaluator *e, const struct array *scores, const char *output,
                        struct err *err) {
    const char *why = arena_printf(e->out->arena, "the classes of '%.100s'", output);
    if (!why)
        return no_memory(err);
    for (size_t i = 0; i < batches_field_count(e->batches); i++)
        if (batches_field(e->batches, i)->role == BATCH_LABEL)
            batches_limit(e->batches, i, 0, (int64_t)scores->dims[scores->rank - 1] - 1, why);
    return 0;
}

/* Every metric whose needs (beyond those of the output itself) are among these. */
static unsigned metrics_of(unsigned have) {
    unsigned bits = 0;
    for (size_t id = 0; id < METRIC_COUNT; id++)
        if ((metric_at(id)->needs & ~have) == 0)
            bits |= 1u << id;
    return bits;
}

static int target_misfits(const char *name, const struct array *is, const struct array *target,
                          struct err *err) {
    char wanted[128], have[128];
    err_set(err, ERR_MISFIT, "the output \"%.100s\" is %s, a batch of its targets is %s", name,
            array_describe(is, wanted, sizeof wanted), array_describe(target, have, sizeof have));
    return err_at_tensor(err, name);
}

/* From the shapes of the first batch: what add_output() will find. */
static int find_possible(struct evaluator *e, struct err *err) {
    const struct batch_field *label = batches_label(e->batches);
    bool labelled = false;
    for (size_t i = 0; i < e->out->output_count; i++) {
        const char *name = e->out->outputs[i].name;
        const struct array *is = exec_plan_shape(e->sides[0].plan, e->sides[0].outputs[i]);
        if (!is || !is_measured(is))
            continue;
        if (is->dtype != DTYPE_F32)
            e->floats_bytes += is->elements * sizeof(real);
        if (label && !labelled && scores_fit(is, &label->array)) {
            labelled = true;
            e->possible |= metrics_of(METRIC_NEEDS_LABELS | METRIC_NEEDS_LOGITS);
            if (!e->options->inputs_only && limit_labels(e, is, name, err) < 0)
                return -1;
        }
        bool compared = e->sides[1].model && e->sides[1].outputs[i];
        const struct array *target = target_of(e, name);
        if (!compared && target && !array_same_shape(is, target))
            return target_misfits(name, is, target, err);
        if (compared || target)
            e->possible |= metrics_of(METRIC_NEEDS_REFERENCE);
        if (compared && is->rank > 0 && is->dims[is->rank - 1] > 1)
            e->possible |= metrics_of(METRIC_NEEDS_LOGITS | METRIC_NEEDS_ORIGINAL);
    }
    e->out->labels = !label ? "none" : labelled ? "scored" : "unused";
    return 0;
}

int evaluate_refuse(enum metric_id id, unsigned possible, bool has_original, struct err *err) {
    const struct metric *metric = metric_at(id), *instead = metric_instead(id, possible);
    char names[200];
    const char *needs = metric->needs & METRIC_NEEDS_ORIGINAL && !has_original
                            ? "an original to compare with"
                        : metric->needs & METRIC_NEEDS_LABELS
                            ? "labels or tokens, and an output of scores that fits them"
                        : metric->needs & METRIC_NEEDS_LOGITS ? "an output of scores over classes"
                        : has_original ? "an output of floats that the original has, too"
                                       : "an original, or an array named like an output";
    err_set(err, ERR_MISFIT, "%s needs %s; what can be measured here: %s", metric->name, needs,
            possible ? metric_names(possible, names, sizeof names) : "nothing but time");
    return instead ? err_nearest(err, "%s", instead->name) : -1;
}

/* Before anything runs. */
static int check_possible(const struct evaluator *e, struct err *err) {
    unsigned missing = e->options->metrics & ~e->possible;
    for (size_t id = 0; id < METRIC_COUNT && !e->options->where_possible; id++)
        if (missing >> id & 1)
            return evaluate_refuse((enum metric_id)id, e->possible, e->sides[1].model != NULL, err);
    return 0;
}

/* ---- time ---- */

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int measure_latency(struct evaluator *e, uint64_t samples, struct err *err) {
    unsigned runs = e->options->latency_runs;
    struct side *side = &e->sides[0];
    double *ms = calloc(runs + 1, sizeof *ms);
    int result = ms ? 0 : no_memory(err);
    e->is_timing = true;
    for (unsigned i = 0; result == 0 && i < runs + WARM_UP_RUNS; i++) {
        double start = now_ms();
        result =
            exec_run(side->session, side->inputs, side->input_count, e->options->progress, err);
        if (i >= WARM_UP_RUNS)
            ms[i - WARM_UP_RUNS] = now_ms() - start;
    }
    e->is_timing = false;
    if (result == 0) {
        qsort(ms, runs, sizeof *ms, by_size);
        e->out->latency_runs = runs;
        e->out->latency_batch = samples;
        e->out->latency_ms[0] = ms[runs / 10];
        e->out->latency_ms[1] = ms[runs / 2];
        e->out->latency_ms[2] = ms[runs - 1 - runs / 10];
    }
    free(ms);
    return result;
}

/* ---- the run ---- */

static int run_batch(struct evaluator *e, struct arena *scratch, struct err *err) {
    for (int s = 1; s >= 0; s--) { /* the original first: its layers are compared with */
        struct side *side = &e->sides[s];
        if (!side->model)
            continue;
        if (side_ready(e, side, scratch, err) < 0 ||
            exec_run(side->session, side->inputs, side->input_count, e->options->progress, err) < 0)
            return s == 1 ? err_context(err, "the original") : -1;
    }
    for (size_t i = 0; i < e->out->output_count; i++)
        if (add_output(e, i, err) < 0)
            return -1;
    return 0;
}

static void note_plan(struct evaluator *e, uint64_t samples) {
    struct exec_facts facts;
    exec_plan_facts(e->sides[0].plan, &facts);
    e->out->macs = samples ? facts.macs / samples : 0;
    e->out->workspace_bytes = facts.workspace_bytes + facts.kept_bytes;
    e->out->weight_bytes = facts.weight_bytes;
}

/* Of the first output that has it. */
static bool get_metric(const struct evaluator *e, enum metric_id id, struct metric_value *ret) {
    for (size_t i = 0; wants(e, id) && i < e->out->output_count; i++)
        if (metrics_get(e->metrics[i], id, ret))
            return true;
    return false;
}

/* A batch may take microseconds: the text lives a while, and stands in every report until then. */
static void print_so_far(struct evaluator *e, bool last) {
    double now = now_ms();
    if (!last && e->so_far && now - e->so_far_ms < SO_FAR_EVERY_MS)
        return;
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    for (size_t id = 0; id < METRIC_COUNT; id++) {
        struct metric_value value;
        if (get_metric(e, (enum metric_id)id, &value))
            jbuf_kv_number(&b, metric_at(id)->name, value.value);
    }
    jbuf_object_end(&b);
    free(e->so_far);
    e->so_far = jbuf_take(&b, NULL); /* NULL: nobody is told */
    e->so_far_ms = now;
}

static void report_batch(struct evaluator *e, uint64_t samples) {
    e->progress.done += samples;
    if (!e->options->progress)
        return;
    print_so_far(e, e->progress.done >= e->progress.total);
    e->progress.metrics_json = e->so_far;
    progress_report(e->options->progress, &e->progress);
}

static int run_all(struct evaluator *e, struct err *err) {
    struct arena *scratch = arena_new(LIMIT_MODEL_ARENA_BYTES);
    if (!scratch)
        return no_memory(err);
    int result = 0;
    for (uint64_t samples; result == 0;) {
        struct arena_mark mark = arena_mark(scratch);
        if (batches_next(e->batches, &samples, err) < 0) {
            result = -1;
            break;
        }
        if (samples == 0)
            break;
        bool first = e->out->samples == 0;
        e->batch_samples = samples;
        result = run_batch(e, scratch, err);
        if (result == 0 && first) {
            note_plan(e, samples);
            if (e->options->latency_runs)
                result = measure_latency(e, samples, err);
        }
        e->out->samples += samples;
        if (result == 0)
            report_batch(e, samples);
        arena_rewind(scratch, mark);
    }
    arena_free(scratch);
    return result;
}

/* What was possible, and of what there was nothing in the set. */
static int check_given(const struct evaluator *e, struct err *err) {
    for (size_t id = 0; id < METRIC_COUNT; id++)
        if (!e->options->where_possible && (e->options->metrics >> id & 1) &&
            !e->out->metrics[id].present)
            return err_set(err, ERR_MISFIT, "%s: no position of the set has a label to score",
                           metric_at(id)->name);
    return 0;
}

static int collect(struct evaluator *e, struct err *err) {
    for (size_t i = 0; i < e->out->output_count; i++)
        for (size_t id = 0; id < METRIC_COUNT; id++) {
            struct evaluation_metric *metric = &e->out->outputs[i].metrics[id];
            metric->present = wants(e, (enum metric_id)id) &&
                              metrics_get(e->metrics[i], (enum metric_id)id, &metric->value);
            if (metric->present && !e->out->metrics[id].present)
                e->out->metrics[id] = *metric;
        }
    for (size_t i = 0; i < e->layer_count; i++) {
        const struct layer *layer = &e->layers[i];
        e->out->layers[i].compared = layer->compared;
        e->out->layers[i].sqnr_db =
            layer->sum_e2 == 0 ? INFINITY : 10 * log10(layer->sum_x2 / layer->sum_e2);
        e->out->layers[i].max_error = layer->max_error;
    }
    return check_given(e, err);
}

static int open_side(struct evaluator *e, struct side *side, const struct model *model,
                     struct err *err) {
    side->model = model;
    if (!model->graph)
        return err_set(err, ERR_UNSUPPORTED,
                       "only models that come with a graph (ONNX) can be evaluated");
    side->weights = weights_new(model, model->graph, e->options->memory_bytes);
    side->inputs =
        ARENA_ARRAY(e->out->arena, struct exec_input, batches_field_count(e->batches) + 1);
    side->planned = ARENA_ARRAY(e->out->arena, struct array, batches_field_count(e->batches) + 1);
    return side->weights && side->inputs && side->planned ? 0 : no_memory(err);
}

static int open_batches(struct evaluator *e, const struct model *model,
                        const struct dataset *dataset, struct err *err) {
    const struct evaluate_options *o = e->options;
    bool tokens = dataset_kind(dataset) == DATASET_TOKENS;
    /* The graph's own sizes win where it has them: 0 asks for those first. */
    struct batches_options options = {
        .seed = o->seed,
        .batch = o->batch,
        .window = o->window,
        .samples = o->samples,
        .keep_partial = true,
        .memory_bytes = o->memory_bytes,
    };
    const struct graph *graph = model->graph;
    const struct type *type = graph->input_count ? &graph->inputs[0]->type : NULL;
    bool fixed = type && type->ranked && type->rank > 0 && dim_known(type->dims[0]);
    if (!options.batch && !fixed)
        options.batch = DEFAULT_BATCH;
    if (tokens && !options.window &&
        !(type && type->ranked && type->rank > 1 && dim_known(type->dims[1])) &&
        dataset_array(dataset, 0)->rank == 1)
        options.window = DEFAULT_WINDOW;
    options.keep_partial = !fixed;
    if (batches_new(dataset, graph, &options, &e->batches, err) < 0)
        return -1;
    uint64_t whole = batches_samples(e->batches), size = batches_size(e->batches);
    e->out->left_out = options.keep_partial ? 0 : whole % size;
    e->out->batch = size;
    e->out->dataset_kind = dataset_kind_name(dataset_kind(dataset));
    if (tokens)
        for (size_t i = 0; i < batches_field_count(e->batches); i++) {
            const struct batch_field *field = batches_field(e->batches, i);
            if (field->role == BATCH_INPUT && field->array.rank > 1)
                e->out->window = field->array.dims[1];
        }
    return 0;
}

static int prepare(struct evaluator *e, const struct model *model, const struct dataset *dataset,
                   struct err *err) {
    const struct evaluate_options *o = e->options;
    if (!model->graph)
        return err_set(err, ERR_UNSUPPORTED,
                       "only models that come with a graph (ONNX) can be evaluated");
    if (open_batches(e, model, dataset, err) < 0 || open_side(e, &e->sides[0], model, err) < 0 ||
        (o->original && open_side(e, &e->sides[1], o->original, err) < 0) ||
        find_outputs(e, err) < 0 || (o->original && o->layers && find_layers(e, err) < 0) ||
        side_plan(e, &e->sides[0], e->out->arena, err) < 0 || limit_ids(e, err) < 0 ||
        find_possible(e, err) < 0)
        return -1;
    e->scored = e->out->output_count;
    e->out->against_original = o->original != NULL;
    e->out->parameters = model->parameters;
    e->out->threads = team_threads(o->team);
    return 0;
}

static int evaluate(struct evaluator *e, struct err *err) {
    e->progress = e->options->at;
    e->progress.unit = "samples";
    e->progress.done = 0;
    e->progress.total = batches_samples(e->batches) - e->out->left_out;
    progress_report(e->options->progress, &e->progress);
    return run_all(e, err) < 0 ? -1 : collect(e, err);
}

static int start(struct evaluator *e, const struct evaluate_options *options, struct err *err) {
    struct arena *arena = arena_new(LIMIT_MODEL_ARENA_BYTES);
    *e = (struct evaluator){.options = options};
    e->out = arena ? ARENA_NEW(arena, struct evaluation) : NULL;
    if (!e->out) {
        arena_free(arena);
        return no_memory(err);
    }
    e->out->arena = arena;
    return 0;
}

/* Everything but the result. */
static void finish(struct evaluator *e) {
    for (int s = 0; s < 2; s++) {
        side_close(&e->sides[s]);
        weights_free(e->sides[s].weights);
        for (size_t i = 0; e->sides[s].floats && i < e->out->output_count; i++)
            free(e->sides[s].floats[i].data);
    }
    for (size_t i = 0; e->metrics && i < e->out->output_count; i++)
        metrics_free(e->metrics[i]);
    for (size_t i = 0; i < e->layer_count; i++)
        free(e->layers[i].kept.data);
    batches_free(e->batches);
    free(e->so_far);
}

int evaluate_run(const struct model *model, const struct dataset *dataset,
                 const struct evaluate_options *options, struct evaluation **ret, struct err *err) {
    struct evaluator e;
    if (start(&e, options, err) < 0)
        return -1;
    int result = prepare(&e, model, dataset, err);
    if (result == 0)
        result = check_possible(&e, err);
    if (result == 0)
        result = evaluate(&e, err);
    finish(&e);
    if (result < 0)
        evaluation_free(e.out);
    else
        *ret = e.out;
    return result;
}

static int layer_bytes(struct evaluator *e, struct side *side, uint64_t *ret, struct err *err) {
    struct arena *arena = e->out->arena;
    struct binding *bindings = ARENA_ARRAY(arena, struct binding, side->input_count + 1);
    struct fact *facts;
    if (!bindings)
        return no_memory(err);
    for (size_t i = 0; i < side->input_count; i++) {
        bindings[i].input = side->inputs[i].input;
        bindings[i].fact.type = type_of_array(side->inputs[i].array);
    }
    if (infer_graph(side->model->graph, bindings, side->input_count, arena, &facts, err) < 0)
        return -1;
    *ret = 0;
    for (size_t i = 0; i < e->layer_count; i++) {
        struct array shape;
        if (type_to_array(&facts[e->layers[i].value->id].type, &shape))
            *ret += shape.elements * sizeof(real);
    }
    return 0;
}

static uint64_t batch_bytes(const struct evaluator *e) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < batches_field_count(e->batches); i++)
        bytes += array_bytes(&batches_field(e->batches, i)->array);
    return bytes;
}

int evaluate_check(const struct model *model, const struct dataset *dataset,
                   const struct evaluate_options *options, uint64_t *ret_bytes, struct err *err) {
    struct evaluator e;
    if (start(&e, options, err) < 0)
        return -1;
    int result = prepare(&e, model, dataset, err);
    if (result == 0)
        result = check_possible(&e, err);
    uint64_t bytes = result == 0 ? batch_bytes(&e) + arena_used_bytes(e.out->arena) : 0;
    if (result == 0)
        result = batches_check(e.batches, options->progress, &options->at, err);
    if (result == 0 && ret_bytes)
        *ret_bytes = bytes;
    finish(&e);
    evaluation_free(e.out);
    return result;
}

/* Of one side: workspace and weights. Of the layers that are compared, the outputs of a batch. */
static int predict(struct evaluator *e, struct evaluate_prediction *ret, struct err *err) {
    struct side *side = &e->sides[0];
    struct exec_facts facts;
    exec_plan_facts(side->plan, &facts);
    uint64_t bytes =
        facts.workspace_bytes + facts.kept_bytes + facts.weight_bytes + e->floats_bytes;
    uint64_t layers = 0;
    if (e->layer_count && layer_bytes(e, side, &layers, err) < 0)
        return -1;
    ret->bytes = (e->sides[1].model ? 2 : 1) * bytes + layers + batch_bytes(e) +
                 arena_used_bytes(e->out->arena);
    ret->possible = e->possible;
    return 0;
}

int evaluate_predict(const struct model *model, const struct dataset *dataset,
                     const struct evaluate_options *options, struct evaluate_prediction *ret,
                     struct err *err) {
    struct evaluator e;
    if (start(&e, options, err) < 0)
        return -1;
    int result = prepare(&e, model, dataset, err);
    if (result == 0)
        result = predict(&e, ret, err);
    if (result == 0)
        result = batches_glance(e.batches, err);
    finish(&e);
    evaluation_free(e.out);
    return result;
}

void evaluation_free(struct evaluation *evaluation) {
    if (evaluation)
        arena_free(evaluation->arena);
}
