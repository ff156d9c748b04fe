/* recipes: the built-in presets, one of them, or the language itself as a JSON Schema. */
#include "compress/base/jbuf.h"
#include "compress/recipe/recipe.h"
#include "daemon/ctl_out.h"
#include "daemon/ctl_verbs.h"

#include <stdlib.h>

static void print_preset_json(const struct preset *preset, struct jbuf *b) {
    jbuf_object(b);
    jbuf_kv_string(b, "name", preset->name);
    jbuf_kv_string(b, "summary", preset->summary);
    jbuf_kv_number(b, "expected_ratio", preset->expected_ratio);
    jbuf_kv_string(b, "reads", preset->reads);
    jbuf_kv_raw(b, "recipe", preset->json);
    jbuf_object_end(b);
}

static int print_buffer(struct jbuf *b) {
    char *text = jbuf_take(b, NULL);
    if (text)
        puts(text);
    free(text);
    return text ? CTL_DONE : CTL_FAILED;
}

static int list_presets(bool json) {
    struct jbuf b;
    jbuf_init(&b);
    if (json)
        jbuf_array(&b);
    else
        printf("%-11s %6s  %-31s %s\n", "recipe", "ratio", "reads", "what it does");
    for (size_t i = 0; preset_at(i); i++) {
        const struct preset *p = preset_at(i);
        if (json)
            print_preset_json(p, &b);
        else
            printf("%-11s %5.2fx  %-31s %s\n", p->name, p->expected_ratio, p->reads, p->summary);
    }
    if (!json)
        return CTL_DONE;
    jbuf_array_end(&b);
    return print_buffer(&b);
}

static int show_preset(const char *name, bool json) {
    const struct preset *preset = preset_by_name(name);
    if (!preset) {
        struct err err = ERR_INIT;
        struct recipe *recipe;
        recipe_preset(name, NULL, &recipe, &err); /* for its message */
        return ctl_fail(&err, NULL, json, false);
    }
    if (!json) {
        puts(preset->json);
        return CTL_DONE;
    }
    struct jbuf b;
    jbuf_init(&b);
    print_preset_json(preset, &b);
    return print_buffer(&b);
}

static int run(const struct ctl_call *call) {
    if (ctl_flag(call, "schema")) {
        char *schema = recipe_schema();
        if (schema)
            puts(schema);
        free(schema);
        return schema ? CTL_DONE : CTL_FAILED;
    }
    if (call->arg_count)
        return show_preset(call->args[0], ctl_flag(call, "json"));
    return list_presets(ctl_flag(call, "json"));
}

static const struct ctl_option options[] = {
    {.name = "schema",
     .kind = CTL_FLAG,
     .doc = "Print the JSON Schema of the whole recipe language."},
};

const struct ctl_verb ctl_recipes = {
    .name = "recipes",
    .args = "[NAME]",
    .doc = "List the built-in recipes, or print one.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
