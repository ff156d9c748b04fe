/* The pass table, and the one reader and printer of parameter tables. */
#include "compress/passes/pass.h"

#include "compress/codecs/codec.h"
#include "compress/passes/pass_quantize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct pass *const table[] = {
    &pass_quantize,
};

const struct pass *pass_at(size_t i) {
    return i < sizeof table / sizeof table[0] ? table[i] : NULL;
}

const struct pass *pass_by_name(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

/* A scheme is a codec that encodes weights: of the plain numbers the three usual floats. */
static bool is_scheme(const struct codec *codec) {
    if (!codec->can_encode)
        return false;
    if (codec->family != CODEC_PLAIN)
        return true;
    enum dtype dtype = dtype_by_name(codec->name);
    return dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

/* ---- reading ---- */

struct reading {
    struct arena *arena;
    struct violations *list;
};

static int out_of_memory(struct violations *list, const char *pointer) {
    violations_add(list, ERR_NO_MEMORY, pointer, "no memory to read the recipe");
    return -1;
}

/* Names of the schemes, NULL-terminated, in the arena. */
static const char **scheme_names(struct arena *arena) {
    size_t count = 0;
    while (codec_at(count))
        count++;
    const char **names = ARENA_ARRAY(arena, const char *, count + 1);
    size_t n = 0;
    for (size_t i = 0; names && i < count; i++)
        if (is_scheme(codec_at(i)))
            names[n++] = codec_at(i)->name;
    return names;
}

static enum jspec_kind kind_in_json(enum param_kind kind) {
    switch (kind) {
    case PARAM_STRING:
    case PARAM_SCHEME:
        return JSPEC_STRING;
    case PARAM_INT:
        return JSPEC_INT;
    case PARAM_NUMBER:
        return JSPEC_NUMBER;
    case PARAM_BOOL:
        return JSPEC_BOOL;
    case PARAM_SELECTORS:
        return JSPEC_ANY;
    case PARAM_RULES:
        break;
    }
    return JSPEC_ARRAY;
}

static int read_selectors(struct reading *r, struct json_t *value, const char *pointer,
                          struct selector_list *ret) {
    bool alone = json_text(value) != NULL;
    if (!alone && !json_is(value, JSPEC_ARRAY)) {
        violations_add(r->list, ERR_BAD_RECIPE, pointer,
                       "must be a selector (a string) or an array of selectors");
        return -1;
    }
    size_t count = alone ? 1 : json_array_len(value);
    if (count > LIMIT_RECIPE_RULES) {
        violations_add(r->list, ERR_TOO_LARGE, pointer, "more than %d selectors",
                       LIMIT_RECIPE_RULES);
        return -1;
    }
    ret->items = ARENA_ARRAY(r->arena, struct selector, count);
    if (!ret->items)
        return out_of_memory(r->list, pointer);
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        const char *at = alone ? pointer : arena_printf(r->arena, "%s/%zu", pointer, i);
        const char *text = json_text(alone ? value : json_array_at(value, i));
        if (!at)
            return out_of_memory(r->list, pointer);
        if (!text) {
            violations_add(r->list, ERR_BAD_RECIPE, at, "must be a selector (a string)");
            result = -1;
        } else if (selector_parse(text, at, r->arena, r->list, &ret->items[ret->count]) < 0) {
            result = -1;
        } else {
            ret->count++;
        }
    }
    return result;
}

static int read_rules(struct reading *r, const struct pass_param *param, struct json_t *array,
                      const char *pointer, struct param_rules *ret) {
    size_t count = json_array_len(array);
    if (count > LIMIT_RECIPE_RULES) {
        violations_add(r->list, ERR_TOO_LARGE, pointer, "more than %d rules", LIMIT_RECIPE_RULES);
        return -1;
    }
    ret->items = arena_calloc(r->arena, count, param->item_bytes);
    if (!ret->items)
        return out_of_memory(r->list, pointer);
    ret->count = count;
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        const char *at = arena_printf(r->arena, "%s/%zu", pointer, i);
        if (!at)
            return out_of_memory(r->list, pointer);
        if (pass_read_params(param->items, param->item_count, NULL, json_array_at(array, i), at,
                             r->arena, r->list, (char *)ret->items + i * param->item_bytes) < 0)
            result = -1;
    }
    return result;
}

/* The default stands in the table as JSON text, so that the schema prints what the reader does. */
static void set_default(const struct pass_param *param, void *dest) {
    const char *text = param->default_json;
    if (!text)
        return;
    switch (param->kind) {
    case PARAM_BOOL:
        *(bool *)dest = strcmp(text, "true") == 0;
        break;
    case PARAM_INT:
        *(int64_t *)dest = strtoll(text, NULL, 10);
        break;
    case PARAM_NUMBER:
        *(double *)dest = strtod(text, NULL);
        break;
    case PARAM_STRING: /* one of the listed words, which are static */
        for (const char *const *word = param->one_of; *word; word++)
            if (strncmp(text + 1, *word, strlen(*word)) == 0 && strlen(text) == strlen(*word) + 2)
                *(const char **)dest = *word;
        break;
    case PARAM_SCHEME:
    case PARAM_SELECTORS:
    case PARAM_RULES:
        break;
    }
}

int pass_read_params(const struct pass_param *params, size_t count, const char *const *also,
                     struct json_t *object, const char *pointer, struct arena *arena,
                     struct violations *list, void *ret) {
    struct reading r = {arena, list};
    size_t extra = 0;
    while (also && also[extra])
        extra++;
    struct jspec *rows = ARENA_ARRAY(arena, struct jspec, count + extra);
    struct json_t **values = ARENA_ARRAY(arena, struct json_t *, count + extra);
    const char **words = ARENA_ARRAY(arena, const char *, count);
    const char **schemes = scheme_names(arena);
    struct param_origin *origin = ret;
    origin->pointer = arena_strdup(arena, pointer);
    origin->json = object;
    if (!rows || !values || !words || !schemes || !origin->pointer)
        return out_of_memory(list, pointer);
    for (size_t i = 0; i < count; i++) {
        const struct pass_param *param = &params[i];
        void *dest = (char *)ret + param->offset;
        set_default(param, dest);
        rows[i] = (struct jspec){
            .key = param->key,
            .kind = kind_in_json(param->kind),
            .dest = dest,
            .required = param->required,
            .min = param->min,
            .max = param->max,
            .one_of = param->kind == PARAM_SCHEME ? schemes : param->one_of,
        };
        if (param->kind == PARAM_SELECTORS || param->kind == PARAM_RULES)
            rows[i].dest = &values[i];
        if (param->kind == PARAM_SCHEME)
            rows[i].dest = &words[i];
    }
    for (size_t i = 0; i < extra; i++)
        rows[count + i] =
            (struct jspec){.key = also[i], .kind = JSPEC_ANY, .dest = &values[count + i]};
    int result = jspec_read(object, pointer, rows, count + extra, ERR_BAD_RECIPE, arena, list);
    for (size_t i = 0; i < count; i++) {
        const struct pass_param *param = &params[i];
        void *dest = (char *)ret + param->offset;
        if (words[i])
            *(const struct codec **)dest = codec_by_name(words[i]);
        if (!values[i])
            continue;
        const char *at = jspec_pointer(pointer, param->key, arena);
        if (!at)
            return out_of_memory(list, pointer);
        int step = param->kind == PARAM_SELECTORS ? read_selectors(&r, values[i], at, dest)
                                                  : read_rules(&r, param, values[i], at, dest);
        if (step < 0)
            result = -1;
    }
    return result;
}

/* ---- printing ---- */

static void print_words(const char *const *words, struct jbuf *out) {
    jbuf_key(out, "enum");
    jbuf_array(out);
    for (; *words; words++)
        jbuf_string(out, *words);
    jbuf_array_end(out);
}

static void print_schemes(struct jbuf *out) {
    jbuf_key(out, "enum");
    jbuf_array(out);
    for (size_t i = 0; codec_at(i); i++)
        if (is_scheme(codec_at(i)))
            jbuf_string(out, codec_at(i)->name);
    jbuf_array_end(out);
}

static void print_range(const struct pass_param *param, struct jbuf *out) {
    if (param->min == 0 && param->max == 0)
        return;
    jbuf_kv_number(out, "minimum", param->min);
    jbuf_kv_number(out, "maximum", param->max);
}

static void print_selectors(struct jbuf *out) {
    char roles[200], one_or_more[600];
    snprintf(
        one_or_more, sizeof one_or_more,
        "[{\"type\":\"string\",\"minLength\":1,\"description\":\"A glob over tensor names, "
        "node:GLOB over the names of the graph's nodes that read a tensor, or role:NAME (%s).\"},"
        "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":1}}]",
        selector_roles(roles, sizeof roles));
    jbuf_kv_raw(out, "anyOf", one_or_more);
}

static void print_rules(const struct pass_param *param, struct jbuf *out) {
    jbuf_kv_string(out, "type", "array");
    jbuf_kv_int(out, "maxItems", LIMIT_RECIPE_RULES);
    jbuf_key(out, "items");
    jbuf_object(out);
    jbuf_kv_string(out, "type", "object");
    jbuf_key(out, "properties");
    jbuf_object(out);
    pass_schema_properties(param->items, param->item_count, out);
    jbuf_object_end(out);
    pass_schema_required(param->items, param->item_count, NULL, out);
    jbuf_kv_bool(out, "additionalProperties", false);
    jbuf_object_end(out);
}

static void print_param(const struct pass_param *param, struct jbuf *out) {
    jbuf_kv_string(out, "description", param->doc);
    switch (param->kind) {
    case PARAM_STRING:
        jbuf_kv_string(out, "type", "string");
        if (param->one_of)
            print_words(param->one_of, out);
        break;
    case PARAM_SCHEME:
        jbuf_kv_string(out, "type", "string");
        print_schemes(out);
        break;
    case PARAM_INT:
        jbuf_kv_string(out, "type", "integer");
        print_range(param, out);
        break;
    case PARAM_NUMBER:
        jbuf_kv_string(out, "type", "number");
        print_range(param, out);
        break;
    case PARAM_BOOL:
        jbuf_kv_string(out, "type", "boolean");
        break;
    case PARAM_SELECTORS:
        print_selectors(out);
        break;
    case PARAM_RULES:
        print_rules(param, out);
        break;
    }
    if (param->default_json)
        jbuf_kv_raw(out, "default", param->default_json);
}

void pass_schema_properties(const struct pass_param *params, size_t count, struct jbuf *out) {
    for (size_t i = 0; i < count; i++) {
        jbuf_key(out, params[i].key);
        jbuf_object(out);
        print_param(&params[i], out);
        jbuf_object_end(out);
    }
}

void pass_schema_required(const struct pass_param *params, size_t count, const char *first,
                          struct jbuf *out) {
    jbuf_key(out, "required");
    jbuf_array(out);
    if (first)
        jbuf_string(out, first);
    for (size_t i = 0; i < count; i++)
        if (params[i].required)
            jbuf_string(out, params[i].key);
    jbuf_array_end(out);
}
