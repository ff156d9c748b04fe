/*
 * JSON, read by tables and written by appending.
 *
 * One file because reader and writer share the pointer, text and number rules of RFC 8259 and RFC
 * 6901. First part: the reader over jansson. Second part: struct jbuf, which knows no jansson; job
 * views are printed through it many thousand times a second, so its paths for plain text and
 * integers are short.
 */
#include "compress/base/jspec.h"

#include "compress/base/limits.h"
#include "compress/base/nearest.h"
#include "compress/base/utf8.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

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

/* ---- writing ---- */

#define JBUF_FIRST_BYTES 512

void jbuf_init(struct jbuf *b) {
    *b = (struct jbuf){0};
}

void jbuf_free(struct jbuf *b) {
    free(b->text);
    jbuf_init(b);
}

/* Room for `more` bytes and a NUL. */
static bool reserve(struct jbuf *b, size_t more) {
    size_t want;
    if (b->failed || __builtin_add_overflow(b->len, more, &want) || want >= SIZE_MAX / 2)
        goto fail;
    if (want < b->capacity)
        return true;
    size_t grown = b->capacity ? b->capacity * 2 : JBUF_FIRST_BYTES;
    while (grown <= want)
        grown *= 2;
    char *text = realloc(b->text, grown);
    if (!text)
        goto fail;
    b->text = text;
    b->capacity = grown;
    return true;

fail:
    b->failed = true;
    return false;
}

static void put(struct jbuf *b, const char *text, size_t len) {
    if (!reserve(b, len))
        return;
    memcpy(b->text + b->len, text, len);
    b->len += len;
}

char *jbuf_take(struct jbuf *b, size_t *ret_len) {
    char *text = NULL;
    if (reserve(b, 0)) {
        b->text[b->len] = 0;
        text = b->text;
        if (ret_len)
            *ret_len = b->len;
        b->text = NULL;
    }
    jbuf_free(b);
    return text;
}

/* A value begins: what stands before it on the same level wants a comma. */
static void begin(struct jbuf *b) {
    if (b->need_comma)
        put(b, ",", 1);
    b->need_comma = true;
}

static void open_with(struct jbuf *b, const char *bracket) {
    begin(b);
    put(b, bracket, 1);
    b->need_comma = false;
}

static void close_with(struct jbuf *b, const char *bracket) {
    put(b, bracket, 1);
    b->need_comma = true;
}

void jbuf_object(struct jbuf *b) {
    open_with(b, "{");
}

void jbuf_object_end(struct jbuf *b) {
    close_with(b, "}");
}

void jbuf_array(struct jbuf *b) {
    open_with(b, "[");
}

void jbuf_array_end(struct jbuf *b) {
    close_with(b, "]");
}

/* Bytes that stand for themselves in a JSON string. */
static bool plain(unsigned char c) {
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void put_escaped(struct jbuf *b, unsigned char c) {
    static const char digits[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    size_t len = 2;
    switch (c) {
    case '"':
    case '\\':
        text[1] = (char)c;
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    default:
        len = 6;
    }
    put(b, text, len);
}

static void put_quoted(struct jbuf *b, const char *text) {
    size_t len = strlen(text);
    if (!reserve(b, len + 2))
        return;
    b->text[b->len++] = '"';
    for (size_t i = 0; i < len;) {
        size_t run = i;
        while (run < len && plain((unsigned char)text[run]))
            run++;
        put(b, text + i, run - i);
        i = run;
        if (i == len)
            break;
        unsigned char c = (unsigned char)text[i];
        unsigned n = utf8_len(text + i, len - i);
        if (n > 1)
            put(b, text + i, n);
        else if (n == 1)
            put_escaped(b, c);
        else
            put(b, "\xef\xbf\xbd", 3); /* U+FFFD for a byte that belongs to nothing */
        i += n ? n : 1;
    }
    put(b, "\"", 1);
}

void jbuf_key(struct jbuf *b, const char *key) {
    begin(b);
    put_quoted(b, key);
    put(b, ":", 1);
    b->need_comma = false;
}

void jbuf_string(struct jbuf *b, const char *text) {
    begin(b);
    if (text)
        put_quoted(b, text);
    else
        put(b, "null", 4);
}

void jbuf_stringf(struct jbuf *b, const char *format, ...) {
    char small[256];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof small) {
        jbuf_string(b, small);
    } else {
        char *text = len < 0 ? NULL : malloc((size_t)len + 1);
        if (text) {
            vsnprintf(text, (size_t)len + 1, format, again);
            jbuf_string(b, text);
            free(text);
        } else {
            b->failed = true;
        }
    }
    va_end(again);
}

static void put_uint(struct jbuf *b, uint64_t value, bool negative) {
    char text[21]; /* 20 digits and a sign */
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    if (negative)
        text[--at] = '-';
    put(b, text + at, sizeof text - at);
}

void jbuf_uint(struct jbuf *b, uint64_t value) {
    begin(b);
    put_uint(b, value, false);
}

void jbuf_int(struct jbuf *b, int64_t value) {
    begin(b);
    put_uint(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

/* 17 significant digits always come back as the same double; most need 15 or 16. printf() and
 * strtod() agree on the locale's decimal point, which may be several bytes long and is replaced
 * afterwards. */
static void put_real(struct jbuf *b, double value) {
    char text[48];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    size_t len = strlen(text);
    size_t before = strspn(text, "+-0123456789e");
    size_t after = len;
    while (after > before && strchr("+-0123456789e", text[after - 1]))
        after--;
    put(b, text, before);
    if (before < len) {
        put(b, ".", 1);
        put(b, text + after, len - after);
    }
}

void jbuf_number(struct jbuf *b, double value) {
    begin(b);
    if (!isfinite(value)) {
        put(b, "null", 4);
    } else if (fabs(value) < 1e15 && value == trunc(value) && (value != 0 || !signbit(value))) {
        put_uint(b, (uint64_t)fabs(value), value < 0);
    } else {
        put_real(b, value);
    }
}

void jbuf_bool(struct jbuf *b, bool value) {
    begin(b);
    put(b, value ? "true" : "false", value ? 4 : 5);
}

void jbuf_null(struct jbuf *b) {
    begin(b);
    put(b, "null", 4);
}

void jbuf_raw(struct jbuf *b, const char *json, size_t len) {
    begin(b);
    put(b, json, len);
}

void jbuf_kv_string(struct jbuf *b, const char *key, const char *text) {
    jbuf_key(b, key);
    jbuf_string(b, text);
}

void jbuf_kv_int(struct jbuf *b, const char *key, int64_t value) {
    jbuf_key(b, key);
    jbuf_int(b, value);
}

void jbuf_kv_uint(struct jbuf *b, const char *key, uint64_t value) {
    jbuf_key(b, key);
    jbuf_uint(b, value);
}

void jbuf_kv_number(struct jbuf *b, const char *key, double value) {
    jbuf_key(b, key);
    jbuf_number(b, value);
}

void jbuf_kv_bool(struct jbuf *b, const char *key, bool value) {
    jbuf_key(b, key);
    jbuf_bool(b, value);
}

void jbuf_kv_raw(struct jbuf *b, const char *key, const char *json) {
    jbuf_key(b, key);
    if (json)
        jbuf_raw(b, json, strlen(json));
    else
        jbuf_null(b);
}

static void kv_if(struct jbuf *b, const char *key, const char *text) {
    if (text)
        jbuf_kv_string(b, key, text);
}

void jbuf_violations(struct jbuf *b, const struct violations *list) {
    jbuf_array(b);
    for (size_t i = 0; i < list->count; i++) {
        const struct violation *v = &list->items[i];
        jbuf_object(b);
        jbuf_kv_string(b, "pointer", v->pointer);
        jbuf_kv_string(b, "detail", v->detail);
        kv_if(b, "tensor", v->tensor);
        kv_if(b, "file", v->file);
        if (v->offset != ERR_NO_OFFSET)
            jbuf_kv_uint(b, "offset", v->offset);
        kv_if(b, "group", v->group);
        kv_if(b, "nearest", v->nearest);
        jbuf_object_end(b);
    }
    jbuf_array_end(b);
}
