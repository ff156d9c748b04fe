/* Edit distance in one row, over words of bounded length. */
#include "compress/base/nearest.h"

#include <string.h>

/* Levenshtein distance, or more than 2 as soon as it is certain to exceed 2. Words longer than any
 * key of ours are far from all of them. */
static unsigned distance(const char *a, const char *b) {
    enum { WORD = 31 };
    size_t a_len = strnlen(a, WORD + 1), b_len = strnlen(b, WORD + 1);
    if (a_len > WORD || b_len > WORD)
        return 3;
    unsigned row[WORD + 1];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *nearest_of(const char *word, const char *best, const char *candidate) {
    unsigned allowed = strlen(candidate) > 4 ? 2 : 1;
    unsigned d = distance(word, candidate);
    if (d > allowed || (best && d >= distance(word, best)))
        return best;
    return candidate;
}
