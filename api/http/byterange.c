/* See byterange.h. */
#include "api/http/byterange.h"

#include <string.h>
#include <strings.h>

static bool digits(const char **at, uint64_t *ret) {
    const char *s = *at;
    if (*s < '0' || *s > '9')
        return false;
    uint64_t value = 0;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
            value = UINT64_MAX / 16; /* beyond any file, and stays so */
    *at = s;
    *ret = value;
    return true;
}

static const char *blanks(const char *s) {
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

enum byterange byterange_parse(const char *header, uint64_t total_bytes, uint64_t *ret_first,
                               uint64_t *ret_len) {
    if (!header || strncasecmp(header, "bytes=", 6) != 0 || strchr(header, ','))
        return BYTERANGE_WHOLE;
    const char *s = blanks(header + 6);
    uint64_t first = 0, last = 0;
    bool has_first = digits(&s, &first);
    if (*s++ != '-')
        return BYTERANGE_WHOLE;
    bool has_last = digits(&s, &last);
    if (*blanks(s) || (!has_first && !has_last) || (has_first && has_last && last < first))
        return BYTERANGE_WHOLE;
    if (!has_first) { /* the last `last` bytes */
        if (last == 0 || total_bytes == 0)
            return BYTERANGE_UNSATISFIABLE;
        *ret_len = last < total_bytes ? last : total_bytes;
        *ret_first = total_bytes - *ret_len;
        return BYTERANGE_PART;
    }
    if (first >= total_bytes)
        return BYTERANGE_UNSATISFIABLE;
    if (!has_last || last >= total_bytes)
        last = total_bytes - 1;
    *ret_first = first;
    *ret_len = last - first + 1;
    return BYTERANGE_PART;
}

bool etag_listed(const char *header, const char *etag, bool weak_counts) {
    if (!header)
        return false;
    const char *s = blanks(header);
    if (*s == '*' && !*blanks(s + 1))
        return true;
    size_t len = strlen(etag);
    while (*s) {
        s = blanks(s);
        bool weak = strncmp(s, "W/", 2) == 0;
        if (weak)
            s += 2;
        if (*s != '"')
            return false;
        const char *end = strchr(s + 1, '"');
        if (!end)
            return false;
        if ((size_t)(end + 1 - s) == len && memcmp(s, etag, len) == 0 && (!weak || weak_counts))
            return true;
        s = blanks(end + 1);
        if (*s == ',')
            s++;
        else if (*s)
            return false;
    }
    return false;
}
