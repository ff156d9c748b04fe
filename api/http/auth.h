/*
 * Who is asking, and from where: bearer tokens, the Host allow list, and foreign web pages.
 *
 * The token file has lines of `name sha256-hex-of-the-token team`; '#' begins a comment. Tokens are
 * long random words, so one unsalted SHA-256 is enough; digests are compared in constant time over
 * the whole list. Without a file every caller is "local" of team "default".
 *
 * Owns: the list, read once. Threads: any after auth_new().
 */
#ifndef API_HTTP_AUTH_H
#define API_HTTP_AUTH_H

#include "compress/base/err.h"

#include <stdbool.h>

struct auth;

struct principal {
    const char *name; /* lives as long as the auth object */
    const char *team;
};

/* tokens_path may be NULL; listen_host joins the allow list unless it is a wildcard; allowed_hosts
 * is NULL or NULL-terminated. ERR_BAD_FIELD names the line of the file. */
int auth_new(const char *tokens_path, const char *listen_host, const char *const *allowed_hosts,
             struct auth **ret, struct err *err);
void auth_free(struct auth *auth); /* NULL is fine */
bool auth_has_tokens(const struct auth *auth);

/* From an Authorization header (NULL: none). ERR_NO_TOKEN. */
int auth_principal(const struct auth *auth, const char *authorization, struct principal *ret,
                   struct err *err);
/* Is the name in a Host header (with or without a port) on the list? */
bool auth_host_ok(const struct auth *auth, const char *host);
/* May a state-changing request with these headers pass? Each may be NULL. */
bool auth_origin_ok(const char *origin, const char *host, const char *sec_fetch_site);
/* 127.0.0.0/8, ::1 or localhost. */
bool auth_is_loopback(const char *host);

#endif
