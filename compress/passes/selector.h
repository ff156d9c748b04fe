/*
 * Selectors: which tensors a rule is about. A glob over tensor names; `node:<glob>` over the names
 * of the graph's nodes that read a tensor, at once or through ones that only move or convert it;
 * or `role:<name>`.
 *
 * A glob that matches nothing is a violation, and so is `node:` for a model without a graph; a role
 * that the model does not have is a warning, so that presets work on every family.
 */
#ifndef COMPRESS_PASSES_SELECTOR_H
#define COMPRESS_PASSES_SELECTOR_H

#include "compress/base/violations.h"
#include "compress/graph/model.h"

struct selector {
    const char *text;    /* as written */
    const char *glob;    /* over names of tensors; NULL: not that */
    const char *node;    /* over names of nodes; NULL: not that */
    unsigned role;       /* 0: not that */
    const char *pointer; /* JSON pointer of this selector */
};

struct selector_list {
    struct selector *items;
    size_t count;
};

/* The names of all roles, for people. Returns text. */
const char *selector_roles(char *text, size_t cap);
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
/* Adds a violation (globs, with the nearest name) or a warning (role) when nothing in the model
 * (component) matches. */
void selector_check(const struct selector *selector, const struct model *model,
                    const char *component, struct violations *list, struct violations *warnings);

#endif
