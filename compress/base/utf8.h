/*
 * Well-formed UTF-8, as RFC 3629 section 4 draws it: no overlong forms, no surrogates, nothing
 * above U+10FFFF. Threads: any.
 */
#ifndef COMPRESS_BASE_UTF8_H
#define COMPRESS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length (1..4) of the well-formed sequence at s, or 0 when there is none within `left` bytes.
 * Reads no byte behind the first one that breaks the sequence, so a NUL-terminated text may be
 * passed with any large `left`. */
static inline unsigned utf8_len(const void *text, size_t left) {
    const unsigned char *s = (const unsigned char *)text;
    if (left == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    unsigned n = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
                 : (s[0] & 0xf0) == 0xe0        ? 3
                 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                : 0;
    if (n > left)
        return 0;
    for (unsigned i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

static inline bool utf8_valid(const void *text, size_t len) {
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < len;) {
        unsigned n = utf8_len(s + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* In place: what a terminal or a log line could choke on becomes '?': control bytes (C0, DEL, C1)
 * and whatever is no UTF-8. */
static inline void utf8_make_printable(char *text) {
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        unsigned n = utf8_len(s, 4); /* stops at the NUL by itself */
        bool control =
            (n == 1 && (*s < 0x20 || *s == 0x7f)) || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);
        for (unsigned i = 0; control && i < n; i++)
            s[i] = '?';
        if (n == 0)
            *s = '?';
        s += n ? n : 1;
    }
}

#endif
