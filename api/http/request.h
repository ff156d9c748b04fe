/*
 * One request: what was asked, by whom, and how far the answer is.
 *
 * A handler is four moves – parse, check, transact, reply – written as steps. A step that must wait
 * (for a commit, for offloaded work, for an event) begins the wait and names the step that follows;
 * the connection is suspended and the next step runs on an HTTP thread when the wait is over. When
 * the awaited work failed, the problem is answered and the next step does not run.
 *
 * Lifetimes: everything in the arena lives until the request is freed. The request is
 * reference-counted: one reference is the connection's, one each wait's, so that late work never
 * meets a freed request. Threads: one step at a time, whichever thread it runs on.
 */
#ifndef API_HTTP_REQUEST_H
#define API_HTTP_REQUEST_H

#include "api/http/auth.h"
#include "api/http/body.h"
#include "api/http/reply.h"
#include "api/http/route.h"
#include "api/http/service.h"
#include "api/http/suspend.h"
#include "compress/base/arena.h"
#include "compress/base/violations.h"

#include <stdatomic.h>

#define REQUEST_ARGS_MAX 4
#define REQUEST_QUERY_MAX 16
#define REQUEST_ID_MAX 64

struct MHD_Connection;

struct request {
    struct service *service;
    struct MHD_Connection *connection;
    struct arena *arena;
    const struct route *route; /* NULL: none matched */
    const char *method;        /* as sent */
    bool head;
    const char *path;                   /* as sent, without the query */
    const char *args[REQUEST_ARGS_MAX]; /* decoded path segments, in the pattern's order */
    struct {
        const char *key, *value;
    } query[REQUEST_QUERY_MAX];
    unsigned query_count;
    struct principal principal;
    char id[REQUEST_ID_MAX + 1];
    bool has_body;
    atomic_bool receiving; /* the body is not whole yet */
    int socket;            /* the library's */
    bool expects_continue;
    uint64_t content_length; /* UINT64_MAX: not stated */
    struct body body;
    struct violations *violations; /* become `errors` of a problem; or NULL */
    const char *allow;             /* of a 405 */
    struct reply reply;
    int64_t started_ms;

    /* The handler's own; state_free runs when the request is freed, on whatever thread. */
    void *state;
    void (*state_free)(void *state);
    /* When the connection is done with the request, answered or not; on its thread. May be NULL. */
    void (*on_end)(struct request *r);

    /* The machine (request.c). */
    atomic_uint refs;
    struct suspend suspend;
    request_step *next;
    request_step *work;
    int (*write_run)(struct db_conn *conn, struct request *r, struct err *err);
    struct write write;
    struct offload offload;
    struct err wait_err;
    atomic_bool wait_active; /* a commit or offloaded work is under way */
    bool waiting_counted;
    atomic_bool finished; /* a reply was queued */
    struct request *list_prev, *list_next;
};

/* NULL when memory ran out. */
struct request *request_new(struct service *service, struct MHD_Connection *connection,
                            const char *method, const char *path);
void request_ref(struct request *r);
void request_unref(struct request *r);

/* Everything that can be said from the headers: framing, host, path, method, origin, token, query,
 * body type and size; ends with the route's `begin`. -1 with err. */
int request_check(struct request *r, struct err *err);
/* Runs steps until a reply is set (1) or the connection is suspended (0). Failures become
 * problems. */
int request_advance(struct request *r);
void request_fail(struct request *r, const struct err *err); /* sets the problem as the reply */

/* -- Waits: to be the last thing a step does. -- */
/* `work` on a pool thread, then `then` here; not when the work has set the reply. */
int request_offload(struct request *r, request_step *work, request_step *then, struct err *err);
/* The same, or on this thread when the body is short: reading a long one takes more than the 5 ms a
 * callback may. `then` runs here either way. */
int request_read_body(struct request *r, request_step *read, request_step *then, struct err *err);
/* `run` in a group of the writer, then `then` after its commit. */
int request_write(struct request *r,
                  int (*run)(struct db_conn *conn, struct request *r, struct err *err),
                  request_step *then, struct err *err);
/* Until somebody calls suspend_wake(&r->suspend); `then` must look for itself why. Refused with
 * ERR_DRAINING at shutdown. */
int request_sleep(struct request *r, request_step *then, struct err *err);
/* For readers and body consumers: true = suspended, go back at once; false = look again, or the
 * service is draining. Call request_awake() first thing when called again. */
bool request_suspend(struct request *r);
void request_awake(struct request *r);

/* -- What was asked. -- */
const char *request_header(const struct request *r, const char *name); /* NULL: not there */
const char *request_query(const struct request *r, const char *key);   /* NULL: not there */
int64_t request_query_int(const struct request *r, const char *key, int64_t otherwise);
bool request_query_bool(const struct request *r, const char *key);
/* Does Accept prefer this type over the other? A missing header or a wildcard prefers neither. */
bool request_accepts(const struct request *r, const char *type);

/* A connection of the read pool for one step; NULL with err. */
struct db_conn *request_read(struct request *r, struct err *err);
void request_read_end(struct request *r, struct db_conn *conn);

/* A violation list in the arena, made on first use; NULL when memory ran out. */
struct violations *request_violations(struct request *r);

#endif
