/* JSON in by tables. */
#include "compress/base/jspec.h"
#include "compress/base/limits.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json_t *parse(const char *text) {
    struct err err = ERR_INIT;
    struct json_t *value = NULL;
    CHECK_OK(jspec_parse(text, strlen(text), &value, &err), &err);
    return value;
}

static void malformed_texts(void **state) {
    static const struct {
        const char *text;
        const char *says;
        uint64_t offset;
    } rows[] = {
        {"", "line 1", 0},
        {"{", "line 1", 1},
        {"{\"a\":1,}", "line 1", 8},
        {"{\"a\":1}\n x", "line 2", 10},
        {"{\"a\":1,\"a\":2}", "duplicate", 10},
        {"{\"b\":{\"a\":1,\n\"a\":2}}", "line 2", 16},
        {"[1e400]", "overflow", 6},
        {"[123456789012345678901]", "too big", 22},
        {"{\"a\":NaN}", "line 1", 8},
        {"{\"a\":\"\\u0000\"}", "\\u0000", 13},
        {"{\"a\":\"\xff\"}", "unable to decode byte 0xff", 6},
        {"{\"a\":'x'}", "line 1", 6},
        {"[01]", "line 1", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        struct json_t *value = NULL;
        CHECK_INT(jspec_parse(rows[i].text, strlen(rows[i].text), &value, &err), -1);
        CHECK_HOLDS(err.text, rows[i].says);
        if (err.offset > strlen(rows[i].text))
            fail_msg("%s: offset %d", rows[i].text, (int)err.offset);
        CHECK_FAILS(-1, &err, ERR_BAD_JSON);
        CHECK(value == NULL);
    }
    struct err err = ERR_INIT;
    struct json_t *value = NULL;
    CHECK_FAILS(jspec_parse("[1]\0", 4, &value, &err), &err, ERR_BAD_JSON);
}

static void depth(void **state) {
    char text[4096];
    struct err err = ERR_INIT;
    struct json_t *value = NULL;
    for (int deep = LIMIT_JSON_DEPTH - 1; deep <= LIMIT_JSON_DEPTH + 1; deep++) {
        memset(text, '[', (size_t)deep);
        memset(text + deep, ']', (size_t)deep);
        int rc = jspec_parse(text, (size_t)deep * 2, &value, &err);
        if (deep <= LIMIT_JSON_DEPTH) {
            CHECK_OK(rc, &err);
            jspec_free(value);
        } else {
            CHECK_UINT(err.offset, LIMIT_JSON_DEPTH);
            CHECK_HOLDS(err.text, "nested deeper than 64");
            CHECK_FAILS(rc, &err, ERR_BAD_JSON);
        }
    }
    /* Brackets in strings, behind escaped quotes and in siblings do not nest. */
    size_t at = 0;
    text[at++] = '[';
    for (int i = 0; i < 100; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s[\"\\\"[[\\\\\"],{\"{\":[]}",
                               i ? "," : "");
    text[at++] = ']';
    CHECK_OK(jspec_parse(text, at, &value, &err), &err);
    CHECK_UINT(json_array_len(value), 200);
    jspec_free(value);
    jspec_free(NULL);
    /* Deep and on a later line. */
    at = (size_t)snprintf(text, sizeof text, "{\n  \"a\":");
    memset(text + at, '[', 100);
    CHECK_INT(jspec_parse(text, at + 100, &value, &err), -1);
    CHECK_HOLDS(err.text, "line 2 column 70");
    CHECK_FAILS(-1, &err, ERR_BAD_JSON);
}

struct body {
    const char *name;
    int64_t count;
    double ratio;
    bool dry;
    struct json_t *labels, *list, *any;
    bool has_count, has_name;
};

static const char *const names[] = {"magnitude", "random", NULL};

static int read_body(const char *text, const char *pointer, struct body *body,
                     struct violations *list, struct arena *arena, struct json_t **ret_doc) {
    const struct jspec rows[] = {
        {"name", JSPEC_STRING, &body->name, .required = true, .one_of = names,
         .ret_present = &body->has_name},
        {"group_size", JSPEC_INT, &body->count, .min = 1, .max = 1024,
         .ret_present = &body->has_count},
        {"ratio", JSPEC_NUMBER, &body->ratio, .min = -1, .max = 1},
        {"dry", JSPEC_BOOL, &body->dry},
        {"labels", JSPEC_OBJECT, &body->labels},
        {"a/b~c", JSPEC_ARRAY, &body->list},
        {"any", JSPEC_ANY, &body->any},
    };
    *ret_doc = parse(text);
    return jspec_read(*ret_doc, pointer, rows, sizeof rows / sizeof rows[0], ERR_BAD_FIELD, arena,
                      list);
}

static void reads_an_object(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct violations list;
    violations_init(&list, arena);
    struct body body = {.count = -5};
    struct json_t *doc;
    CHECK_INT(read_body("{\"name\":\"random\",\"ratio\":-1,\"dry\":true,\"labels\":{\"k\":\"v\"},"
                        "\"a/b~c\":[1,2],\"any\":null}",
                        "", &body, &list, arena, &doc),
              0);
    CHECK_TEXT(body.name, "random");
    CHECK_INT(body.count, -5); /* absent: untouched */
    CHECK(!body.has_count && body.has_name);
    CHECK_NUM(body.ratio, -1, 0);
    CHECK(body.dry);
    CHECK_TEXT(json_text(json_get(body.labels, "k")), "v");
    CHECK_UINT(json_array_len(body.list), 2);
    CHECK(body.any != NULL && !json_is(body.any, JSPEC_OBJECT));
    jspec_free(doc);
    CHECK_TEXT(body.name, "random"); /* a copy */
    CHECK_UINT(list.total, 0);
    arena_free(arena);
}

static void collects_every_violation(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct violations list;
    violations_init(&list, arena);
    struct body body = {.count = -5, .ratio = 7};
    struct json_t *doc;
    CHECK_INT(read_body("{\"group_siz\":4,\"xyzzy/\":0,\"name\":\"magnitud\",\"group_size\":2000,"
                        "\"ratio\":-1.5,\"dry\":1,\"labels\":[],\"a/b~c\":{}}",
                        "/stages/0", &body, &list, arena, &doc),
              -1);
    static const struct {
        const char *pointer, *detail, *nearest;
    } want[] = {
        {"/stages/0/group_siz", "did you mean \"group_size\"", "group_size"},
        {"/stages/0/xyzzy~1", "unknown key", NULL},
        {"/stages/0/name", "must be one of \"magnitude\", \"random\"", "magnitude"},
        {"/stages/0/group_size", "must be between 1 and 1024", "1024"},
        {"/stages/0/ratio", "must be between -1 and 1", "-1"},
        {"/stages/0/dry", "must be true or false, not an integer", NULL},
        {"/stages/0/labels", "must be an object, not an array", NULL},
        {"/stages/0/a~1b~0c", "must be an array, not an object", NULL},
    };
    CHECK_UINT(list.count, sizeof want / sizeof want[0]);
    for (size_t i = 0; i < list.count; i++) {
        CHECK_TEXT(list.items[i].pointer, want[i].pointer);
        CHECK_HOLDS(list.items[i].detail, want[i].detail);
        CHECK_TEXT(list.items[i].nearest, want[i].nearest);
        CHECK_INT(list.items[i].code, ERR_BAD_FIELD);
    }
    CHECK_INT(body.count, -5); /* wrong: untouched */
    CHECK_NUM(body.ratio, 7, 0);
    CHECK(body.name == NULL && body.labels == NULL);
    jspec_free(doc);
    arena_free(arena);
}

static void one_violation_each(void **state) {
    static const struct {
        const char *text, *pointer, *detail;
    } rows[] = {
        {"{}", "/name", "is missing"},
        {"[]", "", "must be an object, not an array"},
        {"null", "", "must be an object, not null"},
        {"{\"name\":null}", "/name", "must be a string, not null"},
        {"{\"name\":1}", "/name", "must be a string, not an integer"},
        {"{\"name\":\"random\",\"group_size\":1.5}", "/group_size",
         "must be an integer, not a number with a fraction"},
        {"{\"name\":\"random\",\"group_size\":1e30}", "/group_size", "must be an integer"},
        {"{\"name\":\"random\",\"group_size\":\"4\"}", "/group_size", "not a string"},
        {"{\"name\":\"random\",\"group_size\":0}", "/group_size", "between 1 and 1024"},
        {"{\"name\":\"random\",\"ratio\":true}", "/ratio", "must be a number, not a boolean"},
        {"{\"name\":\"random\",\"ratio\":1.0000001}", "/ratio", "between -1 and 1"},
        {"{\"name\":\"random\",\"\":1}", "/", "unknown key"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *arena = arena_new(1 << 20);
        struct violations list;
        violations_init(&list, arena);
        struct body body = {0};
        struct json_t *doc;
        CHECK_INT(read_body(rows[i].text, "", &body, &list, arena, &doc), -1);
        CHECK_UINT(list.total, 1);
        CHECK_TEXT(list.items[0].pointer, rows[i].pointer);
        CHECK_HOLDS(list.items[0].detail, rows[i].detail);
        jspec_free(doc);
        arena_free(arena);
    }
}

static void numbers_and_lengths(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct violations list;
    violations_init(&list, arena);
    int64_t big = 0, whole = 0;
    double number = 0;
    const char *text = NULL;
    const struct jspec rows[] = {{"big", JSPEC_INT, &big},
                                 {"whole", JSPEC_INT, &whole},
                                 {"number", JSPEC_NUMBER, &number},
                                 {"text", JSPEC_STRING, &text, .min = 1, .max = 3}};
    struct json_t *doc = parse("{\"big\":-9223372036854775808,\"whole\":4.0,\"number\":3,"
                               "\"text\":\"abc\"}");
    CHECK_INT(jspec_read(doc, "", rows, 4, ERR_BAD_FIELD, arena, &list), 0);
    CHECK_INT(big, INT64_MIN);
    CHECK_INT(whole, 4);
    CHECK_NUM(number, 3, 0);
    CHECK_TEXT(text, "abc");
    jspec_free(doc);
    static const char *const wrong[] = {"{\"text\":\"\"}", "{\"text\":\"abcd\"}"};
    for (size_t i = 0; i < 2; i++) {
        violations_init(&list, arena);
        doc = parse(wrong[i]);
        CHECK_INT(jspec_read(doc, "", rows, 4, ERR_BAD_FIELD, arena, &list), -1);
        CHECK_TEXT(list.items[0].detail, "must have 1 to 3 bytes");
        jspec_free(doc);
    }
    arena_free(arena);
}

static int collect(void *ctx, const char *key, struct json_t *value) {
    char *text = ctx;
    size_t used = strlen(text);
    snprintf(text + used, 32 - used, "%s", key);
    return strcmp(key, "stop") == 0 ? 5 : 0;
}

static void small_access(void **state) {
    struct json_t *doc = parse("{\"z\":1,\"a\":\"t\",\"stop\":2.5,\"b\":true,\"n\":null}");
    char seen[32] = "";
    CHECK_INT(json_each(doc, collect, seen), 5);
    CHECK_TEXT(seen, "zastop"); /* document order */
    int64_t i = 0;
    double d = 0;
    bool b = false;
    CHECK(json_int(json_get(doc, "z"), &i) && i == 1);
    CHECK(json_number(json_get(doc, "z"), &d) && d == 1);
    CHECK(json_number(json_get(doc, "stop"), &d) && d == 2.5);
    CHECK(!json_int(json_get(doc, "stop"), &i) && !json_int(json_get(doc, "a"), &i));
    CHECK(json_bool(json_get(doc, "b"), &b) && b);
    CHECK(!json_bool(json_get(doc, "z"), &b) && !json_number(json_get(doc, "b"), &d));
    CHECK(json_get(doc, "absent") == NULL && json_get(json_get(doc, "z"), "x") == NULL);
    CHECK(json_text(json_get(doc, "z")) == NULL && json_text(NULL) == NULL);
    CHECK(!json_int(NULL, &i) && !json_number(NULL, &d) && !json_bool(NULL, &b));
    CHECK(json_array_at(doc, 0) == NULL && json_array_len(doc) == 0);
    CHECK(json_is(json_get(doc, "a"), JSPEC_STRING) && !json_is(json_get(doc, "a"), JSPEC_INT));
    CHECK(json_is(json_get(doc, "n"), JSPEC_ANY) && !json_is(NULL, JSPEC_ANY));
    char *text = json_canonical(doc);
    CHECK_TEXT(text, "{\"a\":\"t\",\"b\":true,\"n\":null,\"stop\":2.5,\"z\":1}");
    free(text);
    text = json_pretty(json_get(doc, "stop"));
    CHECK_TEXT(text, "2.5");
    free(text);
    text = json_pretty(doc); /* in the order of the document, not of the alphabet */
    CHECK(strncmp(text, "{\n  \"z\": 1,\n", 12) == 0);
    free(text);
    jspec_free(doc);
}

static void pointers(void **state) {
    struct arena *arena = arena_new(1 << 16);
    CHECK_TEXT(jspec_pointer("", "a", arena), "/a");
    CHECK_TEXT(jspec_pointer("/x", "", arena), "/x/");
    CHECK_TEXT(jspec_pointer("/x", "a/b~c~1", arena), "/x/a~1b~0c~01");
    arena_free(arena);
}

static void no_memory(void **state) {
    static const char text[] = "{\"name\":\"random\",\"labels\":{\"k\":[1,2.5,\"x\"]}}";
    for (unsigned n = 0;; n++) {
        struct err err = ERR_INIT;
        struct json_t *doc = NULL;
        allocfail_arm(n);
        int rc = jspec_parse(text, sizeof text - 1, &doc, &err);
        bool failed = allocfail_disarm();
        if (!failed) {
            jspec_free(doc);
            CHECK_OK(rc, &err);
            CHECK(n >= 5);
            break;
        }
        /* In the middle of a string jansson takes lack of memory for a syntax error. */
        CHECK_INT(rc, -1);
        CHECK(err.code == ERR_NO_MEMORY || err.code == ERR_BAD_JSON);
        CHECK(doc == NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_texts),    cmocka_unit_test(depth),
        cmocka_unit_test(reads_an_object),    cmocka_unit_test(collects_every_violation),
        cmocka_unit_test(one_violation_each), cmocka_unit_test(numbers_and_lengths),
        cmocka_unit_test(small_access),       cmocka_unit_test(pointers),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
