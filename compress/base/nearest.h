/*
 * "Did you mean": the word of a list that was probably meant by a misspelt one. Threads: any.
 */
#ifndef COMPRESS_BASE_NEAREST_H
#define COMPRESS_BASE_NEAREST_H

/* One step of a walk over candidates: the better of `best` (NULL at first) and `candidate` for
 * `word`, or NULL while none is close: at most two slips (Levenshtein 1966), one in a short word.
 */
const char *nearest_of(const char *word, const char *best, const char *candidate);

#endif
