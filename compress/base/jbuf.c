/* JSON by appending. Job views are printed here many thousand times a second, so the paths for
 * plain text and integers are short. */
#include "compress/base/jbuf.h"

#include "compress/base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
