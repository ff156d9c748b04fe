/*
 * What all requests of a running front end share. Made by server.c, read by everybody below it.
 *
 * Threads: fields are constant after start, or atomic, or guarded by the lock beside them.
 */
#ifndef API_HTTP_SERVICE_H
#define API_HTTP_SERVICE_H

#include "api/http/auth.h"
#include "api/http/server.h"
#include "api/http/timers.h"

#include <pthread.h>
#include <stdatomic.h>

/* A comment on a silent event stream: keeps proxies awake and finds dead clients. */
#define SERVICE_PING_MS 15000

struct service {
    struct store *store;
    struct engine *engine;
    struct server_options options;
    struct auth *auth;
    struct timers *timers;
    atomic_bool draining;
    /* Connections that are suspended or about to be: the library aborts if it is stopped with one
     * left. Counted before `draining` is looked at, so that the stopper either sees the count or is
     * seen (both sequentially consistent). */
    atomic_uint waiting;
    atomic_uint connections;
    atomic_uint streams;
    pthread_mutex_t requests_lock; /* the list of live requests, to wake them all at the end */
    struct request *requests;
};

#endif
