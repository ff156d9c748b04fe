/* The permutation: the definition's own numbers, from an implementation in Python written from the
 * header; that it is one; and that no place prefers anybody. */
#include "compress/exec/shuffle.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static void numbers_of_the_definition(void **state) {
    static const uint64_t first[] = {0, 3, 9, 7, 4, 5, 6, 1, 2, 8};
    static const uint64_t second[] = {6, 1, 3, 8, 0, 7, 9, 4, 2, 5};
    static const uint64_t places[] = {0, 1, 2, 500000, 1000002};
    static const uint64_t large[] = {985905, 95053, 839871, 760596, 225072};
    for (uint64_t x = 0; x < 10; x++) {
        CHECK_UINT(shuffle_at(shuffle_key(0, 0), 10, x), first[x]);
        CHECK_UINT(shuffle_at(shuffle_key(0, 1), 10, x), second[x]);
    }
    CHECK_UINT(shuffle_key(1234, 7), UINT64_C(0xb2b8ec3a6254e62c));
    for (size_t i = 0; i < 5; i++)
        CHECK_UINT(shuffle_at(shuffle_key(1234, 7), 1000003, places[i]), large[i]);
}

static void everybody_once(void **state) {
    static const uint64_t sizes[] = {1, 2, 3, 4, 7, 64, 1000, 4099};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (uint64_t seed = 0; seed < 5; seed++) {
            uint64_t n = sizes[s];
            uint8_t *seen = calloc(n, 1);
            CHECK(seen != NULL);
            for (uint64_t x = 0; x < n; x++) {
                uint64_t at = shuffle_at(shuffle_key(seed, 1), n, x);
                CHECK(at < n && !seen[at]);
                seen[at] = 1;
            }
            free(seen);
        }
}

/* Chi-square over (place, sample) pairs of n = 8 and over neighbours, 8,000 keys. With 49 and 55
 * degrees of freedom a fair one exceeds 100 once in 40,000 tries. */
static void nobody_preferred(void **state) {
    enum { N = 8, KEYS = 8000 };
    unsigned pairs[N][N] = {0}, follows[N][N] = {0};
    for (uint64_t seed = 0; seed < KEYS; seed++) {
        uint64_t key = shuffle_key(seed, 3), before = 0;
        for (uint64_t x = 0; x < N; x++) {
            uint64_t at = shuffle_at(key, N, x);
            pairs[x][at]++;
            if (x > 0)
                follows[before][at]++;
            before = at;
        }
    }
    double wanted = KEYS / (double)N, chi = 0;
    double neighbours = KEYS * (N - 1) / (double)(N * (N - 1)), chi2 = 0;
    for (int a = 0; a < N; a++)
        for (int b = 0; b < N; b++) {
            chi += (pairs[a][b] - wanted) * (pairs[a][b] - wanted) / wanted;
            if (a != b)
                chi2 += (follows[a][b] - neighbours) * (follows[a][b] - neighbours) / neighbours;
        }
    CHECK(chi < 100);
    CHECK(chi2 < 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_the_definition),
        cmocka_unit_test(everybody_once),
        cmocka_unit_test(nobody_preferred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
