/*
 * A recipe: JSON in, a checked list of stages out.
 *
 * Parsing knows the recipe language and the pass table, not the model; what depends on the model is
 * the plan's business (plan.h). All findings are collected as violations with JSON pointers.
 *
 *   {"stages": [{"pass": "quantize", "scheme": "int8", "keep": [...], "ignore": [...],
 *                "targets": [...]}],
 *    "output": {"format": "same"}, "seed": 0, "requantize": false}
 *
 * or, for a folder of several models,
 *
 *   {"parts": {"unet": <recipe or preset name>, "vae": ...}}
 *
 * "calibration" and "evaluation" say which data a pass looks at and which the result is measured on
 * (quantize with static activations looks at the first):
 *
 *   "calibration": {"dataset": "digits", "samples": 256, "batch": 32, "method": "percentile"},
 *   "evaluation": {"dataset": "digits-test", "metrics": ["accuracy", "kl"], "samples": 1000,
 *                  "batch": 32, "window": 512, "latency_runs": 30}
 *
 * A dataset that is left out is the job's. With an evaluation the stages may be an empty list: the
 * model is only measured.
 *
 * `requantize` may stand at the top (for all stages) or in a quantize stage. Owns: all lives in the
 * arena. Threads: immutable after parsing.
 */
#ifndef COMPRESS_RECIPE_RECIPE_H
#define COMPRESS_RECIPE_RECIPE_H

#include "compress/base/arena.h"
#include "compress/base/digest.h"
#include "compress/base/violations.h"
#include "compress/exec/metrics.h"
#include "compress/passes/pass.h"

struct json_t;

struct recipe_stage {
    const struct pass *pass;
    void *params;        /* the pass's own struct, parsed and range-checked */
    const char *pointer; /* "/stages/0" */
};

struct recipe_part {
    const char *component;       /* "unet" */
    const struct recipe *recipe; /* without parts of its own */
};

/* Runs to time where a recipe does not say. */
enum { RECIPE_LATENCY_RUNS = 30 };

/* Which data, and how much of it. */
struct recipe_data {
    bool given;          /* the key stands in the recipe */
    const char *pointer; /* "/evaluation", or where it stands in a body; NULL when not given */
    const char *dataset; /* NULL: the job's */
    uint64_t samples;    /* 0: all */
    uint64_t batch;      /* 0: the graph's own, else 32 */
    uint64_t window;     /* token ids; 0: the graph's own, else 512 */
    unsigned metrics;    /* bits 1 << metric_id; 0: all that apply */
    unsigned char metric_places[METRIC_COUNT]; /* where in the recipe's list each was asked for */
    unsigned latency_runs;
    int method; /* of calibration: enum calibrate_method */
};

struct recipe {
    const char *name;     /* preset name, or "custom" */
    const char *json;     /* canonical text of what was parsed */
    struct digest digest; /* of `json` */
    struct recipe_stage *stages;
    size_t stage_count;
    struct recipe_part *parts; /* instead of stages */
    size_t part_count;
    struct recipe_data calibration, evaluation;
    uint64_t seed;
    bool requantize;
    const char *output_format; /* "same" */
};

/* From a JSON document. -1: err says why, `list` has every finding. */
int recipe_parse(const char *json, size_t len, struct arena *arena, struct violations *list,
                 struct recipe **ret, struct err *err);
/* From an already parsed value: an object, or a string naming a preset. `pointer` is where it
 * stands in the body ("/recipe"). */
int recipe_from_json(struct json_t *value, const char *pointer, struct arena *arena,
                     struct violations *list, struct recipe **ret, struct err *err);
/* A built-in preset. ERR_NOT_FOUND names the nearest. */
int recipe_preset(const char *name, struct arena *arena, struct recipe **ret, struct err *err);

/* The preset table. */
struct preset {
    const char *name;
    const char *summary;
    const char *json;      /* a recipe object */
    double expected_ratio; /* original 16-bit bytes ÷ result, for a large model */
    const char *reads;     /* "safetensors, pytorch" or "gguf": which containers it fits */
};
const struct preset *preset_at(size_t i);
const struct preset *preset_by_name(const char *name);

/* JSON Schema (2020-12) of the whole recipe language, printed from the pass table. malloc'd. */
char *recipe_schema(void);

#endif
