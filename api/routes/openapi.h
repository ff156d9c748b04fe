/* /openapi.json: a walk over the route table and the schemas. Threads: any. */
#ifndef API_ROUTES_OPENAPI_H
#define API_ROUTES_OPENAPI_H

#include <stddef.h>

/* OpenAPI 3.1, malloc'd; NULL when out of memory. */
char *openapi_document(size_t *ret_len);

#endif
