/*
 * Selectors: which tensors a rule is about. A glob over tensor names, `node:<glob>` over the names
 * of consuming nodes (with a graph; without one it is a violation), or `role:<name>`.
 *
 * A name glob that matches nothing is a violation; a role that the model does not have is a
 * warning, so that presets work on every family.
 */
#ifndef COMPRESS_PASSES_SELECTOR_H
#define COMPRESS_PASSES_SELECTOR_H

#include "compress/base/violations.h"
#include "compress/graph/model.h"

struct selector {
    const char *text;    /* as written */
    const char *glob;    /* NULL for a role */
    unsigned role;       /* 0 for a glob */
    const char *pointer; /* JSON pointer of this selector */
};

struct selector_list {
    struct selector *items;
    size_t count;
};

/* -1 with a violation when the text is not a selector. Text and pointer are copied. */
int selector_parse(const char *text, const char *pointer, struct arena *arena,
                   struct violations *list, struct selector *ret);
bool selector_matches(const struct selector *selector, const struct tensor *tensor);
/* The first that matches, or NULL. */
const struct selector *selector_first(const struct selector_list *selectors,
                                      const struct tensor *tensor);
/* Does the selector speak of this very tensor (its whole name) or of its role, rather than catch it
 * with a wildcard? Embeddings and heads are touched by integer schemes only then. */
bool selector_names(const struct selector *selector, const struct tensor *tensor);
/* Adds a violation (glob) or a warning (role) when nothing in the model (component) matches. */
void selector_check(const struct selector *selector, const struct model *model,
                    const char *component, struct violations *list, struct violations *warnings);

#endif
