/*
 * The pass table: what a stage of a recipe can do to a model.
 *
 * A pass has parameters (a table: key, kind, range, default, doc – printed as JSON Schema), a check
 * against the model that collects violations, and an effect. Weight-only passes work in `apply`
 * alone: they set what tensors are wanted as; the bytes move when the artifact is written. (Passes
 * that compute on weights or activations get a `run` beside it.)
 */
#ifndef COMPRESS_PASSES_PASS_H
#define COMPRESS_PASSES_PASS_H

#include "compress/base/jspec.h"
#include "compress/base/violations.h"
#include "compress/graph/model.h"

enum param_kind { PARAM_STRING, PARAM_INT, PARAM_NUMBER, PARAM_BOOL, PARAM_SELECTORS, PARAM_KEEP };

struct pass_param {
    const char *key;
    enum param_kind kind;
    double min, max;           /* numbers */
    const char *const *one_of; /* strings */
    const char *default_json;  /* "null" when it depends */
    const char *doc;
};

struct pass {
    const char *name;
    const char *doc;
    const struct pass_param *params;
    size_t param_count;
    /* Parses one stage object into the pass's own struct, in the arena. */
    int (*parse)(struct json_t *stage, const char *pointer, struct arena *arena,
                 struct violations *list, void **ret_params);
    /* Checks against the model and sets the effect. `component` limits it to one component (NULL:
     * all).
     */
    int (*apply)(const void *params, const char *pointer, struct model *model,
                 const char *component, bool requantize, struct violations *list,
                 struct violations *warnings);
};

const struct pass *pass_at(size_t i);
const struct pass *pass_by_name(const char *name);

#endif
