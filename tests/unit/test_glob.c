/* Globs: every item, the number behind '#', and that a hostile pattern stays cheap. */
#include "compress/base/glob.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static void matches(void **state) {
    static const struct {
        const char *pattern, *text;
        bool yes;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"abc", "abc", true},
        {"abc", "abd", false},
        {"abc", "abcd", false},
        {"*", "", true},
        {"*", "a/b.c", true},
        {"a*", "a", true},
        {"a*c", "abbbc", true},
        {"a*c", "abbb", false},
        {"*.weight", "model.norm.weight", true},
        {"*.weight", ".weight", true},
        {"*.weight", "weight", false},
        {"**", "x", true},
        {"a*b*c", "axbxbxc", true},
        {"?", "a", true},
        {"?", "", false},
        {"a?c", "a.c", true},
        {"a?c", "ac", false},
        {"#", "0", true},
        {"#", "123", true},
        {"#", "", false},
        {"#", "12a", false},
        {"a#b", "a7b", true},
        {"a#b", "ab", false},
        {"a#b", "a77b", true},
        {"##", "1", false},
        {"##", "12", true},
        {"*layers.#.q_proj.weight", "model.layers.12.q_proj.weight", true},
        {"*layers.#.q_proj.weight", "model.layers.x.q_proj.weight", false},
        {"*.[qkv]_proj.*", "l.k_proj.weight", true},
        {"*.[qkv]_proj.*", "l.o_proj.weight", false},
        {"[abc]", "b", true},
        {"[]x", "x", false},    /* an empty set takes nothing */
        {"[abc", "[abc", true}, /* no end: a plain bracket */
        {"[abc", "a", false},
        {"x[ab", "x[ab", true},
        {"]", "]", true},
        {"aab", "ab", false}, /* head and tail may not share bytes */
        {"ab*ba", "aba", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (glob_match(rows[i].pattern, rows[i].text) != rows[i].yes) {
            print_error("%s on %s\n", rows[i].pattern, rows[i].text);
            CHECK(false);
        }
}

static void numbers(void **state) {
    CHECK_INT(glob_number("*layers.#.*", "model.layers.31.mlp"), 31);
    CHECK_INT(glob_number("h.#.x.#", "h.4.x.9"), 4);
    CHECK_INT(glob_number("#", "007"), 7);
    CHECK_INT(glob_number("*#*", "a12b34"), 12);
    CHECK_INT(glob_number("a.#.b", "a.1.c"), -1);
    CHECK_INT(glob_number("a.*.b", "a.1.b"), -1);
    CHECK_INT(glob_number("#", "12345678901234567890"), -1); /* no number of ours */
}

/* Backtracking would need 2^40 steps here. */
static void hostile_patterns_stay_cheap(void **state) {
    char text[4001], pattern[2001];
    memset(text, 'a', 4000);
    text[4000] = 0;
    for (size_t i = 0; i < 2000; i += 2)
        memcpy(pattern + i, "*a", 2);
    memcpy(pattern + 1998, "*b", 3);
    CHECK(!glob_match(pattern, text));
    memcpy(pattern + 1998, "*a", 3);
    CHECK(glob_match(pattern, text)); /* longer than the stack's positions, too */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(numbers),
        cmocka_unit_test(hostile_patterns_stay_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
