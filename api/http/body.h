/*
 * Bodies: JSON gathered in bounded memory, streams passed on as they arrive; a minimum rate; and
 * what happens to the rest of a body once it is known that the answer will be a refusal.
 *
 * libmicrohttpd cannot answer in the middle of a body. After a late refusal the rest is read and
 * dropped, up to BODY_DROP_BYTES or BODY_DROP_MS, so that the answer can be given; beyond that the
 * connection is closed without one. Threads: the connection's.
 */
#ifndef API_HTTP_BODY_H
#define API_HTTP_BODY_H

#include "compress/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BODY_DROP_BYTES (1024 * 1024)
#define BODY_DROP_MS 2000
/* The minimum rate is an average since the start; nobody is judged in the first seconds. */
#define BODY_RATE_GRACE_MS 5000

struct request;

struct body {
    char *text; /* JSON: NUL-terminated when whole */
    size_t len, capacity;
    uint64_t received;
    int64_t started_ms;
    int64_t paused_ms; /* time in which we, not the client, were slow */
    int64_t pause_began_ms;
    struct err err; /* the late refusal */
    bool failed;
    uint64_t dropped;
    int64_t drop_until_ms;
};

/* Takes a chunk; *len is what is left of it, not 0 only when the request was suspended. -1: close
 * the connection. */
int body_chunk(struct request *r, const void *data, size_t *len);
void body_pause(struct request *r);    /* we suspend the upload */
void body_continue(struct request *r); /* and go on */
void body_free(struct body *body);

/* Is the average since the start below the limit? */
bool body_too_slow(const struct body *body, uint64_t min_bytes_per_second, int64_t now_ms);

#endif
