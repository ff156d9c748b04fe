/*
 * A failure as members of an RFC 9457 problem: type, title, detail, errors. What a job stores when
 * it fails, what compressctl prints under --json, and the body of an HTTP problem (which adds
 * status, instance and request_id).
 */
#ifndef COMPRESS_BASE_PROBLEMDOC_H
#define COMPRESS_BASE_PROBLEMDOC_H

#include "compress/base/err.h"
#include "compress/base/jbuf.h"
#include "compress/base/violations.h"

/* Inside an open object. `list` may be NULL or empty: then what err itself names (pointer, tensor,
 * file, offset, nearest) becomes the one entry of `errors`, if it names anything. */
void problemdoc_members(struct jbuf *b, const struct err *err, const struct violations *list);

/* The same as an object of its own, malloc'd; NULL when out of memory. */
char *problemdoc_json(const struct err *err, const struct violations *list);

#endif
