/* "Did you mean": slips are seen, strangers are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* Against the whole table of distances, without a diagonal. */
static unsigned plainly(const char *a, const char *b) {
    unsigned cells[32][32];
    size_t a_len = strlen(a), b_len = strlen(b);
    for (size_t i = 0; i <= a_len; i++)
        for (size_t j = 0; j <= b_len; j++) {
            unsigned best = (unsigned)(i + j);
            if (i && j) {
                unsigned swap = cells[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
                unsigned left = cells[i][j - 1] + 1, up = cells[i - 1][j] + 1;
                best = swap < left ? swap : left;
                best = up < best ? up : best;
            }
            cells[i][j] = best;
        }
    return cells[a_len][b_len];
}

static void all_short_words(void **state) {
    static const char letters[] = "abc";
    char words[400][8];
    size_t count = 0;
    for (unsigned len = 5; len <= 7; len++)
        for (unsigned n = 0; n < 130; n++) {
            unsigned code = n * 2654435761u >> 12;
            for (unsigned i = 0; i < len; i++, code /= 3)
                words[count][i] = letters[code % 3];
            words[count++][len] = 0;
        }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            bool near = nearest_of(words[i], NULL, words[k]) != NULL;
            assert_int_equal(near, plainly(words[i], words[k]) <= 2);
        }
    const char *meant = "/model/encoder/layer.11/attention/self/query/MatMul";
    assert_string_equal(
        nearest_of("/model/encoder/layer.11/atention/self/qurry/MatMul", NULL, meant), meant);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips),
        cmocka_unit_test(strangers),
        cmocka_unit_test(all_short_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
