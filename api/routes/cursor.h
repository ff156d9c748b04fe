/*
 * Names, cursors and page links: what lists and creations share.
 *
 * A cursor is a position in a keyset and a check over the filters it was made with, so that it
 * cannot be used with others. Opaque to clients. Threads: any.
 */
#ifndef API_ROUTES_CURSOR_H
#define API_ROUTES_CURSOR_H

#include "api/http/request.h"

#define CURSOR_LIMIT_DEFAULT 50
#define CURSOR_LIMIT_MAX 500

/* `[A-Za-z0-9][A-Za-z0-9._-]{0,127}` */
bool name_ok(const char *name);

/* Position from ?cursor= (0: from the start). ERR_BAD_QUERY when it is not one of ours or was made
 * with other filters. */
int cursor_read(const struct request *r, int64_t *ret_before, struct err *err);
/* "next": the cursor or null; and the Link header. `before` 0: this was the last page. */
void cursor_write(struct request *r, struct jbuf *b, int64_t before);

#endif
