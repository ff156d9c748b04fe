/*
 * The tool's side of the HTTP API, over libcurl: one connection, kept alive.
 *
 * A transfer that could not take place is ERR_NETWORK; an answer of 400 and above is returned as an
 * answer (client_problem() turns it into words). Where the server is and who we are comes from
 * --url/--token, COMPRESSD_URL/COMPRESSD_TOKEN, or ~/.config/compressd/client.conf with lines
 * `url = …` and `token = …` ('#' begins a comment line), in that order; else http://127.0.0.1:8080.
 * What that file says wrong is an error that names file and line.
 *
 * Owns: the connection. Threads: one.
 */
#ifndef DAEMON_CLIENT_H
#define DAEMON_CLIENT_H

#include "compress/base/err.h"
#include "compress/base/files.h"
#include "compress/base/violations.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;

struct client_answer {
    long status;
    char *body; /* NUL-terminated, malloc'd; never NULL after success */
    size_t len;
    const char *from; /* the server's address; borrowed from the client */
};

/* url and token may be NULL: see above. */
int client_new(const char *url, const char *token, struct client **ret, struct err *err);
void client_free(struct client *client); /* NULL is fine */
const char *client_url(const struct client *client);
/* Asked about once a second while a transfer waits, bytes or not: true breaks it off
 * (ERR_CANCELLED). */
void client_set_stopped(struct client *client, bool (*stopped)(void));

/* One request with a JSON body (or none). `path` starts with "/". The answer is yours. */
int client_call(struct client *client, const char *method, const char *path, const char *json,
                struct client_answer *ret, struct err *err);
void client_answer_free(struct client_answer *answer);

/* Called while bytes move; non-zero breaks the transfer off (ERR_CANCELLED). */
struct client_meter {
    void *self;
    int (*moved)(void *self, uint64_t bytes); /* so many more */
};

/* PUT of a whole source. */
int client_put(struct client *client, const char *path, struct source *source,
               const struct client_meter *meter, struct client_answer *ret, struct err *err);
/* GET into a sink, from offset on; *ret_status 200 or 206 when the sink got bytes, else the
 * answer's body is in *ret and the sink got none. A broken transfer is ERR_NETWORK; sink->written
 * tells how far it came. */
int client_get(struct client *client, const char *path, uint64_t offset, struct sink *sink,
               const struct client_meter *meter, struct client_answer *ret, struct err *err);
/* GET of lines (NDJSON), each handed over as it comes, without its newline; blank ones are skipped.
 * `line` returns non-zero to stop; that is no error. Returns 0 when the stream ended by either
 * side. */
int client_lines(struct client *client, const char *path, int (*line)(void *self, const char *text),
                 void *self, struct client_answer *ret, struct err *err);

/* Sets err (and list, which may be NULL) from a problem document; the code is the one whose slug
 * the problem's type ends with. An answer that is none comes from somebody else: ERR_NETWORK.
 * Always returns -1. */
int client_problem(const struct client_answer *answer, struct violations *list, struct err *err);

/* `text` with everything but A-Za-z0-9-._~ (and '/' if keep_slash) escaped; malloc'd. */
char *client_escape(const char *text, bool keep_slash);

#endif
