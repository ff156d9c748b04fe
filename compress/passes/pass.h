/*
 * The pass table: what a stage of a recipe can do to a model.
 *
 * A pass has parameters (a table: key, kind, range, default, where it lands, doc – read from JSON
 * and printed as JSON Schema by the same walk), a check against the model that collects violations,
 * and an effect. Weight-only passes work in `apply` alone: they set what tensors are wanted as; the
 * bytes move when the artifact is written. (Passes that compute on weights or activations get a
 * `run` beside it.)
 *
 * Threads: tables are constant; parsed parameters are immutable.
 */
#ifndef COMPRESS_PASSES_PASS_H
#define COMPRESS_PASSES_PASS_H

#include "compress/base/jbuf.h"
#include "compress/base/jspec.h"
#include "compress/base/violations.h"
#include "compress/graph/model.h"
#include "compress/passes/selector.h"

enum param_kind {
    PARAM_STRING,    /* const char * */
    PARAM_INT,       /* int64_t */
    PARAM_NUMBER,    /* double */
    PARAM_BOOL,      /* bool */
    PARAM_SCHEME,    /* const struct codec *: one that can encode */
    PARAM_SELECTORS, /* struct selector_list: one selector or an array of them */
    PARAM_RULES,     /* struct param_rules: an array of objects described by `items` */
};

struct pass_param {
    const char *key;
    enum param_kind kind;
    size_t offset; /* of the destination in the struct that is read into */
    bool required;
    double min, max;           /* numbers */
    const char *const *one_of; /* strings: NULL-terminated */
    const char *default_json;  /* NULL when it depends; the doc says on what */
    const char *doc;
    const struct pass_param *items; /* RULES */
    size_t item_count;
    size_t item_bytes; /* of one rule's struct; its first member is struct param_origin */
};

/* Where a stage or rule stands, for what is checked later. First member of every struct that
 * parameters are read into. */
struct param_origin {
    const char *pointer;
    struct json_t *json; /* during parsing only: which keys were given */
};

struct param_rules {
    void *items; /* count × item_bytes */
    size_t count;
};

/* Reads an object by a parameter table into `ret` (zeroed by the caller, in the arena) with
 * defaults filled in. Collects violations; -1 when there were any. Keys in `also` (NULL-terminated,
 * may be NULL) are somebody else's and allowed. */
int pass_read_params(const struct pass_param *params, size_t count, const char *const *also,
                     struct json_t *object, const char *pointer, struct arena *arena,
                     struct violations *list, void *ret);
/* Prints the table as the members of a JSON Schema "properties" object. */
void pass_schema_properties(const struct pass_param *params, size_t count, struct jbuf *out);
/* Prints "required": [...] with the table's required keys, after `first` (may be NULL). */
void pass_schema_required(const struct pass_param *params, size_t count, const char *first,
                          struct jbuf *out);

struct pass {
    const char *name;
    const char *doc;
    const struct pass_param *params;
    size_t param_count;
    /* Parses one stage object into the pass's own struct, in the arena. */
    int (*parse)(struct json_t *stage, const char *pointer, struct arena *arena,
                 struct violations *list, void **ret_params);
    /* Checks against the model and sets the effect. `component` limits it to one component (NULL:
     * all). -1 when it added violations. */
    int (*apply)(const void *params, const char *pointer, struct model *model,
                 const char *component, bool requantize, struct violations *list,
                 struct violations *warnings);
};

const struct pass *pass_at(size_t i); /* NULL past the end */
const struct pass *pass_by_name(const char *name);

#endif
