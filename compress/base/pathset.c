/* See pathset.h. Files and the folders above them are two sets that must not meet. */
#include "compress/base/pathset.h"

#include <string.h>

void pathset_init(struct pathset *set, struct arena *arena) {
    set->arena = arena;
    strmap_init(&set->files, arena);
    strmap_init(&set->folders, arena);
}

static char *lower(struct arena *arena, const char *path) {
    char *copy = arena_strdup(arena, path);
    for (char *c = copy; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c += 'a' - 'A';
    return copy;
}

int pathset_add(struct pathset *set, const char *path) {
    char *folded = lower(set->arena, path);
    if (!folded)
        return -1;
    if (strmap_get(&set->folders, folded) != STRMAP_NONE)
        return 0;
    for (const char *slash = strchr(folded, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *folder = arena_strndup(set->arena, folded, (size_t)(slash - folded));
        if (!folder)
            return -1;
        if (strmap_get(&set->files, folder) != STRMAP_NONE)
            return 0;
        if (strmap_put(&set->folders, folder, 0) < 0)
            return -1;
    }
    return strmap_put(&set->files, folded, 0);
}
