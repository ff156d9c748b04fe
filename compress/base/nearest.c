/* Edit distance in one row, over words of bounded length, near the diagonal alone. */
#include "compress/base/nearest.h"

#include <string.h>

enum { SLIPS = 2 };

/* Levenshtein distance, or more than SLIPS as soon as it is certain to exceed that: only the cells
 * that are so near to the diagonal are looked at. Words longer than any name of ours are far from
 * all of them. */
static unsigned distance(const char *a, const char *b) {
    enum { WORD = 255, FAR = SLIPS + 1 };
    size_t a_len = strnlen(a, WORD + 1), b_len = strnlen(b, WORD + 1);
    if (a_len > WORD || b_len > WORD || a_len > b_len + SLIPS || b_len > a_len + SLIPS)
        return FAR;
    unsigned row[WORD + 2];
    for (size_t j = 0; j <= b_len + 1; j++)
        row[j] = j < FAR ? (unsigned)j : FAR;
    for (size_t i = 1; i <= a_len; i++) {
        size_t from = i > SLIPS ? i - SLIPS : 1, to = i + SLIPS < b_len ? i + SLIPS : b_len;
        unsigned diagonal = row[from - 1], nearest = FAR;
        row[from - 1] = from == 1 && i < FAR ? (unsigned)i : FAR;
        for (size_t j = from; j <= to; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best < FAR ? best : FAR;
            nearest = row[j] < nearest ? row[j] : nearest;
        }
        row[to + 1] = FAR;
        if (nearest == FAR && i > SLIPS)
            return FAR;
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
