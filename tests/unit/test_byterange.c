/* Range headers and lists of entity tags. */
#include "api/http/byterange.h"
#include "tests/support/check.h"

static void ranges(void **state) {
    const struct {
        const char *header;
        uint64_t total;
        enum byterange want;
        uint64_t first, len;
    } cases[] = {
        {NULL, 10, BYTERANGE_WHOLE, 0, 0},
        {"bytes=0-0", 10, BYTERANGE_PART, 0, 1},
        {"bytes=0-9", 10, BYTERANGE_PART, 0, 10},
        {"bytes=3-", 10, BYTERANGE_PART, 3, 7},
        {"bytes=3-100", 10, BYTERANGE_PART, 3, 7},
        {"Bytes= 3-5", 10, BYTERANGE_PART, 3, 3},
        {"bytes=-3", 10, BYTERANGE_PART, 7, 3},
        {"bytes=-30", 10, BYTERANGE_PART, 0, 10},
        {"bytes=9-9", 10, BYTERANGE_PART, 9, 1},
        {"bytes=10-", 10, BYTERANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", 10, BYTERANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-", 0, BYTERANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-1", 0, BYTERANGE_UNSATISFIABLE, 0, 0},
        {"bytes=99999999999999999999999-", 10, BYTERANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-99999999999999999999999", 10, BYTERANGE_PART, 0, 10},
        {"bytes=5-4", 10, BYTERANGE_WHOLE, 0, 0},
        {"bytes=-", 10, BYTERANGE_WHOLE, 0, 0},
        {"bytes=", 10, BYTERANGE_WHOLE, 0, 0},
        {"bytes=1", 10, BYTERANGE_WHOLE, 0, 0},
        {"bytes=0-1,3-4", 10, BYTERANGE_WHOLE, 0, 0},
        {"bytes=0-1x", 10, BYTERANGE_WHOLE, 0, 0},
        {"bytes=--1", 10, BYTERANGE_WHOLE, 0, 0},
        {"lines=0-1", 10, BYTERANGE_WHOLE, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t first = 0, len = 0;
        CHECK_INT(byterange_parse(cases[i].header, cases[i].total, &first, &len), cases[i].want);
        if (cases[i].want == BYTERANGE_PART) {
            CHECK_UINT(first, cases[i].first);
            CHECK_UINT(len, cases[i].len);
        }
    }
}

static void tags(void **state) {
    const char *tag = "\"abc\"";
    CHECK(!etag_listed(NULL, tag, true));
    CHECK(!etag_listed("", tag, true));
    CHECK(etag_listed("\"abc\"", tag, false));
    CHECK(etag_listed(" \"x\" , \"abc\"", tag, false));
    CHECK(etag_listed("*", tag, false));
    CHECK(etag_listed(" * ", tag, false));
    CHECK(!etag_listed("**", tag, false));
    CHECK(!etag_listed("abc", tag, true));
    CHECK(!etag_listed("\"abcd\"", tag, true));
    CHECK(!etag_listed("\"ab\"", tag, true));
    CHECK(!etag_listed("\"abc", tag, true));
    CHECK(etag_listed("W/\"abc\"", tag, true));
    CHECK(!etag_listed("W/\"abc\"", tag, false));
    CHECK(!etag_listed("\"x\" \"abc\"", tag, true));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
