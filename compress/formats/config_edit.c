/*
 * One scan finds where each top-level member begins and ends; then the pieces between the changes
 * are copied.
 */
#include "compress/formats/config_edit.h"

#include "compress/formats/json_scan.h"

#include <string.h>

struct member {
    const char *key;
    size_t from;  /* of its key's quote */
    size_t value; /* of its value */
    size_t end;   /* behind its value */
};

struct text {
    struct arena *arena;
    char *at;
    size_t len, capacity;
    bool failed;
};

static int scan_members(struct json_scan *scan, struct arena *arena, struct member **ret,
                        size_t *ret_count, struct err *err);
static const char *find_unit(const char *text, const struct member *first, struct arena *arena);
static const struct config_change *change_of(const struct config_change *changes, size_t count,
                                             const char *key);
static void append(struct text *to, const char *from, size_t len);

int config_edit(const char *text, size_t len, const char *file, const struct config_change *changes,
                size_t count, struct arena *arena, const char **ret, size_t *ret_len,
                struct err *err) {
    struct json_scan scan = json_scan_over(text, len, file, 0);
    struct member *members = NULL;
    size_t member_count = 0;
    if (scan_members(&scan, arena, &members, &member_count, err) < 0)
        return -1;
    size_t close = scan.at - 1; /* of the closing brace */
    const char *unit = find_unit(text, member_count ? &members[0] : NULL, arena);
    struct text out = {.arena = arena};
    size_t open = 0; /* behind the opening brace */
    while (text[open++] != '{')
        ;
    append(&out, text, open);
    size_t kept_end = open; /* everything before is written or dropped */
    bool any = false;
    for (size_t i = 0; i < member_count; i++) {
        const struct config_change *change = change_of(changes, count, members[i].key);
        if (change && !change->value) {
            kept_end = members[i].end;
            continue;
        }
        /* From the previous end to the key: a comma and white space. */
        const char *gap = text + kept_end;
        size_t gap_len = members[i].from - kept_end;
        const char *comma = any ? NULL : (const char *)memchr(gap, ',', gap_len);
        if (comma) { /* those in front were taken out */
            gap_len -= (size_t)(comma + 1 - gap);
            gap = comma + 1;
        }
        append(&out, gap, gap_len);
        any = true;
        append(&out, text + members[i].from, members[i].value - members[i].from);
        const char *value = text + members[i].value;
        size_t value_len = members[i].end - members[i].value;
        if (change) {
            value = config_edit_indent(change->value, unit, 1, arena);
            value_len = value ? strlen(value) : 0;
            out.failed = out.failed || !value;
        }
        append(&out, value, value_len);
        kept_end = members[i].end;
    }
    for (size_t c = 0; c < count; c++) {
        bool there = !changes[c].value || changes[c].only_if_present;
        for (size_t i = 0; i < member_count; i++)
            there = there || strcmp(members[i].key, changes[c].key) == 0 ||
                    (changes[c].unless && strcmp(members[i].key, changes[c].unless) == 0);
        const char *value = there ? NULL : config_edit_indent(changes[c].value, unit, 1, arena);
        const char *line = there ? NULL
                                 : arena_printf(arena, "%s%s%s\"%s\": %s", any ? "," : "",
                                                unit[0] ? "\n"
                                                : any   ? " "
                                                        : "",
                                                unit, changes[c].key, value ? value : "");
        if (there)
            continue;
        out.failed = out.failed || !value || !line;
        if (line)
            append(&out, line, strlen(line));
        any = true;
    }
    /* White space in front of the closing brace, where there was a member to have some behind. */
    size_t tail = close;
    while (tail > open && strchr(" \t\r\n", text[tail - 1]))
        tail--;
    if (member_count == 0 && any && unit[0])
        append(&out, "\n", 1);
    else
        append(&out, text + tail, close - tail);
    append(&out, text + close, len - close);
    if (out.failed)
        return err_set(err, ERR_NO_MEMORY, "no memory to edit %s", file);
    *ret = out.at;
    *ret_len = out.len;
    return 0;
}

const char *config_edit_indent(const char *json, const char *unit, unsigned level,
                               struct arena *arena) {
    struct text out = {.arena = arena};
    bool in_string = false;
    for (const char *p = json; *p; p++) {
        char c = *p;
        if (in_string) {
            append(&out, p, 1);
            if (c == '\\' && p[1])
                append(&out, ++p, 1);
            else if (c == '"')
                in_string = false;
            continue;
        }
        bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
        bool empty = (opens && (p[1] == '}' || p[1] == ']')) ||
                     (closes && p > json && (p[-1] == '{' || p[-1] == '['));
        if (closes)
            level--;
        if (closes && !empty && unit[0]) {
            append(&out, "\n", 1);
            for (unsigned i = 0; i < level; i++)
                append(&out, unit, strlen(unit));
        }
        append(&out, p, 1);
        if (opens)
            level++;
        if (((opens && !empty) || c == ',') && unit[0]) {
            append(&out, "\n", 1);
            for (unsigned i = 0; i < level; i++)
                append(&out, unit, strlen(unit));
        }
        if (c == ':' || (c == ',' && !unit[0]))
            append(&out, " ", 1);
        in_string = c == '"';
    }
    append(&out, "", 1);
    return out.failed ? NULL : out.at;
}

static int scan_members(struct json_scan *scan, struct arena *arena, struct member **ret,
                        size_t *ret_count, struct err *err) {
    struct member *list = NULL, m;
    size_t count = 0, capacity = 0;
    enum json_kind kind;
    int more;
    if (json_scan_enter(scan, '{', err) < 0)
        return -1;
    while ((more = json_scan_member(scan, arena, &m.key, err)) == 1) {
        m.from = scan->key_at;
        if (json_scan_kind(scan, &kind, err) < 0)
            return -1;
        m.value = scan->at;
        if (json_scan_skip(scan, err) < 0)
            return -1;
        m.end = scan->at;
        struct member *grown =
            (struct member *)arena_grow(arena, list, &capacity, count + 1, sizeof *list);
        if (!grown)
            return err_set(err, ERR_NO_MEMORY, "no memory to edit %s", scan->file);
        list = grown;
        list[count++] = m;
    }
    if (more < 0)
        return -1;
    struct json_scan rest = *scan;
    if (json_scan_end(&rest, err) < 0)
        return -1;
    *ret = list;
    *ret_count = count;
    return 0;
}

/* The white space between a line break and the first key; "" when the object is on one line. */
static const char *find_unit(const char *text, const struct member *first, struct arena *arena) {
    if (!first)
        return "  ";
    size_t from = first->from;
    while (from > 0 && (text[from - 1] == ' ' || text[from - 1] == '\t'))
        from--;
    if (from == 0 || text[from - 1] != '\n')
        return "";
    const char *unit = arena_strndup(arena, text + from, first->from - from);
    return unit && unit[0] ? unit : "  ";
}

static const struct config_change *change_of(const struct config_change *changes, size_t count,
                                             const char *key) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(changes[i].key, key) == 0)
            return &changes[i];
    return NULL;
}

static void append(struct text *to, const char *from, size_t len) {
    char *grown =
        to->failed ? NULL : (char *)arena_grow(to->arena, to->at, &to->capacity, to->len + len, 1);
    if (len == 0)
        return;
    if (!grown) {
        to->failed = true;
        return;
    }
    to->at = grown;
    memcpy(to->at + to->len, from, len);
    to->len += len;
}
