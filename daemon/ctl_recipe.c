/* Finding and reading the recipe that was named. */
#include "daemon/ctl_recipe.h"

#include "compress/base/dirfiles.h"
#include "compress/base/jspec.h"
#include "compress/base/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int slurp(const char *path, char **ret, struct err *err) {
    struct resolver *files = NULL;
    struct source *source = NULL;
    int result = dirfiles_open(path, true, &files, err);
    if (result == 0 && !files->lone)
        result = err_set(err, ERR_BAD_REQUEST, "%s is a folder, not a recipe", path);
    if (result == 0)
        result = files->ops->open(files, 0, &source, err);
    if (result == 0)
        result = source_slurp(source, LIMIT_RECIPE_BYTES, ret, err);
    source_close(source);
    resolver_close(files);
    return result;
}

/* {"requantize":true, ...}: what the report shows is what was done. */
static const char *with_requantize(const char *text, struct arena *arena) {
    struct json_t *object;
    if (jspec_parse(text, strlen(text), &object, NULL) < 0)
        return text; /* the recipe's own reader says why */
    bool said = !json_is(object, JSPEC_OBJECT) || json_get(object, "requantize");
    jspec_free(object);
    const char *rest = strchr(text, '{');
    if (said || !rest || rest[1 + strspn(rest + 1, " \t\r\n")] == '}')
        return text;
    return arena_printf(arena, "{\"requantize\":true,%s", rest + 1);
}

int ctl_recipe_load(const char *named, bool requantize, struct arena *arena,
                    struct violations *list, struct recipe **ret, struct err *err) {
    const struct preset *preset = preset_by_name(named);
    if (preset && !requantize)
        return recipe_preset(named, arena, ret, err);
    const char *text = preset ? preset->json : named;
    char *slurped = NULL;
    if (!preset && named[0] != '{') {
        if (access(named, F_OK) != 0 && (strchr(named, '/') || strchr(named, '.')))
            return err_set_errno(err, ERR_NOT_FOUND, errno, "recipe %s", named);
        if (access(named, F_OK) != 0) /* neither: the presets' own message names the nearest */
            return recipe_preset(named, arena, ret, err);
        if (slurp(named, &slurped, err) < 0)
            return -1;
        text = slurped;
    }
    if (requantize && text)
        text = with_requantize(text, arena);
    int result = text ? recipe_parse(text, strlen(text), arena, list, ret, err)
                      : err_set(err, ERR_NO_MEMORY, "no memory to read the recipe");
    if (result == 0 && preset)
        (*ret)->name = preset->name;
    free(slurped);
    return result;
}
