/* See cursor.h. */
#include "api/routes/cursor.h"

#include "api/json/views.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool name_ok(const char *name) {
    size_t len = strlen(name);
    if (len < 1 || len > 128 || !isalnum((unsigned char)name[0]))
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
            return false;
    return true;
}

static bool is_filter(const char *key) {
    return strcmp(key, "cursor") != 0 && strcmp(key, "limit") != 0;
}

/* FNV-1a over team, path and filters in the order of the route's keys: a check, not a secret. */
static uint32_t filters_hash(const struct request *r) {
    uint32_t hash = 2166136261u;
    const char *parts[2 + 2 * REQUEST_QUERY_MAX];
    size_t n = 0;
    parts[n++] = r->principal.team;
    parts[n++] = r->route->pattern;
    for (const struct query_key *k = r->route->query; k && k->key; k++) {
        const char *value = is_filter(k->key) ? request_query(r, k->key) : NULL;
        if (value) {
            parts[n++] = k->key;
            parts[n++] = value;
        }
    }
    for (size_t i = 0; i < n; i++)
        for (const char *s = parts[i];; s++) {
            hash = (hash ^ (unsigned char)*s) * 16777619u;
            if (!*s)
                break;
        }
    return hash;
}

int cursor_read(const struct request *r, int64_t *ret_before, struct err *err) {
    const char *text = request_query(r, "cursor");
    *ret_before = 0;
    if (!text)
        return 0;
    long long before = 0;
    unsigned hash = 0;
    int used = 0;
    // NOLINTNEXTLINE(cert-err34-c): as many digits as fit
    if (sscanf(text, "%16llx-%8x%n", (unsigned long long *)&before, &hash, &used) != 2 ||
        text[used] || before <= 0)
        return err_set(err, ERR_BAD_QUERY, "cursor: not one that this server gave out");
    if (hash != filters_hash(r))
        return err_set(err, ERR_BAD_QUERY, "cursor: it was given out with other filters");
    *ret_before = before;
    return 0;
}

void cursor_write(struct request *r, struct jbuf *b, int64_t before) {
    if (!before) {
        jbuf_kv_string(b, "next", NULL);
        return;
    }
    char cursor[40];
    snprintf(cursor, sizeof cursor, "%llx-%08x", (unsigned long long)before, filters_hash(r));
    jbuf_kv_string(b, "next", cursor);
    char *link = arena_printf(r->arena, "<%s?cursor=%s", r->path, cursor);
    for (const struct query_key *k = r->route->query; link && k && k->key; k++) {
        const char *value = strcmp(k->key, "cursor") != 0 ? request_query(r, k->key) : NULL;
        if (!value)
            continue;
        char *escaped = view_escape_path(value);
        link = escaped ? arena_printf(r->arena, "%s&%s=%s", link, k->key, escaped) : NULL;
        free(escaped);
    }
    if (link)
        reply_header(r, "Link", arena_printf(r->arena, "%s>; rel=\"next\"", link));
}
