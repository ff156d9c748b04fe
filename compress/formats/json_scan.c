/*
 * The scanner keeps a position and a depth, nothing else. Recursion happens in json_scan_skip()
 * alone, whose depth is capped.
 */
#include "compress/formats/json_scan.h"

#include "compress/base/limits.h"
#include "compress/base/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void skip_space(struct json_scan *s);
static int next_item(struct json_scan *s, char close, struct err *err);
static int take_number(struct json_scan *s, struct err *err);
static int take_escape(struct json_scan *s, uint32_t *ret, struct err *err);
static int take_hex4(struct json_scan *s, uint32_t *ret, struct err *err);
static size_t put_utf8(uint32_t code, char *to);

struct json_scan json_scan_over(const char *text, size_t len, const char *file,
                                uint64_t base_offset) {
    return (struct json_scan){.text = text, .len = len, .file = file, .base_offset = base_offset};
}

int json_scan_fail(const struct json_scan *s, struct err *err, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(err, ERR_BAD_MODEL, "%s: %s at offset %zu", s->file, text,
            (size_t)(s->base_offset + s->at));
    return err_at_file(err, s->file, s->base_offset + s->at);
}

int json_scan_kind(struct json_scan *s, enum json_kind *ret, struct err *err) {
    static const struct {
        const char *word;
        enum json_kind kind;
    } words[] = {{"true", JSON_KIND_TRUE}, {"false", JSON_KIND_FALSE}, {"null", JSON_KIND_NULL}};
    skip_space(s);
    if (s->at == s->len)
        return json_scan_fail(s, err, "the JSON text ends too early");
    char c = s->text[s->at];
    if (c == '{')
        *ret = JSON_KIND_OBJECT;
    else if (c == '[')
        *ret = JSON_KIND_ARRAY;
    else if (c == '"')
        *ret = JSON_KIND_STRING;
    else if (c == '-' || (c >= '0' && c <= '9'))
        *ret = JSON_KIND_NUMBER;
    else {
        for (size_t i = 0; i < 3; i++) {
            size_t n = strlen(words[i].word);
            if (s->len - s->at >= n && memcmp(s->text + s->at, words[i].word, n) == 0) {
                *ret = words[i].kind;
                return 0;
            }
        }
        return json_scan_fail(s, err, "a JSON value was expected");
    }
    return 0;
}

int json_scan_enter(struct json_scan *s, char open, struct err *err) {
    skip_space(s);
    if (s->at == s->len || s->text[s->at] != open)
        return json_scan_fail(s, err, "'%c' was expected", open);
    if (s->depth == LIMIT_JSON_DEPTH)
        return json_scan_fail(s, err, "JSON nested deeper than %d", LIMIT_JSON_DEPTH);
    s->depth++;
    s->at++;
    return 0;
}

int json_scan_member(struct json_scan *s, struct arena *arena, const char **ret_key,
                     struct err *err) {
    int more = next_item(s, '}', err);
    if (more <= 0)
        return more;
    skip_space(s);
    s->key_at = s->at;
    if (json_scan_string(s, arena, ret_key, err) < 0)
        return -1;
    skip_space(s);
    if (s->at == s->len || s->text[s->at] != ':')
        return json_scan_fail(s, err, "':' was expected behind a key");
    s->at++;
    return 1;
}

int json_scan_element(struct json_scan *s, struct err *err) {
    return next_item(s, ']', err);
}

int json_scan_string(struct json_scan *s, struct arena *arena, const char **ret, struct err *err) {
    skip_space(s);
    if (s->at == s->len || s->text[s->at] != '"')
        return json_scan_fail(s, err, "a string was expected");
    /* Unescaped text is never longer than the escaped one: find the closing quote first. */
    size_t from = s->at + 1, end = from;
    while (end < s->len && s->text[end] != '"')
        end += s->text[end] == '\\' ? 2 : 1;
    if (end >= s->len) {
        s->at = s->len;
        return json_scan_fail(s, err, "a string has no end");
    }
    char *to = NULL;
    if (arena) {
        to = (char *)arena_alloc(arena, end - from + 1);
        if (!to)
            return err_set(err, ERR_NO_MEMORY, "%s: its names need too much memory", s->file);
    }
    size_t len = 0;
    for (s->at = from; s->at < end;) {
        unsigned char c = (unsigned char)s->text[s->at];
        char bytes[4];
        size_t n;
        if (c == '\\') {
            uint32_t code = 0;
            if (take_escape(s, &code, err) < 0)
                return -1;
            n = put_utf8(code, bytes);
        } else {
            n = c < 0x20 ? 0 : utf8_len(s->text + s->at, end - s->at);
            if (n == 0)
                return json_scan_fail(s, err, "a string holds %s",
                                      c < 0x20 ? "a control byte" : "invalid UTF-8");
            memcpy(bytes, s->text + s->at, n);
            s->at += n;
        }
        if (to)
            memcpy(to + len, bytes, n);
        len += n;
    }
    s->at = end + 1;
    if (to) {
        to[len] = 0;
        if (ret)
            *ret = to;
    }
    return 0;
}

int json_scan_u64(struct json_scan *s, uint64_t *ret, struct err *err) {
    skip_space(s);
    uint64_t value = 0;
    size_t from = s->at, i = from;
    for (; i < s->len && s->text[i] >= '0' && s->text[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(s->text[i] - '0');
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return json_scan_fail(s, err, "a number does not fit 64 bits");
    }
    if (i == from || (i < s->len && strchr(".eE", s->text[i]) && s->text[i]) ||
        (i - from > 1 && s->text[from] == '0'))
        return json_scan_fail(s, err, "a whole number was expected");
    s->at = i;
    *ret = value;
    return 0;
}

int json_scan_skip(struct json_scan *s, struct err *err) {
    enum json_kind kind;
    int more;
    if (json_scan_kind(s, &kind, err) < 0)
        return -1;
    switch (kind) {
    case JSON_KIND_OBJECT:
        if (json_scan_enter(s, '{', err) < 0)
            return -1;
        while ((more = json_scan_member(s, NULL, NULL, err)) == 1)
            if (json_scan_skip(s, err) < 0)
                return -1;
        return more;
    case JSON_KIND_ARRAY:
        if (json_scan_enter(s, '[', err) < 0)
            return -1;
        while ((more = json_scan_element(s, err)) == 1)
            if (json_scan_skip(s, err) < 0)
                return -1;
        return more;
    case JSON_KIND_STRING:
        return json_scan_string(s, NULL, NULL, err);
    case JSON_KIND_NUMBER:
        return take_number(s, err);
    case JSON_KIND_FALSE:
        s->at += 5;
        return 0;
    case JSON_KIND_TRUE:
    case JSON_KIND_NULL:
        break;
    }
    s->at += 4;
    return 0;
}

int json_scan_end(struct json_scan *s, struct err *err) {
    skip_space(s);
    return s->at == s->len ? 0 : json_scan_fail(s, err, "bytes follow the JSON text");
}

static void skip_space(struct json_scan *s) {
    while (s->at < s->len && (s->text[s->at] == ' ' || s->text[s->at] == '\n' ||
                              s->text[s->at] == '\r' || s->text[s->at] == '\t'))
        s->at++;
}

/* Behind an opening bracket or a value: a comma and another item, or the closing bracket. */
static int next_item(struct json_scan *s, char close, struct err *err) {
    skip_space(s);
    size_t before = s->at;
    /* The byte in front, white space aside, tells a fresh bracket from a finished value. */
    while (before > 0 && strchr(" \n\r\t", s->text[before - 1]))
        before--;
    bool fresh = before > 0 && strchr("{[", s->text[before - 1]);
    if (s->at == s->len)
        return json_scan_fail(s, err, "the JSON text ends inside %s",
                              close == '}' ? "an object" : "an array");
    if (s->text[s->at] == close) {
        s->at++;
        s->depth--;
        return 0;
    }
    if (fresh)
        return 1;
    if (s->text[s->at] != ',')
        return json_scan_fail(s, err, "',' or '%c' was expected", close);
    s->at++;
    return 1;
}

static int take_number(struct json_scan *s, struct err *err) {
    const char *text = s->text;
    size_t i = s->at, digits;
#define DIGITS()                                                          \
    for (digits = i; i < s->len && text[i] >= '0' && text[i] <= '9'; i++) \
        ;                                                                 \
    digits = i - digits
    if (text[i] == '-')
        i++;
    size_t first = i;
    DIGITS();
    bool good = digits == 1 || (digits > 1 && text[first] != '0');
    if (good && i < s->len && text[i] == '.') {
        i++;
        DIGITS();
        good = digits > 0;
    }
    if (good && i < s->len && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        if (i < s->len && (text[i] == '+' || text[i] == '-'))
            i++;
        DIGITS();
        good = digits > 0;
    }
#undef DIGITS
    if (!good)
        return json_scan_fail(s, err, "a number is malformed");
    s->at = i;
    return 0;
}

/* At a backslash; the text up to the closing quote is known to be there. */
static int take_escape(struct json_scan *s, uint32_t *ret, struct err *err) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = s->text[s->at + 1];
    const char *plain = c ? strchr(from, c) : NULL;
    if (plain) {
        s->at += 2;
        *ret = (unsigned char)to[plain - from];
        return 0;
    }
    if (c != 'u')
        return json_scan_fail(s, err, "a string holds an unknown escape");
    uint32_t high = 0, low = 0;
    if (take_hex4(s, &high, err) < 0)
        return -1;
    if (high >= 0xd800 && high < 0xdc00) {
        if (s->len - s->at < 2 || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u')
            return json_scan_fail(s, err, "a string holds half a surrogate pair");
        if (take_hex4(s, &low, err) < 0)
            return -1;
        if (low < 0xdc00 || low > 0xdfff)
            return json_scan_fail(s, err, "a string holds half a surrogate pair");
        high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    } else if (high >= 0xdc00 && high < 0xe000)
        return json_scan_fail(s, err, "a string holds half a surrogate pair");
    if (high == 0)
        return json_scan_fail(s, err, "a string holds a NUL");
    *ret = high;
    return 0;
}

static int take_hex4(struct json_scan *s, uint32_t *ret, struct err *err) {
    if (s->len - s->at < 6)
        return json_scan_fail(s, err, "a string holds half an escape");
    uint32_t value = 0;
    for (size_t i = 2; i < 6; i++) {
        char c = s->text[s->at + i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return json_scan_fail(s, err, "a string holds a malformed \\u escape");
        value = value << 4 | digit;
    }
    s->at += 6;
    *ret = value;
    return 0;
}

static size_t put_utf8(uint32_t code, char *to) {
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f));
    to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}
