/*
 * quantize: parameters → encodings (once, when the recipe is read), then rules → tensors (against a
 * model). What a scheme accepts, and what it does when nothing is said, is one table.
 */
#include "compress/passes/pass_quantize.h"

#include "compress/base/glob.h"
#include "compress/formats/format.h"
#include "compress/graph/arch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What is asked for the tensors a rule matches. A keep rule and the stage itself are both one. */
struct rule {
    struct param_origin origin;
    struct selector_list match; /* keep only */
    /* as written */
    const struct codec *scheme;
    const char *granularity; /* NULL: the scheme's default; so below */
    int64_t group_size;      /* 0: none given */
    bool symmetric;
    const char *search;
    const char *activations;
    /* as resolved */
    struct encoding encoding; /* what the container prescribes is still open */
    struct encode_options options;
};

struct quantize {
    struct rule rule; /* first: its origin is the stage's */
    struct selector_list targets;
    struct selector_list ignore;
    struct param_rules keep; /* of struct rule */
    bool requantize;
};

static const char *const granularities[] = {"tensor", "channel", "group", NULL};
static const char *const searches[] = {"minmax", "mse", NULL};
static const char *const activations[] = {"none", "dynamic", "static", NULL};

#define RULE(field) offsetof(struct rule, field)
#define STAGE(field) (offsetof(struct quantize, rule) + offsetof(struct rule, field))

/* Bounds of group_size: below 8 the scales outweigh the codes; no row in sight is longer. */
#define GROUP_SIZE_MIN 8
#define GROUP_SIZE_MAX 65536

#define FORMAT_PARAMS(AT)                                                                          \
    {.key = "scheme",                                                                              \
     .kind = PARAM_SCHEME,                                                                         \
     .offset = AT(scheme),                                                                         \
     .required = true,                                                                             \
     .doc = "The number format that weights are stored in."},                                      \
        {.key = "granularity",                                                                     \
         .kind = PARAM_STRING,                                                                     \
         .offset = AT(granularity),                                                                \
         .one_of = granularities,                                                                  \
         .doc = "How many weights share a scale: the whole tensor, an output channel (row) or a "  \
                "group of group_size columns. Integers and fp8 only; default channel, for int4 "   \
                "group."},                                                                         \
        {.key = "group_size",                                                                      \
         .kind = PARAM_INT,                                                                        \
         .offset = AT(group_size),                                                                 \
         .min = GROUP_SIZE_MIN,                                                                    \
         .max = GROUP_SIZE_MAX,                                                                    \
         .doc = "Columns per scale; must divide every row. Default 128 where granularity is "      \
                "group."},                                                                         \
        {.key = "symmetric",                                                                       \
         .kind = PARAM_BOOL,                                                                       \
         .offset = AT(symmetric),                                                                  \
         .default_json = "true",                                                                   \
         .doc = "No zero point. Integers only."},                                                  \
        {.key = "search",                                                                          \
         .kind = PARAM_STRING,                                                                     \
         .offset = AT(search),                                                                     \
         .one_of = searches,                                                                       \
         .doc = "How a scale is found: from the value range, or as the one with the smallest "     \
                "squared error. Integers and fp8 only; default mse for int4, else minmax."},       \
    {                                                                                              \
        .key = "activations", .kind = PARAM_STRING, .offset = AT(activations),                     \
        .one_of = activations,                                                                     \
        .doc = "Whether the runtime quantizes activations too: dynamic, as they come, or static, " \
               "with ranges from the calibration set (ONNX, int8 alone). Default dynamic for "     \
               "fp8_e4m3 (which has no other form), else none; int8 takes both."                   \
    }

static const struct pass_param keep_params[] = {
    {.key = "match",
     .kind = PARAM_SELECTORS,
     .offset = RULE(match),
     .required = true,
     .doc = "The tensors this rule is about."},
    FORMAT_PARAMS(RULE),
};

static const struct pass_param params[] = {
    FORMAT_PARAMS(STAGE),
    {.key = "targets",
     .kind = PARAM_SELECTORS,
     .offset = offsetof(struct quantize, targets),
     .doc = "Only tensors that match one of these are quantized. Default: all that the scheme is "
            "meant for."},
    {.key = "ignore",
     .kind = PARAM_SELECTORS,
     .offset = offsetof(struct quantize, ignore),
     .doc = "Tensors that stay as they are."},
    {.key = "keep",
     .kind = PARAM_RULES,
     .offset = offsetof(struct quantize, keep),
     .doc = "Tensors that get a format of their own; the first rule that matches wins.",
     .items = keep_params,
     .item_count = sizeof keep_params / sizeof keep_params[0],
     .item_bytes = sizeof(struct rule)},
    {.key = "requantize",
     .kind = PARAM_BOOL,
     .offset = offsetof(struct quantize, requantize),
     .default_json = "false",
     .doc = "Accept a source that is already quantized; errors are then measured against its "
            "decoded weights."},
};

#define PARAM_COUNT (sizeof params / sizeof params[0])

/* ---- from parameters to an encoding ---- */

/* What a scheme with a scale accepts and defaults to. Floats and GGUF blocks have no row: they take
 * no further parameters. */
struct scheme {
    const char *name;
    enum granularity granularity;               /* default */
    bool groups;                                /* may have them */
    bool asymmetric;                            /* may be */
    enum scale_search search;                   /* default */
    bool activations_none, activations_dynamic; /* allowed; the first allowed is the default */
};

static const struct scheme schemes[] = {
    {"int8", GRANULARITY_CHANNEL, true, true, SEARCH_MINMAX, true, true},
    {"int4", GRANULARITY_GROUP, true, true, SEARCH_MSE, true, false},
    {"fp8_e4m3", GRANULARITY_CHANNEL, false, false, SEARCH_MINMAX, false, true},
};

#define GROUP_SIZE_DEFAULT 128

static const struct scheme *scheme_of(const struct codec *codec) {
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strcmp(schemes[i].name, codec->name) == 0)
            return &schemes[i];
    return NULL;
}

struct resolving {
    struct rule *rule;
    struct arena *arena;
    struct violations *list;
    int result;
};

static bool given(const struct rule *rule, const char *key) {
    return json_get(rule->origin.json, key) != NULL;
}

static void __attribute__((format(printf, 3, 4)))
refuse(struct resolving *r, const char *key, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *at = jspec_pointer(r->rule->origin.pointer, key, r->arena);
    violations_add(r->list, ERR_BAD_RECIPE, at ? at : r->rule->origin.pointer, "%s", text);
    r->result = -1;
}

/* f32, f16, bf16 and the GGUF blocks: nothing to choose. */
static void resolve_simple(struct resolving *r) {
    static const char *const keys[] = {"granularity", "group_size",  "symmetric",
                                       "search",      "activations", NULL};
    for (const char *const *key = keys; *key; key++)
        if (given(r->rule, *key))
            refuse(r, *key, "does not apply to the scheme %s", r->rule->scheme->name);
    const struct codec *codec = r->rule->scheme;
    r->rule->encoding = codec->family == CODEC_PLAIN ? encoding_plain(dtype_by_name(codec->name))
                                                     : (struct encoding){.codec = codec};
}

static enum granularity granularity_by_name(const char *name) {
    return strcmp(name, "tensor") == 0    ? GRANULARITY_TENSOR
           : strcmp(name, "channel") == 0 ? GRANULARITY_CHANNEL
                                          : GRANULARITY_GROUP;
}

static void resolve_granularity(struct resolving *r, const struct scheme *scheme) {
    struct rule *rule = r->rule;
    struct encoding *e = &rule->encoding;
    if (rule->granularity)
        e->granularity = granularity_by_name(rule->granularity);
    else
        e->granularity = rule->group_size ? GRANULARITY_GROUP : scheme->granularity;
    if (e->granularity != GRANULARITY_GROUP) {
        if (rule->group_size)
            refuse(r, "group_size", "needs \"granularity\": \"group\"");
        return;
    }
    if (!scheme->groups)
        refuse(r, rule->granularity ? "granularity" : "group_size", "%s has no groups",
               scheme->name);
    e->group_len = rule->group_size ? (uint32_t)rule->group_size : GROUP_SIZE_DEFAULT;
}

static void resolve_scaled(struct resolving *r, const struct scheme *scheme) {
    struct rule *rule = r->rule;
    struct encoding *e = &rule->encoding;
    e->codec = rule->scheme;
    resolve_granularity(r, scheme);
    e->symmetric = rule->symmetric;
    if (!rule->symmetric && !scheme->asymmetric)
        refuse(r, "symmetric", "%s is always symmetric", scheme->name);
    e->static_activations = rule->activations && strcmp(rule->activations, "static") == 0;
    if (e->static_activations && strcmp(scheme->name, "int8") != 0)
        refuse(r, "activations", "static activations are for int8 weights alone");
    e->dynamic_activations =
        rule->activations ? strcmp(rule->activations, "dynamic") == 0 : !scheme->activations_none;
    if (e->dynamic_activations && !scheme->activations_dynamic)
        refuse(r, "activations", "no runtime quantizes activations beside %s weights",
               scheme->name);
    if (!e->dynamic_activations && !e->static_activations && !scheme->activations_none)
        refuse(r, "activations", "no runtime loads %s weights without dynamic activations",
               scheme->name);
    /* Packed words are for weights alone; where activations are 8 bit, so are whole-byte codes. */
    e->packing = e->dynamic_activations ? PACKING_BYTES : PACKING_WORDS;
    rule->options.search = !rule->search                      ? scheme->search
                           : strcmp(rule->search, "mse") == 0 ? SEARCH_MSE
                                                              : SEARCH_MINMAX;
}

static int resolve(struct rule *rule, struct arena *arena, struct violations *list) {
    struct resolving r = {rule, arena, list, 0};
    const struct scheme *scheme = scheme_of(rule->scheme);
    if (scheme)
        resolve_scaled(&r, scheme);
    else
        resolve_simple(&r);
    rule->origin.json = NULL; /* the document may be gone from now on */
    return r.result;
}

static struct rule *keep_rule(const struct quantize *q, size_t i) {
    return (struct rule *)q->keep.items + i;
}

static int parse(struct json_t *stage, const char *pointer, struct arena *arena,
                 struct violations *list, void **ret_params) {
    static const char *const also[] = {"pass", NULL};
    struct quantize *q = ARENA_NEW(arena, struct quantize);
    if (!q) {
        violations_add(list, ERR_NO_MEMORY, pointer, "no memory to read the recipe");
        return -1;
    }
    int result = pass_read_params(params, PARAM_COUNT, also, stage, pointer, arena, list, q);
    if (q->rule.scheme && resolve(&q->rule, arena, list) < 0)
        result = -1;
    for (size_t i = 0; i < q->keep.count; i++)
        if (keep_rule(q, i)->scheme && resolve(keep_rule(q, i), arena, list) < 0)
            result = -1;
    *ret_params = q;
    return result;
}

/* ---- from rules to tensors ---- */

struct applying {
    const struct quantize *q;
    struct model *model;
    const char *component; /* NULL: all */
    bool gguf;
    struct violations *list;
    struct violations *warnings;
    size_t changed;
    size_t left; /* that no operator takes in their rule's format */
    const char *first_left;
};

static bool in_component(const struct applying *a, const struct tensor *tensor) {
    return !a->component || strcmp(a->component, tensor->component) == 0;
}

/* Can the container hold the scheme at all? One finding per rule, not per tensor. */
static bool fits_container(struct applying *a, const struct rule *rule) {
    enum codec_family family = rule->scheme->family;
    bool fits = family == CODEC_PLAIN || (family == CODEC_BLOCK) == a->gguf;
    if (a->model->graph && family == CODEC_SCALED)
        fits = false;
    if (rule->encoding.static_activations && !a->model->graph) {
        char at[200];
        snprintf(at, sizeof at, "%s/activations", rule->origin.pointer);
        violations_add(a->list, ERR_MISFIT, at,
                       "static activations need a model that comes with a graph (ONNX)");
        return false;
    }
    if (fits)
        return true;
    char names[300] = "";
    size_t used = 0;
    for (size_t i = 0; codec_at(i); i++) {
        const struct codec *codec = codec_at(i);
        if (codec->can_encode && codec->family != CODEC_PLAIN &&
            (codec->family == CODEC_BLOCK) == a->gguf &&
            !(a->model->graph && codec->family == CODEC_SCALED) && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, ", %s", codec->name);
    }
    char pointer[200];
    snprintf(pointer, sizeof pointer, "%s/scheme", rule->origin.pointer);
    violations_add(a->list, ERR_MISFIT, pointer,
                   "%s cannot be written to %s, which takes f32, f16, bf16%s", rule->scheme->name,
                   a->model->format->writes_as, names);
    return false;
}

/* Two-dimensional tensors of a GGUF that llama.cpp reads as plain floats only. */
static bool gguf_stays_float(const char *name) {
    static const char *const globs[] = {"*_norm.weight", "position_embd*", "token_types*",
                                        "*ffn_gate_inp*"};
    for (size_t i = 0; i < sizeof globs / sizeof globs[0]; i++)
        if (glob_match(globs[i], name))
            return true;
    return false;
}

/* Is the tensor what the scheme is meant for? See the table in the header. */
static bool meant_for(const struct applying *a, const struct tensor *tensor,
                      const struct rule *rule, bool named) {
    const struct encoding *stored = &tensor->stored;
    if (!stored->codec->is_quantized &&
        !(stored->codec->family == CODEC_PLAIN && dtype_row(stored->dtype)->is_float))
        return false;
    if (!a->gguf && rule->scheme->family == CODEC_PLAIN)
        return true;
    if (tensor->elements == 0) /* nothing to encode, and its shape could not be read back */
        return false;
    if (a->model->graph) /* the format asks the operators that read it */
        return tensor->rank >= 2;
    if (tensor->rank != 2 || tensor->role & (ROLE_NORM | ROLE_BIAS))
        return false;
    if (a->gguf)
        return glob_match("*weight", tensor->name) && !gguf_stays_float(tensor->name);
    return named || !(tensor->role & (ROLE_EMBED | ROLE_HEAD));
}

/* The rule that decides about a tensor, or NULL when it stays as it is. */
static const struct rule *rule_for(const struct applying *a, const struct tensor *tensor,
                                   bool *ret_named) {
    *ret_named = false;
    for (size_t i = 0; i < a->q->keep.count; i++) {
        const struct rule *rule = keep_rule(a->q, i);
        const struct selector *by = selector_first(&rule->match, tensor);
        if (by) {
            *ret_named = selector_names(by, tensor);
            return rule;
        }
    }
    if (selector_first(&a->q->ignore, tensor))
        return NULL;
    if (!a->q->targets.count)
        return &a->q->rule;
    const struct selector *by = selector_first(&a->q->targets, tensor);
    if (!by)
        return NULL;
    *ret_named = selector_names(by, tensor);
    return &a->q->rule;
}

/* Sets what one tensor is wanted as. */
static void want(struct applying *a, struct tensor *tensor, const struct rule *rule) {
    struct encoding wanted = rule->encoding;
    const char *key = rule->group_size ? "group_size" : "scheme";
    char pointer[200];
    snprintf(pointer, sizeof pointer, "%s/%s", rule->origin.pointer, key);
    if (a->model->format->adapt(a->model, tensor, &wanted, pointer, a->list) < 0)
        return;
    if (a->model->graph && encoding_equal(&wanted, &tensor->stored) &&
        !encoding_equal(&rule->encoding, &tensor->stored) && a->left++ == 0)
        a->first_left = tensor->name;
    uint64_t rows, cols;
    tensor_matrix(tensor, &wanted, &rows, &cols);
    struct err misfit = ERR_INIT;
    if (encoding_check(&wanted, rows, cols, &misfit) < 0) {
        err_at_tensor(&misfit, tensor->name);
        err_at_pointer(&misfit, "%s", pointer);
        violations_add_err(a->list, &misfit);
        return;
    }
    tensor->wanted = wanted;
    tensor->options = rule->options;
    tensor->decided_by = arena_strdup(a->model->arena, rule->origin.pointer);
    if (!encoding_equal(&tensor->wanted, &tensor->stored))
        a->changed++;
}

static const struct rule *rule_meant_for(const struct applying *a, const struct tensor *tensor) {
    bool named;
    const struct rule *rule = in_component(a, tensor) ? rule_for(a, tensor, &named) : NULL;
    return rule && meant_for(a, tensor, rule, named) ? rule : NULL;
}

#define GROUP_STEP 16 /* what runtimes' kernels like */

/* Tensors of different widths each name a group length that fits them; one recipe needs one that
 * fits all: the largest up to the one asked for that divides the widths' greatest common divisor.
 * `first`: the findings from there on. */
static void agree_on_group(const struct applying *a, const struct rule *rule, size_t first) {
    struct encoding wanted = rule->encoding;
    char pointer[200];
    uint64_t common = 0;
    for (size_t i = 0; i < a->model->tensor_count; i++) {
        uint64_t rows, cols;
        const struct tensor *tensor = &a->model->tensors[i];
        if (rule_meant_for(a, tensor) != rule)
            continue;
        tensor_matrix(tensor, &wanted, &rows, &cols);
        while (cols) { /* Euclid */
            uint64_t rest = common % cols;
            common = cols;
            cols = rest;
        }
    }
    uint64_t best = wanted.group_len / GROUP_STEP * GROUP_STEP;
    while (best && common % best)
        best -= GROUP_STEP;
    if (!common || !best)
        return;
    snprintf(pointer, sizeof pointer, "%s/group_size", rule->origin.pointer);
    for (size_t i = first; i < a->list->count; i++)
        if (strcmp(a->list->items[i].pointer, pointer) == 0)
            a->list->items[i].nearest = arena_printf(a->list->arena, "%" PRIu64, best);
}

static void check_selectors(struct applying *a, const struct selector_list *selectors) {
    for (size_t i = 0; i < selectors->count; i++)
        selector_check(&selectors->items[i], a->model, a->component, a->list, a->warnings);
}

static int apply(const void *stage, const char *pointer, struct model *model, const char *component,
                 bool requantize, struct violations *list, struct violations *warnings) {
    const struct quantize *q = stage;
    struct applying a = {
        .q = q,
        .model = model,
        .component = component,
        .gguf = strcmp(model->format->writes_as, "gguf") == 0,
        .list = list,
        .warnings = warnings,
    };
    size_t before = list->total, kept_before = list->count;
    /* A graph that computes with codes would have to become one of floats first. */
    if (model->quantization && model->graph) {
        violations_add(list, ERR_UNSUPPORTED, pointer,
                       "the model is already quantized (%s): it can be run, measured and copied; "
                       "start from the model in floats to quantize it otherwise",
                       model->quantization);
        return -1;
    }
    if (model->quantization && !requantize && !q->requantize) {
        violations_add(list, ERR_ALREADY_QUANTIZED, pointer,
                       "the model is already quantized (%s); add \"requantize\": true to start "
                       "from its decoded weights",
                       model->quantization);
        return -1;
    }
    bool fits = fits_container(&a, &q->rule);
    bool floats = q->rule.scheme->family == CODEC_PLAIN;
    for (size_t i = 0; i < q->keep.count; i++) {
        fits = fits_container(&a, keep_rule(q, i)) && fits;
        floats = floats && keep_rule(q, i)->scheme->family == CODEC_PLAIN;
        check_selectors(&a, &keep_rule(q, i)->match);
    }
    check_selectors(&a, &q->ignore);
    check_selectors(&a, &q->targets);
    if (model->arch->moe && !floats) {
        violations_add(list, ERR_UNSUPPORTED, pointer,
                       "%s is a mixture of experts; only f32, f16 and bf16 are supported for it",
                       model->architecture);
        return -1;
    }
    for (size_t i = 0; fits && i < model->tensor_count; i++) {
        struct tensor *tensor = &model->tensors[i];
        const struct rule *rule = rule_meant_for(&a, tensor);
        if (rule)
            want(&a, tensor, rule);
    }
    if (list->total != before) {
        for (size_t i = 0; i <= q->keep.count; i++) {
            const struct rule *rule = i ? keep_rule(q, i - 1) : &q->rule;
            if (rule->group_size)
                agree_on_group(&a, rule, kept_before);
        }
        return -1;
    }
    if (a.left)
        violations_add(warnings, ERR_MISFIT, pointer,
                       "%zu tensors stay as they are: no operator that reads them takes the format "
                       "(%s%s)",
                       a.left, a.first_left, a.left > 1 ? " ..." : "");
    if (!a.changed)
        violations_add(warnings, ERR_MISFIT, pointer, "no tensor changes its format");
    return 0;
}

const struct pass pass_quantize = {
    .name = "quantize",
    .doc = "Store weights in another number format, rounded to nearest.",
    .params = params,
    .param_count = PARAM_COUNT,
    .parse = parse,
    .apply = apply,
};
