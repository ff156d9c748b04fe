/* Editing a configuration as text: every byte that is not meant stays. */
#include "compress/formats/config_edit.h"
#include "tests/support/check.h"

#include <string.h>

static void edits(void **state) {
    static const struct {
        const char *text;
        struct config_change change[2];
        const char *want;
    } rows[] = {
        /* Replace in place, indented like the file. */
        {"{\n  \"a\": 1,\n  \"q\": {\"x\": 2},\n  \"b\": 1e400\n}\n",
         {{.key = "q", .value = "{\"y\":[1,2],\"e\":{}}"}},
         "{\n  \"a\": 1,\n  \"q\": {\n    \"y\": [\n      1,\n      2\n    ],\n    \"e\": {}\n  "
         "},\n  \"b\": 1e400\n}\n"},
        /* Append. */
        {"{\n\t\"a\": 1\n}",
         {{.key = "q", .value = "{\"y\":1}"}},
         "{\n\t\"a\": 1,\n\t\"q\": {\n\t\t\"y\": 1\n\t}\n}"},
        {"{\"a\": 1}",
         {{.key = "q", .value = "{\"y\":[1,2]}"}},
         "{\"a\": 1, \"q\": {\"y\": [1, 2]}}"},
        {"{}", {{.key = "q", .value = "true"}}, "{\n  \"q\": true\n}"},
        /* Take out: first, middle, last, only. */
        {"{\n  \"q\": 1,\n  \"b\": 2\n}", {{.key = "q"}}, "{\n  \"b\": 2\n}"},
        {"{\n  \"a\": 1 ,\n  \"q\": [1],\n  \"b\": 2\n}",
         {{.key = "q"}},
         "{\n  \"a\": 1,\n  \"b\": 2\n}"},
        {"{\n  \"a\": 1,\n  \"q\": null\n}", {{.key = "q"}}, "{\n  \"a\": 1\n}"},
        {"{ \"q\" : 1 , \"b\": 2}", {{.key = "q"}}, "{ \"b\": 2}"},
        {"{\"q\": 1}", {{.key = "q"}}, "{}"},
        {"{\"q\": 1, \"r\": 2, \"b\": 3}", {{.key = "q"}, {.key = "r"}}, "{ \"b\": 3}"},
        /* Conditions. */
        {"{\"a\": 1}", {{.key = "q", .value = "2", .only_if_present = true}}, "{\"a\": 1}"},
        {"{\"a\": 1}", {{.key = "q", .value = "2", .unless = "a"}}, "{\"a\": 1}"},
        {"{\"q\": 1, \"a\": 1}",
         {{.key = "q", .value = "2", .unless = "a"}},
         "{\"q\": 2, \"a\": 1}"},
        {"{\"a\": 1}", {{.key = "nothing"}}, "{\"a\": 1}"},
        /* Only the top level, and keys by what they mean. */
        {"{\"a\": {\"q\": 1}, \"\\u0071\": 1}",
         {{.key = "q", .value = "2"}},
         "{\"a\": {\"q\": 1}, \"\\u0071\": 2}"},
        {"\n {\"a\\\"\": \"{\\\"q\\\": 1}\" }  \n",
         {{.key = "q", .value = "\"}{\""}},
         "\n {\"a\\\"\": \"{\\\"q\\\": 1}\", \"q\": \"}{\" }  \n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = ERR_INIT;
        struct arena *arena = arena_new(1 << 20);
        const char *got;
        size_t len, changes = rows[i].change[1].key ? 2 : 1;
        CHECK_OK(config_edit(rows[i].text, strlen(rows[i].text), "config.json", rows[i].change,
                             changes, arena, &got, &len, &err),
                 &err);
        CHECK_TEXT(arena_strndup(arena, got, len), rows[i].want);
        arena_free(arena);
    }
}

static void no_object_is_refused(void **state) {
    static const char *const bad[] = {"", "[]", "1", "{", "{}{}", "{\"a\":}", "{\"a\":1,}"};
    struct config_change change = {.key = "q", .value = "1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = ERR_INIT;
        struct arena *arena = arena_new(1 << 20);
        const char *got;
        size_t len;
        CHECK(config_edit(bad[i], strlen(bad[i]), "config.json", &change, 1, arena, &got, &len,
                          &err) < 0);
        CHECK_INT(err.code, ERR_BAD_MODEL);
        CHECK_TEXT(err.file, "config.json");
        arena_free(arena);
    }
}

static void memory_runs_out(void **state) {
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(8192);
    char text[20000];
    memset(text, ' ', sizeof text);
    text[0] = '{';
    text[sizeof text - 1] = '}';
    memcpy(text + sizeof text - 8, "\"a\":1", 5);
    struct config_change change = {.key = "q", .value = "1"};
    const char *got;
    size_t len;
    CHECK_FAILS(config_edit(text, sizeof text, "f", &change, 1, arena, &got, &len, &err), &err,
                ERR_NO_MEMORY);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits),
        cmocka_unit_test(no_object_is_refused),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
