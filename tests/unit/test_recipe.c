/* The recipe language: what is read, what is refused and where, digest and schema. */
#include "compress/recipe/recipe.h"
#include "tests/support/check.h"

#include "compress/base/jbuf.h"
#include "compress/base/jspec.h"
#include "compress/base/limits.h"

#include <stdlib.h>
#include <string.h>

struct fixture {
    struct arena *arena;
    struct violations list;
    struct recipe *recipe;
    struct err err;
};

static int parse(struct fixture *f, const char *text) {
    *f = (struct fixture){.arena = arena_new(1 << 20), .err = ERR_INIT};
    violations_init(&f->list, f->arena);
    return recipe_parse(text, strlen(text), f->arena, &f->list, &f->recipe, &f->err);
}

static void reads_stages(void **state) {
    struct fixture f;
    CHECK_OK(parse(&f, "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\",\"keep\":"
                       "[{\"match\":\"role:attn\",\"scheme\":\"f16\"}]},"
                       "{\"pass\":\"quantize\",\"scheme\":\"f16\",\"targets\":\"x\"}],"
                       "\"output\":{\"format\":\"same\"},\"seed\":7,\"requantize\":true}"),
             &f.err);
    CHECK_UINT(f.recipe->stage_count, 2);
    CHECK_TEXT(f.recipe->stages[1].pointer, "/stages/1");
    CHECK_TEXT(f.recipe->stages[0].pass->name, "quantize");
    CHECK_UINT(f.recipe->seed, 7);
    CHECK(f.recipe->requantize);
    CHECK_TEXT(f.recipe->name, "custom");
    CHECK_TEXT(f.recipe->output_format, "same");
    arena_free(f.arena);
}

static void finding(const char *text, const char *pointer, const char *says, const char *nearest) {
    struct fixture f;
    CHECK_INT(parse(&f, text), -1);
    CHECK(f.err.code != ERR_OK);
    CHECK_UINT(f.list.count, 1);
    CHECK_TEXT(f.list.items[0].pointer, pointer);
    CHECK_HOLDS(f.list.items[0].detail, says);
    if (nearest)
        CHECK_TEXT(f.list.items[0].nearest, nearest);
    else
        CHECK(!f.list.items[0].nearest);
    arena_free(f.arena);
}

#define STAGE(more) "{\"stages\":[{\"pass\":\"quantize\"," more "}]}"

static void refuses_the_frame(void **state) {
    finding("[]", "", "object", NULL);
    finding("{}", "/stages", "missing", NULL);
    finding("{\"stages\":[]}", "/stages", "1 to 32", NULL);
    finding("{\"stages\":{}}", "/stages", "array", NULL);
    finding("{\"stages\":[7]}", "/stages/0", "object", NULL);
    finding("{\"stages\":[{}]}", "/stages/0", "pass", NULL);
    finding("{\"stages\":[{\"pass\":\"quantise\"}]}", "/stages/0/pass", "no pass", "quantize");
    finding("{\"stages\":[{\"pass\":\"bake\"}]}", "/stages/0/pass", "no pass", NULL);
    finding("{\"stagse\":[]}", "/stagse", "unknown", "stages");
    finding("{\"parts\":{}}", "/parts", "1 to 32", NULL);
    finding("{\"parts\":{\"unet\":\"int9\"}}", "/parts/unet", "no recipe", "int8");
    finding("{\"parts\":{\"a/b\":{\"parts\":{}}}}", "/parts/a~1b/parts", "unknown", NULL);
    finding("{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\"}],\"seed\":-1}", "/seed",
            "between", "0");
    finding("{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\"}],\"output\":{\"format\":"
            "\"onnx\"}}",
            "/output/format", "one of", NULL);
    finding("{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\"}],\"calibration\":"
            "{\"method\":\"max\"}}",
            "/calibration/method", "one of", NULL);
    finding("{\"stages\":[],\"evaluation\":{\"metrics\":[]}}", "/evaluation/metrics", "1 to", NULL);
    finding("{\"stages\":[],\"evaluation\":{\"metrics\":[\"acuracy\"]}}", "/evaluation/metrics/0",
            "no metric", "accuracy");
    finding("{\"stages\":[],\"evaluation\":{\"samples\":0}}", "/evaluation/samples", "between",
            "1");
    finding("{\"stages\":[],\"evaluation\":{\"dataset\":\"\"}}", "/evaluation/dataset", "", NULL);
    finding("{\"parts\":{\"unet\":{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"f16\"}],"
            "\"evaluation\":{}}}}",
            "/parts/unet/evaluation", "unknown", NULL);
    finding("\"int88\"", "", "no recipe", "int8");
    finding("not JSON", "", "line 1", NULL);
}

static void refuses_what_a_scheme_does_not_take(void **state) {
    finding(STAGE("\"scheme\":\"f16\",\"granularity\":\"channel\""), "/stages/0/granularity",
            "does not apply", NULL);
    finding(STAGE("\"scheme\":\"q4_0\",\"symmetric\":true"), "/stages/0/symmetric",
            "does not apply", NULL);
    finding(STAGE("\"scheme\":\"int8\",\"granularity\":\"channel\",\"group_size\":32"),
            "/stages/0/group_size", "needs", NULL);
    finding(STAGE("\"scheme\":\"int8\",\"group_size\":7"), "/stages/0/group_size", "between", "8");
    finding(STAGE("\"scheme\":\"fp8_e4m3\",\"group_size\":32"), "/stages/0/group_size",
            "has no groups", NULL);
    finding(STAGE("\"scheme\":\"fp8_e4m3\",\"symmetric\":false"), "/stages/0/symmetric",
            "always symmetric", NULL);
    finding(STAGE("\"scheme\":\"fp8_e4m3\",\"activations\":\"none\""), "/stages/0/activations",
            "without dynamic", NULL);
    finding(STAGE("\"scheme\":\"int4\",\"activations\":\"dynamic\""), "/stages/0/activations",
            "int4", NULL);
    finding(STAGE("\"scheme\":\"int8\",\"keep\":[{\"match\":\"a\",\"scheme\":\"bf16\",\"search\":"
                  "\"mse\"}]"),
            "/stages/0/keep/0/search", "does not apply", NULL);
}

static void limits(void **state) {
    struct fixture f;
    char *big = malloc(LIMIT_RECIPE_BYTES + 2);
    memset(big, ' ', LIMIT_RECIPE_BYTES + 1);
    big[LIMIT_RECIPE_BYTES + 1] = 0;
    CHECK_FAILS(parse(&f, big), &f.err, ERR_TOO_LARGE);
    arena_free(f.arena);
    free(big);
    struct jbuf b; /* one stage too many */
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_key(&b, "stages");
    jbuf_array(&b);
    for (int i = 0; i <= LIMIT_RECIPE_STAGES; i++)
        jbuf_raw(&b, "{}", 2);
    jbuf_array_end(&b);
    jbuf_object_end(&b);
    char *many = jbuf_take(&b, NULL);
    finding(many, "/stages", "1 to 32", NULL);
    free(many);
}

static void digest_ignores_spelling(void **state) {
    struct fixture a, b, c, preset;
    CHECK_OK(parse(&a, "{\"seed\":1, \"stages\":[{\"scheme\":\"int8\",\"pass\":\"quantize\"}]}"),
             &a.err);
    CHECK_OK(parse(&b, "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\"}],\n\"seed\":1}"),
             &b.err);
    CHECK_OK(parse(&c, "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int4\"}],\"seed\":1}"),
             &c.err);
    CHECK(digest_equal(&a.recipe->digest, &b.recipe->digest));
    CHECK(!digest_equal(&a.recipe->digest, &c.recipe->digest));
    CHECK_TEXT(a.recipe->json, b.recipe->json);
    /* A name stands for its recipe. */
    CHECK_OK(parse(&preset, "\"int8\""), &preset.err);
    struct digest of_text = digest_of(preset.recipe->json, strlen(preset.recipe->json));
    CHECK(digest_equal(&preset.recipe->digest, &of_text));
    CHECK_TEXT(preset.recipe->name, "int8");
    arena_free(a.arena);
    arena_free(b.arena);
    arena_free(c.arena);
    arena_free(preset.arena);
}

static void reads_parts(void **state) {
    struct fixture f;
    CHECK_OK(parse(&f, "{\"parts\":{\"vae\":\"f16\",\"unet\":{\"stages\":[{\"pass\":\"quantize\","
                       "\"scheme\":\"bf16\"}]}}}"),
             &f.err);
    CHECK_UINT(f.recipe->part_count, 2);
    CHECK_UINT(f.recipe->stage_count, 0);
    const struct recipe_part *vae = &f.recipe->parts[0], *unet = &f.recipe->parts[1];
    if (strcmp(vae->component, "vae") != 0) { /* JSON objects have no order */
        vae = &f.recipe->parts[1];
        unet = &f.recipe->parts[0];
    }
    CHECK_TEXT(vae->recipe->name, "f16");
    CHECK_TEXT(unet->recipe->stages[0].pointer, "/parts/unet/stages/0");
    arena_free(f.arena);
}

static void pointer_of_a_body(void **state) {
    struct fixture f = {.arena = arena_new(1 << 20), .err = ERR_INIT};
    violations_init(&f.list, f.arena);
    struct json_t *json;
    const char *text = "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"int8\",\"x\":1}]}";
    CHECK_OK(jspec_parse(text, strlen(text), &json, &f.err), &f.err);
    CHECK_FAILS(recipe_from_json(json, "/recipe", f.arena, &f.list, &f.recipe, &f.err), &f.err,
                ERR_BAD_RECIPE);
    CHECK_TEXT(f.list.items[0].pointer, "/recipe/stages/0/x");
    jspec_free(json);
    arena_free(f.arena);
}

/* Enough of JSON Schema to see that it speaks of what the parser takes. */
static void schema(void **state) {
    char *text = recipe_schema();
    struct json_t *json;
    struct err err = ERR_INIT;
    CHECK_OK(jspec_parse(text, strlen(text), &json, &err), &err);
    CHECK_TEXT(json_text(json_get(json, "$schema")),
               "https://json-schema.org/draft/2020-12/schema");
    const struct json_t *properties = json_get(json, "properties");
    static const char *const keys[] = {"stages",      "parts",      "output",    "seed",
                                       "calibration", "evaluation", "requantize"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        CHECK(json_get(properties, keys[i]) != NULL);
    const struct json_t *items = json_get(json_get(properties, "stages"), "items");
    const struct json_t *stage = json_array_at(json_get(items, "oneOf"), 0);
    const struct json_t *stage_properties = json_get(stage, "properties");
    CHECK_TEXT(json_text(json_get(json_get(stage_properties, "pass"), "const")), "quantize");
    const struct pass *pass = pass_by_name("quantize");
    for (size_t i = 0; i < pass->param_count; i++)
        CHECK(json_get(stage_properties, pass->params[i].key) != NULL);
    jspec_free(json);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_stages),
        cmocka_unit_test(refuses_the_frame),
        cmocka_unit_test(refuses_what_a_scheme_does_not_take),
        cmocka_unit_test(limits),
        cmocka_unit_test(digest_ignores_spelling),
        cmocka_unit_test(reads_parts),
        cmocka_unit_test(pointer_of_a_body),
        cmocka_unit_test(schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
