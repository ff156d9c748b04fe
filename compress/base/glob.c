/*
 * Globs as a set of text positions: for every item of the pattern, front to back, the positions
 * that the part of the pattern read so far can have reached. One pass over the text per item, no
 * backtracking, so a hostile pattern costs pattern x text and no more. Most patterns begin or end
 * with plain text; comparing that first makes the walk rare.
 */
#include "compress/base/glob.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define STACK_POSITIONS 768 /* texts are tensor names and paths: LIMIT_TENSOR_NAME_BYTES is 512 */
#define NUMBER_DIGITS 9     /* fits a long everywhere */

enum item_kind { ITEM_BYTE, ITEM_ANY, ITEM_RUN, ITEM_DIGITS, ITEM_SET };

struct item {
    enum item_kind kind;
    const char *at; /* BYTE: the byte; SET: the first member */
    size_t len;     /* SET: members; may be 0 */
};

static const char *next_item(const char *p, struct item *ret);
static bool item_takes(const struct item *item, char c);
static void step(const struct item *item, const char *text, size_t len, bool *reach);
static bool plain_ends_fit(const char *pattern, const char *text, size_t len);

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool glob_match(const char *pattern, const char *text) {
    size_t len = strlen(text);
    if (!plain_ends_fit(pattern, text, len))
        return false;
    bool stack[STACK_POSITIONS];
    bool *reach = len < STACK_POSITIONS ? stack : malloc(len + 1);
    if (!reach)
        return false;
    memset(reach, 0, len + 1);
    reach[0] = true;
    for (const char *p = pattern; *p;) {
        struct item item;
        p = next_item(p, &item);
        step(&item, text, len, reach);
    }
    bool found = reach[len];
    if (reach != stack)
        free(reach);
    return found;
}

/* Which digits '#' stands for: the longest run behind the first position from which the pattern's
 * rest still fits. The rest is tried as a glob of its own, which keeps this short; it is called
 * once per tensor. */
long glob_number(const char *pattern, const char *text) {
    const char *hash = pattern;
    while (*hash) {
        struct item item;
        const char *behind = next_item(hash, &item);
        if (item.kind == ITEM_DIGITS)
            break;
        hash = behind;
    }
    size_t len = strlen(text);
    if (!*hash || !glob_match(pattern, text))
        return -1;
    bool *reach = calloc(len + 1, sizeof *reach);
    if (!reach)
        return -1;
    reach[0] = true;
    for (const char *p = pattern; p != hash;) {
        struct item item;
        p = next_item(p, &item);
        step(&item, text, len, reach);
    }
    long number = -1;
    for (size_t from = 0; from < len && number < 0; from++) {
        if (!reach[from] || !is_digit(text[from]) || (from > 0 && is_digit(text[from - 1])))
            continue; /* a run is taken from its first digit */
        size_t to = from;
        while (is_digit(text[to]))
            to++;
        if (to - from <= NUMBER_DIGITS && glob_match(hash + 1, text + to))
            number = strtol(text + from, NULL, 10);
    }
    free(reach);
    return number;
}

static const char *next_item(const char *p, struct item *ret) {
    *ret = (struct item){ITEM_BYTE, p, 1};
    if (*p == '*')
        ret->kind = ITEM_RUN;
    else if (*p == '?')
        ret->kind = ITEM_ANY;
    else if (*p == '#')
        ret->kind = ITEM_DIGITS;
    else if (*p == '[') {
        const char *end = strchr(p, ']');
        if (end) { /* an open '[' stands for itself */
            *ret = (struct item){ITEM_SET, p + 1, (size_t)(end - p - 1)};
            return end + 1;
        }
    }
    return p + 1;
}

static bool item_takes(const struct item *item, char c) {
    switch (item->kind) {
    case ITEM_ANY:
        return true;
    case ITEM_SET:
        return memchr(item->at, c, item->len) != NULL;
    case ITEM_DIGITS:
        return is_digit(c);
    case ITEM_BYTE:
    case ITEM_RUN:
        break;
    }
    return *item->at == c;
}

static void step(const struct item *item, const char *text, size_t len, bool *reach) {
    if (item->kind == ITEM_RUN) {
        bool any = false;
        for (size_t i = 0; i <= len; i++)
            reach[i] = any = any || reach[i];
        return;
    }
    /* `before` and `inside` hold for the position to the left: reached, and reached within digits.
     */
    bool before = reach[0], inside = false;
    reach[0] = false;
    for (size_t i = 1; i <= len; i++) {
        bool here = reach[i];
        bool taken = item_takes(item, text[i - 1]);
        reach[i] = taken && (before || (item->kind == ITEM_DIGITS && inside));
        inside = reach[i];
        before = here;
    }
}

/* Plain bytes in front of the first and behind the last special one. */
static bool plain_ends_fit(const char *pattern, const char *text, size_t len) {
    static const char special[] = "*?#[]";
    size_t head = strcspn(pattern, special);
    size_t pattern_len = strlen(pattern);
    if (head == pattern_len)
        return pattern_len == len && memcmp(pattern, text, len) == 0;
    size_t tail = 0;
    while (!strchr(special, pattern[pattern_len - 1 - tail]))
        tail++;
    return head + tail <= len && memcmp(pattern, text, head) == 0 &&
           memcmp(pattern + pattern_len - tail, text + len - tail, tail) == 0;
}
