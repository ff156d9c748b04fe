/* Write, verify, report: three steps over one plan, and what data add to them. */
#include "compress/recipe/pipeline.h"

#include "compress/base/limits.h"
#include "compress/formats/format.h"
#include "compress/graph/ranges.h"
#include "compress/passes/calibrate.h"
#include "compress/recipe/emit.h"
#include "compress/report/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct run {
    struct plan *plan;
    struct outputs *outputs;
    const struct pipeline_env *env;
    struct arena *arena; /* for the length of the run */
    struct emit_result emitted;
    struct verify_result verified;
    struct report *report;
    bool calibrates;
    unsigned stage;  /* of the progress: the one that comes next */
    unsigned stages; /* check, baseline, calibrate, write, verify, evaluate: those there are */
};

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The bytes move once, whatever the number of stages: a lone stage gives its name to that. */
static const char *work_name(const struct recipe *recipe) {
    return recipe->stage_count == 1                          ? recipe->stages[0].pass->name
           : recipe->stage_count == 0 && !recipe->part_count ? "copy"
                                                             : "compress";
}

/* What lives as long as the run: the model's headers, the plan, results. */
static uint64_t lasting_bytes(const struct run *r) {
    return arena_used_bytes(r->plan->arena) + arena_used_bytes(r->plan->model->arena) +
           arena_used_bytes(r->arena);
}

static void add_stage(struct run *r, const char *name, double since, uint64_t peak_bytes,
                      uint64_t predicted_bytes) {
    r->report->stages[r->report->stage_count++] = (struct report_stage){
        .name = name,
        .seconds = now_seconds() - since,
        .peak_bytes = peak_bytes + lasting_bytes(r),
        .predicted_bytes = predicted_bytes,
    };
}

static struct progress_state next_stage(struct run *r, const char *name) {
    return (struct progress_state){.stage = name, .stage_index = r->stage++, .stages = r->stages};
}

/* ---- before anything is written ---- */

/* Inputs alone: no label is looked at for ranges. */
static struct evaluate_options calibration_options(const struct run *r) {
    const struct recipe_data *data = &r->plan->recipe->calibration;
    return (struct evaluate_options){.samples = data->samples,
                                     .batch = data->batch,
                                     .window = data->window,
                                     .seed = r->plan->recipe->seed,
                                     .inputs_only = true};
}

static int check_set(struct run *r, const struct model *source, const struct dataset *set,
                     struct evaluate_options options, const struct progress_state *at,
                     uint64_t *most, struct err *err) {
    uint64_t bytes = 0;
    options.team = r->env->team;
    options.progress = r->env->progress;
    options.at = *at;
    if (evaluate_check(source, set, &options, &bytes, err) < 0)
        return -1;
    *most = bytes > *most ? bytes : *most;
    return 0;
}

/* Whatever is wrong with the data is better known now than after hours. */
static int check_data(struct run *r, const struct model *source, struct err *err) {
    double since = now_seconds();
    uint64_t most = 0, predicted = 0;
    const struct plan *plan = r->plan;
    struct progress_state at = next_stage(r, "check");
    progress_logf(r->env->progress, "info", "check: reading the data");
    if (plan->evaluation) {
        if (check_set(r, source, plan->evaluation, plan_evaluate_options(plan, source), &at, &most,
                      err) < 0)
            return err_context(err, "check of the evaluation set");
        predicted = plan->evaluate_bytes;
    }
    if (r->calibrates) {
        if (check_set(r, source, plan->calibration, calibration_options(r), &at, &most, err) < 0)
            return err_context(err, "check of the calibration set");
        predicted = plan->calibrate_bytes > predicted ? plan->calibrate_bytes : predicted;
    }
    add_stage(r, "check", since, most, predicted);
    return 0;
}

static int measure(struct run *r, const char *stage, const struct model *model,
                   const struct model *original, struct evaluation **ret, struct err *err) {
    struct evaluate_options options = plan_evaluate_options(r->plan, original);
    options.where_possible = original == NULL; /* comparisons are the artifact's */
    options.team = r->env->team;
    options.progress = r->env->progress;
    options.at = next_stage(r, stage);
    return evaluate_run(model, r->plan->evaluation, &options, ret, err);
}

static uint64_t evaluation_bytes(const struct evaluation *e) {
    return e->workspace_bytes + e->weight_bytes;
}

/* Which bytes a set was. */
static int fill_set_files(struct report *report, const struct resolver *files,
                          const struct digest *digests, struct report_file **ret, size_t *ret_count,
                          struct err *err) {
    struct report_file *rows = ARENA_ARRAY(report->arena, struct report_file, files->count);
    if (!rows)
        return err_set(err, ERR_NO_MEMORY, "no memory for the report");
    for (size_t i = 0; i < files->count; i++) {
        rows[i] = (struct report_file){.path = arena_strdup(report->arena, files->files[i].path),
                                       .bytes = files->files[i].bytes};
        if (!rows[i].path)
            return err_set(err, ERR_NO_MEMORY, "no memory for the report");
        if (digests) {
            rows[i].sha256 = digests[i];
            rows[i].digested = true;
        }
    }
    *ret = rows;
    *ret_count = files->count;
    return 0;
}

static int baseline(struct run *r, const struct model *source, struct err *err) {
    double since = now_seconds();
    progress_logf(r->env->progress, "info", "baseline: the original on %" PRIu64 " samples",
                  dataset_samples(r->plan->evaluation));
    if (measure(r, "baseline", source, NULL, &r->report->before, err) < 0 ||
        fill_set_files(r->report, r->plan->evaluation_files, r->env->evaluation_digests,
                       &r->report->evaluation_files, &r->report->evaluation_file_count, err) < 0)
        return err_context(err, "baseline");
    add_stage(r, "baseline", since, evaluation_bytes(r->report->before), r->plan->evaluate_bytes);
    return 0;
}

static void warn_of_biases(const struct run *r) {
    const struct calibrate_result *found = &r->report->calibration;
    for (size_t i = 0; i < found->bias_count; i++) {
        const struct calibrate_bias *bias = &found->biases[i];
        violations_add(&r->report->warnings, ERR_MISFIT, "",
                       "%s: %" PRIu64 " values do not fit 32 bits beside the almost empty weights "
                       "of their channels; keep this layer in floats",
                       bias->tensor, bias->clamped)
            ->tensor = bias->tensor;
        progress_logf(r->env->progress, "warning", "%s: %" PRIu64 " values overflow 32 bits",
                      bias->tensor, bias->clamped);
    }
}

static int calibrate(struct run *r, const struct model *source, struct err *err) {
    double since = now_seconds();
    struct plan *plan = r->plan;
    struct report *report = r->report;
    struct calibrate_options options = plan_calibrate_options(plan);
    options.team = r->env->team;
    options.progress = r->env->progress;
    options.at = next_stage(r, "calibrate");
    progress_logf(r->env->progress, "info", "calibrate: ranges of %zu values by %s",
                  plan->model->ranges->range_count, calibrate_method_name(options.method));
    if (calibrate_run(source, plan->model, plan->calibration, &options, report->arena,
                      &report->calibration, err) < 0 ||
        fill_set_files(report, plan->calibration_files, r->env->calibration_digests,
                       &report->calibration_files, &report->calibration_file_count, err) < 0)
        return err_context(err, "calibrate");
    warn_of_biases(r);
    const char *set =
        r->env->calibration_name ? r->env->calibration_name : plan->recipe->calibration.dataset;
    report->calibration_name = set ? arena_strdup(report->arena, set) : NULL;
    report->calibration_method = options.method;
    report->calibrated = true;
    uint64_t held = report->calibration.memory_bytes + dataset_memory_bytes(plan->calibration) +
                    arena_used_bytes(source->arena);
    add_stage(r, "calibrate", since, held, plan->calibrate_bytes);
    dataset_free(plan->calibration); /* what it keeps in memory is not needed any more */
    plan->calibration = NULL;
    return 0;
}

/* The source is opened anew: the plan's graph is that of the artifact. */
static int prepare(struct run *r, struct err *err) {
    struct model *source = NULL;
    if (!r->plan->evaluation && !r->calibrates)
        return 0;
    int result = format_open(r->plan->model->resolver, &source, err);
    if (result == 0 &&
        (check_data(r, source, err) < 0 || (r->plan->evaluation && baseline(r, source, err) < 0) ||
         (r->calibrates && calibrate(r, source, err) < 0)))
        result = -1;
    model_free(source);
    return result;
}

/* ---- write, verify ---- */

static int emit(struct run *r, struct err *err) {
    double since = now_seconds();
    const char *name = work_name(r->plan->recipe);
    struct emit_env env = {
        .team = r->env->team,
        .progress = r->env->progress,
        .at = next_stage(r, name),
    };
    progress_logf(r->env->progress, "info", "%s: %" PRIu64 " bytes in, %" PRIu64 " bytes out", name,
                  r->plan->bytes_in, r->plan->bytes_out);
    if (emit_run(r->plan->model, &r->plan->layout, r->outputs, &env, r->arena, &r->emitted, err) <
        0)
        return err_context(err, "%s", name);
    add_stage(r, name, since, r->emitted.peak_bytes, r->plan->emit_bytes);
    return 0;
}

static int verify(struct run *r, struct err *err) {
    double since = now_seconds();
    const struct layout *layout = &r->plan->layout;
    size_t tensors = r->plan->model->tensor_count;
    struct verify_file *files = ARENA_ARRAY(r->arena, struct verify_file, layout->count);
    uint64_t *overflows = ARENA_ARRAY(r->arena, uint64_t, tensors);
    if (!files || !overflows)
        return err_set(err, ERR_NO_MEMORY, "no memory to verify");
    for (size_t i = 0; i < layout->count; i++)
        files[i] = (struct verify_file){layout->files[i].path, r->emitted.digests[i]};
    for (size_t i = 0; i < tensors; i++)
        overflows[i] = r->emitted.overflows[i].count;
    struct verify_env env = {
        .team = r->env->team,
        .progress = r->env->progress,
        .at = next_stage(r, "verify"),
    };
    progress_logf(r->env->progress, "info", "verify: reading the artifact back");
    if (verify_run(r->plan->model, r->outputs, files, layout->count, overflows, &env, r->arena,
                   &r->verified, err) < 0)
        return err_context(err, "verify");
    add_stage(r, "verify", since, r->verified.peak_bytes, r->plan->verify_bytes);
    return 0;
}

/* ---- the artifact against the original ---- */

static int evaluate(struct run *r, struct err *err) {
    double since = now_seconds();
    struct model *source = NULL, *artifact = NULL;
    struct resolver *files = NULL;
    int result = -1;
    progress_logf(r->env->progress, "info", "evaluate: the artifact on %" PRIu64 " samples",
                  dataset_samples(r->plan->evaluation));
    if (format_open(r->plan->model->resolver, &source, err) == 0 &&
        r->outputs->ops->reopen(r->outputs, &files, err) == 0 &&
        format_open(files, &artifact, err) == 0 &&
        measure(r, "evaluate", artifact, source, &r->report->after, err) == 0)
        result = 0;
    if (result == 0)
        add_stage(r, "evaluate", since,
                  evaluation_bytes(r->report->before) + evaluation_bytes(r->report->after),
                  r->plan->evaluate_bytes);
    model_free(artifact);
    resolver_close(files);
    model_free(source);
    return result < 0 ? err_context(err, "evaluate") : 0;
}

/* ---- report ---- */

static const char *tensor_name(struct arena *arena, const struct tensor *t) {
    return t->component[0] ? arena_printf(arena, "%s/%s", t->component, t->name)
                           : arena_strdup(arena, t->name);
}

static const char *describe(struct arena *arena, const struct encoding *e) {
    char text[80];
    return arena_strdup(arena, encoding_describe(e, text, sizeof text));
}

static int fill_tensor(struct run *r, size_t i, struct report_tensor *row) {
    struct arena *arena = r->report->arena;
    const struct tensor *t = &r->plan->model->tensors[i];
    const struct verify_tensor *v = &r->verified.tensors[i];
    char roles[120];
    *row = (struct report_tensor){
        .name = tensor_name(arena, t),
        .role = arena_strdup(arena, role_text(t->role, roles, sizeof roles)),
        .source_scheme = describe(arena, &t->stored),
        .scheme = describe(arena, &t->wanted),
        .removed = t->removed,
        .copied = v->copied,
        .elements = t->elements,
        .measured = v->elements > 0,
        .overflow = r->emitted.overflows[i].count,
        .nonzero = v->nonzero,
        .max_error = v->copied ? 0 : v->max_e,
        .sqnr_db = v->copied ? INFINITY : report_sqnr_db(v->sum_x2, v->sum_e2),
    };
    if (!row->name || !row->role || !row->scheme || !row->source_scheme)
        return -1;
    if (!t->removed)
        row->bytes = emit_tensor_bytes(t);
    if (t->elements)
        row->bits_per_weight = 8 * (double)row->bytes / (double)t->elements;
    if (v->elements && !v->copied)
        row->mse = v->sum_e2 / (double)v->elements;
    return 0;
}

static void warn_of_tensor(struct run *r, size_t i) {
    const struct emit_overflow *o = &r->emitted.overflows[i];
    struct report *report = r->report;
    const char *name = report->tensors[i].name;
    if (o->count) {
        violations_add(&report->warnings, ERR_MISFIT, "",
                       "%s: %" PRIu64 " finite values do not fit %s, the first at flat index "
                       "%" PRIu64,
                       name, o->count, report->tensors[i].scheme, o->first)
            ->tensor = name;
        progress_logf(r->env->progress, "warning", "%s: %" PRIu64 " values overflow %s", name,
                      o->count, report->tensors[i].scheme);
    }
    if (r->verified.tensors[i].source_infinite)
        violations_add(&report->warnings, ERR_NON_FINITE, "",
                       "%s holds infinities; it was copied as it is", name)
            ->tensor = name;
}

static int copy_warnings(struct run *r) {
    struct violations *to = &r->report->warnings;
    for (size_t i = 0; i < r->plan->warnings.count; i++) {
        const struct violation *from = &r->plan->warnings.items[i];
        struct violation *v = violations_add(to, from->code, from->pointer, "%s", from->detail);
        v->tensor = from->tensor ? arena_strdup(to->arena, from->tensor) : NULL;
        v->group = from->group ? arena_strdup(to->arena, from->group) : NULL;
        v->nearest = from->nearest ? arena_strdup(to->arena, from->nearest) : NULL;
        progress_logf(r->env->progress, "warning", "%s", from->detail);
    }
    return to->count < r->plan->warnings.count ? -1 : 0;
}

static int fill_files(struct run *r) {
    struct report *report = r->report;
    const struct layout *layout = &r->plan->layout;
    const struct resolver *source = r->plan->model->resolver;
    report->files = ARENA_ARRAY(report->arena, struct report_file, layout->count);
    report->inputs = ARENA_ARRAY(report->arena, struct report_file, source->count);
    if (!report->files || !report->inputs)
        return -1;
    for (size_t i = 0; i < layout->count; i++) {
        report->files[i] = (struct report_file){
            .path = arena_strdup(report->arena, layout->files[i].path),
            .bytes = layout->files[i].bytes,
            .sha256 = r->emitted.digests[i],
            .digested = true,
        };
        if (!report->files[i].path)
            return -1;
    }
    for (size_t i = 0; i < source->count; i++) {
        report->inputs[i] = (struct report_file){
            .path = arena_strdup(report->arena, source->files[i].path),
            .bytes = source->files[i].bytes,
        };
        if (!report->inputs[i].path)
            return -1;
        if (r->env->source_digests) {
            report->inputs[i].sha256 = r->env->source_digests[i];
            report->inputs[i].digested = true;
        }
    }
    report->file_count = layout->count;
    report->input_count = source->count;
    return 0;
}

static int fill_tensors(struct run *r) {
    struct report *report = r->report;
    const struct model *model = r->plan->model;
    report->tensors = ARENA_ARRAY(report->arena, struct report_tensor, model->tensor_count);
    if (!report->tensors)
        return -1;
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct report_tensor *row = &report->tensors[i];
        const struct verify_tensor *v = &r->verified.tensors[i];
        if (fill_tensor(r, i, row) < 0)
            return -1;
        report->tensor_count++;
        warn_of_tensor(r, i);
        report->nonzero_before += v->nonzero_before;
        report->nonzero_after += v->nonzero;
        report->parameters_after += v->elements;
        if (v->elements)
            bytes += row->bytes;
        if (!v->copied && row->sqnr_db < report->worst_sqnr_db) {
            report->worst_sqnr_db = row->sqnr_db;
            report->worst_tensor = row->name;
        }
    }
    report->parameters_before = model->parameters;
    if (report->parameters_after)
        report->bits_per_weight = 8 * (double)bytes / (double)report->parameters_after;
    return 0;
}

static int fill_report(struct run *r, struct err *err) {
    struct report *report = r->report;
    const struct plan *plan = r->plan;
    report->bytes_in = plan->bytes_in;
    report->bytes_out = plan->bytes_out;
    report->requantized = plan->model->quantization != NULL;
    report->seed = plan->recipe->seed;
    report->threads = team_threads(r->env->team);
    const char *set = r->env->evaluation_name ? r->env->evaluation_name : plan->measures.dataset;
    report->evaluation_name = set ? arena_strdup(report->arena, set) : NULL;
    report->recipe_name = arena_strdup(report->arena, plan->recipe->name);
    report->recipe_json = arena_strdup(report->arena, plan->recipe->json);
    if (!report->recipe_name || !report->recipe_json || copy_warnings(r) < 0 ||
        fill_tensors(r) < 0 || fill_files(r) < 0)
        return err_set(err, ERR_NO_MEMORY, "no memory for the report");
    return 0;
}

int pipeline_run(struct plan *plan, struct outputs *outputs, const struct pipeline_env *env,
                 struct report **ret, struct err *err) {
    struct run r = {
        .plan = plan,
        .outputs = outputs,
        .env = env,
        .arena = arena_new(LIMIT_MODEL_ARENA_BYTES),
        .report = report_new(),
        .calibrates = plan->calibration != NULL,
    };
    r.stages = 2 + (plan->evaluation || r.calibrates) + (plan->evaluation ? 2 : 0) + r.calibrates;
    int result = -1;
    if (!r.arena || !r.report) {
        err_set(err, ERR_NO_MEMORY, "no memory to start");
        goto out;
    }
    if (prepare(&r, err) < 0 || emit(&r, err) < 0)
        goto out;
    if (env->before_verify)
        env->before_verify(env->before_verify_self);
    if (verify(&r, err) < 0 || (plan->evaluation && evaluate(&r, err) < 0) ||
        fill_report(&r, err) < 0)
        goto out;
    *ret = r.report;
    r.report = NULL;
    result = 0;
out:
    report_free(r.report);
    arena_free(r.arena);
    return result;
}
