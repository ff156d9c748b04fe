/* The JSON scanner: what it takes, what it refuses, and where it says so. */
#include "compress/base/limits.h"
#include "compress/formats/json_scan.h"
#include "tests/support/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int skip_whole(const char *text, size_t len, struct err *err) {
    struct json_scan s = json_scan_over(text, len, "f", 100);
    return json_scan_skip(&s, err) < 0 ? -1 : json_scan_end(&s, err);
}

static void takes_what_is_json(void **state) {
    static const char *const good[] = {
        "{}",
        "[]",
        " [ 1 , -2.5e+10 , 0 , true , false , null , \"x\" ] ",
        "{\"a\":{\"b\":[{}]}}",
        "\"\\u0041\\n\\ud83d\\ude00\\\\\\\"\"",
        "0.5",
        "-0",
        "1E3",
        "\"na\xc3\xafve\"",
    };
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_OK(skip_whole(good[i], strlen(good[i]), &err), &err);
}

static void refuses_with_an_offset(void **state) {
    static const struct {
        const char *text;
        uint64_t offset;
        const char *part;
    } bad[] = {
        {"", 0, "too early"},
        {"{", 1, "ends inside an object"},
        {"[", 1, "ends inside an array"},
        {"[1", 2, "ends inside an array"},
        {"[1,]", 3, "a JSON value was expected"},
        {"[1 2]", 3, "',' or ']'"},
        {"{\"a\" 1}", 5, "':'"},
        {"{\"a\":1,}", 7, "a string was expected"},
        {"{a:1}", 1, "a string was expected"},
        {"{,}", 1, "a string was expected"},
        {"[,1]", 1, "a JSON value was expected"},
        {"tru", 0, "a JSON value was expected"},
        {"NaN", 0, "a JSON value was expected"},
        {"01", 0, "malformed"},
        {"1.", 0, "malformed"},
        {"1e", 0, "malformed"},
        {"-", 0, "malformed"},
        {"\"abc", 4, "no end"},
        {"\"abc\\", 5, "no end"},
        {"\"a\x01\"", 2, "control byte"},
        {"\"a\xff\"", 2, "invalid UTF-8"},
        {"\"\xc0\xaf\"", 1, "invalid UTF-8"},
        {"\"\\x\"", 1, "unknown escape"},
        {"\"\\u12\"", 1, "half an escape"},
        {"\"\\u12g4\"", 1, "malformed \\u"},
        {"\"\\u0000\"", 7, "a NUL"},
        {"\"\\ud800\"", 7, "half a surrogate"},
        {"\"\\ud800\\u0041\"", 13, "half a surrogate"},
        {"\"\\udc00\"", 7, "half a surrogate"},
        {"{} x", 3, "follow"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = ERR_INIT;
        int rc = skip_whole(bad[i].text, strlen(bad[i].text), &err);
        if (rc == 0 || err.code != ERR_BAD_MODEL || err.offset != 100 + bad[i].offset ||
            !strstr(err.text, bad[i].part)) {
            print_error("%s: code %d, offset %llu: %s\n", bad[i].text, (int)err.code,
                        (unsigned long long)err.offset, err.text);
            CHECK(false);
        }
        CHECK_TEXT(err.file, "f");
    }
}

static void depth_is_capped(void **state) {
    struct err err = ERR_INIT;
    char text[2 * LIMIT_JSON_DEPTH + 10];
    for (int depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        if (depth == LIMIT_JSON_DEPTH)
            CHECK_OK(skip_whole(text, 2 * (size_t)depth, &err), &err);
        else {
            CHECK(skip_whole(text, 2 * (size_t)depth, &err) < 0);
            CHECK_HOLDS(err.text, "nested deeper");
        }
    }
}

static void strings_are_unescaped(void **state) {
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 << 16);
    const char text[] = "{\"k\\u00e9y\" : \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u20ac\\ud83d\\ude00z\", "
                        "\"\": \"\"}";
    struct json_scan s = json_scan_over(text, sizeof text - 1, "f", 0);
    const char *key, *value;
    CHECK_OK(json_scan_enter(&s, '{', &err), &err);
    CHECK_INT(json_scan_member(&s, arena, &key, &err), 1);
    CHECK_UINT(s.key_at, 1);
    CHECK_TEXT(key, "k\xc3\xa9y");
    CHECK_OK(json_scan_string(&s, arena, &value, &err), &err);
    CHECK_TEXT(value, "\"\\/\b\f\n\r\t\xe2\x82\xac\xf0\x9f\x98\x80z");
    CHECK_INT(json_scan_member(&s, arena, &key, &err), 1);
    CHECK_TEXT(key, "");
    CHECK_OK(json_scan_string(&s, arena, &value, &err), &err);
    CHECK_TEXT(value, "");
    CHECK_INT(json_scan_member(&s, arena, &key, &err), 0);
    CHECK_OK(json_scan_end(&s, &err), &err);
    arena_free(arena);
}

static void whole_numbers(void **state) {
    struct err err = ERR_INIT;
    uint64_t v = 0;
    struct json_scan s = json_scan_over(" 18446744073709551615,", 22, "f", 0);
    CHECK_OK(json_scan_u64(&s, &v, &err), &err);
    CHECK_UINT(v, UINT64_MAX);
    static const char *const bad[] = {"18446744073709551616",   "-1", "1.0", "1e3", "01", "", "x",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s = json_scan_over(bad[i], strlen(bad[i]), "f", 0);
        CHECK_FAILS(json_scan_u64(&s, &v, &err), &err, ERR_BAD_MODEL);
    }
    CHECK_UINT(v, UINT64_MAX);
}

static void memory_runs_out(void **state) {
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(4096);
    char *text = malloc(20000);
    memset(text, 'a', 20000);
    text[0] = text[19999] = '"';
    const char *value = NULL;
    struct json_scan s = json_scan_over(text, 20000, "f", 0);
    CHECK_FAILS(json_scan_string(&s, arena, &value, &err), &err, ERR_NO_MEMORY);
    CHECK(!value);
    free(text);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_json), cmocka_unit_test(refuses_with_an_offset),
        cmocka_unit_test(depth_is_capped),    cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(whole_numbers),      cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
