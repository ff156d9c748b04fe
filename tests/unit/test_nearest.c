/* "Did you mean": slips are seen, strangers are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/base/nearest.h"

static const char *among(const char *word) {
    static const char *const words[] = {"int8", "int4-g128", "gguf-q8_0", "gguf-q4_0", "f16"};
    const char *best = NULL;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        best = nearest_of(word, best, words[i]);
    return best;
}

static void slips(void **state) {
    assert_string_equal(among("int4_g128"), "int4-g128");
    assert_string_equal(among("int7"), "int8");
    assert_string_equal(among("ggufq4_0"), "gguf-q4_0");
    assert_string_equal(among("fp16"), "f16");
    assert_string_equal(among("gguf-q4_0"), "gguf-q4_0"); /* not q8_0, one slip away and earlier */
}

static void strangers(void **state) {
    assert_null(among("mobile"));
    assert_null(among(""));
    assert_null(among("bf"));
    assert_null(among("a word much longer than any that stands in a table of ours"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips),
        cmocka_unit_test(strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
