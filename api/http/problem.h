/*
 * THE table from error code to HTTP: status and whether to try again; and problem documents (RFC
 * 9457).
 *
 *   {type, title, status, detail, instance, request_id, errors: [{pointer, detail, tensor?, file?,
 *    offset?, group?, nearest?}]}
 *
 * `type` is /problems/<slug>, a page that the daemon serves. Threads: any.
 */
#ifndef API_HTTP_PROBLEM_H
#define API_HTTP_PROBLEM_H

#include "compress/base/err.h"
#include "compress/base/jbuf.h"
#include "compress/base/violations.h"

struct problem_rule {
    enum err_code code;
    unsigned status;
    unsigned retry_after_seconds; /* 0: trying again does not help */
    const char *advice;           /* for the page: what to do about it */
};

/* Never NULL: an unknown code is an internal error. */
const struct problem_rule *problem_rule(enum err_code code);

/* Appends the document as one value. instance, request_id and list may be NULL. */
void problem_json(struct jbuf *b, const struct err *err, const struct violations *list,
                  const char *instance, const char *request_id);
/* The page of one problem type, HTML; NULL when there is no such slug or memory ran out. */
char *problem_page(const char *slug, size_t *ret_len);

#endif
