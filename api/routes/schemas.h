/*
 * The schemas of everything that goes in and out, by name: components/schemas of /openapi.json.
 *
 * Written with single quotes for readability; the printer turns them into double ones, so no text
 * may hold either. The HTTP tests validate every request and answer against these.
 */
#ifndef API_ROUTES_SCHEMAS_H
#define API_ROUTES_SCHEMAS_H

#include <stddef.h>

struct schema {
    const char *name;
    const char *text;
};

const struct schema *schema_at(size_t i); /* NULL past the end */
const struct schema *schema_by_name(const char *name);

#endif
