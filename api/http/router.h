/*
 * Path → row of the route table.
 *
 * Segments are decoded one by one: %2F does not split, %00, control bytes, malformed escapes and
 * invalid UTF-8 are refused. Threads: any.
 */
#ifndef API_HTTP_ROUTER_H
#define API_HTTP_ROUTER_H

#include "api/http/route.h"
#include "compress/base/arena.h"

struct route_match {
    const struct route *route; /* NULL: not found, or not with this method */
    const char *args[4];
    const char *allow; /* "GET, HEAD, PUT" when the path exists without the method, else NULL */
};

/* `method` as sent; HEAD is served by GET. -1 with ERR_BAD_REQUEST when the path is malformed. */
int router_match(const struct route *table, size_t count, const char *method, const char *path,
                 struct arena *arena, struct route_match *ret, struct err *err);

/* Percent-decodes len bytes. NULL when malformed, NUL, control byte, not UTF-8 (or, in a path
 * segment, an escaped '/'), or when the arena is full. */
char *router_decode(const char *text, size_t len, bool is_segment, struct arena *arena);

const char *method_name(enum method method);

#endif
