/*
 * See server.h. Start, stop, and the three callbacks of libmicrohttpd.
 *
 * What the library must never see, each learnt the hard way: a reader that returns 0 without having
 * suspended (a busy loop), bytes left unconsumed without having suspended, a suspension with none
 * left (of a chunked body it goes on delivering what it has), a reply queued in the middle of a
 * body (refused) or from a foreign thread, a stop while connections are suspended (it aborts), a
 * handler that blocks (it blocks its whole thread). A reply queued at the headers closes the
 * connection after it, so requests without a body are answered one callback later, when they are
 * whole.
 */
#include "api/http/server.h"

#include "api/http/request.h"
#include "compress/base/counters.h"
#include "compress/base/limits.h"
#include "compress/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Measured with 1,000 event streams on a running job: 34 KB of memory each with 32 KB here, 42 with
 * 48. Bodies are read by half of it at a time; CPU for an upload of 1 GB with its SHA-256: 3.2 s
 * with 24 KB, 1.4 with 32, 1.3 with 64. It also bounds request line and headers together. */
#define CONNECTION_MEMORY_BYTES ((size_t)32 * 1024)
/* Health and metrics still get in when the soft limit is reached. */
#define HARD_LIMIT_EXTRA 256
#define IDLE_TIMEOUT_SECONDS 60
#define LATE_REFUSAL_TIMEOUT_SECONDS 3
#define THREADS_MAX 8
#define BACKLOG 1024
#define REAP_EVERY_MS 1000
/* At stop, how long answers already begun may take. */
#define STOP_GRACE_MS 3000

struct server {
    struct service service;
    struct MHD_Daemon *daemon;
    int listen_fd;
    uint16_t port;
    char url[300];
    struct timer reaper;
};

static int open_socket(struct server *server, struct err *err);
static int raise_descriptors(unsigned connections, struct err *err);
static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_len, void **context);
static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how);
static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what);
static void reap(void *self);
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text);
static void library_log(void *cls, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static int start_library(struct server *server, struct err *err) {
    const struct server_options *options = &server->service.options;
    unsigned limit = options->max_connections + HARD_LIMIT_EXTRA;
    unsigned threads = options->threads;
    if (!threads) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        threads = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (unsigned)cores;
    }
#if MHD_VERSION >= 0x00097702
    const enum MHD_OPTION strict = MHD_OPTION_CLIENT_DISCIPLINE_LVL;
#else
    const enum MHD_OPTION strict = MHD_OPTION_STRICT_FOR_CLIENT;
#endif
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_access, server, MHD_OPTION_EXTERNAL_LOGGER, library_log, NULL, MHD_OPTION_LISTEN_SOCKET,
        server->listen_fd, MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_TIMEOUT_SECONDS, strict, 1, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_END);
    if (!server->daemon)
        return err_set(err, ERR_NETWORK, "cannot start the HTTP server on %s", server->url);
    return 0;
}

int server_start(struct store *store, struct engine *engine, const struct server_options *options,
                 struct server **ret, struct err *err) {
    struct server *server = calloc(1, sizeof *server);
    if (!server)
        return err_set(err, ERR_NO_MEMORY, "no memory for the HTTP server");
    struct service *service = &server->service;
    service->store = store;
    service->engine = engine;
    service->options = *options;
    server->listen_fd = -1;
    pthread_mutex_init(&service->requests_lock, NULL);
    const char *host = options->listen_host ? options->listen_host : "127.0.0.1";
    service->options.listen_host = host;
    if (auth_new(options->tokens_path, host, options->allowed_hosts, &service->auth, err))
        goto fail;
    if (!auth_has_tokens(service->auth) && options->listen_fd < 0 && !auth_is_loopback(host)) {
        if (!options->allow_open) {
            err_set(err, ERR_FORBIDDEN,
                    "without a token file the server binds only to loopback addresses, not to %s",
                    host);
            goto fail;
        }
        log_line(LOG_LEVEL_WARN,
                 "listening on %s without tokens: everybody who can reach it may do everything",
                 host);
    }
    if (timers_new(&service->timers, err) ||
        raise_descriptors(options->max_connections + HARD_LIMIT_EXTRA, err) ||
        open_socket(server, err) || start_library(server, err))
        goto fail;
    server->reaper = (struct timer){.fire = reap, .self = server, .every_ms = REAP_EVERY_MS};
    timers_set(service->timers, &server->reaper, REAP_EVERY_MS);
    *ret = server;
    return 0;
fail:
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    timers_free(service->timers);
    auth_free(service->auth);
    pthread_mutex_destroy(&service->requests_lock);
    free(server);
    return -1;
}

uint16_t server_port(const struct server *server) {
    return server->port;
}

const char *server_url(const struct server *server) {
    return server->url;
}

/* Wakes all; counts those that live, and those among them whose answer is on its way. */
static unsigned wake_all(struct service *service, unsigned *ret_answering) {
    unsigned count = 0;
    *ret_answering = 0;
    pthread_mutex_lock(&service->requests_lock);
    for (struct request *r = service->requests; r; r = r->list_next, count++) {
        suspend_wake(&r->suspend);
        *ret_answering += atomic_load(&r->finished);
    }
    pthread_mutex_unlock(&service->requests_lock);
    return count;
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

void server_stop(struct server *server) {
    if (!server)
        return;
    struct service *service = &server->service;
    unsigned answering;
    MHD_socket listener = MHD_quiesce_daemon(server->daemon);
    atomic_store(&service->draining, true);
    wake_all(service, &answering);
    /* Commits and offloaded work end by themselves; until then their connections are suspended. */
    for (unsigned round = 1; atomic_load(&service->waiting) > 0; round++) {
        sleep_ms(5);
        if (round % 20 == 0)
            wake_all(service, &answering);
        if (round % 2000 == 0)
            log_line(LOG_LEVEL_WARN, "stopping: %u requests still wait for their work",
                     atomic_load(&service->waiting));
    }
    int64_t until_ms = timers_now_ms() + STOP_GRACE_MS;
    while (wake_all(service, &answering) > 0 && answering > 0 && timers_now_ms() < until_ms)
        sleep_ms(10);
    MHD_stop_daemon(server->daemon);
    if (listener != MHD_INVALID_SOCKET)
        close(listener);
    /* What the connections left to threads of its own (an upload cut off) ends soon. */
    while (wake_all(service, &answering) > 0)
        sleep_ms(10);
    timers_cancel(service->timers, &server->reaper);
    timers_free(service->timers);
    auth_free(service->auth);
    pthread_mutex_destroy(&service->requests_lock);
    free(server);
}

static int open_socket(struct server *server, struct err *err) {
    const struct server_options *options = &server->service.options;
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (options->listen_fd >= 0) {
        server->listen_fd = options->listen_fd;
    } else {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
        char port[8], host[256];
        snprintf(port, sizeof port, "%u", options->listen_port);
        size_t n = strlen(options->listen_host);
        bool brackets = n > 2 && options->listen_host[0] == '[';
        snprintf(host, sizeof host, "%.*s", (int)(brackets ? n - 2 : n),
                 options->listen_host + brackets);
        int rc = getaddrinfo(host, port, &hints, &found);
        if (rc)
            return err_set(err, ERR_NETWORK, "cannot resolve the address %s: %s", host,
                           gai_strerror(rc));
        int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int one = 1;
        if (fd >= 0)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, BACKLOG)) {
            err_set_errno(err, ERR_NETWORK, errno, "cannot listen on %s port %s", host, port);
            if (fd >= 0)
                close(fd);
            freeaddrinfo(found);
            return -1;
        }
        freeaddrinfo(found);
        server->listen_fd = fd;
    }
    if (getsockname(server->listen_fd, (struct sockaddr *)&address, &len))
        return err_set_errno(err, ERR_NETWORK, errno, "cannot read the listening address");
    char text[INET6_ADDRSTRLEN] = "";
    if (address.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &address, sizeof in6);
        server->port = ntohs(in6.sin6_port);
        inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
        snprintf(server->url, sizeof server->url, "http://[%s]:%u", text, server->port);
    } else {
        struct sockaddr_in in;
        memcpy(&in, &address, sizeof in);
        server->port = ntohs(in.sin_port);
        inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
        snprintf(server->url, sizeof server->url, "http://%s:%u", text, server->port);
    }
    return 0;
}

/* A connection needs one descriptor, and a second one while it moves a file. */
static int raise_descriptors(unsigned connections, struct err *err) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return err_set_errno(err, ERR_IO, errno, "cannot read the descriptor limit");
    rlim_t wanted = 2 * (rlim_t)connections + 512;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted)
        return 0;
    rlim_t reachable =
        limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted ? wanted : limit.rlim_max;
    limit.rlim_cur = reachable;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        return err_set_errno(err, ERR_IO, errno, "cannot raise the descriptor limit");
    if (reachable < wanted)
        log_line(LOG_LEVEL_WARN,
                 "the system allows %llu open files; %u connections may need %llu: lower the "
                 "connection limit or raise the system's",
                 (unsigned long long)reachable, connections, (unsigned long long)wanted);
    return 0;
}

/* Uploads whose client has gone. An edge-triggered library that reads data and not yet the end
 * behind it learns of the end only when it times out (0.9.75 does); shutting the socket down makes
 * a new edge. The socket is open as long as the request's suspend machine has not ended. */
static void reap(void *self) {
    struct server *server = self;
    struct service *service = &server->service;
    int64_t before_ms = timers_now_ms() - REAP_EVERY_MS;
    pthread_mutex_lock(&service->requests_lock);
    for (struct request *r = service->requests; r; r = r->list_next) {
        if (r->started_ms > before_ms || !atomic_load(&r->receiving))
            continue;
        pthread_mutex_lock(&r->suspend.lock);
        char byte;
        if (r->suspend.state != SUSPEND_ENDED &&
            recv(r->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
            shutdown(r->socket, SHUT_RDWR);
        pthread_mutex_unlock(&r->suspend.lock);
    }
    pthread_mutex_unlock(&service->requests_lock);
}

/* ---- the callbacks ---- */

static enum MHD_Result send_reply(struct request *r) {
    atomic_store(&r->finished, true);
    return reply_send(r, r->connection) ? MHD_NO : MHD_YES;
}

static enum MHD_Result first_call(struct server *server, struct MHD_Connection *connection,
                                  const char *url, const char *method, void **context) {
    struct request *r = request_new(&server->service, connection, method, url);
    if (!r)
        return MHD_NO;
    *context = r;
    struct err err = ERR_INIT;
    if (request_check(r, &err)) {
        request_fail(r, &err);
        /* Where a message ends is no longer sure after a framing error. */
        r->reply.close = r->has_body || err.code == ERR_BAD_REQUEST || err.code == ERR_OVERLOADED;
    } else {
        r->next = r->route->run;
        r->reply.close = r->has_body && r->reply.kind != REPLY_NONE;
    }
    if (r->has_body && r->reply.kind != REPLY_NONE)
        return send_reply(r);
    atomic_store(&r->receiving, r->has_body);
    return MHD_YES;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_len, void **context) {
    (void)version;
    struct request *r = *context;
    if (!r)
        return first_call(cls, connection, url, method, context);
    if (atomic_load(&r->finished))
        return MHD_YES;
    if (*data_len) {
        request_awake(r);
        body_continue(r);
        bool failed_before = r->body.failed;
        int rc = body_chunk(r, data, data_len);
        if (r->body.failed && !failed_before)
            MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                      (unsigned)LATE_REFUSAL_TIMEOUT_SECONDS);
        return rc ? MHD_NO : MHD_YES;
    }
    atomic_store(&r->receiving, false);
    if (r->body.failed) {
        request_awake(r);
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  (unsigned)IDLE_TIMEOUT_SECONDS);
        request_fail(r, &r->body.err);
        return send_reply(r);
    }
    return request_advance(r) ? send_reply(r) : MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how) {
    (void)cls;
    (void)connection;
    (void)how;
    struct request *r = *context;
    if (!r)
        return;
    *context = NULL;
    suspend_end(&r->suspend);
    request_awake(r);
    if (r->on_end)
        r->on_end(r);
    request_unref(r);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    (void)context;
    struct server *server = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&server->service.connections, 1);
        counter_add(COUNTER_HTTP_CONNECTIONS, 1);
    } else {
        atomic_fetch_sub(&server->service.connections, 1);
        counter_add(COUNTER_HTTP_CONNECTIONS, -1);
    }
    (void)connection;
}

/* Paths are decoded by segment (router.h), the query by us as well: the library's decoder would cut
 * a path at %00 and turn %2F into a separator. */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text) {
    (void)cls;
    (void)connection;
    return strlen(text);
}

static void library_log(void *cls, const char *format, va_list args) {
    (void)cls;
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = 0;
    log_line(LOG_LEVEL_DEBUG, "http: %s", text);
}
