/* Findings pile up in an arena; the ceiling keeps an answer readable and a hostile body cheap. */
#include "compress/base/violations.h"

#include "compress/base/limits.h"

#include <stdarg.h>
#include <stdio.h>

void violations_init(struct violations *list, struct arena *arena) {
    *list = (struct violations){.arena = arena};
}

/* A row of the list, or NULL when it is not to be kept. */
static struct violation *new_row(struct violations *list) {
    if (list->count >= LIMIT_VIOLATIONS)
        return NULL;
    struct violation *items =
        arena_grow(list->arena, list->items, &list->capacity, list->count + 1, sizeof *items);
    if (!items)
        return NULL;
    list->items = items;
    return &items[list->count++];
}

static const char *copy(struct violations *list, const char *text) {
    const char *kept = arena_strdup(list->arena, text);
    return kept ? kept : "";
}

static const char *copy_or_null(struct violations *list, const char *text) {
    return text[0] ? arena_strdup(list->arena, text) : NULL;
}

struct violation *violations_add(struct violations *list, enum err_code code, const char *pointer,
                                 const char *format, ...) {
    static _Thread_local struct violation scratch;
    list->total++;
    struct violation *row = new_row(list);
    if (!row) {
        scratch =
            (struct violation){.code = code, .pointer = "", .detail = "", .offset = ERR_NO_OFFSET};
        return &scratch;
    }
    char text[sizeof((struct err *)0)->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *row = (struct violation){.code = code,
                              .pointer = copy(list, pointer ? pointer : ""),
                              .detail = copy(list, text),
                              .offset = ERR_NO_OFFSET};
    return row;
}

void violations_add_err(struct violations *list, const struct err *err) {
    struct violation *row = violations_add(list, err->code, err->pointer, "%s", err->text);
    row->tensor = copy_or_null(list, err->tensor);
    row->file = copy_or_null(list, err->file);
    row->nearest = copy_or_null(list, err->nearest);
    row->offset = err->offset;
}

int violations_result(const struct violations *list, struct err *err) {
    if (list->total == 0)
        return 0;
    if (list->count == 0) /* the arena could not even hold the first one */
        return err_set(err, ERR_NO_MEMORY, "%zu problems, and no memory to name them", list->total);
    const struct violation *first = &list->items[0];
    if (list->total == 1)
        err_set(err, first->code, "%s", first->detail);
    else
        err_set(err, first->code, "%zu problems; first: %s", list->total, first->detail);
    err_at_pointer(err, "%s", first->pointer);
    if (first->tensor)
        err_at_tensor(err, first->tensor);
    if (first->file)
        err_at_file(err, first->file, first->offset);
    if (first->nearest)
        err_nearest(err, "%s", first->nearest);
    return -1;
}
