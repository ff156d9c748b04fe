/* GET /v1/recipes and /v1/recipes/{name}: the built-in presets, and the schema of the language. */
#include "api/routes/routes.h"

#include "api/http/request.h"
#include "compress/recipe/recipe.h"

#include <stdlib.h>

static void view_preset(struct jbuf *b, const struct preset *preset, const char *schema) {
    jbuf_object(b);
    jbuf_kv_string(b, "name", preset->name);
    jbuf_kv_string(b, "summary", preset->summary);
    jbuf_kv_string(b, "kind", "builtin");
    jbuf_kv_string(b, "reads", preset->reads);
    jbuf_kv_number(b, "expected_ratio", preset->expected_ratio);
    jbuf_kv_raw(b, "recipe", preset->json);
    if (schema)
        jbuf_kv_raw(b, "schema", schema);
    jbuf_object_end(b);
}

int recipe_list(struct request *r, struct err *err) {
    char *schema = recipe_schema();
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_key(&b, "items");
    jbuf_array(&b);
    for (size_t i = 0; preset_at(i); i++)
        view_preset(&b, preset_at(i), NULL);
    jbuf_array_end(&b);
    jbuf_kv_string(&b, "next", NULL);
    jbuf_kv_raw(&b, "schema", schema);
    jbuf_object_end(&b);
    free(schema);
    return reply_json(r, 200, &b, err);
}

int recipe_get(struct request *r, struct err *err) {
    const struct preset *preset = preset_by_name(r->args[0]);
    if (!preset)
        return err_set(err, ERR_NOT_FOUND, "there is no recipe %.140s", r->args[0]);
    char *schema = recipe_schema();
    struct jbuf b;
    jbuf_init(&b);
    view_preset(&b, preset, schema);
    free(schema);
    return reply_json(r, 200, &b, err);
}
