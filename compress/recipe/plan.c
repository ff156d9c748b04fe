/*
 * Planning: open the headers, let every stage say what tensors shall become, let the format lay the
 * output out, then add up.
 */
#include "compress/recipe/plan.h"

#include "compress/base/nearest.h"
#include "compress/formats/format.h"
#include "compress/graph/arch.h"
#include "compress/recipe/emit.h"
#include "compress/report/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The estimate of time, measured on one core of an AMD EPYC (Zen 4, AVX-512) with 100 million
 * weights from the page cache; every other machine differs, hence an estimate. Reading, encoding
 * and writing is bound by memory for every format but those whose scale is searched for.
 */
#define ENCODE_SPEED 900e6  /* elements per second and thread */
#define SEARCH_SPEED 180e6  /* the same, smallest squared error over groups of 128 */
#define COMPARE_SPEED 900e6 /* the same: decode twice, measure */
#define COPY_SPEED 1.0e9    /* bytes per second to write, hash and sync, whatever the threads */

/* Arenas grow by blocks. */
#define HEADER_SLACK_BYTES (UINT64_C(512) << 10)
/* What a tensor leaves in the results of writing and verifying and in the report, with its name. */
#define TENSOR_RESULT_BYTES 1024
/* What a run of any model keeps: its arena and per-thread tables. */
#define RUN_BYTES (UINT64_C(16) << 10)

static bool is_searched(const struct tensor *tensor) {
    return tensor->wanted.codec->family == CODEC_AFFINE && tensor->options.search == SEARCH_MSE;
}

static double estimate_seconds(const struct plan *plan, unsigned threads) {
    double cpu = 0;
    for (size_t i = 0; i < plan->model->tensor_count; i++) {
        const struct tensor *t = &plan->model->tensors[i];
        if (!t->removed && !encoding_equal(&t->wanted, &t->stored))
            cpu += (double)t->elements / (is_searched(t) ? SEARCH_SPEED : ENCODE_SPEED);
        cpu += (double)t->elements / COMPARE_SPEED;
    }
    return cpu / (threads ? threads : 1) + (double)plan->bytes_out / COPY_SPEED;
}

/* ---- fit ---- */

static bool reads(const struct preset *preset, const struct format *format) {
    return strstr(preset->reads, format->name) != NULL;
}

/* A preset made for another container says so as a whole, with what fits. */
static bool preset_fits(const struct recipe *recipe, const char *pointer,
                        const struct format *format, struct violations *list) {
    const struct preset *preset = preset_by_name(recipe->name);
    if (!preset || reads(preset, format))
        return true;
    char names[200] = "";
    size_t used = 0;
    const char *nearest = NULL;
    double distance = INFINITY;
    for (size_t i = 0; preset_at(i); i++) {
        const struct preset *other = preset_at(i);
        if (!reads(other, format))
            continue;
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                     other->name);
        double d = fabs(other->expected_ratio - preset->expected_ratio);
        if (d < distance) {
            distance = d;
            nearest = other->name;
        }
    }
    struct violation *v =
        violations_add(list, ERR_MISFIT, pointer,
                       "the preset %s is for %s, and this model is %s; presets that fit: %s",
                       preset->name, preset->reads, format->name, nearest ? names : "none");
    v->nearest = nearest;
    return false;
}

static void apply_stages(struct plan *plan, const struct recipe *recipe, const char *component,
                         struct violations *list) {
    for (size_t i = 0; i < recipe->stage_count; i++) {
        const struct recipe_stage *stage = &recipe->stages[i];
        stage->pass->apply(stage->params, stage->pointer, plan->model, component,
                           recipe->requantize || plan->recipe->requantize, list, &plan->warnings);
    }
}

static bool has_component(const struct model *model, const char *component) {
    for (size_t i = 0; i < model->tensor_count; i++)
        if (strcmp(model->tensors[i].component, component) == 0)
            return true;
    return false;
}

static const char *nearest_component(const struct model *model, const char *component) {
    const char *best = NULL;
    for (size_t i = 0; i < model->tensor_count; i++)
        best = nearest_of(component, best, model->tensors[i].component);
    return best && best[0] ? best : NULL;
}

static void apply_recipe(struct plan *plan, struct violations *list) {
    const struct recipe *recipe = plan->recipe;
    if (preset_fits(recipe, "", plan->model->format, list))
        apply_stages(plan, recipe, NULL, list);
    for (size_t i = 0; i < recipe->part_count; i++) {
        const struct recipe_part *part = &recipe->parts[i];
        const char *pointer = jspec_pointer("/parts", part->component, plan->arena);
        pointer = pointer ? pointer : "/parts";
        if (!has_component(plan->model, part->component)) {
            const char *nearest = nearest_component(plan->model, part->component);
            violations_add(list, ERR_MISFIT, pointer, "the model has no part called \"%s\"",
                           part->component)
                ->nearest = nearest;
        } else if (preset_fits(part->recipe, pointer, plan->model->format, list)) {
            apply_stages(plan, part->recipe, part->component, list);
        }
    }
}

/* Formats and passes name tensors by the model's own strings; a list outlives a model that does not
 * fit. */
static void own_texts(struct violations *list) {
    for (size_t i = 0; i < list->count; i++) {
        struct violation *v = &list->items[i];
        const char **texts[] = {&v->tensor, &v->file, &v->group, &v->nearest};
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++)
            if (*texts[k])
                *texts[k] = arena_strdup(list->arena, *texts[k]);
    }
}

/* ---- sums ---- */

/* The artifact's headers will be read for verification. They grow with the tensors that are stored,
 * of which one weight may become four; half as much again is what arrays that double waste. */
static uint64_t artifact_header_bytes(const struct plan *plan, uint64_t header_bytes) {
    uint64_t before = 0, after = 0;
    for (size_t i = 0; i < plan->model->tensor_count; i++)
        for (unsigned k = 0; k < PART_KINDS; k++)
            before += plan->model->tensors[i].parts[k].name != NULL;
    for (size_t i = 0; i < plan->layout.count; i++)
        for (size_t k = 0; k < plan->layout.files[i].count; k++)
            after += plan->layout.files[i].segments[k].tensor != NULL;
    double growth = before && after > before ? (double)after / (double)before : 1;
    return (uint64_t)((double)header_bytes * growth * 1.5) + HEADER_SLACK_BYTES;
}

/* How the pipeline will measure: the same options for the prediction and for the work. */
struct evaluate_options plan_evaluate_options(const struct plan *plan,
                                              const struct model *original) {
    const struct recipe_data *data = &plan->measures;
    return (struct evaluate_options){
        .original = original,
        .metrics = data->metrics,
        .samples = data->samples,
        .batch = data->batch,
        .window = data->window,
        .seed = plan->recipe->seed,
        .latency_runs = data->latency_runs,
        .layers = original != NULL,
        .threads = plan->threads,
    };
}

/* Metrics that were asked for and that these data and this model cannot give. */
static void check_metrics(struct plan *plan, unsigned possible, struct violations *list) {
    const struct recipe_data *data = &plan->measures;
    for (size_t id = 0; id < METRIC_COUNT; id++) {
        struct err why = ERR_INIT;
        if (!(data->metrics >> id & 1) || possible >> id & 1)
            continue;
        evaluate_refuse((enum metric_id)id, possible, true, &why);
        err_at_pointer(&why, "%s/metrics/%u", data->pointer, data->metric_places[id]);
        violations_add_err(list, &why);
    }
    if (dataset_find(plan->evaluation, "label") != SIZE_MAX && !(possible >> METRIC_ACCURACY & 1))
        violations_add(&plan->warnings, ERR_MISFIT, "",
                       "the labels of the set score nothing: the model has no output of scores "
                       "that fits them");
}

static int open_evaluation(struct plan *plan, struct resolver *files, struct violations *list,
                           struct err *err) {
    bool asked = plan->recipe->evaluation.given;
    /* Every front end calls what came beside the recipe its dataset. */
    const char *pointer = asked ? plan->recipe->evaluation.pointer : "/dataset";
    const char *data_pointer =
        plan->recipe->evaluation.dataset ? jspec_pointer(pointer, "dataset", plan->arena) : NULL;
    if (!files && asked)
        violations_add(list, ERR_MISFIT, pointer,
                       "the evaluation names no dataset, and the job has none");
    if (!files)
        return 0;
    plan->measures = plan->recipe->evaluation;
    if (!asked)
        plan->measures.latency_runs = RECIPE_LATENCY_RUNS;
    if (!asked && !plan->model->graph) {
        violations_add(&plan->warnings, ERR_UNSUPPORTED, "",
                       "the dataset is not used: only models that come with a graph (ONNX) can be "
                       "measured");
        return 0;
    }
    plan->evaluation_files = files;
    if (dataset_open(files, &plan->evaluation, err) < 0)
        return err_at_pointer(err, "%s", data_pointer ? data_pointer : "/dataset");
    struct evaluate_options options = plan_evaluate_options(plan, plan->model);
    struct evaluate_prediction prediction;
    if (evaluate_predict(plan->model, plan->evaluation, &options, &prediction, err) < 0)
        return err_at_pointer(err, "%s", pointer);
    plan->evaluate_bytes = prediction.bytes;
    check_metrics(plan, prediction.possible, list);
    return 0;
}

static bool wants_calibration(const struct model *model) {
    for (size_t i = 0; i < model->tensor_count; i++)
        if (model->tensors[i].wanted.codec->family == CODEC_AFFINE &&
            model->tensors[i].wanted.static_activations)
            return true;
    return false;
}

struct calibrate_options plan_calibrate_options(const struct plan *plan) {
    const struct recipe_data *data = &plan->recipe->calibration;
    return (struct calibrate_options){
        .method = (enum calibrate_method)data->method,
        .samples = data->samples,
        .batch = data->batch,
        .window = data->window,
        .seed = plan->recipe->seed,
    };
}

static int open_calibration(struct plan *plan, struct resolver *files, struct violations *list,
                            struct err *err) {
    const struct recipe_data *data = &plan->recipe->calibration;
    if (!wants_calibration(plan->model)) {
        if (data->given)
            violations_add(&plan->warnings, ERR_MISFIT, data->pointer,
                           "no stage looks at the calibration set");
        return 0;
    }
    if (!files) {
        violations_add(list, ERR_MISFIT, data->pointer,
                       "static activations need samples to find their ranges: give the job a "
                       "dataset, or name one in \"calibration\"; \"activations\": \"dynamic\" "
                       "needs none");
        return 0;
    }
    plan->calibration_files = files;
    if (dataset_open(files, &plan->calibration, err) < 0)
        return err_at_pointer(err, "%s", data->pointer);
    return 0;
}

/* The graph has been rewritten by now, so the source is opened anew, as the run will. */
static int predict_calibration(struct plan *plan, unsigned threads, struct err *err) {
    const struct recipe_data *data = &plan->recipe->calibration;
    struct calibrate_options options = plan_calibrate_options(plan);
    struct model *source = NULL;
    options.threads = threads;
    if (!plan->model->ranges) {
        dataset_free(plan->calibration);
        plan->calibration = NULL;
    }
    if (!plan->calibration)
        return 0;
    struct evaluate_options inputs = {.samples = options.samples,
                                      .batch = options.batch,
                                      .window = options.window,
                                      .seed = options.seed,
                                      .inputs_only = true};
    struct evaluate_prediction glance;
    int result = format_open(plan->model->resolver, &source, err);
    if (result == 0 && (calibrate_predict(source, plan->model, plan->calibration, &options,
                                          &plan->calibrate_bytes, err) < 0 ||
                        evaluate_predict(source, plan->calibration, &inputs, &glance, err) < 0))
        result = err_at_pointer(err, "%s", data->pointer);
    if (result == 0)
        plan->calibrate_bytes +=
            arena_used_bytes(source->arena) + dataset_memory_bytes(plan->calibration);
    model_free(source);
    return result;
}

static int add_up(struct plan *plan, const struct plan_limits *limits, struct violations *list,
                  struct err *err) {
    struct model *model = plan->model;
    unsigned threads = plan->threads;
    struct emit_prediction emit;
    if (emit_predict(model, &plan->layout, threads, &emit, err) < 0 ||
        predict_calibration(plan, threads, err) < 0)
        return -1;
    uint64_t headers = arena_used_bytes(model->arena);
    plan->bytes_in = model->bytes;
    plan->bytes_out = plan->layout.bytes;
    plan->ratio = plan->bytes_out ? (double)plan->bytes_in / (double)plan->bytes_out : 0;
    uint64_t results = RUN_BYTES + model->tensor_count * TENSOR_RESULT_BYTES;
    /* What sets keep in memory: that of the evaluation from its check on, to the end. */
    uint64_t kept = plan->evaluation ? dataset_memory_bytes(plan->evaluation) : 0;
    plan->emit_bytes = headers + arena_used_bytes(plan->arena) + results + emit.memory_bytes + kept;
    plan->verify_bytes = headers + artifact_header_bytes(plan, headers) +
                         arena_used_bytes(plan->arena) + results +
                         verify_memory_bytes(model, threads) + kept;
    if (plan->evaluation) /* the source and the artifact are opened beside the plan's own model */
        plan->evaluate_bytes += headers + artifact_header_bytes(plan, headers) +
                                artifact_header_bytes(plan, headers) +
                                arena_used_bytes(plan->arena) + results + kept +
                                (plan->calibration ? dataset_memory_bytes(plan->calibration) : 0);
    plan->peak_bytes =
        plan->emit_bytes > plan->verify_bytes ? plan->emit_bytes : plan->verify_bytes;
    if (plan->evaluate_bytes > plan->peak_bytes)
        plan->peak_bytes = plan->evaluate_bytes;
    if (plan->calibration)
        plan->calibrate_bytes += headers + arena_used_bytes(plan->arena) + results + kept;
    if (plan->calibrate_bytes > plan->peak_bytes)
        plan->peak_bytes = plan->calibrate_bytes;
    plan->disk_bytes = plan->bytes_out;
    plan->seconds = estimate_seconds(plan, threads);
    if (plan->ratio < 1)
        violations_add(&plan->warnings, ERR_MISFIT, "",
                       "the result will be larger than the source (ratio %.3f)", plan->ratio);
    if (limits->memory_bytes && plan->peak_bytes > limits->memory_bytes)
        violations_add(list, ERR_OVER_BUDGET, "",
                       "the job needs %" PRIu64 " MB of memory and the whole budget is %" PRIu64
                       " MB",
                       (plan->peak_bytes + MIB - 1) / MIB, limits->memory_bytes / MIB);
    return 0;
}

/* Of the plan's graph as it is now, alone. 0: it cannot be run, and the evaluation will say why. */
static uint64_t predict_run(const struct plan *plan) {
    struct evaluate_options options = plan_evaluate_options(plan, NULL);
    struct evaluate_prediction prediction;
    options.inputs_only = true;
    if (!plan->evaluation ||
        evaluate_predict(plan->model, plan->evaluation, &options, &prediction, NULL) < 0)
        return 0;
    return prediction.bytes;
}

/* The prediction has counted the source twice; an artifact may take more, such as codes beside the
 * floats that they stand for. */
static int lay_out(struct plan *plan, const char *source_name, struct err *err) {
    struct output_facts facts = {
        .recipe_name = plan->recipe->name,
        .recipe_json = plan->recipe->json,
        .source_name = source_name,
    };
    uint64_t source_bytes = predict_run(plan);
    layout_init(&plan->layout, plan->arena);
    if (plan->model->format->prepare &&
        plan->model->format->prepare(plan->model, &plan->warnings, err) < 0)
        return -1;
    uint64_t artifact_bytes = predict_run(plan);
    if (artifact_bytes > source_bytes)
        plan->evaluate_bytes += artifact_bytes - source_bytes;
    return plan->model->format->lay_out(plan->model, &facts, &plan->layout, &plan->warnings, err);
}

int plan_new(struct resolver *files, const struct recipe *recipe, const char *source_name,
             const struct plan_limits *limits, struct violations *list, struct plan **ret,
             struct err *err) {
    static const struct plan_limits no_limits;
    struct err why = ERR_INIT;
    struct plan *plan = calloc(1, sizeof *plan);
    if (plan)
        plan->arena = arena_new(LIMIT_MODEL_ARENA_BYTES);
    if (!plan || !plan->arena) {
        err_set(&why, ERR_NO_MEMORY, "no memory to plan");
        goto fail;
    }
    plan->recipe = recipe;
    violations_init(&plan->warnings, plan->arena);
    if (format_open(files, &plan->model, &why) < 0)
        goto fail;
    if (plan->model->opaque_quantization)
        violations_add(list, ERR_UNSUPPORTED, "", "%s", plan->model->opaque_quantization);
    else
        apply_recipe(plan, list);
    limits = limits ? limits : &no_limits;
    plan->threads = limits->threads ? limits->threads : 1;
    if (list->total || open_evaluation(plan, limits->evaluation, list, &why) < 0 ||
        open_calibration(plan, limits->calibration, list, &why) < 0 || list->total)
        goto fail;
    if (lay_out(plan, source_name, &why) < 0 || add_up(plan, limits, list, &why) < 0 || list->total)
        goto fail;
    *ret = plan;
    return 0;

fail:
    if (why.code != ERR_OK)
        violations_add_err(list, &why);
    own_texts(list);
    plan_free(plan);
    return violations_result(list, err);
}

void plan_free(struct plan *plan) {
    if (!plan)
        return;
    dataset_free(plan->evaluation);
    dataset_free(plan->calibration);
    model_free(plan->model);
    arena_free(plan->arena);
    free(plan);
}

/* ---- printing ---- */

static void print_tensor(const struct tensor *t, struct jbuf *b) {
    char text[120];
    jbuf_object(b);
    if (t->component[0])
        jbuf_kv_string(b, "component", t->component);
    jbuf_kv_string(b, "name", t->name);
    jbuf_kv_string(b, "role", role_text(t->role, text, sizeof text));
    jbuf_kv_string(b, "scheme", encoding_describe(&t->wanted, text, sizeof text));
    jbuf_kv_uint(b, "bytes", emit_tensor_bytes(t));
    jbuf_object_end(b);
}

char *plan_json(const struct plan *plan, size_t *ret_len) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_uint(&b, "bytes_in", plan->bytes_in);
    jbuf_kv_uint(&b, "bytes_out", plan->bytes_out);
    jbuf_kv_number(&b, "ratio", plan->ratio);
    jbuf_kv_uint(&b, "peak_bytes", plan->peak_bytes);
    jbuf_kv_uint(&b, "disk_bytes", plan->disk_bytes);
    jbuf_kv_number(&b, "seconds", plan->seconds);
    jbuf_key(&b, "tensors");
    jbuf_array(&b);
    for (size_t i = 0; i < plan->model->tensor_count; i++)
        if (!plan->model->tensors[i].removed)
            print_tensor(&plan->model->tensors[i], &b);
    jbuf_array_end(&b);
    jbuf_key(&b, "warnings");
    jbuf_violations(&b, &plan->warnings);
    jbuf_object_end(&b);
    return jbuf_take(&b, ret_len);
}
