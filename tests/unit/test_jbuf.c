/* JSON out by appending; what is written is read back by a parser. */
#include "compress/base/jbuf.h"
#include "compress/base/jspec.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json_t *parse(const char *text) {
    struct err err = ERR_INIT;
    struct json_t *value = NULL;
    CHECK_OK(jspec_parse(text, strlen(text), &value, &err), &err);
    return value;
}

static void check_taken(struct jbuf *b, const char *want) {
    size_t len = 0;
    char *text = jbuf_take(b, &len);
    CHECK_TEXT(text, want);
    CHECK_UINT(len, strlen(want));
    free(text);
}

static void writes_structure(void **state) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "s", "x");
    jbuf_kv_string(&b, "none", NULL);
    jbuf_key(&b, "list");
    jbuf_array(&b);
    jbuf_int(&b, -1);
    jbuf_array(&b);
    jbuf_array_end(&b);
    jbuf_object(&b);
    jbuf_object_end(&b);
    jbuf_null(&b);
    jbuf_stringf(&b, "%d%%", 5);
    jbuf_array_end(&b);
    jbuf_kv_bool(&b, "t", true);
    jbuf_kv_bool(&b, "f", false);
    jbuf_kv_raw(&b, "raw", "{\"a\":1}");
    jbuf_kv_raw(&b, "noraw", NULL);
    jbuf_kv_int(&b, "i", INT64_MIN);
    jbuf_kv_uint(&b, "u", UINT64_MAX);
    jbuf_kv_number(&b, "n", 0.5);
    jbuf_object_end(&b);
    check_taken(&b, "{\"s\":\"x\",\"none\":null,\"list\":[-1,[],{},null,\"5%\"],\"t\":true,"
                    "\"f\":false,\"raw\":{\"a\":1},\"noraw\":null,\"i\":-9223372036854775808,"
                    "\"u\":18446744073709551615,\"n\":0.5}");
    jbuf_array(&b); /* empty again after take */
    jbuf_array_end(&b);
    check_taken(&b, "[]");
    check_taken(&b, "");
    jbuf_free(&b);
}

static void writes_strings(void **state) {
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"", "\"\""},
        {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
        {"\n\r\t\x01\x1f\x7f", "\"\\n\\r\\t\\u0001\\u001f\x7f\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b\xc3",
         "\"a\xef\xbf\xbd"
         "b\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    struct jbuf b;
    jbuf_init(&b);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        jbuf_string(&b, rows[i].in);
        check_taken(&b, rows[i].out);
        b.need_comma = false;
    }
    char longer[2000];
    memset(longer, 'y', sizeof longer);
    longer[sizeof longer - 1] = 0;
    jbuf_stringf(&b, "%s\n", longer);
    size_t len;
    char *text = jbuf_take(&b, &len);
    CHECK_UINT(len, sizeof longer - 1 + 4);
    CHECK_HOLDS(text, "yyy\\n\"");
    free(text);
    for (unsigned c = 1; c < 256; c++) { /* whatever goes in, a parser takes it */
        char one[2] = {(char)c, 0};
        jbuf_string(&b, one);
        text = jbuf_take(&b, NULL);
        jspec_free(parse(text));
        free(text);
    }
}

static void number_is(double value, const char *want) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_number(&b, value);
    check_taken(&b, want);
}

static void writes_numbers(void **state) {
    number_is(0, "0");
    number_is(-0.0, "-0");
    number_is(1, "1");
    number_is(-42, "-42");
    number_is(0.1, "0.1");
    number_is(0.1 + 0.2, "0.30000000000000004");
    number_is(1.0 / 3, "0.3333333333333333");
    number_is(100, "100");
    number_is(1e15, "1e+15");
    number_is(999999999999999, "999999999999999");
    number_is(1e22, "1e+22");
    number_is(123456789.125, "123456789.125");
    number_is(5e-324, "4.94065645841247e-324");
    number_is(1.7976931348623157e308, "1.7976931348623157e+308");
    number_is((double)0.1f, "0.10000000149011612");
    number_is(NAN, "null");
    number_is(INFINITY, "null");
    number_is(-INFINITY, "null");
}

/* Whatever bits: what is printed reads back as the same double, in fewest of 15 to 17 digits. */
static void numbers_come_back(void **state) {
    uint64_t x = 88172645463325252u;
    struct jbuf b;
    jbuf_init(&b);
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        double value, back;
        memcpy(&value, &x, sizeof value);
        if (i % 2)
            value = (double)(int64_t)x / 1e9;
        if (!isfinite(value))
            continue;
        jbuf_number(&b, value);
        char *text = jbuf_take(&b, NULL);
        struct json_t *read = parse(text);
        CHECK(json_number(read, &back));
        if (value != back)
            fail_msg("%a was printed as %s", value, text);
        jspec_free(read);
        free(text);
    }
}

static void a_comma_for_a_point(void **state) {
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"};
    bool set = false;
    for (size_t i = 0; i < 3 && !set; i++)
        set = setlocale(LC_NUMERIC, locales[i]) != NULL;
    if (!set)
        skip();
    char probe[8];
    snprintf(probe, sizeof probe, "%.1f", 0.5);
    struct jbuf b;
    jbuf_init(&b);
    jbuf_array(&b);
    jbuf_number(&b, 0.25);
    jbuf_number(&b, 1.5e-9);
    jbuf_number(&b, 1e100);
    jbuf_array_end(&b);
    char *text = jbuf_take(&b, NULL);
    setlocale(LC_NUMERIC, "C");
    CHECK_TEXT(probe, "0,5");
    CHECK_TEXT(text, "[0.25,1.5e-09,1e+100]");
    free(text);
}

static void writes_violations(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct violations list;
    violations_init(&list, arena);
    violations_add(&list, ERR_MISFIT, "/stages/0", "no");
    struct violation *row = violations_add(&list, ERR_BAD_MODEL, NULL, "bad \"x\"");
    row->tensor = "w";
    row->file = "f";
    row->offset = 0;
    row->group = "g";
    row->nearest = "8";
    struct jbuf b;
    jbuf_init(&b);
    jbuf_violations(&b, &list);
    check_taken(&b,
                "[{\"pointer\":\"/stages/0\",\"detail\":\"no\"},"
                "{\"pointer\":\"\",\"detail\":\"bad \\\"x\\\"\",\"tensor\":\"w\",\"file\":\"f\","
                "\"offset\":0,\"group\":\"g\",\"nearest\":\"8\"}]");
    arena_free(arena);
}

static void no_memory(void **state) {
    struct jbuf b;
    jbuf_init(&b);
    allocfail_arm(1);
    jbuf_array(&b);
    for (int i = 0; i < 1000; i++)
        jbuf_int(&b, i);
    CHECK(allocfail_disarm());
    jbuf_array_end(&b); /* memory is back, but the text has a hole */
    size_t len = 77;
    CHECK(jbuf_take(&b, &len) == NULL);
    CHECK_UINT(len, 77);
    jbuf_null(&b); /* and the buffer is as new */
    check_taken(&b, "null");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_structure),    cmocka_unit_test(writes_strings),
        cmocka_unit_test(writes_numbers),      cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(a_comma_for_a_point), cmocka_unit_test(writes_violations),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
