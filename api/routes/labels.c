/* See labels.h. */
#include "api/routes/labels.h"

#include <ctype.h>
#include <string.h>

struct walk {
    const char *pointer;
    struct arena *arena;
    struct violations *list;
    unsigned count;
};

static int check_one(void *ctx, const char *key, struct json_t *value) {
    struct walk *walk = ctx;
    const char *pointer = jspec_pointer(walk->pointer, key, walk->arena);
    size_t len = strlen(key);
    bool ok = len >= 1 && len <= LABEL_KEY_MAX;
    for (const char *s = key; ok && *s; s++)
        ok = isalnum((unsigned char)*s) || strchr("._-/", *s);
    walk->count++;
    if (!ok)
        violations_add(walk->list, ERR_BAD_FIELD, pointer ? pointer : walk->pointer,
                       "a label's key has 1 to %d of A-Z a-z 0-9 . _ - /", LABEL_KEY_MAX);
    else if (!json_text(value) || strlen(json_text(value)) > LABEL_VALUE_MAX)
        violations_add(walk->list, ERR_BAD_FIELD, pointer ? pointer : walk->pointer,
                       "a label's value is a string of at most %d bytes", LABEL_VALUE_MAX);
    return 0;
}

char *labels_read(const struct json_t *object, const char *pointer, struct arena *arena,
                  struct violations *list) {
    struct walk walk = {pointer, arena, list, 0};
    size_t before = list->total;
    json_each(object, check_one, &walk);
    if (walk.count > LABELS_MAX)
        violations_add(list, ERR_BAD_FIELD, pointer, "a job has at most %d labels", LABELS_MAX);
    return list->total == before ? json_canonical(object) : NULL;
}
