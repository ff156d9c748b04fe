/*
 * Globs over names: '*' any run, '?' one byte, '#' a run of decimal digits, '[abc]' a set; no
 * special meaning for '.' or '/'. Linear time in pattern × text (no backtracking explosion).
 * Threads: any.
 */
#ifndef COMPRESS_BASE_GLOB_H
#define COMPRESS_BASE_GLOB_H

#include <stdbool.h>

bool glob_match(const char *pattern, const char *text);
/* The number that the first '#' matched, or -1 (no match or no '#'). */
long glob_number(const char *pattern, const char *text);

#endif
