/* Every lead byte and the edges of RFC 3629. */
#include "compress/base/utf8.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

static unsigned encode(uint32_t point, unsigned char out[4]) {
    if (point < 0x80) {
        out[0] = (unsigned char)point;
        return 1;
    }
    unsigned n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (unsigned i = n - 1; i > 0; i--, point >>= 6)
        out[i] = (unsigned char)(0x80 | (point & 0x3f));
    out[0] = (unsigned char)((0xf00 >> n & 0xff) | point);
    return n;
}

static void all_code_points(void **state) {
    for (uint32_t point = 0; point < 0x110000; point++) {
        unsigned char text[4];
        unsigned n = encode(point, text);
        unsigned want = point >= 0xd800 && point < 0xe000 ? 0 : n;
        unsigned got = utf8_len(text, n);
        if (got != want)
            fail_msg("U+%04X: %u, expected %u", point, got, want);
        if (n > 1)
            CHECK_UINT(utf8_len(text, n - 1), 0);
    }
}

static void malformed(void **state) {
    static const char *const rows[] = {"\x80",
                                       "\xbf",
                                       "\xc0\x80",
                                       "\xc1\xbf",
                                       "\xe0\x80\x80",
                                       "\xe0\x9f\xbf",
                                       "\xed\xa0\x80",
                                       "\xf0\x80\x80\x80",
                                       "\xf0\x8f\xbf\xbf",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80",
                                       "\xff",
                                       "\xc3(",
                                       "\xe2\x82(",
                                       "\xf0\x9f\x98("};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_UINT(utf8_len(rows[i], strlen(rows[i])), 0);
        CHECK(!utf8_valid(rows[i], strlen(rows[i])));
    }
    CHECK_UINT(utf8_len("", 0), 0);
    CHECK(utf8_valid("", 0));
    CHECK(utf8_valid("a\0b", 3));
    CHECK(utf8_valid("na\xc3\xafve \xf0\x9f\x98\x80", 11));
}

static void printable(void **state) {
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"plain, na\xc3\xafve \xf0\x9f\x98\x80", "plain, na\xc3\xafve \xf0\x9f\x98\x80"},
        {"\x1b[2J\n\x7f", "?[2J??"},
        {"\xc2\x9b[2J", "??[2J"}, /* CSI as one C1 control */
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xff\xe2\x82", "???"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", rows[i].text);
        utf8_make_printable(text);
        CHECK_TEXT(text, rows[i].printed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_code_points),
        cmocka_unit_test(malformed),
        cmocka_unit_test(printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
