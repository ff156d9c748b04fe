/* JSON read by tables, over jansson. Pointers are RFC 6901, texts RFC 8259. */
#include "compress/base/jspec.h"

#include "compress/base/limits.h"
#include "compress/base/nearest.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct position {
    size_t at;
    unsigned line, column;
};

/* Where nesting first exceeds the ceiling, before jansson recurses over it. Brackets inside strings
 * do not count; a malformed text is jansson's to refuse. */
static bool too_deep(const char *text, size_t len, struct position *ret) {
    unsigned depth = 0;
    bool in_string = false;
    struct position p = {0, 1, 1};
    for (; p.at < len; p.at++, p.column++) {
        char c = text[p.at];
        if (c == '\n') {
            p.line++;
            p.column = 0;
        } else if (in_string) {
            if (c == '\\' && p.at + 1 < len && text[p.at + 1] != '\n') {
                p.at++;
                p.column++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if ((c == '{' || c == '[') && ++depth > LIMIT_JSON_DEPTH) {
            *ret = p;
            return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

int jspec_parse(const char *text, size_t len, struct json_t **ret, struct err *err) {
    struct position deep;
    if (too_deep(text, len, &deep)) {
        err_set(err, ERR_BAD_JSON, "line %u column %u (byte %zu): nested deeper than %d levels",
                deep.line, deep.column, deep.at, LIMIT_JSON_DEPTH);
        return err_at_file(err, NULL, deep.at);
    }
    json_error_t why;
    struct json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (value) {
        *ret = value;
        return 0;
    }
    /* Where memory runs out jansson often says nothing at all. */
    if (!why.text[0] || json_error_code(&why) == json_error_out_of_memory)
        return err_set(err, ERR_NO_MEMORY, "no memory to parse %zu bytes of JSON", len);
    int at = why.position > 0 ? why.position : 0;
    err_set(err, ERR_BAD_JSON, "line %d column %d (byte %d): %s", why.line > 0 ? why.line : 1,
            why.column > 0 ? why.column : 0, at, why.text);
    return err_at_file(err, NULL, (uint64_t)at);
}

void jspec_free(struct json_t *value) {
    json_decref(value);
}

char *jspec_pointer(const char *pointer, const char *key, struct arena *arena) {
    size_t more = 1;
    for (const char *k = key; *k; k++)
        more += *k == '~' || *k == '/' ? 2 : 1;
    size_t base = strlen(pointer);
    char *joined = arena_alloc(arena, base + more + 1);
    if (!joined)
        return NULL;
    memcpy(joined, pointer, base);
    char *at = joined + base;
    *at++ = '/';
    for (const char *k = key; *k; k++) {
        if (*k == '~' || *k == '/') {
            *at++ = '~';
            *at++ = *k == '~' ? '0' : '1';
        } else {
            *at++ = *k;
        }
    }
    return joined;
}

/* jansson's iterators take a non-const object and only read it. */
static struct json_t *unconst(const struct json_t *value) {
    union {
        const struct json_t *in;
        struct json_t *out;
    } u = {value};
    return u.out;
}

static const char *type_name(const struct json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

struct reading {
    const char *pointer;
    const struct jspec *rows;
    size_t count;
    enum err_code code;
    struct arena *arena;
    struct violations *list;
};

static struct violation *complain(struct reading *r, const char *key, const char *detail) {
    const char *pointer = jspec_pointer(r->pointer, key, r->arena);
    return violations_add(r->list, r->code, pointer ? pointer : r->pointer, "%s", detail);
}

static void complain_unknown(struct reading *r, const char *key) {
    const char *meant = NULL;
    for (size_t i = 0; i < r->count; i++)
        meant = nearest_of(key, meant, r->rows[i].key);
    char detail[256];
    if (meant)
        snprintf(detail, sizeof detail, "unknown key; did you mean \"%s\"?", meant);
    else
        snprintf(detail, sizeof detail, "unknown key");
    complain(r, key, detail)->nearest = meant;
}

static void complain_type(struct reading *r, const char *key, const char *wanted,
                          const struct json_t *value) {
    char detail[128];
    snprintf(detail, sizeof detail, "must be %s, not %s", wanted, type_name(value));
    complain(r, key, detail);
}

static const char *number_text(struct arena *arena, double value) {
    char text[40];
    snprintf(text, sizeof text, "%.15g", value);
    return arena_strdup(arena, text);
}

static bool in_range(struct reading *r, const struct jspec *row, double value) {
    if (row->min == 0 && row->max == 0)
        return true;
    if (value >= row->min && value <= row->max)
        return true;
    char detail[128];
    snprintf(detail, sizeof detail, "must be between %.15g and %.15g", row->min, row->max);
    struct violation *violation = complain(r, row->key, detail);
    violation->nearest = number_text(r->list->arena, value < row->min ? row->min : row->max);
    return false;
}

static bool one_of(struct reading *r, const struct jspec *row, const char *text) {
    if (!row->one_of)
        return true;
    char detail[400] = "must be one of";
    size_t used = strlen(detail);
    const char *meant = NULL;
    for (const char *const *allowed = row->one_of; *allowed; allowed++) {
        if (strcmp(text, *allowed) == 0)
            return true;
        meant = nearest_of(text, meant, *allowed);
        int n = snprintf(detail + used, sizeof detail - used, "%s \"%s\"",
                         allowed == row->one_of ? "" : ",", *allowed);
        used += (size_t)n < sizeof detail - used ? (size_t)n : 0;
    }
    complain(r, row->key, detail)->nearest = meant;
    return false;
}

static bool length_ok(struct reading *r, const struct jspec *row, size_t len) {
    if ((row->min == 0 && row->max == 0) || ((double)len >= row->min && (double)len <= row->max))
        return true;
    char detail[128];
    snprintf(detail, sizeof detail, "must have %.15g to %.15g bytes", row->min, row->max);
    complain(r, row->key, detail);
    return false;
}

static void read_string(struct reading *r, const struct jspec *row, struct json_t *value) {
    const char *text = json_string_value(value);
    if (!text) {
        complain_type(r, row->key, "a string", value);
        return;
    }
    if (!length_ok(r, row, json_string_length(value)) || !one_of(r, row, text))
        return;
    char *copy = arena_strndup(r->arena, text, json_string_length(value));
    if (copy)
        *(const char **)row->dest = copy;
    else
        violations_add(r->list, ERR_NO_MEMORY, r->pointer, "no memory for a string");
}

static void read_int(struct reading *r, const struct jspec *row, struct json_t *value) {
    int64_t number;
    if (!json_int(value, &number))
        complain_type(r, row->key, "an integer", value);
    else if (in_range(r, row, (double)number))
        *(int64_t *)row->dest = number;
}

static void read_number(struct reading *r, const struct jspec *row, struct json_t *value) {
    double number;
    if (!json_number(value, &number))
        complain_type(r, row->key, "a number", value);
    else if (in_range(r, row, number))
        *(double *)row->dest = number;
}

static void read_row(struct reading *r, const struct jspec *row, struct json_t *value) {
    switch (row->kind) {
    case JSPEC_STRING:
        read_string(r, row, value);
        break;
    case JSPEC_INT:
        read_int(r, row, value);
        break;
    case JSPEC_NUMBER:
        read_number(r, row, value);
        break;
    case JSPEC_BOOL:
        if (json_is_boolean(value))
            *(bool *)row->dest = json_is_true(value);
        else
            complain_type(r, row->key, "true or false", value);
        break;
    case JSPEC_OBJECT:
    case JSPEC_ARRAY:
        if (json_is(value, row->kind))
            *(struct json_t **)row->dest = value;
        else
            complain_type(r, row->key, row->kind == JSPEC_OBJECT ? "an object" : "an array", value);
        break;
    case JSPEC_ANY:
        *(struct json_t **)row->dest = value;
        break;
    }
}

static bool known(const struct reading *r, const char *key) {
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->rows[i].key, key) == 0)
            return true;
    return false;
}

int jspec_read(struct json_t *object, const char *pointer, const struct jspec *rows, size_t count,
               enum err_code code, struct arena *arena, struct violations *list) {
    struct reading r = {pointer, rows, count, code, arena, list};
    size_t before = list->total;
    if (!json_is_object(object)) {
        violations_add(list, code, pointer, "must be an object, not %s",
                       object ? type_name(object) : "nothing");
        return -1;
    }
    const char *key;
    struct json_t *value;
    json_object_foreach(object, key, value) {
        if (!known(&r, key))
            complain_unknown(&r, key);
    }
    for (size_t i = 0; i < count; i++) {
        value = json_object_get(object, rows[i].key);
        if (rows[i].ret_present)
            *rows[i].ret_present = value != NULL;
        if (value)
            read_row(&r, &rows[i], value);
        else if (rows[i].required)
            complain(&r, rows[i].key, "is missing");
    }
    return list->total == before ? 0 : -1;
}

bool json_is(const struct json_t *value, enum jspec_kind kind) {
    int64_t i;
    switch (kind) {
    case JSPEC_STRING:
        return json_is_string(value);
    case JSPEC_INT:
        return json_int(value, &i);
    case JSPEC_NUMBER:
        return json_is_number(value);
    case JSPEC_BOOL:
        return json_is_boolean(value);
    case JSPEC_OBJECT:
        return json_is_object(value);
    case JSPEC_ARRAY:
        return json_is_array(value);
    case JSPEC_ANY:
        return value != NULL;
    }
    return false;
}

size_t json_array_len(const struct json_t *array) {
    return json_array_size(array);
}

struct json_t *json_array_at(const struct json_t *array, size_t i) {
    return json_array_get(array, i);
}

struct json_t *json_get(const struct json_t *object, const char *key) {
    return json_object_get(object, key);
}

const char *json_text(const struct json_t *value) {
    return json_string_value(value);
}

/* 4.0 is an integer too, as far as a double counts without gaps: many a client has only one kind of
 * number. */
bool json_int(const struct json_t *value, int64_t *ret) {
    if (json_is_integer(value)) {
        *ret = json_integer_value(value);
        return true;
    }
    double real = json_is_real(value) ? json_real_value(value) : NAN;
    if (!(fabs(real) <= 9007199254740992.0) || real != trunc(real)) /* 2^53 */
        return false;
    *ret = (int64_t)real;
    return true;
}

bool json_number(const struct json_t *value, double *ret) {
    if (!json_is_number(value))
        return false;
    *ret = json_number_value(value);
    return true;
}

bool json_bool(const struct json_t *value, bool *ret) {
    if (!json_is_boolean(value))
        return false;
    *ret = json_is_true(value);
    return true;
}

int json_each(const struct json_t *object,
              int (*fn)(void *ctx, const char *key, struct json_t *value), void *ctx) {
    const char *key;
    struct json_t *value;
    json_object_foreach(unconst(object), key, value) {
        int result = fn(ctx, key, value);
        if (result)
            return result;
    }
    return 0;
}

char *json_canonical(const struct json_t *value) {
    return json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
}

char *json_pretty(const struct json_t *value) {
    return json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
}
