/*
 * Editing config.json as text: the values of some keys of the top-level object change, every other
 * byte stays. So key order, spacing and numbers that a parser would rewrite survive.
 *
 * Values are JSON texts; they are indented like the file. Threads: any.
 */
#ifndef COMPRESS_FORMATS_CONFIG_EDIT_H
#define COMPRESS_FORMATS_CONFIG_EDIT_H

#include "compress/base/arena.h"
#include "compress/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct config_change {
    const char *key;
    const char *value;    /* compact JSON; NULL: the key is taken out */
    bool only_if_present; /* do not add the key */
    const char *unless;   /* do not add it beside this one; or NULL */
};

/* The edited text, in the arena. ERR_BAD_MODEL when the text is not one JSON object; `file` is for
 * messages. */
int config_edit(const char *text, size_t len, const char *file, const struct config_change *changes,
                size_t count, struct arena *arena, const char **ret, size_t *ret_len,
                struct err *err);

/* A compact JSON text laid out over lines: `unit` once per level, `level` levels deep to begin
 * with. NULL when the arena is exhausted. The text must be valid JSON. */
const char *config_edit_indent(const char *json, const char *unit, unsigned level,
                               struct arena *arena);

#endif
