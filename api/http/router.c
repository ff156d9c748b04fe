/* See router.h. A walk over some forty rows, comparing segment by segment: nothing to tune. */
#include "api/http/router.h"

#include "compress/base/utf8.h"

#include <stdio.h>
#include <string.h>

#define SEGMENTS_MAX 40

static const char *const method_names[METHODS] = {
    [METHOD_GET] = "GET",     [METHOD_PUT] = "PUT",       [METHOD_POST] = "POST",
    [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
};

const char *method_name(enum method method) {
    return method_names[method];
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f')
        return (c | 32) - 'a' + 10;
    return -1;
}

char *router_decode(const char *text, size_t len, bool is_segment, struct arena *arena) {
    char *out = arena_alloc(arena, len + 1);
    if (!out)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 1 < len ? hex(text[i + 1]) : -1;
            int low = i + 2 < len ? hex(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return NULL;
            c = (unsigned char)(high << 4 | low);
            if (is_segment && c == '/')
                return NULL;
            i += 2;
        }
        if (c < 0x20 || c == 0x7f)
            return NULL;
        out[n++] = (char)c;
    }
    out[n] = 0;
    return utf8_valid(out, n) ? out : NULL;
}

/* Does the pattern fit? Arguments go to args. */
static bool fits(const char *pattern, char *const *segments, size_t count, struct arena *arena,
                 const char *args[4]) {
    size_t arg = 0, i = 0;
    for (const char *p = pattern + 1;;) {
        const char *end = p + strcspn(p, "/");
        size_t len = (size_t)(end - p);
        bool is_arg = len > 2 && p[0] == '{' && end[-1] == '}';
        if (is_arg && end[-2] == '*') {
            if (i >= count)
                return false;
            size_t bytes = 0;
            for (size_t k = i; k < count; k++) {
                if (!*segments[k])
                    return false;
                bytes += strlen(segments[k]) + 1;
            }
            char *joined = arena_alloc(arena, bytes);
            if (!joined)
                return false;
            char *at = joined;
            for (size_t k = i; k < count; k++) {
                size_t n = strlen(segments[k]);
                memcpy(at, segments[k], n);
                at[n] = k + 1 < count ? '/' : 0;
                at += n + 1;
            }
            args[arg] = joined;
            return true;
        }
        if (i >= count)
            return false;
        if (is_arg) {
            if (!*segments[i])
                return false;
            args[arg++] = segments[i];
        } else if (strlen(segments[i]) != len || memcmp(segments[i], p, len) != 0) {
            return false;
        }
        i++;
        if (!*end)
            return i == count;
        p = end + 1;
    }
}

int router_match(const struct route *table, size_t count, const char *method, const char *path,
                 struct arena *arena, struct route_match *ret, struct err *err) {
    if (path[0] != '/')
        return err_set(err, ERR_BAD_REQUEST, "the request target is not a path");
    char *segments[SEGMENTS_MAX];
    size_t n = 0;
    *ret = (struct route_match){0};
    for (const char *p = path + 1;;) {
        size_t len = strcspn(p, "/");
        if (n == SEGMENTS_MAX)
            return 0;
        segments[n] = router_decode(p, len, true, arena);
        if (!segments[n++])
            return err_set(err, ERR_BAD_REQUEST,
                           "segment %zu of the path is not valid percent-encoded UTF-8 without "
                           "control bytes and escaped slashes",
                           n);
        if (!p[len])
            break;
        p += len + 1;
    }
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    bool allowed[METHODS] = {false};
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        const char *args[4] = {0};
        if (!fits(table[i].pattern, segments, n, arena, args))
            continue;
        if (strcmp(wanted, method_names[table[i].method]) == 0) {
            ret->route = &table[i];
            memcpy(ret->args, args, sizeof args);
            return 0;
        }
        allowed[table[i].method] = any = true;
    }
    if (!any)
        return 0;
    char text[64] = "";
    for (int m = 0; m < METHODS; m++)
        if (allowed[m])
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s%s", *text ? ", " : "",
                     method_names[m], m == METHOD_GET ? ", HEAD" : "");
    ret->allow = arena_strdup(arena, text);
    return 0;
}
