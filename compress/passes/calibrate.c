/* The run, then per value a limit from its histogram, then biases from the scales. */
#include "compress/passes/calibrate.h"

#include "compress/base/arena.h"
#include "compress/exec/batches.h"
#include "compress/exec/session.h"
#include "compress/graph/graph.h"
#include "compress/graph/ranges.h"
#include "compress/graph/tensor_reader.h"
#include "compress/tensor/array.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_BATCH = 32, DEFAULT_WINDOW = 512 };
#define PERCENTILE 0.9999
/* Limits tried are bins apart; fewer bins than that say little. */
enum { TRY_FROM = 128, TRY_STEP = 16 };

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory to calibrate");
}

static const char *const method_names[] = {[CALIBRATE_MINMAX] = "minmax",
                                           [CALIBRATE_PERCENTILE] = "percentile",
                                           [CALIBRATE_MSE] = "mse",
                                           [CALIBRATE_ENTROPY] = "entropy",
                                           NULL};

const char *const *calibrate_method_names(void) {
    return method_names;
}

int calibrate_method_by_name(const char *name) {
    for (int i = 0; method_names[i]; i++)
        if (strcmp(method_names[i], name) == 0)
            return i;
    return -1;
}

const char *calibrate_method_name(enum calibrate_method method) {
    return method_names[method];
}

const char *calibrate_method_protocol(enum calibrate_method method) {
    static const char *const protocols[] = {
        [CALIBRATE_MINMAX] = "the limit is the largest magnitude seen",
        [CALIBRATE_PERCENTILE] = "99.99 % of the magnitudes seen, zeros included, lie below the "
                                 "limit",
        [CALIBRATE_MSE] = "the limit has the smallest expected squared error: rounding below it, "
                          "clamping above it",
        [CALIBRATE_ENTROPY] = "the limit has the smallest Kullback-Leibler divergence of the "
                              "codes' distribution from that of the values",
    };
    return protocols[method];
}

/* ---- histograms ---- */

static void reach(struct calibrate_histogram *h, double magnitude) {
    if (h->limit == 0)
        h->limit = magnitude;
    while (magnitude > h->limit) {
        for (size_t i = 0; i < CALIBRATE_BINS / 2; i++)
            h->counts[i] = h->counts[2 * i] + h->counts[2 * i + 1];
        memset(h->counts + CALIBRATE_BINS / 2, 0, sizeof h->counts / 2);
        h->limit *= 2;
    }
}

bool calibrate_add(struct calibrate_histogram *h, const float *x, uint64_t count) {
    float min = count ? x[0] : 0, max = min;
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(x[i]))
            return false;
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    float largest = -min > max ? -min : max;
    if (count) {
        h->min = h->count && h->min < (double)min ? h->min : (double)min;
        h->max = h->count && h->max > (double)max ? h->max : (double)max;
        h->count += count;
    }
    if ((double)largest > h->largest)
        h->largest = (double)largest;
    if (largest == 0) {
        h->zeros += count;
        return true;
    }
    reach(h, (double)largest);
    double bins_per_unit = CALIBRATE_BINS / h->limit;
    for (uint64_t i = 0; i < count; i++) {
        if (x[i] == 0) { /* what Relu made: it is stored exactly, whatever the limit */
            h->zeros++;
            continue;
        }
        double bin = fabs((double)x[i]) * bins_per_unit;
        h->counts[bin < CALIBRATE_BINS - 1 ? (size_t)bin : CALIBRATE_BINS - 1]++;
    }
    return true;
}

static double percentile_limit(const struct calibrate_histogram *h) {
    uint64_t total = h->zeros, seen = h->zeros;
    for (size_t i = 0; i < CALIBRATE_BINS; i++)
        total += h->counts[i];
    for (size_t i = 0; i < CALIBRATE_BINS; i++) {
        seen += h->counts[i];
        if ((double)seen >= PERCENTILE * (double)total)
            return fmin((double)(i + 1) * h->limit / CALIBRATE_BINS, h->largest);
    }
    return h->largest;
}

/* Expected squared error, values taken for the middles of their bins. */
static double squared_error(const struct calibrate_histogram *h, double limit, unsigned levels) {
    double step = limit / levels, width = h->limit / CALIBRATE_BINS, sum = 0;
    for (size_t i = 0; i < CALIBRATE_BINS; i++) {
        double over = ((double)i + 0.5) * width - limit;
        sum += (double)h->counts[i] * (over > 0 ? over * over : step * step / 12);
    }
    return sum;
}

/* KL(values clamped at `bins` || the same spread evenly over `levels` codes). */
static double divergence(const struct calibrate_histogram *h, size_t bins, unsigned levels) {
    double p[CALIBRATE_BINS], total = 0, outside = 0, kl = 0;
    for (size_t i = 0; i < CALIBRATE_BINS; i++) {
        total += (double)h->counts[i];
        if (i < bins)
            p[i] = (double)h->counts[i];
        else
            outside += (double)h->counts[i];
    }
    double inside = total - outside;
    p[bins - 1] += outside;
    if (inside <= 0)
        return DBL_MAX;
    for (unsigned code = 0; code < levels; code++) {
        size_t from = code * bins / levels, to = (code + 1) * bins / levels, used = 0;
        double sum = 0;
        for (size_t i = from; i < to; i++) {
            sum += (double)h->counts[i];
            used += p[i] > 0;
        }
        for (size_t i = from; i < to; i++)
            if (p[i] > 0) {
                /* a code that stands for what was only clamped there has next to nothing */
                double q = fmax(sum / (double)used, 1e-4) / inside;
                kl += p[i] / total * log(p[i] / total / q);
            }
    }
    return kl;
}

double calibrate_limit(const struct calibrate_histogram *h, enum calibrate_method method,
                       unsigned levels) {
    if (h->largest == 0 || method == CALIBRATE_MINMAX)
        return h->largest;
    if (method == CALIBRATE_PERCENTILE)
        return percentile_limit(h);
    double best = h->largest, least = method == CALIBRATE_MSE
                                          ? squared_error(h, h->largest, levels)
                                          : divergence(h, CALIBRATE_BINS, levels);
    for (size_t bins = CALIBRATE_BINS; bins >= TRY_FROM; bins -= TRY_STEP) {
        double limit = (double)bins * h->limit / CALIBRATE_BINS;
        if (limit >= h->largest)
            continue;
        double loss =
            method == CALIBRATE_MSE ? squared_error(h, limit, levels) : divergence(h, bins, levels);
        if (loss < least) {
            least = loss;
            best = limit;
        }
    }
    return best;
}

/* ---- the run ---- */

struct watched {
    const struct value *value; /* of the original */
    struct calibrate_histogram *histogram;
};

struct calibration {
    const struct model *original;
    const struct ranges *wanted;
    const struct calibrate_options *options;
    struct batches *batches;
    struct weights *weights;
    struct exec_plan *plan;
    struct exec_session *session;
    struct watched *watched; /* one a range */
    const struct value **observed;
    struct array *planned;
    struct exec_input *inputs;
    size_t input_count;
    unsigned threads;
    struct arena *arena;
};

/* Inputs are shown too; floats of any width come as f32. */
static int observe(void *self, const struct value *value, const struct array *array,
                   struct err *err) {
    const struct calibration *c = self;
    for (size_t i = 0; i < c->wanted->range_count; i++) {
        if (c->watched[i].value != value || array->dtype != DTYPE_F32)
            continue;
        if (!calibrate_add(c->watched[i].histogram, array_real(array), array->elements)) {
            err_set(err, ERR_NON_FINITE,
                    "the value '%s' is not finite for a sample of the calibration set",
                    value->name);
            return err_at_tensor(err, value->name);
        }
    }
    return 0;
}

static int find_values(struct calibration *c, struct err *err) {
    size_t n = c->wanted->range_count;
    c->watched = ARENA_ARRAY(c->arena, struct watched, n + 1);
    c->observed = ARENA_ARRAY(c->arena, const struct value *, n + 1);
    if (!c->watched || !c->observed)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const struct value *value = graph_value(c->original->graph, c->wanted->ranges[i].value);
        if (!value)
            return err_set(err, ERR_BUG, "the original has no value '%s'",
                           c->wanted->ranges[i].value);
        c->watched[i].value = c->observed[i] = value;
        c->watched[i].histogram = ARENA_NEW(c->arena, struct calibrate_histogram);
        if (!c->watched[i].histogram)
            return no_memory(err);
    }
    return 0;
}

static void close_session(struct calibration *c) {
    exec_session_free(c->session);
    exec_plan_free(c->plan);
    c->session = NULL;
    c->plan = NULL;
}

/* A plan for the shapes of this batch, where the present one is for others. */
static int plan_batch(struct calibration *c, struct err *err) {
    size_t fields = batches_field_count(c->batches);
    struct arena_mark mark = arena_mark(c->arena);
    struct binding *bindings = ARENA_ARRAY(c->arena, struct binding, fields + 1);
    bool same = c->plan != NULL;
    if (!bindings)
        return no_memory(err);
    c->input_count = 0;
    for (size_t i = 0; i < fields; i++) {
        const struct batch_field *field = batches_field(c->batches, i);
        if (field->role != BATCH_INPUT)
            continue;
        size_t n = c->input_count++;
        same = same && array_same_shape(&field->array, &c->planned[n]);
        c->planned[n] = field->array;
        c->inputs[n] = (struct exec_input){field->value, &field->array};
        bindings[n].input = field->value;
        bindings[n].fact.type = type_of_array(&field->array);
    }
    int result = 0;
    if (!same) {
        struct exec_options plan = {.observed = c->observed,
                                    .observed_count = c->wanted->range_count,
                                    .threads = c->threads};
        close_session(c);
        result = exec_plan_new(c->original->graph, bindings, c->input_count, &plan, &c->plan, err);
    }
    arena_rewind(c->arena, mark);
    return result;
}

/* And a session for that plan. */
static int prepare_batch(struct calibration *c, struct err *err) {
    struct exec_session_options session = {
        .team = c->options->team, .observe = observe, .observe_self = c};
    if (plan_batch(c, err) < 0)
        return -1;
    return c->session ? 0 : exec_session_new(c->plan, c->weights, &session, &c->session, err);
}

/* Of the largest weight that a bias is joined with: its numbers, its bytes, its codes. */
static uint64_t bias_bytes(const struct model *model) {
    uint64_t most = 0;
    for (size_t i = 0; i < model->ranges->bias_count; i++) {
        uint64_t elements = model->tensors[model->ranges->biases[i].weight].elements;
        most = elements > most ? elements : most;
    }
    return most * (2 * sizeof(float) + 1);
}

/* With the present plan. Biases come after the run, when its memory is given back. */
static uint64_t held_bytes(const struct calibration *c, const struct model *model) {
    struct exec_facts facts;
    exec_plan_facts(c->plan, &facts);
    uint64_t run = facts.workspace_bytes + facts.kept_bytes + facts.weight_bytes;
    uint64_t biases = bias_bytes(model);
    for (size_t i = 0; i < batches_field_count(c->batches); i++)
        run += array_bytes(&batches_field(c->batches, i)->array);
    return (run > biases ? run : biases) + arena_used_bytes(c->arena);
}

static int run_batches(struct calibration *c, const struct model *model,
                       struct calibrate_result *to, struct err *err) {
    struct progress_state at = c->options->at;
    at.unit = "samples";
    at.total = to->samples;
    for (;;) {
        uint64_t samples;
        progress_report(c->options->progress, &at);
        if (batches_next(c->batches, &samples, err) < 0)
            return -1;
        if (samples == 0)
            return 0;
        if (prepare_batch(c, err) < 0 ||
            exec_run(c->session, c->inputs, c->input_count, c->options->progress, err) < 0)
            return -1;
        uint64_t held = held_bytes(c, model);
        to->memory_bytes = held > to->memory_bytes ? held : to->memory_bytes;
        at.done += samples;
    }
}

static int open_batches(struct calibration *c, const struct dataset *dataset,
                        struct calibrate_result *to, struct err *err) {
    const struct graph *graph = c->original->graph;
    const struct type *type = graph->input_count ? &graph->inputs[0]->type : NULL;
    bool fixed = type && type->ranked && type->rank > 0 && dim_known(type->dims[0]);
    bool length = type && type->ranked && type->rank > 1 && dim_known(type->dims[1]);
    bool text = dataset_kind(dataset) == DATASET_TOKENS && dataset_array(dataset, 0)->rank == 1;
    struct batches_options options = {
        .seed = c->options->seed,
        .batch = c->options->batch ? c->options->batch
                 : fixed           ? 0
                                   : DEFAULT_BATCH,
        .window = c->options->window ? c->options->window
                  : text && !length  ? DEFAULT_WINDOW
                                     : 0,
        .samples = c->options->samples,
        .keep_partial = !fixed,
    };
    if (batches_new(dataset, graph, &options, &c->batches, err) < 0)
        return -1;
    size_t fields = batches_field_count(c->batches);
    c->planned = ARENA_ARRAY(c->arena, struct array, fields + 1);
    c->inputs = ARENA_ARRAY(c->arena, struct exec_input, fields + 1);
    c->weights = weights_new(c->original, graph, 0);
    if (!c->planned || !c->inputs || !c->weights)
        return no_memory(err);
    uint64_t whole = batches_samples(c->batches), size = batches_size(c->batches);
    *to = (struct calibrate_result){
        .dataset_kind = dataset_kind_name(dataset_kind(dataset)),
        .samples = options.keep_partial ? whole : whole - whole % size,
        .batch = size,
    };
    for (size_t i = 0; dataset_kind(dataset) == DATASET_TOKENS && i < fields; i++) {
        const struct batch_field *field = batches_field(c->batches, i);
        if (field->role == BATCH_INPUT && field->array.rank > 1)
            to->window = field->array.dims[1];
    }
    return 0;
}

/* ---- what was found ---- */

/* How it looks: bins of the histogram put together. */
static void show(const struct calibrate_histogram *h, double limit, struct calibrate_range *to) {
    const size_t each = CALIBRATE_BINS / CALIBRATE_SHOWN;
    to->min = h->min;
    to->max = h->max;
    to->count = h->count;
    to->zeros = h->zeros;
    to->shown_from_zero_to = h->limit;
    for (size_t i = 0; i < CALIBRATE_BINS; i++) {
        /* the lower edge of a bin, and the limit is one to rounding where it is not the largest */
        double from = (double)i * h->limit / CALIBRATE_BINS;
        to->shown[i / each] += h->counts[i];
        if (limit < h->largest && from > limit * (1 - 1e-9))
            to->clamped += h->counts[i];
    }
}

static int fill_scale(const struct calibration *c, size_t i, struct calibrate_range *to,
                      struct arena *arena, struct err *err) {
    const struct range_wanted *range = &c->wanted->ranges[i];
    const struct calibrate_histogram *h = c->watched[i].histogram;
    unsigned levels = range->from_zero ? 255 : 127;
    if (!h->count)
        return err_set(err, ERR_UNSUPPORTED,
                       "nothing is known of the value '%s': it is not of floats", range->value);
    double limit = calibrate_limit(h, c->options->method, range->from_zero ? 256 : 128);
    double scale = limit / levels;
    /* A value that is always zero: any scale will do, but not none. */
    *range->scale = scale > (double)FLT_MIN ? (float)scale : 1;
    *to = (struct calibrate_range){
        .value = arena_strdup(arena, range->value),
        .limit = limit,
        .scale = (double)*range->scale,
        .zero_point = range->zero_point,
    };
    show(h, limit, to);
    return to->value ? 0 : no_memory(err);
}

static int fill_scales(const struct calibration *c, struct arena *arena,
                       struct calibrate_result *to, struct err *err) {
    size_t n = c->wanted->range_count;
    to->ranges = ARENA_ARRAY(arena, struct calibrate_range, n + 1);
    if (!to->ranges)
        return no_memory(err);
    for (to->range_count = 0; to->range_count < n; to->range_count++)
        if (fill_scale(c, to->range_count, &to->ranges[to->range_count], arena, err) < 0)
            return -1;
    return 0;
}

/* The scales that encoding will give a weight: by encoding it. */
static int weight_scales(const struct model *model, const struct tensor *tensor, float *ret,
                         struct err *err) {
    const struct encoding *e = &tensor->wanted;
    uint64_t rows, cols;
    struct tensor_reader *reader;
    tensor_matrix(tensor, e, &rows, &cols);
    struct encoded_size size = encoding_size(e, rows, cols);
    if (tensor_reader_open(model, tensor, e->transposed, &reader, err) < 0)
        return -1;
    float *x = malloc((size_t)(rows * cols) * sizeof *x + 1);
    void *raw = malloc((size_t)tensor->parts[PART_DATA].bytes + 1);
    void *data = malloc((size_t)size.data_bytes + 1);
    struct value_range *ranges = calloc((size_t)codec_range_count(e, cols) + 1, sizeof *ranges);
    int result = x && raw && data && ranges ? 0 : no_memory(err);
    if (result == 0)
        result = tensor_reader_elements(reader, 0, rows * cols, raw, x, err);
    if (result == 0) {
        if (codec_range_count(e, cols))
            codec_find_ranges(e, rows, cols, x, ranges);
        codec_encode(e, &tensor->options, 0, rows, cols, x, ranges, data, ret, NULL, NULL);
    }
    tensor_reader_close(reader);
    free(x);
    free(raw);
    free(data);
    free(ranges);
    return result;
}

static int fill_bias(const struct model *model, const struct bias_wanted *to, uint64_t *ret_clamped,
                     struct err *err) {
    const struct tensor *bias = &model->tensors[to->bias], *weight = &model->tensors[to->weight];
    struct tensor_reader *reader;
    if (weight_scales(model, weight, to->scales, err) < 0 ||
        tensor_reader_open(model, bias, false, &reader, err) < 0)
        return -1;
    float *x = malloc((size_t)bias->elements * sizeof *x + 1);
    void *raw = malloc((size_t)bias->parts[PART_DATA].bytes + 1);
    int result =
        x && raw ? tensor_reader_elements(reader, 0, bias->elements, raw, x, err) : no_memory(err);
    *ret_clamped = 0;
    for (uint64_t i = 0; result == 0 && i < bias->elements; i++) {
        to->scales[i] *= *to->input_scale;
        if (to->scales[i] < FLT_MIN)
            to->scales[i] = FLT_MIN;
        double code = nearbyint((double)x[i] / (double)to->scales[i]);
        *ret_clamped += fabs(code) > INT32_MAX;
        to->codes[i] = (int32_t)(code > INT32_MAX    ? INT32_MAX
                                 : code < -INT32_MAX ? -INT32_MAX
                                                     : code);
    }
    tensor_reader_close(reader);
    free(x);
    free(raw);
    return result;
}

static int fill_biases(const struct calibration *c, const struct model *model, struct arena *arena,
                       struct calibrate_result *to, struct err *err) {
    to->biases = ARENA_ARRAY(arena, struct calibrate_bias, c->wanted->bias_count + 1);
    if (!to->biases)
        return no_memory(err);
    for (size_t i = 0; i < c->wanted->bias_count; i++) {
        const struct bias_wanted *bias = &c->wanted->biases[i];
        uint64_t clamped;
        if (fill_bias(model, bias, &clamped, err) < 0)
            return -1;
        if (!clamped)
            continue;
        const char *name = arena_strdup(arena, model->tensors[bias->bias].name);
        if (!name)
            return no_memory(err);
        to->biases[to->bias_count++] = (struct calibrate_bias){name, clamped};
    }
    return 0;
}

static int start(struct calibration *c, const struct model *original, const struct model *model,
                 const struct dataset *dataset, const struct calibrate_options *options,
                 struct calibrate_result *to, struct err *err) {
    *c = (struct calibration){.original = original,
                              .wanted = model->ranges,
                              .options = options,
                              .threads =
                                  options->team ? team_threads(options->team) : options->threads,
                              .arena = arena_new(LIMIT_MODEL_ARENA_BYTES)};
    if (!c->arena)
        return no_memory(err);
    return find_values(c, err) < 0 || open_batches(c, dataset, to, err) < 0 ? -1 : 0;
}

/* All that the run took; the histograms stay. */
static void end_run(struct calibration *c) {
    close_session(c);
    weights_free(c->weights);
    batches_free(c->batches);
    c->weights = NULL;
    c->batches = NULL;
}

int calibrate_run(const struct model *original, const struct model *model,
                  const struct dataset *dataset, const struct calibrate_options *options,
                  struct arena *arena, struct calibrate_result *ret, struct err *err) {
    struct calibration c;
    struct calibrate_result found = {0};
    int result = start(&c, original, model, dataset, options, &found, err);
    if (result == 0)
        result = run_batches(&c, model, &found, err);
    end_run(&c);
    if (result == 0)
        result = fill_scales(&c, arena, &found, err);
    if (result == 0)
        result = fill_biases(&c, model, arena, &found, err);
    arena_free(c.arena);
    if (result == 0)
        *ret = found;
    return result;
}

int calibrate_predict(const struct model *original, const struct model *model,
                      const struct dataset *dataset, const struct calibrate_options *options,
                      uint64_t *ret_bytes, struct err *err) {
    struct calibration c;
    struct calibrate_result would = {0};
    int result = start(&c, original, model, dataset, options, &would, err);
    if (result == 0)
        result = plan_batch(&c, err);
    if (result == 0)
        *ret_bytes = held_bytes(&c, model);
    end_run(&c);
    arena_free(c.arena);
    return result;
}
