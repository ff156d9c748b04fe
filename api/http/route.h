/*
 * What a row of the route table says. The table (api/routes/routes.c) is the only source: the
 * router, the checks before a handler, 404/405/Allow, HEAD and /openapi.json are walks over it.
 */
#ifndef API_HTTP_ROUTE_H
#define API_HTTP_ROUTE_H

#include "compress/base/err.h"
#include "storage/tables/models_tbl.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;

/* One step of a handler, on an HTTP thread or (as offloaded work) on a pool thread. On an HTTP
 * thread it ends with a reply set, or with a wait begun (request.h), or with -1 and err, which
 * becomes the problem document. */
typedef int request_step(struct request *r, struct err *err);

enum method { METHOD_GET, METHOD_PUT, METHOD_POST, METHOD_PATCH, METHOD_DELETE, METHODS };

enum route_scope {
    SCOPE_OPEN, /* needs no token: nothing of a team is behind it */
    SCOPE_TEAM, /* sees and changes what belongs to the caller's team */
};

enum route_body {
    BODY_NONE,   /* a body is refused */
    BODY_JSON,   /* application/json, whole in memory, at most body_limit_bytes */
    BODY_STREAM, /* goes to `chunk` as it arrives */
};

enum query_kind { QUERY_STRING, QUERY_INT, QUERY_BOOL };

struct query_key {
    const char *key; /* NULL ends the list */
    enum query_kind kind;
    int64_t min, max; /* INT: value; STRING: length; both 0: no bounds */
    const char *doc;
};

struct header_doc {
    const char *name; /* NULL ends the list */
    bool required;
    const char *doc;
};

struct route_response {
    unsigned status;    /* 0 ends the list */
    const char *schema; /* name in components/schemas (schemas.h), or NULL */
    const char *type;   /* media type, NULL: no body */
    const char *doc;
};

struct route {
    enum method method;
    const char *pattern; /* "/v1/jobs/{id}/artifacts/{path*}": {x} one segment, {x*} all the rest */
    const char *operation; /* operationId */
    const char *tag;
    const char *summary; /* one line */
    const char *doc;     /* paragraph, or NULL */
    enum route_scope scope;
    enum model_kind kind; /* of what {name} stands for */
    bool at_limit;        /* answers above the soft connection limit and while draining */
    enum route_body body;
    uint64_t body_limit_bytes;
    bool body_optional; /* JSON: may be left out */
    const struct query_key *query;
    const struct header_doc *headers;
    const char *request_schema;
    const char *request_types; /* media types of a streamed body, comma-separated */
    const struct route_response *responses;
    const enum err_code *problems; /* those of this route alone; ERR_OK ends the list */
    request_step *begin;           /* STREAM: at the headers, to refuse before the body */
    /* STREAM: takes all bytes, or fewer after having suspended the request (request_suspend); the
     * rest comes again. -1 with err: answered late. */
    int (*chunk)(struct request *r, const void *data, size_t len, size_t *ret_taken,
                 struct err *err);
    request_step *run; /* when the body, if any, is whole */
};

#endif
