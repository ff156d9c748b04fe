/* Parameter tables: reading, defaults, findings, and the schema that is printed from them. */
#include "compress/passes/pass.h"
#include "tests/support/check.h"

#include "compress/base/arena.h"

#include <stdlib.h>
#include <string.h>

struct rule {
    struct param_origin origin;
    struct selector_list match;
    int64_t level;
};

struct thing {
    struct param_origin origin;
    const char *mode;
    int64_t count;
    double ratio;
    bool loud;
    const struct codec *scheme;
    struct selector_list targets;
    struct param_rules rules;
};

static const char *const modes[] = {"slow", "fast", NULL};

static const struct pass_param rule_params[] = {
    {.key = "match",
     .kind = PARAM_SELECTORS,
     .offset = offsetof(struct rule, match),
     .required = true,
     .doc = "m"},
    {.key = "level",
     .kind = PARAM_INT,
     .offset = offsetof(struct rule, level),
     .min = 1,
     .max = 9,
     .default_json = "5",
     .doc = "l"},
};

static const struct pass_param params[] = {
    {.key = "mode",
     .kind = PARAM_STRING,
     .offset = offsetof(struct thing, mode),
     .one_of = modes,
     .default_json = "\"fast\"",
     .doc = "How fast."},
    {.key = "count",
     .kind = PARAM_INT,
     .offset = offsetof(struct thing, count),
     .min = 2,
     .max = 8,
     .default_json = "3",
     .doc = "c"},
    {.key = "ratio",
     .kind = PARAM_NUMBER,
     .offset = offsetof(struct thing, ratio),
     .min = 0,
     .max = 1,
     .default_json = "0.25",
     .doc = "r"},
    {.key = "loud",
     .kind = PARAM_BOOL,
     .offset = offsetof(struct thing, loud),
     .default_json = "true",
     .doc = "b"},
    {.key = "scheme",
     .kind = PARAM_SCHEME,
     .offset = offsetof(struct thing, scheme),
     .required = true,
     .doc = "s"},
    {.key = "targets",
     .kind = PARAM_SELECTORS,
     .offset = offsetof(struct thing, targets),
     .doc = "t"},
    {.key = "rules",
     .kind = PARAM_RULES,
     .offset = offsetof(struct thing, rules),
     .doc = "R",
     .items = rule_params,
     .item_count = 2,
     .item_bytes = sizeof(struct rule)},
};
#define COUNT (sizeof params / sizeof params[0])

struct fixture {
    struct arena *arena;
    struct violations list;
    struct thing thing;
};

static int read_text(struct fixture *f, const char *text) {
    static const char *const also[] = {"pass", NULL};
    struct json_t *json;
    struct err err = ERR_INIT;
    *f = (struct fixture){.arena = arena_new(1 << 20)};
    violations_init(&f->list, f->arena);
    CHECK_OK(jspec_parse(text, strlen(text), &json, &err), &err);
    int result = pass_read_params(params, COUNT, also, json, "/s", f->arena, &f->list, &f->thing);
    jspec_free(json);
    return result;
}

static void defaults(void **state) {
    struct fixture f;
    CHECK_INT(read_text(&f, "{\"pass\":\"x\",\"scheme\":\"int8\"}"), 0);
    CHECK_TEXT(f.thing.mode, "fast");
    CHECK_INT(f.thing.count, 3);
    CHECK_NUM(f.thing.ratio, 0.25, 0);
    CHECK(f.thing.loud);
    CHECK_TEXT(f.thing.scheme->name, "int8");
    CHECK_UINT(f.thing.targets.count, 0);
    CHECK_TEXT(f.thing.origin.pointer, "/s");
    arena_free(f.arena);
}

static void given(void **state) {
    struct fixture f;
    CHECK_INT(read_text(&f, "{\"scheme\":\"q4_0\",\"mode\":\"slow\",\"count\":8,\"ratio\":1,"
                            "\"loud\":false,\"targets\":\"a*\",\"rules\":[{\"match\":[\"b\","
                            "\"role:head\"]},{\"match\":\"c\",\"level\":9}]}"),
              0);
    CHECK_TEXT(f.thing.mode, "slow");
    CHECK_INT(f.thing.count, 8);
    CHECK(!f.thing.loud);
    CHECK_UINT(f.thing.targets.count, 1);
    CHECK_TEXT(f.thing.targets.items[0].pointer, "/s/targets");
    CHECK_UINT(f.thing.rules.count, 2);
    const struct rule *rules = f.thing.rules.items;
    CHECK_UINT(rules[0].match.count, 2);
    CHECK_TEXT(rules[0].match.items[1].pointer, "/s/rules/0/match/1");
    CHECK_UINT(rules[0].match.items[1].role, ROLE_HEAD);
    CHECK_INT(rules[0].level, 5);
    CHECK_INT(rules[1].level, 9);
    arena_free(f.arena);
}

static void finding(const char *text, const char *pointer, const char *says, const char *nearest) {
    struct fixture f;
    CHECK_INT(read_text(&f, text), -1);
    CHECK_UINT(f.list.count, 1);
    CHECK_TEXT(f.list.items[0].pointer, pointer);
    CHECK_HOLDS(f.list.items[0].detail, says);
    CHECK_INT(f.list.items[0].code, ERR_BAD_RECIPE);
    if (nearest)
        CHECK_TEXT(f.list.items[0].nearest, nearest);
    arena_free(f.arena);
}

static void findings(void **state) {
    finding("{}", "/s/scheme", "missing", NULL);
    finding("{\"scheme\":\"int7\"}", "/s/scheme", "one of", "int8");
    finding("{\"scheme\":\"q6_k\"}", "/s/scheme", "one of", NULL); /* can only be read */
    finding("{\"scheme\":\"stored\"}", "/s/scheme", "one of", NULL);
    finding("{\"scheme\":\"f16\",\"count\":9}", "/s/count", "between 2 and 8", "8");
    finding("{\"scheme\":\"f16\",\"count\":2.5}", "/s/count", "integer", NULL);
    finding("{\"scheme\":\"f16\",\"mode\":\"fas\"}", "/s/mode", "one of", "fast");
    finding("{\"scheme\":\"f16\",\"lout\":true}", "/s/lout", "unknown", "loud");
    finding("{\"scheme\":\"f16\",\"loud\":1}", "/s/loud", "true or false", NULL);
    finding("{\"scheme\":\"f16\",\"targets\":3}", "/s/targets", "selector", NULL);
    finding("{\"scheme\":\"f16\",\"targets\":[\"a\",3]}", "/s/targets/1", "selector", NULL);
    finding("{\"scheme\":\"f16\",\"rules\":{}}", "/s/rules", "array", NULL);
    finding("{\"scheme\":\"f16\",\"rules\":[3]}", "/s/rules/0", "object", NULL);
    finding("{\"scheme\":\"f16\",\"rules\":[{\"match\":\"a\",\"level\":0}]}", "/s/rules/0/level",
            "between", "1");
    finding("[]", "/s", "object", NULL);
}

static void all_findings_at_once(void **state) {
    struct fixture f;
    CHECK_INT(read_text(&f, "{\"scheme\":\"x\",\"count\":0,\"rules\":[{},{\"match\":\"\"}],"
                            "\"other\":1}"),
              -1);
    CHECK_UINT(f.list.count, 5);
    arena_free(f.arena);
}

static void schema(void **state) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    pass_schema_properties(params, COUNT, &b);
    jbuf_object_end(&b);
    size_t len;
    char *text = jbuf_take(&b, &len);
    struct json_t *json;
    struct err err = ERR_INIT;
    CHECK_OK(jspec_parse(text, len, &json, &err), &err);
    for (size_t i = 0; i < COUNT; i++)
        CHECK_TEXT(json_text(json_get(json_get(json, params[i].key), "description")),
                   params[i].doc);
    int64_t n;
    CHECK(json_int(json_get(json_get(json, "count"), "maximum"), &n) && n == 8);
    CHECK(json_int(json_get(json_get(json, "count"), "default"), &n) && n == 3);
    CHECK_TEXT(json_text(json_get(json_get(json, "mode"), "default")), "fast");
    const struct json_t *item = json_get(json_get(json, "rules"), "items");
    CHECK_TEXT(json_text(json_array_at(json_get(item, "required"), 0)), "match");
    CHECK_HOLDS(text, "\"int4\"");
    CHECK(!strstr(text, "\"q6_k\""));
    jspec_free(json);
    free(text);
}

static void table(void **state) {
    for (size_t i = 0; pass_at(i); i++) {
        const struct pass *pass = pass_at(i);
        CHECK(pass_by_name(pass->name) == pass);
        CHECK(pass->doc[0] && pass->parse && pass->apply);
        for (size_t k = 0; k < pass->param_count; k++)
            CHECK(pass->params[k].doc && pass->params[k].doc[0]);
    }
    CHECK(pass_by_name("nothing") == NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults), cmocka_unit_test(given),
        cmocka_unit_test(findings), cmocka_unit_test(all_findings_at_once),
        cmocka_unit_test(schema),   cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
