/*
 * Reading recipes: the frame (stages, parts, output, seed) here, the stages by the pass table.
 */
#include "compress/recipe/recipe.h"

#include "compress/base/limits.h"
#include "compress/base/nearest.h"
#include "compress/exec/metrics.h"
#include "compress/passes/calibrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_MAX 9007199254740991.0 /* 2^53 - 1: what every JSON reader keeps exactly */

static const char *const output_formats[] = {"same", NULL};

struct parsing {
    struct arena *arena;
    struct violations *list;
};

static int no_memory(struct parsing *p, const char *pointer) {
    violations_add(p->list, ERR_NO_MEMORY, pointer, "no memory to read the recipe");
    return -1;
}

static const char *nearest_pass(const char *word) {
    const char *best = NULL;
    for (size_t i = 0; pass_at(i); i++)
        best = nearest_of(word, best, pass_at(i)->name);
    return best;
}

static const char *nearest_preset(const char *word) {
    const char *best = NULL;
    for (size_t i = 0; preset_at(i); i++)
        best = nearest_of(word, best, preset_at(i)->name);
    return best;
}

static int parse_stage(struct parsing *p, struct json_t *stage, const char *pointer,
                       struct recipe_stage *ret) {
    const char *name = json_text(json_get(stage, "pass"));
    if (!json_is(stage, JSPEC_OBJECT) || !name) {
        violations_add(p->list, ERR_BAD_RECIPE, pointer,
                       "a stage must be an object with a \"pass\" (a string)");
        return -1;
    }
    ret->pass = pass_by_name(name);
    ret->pointer = pointer;
    if (!ret->pass) {
        const char *at = jspec_pointer(pointer, "pass", p->arena);
        struct violation *v = violations_add(p->list, ERR_BAD_RECIPE, at ? at : pointer,
                                             "there is no pass called \"%.64s\"", name);
        v->nearest = nearest_pass(name);
        return -1;
    }
    return ret->pass->parse(stage, pointer, p->arena, p->list, &ret->params);
}

static int parse_stages(struct parsing *p, struct json_t *array, const char *pointer,
                        struct recipe *recipe) {
    size_t count = json_array_len(array);
    if (count > LIMIT_RECIPE_STAGES || (count == 0 && !recipe->evaluation.given)) {
        violations_add(p->list, ERR_BAD_RECIPE, pointer,
                       "a recipe has 1 to %d stages, not %zu (none when it has an \"evaluation\")",
                       LIMIT_RECIPE_STAGES, count);
        return -1;
    }
    recipe->stages = ARENA_ARRAY(p->arena, struct recipe_stage, count + 1);
    if (!recipe->stages)
        return no_memory(p, pointer);
    recipe->stage_count = count;
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        const char *at = arena_printf(p->arena, "%s/%zu", pointer, i);
        if (!at)
            return no_memory(p, pointer);
        if (parse_stage(p, json_array_at(array, i), at, &recipe->stages[i]) < 0)
            result = -1;
    }
    return result;
}

static int parse_value(struct parsing *p, struct json_t *value, const char *pointer, bool nested,
                       struct recipe **ret);

struct part_walk {
    struct parsing *p;
    const char *pointer;
    struct recipe *recipe;
    int result;
};

static int parse_part(void *ctx, const char *component, struct json_t *value) {
    struct part_walk *walk = ctx;
    struct recipe_part *part = &walk->recipe->parts[walk->recipe->part_count];
    const char *at = jspec_pointer(walk->pointer, component, walk->p->arena);
    struct recipe *recipe = NULL;
    part->component = arena_strdup(walk->p->arena, component);
    if (!at || !part->component) {
        walk->result = no_memory(walk->p, walk->pointer);
        return 1;
    }
    if (parse_value(walk->p, value, at, true, &recipe) < 0)
        walk->result = -1;
    part->recipe = recipe;
    walk->recipe->part_count++;
    return 0;
}

static int count_key(void *ctx, const char *key, struct json_t *value) {
    (void)key, (void)value;
    ++*(size_t *)ctx;
    return 0;
}

static int parse_parts(struct parsing *p, struct json_t *object, const char *pointer,
                       struct recipe *recipe) {
    size_t count = 0;
    json_each(object, count_key, &count);
    if (count == 0 || count > LIMIT_RECIPE_STAGES) {
        violations_add(p->list, ERR_BAD_RECIPE, pointer, "a recipe has 1 to %d parts, not %zu",
                       LIMIT_RECIPE_STAGES, count);
        return -1;
    }
    recipe->parts = ARENA_ARRAY(p->arena, struct recipe_part, count);
    if (!recipe->parts)
        return no_memory(p, pointer);
    struct part_walk walk = {p, pointer, recipe, 0};
    json_each(object, parse_part, &walk);
    return walk.result;
}

static const char *nearest_metric(const char *word) {
    const char *best = NULL;
    for (size_t i = 0; metric_at(i); i++)
        best = nearest_of(word, best, metric_at(i)->name);
    return best;
}

static void parse_metrics(struct parsing *p, struct json_t *array, const char *pointer,
                          struct recipe_data *ret) {
    size_t count = json_array_len(array);
    if (count == 0 || count > METRIC_COUNT)
        violations_add(p->list, ERR_BAD_RECIPE, pointer, "names 1 to %d metrics, not %zu",
                       METRIC_COUNT, count);
    for (size_t i = 0; i < count && i < METRIC_COUNT; i++) {
        const char *name = json_text(json_array_at(array, i));
        const struct metric *metric = name ? metric_by_name(name) : NULL;
        if (metric) {
            if (!(ret->metrics >> metric->id & 1))
                ret->metric_places[metric->id] = (unsigned char)i;
            ret->metrics |= 1u << metric->id;
            continue;
        }
        const char *at = arena_printf(p->arena, "%s/%zu", pointer, i);
        violations_add(p->list, ERR_BAD_RECIPE, at ? at : pointer,
                       "there is no metric called \"%.64s\"", name ? name : "")
            ->nearest = name ? nearest_metric(name) : NULL;
    }
}

static void parse_evaluation(struct parsing *p, struct json_t *object, const char *pointer,
                             struct recipe_data *ret) {
    struct json_t *metrics = NULL;
    int64_t samples = 0, batch = 0, window = 0, latency_runs = RECIPE_LATENCY_RUNS;
    const struct jspec rows[] = {
        {.key = "dataset", .kind = JSPEC_STRING, .dest = &ret->dataset, .min = 1, .max = 255},
        {.key = "samples", .kind = JSPEC_INT, .dest = &samples, .min = 1, .max = SEED_MAX},
        {.key = "batch", .kind = JSPEC_INT, .dest = &batch, .min = 1, .max = 1 << 20},
        {.key = "window", .kind = JSPEC_INT, .dest = &window, .min = 2, .max = 1 << 24},
        {.key = "metrics", .kind = JSPEC_ARRAY, .dest = &metrics},
        {.key = "latency_runs", .kind = JSPEC_INT, .dest = &latency_runs, .min = 0, .max = 10000},
    };
    jspec_read(object, pointer, rows, sizeof rows / sizeof rows[0], ERR_BAD_RECIPE, p->arena,
               p->list);
    ret->given = true;
    ret->pointer = pointer;
    ret->samples = (uint64_t)samples;
    ret->batch = (uint64_t)batch;
    ret->window = (uint64_t)window;
    ret->latency_runs = (unsigned)latency_runs;
    if (metrics) {
        const char *at = jspec_pointer(pointer, "metrics", p->arena);
        parse_metrics(p, metrics, at ? at : pointer, ret);
    }
}

/* Enough to see the extremes, not so much that it takes longer than the rest. */
enum { CALIBRATION_SAMPLES = 256 };

static void parse_calibration(struct parsing *p, struct json_t *object, const char *pointer,
                              struct recipe_data *ret) {
    const char *const *methods = calibrate_method_names();
    const char *method = methods[CALIBRATE_MINMAX];
    int64_t samples = CALIBRATION_SAMPLES, batch = 0, window = 0;
    const struct jspec rows[] = {
        {.key = "dataset", .kind = JSPEC_STRING, .dest = &ret->dataset, .min = 1, .max = 255},
        {.key = "samples", .kind = JSPEC_INT, .dest = &samples, .min = 1, .max = SEED_MAX},
        {.key = "batch", .kind = JSPEC_INT, .dest = &batch, .min = 1, .max = 1 << 20},
        {.key = "window", .kind = JSPEC_INT, .dest = &window, .min = 2, .max = 1 << 24},
        {.key = "method", .kind = JSPEC_STRING, .dest = &method, .one_of = methods},
    };
    if (object)
        jspec_read(object, pointer, rows, sizeof rows / sizeof rows[0], ERR_BAD_RECIPE, p->arena,
                   p->list);
    ret->given = object != NULL;
    ret->pointer = pointer;
    ret->samples = (uint64_t)samples;
    ret->batch = (uint64_t)batch;
    ret->window = (uint64_t)window;
    ret->method = calibrate_method_by_name(method);
}

static int parse_object(struct parsing *p, struct json_t *object, const char *pointer, bool nested,
                        struct recipe *recipe) {
    struct json_t *stages = NULL, *parts = NULL, *output = NULL;
    struct json_t *calibration = NULL, *evaluation = NULL;
    int64_t seed = 0;
    const struct jspec rows[] = {
        {.key = "stages", .kind = JSPEC_ARRAY, .dest = &stages},
        {.key = "requantize", .kind = JSPEC_BOOL, .dest = &recipe->requantize},
        {.key = "output", .kind = JSPEC_OBJECT, .dest = &output},
        {.key = "calibration", .kind = JSPEC_OBJECT, .dest = &calibration},
        {.key = "evaluation", .kind = JSPEC_OBJECT, .dest = &evaluation},
        {.key = "seed", .kind = JSPEC_INT, .dest = &seed, .min = 0, .max = SEED_MAX},
        {.key = "parts", .kind = JSPEC_OBJECT, .dest = &parts},
    };
    const struct jspec output_rows[] = {
        {.key = "format",
         .kind = JSPEC_STRING,
         .dest = &recipe->output_format,
         .one_of = output_formats},
    };
    /* The last five belong to the whole job, not to a part of it. */
    size_t row_count = sizeof rows / sizeof rows[0] - (nested ? 5 : 0);
    size_t before = p->list->total;
    jspec_read(object, pointer, rows, row_count, ERR_BAD_RECIPE, p->arena, p->list);
    const char *data_at = jspec_pointer(pointer, "calibration", p->arena);
    parse_calibration(p, calibration, data_at ? data_at : pointer, &recipe->calibration);
    data_at = jspec_pointer(pointer, "evaluation", p->arena);
    if (evaluation)
        parse_evaluation(p, evaluation, data_at ? data_at : pointer, &recipe->evaluation);
    if (output) {
        const char *at = jspec_pointer(pointer, "output", p->arena);
        jspec_read(output, at ? at : pointer, output_rows, 1, ERR_BAD_RECIPE, p->arena, p->list);
    }
    const char *at = jspec_pointer(pointer, parts ? "parts" : "stages", p->arena);
    if (!at)
        return no_memory(p, pointer);
    if (stages && parts)
        violations_add(p->list, ERR_BAD_RECIPE, at,
                       "a recipe has either \"stages\" or \"parts\", not both");
    else if (parts)
        parse_parts(p, parts, at, recipe);
    else if (stages)
        parse_stages(p, stages, at, recipe);
    else if (p->list->total == before)
        violations_add(p->list, ERR_BAD_RECIPE, at, "is missing");
    recipe->seed = (uint64_t)seed;
    return p->list->total == before ? 0 : -1;
}

/* An object; its canonical text and digest come from it. */
static int parse_document(struct parsing *p, struct json_t *object, const char *pointer,
                          bool nested, const char *name, struct recipe **ret) {
    struct recipe *recipe = ARENA_NEW(p->arena, struct recipe);
    if (!recipe)
        return no_memory(p, pointer);
    recipe->name = name;
    recipe->output_format = output_formats[0];
    if (parse_object(p, object, pointer, nested, recipe) < 0)
        return -1;
    char *canonical = json_canonical(object);
    recipe->json = canonical ? arena_strdup(p->arena, canonical) : NULL;
    free(canonical);
    if (!recipe->json)
        return no_memory(p, pointer);
    recipe->digest = digest_of(recipe->json, strlen(recipe->json));
    *ret = recipe;
    return 0;
}

static int parse_preset(struct parsing *p, const struct preset *preset, const char *pointer,
                        struct recipe **ret) {
    struct err err = ERR_INIT;
    struct json_t *object;
    if (jspec_parse(preset->json, strlen(preset->json), &object, &err) < 0) {
        violations_add_err(p->list, &err);
        return -1;
    }
    int result = parse_document(p, object, pointer, false, preset->name, ret);
    jspec_free(object);
    return result;
}

static int parse_value(struct parsing *p, struct json_t *value, const char *pointer, bool nested,
                       struct recipe **ret) {
    const char *name = json_text(value);
    if (!name)
        return parse_document(p, value, pointer, nested, "custom", ret);
    const struct preset *preset = preset_by_name(name);
    if (preset)
        return parse_preset(p, preset, pointer, ret);
    struct violation *v = violations_add(p->list, ERR_NOT_FOUND, pointer,
                                         "there is no recipe called \"%.64s\"", name);
    v->nearest = nearest_preset(name);
    return -1;
}

int recipe_from_json(struct json_t *value, const char *pointer, struct arena *arena,
                     struct violations *list, struct recipe **ret, struct err *err) {
    struct parsing p = {arena, list};
    if (parse_value(&p, value, pointer, false, ret) == 0)
        return 0;
    return violations_result(list, err);
}

int recipe_parse(const char *json, size_t len, struct arena *arena, struct violations *list,
                 struct recipe **ret, struct err *err) {
    struct err why = ERR_INIT;
    struct json_t *value;
    if (len > LIMIT_RECIPE_BYTES)
        err_set(&why, ERR_TOO_LARGE, "a recipe has at most %d bytes, not %zu",
                (int)LIMIT_RECIPE_BYTES, len);
    else if (jspec_parse(json, len, &value, &why) == 0) {
        int result = recipe_from_json(value, "", arena, list, ret, err);
        jspec_free(value);
        return result;
    }
    violations_add_err(list, &why);
    return violations_result(list, err);
}

int recipe_preset(const char *name, struct arena *arena, struct recipe **ret, struct err *err) {
    const struct preset *preset = preset_by_name(name);
    if (preset) {
        struct violations list;
        violations_init(&list, arena);
        struct parsing p = {arena, &list};
        return parse_preset(&p, preset, "", ret) == 0 ? 0 : violations_result(&list, err);
    }
    err_set(err, ERR_NOT_FOUND, "there is no recipe called \"%.64s\"", name);
    const char *nearest = nearest_preset(name);
    return nearest ? err_nearest(err, "%s", nearest) : -1;
}

/* ---- schema ---- */

static void schema_stage(const struct pass *pass, struct jbuf *out) {
    jbuf_object(out);
    jbuf_kv_string(out, "type", "object");
    jbuf_kv_string(out, "description", pass->doc);
    jbuf_key(out, "properties");
    jbuf_object(out);
    jbuf_key(out, "pass");
    jbuf_object(out);
    jbuf_kv_string(out, "const", pass->name);
    jbuf_object_end(out);
    pass_schema_properties(pass->params, pass->param_count, out);
    jbuf_object_end(out);
    pass_schema_required(pass->params, pass->param_count, "pass", out);
    jbuf_kv_bool(out, "additionalProperties", false);
    jbuf_object_end(out);
}

static void schema_stages(struct jbuf *out) {
    jbuf_key(out, "stages");
    jbuf_object(out);
    jbuf_kv_string(out, "description", "What is done to the model, in this order.");
    jbuf_kv_string(out, "type", "array");
    jbuf_kv_int(out, "minItems", 0);
    jbuf_kv_int(out, "maxItems", LIMIT_RECIPE_STAGES);
    jbuf_key(out, "items");
    jbuf_object(out);
    jbuf_key(out, "oneOf");
    jbuf_array(out);
    for (size_t i = 0; pass_at(i); i++)
        schema_stage(pass_at(i), out);
    jbuf_array_end(out);
    jbuf_object_end(out);
    jbuf_object_end(out);
    jbuf_kv_raw(out, "requantize",
                "{\"description\":\"Accept a source that is already quantized, in every stage.\","
                "\"type\":\"boolean\",\"default\":false}");
}

static void schema_part(struct jbuf *out) {
    jbuf_object(out);
    jbuf_kv_string(out, "type", "object");
    jbuf_key(out, "properties");
    jbuf_object(out);
    schema_stages(out);
    jbuf_object_end(out);
    jbuf_kv_raw(out, "required", "[\"stages\"]");
    jbuf_kv_bool(out, "additionalProperties", false);
    jbuf_object_end(out);
}

static void schema_presets(struct jbuf *out) {
    jbuf_object(out);
    jbuf_kv_string(out, "description", "A preset by its name.");
    jbuf_key(out, "enum");
    jbuf_array(out);
    for (size_t i = 0; preset_at(i); i++)
        jbuf_string(out, preset_at(i)->name);
    jbuf_array_end(out);
    jbuf_object_end(out);
}

static void schema_number(struct jbuf *out, const char *key, const char *doc, int min,
                          int64_t max) {
    jbuf_key(out, key);
    jbuf_object(out);
    jbuf_kv_string(out, "description", doc);
    jbuf_kv_string(out, "type", "integer");
    jbuf_kv_int(out, "minimum", min);
    jbuf_kv_int(out, "maximum", max);
    jbuf_object_end(out);
}

/* What calibration and evaluation have in common; the object and its properties stay open. */
static void schema_data(struct jbuf *out, const char *key, const char *text, const char *samples) {
    jbuf_key(out, key);
    jbuf_object(out);
    jbuf_kv_string(out, "description", text);
    jbuf_kv_string(out, "type", "object");
    jbuf_key(out, "properties");
    jbuf_object(out);
    jbuf_kv_raw(out, "dataset",
                "{\"description\":\"A dataset by its name; default: the job's.\","
                "\"type\":\"string\",\"minLength\":1,\"maxLength\":255}");
    schema_number(out, "samples", samples, 1, (int64_t)SEED_MAX);
    schema_number(out, "batch", "Samples a batch; default: the graph's own, else 32.", 1, 1 << 20);
    schema_number(out, "window", "Token ids a window; default: the graph's own, else 512.", 2,
                  1 << 24);
}

static void schema_data_end(struct jbuf *out) {
    jbuf_object_end(out);
    jbuf_kv_bool(out, "additionalProperties", false);
    jbuf_object_end(out);
}

static void schema_calibration(struct jbuf *out) {
    schema_data(out, "calibration", "What static activations get their ranges from.",
                "At most so many, chosen by the seed; default: 256.");
    jbuf_key(out, "method");
    jbuf_object(out);
    jbuf_kv_string(out, "description", "How the largest magnitude that has a code is chosen.");
    jbuf_key(out, "enum");
    jbuf_array(out);
    for (const char *const *method = calibrate_method_names(); *method; method++)
        jbuf_string(out, *method);
    jbuf_array_end(out);
    jbuf_kv_string(out, "default", calibrate_method_name(CALIBRATE_MINMAX));
    jbuf_object_end(out);
    schema_data_end(out);
}

static void schema_evaluation(struct jbuf *out) {
    schema_data(out, "evaluation",
                "What original and result are measured on; with it, stages may be empty.",
                "At most so many, chosen by the seed.");
    jbuf_key(out, "metrics");
    jbuf_object(out);
    jbuf_kv_string(out, "description", "Default: all that apply.");
    jbuf_kv_string(out, "type", "array");
    jbuf_kv_int(out, "minItems", 1);
    jbuf_key(out, "items");
    jbuf_object(out);
    jbuf_key(out, "enum");
    jbuf_array(out);
    for (size_t i = 0; metric_at(i); i++)
        jbuf_string(out, metric_at(i)->name);
    jbuf_array_end(out);
    jbuf_object_end(out);
    jbuf_object_end(out);
    schema_number(out, "latency_runs", "Runs to time; default: 30, 0: none.", 0, 10000);
    schema_data_end(out);
}

char *recipe_schema(void) {
    struct jbuf out;
    jbuf_init(&out);
    jbuf_object(&out);
    jbuf_kv_string(&out, "$schema", "https://json-schema.org/draft/2020-12/schema");
    jbuf_kv_string(&out, "title", "compressd recipe");
    jbuf_kv_string(&out, "type", "object");
    jbuf_key(&out, "properties");
    jbuf_object(&out);
    schema_stages(&out);
    jbuf_key(&out, "parts");
    jbuf_object(&out);
    jbuf_kv_string(&out, "description",
                   "Instead of stages, for a folder of several models: one recipe each, by the "
                   "part's name; a part without one is copied.");
    jbuf_kv_string(&out, "type", "object");
    jbuf_kv_int(&out, "minProperties", 1);
    jbuf_kv_int(&out, "maxProperties", LIMIT_RECIPE_STAGES);
    jbuf_key(&out, "additionalProperties");
    jbuf_object(&out);
    jbuf_key(&out, "oneOf");
    jbuf_array(&out);
    schema_presets(&out);
    schema_part(&out);
    jbuf_array_end(&out);
    jbuf_object_end(&out);
    jbuf_object_end(&out);
    jbuf_kv_raw(&out, "output",
                "{\"description\":\"The container that comes out.\",\"type\":\"object\","
                "\"properties\":{\"format\":{\"enum\":[\"same\"],\"default\":\"same\"}},"
                "\"additionalProperties\":false}");
    schema_calibration(&out);
    schema_evaluation(&out);
    jbuf_kv_raw(&out, "seed",
                "{\"description\":\"For whatever a pass draws at random.\",\"type\":\"integer\","
                "\"minimum\":0,\"maximum\":9007199254740991,\"default\":0}");
    jbuf_object_end(&out);
    jbuf_kv_raw(&out, "oneOf", "[{\"required\":[\"stages\"]},{\"required\":[\"parts\"]}]");
    jbuf_kv_bool(&out, "additionalProperties", false);
    jbuf_object_end(&out);
    return jbuf_take(&out, NULL);
}
