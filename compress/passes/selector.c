/* Selectors: parsing is a prefix, matching is a glob or a bit test. */
#include "compress/passes/selector.h"

#include "compress/base/arena.h"
#include "compress/base/glob.h"
#include "compress/base/nearest.h"

#include <stdio.h>
#include <string.h>

static const char *after(const char *text, const char *prefix) {
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

const char *selector_roles(char *text, size_t cap) {
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; role_name_at(i) && used < cap; i++)
        used +=
            (size_t)snprintf(text + used, cap - used, "%s%s", used ? ", " : "", role_name_at(i));
    return text;
}

int selector_parse(const char *text, const char *pointer, struct arena *arena,
                   struct violations *list, struct selector *ret) {
    struct selector s = {.text = arena_strdup(arena, text),
                         .pointer = arena_strdup(arena, pointer)};
    if (!s.text || !s.pointer) {
        violations_add(list, ERR_NO_MEMORY, pointer, "no memory for a selector");
        return -1;
    }
    const char *role = after(s.text, "role:"), *node = after(s.text, "node:");
    if (role) {
        s.role = role_by_name(role);
        if (!s.role) {
            char names[200];
            struct violation *found =
                violations_add(list, ERR_BAD_RECIPE, pointer, "\"%s\" is not a role; roles are %s",
                               role, selector_roles(names, sizeof names));
            const char *nearest = NULL;
            for (size_t i = 0; role_name_at(i); i++)
                nearest = nearest_of(role, nearest, role_name_at(i));
            if (nearest)
                found->nearest = arena_strdup(list->arena, nearest);
            return -1;
        }
    } else if (!s.text[0] || (node && !node[0])) {
        violations_add(list, ERR_BAD_RECIPE, pointer, "a selector must not be empty");
        return -1;
    } else if (node) {
        s.node = node;
    } else {
        s.glob = s.text;
    }
    *ret = s;
    return 0;
}

bool selector_matches(const struct selector *selector, const struct tensor *tensor) {
    if (selector->glob)
        return glob_match(selector->glob, tensor->name);
    for (size_t i = 0; selector->node && i < tensor->reader_count; i++)
        if (glob_match(selector->node, tensor->readers[i]))
            return true;
    return (tensor->role & selector->role) != 0;
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
    for (size_t i = 0; selector->node && i < tensor->reader_count; i++)
        if (strcmp(selector->node, tensor->readers[i]) == 0)
            return true;
    return (tensor->role & selector->role & (ROLE_EMBED | ROLE_HEAD)) != 0;
}

/* The name of a tensor, or of a node that reads one, that was perhaps meant. */
static const char *nearest_name(const struct selector *selector, const struct model *model,
                                const char *component) {
    const char *best = NULL;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = &model->tensors[i];
        if (component && strcmp(component, tensor->component) != 0)
            continue;
        if (selector->glob)
            best = nearest_of(selector->glob, best, tensor->name);
        for (size_t k = 0; selector->node && k < tensor->reader_count; k++)
            best = nearest_of(selector->node, best, tensor->readers[k]);
    }
    return best;
}

void selector_check(const struct selector *selector, const struct model *model,
                    const char *component, struct violations *list, struct violations *warnings) {
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = &model->tensors[i];
        if ((!component || strcmp(component, tensor->component) == 0) &&
            selector_matches(selector, tensor))
            return;
    }
    struct violation *found;
    if (selector->node && !model->graph)
        violations_add(list, ERR_MISFIT, selector->pointer,
                       "\"%s\" selects by nodes of a graph, and this model comes without one; "
                       "select by tensor name or role",
                       selector->text);
    else if (selector->node || selector->glob) {
        found = violations_add(list, ERR_MISFIT, selector->pointer,
                               selector->node ? "no node that reads a weight is called \"%s\""
                                              : "no tensor is called \"%s\"",
                               selector->node ? selector->node : selector->glob);
        const char *nearest = nearest_name(selector, model, component);
        if (nearest)
            found->nearest = arena_strdup(list->arena, nearest);
    } else
        violations_add(warnings, ERR_MISFIT, selector->pointer, "the model has no tensor of %s",
                       selector->text);
}
