/*
 * See request.h. One file because it is one state machine: the checks of the headers, the steps,
 * and the waits between them.
 *
 * Why a wait cannot be lost or outlive its request: `done` of a commit or of offloaded work stores
 * the outcome, clears wait_active, wakes, and only then drops the wait's own reference. The HTTP
 * thread sleeps only while wait_active (or while a handler sleeps by its own choice) and looks
 * again after every wake.
 */
#include "api/http/request.h"

#include "api/http/problem.h"
#include "api/http/router.h"
#include "api/routes/routes.h"
#include "compress/base/counters.h"
#include "compress/base/limits.h"
#include "compress/base/log.h"

#include <assert.h>
#include <ctype.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

/* Read and checked in well below 5 ms. */
#define SHORT_BODY_BYTES ((size_t)16 * 1024)

static void pause_connection(void *connection) {
    MHD_suspend_connection(connection);
}

static void resume_connection(void *connection) {
    MHD_resume_connection(connection);
}

static const struct suspend_ops library = {pause_connection, resume_connection};

static void make_id(struct request *r);

struct request *request_new(struct service *service, struct MHD_Connection *connection,
                            const char *method, const char *path) {
    struct request *r = calloc(1, sizeof *r);
    struct arena *arena = arena_new(LIMIT_REQUEST_ARENA_BYTES);
    if (!r || !arena)
        goto fail;
    r->service = service;
    r->connection = connection;
    r->arena = arena;
    r->method = arena_strdup(arena, method);
    r->path = arena_strdup(arena, path);
    if (!r->method || !r->path)
        goto fail;
    r->head = strcmp(method, "HEAD") == 0;
    r->content_length = UINT64_MAX;
    r->started_ms = timers_now_ms();
    r->reply.fd = -1;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    r->socket = info ? info->connect_fd : -1;
    r->wait_err = ERR_INIT;
    atomic_init(&r->refs, 1);
    atomic_init(&r->wait_active, false);
    atomic_init(&r->finished, false);
    atomic_init(&r->receiving, false);
    suspend_init(&r->suspend, &library, connection);
    make_id(r);
    pthread_mutex_lock(&service->requests_lock);
    r->list_next = service->requests;
    if (r->list_next)
        r->list_next->list_prev = r;
    service->requests = r;
    pthread_mutex_unlock(&service->requests_lock);
    return r;
fail:
    free(r);
    arena_free(arena);
    return NULL;
}

void request_ref(struct request *r) {
    atomic_fetch_add(&r->refs, 1);
}

void request_unref(struct request *r) {
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    struct service *service = r->service;
    /* Off the list first: whoever wakes all requests must not meet one that is being taken apart.
     */
    pthread_mutex_lock(&service->requests_lock);
    if (r->list_prev)
        r->list_prev->list_next = r->list_next;
    else
        service->requests = r->list_next;
    if (r->list_next)
        r->list_next->list_prev = r->list_prev;
    pthread_mutex_unlock(&service->requests_lock);
    if (r->state && r->state_free)
        r->state_free(r->state);
    reply_free(&r->reply);
    body_free(&r->body);
    suspend_destroy(&r->suspend);
    arena_free(r->arena);
    free(r);
}

/* The client's id when it is harmless, else sixteen hex digits: a random start, counted on. */
static void make_id(struct request *r) {
    const char *given = request_header(r, "X-Request-Id");
    size_t len = given ? strlen(given) : 0;
    if (len >= 1 && len <= REQUEST_ID_MAX) {
        size_t i = 0;
        while (i < len && (isalnum((unsigned char)given[i]) || strchr("._-", given[i])))
            i++;
        if (i == len) {
            memcpy(r->id, given, len + 1);
            return;
        }
    }
    static _Atomic uint64_t next;
    if (!atomic_load(&next)) {
        uint64_t start = 0, none = 0;
        if (getrandom(&start, sizeof start, 0) != sizeof start || !start)
            start = (uint64_t)timers_now_ms() | 1;
        atomic_compare_exchange_strong(&next, &none, start);
    }
    snprintf(r->id, sizeof r->id, "%016llx", (unsigned long long)atomic_fetch_add(&next, 1));
}

/* ---- what was asked ---- */

const char *request_header(const struct request *r, const char *name) {
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

const char *request_query(const struct request *r, const char *key) {
    for (unsigned i = 0; i < r->query_count; i++)
        if (strcmp(r->query[i].key, key) == 0)
            return r->query[i].value;
    return NULL;
}

int64_t request_query_int(const struct request *r, const char *key, int64_t otherwise) {
    const char *text = request_query(r, key);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

bool request_query_bool(const struct request *r, const char *key) {
    const char *text = request_query(r, key);
    return text && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || !*text);
}

bool request_accepts(const struct request *r, const char *type) {
    const char *accept = request_header(r, "Accept");
    size_t len = strlen(type);
    for (const char *s = accept; s && *s;) {
        while (*s == ' ' || *s == '\t' || *s == ',')
            s++;
        size_t n = strcspn(s, ",; \t");
        size_t item = strcspn(s, ",");
        if (n == len && strncasecmp(s, type, len) == 0) {
            const char *q = memmem(s, item, "q=0", 3);
            if (!q || q[3] == '.')
                return true;
        }
        s += item;
    }
    return false;
}

struct db_conn *request_read(struct request *r, struct err *err) {
    return db_read_begin(r->service->store->db, err);
}

void request_read_end(struct request *r, struct db_conn *conn) {
    if (conn)
        db_read_end(r->service->store->db, conn);
}

struct violations *request_violations(struct request *r) {
    if (!r->violations) {
        r->violations = ARENA_NEW(r->arena, struct violations);
        if (r->violations)
            violations_init(r->violations, r->arena);
    }
    return r->violations;
}

/* ---- checks from the headers ---- */

struct framing {
    unsigned hosts, lengths, codings;
    const char *host, *length, *coding;
};

static enum MHD_Result see_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                  const char *value) {
    struct framing *f = cls;
    (void)kind;
    if (strcasecmp(key, "Host") == 0) {
        f->hosts++;
        f->host = value;
    } else if (strcasecmp(key, "Content-Length") == 0) {
        f->lengths++;
        f->length = value;
    } else if (strcasecmp(key, "Transfer-Encoding") == 0) {
        f->codings++;
        f->coding = value;
    }
    return MHD_YES;
}

/* What the library lets through and a proxy in front may read differently. */
static int check_framing(struct request *r, const char **ret_host, struct err *err) {
    struct framing f = {0};
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, see_header, &f);
    r->has_body = f.codings > 0 || f.lengths > 1;
    if (f.lengths == 1) {
        char *end = NULL;
        size_t n = f.length ? strspn(f.length, "0123456789") : 0;
        if (n == 0 || n > 19 || f.length[n]) {
            r->has_body = true;
            return err_set(err, ERR_BAD_REQUEST, "the Content-Length is not a decimal number");
        }
        r->content_length = strtoull(f.length, &end, 10);
        r->has_body |= r->content_length > 0;
    }
    if (f.lengths > 1 || f.hosts > 1)
        return err_set(err, ERR_BAD_REQUEST, "there is more than one %s header",
                       f.lengths > 1 ? "Content-Length" : "Host");
    if (f.codings && f.lengths)
        return err_set(err, ERR_BAD_REQUEST,
                       "Content-Length and Transfer-Encoding exclude each other");
    if (f.codings > 1 || (f.coding && strcasecmp(f.coding, "chunked") != 0))
        return err_set(err, ERR_BAD_REQUEST, "the only Transfer-Encoding taken is chunked");
    *ret_host = f.host;
    return 0;
}

struct query_reader {
    struct request *r;
    struct err *err;
    int rc;
};

static enum MHD_Result see_query(void *cls, enum MHD_ValueKind kind, const char *key,
                                 const char *value) {
    struct query_reader *q = cls;
    struct request *r = q->r;
    (void)kind;
    const char *k = router_decode(key ? key : "", key ? strlen(key) : 0, false, r->arena);
    const char *v = router_decode(value ? value : "", value ? strlen(value) : 0, false, r->arena);
    if (!k || !v)
        q->rc = err_set(q->err, ERR_BAD_REQUEST, "the query is not valid percent-encoded UTF-8");
    else if (request_query(r, k))
        q->rc = err_set(q->err, ERR_BAD_QUERY, "the query key %.60s stands twice", k);
    else if (r->query_count == REQUEST_QUERY_MAX)
        q->rc = err_set(q->err, ERR_BAD_QUERY, "more than %d query keys", REQUEST_QUERY_MAX);
    else {
        r->query[r->query_count].key = k;
        r->query[r->query_count++].value = v;
    }
    return q->rc ? MHD_NO : MHD_YES;
}

static int check_query_value(const struct query_key *row, const char *value, struct err *err) {
    switch (row->kind) {
    case QUERY_STRING: {
        int64_t len = (int64_t)strlen(value);
        if ((row->min || row->max) && (len < row->min || len > row->max))
            return err_set(err, ERR_BAD_QUERY, "%s: must have %lld to %lld characters", row->key,
                           (long long)row->min, (long long)row->max);
        return 0;
    }
    case QUERY_INT: {
        size_t n = strspn(value, "0123456789");
        long long number = n && n < 19 ? strtoll(value, NULL, 10) : -1;
        if (!n || n > 18 || value[n])
            return err_set(err, ERR_BAD_QUERY, "%s: not a whole number", row->key);
        if ((row->min || row->max) && (number < row->min || number > row->max))
            return err_set(err, ERR_BAD_QUERY, "%s: must lie between %lld and %lld", row->key,
                           (long long)row->min, (long long)row->max);
        return 0;
    }
    case QUERY_BOOL:
        if (*value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0 &&
            strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
            return err_set(err, ERR_BAD_QUERY, "%s: must be true or false", row->key);
        return 0;
    }
    return 0;
}

static int check_query(struct request *r, struct err *err) {
    struct query_reader q = {r, err, 0};
    MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, see_query, &q);
    if (q.rc)
        return -1;
    for (unsigned i = 0; i < r->query_count; i++) {
        const struct query_key *row = r->route->query;
        while (row && row->key && strcmp(row->key, r->query[i].key) != 0)
            row++;
        if (!row || !row->key)
            return err_set(err, ERR_BAD_QUERY, "%.60s is not a query key of this resource",
                           r->query[i].key);
        if (check_query_value(row, r->query[i].value, err))
            return -1;
    }
    return 0;
}

static bool type_is(const char *header, const char *type) {
    size_t len = strlen(type);
    return header && strncasecmp(header, type, len) == 0 &&
           (!header[len] || header[len] == ';' || header[len] == ' ');
}

static int check_body(struct request *r, struct err *err) {
    const struct route *route = r->route;
    const char *type = request_header(r, "Content-Type");
    switch (route->body) {
    case BODY_NONE:
        if (r->has_body)
            return err_set(err, ERR_BAD_REQUEST, "this resource takes no body");
        return 0;
    case BODY_JSON:
        if (!r->has_body)
            return route->body_optional
                       ? 0
                       : err_set(err, ERR_BAD_JSON, "a JSON body is needed and there is none");
        if (!type_is(type, "application/json"))
            return err_set(err, ERR_BAD_MEDIA, "the Content-Type must be application/json");
        if (r->content_length != UINT64_MAX && r->content_length > route->body_limit_bytes)
            return err_set(err, ERR_TOO_LARGE, "the body is larger than %llu bytes",
                           (unsigned long long)route->body_limit_bytes);
        return 0;
    case BODY_STREAM:
        if (r->content_length != UINT64_MAX &&
            r->content_length > r->service->options.max_upload_bytes)
            return err_set(err, ERR_TOO_LARGE, "uploads are limited to %llu bytes",
                           (unsigned long long)r->service->options.max_upload_bytes);
        return 0;
    }
    return 0;
}

static int check_access(struct request *r, const char *host, struct err *err) {
    const struct route *route = r->route;
    if (route->method != METHOD_GET &&
        !auth_origin_ok(request_header(r, "Origin"), host, request_header(r, "Sec-Fetch-Site")))
        return err_set(err, ERR_CROSS_ORIGIN,
                       "a page from elsewhere may not change anything on this server");
    if (route->scope == SCOPE_TEAM)
        return auth_principal(r->service->auth, request_header(r, "Authorization"), &r->principal,
                              err);
    return 0;
}

int request_check(struct request *r, struct err *err) {
    struct service *service = r->service;
    const char *host = NULL;
    if (check_framing(r, &host, err))
        return -1;
    const char *expect = request_header(r, "Expect");
    r->expects_continue = expect && strcasecmp(expect, "100-continue") == 0;
    struct route_match match;
    size_t count;
    const struct route *table = routes_table(&count);
    if (router_match(table, count, r->method, r->path, r->arena, &match, err))
        return -1;
    bool at_limit = match.route && match.route->at_limit;
    if (!at_limit && atomic_load(&service->draining))
        return err_set(err, ERR_DRAINING, "the server is shutting down");
    if (!at_limit && atomic_load(&service->connections) > service->options.max_connections)
        return err_set(err, ERR_OVERLOADED, "all %u connections are in use",
                       service->options.max_connections);
    if (!auth_host_ok(service->auth, host))
        return err_set(
            err, ERR_WRONG_HOST,
            "this server does not answer for the host %.100s; allowed names are a setting",
            host ? host : "(none)");
    if (!match.route) {
        if (!match.allow)
            return err_set(err, ERR_NOT_FOUND, "there is no resource %.200s", r->path);
        r->allow = match.allow;
        return err_set(err, ERR_NO_METHOD, "%.200s does not have the method %.20s", r->path,
                       r->method);
    }
    r->route = match.route;
    memcpy(r->args, match.args, sizeof match.args);
    if (check_access(r, host, err) || check_query(r, err) || check_body(r, err))
        return -1;
    return r->route->begin ? r->route->begin(r, err) : 0;
}

/* ---- steps and waits ---- */

void request_fail(struct request *r, const struct err *err) {
    const struct problem_rule *rule = problem_rule(err->code);
    char range[80] = "";
    for (unsigned i = 0; i < r->reply.header_count; i++)
        if (strcmp(r->reply.headers[i].name, "Content-Range") == 0)
            snprintf(range, sizeof range, "%s", r->reply.headers[i].value);
    reply_reset(r);
    if (*range && rule->status == 416)
        reply_headerf(r, "Content-Range", "%s", range);
    if (rule->retry_after_seconds)
        reply_headerf(r, "Retry-After", "%u", rule->retry_after_seconds);
    if (rule->status == 401)
        reply_header(r, "WWW-Authenticate", "Bearer");
    if (r->allow)
        reply_header(r, "Allow", r->allow);
    struct jbuf b;
    jbuf_init(&b);
    problem_json(&b, err, r->violations, r->path, r->id);
    size_t len = 0;
    char *text = jbuf_take(&b, &len);
    struct err ignored = ERR_INIT;
    if (reply_text_take(r, rule->status, "application/problem+json", text, len, &ignored))
        reply_empty(r, rule->status);
    if (rule->status >= 500)
        log_line(LOG_LEVEL_WARN, "%s %s %s: %s", r->id, r->method, r->path, err->text);
}

/* From here on the stopper waits for us. */
static bool count_waiting(struct request *r) {
    assert(!r->waiting_counted);
    atomic_fetch_add(&r->service->waiting, 1);
    if (atomic_load(&r->service->draining)) {
        atomic_fetch_sub(&r->service->waiting, 1);
        return false;
    }
    r->waiting_counted = true;
    return true;
}

void request_awake(struct request *r) {
    if (!r->waiting_counted)
        return;
    r->waiting_counted = false;
    atomic_fetch_sub(&r->service->waiting, 1);
}

bool request_suspend(struct request *r) {
    if (!count_waiting(r))
        return false;
    if (suspend_wait(&r->suspend))
        return true;
    request_awake(r);
    return false;
}

int request_advance(struct request *r) {
    for (;;) {
        if (atomic_load(&r->wait_active)) {
            if (suspend_wait(&r->suspend))
                return 0;
            continue;
        }
        request_awake(r);
        if (r->wait_err.code != ERR_OK) {
            request_fail(r, &r->wait_err);
            return 1;
        }
        if (r->reply.kind != REPLY_NONE)
            return 1;
        request_step *step = r->next;
        r->next = NULL;
        struct err err = ERR_INIT;
        if (!step)
            err_set(&err, ERR_BUG, "a handler ended without an answer");
        if (!step || step(r, &err)) {
            assert(!atomic_load(&r->wait_active));
            request_fail(r, &err);
            return 1;
        }
        if (r->next && !atomic_load(&r->wait_active) && r->waiting_counted) {
            /* request_sleep() */
            if (suspend_wait(&r->suspend))
                return 0;
        }
    }
}

static void wait_over(struct request *r) {
    atomic_store(&r->wait_active, false);
    suspend_wake(&r->suspend);
    request_unref(r);
}

static void offload_run(void *ctx) {
    struct request *r = ctx;
    if (r->work(r, &r->wait_err) && r->wait_err.code == ERR_OK)
        err_set(&r->wait_err, ERR_BUG, "offloaded work failed without a reason");
}

static void offload_done(void *ctx) {
    wait_over(ctx);
}

int request_offload(struct request *r, request_step *work, request_step *then, struct err *err) {
    if (!count_waiting(r))
        return err_set(err, ERR_DRAINING, "the server is shutting down");
    r->work = work;
    r->next = then;
    r->offload = (struct offload){.run = offload_run, .done = offload_done, .ctx = r};
    request_ref(r);
    atomic_store(&r->wait_active, true);
    if (engine_offload(r->service->engine, &r->offload, err)) {
        atomic_store(&r->wait_active, false);
        r->next = NULL;
        request_awake(r);
        request_unref(r); /* not the last: the connection has one */
        return -1;
    }
    return 0;
}

int request_read_body(struct request *r, request_step *read, request_step *then, struct err *err) {
    if (r->body.len > SHORT_BODY_BYTES)
        return request_offload(r, read, then, err);
    return read(r, err) ? -1 : then(r, err);
}

static int write_run(struct db_conn *conn, void *ctx, struct err *err) {
    struct request *r = ctx;
    return r->write_run(conn, r, err);
}

static void write_done(void *ctx, const struct err *err) {
    struct request *r = ctx;
    r->wait_err = *err;
    wait_over(r);
}

int request_write(struct request *r,
                  int (*run)(struct db_conn *conn, struct request *r, struct err *err),
                  request_step *then, struct err *err) {
    if (!count_waiting(r))
        return err_set(err, ERR_DRAINING, "the server is shutting down");
    r->write_run = run;
    r->next = then;
    r->write =
        (struct write){.run = write_run, .done = write_done, .ctx = r, .class = WRITE_DURABLE};
    request_ref(r);
    atomic_store(&r->wait_active, true);
    writer_post(r->service->store->writer, &r->write);
    return 0;
}

int request_sleep(struct request *r, request_step *then, struct err *err) {
    if (!count_waiting(r))
        return err_set(err, ERR_DRAINING, "the server is shutting down");
    r->next = then;
    return 0;
}
