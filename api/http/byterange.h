/*
 * Range and entity-tag headers (RFC 9110 sections 8.8, 13 and 14), as far as we promise them: a
 * single byte range, strong tags. Pure text; threads: any.
 */
#ifndef API_HTTP_BYTERANGE_H
#define API_HTTP_BYTERANGE_H

#include <stdbool.h>
#include <stdint.h>

enum byterange {
    BYTERANGE_WHOLE, /* no header, another unit, several ranges or bad syntax: the whole body */
    BYTERANGE_PART,  /* *ret_first and *ret_len lie inside */
    BYTERANGE_UNSATISFIABLE,
};

/* header may be NULL. */
enum byterange byterange_parse(const char *header, uint64_t total_bytes, uint64_t *ret_first,
                               uint64_t *ret_len);

/* Does a list of tags ("a", W/"b" or *) name this strong tag? With `weak_counts` a W/ form of it
 * does too (If-None-Match), else not (If-Match, If-Range). */
bool etag_listed(const char *header, const char *etag, bool weak_counts);

#endif
