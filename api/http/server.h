/*
 * The HTTP front end: start and stop of libmicrohttpd.
 *
 * Threads: libmicrohttpd's pool; no callback takes more than 5 ms, no commit, fsync, plan,
 * inspection or hash finish runs there. Stop order: quiesce → mark draining → end event streams →
 * resume every suspended connection → wait → stop (libmicrohttpd aborts on suspended connections).
 */
#ifndef API_HTTP_SERVER_H
#define API_HTTP_SERVER_H

#include "jobs/engine.h"
#include "storage/store.h"

#include <stdbool.h>
#include <stdint.h>

struct server;

struct server_options {
    const char *listen_host;          /* "127.0.0.1" */
    uint16_t listen_port;             /* 0: any */
    int listen_fd;                    /* -1, or a socket passed by systemd */
    unsigned threads;                 /* 0: one per core, at most 8 */
    const char *tokens_path;          /* NULL: no tokens, team "default" */
    const char *const *allowed_hosts; /* NULL-terminated, beside the loopback names */
    bool allow_open;                  /* non-loopback without tokens, said at every start */
    unsigned max_connections;         /* soft limit; hard = + 256 */
    unsigned max_streams;
    uint64_t max_upload_bytes;
    uint64_t min_body_rate; /* bytes per second below which a body is closed */
};

int server_start(struct store *store, struct engine *engine, const struct server_options *options,
                 struct server **ret, struct err *err);
uint16_t server_port(const struct server *server);
const char *server_url(const struct server *server); /* "http://127.0.0.1:8080" */
void server_stop(struct server *server);             /* as above; NULL is fine */

#endif
