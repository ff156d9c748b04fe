/* Selectors: parsing is a prefix, matching is a glob or a bit test. */
#include "compress/passes/selector.h"

#include "compress/base/arena.h"
#include "compress/base/glob.h"

#include <string.h>

static const char *after(const char *text, const char *prefix) {
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

int selector_parse(const char *text, const char *pointer, struct arena *arena,
                   struct violations *list, struct selector *ret) {
    struct selector s = {.text = arena_strdup(arena, text),
                         .pointer = arena_strdup(arena, pointer)};
    if (!s.text || !s.pointer) {
        violations_add(list, ERR_NO_MEMORY, pointer, "no memory for a selector");
        return -1;
    }
    const char *role = after(s.text, "role:");
    if (role) {
        s.role = role_by_name(role);
        if (!s.role) {
            violations_add(list, ERR_BAD_RECIPE, pointer,
                           "\"%s\" is not a role; roles are attn, attn_qkv, attn_out, mlp, embed, "
                           "head, norm, conv, first, last, bias",
                           role);
            return -1;
        }
    } else if (after(s.text, "node:")) {
        violations_add(list, ERR_BAD_RECIPE, pointer,
                       "\"node:\" selects by graph node, and this model format has no graph; "
                       "select by tensor name or role");
        return -1;
    } else if (!s.text[0]) {
        violations_add(list, ERR_BAD_RECIPE, pointer, "a selector must not be empty");
        return -1;
    } else {
        s.glob = s.text;
    }
    *ret = s;
    return 0;
}

bool selector_matches(const struct selector *selector, const struct tensor *tensor) {
    return selector->glob ? glob_match(selector->glob, tensor->name)
                          : (tensor->role & selector->role) != 0;
}

const struct selector *selector_first(const struct selector_list *selectors,
                                      const struct tensor *tensor) {
    for (size_t i = 0; i < selectors->count; i++)
        if (selector_matches(&selectors->items[i], tensor))
            return &selectors->items[i];
    return NULL;
}

bool selector_names(const struct selector *selector, const struct tensor *tensor) {
    if (selector->glob)
        return strcmp(selector->glob, tensor->name) == 0;
    return (tensor->role & selector->role & (ROLE_EMBED | ROLE_HEAD)) != 0;
}

void selector_check(const struct selector *selector, const struct model *model,
                    const char *component, struct violations *list, struct violations *warnings) {
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = &model->tensors[i];
        if ((!component || strcmp(component, tensor->component) == 0) &&
            selector_matches(selector, tensor))
            return;
    }
    if (selector->glob)
        violations_add(list, ERR_MISFIT, selector->pointer, "no tensor is called \"%s\"",
                       selector->text);
    else
        violations_add(warnings, ERR_MISFIT, selector->pointer, "the model has no tensor of %s",
                       selector->text);
}
